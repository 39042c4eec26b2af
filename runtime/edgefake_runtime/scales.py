"""The pyramid of a frame that P-Net scans: its scales, and which part of each one run looks at."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["CELL", "STRIDE", "Level", "Window", "bands", "levels_of", "pyramid", "windows"]

CELL = 12
"""Side of P-Net's receptive field, in pixels."""

STRIDE = 2
"""Step of P-Net's output grid, in pixels."""

BAND_ROWS = 24
"""Least rows of a band, since the next one sees the last ten rows of pixels again."""

NEAR_SIZES = (0.3, 2.0)
"""Cells between so many times a face's longer side may lead to it."""

NEAR_SHIFT = 0.8
"""Cells whose centre is at most so many sides of a face from its centre, across and down, may lead to it."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Level:
    """The frame at one scale.

    Attributes:
        number: 0 for the largest.
        scale: pixels here per pixel of the frame.
        height, width: in pixels.
    """

    number: int
    scale: float
    height: int
    width: int

    @property
    def rows(self) -> int:
        """Rows of P-Net's output."""
        return _cells(self.height)

    @property
    def columns(self) -> int:
        """Columns of it."""
        return _cells(self.width)


@dataclass(frozen=True)
class Window:
    """A part of P-Net's output at one level.

    Attributes:
        level: its level.
        rows, columns: of the output, with start and stop.
    """

    level: Level
    rows: slice
    columns: slice

    @property
    def pixel_rows(self) -> slice:
        """Rows of the level that the cells see."""
        return _seen(self.rows, self.level.height)

    @property
    def pixel_columns(self) -> slice:
        """Columns of the level that the cells see."""
        return _seen(self.columns, self.level.width)


def _cells(pixels: int) -> int:
    return (pixels - CELL + 1) // STRIDE + 1


def _seen(cells: slice, pixels: int) -> slice:
    return slice(cells.start * STRIDE, min((cells.stop - 1) * STRIDE + CELL, pixels))


def pyramid(height: int, width: int, *, min_face: int, factor: float) -> list[float]:
    """Scales at which P-Net's 12 pixels see faces of `min_face` pixels and more, largest first.

    Args:
        height: of the frame, in pixels.
        width: of the frame.
        min_face: side of the smallest face, in pixels.
        factor: from one scale to the next, below 1.
    """
    scale = CELL / min_face
    smallest = min(height, width) * scale
    scales = []
    while smallest >= CELL:
        scales.append(scale)
        scale *= factor
        smallest *= factor
    return scales


def levels_of(height: int, width: int, scales: Sequence[float]) -> list[Level]:
    """A frame (height, width) at these scales."""
    return [Level(i, scale, int(height * scale + 1), int(width * scale + 1)) for i, scale in enumerate(scales)]


def bands(levels: Iterable[Level], most: int) -> Iterator[Window]:
    """Whole levels, in bands of rows of about `most` pixels or less."""
    for level in levels:
        count = max(min(-(-level.height * level.width // most), level.rows // BAND_ROWS), 1)
        edges = [level.rows * i // count for i in range(count + 1)]
        yield from (Window(level, slice(first, last), slice(0, level.columns)) for first, last in pairwise(edges))


def windows(levels: Iterable[Level], boxes: Sequence[Box]) -> Iterator[Window]:
    """The parts of the levels from which a search may come to faces that are about where these boxes are."""
    for level in levels:
        cell = CELL / level.scale
        for x0, y0, x1, y1 in boxes:
            side = max(x1 - x0, y1 - y0)
            if NEAR_SIZES[0] * side <= cell <= NEAR_SIZES[1] * side:
                rows = _near((y0 + y1) / 2, NEAR_SHIFT * side, level.scale, level.rows)
                columns = _near((x0 + x1) / 2, NEAR_SHIFT * side, level.scale, level.columns)
                if rows.start < rows.stop and columns.start < columns.stop:
                    yield Window(level, rows, columns)


def _near(centre: float, reach: float, scale: float, count: int) -> slice:
    """The cells of a row of `count` whose centre is at most `reach` pixels of the frame from `centre`."""
    first, last = (((centre + shift) * scale - CELL / 2) / STRIDE for shift in (-reach, reach))
    return slice(max(int(first), 0), min(int(last) + 2, count))
