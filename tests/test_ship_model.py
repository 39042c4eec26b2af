"""scripts/ship_model.py: from a trained checkpoint to a folder that ships, on a nano network."""

import csv
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefake.calibrate import fit_calibration
from edgefake.checkpoint import load_checkpoint
from edgefake.data.crop_rule import centre_share, read_crop_rule
from edgefake.data.manifest import read_manifest
from edgefake.data.pictures import read_crop
from edgefake.evaluate import model_input, take_half
from edgefake.torch_classifier import TorchClassifier
from edgefake_runtime import Classifier

from .edgefake.checkpoints import detector
from .edgefake.faces import FACES
from .edgefake.test_card import WORDS

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "ship_model.py"


def label_by_score(folder, checkpoint, groups=16, each=8):
    """Faces at several lights; those that the checkpoint's random weights score high are called fake, more or less."""
    folder.mkdir()
    strip, random, classifier = cv2.imread(str(FACES)), np.random.default_rng(0), TorchClassifier(checkpoint)
    margins = []
    for index in range(groups * each):
        tile = strip[:, index % 8 * 224 : (index % 8 + 1) * 224] * random.uniform(0.4, 1.3)
        cv2.imwrite(str(folder / f"{index}.png"), np.clip(tile, 0, 255).astype(np.uint8))
        crop = cv2.resize(cv2.imread(str(folder / f"{index}.png"))[..., ::-1], (32, 32), interpolation=cv2.INTER_AREA)
        real, fake = classifier.logits(crop[None])[0].tolist()
        margins.append(fake - real)
    noisy = np.array(margins) + random.normal(0, 0.3 * np.std(margins), len(margins))
    fakes = noisy > np.median(noisy)
    rows = [(f"{i}.png", "fake" if fakes[i] else "real", "val", f"p{i // each}") for i in range(len(fakes))]
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label", "split", "identity_group"), *rows])
    return folder / "manifest.csv"


def ship(*arguments):
    command = [sys.executable, SCRIPT, *map(str, arguments), "--threads", "1"]
    return subprocess.run(command, capture_output=True, text=True, timeout=380)


def fitted_to(model, manifest):
    """The scale that calibration finds from a model's own answers."""
    classifier = Classifier(model, threads=1) if model.is_file() else TorchClassifier(model)
    share = centre_share(classifier.metadata.crop, read_crop_rule(manifest))
    samples = take_half(read_manifest(manifest, split="val"), "fit", manifest=manifest, cure="")
    crops = [model_input(read_crop(sample), size=32, share=share) for sample in samples]
    logits = classifier.logits(np.stack(crops)).astype(np.float64)
    labels = np.array([sample.fake for sample in samples])
    return fit_calibration(labels, logits[:, 1] - logits[:, 0], origin="").scale


@pytest.mark.slow
def test_a_trained_checkpoint_becomes_a_folder_that_ships(tmp_path):
    trained = detector(tmp_path / "last", "bitvit-nano")
    manifest = label_by_score(tmp_path / "crops", trained)
    folder = tmp_path / "models" / "small"
    folder.mkdir(parents=True)
    (folder / "card.toml").write_text(WORDS)
    done = ship(trained, "--data", manifest, "--name", "small", "--models", tmp_path / "models")
    assert done.returncode == 0, done.stderr
    files = {path.name for path in folder.iterdir()}
    models = {"small-2bit.onnx", "small-2bit.tflite", "model.safetensors", "config.json"}
    assert files == models | {"card.toml", "README.md", "evaluation.png", "evaluation.csv"}
    assert load_checkpoint(folder).compact
    for name in ("small-2bit.onnx", "small-2bit.tflite"):
        metadata = Classifier(folder / name, threads=1).metadata
        assert (metadata.name, metadata.bits) == ("small", 2)
        assert metadata.roc.reals == pytest.approx(32, abs=12)
        assert metadata.quality.side > 0
        assert metadata.training["data"] == "no data: none; none"
    assert fitted_to(folder / "small-2bit.onnx", manifest) == pytest.approx(metadata.calibration.scale, rel=1e-4)
    assert fitted_to(folder, manifest) != pytest.approx(metadata.calibration.scale, rel=1e-4)
    text = (folder / "README.md").read_text()
    assert text.startswith("# small\n")
    assert all(f"`{name}`" in text for name in models)


def test_nothing_is_made_without_words(tmp_path):
    trained = detector(tmp_path / "last", "bitvit-nano")
    done = ship(trained, "--data", tmp_path / "no.csv", "--models", tmp_path)
    assert done.returncode != 0
    assert "expected the words of the card, got no such file" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["last"]
