"""Self-blended images: fakes made from one real picture, so that only the blending tells them apart.

Shiohara & Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022. A copy of the picture is
altered a little (section 3.2.1, source-target generator), and its face is set back on the picture under a
deformed, softened mask (3.2.2, mask generator). A detector that learns such pictures learns what every face
swap leaves: a blending boundary, and a face whose colours, sharpness or place disagree with the rest.

    blended = mask * source + (1 - mask) * target                                         (3.2.3)

How to train on it: the fake is `Blend.image` and its real partner is `Blend.target`, not the picture that went
in, because the alteration falls on the target half of the time; a network would otherwise learn the
alteration. Both then pass through the same `augment` with equal generators, so that JPEG, blur and size say
nothing about the class either:

    blend = self_blend(image, landmarks, random)
    seed = random.integers(2**63)
    real, fake = (augment(view, size, np.random.default_rng(seed)) for view in (blend.target, blend.image))
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgefake_runtime.errors import InputError, UsageError

from .augment import relight, rescale

__all__ = [
    "LANDMARK_COUNTS",
    "REGIONS",
    "STANDARD",
    "Blend",
    "Region",
    "SelfBlending",
    "face_hull",
    "five_points",
    "self_blend",
]

Image = NDArray[np.uint8]
Points = NDArray[np.float64]
Mask = NDArray[np.float32]
Region = Literal["face", "forehead", "inner", "lower"]

LANDMARK_COUNTS = (5, 68, 81, 86)
"""Points that are understood: MTCNN's, dlib's (iBUG 300-W), those with a forehead, SCUT-FBP5500's."""

REGIONS: tuple[Region, ...] = ("face", "forehead", "inner", "lower")
"""What may be replaced: brows to chin; the forehead too; the middle of the face; all that lies below the eyes."""

OUTLINE = np.array(
    [
        [-1.21, -0.38, 0.04],  # brow
        [-1.86, -0.20, -0.34],
        [-2.39, 0.07, -1.40],  # temple, beside the eye
        [-2.30, 0.62, -1.20],
        [-1.93, 1.16, -0.90],  # angle of the jaw
        [-1.57, 1.39, -0.65],
        [-1.12, 1.58, -0.30],
        [-0.62, 1.72, 0.05],
        [0.00, 1.78, 0.20],  # chin
    ]
)
"""Left half of a face from brow to chin: x, y, and how x moves with the nose.

x is in half distances of the eyes from their middle, y in distances from the eyes' middle to the mouth's. A head
that turns shifts the nose from the middle by t, and each point by its third column times t. Mean over the 43
faces of dlib's example pictures (Boost licence), both sides taken together, rounded and smoothed.
"""

FOREHEAD = np.array([[-1.85, -0.50, -0.40], [-1.35, -0.83, -0.15], [-0.70, -1.00, 0.05], [0.0, -1.05, 0.10]])
"""The forehead to below the hairline, in the units of OUTLINE: by eye, on the same pictures."""

TURN = 0.9
"""Largest shift of the nose that OUTLINE follows; beyond it a face is in profile."""

GRID, FACE = 192, 128
"""Masks are drawn on GRID x GRID pixels in which the hull is FACE wide or high, whatever the picture's size."""

MARGIN = (GRID - FACE) / (2 * FACE)
"""The mask is 0 farther than this from the displaced hull's box, in sides of the box."""


