"""The files of a model's folder: the compact checkpoint and what was exported from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgefake_runtime.classifier import Classifier
from edgefake_runtime.errors import ModelFileError
from edgefake_runtime.metadata import ModelMetadata

from ..checkpoint import CONFIG, WEIGHTS
from ..torch_classifier import TorchClassifier

__all__ = ["TORCH", "ModelFolder", "open_files"]

TORCH = "checkpoint in torch"
"""How the card calls the compact checkpoint beside the exported files."""

SHARED = ("name", "input_size", "mean", "std", "crop", "calibration", "threshold", "uncertain", "roc", "quality")
"""What an exported file has from its checkpoint."""


@dataclass(frozen=True)
class ModelFolder:
    """A model that ships.

    Attributes:
        folder: of its files.
        exported: format -> file, ONNX first.
    """

    folder: Path
    exported: Mapping[str, Path]

    @classmethod
    def find(cls, folder: Path) -> "ModelFolder":
        """Look into a folder.

        Raises:
            ModelFileError: no checkpoint, no ONNX file, or several of one format.
        """
        missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
        if missing:
            raise ModelFileError(
                f"{folder}: expected a compact checkpoint with its exported files, got no {' and no '.join(missing)}; "
                "make one with: python scripts/ship_model.py"
            )
        found: dict[str, Path] = {}
        for kind, ending in (("ONNX", ".onnx"), ("TFLite", ".tflite")):
            files = sorted(folder.glob(f"*{ending}"))
            if len(files) > 1 or (kind == "ONNX" and not files):
                got = " and ".join(file.name for file in files) or "none"
                raise ModelFileError(
                    f"{folder}: expected one {kind} file, got {got}; "
                    f"keep one, made with: edgefake export {folder} --bits 2 -o {folder}/{folder.name}-2bit{ending}"
                )
            if files:
                found[kind] = files[0]
        return cls(folder, found)

    @property
    def files(self) -> list[Path]:
        """What the card lists, with bytes and hash."""
        return [*self.exported.values(), self.folder / WEIGHTS, self.folder / CONFIG]


def open_files(model: ModelFolder, *, threads: int | None = None) -> dict[str, Classifier]:
    """The exported files by format, then the checkpoint in torch as `TORCH`.

    Raises:
        ModelFileError: one cannot be used, or was exported before the checkpoint got what it has now.
    """
    opened = {kind: Classifier(path, threads=threads) for kind, path in model.exported.items()}
    checkpoint = TorchClassifier(model.folder, threads=threads)
    for classifier in opened.values():
        _require_same(classifier.path, classifier.metadata, checkpoint.metadata)
    return {**opened, TORCH: checkpoint}


def _require_same(path: Path, metadata: ModelMetadata, wanted: ModelMetadata) -> None:
    other = [name for name in SHARED if getattr(metadata, name) != getattr(wanted, name)]
    if other:
        raise ModelFileError(
            f"{path}: expected a file exported from the checkpoint beside it, got another {' and '.join(other)}; "
            "export it again"
        )
