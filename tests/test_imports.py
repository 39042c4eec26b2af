"""Who may import whom: what DESIGN calls torch-free must load no torch, and lower layers no higher ones."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "docs" / "samples"

PROBE = """
import sys
{code}
heavy = [name for name in {forbidden} if name in sys.modules]
print("LOADED", *heavy)
"""


def loaded(code, *forbidden):
    """Which of the forbidden modules a fresh interpreter has after running the code."""
    probe = PROBE.format(code=code, forbidden=forbidden)
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=120)
    line = next(line for line in done.stdout.splitlines() if line.startswith("LOADED"))
    return line.split()[1:]


def command(*arguments):
    """Code that runs the command line in process, as the entry point does."""
    return f"""
sys.argv = {["edgefake", *map(str, arguments)]!r}
from edgefake.__main__ import main
try:
    main()
except SystemExit as stop:
    assert stop.code in (0, None), stop.code
"""


def test_the_probe_sees_torch():
    assert loaded("import torch", "torch") == ["torch"]


def test_importing_the_packages_loads_no_torch():
    assert loaded("import edgefake_runtime", "torch", "edgefake", "edgefake_export", "onnx") == []
    assert loaded("import edgefake", "torch", "onnxruntime", "cv2", "edgefake_export") == []


def test_help_loads_nothing_heavy():
    assert loaded(command("--help"), "torch", "onnxruntime", "cv2", "numpy", "onnx") == []
    for name in ("card", "detect", "doctor", "evaluate", "export", "prepare", "profile", "train"):
        assert loaded(command(name, "--help"), "torch", "onnxruntime", "cv2", "onnx") == []


def test_detect_loads_no_torch():
    assert loaded(command("detect", "--quiet", "--max-frames", "1", SAMPLES / "real.mp4"), "torch", "onnx") == []


def test_nothing_is_written_into_the_home(tmp_path):
    """ONNX Runtime's Linux wheels since 1.32 do so when they are imported, unless ORT_DISABLE_TELEMETRY is set."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    line = [sys.executable, "-m", "edgefake", "detect", SAMPLES / "astronaut.png"]
    subprocess.run(line, check=True, capture_output=True, timeout=120, env={**environment, "HOME": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_profile_and_doctor_load_no_torch():
    model = ROOT / "models" / "bitvit-tiny-hybrid" / "bitvit-tiny-hybrid-2bit.onnx"
    assert loaded(command("profile", model, "--runs", "1", "--quiet"), "torch", "onnx", "edgefake_export") == []
    assert loaded(command("doctor", "--json", "-"), "torch", "onnx", "onnxruntime", "cv2", "numpy") == []


def test_evaluate_of_an_exported_file_loads_no_torch(tmp_path):
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"file,label\n{SAMPLES / 'real.mp4'},real\n{SAMPLES / 'fake.mp4'},fake\n")
    assert loaded(command("evaluate", manifest, "--every", "100"), "torch", "onnx", "edgefake.train.run") == []


def test_corruptions_and_breakdown_load_no_torch(tmp_path):
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"file,label\n{SAMPLES / 'astronaut.png'},real\n")
    more = ("--crops", "--corruptions", "--breakdown", "--plot", tmp_path / "x.png", "--csv", tmp_path / "x.csv")
    assert loaded(command("evaluate", manifest, *more), "torch", "onnx") == []


def imports_of(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("runtime/edgefake_runtime", {"torch", "edgefake", "edgefake_export", "onnx"}),
        ("edgefake", {"torchvision", "timm", "facenet_pytorch"}),
        ("export/edgefake_export", {"torchvision", "timm", "facenet_pytorch"}),
    ],
)
def test_no_file_imports_what_its_layer_must_not(package, forbidden):
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) > 4
    found = {file.name: set(imports_of(file)) & forbidden for file in files}
    assert not any(found.values()), found


def test_only_the_cli_reaches_from_the_core_to_export():
    files = [f for f in (ROOT / "edgefake").rglob("*.py") if f.parent.name != "cli"]
    assert not [f.name for f in files if "edgefake_export" in set(imports_of(f))]
