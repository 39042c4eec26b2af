"""A model file, opened: face crops in, P(fake) out."""

import hashlib
import math
import stat
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .crops import normalize
from .errors import ModelFileError, UsageError
from .media import printable
from .metadata import METADATA_KEY, ModelMetadata
from .session import open_session
from .shipped import default_model

__all__ = ["Classifier", "read_metadata", "sha256_of"]

MAX_BATCH = 16
"""Crops that run at once; more are split, so that memory does not grow with the number of faces."""


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> bytes:
    try:
        if stat.S_ISREG(path.stat().st_mode):
            data = path.read_bytes()
            got = "an empty one"
        else:
            data, got = b"", "a folder" if path.is_dir() else "a device or pipe"
    except (OSError, ValueError) as error:
        missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        data, got = b"", "no such file" if missing else str(getattr(error, "strerror", None) or error)
    if not data:
        raise ModelFileError(f"{printable(path)}: expected a model file, got {got}")
    return data


def _session(path: Path, data: bytes, threads: int | None) -> onnxruntime.InferenceSession:
    try:
        return open_session(data, threads)
    except ModelFileError as error:
        raise ModelFileError(f"{printable(path)}: expected a model that can run here, but {error}") from error


def read_metadata(session: onnxruntime.InferenceSession, path: Path) -> ModelMetadata:
    """The metadata inside an opened file.

    Raises:
        ModelFileError: it has none, or they do not fit its input and output.
    """
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelFileError(
            f"{printable(path)}: expected a model exported by edgefake, got an ONNX file without its metadata; "
            "make one with: edgefake export"
        )
    metadata = ModelMetadata.from_json(text)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    expected = [3, metadata.input_size, metadata.input_size]
    fits = len(inputs) == 1 and inputs[0].name == "image" and inputs[0].shape[1:] == expected
    free = fits and not isinstance(inputs[0].shape[0], int)
    if not free or [(output.name, output.shape[1:]) for output in outputs] != [("logits", [2])]:
        raise ModelFileError(
            f"{printable(path)}: expected the input image (batch, 3, {metadata.input_size}, "
            f"{metadata.input_size}) and the output logits, got {[i.shape for i in inputs]}; export it again"
        )
    return metadata


class Classifier:
    """Scores face crops with an exported model. Thread-safe.

    Args:
        path: of an ONNX file made by `edgefake export`; the shipped default model when None.
        threads: of ONNX Runtime; None for one per core.

    Attributes:
        path: of the file.
        metadata: what the file says about itself.
        sha256: of the file, hexadecimal.

    Raises:
        ModelFileError: missing, damaged, foreign, without metadata, or not runnable here.
        UsageError: `threads` out of range.
    """

    def __init__(self, path: Path | str | None = None, *, threads: int | None = None) -> None:
        self.path = default_model() if path is None else Path(path)
        data = _read(self.path)
        self._session = _session(self.path, data, threads)
        self.metadata = read_metadata(self._session, self.path)
        self.sha256 = hashlib.sha256(data).hexdigest()

    def logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw outputs of the network.

        Args:
            crops: (B, input_size, input_size, 3) RGB.

        Returns:
            (B, 2): real, fake.

        Raises:
            UsageError: crops of another shape or type.
            ModelFileError: the model fails, or gives what is no number.
        """
        size = self.metadata.input_size
        if crops.ndim != 4 or crops.shape[1:] != (size, size, 3) or crops.dtype != np.uint8:
            raise UsageError(f"expected crops (B, {size}, {size}, 3) uint8, got {crops.shape} {crops.dtype}")
        found = [np.zeros((0, 2), np.float32)]
        for start in range(0, len(crops), MAX_BATCH):
            batch = normalize(crops[start : start + MAX_BATCH], self.metadata.mean, self.metadata.std)
            found.append(self._run(batch))
        return np.concatenate(found)

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            logits = np.asarray(self._session.run(["logits"], {"image": batch})[0], np.float32)
        except Exception as error:  # ONNX Runtime raises a dozen types without a common base.
            reason = str(error).splitlines()[0][:200]
            raise ModelFileError(f"{printable(self.path)}: expected a model that runs, got: {reason}") from error
        if not np.isfinite(logits).all():
            raise ModelFileError(f"{printable(self.path)}: expected finite logits, got NaN or infinity; train it again")
        return logits

    def evidence(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Calibrated log-odds of fake: (B, input_size, input_size, 3) -> (B,)."""
        logits = self.logits(crops).astype(np.float64)
        calibration = self.metadata.calibration
        return calibration.scale * (logits[:, 1] - logits[:, 0]) + calibration.shift

    def score(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """P(fake) of each crop: (B, input_size, input_size, 3) -> (B,)."""
        return np.asarray([probability(value) for value in self.evidence(crops)], np.float64)


def probability(log_odds: float) -> float:
    """sigmoid(x), without overflow."""
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    return math.exp(log_odds) / (1 + math.exp(log_odds))
