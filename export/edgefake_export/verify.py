"""Run an exported file in its runtime and compare it with torch."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgefake.models import BitLinear
from edgefake.quantized import QuantizedLayer
from edgefake_runtime.classifier import probability
from edgefake_runtime.engine import open_engine
from edgefake_runtime.errors import CheckFailedError
from edgefake_runtime.metadata import ModelMetadata
from edgefake_runtime.results import Verdict
from edgefake_runtime.verdict import OperatingPoint

from .contents import read_contents
from .fold import FloatBitLinear
from .reference import Logits, Pixels, Reference, batches, rms_of

__all__ = [
    "FLOAT_TOLERANCE",
    "ROUNDED_TOLERANCE",
    "Drop",
    "ExportReport",
    "check",
    "run_file",
    "verdicts_of",
    "verify",
]

FLOAT_TOLERANCE = 1e-3
"""Largest |logit difference| over torch's rms, where nothing rounds activations: float32 sums in another order."""

ROUNDED_TOLERANCE = 1e-2
"""The same where layers round their inputs."""

MEAN_TOLERANCE = 1e-3
"""The mean |logit difference| there, over torch's rms."""

MOST, MOST_MEAN = 0.5, 0.03
"""The limits however unsure torch is: beyond them nothing could be told from a wrong file."""

OWN_LARGEST, OWN_MEAN = 2.0, 1.5
"""Where torch itself is less sure (see `sensitivity`), the limits are so many times its own distances.

They are of eight draws. Of 3,000 times 64 crops, a further draw lay beyond the largest of eight in 8 to 12 %, beyond
twice as much in 0.1 %, and its mean never beyond 1.5 times (linvit-tiny at 3 and 6 bits)."""


@dataclass(frozen=True)
class Drop:
    """What an export costs on labelled crops.

    Attributes:
        before, after: AUC of the checkpoint in torch, and of the file in its runtime.
        samples: crops scored.
        limit: the most that it may cost; None for no limit.
    """

    before: float
    after: float
    samples: int
    limit: float | None = None

    @property
    def drop(self) -> float:
        """AUC lost; negative where the file is better."""
        return self.before - self.after


