"""Which data set lies under SOURCE, and what its files are."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Protocol

from edgefake_runtime.errors import InputError, UsageError

from .listings import LISTING_LAYOUTS
from .names import NAME_LAYOUTS
from .people import PlainFile, read_people
from .tree import Reading, SourceVideo, Tree

__all__ = ["LAYOUTS", "Folders", "Layout", "add_groups", "read_layout"]

SPLIT_FOLDERS = frozenset(("train", "training", "val", "valid", "validation", "test", "testing"))
"""Names of folders, in lower case, into which a tree was divided before."""


class Layout(Protocol):
    """A data set's way to lay out its files."""

    @property
    def name(self) -> str:
        """For `--layout`."""

    @property
    def shape(self) -> str:
        """How it is recognized, for people."""

    def read(self, tree: Tree) -> Reading:
        """Videos, and what is none."""

    def recognizes(self, reading: Reading) -> bool:
        """Whether the tree is of this layout, by what `read` made of it."""


@dataclass(frozen=True)
class Folders:
    """Any tree with folders named real and fake: the innermost such folder of a path is the label.

    Names like those of FaceForensics++ and Celeb-DF are read as people; see `edgefake.prepare.people`. Each other
    file is its own identity; files of the same path below real/ and fake/, suffix aside, share one, also where
    `_fake` or `_real` follows the name.
    """

    name: str = "folders"
    shape: str = "real/..., fake/... at any depth, videos or pictures"

    def read(self, tree: Tree) -> Reading:
        """Every media file below a folder named real or fake."""
        files = {source: file for source in tree.media if (file := _plain_file(source))}
        people, notes = read_people(files.values())
        videos = tuple(
            SourceVideo(source, file.label, people.get(source) or (_file_identity(file),))
            for source, file in files.items()
        )
        unknown = tuple(source for source in tree.media if source not in files)
        alone = [file for source, file in files.items() if source not in people]
        return Reading(videos, unknown, notes=(*notes, *_frame_notes(alone), *_split_notes(files)))

    def recognizes(self, reading: Reading) -> bool:
        """Whether the tree is of this layout."""
        return bool(reading.videos)


def _plain_file(source: str) -> PlainFile | None:
    folders = PurePosixPath(source).parts[:-1]
    labelled = [index for index, name in enumerate(folders) if name.lower() in ("real", "fake")]
    if not labelled:
        return None
    at = labelled[-1]
    return PlainFile(source, folders[at].lower(), PurePosixPath(*PurePosixPath(source).parts[at + 1 :]))


def _file_identity(file: PlainFile) -> str:
    above = PurePosixPath(file.source).parts[: -len(file.below.parts) - 1]
    stem = re.sub(r"(?<=.)[_-](?:real|fake)$", "", file.below.stem, flags=re.IGNORECASE)
    return f"file:{PurePosixPath(*above, file.below.parent, stem).as_posix()}"


def _frame_notes(files: Iterable[PlainFile]) -> tuple[str, ...]:
    deep = sum(bool(file.folders) for file in files)
    note = f"{deep} pictures lie in folders of their own, each its own identity: if such a folder holds the frames "
    note += "of one video, --group-regex '(?:real|fake)/([^/]+)/' keeps it whole"
    return (note,) if deep else ()


def _split_notes(sources: Iterable[str]) -> tuple[str, ...]:
    """Where SOURCE was divided before."""
    splits = [part for source in sources for part in PurePosixPath(source).parts[:-1] if part.lower() in SPLIT_FOLDERS]
    named = ", ".join(sorted(set(splits)))
    note = f"folders named {named} are dealt anew among train, val and test: to keep such a division, prepare each "
    note += "folder by itself, with --split 100/0/0, 0/100/0 or 0/0/100"
    return (note,) if splits else ()


_ALL: tuple[Layout, ...] = (*NAME_LAYOUTS, *LISTING_LAYOUTS, Folders())
LAYOUTS: Mapping[str, Layout] = {layout.name: layout for layout in _ALL}
"""By name; the last one is tried only where none of the others fits."""


def read_layout(tree: Tree, name: str = "auto") -> tuple[str, Reading]:
    """Read a tree as one layout, or as the one that it is.

    "auto" takes the layout that understands all that the other recognized ones do. Where two data sets lie
    side by side there is none.

    Returns:
        The layout's name, and what it read.

    Raises:
        UsageError: no such layout, or several fit.
        InputError: none fits; names the known ones and what was seen.
    """
    if name != "auto":
        if name not in LAYOUTS:
            raise UsageError(f"layout: expected auto, {', '.join(LAYOUTS)}; got {name!r}")
        reading = LAYOUTS[name].read(tree)
        if not reading.videos:
            raise _unrecognized(tree, name)
        return name, reading
    readings = {layout.name: reading for layout in _ALL[:-1] if layout.recognizes(reading := layout.read(tree))}
    if not readings:
        readings = {layout.name: reading for layout in _ALL[-1:] if layout.recognizes(reading := layout.read(tree))}
    if not readings:
        raise _unrecognized(tree, name)
    return _widest(tree, readings)


def _widest(tree: Tree, readings: Mapping[str, Reading]) -> tuple[str, Reading]:
    sources = {name: {video.source for video in reading.videos} for name, reading in readings.items()}
    best = max(sources, key=lambda name: len(sources[name]))
    if any(not names <= sources[best] for names in sources.values()):
        found = ", ".join(f"{name} ({len(names)} videos)" for name, names in sources.items())
        raise UsageError(f"{tree.root}: expected one data set, got {found}; choose with --layout, or name its folder")
    return best, readings[best]


def _unrecognized(tree: Tree, name: str) -> InputError:
    suffixes = Counter(PurePosixPath(file).suffix.lower() or "no suffix" for file in tree.files)
    seen = ", ".join(f"{count} x {suffix}" for suffix, count in suffixes.most_common(4))
    known = "; ".join(f"{layout.name}: {layout.shape}" for layout in _ALL if name in ("auto", layout.name))
    example = (tree.media or tree.files)[0]
    return InputError(
        f"{tree.root}: expected a known layout ({known}), got {len(tree.files)} files ({seen}) such as {example!r}; "
        "check the folder, or sort the videos into real/ and fake/"
    )


def add_groups(reading: Reading, regex: str | None) -> Reading:
    """Give every video whose path the expression finds one more identity: its first group, else the whole match.

    Raises:
        UsageError: it finds nothing in any path.
    """
    if regex is None:
        return reading
    pattern = re.compile(regex)
    videos = tuple(_add_group(video, pattern) for video in reading.videos)
    if videos == reading.videos:
        raise UsageError(f"group regex: expected one that fits a path such as {videos[0].source!r}, got {regex!r}")
    return replace(reading, videos=videos)


def _add_group(video: SourceVideo, pattern: re.Pattern[str]) -> SourceVideo:
    match = pattern.search(video.source)
    if match is None:
        return video
    found = match[1] if pattern.groups else match[0]
    return replace(video, identities=tuple(sorted({*video.identities, f"group:{found or ''}"})))
