"""TFLite files: what LiteRT computes, weights widened in memory, and files that are none of ours."""

import json
import logging
import math
import re
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefake_runtime import Classifier, ModelFileError, UsageError, tflite_graph
from edgefake_runtime.crops import normalize
from edgefake_runtime.engine import Port
from edgefake_runtime.flatbuffer import DamagedError, Table
from edgefake_runtime.tflite_engine import TfliteEngine
from edgefake_runtime.tflite_file import read_tflite, widen

from .test_metadata import METADATA
from .tflite_files import SIZE, Layout, changed, expected, finish, network, parsed, tflite_file

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "small.tflite"
    path.write_bytes(tflite_file())
    return path


def crops(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def unlike(data, change):
    """The file after a change to it, as the schema's object interface sees it."""
    model = parsed(data)
    change(model)
    return finish(model)


# What comes out


@pytest.mark.parametrize("seed", range(3))
def test_logits_are_the_networks_to_the_rounding_of_activations(seed, tmp_path):
    net = network(seed)
    (tmp_path / "m.tflite").write_bytes(tflite_file(net))
    pictures = crops(5, seed)
    exact = expected(net, normalize(pictures, METADATA.mean, METADATA.std))
    found = Classifier(tmp_path / "m.tflite", threads=1).logits(pictures)
    # Two layers of 8-bit activations: 255 steps over the range of a row.
    assert found == pytest.approx(exact, abs=2e-2 * float(np.sqrt((exact**2).mean())))
    assert len(np.unique(found.round(3))) == found.size  # else the network is deaf, and this test too


def test_metadata_ports_and_hash_are_the_files(file):
    classifier = Classifier(file)
    engine = TfliteEngine(file.read_bytes())
    assert (classifier.metadata, engine.metadata) == (METADATA, METADATA.to_json())
    assert (engine.inputs, engine.outputs) == ((Port("image", (1, 3, SIZE, SIZE)),), (Port("logits", (1, 2)),))
    assert len(classifier.sha256) == 64


def test_batches_and_single_crops_score_alike(file):
    classifier = Classifier(file)
    together = classifier.logits(crops(19))
    assert np.array_equal(together, np.concatenate([classifier.logits(crop[None]) for crop in crops(19)]))
    assert classifier.logits(crops(0)).shape == (0, 2)


def test_threads_that_share_a_classifier_do_not_mix_their_crops(file):
    classifier = Classifier(file, threads=1)
    parts = [crops(40, seed) for seed in range(8)]
    alone = [classifier.logits(part) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for one, other in zip(alone, pool.map(classifier.logits, parts), strict=True):
                assert np.array_equal(one, other)


def test_a_file_that_gives_nan_gives_no_score(tmp_path):
    net = network()
    net.bias[:] = np.nan
    (tmp_path / "nan.tflite").write_bytes(tflite_file(net))
    with pytest.raises(ModelFileError, match="expected finite logits"):
        Classifier(tmp_path / "nan.tflite").logits(crops(1))


# Widening


@pytest.mark.parametrize("seed", range(3))
def test_widened_weights_give_the_same_logits(seed, tmp_path):
    net = network(seed)
    for name, bits in (("two", 2), ("eight", 8)):
        (tmp_path / name).write_bytes(tflite_file(net, bits=bits))
    narrow, wide = (Classifier(tmp_path / "two", widen=choice) for choice in (False, True))
    assert (narrow.widened, wide.widened) == (False, True)
    as_they_are, widened = (each.logits(crops(6, seed)) for each in (narrow, wide))
    assert widened == pytest.approx(as_they_are, rel=1e-6, abs=1e-6)
    assert np.array_equal(widened, Classifier(tmp_path / "eight").logits(crops(6, seed)))


@pytest.mark.parametrize("hidden", [(24, 16), (5, 3), (1, 7, 2)])
def test_widening_changes_levels_types_and_versions_alone(hidden):
    """Row lengths of 5, 3, 1 and 7 end within a byte."""
    net = network(hidden=hidden)
    data = tflite_file(net)
    before, after = parsed(data), parsed(widen(read_tflite(data)))
    weights = [tensor for tensor in after.subgraphs[0].tensors if tensor.type == schema.TensorType.INT8]
    assert len(weights) == len(net.levels)
    for tensor, levels in zip(weights, net.levels, strict=True):
        found = np.asarray(after.buffers[tensor.buffer].data, np.uint8).view(np.int8)
        assert np.array_equal(found.reshape(tensor.shape), levels)
        assert np.array_equal(tensor.quantization.zeroPoint, np.zeros(len(levels)))
    assert [code.version for code in before.operatorCodes] == [1, 14, 1]
    assert [code.version for code in after.operatorCodes] == [1, 12, 1]
    for tensor, old in zip(weights, net.levels, strict=True):
        tensor.type = schema.TensorType.INT2
        after.buffers[tensor.buffer].data = before.buffers[tensor.buffer].data
        assert old.size == math.prod(tensor.shape)
    after.operatorCodes[1].version = 14
    assert finish(after) == finish(before)  # and so nothing else was changed


def test_weights_that_something_else_reads_stay_as_they_are(tmp_path):
    """The second layer's bytes have a second tensor; the first layer's are widened all the same."""

    def share(model):
        graph = model.subgraphs[0]
        graph.tensors.append([t for t in graph.tensors if t.type == schema.TensorType.INT2][1])

    data = unlike(tflite_file(), share)
    types = [tensor.type for tensor in parsed(widen(read_tflite(data))).subgraphs[0].tensors]
    assert (types.count(schema.TensorType.INT8), types.count(schema.TensorType.INT2)) == (1, 2)
    (tmp_path / "shared.tflite").write_bytes(data)
    one, other = (Classifier(tmp_path / "shared.tflite", widen=choice).logits(crops(3)) for choice in (False, True))
    assert one == pytest.approx(other, rel=1e-6, abs=1e-6)


def test_the_faster_width_is_kept_by_default(tmp_path, caplog):
    (tmp_path / "large.tflite").write_bytes(tflite_file(network(hidden=(1024, 512))))
    with caplog.at_level(logging.INFO, logger="edgefake_runtime"):
        classifier = Classifier(tmp_path / "large.tflite", threads=1)
    narrow, wide = map(float, re.findall(r"([\d.]+) ms", caplog.text))
    if abs(narrow / wide - 1.1) > 0.01:  # else the log's digits do not tell
        assert classifier.widened == (narrow > 1.1 * wide)
    explicit = Classifier(tmp_path / "large.tflite", threads=1, widen=not classifier.widened)
    assert explicit.widened is not classifier.widened
    assert explicit.logits(crops(2)) == pytest.approx(classifier.logits(crops(2)), rel=1e-6, abs=1e-6)


def test_widening_what_is_wide_already_is_refused(tmp_path):
    (tmp_path / "eight.tflite").write_bytes(tflite_file(bits=8))
    with pytest.raises(UsageError, match="2-bit weights, got one without"):
        Classifier(tmp_path / "eight.tflite", widen=True)
    assert Classifier(tmp_path / "eight.tflite").widened is False


# Refused


def no_graph(model):
    model.subgraphs = None


def fewer_inputs(model):
    operator = model.subgraphs[0].operators[1]
    operator.inputs = operator.inputs[:1]


def another_operator(model):
    code = model.operatorCodes[model.subgraphs[0].operators[0].opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.SLICE


def reads_nothing(model):
    model.subgraphs[0].operators[1].inputs[0] = len(model.subgraphs[0].tensors) - 1


def leaves_out(model):
    """What a linear layer may do with its bias, and a concatenation with none of its inputs."""
    model.operatorCodes[1].builtinCode = model.operatorCodes[1].deprecatedBuiltinCode = schema.BuiltinOperator.PACK


def reads_no_tensor(model):
    model.subgraphs[0].operators[1].inputs[0] = 99


def writes_weights(model):
    model.subgraphs[0].operators[0].outputs[0] = int(model.subgraphs[0].operators[1].inputs[1])


def another_type(model):
    graph = model.subgraphs[0]
    graph.tensors[graph.operators[0].outputs[0]].type = schema.TensorType.INT64


def too_large(model):
    model.subgraphs[0].tensors[2].shape = np.array([1, 2**31 - 1], np.int32)


def too_many_axes(model):
    model.subgraphs[0].tensors[2].shape = np.full(100, 2**31 - 1, np.int32)


def no_buffer(model):
    model.subgraphs[0].tensors[1].buffer = 999


def no_code(model):
    model.subgraphs[0].operators[0].opcodeIndex = 77


def cut_weight(model):
    weight = next(t for t in model.subgraphs[0].tensors if t.type == schema.TensorType.INT2)
    model.buffers[weight.buffer].data = model.buffers[weight.buffer].data[:-1]


def scales_of_no_axis(model):
    weight = next(t for t in model.subgraphs[0].tensors if t.type == schema.TensorType.INT2)
    weight.shape = np.array([], np.int32)


def no_output(model):
    model.subgraphs[0].outputs = [1000]


def no_metadata_buffer(model):
    model.metadata[0].buffer = 1000


DAMAGE = [
    (no_graph, "no network in it"),
    (fewer_inputs, "too many or too few inputs"),
    (another_operator, "too many or too few inputs"),
    (reads_nothing, "reads what nothing computes"),
    (leaves_out, "reads what nothing computes"),
    (reads_no_tensor, "reads what nothing computes"),
    (writes_weights, "writes where it must not"),
    (another_type, "changes the type of numbers"),
    (too_large, "a tensor larger than any model's"),
    (too_many_axes, "a tensor larger than any model's"),
    (no_buffer, "a tensor without its buffer"),
    (no_code, "an operator of kind 77 of 3"),
    (cut_weight, "levels in 18431 bytes"),
    (scales_of_no_axis, "24 scales for a tensor of another shape"),
    (no_output, "an input or output that is none"),
    (no_metadata_buffer, "metadata in buffer 1000"),
]


@pytest.mark.parametrize(("change", "message"), DAMAGE, ids=lambda value: getattr(value, "__name__", ""))
def test_damage_that_litert_would_not_survive_is_found_before(change, message, tmp_path):
    (tmp_path / "bad.tflite").write_bytes(unlike(tflite_file(), change))
    with pytest.raises(ModelFileError, match="expected a whole TFLite file, got a damaged one") as refusal:
        Classifier(tmp_path / "bad.tflite")
    assert message in str(refusal.value)
    assert str(refusal.value).startswith(str(tmp_path / "bad.tflite"))


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (Layout(metadata=None), r"got a file \(TFLite\) without its metadata; make one with: edgefake export"),
        (Layout(metadata=None, entries=("min_runtime_version", "other")), "without its metadata"),
        (Layout(metadata="{}"), "metadata are damaged"),
        (Layout(metadata=changed(input_size=64)), r"expected the input image \(1, 3, 64, 64\)"),
        (Layout(key="main"), "with the signature serving_default, got 'main'"),
        (Layout(key="two\nlines"), r"got 'two\\nlines'"),
        (Layout(input_name="args_0"), r"got args_0 \(1, 3, 32, 32\)"),
        (Layout(output_name="output_0"), r"and output_0 \(1, 2\)"),
        (Layout(classes=3), r"logits \(1, 3\)"),
        (Layout(batch=2), r"got image \(2, 3, 32, 32\)"),
    ],
)
def test_files_that_edgefake_did_not_export_are_refused_in_a_line(layout, message, tmp_path):
    (tmp_path / "other.tflite").write_bytes(tflite_file(layout=layout))
    with pytest.raises(ModelFileError, match=message) as refusal:
        Classifier(tmp_path / "other.tflite")
    assert len(str(refusal.value).splitlines()) == 1


def test_a_type_of_input_that_is_not_float_is_refused():
    def bytes_in(model):
        for tensor in model.subgraphs[0].tensors:
            if tensor.type == schema.TensorType.FLOAT32:
                tensor.type = schema.TensorType.UINT8

    with pytest.raises(ModelFileError, match="expected float32 input and output, got TFLite's type 3"):
        read_tflite(unlike(tflite_file(), bytes_in))


def test_two_outputs_are_refused():
    def twice(model):
        model.subgraphs[0].outputs = list(model.subgraphs[0].outputs) * 2

    with pytest.raises(ModelFileError, match="with one input and one output, got 2 of a kind"):
        read_tflite(unlike(tflite_file(), twice))


@pytest.mark.parametrize("version", ["2.1.1", "1.4.0"])
def test_what_an_older_litert_cannot_run_names_the_version_that_can(version, tmp_path, monkeypatch):
    """The refusal is LiteRT's own, of a zero point; that it comes of an older version is not true."""

    def shift(model):
        weight = next(t for t in model.subgraphs[0].tensors if t.type == schema.TensorType.INT2)
        weight.quantization.zeroPoint = np.ones(len(weight.quantization.zeroPoint), np.int64)

    (tmp_path / "m.tflite").write_bytes(unlike(tflite_file(), shift))
    with pytest.raises(ModelFileError, match="cannot run it: unsupported zero-point"):
        Classifier(tmp_path / "m.tflite", widen=False)
    monkeypatch.setattr("edgefake_runtime.tflite_engine.installed_version", lambda package: version)
    sentence = "2-bit weights need ai-edge-litert 2.1.2 or newer; pip install -U ai-edge-litert, or export at 4 bits"
    with pytest.raises(ModelFileError, match=f"ai-edge-litert {version} cannot run it: {sentence}"):
        Classifier(tmp_path / "m.tflite", widen=False)


def test_2_bit_weights_that_cannot_be_widened_name_the_version_too(tmp_path, monkeypatch):
    """Two weights that share their bytes; the refusal is LiteRT's own again."""

    def share(model):
        weights = [t for t in model.subgraphs[0].tensors if t.type == schema.TensorType.INT2]
        for weight in weights:
            weight.buffer = weights[0].buffer
            weight.quantization.zeroPoint = np.ones(len(weight.quantization.zeroPoint), np.int64)

    (tmp_path / "m.tflite").write_bytes(unlike(tflite_file(), share))
    monkeypatch.setattr("edgefake_runtime.tflite_engine.installed_version", lambda package: "1.0.1")
    sentence = "2-bit weights need ai-edge-litert 2.1.2 or newer; pip install -U ai-edge-litert, or export at 4 bits"
    with pytest.raises(ModelFileError, match=f"1.0.1 cannot run it: {sentence}") as refusal:
        Classifier(tmp_path / "m.tflite")
    assert "widened" not in str(refusal.value)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 60))
