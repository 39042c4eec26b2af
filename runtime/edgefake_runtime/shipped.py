"""Where the files that ship with edgefake lie."""

from importlib.resources import files
from pathlib import Path

from .errors import ModelFileError

__all__ = ["DEFAULT_MODEL", "default_model", "model_file", "models_folder", "shipped_folder"]

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


def shipped_folder(name: Path | str) -> Path | None:
    """The folder of the shipped model of this name; None if there is none, or a file or folder of that name here."""
    if Path(name).name != str(name) or _is_here(Path(name)):
        return None
    folder = models_folder() / name
    return folder if (folder / "config.json").is_file() else None


def _is_here(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # such as a name that is too long; who opens it says so
        return True


def model_file(name: Path | str | None) -> Path:
    """The file to open: a shipped model's 2-bit ONNX file by its name, the default's for None, else what was named."""
    if name is None:
        return default_model()
    folder = shipped_folder(name)
    return Path(name) if folder is None else folder / f"{folder.name}-2bit.onnx"


def default_model() -> Path:
    """The shipped default model, exported at 2 bits as ONNX."""
    return models_folder() / DEFAULT_MODEL / f"{DEFAULT_MODEL}-2bit.onnx"
