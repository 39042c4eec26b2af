"""Bands of the face detector's pyramid: together they are the whole, whoever runs them."""

from dataclasses import astuple
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefake_runtime import mtcnn
from edgefake_runtime.mtcnn import BAND_ROWS, CELL, FaceDetector, _bands
from edgefake_runtime.session import open_session
from edgefake_runtime.shipped import models_folder

PNET = open_session((models_folder() / "mtcnn" / "pnet.onnx").read_bytes(), 1)

sides = st.integers(CELL, 300)


def propose(image):
    boxes, probability = PNET.run(["boxes", "probability"], {"image": image[None]})
    return np.concatenate([boxes[0], probability[0]])  # (5, rows, columns)


@settings(deadline=None, max_examples=40)
@given(sides, sides, st.integers(1, 20_000), st.integers(0, 99))
def test_bands_give_what_the_whole_scale_gives(height, width, most, seed):
    image = np.random.default_rng(seed).uniform(-1, 1, (3, height, width)).astype(np.float32)
    bands = list(_bands([(height, width)], most))
    assert bands[0].first == 0
    assert all(before.last == after.first for before, after in pairwise(bands))
    found = [propose(np.ascontiguousarray(image[:, band.pixels])) for band in bands]
    assert [part.shape[1] for part in found] == [band.last - band.first for band in bands]
    np.testing.assert_allclose(np.concatenate(found, 1), propose(image), atol=1e-6)


def test_bands_are_no_larger_than_told_and_not_too_many():
    sizes = [(649, 1153), (325, 577), (29, 52)]
    bands = list(_bands(sizes, 2**16))
    assert [band.level for band in bands] == [0] * 12 + [1] * 3 + [2]
    for band in bands:
        rows = band.pixels.stop - band.pixels.start
        assert (rows - CELL + 2) * band.width <= 2**16
        assert band.last - band.first >= BAND_ROWS or band.level == 2


def test_a_wide_frame_is_not_cut_into_slices_that_repeat_themselves():
    assert all(band.last - band.first >= BAND_ROWS for band in _bands([(300, 20_000)], 2**16))


@pytest.fixture(scope="module")
def picture():
    image = cv2.imread(str(models_folder().parent / "docs" / "samples" / "astronaut.png"))
    if image is None:
        image = cv2.cvtColor(pytest.importorskip("skimage.data").astronaut(), cv2.COLOR_RGB2BGR)
    return np.ascontiguousarray(cv2.resize(image, None, fx=1.5, fy=1.5)[..., ::-1])


def test_any_bands_batches_and_threads_find_the_same(picture, monkeypatch):
    (expected,) = FaceDetector(threads=1).detect(picture, min_face=20)
    for threads, band, batch in [(1, 2**10, 3), (2, 2**16, 16), (3, 2**12, 1), (5, 2**20, 64)]:
        monkeypatch.setattr(mtcnn, "BAND", band)
        monkeypatch.setattr(mtcnn, "BATCH", batch)
        (found,) = FaceDetector(threads=threads).detect(picture, min_face=20)
        for one, other in zip(astuple(found), astuple(expected), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)
