"""The exported MTCNN graphs against torch, and the files that ship against a fresh export."""

import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from torch.nn import functional as F  # noqa: E402

from edgefake_export import mtcnn  # noqa: E402
from edgefake_runtime.errors import InputError  # noqa: E402

SHIPPED = Path(__file__).parents[2] / "models" / "mtcnn"
NAMES = ("pnet", "rnet", "onet")
SHAPES = {"pnet": [(1, 3, 12, 12), (2, 3, 37, 50), (1, 3, 13, 200)], "rnet": [(1, 3, 24, 24), (5, 3, 24, 24)]}
SHAPES["onet"] = [(1, 3, 48, 48), (3, 3, 48, 48)]
CASES = [(name, shape) for name in NAMES for shape in SHAPES[name]]

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("facenet_pytorch") is None, reason="needs facenet-pytorch's weights"
)


def conv(w, x, index, pool=0):
    x = F.conv2d(x, w[f"conv{index}.weight"], w[f"conv{index}.bias"])
    x = F.prelu(x, w[f"prelu{index}.weight"])
    return F.max_pool2d(x, pool, 2, ceil_mode=True) if pool else x


def dense(w, x, index):
    x = F.linear(x.permute(0, 3, 2, 1).flatten(1), w[f"dense{index}.weight"], w[f"dense{index}.bias"])
    return F.prelu(x, w[f"prelu{index}.weight"])


def head(w, x, name):
    return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def pnet(w, x):
    x = conv(w, conv(w, conv(w, x, 1, 2), 2), 3)
    logits, boxes = (F.conv2d(x, w[f"conv4_{i}.weight"], w[f"conv4_{i}.bias"]) for i in (1, 2))
    return {"boxes": boxes, "probability": logits.softmax(1)[:, 1:]}


def rnet(w, x):
    x = dense(w, conv(w, conv(w, conv(w, x, 1, 3), 2, 3), 3), 4)
    return {"boxes": head(w, x, "dense5_2"), "probability": head(w, x, "dense5_1").softmax(1)[:, 1:]}


def onet(w, x):
    x = dense(w, conv(w, conv(w, conv(w, conv(w, x, 1, 3), 2, 3), 3, 2), 4), 5)
    probability = head(w, x, "dense6_1").softmax(1)[:, 1:]
    return {"boxes": head(w, x, "dense6_2"), "landmarks": head(w, x, "dense6_3"), "probability": probability}


TORCH = {"pnet": pnet, "rnet": rnet, "onet": onet}


def network(name):
    return next(network for network in mtcnn.NETWORKS if network.name == name)


def random_tensors(name, slopes=(-1.3, 1.3)):
    """Random weights in facenet-pytorch's names; slopes of both signs and above 1 unless told."""
    rng = np.random.default_rng(0)
    tensors, channels = {}, 0
    for layer in network(name).layers:
        channels, fan_in = layer.shape[0], np.prod(layer.shape[1:])
        tensors[f"{layer.name}.weight"] = rng.standard_normal(layer.shape) / fan_in**0.5
        tensors[f"{layer.name}.bias"] = rng.standard_normal(channels) * 0.3
        tensors[f"prelu{layer.name[-1]}.weight"] = rng.uniform(*slopes, channels)
    sizes, tail = (2, 4, 10), (1, 1) if name == "pnet" else ()
    for key, size in zip(network(name).heads, sizes, strict=False):
        tensors[f"{key}.weight"] = rng.standard_normal((size, channels, *tail)) / channels**0.5
        tensors[f"{key}.bias"] = rng.standard_normal(size) * 0.3
    return {key: torch.tensor(value, dtype=torch.float32) for key, value in tensors.items()}


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
    for name in ("pnet.onnx", "rnet.onnx", "onet.onnx", "LICENSE"):
        assert (tmp_path / "out" / name).read_bytes() == (SHIPPED / name).read_bytes(), name
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "LICENSE",
        "onet.onnx",
        "pnet.onnx",
        "rnet.onnx",
    ]


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
    for name in NAMES:
        assert hashlib.sha256((SHIPPED / f"{name}.onnx").read_bytes()).hexdigest() in text


def test_without_the_package_the_cure_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mtcnn.importlib.util, "find_spec", lambda name: object() if name == "onnx" else None)
    assert mtcnn.main([str(tmp_path)]) == 3
    assert "pip install --no-deps facenet-pytorch==2.5.3" in capsys.readouterr().err
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
