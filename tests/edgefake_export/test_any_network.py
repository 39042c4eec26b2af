"""A tool for BitLinear, not for one network: both formats from Python, of networks that are not ours."""

import numpy as np
import pytest
import torch
from torch import nn

from edgefake.models import BitLinear, build
from edgefake.quantized import QuantizedLayer
from edgefake_export import resolve, round_network, to_onnx, to_tflite
from edgefake_export.rounding import parts_of
from edgefake_runtime.engine import open_engine
from edgefake_runtime.errors import ModelFileError, UsageError


def perceptron() -> nn.Module:
    """BitLinear among ordinary layers, with odd widths."""
    return nn.Sequential(nn.Linear(20, 27), nn.ReLU(), BitLinear(27, 30, bias=True), nn.Tanh(), BitLinear(30, 2))


def convolutional() -> nn.Module:
    """Our CNN with a ternary head."""
    network = build("cnn-nano")
    network.head = nn.Sequential(BitLinear(32, 16, bias=True), nn.ReLU(), BitLinear(16, 2, bias=True))
    return network


class Attending(nn.Module):
    """torch's own attention, which takes the weights of its layers, and a layer whose weight is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(32, 48))
        self.ternary = BitLinear(48, 96)
        self.head = nn.Linear(96, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.encoder(x)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        logits: torch.Tensor = self.head(self.ternary(self.normed(x)).mean(dim=1))
        return logits


NETWORKS = {
    "perceptron": (perceptron, (20,)),
    "cnn with a BitLinear head": (convolutional, (3, 32, 32)),
    "torch's own attention": (Attending, (5, 32)),
}


@pytest.mark.parametrize("format", ["onnx", "tflite"])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_file_computes_what_the_rounded_network_does(name, format):
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = make().eval()
    images = torch.randn(5, *shape)
    if format == "onnx":
        data = to_onnx(network, example=images[:1], bits=2).SerializeToString()
    else:
        data = to_tflite(network, example=images[:1], bits=2)
    engine = open_engine(data, 1)
    got = np.concatenate([engine.run(image[None].numpy()) for image in images])
    rounded = round_network(network, resolve(network, format=format, bits=2))
    with torch.no_grad():
        expected = rounded(images).numpy()
        unrounded = network(images).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-2 * np.sqrt(np.square(expected).mean()))
    assert (
        np.abs(got - unrounded).max() > np.abs(got - expected).max()
    )  # the 8-bit layers were rounded, and so in torch
    ternary = sum(m.weight.numel() for m in network.modules() if isinstance(m, BitLinear))
    assert len(data) < sum(p.numel() for p in network.parameters()) + ternary // 4 + 60_000


def test_a_network_stays_as_it_is():
    torch.manual_seed(0)
    network, images = Attending().eval(), torch.randn(2, 5, 32)
    with torch.no_grad():
        before = network(images)
        round_network(network, resolve(network, bits=2))
        assert torch.equal(network(images), before)
    assert nn.utils.parametrize.is_parametrized(network.normed)


class Twice(nn.Module):
    """Two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.ternary = BitLinear(8, 8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.ternary(x), x


@pytest.mark.parametrize("to", [to_onnx, to_tflite])
@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        (Twice(), (2, 8), "expected a network with one output, got a tuple of several"),
        (BitLinear(8, 2), (8,), r"expected an example with a batch, \(B, ...\), got \(8,\)"),
        (BitLinear(8, 2), (0, 8), "expected an example with a batch"),
        (nn.Sequential(BitLinear(8, 2)), (2, 9), r"expected an example that the network takes, got \(2, 9\): mat1"),
    ],
)
def test_an_example_or_output_that_does_not_fit(to, network, shape, message, capfd):
    with pytest.raises(UsageError, match=message):
        to(network, example=torch.zeros(shape))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("to", [to_onnx, to_tflite])
def test_weights_that_float16_does_not_hold(to):
    network = nn.Sequential(BitLinear(8, 8), nn.Linear(8, 2))
    with torch.no_grad():
        network[1].weight[0, 0] = 1e5
    with pytest.raises(ModelFileError, match=r"1: expected weights that 16 bits hold, got 100000; take --bits 32"):
        to(network, example=torch.zeros(1, 8), bits=16)


