"""Linking the faces of sampled frames into tracks."""

import math
from dataclasses import dataclass, field

from .results import FaceFrame

__all__ = ["Tracker"]

Box = tuple[float, float, float, float]

MAX_DISTANCE = 1.0
"""Largest move of a face's centre between sampled frames, in sides of its box."""

MAX_GROWTH = 1.8
"""Largest ratio of the box's sides between sampled frames."""

MAX_GAP = 3
"""Sampled frames that a face may be missing before its track ends."""


@dataclass
class _Open:
    """A track that may still grow: `evidence` are the log-odds of `frames`."""

    number: int
    frames: list[FaceFrame] = field(default_factory=list)
    evidence: list[float] = field(default_factory=list)
    last_sample: int = 0


def distance(a: Box, b: Box) -> float:
    """How far apart two boxes are: distance of centres over the mean side; infinite when sizes do not fit."""
    side_a = math.sqrt(max((a[2] - a[0]) * (a[3] - a[1]), 1e-6))
    side_b = math.sqrt(max((b[2] - b[0]) * (b[3] - b[1]), 1e-6))
    if max(side_a, side_b) > MAX_GROWTH * min(side_a, side_b):
        return math.inf
    apart = math.hypot((a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2)
    return apart / ((side_a + side_b) / 2)


class Tracker:
    """Greedy linking: the nearest pair of track and face first.

    Sampled frames can lie a second apart, so boxes of one face need not overlap: nearness of centres
    in units of the face's size decides, not intersection over union.
    """

    def __init__(self) -> None:
        self._tracks: list[_Open] = []
        self._sample = 0

    @property
    def tracks(self) -> list[tuple[list[FaceFrame], list[float]]]:
        """Frames and log-odds of every track, in order of appearance."""
        return [(track.frames, track.evidence) for track in self._tracks]

    def add(self, faces: list[FaceFrame], evidence: list[float]) -> None:
        """Link the faces of the next sampled frame.

        Args:
            faces: of one frame.
            evidence: their calibrated log-odds of fake.
        """
        self._sample += 1
        alive = [t for t in self._tracks if self._sample - t.last_sample <= MAX_GAP]
        pairs = sorted(
            (distance(track.frames[-1].box, face.box), t, f)
            for t, track in enumerate(alive)
            for f, face in enumerate(faces)
        )
        chosen: dict[int, _Open] = {}
        for apart, t, f in pairs:
            if apart <= MAX_DISTANCE and f not in chosen and alive[t] not in chosen.values():
                chosen[f] = alive[t]
        for f, face in enumerate(faces):
            track = chosen.get(f) or self._start()
            track.frames.append(face)
            track.evidence.append(evidence[f])
            track.last_sample = self._sample

    def _start(self) -> _Open:
        track = _Open(number=len(self._tracks))
        self._tracks.append(track)
        return track
