"""Post-training quantization as the thesis compares it with BitViT (section 3.5): absmax and zeropoint.

A trained float network is copied; in the copy every linear and convolution layer holds rounded weights and
rounds what goes into it (see `quantized`), so that it scores as an integer network would.
"""

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from edgefake_runtime.errors import UsageError

from .models import BitLinear, Network
from .quantized import Activations, QuantizedLayer, store
from .quantizers import require_bits

__all__ = ["LAYERS", "METHODS", "PER", "PTQConfig", "quantize", "weight_bytes"]

METHODS = ("absmax", "zeropoint")
PER = ("tensor", "channel")
LAYERS = ("all", "encoder")

TRAINING_ONLY = "distillation_head"
"""What of a network only its training uses."""

TERNARY_BITS = 2
FLOAT_BYTES = 4


@dataclass(frozen=True)
class PTQConfig:
    """How a network is quantized after training.

    Attributes:
        method: "absmax" (symmetric) or "zeropoint" (the range shifted to the values').
        weight_bits: width of the weights, 2 to 8.
        activation_bits: width of the activations, 2 to 8.
        per: one scale a weight "tensor" (the thesis) or one an output "channel".
        thesis_range: the thesis' levels [-Q, Q], one more than `bits` bits hold, instead of [-Q, Q - 1].
        layers: "all" as in the thesis, or the "encoder" alone: what lies between the patch embedding (or the
            stem of a CNN) and the head.
    """

    method: str
    weight_bits: int
    activation_bits: int = 8
    per: str = "tensor"
    thesis_range: bool = False
    layers: str = "all"

    def __post_init__(self) -> None:
        for name, known in (("method", METHODS), ("per", PER), ("layers", LAYERS)):
            if getattr(self, name) not in known:
                raise UsageError(f"{name}: expected {' or '.join(known)}, got {getattr(self, name)}")
        for name in ("weight_bits", "activation_bits"):
            require_bits(getattr(self, name), name)


def _chosen(network: Network, layers: str) -> dict[str, nn.Linear | nn.Conv2d]:
    """The float layers with weights that `layers` names, by their dotted name."""
    inside = "blocks." if layers == "encoder" else ""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
        and not isinstance(module, BitLinear)
        and name.startswith(inside)
        and not name.startswith(TRAINING_ONLY)
    }


def _refuse_ternary(network: Network) -> None:
    if any(isinstance(module, BitLinear) for module in network.modules()):
        raise UsageError(
            "expected a network with float weights, got a BitViT, whose encoder is ternary already; quantize a LinViT"
        )


def _quantized(layer: nn.Linear | nn.Conv2d, config: PTQConfig) -> QuantizedLayer:
    stored = store(
        layer.weight.detach(),
        method=config.method,
        bits=config.weight_bits,
        per=config.per,
        thesis_range=config.thesis_range,
    )
    rounding = Activations(config.method, config.activation_bits, thesis_range=config.thesis_range)
    return QuantizedLayer(layer, stored, rounding)


@torch.no_grad()
def quantize(network: Network, config: PTQConfig) -> Network:
    """A copy of the network with quantized layers (thesis section 4.2); the network itself stays as it is.

    Args:
        network: a LinViT or a CNN.
        config: method, widths, and which layers.

    Returns:
        The copy, in evaluation mode.

    Raises:
        UsageError: a BitViT: its encoder is ternary already.
    """
    _refuse_ternary(network)
    copy = deepcopy(network).eval()
    for name, layer in _chosen(copy, config.layers).items():
        parent, _, attribute = name.rpartition(".")
        setattr(copy.get_submodule(parent), attribute, _quantized(layer, config))
    return copy.eval()


def weight_bytes(network: Network, config: PTQConfig | None = None) -> int:
    """Bytes of the weights as they would be packed.

    Quantized layers of n weights at b bits take ceil(n b / 8) + 4 s bytes: s is one float32 scale a tensor or a
    channel, and for zeropoint as many zero-points; BitLinear layers ceil(2 n / 8) + 4; every other number of the
    network (biases, norms, running statistics, unquantized layers) 4. The head of a distillation token does not count:
    no answer uses it. `thesis_range` counts b bits too, as the
    thesis does, though its 2^b + 1 levels do not fit into them.

    Args:
        network: as it was before `quantize`.
        config: how it would be quantized; None for the network as it is.

    Raises:
        UsageError: a quantization of a BitViT.
    """
    if config is not None:
        _refuse_ternary(network)
    floats: int = sum(
        value.numel()
        for name, value in network.state_dict().items()
        if value.is_floating_point() and not name.startswith(TRAINING_ONLY)
    )
    packed = 0
    for count, bits, numbers in _packed_layers(network, config):
        packed += math.ceil(count * bits / 8) + FLOAT_BYTES * numbers
        floats -= count
    return packed + FLOAT_BYTES * floats


def _packed_layers(network: Network, config: PTQConfig | None) -> Iterator[tuple[int, int, int]]:
    """Of each layer below float32: weights, their bits, and the float32 numbers beside them."""
    for module in network.modules():
        if isinstance(module, BitLinear):
            yield module.weight.numel(), TERNARY_BITS, 1
    if config is None:
        return
    for layer in _chosen(network, config.layers).values():
        scales = 1 if config.per == "tensor" else layer.weight.shape[0]
        yield layer.weight.numel(), config.weight_bits, scales * (2 if config.method == "zeropoint" else 1)
