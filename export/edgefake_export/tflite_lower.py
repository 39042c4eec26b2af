"""What takes the place of layers with stored weights in a network that becomes a TFLite file.

A converter sees ordinary float layers. Their weights are *markers*, arbitrary numbers that nothing folds away and that
are found in the converter's file whatever the real weights are (equal, constant, zero); `tflite_pack` puts the levels
in their place there.
"""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefake.models import BitLinear
from edgefake.quantized import Activations, QuantizedLayer, StoredWeight
from edgefake_runtime.errors import UsageError

from .fold import FloatBitLinear, children_of, fold
from .tflite_layers import AbsmaxLinear, LevelsConv, LevelsLinear, RoundedLayer, columns_for

__all__ = ["Lowered", "Marked", "lower"]

CONTAINERS = (2, 4, 8)

LEAST_OF_8 = -128
"""A level that zeropoint has. On x86 LiteRT's own kernels negate it to itself, and where a processor adds up pairs of
products in 16 bits, as NEON does, it overflows beside activations of -128."""

HALF_LEAST = 1000
"""Smaller weights stay float32: they would save nothing."""


@dataclass(frozen=True)
class Marked:
    """A weight of the lowered network, and what the file holds in its place.

    Attributes:
        name: of the tensor in the file, such as "blocks.0.attention.qkv.levels2".
        marker: what the converter sees, (out, ...), float32, no number 0.
        levels: whole numbers of the marker's shape, int8.
        scale: (out,), float32, positive.
        width: bits of a level: 2, 4 or 8.
        whole: whether the layer multiplies the levels themselves, with rounded activations; else LiteRT makes them
            floats first.
    """

    name: str
    marker: Tensor
    levels: Tensor
    scale: Tensor
    width: int
    whole: bool


@dataclass(frozen=True)
class Lowered:
    """A network for the converter.

    Attributes:
        module: on the CPU, in evaluation mode. What it computes is of no use, for its weights are markers.
        marked: the weights to store as levels; not those that no answer takes.
        halves: names and values, (out, ...) float32, of weights to store as float16, which they are exactly.
    """

    module: nn.Module
    marked: tuple[Marked, ...]
    halves: tuple[tuple[str, Tensor], ...]


def _marker(shape: torch.Size, seed: int) -> Tensor:
    """Numbers of about 1 / sqrt(fan in), so that activations stay finite where a converter tries the network."""
    generator = torch.Generator().manual_seed(seed)
    size = 0.5 + 0.5 * torch.rand(shape, generator=generator)
    sign = torch.where(torch.rand(shape, generator=generator) < 0.5, -1.0, 1.0)
    return size * sign * 2.0 ** -math.ceil(math.log2(math.prod(shape[1:])) / 2)


def _container(stored: StoredWeight, *, least: int, name: str) -> int:
    """Bits that a level takes in the file."""
    low, high = int(stored.levels.min()), int(stored.levels.max())
    for width in CONTAINERS:
        half = 2 ** (width - 1)
        if width >= max(least, stored.container) and -half <= low and high < half:
            return width
    raise UsageError(f"{name}: expected levels that 8 bits hold, got {low} to {high}; leave out the thesis' range")


