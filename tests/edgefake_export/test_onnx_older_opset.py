"""Graphs lowered to opset 13 compute what they computed, and the others are left alone."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edgefake.models import BitLinear
from edgefake_export import to_onnx
from edgefake_export.onnx_older_opset import OLD_OPSET, lower_opset

X = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
REDUCTIONS = ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare"]


def graph_of(*nodes, opset=18, **constants):
    """From `x` (2, 3, 4) to `y`, of any shape."""
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", X.shape), ("y", None))
    ]
    graph = helper.make_graph(list(nodes), "g", ports[:1], ports[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, run(model).shape))
    model.graph.CopyFrom(graph)
    return model


def node(kind, *inputs, **attributes):
    return helper.make_node(kind, inputs, ["y"], **attributes)


def run(model):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": np.abs(X) + 1})[0]


def lowered(model):
    """The version that it got, and whether it still computes the same."""
    before = run(model)
    lower_opset(model)
    version = model.opset_import[0].version
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_array_equal(run(model), before)
    return version


@pytest.mark.parametrize("kind", REDUCTIONS)
@pytest.mark.parametrize("keepdims", [0, 1])
def test_axes_of_reductions_become_attributes(kind, keepdims):
    model = graph_of(
        node(f"Reduce{kind}", "x", "axes", keepdims=keepdims, noop_with_empty_axes=0), axes=np.array([0, -1])
    )
    assert lowered(model) == OLD_OPSET
    assert list(model.graph.node[0].input) == ["x"]
    assert not model.graph.initializer
    assert helper.get_node_attr_value(model.graph.node[0], "axes") == [0, -1]


def test_a_reduction_over_everything_needs_no_axes():
    assert lowered(graph_of(node("ReduceMax", "x"))) == OLD_OPSET


def test_axes_that_are_computed_stay():
    cast = helper.make_node("Cast", ["a"], ["axes"], to=TensorProto.INT64)
    assert lowered(graph_of(cast, node("ReduceMax", "x", "axes"), a=np.array([1], np.int32))) == 18


def test_a_reduction_over_nothing_stays():
    assert lowered(graph_of(node("ReduceMax", "x", noop_with_empty_axes=1))) == 18


def test_sums_had_their_axes_as_an_input_already():
    model = graph_of(node("ReduceSum", "x", "axes"), axes=np.array([1]))
    assert lowered(model) == OLD_OPSET
    assert list(model.graph.node[0].input) == ["x", "axes"]


def test_operators_that_only_took_more_types_are_kept():
    two = np.full((1,), 2, np.float32)
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["a"]),
        helper.make_node("Pow", ["a", "two"], ["b"]),
        helper.make_node("Reshape", ["b", "shape"], ["c"], allowzero=1),
        helper.make_node("Pad", ["c", "pads"], ["d"]),
        node("Relu", "d"),
    ]
    assert lowered(graph_of(*nodes, two=two, shape=np.array([-1, 4]), pads=np.array([0, 1, 0, 1]))) == OLD_OPSET


def test_what_the_older_opset_cannot_say_stays():
    shape = helper.make_node("Shape", ["x"], ["s"], start=1)
    assert lowered(graph_of(shape, node("Cast", "s", to=TensorProto.FLOAT))) == 18
    pads = {"pads": np.array([1, 1]), "axes": np.array([2])}
    assert lowered(graph_of(node("Pad", "x", "pads", "", "axes"), **pads)) == 18
    scale = np.ones(4, np.float32)
    assert lowered(graph_of(node("LayerNormalization", "x", "scale"), scale=scale)) == 18


def test_a_shape_of_nothing_stays():
    empty = helper.make_node("Slice", ["x", "zero", "zero"], ["e"])
    model = graph_of(
        empty, node("Reshape", "e", "shape", allowzero=1), zero=np.array([0]), shape=np.array([0, 5], np.int64)
    )
    assert lowered(model) == 18


@pytest.mark.parametrize("opset", [11, 13])
def test_older_graphs_are_left_alone(opset):
    model = graph_of(node("ReduceMax", "x", axes=[1]), opset=opset)
    before = model.SerializeToString()
    assert lowered(model) == opset
    assert model.SerializeToString() == before


@pytest.mark.parametrize(
    ("middle", "opset", "ir_version"), [(nn.ReLU(), OLD_OPSET, 7), (nn.LayerNorm(8, elementwise_affine=False), 18, 8)]
)
def test_files_for_older_runtimes_have_the_smallest_versions_and_the_same_answers(middle, opset, ir_version):
    torch.manual_seed(0)
    network = nn.Sequential(BitLinear(16, 8), middle, BitLinear(8, 2)).eval()
    x = torch.randn(4, 16)
    older = to_onnx(network, example=x, bits=2, older_runtimes=True)
    assert (older.opset_import[0].version, older.ir_version) == (opset, ir_version)
    session = onnxruntime.InferenceSession(older.SerializeToString(), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        np.testing.assert_allclose(session.run(None, {"image": x.numpy()})[0], network(x).numpy(), rtol=0, atol=1e-5)
