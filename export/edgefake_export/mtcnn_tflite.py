"""MTCNN's three networks as TFLite files, from the weights of facenet-pytorch 2.5.3 (see mtcnn.py).

Pixels lie as TFLite has them, (N, H, W, C). The batch is set by resizing the input, and so are P-Net's height and
width: one file serves every scale of every frame. Operators are in facenet-pytorch's order, the PReLU before the
pooling: the fewest, all in one XNNPACK partition. The probability is 1 / (1 + exp(a0 - a1)) as in the ONNX files: with
LOGISTIC, whose values near 1 differ, two of 290 faces came from other candidates (smallest IoU 0.894; so 0.99999).
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .mtcnn import METADATA_KEY, SOURCE, Layer, Network, Weights
from .tflite_flatbuffer import Model, load_schema, serialize
from .tflite_tidy import INPUT, SIGNATURE

__all__ = ["build_tflite"]

CELL = 12
"""Side of the smallest input of P-Net; the file has shapes for it, until the input is resized."""

Floats = NDArray[np.float32]


class _Graph:
    """Operators of one file, in the order in which they are added; a tensor is named by its number.

    Args:
        free: how many leading axes of every computed tensor have no fixed size.
    """

    def __init__(self, free: int) -> None:
        self.schema = load_schema()
        root, graph = self.schema.ModelT(), self.schema.SubGraphT()
        root.version, root.description, root.buffers = 3, b"edgefake", [self.schema.BufferT()]
        root.operatorCodes, root.subgraphs, graph.tensors, graph.operators = [], [graph], [], []
        self.model = Model(root)
        self.free = free

    def constant(self, name: str, values: Floats) -> int:
        data = np.ascontiguousarray(values, np.float32).tobytes()
        return self.model.add_tensor(name, values.shape, self.schema.TensorType.FLOAT32, data)

    def tensor(self, shape: tuple[int, ...], name: str = "") -> int:
        """One that is computed, or the input."""
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = (
            name.encode() or None,
            np.array(shape, np.int32),
            self.schema.TensorType.FLOAT32,
            0,
        )
        tensor.shapeSignature = np.array([-1] * self.free + list(shape[self.free :]), np.int32)
        self.model.graph.tensors.append(tensor)
        return len(self.model.graph.tensors) - 1

    def shape(self, x: int) -> tuple[int, ...]:
        return tuple(map(int, self.model.graph.tensors[x].shape))

    def add(self, kind: str, inputs: Sequence[int], shape: tuple[int, ...], options: Any = None, name: str = "") -> int:
        """Adds an operator, such as "CONV_2D", with its options from the schema; its output."""
        operator, output = self.schema.OperatorT(), self.tensor(shape, name)
        operator.opcodeIndex = self.model.operator_code(getattr(self.schema.BuiltinOperator, kind), 1)
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self.model.graph.operators.append(operator)
        return output


def _linear(graph: _Graph, x: int, name: str, weight: Floats, bias: Floats, output: str = "") -> int:
    """Adds a convolution (weight of four axes, OIHW) or a dense layer (two axes)."""
    shape, schema = graph.shape(x), graph.schema
    if weight.ndim == 4:
        options = schema.Conv2DOptionsT()
        options.padding, options.strideH, options.strideW = schema.Padding.VALID, 1, 1
        shape = (shape[0], *(size - weight.shape[2] + 1 for size in shape[1:3]), len(weight))
        weight = weight.transpose(0, 2, 3, 1)  # OHWI
    else:
        options, shape = schema.FullyConnectedOptionsT(), (shape[0], len(weight))
    constants = [graph.constant(f"{name}.weight", weight), graph.constant(f"{name}.bias", bias)]
    return graph.add("CONV_2D" if weight.ndim == 4 else "FULLY_CONNECTED", [x, *constants], shape, options, output)


def _pool(graph: _Graph, x: int, window: int) -> int:
    """Adds a max pooling of stride 2 that rounds its size up.

    TFLite's padding SAME gives half the side, rounded up. That is what a window of 2 has to give, and one of 3 on an
    even side, whose one row too few is then missing behind the picture; on an odd side 3 leaves no row, so VALID is it.
    """
    shape, options = graph.shape(x), graph.schema.Pool2DOptionsT()
    padding, same = graph.schema.Padding, window == 2 or shape[1] % 2 == 0
    options.padding, options.strideH, options.strideW = padding.SAME if same else padding.VALID, 2, 2
    options.filterHeight = options.filterWidth = window
    sides = (-(-(size - window) // 2) + 1 for size in shape[1:3])
    return graph.add("MAX_POOL_2D", [x], (shape[0], *sides, shape[3]), options)


def _activate(graph: _Graph, x: int, layer: Layer, weights: Weights) -> int:
    shape = graph.shape(x)
    slope = weights[f"prelu{layer.name[-1]}.weight"].reshape(*[1] * (len(shape) - 2), -1)
    return graph.add("PRELU", [x, graph.constant(f"{layer.name}.slope", slope)], shape)


def _add_layer(graph: _Graph, x: int, layer: Layer, weights: Weights) -> int:
    weight = weights[f"{layer.name}.weight"]
    if weight.ndim == 2 and len(graph.shape(x)) == 4:
        _, height, width, channels = graph.shape(x)  # the columns are (W, H, C), and shall be (H, W, C)
        weight = weight.reshape(-1, width, height, channels).transpose(0, 2, 1, 3).reshape(weight.shape)
    x = _linear(graph, x, layer.name, weight, weights[f"{layer.name}.bias"])
    x = _activate(graph, x, layer, weights)
    return _pool(graph, x, layer.pool) if layer.pool else x


def _add_probability(graph: _Graph, x: int, head: str, weights: Weights) -> int:
    """Adds 1 / (1 + exp(other - face)); the difference is that of the weights."""
    weight, bias = (weights[f"{head}.{kind}"] for kind in ("weight", "bias"))  # of other, face
    difference = _linear(graph, x, head, weight[:1] - weight[1:], bias[:1] - bias[1:])
    shape, schema, one = graph.shape(difference), graph.schema, graph.constant("one", np.ones(1, np.float32))
    odds = graph.add("EXP", [difference], shape, schema.ExpOptionsT())
    total = graph.add("ADD", [odds, one], shape, schema.AddOptionsT())
    return graph.add("DIV", [one, total], shape, schema.DivOptionsT(), "probability")


def _close(graph: _Graph, image: int, outputs: Sequence[int], network: Network) -> None:
    """Names input and outputs, in their order, and says where the weights come from."""
    model, schema = graph.model, graph.schema
    model.graph.inputs, model.graph.outputs = np.array([image], np.int32), np.array(outputs, np.int32)
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE.encode(), 0
    for side, tensors in (("inputs", [image]), ("outputs", outputs)):
        entries = [schema.TensorMapT() for _ in tensors]
        for entry, index in zip(entries, tensors, strict=True):
            entry.name, entry.tensorIndex = model.graph.tensors[index].name, index
        setattr(signature, side, entries)
    model.root.signatureDefs = [signature]
    about = {"network": network.name, "source": SOURCE, "threshold": network.threshold}
    entry, buffer = schema.MetadataT(), schema.BufferT()
    entry.name, entry.buffer = METADATA_KEY.encode(), len(model.root.buffers)
    buffer.data = np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8)
    model.root.metadata = [entry]
    model.root.buffers.append(buffer)


def build_tflite(network: Network, weights: Weights) -> bytes:
    """Writes one network as a TFLite file; equal weights give equal bytes.

    Input `image`: (N, H, W, 3) float32, RGB, (pixel - 127.5) / 128; N is set by resizing the input, and H and W in
    P-Net, from 12 on. Outputs, in this order: `boxes` (N, h, w, 4) or (N, 4), the shifts of the four edges in units of
    the box's side; O-Net: `landmarks` (N, 10), five x then five y, in units of the box's side; `probability` of a face
    (N, h, w, 1) or (N, 1).

    Args:
        network: its layers.
        weights: facenet-pytorch's tensors by name.

    Raises:
        MissingExtraError: ai-edge-litert is not installed.
    """
    side = network.side or CELL
    graph = _Graph(free=1 if network.side else 3)
    x = image = graph.tensor((1, side, side, 3), INPUT)
    for layer in network.layers:
        x = _add_layer(graph, x, layer, weights)
    probability, *others = network.heads
    outputs = [
        _linear(graph, x, head, weights[f"{head}.weight"], weights[f"{head}.bias"], output)
        for head, output in zip(others, ("boxes", "landmarks"), strict=False)
    ]
    _close(graph, image, [*outputs, _add_probability(graph, x, probability, weights)], network)
    return serialize(graph.model)
