"""Where the time of a detection goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from .results import Timing

__all__ = ["Stopwatch"]


@dataclass
class Stopwatch:
    """Seconds by stage, from its making on, in the thread that scores.

    `decode` is its wait for frames, so that the stages together are no longer than the whole, whatever another thread
    decodes beside them.
    """

    begun: float = field(default_factory=time.perf_counter)
    decode: float = 0.0
    faces: float = 0.0
    classify: float = 0.0

    @contextmanager
    def stage(self, name: Literal["decode", "faces", "classify"]) -> Iterator[None]:
        """Count what runs inside, also where it fails."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, name, getattr(self, name) + time.perf_counter() - begun)

    def timing(self) -> Timing:
        """What was counted up to now."""
        return Timing(self.decode, self.faces, self.classify, time.perf_counter() - self.begun)
