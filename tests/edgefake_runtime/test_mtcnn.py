"""The face detector against facenet-pytorch's answers, which scripts/golden_mtcnn.py wrote."""

import hashlib
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefake_runtime.errors import ModelFileError, UsageError
from edgefake_runtime.mtcnn import (
    Face,
    FaceDetector,
    _pixels,
    _square,
    default_min_face,
    non_maximum_suppression,
    overlap,
    pyramid,
)

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests" / "golden" / "mtcnn.json").read_text())["pictures"]
ASTRONAUT, *PICTURES = GOLDEN


def name_of(entry):
    return f"{Path(entry['name']).name}:{entry['frame']}" if "frame" in entry else Path(entry["name"]).name


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


@pytest.fixture(scope="module")
def astronaut():
    sample = ROOT / "docs" / "samples" / "astronaut.png"
    if sample.exists():
        picture = np.ascontiguousarray(cv2.imread(str(sample))[..., ::-1])
    else:
        picture = pytest.importorskip("skimage.data").astronaut()
    assert hashlib.sha256(picture.tobytes()).hexdigest()[:16] == ASTRONAUT["sha256"]
    return picture


def read(path, entry):
    """Decodes as scripts/golden_mtcnn.py does: cv2, BGR reversed."""
    assert hashlib.sha256(path.read_bytes()).hexdigest()[:16] == entry["sha256"]
    if "frame" not in entry:
        image = cv2.imread(str(path))
    else:
        capture = cv2.VideoCapture(str(path))
        for _ in range(entry["frame"] + 1):
            _, image = capture.read()
    return np.ascontiguousarray(image[..., ::-1])


def iou(a, b):
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    inter = np.clip(sides, 0, None).prod()
    return inter / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inter)


def assert_same_faces(found: list[Face], expected):
    assert len(found) == len(expected)
    for face, golden in zip(found, expected, strict=True):
        assert iou(np.array(face.box), np.array(golden["box"])) >= 0.95
        assert np.hypot(*(np.array(face.landmarks) - np.array(golden["landmarks"])).T).max() <= 2
        assert face.score == pytest.approx(golden["score"], abs=1e-3)


@pytest.mark.parametrize("min_face", ["20", "40", "80"])
def test_astronaut_as_facenet(detector, astronaut, min_face):
    assert_same_faces(detector.detect(astronaut, min_face=int(min_face)), ASTRONAUT["faces"][min_face])


@pytest.mark.data
@pytest.mark.parametrize("min_face", ["20", "40", "80"])
@pytest.mark.parametrize("entry", PICTURES, ids=name_of)
def test_pictures_and_clips_as_facenet(detector, data_folder, entry, min_face):
    picture = read(data_folder / entry["name"], entry)
    assert_same_faces(detector.detect(picture, min_face=int(min_face)), entry["faces"][min_face])


@pytest.fixture(scope="module")
def tflite():
    pytest.importorskip("ai_edge_litert")
    return FaceDetector(format="tflite", threads=1)


def assert_equal_faces(found: list[Face], expected: list[Face]):
    assert len(found) == len(expected)
    for face, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(face.box, other.box, atol=0.01)
        np.testing.assert_allclose(face.landmarks, other.landmarks, atol=0.01)
        assert face.score == pytest.approx(other.score, abs=1e-5)


@pytest.mark.parametrize("min_face", ["20", "40", "80"])
def test_tflite_finds_the_same_in_the_astronaut(detector, tflite, astronaut, min_face):
    found = tflite.detect(astronaut, min_face=int(min_face))
    assert_equal_faces(found, detector.detect(astronaut, min_face=int(min_face)))
    assert_same_faces(found, ASTRONAUT["faces"][min_face])


@pytest.mark.data
@pytest.mark.parametrize("min_face", [20, 40])
@pytest.mark.parametrize("entry", PICTURES[::3], ids=name_of)
def test_tflite_finds_the_same_in_pictures_and_clips(detector, tflite, data_folder, entry, min_face):
    picture = read(data_folder / entry["name"], entry)
    assert_equal_faces(tflite.detect(picture, min_face=min_face), detector.detect(picture, min_face=min_face))


@pytest.mark.parametrize("shape", [(41, 1000), (300, 300), (39, 500)])
def test_tflite_finds_no_face_in_noise(tflite, shape):
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert tflite.detect(frame) == []


def test_tflite_networks_in_threads(tflite, astronaut):
    frames = [astronaut, np.ascontiguousarray(astronaut[:300]), np.ascontiguousarray(astronaut[:, :400])] * 4
    expected = [tflite.detect(frame, min_face=80) for frame in frames[:3]] * 4
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(partial(tflite.detect, min_face=80), frames)) == expected


