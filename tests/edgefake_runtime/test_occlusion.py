"""Heat maps: what is covered, what it changes, and how it is laid over a face."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefake_runtime import Classifier, UsageError
from edgefake_runtime.occlusion import FOR_FAKE, FOR_REAL, FULL_COLOUR, cover, occlusion_map, overlay
from edgefake_runtime.shipped import default_model

FACES = Path(__file__).resolve().parents[2] / "export" / "edgefake_export" / "faces.png"

SIDE = 56
"""Pixels of the crops here: seven places of eight."""


def noise(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


class Looker:
    """Says "fake" as loudly as there is contrast in the places that it looks at; a negative weight says "real"."""

    def __init__(self, **weights):
        self.weights = {tuple(int(digit) for digit in name[1:]): weight for name, weight in weights.items()}

    def evidence(self, crops):
        total = np.zeros(len(crops))
        for (row, column), weight in self.weights.items():
            place = crops[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            total += weight * place.astype(np.float64).std((1, 2, 3)) / 64
        return total


def test_the_place_that_speaks_for_fake_is_the_hottest_and_what_is_not_looked_at_is_cold():
    heat = occlusion_map(Looker(p25=1.0), noise())
    assert np.unravel_index(heat.argmax(), heat.shape) == (2, 5)
    assert heat[2, 5] > 0.8  # the whole contrast of noise, 74 / 64, but for what a soft edge leaves
    far = np.ones((7, 7), bool)
    far[1:4, 4:7] = False  # patches reach half over their neighbours
    assert np.abs(heat[far]).max() == 0
    assert heat[2, 4] > 0


def test_what_speaks_for_real_is_below_zero():
    heat = occlusion_map(Looker(p25=1.0, p61=-1.0), noise())
    assert np.unravel_index(heat.argmax(), heat.shape) == (2, 5)
    assert np.unravel_index(heat.argmin(), heat.shape) == (6, 1)
    assert heat.min() < -0.5


def face(size):
    picture = cv2.cvtColor(cv2.imread(str(FACES)), cv2.COLOR_BGR2RGB)[:, :224]
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def test_a_map_is_the_change_of_the_classifiers_evidence():
    classifier = Classifier()
    crop = face(classifier.metadata.input_size)
    heat = occlusion_map(classifier, crop, grid=3)
    whole = classifier.evidence(crop[None])[0]
    for number, covered in enumerate(cover(crop, 3)):
        alone = classifier.evidence(covered[None])[0]
        assert heat[number // 3, number % 3] == pytest.approx(whole - alone, abs=2e-3)
    assert np.abs(heat).max() > 0.05


@pytest.mark.parametrize("widen", [False, True])
def test_a_map_of_a_tflite_file_is_that_of_its_onnx_file(widen):
    """Two runtimes, and both ways to run packed weights; evidence differs by 3e-4 at most where a map reaches 0.4."""
    onnx = default_model()
    tflite = onnx.with_suffix(".tflite")
    crop = face(Classifier(onnx).metadata.input_size)
    expected, heat = (
        occlusion_map(classifier, crop)
        for classifier in (Classifier(onnx, threads=1), Classifier(tflite, threads=1, widen=widen))
    )
    assert heat.shape == (7, 7)
    assert np.abs(expected).max() > 0.2
    np.testing.assert_allclose(heat, expected, atol=5e-3)
    assert not np.array_equal(heat, expected)  # another runtime has answered


def test_covering_changes_a_place_and_leaves_what_lies_a_place_away():
    crop = noise()
    covered = cover(crop, 7)
    assert covered.shape == (49, SIDE, SIDE, 3)
    middle = covered[3 * 7 + 3]
    assert middle[24:32, 24:32].std() < 0.35 * crop.std()
    untouched = np.ones((SIDE, SIDE), bool)
    untouched[16:40, 16:40] = False
    np.testing.assert_array_equal(middle[untouched], crop[untouched])


@pytest.mark.parametrize("grid", [0, SIDE + 1])
def test_impossible_grids_are_refused(grid):
    with pytest.raises(UsageError, match="grid: expected 1 to 56"):
        occlusion_map(Looker(), noise(), grid=grid)


def test_an_overlay_is_red_for_fake_blue_for_real_and_grey_between():
    heat = np.zeros((7, 7))
    heat[:, :3], heat[:, 4:] = FULL_COLOUR, -FULL_COLOUR
    shown = overlay(np.full((70, 140, 3), (200, 100, 50), np.uint8), heat).astype(int)
    assert shown.shape == (70, 140, 3)
    red, blue = shown[:, :40].mean((0, 1)), shown[:, 100:].mean((0, 1))
    assert np.abs(red - FOR_FAKE).sum() < np.abs(red - FOR_REAL).sum()
    assert red[0] > red[2] + 60
    assert blue[2] > blue[0] + 60
    middle = overlay(np.full((70, 70, 3), (200, 100, 50), np.uint8), np.zeros((7, 7)))
    assert np.ptp(middle, axis=2).max() == 0


def test_a_stronger_map_is_more_colourful_up_to_full_colour():
    grey = np.full((14, 14, 3), 128, np.uint8)

    def colour(level):
        return np.ptp(overlay(grey, np.full((7, 7), level)).astype(int), axis=2).mean()

    assert 0 < colour(0.2) < colour(0.6) < colour(FULL_COLOUR) == colour(5.0)
