"""Subgroups: sizes of known up-scales, lightness and skin angles of known colours, bins that hold every crop."""

import math

import cv2
import numpy as np
import pytest
import skimage.color

from edgefake.data.manifest import read_manifest
from edgefake.evaluate import evaluate_crops
from edgefake.metrics import auc
from edgefake.subgroups import (
    ITA_CLASSES,
    PROPERTIES,
    FaceMeasures,
    break_down,
    describe_faces,
    effective_side,
    face_sides,
    ita,
    lightness,
    skin_region,
)
from edgefake_runtime import Classifier
from edgefake_runtime.metadata import Crop

from .faces import FACES, judge_real_crops, write_faces
from .test_evaluate import evaluation


def texture(side, seed=0):
    """A picture with detail down to its last pixel: amplitudes fall a little faster than 1 / frequency, as in faces."""
    random = np.random.default_rng(seed)
    fy, fx = np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side), indexing="ij")
    radius = np.hypot(fy, fx)
    radius[0, 0] = 1
    spectrum = np.fft.fft2(random.standard_normal((side, side))) / radius**1.35
    grey = np.real(np.fft.ifft2(spectrum))
    grey = (grey - grey.mean()) / grey.std() * 40 + 128
    return np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("side", [32, 48, 64, 96, 128, 160, 192])
@pytest.mark.parametrize("kind", [cv2.INTER_CUBIC, cv2.INTER_LANCZOS4])
def test_a_crop_that_was_grown_shows_its_first_size(side, kind):
    grown = cv2.resize(texture(side), (224, 224), interpolation=kind)
    assert effective_side(grown) == pytest.approx(side, rel=0.2)
    settings = [cv2.IMWRITE_JPEG_QUALITY, 75]
    stored = cv2.imdecode(cv2.imencode(".jpg", grown, settings)[1], cv2.IMREAD_COLOR)
    assert effective_side(stored) == pytest.approx(side, rel=0.25)


def test_effective_sizes_are_in_order_and_never_above_the_crops():
    for seed in range(3):
        found = [
            effective_side(cv2.resize(texture(side, seed), (224, 224), interpolation=cv2.INTER_LINEAR))
            for side in (32, 48, 64, 96, 128, 160, 192, 224)
        ]
        assert found == sorted(found)
        assert found[0] < 60
        assert 200 < found[-1] <= 224


