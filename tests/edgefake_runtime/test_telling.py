"""Which frames tell most, and their faces cut from a second reading."""

import cv2
import numpy as np
import pytest

from edgefake_runtime import DetectOptions, Detector, InputError
from edgefake_runtime.crops import crop_rectangle, resize
from edgefake_runtime.media import open_media
from edgefake_runtime.telling import SIDE, cut_crops, most_telling

from .judged import SAMPLES, face, track, video


def scores(faces):
    return [one.score for one in faces]


def test_the_highest_and_the_lowest_are_chosen():
    faces = [face(float(n), score) for n, score in enumerate((0.5, 0.9, 0.1, 0.6, 0.3, 0.8, 0.2))]
    assert scores(most_telling(track(0, *faces), each=2)) == [0.9, 0.8, 0.2, 0.1]
    assert scores(most_telling(track(0, *faces), each=4)) == sorted(scores(faces), reverse=True)


def test_what_was_set_aside_is_chosen_only_where_nothing_else_is_there():
    aside = face(1.0, 0.95, judged=False)
    assert scores(most_telling(track(0, face(0.0, 0.2), aside, face(2.0, 0.4)))) == [0.4, 0.2]
    assert scores(most_telling(track(0, aside, thin=True))) == [0.95]


@pytest.fixture(scope="module")
def detector():
    return Detector(options=DetectOptions(every=30))


def test_crops_are_those_of_their_frames(detector):
    result = detector.detect(SAMPLES / "real.mp4")
    chosen = {0: (result.faces[0].frames[2], result.faces[0].frames[0])}
    cut = cut_crops(result, detector, chosen, heatmap=True)
    assert [crop.face for crop in cut[0]] == list(chosen[0])
    with open_media(SAMPLES / "real.mp4") as media:
        images = {frame.time_s: frame.image for frame in media.frames(30)}
    for crop in cut[0]:
        image = images[crop.face.time_s]
        x0, y0, x1, y1 = crop_rectangle(crop.face.box, detector.classifier.metadata.crop, height=480, width=480)
        expected = resize(np.ascontiguousarray(image[y0:y1, x0:x1]), SIDE)
        shown = cv2.cvtColor(cv2.imdecode(np.frombuffer(crop.picture, np.uint8), 1), cv2.COLOR_BGR2RGB)
        assert np.abs(shown.astype(int) - expected).mean() < 4
        assert np.abs(shown.astype(int) - resize(images[1.2], SIDE)).mean() > 10
        heat = cv2.imdecode(np.frombuffer(crop.heat, np.uint8), 1)
        assert heat.shape == (SIDE, SIDE, 3)
        assert np.abs(heat[:, :, ::-1].astype(int) - shown).mean() > 8


def test_no_more_is_read_than_is_needed(detector, monkeypatch):
    import edgefake_runtime.telling as telling

    opened = []
    monkeypatch.setattr(telling, "open_media", lambda *a, **k: opened.append(open_media(*a, **k)) or opened[-1])
    result = detector.detect(SAMPLES / "real.mp4")
    assert len(cut_crops(result, detector, {0: result.faces[0].frames[1:2]})[0]) == 1
    assert opened[0].frames_read == 31


def test_a_frame_that_is_gone_has_no_crop_and_a_file_that_is_gone_is_an_error(detector, tmp_path):
    result = video(SAMPLES / "real.mp4", track(0, face(0.0), face(99.0)))
    assert len(cut_crops(result, detector, {0: result.faces[0].frames})[0]) == 1
    with pytest.raises(InputError, match="no such file"):
        cut_crops(video(tmp_path / "gone.mp4", track(0, face(0.0))), detector, {0: (face(0.0),)})
