"""The whole way from a file to a verdict: frames -> faces -> tracks -> crops -> scores -> verdict."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from .classifier import Classifier, probability
from .crops import cut_face
from .errors import InputError, UsageError, printable
from .media import PICTURE_SUFFIXES, Picture, Problem, Video, discover, open_media
from .mtcnn import Face, FaceDetector, default_min_face
from .quality import FaceQuality, is_good
from .results import FaceFrame, InputResult, ModelInfo, Timing
from .tracks import Tracker
from .verdict import OperatingPoint, track_of, worst

__all__ = ["DetectOptions", "Detector"]

logger = logging.getLogger(__name__)

DEFAULT_EVERY = 30
"""Every so many frames one is scored, as in the thesis (section 3.1)."""

MIN_DETECTION = 0.9
"""Least probability of a face that is scored: below it, MTCNN's finds are half-hidden faces and patterns."""

MOST_TURN = 9.0
"""A report's largest turn of a head, since JSON knows no infinity."""

LEAST_FRAMES = 2
"""Judged frames that a track of a video needs for a verdict; a picture or a video of one scored frame needs one."""

FrameCallback = Callable[[Picture | Video], None]

PathLike = str | bytes | os.PathLike[str] | os.PathLike[bytes]


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


@dataclass
class _Stopwatch:
    """Seconds by stage."""

    begun: float = field(default_factory=time.perf_counter)
    decode: float = 0.0
    faces: float = 0.0
    classify: float = 0.0

    def timing(self) -> Timing:
        return Timing(self.decode, self.faces, self.classify, time.perf_counter() - self.begun)


