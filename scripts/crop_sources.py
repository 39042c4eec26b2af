"""Faces as a model gets to see them: stored crops, and what the runtime cuts of clips and pictures.

Shared by compare_crops.py and compare_aggregates.py; does nothing by itself.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefake.data.crop_rule import centre, centre_share, read_crop_rule
from edgefake.data.manifest import Sample, read_manifest
from edgefake.data.pictures import read_crop
from edgefake.whole import write_whole
from edgefake_runtime import Classifier, DetectOptions, Detector
from edgefake_runtime.crops import crop_rectangle, cut_face, resize
from edgefake_runtime.media import open_media
from edgefake_runtime.mtcnn import Face

Image = NDArray[np.uint8]

BENCH = Path(__file__).resolve().parents[1] / "docs" / "bench"

VAL_REAL, VAL_FAKE, CLIP_REAL, CLIP_FAKE = "dfdc/val real", "dfdc/val fake", "clips real", "clips fake"
YTF, PHOTOS = "ytf68 real", "photos real"
SOURCES = (VAL_REAL, VAL_FAKE, CLIP_REAL, CLIP_FAKE, YTF, PHOTOS)

EVERY, FRAMES = 15, 20
"""Each so many-th frame of a clip, and how many of those."""

MOVES = (-0.05, -0.025, 0.0, 0.025)
"""By how much the crop rule's shift is changed, sides of the face's box downwards."""


@dataclass(frozen=True)
class Seen:
    """One face.

    Attributes:
        source: of `SOURCES`.
        name: of the clip, the person or the file.
        whole: the crop in its own pixels, (H, W, 3) RGB.
        crop: the model's input.
        face: where the runtime found it; None for stored crops.
        moved: the model's input under each of `MOVES`; none for stored crops.
    """

    source: str
    name: str
    whole: Image
    crop: Image
    face: Face | None = None
    moved: tuple[Image, ...] = ()


def cut(detector: Detector, frame: Image, face: Face) -> Image:
    """The rectangle that the runtime cuts, before it is resized; `cut_face` is this and `resize`."""
    rule = detector.classifier.metadata.crop
    x0, y0, x1, y1 = crop_rectangle(face.box, rule, height=frame.shape[0], width=frame.shape[1])
    return np.ascontiguousarray(frame[y0:y1, x0:x1])


def stored_crops(data: Path, classifier: Classifier, *, most: int | None) -> Iterator[Seen]:
    """Crops of dfdc/val as `edgefake evaluate --crops` shows them to the model, in random order."""
    manifest = data / "dfdc" / "manifest.csv"
    share = centre_share(classifier.metadata.crop, read_crop_rule(manifest))
    for source, label in ((VAL_REAL, "real"), (VAL_FAKE, "fake")):
        samples = [sample for sample in read_manifest(manifest, split="val") if sample.label == label]
        for sample in some(samples, most):
            whole = np.ascontiguousarray(centre(read_crop(sample), share))
            yield Seen(source, sample.path.stem, whole, resize(whole, classifier.metadata.input_size))


def clip_faces(data: Path, detector: Detector) -> Iterator[Seen]:
    """All faces of some frames of the labelled clips."""
    for sample in read_manifest(data / "tests" / "videos" / "labels.csv"):
        with open_media(sample.path) as video:
            for frame in video.frames(EVERY, FRAMES):  # type: ignore[union-attr]
                for face in detector.find_faces(frame.image):
                    yield _seen(detector, f"clips {sample.label}", sample.path.stem, frame.image, face)


def picture_faces(
    source: str,
    folder: Path,
    detector: Detector,
    *,
    most: int | None = None,
    people: int | None = None,
    largest: bool = False,
) -> Iterator[Seen]:
    """Faces of the pictures in a folder, in random order.

    Args:
        source: of `SOURCES`.
        folder: of pictures; a name up to its last underscore is a person.
        detector: finds and cuts.
        most: pictures; None for all.
        people: of whom all pictures are taken; None for all.
        largest: take the largest face of each picture alone.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png"))
    chosen = set(some(sorted({_person(path) for path in paths}), people))
    for path in some([path for path in paths if _person(path) in chosen], most):
        frame = read_crop(Sample(path, "real", "", "", 0))
        found = detector.find_faces(frame)
        for face in found[:1] if largest else found:
            yield _seen(detector, source, _person(path), frame, face)


def _person(path: Path) -> str:
    return path.stem.rpartition("_")[0] or path.stem


def _seen(detector: Detector, source: str, name: str, frame: Image, face: Face) -> Seen:
    metadata = detector.classifier.metadata
    rules = (replace(metadata.crop, shift=metadata.crop.shift + move) for move in MOVES)
    moved = tuple(cut_face(frame, face.box, replace(metadata, crop=rule)) for rule in rules)
    return Seen(source, name, cut(detector, frame, face), cut_face(frame, face.box, metadata), face, moved)


def some(items: Sequence[Any], most: int | None) -> list[Any]:
    return [items[index] for index in np.random.default_rng(0).permutation(len(items))[:most]]


def write_csv(path: Path, rows: Sequence[dict[str, str | int]], **more: str) -> None:
    """All rows have the columns of all."""
    names = list(dict.fromkeys(name for found in rows for name in found))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*names, *more], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({**found, **more} for found in rows)
    write_whole(path, text.getvalue().encode())


def print_table(rows: Sequence[Sequence[object]]) -> None:
    """Markdown; the first row is the head."""
    print(f"\n| {' | '.join(map(str, rows[0]))} |\n{'|---' * len(rows[0])}|")
    for cells in rows[1:]:
        print(f"| {' | '.join(map(str, cells))} |")


def collect(data: Path, detector: Detector, *, most: int | None) -> dict[str, list[Seen]]:
    """All crops by source, in the order of `SOURCES`."""
    parts = (
        stored_crops(data, detector.classifier, most=most),
        clip_faces(data, detector),
        picture_faces(YTF, data / "ytf68" / "images", detector, most=most, largest=True),
        picture_faces(PHOTOS, data / "tests" / "images", detector),
    )
    found: dict[str, list[Seen]] = {source: [] for source in SOURCES}
    for part in parts:
        for seen in part:
            found[seen.source].append(seen)
    return {source: crops for source, crops in found.items() if crops}


def open_detector(model: Path | None, *, threads: int) -> Detector:
    """The runtime with this model, or the shipped one."""
    cv2.setNumThreads(threads)
    return Detector(Classifier(model, threads=threads), options=DetectOptions(threads=threads))
