"""Graphs go through onnx2tf in a Python of its own, or leave a clean error and nothing else."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import venv
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from edgefake.models import build
from edgefake_export.onnx2tf import PYTHON_VARIABLE, REQUIREMENT, MissingOnnx2tfError, convert_module, convert_onnx2tf
from edgefake_export.tflite import write_tflite
from edgefake_export.tflite_flatbuffer import parse
from edgefake_runtime.errors import MissingExtraError, UsageError


def graph(
    *nodes: onnx.NodeProto, shape: tuple[int | str, ...] = ("batch", 3, 8, 8), opset: int = 20
) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("image", "logits")]
    made = helper.make_graph(nodes or [helper.make_node("Relu", ["image"], ["logits"])], "g", ends[:1], ends[1:])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("its.own", 1)])


FOREIGN = helper.make_node("Unheard", ["image"], ["logits"], domain="its.own")


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """The folder that temporary files go to."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def environment(folder: Path) -> Path:
    """The Python of a fresh environment without packages."""
    venv.create(folder, with_pip=False)
    return folder / "bin" / "python"


@pytest.fixture
def program(tmp_path):
    """An environment whose onnx2tf is a given program; that of others takes gigabytes and does not fail at will."""

    def make(code: str) -> Path:
        python = environment(tmp_path / "environment")
        (packages,) = (tmp_path / "environment").glob("lib/python*/site-packages")
        for name in ("onnx2tf", "tensorflow", "onnx2tf-1.29.24.dist-info"):
            (packages / name).mkdir()
        (packages / "onnx2tf-1.29.24.dist-info" / "METADATA").write_text("Name: onnx2tf\nVersion: 1.29.24\n")
        (packages / "onnx2tf" / "__main__.py").write_text(textwrap.dedent(code))
        command = python.parent / "onnxsim"
        command.write_text("#!/bin/sh\n")
        command.chmod(0o755)
        return python

    return make


def test_a_python_without_onnx2tf_names_the_cure(tmp_path, scratch, monkeypatch):
    python = environment(tmp_path / "bare")
    monkeypatch.setenv(PYTHON_VARIABLE, str(python))
    with pytest.raises(MissingOnnx2tfError) as caught:
        convert_onnx2tf(graph())
    message, version = str(caught.value), "{}.{}".format(*sys.version_info)
    assert isinstance(caught.value, MissingExtraError)
    assert caught.value.exit_code == 4
    assert f"got {python}, which lacks onnx2tf and tensorflow and onnxsim;" in message
    for step in (f"python{version} -m venv ", f"/bin/pip install '{REQUIREMENT}'", f"export {PYTHON_VARIABLE}="):
        assert step in message
    assert "\n" not in message
    assert not list(scratch.iterdir())


def test_the_running_python_is_tried_where_none_is_named(monkeypatch):
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(MissingOnnx2tfError, match="got /nowhere/python, which is no program;"):
        convert_onnx2tf(graph())


def test_an_argument_goes_before_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv(PYTHON_VARIABLE, "/nowhere/python")
    python = environment(tmp_path / "bare")
    with pytest.raises(MissingOnnx2tfError, match=f"got {python}, which lacks onnx2tf"):
        convert_onnx2tf(graph(), python=python)


@pytest.mark.parametrize(("name", "reason"), [("false", "does not run: exit status 1"), ("true", "lacks")])
def test_a_program_that_is_no_python(name, reason):
    with pytest.raises(MissingOnnx2tfError, match=f"bin/{name}, which {reason}"):
        convert_onnx2tf(graph(), python=Path("/bin", name))


def test_a_failed_conversion_says_its_last_error(program, scratch):
    python = program("""
        import pathlib, sys
        pathlib.Path("left.bin").write_bytes(bytes(1000))
        print("\\x1b[31mERROR:\\x1b[0m of another kind", file=sys.stderr)
        raise ValueError("no rank for node 7")
    """)
    with pytest.raises(UsageError, match=r"onnx2tf 1.29.24 can convert, got: ValueError: no rank for node 7;"):
        convert_onnx2tf(graph(), python=python)
    assert not list(scratch.iterdir())


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('all is well')", "can convert, got: all is well;"),
        ("import os; os.abort()", "can convert, got: an end by signal 6;"),
        (
            "import os; os.mkdir('converted'); open('converted/model_float32.tflite', 'w').write('hello')",
            "expected a TFLite file of onnx2tf, got other bytes;",
        ),
    ],
)
def test_a_conversion_without_a_file_fails(program, scratch, code, reason):
    with pytest.raises(UsageError, match=reason):
        convert_onnx2tf(graph(), python=program(code))
    assert not list(scratch.iterdir())


def sleeper(note: Path) -> str:
    """A program that starts another one, which says who it is, and sleeps as it does."""
    return f"""
        import subprocess, sys
        code = "import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
        subprocess.run([sys.executable, "-c", code])
    """


