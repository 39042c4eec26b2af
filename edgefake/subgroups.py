"""Where a model fails: its figures by size, sharpness and brightness of the face, and by a proxy of skin tone.

Nothing here is a ground truth. Size is that of the box where the manifest has one, else what of it the crop shows;
brightness and skin tone are those of the picture, and under light that nobody controls the individual typology angle
(ITA) tells as much of the light and the camera as of the skin.
"""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefake_runtime.metadata import Crop, ModelMetadata
from edgefake_runtime.quality import sharpness, side

from .data.crop_rule import centre, centre_share
from .evaluate import LEAST_GROUPS, Evaluation, model_input, read_picture
from .metrics import bootstrap, measure, statistics_at

__all__ = [
    "ITA_CLASSES",
    "LOST",
    "PROPERTIES",
    "SKIN",
    "FaceMeasures",
    "SubgroupRow",
    "break_down",
    "describe_faces",
    "effective_side",
    "face_sides",
    "ita",
    "lightness",
    "skin_region",
]

Image = NDArray[np.uint8]

LOST = 0.04
"""Share of a crop's contrast (RMS about the mean, luma) that its effective resolution may leave out."""

SKIN = (0.25, 0.48, 0.75, 0.68)
"""Nose and cheeks, below the eyes and above the mouth: left, top, right, bottom in sides of the detector's box."""

SKIN_CB, SKIN_CR = (77, 127), (133, 173)
"""Chroma of skin of any tone, 8-bit YCbCr (Chai & Ngan 1999)."""

LEAST_SKIN = 0.2
"""Share of the region that must look like skin for an ITA."""

SIZE_EDGES = (64.0, 96.0, 128.0, 160.0, 192.0)
"""Of face sizes, pixels; the same for every data set."""

ITA_CLASSES = (("dark", -30.0), ("brown", 10.0), ("tan", 28.0), ("intermediate", 41.0), ("light", 55.0))
"""Name and upper end, degrees; above the last one "very light" (Chardon et al. 1991; Del Bino et al. 2006)."""

PROPERTIES = {
    "size": "face size, pixels",
    "sharpness": "sharpness",
    "lightness": "brightness, mean L*",
    "ita": "skin tone proxy, ITA",
}
"""What rows are made by, and its name for people."""


@dataclass(frozen=True)
class FaceMeasures:
    """What can be measured of a crop without its label.

    Attributes:
        size: side of the face's box in the frame, or the crop's `effective_side`; pixels.
        sharpness: of the model's input (`edgefake_runtime.quality.sharpness`).
        lightness: mean L* of nose and cheeks, 0 to 100.
        ita: see `ita`; None where too little looks like skin.
    """

    size: float
    sharpness: float
    lightness: float
    ita: float | None


@dataclass(frozen=True)
class SubgroupRow:
    """A model on the crops of one bin.

    Attributes:
        property: key of `PROPERTIES`.
        bin: its name, such as "65 to 96" or "tan".
        low, high: the bin holds values above `low` up to `high`; None for no end, and both for crops without a value.
        n, n_real, n_fake: number of crops.
        groups: number of identity groups; None where the manifest names none.
        auc: None where one class is missing.
        auc_low, auc_high: its 95 % interval by identity group; None without groups or with fewer than `LEAST_GROUPS`.
        accuracy, false_positive_rate, true_positive_rate: at the model's threshold.
        mean_score: mean P(fake).
    """

    property: str
    bin: str
    low: float | None
    high: float | None
    n: int
    n_real: int
    n_fake: int
    groups: int | None
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    accuracy: float | None
    false_positive_rate: float | None
    true_positive_rate: float | None
    mean_score: float


