"""Metrics against scikit-learn and hand-computed cases."""

from itertools import pairwise, product

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


def test_the_bootstrap_is_that_of_every_draw_there_can_be():
    """Three groups have 27 draws, all alike: their percentiles are what 20,000 of them come to."""
    groups = ["a", "a", "b", "c", "c", "c"]
    labels = np.array([True, False, False, True, True, False])
    scores = np.array([0.9, 0.6, 0.2, 0.4, 0.7, 0.8])
    members = [np.array([0, 1]), np.array([2]), np.array([3, 4, 5])]
    statistics = metrics.statistics_at(0.5)
    found = metrics.bootstrap(labels, scores, groups, statistics, rounds=20_000)
    for name, statistic in statistics.items():
        draws = [np.concatenate([members[g] for g in drawn]) for drawn in product(range(3), repeat=3)]
        values = [value for d in draws if (value := statistic(labels[d], scores[d])) is not None]
        assert len(values) in (26, 27)  # b alone has no fake
        expected = np.percentile(np.repeat(values, 1000), [2.5, 97.5])
        assert found[name] == pytest.approx(tuple(expected)), name


def test_all_statistics_see_the_same_draws_and_a_seed_decides_them():
    random = np.random.default_rng(1)
    labels, scores = np.arange(90) % 2 == 0, random.uniform(size=90)
    groups = [str(i // 9) for i in range(90)]
    together = metrics.bootstrap(labels, scores, groups, metrics.statistics_at(0.5), rounds=200)
    assert together["auc"] == metrics.bootstrap_auc(labels, scores, groups, rounds=200)
    assert together["auc"] != metrics.bootstrap_auc(labels, scores, groups, rounds=200, seed=1)


def test_where_no_draw_has_a_statistic_there_is_no_interval():
    labels, scores = np.zeros(4, bool), np.array([0.1, 0.2, 0.7, 0.9])
    found = metrics.bootstrap(labels, scores, list("abcd"), metrics.statistics_at(0.5), rounds=100)
    assert (found["auc"], found["eer"], found["true_positive_rate"]) == (None, None, None)
    assert found["false_positive_rate"] == (0.0, 1.0)
    with pytest.raises(InputError, match="both classes"):
        metrics.bootstrap_auc(labels, scores, list("abcd"), rounds=100)


@settings(max_examples=200, deadline=None)
@given(both_classes, st.integers(0, 20).map(lambda k: k / 20))
def test_rates_agree_with_scikit_learns_confusion_matrix(rows, threshold):
    labels, scores = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    (tn, fp), (fn, tp) = sklearn.metrics.confusion_matrix(labels, scores >= threshold, labels=[False, True])
    found = metrics.measure(labels, scores, threshold=threshold)
    assert found.false_positive_rate == pytest.approx(fp / (fp + tn))
    assert found.true_positive_rate == pytest.approx(tp / (tp + fn))
    assert found.accuracy == pytest.approx((tp + tn) / len(rows))


def test_one_class_has_no_auc_and_nothing_has_no_metrics():
    with pytest.raises(InputError, match="both classes"):
        metrics.auc(np.array([True]), np.array([0.5]))
    alone = metrics.measure(np.array([True]), np.array([0.7]), threshold=0.5)
    assert (alone.auc, alone.accuracy, alone.n_fake) == (None, 1.0, 1)
    assert (alone.false_positive_rate, alone.true_positive_rate) == (None, 1.0)
    nothing = metrics.measure(np.zeros(0, bool), np.zeros(0), threshold=0.5, no_face=3, errors=1)
    assert (nothing.n, nothing.no_face, nothing.errors, nothing.log_loss) == (0, 3, 1, None)


def test_labels_of_numbers_are_labels():
    scores = np.array([0.1, 0.9, 0.4, 0.6])
    assert metrics.auc(np.array([0, 1, 0, 1]), scores) == metrics.auc(np.array([False, True, False, True]), scores) == 1
