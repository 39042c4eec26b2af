"""Parameters counted in files, against the networks that they were made of and files made by hand."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edgefake.checkpoint import load_checkpoint
from edgefake.models import build
from edgefake_export import to_onnx, to_tflite
from edgefake_export.table import untrained
from edgefake_runtime.errors import ModelFileError
from edgefake_runtime.parameters import count_parameters
from edgefake_runtime.shipped import default_model, models_folder


def weights_of(network: nn.Module) -> int:
    """Elements of the matrices and kernels; biases and norms are vectors."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.ndim > 1)


@pytest.mark.parametrize("name", sorted(path.parent.name for path in models_folder().glob("*/config.json")))
def test_the_shipped_files_have_the_weights_of_their_checkpoint(name: str) -> None:
    expected = weights_of(load_checkpoint(models_folder() / name).network)
    for suffix in (".onnx", ".tflite"):
        data = (models_folder() / name / f"{name}-2bit{suffix}").read_bytes()
        assert count_parameters(data) == expected, suffix


@pytest.mark.parametrize(
    ("model", "bits", "more"),
    [
        ("bitvit-nano", 32, {}),
        ("bitvit-nano", 2, {"older_runtimes": True}),
        ("linvit-nano", 16, {}),
        ("linvit-nano", 8, {"per": "channel"}),
        ("cnn-nano", 8, {}),
    ],
)
def test_a_network_has_as_many_at_every_width(model: str, bits: int, more: dict[str, object]) -> None:
    network = untrained(model).network
    example = torch.zeros(2, 3, network.config.image_size, network.config.image_size)
    data = to_onnx(network, example=example, bits=bits, **more).SerializeToString()
    assert count_parameters(data) == weights_of(network)


@pytest.mark.parametrize(
    ("model", "bits", "more"),
    [("bitvit-nano", 2, {}), ("linvit-nano", 4, {"method": "zeropoint"}), ("cnn-nano", 8, {})],
)
def test_the_columns_that_tflite_needs_do_not_count(model: str, bits: int, more: dict[str, object]) -> None:
    network = untrained(model).network
    example = torch.zeros(2, 3, network.config.image_size, network.config.image_size)
    assert count_parameters(to_tflite(network, example=example, bits=bits, **more)) == weights_of(network)


def test_columns_of_zeros_that_a_network_has_itself_count() -> None:
    network = untrained("bitvit-nano").network
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear):
                module.weight[:, -3:] = 0
    example = torch.zeros(2, 3, network.config.image_size, network.config.image_size)
    assert count_parameters(to_tflite(network, example=example, bits=2)) == weights_of(network)


def test_a_graph_of_quantize_and_dequantize_has_as_many() -> None:
    network = build("linvit-nano").eval()
    size = network.config.image_size
    pictures = torch.rand(16, 3, size, size, generator=torch.Generator().manual_seed(0))
    model = to_onnx(network, example=pictures[:2], bits=8, style="qdq", calibration=pictures)
    assert count_parameters(model.SerializeToString()) == weights_of(network)


def made(nodes: list[onnx.NodeProto], **constants: np.ndarray) -> bytes:
    initializers = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def test_what_is_added_or_scales_is_no_parameter() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["a"]),
        helper.make_node("Add", ["a", "bias"], ["b"]),
        helper.make_node("Add", ["b", "positions"], ["c"]),
        helper.make_node("Mul", ["c", "scales"], ["y"]),
    ]
    data = made(nodes, weight=ones(4, 8), bias=ones(8), positions=ones(5, 8), scales=ones(1, 8))
    assert count_parameters(data) == 32


def test_a_weight_counts_once_and_through_what_only_unpacks_it() -> None:
    nodes = [
        helper.make_node("Transpose", ["weight"], ["turned"]),
        helper.make_node("Identity", ["turned"], ["same"]),
        helper.make_node("MatMul", ["x", "same"], ["a"]),
        helper.make_node("MatMul", ["a", "weight"], ["b"]),
        helper.make_node("Constant", [], ["inner"], value=numpy_helper.from_array(ones(3, 4))),
        helper.make_node("MatMul", ["b", "inner"], ["c"]),
        helper.make_node("MatMul", ["c", "c"], ["y"]),
    ]
    assert count_parameters(made(nodes, weight=ones(8, 4), unused=ones(50, 50))) == 32 + 12


def test_a_kernel_of_a_convolution_counts() -> None:
    nodes = [helper.make_node("Conv", ["x", "kernel", "bias"], ["y"])]
    assert count_parameters(made(nodes, kernel=ones(16, 3, 3, 3), bias=ones(16))) == 432


@pytest.mark.parametrize("data", [b"", b"no model", b"\x00\x00\x00\x00TFL3", b"\x1c\x00\x00\x00TFL3" + b"\xff" * 40])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(ModelFileError, match="expected a whole ONNX or TFLite file, got a damaged one"):
        count_parameters(data)


@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
def test_a_file_that_is_cut_off_is_refused(suffix: str, tmp_path: Path) -> None:
    data = default_model().with_suffix(suffix).read_bytes()
    with pytest.raises(ModelFileError, match="expected a whole ONNX or TFLite file, got a damaged one"):
        count_parameters(data[: len(data) // 2])
