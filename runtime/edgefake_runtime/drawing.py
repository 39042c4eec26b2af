"""Boxes, numbers and words on a frame, legible on small frames and on large ones."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .crops import crop_rectangle
from .metadata import Crop
from .occlusion import overlay
from .results import FaceFrame, Verdict

__all__ = ["COLOURS", "SET_ASIDE", "Mark", "draw", "face_mark", "verdict_words"]

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]

COLOURS: dict[Verdict, Colour] = {
    "fake": (235, 50, 40),
    "real": (40, 190, 80),
    "uncertain": (250, 180, 20),
    "no-face": (170, 170, 170),
    "error": (200, 60, 200),
}
"""RGB by verdict."""

SET_ASIDE: Colour = (170, 170, 170)
"""RGB of a face that does not count."""

NO_PROOF = "A score is no proof."

INK, PAPER = (0, 0, 0), (255, 255, 255)

FONT = cv2.FONT_HERSHEY_SIMPLEX

LEAST_TEXT, TEXT = 0.4, 1 / 900
"""Size of the letters: the least that can be read, and per pixel of the frame's shorter side."""

FAINT = 0.35
"""What is left of the frame's light below the line of words."""


@dataclass(frozen=True)
class Mark:
    """One face as it is drawn.

    Attributes:
        box: x0, y0, x1, y1, pixels of the frame.
        above, below: words at the box' upper and lower edge.
        colour: RGB.
        thick: False for a face that was set aside.
        heat: (grid, grid) log-odds to lay over its crop, or None.
    """

    box: Box
    above: str
    below: str
    colour: Colour
    thick: bool = True
    heat: NDArray[np.float64] | None = None


def face_mark(
    track: int,
    verdict: Verdict,
    score: float,
    face: FaceFrame,
    *,
    box: Box | None = None,
    alone: bool = False,
    heat: NDArray[np.float64] | None = None,
) -> Mark:
    """A face with the number, verdict and score of its track above, and its own score below.

    Args:
        track: number.
        verdict: on the track.
        score: P(fake) of the track.
        face: the scored frame that holds.
        box: where the face is now; where it was scored otherwise.
        alone: the frame is a picture, whose own score is the track's.
        heat: (grid, grid) log-odds to lay over the crop.
    """
    above = f"#{track} {verdict} {score:.2f}"
    if not face.judged:
        return Mark(box or face.box, above, "set aside", SET_ASIDE, thick=False)
    below = "" if alone else f"frame {face.score:.2f}"
    return Mark(box or face.box, above, below, COLOURS[verdict], heat=heat)


def verdict_words(verdict: Verdict, score: float | None) -> list[str]:
    """What the line of words says of the whole."""
    known = "" if score is None else f", P(fake) {score:.2f}"
    return [f"{verdict}{known}.", NO_PROOF]


def draw(frame: Image, marks: list[Mark], words: list[str], *, crop: Crop) -> Image:
    """Draw faces, and words along the lower edge: (H, W, 3) RGB -> another of the same size.

    Args:
        frame: is not changed.
        marks: faces; the first are drawn last, on top.
        words: parts of a line, which is broken between them where it does not fit.
        crop: how the model's crop lies about a box: there goes the heat map.
    """
    image = frame.copy()
    scale = max(LEAST_TEXT, TEXT * min(image.shape[:2]))
    for mark in reversed(marks):
        if mark.heat is not None:
            _heat(image, mark.box, mark.heat, crop)
    for mark in reversed(marks):
        _box(image, mark, scale)
    for mark in reversed(marks):
        _labels(image, mark, scale)
    _footer(image, words, scale)
    return image


def _heat(image: Image, box: Box, heat: NDArray[np.float64], crop: Crop) -> None:
    x0, y0, x1, y1 = crop_rectangle(box, crop, height=image.shape[0], width=image.shape[1])
    image[y0:y1, x0:x1] = overlay(image[y0:y1, x0:x1], heat)


def _box(image: Image, mark: Mark, scale: float) -> None:
    x0, y0, x1, y1 = (round(edge) for edge in mark.box)
    width = max(2, round(3 * scale)) if mark.thick else 1
    cv2.rectangle(image, (x0, y0), (x1, y1), mark.colour, width)


def _labels(image: Image, mark: Mark, scale: float) -> None:
    x0, y0, _, y1 = (round(edge) for edge in mark.box)
    _label(image, mark.above, x0, y0 - _line_height(scale), mark.colour, scale)
    _label(image, mark.below, x0, y1, mark.colour, scale)


def _label(image: Image, text: str, left: int, top: int, colour: Colour, scale: float) -> None:
    """Dark words on a plate of this colour, moved so that they are inside the frame."""
    if not text:
        return
    height, gap = _line_height(scale), _gap(scale)
    width = _width(text, scale) + 2 * gap
    left = max(0, min(left, image.shape[1] - width))
    top = max(0, min(top, image.shape[0] - height))
    cv2.rectangle(image, (left, top), (left + width - 1, top + height - 1), colour, cv2.FILLED)
    _write(image, text, left + gap, top + height - gap, scale, INK)


def _footer(image: Image, words: list[str], scale: float) -> None:
    gap, height = _gap(scale), _line_height(scale)
    lines = _broken(words, image.shape[1] - 2 * gap, scale)
    top = max(0, image.shape[0] - len(lines) * height)
    image[top:] = (image[top:] * FAINT).astype(np.uint8)
    for number, line in enumerate(lines, start=1):
        _write(image, line, gap, top + number * height - gap, scale, PAPER)


def _broken(words: list[str], width: int, scale: float) -> list[str]:
    """Lines of words that fit; one that is too long alone has a line of its own."""
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]}  {word}" if lines else word
        if lines and _width(longer, scale) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _write(image: Image, text: str, left: int, base: int, scale: float, colour: Colour) -> None:
    cv2.putText(image, text, (left, base), FONT, scale, colour, _stroke(scale), cv2.LINE_AA)


def _width(text: str, scale: float) -> int:
    return int(cv2.getTextSize(text, FONT, scale, _stroke(scale))[0][0])


def _line_height(scale: float) -> int:
    return round(30 * scale) + _gap(scale)


def _gap(scale: float) -> int:
    return max(3, round(8 * scale))


def _stroke(scale: float) -> int:
    return max(1, round(1.6 * scale))
