"""Cameras, with files, pipes and a local address in their place."""

import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle, islice, repeat
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefake_runtime import Camera, InputError, UsageError
from edgefake_runtime.camera_source import CameraSource

from .clips import number, write_noise_video, write_picture, write_video
from .pipes import Feeder, jpeg, numbered_jpegs


@pytest.fixture
def feed(tmp_path):
    """Makes a pipe with a writer; what is still open at the end is closed."""
    feeders = []

    def start(pictures, **options):
        feeders.append(Feeder(tmp_path / f"camera{len(feeders)}", pictures, **options))
        return feeders[-1]

    yield start
    for feeder in feeders:
        if feeder._thread.is_alive():
            os.close(os.open(feeder.path, os.O_RDONLY | os.O_NONBLOCK))  # who waits for a reader, waits no more
            feeder.close()


def test_a_file_is_played_once_at_its_own_speed(tmp_path):
    with Camera(str(write_video(tmp_path / "v.mp4", 45))) as camera:
        begun = time.monotonic()
        seen = [(frame, camera.dropped) for frame in camera.frames(10)]
        took = time.monotonic() - begun
    last = seen[-1][0]
    assert last.index >= 35  # the next one would be beyond the end
    assert took >= last.time_s - 0.02
    assert took < 30
    for count, (frame, dropped) in enumerate(seen):
        assert frame.index == 10 * count + dropped
        assert number(frame.image) == frame.index
        assert frame.time_s == pytest.approx(frame.index / 25, abs=1e-6)


def test_who_is_slow_gets_the_newest_frame_and_a_count_of_the_dropped(feed):
    taken, pictures = threading.Event(), numbered_jpegs(120)

    def gated():
        yield from pictures[:60]
        taken.wait(60)
        yield from pictures[60:]

    feeder = feed(gated())
    with Camera(str(feeder.path)) as camera:
        frames = camera.frames()
        first = next(frames)
        taken.set()
        feeder.wait()
        newest = camera.newest(after=112, timeout_s=60)  # the slow one does something else meanwhile
        second = next(frames)
        assert second.index >= newest.index > first.index + 50
        assert number(second.image) == second.index
        assert camera.dropped == first.index + second.index - first.index - 1
        assert second.time_s > first.time_s


def test_skipped_frames_are_not_dropped_ones(feed):
    feeder = feed(cycle(numbered_jpegs(256)), pause_s=0.02)
    with Camera(str(feeder.path)) as camera:
        count = 0
        for count, frame in enumerate(islice(camera.frames(7, 4), 10)):
            assert frame.index == 7 * count + camera.dropped
            assert number(frame.image) == frame.index % 256
        assert count == 3  # max_frames


def test_a_camera_that_goes_is_an_error_after_what_it_gave(feed):
    feeder = feed(numbered_jpegs(80))
    feeder.close_when_written()
    seen = []
    with Camera(str(feeder.path)) as camera, pytest.raises(InputError, match=r"camera0: .* no more after 80 frames"):
        seen.extend(frame.index for frame in camera.frames())
    assert seen[-1] == 79  # the newest frame is given before the error


def test_what_is_no_stream_is_an_error(feed):
    feeder = feed([b"no stream at all\n" * 100])
    feeder.close_when_written()
    with Camera(str(feeder.path)) as camera, pytest.raises(InputError, match=r"does not open; write it a stream"):
        next(camera.frames())


@pytest.mark.parametrize("silent", [True, False])
def test_stop_ends_the_frames_without_an_error(feed, silent, monkeypatch):
    if not silent:  # where closing has an end it is waited for, however busy the machine is
        monkeypatch.setattr("edgefake_runtime.camera.CLOSING_S", 60.0)
    feeder = feed(numbered_jpegs(5) if silent else repeat(numbered_jpegs(1)[0]))
    camera = Camera(str(feeder.path))
    came = threading.Event()
    reading = threading.Thread(target=lambda: [came.set() for _ in camera.frames()])
    reading.start()
    if silent:
        feeder.wait()
    else:
        assert came.wait(60)
    camera.stop()
    reading.join(60)
    assert not reading.is_alive()
    assert came.is_set() is not silent
    assert camera.close() is not silent  # nothing breaks off a read from a silent pipe ...
    feeder.close()
    camera._reader.join(60)
    assert not camera._reader.is_alive()  # ... but its end
    assert list(camera.frames()) == []


def test_a_stop_in_the_moment_before_a_wait_is_heard(feed, monkeypatch):
    """As from a signal handler, which runs in the thread that is about to wait."""
    camera = Camera(str(feed([]).path))
    wait = camera._change.wait

    def late(timeout=None):
        camera.stop()  # nobody waits yet
        return wait(timeout)

    monkeypatch.setattr(camera._change, "wait", late)
    reading = threading.Thread(target=lambda: list(camera.frames()), daemon=True)
    reading.start()
    reading.join(60)
    assert not reading.is_alive()


