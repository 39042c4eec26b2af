"""What takes the place of BitLinear in a network that is exported, and how it is written in ONNX.

At 2 bits the layer is one operator for torch's exporter, `edgefake::bit_linear`, which `translate_bit_linear`
writes as exact integer arithmetic. At 32 bits it is a plain linear layer behind the activation quantizer.
"""

import copy
from typing import Any

import torch
from onnxscript import opset23
from torch import Tensor, nn
from torch.nn import functional as F

from edgefake.models import BitLinear
from edgefake.models.bitlinear import ACTIVATION_LEVELS, EPSILON, quantize_activations

from .fold import FoldedLinear, fold

__all__ = [
    "TRANSLATIONS",
    "FloatBitLinear",
    "IntegerBitLinear",
    "bit_linear",
    "lower",
    "translate_bit_linear",
]

ZERO_POINT = 128

op: Any = opset23


@torch.library.custom_op("edgefake::bit_linear", mutates_args=())
def bit_linear(x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """Rescale the product, scale / gamma * (x~ W~): rows of x times ternary weights, summed exactly.

    Sums of at most 127 * in_features whole numbers are exact in float32 (in_features < 132104).

    Args:
        x: (..., in), float32.
        weight: (in, out), int8, ternary.
        scale: beta, a float32 scalar.
    """
    levels, gamma = quantize_activations(x)
    return (levels @ weight.to(levels.dtype)) * (scale / gamma)


@bit_linear.register_fake
def _(x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    return x.new_empty((*x.shape[:-1], weight.shape[-1]))


def translate_bit_linear(x: Any, weight: Any, scale: Any) -> Any:
    """Write `edgefake::bit_linear` in ONNX: unsigned activations around 128, int8 weights, int32 sums.

    QuantizeLinear with scale 1 is round-half-even, + 128 and clip to 0..255 in one operator, which is
    RoundClip to -128..127. Unsigned by signed is the fast kernel of ONNX Runtime on x86, and cannot
    saturate its 16-bit sums of pairs here (2 * 255 * 1). 127 * (1 / a), not 127 / a, is what torch computes.
    """
    largest = op.ReduceMax(op.Abs(x), op.Constant(value_ints=[-1]), keepdims=1)
    clamped = op.Max(largest, op.Constant(value_float=EPSILON))
    gamma = op.Mul(op.Reciprocal(clamped), op.Constant(value_float=ACTIVATION_LEVELS))  # (..., 1)
    zero_point = op.Cast(op.Constant(value_int=ZERO_POINT), to=2)  # UINT8
    levels = op.QuantizeLinear(op.Mul(x, gamma), op.Constant(value_float=1.0), zero_point)
    sums = op.MatMulInteger(levels, weight, zero_point)  # (..., out), int32
    return op.Mul(op.Cast(sums, to=1), op.Div(scale, gamma))


TRANSLATIONS: dict[Any, Any] = {torch.ops.edgefake.bit_linear.default: translate_bit_linear}
"""For `torch.onnx.export(custom_translation_table=...)`."""


class IntegerBitLinear(nn.Module):
    """BitLinear with its weights as int8: (..., in) -> (..., out)."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, folded: FoldedLinear) -> None:
        super().__init__()
        self.register_buffer("weight", folded.weight)
        self.register_buffer("scale", folded.scale)
        self.register_buffer("bias", folded.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply in whole numbers, then rescale and add the bias."""
        y: Tensor = bit_linear(x, self.weight, self.scale)
        return y if self.bias is None else y + self.bias


class FloatBitLinear(nn.Module):
    """BitLinear with its weights as float32, beta * W~: (..., in) -> (..., out)."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, folded: FoldedLinear) -> None:
        super().__init__()
        self.register_buffer("weight", folded.dequantized)
        self.register_buffer("bias", folded.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply quantized activations in float32."""
        levels, gamma = quantize_activations(x)
        return F.linear(levels / gamma, self.weight, self.bias)


def lower(module: nn.Module, *, bits: int) -> nn.Module:
    """A copy on the CPU, in evaluation mode, whose BitLinear layers are ready for the exporter.

    Args:
        module: any network; left as it is.
        bits: 2 for `IntegerBitLinear`, 32 for `FloatBitLinear`.
    """
    lowered = nn.Sequential(copy.deepcopy(module).cpu().float().eval())
    replacements: dict[nn.Module, nn.Module] = {}
    for parent in list(lowered.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BitLinear):
                if child not in replacements:  # a layer used in two places stays one
                    folded = fold(child)
                    replacements[child] = IntegerBitLinear(folded) if bits == 2 else FloatBitLinear(folded)
                setattr(parent, name, replacements[child])
    inner: nn.Module = lowered[0]
    return inner.eval()
