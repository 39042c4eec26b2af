"""Cutting and normalizing faces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefake_runtime import Crop
from edgefake_runtime.crops import crop_rectangle, cut_face, normalize, resize

from .test_metadata import METADATA

coordinates = st.floats(-500, 1500, allow_nan=False)


def test_margin_shift_and_square_by_hand():
    box = (100.0, 100.0, 140.0, 160.0)  # 40 wide, 60 high
    plain = Crop(margin=0.0, shift=0.0, square=False, origin="")
    assert crop_rectangle(box, plain, height=400, width=400) == (100, 100, 140, 160)
    wide = Crop(margin=0.5, shift=0.0, square=False, origin="")
    assert crop_rectangle(box, wide, height=400, width=400) == (80, 70, 160, 190)
    square = Crop(margin=0.0, shift=0.1, square=True, origin="")
    assert crop_rectangle(box, square, height=400, width=400) == (90, 106, 150, 166)
    assert crop_rectangle(box, wide, height=180, width=120) == (80, 70, 120, 180)
    middle = Crop(margin=0.5, shift=0.0, square=False, origin="", share=0.5)  # of what is inside the frame
    assert crop_rectangle(box, middle, height=400, width=400) == (100, 100, 140, 160)
    assert crop_rectangle(box, middle, height=180, width=120) == (90, 97, 110, 152)


@given(
    st.tuples(coordinates, coordinates, coordinates, coordinates),
    st.floats(-0.3, 2),
    st.booleans(),
    st.floats(0.1, 1),
)
def test_a_crop_always_holds_a_pixel_of_the_frame(box, margin, square, share):
    crop = Crop(margin=margin, shift=0.0, square=square, origin="", share=share)
    x0, y0, x1, y1 = crop_rectangle(box, crop, height=70, width=90)
    assert 0 <= x0 < x1 <= 90
    assert 0 <= y0 < y1 <= 70


def test_resizing_averages_areas_and_keeps_what_fits():
    image = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    assert np.abs(resize(image, 2) - image.reshape(2, 2, 2, 2, 3).mean((1, 3))).max() <= 0.5
    assert np.array_equal(resize(image, 4), image)
    assert resize(image, 9).shape == (9, 9, 3)


def test_a_face_is_the_rectangle_at_the_input_size():
    frame = np.zeros((200, 300, 3), np.uint8)
    frame[50:110, 100:160] = (10, 200, 30)
    crop = cut_face(frame, (110.0, 60.0, 150.0, 100.0), METADATA)
    assert crop.shape == (32, 32, 3)
    assert (crop == (10, 200, 30)).all()


def test_normalization_is_the_formula():
    crops = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)
    got = normalize(crops, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    expected = ((crops / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]).transpose(0, 3, 1, 2)
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    assert got == pytest.approx(expected, abs=1e-5)
