"""A layer whose weights are whole numbers and a scale, as it will run: what quantization leaves and export stores.

Values are rounded and scaled back ("fake" quantization), so that torch gives what integer arithmetic would.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgefake_runtime.errors import UsageError

from .quantizers import absmax, dequantize, require_bits, zeropoint

__all__ = ["ACTIVATIONS", "Activations", "QuantizedLayer", "StoredWeight", "store"]

ACTIVATIONS = ("none", "absmax", "zeropoint", "static")
"""How a layer rounds what goes into it."""

STATIC_RANGE = (-128, 127)


@dataclass(frozen=True)
class StoredWeight:
    """A weight as a file holds it: W = (levels - zero) * scale, scale and zero along the first dimension.

    Attributes:
        levels: whole numbers of the weight's shape; int8, or int16 where the thesis' range needs 9 bits.
        scale: float32, () for one of the whole tensor or (out,) for one an output channel.
        zero: float32 whole numbers of the scale's shape; None for symmetric weights.
        bits: the width that the levels were made for, 2 to 8.
    """

    levels: Tensor
    scale: Tensor
    zero: Tensor | None
    bits: int

    @property
    def container(self) -> int:
        """Bits that a level takes in a file: 2, 4 or 8, the next that holds `bits`."""
        return next(width for width in (2, 4, 8) if self.bits <= width)

    @property
    def values(self) -> Tensor:
        """The weight that is multiplied, float32."""
        shape = (-1,) + (1,) * (self.levels.ndim - 1)
        whole = self.levels.float()
        if self.zero is not None:
            whole = whole - self.zero.view(shape)
        return whole * self.scale.view(shape)


@dataclass(frozen=True)
class Activations:
    """How a layer rounds its input.

    "none" leaves it; "absmax" and "zeropoint" take one scale a token (a picture, for convolutions) while running;
    "static" has one scale from calibration: q = RoundClip(round(x / scale) + zero, -128, 127).

    Attributes:
        method: one of `ACTIVATIONS`.
        bits: width, 2 to 8; static ones have 8.
        thesis_range: the thesis' levels [-Q, Q] (see `quantizers`).
        scale, zero: of static ones.
    """

    method: str
    bits: int = 8
    thesis_range: bool = False
    scale: float = 1.0
    zero: int = 0

    def __post_init__(self) -> None:
        if self.method not in ACTIVATIONS:
            raise UsageError(f"activations: expected {', '.join(ACTIVATIONS)}; got {self.method}")
        require_bits(self.bits, "activation bits")
        low, high = STATIC_RANGE
        if not self.scale > 0 or not low <= self.zero <= high:
            raise UsageError(
                f"activations: expected a positive scale and a zero of {low} to {high}, got {self.scale}, {self.zero}"
            )

    def round(self, x: Tensor, *, over: tuple[int, ...]) -> Tensor:
        """The nearest values that the width holds, of x's shape; `over` are dimensions that share a scale."""
        if self.method == "none":
            return x
        if self.method == "static":
            low, high = STATIC_RANGE
            levels = ((x / self.scale).round() + self.zero).clamp(low, high)
            return (levels - self.zero) * self.scale
        quantizer = absmax if self.method == "absmax" else zeropoint
        return dequantize(*quantizer(x, self.bits, over=over, thesis_range=self.thesis_range))


def store(weight: Tensor, *, method: str, bits: int, per: str = "tensor", thesis_range: bool = False) -> StoredWeight:
    """Round a weight.

    Args:
        weight: (out, ...), float.
        method: "absmax" or "zeropoint".
        bits: 2 to 8.
        per: one scale a "tensor" or one an output "channel".
        thesis_range: see `quantizers`.
    """
    over = None if per == "tensor" else tuple(range(1, weight.ndim))
    quantizer = absmax if method == "absmax" else zeropoint
    levels, gamma, *zero = quantizer(weight.float(), bits, over=over, thesis_range=thesis_range)
    shape = () if per == "tensor" else (-1,)
    return StoredWeight(
        levels=levels.to(torch.int16 if thesis_range else torch.int8),
        scale=(1.0 / gamma).reshape(shape),
        zero=zero[0].reshape(shape) if zero else None,
        bits=bits,
    )


class QuantizedLayer(nn.Module):
    """A linear or convolution layer with stored weights that rounds its input: y = W round(x) + b.

    Activations have one scale a row of a linear layer's input, an image of a convolution's (a map has no tokens). The
    bias stays float.

    Shapes: those of the layer.

    Attributes:
        layer: the layer with the rounded weights in it.
        stored: those weights as levels.
        activations: how the input is rounded.
        out: what its output goes through; an identity, to watch it.
        outputs: how that is rounded; None for not at all.
    """

    def __init__(
        self,
        layer: nn.Linear | nn.Conv2d,
        stored: StoredWeight,
        activations: Activations,
        *,
        outputs: Activations | None = None,
    ) -> None:
        super().__init__()
        self.out = nn.Identity()
        self.outputs = outputs
        self.layer = layer
        self.stored = stored
        self.activations = activations
        layer.weight = nn.Parameter(stored.values.to(layer.weight), requires_grad=False)
        self.over = (-1,) if isinstance(layer, nn.Linear) else (-3, -2, -1)

    def forward(self, x: Tensor) -> Tensor:
        """Round the activations, run the layer, round what comes out."""
        result: Tensor = self.out(self.layer(self.activations.round(x, over=self.over)))
        return result if self.outputs is None else self.outputs.round(result, over=self.over)