@dataclass(frozen=True)
class SelfBlending:
    """Ranges of the generator; pairs are the ends of a uniform choice.

    Those without a note are the paper's or its authors' code's (github.com/mapooon/SelfBlendedImages), some of
    them rounded; there they are shares of a face crop, here of the face's box.

    Attributes:
        alter_source: probability that source, not target, is altered.
        channel_shift: most that each channel moves, levels; acts three times in ten.
        brightness: most that brightness moves, as a share of 255.
        contrast: most that contrast changes, as a share.
        saturation: most that saturation changes, as a share; ours, as is hue.
        hue: most that the hue turns, degrees.
        downscale: side of the picture that the softened one is grown from, as a share.
        sharpen: strength of the sharpening; either this or the downscale acts.
        shift_x: most that the source's face moves, in sides of the face's box.
        shift_y: the same, downwards; the authors' code has the two the other way round.
        scale: of the source's face.
        deform: root mean square by which the mask's outline moves, in sides of the face's box; ours.
        kernels: sides of the two Gaussian kernels that soften the mask, in pixels of a face of 128.
        ratios: of which one multiplies the mask.
        regions: a weight for each of REGIONS; ours, the authors' code has 1/4 and 3/4 for the first two.

    Raises:
        UsageError: a value that is impossible.
    """

    alter_source: float = 0.5
    channel_shift: float = 20.0
    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.15
    hue: float = 4.0
    downscale: tuple[float, float] = (0.25, 0.6)
    sharpen: tuple[float, float] = (0.2, 0.5)
    shift_x: float = 0.015
    shift_y: float = 0.03
    scale: tuple[float, float] = (0.95, 1 / 0.95)
    deform: tuple[float, float] = (0.005, 0.02)
    kernels: tuple[int, int] = (3, 21)
    ratios: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
    regions: tuple[float, float, float, float] = (0.4, 0.35, 0.15, 0.1)

    def __post_init__(self) -> None:
        shares = ("alter_source", "brightness", "contrast", "saturation", "shift_x", "shift_y")
        for name, most in (*((share, 1) for share in shares), ("channel_shift", 255), ("hue", 180)):
            if not 0 <= getattr(self, name) <= most:
                raise UsageError(f"{name}: expected a value from 0 to {most}, got {getattr(self, name)}")
        for name, least, top in (("downscale", 0.01, 1), ("sharpen", 0, 1), ("scale", 0.5, 2), ("deform", 0, 0.05)):
            low, high = getattr(self, name)
            if not least <= low <= high <= top:
                raise UsageError(f"{name}: expected a range within {least} to {top}, got {low} to {high}")
        if not 1 <= self.kernels[0] <= self.kernels[1] <= 31:
            raise UsageError(f"kernels: expected sides from 1 to 31, got {self.kernels}")
        if not self.ratios or not all(0 < ratio <= 1 for ratio in self.ratios):
            raise UsageError(f"ratios: expected some above 0, at most 1, got {self.ratios}")
        if len(self.regions) != len(REGIONS) or min(self.regions) < 0 or sum(self.regions) <= 0:
            raise UsageError(f"regions: expected {len(REGIONS)} weights, not all 0, got {self.regions}")


STANDARD = SelfBlending()
"""What training uses."""


@dataclass(frozen=True, eq=False)
class Blend:
    """A pseudo-fake and what it was made of.

    Attributes:
        image: (H, W, 3) RGB bytes, the fake.
        mask: (H, W) float32 in 0..1: the source's share of each pixel; where it is 0, `image` is `target`.
        target: (H, W, 3), the picture around the face: the fake's real partner in training.
        source: (H, W, 3), the picture that the face is from.
        region: which part of the face was replaced.
        ratio: by which the mask was multiplied: its largest value.
    """

    image: Image
    mask: Mask
    target: Image
    source: Image
    region: Region
    ratio: float


def five_points(landmarks: Points) -> Points:
    """Eyes, nose and mouth corners, in MTCNN's order: (K, 2) -> (5, 2), K one of LANDMARK_COUNTS."""
    if len(landmarks) == 5:
        return landmarks
    if len(landmarks) == 86:  # pupils, between the tip's sides and base, corners
        nose = landmarks[[63, 69, 66]].mean(0)
        return np.stack([landmarks[58], landmarks[59], nose, landmarks[79], landmarks[73]])
    eyes = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
    return np.stack([*eyes, landmarks[30], landmarks[48], landmarks[54]])


def _axes(five: Points) -> tuple[Points, Points]:
    """Origin (2,) and axes (2, 2) of OUTLINE's units in the picture: rows are half the eyes' distance, and down."""
    middle, mouth = (five[0] + five[1]) / 2, (five[3] + five[4]) / 2
    return middle, np.stack([(five[1] - five[0]) / 2, mouth - middle])


def _place(table: Points, five: Points) -> Points:
    """Both halves of a table like OUTLINE, set on a face: (N, 3) -> (2 N, 2) pixels."""
    origin, axes = _axes(five)
    nose = np.linalg.solve(axes.T, five[2] - origin)[0]
    drift = np.clip(nose, -TURN, TURN) * table[:, 2]
    left = np.column_stack([drift + table[:, 0], table[:, 1]])
    right = np.column_stack([drift - table[:, 0], table[:, 1]])
    placed: Points = origin + np.concatenate([left, right]) @ axes
    return placed


def _outline(landmarks: Points, five: Points) -> Points:
    """Points whose hull is the face from brow to chin."""
    if len(landmarks) == 5:
        return _place(OUTLINE, five)
    if len(landmarks) == 86:  # the contour from one brow's height to the other's, and the brows
        return landmarks[np.r_[4:19, 22:42]]
    return landmarks[:68]


