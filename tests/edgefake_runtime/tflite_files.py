"""Small TFLite files with 2-bit layers, built from the flatbuffer schema: testing the runtime needs no converter."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgefake_runtime import ModelMetadata
from edgefake_runtime.metadata import METADATA_KEY

from .test_metadata import METADATA

SIZE = METADATA.input_size
HIDDEN = (24, 16)
"""Outputs of the two 2-bit layers."""

TYPES = {2: schema.TensorType.INT2, 4: schema.TensorType.INT4, 8: schema.TensorType.INT8}
VERSIONS = {2: 14, 4: 12, 8: 12}
"""Of FULLY_CONNECTED, by the width of its weights."""


@dataclass(frozen=True)
class Layout:
    """What a file says besides its weights; the defaults are what the runtime wants."""

    metadata: str | None = METADATA.to_json()
    entries: tuple[str, ...] = ()
    key: str = "serving_default"
    input_name: str = "image"
    output_name: str = "logits"
    size: int = SIZE
    classes: int = 2
    batch: int = 1


@dataclass(frozen=True)
class Network:
    """Levels (out, in) and scales (out,) of the 2-bit layers; a float layer closes."""

    levels: tuple[np.ndarray, ...]
    scales: tuple[np.ndarray, ...]
    weight: np.ndarray
    bias: np.ndarray


def network(seed: int = 0, *, size: int = SIZE, hidden: tuple[int, ...] = HIDDEN, classes: int = 2) -> Network:
    """Random levels: all four that two bits hold, zero on average, so that ReLU lets some of the sums through."""
    rng = np.random.default_rng(seed)
    widths = (3 * size * size, *hidden)
    levels = tuple(
        rng.choice(4, (o, i), p=(0.1, 0.25, 0.2, 0.45)).astype(np.int8) - np.int8(2) for i, o in pairwise(widths)
    )
    scales = tuple((rng.uniform(0.5, 1, len(w)) / w.shape[1] ** 0.5).astype(np.float32) for w in levels)
    weight = rng.normal(0, hidden[-1] ** -0.5, (classes, hidden[-1])).astype(np.float32)
    return Network(levels, scales, weight, rng.normal(size=classes).astype(np.float32))


def expected(net: Network, batch: np.ndarray) -> np.ndarray:
    """Logits in float64 with the activations unrounded: (B, 3, S, S) -> (B, classes)."""
    x = batch.reshape(len(batch), -1).astype(np.float64)
    for levels, scale in zip(net.levels, net.scales, strict=True):
        x = np.maximum(x @ (levels * scale[:, None].astype(np.float64)).T, 0)
    return x @ net.weight.T + net.bias


def packed(levels: np.ndarray, bits: int) -> np.ndarray:
    """Two's complement, the first element in the lowest bits."""
    per = 8 // bits
    flat = np.append(levels.ravel(), np.zeros(-levels.size % per, np.int8)).reshape(-1, per)
    shifts = np.arange(per) * bits
    return np.bitwise_or.reduce((flat.astype(np.int16) & (2**bits - 1)) << shifts, axis=1).astype(np.uint8)


class _Writer:
    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.name = b"main"
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

    def buffer(self, data: bytes) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def tensor(self, name: str, shape: tuple[int, ...], kind: int = schema.TensorType.FLOAT32, data: Any = None) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name.encode(), list(shape), kind
        tensor.buffer = 0 if data is None else self.buffer(np.ascontiguousarray(data).tobytes())
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, code: int, version: int, inputs: list[int], output: int, options: Any) -> None:
        codes = self.model.operatorCodes
        index = next((i for i, c in enumerate(codes) if (c.builtinCode, c.version) == (code, version)), len(codes))
        if index == len(codes):
            codes.append(schema.OperatorCodeT())
            codes[-1].builtinCode = codes[-1].deprecatedBuiltinCode = code
            codes[-1].version = version
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = index, inputs, [output]
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        operator.builtinOptions = options
        self.graph.operators.append(operator)

    def linear(self, source: int, weight: int, bias: int, rows: int, *, version: int, relu: bool) -> int:
        out = self.tensor("x", (rows, self.graph.tensors[weight].shape[0]))
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims, options.asymmetricQuantizeInputs = True, version > 1
        options.fusedActivationFunction = schema.ActivationFunctionType.RELU if relu else 0
        self.operator(schema.BuiltinOperator.FULLY_CONNECTED, version, [source, weight, bias], out, options)
        return out

    def signature(self, key: str, inputs: dict[str, int], outputs: dict[str, int]) -> None:
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = key.encode(), 0
        signature.inputs, signature.outputs = ([_named(*item) for item in side.items()] for side in (inputs, outputs))
        self.model.signatureDefs = [signature]

    def metadata(self, name: str, text: str) -> None:
        entry = schema.MetadataT()
        entry.name, entry.buffer = name.encode(), self.buffer(text.encode())
        self.model.metadata = [*(self.model.metadata or []), entry]

    def finish(self) -> bytes:
        return finish(self.model)


