"""Parts of the face detector's pyramid: bands are together the whole, windows parts of it, whoever runs them."""

from dataclasses import astuple
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgefake_runtime import mtcnn
from edgefake_runtime.mtcnn import FaceDetector
from edgefake_runtime.scales import BAND_ROWS, CELL, Level, Window, bands, levels_of, pyramid, windows
from edgefake_runtime.session import open_session
from edgefake_runtime.shipped import models_folder

from .judged import SAMPLES

PNET = open_session((models_folder() / "mtcnn" / "pnet.onnx").read_bytes(), 1)

sides = st.integers(CELL, 300)


def noise(height, width, seed):
    return np.random.default_rng(seed).uniform(-1, 1, (3, height, width)).astype(np.float32)


def propose(image):
    boxes, probability = PNET.run(["boxes", "probability"], {"image": np.ascontiguousarray(image)[None]})
    return np.concatenate([boxes[0], probability[0]])  # (5, rows, columns)


def seen(image, window):
    return propose(image[:, window.pixel_rows, window.pixel_columns])


@settings(deadline=None, max_examples=40)
@given(sides, sides, st.integers(1, 20_000), st.integers(0, 99))
def test_bands_give_what_the_whole_level_gives(height, width, most, seed):
    image = noise(height, width, seed)
    parts = list(bands([Level(0, 1.0, height, width)], most))
    assert parts[0].rows.start == 0
    assert all(before.rows.stop == after.rows.start for before, after in pairwise(parts))
    np.testing.assert_allclose(np.concatenate([seen(image, part) for part in parts], 1), propose(image), atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(sides, sides, st.lists(st.floats(0, 1), min_size=4, max_size=4), st.integers(0, 99))
def test_a_window_gives_its_part_of_the_whole_level(height, width, edges, seed):
    image, level = noise(height, width, seed), Level(0, 1.0, height, width)
    rows, columns = (
        sorted(round(edge * count) for edge in pair)
        for pair, count in ((edges[:2], level.rows), (edges[2:], level.columns))
    )
    assume(rows[0] < rows[1] and columns[0] < columns[1])
    window = Window(level, slice(*rows), slice(*columns))
    np.testing.assert_allclose(seen(image, window), propose(image)[:, window.rows, window.columns], atol=1e-6)


def test_bands_are_no_larger_than_told_and_not_too_many():
    levels = levels_of(1080, 1920, [0.6, 0.3, 12 / 450])
    assert [(level.height, level.width) for level in levels] == [(649, 1153), (325, 577), (29, 52)]
    parts = list(bands(levels, 2**16))
    assert [part.level.number for part in parts] == [0] * 12 + [1] * 3 + [2]
    for part in parts:
        rows = part.pixel_rows.stop - part.pixel_rows.start
        assert (rows - CELL + 2) * part.level.width <= 2**16


def test_a_wide_frame_is_not_cut_into_slices_that_repeat_themselves():
    assert all(part.rows.stop - part.rows.start >= BAND_ROWS for part in bands([Level(0, 1.0, 300, 20_000)], 2**16))


def test_windows_are_where_and_as_large_as_the_face():
    levels = levels_of(1080, 1920, pyramid(1080, 1920, min_face=40, factor=0.709))
    found = list(windows(levels, [(900.0, 400.0, 1000.0, 520.0)]))
    cells = [CELL / window.level.scale for window in found]
    assert cells == [CELL / level.scale for level in levels if 0.3 * 120 <= CELL / level.scale <= 2 * 120]
    for window in found:
        scale = window.level.scale
        for cut, pixels, centre in ((window.rows, window.level.height, 460), (window.columns, window.level.width, 950)):
            middles = (2 * np.arange((pixels - CELL + 1) // 2 + 1) + CELL / 2) / scale
            inside = np.flatnonzero(np.abs(middles - centre) <= 0.8 * 120)
            assert cut.start <= inside[0] <= cut.start + 1
            assert cut.stop - 2 <= inside[-1] <= cut.stop - 1


@pytest.mark.parametrize("box", [(-500.0, 0.0, -300.0, 200.0), (5000.0, 0.0, 5200.0, 200.0), (0.0, 0.0, 5.0, 5.0)])
def test_no_window_for_boxes_outside_of_the_frame_or_too_small(box):
    levels = levels_of(480, 640, pyramid(480, 640, min_face=40, factor=0.709))
    assert list(windows(levels, [box])) == []


@pytest.fixture(scope="module")
def picture():
    image = cv2.imread(str(SAMPLES / "astronaut.png"))
    return np.ascontiguousarray(cv2.resize(image, None, fx=1.5, fy=1.5)[..., ::-1])


def test_any_bands_batches_and_threads_find_the_same(picture, monkeypatch):
    (expected,) = FaceDetector(threads=1).detect(picture, min_face=20)
    for threads, band, batch in [(1, 2**10, 3), (2, 2**16, 16), (3, 2**12, 1), (5, 2**20, 64)]:
        monkeypatch.setattr(mtcnn, "BAND", band)
        monkeypatch.setattr(mtcnn, "BATCH", batch)
        (found,) = FaceDetector(threads=threads).detect(picture, min_face=20)
        for one, other in zip(astuple(found), astuple(expected), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("min_face", [20, 40, 80])
@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_a_face_is_found_again_where_it_is(picture, min_face, format):
    if format == "tflite":
        pytest.importorskip("ai_edge_litert")
    detector = FaceDetector(min_face=min_face, threads=1, format=format)
    (expected,) = detector.detect(picture)
    (found,) = detector.detect(picture, near=[expected.box])
    for one, other in zip(astuple(found), astuple(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_a_search_elsewhere_or_nowhere_finds_nothing(picture):
    detector = FaceDetector(threads=1)
    (x0, y0, x1, y1) = detector.detect(picture)[0].box
    assert detector.detect(picture, near=[(x0 - 250, y0, x1 - 250, y1)]) == []
    assert detector.detect(picture, near=[]) == []
