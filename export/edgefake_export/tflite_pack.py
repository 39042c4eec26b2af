"""The weights of a converter's TFLite file as levels at 2, 4 or 8 bits, or in half precision."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edgefake_runtime.errors import UsageError

from .bits import pack_levels
from .tflite_flatbuffer import Model
from .tflite_lower import Marked

__all__ = ["pack_halves", "pack_levels_of"]

Floats = NDArray[np.float32]

FULLY_CONNECTED_VERSIONS = {2: 14, 4: 12, 8: 12}
"""First version that takes weights of so many bits, with a scale a channel, beside float activations."""

DEQUANTIZE_VERSIONS = {2: 6, 4: 6, 8: 5, 16: 3}
"""First version that takes so many bits; from 5 on with a scale a channel."""

WEIGHT_INPUT = 1
"""Place of the weight among the inputs of a linear layer or convolution."""


@dataclass(frozen=True)
class _Found:
    """A marker in the file.

    Attributes:
        index: of the tensor.
        axis: of the tensor's shape, along which the outputs lie.
        factor: (out,), by which the converter multiplied the outputs, as where it merged a norm into the layer.
    """

    index: int
    axis: int
    factor: Floats


def _layouts(weight: Floats) -> Iterator[tuple[Floats, int]]:
    """A weight (out, ...) as TFLite's layers want it, and the axis of the outputs."""
    if weight.ndim != 4:
        yield weight, 0
        return
    yield weight.transpose(0, 2, 3, 1), 0  # convolution: OHWI
    if weight.shape[1] == 1:
        yield weight.transpose(1, 2, 3, 0), 3  # depthwise convolution: 1HWO


def _by_output(values: Floats, axis: int) -> Floats:
    return np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)


def _factor(constant: Floats, weight: Floats, axis: int) -> Floats | None:
    """(out,) with constant = weight * factor along the axis; None where there is none such."""
    if constant.shape != weight.shape:
        return None
    given, expected = _by_output(constant, axis), _by_output(weight, axis)
    factor: Floats = given[:, 0] / expected[:, 0]
    for rows in (slice(1), slice(None)):  # the first output tells most strangers
        if not np.allclose(given[rows], expected[rows] * factor[rows, None], rtol=1e-5, atol=0):
            return None
    return factor


def _weights(model: Model) -> dict[int, Floats]:
    """The float constants that linear layers and convolutions have for a weight, by tensor."""
    kinds = model.schema.BuiltinOperator
    layers = {kinds.FULLY_CONNECTED, kinds.CONV_2D, kinds.DEPTHWISE_CONV_2D}
    indices = {int(o.inputs[WEIGHT_INPUT]) for o in model.graph.operators if model.kind_of(o) in layers}
    constants = {index: model.floats(model.graph.tensors[index]) for index in sorted(indices)}
    return {index: values for index, values in constants.items() if values is not None}


def _find(marked: Marked, weights: dict[int, Floats]) -> list[_Found]:
    """Where a marker is: in several places if the converter wrote it more than once."""
    places: dict[int, _Found] = {}
    for weight, axis in _layouts(marked.marker.numpy()):
        for index, constant in weights.items():
            factor = _factor(constant, weight, axis)
            if factor is not None:
                places.setdefault(index, _Found(index, axis, factor))  # a 1x1 kernel of one channel fits both layouts
    unchanged = [place for place in places.values() if np.allclose(place.factor, 1)]
    found = unchanged or list(places.values())  # one number an output is a multiple of any other constant
    if not found:
        raise UsageError(
            f"{marked.name}: expected a converter that keeps the layer's weight, got a file without it; "
            "write the layer's module with ordinary operators around it"
        )
    return found


def _signed(marked: Marked, factor: Floats) -> tuple[NDArray[np.int8], Floats, int]:
    """Levels (out, ...), positive scales (out,) and width, with the factor in them."""
    levels, scale = marked.levels.numpy().astype(np.int16), marked.scale.numpy() * factor
    rows = np.sign(scale).astype(np.int16).reshape(-1, *[1] * (levels.ndim - 1))
    levels = levels * rows
    width = marked.width
    while levels.max() >= 2 ** (width - 1):  # -128 has no opposite in 8 bits
        width *= 2
    if width > 8:
        raise UsageError(f"{marked.name}: expected levels that 8 bits hold, got 128 behind a norm's negative gain")
    return levels.astype(np.int8), np.where(scale == 0, np.float32(1), np.abs(scale)), width


