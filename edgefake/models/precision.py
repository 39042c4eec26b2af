"""Where networks must not compute in half precision."""

import torch
from torch import Tensor

__all__ = ["at_least_float32"]


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision as float32; float64 stays, so that a network in it can judge one in float32."""
    return x if x.dtype == torch.float64 else x.float()
