"""Scoring a classifier on a manifest of labelled pictures, videos or face crops; needs no torch itself."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefake_runtime import Detector, InputError, UsageError
from edgefake_runtime.classifier import Classifier
from edgefake_runtime.crops import resize
from edgefake_runtime.media import Picture, open_media

from .calibrate import halves_by_group
from .data.crop_rule import centre
from .data.manifest import Sample
from .metrics import Interval, Metrics, bootstrap, measure, statistics_at

__all__ = [
    "HALVES",
    "LEAST_GROUPS",
    "Evaluation",
    "evaluate_crops",
    "evaluate_media",
    "model_input",
    "read_picture",
    "take_half",
]

BATCH = 32

HALVES = ("fit", "held")
"""The half of the identity groups that calibration and threshold are fitted on, and the other one."""

LEAST_GROUPS = 5
"""Identity groups below which no interval is given: so few people say nothing of others."""


def take_half(samples: Sequence[Sample], half: str, *, manifest: Path, cure: str = "leave out --half") -> list[Sample]:
    """The samples of one half by identity group (`halves_by_group`): "fit" or "held".

    Args:
        samples: of one split of a manifest.
        half: which of `HALVES`.
        manifest: for the error's text.
        cure: what else may be done, for the error's text.

    Raises:
        UsageError: another half, or samples of several splits, whose halves are others than those of one.
        InputError: samples without an identity group, or all of one.
    """
    if half not in HALVES:
        raise UsageError(f"half: expected {' or '.join(HALVES)}, got {half}")
    splits = sorted({sample.split for sample in samples})
    if len(splits) > 1:
        raise UsageError(
            f"{manifest}: expected rows of one split to halve, since calibration halves one, got {', '.join(splits)}; "
            "name one with --split"
        )
    alone = sum(not sample.grouped for sample in samples)
    groups = [sample.group for sample in samples]
    if alone or len(set(groups)) < 2:
        got = f"{alone} of {len(groups)} rows without" if alone else "one for all rows"
        raise InputError(
            f"{manifest}: expected two identity groups or more to halve the rows by, got {got}; "
            f"fill the column identity_group, or {cure}"
        )
    first = halves_by_group(groups)
    return [sample for sample, fit in zip(samples, first, strict=True) if fit == (half == "fit")]


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model over a manifest.

    Attributes:
        metrics: over the scored inputs.
        samples: the scored inputs.
        scores: their P(fake).
        problems: one line for each input that could not be read.
        threshold: of P(fake), from which an input counts as fake.
    """

    metrics: Metrics
    samples: tuple[Sample, ...]
    scores: NDArray[np.float64]
    problems: tuple[str, ...]
    threshold: float

    @property
    def labels(self) -> NDArray[np.bool_]:
        """(n,), True for the fakes among the samples."""
        return np.array([sample.fake for sample in self.samples], dtype=np.bool_)

    @property
    def groups(self) -> list[str] | None:
        """Identity group of each sample; None where the manifest names none for one of them."""
        return [s.group for s in self.samples] if all(s.grouped for s in self.samples) else None

    def intervals(self, *, rounds: int = 2000, seed: int = 0) -> dict[str, Interval | None] | None:
        """95 % intervals by identity group of AUC, accuracy, EER, ECE and the two rates; see `metrics.bootstrap`.

        A draw has fewer different inputs than the whole, which widens the gaps in its bins: the interval of the ECE
        lies high, and may lie above the ECE.

        Returns:
            By the metric's name, each (low, high) or None; None without identity groups, or with fewer than
            `LEAST_GROUPS`.
        """
        groups = self.groups
        if groups is None or len(set(groups)) < LEAST_GROUPS:
            return None
        statistics = statistics_at(self.threshold)
        return bootstrap(self.labels, self.scores, groups, statistics, rounds=rounds, seed=seed)

    def to_json(self, *, model: str, split: str | None, **more: Any) -> str:
        """What was measured and the metrics as JSON, indented by two.

        Args:
            model: its name.
            split: null for all rows of a manifest.
            more: keys that come after the metrics.
        """
        values = {"model": model, "split": split, "threshold": self.threshold} | asdict(self.metrics) | more
        return json.dumps(values, indent=2, allow_nan=False)


