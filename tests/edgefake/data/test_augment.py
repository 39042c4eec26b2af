"""Each operation of the augmentation does what it says; together they are a function of the generator alone."""

import inspect
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefake.data.augment import (
    PLAIN,
    STANDARD,
    FaceAugmentation,
    add_noise,
    augment,
    blur,
    compress,
    crop_flip,
    relight,
    rescale,
    smear,
)
from edgefake_runtime.crops import resize
from edgefake_runtime.errors import UsageError

PORTRAIT = Path(__file__).resolve().parents[3] / "docs" / "samples" / "astronaut.png"
EVERYTHING = FaceAugmentation(**dict.fromkeys(("blur", "motion", "noise", "rescale", "jpeg", "tint", "gamma"), 1.0))


@pytest.fixture(scope="module")
def face():
    """The portrait's face, (224, 224, 3) RGB."""
    return cv2.cvtColor(cv2.imread(str(PORTRAIT)), cv2.COLOR_BGR2RGB)[20:244, 113:337].copy()


def grey(level=128, side=96):
    return np.full((side, side, 3), level, np.uint8)


def generator(seed=0):
    return np.random.default_rng(seed)


def laplacian(image):
    """Mean square of the picture's Laplacian: its sharpness."""
    return float(np.square(cv2.Laplacian(image.astype(np.float32), cv2.CV_32F)).mean())


def blockiness(image):
    """Steps across the lines of an 8 x 8 grid, over those elsewhere."""
    steps = np.abs(np.diff(image.astype(np.float32), axis=1)).mean((0, 2))  # (W - 1,)
    at_lines = np.arange(len(steps)) % 8 == 7
    return steps[at_lines].mean() / steps[~at_lines].mean()


def test_the_plain_view_is_the_resized_picture(face):
    assert np.array_equal(augment(face, 224, generator(), strength=PLAIN), face)
    assert np.array_equal(augment(face, 112, generator(), strength=PLAIN), resize(face, 112))


def test_jpeg_leaves_blocks_at_low_quality(face):
    assert blockiness(face) == pytest.approx(1, abs=0.1)
    assert blockiness(compress(face, 10)) > 1.5
    errors = [np.abs(compress(face, quality).astype(int) - face).mean() for quality in (10, 40, 95)]
    assert errors[0] > errors[1] > errors[2]


def test_jpeg_takes_red_for_red():
    red = np.zeros((32, 32, 3), np.uint8)
    red[:, ::2] = (200, 0, 0)
    # Luma, which JPEG keeps, holds 0.299 of red; taken for blue it would hold 0.114 and the stripes would fade.
    stripes = compress(red, 90).astype(int)
    assert (stripes[:, ::2, 0] - stripes[:, 1::2, 0]).mean() > 50


