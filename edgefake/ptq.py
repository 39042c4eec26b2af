"""Post-training quantization as the thesis compares it with BitViT (section 3.5): absmax and zeropoint.

A trained float network is copied; in the copy every linear and convolution layer holds rounded weights and
rounds what goes into it. Values are rounded and scaled back ("fake" quantization), so that the copy scores as an
integer network would, and any torch runs it.
"""

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgefake_runtime.errors import UsageError

from .models import BitLinear, Network

__all__ = [
    "LAYERS",
    "METHODS",
    "PER",
    "PTQConfig",
    "QuantizedLayer",
    "absmax",
    "dequantize",
    "quantize",
    "weight_bytes",
    "zeropoint",
]

METHODS = ("absmax", "zeropoint")
PER = ("tensor", "channel")
LAYERS = ("all", "encoder")

MIN_BITS, MAX_BITS = 2, 8
TRAINING_ONLY = "distillation_head"
"""What of a network only its training uses."""

TERNARY_BITS = 2
FLOAT_BYTES = 4

EPSILON = 1e-5
"""Least magnitude or range that a scale is made from, as in BitLinear: constant inputs must not divide by zero."""


@dataclass(frozen=True)
class PTQConfig:
    """How a network is quantized after training.

    Attributes:
        method: "absmax" (symmetric) or "zeropoint" (the range shifted to the values').
        weight_bits: width of the weights, 2 to 8.
        activation_bits: width of the activations, 2 to 8.
        per: one scale a weight "tensor" (the thesis) or one an output "channel".
        thesis_range: the thesis' levels [-Q, Q], one more than `bits` bits hold, instead of [-Q, Q - 1].
        layers: "all" as in the thesis, or the "encoder" alone: what lies between the patch embedding (or the
            stem of a CNN) and the head.
    """

    method: str
    weight_bits: int
    activation_bits: int = 8
    per: str = "tensor"
    thesis_range: bool = False
    layers: str = "all"

    def __post_init__(self) -> None:
        for name, known in (("method", METHODS), ("per", PER), ("layers", LAYERS)):
            if getattr(self, name) not in known:
                raise UsageError(f"{name}: expected {' or '.join(known)}, got {getattr(self, name)}")
        for name in ("weight_bits", "activation_bits"):
            _require_bits(getattr(self, name), name)


def _require_bits(bits: int, name: str) -> None:
    if not isinstance(bits, int) or isinstance(bits, bool) or not MIN_BITS <= bits <= MAX_BITS:
        raise UsageError(f"{name}: expected a width of {MIN_BITS} to {MAX_BITS} bits, got {bits}")


def _levels(bits: int, thesis_range: bool) -> tuple[int, int]:
    """Least and largest level, with Q = 2^(bits - 1): [-Q, Q - 1], or the thesis' [-Q, Q]."""
    _require_bits(bits, "bits")
    half = 2 ** (bits - 1)
    return -half, half if thesis_range else half - 1


def absmax(
    x: Tensor, bits: int, *, over: tuple[int, ...] | None = None, thesis_range: bool = False
) -> tuple[Tensor, Tensor]:
    """Symmetric quantization by the largest magnitude (thesis eq. 3.35-3.36, in the range that b bits hold).

    Forward, with Q = 2^(b-1):

        gamma = (Q - 1) / max(max|x|, eps),  x~ = RoundClip(gamma x, -Q, Q - 1)

    and with `thesis_range`, as the thesis writes it:

        gamma = Q / max(max|x|, eps),        x~ = RoundClip(gamma x, -Q, Q)

    The first never reaches -Q: it has 2^b - 1 levels, three at 2 bits.

    There is no backward: rounding has no gradient, and nothing trains after it.

    Args:
        x: any shape, floating.
        bits: b, 2 to 8.
        over: dimensions that share a scale; None for all of them.
        thesis_range: use [-Q, Q], which has 2^b + 1 levels.

    Returns:
        Whole numbers of the shape and type of x, and gamma, of x's shape with 1 along `over`.

    Raises:
        UsageError: `bits` out of range.
    """
    low, high = _levels(bits, thesis_range)
    shared = tuple(range(x.ndim)) if over is None else over
    gamma = high / x.abs().amax(dim=shared, keepdim=True).clamp(min=EPSILON)
    return (x * gamma).round().clamp(low, high), gamma


