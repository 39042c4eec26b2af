"""Networks written as TFLite compute what torch computes, in LiteRT, in the bits they claim."""

import copy
import hashlib
import importlib.util
import logging
import os
import random
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgefake.models import BitLinear, build
from edgefake.quantized import Activations, QuantizedLayer, store
from edgefake_export.bits import unpack_levels
from edgefake_export.fold import FloatBitLinear, fold
from edgefake_runtime.errors import MissingExtraError, UsageError
from edgefake_runtime.metadata import ModelMetadata

from ..edgefake_runtime.test_metadata import METADATA

if importlib.util.find_spec("litert_torch") is None:
    pytest.skip("needs litert-torch", allow_module_level=True)

from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgefake_export.tflite import write_tflite
from edgefake_export.tflite_convert import litert
from edgefake_export.tflite_flatbuffer import Model, parse

ROUNDING = 1e-5
"""Of float32 sums, over the sum of magnitudes."""


def quantized(
    layer: nn.Linear | nn.Conv2d,
    *,
    method: str = "absmax",
    bits: int = 8,
    per: str = "channel",
    activations: str = "absmax",
    activation_bits: int = 8,
) -> QuantizedLayer:
    stored = store(layer.weight.detach(), method=method, bits=bits, per=per)
    return QuantizedLayer(layer, stored, Activations(activations, activation_bits))


