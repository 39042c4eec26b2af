"""The walk of docs/training.md, line by line, on clips of the data folder."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
(WALK,) = re.findall(r"^```sh\n(.*?)^```", GUIDE, flags=re.MULTILINE | re.DOTALL)
LINES = WALK.splitlines()


def command(line, data_folder):
    words = shlex.split(line)
    if words[0] == "python":
        return [sys.executable, str(ROOT / words[1]), str(data_folder / "tests" / "videos"), *words[3:]]
    return [sys.executable, "-m", *words]


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_walk_from_videos_to_verdicts(data_folder, tmp_path):
    """From prepare over pretrain, finetune, evaluate, table and export to detect; figures agree along the way."""
    said = {}
    for line in LINES:
        done = subprocess.run(
            command(line, data_folder), cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        said[" ".join(shlex.split(line)[:3])] = done.stdout
    figures = dict(re.findall(r"^(\w+) +([\d.]+)$", said["edgefake evaluate crops/manifest.csv"], flags=re.MULTILINE))
    (row,) = [row for row in said["edgefake table finetune"].splitlines() if row.startswith("| bitvit-tiny")]
    assert f"{float(figures['accuracy']):.4f}" in row
    assert f"{float(figures['auc']):.4f}" in row
    assert "verdicts identical" in said["edgefake export runs/finetune/best"]
    verdicts = re.findall(
        r"^(\S+)\t([\d.]+)?",
        said["edgefake detect FaceForensics++/original_sequences/youtube/c23/videos"],
        flags=re.MULTILINE,
    )
    assert len(verdicts) == 6
    assert {verdict for verdict, _ in verdicts} <= {"real", "fake", "uncertain"}
    exported = [sys.executable, "-m", "edgefake", "evaluate", "crops/manifest.csv", "--split", "test", "--crops"]
    again = subprocess.run(
        [*exported, "--model", "detector.onnx"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True
    )
    theirs = dict(re.findall(r"^(\w+) +([\d.]+)$", again.stdout, flags=re.MULTILINE))
    assert abs(float(theirs["auc"]) - float(figures["auc"])) < 0.02
    assert abs(float(theirs["log_loss"]) - float(figures["log_loss"])) < 0.01
