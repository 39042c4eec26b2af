"""`edgefake export` as a user meets it: what it prints, what it leaves, one line an error."""

import contextlib
import csv
import json
import signal
import subprocess
import sys
import time
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from edgefake.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgefake.cli.app import app
from edgefake_export import sample_crops
from edgefake_runtime import Classifier

from .checkpoints import detector


def edgefake(*arguments, folder):
    """The command in this process, which has torch already; what it does not catch fails the test."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="edgefake")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def refusal(done, code):
    """The one line of an error."""
    assert done.exit_code == code, done.output
    (line,) = done.stderr.strip().splitlines()
    return line


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Detectors `linvit` and `bitvit`, and `crops`: noise, labelled by what linvit itself makes of it (AUC 1)."""
    folder = tmp_path_factory.mktemp("export")
    for kind in ("linvit", "bitvit"):
        detector(folder / kind, f"{kind}-nano", seed=0)
    random = np.random.default_rng(0)
    pictures = [cv2.resize(random.integers(0, 256, (5, 5, 3), dtype=np.uint8), (32, 32)) for _ in range(64)]
    (folder / "crops").mkdir()
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(folder / "crops" / f"{index}.png"), picture[..., ::-1])
    done = edgefake("export", "linvit", "-o", "float.onnx", folder=folder)
    assert done.exit_code == 0, done.output
    scores = Classifier(folder / "float.onnx").score(np.stack(pictures))
    median = np.median(scores)
    rows = [
        (f"{index}.png", "fake" if score > median else "real", "val" if index % 2 else "train")
        for index, score in enumerate(scores)
    ]
    with (folder / "crops" / "m.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label", "split"), *rows])
    with (folder / "crops" / "one.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label", "split"), ("0.png", "real", "train")])
    return folder


def test_files_in_the_way_are_refused_before_the_work(place, tmp_path):
    (tmp_path / "m.onnx.blame.csv").write_text("precious")
    (tmp_path / "folder.onnx").mkdir()
    config = place / "bitvit" / "config.json"
    for arguments, code, reason in [
        (("-o", "m.onnx", "--blame"), 2, "expected a new file, got an existing one; --force replaces it"),
        (("-o", "folder.onnx"), 2, "expected a new file, got a folder"),
        (("-o", "no/m.onnx"), 3, "expected a place to write to, got: No such file or directory"),
        (("-o", "m.pth"), 2, "expected a name that ends with .onnx or .tflite, got m.pth"),
        (("-o", "m.onnx", "--json", "m.onnx"), 2, "expected a file of its own"),
        (("-o", "m.onnx", "--json", config), 2, "expected a file of its own"),
        (("-o", "m.onnx", "--json", f"../{tmp_path.name}/m.onnx"), 2, "expected a file of its own"),
        (
            ("-o", "m.onnx", "--json", place / "linvit" / ".." / "bitvit" / "config.json"),
            2,
            "expected a file of its own",
        ),
        (("-o", "n.onnx", "--blame", "--json", "n.onnx.blame.csv"), 2, "expected a file of its own"),
        (("-o", "folder.onnx", "--force"), 2, "expected a new file, got a folder"),
    ]:
        line = refusal(edgefake("export", place / "bitvit", *arguments, folder=tmp_path), code)
        assert reason in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.onnx", "m.onnx.blame.csv"]
    assert (tmp_path / "m.onnx.blame.csv").read_text() == "precious"


def test_the_name_says_what_is_not_usual(place, tmp_path):
    options = ("--bits", "8", "--method", "absmax", "--per", "channel", "--other", "16", "--format", "onnx")
    assert edgefake("export", place / "linvit", *options, folder=tmp_path).exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["linvit-nano-absmax-channel-8bit-other16.onnx"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.6, 3, 5])
