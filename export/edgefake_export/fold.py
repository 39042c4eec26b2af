"""BitLinear without its latent weights: whole numbers {-1, 0, 1} and one scale."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefake.models import BitLinear
from edgefake.models.bitlinear import quantize_activations, ternarize

__all__ = ["FloatBitLinear", "FoldedLinear", "children_of", "fold"]


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

    An all-zero layer folds to zeros and the smallest scale, 1e-5. The scale is a mean, whose last bit depends on how
    many threads add it up: here it is always one, so that a checkpoint gives one file.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            ternary, scale = ternarize(layer.weight.detach().float().cpu())
    finally:
        torch.set_num_threads(threads)
    bias = None if layer.bias is None else layer.bias.detach().float().cpu().clone()
    return FoldedLinear(weight=ternary.T.to(torch.int8).contiguous(), scale=scale, bias=bias)


def children_of(parent: nn.Module) -> list[tuple[str, nn.Module]]:
    """Names and modules right below one; `named_children` leaves out a module's second name."""
    return [(name, child) for name, child in parent._modules.items() if child is not None]


class FloatBitLinear(nn.Module):
    """BitLinear with its weights as floats, beta * W~, behind the activation quantizer: (..., in) -> (..., out)."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, folded: FoldedLinear, *, half: bool = False) -> None:
        super().__init__()
        weight = folded.dequantized
        self.register_buffer("weight", weight.half().float() if half else weight)
        self.register_buffer("bias", folded.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply quantized activations in float32."""
        levels, gamma = quantize_activations(x)
        return F.linear(levels / gamma, self.weight, self.bias)
