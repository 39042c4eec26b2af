"""How crops were cut is found in the crops."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefake.data.crop_margin import measure_crop
from edgefake.data.manifest import Sample, read_manifest
from edgefake_runtime import Crop, FaceDetector, InputError
from edgefake_runtime.crops import crop_rectangle

PORTRAIT = Path(__file__).resolve().parents[3] / "docs" / "samples" / "astronaut.png"


def write_crops(folder, crop):
    """Crops of the portrait, turned, mirrored and scaled, all cut by one rule."""
    portrait = cv2.cvtColor(cv2.imread(str(PORTRAIT)), cv2.COLOR_BGR2RGB)
    detector = FaceDetector()
    samples = []
    for index, (angle, scale, mirrored) in enumerate(
        (a, s, m) for a in (-4, 0, 4) for s in (1.0, 1.2, 1.4) for m in (0, 1)
    ):
        turn = cv2.getRotationMatrix2D((256, 256), angle, scale)
        frame = cv2.warpAffine(portrait[:, ::-1] if mirrored else portrait, turn, (512, 512))
        box = detector.detect(frame)[0].box
        x0, y0, x1, y1 = crop_rectangle(box, crop, height=512, width=512)
        path = folder / f"{index}.png"
        cv2.imwrite(str(path), cv2.cvtColor(frame[y0:y1, x0:x1], cv2.COLOR_RGB2BGR))
        samples.append(Sample(path, label="real", split="train", group=path.name, line=index))
    return samples


@pytest.mark.parametrize(("margin", "shift"), [(-0.1, 0.06), (0.0, 0.0), (0.15, 0.0)])
def test_margin_and_shift_are_found(tmp_path, margin, shift):
    rule = Crop(margin=margin, shift=shift, square=True, origin="test")
    found = measure_crop(write_crops(tmp_path, rule))
    assert found.margin == pytest.approx(margin, abs=0.04)
    assert found.shift == pytest.approx(shift, abs=0.04)
    assert found.origin.startswith("measured: median over")


def test_crops_without_faces_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((64, 64, 3), 90, np.uint8))
    samples = [Sample(tmp_path / "grey.png", "real", "train", "", 1)] * 12
    with pytest.raises(InputError, match="found 0 in 12"):
        measure_crop(samples)


@pytest.mark.data
def test_the_shipped_crop_is_that_of_its_training_data(data_folder):
    from edgefake_runtime import Classifier

    samples = read_manifest(data_folder / "dfdc" / "manifest.csv", split="train")
    measured, shipped = measure_crop(samples, seed=1), Classifier().metadata.crop
    assert measured.margin == pytest.approx(shipped.margin, abs=0.02)
    assert measured.shift == pytest.approx(shipped.shift, abs=0.02)
