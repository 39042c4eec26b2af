"""Static activations: one int8 range a layer, from what goes into it over calibration pictures.

Compilers for NPUs want scales that are known beforehand. Which range is best is a trade: a wide one has coarse steps, a
narrow one clips. (Platt scaling, the other calibration, is in `calibrate`.)
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgefake_runtime.errors import ModelFileError, UsageError

from .observe import observe, require_pictures
from .quantized import Activations
from .quantizers import EPSILON

__all__ = ["RANGES", "static_activations"]

RANGES = ("minmax", "percentile", "mse")
"""From which value to which the 256 levels reach: all values, all but a share at both ends, or so that the squared
error of rounding and clipping together is least.

Signal-to-noise ratio of the logits over dfdc/val, encoder static, 256 crops of dfdc/train: bitvit-tiny 43.9, 44.8,
44.1 dB; linvit-tiny 39.9, 41.5, 41.3 dB; cnn-tiny 31.4, 31.4, 34.3 dB. None moved the AUC by more than 0.0003."""

CLIPPED = 1e-4
"""Share of the values that "percentile" clips: half of it at each end."""

BINS = 4096
SHARES = np.linspace(0.05, 1.0, 96)
"""Ends that "mse" tries, of the least and of the largest value."""


class _Extent:
    """Least and largest value that went by, 0 included."""

    def __init__(self) -> None:
        self.low = self.high = 0.0

    def __call__(self, x: Tensor) -> None:
        low, high = x.aminmax()
        self.low, self.high = min(self.low, low.item()), max(self.high, high.item())
        if not bool(torch.isfinite(low) and torch.isfinite(high)):
            raise ModelFileError("calibration: expected finite activations, got NaN or infinity; train it again")


class _Histogram:
    """How often values of an extent went by: constant memory, however many they are."""

    def __init__(self, extent: _Extent) -> None:
        self._low, self._high = extent.low, extent.high
        self.counts = np.zeros(BINS)
        edges = np.linspace(self._low, self._high, BINS + 1)
        self.centres = (edges[1:] + edges[:-1]) / 2

    def __call__(self, x: Tensor) -> None:
        self.counts += x.float().histc(BINS, self._low, self._high).double().cpu().numpy()


def static_activations(
    network: nn.Module, names: Sequence[str], images: Tensor, *, method: str = "mse"
) -> dict[str, Activations]:
    """Ranges of what goes into layers: q = RoundClip(round(x / scale) + zero, -128, 127), 0 exactly representable.

    Two passes over the pictures (one for "minmax"), whatever the number of layers.

    Args:
        network: as the layers will stand in it: what its earlier layers round counts.
        names: of its layers, of any kind.
        images: (n, 3, H, W), 16 or more, of the kind that the network will see.
        method: one of `RANGES`.

    Returns:
        Of each name; scales are float32 numbers, as files hold them.

    Raises:
        UsageError: another method, fewer than 16 pictures, or a layer that never runs.
        ModelFileError: NaN or infinity goes into a layer.
    """
    if method not in RANGES:
        raise UsageError(f"range: expected {', '.join(RANGES)}; got {method}")
    require_pictures(images)
    extents = {name: _Extent() for name in names}
    observe(network, extents, images)
    if method == "minmax":
        return {name: _activations(extent.low, extent.high) for name, extent in extents.items()}
    return {name: _activations(*ends) for name, ends in _narrowed(network, extents, images, method=method).items()}


def _narrowed(
    network: nn.Module, extents: Mapping[str, _Extent], images: Tensor, *, method: str
) -> dict[str, tuple[float, float]]:
    # An extent without width has no histogram: whatever went by was 0.
    histograms = {name: _Histogram(extent) for name, extent in extents.items() if extent.low < extent.high}
    observe(network, histograms, images)
    rule = _without_tails if method == "percentile" else _least_error
    found = {name: rule(histogram.counts, histogram.centres) for name, histogram in histograms.items()}
    return {name: found.get(name, (0.0, 0.0)) for name in extents}


def _without_tails(counts: NDArray[np.float64], centres: NDArray[np.float64]) -> tuple[float, float]:
    below = counts.cumsum() / counts.sum()
    low, high = (int(np.searchsorted(below, share)) for share in (CLIPPED / 2, 1 - CLIPPED / 2))
    return float(centres[low]), float(centres[min(high, BINS - 1)])


def _least_error(counts: NDArray[np.float64], centres: NDArray[np.float64]) -> tuple[float, float]:
    """Ends with the least sum of step^2 / 12 for every value and the squares of what is clipped."""
    lows, highs = SHARES * min(centres[0], 0.0), SHARES * max(centres[-1], 0.0)
    clipped_low = np.square(np.minimum(centres - lows[:, None], 0)) @ counts  # (ends,)
    clipped_high = np.square(np.maximum(centres - highs[:, None], 0)) @ counts
    steps = (highs - lows[:, None]) / 255  # (low ends, high ends)
    errors = counts.sum() * np.square(steps) / 12 + clipped_low[:, None] + clipped_high
    low, high = np.unravel_index(errors.argmin(), errors.shape)
    return float(lows[low]), float(highs[high])


def _activations(low: float, high: float) -> Activations:
    """256 levels from low to high, widened so that 0 is one of them."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32(max(high - low, EPSILON) / 255))
    zero = int(np.clip(np.rint(-128 - low / scale), -128, 127))
    return Activations("static", scale=scale, zero=zero)
