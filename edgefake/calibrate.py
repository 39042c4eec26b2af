"""From raw logits to verdicts: Platt scaling, threshold, a band where the model knows too little, the ROC curve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgefake_runtime import Calibration, InputError, Roc, Uncertain

__all__ = ["Operation", "fit_band", "fit_calibration", "fit_operation", "halves_by_group", "roc_of"]

NEWTON_STEPS = 50

THRESHOLD = 0.5
"""Of calibrated scores of balanced classes it makes the fewest errors."""

MAX_ERROR = 0.2
"""Share of wrong verdicts outside the uncertain band, unless told otherwise."""

WIDEST = 0.9
"""Largest upper end of the band; a model that needs a wider one gives hardly any verdict."""

ROC_POINTS = 64
"""Most operating points that a model file keeps."""


@dataclass(frozen=True)
class Operation:
    """How logits become verdicts, as a model file keeps it."""

    calibration: Calibration
    threshold: float
    uncertain: Uncertain
    roc: Roc


def fit_operation(
    labels: NDArray[np.bool_], margins: NDArray[np.float64], *, origin: str, max_error: float = MAX_ERROR
) -> Operation:
    """Calibration, threshold, band and curve from the same samples.

    Reals weigh as much as fakes, however many there are of each, so that 0.5 is where the errors are fewest among as
    many of both.

    Args:
        labels: (n,), True for fake.
        margins: (n,), logit of fake minus logit of real.
        origin: what the data are, for the metadata.
        max_error: share of wrong verdicts that the band leaves outside of it.

    Raises:
        InputError: one class only, or margins that rank fakes below reals.
    """
    calibration = fit_calibration(labels, margins, origin=f"Platt scaling on {origin}")
    fakes = int(labels.sum())
    calibration = replace(calibration, shift=calibration.shift - math.log(fakes / (labels.size - fakes)))
    log_odds = calibration.scale * margins + calibration.shift
    scores = 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))
    band = fit_band(labels, scores, max_error=max_error, origin=origin)
    return Operation(calibration, THRESHOLD, band, roc_of(labels, scores, origin=origin))


def fit_band(
    labels: NDArray[np.bool_], scores: NDArray[np.float64], *, origin: str, max_error: float = MAX_ERROR
) -> Uncertain:
    """The narrowest band around 0.5, even in log-odds, outside of which at most `max_error` of the verdicts are wrong.

    Shares are those of as many reals as fakes.

    Args:
        labels: (n,), True for fake.
        scores: (n,), calibrated P(fake).
        origin: what the data are, for the metadata.
        max_error: share of wrong verdicts.

    Raises:
        InputError: no band up to 0.1 to 0.9 does it.
    """
    sure = np.maximum(scores, 1 - scores)
    wrong = (scores >= THRESHOLD) != labels
    weights = np.where(labels, 0.5 / labels.sum(), 0.5 / (~labels).sum())
    for high in np.arange(0.5, WIDEST + 0.005, 0.01):
        outside = sure >= high
        told = weights[outside].sum()
        if told and weights[outside & wrong].sum() <= max_error * told:
            edge, error = round(float(high), 2), weights[outside & wrong].sum() / told
            said = f"outside, {told:.0%} got a verdict and {error:.1%} of those were wrong"
            return Uncertain(low=round(1 - edge, 2), high=edge, origin=f"{said}, {origin}")
    raise InputError(
        f"uncertain band: expected a model whose surest verdicts are wrong in at most {max_error:.0%}, got more on "
        f"{origin}; train it longer, or allow more with --max-error"
    )


def roc_of(labels: NDArray[np.bool_], scores: NDArray[np.float64], *, origin: str) -> Roc:
    """Operating points of scores P(fake): at most 64, spaced evenly in the logarithm of the false positives.

    Each is the lowest threshold with its number of false positives.
    """
    reals, fakes = np.sort(scores[~labels])[::-1], scores[labels]
    allowed = np.unique(np.concatenate([[0], np.geomspace(1, len(reals), ROC_POINTS - 1).astype(int)]))
    points = []
    for count in allowed:
        # Just above the first real score that must not count; 0 lets everything through.
        threshold = min(float(np.nextafter(reals[count], 2)), 1.0) if count < len(reals) else 0.0
        points.append((threshold, float((reals >= threshold).mean()), float((fakes >= threshold).mean())))
    kept = [point for point, later in zip(points, [*points[1:], None], strict=True) if not later or later[0] < point[0]]
    thresholds, false_positives, true_positives = zip(*kept, strict=True)
    return Roc(thresholds, false_positives, true_positives, reals=len(reals), origin=origin)


def fit_calibration(labels: NDArray[np.bool_], margins: NDArray[np.float64], *, origin: str) -> Calibration:
    """Fit P(fake) = sigmoid(scale * margin + shift) by maximum likelihood (Platt 1999).

    Targets are smoothed as Platt does, so that separable data keep a finite scale.

    Args:
        labels: (n,), True for fake.
        margins: (n,), logit of fake minus logit of real.
        origin: what the data are, for the metadata.

    Raises:
        InputError: one class only, or margins that rank fakes below reals.
    """
    fakes = int(labels.sum())
    reals = labels.size - fakes
    if not fakes or not reals:
        raise InputError(f"calibration: expected both classes, got {reals} real and {fakes} fake")
    target = np.where(labels, (fakes + 1) / (fakes + 2), 1 / (reals + 2))
    spread = float(margins.std()) or 1.0
    design = np.stack([margins / spread, np.ones_like(margins)], axis=1)  # (n, 2)
    weights = np.zeros(2)
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -500, 500)))
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        weights -= np.linalg.solve(hessian, design.T @ (p - target))
    scale, shift = float(weights[0] / spread), float(weights[1])
    if scale <= 0:
        raise InputError("calibration: expected fakes to score above reals, got the opposite")
    return Calibration(scale=scale, shift=shift, origin=origin)


def halves_by_group(groups: Sequence[str]) -> NDArray[np.bool_]:
    """Split samples in two halves of about equal size; no group stands in both.

    Groups go, from the largest on, to the half that is smaller so far; equal sizes go by name.

    Returns:
        (n,), True for the first half.
    """
    names, index, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    first = np.zeros(len(names), dtype=np.bool_)
    sizes = [0, 0]
    for group in np.argsort(-counts, kind="stable"):
        side = int(sizes[0] > sizes[1])
        first[group] = side == 0
        sizes[side] += int(counts[group])
    return np.asarray(first[index])