class Detector:
    """Finds deepfakes in pictures and videos. Files are streamed, so memory does not grow with their length.

    Thread-safe: nothing is kept between calls.

    Args:
        model: file made by `edgefake export`, or an open classifier; the shipped default model when None.
        options: how to look; an open classifier keeps its own threads and width.

    Raises:
        ModelFileError: the model cannot be used.
        MissingExtraError: the model is a TFLite file, and LiteRT is not installed.
        UsageError: an option out of range.
    """

    def __init__(self, model: Path | str | Classifier | None = None, *, options: DetectOptions | None = None) -> None:
        self.options = options or DetectOptions()
        threads, widen = self.options.threads, self.options.widen
        self.classifier = model if isinstance(model, Classifier) else Classifier(model, threads=threads, widen=widen)
        self.operating_point = OperatingPoint.of(
            self.classifier.metadata,
            self.options.threshold,
            max_false_positives=self.options.max_false_positives,
        )
        self._faces = FaceDetector(threads=self.options.threads)

    @property
    def model(self) -> ModelInfo:
        """The model as reports name it."""
        metadata = self.classifier.metadata
        return ModelInfo(
            name=metadata.name,
            file=str(self.classifier.path),
            sha256=self.classifier.sha256,
            bits=metadata.bits,
            threshold=self.operating_point.threshold,
        )

    def detect(self, path: PathLike, *, on_frame: FrameCallback | None = None) -> InputResult:
        """Judge one picture or video.

        Args:
            path: of the file; its name need not be UTF-8.
            on_frame: called after each scored frame, for progress.

        Raises:
            InputError: the file cannot be read; one line that says why.
        """
        file = Path(os.fsdecode(path))
        watch = _Stopwatch()
        with open_media(file, max_megapixels=self.options.max_megapixels) as media:
            watch.decode = time.perf_counter() - watch.begun
            self._say_scaled(media)
            try:
                return self._judge(file, media, watch, on_frame)
            except (cv2.error, MemoryError) as error:
                reason = str(error).strip().splitlines()[-1:] or ["out of memory"]
                raise InputError(f"{printable(file)}: expected a file that can be judged, got: {reason[0]}") from error

    def _judge(
        self, path: Path, media: Picture | Video, watch: _Stopwatch, on_frame: FrameCallback | None
    ) -> InputResult:
        tracker = Tracker()
        scored = 0
        for time_s, image in _frames(media, self.options, watch):
            self._look(image, time_s, tracker, watch)
            scored += 1
            if on_frame:
                on_frame(media)
        return self._result(path, media, tracker, scored, watch)

    def detect_many(
        self,
        paths: Sequence[PathLike],
        *,
        on_frame: FrameCallback | None = None,
    ) -> Iterator[InputResult]:
        """Judge files and folders one after the other; what cannot be read has the verdict `error`.

        Args:
            paths: files, and folders that are searched to the bottom.
            on_frame: called after each scored frame.
        """
        for item in discover([Path(os.fsdecode(path)) for path in paths]):
            if isinstance(item, Problem):
                yield _failed(item.path, item.message)
                continue
            try:
                yield self.detect(item, on_frame=on_frame)
            except InputError as error:
                yield _failed(item, str(error))

    def find_faces(self, frame: NDArray[np.uint8]) -> list[Face]:
        """Faces of a frame (H, W, 3) RGB that are sure enough to be scored, the largest first."""
        height, width = frame.shape[:2]
        smallest = self.options.min_face or default_min_face(height, width)
        return [f for f in self._faces.detect(frame, min_face=smallest) if f.score >= MIN_DETECTION]

    def _look(self, image: NDArray[np.uint8], time_s: float, tracker: Tracker, watch: _Stopwatch) -> None:
        begun = time.perf_counter()
        faces = self.find_faces(image)
        found = time.perf_counter()
        watch.faces += found - begun
        if faces:
            crops = np.stack([cut_face(image, face.box, self.classifier.metadata) for face in faces])
            evidence = self.classifier.evidence(crops).tolist()
            found_faces = zip(faces, crops, evidence, strict=True)
            seen = [self._face_frame(time_s, face, crop, odds) for face, crop, odds in found_faces]
            tracker.add(seen, evidence)
        else:
            tracker.add([], [])
        watch.classify += time.perf_counter() - found

    def _face_frame(self, time_s: float, face: Face, crop: NDArray[np.uint8], log_odds: float) -> FaceFrame:
        quality = FaceQuality.of(crop, face)
        judged = is_good(quality, self.classifier.metadata.quality)
        turn = min(quality.turn, MOST_TURN)
        return FaceFrame(time_s, face.box, face.score, probability(log_odds), quality.sharpness, turn, judged)

    def _say_scaled(self, media: Picture | Video) -> None:
        smallest = default_min_face(media.height, media.width)
        if self.options.min_face is None and smallest > default_min_face(1080, 1080):
            logger.warning(
                "%s: %dx%d is above 1080p, so faces below %d pixels are left out; another smallest face may be set",
                printable(media.path),
                media.width,
                media.height,
                smallest,
            )

    def _result(
        self, path: Path, media: Picture | Video, tracker: Tracker, scored: int, watch: _Stopwatch
    ) -> InputResult:
        least = min(LEAST_FRAMES, scored)
        tracks = tuple(track_of(n, frames, odds, least=least) for n, (frames, odds) in enumerate(tracker.tracks))
        decides = worst(tracks)
        score = None if decides is None else decides.score
        duration, total = (None, 1) if isinstance(media, Picture) else _length(media)
        return InputResult(
            path=str(path),
            kind=media.kind,
            verdict=self.operating_point.verdict(score, thin=decides is not None and decides.thin),
            score=score,
            error=None,
            duration_s=duration,
            width=media.width,
            height=media.height,
            frames_total=total,
            frames_scored=scored,
            faces=tracks,
            timing_s=watch.timing(),
        )


def _length(video: Video) -> tuple[float | None, int | None]:
    """Seconds and frames of a video that was just read: counted when it was read to its end, else as claimed."""
    if video.note:
        logger.warning("%s", video.note)
    total = video.frames_read if video.exhausted else video.frames_total
    duration = total / video.fps if video.fps and total is not None else None
    return duration, total


def _frames(
    media: Picture | Video, options: DetectOptions, watch: _Stopwatch
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Seconds from the start and RGB frames; the time to decode them goes on the stopwatch."""
    if isinstance(media, Picture):
        yield 0.0, media.frame()
        return
    frames = media.frames(options.every, options.max_frames)
    while True:
        begun = time.perf_counter()
        frame = next(frames, None)
        watch.decode += time.perf_counter() - begun
        if frame is None:
            return
        yield frame.time_s, frame.image


def _failed(path: Path, message: str) -> InputResult:
    kind: Literal["image", "video"] = "image" if path.suffix.lower() in PICTURE_SUFFIXES else "video"
    return InputResult(
        path=str(path),
        kind=kind,
        verdict="error",
        score=None,
        error=message,
        duration_s=None,
        width=None,
        height=None,
        frames_total=None,
        frames_scored=0,
        faces=(),
        timing_s=Timing(0.0, 0.0, 0.0, 0.0),
    )
