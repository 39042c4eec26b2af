"""The networks that a table compares, and how each is shown a picture."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgefake_runtime.crops import normalize
from edgefake_runtime.errors import ModelFileError, UsageError
from edgefake_runtime.metadata import Crop

from .artefact import model_metadata
from .checkpoint import Checkpoint, load_checkpoint
from .data.crop_rule import centre, centre_share
from .data.manifest import LABELS
from .data.pictures import View
from .models import Network
from .train.config import VIEWS

__all__ = ["Candidate", "Look", "open_candidates", "open_detectors"]

Image = NDArray[np.uint8]

FLOAT_BITS = 32


@dataclass(frozen=True)
class Look:
    """How a network is shown a picture.

    Attributes:
        view: what it sees of it.
        mean, std: per channel, of values in 0..1.
        share: of each side of the picture, cut from its middle before.
    """

    view: View
    mean: tuple[float, ...]
    std: tuple[float, ...]
    share: float = 1.0

    def see(self, image: Image) -> Image:
        """(H, W, 3) -> (size, size, 3), RGB bytes."""
        return self.view.plain(np.ascontiguousarray(centre(image, self.share)))

    def to_input(self, seen: Sequence[Image]) -> Tensor:
        """B pictures as `see` gives them -> (B, 3, size, size), float32."""
        return torch.from_numpy(normalize(np.stack(seen), self.mean, self.std))


@dataclass(frozen=True)
class Candidate:
    """A network with what a table needs of its checkpoint.

    Attributes:
        path: of the checkpoint's folder.
        name: what rows call it; ends with the folder where another candidate has the same.
        network: in evaluation mode.
        labels: classes in the order of the logits.
        look: as at validation in training.
        crop: how a detector's faces are cut; None for other classes.
    """

    path: Path
    name: str
    network: Network
    labels: tuple[str, ...]
    look: Look
    crop: Crop | None = None

    @property
    def detector(self) -> bool:
        """Whether it tells real from fake."""
        return self.labels == LABELS

    def look_at(self, rule: Crop | None) -> Look:
        """How it is shown crops that were cut by a rule: a detector of narrower crops sees their centre."""
        if self.crop is None:
            return self.look
        return replace(self.look, share=centre_share(self.crop, rule))


def open_candidates(folders: Sequence[Path]) -> list[Candidate]:
    """Read checkpoints that can stand in one table: detectors, or classifiers of the same classes.

    Args:
        folders: of the checkpoints; the same twice counts once.

    Raises:
        ModelFileError: no checkpoint, damaged, or without its classes or preprocessing.
        UsageError: their classes differ.
    """
    found = [_candidate(folder) for folder in dict.fromkeys(folders)]
    first = found[0]
    for other in found[1:]:
        if other.detector != first.detector or set(other.labels) != set(first.labels):
            raise UsageError(
                f"expected checkpoints of the same classes, got {first.path} of {_classes(first)} and {other.path} of "
                f"{_classes(other)}; make a table of each"
            )
    names = Counter(each.name for each in found)
    return [each if names[each.name] == 1 else replace(each, name=f"{each.name} ({each.path})") for each in found]


def open_detectors(folders: Sequence[Path]) -> list[Candidate]:
    """Read checkpoints of detectors alone.

    Raises:
        ModelFileError: no checkpoint, damaged, or of other classes.
    """
    found = open_candidates(folders)
    if not found[0].detector:
        raise ModelFileError(
            f"{found[0].path}: expected a detector of {' and '.join(LABELS)}, got a classifier of "
            f"{_classes(found[0])}; fine-tune it first"
        )
    return found


def _classes(candidate: Candidate) -> str:
    few = len(candidate.labels) <= 3
    return " and ".join(candidate.labels) if few else f"{len(candidate.labels):,} classes ({candidate.labels[0]}, ...)"


def _candidate(folder: Path) -> Candidate:
    checkpoint = load_checkpoint(folder)
    try:
        labels = _labels(checkpoint)
        return _detector(folder, checkpoint) if labels == LABELS else _classifier(folder, checkpoint, labels)
    except ModelFileError as error:
        raise ModelFileError(f"{folder}: {error}") from error


def _labels(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Those that the checkpoint names; real and fake where it names none and has two."""
    known = checkpoint.metadata.get("labels", LABELS)
    sound = isinstance(known, list | tuple) and all(isinstance(label, str) for label in known)
    labels, count = tuple(known) if sound else (), checkpoint.network.config.classes
    if len(set(labels)) != count:
        got = f"{len(set(labels))} names" if "labels" in checkpoint.metadata else "none"
        raise ModelFileError(f"expected labels that name the network's {count} classes, got {got}; train it again")
    return labels


def _detector(folder: Path, checkpoint: Checkpoint) -> Candidate:
    known = model_metadata(checkpoint, bits=FLOAT_BITS)
    look = Look(View(known.input_size, "face"), tuple(known.mean), tuple(known.std))
    return Candidate(folder, known.name, checkpoint.network, LABELS, look, known.crop)


def _classifier(folder: Path, checkpoint: Checkpoint, labels: tuple[str, ...]) -> Candidate:
    known = checkpoint.metadata
    view = View(checkpoint.network.config.image_size, _view(known))
    look = Look(view, _per_channel(known, "mean"), _per_channel(known, "std"))
    if not all(value > 0 for value in look.std):
        raise ModelFileError(f"std: expected positive values, got {look.std}")
    return Candidate(folder, str(known.get("name", checkpoint.model)), checkpoint.network, labels, look)


def _view(known: Mapping[str, Any]) -> str:
    recipe = known.get("recipe")
    kind = str(recipe.get("view", "crop")) if isinstance(recipe, Mapping) else "crop"
    if kind not in VIEWS:
        raise ModelFileError(f"view: expected {' or '.join(VIEWS)}, got {kind:.60}")
    return kind


def _per_channel(known: Mapping[str, Any], key: str) -> tuple[float, ...]:
    try:
        values = tuple(float(value) for value in known[key])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"expected a checkpoint with its {key}, got {known.get(key)!r:.60}") from error
    if len(values) != 3 or not np.isfinite(values).all():
        raise ModelFileError(f"{key}: expected three numbers, got {values!r:.60}")
    return values
