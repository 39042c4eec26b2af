"""Checkpoints: packing, compact ones, damage."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

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
    (tmp_path / "c" / "config.json").write_text(json.dumps(config | {"model": "bitvit-tiny"}))
    with pytest.raises(ModelFileError, match="expected the weights of bitvit-tiny"):
        load_checkpoint(tmp_path / "c")
    (tmp_path / "c" / "config.json").write_text("{")
    with pytest.raises(ModelFileError, match="expected JSON"):
        load_checkpoint(tmp_path / "c")
