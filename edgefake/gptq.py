"""GPTQ: weights rounded column by column, each error made good by the columns to come (Frantar et al. 2022).

A layer's squared error over calibration inputs X (n, K) is tr((W - W^) H (W - W^)^T) with H = X^T X. Rounding to the
nearest level minimizes |W - W^| instead, which is another thing where inputs are correlated, as in every network.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefake_runtime.errors import ModelFileError, UsageError

from .models import BitLinear
from .observe import in_order_of_execution, observe, require_pictures
from .quantized import Activations, QuantizedLayer, StoredWeight
from .quantizers import EPSILON, require_bits

__all__ = ["InputGram", "gptq", "quantize_gptq"]

DAMPING = 0.01
"""Added to H's diagonal, of its mean (the paper's value): inputs that hardly vary must not take all errors."""

BLOCK = 128
"""Columns whose errors reach the rest of a matrix together; for speed alone."""

CLIPS = tuple(1 - 0.05 * step for step in range(18))
"""Scales that are tried, of that with which no weight is clipped: 1 down to 0.15."""

TOGETHER = 4
"""Layers whose inputs are gathered in one pass over the pictures: those of an encoder's block.

All four see the layers before them quantized. One layer a pass took 2.3 times as long and was no better (linvit-tiny at
2 bits, 256 pictures: AUC 0.7342 instead of 0.7350 a channel, 0.7361 and 0.7361 a tensor)."""


def gptq(weight: Tensor, gram: Tensor, *, bits: int, per: str = "channel") -> StoredWeight:
    """Round a weight so that the layer's output, not the weight itself, changes least.

    With H = gram + 0.01 mean(diag(gram)) I and U the upper Cholesky factor of H^-1, columns j from the one with the
    largest inputs on, levels in [-Q, Q - 1], Q = 2^(bits - 1) (Frantar et al. 2022, algorithm 1):

        q_j = RoundClip(w_j / s, -Q, Q - 1),  w_k <- w_k - (w_j - s q_j) U_jk / U_jj  for k > j

    Each scale s is that of `CLIPS`, of max|w| / (Q - 1), with the least error under H; with each of them
    rounding to the nearest is tried too, so that the result is never worse than absmax. No backward.

    Args:
        weight: (out, ...), float.
        gram: X^T X over the inputs, (K, K) with K numbers of `weight` a row; (G, K, K) for a convolution of G groups.
        bits: 2 to 8.
        per: one scale a "tensor" or one an output "channel".

    Returns:
        Symmetric levels: no zero-points.

    Raises:
        UsageError: bits, `per` or shapes that cannot be.
        ModelFileError: NaN or infinity.
    """
    _require(weight, gram, bits, per)
    grams = gram.double().reshape(-1, *gram.shape[-2:])
    rows = weight.detach().float().reshape(len(grams), len(weight) // len(grams), -1)  # (G, R, K)
    levels, scale = _search(rows, _damped(grams), bits=bits, shared=per == "tensor")
    scales = scale.flatten()  # (out,)
    return StoredWeight(
        levels=levels.to(torch.int8).reshape(weight.shape),
        scale=scales[0].clone() if per == "tensor" else scales,
        zero=None,
        bits=bits,
    )


def _require(weight: Tensor, gram: Tensor, bits: int, per: str) -> None:
    require_bits(bits, "bits")
    if per not in ("tensor", "channel"):
        raise UsageError(f"per: expected tensor or channel, got {per}")
    groups = gram.shape[0] if gram.ndim == 3 else 1
    width = weight[0].numel()
    if gram.shape[-2:] != (width, width) or len(weight) % groups:
        raise UsageError(
            f"expected a gram matrix of {width} x {width} for a weight of {tuple(weight.shape)}, "
            f"got {tuple(gram.shape)}"
        )
    for name, tensor in (("weights", weight), ("calibration inputs", gram)):
        if not bool(torch.isfinite(tensor).all()):
            raise ModelFileError(f"GPTQ: expected finite {name}, got NaN or infinity; train the network again")


def _damped(grams: Tensor) -> Tensor:
    """H of each group, positive definite also where inputs are dead or fewer than columns."""
    mean = grams.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    added = torch.where(mean > 0, DAMPING * mean, 1.0)  # no input at all: plain rounding
    return grams + added[:, None, None] * torch.eye(grams.shape[-1], dtype=grams.dtype, device=grams.device)


def _search(rows: Tensor, hessian: Tensor, *, bits: int, shared: bool) -> tuple[Tensor, Tensor]:
    """Levels (G, R, K) and scales (G, R, 1) with the least error, a channel or (shared) the whole tensor."""
    half = 2 ** (bits - 1)
    order, factor = _factorized(hessian)
    weighted = hessian.float()
    largest = rows.abs().amax(dim=-1, keepdim=True)  # (G, R, 1)
    widest = (largest.amax().expand_as(largest) if shared else largest).clamp(min=EPSILON) / (half - 1)
    best, levels, scale = torch.full_like(widest, torch.inf), torch.zeros_like(rows), widest
    for clip in CLIPS:
        tried = widest * clip
        found, error = _nearest(rows, weighted, tried, half)
        moved = _compensated(rows.gather(-1, _like(order, rows)), factor, tried, half)
        moved = torch.empty_like(moved).scatter_(-1, _like(order, rows), moved)
        found, error = _lesser(found, error, moved, _error(rows - moved * tried, weighted))
        error = error.sum().expand_as(error) if shared else error
        better = error < best
        best, levels = torch.where(better, error, best), torch.where(better, found, levels)
        scale = torch.where(better, tried, scale)
    return levels, scale


def _like(order: Tensor, rows: Tensor) -> Tensor:
    """The order of the columns, (G, K), for every row: (G, R, K)."""
    return order[:, None, :].expand_as(rows)


def _factorized(hessian: Tensor) -> tuple[Tensor, Tensor]:
    """The columns from the largest inputs on, (G, K), and U in that order, (G, K, K), float32."""
    order = hessian.diagonal(dim1=-2, dim2=-1).argsort(dim=-1, descending=True, stable=True)
    across = order[:, None, :].expand_as(hessian)
    ordered = hessian.gather(-1, across).gather(-2, across.mT)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(ordered))
    return order, torch.linalg.cholesky(inverse, upper=True).float()


def _error(difference: Tensor, hessian: Tensor) -> Tensor:
    """Error d H d^T of each row: (G, R, K) -> (G, R, 1)."""
    return ((difference @ hessian) * difference).sum(dim=-1, keepdim=True)


def _nearest(rows: Tensor, hessian: Tensor, scale: Tensor, half: int) -> tuple[Tensor, Tensor]:
    """Levels that are nearest to the weights, and the error of each row."""
    levels = (rows / scale).round().clamp(-half, half - 1)
    return levels, _error(rows - levels * scale, hessian)


def _lesser(levels: Tensor, error: Tensor, others: Tensor, their_error: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row the levels with the lesser error."""
    return torch.where(their_error < error, others, levels), torch.minimum(error, their_error)


