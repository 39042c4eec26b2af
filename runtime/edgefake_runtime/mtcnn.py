"""Faces in a frame: the three-stage cascade MTCNN (Zhang et al., 2016) on ONNX Runtime or LiteRT, and numpy.

P-Net scans a pyramid of the frame for candidates, R-Net refines 24 x 24 crops of them, O-Net 48 x 48 crops
and adds five landmarks. Rounding, suppression and order are those of facenet-pytorch 2.5.3, so that at an
equal minimum face size both find the same faces; `scripts/golden_mtcnn.py` writes what its detector answers
and tests compare with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .errors import ModelFileError, UsageError
from .resample import AreaTable
from .session import open_session
from .shipped import models_folder

if TYPE_CHECKING:
    from .tflite_faces import TfliteFaceNetwork

__all__ = ["Face", "FaceDetector", "default_min_face", "non_maximum_suppression"]

CELL = 12
"""Side of P-Net's receptive field, in pixels."""

STRIDE = 2
"""Step of P-Net's output grid, in pixels."""

CROP_SIDES = (24, 48)
"""Sides of R-Net's and O-Net's inputs, in pixels."""

MEAN, SCALE = 127.5, 0.0078125
"""Input = (pixel - MEAN) SCALE."""

THRESHOLDS = (0.6, 0.7, 0.7)
"""Least probability after P-Net, R-Net and O-Net, as published with the cascade."""

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


def pyramid(height: int, width: int, *, min_face: int, factor: float) -> list[float]:
    """Scales at which P-Net's 12 pixels see faces of `min_face` pixels and more, largest first.

    Args:
        height: of the frame, in pixels.
        width: of the frame.
        min_face: side of the smallest face, in pixels.
        factor: from one scale to the next, below 1.
    """
    scale = CELL / min_face
    smallest = min(height, width) * scale
    scales = []
    while smallest >= CELL:
        scales.append(scale)
        scale *= factor
        smallest *= factor
    return scales


def overlap(a: Floats, b: Floats, *, minimum: bool = False) -> Floats:
    """Overlap of each box of `a` with each of `b`: intersection over union, or over the smaller box.

    Args:
        a: (N, 4) x0, y0, x1, y1.
        b: (M, 4).
        minimum: divide by the smaller box instead of the union, and count pixels (a box from 0 to 9 is 10
            wide), as facenet-pytorch does there.

    Returns:
        (N, M), 0 to 1.
    """
    pixel = np.float32(1 if minimum else 0)
    a, b = a.T[:, :, None], b.T[:, None, :]  # (4, N, 1), (4, 1, M)
    width = np.maximum(np.minimum(a[2], b[2]) - np.maximum(a[0], b[0]) + pixel, 0)
    height = np.maximum(np.minimum(a[3], b[3]) - np.maximum(a[1], b[1]) + pixel, 0)
    inter = width * height  # (N, M)
    areas = [(box[2] - box[0] + pixel) * (box[3] - box[1] + pixel) for box in (a, b)]
    whole = np.minimum(*areas) if minimum else areas[0] + areas[1] - inter
    shares: Floats = inter / np.maximum(whole, np.float32(1e-12))  # 0 for boxes without area
    return shares


def _keep_in_block(boxes: Floats, threshold: float, minimum: bool) -> NDArray[np.bool_]:
    """Greedy suppression of boxes in order of score, as the fixed point of "no kept box before overlaps".

    A pass settles at least one more box; in practice a few passes settle all (Cluster NMS, Zheng et al.,
    2020).
    """
    suppresses = np.triu(overlap(boxes, boxes, minimum=minimum) > threshold, 1)
    keep = np.logical_not(suppresses.any(0))
    while True:
        settled = np.logical_not(suppresses[keep].any(0))
        if np.array_equal(settled, keep):
            return keep
        keep = settled


