"""`edgefake table` as a user meets it: Markdown on standard output, files, one line an error."""

import contextlib
import csv
import shlex
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgefake.cli.app import app

from .checkpoints import CLASSES, detector, pretrained
from .crops import write_classes


def process(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "edgefake", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=300,
    )


def edgefake(*arguments, folder):
    """The command in this process, which has torch already; what it does not catch fails the test."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="edgefake")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Detectors `linvit`, `bitvit`, `cnn` and the data set `faces` of a dozen crops; classifiers and `imagenet`."""
    folder = tmp_path_factory.mktemp("table")
    for kind in ("linvit", "bitvit", "cnn"):
        detector(folder / kind, f"{kind}-nano", seed=0)
        pretrained(folder / f"{kind}-imagenet", f"{kind}-nano")
    pretrained(folder / "animals", labels=("cat", "cow", "dog"))
    write_classes(folder / "imagenet")
    shutil.rmtree(folder / "imagenet" / "train")
    (folder / "imagenet.csv").write_text(f"file,label,split\nimagenet/val/{CLASSES[2]}/0.JPEG,{CLASSES[2]},val\n")
    (folder / "faces").mkdir()
    random = np.random.default_rng(0)
    rows = ["file,label,split,group"]
    for index in range(12):
        cv2.imwrite(str(folder / "faces" / f"{index}.png"), random.integers(0, 256, (40, 40, 3), dtype=np.uint8))
        rows.append(f"{index}.png,{'fake' if index % 2 else 'real'},{'train' if index < 2 else 'val'},g{index // 3}")
    (folder / "faces" / "manifest.csv").write_text("\n".join(rows))
    return folder


