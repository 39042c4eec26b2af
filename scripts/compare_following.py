r"""Compares faces that are followed from frame to frame with a whole search of every frame, and what comes of either.

    EDGEFAKE_DATA=... python scripts/compare_following.py --out docs/bench/following.csv
    python scripts/compare_following.py --every 1 --clips docs/samples

A row for each clip and each distance of the scored frames, and one for all clips. Recall and extra faces are those of
the frames that were not searched whole, over the faces (of probability 0.9 and more) that a whole search finds there;
a face is the same if the boxes' intersection over union is 0.5 or more. "time" is the CPU time of searching all frames,
by that of searching all of them whole, in turns. The scores and verdicts are those of the clip. Exits with 5 where,
over all clips, recall or extra faces are off by more than 1 %, or where a verdict differs.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from bench_figures import write_rows
from numpy.typing import NDArray

from edgefake_runtime import DetectOptions, Detector
from edgefake_runtime.following import Following
from edgefake_runtime.media import SampledFrame, Video, open_media
from edgefake_runtime.mtcnn import Face, FaceDetector, default_min_face
from edgefake_runtime.scorer import MIN_DETECTION

MOST_OFF = 0.01
"""Of recall and of extra faces."""

SAME = 0.5
"""Least intersection over union of two boxes of one face."""

EVERY = (1, 2, 3)
"""Distances of frames: an eighth of a second and less at 25 frames a second."""


class Noting(FaceDetector):
    """The face detector, which notes whether it was last asked to search near faces."""

    near = False

    def detect(
        self,
        frame: NDArray[np.uint8],
        *,
        min_face: int | None = None,
        near: Sequence[tuple[float, float, float, float]] | None = None,
    ) -> list[Face]:
        """Searches as ever."""
        self.near = near is not None
        return super().detect(frame, min_face=min_face, near=near)


@dataclass
class Tally:
    """What was found in frames that were followed, and the time of all.

    Attributes:
        frames, followed: frames, and those of them that were not searched whole.
        expected: faces of whole searches of the followed frames.
        found: faces in those frames.
        overlaps: of the faces that are the same.
        whole_s, following_s: CPU time of either, of all frames.
    """

    frames: int = 0
    followed: int = 0
    expected: int = 0
    found: int = 0
    overlaps: list[float] = field(default_factory=list)
    whole_s: float = 0.0
    following_s: float = 0.0

    def __add__(self, other: "Tally") -> "Tally":
        """Both together."""
        return Tally(*(mine + its for mine, its in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def recall(self) -> float:
        """Share of the expected faces that were found."""
        return len(self.overlaps) / self.expected if self.expected else 1.0

    @property
    def extra(self) -> float:
        """Other faces that were found, by the expected ones."""
        return (self.found - len(self.overlaps)) / max(self.expected, 1)


@dataclass(frozen=True)
class Row:
    """One clip, or all, at one distance of frames."""

    clip: str
    every: int
    frames: int
    followed: int
    faces: int
    recall: float
    extra: float
    mean_iou: float
    least_iou: float
    time: float
    score_whole: float | None = None
    score_following: float | None = None
    verdict_whole: str = ""
    verdict_following: str = ""


def iou(a: Face, b: Face) -> float:
    """Intersection over union."""
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    inter = max(width, 0.0) * max(height, 0.0)
    areas = [(face.box[2] - face.box[0]) * (face.box[3] - face.box[1]) for face in (a, b)]
    return inter / (sum(areas) - inter)


def same_faces(found: Sequence[Face], expected: Sequence[Face]) -> list[float]:
    """Overlaps of the pairs of one face each, the best pair first."""
    pairs = sorted(((iou(a, b), i, j) for i, a in enumerate(found) for j, b in enumerate(expected)), reverse=True)
    taken: set[tuple[str, int]] = set()
    overlaps = []
    for overlap, i, j in pairs:
        if overlap >= SAME and not taken & {("found", i), ("expected", j)}:
            taken |= {("found", i), ("expected", j)}
            overlaps.append(overlap)
    return overlaps


def frames_of(path: Path, every: int, most: int | None) -> Iterator[SampledFrame]:
    """The frames of a clip that are scored."""
    with open_media(path) as media:
        if not isinstance(media, Video):
            raise SystemExit(f"expected a video, got {path.name}")
        yield from media.frames(every, most)


def sure(faces: Sequence[Face]) -> list[Face]:
    """Those that are scored."""
    return [face for face in faces if face.score >= MIN_DETECTION]


def tally(detector: Noting, frames: Iterator[SampledFrame]) -> Tally:
    """Searches every frame both ways."""
    total, following = Tally(), Following()
    for frame in frames:
        smallest = default_min_face(*frame.image.shape[:2])
        start = time.process_time()
        expected = detector.detect(frame.image, min_face=smallest)
        middle = time.process_time()
        found = following.find(detector, frame, min_face=smallest, sure=MIN_DETECTION)
        end = time.process_time()
        total += Tally(1, whole_s=middle - start, following_s=end - middle)
        if detector.near:
            overlaps = same_faces(sure(found), sure(expected))
            total += Tally(0, 1, len(sure(expected)), len(sure(found)), overlaps)
    return total


def row_of(clip: str, every: int, total: Tally) -> Row:
    """A row without scores."""
    overlaps = total.overlaps or [1.0]
    return Row(
        clip,
        every,
        total.frames,
        total.followed,
        total.expected,
        round(total.recall, 4),
        round(total.extra, 4),
        round(statistics.mean(overlaps), 4),
        round(min(overlaps), 4),
        round(total.following_s / total.whole_s, 3),
    )


def scored(judge: Detector, path: Path, every: int, most: int | None) -> dict[str, float | str | None]:
    """Score and verdict of the clip, both ways: images without times are a second apart, and so not followed."""
    whole = judge.detect_frames((frame.image for frame in frames_of(path, every, most)), name=path.name)
    following = judge.detect_frames(frames_of(path, every, most), name=path.name)
    return {
        "score_whole": whole.score,
        "score_following": following.score,
        "verdict_whole": whole.verdict,
        "verdict_following": following.verdict,
    }


def show(row: Row) -> None:
    """Prints a row of the table."""
    scores = [f"{score:.4f}" if score is not None else "-" for score in (row.score_whole, row.score_following)]
    found = [f"{value:.4f}" for value in (row.recall, row.extra, row.mean_iou, row.least_iou)]
    numbers = [*map(str, (row.every, row.frames, row.followed, row.faces)), *found, f"{row.time:.2f}", *scores]
    print(f"| {' | '.join([row.clip, *numbers, row.verdict_whole, row.verdict_following])} |", flush=True)


def compare(clips: Sequence[Path], distances: Sequence[int], most: int | None) -> Iterator[Row]:
    """A row for each clip and one for all, at each distance."""
    detector, judge = Noting(threads=1), Detector(options=DetectOptions(threads=1))
    for every in distances:
        total = Tally()
        for path in clips:
            own = tally(detector, frames_of(path, every, most))
            yield Row(**asdict(row_of(path.name, every, own)) | scored(judge, path, every, most))
            total += own
        yield row_of("all", every, total)


def is_off(row: Row) -> bool:
    """Whether a row is out of bounds."""
    if row.clip == "all":
        return row.recall < 1 - MOST_OFF or row.extra > MOST_OFF
    return row.verdict_whole != row.verdict_following


def main() -> int:
    """Runs the command line; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, help="folder of .mp4 files; $EDGEFAKE_DATA/tests/videos unless told")
    parser.add_argument("--every", type=int, nargs="+", default=EVERY, help="distances of the scored frames")
    parser.add_argument("--max-frames", type=int, help="of each clip")
    parser.add_argument("--out", type=Path, help="CSV file to write")
    options = parser.parse_args()
    folder = options.clips or Path(os.environ["EDGEFAKE_DATA"]) / "tests" / "videos"
    clips = sorted(folder.glob("*.mp4"))
    if not clips:
        raise SystemExit(f"expected .mp4 files, got none in {folder}")
    print("| clip | every | frames | followed | faces | recall | extra | mean IoU | least IoU | time |", end="")
    print(" score, whole | score, following | verdict, whole | following |\n|---|" + "---:|" * 11 + "---|---|")
    rows = []
    for row in compare(clips, options.every, options.max_frames):
        show(row)
        rows.append(row)
    if options.out:
        write_rows(options.out, rows)
    off = [row for row in rows if is_off(row)]
    for row in off:
        print(f"{row.clip} at every {row.every}: expected recall and extra within {MOST_OFF}, and one verdict")
    return 5 if off else 0


if __name__ == "__main__":
    sys.exit(main())
