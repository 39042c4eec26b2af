"""What JPEG, blur, noise, resizing and light do to a model: the usual sweep, over reals and fakes alike.

Each crop is decoded once and every corruption acts on it as it is stored, before the model's part of it is cut out and
resized: levels in pixels are pixels of the stored crop, such as 224 across. Nothing is random but the noise, which a
crop's own pixels seed: it is the same on every run, and the same pattern at every level.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefake_runtime.classifier import Classifier
from edgefake_runtime.errors import UsageError

from .data.augment import add_noise, blur, compress, relight, rescale
from .evaluate import BATCH, Evaluation, model_input, read_picture
from .metrics import Metrics, measure

__all__ = ["CLEAN", "CORRUPTIONS", "Corruption", "CorruptionRow", "brighten", "chosen_kinds", "steps_of", "sweep"]

Image = NDArray[np.uint8]

CLEAN = "clean"
"""The kind of the row without corruption."""


@dataclass(frozen=True)
class Corruption:
    """One way to spoil a picture.

    Attributes:
        name: for people.
        unit: what a level is.
        levels: in the order of the table; all of them change the picture.
        clean: the level that would change nothing, for plots; None where there is none.
        apply: (H, W, 3) RGB and a level -> the same shape.
    """

    name: str
    unit: str
    levels: tuple[float, ...]
    clean: float | None
    apply: Callable[[Image, float], Image]


@dataclass(frozen=True)
class CorruptionRow:
    """A model on corrupted crops.

    Attributes:
        kind: key of `CORRUPTIONS`, or `CLEAN`.
        level: in the kind's unit; None for `CLEAN`.
        n: number of crops.
        auc: None where one class is missing, like everything that needs it.
        auc_drop: the clean crops' AUC less this one.
        accuracy, false_positive_rate, true_positive_rate: at the model's threshold.
        ece: expected calibration error.
    """

    kind: str
    level: float | None
    n: int
    auc: float | None
    auc_drop: float | None
    accuracy: float | None
    false_positive_rate: float | None
    true_positive_rate: float | None
    ece: float | None


def brighten(image: Image, factor: float) -> Image:
    """Every level times `factor`, rounded and clipped."""
    return relight(image, gain=factor, shift=np.full(3, 127.5 * (factor - 1)))


def _noisy(image: Image, sigma: float) -> Image:
    return add_noise(image, sigma, np.random.default_rng(zlib.crc32(image.tobytes())))


def _shrunk(image: Image, factor: float) -> Image:
    return rescale(image, factor, cv2.INTER_AREA, cv2.INTER_LINEAR)


CORRUPTIONS = {
    "jpeg": Corruption(
        "JPEG", "quality", (100, 90, 75, 50, 30, 20, 10), None, lambda image, level: compress(image, int(level))
    ),
    "blur": Corruption("Gaussian blur", "sigma, pixels", (0.5, 1, 1.5, 2, 3), 0, blur),
    "noise": Corruption("Gaussian noise", "sigma, levels", (4, 8, 16, 24), 0, _noisy),
    "rescale": Corruption("shrunk and grown back", "share of the side", (0.75, 0.5, 0.35, 0.25), 1, _shrunk),
    "brightness": Corruption("brightness", "factor", (0.4, 0.6, 0.8, 1.2, 1.4, 1.6), 1, brighten),
}
"""By kind. A level without effect (sigma 0, factor 1) is the `CLEAN` row, which all kinds share."""


def chosen_kinds(text: str) -> list[str]:
    """The kinds named in a list with commas, in the table's order.

    Raises:
        UsageError: one is unknown.
    """
    words = [word.strip() for word in text.split(",")]
    strange = [word for word in words if word not in CORRUPTIONS]
    if strange:
        raise UsageError(f"only: expected {', '.join(CORRUPTIONS)}, with commas; got {strange[0] or 'nothing'}")
    return [kind for kind in CORRUPTIONS if kind in words]


def steps_of(kinds: Sequence[str]) -> list[tuple[str, float]]:
    """Kind and level of every row but the clean one."""
    return [(kind, level) for kind in kinds for level in CORRUPTIONS[kind].levels]


def sweep(
    classifier: Classifier,
    clean: Evaluation,
    *,
    share: float = 1.0,
    kinds: Sequence[str] = tuple(CORRUPTIONS),
    max_megapixels: float = 100.0,
    on_done: Callable[[int], None] = lambda count: None,
) -> tuple[CorruptionRow, ...]:
    """Score the crops of an evaluation once more, corrupted.

    Args:
        classifier: the model.
        clean: what `evaluate_crops` made of the same crops; its threshold counts here too.
        share: of a crop's side that the model sees, as there.
        kinds: of `CORRUPTIONS`.
        max_megapixels: larger pictures are refused.
        on_done: told of crops that are done with every corruption.

    Returns:
        The clean row, then one for each kind and level.

    Raises:
        InputError: a crop that could be read before can no longer be read.
    """
    steps, size = steps_of(kinds), classifier.metadata.input_size
    scores = np.zeros((len(steps), len(clean.samples)))
    for start in range(0, len(clean.samples), BATCH):
        batch = clean.samples[start : start + BATCH]
        pictures = [read_picture(sample.path, max_megapixels=max_megapixels) for sample in batch]
        for row, (kind, level) in enumerate(steps):
            spoilt = (CORRUPTIONS[kind].apply(picture, level) for picture in pictures)
            crops = np.stack([model_input(picture, size=size, share=share) for picture in spoilt])
            scores[row, start : start + len(batch)] = classifier.score(crops)
        on_done(start + len(batch))
    labels = clean.labels
    found = [measure(labels, values, threshold=clean.threshold) for values in scores]
    rows = [_row(kind, level, metrics, clean.metrics) for (kind, level), metrics in zip(steps, found, strict=True)]
    return (_row(CLEAN, None, clean.metrics, clean.metrics), *rows)


def _row(kind: str, level: float | None, metrics: Metrics, clean: Metrics) -> CorruptionRow:
    return CorruptionRow(
        kind=kind,
        level=level,
        n=metrics.n,
        auc=metrics.auc,
        auc_drop=None if metrics.auc is None or clean.auc is None else clean.auc - metrics.auc,
        accuracy=metrics.accuracy,
        false_positive_rate=metrics.false_positive_rate,
        true_positive_rate=metrics.true_positive_rate,
        ece=metrics.ece,
    )