def test_chroma_subsampling_blurs_colour():
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2], stripes[:, 1::2] = (180, 60, 60), (60, 110, 60)
    lost = [
        np.abs(compress(stripes, 95, chroma).astype(int) - stripes).mean()
        for chroma in (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    ]
    assert lost[0] > 5 * lost[1]


@pytest.mark.parametrize("sigma", [1.5, 4.0, 8.0])
def test_noise_adds_its_variance(sigma):
    noisy = add_noise(grey(side=200), sigma, generator()).astype(np.float64)
    # Rounding adds 1/12; 120,000 values estimate a variance to 0.4 % (one sigma).
    assert noisy.var() == pytest.approx(sigma**2 + 1 / 12, rel=0.02)
    assert noisy.mean() == pytest.approx(128, abs=0.1)


def test_noise_differs_between_channels():
    noisy = add_noise(grey(side=200), 5, generator()).astype(np.float64) - 128
    channels = np.corrcoef(noisy.reshape(-1, 3).T)
    assert np.abs(channels - np.eye(3)).max() < 0.02


@pytest.mark.parametrize("soften", [lambda i: blur(i, 1.0), lambda i: smear(i, 6, 30.0)])
def test_blurs_lower_the_laplacian_and_keep_the_mean(face, soften):
    assert laplacian(soften(face)) < 0.5 * laplacian(face)
    assert soften(face).mean() == pytest.approx(face.mean(), abs=0.5)


def test_blur_is_the_gaussian_of_its_deviation():
    spike = grey(0)
    spike[48, 48] = 255
    spread = blur(spike, 3.0)[:, :, 0].astype(np.float64)
    columns = np.arange(96) - 48
    # The tails round to 0, which narrows it.
    assert np.sqrt((spread.sum(0) * columns**2).sum() / spread.sum()) == pytest.approx(3.0, rel=0.15)


def test_motion_blurs_along_its_direction():
    spike = grey(0)
    spike[48, 48] = 255
    rows, columns = np.nonzero(smear(spike, 8, 0.0)[:, :, 0])
    assert np.ptp(rows) == 0
    assert np.ptp(columns) == 8
    rows, columns = np.nonzero(smear(spike, 8, 90.0)[:, :, 0])
    assert (np.ptp(rows), np.ptp(columns)) == (8, 0)


def test_rescaling_removes_detail_and_keeps_the_size(face):
    views = [rescale(face, factor, cv2.INTER_AREA, cv2.INTER_LINEAR) for factor in (0.9, 0.5, 0.25)]
    assert all(view.shape == face.shape for view in views)
    sharpness = [laplacian(view) for view in (face, *views)]
    assert sharpness == sorted(sharpness, reverse=True)
    assert sharpness[3] < 0.1 * sharpness[0]


def test_relighting_is_affine_in_the_pixels(face):
    shift = np.array([4.0, -3.0, 0.0])
    expected = np.clip(0.8 * (face.astype(np.float64) - 127.5) + 127.5 + shift, 0, 255)
    assert np.abs(relight(face, gain=0.8, shift=shift) - expected).max() <= 0.51
    assert np.array_equal(relight(face, gain=1.0, shift=np.zeros(3)), face)


def test_saturation_and_hue_leave_luma_and_grey():
    colours = generator().integers(60, 190, (32, 32, 3), dtype=np.uint8)
    weights = np.array([0.299, 0.587, 0.114])
    for change in ({"saturation": 0.5}, {"hue": 20.0}):
        turned = relight(colours, gain=1.0, shift=np.zeros(3), **change)
        assert np.abs(turned @ weights - colours @ weights).max() < 1
        assert np.array_equal(relight(grey(), gain=1.0, shift=np.zeros(3), **change), grey())
    spread = [np.ptp(relight(colours, gain=1.0, shift=np.zeros(3), saturation=s), axis=2).mean() for s in (0, 0.5, 1)]
    assert spread[0] < 1
    assert spread[1] == pytest.approx(spread[2] / 2, rel=0.02)


def test_gamma_bends_the_middle_and_keeps_the_ends():
    brighter = FaceAugmentation.only(gamma=1.0, gamma_exponent=(0.5, 0.5))
    for level, expected in ((0, 0), (64, 128), (255, 255)):
        view = augment(grey(level), 8, generator(), strength=brighter)
        assert np.abs(view.astype(int) - expected).max() <= 1


def test_windows_are_parts_of_the_picture_and_mirrored_when_asked():
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :, 0], image[:, :, 1] = np.arange(60), np.arange(40)[:, None]
    window = crop_flip(image, 0.5, False, generator())
    assert window.shape == (20, 30, 3)
    top, left = window[0, 0, 1], window[0, 0, 0]
    assert np.array_equal(window, image[top : top + 20, left : left + 30])
    assert np.array_equal(crop_flip(image, 0.5, True, generator()), window[:, ::-1])


def test_half_of_the_views_are_mirrored():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, 0] = 255
    flips = FaceAugmentation.only(flip=0.5)
    random = generator()
    mirrored = sum(int(augment(image, 8, random, strength=flips)[0, 7, 0] == 255) for _ in range(400))
    assert 150 < mirrored < 250  # five standard deviations


def test_a_view_depends_on_picture_size_and_generator_alone(face):
    assert list(inspect.signature(augment).parameters) == ["image", "size", "random", "strength"]
    before = face.copy()
    views = [augment(face, 64, generator(7), strength=EVERYTHING) for _ in range(2)]
    assert np.array_equal(*views)
    assert np.array_equal(face, before)
    assert not np.array_equal(views[0], augment(face, 64, generator(8), strength=EVERYTHING))


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    size=st.integers(1, 64),
    seed=st.integers(0, 2**32),
    strength=st.sampled_from([STANDARD, EVERYTHING]),
)
def test_any_picture_gives_square_bytes(height, width, size, seed, strength):
    random = generator(seed)
    view = augment(random.integers(0, 256, (height, width, 3), dtype=np.uint8), size, random, strength=strength)
    assert view.shape == (size, size, 3)
    assert view.dtype == np.uint8


def test_windows_of_a_larger_picture_work_without_a_copy(face):
    cut = face[10:101, 20:97]  # not contiguous, odd sides
    assert augment(cut, 32, generator(), strength=EVERYTHING).shape == (32, 32, 3)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
    ],
)
def test_other_arrays_are_refused(image):
    with pytest.raises(UsageError, match="expected an RGB picture"):
        augment(image, 8, generator())


@pytest.mark.parametrize(
    "setting",
    [{"jpeg": 1.5}, {"blur": float("nan")}, {"jpeg_quality": (90, 40)}, {"window": (0.0, 1.0)}, {"shift": -1.0}],
)
def test_impossible_settings_are_refused(setting):
    with pytest.raises(UsageError, match=f"{next(iter(setting))}: expected"):
        FaceAugmentation(**setting)
    with pytest.raises(UsageError, match="expected settings"):
        FaceAugmentation.only(jpg=1.0)
