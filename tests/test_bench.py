"""scripts/bench: what it tells, writes down and refuses; and the classifier's part on the smallest network."""

import csv
import math
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = (
    "bench_all",
    "bench_classifier",
    "bench_figures",
    "bench_mtcnn",
    "bench_pipeline",
    "bench_turns",
    "golden_mtcnn",
)


@pytest.fixture
def scripts(monkeypatch):
    """Modules of scripts/, by name."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    yield lambda name: __import__(name)
    for name in NAMES:
        sys.modules.pop(name, None)


def test_a_figure_tells_target_limit_and_other_work(scripts):
    figure = scripts("bench_figures").Figure
    assert str(figure("a by b", 0.5, 0.45, 0.3, "ratio")) == (
        "a by b: target <= 0.45, figure 0.5 ratio (missed), limit 0.3"
    )
    fast = figure("each frame", 9.0, 8.0, None, "frames/s", 0.2)
    assert str(fast) == "each frame: target >= 8, figure 9 frames/s (met), limit -; beside other work (20%)"
    assert [figure("x", value, 1.0, None, unit).is_met for unit in ("s", "frames/s") for value in (0.5, 2.0)] == [
        True,
        False,
        False,
        True,
    ]


def test_only_a_gross_loss_beside_what_was_recorded_fails(scripts, tmp_path, capsys):
    bench, figure = scripts("bench_all"), scripts("bench_figures").Figure
    recorded = [figure("kept", 0.5, 1.0, None, "ratio", 0.01), figure("lost", 0.5, 1.0, 0.25, "ratio")]
    bench.write(tmp_path / "short.csv", recorded)
    with (tmp_path / "short.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["value"], row["met"], row["limit"]) for row in rows] == [
        ("kept", "0.5", "yes", ""),
        ("lost", "0.5", "yes", "0.25"),
    ]
    assert all("onnxruntime=" in row["versions"] and row["cpu"] and row["date"] for row in rows)
    now = [figure(name, value, 1.0, None, "ratio") for name, value in (("kept", 0.99), ("lost", 1.01), ("new", 0.1))]
    lines = list(bench.lost(now, tmp_path / "short.csv"))
    assert lines == [
        "lost: expected at most 2 times the recorded 0.5, got 1.01",
        "new: expected a recorded ratio in short.csv, got none; record it: scripts/bench --short --record",
    ]
    assert "kept: 0.99, recorded 0.5" in capsys.readouterr().out


@pytest.mark.parametrize(("foreign", "status"), [(0.1, 0), (0.3, 1)])
def test_ratios_are_recorded_on_a_quiet_machine_alone(scripts, tmp_path, monkeypatch, foreign, status):
    bench, figure = scripts("bench_all"), scripts("bench_figures").Figure
    monkeypatch.setattr(bench, "short", lambda clip: iter([figure("a", 0.5, 1.0, None, "ratio", foreign)]))
    monkeypatch.setattr(bench, "SHORT", tmp_path / "short.csv")
    monkeypatch.setattr(sys, "argv", ["bench", "--short", "--record", "--clip", "clip.mp4"])
    assert bench.main() == status
    assert bench.SHORT.exists() is (status == 0)


def test_another_cpu_s_ratios_fail_nothing(scripts, tmp_path, monkeypatch, capsys):
    bench, figure = scripts("bench_all"), scripts("bench_figures").Figure
    bench.write(tmp_path / "short.csv", [figure("a", 0.1, 1.0, None, "ratio")])
    now = [figure("a", 9.0, 1.0, None, "ratio")]
    assert len(list(bench.lost(now, tmp_path / "short.csv"))) == 1
    monkeypatch.setattr(bench, "read_cpu", lambda: "another")
    assert not list(bench.lost(now, tmp_path / "short.csv"))
    assert "another CPU than the recorded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["fases"], "expected classifier, faces, clip, dense, start, memory, got fases"), ([], "expected EDGEFAKE_DATA=")],
)
def test_wrong_arguments_are_refused(arguments, message):
    line = [sys.executable, str(ROOT / "scripts" / "bench_all.py"), *arguments]
    done = subprocess.run(line, capture_output=True, text=True, env={"PATH": ""})
    assert done.returncode == 2
    assert message in done.stderr


def test_the_classifier_s_ratios_are_of_what_ran(scripts):
    figures = {each.name: each for each in scripts("bench_classifier").bench_classifier("nano", rounds=2)}
    assert len(figures) == 6
    for each in figures.values():
        assert each.unit == "ratio"
        assert 0 < each.limit < math.inf
        assert 0 < each.value < math.inf
