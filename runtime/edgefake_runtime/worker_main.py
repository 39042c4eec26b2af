"""What runs in a `Worker`'s process: opens one model, and times it, looks at its memory, lets it judge a video.

Each request imports what it needs, so that what one of them lacks does not keep the others from working.
"""

import json
import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from .errors import EdgefakeError, MissingExtraError
from .memory import peak_memory
from .model_file import is_tflite, read_model_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .detector import Detector
    from .engine import Engine

__all__ = ["Subject", "main"]


class Subject:
    """The one model of this process; each method is a request, and gives what JSON can say."""

    _path: Path
    _engine: "Engine"
    _image: "NDArray[np.float32]"
    _threads: int
    _detector: "Detector | None" = None

    def open(self, path: str, threads: int, widen: bool | None) -> dict[str, Any]:
        """Load the model, with the clock running; libraries are loaded before."""
        from .classifier import open_model
        from .latency import example_input

        self._path, self._threads = Path(path), threads
        if _begins_as_tflite(self._path):
            _import_litert()
        before, begun = peak_memory(), time.perf_counter()
        self._engine, metadata = open_model(self._path, read_model_file(self._path), threads, widen)
        seconds = time.perf_counter() - begun
        self._image = example_input(self._engine)
        return {
            "model": metadata.name,
            "format": self._engine.format,
            "bits": metadata.bits,
            "widened": self._engine.widened,
            "load_s": seconds,
            "memory_before": before,
        }

    def run(self, times: int) -> float:
        """Run the model so often, each time after one run that does not count; seconds of the last."""
        from .latency import timed_run

        return [timed_run(self._engine, self._image) for _ in range(times)][-1]

    def answer(self) -> list[float]:
        """The logits for the same noise in every process."""
        found: list[float] = self._engine.run(self._image)[0].tolist()
        return found

    def memory(self) -> int | None:
        """The most that this process has had."""
        return peak_memory()

    def operators(self, runs: int) -> dict[str, Any]:
        """Times of the operators, by the runtime's own profiler."""
        from .operators import operator_times

        data, widened = read_model_file(self._path), self._engine.widened
        found = operator_times(data, self._image, runs=runs, threads=self._threads, widened=widened)
        slowest = [[each.name, each.kind, each.ms, each.share] for each in found.slowest]
        return {"count": found.count, "total_ms": found.total_ms, "slowest": slowest, "kinds": found.kinds}

    def video(self, path: str, every: int) -> dict[str, Any]:
        """Judge a video as `edgefake detect` does, and say where the time went."""
        if self._detector is None:
            self._detector = self._open_detector(every)
        result = self._detector.detect(Path(path))
        timing = result.timing_s
        return {
            "decode_s": timing.decode,
            "faces_s": timing.faces,
            "classify_s": timing.classify,
            "total_s": timing.total,
            "duration_s": result.duration_s,
            "frames_scored": result.frames_scored,
            "faces": sum(len(track.frames) for track in result.faces),
        }

    def _open_detector(self, every: int) -> "Detector":
        import cv2

        from . import Classifier, DetectOptions, Detector

        cv2.setNumThreads(self._threads)
        widened = self._engine.widened
        del self._engine  # or the memory of the video would have the model twice
        classifier = Classifier(self._path, threads=self._threads, widen=widened)
        self._engine = classifier.engine
        return Detector(classifier, options=DetectOptions(every=every, threads=self._threads))

    def decode(self, path: str) -> int:
        """Frames of a video, or 1 for a picture."""
        from .media import Picture, open_media

        with open_media(Path(path)) as media:
            return 1 if isinstance(media, Picture) else sum(1 for _ in media.frames(1, None))


def _begins_as_tflite(path: Path) -> bool:
    """By its first bytes: reading all of it would count as memory from before the model."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return is_tflite(file.read(8))
    except (OSError, ValueError):  # who opens the model says so
        return False


def _import_litert() -> None:
    try:
        import_module("ai_edge_litert.interpreter")
    except ModuleNotFoundError as error:
        raise MissingExtraError("ai_edge_litert", "litert") from error


def _own_output() -> TextIO:
    """Standard output for answers alone: what libraries print there goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _end(number: int, frame: FrameType | None) -> None:
    """Leave by an exception, so that temporary files go."""
    raise SystemExit


def main() -> None:
    """Answer requests until there are no more, or SIGTERM comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    answers, subject = _own_output(), Subject()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"found": getattr(subject, request["do"])(**request["values"])}
        except EdgefakeError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
