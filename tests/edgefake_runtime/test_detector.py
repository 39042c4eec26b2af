"""The whole way from a file to a verdict."""

import csv
import logging
import os
import tempfile
import threading
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefake_runtime import Classifier, DetectOptions, Detector, InputError, QualityFloor, UsageError
from edgefake_runtime import capture as capture_module
from edgefake_runtime.crops import cut_face
from edgefake_runtime.media import Picture, open_media
from edgefake_runtime.verdict import track_of

from .clips import write_video

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"


def write_faces(path, count):
    """A portrait that moves, as MJPEG: a file that is cut loses its last frames and no others."""
    portrait = cv2.imread(str(SAMPLES / "astronaut.png"))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (480, 480))
    for index in range(count):
        writer.write(np.ascontiguousarray(portrait[index % 30 : index % 30 + 480, :480]))
    writer.release()
    return path


@pytest.fixture(scope="module")
def detector():
    return Detector()


@pytest.fixture(scope="module")
def result(detector):
    return detector.detect(SAMPLES / "real.mp4")


def test_a_clip_gives_one_track_with_its_frames(result):
    assert (result.kind, result.width, result.height, result.error) == ("video", 480, 480, None)
    assert (result.frames_total, result.frames_scored) == (100, 4)
    (track,) = result.faces
    assert [f.time_s for f in track.frames] == pytest.approx([0.0, 1.2, 2.4, 3.6], abs=0.05)
    assert (track.start_s, track.end_s) == (track.frames[0].time_s, track.frames[-1].time_s)
    assert all(0 <= f.score <= 1 and f.detection >= 0.9 for f in track.frames)
    assert result.score == track.score
    timing = result.timing_s
    assert min(timing.decode, timing.faces, timing.classify) > 0
    assert timing.total >= timing.decode + timing.faces + timing.classify


def test_scores_are_the_classifiers_on_the_crops_of_the_frames(detector, result):
    """The steps, by hand: decode, find, cut, classify, mean of the log-odds."""
    classifier = Classifier()
    evidence = []
    with open_media(SAMPLES / "real.mp4") as video:
        for frame, scored in zip(video.frames(30), result.faces[0].frames, strict=True):
            (face,) = detector.find_faces(frame.image)
            assert face.box == pytest.approx(scored.box)
            crop = cut_face(frame.image, face.box, classifier.metadata)[None]
            evidence.append(float(classifier.evidence(crop)[0]))
            assert float(classifier.score(crop)[0]) == pytest.approx(scored.score, abs=1e-5)
    expected = track_of(0, list(result.faces[0].frames), evidence).score
    assert result.score == pytest.approx(expected, abs=1e-5)


def test_faces_below_the_models_floor_are_set_aside_and_leave_it_uncertain(result):
    detector = Detector()
    metadata = detector.classifier.metadata
    floor = QualityFloor(side=1000, sharpness=0, turn=9, origin="test")
    detector.classifier.metadata = replace(metadata, quality=floor)
    aside = detector.detect(SAMPLES / "real.mp4")
    assert aside.verdict == "uncertain"
    assert aside.faces[0].thin
    assert not any(frame.judged for frame in aside.faces[0].frames)
    assert [f.score for f in aside.faces[0].frames] == pytest.approx([f.score for f in result.faces[0].frames])
    detector.classifier.metadata = replace(metadata, quality=replace(floor, side=20))
    (track,) = detector.detect(SAMPLES / "real.mp4").faces
    assert not track.thin
    assert all(frame.judged for frame in track.frames)


def test_one_judged_frame_is_thin_in_a_video_but_enough_for_a_picture():
    once = Detector(options=DetectOptions(max_frames=1)).detect(SAMPLES / "real.mp4")
    assert (once.frames_scored, once.faces[0].thin) == (1, False)


def test_batches_and_single_crops_score_alike():
    classifier = Classifier()
    size = classifier.metadata.input_size
    crops = np.random.default_rng(0).integers(0, 256, (19, size, size, 3), dtype=np.uint8)
    together, alone = classifier.logits(crops), np.concatenate([classifier.logits(c[None]) for c in crops])
    assert together == pytest.approx(alone, abs=1e-3 * float(np.sqrt((alone**2).mean())))
    assert classifier.logits(crops[:0]).shape == (0, 2)


