"""A model file, opened: face crops in, P(fake) out."""

import hashlib
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .crops import normalize
from .engine import Engine, Port, open_engine
from .errors import ModelFileError, UsageError, first_line, printable
from .metadata import ModelMetadata
from .model_file import read_model_file
from .shipped import model_file

__all__ = ["Classifier", "open_model", "read_metadata", "sha256_of"]

MAX_BATCH = 16
"""Crops that run at once; more are split, so that memory does not grow with the number of faces."""


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_model(
    path: Path, data: bytes, threads: int | None = None, widen: bool | None = None
) -> tuple[Engine, ModelMetadata]:
    """A model file, ready to run, and its metadata: LiteRT gets to see no file that has none.

    Args:
        path: that errors name.
        data: its bytes.
        threads: as of `Classifier`.
        widen: as of `Classifier`.

    Raises:
        ModelFileError, MissingExtraError, UsageError: as `Classifier` does.
    """
    try:
        engine = open_engine(data, threads, widen=widen)
        metadata = read_metadata(engine)
        engine.start()
    except ModelFileError as error:
        raise ModelFileError(f"{printable(path)}: {error}") from error
    return engine, metadata


def read_metadata(engine: Engine) -> ModelMetadata:
    """The metadata inside an opened file.

    Raises:
        ModelFileError: it has none, or they do not fit its input and output; the caller adds the path.
    """
    if engine.metadata is None:
        raise ModelFileError(
            f"expected a model exported by edgefake, got a file ({engine.format}) without its metadata; "
            "make one with: edgefake export"
        )
    metadata = ModelMetadata.from_json(engine.metadata)
    size = metadata.input_size
    inputs = [(port.name, port.shape) for port in engine.inputs]
    outputs = [(port.name, port.shape[1:]) for port in engine.outputs]
    if inputs != [("image", (engine.batch, 3, size, size))] or outputs != [("logits", (2,))]:
        raise ModelFileError(
            f"expected the input image ({engine.batch or 'batch'}, 3, {size}, {size}) and the output logits, "
            f"got {_listed(engine.inputs)} and {_listed(engine.outputs)}; export it again"
        )
    return metadata


def _listed(ports: tuple[Port, ...]) -> str:
    shapes = (", ".join("batch" if size is None else str(size) for size in port.shape) for port in ports)
    return ", ".join(f"{port.name[:60]} ({shape})" for port, shape in zip(ports, shapes, strict=True)) or "none"


class Classifier:
    """Scores face crops with an exported model. Thread-safe.

    Args:
        path: of a file made by `edgefake export`, ONNX or TFLite, or the name of a shipped model; the default one when
            None.
        threads: of the runtime; None for one per core.
        widen: run 2-bit weights of a TFLite file as 8-bit ones, with the same answers; None for whichever is faster
            on this CPU, measured with a few runs of each.

    Attributes:
        path: of the file.
        metadata: what the file says about itself.
        sha256: of the file, hexadecimal.
        engine: that runs it.
        widened: whether 2-bit weights run as 8-bit ones.

    Raises:
        ModelFileError: missing, damaged, foreign, without metadata, or not runnable here.
        MissingExtraError: it is a TFLite file, and LiteRT is not installed.
        UsageError: `threads` out of range, or nothing to widen in the file.
    """

    widened = False

    def __init__(
        self, path: Path | str | None = None, *, threads: int | None = None, widen: bool | None = None
    ) -> None:
        self.path = model_file(path)
        data = read_model_file(self.path)
        self.engine, self.metadata = open_model(self.path, data, threads, widen)
        self.widened = self.engine.widened
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
            logits = self.engine.run(batch)
        except Exception as error:  # The runtimes raise a dozen types without a common base.
            got = first_line(error)
            raise ModelFileError(f"{printable(self.path)}: expected a model that runs, got: {got}") from error
        if logits.shape != (len(batch), 2):
            raise ModelFileError(
                f"{printable(self.path)}: expected two logits a crop, got {logits.shape}; export it again"
            )
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
