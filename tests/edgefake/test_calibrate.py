"""Calibration and the split that keeps it honest."""

import numpy as np
import pytest
import sklearn.linear_model
from hypothesis import given
from hypothesis import strategies as st

from edgefake.calibrate import fit_band, fit_calibration, fit_operation, halves_by_group, roc_of
from edgefake_runtime.errors import InputError


def test_platt_scaling_agrees_with_logistic_regression():
    random = np.random.default_rng(0)
    margins = random.normal(size=4000) * 3
    labels = random.random(4000) < 1 / (1 + np.exp(-(0.7 * margins - 0.4)))
    ours = fit_calibration(labels, margins, origin="test")
    reference = sklearn.linear_model.LogisticRegression(C=1e9).fit(margins[:, None], labels)
    assert ours.scale == pytest.approx(reference.coef_[0, 0], abs=5e-3)
    assert ours.shift == pytest.approx(reference.intercept_[0], abs=5e-3)
    assert (ours.scale, ours.shift) == pytest.approx((0.7, -0.4), abs=0.1)


def test_separable_margins_keep_a_finite_scale():
    calibration = fit_calibration(np.array([False] * 9 + [True] * 9), np.arange(18.0), origin="test")
    assert 0 < calibration.scale < 10


def test_one_class_and_a_reversed_model_are_refused():
    with pytest.raises(InputError, match="both classes"):
        fit_calibration(np.array([True, True]), np.array([0.0, 1.0]), origin="test")
    with pytest.raises(InputError, match="opposite"):
        fit_calibration(np.array([True, False] * 20), np.array([-1.0, 1.0] * 20), origin="test")


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=80))
def test_no_group_stands_in_both_halves(groups):
    first = halves_by_group(groups)
    assert not {g for g, f in zip(groups, first, strict=True) if f} & {
        g for g, f in zip(groups, first, strict=True) if not f
    }
    largest = max(groups.count(g) for g in set(groups))
    assert abs(int(first.sum()) - int((~first).sum())) <= largest


def scores_of(random, count=2000, strength=1.0):
    """Labels and calibrated scores: a fake is drawn with the probability that its score says."""
    log_odds = random.normal(size=count) * strength
    scores = 1 / (1 + np.exp(-log_odds))
    return random.random(count) < scores, scores


def test_the_band_leaves_few_wrong_verdicts_outside_and_is_the_narrowest():
    labels, scores = scores_of(np.random.default_rng(1), strength=1.5)
    band = fit_band(labels, scores, origin="test", max_error=0.2)

    def error(high):
        outside = np.maximum(scores, 1 - scores) >= high
        wrong = ((scores >= 0.5) != labels)[outside]
        share = np.where(labels, 1 / labels.sum(), 1 / (~labels).sum())[outside]
        return (wrong * share).sum() / share.sum()

    assert band.low == pytest.approx(1 - band.high)
    assert error(band.high) <= 0.2 < error(band.high - 0.01)
    assert 0.5 < band.high < 0.9


def test_a_sure_model_has_no_band_and_a_blind_one_is_refused():
    labels = np.array([False, True] * 100)
    assert fit_band(labels, np.where(labels, 0.99, 0.01), origin="test").high == 0.5
    with pytest.raises(InputError, match="--max-error"):
        fit_band(labels, np.full(200, 0.95), origin="test")


@given(st.integers(0, 30), st.integers(2, 300))
def test_every_point_of_the_curve_is_what_it_says(seed, count):
    random = np.random.default_rng(seed)
    labels = np.concatenate([[True, False], random.random(count) < 0.5])
    scores = np.round(random.random(count + 2), 2)  # with ties
    curve = roc_of(labels, scores, origin="test")
    assert curve.reals == int((~labels).sum())
    assert len(curve.thresholds) <= 64
    for threshold, false_alarms, found in zip(
        curve.thresholds, curve.false_positives, curve.true_positives, strict=True
    ):
        assert false_alarms == (scores[~labels] >= threshold).mean()
        assert found == (scores[labels] >= threshold).mean()
    assert curve.false_positives[-1] == curve.true_positives[-1] == 1


def test_the_whole_operation_comes_from_the_margins():
    random = np.random.default_rng(2)
    labels, scores = scores_of(random, strength=2.0)
    margins = (np.log(scores / (1 - scores)) + 0.7) / 1.9
    fitted = fit_operation(labels, margins, origin="test", max_error=0.15)
    assert fitted.calibration.scale == pytest.approx(1.9, rel=0.1)
    assert fitted.calibration.shift == pytest.approx(-0.7, abs=0.15)
    assert fitted.uncertain.low < fitted.threshold < fitted.uncertain.high
    assert fitted.roc.threshold(0.1) > fitted.roc.threshold(0.3)


def test_reals_weigh_as_much_as_fakes_however_many_there_are():
    random = np.random.default_rng(3)
    labels = np.arange(40000) % 2 == 1
    margins = random.normal(size=40000) * 1.5 + np.where(labels, 1.0, -1.0)
    kept = ~labels | (random.random(40000) < 0.1)
    even = fit_operation(labels, margins, origin="test", max_error=0.2)
    rare = fit_operation(labels[kept], margins[kept], origin="test", max_error=0.2)
    assert rare.calibration.scale == pytest.approx(even.calibration.scale, rel=0.05)
    assert rare.calibration.shift == pytest.approx(even.calibration.shift, abs=0.1)
    assert rare.uncertain.high == pytest.approx(even.uncertain.high, abs=0.03)
    plain = fit_calibration(labels[kept], margins[kept], origin="test")
    assert plain.shift < even.calibration.shift - 2  # ten reals to a fake: log 10 lower
