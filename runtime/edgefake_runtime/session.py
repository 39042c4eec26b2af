"""ONNX Runtime sessions, all opened alike."""

from pathlib import Path

import onnxruntime

from .errors import ModelFileError
from .quiet import quiet

__all__ = ["open_session"]

OLDEST = (1, 24)
"""First version of ONNX Runtime that reads INT2 (opset 25); 1.23.2 was tried and refuses the file."""

FATAL = 4
"""ONNX Runtime's log level that keeps its own lines off standard error; errors still raise."""


def open_session(path: Path, threads: int | None) -> onnxruntime.InferenceSession:
    """Load a model for the CPU.

    Threads sleep when they wait, so that decoding and other sessions get the cores.

    Args:
        path: of an ONNX file.
        threads: of one operator; None for one per core.

    Raises:
        ModelFileError: ONNX Runtime cannot load it; without the path, which the caller knows how to name.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        with quiet():
            return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a dozen types without a common base.
        raise ModelFileError(f"onnxruntime {onnxruntime.__version__} cannot run it: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    version = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
    if version < OLDEST:
        return f"2-bit weights need {OLDEST[0]}.{OLDEST[1]} or newer; pip install -U onnxruntime"
    return str(error).splitlines()[0][:200]