def face_hull(landmarks: ArrayLike, region: Region = "face") -> Points:
    """The convex hull of a face, or of a part of it.

    With 68, 81 and 86 points the hull of the annotated outline. With MTCNN's five, OUTLINE laid into the frame
    that they span: from the eyes' middle, one axis to the right eye, the other to the mouth's middle, so
    that it follows the head's roll, size and, by the nose, its turn.

    Args:
        landmarks: (K, 2) pixels, K one of LANDMARK_COUNTS.
        region: "forehead" adds the annotated points there (81) or FOREHEAD; "inner" is the hull shrunk to 72 %
            about its middle; "lower" its part below the eyes.

    Returns:
        (N, 2) pixels, in order.

    Raises:
        InputError: another count, a value that is not finite, or points that span no face.
    """
    points = _checked(landmarks)
    five = five_points(points)
    outline = _outline(points, five)
    if region == "forehead":
        outline = np.concatenate([outline, points[68:] if len(points) == 81 else _place(FOREHEAD, five)])
    elif region == "lower":
        outline = outline[_below_eyes(outline, five)]
    hull = cv2.convexHull(outline.astype(np.float32)).reshape(-1, 2).astype(np.float64)
    if region == "inner":
        hull = hull.mean(0) + 0.72 * (hull - hull.mean(0))
    return hull


def _below_eyes(outline: Points, five: Points) -> NDArray[np.bool_]:
    origin, axes = _axes(five)
    heights = np.linalg.solve(axes.T, (outline - origin).T)[1]
    return np.asarray(heights > 0.25, np.bool_)


def _checked(landmarks: ArrayLike) -> Points:
    try:
        points = np.asarray(landmarks, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"expected landmarks as (K, 2) numbers, got: {error}") from error
    if points.ndim != 2 or points.shape[1] != 2 or len(points) not in LANDMARK_COUNTS:
        counts = ", ".join(map(str, LANDMARK_COUNTS))
        raise InputError(f"expected landmarks (K, 2) with K one of {counts}, got {points.shape}")
    if not np.isfinite(points).all() or np.abs(points).max() > 1e6:
        raise InputError("expected finite landmarks in pixels, got some that are not; leave the picture out")
    _, axes = _axes(five_points(points))
    lengths = np.linalg.norm(axes, axis=1)
    if lengths.min() < 1.5 or abs(np.linalg.det(axes)) < 0.2 * lengths.prod():
        raise InputError(
            "expected landmarks of a face, got eyes and mouth on one line or within 3 pixels; leave the picture out"
        )
    return points


def _sharpen(image: Image, strength: float) -> Image:
    """Unsharp mask: image + 4 * strength * (image - its blur)."""
    soft = cv2.GaussianBlur(image, (0, 0), 1.0)
    return np.asarray(cv2.addWeighted(image, 1 + 4 * strength, soft, -4 * strength, 0), np.uint8)


def _altered(image: Image, settings: SelfBlending, random: np.random.Generator) -> Image:
    """Other colours, then softer or sharper (section 3.2.1)."""
    shift = np.full(3, 255 * random.uniform(-1, 1) * settings.brightness)
    if random.random() < 0.3:
        shift += random.uniform(-1, 1, 3) * settings.channel_shift
    image = relight(
        image,
        gain=1 + random.uniform(-1, 1) * settings.contrast,
        shift=shift,
        saturation=1 + random.uniform(-1, 1) * settings.saturation,
        hue=random.uniform(-1, 1) * settings.hue,
    )
    if random.random() < 0.5:
        return _sharpen(image, random.uniform(*settings.sharpen))
    return rescale(image, random.uniform(*settings.downscale), cv2.INTER_AREA, cv2.INTER_CUBIC)


def _displacement(hull: Points, settings: SelfBlending, random: np.random.Generator) -> Points:
    """The affine map (2, 3) that moves and rescales the source about its face (section 3.2.1)."""
    centre, side = _box(hull)
    scale = random.uniform(*settings.scale)
    move = random.uniform(-1, 1, 2) * (settings.shift_x, settings.shift_y) * side
    return np.column_stack([scale * np.eye(2), centre + move - scale * centre])


