"""A ternary encoder on a stem of convolutions, in every format: what is 2 bits, what is 8, and the same answers."""

import pytest
import torch

from edgefake.checkpoint import Checkpoint
from edgefake.models import build
from edgefake_export import export_checkpoint
from edgefake_export.contents import read_contents
from edgefake_runtime import Classifier

from ..edgefake.checkpoints import CROP

METADATA = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "crop": CROP}


@pytest.fixture(scope="module")
def checkpoint():
    """Small in depth and input; BatchNorms with statistics that are not those of a fresh one."""
    torch.manual_seed(0)
    network = build("bitvit-tiny-hybrid", image_size=32, depth=1)
    network.train()
    with torch.no_grad():
        for _ in range(20):
            network(torch.randn(8, 3, 32, 32))
    return Checkpoint(network.eval(), "bitvit-tiny-hybrid", METADATA)


@pytest.mark.parametrize(("bits", "suffix"), [(2, "onnx"), (2, "tflite"), (8, "onnx"), (32, "onnx"), (32, "tflite")])
def test_files_agree_with_torch_and_hold_what_they_say(checkpoint, tmp_path, bits, suffix):
    path = tmp_path / f"m.{suffix}"
    report = export_checkpoint(checkpoint, path, bits=bits)
    assert report.relative <= report.tolerance
    assert report.disagreeing == 0
    assert Classifier(path, threads=1).metadata.architecture == "bitvit-tiny-hybrid"
    parts = {part.name: part for part in read_contents(path).parts}
    assert parts["encoder"].bits == bits
    if (bits, suffix) == (32, "tflite"):
        return  # its converter merges BatchNorms and names what comes out after none of our layers
    stem = parts["stem"]
    assert stem.bits == (8 if bits < 32 else 32)
    convolutions = [m for m in checkpoint.network.tokenize.trunk.modules() if isinstance(m, torch.nn.Conv2d)]
    assert stem.widths[stem.bits].weights >= sum(m.weight.numel() for m in convolutions)


def test_a_static_file_quantizes_the_encoder_alone(checkpoint, tmp_path):
    calibration = torch.randn(16, 3, 32, 32)
    report = export_checkpoint(checkpoint, tmp_path / "m.onnx", bits=2, style="qdq", calibration=calibration)
    assert report.disagreeing == 0
