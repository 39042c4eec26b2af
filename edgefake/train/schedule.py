"""The learning rate over a run."""

import math

__all__ = ["learning_rate"]


def learning_rate(epoch: float, *, warmup: float, t_max: float) -> float:
    """Share of the peak rate: linear warm-up, then a cosine (thesis section 4.1; Loshchilov & Hutter 2017).

    rate = epoch / warmup                                        during the warm-up
    rate = (1 + cos(pi (epoch - warmup) / t_max)) / 2            after it

    Training that ends before `warmup + t_max` ends at a rate above zero, as the thesis' 50 epochs of T_max = 90 do.

    Args:
        epoch: progress in epochs, fractions included.
        warmup: epochs of linear growth.
        t_max: epochs from the peak down to zero.
    """
    if epoch < warmup:
        return epoch / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (epoch - warmup) / t_max)))
