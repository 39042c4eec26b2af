"""What is counted in a model file is what lies in it."""

import hashlib
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgefake.models import BitLinear, build
from edgefake_export import to_onnx
from edgefake_export.contents import Need, Port, Stored, read_contents, read_plan
from edgefake_runtime import ModelMetadata
from edgefake_runtime.errors import ModelFileError
from edgefake_runtime.shipped import DEFAULT_MODEL, default_model, models_folder

from ..edgefake_runtime.test_metadata import METADATA
from .small_tflite import Layer, linear_file

FLOAT = np.float32


def weight(name: str, *shape: int) -> TensorProto:
    return numpy_helper.from_array(np.ones(shape, FLOAT), name)


def packed(name: str, kind: int, raw: bytes, *shape: int) -> TensorProto:
    return TensorProto(name=name, data_type=kind, dims=shape, raw_data=raw)


def onnx_file(path: Path, nodes: list, weights: list, *, opset: int = 18, ir_version: int = 8, **extra: str) -> Path:
    """A graph from `image` (batch, 4) to `logits`, written as it is, valid or not."""
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 4]) for n in ("image", "logits")]
    graph = helper.make_graph(nodes, "test", ports[:1], ports[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    helper.set_model_props(model, extra)
    path.write_bytes(model.SerializeToString())
    return path


def matmul(left: str, right: str, out: str, name: str = "") -> onnx.NodeProto:
    return helper.make_node("MatMul", [left, right], [out], name)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Every kind of name and width: 2, 4, 8, 16, 32, 64 bits."""
    nodes = [
        helper.make_node("Cast", ["blocks.0.fc.levels2"], ["two"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["tokenize.linear.levels4"], ["four"], to=TensorProto.FLOAT),
        matmul("image", "four", "a", "tokenize/MatMul"),
        matmul("a", "two", "b", "blocks.0.fc/MatMul"),
        matmul("b", "val_7", "c", "blocks.1.fc/MatMul"),
        helper.make_node("Transpose", ["val_8"], ["turned"]),
        matmul("c", "turned", "d", "head.0/MatMul"),
        helper.make_node("Mul", ["d", "blocks.0.norm.weight"], ["e"], "blocks.0.norm/Mul"),
        helper.make_node("Add", ["e", "val_9"], ["f"], "blocks.0/Add"),
        helper.make_node("Add", ["f", "val_9"], ["g"], "head/Add"),
        helper.make_node("Reshape", ["g", "view/shape"], ["logits"], "head/Reshape"),
    ]
    weights = [
        packed("blocks.0.fc.levels2", TensorProto.INT2, b"\x01" * 4, 4, 4),
        packed("tokenize.linear.levels4", TensorProto.INT4, b"\x01" * 8, 4, 4),
        numpy_helper.from_array(np.ones((4, 4), np.float16), "head.3.weight"),
        packed("head.levels8", TensorProto.INT8, b"\x01" * 5, 5),
        weight("blocks.0.norm.weight", 4),
        weight("rows", 3, 1, 2),
        weight("columns", 1, 3, 2),
        weight("val_7", 4, 4),
        weight("val_8", 4, 4),
        weight("val_9", 4),
        numpy_helper.from_array(np.array([-1, 4]), "view/shape"),
    ]
    return onnx_file(tmp_path / "mixed.onnx", nodes, weights, opset=25, ir_version=13)


def test_bytes_and_weights_by_part_and_width(mixed: Path) -> None:
    contents = read_contents(mixed)
    assert contents.bits_by_part == {
        "head": {8: (5, 5), 16: (16, 32), 32: (16, 64), 64: (2, 16)},
        "encoder": {2: (16, 4), 32: (16, 64)},
        "positions": {32: (12, 48)},
        "norms": {32: (4, 16)},
        "other constants": {32: (4, 16)},
        "patch embedding": {4: (16, 8)},
    }
    assert [part.bytes for part in contents.parts] == [117, 68, 48, 16, 16, 8]
    assert contents.widths[32] == Stored(52, 208)
    assert list(contents.widths) == [2, 4, 8, 16, 32, 64]


def test_what_is_left_of_the_file_is_the_graph(mixed: Path) -> None:
    contents = read_contents(mixed)
    assert contents.bytes == mixed.stat().st_size
    assert contents.sha256 == hashlib.sha256(mixed.read_bytes()).hexdigest()
    assert sum(part.bytes for part in contents.parts) + contents.graph_bytes == contents.bytes
    bare = onnx.load(mixed)
    for tensor in bare.graph.initializer:
        tensor.ClearField("raw_data")
    rest = len(bare.SerializeToString())
    assert rest < contents.graph_bytes <= rest + 8 * len(bare.graph.initializer)  # a tag and a length for each


def test_ports_operators_and_versions(mixed: Path) -> None:
    contents = read_contents(str(mixed))
    assert contents.format == "ONNX"
    assert contents.inputs == (Port("image", "float32", ("batch", 4)),)
    assert contents.outputs == (Port("logits", "float32", ("batch", 4)),)
    counts = [("MatMul", 4), ("Add", 2), ("Cast", 2), ("Mul", 1), ("Reshape", 1), ("Transpose", 1)]
    assert list(contents.operators.items()) == counts
    assert contents.versions == {"opset": 25, "IR version": 13}
    assert contents.metadata is None
    assert contents.parts[-1].bits == 4
    assert contents.needs == Need("onnxruntime", "1.24", ("opset 25", "IR version 13", "INT2"))


@pytest.mark.parametrize(
    ("opset", "ir_version", "need"),
    [
        (13, 7, Need("onnxruntime", "1.6", ())),
        (18, 8, Need("onnxruntime", "1.14", ("opset 18",))),
        (23, 11, Need("onnxruntime", "1.24", ("opset 23",))),
        (21, 10, Need("onnxruntime", "1.18", ("opset 21", "IR version 10"))),
        (18, 11, Need("onnxruntime", "1.23", ("IR version 11",))),
        (24, 10, Need("onnxruntime", "1.24", ("opset 24",))),
        (99, 10, Need("onnxruntime", None, ("opset 99",))),
    ],
)
def test_the_newest_thing_inside_names_the_runtime(tmp_path: Path, opset: int, ir_version: int, need: Need) -> None:
    nodes = [matmul("image", "w", "logits")]
    file = onnx_file(tmp_path / "m.onnx", nodes, [weight("w", 4, 4)], opset=opset, ir_version=ir_version)
    assert read_contents(file).needs == need


def test_weights_in_typed_fields_constants_and_branches_count_too(tmp_path: Path) -> None:
    typed = TensorProto(name="stem.weight", data_type=TensorProto.FLOAT, dims=[4, 4], float_data=[1.0] * 16)
    constant = helper.make_node("Constant", [], ["head.weight"], value=weight("", 4, 4))
    inner = helper.make_graph(
        [helper.make_node("Add", ["a", "blocks.0.weight"], ["branch"])],
        "branch",
        [],
        [helper.make_tensor_value_info("branch", TensorProto.FLOAT, None)],
        [weight("blocks.0.weight", 4)],
    )
    nodes = [
        matmul("image", "stem.weight", "a"),
        constant,
        helper.make_node("If", ["yes"], ["b"], then_branch=inner, else_branch=inner),
        matmul("b", "head.weight", "logits", "head/MatMul"),
    ]
    contents = read_contents(onnx_file(tmp_path / "m.onnx", nodes, [typed]))
    assert contents.operators == {"Add": 2, "MatMul": 2, "Constant": 1, "If": 1}
    assert contents.bits_by_part["head"] == {32: (16, 64)}
    assert contents.bits_by_part["blocks"] == {32: (8, 32)}
    ((weights, size),) = contents.bits_by_part["stem"].values()
    assert weights == 16
    assert 64 <= size <= 68  # with tag and length


def test_weights_in_other_files_are_said_to_be_there(tmp_path: Path) -> None:
    file = onnx_file(tmp_path / "m.onnx", [matmul("image", "head.w", "logits")], [weight("head.w", 400, 400)])
    onnx.save(onnx.load(file), tmp_path / "apart.onnx", save_as_external_data=True, location="weights.bin")
    contents = read_contents(tmp_path / "apart.onnx")
    assert (contents.external, contents.parts) == (160_000, ())
    assert contents.bytes == contents.graph_bytes < 1000


def test_parts_of_foreign_networks_have_their_own_names(tmp_path: Path) -> None:
    assert {part.name for part in read_contents(models_folder() / "mtcnn" / "onet.onnx").parts} == {
        *("conv1", "conv2", "conv3", "conv4", "dense5", "heads", "other constants")
    }
    nodes = [matmul("image", "onnx::MatMul_9", "a", "/layer1/fc/MatMul"), matmul("a", "model.layer2.w", "logits")]
    file = onnx_file(tmp_path / "m.onnx", nodes, [weight("onnx::MatMul_9", 4, 4), weight("model.layer2.w", 4, 4)])
    assert {part.name for part in read_contents(file).parts} == {"layer1", "model"}
    layers = [Layer(f"a.b.Net/a.b.Block_{i};", 4, 4, 32) for i in range(2)]
    (tmp_path / "m.tflite").write_bytes(linear_file(*(Layer(f"{x.name[:-1]}/a.fc;", 4, 4, 32) for x in layers)))
    assert {part.name for part in read_contents(tmp_path / "m.tflite").parts} == {"Block_0", "Block_1"}


def test_an_exported_network_has_the_weights_that_torch_has(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build("bitvit-nano").eval()
    for parameter in network.parameters():  # equal gains would be stored once
        torch.nn.init.normal_(parameter)
    side = network.config.image_size
    model = to_onnx(network, example=torch.zeros(1, 3, side, side), bits=2)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    found = read_contents(tmp_path / "m.onnx").bits_by_part
    ternary = sum(layer.weight.numel() for layer in network.modules() if isinstance(layer, BitLinear))
    assert found["encoder"][2] == (ternary, ternary // 4)
    assert sum(weights for weights, _ in found["head"].values()) >= sum(p.numel() for p in network.head.parameters())
    assert max(weights for weights, _ in found["patch embedding"].values()) == network.tokenize.linear.weight.numel()
    gains = sum(p.numel() for name, p in network.named_parameters() if "norm" in name)
    assert found["norms"][32] == (gains, 4 * gains)
    assert read_plan(tmp_path / "m.onnx").error is None


def test_bytes_that_hold_several_levels_count_as_levels(tmp_path: Path) -> None:
    """Of files for older runtimes: the name says the width, the type is a byte."""
    levels = packed("blocks.0.fc.levels2", TensorProto.UINT8, b"\x55" * 6, 6, 1)
    file = onnx_file(tmp_path / "m.onnx", [matmul("image", "blocks.0.fc.levels2", "logits")], [levels])
    assert read_contents(file).bits_by_part == {"blocks": {2: (24, 6)}}


def test_metadata_are_read_from_both_formats(tmp_path: Path) -> None:
    text = METADATA.to_json()
    shipped = read_contents(default_model())
    assert isinstance(shipped.metadata, ModelMetadata)
    assert shipped.metadata.name == DEFAULT_MODEL
    assert shipped.metadata_bytes == len(shipped.metadata.to_json())
    entries = {"edgefake": text, "min_runtime_version": "1.14"}
    (tmp_path / "m.tflite").write_bytes(linear_file(Layer("head.levels8", 4, 2, 8), metadata=entries))
    contents = read_contents(tmp_path / "m.tflite")
    assert contents.metadata == METADATA
    assert contents.metadata_bytes == len(text) + len("1.14")


def test_damaged_metadata_are_refused(tmp_path: Path) -> None:
    data = linear_file(Layer("head.levels8", 4, 2, 8), metadata={"edgefake": '{"schema": 1}'})
    (tmp_path / "m.tflite").write_bytes(data)
    with pytest.raises(ModelFileError, match=r"m\.tflite: the model's metadata are damaged"):
        read_contents(tmp_path / "m.tflite")


def test_tflite_counts_weights_scales_and_zero_points(tmp_path: Path) -> None:
    layers = [
        Layer("tokenize.linear.levels4", 16, 8, 4),
        Layer("blocks.0.fc.levels2", 8, 12, 2),
        Layer("head.0.weight", 12, 3, 32),
    ]
    (tmp_path / "m.tflite").write_bytes(linear_file(*layers))
    contents = read_contents(tmp_path / "m.tflite")
    assert contents.bits_by_part == {
        "patch embedding": {4: (128, 64), 32: (8, 32), 64: (8, 64)},
        "encoder": {2: (96, 24), 32: (12, 48), 64: (12, 96)},
        "head": {32: (36, 144)},
    }
    assert contents.graph_bytes == contents.bytes - 160 - 168 - 144 > 0
    assert contents.operators == {"FULLY_CONNECTED": 3}
    assert contents.inputs == (Port("image", "float32", (1, 16)),)
    assert contents.outputs == (Port("logits", "float32", (1, 3)),)
    assert (contents.format, contents.producer, contents.versions) == ("TFLite", "a test", {"schema": 3})
    assert contents.needs == Need("ai-edge-litert", "2.1.2", ("INT2",))


def test_a_shared_buffer_counts_once(tmp_path: Path) -> None:
    layers = [Layer(f"blocks.{i}.weight", 8, 8, 32) for i in range(3)]
    for shared in (False, True):
        (tmp_path / f"{shared}.tflite").write_bytes(linear_file(*layers, shared=shared))
    assert read_contents(tmp_path / "False.tflite").widths == {32: Stored(192, 768)}
    assert read_contents(tmp_path / "True.tflite").widths == {32: Stored(64, 256)}


def test_partitions_of_xnnpack_and_what_stays_outside(tmp_path: Path) -> None:
    (tmp_path / "one.tflite").write_bytes(linear_file(*(Layer(f"{i}.w", 8, 8, bits) for i, bits in enumerate((32, 2)))))
    plan = read_plan(tmp_path / "one.tflite")
    assert (plan.partitions, plan.operators, plan.error) == (1, {}, None)
    assert plan.runtime.startswith("ai-edge-litert ")
    sizes = [(8, 6, 32), (6, 8, 2), (8, 8, 32)]  # XNNPACK takes no 2-bit layer of 6 inputs
    (tmp_path / "two.tflite").write_bytes(linear_file(*(Layer(f"{i}.w", *size) for i, size in enumerate(sizes))))
    plan = read_plan(tmp_path / "two.tflite")
    assert (plan.partitions, plan.operators) == (2, {"FULLY_CONNECTED": 1})


def test_what_onnx_runtime_makes_of_the_graph(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["w"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Gemm", ["image", "wide"], ["a"]),
        helper.make_node("Relu", ["a"], ["logits"]),
    ]
    weights = [numpy_helper.from_array(np.ones((4, 4), np.int8), "w")]
    plan = read_plan(onnx_file(tmp_path / "m.onnx", nodes, weights))
    assert plan.operators == {"com.microsoft.FusedGemm": 1}  # the Cast is folded
    assert plan.runtime == f"onnxruntime {onnxruntime.__version__}"


def test_a_file_that_the_runtime_refuses_is_counted_all_the_same(tmp_path: Path) -> None:
    node = helper.make_node("Warp", ["image", "head.w"], ["logits"], domain="somewhere")
    file = onnx_file(tmp_path / "m.onnx", [node], [weight("head.w", 4, 4)])
    assert read_contents(file).operators == {"somewhere.Warp": 1}
    plan = read_plan(file)
    assert plan.operators == {}
    assert plan.error is not None
    assert "Warp" in plan.error


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_a_cut_file_is_refused_wherever_it_is_cut(kind: str, tmp_path: Path) -> None:
    whole = tflite_bytes() if kind == "tflite" else (models_folder() / "mtcnn" / "pnet.onnx").read_bytes()
    for length in {*range(8, len(whole), len(whole) // 40), *(len(whole) - n for n in (1, 2, 8, 32, 64))}:
        file = tmp_path / f"{length}.{kind}"
        file.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match=rf"{length}\.{kind}: expected"):
            inspected(file)


def inspected(file: Path) -> None:
    read_contents(file)
    read_plan(file)


def tflite_bytes() -> bytes:
    return linear_file(Layer("blocks.0.levels2", 16, 16, 2), Layer("head.levels4", 16, 4, 4), Layer("2.w", 4, 2, 32))


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_a_damaged_file_is_counted_or_refused_and_never_more(kind: str, tmp_path: Path) -> None:
    whole = tflite_bytes() if kind == "tflite" else (models_folder() / "mtcnn" / "pnet.onnx").read_bytes()
    refused = 0
    for seed in range(300):
        rng = random.Random(seed)
        data = bytearray(whole)
        for _ in range(rng.choice((1, 4, 30))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / "m").write_bytes(data)
        try:
            contents = read_contents(tmp_path / "m")
        except ModelFileError:
            refused += 1
        else:
            assert contents.graph_bytes >= 0
    assert 0 < refused < 300


def test_a_tensor_of_another_size_than_its_bytes_is_refused(tmp_path: Path) -> None:
    wrong = packed("head.w", TensorProto.INT4, b"\x01" * 9, 4, 4)
    file = onnx_file(tmp_path / "m.onnx", [matmul("image", "head.w", "logits")], [wrong])
    with pytest.raises(ModelFileError, match=r"head\.w: expected 16 values of 4 bits, got 9 bytes"):
        read_contents(file)


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(linear_file(Layer("0.w", 4, 4, 32)))
    for package, extra, file in (("onnx", "export", default_model()), ("ai_edge_litert", "litert", "m.tflite")):
        code = (
            f"import sys; sys.modules[{package!r}] = None\n"
            f"from edgefake_export.contents import read_contents\nread_contents({str(file)!r})"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
        assert f"MissingExtraError: this needs {package}" in done.stderr.splitlines()[-1]
        assert f"edgefake[{extra}]" in done.stderr


def test_operators_in_a_circle_end(tmp_path):
    """Each of n that read what all of them write was followed n^5 times."""
    nodes = [onnx.helper.make_node("Identity", ["w"], ["w"]) for _ in range(100)]
    weight = onnx.numpy_helper.from_array(np.zeros(4, np.float32), "w")
    graph = onnx.helper.make_graph(nodes, "circle", [], [], [weight])
    path = tmp_path / "circle.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    assert read_contents(path).operators == {"Identity": 100}
