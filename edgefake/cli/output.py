"""What commands share when they print: JSON to a file or to standard output, warnings on standard error."""

import logging
import os
import sys
import tempfile
from pathlib import Path

import typer

from edgefake_runtime.errors import InputError

__all__ = ["STDOUT", "show_warnings", "write_json"]

STDOUT = Path("-")
"""The file name that stands for standard output."""


def write_json(text: str, target: Path) -> None:
    """Write JSON: to standard output for "-", else whole or not at all (a temporary name, then rename).

    Raises:
        InputError: the file cannot be written.
    """
    if target == STDOUT:
        typer.echo(text)
        return
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text + "\n")
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"{target}: expected a file that can be written, got: {error.strerror}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def require_writable(target: Path | None) -> None:
    """Refuse a JSON target before hours of work: its folder must exist and take files.

    Raises:
        InputError: it does not.
    """
    if target is None or target == STDOUT:
        return
    if target.is_dir() or not os.access(target.parent, os.W_OK | os.X_OK):
        raise InputError(f"{target}: expected a file in a folder that can be written; check the path")


def show_warnings() -> None:
    """Print the runtime's warnings, a line each, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("edgefake: %(message)s"))
    logger = logging.getLogger("edgefake_runtime")
    logger.handlers = [handler]
    logger.propagate = False