def test_bytes_at_random_are_refused_without_litert(noise, start):
    with pytest.raises(ModelFileError):
        read_tflite(start.to_bytes(4, "little") + b"TFL3" + noise)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_changed_file_is_read_or_refused(data):
    whole = bytearray(tflite_file())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ModelFileError):
        found = read_tflite(bytes(whole))
        assert len(widen(found)) >= len(whole) + sum(weight.levels for weight in found.packed)


SURVIVE = """
import sys
from pathlib import Path
import numpy as np
from edgefake_runtime import Classifier, ModelFileError
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        Classifier(path, threads=1).logits(np.zeros((1, 32, 32, 3), np.uint8))
        print("ran", path.name)
    except ModelFileError as error:
        print("refused", path.name, len(str(error).splitlines()))
"""


def structure(data):
    """Bytes of a file that are no weights."""
    blobs = [bytes(buffer.data) for buffer in parsed(data).buffers if buffer.data is not None and len(buffer.data) > 64]
    taken = {data.find(blob) + n for blob in blobs for n in range(len(blob))}
    return [place for place in range(len(data)) if place not in taken]


def test_damaged_files_never_end_the_process_nor_reach_standard_error(tmp_path):
    whole, rng = tflite_file(), np.random.default_rng(0)
    cuts = [*range(1, 400, 9), *range(400, len(whole), len(whole) // 40), len(whole) - 1]
    for length in cuts:
        (tmp_path / f"cut{length}").write_bytes(whole[:length])
    for length in (1, 7, 8, 60, 4000):
        (tmp_path / f"noise{length}").write_bytes(rng.bytes(length))
        (tmp_path / f"marked{length}").write_bytes(b"\x20\0\0\0TFL3" + rng.bytes(length))
    places = structure(whole)
    for number in range(150):
        changed = bytearray(whole)
        changed[rng.choice(places)] = rng.choice([0, 1, 127, 128, 255])
        (tmp_path / f"other{number}").write_bytes(changed)
    done = subprocess.run([sys.executable, "-c", SURVIVE, tmp_path], capture_output=True, text=True, timeout=300)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert len(lines) == len(list(tmp_path.iterdir()))
    assert all(line[0] == "refused" for line in lines if not line[1].startswith("other"))
    outcomes = {line[0] for line in lines if line[1].startswith("other")}
    assert outcomes == {"ran", "refused"}
    assert all(line[2] == "1" for line in lines if line[0] == "refused")


def test_kinds_of_operators_are_the_schemas():
    known = tflite_graph.ONE_INPUT | tflite_graph.TWO_INPUTS | tflite_graph.THREE_INPUTS
    known |= tflite_graph.WITH_BIAS | tflite_graph.ANY_NUMBER
    assert known == {name: getattr(schema.BuiltinOperator, name) for name in known}
    others = (schema.BuiltinOperator.RESHAPE, schema.BuiltinOperator.STRIDED_SLICE)
    assert others == (tflite_graph.RESHAPE, tflite_graph.STRIDED_SLICE)
    names = ("DEQUANTIZE", "SPLIT", "CAST", "LESS", "GREATER", "EQUAL", "QUANTIZE", "SELECT_V2")
    assert {getattr(schema.BuiltinOperator, name) for name in names} == tflite_graph.CHANGE_TYPE


# At the command line


def edgefake(*arguments, before=""):
    code = f"{before}\nimport sys\nsys.argv = ['edgefake', *sys.argv[1:]]\nfrom edgefake.__main__ import main\nmain()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_detect_gives_the_same_scores_at_either_width_and_says_nothing_else(file):
    scores = []
    for option in ([], ["--widen"], ["--no-widen"]):
        done = edgefake("detect", SAMPLES / "real.mp4", "--model", file, "--max-frames", 2, "--json", "-", *option)
        assert (done.returncode, done.stderr) == (0, "")
        report = json.loads(done.stdout)
        assert report["model"]["name"] == METADATA.name
        scores.append([frame["score"] for frame in report["inputs"][0]["faces"][0]["frames"]])
    assert scores[1] == pytest.approx(scores[0], abs=1e-6)
    assert scores[2] == pytest.approx(scores[0], abs=1e-6)


def test_evaluate_runs_a_tflite_file_at_either_width(file, tmp_path):
    (tmp_path / "m.csv").write_text(f"file,label\n{SAMPLES / 'real.mp4'},real\n{SAMPLES / 'fake.mp4'},fake\n")
    found = []
    for option in ("--widen", "--no-widen"):
        arguments = ("evaluate", tmp_path / "m.csv", "--model", file, "--every", 100, "--json", "-", option)
        done = edgefake(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        found.append(json.loads(done.stdout))
    assert found[0]["log_loss"] == pytest.approx(found[1]["log_loss"], abs=1e-6)


def test_widen_without_two_bit_weights_is_wrong_usage(tmp_path):
    (tmp_path / "eight.tflite").write_bytes(tflite_file(bits=8))
    (tmp_path / "folder").mkdir()
    (tmp_path / "m.csv").write_text(f"file,label\n{SAMPLES / 'real.mp4'},real\n")
    for command in (
        ("detect", SAMPLES / "real.mp4", "--widen"),
        ("detect", SAMPLES / "real.mp4", "--widen", "--model", tmp_path / "eight.tflite"),
        ("evaluate", tmp_path / "m.csv", "--widen", "--model", tmp_path / "folder"),
    ):
        done = edgefake(*command)
        assert done.returncode == 2, command
        assert "widen: expected a TFLite file with 2-bit weights" in done.stderr


def test_without_litert_the_extra_is_named_and_a_damaged_file_is_damaged(file, tmp_path):
    without = "import sys; sys.modules['ai_edge_litert'] = None"
    done = edgefake("detect", SAMPLES / "real.mp4", "--model", file, before=without)
    assert (done.returncode, len(done.stderr.splitlines())) == (4, 1)
    assert "pip install 'edgefake[litert]'" in done.stderr
    (tmp_path / "cut.tflite").write_bytes(file.read_bytes()[:5000])
    done = edgefake("detect", SAMPLES / "real.mp4", "--model", tmp_path / "cut.tflite", before=without)
    assert done.returncode == 3
    assert "damaged" in done.stderr


def test_a_small_file_cannot_look_large():
    """A thousand tables in one place, with a list of a thousand numbers: 8 kB that would become a million numbers."""
    count = 1000
    vtable = struct.pack("<HHHxx", 6, 8, 4)
    child = 20 + 4 + 4 * count
    places = [child - (24 + 4 * n) for n in range(count)]
    root = struct.pack(f"<iII{count}I", 8, 4, count, *places)
    data = struct.pack("<I", 12) + vtable + root + struct.pack(f"<iII{count}i", child - 4, 4, count, *range(count))
    tables = Table.root(data).tables(0)
    assert (len(tables), tables[-1].numbers(0)) == (count, tuple(range(count)))
    with pytest.raises(DamagedError, match="share their places"):
        [table.numbers(0) for table in tables]
