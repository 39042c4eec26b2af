"""A checkpoint in the place of an exported file: the same scores, through the same code."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from edgefake.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgefake.cli.app import app
from edgefake.models import build
from edgefake.torch_classifier import TorchClassifier
from edgefake_export import export_checkpoint, sample_crops
from edgefake_runtime import Classifier, DetectOptions, Detector, ModelFileError, UsageError
from edgefake_runtime.classifier import sha256_of
from edgefake_runtime.shipped import DEFAULT_MODEL, default_model

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"
SHIPPED = default_model().parent
METADATA = {
    "name": "nano",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "crop": {"margin": 0.0, "shift": 0.0, "square": True, "origin": "a test"},
    "calibration": {"scale": 3.0, "shift": -0.5, "origin": "a test"},
}


def checkpoint(folder, name="linvit-nano", metadata=METADATA, **changes):
    torch.manual_seed(1)
    save_checkpoint(Checkpoint(build(name, **changes), name, metadata), folder)
    return folder


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def write_crops(folder, side=32):
    """A dozen pictures and their manifest."""
    random = np.random.default_rng(0)
    rows = ["file,label,split"]
    for index in range(12):
        picture = cv2.resize(random.integers(0, 256, (6, 6, 3), dtype=np.uint8), (side, side))
        cv2.imwrite(str(folder / f"{index}.png"), picture)
        rows.append(f"{index}.png,{'fake' if index % 3 else 'real'},{'train' if index < 2 else 'val'}")
    (folder / "m.csv").write_text("\n".join(rows))
    return folder / "m.csv"


@pytest.mark.parametrize("name", ["linvit-nano", "bitvit-nano"])
def test_scores_are_those_of_the_32_bit_export(name, tmp_path):
    loaded = load_checkpoint(checkpoint(tmp_path / "c", name))
    crops = sample_crops(32)
    export_checkpoint(loaded, tmp_path / "m.onnx", bits=32)
    ours, exported = TorchClassifier(tmp_path / "c"), Classifier(tmp_path / "m.onnx")
    assert ours.metadata == exported.metadata
    scores = ours.score(crops)
    assert scores.std() > 1e-3
    assert scores == pytest.approx(exported.score(crops), abs=1e-4)
    assert ours.sha256 == sha256_of(tmp_path / "c" / "model.safetensors")


def test_many_crops_are_scored_as_single_ones_and_wrong_ones_are_refused(tmp_path):
    classifier = TorchClassifier(checkpoint(tmp_path / "c"))
    crops = np.random.default_rng(0).integers(0, 256, (37, 32, 32, 3), dtype=np.uint8)
    alone = [float(classifier.score(crop[None])[0]) for crop in crops]
    assert classifier.score(crops) == pytest.approx(alone, abs=1e-5)
    assert classifier.score(crops[:0]).shape == (0,)
    with pytest.raises(UsageError, match="expected crops"):
        classifier.score(crops.astype(np.float32))


def test_the_detector_takes_an_open_classifier():
    options = DetectOptions(max_frames=2, threads=1)
    ours = Detector(TorchClassifier(SHIPPED), options=options)
    exported = Detector(options=options)
    assert (ours.model.bits, exported.model.bits) == (32, 2)
    assert ours.model.name == exported.model.name
    mine, other = (detector.detect(SAMPLES / "real.mp4") for detector in (ours, exported))
    assert mine.score == pytest.approx(other.score, abs=0.01)  # 2-bit kernels round activations otherwise at ties
    assert mine.faces[0].frames[0].box == other.faces[0].frames[0].box


def test_checkpoints_that_are_no_detectors_are_refused(tmp_path):
    with pytest.raises(ModelFileError, match="without mean, std, crop"):
        TorchClassifier(checkpoint(tmp_path / "bare", metadata={}))
    with pytest.raises(ModelFileError, match="10 classes; fine-tune"):
        TorchClassifier(checkpoint(tmp_path / "ten", classes=10))
    with pytest.raises(UsageError, match="threads"):
        TorchClassifier(SHIPPED, threads=0)
    broken = checkpoint(tmp_path / "nan")
    network = load_checkpoint(broken).network
    network.head[-1].bias.data.fill_(float("nan"))
    save_checkpoint(Checkpoint(network, "linvit-nano", METADATA), broken)
    with pytest.raises(ModelFileError, match="finite"):
        TorchClassifier(broken).score(np.zeros((1, 32, 32, 3), np.uint8))


def test_evaluate_takes_a_checkpoint_folder_and_says_what_it_measured(tmp_path):
    manifest = write_crops(tmp_path)
    folder = checkpoint(tmp_path / "c")
    loaded = load_checkpoint(folder)
    target = tmp_path / "m.onnx"
    export_checkpoint(loaded, target, bits=32)
    figures = []
    for model in (folder, target):
        done = run("evaluate", manifest, "--crops", "--split", "val", "--model", model)
        assert done.exit_code == 0, done.output
        shown = dict(line.split() for line in done.stdout.splitlines() if ":" not in line)
        assert (shown.pop("model"), shown.pop("file"), shown.pop("split")) == ("nano", str(model), "val")
        assert (shown["n"], shown["n_real"]) == ("10", "3")
        figures.append(shown)
    assert {k: float(v) for k, v in figures[0].items()} == pytest.approx(
        {k: float(v) for k, v in figures[1].items()}, abs=2e-4
    )


def test_evaluate_runs_videos_through_a_checkpoint(tmp_path):
    (tmp_path / "m.csv").write_text(f"file,label\n{SAMPLES / 'real.mp4'},real\n{SAMPLES / 'fake.mp4'},fake\n")
    done = run("evaluate", tmp_path / "m.csv", "--model", SHIPPED, "--every", "50", "--threads", "1")
    assert done.exit_code == 0, done.output
    shown = dict(line.split() for line in done.stdout.splitlines() if ":" not in line)
    assert (shown["model"], shown["split"], shown["n"], shown["no_face"]) == (DEFAULT_MODEL, "all", "2", "0")


def test_evaluate_refuses_what_is_no_model_in_a_line(tmp_path, monkeypatch):
    manifest = write_crops(tmp_path)
    (tmp_path / "folder").mkdir()
    for name, message in (("folder", "expected a checkpoint folder"), ("none.onnx", "no such file")):
        done = run("evaluate", manifest, "--crops", "--model", tmp_path / name)
        assert done.exit_code == 3
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    monkeypatch.setattr("edgefake.cli.extras.find_spec", lambda package: None)
    done = run("evaluate", manifest, "--crops", "--model", SHIPPED)
    assert done.exit_code == 4
    assert "pip install 'edgefake[train]'" in done.stderr


def test_wide_crops_are_cut_to_what_the_model_wants(tmp_path):
    """With crop.json beside the manifest, frames around the crops change no score."""
    rule = '{"margin": 0.5, "shift": 0.0, "square": true, "origin": "a test"}'
    folder = checkpoint(tmp_path / "c")
    outputs = {}
    for name in ("tight", "wide", "unsaid"):
        (tmp_path / name).mkdir()
        manifest = write_crops(tmp_path / name)
        for picture in (tmp_path / name).glob("*.png") if name != "tight" else ():
            framed = cv2.copyMakeBorder(
                cv2.imread(str(picture)), 16, 16, 16, 16, cv2.BORDER_CONSTANT, value=(0, 255, 0)
            )
            cv2.imwrite(str(picture), framed)
        if name == "wide":
            (tmp_path / name / "crop.json").write_text(rule)
        done = run("evaluate", manifest, "--crops", "--model", folder)
        assert done.exit_code == 0, done.output
        outputs[name] = dict(line.split() for line in done.stdout.splitlines() if ":" not in line)
    assert outputs["wide"].pop("centre") == "0.5000"
    assert outputs["wide"] == outputs["tight"]
    assert outputs["unsaid"]["log_loss"] != outputs["tight"]["log_loss"]


def test_evaluate_of_an_exported_file_with_crops_loads_no_torch(tmp_path):
    manifest = write_crops(tmp_path)
    (tmp_path / "crop.json").write_text('{"margin": 0.5, "shift": 0.0, "square": true, "origin": "a test"}')
    probe = f"""
import sys
sys.argv = ["edgefake", "evaluate", {str(manifest)!r}, "--crops"]
from edgefake.__main__ import main
try:
    main()
finally:
    assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert b"centre" in done.stdout
