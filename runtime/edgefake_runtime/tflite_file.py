"""What the runtime has to know about a TFLite file before LiteRT sees it, and the widening of its 2-bit weights.

Read from the file's own bytes, so that a damaged or foreign file is refused without running any of LiteRT's code on it.
"""

import struct
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .engine import Port
from .errors import ModelFileError
from .flatbuffer import DamagedError, Table
from .metadata import METADATA_KEY
from .tflite_graph import BUFFERS, DATA, FULLY_CONNECTED, Graph, Operator, Tensor, read_graphs

__all__ = ["SIGNATURE", "PackedWeight", "TfliteFile", "read_tflite", "widen"]

SIGNATURE = "serving_default"
"""Key of the signature that names input and output."""

METADATA, SIGNATURES = 6, 7
"""Fields of a file."""

NAME, INDEX = 0, 1
"""Of an entry of the metadata or of a signature: what it is called, and its buffer or tensor."""

FLOAT32, INT8, INT2 = 0, 9, 19
"""Types of tensors."""

WIDE_VERSION = 12
"""Of FULLY_CONNECTED that takes 8-bit weights with a scale per output, beside float activations."""

ALIGNMENT = 16
"""Of the bytes of a buffer, as the schema asks."""

LEVELS: NDArray[np.uint32] = (
    ((((np.arange(256)[:, None] >> np.arange(0, 8, 2)) & 3) ^ 2) - 2).astype(np.int8).view(np.uint32).ravel()
)
"""Packed byte -> its four levels, a byte each: the first in the lowest bits, two's complement."""

OFFSET = LENGTH = struct.Struct("<I")
VERSION = struct.Struct("<i")


@dataclass(frozen=True)
class PackedWeight:
    """Where a 2-bit weight lies in the file.

    Attributes:
        type_place: the byte of its tensor that names the type.
        pointer: the offset of its buffer that leads to the data.
        start: first byte of the data.
        levels: how many there are, four a byte.
    """

    type_place: int
    pointer: int
    start: int
    levels: int


@dataclass(frozen=True)
class TfliteFile:
    """A TFLite file, read as far as the runtime needs.

    Attributes:
        data: its bytes.
        metadata: edgefake's entry (JSON); None without.
        input, output: as its signature names them.
        packed: the 2-bit weights that linear layers read, and nothing else does.
        versions: where the versions lie of the operators that read them.
        narrow: how many tensors have 2 bits, whoever reads them.
    """

    data: bytes = field(repr=False)
    metadata: str | None
    input: Port
    output: Port
    packed: tuple[PackedWeight, ...]
    versions: tuple[int, ...]
    narrow: int


def read_tflite(data: bytes) -> TfliteFile:
    """Read a TFLite file, and check what LiteRT takes for granted.

    Raises:
        ModelFileError: damaged, without the signature that edgefake writes, or larger than any model.
    """
    try:
        root = Table.root(data)
        graph, *others = read_graphs(root)
        buffers = root.tables(BUFFERS)
        inputs, outputs = (_port(graph, ends, entries) for ends, entries in _ends(root, graph))
        narrow = sum(tensor.type == INT2 for each in (graph, *others) for tensor in each.tensors)
        packed, versions = _narrow(graph, others, buffers)
        return TfliteFile(data, _metadata(root, buffers), inputs, outputs, packed, versions, narrow)
    except DamagedError as error:
        raise ModelFileError(
            f"expected a whole TFLite file, got a damaged one ({error}); export or download it again"
        ) from error


def _metadata(root: Table, buffers: list[Table]) -> str | None:
    for entry in root.tables(METADATA):
        if entry.text(NAME) == METADATA_KEY:
            index = entry.number(INDEX, "I")
            if index >= len(buffers):
                raise DamagedError(f"metadata in buffer {index} of {len(buffers)}")
            return buffers[index].text(DATA)
    return None


