"""Operators of quantized layers: what they compute in torch, and how each is written in ONNX.

torch's exporter knows none of them and keeps each as one node until its translation here is called. Weights that a
file stores at few bits stay nodes of a domain of our own, `StoredWeight`, until `pack` writes them.
"""

from typing import Any

import numpy as np
import onnx
import torch
from onnxscript import opset23, values
from torch import Tensor

from edgefake.models.bitlinear import ACTIVATION_LEVELS, EPSILON, quantize_activations
from edgefake.models.vit import attend, shifted_patches
from edgefake.quantizers import zeropoint

__all__ = [
    "DOMAIN",
    "STORED_WEIGHT",
    "absmax_linear",
    "attention",
    "patches",
    "static_levels",
    "stored_weight",
    "translations",
    "zeropoint_linear",
]

DOMAIN, STORED_WEIGHT = "edgefake", "StoredWeight"
"""Of the node that stands for a weight in the traced graph; none is left in a file."""

FUSED_OPSET = 23
"""From here on there is Attention, and (since 21) a QuantizeLinear with a scale a row."""

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
def absmax_linear(x: Tensor, levels: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
    """Rescale the product, scale / gamma * (x~ W~) + bias: rows of x at 8 bits times whole numbers.

    Sums of at most 127 * in_features ternary numbers are exact in float32 (in_features < 132104).

    Args:
        x: (..., in), float32.
        levels: (in, out), int8.
        scale: float32, () or (out,).
        bias: (out,), float32.
    """
    rounded, gamma = quantize_activations(x)
    y = (rounded @ levels.to(rounded.dtype)) * (scale / gamma)
    return y if bias is None else y + bias


@absmax_linear.register_fake
def _(x: Tensor, levels: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
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


@torch.library.custom_op("edgefake::attention", mutates_args=())
def attention(qkv: Tensor, heads: int) -> Tensor:
    """See `attend`: one operator from the layer that makes queries, keys and values to the one that mixes heads."""
    return attend(qkv, heads).clone()


@attention.register_fake
def _(qkv: Tensor, heads: int) -> Tensor:
    return qkv.new_empty((*qkv.shape[:-1], qkv.shape[-1] // 3))


@torch.library.custom_op("edgefake::patches", mutates_args=())
def patches(image: Tensor, size: int) -> Tensor:
    """See `shifted_patches`; the image's sides are constants of the file."""
    return shifted_patches(image, size).clone()


@patches.register_fake
def _(image: Tensor, size: int) -> Tensor:
    batch, channels, height, width = image.shape
    return image.new_empty((batch, height // size * (width // size), 5 * channels * size**2))


def _last_axis() -> Any:
    return op.Constant(value_ints=[-1])


def _unsigned(scaled: Any) -> Any:
    """RoundClip to -128..127, as bytes around 128; and the 128.

    QuantizeLinear with scale 1 rounds half to even, adds 128 and clips to 0..255 in one operator. Unsigned by signed
    is the fast kernel of ONNX Runtime on x86; its 16-bit sums of pairs hold 2 * 255 * 64: weights of 7 bits.
    """
    zero_point = op.Cast(op.Constant(value_int=ZERO_POINT), to=UINT8)
    return op.QuantizeLinear(scaled, op.Constant(value_float=1.0), zero_point), zero_point


def _largest(x: Any) -> Any:
    """The largest magnitude of each row, a (..., 1)."""
    return op.Max(op.ReduceMax(op.Abs(x), _last_axis(), keepdims=1), op.Constant(value_float=EPSILON))


def _translate_absmax_linear(x: Any, levels: Any, scale: Any, bias: Any) -> Any:
    """Unsigned activations around 128, int8 weights, int32 sums: scale a / 127 * (round(x / (a / 127)) W~).

    A row is one block of QuantizeLinear, which therefore needs no product before it. Where torch multiplies by
    127 * (1 / a) this divides by a / 127: the two differ by a level where a value lies at a tie to the last bit.

    ONNX Runtime (1.24 to 1.32 at least) makes Cast(MatMulInteger) Mul(a, b) one operator, which is welcome, and an Add
    of a bias behind it a part of that, which it then multiplies by a too. A quotient in the place of Mul(a, b) keeps it
    from that.
    """
    if len(x.shape) < 2:  # to ONNX Runtime one scale is no row of scales
        return _translate_absmax_linear_plainly(x, levels, scale, bias)
    largest = _largest(x)
    levels_each = op.Constant(value_float=ACTIVATION_LEVELS)
    step = op.Div(largest, levels_each)  # (..., 1)
    zero_point = op.Cast(op.Constant(value_int=ZERO_POINT), to=UINT8)
    rows = op.Expand(zero_point, op.Shape(step))  # (..., 1): QuantizeLinear wants one for each scale
    rounded = op.QuantizeLinear(x, step, rows, axis=-1, block_size=levels.shape[0])
    sums = op.Cast(op.MatMulInteger(rounded, levels, zero_point), to=FLOAT)  # (..., out)
    if bias is None:
        return op.Mul(sums, op.Mul(largest, op.Div(scale, levels_each)))
    return op.Add(op.Mul(sums, op.Div(largest, op.Div(levels_each, scale))), bias)


def _translate_absmax_linear_plainly(x: Any, levels: Any, scale: Any, bias: Any) -> Any:
    """The same without blocks; 127 * (1 / a), not 127 / a, is what torch computes."""
    gamma = op.Mul(op.Reciprocal(_largest(x)), op.Constant(value_float=ACTIVATION_LEVELS))  # (..., 1)
    rounded, zero_point = _unsigned(op.Mul(x, gamma))
    sums = op.MatMulInteger(rounded, levels, zero_point)  # (..., out), int32
    y = op.Mul(op.Cast(sums, to=FLOAT), op.Div(scale, gamma))
    return y if bias is None else op.Add(y, bias)


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


def _translate_attention(qkv: Any, heads: int) -> Any:
    q, k, v = op.Split(qkv, axis=-1, num_outputs=3)
    return op.Attention(q, k, v, q_num_heads=heads, kv_num_heads=heads)[0]


def _translate_patches(image: Any, size: int) -> Any:
    """Rows of half a patch, gathered in the order of `shifted_patches`: every shift begins at a multiple of them.

    Which row a feature begins with is a sum, of where its patch lies and where it lies in the patch. The runtime adds
    them up when it loads the file; torch's exporter would, and fill the file, were there not a ConstantOfShape.
    """
    channels, height, width = image.shape[1:]
    half = size // 2
    tall, wide = height + size, width // half + 2  # of the padded image: pixels, rows of half a patch
    padded = op.Pad(image, op.Constant(value_ints=[0, 0, half, half] * 2))
    chunks = op.Reshape(padded, op.Constant(value_ints=[0, channels * tall * wide, half]))
    down, right = np.mgrid[: height // size, : width // size]
    places = (down * size * wide + right * 2).reshape(-1, 1)
    channel, y, x = np.ogrid[:channels, :size, :2]
    corners = [(half, 1), (0, 0), (0, 2), (size, 0), (size, 2)]  # pixels down, rows across
    features = np.stack([(channel * tall + top + y) * wide + left + x for top, left in corners]).reshape(1, -1)
    zeros = op.ConstantOfShape(
        op.Constant(value_ints=places.shape), value=onnx.numpy_helper.from_array(np.zeros(1, np.int32))
    )
    rows = op.Add(op.Add(zeros, _int32(places)), _int32(features))
    taken = op.Gather(chunks, rows, axis=1)  # (B, N, 15 * P * 2, P / 2)
    return op.Reshape(taken, op.Constant(value_ints=[0, places.size, features.size * half]))


def _int32(values: Any) -> Any:
    return op.Constant(value=onnx.numpy_helper.from_array(values.astype(np.int32)))


def translations(opset: int) -> dict[Any, Any]:
    """How each operator is written in a graph of this opset; for `torch.onnx.export(custom_translation_table=...)`."""
    named, fused = torch.ops.edgefake, opset >= FUSED_OPSET
    table = {
        named.absmax_linear.default: _translate_absmax_linear if fused else _translate_absmax_linear_plainly,
        named.zeropoint_linear.default: _translate_zeropoint_linear,
        named.stored_weight.default: _translate_stored_weight,
        named.static_levels.default: _translate_static_levels,
    }
    if fused:
        table |= {named.attention.default: _translate_attention, named.patches.default: _translate_patches}
    return table