def test_a_picture_with_the_same_face_is_judged(detector):
    result = detector.detect(SAMPLES / "astronaut.png")
    assert (result.kind, result.frames_total, result.frames_scored, result.duration_s) == ("image", 1, 1, None)
    assert len(result.faces) == 1


def test_every_and_max_frames_bound_the_work():
    result = Detector(options=DetectOptions(every=10, max_frames=3)).detect(SAMPLES / "fake.mp4")
    assert result.frames_scored == 3
    assert [f.time_s for f in result.faces[0].frames] == pytest.approx([0.0, 0.4, 0.8], abs=0.05)


def reading() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "edgefake ahead"]


def watched(detector, path):
    """The result, how many threads read ahead, and how many frames had been read when each one was scored."""
    threads, read = set(), []

    def on_frame(media):
        threads.update(reading())
        read.append(1 if isinstance(media, Picture) else media.frames_read)

    return detector.detect(path, on_frame=on_frame), len(threads), read


@pytest.mark.parametrize("options", [{"every": 7}, {"every": 30}, {"every": 3, "max_frames": 5}, {"every": 1000}])
@pytest.mark.parametrize("cut_at", [1.0, 0.6])
def test_reading_ahead_changes_nothing(options, cut_at, tmp_path, monkeypatch, caplog):
    whole = write_faces(tmp_path / "whole.avi", 60)
    path = tmp_path / "v.avi"
    path.write_bytes(whole.read_bytes()[: int(cut_at * whole.stat().st_size)])
    detector = Detector(options=DetectOptions(**options))
    found = {}
    for used in (1, 0):
        caplog.clear()
        result, seen, read = watched(detector, path)
        assert (seen, reading()) == (used, [])
        assert len(read) == result.frames_scored
        assert all(frames > options["every"] * place for place, frames in enumerate(read))  # that frame at least
        found[used] = replace(result, timing_s=None), caplog.messages
        monkeypatch.setattr("edgefake_runtime.detector.Ahead", lambda frames, stop: frames)
    assert found[1] == found[0]
    result, messages = found[0]
    assert result.faces
    assert bool(messages) == (cut_at < 1 and "max_frames" not in options)


def test_a_picture_needs_no_thread(detector):
    assert watched(detector, SAMPLES / "astronaut.png")[1:] == (0, [1])


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError, GeneratorExit])
def test_what_ends_a_detection_half_way_ends_its_thread(stop):
    detector = Detector(options=DetectOptions(every=5))
    opened = []

    def on_frame(media):
        opened.append(media)
        assert len(reading()) == 1
        if len(opened) == 3:
            raise stop

    with pytest.raises(stop):
        detector.detect(SAMPLES / "real.mp4", on_frame=on_frame)
    assert reading() == []
    with pytest.raises(ValueError, match="closed"):
        opened[0].frames()


def test_what_ends_a_detection_does_not_wait_for_the_next_frame_to_score(tmp_path):
    path = write_video(tmp_path / "long.avi", 4000)
    opened = []

    def on_frame(media):
        opened.append(media)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Detector(options=DetectOptions(every=4000)).detect(path, on_frame=on_frame)
    assert opened[0].frames_read < 4000  # the thread was among those that are not scored


def test_a_video_that_its_user_closes_ends_there():
    for _ in range(5):
        result = Detector(options=DetectOptions(every=5)).detect(SAMPLES / "real.mp4", on_frame=lambda m: m.close())
        assert result.frames_scored in (1, 2)  # what was ahead is scored


@pytest.mark.parametrize("error", [cv2.error("no room for it"), MemoryError()])
def test_what_fails_while_reading_ahead_is_told_as_the_inputs_fault(error, monkeypatch):
    count = iter(range(100))

    def failing(capture):
        if next(count) == 2:
            raise error
        return capture_module.retrieve(capture)

    monkeypatch.setattr("edgefake_runtime.media.retrieve", failing)
    scored = []
    with pytest.raises(InputError, match=r"real\.mp4: expected one that can be judged, got: (no room|out of memory)"):
        Detector(options=DetectOptions(every=5)).detect(SAMPLES / "real.mp4", on_frame=scored.append)
    assert len(scored) == 1  # opening took one
    assert reading() == []


