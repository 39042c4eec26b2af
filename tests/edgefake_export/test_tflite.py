"""Networks written as TFLite compute what torch computes, in LiteRT; the files are small, alike and quiet to make."""

import copy
import hashlib
import importlib.util
import logging
import os
import random
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgefake.models import BitLinear, build
from edgefake.quantized import Activations, QuantizedLayer, store
from edgefake_export.fold import FloatBitLinear, fold
from edgefake_runtime.engine import open_engine
from edgefake_runtime.errors import MissingExtraError, UsageError
from edgefake_runtime.metadata import ModelMetadata

from ..edgefake_runtime.test_metadata import METADATA

if importlib.util.find_spec("litert_torch") is None:
    pytest.skip("needs litert-torch", allow_module_level=True)

from edgefake_export.tflite import to_tflite, write_tflite
from edgefake_export.tflite_convert import litert
from edgefake_export.tflite_flatbuffer import parse

from .tflite_answers import interpreter, partitions, quantized, relative_error, run, stored


class Twice(nn.Module):
    """One layer in two places, two equal ones, one of zeros, one of ones, and one that no answer takes."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.equal, self.idle = BitLinear(36, 36), BitLinear(36, 36), BitLinear(36, 4)
        self.equal.load_state_dict(self.twice.state_dict())
        self.zeros, ones = BitLinear(36, 36, bias=True), nn.Linear(36, 36)
        nn.init.zeros_(self.zeros.weight)
        nn.init.ones_(ones.weight)
        self.ones = quantized(ones, bits=4)
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
    buffers = {bytes(buffer.data) for buffer in model.root.buffers if buffer.data is not None}
    assert len(vit_file()) - sum(map(len, buffers)) < 100 * len(model.graph.operators)
    assert {t.name for t in model.graph.tensors if model.constant(t) is None} == {b"image", b"logits", None}


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
from edgefake_export.tflite import to_tflite, write_tflite
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


def test_jax_keeps_its_numbers_when_litert_torch_is_first_imported() -> None:
    probe = (
        "import jax, torch; from edgefake_export.tflite_convert import litert; "
        "litert(torch.nn.Flatten().eval(), torch.zeros(1, 3, 2, 2)); print(jax.config.jax_enable_x64)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stderr


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


def test_equal_weights_share_their_bytes_and_widen() -> None:
    """As the layers of a network that was grown are, before it has learned: the file has one of each."""
    torch.manual_seed(0)
    network = nn.Sequential(BitLinear(64, 64), nn.Tanh(), BitLinear(64, 64), nn.Tanh(), BitLinear(64, 64))
    apart = to_tflite(network, example=torch.zeros(1, 64), bits=2)
    for layer in (network[2], network[4]):
        layer.load_state_dict(network[0].state_dict())
    data = to_tflite(network, example=torch.zeros(1, 64), bits=2)
    assert len(data) < len(apart) - 2 * 64 * 64 // 4 + 200
    x = torch.randn(1, 64)
    with torch.no_grad():
        expected = network(x).numpy()
    for widen in (False, True):
        found = open_engine(data, 1, widen=widen).run(x.numpy())
        np.testing.assert_allclose(found, expected, atol=1e-5)