def test_an_interrupted_export_leaves_nothing(stop, seconds, tmp_path):
    command = [sys.executable, "-m", "edgefake", "export", "--format", "tflite", "-o", str(tmp_path / "m.tflite")]
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # jobs of a background shell ignore it
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=listening)
    time.sleep(seconds)
    assert running.poll() is None
    running.send_signal(stop)
    out, err = running.communicate(timeout=60)
    ended = (130, -stop) if seconds < 1 else (130,)  # while Python itself starts, the signal ends it
    assert running.returncode in ended, err.decode()
    assert out == b""
    if running.returncode == 130:
        assert err.decode().strip() == "interrupted"
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_bundle_leaves_nothing(place, tmp_path):
    command = [sys.executable, "-m", "edgefake", "export", str(place / "bitvit"), "--bundle", "android"]
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # jobs of a background shell ignore it
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = subprocess.Popen([*command, "-o", str(tmp_path / "assets")], **pipes, preexec_fn=listening)
    while not list(tmp_path.iterdir()):  # the folder that the files are written into
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=120)
    assert (running.returncode, err.decode().strip()) == (130, "interrupted")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["torch", "numpy", "typer"])
def test_ctrl_c_in_the_middle_of_an_import(package, tmp_path):
    """CPython ends by SIGINT for an interruption that leaves an `exec`, such as a dataclass's, though it was caught."""
    (tmp_path / "interrupted.py").write_text(
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(name, *rest):\n"
        f"        if name == {package!r}:\n"
        "            exec('raise KeyboardInterrupt')\n"
        "sys.meta_path.insert(0, Finder)\n"
        "sys.argv = ['edgefake', 'export']\n"
        "from edgefake.__main__ import main\n"
        "main()\n"
    )
    command = [sys.executable, "-m", "interrupted"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert (done.returncode, done.stderr.strip()) == (130, "interrupted")
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["interrupted.py"]


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_the_report_in_words_and_as_json(place, format):
    done = edgefake("export", "bitvit", "--format", format, "--json", "report.json", "--force", folder=place)
    assert done.exit_code == 0, done.output
    file = place / f"bitvit-nano-2bit.{format}"
    report = json.loads((place / "report.json").read_text())
    assert report["bytes"] == file.stat().st_size
    assert done.stdout.startswith(f"{file.name}: {report['bytes']:,} bytes, ")
    assert f"{report['max_error']:.2e}" in done.stdout
    assert "16 of 16 verdicts identical" in done.stdout
    assert report["parts"]["encoder"]["2"]["bytes"] * 4 == report["parts"]["encoder"]["2"]["weights"]
    assert report["parts"]["patch embedding"]["4"]["weights"] >= 960 * 32
    assert report["drop"] is None
    assert Classifier(file).metadata.recipe == "qat"


def test_a_bundle_for_an_app(place):
    options = ("export", "bitvit", "--bundle", "android", "-o", "assets", "--json", "b.json")
    done = edgefake(*options, folder=place)
    assert done.exit_code == 0, done.output
    report, folder = json.loads((place / "b.json").read_text()), place / "assets"
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert {entry["file"]: entry["bytes"] for entry in report["bundle"]["files"]} == sizes
    assert report["path"] == "assets/classifier.tflite"
    assert report["bytes"] == sizes["classifier.tflite"]
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"assets/classifier.tflite: {report['bytes']:,} bytes, TFLite")
    rows = [line.split() for line in lines[lines.index(f"assets: {len(sizes)} files, bytes:") + 1 :]]
    total = {"total": f"{sum(sizes.values()):,}"}
    assert {name: size for name, size, *_ in rows} == {name: f"{size:,}" for name, size in sizes.items()} | total
    assert Classifier(folder / "classifier.tflite").metadata.name == "bitvit-nano"
    assert json.loads((folder / "edgefake.json").read_text())["model"]["name"] == "bitvit-nano"
    assert not list(place.glob(".edgefake*"))
    assert "got an earlier bundle; --force replaces it" in refusal(edgefake(*options, folder=place), 2)
    inside = edgefake(*options, "--force", "--json", "assets/b.json", folder=place)
    assert "--json: expected a file of its own" in refusal(inside, 2)