def cells(text):
    """The table of a Markdown text: its rows, without the rule under the header."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])]


def test_ptq_prints_a_row_for_every_method_and_width(place):
    arguments = ("table", "ptq", "linvit", "bitvit", "cnn", "--data", "faces/manifest.csv", "--bits", "8,2")
    done = process(*arguments, "--out", "out", "--threads", "1", folder=place)
    assert done.returncode == 0, done.stderr
    header, *rows = cells(done.stdout)
    assert header == ["model", "method", "weight bits", "activation bits", "accuracy", "auc", "bytes"]
    assert [row[:4] for row in rows[:3]] == [
        ["linvit-nano", "-", "32", "32"],
        ["bitvit-nano", "-", "2", "8"],
        ["cnn-nano", "-", "32", "32"],
    ]
    quantized = [["absmax", "8", "8"], ["absmax", "2", "8"], ["zeropoint", "8", "8"], ["zeropoint", "2", "8"]]
    assert [row[:4] for row in rows[3:]] == [[m, *q] for m in ("linvit-nano", "cnn-nano") for q in quantized]
    assert "10 crops, 5 real and 5 fake (faces, split val)" in done.stdout
    assert "0.5 of the softmax" in done.stdout
    assert done.stdout.endswith(f"`edgefake {shlex.join([*arguments, '--out', 'out', '--threads', '1'])}`\n")
    assert done.stderr.startswith("edgefake: wrote ")
    assert len(done.stderr.splitlines()) == 1
    assert (place / "out" / "table.md").read_text() == done.stdout
    assert len(list(csv.reader((place / "out" / "table.csv").open(newline="")))) == 1 + len(rows)
    assert (place / "out" / "table.png").read_bytes().startswith(b"\x89PNG")
    again = edgefake(*arguments, "--out", "out", folder=place)
    assert again.exit_code == 2
    assert "--force" in again.stderr
    assert edgefake(*arguments, "--out", "out", "--force", folder=place).exit_code == 0


def test_a_bitvit_alone_has_its_own_row(place):
    done = edgefake("table", "ptq", "bitvit", "--data", "faces/manifest.csv", folder=place)
    assert done.exit_code == 0, done.stderr
    assert [row[:4] for row in cells(done.stdout)[1:]] == [["bitvit-nano", "-", "2", "8"]]
    assert "ternary already" in done.stdout


def test_the_options_of_ptq_reach_the_rows(place):
    texts = {}
    for name, options in {
        "plain": (),
        "range": ("--thesis-range",),
        "channel": ("--per", "channel"),
        "encoder": ("--layers", "encoder"),
    }.items():
        arguments = ("linvit", "--data", "faces/manifest.csv", "--bits", "3", "--methods", "absmax", "--limit", "8")
        done = edgefake("table", "ptq", *arguments, *options, folder=place)
        assert done.exit_code == 0, done.stderr
        assert "8 crops" in done.stdout
        texts[name] = done.stdout
    sizes = {name: int(cells(text)[-1][-1].replace(",", "")) for name, text in texts.items()}
    assert sizes["plain"] == sizes["range"] < sizes["channel"] < sizes["encoder"]
    assert "2^b + 1 levels" in texts["range"]
    assert "2^b + 1 levels" not in texts["plain"]
    assert "one scale a channel" in texts["channel"]
    assert "weights of the encoder" in texts["encoder"]


def test_ptq_of_imagenet_classifiers_has_top_1_without_auc(place):
    """Thesis table 4.2: LinViT, BitViT and a CNN on the validation pictures alone."""
    arguments = ("linvit-imagenet", "bitvit-imagenet", "cnn-imagenet", "--data", "imagenet", "--bits", "8,2")
    done = edgefake("table", "ptq", *arguments, "--out", "top1", folder=place)
    assert done.exit_code == 0, done.stderr
    header, *rows = cells(done.stdout)
    assert header == ["model", "method", "weight bits", "activation bits", "accuracy", "auc", "bytes"]
    assert [row[0] for row in rows] == [
        "linvit-nano",
        "bitvit-nano",
        "cnn-nano",
        *4 * ["linvit-nano"],
        *4 * ["cnn-nano"],
    ]
    assert {row[5] for row in rows} == {"-"}
    assert all(round(9 * float(row[4])) == pytest.approx(9 * float(row[4]), abs=1e-3) for row in rows)
    assert "9 pictures of 3 classes (imagenet, split val). Accuracy is top-1" in done.stdout
    with (place / "top1" / "table.csv").open(newline="") as file:
        assert {row["auc"] for row in csv.DictReader(file)} == {""}
    assert (place / "top1" / "table.png").read_bytes().startswith(b"\x89PNG")


def test_ptq_takes_a_manifest_of_the_same_classes(place):
    done = edgefake("table", "ptq", "bitvit-imagenet", "--data", "imagenet.csv", folder=place)
    assert done.exit_code == 0, done.stderr
    assert "1 pictures of 1 of the 3 classes" in done.stdout
    assert cells(done.stdout)[1][4] in ("0.0000", "1.0000")


def test_finetune_prints_a_row_for_every_model_and_data_set(place):
    arguments = ("linvit", "bitvit", "--data", "faces/manifest.csv", "--data", "again=faces/manifest.csv")
    done = edgefake("table", "finetune", *arguments, "--out", "fine", folder=place)
    assert done.exit_code == 0, done.stderr
    header, *rows = cells(done.stdout)
    assert header == ["model", "dataset", "n", "accuracy", "auc", "auc low", "auc high"]
    expected = [[m, d, "10"] for m in ("linvit-nano", "bitvit-nano") for d in ("faces", "again")]
    assert [row[:3] for row in rows] == expected
    assert all(float(row[5]) <= float(row[4]) <= float(row[6]) for row in rows)
    assert "faces: 10 crops, 5 real and 5 fake of 4 groups" in done.stdout
    assert sorted(p.name for p in (place / "fine").iterdir()) == ["table.csv", "table.md", "table.png"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("ptq", "faces"), 3, "expected a checkpoint folder"),
        (("ptq", "missing"), 3, "expected a checkpoint folder"),
        (("ptq", "linvit", "--methods", "gptq"), 2, "expected absmax or zeropoint, got gptq"),
        (("ptq", "linvit", "--bits", "9"), 2, "2 to 8 bits, got 9"),
        (("ptq", "linvit", "--bits", "four"), 2, "--bits"),
        (("ptq", "linvit", "--per", "row"), 2, "tensor or channel"),
        (("ptq", "linvit", "--layers", "head"), 2, "all or encoder"),
        (("ptq", "linvit", "--split", "test"), 3, "expected rows of the split 'test'"),
        (("finetune", "linvit", "--data", "faces/manifest.csv"), 2, "faces twice; write NAME="),
        (("finetune", "linvit", "--data", "x=none.csv"), 3, "none.csv: expected a CSV file"),
        (("finetune", "linvit-imagenet"), 3, "expected a detector of real and fake"),
        (("ptq", "linvit", "linvit-imagenet"), 2, "expected checkpoints of the same classes"),
        (("ptq", "linvit-imagenet", "animals"), 2, "expected checkpoints of the same classes"),
        (("ptq", "linvit-imagenet"), 3, "got 2 others such as fake"),
    ],
)
def test_errors_are_a_line_and_an_exit_code(arguments, code, message, place):
    """What a command inside `table` raises is handled as that of any other command."""
    done = edgefake("table", *arguments, "--data", "faces/manifest.csv", folder=place)
    assert done.exit_code == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("edgefake: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_crop_that_cannot_be_read_is_named(place, tmp_path):
    (tmp_path / "m.csv").write_text("file,label,split\nno.png,real,val\n")
    done = edgefake("table", "ptq", "linvit", "--data", tmp_path / "m.csv", folder=place)
    assert done.exit_code == 3
    assert "no.png (manifest line 2)" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_subcommand_shows_the_help(place):
    done = edgefake("table", folder=place)
    assert done.exit_code == 2
    assert "finetune" in done.stdout + done.stderr
    probe = "import sys; sys.argv = ['edgefake', 'table', 'ptq', '-h']\nfrom edgefake.__main__ import main\n"
    probe += "try:\n    main()\nfinally:\n    assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, timeout=60).returncode == 0
