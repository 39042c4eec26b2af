"""The eight faces that ship, and mirrored, as a manifest of crops."""

from pathlib import Path

import cv2

from edgefake.data.manifest import read_manifest
from edgefake.evaluate import Evaluation, evaluate_crops
from edgefake_runtime import Classifier

FACES = Path(__file__).resolve().parents[2] / "export" / "edgefake_export" / "faces.png"


def write_faces(folder: Path, *, groups: int | None = 8) -> Path:
    """Crops of 224 pixels, every other one "fake", and the manifest; `groups` people, who stand in both classes.

    Reals and fakes are no such thing here: what is tested is the counting.
    """
    folder.mkdir(parents=True, exist_ok=True)
    strip = cv2.imread(str(FACES))
    count = strip.shape[1] // 224
    rows = ["file,label,split" + (",identity_group" if groups else "")]
    for index in range(2 * count):
        tile = strip[:, index % count * 224 : (index % count + 1) * 224]
        cv2.imwrite(str(folder / f"{index}.png"), cv2.flip(tile, 1) if index >= count else tile)
        group = f",p{index // 2 % groups}" if groups else ""
        rows.append(f"{index}.png,{'fake' if index % 2 else 'real'},val{group}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder / "manifest.csv"


def judge_real_crops(data: Path, classifier: Classifier) -> Evaluation:
    """48 crops of dfdc/val, spread over all of it."""
    samples = read_manifest(data / "dfdc" / "manifest.csv", split="val")
    return evaluate_crops(classifier, samples[:: len(samples) // 48][:48])
