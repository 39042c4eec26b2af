"""`edgefake prepare` from end to end, ended in the middle and refused."""

import csv
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgefake.cli.app import app
from edgefake.data.crop_rule import read_crop_rule
from edgefake.data.manifest import read_manifest

from .trees import REAL, clips, short, swapped, touch, youtube

COMMAND = [sys.executable, "-m", "edgefake", "prepare"]
PAIRS = [(f"{n:03d}", f"{n + 1:03d}") for n in range(0, 6, 2)]


def start(*arguments):
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def prepare(*arguments):
    """Exit code, lines of standard output, lines of standard error, of a run in this process."""
    result = CliRunner().invoke(app, ["prepare", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout.splitlines(), result.stderr.splitlines()


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(file):
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Three mutual pairs of FaceForensics++, one clip damaged, one without a face, one of no known name."""
    root = tmp_path_factory.mktemp("FaceForensics")
    for one, other in PAIRS:
        clips(root, youtube(one), youtube(other), swapped(f"{one}_{other}"), swapped(f"{other}_{one}"))
    (root / youtube("005")).write_bytes(short(REAL)[:2000])
    noise = cv2.VideoWriter(str(root / youtube("004")), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (96, 96))
    for value in range(8):
        noise.write(np.full((96, 96, 3), 20 * value, np.uint8))
    noise.release()
    return touch(root, "original_sequences/youtube/c23/videos/notes.mp4")


OPTIONS = ("--every", 2, "--workers", 2, "--split", "50/25/25")


@pytest.fixture(scope="module")
def unbroken(source, tmp_path_factory):
    """The result of a run that nobody interrupted."""
    out = tmp_path_factory.mktemp("unbroken") / "out"
    return out, prepare(source, out, *OPTIONS)


def test_crops_and_manifest(source, unbroken):
    out, (code, _, _) = unbroken
    assert code == 0
    found = rows(out / "manifest.csv")
    assert list(found[0]) == ["file", "label", "split", "group", "source", "frame", "box"]
    assert {row["frame"] for row in found} == {"0", "2", "4", "6", "8", "10"}
    for row in found:
        assert row["file"].startswith(f"crops/{row['split']}/{row['label']}/")
        assert cv2.imread(str(out / row["file"])).shape == (256, 256, 3)
        x0, y0, x1, y1 = map(float, row["box"].split(" "))
        assert 0 < x0 < x1 < 320
        assert 0 < y0 < y1 < 320
        assert (source / row["source"]).is_file()
        assert ("manipulated" in row["source"]) == (row["label"] == "fake")
    written = {str(path.relative_to(out)) for path in (out / "crops").rglob("*.jpg")}
    assert written == {row["file"] for row in found}
    splits = {row["split"] for row in found}
    for split in splits:
        counts = Counter(row["label"] for row in found if row["split"] == split)
        assert counts["real"] == counts["fake"] > 0
    assert len({(row["group"], row["split"]) for row in found}) == len({row["group"] for row in found})


def test_what_reads_the_result_understands_it(unbroken):
    out, _ = unbroken
    samples = read_manifest(out / "manifest.csv", split="train")
    assert samples
    assert all(sample.path.is_file() and sample.group.startswith("youtube:") for sample in samples)
    rule = read_crop_rule(out / "manifest.csv")
    assert rule is not None
    assert (rule.margin, rule.shift, rule.square) == (20 / 216, 0.0, False)
    points = rows(out / "landmarks5.csv")
    assert list(points[0]) == ["file", *(f"{axis}{n}" for n in range(5) for axis in "xy")]
    assert [row["file"] for row in points] == [row["file"] for row in rows(out / "manifest.csv")]
    assert all(0 < float(row["x0"]) < float(row["x1"]) < 256 for row in points)


def test_the_report_says_what_was_dropped(unbroken):
    out, (_, lines, err) = unbroken
    report = json.loads((out / "report.json").read_text())
    dropped = {(entry["unit"], entry["reason"]): entry for entry in report["dropped"]}
    assert report["layout"] == "ffpp"
    assert dropped["files", "name does not fit the layout"]["names"] == [
        "original_sequences/youtube/c23/videos/notes.mp4"
    ]
    (bad,) = dropped["videos", "cannot be read"]["names"]
    assert bad.startswith(f"{youtube('005')}: expected")
    assert dropped["videos", "no face in any frame"]["names"] == [youtube("004")]
    assert sum(bad in line for line in err) == 1
    assert any(line.startswith("dropped") and "cannot be read" in line for line in lines)
    found = Counter((row["split"], row["label"]) for row in rows(out / "manifest.csv"))
    for split, counts in report["splits"].items():
        assert counts["crops"] == {label: found[split, label] for label in ("real", "fake")}


def test_a_finished_run_is_only_reported_again(source, unbroken):
    out, (_, lines, _) = unbroken
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    code, again, _ = prepare(source, out, *OPTIONS[:2], "--workers", 1, *OPTIONS[4:])
    assert (code, again) == (0, lines)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_kill_9_costs_nothing_but_time(source, unbroken, tmp_path):
    out = tmp_path / "out"
    progress = out / ".progress.jsonl"
    for done in (1, 5):
        process = start(source, out, *OPTIONS, "--workers", 1)
        limit = time.monotonic() + 120
        while not (progress.is_file() and progress.read_bytes().count(b"\n") >= done):
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.01)
        process.kill()
        process.communicate()
        assert not (out / "manifest.csv").exists()
    with progress.open("ab") as file:  # the last line cut off, as when the machine stops
        file.write(b'{"source": "orig')
    next((out / "crops").rglob("*.jpg")).unlink()
    assert prepare(source, out, *OPTIONS)[0] == 0
    assert contents(out) == contents(unbroken[0])


def test_ctrl_c_is_one_line_and_the_run_goes_on(source, unbroken, tmp_path):
    out = tmp_path / "out"
    process = start(source, out, *OPTIONS)
    while not (out / ".progress.jsonl").is_file() or not (out / ".progress.jsonl").stat().st_size:
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.decode().splitlines()) == (130, ["interrupted"])
    assert prepare(source, out, *OPTIONS)[0] == 0
    assert contents(out) == contents(unbroken[0])


def test_two_runs_do_not_write_one_folder(source, unbroken):
    out, _ = unbroken
    with (out / ".progress.jsonl").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # what a running one holds
        code, _, err = prepare(source, out, *OPTIONS)
        assert (code, len(err)) == (3, 1)
        assert "another run is writing" in err[0]
    assert prepare(source, out, *OPTIONS)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--seed", 1), "got seed 1 (was 0); give the same options"),
        (("--size", 224), "got size 224 (was 256)"),
        (("--split", "100/0/0"), "got split 100/0/0 (was 50/25/25)"),
    ],
)
def test_other_settings_are_refused(source, unbroken, arguments, message):
    code, _, err = prepare(source, unbroken[0], *OPTIONS, *arguments)
    assert (code, len(err)) == (2, 1)
    assert message in err[0]


@pytest.fixture
def pair(tmp_path):
    return clips(tmp_path / "set", "real/1.mp4", "fake/1.mp4")


@pytest.mark.parametrize(
    ("place", "out", "arguments", "code", "message"),
    [
        ("missing", "out", (), 3, "expected a folder of videos, got no such folder"),
        ("set/real/1.mp4", "out", (), 3, "expected a folder of videos, got a file"),
        ("empty", "out", (), 3, "got an empty one"),
        ("other", "out", (), 3, "expected a known layout (ffpp: original_sequences"),
        ("set", "set/out", (), 2, "expected a folder outside of SOURCE"),
        ("set", "set", (), 2, "expected a folder outside of SOURCE"),
        ("set", "other", (), 2, "expected an empty folder or an earlier run's, got 'clip.mp4'"),
        ("set", "other/clip.mp4", (), 2, "expected a folder, got a file"),
        ("set", "other/clip.mp4/out", (), 3, "expected a folder that can be written, got: not a directory"),
        ("set", "out", ("--layout", "ff"), 2, "layout: expected auto, ffpp"),
        ("set", "out", ("--split", "80/20"), 2, "split: expected percentages as in 80/10/10"),
        ("set", "out", ("--split", "80/10/20"), 2, "add up to 100"),
        ("set", "out", ("--split", "nan/10/90"), 2, "add up to 100"),
        ("set", "out", ("--margin", 256), 2, "margin: expected 0 to below 256 pixels"),
        ("set", "out", ("--margin", 240), 2, "margin: expected less of a crop of 256 pixels"),
        ("set", "out", ("--size", 4), 2, "size: expected 16 to 4096"),
        ("set", "out", ("--format", "gif"), 2, "format: expected jpg or png"),
        ("set", "out", ("--split-by", "file"), 2, "split by: expected auto, component, identity"),
        ("set", "out", ("--compression", "c23"), 2, "compression: expected none here; got c23"),
        ("set", "out", ("--method", "Deepfakes"), 2, "method: expected none here; got Deepfakes"),
        ("set", "out", ("--group-regex", "("), 2, "group regex: expected a regular expression"),
        ("set", "out", ("--official-test",), 2, "expected official test videos of folders, got none"),
        ("set", "out", ("--split-by", "component"), 3, "--split-by identity drops those that cross"),
        ("set/real", "out", (), 3, "expected a known layout"),
    ],
)
def test_wrong_arguments_are_one_line(pair, tmp_path, place, out, arguments, code, message):
    (tmp_path / "empty").mkdir()
    touch(tmp_path / "other", "clip.mp4")
    found, _, lines = prepare(tmp_path / place, tmp_path / out, *arguments)
    assert (found, len(lines)) == (code, 1)
    assert message in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_any_more_is_one_line(pair, tmp_path):
    out, arguments = tmp_path / "out", ("--every", 100, "--split", "100/0/0", "--workers", 1)
    assert prepare(pair, out, *arguments)[0] == 0
    good = contents(out)
    shutil.rmtree(out / "crops")
    (out / "manifest.csv").unlink()
    (out / "crops").touch()  # in place of a full disk
    code, _, err = prepare(pair, out, *arguments)
    assert (code, len(err)) == (3, 1)
    assert "expected a folder that can be written, got: not a directory" in err[0]
    (out / "crops").unlink()
    assert prepare(pair, out, *arguments)[0] == 0
    assert contents(out) == good


def test_videos_that_came_later_are_refused(pair, tmp_path):
    arguments = ("--every", 100, "--split", "100/0/0", "--workers", 1)
    assert prepare(pair, tmp_path / "out", *arguments)[0] == 0
    clips(pair, "real/2.mp4", "fake/2.mp4")
    code, _, err = prepare(pair, tmp_path / "out", *arguments)
    assert (code, len(err)) == (2, 1)
    assert "got other videos in SOURCE" in err[0]


def test_one_label_alone_is_refused_unless_unbalanced(pair, tmp_path):
    shutil.rmtree(pair / "real")
    code, _, err = prepare(pair, tmp_path / "out")
    assert (code, len(err)) == (3, 1)
    assert "expected real and fake videos, got 1 fake ones alone" in err[0]
    arguments = ("--no-balance", "--every", 100, "--split", "100/0/0", "--format", "png", "--workers", 1)
    code, _, _ = prepare(pair, tmp_path / "out", *arguments)
    assert code == 0
    (row,) = rows(tmp_path / "out" / "manifest.csv")
    assert (row["file"], row["label"]) == ("crops/train/fake/fake/1/000000.png", "fake")


def test_several_compressions_want_a_choice(source, tmp_path):
    root = clips(tmp_path / "set", youtube("000"), swapped("000_001"), youtube("000", "c40"))
    code, _, err = prepare(root, tmp_path / "out")
    assert (code, len(err)) == (2, 1)
    assert "compression: expected one of those that are there, got c23, c40 and no choice" in err[0]
    arguments = ("--compression", "c23", "--every", 100, "--split", "100/0/0", "--workers", 1)
    assert prepare(root, tmp_path / "out", *arguments)[0] == 0
    found = {row["source"] for row in rows(tmp_path / "out" / "manifest.csv")}
    assert found == {youtube("000"), swapped("000_001")}


def test_no_face_anywhere_is_an_error_and_the_damaged_are_named(tmp_path):
    root = touch(tmp_path / "set", "real/1.mp4", "fake/1.mp4")
    code, _, err = prepare(root, tmp_path / "out", "--split", "100/0/0", "--workers", 1)
    assert (code, len(err)) == (3, 1)
    assert "got 0 faces in 0 frames of 2 videos, 2 of them unreadable (the first: fake/1.mp4: expected" in err[0]
    assert not (tmp_path / "out" / "manifest.csv").exists()


def test_videos_are_sampled_before_they_are_cut(tmp_path):
    names = [f"real/{n}.mp4" for n in range(3)] + [f"fake/{n}.mp4" for n in range(3, 8)]
    root = clips(tmp_path / "set", *names)
    arguments = ("--max-videos", 2, "--every", 100, "--split", "100/0/0", "--workers", 1)
    code, _, _ = prepare(root, tmp_path / "out", *arguments)
    assert code == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["splits"]["train"]["videos"] == {"real": 2, "fake": 2}
    assert [(entry["reason"], entry["count"]) for entry in report["dropped"]] == [("over --max-videos", 4)]


def test_the_official_test_split_stays_whole(tmp_path):
    fakes = [f"Celeb-synthesis/id0_id1_000{n}.mp4" for n in range(2)]
    rest = ["Celeb-real/id2_0000.mp4", "Celeb-synthesis/id2_id3_0000.mp4", "Celeb-real/id1_0000.mp4"]
    root = clips(tmp_path / "set", "Celeb-real/id0_0000.mp4", *fakes, *rest)
    listed = ["1 Celeb-real/id0_0000.mp4", *(f"0 {fake}" for fake in fakes)]
    (root / "List_of_testing_videos.txt").write_text("\n".join(listed))
    arguments = ("--official-test", "--every", 100, "--split", "90/0/10", "--workers", 1)
    code, _, _ = prepare(root, tmp_path / "out", *arguments)
    assert code == 0
    found = {row["source"]: row["split"] for row in rows(tmp_path / "out" / "manifest.csv")}
    assert found == {
        "Celeb-real/id0_0000.mp4": "test",
        **dict.fromkeys(fakes, "test"),
        "Celeb-real/id2_0000.mp4": "train",
        "Celeb-synthesis/id2_id3_0000.mp4": "train",
    }
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [entry["names"] for entry in report["dropped"]] == [["Celeb-real/id1_0000.mp4"]]


def test_prepare_loads_no_torch(pair, tmp_path):
    out, arguments = tmp_path / "out", ["--every", "100", "--split", "100/0/0", "--workers", "1"]
    code = f"""
import sys
sys.argv = {["edgefake", "prepare", str(pair), str(out), *arguments]!r}
from edgefake.__main__ import main
if __name__ == "__main__":
    try:
        main()
    except SystemExit as stop:
        assert stop.code in (0, None), stop.code
    print("LOADED", *(name for name in ("torch", "onnx", "edgefake.train.run") if name in sys.modules))
"""
    (tmp_path / "probe.py").write_text(code)
    done = subprocess.run(
        [sys.executable, tmp_path / "probe.py"], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "LOADED"
    assert (out / "manifest.csv").is_file()


@pytest.mark.data
def test_real_clips_as_faceforensics(data_folder, tmp_path):
    clip = data_folder / "tests" / "videos"
    root = touch(tmp_path / "set", youtube("000"), youtube("001"), swapped("000_001"))
    for name, sample in ((youtube("000"), "demo"), (youtube("001"), "d18"), (swapped("000_001"), "demo_fake")):
        shutil.copyfile(clip / f"{sample}.mp4", root / name)
    assert prepare(root, tmp_path / "out", "--split", "100/0/0", "--max-frames", 3)[0] == 0
    found = Counter((row["source"], row["label"]) for row in rows(tmp_path / "out" / "manifest.csv"))
    assert (
        sum(count for (_, label), count in found.items() if label == "real") == found[swapped("000_001"), "fake"] == 3
    )