class Side(nn.Module):
    """Layers side by side: each takes its share of the image, and the answers are joined."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(layers)
        self.shares = {name: share_of(layer) for name, layer in layers.items()}

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([answer.flatten(1) for answer in self.answers(image).values()], dim=1)

    def answers(self, image: Tensor) -> dict[str, Tensor]:
        return {name: layer(self.shares[name](image)) for name, layer in self.layers.items()}


def share_of(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    """12 rows of (1, 3, 4, 35), as long as a linear layer takes them; (1, 4, 6, 8) of (1, 3, 8, 8) for a convolution.

    Its channels have groups, and its sides are odd ones for strides.
    """
    inner = layer.layer if isinstance(layer, QuantizedLayer) else layer
    if isinstance(inner, nn.Conv2d):
        return lambda image: image.reshape(-1, 4, 6, 8)
    assert isinstance(inner, nn.Linear)
    return lambda image: image.reshape(-1, 12, 35)[..., : inner.in_features]


@cache
def row_images() -> Tensor:
    """Rows that quantizers stumble over, among ordinary ones."""
    torch.manual_seed(5)
    image = torch.randn(2, 12, 35)
    image[0, 0] = 0
    image[0, 1] = image[0, 1].abs() + 0.5
    image[0, 2] = -image[0, 2].abs() - 3
    image[0, 3] *= 1e-7
    image[0, 4] = 0.7
    image[0, 5] *= 1e4
    image[0, 6] = torch.eye(35)[3]
    return image.reshape(2, 3, 4, 35)


@cache
def map_images() -> Tensor:
    torch.manual_seed(6)
    image = torch.randn(4, 3, 8, 8)
    image[1] = 0
    image[2] = image[2].abs() + 1
    image[3] *= 1e-6
    return image


WHOLE: dict[str, tuple[int, dict[str, Any]]] = {
    "absmax-8-tensor": (34, {"per": "tensor"}),
    "absmax-8-channel": (33, {}),
    "absmax-6-channel": (32, {"bits": 6}),
    "absmax-4-channel": (35, {"bits": 4}),
    "absmax-3-tensor": (33, {"bits": 3, "per": "tensor"}),
    "absmax-2-tensor": (35, {"bits": 2, "per": "tensor"}),
    "absmax-2-channel": (34, {"bits": 2}),
    "four-bit-activations": (35, {"bits": 4, "activation_bits": 4}),
    "zeropoint-8-tensor": (35, {"method": "zeropoint", "per": "tensor", "activations": "zeropoint"}),
    "zeropoint-8-channel": (34, {"method": "zeropoint", "activations": "zeropoint"}),
    "zeropoint-3-channel": (33, {"method": "zeropoint", "bits": 3, "activations": "zeropoint"}),
    "zeropoint-2-tensor": (32, {"method": "zeropoint", "bits": 2, "per": "tensor", "activations": "zeropoint"}),
    "zeropoint-weights": (35, {"method": "zeropoint", "activations": "absmax"}),
    "zeropoint-activations": (35, {"activations": "zeropoint", "activation_bits": 5}),
    "weights-alone": (35, {"activations": "none"}),
    "weights-alone-zeropoint": (33, {"method": "zeropoint", "activations": "none"}),
}
"""Inputs and kind of each quantized linear layer."""

CONTAINER = {8: 8, 6: 8, 4: 4, 3: 4, 2: 2}


@cache
def linear_layers() -> Side:
    torch.manual_seed(1)
    layers: dict[str, nn.Module] = {
        name: quantized(nn.Linear(inputs, 7), **kind) for name, (inputs, kind) in WHOLE.items()
    }
    layers |= {"bit": BitLinear(35, 9, bias=True), "bit-without-bias": BitLinear(32, 8)}
    return Side(layers).eval()


CONVOLUTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "8-bits": ({"kernel_size": 3, "padding": 1}, {}),
    "8-bits-stride": ({"kernel_size": 3, "stride": 2, "padding": 1}, {"per": "tensor"}),
    "8-bits-zeropoint": ({"kernel_size": 3, "padding": 1}, {"method": "zeropoint", "activations": "zeropoint"}),
    "8-bits-groups": ({"kernel_size": 3, "groups": 2}, {"method": "zeropoint", "activations": "zeropoint"}),
    "8-bits-depthwise": ({"kernel_size": 3, "groups": 4, "padding": 1}, {}),
    "8-bits-depthwise-zeropoint": ({"kernel_size": (3, 1), "groups": 4}, {"method": "zeropoint", "per": "tensor"}),
    "weights-alone": ({"kernel_size": 1}, {"activations": "none"}),
    "3-bits": ({"kernel_size": 3, "padding": 1}, {"bits": 3}),
    "2-bits-strides": ({"kernel_size": (5, 3), "stride": (2, 3), "padding": (2, 1)}, {"bits": 2, "per": "tensor"}),
    "2-bits-point": ({"kernel_size": 1, "stride": 2}, {"bits": 2}),
    "4-bits-zeropoint-weights": ({"kernel_size": 2}, {"bits": 4, "method": "zeropoint"}),
    "4-bits-depthwise": ({"kernel_size": 3, "groups": 4}, {"bits": 4}),
    "one-row-kernel": ({"kernel_size": (1, 7), "padding": (0, 3)}, {"bits": 4}),
}
"""Shape and kind of each quantized convolution of 4 channels."""


@cache
def convolutions() -> Side:
    torch.manual_seed(2)
    outputs = {"8-bits-groups": 6, "8-bits-depthwise": 8}
    layers: dict[str, nn.Module] = {
        name: quantized(nn.Conv2d(4, outputs.get(name, 4), **shape), **kind)
        for name, (shape, kind) in CONVOLUTIONS.items()
    }
    return Side(layers).eval()


@cache
def linear_file() -> bytes:
    return write_tflite(linear_layers(), example=row_images(), bits=2)


@cache
def convolution_file() -> bytes:
    return write_tflite(convolutions(), example=map_images(), bits=2)


def interpreter(data: bytes, *, builtin: bool = False) -> Any:
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if builtin else OpResolverType.AUTO
    opened = Interpreter(model_content=data, experimental_op_resolver_type=resolver, num_threads=1)
    opened.allocate_tensors()
    return opened


def run(data: bytes, images: Tensor, *, builtin: bool = False) -> Tensor:
    runner = interpreter(data, builtin=builtin).get_signature_runner("serving_default")
    return torch.from_numpy(np.concatenate([runner(image=image[None].numpy())["logits"] for image in images]))


def partitions(data: bytes) -> int:
    """XNNPACK's; all operators are in it where it is 1, from the input to the output."""
    opened = interpreter(data)
    delegates = [step for step in opened._get_ops_details() if step["op_name"] == "DELEGATE"]
    if len(delegates) == 1:
        computed = {int(i) for step in opened._get_ops_details() for i in step["outputs"]}
        assert opened.get_output_details()[0]["index"] in delegates[0]["outputs"]
        assert not computed & set(map(int, delegates[0]["inputs"]))
    return len(delegates)


