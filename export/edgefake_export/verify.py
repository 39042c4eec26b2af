"""Run an exported file in ONNX Runtime and compare it with torch."""

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from edgefake.models import BitLinear
from edgefake_runtime.classifier import probability
from edgefake_runtime.crops import normalize
from edgefake_runtime.errors import CheckFailedError, UsageError
from edgefake_runtime.metadata import ModelMetadata
from edgefake_runtime.results import Verdict
from edgefake_runtime.session import open_session
from edgefake_runtime.verdict import OperatingPoint

__all__ = [
    "FLOAT_TOLERANCE",
    "TERNARY_TOLERANCE",
    "ExportReport",
    "check",
    "count_ternary",
    "rms_of",
    "run_file",
    "run_torch",
    "verdicts_of",
    "verify",
]

FLOAT_TOLERANCE = 1e-3
"""Largest |logit difference| over torch's rms, networks without BitLinear: float32 sums in another order."""

TERNARY_TOLERANCE = 1e-2
"""The same for networks with BitLinear: an activation within float32 rounding of a tie between two of its
255 levels may go to either, in any two programs, and later layers carry the step on."""

FLOOR_FACTOR = 2.0
"""Where torch itself is less sure, the limit is twice torch's own distance between float32 and float64.

bitvit-tiny on the 1,617 crops of dfdc/val (docs/bench/parity.csv): torch to torch in float64 2.1e-2, the file
to torch 1.3e-2."""

BATCH = 16

Pixels = NDArray[np.uint8]
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class ExportReport:
    """One exported file and how it compares with torch.

    Attributes:
        path: of the file.
        bytes: its size.
        bits: of the encoder's weights: 32 or 2.
        ternary_weights: values in the file's INT2 initializers.
        ternary_bytes: bytes of those initializers.
        max_error: largest |logit difference| to torch.
        mean_error: mean of them.
        rms: root mean square of torch's logits.
        relative: max_error / rms.
        tolerance: what `relative` may be.
        same_verdicts: file and torch give every crop the same of `real`, `fake` and `uncertain`.
        samples: crops compared.
        seconds: of the whole export.
    """

    path: Path
    bytes: int
    bits: int
    ternary_weights: int
    ternary_bytes: int
    max_error: float
    mean_error: float
    rms: float
    relative: float
    tolerance: float
    same_verdicts: bool
    samples: int
    seconds: float


def count_ternary(model: onnx.ModelProto) -> tuple[int, int]:
    """Weights and bytes in the INT2 initializers of a model."""
    packed = [w for w in model.graph.initializer if w.data_type == onnx.TensorProto.INT2]
    weights = sum(int(np.prod(w.dims, dtype=np.int64)) for w in packed)
    return weights, sum(len(w.raw_data) for w in packed)


def verdicts_of(logits: Logits, metadata: ModelMetadata) -> list[Verdict]:
    """What the runtime would say of each row (real, fake) of logits."""
    point, calibration = OperatingPoint.of(metadata), metadata.calibration
    margins = (logits[:, 1] - logits[:, 0]).astype(np.float64).tolist()
    return [point.verdict(probability(calibration.scale * margin + calibration.shift)) for margin in margins]


def _batches(crops: Pixels, metadata: ModelMetadata) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(crops), BATCH):
        yield normalize(crops[start : start + BATCH], metadata.mean, metadata.std)


def run_torch(network: nn.Module, crops: Pixels, metadata: ModelMetadata) -> Logits:
    """Logits (n, 2) in evaluation mode, computed in the network's own precision."""
    training, weight = network.training, next(network.parameters())
    network.eval()
    rows = []
    try:
        with torch.inference_mode():
            for batch in _batches(crops, metadata):
                rows.append(network(torch.from_numpy(batch).to(weight)).float().cpu().numpy())
    finally:
        network.train(training)
    return np.asarray(np.concatenate(rows), dtype=np.float32)


def run_file(path: Path, crops: Pixels, metadata: ModelMetadata) -> Logits:
    """Logits (n, 2) of an exported file in ONNX Runtime."""
    session = open_session(path.read_bytes(), None)
    rows = [session.run(["logits"], {"image": batch})[0] for batch in _batches(crops, metadata)]
    return np.asarray(np.concatenate(rows), dtype=np.float32)


def rms_of(logits: Logits) -> float:
    """Root mean square of all logits."""
    return float(np.sqrt(np.square(logits, dtype=np.float64).mean()))


def _relative(expected: Logits, got: Logits) -> float:
    """Largest difference over the rms of `expected`."""
    error, rms = float(np.abs(expected.astype(np.float64) - got).max()), rms_of(expected)
    return error / rms if rms else (float("inf") if error else 0.0)


def _tolerance(
    network: nn.Module, expected: Logits, crops: Pixels, metadata: ModelMetadata, *, relative: float
) -> float:
    """The limit for `relative`; torch's own floor is measured only where it is needed."""
    if not any(isinstance(module, BitLinear) for module in network.modules()):
        return FLOAT_TOLERANCE
    if relative <= TERNARY_TOLERANCE:
        return TERNARY_TOLERANCE
    exact = run_torch(copy.deepcopy(network).double(), crops, metadata)
    return max(TERNARY_TOLERANCE, FLOOR_FACTOR * _relative(expected, exact))


def _require_crops(crops: Pixels, size: int) -> None:
    if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (size, size, 3) or not len(crops):
        expected = f"crops to compare on, uint8 of (n, {size}, {size}, 3)"
        raise UsageError(f"expected {expected}, got {crops.dtype} of {crops.shape}")


def verify(network: nn.Module, path: Path, *, metadata: ModelMetadata, crops: Pixels) -> ExportReport:
    """Run the file and the network on the same crops; measures, and judges nothing: see `check`.

    Args:
        network: what the file was exported from.
        path: an ONNX file with input `image` and output `logits`.
        metadata: preprocessing, calibration and threshold.
        crops: (n, S, S, 3), RGB.

    Raises:
        UsageError: crops of another size or none.
    """
    _require_crops(crops, metadata.input_size)
    start = time.monotonic()
    expected, got = run_torch(network, crops, metadata), run_file(path, crops, metadata)
    error = np.abs(expected.astype(np.float64) - got)
    relative = _relative(expected, got)
    weights, size = count_ternary(onnx.load_model_from_string(path.read_bytes()))
    return ExportReport(
        path=path,
        bytes=path.stat().st_size,
        bits=metadata.bits,
        ternary_weights=weights,
        ternary_bytes=size,
        max_error=float(error.max()),
        mean_error=float(error.mean()),
        rms=rms_of(expected),
        relative=relative,
        tolerance=_tolerance(network, expected, crops, metadata, relative=relative),
        same_verdicts=verdicts_of(expected, metadata) == verdicts_of(got, metadata),
        samples=len(crops),
        seconds=time.monotonic() - start,
    )


def check(report: ExportReport) -> None:
    """Refuse a file that is not the network.

    Raises:
        CheckFailedError: logits differ by more than the tolerance, or a verdict does.
    """
    where = f"{report.path.name}, {report.samples} crops"
    if not report.relative <= report.tolerance:  # NaN fails too
        raise CheckFailedError(
            f"{where}: expected logits within {report.tolerance:.2g} of torch's rms, "
            f"got {report.relative:.2g}; no file is kept"
        )
    if not report.same_verdicts:
        raise CheckFailedError(
            f"{where}: expected torch's verdicts, got another one; no file is kept "
            "(a score at the very edge of a verdict may do this)"
        )
