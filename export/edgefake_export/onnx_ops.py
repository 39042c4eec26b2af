"""Operators of quantized layers: what they compute in torch, and how each is written in ONNX.

torch's exporter knows none of them and keeps each as one node until its translation here is called. Weights that a
file stores at few bits stay nodes of a domain of our own, `StoredWeight`, until `pack` writes them.
"""

from typing import Any

import onnx
import torch
from onnxscript import opset23, values
from torch import Tensor

from edgefake.models.bitlinear import ACTIVATION_LEVELS, EPSILON, quantize_activations
from edgefake.quantizers import zeropoint

__all__ = [
    "DOMAIN",
    "STORED_WEIGHT",
    "TRANSLATIONS",
    "absmax_linear",
    "static_levels",
    "stored_weight",
    "zeropoint_linear",
]

DOMAIN, STORED_WEIGHT = "edgefake", "StoredWeight"
"""Of the node that stands for a weight in the traced graph; none is left in a file."""

ZERO_POINT = 128
FLOAT, UINT8, INT8 = 1, 2, 3

op: Any = opset23


def _stored_weight_operator() -> Any:
    """`StoredWeight(levels, scale, zero)`, as onnxscript wants an operator described."""
    schema, parameter = onnx.defs.OpSchema, onnx.defs.OpSchema.FormalParameter
    described = schema(
        STORED_WEIGHT,
        DOMAIN,
        1,
        inputs=[parameter("levels", "tensor(int8)"), *(parameter(n, "tensor(float)") for n in ("scale", "zero"))],
        outputs=[parameter("weight", "tensor(float)")],
        attributes=[schema.Attribute(n, schema.AttrType.INT, required=True) for n in ("axis", "dequantize")],
    )
    return values.Op(values.Opset(DOMAIN, 1), STORED_WEIGHT, described)


@torch.library.custom_op("edgefake::absmax_linear", mutates_args=())
def absmax_linear(x: Tensor, levels: Tensor, scale: Tensor) -> Tensor:
    """Rescale the product, scale / gamma * (x~ W~): rows of x at 8 bits times whole numbers.

    Sums of at most 127 * in_features ternary numbers are exact in float32 (in_features < 132104).

    Args:
        x: (..., in), float32.
        levels: (in, out), int8.
        scale: float32, () or (out,).
    """
    rounded, gamma = quantize_activations(x)
    return (rounded @ levels.to(rounded.dtype)) * (scale / gamma)


@absmax_linear.register_fake
def _(x: Tensor, levels: Tensor, scale: Tensor) -> Tensor:
    return x.new_empty((*x.shape[:-1], levels.shape[-1]))


