"""Frames in memory: judged as one video, as they come, and by several threads at once."""

import ast
import math
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgefake_runtime
from edgefake_runtime import DetectOptions, Detector, SampledFrame, UsageError
from edgefake_runtime.aggregate import trimmed_mean
from edgefake_runtime.classifier import probability
from edgefake_runtime.media import open_media
from edgefake_runtime.tracks import Tracker

from .judged import SAMPLES, face


@pytest.fixture(scope="module")
def detector():
    return Detector(options=DetectOptions(every=10, threads=1))


@pytest.fixture(scope="module")
def frames():
    """Every tenth frame of the sample, as `detect` sees them."""
    with open_media(SAMPLES / "real.mp4") as media:
        return list(media.frames(10))


@pytest.fixture(scope="module")
def portrait():
    return cv2.cvtColor(cv2.imread(str(SAMPLES / "astronaut.png")), cv2.COLOR_BGR2RGB)


def untimed(result):
    return replace(result, timing_s=None, path="", duration_s=None, frames_total=None)


def log_odds(score):
    return math.log(score / (1 - score))


def test_frames_are_judged_as_the_file_that_they_are_from(detector, frames):
    from_file = detector.detect(SAMPLES / "real.mp4")
    assert from_file.frames_scored == len(frames) == 10
    assert untimed(detector.detect_frames(iter(frames))) == untimed(from_file)
    counted = detector.detect_frames([frame.image for frame in frames], fps=2.5, name="mine")
    assert (counted.path, counted.kind, counted.frames_total, counted.duration_s) == ("mine", "video", 10, None)
    assert [f.time_s for f in counted.faces[0].frames] == pytest.approx([0.4 * n for n in range(10)])
    assert counted.score == from_file.score


def test_one_frame_is_a_picture(detector, portrait):
    from_file = detector.detect(SAMPLES / "astronaut.png")
    assert untimed(detector.detect_frames([portrait])) == untimed(from_file)
    assert detector.look(portrait) == from_file.faces[0].frames
    assert detector.look(np.zeros((100, 100, 3), np.uint8)) == ()


def test_a_stream_says_after_each_frame_what_its_frames_say_together(detector, frames):
    frames = frames[:5]
    results = list(detector.stream(frames))
    assert [(r.frame, r.time_s, r.width, r.height) for r in results] == [(f.index, f.time_s, 480, 480) for f in frames]
    for count, result in enumerate(results, start=1):
        together = detector.detect_frames(frames[:count])
        (live,), (track,) = result.tracks, together.faces
        assert (result.score, live.score, live.track) == (together.score, track.score, track.track)
        assert (live.start_s, live.end_s, live.frames_scored) == (track.start_s, track.end_s, len(track.frames))
        assert live.face == track.frames[-1]
        assert live.thin is (count == 1)
        assert live.verdict == result.verdict == ("uncertain" if count == 1 else together.verdict)


def test_a_stream_judges_by_its_window(detector, frames):
    whole = detector.detect_frames(frames).faces[0].frames
    for count, result in enumerate(detector.stream(frames, window=3), start=1):
        latest = [log_odds(f.score) for f in whole[max(0, count - 3) : count]]
        assert result.score == pytest.approx(probability(trimmed_mean(latest)), abs=1e-9)
        assert result.tracks[0].frames_scored == count
        assert result.tracks[0].start_s == 0.0


def test_a_track_that_ends_is_dropped_and_its_number_with_it(detector, portrait):
    blank = np.full_like(portrait, 90)
    shown = [portrait, portrait, blank, blank, blank, portrait]
    results = list(detector.stream(shown))
    assert [[t.track for t in r.tracks] for r in results] == [[0], [0], [0], [0], [], [1]]
    assert [[t.face is not None for t in r.tracks] for r in results[:4]] == [[True], [True], [False], [False]]
    known = detector.detect_frames([portrait, portrait]).verdict
    assert [r.verdict for r in results] == ["uncertain", known, known, known, "no-face", "uncertain"]
    assert results[4].score is None
    assert results[5].tracks[0].start_s == 5.0
    assert len(detector.detect_frames(shown).faces) == 2  # a video keeps both


def test_memory_is_bounded_however_long_a_stream_is(detector, portrait):
    small = cv2.resize(portrait, (128, 128), interpolation=cv2.INTER_AREA)
    quick = Detector(detector.classifier, options=DetectOptions(min_face=20, threads=1))

    seen, alive = [], []
    for result in quick.stream((small for _ in range(15)), window=5):
        seen.append(weakref.ref(result.tracks[0].face))
        alive.append(sum(face() is not None for face in seen))
    assert alive == [1, 2, 3, 4, *[5] * 11]


