"""A network with the weights that its file will hold: what the file is compared with, in torch."""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgefake.activation_ranges import static_activations
from edgefake.gptq import quantize_gptq
from edgefake.models import BitLinear
from edgefake.quantized import Activations, QuantizedLayer, StoredWeight, store
from edgefake_runtime.errors import ModelFileError, UsageError

from .cells import Recipe
from .fold import FloatBitLinear, children_of, fold

__all__ = ["Parts", "parts_of", "require_finite", "round_encoder", "round_network"]

Weighted = nn.Linear | nn.Conv2d

PATCHES = "tokenize.linear"
"""The patch embedding of our ViTs, the largest layer outside the encoder: integer arithmetic where it is rounded."""

TRUNK = "tokenize.trunk."
"""A hybrid's convolutions; the projection of their cells is small, and one of the rest."""

ENCODER = "blocks."
TRAINING_ONLY = ("distillation_head",)
FLOAT16_MAX = torch.finfo(torch.float16).max


@dataclass(frozen=True)
class Parts:
    """Names of a network's layers with weights, by what an export does with them.

    Attributes:
        encoder: layers whose weights have the recipe's bits: BitLinear where there is any, else those of the
            encoder (`blocks`), else all.
        patches: the patch embedding of a ViT, unless it is ternary.
        rest: heads, stems and whatever else there is.
    """

    encoder: tuple[str, ...]
    patches: tuple[str, ...]
    rest: tuple[str, ...]


def parts_of(module: nn.Module) -> Parts:
    """The layers of a network by part; a layer used in two places counts at its first.

    The output layer of `nn.MultiheadAttention` is none of them: the attention takes its weights and never runs it.
    """
    layers = {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, (nn.Linear, nn.Conv2d))
        and not isinstance(layer, NonDynamicallyQuantizableLinear)
        and not name.startswith(TRAINING_ONLY)
    }
    ternary = [name for name, layer in layers.items() if isinstance(layer, BitLinear)]
    blocks = [name for name in layers if name.startswith(ENCODER)]
    encoder = tuple(ternary or blocks or layers)
    hybrid = any(name.startswith(TRUNK) for name in layers)
    patches = tuple(name for name in layers if name == PATCHES and name not in encoder and not hybrid)
    rest = tuple(name for name in layers if name not in encoder and name not in patches)
    return Parts(encoder, patches, rest)


def require_finite(module: nn.Module) -> None:
    """Refuse damaged weights.

    Raises:
        ModelFileError: one is NaN or infinite; the message names it.
    """
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelFileError(f"{name}: expected finite weights, got NaN or infinity; train it again")


def _replace(holder: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a layer in another's place, wherever that one is used."""
    for parent in list(holder.modules()):
        for name, child in children_of(parent):
            if child is old:
                setattr(parent, name, new)


def _layers(holder: nn.Sequential, names: Sequence[str]) -> list[Weighted]:
    layers = [holder[0].get_submodule(name) for name in names]
    return [layer for layer in layers if isinstance(layer, (nn.Linear, nn.Conv2d))]


def _plain(layer: Weighted) -> Weighted:
    """A copy whose weight may be replaced; of a BitLinear, the linear layer in its place."""
    if not isinstance(layer, BitLinear):
        return copy.deepcopy(layer)
    plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    plain.bias = copy.deepcopy(layer.bias)
    return plain


def _round(holder: nn.Sequential, names: Sequence[str], *, method: str, bits: int, per: str, activations: str) -> None:
    for layer in _layers(holder, names):
        stored = store(layer.weight.detach(), method=method, bits=bits, per=per)
        _replace(holder, layer, QuantizedLayer(_plain(layer), stored, Activations(activations)))


def _fused(recipe: Recipe, parts: Parts) -> list[str]:
    """Convolutions that a BatchNorm after them is merged into: where converters would, and before integer kernels."""
    if recipe.style == "qdq":
        return [*parts.encoder, *parts.rest]
    halved = ((recipe.bits, parts.encoder), (recipe.other, parts.rest))
    return [name for bits, names in halved if bits == 16 for name in names]


def _fuse_norms(network: nn.Module, names: Collection[str]) -> None:
    """Merge a BatchNorm into the convolution before it: converters do so, and would undo a rounding to float16."""
    for prefix, parent in list(network.named_modules()):
        layers = children_of(parent) if isinstance(parent, nn.Sequential) else []
        for (name, layer), (after, norm) in pairwise(layers):
            named = f"{prefix}.{name}" if prefix else name
            if named in names and isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(layer, norm))
                setattr(parent, after, nn.Identity())


def _halve(holder: nn.Sequential, names: Sequence[str]) -> None:
    """Weights to the nearest float16, in place; of a BitLinear, those that it multiplies."""
    for name, layer in zip(names, _layers(holder, names), strict=True):
        if isinstance(layer, BitLinear):
            _replace(holder, layer, FloatBitLinear(fold(layer), half=True))
        else:
            largest = float(layer.weight.detach().abs().max())
            if largest > FLOAT16_MAX:
                raise ModelFileError(f"{name}: expected weights that 16 bits hold, got {largest:g}; take --bits 32")
            layer.weight.data = layer.weight.data.half().float()