def effective_side(picture: Image, *, lost: float = LOST) -> int:
    """Side, in pixels, of the smallest picture that still shows nearly all of this one: at most its own side.

    Shrinking to s x s and growing back, both ideally, keeps the s x s lowest frequencies of the cosine transform (the
    transform of the mirrored picture, so that borders make no edge). By Parseval what is lost is the energy of the
    others. The result is the smallest s that loses less than the share `lost` of the contrast:

        sqrt(sum of C(u, v)^2 over u >= s or v >= s) / sqrt(sum over all but C(0, 0)) < lost

    A crop that was grown from a smaller one says so, and so does one that was out of focus: this is what the picture
    shows, not how many pixels the camera had. Textures like faces, grown by cubic interpolation to 224 from 32 to 192,
    come out within 25 % also after JPEG of quality 75; bilinear growth leaves more behind and reads up to 45 % high. A
    flat picture has 1. Pictures that are not square give the geometric
    mean of the two sides.
    """
    height, width = (length // 2 * 2 for length in picture.shape[:2])  # OpenCV transforms even lengths alone
    grey = cv2.cvtColor(picture[:height, :width], cv2.COLOR_RGB2GRAY).astype(np.float64)
    energy = cv2.dct(grey - grey.mean()) ** 2
    total = float(energy.sum())
    if total < 1e-6:
        return 1
    kept = energy.cumsum(axis=0).cumsum(axis=1)
    longest = max(height, width)
    steps = np.arange(1, longest + 1)
    rows, columns = (np.maximum(1, np.ceil(steps * length / longest).astype(int)) for length in (height, width))
    left = np.maximum(total - kept[rows - 1, columns - 1], 0)
    first = int(np.argmax(left < lost**2 * total))
    return round(math.sqrt(int(rows[first]) * int(columns[first])))


def skin_region(picture: Image, crop: Crop) -> Image:
    """Nose and cheeks (`SKIN`) of a stored crop that was cut by this rule: (H, W, 3) -> (h, w, 3), a view."""
    boxes = crop.share * (1 + 2 * crop.margin)  # sides of the detector's box across the crop
    height, width = picture.shape[:2]
    left, right = (0.5 + (x - 0.5) / boxes for x in (SKIN[0], SKIN[2]))
    top, bottom = (0.5 + (y - 0.5 - crop.shift) / boxes for y in (SKIN[1], SKIN[3]))
    begin_y, end_y = _pixels(top, bottom, height)
    begin_x, end_x = _pixels(left, right, width)
    return picture[begin_y:end_y, begin_x:end_x]


def _pixels(low: float, high: float, length: int) -> tuple[int, int]:
    begin = min(max(round(low * length), 0), length - 1)
    return begin, min(max(round(high * length), begin + 1), length)


def _lab(region: Image) -> NDArray[np.float32]:
    """CIELAB (sRGB, D65) of RGB bytes: L* 0 to 100, a* and b* in its units."""
    return np.asarray(cv2.cvtColor(region.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def lightness(region: Image) -> float:
    """Mean L* of a region, 0 (black) to 100 (white)."""
    return float(_lab(region)[..., 0].mean())


def ita(region: Image) -> float | None:
    """Individual typology angle, atan((L* - 50) / b*) in degrees, of the pixels that look like skin.

    L* and b* are medians over the pixels of the region whose chroma is within `SKIN_CB` and `SKIN_CR`, so that neither
    a beard nor a highlight nor glasses decide. None where less than `LEAST_SKIN` of the region looks like skin, or its
    b* is not positive: grey pictures and coloured light have no angle. (Chardon, Cretois & Hourseau 1991.)
    """
    _, cr, cb = np.moveaxis(np.asarray(cv2.cvtColor(region, cv2.COLOR_RGB2YCrCb)), -1, 0)
    skin = (cb >= SKIN_CB[0]) & (cb <= SKIN_CB[1]) & (cr >= SKIN_CR[0]) & (cr <= SKIN_CR[1])
    if skin.mean() < LEAST_SKIN:
        return None
    values = _lab(region)[skin]  # (pixels, 3)
    light, yellow = float(np.median(values[:, 0])), float(np.median(values[:, 2]))
    return math.degrees(math.atan((light - 50) / yellow)) if yellow > 0 else None


def face_sides(manifest: Path) -> dict[int, float]:
    """Line of the manifest -> side of the face's box in its frame, pixels; empty without the column `box`.

    `edgefake prepare` writes the column: x0 y0 x1 y1. Lines where it holds anything else are left out.
    """
    found = {}
    with manifest.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        for row in reader:
            try:
                x0, y0, x1, y1 = (float(word) for word in (row.get("box") or "").split())
            except ValueError:
                continue
            if math.isfinite(length := side((x0, y0, x1, y1))) and length > 0:
                found[reader.line_num] = length
    return found


def describe_faces(
    evaluation: Evaluation,
    metadata: ModelMetadata,
    *,
    rule: Crop | None = None,
    sides: Mapping[int, float] | None = None,
    max_megapixels: float = 100.0,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[FaceMeasures]:
    """Measure the crops of an evaluation, one after the other.

    Args:
        evaluation: its samples, in their order.
        metadata: of the model; say what of a crop it sees.
        rule: how the stored crops were cut (`read_crop_rule`); None for like those that the model was trained on.
        sides: of faces in their frames by line (`face_sides`). They are taken where every sample has one: sizes of
            two kinds in one table would say nothing.
        max_megapixels: larger pictures are refused.
        on_done: told of crops as they are done.

    Raises:
        InputError: a crop that could be read before can no longer be read.
    """
    share = centre_share(metadata.crop, rule)
    given = replace(metadata.crop, share=1.0) if rule is None else rule
    native = sides if sides and all(sample.line in sides for sample in evaluation.samples) else None
    found = []
    for number, sample in enumerate(evaluation.samples, 1):
        picture = read_picture(sample.path, max_megapixels=max_megapixels)
        region = skin_region(picture, given)
        size = float(effective_side(centre(picture, share))) if native is None else native[sample.line]
        sharp = sharpness(model_input(picture, size=metadata.input_size, share=share))
        found.append(FaceMeasures(size, sharp, lightness(region), ita(region)))
        on_done(number)
    return found


def break_down(evaluation: Evaluation, faces: Sequence[FaceMeasures]) -> tuple[SubgroupRow, ...]:
    """The figures of each bin that holds crops: `SIZE_EDGES`, terciles of sharpness and brightness, classes of ITA.

    Args:
        evaluation: the scores.
        faces: `describe_faces` of the same samples.
    """
    sizes, sharp, light = (np.array([getattr(face, name) for face in faces]) for name in tuple(PROPERTIES)[:3])
    angles = np.array([np.nan if face.ita is None else face.ita for face in faces])
    parts = (
        ("size", sizes, SIZE_EDGES, None, ".0f"),
        ("sharpness", sharp, _terciles(sharp), None, ".2f"),
        ("lightness", light, _terciles(light), None, ".0f"),
        ("ita", angles, [end for _, end in ITA_CLASSES], [*(name for name, _ in ITA_CLASSES), "very light"], ".0f"),
    )
    rows = []
    for name, values, edges, names, form in parts:
        for label, low, high, chosen in _bins(values, edges, names, form):
            if chosen.any():
                rows.append(_row(evaluation, name, label, (low, high), chosen))
    return tuple(rows)


def _terciles(values: NDArray[np.float64]) -> list[float]:
    return sorted({float(edge) for edge in np.quantile(values, [1 / 3, 2 / 3])}) if values.size else []


Bin = tuple[str, float | None, float | None, NDArray[np.bool_]]


def _bins(values: NDArray[np.float64], edges: Sequence[float], names: Sequence[str] | None, form: str) -> list[Bin]:
    """Name, ends and members of each bin between the edges, the last one for what has no value (NaN)."""
    ends = [None, *edges, None]
    index = np.searchsorted(np.asarray(edges), values, side="left")  # a value on an edge goes below it
    index[np.isnan(values)] = len(ends) - 1
    found: list[Bin] = []
    for number, (low, high) in enumerate(pairwise(ends)):
        found.append((names[number] if names else _span(low, high, form), low, high, index == number))
    found.append(("unknown", None, None, index == len(ends) - 1))
    return found


def _span(low: float | None, high: float | None, form: str) -> str:
    if low is None:
        return "all" if high is None else f"up to {high:{form}}"
    return f"above {low:{form}}" if high is None else f"{low:{form}} to {high:{form}}"


def _row(
    evaluation: Evaluation, name: str, label: str, ends: tuple[float | None, float | None], chosen: NDArray[np.bool_]
) -> SubgroupRow:
    scores = evaluation.scores[chosen]
    metrics = measure(evaluation.labels[chosen], scores, threshold=evaluation.threshold)
    people, (low, high) = _people(evaluation, chosen)
    return SubgroupRow(
        property=name,
        bin=label,
        low=ends[0],
        high=ends[1],
        n=metrics.n,
        n_real=metrics.n_real,
        n_fake=metrics.n_fake,
        groups=people,
        auc=metrics.auc,
        auc_low=low,
        auc_high=high,
        accuracy=metrics.accuracy,
        false_positive_rate=metrics.false_positive_rate,
        true_positive_rate=metrics.true_positive_rate,
        mean_score=float(scores.mean()),
    )


def _people(
    evaluation: Evaluation, chosen: NDArray[np.bool_]
) -> tuple[int | None, tuple[float, float] | tuple[None, None]]:
    """The number of identity groups among the chosen, and the interval of their AUC."""
    if evaluation.groups is None:
        return None, (None, None)
    groups = [group for group, mine in zip(evaluation.groups, chosen, strict=True) if mine]
    people = len(set(groups))
    if people < LEAST_GROUPS:
        return people, (None, None)
    statistics = {"auc": statistics_at(evaluation.threshold)["auc"]}
    interval = bootstrap(evaluation.labels[chosen], evaluation.scores[chosen], groups, statistics)["auc"]
    return people, interval or (None, None)
