"""`edgefake doctor`: plain text to paste, JSON, and an exit code for those who ask nothing else."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgefake.cli.app import app
from edgefake_runtime import doctor
from edgefake_runtime.classifier import sha256_of
from edgefake_runtime.doctor import Check, Findings, examine
from edgefake_runtime.shipped import default_model


def test_the_report_is_plain_text_without_the_home_folder() -> None:
    home = default_model().parents[2]
    command = [sys.executable, "-m", "edgefake", "doctor"]
    environment = os.environ | {"HOME": str(home), "FORCE_COLOR": ""}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isprintable() or "\x1b" not in done.stdout
    assert str(home) not in done.stdout
    assert f"~/{default_model().relative_to(home)}" in done.stdout
    for text in (sha256_of(default_model()), f"numpy {version('numpy')}", f"onnxruntime {version('onnxruntime')}"):
        assert text in done.stdout
    lines = done.stdout.splitlines()
    assert sum("  yes  " in line for line in lines[lines.index("works here") :]) == 5


@pytest.fixture(scope="module")
def found() -> Findings:
    """What is installed here, with nothing tried."""
    patch = pytest.MonkeyPatch()
    patch.setattr(doctor, "_checks", lambda: iter((Check("a runtime", True, "as it should", needed=True),)))
    yield examine()
    patch.undo()


def run(findings: Findings, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    done = CliRunner().invoke(app, ["doctor", *arguments])
    return done.exit_code, done.stdout


def test_json_has_all_of_it(found: Findings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, text = run(found, monkeypatch, "--json", "-")
    assert code == 0
    assert json.loads(text) == json.loads(json.dumps(found.as_json()))
    code, shown = run(found, monkeypatch, "--json", str(tmp_path / "report.json"))
    assert json.loads((tmp_path / "report.json").read_text())["sha256"] == found.sha256
    assert found.sha256 in shown


def test_what_detect_needs_decides_the_exit_code(found: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = replace(found, checks=(Check("a runtime", False, "signal SIGILL", needed=True),))
    code, text = run(broken, monkeypatch)
    assert code == 5
    assert "a runtime  NO         signal SIGILL" in text
    other = replace(found, checks=(*found.checks, Check("another", False, "it fails"), Check("third", None, "absent")))
    code, text = run(other, monkeypatch)
    assert code == 0
    assert "third      not tried  absent" in text


def test_what_is_missing_is_named_with_its_cure(found: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = doctor.Extra("litert", ("ai-edge-litert 1.0, wanted >=2.1.2",), "pip install 'edgefake[litert]'")
    code, text = run(replace(found, extras=(extra,), notes=("two of a kind",)), monkeypatch)
    assert code == 0
    assert "litert    missing: ai-edge-litert 1.0, wanted >=2.1.2: pip install 'edgefake[litert]'" in text
    assert "note: two of a kind" in text
    base = doctor.Extra("", ("numpy",), "pip install --force-reinstall edgefake")
    code, text = run(replace(found, base=base), monkeypatch)
    assert code == 5
    assert "missing   numpy: pip install --force-reinstall edgefake" in text
