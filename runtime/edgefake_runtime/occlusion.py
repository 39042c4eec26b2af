"""What a model looked at: a heat map of a face, from covering one place of it after the other.

It asks the exported file alone, so that it works for every format and needs no gradients. (Zeiler and Fergus,
"Visualizing and Understanding Convolutional Networks", 2014, section 4.2.)
"""

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import UsageError

__all__ = ["FULL_COLOUR", "GRID", "Witness", "cover", "occlusion_map", "overlay"]

GRID = 7
"""Places along either side of a crop."""

FULL_COLOUR = 1.0
"""Log-odds at which the colours are full: maps of one scale can be compared, and a weak one looks weak."""

MOST_COVER = 0.7
"""Opacity of the full colours, through which a face can still be seen."""

FOR_FAKE, FOR_REAL = (225, 40, 30), (30, 90, 235)
"""RGB of what speaks for fake and for real."""


class Witness(Protocol):
    """What can be asked: a `Classifier`, or anything with its `evidence`."""

    def evidence(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Log-odds of fake: (B, S, S, 3) -> (B,)."""
        ...


def occlusion_map(witness: Witness, crop: NDArray[np.uint8], *, grid: int = GRID) -> NDArray[np.float64]:
    """How much the log-odds of fake fall where a place is covered.

    map[r, c] = evidence(crop) - evidence(crop with place r, c covered): above 0 what is there speaks for fake, below 0
    for real.

    Args:
        witness: the model.
        crop: (S, S, 3) RGB as the model takes it.
        grid: places along either side.

    Returns:
        (grid, grid), from the top left.

    Raises:
        UsageError: fewer than 1 place, or more than pixels.
    """
    if not 1 <= grid <= len(crop):
        raise UsageError(f"grid: expected 1 to {len(crop)} places, got {grid}")
    evidence = witness.evidence(np.concatenate([crop[None], cover(crop, grid)]))  # (1 + grid * grid,)
    return np.asarray((evidence[0] - evidence[1:]).reshape(grid, grid), np.float64)


def cover(crop: NDArray[np.uint8], grid: int) -> NDArray[np.uint8]:
    """The crop with each place covered in turn: (S, S, 3) -> (grid * grid, S, S, 3), row by row.

    A patch of two places' width is blurred until nothing is left to see, and has soft edges: a hard one would be a
    seam, which is what such models were trained to find.
    """
    side = len(crop)
    blurred = cv2.GaussianBlur(crop, (0, 0), side / grid).astype(np.float32)
    place = side / grid
    pixels = np.arange(side, dtype=np.float32) + 0.5
    centres = (np.arange(grid, dtype=np.float32)[:, None] + 0.5) * place
    profile = np.clip(1.5 - np.abs(pixels - centres) / place, 0, 1)  # (grid, S): full for a place, half at its width
    covered = np.empty((grid * grid, *crop.shape), np.uint8)
    for number in range(grid * grid):
        mask = np.outer(profile[number // grid], profile[number % grid])[:, :, None]  # (S, S, 1)
        covered[number] = np.rint(crop * (1 - mask) + blurred * mask)
    return covered


def overlay(image: NDArray[np.uint8], heat: NDArray[np.float64], *, full: float = FULL_COLOUR) -> NDArray[np.uint8]:
    """A heat map over the picture that it was made of, grey below it: red where it speaks for fake, blue for real.

    Args:
        image: (H, W, 3) RGB: the crop, or the crop's rectangle of a frame in any size.
        heat: (grid, grid) log-odds.
        full: log-odds from which on a colour is full.

    Returns:
        (H, W, 3) RGB; grey where the map is 0.
    """
    height, width = image.shape[:2]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None]  # skin is reddish itself
    smooth = cv2.resize(heat.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)[:, :, None]
    opacity = MOST_COVER * np.clip(np.abs(smooth) / full, 0, 1)  # (H, W, 1)
    colour = np.where(smooth > 0, np.array(FOR_FAKE, np.float32), np.array(FOR_REAL, np.float32))  # (H, W, 3)
    return np.rint(grey * (1 - opacity) + colour * opacity).astype(np.uint8)
