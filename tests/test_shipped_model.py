"""Every shipped model is what its card says."""

import csv
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgefake.artefact import model_metadata
from edgefake.card.folder import TORCH
from edgefake.card.markdown import prose
from edgefake.card.text import FIGURES
from edgefake.card.words import read_words
from edgefake.checkpoint import load_checkpoint
from edgefake.data.crop_rule import centre_share, read_crop_rule
from edgefake.data.manifest import read_manifest
from edgefake.data.pictures import read_crop
from edgefake.evaluate import evaluate_crops, take_half
from edgefake.torch_classifier import TorchClassifier
from edgefake_export import resolve, round_network, sample_crops
from edgefake_export.reference import Reference
from edgefake_export.verify import verify
from edgefake_runtime import Classifier, Detector
from edgefake_runtime.classifier import sha256_of
from edgefake_runtime.crops import resize
from edgefake_runtime.shipped import DEFAULT_MODEL, default_model, models_folder

FOLDERS = sorted(path.parent for path in models_folder().glob("*/config.json"))
FILES = sorted(path for folder in FOLDERS for path in folder.iterdir() if path.suffix in (".onnx", ".tflite"))
FORMATS = {".onnx": "ONNX", ".tflite": "TFLite"}

each_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


@cache
def card_of(folder):
    return (folder / "README.md").read_text(encoding="utf-8")


def row_of(folder, name, head):
    """Column -> cell of a row of the card, by its first cell and its table's first heading."""
    columns = re.search(rf"^\| {head} \| (.*) \|$", card_of(folder), flags=re.MULTILINE)
    cells = re.search(rf"^\| {re.escape(name)} \| (.*) \|$", card_of(folder), flags=re.MULTILINE)
    assert columns, head
    assert cells, name
    return dict(zip(columns[1].split(" | "), cells[1].split(" | "), strict=True))


def test_the_default_model_ships():
    assert default_model() in FILES
    assert Classifier().metadata.name == DEFAULT_MODEL


@each_folder
def test_the_card_lists_the_files_as_they_are(folder):
    rows = re.findall(r"^\| `?([^\s`]+)`? \| ([\d,]+) \| `([0-9a-f]{64})` \|$", card_of(folder), flags=re.MULTILINE)
    exported = {file.name for file in FILES if file.parent == folder}
    assert {name for name, _, _ in rows} == {"config.json", "model.safetensors", *exported}
    assert exported == {f"{folder.name}-2bit.onnx", f"{folder.name}-2bit.tflite"}
    for name, size, digest in rows:
        assert (folder / name).stat().st_size == int(size.replace(",", ""))
        assert sha256_of(folder / name) == digest


@each_folder
def test_the_card_has_the_words_and_the_pictures_of_its_folder(folder):
    words = read_words(folder / "card.toml")
    said = [words.summary, *words.intended_use, *words.misuse, *words.data_notes, *words.recipe_notes]
    said += [*words.known_failures, *words.limits, *(each.terms for each in words.data)]
    assert not [text for text in said if prose(text) not in card_of(folder)]
    assert not [step for step in words.recipe if step.command.strip() not in card_of(folder)]
    assert (folder / "evaluation.png").stat().st_size < 300_000
    clean = next(csv.DictReader((folder / "evaluation.csv").open()))
    assert float(row_of(folder, "AUC", "held half")["ONNX"].split()[0]) == pytest.approx(float(clean["auc"]), abs=6e-5)


@each_file
def test_the_metadata_are_whole(file):
    metadata = Classifier(file).metadata
    assert (metadata.name, metadata.bits, metadata.recipe) == (file.parent.name, 2, "qat")
    assert metadata.crop.origin.startswith("measured")
    assert "identity groups" in metadata.calibration.origin
    assert metadata.uncertain.low < metadata.threshold < metadata.uncertain.high
    assert metadata.training["recipe"]["model"] == metadata.architecture
    assert metadata.training["data"]
    wanted = model_metadata(load_checkpoint(file.parent), bits=2)
    assert replace(metadata, edgefake=wanted.edgefake) == wanted