def test_frames_between_are_decoded_for_who_looks(tmp_path):
    path = str(write_video(tmp_path / "v.mp4", 90))
    with Camera(path, show=True) as camera:
        frames = camera.frames(85)
        next(frames)
        between = camera.newest(after=5, timeout_s=60)
        assert 5 < between.index < 85
        assert number(between.image) == between.index
        assert next(frames).index >= 85
        while camera.newest(after=between.index, timeout_s=60):
            between = camera.newest(after=between.index)
        assert between.index == 89


class Stream(BaseHTTPRequestHandler):
    """Sends 60 frames of an IP camera, then closes."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        for picture in numbered_jpegs(60):
            head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            self.wfile.write(head.encode() + picture + b"\r\n")
            time.sleep(0.01)

    def log_message(self, *_):
        pass


def test_an_address_is_a_camera_and_its_password_is_not_told():
    with ThreadingHTTPServer(("127.0.0.1", 0), Stream) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"127.0.0.1:{server.server_port}/camera.mjpg"
        with Camera(f"http://me:secret@{place}") as camera:
            assert camera.name == f"http://{place}"
            seen = []
            with pytest.raises(InputError, match=f"^http://{place}: expected a camera, got no more after 60 frames"):
                seen.extend(camera.frames())
        server.shutdown()
    assert seen
    assert all(number(frame.image) == frame.index for frame in seen)


def test_nobody_at_an_address_is_an_error():
    with Camera("http://me:secret@127.0.0.1:9/") as camera, pytest.raises(InputError, match="does not open") as told:
        next(camera.frames())
    assert "secret" not in str(told.value)


def test_what_is_no_camera_is_refused_at_once(tmp_path):
    for source, message in (
        ("4711", "camera 4711: expected a camera, got no /dev/video4711"),
        (str(tmp_path / "none"), "no such file"),
        (str(tmp_path), "got a folder"),
        ("x" * 5000, "too long"),
    ):
        with pytest.raises(InputError, match=message):
            Camera(source)
    with pytest.raises(UsageError, match="max_megapixels"):
        Camera(str(write_video(tmp_path / "v.mp4", 2)), max_megapixels=0)


def test_a_file_that_is_no_video_is_an_error(tmp_path):
    write_picture(tmp_path / "p.png", np.zeros((40, 40, 3), np.uint8))
    (tmp_path / "text").write_text("text\n" * 100)
    for name, message in (("p.png", "got a picture"), ("text", "expected a picture or video")):
        with Camera(str(tmp_path / name)) as camera, pytest.raises(InputError, match=message):
            next(camera.frames())


def test_too_large_frames_are_refused(tmp_path, feed):
    large = repeat(jpeg(np.zeros((300, 400, 3), np.uint8)))
    for source in (write_video(tmp_path / "v.mp4", 5, size=(400, 300)), feed(large).path):
        with Camera(str(source), max_megapixels=0.1) as camera, pytest.raises(InputError, match="megapixels"):
            next(camera.frames())


@pytest.mark.parametrize("options", [{"every": 0}, {"max_frames": 0}])
def test_impossible_sampling_is_wrong_usage(options, tmp_path):
    with Camera(str(write_video(tmp_path / "v.mp4", 2))) as camera, pytest.raises(UsageError, match="every"):
        camera.frames(**options)


def test_what_fails_in_the_reader_reaches_who_waits(tmp_path, monkeypatch):
    for failure, expected in ((cv2.error("no codec"), InputError), (ValueError("a mistake"), ValueError)):

        def failing(camera, failure=failure):
            raise failure

        monkeypatch.setattr(Camera, "_grabbed", failing)
        with Camera(str(write_video(tmp_path / "v.mp4", 2))) as camera, pytest.raises(expected, match=str(failure)):
            next(camera.frames())


def test_a_cut_off_file_says_so(tmp_path, caplog):
    path = write_noise_video(tmp_path / "v.avi", 40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with Camera(str(path)) as camera, caplog.at_level("WARNING", logger="edgefake_runtime"):
        assert list(camera.frames(5))
    assert "cut off or damaged" in caplog.text


def open_things():
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at /proc")
def test_nothing_stays_open(tmp_path, monkeypatch):
    monkeypatch.setattr("edgefake_runtime.camera.CLOSING_S", 60.0)
    path = str(write_video(tmp_path / "v.mp4", 5))
    before = open_things()
    for _ in range(3):
        with Camera(path) as camera:
            next(camera.frames())
    after = open_things()  # a thread of an earlier test may have ended meanwhile
    assert all(now <= then for now, then in zip(after, before, strict=True))


def test_names_stand_for_devices_pipes_addresses_and_files(tmp_path, monkeypatch):
    file = write_video(tmp_path / "v.mp4", 2)
    assert CameraSource.of(str(file)).file == file
    assert CameraSource.of("rtsp://user:p%40ss@10.0.0.1:554/a@b").name == "rtsp://10.0.0.1:554/a@b"
    monkeypatch.setattr("sys.platform", "darwin")  # where no device has a path
    assert CameraSource.of("1").target == 1