def running(pid: int) -> bool:
    """Whether a process is there, and not only waits to be buried."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def ended(pid: int) -> bool:
    return any(not running(pid) or time.sleep(0.05) for _ in range(1200))


def test_a_conversion_that_takes_too_long_is_ended(program, scratch, tmp_path):
    note = tmp_path / "pid"
    with pytest.raises(UsageError, match="within 10 s, got no file"):
        convert_onnx2tf(graph(), python=program(sleeper(note)), timeout_s=10)
    assert ended(int(note.read_text()))
    assert not list(scratch.iterdir())


@pytest.fixture
def _interruptible():
    """Ctrl-C raises KeyboardInterrupt, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_an_interrupted_conversion_leaves_nothing(program, scratch, tmp_path):
    note, python = tmp_path / "pid", program(sleeper(tmp_path / "pid"))

    def interrupt() -> None:
        while not (note.exists() and note.read_text()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt, daemon=True)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        convert_onnx2tf(graph(), python=python, timeout_s=60)
    watcher.join()
    assert ended(int(note.read_text()))
    assert not list(scratch.iterdir())


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (
            graph(helper.make_node("Nonsense", ["image"], ["logits"])),
            "expected a sound ONNX graph, got: No Op registered",
        ),
        (graph(helper.make_node("Relu", ["nowhere"], ["logits"])), "expected a sound ONNX graph"),
        (graph(opset=17), "opset 18 to 23, got 17; export it with"),
        (graph(opset=25), "opset 18 to 23, got 25; export it with"),
        (
            graph(shape=(2, 3, 8, 8)),
            r"image: expected a batch that is free or 1, other sizes fixed, got \[2, 3, 8, 8\]",
        ),
        (graph(shape=("batch", 3, "rows", 8)), r"other sizes fixed, got \[0, 3, 0, 8\]"),
    ],
)
def test_a_graph_that_cannot_be_converted_is_refused_at_once(model, reason):
    with pytest.raises(UsageError, match=reason):
        convert_onnx2tf(model, python=Path(sys.executable))


@pytest.fixture(scope="module")
def converter(tmp_path_factory):
    """A Python with onnx2tf: the named one, or one made by what the error message says."""
    if named := os.environ.get(PYTHON_VARIABLE):
        return Path(named)
    folder = tmp_path_factory.mktemp("onnx2tf")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    reach = [python, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, REQUIREMENT]
    if subprocess.run(reach, capture_output=True, timeout=120).returncode:
        pytest.skip("needs PyPI")
    subprocess.run([python, "-m", "pip", "install", "-q", REQUIREMENT], check=True, capture_output=True, timeout=1500)
    return python


@pytest.fixture
def offline(monkeypatch):
    """Whatever the converter asks of the network fails."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


slow = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(2400), pytest.mark.usefixtures("offline")]


def marked(test):
    for mark in slow:
        test = mark(test)
    return test


def network(name: str) -> nn.Module:
    torch.manual_seed(1)
    return build(name).eval()


def trace(module: nn.Module, opset: int) -> onnx.ModelProto:
    """A graph with a free batch."""
    program = torch.onnx.export(
        module,
        (torch.zeros(2, 3, 32, 32),),
        dynamo=True,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=opset,
        verbose=False,
    )
    assert program is not None
    return program.model_proto


def images() -> Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def run(data: bytes) -> tuple[np.ndarray, int]:
    """Logits of the images in LiteRT, and how many partitions XNNPACK makes."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(model_content=data, num_threads=1)
    runner = interpreter.get_signature_runner("serving_default")
    logits = [runner(image=image[None].numpy())["logits"] for image in images()]
    operators = [operator["op_name"] for operator in interpreter._get_ops_details()]
    return np.concatenate(logits), operators.count("DELEGATE")


def relative(data: bytes, module: nn.Module) -> float:
    """Largest difference to torch over its rms."""
    with torch.no_grad():
        expected = module(images()).numpy()
    return float(np.abs(run(data)[0] - expected).max() / np.sqrt(np.square(expected).mean()))


@marked
@pytest.mark.parametrize(("name", "opset"), [("linvit-nano", 18), ("cnn-nano", 23)])
def test_float_networks_give_what_torch_gives(converter, name, opset):
    module = network(name)
    data = convert_onnx2tf(trace(module, opset), python=converter)
    assert relative(data, module) < 1e-5
    assert run(data)[1] == 1


@marked
def test_weights_come_through_bit_for_bit_in_fully_connected(converter):
    module = network("linvit-nano")
    model = parse(convert_onnx2tf(trace(module, 23), python=converter))
    kind = model.schema.BuiltinOperator.FULLY_CONNECTED
    layers = [operator for operator in model.graph.operators if model.kind_of(operator) == kind]
    weights = {model.floats(model.graph.tensors[layer.inputs[1]]).tobytes() for layer in layers}
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    assert len(linear) == len(layers) > 10
    assert {layer.weight.detach().numpy().tobytes() for layer in linear} == weights


@marked
def test_ternary_networks_give_what_torch_gives(converter, monkeypatch):
    monkeypatch.setenv(PYTHON_VARIABLE, str(converter))
    module = network("bitvit-nano")
    data = write_tflite(module, example=torch.zeros(1, 3, 32, 32), bits=2, converter=convert_module)
    assert relative(data, module) <= 1e-2
    assert run(data)[1] == 1


@marked
def test_the_same_graph_gives_the_same_bytes(converter, tmp_path, monkeypatch):
    model, files = trace(network("cnn-nano"), 20), []
    for folder in (tmp_path / "one", tmp_path / "another folder"):
        folder.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(folder))
        files.append(convert_onnx2tf(model, python=converter))
        assert not list(folder.iterdir())
    assert files[0] == files[1]


@marked
def test_a_graph_that_onnx2tf_does_not_know_leaves_nothing(converter, scratch):
    with pytest.raises(UsageError, match=r"can convert, got: .*onnx2tf\.ops\.Unheard"):
        convert_onnx2tf(graph(FOREIGN), python=converter)
    assert not list(scratch.iterdir())