def zeropoint(
    x: Tensor, bits: int, *, over: tuple[int, ...] | None = None, thesis_range: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Quantization of the range from the least to the largest value (thesis eq. 3.37-3.39, in b bits).

    Forward, with Q = 2^(b-1):

        gamma = (2Q - 1) / max(max(x) - min(x), eps),  z = round(-min(x) gamma - Q)
        x~ = RoundClip(gamma x + z, -Q, Q - 1)

    and with `thesis_range`, as the thesis writes it: 2Q in the place of 2Q - 1, clipped to [-Q, Q]. No backward.

    Args:
        x: any shape, floating.
        bits: b, 2 to 8.
        over: dimensions that share a scale; None for all of them.
        thesis_range: use [-Q, Q], which has 2^b + 1 levels.

    Returns:
        Whole numbers of the shape and type of x; gamma and z, of x's shape with 1 along `over`.

    Raises:
        UsageError: `bits` out of range.
    """
    low, high = _levels(bits, thesis_range)
    shared = tuple(range(x.ndim)) if over is None else over
    least, largest = x.amin(dim=shared, keepdim=True), x.amax(dim=shared, keepdim=True)
    gamma = (high - low) / (largest - least).clamp(min=EPSILON)
    zero = (low - least * gamma).round()
    return (x * gamma + zero).round().clamp(low, high), gamma, zero


def dequantize(levels: Tensor, gamma: Tensor, zero: Tensor | float = 0.0) -> Tensor:
    """Levels back to values: (x~ - z) / gamma, with z = 0 for absmax."""
    return (levels - zero) / gamma


def _fake(x: Tensor, bits: int, config: PTQConfig, over: tuple[int, ...] | None) -> Tensor:
    if config.method == "absmax":
        return dequantize(*absmax(x, bits, over=over, thesis_range=config.thesis_range))
    return dequantize(*zeropoint(x, bits, over=over, thesis_range=config.thesis_range))


class QuantizedLayer(nn.Module):
    """A linear or convolution layer with rounded weights that rounds its input: y = layer(x^), W^ for W.

    Activations have one scale a token, taken while running: a row of a linear layer's input, an image of a
    convolution's (a map has no tokens). The bias stays float.

    Shapes: those of the layer.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, config: PTQConfig) -> None:
        super().__init__()
        self.layer = layer
        self.config = config
        weight = layer.weight.detach()
        over = None if config.per == "tensor" else tuple(range(1, weight.ndim))
        layer.weight = nn.Parameter(_fake(weight, config.weight_bits, config, over), requires_grad=False)
        self.over = (-1,) if isinstance(layer, nn.Linear) else (-3, -2, -1)

    def forward(self, x: Tensor) -> Tensor:
        """Round the activations, then run the layer."""
        result: Tensor = self.layer(_fake(x, self.config.activation_bits, self.config, self.over))
        return result


def _chosen(network: Network, layers: str) -> dict[str, nn.Linear | nn.Conv2d]:
    """The float layers with weights that `layers` names, by their dotted name."""
    inside = "blocks." if layers == "encoder" else ""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
        and not isinstance(module, BitLinear)
        and name.startswith(inside)
        and not name.startswith(TRAINING_ONLY)
    }


def _refuse_ternary(network: Network) -> None:
    if any(isinstance(module, BitLinear) for module in network.modules()):
        raise UsageError(
            "expected a network with float weights, got a BitViT, whose encoder is ternary already; quantize a LinViT"
        )


@torch.no_grad()
def quantize(network: Network, config: PTQConfig) -> Network:
    """A copy of the network with quantized layers (thesis section 4.2); the network itself stays as it is.

    Args:
        network: a LinViT or a CNN.
        config: method, widths, and which layers.

    Returns:
        The copy, in evaluation mode.

    Raises:
        UsageError: a BitViT: its encoder is ternary already.
    """
    _refuse_ternary(network)
    copy = deepcopy(network).eval()
    for name, layer in _chosen(copy, config.layers).items():
        parent, _, attribute = name.rpartition(".")
        setattr(copy.get_submodule(parent), attribute, QuantizedLayer(layer, config))
    return copy


def weight_bytes(network: Network, config: PTQConfig | None = None) -> int:
    """Bytes of the weights as they would be packed.

    Quantized layers of n weights at b bits take ceil(n b / 8) + 4 s bytes: s is one float32 scale a tensor or a
    channel, and for zeropoint as many zero-points; BitLinear layers ceil(2 n / 8) + 4; every other number of the
    network (biases, norms, running statistics, unquantized layers) 4. The head of a distillation token does not count:
    no answer uses it. `thesis_range` counts b bits too, as the
    thesis does, though its 2^b + 1 levels do not fit into them.

    Args:
        network: as it was before `quantize`.
        config: how it would be quantized; None for the network as it is.

    Raises:
        UsageError: a quantization of a BitViT.
    """
    if config is not None:
        _refuse_ternary(network)
    floats: int = sum(
        value.numel()
        for name, value in network.state_dict().items()
        if value.is_floating_point() and not name.startswith(TRAINING_ONLY)
    )
    packed = 0
    for count, bits, numbers in _packed_layers(network, config):
        packed += math.ceil(count * bits / 8) + FLOAT_BYTES * numbers
        floats -= count
    return packed + FLOAT_BYTES * floats


def _packed_layers(network: Network, config: PTQConfig | None) -> Iterator[tuple[int, int, int]]:
    """Of each layer below float32: weights, their bits, and the float32 numbers beside them."""
    for module in network.modules():
        if isinstance(module, BitLinear):
            yield module.weight.numel(), TERNARY_BITS, 1
    if config is None:
        return
    for layer in _chosen(network, config.layers).values():
        scales = 1 if config.per == "tensor" else layer.weight.shape[0]
        yield layer.weight.numel(), config.weight_bits, scales * (2 if config.method == "zeropoint" else 1)
