"""scripts/calibration_spread.py: what it says of calibration that carries over, and of one that does not."""

import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture
def spread(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from calibration_spread import spread

    yield spread
    sys.modules.pop("calibration_spread", None)


def people(random, offsets, each=400):
    """Margins of people who differ by an offset of their own."""
    labels = np.arange(each * len(offsets)) % 2 == 1
    groups = np.repeat([f"p{index}" for index in range(len(offsets))], each)
    margins = random.normal(size=labels.size) * 2 + np.where(labels, 2.0, -2.0) + np.repeat(offsets, each)
    return labels, margins, groups


def test_people_alike_carry_over_and_people_apart_do_not(spread):
    random = np.random.default_rng(0)
    alike, shifts = spread(*people(random, np.zeros(8)), draws=20)
    assert alike.shape == shifts.shape == (20,)
    assert alike.max() < 0.05
    assert np.abs(shifts).max() < 0.3
    apart, moved = spread(*people(random, np.array([-3.0, -3, -3, -3, 3, 3, 3, 3])), draws=20)
    assert np.median(apart) > 2 * np.median(alike)
    assert moved.std() > 3 * shifts.std()