def test_a_tracker_with_a_window_forgets():
    tracker, without = Tracker(window=4), Tracker()
    for sample in range(3000):
        time_s = float(sample)
        stays = face(time_s, box=(0.0, 0.0, 50.0, 50.0))
        left = 200.0 * (sample // 2)  # a new person every other frame
        passes = face(time_s, box=(left, 400.0, left + 50.0, 450.0))
        for one in (tracker, without):
            one.add([stays, passes], [0.1, -0.1])
        assert len(tracker.tracks) <= 4
    assert max(len(track.frames) for track in tracker.tracks) == 4
    assert [len(track.frames) for track in without.tracks[:3]] == [3000, 2, 2]
    assert (tracker.tracks[0].number, tracker.tracks[0].count, tracker.tracks[0].start_s) == (0, 3000, 0.0)
    numbers = [track.number for track in without.tracks]
    assert numbers == list(range(1501))
    assert [track.number for track in tracker.tracks] == [0, *numbers[-len(tracker.tracks) + 1 :]]


def test_frames_are_asked_for_one_by_one(detector, frames):
    asked = []

    def giving() -> Iterator[SampledFrame]:
        for frame in frames:
            asked.append(frame.index)
            yield frame

    results = detector.stream(giving())
    assert asked == []
    next(results)
    assert asked == [0]
    next(results)
    assert asked == [0, 10]


def test_any_layout_of_the_pixels_gives_the_same(detector, portrait):
    expected = detector.look(portrait)
    mirrored_twice = np.ascontiguousarray(portrait[:, ::-1])[:, ::-1]
    columns_first = np.asfortranarray(portrait)
    frozen = portrait.copy()
    frozen.flags.writeable = False
    from_bgr = np.ascontiguousarray(portrait[:, :, ::-1])[:, :, ::-1]
    for image in (mirrored_twice, columns_first, frozen, from_bgr):
        before = image.copy()
        assert detector.look(image) == expected
        assert np.array_equal(image, before)
    assert len(detector.find_faces(from_bgr)) == 1


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (np.zeros((40, 40, 3), np.float32), r"\(40, 40, 3\) float32"),
        (np.zeros((40, 40), np.uint8), r"\(40, 40\) uint8"),
        (np.zeros((40, 40, 4), np.uint8), r"\(40, 40, 4\) uint8"),
        (np.zeros((1, 40, 40, 3), np.uint8), r"\(1, 40, 40, 3\) uint8"),
        (np.zeros((0, 40, 3), np.uint8), r"\(0, 40, 3\) uint8"),
        ([[0, 0, 0]], "got list"),
        (None, "got NoneType"),
    ],
)
def test_what_is_no_frame_is_refused(detector, wrong, got):
    good = np.zeros((40, 40, 3), np.uint8)
    with pytest.raises(UsageError, match=f"frame 1: expected .*{got}; convert it"):
        detector.detect_frames([good, wrong])
    results = detector.stream([good, wrong])
    assert next(results).verdict == "no-face"
    with pytest.raises(UsageError, match=got):
        next(results)


def test_times_go_forward(detector):
    good = np.zeros((40, 40, 3), np.uint8)
    same = [SampledFrame(n, 1.0, good) for n in range(2)]
    assert [r.time_s for r in detector.stream(same)] == [1.0, 1.0]
    for time_s in (0.5, math.nan, math.inf):
        with pytest.raises(UsageError, match="frame 1: expected a time of 1 s or later"):
            detector.detect_frames([same[0], SampledFrame(1, time_s, good)])


def test_impossible_settings_are_refused_before_the_first_frame(detector):
    for fps in (0, -1.0, math.nan, math.inf):
        with pytest.raises(UsageError, match="fps"):
            detector.stream([], fps=fps)
    with pytest.raises(UsageError, match="window: expected 2 or more"):
        detector.stream([], window=1)
    with pytest.raises(UsageError, match="mine: expected one frame or more, got none"):
        detector.detect_frames([], name="mine")
    assert list(detector.stream([])) == []


def test_an_error_of_who_gives_the_frames_is_theirs(detector, frames):
    def giving():
        yield frames[0]
        raise cv2.error("the camera of the caller")

    results = detector.stream(giving())
    next(results)
    with pytest.raises(cv2.error, match="the camera of the caller"):
        next(results)


def test_large_frames_are_warned_of_once(detector, caplog):
    large = np.zeros((1200, 1600, 3), np.uint8)
    with caplog.at_level("WARNING", logger="edgefake_runtime"):
        assert len(list(detector.stream([large, large], name="my camera"))) == 2
    assert [record.getMessage()[:38] for record in caplog.records] == ["my camera: 1600x1200 is above 1080p, s"]


def test_threads_get_the_answers_that_one_alone_gets(frames, portrait):
    detector = Detector(options=DetectOptions(every=50, threads=1))
    flipped = [SampledFrame(f.index, f.time_s, np.ascontiguousarray(f.image[:, ::-1])) for f in frames[:2]]
    jobs = [
        lambda: untimed(detector.detect(SAMPLES / "real.mp4")),
        lambda: untimed(detector.detect(SAMPLES / "fake.mp4")),
        lambda: untimed(detector.detect_frames(flipped)),
        lambda: list(detector.stream(frames[:2])),
        lambda: list(detector.stream(flipped, window=2)),
        lambda: detector.look(portrait),
    ]
    alone = [job() for job in jobs]
    assert len({repr(answer) for answer in alone}) == len(jobs)
    with ThreadPoolExecutor(len(jobs)) as pool:
        for _ in range(2):
            assert [one.result() for one in [pool.submit(job) for job in jobs]] == alone


def test_streams_of_one_detector_do_not_meet(detector, frames, portrait):
    """Two streams, read in turns: each has its own tracks."""
    alone = list(detector.stream(frames[:3])), list(detector.stream([portrait] * 3))
    ours, theirs = detector.stream(frames[:3]), detector.stream([portrait] * 3)
    assert list(zip(ours, theirs, strict=True)) == list(zip(*alone, strict=True))


def test_the_runtime_prints_nothing():
    files = sorted(Path(edgefake_runtime.__file__).parent.glob("*.py"))
    assert len(files) > 20
    calls = [
        f"{file.name}:{node.lineno}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert calls == []
