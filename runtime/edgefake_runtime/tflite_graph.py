"""The networks in a TFLite file, and what LiteRT takes for granted about them, checked before it gets the file.

LiteRT looks after a flatbuffer's offsets. But it ends the process over a file without a network, over operators with
too few inputs, with inputs that nothing computes or with outputs of another type (ai-edge-litert 2.3.0; found by
changing good files at random). What is known of the operators here is what such files showed to be needed.

Numbers of fields are those of the TFLite schema (tensorflow/compiler/mlir/lite/schema/schema.fbs).
"""

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass

from .flatbuffer import MOST_NUMBERS, DamagedError, Table

__all__ = ["BUFFERS", "DATA", "FULLY_CONNECTED", "Graph", "Operator", "Tensor", "read_graphs"]

CODES, GRAPHS, BUFFERS = 1, 2, 4
"""Fields of a file: the kinds of its operators, its networks, the bytes of its constants."""

DATA = 0
"""The field of a buffer that holds its bytes."""

MOST_ELEMENTS = 1 << 28
"""Of one tensor (1 GiB of float32); LiteRT would ask the system for any number that a file names."""

MOST_AXES = 8
"""Of one tensor; no operator of LiteRT takes more."""

LEFT_OUT, BIAS = -1, 2
"""An input that is not there, and the first that need not be."""

ONE_INPUT = {
    "AVERAGE_POOL_2D": 1,
    "DEPTH_TO_SPACE": 5,
    "DEQUANTIZE": 6,
    "FLOOR": 8,
    "LOGISTIC": 14,
    "MAX_POOL_2D": 17,
    "RELU": 19,
    "RELU_N1_TO_1": 20,
    "RELU6": 21,
    "SOFTMAX": 25,
    "SPACE_TO_DEPTH": 26,
    "TANH": 28,
    "SQUEEZE": 43,
    "EXP": 47,
    "CAST": 53,
    "NEG": 59,
    "SIN": 66,
    "LOG": 73,
    "SQRT": 75,
    "RSQRT": 76,
    "SQUARE": 92,
    "LEAKY_RELU": 98,
    "ABS": 101,
    "CEIL": 104,
    "COS": 108,
    "ELU": 111,
    "QUANTIZE": 114,
    "ROUND": 116,
    "HARD_SWISH": 117,
    "GELU": 150,
    "SIGN": 158,
}
TWO_INPUTS = {
    "ADD": 0,
    "MUL": 18,
    "PAD": 34,
    "GATHER": 36,
    "TRANSPOSE": 39,
    "MEAN": 40,
    "SUB": 41,
    "DIV": 42,
    "SPLIT": 49,
    "PRELU": 54,
    "MAXIMUM": 55,
    "MINIMUM": 57,
    "LESS": 58,
    "GREATER": 61,
    "TILE": 69,
    "EXPAND_DIMS": 70,
    "EQUAL": 71,
    "SUM": 74,
    "POW": 78,
    "REDUCE_PROD": 81,
    "REDUCE_MAX": 82,
    "REDUCE_MIN": 89,
    "SQUARED_DIFFERENCE": 99,
    "BATCH_MATMUL": 126,
    "BROADCAST_TO": 130,
}
THREE_INPUTS = {"PADV2": 60, "SLICE": 65, "SELECT_V2": 123}
ANY_NUMBER = {"CONCATENATION": 2, "PACK": 83}
WITH_BIAS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "FULLY_CONNECTED": 9}
RESHAPE, STRIDED_SLICE = 22, 45
"""Kinds of operators, as the schema's BuiltinOperator numbers them."""

FULLY_CONNECTED = WITH_BIAS["FULLY_CONNECTED"]
"""The operator of linear layers; its second input is the weight."""

INPUTS: Mapping[int, Container[int]] = (
    dict.fromkeys(ONE_INPUT.values(), (1,))
    | dict.fromkeys(TWO_INPUTS.values(), (2,))
    | dict.fromkeys(THREE_INPUTS.values(), (3,))
    | dict.fromkeys(ANY_NUMBER.values(), range(1, MOST_NUMBERS))
    | dict.fromkeys(WITH_BIAS.values(), (2, 3))
    | {RESHAPE: (1, 2), STRIDED_SLICE: (4,)}
)
"""Kind of operator -> how many inputs it may have; all others are LiteRT's own concern."""

SPLIT = TWO_INPUTS["SPLIT"]
CHANGE_TYPE = {6, SPLIT, 53, 58, 61, 71, 114, 123}
"""Their outputs may be of another type than their first input: DEQUANTIZE, CAST, comparisons, QUANTIZE, SELECT_V2."""