def _output(name: str) -> str:
    """What the output of a `QuantizedLayer` goes through."""
    return f"{name}.out"


def _static(holder: nn.Sequential, names: Sequence[str], ranges: Mapping[str, Activations], *, bits: int) -> None:
    """Static activations for the layers that are named, their weights kept as they are.

    What comes out of a convolution is rounded too, and its bias: integer kernels add and write integers.
    """
    for name, layer in [(name, holder[0].get_submodule(name)) for name in names]:
        activations = ranges[name]
        if isinstance(layer, BitLinear):
            folded = fold(layer)
            stored = StoredWeight(folded.weight.T.contiguous(), folded.scale, None, bits)
            _replace(holder, layer, QuantizedLayer(_plain(layer), stored, activations))
        else:
            assert isinstance(layer, QuantizedLayer)
            plain, outputs = copy.deepcopy(layer.layer), ranges.get(_output(name))
            if outputs is not None and plain.bias is not None:
                step = activations.scale * layer.stored.scale  # of the integer sums that the bias is added to
                plain.bias.data = (plain.bias.data / step).round() * step
            _replace(holder, layer, QuantizedLayer(plain, layer.stored, activations, outputs=outputs))


def _make_plain(network: nn.Module) -> None:
    """Ordinary weights for parametrized ones, and no layer that reads the weights of those in it."""
    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            weights = {name: getattr(module, name).detach() for name in module.parametrizations}  # type: ignore[union-attr]
            module.__class__ = type(module).__bases__[0]  # the class with parametrizations is the original's, too
            del module.parametrizations
            for name, weight in weights.items():
                module.register_parameter(name, nn.Parameter(weight))
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0  # its fast path reads the weights of its layers


def _round_other(holder: nn.Sequential, parts: Parts, recipe: Recipe) -> None:
    """The patch embedding in integers, the rest by weights alone: it costs nothing and is close to the answer."""
    for names, bits, activations in (
        (parts.patches, recipe.other, "absmax"),
        (parts.rest, recipe.least_other, "none"),
    ):
        if bits <= 8:
            _round(holder, names, method="absmax", bits=bits, per="channel", activations=activations)
        elif bits == 16:
            _halve(holder, names)


def _require_pictures(recipe: Recipe, calibration: Tensor | None) -> Tensor:
    if calibration is None:
        what = "GPTQ" if recipe.method == "gptq" else "static activations"
        raise UsageError(f"expected pictures to calibrate {what} on, got none; name a manifest with --calibration")
    return calibration


@torch.no_grad()
def round_encoder(module: nn.Module, recipe: Recipe, *, calibration: Tensor | None = None) -> nn.Module:
    """The first step of `round_network`, which GPTQ makes the long one: the encoder's weights alone.

    Recipes with the same method, bits, `per` and `other` share it.
    """
    holder = nn.Sequential(copy.deepcopy(module).cpu().float().eval())
    _make_plain(holder)
    parts = parts_of(holder[0])
    _fuse_norms(holder[0], _fused(recipe, parts))
    if recipe.method in ("absmax", "zeropoint"):
        kinds = {"method": recipe.method, "activations": recipe.method}
        _round(holder, parts.encoder, bits=recipe.bits, per=recipe.per, **kinds)
    elif recipe.method == "gptq":
        images = _require_pictures(recipe, calibration)
        return quantize_gptq(holder[0], parts.encoder, images, bits=recipe.bits, per=recipe.per)
    elif recipe.bits == 16:
        _halve(holder, parts.encoder)
    return holder[0]


@torch.no_grad()
def round_network(
    module: nn.Module, recipe: Recipe, *, calibration: Tensor | None = None, encoder: nn.Module | None = None
) -> nn.Module:
    """A copy on the CPU, in evaluation mode, that computes what the file of this recipe will compute.

    BitLinear layers stay where their products are exact; every other layer below 16 bits is a `QuantizedLayer`.

    Args:
        module: the network; left as it is.
        recipe: how it is exported.
        calibration: (n, ...) inputs for GPTQ and static activations.
        encoder: what `round_encoder` made of the network for such a recipe; left as it is.

    Raises:
        UsageError: a recipe that calibrates without pictures, or with too few.
    """
    parts = parts_of(module)
    begun = round_encoder(module, recipe, calibration=calibration) if encoder is None else copy.deepcopy(encoder)
    holder = nn.Sequential(begun)
    _round_other(holder, parts, recipe)
    if recipe.activations == "static":
        images = _require_pictures(recipe, calibration)
        kinds_of = holder[0].get_submodule
        names = [n for n in (*parts.encoder, *parts.patches) if isinstance(kinds_of(n), (BitLinear, QuantizedLayer))]
        convolutions = [name for name in names if isinstance(getattr(kinds_of(name), "layer", None), nn.Conv2d)]
        ranges = static_activations(holder[0], [*names, *map(_output, convolutions)], images)
        _static(holder, names, ranges, bits=recipe.bits)
    return holder[0].eval()