@dataclass(frozen=True)
class ExportReport:
    """One exported file and how it compares with torch.

    Attributes:
        path: of the file.
        format: "ONNX" or "TFLite".
        bytes: its size.
        bits: of the encoder's weights, as asked for.
        parts: part of the network -> bits a weight -> (weights, bytes), counted in the file.
        needs: the oldest runtime that reads it, such as "onnxruntime 1.24".
        max_error: largest |logit difference| to torch with the same rounded weights.
        mean_error: mean of them.
        rms: root mean square of torch's logits.
        relative: max_error / rms.
        tolerance: what `relative` may be.
        mean_tolerance: what mean_error / rms may be.
        agreeing: crops with the same of `real`, `fake` and `uncertain` in file and torch.
        certain: crops whose verdict no error within the tolerance can change.
        disagreeing: of those, the ones with another verdict in the file: none in a file that is kept.
        samples: crops compared.
        rounding: rms of what rounding the weights did to the logits, over their rms.
        drop: AUC before and after, where labelled crops were given.
        seconds: of the whole export.
    """

    path: Path
    format: str
    bytes: int
    bits: int
    parts: Mapping[str, Mapping[int, tuple[int, int]]]
    needs: str
    max_error: float
    mean_error: float
    rms: float
    relative: float
    tolerance: float
    mean_tolerance: float
    agreeing: int
    certain: int
    disagreeing: int
    samples: int
    rounding: float
    seconds: float
    drop: Drop | None = None

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values, with widths as text keys."""
        parts = {
            part: {str(bits): {"weights": n, "bytes": size} for bits, (n, size) in widths.items()}
            for part, widths in self.parts.items()
        }
        rest = asdict(self) | {"path": str(self.path), "parts": parts}
        if self.drop is not None:
            rest["drop"] = asdict(self.drop) | {"drop": self.drop.drop}
        return rest


def verdicts_of(logits: Logits, metadata: ModelMetadata) -> list[Verdict]:
    """What the runtime would say of each row (real, fake) of logits."""
    point, calibration = OperatingPoint.of(metadata), metadata.calibration
    margins = (logits[:, 1] - logits[:, 0]).astype(np.float64).tolist()
    return [point.verdict(probability(calibration.scale * margin + calibration.shift)) for margin in margins]


def run_file(path: Path, crops: Pixels, metadata: ModelMetadata) -> Logits:
    """Logits (n, 2) of an exported file in its runtime, as it is stored: weights are not widened."""
    engine = open_engine(path.read_bytes(), None, widen=False)
    rows = [engine.run(batch) for batch in batches(crops, metadata)]
    return np.asarray(np.concatenate(rows), dtype=np.float32)


def _relative(expected: Logits, got: Logits) -> float:
    """Largest difference over the rms of `expected`."""
    error, rms = float(np.abs(expected.astype(np.float64) - got).max()), rms_of(expected)
    return error / rms if rms else (float("inf") if error else 0.0)


def _rounds_activations(module: nn.Module) -> bool:
    if isinstance(module, QuantizedLayer):
        return module.activations.method != "none"
    return isinstance(module, (BitLinear, FloatBitLinear))


def _limits(reference: Reference, *, relative: float, mean: float) -> tuple[float, float]:
    """What the largest and the mean error may be, over rms; torch is asked for its own only where it is needed."""
    if not any(_rounds_activations(module) for module in reference.network.modules()):
        return FLOAT_TOLERANCE, FLOAT_TOLERANCE
    if relative <= ROUNDED_TOLERANCE and mean <= MEAN_TOLERANCE:
        return ROUNDED_TOLERANCE, MEAN_TOLERANCE
    own = reference.own_distances / (rms_of(reference.expected) or 1.0)
    largest, average = OWN_LARGEST * float(own.max()), OWN_MEAN * float(own.mean(axis=(1, 2)).max())
    if relative <= ROUNDED_TOLERANCE:
        largest = ROUNDED_TOLERANCE
    return min(max(ROUNDED_TOLERANCE, largest), MOST), min(max(MEAN_TOLERANCE, average), MOST_MEAN)


def _certain(expected: Logits, error: float, metadata: ModelMetadata) -> NDArray[np.bool_]:
    """Where no two logits that are off by so much give another verdict."""
    shift = np.array([error, -error], np.float32)  # away from fake, then towards it
    verdicts = [verdicts_of(expected + sign * shift, metadata) for sign in (1, 0, -1)]
    return np.array([len(set(three)) == 1 for three in zip(*verdicts, strict=True)])


def verify(reference: Reference, path: Path) -> ExportReport:
    """Run the file on the crops that torch was run on; measures, and judges nothing: see `check`.

    Args:
        reference: what the file should compute, and where it is compared.
        path: a file with input `image` and output `logits`.

    Raises:
        ModelFileError: the network's own logits are not finite, or the file does not run.
    """
    start = time.monotonic()
    crops, metadata = reference.crops, reference.metadata
    expected, got = reference.expected, run_file(path, crops, metadata)
    error = np.abs(expected.astype(np.float64) - got)
    relative, rms = _relative(expected, got), rms_of(expected)
    tolerance, mean_tolerance = _limits(reference, relative=relative, mean=float(error.mean()) / (rms or 1.0))
    same = np.array(verdicts_of(expected, metadata)) == np.array(verdicts_of(got, metadata))
    certain = _certain(expected, tolerance * rms, metadata)
    contents = read_contents(path)
    return ExportReport(
        path=path,
        format=contents.format,
        bytes=contents.bytes,
        bits=metadata.bits,
        parts=contents.bits_by_part,
        needs=f"{contents.needs.runtime} {contents.needs.version or '(newest)'}",
        max_error=float(error.max()),
        mean_error=float(error.mean()),
        rms=rms,
        relative=relative,
        tolerance=tolerance,
        mean_tolerance=mean_tolerance,
        agreeing=int(same.sum()),
        certain=int(certain.sum()),
        disagreeing=int((certain & ~same).sum()),
        samples=len(crops),
        rounding=rms_of(expected - reference.unrounded) / rms if rms else 0.0,
        seconds=time.monotonic() - start,
    )


def check(report: ExportReport) -> None:
    """Refuse a file that is not the network, or that costs too much.

    Raises:
        CheckFailedError: logits differ by more than the tolerance, a verdict does, or the AUC falls below its limit.
    """
    where = f"{report.path.name}, {report.samples} crops"
    if not report.relative <= report.tolerance:  # NaN fails too
        raise CheckFailedError(
            f"{where}: expected logits within {report.tolerance:.2g} of torch's rms, "
            f"got {report.relative:.2g}; no file is kept"
        )
    if not report.mean_error <= report.mean_tolerance * report.rms:
        raise CheckFailedError(
            f"{where}: expected logits within {report.mean_tolerance:.2g} of torch's rms on average, "
            f"got {report.mean_error / report.rms:.2g}; no file is kept"
        )
    if report.disagreeing:
        raise CheckFailedError(
            f"{where}: expected torch's verdicts, got {report.disagreeing} others that no rounding explains; no file "
            "is kept"
        )
    drop = report.drop
    if drop is not None and drop.limit is not None and not drop.drop <= drop.limit:
        raise CheckFailedError(
            f"{report.path.name}, {drop.samples} labelled crops: expected an AUC of {drop.before - drop.limit:.4f} or "
            f"more, got {drop.after:.4f} (before: {drop.before:.4f}); no file is kept; take more --bits, or see which "
            "layer costs most with --blame"
        )