def test_json_alone_on_standard_output(place):
    done = edgefake("export", "linvit", "--bits", "8", "--json", "-", "--force", folder=place)
    report = json.loads(done.stdout)
    assert (report["path"], report["bits"]) == ("linvit-nano-absmax-8bit.onnx", 8)


def test_the_ending_of_the_name_is_the_format(place):
    assert edgefake("export", "bitvit", "-o", "a.tflite", folder=place).exit_code == 0
    assert (place / "a.tflite").read_bytes()[4:8] == b"TFL3"
    mixed = edgefake("export", "bitvit", "--format", "onnx", "-o", "b.tflite", folder=place)
    assert "expected a name that ends with .onnx, got b.tflite" in refusal(mixed, 2)


def test_a_shipped_model_goes_by_its_name(place):
    done = edgefake("export", "bitvit-tiny", "--bits", "8", "-o", "shipped.onnx", folder=place)
    assert done.exit_code == 0, done.output
    assert Classifier(place / "shipped.onnx").metadata.name == "bitvit-tiny"
    assert "expected a checkpoint folder" in refusal(edgefake("export", "bitvit-huge", folder=place), 3)


def test_labelled_crops_show_what_it_costs(place):
    options = ("--bits", "2", "--per", "tensor", "--data", "crops/m.csv", "--force")
    done = edgefake("export", "linvit", *options, "-o", "two.onnx", "--json", "two.json", folder=place)
    assert done.exit_code == 0, done.output
    drop = json.loads((place / "two.json").read_text())["drop"]
    assert drop["before"] == 1  # the labels are what it says itself
    assert drop["samples"] == 32
    assert 0.01 < drop["drop"] == drop["before"] - drop["after"]
    assert f"AUC on 32 crops: 1.0000 before, {drop['after']:.4f} after" in done.stdout

    (place / "two.onnx").write_text("the old file")
    refused = edgefake("export", "linvit", *options, "-o", "two.onnx", "--max-drop", "0.01", folder=place)
    assert "expected an AUC of 0.9900 or more" in refusal(refused, 5)
    assert (place / "two.onnx").read_text() == "the old file"
    assert not list(place.glob(".edgefake*"))
    blamed = edgefake("export", "linvit", *options, "-o", "two.onnx", "--max-drop", "0.01", "--blame", folder=place)
    assert "blocks.0.attention.qkv" in blamed.stdout  # which the error advises
    assert "expected an AUC of" in refusal(blamed, 5)
    assert not list(place.glob("two.onnx.blame*"))
    kept = edgefake("export", "linvit", *options, "-o", "two.onnx", "--max-drop", "1", folder=place)
    assert kept.exit_code == 0


def test_calibrated_exports(place):
    for options in (("--method", "gptq", "--bits", "3"), ("--style", "qdq", "--bits", "8")):
        without = edgefake("export", "linvit", *options, "-o", "c.onnx", folder=place)
        assert "name a manifest with --calibration" in refusal(without, 2)
        one = edgefake("export", "linvit", *options, "-o", "c.onnx", "--calibration", "crops/one.csv", folder=place)
        assert "expected 16 or more pictures" in refusal(one, 2)
        assert not (place / "c.onnx").exists()
        done = edgefake(
            "export", "linvit", *options, "-o", "c.onnx", "--calibration", "crops/m.csv", "--force", folder=place
        )
        assert done.exit_code == 0, done.output
        (place / "c.onnx").unlink()


