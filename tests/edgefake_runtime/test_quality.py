"""Size, sharpness and turn of a face, and the floor."""

import math

import cv2
import numpy as np
import pytest

from edgefake_runtime import Face, QualityFloor
from edgefake_runtime.quality import FaceQuality, is_good, sharpness, side, turn

FLOOR = QualityFloor(side=40, sharpness=0.1, turn=0.4, origin="test")


def face(eyes=((40.0, 50.0), (80.0, 50.0)), nose=(60.0, 70.0)):
    return Face((0.0, 0.0, 90.0, 160.0), 0.99, (*eyes, nose, (50.0, 90.0), (70.0, 90.0)))


def texture(size=112, contrast=40):
    """Detail of all sizes, as a face has it: octaves of noise."""
    random = np.random.default_rng(0)
    octaves = (random.normal(0, side**-0.5, (side, side, 3)) for side in (4, 8, 16, 32, 64, size))
    grown = sum(cv2.resize(octave, (size, size), interpolation=cv2.INTER_CUBIC) for octave in octaves)
    return (128 + contrast * grown / grown.std()).clip(0, 255).astype(np.uint8)


def test_the_side_is_the_geometric_mean():
    assert side((10, 20, 100, 180)) == pytest.approx(120)
    assert side((10, 20, 5, 180)) == 0


def test_blur_lowers_sharpness_step_by_step_and_contrast_does_not_count():
    picture = texture()
    found = [sharpness(cv2.GaussianBlur(picture, (0, 0), sigma)) for sigma in (0.5, 1, 2, 4)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 3 * found[-1]
    assert sharpness(texture(contrast=20)) == pytest.approx(sharpness(picture), rel=0.05)
    assert sharpness(np.full((112, 112, 3), 99, np.uint8)) == 0


def test_a_grown_face_is_a_soft_one():
    large, small = texture(224), cv2.resize(texture(224), (28, 28), interpolation=cv2.INTER_AREA)
    assert sharpness(small) < 0.5 * sharpness(large)


def test_the_turn_is_measured_along_the_line_of_the_eyes():
    assert turn(face()) == 0
    assert turn(face(nose=(70.0, 70.0))) == pytest.approx(10 / 40)
    assert turn(face(nose=(50.0, 95.0))) == pytest.approx(10 / 40)  # height does not count
    rolled = face(eyes=((50.0, 40.0), (50.0, 80.0)), nose=(30.0, 66.0))
    assert turn(rolled) == pytest.approx(6 / 40)
    assert turn(face(eyes=((40.0, 50.0), (40.0, 50.0)))) == math.inf


@pytest.mark.parametrize(
    ("quality", "good"),
    [
        (FaceQuality(40, 0.1, 0.4), True),
        (FaceQuality(39.9, 0.1, 0.4), False),
        (FaceQuality(40, 0.099, 0.4), False),
        (FaceQuality(40, 0.1, 0.41), False),
        (FaceQuality(40, 0.1, math.inf), False),
    ],
)
def test_every_measure_has_its_floor(quality, good):
    assert is_good(quality, FLOOR) is good
    assert is_good(quality, None)
