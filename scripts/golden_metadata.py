"""Golden values of what models say of themselves: operating points, and which metadata the runtime takes."""

import json
from typing import Any

from edgefake_runtime.errors import EdgefakeError
from edgefake_runtime.metadata import ModelMetadata
from edgefake_runtime.verdict import OperatingPoint

Record = dict[str, Any]

METADATA = {
    "name": "golden",
    "architecture": "bitvit-tiny",
    "bits": 2,
    "recipe": "qat",
    "input_size": 32,
    "color": "RGB",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "crop": {"margin": -0.05, "shift": 0.03, "square": True, "origin": "made up", "share": 0.9},
    "labels": ["real", "fake"],
    "calibration": {"scale": 0.71, "shift": -0.2, "origin": "made up"},
    "threshold": 0.52,
    "uncertain": {"low": 0.46, "high": 0.57, "origin": "made up"},
    "edgefake": "0.1.0",
    "training": {"data": "none"},
    "roc": {
        "thresholds": [0.9, 0.7, 0.52, 0.4, 0.1],
        "false_positives": [0.0, 0.02, 0.05, 0.125, 0.6],
        "true_positives": [0.3, 0.5, 0.7, 0.85, 1.0],
        "reals": 80,
        "origin": "made up",
    },
    "quality": {"side": 50.0, "sharpness": 0.12, "turn": 1.0, "origin": "made up"},
    "schema": 1,
}
"""Of no model: what the values between networks and verdicts rest on."""


def points() -> list[Record]:
    """Operating points of one model, and verdicts at them."""
    metadata = ModelMetadata.from_json(json.dumps(METADATA))
    wanted: list[Record] = [{}, *({"threshold": t} for t in (0.0, 0.1, 0.5, 0.9, 1.0))]
    wanted += [{"max_false_positives": share} for share in (0.0125, 0.02, 0.05, 0.3, 1.0)]
    records = []
    for options in wanted:
        point = OperatingPoint.of(metadata, **options)
        scores = [None, 0.0, 0.1, point.low, point.threshold, point.high, 0.9, 1.0]
        verdicts = [[score, thin, point.verdict(score, thin=thin)] for score in scores for thin in (False, True)]
        about = {"threshold": point.threshold, "low": point.low, "high": point.high}
        records.append({"asked": options, **about, "verdicts": verdicts})
    return records


CHANGES: list[tuple[str, Any]] = [
    *(("schema", value) for value in (2, 0, "1")),
    *((name, None) for name in ("name", "mean", "crop", "calibration", "threshold", "labels", "edgefake")),
    *(("input_size", value) for value in (7, 8, 4096, 4097, 32.0, True)),
    *(("mean", value) for value in ([0.5, 0.5], [0.5, 0.5, "0.5"])),
    *(("std", value) for value in ([0.5, 0.5, 0.0], [1, 1, 1])),
    *(("labels", value) for value in (["fake", "real"], ["real"], "real")),
    *(("threshold", value) for value in (0.45, 0.46, 0.58, "0.5", True)),
    *(("color", value) for value in ("BGR", 1)),
    *(("crop.margin", value) for value in (-0.4, -0.39, 3, 1, "1", None)),
    *(("crop.share", value) for value in (0.05, 0.1, 1, 1.01)),
    *(("crop.square", value) for value in (1, False)),
    *(("calibration.scale", value) for value in (0, -1, 2)),
    *(("uncertain.low", value) for value in (0.6, -0.1, 0.52)),
    *(("roc.thresholds", value) for value in ([0.9, 0.7, 0.52, 0.4], [0.9, 0.9, 0.52, 0.4, 0.1], [])),
    *(("roc.reals", value) for value in (0, 80.0, 1)),
    *(("roc.false_positives", value) for value in ([0.0, 0.02, 0.01, 0.1, 0.6], [0.0, 0.02, 0.05, 0.1, 1.6])),
    *(("quality.turn", value) for value in ("1", 2)),
    *(("unknown", 1), ("roc", None), ("quality", None), ("bits", "2"), ("recipe", 1)),
]
"""Field, and its other value; None to leave it out."""


def changed(path: str, value: Any) -> str:
    """The metadata with one field changed, as JSON."""
    record = json.loads(json.dumps(METADATA))
    *parents, name = path.split(".")
    place = record
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[name]
    else:
        place[name] = value
    return json.dumps(record)


def accepted(text: str) -> bool:
    """Whether the runtime takes these metadata."""
    try:
        ModelMetadata.from_json(text)
    except EdgefakeError:
        return False
    return True


def refusals() -> list[Record]:
    """Metadata, each with one field changed, and whether the runtime takes them."""
    texts = [changed(path, value) for path, value in CHANGES]
    return [
        {"path": path, "value": value, "accepted": accepted(text)}
        for (path, value), text in zip(CHANGES, texts, strict=True)
    ]
