"""A miniature of FaceForensics++ from any labelled clips, to walk through docs/training.md in minutes.

    python scripts/make_miniature.py CLIPS OUT

CLIPS is a folder with clips and labels.csv (file,label). OUT gets FaceForensics++'s own tree and names: six originals
and six fakes of them in pairs (000_001 and 001_000), each 90 frames of at most 360 lines. The fakes are pieces of
whatever fakes there are, so scores on them mean nothing; what is tried out is the way.
"""

import argparse
import csv
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

IDENTITIES = 6
FRAMES = 90
LINES = 360


def frames(path: Path, begin: int) -> Iterator[NDArray[np.uint8]]:
    """Frames of a clip from a number on, made small; from its start again where it ends."""
    capture = cv2.VideoCapture(str(path))
    capture.set(cv2.CAP_PROP_POS_FRAMES, begin)
    while True:
        found, image = capture.read()
        if not found:
            capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            continue
        scale = min(1.0, LINES / image.shape[0])
        yield np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def write(path: Path, images: Iterator[NDArray[np.uint8]]) -> None:
    """Write some frames as MPEG-4."""
    first = next(images)
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = first.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (width, height))
    for image in (first, *islice(images, FRAMES - 1)):
        writer.write(image)
    writer.release()


def main() -> None:
    """Cut the clips and write the tree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    with (arguments.clips / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    by_label = {label: [row["file"] for row in rows if row["label"] == label] for label in ("real", "fake")}
    if not all(by_label.values()):
        parser.error(f"{arguments.clips}: expected clips of both labels in labels.csv")
    pairs = [(number, number ^ 1) for number in range(IDENTITIES)]
    for (own, other), real, fake in zip(pairs, cycle(by_label["real"]), cycle(by_label["fake"]), strict=False):
        originals = arguments.out / "original_sequences" / "youtube" / "c23" / "videos"
        fakes = arguments.out / "manipulated_sequences" / "Deepfakes" / "c23" / "videos"
        write(originals / f"{own:03d}.mp4", frames(arguments.clips / real, 0))
        write(fakes / f"{own:03d}_{other:03d}.mp4", frames(arguments.clips / fake, 40 * own))
    print(f"{arguments.out}: {IDENTITIES} originals, {IDENTITIES} fakes")


if __name__ == "__main__":
    main()
