"""The schema that a model file carries."""

import json
import re
from dataclasses import replace

import pytest

from edgefake_runtime import Calibration, Crop, ModelFileError, ModelMetadata, Roc, Uncertain
from edgefake_runtime.errors import UsageError

METADATA = ModelMetadata(
    name="bitvit-nano",
    architecture="bitvit-nano",
    bits=2,
    recipe="qat",
    input_size=32,
    color="RGB",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    crop=Crop(margin=0.1, shift=0.05, square=True, origin="test"),
    labels=("real", "fake"),
    calibration=Calibration(scale=2.0, shift=-0.5, origin="test"),
    threshold=0.5,
    uncertain=Uncertain(low=0.4, high=0.6, origin="test"),
    edgefake="0.1.0",
    training={"data": "none"},
)


def test_metadata_round_trip():
    assert ModelMetadata.from_json(METADATA.to_json()) == METADATA


ROC = {
    "thresholds": [0.9, 0.4],
    "false_positives": [0.0, 0.2],
    "true_positives": [0.3, 0.9],
    "reals": 50,
    "origin": "t",
}
FLOOR = {"side": 40, "sharpness": 0.1, "turn": 0.5, "origin": "t"}


def test_curve_and_floor_travel_with_the_file_and_may_be_missing():
    raw = json.loads(METADATA.to_json())
    assert not {"roc", "quality"} & raw.keys()
    whole = ModelMetadata.from_json(json.dumps(raw | {"roc": ROC, "quality": FLOOR}))
    assert whole.roc.thresholds == (0.9, 0.4)
    assert whole.quality.side == 40
    assert ModelMetadata.from_json(whole.to_json()) == whole


@pytest.mark.parametrize(
    "change",
    [
        {"thresholds": [0.4, 0.9]},
        {"false_positives": [0.2, 0.0]},
        {"true_positives": [0.3]},
        {"true_positives": [0.3, 1.2]},
        {"thresholds": ["a", "b"]},
        {"reals": 0},
        {"origin": 5},
        {"thresholds": [], "false_positives": [], "true_positives": []},
    ],
)
def test_an_impossible_curve_is_refused(change):
    raw = json.loads(METADATA.to_json())
    with pytest.raises(ModelFileError, match=r"ROC|origin"):
        ModelMetadata.from_json(json.dumps(raw | {"roc": ROC | change}))


@pytest.mark.parametrize(("reals", "first"), [(415, 0.0), (3, 0.0), (415, 1 / 7)])
def test_the_least_share_that_a_refusal_names_is_taken(reals, first):
    """1 / 415 is 0.00241, which is more than the 0.0024 that rounding would name."""
    curve = Roc((0.9, 0.4), (first, 1.0), (0.3, 1.0), reals=reals, origin="t")
    with pytest.raises(UsageError, match=r"expected ([\d.]+) (to 1|or more)") as caught:
        curve.threshold(0.8 * max(first, 1 / reals))
    least = float(re.search(r"expected ([\d.]+)", str(caught.value))[1])
    assert least == pytest.approx(max(first, 1 / reals), abs=1e-4)
    assert curve.threshold(least) == 0.9


def test_an_impossible_floor_is_refused():
    raw = json.loads(METADATA.to_json())
    with pytest.raises(ModelFileError, match="side"):
        ModelMetadata.from_json(json.dumps(raw | {"quality": FLOOR | {"side": "large"}}))


def test_unknown_fields_are_ignored_but_a_newer_schema_is_not():
    raw = json.loads(METADATA.to_json())
    assert ModelMetadata.from_json(json.dumps(raw | {"colour_profile": "sRGB"})) == METADATA
    with pytest.raises(ModelFileError, match="update edgefake"):
        ModelMetadata.from_json(json.dumps(raw | {"schema": 2}))


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 1.5},
        {"threshold": 0.9},
        {"bits": "two"},
        {"name": ["x"]},
        {"input_size": 32.0},
        {"input_size": True},
        {"mean": ["a", "b", "c"]},
        {"mean": [float("nan")] * 3},
        {"std": [float("inf")] * 3},
        {"training": "much"},
        {"crop": {"margin": 0.1, "shift": 0, "square": "no", "origin": ""}},
        {"calibration": {"scale": 10**400, "shift": 0, "origin": ""}},
        {"threshold": "high"},
        {"std": [0.2, 0.0, 0.2]},
        {"mean": [0.5]},
        {"labels": ["fake", "real"]},
        {"color": "BGR"},
        {"input_size": 0},
        {"crop": {"margin": 9, "shift": 0, "square": True, "origin": ""}},
        {"crop": None},
        {"calibration": {"scale": -1, "shift": 0, "origin": ""}},
        {"calibration": {"scale": float("nan"), "shift": 0, "origin": ""}},
        {"uncertain": {"low": 0.7, "high": 0.6, "origin": ""}},
    ],
)
def test_impossible_values_are_refused(change):
    with pytest.raises(ModelFileError):
        ModelMetadata.from_json(json.dumps(json.loads(METADATA.to_json()) | change))


@pytest.mark.parametrize("text", ["", "[]", "null", '"text"', "{}", "{", "[" * 100_000])
def test_what_is_no_metadata_is_refused(text):
    with pytest.raises(ModelFileError):
        ModelMetadata.from_json(text)


def test_impossible_values_are_refused_when_made():
    with pytest.raises(ModelFileError, match="threshold"):
        replace(METADATA, threshold=2.0)


def test_a_share_is_written_where_there_is_one_alone():
    """Files without one are as they always were."""
    assert '"share"' not in METADATA.to_json()
    middle = replace(METADATA, crop=replace(METADATA.crop, share=0.875))
    assert ModelMetadata.from_json(middle.to_json()) == middle
    assert ModelMetadata.from_json(METADATA.to_json()).crop.share == 1
    with pytest.raises(ModelFileError, match=r"crop share: expected 0\.1 to 1, got 1\.5"):
        replace(METADATA.crop, share=1.5)
