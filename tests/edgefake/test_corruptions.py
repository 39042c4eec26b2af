"""Corruptions: each does what its level says, to every crop alike, and the sweep counts right."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from edgefake.corruptions import CLEAN, CORRUPTIONS, brighten, chosen_kinds, steps_of, sweep
from edgefake.data.manifest import read_manifest
from edgefake.evaluate import evaluate_crops, read_picture
from edgefake_runtime import Classifier, UsageError

from .faces import FACES, judge_real_crops, write_faces


@pytest.fixture(scope="module")
def face():
    strip = cv2.cvtColor(cv2.imread(str(FACES)), cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(strip[:, 448:672])


def changes(face, kind):
    """RMS change of the picture at each level, in the table's order."""
    spoilt = [CORRUPTIONS[kind].apply(face, level) for level in CORRUPTIONS[kind].levels]
    assert all(picture.shape == face.shape and picture.dtype == np.uint8 for picture in spoilt)
    return [float(np.sqrt(((picture.astype(float) - face) ** 2).mean())) for picture in spoilt]


@pytest.mark.parametrize("kind", ["jpeg", "blur", "noise", "rescale"])
def test_each_level_spoils_more_than_the_one_before(face, kind):
    found = changes(face, kind)
    assert found[0] > 0
    assert all(later > before for before, later in pairwise(found)), found


def test_brightness_moves_away_from_one_on_both_sides(face):
    found = dict(zip(CORRUPTIONS["brightness"].levels, changes(face, "brightness"), strict=True))
    assert found[0.4] > found[0.6] > found[0.8] > 0
    assert found[1.6] > found[1.4] > found[1.2] > 0
    assert 1 not in found


def test_brightness_is_a_factor():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for factor in CORRUPTIONS["brightness"].levels:
        expected = np.clip(ramp * factor, 0, 255)
        assert np.abs(brighten(ramp, factor).astype(float) - expected).max() <= 0.51, factor


def test_noise_has_its_deviation_and_is_the_crops_own():
    grey = np.full((224, 224, 3), 128, np.uint8)
    noisy = CORRUPTIONS["noise"].apply
    for sigma in CORRUPTIONS["noise"].levels:
        assert (noisy(grey, sigma).astype(float) - 128).std() == pytest.approx(sigma, rel=0.01)
    assert np.array_equal(noisy(grey, 8), noisy(grey, 8))
    other = noisy(grey + 1, 8).astype(int) - 129
    assert abs(np.corrcoef(other.ravel(), (noisy(grey, 8).astype(int) - 128).ravel())[0, 1]) < 0.02


def test_blur_is_a_gaussian_in_pixels():
    step = np.zeros((64, 224, 3), np.uint8)
    step[:, 112:] = 200
    for sigma in CORRUPTIONS["blur"].levels:
        edge = CORRUPTIONS["blur"].apply(step, sigma)[32, :, 0].astype(float)
        slopes, places = np.diff(edge) / 200, np.arange(223)
        mean = (slopes * places).sum()
        assert np.sqrt((slopes * (places - mean) ** 2).sum()) == pytest.approx(sigma, abs=0.05)  # of bytes


def test_shrinking_averages_and_growing_interpolates():
    checker = np.repeat((np.indices((224, 224)).sum(axis=0) % 2 * 200)[..., None], 3, axis=2).astype(np.uint8)
    assert np.abs(CORRUPTIONS["rescale"].apply(checker, 0.5).astype(int) - 100).max() <= 1  # not every other pixel
    ramp = np.repeat(np.tile(np.arange(224, dtype=np.uint8), (224, 1))[..., None], 3, axis=2)
    for factor in CORRUPTIONS["rescale"].levels:
        change = CORRUPTIONS["rescale"].apply(ramp, factor).astype(int) - ramp
        assert np.abs(change[:, 4:-4]).max() <= 1, factor  # no steps


def test_kinds_are_chosen_by_name_in_the_tables_order():
    assert chosen_kinds("noise, jpeg") == ["jpeg", "noise"]
    assert steps_of(["blur"]) == [("blur", level) for level in (0.5, 1, 1.5, 2, 3)]
    for text, got in (("jpeg,fog", "fog"), ("", "nothing")):
        with pytest.raises(UsageError, match=f"only: expected jpeg, blur.*got {got}"):
            chosen_kinds(text)


def test_the_sweep_scores_what_an_evaluation_of_the_spoilt_files_scores(tmp_path):
    manifest = write_faces(tmp_path / "clean")
    samples = read_manifest(manifest)
    classifier = Classifier(threads=1)
    clean = evaluate_crops(classifier, samples, share=0.8, threshold=0.33)
    counts = []
    rows = sweep(classifier, clean, share=0.8, kinds=["blur", "noise"], on_done=counts.append)
    assert counts[-1] == len(samples)
    assert [(row.kind, row.level) for row in rows] == [(CLEAN, None), *steps_of(["blur", "noise"])]
    assert (rows[0].auc, rows[0].auc_drop) == (clean.metrics.auc, 0)
    spoilt = write_faces(tmp_path / "spoilt")
    for sample in read_manifest(spoilt):
        picture = CORRUPTIONS["blur"].apply(read_picture(sample.path), 3)
        cv2.imwrite(str(sample.path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    expected = evaluate_crops(classifier, read_manifest(spoilt), share=0.8, threshold=0.33).metrics
    row = next(row for row in rows if (row.kind, row.level) == ("blur", 3))
    for name in ("n", "auc", "accuracy", "false_positive_rate", "true_positive_rate", "ece"):
        assert getattr(row, name) == pytest.approx(getattr(expected, name)), name
    assert row.auc_drop == pytest.approx(clean.metrics.auc - expected.auc)
    assert sweep(classifier, clean, share=0.8, kinds=["blur", "noise"]) == rows


@pytest.mark.data
def test_the_sweep_over_real_crops_begins_where_the_clean_ones_are(data_folder):
    classifier = Classifier(threads=1)
    clean = judge_real_crops(data_folder, classifier)
    rows = {(row.kind, row.level): row for row in sweep(classifier, clean)}
    assert len(rows) == 1 + sum(len(corruption.levels) for corruption in CORRUPTIONS.values())
    assert {row.n for row in rows.values()} == {48}
    assert all(0 <= row.auc <= 1 for row in rows.values())
    for kind, level in (("jpeg", 100), ("blur", 0.5)):  # hardly another picture
        assert abs(rows[kind, level].auc_drop) < 0.03
