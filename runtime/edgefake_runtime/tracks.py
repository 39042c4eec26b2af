"""Linking the faces of sampled frames into tracks."""

import math
from collections import deque
from dataclasses import dataclass

from .results import FaceFrame

__all__ = ["Track", "Tracker"]

Box = tuple[float, float, float, float]

MAX_DISTANCE = 1.0
"""Largest move of a face's centre between sampled frames, in sides of its box."""

MAX_GROWTH = 1.8
"""Largest ratio of the box's sides between sampled frames."""

MAX_GAP = 3
"""Sampled frames that a face may be missing before its track ends."""


@dataclass(eq=False)
class Track:
    """A face that was followed.

    Attributes:
        number: from 0 in order of appearance.
        frames: its faces in order of time; the latest ones, where the tracker has a window.
        evidence: their log-odds.
        start_s: time of its first face.
        count: of its faces, also of those that are not kept.
        last_sample: count of the sampled frames up to its last face.
    """

    number: int
    frames: deque[FaceFrame]
    evidence: deque[float]
    start_s: float
    count: int = 0
    last_sample: int = 0

    def add(self, face: FaceFrame, evidence: float, sample: int) -> None:
        """Go on with a face of the sampled frame of this count."""
        self.frames.append(face)
        self.evidence.append(evidence)
        self.count += 1
        self.last_sample = sample


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

    Args:
        window: keep so many latest faces of a track and forget tracks that ended, so that memory is bounded; None to
            keep everything.

    Attributes:
        samples: frames up to now.
    """

    def __init__(self, *, window: int | None = None) -> None:
        self.samples = 0
        self._window = window
        self._begun = 0
        self._ended: list[Track] = []
        self._alive: list[Track] = []

    @property
    def tracks(self) -> list[Track]:
        """Every track that is kept, in order of appearance."""
        return sorted(self._ended + self._alive, key=lambda track: track.number)

    def add(self, faces: list[FaceFrame], evidence: list[float]) -> None:
        """Link the faces of the next sampled frame.

        Args:
            faces: of one frame.
            evidence: their calibrated log-odds of fake.
        """
        self.samples += 1
        pairs = sorted(
            (distance(track.frames[-1].box, face.box), t, f)
            for t, track in enumerate(self._alive)
            for f, face in enumerate(faces)
        )
        chosen: dict[int, int] = {}  # face -> track
        taken: set[int] = set()
        for apart, t, f in pairs:
            if apart <= MAX_DISTANCE and f not in chosen and t not in taken:
                chosen[f] = t
                taken.add(t)
        goes_on = {f: self._alive[t] for f, t in chosen.items()}
        for f, face in enumerate(faces):
            track = goes_on.get(f) or self._start(face.time_s)
            track.add(face, evidence[f], self.samples)
        self._end_tracks()

    def _end_tracks(self) -> None:
        """Set aside, or forget, the tracks that could not go on in the next frame."""
        late = [track for track in self._alive if self.samples + 1 - track.last_sample > MAX_GAP]
        if late:
            self._alive = [track for track in self._alive if track not in late]
            if self._window is None:
                self._ended += late

    def _start(self, time_s: float) -> Track:
        track = Track(self._begun, deque(maxlen=self._window), deque(maxlen=self._window), time_s)
        self._begun += 1
        self._alive.append(track)
        return track
