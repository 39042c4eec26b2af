"""`edgefake detect --camera`: lines of JSON, how it ends, what is refused. Files and pipes stand in for cameras."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgefake.cli import app
from edgefake.cli.camera import _show
from edgefake_runtime import Camera, Detector
from edgefake_runtime.media import open_media
from edgefake_runtime.window import why_no_window

from ..edgefake_runtime.clips import write_video
from ..edgefake_runtime.pipes import Feeder, jpeg

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "docs" / "samples"
COMMAND = [sys.executable, "-m", "edgefake", "detect"]
HEADLESS = ("--headless", "--threads", "1")

LINE = ["frame", "time_s", "dropped", "width", "height", "verdict", "score", "tracks"]
TRACK = ["track", "verdict", "score", "thin", "start_s", "end_s", "frames_scored", "face"]
FACE = ["time_s", "box", "detection", "score", "sharpness", "turn", "judged"]


def detect(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *map(os.fspath, arguments)], capture_output=True, text=True, timeout=200, **options
    )


def start(*arguments):
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # jobs of a background shell ignore it
    return subprocess.Popen(
        [*COMMAND, *map(os.fspath, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listening,
    )


@pytest.fixture(scope="module")
def portrait():
    return jpeg(cv2.imread(str(SAMPLES / "astronaut.png")))


@pytest.fixture
def pipe(tmp_path, portrait):
    """A pipe into which a portrait is written, again and again, until it is closed."""
    feeder = Feeder(tmp_path / "camera", repeat(portrait), pause_s=0.02)
    yield feeder
    if feeder._thread.is_alive():
        os.close(os.open(feeder.path, os.O_RDONLY | os.O_NONBLOCK))
        feeder.close()


def test_a_file_gives_a_line_for_each_scored_frame():
    done = detect("--camera", SAMPLES / "real.mp4", "--every", "40", *HEADLESS)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert 1 <= len(lines) <= 3
    point = Detector().operating_point
    for count, line in enumerate(lines):
        assert list(line) == LINE
        assert line["frame"] == 40 * count + line["dropped"]
        assert line["time_s"] == pytest.approx(line["frame"] / 25, abs=1e-3)
        (track,) = line["tracks"]
        assert list(track) == TRACK
        assert list(track["face"]) == FACE
        assert (track["frames_scored"], track["start_s"]) == (count + 1, lines[0]["time_s"])
        assert line["score"] == track["score"]
        assert track["thin"] is (count == 0)
        assert line["verdict"] == track["verdict"] == point.verdict(line["score"], thin=track["thin"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_lines_come_at_once_and_ctrl_c_is_the_end_of_a_camera(pipe, number):
    running = start("--camera", pipe.path, "--every", "5", *HEADLESS)
    first = json.loads(running.stdout.readline())  # while the camera goes on
    assert first["tracks"]
    running.send_signal(number)
    out, err = running.communicate(timeout=200)
    assert (running.returncode, err) == (0, "")
    for line in out.splitlines():
        assert list(json.loads(line)) == LINE


def test_a_signal_ends_it_while_the_camera_is_silent(tmp_path):
    silent = Feeder(tmp_path / "silent", [])
    running = start("--camera", silent.path, *HEADLESS)
    silent.wait()  # until the pipe has its reader, which happens after the signals are its own
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=200) == ("", "")
    assert running.returncode == 0
    silent.close()


def test_a_reader_that_has_enough_ends_it(pipe):
    shell = f'"{sys.executable}" -m edgefake detect --camera "{pipe.path}" --every 3 --headless | head -1; '
    done = subprocess.run(
        ["bash", "-c", shell + 'echo "${PIPESTATUS[0]}"'], capture_output=True, text=True, timeout=200
    )
    line, code = done.stdout.splitlines()
    assert list(json.loads(line)) == LINE
    assert (code, done.stderr) == ("0", "")


def test_max_frames_ends_it(pipe):
    done = detect("--camera", pipe.path, "--every", "2", "--max-frames", "3", *HEADLESS)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["frame"] - line["dropped"] for line in lines] == [0, 2, 4]


def test_a_camera_that_goes_is_a_line_and_code_3_after_what_was_said(tmp_path, portrait):
    feeder = Feeder(tmp_path / "camera", [portrait] * 60)
    feeder.close_when_written()
    done = detect("--camera", feeder.path, "--every", "10", *HEADLESS)
    assert done.returncode == 3
    assert json.loads(done.stdout.splitlines()[0])["tracks"]
    assert done.stderr == (
        f"edgefake: {feeder.path}: expected a camera, got no more after 60 frames; see whether it is still there\n"
    )


def test_standard_input_is_a_camera(tmp_path):
    feeder = Feeder(tmp_path / "camera", [jpeg(np.zeros((48, 64, 3), np.uint8))] * 60)
    feeder.close_when_written()
    with feeder.path.open("rb") as source:
        done = detect("--camera", "-", "--max-frames", "1", *HEADLESS, stdin=source)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["verdict"] == "no-face"


REFUSED = [
    (("clip.mp4", "--camera", "0"), 2, "expected no files beside it"),
    (("--camera", "0", "--json", "-"), 2, "expected no --json beside it"),
    (("--camera", "0", "--annotate", "a.mp4"), 2, "expected no --annotate beside it"),
    (("--camera", "0", "--report", "a.html"), 2, "expected no --report beside it"),
    (("--camera", "0", "--heatmap"), 2, "expected no --heatmap beside it"),
    (("--camera", "0", "--quiet"), 2, "expected no --quiet beside it"),
    (("clip.mp4", "--headless"), 2, "expected --camera beside it"),
    ((), 2, "or --camera, got neither"),
    (("--camera", "4711"), 3, "camera 4711: expected a camera, got no /dev/video4711"),
    (("--camera", "4711", "--headless"), 3, "camera 4711: expected a camera, got no /dev/video4711"),
    (("--camera", "none.mp4", "--headless"), 3, "no such file"),
    (("--camera", ".", "--headless"), 3, "got a folder"),
    (("--camera", "clip.txt", "--headless"), 3, "expected a picture or video"),
    (("--camera", "http://me:secret@127.0.0.1:9/", "--headless"), 3, "http://127.0.0.1:9/: expected a camera, got"),
]


def test_what_makes_no_sense_or_is_not_there_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "clip.txt").write_text("text\n" * 100)
    monkeypatch.chdir(tmp_path)
    for arguments, code, message in REFUSED:
        done = CliRunner().invoke(app, ["detect", *arguments])
        assert (done.exit_code, done.stdout) == (code, ""), arguments
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["clip.txt"]


@pytest.mark.skipif(why_no_window() is None, reason="a window can be opened here")
def test_without_windows_it_says_so_and_how_to_get_them(tmp_path):
    clip = write_video(tmp_path / "v.mp4", 3)
    done = detect("--camera", clip)
    assert done.returncode == 0
    assert json.loads(done.stdout.splitlines()[0])["verdict"] == "no-face"
    (said,) = done.stderr.splitlines()
    assert said == f"edgefake: no window, but JSON lines, as with --headless: {why_no_window()}"


def test_why_there_is_no_window(monkeypatch):
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           NONE\n")
    assert "pip install opencv-python" in why_no_window()
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           QT5\n")
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert "no display" in why_no_window()
    monkeypatch.setenv("DISPLAY", ":0")
    assert why_no_window() is None


@pytest.fixture
def patient(monkeypatch):
    """Waits for a camera's reader to end, however busy the machine is."""
    monkeypatch.setattr("edgefake_runtime.camera.CLOSING_S", 60.0)


