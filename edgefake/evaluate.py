"""Scoring a classifier on a manifest of labelled pictures, videos or face crops; needs no torch itself."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from edgefake_runtime import Detector, InputError
from edgefake_runtime.classifier import Classifier
from edgefake_runtime.crops import resize
from edgefake_runtime.media import Picture, open_media

from .data.crop_rule import centre
from .data.manifest import Sample
from .metrics import Metrics, measure

__all__ = ["Evaluation", "evaluate_crops", "evaluate_media"]

BATCH = 32


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model over a manifest.

    Attributes:
        metrics: over the scored inputs.
        samples: the scored inputs.
        scores: their P(fake).
        problems: one line for each input that could not be read.
    """

    metrics: Metrics
    samples: tuple[Sample, ...]
    scores: NDArray[np.float64]
    problems: tuple[str, ...]

    def to_json(self, *, model: str, split: str | None) -> str:
        """What was measured and the metrics as JSON, indented by two; `split` is null for all rows of a manifest."""
        return json.dumps({"model": model, "split": split} | asdict(self.metrics), indent=2, allow_nan=False)


def _evaluation(
    scored: Sequence[tuple[Sample, float]], problems: Sequence[str], *, threshold: float, no_face: int = 0
) -> Evaluation:
    labels = np.array([sample.fake for sample, _ in scored], dtype=np.bool_)
    scores = np.array([score for _, score in scored], dtype=np.float64)
    metrics = measure(labels, scores, threshold=threshold, no_face=no_face, errors=len(problems))
    return Evaluation(metrics, tuple(sample for sample, _ in scored), scores, tuple(problems))


def _read_crop(sample: Sample, size: int, share: float, max_megapixels: float) -> NDArray[np.uint8]:
    with open_media(sample.path, max_megapixels=max_megapixels) as media:
        if not isinstance(media, Picture):
            raise InputError(f"{sample.path}: expected a picture of a face, got a video; leave out --crops")
        return resize(np.ascontiguousarray(centre(media.frame(), share)), size)


def _batches(
    samples: Sequence[Sample], size: int, share: float, problems: list[str], max_megapixels: float
) -> Iterator[tuple[list[Sample], NDArray[np.uint8]]]:
    for start in range(0, len(samples), BATCH):
        read: list[tuple[Sample, NDArray[np.uint8]]] = []
        for sample in samples[start : start + BATCH]:
            try:
                read.append((sample, _read_crop(sample, size, share, max_megapixels)))
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