@torch.library.custom_op("edgefake::zeropoint_linear", mutates_args=())
def zeropoint_linear(x: Tensor, levels: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """The same with zero-points on both sides: scale / gamma * sum (x~ - zx)(W~ - zw).

    Args:
        x: (..., in), float32.
        levels: (in, out), int8.
        scale: float32, () or (out,).
        zero: like scale, whole numbers.
    """
    rounded, gamma, zeros = zeropoint(x, 8, over=(-1,))
    return ((rounded - zeros) @ (levels.to(rounded.dtype) - zero)) * (scale / gamma)


@zeropoint_linear.register_fake
def _(x: Tensor, levels: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    return x.new_empty((*x.shape[:-1], levels.shape[-1]))


@torch.library.custom_op("edgefake::stored_weight", mutates_args=())
def stored_weight(levels: Tensor, scale: Tensor, zero: Tensor, axis: int, dequantize: bool) -> Tensor:
    """A float weight from its levels: (levels - zero) * scale, scale and zero along an axis.

    Args:
        levels: int8, any shape.
        scale: float32, () or one an entry of the axis.
        zero: like scale, whole numbers.
        axis: that they run along.
        dequantize: written as DequantizeLinear, which compilers look for, rather than as ordinary operators, which
            ONNX Runtime folds when it loads the file.
    """
    shape = [1] * levels.ndim
    shape[axis] = -1
    return (levels.float() - zero.view(shape)) * scale.view(shape)


@stored_weight.register_fake
def _(levels: Tensor, scale: Tensor, zero: Tensor, axis: int, dequantize: bool) -> Tensor:
    return torch.empty(levels.shape, dtype=torch.float32)


@torch.library.custom_op("edgefake::static_levels", mutates_args=())
def static_levels(x: Tensor, scale: float, zero: int, unsigned: bool) -> Tensor:
    """Round to 8-bit levels of a constant scale, and back (see `Activations`).

    The levels are int8 in the file, or the same ones uint8, 128 more, where that is what kernels take.
    """
    return ((((x / scale).round() + zero).clamp(-128, 127)) - zero) * scale


@static_levels.register_fake
def _(x: Tensor, scale: float, zero: int, unsigned: bool) -> Tensor:
    return torch.empty_like(x)


def _last_axis() -> Any:
    return op.Constant(value_ints=[-1])


def _unsigned(scaled: Any) -> Any:
    """RoundClip to -128..127, as bytes around 128; and the 128.

    QuantizeLinear with scale 1 rounds half to even, adds 128 and clips to 0..255 in one operator. Unsigned by signed
    is the fast kernel of ONNX Runtime on x86; its 16-bit sums of pairs hold 2 * 255 * 64: weights of 7 bits.
    """
    zero_point = op.Cast(op.Constant(value_int=ZERO_POINT), to=UINT8)
    return op.QuantizeLinear(scaled, op.Constant(value_float=1.0), zero_point), zero_point


def _translate_absmax_linear(x: Any, levels: Any, scale: Any) -> Any:
    """Unsigned activations around 128, int8 weights, int32 sums; 127 * (1 / a), not 127 / a, is what torch computes."""
    largest = op.ReduceMax(op.Abs(x), _last_axis(), keepdims=1)
    clamped = op.Max(largest, op.Constant(value_float=EPSILON))
    gamma = op.Mul(op.Reciprocal(clamped), op.Constant(value_float=ACTIVATION_LEVELS))  # (..., 1)
    rounded, zero_point = _unsigned(op.Mul(x, gamma))
    sums = op.MatMulInteger(rounded, levels, zero_point)  # (..., out), int32
    return op.Mul(op.Cast(sums, to=FLOAT), op.Div(scale, gamma))


def _translate_zeropoint_linear(x: Any, levels: Any, scale: Any, zero: Any) -> Any:
    """Sum (x~ - zx)(W~ - zw) = sum x~ W~ - zx sum W~ - zw sum (x~ - zx)."""
    least, largest = (reduce(x, _last_axis(), keepdims=1) for reduce in (op.ReduceMin, op.ReduceMax))
    span = op.Max(op.Sub(largest, least), op.Constant(value_float=EPSILON))
    gamma = op.Mul(op.Reciprocal(span), op.Constant(value_float=255.0))  # (..., 1)
    zeros = op.Round(op.Sub(op.Constant(value_float=-128.0), op.Mul(least, gamma)))
    rounded, zero_point = _unsigned(op.Add(op.Mul(x, gamma), zeros))
    sums = op.Cast(op.MatMulInteger(rounded, levels, zero_point), to=FLOAT)
    columns = op.ReduceSum(op.Cast(levels, to=FLOAT), op.Constant(value_ints=[0]), keepdims=0)  # (out,)
    centred = op.Sub(op.Sub(op.Cast(rounded, to=FLOAT), op.Constant(value_float=float(ZERO_POINT))), zeros)
    rows = op.ReduceSum(centred, _last_axis(), keepdims=1)  # (..., 1)
    corrected = op.Sub(op.Sub(sums, op.Mul(zeros, columns)), op.Mul(rows, zero))
    return op.Mul(corrected, op.Div(scale, gamma))


def _translate_stored_weight(levels: Any, scale: Any, zero: Any, axis: int, dequantize: bool) -> Any:
    return _stored_weight_operator()(levels, scale, zero, axis=axis, dequantize=int(dequantize))


def _translate_static_levels(x: Any, scale: float, zero: int, unsigned: bool) -> Any:
    step = op.Constant(value_float=scale)
    zero_point = op.Cast(op.Constant(value_int=zero + unsigned * ZERO_POINT), to=UINT8 if unsigned else INT8)
    return op.DequantizeLinear(op.QuantizeLinear(x, step, zero_point), step, zero_point)


TRANSLATIONS: dict[Any, Any] = {
    torch.ops.edgefake.absmax_linear.default: _translate_absmax_linear,
    torch.ops.edgefake.zeropoint_linear.default: _translate_zeropoint_linear,
    torch.ops.edgefake.stored_weight.default: _translate_stored_weight,
    torch.ops.edgefake.static_levels.default: _translate_static_levels,
}
"""For `torch.onnx.export(custom_translation_table=...)`."""
