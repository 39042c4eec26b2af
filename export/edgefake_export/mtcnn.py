"""MTCNN's three networks (Zhang et al., 2016) as ONNX and TFLite files, from the weights of facenet-pytorch 2.5.3.

    python -m edgefake_export.mtcnn models/mtcnn

writes pnet, rnet and onet as .onnx and .tflite, and LICENSE. Two runs write the same bytes. mtcnn_tflite.py has the
TFLite files.

The ONNX graphs compute what facenet-pytorch computes, written down differently in three places:

- A PReLU is a ReLU and a sum (see _activate): ONNX Runtime keeps those in the layout of its convolutions, channels
  in blocks of 16, and leaves that layout for a PRelu. P-Net ran 1.4 times faster so, R-Net 1.5, O-Net 1.7 (2026-11-26,
  ONNX Runtime 1.32, one thread of an AMD EPYC with AVX-512; 1.24: 1.05, 1.4, 1.7). Its wheels for aarch64 have no such
  layout: nothing is gained there, nor lost. P-Net's first PReLU comes behind the max pooling, where it has a quarter
  of the work (see _add_pooled).
- The probability is 1 / (1 + exp(a0 - a1)), which is the second of two softmax classes and rounds like it
  near 1, where scores crowd and their order decides. (Sigmoid, an approximation in ONNX Runtime, swapped
  boxes: tried.)
- The dense layer that facenet-pytorch feeds with (W, H, C) has its columns reordered to (C, H, W).
"""

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgefake.whole import write_whole
from edgefake_runtime.errors import EdgefakeError, InputError, MissingExtraError, UsageError

if TYPE_CHECKING:
    import onnx

__all__ = ["FORMATS", "NETWORKS", "Layer", "Network", "build", "export", "main"]

METADATA_KEY = "edgefake-faces"
SOURCE = "facenet-pytorch 2.5.3 (MIT)"
CURE = "pip install --no-deps facenet-pytorch==2.5.3"
ORIGIN = """\
The weights of pnet, rnet and onet come from facenet-pytorch 2.5.3
(https://github.com/timesler/facenet-pytorch), under the licence below. The networks are those of
K. Zhang, Z. Zhang, Z. Li and Y. Qiao, Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks, IEEE Signal Processing Letters, 2016; facenet-pytorch ported the weights from
David Sandberg's facenet (MIT, https://github.com/davidsandberg/facenet).
"""
FORMATS = ("onnx", "tflite")
"""Endings of the files."""

OPSET = 17
IR_VERSION = 8

BLOCK = 16
"""Channels that ONNX Runtime computes together on CPUs with AVX-512; on others a half or a quarter of it."""

LEAST_REST = 0.1
"""Of what a PReLU's slope leaves to 1, for the slope to be divided by it."""

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Layer:
    """One convolution (or dense layer) with its PReLU and an optional max pooling.

    Attributes:
        name: of the weights in the checkpoint, such as "conv1".
        shape: of the weight: (out, in, kernel, kernel), or (out, in) for a dense layer.
        pool: side of the pooling window, stride 2, rounded up at the border; 0 for none.
    """

    name: str
    shape: tuple[int, ...]
    pool: int = 0


@dataclass(frozen=True)
class Network:
    """One of the three networks.

    Attributes:
        name: "pnet", "rnet" or "onet".
        side: of the input, in pixels; 0 where height and width are free (P-Net).
        threshold: of the probability, as published with the cascade.
        layers: the trunk.
        heads: names of the checkpoint's output layers: class, box, then landmarks in O-Net.
    """

    name: str
    side: int
    threshold: float
    layers: tuple[Layer, ...]
    heads: tuple[str, ...]