def _displaced(image: Image, view: Points, random: np.random.Generator) -> Image:
    flags = cv2.INTER_LINEAR if random.random() < 0.5 else cv2.INTER_CUBIC
    moved = cv2.warpAffine(image, view, image.shape[1::-1], flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(moved, np.uint8)


def _box(hull: Points) -> tuple[Points, float]:
    """Centre (2,) and longest side of the hull's box, pixels."""
    low, high = hull.min(0), hull.max(0)
    return (low + high) / 2, float((high - low).max())


def _deformed(mask: Mask, amount: float, random: np.random.Generator) -> Mask:
    """Elastic deformation (section 3.2.2): each pixel moves by a smooth random field of `amount` pixels."""
    push = [
        cv2.resize(random.standard_normal((8, 8)).astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_CUBIC)
        for _ in range(2)
    ]
    columns, rows = np.meshgrid(np.arange(GRID, dtype=np.float32), np.arange(GRID, dtype=np.float32))
    limit = (GRID - FACE) / 4
    x, y = (
        axis + np.clip(np.float32(amount) * field, -limit, limit)
        for axis, field in zip((columns, rows), push, strict=True)
    )
    return np.asarray(cv2.remap(mask, x, y, cv2.INTER_LINEAR), np.float32)


def _softened(mask: Mask, kernels: tuple[int, int], random: np.random.Generator) -> Mask:
    """Two Gaussian kernels (section 3.2.2), largest value 1.

    What the first leaves below 1 is cut, so that the mask shrinks by half that kernel, and the second grows it
    by half of its own: the outline lies inside or outside of the hull.
    """
    first, second = (2 * int(half) + 1 for half in random.integers(kernels[0] // 2, (kernels[1] + 1) // 2, 2))
    inner = np.asarray(cv2.GaussianBlur(mask, (first, first), 0), np.float32)
    inner[inner < 1 - 1e-3] = 0
    soft = cv2.GaussianBlur(inner if inner.any() else mask, (second, second), random.uniform(2, 40))
    return np.asarray(soft / max(float(soft.max()), 1e-6), np.float32)


def _drawn(hull: Points, shape: tuple[int, int], settings: SelfBlending, random: np.random.Generator) -> Mask:
    """The mask of one hull in a picture of `shape`: (H, W), 0 to 1."""
    centre, side = _box(hull)
    zoom = FACE / side
    fine = np.rint(((hull - centre) * zoom + GRID / 2) * 256).astype(np.int32)
    mask: Mask = np.zeros((GRID, GRID), np.float32)
    cv2.fillConvexPoly(mask, fine, 1.0, shift=8)
    mask = _softened(_deformed(mask, random.uniform(*settings.deform) * FACE, random), settings.kernels, random)
    mask[[0, -1]] = mask[:, [0, -1]] = 0
    view = np.column_stack([np.eye(2) / zoom, centre - GRID / 2 / zoom])
    placed = cv2.warpAffine(mask, view, shape[::-1], flags=cv2.INTER_LINEAR)
    return np.asarray(placed, np.float32)


def _mixed(source: Image, target: Image, mask: Mask) -> Image:
    face = source.astype(np.float32)
    face -= target
    face *= mask[:, :, None]
    face += target
    return np.rint(face).astype(np.uint8)


def self_blend(
    image: Image, landmarks: ArrayLike, random: np.random.Generator, *, settings: SelfBlending = STANDARD
) -> Blend:
    """Make a fake from one real picture; the module's docstring says how to train on it.

    Args:
        image: (H, W, 3) RGB bytes.
        landmarks: (K, 2) pixels of its face, K one of LANDMARK_COUNTS.
        random: decides all; equal generators make equal blends.
        settings: of the generator.

    Raises:
        UsageError: `image` has another shape or type.
        InputError: the landmarks are no face, or one that lies outside of the picture: `face_hull`.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0 or image.dtype != np.uint8:
        raise UsageError(f"expected an RGB picture (H, W, 3) uint8, got {image.shape} {image.dtype}")
    height, width = image.shape[:2]
    weights = np.array(settings.regions)
    region = REGIONS[random.choice(len(REGIONS), p=weights / weights.sum())]
    hull = face_hull(landmarks, region)
    view = _displacement(hull, settings, random)
    hull = hull @ view[:, :2].T + view[:, 2]  # the mask goes with the source's face
    mask = _drawn(hull, (height, width), settings, random)
    if mask.max(initial=0) < 0.5:
        raise InputError(
            f"expected landmarks within the picture of {width}x{height}, got a face at "
            f"{hull.mean(0).round().tolist()}; leave the picture out"
        )
    source = target = image
    if random.random() < settings.alter_source:
        source = _altered(image, settings, random)
    else:
        target = _altered(image, settings, random)
    source = _displaced(source, view, random)
    ratio = float(random.choice(settings.ratios))
    mask *= np.float32(ratio)
    return Blend(_mixed(source, target, mask), mask, target, source, region, ratio)
