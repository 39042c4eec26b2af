"""The floor of quality, on a model whose weakness is known."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefake import quality_floor
from edgefake.quality_floor import measure_floor
from edgefake_runtime import Crop
from edgefake_runtime.quality import sharpness

from ..edgefake_runtime.test_metadata import METADATA

STRIP = Path(__file__).resolve().parents[2] / "export" / "edgefake_export" / "faces.png"
SIZE = 112


class Grain:
    """Calls fake what has fine grain: the share of a chequered pattern, which shrinking and blur take away."""

    metadata = METADATA.__class__(
        **{**METADATA.__dict__, "input_size": SIZE, "crop": Crop(margin=0.0, shift=0.0, square=True, origin="test")}
    )

    def evidence(self, crops):
        y, x = np.mgrid[0:SIZE, 0:SIZE]
        sign = np.where(x // 4 % 2 == y // 4 % 2, 1.0, -1.0)
        return (crops.astype(float).mean(axis=3) * sign).mean(axis=(1, 2))


@pytest.fixture(scope="module")
def crops():
    """Faces; the fakes have a chequered pattern of 4 pixels at 112."""
    strip = cv2.cvtColor(cv2.imread(str(STRIP)), cv2.COLOR_BGR2RGB)
    random = np.random.default_rng(0)
    tiles, labels = [], []
    for index in range(80):
        start = index % 8 * 224
        tile = cv2.resize(strip[:, start : start + 224], (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(float)
        y, x = np.mgrid[0:SIZE, 0:SIZE]
        sign = np.where(x // 4 % 2 == y // 4 % 2, 1.0, -1.0)
        fake = index % 2 == 1
        tile += (random.normal(6 if fake else 0, 2) * sign)[..., None] + random.normal(0, 1, tile.shape)
        tiles.append(tile.clip(0, 255).astype(np.uint8))
        labels.append(fake)
    return tiles, np.array(labels)


def test_the_floor_is_where_the_model_stops_to_see(crops):
    tiles, labels = crops
    steps = []
    floor = measure_floor(Grain(), tiles, labels, drop=0.05, origin="test", on_step=lambda: steps.append(1))
    # A pattern of period 8 survives at half of the size and is gone at a quarter.
    assert 24 < floor.side <= 80
    whole = float(np.median([sharpness(tile) for tile in tiles]))
    gone = float(np.median([sharpness(cv2.GaussianBlur(tile, (0, 0), 4)) for tile in tiles]))
    assert gone < floor.sharpness < whole
    assert 0.02 < floor.turn < 1.5
    assert len(steps) <= 9
    lenient = measure_floor(Grain(), tiles, labels, drop=0.4, origin="test")
    assert lenient.side <= floor.side
    assert lenient.sharpness <= floor.sharpness


@pytest.mark.parametrize("ends", range(1, 12))
def test_the_search_finds_the_last_step_that_holds(ends):
    assert quality_floor._last_that(lambda step: step < ends, 12) == ends - 1


def test_a_face_whose_eyes_coincide_does_not_make_the_floor_infinite(crops, monkeypatch):
    monkeypatch.setattr(quality_floor, "turn", lambda face: np.inf)
    assert measure_floor(Grain(), *crops, drop=0.4, origin="test").turn == 9
