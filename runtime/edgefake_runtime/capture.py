"""cv2's decoders, quietly: the next frame, and its pixels as RGB."""

import math
import time

import cv2
import numpy as np
from numpy.typing import NDArray

from .quiet import LOG_OFF

__all__ = ["grab", "retrieve"]

ATTEMPTS = 16
"""How often cv2 may give up on a frame before there is no other."""


def grab(capture: cv2.VideoCapture, *, patience_s: float = math.inf) -> bool:
    """Decode the next frame; a damaged one makes cv2 give up once, after which the next ones may be sound.

    Args:
        capture: an open one.
        patience_s: try no more after so many seconds: each try may wait for a camera that is silent.
    """
    until = time.monotonic() + patience_s
    with LOG_OFF:
        for _ in range(ATTEMPTS):
            if capture.grab():
                return True
            if time.monotonic() > until:
                break
    return False


def retrieve(capture: cv2.VideoCapture) -> NDArray[np.uint8] | None:
    """The frame that was grabbed: (H, W, 3) RGB, or None where it has no pixels."""
    ok, image = capture.retrieve()  # (H, W, 3) BGR
    if not ok:
        return None
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
