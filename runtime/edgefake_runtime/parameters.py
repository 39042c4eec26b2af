"""How many weights a model file holds, counted alike in both formats, from the file's own bytes.

A parameter is an element of a matrix or kernel that a layer multiplies its input with: the second input of a linear
layer or convolution, as it is in the file or reached through operators that only unpack, scale or turn it around.
Biases, norms, scales and position tables are none, nor are the columns of zeros that an export to TFLite appends.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .errors import ModelFileError
from .flatbuffer import DamagedError, Table
from .model_file import is_tflite
from .protobuf import BYTES, VARINT, read_fields, read_varint
from .tflite_graph import BUFFERS, DATA, FULLY_CONNECTED, RESHAPE, Graph, Operator, Tensor, read_graphs

__all__ = ["count_parameters"]

ONNX_LAYERS = frozenset(
    (
        "Conv",
        "ConvInteger",
        "ConvTranspose",
        "FusedConv",
        "FusedMatMul",
        "Gemm",
        "MatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "MatMulNBits",
        "QLinearConv",
        "QLinearMatMul",
    )
)
"""ONNX operators that multiply with a weight."""

TFLITE_LAYERS = frozenset((3, 4, FULLY_CONNECTED, 67, 126))
"""The same of TFLite: CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, TRANSPOSE_CONV, BATCH_MATMUL."""

CONCATENATION = 2
"""TFLite's operator that joins columns to what a layer is given."""

PACKED = re.compile(r"(?:^|\.)levels([24])$")
"""Names of weights that edgefake packs, mostly into bytes, several to each, which are looked up in a table."""

MOST_COLUMNS = 5
"""Of zeros, that an export to TFLite joins to a weight: 2 at least, and up to a multiple of 4."""

GRAPH, NODE, INITIALIZER = 7, 1, 5
"""Fields of an ONNX model, and of its graph."""

INPUT, OUTPUT, OPERATOR, ATTRIBUTE, TENSOR = 1, 2, 4, 5, 5
"""Fields of an ONNX node, and the tensor of its attribute."""

DIMS, DATA_TYPE, NAME, RAW = 1, 2, 8, 9
"""Fields of an ONNX tensor."""

SHAPE = "/shape"
"""Behind a weight's name: the constant that says its shape, where its levels lie in bytes."""

ONNX_BYTES = (2, 3)
"""Types of ONNX tensors whose elements are bytes: UINT8, INT8."""

FLOAT32, FLOAT16, INT8, INT4, INT2 = 0, 1, 9, 17, 19
"""Types of TFLite tensors that weights have."""


def count_parameters(data: bytes) -> int:
    """Count the weights in the bytes of a model file.

    Raises:
        ModelFileError: damaged, or neither ONNX nor TFLite.
    """
    try:
        return _count_tflite(data) if is_tflite(data) else _count_onnx(data)
    except (ValueError, LookupError, ArithmeticError) as error:  # a DamagedError is a ValueError
        raise ModelFileError(f"expected a whole ONNX or TFLite file, got a damaged one ({error})") from error


@dataclass
class _Node:
    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    constant: int = 0


def _count_onnx(data: bytes) -> int:
    sizes: dict[str, int] = {}
    whole: dict[str, int] = {}  # of weights in bytes, the last of which may not be full
    nodes: list[_Node] = []
    for number, kind, value, stop in read_fields(data, 0, len(data)):
        if (number, kind) == (GRAPH, BYTES):  # one, or in parts
            for part, inner, start, end in read_fields(data, value, stop):
                if (part, inner) == (INITIALIZER, BYTES):
                    name, size = _tensor(data, start, end)
                    sizes[name] = size
                    if PACKED.search(name.removesuffix(SHAPE)) and name.endswith(SHAPE):
                        whole[name.removesuffix(SHAPE)] = math.prod(_int64s(data, start, end))
                elif (part, inner) == (NODE, BYTES):
                    nodes.append(_node(data, start, end))
    if not nodes:
        raise ValueError("no operator in it")
    return _reached(nodes, sizes | {name: size for name, size in whole.items() if name in sizes})


def _reached(nodes: Iterable[_Node], sizes: dict[str, int]) -> int:
    """Elements of the constants that layers multiply with, each once; nodes come in the order in which they run."""
    origin = {name: {name} for name in sizes}  # what is constant -> the initializers that it comes from
    weights: set[str] = set()
    for node in nodes:
        if node.operator in ONNX_LAYERS:
            weights.update(*(origin[name] for name in node.inputs if name in origin))
            continue
        if node.operator == "Constant" and node.outputs:
            sizes[node.outputs[0]] = node.constant
        given = [name for name in node.inputs if name]
        if node.operator == "Gather" and any(PACKED.search(name) for name in origin.get(given[-1], ())):
            given = given[-1:]
        if all(name in origin for name in given):
            found = set().union(*(origin[name] for name in given)) if given else set(node.outputs) & set(sizes)
            origin |= dict.fromkeys(node.outputs, found)
    return sum(sizes[name] for name in weights)


