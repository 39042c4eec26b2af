"""ONNX Runtime sessions, all opened alike."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime

from .errors import ModelFileError, UsageError, first_line
from .needs import OnnxFacts, is_older, onnx_facts, onnx_need
from .quiet import quiet

__all__ = ["MAX_THREADS", "check_threads", "open_session", "saturates"]

MAX_THREADS = 1024

FATAL = 4
"""ONNX Runtime's log level that keeps its own lines off standard error; errors still raise."""

PRODUCT = (
    b'\x08\x08:\\\n\x18\n\x01a\n\x01b\x12\x01y"\rMatMulInteger\x12\x01p'
    b"Z\x13\n\x01a\x12\x0e\n\x0c\x08\x02\x12\x08\n\x02\x08\x04\n\x02\x08@"
    b"Z\x13\n\x01b\x12\x0e\n\x0c\x08\x03\x12\x08\n\x02\x08@\n\x02\x08\x10"
    b"b\x13\n\x01y\x12\x0e\n\x0c\x08\x06\x12\x08\n\x02\x08\x04\n\x02\x08\x10B\x04\n\x00\x10\r"
)
"""An ONNX file of one operator (opset 13): y (4, 16) int32 = MatMulInteger(a (4, 64) uint8, b (64, 16) int8)."""


def check_threads(threads: int | None) -> None:
    """Refuse an impossible number of threads.

    Raises:
        UsageError: neither None nor 1 to 1024.
    """
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"threads: expected 1 to {MAX_THREADS}, got {threads}")


def open_session(model: bytes, threads: int | None, *, profile: Path | None = None) -> onnxruntime.InferenceSession:
    """Load a model for the CPU.

    Threads sleep when they wait, so that decoding and other sessions get the cores.

    Args:
        model: the bytes of an ONNX file.
        threads: of one operator, 1 to 1024; None for one per core.
        profile: how the file begins that ONNX Runtime writes its operators' times to; None for no times.

    Raises:
        ModelFileError: ONNX Runtime cannot load it; the caller adds the path.
        UsageError: `threads` out of range.
    """
    check_threads(threads)
    facts = onnx_facts(model)
    options = _options(threads)
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    if facts is not None and "INT8" in facts.types and saturates():
        options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return _load(model, options)
    except Exception as error:  # ONNX Runtime raises a dozen types without a common base.
        reason = _reason(facts) or first_line(error)
        raise ModelFileError(f"onnxruntime {onnxruntime.__version__} cannot run it: {reason}") from error


def _options(threads: int | None) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _load(model: bytes, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    with quiet():
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@lru_cache(maxsize=1)
def saturates() -> bool:
    """Whether products of unsigned activations and signed 8-bit weights go wrong on this CPU.

    x86 without VNNI adds two products at a time in 16 bits, which 255 * 127 * 2 does not fit; ONNX Runtime then wants
    `session.x64quantprecision`, whose kernels are exact. It is no setting for everyone: where there is VNNI the
    products are exact anyway, and these kernels a third slower. So one product is tried.
    """
    a, b = np.full((4, 64), 255, np.uint8), np.full((64, 16), 127, np.int8)
    product = _load(PRODUCT, _options(1)).run(["y"], {"a": a, "b": b})[0]
    return not np.array_equal(product, a.astype(np.int32) @ b.astype(np.int32))


def _reason(facts: OnnxFacts | None) -> str | None:
    """The version that the file needs, where the installed one is older."""
    need = onnx_need(facts) if facts is not None else None
    return str(need) if need is not None and is_older(onnxruntime.__version__, need.version) else None
