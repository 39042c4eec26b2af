"""Layouts whose file names say who is seen: FaceForensics++, Celeb-DF, DeeperForensics, UADFV, DF-TIMIT."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from edgefake_runtime.errors import InputError
from edgefake_runtime.media import PICTURE_SUFFIXES

from .tree import Reading, SourceVideo, Tree

__all__ = ["NAME_LAYOUTS", "NameLayout", "NamePattern"]

TEST_LIST = "List_of_testing_videos.txt"
_PERSON, _SENTENCE = r"[mf][a-z]{3}\d", r"(?:sa|si|sx)\d+"


@dataclass(frozen=True)
class NamePattern:
    """Names of one kind of video.

    Attributes:
        path: regular expression of the path below the data set's own folder, without the suffix.
        label: "real" or "fake".
        identities: templates of the keys, filled with the named groups of `path`.
    """

    path: str
    label: str
    identities: tuple[str, ...]

    def match(self, name: str) -> re.Match[str] | None:
        """Match a path relative to SOURCE; the data set may lie in a folder of it."""
        return re.fullmatch(rf"(?:.*/)?{self.path}", str(PurePosixPath(name).with_suffix("")))

    def video(self, name: str, match: re.Match[str]) -> SourceVideo:
        """The video that a match stands for."""
        groups = match.groupdict()
        return SourceVideo(
            source=name,
            label=self.label,
            identities=tuple(sorted({template.format(**groups) for template in self.identities})),
            method=groups.get("method") or "",
            compression=groups.get("compression") or "",
        )


@dataclass(frozen=True)
class NameLayout:
    """A data set that is read by the names of its files.

    Attributes:
        name: for `--layout`.
        shape: how it is recognized, for people.
        patterns: of its videos.
        needs: label of which a video must be there for the layout to be recognized, or "" for either.
        whole: recognized only where all videos fit, since other sets have names like these too.
    """

    name: str
    shape: str
    patterns: tuple[NamePattern, ...]
    needs: str = ""
    whole: bool = False
    aside: dict[str, str] = field(default_factory=dict)
    """Reason -> regular expression of media that belong to the set and are no videos to learn from."""

    def read(self, tree: Tree) -> Reading:
        """Sort the media files of a tree into videos, files left out on purpose, and files not understood."""
        videos: list[SourceVideo] = []
        unknown: list[str] = []
        left_out: dict[str, tuple[str, ...]] = {}
        for name in tree.media:
            reason = next((reason for reason, regex in self.aside.items() if re.search(regex, name)), None)
            found = self._video(name)
            if found is not None:
                videos.append(found)
            elif reason is not None:
                left_out[reason] = (*left_out.get(reason, ()), name)
            else:
                unknown.append(name)
        return Reading(tuple(videos), tuple(unknown), left_out)

    def _video(self, name: str) -> SourceVideo | None:
        for pattern in self.patterns:
            if match := pattern.match(name):
                return pattern.video(name, match)
        return None

    def recognizes(self, reading: Reading) -> bool:
        """Whether the tree is of this layout."""
        if self.whole and any(PurePosixPath(name).suffix.lower() not in PICTURE_SUFFIXES for name in reading.unknown):
            return False
        return any(not self.needs or video.label == self.needs for video in reading.videos)


@dataclass(frozen=True)
class CelebDF(NameLayout):
    """Celeb-DF v1 and v2, with the authors' list of test videos ("1 Celeb-real/id0_0000.mp4", 1 for real)."""

    def read(self, tree: Tree) -> Reading:
        """As every layout by names; videos on the list are marked.

        Raises:
            InputError: a line of the list is no label and path, or contradicts the folder's label.
        """
        reading = super().read(tree)
        lists = [name for name in tree.files if PurePosixPath(name).name == TEST_LIST]
        listed: dict[str, str] = {}
        for name in lists:
            listed |= _test_list(tree, name)
        videos = tuple(_mark(video, listed, tree) for video in reading.videos)
        missing = len(listed) - sum(video.official_test for video in videos)
        notes = (f"{missing} of {len(listed)} videos of {TEST_LIST} are not there",) if missing else ()
        return replace(reading, videos=videos, notes=notes)


