"""From scores to a verdict: threshold, the band around it, tracks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .aggregate import trimmed_mean
from .classifier import probability
from .errors import UsageError
from .metadata import ModelMetadata
from .results import FaceFrame, FaceTrack, Verdict

__all__ = ["OperatingPoint", "track_of", "worst"]

AGGREGATE = trimmed_mean
"""How the frames of a track become one score; docs/video.md compares it with the others."""


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
    def of(
        cls, metadata: ModelMetadata, threshold: float | None = None, *, max_false_positives: float | None = None
    ) -> "OperatingPoint":
        """The model's own point, or another threshold with the model's band moved along in log-odds.

        Args:
            metadata: of the model.
            threshold: of P(fake).
            max_false_positives: instead of a threshold, the share of real crops that may count as fake, from the
                model's stored curve.

        Raises:
            UsageError: a threshold outside 0 to 1, both, or a share that the model's curve does not know.
        """
        band = metadata.uncertain
        if max_false_positives is not None:
            if threshold is not None:
                raise UsageError("expected threshold or max-false-positives, got both")
            if metadata.roc is None:
                raise UsageError(
                    f"max-false-positives: expected a model with a stored ROC curve, got {metadata.name} without; "
                    "run edgefake calibrate on its checkpoint and export it again"
                )
            threshold = metadata.roc.threshold(max_false_positives)
        if threshold is None:
            return cls(metadata.threshold, band.low, band.high)
        if not 0 <= threshold <= 1:
            raise UsageError(f"threshold: expected 0 to 1, got {threshold}")
        own, wanted = _log_odds(metadata.threshold), _log_odds(threshold)
        if not math.isfinite(own) or not math.isfinite(wanted):
            return cls(threshold, threshold, threshold)
        low, high = (probability(_log_odds(edge) - own + wanted) for edge in (band.low, band.high))
        return cls(threshold, low, high)

    def verdict(self, score: float | None, *, thin: bool = False) -> Verdict:
        """`no-face` without a score; `uncertain` inside the band or on thin evidence, else by the threshold."""
        if score is None:
            return "no-face"
        if thin or self.low <= score < self.high:
            return "uncertain"
        return "fake" if score >= self.threshold else "real"


def track_of(number: int, frames: list[FaceFrame], evidence: list[float], *, least: int = 1) -> FaceTrack:
    """A track from its frames and their log-odds; fewer than `least` judged ones are thin evidence."""
    judged = [odds for frame, odds in zip(frames, evidence, strict=True) if frame.judged]
    score = probability(AGGREGATE(judged or evidence))
    thin = len(judged) < least
    return FaceTrack(number, score, thin, frames[0].time_s, frames[-1].time_s, tuple(frames))


def worst(tracks: Sequence[FaceTrack]) -> FaceTrack | None:
    """The track that decides: the highest score among those with evidence enough, or among all where none has."""
    sound = [track for track in tracks if not track.thin]
    return max(sound or tracks, key=lambda track: track.score, default=None)
