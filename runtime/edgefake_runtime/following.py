"""Faces followed from frame to frame: where frames lie close together, P-Net looks around the last places alone.

It looks there on the very grid of a whole search, so it mostly finds the same boxes to the last bit;
`scripts/compare_following.py` says how far they agree on clips.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .media import SampledFrame
from .mtcnn import Face, FaceDetector

__all__ = ["MOST_FRAMES", "MOST_STEP_S", "Following"]

MOST_STEP_S = 0.125
"""Seconds between frames above which every frame is searched whole. Up to it, 1 or 2 in 1,000 faces that whole searches
find in followed frames were missed, and none were found besides; at a fifth of a second 8 (on the research clips)."""

MOST_FRAMES = 10
"""Of so many frames at least one is searched whole: there new faces come in."""

MOST_MOVE = 1.0
"""Farthest move of a face's centre from one frame to the next, in sides of its box; beyond it the face is lost."""


@dataclass(frozen=True)
class _Seen:
    """The last frame: when, how large, which faces; and how many frames there are since one was searched whole."""

    time_s: float
    size: tuple[int, ...]
    faces: list[Face]
    count: int


class Following:
    """The faces of one video's frames, found in their order. Not thread-safe: each video has its own.

    A frame is searched whole if it is the first, or of another size than the last; if it comes more than `MOST_STEP_S`
    after it, or not after it; if no face was there; `MOST_FRAMES` frames after the last one that was; and if a sure
    face is not found near its last place. Otherwise it is searched near the last places.
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
                self._seen = _Seen(frame.time_s, size, faces, seen.count + 1)
                return faces
        faces = detector.detect(frame.image, min_face=min_face)
        self._seen = _Seen(frame.time_s, size, faces, 1)
        return faces


def _goes_on(seen: _Seen, frame: SampledFrame) -> bool:
    """Whether this frame may be searched near the faces of the last."""
    return (
        bool(seen.faces)
        and seen.size == frame.image.shape
        and 0 < frame.time_s - seen.time_s <= MOST_STEP_S
        and seen.count < MOST_FRAMES
    )


def _is_lost(face: Face, found: Sequence[Face]) -> bool:
    x0, y0, x1, y1 = face.box
    reach = MOST_MOVE * max(x1 - x0, y1 - y0)
    return all(
        math.hypot(x0 + x1 - other.box[0] - other.box[2], y0 + y1 - other.box[1] - other.box[3]) / 2 > reach
        for other in found
    )
