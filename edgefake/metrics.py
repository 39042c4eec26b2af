"""Scores of a binary detector: AUC, accuracy, EER, log loss, calibration error. `fake` is the positive class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefake_runtime.errors import InputError

__all__ = [
    "Metrics",
    "auc",
    "bootstrap_auc",
    "equal_error_rate",
    "expected_calibration_error",
    "log_loss",
    "measure",
]

Scores = NDArray[np.float64]
Labels = NDArray[np.bool_]


def auc(labels: Labels, scores: Scores) -> float:
    """Area under the ROC curve, by ranks: ties count half (Mann & Whitney 1947).

    Raises:
        InputError: only one class is present.
    """
    labels = np.asarray(labels, np.bool_)
    fakes = int(labels.sum())
    reals = labels.size - fakes
    if not fakes or not reals:
        raise InputError(f"AUC: expected both classes, got {reals} real and {fakes} fake")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = mean_ranks[inverse][labels].sum()
    return float((rank_sum - fakes * (fakes + 1) / 2) / (fakes * reals))


def equal_error_rate(labels: Labels, scores: Scores) -> float:
    """The error rate at the threshold where false positives and false negatives are equally frequent.

    Between two thresholds the rates are interpolated linearly.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))  # last of each run of equal scores
    found = np.cumsum(labels[order])[ends] / labels.sum()
    false_alarms = np.cumsum(~labels[order])[ends] / (~labels).sum()
    misses = 1 - np.concatenate([[0.0], found])
    false_alarms = np.concatenate([[0.0], false_alarms])
    crossing = int(np.argmax(false_alarms >= misses))
    gap_before = misses[crossing - 1] - false_alarms[crossing - 1]
    gap_after = misses[crossing] - false_alarms[crossing]
    share = gap_before / (gap_before - gap_after)
    return float(misses[crossing - 1] + share * (misses[crossing] - misses[crossing - 1]))


def log_loss(labels: Labels, scores: Scores) -> float:
    """Mean negative log likelihood in nats; scores are kept 1e-7 away from 0 and 1."""
    kept = np.clip(scores, 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(labels, np.log(kept), np.log1p(-kept))))


def expected_calibration_error(labels: Labels, scores: Scores, bins: int = 15) -> float:
    """Mean distance of P(fake) and the share of fakes over equal-width bins, weighted by count (Naeini et al. 2015)."""
    index = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = np.abs(np.bincount(index, scores, minlength=bins) - np.bincount(index, labels.astype(float), minlength=bins))
    return float(gaps.sum() / labels.size)


def bootstrap_auc(
    labels: Labels, scores: Scores, groups: Sequence[str], *, rounds: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of the AUC, drawing whole identity groups with replacement.

    Draws that hold one class only are left out.
    """
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(index == group) for group in range(len(names))]
    random = np.random.default_rng(seed)
    values = []
    for _ in range(rounds):
        chosen = np.concatenate([members[g] for g in random.integers(0, len(names), len(names))])
        if 0 < labels[chosen].sum() < chosen.size:
            values.append(auc(labels[chosen], scores[chosen]))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Metrics:
    """Scores of a detector over labelled inputs; shares and probabilities are in 0..1.

    `auc`, `eer` are None when only one class is present, everything but the counts when nothing was scored.
    """

    n: int
    n_real: int
    n_fake: int
    no_face: int
    errors: int
    auc: float | None
    accuracy: float | None
    eer: float | None
    log_loss: float | None
    ece: float | None


def measure(labels: Labels, scores: Scores, *, threshold: float, no_face: int = 0, errors: int = 0) -> Metrics:
    """All metrics of scores P(fake) against labels (True is fake); `n` counts the scored inputs alone."""
    fakes = int(labels.sum())
    reals = labels.size - fakes
    both = fakes > 0 and reals > 0
    scored = labels.size > 0
    return Metrics(
        n=labels.size,
        n_real=reals,
        n_fake=fakes,
        no_face=no_face,
        errors=errors,
        auc=auc(labels, scores) if both else None,
        accuracy=float(((scores >= threshold) == labels).mean()) if scored else None,
        eer=equal_error_rate(labels, scores) if both else None,
        log_loss=log_loss(labels, scores) if scored else None,
        ece=expected_calibration_error(labels, scores) if scored else None,
    )
