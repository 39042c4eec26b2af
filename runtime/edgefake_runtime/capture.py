"""cv2's decoders, quietly: opening a camera, the next frame, and its pixels as RGB."""

import math
import os
import time

import cv2
import numpy as np
from numpy.typing import NDArray

from .quiet import FFMPEG_OFF, LOG_OFF

__all__ = ["grab", "open_live", "retrieve"]

ATTEMPTS = 16
"""How often cv2 may give up on a frame before there is no other."""

FFMPEG_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"

BRIEF = "analyzeduration;1000000|rtsp_transport;tcp"
"""Look at one second of a stream before it begins: FFmpeg takes five for one without times, such as bare MJPEG. Beside
it, what cv2 sets where nobody sets anything."""


def open_live(target: int | str, backend: int, *, brief: bool) -> cv2.VideoCapture:
    """Open a camera without a word on standard error; whether it did, the capture tells.

    Args:
        target: number of a device, path, or address.
        backend: of cv2, such as `cv2.CAP_FFMPEG`.
        brief: let FFmpeg look at the stream for a second only, unless the user's environment has options for it.
    """
    own = brief and FFMPEG_OPTIONS not in os.environ
    with LOG_OFF, FFMPEG_OFF:
        if own:
            os.environ[FFMPEG_OPTIONS] = BRIEF
        try:
            return cv2.VideoCapture(target, backend)
        finally:
            if own:
                os.environ.pop(FFMPEG_OPTIONS, None)


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
