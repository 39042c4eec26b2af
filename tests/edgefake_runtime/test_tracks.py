"""Linking faces over time, and verdicts."""

import math
from dataclasses import replace

import pytest

from edgefake_runtime import Roc, UsageError
from edgefake_runtime.classifier import probability
from edgefake_runtime.results import FaceFrame
from edgefake_runtime.tracks import Tracker
from edgefake_runtime.verdict import OperatingPoint, track_of, worst

from .test_metadata import METADATA


def face(x, y=100.0, side=50.0, time_s=0.0, *, judged=True):
    return FaceFrame(time_s, (x, y, x + side, y + side), 0.99, 0.5, 0.3, 0.0, judged)


def follow(*frames):
    """Positions of each track's faces, for frames given as lists of x."""
    tracker = Tracker()
    for faces in frames:
        tracker.add([face(x) for x in faces], [0.0] * len(faces))
    return [[f.box[0] for f in track.frames] for track in tracker.tracks]


def test_faces_keep_their_tracks_when_their_order_changes():
    assert follow([0, 300], [310, 12], [25, 320]) == [[0, 12, 25], [300, 310, 320]]


def test_the_nearest_pair_goes_first():
    assert follow([0, 60], [45]) == [[0], [60, 45]]


def test_a_face_may_be_missed_for_a_while_but_not_for_long():
    assert follow([0], [], [], [10]) == [[0, 10]]
    assert follow([0], [], [], [], [10]) == [[0], [10]]


def test_far_and_much_larger_faces_are_others():
    assert follow([0], [200]) == [[0], [200]]
    tracker = Tracker()
    tracker.add([face(0)], [0.0])
    tracker.add([face(0, side=120.0)], [0.0])
    assert len(tracker.tracks) == 2


def test_a_tracks_score_is_the_mean_of_its_evidence():
    frames = [face(0, time_s=1.0), face(1, time_s=2.0)]
    track = track_of(3, frames, [2.0, -1.0])
    assert (track.track, track.start_s, track.end_s) == (3, 1.0, 2.0)
    assert track.score == pytest.approx(1 / (1 + math.exp(-0.5)))


def test_frames_that_are_set_aside_do_not_count():
    frames = [face(0), face(1, judged=False), face(2)]
    track = track_of(0, frames, [1.0, 50.0, 2.0], least=2)
    assert track.score == pytest.approx(probability(1.5))
    assert not track.thin
    assert len(track.frames) == 3


def test_a_track_of_too_few_judged_frames_is_thin():
    frames = [face(0), face(1, judged=False)]
    assert track_of(0, frames, [3.0, -3.0], least=2).thin
    alone = track_of(0, [face(0, judged=False)], [3.0])
    assert alone.thin
    assert alone.score == pytest.approx(probability(3.0))  # shown, but no verdict


def test_thin_tracks_decide_only_where_there_is_no_other():
    sound = track_of(0, [face(0), face(1)], [-2.0, -2.0], least=2)
    thin = track_of(1, [face(0)], [4.0], least=2)
    assert worst([sound, thin]) is sound
    assert worst([thin]) is thin
    assert worst([]) is None
    point = OperatingPoint.of(METADATA)
    assert point.verdict(thin.score, thin=True) == "uncertain"
    assert point.verdict(None, thin=False) == "no-face"


def test_the_stored_curve_gives_the_threshold_of_a_false_positive_rate():
    roc = Roc((0.9, 0.7, 0.3), (0.0, 0.01, 0.1), (0.2, 0.5, 0.8), reals=100, origin="test")
    metadata = replace(METADATA, roc=roc)
    assert OperatingPoint.of(metadata, max_false_positives=0.05).threshold == 0.7
    assert OperatingPoint.of(metadata, max_false_positives=0.01).threshold == 0.7
    assert OperatingPoint.of(metadata, max_false_positives=1.0).threshold == 0.3
    point = OperatingPoint.of(metadata, max_false_positives=0.05)
    assert point.low < 0.7 < point.high
    for given, message in ((0.005, "0.0100 to 1"), (1.5, "to 1")):
        with pytest.raises(UsageError, match=message):
            OperatingPoint.of(metadata, max_false_positives=given)
    with pytest.raises(UsageError, match="got both"):
        OperatingPoint.of(metadata, 0.5, max_false_positives=0.05)
    with pytest.raises(UsageError, match="edgefake calibrate"):
        OperatingPoint.of(METADATA, max_false_positives=0.05)


def test_probability_does_not_overflow():
    assert probability(1e6) == 1.0
    assert probability(-1e6) == 0.0
    assert probability(0.0) == 0.5


def test_verdicts_follow_threshold_and_band():
    point = OperatingPoint.of(METADATA)
    scores = (None, 0.0, 0.399, 0.4, 0.599, 0.6, 1.0)
    expected = ("no-face", "real", "real", "uncertain", "uncertain", "fake", "fake")
    assert tuple(point.verdict(score) for score in scores) == expected


def test_another_threshold_moves_the_band_along():
    point = OperatingPoint.of(METADATA, 0.8)
    assert point.low < 0.8 < point.high
    shift = math.log(0.8 / 0.2)
    assert point.low == pytest.approx(probability(math.log(0.4 / 0.6) + shift))
    assert OperatingPoint.of(METADATA, 0.0).verdict(0.0) == "fake"
    assert OperatingPoint.of(METADATA, 1.0).verdict(0.999) == "real"
    with pytest.raises(UsageError, match="threshold"):
        OperatingPoint.of(METADATA, 1.1)
