"""The example that a network is traced with."""

import torch
from torch import Tensor, nn

from edgefake.observe import evaluating
from edgefake_runtime.errors import UsageError

__all__ = ["require_example"]


def require_example(network: nn.Module, example: Tensor) -> None:
    """Refuse what an exporter would fail on at length, or take for something else.

    Args:
        network: with one input and one output.
        example: an input, (B, ...).

    Raises:
        UsageError: an example without a batch, one that the network does not take, or several outputs.
    """
    shape = tuple(example.shape)
    if example.ndim < 2 or not len(example):
        raise UsageError(f"expected an example with a batch, (B, ...), got {shape}")
    try:
        with evaluating(network), torch.no_grad():
            answer = network(example.detach().float().cpu())
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(f"expected an example that the network takes, got {shape}: {reason}") from error
    if not isinstance(answer, Tensor):
        raise UsageError(f"expected a network with one output, got a {type(answer).__name__} of several")
