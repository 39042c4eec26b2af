"""The bytes of a model file, and which format they are of."""

import stat
from pathlib import Path

from .errors import ModelFileError, printable

__all__ = ["TFLITE_MARK", "is_tflite", "read_model_file"]

TFLITE_MARK = b"TFL3"
"""Bytes 4 to 8 of every TFLite file."""


def read_model_file(path: Path) -> bytes:
    """The bytes of a model file of either format.

    Raises:
        ModelFileError: missing, unreadable, empty, or no regular file.
    """
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


def is_tflite(data: bytes) -> bool:
    """Whether these are the bytes of a TFLite file."""
    return data[4:8] == TFLITE_MARK
