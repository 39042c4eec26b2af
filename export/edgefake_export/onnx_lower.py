"""What takes the place of quantized layers in a network that is written as ONNX."""

import copy

import torch
from torch import Tensor, nn

from edgefake.models import BitLinear
from edgefake.models.vit import Attention, ShiftedPatchTokenization
from edgefake.quantized import Activations, QuantizedLayer, StoredWeight

from .fold import FloatBitLinear, children_of, fold
from .onnx_ops import absmax_linear, attention, patches, static_levels, stored_weight, zeropoint_linear

__all__ = ["IntegerLinear", "StoredConv", "StoredLinear", "lower"]


class _Stored(nn.Module):
    """A weight as levels, in a buffer whose name says how many bits one takes in the file: `levels2`, 4 or 8."""

    scale: Tensor
    zero: Tensor | None
    bias: Tensor | None

    def __init__(self, levels: Tensor, stored: StoredWeight, bias: Tensor | None, *, container: int) -> None:
        super().__init__()
        self.levels_name = f"levels{container}"
        self.register_buffer(self.levels_name, levels.contiguous())
        self.register_buffer("scale", stored.scale.clone())
        self.register_buffer("zero", None if stored.zero is None else stored.zero.clone())
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    @property
    def levels(self) -> Tensor:
        """int8."""
        return self.get_buffer(self.levels_name)

    def weight(self, *, axis: int, dequantize: bool) -> Tensor:
        """The float weight."""
        zero = torch.zeros(()) if self.zero is None else self.zero
        found: Tensor = stored_weight(self.levels, self.scale, zero, axis, dequantize)
        return found

    def add_bias(self, y: Tensor) -> Tensor:
        """With the bias, where there is one."""
        return y if self.bias is None else y + self.bias


class IntegerLinear(_Stored):
    """Whole-number products behind dynamic activations: (..., in) -> (..., out)."""

    def __init__(self, stored: StoredWeight, bias: Tensor | None, *, container: int) -> None:
        super().__init__(stored.levels.T, stored, bias, container=container)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply in whole numbers, rescale, add the bias."""
        if self.zero is None:
            found: Tensor = absmax_linear(x, self.levels, self.scale, self.bias)
            return found
        return self.add_bias(zeropoint_linear(x, self.levels, self.scale, self.zero))


class StoredLinear(_Stored):
    """A float product with a stored weight, behind static activations or none: (..., in) -> (..., out)."""

    def __init__(self, layer: QuantizedLayer, *, container: int) -> None:
        super().__init__(layer.stored.levels.T, layer.stored, layer.layer.bias, container=container)
        self.activations = layer.activations

    def forward(self, x: Tensor) -> Tensor:
        """Round, multiply, add the bias."""
        static = self.activations.method == "static"
        return self.add_bias(_rounded(x, self.activations, unsigned=False) @ self.weight(axis=1, dequantize=static))


class StoredConv(_Stored):
    """A float convolution with a stored weight, behind activations of any kind: (B, C, H, W) -> (B, C', H', W').

    Static ones are unsigned, as what comes out is: ONNX Runtime's integer convolutions on x86 take nothing else. One
    scale a picture cannot leave an integer convolution's sums (`ConvInteger` has one for the batch), so that dynamic
    activations are rounded and scaled back before it.
    """

    def __init__(self, layer: QuantizedLayer, *, container: int) -> None:
        super().__init__(layer.stored.levels, layer.stored, layer.layer.bias, container=container)
        self.activations, self.outputs = layer.activations, layer.outputs
        self.convolution = copy.copy(layer.layer)

    def forward(self, x: Tensor) -> Tensor:
        """Round, then convolve."""
        like = self.convolution
        assert isinstance(like, nn.Conv2d)
        weight = self.weight(axis=0, dequantize=self.activations.method == "static")
        convolved: Tensor = like._conv_forward(_rounded(x, self.activations, unsigned=True), weight, self.bias)
        return convolved if self.outputs is None else _rounded(convolved, self.outputs, unsigned=True)


class FusedAttention(nn.Module):
    """`Attention` as one operator between its two linear layers: (B, N, D) -> (B, N, D)."""

    def __init__(self, like: Attention) -> None:
        super().__init__()
        self.heads = like.heads
        self.norm_qkv, self.qkv, self.norm_out, self.out = like.norm_qkv, like.qkv, like.norm_out, like.out

    def forward(self, x: Tensor) -> Tensor:
        """Attend among tokens."""
        mixed: Tensor = attention(self.qkv(self.norm_qkv(x)), self.heads)
        result: Tensor = self.out(self.norm_out(mixed))
        return result


class GatheredPatches(nn.Module):
    """`ShiftedPatchTokenization` with its patches from one operator: (B, 3, H, W) -> (B, N, D)."""

    def __init__(self, like: ShiftedPatchTokenization) -> None:
        super().__init__()
        self.patch_size = like.patch_size
        self.norm, self.linear = like.norm, like.linear

    def forward(self, image: Tensor) -> Tensor:
        """Cut, normalize and project."""
        tokens: Tensor = self.linear(self.norm(patches(image, self.patch_size)))
        return tokens


def _fuse(parent: nn.Module) -> None:
    """Replace what the runtime has one operator for, below a module whose layers are lowered.

    Not what does something else besides: subclasses, and modules with hooks.
    """
    for name, child in children_of(parent):
        _fuse(child)
        if child._forward_hooks or child._forward_pre_hooks:
            continue
        if type(child) is Attention:
            setattr(parent, name, FusedAttention(child))
        elif type(child) is ShiftedPatchTokenization:
            setattr(parent, name, GatheredPatches(child))


def _rounded(x: Tensor, activations: Activations, *, unsigned: bool) -> Tensor:
    if activations.method == "static":
        found: Tensor = static_levels(x, activations.scale, activations.zero, unsigned)
        return found
    return activations.round(x, over=(-3, -2, -1))


def _lowered(layer: nn.Module, *, bits: int) -> nn.Module | None:
    """What takes a layer's place; None for an ordinary one."""
    if isinstance(layer, BitLinear):
        folded = fold(layer)
        if bits > 8:
            return FloatBitLinear(folded)
        stored = StoredWeight(folded.weight.T, folded.scale, None, 2)
        return IntegerLinear(stored, folded.bias, container=bits)
    if not isinstance(layer, QuantizedLayer):
        return None
    container = layer.stored.container
    if isinstance(layer.layer, nn.Conv2d):
        return StoredConv(layer, container=container)
    if layer.activations.method in ("absmax", "zeropoint"):
        return IntegerLinear(layer.stored, layer.layer.bias, container=container)
    return StoredLinear(layer, container=container)


def lower(network: nn.Module, *, bits: int, fused: bool = False) -> nn.Module:
    """A copy whose quantized layers are ready for the exporter.

    Args:
        network: on the CPU, in evaluation mode; left as it is.
        bits: that a BitLinear weight takes in the file: 2, 4 or 8, or 32 for floats.
        fused: with attention and patches as operators of their own, for opset 23.
    """
    holder = nn.Sequential(copy.deepcopy(network))
    replacements: dict[nn.Module, nn.Module | None] = {}
    for parent in list(holder.modules()):
        if isinstance(parent, QuantizedLayer):
            continue
        for name, child in children_of(parent):
            if child not in replacements:  # a layer used in two places stays one
                replacements[child] = _lowered(child, bits=bits)
            lowered = replacements[child]
            if lowered is not None:
                setattr(parent, name, lowered)
    if fused:
        _fuse(holder)
    inner: nn.Module = holder[0]
    return inner.eval()
