"""Cut the faces of pictures as a data set's crops were cut, with their landmarks: reals to blend with themselves.

    python scripts/cut_reals.py DATA/ytf68 DATA/scut86 --like runs/cnn/last --out runs/reals

Reads `images/` and `landmarksK.csv` of each folder; writes JPEG crops of 224 pixels at quality 75 (as the DFDC crops
have them), the landmarks moved along, and `manifest.csv` with everything in the split train. Names up to the last
underscore are people.
"""

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np

from edgefake.checkpoint import load_checkpoint
from edgefake.data.landmarks import read_landmarks
from edgefake.data.manifest import Sample
from edgefake.data.pictures import read_crop
from edgefake_runtime import Crop, FaceDetector
from edgefake_runtime.crops import crop_rectangle, resize

SIDE, QUALITY = 224, 75


def cut(picture: Path, points: np.ndarray, crop: Crop, detector: FaceDetector) -> tuple[np.ndarray, np.ndarray] | None:
    """The crop of the largest face, and the points in it; None without a sure face."""
    image = read_crop(Sample(picture, "real", "train", "", 0))
    faces = [face for face in detector.detect(image, min_face=40) if face.score >= 0.95]
    if not faces:
        return None
    x0, y0, x1, y1 = crop_rectangle(faces[0].box, crop, height=image.shape[0], width=image.shape[1])
    seen = resize(np.ascontiguousarray(image[y0:y1, x0:x1]), SIDE)
    return seen, (points - (x0, y0)) * (SIDE / (x1 - x0), SIDE / (y1 - y0))


def cut_folder(source: Path, out: Path, crop: Crop) -> list[tuple[str, str]]:
    """Crops and landmarks of one data set; their names and people."""
    (table,) = source.glob("landmarks*.csv")
    count = int(table.stem.removeprefix("landmarks"))
    known, detector = read_landmarks(table, count), FaceDetector()
    (out / source.name).mkdir(parents=True, exist_ok=True)
    rows, kept = [], []
    for picture in sorted((source / "images").iterdir()):
        found = cut(picture, known[picture.name], crop, detector) if picture.name in known else None
        if found is None:
            continue
        settings = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        cv2.imwrite(str(out / source.name / picture.name), cv2.cvtColor(found[0], cv2.COLOR_RGB2BGR), settings)
        kept.append([picture.name, *np.round(found[1], 1).flatten().tolist()])
        rows.append(
            (f"{source.name}/{picture.name}", f"{source.name}-{picture.stem.rpartition('_')[0] or picture.stem}")
        )
    with (out / source.name / table.name).open("w", newline="") as file:
        header = ["file", *(f"{axis}{index}" for index in range(count) for axis in "xy")]
        csv.writer(file).writerows([header, *kept])
    return rows


def main() -> None:
    """Read the arguments, write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, nargs="+")
    parser.add_argument("--like", type=Path, required=True, help="checkpoint whose crops to cut like")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    crop = Crop(**load_checkpoint(arguments.like).metadata["crop"])
    rows = [row for source in arguments.sources for row in cut_folder(source, arguments.out, crop)]
    with (arguments.out / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "label", "split", "identity_group"))
        writer.writerows((name, "real", "train", person) for name, person in rows)
    print(f"{len(rows)} crops in {arguments.out}")


if __name__ == "__main__":
    main()
