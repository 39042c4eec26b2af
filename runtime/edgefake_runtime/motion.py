"""Where a face is between the frames that were scored: boxes run straight from one scored frame to the next."""

from bisect import bisect_right
from dataclasses import dataclass

from .results import FaceFrame, FaceTrack, InputResult

__all__ = ["Motion", "Place", "motions"]

NEIGHBOURS = 1.5
"""Scored frames of a track at most so many steps apart are neighbours; between others the face was not found."""

SAME_TIME = 1e-6
"""Seconds below which two times are one."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Place:
    """Where a face is at some time.

    Attributes:
        box: x0, y0, x1, y1, pixels of the frame.
        face: the scored frame that holds: the last one, or the first where none was yet.
        scored: whether that frame's time has come, so that its picture was seen.
    """

    box: Box
    face: FaceFrame
    scored: bool


class Motion:
    """One track over time.

    Between neighbouring scored frames the box is interpolated. Beyond them it stands still for half a step, so that
    every time belongs to the nearest scored frame; and for a whole step after the input's last scored frame, since
    nothing later says that the face has gone.

    Args:
        track: with one scored frame or more.
        step_s: seconds from one scored frame to the next; 0 for a picture.
        final: whether its last scored frame is the input's.
    """

    def __init__(self, track: FaceTrack, *, step_s: float, final: bool) -> None:
        self.track = track
        self._step_s = step_s
        self._final = final
        self._times = [face.time_s for face in track.frames]

    def at(self, time_s: float) -> Place | None:
        """Where the face is at this time; None where it was not found."""
        frames = self.track.frames
        after = bisect_right(self._times, time_s + SAME_TIME)
        if after == 0:
            early = frames[0].time_s - time_s
            return Place(frames[0].box, frames[0], scored=False) if early <= self._step_s / 2 else None
        before = frames[after - 1]
        if after < len(frames) and frames[after].time_s - before.time_s <= NEIGHBOURS * self._step_s:
            return Place(_between(before, frames[after], time_s), before, scored=True)
        if after < len(frames) and frames[after].time_s - time_s <= self._step_s / 2:
            return Place(frames[after].box, frames[after], scored=False)
        stays = after == len(frames) and self._final
        late = time_s - before.time_s
        return Place(before.box, before, scored=True) if late <= self._step_s * (1 if stays else 0.5) else None


def _between(before: FaceFrame, after: FaceFrame, time_s: float) -> Box:
    share = min(max((time_s - before.time_s) / (after.time_s - before.time_s), 0.0), 1.0)
    x0, y0, x1, y1 = (a + share * (b - a) for a, b in zip(before.box, after.box, strict=True))
    return x0, y0, x1, y1


def motions(result: InputResult, *, step_s: float) -> list[Motion]:
    """The motion of every track of an input, whose scored frames lie `step_s` seconds apart."""
    last_s = (result.frames_scored - 1.5) * step_s  # half a step of grace: a container's times are no exact multiples
    return [Motion(track, step_s=step_s, final=track.end_s >= last_s) for track in result.faces]
