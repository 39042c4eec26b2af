"""Where the files that ship with edgefake lie."""

from importlib.resources import files
from pathlib import Path

from .errors import ModelFileError

__all__ = ["DEFAULT_MODEL", "default_model", "models_folder"]

DEFAULT_MODEL = "bitvit-tiny-hybrid"
"""Name of the model that `edgefake detect` and `edgefake export` take when none is named."""


def models_folder() -> Path:
    """Finds the folder of shipped models: in the installed wheel, or at the top of a checkout.

    Raises:
        ModelFileError: neither is there.
    """
    installed = Path(str(files("edgefake_runtime"))) / "models"
    checkout = Path(__file__).resolve().parents[2] / "models"
    for folder in (installed, checkout):
        if folder.is_dir():
            return folder
    raise ModelFileError(
        "expected the shipped models beside edgefake_runtime, got no such folder: "
        "pip install --force-reinstall edgefake"
    )


def default_model() -> Path:
    """The shipped default model, exported at 2 bits as ONNX."""
    return models_folder() / DEFAULT_MODEL / f"{DEFAULT_MODEL}-2bit.onnx"