def _test_list(tree: Tree, name: str) -> dict[str, str]:
    """Path relative to SOURCE -> label."""
    folder = PurePosixPath(name).parent
    listed: dict[str, str] = {}
    text = (tree.root / name).read_text(encoding="utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        label, _, path = line.strip().partition(" ")
        if not line.strip():
            continue
        if label not in ("0", "1") or not path.strip():
            raise InputError(
                f"{tree.root / name}:{number}: expected '1 Celeb-real/id0_0000.mp4' or '0 ...', got {line!r:.80}"
            )
        listed[(folder / path.strip()).as_posix()] = "real" if label == "1" else "fake"
    return listed


def _mark(video: SourceVideo, listed: dict[str, str], tree: Tree) -> SourceVideo:
    label = listed.get(video.source)
    if label is None:
        return video
    if label != video.label:
        raise InputError(f"{tree.root / video.source}: expected a {video.label} video, {TEST_LIST} says {label}")
    return replace(video, official_test=True)


@dataclass(frozen=True)
class DeeperForensics(NameLayout):
    """DeeperForensics-1.0: its authors name the YouTube originals of FaceForensics++ (c23) as the reals.

    Where those are there, the studio recordings of the actors are left out, as the authors ask; where not,
    the recordings are the only reals.
    """

    def read(self, tree: Tree) -> Reading:
        """As every layout by names; without the recordings where the originals are there."""
        reading = super().read(tree)
        reals = [video for video in reading.videos if video.label == "real"]
        studio = [video for video in reals if video.identities[0].startswith("actor:")]
        if len(studio) == len(reals):
            note = "the reals are the actors' studio recordings, which are not what the fakes were made from: "
            note += "add original_sequences/youtube/c23/videos of FaceForensics++, as the authors ask"
            return replace(reading, notes=(note,)) if studio else reading
        aside = tuple(video.source for video in studio)
        kept = tuple(video for video in reading.videos if video not in set(studio))
        left_out = {"a studio recording; the originals are there": aside} if aside else {}
        return replace(reading, videos=kept, left_out={**reading.left_out, **left_out})

    def recognizes(self, reading: Reading) -> bool:
        """Originals of FaceForensics++ alone are not this set."""
        studio = (video for video in reading.videos if video.identities[0].startswith("actor:"))
        return next(studio, None) is not None


@dataclass(frozen=True)
class DeepfakeTimit(NameLayout):
    """DF-TIMIT holds fakes alone; VidTIMIT's reals are folders of JPEGs named 001, 002, ... without a suffix."""

    def read(self, tree: Tree) -> Reading:
        """As every layout by names, and a folder of frames is one real video."""
        frames = re.compile(rf"(?P<folder>(?:.*/)?(?P<target>{_PERSON})/video/{_SENTENCE})/\d{{3}}(?:\.jpe?g)?")
        folders: dict[str, str] = {}
        inside: set[str] = set()
        for name in tree.files:
            if match := frames.fullmatch(name):
                folders[match["folder"]] = f"timit:{match['target']}"
                inside.add(name)
        reading = super().read(tree)
        reals = [SourceVideo(folder, "real", (identity,)) for folder, identity in folders.items()]
        videos = sorted([*reading.videos, *reals], key=lambda video: video.source)
        unknown = tuple(name for name in reading.unknown if name not in inside)
        return replace(reading, videos=tuple(videos), unknown=unknown)


_COMPRESSED = r"(?P<compression>raw|c23|c40)/videos"
_METHODS = "Deepfakes|Face2Face|FaceSwap|NeuralTextures|FaceShifter"
_YOUTUBE = NamePattern(rf"original_sequences/youtube/{_COMPRESSED}/(?P<target>\d{{3}})", "real", ("youtube:{target}",))

FACE_FORENSICS = NameLayout(
    "ffpp",
    "original_sequences/{youtube,actors}/c23/videos/000.mp4, manipulated_sequences/Deepfakes/c23/videos/000_003.mp4",
    (
        _YOUTUBE,
        NamePattern(
            rf"manipulated_sequences/(?P<method>{_METHODS})/{_COMPRESSED}/(?P<target>\d{{3}})_(?P<face>\d{{3}})",
            "fake",
            ("youtube:{target}", "youtube:{face}"),
        ),
        # Deep Fake Detection (Google, Jigsaw) numbers its actors anew.
        NamePattern(rf"original_sequences/actors/{_COMPRESSED}/(?P<target>\d\d)__\w+", "real", ("actor:{target}",)),
        NamePattern(
            rf"manipulated_sequences/(?P<method>DeepFakeDetection)/{_COMPRESSED}/(?P<target>\d\d)_(?P<face>\d\d)__\w+",
            "fake",
            ("actor:{target}", "actor:{face}"),
        ),
    ),
    aside={"a mask, not a video": r"(?:^|/)manipulated_sequences/\w+/masks/"},
)

CELEB_DF = CelebDF(
    "celeb-df",
    "Celeb-real/id0_0000.mp4, YouTube-real/00000.mp4, Celeb-synthesis/id0_id1_0000.mp4",
    (
        NamePattern(r"Celeb-real/(?:videos/)?(?P<target>id\d+)_\d{4}", "real", ("celeb:{target}",)),
        NamePattern(r"YouTube-real/(?:videos/)?(?P<target>\d{5})", "real", ("youtube:{target}",)),
        NamePattern(
            r"(?P<method>Celeb-synthesis)/(?:videos/)?(?P<target>id\d+)_(?P<face>id\d+)_\d{4}",
            "fake",
            ("celeb:{target}", "celeb:{face}"),
        ),
    ),
)

DEEPER_FORENSICS = DeeperForensics(
    "deeperforensics",
    "source_videos/M004/.../M004_light_up_surprise_camera_down.mp4, manipulated_videos/end_to_end/000_M101.mp4, "
    "original_sequences/youtube/c23/videos/000.mp4",
    (
        _YOUTUBE,
        NamePattern(r"source_videos/(?P<face>[MW]\d{3})/(?:.*/)?(?P=face)_\w+", "real", ("actor:{face}",)),
        NamePattern(
            r"manipulated_videos/(?P<method>end_to_end\w*|reenact_postprocess)/(?P<target>\d{3})_(?P<face>[MW]\d{3})",
            "fake",
            ("youtube:{target}", "actor:{face}"),
        ),
    ),
)

UADFV = NameLayout(
    "uadfv",
    "real/0000.mp4, fake/0000_fake.mp4",
    (
        NamePattern(r"real/(?P<target>\d{4})", "real", ("uadfv:{target}",)),
        NamePattern(r"fake/(?P<target>\d{4})_fake", "fake", ("uadfv:{target}",)),
    ),
    needs="fake",
    whole=True,
)

DEEPFAKE_TIMIT = DeepfakeTimit(
    "df-timit",
    "higher_quality/fadg0/sa1-video-fram1.avi, lower_quality/...; VidTIMIT beside: fadg0/video/sa1/001",
    (
        NamePattern(
            rf"(?P<method>higher_quality|lower_quality)/(?P<target>{_PERSON})/{_SENTENCE}-video-(?P<face>{_PERSON})",
            "fake",
            ("timit:{target}", "timit:{face}"),
        ),
        NamePattern(rf"(?P<target>{_PERSON})/(?:video/)?{_SENTENCE}", "real", ("timit:{target}",)),
    ),
    needs="fake",
)

NAME_LAYOUTS: Sequence[NameLayout] = (FACE_FORENSICS, CELEB_DF, DEEPER_FORENSICS, UADFV, DEEPFAKE_TIMIT)
