"""Run an exported file in ONNX Runtime and compare it with torch."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from edgefake.models import BitLinear
from edgefake_runtime.crops import normalize
from edgefake_runtime.errors import CheckFailedError, UsageError
from edgefake_runtime.metadata import ModelMetadata

__all__ = ["FLOAT_TOLERANCE", "TERNARY_TOLERANCE", "ExportReport", "check", "count_ternary", "verify"]

FLOAT_TOLERANCE = 1e-3
"""Largest |logit difference| over torch's rms, networks without BitLinear: float32 sums in another order."""

TERNARY_TOLERANCE = 1e-2
"""The same for networks with BitLinear: an activation within float32 rounding of a tie between two of its
255 levels may go to either, in any two programs, and later layers carry the step on."""

FLOOR_FACTOR = 2.0
"""Where torch itself moves by more when every pixel moves by one float32 step, the tolerance is twice that.

Measured on BitViT-tiny, four seeds, 64 faces: torch against its nudged self 5.2e-3 to 1.0e-2, torch against
the file 6.4e-3 to 8.4e-3."""

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
        same_verdicts: the score of every crop falls on torch's side of the threshold; crops within the
            `uncertain` band, where the verdict is "uncertain" on both sides, are left out.
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


def _scores(logits: Logits, metadata: ModelMetadata) -> NDArray[np.float64]:
    """P(fake) of each row (real, fake): sigmoid(scale * (fake - real) + shift)."""
    margin = (logits[:, 1] - logits[:, 0]).astype(np.float64)
    calibration = metadata.calibration
    return np.asarray((1 + np.tanh((calibration.scale * margin + calibration.shift) / 2)) / 2, np.float64)


def _same_verdicts(expected: Logits, got: Logits, metadata: ModelMetadata) -> bool:
    ours, theirs = _scores(expected, metadata), _scores(got, metadata)
    band = metadata.uncertain
    uncertain = (np.minimum(ours, theirs) >= band.low) & (np.maximum(ours, theirs) <= band.high)
    same = (ours >= metadata.threshold) == (theirs >= metadata.threshold)
    return bool((same | uncertain).all())


def _batches(crops: Pixels, metadata: ModelMetadata) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(crops), BATCH):
        yield normalize(crops[start : start + BATCH], metadata.mean, metadata.std)


def _run_torch(network: nn.Module, crops: Pixels, metadata: ModelMetadata, *, nudged: bool = False) -> Logits:
    """Logits (n, 2) in evaluation mode; `nudged` moves every input value up by one float32 step."""
    training, device = network.training, next(network.parameters()).device
    network.eval()
    rows = []
    try:
        with torch.inference_mode():
            for batch in _batches(crops, metadata):
                x = np.nextafter(batch, np.float32(np.inf)) if nudged else batch
                rows.append(network(torch.from_numpy(x).to(device)).float().cpu().numpy())
    finally:
        network.train(training)
    return np.asarray(np.concatenate(rows), dtype=np.float32)


def _run_file(path: Path, crops: Pixels, metadata: ModelMetadata) -> Logits:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rows = [session.run(["logits"], {"image": batch})[0] for batch in _batches(crops, metadata)]
    return np.asarray(np.concatenate(rows), dtype=np.float32)


def _relative(expected: Logits, got: Logits) -> float:
    """Largest difference over the rms of `expected`."""
    error = float(np.abs(expected.astype(np.float64) - got).max())
    rms = float(np.sqrt(np.square(expected, dtype=np.float64).mean()))
    return error / rms if rms else (float("inf") if error else 0.0)


def _tolerance(
    network: nn.Module, expected: Logits, crops: Pixels, metadata: ModelMetadata, *, relative: float
) -> float:
    """The limit for `relative`; torch's own floor is measured only where it is needed."""
    if not any(isinstance(module, BitLinear) for module in network.modules()):
        return FLOAT_TOLERANCE
    if relative <= TERNARY_TOLERANCE:
        return TERNARY_TOLERANCE
    floor = _relative(expected, _run_torch(network, crops, metadata, nudged=True))
    return max(TERNARY_TOLERANCE, FLOOR_FACTOR * floor)


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
    expected, got = _run_torch(network, crops, metadata), _run_file(path, crops, metadata)
    error = np.abs(expected.astype(np.float64) - got)
    relative = _relative(expected, got)
    weights, size = count_ternary(onnx.load(str(path)))
    return ExportReport(
        path=path,
        bytes=path.stat().st_size,
        bits=metadata.bits,
        ternary_weights=weights,
        ternary_bytes=size,
        max_error=float(error.max()),
        mean_error=float(error.mean()),
        rms=float(np.sqrt(np.square(expected, dtype=np.float64).mean())),
        relative=relative,
        tolerance=_tolerance(network, expected, crops, metadata, relative=relative),
        same_verdicts=_same_verdicts(expected, got, metadata),
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
            "(scores at the very threshold may do this: widen the uncertain band around it)"
        )