def stored(data: bytes) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Type, shape and bytes of each named constant."""
    model = parse(data)
    types = {number: name for name, number in vars(model.schema.TensorType).items() if not name.startswith("_")}
    return {
        tensor.name.decode(): (types[tensor.type], tuple(map(int, tensor.shape)), model.constant(tensor).tobytes())
        for tensor in model.graph.tensors
        if tensor.name is not None and model.constant(tensor) is not None
    }


def split(joined: Tensor, answers: dict[str, Tensor]) -> dict[str, Tensor]:
    parts = joined.split([answer[0].numel() for answer in answers.values()], dim=1)
    return {name: part.reshape(answer.shape) for (name, answer), part in zip(answers.items(), parts, strict=True)}


def assert_rounds_alike(side: Side, images: Tensor, got: Tensor, name: str) -> None:
    """Nearly all outputs to float32 rounding; a tie may fall to the other side, which moves one input by one level."""
    with torch.no_grad():
        expected = side.answers(images)
        layer = side.layers[name]
        x = side.shares[name](images)
        inner = layer.layer if isinstance(layer, QuantizedLayer) else layer
        weight = inner.weight if isinstance(layer, QuantizedLayer) else fold(layer).dequantized
        dims = (-1,) if isinstance(inner, nn.Linear) else (-3, -2, -1)
        spread = (x.amax(dims, keepdim=True) - x.amin(dims, keepdim=True)).clamp(min=1e-5)
        largest = x.abs().amax(dims, keepdim=True).clamp(min=1e-5)
        bits = layer.activations.bits if isinstance(layer, QuantizedLayer) else 8
        level = torch.maximum(spread, 2 * largest) / (2**bits - 2) * weight.abs().max()
        sums = (largest + level) * weight.abs().flatten(1).sum(1).max()
        sums = sums if inner.bias is None else sums + inner.bias.abs().max()
    error = (split(got, expected)[name] - expected[name]).abs()
    assert bool((error <= 1.01 * level + ROUNDING * sums).all()), float((error / level).max())
    assert float((error <= ROUNDING * sums).float().mean()) > 0.95


@pytest.mark.parametrize("name", [*WHOLE, "bit", "bit-without-bias"])
def test_a_linear_layer_is_torchs(name: str) -> None:
    images = row_images()
    assert_rounds_alike(linear_layers(), images, run(linear_file(), images), name)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_is_torchs(name: str) -> None:
    images = map_images()
    assert_rounds_alike(convolutions(), images, run(convolution_file(), images), name)


def test_every_form_is_one_xnnpack_partition() -> None:
    assert partitions(linear_file()) == 1
    assert partitions(convolution_file()) == 1


FOUR_BITS = ("absmax-4-channel", "absmax-3-tensor", "four-bit-activations", "zeropoint-3-channel")
"""Without XNNPACK LiteRT rounds the activations of 4-bit layers otherwise, over [-a, a], whatever the file says."""


@pytest.mark.parametrize("name", [name for name in (*WHOLE, "bit", "bit-without-bias") if name not in FOUR_BITS])
def test_without_xnnpack_a_linear_layer_is_torchs_too(name: str) -> None:
    images = row_images()
    assert_rounds_alike(linear_layers(), images, run(linear_file(), images, builtin=True), name)


@pytest.mark.parametrize("name", [name for name in CONVOLUTIONS if not name.startswith(("3", "one"))])
def test_without_xnnpack_a_convolution_is_torchs_too(name: str) -> None:
    images = map_images()
    assert_rounds_alike(convolutions(), images, run(convolution_file(), images, builtin=True), name)


@pytest.mark.parametrize("name", WHOLE)
def test_levels_take_the_bits_that_their_names_say(name: str) -> None:
    inputs, kind = WHOLE[name]
    width = CONTAINER[kind.get("bits", 8)]
    type_name, (outputs, columns), data = stored(linear_file())[f"layers.{name}.levels{width}"]
    assert (type_name, outputs, len(data)) == (f"INT{width}", 7, 7 * columns * width // 8)
    layer = linear_layers().layers[name]
    assert isinstance(layer, QuantizedLayer)
    levels = unpack_levels(data, width, (7, columns))
    np.testing.assert_array_equal(levels[:, :inputs], layer.stored.levels.numpy())
    assert not levels[:, inputs:].any()
    if layer.activations.method == "none" or int(levels.min()) == -128:
        assert columns == inputs  # LiteRT makes floats of them
    else:
        assert columns % 4 == 0
        assert inputs + 2 <= columns < inputs + 6


def test_bit_linear_takes_two_bits() -> None:
    type_name, shape, data = stored(linear_file())["layers.bit.levels2"]
    assert (type_name, shape, len(data)) == ("INT2", (9, 40), 90)
    layer = linear_layers().layers["bit"]
    assert isinstance(layer, BitLinear)
    np.testing.assert_array_equal(unpack_levels(data, 2, shape)[:, :35], fold(layer).weight.T.numpy())


def test_a_small_depthwise_kernel_stays_in_xnnpack_at_8_bits() -> None:
    names = stored(convolution_file())
    assert names["layers.4-bits-depthwise.levels8"][:2] == ("INT8", (1, 3, 3, 4))
    assert names["layers.3-bits.levels4"][0] == "INT4"
    assert names["layers.2-bits-strides.levels2"][:2] == ("INT2", (4, 64))  # 5 * 3 * 4, two ends, two spare


@pytest.mark.parametrize(("bits", "type_name"), [(4, "INT4"), (8, "INT8"), (32, "FLOAT32")])
def test_wider_ternary_weights_give_the_same_answers(bits: int, type_name: str) -> None:
    torch.manual_seed(7)
    side = Side({"a": BitLinear(35, 8, bias=True), "b": BitLinear(34, 8)}).eval()
    data = write_tflite(side, example=row_images(), bits=bits)
    got = run(data, row_images())
    for name in ("a", "b"):
        assert_rounds_alike(side, row_images(), got, name)
    assert partitions(data) == 1
    types = {
        name.split(".")[-1]: kind for name, (kind, _, _) in stored(data).items() if "weight" in name or "lev" in name
    }
    assert types == {("weight" if bits == 32 else f"levels{bits}"): type_name}


def test_older_runtimes_get_four_bits() -> None:
    torch.manual_seed(8)
    side = Side({"a": BitLinear(35, 8), "b": quantized(nn.Linear(35, 8), bits=2)}).eval()
    data = write_tflite(side, example=row_images(), bits=2, least=4)
    assert {name: kind for name, (kind, _, _) in stored(data).items() if "levels" in name} == {
        "layers.a.levels4": "INT4",
        "layers.b.levels4": "INT4",
    }
    assert_rounds_alike(side, row_images(), run(data, row_images()), "b")


def test_narrow_weights_alone_run_outside_xnnpack() -> None:
    torch.manual_seed(9)
    kinds: dict[str, dict[str, Any]] = {"four": {"bits": 4}, "two": {"bits": 2, "per": "tensor"}}
    side = Side({n: quantized(nn.Linear(33, 8), activations="none", **k) for n, k in kinds.items()}).eval()
    data = write_tflite(side, example=row_images(), bits=2)
    got = run(data, row_images())
    for name in kinds:
        assert_rounds_alike(side, row_images(), got, name)
    assert {n: (k, len(d)) for n, (k, _, d) in stored(data).items() if "levels" in n} == {
        "layers.four.levels4": ("INT4", 132),
        "layers.two.levels2": ("INT2", 66),
    }


class Twice(nn.Module):
    """One layer in two places, two equal ones, one of zeros, one of ones, and one that no answer takes."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.equal, self.idle = BitLinear(36, 36), BitLinear(36, 36), BitLinear(36, 4)
        self.equal.load_state_dict(self.twice.state_dict())
        self.zeros, self.ones = BitLinear(36, 36, bias=True), quantized(nn.Linear(36, 36), bits=4)
        nn.init.zeros_(self.zeros.weight)
        ones = nn.init.ones_(nn.Linear(36, 36).weight)
        self.ones = quantized(nn.Linear(36, 36), bits=4)
        self.ones = QuantizedLayer(
            nn.Linear(36, 36), store(ones.detach(), method="absmax", bits=4), Activations("absmax")
        )
        self.again = self.twice

    def forward(self, image: Tensor) -> Tensor:
        x = image.reshape(-1, 12, 36)
        first = self.twice(x)
        answers = [first, self.again(first), self.equal(x), self.zeros(x), self.ones(x)]
        return torch.cat(answers, dim=1).flatten(1)


