"""TFLite files in LiteRT (the package ai-edge-litert), on XNNPACK."""

import logging
import threading
import time
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cpu import cores
from .engine import Engine
from .errors import MissingExtraError, ModelFileError, UsageError, first_line
from .needs import OLDEST, Need, installed_version, is_older
from .quiet import quiet
from .session import check_threads
from .tflite_file import TfliteFile, read_tflite, widen

__all__ = ["TfliteEngine", "open_interpreter"]

logger = logging.getLogger(__name__)

PACKAGE = "ai-edge-litert"

WORTH = 1.1
"""How many times as fast 8 bits must be to be kept: they take four times the memory."""

TRIALS = 5
"""Runs of each width before one is chosen; the first prepares weights."""

NARROW = Need(PACKAGE, OLDEST[PACKAGE]["INT2"], "INT2")
"""What 2-bit weights ask for."""


class TfliteEngine(Engine):
    """A TFLite file in LiteRT; crops run one by one, as the file's input is (1, 3, S, S).

    LiteRT's 2-bit kernels are slower than its 8-bit ones on most CPUs (x86, older Arm) and equal on others. 2-bit
    weights may run widened to 8 bits: the levels, scales and sums are the same integers, so the logits are too.

    Args:
        data: the bytes of the file.
        threads: 1 to 1024; None for one per core.
        widen: run 2-bit weights as 8-bit ones; None for whichever is faster here, measured when it starts.

    Raises:
        ModelFileError: damaged, or not of the shape that edgefake exports.
        UsageError: `threads` out of range, or nothing to widen.
    """

    format = "TFLite"
    batch = 1

    def __init__(self, data: bytes, threads: int | None = None, *, widen: bool | None = None) -> None:
        check_threads(threads)
        self._file: TfliteFile | None = read_tflite(data)
        if widen and not self._file.packed:
            raise UsageError("widen: expected a TFLite file with 2-bit weights, got one without; leave it away")
        self.metadata = self._file.metadata
        self.inputs, self.outputs = (self._file.input,), (self._file.output,)
        self._threads = threads or cores()
        self._widen = widen
        self._lock = threading.Lock()
        self._runner: _Runner | None = None

    def start(self) -> None:
        """Load the file, run it once, and settle how wide its weights run."""
        with self._lock:
            self._started()

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs for a batch of inputs, one after the other: (B, 3, S, S) -> (B, 2)."""
        with self._lock:
            runner = self._started()
            found = [runner.run(item[None]) for item in batch]
        return np.concatenate(found) if found else np.zeros((0, *self.outputs[0].sizes[1:]), np.float32)

    def _started(self) -> "_Runner":
        if self._runner is None:
            assert self._file is not None
            self._runner = self._choose(self._file)
            self._file = None  # LiteRT keeps what it needs of the bytes
        return self._runner

    def _choose(self, file: TfliteFile) -> "_Runner":
        if not file.packed or self._widen is False:
            return self._open(file, wide=False)
        wide = self._open(file, wide=True)
        if self._widen is None:
            try:
                narrow = self._open(file, wide=False)
            except ModelFileError as error:
                logger.info("2-bit weights run as 8-bit ones: %s", error)
            else:
                logger.info("2-bit weights: %.3f ms, as 8-bit ones: %.3f ms", narrow.fastest * 1e3, wide.fastest * 1e3)
                if narrow.fastest <= WORTH * wide.fastest:
                    return narrow
        self.widened = True
        return wide

    def _open(self, file: TfliteFile, *, wide: bool) -> "_Runner":
        try:
            with quiet():
                return _Runner(widen(file) if wide else file.data, file.input.sizes, self._threads)
        except MissingExtraError:
            raise
        except Exception as error:  # LiteRT raises whatever its C++ raises.
            installed = installed_version(PACKAGE) or ""
            reason = f"{first_line(error)}; export it again"
            narrow = file.narrow - (len(file.packed) if wide else 0)
            if narrow and installed and is_older(installed, NARROW.version):
                reason = f"{NARROW}, or let them run widened" if file.packed and not wide else str(NARROW)
            raise ModelFileError(
                f"expected a model that can run here, but {PACKAGE} {installed} cannot run it: {reason}"
            ) from error


class _Runner:
    """LiteRT's interpreter, which one thread at a time may use.

    Attributes:
        fastest: seconds that the fastest of `TRIALS` runs took.
    """

    def __init__(self, data: bytes, shape: tuple[int, ...], threads: int | None) -> None:
        self._interpreter = open_interpreter(data, threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        grey = np.zeros(shape, np.float32)
        # Some versions of LiteRT load what they then cannot run; and the first run alone prepares weights.
        self.fastest = min(self._time(grey) for _ in range(TRIALS))

    def _time(self, item: NDArray[np.float32]) -> float:
        begun = time.perf_counter()
        self.run(item)
        return time.perf_counter() - begun

    def run(self, item: NDArray[np.float32]) -> NDArray[np.float32]:
        self._interpreter.set_tensor(self._input, item)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output), np.float32)


def open_interpreter(data: bytes, threads: int | None) -> Any:
    """LiteRT's interpreter of a file, for one thread at a time.

    Args:
        data: the bytes of the file.
        threads: 1 to 1024; None for one per core.

    Raises:
        MissingExtraError: LiteRT is not installed.
        Exception: whatever LiteRT raises of a file that it cannot run; they have no common base.
    """
    try:
        litert: Any = import_module("ai_edge_litert.interpreter")
    except ModuleNotFoundError as error:
        raise MissingExtraError("ai_edge_litert", "litert") from error
    return litert.Interpreter(model_content=data, num_threads=threads or cores())
