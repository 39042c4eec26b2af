"""How long model files take beside one another: runs in turns, so that what slows the machine slows all of them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .engine import Engine, open_engine
from .errors import UsageError

__all__ = ["Contestant", "Race", "example_input", "race", "timed_run"]

Clock = Callable[[], float]
"""Seconds from some moment on."""

GROUP = 8
"""Files that are open at once beside the reference: each holds its weights in memory, some of them widened."""


@dataclass(frozen=True)
class Contestant:
    """A model file that is timed.

    Attributes:
        path: of the file.
        widen: run its 2-bit weights as 8-bit ones (TFLite).
    """

    path: Path
    widen: bool = False


@dataclass(frozen=True)
class Race:
    """What came of it.

    Attributes:
        seconds: median of the reference's runs.
        ratios: of each contestant, its median over the reference's in the same rounds.
    """

    seconds: float
    ratios: tuple[float, ...]


def race(
    reference: Contestant,
    contestants: Sequence[Contestant],
    *,
    rounds: int,
    threads: int = 1,
    on_done: Callable[[int], None] = lambda count: None,
) -> Race:
    """Time one input on every file, in rounds of one run each.

    Each run follows one that is not timed and brings the file's weights back into the caches. On one thread its CPU
    time counts, which other programs hardly lengthen; on more the clock does.

    Args:
        reference: the file whose time is 1; it runs beside every group of the others.
        contestants: the others.
        rounds: how often each file runs, 1 or more.
        threads: of each file.
        on_done: told of a file's runs when they are over.

    Raises:
        UsageError: no rounds.
        ModelFileError: a file that cannot run here.
    """
    if rounds < 1:
        raise UsageError(f"rounds: expected 1 or more, got {rounds}")
    clock = time.thread_time if threads == 1 else time.perf_counter
    ratios: list[float] = []
    times: list[float] = []
    for start in range(0, max(len(contestants), 1), GROUP):
        part = [reference, *contestants[start : start + GROUP]]
        engines = [_opened(each, threads) for each in part]
        runs = [(engine, example_input(engine)) for engine in engines]
        found = np.array([[timed_run(*run, clock) for run in runs] for _ in range(rounds)])  # (rounds, files)
        first, *others = np.median(found, axis=0).tolist()
        ratios += [other / first for other in others]
        times += found[:, 0].tolist()
        on_done(len(others))
    return Race(float(np.median(times)), tuple(ratios))


def _opened(contestant: Contestant, threads: int) -> Engine:
    engine = open_engine(contestant.path.read_bytes(), threads, widen=contestant.widen)
    engine.start()
    return engine


def timed_run(engine: Engine, image: NDArray[np.float32], clock: Clock = time.perf_counter) -> float:
    """Seconds of one run, after one that is not timed and brings the file's weights back into the caches.

    Args:
        engine: an open file.
        image: its input (see `example_input`).
        clock: that counts; time of day, or CPU time.
    """
    engine.run(image)
    start = clock()
    engine.run(image)
    return clock() - start


def example_input(engine: Engine) -> NDArray[np.float32]:
    """Noise of a normalized picture's size, the same each time: no file's time depends on what it sees."""
    return np.random.default_rng(0).standard_normal(engine.inputs[0].sizes, np.float32)
