"""Adaptive averages against torch's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefake_runtime.errors import UsageError
from edgefake_runtime.resample import AreaTable, adaptive_area

torch = pytest.importorskip("torch")

sizes = st.integers(1, 70)


def random_image(height, width, channels=3, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    return image if dtype == np.uint8 else (image + rng.random(image.shape)).astype(np.float32)


def torch_area(image, height, width):
    batch = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    area = torch.nn.functional.interpolate(batch, size=(height, width), mode="area")
    return area[0].permute(1, 2, 0).numpy()


@settings(deadline=None)
@given(sizes, sizes, sizes, sizes, st.integers(1, 4), st.integers(0, 99))
def test_uint8_is_torchs_area_bit_for_bit(height, width, new_height, new_width, channels, seed):
    image = random_image(height, width, channels, seed=seed)
    got = adaptive_area(image, new_height, new_width)
    assert got.dtype == np.float32
    expected = torch_area(image, new_height, new_width)
    if (new_height, new_width) == (1, 1):  # torch takes the mean there, and rounds it once
        np.testing.assert_allclose(got, expected, rtol=2e-7)
    else:
        np.testing.assert_array_equal(got, expected)


@settings(deadline=None)
@given(sizes, sizes, sizes, sizes)
def test_float32_is_torchs_area_to_rounding(height, width, new_height, new_width):
    image = random_image(height, width, dtype=np.float32)
    expected = torch_area(image, new_height, new_width)
    np.testing.assert_allclose(adaptive_area(image, new_height, new_width), expected, rtol=2e-6)


@pytest.mark.parametrize(("height", "width"), [(649, 1153), (325, 577), (27, 48), (1080, 1920)])
def test_pyramid_of_a_full_hd_frame(height, width):
    image = random_image(1080, 1920)
    np.testing.assert_array_equal(adaptive_area(image, height, width), torch_area(image, height, width))


@settings(deadline=None)
@given(st.lists(st.tuples(sizes, sizes, sizes, sizes), min_size=0, max_size=12), st.sampled_from([2, 7, 24, 48]))
def test_crops_are_torchs_area_of_each_crop(corners, side):
    image = random_image(71, 71)
    boxes = np.array([(min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1) for a, b, c, d in corners], np.intp).reshape(
        -1, 4
    )
    got = AreaTable(image).crops(boxes, side)
    assert got.shape == (len(boxes), 3, side, side)
    for crop, (x0, y0, x1, y1) in zip(got, boxes, strict=True):
        np.testing.assert_array_equal(np.moveaxis(crop, 0, -1), torch_area(image[y0:y1, x0:x1], side, side))


def test_sums_beyond_int32_stay_exact():
    # 3000 x 3000 white pixels sum to 2.3e9 a channel, more than int32 holds.
    image = np.full((3000, 3000, 1), 255, np.uint8)
    image[-1, -1] = 0
    table = AreaTable(image)
    means = table.resize(30, 30)[0]
    assert (means.ravel()[:-1] == 255).all()
    np.testing.assert_allclose(means[-1, -1], 255 - 255 / 10_000, rtol=2e-7)
    corner = table.crops(np.array([[2990, 2990, 3000, 3000]]), 1)
    np.testing.assert_allclose(corner, 252.45, rtol=2e-7)


def test_brightest_frame_that_int32_holds():
    image = np.full((2160, 3840, 1), 255, np.uint8)
    assert (AreaTable(image).resize(27, 48) == 255).all()


def test_a_view_that_is_not_contiguous_counts_as_its_pixels():
    image = random_image(40, 60)
    flipped = image[:, ::-1, ::-1]
    np.testing.assert_array_equal(adaptive_area(flipped, 9, 11), adaptive_area(flipped.copy(), 9, 11))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 3), np.float64),
        np.zeros((8, 8, 3), np.int16),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_another_type_or_shape_is_refused(image):
    with pytest.raises(UsageError, match="expected an image"):
        adaptive_area(image, 4, 4)


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (-1, 4)])
def test_an_empty_result_is_refused(size):
    with pytest.raises(UsageError, match="1 x 1 or more"):
        adaptive_area(np.zeros((8, 8, 3), np.uint8), *size)


@settings(deadline=None)
@given(sizes, sizes, st.integers(1, 200), st.integers(1, 4), st.integers(0, 200), st.integers(0, 200))
def test_a_band_is_those_rows_of_the_whole(new_height, new_width, width, channels, start, stop):
    table = AreaTable(random_image(60, width, channels))
    whole = table.resize(new_height, new_width)
    np.testing.assert_array_equal(table.resize(new_height, new_width, rows=slice(start, stop)), whole[:, start:stop])
