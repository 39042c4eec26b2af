"""The folder of an app's bundle: which may be written, and how it takes its place whole."""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgefake_runtime.errors import InputError, UsageError, printable

__all__ = ["DESCRIPTION", "KIND", "require_folder", "whole_folder", "writing"]

DESCRIPTION = "edgefake.json"
"""Name of the file that says what is in the folder."""

KIND = "edgefake-android"
"""What it says of itself."""


def _listed(folder: Path) -> set[str] | None:
    """The files of a bundle, its description among them; None where there is no bundle."""
    try:
        description = json.loads((folder / DESCRIPTION).read_bytes())
        if description["bundle"] != KIND:
            return None
        return {DESCRIPTION, *(str(entry["file"]) for entry in description["files"])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def require_folder(out: Path, *, force: bool) -> None:
    """Refuse a folder, before the work, that cannot be written or whose files would be lost.

    Args:
        out: to be made, or replaced where it is empty or an earlier bundle.
        force: replace an earlier bundle.

    Raises:
        UsageError: something else is there.
        InputError: it cannot be written.
    """
    with writing(out):
        place = out.resolve()
        there = sorted(path.name for path in place.iterdir()) if place.is_dir() else None
    if there is None and os.path.lexists(place):
        raise UsageError(f"{printable(out)}: expected a folder for the bundle, got a file; name another")
    if there is not None and Path.cwd().is_relative_to(place):
        raise UsageError(f"{printable(out)}: expected another folder than the one in use, which is replaced; name one")
    if there:
        _require_bundle(out, there, _listed(place), force=force)
    with contextlib.suppress(_Tried), whole_folder(out):
        raise _Tried


def _require_bundle(out: Path, there: list[str], listed: set[str] | None, *, force: bool) -> None:
    if listed is None:
        raise UsageError(
            f"{printable(out)}: expected a new or empty folder, or a bundle to replace, got one with {there[0]}; "
            "name another, such as a folder in it"
        )
    strange = [name for name in there if name not in listed]
    if strange:
        raise UsageError(
            f"{printable(out)}: expected a bundle with its own files alone, got {strange[0]} as well, which would be "
            "lost; move it"
        )
    if not force:
        raise UsageError(f"{printable(out)}: expected a new folder, got an earlier bundle; --force replaces it")


class _Tried(Exception):
    """A folder could have been written."""


@contextlib.contextmanager
def writing(out: Path) -> Iterator[None]:
    """Say it in one line when the folder cannot be written.

    Raises:
        InputError: for what the operating system says of it.
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links; a name that none can have
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{printable(out)}: expected a folder that can be written, got: {reason}") from error


@contextlib.contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A new folder beside `out` that takes its place when all went well, and is deleted otherwise.

    What is there is lost: see `require_folder`.

    Raises:
        InputError: it cannot be written.
    """
    with writing(out):
        place = out.resolve()  # a link stays, what it leads to is replaced
        part = place.parent / f".edgefake-{secrets.token_hex(8)}"
        part.mkdir()
    try:
        yield part
        with writing(out):
            _replace(place, part)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _replace(place: Path, part: Path) -> None:
    """Put a folder in the place of another: the old one is back whenever the new one is not there."""
    old = part.with_name(f"{part.name}.old")
    try:
        if place.is_dir() and any(place.iterdir()):
            place.rename(old)
        part.rename(place)
    finally:
        if old.exists():
            if place.exists():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.rename(place)
