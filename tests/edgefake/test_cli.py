"""The command line as a user meets it: output, exit codes, one line per error."""

import contextlib
import json
import os
import pty
import shutil
import signal
import stat
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from edgefake.cli.output import write_text
from edgefake_runtime import Classifier
from edgefake_runtime.shipped import DEFAULT_MODEL, default_model, models_folder

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "docs" / "samples"
COMMAND = [sys.executable, "-m", "edgefake"]

RESULT_KEYS = [
    "path",
    "kind",
    "verdict",
    "score",
    "error",
    "duration_s",
    "width",
    "height",
    "frames_total",
    "frames_scored",
    "faces",
    "timing_s",
]


def edgefake(*arguments, folder=None, **options):
    return subprocess.run(
        [*COMMAND, *map(os.fspath, arguments)], capture_output=True, cwd=folder, timeout=300, **options
    )


def lines(done):
    """Standard error, line by line; a traceback fails the test."""
    text = done.stderr.decode()
    assert "Traceback" not in text, text
    return text.strip().splitlines()


@pytest.fixture
def landscape(tmp_path):
    """A picture without a face."""
    y, x = np.mgrid[0:240, 0:320]
    image = np.stack([200 - y // 2, 120 + x // 8, 90 + y // 4], axis=-1)
    cv2.imwrite(str(tmp_path / "landscape.png"), image.astype(np.uint8))
    return tmp_path / "landscape.png"


def test_json_on_stdout_is_alone_and_has_the_documented_fields(landscape):
    done = edgefake("detect", SAMPLES / "real.mp4", landscape, "--json", "-")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert list(report) == ["edgefake", "model", "inputs"]
    assert list(report["model"]) == ["name", "file", "sha256", "bits", "threshold"]
    assert report["model"]["bits"] == 2
    video, picture = report["inputs"]
    assert list(video) == list(picture) == RESULT_KEYS
    assert (video["kind"], video["width"], video["height"], video["frames_total"]) == ("video", 480, 480, 100)
    assert video["frames_scored"] == 4
    assert video["duration_s"] == pytest.approx(4.0, abs=0.1)
    (track,) = video["faces"]
    assert list(track) == ["track", "score", "thin", "start_s", "end_s", "frames"]
    assert len(track["frames"]) == 4
    frame = ["time_s", "box", "detection", "score", "sharpness", "turn", "judged"]
    assert list(track["frames"][0]) == frame
    assert video["score"] == track["score"]
    assert list(video["timing_s"]) == ["decode", "faces", "classify", "total"]
    assert (picture["kind"], picture["verdict"], picture["score"]) == ("image", "no-face", None)
    assert (picture["faces"], picture["duration_s"], picture["frames_total"]) == ([], None, 1)


def test_the_same_from_python():
    from edgefake_runtime import Detector

    done = edgefake("detect", SAMPLES / "fake.mp4", "--json", "-")
    expected = json.loads(done.stdout)["inputs"][0]
    result = Detector().detect(SAMPLES / "fake.mp4")
    assert result.verdict == expected["verdict"]
    assert result.score == pytest.approx(expected["score"], abs=1e-6)
    assert [list(f.box) for f in result.faces[0].frames] == [
        pytest.approx(f["box"], abs=1e-3) for f in expected["faces"][0]["frames"]
    ]


def test_a_pipe_gets_one_line_per_input_and_a_file_gets_the_json(landscape, tmp_path):
    done = edgefake("detect", landscape, "--json", tmp_path / "report.json")
    assert done.stdout.decode() == f"no-face\t-\t{landscape}\n"
    assert json.loads((tmp_path / "report.json").read_text())["inputs"][0]["verdict"] == "no-face"
    assert edgefake("detect", landscape, "--quiet").stdout == b""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["landscape.png", "report.json"]


def test_threshold_moves_the_verdict():
    for threshold, verdict in (("0", "fake"), ("1", "real")):
        done = edgefake("detect", SAMPLES / "real.mp4", "--threshold", threshold, "--max-frames", "1", "--json", "-")
        report = json.loads(done.stdout)
        assert report["inputs"][0]["verdict"] == verdict
        assert report["model"]["threshold"] == float(threshold)


def test_a_share_of_false_positives_takes_the_threshold_of_the_models_curve():
    curve = Classifier().metadata.roc
    done = edgefake("detect", SAMPLES / "real.mp4", "--max-false-positives", "0.05", "--json", "-")
    assert json.loads(done.stdout)["model"]["threshold"] == curve.threshold(0.05)
    assert curve.threshold(0.05) > Classifier().metadata.threshold
    both = edgefake("detect", SAMPLES / "real.mp4", "--max-false-positives", "0.05", "--threshold", "0.5")
    assert (both.returncode, "got both" in both.stderr.decode()) == (2, True)


def test_a_folder_is_searched_and_bad_inputs_do_not_stop_the_good(landscape, tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    (tmp_path / "cut.mp4").write_bytes((SAMPLES / "real.mp4").read_bytes()[:3000])
    (tmp_path / "notes.txt").write_text("ignored")
    done = edgefake("detect", tmp_path, tmp_path / "missing.mp4", "--json", "-")
    assert done.returncode == 3
    verdicts = {Path(r["path"]).name: r["verdict"] for r in json.loads(done.stdout)["inputs"]}
    bad = ("cut.mp4", "empty.mp4", "missing.mp4", "text.mp4")
    assert verdicts == dict.fromkeys(bad, "error") | {"landscape.png": "no-face"}
    assert len(lines(done)) == 4
    assert all(line.startswith("edgefake: ") and ": expected " in line for line in lines(done))


def test_huge_tiny_and_absent_media_are_refused_in_a_line(landscape, tmp_path):
    cv2.imwrite(str(tmp_path / "tiny.png"), np.zeros((9, 40, 3), np.uint8))
    (tmp_path / "none").mkdir()
    cases = [
        ((landscape, "--max-megapixels", "0.05"), "megapixels"),
        ((tmp_path / "tiny.png",), "16 pixels"),
        ((tmp_path / "none",), "folder without any"),
    ]
    for arguments, message in cases:
        done = edgefake("detect", *arguments)
        assert done.returncode == 3
        assert message in lines(done)[0]
        assert len(lines(done)) == 1


def test_names_that_are_not_utf8_keep_their_bytes(landscape, tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    try:
        shutil.copy(os.fsencode(landscape), name)
    except OSError:
        pytest.skip("this file system wants UTF-8")
    done = edgefake("detect", name.decode("utf-8", "surrogateescape"), "--json", "-")
    assert done.returncode == 0, done.stderr
    assert b"\\udce9" in done.stdout
    assert os.fsencode(json.loads(done.stdout)["inputs"][0]["path"]) == name
    assert b"caf\\xe9.png" in edgefake("detect", name.decode("utf-8", "surrogateescape")).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("detect",),
        ("detect", "x.mp4", "--every", "0"),
        ("detect", "x.mp4", "--threshold", "2"),
        ("detect", "x.mp4", "--min-face", "5"),
        ("detect", "x.mp4", "--threads", "0"),
        ("detect", "x.mp4", "--threads", "99999999999"),
        ("detect", "x.mp4", "--frobnicate"),
        ("detect", ""),
        ("export", "--bits", "7"),
        ("export", "--format", "coreml"),
        ("train", "--data", "m.csv"),
        ("frobnicate",),
    ],
)
def test_wrong_usage_exits_with_2(arguments, tmp_path):
    done = edgefake(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert lines(done)


def edited(source, target, **changes):
    """A copy of a model file with other metadata."""
    model = onnx.load(source)
    (entry,) = model.metadata_props
    entry.value = json.dumps(json.loads(entry.value) | changes)
    onnx.save(model, target)


def broken(source, target):
    """A copy of a model file whose last bias is NaN."""
    model = onnx.load(source)
    bias = next(w for w in model.graph.initializer if list(w.dims) == [2])
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(2, np.nan, np.float32), bias.name))
    onnx.save(model, target)


def bad_models(folder):
    whole = default_model().read_bytes()
    edited(default_model(), folder / "mean.onnx", mean=[float("nan")] * 3)
    edited(default_model(), folder / "name.onnx", bits="two")
    edited(default_model(), folder / "size.onnx", input_size=64)
    (folder / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (folder / "text.onnx").write_text("not a model")
    (folder / "empty.onnx").touch()
    shutil.copy(models_folder() / "mtcnn" / "pnet.onnx", folder / "foreign.onnx")
    (folder / "damaged.onnx").write_bytes(whole.replace(b'"threshold": ', b'"thershold": '))
    return {
        "cut.onnx": "got neither, or a damaged one",
        "text.onnx": "got neither, or a damaged one",
        "empty.onnx": "an empty one",
        "foreign.onnx": "without its metadata",
        "damaged.onnx": "metadata are damaged",
        "missing.onnx": "no such file",
        "mean.onnx": "mean",
        "name.onnx": "bits: expected int",
        "size.onnx": "expected the input image",
        "x" * 5000: "too long",
        ".": "a folder",
    }


def test_models_that_cannot_be_used_are_refused_in_a_line(landscape, tmp_path):
    for name, message in bad_models(tmp_path).items():
        done = edgefake("detect", landscape, "--model", tmp_path / name)
        assert done.returncode == 3, name
        assert len(lines(done)) == 1, lines(done)
        assert message in lines(done)[0], name


def test_a_model_that_gives_nan_gives_no_verdict(tmp_path):
    broken(default_model(), tmp_path / "nan.onnx")
    done = edgefake("detect", SAMPLES / "real.mp4", "--model", tmp_path / "nan.onnx", "--json", "-")
    assert done.returncode == 3
    (result,) = json.loads(done.stdout)["inputs"]
    assert (result["verdict"], result["score"]) == ("error", None)
    assert "expected finite logits" in lines(done)[0]


def test_a_report_never_replaces_an_input(landscape, tmp_path):
    before = landscape.read_bytes()
    done = edgefake("detect", "--json", landscape, SAMPLES / "real.mp4")
    assert done.returncode == 2
    assert "another file" in lines(done)[0]
    assert landscape.read_bytes() == before
    (tmp_path / "m.csv").write_text("file,label\nlandscape.png,real\n")
    assert edgefake("evaluate", tmp_path / "m.csv", "--json", tmp_path / "m.csv").returncode == 2
    assert (tmp_path / "m.csv").read_text().startswith("file,label")


def test_a_report_follows_links_and_fills_pipes(landscape, tmp_path):
    (tmp_path / "old.json").write_text("{}")
    (tmp_path / "link.json").symlink_to("old.json")
    assert edgefake("detect", landscape, "--json", tmp_path / "link.json").returncode == 0
    assert (tmp_path / "link.json").is_symlink()
    assert "inputs" in json.loads((tmp_path / "old.json").read_text())
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE)
    assert edgefake("detect", landscape, "--json", tmp_path / "pipe").returncode == 0
    assert "inputs" in json.loads(reader.communicate(timeout=30)[0])
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_an_interrupt_while_writing_keeps_the_old_report(tmp_path, monkeypatch):
    target = tmp_path / "report.json"
    target.write_text("{}")

    def interrupted(self, other):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text('{"new": 1}', target)
    assert target.read_text() == "{}"
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_or_closed_standard_output_is_a_line(landscape):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*COMMAND, "detect", landscape, "--json", "-"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 3
    assert "No space left" in lines(done)[0]
    closed = subprocess.run(
        f'"{sys.executable}" -m edgefake detect "{landscape}" >&-', shell=True, stderr=subprocess.PIPE
    )
    assert lines(closed) == []


def test_unwritable_json_is_refused_before_the_work(landscape, tmp_path):
    done = edgefake("detect", landscape, "--json", tmp_path / "no" / "report.json")
    assert done.returncode == 3
    assert "report.json" in lines(done)[0]
    assert done.stdout == b""


def test_ctrl_c_leaves_nothing_half_written(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "long.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (640, 480))
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    for _ in range(200):
        writer.write(frame)
    writer.release()
    target = tmp_path / "report.json"
    command = [*COMMAND, "detect", tmp_path / "long.mp4", "--every", "1", "--min-face", "12", "--json", target]
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # jobs of a background shell ignore it
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=listening)
    time.sleep(5)
    assert running.poll() is None, running.stderr.read()
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert out == b""
    assert err.decode().strip() == "interrupted"
    assert [p.name for p in tmp_path.iterdir()] == ["long.mp4"]


def test_evaluate_counts_and_measures(landscape, tmp_path):
    (tmp_path / "empty.mp4").touch()
    manifest = tmp_path / "m.csv"
    real, fake = SAMPLES / "real.mp4", SAMPLES / "fake.mp4"
    manifest.write_text(f"file,label\n{real},real\n{fake},fake\nlandscape.png,real\nempty.mp4,fake\n")
    done = edgefake("evaluate", manifest, "--json", "-")
    assert done.returncode == 3
    figures = json.loads(done.stdout)
    counts, scores = ["n", "n_real", "n_fake", "no_face", "errors"], ["auc", "accuracy", "eer", "log_loss", "ece"]
    scores += ["false_positive_rate", "true_positive_rate"]
    more = ["half", "groups", "intervals", "corruptions", "breakdown"]
    assert list(figures) == ["model", "split", "threshold", *counts, *scores, *more]
    assert [figures[key] for key in more] == [None] * 5
    assert (figures["model"], figures["split"]) == (DEFAULT_MODEL, None)
    assert [figures[key] for key in counts] == [2, 1, 1, 1, 1]
    assert figures["auc"] in (0.0, 0.5, 1.0)
    assert len(lines(done)) == 1


def test_evaluate_crops_scores_pictures_as_they_are(tmp_path):
    crops = cv2.imread(str(ROOT / "export" / "edgefake_export" / "faces.png"))
    rows = ["file,label,split"]
    for index in range(8):
        cv2.imwrite(str(tmp_path / f"{index}.png"), crops[:, index * 224 : (index + 1) * 224])
        rows.append(f"{index}.png,{'fake' if index == 5 else 'real'},{'val' if index > 1 else 'train'}")
    (tmp_path / "m.csv").write_text("\n".join(rows))
    done = edgefake("evaluate", tmp_path / "m.csv", "--crops", "--split", "val")
    assert done.returncode == 0, done.stderr
    figures = dict(line.split() for line in done.stdout.decode().splitlines() if ":" not in line)
    assert (figures["n"], figures["n_fake"], figures["errors"]) == ("6", "1", "0")
    report = tmp_path / "report.json"
    assert edgefake("evaluate", tmp_path / "m.csv", "--crops", "--split", "val", "--json", report).returncode == 0
    written = json.loads(report.read_text())
    assert (written["model"], written["split"], written["n"]) == (DEFAULT_MODEL, "val", 6)


def test_evaluate_refuses_a_bad_manifest(tmp_path):
    (tmp_path / "m.csv").write_text("name,truth\n")
    done = edgefake("evaluate", tmp_path / "m.csv")
    assert done.returncode == 3
    assert "expected the columns file, label" in lines(done)[0]


def test_a_terminal_gets_a_table(landscape):
    ours, theirs = pty.openpty()
    wide = os.environ | {"COLUMNS": "160", "NO_COLOR": "1"}
    running = subprocess.Popen([*COMMAND, "detect", landscape], stdout=theirs, stderr=theirs, env=wide)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while chunk := os.read(ours, 4096):
            shown += chunk
    os.close(ours)
    assert running.wait(timeout=60) == 0
    text = shown.decode()
    assert "P(fake)" in text
    assert "no-face" in text
    assert "A score is no proof" in text


def test_force_replaces_what_is_there_and_nothing_else_does(tmp_path):
    target = tmp_path / "m.onnx"
    target.write_text("mine")
    refused = edgefake("export", "-o", target)
    assert (refused.returncode, target.read_text()) == (2, "mine")
    assert "--force" in lines(refused)[0]
    assert edgefake("export", "-o", target, "--force").returncode == 0
    assert target.stat().st_size > 1_000_000
    (tmp_path / "run" / "best").mkdir(parents=True)
    (tmp_path / "run" / "best" / "config.json").write_text("{}")
    training = ("train", "--data", tmp_path / "none.csv", "--model", "bitvit-nano", "--out", tmp_path / "run")
    refused = edgefake(*training)
    assert refused.returncode == 2
    assert "--force" in lines(refused)[0]
    assert edgefake(*training, "--force").returncode == 3  # past the refusal: the manifest is missing


def test_threads_and_threshold_of_evaluate(tmp_path):
    (tmp_path / "m.csv").write_text(f"file,label\n{SAMPLES / 'real.mp4'},real\n{SAMPLES / 'astronaut.png'},real\n")
    figures = {}
    for threshold in ("0", "1"):
        options = ("--threads", "1", "--threshold", threshold, "--every", "50", "--json", "-")
        figures[threshold] = json.loads(edgefake("evaluate", tmp_path / "m.csv", *options).stdout)
    assert (figures["0"]["accuracy"], figures["1"]["accuracy"]) == (0.0, 1.0)
    assert figures["0"]["auc"] is None