def test_frames_are_counted_where_the_container_guesses(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "v.mpg"), cv2.VideoWriter.fourcc(*"mpg1"), 25, (64, 48))
    if not writer.isOpened():
        pytest.skip("this cv2 writes no MPEG-1")
    for level in range(80):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    with open_media(tmp_path / "v.mpg") as video:
        claimed = video.frames_total
    assert claimed != 80  # else this test shows nothing
    whole = Detector().detect(tmp_path / "v.mpg")
    assert (whole.frames_total, whole.frames_scored) == (80, 3)
    assert whole.duration_s == pytest.approx(3.2)
    part = Detector(options=DetectOptions(max_frames=2)).detect(tmp_path / "v.mpg")
    assert (part.frames_total, part.frames_scored) == (claimed, 2)


def test_a_missing_file_raises_alone_and_is_a_result_among_many(detector, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        detector.detect(tmp_path / "none.mp4")
    missing, good = detector.detect_many([tmp_path / "none.jpg", SAMPLES / "astronaut.png"])
    assert (missing.verdict, missing.kind, missing.score, missing.faces) == ("error", "image", None, ())
    assert good.verdict != "error"


def test_frames_above_1080p_raise_the_smallest_face_and_say_so(detector, tmp_path, caplog):
    frame = np.full((2160, 3840, 3), 90, np.uint8)
    portrait = cv2.imread(str(SAMPLES / "astronaut.png"))
    frame[100:612, 100:612] = portrait
    small = cv2.resize(portrait, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)  # a face of 30 pixels
    frame[1000 : 1000 + len(small), 2000 : 2000 + len(small)] = small
    cv2.imwrite(str(tmp_path / "large.png"), frame)
    with caplog.at_level(logging.WARNING, logger="edgefake_runtime"):
        assert len(detector.detect(tmp_path / "large.png").faces) == 1
    assert "faces below 80 pixels are left out" in caplog.text
    caplog.clear()
    explicit = Detector(options=DetectOptions(min_face=20))
    assert len(explicit.detect(tmp_path / "large.png").faces) == 2
    assert not caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop its rights")
def test_what_may_not_be_read_does_not_stop_the_rest(detector, tmp_path):
    for folder in takewhile(lambda folder: folder != Path(tempfile.gettempdir()), (tmp_path, *tmp_path.parents)):
        folder.chmod(0o755)
    secret, closed, good = tmp_path / "secret.png", tmp_path / "closed", tmp_path / "good.png"
    for path in (secret, good):
        path.write_bytes((SAMPLES / "astronaut.png").read_bytes())
    secret.chmod(0o000)
    closed.mkdir(mode=0o700)
    os.seteuid(65534)
    try:
        results = list(detector.detect_many([secret, closed, good]))
    finally:
        os.seteuid(0)
    assert [result.verdict == "error" for result in results] == [True, True, False]
    assert all("read permission" in result.error for result in results[:2])


@pytest.mark.parametrize(
    "options", [{"every": 0}, {"max_frames": 0}, {"min_face": 11}, {"threads": 0}, {"threshold": 1.5}]
)
def test_impossible_options_are_refused(options):
    with pytest.raises(UsageError):
        Detector(options=DetectOptions(**options))


def test_crops_of_another_shape_are_refused():
    with pytest.raises(UsageError, match="expected crops"):
        Classifier().logits(np.zeros((1, 9, 9, 3), np.uint8))


@pytest.mark.data
def test_every_clip_of_the_data_folder_gets_tracks(detector, data_folder):
    rows = list(csv.DictReader((data_folder / "tests/videos/labels.csv").open()))
    assert len(rows) == 9
    for row in rows:
        result = detector.detect(data_folder / "tests/videos" / row["file"])
        assert result.faces, row["file"]
        assert result.verdict in ("real", "fake", "uncertain")
        longest = max(len(track.frames) for track in result.faces)
        assert longest >= 0.4 * result.frames_scored, row["file"]  # faces are followed, not begun anew


@pytest.mark.data
def test_pictures_without_a_face_give_no_face(detector, data_folder):
    results = list(detector.detect_many([data_folder / "tests/no_face"]))
    assert len(results) == 26
    assert sum(result.verdict == "no-face" for result in results) >= 24
    assert all((result.score is None) == (result.verdict == "no-face") for result in results)