@dataclass(frozen=True)
class Tensor:
    """A tensor, constant or computed.

    Attributes:
        shape: of it.
        type: as the schema numbers them.
        type_place: where in the file the type lies; None where it is left out, as 0 may be.
        buffer: number of the buffer with its bytes; an empty one when it is computed.
        scales: how many scales it has; more than one belong to the slices of an axis.
        axis: this axis.
    """

    shape: tuple[int, ...]
    type: int
    type_place: int | None
    buffer: int
    scales: int
    axis: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Operator:
    """A step of the computation.

    Attributes:
        kind: what it does, as the schema numbers them.
        version: of that.
        version_place: where in the file the version lies; None where it is left out, as 1 may be.
        inputs, outputs: numbers of tensors; -1 for an input that is left out.
    """

    kind: int
    version: int
    version_place: int | None
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """A network: its tensors, which of them come in and go out, its operators in the order in which they run."""

    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]


def read_graphs(root: Table) -> tuple[Graph, ...]:
    """Read and check the networks in a file.

    Raises:
        DamagedError: there is none, or LiteRT might not survive it.
    """
    filled = [buffer.place(DATA) is not None for buffer in root.tables(BUFFERS)]
    codes = [_code(code) for code in root.tables(CODES)]
    graphs = tuple(_graph(graph, codes) for graph in root.tables(GRAPHS))
    if not graphs:
        raise DamagedError("no network in it")
    for graph in graphs:
        for tensor in graph.tensors:
            _check_tensor(tensor, len(filled))
        _check_order(graph, {n for n, tensor in enumerate(graph.tensors) if filled[tensor.buffer]})
        for operator in graph.operators:
            _check_operator(operator, [graph.tensors[n].type for n in (*operator.inputs[:1], *operator.outputs)])
    return graphs


def _code(table: Table) -> tuple[int, int, int | None]:
    """Kind and version: kinds above 127 stand in the newer field alone, an old file's in the older one."""
    old, version, new = 0, 2, 3
    kind = max(table.number(new), table.number(old, "b"))
    return kind, table.number(version, default=1), table.place(version)


def _graph(table: Table, codes: list[tuple[int, int, int | None]]) -> Graph:
    tensors, inputs, outputs, operators = range(4)
    return Graph(
        tuple(_tensor(tensor) for tensor in table.tables(tensors)),
        table.numbers(inputs),
        table.numbers(outputs),
        tuple(_operator(operator, codes) for operator in table.tables(operators)),
    )


def _tensor(table: Table) -> Tensor:
    shape, kind, buffer = range(3)
    return Tensor(
        table.numbers(shape), table.number(kind, "b"), table.place(kind), table.number(buffer, "I"), *_scales(table)
    )


def _scales(tensor: Table) -> tuple[int, int]:
    """How many there are, and the axis that they belong to."""
    quantization, scale, axis = 4, 2, 6
    table = tensor.table(quantization)
    if table is None:
        return 0, 0
    return table.span(scale, 4)[1], table.number(axis)


def _operator(table: Table, codes: list[tuple[int, int, int | None]]) -> Operator:
    code, inputs, outputs = range(3)
    number = table.number(code, "I")
    if number >= len(codes):
        raise DamagedError(f"an operator of kind {number} of {len(codes)}")
    return Operator(*codes[number], table.numbers(inputs), table.numbers(outputs))


def _check_tensor(tensor: Tensor, buffers: int) -> None:
    if len(tensor.shape) > MOST_AXES or math.prod(map(abs, tensor.shape)) > MOST_ELEMENTS:
        raise DamagedError("a tensor larger than any model's")
    if tensor.buffer >= buffers:
        raise DamagedError("a tensor without its buffer")
    if tensor.scales > 1 and tensor.scales not in tensor.shape[tensor.axis :][:1]:
        raise DamagedError(f"{tensor.scales} scales for a tensor of another shape")


def _check_order(graph: Graph, constant: set[int]) -> None:
    """Operators may read what the file holds, what comes in, and what an operator before them computes."""
    numbers = set(range(len(graph.tensors)))
    known = constant.union(graph.inputs)
    for operator in graph.operators:
        if not known.issuperset(_present(operator)):
            raise DamagedError("an operator that reads what nothing computes")
        if not known.isdisjoint(operator.outputs) or not numbers.issuperset(operator.outputs):
            raise DamagedError("an operator that writes where it must not")
        known.update(operator.outputs)
    if not numbers.issuperset(graph.inputs) or not known.issuperset(graph.outputs):
        raise DamagedError("an input or output that is none")


def _present(operator: Operator) -> list[int]:
    """Its inputs without those that it may leave out."""
    optional = operator.kind in WITH_BIAS.values() or operator.kind not in INPUTS
    return [n for place, n in enumerate(operator.inputs) if not (optional and n == LEFT_OUT and place >= BIAS)]


def _check_operator(operator: Operator, types: list[int]) -> None:
    """Types are those of the first input and of the outputs."""
    if operator.kind not in INPUTS:
        return
    if len(operator.inputs) not in INPUTS[operator.kind] or (len(types) != 2 and operator.kind != SPLIT):
        raise DamagedError("an operator with too many or too few inputs or outputs")
    if len(set(types)) > 1 and operator.kind not in CHANGE_TYPE:
        raise DamagedError("an operator that changes the type of numbers")
