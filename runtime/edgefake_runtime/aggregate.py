"""From the scores of a face's frames to one score of its track: robust means of log-odds.

All three take (n,) log-odds, n of 1 or more, and give one. The plain maximum is not among them: with many frames some
frame of every real face looks fake.
"""

import math
from collections.abc import Callable, Sequence

__all__ = ["AGGREGATES", "mean", "top_mean", "trimmed_mean"]

TRIM = 0.2
"""Share of the frames that the trimmed mean leaves out at either end."""

TOP = 0.5
"""Share of the frames, the most suspicious ones, that the top mean takes."""


def mean(evidence: Sequence[float]) -> float:
    """The mean: the log-odds of independent frames, per frame."""
    return math.fsum(evidence) / len(evidence)


def trimmed_mean(evidence: Sequence[float], trim: float = TRIM) -> float:
    """The mean without the `trim` n lowest and highest (rounded down), so that single odd frames do not count."""
    cut = int(trim * len(evidence))
    return mean(sorted(evidence)[cut : len(evidence) - cut])


def top_mean(evidence: Sequence[float], top: float = TOP) -> float:
    """The mean of the `top` n most suspicious frames (rounded up): for fakes that show in some frames alone."""
    return mean(sorted(evidence, reverse=True)[: math.ceil(top * len(evidence))])


AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": mean,
    "trimmed": trimmed_mean,
    "top": top_mean,
}
"""Name -> function."""
