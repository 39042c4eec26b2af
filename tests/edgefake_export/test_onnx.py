"""Networks written as ONNX compute what torch computes, in the bits they claim."""

import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from edgefake.models import BitLinear, build
from edgefake.models.bitlinear import quantize_activations, ternarize
from edgefake.models.vit import Attention, shifted_patches
from edgefake_export import resolve, round_network, to_onnx
from edgefake_export.bits import unpack_levels
from edgefake_export.fold import fold
from edgefake_export.onnx_convert import OPSET, trace
from edgefake_export.onnx_lower import lower
from edgefake_export.onnx_ops import patches
from edgefake_export.onnx_tidy import share_zero_points
from edgefake_runtime.errors import MissingExtraError, ModelFileError, UsageError
from edgefake_runtime.parameters import count_parameters


def run(model: onnx.ModelProto, x: Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], {"image": x.numpy()})[0])


@cache
def exported(name: str, bits: int) -> tuple[nn.Module, onnx.ModelProto]:
    """A named network with random weights, and its file; made once a run."""
    torch.manual_seed(3)
    network = build(name).eval()
    side = network.config.image_size
    return network, to_onnx(network, example=torch.zeros(1, 3, side, side), bits=bits, other=32)


def packed(model: onnx.ModelProto) -> dict[str, TensorProto]:
    return {w.name: w for w in model.graph.initializer if w.name.endswith(".levels2")}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("sizes", [(48, 32), (5, 3), (384, 1536)])
def test_one_layer_is_torch_to_float_rounding(sizes: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(0)
    layer = BitLinear(*sizes, bias=bias).eval()
    x = torch.randn(64, sizes[0])
    levels, gamma = quantize_activations(x)
    ternary, scale = ternarize(layer.weight.detach())
    exact = (levels.long() @ ternary.T.long()).double() * scale.double() / gamma.double()
    got = run(to_onnx(layer, example=x, bits=2), x)
    expected = exact.numpy() + (layer.bias.detach().double().numpy() if bias else 0)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    with torch.no_grad():
        torch_says = layer(x).numpy()
    np.testing.assert_allclose(got, torch_says, rtol=1e-5, atol=2e-6 * np.abs(expected).max())


def test_the_integers_are_torch_s_to_the_last_bit() -> None:
    torch.manual_seed(1)
    layer = BitLinear(96, 40).eval()
    x = torch.randn(33, 96) * torch.logspace(-7, 6, 33)[:, None]  # rows under epsilon too
    x[3] = 0
    model = to_onnx(layer, example=x, bits=2)
    sums = next(node.output[0] for node in model.graph.node if node.op_type == "MatMulInteger")
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(sums, TensorProto.INT32, ["batch", 40]))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    levels, _ = quantize_activations(x)
    ternary, _ = ternarize(layer.weight.detach())
    expected = (levels.long() @ ternary.T.long()).numpy()
    np.testing.assert_array_equal(session.run([sums], {"image": x.numpy()})[0], expected)


def test_ties_round_to_even_as_in_torch() -> None:
    layer = BitLinear(4, 4).eval()
    with torch.no_grad():
        layer.weight.copy_(torch.eye(4))
    x = torch.tensor([[127.0, 0.5, 1.5, 2.5], [-127.0, -0.5, -1.5, -2.5]])
    got = run(to_onnx(layer, example=x, bits=2), x) / ternarize(layer.weight.detach())[1].item()
    np.testing.assert_allclose(got, [[127, 0, 2, 2], [-127, 0, -2, -2]], atol=1e-4)