def _evaluation(
    scored: Sequence[tuple[Sample, float]], problems: Sequence[str], *, threshold: float, no_face: int = 0
) -> Evaluation:
    labels = np.array([sample.fake for sample, _ in scored], dtype=np.bool_)
    scores = np.array([score for _, score in scored], dtype=np.float64)
    metrics = measure(labels, scores, threshold=threshold, no_face=no_face, errors=len(problems))
    return Evaluation(metrics, tuple(sample for sample, _ in scored), scores, tuple(problems), threshold)


def read_picture(path: Path, *, max_megapixels: float = 100.0) -> NDArray[np.uint8]:
    """A face crop as it is stored: (H, W, 3) RGB.

    Raises:
        InputError: unreadable, too large, or a video.
    """
    with open_media(path, max_megapixels=max_megapixels) as media:
        if not isinstance(media, Picture):
            raise InputError(f"{path}: expected a picture of a face, got a video; leave out --crops")
        return media.frame()


def model_input(picture: NDArray[np.uint8], *, size: int, share: float) -> NDArray[np.uint8]:
    """What a model is shown of a stored crop: the middle `share` of either side, (H, W, 3) -> (size, size, 3)."""
    return resize(np.ascontiguousarray(centre(picture, share)), size)


def _batches(
    samples: Sequence[Sample], size: int, share: float, problems: list[str], max_megapixels: float
) -> Iterator[tuple[list[Sample], NDArray[np.uint8]]]:
    for start in range(0, len(samples), BATCH):
        read: list[tuple[Sample, NDArray[np.uint8]]] = []
        for sample in samples[start : start + BATCH]:
            try:
                picture = read_picture(sample.path, max_megapixels=max_megapixels)
                read.append((sample, model_input(picture, size=size, share=share)))
            except InputError as error:
                problems.append(str(error))
        if read:
            yield [sample for sample, _ in read], np.stack([crop for _, crop in read])


def evaluate_crops(
    classifier: Classifier,
    samples: Sequence[Sample],
    *,
    share: float = 1.0,
    threshold: float | None = None,
    max_megapixels: float = 100.0,
    on_done: Callable[[int], None] = lambda count: None,
) -> Evaluation:
    """Score pictures that are face crops already: the centre of each is resized to the input.

    Args:
        classifier: the model.
        samples: of a manifest.
        share: of a crop's side that the model sees, from its centre (`edgefake.data.crop_rule.centre_share`), so
            that crops wider than the model's own show it what the runtime would cut.
        threshold: of P(fake), for accuracy; None for the model's own.
        max_megapixels: larger pictures count as errors.
        on_done: told of inputs as they are done.
    """
    problems: list[str] = []
    scored: list[tuple[Sample, float]] = []
    size = classifier.metadata.input_size
    for group, crops in _batches(samples, size, share, problems, max_megapixels):
        scored += zip(group, classifier.score(crops).tolist(), strict=True)
        on_done(len(scored) + len(problems))
    limit = classifier.metadata.threshold if threshold is None else threshold
    return _evaluation(scored, problems, threshold=limit)


def evaluate_media(
    detector: Detector, samples: Sequence[Sample], *, on_done: Callable[[int], None] = lambda count: None
) -> Evaluation:
    """Score pictures and videos as `edgefake detect` does: an input's score is that of its worst track.

    Args:
        detector: holds the model, its threshold and how to look.
        samples: of a manifest.
        on_done: told of inputs as they are done.
    """
    problems: list[str] = []
    scored: list[tuple[Sample, float]] = []
    no_face = 0
    for number, sample in enumerate(samples, 1):
        try:
            score = detector.detect(sample.path).score
        except InputError as error:
            problems.append(str(error))
        else:
            if score is None:
                no_face += 1
            else:
                scored.append((sample, score))
        on_done(number)
    return _evaluation(scored, problems, threshold=detector.operating_point.threshold, no_face=no_face)
