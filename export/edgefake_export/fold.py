"""BitLinear -> whole-number weights {-1, 0, 1}, one scale, and their two bits a weight in a file."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgefake.checkpoint import pack_ternary, unpack_ternary
from edgefake.models import BitLinear
from edgefake.models.bitlinear import ternarize

__all__ = ["FoldedLinear", "fold", "pack_int2", "unpack_int2"]


@dataclass(frozen=True)
class FoldedLinear:
    """What inference needs of one BitLinear: y = scale * (x @ weight) + bias.

    Attributes:
        weight: (in, out), int8, values -1, 0, 1: transposed, as ONNX multiplies.
        scale: beta, a float32 scalar tensor, positive.
        bias: (out,), float32, or None.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    @property
    def dequantized(self) -> Tensor:
        """The float weight, scale * weight, as torch multiplies, (out, in), float32."""
        return self.weight.T.to(torch.float32).contiguous() * self.scale


def fold(layer: BitLinear) -> FoldedLinear:
    """Drop the latent weights of a layer (thesis eq. 3.28-3.30).

    An all-zero layer folds to zeros and the smallest scale, 1e-5.
    """
    with torch.no_grad():
        ternary, scale = ternarize(layer.weight.detach().float().cpu())
    bias = None if layer.bias is None else layer.bias.detach().float().cpu().clone()
    return FoldedLinear(weight=ternary.T.to(torch.int8).contiguous(), scale=scale, bias=bias)


def pack_int2(weight: NDArray[np.int8]) -> bytes:
    """Ternary values of any shape -> raw data of an ONNX INT2 tensor: element 0 in the lowest bits."""
    return bytes(pack_ternary(torch.from_numpy(weight.astype(np.int8))).numpy().tobytes())


def unpack_int2(raw: bytes, shape: tuple[int, int]) -> NDArray[np.int8]:
    """The inverse of `pack_int2`.

    Raises:
        ModelFileError: too few bytes, or a code that is no ternary value.
    """
    packed = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
    return np.asarray(unpack_ternary(packed, shape).numpy(), dtype=np.int8)
