"""Small TFLite files of linear layers, written with the flatbuffer schema alone."""

from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TYPES = {
    2: schema.TensorType.INT2,
    4: schema.TensorType.INT4,
    8: schema.TensorType.INT8,
    16: schema.TensorType.FLOAT16,
    32: schema.TensorType.FLOAT32,
}
VERSIONS = {2: 14, 4: 12, 8: 12, 32: 1}
"""Of FULLY_CONNECTED, by the width of its weights."""


@dataclass(frozen=True)
class Layer:
    """A linear layer of random weights.

    Attributes:
        name: of its weight; its outputs have no name.
        inputs, outputs: its size.
        bits: 2, 4, 8 or 32; below 32 with one scale a channel.
    """

    name: str
    inputs: int
    outputs: int
    bits: int


class _Writer:
    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version, self.model.description = 3, b"a test"
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes, self.model.metadata = [], []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

    def buffer(self, data: bytes) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def tensor(self, name: str, shape: tuple[int, ...], *, bits: int = 32, buffer: int = 0) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name.encode(), list(shape), TYPES[bits], buffer
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def layer(self, source: int, layer: Layer, buffer: int) -> int:
        weight = self.tensor(layer.name, (layer.outputs, layer.inputs), bits=layer.bits, buffer=buffer)
        if layer.bits < 32:
            scales = schema.QuantizationParametersT()
            scales.scale = np.full(layer.outputs, 0.5, np.float32)
            scales.zeroPoint = np.zeros(layer.outputs, np.int64)
            self.graph.tensors[weight].quantization = scales
        out = self.tensor("", (1, layer.outputs))
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims, options.asymmetricQuantizeInputs = True, layer.bits < 32
        self.operator(schema.BuiltinOperator.FULLY_CONNECTED, VERSIONS[layer.bits], [source, weight, -1], out, options)
        return out

    def operator(self, code: int, version: int, inputs: list[int], output: int, options: Any) -> None:
        kind = schema.OperatorCodeT()
        kind.builtinCode = kind.deprecatedBuiltinCode = code
        kind.version = version
        self.model.operatorCodes.append(kind)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, [output]
        operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = options
        self.graph.operators.append(operator)

    def signature(self, inputs: dict[str, int], outputs: dict[str, int]) -> None:
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
        signature.inputs, signature.outputs = _maps(inputs), _maps(outputs)
        self.model.signatureDefs = [signature]

    def metadata(self, name: str, text: str) -> None:
        entry = schema.MetadataT()
        entry.name, entry.buffer = name.encode(), self.buffer(text.encode())
        self.model.metadata.append(entry)

    def bytes(self) -> bytes:
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _maps(ports: dict[str, int]) -> list[Any]:
    maps = []
    for name, index in ports.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), index
        maps.append(entry)
    return maps


def linear_file(*layers: Layer, shared: bool = False, metadata: dict[str, str] | None = None) -> bytes:
    """A file of layers one after the other, from `image` (1, inputs) to `logits`.

    Args:
        layers: each takes what the one before it gives.
        shared: whether all of them, of equal size, have one buffer.
        metadata: entries, by name.
    """
    rng = np.random.default_rng(0)
    writer = _Writer()
    image = last = writer.tensor("serving_default_args_0", (1, layers[0].inputs))
    writer.graph.inputs = [image]
    buffer = 0
    for layer in layers:
        size = -(-layer.inputs * layer.outputs * layer.bits // 8)
        raw = rng.standard_normal(size // 4).astype(np.float32).tobytes() if layer.bits == 32 else rng.bytes(size)
        buffer = buffer if buffer and shared else writer.buffer(raw)
        last = writer.layer(last, layer, buffer)
    writer.graph.outputs = [last]
    writer.signature({"image": image}, {"logits": last})
    for name, text in (metadata or {}).items():
        writer.metadata(name, text)
    return writer.bytes()
