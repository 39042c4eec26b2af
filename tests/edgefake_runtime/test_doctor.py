"""What the doctor finds here, and what it finds where something is broken."""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import pytest

from edgefake_runtime import doctor, worker
from edgefake_runtime.classifier import sha256_of
from edgefake_runtime.doctor import Findings, examine, missing_of, without_home
from edgefake_runtime.shipped import default_model


@pytest.fixture(scope="module")
def found() -> Findings:
    return examine()


def test_everything_works_where_the_tests_run(found: Findings) -> None:
    assert {check.name: check.works for check in found.checks} == {
        "ONNX Runtime, 2-bit weights": True,
        "LiteRT, 2-bit weights": True,
        "LiteRT, 2-bit weights run as 8-bit ones": True,
        "both runtimes agree": True,
        "OpenCV decodes H.264": True,
    }
    assert found.well
    assert found.base.missing == ()


def test_versions_are_those_that_are_installed(found: Findings) -> None:
    for name in ("numpy", "onnxruntime", "torch", "ai-edge-litert"):
        assert found.packages[name] == version(name)
    assert platform.python_version() in found.python
    assert platform.machine() in found.system
    assert found.sha256 == sha256_of(default_model())
    assert {"train", "export", "litert", "tflite"} <= {extra.name for extra in found.extras}
    assert all((extra.mend == "") == (not extra.missing) for extra in found.extras)


def test_it_is_json(found: Findings) -> None:
    values = json.loads(json.dumps(found.as_json()))
    assert values["cpu"]["cores"] >= 1
    assert values["checks"][0]["works"] is True
    assert values["memory_mb"] > values["free_mb"] > 0


def test_a_package_that_is_missing_or_too_old_is_named() -> None:
    assert missing_of("no-such-package", ">=1") == "no-such-package"
    assert missing_of("numpy", "") == ""
    assert missing_of("numpy", ">=1.26") == ""
    assert missing_of("numpy", ">=99") == f"numpy {version('numpy')}, wanted >=99"
    assert missing_of("numpy", "<1,>=0.5") == f"numpy {version('numpy')}, wanted <1,>=0.5"
    assert missing_of("numpy", f"=={version('numpy')}") == ""
    assert missing_of("numpy", "==0.1") != ""


def test_an_extra_that_is_not_there_says_what_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy>=1.26", "no-such-package>=2; extra == 'train'", "numpy[fast]<99; extra == 'export'"]
    monkeypatch.setattr(doctor, "requires", lambda name: lines)
    monkeypatch.setattr(doctor, "_checks", lambda: iter(()))
    found = examine()
    assert [(extra.name, extra.missing, extra.mend) for extra in found.extras] == [
        ("train", ("no-such-package",), "pip install 'edgefake[train]'"),
        ("export", (), ""),
    ]
    assert found.packages["no-such-package"] is None
    assert found.well


def test_a_base_that_is_incomplete_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "requires", lambda name: ["no-such-package"])
    monkeypatch.setattr(doctor, "_checks", lambda: iter(()))
    found = examine()
    assert found.base.missing == ("no-such-package",)
    assert not found.well


def test_without_pip_s_word_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> list[str]:
        raise doctor.PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "requires", unknown)
    monkeypatch.setattr(doctor, "_checks", lambda: iter(()))
    found = examine()
    assert found.extras == ()
    assert "pip does not know edgefake here" in found.notes[0]


def test_two_builds_of_opencv_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed_version", lambda name: "4.10" if name.startswith("opencv-python") else None)
    (note,) = doctor._notes([("", "numpy", "")])
    assert note.startswith("2 builds of OpenCV share one folder: opencv-python-headless, opencv-python;")


def test_a_crash_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "crashes.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(worker, "MODULE", "crashes")
    checks = list(doctor._checks())
    assert [check.works for check in checks] == [False] * 4  # nothing is there to agree
    assert all("signal SIGSEGV" in check.words for check in checks)


def test_a_model_that_is_damaged_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    (tmp_path / "m.onnx").write_bytes(default_model().read_bytes()[:9000])
    monkeypatch.setattr(doctor, "default_model", lambda: tmp_path / "m.onnx")
    check, answer = doctor._run_model("ONNX Runtime", ".onnx", widen=None, needed=True)
    assert (check.works, answer) == (False, None)
    assert check.words.startswith("~/m.onnx: expected an ONNX or TFLite file")


def test_runtimes_that_disagree_are_a_finding() -> None:
    (check,) = doctor._agreement([0.5, -0.5], [0.5, -0.5], [0.5, -0.4])
    assert check.works is False
    assert "1.0e-01" in check.words
    (check,) = doctor._agreement([5.0, -0.5], [5.0, -0.46], None)
    assert check.works
    assert list(doctor._agreement(None, [1.0])) == list(doctor._agreement([1.0], None, None)) == []


def test_the_home_folder_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/somebody"))
    assert without_home("in /home/somebody/x and /home/somebody") == "in ~/x and ~"
    assert without_home("/home/somebodyelse/x") == "/home/somebodyelse/x"
    monkeypatch.setattr(Path, "home", lambda: Path("/"))
    assert without_home("/x") == "/x"
