"""`edgefake card`: its figures are those of an independent evaluation, its words cannot break it, its refusals cure."""

import csv
import hashlib
import re
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import tomli_w
from markdown_it import MarkdownIt
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from edgefake.artefact import model_metadata
from edgefake.card.failures import seen_failing
from edgefake.card.folder import ModelFolder, open_files
from edgefake.card.markdown import code, fenced, prose, table
from edgefake.card.measure import Clip, measure_held, operating_rows
from edgefake.card.words import CardWords, read_words
from edgefake.checkpoint import load_checkpoint, save_checkpoint
from edgefake.cli import app
from edgefake.corruptions import CorruptionRow
from edgefake.data.manifest import Sample
from edgefake.evaluate import Evaluation
from edgefake.metrics import measure
from edgefake.subgroups import SubgroupRow
from edgefake_export import export_checkpoint
from edgefake_runtime import Calibration, Classifier, InputError, InputResult, ModelFileError, Roc
from edgefake_runtime.results import Timing

from .checkpoints import detector
from .faces import FACES

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"

ROC = {
    "thresholds": [0.9, 0.52, 0.5, 0.48, 0.1],
    "false_positives": [0.0, 0.04, 0.1, 0.2, 1.0],
    "true_positives": [0.1, 0.3, 0.5, 0.7, 1.0],
    "reals": 50,
    "origin": "a test",
}
FITTED = {
    "name": "nano",
    "calibration": {"scale": 0.7, "shift": 0.05, "origin": "Platt scaling on nothing"},
    "uncertain": {"low": 0.495, "high": 0.505, "origin": "a guess"},
    "roc": ROC,
    "quality": {"side": 48.0, "sharpness": 0.125, "turn": 0.75, "origin": "another guess"},
}
HOSTILE = "a | b\n\n# no heading\n\n<!-- <script>alert(1)</script> ``` `c|d` \\"
WORDS = """
summary = "A nano network of random weights."
intended_use = ["Tests."]
misuse = ["Anything else."]
data_notes = []
recipe_notes = ["Not trained at all."]
known_failures = ["All of it."]
limits = ["It knows nothing."]
[[data]]
name = "no data"
use = "none"
terms = "none"
[[recipe]]
what = "Random weights."
command = "none"
hours = "0 hours"
machine = "any"
"""


