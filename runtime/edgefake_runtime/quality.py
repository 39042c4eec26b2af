"""How well a face can be judged: its size, sharpness and turn, and the floor below which it is set aside."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .crops import resize
from .metadata import QualityFloor
from .mtcnn import Face

__all__ = ["FaceQuality", "is_good", "sharpness", "side", "turn"]

SIDE = 112
"""Pixels at which sharpness is measured, whatever the model's input: a face of fewer pixels is grown and so is soft."""


@dataclass(frozen=True)
class FaceQuality:
    """What can be measured of a face without judging it.

    Attributes:
        side: geometric mean of its box's sides, pixels of the frame.
        sharpness: see `sharpness`.
        turn: see `turn`.
    """

    side: float
    sharpness: float
    turn: float

    @classmethod
    def of(cls, crop: NDArray[np.uint8], face: Face) -> "FaceQuality":
        """Measure a face: its crop (H, W, 3) RGB, as cut for the model, and what the face detector said of it."""
        return cls(side(face.box), sharpness(crop), turn(face))


def side(box: tuple[float, float, float, float]) -> float:
    """Geometric mean of a box's sides, pixels."""
    x0, y0, x1, y1 = box
    return math.sqrt(max(x1 - x0, 0.0) * max(y1 - y0, 0.0))


def sharpness(crop: NDArray[np.uint8]) -> float:
    """Deviation of the Laplacian over the deviation of the grey levels: (H, W, 3) RGB -> a number around 0.1 to 1.

    The crop is brought to 112x112 first. Contrast cancels, so that a dark face is not a soft one; a flat picture has 0.
    (Variance of the Laplacian: Pech-Pacheco et al. 2000.)
    """
    crop = resize(crop, SIDE)
    grey = np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.float32)
    spread = float(grey.std())
    return float(cv2.Laplacian(grey, cv2.CV_32F).std()) / spread if spread > 0 else 0.0


def turn(face: Face) -> float:
    """How far the nose lies from the middle of the eyes, along their line, in distances of the eyes.

    0 from the front, about 0.5 where the head is turned by 45 degrees, more in profile; infinite where the eyes
    coincide.
    """
    left, right, nose = (np.asarray(point, np.float64) for point in face.landmarks[:3])
    line = right - left
    length = float(np.hypot(*line))
    if length == 0:
        return math.inf
    return abs(float((nose - (left + right) / 2) @ line)) / length**2


def is_good(quality: FaceQuality, floor: QualityFloor | None) -> bool:
    """Whether a face is good enough to count; always, where the model has no floor."""
    if floor is None:
        return True
    return quality.side >= floor.side and quality.sharpness >= floor.sharpness and quality.turn <= floor.turn