@pytest.mark.data
def test_no_face_in_landscapes_and_objects(detector, data_folder):
    pictures = sorted((data_folder / "tests" / "no_face").glob("*.jpg"))
    assert pictures
    found = {path.name: detector.detect(cv2.imread(str(path))[..., ::-1], min_face=80) for path in pictures}
    assert [name for name, faces in found.items() if faces] == []


def test_largest_face_first(detector, astronaut):
    small = cv2.resize(astronaut, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    both = np.zeros((512, 768, 3), np.uint8)
    both[:256, :256], both[:, 256:] = small, astronaut
    faces = detector.detect(both)
    assert len(faces) == 2
    areas = [(face.box[2] - face.box[0]) * (face.box[3] - face.box[1]) for face in faces]
    assert areas == sorted(areas, reverse=True)
    assert faces[0].box[0] > 256 > faces[1].box[2]


def test_landmarks_stand_in_their_places(detector, astronaut):
    (face,) = detector.detect(astronaut)
    left, right, nose, mouth_left, mouth_right = face.landmarks
    assert left[0] < nose[0] < right[0]
    assert mouth_left[0] < mouth_right[0]
    assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])


def test_min_face_of_a_call_is_min_face_of_a_detector(detector, astronaut):
    assert detector.detect(astronaut, min_face=80) == FaceDetector(min_face=80).detect(astronaut)


def test_one_thread_finds_the_same(detector, astronaut):
    (expected,), (found,) = detector.detect(astronaut), FaceDetector(threads=1).detect(astronaut)
    np.testing.assert_allclose(found.box, expected.box, atol=0.01)


def test_min_face_above_the_face_finds_none(detector, astronaut):
    assert detector.detect(astronaut, min_face=300) == []


def test_half_a_face_at_the_border_keeps_the_detector_running(detector, astronaut):
    for frame in (astronaut[:, 225:], astronaut[110:], astronaut[:110], astronaut[:, :225]):
        for face in detector.detect(np.ascontiguousarray(frame), min_face=20):
            assert np.isfinite([*face.box, face.score, *np.ravel(face.landmarks)]).all()


@pytest.mark.parametrize("shape", [(1, 1), (10, 10), (39, 500), (500, 39), (40, 40), (41, 1000), (300, 300)])
@pytest.mark.parametrize("content", ["black", "gray", "noise"])
def test_no_face_in_empty_frames(detector, shape, content):
    frame = np.full((*shape, 3), {"black": 0, "gray": 128, "noise": 0}[content], np.uint8)
    if content == "noise":
        frame = np.random.default_rng(0).integers(0, 256, frame.shape, dtype=np.uint8)
    assert detector.detect(frame) == []


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 1), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((1, 64, 64, 3), np.uint8),
        np.zeros((64, 64, 3), np.float32),
    ],
)
def test_another_frame_is_refused(detector, frame):
    with pytest.raises(UsageError, match="expected an RGB frame"):
        detector.detect(frame)


def test_a_frame_without_pixels_has_no_face(detector):
    assert detector.detect(np.zeros((0, 64, 3), np.uint8)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_face": 11}, "min_face"),
        ({"thresholds": (0.6, 0.7)}, "thresholds"),
        ({"thresholds": (0.6, 0.7, 1.2)}, "thresholds"),
        ({"factor": 1.0}, "factor"),
        ({"threads": 0}, "threads"),
        ({"threads": 0, "format": "tflite"}, "threads"),
        ({"format": "pt"}, "format"),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    with pytest.raises(UsageError, match=f"{message}: expected"):
        FaceDetector(**options)


def test_min_face_of_a_call_is_checked(detector):
    with pytest.raises(UsageError, match="min_face: expected 12"):
        detector.detect(np.zeros((64, 64, 3), np.uint8), min_face=0)


def test_missing_and_damaged_networks_name_the_cure(tmp_path):
    with pytest.raises(ModelFileError, match="pip install"):
        FaceDetector(folder=tmp_path)
    (tmp_path / "pnet.onnx").write_bytes(b"no network")
    with pytest.raises(ModelFileError, match=r"pnet\.onnx"):
        FaceDetector(folder=tmp_path)


def test_missing_damaged_and_foreign_tflite_networks_name_the_cure(tmp_path):
    pytest.importorskip("ai_edge_litert")
    models = Path(__file__).parents[2] / "models"
    whole = (models / "mtcnn" / "pnet.tflite").read_bytes()
    with pytest.raises(ModelFileError, match=r"pnet\.tflite, but .* pip install"):
        FaceDetector(folder=tmp_path, format="tflite")
    for damaged in (b"", b"no network", whole[:-20_000], b"\0" * 4 + whole[4:]):
        (tmp_path / "pnet.tflite").write_bytes(damaged)
        with pytest.raises(ModelFileError, match=r"pnet\.tflite, but ai-edge-litert cannot run it: .* pip install"):
            FaceDetector(folder=tmp_path, format="tflite")
    shutil.copy(next(models.glob("*/bitvit*.tflite")), tmp_path / "pnet.tflite")
    with pytest.raises(ModelFileError, match="it gives logits, not boxes and probability"):
        FaceDetector(folder=tmp_path, format="tflite")


def test_without_litert_the_extra_is_named():
    code = (
        "import sys; sys.modules['ai_edge_litert'] = None; from edgefake_runtime.mtcnn import FaceDetector;"
        "FaceDetector(); FaceDetector(format='tflite')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "MissingExtraError" in result.stderr
    assert "edgefake[litert]" in result.stderr


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(480, 640, 40), (1080, 1920, 40), (1920, 1080, 40), (2160, 3840, 80), (1440, 2560, 53)],
)
def test_default_min_face_grows_above_full_hd(height, width, expected):
    assert default_min_face(height, width) == expected