def write_manifest(folder, groups=12, each=4):
    """The faces that ship at several lights; every other group's are called fake, the darker ones more often."""
    folder.mkdir()
    strip, random = cv2.imread(str(FACES)), np.random.default_rng(0)
    rows = []
    for index in range(groups * each):
        tile = strip[:, index % 8 * 224 : (index % 8 + 1) * 224]
        light = random.uniform(0.5, 1.3)
        cv2.imwrite(str(folder / f"{index}.png"), np.clip(tile * light, 0, 255).astype(np.uint8))
        label = "fake" if light + random.normal(0, 0.2) < 0.9 else "real"
        rows.append((f"{index}.png", label, "val", f"id{index // each}"))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label", "split", "identity_group"), *rows])
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_manifest(tmp_path_factory.mktemp("card") / "faces")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A compact checkpoint with both files; copy it to change it."""
    place = tmp_path_factory.mktemp("models")
    folder = place / "nano"
    save_checkpoint(load_checkpoint(detector(place / "full", "bitvit-nano", **FITTED)), folder, compact=True)
    for ending in ("onnx", "tflite"):
        export_checkpoint(load_checkpoint(folder), folder / f"nano-2bit.{ending}", bits=2)
    (folder / "card.toml").write_text(WORDS)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    place = tmp_path_factory.mktemp("clips") / "clips"
    place.mkdir()
    for name in ("real.mp4", "fake.mp4", "astronaut.png"):
        shutil.copy(SAMPLES / name, place / name)
    (place / "labels.csv").write_text("file,label\nreal.mp4,real\nfake.mp4,fake\nastronaut.png,real\n")
    return place / "labels.csv"


def run(*arguments):
    return CliRunner().invoke(app, ["card", *map(str, arguments), "--threads", "1", "--rounds", "2"])


@pytest.fixture(scope="module")
def made(shipped, manifest, clips, tmp_path_factory):
    """The folder with its card."""
    folder = tmp_path_factory.mktemp("made") / "nano"
    shutil.copytree(shipped, folder)
    done = run(folder, "--data", manifest, "--clips", clips)
    assert done.exit_code == 0, done.output
    return folder


def rows_of(text, first):
    """The cells of the table whose first heading this is, by row name."""
    lines = iter(text.splitlines())
    head = next(line for line in lines if line.startswith(f"| {first} |"))
    next(lines)
    found = {}
    for line in lines:
        if not line.startswith("|"):
            break
        name, *cells = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        found[name] = dict(zip([cell.strip() for cell in head.split("|")[2:-1]], cells, strict=True))
    return found


def held_rows(manifest):
    """The half by another way: groups of one size go alternately, by name, to fit and held."""
    rows = list(csv.DictReader(manifest.open()))
    names = sorted({row["identity_group"] for row in rows})
    return [row for row in rows if row["identity_group"] in names[1::2]]


def scores_of(file, rows, folder):
    """P(fake) by ONNX Runtime and the metadata's formula, nothing of the runtime's."""
    session = onnxruntime.InferenceSession(file)
    mean, std = (np.array(values, np.float32) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    found = []
    for row in rows:
        crop = cv2.resize(cv2.imread(str(folder / row["file"]))[..., ::-1], (32, 32), interpolation=cv2.INTER_AREA)
        image = ((crop.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)[None]
        real, fake = session.run(None, {"image": image})[0][0].astype(float)
        found.append(1 / (1 + np.exp(-(0.7 * (fake - real) + 0.05))))
    return np.array(found)


def test_the_headline_figures_are_those_of_an_independent_evaluation(made, manifest):
    rows = held_rows(manifest)
    labels = np.array([row["label"] == "fake" for row in rows])
    scores = scores_of(made / "nano-2bit.onnx", rows, manifest.parent)
    called = scores >= 0.5
    expected = {
        "AUC": roc_auc_score(labels, scores),
        "accuracy": (called == labels).mean(),
        "reals called fake (false positives)": called[~labels].mean(),
        "fakes called fake (true positives)": called[labels].mean(),
    }
    text = (made / "README.md").read_text()
    assert f"On {len(rows)} face crops ({(~labels).sum()} real, {labels.sum()} fake) of 6 identity groups" in text
    found = rows_of(text, "held half")
    assert list(found["AUC"]) == ["ONNX", "TFLite", "checkpoint in torch"]
    for name, value in expected.items():
        assert float(found[name]["ONNX"].split()[0]) == pytest.approx(value, abs=5.1e-5), name
        low, high = map(float, re.search(r"\(([\d.]+) to ([\d.]+)\)", found[name]["ONNX"]).groups())
        assert low <= value <= high
    certain = (scores < 0.495) | (scores >= 0.505)
    wrong = certain & (called != labels)
    assert f"{certain.sum()} of {len(rows)} crops got a verdict" in text
    assert f"{(wrong & ~labels).sum()} reals called fake, {(wrong & labels).sum()} fakes called real" in text
    points = rows_of(text, "reals called fake, at most")
    assert list(points) == ["0.05", "0.1", "0.2"]  # 50 reals cannot tell 0.01 from none
    for allowed, threshold in (("0.05", 0.52), ("0.1", 0.5), ("0.2", 0.48)):
        row = points[allowed]
        assert float(row["P(fake) from"]) == threshold
        assert float(row["held half: reals called fake"].split()[0]) == pytest.approx(
            (scores[~labels] >= threshold).mean(), abs=5.1e-4
        )


def test_the_files_are_listed_as_they_are(made):
    text = (made / "README.md").read_text()
    rows = rows_of(text, "file")
    assert set(rows) == {"`nano-2bit.onnx`", "`nano-2bit.tflite`", "`model.safetensors`", "`config.json`"}
    for name, row in rows.items():
        data = (made / name.strip("`")).read_bytes()
        assert row == {"bytes": f"{len(data):,}", "SHA-256": f"`{hashlib.sha256(data).hexdigest()}`"}
    times = rows_of(text, "one picture, one thread")
    assert list(times)[:2] == ["ONNX", "TFLite"]
    assert all(float(row["time over 32-bit ONNX"]) > 0 for row in times.values())


def test_picture_and_csv_stand_beside_it(made):
    text = (made / "README.md").read_text()
    assert "](evaluation.png)" in text
    assert "](evaluation.csv)" in text
    assert (made / "evaluation.png").stat().st_size < 300_000
    assert cv2.imread(str(made / "evaluation.png")).shape[1] >= 1200
    rows = list(csv.DictReader((made / "evaluation.csv").open()))
    assert float(rows[0]["auc"]) == pytest.approx(float(rows_of(text, "held half")["AUC"]["ONNX"].split()[0]), abs=6e-5)
    assert sum(row["table"] == "subgroup" for row in rows) == sum(
        line.count(" | ") == 8 for line in text.split("## Where it fails")[1].split("\n\n")[1].splitlines()[2:]
    )
    assert not [path.name for path in made.iterdir() if path.name.startswith(".")]


def test_clips_have_the_verdicts_of_detect(made, clips):
    rows = rows_of((made / "README.md").read_text(), "clip")
    assert list(rows) == ["`real.mp4`", "`fake.mp4`", "`astronaut.png`"]
    for name, row in rows.items():
        done = CliRunner().invoke(
            app,
            ["detect", str(clips.parent / name.strip("`")), "--model", str(made / "nano-2bit.onnx"), "--json", "-"],
        )
        verdict = re.search(r'"verdict": "(.*?)"', done.stdout)[1]
        assert row["ONNX: verdict"].strip("*") == verdict
        assert row["TFLite: verdict"].strip("*") == verdict
        assert float(re.search(r'"score": ([\d.]+)', done.stdout)[1]) == pytest.approx(float(row["P(fake)"]), abs=6e-3)


def test_the_card_says_how_it_came_about_without_paths(made, manifest):
    text = (made / "README.md").read_text()
    assert "edgefake card made0/nano --data" in re.sub(r"made-?\d+/", "made0/", text)
    assert "--data faces/manifest.csv --split val --clips clips/labels.csv --rounds 2 --threads 1\n" in text
    assert str(manifest.parent) not in text
    assert str(made.parent.parent) not in text
    for word in ("below 48 pixels", "0.125", "0.75", "another guess", "Platt scaling on nothing", "a guess"):
        assert word in text


def blocks(text):
    return [token.type for token in MarkdownIt("commonmark").enable("table").parse(text)]


def shape(text):
    """Headings, tables and code of a rendered text, without what was measured."""
    html = MarkdownIt("commonmark").enable("table").render(text)
    return re.findall(r"<h\d>.*?</h\d>|<(?:table|tr|pre|script)\b|<!--", html)


def test_hostile_words_break_nothing(made, manifest, tmp_path):
    folder = tmp_path / "nano"
    shutil.copytree(made, folder)
    before = (folder / "README.md").read_text()
    words = tomllib.loads(WORDS)

    def spoilt(value):
        if isinstance(value, str):
            return HOSTILE
        return {k: spoilt(v) for k, v in value.items()} if isinstance(value, dict) else [spoilt(each) for each in value]

    (folder / "card.toml").write_text(tomli_w.dumps(spoilt(words)))
    done = run(folder, "--data", manifest)
    assert done.exit_code == 0, done.output
    text = (folder / "README.md").read_text()
    ours = [part for part in shape(before) if "Clips" not in part]
    clip_rows = 4 + 1  # of the table that is not there without --clips
    assert len([p for p in shape(text) if p == "<tr"]) == len([p for p in ours if p == "<tr"]) - clip_rows + 1
    assert [p for p in shape(text) if p.startswith("<h")] == [p for p in ours if p.startswith("<h")]
    assert not [p for p in shape(text) if p in ("<script", "<!--")]
    assert shape(text).count("<pre") == shape(before).count("<pre")


@pytest.mark.parametrize("text", [HOSTILE, "# x", "- x", "1. x", "```", "~~~", "> x", "=== x", "<b>x", "| x |", "+ x"])
def test_prose_is_one_paragraph(text):
    assert blocks(prose(text)) == ["paragraph_open", "inline", "paragraph_close"]
    assert "<" not in prose(text)


@pytest.mark.parametrize("text", ["a.mp4", "a`b", "``", "`", "a|b", "a\nb", "x``y`z"])
def test_code_and_cells_hold_what_they_were_given(text):
    html = MarkdownIt("commonmark").enable("table").render(table(("name", "n"), [(code(text), "1")]))
    (cell,) = re.findall(r"<td><code>(.*?)</code></td>", html)
    assert cell == " ".join(text.split())
    assert html.count("<td") == 2


def test_fenced_lines_end_where_they_should():
    html = MarkdownIt("commonmark").render(fenced("a\n```\nb\n") + "\n\n# after")
    assert "<h1>after</h1>" in html
    assert "a\n```\nb" in html


def test_words_are_read_as_written(tmp_path):
    path = tmp_path / "card.toml"
    path.write_text(WORDS)
    words = read_words(path)
    assert isinstance(words, CardWords)
    assert (words.summary, words.misuse) == ("A nano network of random weights.", ("Anything else.",))
    assert (words.data[0].terms, words.recipe[0].hours) == ("none", "0 hours")
    assert words.data_notes == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('limits = ["It knows nothing."]', ""), "got none of limits"),
        (
            lambda text: text.replace('terms = "none"', ""),
            r"\[\[data\]\]: expected the keys name, use, terms; got none of",
        ),
        (lambda text: text.replace('hours = "0 hours"', ""), "got none of hours"),
        (lambda text: 'licence = "MIT"\n' + text, "got licence besides"),
        (lambda text: text.replace('["Tests."]', '"Tests."'), "intended_use: expected a list of texts, got 'Tests.'"),
        (lambda text: text.replace('["Tests."]', "[]"), r"intended_use: expected a list of texts, got \[\]"),
        (lambda text: text.replace('["Tests."]', "[3]"), "intended_use: expected a text, got 3"),
        (lambda text: text.replace('"A nano network of random weights."', '" "'), "summary: expected a text"),
        (lambda text: text.replace("[[data]]", "[data]"), r"data: expected one or more tables \[\[data\]\]"),
        (lambda text: text + "=", "expected a TOML file"),
    ],
)
def test_words_that_are_missing_or_wrong_are_refused(tmp_path, change, message):
    path = tmp_path / "card.toml"
    path.write_text(change(WORDS))
    with pytest.raises(InputError, match=message) as caught:
        read_words(path)
    assert "docs/cards.md" in str(caught.value)


def test_no_words_and_no_files_are_refused_before_the_work(shipped, manifest, tmp_path):
    done = run(tmp_path, "--data", manifest)
    assert (done.exit_code, done.stdout) == (3, "")
    assert "got no config.json and no model.safetensors; make one with: python scripts/ship_model.py" in done.stderr
    for name in ("config.json", "model.safetensors"):
        shutil.copy(shipped / name, tmp_path / name)
    done = run(tmp_path, "--data", manifest)
    assert "expected one ONNX file, got none; keep one, made with: edgefake export" in done.stderr
    shutil.copy(shipped / "nano-2bit.onnx", tmp_path / "a.onnx")
    done = run(tmp_path, "--data", manifest)
    assert "expected the words of the card, got no such file" in done.stderr
    shutil.copy(shipped / "nano-2bit.onnx", tmp_path / "b.onnx")
    with pytest.raises(ModelFileError, match=r"got a\.onnx and b\.onnx"):
        ModelFolder.find(tmp_path)
    assert not (tmp_path / "README.md").exists()


def test_a_file_exported_before_calibration_is_refused(shipped, tmp_path):
    folder = tmp_path / "nano"
    shutil.copytree(shipped, folder)
    checkpoint = load_checkpoint(folder)
    again = {"calibration": {"scale": 1.5, "shift": 0.0, "origin": "another"}}
    object.__setattr__(checkpoint, "metadata", dict(checkpoint.metadata) | again)
    save_checkpoint(checkpoint, folder, compact=True)
    with pytest.raises(ModelFileError, match=r"got another calibration; export it again"):
        open_files(ModelFolder.find(folder))
    assert model_metadata(load_checkpoint(folder), bits=2).calibration == Calibration(1.5, 0.0, "another")


def test_people_that_the_calibration_knows_are_not_called_held(shipped, manifest):
    """`edgefake calibrate --half all` leaves nobody to report on."""
    classifier = Classifier(shipped / "nano-2bit.onnx")
    origin = "Platt scaling on 48 crops of 12 identity groups of faces/val"
    classifier.metadata = replace(classifier.metadata, calibration=Calibration(1.0, 0.0, origin))
    with pytest.raises(InputError, match="a calibration on all of it; run edgefake calibrate with --half fit"):
        measure_held({"ONNX": classifier}, manifest, split="val", stage=lambda name, total: lambda done: None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("file,label,split\n0.png,real,val\n1.png,fake,val", "got 2 of 2 rows without; fill the column identity_group"),
        (
            "file,label,split,identity_group\n0.png,real,val,a\n1.png,real,val,b\n2.png,real,val,c",
            "expected real and fake crops in the half that is held out of val, got 1 real and 0 fake",
        ),
        (
            "file,label,split,identity_group\n0.png,real,val,a\n1.png,fake,val,a\nno.png,real,val,b\n2.png,fake,val,b",
            "expected crops that can be read, got 1 of 2 that cannot",
        ),
    ],
)
def test_data_that_cannot_tell_are_refused(shipped, manifest, tmp_path, rows, message):
    folder = tmp_path / "nano"
    shutil.copytree(shipped, folder)
    for number in range(3):
        shutil.copy(manifest.parent / f"{number}.png", tmp_path / f"{number}.png")
    (tmp_path / "manifest.csv").write_text(rows)
    done = run(folder, "--data", tmp_path / "manifest.csv")
    assert (done.exit_code, done.stdout) == (3, "")
    assert message in done.stderr
    assert not (folder / "README.md").exists()


def corrupted(kind, level, auc, rate):
    return CorruptionRow(kind, level, 100, auc, 0.8 - auc, 0.7, rate, 0.6, 0.1)


def group(name, auc, rate, *, reals=50, fakes=50, groups=8):
    count = reals + fakes
    return SubgroupRow(
        "ita", name, 0.0, 1.0, count, reals, fakes, groups, auc, auc - 0.1, auc + 0.1, 0.7, rate, 0.6, 0.5
    )


def judged(verdict, score):
    timing = Timing(0.0, 0.0, 0.0, 0.0)
    return InputResult("x", "video", verdict, score, None, 1.0, 8, 8, 30, 4, (), timing)


class Seen:
    """What `seen_failing` reads of the measurements."""

    corruptions = (
        corrupted("clean", None, 0.8, 0.1),
        corrupted("jpeg", 50, 0.79, 0.1),
        corrupted("jpeg", 10, 0.6, 0.05),
        corrupted("blur", 3, 0.7, 0.9),
        corrupted("blur", 2, 0.71, 0.95),
        corrupted("noise", 4, 0.81, 0.2),
        corrupted("brightness", 0.4, 0.75, 0.3),
    )
    subgroups = (
        group("good", 0.9, 0.1),
        group("few fakes", 0.2, 0.9, fakes=19),
        group("few people", 0.2, 0.9, groups=4),
        group("bad", 0.5, 0.2),
        group("alarms", 0.7, 0.4),
        group("fair", 0.75, 0.15),
    )


def test_the_worst_are_named_and_small_groups_are_not():
    both = {"ONNX": judged("fake", 0.9), "TFLite": judged("uncertain", 0.5)}
    right = {"ONNX": judged("fake", 0.9), "TFLite": judged("fake", 0.9)}
    unsure = {"ONNX": judged("uncertain", 0.5), "TFLite": judged("no-face", None)}
    clips = [Clip("a`b.mp4", False, both), Clip("c.mp4", True, right), Clip("d.mp4", False, unsure)]
    lines = seen_failing(Seen(), clips)
    assert lines[0] == "`` a`b.mp4 `` is real and was called fake, P(fake) 0.90 (ONNX)"
    assert not [line for line in lines if "c.mp4" in line or "d.mp4" in line]
    area, alarms, chance, drops, rises = lines[1:]
    assert re.findall(r"ITA ([\w ]+):", area) == ["bad", "alarms", "fair"]
    assert re.findall(r"ITA ([\w ]+):", alarms) == ["alarms", "bad", "fair"]
    assert "worst of 4 overlapping groups" in chance
    assert "no single group is a finding" in chance
    assert "from 0.800, under JPEG 10 (quality): 0.600; Gaussian blur 3 (sigma, pixels): 0.700; brightness" in drops
    assert "noise" not in drops  # it costs nothing
    assert "from 0.100, under Gaussian blur 2 (sigma, pixels): 0.950; brightness 0.4 (factor): 0.300" in rises
    assert "JPEG" not in rises


def test_operating_points_have_no_interval_of_few_people():
    samples = tuple(Sample(Path("x"), label, "val", label, 1, True) for label in ("real", "fake"))
    labels, scores = np.array([False, True]), np.array([0.49, 0.6])
    rows = operating_rows(Roc.of(ROC), Evaluation(measure(labels, scores, threshold=0.5), samples, scores, (), 0.5))
    assert [row.allowed for row in rows] == [0.05, 0.1, 0.2]
    assert [row.intervals for row in rows] == [None] * 3
    assert [row.found for row in rows] == [(0.0, 1.0), (0.0, 1.0), (1.0, 1.0)]
