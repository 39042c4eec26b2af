"""How the scores of a track's frames become one: aggregates compared on tracks whose truth is known.

    python scripts/compare_aggregates.py --data DATA

DATA holds dfdc/ and ytf68/. Two kinds of tracks: for each crop of dfdc/val (the half of the people that calibration did
not see) eight random mild camera views of it, none, one or three of them spoilt by motion blur or something before the
face; and the frames of each person of ytf68, all real. Neither is a video of a deepfake: docs/video.md says what that
means. Writes docs/bench/aggregates.csv, prints the tables of docs/video.md. `--model` takes another exported file,
`--crops` fewer crops and people, `--bench` another folder.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from crop_sources import BENCH, YTF, Image, open_detector, picture_faces, print_table, some, write_csv
from numpy.typing import NDArray

from edgefake.data.augment import FaceAugmentation, augment, smear
from edgefake.data.crop_rule import centre, centre_share, read_crop_rule
from edgefake.data.manifest import Sample, read_manifest
from edgefake.data.pictures import read_crop
from edgefake.evaluate import take_half
from edgefake.metrics import Interval, auc, bootstrap, false_positive_rate, true_positive_rate
from edgefake.quality_floor import measure_floor
from edgefake_runtime import Classifier, Detector, QualityFloor
from edgefake_runtime.aggregate import AGGREGATES
from edgefake_runtime.classifier import probability
from edgefake_runtime.quality import FaceQuality, is_good, sharpness
from edgefake_runtime.verdict import AGGREGATE

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]
Row = dict[str, str | int]

HELD = "dfdc/val held"

VIEWS = 8
SPOILT = (0, 1, 3)
"""Frames of a track, and how many of them are spoilt."""

MILD = FaceAugmentation.only(
    window=(0.9, 1.0),
    gain=(0.92, 1.08),
    shift=8.0,
    channel_shift=2.0,
    blur=0.3,
    blur_sigma=(0.3, 0.9),
    motion=0.1,
    motion_length=(3.0, 5.0),
    noise=0.3,
    noise_sigma=(1.0, 4.0),
    rescale=0.3,
    rescale_factor=(0.6, 0.95),
    jpeg=0.8,
    jpeg_quality=(50.0, 95.0),
)
"""What differs between the frames of one face in one clip: box, exposure, focus, motion, codec."""

FRAMES = (1, 2, 3, 4, 6)
"""Of a person of ytf68, frames that make a track."""

FLOOR_CROPS = 400
"""Crops that a floor is measured on where the model has none."""

CHOICES: dict[str, Callable[[Sequence[float]], float]] = {
    **AGGREGATES,
    "median": lambda odds: float(np.median(odds)),
    "maximum": max,
    "one frame": lambda odds: odds[0],
}
"""Log-odds of the frames in random order -> log-odds of the track."""

OURS = next(name for name, function in AGGREGATES.items() if function is AGGREGATE)


@dataclass(frozen=True)
class Track:
    """Frames of one face in random order.

    Attributes:
        group: who.
        fake: the truth.
        odds: (n,), log-odds of fake of each frame.
        good: (n,), whether each is above the floor of quality.
    """

    group: str
    fake: bool
    odds: tuple[float, ...]
    good: tuple[bool, ...]

    def judged(self, floored: bool) -> tuple[float, ...]:
        """Log-odds of the frames that count; as in the runtime, of all where none is good."""
        kept = tuple(odds for odds, good in zip(self.odds, self.good, strict=True) if good)
        return kept if floored and kept else self.odds


def spoil(crop: Image, random: np.random.Generator) -> Image:
    """Heavy motion blur, or something plain before 30 to 60 % of either side of the face."""
    height, width = crop.shape[:2]
    if random.random() < 0.5:
        return smear(crop, random.uniform(0.12, 0.25) * width, random.uniform(0, 180))
    rows, columns = (round(length * random.uniform(0.3, 0.6)) for length in (height, width))
    top, left = (int(random.integers(0, length - part + 1)) for length, part in ((height, rows), (width, columns)))
    spoilt = crop.copy()
    colour = random.integers(20, 220) + random.integers(-15, 16, 3)
    spoilt[top : top + rows, left : left + columns] = np.clip(colour, 0, 255)
    return spoilt


def views_of(crop: Image, size: int, random: np.random.Generator) -> list[Image]:
    """`VIEWS` mild views, then as many of spoilt crops as the most spoilt track has."""
    plain = [augment(crop, size, random, strength=MILD) for _ in range(VIEWS)]
    return plain + [augment(spoil(crop, random), size, random, strength=MILD) for _ in range(max(SPOILT))]


def synthetic(
    samples: Sequence[Sample], classifier: Classifier, floor: QualityFloor, *, share: float
) -> dict[int, list[Track]]:
    """Tracks by the number of spoilt frames; of the floor, only sharpness can act on a crop without its frame."""
    tracks: dict[int, list[Track]] = {count: [] for count in SPOILT}
    for number, sample in enumerate(samples):
        random = np.random.default_rng((0, number))
        crop = np.ascontiguousarray(centre(read_crop(sample), share))
        views = views_of(crop, classifier.metadata.input_size, random)
        odds = classifier.evidence(np.stack(views))
        good = [is_good(FaceQuality(math.inf, sharpness(view), 0.0), floor) for view in views]
        for count in SPOILT:
            chosen = random.permutation([*range(VIEWS - count), *range(VIEWS, VIEWS + count)])
            frames = tuple(float(odds[i]) for i in chosen), tuple(good[i] for i in chosen)
            tracks[count].append(Track(sample.group, sample.fake, *frames))
    return tracks


def real_tracks(data: Path, detector: Detector, floor: QualityFloor, *, most: int | None) -> list[Track]:
    """A track for each person of ytf68 as the runtime sees it; the largest face of each frame."""
    people: dict[str, list[tuple[float, bool]]] = {}
    for seen in picture_faces(YTF, data / "ytf68" / "images", detector, people=most, largest=True):
        (odds,) = detector.classifier.evidence(seen.crop[None])
        good = seen.face is not None and is_good(FaceQuality.of(seen.crop, seen.face), floor)
        people.setdefault(seen.name, []).append((float(odds), good))
    return [
        Track(name, False, tuple(o for o, _ in frames), tuple(g for _, g in frames)) for name, frames in people.items()
    ]


def compared(tracks: Sequence[Track], *, floored: bool, threshold: float, rounds: int) -> Iterator[Row]:
    """A line for each aggregate; `over_ours` is its AUC less that of the runtime's, from the same draws of people."""
    labels = np.array([track.fake for track in tracks])
    groups = [track.group for track in tracks]
    odds = [track.judged(floored) for track in tracks]
    scores = {name: np.array([probability(choose(o)) for o in odds]) for name, choose in CHOICES.items()}
    intervals = auc_intervals(labels, scores, groups, rounds=rounds)
    for name, own in scores.items():
        gain = auc(labels, own) - auc(labels, scores[OURS])
        yield {
            "aggregate": name,
            "tracks": len(tracks),
            "people": len(set(groups)),
            "auc": f"{auc(labels, own):.4f}",
            "interval": _text(intervals[name]),
            "over_ours": f"{gain:+.4f}",
            "over_ours_interval": _text(intervals[f"{name} over ours"], "+.4f"),
            "false_positives": f"{false_positive_rate(labels, own, threshold):.3f}",
            "true_positives": f"{true_positive_rate(labels, own, threshold):.3f}",
        }


