"""scripts/compare_reports.py: reports of the same files agree, and any change of what was judged is found."""

import copy
import importlib
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from edgefake_runtime import DetectOptions, Detector, Report, __version__

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "compare_reports.py"
SAMPLES = [ROOT / "docs" / "samples" / name for name in ("real.mp4", "astronaut.png")]


@pytest.fixture(scope="module")
def report():
    """What `edgefake detect --json` writes."""
    detector = Detector(options=DetectOptions(threads=1))
    return json.loads(Report(__version__, detector.model, tuple(detector.detect_many(SAMPLES))).to_json())


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return importlib.import_module("compare_reports")


def run(folder, here, there, *options):
    paths = []
    for name, report in (("here.json", here), ("there.json", there)):
        paths.append(folder / name)
        paths[-1].write_text(json.dumps(report))
    return subprocess.run([sys.executable, SCRIPT, *paths, *options], capture_output=True, text=True, timeout=60)


def changed(report, change):
    other = copy.deepcopy(report)
    change(other["inputs"][0])
    return other


def test_a_report_agrees_with_itself_from_another_folder(report, tmp_path):
    moved = changed(report, lambda each: each.update(path="elsewhere/real.mp4"))
    done = run(tmp_path, report, moved)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["real.mp4", "astronaut.png"]
    assert all(line.endswith("agrees") for line in lines[1:])
    assert "0.0e+00" in lines[1]


def score(value):
    return lambda each: each.update(score=value(each["score"]))


def frame_score(each):
    each["faces"][0]["frames"][-1]["score"] += 0.0012


def track_score(each):
    each["faces"][0]["score"] -= 0.0012


def later_frame(each):
    each["faces"][0]["frames"][1]["time_s"] += 0.04


CHANGES = {
    "score": score(lambda s: s + 0.0012),
    "no score": score(lambda s: None),
    "score that is no number": score(lambda s: math.nan),
    "verdict": lambda each: each.update(verdict="fake"),
    "score of a frame": frame_score,
    "score of a face": track_score,
    "time of a frame": later_frame,
    "lost face": lambda each: each["faces"].pop(),
    "lost frame": lambda each: each["faces"][0]["frames"].pop(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_differs_is_found(report, scripts, change):
    other = changed(report, change)
    for pair in ((report, other), (other, report)):
        first, second = scripts.compare(*pair, tolerance=1e-3)
        assert not first.agrees
        assert first.cells()[-1] == "DIFFERS"
        assert second.agrees


def test_the_tolerance_decides(report, tmp_path):
    other = changed(report, score(lambda s: s + 0.0012))
    assert run(tmp_path, report, other, "--tolerance", "0.0013").returncode == 0
    assert run(tmp_path, report, other, "--tolerance", "0.0011").returncode == 5


@pytest.mark.parametrize("verdict", ["error", "no-face"])
def test_what_neither_judged_proves_nothing(report, scripts, verdict):
    blind = changed(report, lambda each: each.update(verdict=verdict, score=None, faces=[]))
    assert [each.agrees for each in scripts.compare(blind, blind, tolerance=1e-3)] == [False, True]


def test_reports_of_other_files_are_refused(report, tmp_path):
    fewer = {**report, "inputs": report["inputs"][:1]}
    done = run(tmp_path, report, fewer)
    assert done.returncode == 1
    assert "expected the same inputs in both reports, got ['real.mp4', 'astronaut.png'] and ['real.mp4']" in done.stderr


def test_reports_of_nothing_are_refused(scripts):
    with pytest.raises(scripts.ReportError, match="expected the same inputs"):
        scripts.compare({"inputs": []}, {"inputs": []}, tolerance=1e-3)