class Perceptron(nn.Module):
    """BitLinear layers with and without bias among ordinary ones; one of them is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(20, 24)
        self.twice = BitLinear(24, 24, bias=True)
        self.last = BitLinear(24, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        return self.last(torch.relu(self.twice(self.twice(x))))


@pytest.mark.parametrize("bits", [2, 32])
@pytest.mark.parametrize("batch", [1, 3])
def test_mixed_network_agrees_at_any_batch(bits: int, batch: int) -> None:
    torch.manual_seed(2)
    network = Perceptron().eval()
    model = to_onnx(network, example=torch.zeros(1, 20), bits=bits, other=32)
    x = torch.randn(batch, 20)
    with torch.no_grad():
        expected = network(x).numpy()
    np.testing.assert_allclose(run(model, x), expected, atol=1e-5 * np.abs(expected).max())
    assert len(packed(model)) == (2 if bits == 2 else 0)


@pytest.mark.parametrize(
    ("name", "bits"),
    [("bitvit-nano", 2), ("bitvit-nano", 32), ("linvit-nano", 32), ("cnn-nano", 32), ("cnn-tiny", 32)],
)
def test_networks_agree_with_torch(name: str, bits: int) -> None:
    network, model = exported(name, bits)
    side = model.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    tolerance = 1e-2 if name.startswith("bitvit") else 1e-5
    for batch in (1, 3):
        x = torch.randn(batch, 3, side, side)
        with torch.no_grad():
            expected = network(x).numpy()
        assert np.abs(run(model, x) - expected).max() <= tolerance * np.sqrt(np.square(expected).mean())


def test_two_bits_a_weight_in_the_file() -> None:
    network, model = exported("bitvit-nano", 2)
    layers = {n: m for n, m in network.named_modules() if isinstance(m, BitLinear)}
    weights = packed(model)
    assert set(weights) == {f"{name}.levels2" for name in layers}
    assert sum(len(w.raw_data) for w in weights.values()) * 4 == sum(m.weight.numel() for m in layers.values())
    for name, layer in layers.items():
        stored = weights[f"{name}.levels2"]
        assert stored.data_type == TensorProto.UINT8
        expected = ternarize(layer.weight.detach())[0].T.numpy()
        np.testing.assert_array_equal(unpack_levels(stored.raw_data, 2, expected.shape), expected)
        # onnx's own reading of INT2 is the second opinion.
        typed = TensorProto(data_type=TensorProto.INT2, dims=expected.shape, raw_data=stored.raw_data)
        np.testing.assert_array_equal(numpy_helper.to_array(typed).astype(np.int8), expected)


@pytest.mark.parametrize("name", ["linvit-nano", "bitvit-nano", "cnn-tiny"])
def test_no_weight_is_stored_twice(name: str) -> None:
    network, model = exported(name, 32)
    buffers = sum(b.numel() for b in network.buffers() if b.is_floating_point())
    floats = sum(p.numel() for p in network.parameters()) + buffers
    assert sum(numpy_helper.to_array(w).size for w in model.graph.initializer) <= floats + 200


def test_runtime_folds_batchnorm_into_the_convolutions(tmp_path: Path) -> None:
    network, model = exported("cnn-nano", 32)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert "BatchNormalization" not in operators
    convolutions = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    assert sum(operator.endswith("Conv") for operator in operators) == convolutions


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("per", ["tensor", "channel"])
def test_a_static_cnn_runs_on_integer_convolutions(bits: int, per: str, tmp_path: Path) -> None:
    """All but the stem, whose activations stay floats: a file that is smaller and not slower."""
    torch.manual_seed(3)
    network = build("cnn-nano").eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    images = torch.randn(32, 3, 32, 32)
    model = to_onnx(network, example=images[:1], calibration=images, bits=bits, per=per, style="qdq")
    onnx.checker.check_model(model, full_check=True)
    rounded = round_network(network, resolve(network, bits=bits, per=per, style="qdq"), calibration=images)
    with torch.no_grad():
        expected = rounded(images).numpy()
    rms = np.sqrt(np.square(expected).mean())
    assert np.abs(run(model, images) - expected).mean() < 2e-2 * rms
    assert (
        np.abs(ReferenceEvaluator(model).run(None, {"image": images[:4].numpy()})[0] - expected[:4]).mean() < 2e-2 * rms
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    operators = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    convolutions = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    assert operators["QLinearConv"] == convolutions - 1
    assert operators["BatchNormalization"] == 0


def test_runtime_folds_the_cast_and_keeps_integer_products(tmp_path: Path) -> None:
    _, model = exported("bitvit-nano", 2)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    optimized = onnx.load(tmp_path / "optimized.onnx")
    products = [node for node in optimized.graph.node if node.op_type.startswith("MatMulInteger")]
    stored = {w.name: w.data_type for w in optimized.graph.initializer}
    assert len(products) == 8
    assert all(stored[node.input[1]] == TensorProto.INT8 for node in products)
    kinds = Counter(node.op_type for node in optimized.graph.node)
    assert kinds["Gather"] == 1  # of the patches; those of the weights are folded
    assert not kinds.keys() & {"Cast", "MatMulNBits", "Transpose"}
    assert kinds["Attention"] == len(exported("bitvit-nano", 2)[0].blocks)
    assert kinds["Expand"] == 1


@pytest.mark.parametrize(("bits", "older_runtimes"), [(2, False), (2, True), (4, True)])
def test_levels_need_not_fill_their_last_byte(bits: int, older_runtimes: bool) -> None:
    """15 levels of 2 or 4 bits, in a layer by itself and in one of a network."""
    torch.manual_seed(4)
    x = torch.randn(7, 5)
    for network in (BitLinear(5, 3).eval(), nn.Sequential(BitLinear(5, 3)).eval()):
        model = to_onnx(network, example=x, bits=bits, older_runtimes=older_runtimes)
        (stored,) = (w for w in model.graph.initializer if w.name in (f"levels{bits}", f"0.levels{bits}"))
        assert (stored.data_type, list(stored.dims)) == (TensorProto.UINT8, [-(-15 * bits // 8)])
        assert count_parameters(model.SerializeToString()) == 15
        with torch.no_grad():
            np.testing.assert_allclose(run(model, x), network(x).numpy(), rtol=1e-5, atol=1e-6)


class Summed(nn.Module):
    """Constants behind layers without a bias: rows, which look like one, and what does not."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(BitLinear(16, 16) for _ in range(3))
        self.row = nn.Parameter(torch.randn(*shape, 16))
        self.table = nn.Parameter(torch.randn(4, 16))

    def forward(self, x: Tensor) -> Tensor:
        x = self.row + self.layers[0](x)
        x = self.layers[1](x) + self.row
        return (self.layers[2](x) + self.table) + x


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_runtime_does_not_rescale_what_is_added_to_a_product(shape: tuple[int, ...]) -> None:
    """ONNX Runtime's own fusion of a product, its scales and a bias multiplies the bias too."""
    torch.manual_seed(5)
    network = Summed(*shape).eval()
    x = 50 * torch.randn(3, 4, 16)
    with torch.no_grad():
        expected = network(x).numpy()
    got = run(to_onnx(network, example=x, bits=2), x)
    np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())


