"""From raw logits to probabilities: Platt scaling, and a band where the model knows too little."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgefake_runtime import Calibration, InputError

__all__ = ["fit_calibration", "halves_by_group"]

NEWTON_STEPS = 50


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
