"""Faces followed from frame to frame, against a search of every frame, on the sample clip."""

from dataclasses import astuple

import numpy as np
import pytest

from edgefake_runtime import DetectOptions, Detector
from edgefake_runtime.following import MOST_FRAMES, MOST_STEP_S, Following
from edgefake_runtime.media import SampledFrame, open_media
from edgefake_runtime.mtcnn import FaceDetector

from .judged import SAMPLES

MIN_FACE, SURE = 40, 0.9


class Counting(FaceDetector):
    """The face detector, which notes how each frame was searched."""

    def __init__(self):
        super().__init__(threads=1)
        self.searches = []

    def detect(self, frame, *, min_face=None, near=None):
        self.searches.append("whole" if near is None else len(near))
        return super().detect(frame, min_face=min_face, near=near)


@pytest.fixture
def detector():
    return Counting()


@pytest.fixture(scope="module")
def clip():
    """The first 40 frames of the sample, 1.6 seconds."""
    with open_media(SAMPLES / "real.mp4") as media:
        return list(media.frames(1, 40))


@pytest.fixture(scope="module")
def whole(clip):
    """What a search of every frame finds."""
    detector = FaceDetector(threads=1)
    return [detector.detect(frame.image, min_face=MIN_FACE) for frame in clip]


def follow(detector, frames, following=None):
    following = following or Following()
    return [following.find(detector, frame, min_face=MIN_FACE, sure=SURE) for frame in frames]


def timed(frames, step_s):
    return [SampledFrame(n, n * step_s, frame.image) for n, frame in enumerate(frames)]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for face, other in zip(found, expected, strict=True):
        for one, another in zip(astuple(face), astuple(other), strict=True):
            np.testing.assert_allclose(one, another, atol=1e-3)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_followed_faces_are_those_of_a_whole_search(detector, clip, whole, every):
    found = follow(detector, clip[::every])
    for faces, expected in zip(found, whole[::every], strict=True):
        assert_same(faces, expected)
    assert detector.searches == ["whole" if n % MOST_FRAMES == 0 else 1 for n in range(len(found))]


def test_frames_far_apart_are_searched_whole(detector, clip):
    follow(detector, timed(clip[:4], MOST_STEP_S + 0.01))
    assert detector.searches == ["whole"] * 4


def test_frames_of_one_time_are_searched_whole(detector, clip):
    follow(detector, timed(clip[:3], 0.0))
    assert detector.searches == ["whole"] * 3


def test_a_lost_face_has_the_frame_searched_whole(detector, clip):
    side = clip[0].image.shape[1]
    left, right = (
        np.pad(clip[n].image, ((0, 0), (side * n, side * (1 - n)), (0, 0))) for n in (0, 1)
    )  # the face jumps by a width of the frame
    frames = [SampledFrame(n, n / 25, image) for n, image in enumerate([left, right, np.zeros_like(left), left, left])]
    found = follow(detector, frames)
    assert detector.searches == ["whole", 1, "whole", 1, "whole", "whole", 1]
    single = FaceDetector(threads=1)
    for faces, frame in zip(found, frames, strict=True):
        assert_same(faces, single.detect(frame.image, min_face=MIN_FACE))
    assert [len(faces) for faces in found] == [1, 1, 0, 1, 1]


def test_a_face_that_appears_is_found_by_the_next_whole_search(detector, clip):
    left = [np.pad(frame.image, ((0, 0), (0, frame.image.shape[1]), (0, 0))) for frame in clip]
    both = [np.concatenate([frame.image, frame.image], 1) for frame in clip]
    frames = [SampledFrame(n, n / 25, image) for n, image in enumerate(left[:3] + both[3:12])]
    counts = [len(faces) for faces in follow(detector, frames)]
    assert counts == [1] * MOST_FRAMES + [2] * (12 - MOST_FRAMES)
    assert detector.searches == ["whole", *[1] * 9, "whole", 2]


def test_another_size_of_frame_starts_anew(detector, clip):
    frames = [clip[0], SampledFrame(1, 0.04, np.ascontiguousarray(clip[1].image[:400])), clip[2]]
    follow(detector, frames)
    assert detector.searches == ["whole"] * 3


def test_videos_followed_in_turns_do_not_meet(detector, clip, whole):
    mirrored = [SampledFrame(frame.index, frame.time_s, np.ascontiguousarray(frame.image[:, ::-1])) for frame in clip]
    expected = follow(FaceDetector(threads=1), mirrored[:6])
    one, other = Following(), Following()
    for frame, mirror, faces, mirror_faces in zip(clip[:6], mirrored[:6], whole[:6], expected, strict=True):
        assert_same(follow(detector, [frame], one)[0], faces)
        assert_same(follow(detector, [mirror], other)[0], mirror_faces)
    assert detector.searches == ["whole", "whole", *[1] * 10]


@pytest.fixture(scope="module")
def watched():
    detector = Detector(options=DetectOptions(every=1, max_frames=8, threads=1))
    detector._scorer._faces = Counting()
    return detector, detector._scorer._faces.searches


def test_dense_sampling_follows_and_sparse_does_not(watched, clip):
    detector, searches = watched
    dense = detector.detect(SAMPLES / "real.mp4")
    assert searches == ["whole", *[1] * 7]
    searches.clear()
    apart = detector.detect_frames([frame.image for frame in clip[:8]])  # a second apart
    assert searches == ["whole"] * 8
    assert dense.score == pytest.approx(apart.score, abs=1e-6)
    searches.clear()
    assert len(list(detector.stream(iter(clip[:4])))) == 4
    assert searches == ["whole", 1, 1, 1]


def test_the_default_sampling_searches_every_frame_whole(tmp_path):
    detector = Detector(options=DetectOptions(threads=1))
    detector._scorer._faces = Counting()
    detector.detect(SAMPLES / "real.mp4")
    assert detector._scorer._faces.searches == ["whole"] * 4
