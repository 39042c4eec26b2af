"""MTCNN's networks as TFLite against torch, at sizes that the input is resized to."""

import json

import numpy as np
import pytest
import torch

from edgefake_export import mtcnn
from edgefake_export.mtcnn_tflite import build_tflite
from edgefake_export.tflite_flatbuffer import parse
from edgefake_runtime.tflite_faces import TfliteFaceNetwork

from .mtcnn_torch import NAMES, SHIPPED, TORCH, needs_weights, network, random_tensors
from .tflite_answers import interpreter, partitions

SIDES = {"pnet": [(12, 12), (37, 50), (13, 200), (30, 14)], "rnet": [(24, 24)], "onet": [(48, 48)]}
"""Of P-Net even and odd ones, whose pooling ends differently."""


def tflite(name, tensors):
    return build_tflite(network(name), {key: tensor.numpy() for key, tensor in tensors.items()})


def images(*shape):
    return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)


def assert_parity(data, name, tensors, *, builtin=False):
    """One interpreter for all sizes and batches, as in an app."""
    opened = interpreter(data, builtin=builtin)
    (image,) = opened.get_input_details()
    ends = {end["name"]: end["index"] for end in opened.get_output_details()}
    for batch in (2, 1, 5):
        for height, width in SIDES[name]:
            given = images(batch, 3, height, width)
            opened.resize_tensor_input(image["index"], (batch, height, width, 3))
            opened.allocate_tensors()
            opened.set_tensor(image["index"], np.ascontiguousarray(given.transpose(0, 2, 3, 1)))
            opened.invoke()
            with torch.no_grad():
                expected = TORCH[name](tensors, torch.from_numpy(given))
            assert set(ends) == set(expected)
            for output, values in expected.items():
                got = np.moveaxis(opened.get_tensor(ends[output]), -1, 1)
                np.testing.assert_allclose(got, values.numpy(), atol=2e-5, err_msg=f"{output} {given.shape}")


@pytest.mark.parametrize("builtin", [False, True], ids=["xnnpack", "builtin"])
@pytest.mark.parametrize("name", NAMES)
def test_any_weights_agree_with_torch_at_any_size(name, builtin):
    tensors = random_tensors(name)
    assert_parity(tflite(name, tensors), name, tensors, builtin=builtin)


@needs_weights
@pytest.mark.parametrize("name", NAMES)
def test_shipped_files_agree_with_torch(name):
    tensors = torch.load(mtcnn.find_weights() / f"{name}.pt", weights_only=True)
    assert_parity((SHIPPED / f"{name}.tflite").read_bytes(), name, tensors)


@pytest.mark.parametrize("name", NAMES)
def test_all_of_it_is_one_xnnpack_partition(name):
    assert partitions((SHIPPED / f"{name}.tflite").read_bytes()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_shipped_files_say_what_they_are(name):
    model = parse((SHIPPED / f"{name}.tflite").read_bytes())
    (entry,) = model.root.metadata
    about = json.loads(bytes(model.root.buffers[entry.buffer].data))
    threshold = {"pnet": 0.6, "rnet": 0.7, "onet": 0.7}[name]
    assert about == {"network": name, "source": "facenet-pytorch 2.5.3 (MIT)", "threshold": threshold}
    assert entry.name == b"edgefake-faces"
    (signature,) = model.root.signatureDefs
    outputs = ["boxes", "landmarks", "probability"] if name == "onet" else ["boxes", "probability"]
    assert [entry.name.decode() for entry in signature.outputs] == outputs
    assert [entry.tensorIndex for entry in signature.outputs] == model.graph.outputs.tolist()
    free = model.graph.tensors[model.graph.inputs[0]].shapeSignature
    assert free.tolist() == {"pnet": [-1, -1, -1, 3], "rnet": [-1, 24, 24, 3], "onet": [-1, 48, 48, 3]}[name]


@pytest.mark.parametrize("count", [0, 1, 32, 33, 70])
def test_any_number_of_crops(count):
    tensors = random_tensors("onet")
    session = TfliteFaceNetwork(tflite("onet", tensors), threads=1)
    given = images(count, 3, 48, 48)
    for wanted in (("boxes", "landmarks", "probability"), ("probability",)):
        with torch.no_grad():
            expected = TORCH["onet"](tensors, torch.from_numpy(given))
        found = session.run(wanted, {"image": given})
        assert len(found) == len(wanted)
        for name, values in zip(wanted, found, strict=True):
            assert values.shape == expected[name].shape
            np.testing.assert_allclose(values, expected[name].numpy(), atol=2e-5)
