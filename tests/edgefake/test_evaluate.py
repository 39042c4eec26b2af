"""Evaluations of crops: halves by identity, intervals, what is kept for the tables."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgefake.calibrate import halves_by_group
from edgefake.data.manifest import Sample, read_manifest
from edgefake.evaluate import Evaluation, evaluate_crops, read_picture, take_half
from edgefake.metrics import bootstrap_auc, measure
from edgefake_runtime import Classifier, InputError, UsageError

from .faces import write_faces

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"


def evaluation(groups, *, threshold=0.5, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(len(groups)) % 2 == 1
    scores = np.clip(random.normal(0.4 + 0.2 * labels, 0.2), 0, 1)
    samples = tuple(
        Sample(Path(f"{i}.png"), "fake" if fake else "real", "val", group or f"{i}.png", i + 2, bool(group))
        for i, (fake, group) in enumerate(zip(labels, groups, strict=True))
    )
    return Evaluation(measure(labels, scores, threshold=threshold), samples, scores, (), threshold)


def test_the_halves_share_no_group_and_are_those_of_calibration():
    samples = list(evaluation([f"p{i // 7}" for i in range(70)]).samples)
    fit, held = (take_half(samples, half, manifest=Path("m.csv")) for half in ("fit", "held"))
    assert sorted([*fit, *held], key=lambda sample: sample.line) == samples
    assert not {s.group for s in fit} & {s.group for s in held}
    first = halves_by_group([s.group for s in samples])
    assert fit == [s for s, mine in zip(samples, first, strict=True) if mine]


def test_without_groups_there_are_no_halves():
    named = evaluation(["a", "b"] * 4).samples
    with pytest.raises(InputError, match=r"m\.csv: expected two identity groups.*got 1 of 8 rows without.*fill"):
        take_half([*named[:7], evaluation([None]).samples[0]], "fit", manifest=Path("m.csv"))
    with pytest.raises(InputError, match="got one for all rows"):
        take_half(evaluation(["a"] * 4).samples, "held", manifest=Path("m.csv"))
    with pytest.raises(UsageError, match="fit or held, got all"):
        take_half(named, "all", manifest=Path("m.csv"))


def test_the_halves_of_several_splits_are_not_those_of_one():
    """Halves of train and val together put rows of the fitted half of val, and of train, among the held ones."""
    train = [replace(sample, split="train") for sample in evaluation(["a", "b"] * 4).samples]
    val = evaluation(["c", "d"] * 4).samples
    with pytest.raises(UsageError, match=r"m\.csv: expected rows of one split.*got train, val; name one with --split"):
        take_half([*train, *val], "held", manifest=Path("m.csv"))
    assert len(take_half(val, "held", manifest=Path("m.csv"))) == 4


def test_intervals_hold_the_figures_and_need_people_enough():
    result = evaluation([f"p{i // 10}" for i in range(200)])
    intervals = result.intervals()
    assert list(intervals) == ["auc", "accuracy", "eer", "ece", "false_positive_rate", "true_positive_rate"]
    assert intervals["auc"] == bootstrap_auc(result.labels, result.scores, result.groups)
    for name in set(intervals) - {"ece"}:  # the ECE of a draw is biased upwards
        low, high = intervals[name]
        assert low < getattr(result.metrics, name) < high, name
    assert evaluation([f"p{i % 4}" for i in range(40)]).intervals() is None
    assert evaluation([f"p{i % 5}" for i in range(40)]).intervals() is not None
    assert evaluation([None] * 40).intervals() is None
    assert evaluation([*["a", "b", "c", "d", "e"] * 4, None]).groups is None


def test_the_threshold_decides_the_rates(tmp_path):
    samples = read_manifest(write_faces(tmp_path))
    classifier = Classifier(threads=1)
    all_fake, none = (evaluate_crops(classifier, samples, threshold=t).metrics for t in (0.0, 1.0))
    assert (all_fake.false_positive_rate, all_fake.true_positive_rate) == (1.0, 1.0)
    assert (none.false_positive_rate, none.true_positive_rate) == (0.0, 0.0)
    assert evaluate_crops(classifier, samples).threshold == classifier.metadata.threshold


def test_json_is_what_was_measured_and_finite():
    result = evaluation(["a"] * 6, threshold=0.4)
    written = json.loads(result.to_json(model="m", split=None, half="fit"))
    assert (written["model"], written["split"], written["threshold"], written["half"]) == ("m", None, 0.4, "fit")
    assert written["false_positive_rate"] == result.metrics.false_positive_rate
    broken = replace(result, metrics=replace(result.metrics, auc=float("nan")))
    with pytest.raises(ValueError, match="JSON"):
        broken.to_json(model="m", split=None)


def test_a_video_is_no_crop():
    with pytest.raises(InputError, match="expected a picture of a face, got a video"):
        read_picture(SAMPLES / "real.mp4")
