"""How to look."""

from dataclasses import dataclass

from .errors import UsageError

__all__ = ["DetectOptions"]

DEFAULT_EVERY = 30
"""Every so many frames one is scored, as in the thesis (section 3.1)."""


@dataclass(frozen=True)
class DetectOptions:
    """How to look.

    Attributes:
        every: score each n-th frame of a video, from the first.
        max_frames: score at most so many frames of a video; None for all.
        min_face: side of the smallest face, pixels, at least 12; None for 40, and in proportion above 1080p.
        threshold: P(fake) from which the verdict is `fake`; None for the model's own.
        threads: of ONNX Runtime and LiteRT; None for one per core.
        max_megapixels: a larger picture or frame is refused before it is decoded.
        widen: run 2-bit weights of a TFLite model as 8-bit ones; None for whichever is faster here.
        max_false_positives: instead of a threshold, the share of real faces that may count as fake, from the curve
            in the model's file.
    """

    every: int = DEFAULT_EVERY
    max_frames: int | None = None
    min_face: int | None = None
    threshold: float | None = None
    threads: int | None = None
    max_megapixels: float = 100.0
    widen: bool | None = None
    max_false_positives: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1 or (self.max_frames is not None and self.max_frames < 1):
            raise UsageError(f"every, max_frames: expected 1 or more, got {self.every}, {self.max_frames}")
        if self.min_face is not None and self.min_face < 12:
            raise UsageError(f"min_face: expected 12 pixels or more, got {self.min_face}")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads: expected 1 or more, got {self.threads}")
