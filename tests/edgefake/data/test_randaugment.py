"""RandAugment: every operation against Pillow's, the bins against torchvision's, the draw."""

from collections import Counter

import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from edgefake.data.randaugment import OPERATIONS, RandAugment
from edgefake_runtime.errors import UsageError

HEIGHT, WIDTH = 75, 90


def picture(height=HEIGHT, width=WIDTH):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return cv2.normalize(smooth, None, 10, 240, cv2.NORM_MINMAX)


def affine(*matrix):
    return lambda image: image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)


def enhance(kind, factor):
    return lambda image: kind(image).enhance(factor)


def posterized(strength):
    return lambda image: ImageOps.posterize(image, 8 - round(strength))


# What torchvision.transforms.RandAugment calls for a Pillow picture, by magnitude share m of 1 and sign.
PILLOW = {
    "identity": lambda s: lambda image: image,
    "shear_x": lambda s: affine(1, 0.3 * s, 0, 0, 1, 0),
    "shear_y": lambda s: affine(1, 0, 0, 0.3 * s, 1, 0),
    "translate_x": lambda s: affine(1, 0, -int(150 / 331 * WIDTH * s), 0, 1, 0),
    "translate_y": lambda s: affine(1, 0, 0, 0, 1, -int(150 / 331 * HEIGHT * s)),
    "rotate": lambda s: lambda image: image.rotate(30 * s),
    "brightness": lambda s: enhance(ImageEnhance.Brightness, 1 + 0.9 * s),
    "color": lambda s: enhance(ImageEnhance.Color, 1 + 0.9 * s),
    "contrast": lambda s: enhance(ImageEnhance.Contrast, 1 + 0.9 * s),
    "sharpness": lambda s: enhance(ImageEnhance.Sharpness, 1 + 0.9 * s),
    "posterize": lambda s: posterized(4 * s),
    "solarize": lambda s: lambda image: ImageOps.solarize(image, 255 - 255 * s),
    "autocontrast": lambda s: ImageOps.autocontrast,
    "equalize": lambda s: ImageOps.equalize,
}
MOVES = {"shear_x", "shear_y", "translate_x", "translate_y", "rotate"}
# Pillow truncates where these round, and its grey differs by a level here and there.
BLENDS = {"brightness", "color", "contrast", "sharpness"}


# At these magnitudes no row or column of a shear lies halfway between two pixels, where rounding errors decide.
@pytest.mark.parametrize("magnitude", [5, 10, 17, 30])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_agree_with_pillow(name, sign, magnitude):
    operation = OPERATIONS[name]
    sign = sign if operation.signed else 1
    got = operation.apply(picture(), sign * operation.most * magnitude / 30)
    expected = np.asarray(PILLOW[name](sign * magnitude / 30)(Image.fromarray(picture())))
    assert got.shape == expected.shape
    assert got.dtype == np.uint8
    difference = np.abs(got.astype(int) - expected)
    if name in MOVES:
        assert (difference > 0).mean() < 0.002  # pixels that lie on the edge between two
    else:
        assert difference.max() <= (2 if name in BLENDS else 0)


@pytest.mark.parametrize("name", OPERATIONS)
def test_one_level_pictures_pass(name):
    flat = np.full((5, 7, 3), 77, np.uint8)
    got = OPERATIONS[name].apply(flat, OPERATIONS[name].most)
    assert got.shape == flat.shape
    if name in ("autocontrast", "equalize", "color", "contrast", "sharpness"):
        assert np.array_equal(got, flat)


@pytest.mark.parametrize(("magnitude", "bits"), [(0, 8), (3, 8), (4, 7), (10, 7), (12, 6), (30, 4)])
def test_posterize_keeps_torchvisions_bits(magnitude, bits):
    # 8 - (arange(31) / 7.5).round()
    got = OPERATIONS["posterize"].apply(np.arange(255, dtype=np.uint8).reshape(5, 17, 3), 4 * magnitude / 30)
    assert len(np.unique(got)) == 2**bits - (bits == 8)


def test_solarize_inverts_from_torchvisions_threshold():
    # linspace(255, 0, 31)[10] = 170; the draw must not miss it by a rounding.
    ((name, strength),) = draws_of("solarize", 10)
    got = OPERATIONS[name].apply(np.array([[[169, 170, 171]]], np.uint8), strength)
    assert got.tolist() == [[[169, 85, 84]]]


def draws_of(name, magnitude):
    augment = RandAugment(1, magnitude)
    seeds = (augment.draw(np.random.default_rng(seed)) for seed in range(1000))
    return next(drawn for drawn in seeds if drawn[0][0] == name)


def test_magnitude_zero_is_the_identity_but_for_histograms():
    image = picture()
    for name, operation in OPERATIONS.items():
        if name not in ("autocontrast", "equalize"):
            assert np.array_equal(operation.apply(image, 0.0 * operation.most), image), name


@pytest.mark.parametrize("operations", [0, 1, 2, 5])
def test_draws_as_many_as_asked(operations):
    assert len(RandAugment(operations).draw(np.random.default_rng(0))) == operations


def test_no_operation_leaves_the_picture():
    assert np.array_equal(RandAugment(0)(picture(), np.random.default_rng(0)), picture())


def test_all_are_drawn_alike_with_either_sign():
    random = np.random.default_rng(0)
    drawn = [RandAugment(2, 10).draw(random) for _ in range(7000)]
    counts = Counter(name for pair in drawn for name, _ in pair)
    assert set(counts) == set(OPERATIONS)
    assert all(abs(count - 1000) < 5 * 1000**0.5 for count in counts.values())
    repeated = sum(first[0] == second[0] for first, second in drawn)
    assert abs(repeated - 500) < 5 * 500**0.5  # with replacement
    turns = Counter(strength for pair in drawn for name, strength in pair if name == "rotate")
    assert set(turns) == {10.0, -10.0}
    assert abs(turns[10.0] - turns[-10.0]) < 5 * 1000**0.5
    assert {strength for pair in drawn for name, strength in pair if name == "posterize"} == {4 / 3}


def test_one_generator_one_picture():
    image = picture(224, 224)
    views = [[RandAugment()(image, np.random.default_rng(seed)) for seed in range(20)] for _ in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(*views, strict=True))
    assert len({view.tobytes() for view in views[0]}) > 10
    assert np.array_equal(image, picture(224, 224))  # the argument is left alone


@pytest.mark.parametrize("settings", [(-1, 10), (2, 31), (2, -1)])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError, match="magnitude of 0 to 30"):
        RandAugment(*settings)
