"""scripts/compare_following.py on the samples: a row a clip and one for all, in the table and in the CSV file."""

import csv
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def compare(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, ROOT / "scripts" / "compare_following.py", *arguments]
    return subprocess.run([str(word) for word in line], capture_output=True, text=True)


def test_followed_faces_of_the_samples_are_the_searched_ones(tmp_path):
    table = tmp_path / "following.csv"
    done = compare("--clips", ROOT / "docs" / "samples", "--every", "1", "--max-frames", "12", "--out", table)
    assert (done.returncode, done.stderr) == (0, "")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["clip"] for row in rows] == ["fake.mp4", "real.mp4", "all"]
    for row in rows:
        assert float(row["recall"]) == 1
        assert float(row["extra"]) == 0
        assert float(row["mean_iou"]) > 0.99
        assert 0 < int(row["followed"]) < int(row["frames"])
        assert row["clip"] in done.stdout


def test_a_folder_without_clips_is_refused(tmp_path):
    done = compare("--clips", tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"expected .mp4 files, got none in {tmp_path}\n"