def _node(data: bytes, start: int, stop: int) -> _Node:
    node = _Node()
    for number, kind, value, end in read_fields(data, start, stop):
        if kind != BYTES:
            continue
        if number == INPUT:
            node.inputs.append(data[value:end].decode())
        elif number == OUTPUT:
            node.outputs.append(data[value:end].decode())
        elif number == OPERATOR:
            node.operator = data[value:end].decode()
        elif number == ATTRIBUTE:
            inside = read_fields(data, value, end)
            node.constant += sum(_tensor(data, at, to)[1] for n, k, at, to in inside if (n, k) == (TENSOR, BYTES))
    return node


def _tensor(data: bytes, start: int, stop: int) -> tuple[str, int]:
    """Name and number of elements; 0 for what is no matrix, such as scales and biases."""
    dims: list[int] = []
    name, data_type = "", 0
    for number, kind, value, end in read_fields(data, start, stop):
        if number == DIMS:
            dims += [value] if kind == VARINT else _varints(data, value, end)
        elif (number, kind) == (DATA_TYPE, VARINT):
            data_type = value
        elif (number, kind) == (NAME, BYTES):
            name = data[value:end].decode()
    packed = PACKED.search(name)
    each = 8 // int(packed[1]) if packed and data_type in ONNX_BYTES else 1
    return name, math.prod(dims) * each if _is_matrix(dims) or each > 1 else 0


def _int64s(data: bytes, start: int, stop: int) -> list[int]:
    """The numbers of an int64 tensor with raw data."""
    for number, kind, value, end in read_fields(data, start, stop):
        if (number, kind) == (RAW, BYTES):
            return [int(number) for number in np.frombuffer(data[value:end], "<i8")]
    raise ValueError("a shape without numbers")


def _varints(data: bytes, at: int, stop: int) -> Iterator[int]:
    while at < stop:
        value, at = read_varint(data, at, stop)
        yield value


def _is_matrix(dims: Iterable[int]) -> bool:
    """Whether two axes or more are longer than one: scales of channels are not."""
    return sum(size > 1 for size in dims) > 1


def _count_tflite(data: bytes) -> int:
    root = Table.root(data)
    buffers = root.tables(BUFFERS)
    return sum(_count_graph(graph, buffers) for graph in read_graphs(root))


def _count_graph(graph: Graph, buffers: list[Table]) -> int:
    origin = {n: {n} for n, tensor in enumerate(graph.tensors) if buffers[tensor.buffer].place(DATA) is not None}
    makers = {n: operator for operator in graph.operators for n in operator.outputs}
    weights: dict[int, int | None] = {}  # what a linear layer is given beside it; None for other layers
    for operator in graph.operators:
        if operator.kind in TFLITE_LAYERS:
            found = set().union(*(origin.get(n, ()) for n in operator.inputs))
            weights |= dict.fromkeys(found, operator.inputs[0] if operator.kind == FULLY_CONNECTED else None)
        elif all(n in origin for n in operator.inputs):
            origin |= dict.fromkeys(operator.outputs, set().union(*(origin[n] for n in operator.inputs)))
    counted: set[int] = set()
    total = 0
    for n, given in weights.items():
        tensor = graph.tensors[n]
        if _is_matrix(tensor.shape) and tensor.buffer not in counted:
            counted.add(tensor.buffer)
            total += tensor.elements
            if given is not None and len(tensor.shape) == 2:
                own = _own_columns(graph, makers, given, tensor.shape[1])
                total -= _joined(tensor, buffers[tensor.buffer], own)
    return total


def _own_columns(graph: Graph, makers: Mapping[int, Operator], given: int, columns: int) -> int:
    """How many columns a linear layer was given before others were joined to them; all, where none were."""
    own = columns
    while (maker := makers.get(given)) is not None and maker.kind in (CONCATENATION, RESHAPE):
        given = maker.inputs[0]
        before = graph.tensors[given].shape[-1:]
        if not before or not columns - MOST_COLUMNS <= before[0] <= own:
            break
        own = before[0]
    return own


def _joined(tensor: Tensor, buffer: Table, own: int) -> int:
    """Elements in the columns of zeros that were joined to a linear layer's weight (rows, columns).

    A trained weight may have columns of zeros of its own, for what the layer was given before.
    """
    if tensor.shape[1] % 4 or tensor.shape[1] <= MOST_COLUMNS:
        return 0
    rows, columns = tensor.shape
    values = _values(buffer, tensor.type, tensor.elements)
    if values is None:
        return 0
    used = np.flatnonzero(values.reshape(rows, columns)[:, -MOST_COLUMNS:].any(axis=0))
    empty = MOST_COLUMNS - 1 - int(used[-1]) if used.size else MOST_COLUMNS
    return rows * min(empty, columns - own)


def _values(buffer: Table, kind: int, count: int) -> NDArray[np.generic] | None:
    """Zero where a weight is zero; None for types that no such weight has."""
    start, length = buffer.span(DATA)
    wide: dict[int, type[np.generic]] = {FLOAT32: np.float32, FLOAT16: np.float16, INT8: np.int8}
    if kind in wide:
        return np.frombuffer(buffer.data, wide[kind], count, start)
    bits = {INT4: 4, INT2: 2}.get(kind)
    if bits is None:
        return None
    raw = np.frombuffer(buffer.data, np.uint8, length, start)
    levels = raw[:, None] >> np.arange(0, 8, bits, dtype=np.uint8) & ((1 << bits) - 1)
    if levels.size < count:
        raise DamagedError(f"a weight of {count} levels in {length} bytes")
    return levels.ravel()[:count]
