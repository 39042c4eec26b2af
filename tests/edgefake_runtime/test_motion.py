"""Where faces are between the scored frames."""

import numpy as np
import pytest

from edgefake_runtime.motion import motions

from .judged import face, track, video


def moving(*faces, scored, step_s=1.0):
    (motion,) = motions(video("v.mp4", track(0, *faces), scored=scored), step_s=step_s)
    return motion


def box(x):
    return (x, 0.0, x + 20.0, 30.0)


def test_a_box_runs_straight_between_scored_frames_and_is_exact_on_them():
    motion = moving(face(0.0, box=box(0)), face(1.0, box=box(10)), face(2.0, box=(30, 8, 60, 50)), scored=3)
    assert motion.at(0.0).box == box(0)
    assert motion.at(0.25).box == box(2.5)
    assert motion.at(1.0).box == box(10)
    assert motion.at(1.5).box == (20, 4, 45, 40)
    assert motion.at(2.0).box == (30, 8, 60, 50)


def test_the_scored_frame_that_holds_is_the_last_one():
    motion = moving(face(0.0, 0.1), face(1.0, 0.9), scored=2)
    held = [motion.at(time).face.score for time in (0.0, 0.99, 1.0, 1.5)]
    assert held == [0.1, 0.1, 0.9, 0.9]


def test_a_face_that_comes_and_goes_is_shown_for_half_a_step():
    motion = moving(face(3.0), face(4.0), scored=10)
    seen = {time: motion.at(time) is not None for time in (2.4, 2.5, 3.5, 4.5, 4.6)}
    assert seen == {2.4: False, 2.5: True, 3.5: True, 4.5: True, 4.6: False}
    assert not motion.at(2.6).scored
    assert motion.at(3.0).scored


def test_where_it_was_looked_for_and_not_found_there_is_no_box():
    motion = moving(face(0.0, box=box(0)), face(3.0, box=box(9)), scored=4)
    assert motion.at(0.4).box == box(0)
    assert motion.at(1.0) is motion.at(2.0) is None
    assert motion.at(2.6).box == box(9)
    assert not motion.at(2.6).scored


def test_after_the_inputs_last_scored_frame_a_box_stays_for_a_step():
    motion = moving(face(1.0), face(2.0), scored=3)
    assert motion.at(2.99) is not None
    assert motion.at(3.2) is None


def test_a_pictures_face_is_where_it_is():
    motion = moving(face(0.0, box=box(5)), scored=1, step_s=0.0)
    assert motion.at(0.0).box == box(5)


def test_every_time_of_a_whole_track_has_a_box_that_moves_without_a_jump():
    times = np.cumsum(np.random.default_rng(0).uniform(0.9, 1.1, 8))
    motion = moving(*(face(t, box=box(10 * n)) for n, t in enumerate(times)), scored=9)
    lefts = [motion.at(t).box[0] for t in np.arange(times[0], times[-1], 0.02)]
    assert np.diff(lefts).min() >= 0
    assert np.diff(lefts).max() == pytest.approx(0.2, abs=0.03)
