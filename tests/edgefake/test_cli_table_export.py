"""`edgefake table export` as a user meets it: a row a file, the notes, one line an error, nothing left behind."""

import contextlib
import csv
import os
import shlex
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgefake.cli.app import app
from edgefake_export import file as export_module

from .checkpoints import detector, pretrained
from .test_cli_table import cells


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Detectors `linvit` and `bitvit`, a classifier of other things, and the data set `faces`."""
    folder = tmp_path_factory.mktemp("table-export")
    detector(folder / "linvit", "linvit-nano", seed=0)
    detector(folder / "bitvit", "bitvit-nano", seed=0)
    pretrained(folder / "animals", labels=("cat", "cow", "dog"))
    (folder / "faces").mkdir()
    random = np.random.default_rng(0)
    rows = ["file,label,split"]
    for index in range(24):
        cv2.imwrite(str(folder / "faces" / f"{index}.png"), random.integers(0, 256, (40, 40, 3), dtype=np.uint8))
        rows.append(f"{index}.png,{'fake' if index % 2 else 'real'},{'val' if index < 8 else 'train'}")
    (folder / "faces" / "manifest.csv").write_text("\n".join(rows))
    return folder


def edgefake(*arguments, folder):
    """The command in this process, which has torch already; what it does not catch fails the test."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(app, ["table", "export", *map(str, arguments)], prog_name="edgefake")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


HEADER = [
    *("model", "format", "style", "method", "per", "bits", "other", "older", "check", "bytes", "error", "tolerance"),
    *("verdicts", "rounding", "auc", "auc change", "latency ratio", "widened ratio", "seconds", "needs"),
]


def test_a_row_for_every_file_and_what_it_was_measured_on(place, monkeypatch):
    arguments = ["table", "export", "linvit", "--data", "faces/manifest.csv", "--bits", "2", "--methods", "zeropoint"]
    arguments += ["--compare", "6", "--formats", "tflite", "--rounds", "2", "--out", "out"]
    monkeypatch.setattr(sys, "argv", ["edgefake", *arguments])
    done = edgefake(*arguments[2:], folder=place)
    assert done.exit_code == 0, done.stderr
    header, *rows = cells(done.stdout)
    assert header == HEADER
    assert [row[1:9] for row in rows] == [
        ["onnx", "integer", "float", "tensor", "32", "32", "no", "ok"],
        ["tflite", "integer", "zeropoint", "tensor", "2", "4", "no", "ok"],
        ["tflite", "integer", "zeropoint", "channel", "2", "4", "no", "ok"],
    ]
    assert [row[12] for row in rows] == 3 * ["6/6"]
    assert all(0 <= float(row[14]) <= 1 for row in rows)
    assert (
        "8 crops, 4 real and 4 fake (faces, split val); AUC of the checkpoint in torch: linvit-nano 0." in done.stdout
    )
    assert "CPU time on one thread of one picture, median of 2 runs" in done.stdout
    assert "onnxruntime 1." in done.stdout
    assert "Left out" not in done.stdout
    assert done.stdout.endswith(f"`{shlex.join(['edgefake', *arguments])}`\n")
    lines = done.stderr.splitlines()
    assert [line.split(":")[0] for line in lines] == ["linvit-nano"] * 3 + ["edgefake"]
    assert (place / "out" / "table.md").read_text() == done.stdout
    with (place / "out" / "table.csv").open(newline="") as file:
        assert [row["bytes"] for row in csv.DictReader(file)] == [row[9].replace(",", "") for row in rows]
    assert (place / "out" / "table.png").read_bytes().startswith(b"\x89PNG")
    assert edgefake(*arguments[2:], folder=place).exit_code == 2


def test_models_side_by_side_and_what_cannot_be_calibrated(place):
    arguments = ("bitvit", "--untrained", "bitvit-nano", "--bits", "4", "--formats", "onnx", "--rounds", "1")
    done = edgefake(*arguments, folder=place)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("**bitvit-nano: untrained weights, sizes, errors and latency alone.**\n\n| model |")
    _, *rows = cells(done.stdout)
    names = ["bitvit-nano", "bitvit-nano (untrained)"]
    files = [("32", "no"), ("4", "no"), ("4", "yes")]
    assert [(row[0], row[5], row[7]) for row in rows] == [(name, *file) for name in names for file in files]
    assert {row[14] for row in rows} == {"-"}
    assert "Left out, as they calibrate (gptq, qdq): 2; name" in done.stdout
    assert "Compared on the 16 faces that ship; no AUC" in done.stdout
    trained, fresh = (int(row[9].replace(",", "")) for row in (rows[1], rows[4]))
    assert abs(trained - fresh) < 100  # the names in their metadata


