"""A grown network says what the small one said, and has more to learn with."""

import pytest
import torch

from edgefake.grow import grow
from edgefake.models import BitLinear, ViT, configuration
from edgefake.models.bitlinear import ternarize
from edgefake_runtime.errors import UsageError


def vit(kind, seed, **changes):
    torch.manual_seed(seed)
    network = ViT(configuration(f"{kind}-nano", **changes)).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 2)
    return network


LARGE = {"dim": 64, "heads": 4, "ffn_dim": 128, "depth": 3}


@pytest.mark.parametrize("kind", ["linvit", "bitvit"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_without_positions_the_function_stays(kind, times):
    """Of the copies' positions alone anything changes: without them float rounding is left."""
    small = vit(kind, 0)
    large = vit(kind, 1, dim=32 * times, heads=2 * times, ffn_dim=64 * times, depth=5)
    grow(small, large)
    images = torch.randn(4, 3, 32, 32)
    changed = (large(images) - small(images)).abs().max() / small(images).square().mean().sqrt()
    assert changed < (0.2 if times > 1 else 1e-5)
    for network in (small, large):
        network.rows.zero_()
        network.columns.zero_()
    assert torch.allclose(large(images), small(images), atol=1e-5)


def test_the_positions_of_what_is_read_are_the_small_ones():
    small, large = vit("linvit", 0), vit("linvit", 1, **LARGE)
    read = torch.arange(64).view(-1, 2, 4)[:, 0].flatten()  # every other four channels
    assert torch.allclose(large.rows[..., read], small.rows, atol=1e-6)
    grow(small, large)
    weights = large.blocks[0].attention.qkv.weight
    assert weights[:, read].any(dim=0).all()
    assert not weights.detach().clone().index_fill(1, read, 0.0).any()


def test_a_bitvit_keeps_its_levels_and_scales():
    small, large = vit("bitvit", 0), vit("bitvit", 1, **LARGE)
    grow(small, large)
    ternary, scale = ternarize(large.blocks[0].feed_forward.fc1.weight)
    known, expected = ternarize(small.blocks[0].feed_forward.fc1.weight)
    read = torch.arange(64).view(-1, 2, 4)[:, 0].flatten()
    assert torch.equal(ternary[::2, read], known)
    assert torch.equal(ternary[1::2, read], known)
    assert float(scale.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)


def test_every_weight_learns_but_what_only_a_silent_block_would_use():
    """Copies that are not read yet have gradients too, so that they part ways."""
    large = vit("bitvit", 1, **LARGE)
    grow(vit("bitvit", 0), large)
    large.train()(torch.randn(8, 3, 32, 32)).square().sum().backward()
    silent = large.blocks[1]  # begins as the first one again
    assert not silent.attention.out.weight.any()
    assert silent.attention.out.weight.grad.any()
    unread = torch.arange(64).view(-1, 2, 4)[:, 1].flatten()
    for layer in (large.blocks[0].attention.qkv, large.blocks[2].feed_forward.fc1, large.head[0]):
        assert layer.weight.grad[:, unread].any()
    assert isinstance(silent.attention.out, BitLinear)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 64}, "its dim 1/1 of the larger's, got 32 for 64"),
        ({**LARGE, "ffn_dim": 64}, "its ffn_dim 1/2 of the larger's, got 64 for 64"),
        ({**LARGE, "depth": 1}, "its depth no more than the larger's, got 2 for 1"),
        ({**LARGE, "patch_size": 16}, "its patch_size the larger's, got 8 for 16"),
        ({**LARGE, "head": ()}, "its head the larger's"),
        ({**LARGE, "distillation": True}, "its distillation no token, got False for True"),
        ({"heads": 1, "dim": 16, "ffn_dim": 32}, "its heads 1/0 of"),
    ],
)
def test_what_is_no_smaller_network_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        grow(vit("linvit", 0), vit("linvit", 1, **changes))


def test_a_hybrid_grows_with_its_stem_and_into_no_other_kind():
    small = vit("linvit", 0, patch_size=16, stem="lite0")
    large = vit("linvit", 1, patch_size=16, stem="lite0", **LARGE)
    grow(small, large)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(large.tokenize.trunk(images), small.tokenize.trunk(images))
    with pytest.raises(UsageError, match="stem"):
        grow(vit("linvit", 0, patch_size=16), large)
