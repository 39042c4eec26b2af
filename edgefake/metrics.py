"""Scores of a binary detector: AUC, accuracy, EER, log loss, calibration error. `fake` is the positive class."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefake_runtime.errors import InputError

__all__ = [
    "Interval",
    "Metrics",
    "Statistic",
    "accuracy",
    "auc",
    "bootstrap",
    "bootstrap_auc",
    "equal_error_rate",
    "expected_calibration_error",
    "false_positive_rate",
    "log_loss",
    "measure",
    "statistics_at",
    "true_positive_rate",
]

Scores = NDArray[np.float64]
Labels = NDArray[np.bool_]

Statistic = Callable[[Labels, Scores], float | None]
"""One number of labels and scores; None where they have none, such as an AUC of one class."""

Interval = tuple[float, float]


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


def accuracy(labels: Labels, scores: Scores, threshold: float) -> float | None:
    """Share of the inputs that the threshold puts into their class; None without any."""
    return float(((scores >= threshold) == labels).mean()) if labels.size else None


def false_positive_rate(labels: Labels, scores: Scores, threshold: float) -> float | None:
    """Share of the reals that score the threshold or more; None without reals."""
    return _share_from(scores[~labels], threshold)


def true_positive_rate(labels: Labels, scores: Scores, threshold: float) -> float | None:
    """Share of the fakes that score the threshold or more; None without fakes."""
    return _share_from(scores[labels], threshold)


def _share_from(scores: Scores, threshold: float) -> float | None:
    return float((scores >= threshold).mean()) if scores.size else None


def _of_both(statistic: Callable[[Labels, Scores], float]) -> Statistic:
    return lambda labels, scores: statistic(labels, scores) if 0 < labels.sum() < labels.size else None


def statistics_at(threshold: float) -> dict[str, Statistic]:
    """What has an interval, by the names of `Metrics`: AUC, accuracy, EER, ECE and the two rates at a threshold."""
    return {
        "auc": _of_both(auc),
        "accuracy": lambda labels, scores: accuracy(labels, scores, threshold),
        "eer": _of_both(equal_error_rate),
        "ece": lambda labels, scores: expected_calibration_error(labels, scores) if labels.size else None,
        "false_positive_rate": lambda labels, scores: false_positive_rate(labels, scores, threshold),
        "true_positive_rate": lambda labels, scores: true_positive_rate(labels, scores, threshold),
    }


def bootstrap(
    labels: Labels,
    scores: Scores,
    groups: Sequence[str],
    statistics: Mapping[str, Statistic],
    *,
    rounds: int = 2000,
    seed: int = 0,
) -> dict[str, Interval | None]:
    """95 % percentile intervals, drawing whole identity groups with replacement (Efron & Tibshirani 1993).

    Pictures of one person resemble each other: as many single pictures would promise more certainty than there is.

    Args:
        labels: (n,), True for fake.
        scores: (n,), of P(fake) or anything that rises with it.
        groups: (n,), the identity group of each.
        statistics: by name; all of them see the same draws.
        rounds: number of draws, each of as many groups as there are.
        seed: of the draws.

    Returns:
        Low and high by name. Draws in which a statistic is None are left out of its interval, and it is None where no
        draw is left.
    """
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(index == group) for group in range(len(names))]
    random = np.random.default_rng(seed)
    values: dict[str, list[float]] = {name: [] for name in statistics}
    for _ in range(rounds if members else 0):
        chosen = np.concatenate([members[g] for g in random.integers(0, len(names), len(names))])
        drawn = labels[chosen], scores[chosen]
        for name, statistic in statistics.items():
            value = statistic(*drawn)
            if value is not None:
                values[name].append(value)
    return {name: _middle(found) for name, found in values.items()}


def _middle(values: Sequence[float]) -> Interval | None:
    if not values:
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def bootstrap_auc(
    labels: Labels, scores: Scores, groups: Sequence[str], *, rounds: int = 2000, seed: int = 0
) -> Interval:
    """The interval of the AUC alone; see `bootstrap`.

    Raises:
        InputError: no draw holds both classes.
    """
    found = bootstrap(labels, scores, groups, {"auc": _of_both(auc)}, rounds=rounds, seed=seed)["auc"]
    if found is None:
        raise InputError("interval of the AUC: expected draws with both classes, got none; take more groups")
    return found


@dataclass(frozen=True)
class Metrics:
    """Scores of a detector over labelled inputs; shares and probabilities are in 0..1.

    `auc`, `eer` are None when only one class is present, a rate when its class is missing, and everything but the
    counts when nothing was scored.

    Attributes:
        n: inputs that were scored.
        n_real, n_fake: of them.
        no_face, errors: inputs that were not.
        auc: see `auc`.
        accuracy: at the threshold.
        eer: see `equal_error_rate`.
        log_loss: nats.
        ece: see `expected_calibration_error`.
        false_positive_rate: share of the reals that score the threshold or more.
        true_positive_rate: the same of the fakes.
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
    false_positive_rate: float | None
    true_positive_rate: float | None


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
        accuracy=accuracy(labels, scores, threshold),
        eer=equal_error_rate(labels, scores) if both else None,
        log_loss=log_loss(labels, scores) if scored else None,
        ece=expected_calibration_error(labels, scores) if scored else None,
        false_positive_rate=false_positive_rate(labels, scores, threshold),
        true_positive_rate=true_positive_rate(labels, scores, threshold),
    )
