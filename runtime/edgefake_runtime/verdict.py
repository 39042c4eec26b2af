"""From scores to a verdict: threshold, the band around it, tracks."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .aggregate import trimmed_mean
from .classifier import probability
from .errors import UsageError
from .metadata import ModelMetadata
from .results import FaceFrame, FaceTrack, LiveTrack, Verdict
from .tracks import Track

__all__ = ["OperatingPoint", "live_track", "track_of", "worst"]

AnyTrack = TypeVar("AnyTrack", FaceTrack, LiveTrack)

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


def track_of(number: int, frames: Collection[FaceFrame], evidence: Collection[float], *, least: int = 1) -> FaceTrack:
    """A track from its frames and their log-odds; fewer than `least` judged ones are thin evidence."""
    score, thin = _score(frames, evidence, least)
    kept = tuple(frames)
    return FaceTrack(number, score, thin, kept[0].time_s, kept[-1].time_s, kept)


def live_track(track: Track, point: OperatingPoint, *, sample: int, least: int) -> LiveTrack:
    """A track as it is at the sampled frame of this count; its score is that of the frames that it keeps."""
    score, thin = _score(track.frames, track.evidence, least)
    latest = track.frames[-1]
    return LiveTrack(
        track=track.number,
        verdict=point.verdict(score, thin=thin),
        score=score,
        thin=thin,
        start_s=track.start_s,
        end_s=latest.time_s,
        frames_scored=track.count,
        face=latest if track.last_sample == sample else None,
    )


def _score(frames: Collection[FaceFrame], evidence: Collection[float], least: int) -> tuple[float, bool]:
    """P(fake), and whether fewer than `least` judged frames gave it."""
    judged = [odds for frame, odds in zip(frames, evidence, strict=True) if frame.judged]
    return probability(AGGREGATE(judged or list(evidence))), len(judged) < least


def worst(tracks: Sequence[AnyTrack]) -> AnyTrack | None:
    """The track that decides: the highest score among those with evidence enough, or among all where none has."""
    sound = [track for track in tracks if not track.thin]
    return max(sound or tracks, key=lambda track: track.score, default=None)