def test_effective_size_by_hand():
    """One cosine of k half periods needs k + 1 of them; the rule holds for other shapes, and a flat picture has 1."""
    places = (np.arange(128) + 0.5) / 128
    for half_periods in (7, 40, 100):
        wave = 128 + 100 * np.cos(np.pi * half_periods * places)
        across = np.repeat(np.tile(np.rint(wave), (128, 1)).astype(np.uint8)[..., None], 3, axis=2)
        assert effective_side(across) == half_periods + 1
        assert effective_side(np.ascontiguousarray(across.swapaxes(0, 1))) == half_periods + 1
        assert effective_side(across * np.uint8(1) // 2 + 60) == half_periods + 1  # contrast cancels
    assert effective_side(np.full((50, 70, 3), 90, np.uint8)) == 1
    assert effective_side(texture(97)) in range(80, 98)
    assert effective_side(texture(128)[:64]) in range(70, 92)  # sqrt(64 * 128) is 90.5


def rgb(light, a, b, side=20):
    """A patch of one colour of CIELAB, made by scikit-image; bytes, so that L* and b* are right to about 0.3."""
    values = skimage.color.lab2rgb(np.array([light, a, b], float))
    return np.tile(np.rint(255 * values).astype(np.uint8), (side, side, 1))


@pytest.mark.parametrize(
    ("light", "b", "name"),
    [
        (75, 14, "very light"),
        (67, 17, "light"),
        (63, 18, "intermediate"),
        (57, 19, "tan"),
        (45, 20, "brown"),
        (32, 15, "dark"),
    ],
)
def test_the_angle_and_class_of_known_patches(light, b, name):
    patch = rgb(light, 13, b)
    angle = ita(patch)
    assert angle == pytest.approx(math.degrees(math.atan((light - 50) / b)), abs=1.2)
    assert lightness(patch) == pytest.approx(light, abs=0.4)
    ends = dict(ITA_CLASSES)
    assert next((known for known, end in ends.items() if angle <= end), "very light") == name


def test_beard_and_background_do_not_move_the_angle_but_grey_and_blue_have_none():
    patch = rgb(60, 13, 18)
    expected = ita(patch)
    mixed = patch.copy()
    mixed[:9] = rgb(20, 0, 0)[:9]  # dark grey: hair
    mixed[-3:] = rgb(98, 0, 1)[-3:]  # a highlight
    assert ita(mixed) == expected
    assert lightness(mixed) < lightness(patch)
    for other in (rgb(60, 0, 0), rgb(60, 0, -30), rgb(60, -40, 30)):
        assert ita(other) is None


def test_the_region_of_the_skin_follows_the_rule_of_the_crop():
    ramp = np.stack(np.broadcast_arrays(np.arange(200)[:, None], np.arange(200)[None], 0), axis=-1).astype(np.uint8)
    tight = skin_region(ramp, Crop(margin=0.0, shift=0.0, square=True, origin="test"))
    assert (tight[0, 0, 0], tight[-1, 0, 0], tight[0, 0, 1], tight[0, -1, 1]) == (96, 135, 50, 149)
    wide = skin_region(ramp, Crop(margin=0.5, shift=0.0, square=True, origin="test"))  # the box is the middle half
    assert (wide[0, 0, 0], wide[-1, 0, 0], wide[0, 0, 1], wide[0, -1, 1]) == (98, 117, 75, 124)
    lower = skin_region(ramp, Crop(margin=0.0, shift=0.1, square=True, origin="test"))  # the crop lies below the box
    assert (lower[0, 0, 0], lower[-1, 0, 0]) == (76, 115)


def test_native_sizes_come_from_the_boxes(tmp_path):
    manifest = tmp_path / "m.csv"
    manifest.write_text(
        "file,label,box\na.png,real,10 10 110 60\nb.png,fake,\nc.png,fake,1 2 x 4\nd.png,real,5 5 4 4\n"
    )
    assert face_sides(manifest) == {2: pytest.approx(math.sqrt(5000))}
    manifest.write_text("file,label\na.png,real\n")
    assert face_sides(manifest) == {}


def faces_of(sizes):
    return [
        FaceMeasures(float(s), 0.1 + 0.001 * i, 30 + i, None if i % 10 == 0 else -60 + i) for i, s in enumerate(sizes)
    ]


def test_every_crop_stands_in_one_bin_of_each_property():
    result = evaluation([f"p{i // 10}" for i in range(120)])
    faces = faces_of([64, 65, 96, 97, 200, 300] * 20)
    rows = break_down(result, faces)
    for name in PROPERTIES:
        assert sum(row.n for row in rows if row.property == name) == 120
    sizes = {row.bin: row.n for row in rows if row.property == "size"}
    assert sizes == {"up to 64": 20, "64 to 96": 40, "96 to 128": 20, "above 192": 40}  # an edge belongs below
    for name in ("sharpness", "lightness"):
        assert [row.n for row in rows if row.property == name] == [40, 40, 40]
    assert [row.bin for row in rows if row.property == "ita"] == [
        "dark",
        "brown",
        "tan",
        "intermediate",
        "light",
        "very light",
        "unknown",
    ]


def test_a_bins_figures_are_those_of_its_crops_alone():
    result = evaluation([f"p{i // 10}" for i in range(120)], threshold=0.45)
    faces = faces_of([50] * 60 + [150] * 60)
    low, high = (row for row in break_down(result, faces) if row.property == "size")
    for row, part in ((low, slice(0, 60)), (high, slice(60, 120))):
        labels, scores = result.labels[part], result.scores[part]
        assert (row.n, row.n_real, row.n_fake, row.groups) == (60, 30, 30, 6)
        assert row.auc == pytest.approx(auc(labels, scores))
        assert row.auc_low < row.auc < row.auc_high
        assert row.false_positive_rate == pytest.approx((scores[~labels] >= 0.45).mean())
        assert row.true_positive_rate == pytest.approx((scores[labels] >= 0.45).mean())
        assert row.mean_score == pytest.approx(scores.mean())
    assert low.auc != high.auc


def test_without_groups_or_with_few_a_bin_has_no_interval():
    for groups, people in (([None] * 40, None), ([f"p{i % 4}" for i in range(40)], 4)):
        rows = break_down(evaluation(groups), faces_of([50] * 40))
        assert {(row.auc_low, row.auc_high) for row in rows} == {(None, None)}
        assert rows[0].groups == people


def test_equal_values_make_one_bin():
    rows = break_down(evaluation(["a"] * 12), [FaceMeasures(100, 0.3, 50, None)] * 12)
    assert [(row.property, row.n) for row in rows] == [(name, 12) for name in PROPERTIES]
    assert rows[-1].bin == "unknown"


def test_faces_are_measured_as_the_model_sees_them(tmp_path):
    manifest = write_faces(tmp_path)
    result = evaluate_crops(Classifier(threads=1), read_manifest(manifest))
    metadata = Classifier(threads=1).metadata
    plain = describe_faces(result, metadata)
    assert len(plain) == len(result.samples)
    half = len(plain) // 2
    for face, mirrored in zip(plain[:half], plain[half:], strict=True):
        assert mirrored.size == pytest.approx(face.size, abs=1)
        assert mirrored.sharpness == pytest.approx(face.sharpness, rel=1e-3)
        assert mirrored.lightness == pytest.approx(face.lightness, abs=0.5)
    sides = {sample.line: 10.0 + sample.line for sample in result.samples}
    assert [face.size for face in describe_faces(result, metadata, sides=sides)] == list(sides.values())
    del sides[2]
    assert describe_faces(result, metadata, sides=sides) == plain  # all or none
    wide = Crop(margin=0.5, shift=0.0, square=True, origin="test")
    assert describe_faces(result, metadata, rule=wide)[0].size < plain[0].size


def test_blur_makes_a_face_smaller_and_softer():
    face = cv2.cvtColor(cv2.imread(str(FACES))[:, :224], cv2.COLOR_BGR2RGB)
    found = [effective_side(cv2.GaussianBlur(face, (0, 0), sigma)) for sigma in (0.5, 1, 2, 4)]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 4


@pytest.mark.data
def test_real_crops_have_sizes_tones_and_bins(data_folder):
    classifier = Classifier(threads=1)
    result = judge_real_crops(data_folder, classifier)
    faces = describe_faces(result, classifier.metadata)
    assert sum(face.ita is not None for face in faces) > 40  # faces look like skin
    assert all(30 < face.size <= 224 and 0 < face.lightness < 100 for face in faces)
    rows = break_down(result, faces)
    assert {row.property for row in rows} == set(PROPERTIES)
    assert sum(row.n_fake for row in rows if row.property == "ita") == result.metrics.n_fake