def test_checkpoints_of_one_name_are_told_apart(place, tmp_path):
    detector(tmp_path / "other", "linvit-nano", seed=1)
    done = edgefake("linvit", tmp_path / "other", "--bits", "32", "--formats", "onnx", "--rounds", "1", folder=place)
    assert done.exit_code == 0, done.stderr
    names = ["linvit-nano (linvit)", f"linvit-nano ({tmp_path / 'other'})"]
    assert list(dict.fromkeys(row[0] for row in cells(done.stdout)[1:])) == names


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("missing",), 3, "expected a checkpoint folder"),
        (("animals",), 3, "expected a detector of real and fake"),
        (("linvit", "--formats", "onnx,tf"), 2, "--formats: expected onnx or tflite, with commas; got tf"),
        (("linvit", "--bits", "5"), 2, "--bits: expected 32, 16, 8, 6, 4, 3 or 2, with commas; got 5"),
        (("linvit", "--threads", "2000"), 2, "threads: expected 1 to 1024, got 2000"),
        (("linvit", "--methods", ""), 2, "--methods: expected float, qat"),
        (("linvit", "--methods", "qat"), 2, "files that can be written, got none; widen the filters"),
        (("linvit", "--methods", "gptq"), 2, "got none; name a manifest with --calibration"),
        (("--untrained", "vit"), 2, "expected a model among"),
        (("linvit", "--compare", "8"), 2, "--compare: expected --data beside it, got none"),
        (("linvit", "--data", "none.csv"), 3, "none.csv: expected a CSV file"),
        (("linvit", "--out", "linvit/config.json"), 3, "expected a folder that can be written"),
        (("linvit", "--out", "linvit/config.json/new"), 3, "expected a folder that can be written"),
    ],
)
def test_errors_are_a_line_and_an_exit_code(arguments, code, message, place):
    done = edgefake(*arguments, folder=place)
    assert (done.exit_code, done.stdout) == (code, ""), done.stderr
    assert done.stderr.startswith("edgefake: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_that_fails_does_not_end_the_table(place, monkeypatch):
    """The 4-bit files hold the 32-bit one's logits: unlike its own by what rounding the weights does."""
    kept = []
    write = export_module._written

    def first_again(export, converter):
        kept.append(write(export, converter) if not kept else kept[0])
        return kept[-1]

    monkeypatch.setattr(export_module, "_written", first_again)
    arguments = ("linvit", "--bits", "4", "--methods", "zeropoint", "--formats", "onnx", "--rounds", "1")
    done = edgefake(*arguments, "--out", "failed", folder=place)
    assert done.exit_code == 5
    assert [row[8] for row in cells(done.stdout)[1:]] == ["ok", *["failed"] * 4]
    assert "Failed: linvit-nano, onnx integer zeropoint channel 4 bits: " in done.stdout
    assert done.stderr.splitlines()[-1].startswith("edgefake: expected 5 files that pass their checks, got 4 that do")
    assert (place / "failed" / "table.md").read_text() == done.stdout


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(stop, place, tmp_path):
    command = [sys.executable, "-m", "edgefake", "table", "export", "linvit", "--formats", "onnx", "--out", "stopped"]
    process = subprocess.Popen(
        command, cwd=place, env=os.environ | {"TMPDIR": str(tmp_path)}, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr.readline().startswith("linvit-nano: onnx integer float tensor, 32 bits: ok")
        assert list(tmp_path.glob("edgefake-*/*.onnx"))
        process.send_signal(stop)
        assert process.wait(timeout=60) == 130
        assert process.stderr.read().splitlines()[-1] == "interrupted"
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    assert not list(tmp_path.glob("edgefake-*"))
    assert not (place / "stopped").exists()