def test_layers_used_twice_equal_constant_and_idle() -> None:
    torch.manual_seed(10)
    network = Twice().eval()
    images = torch.randn(3, 3, 4, 36)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    data = write_tflite(network, example=images, bits=2)
    with torch.no_grad():
        expected = network(images)
    assert float((run(data, images) - expected).abs().max()) < 1e-3 * float(expected.abs().max())
    names = stored(data)
    assert set(names) >= {"twice.levels2", "equal.levels2", "zeros.levels2", "ones.levels4"}
    assert not [name for name in names if name.startswith(("idle", "again"))]
    assert not any(names["zeros.levels2"][2])
    assert data.count(names["twice.levels2"][2]) == 1  # the bytes that `equal` has too
    assert {name: value for name, value in network.state_dict().items() if not torch.equal(value, before[name])} == {}


class Normed(nn.Module):
    """Layers behind which a converter merges a norm, with gains of either sign and one of zero."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = quantized(nn.Conv2d(3, 6, 3, padding=1, bias=False), activations="none")
        self.depthwise = quantized(nn.Conv2d(6, 6, 3, groups=6), method="zeropoint", activations="none")
        self.norms = nn.ModuleList([nn.BatchNorm2d(6), nn.BatchNorm2d(6), nn.BatchNorm1d(8)])
        self.linear, self.last = BitLinear(6, 8, bias=True), nn.Linear(8, 2)
        for norm in self.norms:
            nn.init.uniform_(norm.weight, -2, 2)
            nn.init.uniform_(norm.bias, -1, 1)
            nn.init.uniform_(norm.running_mean, -1, 1)
            nn.init.uniform_(norm.running_var, 0.5, 2)
        self.norms[0].weight.data[1] = 0

    def forward(self, image: Tensor) -> Tensor:
        x = self.norms[1](self.depthwise(self.norms[0](self.convolution(image))))
        return self.last(self.norms[2](self.linear(x.mean((2, 3)))))


def test_norms_that_the_converter_merges_into_stored_weights() -> None:
    torch.manual_seed(11)
    network = Normed().eval()
    images = torch.randn(3, 3, 9, 9)
    data = write_tflite(network, example=images, bits=2)
    with torch.no_grad():
        expected = network(images)
    assert float((run(data, images) - expected).abs().max()) < 1e-4
    assert partitions(data) == 1
    kinds = [int(operator.opcodeIndex) for operator in parse(data).graph.operators]
    codes = parse(data)
    multiply = [codes.kind(codes.root.operatorCodes[kind]) == codes.schema.BuiltinOperator.MUL for kind in kinds]
    assert sum(multiply) <= 4, "norms were not merged, so that this test shows nothing"


class MLP(nn.Module):
    """A network that is none of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), BitLinear(75, 64, bias=True), nn.GELU(), nn.LayerNorm(64), BitLinear(64, 10, bias=True)
        )

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.layers(image)
        return found


