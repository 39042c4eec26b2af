"""`edgefake evaluate` as a user meets it: halves, intervals, corruptions, breakdown, files, refusals."""

import csv
import json
import os

import cv2
import onnx
import pytest
from typer.testing import CliRunner

from edgefake.cli import app
from edgefake.corruptions import CORRUPTIONS
from edgefake.evaluation_table import CSV_HEADER
from edgefake.subgroups import PROPERTIES
from edgefake_runtime.metadata import METADATA_KEY
from edgefake_runtime.shipped import default_model

from .faces import write_faces


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_faces(tmp_path_factory.mktemp("faces"))


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(os.fspath, arguments)])


def figures(*arguments):
    done = run(*arguments, "--json", "-", "--threads", "1")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def refusal(*arguments):
    """Exit code and the one line."""
    done = run(*arguments)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return done.exit_code, line


def with_curve(target):
    """The shipped model with a curve of three points."""
    model = onnx.load(default_model())
    (entry,) = (entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    points = {"thresholds": [0.9, 0.45, 0.2], "false_positives": [0.0, 0.1, 0.6], "true_positives": [0.1, 0.5, 0.9]}
    entry.value = json.dumps(json.loads(entry.value) | {"roc": points | {"reals": 100, "origin": "test"}})
    onnx.save(model, target)
    return target


def test_the_halves_make_the_whole(manifest):
    whole, fit, held = (figures(manifest, "--crops", *half) for half in ((), ("--half", "fit"), ("--half", "held")))
    assert (whole["half"], fit["half"], held["half"]) == (None, "fit", "held")
    assert fit["n"] + held["n"] == whole["n"] == 16
    assert fit["groups"] + held["groups"] == whole["groups"] == 8
    assert fit["intervals"] is None  # four people
    assert set(whole["intervals"]) == {"auc", "accuracy", "eer", "ece", "false_positive_rate", "true_positive_rate"}
    low, high = whole["intervals"]["auc"]
    assert 0 <= low <= whole["auc"] <= high <= 1


def test_the_printed_figures_have_intervals_or_say_why_not(manifest, tmp_path):
    shown = run(manifest, "--crops", "--split", "val", "--threads", "1").stdout.splitlines()
    (line,) = (line for line in shown if line.startswith("auc"))
    assert line.split()[3] == "to"
    assert shown[-1] == "intervals: 95 %, by identity group"
    few = run(manifest, "--crops", "--half", "held", "--threads", "1").stdout.splitlines()
    assert few[-1] == "no intervals: they take 5 identity groups or more"
    alone = write_faces(tmp_path, groups=None)
    shown = run(alone, "--crops", "--threads", "1").stdout.splitlines()
    assert shown[-1] == "no intervals: the manifest does not name the identity group of every row"
    assert figures(alone, "--crops")["intervals"] is None


def test_corruptions_and_breakdown_go_to_every_output(manifest, tmp_path):
    plot, table, report = tmp_path / "x.png", tmp_path / "x.csv", tmp_path / "x.json"
    more = ("--corruptions", "--breakdown", "--plot", plot, "--csv", table, "--json", report, "--threads", "1")
    done = run(manifest, "--crops", *more)
    assert done.exit_code == 0, done.output
    written = json.loads(report.read_text())
    steps = sum(len(corruption.levels) for corruption in CORRUPTIONS.values())
    assert len(written["corruptions"]) == 1 + steps
    assert list(written["corruptions"][0]) == [
        *("kind", "level", "n", "auc", "auc_drop", "accuracy", "false_positive_rate", "true_positive_rate", "ece")
    ]
    assert written["corruptions"][0]["auc"] == written["auc"]
    assert {row["property"] for row in written["breakdown"]} == set(PROPERTIES)
    assert list(written["breakdown"][0]) == [
        *("property", "bin", "low", "high", "n", "n_real", "n_fake", "groups", "auc", "auc_low", "auc_high"),
        *("accuracy", "false_positive_rate", "true_positive_rate", "mean_score"),
    ]
    rows = list(csv.DictReader(table.open()))
    assert table.read_text().startswith(CSV_HEADER + "\n")
    assert len(rows) == len(written["corruptions"]) + len(written["breakdown"])
    row = next(row for row in rows if (row["kind"], row["level"]) == ("jpeg", "10"))
    expected = next(row for row in written["corruptions"] if (row["kind"], row["level"]) == ("jpeg", 10))
    assert float(row["auc"]) == pytest.approx(expected["auc"], rel=1e-5)
    height, width = cv2.imread(str(plot)).shape[:2]
    assert (width, height) == (1920, 1068)
    shown = done.stdout.splitlines()
    assert sum(line.startswith("jpeg") for line in shown) == len(CORRUPTIONS["jpeg"].levels)
    assert [line for line in shown if line.startswith("skin tone proxy")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.csv", "x.json", "x.png"]


def test_only_some_corruptions(manifest):
    found = figures(manifest, "--crops", "--corruptions", "--only", "rescale,blur")["corruptions"]
    assert list(dict.fromkeys(row["kind"] for row in found)) == ["clean", "blur", "rescale"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--corruptions",), 2, "--corruptions: expected face crops"),
        (("--breakdown",), 2, "--breakdown: expected face crops"),
        (("--crops", "--only", "jpeg"), 2, "expected --corruptions beside it"),
        (("--crops", "--corruptions", "--only", "fog"), 2, "only: expected jpeg, blur, noise"),
        (("--crops", "--plot", "x.png"), 2, "--plot: expected --corruptions or --breakdown"),
        (("--crops", "--csv", "x.csv"), 2, "--csv: expected --corruptions or --breakdown"),
        (("--crops", "--breakdown", "--csv", "-"), 2, "--csv: expected a file, got -"),
        (("--crops", "--breakdown", "--csv", "a", "--plot", "a"), 2, "got one twice"),
        (("--crops", "--breakdown", "--csv", "no/such/x.csv"), 3, "expected a file in a folder"),
        (("--crops", "--threshold", "0.3", "--max-false-positives", "0.1"), 2, "got both"),
    ],
)
def test_what_says_nothing_or_cannot_be_is_refused(manifest, tmp_path, monkeypatch, options, code, message):
    monkeypatch.chdir(tmp_path)
    got, text = refusal(manifest, *options)
    assert got == code
    assert message in text
    assert list(tmp_path.iterdir()) == []


def test_no_output_replaces_an_input(manifest):
    for option in ("--plot", "--csv"):
        for target in (manifest, manifest.parent / "0.png"):
            if option == "--plot" and target.suffix == ".png":
                continue
            before = target.read_bytes()
            code, text = refusal(manifest, "--crops", "--breakdown", option, target)
            assert (code, target.read_bytes()) == (2, before)
            assert "expected a new file or a" in text


def test_the_threshold_comes_from_the_models_curve(manifest, tmp_path):
    model = with_curve(tmp_path / "m.onnx")
    for share, threshold in (("0.1", 0.45), ("0.3", 0.45), ("0.7", 0.2), ("0.02", 0.9)):
        found = figures(manifest, "--crops", "--model", model, "--max-false-positives", share)
        assert found["threshold"] == threshold
    code, line = refusal(manifest, "--crops", "--model", model, "--max-false-positives", "0.001")
    assert code == 2
    assert "max-false-positives: expected 0.0100 to 1" in line
    model = onnx.load(model)
    (entry,) = (entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    entry.value = json.dumps({key: value for key, value in json.loads(entry.value).items() if key != "roc"})
    onnx.save(model, tmp_path / "without.onnx")
    refused = ("--model", tmp_path / "without.onnx", "--max-false-positives", "0.1")
    code, line = refusal(manifest, "--crops", *refused)
    assert code == 2
    assert "expected a model with a stored ROC curve" in line


def test_half_needs_groups(tmp_path):
    code, text = refusal(write_faces(tmp_path, groups=None), "--crops", "--half", "held")
    assert code == 3
    assert "expected two identity groups or more to halve the rows by, got 16 of 16 rows without" in text


def test_a_missing_matplotlib_is_named_before_the_work(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr("edgefake.cli.extras.find_spec", lambda package: None)
    code, text = refusal(manifest, "--crops", "--breakdown", "--plot", tmp_path / "x.png")
    assert code == 4
    assert "edgefake[train]" in text