def _ends(root: Table, graph: Graph) -> list[tuple[tuple[int, ...], list[Table]]]:
    """Inputs and outputs, by their numbers in the network and by their entries in the signature."""
    inputs, outputs, key, network = 0, 1, 2, 4
    found = {table.text(key): table for table in root.tables(SIGNATURES) if table.number(network, "I") == 0}
    if SIGNATURE not in found:
        raise ModelFileError(
            f"expected a model exported by edgefake, with the signature {SIGNATURE}, got "
            f"{', '.join(repr(name[:60]) for name in found) or 'none'}; make one with: edgefake export"
        )
    signature = found[SIGNATURE]
    return [(graph.inputs, signature.tables(inputs)), (graph.outputs, signature.tables(outputs))]


def _port(graph: Graph, ends: tuple[int, ...], entries: list[Table]) -> Port:
    """The one input or output, by its name in the signature."""
    if [entry.number(INDEX, "I") for entry in entries] != list(ends) or len(ends) != 1:
        raise ModelFileError(
            f"expected a model exported by edgefake, with one input and one output, got {len(ends)} of a kind; "
            "make one with: edgefake export"
        )
    tensor = graph.tensors[ends[0]]
    if tensor.type != FLOAT32:
        raise ModelFileError(f"expected float32 input and output, got TFLite's type {tensor.type}; export it again")
    return Port(entries[0].text(NAME), tensor.shape)


def _narrow(
    graph: Graph, others: list[Graph], buffers: list[Table]
) -> tuple[tuple[PackedWeight, ...], tuple[int, ...]]:
    """The weights that can be widened, and where the versions of their operators lie."""
    linear = [operator for operator in graph.operators if _is_narrow(operator, graph)]
    users = Counter(n for operator in graph.operators for n in operator.inputs) + Counter(graph.outputs)
    readers = Counter(operator.inputs[1] for operator in linear)
    holders = Counter(tensor.buffer for each in (graph, *others) for tensor in each.tensors)
    alone = (n for n in sorted(readers) if readers[n] == users[n] and holders[graph.tensors[n].buffer] == 1)
    weights = [weight for n in alone if (weight := _weight(graph.tensors[n], buffers)) is not None]
    versions = {operator.version_place for operator in linear if operator.version > WIDE_VERSION}
    return tuple(weights), tuple(sorted(place for place in versions if place is not None))


def _is_narrow(operator: Operator, graph: Graph) -> bool:
    return operator.kind == FULLY_CONNECTED and graph.tensors[operator.inputs[1]].type == INT2


def _weight(tensor: Tensor, buffers: list[Table]) -> PackedWeight | None:
    """None where the weight is computed, or lies elsewhere."""
    pointer = buffers[tensor.buffer].place(DATA)
    if pointer is None or tensor.type_place is None:
        return None
    start, length = buffers[tensor.buffer].span(DATA)
    if length != -(-tensor.elements // 4):
        raise DamagedError(f"a 2-bit weight of {tensor.elements} levels in {length} bytes")
    return PackedWeight(tensor.type_place, pointer, start, tensor.elements)


def widen(file: TfliteFile) -> bytes:
    """The same file with 8 bits for each level of its 2-bit weights, scales as they were.

    The levels go to the end, those of equal weights that share their bytes once; the offsets of their buffers, the
    types of their tensors and the versions of their operators are written over. The packed levels stay behind, unread.
    """
    head, tail = bytearray(file.data), list[bytes]()
    end = len(head)
    places: dict[tuple[int, int], int] = {}
    for weight in file.packed:
        if (weight.start, weight.levels) not in places:
            packed = np.frombuffer(file.data, np.uint8, -(-weight.levels // 4), weight.start)
            padding = bytes(-(end + LENGTH.size) % ALIGNMENT)
            places[weight.start, weight.levels] = end + len(padding)
            tail += [padding, LENGTH.pack(weight.levels), LEVELS[packed].tobytes()[: weight.levels]]
            end += len(padding) + LENGTH.size + weight.levels
        OFFSET.pack_into(head, weight.pointer, places[weight.start, weight.levels] - weight.pointer)
        head[weight.type_place] = INT8
    for place in file.versions:
        VERSION.pack_into(head, place, WIDE_VERSION)
    return b"".join((head, *tail))
