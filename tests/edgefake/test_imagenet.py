"""ImageNet's weights in our EfficientNet-Lite."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from edgefake.imagenet import PACKAGES, load_imagenet
from edgefake.models import build
from edgefake_runtime.errors import MissingExtraError, ModelFileError, UsageError

PACKAGE, FILE = PACKAGES["cnn-lite0"]


def state_of_the_package():
    path = Path(find_spec(PACKAGE).origin).parent / FILE
    return torch.load(path, map_location="cpu", weights_only=True)


def normalized(state, name, x):
    keys = ("running_mean", "running_var", "weight", "bias")
    return F.batch_norm(x, *(state[f"{name}.{key}"] for key in keys), eps=1e-3)


def reference(state, image, strides):
    """The network as functions of the package's tensors, padded on both sides as ours: (B, 3, H, W) -> (B, C, h, w)."""

    def convolved(name, norm, x, *, stride=1, active=True):
        weight = state[f"{name}.weight"]
        groups = x.shape[1] if weight.shape[1] == 1 else 1
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups)
        x = normalized(state, norm, x)
        return x.clamp(0, 6) if active else x

    x = convolved("_conv_stem", "_bn0", image, stride=2)
    for number, stride in enumerate(strides):
        prefix, before = f"_blocks.{number}.", x
        if f"{prefix}_expand_conv.weight" in state:
            x = convolved(f"{prefix}_expand_conv", f"{prefix}_bn0", x)
        x = convolved(f"{prefix}_depthwise_conv", f"{prefix}_bn1", x, stride=stride)
        x = convolved(f"{prefix}_project_conv", f"{prefix}_bn2", x, active=False)
        if stride == 1 and x.shape == before.shape:
            x = x + before
    return convolved("_conv_head", "_bn1", x)


def test_the_features_are_those_of_the_packages_tensors():
    network = build("cnn-lite0", image_size=64).eval()
    load_imagenet(network, "cnn-lite0")
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    strides = [
        stride if place == 0 else 1
        for stride, depth in zip(network.config.strides, network.config.depths, strict=True)
        for place in range(depth)
    ]
    with torch.no_grad():
        expected = reference(state_of_the_package(), image, strides).flatten(2).transpose(1, 2)
        found = network.features(image)
    assert float(expected.std()) > 0.1
    assert float((found - expected).abs().max()) < 1e-3 * float(expected.abs().max())


def test_only_networks_with_known_weights_take_them():
    with pytest.raises(UsageError, match="cnn-lite0"):
        load_imagenet(build("cnn-nano"), "cnn-nano")


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("edgefake.imagenet.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"edgefake\[imagenet\]"):
        load_imagenet(build("cnn-lite0", image_size=32), "cnn-lite0")


def test_another_file_is_refused(monkeypatch, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "__init__.py").touch()
    torch.save({"_conv_stem.weight": torch.zeros(1)}, tmp_path / FILE)
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr("edgefake.imagenet.find_spec", lambda name: spec)
    with pytest.raises(ModelFileError, match="EfficientNet-Lite"):
        load_imagenet(build("cnn-lite0", image_size=32), "cnn-lite0")
    assert PACKAGE not in sys.modules
