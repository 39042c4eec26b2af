"""From a folder of videos to a plan: which videos are cut, and into which split each goes."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from edgefake_runtime.errors import InputError, UsageError

from .balance import sample_videos
from .layouts import add_groups, read_layout
from .report import Dropped
from .settings import SPLITS, PrepareSettings
from .split import Division, divide
from .tree import Reading, SourceVideo, Tree, list_tree

__all__ = ["Plan", "PlannedVideo", "make_plan"]


@dataclass(frozen=True)
class PlannedVideo:
    """A video that is to be cut.

    Attributes:
        source: path relative to SOURCE.
        label: "real" or "fake".
        split: "train", "val" or "test".
        group: component of identities.
        folder: of its crops, relative to OUT.
    """

    source: str
    label: str
    split: str
    group: str
    folder: str


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        layout: as it was recognized.
        videos: by split, label and path.
        dropped: what was left out so far.
        notes: sentences for the user.
    """

    layout: str
    videos: tuple[PlannedVideo, ...]
    dropped: tuple[Dropped, ...]
    notes: tuple[str, ...]

    def digest(self) -> str:
        """Of the videos and where they go: the same where SOURCE holds the same names."""
        lines = (f"{v.source}\0{v.label}\0{v.split}\0{v.group}\n" for v in self.videos)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def make_plan(source: Path, settings: PrepareSettings) -> Plan:
    """Read SOURCE, divide its videos and sample them.

    Raises:
        InputError: SOURCE is missing or holds nothing that is understood, or nothing is left.
        UsageError: settings that do not fit what is there.
    """
    tree = list_tree(source)
    layout, reading = read_layout(tree, settings.layout)
    reading = _choose(add_groups(reading, settings.group_regex), settings)
    _require_wanted(source, layout, reading, settings)
    division = divide(
        reading.videos,
        settings.shares.fractions(),
        split_by=settings.split_by,
        official_test=settings.official_test,
        seed=settings.seed,
    )
    chosen, sampled_out = _sample(reading, division, settings)
    dropped = [
        entry for entry in (*_unused(tree, reading), *_undivided(reading, division), *sampled_out) if entry.count
    ]
    if not chosen:
        raise InputError(_nothing_left(source, dropped))
    notes = (*reading.notes, *division.notes, *_empty_splits(chosen, division.split, settings))
    return Plan(layout, _place(chosen, division.split, division.group), tuple(dropped), notes)


def _sample(
    reading: Reading, division: Division, settings: PrepareSettings
) -> tuple[list[SourceVideo], tuple[Dropped, Dropped]]:
    chosen, over, surplus = sample_videos(
        reading.videos,
        division.split,
        settings.shares.fractions(),
        balance=settings.balance,
        max_videos=settings.max_videos,
        seed=settings.seed,
        whole=("test",) if settings.official_test else (),
    )
    return chosen, (_videos("over --max-videos", over), _videos("surplus of its label in its split", surplus))


def _nothing_left(source: Path, dropped: list[Dropped]) -> str:
    reasons = ", ".join(f"{entry.count} {entry.unit}: {entry.reason}" for entry in dropped)
    return (
        f"{source}: expected real and fake videos in one split at least, got none that is left ({reasons}); "
        "try --no-balance or another --split"
    )


def _unused(tree: Tree, reading: Reading) -> list[Dropped]:
    """Files that are no videos of the set."""
    failures = tuple(f"{name}: {reason}" for name, reason in tree.unreadable)
    return [
        Dropped("cannot be listed or named", "files", len(failures), failures),
        Dropped("name does not fit the layout", "files", len(reading.unknown), reading.unknown),
        *(Dropped(reason, "files", len(names), names) for reason, names in reading.left_out.items()),
    ]


def _videos(reason: str, names: tuple[str, ...] | list[str]) -> Dropped:
    return Dropped(reason, "videos", len(names), tuple(names))


def _undivided(reading: Reading, division: Division) -> list[Dropped]:
    """Videos that no split takes."""
    gone = {*division.split, *division.crossing, *division.conflicting}
    return [
        _videos("shares people with official test videos", division.conflicting),
        _videos("shows people of two splits", division.crossing),
        _videos("no split has a share left for it", [v.source for v in reading.videos if v.source not in gone]),
    ]


def _choose(reading: Reading, settings: PrepareSettings) -> Reading:
    """Keep the videos of the wanted compression and manipulations."""
    found = sorted({video.compression for video in reading.videos if video.compression})
    if settings.compression is None and len(found) > 1:
        raise UsageError(
            f"compression: expected one of those that are there, got {', '.join(found)} and no choice; "
            f"give --compression {found[0]}, or all"
        )
    methods = {video.method for video in reading.videos if video.method}
    missing = sorted(set(settings.methods) - methods)
    if missing:
        raise UsageError(f"method: expected {', '.join(sorted(methods)) or 'none here'}; got {', '.join(missing)}")
    wanted = settings.compression if settings.compression != "all" else None
    reading = _keep(reading, "other compression", [v for v in reading.videos if wanted in (None, v.compression)])
    if settings.methods:
        fitting = [v for v in reading.videos if v.label == "real" or v.method in settings.methods]
        reading = _keep(reading, "other method", fitting)
    if not reading.videos:
        raise UsageError(f"compression: expected {', '.join(found) or 'none here'}; got {settings.compression}")
    return reading


def _keep(reading: Reading, reason: str, kept: list[SourceVideo]) -> Reading:
    sources = {video.source for video in kept}
    dropped = tuple(video.source for video in reading.videos if video.source not in sources)
    left_out = {**reading.left_out, reason: dropped} if dropped else reading.left_out
    return replace(reading, videos=tuple(kept), left_out=left_out)


def _require_wanted(source: Path, layout: str, reading: Reading, settings: PrepareSettings) -> None:
    """Official test videos and both labels, where the settings want them."""
    if settings.official_test and not any(video.official_test for video in reading.videos):
        raise UsageError(f"{source}: expected official test videos of {layout}, got none; leave --official-test out")
    labels = {video.label for video in reading.videos}
    if settings.balance and len(labels) == 1:
        missing = "fake" if "real" in labels else "real"
        raise InputError(
            f"{source}: expected real and fake videos, got {len(reading.videos)} {labels.pop()} ones alone; "
            f"put {missing} ones beside them, or give --no-balance"
        )


def _empty_splits(chosen: list[SourceVideo], split: Mapping[str, str], settings: PrepareSettings) -> tuple[str, ...]:
    filled = {split[video.source] for video in chosen}
    fractions = settings.shares.fractions()
    return tuple(
        f"{name} is empty: too few groups of people, or none with both labels"
        for name in SPLITS
        if name not in filled and (fractions[name] > 0 or (settings.official_test and name == "test"))
    )


def _place(chosen: list[SourceVideo], split: Mapping[str, str], group: Mapping[str, str]) -> tuple[PlannedVideo, ...]:
    """Crops lie at crops/<split>/<label>/<path>/, without its suffix unless two paths differ by that alone."""
    bare = Counter(str(PurePosixPath(video.source).with_suffix("")) for video in chosen)
    bare.update(video.source for video in chosen if video.source in bare)
    planned = []
    for video in chosen:
        name = str(PurePosixPath(video.source).with_suffix(""))
        name = name if bare[name] == 1 or name == video.source else video.source
        where = split[video.source]
        folder = f"crops/{where}/{video.label}/{name}"
        planned.append(PlannedVideo(video.source, video.label, where, group[video.source], folder))
    return tuple(sorted(planned, key=lambda v: (SPLITS.index(v.split), v.label, v.source)))
