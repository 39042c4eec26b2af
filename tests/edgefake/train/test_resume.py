"""A killed run goes on and ends as one that was not; several processes do what one does; a full disk loses nothing."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgefake.checkpoint import load_checkpoint
from edgefake.train.curves import EpochReport
from edgefake.train.engine import Engine
from edgefake.train.run import train
from edgefake.train.state import STATE_FILE
from edgefake_runtime.errors import InputError

from ..crops import settings, write_crops

ROOT = Path(__file__).parents[3]
STEPS, PARTS = 12, 3
"""Of the run that is killed: 4 epochs of 3 steps of 24 pictures, each step in three parts."""

NEVER = -1

KILLED = """
import os, signal, sys
from pathlib import Path
from edgefake.train.engine import Engine
from edgefake.train.run import train
from tests.edgefake.crops import settings

data, out, model, step, part, resume = sys.argv[1:]
learn = Engine._part

def fatal(engine, batch, number):
    if (engine.step, number) == (int(step), int(part)):
        os.kill(os.getpid(), signal.SIGKILL)
    return learn(engine, batch, number)

Engine._part = fatal
config = settings(Path(data), Path(out), model=model, epochs=4, batch=24, accumulate=3, ema=0.9, save_every=2)
train(config, resume=resume == "resume")
"""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_crops(tmp_path_factory.mktemp("crops"))


def run_until(data, out, model, step, part, *, resume):
    """A run in a process of its own that kills itself before the given part of a step; its exit status."""
    arguments = [data, out, model, step, part, "resume" if resume else "begin"]
    command = [sys.executable, "-c", KILLED, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=300, check=False).returncode


def contents(out):
    return {name: load_file(out / name / "model.safetensors") for name in ("last", "best")} | {
        "state": load_file(out / STATE_FILE)
    }


def scores(reports):
    return [(r.train_loss, r.val_loss, r.val_auc, r.lr) for r in reports]


@pytest.mark.parametrize("model", ["bitvit-nano", "cnn-nano"])
def test_a_run_killed_three_times_ends_with_the_same_weights(manifest, tmp_path, model):
    """SIGKILL at three random steps, one of them inside an accumulation; network, average and optimizer bit for bit."""
    assert run_until(manifest, tmp_path / "whole", model, NEVER, 0, resume=False) == 0
    steps = sorted(random.Random(7).sample(range(1, STEPS), 3))
    for turn, step in enumerate(steps):
        part = 1 if turn == 1 else 0
        assert run_until(manifest, tmp_path / "killed", model, step, part, resume=turn > 0) == -signal.SIGKILL
        print(f"killed before part {part + 1} of {PARTS} of step {step + 1}")
    assert run_until(manifest, tmp_path / "killed", model, NEVER, 0, resume=True) == 0
    whole, killed = (load_checkpoint(tmp_path / name / "last").metadata["epochs"] for name in ("whole", "killed"))
    assert scores([EpochReport(**report) for report in killed]) == scores([EpochReport(**report) for report in whole])
    unbroken, mended = contents(tmp_path / "whole"), contents(tmp_path / "killed")
    for name, tensors in unbroken.items():
        assert tensors.keys() == mended[name].keys()
        differing = [key for key in tensors if not torch.equal(tensors[key], mended[name][key])]
        print(f"{name}: {len(tensors)} tensors, {len(differing)} differ")
        assert not differing


def test_resuming_before_the_first_state_begins_anew(manifest, tmp_path):
    plain = train(settings(manifest, tmp_path / "a", epochs=2))
    (tmp_path / "b").mkdir()
    assert scores(train(settings(manifest, tmp_path / "b", epochs=2), resume=True)) == scores(plain)


def test_resuming_a_finished_run_changes_nothing(manifest, tmp_path):
    reports = train(settings(manifest, tmp_path, epochs=2))
    before = (tmp_path / "last" / "model.safetensors").read_bytes()
    assert train(settings(manifest, tmp_path, epochs=2), resume=True) == reports
    assert (tmp_path / "last" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_a_damaged_state_or_that_of_another_network_is_refused(manifest, tmp_path, damage):
    train(settings(manifest, tmp_path, epochs=1))
    path = tmp_path / STATE_FILE
    if damage != "other":
        path.write_bytes(path.read_bytes()[:1000] if damage == "cut" else b"")
    model = "cnn-nano" if damage == "other" else "bitvit-nano"
    with pytest.raises(InputError, match="expected the state of this run"):
        train(settings(manifest, tmp_path, epochs=2, model=model), resume=True)


def test_a_state_of_other_pictures_is_refused(manifest, tmp_path):
    train(settings(manifest, tmp_path / "run", epochs=1))
    rows = manifest.read_text().splitlines()
    (manifest.parent / "fewer.csv").write_text("\n".join(rows[:40] + rows[-20:]))
    with pytest.raises(InputError, match="expected the pictures and processes of that run, got others"):
        train(settings(manifest.parent / "fewer.csv", tmp_path / "run", epochs=2), resume=True)


DISTRIBUTED = """
import json, sys
from pathlib import Path
from edgefake.train.run import train
from tests.edgefake.crops import settings

data, out, model = sys.argv[1:]
train(settings(Path(data), Path(out), epochs=2, batch=24, dropout=0.0, model=model))
"""


@pytest.mark.parametrize("model", ["bitvit-nano"])
def test_two_processes_over_gloo_learn_as_one_does(manifest, tmp_path, model):
    """Equal batches, dealt out to two processes: the losses agree to rounding."""
    alone = train(settings(manifest, tmp_path / "one", epochs=2, batch=24, dropout=0.0, model=model))
    script = tmp_path / "run.py"
    script.write_text(DISTRIBUTED)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(script), str(manifest), str(tmp_path / "two"), model],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    metadata = json.loads((tmp_path / "two" / "last" / "config.json").read_text())["metadata"]
    together = [EpochReport(**report) for report in metadata["epochs"]]
    for one, two in zip(alone, together, strict=True):
        assert two.train_loss == pytest.approx(one.train_loss, rel=1e-3)
        assert two.val_loss == pytest.approx(one.val_loss, rel=1e-3)
        assert two.val_auc == pytest.approx(one.val_auc, abs=0.03)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="mounting a small disk needs root")
def test_a_full_disk_keeps_the_state_and_the_checkpoint_before_it(manifest, tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        learn = Engine._one_step

        def filling(engine, parts):
            if engine.step == 7:
                (disk / "filler").write_bytes(b"")
                free = os.statvfs(disk)
                (disk / "filler").write_bytes(bytes(free.f_bavail * free.f_frsize - 8192))
            learn(engine, parts)

        monkeypatch.setattr(Engine, "_one_step", filling)
        with pytest.raises(InputError, match="No space left on device"):
            train(settings(manifest, disk / "run", epochs=3))
        assert len(load_checkpoint(disk / "run" / "last").metadata["epochs"]) == 1
        assert not list((disk / "run").rglob("*.part"))
        (disk / "filler").unlink()
        monkeypatch.undo()
        resumed = train(settings(manifest, disk / "run", epochs=3), resume=True)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
    assert scores(resumed) == scores(train(settings(manifest, tmp_path / "whole", epochs=3)))