class Pooled(nn.Module):
    """A layer on what is no row of a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = BitLinear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(x.mean(dim=0))


class Scaled(Attention):
    """Attention that does something else besides."""

    def forward(self, x: Tensor) -> Tensor:
        return 3 * super().forward(x)


@pytest.mark.parametrize("hooked", [False, True])
def test_attention_that_does_more_is_left_as_it_is(hooked: bool) -> None:
    torch.manual_seed(7)
    layer = Attention(16, 2, BitLinear) if hooked else Scaled(16, 2, BitLinear)
    if hooked:
        layer.register_forward_hook(lambda _, __, y: 2 * y)
    network = nn.Sequential(layer).eval()
    x = torch.randn(2, 5, 16)
    with torch.no_grad():
        expected = network(x).numpy()
    np.testing.assert_allclose(
        run(to_onnx(network, example=x, bits=2), x), expected, atol=1e-2 * np.abs(expected).max()
    )


def test_a_layer_takes_a_vector() -> None:
    torch.manual_seed(8)
    x = torch.randn(3, 8)
    network = Pooled().eval()
    with torch.no_grad():
        np.testing.assert_allclose(
            run(to_onnx(network, example=x, bits=2), x), network(x).numpy(), rtol=1e-4, atol=1e-6
        )


def test_layers_of_other_rows_have_zero_points_of_their_own() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.flat = BitLinear(8, 8), BitLinear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.flat(self.wide(self.wide(x)).mean(dim=1))

    torch.manual_seed(6)
    network = Two().eval()
    x = torch.randn(3, 5, 8)
    model = to_onnx(network, example=x, bits=2)
    assert [node.op_type for node in model.graph.node].count("Expand") == 2
    with torch.no_grad():
        np.testing.assert_allclose(run(model, x), network(x).numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("size", "height", "width"), [(4, 8, 12), (16, 32, 32), (6, 6, 18)])
def test_patches_are_gathered_to_the_bit(size: int, height: int, width: int) -> None:
    class Patches(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return patches(image, size)

    image = torch.randn(2, 3, height, width)
    model = trace(Patches(), image, OPSET)
    np.testing.assert_array_equal(run(model, image), shifted_patches(image, size).numpy())


def test_zero_layer_gives_its_bias() -> None:
    layer = BitLinear(8, 2, bias=True)
    nn.init.zeros_(layer.weight)
    folded = fold(layer)
    assert not folded.weight.any()
    assert folded.scale.item() == pytest.approx(1e-5)
    x = torch.randn(3, 8)
    expected = layer.bias.detach().expand(3, 2).numpy()
    np.testing.assert_array_equal(run(to_onnx(layer, example=x, bits=2), x), expected)


def test_the_network_is_left_alone() -> None:
    network = Perceptron()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    lower(network, bits=2)
    to_onnx(network, example=torch.zeros(2, 20), bits=2)
    assert network.training
    assert isinstance(network.last, BitLinear)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float) -> None:
    network = Perceptron()
    with torch.no_grad():
        network.twice.weight[2, 5] = value
    with pytest.raises(ModelFileError, match=r"twice\.weight: expected finite weights"):
        to_onnx(network, example=torch.zeros(1, 20), bits=2)


class Branching(nn.Module):
    """What no tracer can follow."""

    def forward(self, x: Tensor) -> Tensor:
        return x if float(x.sum()) > 0 else -x


def test_untraceable_network_is_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"torch\.onnx\.export can translate") as caught:
        to_onnx(Branching(), example=torch.zeros(1, 20), bits=32)
    assert "\n" not in str(caught.value)


def test_exporting_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    to_onnx(Perceptron(), example=torch.zeros(1, 20), bits=2)
    assert capfd.readouterr() == ("", "")


EXPORT = """
import sys, torch
from pathlib import Path
from edgefake.models import build
from edgefake_export import to_onnx
torch.manual_seed(0)
network = build("bitvit-nano")
for bits in (2, 32):
    model = to_onnx(network, example=torch.zeros(1, 3, 32, 32), bits=bits)
    Path(f"{bits}.onnx").write_bytes(model.SerializeToString(deterministic=True))
