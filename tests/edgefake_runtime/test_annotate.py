"""Videos and pictures written again with their faces marked: read back, and looked at where the boxes must be."""

import itertools
import subprocess
import sys

import cv2
import numpy as np
import pytest

from edgefake_runtime import DetectOptions, Detector, InputError, UsageError
from edgefake_runtime.annotate import annotate
from edgefake_runtime.drawing import COLOURS, SET_ASIDE, Mark, draw
from edgefake_runtime.media import open_media

from .clips import number, write_video
from .judged import SAMPLES, face, track, video

SIZE = (320, 240)


@pytest.fixture(scope="module")
def detector():
    return Detector(options=DetectOptions(every=10))


def frames_of(path):
    with open_media(path) as media:
        return [frame.image for frame in media.frames(1)]


def is_near(image, place, colour, tolerance=60):
    """Whether a pixel (x, y) has this colour, as far as a lossy codec keeps it."""
    x, y = place
    patch = image[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).astype(int)
    return np.abs(patch - colour).sum(1).min() < tolerance


def clip_with(tmp_path, *tracks, count=30, **more):
    source = write_video(tmp_path / "in.mp4", count, size=SIZE)
    return video(source, *tracks, size=SIZE, total=count, **more)


def box(x):
    return (float(x), 60.0, x + 80.0, 160.0)


@pytest.mark.parametrize("ending", ["mp4", "webm"])
def test_boxes_have_their_colour_on_scored_frames_and_between(detector, tmp_path, ending):
    moving = track(0, face(0.0, 0.9, box=box(20)), face(0.4, 0.9, box=box(120)), face(0.8, 0.9, box=box(220)))
    result = clip_with(tmp_path, moving, verdict="fake")
    annotate(result, detector, tmp_path / f"out.{ending}")
    images = frames_of(tmp_path / f"out.{ending}")
    assert len(images) == 30
    for index, left in ((0, 20), (5, 70), (10, 120), (15, 170), (20, 220), (29, 220)):
        for place in ((left, 110), (left + 80, 110)):
            assert is_near(images[index], place, COLOURS["fake"], 110), (index, place)
    assert not is_near(images[20], (70, 110), COLOURS["fake"], 110)


def test_every_frame_is_there_in_order_at_the_inputs_rate(detector, tmp_path):
    result = clip_with(tmp_path, count=25)
    annotate(result, detector, tmp_path / "out.mp4")
    with open_media(tmp_path / "out.mp4") as media:
        assert (media.width, media.height, media.fps, media.frames_total) == (*SIZE, 25.0, 25)
    upper = [image[:200] for image in frames_of(tmp_path / "out.mp4")]  # above the words
    assert [number(image) for image in upper] == list(range(25))


def test_a_face_that_was_set_aside_is_thin_and_grey_and_verdicts_have_their_colours(detector, tmp_path):
    source = tmp_path / "in.png"
    cv2.imwrite(str(source), np.full((600, 900, 3), 20, np.uint8))
    tracks = (
        track(0, face(0.0, 0.9, box=(50, 100, 150, 200))),
        track(1, face(0.0, 0.1, box=(250, 100, 350, 200))),
        track(2, face(0.0, 0.5, box=(450, 100, 550, 200))),
        track(3, face(0.0, 0.9, box=(650, 100, 750, 200), judged=False), thin=True),
    )
    annotate(video(source, *tracks, verdict="fake", scored=1, total=1), detector, tmp_path / "out.png")
    with open_media(tmp_path / "out.png") as media:
        image = media.frame()
    widths = []
    for left, colour in ((50, COLOURS["fake"]), (250, COLOURS["real"]), (450, COLOURS["uncertain"]), (650, SET_ASIDE)):
        row = image[150, left - 10 : left + 10]
        widths.append(int((row == colour).all(1).sum()))
    assert widths[3] == 1
    assert min(widths[:3]) >= 2
    assert image.shape == (600, 900, 3)
    np.testing.assert_array_equal(image[300:500], 20)


