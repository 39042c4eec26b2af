"""TFLite files as objects: read, change, and write again with nothing stored twice."""

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefake_runtime.errors import MissingExtraError
from edgefake_runtime.model_file import TFLITE_MARK

__all__ = ["Model", "load_schema", "parse", "serialize"]

ALIGNMENT = 16
"""Of a buffer's bytes in the file: LiteRT reads them where they lie."""


def load_schema() -> Any:
    """The tables of a TFLite file, by the names that its schema gives them.

    Raises:
        MissingExtraError: ai-edge-litert is not installed.
    """
    try:
        return import_module("ai_edge_litert.schema_py_generated")
    except ImportError as error:
        raise MissingExtraError("ai_edge_litert", "tflite") from error


class Model:
    """A file's one network, and how to add to it.

    Attributes:
        root: the schema's ModelT.
        graph: its SubGraphT.
        schema: the module of these classes.
    """

    def __init__(self, root: Any) -> None:
        self.root = root
        self.graph = root.subgraphs[0]
        self.schema = load_schema()

    def constant(self, tensor: Any) -> NDArray[np.uint8] | None:
        """Bytes of a tensor; None for one that is computed."""
        data = self.root.buffers[tensor.buffer].data
        return None if data is None or not len(data) else np.asarray(data, np.uint8)

    def floats(self, tensor: Any) -> NDArray[np.float32] | None:
        """Values of a float32 constant; None for any other tensor."""
        data = self.constant(tensor) if tensor.type == self.schema.TensorType.FLOAT32 else None
        return None if data is None else data.view(np.float32).reshape(shape_of(tensor))

    def set_bytes(self, tensor: Any, data: bytes) -> None:
        """Give a tensor a buffer of its own."""
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        tensor.buffer = len(self.root.buffers)
        self.root.buffers.append(buffer)

    def add_tensor(self, name: str, shape: tuple[int, ...], kind: int, data: bytes) -> int:
        """A constant; its index."""
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name.encode(), np.array(shape, np.int32), kind
        self.set_bytes(tensor, data)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator_code(self, kind: int, version: int) -> int:
        """Index of an operator of this kind and version."""
        codes = self.root.operatorCodes
        for index, code in enumerate(codes):
            if (self.kind(code), code.version) == (kind, version):
                return index
        code = self.schema.OperatorCodeT()
        # The older field is a byte; kinds above 127 are in the newer one alone.
        code.builtinCode, code.deprecatedBuiltinCode, code.version = kind, min(kind, 127), version
        codes.append(code)
        return len(codes) - 1

    def kind(self, code: Any) -> int:
        """Which operator a code is, as in the schema's BuiltinOperator."""
        return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))

    def kind_of(self, operator: Any) -> int:
        """Which operator a step of the graph is."""
        return self.kind(self.root.operatorCodes[operator.opcodeIndex])

    def readers(self) -> dict[int, list[Any]]:
        """Tensor -> operators that take it."""
        found: dict[int, list[Any]] = {}
        for operator in self.graph.operators:
            for index in map(int, operator.inputs):
                found.setdefault(index, []).append(operator)
        return found


def shape_of(tensor: Any) -> tuple[int, ...]:
    """A tensor's shape; () where the file has none."""
    return () if tensor.shape is None else tuple(map(int, tensor.shape))


def parse(data: bytes) -> Model:
    """Read a file.

    Raises:
        MissingExtraError: ai-edge-litert is not installed.
    """
    schema = load_schema()
    return Model(schema.ModelT.InitFromPackedBuf(bytearray(data), 0))


def _sharing_builder(size: int) -> Any:
    """A flatbuffers.Builder that writes equal vectors of numbers and equal texts once."""
    Builder: Any = import_module("flatbuffers").Builder

    class Sharing(Builder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(size)
            self.written: dict[tuple[str, bytes], int] = {}

        def StartVector(self, elem_size: int, count: int, alignment: int) -> Any:
            return super().StartVector(elem_size, count, ALIGNMENT if elem_size == 1 and count else alignment)

        def CreateNumpyVector(self, x: NDArray[Any]) -> int:
            key = (x.dtype.str, x.tobytes())
            if key not in self.written:
                self.written[key] = super().CreateNumpyVector(x)
            return self.written[key]

        def CreateString(self, s: Any, *arguments: Any) -> int:
            key = ("text", s.encode() if isinstance(s, str) else bytes(s))
            if key not in self.written:
                self.written[key] = super().CreateString(s, *arguments)
            return self.written[key]

    return Sharing()


def serialize(model: Model) -> bytes:
    """Write a file; equal models give equal bytes."""
    total = sum(len(buffer.data) for buffer in model.root.buffers if buffer.data is not None)
    builder = _sharing_builder(total + (1 << 18))
    builder.Finish(model.root.Pack(builder), TFLITE_MARK)
    return bytes(builder.Output())