def auc_intervals(
    labels: Labels, scores: dict[str, Floats], groups: Sequence[str], *, rounds: int
) -> dict[str, Interval | None]:
    """Intervals of every AUC and of its distance from the runtime's aggregate; places stand in for the scores."""

    def area(name: str, drawn: Labels, places: Floats) -> float | None:
        return auc(drawn, scores[name][places.astype(int)]) if 0 < drawn.sum() < drawn.size else None

    def gain(name: str, drawn: Labels, places: Floats) -> float | None:
        own, ours = area(name, drawn, places), area(OURS, drawn, places)
        return None if own is None or ours is None else own - ours

    statistics = {name: lambda drawn, places, name=name: area(name, drawn, places) for name in scores}
    statistics |= {f"{name} over ours": lambda drawn, places, name=name: gain(name, drawn, places) for name in scores}
    return bootstrap(labels, np.arange(len(labels), dtype=np.float64), groups, statistics, rounds=rounds)


def _text(interval: Interval | None, form: str = ".3f") -> str:
    return "" if interval is None else f"{interval[0]:{form}} to {interval[1]:{form}}"


def by_frames(people: Sequence[Track], classifier: Classifier, *, floored: bool) -> Iterator[Row]:
    """False positives of real people by the frames of a track: from the threshold on, and above the uncertain band."""
    metadata = classifier.metadata
    for count in FRAMES:
        kept = [track.judged(floored) for track in people if not floored or any(track.good)]
        odds = [frames[:count] for frames in kept if len(frames) >= count]
        for name, choose in CHOICES.items():
            scores = np.array([probability(choose(frames)) for frames in odds])
            fakes = (scores >= max(metadata.threshold, metadata.uncertain.high)).mean() if odds else math.nan
            yield {
                "aggregate": name,
                "frames": count,
                "tracks": len(odds),
                "people": len(odds),
                "false_positives": f"{(scores >= metadata.threshold).mean():.3f}" if odds else "",
                "called_fake": f"{fakes:.3f}" if odds else "",
            }


