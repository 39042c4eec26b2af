"""`edgefake selfblend`: the sheet, and what it refuses."""

import csv
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgefake.cli.app import app

PORTRAIT = Path(__file__).resolve().parents[2] / "docs" / "samples" / "astronaut.png"
FIVE = np.array([[108.0, 102.0], [150.0, 103.0], [128.0, 129.0], [104.0, 140.0], [148.0, 141.0]])
GAP, HEADER = 4, 18


@pytest.fixture
def faces(tmp_path):
    """A folder of three annotated real faces and one fake, with a manifest."""
    folder = tmp_path / "faces"
    folder.mkdir()
    face = cv2.imread(str(PORTRAIT))[:256, 97:353]
    names = ["a.png", "b.png", "c.png", "fake.png"]
    with (folder / "landmarks5.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", *(f"{axis}{i}" for i in range(5) for axis in "xy")])
        rows.writerows([name, *FIVE.ravel()] for name in names)
    for name in names:
        cv2.imwrite(str(folder / name), face)
    lines = [f"{name},{'fake' if name == 'fake.png' else 'real'}" for name in names]
    (folder / "manifest.csv").write_text("\n".join(["file,label", *lines]) + "\n")
    return folder


def selfblend(*arguments):
    return CliRunner().invoke(app, ["selfblend", *map(str, arguments)])


def refused(code, *arguments):
    """The one line that a refused command prints."""
    done = selfblend(*arguments)
    assert done.exit_code == code, done.output
    (line,) = done.stderr.strip().splitlines()
    return line


def tiles(path, side, columns):
    """The sheet's tiles as rows of columns, BGR."""
    sheet = cv2.imread(str(path))
    step = side + GAP
    assert (sheet.shape[1] - GAP) % step == 0
    assert (sheet.shape[1] - GAP) // step == columns
    rows = (sheet.shape[0] - HEADER - GAP) // step
    return [
        [sheet[HEADER + r * step :, GAP + c * step :][:side, :side].astype(int) for c in range(columns)]
        for r in range(rows)
    ]


def test_a_sheet_of_a_manifest_shows_its_reals(faces, tmp_path):
    out = tmp_path / "sheet.png"
    done = selfblend(faces / "manifest.csv", "-o", out, "--tile", 128)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0].endswith("sheet.png: 3 pictures")
    rows = tiles(out, 128, 3)
    assert len(rows) == 3
    for real, mask, blended in rows:
        assert np.abs(real - rows[0][0]).max() == 0
        assert np.ptp(mask) > 50
        assert np.abs(blended - real).max() > 4
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_columns_and_several_blends(faces, tmp_path):
    out = tmp_path / "sheet.png"
    columns = "real,target,source,mask,blended,difference"
    done = selfblend(faces, "-o", out, "--rows", 1, "--blends", 2, "--tile", 96, "--columns", columns)
    assert done.exit_code == 0, done.output
    ((real, target, source, _, blended, difference, *second),) = tiles(out, 96, 11)
    assert len(second) == 5
    assert np.abs(second[3] - blended).max() > 4
    # Beyond the face the blend is the target; where they differ, the difference leaves grey.
    assert np.array_equal(blended[:4], target[:4])
    assert (difference[:4] == 127).all()
    assert not np.array_equal(source, real)  # it is displaced, at the least


def test_the_seed_decides_the_sheet(faces, tmp_path):
    sheets = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        out = tmp_path / f"{name}.png"
        assert selfblend(faces, "-o", out, "--rows", 2, "--tile", 64, "--seed", seed).exit_code == 0
        sheets.append(out.read_bytes())
    assert sheets[0] == sheets[1] != sheets[2]


def test_the_detector_finds_what_is_not_annotated(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "face.jpg"), cv2.imread(str(PORTRAIT)))
    cv2.imwrite(str(folder / "grey.png"), np.full((80, 80, 3), 90, np.uint8))
    (folder / "broken.png").write_text("no picture")
    done = selfblend(folder, "-o", tmp_path / "sheet.png", "--tile", 64)
    assert done.exit_code == 0, done.output
    assert "1 pictures, 2 passed over" in done.stdout
    assert len(tiles(tmp_path / "sheet.png", 64, 3)) == 1


def test_the_sheet_in_the_docs_is_what_its_command_makes(tmp_path):
    options = ["--rows", 1, "--blends", 3, "--tile", 160, "--seed", 14]
    done = selfblend(PORTRAIT, "-o", tmp_path / "sheet.png", *options)
    assert done.exit_code == 0, done.output
    shown = cv2.imread(str(PORTRAIT.parent / "selfblend.png")).astype(int)
    # The detector's landmarks and OpenCV's resampling may differ in their last bits between versions.
    assert np.abs(cv2.imread(str(tmp_path / "sheet.png")) - shown).mean() < 1


def test_a_sheet_is_replaced_and_nothing_else_is(faces, tmp_path):
    out = tmp_path / "sheet.png"
    for seed in (1, 2):
        assert selfblend(faces, "-o", out, "--rows", 1, "--seed", seed).exit_code == 0
    out.write_text("my notes")
    assert "expected a new file or a PNG to replace" in refused(2, faces, "-o", out)
    assert out.read_text() == "my notes"


def test_bad_input(faces, tmp_path):
    out = tmp_path / "sheet.png"
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("no picture")
    assert "no such file" in refused(3, tmp_path / "missing", "-o", out)
    assert "expected a folder of pictures" in refused(3, empty, "-o", out)
    (tmp_path / "fakes.csv").write_text("file,label\nx.png,fake\n")
    assert "got only fakes" in refused(3, tmp_path / "fakes.csv", "-o", out)
    cv2.imwrite(str(empty / "grey.png"), np.full((80, 80, 3), 90, np.uint8))
    assert "expected pictures of faces, found none" in refused(3, empty, "-o", out)
    assert not out.exists()


def test_bad_options(faces, tmp_path):
    out = tmp_path / "sheet.png"
    assert "--columns: expected some of real," in refused(2, faces, "-o", out, "--columns", "real,fake")
    assert "--split: expected a manifest" in refused(2, faces, "-o", out, "--split", "val")
    assert "ends with .png" in refused(2, faces, "-o", tmp_path / "sheet.jpg")
    assert "folder that can be written" in refused(3, faces, "-o", tmp_path / "none" / "sheet.png")
    assert "folder that can be written" in refused(3, faces, "-o", faces / ".." / "faces.png" / "x.png")
    (faces / "landmarks5.csv").write_text("file,x0\n")
    assert "landmarks5.csv:1: expected 11 columns" in refused(3, faces, "-o", out)
    assert not out.exists()


def test_it_loads_no_torch(faces, tmp_path):
    code = (
        f"import sys; sys.argv = ['edgefake', 'selfblend', {str(faces)!r}, '-o', {str(tmp_path / 's.png')!r}]\n"
        "from edgefake.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert 'cv2' in sys.modules and 'torch' not in sys.modules, 'torch was loaded'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
