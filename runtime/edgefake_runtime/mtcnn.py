"""Faces in a frame: the three-stage cascade MTCNN (Zhang et al., 2016) on ONNX Runtime or LiteRT, and numpy.

P-Net scans a pyramid of the frame for candidates, R-Net refines 24 x 24 crops of them, O-Net 48 x 48 crops
and adds five landmarks. Rounding, suppression and order are those of facenet-pytorch 2.5.3, so that at an
equal minimum face size both find the same faces; `scripts/golden_mtcnn.py` writes what its detector answers
and tests compare with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .cpu import cores
from .crew import Crew
from .errors import ModelFileError, UsageError
from .resample import AreaTable
from .scales import CELL, STRIDE, Level, Window, bands, levels_of, pyramid, windows
from .session import check_threads, open_session
from .shipped import models_folder
from .suppression import non_maximum_suppression, overlap

if TYPE_CHECKING:
    from .tflite_faces import TfliteFaceNetwork

__all__ = [
    "CELL",
    "STRIDE",
    "Face",
    "FaceDetector",
    "default_min_face",
    "non_maximum_suppression",
    "overlap",
    "pyramid",
]

BAND = 2**16
"""Pixels of the pyramid that go through P-Net at once, about, for the processor's cache."""

CROP_SIDES = (24, 48)
"""Sides of R-Net's and O-Net's inputs, in pixels."""

MEAN, SCALE = 127.5, 0.0078125
"""Input = (pixel - MEAN) SCALE."""

THRESHOLDS = (0.6, 0.7, 0.7)
"""Least probability after P-Net, R-Net and O-Net, as published with the cascade."""

BATCH = 24
"""Crops that go through R-Net or O-Net at once: larger batches leave the processor's cache."""

FACTOR = 0.709
"""From one scale of the pyramid to the next."""

MIN_FACE, FULL_SIZE = 40, 1080
"""Side of the smallest face worth searching for, in pixels, on frames whose shorter side is no longer than this."""

SCALE_OVERLAP = 0.5
"""Above it, of two of P-Net's boxes at one scale the lower goes."""

OVERLAPS = (0.7, 0.7, 0.7)
"""The same after P-Net, R-Net and O-Net; after O-Net over the smaller box, else intersection over union."""

Floats = NDArray[np.float32]
Format = Literal["onnx", "tflite"]
Point = tuple[float, float]
Box = tuple[float, float, float, float]
Proposed = tuple[Floats, Floats, Floats]
"""Boxes (N, 4), scores (N,) and shifts (N, 4)."""


@dataclass(frozen=True)
class Face:
    """One face, in pixels of the frame; the edges may lie outside of it.

    Attributes:
        box: x0, y0, x1, y1.
        score: O-Net's probability of a face, 0 to 1.
        landmarks: (x, y) of the eye on the left of the picture, the eye on the right, the nose, the mouth's
            left and right corner.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: tuple[Point, Point, Point, Point, Point]


def default_min_face(height: int, width: int) -> int:
    """Smallest face worth searching for, in pixels: 40, and on frames above 1080p in proportion to the frame.

    Args:
        height: of the frame, in pixels.
        width: of the frame.
    """
    return max(MIN_FACE, round(MIN_FACE * min(height, width) / FULL_SIZE))


def _shift(boxes: Floats, shifts: Floats, extra: float) -> Floats:
    """Moves each edge by its shift times the box's side plus `extra` pixels: (N, 4)."""
    sides = boxes[:, 2:] - boxes[:, :2] + np.float32(extra)  # (N, 2): width, height
    return boxes + shifts * np.tile(sides, 2)


