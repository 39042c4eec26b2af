"""One interface to both runtimes, and what the runtime says about versions and processors."""

import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgefake_runtime import Classifier, ModelFileError, UsageError, needs
from edgefake_runtime.classifier import read_metadata
from edgefake_runtime.engine import OnnxEngine, Port, open_engine
from edgefake_runtime.errors import first_line
from edgefake_runtime.model_file import is_tflite
from edgefake_runtime.needs import Need, OnnxFacts, is_older, onnx_facts, onnx_need
from edgefake_runtime.session import open_session, saturates
from edgefake_runtime.shipped import default_model, models_folder

from .test_metadata import METADATA
from .tflite_files import tflite_file

EXACT = "session.x64quantprecision"


def product(weight, *, opset=13, ir_version=8):
    """An ONNX file: y int32 = (a uint8 - 128) @ weight."""
    rows, columns = weight.shape
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "weight", "zero"], ["y"])],
        "product",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, ["rows", rows])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, ["rows", columns])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(np.uint8(128), "zero")],
    )
    model = helper.make_model(graph, ir_version=ir_version, opset_imports=[helper.make_opsetid("", opset)])
    return model.SerializeToString()


def weight_of(low, high):
    return np.random.default_rng(0).integers(low, high, (64, 16)).astype(np.int8)


def test_the_format_is_told_by_content_not_by_name(tmp_path):
    (tmp_path / "really.onnx").write_bytes(tflite_file())
    (tmp_path / "really.tflite").write_bytes(default_model().read_bytes())
    tflite, ours = Classifier(tmp_path / "really.onnx"), Classifier(tmp_path / "really.tflite")
    assert (tflite.metadata, ours.metadata) == (METADATA, Classifier().metadata)
    assert ours.widened is False
    assert is_tflite(tflite_file())
    assert not is_tflite(default_model().read_bytes())


def test_an_onnx_file_behind_the_interface():
    engine = open_engine(default_model().read_bytes(), 1)
    engine.start()
    size = read_metadata(engine).input_size
    assert isinstance(engine, OnnxEngine)
    assert (engine.inputs, engine.outputs) == ((Port("image", (None, 3, size, size)),), (Port("logits", (None, 2)),))
    assert (engine.inputs[0].sizes, engine.batch, engine.widened) == ((1, 3, size, size), None, False)
    batch = np.random.default_rng(0).normal(size=(3, 3, size, size)).astype(np.float32)
    session = open_session(default_model().read_bytes(), 1)
    assert engine.run(batch) == pytest.approx(session.run(None, {"image": batch})[0], abs=1e-5)


@pytest.mark.parametrize("data", [b"x", b"not a model at all", b"\x00" * 100, b"\x08\x08", b"PK\x03\x04" + bytes(60)])
def test_neither_format_is_refused_with_both_names(data):
    with pytest.raises(ModelFileError, match="expected an ONNX or TFLite file, got neither"):
        open_engine(data)


def test_widening_an_onnx_file_is_refused_and_leaving_it_narrow_is_not():
    with pytest.raises(UsageError, match="2-bit weights, got an ONNX file"):
        Classifier(widen=True)
    assert Classifier(widen=False).widened is False


@pytest.mark.parametrize("data", [default_model().read_bytes(), tflite_file()])
@pytest.mark.parametrize("threads", [0, -1, 1025])
def test_impossible_threads_are_refused_for_both_formats(data, threads):
    with pytest.raises(UsageError, match="threads: expected 1 to 1024"):
        open_engine(data, threads)


def test_who_runs_onnx_loads_nothing_of_litert():
    probe = "import sys; from edgefake_runtime import Classifier; Classifier(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=120)
    assert "edgefake_runtime.engine" in done.stdout
    assert "litert" not in done.stdout
    assert "tflite" not in done.stdout


# What a file asks of its runtime


@pytest.mark.parametrize("path", sorted(models_folder().rglob("*.onnx")), ids=lambda path: path.name)
def test_facts_are_those_that_onnx_reads(path):
    model = onnx.load(path)
    found = onnx_facts(path.read_bytes())
    (opset,) = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    rounded = {"UINT8", "INT8", "UINT4", "INT4", "UINT2", "INT2"}
    types = {TensorProto.DataType.Name(weight.data_type) for weight in model.graph.initializer}
    assert found == OnnxFacts(model.ir_version, opset, frozenset(types & rounded))


def test_facts_of_every_rounded_type_and_of_another_domains_opset():
    model = onnx.load_from_string(product(weight_of(-2, 2)))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 99))
    for kind in (TensorProto.INT4, TensorProto.UINT4, TensorProto.INT2, TensorProto.UINT2):
        model.graph.initializer.append(helper.make_tensor(f"w{kind}", kind, [4], [0, 1, 1, 0]))
    types = {"INT8", "UINT8", "INT4", "UINT4", "INT2", "UINT2"}
    assert onnx_facts(model.SerializeToString()) == OnnxFacts(8, 13, frozenset(types))


