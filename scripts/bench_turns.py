"""Things timed in turns, so that other work slows all of them; turns that it slowed most do not count."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

FOREIGN = 0.05
"""Most of the machine that other programs may take in a round that counts. The machine counts its busy cores in
hundredths of a second, so that of a turn alone, which may be as short, this cannot be said."""

ENOUGH = 3
"""Rounds without them that are enough."""


@dataclass(frozen=True)
class Turn:
    """Seconds of one run: on the wall, of all cores; and the share of the machine that others took, but for ticks."""

    wall: float
    cpu: float
    foreign: float


def busy_s() -> float:
    """Seconds that the cores have worked since the machine began; 0 where the system does not tell."""
    try:
        words = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    except OSError:
        return 0.0
    ticks = [int(word) for word in words]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # without idle and waiting for disks


def timed(run: Callable[[], tuple[float, float]]) -> Turn:
    """One turn of what gives its own wall and CPU seconds."""
    busy, begun = busy_s(), time.perf_counter()
    wall, cpu = run()
    seconds = time.perf_counter() - begun
    foreign = (busy_s() - busy - cpu) / (seconds * (os.cpu_count() or 1))
    return Turn(wall, cpu, foreign)


def in_turns(runs: Sequence[Callable[[], tuple[float, float]]], rounds: int) -> list[list[Turn]]:
    """`rounds` rounds of turns, after one that warms up; those that other programs disturbed go while there are enough.

    Returns:
        For each round a turn of each.
    """
    found = [[timed(run) for run in runs] for _ in range(rounds + 1)][1:]
    quiet = [turns for turns in found if foreign_of(turns) <= FOREIGN]
    return quiet if len(quiet) >= min(ENOUGH, rounds) else found


def foreign_of(turns: Sequence[Turn]) -> float:
    """The share of the machine that other programs took in a round, 0 to 1."""
    return max(0.0, sum(turn.foreign * turn.wall for turn in turns) / sum(turn.wall for turn in turns))


def most_foreign(rounds: Sequence[Sequence[Turn]]) -> float:
    """Of all rounds."""
    return max(foreign_of(turns) for turns in rounds)


def ratio(rounds: Sequence[Sequence[Turn]], one: int, other: int) -> float:
    """Median over the rounds of one's wall time by another's."""
    return statistics.median(turns[one].wall / turns[other].wall for turns in rounds)