def _square(boxes: Floats) -> Floats:
    """Widens the shorter side to the longer one, about the centre: (N, 4)."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.max(1, keepdims=True)
    corners = boxes[:, :2] + sides * np.float32(0.5) - longest * np.float32(0.5)
    return np.concatenate([corners, corners + longest], 1)


def _pixels(boxes: Floats, height: int, width: int) -> NDArray[np.intp]:
    """Rounds boxes to pixels inside the frame: (N, 4) x0, y0, x1, y1 with x1 and y1 excluded.

    facenet-pytorch counts pixels from 1, hence the shift of the upper left corner.
    """
    whole = boxes.astype(np.intp)
    corners = np.maximum(whole[:, :2], 1) - 1
    return np.concatenate([corners, np.minimum(whole[:, 2:], (width, height))], 1)


def _candidates(shifts: Floats, probability: Floats, window: Window, threshold: float) -> Proposed:
    """Boxes that P-Net proposes in one window.

    Args:
        shifts: (4, rows, columns), of each edge in units of the box's side.
        probability: (rows, columns).
        window: whose rows and columns these are.
        threshold: of the probability.

    Returns:
        Boxes (N, 4) in whole pixels of the frame before the shift, scores (N,), shifts (N, 4).
    """
    rows, columns = np.nonzero(probability >= np.float32(threshold))
    cells = np.stack([columns + window.columns.start, rows + window.rows.start], 1)
    corners, scale = cells.astype(np.float32) * STRIDE, np.float32(window.level.scale)
    first, last = np.floor((corners + 1) / scale), np.floor((corners + CELL) / scale)
    return np.concatenate([first, last], 1), probability[rows, columns], shifts[:, rows, columns].T


def _normalize(pixels: Floats) -> Floats:
    """Maps 0..255 to -1..1 in place, as the networks were trained."""
    pixels -= np.float32(MEAN)
    pixels *= np.float32(SCALE)
    return pixels


class FaceDetector:
    """Finds faces in frames. Thread-safe; loads 2 MB of networks once.

    Threads of ONNX Runtime share out the bands of the pyramid and the batches of crops, one thread each: the maps are
    too small for two threads on one.

    Args:
        min_face: side of the smallest face to find, in pixels, at least 12. Time falls with its square.
        thresholds: of the probability after P-Net, R-Net and O-Net.
        factor: from one scale of the pyramid to the next.
        threads: that search a frame; None for one per core.
        folder: with pnet, rnet and onet as .onnx or .tflite; the shipped ones when None.
        format: of the networks; "tflite" is what an app runs.

    Raises:
        UsageError: a value out of range.
        ModelFileError: a network is missing or damaged.
        MissingExtraError: the networks are TFLite files, and LiteRT is not installed.
    """

    def __init__(
        self,
        *,
        min_face: int = MIN_FACE,
        thresholds: tuple[float, float, float] = THRESHOLDS,
        factor: float = FACTOR,
        threads: int | None = None,
        folder: Path | None = None,
        format: Format = "onnx",
    ) -> None:
        _check_min_face(min_face)
        if len(thresholds) != 3 or not all(0 < threshold < 1 for threshold in thresholds):
            raise UsageError(f"thresholds: expected three between 0 and 1, got {thresholds}")
        if not 0 < factor < 1:
            raise UsageError(f"factor: expected one between 0 and 1, got {factor}")
        if format not in ("onnx", "tflite"):
            raise UsageError(f"format: expected onnx or tflite, got {format}")
        self.min_face = min_face
        self.thresholds = thresholds
        self.factor = factor
        check_threads(threads)
        threads = cores() if threads is None else threads
        folder = models_folder() / "mtcnn" if folder is None else folder
        share, inside = (threads, 1) if format == "onnx" else (1, threads)  # LiteRT runs one window at a time
        self._crew = Crew(share)
        self._pnet, self._rnet, self._onet = (_load(folder / f"{name}.{format}", inside) for name in _NAMES)

    def detect(
        self, frame: NDArray[np.uint8], *, min_face: int | None = None, near: Sequence[Box] | None = None
    ) -> list[Face]:
        """Finds the faces of one frame.

        Args:
            frame: (H, W, 3) RGB.
            min_face: side of the smallest face, in pixels, in place of the detector's own.
            near: x0, y0, x1, y1 of faces that are expected, in pixels: search there alone, which takes a fraction of
                the time and finds nearly what a whole search finds there.

        Returns:
            Faces, the largest box first; none for a frame that is smaller than `min_face`.

        Raises:
            UsageError: the frame is not (H, W, 3) uint8, or `min_face` is below 12.
        """
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise UsageError(f"expected an RGB frame (H, W, 3) uint8, got {frame.shape} {frame.dtype}")
        smallest = self.min_face if min_face is None else min_face
        _check_min_face(smallest)
        height, width = frame.shape[:2]
        levels = levels_of(height, width, pyramid(height, width, min_face=smallest, factor=self.factor))
        parts = self._parts(levels) if near is None else list(windows(levels, near))
        if not parts:
            return []
        table = AreaTable(frame)
        boxes = self._refine(table, self._propose(table, parts))
        return self._conclude(table, boxes)

    def _parts(self, levels: Sequence[Level]) -> list[Window]:
        """Everything, in parts that the threads can share out."""
        share = _UNEVEN * sum(level.height * level.width for level in levels) / self._crew.threads
        return list(bands(levels, min(BAND, max(int(share), 1))))

    def _propose(self, table: AreaTable, parts: Sequence[Window]) -> Floats:
        """First stage: square candidates (N, 4) from P-Net in every part, which come level by level."""
        found = self._crew.map(lambda part: self._propose_in(table, part), parts)
        by_level = groupby(zip(parts, found, strict=True), lambda pair: pair[0].level.number)
        kept = [_strongest([proposed for _, proposed in pairs]) for _, pairs in by_level]
        boxes, scores, shifts = (np.concatenate(ones) for ones in zip(*kept, strict=True))
        keep = non_maximum_suppression(boxes, scores, OVERLAPS[0])
        return _square(_shift(boxes[keep], shifts[keep], 0))

    def _propose_in(self, table: AreaTable, part: Window) -> Proposed:
        level = part.level
        means = table.resize(level.height, level.width, rows=part.pixel_rows, columns=part.pixel_columns)
        shifts, probability = self._pnet.run(_BOXES, {"image": _normalize(means)[None]})
        return _candidates(shifts[0], probability[0, 0], part, self.thresholds[0])

    def _refine(self, table: AreaTable, boxes: Floats) -> Floats:
        """Second stage: square candidates (M, 4) that R-Net accepts."""
        boxes, shifts, scores = self._look(self._rnet, table, boxes, CROP_SIDES[0], _BOXES)
        accept = scores > np.float32(self.thresholds[1])
        boxes, shifts, scores = boxes[accept], shifts[accept], scores[accept]
        keep = non_maximum_suppression(boxes, scores, OVERLAPS[1])
        return _square(_shift(boxes[keep], shifts[keep], 1))

    def _conclude(self, table: AreaTable, boxes: Floats) -> list[Face]:
        """Third stage: faces with landmarks from O-Net, the largest box first."""
        boxes, shifts, landmarks, scores = self._look(self._onet, table, boxes, CROP_SIDES[1], _LANDMARKS)
        accept = scores > np.float32(self.thresholds[2])
        boxes, shifts, landmarks, scores = boxes[accept], shifts[accept], landmarks[accept], scores[accept]
        sides = boxes[:, 2:] - boxes[:, :2] + 1
        points = landmarks.reshape(-1, 2, 5).transpose(0, 2, 1)  # (N, 5, 2)
        points = sides[:, None] * points + boxes[:, None, :2] - 1
        boxes = _shift(boxes, shifts, 1)
        last = len(boxes) - 1  # of equal scores facenet-pytorch keeps the later box here
        keep = last - non_maximum_suppression(boxes[::-1], scores[::-1], OVERLAPS[2], minimum=True)
        areas = (boxes[keep, 2] - boxes[keep, 0]) * (boxes[keep, 3] - boxes[keep, 1])
        keep = keep[np.argsort(areas)[::-1]]
        return _faces(boxes[keep], scores[keep], points[keep])

    def _look(
        self,
        session: "onnxruntime.InferenceSession | TfliteFaceNetwork",
        table: AreaTable,
        boxes: Floats,
        side: int,
        outputs: Sequence[str],
    ) -> list[Floats]:
        """Runs R-Net or O-Net on the crops of boxes; drops boxes without a pixel in the frame.

        Returns:
            The boxes (N, 4), then the network's outputs, the probability as (N,).
        """
        pixels = _pixels(boxes, table.height, table.width)
        inside = (pixels[:, 2:] > pixels[:, :2]).all(1)
        boxes, pixels = boxes[inside], pixels[inside]
        batches = np.array_split(pixels, max(-(-len(pixels) // BATCH), min(len(pixels), self._crew.threads), 1))
        found = self._crew.map(
            lambda batch: session.run(outputs, {"image": _normalize(table.crops(batch, side))}), batches
        )
        *values, probability = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return [boxes, *values, probability[:, 0]]


_NAMES = ("pnet", "rnet", "onet")
_BOXES = ("boxes", "probability")
_LANDMARKS = ("boxes", "landmarks", "probability")
_UNEVEN = 1.1
"""A band may have so many times its thread's share: at the usual factor of the pyramid, the largest scale has half of
all pixels, a thread's share of two."""


