"""Which data set lies under SOURCE, and what its files are."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Protocol

from edgefake_runtime.errors import InputError, UsageError
from edgefake_runtime.media import PICTURE_SUFFIXES

from .listings import LISTING_LAYOUTS
from .names import NAME_LAYOUTS
from .tree import Reading, SourceVideo, Tree

__all__ = ["LAYOUTS", "Folders", "Layout", "add_groups", "read_layout"]


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

    Each file is its own identity; files of the same path below real/ and fake/, suffix aside, share one.
    """

    name: str = "folders"
    shape: str = "real/..., fake/... at any depth, videos or pictures"

    def read(self, tree: Tree) -> Reading:
        """Every media file below a folder named real or fake."""
        videos, unknown = [], []
        for source in tree.media:
            video = self._video(source)
            if video is None:
                unknown.append(source)
            else:
                videos.append(video)
        deep = sum(self._is_frame(video.source) for video in videos)
        note = f"{deep} pictures lie in folders of their own, each its own identity: if such a folder holds the frames "
        note += "of one video, --group-regex '(?:real|fake)/([^/]+)/' keeps it whole"
        return Reading(tuple(videos), tuple(unknown), notes=(note,) if deep else ())

    @staticmethod
    def _video(source: str) -> SourceVideo | None:
        folders = PurePosixPath(source).parts[:-1]
        labelled = [index for index, name in enumerate(folders) if name.lower() in ("real", "fake")]
        if not labelled:
            return None
        at = labelled[-1]
        rest = PurePosixPath(*folders[:at], *folders[at + 1 :], PurePosixPath(source).stem)
        return SourceVideo(source, folders[at].lower(), (f"file:{rest.as_posix()}",))

    @staticmethod
    def _is_frame(source: str) -> bool:
        path = PurePosixPath(source)
        return path.suffix.lower() in PICTURE_SUFFIXES and path.parent.name.lower() not in ("real", "fake")

    def recognizes(self, reading: Reading) -> bool:
        """Whether the tree is of this layout."""
        return bool(reading.videos)


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
