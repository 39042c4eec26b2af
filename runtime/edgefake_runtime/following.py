"""Faces followed from frame to frame: where frames lie close together, P-Net looks around the last places alone.

It looks there on the very grid of a whole search, so it mostly finds the same boxes to the last bit;
`scripts/compare_following.py` says how far they agree on clips.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .media import SampledFrame
from .mtcnn import Face, FaceDetector

__all__ = ["MOST_FRAMES", "MOST_S", "MOST_STEP_S", "Following"]

MOST_STEP_S = 0.21
"""Seconds between frames above which every frame is searched whole: a fifth, which seven frames of 29.97 a second are
above. Beyond it, more than 1 in 100 faces had gone on too far."""

MOST_FRAMES = 10
"""Of so many frames at least one is searched whole: there new faces come in."""

MOST_S = 1.0
"""Seconds after which a frame is searched whole, however few were followed."""

MOST_MOVE = 1.0
"""Farthest move of a face's centre from one frame to the next, in sides of its box; beyond it the face is lost."""


@dataclass(frozen=True)
class _Seen:
    """The last frame: when, how large, which faces; and when a frame was last searched whole, and how many ago."""

    time_s: float
    size: tuple[int, ...]
    faces: list[Face]
    searched_s: float
    age: int


class Following:
    """The faces of one video's frames, found in their order. Not thread-safe: each video has its own.

    A frame is searched whole if it is the first, or of another size than the last; if it comes more than `MOST_STEP_S`
    after it, or not after it; if no face was there; `MOST_FRAMES` frames or `MOST_S` seconds after the last one that
    was; and if a face that was sure is not found near its last place. Otherwise it is searched near the last places.
    """

    def __init__(self) -> None:
        self._seen: _Seen | None = None

    def find(self, detector: FaceDetector, frame: SampledFrame, *, min_face: int, sure: float) -> list[Face]:
        """The faces of the next frame, the largest first.

        Args:
            detector: finds them.
            frame: with (H, W, 3) RGB pixels.
            min_face: side of the smallest face, in pixels.
            sure: probability from which a face that is lost is worth a whole search.

        Raises:
            UsageError: as `FaceDetector.detect`.
        """
        seen, size = self._seen, frame.image.shape
        if seen is not None and _goes_on(seen, frame):
            faces = detector.detect(frame.image, min_face=min_face, near=[face.box for face in seen.faces])
            if not any(face.score >= sure and _is_lost(face, faces) for face in seen.faces):
                self._seen = _Seen(frame.time_s, size, faces, seen.searched_s, seen.age + 1)
                return faces
        faces = detector.detect(frame.image, min_face=min_face)
        self._seen = _Seen(frame.time_s, size, faces, frame.time_s, 1)
        return faces


def _goes_on(seen: _Seen, frame: SampledFrame) -> bool:
    """Whether this frame may be searched near the faces of the last."""
    return (
        bool(seen.faces)
        and seen.size == frame.image.shape
        and 0 < frame.time_s - seen.time_s <= MOST_STEP_S
        and seen.age < MOST_FRAMES
        and frame.time_s - seen.searched_s <= MOST_S
    )


def _is_lost(face: Face, found: Sequence[Face]) -> bool:
    x0, y0, x1, y1 = face.box
    reach = MOST_MOVE * max(x1 - x0, y1 - y0)
    return all(
        math.hypot(x0 + x1 - other.box[0] - other.box[2], y0 + y1 - other.box[1] - other.box[3]) / 2 > reach
        for other in found
    )
