"""Metrics against scikit-learn and hand-computed cases."""

from itertools import pairwise

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefake import metrics
from edgefake_runtime.errors import InputError

both_classes = st.lists(
    st.tuples(st.booleans(), st.integers(0, 20).map(lambda k: k / 20)), min_size=2, max_size=60
).filter(lambda rows: len({fake for fake, _ in rows}) == 2)


@settings(max_examples=200, deadline=None)
@given(both_classes)
def test_auc_and_log_loss_agree_with_scikit_learn(rows):
    labels, scores = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    assert metrics.auc(labels, scores) == pytest.approx(sklearn.metrics.roc_auc_score(labels, scores))
    clipped = np.clip(scores, 1e-7, 1 - 1e-7)
    assert metrics.log_loss(labels, scores) == pytest.approx(sklearn.metrics.log_loss(labels, clipped))


def distance_to_line(point, start, end):
    along = np.clip(np.dot(point - start, end - start) / max(np.dot(end - start, end - start), 1e-30), 0, 1)
    return np.linalg.norm(start + along * (end - start) - point)


@settings(max_examples=200, deadline=None)
@given(both_classes)
def test_equal_error_rate_lies_on_the_roc_curve(rows):
    labels, scores = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    false_alarms, found, _ = sklearn.metrics.roc_curve(labels, scores, drop_intermediate=False)
    eer = metrics.equal_error_rate(labels, scores)
    corners = np.stack([false_alarms, found], axis=1)
    point = np.array([eer, 1 - eer])
    assert min(distance_to_line(point, a, b) for a, b in pairwise(corners)) < 1e-9


def test_equal_error_rate_by_hand():
    labels = np.array([False, False, True, True])
    assert metrics.equal_error_rate(labels, np.array([0.1, 0.2, 0.8, 0.9])) == 0
    assert metrics.equal_error_rate(labels, np.array([0.8, 0.9, 0.1, 0.2])) == 1
    assert metrics.equal_error_rate(labels, np.array([0.1, 0.7, 0.6, 0.9])) == 0.5


def test_calibration_error_by_hand():
    labels = np.array([True, False, True, True])
    scores = np.array([0.51, 0.51, 0.99, 0.99])  # two bins: |0.51 - 0.5| and |0.99 - 1|
    assert metrics.expected_calibration_error(labels, scores) == pytest.approx(0.01)
    assert metrics.expected_calibration_error(labels, np.array([1.0, 0.0, 1.0, 1.0])) == 0


def test_bootstrap_draws_whole_groups():
    random = np.random.default_rng(0)
    labels = np.tile([True, False], 50)
    scores = labels * 0.5 + random.normal(size=100)
    separate = metrics.bootstrap_auc(labels, scores, [str(i) for i in range(100)])
    assert separate[0] < metrics.auc(labels, scores) < separate[1]
    doubled = metrics.bootstrap_auc(np.tile(labels, 9), np.tile(scores, 9), [str(i) for i in range(100)] * 9)
    assert doubled == pytest.approx(separate, abs=0.02)  # copies within a group bring no certainty
    assert separate == metrics.bootstrap_auc(labels, scores, [str(i) for i in range(100)])


def test_one_class_has_no_auc_and_nothing_has_no_metrics():
    with pytest.raises(InputError, match="both classes"):
        metrics.auc(np.array([True]), np.array([0.5]))
    alone = metrics.measure(np.array([True]), np.array([0.7]), threshold=0.5)
    assert (alone.auc, alone.accuracy, alone.n_fake) == (None, 1.0, 1)
    nothing = metrics.measure(np.zeros(0, bool), np.zeros(0), threshold=0.5, no_face=3, errors=1)
    assert (nothing.n, nothing.no_face, nothing.errors, nothing.log_loss) == (0, 3, 1, None)


def test_labels_of_numbers_are_labels():
    scores = np.array([0.1, 0.9, 0.4, 0.6])
    assert metrics.auc(np.array([0, 1, 0, 1]), scores) == metrics.auc(np.array([False, True, False, True]), scores) == 1