def _named(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), index
    return entry


def finish(model: Any) -> bytes:
    """A model of the schema's object interface as a file."""
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def parsed(data: bytes) -> Any:
    """A file as the schema's object interface sees it."""
    return schema.ModelT.InitFromPackedBuf(bytearray(data), 0)


def tflite_file(net: Network | None = None, layout: Layout | None = None, *, bits: int = 2) -> bytes:
    """Build: image (1, 3, S, S) -> flattened -> 2-bit layers with ReLU -> a float layer -> logits (1, classes).

    Args:
        net: the weights; random ones when None.
        layout: names, shapes and metadata.
        bits: of the file's weights, 2, 4 or 8; the levels are the same.
    """
    layout = layout or Layout()
    net = net or network(size=layout.size, classes=layout.classes)
    writer = _Writer()
    image = writer.tensor(layout.input_name, (layout.batch, 3, layout.size, layout.size))
    flat = 3 * layout.size**2
    shape = writer.tensor("shape", (2,), schema.TensorType.INT32, np.array([layout.batch, flat], np.int32))
    x = writer.tensor("flat", (layout.batch, flat))
    options = schema.ReshapeOptionsT()
    options.newShape = [layout.batch, flat]
    writer.operator(schema.BuiltinOperator.RESHAPE, 1, [image, shape], x, options)
    for levels, scale in zip(net.levels, net.scales, strict=True):
        weight = writer.tensor("levels", levels.shape, TYPES[bits], packed(levels, bits))
        writer.graph.tensors[weight].quantization = _per_channel(scale)
        x = writer.linear(x, weight, -1, layout.batch, version=VERSIONS[bits], relu=True)
    weight = writer.tensor("weight", net.weight.shape, data=net.weight)
    bias = writer.tensor("bias", net.bias.shape, data=net.bias)
    logits = writer.linear(x, weight, bias, layout.batch, version=1, relu=False)
    writer.graph.inputs, writer.graph.outputs = [image], [logits]
    writer.signature(layout.key, {layout.input_name: image}, {layout.output_name: logits})
    for name in layout.entries:
        writer.metadata(name, "1")
    if layout.metadata is not None:
        writer.metadata(METADATA_KEY, layout.metadata)
    return writer.finish()


def _per_channel(scale: np.ndarray) -> Any:
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = scale, np.zeros(len(scale), np.int64)
    quantization.quantizedDimension = 0
    return quantization


def with_metadata(data: bytes, metadata: ModelMetadata) -> bytes:
    """A file that a converter wrote, with the runtime's names and metadata."""
    model = parsed(data)
    (graph,), (signature,) = model.subgraphs, model.signatureDefs
    signature.inputs, signature.outputs = [_named("image", graph.inputs[0])], [_named("logits", graph.outputs[0])]
    signature.signatureKey = b"serving_default"
    graph.tensors[graph.inputs[0]].name, graph.tensors[graph.outputs[0]].name = b"image", b"logits"
    entry = schema.MetadataT()
    entry.name, entry.buffer = METADATA_KEY.encode(), len(model.buffers)
    model.metadata, text = [entry], schema.BufferT()
    text.data = np.frombuffer(metadata.to_json().encode(), np.uint8)
    model.buffers.append(text)
    return finish(model)


def changed(**changes: Any) -> str:
    """The tests' metadata with other values, as JSON."""
    return replace(METADATA, **changes).to_json()