def non_maximum_suppression(
    boxes: Floats, scores: Floats, threshold: float, *, minimum: bool = False, block: int = 256
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: best score first, drop what overlaps a kept box by above `threshold`.

    Works through blocks of boxes, so that memory grows with kept boxes times `block`, not with boxes squared.

    Args:
        boxes: (N, 4) x0, y0, x1, y1.
        scores: (N,).
        threshold: of the overlap.
        minimum: measure the overlap against the smaller box, not the union.
        block: boxes that are compared with each other at once.

    Returns:
        (K,) indices of the kept boxes, best score first; of equal scores the earlier box wins.
    """
    order = np.argsort(-scores, kind="stable")
    kept = order[:0]
    for start in range(0, len(order), block):
        rest = order[start : start + block]
        rest = rest[~(overlap(boxes[kept], boxes[rest], minimum=minimum) > threshold).any(0)]
        kept = np.concatenate([kept, rest[_keep_in_block(boxes[rest], threshold, minimum)]])
    return kept


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


def _candidates(shifts: Floats, probability: Floats, scale: float, threshold: float) -> tuple[Floats, Floats, Floats]:
    """Boxes that P-Net proposes at one scale.

    Args:
        shifts: (4, rows, columns), of each edge in units of the box's side.
        probability: (rows, columns).
        scale: of the pyramid.
        threshold: of the probability.

    Returns:
        Boxes (N, 4) in whole pixels of the frame before the shift, scores (N,), shifts (N, 4).
    """
    rows, columns = np.nonzero(probability >= np.float32(threshold))
    corners = np.stack([columns, rows], 1).astype(np.float32) * STRIDE
    first = np.floor((corners + 1) / np.float32(scale))
    last = np.floor((corners + CELL) / np.float32(scale))
    return np.concatenate([first, last], 1), probability[rows, columns], shifts[:, rows, columns].T


def _normalize(pixels: Floats) -> Floats:
    """Maps 0..255 to -1..1 in place, as the networks were trained."""
    pixels -= np.float32(MEAN)
    pixels *= np.float32(SCALE)
    return pixels


class FaceDetector:
    """Finds faces in frames. Thread-safe; loads 2 MB of networks once.

    Args:
        min_face: side of the smallest face to find, in pixels, at least 12. Time falls with its square.
        thresholds: of the probability after P-Net, R-Net and O-Net.
        factor: from one scale of the pyramid to the next.
        threads: of ONNX Runtime or LiteRT; None for one per core.
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
        folder = models_folder() / "mtcnn" if folder is None else folder
        self._pnet, self._rnet, self._onet = (_load(folder / f"{name}.{format}", threads) for name in _NAMES)

    def detect(self, frame: NDArray[np.uint8], *, min_face: int | None = None) -> list[Face]:
        """Finds the faces of one frame.

        Args:
            frame: (H, W, 3) RGB.
            min_face: side of the smallest face, in pixels, in place of the detector's own.

        Returns:
            Faces, the largest box first; none for a frame that is smaller than `min_face`.

        Raises:
            UsageError: the frame is not (H, W, 3) uint8, or `min_face` is below 12.
        """
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise UsageError(f"expected an RGB frame (H, W, 3) uint8, got {frame.shape} {frame.dtype}")
        smallest = self.min_face if min_face is None else min_face
        _check_min_face(smallest)
        scales = pyramid(frame.shape[0], frame.shape[1], min_face=smallest, factor=self.factor)
        if not scales:
            return []
        table = AreaTable(frame)
        boxes = self._refine(table, self._propose(table, scales))
        return self._conclude(table, boxes)

    def _propose(self, table: AreaTable, scales: Sequence[float]) -> Floats:
        """First stage: square candidates (N, 4) from P-Net at every scale."""
        found = [self._propose_at(table, scale) for scale in scales]
        boxes, scores, shifts = (np.concatenate(parts) for parts in zip(*found, strict=True))
        keep = non_maximum_suppression(boxes, scores, OVERLAPS[0])
        return _square(_shift(boxes[keep], shifts[keep], 0))

    def _propose_at(self, table: AreaTable, scale: float) -> tuple[Floats, Floats, Floats]:
        image = _normalize(table.resize(int(table.height * scale + 1), int(table.width * scale + 1)))
        shifts, probability = self._pnet.run(_BOXES, {"image": image[None]})
        boxes, scores, shifts = _candidates(shifts[0], probability[0, 0], scale, self.thresholds[0])
        keep = non_maximum_suppression(boxes, scores, SCALE_OVERLAP)
        return boxes[keep], scores[keep], shifts[keep]

    def _refine(self, table: AreaTable, boxes: Floats) -> Floats:
        """Second stage: square candidates (M, 4) that R-Net accepts."""
        boxes, shifts, scores = _look(self._rnet, table, boxes, CROP_SIDES[0], _BOXES)
        accept = scores > np.float32(self.thresholds[1])
        boxes, shifts, scores = boxes[accept], shifts[accept], scores[accept]
        keep = non_maximum_suppression(boxes, scores, OVERLAPS[1])
        return _square(_shift(boxes[keep], shifts[keep], 1))

    def _conclude(self, table: AreaTable, boxes: Floats) -> list[Face]:
        """Third stage: faces with landmarks from O-Net, the largest box first."""
        boxes, shifts, landmarks, scores = _look(self._onet, table, boxes, CROP_SIDES[1], _LANDMARKS)
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


_NAMES = ("pnet", "rnet", "onet")
_BOXES = ("boxes", "probability")
_LANDMARKS = ("boxes", "landmarks", "probability")
_BATCH = 256
"""Crops that go through R-Net or O-Net at once; bounds memory on crowded or hostile frames."""


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


def _look(
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
    found = [
        session.run(outputs, {"image": _normalize(table.crops(pixels[start : start + _BATCH], side))})
        for start in range(0, max(len(pixels), 1), _BATCH)
    ]
    *values, probability = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return [boxes, *values, probability[:, 0]]


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