def _name(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def _channels(stored: StoredWeight) -> Tensor:
    """Scales that LiteRT multiplies by; one of the whole weight is multiplied elsewhere, so that these are shared."""
    return torch.ones(()) if stored.scale.ndim == 0 else stored.scale


def _require_narrow(activations: Activations, name: str) -> None:
    if activations.thesis_range and activations.bits == 8:
        raise UsageError(f"{name}: expected activation levels that 8 bits hold; leave out the thesis' range")


class _Lowering:
    """A pass over a network that replaces its layers and notes which weights it marked."""

    def __init__(self, *, bits: int, least: int) -> None:
        self.bits = bits
        self.least = least
        self.marked: list[Marked] = []
        self.lowered: dict[nn.Module, nn.Module | None] = {}

    def replace(self, parent: nn.Module, prefix: str = "") -> None:
        """Replace layers below a module, in order. A layer used in two places stays one, under its first name."""
        for attribute, child in children_of(parent):
            name = _name(prefix, attribute)
            if child not in self.lowered:
                self.lowered[child] = self.lower(name, child)
            replacement = self.lowered[child]
            if replacement is None:
                self.replace(child, name)
            else:
                setattr(parent, attribute, replacement)

    def lower(self, name: str, layer: nn.Module) -> nn.Module | None:
        """What takes a layer's place; None for an ordinary one."""
        if isinstance(layer, BitLinear):
            return self.bit_linear(name, layer)
        if not isinstance(layer, QuantizedLayer):
            return None
        width = _container(layer.stored, least=self.least, name=name)
        if layer.activations.method == "static":
            raise UsageError(
                f"{name}: expected activations that are rounded while running, got static ones, which leave LiteRT's "
                "XNNPACK in dozens of places; write ONNX"
            )
        if isinstance(layer.layer, nn.Conv2d):
            return self.convolution(name, layer.layer, layer, width)
        if layer.activations.method == "none":
            return self.rounded(name, layer, width)
        return self.linear(name, layer.layer, layer, width)

    def bit_linear(self, name: str, layer: BitLinear) -> nn.Module:
        """Ternary levels; at 16 and 32 bits floats."""
        folded = fold(layer)
        if self.bits > 8:
            return FloatBitLinear(folded)
        width = max(self.bits, self.least)
        marker = self.mark(name, folded.weight.T, torch.ones(()), width=width, whole=True)
        return AbsmaxLinear(marker, folded.bias, scale=float(folded.scale))

    def linear(self, name: str, linear: nn.Linear, layer: QuantizedLayer, width: int) -> nn.Module:
        """A linear layer in whole numbers, or, where its weight has a level that kernels take wrong, in floats."""
        stored, activations = layer.stored, layer.activations
        _require_narrow(activations, name)
        if int(stored.levels.min()) == LEAST_OF_8:
            return self.rounded(name, layer, width)
        marker = self.mark(name, stored.levels, _channels(stored), width=width, whole=True)
        bias = None if linear.bias is None else linear.bias.detach().clone()
        if activations.method == "absmax" and activations.bits == 8 and stored.zero is None:
            return AbsmaxLinear(marker, bias, scale=float(stored.scale) if stored.scale.ndim == 0 else 1.0)
        return LevelsLinear(marker, bias, stored, activations)

    def convolution(self, name: str, convolution: nn.Conv2d, layer: QuantizedLayer, width: int) -> nn.Module:
        """A convolution in floats at 8 bits; below, in whole numbers where it can be, for XNNPACK's sake."""
        plain = convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str)
        plain = plain and set(convolution.dilation) == {1} and layer.activations.method == "absmax"
        if width == 8 or not plain:
            return self.rounded(name, layer, width)
        if convolution.groups > 1:  # small, and LiteRT has no linear layer of groups
            return self.rounded(name, layer, 8)
        _require_narrow(layer.activations, name)
        levels = layer.stored.levels.permute(0, 2, 3, 1).flatten(1)
        marker = self.mark(name, levels, _channels(layer.stored), width=width, whole=True)
        return LevelsConv(marker, convolution, layer.stored, layer.activations)

    def rounded(self, name: str, layer: QuantizedLayer, width: int) -> nn.Module:
        """A layer in floats, of stored levels."""
        marker = self.mark(name, layer.stored.levels, layer.stored.scale, width=width, whole=False)
        layer.layer.weight = nn.Parameter(marker, requires_grad=False)
        return RoundedLayer(layer.layer, layer.stored, layer.activations, layer.over)

    def mark(self, name: str, levels: Tensor, scale: Tensor, *, width: int, whole: bool) -> Tensor:
        """Note a weight, with zero columns where it needs them, and make its marker."""
        if whole:
            levels = F.pad(levels, (0, columns_for(levels.shape[1])))
        marker = _marker(levels.shape, seed=len(self.marked))
        scales = scale.detach().float().expand(len(levels)).contiguous()
        if not bool((scales > 0).all()):
            raise UsageError(f"{name}: expected positive scales, got {float(scales.min())}")
        levels = levels.to(torch.int8).contiguous()
        self.marked.append(Marked(_name(name, f"levels{width}"), marker, levels, scales, width, whole))
        return marker


def _halves(module: nn.Module) -> tuple[tuple[str, Tensor], ...]:
    """Matrices and kernels that are float16 values; markers are none."""
    tensors = (*module.named_parameters(), *module.named_buffers())
    return tuple(
        (_name(name.removesuffix("weight").removesuffix("."), "half"), tensor.detach())
        for name, tensor in tensors
        if tensor.ndim > 1 and tensor.numel() > HALF_LEAST and bool((tensor == tensor.half()).all())
    )


def _lay_out(module: nn.Module) -> None:
    """Every tensor row by row: litert-torch 0.10 takes one for another among those of one shape that are not."""
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.contiguous()


def _used(module: nn.Module, example: Tensor) -> set[int]:
    """Where in memory the weights lie of the layers that an answer takes."""
    places: set[int] = set()

    def note(layer: nn.Module, *_: object) -> None:
        places.update(tensor.data_ptr() for tensor in (*layer.parameters(False), *layer.buffers(False)))

    hooks = [layer.register_forward_pre_hook(note) for layer in module.modules()]
    try:
        module(example)
    finally:
        for hook in hooks:
            hook.remove()
    return places


@torch.no_grad()
def lower(network: nn.Module, *, example: Tensor, bits: int, least: int, half: bool) -> Lowered:
    """A copy whose layers with stored weights are float layers with markers for weights.

    Args:
        network: any; left as it is.
        example: an input, (1, ...).
        bits: of BitLinear's weights: 2, 4 or 8 for levels, 16 or 32 for floats.
        least: no level is stored in fewer bits: 2, 4 or 8.
        half: name the float weights that are exactly float16 values.

    Raises:
        UsageError: static activations, levels that 8 bits do not hold, or an example that the network does not take.
    """
    holder = nn.Sequential(copy.deepcopy(network).cpu().float().eval())
    lowering = _Lowering(bits=bits, least=least)
    root = lowering.lower("", holder[0])
    if root is None:
        lowering.replace(holder[0])
        root = holder[0]
    root.eval()
    _lay_out(root)
    used = _used(root, example)
    marked = tuple(entry for entry in lowering.marked if entry.marker.data_ptr() in used)
    return Lowered(root, marked, _halves(root) if half else ())
