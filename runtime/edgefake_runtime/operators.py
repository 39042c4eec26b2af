"""Where the time of a model goes, operator by operator, as its runtime runs it."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from .model_file import is_tflite
from .session import open_session
from .tflite_file import read_tflite, widen

__all__ = ["SLOWEST", "Operator", "OperatorTimes", "operator_times"]

SLOWEST = 10
"""Operators that are named one by one."""

KERNEL = "_kernel_time"
"""How ONNX Runtime's events of operators end."""


@dataclass(frozen=True)
class Operator:
    """One operator of a model.

    Attributes:
        name: in the file where the runtime keeps it, else its number.
        kind: what the runtime runs for it, such as "MatMulInteger".
        ms: milliseconds of a run.
        share: of the time of all operators.
    """

    name: str
    kind: str
    ms: float
    share: float


@dataclass(frozen=True)
class OperatorTimes:
    """What a run consists of.

    Attributes:
        count: operators that ran.
        total_ms: their time, summed; measuring it costs time too, so that it is more than the model's latency.
        slowest: the slowest operators, slowest first.
        kinds: kind -> share of the time, largest first.
    """

    count: int
    total_ms: float
    slowest: tuple[Operator, ...]
    kinds: dict[str, float]

    @classmethod
    def of(cls, times: Iterable[tuple[str, str, float]]) -> "OperatorTimes":
        """From name, kind and milliseconds of each operator."""
        entries = sorted(times, key=lambda entry: -entry[2])
        total = sum(ms for _, _, ms in entries)
        kinds: defaultdict[str, float] = defaultdict(float)
        for _, kind, ms in entries:
            kinds[kind] += ms
        slowest = (Operator(name, kind, ms, ms / total if total else 0.0) for name, kind, ms in entries[:SLOWEST])
        shares = {kind: ms / total if total else 0.0 for kind, ms in sorted(kinds.items(), key=lambda pair: -pair[1])}
        return cls(len(entries), total, tuple(slowest), shares)


def operator_times(
    data: bytes, image: NDArray[np.float32], *, runs: int, threads: int, widened: bool = False
) -> OperatorTimes:
    """Time the operators of a model file in its runtime's own profiler, the median of each over the runs.

    Args:
        data: the bytes of the file, which has run here.
        image: its input.
        runs: how many count, after one that does not.
        threads: of the runtime.
        widened: run 2-bit weights of a TFLite file as 8-bit ones.

    Raises:
        ModelFileError: the file does not run, or its runtime does not tell.
    """
    if not is_tflite(data):
        return OperatorTimes.of(_onnx_times(data, image, runs=runs, threads=threads))
    from .litert_profiler import litert_times  # so that who runs ONNX alone loads nothing of it

    bytes_run = widen(read_tflite(data)) if widened else data
    return OperatorTimes.of(litert_times(bytes_run, image, runs=runs, threads=threads))


def _onnx_times(data: bytes, image: NDArray[np.float32], *, runs: int, threads: int) -> list[tuple[str, str, float]]:
    with tempfile.TemporaryDirectory(prefix="edgefake-") as folder:
        session = open_session(data, threads, profile=Path(folder) / "times")
        name = session.get_inputs()[0].name
        for _ in range(runs + 1):
            session.run(None, {name: image})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith(KERNEL):
            found[event["name"].removesuffix(KERNEL), event["args"]["op_name"]].append(event["dur"] / 1000)
    return [(name, kind, median(times[1:] or times)) for (name, kind), times in found.items()]