def test_pyramid_ends_where_the_receptive_field_no_longer_fits():
    scales = pyramid(1080, 1920, min_face=40, factor=0.709)
    assert scales[0] == 0.3
    assert scales[-1] * 1080 >= 12 > scales[-1] * 0.709 * 1080
    np.testing.assert_allclose(np.divide(scales[1:], scales[:-1]), 0.709)


def slow_suppression(boxes, scores, threshold, pixel):
    """Greedy suppression, one pair at a time; the overlap is against the smaller box where `pixel` is 1."""
    order = sorted(range(len(boxes)), key=lambda i: (-scores[i], i))
    kept = []
    for i in order:
        for j in kept:
            w = min(boxes[i][2], boxes[j][2]) - max(boxes[i][0], boxes[j][0]) + pixel
            h = min(boxes[i][3], boxes[j][3]) - max(boxes[i][1], boxes[j][1]) + pixel
            inter = max(w, 0) * max(h, 0)
            areas = [(boxes[k][2] - boxes[k][0] + pixel) * (boxes[k][3] - boxes[k][1] + pixel) for k in (i, j)]
            if inter > threshold * (min(areas) if pixel else sum(areas) - inter):
                break
        else:
            kept.append(i)
    return kept


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 15)] * 2, st.integers(0, 6)),
        max_size=60,
    ),
    st.booleans(),
    st.sampled_from([3, 16, 256]),
)
def test_suppression_is_the_slow_ones(drawn, minimum, block):
    # Thresholds that no ratio of such small areas meets exactly, where float32 and float64 could disagree.
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in drawn], np.float32).reshape(-1, 4)
    scores = np.array([score / 8 for *_, score in drawn], np.float32)
    for threshold in (0.503, 0.7013):
        got = non_maximum_suppression(boxes, scores, threshold, minimum=minimum, block=block)
        assert got.tolist() == slow_suppression(boxes.tolist(), scores.tolist(), threshold, int(minimum))


def test_suppression_of_a_long_chain_is_greedy():
    # Each box overlaps only its neighbours: greedy keeps every other one.
    boxes = np.array([(10 * i, 0, 10 * i + 16, 10) for i in range(301)], np.float32)
    scores = np.linspace(1, 0.5, 301, dtype=np.float32)
    kept = non_maximum_suppression(boxes, scores, 0.2)
    assert kept.tolist() == list(range(0, 301, 2))


def test_overlap_of_known_boxes():
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[0, 0, 10, 5], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3]], np.float32)
    np.testing.assert_allclose(overlap(a, b), [[0.5, 1 / 3, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(overlap(a, b, minimum=True), [[1, 66 / 121, 0, 1]], rtol=1e-6)


def test_boxes_become_squares_about_their_centre():
    boxes = np.array([[0, 0, 10, 20], [5, 5, 25, 15]], np.float32)
    np.testing.assert_array_equal(_square(boxes), [[-5, 0, 15, 20], [5, 0, 25, 20]])


def test_boxes_become_pixels_as_in_facenet():
    # facenet: truncate, clamp to 1..size, then cut [y - 1 : ey, x - 1 : ex].
    boxes = np.array([[-3.7, 0.9, 10.9, 50.2], [2.9, 1.2, 4.1, 5.0], [-9, -9, -2, -2]], np.float32)
    pixels = _pixels(boxes, 40, 30)
    np.testing.assert_array_equal(pixels[:2], [[0, 0, 10, 40], [1, 0, 4, 5]])
    assert (pixels[2, 2:] <= pixels[2, :2]).all()


def test_detector_loads_no_torch():
    code = (
        "import sys, numpy as np; from edgefake_runtime.mtcnn import FaceDetector;"
        "FaceDetector().detect(np.zeros((64, 64, 3), np.uint8)); print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
