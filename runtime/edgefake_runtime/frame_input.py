"""Frames that a caller hands over: checked, numbered, with times."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError
from .media import SampledFrame

__all__ = ["FrameInput", "checked", "numbered"]

FrameInput = NDArray[np.uint8] | SampledFrame
"""(H, W, 3) RGB uint8, or the same with a number and a time."""

CURE = "convert it, such as with cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)"


def checked(image: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """A frame as the rest of the runtime takes it: (H, W, 3) uint8, contiguous.

    Raises:
        UsageError: it is of another type or shape, or empty; says so of `name`.
    """
    if not isinstance(image, np.ndarray):
        raise UsageError(f"{name}: expected an array (H, W, 3) RGB uint8, got {type(image).__name__}; {CURE}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise UsageError(f"{name}: expected (H, W, 3) RGB uint8, got {image.shape} {image.dtype}; {CURE}")
    return np.ascontiguousarray(image)


def numbered(frames: Iterable[FrameInput], *, fps: float = 1.0) -> Iterator[SampledFrame]:
    """Check frames, and give those a number and a time that have none: their count, and count / `fps`.

    Raises:
        UsageError: `fps` is not positive; from the iterator, a frame of another type or shape, or a time that is
            before the last one's or no number.
    """
    if not 0 < fps < math.inf:
        raise UsageError(f"fps: expected more than 0, got {fps}")
    return _numbered(frames, fps)


def _numbered(frames: Iterable[FrameInput], fps: float) -> Iterator[SampledFrame]:
    last = -math.inf
    for count, given in enumerate(frames):
        name = f"frame {count}"
        frame = given if isinstance(given, SampledFrame) else SampledFrame(count, count / fps, given)
        if not last <= frame.time_s < math.inf:
            raise UsageError(f"{name}: expected a time of {max(last, 0.0):g} s or later, got {frame.time_s:g}")
        last = frame.time_s
        yield SampledFrame(frame.index, frame.time_s, checked(frame.image, name))
