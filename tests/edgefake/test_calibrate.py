"""Calibration and the split that keeps it honest."""

import numpy as np
import pytest
import sklearn.linear_model
from hypothesis import given
from hypothesis import strategies as st

from edgefake.calibrate import fit_calibration, halves_by_group
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
