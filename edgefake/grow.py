"""A wider and deeper ViT that begins with what a trained smaller one knows, instead of with random weights.

Channels, heads and hidden units are copied, as in Net2Net (Chen et al. 2016, arXiv 1511.05641), but layers read one
copy of each: the weights on the others begin at zero and go their own way. An added block begins with outputs of zero,
so that it passes on what it gets. At the smaller network's input size the logits stay, but for what the copies' own
positions do to the norms; at another one they are a start to train from.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgefake_runtime.errors import UsageError

from .models import CNN, BitLinear, ViT, ViTConfig
from .models.bitlinear import ternarize
from .models.cnn import Trunk
from .models.vit import Block, ConvolutionalTokenization

__all__ = ["grow", "take_trunk"]

FREQUENCY = 4
"""Channels whose positions have one frequency: sin x, cos x, sin y, cos y. i is 2i of a network twice as wide."""


@dataclass(frozen=True)
class _Units:
    """Units of the large network as copies of the small one's.

    Attributes:
        source: (large,), the index that each copies.
        read: (large,), whether it is the copy that the next layer reads.
    """

    source: Tensor
    read: Tensor

    @classmethod
    def copied(cls, small: int, large: int, *, run: int = 1) -> "_Units":
        """Runs of neighbours, each followed by its copies."""
        index, times = torch.arange(large), large // small
        return cls(index // run // times * run + index % run, index // run % times == 0)


@dataclass(frozen=True)
class _Plan:
    """What becomes of each kind of unit."""

    channels: _Units
    heads: _Units
    hidden: _Units

    @classmethod
    def of(cls, small: ViT, large: ViT) -> "_Plan":
        ours, theirs = small.config, large.config
        width = ours.dim // ours.heads
        return cls(
            channels=_Units.copied(ours.dim, theirs.dim, run=FREQUENCY),
            heads=_Units.copied(ours.dim, theirs.dim, run=width),
            hidden=_Units.copied(ours.ffn_dim, theirs.ffn_dim),
        )


@torch.no_grad()
def grow(small: ViT, large: ViT) -> None:
    """Give a network the weights of a smaller one.

    Args:
        small: trained; left as it is.
        large: as many times as wide in tokens and feed-forward as in heads, and as deep or deeper; its head as wide.

    Raises:
        UsageError: other patches, classes or widths, or fewer blocks.
    """
    _require(small, large)
    plan = _Plan.of(small, large)
    if isinstance(large.tokenize, ConvolutionalTokenization):
        assert isinstance(small.tokenize, ConvolutionalTokenization)
        large.tokenize.trunk.load_state_dict(small.tokenize.trunk.state_dict())
    large.tokenize.norm.load_state_dict(small.tokenize.norm.state_dict())
    _fill(large.tokenize.linear, small.tokenize.linear, rows=plan.channels.source)
    begun: set[int] = set()
    for index, block in enumerate(large.blocks):
        source = index * len(small.blocks) // len(large.blocks)
        _fill_block(block, small.blocks[source], plan, silent=source in begun)
        begun.add(source)
    large.norm.weight.copy_(small.norm.weight[plan.channels.source])
    ours, theirs = _linears(small.head), _linears(large.head)
    _fill(theirs[0], ours[0], columns=plan.channels)
    for layer, known in zip(theirs[1:], ours[1:], strict=True):
        layer.load_state_dict(known.state_dict())


@torch.no_grad()
def take_trunk(known: CNN, network: ViT) -> None:
    """Give a hybrid ViT the first stages of a trained CNN.

    Raises:
        UsageError: a CNN of other stages.
    """
    trunk = network.tokenize.trunk
    assert isinstance(trunk, Trunk)
    theirs = known.state_dict()
    wanted = trunk.state_dict()
    if any(name not in theirs or theirs[name].shape != value.shape for name, value in wanted.items()):
        raise UsageError(
            f"init: expected a CNN whose first stages are those of the stem {network.config.stem}, got another"
        )
    trunk.load_state_dict({name: theirs[name] for name in wanted})


def _require(small: ViT, large: ViT) -> None:
    ours, theirs = small.config, large.config
    times = theirs.heads // ours.heads
    for name in ("heads", "dim", "ffn_dim"):
        _expect(getattr(ours, name) * times == getattr(theirs, name), name, f"1/{times} of the larger's", ours, theirs)
    for name in ("patch_size", "classes", "head", "stem"):
        _expect(getattr(ours, name) == getattr(theirs, name), name, "the larger's", ours, theirs)
    _expect(ours.depth <= theirs.depth, "depth", "no more than the larger's", ours, theirs)
    tokens = small.distillation_token is None and large.distillation_token is None
    _expect(tokens, "distillation", "no token", ours, theirs)


def _expect(holds: bool, name: str, wanted: str, ours: ViTConfig, theirs: ViTConfig) -> None:
    if not holds:
        got = f"{getattr(ours, name)} for {getattr(theirs, name)}"
        raise UsageError(f"expected a ViT to grow from, its {name} {wanted}, got {got}")


def _linears(head: nn.Module) -> list[nn.Linear]:
    return [layer for layer in head.modules() if isinstance(layer, nn.Linear)]


def _fill_block(block: nn.Module, known: nn.Module, plan: _Plan, *, silent: bool) -> None:
    """A block from another; a silent one adds nothing to what goes through it."""
    assert isinstance(block, Block)
    assert isinstance(known, Block)
    ours, theirs = known.attention, block.attention
    theirs.norm_qkv.weight.copy_(ours.norm_qkv.weight[plan.channels.source])
    theirs.norm_out.weight.copy_(ours.norm_out.weight[plan.heads.source])
    dim = len(ours.norm_out.weight)
    three = torch.cat([part * dim + plan.heads.source for part in range(3)])  # queries, keys, values
    _fill(theirs.qkv, ours.qkv, rows=three, columns=plan.channels)
    _fill(theirs.out, ours.out, rows=plan.channels.source, columns=plan.heads, silent=silent)
    before, after = known.feed_forward, block.feed_forward
    after.norm_fc1.weight.copy_(before.norm_fc1.weight[plan.channels.source])
    after.norm_fc2.weight.copy_(before.norm_fc2.weight[plan.hidden.source])
    _fill(after.fc1, before.fc1, rows=plan.hidden.source, columns=plan.channels)
    _fill(after.fc2, before.fc2, rows=plan.channels.source, columns=plan.hidden, silent=silent)


def _fill(
    layer: nn.Module,
    known: nn.Module,
    *,
    rows: Tensor | None = None,
    columns: _Units | None = None,
    silent: bool = False,
) -> None:
    """A layer (out, in) from a smaller one: rows copied, one copy of each column read."""
    assert isinstance(layer, nn.Linear)
    assert isinstance(known, nn.Linear)
    weight = _multiplied(known)
    weight = weight if rows is None else weight[rows]
    weight = weight if columns is None else weight[:, columns.source] * columns.read
    if silent:
        weight = torch.zeros_like(weight)
    if isinstance(layer, BitLinear) and bool(weight.any()):
        weight = weight / weight.ne(0).float().mean()  # its scale is the mean of |weight|, zeros among them
    layer.weight.copy_(weight)
    if layer.bias is not None:
        layer.bias.copy_(known.bias if rows is None else known.bias[rows])


def _multiplied(layer: nn.Linear) -> Tensor:
    """The weight that a layer multiplies with: of a BitLinear the ternary one, in its scale."""
    if not isinstance(layer, BitLinear):
        return layer.weight
    ternary, scale = ternarize(layer.weight)
    return ternary * scale