NETWORKS = (
    Network(
        "pnet",
        0,
        0.6,
        (Layer("conv1", (10, 3, 3, 3), 2), Layer("conv2", (16, 10, 3, 3)), Layer("conv3", (32, 16, 3, 3))),
        ("conv4_1", "conv4_2"),
    ),
    Network(
        "rnet",
        24,
        0.7,
        (
            Layer("conv1", (28, 3, 3, 3), 3),
            Layer("conv2", (48, 28, 3, 3), 3),
            Layer("conv3", (64, 48, 2, 2)),
            Layer("dense4", (128, 576)),
        ),
        ("dense5_1", "dense5_2"),
    ),
    Network(
        "onet",
        48,
        0.7,
        (
            Layer("conv1", (32, 3, 3, 3), 3),
            Layer("conv2", (64, 32, 3, 3), 3),
            Layer("conv3", (64, 64, 3, 3), 2),
            Layer("conv4", (128, 64, 2, 2)),
            Layer("dense5", (256, 1152)),
        ),
        ("dense6_1", "dense6_2", "dense6_3"),
    ),
)
"""P-Net, R-Net and O-Net."""


class _Graph:
    """Nodes and initializers of one file, in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[np.float32] | NDArray[np.int64]) -> str:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def split(self, x: str, sizes: str, outputs: Sequence[str]) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node("Split", [x, sizes], list(outputs), name=f"{x}.split", axis=1))


def _channels_first(weight: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Reorders the columns of a dense weight (out, W * H * C) to (out, C * H * W)."""
    outputs, columns = weight.shape
    side = round((columns // channels) ** 0.5)
    return weight.reshape(outputs, side, side, channels).transpose(0, 3, 2, 1).reshape(outputs, columns)


def _linear(graph: _Graph, x: str, name: str, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
    """Adds a convolution (weight of four axes) or a dense layer (two axes)."""
    inputs = [x, graph.constant(f"{name}.weight", weight), graph.constant(f"{name}.bias", bias)]
    if weight.ndim == 4:
        return graph.add("Conv", inputs, name, kernel_shape=list(weight.shape[2:]))
    return graph.add("Gemm", inputs, name, transB=1)


def _slope(layer: Layer, weights: Weights) -> NDArray[np.float32]:
    return weights[f"prelu{layer.name[-1]}.weight"]  # (C,)


def _whole_blocks(count: int) -> int:
    """Channels with those that fill the last block."""
    return -(-count // BLOCK) * BLOCK


def _scale(graph: _Graph, x: str, name: str, factor: NDArray[np.float32]) -> str:
    """Adds a product with one factor a channel; as a convolution, since no older ONNX Runtime has Mul in blocks."""
    weight = graph.constant(f"{name}.weight", factor[:, None, None, None])
    return graph.add("Conv", [x, weight], name, kernel_shape=[1, 1], group=len(factor))


def _mix(graph: _Graph, x: str, name: str, matrix: NDArray[np.float32]) -> str:
    """Adds a product of each pixel's channels with a matrix (out, in)."""
    return graph.add("Conv", [x, graph.constant(f"{name}.weight", matrix[:, :, None, None])], name, kernel_shape=[1, 1])


def _activate(graph: _Graph, x: str, layer: Layer, weights: Weights) -> str:
    """Adds a convolution of four axes and its PReLU, and to what is pooled then, channels that fill the last block.

    PReLU(x) = max(u, 0) + a / (1 - a) u with u = (1 - a) x, which leaves the convolution. Where a slope a is too near 1
    for that, or above it, PReLU(x) = (1 - a) max(x, 0) + a x.
    """
    slope, name = _slope(layer, weights), layer.name
    fill = _whole_blocks(len(slope)) - len(slope) if layer.pool else 0
    weight = np.pad(weights[f"{name}.weight"], ((0, fill), (0, 0), (0, 0), (0, 0)))
    bias, slope = np.pad(weights[f"{name}.bias"], (0, fill)), np.pad(slope, (0, fill))
    rest = 1 - slope
    if rest.min() < LEAST_REST:
        x = _linear(graph, x, name, weight, bias)
        rising = _scale(graph, graph.add("Relu", [x], f"{name}.relu"), f"{name}.risen", rest)
        return graph.add("Add", [_scale(graph, x, f"{name}.scaled", slope), rising], f"{name}.out")
    x = _linear(graph, x, name, weight * rest[:, None, None, None], bias * rest)
    rising = graph.add("Relu", [x], f"{name}.relu")
    return graph.add("Add", [_scale(graph, x, f"{name}.scaled", slope / rest), rising], f"{name}.out")


def _add_dense(graph: _Graph, x: str, layer: Layer, weights: Weights, channels: int) -> str:
    """Adds a dense layer, and what lays its input flat."""
    x = graph.add("Flatten", [x], f"{layer.name}.flat", axis=1)
    weight = _channels_first(weights[f"{layer.name}.weight"], channels)
    x = _linear(graph, x, layer.name, weight, weights[f"{layer.name}.bias"])
    slope = graph.constant(f"{layer.name}.slope", _slope(layer, weights))
    return graph.add("PRelu", [x, slope], f"{layer.name}.prelu")


def _pools_first(layer: Layer, weights: Weights) -> bool:
    """Whether the pooling comes before the PReLU: where that needs no further block of channels."""
    slope = _slope(layer, weights)
    doubled = len(slope) + int((slope < 0).sum())
    return bool(layer.pool) and _whole_blocks(doubled) == _whole_blocks(len(slope))


def _pool(graph: _Graph, x: str, layer: Layer) -> str:
    window = [layer.pool, layer.pool]
    return graph.add("MaxPool", [x], f"{layer.name}.pool", kernel_shape=window, strides=[2, 2], ceil_mode=1)


def _add_pooled(graph: _Graph, x: str, layer: Layer, weights: Weights) -> str:
    """Adds a convolution, max pooling and then the PReLU, in place of the PReLU and then the pooling.

    With a slope a >= 0 PReLU is monotone, so it commutes with the pooling. With a < 0 it is max(x, a x), so its pooling
    is max(pool(x), pool(a x)): such channels leave the convolution a second time, times a. From the pooled channels x,
    and y of those, the layer's output is max(M x, 0) + N x: rising channels max(|1 - a| x, 0) + a x, which is -PReLU(x)
    with -a where a > 1 (see _in_order), and falling ones max(y - x, 0) + x.
    """
    slope = _slope(layer, weights)
    rising, falling = np.flatnonzero(slope >= 0), np.flatnonzero(slope < 0)
    rows, count = np.concatenate([rising, falling, falling]), len(slope)
    factor = np.concatenate([np.ones(count, np.float32), slope[falling]])
    fill = _whole_blocks(len(rows)) - len(rows)
    weight = weights[f"{layer.name}.weight"][rows] * factor[:, None, None, None]
    weight = np.pad(weight, ((0, fill), (0, 0), (0, 0), (0, 0)))
    bias = np.pad(weights[f"{layer.name}.bias"][rows] * factor, (0, fill))
    x = _pool(graph, _linear(graph, x, layer.name, weight, bias), layer)
    bent, straight = np.zeros((2, count, len(weight)), np.float32)
    first, second = np.arange(len(rising)), np.arange(len(rising), count)  # channels of the output
    bent[first, first], straight[first, first] = np.abs(1 - slope[rising]), slope[rising] * _sign(slope[rising])
    bent[second, second], bent[second, second + len(falling)], straight[second, second] = -1, 1, 1
    relu = graph.add("Relu", [_mix(graph, x, f"{layer.name}.bent", bent)], f"{layer.name}.relu")
    return graph.add("Add", [_mix(graph, x, f"{layer.name}.straight", straight), relu], f"{layer.name}.out")


def _sign(slope: NDArray[np.float32]) -> NDArray[np.float32]:
    """-1 for slopes above 1, whose PReLU leaves _add_pooled negated, else 1."""
    return np.where(slope > 1, np.float32(-1), np.float32(1))


def _in_order(network: Network, weights: Weights) -> dict[str, NDArray[np.float32]]:
    """Fits the input channels of each layer that follows a pooled one to what that leaves.

    Behind _add_pooled come rising channels, then falling ones, negated where the slope is above 1; else the channels in
    their order, and those that fill the last block.
    """
    ordered = dict(weights)
    for before, layer in pairwise(network.layers):
        slope, name = _slope(before, weights), f"{layer.name}.weight"
        if _pools_first(before, weights):
            order = np.argsort(slope < 0, kind="stable")
            ordered[name] = weights[name][:, order] * _sign(slope[order])[:, None, None]
        elif before.pool:
            fill = _whole_blocks(len(slope)) - len(slope)
            ordered[name] = np.pad(weights[name], ((0, 0), (0, fill), (0, 0), (0, 0)))
    return ordered


def _add_layer(graph: _Graph, x: str, layer: Layer, weights: Weights, channels: int) -> str:
    """Adds one layer in its cheapest form."""
    if len(layer.shape) == 2:
        return _add_dense(graph, x, layer, weights, channels)
    if _pools_first(layer, weights):
        return _add_pooled(graph, x, layer, weights)
    x = _activate(graph, x, layer, weights)
    return _pool(graph, x, layer) if layer.pool else x


def _add_heads(graph: _Graph, x: str, network: Network, weights: Weights) -> list[str]:
    """Adds the outputs boxes, (landmarks,) probability, all from one linear layer."""
    weight, bias = (
        np.concatenate([weights[f"{name}.{kind}"] for name in network.heads]) for kind in ("weight", "bias")
    )
    outputs = ["boxes", "landmarks"][: len(network.heads) - 1]
    sizes = graph.constant("heads.sizes", np.array([1, 1, 4, 10][: 2 + len(outputs)], np.int64))
    graph.split(_linear(graph, x, "heads", weight, bias), sizes, ["other", "face", *outputs])
    odds = graph.add("Exp", [graph.add("Sub", ["other", "face"], "difference")], "odds")
    one = graph.constant("one", np.ones(1, np.float32))
    return [*outputs, graph.add("Reciprocal", [graph.add("Add", [odds, one], "total")], "probability")]


def build(network: Network, weights: Weights) -> "onnx.ModelProto":
    """Writes one network as an ONNX graph.

    Input `image`: (N, 3, H, W) float32, RGB, (pixel - 127.5) / 128; N is free, and H and W in P-Net.
    Outputs: `boxes` (N, 4, h, w) or (N, 4), the shifts of the four edges in units of the box's side;
    O-Net: `landmarks` (N, 10), five x then five y, in units of the box's side; `probability` of a face
    (N, 1, h, w) or (N, 1).

    Args:
        network: its layers.
        weights: facenet-pytorch's tensors by name.
    """
    from onnx import TensorProto, helper

    graph, x, channels, weights = _Graph(), "image", 3, _in_order(network, weights)
    for layer in network.layers:
        x = _add_layer(graph, x, layer, weights, channels)
        channels = layer.shape[0]
    outputs = _add_heads(graph, x, network, weights)
    area: list[int | str] = [network.side] * 2 if network.side else ["height", "width"]
    shapes: dict[str, list[int | str]] = {"boxes": [4], "landmarks": [10], "probability": [1]}
    cells: list[int | str] = [] if network.side else ["rows", "columns"]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, *area])
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shapes[name], *cells]) for name in outputs
    ]
    proto = helper.make_graph(graph.nodes, network.name, [image], values, graph.initializers)
    return _model(proto, network)


