"""What a network sees of a picture of any size: a random or a central square (thesis section 4.1).

The thesis makes the shorter side 256 pixels and cuts 224 from it: a random window for training, the middle for
validation. Other input sizes keep that share.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefake_runtime.errors import InputError, UsageError

from .randaugment import RandAugment

__all__ = ["SHARE", "RandAugment", "centre_view", "random_view", "shorter_side"]

Image = NDArray[np.uint8]

SHARE = 224 / 256
"""Side of the view over the shorter side of the picture that it is cut from."""

LONGEST = 100
"""Times that a picture may be as long as it is wide."""


def shorter_side(image: Image, side: int) -> Image:
    """Resize, keeping the aspect: (H, W, 3) -> min(H', W') = side, the other rounded to whole pixels.

    Area averaging where it shrinks, bilinear where it grows, as `edgefake_runtime.crops.resize` has it.

    Raises:
        InputError: a strip, which would grow without bounds.
    """
    height, width = image.shape[:2]
    shorter = min(height, width)
    if max(height, width) > LONGEST * shorter:
        raise InputError(f"expected a picture at most {LONGEST} times as long as wide, got {width}x{height}")
    if shorter == side:
        return image
    rows, columns = max(side, round(height * side / shorter)), max(side, round(width * side / shorter))
    kind = cv2.INTER_AREA if shorter > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (columns, rows), interpolation=kind), dtype=np.uint8)


def _scaled(image: Image, size: int, share: float) -> Image:
    if not 0 < share <= 1 or size < 1:
        raise UsageError(f"expected a side of 1 pixel or more and a share above 0 up to 1, got {size}, {share}")
    return shorter_side(image, round(size / share))


def centre_view(image: Image, size: int, *, share: float = SHARE) -> Image:
    """The middle of a picture, for validation: (H, W, 3) -> (size, size, 3), RGB bytes.

    Args:
        image: of any size.
        size: side of the network's input, pixels.
        share: of the shorter side that is seen; 1 for all of it.

    Raises:
        UsageError: an impossible size or share.
    """
    image = _scaled(image, size, share)
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return np.ascontiguousarray(image[top : top + size, left : left + size])


def random_view(
    image: Image, size: int, random: np.random.Generator, *, share: float = SHARE, flip: float = 0.5
) -> Image:
    """A window at a random place, maybe mirrored, for training: (H, W, 3) -> (size, size, 3), RGB bytes.

    Args:
        image: of any size.
        size: side of the network's input, pixels.
        random: decides place and mirroring; nothing else does.
        share: of the shorter side that is seen.
        flip: probability of mirroring left and right.

    Raises:
        UsageError: an impossible size or share.
    """
    image = _scaled(image, size, share)
    top, left = random.integers(0, image.shape[0] - size + 1), random.integers(0, image.shape[1] - size + 1)
    window = image[top : top + size, left : left + size]
    return np.ascontiguousarray(window[:, ::-1] if random.random() < flip else window)
