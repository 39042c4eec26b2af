"""Each form of a layer in a TFLite file computes what the layer computes in torch, in the bits that its name says."""

import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgefake.models import BitLinear
from edgefake.quantized import QuantizedLayer
from edgefake_export.bits import unpack_levels
from edgefake_export.fold import fold

if importlib.util.find_spec("litert_torch") is None:
    pytest.skip("needs litert-torch", allow_module_level=True)

from edgefake_export.tflite import write_tflite

from .tflite_answers import partitions, quantized, run, stored

ROUNDING = 1e-5
"""Of float32 sums, over the sum of magnitudes."""


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
