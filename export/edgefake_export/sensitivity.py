"""How sure torch is of its own logits: what they do when all that goes in and out of layers is rounded otherwise.

Any two programs add floats in another order. Where layers round their inputs, an activation that lies so close to the
middle between two of its 255 levels goes to either, and later layers carry the step on: no program is more right.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgefake.quantized import QuantizedLayer

__all__ = ["own_distances"]

DRAWS = 8
SEED = 0

ULP = 2.0**-23
"""Largest relative step between float32 numbers."""

STEPS = 4
"""How many of them a number is off by at most: as sums of some hundred products in two orders are."""

Logits = NDArray[np.float32]


def own_distances(network: nn.Module, logits: Callable[[], Logits]) -> NDArray[np.float64]:
    """Distances of a network's logits from themselves, in draws of such rounding; the same in each call.

    Args:
        network: left as it is.
        logits: runs the network on the same inputs each time: () -> (n, classes).

    Returns:
        |difference| of every logit: (draws, n, classes).
    """
    expected = logits().astype(np.float64)
    with _moving(network, np.random.default_rng(SEED)):
        return np.stack([np.abs(logits() - expected) for _ in range(DRAWS)])


@contextmanager
def _moving(network: nn.Module, generator: np.random.Generator) -> Iterator[None]:
    """While this lasts, the input and the output of each layer are off by a few float32 roundings, at random."""

    def moved(x: object) -> object:
        if not isinstance(x, Tensor) or not x.is_floating_point():
            return x
        # Bytes from NumPy: torch draws numbers of 8 bytes, which took two thirds of the time of a pass.
        steps = torch.from_numpy(generator.integers(-STEPS, STEPS, x.shape, dtype=np.int8, endpoint=True))
        return x * (1 + steps.to(x.device) * ULP)

    def before(layer: nn.Module, inputs: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(moved(x) for x in inputs)

    def after(layer: nn.Module, inputs: object, output: object) -> object:
        return moved(output)

    layers = list(_layers(network))
    hooks = [layer.register_forward_pre_hook(before) for layer in layers]
    hooks += [layer.register_forward_hook(after) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _layers(network: nn.Module) -> Iterator[nn.Module]:
    """What has no layers inside; one that rounds its input is a layer with its rounding."""
    children = () if isinstance(network, QuantizedLayer) else tuple(network.children())
    if not children:
        yield network
    for child in children:
        yield from _layers(child)