class Wall:
    """Takes the place of a window: keeps what it is shown, and counts as closed when it has seen `most` frames."""

    def __init__(self, most):
        self.images = []
        self.most = most

    def show(self, image):
        self.images.append(image)

    def is_closed(self):
        return len(self.images) >= self.most


@pytest.mark.usefixtures("patient")
def test_a_window_shows_every_frame_with_the_latest_verdicts():
    detector = Detector()
    wall = Wall(most=1000)
    with Camera(str(SAMPLES / "real.mp4"), show=True) as camera:
        _show(detector.stream(camera.frames(30, 3)), camera, detector, wall)
        assert camera.close()
    assert len(wall.images) > 3  # also those between
    assert wall.images[0].shape == wall.images[-1].shape == (480, 480, 3)
    with open_media(SAMPLES / "real.mp4") as media:
        (raw,) = media.frames(1, 1)
    plain, footer = raw.image[-12:], wall.images[-1][-12:]
    assert np.median(footer) < 0.5 * np.median(plain)  # darkened, for the words on it
    assert footer.max() > 200


@pytest.mark.usefixtures("patient")
def test_closing_the_window_ends_it():
    detector = Detector()
    wall = Wall(most=2)
    with Camera(str(SAMPLES / "real.mp4"), show=True) as camera:
        _show(detector.stream(camera.frames(30)), camera, detector, wall)
        assert camera.close()
    assert len(wall.images) == 2


def test_an_error_of_the_judging_thread_reaches_the_window():
    detector = Detector()

    def failing():
        yield from ()
        raise ValueError("in the thread")

    with Camera(str(SAMPLES / "real.mp4"), show=True) as camera:
        camera.frames()
        with pytest.raises(ValueError, match="in the thread"):
            _show(failing(), camera, detector, Wall(most=1000))


@pytest.mark.usefixtures("patient")
def test_an_error_of_the_window_ends_the_judging():
    detector = Detector()

    class Broken(Wall):
        def show(self, image):
            raise cv2.error("no paint")

    with Camera(str(SAMPLES / "real.mp4"), show=True) as camera:
        with pytest.raises(cv2.error, match="no paint"):
            _show(detector.stream(camera.frames(30)), camera, detector, Broken(most=1000))
        assert camera.close()
