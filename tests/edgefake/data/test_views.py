"""Views: sizes, places and mirroring."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefake.data import views
from edgefake.data.randaugment import RandAugment
from edgefake.data.views import centre_view, random_view, shorter_side
from edgefake_runtime.crops import resize
from edgefake_runtime.errors import UsageError


def ramps(height, width):
    """Red grows with the column, green with the row, blue is even."""
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([red, green, np.full_like(red, 9)], axis=-1).astype(np.uint8)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_the_shorter_side_is_met_and_the_aspect_kept(height, width, side):
    rows, columns = shorter_side(ramps(height, width), side).shape[:2]
    assert min(rows, columns) == side
    scale = side / min(height, width)
    assert abs(rows - height * scale) <= 0.5
    assert abs(columns - width * scale) <= 0.5


@pytest.mark.parametrize("side", [20, 50])
def test_squares_are_resized_as_the_runtime_does(side):
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert np.array_equal(shorter_side(image, side), resize(image, side))


def test_shrinking_averages_areas():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    blocks = image.reshape(10, 4, 15, 4, 3).mean(axis=(1, 3))
    assert np.abs(shorter_side(image, 10) - blocks).max() <= 0.5


def test_the_centre_is_the_thesis_crop():
    image = np.random.default_rng(0).integers(0, 256, (256, 300, 3), dtype=np.uint8)
    assert np.array_equal(centre_view(image, 224), image[16:240, 38:262])
    assert np.array_equal(centre_view(image[:, :256], 256, share=1), image[:, :256])


@pytest.mark.parametrize("size", [32, 112, 224])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 200), (300, 256), (500, 375)])
def test_any_picture_gives_the_networks_size(height, width, size):
    image = ramps(height, width)
    random = np.random.default_rng(0)
    for view in (centre_view(image, size), random_view(image, size, random)):
        assert (view.shape, view.dtype, view.flags.c_contiguous) == ((size, size, 3), np.uint8, True)


def test_random_views_are_windows_anywhere_half_of_them_mirrored():
    image = np.arange(8 * 10, dtype=np.uint8).reshape(8, 10, 1).repeat(3, axis=-1)
    random = np.random.default_rng(0)
    seen = {}
    for _ in range(2000):
        view = random_view(image, 7, random, share=7 / 8)[..., 0].astype(int)
        mirrored = view[0, 1] < view[0, 0]
        window = view[:, ::-1] if mirrored else view
        top, left = divmod(int(window[0, 0]), 10)
        assert np.array_equal(window, image[top : top + 7, left : left + 7, 0])
        seen[top, left, bool(mirrored)] = seen.get((top, left, bool(mirrored)), 0) + 1
    assert set(seen) == {(top, left, flip) for top in range(2) for left in range(4) for flip in (False, True)}
    assert all(abs(count - 125) < 5 * 125**0.5 for count in seen.values())


def test_flip_may_be_never_or_always():
    image = ramps(256, 256)
    for seed in range(20):
        never = random_view(image, 224, np.random.default_rng(seed), flip=0)
        always = random_view(image, 224, np.random.default_rng(seed), flip=1)
        assert np.array_equal(never, always[:, ::-1])
        assert never[0, 0, 0] < never[0, -1, 0]


def test_one_generator_one_view():
    image = ramps(300, 400)
    first, second = (random_view(image, 64, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, random_view(image, 64, np.random.default_rng(6)))


@pytest.mark.parametrize(("size", "share"), [(0, 0.9), (32, 0), (32, 1.1), (32, float("nan"))])
def test_impossible_sizes_are_refused(size, share):
    with pytest.raises(UsageError, match="share above 0"):
        centre_view(ramps(9, 9), size, share=share)


def test_randaugment_is_at_hand():
    assert views.RandAugment is RandAugment