def test_a_heat_map_lies_in_the_box_and_is_made_once_for_each_scored_frame(tmp_path, monkeypatch):
    detector = Detector(options=DetectOptions(every=50))
    result = detector.detect(SAMPLES / "real.mp4")
    asked = []
    evidence = detector.classifier.evidence
    monkeypatch.setattr(detector.classifier, "evidence", lambda crops: asked.append(len(crops)) or evidence(crops))
    annotate(result, detector, tmp_path / "plain.mp4")
    assert asked == []
    annotate(result, detector, tmp_path / "heat.mp4", heatmap=True)
    assert asked == [50, 50]
    x0, y0, x1, y1 = (int(edge) for edge in result.faces[0].frames[0].box)
    plain, heat = (frames_of(tmp_path / name)[0].astype(int) for name in ("plain.mp4", "heat.mp4"))
    inside = np.abs(plain - heat)[y0 + 20 : y1 - 20, x0 + 20 : x1 - 20].mean()
    outside = np.abs(plain - heat)[: y0 - 60].mean()
    assert inside > 10 > 5 * outside


def test_a_jpeg_in_gives_a_jpeg_out_of_a_detected_picture(detector, tmp_path):
    result = detector.detect(SAMPLES / "astronaut.png")
    annotate(result, detector, tmp_path / "out.jpg", heatmap=True)
    with open_media(tmp_path / "out.jpg") as media:
        assert (media.kind, media.width, media.height) == ("image", 512, 512)
        x0, y0, _, y1 = (round(edge) for edge in result.faces[0].frames[0].box)
        assert is_near(media.frame(), (x0, (y0 + y1) // 2), COLOURS[result.verdict], 90)
    assert (tmp_path / "out.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_an_interruption_or_an_error_leaves_nothing(detector, tmp_path):
    result = clip_with(tmp_path)
    for failure in (KeyboardInterrupt, RuntimeError):
        count = itertools.count()

        def fail(_, failure=failure, count=count):
            if next(count) == 5:
                raise failure

        with pytest.raises(failure):
            annotate(result, detector, tmp_path / "out.mp4", on_frame=fail)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_the_input_and_endings_that_cannot_be_written_are_refused(detector, tmp_path):
    result = clip_with(tmp_path)
    before = (tmp_path / "in.mp4").read_bytes()
    (tmp_path / "link.mp4").symlink_to("in.mp4")
    for name in ("in.mp4", "link.mp4"):
        with pytest.raises(UsageError, match="another file than the input"):
            annotate(result, detector, tmp_path / name)
    with pytest.raises(UsageError, match=r"ends with \.mp4 or \.webm"):
        annotate(result, detector, tmp_path / "out.png")
    picture = detector.detect(SAMPLES / "astronaut.png")
    with pytest.raises(UsageError, match=r"ends with \.png, \.jpg or \.jpeg"):
        annotate(picture, detector, tmp_path / "out.mp4")
    with pytest.raises(InputError, match="expected a file that can be written"):
        annotate(result, detector, tmp_path / "none" / "out.mp4")
    assert (tmp_path / "in.mp4").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "link.mp4"]


def test_a_file_gets_the_rights_that_the_umask_leaves(detector, tmp_path):
    annotate(clip_with(tmp_path, count=2), detector, tmp_path / "out.mp4")
    (tmp_path / "plain").touch()
    assert (tmp_path / "out.mp4").stat().st_mode == (tmp_path / "plain").stat().st_mode


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from edgefake_runtime import Detector, InputError
from edgefake_runtime.annotate import annotate
detector = Detector()
result = detector.detect(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    annotate(result, detector, Path(sys.argv[2]))
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("ending", ["mp4", "webm"])
def test_a_disk_without_room_is_an_error_and_leaves_nothing(tmp_path, ending):
    """Files may have 20 kB here, as on a full disk: cv2 writes on without a word."""
    target = tmp_path / f"out.{ending}"
    command = [sys.executable, "-c", FULL_DISK, str(SAMPLES / "real.mp4"), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "check that the disk has room" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_words_fit_small_frames_and_large_ones():
    for width, height in ((160, 120), (320, 240), (1920, 1080)):
        frame = np.full((height, width, 3), 90, np.uint8)
        marks = [Mark((2.0, 2.0, width / 4, height / 3), "#0 uncertain 0.50", "frame 0.50", COLOURS["uncertain"])]
        shown = draw(
            frame, marks, ["uncertain, P(fake) 0.50.", "A score is no proof."], crop=Detector().classifier.metadata.crop
        )
        assert shown.shape == frame.shape
        bright = (shown > 200).all(2)  # the white words along the lower edge
        assert bright[-height // 3 :].sum() > 60
        assert not bright[:, -2:].any()  # none cut off at the right
        np.testing.assert_array_equal(frame, 90)
