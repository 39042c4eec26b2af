"""Layers that compute, from LiteRT's operators, what BitLinear and quantized layers compute in torch.

LiteRT runs a FULLY_CONNECTED layer with whole-number weights on 8-bit activations of its own: it rounds every row over
[min, max], zero at some level of -128..127. Two more columns, with zero weights, say what that range is.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefake.models.bitlinear import EPSILON
from edgefake.quantized import Activations, StoredWeight
from edgefake.quantizers import absmax, zeropoint

__all__ = ["AbsmaxLinear", "LevelsConv", "LevelsLinear", "RoundedLayer", "columns_for"]

INPUT_MULTIPLE = 4
"""Of a layer's inputs: with others LiteRT's 2-bit kernels leave XNNPACK, without a word."""

LEAST, LARGEST = -128.0, 127.0
"""Levels of LiteRT's activations."""


def columns_for(features: int) -> int:
    """How many columns join a layer's inputs: two for the ends of the range, then to a multiple of 4."""
    return 2 + -(features + 2) % INPUT_MULTIPLE


class AbsmaxLinear(nn.Module):
    """A linear layer with absmax activations of 8 bits: (..., in) -> (..., out).

    The columns are a = max(|x|, eps) and -a * 128 / 127: over this range LiteRT's scale is a / 127 and zero has level
    0, which is absmax.

    Args:
        weight: (out, in + columns).
        bias: (out,) or None.
        scale: of the whole weight. It is multiplied into x, whose rounding does not see it: the weight's own scales
            are ones then, which layers share. 1 for a weight whose channels have scales.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None, *, scale: float) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Scale, join the columns, multiply."""
        if self.scale != 1:
            x = x * self.scale
        largest = x.abs().amax(dim=-1, keepdim=True).clamp(min=EPSILON * self.scale)
        spare = self.weight.shape[1] - x.shape[-1] - 2
        joined = torch.cat([x, largest, largest * (LEAST / LARGEST)] + [largest] * spare, dim=-1)
        return F.linear(joined, self.weight, self.bias)