def _model(proto: "onnx.GraphProto", network: Network) -> "onnx.ModelProto":
    from onnx import checker, helper

    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(proto, opset_imports=opsets, ir_version=IR_VERSION, producer_name="edgefake")
    about = {"network": network.name, "source": SOURCE, "threshold": network.threshold}
    helper.set_model_props(model, {METADATA_KEY: json.dumps(about, sort_keys=True)})
    checker.check_model(model, full_check=True)
    return model


def find_weights() -> Path:
    """Finds facenet-pytorch's folder of weights without importing the package.

    Raises:
        InputError: the package is not installed.
    """
    spec = importlib.util.find_spec("facenet_pytorch")
    if spec is None or spec.origin is None:
        raise InputError(f"expected facenet-pytorch's weights, got no such package: {CURE}")
    return Path(spec.origin).parent / "data"


def read_weights(path: Path, network: Network) -> dict[str, NDArray[np.float32]]:
    """Reads one .pt file (never as a pickle of code) and checks the shapes of the trunk.

    Raises:
        InputError: the file is missing, damaged, or of another network.
        MissingExtraError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "export") from error
    try:
        tensors = torch.load(path, weights_only=True, map_location="cpu")
        weights = {name: np.asarray(tensor.numpy(), np.float32) for name, tensor in tensors.items()}
    except Exception as error:
        raise InputError(f"expected facenet-pytorch's weights in {path.name}, got {error}; {CURE}") from error
    for layer in network.layers:
        got = weights.get(f"{layer.name}.weight", np.empty(0, np.float32)).shape
        if got != layer.shape:
            raise InputError(f"{path.name}, {layer.name}: expected a weight of {layer.shape}, got {got}; {CURE}")
    return weights


def _license() -> str:
    """Reads the MIT notice from facenet-pytorch's wheel and names what it covers."""
    try:
        files = importlib.metadata.files("facenet-pytorch") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError(f"expected facenet-pytorch's licence, got no such package: {CURE}") from error
    notices = [file.read_text() for file in files if file.name.upper().startswith("LICENSE")]
    if not notices:
        raise InputError(f"expected facenet-pytorch's licence in its wheel, got none; {CURE}")
    return f"{ORIGIN}\n{notices[0].strip()}\n"


