"""A checkpoint as a classifier: what an exported file gives without torch, straight from the weights."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgefake_runtime import Classifier, ModelFileError, UsageError
from edgefake_runtime.classifier import sha256_of
from edgefake_runtime.session import MAX_THREADS

from .artefact import model_metadata
from .checkpoint import WEIGHTS, load_checkpoint
from .data.manifest import LABELS

__all__ = ["TorchClassifier"]

FLOAT_BITS = 32


class TorchClassifier(Classifier):
    """Scores face crops with a checkpoint, in float32. Takes the place of a `Classifier` everywhere.

    Normalization, batches and calibration are the runtime's own code; the network alone runs in torch.

    Args:
        folder: of a checkpoint, full or compact.
        threads: of torch, for the whole process; None leaves them as they are.

    Attributes:
        path: of the folder.
        metadata: those of its 32-bit export.
        sha256: of its weights, hexadecimal.
        network: in evaluation mode.

    Raises:
        ModelFileError: no checkpoint, damaged, without its preprocessing, or of other classes.
        UsageError: `threads` out of range.
    """

    # The base class opens a file, which there is none of here.
    def __init__(self, folder: Path | str, *, threads: int | None = None) -> None:
        if threads is not None:
            if not 1 <= threads <= MAX_THREADS:
                raise UsageError(f"threads: expected 1 to {MAX_THREADS}, got {threads}")
            torch.set_num_threads(threads)
        self.path = Path(folder)
        checkpoint = load_checkpoint(self.path)
        self.network = checkpoint.network
        if self.network.config.classes != len(LABELS):
            raise ModelFileError(
                f"{self.path}: expected a classifier of {' and '.join(LABELS)}, got one of "
                f"{self.network.config.classes} classes; fine-tune it first"
            )
        self.metadata = model_metadata(checkpoint, bits=FLOAT_BITS)
        self.sha256 = sha256_of(self.path / WEIGHTS)

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = self.network(torch.from_numpy(batch)).numpy()
        if not np.isfinite(logits).all():
            raise ModelFileError(f"{self.path}: expected finite logits, got NaN or infinity; train it again")
        return logits
