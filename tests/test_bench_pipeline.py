"""scripts/bench_pipeline.py: figures of what really ran, and turns that other programs disturbed left out."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "docs" / "samples" / "real.mp4"
NAMES = ("bench_contestants", "bench_figures", "bench_pipeline", "bench_turns")


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import bench_pipeline

    yield bench_pipeline
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture
def turns(bench):
    return sys.modules["bench_turns"]


def test_detection_takes_longer_than_decoding_and_starts_slower_than_its_libraries(bench):
    (clip,) = bench.bench_clip(CLIP, rounds=1, beside_usual=False)
    assert (clip.unit, clip.target) == ("ratio", 1.3)
    assert 0.5 < clip.limit <= 1.05 * clip.value  # no more than all cores can work; clocks differ a little
    assert clip.value > 1.5  # a small clip, so most of the time goes into scoring
    start = {figure.name: figure for figure in bench.bench_start(rounds=1)}
    assert len(start) == 4
    for name in ("edgefake --help", "edgefake detect on a picture"):
        assert 0.01 < start[name].limit < start[name].value < 60


def test_memory_is_that_of_the_libraries_and_more(bench):
    pytest.importorskip("resource")
    assert 80 < bench.peak_mb(bench.PICTURE) < 400


@pytest.mark.skipif(not importlib.util.find_spec("facenet_pytorch"), reason="no facenet-pytorch here")
def test_the_usual_pipeline_finds_and_scores_the_faces_too(bench):
    with bench.Contestant("usual", CLIP, frames=1) as usual:
        wall, cpu = usual()
    assert min(wall, cpu) > 0.01


def test_a_contestant_that_fails_ends_the_benchmark(bench, tmp_path):
    (tmp_path / "empty.mp4").touch()
    with bench.Contestant("detecting", tmp_path / "empty.mp4") as failing, pytest.raises(SystemExit, match="status 1"):
        failing()


def test_turns_beside_other_work_count_only_where_there_are_none_without(turns, monkeypatch):
    shares = iter([0.0, *([0.0, 0.5] * 4)])
    monkeypatch.setattr(turns, "timed", lambda run: turns.Turn(1.0, 1.0, next(shares)))
    assert [[turn.foreign for turn in each] for each in turns.in_turns([None], 6)] == [[0.0]] * 3
    shares = iter([0.0, 0.0, *[0.5] * 8])
    found = turns.in_turns([None], 6)
    assert len(found) == 6
    assert turns.most_foreign(found) == 0.5


def test_what_others_took_is_what_the_machine_worked_and_the_run_did_not(turns, monkeypatch):
    clock, busy = iter([10.0, 14.0]), iter([100.0, 105.0])
    monkeypatch.setattr(turns.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(turns, "busy_s", lambda: next(busy))
    monkeypatch.setattr(turns.os, "cpu_count", lambda: 2)
    turn = turns.timed(lambda: (3.5, 3.0))
    assert turn == turns.Turn(3.5, 3.0, 0.25)  # two of eight core seconds


def test_a_figure_says_what_it_is_whether_it_is_met_and_what_disturbed_it(bench):
    line = str(bench.Figure("clip", 1.25, 1.3, 1.0, "ratio", 0.2))
    assert line == "clip: target <= 1.3, figure 1.25 ratio (met), limit 1; beside other work (20%)"
    assert str(bench.Figure("each", 7.0, 8.0, None, "frames/s")) == (
        "each: target >= 8, figure 7 frames/s (missed), limit -"
    )


def test_the_command_line_refuses_an_unknown_part(bench, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench_pipeline.py", "clip", "speed"])
    with pytest.raises(SystemExit) as stop:
        bench.main()
    assert stop.value.code == 2
    assert "got speed" in capsys.readouterr().err
