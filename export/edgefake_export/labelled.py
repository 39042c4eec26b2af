"""Labelled face crops of a manifest: to compare on, to calibrate on, and to see what an export costs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgefake.candidates import Look
from edgefake.compare import select
from edgefake.data.crop_rule import centre_share, read_crop_rule
from edgefake.data.manifest import LABELS, Sample, read_manifest
from edgefake.data.pictures import View, read_crop
from edgefake.metrics import auc
from edgefake.observe import evaluating
from edgefake_runtime.engine import open_engine
from edgefake_runtime.errors import InputError
from edgefake_runtime.metadata import ModelMetadata

from .verify import Drop

__all__ = ["BLAMED", "CALIBRATION", "COMPARED", "LabelledCrops"]

COMPARED = 64
"""Crops that file and torch are compared on, drawn with a fixed seed."""

CALIBRATION = 256
"""Crops that GPTQ and static activations are calibrated on."""

BLAMED = 256
"""Crops that layers are ranked on: each layer runs over all of them."""

BATCH = 32


@dataclass(frozen=True)
class LabelledCrops:
    """Rows of a manifest, and how the model is shown them.

    Attributes:
        samples: real and fake.
        look: of the model.
    """

    samples: tuple[Sample, ...]
    look: Look

    @classmethod
    def read(cls, manifest: Path, metadata: ModelMetadata, *, split: str, limit: int | None = None) -> "LabelledCrops":
        """Rows of a split; all rows of a manifest without splits.

        Raises:
            InputError: unreadable, or nothing in the split.
        """
        has_splits = any(sample.split for sample in read_manifest(manifest))
        chosen = select(manifest, split=split if has_splits else "", limit=limit, classes=LABELS)
        share = centre_share(metadata.crop, read_crop_rule(manifest))
        view = View(metadata.input_size, "face")
        return cls(tuple(chosen), Look(view, tuple(metadata.mean), tuple(metadata.std), share))

    def draw(self, count: int) -> "LabelledCrops":
        """As many of them, or all where there are fewer; the same ones each time."""
        order = np.random.default_rng(0).permutation(len(self.samples))[:count]
        return replace(self, samples=tuple(self.samples[index] for index in sorted(order)))

    @property
    def fakes(self) -> NDArray[np.bool_]:
        """(n,), whether each is fake."""
        return np.array([sample.fake for sample in self.samples])

    def crops(self) -> NDArray[np.uint8]:
        """(n, S, S, 3) RGB."""
        return np.stack([self._see(sample) for sample in self.samples])

    def inputs(self) -> Tensor:
        """The same as the network sees them: (n, 3, S, S), normalized."""
        return self.look.to_input(list(self.crops()))

    def measure(
        self,
        network: nn.Module,
        path: Path,
        *,
        limit: float | None = None,
        on_done: Callable[[int], None] | None = None,
    ) -> Drop:
        """AUC of a network in torch and of its file in its runtime.

        Raises:
            InputError: a picture that cannot be read, or only one of the two classes.
        """
        fakes = self.fakes
        if fakes.all() or not fakes.any():
            raise InputError("expected real and fake crops, to see what the export costs, got one of the two alone")
        engine = open_engine(path.read_bytes(), None)
        margins: list[list[NDArray[np.float64]]] = [[], []]
        for start in range(0, len(self.samples), BATCH):
            part = self.samples[start : start + BATCH]
            batch = self.look.to_input([self._see(sample) for sample in part])
            with evaluating(network), torch.inference_mode():
                found = network(batch.to(next(network.parameters()).device)).double().cpu().numpy()
            for logits, column in ((found, margins[0]), (engine.run(batch.numpy()).astype(np.float64), margins[1])):
                column.append(logits[:, 1] - logits[:, 0])
            if on_done is not None:
                on_done(len(part))
        before, after = (auc(fakes, np.concatenate(column)) for column in margins)
        return Drop(before=before, after=after, samples=len(fakes), limit=limit)

    def _see(self, sample: Sample) -> NDArray[np.uint8]:
        return self.look.see(read_crop(sample))
