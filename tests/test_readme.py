"""Every command of the README runs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [
    line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines() if line.startswith("edgefake ")
]
PYTHON = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with what the README speaks of: the samples, videos, and face crops with a manifest."""
    place = tmp_path_factory.mktemp("readme")
    (place / "docs").symlink_to(ROOT / "docs")
    (place / "videos").symlink_to(ROOT / "docs" / "samples")
    (place / "clip.mp4").symlink_to(ROOT / "docs" / "samples" / "real.mp4")
    (place / "videos.csv").write_text("file,label\nvideos/real.mp4,real\nvideos/fake.mp4,fake\n")
    for number, other in ((0, 1), (1, 0), (2, 3), (3, 2)):  # two pairs of people
        _link(place / "Celeb-DF" / "Celeb-real" / f"id{number}_0000.mp4", "real")
        _link(place / "Celeb-DF" / "Celeb-synthesis" / f"id{number}_id{other}_0000.mp4", "fake")
    crops = place / "crops"
    crops.mkdir()
    strip = cv2.imread(str(ROOT / "export" / "edgefake_export" / "faces.png"))
    rows = ["file,label,split,identity_group"]
    for index in range(24):
        tile = strip[:, index % 8 * 224 : (index % 8 + 1) * 224]
        cv2.imwrite(str(crops / f"{index}.png"), cv2.flip(tile, 1) if index > 7 else tile)
        rows.append(f"{index}.png,{'fake' if index % 2 else 'real'},{'val' if index > 15 else 'train'},p{index // 2}")
    (crops / "manifest.csv").write_text("\n".join(rows))
    return place


def _link(path, sample):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(ROOT / "docs" / "samples" / f"{sample}.mp4")


def test_the_readme_shows_every_command():
    assert {line.split()[1] for line in COMMANDS} == {
        *("detect", "doctor", "evaluate", "export", "inspect", "prepare", "profile", "selfblend", "train")
    }


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_run(line, folder):
    command = [sys.executable, "-m", *shlex.split(line, comments=True)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("code", PYTHON)
def test_python_examples_run(code, folder):
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_files_that_the_readme_names_exist():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]
