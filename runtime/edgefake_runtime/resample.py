"""Adaptive averages: the resampling of MTCNN's pyramid and crops, from one summed-area table of the frame.

torch calls it `interpolate(mode="area")` or adaptive average pooling: of n pixels resampled to m, output i
is the mean of pixels floor(i n / m) to ceil((i + 1) n / m) - 1. Bins may overlap by a pixel; when m > n they
repeat pixels. The summed-area table (Crow, 1984) is made once a frame; then every mean costs four look-ups,
whatever its size.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import UsageError

__all__ = ["AreaTable", "adaptive_area"]

_INT32_PIXELS = (2**31 - 1) // 255
"""A table of uint8 pixels fits int32 up to this many of them (a little above 3840 x 2160)."""

_STRIP = 32
"""Rows of a result that are made at once, so that what lies between stays in the processor's cache."""

_SPARSE = 25
"""Where fewer pixels than one in so many are wanted of a row, picking bins' corners beats subtracting whole rows."""

EVERY = slice(None)
"""Row or column."""

Sums = NDArray[Any]
"""int32 or float64."""
Index = NDArray[np.intp]


def _bins(length: Index | int, count: int) -> tuple[Index, Index]:
    """First and one-past-last pixel of each of `count` bins over `length` pixels: (..., count) each."""
    i = np.arange(count, dtype=np.intp)
    size = np.asarray(length, np.intp)[..., None]
    return i * size // count, -(-(i + 1) * size // count)


def _divide(sums: Sums, heights: Index, widths: Index, means: NDArray[np.float32]) -> None:
    """Writes means from the sums of bins, in torch's order: by the bin's height, then by its width."""
    np.copyto(means, sums, casting="unsafe")
    np.divide(means, heights.astype(np.float32), out=means)
    np.divide(means, widths.astype(np.float32), out=means)


class AreaTable:
    """Summed-area table of an image that serves any number of sizes and crops.

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
        self.height, self.width, self._channels = image.shape
        exact = image.dtype == np.uint8 and self.height * self.width <= _INT32_PIXELS
        sums = cv2.integral(np.ascontiguousarray(image), sdepth=cv2.CV_32S if exact else cv2.CV_64F)
        self._sums: Sums = sums.reshape(self.height + 1, self.width + 1, self._channels)

    def resize(self, height: int, width: int, *, rows: slice = EVERY, columns: slice = EVERY) -> NDArray[np.float32]:
        """Resamples the image, or a part of it.

        Args:
            height: of the whole result, in pixels, at least 1.
            width: of the whole result.
            rows: those of the result that are wanted.
            columns: the same across.

        Returns:
            (C, rows, columns) means.
        """
        top, bottom = (edge[rows] for edge in _bins(self.height, height))
        left, right = (edge[columns] for edge in _bins(self.width, width))
        means = np.empty((self._channels, len(top), len(left)), np.float32)
        sparse = len(left) * _SPARSE < self.width
        add = partial(self._add_corners, left=left, right=right) if sparse else self._row_adder(left, right)
        for start in range(0, len(top), _STRIP):
            strip = slice(start, start + _STRIP)
            sums = add(top[strip], bottom[strip])  # (C, strip, width)
            _divide(sums, (bottom - top)[strip, None], right - left, means[:, strip])
        return means

    def _row_adder(self, left: Index, right: Index) -> Callable[[Index, Index], Sums]:
        """A function that sums the bins of a strip, from differences of whole rows.

        It uses its memory again for every strip: new memory comes from the system page by page, which takes longer
        than the sums.
        """
        table = self._sums.reshape(self.height + 1, -1)  # (H + 1, (W + 1) C)
        plus, minus = (
            edge * self._channels + np.arange(self._channels)[:, None] for edge in (right, left)
        )  # (C, width)
        rows = np.empty((2, _STRIP, table.shape[1]), table.dtype)
        picked = np.empty((2, _STRIP, *plus.shape), table.dtype)

        def add(top: Index, bottom: Index) -> Sums:
            between = _subtract(table, bottom, top, rows[:, : len(top)], axis=0)  # (strip, (W + 1) C)
            return _subtract(between, plus, minus, picked[:, : len(top)], axis=1).transpose(1, 0, 2)

        return add

    def _add_corners(self, top: Index, bottom: Index, left: Index, right: Index) -> Sums:
        """Sums of the bins between edges (..., rows) and (..., columns), from corners: (..., C, rows, columns)."""
        flat = self._sums.reshape(-1, self._channels)  # ((H + 1) (W + 1), C)
        above, below = (edge[..., :, None] * (self.width + 1) for edge in (top, bottom))
        left, right = left[..., None, :], right[..., None, :]
        sums = flat.take(below + right, 0)
        sums -= flat.take(below + left, 0)
        sums -= flat.take(above + right, 0)
        sums += flat.take(above + left, 0)
        planes: Sums = np.moveaxis(sums, -1, -3)
        return planes

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
        sums = self._add_corners(top, bottom, left, right)  # (N, C, side, side)
        means = np.empty(sums.shape, np.float32)
        _divide(sums, (bottom - top)[:, None, :, None], (right - left)[:, None, None, :], means)
        return means


def _subtract(table: Sums, plus: Index, minus: Index, out: Sums, axis: int) -> Sums:
    """What lies at `plus` less what lies at `minus`, in out[0]; out[1] is overwritten."""
    table.take(plus, axis, out=out[0], mode="clip")  # the default mode would copy `out`
    table.take(minus, axis, out=out[1], mode="clip")
    np.subtract(out[0], out[1], out=out[0])
    difference: Sums = out[0]
    return difference


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