def test_blame_is_a_table_a_csv_and_a_picture(place):
    options = ("--bits", "3", "-o", "b.onnx", "--blame", "--force")
    done = edgefake("export", "linvit", *options, "--data", "crops/m.csv", folder=place)
    assert done.exit_code == 0, done.output
    with (place / "b.onnx.blame.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 + 1 + 2
    assert {"tokenize.linear", "blocks.0.attention.qkv", "head.3"} <= {row["layer"] for row in rows}
    assert "blocks.0.attention.qkv" in done.stdout
    assert cv2.imread(str(place / "b.onnx.blame.png")).shape[1] > 500
    nothing = edgefake("export", "linvit", "--bits", "32", "-o", "n.onnx", "--blame", folder=place)
    assert "no layer is rounded" in nothing.stderr


@pytest.mark.parametrize("value", [0.0, 0.02])
@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_a_layer_of_equal_weights(place, value, format, tmp_path):
    loaded = load_checkpoint(place / "bitvit")
    with torch.no_grad():
        loaded.network.get_parameter("blocks.0.feed_forward.fc1.weight").fill_(value)
        loaded.network.get_parameter("tokenize.linear.weight").fill_(value)
    save_checkpoint(Checkpoint(loaded.network, loaded.model, loaded.metadata), tmp_path / "flat")
    done = edgefake("export", "flat", "--format", format, folder=tmp_path)
    assert done.exit_code == 0, done.output
    assert np.isfinite(Classifier(tmp_path / f"bitvit-nano-2bit.{format}").score(sample_crops(32))).all()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--bits", "6"), 2, "ternary values need 2 bits"),
        (("--max-drop", "0.01"), 2, "--max-drop: expected labelled crops beside it, got none; name a manifest"),
        (("--limit", "8"), 2, "--limit: expected labelled crops"),
        (("--split", "test"), 2, "--split: expected labelled crops"),
        (("--calibration", "crops/m.csv"), 2, "--calibration: expected gptq or static activations"),
        (("--older-runtimes", "--format", "tflite", "--bits", "4"), 2, "expected --bits 2 for tflite, got 4"),
        (
            ("--older-runtimes", "--format", "tflite", "--style", "qdq", "--bits", "8"),
            2,
            "expected --bits 2 for tflite",
        ),
        (("--converter", "onnx2tf"), 2, "got onnx2tf, to onnx"),
        (("--converter", "magic", "--format", "tflite"), 2, "got magic"),
        (("--bundle", "ios"), 2, "--bundle: expected android, got ios"),
        (("--bundle", "android", "--format", "onnx"), 2, "expected --format tflite, got onnx; an app runs"),
        (("--bundle", "android", "--blame"), 2, "--blame: expected a single file to write beside, got a bundle"),
        (("--bundle", "android", "-o", "crops"), 2, "crops: expected a new or empty folder, or a bundle to replace"),
        (("--bundle", "android", "-o", "bitvit"), 2, "bitvit: expected a new or empty folder, or a bundle to replace"),
        (("--bundle", "android", "-o", "no/assets"), 3, "no/assets: expected a folder that can be written"),
        (("--data", "none.csv"), 3, "none.csv: expected a CSV file"),
        (("--data", "crops"), 3, "crops: expected a CSV file"),
        (("--data", "crops/m.csv", "--split", "test"), 3, "rows of the split 'test'"),
        (("--json", "nowhere/r.json"), 3, "nowhere/r.json"),
    ],
)
def test_what_cannot_be(place, arguments, code, message):
    before = sorted(place.iterdir())
    target = "x.tflite" if "tflite" in arguments else "x.onnx"
    assert message in refusal(edgefake("export", "bitvit", "-o", target, *arguments, folder=place), code)
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize(
    ("package", "extra", "arguments"),
    [
        ("litert_torch", "tflite", ("--format", "tflite")),
        ("ai_edge_litert", "tflite", ("--format", "tflite")),
        ("onnx", "export", ()),
        ("torch", "export", ()),
    ],
)
def test_a_missing_extra_is_named(package, extra, arguments, tmp_path):
    code = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv = ['edgefake', 'export', *{arguments!r}]; "
        "from edgefake.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 4, done.stderr
    assert f"edgefake[{extra}]" in done.stderr
    assert list(tmp_path.iterdir()) == []
