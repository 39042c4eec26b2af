"""Adaptive averages: the resampling of MTCNN's pyramid and crops, from one summed-area table of the frame.

torch calls it `interpolate(mode="area")` or adaptive average pooling: of n pixels resampled to m, output i
is the mean of pixels floor(i n / m) to ceil((i + 1) n / m) - 1. Bins may overlap by a pixel; when m > n they
repeat pixels. The summed-area table (Crow, 1984) is made once a frame; then every mean costs four look-ups,
whatever its size.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import UsageError

__all__ = ["AreaTable", "adaptive_area"]

_INT32_PIXELS = (2**31 - 1) // 255
"""A table of uint8 pixels fits int32 up to this many of them (a little above 3840 x 2160)."""

_STRIP = 64
"""Rows of a result that are made at once, so that what lies between stays in the processor's cache."""

Sums = NDArray[Any]
"""int32 or float64."""
Index = NDArray[np.intp]


def _bins(length: Index | int, count: int) -> tuple[Index, Index]:
    """First and one-past-last pixel of each of `count` bins over `length` pixels: (..., count) each."""
    i = np.arange(count, dtype=np.intp)
    size = np.asarray(length, np.intp)[..., None]
    return i * size // count, -(-(i + 1) * size // count)


def _means(sums: Sums, heights: Index, widths: Index) -> NDArray[np.float32]:
    """Divides sums by the sides of their bins, in torch's order."""
    means: NDArray[np.float32] = sums.astype(np.float32, order="C")
    np.divide(means, heights.astype(np.float32), out=means)
    np.divide(means, widths.astype(np.float32), out=means)
    return means


class AreaTable:
    """Summed-area tables of an image, one a channel, that serve any number of sizes and crops.

    Sums are exact for uint8 (int32, or float64 above 8.4 million pixels), and means are rounded as torch
    rounds them: the float32 sum, divided by the bin's height, then by its width.

    Args:
        image: (H, W, C) uint8 or float32, at least 1 x 1.

    Raises:
        UsageError: another type or shape.
    """

    def __init__(self, image: NDArray[np.uint8] | NDArray[np.float32]) -> None:
        if image.dtype not in (np.uint8, np.float32) or image.ndim != 3 or image.size == 0:
            raise UsageError(f"expected an image (H, W, C) uint8 or float32, got {image.shape} {image.dtype}")
        self.height, self.width, channels = image.shape
        exact = image.dtype == np.uint8 and self.height * self.width <= _INT32_PIXELS
        dtype = np.dtype(np.int32 if exact else np.float64)
        self._sums: Sums = np.empty((channels, self.height + 1, self.width + 1), dtype)
        depth = cv2.CV_32S if exact else cv2.CV_64F
        for plane, sums in zip(cv2.split(np.ascontiguousarray(image)), self._sums, strict=True):
            cv2.integral(plane, sums, sdepth=depth)

    def resize(self, height: int, width: int) -> NDArray[np.float32]:
        """Resamples the whole image.

        Args:
            height: of the result, in pixels, at least 1.
            width: of the result.

        Returns:
            (C, height, width) means.
        """
        top, bottom = _bins(self.height, height)
        left, right = _bins(self.width, width)
        means = np.empty((len(self._sums), height, width), np.float32)
        for start in range(0, height, _STRIP):
            strip = slice(start, start + _STRIP)
            rows = self._sums.take(bottom[strip], 1) - self._sums.take(top[strip], 1)  # (C, strip, W + 1)
            sums = rows.take(right, 2) - rows.take(left, 2)  # (C, strip, width)
            means[:, strip] = _means(sums, (bottom - top)[strip, None], right - left)
        return means

    def crops(self, boxes: Index, side: int) -> NDArray[np.float32]:
        """Cuts boxes out of the image and resamples each to a square.

        Args:
            boxes: (N, 4) x0, y0, x1, y1 in pixels, x1 and y1 excluded, inside the image and not empty.
            side: of the squares, in pixels.

        Returns:
            (N, C, side, side) means.
        """
        left, right = (bins + boxes[:, 0, None] for bins in _bins(boxes[:, 2] - boxes[:, 0], side))
        top, bottom = (bins + boxes[:, 1, None] for bins in _bins(boxes[:, 3] - boxes[:, 1], side))
        stride = self.width + 1
        flat = self._sums.reshape(self._sums.shape[0], -1)  # (C, (H + 1) (W + 1))
        above, below = top[:, :, None] * stride, bottom[:, :, None] * stride
        sums = flat.take(below + right[:, None], 1) - flat.take(below + left[:, None], 1)  # (C, N, side, side)
        sums -= flat.take(above + right[:, None], 1) - flat.take(above + left[:, None], 1)
        sums = np.moveaxis(sums, 0, 1)  # (N, C, side, side)
        return _means(sums, (bottom - top)[:, None, :, None], (right - left)[:, None, None, :])


def adaptive_area(image: NDArray[np.uint8] | NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resamples an image by adaptive averages, as torch's `interpolate(mode="area")`.

    Args:
        image: (H, W, C) uint8 or float32.
        height: of the result, in pixels, at least 1.
        width: of the result.

    Returns:
        (height, width, C) float32 means, in the unit of the pixels.

    Raises:
        UsageError: another type or shape, or a size below 1.
    """
    if height < 1 or width < 1:
        raise UsageError(f"expected a size of 1 x 1 or more, got {height} x {width}")
    return np.ascontiguousarray(np.moveaxis(AreaTable(image).resize(height, width), 0, -1))
