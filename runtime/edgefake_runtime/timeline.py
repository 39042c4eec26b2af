"""The scores of an input over time, drawn as SVG with its words in HTML, so that it fits a phone and a desk.

The drawing is stretched to whatever width there is; its lines and points are not, and its words stand beside it.
"""

import math
from collections.abc import Sequence

from .results import FaceFrame, FaceTrack
from .verdict import OperatingPoint

__all__ = ["TRACK_COLOURS", "clock", "gauge", "timeline"]

TRACK_COLOURS = 8
"""Colours there are for tracks: as many are drawn."""

MOST_POINTS = 400
"""Of a track; of more, each stretch of time keeps its highest and its lowest."""

TICKS = 5
"""Most marks on the axis of time, beside the first."""

LEAST_ZONE = 0.08
"""Share of the height in which a zone's name has room."""

STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400)

SIZE = 1000
"""Width and height of the drawing's own measure."""


def clock(time_s: float) -> str:
    """Minutes and seconds, such as 0:01.2; hours before them where there are some."""
    tenths = round(time_s * 10)
    minutes, seconds = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    rest = f"{seconds / 10:04.1f}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"


def gauge(score: float, point: OperatingPoint) -> str:
    """A bar from 0 to 1 with the uncertain band, the threshold and the score: HTML."""
    return (
        f'<div class="gauge" role="img" aria-label="P(fake) {score:.3f} on a scale from 0 to 1">'
        f'<i class="band" style="left:{100 * point.low:.2f}%;width:{100 * (point.high - point.low):.2f}%"></i>'
        f'<i class="threshold" style="left:{100 * point.threshold:.2f}%"></i>'
        f'<i class="score" style="left:{100 * score:.2f}%"></i></div>'
        '<div class="ends"><span>0 real</span><span>fake 1</span></div>'
    )


def timeline(tracks: Sequence[FaceTrack], point: OperatingPoint, *, duration_s: float) -> str:
    """P(fake) of every scored frame over time, a line a track: HTML with an SVG.

    Frames that were set aside are hollow points beside their track's line.

    Args:
        tracks: at most `TRACK_COLOURS`; the first has the first colour.
        point: threshold and uncertain band, which are drawn.
        duration_s: of the input; a later frame makes it longer.
    """
    end = max([duration_s, *(track.end_s for track in tracks)]) or 1.0
    drawn = [_track(number, track, end) for number, track in enumerate(tracks)]
    names = "".join(
        f'<span class="zone" style="top:{100 * (1 - (low + high) / 2):.2f}%">{name}</span>'
        for name, low, high in _zones(point)
        if high - low >= LEAST_ZONE
    )
    ticks = "".join(
        f'<span style="left:{100 * at / end:.2f}%"{_at_end(at, end)}>{_tick(at, end)}</span>' for at in _ticks(end)
    )
    return (
        '<div class="plot"><div class="scale"><span>1</span><span>0.5</span><span>0</span></div>'
        f'<svg viewBox="0 0 {SIZE} {SIZE}" preserveAspectRatio="none" role="img" '
        'aria-label="P(fake) over time, a line for each track">'
        f"{_ground(point)}{''.join(drawn)}</svg>"
        f'<div class="zones">{names}</div><div class="times">{ticks}</div></div>'
    )


def _zones(point: OperatingPoint) -> list[tuple[str, float, float]]:
    return [("real", 0.0, point.low), ("uncertain", point.low, point.high), ("fake", point.high, 1.0)]


def _ground(point: OperatingPoint) -> str:
    band = (
        f'<rect class="band" x="0" width="{SIZE}" y="{_y(point.high)}" height="{_y(point.low) - _y(point.high):.1f}"/>'
    )
    middle = f'<path class="grid" d="M0 {_y(0.5)}H{SIZE}"/>'
    return f'{band}{middle}<path class="threshold" d="M0 {_y(point.threshold)}H{SIZE}"/>'


def _track(number: int, track: FaceTrack, end: float) -> str:
    """The line and points of one track; a point is a line without length and with round ends."""
    frames = _thinned(track.frames)
    judged = [_place(face, end) for face in frames if face.judged]
    aside = [_place(face, end) for face in frames if not face.judged]
    line = f'<path class="line" d="M{"L".join(judged)}"/>' if len(judged) > 1 else ""
    points = f'<path class="points" d="{"".join(f"M{place}h0" for place in judged)}"/>' if judged else ""
    hollow = "".join(f"M{place}h0" for place in aside)
    rings = f'<path class="points" d="{hollow}"/><path class="holes" d="{hollow}"/>' if aside else ""
    return f'<g class="t{number}"><title>track #{track.track}</title>{line}{rings}{points}</g>'


def _thinned(frames: Sequence[FaceFrame]) -> Sequence[FaceFrame]:
    if len(frames) <= MOST_POINTS:
        return frames
    length = math.ceil(2 * len(frames) / MOST_POINTS)
    kept: list[FaceFrame] = []
    for start in range(0, len(frames), length):
        stretch = frames[start : start + length]
        extremes = {id(choose(stretch, key=lambda face: face.score)) for choose in (min, max)}
        kept += [face for face in stretch if id(face) in extremes]
    return kept


def _place(face: FaceFrame, end: float) -> str:
    return f"{SIZE * face.time_s / end:.1f} {_y(face.score)}"


def _y(score: float) -> float:
    return round(SIZE * (1 - score), 1)


def _ticks(end: float) -> list[float]:
    step = next((step for step in STEPS_S if end / step <= TICKS), STEPS_S[-1])
    return [number * step for number in range(int(end / step + 1e-9) + 1)]


def _tick(at: float, end: float) -> str:
    return f"{at:g} s" if end < 60 else clock(at).removesuffix(".0")


def _at_end(at: float, end: float) -> str:
    """A mark near the right edge keeps its words inside."""
    return ' class="last"' if at > 0.94 * end else ""
