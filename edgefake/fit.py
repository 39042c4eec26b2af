"""What turns a trained checkpoint's logits into verdicts, fitted on labelled crops and written into the checkpoint."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefake_runtime import Classifier, QualityFloor, UsageError

from .calibrate import MAX_ERROR, Operation, fit_operation
from .checkpoint import load_checkpoint, save_checkpoint
from .data.crop_rule import centre, centre_share, read_crop_rule
from .data.manifest import Sample, read_manifest
from .data.pictures import read_crop
from .evaluate import BATCH, model_input, take_half
from .quality_floor import DROP, measure_floor
from .torch_classifier import TorchClassifier

__all__ = ["HALVES", "FittedCheckpoint", "fit_checkpoint", "origin_of"]

HALVES = ("fit", "all")

FLOOR_CROPS = 400
"""Crops that the floor of quality is measured on, at most; all stay in memory."""


@dataclass(frozen=True)
class FittedCheckpoint:
    """What was fitted and written.

    Attributes:
        operation: calibration, threshold, band, curve.
        floor: of quality.
        crops: number of crops behind them.
    """

    operation: Operation
    floor: QualityFloor
    crops: int

    def lines(self) -> Iterator[str]:
        """For people: one figure a line."""
        fitted, band = self.operation, self.operation.uncertain
        yield f"crops        {self.crops}"
        yield f"calibration  P(fake) = sigmoid({fitted.calibration.scale:.4f} margin {fitted.calibration.shift:+.4f})"
        yield f"threshold    {fitted.threshold:.3f}"
        yield f"uncertain    {band.low:.2f} to {band.high:.2f}: {band.origin}"
        yield f"quality      {self.floor.side:g} pixels, sharpness {self.floor.sharpness:g}, turn {self.floor.turn:g}"


def fit_checkpoint(
    folder: Path,
    manifest: Path,
    *,
    split: str = "val",
    half: str = "fit",
    max_error: float = MAX_ERROR,
    drop: float = DROP,
    through: Path | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> FittedCheckpoint:
    """Fit calibration, threshold, band, curve and floor of quality, and write them into a checkpoint's metadata.

    Args:
        folder: of the checkpoint, full or compact; only its metadata change.
        manifest: of labelled face crops.
        split: rows of this split.
        half: "fit" for the first half of its identity groups (`halves_by_group`), "all" for every row.
        max_error: share of wrong verdicts that the band leaves outside of it.
        drop: loss of AUC from which faces are set aside.
        through: file exported from this checkpoint, whose answers count instead of torch's: rounding moves single
            scores, and what is fitted should fit those that users get.
        on_step: called as work is done.

    Raises:
        InputError: unreadable crops, one class, too few faces, no identity groups where they are needed.
        ModelFileError: no sound checkpoint, or no sound file.
        UsageError: another half, or a file of another model.
    """
    if half not in HALVES:
        raise UsageError(f"half: expected {' or '.join(HALVES)}, got {half}")
    classifier: Classifier = TorchClassifier(folder)
    if through is not None:
        classifier = _exported(through, classifier)
    samples = _chosen(manifest, split, half)
    share = centre_share(classifier.metadata.crop, read_crop_rule(manifest))
    labels = np.array([sample.fake for sample in samples])
    margins = _margins(classifier, samples, share, on_step)
    origin = origin_of(samples, manifest, split)
    operation = fit_operation(labels, margins, origin=origin, max_error=max_error)
    few = np.random.default_rng(0).permutation(len(samples))[:FLOOR_CROPS]
    crops = [np.ascontiguousarray(centre(read_crop(samples[index]), share)) for index in few]
    seen = origin if len(few) == len(samples) else f"{len(few)} of {origin}"
    floor = measure_floor(classifier, crops, labels[few], drop=drop, origin=seen, on_step=on_step)
    _write(folder, operation, floor)
    return FittedCheckpoint(operation, floor, len(samples))


def origin_of(samples: Sequence[Sample], manifest: Path, split: str) -> str:
    """What something was fitted on, in words: "810 crops of 12 identity groups of dfdc/val"."""
    groups = len({sample.group for sample in samples})
    people = f" of {groups} identity groups" if all(sample.grouped for sample in samples) else ""
    return f"{len(samples)} crops{people} of {manifest.resolve().parent.name}/{split}"


def _exported(file: Path, checkpoint: Classifier) -> Classifier:
    """A file of the checkpoint, open."""
    found = Classifier(file)
    ours, theirs = checkpoint.metadata, found.metadata
    same = ("architecture", "name", "input_size", "crop")
    if any(getattr(ours, field) != getattr(theirs, field) for field in same):
        raise UsageError(
            f"{file}: expected a file exported from {checkpoint.path} ({ours.name}), got {theirs.name}; export it again"
        )
    return found


def _chosen(manifest: Path, split: str, half: str) -> list[Sample]:
    samples = read_manifest(manifest, split=split, required=("file", "label", "split"))
    return samples if half == "all" else take_half(samples, half, manifest=manifest, cure="take --half all")


def _margins(
    classifier: Classifier, samples: Sequence[Sample], share: float, on_step: Callable[[], None]
) -> NDArray[np.float64]:
    """Logit of fake minus logit of real, (n,)."""
    found, size = [], classifier.metadata.input_size
    for start in range(0, len(samples), BATCH):
        pictures = [read_crop(sample) for sample in samples[start : start + BATCH]]
        logits = classifier.logits(np.stack([model_input(picture, size=size, share=share) for picture in pictures]))
        found.append(logits[:, 1].astype(np.float64) - logits[:, 0])
        on_step()
    return np.concatenate(found)


def _write(folder: Path, operation: Operation, floor: QualityFloor) -> None:
    checkpoint = load_checkpoint(folder)
    fitted = {
        "calibration": asdict(operation.calibration),
        "threshold": operation.threshold,
        "uncertain": asdict(operation.uncertain),
        "roc": asdict(operation.roc),
        "quality": asdict(floor),
    }
    save_checkpoint(replace(checkpoint, metadata={**checkpoint.metadata, **fitted}), folder, compact=checkpoint.compact)
