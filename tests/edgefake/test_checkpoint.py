"""Checkpoints: packing, compact ones, damage."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgefake.artefact import model_metadata
from edgefake.checkpoint import Checkpoint, load_checkpoint, pack_ternary, save_checkpoint, unpack_ternary
from edgefake.models import BitLinear, build
from edgefake.models.bitlinear import ternarize
from edgefake_runtime.errors import ModelFileError, UsageError


def saved(folder, name="bitvit-nano", *, compact=False):
    torch.manual_seed(0)
    checkpoint = Checkpoint(build(name).eval(), name, metadata={"note": [1, "two"]})
    save_checkpoint(checkpoint, folder, compact=compact)
    return checkpoint


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))
def test_packing_round_trips_bit_for_bit(rows, columns, seed):
    values = torch.from_numpy(np.random.default_rng(seed).integers(-1, 2, (rows, columns))).float()
    packed = pack_ternary(values)
    assert packed.dtype == torch.uint8
    assert packed.numel() == -(-rows * columns // 4)
    assert torch.equal(unpack_ternary(packed, (rows, columns)), values)


def test_packed_bytes_have_the_documented_order():
    assert pack_ternary(torch.tensor([[1.0, -1.0, 0.0, 1.0, -1.0]])).tolist() == [0b01_00_11_01, 0b11]


def test_hostile_codes_are_refused():
    with pytest.raises(ModelFileError, match="code 2"):
        unpack_ternary(torch.tensor([0b10], dtype=torch.uint8), (1, 4))
    with pytest.raises(ModelFileError, match="expected 8"):
        unpack_ternary(torch.tensor([0], dtype=torch.uint8), (2, 4))


def test_full_checkpoints_come_back_exactly(tmp_path):
    before = saved(tmp_path / "c")
    after = load_checkpoint(tmp_path / "c")
    assert (after.model, after.metadata, after.compact) == ("bitvit-nano", {"note": [1, "two"]}, False)
    for name, value in before.network.state_dict().items():
        assert torch.equal(value, after.network.state_dict()[name])


def test_other_sizes_than_the_named_ones_come_back(tmp_path):
    network = build("bitvit-nano", depth=1, head=())
    save_checkpoint(Checkpoint(network, "bitvit-nano"), tmp_path / "c")
    assert load_checkpoint(tmp_path / "c").network.config == network.config


def test_compact_checkpoints_keep_the_ternary_layers_exact(tmp_path):
    before = saved(tmp_path / "c", compact=True).network
    after = load_checkpoint(tmp_path / "c")
    assert after.compact
    pairs = zip(before.named_modules(), after.network.named_modules(), strict=True)
    layers = [(a, b) for (_, a), (_, b) in pairs if isinstance(a, BitLinear)]
    assert len(layers) == 8
    for ours, theirs in layers:
        (ternary, scale), (again, scale_again) = (ternarize(layer.weight.detach()) for layer in (ours, theirs))
        assert torch.equal(ternary, again)
        assert float(scale_again) == pytest.approx(float(scale), rel=1e-6)


def test_compact_is_small_and_close(tmp_path):
    full, compact = saved(tmp_path / "f"), saved(tmp_path / "c", compact=True)
    image = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        expected = full.network(image)
        got = load_checkpoint(tmp_path / "c").network(image)
    assert torch.allclose(got, expected, atol=0.05 * float(expected.square().mean().sqrt()))
    weights = sum(m.weight.numel() for m in compact.network.modules() if isinstance(m, BitLinear))
    rest = sum(v.numel() for v in compact.network.state_dict().values()) - weights
    size = (tmp_path / "c" / "model.safetensors").stat().st_size
    assert size < weights / 4 + 2 * rest + 8000  # 2 bits each, 16 bits each, and the header


def test_saving_replaces_a_checkpoint_and_nothing_else(tmp_path):
    saved(tmp_path / "c")
    saved(tmp_path / "c", "linvit-nano")
    assert load_checkpoint(tmp_path / "c").model == "linvit-nano"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("meow")
    with pytest.raises(UsageError, match="got something else"):
        saved(tmp_path / "photos")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c", "photos"]


def test_saving_again_keeps_what_else_is_in_the_folder(tmp_path):
    saved(tmp_path / "c")
    (tmp_path / "c" / "mine.onnx").write_text("kept")
    saved(tmp_path / "c")
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["config.json", "mine.onnx", "model.safetensors"]


def test_an_interrupt_while_saving_leaves_a_checkpoint_that_loads(tmp_path, monkeypatch):
    before = saved(tmp_path / "c").network.state_dict()
    replace = Path.replace

    def interrupted(self, target):
        if target.name == "config.json":
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        saved(tmp_path / "c")
    after = load_checkpoint(tmp_path / "c").network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert len(list((tmp_path / "c").iterdir())) == 2


def test_weights_beyond_float16_are_refused_not_made_infinite(tmp_path):
    network = build("cnn-tiny")
    network.stem[1].running_var.fill_(1e5)
    with pytest.raises(ModelFileError, match=r"stem\.1\.running_var"):
        save_checkpoint(Checkpoint(network, "cnn-tiny"), tmp_path / "c", compact=True)
    network.stem[1].running_var.fill_(1.0)
    network.stem[1].num_batches_tracked.fill_(70_001)
    save_checkpoint(Checkpoint(network, "cnn-tiny"), tmp_path / "c", compact=True)
    assert int(load_checkpoint(tmp_path / "c").network.stem[1].num_batches_tracked) == 70_001


@pytest.mark.parametrize(
    "change",
    [
        {"model": ["a"]},
        {"model": "resnet"},
        {"architecture": ["a"]},
        {"architecture": {"foo": 1}},
        {"architecture": {"heads": 0}},
        {"metadata": None},
        {"metadata": {"mean": ["a"], "std": [1], "crop": {"margin": 1}}},
    ],
)
def test_hostile_configurations_are_refused(tmp_path, change):
    saved(tmp_path / "c")
    config = json.loads((tmp_path / "c" / "config.json").read_text())
    (tmp_path / "c" / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelFileError):
        model_metadata(load_checkpoint(tmp_path / "c"), bits=2)


def test_damage_is_named(tmp_path):
    with pytest.raises(ModelFileError, match="expected a checkpoint folder"):
        load_checkpoint(tmp_path)
    saved(tmp_path / "c")
    weights = tmp_path / "c" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    with pytest.raises(ModelFileError, match="expected the weights of bitvit-nano"):
        load_checkpoint(tmp_path / "c")
    weights.write_bytes(whole)
    config = json.loads((tmp_path / "c" / "config.json").read_text())
    deeper = config["architecture"] | {"depth": 3}
    (tmp_path / "c" / "config.json").write_text(json.dumps(config | {"architecture": deeper}))
    with pytest.raises(ModelFileError, match="expected the weights of bitvit-nano"):
        load_checkpoint(tmp_path / "c")
    (tmp_path / "c" / "config.json").write_text("{")
    with pytest.raises(ModelFileError, match="expected JSON"):
        load_checkpoint(tmp_path / "c")


def test_a_file_and_impossible_sizes_are_no_checkpoint(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ModelFileError, match="expected a checkpoint folder, got a file"):
        load_checkpoint(tmp_path / "file")
    save_checkpoint(Checkpoint(build("linvit-nano"), "linvit-nano"), tmp_path / "huge")
    config = json.loads((tmp_path / "huge" / "config.json").read_text())
    config["architecture"]["dim"] = 10_000_000
    (tmp_path / "huge" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFileError, match="expected a known architecture, got"):
        load_checkpoint(tmp_path / "huge")
