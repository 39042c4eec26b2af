"""`edgefake detect --annotate, --report, --heatmap`: what is written, what is refused, what an interruption leaves."""

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefake_runtime.media import open_media
from edgefake_runtime.report_page import HEAD

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "docs" / "samples"
COMMAND = [sys.executable, "-m", "edgefake", "detect"]


def detect(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *map(os.fspath, arguments)], capture_output=True, text=True, timeout=300, **options
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_one_run_writes_the_video_the_page_and_the_json(tmp_path):
    marked, page, report = tmp_path / "marked.mp4", tmp_path / "page.html", tmp_path / "report.json"
    files = ("--annotate", marked, "--report", page, "--json", report)
    done = detect(SAMPLES / "real.mp4", *files, "--heatmap", "--every", "50")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("real\t0.")
    assert names(tmp_path) == ["marked.mp4", "page.html", "report.json"]
    with open_media(marked) as media:
        assert (media.frames_total, media.width, media.height) == (100, 480, 480)
    html = page.read_text()
    assert html.startswith(HEAD)
    assert html.count("<img") == 4  # two frames, each with its map
    assert html.endswith("</html>\n")


def test_a_page_replaces_a_page_and_goes_to_standard_output(tmp_path):
    page = tmp_path / "page.html"
    for source in ("real.mp4", "astronaut.png"):
        assert detect(SAMPLES / source, "--report", page, "--max-frames", "1").returncode == 0
    assert "real.mp4" not in page.read_text()
    done = detect(SAMPLES / "astronaut.png", SAMPLES / "none.png", "--report", "-")
    assert done.returncode == 3
    assert done.stdout.startswith(HEAD)
    assert done.stdout.count("<section") == 4  # two inputs, the model, its limits


def test_an_input_that_cannot_be_read_leaves_no_video(tmp_path):
    (tmp_path / "cut.mp4").write_bytes((SAMPLES / "real.mp4").read_bytes()[:3000])
    done = detect(tmp_path / "cut.mp4", "--annotate", tmp_path / "out.mp4")
    assert done.returncode == 3
    assert len(done.stderr.strip().splitlines()) == 1
    assert names(tmp_path) == ["cut.mp4"]


@pytest.fixture
def folder(tmp_path):
    """A folder with a video, a picture and a model."""
    shutil.copy(SAMPLES / "real.mp4", tmp_path / "clip.mp4")
    shutil.copy(SAMPLES / "astronaut.png", tmp_path / "face.png")
    (tmp_path / "model.onnx").write_text("a model")
    (tmp_path / "notes.html").write_text("<!doctype html>\n<p>mine")
    return tmp_path


REFUSED = [
    (("clip.mp4", "--heatmap"), 2, "expected --annotate or --report"),
    (("clip.mp4", "face.png", "--annotate", "out.mp4"), 2, "got 2 inputs"),
    ((".", "--annotate", "out.mp4"), 2, "got a folder"),
    (("clip.mp4", "--annotate", "clip.mp4"), 2, "got the input"),
    (("clip.mp4", "--annotate", "model.onnx", "--model", "model.onnx"), 2, "got one that exists"),
    (("clip.mp4", "--annotate", "out.png"), 2, "ends with .mp4 or .webm"),
    (("face.png", "--annotate", "out.mp4"), 2, "ends with .png, .jpg or .jpeg"),
    (("clip.mp4", "--annotate", "-"), 2, "got -"),
    (("clip.mp4", "--annotate", "none/out.mp4"), 3, "a folder that can be written"),
    (("clip.mp4", "--report", "clip.mp4"), 2, "got another file"),
    (("clip.mp4", "--report", "notes.html"), 2, "got another file"),
    (("clip.mp4", "--report", "none/page.html"), 3, "a folder that can be written"),
    (("clip.mp4", "--report", "one", "--json", "one"), 2, "expected different files"),
    (("clip.mp4", "--report", "-", "--json", "-"), 2, "expected different files"),
]


def test_what_contradicts_itself_or_would_replace_a_file_is_refused_before_the_work(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for arguments, code, message in REFUSED:
        done = detect(*arguments, cwd=folder)
        assert (done.returncode, done.stdout) == (code, ""), arguments
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_while_annotating_leaves_nothing(tmp_path, number):
    source = tmp_path / "long.mp4"
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"mp4v"), 25, (640, 480))
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    for _ in range(300):
        writer.write(frame)
    writer.release()
    command = [*COMMAND, source, "--annotate", tmp_path / "out.webm", "--max-frames", "1"]
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # jobs of a background shell ignore it
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=listening)
    deadline = time.monotonic() + 60
    while len(names(tmp_path)) < 2 and time.monotonic() < deadline:
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.05)
    time.sleep(0.5)  # into the frames
    running.send_signal(number)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert err.decode().strip() == "interrupted"
    assert names(tmp_path) == ["long.mp4"]