def floor_of(classifier: Classifier, samples: Sequence[Sample], *, share: float) -> QualityFloor:
    """The model's own floor, or one measured as `edgefake calibrate` does, on the other half of the people."""
    if classifier.metadata.quality is not None:
        return classifier.metadata.quality
    chosen = some(samples, FLOOR_CROPS)
    crops = [np.ascontiguousarray(centre(read_crop(sample), share)) for sample in chosen]
    labels = np.array([sample.fake for sample in chosen])
    return measure_floor(classifier, crops, labels, origin="measured here; the model's file has none")


def print_tables(rows: Sequence[Row]) -> None:
    """The tables of docs/video.md."""
    columns = ("auc", "interval", "over_ours", "over_ours_interval", "false_positives", "true_positives")
    held = [row for row in rows if row["source"] == HELD]
    body = [[row["spoilt"], row["floor"], row["aggregate"], *[row[name] for name in columns]] for row in held]
    heads = ("AUC", "interval", f"over {OURS}", "interval", "false positives", "true positives")
    print_table([[f"spoilt of {VIEWS}", "floor", "aggregate", *heads], *body])
    people = [row for row in rows if row["source"] == YTF]
    for floor in dict.fromkeys(row["floor"] for row in people):
        own = [row for row in people if row["floor"] == floor]
        heads = [
            f"{count} ({number})" for count, number in dict.fromkeys((row["frames"], row["tracks"]) for row in own)
        ]
        body = [
            [name, *[f"{row['false_positives']}, {row['called_fake']}" for row in own if row["aggregate"] == name]]
            for name in CHOICES
        ]
        print_table([[f"frames (people), floor: {floor}", *heads], *body])


def main() -> None:
    """Read the arguments, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="exported file; the shipped one otherwise")
    parser.add_argument("--bench", type=Path, default=BENCH, help="folder for the CSV")
    parser.add_argument("--crops", type=int, help="most crops of dfdc/val and people of ytf68; all otherwise")
    parser.add_argument("--rounds", type=int, default=1000, help="draws behind an interval")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    arguments.bench.mkdir(parents=True, exist_ok=True)
    detector = open_detector(arguments.model, threads=arguments.threads)
    rows = compare(arguments.data, detector, most=arguments.crops, rounds=arguments.rounds)
    classifier = detector.classifier
    digest, today = classifier.sha256[:12], datetime.now(tz=UTC).date().isoformat()
    write_csv(arguments.bench / "aggregates.csv", rows, model=classifier.metadata.name, sha256=digest, date=today)
    print(f"{classifier.metadata.name}, {digest}, threshold {classifier.metadata.threshold}")
    print_tables(rows)


def compare(data: Path, detector: Detector, *, most: int | None, rounds: int) -> list[Row]:
    """All lines of the CSV."""
    manifest, classifier = data / "dfdc" / "manifest.csv", detector.classifier
    share = centre_share(classifier.metadata.crop, read_crop_rule(manifest))
    samples = read_manifest(manifest, split="val")
    floor = floor_of(classifier, take_half(samples, "fit", manifest=manifest), share=share)
    print(f"floor: side {floor.side:g}, sharpness {floor.sharpness:g}, turn {floor.turn:g} ({floor.origin})")
    held = some(take_half(samples, "held", manifest=manifest), most)
    rows: list[Row] = []
    for count, tracks in synthetic(held, classifier, floor, share=share).items():
        print_set_aside(f"{HELD}, {count} spoilt", tracks)
        for floored in (False, True):
            head = {"source": HELD, "spoilt": count, "floor": "yes" if floored else "no"}
            found = compared(tracks, floored=floored, threshold=classifier.metadata.threshold, rounds=rounds)
            rows += [{**head, **line} for line in found]
    people = real_tracks(data, detector, floor, most=most)
    print_set_aside(YTF, people)
    for floored in (False, True):
        head = {"source": YTF, "spoilt": "", "floor": "yes" if floored else "no"}
        rows += [{**head, **line} for line in by_frames(people, classifier, floored=floored)]
    return rows


def print_set_aside(name: str, tracks: Sequence[Track]) -> None:
    """What the floor does."""
    good = np.array([frame for track in tracks for frame in track.good])
    none = sum(not any(track.good) for track in tracks)
    print(
        f"{name}: {len(tracks)} tracks, {1 - good.mean():.1%} of their frames below the floor, {none} with none above"
    )


if __name__ == "__main__":
    main()
