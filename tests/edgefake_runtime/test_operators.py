"""Times of operators from both runtimes' own profilers, of networks whose slowest operator is known."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgefake_runtime import litert_profiler
from edgefake_runtime.engine import open_engine
from edgefake_runtime.errors import ModelFileError
from edgefake_runtime.latency import example_input
from edgefake_runtime.operators import SLOWEST, OperatorTimes, operator_times
from edgefake_runtime.shipped import default_model

TFLITE = default_model().with_suffix(".tflite")


def two_products() -> bytes:
    """One of 2048 x 2048, one of 2048 x 2, and a ReLU."""
    nodes = [
        helper.make_node("MatMul", ["x", "large"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="second"),
        helper.make_node("MatMul", ["b", "small"], ["y"], name="third"),
    ]
    random = np.random.default_rng(0)
    weights = {"large": random.standard_normal((2048, 2048)), "small": random.standard_normal((2048, 2))}
    initializers = [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()]
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [8, 2048]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [8, 2]),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_the_larger_product_takes_the_time() -> None:
    found = operator_times(two_products(), np.ones((8, 2048), np.float32), runs=5, threads=1)
    assert found.count == 3
    assert (found.slowest[0].name, found.slowest[0].kind) == ("first", "MatMul")
    assert found.slowest[0].share > 0.8
    assert sum(each.ms for each in found.slowest) == pytest.approx(found.total_ms)
    assert set(found.kinds) == {"MatMul", "Relu"}
    assert sum(found.kinds.values()) == pytest.approx(1)


def test_the_shipped_onnx_file_names_its_ten_slowest() -> None:
    data = default_model().read_bytes()
    found = operator_times(data, example_input(open_engine(data, 1)), runs=3, threads=1)
    times = [each.ms for each in found.slowest]
    assert len(times) == SLOWEST < found.count
    assert times == sorted(times, reverse=True)
    assert found.total_ms > sum(times) > 0
    assert {"MatMulIntegerToFloat", "Attention", "Conv"} <= set(found.kinds)


@pytest.mark.parametrize(("widened", "kernel"), [(False, "QC2W"), (True, "QC8W")])
def test_litert_tells_the_operators_inside_xnnpack(widened: bool, kernel: str) -> None:
    """The encoder's 32 linear layers show their 2-bit weights, or the 8 bits that these run as."""
    data = TFLITE.read_bytes()
    found = operator_times(data, example_input(open_engine(data, 1)), runs=3, threads=1, widened=widened)
    assert found.count > 100
    assert len(found.slowest) == SLOWEST
    linear = [kind for kind in found.kinds if kind.startswith("Fully Connected") and kernel in kind]
    assert len(linear) == 1
    assert found.kinds[linear[0]] > 0.1
    assert sum(found.kinds.values()) == pytest.approx(1)


def test_an_older_litert_is_not_even_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litert_profiler, "installed_version", lambda package: "2.1.2")
    data = TFLITE.read_bytes()
    with pytest.raises(ModelFileError, match=r"2\.1\.2 does not tell: pip install -U ai-edge-litert for 2\.2 or newer"):
        operator_times(data, example_input(open_engine(data, 1)), runs=1, threads=1)


def test_operators_that_take_no_time_have_no_share() -> None:
    found = OperatorTimes.of([("a", "Reshape", 0.0), ("b", "Reshape", 0.0)])
    assert (found.count, found.total_ms, found.kinds) == (2, 0.0, {"Reshape": 0.0})
    assert [each.share for each in found.slowest] == [0.0, 0.0]
