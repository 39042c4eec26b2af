"""Several networks on the same pictures: each picture is decoded once, a batch of them stands in memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgefake_runtime.errors import InputError, ModelFileError
from edgefake_runtime.metadata import Crop

from .candidates import Candidate, Look
from .data.folders import read_split
from .data.manifest import LABELS, Sample, read_manifest
from .data.pictures import read_crop
from .models import Network
from .train.order import in_order

__all__ = ["Entrant", "Scores", "compare", "select"]

BATCH = 64

Entrant = tuple[Candidate, Network]
"""A candidate, and its network as it is or quantized."""


@dataclass(frozen=True)
class Scores:
    """What one network made of n pictures.

    Attributes:
        right: (n,), whether the largest logit is that of the picture's class; of equal ones the first counts.
        margins: (n,), logit of fake minus logit of real; None for other classes.
    """

    right: NDArray[np.bool_]
    margins: NDArray[np.float64] | None

    @property
    def accuracy(self) -> float:
        """Share of the pictures that it got right (top-1)."""
        return float(self.right.mean())


def select(data: Path, *, split: str, limit: int | None, classes: Sequence[str]) -> list[Sample]:
    """Pictures of a split; with a limit as many, drawn with a fixed seed: an even step may hit one class alone.

    Args:
        data: a manifest; for classes other than real and fake also a folder that holds `<split>/<class>/`.
        split: which.
        limit: how many at most; None for all of them.
        classes: that the networks know.

    Raises:
        InputError: unreadable, nothing in the split, or a class that the networks do not know.
    """
    if tuple(classes) == LABELS:
        samples = read_manifest(data, split=split)
    else:
        samples = read_split(data, split)
        strange = sorted({sample.label for sample in samples}.difference(classes))
        if strange:
            raise InputError(
                f"{data}: expected classes among the {len(classes):,} of the checkpoints, got {len(strange):,} others "
                f"such as {strange[0]}; take the data that they were trained on"
            )
    if limit is None or limit >= len(samples):
        return samples
    chosen = np.random.default_rng(0).permutation(len(samples))[:limit]
    return [samples[index] for index in sorted(chosen)]


def compare(
    entrants: Sequence[Entrant],
    samples: Sequence[Sample],
    *,
    rule: Crop | None = None,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[Scores]:
    """Run every network over the pictures, batch by batch.

    Memory: the networks, one batch of pictures for each size and normalization, a number or two for each picture
    and network.

    Args:
        entrants: the networks, in evaluation mode, on any device.
        samples: one or more, of classes that all of them know.
        rule: how face crops were cut, where that is known.
        on_done: told of pictures as a network is done with them, of every picture by every network.

    Returns:
        Of each entrant, in their order.

    Raises:
        InputError: a picture that cannot be read.
        ModelFileError: a network gives what is no number.
    """
    looks = [candidate.look_at(rule) for candidate, _ in entrants]
    found: list[list[Scores]] = [[] for _ in entrants]
    for part, inputs in _batches(samples, looks):
        for (candidate, network), look, scores in zip(entrants, looks, found, strict=True):
            scores.append(_score(candidate, network, inputs[look], part))
            on_done(len(part))
    return [_joined(scores) for scores in found]


def _batches(samples: Sequence[Sample], looks: Sequence[Look]) -> Iterator[tuple[list[Sample], dict[Look, Tensor]]]:
    """Pictures with what is seen of them, (B, 3, size, size) for each way of looking."""
    for indices in in_order(len(samples), BATCH):
        part = [samples[index] for index in indices]
        yield part, _inputs(part, looks)


def _inputs(part: Sequence[Sample], looks: Sequence[Look]) -> dict[Look, Tensor]:
    seen: dict[Look, list[NDArray[np.uint8]]] = {look: [] for look in looks}
    for sample in part:
        picture = read_crop(sample)
        for look, images in seen.items():
            images.append(look.see(picture))
    return {look: look.to_input(images) for look, images in seen.items()}


def _score(candidate: Candidate, network: Network, images: Tensor, part: Sequence[Sample]) -> Scores:
    with torch.inference_mode():
        logits = network(images.to(next(network.parameters()).device)).double().cpu().numpy()  # (B, classes)
    if not np.isfinite(logits).all():
        raise ModelFileError(f"{candidate.name}: expected finite logits, got NaN or infinity; train it again")
    numbers = [candidate.labels.index(sample.label) for sample in part]
    margins = logits[:, 1] - logits[:, 0] if candidate.detector else None
    return Scores(logits.argmax(axis=1) == numbers, margins)


def _joined(parts: Sequence[Scores]) -> Scores:
    margins = [part.margins for part in parts if part.margins is not None]
    return Scores(np.concatenate([part.right for part in parts]), np.concatenate(margins) if margins else None)