def test_cut_files_have_no_facts():
    whole = default_model().read_bytes()
    for length in [*range(200), *range(200, len(whole), len(whole) // 50)]:
        found = onnx_facts(whole[:length])
        assert found is None, length


def test_numbers_in_the_place_of_messages_lead_nowhere():
    """As offsets they would begin the file again, and again in each graph."""
    start = time.monotonic()
    assert onnx_facts(b"\x08\x07" + b"\x28\x00" * 50_000 + b"\x38\x00" * 50_000) is None
    assert time.monotonic() - start < 10  # it took hours


@pytest.mark.parametrize(
    ("facts", "version", "reason"),
    [
        (OnnxFacts(13, 25, frozenset({"INT2"})), "1.24", "INT2"),
        (OnnxFacts(13, 25, frozenset()), "1.24", "opset 25"),
        (OnnxFacts(12, 21, frozenset({"INT4"})), "1.24", "IR version 13"),
        (OnnxFacts(10, 21, frozenset({"INT4"})), "1.23", "INT4"),
        (OnnxFacts(10, 21, frozenset({"INT8"})), "1.18", "opset 21"),
        (OnnxFacts(8, 24, frozenset()), "1.24", "opset 25"),
        (OnnxFacts(7, 13, frozenset({"UINT8"})), "1.6", "opset 13"),
        (OnnxFacts(8, 13, frozenset({"INT8"})), "1.9", "IR version 8"),
    ],
)
def test_the_newest_thing_in_a_file_decides(facts, version, reason):
    assert onnx_need(facts) == Need("onnxruntime", version, reason)


def test_what_every_version_reads_or_none_that_is_known_asks_for_nothing():
    assert onnx_need(OnnxFacts(6, 12, frozenset({"INT8"}))) is None
    assert onnx_need(OnnxFacts(99, 99, frozenset())) is None


@pytest.mark.parametrize(
    ("installed", "wanted", "older"),
    [
        ("1.23.2", "1.24", True),
        ("1.24.0", "1.24", False),
        ("1.24.0rc1", "1.24", False),
        ("1.9", "1.24", True),
        ("2.0", "1.24", False),
        ("2.1.1", "2.1.2", True),
        ("2.1.2", "2.1.2", False),
        ("2.3.0", "2.1.2", False),
        ("2.1", "2.1.2", True),
    ],
)
def test_versions_are_compared_by_number(installed, wanted, older):
    assert is_older(installed, wanted) is older


def test_a_need_names_version_and_cures():
    assert str(Need("onnxruntime", "1.24", "INT2")) == (
        "2-bit weights need onnxruntime 1.24 or newer; pip install -U onnxruntime, or export with --older-runtimes"
    )
    assert str(Need("onnxruntime", "1.24", "opset 25")).startswith("opset 25 needs onnxruntime 1.24 or newer")


def test_an_older_onnx_runtime_is_told_what_it_needs(monkeypatch):
    """The refusal is real, of an opset that no version has; the table that explains it is not."""
    table = {"onnxruntime": {**needs.OLDEST["onnxruntime"], "opset 999": "999.9"}}
    monkeypatch.setattr(needs, "OLDEST", table)
    with pytest.raises(ModelFileError, match=r"cannot run it: opset 999 needs onnxruntime 999\.9 or newer; pip"):
        open_session(product(weight_of(-2, 2), opset=999), 1)


# Products in 16 bits


def flags():
    """What this processor says it has; nothing where it cannot be asked."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    return set(next((line.split(":")[1].split() for line in lines if line.startswith("flags")), []))


@pytest.mark.skipif(platform.machine() != "x86_64" or not flags(), reason="asks an x86 processor on Linux")
def test_products_saturate_on_avx2_without_vnni_alone():
    vnni = {"avx512_vnni", "avx_vnni"} & flags()
    assert saturates() == (not vnni)


def test_products_with_full_8_bit_weights_are_exact_on_every_processor():
    weight = weight_of(-127, 128)
    a = np.random.default_rng(1).integers(0, 256, (8, 64)).astype(np.uint8)
    found = open_session(product(weight), 1).run(None, {"a": a})[0]
    assert np.array_equal(found, (a.astype(np.int32) - 128) @ weight.astype(np.int32))


def test_the_exact_kernels_are_asked_for_where_products_saturate_and_weights_are_8_bit(monkeypatch):
    def asked(data):
        options = open_session(data, 1).get_session_options()
        try:
            return options.get_session_config_entry(EXACT)
        except RuntimeError:  # no such entry
            return None

    monkeypatch.setattr("edgefake_runtime.session.saturates", lambda: True)
    assert asked(product(weight_of(-127, 128))) == "1"
    assert asked((models_folder() / "mtcnn" / "pnet.onnx").read_bytes()) is None  # float32
    monkeypatch.setattr("edgefake_runtime.session.saturates", lambda: False)
    assert asked(product(weight_of(-127, 128))) is None


def test_an_error_without_words_is_named_by_its_type():
    assert first_line(MemoryError()) == "MemoryError"
    assert first_line(ValueError(" one\ntwo")) == "one"
