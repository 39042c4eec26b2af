"""The files under SOURCE, and the video that a layout makes of some of them."""

import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from edgefake_runtime.errors import InputError, printable
from edgefake_runtime.media import MEDIA_SUFFIXES

__all__ = ["Reading", "SourceVideo", "Tree", "list_tree"]


@dataclass(frozen=True)
class SourceVideo:
    """One video, picture, or folder of frames with its label.

    Attributes:
        source: path relative to SOURCE, with forward slashes.
        label: "real" or "fake".
        identities: keys of everybody who is seen in it or was used to make it, such as "youtube:000"; never
            empty. Videos that share one never stand in two splits.
        method: of manipulation, such as "Deepfakes"; empty for reals.
        compression: of FaceForensics++ ("raw", "c23", "c40"); empty elsewhere.
        official_test: the data set's authors test on it.
    """

    source: str
    label: str
    identities: tuple[str, ...]
    method: str = ""
    compression: str = ""
    official_test: bool = False


@dataclass(frozen=True)
class Reading:
    """What a layout makes of a tree.

    Attributes:
        videos: in the order of their paths.
        unknown: media files whose names do not fit.
        left_out: media files that the layout leaves out on purpose, by reason.
        notes: sentences for the user.
    """

    videos: tuple[SourceVideo, ...]
    unknown: tuple[str, ...] = ()
    left_out: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tree:
    """Files below a folder.

    Attributes:
        root: SOURCE.
        files: relative paths with forward slashes, sorted; hidden files are left out.
        unreadable: files and folders that could not be listed or named, each with the reason.
    """

    root: Path
    files: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...] = ()

    @property
    def media(self) -> tuple[str, ...]:
        """Files with a suffix of a picture or video."""
        return tuple(name for name in self.files if PurePosixPath(name).suffix.lower() in MEDIA_SUFFIXES)


def list_tree(root: Path) -> Tree:
    """List a folder to the bottom; links to folders are followed, each folder once.

    Raises:
        InputError: missing, not a folder, not readable, or empty.
    """
    if not root.exists():
        raise InputError(f"{printable(root)}: expected a folder of videos, got no such folder; check the name")
    if not root.is_dir():
        raise InputError(f"{printable(root)}: expected a folder of videos, got a file; name the folder that holds it")
    files: list[str] = []
    failures: list[tuple[str, str]] = []
    seen: set[tuple[int, int]] = set()

    def fail(error: OSError) -> None:
        failures.append((_relative(Path(error.filename), root), (error.strerror or str(error)).lower()))

    for parent, folders, names in os.walk(root, onerror=fail, followlinks=True):
        status = Path(parent).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith("."):
                _collect(_relative(Path(parent, name), root), files, failures)
    if not files:
        reason = f": {failures[0][1]}" if failures else ""
        raise InputError(f"{printable(root)}: expected a folder of videos, got an empty one{reason}")
    return Tree(root, tuple(sorted(files)), tuple(sorted(failures)))


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _collect(name: str, files: list[str], failures: list[tuple[str, str]]) -> None:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        failures.append((printable(Path(name)), "its name is not UTF-8; rename it"))
        return
    files.append(name)
