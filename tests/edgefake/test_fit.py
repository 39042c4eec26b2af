"""`edgefake calibrate`: what is fitted stands in the checkpoint and in files made from it."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from edgefake import fit
from edgefake.artefact import model_metadata
from edgefake.checkpoint import load_checkpoint
from edgefake.cli.app import app
from edgefake.fit import fit_checkpoint
from edgefake_runtime.errors import InputError, UsageError
from edgefake_runtime.shipped import default_model

from .checkpoints import detector

STRIP = Path(__file__).resolve().parents[2] / "export" / "edgefake_export" / "faces.png"


@pytest.fixture
def manifest(tmp_path):
    """Faces; brightness tells what is called fake, not without errors."""
    strip, random = cv2.imread(str(STRIP)), np.random.default_rng(0)
    rows = []
    for index in range(160):
        tile, fake = strip[:, index % 8 * 224 : (index % 8 + 1) * 224], index % 2
        light = 1 + 0.25 * (1 if fake else -1) + random.normal(0, 0.2)
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.clip(tile * light, 0, 255).astype(np.uint8))
        rows.append((f"{index}.png", "fake" if fake else "real", "val", f"id{index // 16}"))
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label", "split", "identity_group"), *rows])
    return tmp_path / "manifest.csv"


class Bright:
    """Takes the place of a checkpoint's classifier: brighter is more fake."""

    def __init__(self, folder):
        self.metadata = model_metadata(load_checkpoint(folder), bits=32)

    def logits(self, crops):
        light = crops.astype(np.float32).mean(axis=(1, 2, 3)) / 255
        return np.stack([np.zeros_like(light), 8 * (light - 0.4)], axis=1)

    def evidence(self, crops):
        logits = self.logits(crops)
        return (logits[:, 1] - logits[:, 0]).astype(np.float64)


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "TorchClassifier", Bright)
    return detector(tmp_path / "c", "bitvit-nano")


def test_everything_fitted_stands_in_the_checkpoint(manifest, checkpoint):
    before = load_checkpoint(checkpoint)
    fitted = fit_checkpoint(checkpoint, manifest, max_error=0.3)
    after = load_checkpoint(checkpoint)
    assert fitted.crops == 80  # half of the ten groups of sixteen
    metadata = model_metadata(after, bits=2)
    assert metadata.calibration == fitted.operation.calibration
    assert metadata.roc == fitted.operation.roc
    assert metadata.uncertain == fitted.operation.uncertain
    assert metadata.quality == fitted.floor
    assert "5 identity groups" in metadata.calibration.origin
    state = before.network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in after.network.state_dict().items())
    assert fit_checkpoint(checkpoint, manifest, half="all", max_error=0.3).crops == 160


def test_the_floor_says_how_many_crops_are_behind_it(manifest, checkpoint, monkeypatch):
    rows = "160 crops of 10 identity groups of " + f"{manifest.parent.name}/val"
    whole = fit_checkpoint(checkpoint, manifest, half="all", max_error=0.3)
    assert whole.operation.roc.origin == rows
    assert f"whole crops, {rows};" in whole.floor.origin
    monkeypatch.setattr(fit, "FLOOR_CROPS", 100)
    few = fit_checkpoint(checkpoint, manifest, half="all", max_error=0.3)
    assert few.operation.roc.origin == rows
    assert f"whole crops, 100 of {rows};" in few.floor.origin


def test_rows_without_groups_cannot_be_halved(manifest, checkpoint):
    rows = list(csv.reader(manifest.open()))
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows(row[:3] for row in rows)
    with pytest.raises(InputError, match="--half all"):
        fit_checkpoint(checkpoint, manifest)
    with pytest.raises(UsageError, match="fit or all"):
        fit_checkpoint(checkpoint, manifest, half="held")


def test_the_command_says_what_it_fitted_or_why_not(manifest, checkpoint, tmp_path):
    def run(folder, *more):
        return CliRunner().invoke(app, ["calibrate", str(folder), "--data", str(manifest), *more])

    done = run(checkpoint, "--max-error", "0.3", "--drop", "0.2")
    assert done.exit_code == 0, done.output
    names = [line.split()[0] for line in done.output.splitlines()]
    assert names == ["crops", "calibration", "threshold", "uncertain", "quality"]
    config = json.loads((checkpoint / "config.json").read_text())
    assert config["metadata"]["quality"]["side"] > 0
    nothing = run(tmp_path / "none")
    assert nothing.exit_code == 3
    assert "expected a checkpoint folder" in nothing.stderr
    assert run(checkpoint, "--split", "test").exit_code == 3


def test_a_file_of_another_model_is_not_fitted(manifest, tmp_path):
    """That it is the file's answers that are fitted, tests/test_ship_model.py shows."""
    with pytest.raises(UsageError, match=r"expected a file exported from .*, got bitvit-tiny-hybrid; export"):
        fit_checkpoint(detector(tmp_path / "c", "bitvit-nano"), manifest, through=default_model())
    command = ["calibrate", str(tmp_path / "c"), "--data", str(manifest), "--through", str(default_model())]
    refused = CliRunner().invoke(app, command)
    assert (refused.exit_code, "export it again" in refused.stderr) == (2, True)
