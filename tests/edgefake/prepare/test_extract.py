"""One video to crops: the rectangle is facenet-pytorch's, the pixels are the runtime's, the points lie on the face."""

import shutil

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefake.prepare.extract import cut_video
from edgefake.prepare.settings import CropSettings
from edgefake.prepare.workers import CRASHED, Job, cut_videos
from edgefake_runtime import FaceDetector
from edgefake_runtime.crops import crop_rectangle, resize
from edgefake_runtime.media import open_media

from .trees import FAKE, PORTRAIT, REAL, clips


@pytest.fixture(scope="module")
def detector():
    return FaceDetector(threads=1)


def facenet_rectangle(box, size, margin, *, width, height):
    """`extract_face` of facenet-pytorch 2.5.3, written down from its formula."""
    x0, y0, x1, y1 = box
    across, down = margin * (x1 - x0) / (size - margin), margin * (y1 - y0) / (size - margin)
    return (
        int(max(x0 - across / 2, 0)),
        int(max(y0 - down / 2, 0)),
        int(min(x1 + across / 2, width)),
        int(min(y1 + down / 2, height)),
    )


CORNER, SIDE = st.floats(-30, 500), st.floats(20, 400)


@settings(max_examples=300, deadline=None)
@given(CORNER, CORNER, SIDE, SIDE, st.sampled_from([(256, 40), (256, 0), (224, 60), (160, 32)]))
def test_the_rectangle_is_that_of_facenet_pytorch(x0, y0, across, down, size_and_margin):
    size, margin = size_and_margin
    box = (x0, y0, x0 + across, y0 + down)
    crop = CropSettings(size=size, margin=margin).crop()
    ours = crop_rectangle(box, crop, height=480, width=640)
    theirs = facenet_rectangle(box, size, margin, height=480, width=640)
    if theirs[2] > theirs[0] and theirs[3] > theirs[1]:
        assert np.abs(np.subtract(ours, theirs)).max() <= 1


def test_pixels_are_cut_as_the_runtime_cuts(tmp_path, detector):
    cut = CropSettings(format="png", every=50)
    result = cut_video(REAL.parent, REAL.name, tmp_path, cut, detector)
    assert (result.source, result.frames, result.error) == (REAL.name, 2, None)
    assert [crop.frame for crop in result.crops] == [0, 50]
    with open_media(REAL) as media:
        for frame, crop in zip(media.frames(50), result.crops, strict=True):
            face = detector.detect(frame.image)[0]
            assert np.allclose(crop.box, face.box, atol=0.006)
            left, top, right, bottom = crop_rectangle(crop.box, cut.crop(), height=480, width=480)
            expected = resize(np.ascontiguousarray(frame.image[top:bottom, left:right]), 256)
            written = cv2.imread(str(tmp_path / f"{crop.frame:06d}.png"))[..., ::-1]
            assert np.array_equal(written, expected)


def test_landmarks_are_points_of_the_crop(tmp_path, detector):
    result = cut_video(PORTRAIT.parent, PORTRAIT.name, tmp_path, CropSettings(format="png"), detector)
    (crop,) = result.crops
    image = cv2.imread(str(tmp_path / "000000.png"))[..., ::-1]
    again = detector.detect(np.ascontiguousarray(image))[0]
    assert np.abs(np.reshape(crop.landmarks, (5, 2)) - again.landmarks).max() < 8  # of 256 pixels
    eye_left, eye_right = crop.landmarks[0:2], crop.landmarks[2:4]
    assert 50 < eye_left[0] < 110 < 150 < eye_right[0] < 210


def test_the_largest_face_is_cut(tmp_path, detector):
    portrait = cv2.imread(str(PORTRAIT))
    pair = np.zeros((512, 800, 3), np.uint8)
    pair[:256, :256] = cv2.resize(portrait, (256, 256))
    pair[:, 288:] = portrait
    cv2.imwrite(str(tmp_path / "pair.png"), pair)
    (crop,) = cut_video(tmp_path, "pair.png", tmp_path / "crops", CropSettings(), detector).crops
    assert crop.box[0] > 288
    assert len(detector.detect(np.ascontiguousarray(pair[..., ::-1]))) == 2


def test_a_folder_of_frames_is_a_video(tmp_path, detector):
    frames = tmp_path / "fadg0" / "video" / "sa1"
    frames.mkdir(parents=True)
    _, data = cv2.imencode(".jpg", cv2.imread(str(PORTRAIT)))
    for number in range(1, 6):
        (frames / f"{number:03d}").write_bytes(data.tobytes())
    result = cut_video(tmp_path, "fadg0/video/sa1", tmp_path / "out", CropSettings(every=2), detector)
    assert [crop.frame for crop in result.crops] == [0, 2, 4]
    assert cut_video(tmp_path, "fadg0/video/sa1", tmp_path / "out", CropSettings(max_frames=1), detector).frames == 1


def test_what_cannot_be_read_says_why_and_leaves_nothing(tmp_path, detector):
    frames = tmp_path / "frames"
    frames.mkdir()
    shutil.copy(PORTRAIT, frames / "1.png")
    (frames / "2.png").write_bytes(PORTRAIT.read_bytes()[:9000])
    result = cut_video(tmp_path, "frames", tmp_path / "out", CropSettings(every=1), detector)
    assert result.error.startswith("2.png: expected a picture or video, got a damaged")
    assert str(tmp_path) not in result.error
    assert (result.frames, result.crops) == (0, ())
    assert list((tmp_path / "out").iterdir()) == []


def test_a_video_that_kills_its_process_is_reported_and_the_next_is_cut(tmp_path):
    import multiprocessing

    clips(tmp_path, "1.mp4", "2.mp4", "3.mp4")
    cut = CropSettings(every=100)
    jobs = [Job(f"{n}.mp4", tmp_path / "out" / str(n)) for n in (1, 2, 3)]
    before = set(multiprocessing.active_children())
    results = cut_videos(jobs, tmp_path, cut, workers=1)
    first = next(results)
    (worker,) = set(multiprocessing.active_children()) - before
    worker.kill()
    second, third = results
    assert (first.source, first.error) == ("1.mp4", None)
    assert (second.source, second.error) == ("2.mp4", CRASHED)
    assert (third.source, third.error, len(third.crops)) == ("3.mp4", None, 1)
    assert set(multiprocessing.active_children()) == before


def test_a_full_disk_stops_the_run(tmp_path):
    clips(tmp_path, "1.mp4")
    (tmp_path / "file").touch()
    jobs = [Job("1.mp4", tmp_path / "file" / "below")]
    with pytest.raises(NotADirectoryError):
        list(cut_videos(jobs, tmp_path, CropSettings(every=100), workers=1))


def test_fake_and_real_sample_differ(tmp_path, detector):
    """The samples that the other tests rely on hold one face each."""
    for sample in (REAL, FAKE):
        result = cut_video(sample.parent, sample.name, tmp_path / sample.stem, CropSettings(every=100), detector)
        assert len(result.crops) == 1
    assert (tmp_path / "real/000000.jpg").read_bytes() != (tmp_path / "fake/000000.jpg").read_bytes()
