"""What torch says of the crops that a file is compared on: asked once for all files of the same weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgefake.observe import evaluating
from edgefake_runtime.crops import normalize
from edgefake_runtime.errors import ModelFileError, UsageError
from edgefake_runtime.metadata import ModelMetadata

from .sensitivity import own_distances

__all__ = ["Logits", "Pixels", "Reference", "batches", "rms_of", "run_torch"]

BATCH = 16

Pixels = NDArray[np.uint8]
Logits = NDArray[np.float32]


def batches(crops: Pixels, metadata: ModelMetadata) -> Iterator[NDArray[np.float32]]:
    """The crops as a network takes them, some at a time: (b, 3, S, S), normalized."""
    for start in range(0, len(crops), BATCH):
        yield normalize(crops[start : start + BATCH], metadata.mean, metadata.std)


def run_torch(network: nn.Module, crops: Pixels, metadata: ModelMetadata) -> Logits:
    """Logits (n, 2) in evaluation mode, computed in the network's own precision."""
    weight = next(network.parameters())
    with evaluating(network), torch.inference_mode():
        shown = (torch.from_numpy(batch).to(weight) for batch in batches(crops, metadata))
        rows = [network(batch).float().cpu().numpy() for batch in shown]
    return np.asarray(np.concatenate(rows), dtype=np.float32)


def rms_of(logits: Logits) -> float:
    """Root mean square of all logits."""
    return float(np.sqrt(np.square(logits, dtype=np.float64).mean()))


@dataclass(frozen=True)
class Reference:
    """A network whose logits a file should give; each of them is computed when it is first asked for, and kept.

    Attributes:
        network: what the file computes: the rounded network (see `round_network`).
        crops: (n, S, S, 3), RGB, to compare on.
        metadata: preprocessing, calibration and threshold.
        original: of the network before its weights were rounded; None where they were not.

    Raises:
        UsageError: crops of another size or none.
    """

    network: nn.Module
    crops: Pixels
    metadata: ModelMetadata
    original: "Reference | None" = None

    def __post_init__(self) -> None:
        crops, size = self.crops, self.metadata.input_size
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (size, size, 3) or not len(crops):
            expected = f"crops to compare on, uint8 of (n, {size}, {size}, 3)"
            raise UsageError(f"expected {expected}, got {crops.dtype} of {crops.shape}")

    @cached_property
    def expected(self) -> Logits:
        """The network's logits, (n, 2).

        Raises:
            ModelFileError: they are not finite.
        """
        logits = run_torch(self.network, self.crops, self.metadata)
        if not np.isfinite(logits).all():
            raise ModelFileError("expected finite logits from the checkpoint, got NaN or infinite ones; train it again")
        return logits

    @cached_property
    def unrounded(self) -> Logits:
        """Those of the network before its weights were rounded, (n, 2)."""
        return (self.original or self).expected

    @cached_property
    def own_distances(self) -> NDArray[np.float64]:
        """How far torch is from itself when what its layers round moves a little: (draws, n, 2), see `sensitivity`."""
        return own_distances(self.network, lambda: run_torch(self.network, self.crops, self.metadata))
