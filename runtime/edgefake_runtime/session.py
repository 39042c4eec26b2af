"""ONNX Runtime sessions, all opened alike."""

import onnxruntime

from .errors import ModelFileError, UsageError
from .quiet import quiet

__all__ = ["open_session"]

OLDEST = (1, 24)
"""First version of ONNX Runtime that reads INT2 (opset 25); 1.23.2 was tried and refuses the file."""

MAX_THREADS = 1024

FATAL = 4
"""ONNX Runtime's log level that keeps its own lines off standard error; errors still raise."""


def open_session(model: bytes, threads: int | None) -> onnxruntime.InferenceSession:
    """Load a model for the CPU.

    Threads sleep when they wait, so that decoding and other sessions get the cores.

    Args:
        model: the bytes of an ONNX file.
        threads: of one operator, 1 to 1024; None for one per core.

    Raises:
        ModelFileError: ONNX Runtime cannot load it; the caller adds the path.
        UsageError: `threads` out of range.
    """
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"threads: expected 1 to {MAX_THREADS}, got {threads}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        with quiet():
            return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a dozen types without a common base.
        raise ModelFileError(f"onnxruntime {onnxruntime.__version__} cannot run it: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    version = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
    if version < OLDEST:
        return f"2-bit weights need {OLDEST[0]}.{OLDEST[1]} or newer; pip install -U onnxruntime"
    return str(error).splitlines()[0][:200]