def test_parts_of_a_vit_a_cnn_and_a_stranger():
    parts = parts_of(build("bitvit-nano", distillation=True))
    assert len(parts.encoder) == 8
    assert parts.patches == ("tokenize.linear",)
    assert parts.rest == ("head.0", "head.3")  # no answer takes the distillation head
    assert parts_of(build("bitvit-nano-patches")).patches == ()
    assert "tokenize.linear" in parts_of(build("bitvit-nano-patches")).encoder
    assert all(name.startswith("blocks.") for name in parts_of(build("cnn-nano")).encoder)
    assert set(parts_of(build("cnn-nano")).rest) == {"stem.0", "head.0"}
    assert parts_of(perceptron()).rest == ("0",)
    assert parts_of(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))).encoder == ("0", "1")


def test_rounding_leaves_bitlinear_and_the_network_itself():
    network = build("bitvit-nano")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    rounded = round_network(network, resolve(network, bits=2))
    kinds = {name: type(module) for name, module in rounded.named_modules()}
    assert kinds["blocks.0.attention.qkv"] is BitLinear
    assert kinds["tokenize.linear"] is kinds["head.3"] is QuantizedLayer
    assert rounded.tokenize.linear.stored.bits == 4
    assert rounded.tokenize.linear.activations.method == "absmax"
    assert rounded.head[0].stored.bits == 8
    assert rounded.head[0].activations.method == "none"
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert network.training


def test_weights_at_sixteen_bits_are_float16_numbers():
    network = build("cnn-nano").eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_var.uniform_(0.5, 2)
                module.running_mean.normal_()
    rounded = round_network(network, resolve(network, bits=16))
    for module in rounded.modules():
        assert not isinstance(module, nn.BatchNorm2d)
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            assert torch.equal(module.weight, module.weight.half().float())
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        exact = network(image)
        assert float((rounded(image) - exact).abs().max()) < 1e-2 * float(exact.square().mean().sqrt())


def test_a_layer_used_twice_is_rounded_once():
    shared = nn.Linear(8, 8)
    network = nn.Sequential(shared, BitLinear(8, 8), shared)
    rounded = round_network(network, resolve(network, bits=2))
    assert isinstance(rounded[0], QuantizedLayer)
    assert rounded[0] is rounded[2]


def test_a_lone_layer_is_a_network():
    layer = BitLinear(12, 4)
    data = to_tflite(layer, example=torch.zeros(1, 12), bits=2)
    x = torch.randn(1, 12)
    np.testing.assert_allclose(open_engine(data, 1).run(x.numpy()), layer(x).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("write", [to_onnx, to_tflite])
def test_what_is_refused_from_python(write):
    network = perceptron()
    with pytest.raises(UsageError, match="ternary values need 2 bits"):
        write(network, example=torch.zeros(1, 20), bits=3)
    with pytest.raises(UsageError, match=r"name a manifest with --calibration|--style"):
        write(network, example=torch.zeros(1, 20), bits=2, style="qdq")
    with torch.no_grad():
        network[2].weight[0, 0] = float("nan")
    with pytest.raises(ModelFileError, match=r"2\.weight: expected finite weights"):
        write(network, example=torch.zeros(1, 20), bits=2)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_a_convolution_keeps_how_it_pads(mode):
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3, padding=1, padding_mode=mode), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 2)
    network = nn.Sequential(*layers).eval()
    images = torch.randn(3, 3, 6, 6)
    model = to_onnx(network, example=images, bits=8)
    with torch.no_grad():
        expected = round_network(network, resolve(network, bits=8))(images).numpy()
    got = open_engine(model.SerializeToString(), 1).run(images.numpy())
    np.testing.assert_allclose(got, expected, atol=1e-2 * np.sqrt(np.square(expected).mean()))


def test_a_convolution_of_one_weight_is_found_once():
    """It looks the same as an ordinary one and as one by channels."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)).eval()
    image = torch.randn(1, 1, 8, 8)
    data = to_tflite(network, example=image, bits=8)
    with torch.no_grad():
        expected = round_network(network, resolve(network, format="tflite", bits=8))(image).numpy()
    np.testing.assert_allclose(open_engine(data, 1).run(image.numpy()), expected, atol=1e-2)
