"""One score of many frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefake_runtime.aggregate import AGGREGATES, mean, top_mean, trimmed_mean

EVIDENCE = [0.0, 1.0, 2.0, 3.0, 40.0]


def test_each_is_its_formula():
    assert mean(EVIDENCE) == pytest.approx(46 / 5)
    assert trimmed_mean(EVIDENCE) == pytest.approx(2.0)  # 0 and 40 left out
    assert trimmed_mean(EVIDENCE[:4]) == pytest.approx(1.5)  # a fifth of four is none
    assert top_mean(EVIDENCE) == pytest.approx((2 + 3 + 40) / 3)


@pytest.mark.parametrize("aggregate", AGGREGATES.values())
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=40))
def test_each_lies_within_the_evidence_and_knows_no_order(aggregate, evidence):
    score = aggregate(evidence)
    assert min(evidence) - 1e-9 <= score <= max(evidence) + 1e-9
    assert aggregate(evidence[::-1]) == pytest.approx(score, abs=1e-9)
    assert aggregate([evidence[0]]) == evidence[0]


@given(st.lists(st.floats(-5, 5), min_size=5, max_size=40))
def test_one_wild_frame_does_not_move_the_trimmed_mean_out_of_the_others(evidence):
    assert trimmed_mean([*evidence, 1e6]) <= max(evidence) + 1e-9