def relative_error(data: bytes, network: nn.Module, images: Tensor) -> float:
    """Largest difference of the logits over their rms, one image at a time; verdicts must agree."""
    with torch.no_grad():
        expected = torch.cat([network(image[None]) for image in images])
    got = run(data, images)
    assert torch.equal(got.argmax(1), expected.argmax(1))
    return float((got - expected).abs().max() / expected.square().mean().sqrt())


def test_any_network_of_bit_linear() -> None:
    torch.manual_seed(12)
    network = MLP().eval()
    images = torch.randn(8, 3, 5, 5)
    data = write_tflite(network, example=images, bits=2)
    assert relative_error(data, network, images) < 1e-2
    assert partitions(data) == 1


def test_a_cnn_with_a_ternary_head() -> None:
    torch.manual_seed(13)
    network = build("cnn-nano").eval()
    network.head = nn.Sequential(BitLinear(32, 16, bias=True), nn.ReLU(), BitLinear(16, 2, bias=True))
    network.stem[0] = quantized(network.stem[0])
    images = torch.randn(4, 3, 32, 32)
    data = write_tflite(network, example=images, bits=2)
    assert relative_error(data, network, images) < 1e-2
    assert partitions(data) == 1
    assert {name for name in stored(data) if "levels" in name} == {"head.0.levels2", "head.2.levels2", "stem.0.levels8"}