def _compensated(rows: Tensor, factor: Tensor, scale: Tensor, half: int) -> Tensor:
    """Levels of rows (G, R, K), one column after the other, by the factor U (G, K, K)."""
    rest, levels = rows.clone(), torch.empty_like(rows)
    columns, step = rows.shape[-1], scale[..., 0]
    for start in range(0, columns, BLOCK):
        stop = min(start + BLOCK, columns)
        errors = torch.empty_like(rest[..., start:stop])
        for column in range(start, stop):
            level = (rest[..., column] / step).round().clamp(-half, half - 1)  # (G, R)
            error = (rest[..., column] - level * step) / factor[:, column, column, None]
            rest[..., column:stop] -= error[..., None] * factor[:, None, column, column:stop]
            levels[..., column], errors[..., column - start] = level, error
        rest[..., stop:] -= errors @ factor[:, start:stop, stop:]
    return levels


class InputGram:
    """X^T X over what goes into a layer, rounded as the quantized layer will round it; shown one batch at a time.

    A convolution's rows are its unfolded patches.

    Attributes:
        total: (G, K, K), float64; G groups of a convolution, 1 for a linear layer.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, activations: Activations) -> None:
        self._layer, self._activations = layer, activations
        groups = 1 if isinstance(layer, nn.Linear) else layer.groups
        width = layer.weight[0].numel()
        self.total = torch.zeros(groups, width, width, dtype=torch.float64, device=layer.weight.device)

    def __call__(self, x: Tensor) -> None:
        """Add a batch."""
        layer = self._layer
        if isinstance(layer, nn.Linear):
            rows = self._activations.round(x, over=(-1,)).flatten(0, -2)  # (n, K)
            self.total += rows.T @ rows
            return
        for picture in self._activations.round(x, over=(-3, -2, -1)):  # patches are kernel^2 times the map
            patches = _patches(layer, picture[None])
            self.total += patches @ patches.mT


def _patches(layer: nn.Conv2d, picture: Tensor) -> Tensor:
    """What a convolution multiplies of one picture: (1, C, H, W) -> (G, K, places)."""
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = F.pad(picture, layer._reversed_padding_repeated_twice, mode=mode)
    columns = F.unfold(padded, layer.kernel_size, dilation=layer.dilation, stride=layer.stride)[
        0
    ]  # (C * kernel, places)
    return columns.view(layer.groups, -1, columns.shape[-1])


@torch.no_grad()
def quantize_gptq(
    network: nn.Module,
    names: Sequence[str],
    images: Tensor,
    *,
    bits: int,
    per: str = "channel",
    activations: Activations = Activations("absmax"),  # noqa: B008  # frozen
    on_done: Callable[[int], None] = lambda count: None,
) -> nn.Module:
    """A copy of a network with some layers quantized by GPTQ; the network itself stays as it is.

    Layers come in the order in which the network runs them, four at a time, each with the inputs that the copy gives
    it: earlier layers quantized, activations rounded. Memory: the copy, 16 pictures with what the network makes of
    them, and four matrices of K x K numbers (118 MB each at 3,840 inputs).

    Args:
        network: any, of float layers.
        names: of its linear and convolution layers.
        images: (n, 3, H, W), 16 or more, of the kind that the network will see.
        bits: of the weights, 2 to 8.
        per: one scale a "tensor" or one an output "channel".
        activations: how the layers round their input.
        on_done: told of layers as they are done.

    Returns:
        The copy, in evaluation mode.

    Raises:
        UsageError: fewer than 16 pictures, or a name that is no such layer or never runs.
        ModelFileError: NaN or infinity in the weights or on the way.
    """
    require_pictures(images)
    require_bits(bits, "bits")
    copy = deepcopy(network).eval()
    layers = {name: _layer(copy, name) for name in names}
    order = in_order_of_execution(copy, list(layers), images[:1])
    for start in range(0, len(order), TOGETHER):
        grams = {name: InputGram(layers[name], activations) for name in order[start : start + TOGETHER]}
        observe(copy, grams, images)
        for name, gram in grams.items():
            stored = gptq(layers[name].weight, gram.total, bits=bits, per=per)
            _replace(copy, layers[name], QuantizedLayer(layers[name], stored, activations))
            on_done(1)
    return copy.eval()


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a layer in another's place, wherever the network uses that one."""
    for parent in list(network.modules()):
        for name, child in list(parent._modules.items()):  # named_children leaves out a layer's second name
            if child is old:
                setattr(parent, name, new)


def _layer(network: nn.Module, name: str) -> nn.Linear | nn.Conv2d:
    found = dict(network.named_modules()).get(name)
    if not name or not isinstance(found, (nn.Linear, nn.Conv2d)) or isinstance(found, BitLinear):
        got = "no layer" if found is None else f"a {type(found).__name__}"
        raise UsageError(f"{name!r}: expected the name of a float linear or convolution layer, got {got}")
    return found