def _strongest(found: Sequence[Proposed]) -> Proposed:
    """What suppression leaves of P-Net's boxes at one scale."""
    boxes, scores, shifts = (np.concatenate(parts) for parts in zip(*found, strict=True))
    keep = non_maximum_suppression(boxes, scores, SCALE_OVERLAP)
    return boxes[keep], scores[keep], shifts[keep]


def _check_min_face(min_face: int) -> None:
    if min_face < CELL:
        raise UsageError(f"min_face: expected {CELL} pixels or more, got {min_face}")


def _load(path: Path, threads: int | None) -> "onnxruntime.InferenceSession | TfliteFaceNetwork":
    try:
        data = path.read_bytes()
        if path.suffix == ".onnx":
            return open_session(data, threads)
        from .tflite_faces import TfliteFaceNetwork  # so that who runs ONNX alone loads nothing of it

        return TfliteFaceNetwork(data, threads)
    except (ModelFileError, OSError) as error:
        raise ModelFileError(
            f"expected a network of the face detector at {path}, but {error}; pip install --force-reinstall edgefake"
        ) from error


def _faces(boxes: Floats, scores: Floats, points: Floats) -> list[Face]:
    return [
        Face((x0, y0, x1, y1), score, (left, right, nose, mouth_left, mouth_right))
        for (x0, y0, x1, y1), score, (left, right, nose, mouth_left, mouth_right) in zip(
            boxes.tolist(),
            scores.tolist(),
            (tuple(map(tuple, face)) for face in points.tolist()),
            strict=True,
        )
    ]