def _require(formats: Sequence[str]) -> None:
    """Refuse other formats, and those whose package is missing.

    Raises:
        UsageError: another format, or none.
        MissingExtraError: onnx or ai-edge-litert is not installed.
    """
    if not formats or not set(formats) <= set(FORMATS):
        raise UsageError(f"formats: expected {' or '.join(FORMATS)}, got {', '.join(formats) or 'none'}")
    if "onnx" in formats and importlib.util.find_spec("onnx") is None:
        raise MissingExtraError("onnx", "export")
    if "tflite" in formats:
        from .tflite_flatbuffer import load_schema

        load_schema()


def _bytes(network: Network, weights: Weights, format: str) -> bytes:
    if format == "onnx":
        return bytes(build(network, weights).SerializeToString(deterministic=True))
    from .mtcnn_tflite import build_tflite

    return build_tflite(network, weights)


def export(out: Path, *, weights: Path | None = None, formats: Sequence[str] = FORMATS) -> dict[str, str]:
    """Writes the three networks and their licence.

    Args:
        out: folder, made if it is not there.
        weights: folder with pnet.pt, rnet.pt and onet.pt; the installed facenet-pytorch's when None.
        formats: of the files, "onnx" and "tflite".

    Returns:
        SHA-256 of each file by name.

    Raises:
        InputError: the weights are missing, damaged or foreign.
        UsageError: another format.
        MissingExtraError: torch, onnx or ai-edge-litert is not installed.
    """
    _require(formats)
    source = find_weights() if weights is None else weights
    notice = _license()
    read = {network: read_weights(source / f"{network.name}.pt", network) for network in NETWORKS}
    files = {f"{network.name}.{kind}": _bytes(network, read[network], kind) for kind in formats for network in NETWORKS}
    out.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_whole(out / name, data)
    write_whole(out / "LICENSE", notice.encode())
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m edgefake_export.mtcnn", description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for pnet, rnet, onet and LICENSE")
    parser.add_argument("--weights", type=Path, help="folder with pnet.pt, rnet.pt, onet.pt")
    parser.add_argument("--formats", nargs="+", default=FORMATS, choices=FORMATS, help="of the files; both")
    options = parser.parse_args(arguments)
    try:
        digests = export(options.out, weights=options.weights, formats=options.formats)
    except EdgefakeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for name, digest in digests.items():
        print(f"{digest}  {(options.out / name).stat().st_size:7d}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
