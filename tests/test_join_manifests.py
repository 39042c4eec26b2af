"""scripts/join_manifests.py: whom a recipe may learn from and watch, and whom it must never meet."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from edgefake.data.manifest import check_splits, read_manifest
from edgefake.evaluate import take_half

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "join_manifests.py"

HEADER = ("file", "label", "split", "identity_group")


def write(folder, rows, header=HEADER):
    folder.mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return folder / "manifest.csv"


def join(*arguments, **options):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=60, **options
    )


@pytest.fixture
def first(tmp_path):
    """Three people in train, four in val of 4, 3, 2 and 1 rows: v0 and v3 become `fit`, v1 and v2 `held`."""
    train = [(f"train/{i}.jpg", ("real", "fake")[i % 2], "train", f"t{i // 2}") for i in range(6)]
    val = [
        (f"val/{person}-{i}.jpg", ("real", "fake")[i % 2], "val", f"v{person}")
        for person in range(4)
        for i in range(4 - person)
    ]
    return write(tmp_path / "first", [*train, *val])


def groups(samples, split):
    return {sample.group for sample in samples if sample.split == split}


def test_the_held_people_are_left_out_and_nothing_else_is(first, tmp_path):
    out = tmp_path / "half.csv"
    done = join(first, "--out", out)
    assert (done.returncode, done.stdout) == (0, f"11 rows in {out}\n"), done.stderr
    kept = read_manifest(out)
    assert groups(kept, "train") == {"t0", "t1", "t2"}
    assert groups(kept, "val") == {"v0", "v3"}
    held = {sample.path for sample in take_half(read_manifest(first, split="val"), "held", manifest=first)}
    paths = [sample.path for sample in kept]
    assert len(held) == 5
    assert set(paths) == {sample.path for sample in read_manifest(first)} - held
    assert len(set(paths)) == len(paths)
    assert [s.label for s in kept] == [s.label for s in read_manifest(first) if s.path not in held]
    check_splits(out, kept)


def test_other_sets_give_their_train_rows_alone(first, tmp_path):
    rows = [('ä, "b".jpg', "real", "train", "x0"), ("c.jpg", "real", "val", "x1"), ("d.jpg", "fake", "test", "x2")]
    other, out = write(tmp_path / "other", rows), tmp_path / "mix.csv"
    alone = join(first, "--out", tmp_path / "half.csv")
    done = join(first.relative_to(tmp_path), other.relative_to(tmp_path), "--out", out, cwd=tmp_path)
    assert (alone.returncode, done.returncode) == (0, 0), done.stderr
    *same, added = read_manifest(out)
    half = read_manifest(tmp_path / "half.csv")
    assert [(s.path, s.label, s.split, s.group) for s in same] == [(s.path, s.label, s.split, s.group) for s in half]
    assert (added.path, added.label, added.split, added.group) == (other.parent / 'ä, "b".jpg', "real", "train", "x0")


def test_rows_that_name_nobody_still_name_nobody(first, tmp_path):
    """A file's name is not a person: intervals and halves would take it for one."""
    other = write(tmp_path / "other", [("a.jpg", "real", "train"), ("b.jpg", "real", "train")], HEADER[:3])
    assert join(first, other, "--out", tmp_path / "mix.csv").returncode == 0
    assert [sample.grouped for sample in read_manifest(tmp_path / "mix.csv")] == [True] * 11 + [False] * 2


def test_what_cannot_be_halved_or_would_replace_an_input_is_refused(first, tmp_path):
    rows = [("a.jpg", "real", "train", "t"), ("b.jpg", "real", "val", ""), ("c.jpg", "fake", "val", "")]
    nameless = write(tmp_path / "nameless", rows)
    done = join(nameless, "--out", tmp_path / "out.csv")
    assert done.returncode != 0
    assert "expected two identity groups or more to halve the rows by" in done.stderr
    before = first.read_bytes()
    done = join(first, "--out", first)
    assert done.returncode != 0
    assert "expected another file than the manifests" in done.stderr
    assert first.read_bytes() == before
    assert not (tmp_path / "out.csv").exists()
