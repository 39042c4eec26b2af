"""BitLinear: a linear layer with ternary weights and 8-bit activations (thesis section 3.3; BitNet b1.58)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .precision import at_least_float32

__all__ = ["ACTIVATION_LEVELS", "EPSILON", "BitLinear", "quantize_activations", "ternarize"]

ACTIVATION_LEVELS = 127.0
EPSILON = 1e-5


def ternarize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Split a weight into ternary values and their scale (thesis eq. 3.28-3.30).

    Forward: beta = max(mean|W|, 1e-5), W~ = RoundClip(W * (1 / beta), -1, 1).

    The product with the reciprocal, not the quotient, is what the author's package computes:
    the two differ at rounding ties.

    Args:
        weight: (out, in), float.

    Returns:
        The ternary values (out, in), of the weight's dtype, and beta, a scalar tensor.
    """
    inverse = 1.0 / weight.abs().mean().clamp_(min=EPSILON)
    return (weight * inverse).round().clamp_(-1, 1), 1.0 / inverse


def quantize_activations(x: Tensor) -> tuple[Tensor, Tensor]:
    """Quantize each row to 8 bits by its largest magnitude (thesis eq. 3.31-3.32).

    Forward: gamma = 127 / max(max|x|, 1e-5), x~ = RoundClip(gamma x, -128, 127).

    Args:
        x: (..., in), float.

    Returns:
        Whole numbers (..., in) in the dtype of x, and gamma (..., 1).
    """
    gamma = ACTIVATION_LEVELS / x.abs().amax(dim=-1, keepdim=True).clamp_(min=EPSILON)
    return (x * gamma).round().clamp_(-128, 127), gamma


class _StraightThrough(torch.autograd.Function):
    """Forward: quantize(x), whole numbers scaled back. Backward: dL/dx = dL/d quantize(x), as if it were x."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, quantize: Callable[[Tensor], Tensor]) -> Tensor:
        return quantize(x)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def _fake_quantize_weight(weight: Tensor) -> Tensor:
    ternary, scale = ternarize(weight)
    return ternary.mul_(scale)


def _fake_quantize_activations(x: Tensor) -> Tensor:
    levels, gamma = quantize_activations(x)
    return levels.div_(gamma)


class BitLinear(nn.Linear):
    """y = (x~ / gamma) (beta W~)^T + b, with latent float weights W (thesis eq. 3.33, without its RMSNorm).

    Numerically the layer of the PyPI package `bitlinear-pytorch`. Gradients pass both quantizers
    unchanged (straight-through estimator). The encoder puts an RMSNorm before every such layer.

    Shapes: (..., in_features) -> (..., out_features).
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = False) -> None:
        super().__init__(in_features, out_features, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """Multiply quantized activations by ternary weights; under autocast the quantizers stay in float32.

        Weights are rounded as float32 also when the layer computes in float64, so that both have the same ones.
        """
        with torch.autocast(input.device.type, enabled=False):
            weight = _StraightThrough.apply(self.weight.float(), _fake_quantize_weight)  # type: ignore[no-untyped-call]
            x = _StraightThrough.apply(at_least_float32(input), _fake_quantize_activations)  # type: ignore[no-untyped-call]
            weight = weight.to(x.dtype)
        return F.linear(x, weight, self.bias)