@cache
def vit() -> nn.Module:
    """A small BitViT as it is exported: rounded patch embedding and head, and norms that are not all ones."""
    torch.manual_seed(14)
    network = build("bitvit-nano").eval()
    for name, value in network.named_parameters():
        if "norm" in name:
            nn.init.uniform_(value, 0.5, 1.5)
    network.tokenize.linear = quantized(network.tokenize.linear, bits=4)
    network.head[0] = quantized(network.head[0], activations="none")
    return network


@cache
def vit_images() -> Tensor:
    torch.manual_seed(15)
    return torch.randn(6, 3, 32, 32)


@cache
def vit_file() -> bytes:
    return write_tflite(vit(), example=vit_images(), bits=2, metadata=METADATA)


def test_bitvit_in_one_file() -> None:
    data = vit_file()
    assert data[4:8] == b"TFL3"
    assert relative_error(data, vit(), vit_images()) < 1e-2
    assert partitions(data) == 1
    opened = interpreter(data)
    (given,), (made,) = opened.get_input_details(), opened.get_output_details()
    assert (given["name"], list(given["shape"]), given["dtype"]) == ("image", [1, 3, 32, 32], np.float32)
    assert (made["name"], list(made["shape"])) == ("logits", [1, 2])
    assert opened.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["logits"]}}


def test_metadata_are_the_only_entry() -> None:
    model = parse(vit_file())
    (entry,) = model.root.metadata
    assert entry.name == b"edgefake"
    text = bytes(model.root.buffers[entry.buffer].data).decode()
    assert ModelMetadata.from_json(text) == METADATA


def test_a_norms_gain_and_a_layers_scale_are_one_constant() -> None:
    network, names = vit(), stored(vit_file())
    block = network.blocks[0].attention
    gain, scale = block.norm_qkv.weight.detach().numpy(), float(fold(block.qkv).scale)
    product = np.frombuffer(names["blocks.0.attention.norm_qkv.weight"][2], np.float32)
    np.testing.assert_array_equal(product, gain * np.float32(scale))


def test_positions_stay_two_small_terms() -> None:
    sizes = [len(model_bytes) for _, _, model_bytes in stored(vit_file()).values()]
    model = parse(vit_file())
    floats = [model.floats(tensor) for tensor in model.graph.tensors]
    table = 16 * 32  # tokens by width
    assert max(sizes) > 4 * table  # the file has larger constants
    assert not [values for values in floats if values is not None and values.size == table]


