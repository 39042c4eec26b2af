"""Below which size, sharpness and turn of a face a model no longer tells real from fake: measured, not guessed.

Labelled crops are made worse step by step; the floor is the worst step at which the AUC has fallen by no more than a
given drop. Turned heads cannot be made from others, so there the floor is where the labelled crops end.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefake_runtime import Classifier, Crop, FaceDetector, InputError, QualityFloor
from edgefake_runtime.crops import resize
from edgefake_runtime.quality import sharpness, turn
from edgefake_runtime.scorer import MOST_TURN

from .data.augment import blur, rescale
from .metrics import auc

__all__ = ["DROP", "measure_floor"]

DROP = 0.05
"""Loss of AUC that a face may cost before it is set aside."""

SIDES = (160, 128, 112, 96, 80, 72, 64, 56, 48, 40, 32, 24)
"""Sides of the face's box to search among, pixels."""

SIGMAS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0)
"""Deviations of a Gaussian blur to search among, pixels of a crop of 224."""

TURN_SHARE = 0.995
"""Share of the labelled faces that are no more turned than the floor."""

LEAST_TURNED = 50
"""Faces that a quantile of turns needs."""

Image = NDArray[np.uint8]


def measure_floor(
    classifier: Classifier,
    crops: Sequence[Image],
    labels: NDArray[np.bool_],
    *,
    drop: float = DROP,
    origin: str,
    on_step: Callable[[], None] = lambda: None,
) -> QualityFloor:
    """Make crops smaller and softer until the AUC has fallen by `drop`.

    Args:
        classifier: the model.
        crops: (H, W, 3) RGB each, cut as the model's metadata say.
        labels: (n,), True for fake.
        drop: of the AUC.
        origin: what the crops are, for the metadata.
        on_step: called after each pass over the crops, of which there are nine at most.

    Raises:
        InputError: one class alone.
    """
    size = classifier.metadata.input_size

    def area(changed: Iterable[Image]) -> float:
        value = auc(labels, classifier.evidence(np.stack([resize(crop, size) for crop in changed])))
        on_step()
        return value

    least = area(crops) - drop
    side = _smallest_side(crops, classifier.metadata.crop, lambda changed: area(changed) >= least)
    soft = _softest(crops, lambda changed: area(changed) >= least)
    return QualityFloor(
        side=round(side, 1),
        sharpness=round(soft, 4),
        turn=round(_most_turned(crops), 3),
        origin=f"AUC within {drop} of that of whole crops, {origin}; turn: {TURN_SHARE:.1%} of them",
    )


def _smallest_side(crops: Sequence[Image], crop: Crop, keeps: Callable[[Iterable[Image]], bool]) -> float:
    """Side of the face's box down to which the AUC stays; a crop shows a share of the box, or more than it."""
    shown = crop.share * (1 + 2 * crop.margin)

    def shrunk(side: int) -> Iterator[Image]:
        for image in crops:
            yield rescale(image, min(1.0, side * shown / len(image)), cv2.INTER_AREA, cv2.INTER_LINEAR)

    return float(SIDES[_last_that(lambda step: keeps(shrunk(SIDES[step])), len(SIDES))])


def _softest(crops: Sequence[Image], keeps: Callable[[Iterable[Image]], bool]) -> float:
    """Median sharpness of the crops at the strongest blur at which the AUC stays."""

    def blurred(sigma: float) -> Iterator[Image]:
        for image in crops:
            yield blur(image, sigma * len(image) / 224)

    sigma = SIGMAS[_last_that(lambda step: keeps(blurred(SIGMAS[step])), len(SIGMAS))]
    return float(np.median([sharpness(image) for image in blurred(sigma)]))


def _last_that(holds: Callable[[int], bool], count: int) -> int:
    """The last of `count` steps at which something holds that ends at some step; the first one counts as holding."""
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _most_turned(crops: Sequence[Image]) -> float:
    detector = FaceDetector(threads=1)
    turns = []
    for crop in crops:
        pad = len(crop) // 2
        padded = np.asarray(cv2.copyMakeBorder(crop, pad, pad, pad, pad, cv2.BORDER_REPLICATE), np.uint8)
        faces = detector.detect(padded, min_face=max(20, len(crop) // 3))
        turns += [min(turn(faces[0]), MOST_TURN)] if faces else []
    if len(turns) < LEAST_TURNED:
        raise InputError(f"quality: expected {LEAST_TURNED} faces or more in the crops, found {len(turns)}")
    return float(np.quantile(turns, TURN_SHARE))