"""


def test_same_bytes_from_anywhere_and_no_trace_of_the_machine(tmp_path: Path) -> None:
    for seed, folder in enumerate(("here", "there")):
        (tmp_path / folder).mkdir()
        environment = os.environ | {"PYTHONHASHSEED": str(seed)}
        done = subprocess.run(
            [sys.executable, "-c", EXPORT],
            cwd=tmp_path / folder,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout + done.stderr == ""
    for bits in (2, 32):
        data = (tmp_path / "here" / f"{bits}.onnx").read_bytes()
        assert data == (tmp_path / "there" / f"{bits}.onnx").read_bytes()
        source = Path(to_onnx.__code__.co_filename).parent
        traces = [
            str(tmp_path),
            "/tmp",
            str(Path.home()),
            "site-packages",
            str(source),
            str(Path.cwd()),
            ".py",
        ]
        assert [trace for trace in [*traces, "pkg.torch", "stack_trace"] if trace.encode() in data] == []


def test_missing_package_names_the_extra(tmp_path: Path) -> None:
    for package in ("torch", "onnx", "onnxscript", "onnxslim"):
        code = f"import sys; sys.modules[{package!r}] = None; import edgefake_export; edgefake_export.to_onnx"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
        expected = f"{MissingExtraError.__name__}: this needs {package}, which is not installed"
        assert expected in done.stderr.splitlines()[-1]
        assert "edgefake[export]" in done.stderr


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, edgefake_export; print({'torch', 'onnx', 'onnxscript'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_what_the_branches_of_a_graph_read_stays() -> None:
    """Only zero-points are shared; an Expand of the network's own may be read inside an If alone."""

    def node(kind: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
        return helper.make_node(kind, inputs, [output], **attributes)

    branches = {
        f"{word}_branch": helper.make_graph(
            [node(kind, ["x", "e"], word)], word, [], [helper.make_tensor_value_info(word, TensorProto.FLOAT, None)]
        )
        for word, kind in (("then", "Add"), ("else", "Sub"))
    }
    nodes = [
        node("Shape", ["x"], "s"),
        node("Expand", ["c", "s"], "e"),
        node("Expand", ["c", "s"], "unread"),
        node("If", ["p"], "y", **branches),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.float32(1), "c"), numpy_helper.from_array(np.bool_(True), "p")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])
    before = model.SerializeToString()
    share_zero_points(model)
    assert model.SerializeToString() == before
