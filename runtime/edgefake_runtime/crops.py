"""Cutting a face from a frame and making it the classifier's input: one code for training and detection."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from .metadata import Crop, ModelMetadata

__all__ = ["crop_rectangle", "cut_face", "normalize", "resize"]

Box = tuple[float, float, float, float]


def crop_rectangle(box: Box, crop: Crop, *, height: int, width: int) -> tuple[int, int, int, int]:
    """Whole pixels of the frame that a face box stands for.

    Args:
        box: x0, y0, x1, y1 of the face, pixels of the frame.
        crop: margin and squareness, as the model's metadata say.
        height: of the frame, pixels.
        width: of the frame, pixels.

    Returns:
        x0, y0, x1, y1 inside the frame, at least one pixel wide and high; x1 and y1 are exclusive.
    """
    x0, y0, x1, y1 = box
    half_width, half_height = (x1 - x0) / 2, (y1 - y0) / 2
    if crop.square:
        half_width = half_height = max(half_width, half_height)
    grow = 1 + 2 * crop.margin
    center_x, center_y = (x0 + x1) / 2, (y0 + y1) / 2 + 2 * half_height * crop.shift
    left = min(max(round(center_x - half_width * grow), 0), width - 1)
    top = min(max(round(center_y - half_height * grow), 0), height - 1)
    right = min(max(round(center_x + half_width * grow), left + 1), width)
    bottom = min(max(round(center_y + half_height * grow), top + 1), height)
    if crop.share < 1:
        left, right = _middle(left, right, crop.share)
        top, bottom = _middle(top, bottom, crop.share)
    return left, top, right, bottom


def _middle(begin: int, end: int, share: float) -> tuple[int, int]:
    length = max(1, round((end - begin) * share))
    begin += (end - begin - length) // 2
    return begin, begin + length


def resize(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize (H, W, 3) to (size, size, 3): area averaging where it shrinks, bilinear where it grows."""
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    shrinks = height * width >= size * size
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def cut_face(frame: NDArray[np.uint8], box: Box, metadata: ModelMetadata) -> NDArray[np.uint8]:
    """The face as the model wants it: (H, W, 3) RGB frame -> (input_size, input_size, 3) RGB crop."""
    height, width = frame.shape[:2]
    x0, y0, x1, y1 = crop_rectangle(box, metadata.crop, height=height, width=width)
    return resize(np.ascontiguousarray(frame[y0:y1, x0:x1]), metadata.input_size)


def normalize(crops: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """(B, H, W, 3) RGB bytes -> (B, 3, H, W) float32, (value / 255 - mean) / std per channel."""
    scale = 1 / (255 * np.asarray(std, dtype=np.float32))
    offset = np.asarray(mean, dtype=np.float32) / np.asarray(std, dtype=np.float32)
    return np.ascontiguousarray((crops * scale - offset).astype(np.float32, copy=False).transpose(0, 3, 1, 2))