class LevelsLinear(nn.Module):
    """A linear layer behind any dynamic rounding of its input: (..., in) -> (..., out).

    Levels are computed as floats. The columns are -128 and 127: over this range LiteRT's rounding leaves whole numbers
    as they are. With zero-points z of activations and v of weights,

        sum (q - z) (L - v) = sum q L - z sum L - v sum (q - z)

    Args:
        weight: (out, in + columns); stands for levels times the scales of the channels, if those have their own.
        bias: (out,) or None.
        stored: the levels (out, ...), scale and zero.
        activations: "absmax" or "zeropoint", of any width.
    """

    weight: Tensor
    bias: Tensor | None
    sums: Tensor
    shift: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None, stored: StoredWeight, activations: Activations) -> None:
        super().__init__()
        whole = stored.scale.ndim == 0
        channels = torch.ones(len(weight)) if whole else stored.scale
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("sums", stored.levels.float().flatten(1).sum(dim=1) * channels)
        self.register_buffer("shift", None if stored.zero is None else stored.zero * channels)
        self.scale = float(stored.scale) if whole else 1.0
        self.activations = activations

    def forward(self, x: Tensor) -> Tensor:
        """Round a row at a time, multiply in whole numbers."""
        return self.product(*self.round(x, over=(-1,)))

    def round(self, x: Tensor, *, over: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Levels of x; gamma and zero-points, of x's shape with 1 along `over`."""
        bits, thesis_range = self.activations.bits, self.activations.thesis_range
        if self.activations.method == "absmax":
            return *absmax(x, bits, over=over, thesis_range=thesis_range), None
        return zeropoint(x, bits, over=over, thesis_range=thesis_range)

    def product(self, levels: Tensor, gamma: Tensor, zero: Tensor | None) -> Tensor:
        """Multiply levels (..., in), take the zero-points off, rescale, add the bias: (..., out)."""
        # Not constants: these would stand in the file, one number a row.
        low, high = levels[..., :1].clamp(max=LEAST), levels[..., :1].clamp(min=LARGEST)
        spare = self.weight.shape[1] - levels.shape[-1] - 2
        y = F.linear(torch.cat([levels, low, high] + [high] * spare, dim=-1), self.weight)
        if zero is not None:
            y, levels = y - zero * self.sums, levels - zero
        if self.shift is not None:
            y = y - levels.sum(dim=-1, keepdim=True) * self.shift
        y = y * (self.scale / gamma)
        return y if self.bias is None else y + self.bias


class LevelsConv(LevelsLinear):
    """A convolution with absmax activations as a linear layer of patches: (B, C, H, W) -> (B, C', H', W').

    LiteRT has whole-number convolutions for 8-bit weights alone, but linear layers for 4 and 2 bits too.

    Args:
        weight: (out, kernel height * kernel width * in + columns), columns last, channels fastest before them.
        like: the convolution; one group, zeros around the map, no dilation.
        stored, activations: as in `LevelsLinear`.
    """

    def __init__(self, weight: Tensor, like: nn.Conv2d, stored: StoredWeight, activations: Activations) -> None:
        bias = None if like.bias is None else like.bias.detach().clone()
        super().__init__(weight, bias, stored, activations)
        self.kernel, self.stride = like.kernel_size, like.stride
        self.padding = [int(side) for side in like.padding]

    def forward(self, x: Tensor) -> Tensor:
        """Round an image at a time, cut patches, multiply in whole numbers."""
        levels, gamma, _ = self.round(x, over=(-3, -2, -1))
        patches = self._patches(levels.permute(0, 2, 3, 1))
        y = self.product(patches.flatten(1, 2), gamma.flatten(2), None)  # (B, H' * W', out)
        return y.reshape(*patches.shape[:3], -1).permute(0, 3, 1, 2)

    def _patches(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H', W', kernel height * kernel width * C), with slices of step 1 alone, for XNNPACK."""
        batch, height, width, channels = x.shape
        (high, wide), (down, right), (above, beside) = self.kernel, self.stride, self.padding
        rows, columns = (height + 2 * above - high) // down + 1, (width + 2 * beside - wide) // right + 1
        # Each phase of a stride is a map of its own; the edges are filled up so that all have one size.
        tall, broad = rows + (high - 1) // down, columns + (wide - 1) // right
        x = F.pad(x, (0, 0, beside, broad * right - width - beside, above, tall * down - height - above))
        x = x.reshape(batch, tall * down, broad, right * channels)
        cuts = []
        for first, phase in (divmod(j, right) for j in range(wide)):
            cuts.append(x[:, :, first : first + columns, phase * channels : (phase + 1) * channels])
        x = torch.cat(cuts, dim=-1).reshape(batch, tall, down * columns, wide * channels)
        cuts = []
        for first, phase in (divmod(i, down) for i in range(high)):
            cuts.append(x[:, first : first + rows, phase * columns : (phase + 1) * columns])
        return torch.cat(cuts, dim=-1)


class RoundedLayer(nn.Module):
    """A float layer behind the rounding of its input, as `edgefake.quantized.QuantizedLayer` is.

    LiteRT has the weight as levels and makes them floats once, without a zero-point v, which comes off after the layer:

        sum x (L - v) s = sum x L s - v s sum x

    Args:
        layer: its weight stands for levels times scales.
        stored, activations: of the `QuantizedLayer`.
        over: dimensions of the input that share a scale.
    """

    shift: Tensor | None

    def __init__(
        self, layer: nn.Linear | nn.Conv2d, stored: StoredWeight, activations: Activations, over: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.layer = layer
        self.activations = activations
        self.over = over
        shape = (-1,) if isinstance(layer, nn.Linear) else (-1, 1, 1)
        self.register_buffer("shift", None if stored.zero is None else (stored.zero * stored.scale).view(shape))

    def _window(self, x: Tensor) -> Tensor:
        """The sum over what an output sees, once where all see the same."""
        if isinstance(self.layer, nn.Linear):
            return x.sum(dim=-1, keepdim=True)
        outputs = 1 if self.layer.groups == 1 else self.layer.out_channels
        ones = torch.ones(outputs, *self.layer.weight.shape[1:])
        sums: Tensor = self.layer._conv_forward(x, ones, None)
        return sums

    def forward(self, x: Tensor) -> Tensor:
        """Round the activations, run the layer, take the zero-point off."""
        x = self.activations.round(x, over=self.over)
        y: Tensor = self.layer(x)
        return y if self.shift is None else y - self._window(x) * self.shift
