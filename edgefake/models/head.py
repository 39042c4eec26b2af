"""The head of every network: from one vector a picture to logits."""

from itertools import pairwise

from torch import nn

__all__ = ["DEEPFAKE_HEAD", "prediction_head"]

DEEPFAKE_HEAD = (192, 96, 48, 24)
"""Widths of the hidden layers of the deepfake head (thesis section 4.3)."""


def prediction_head(inputs: int, hidden: tuple[int, ...], *, classes: int, dropout: float) -> nn.Sequential:
    """Linear layers with ReLU and dropout down to the classes (thesis eq. 3.21-3.23).

    The hidden layers start as He et al. (2015) have it, so that five of them pass a gradient.

    Args:
        inputs: width of the vector.
        hidden: widths of the hidden layers; empty for one linear layer.
        classes: number of logits.
        dropout: after each hidden layer.

    Returns:
        (B, inputs) -> (B, classes).
    """
    widths = (inputs, *hidden)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        linear = nn.Linear(before, after)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        layers += [linear, nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))
