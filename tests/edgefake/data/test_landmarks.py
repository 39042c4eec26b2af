"""Landmarks of a manifest: annotated ones first, MTCNN's otherwise, kept for the next run."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefake.data import landmarks as module
from edgefake.data.landmarks import find_five_points, load_landmarks, read_landmarks
from edgefake.data.manifest import Sample
from edgefake.data.selfblend import face_hull, five_points
from edgefake_runtime import FaceDetector, InputError

PORTRAIT = Path(__file__).resolve().parents[3] / "docs" / "samples" / "astronaut.png"
FIVE = np.array([[108.0, 102.0], [150.0, 103.0], [128.0, 129.0], [104.0, 140.0], [148.0, 141.0]])


@pytest.fixture(scope="module")
def portrait():
    """(256, 256, 3) RGB; FIVE are its points."""
    whole = cv2.cvtColor(cv2.imread(str(PORTRAIT)), cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(whole[:256, 97:353])


@pytest.fixture(scope="module")
def detector():
    return FaceDetector(threads=1)


@pytest.fixture
def never(monkeypatch):
    """A search for faces fails the test."""

    def refuse(*_):
        raise AssertionError("searched for a face")

    monkeypatch.setattr(module, "find_five_points", refuse)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def samples(folder, *names):
    return [Sample(folder / name, label="real", split="", group=name, line=2 + i) for i, name in enumerate(names)]


def write_points(path, rows, *, lead=("file",)):
    """A CSV of landmarks: rows of a name, what else `lead` names, and (K, 2) points."""
    count = len(rows[0][-1]) if rows else 5
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*lead, *(f"{axis}{i}" for i in range(count) for axis in "xy")])
        writer.writerows([*row[:-1], *np.ravel(row[-1])] for row in rows)


def grey():
    return np.full((64, 64, 3), 90, np.uint8)


# Annotated


def test_annotations_beside_the_manifest_are_read(tmp_path, never):
    write_points(tmp_path / "landmarks5.csv", [("a/x.png", FIVE), ("y.png", FIVE + 7)])
    found = load_landmarks(samples(tmp_path, "a/x.png", "images/y.png"), tmp_path / "manifest.csv")
    assert np.allclose(found.points[tmp_path / "a/x.png"], FIVE)
    assert np.allclose(found.points[tmp_path / "images/y.png"], FIVE + 7)
    assert (found.annotated, found.found, found.faceless, found.unreadable) == (2, 0, 0, 0)


def test_annotations_beside_pictures_elsewhere_are_read(tmp_path, never):
    """As of the research sets: landmarks above a folder `images`, and the manifest in another place."""
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    write_points(data / "landmarks5.csv", [("x.png", FIVE)])
    found = load_landmarks(samples(data, "images/x.png"), tmp_path / "manifest.csv")
    assert list(found.points) == [data / "images/x.png"]


def test_the_most_points_win_where_they_are_of_a_face(tmp_path, never):
    rng = np.random.default_rng(0)
    sixty_eight = np.concatenate([FIVE, rng.uniform(90, 150, (63, 2))])
    sixty_eight[36:42], sixty_eight[42:48], sixty_eight[48], sixty_eight[54] = FIVE[0], FIVE[1], FIVE[3], FIVE[4]
    write_points(tmp_path / "landmarks5.csv", [("x.png", FIVE), ("y.png", FIVE)])
    write_points(tmp_path / "landmarks68.csv", [("x.png", sixty_eight), ("y.png", np.zeros((68, 2)))])
    found = load_landmarks(samples(tmp_path, "x.png", "y.png"), tmp_path / "manifest.csv").points
    assert [len(points) for points in found.values()] == [68, 5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"landmarks5.csv:1: expected 11 columns file,x0,y0,x1,..., got 0"),
        ("file,x0,y0\nx.png,1,2\n", r"landmarks5.csv:1: expected 11 columns .* got 3"),
        ("{header}\nx.png,1,2,3\n", r"landmarks5.csv:2: expected 11 cells, got 4"),
        ("{header}\nx.png,1,2,3,4,5,6,7,8,9,ten\n", r"landmarks5.csv:2: expected pixels as numbers, got: .*ten"),
        ("{header}\nx.png,1,2,3,4,5,6,7,8,9,nan\n", r"landmarks5.csv:2: .* not finite"),
        ("{header}\n,1,2,3,4,5,6,7,8,9,10\n", r"landmarks5.csv:2: expected a file name of its own, got ''"),
        ("{header}\n{row}\n{row}\n", r"landmarks5.csv:3: expected a file name of its own, got 'x.png'"),
        ("\x00\xff", r"landmarks5.csv: expected a CSV file of landmarks, got: .*utf-8"),
    ],
)
def test_malformed_lines_are_named(tmp_path, text, message):
    header = ",".join(["file", *(f"{axis}{i}" for i in range(5) for axis in "xy")])
    filled = text.replace("{header}", header).replace("{row}", "x.png,1,2,3,4,5,6,7,8,9,10")
    path = tmp_path / "landmarks5.csv"
    path.write_bytes(filled.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        read_landmarks(path, 5)
    with pytest.raises(InputError, match=message):
        load_landmarks(samples(tmp_path, "x.png"), tmp_path / "manifest.csv")


# Found


@pytest.mark.parametrize("window", [np.s_[:, :], np.s_[50:180, 63:193], np.s_[20:230, 40:200]])
def test_faces_are_found_in_wide_and_tight_crops(portrait, detector, window):
    found = find_five_points(portrait[window], detector)
    assert np.abs(found + np.array([window[1].start or 0, window[0].start or 0]) - FIVE).max() < 4


def test_small_faces_and_large_pictures(portrait, detector):
    small = cv2.copyMakeBorder(portrait, 0, 256, 128, 128, cv2.BORDER_CONSTANT, value=(30, 60, 90))
    assert np.abs(find_five_points(small, detector) - (FIVE + np.array([128, 0]))).max() < 4
    large = cv2.resize(portrait, (1024, 1024), interpolation=cv2.INTER_CUBIC)
    assert np.abs(find_five_points(large, detector) / 4 - FIVE).max() < 4


@pytest.mark.parametrize("shape", [(64, 64), (1, 1), (400, 1), (3, 50)])
def test_no_face_is_none(detector, shape):
    assert find_five_points(np.full((*shape, 3), 128, np.uint8), detector) is None


def test_what_is_missing_is_counted_and_left_out(tmp_path, portrait):
    save(tmp_path / "face.png", portrait)
    save(tmp_path / "grey.png", grey())
    (tmp_path / "text.png").write_text("no picture")
    done = []
    wanted = samples(tmp_path, "face.png", "grey.png", "text.png", "missing.png")
    found = load_landmarks(wanted, tmp_path / "manifest.csv", on_done=done.append)
    assert list(found.points) == [tmp_path / "face.png"]
    assert found.points[tmp_path / "face.png"].shape == (5, 2)
    assert (found.annotated, found.found, found.faceless, found.unreadable) == (0, 1, 1, 2)
    assert done == [1, 2, 3, 4]


# Kept


def test_the_next_run_reads_the_cache(tmp_path, portrait, monkeypatch):
    save(tmp_path / "face.png", portrait)
    save(tmp_path / "grey.png", grey())
    cache = tmp_path / "runs" / "cache.csv"
    wanted = samples(tmp_path, "face.png", "grey.png")
    first = load_landmarks(wanted, tmp_path / "manifest.csv", cache=cache)
    assert [path.name for path in cache.parent.iterdir()] == ["cache.csv"]  # no temporary file stays
    monkeypatch.setattr(module, "find_five_points", lambda *_: pytest.fail("searched again"))
    second = load_landmarks(wanted, tmp_path / "manifest.csv", cache=cache)
    assert np.allclose(first.points[tmp_path / "face.png"], second.points[tmp_path / "face.png"], atol=0.006)
    assert (second.found, second.faceless) == (1, 1)


def test_another_picture_of_that_name_is_searched_again(tmp_path, portrait):
    save(tmp_path / "face.png", portrait)
    cache = tmp_path / "cache.csv"
    wanted = samples(tmp_path, "face.png")
    before = load_landmarks(wanted, tmp_path / "manifest.csv", cache=cache).points[tmp_path / "face.png"]
    save(tmp_path / "face.png", portrait[:, ::-1])
    after = load_landmarks(wanted, tmp_path / "manifest.csv", cache=cache).points[tmp_path / "face.png"]
    assert np.abs(after[0] - [255 - before[1, 0], before[1, 1]]).max() < 4


def test_the_cache_keeps_other_pictures_entries(tmp_path, never):
    lead = ("file", "bytes")
    save(tmp_path / "b.png", grey())
    size = (tmp_path / "b.png").stat().st_size
    cache = tmp_path / "cache.csv"
    write_points(cache, [("a.png", 10, FIVE), ("b.png", size, FIVE)], lead=lead)
    found = load_landmarks(samples(tmp_path, "b.png"), tmp_path / "manifest.csv", cache=cache)
    assert np.allclose(found.points[tmp_path / "b.png"], FIVE)
    assert [line.split(",")[0] for line in cache.read_text().splitlines()] == ["file", "a.png", "b.png"]


def test_an_interrupted_search_keeps_what_it_found(tmp_path, portrait):
    save(tmp_path / "face.png", portrait)
    cache = tmp_path / "cache.csv"

    def interrupt(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_landmarks(samples(tmp_path, "face.png"), tmp_path / "manifest.csv", cache=cache, on_done=interrupt)
    assert "face.png" in cache.read_text()


def test_a_cache_that_cannot_be_used_is_refused_before_the_search(tmp_path, never):
    (tmp_path / "file").write_text("")
    wanted = samples(tmp_path, "x.png")
    with pytest.raises(InputError, match="expected a folder that can be written"):
        load_landmarks(wanted, tmp_path / "manifest.csv", cache=tmp_path / "file" / "cache.csv")
    write_points(tmp_path / "cache.csv", [("x.png", "many", FIVE)], lead=("file", "bytes"))
    with pytest.raises(InputError, match=r"cache.csv:2: expected a number of bytes, got 'many'; delete the file"):
        load_landmarks(wanted, tmp_path / "manifest.csv", cache=tmp_path / "cache.csv")
    (tmp_path / "cache.csv").write_text("label,path\n")
    with pytest.raises(InputError, match=r"cache.csv:1: expected 12 columns"):
        load_landmarks(wanted, tmp_path / "manifest.csv", cache=tmp_path / "cache.csv")


# The research sets


@pytest.mark.data
@pytest.mark.parametrize(("name", "count"), [("ytf68", 68), ("scut86", 86)])
def test_annotated_sets(data_folder, tmp_path, never, name, count):
    folder = data_folder / name
    pictures = sorted(path.name for path in (folder / "images").iterdir())
    found = load_landmarks(samples(folder / "images", *pictures), tmp_path / "manifest.csv")
    assert found.annotated == len(pictures)
    assert {len(points) for points in found.points.values()} == {count}


@pytest.mark.data
@pytest.mark.parametrize("name", ["ytf68", "scut86"])
def test_found_points_are_the_annotated_ones(data_folder, detector, name):
    """To 20 % of the eyes' distance for each, 8 % in the middle: also a check of the 86 points' order."""
    count = int(name[-2:])
    errors = []
    for file, points in list(read_landmarks(data_folder / name / f"landmarks{count}.csv", count).items())[::97]:
        image = cv2.cvtColor(cv2.imread(str(data_folder / name / "images" / file)), cv2.COLOR_BGR2RGB)
        found, given = find_five_points(image, detector), five_points(points)
        assert found is not None, file
        errors.append(np.linalg.norm(found - given, axis=1).mean() / np.linalg.norm(given[0] - given[1]))
    assert np.median(errors) < 0.08
    assert max(errors) < 0.2


@pytest.mark.data
def test_faces_of_tight_crops_are_found(data_folder, detector):
    crops = sorted((data_folder / "dfdc" / "val" / "real").iterdir())[::30]
    found = 0
    for path in crops:
        points = find_five_points(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), detector)
        if points is not None:
            found += 1
            assert 80 < np.ptp(face_hull(points), axis=0).max() < 350
    assert found > 0.9 * len(crops)