def test_little_beside_the_weights() -> None:
    model = parse(vit_file())
    constants = sum(
        len({bytes(b.data) for b in model.root.buffers if b.data is not None} and b.data) for b in used(model)
    )
    assert len(vit_file()) - constants < 100 * len(model.graph.operators)
    assert (
        len({tensor.name for tensor in model.graph.tensors if model.constant(tensor) is None}) == 3
    )  # both ends, none


def used(model: Model) -> list[Any]:
    return [buffer for buffer in model.root.buffers if buffer.data is not None and len(buffer.data)]


def test_buffers_lie_where_runtimes_can_read_them() -> None:
    data = vit_file()
    for _, _, values in stored(data).values():
        if len(values) >= 64:
            assert data.index(values) % 16 == 0


def test_half_precision() -> None:
    torch.manual_seed(16)
    network = nn.Sequential(nn.Flatten(), nn.Linear(75, 64), nn.ReLU(), BitLinear(64, 32), nn.Linear(32, 2)).eval()
    network[1].weight.data = network[1].weight.data.half().float()
    network[3] = FloatBitLinear(fold(network[3]), half=True)
    images = torch.randn(4, 3, 5, 5)
    data = write_tflite(network, example=images, bits=16, half=True)
    assert relative_error(data, network, images) < 1e-2
    assert partitions(data) == 1
    types = {name: (kind, len(values)) for name, (kind, _, values) in stored(data).items()}
    assert (types["1.half"], types["3.half"]) == (("FLOAT16", 2 * 75 * 64), ("FLOAT16", 2 * 64 * 32))
    assert types["4.weight"] == ("FLOAT32", 4 * 64)
    whole = stored(write_tflite(network, example=images, bits=32))
    assert {kind for kind, _, _ in whole.values()} == {"FLOAT32"}


SCRIPT = """
import hashlib, sys, torch
from edgefake.models import build
from edgefake.quantized import Activations, QuantizedLayer, store
from edgefake_export.tflite import write_tflite
torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)
network = build("bitvit-nano").eval()
for index in (0, 3):
    layer = network.head[index]
    stored = store(layer.weight.detach(), method="absmax", bits=8, per="channel")
    network.head[index] = QuantizedLayer(layer, stored, Activations("none"))
print(hashlib.sha256(write_tflite(network, example=torch.zeros(2, 3, 32, 32), bits=2)).hexdigest())
"""


def test_the_same_bytes_from_any_folder_process_and_thread_count(tmp_path: Path) -> None:
    found = []
    for threads, folder, seed in (("1", tmp_path, "1"), ("2", Path("/"), "2")):
        environment = os.environ | {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads}
        command = [sys.executable, "-c", SCRIPT, threads]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        found.append(done.stdout)
    assert found[0] == found[1]
    assert len(found[0].strip()) == hashlib.sha256().digest_size * 2


def test_nothing_is_printed_and_nothing_stays_changed(capfd: pytest.CaptureFixture[str]) -> None:
    import jax

    def state() -> list[Any]:
        loggers = {
            n: (g.level, g.propagate, g.disabled)
            for n, g in logging.root.manager.loggerDict.items()
            if hasattr(g, "level")
        }
        return [
            logging.root.manager.disable,
            list(logging.root.handlers),
            loggers,
            dict(os.environ),
            torch.get_rng_state().tolist(),
            random.getstate(),
            torch.get_default_dtype(),
            jax.config.jax_enable_x64,
            torch.is_grad_enabled(),
        ]

    jax.config.update("jax_enable_x64", False)
    litert(nn.Flatten().eval(), torch.zeros(1, 3, 2, 2))
    capfd.readouterr()
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    before = state()
    print("before")
    litert(network, torch.zeros(1, 3, 2, 2))
    print("after")
    after = state()
    after[2] = {name: after[2][name] for name in before[2]}
    assert after == before
    assert capfd.readouterr() == ("before\nafter\n", "")


