"""Where weights start: a checkpoint's, a smaller ViT's, a CNN's, ImageNet's."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edgefake.checkpoint import load_checkpoint
from edgefake.models.bitlinear import ternarize
from edgefake.train.run import train
from edgefake.train.tasks import make_task
from edgefake_runtime.errors import UsageError

from ..crops import settings, write_crops

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_crops(tmp_path_factory.mktemp("crops"))


def test_going_on_from_another_architecture_is_refused(manifest, tmp_path):
    train(settings(manifest, tmp_path / "a", epochs=1))
    train(settings(manifest, tmp_path / "b", epochs=1, model="linvit-nano", init=tmp_path / "a" / "last"))
    with pytest.raises(UsageError, match="those of bitvit-nano"):
        train(settings(manifest, tmp_path / "c", epochs=1, model="cnn-nano", init=tmp_path / "a" / "last"))


def test_a_smaller_vit_is_grown(manifest, tmp_path):
    """From the shipped compact checkpoint too: its size as a start, its input size its own."""
    shipped = ROOT / "models" / "bitvit-tiny"
    task = make_task(settings(manifest, tmp_path, model="bitvit-s16", init=shipped, image_size=112))
    small, images = load_checkpoint(shipped).network, torch.randn(8, 3, 112, 112)
    with torch.no_grad():
        ours, theirs = task.network.eval()(images), small(images)
    assert (ours - theirs).abs().max() < 0.1 * theirs.square().mean().sqrt()
    with pytest.raises(UsageError, match="full checkpoint to go on from, got a compact one"):
        make_task(settings(manifest, tmp_path, model="bitvit-tiny", init=shipped))


def test_a_linvit_takes_the_weights_that_a_compact_bitvit_multiplies_with(manifest, tmp_path):
    shipped = load_checkpoint(ROOT / "models" / "bitvit-tiny").network
    task = make_task(settings(manifest, tmp_path, model="linvit-tiny", init=ROOT / "models" / "bitvit-tiny"))
    weight, known = (network.blocks[0].attention.qkv.weight for network in (task.network, shipped))
    ternary, scale = ternarize(known)
    assert torch.allclose(weight, ternary * scale)
    images = torch.randn(8, 3, 112, 112)
    with torch.no_grad():
        ours, theirs = task.network.eval()(images), shipped(images)
    assert (ours - theirs).abs().max() < 0.1 * theirs.square().mean().sqrt()  # 8-bit activations apart


def test_a_hybrid_takes_its_convolutions_from_a_cnn(manifest, tmp_path):
    train(settings(manifest, tmp_path / "cnn", model="cnn-lite0", image_size=32, epochs=1))
    known = load_checkpoint(tmp_path / "cnn" / "last").network
    run = settings(
        manifest, tmp_path / "run", model="bitvit-tiny-hybrid", image_size=32, init=tmp_path / "cnn" / "last"
    )
    network = make_task(run).network
    assert torch.equal(network.tokenize.trunk.blocks[7][1][0].weight, known.blocks[7][1][0].weight)
    reports = train(replace(run, epochs=1, teacher=str(tmp_path / "cnn" / "last")))
    assert len(reports) == 1
    assert load_checkpoint(tmp_path / "run" / "last").network.config.stem == "lite0"


def test_imagenet_is_a_start_for_a_network_of_its_kind_alone(manifest, tmp_path):
    with pytest.raises(UsageError, match=r"weights of ImageNet \(cnn-lite0\), got bitvit-nano"):
        make_task(settings(manifest, tmp_path, init=Path("imagenet")))
    task = make_task(settings(manifest, tmp_path, model="cnn-lite0", image_size=32, init=Path("imagenet")))
    assert float(task.network.stem[1].running_var.max()) != 1  # a fresh BatchNorm's
