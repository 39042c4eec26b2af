"""`edgefake train`, `pretrain`, `finetune`: options, files and errors of the command line."""

import signal
import subprocess
import sys
import time
import tomllib
from functools import partial

import pytest

from edgefake.checkpoint import load_checkpoint

from .crops import write_classes, write_crops

COMMAND = [sys.executable, "-m", "edgefake"]
SHORT = ("--batch", "24", "--workers", "0", "--lr", "0.003")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_crops(tmp_path_factory.mktemp("crops"))


def edgefake(*arguments):
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def refusal(done, code):
    """The one line of a refused command."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    return line


def test_a_file_and_options_give_the_same_run(manifest, tmp_path):
    """Once from options, once from the config.toml of that run, once from the command line over a file."""
    options = ("-m", "linvit-nano", "--epochs", "1", "--crop-margin", "0.1", "--ema", "0.5", *SHORT)
    first = edgefake("train", "-d", manifest, "-o", tmp_path / "a", *options)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("epoch   1  loss ")
    assert "val AUC" in first.stdout
    second = edgefake("train", "--config", tmp_path / "a" / "config.toml", "-o", tmp_path / "b")
    assert second.returncode == 0, second.stderr
    weights = [(tmp_path / run / "last" / "model.safetensors").read_bytes() for run in ("a", "b")]
    assert weights[0] == weights[1]
    files = [tomllib.loads((tmp_path / run / "config.toml").read_text()) for run in ("a", "b")]
    assert files[0] | {"out": ""} == files[1] | {"out": ""}
    assert (files[0]["recipe"], files[0]["ema"], files[0]["batch"]) == ("train", 0.5, 24)
    wrong = edgefake("pretrain", "--config", tmp_path / "a" / "config.toml", "-o", tmp_path / "c")
    assert "expected settings of pretrain, got those of train; run: edgefake train" in refusal(wrong, 2)


def test_pretrain_then_finetune(manifest, tmp_path):
    pictures = write_classes(tmp_path / "pictures", classes=4)
    done = edgefake(
        *("pretrain", "-d", pictures, "-m", "bitvit-nano", "-o", tmp_path / "pre", "--epochs", "1"),
        *("--warmup-epochs", "0", "--batch", "16", "--accumulate", "2", "--workers", "0"),
    )
    assert done.returncode == 0, done.stderr
    assert load_checkpoint(tmp_path / "pre" / "last").network.config.classes == 4
    tuning = ("finetune", "-d", manifest, "--init", tmp_path / "pre" / "best", "--epochs", "1", "--crop-margin", "0.1")
    tuning += ("--warmup-epochs", "0", *SHORT)
    done = edgefake(*tuning, "-o", tmp_path / "fine", "--train-blocks", "1")
    assert done.returncode == 0, done.stderr
    assert load_checkpoint(tmp_path / "fine" / "best").network.config.head == (192, 96, 48, 24)
    line = refusal(edgefake(*tuning, "-o", tmp_path / "six"), 2)
    assert "train-blocks: expected at most the 2 blocks of the network, got 6" in line


def test_resume_takes_the_settings_of_the_run(manifest, tmp_path):
    options = ("-d", manifest, "-m", "linvit-nano", "--epochs", "2", "--crop-margin", "0.1", *SHORT)
    assert edgefake("train", "-o", tmp_path / "a", *options).returncode == 0
    again = edgefake("train", "--resume", "-o", tmp_path / "a", "--workers", "1")
    assert again.returncode == 0, again.stderr
    changed = edgefake("train", "--resume", "-o", tmp_path / "a", "--lr", "0.1", "--seed", "3")
    assert "got others for --lr, --seed; leave them out" in refusal(changed, 2)
    none = edgefake("train", "--resume", "-o", tmp_path / "none")
    assert "expected the folder of a run with config.toml, got none" in refusal(none, 2)
    assert "expected --out" in refusal(edgefake("train", "--resume"), 2)


def test_what_is_missing_or_unknown_is_named(manifest, tmp_path):
    out = ("-o", tmp_path / "run")
    assert "expected --data, got none" in refusal(edgefake("train", *out, "-m", "bitvit-nano"), 2)
    assert "expected --out, got none" in refusal(edgefake("train", "-d", manifest), 2)
    unknown = refusal(edgefake("train", "-d", manifest, *out, "-m", "resnet50"), 2)
    assert "linvit-s16" in unknown
    assert "cnn-tiny" in unknown
    assert "got resnet50" in unknown
    none = edgefake("train", "-d", tmp_path / "none.csv", *out, "-m", "bitvit-nano")
    assert "none.csv: expected a CSV file" in refusal(none, 3)
    folder = edgefake("pretrain", "-d", manifest.parent, *out, "-m", "bitvit-nano")
    assert "train" in refusal(folder, 3)
    finetune = edgefake("finetune", "-d", manifest, *out)
    assert "expected the checkpoint of a pretrained network, got none" in refusal(finetune, 2)
    teacher = edgefake("train", "-d", manifest, *out, "-m", "bitvit-nano", "--teacher", tmp_path / "no")
    assert str(tmp_path / "no") in refusal(teacher, 2)
    assert not (tmp_path / "run" / "last").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label\na.png,real\n", "expected the columns file, label, split; got file, label"),
        ("file,label,split\na.png,genuine,train\n", "m.csv:2: expected the label real or fake, got 'genuine'"),
        ("", "expected the columns file, label, split; got an empty file"),
    ],
)
def test_bad_manifests_are_named(tmp_path, text, said):
    (tmp_path / "m.csv").write_text(text)
    done = edgefake("train", "-d", tmp_path / "m.csv", "-o", tmp_path / "run", "-m", "bitvit-nano")
    assert said in refusal(done, 3)


def test_ctrl_c_with_workers_is_a_line_and_an_exit_code(manifest, tmp_path):
    """Worker processes share semaphores; multiprocessing would tell of those that did not go with the run."""
    options = ("--crop-margin", "0", "--model", "linvit-nano", "--epochs", "9999", "--batch", "8", "--workers", "1")
    command = [sys.executable, "-m", "edgefake", "train", "--data", manifest, "--out", tmp_path / "run", *options]
    running = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # jobs of a background shell ignore it
    )
    end = time.monotonic() + 100
    while not (tmp_path / "run" / "last" / "config.json").exists():  # until an epoch is over
        assert running.poll() is None, running.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err.decode().strip()) == (130, "interrupted")