class Complex(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return torch.linalg.svd(image[0, 0])[1]


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (MLP(), {"bits": 3}, "expected 2, 4, 8, 16 or 32 bits"),
        (MLP(), {"bits": 2, "least": 16}, "expected 2, 4, 8, 16 or 32 bits"),
        (MLP(), {"bits": 2, "example": torch.zeros(1, 3, 6, 6)}, r"got \(1, 3, 6, 6\)"),
        (Complex(), {"bits": 2}, "litert-torch can translate"),
    ],
)
def test_what_cannot_be_written(network: nn.Module, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_tflite(network, **({"example": torch.zeros(1, 3, 5, 5)} | options))


@pytest.mark.parametrize(
    ("rounding", "weight", "message"),
    [
        (Activations("static", scale=0.1), {}, "layer: expected activations that are rounded while running"),
        (Activations("absmax", thesis_range=True), {}, "layer: expected activation levels that 8 bits hold"),
        (Activations("absmax"), {"thesis_range": True}, "layer: expected levels that 8 bits hold, got -128 to 128"),
    ],
)
def test_what_litert_has_no_form_for(rounding: Activations, weight: dict[str, Any], message: str) -> None:
    linear = nn.Linear(12, 2)
    linear.weight.data[0, :2] = torch.tensor([1.0, -1.0])
    rounded = store(linear.weight.detach(), method="absmax", bits=8, **weight)
    network = nn.Sequential()
    network.add_module("flatten", nn.Flatten())
    network.add_module("layer", QuantizedLayer(linear, rounded, rounding))
    with pytest.raises(UsageError, match=message):
        write_tflite(network, example=torch.zeros(1, 3, 2, 2), bits=2)


def test_a_converter_that_loses_a_weight_is_refused() -> None:
    torch.manual_seed(17)
    network = MLP().eval()

    def forgetful(module: nn.Module, example: Tensor) -> bytes:
        other = copy.deepcopy(module)
        for tensor in other.buffers():
            tensor.mul_(torch.rand_like(tensor))
        return litert(other, example)

    with pytest.raises(UsageError, match=r"layers\.1\.levels2: expected a converter that keeps the layer's weight"):
        write_tflite(network, example=torch.zeros(1, 3, 5, 5), bits=2, converter=forgetful)


def test_another_converter_gets_one_image_and_a_float_network() -> None:
    torch.manual_seed(18)
    network, seen = MLP().eval(), []

    def watching(module: nn.Module, example: Tensor) -> bytes:
        seen.append(
            (module.training, tuple(example.shape), [type(m) for m in module.modules() if isinstance(m, BitLinear)])
        )
        return litert(module, example)

    images = torch.randn(5, 3, 5, 5)
    data = write_tflite(network, example=images, bits=2, converter=watching)
    assert seen == [(False, (1, 3, 5, 5), [])]
    assert data == write_tflite(network, example=images[:1], bits=2)


@pytest.mark.parametrize("package", ["litert_torch", "ai_edge_litert"])
def test_a_missing_package_is_named_with_its_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package}.*edgefake\[tflite\]"):
        write_tflite(MLP(), example=torch.zeros(1, 3, 5, 5), bits=2)


@pytest.mark.slow
def test_bitvit_s16_is_as_small_as_promised() -> None:
    torch.manual_seed(19)
    network = build("bitvit-s16").eval()
    for name, value in network.named_parameters():
        if "norm" in name:
            nn.init.uniform_(value, 0.5, 1.5)
    network.tokenize.linear = quantized(network.tokenize.linear, bits=4)
    for index, layer in enumerate(network.head):
        if isinstance(layer, nn.Linear):
            network.head[index] = quantized(layer, activations="none")
    images = torch.randn(2, 3, 224, 224)
    data = write_tflite(network, example=images, bits=2, metadata=METADATA)
    assert len(data) <= 6.6e6
    assert partitions(data) == 1
    assert relative_error(data, network, images) < 2e-2
