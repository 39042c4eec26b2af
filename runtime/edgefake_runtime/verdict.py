"""From scores to a verdict: threshold, the band around it, tracks."""

import math
from dataclasses import dataclass

from .classifier import probability
from .errors import UsageError
from .metadata import ModelMetadata
from .results import FaceFrame, FaceTrack, Verdict

__all__ = ["OperatingPoint", "track_of"]


def _log_odds(share: float) -> float:
    if share <= 0 or share >= 1:
        return math.copysign(math.inf, share - 0.5)
    return math.log(share / (1 - share))


@dataclass(frozen=True)
class OperatingPoint:
    """Where `real` ends and `fake` begins.

    Attributes:
        threshold: P(fake) from which the verdict is `fake`.
        low, high: scores from `low` up to but not including `high` are `uncertain`.
    """

    threshold: float
    low: float
    high: float

    @classmethod
    def of(cls, metadata: ModelMetadata, threshold: float | None = None) -> "OperatingPoint":
        """The model's own point, or another threshold with the model's band moved along in log-odds.

        Raises:
            UsageError: a threshold outside 0 to 1.
        """
        band = metadata.uncertain
        if threshold is None:
            return cls(metadata.threshold, band.low, band.high)
        if not 0 <= threshold <= 1:
            raise UsageError(f"threshold: expected 0 to 1, got {threshold}")
        own, wanted = _log_odds(metadata.threshold), _log_odds(threshold)
        if not math.isfinite(own) or not math.isfinite(wanted):
            return cls(threshold, threshold, threshold)
        low, high = (probability(_log_odds(edge) - own + wanted) for edge in (band.low, band.high))
        return cls(threshold, low, high)

    def verdict(self, score: float | None) -> Verdict:
        """`no-face` without a score; otherwise `uncertain` inside the band, else by the threshold."""
        if score is None:
            return "no-face"
        if self.low <= score < self.high:
            return "uncertain"
        return "fake" if score >= self.threshold else "real"


def track_of(number: int, frames: list[FaceFrame], evidence: list[float]) -> FaceTrack:
    """A track's score is the mean of its log-odds, as a probability, so that within a track no frame decides alone."""
    score = probability(math.fsum(evidence) / len(evidence))
    return FaceTrack(number, score, frames[0].time_s, frames[-1].time_s, tuple(frames))
