"""The wheel: what it holds, and that a base-only environment runs the main job."""

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    (file,) = out.glob("*.whl")
    return file


@pytest.fixture(scope="session")
def base_python(wheel, tmp_path_factory):
    """The interpreter of a fresh environment with the wheel and its base dependencies alone."""
    folder = tmp_path_factory.mktemp("base") / "venv"
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    reach = [python, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, "typer"]
    if subprocess.run(reach, capture_output=True, timeout=120).returncode:
        pytest.skip("needs PyPI")
    subprocess.run([python, "-m", "pip", "install", "-q", wheel], check=True, capture_output=True, timeout=600)
    return python


def tracked(folder):
    listed = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=True)
    return {line for line in listed.stdout.splitlines() if (ROOT / line).is_file()}


def test_the_wheel_holds_the_three_packages_and_the_shipped_models(wheel):
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    packages = {"edgefake": "edgefake", "export/edgefake_export": "edgefake_export"}
    packages["runtime/edgefake_runtime"] = "edgefake_runtime"
    packages["models"] = "edgefake_runtime/models"
    expected = {place + name.removeprefix(source) for source, place in packages.items() for name in tracked(source)}
    assert names == expected
    assert {"edgefake/py.typed", "edgefake_runtime/models/mtcnn/pnet.onnx"} <= names
    assert any(n.endswith("-2bit.onnx") for n in names)


def test_the_wheel_carries_every_licence(wheel):
    names = [n.rsplit("licenses/", 1)[-1] for n in zipfile.ZipFile(wheel).namelist() if "licenses/" in n]
    assert sorted(names) == ["LICENSE", "models/LICENSE-WEIGHTS", "models/mtcnn/LICENSE"]


def run(python, *arguments, folder):
    """Run the installed command away from the checkout, with nothing of this environment."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    executable = python.parent / "edgefake"
    return subprocess.run([executable, *arguments], cwd=folder, env=clean, capture_output=True, text=True, timeout=300)


USER = """
from collections.abc import Iterator
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from edgefake_runtime import Camera, DetectOptions, Detector, EdgefakeError, FrameResult, SampledFrame
from edgefake_runtime.results import Verdict


def colour(verdict: Verdict) -> str:
    match verdict:
        case "fake":
            return "red"
        case "real":
            return "green"
        case "uncertain" | "no-face" | "error":
            return "grey"
        case _:
            assert_never(verdict)


def frames() -> Iterator[NDArray[np.uint8]]:
    yield np.zeros((90, 90, 3), np.uint8)


def watch(detector: Detector, camera: Camera) -> list[FrameResult]:
    return list(detector.stream(camera.frames(every=10), window=50))


def main() -> int:
    detector = Detector("mine.onnx", options=DetectOptions(every=5, threshold=0.7))
    try:
        whole = detector.detect_frames([SampledFrame(0, 0.0, image) for image in frames()], fps=25)
        scores: list[float] = [face.score for face in detector.look(next(frames()))]
        for result in detector.stream(frames()):
            boxes = [track.face.box for track in result.tracks if track.face is not None]
            left: float = min((box[0] for box in boxes), default=0.0)
            print(colour(result.verdict), result.score, left)
    except EdgefakeError as error:
        return error.exit_code
    print(colour(whole.verdict), whole.faces[0].frames[0].time_s, scores)
    return 0
"""

WRONG = """
from edgefake_runtime import Detector, Nonsense

detector = Detector(treshold=0.7)
score: float = detector.detect("clip.mp4").score
for result in detector.stream([1, 2]):
    print(result.faces)
"""


def mypy_strict(wheel, folder, code):
    """What mypy --strict says of a program, errors by line, that sees the wheel's packages and numpy as installed."""
    venv.create(folder / "venv", with_pip=False)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    (site / "numpy").symlink_to(Path(numpy.__file__).parent)
    (folder / "program.py").write_text(code)
    settings = folder / "mypy.ini"
    settings.write_text("[mypy]\nstrict = True\n[mypy-cv2.*,onnxruntime.*]\nignore_missing_imports = True\n")
    command = [sys.executable, "-m", "mypy", "--config-file", settings, "--python-executable"]
    done = subprocess.run(
        [*command, folder / "venv" / "bin" / "python", "program.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return dict(re.findall(r"^program\.py:(\d+): error: .*\[([\w-]+)\]$", done.stdout, flags=re.MULTILINE)), done


def test_a_users_program_passes_mypy_strict_against_the_wheel(wheel, tmp_path):
    errors, done = mypy_strict(wheel, tmp_path, USER)
    assert (errors, done.returncode) == ({}, 0), done.stdout + done.stderr


def test_mypy_finds_what_a_users_program_gets_wrong(wheel, tmp_path):
    errors, done = mypy_strict(wheel, tmp_path, WRONG)
    expected = {"2": "attr-defined", "4": "call-arg", "5": "assignment", "6": "list-item", "7": "attr-defined"}
    assert errors == expected, done.stdout + done.stderr


@pytest.mark.network
def test_a_base_only_environment_detects(base_python, tmp_path):
    done = run(base_python, "detect", ROOT / "docs/samples/real.mp4", "--json", "-", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["inputs"][0]["faces"]
    assert report["inputs"][0]["verdict"] in ("real", "fake", "uncertain")
    absent = subprocess.run([base_python, "-c", "import torch"], capture_output=True, text=True)
    assert "ModuleNotFoundError" in absent.stderr


@pytest.mark.network
def test_a_fresh_export_scores_as_the_shipped_file_where_no_torch_is(base_python, tmp_path):
    options = ("--format", "onnx", "--bits", "2", "-o", tmp_path / "again.onnx")
    export = [sys.executable, "-m", "edgefake", "export", *options]
    subprocess.run(export, check=True, capture_output=True, timeout=300)
    clips = [ROOT / "docs/samples" / name for name in ("real.mp4", "fake.mp4", "astronaut.png")]
    reports = []
    for model in ((), ("--model", tmp_path / "again.onnx")):
        done = run(base_python, "detect", *clips, *model, "--json", "-", folder=tmp_path)
        reports.append(json.loads(done.stdout)["inputs"])
    for ours, shipped in zip(*reports, strict=True):
        assert ours["verdict"] == shipped["verdict"]
        # A scale is a mean, whose last bit depends on the number of threads that add.
    assert ours["score"] == pytest.approx(shipped["score"], abs=1e-4)


@pytest.mark.network
@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (("export",), "pip install 'edgefake[export]'"),
        (("train", "--data", "m.csv", "--model", "bitvit-nano", "--out", "o"), "pip install 'edgefake[train]'"),
    ],
)
def test_a_missing_extra_names_its_cure(base_python, tmp_path, arguments, cure):
    done = run(base_python, *arguments, folder=tmp_path)
    assert done.returncode == 4
    assert cure in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
