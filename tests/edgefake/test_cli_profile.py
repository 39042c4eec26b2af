"""`edgefake profile` as a user meets it: the table, its files, one line an error, nothing left by an interruption."""

import contextlib
import csv
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from click.testing import Result
from typer.main import get_command
from typer.testing import CliRunner

from edgefake.cli import profile_files
from edgefake.cli.app import app
from edgefake.cli.profile import profile
from edgefake.profile_table import CSV_HEADER
from edgefake_runtime.shipped import default_model

from ..edgefake_runtime.clips import write_video
from .checkpoints import detector

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"
ONNX, TFLITE = default_model(), default_model().with_suffix(".tflite")


def edgefake(*arguments: object, folder: Path) -> Result:
    """The command in this process; models have their own in any case."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(app, ["profile", *map(str, arguments)], prog_name="edgefake")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def refusal(done: Result, code: int) -> str:
    """The one line of an error; nothing is printed."""
    assert done.exit_code == code, done.output
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    return str(line)


def test_no_argument_profiles_the_default_model(tmp_path: Path) -> None:
    files = ("--csv", "table.csv", "--plot", "dots.png", "--json", "report.json")
    options = ("--runs", 2, "--threads", 1, "--per-op", "--video", SAMPLES / "real.mp4")
    done = edgefake(*files, *options, folder=tmp_path)
    assert (done.exit_code, done.stderr) == (0, "")
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report) == ["cpu", "threads", "models"]
    assert [model["name"] for model in report["models"]] == [ONNX.name, TFLITE.name]
    assert not any("recommended" in model for model in report["models"])
    check_table(done.stdout, report["models"])
    check_csv(tmp_path / "table.csv", report)
    assert (tmp_path / "dots.png").read_bytes().startswith(b"\x89PNG")


def check_table(text: str, models: list[dict[str, object]]) -> None:
    """Every figure of a row stands in its line; the split of the video, the operators and the advice follow."""
    blocks = [block.splitlines() for block in text.split("\n\n")]
    for line, model in zip(blocks[0][1:3], models, strict=True):
        cells = line.split()
        assert cells[0] == model["name"]
        shown = [f"{model['size_mb']:.2f}", f"{model['parameters']:,}", f"{model['load_ms']:.0f}"]
        shown += [f"{model['p50_ms']:.2f}", f"{model['p95_ms']:.2f}", f"{model['images_per_s']:.1f}"]
        assert cells[3:9] == shown
        assert cells[-1] == f"{model['ratio']:.2f}"
    assert blocks[1][0].split()[:7] == ["name", "decode", "s", "faces", "s", "classify", "s"]
    for block, kind in ((blocks[2], "Conv"), (blocks[3], "Fully Connected")):
        assert len(block) == 12  # a title, a header, ten operators
        assert kind in block[0]
    assert any(line.startswith("For this CPU (") for line in blocks[4])


def check_csv(path: Path, report: dict[str, object]) -> None:
    assert path.read_text().startswith(CSV_HEADER + "\n")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, model in zip(rows, report["models"], strict=True):  # type: ignore[call-overload]
        assert float(row["p50_ms"]) == pytest.approx(model["p50_ms"], rel=1e-4)
        assert float(row["video_faces_s"]) == pytest.approx(model["video"]["faces_s"], rel=1e-4)
        assert row["cpu"] == report["cpu"]


def test_json_on_standard_output_is_all(tmp_path: Path) -> None:
    done = edgefake(ONNX, "--runs", 1, "--json", "-", folder=tmp_path)
    assert (done.exit_code, done.stderr) == (0, "")
    (model,) = json.loads(done.stdout)["models"]
    assert model["p50_ms"] == model["p95_ms"]
    assert list(tmp_path.iterdir()) == []


def test_a_model_s_name_stands_for_its_files_that_run_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert profile_files.named_files([]) == [ONNX, TFLITE]
    assert profile_files.named_files(["bitvit-tiny"])[0].name == "bitvit-tiny-2bit.onnx"
    assert profile_files.named_files(["some/file.onnx"]) == [Path("some/file.onnx")]
    monkeypatch.setattr(profile_files, "find_spec", lambda name: None)
    assert profile_files.named_files([]) == [ONNX]
    assert capsys.readouterr().err == f"edgefake: left out {TFLITE.name}: pip install 'edgefake[litert]' runs it\n"


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    (tmp_path / "notes.csv").write_text("mine")
    for arguments, code, words in (
        (("none.onnx",), 3, "none.onnx: expected a model file, got no such file"),
        ((tmp_path,), 3, "got a folder; name the files in it, or --all for a checkpoint"),
        (("text.onnx",), 3, "text.onnx: expected an ONNX or TFLite file, got neither"),
        ((ONNX, ONNX), 2, "expected each file once"),
        (("",), 2, "got an empty one"),
        ((ONNX, "--widen"), 2, "--widen, --no-widen: expected a TFLite file"),
        ((ONNX, "--video", SAMPLES / "astronaut.png"), 3, "expected a video, got a picture"),
        ((ONNX, "--csv", "-"), 2, "--csv: expected a file, got -"),
        ((ONNX, "--csv", "notes.csv"), 2, "notes.csv: expected a new file or a CSV of this command"),
        ((ONNX, "--plot", "no/dots.png"), 3, "expected a file in a folder that can be written"),
        ((ONNX, "--bits", "8"), 2, "--bits: expected --all beside it"),
        ((ONNX, "-o", "x"), 2, "--output: expected --all beside it"),
        ((ONNX, "--all", "x"), 2, "--all: expected no files beside it"),
        (("--all", "no-checkpoint"), 3, "no-checkpoint"),
    ):
        assert words in refusal(edgefake(*arguments, folder=tmp_path), code)
    assert (tmp_path / "notes.csv").read_text() == "mine"


@pytest.mark.parametrize("option", ["--runs", "--threads", "--every"])
def test_zero_is_refused(option: str, tmp_path: Path) -> None:
    done = edgefake(ONNX, option, 0, folder=tmp_path)
    assert done.exit_code == 2
    assert option in done.stderr


def test_more_threads_than_cores_and_a_clip_without_a_face_are_said(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "stripes.mp4", 5, size=(160, 120))
    done = edgefake(ONNX, "--runs", 1, "--threads", 100, "--video", clip, folder=tmp_path)
    assert done.exit_code == 0
    first, second = done.stderr.splitlines()
    assert first.startswith("edgefake: --threads: 100 threads on ")
    assert second.startswith("edgefake: ")
    assert "no face in the frames that were scored" in second
    assert "100 threads, 1 runs" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("option", ["--csv", "--plot"])
def test_a_full_disk_is_a_line(option: str, tmp_path: Path) -> None:
    line = refusal(edgefake(ONNX, "--runs", 1, option, "/dev/full", folder=tmp_path), 3)
    assert line == "edgefake: /dev/full: expected a file that can be written, got: No space left on device"
    assert Path("/dev/full").is_char_device()


def children(number: int) -> Iterator[int]:
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(status.read_text().rsplit(")", 1)[1].split()[1]) == number:
                yield int(status.parent.name)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
def test_ctrl_c_leaves_no_file_and_no_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgefake", "profile", ONNX, "--runs", "1000000", "--csv", tmp_path / "t.csv"]
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # jobs of a background shell ignore it
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=listening)
    deadline, workers = time.monotonic() + 120, list[int]()
    while not workers and time.monotonic() < deadline:
        time.sleep(0.2)
        workers = list(children(running.pid))
    time.sleep(2)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)
    assert (running.returncode, out, err.decode().strip()) == (130, b"", "interrupted")
    assert len(workers) == 1
    assert not Path(f"/proc/{workers[0]}").exists()
    assert list(tmp_path.iterdir()) == []


def test_all_widths_of_a_checkpoint_are_exported_profiled_and_one_is_recommended(tmp_path: Path) -> None:
    detector(tmp_path / "bitvit", "bitvit-nano", seed=0)
    options = ("--all", "bitvit", "--bits", "32,2", "-o", "out", "--runs", 3, "--threads", 1)
    done = edgefake(*options, "--json", "report.json", folder=tmp_path)
    assert done.exit_code == 0, done.output
    models = json.loads((tmp_path / "report.json").read_text())["models"]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert sorted(model["name"] for model in models) == names
    assert sorted((model["format"], model["bits"]) for model in models) == [
        *(("ONNX", 2), ("ONNX", 32)),
        *(("TFLite", 2), ("TFLite", 32)),
    ]
    assert len({model["parameters"] for model in models}) == 1
    assert models[0]["rounding"] == pytest.approx(0, abs=1e-3)
    (chosen,) = [model["name"] for model in models if model["recommended"]]
    assert f"take {chosen}: " in done.stdout
    assert "expected a folder without it" in refusal(edgefake(*options, folder=tmp_path), 2)


def test_the_guide_names_every_option() -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "profile.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in guide.splitlines() if line.startswith("| `-"))
    command = next(each for each in app.registered_commands if each.callback is profile)
    parameters = get_command(app).commands[command.name or "profile"].params  # type: ignore[attr-defined]
    options = {name for each in parameters for name in (*each.opts, *each.secondary_opts) if name.startswith("--")}
    named = set(re.findall(r"--[a-z-]+", table)) | ({"--output"} if "`-o DIR`" in table else set())
    assert named == options - {"--help"}


def test_all_without_any_exporter_says_which_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_files, "find_spec", lambda name: None)
    line = refusal(edgefake("--all", "x", folder=tmp_path), 4)
    assert "pip install 'edgefake[export]'" in line
