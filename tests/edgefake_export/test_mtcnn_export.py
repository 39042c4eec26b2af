"""The exported MTCNN graphs against torch, and the files that ship against a fresh export."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from edgefake_export import mtcnn  # noqa: E402
from edgefake_runtime.errors import InputError, UsageError  # noqa: E402

from .mtcnn_torch import NAMES, SHIPPED, TORCH, needs_weights, network, random_tensors  # noqa: E402

SHAPES = {"pnet": [(1, 3, 12, 12), (2, 3, 37, 50), (1, 3, 13, 200)], "rnet": [(1, 3, 24, 24), (5, 3, 24, 24)]}
SHAPES["onet"] = [(1, 3, 48, 48), (3, 3, 48, 48)]
CASES = [(name, shape) for name in NAMES for shape in SHAPES[name]]


def assert_parity(model, name, tensors, shape):
    image = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    outputs = [value.name for value in session.get_outputs()]
    with torch.no_grad():
        expected = TORCH[name](tensors, torch.from_numpy(image))
    assert set(outputs) == set(expected)
    for output, got in zip(outputs, session.run(None, {"image": image}), strict=True):
        np.testing.assert_allclose(got, expected[output].numpy(), atol=2e-5, err_msg=output)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_any_weights_agree_with_torch(tmp_path, name, shape):
    tensors = random_tensors(name)
    torch.save(tensors, tmp_path / f"{name}.pt")
    weights = mtcnn.read_weights(tmp_path / f"{name}.pt", network(name))
    assert_parity(mtcnn.build(network(name), weights).SerializeToString(), name, tensors, shape)


@pytest.mark.parametrize("slopes", [(0, 1.3), (-1.3, -0.01), (0, 0)])
@pytest.mark.parametrize("name", NAMES)
def test_slopes_of_one_sign_agree_with_torch(name, slopes):
    tensors = random_tensors(name, slopes)
    weights = {key: tensor.numpy() for key, tensor in tensors.items()}
    assert_parity(mtcnn.build(network(name), weights).SerializeToString(), name, tensors, SHAPES[name][1])


@needs_weights
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_shipped_networks_agree_with_torch(name, shape):
    tensors = torch.load(mtcnn.find_weights() / f"{name}.pt", weights_only=True)
    assert_parity((SHIPPED / f"{name}.onnx").read_bytes(), name, tensors, shape)


@needs_weights
def test_a_fresh_export_writes_the_shipped_bytes(tmp_path):
    command = [sys.executable, "-m", "edgefake_export.mtcnn", str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True)
    expected = ["LICENSE", *sorted(f"{name}.{format}" for name in NAMES for format in mtcnn.FORMATS)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == expected
    for name in expected:
        assert (tmp_path / "out" / name).read_bytes() == (SHIPPED / name).read_bytes(), name


@pytest.mark.parametrize("name", NAMES)
def test_shipped_files_say_where_they_come_from(name):
    model = onnx.load(SHIPPED / f"{name}.onnx")
    about = json.loads({entry.key: entry.value for entry in model.metadata_props}["edgefake-faces"])
    assert about == {
        "network": name,
        "source": "facenet-pytorch 2.5.3 (MIT)",
        "threshold": {"pnet": 0.6, "rnet": 0.7, "onet": 0.7}[name],
    }
    assert model.opset_import[0].version <= 17
    assert not any(node.doc_string for node in model.graph.node)


def test_readme_of_the_models_names_their_digests():
    text = (SHIPPED / "README.md").read_text()
    for name in [f"{name}.{format}" for name in NAMES for format in mtcnn.FORMATS]:
        data = (SHIPPED / name).read_bytes()
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}`"))
        assert hashlib.sha256(data).hexdigest() in row
        assert f"{len(data):,}" in row


def test_without_the_package_the_cure_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mtcnn.importlib.util, "find_spec", lambda name: object() if name == "onnx" else None)
    assert mtcnn.main([str(tmp_path)]) == 3
    assert "pip install --no-deps facenet-pytorch==2.5.3" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("package", "format", "extra"), [("onnx", "onnx", "export"), ("ai_edge_litert", "tflite", "tflite")]
)
def test_a_missing_package_is_named_before_anything_is_written(package, format, extra, tmp_path):
    code = (
        f"import sys; sys.modules[{package!r}] = None; from edgefake_export.mtcnn import main; "
        f"sys.exit(main([{str(tmp_path / 'out')!r}, '--formats', {format!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 4, done.stderr
    assert f"edgefake[{extra}]" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_other_formats_are_refused(tmp_path):
    for formats in (("onnx", "pt"), ()):
        with pytest.raises(UsageError, match="formats: expected onnx or tflite, got"):
            mtcnn.export(tmp_path, formats=formats)
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_foreign_weights_are_refused(tmp_path):
    path = tmp_path / "pnet.pt"
    with pytest.raises(InputError, match=r"pnet\.pt"):
        mtcnn.read_weights(path, network("pnet"))
    path.write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=r"pnet\.pt"):
        mtcnn.read_weights(path, network("pnet"))
    torch.save(random_tensors("rnet"), path)
    with pytest.raises(InputError, match="expected a weight of"):
        mtcnn.read_weights(path, network("pnet"))