@each_folder
def test_exporting_again_gives_the_same_scores(folder, tmp_path):
    again = tmp_path / "again.onnx"
    command = [sys.executable, "-m", "edgefake", "export", folder, "--format", "onnx", "--bits", "2", "-o", again]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    ours, shipped = Classifier(again), Classifier(folder / f"{folder.name}-2bit.onnx")
    crops = sample_crops(shipped.metadata.input_size)
    assert replace(ours.metadata, edgefake=shipped.metadata.edgefake) == shipped.metadata
    assert ours.score(crops) == pytest.approx(shipped.score(crops), abs=1e-6)


@each_folder
def test_no_path_of_the_building_machine_is_in_the_files(folder):
    traces = [b"/home/", b"site-packages", f"{tempfile.gettempdir()}/".encode(), bytes(Path.cwd())]
    if Path.home() != Path("/"):
        traces.append(bytes(Path.home()))
    for file in folder.iterdir():
        data = file.read_bytes()
        for trace in traces:
            assert trace not in data, (file.name, trace)


def held_half(data_folder):
    manifest = data_folder / "dfdc" / "manifest.csv"
    return manifest, take_half(read_manifest(manifest, split="val"), "held", manifest=manifest)


@pytest.mark.data
@pytest.mark.parametrize("place", [*FILES, *FOLDERS], ids=lambda place: place.name)
def test_the_cards_figures_come_out_again(data_folder, place):
    manifest, samples = held_half(data_folder)
    folder, column = (place, TORCH) if place in FOLDERS else (place.parent, FORMATS[place.suffix])
    classifier = TorchClassifier(place) if place in FOLDERS else Classifier(place)
    share = centre_share(classifier.metadata.crop, read_crop_rule(manifest))
    result = evaluate_crops(classifier, samples, share=share)
    intervals = result.intervals()
    for name, title in FIGURES.items():
        shown = row_of(folder, title, "held half")[column]
        value, low, high = map(float, re.fullmatch(r"([\d.]+) \(([\d.]+) to ([\d.]+)\)", shown).groups())
        near = 5e-4 if name == "auc" else 1.5 / min(result.metrics.n_real, result.metrics.n_fake)  # one crop turned
        assert getattr(result.metrics, name) == pytest.approx(value, abs=near), name
        assert intervals[name] == pytest.approx((low, high), abs=1e-3 if name == "auc" else 2 * near), name
    assert intervals["auc"][0] > 0.5


@pytest.mark.data
@each_file
def test_logits_and_verdicts_are_torchs_on_real_crops(data_folder, file):
    samples = read_manifest(data_folder / "dfdc" / "manifest.csv", split="val")
    checkpoint, metadata = load_checkpoint(file.parent), Classifier(file).metadata
    crops = np.stack([resize(read_crop(sample), metadata.input_size) for sample in samples[:: len(samples) // 64][:64]])
    rounded = round_network(checkpoint.network, resolve(checkpoint.network, format=file.suffix[1:], bits=2))
    report = verify(Reference(rounded, crops, metadata), file)
    assert report.samples == 64
    assert report.relative <= report.tolerance  # 1e-2; 0.85e-2 was measured of bitvit-tiny's ONNX file
    assert report.disagreeing == 0


@pytest.mark.data
@each_folder
def test_the_clips_have_the_verdicts_of_the_card(data_folder, folder):
    """Of every file, which are so also the same verdicts."""
    clips = sorted((data_folder / "tests" / "videos").glob("*.mp4"))
    assert len(clips) == 9
    verdicts = {}
    for file in (file for file in FILES if file.parent == folder):
        found = verdicts[FORMATS[file.suffix]] = list(Detector(file).detect_many(clips))
        for clip, result in zip(clips, found, strict=True):
            row = row_of(folder, f"`{clip.name}`", "clip")
            assert row[f"{FORMATS[file.suffix]}: verdict"].strip("*") == result.verdict, clip.name
    first, *others = verdicts.values()
    for other in others:
        assert [result.verdict for result in other] == [result.verdict for result in first]
        assert [result.score for result in other] == pytest.approx([result.score for result in first], abs=5e-3)