def _quantize(model: Model, index: int, levels: NDArray[np.int8], scale: Floats, *, axis: int, width: int) -> None:
    """Turn a float constant into levels with a scale a channel."""
    tensor = model.graph.tensors[index]
    tensor.type = getattr(model.schema.TensorType, f"INT{width}")
    model.set_bytes(tensor, pack_levels(levels, width))
    quantization = model.schema.QuantizationParametersT()
    quantization.scale = scale.astype(np.float32)
    quantization.zeroPoint = np.zeros(len(scale), np.int64)
    quantization.quantizedDimension = axis
    tensor.quantization = quantization


def _use_levels(model: Model, marked: Marked, index: int, width: int) -> None:
    """Let the layers of a weight multiply its levels, with activations that they round."""
    kinds = model.schema.BuiltinOperator
    for operator in model.readers()[index]:
        if model.kind_of(operator) != kinds.FULLY_CONNECTED or list(operator.inputs).index(index) != WEIGHT_INPUT:
            raise UsageError(f"{marked.name}: expected a converter that writes FULLY_CONNECTED, got another operator")
        operator.opcodeIndex = model.operator_code(kinds.FULLY_CONNECTED, FULLY_CONNECTED_VERSIONS[width])
        operator.builtinOptions.asymmetricQuantizeInputs = True


def _restore_floats(model: Model, index: int, *, name: str, width: int) -> None:
    """Put a DEQUANTIZE between a stored weight and its layers; XNNPACK runs it once, when it loads the file."""
    stored = model.graph.tensors[index]
    floats = model.schema.TensorT()
    floats.shape, floats.type, floats.buffer = stored.shape, model.schema.TensorType.FLOAT32, 0
    for operator in model.readers()[index]:
        operator.inputs = np.where(operator.inputs == index, len(model.graph.tensors), operator.inputs).astype(np.int32)
    operator = model.schema.OperatorT()
    operator.opcodeIndex = model.operator_code(model.schema.BuiltinOperator.DEQUANTIZE, DEQUANTIZE_VERSIONS[width])
    operator.inputs = np.array([index], np.int32)
    operator.outputs = np.array([len(model.graph.tensors)], np.int32)
    operator.builtinOptionsType = model.schema.BuiltinOptions.DequantizeOptions
    operator.builtinOptions = model.schema.DequantizeOptionsT()
    model.graph.tensors.append(floats)
    model.graph.operators.insert(0, operator)
    stored.name = name.encode()


def _like(values: NDArray[np.int8], axis: int) -> NDArray[np.int8]:
    """Levels (out, ...) laid out as the tensor whose outputs lie along the axis."""
    return values.transpose(1, 2, 3, 0) if axis else values.transpose(0, 2, 3, 1) if values.ndim == 4 else values


def pack_levels_of(model: Model, marked: Sequence[Marked]) -> dict[int, str]:
    """Put levels in the place of markers.

    Args:
        model: as the converter wrote it; changed in place.
        marked: what `tflite_lower.lower` marked.

    Returns:
        Names of the stored tensors.

    Raises:
        UsageError: a marker is not in the file, or not as the weight of a layer.
    """
    weights = _weights(model)
    names = {}
    for entry in marked:
        for found in _find(entry, weights):
            levels, scale, width = _signed(entry, found.factor)
            _quantize(model, found.index, _like(levels, found.axis), scale, axis=found.axis, width=width)
            name = entry.name.replace(f"levels{entry.width}", f"levels{width}")
            if entry.whole:
                _use_levels(model, entry, found.index, width)
            else:
                _restore_floats(model, found.index, name=name, width=width)
            names[found.index] = name
            del weights[found.index]
    return names


def pack_halves(model: Model, halves: Sequence[tuple[str, Tensor]]) -> dict[int, str]:
    """Store float weights that are float16 values as such.

    A weight that the converter changed, by merging a norm into the layer, stays float32.

    Args:
        model: changed in place.
        halves: names and values, (out, ...).

    Returns:
        Names of the stored tensors.
    """
    weights = _weights(model)
    names = {}
    for name, values in halves:
        for weight, _ in _layouts(values.numpy()):
            for index in [index for index, constant in weights.items() if np.array_equal(constant, weight)]:
                tensor = model.graph.tensors[index]
                tensor.type = model.schema.TensorType.FLOAT16
                model.set_bytes(tensor, weights.pop(index).astype(np.float16).tobytes())
                _restore_floats(model, index, name=name, width=16)
                names[index] = name
    return names
