"""From frames to a verdict: files, frames in memory, and streams, all on one way (`Detector._follow`)."""

import logging
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from .ahead import Ahead
from .classifier import Classifier
from .errors import InputError, UsageError, printable
from .following import Following
from .frame_input import FrameInput, checked, numbered
from .media import PICTURE_SUFFIXES, Picture, Problem, SampledFrame, Video, discover, open_media
from .mtcnn import Face, default_min_face
from .options import DEFAULT_EVERY, DetectOptions
from .results import FaceFrame, FrameResult, InputResult, ModelInfo, Timing
from .scorer import FrameScorer, unjudgeable
from .stopwatch import Stopwatch
from .tracks import Tracker
from .verdict import OperatingPoint, live_track, track_of, worst

__all__ = ["DetectOptions", "Detector"]

logger = logging.getLogger(__name__)

LEAST_FRAMES = 2
"""Judged frames that a track of a video needs for a verdict; a picture or a video of one scored frame needs one."""

WINDOW = 300
"""Latest scored frames of a track that a stream judges it by: five minutes at one a second."""

FrameCallback = Callable[[Picture | Video], None]

PathLike = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class Detector:
    """Finds deepfakes in pictures, videos and frames. Files are streamed, so memory does not grow with their length.

    Thread-safe: nothing is kept between calls, so one detector serves any number of threads. A stream belongs to the
    thread that reads it.

    Args:
        model: file made by `edgefake export`, name of a shipped model, or an open classifier; the default model when
            None.
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
        self._scorer = FrameScorer(self.classifier, min_face=self.options.min_face, threads=threads)

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
            on_frame: called after each scored frame, for progress. Decoding may be a frame ahead (`frames_read`).

        Raises:
            InputError: the file cannot be read; one line that says why.
        """
        file = Path(os.fsdecode(path))
        watch, tracker = Stopwatch(), Tracker()
        with watch.stage("decode"):
            media = open_media(file, max_megapixels=self.options.max_megapixels)
        with media, closing(self._read(media)) as frames:
            following = Following() if self.options.every < DEFAULT_EVERY else None
            for _ in self._follow(frames, tracker, watch, name=printable(file), following=following):
                if on_frame:
                    on_frame(media)
            duration, total = (None, 1) if isinstance(media, Picture) else _length(media)
        size = media.width, media.height
        return self._result(str(file), media.kind, size, tracker, watch, duration_s=duration, total=total)

    def detect_frames(self, frames: Iterable[FrameInput], *, fps: float = 1.0, name: str = "frames") -> InputResult:
        """Judge frames as one video, or a single frame as a picture. All are scored, whatever the options' `every`.

        Args:
            frames: (H, W, 3) RGB uint8, or `SampledFrame`s with times of their own; read one at a time.
            fps: of frames without a time; with 1, times count frames.
            name: for the result's `path` and for messages.

        Raises:
            UsageError: no frame, one of another type or shape, or times that go back.
            InputError: a frame that cannot be judged.
        """
        watch, tracker = Stopwatch(), Tracker()
        size: tuple[int, int] | None = None
        for frame in self._follow(numbered(frames, fps=fps), tracker, watch, name=name, following=Following()):
            size = size or (frame.image.shape[1], frame.image.shape[0])
        if size is None:
            raise UsageError(f"{name}: expected one frame or more, got none")
        kind: Literal["image", "video"] = "image" if tracker.samples == 1 else "video"
        return self._result(name, kind, size, tracker, watch, duration_s=None, total=tracker.samples)

    def stream(
        self, frames: Iterable[FrameInput], *, fps: float = 1.0, window: int = WINDOW, name: str = "frames"
    ) -> Iterator[FrameResult]:
        """Judge frames as they come, for as long as they come, in bounded memory. All are scored.

        The n-th result tells what `detect_frames` would say after n frames, with three differences that keep it
        bounded and steady: a track's score is that of its latest `window` scored frames, a track that has ended (its
        face was not found in three frames) is dropped, and the first frame alone is thin evidence.

        Args:
            frames: (H, W, 3) RGB uint8, or `SampledFrame`s with times of their own, such as those of a `Camera`.
            fps: of frames without a time; with 1, times count frames.
            window: latest scored frames that a track is judged by, 2 or more.
            name: for messages.

        Returns:
            An iterator with a result for each frame, made when it is asked for.

        Raises:
            UsageError: `fps` or `window` out of range; from the iterator, as `detect_frames`.
            InputError: from the iterator: a frame that cannot be judged.
        """
        if window < LEAST_FRAMES:
            raise UsageError(f"window: expected {LEAST_FRAMES} or more, got {window}")
        return self._stream(numbered(frames, fps=fps), Tracker(window=window), name)

    def _stream(self, frames: Iterator[SampledFrame], tracker: Tracker, name: str) -> Iterator[FrameResult]:
        for frame in self._follow(frames, tracker, Stopwatch(), name=name, following=Following()):
            tracks = tuple(
                live_track(track, self.operating_point, sample=tracker.samples, least=LEAST_FRAMES)
                for track in tracker.tracks
            )
            height, width = frame.image.shape[:2]
            decides = worst(tracks)
            score = None if decides is None else decides.score
            verdict = self.operating_point.verdict(score, thin=decides is not None and decides.thin)
            yield FrameResult(frame.index, frame.time_s, width, height, verdict, score, tracks)

    def look(self, frame: NDArray[np.uint8]) -> tuple[FaceFrame, ...]:
        """Score the faces of one frame (H, W, 3) RGB uint8, the largest first; their time is 0.

        Raises:
            UsageError: another type or shape.
            InputError: the frame cannot be judged.
        """
        (one,) = numbered([frame])
        return tuple(self._scorer.score(one, Stopwatch(), name="frame")[0])

    def _follow(
        self,
        frames: Iterator[SampledFrame],
        tracker: Tracker,
        watch: Stopwatch,
        *,
        name: str,
        following: Following | None,
    ) -> Iterator[SampledFrame]:
        """Frames -> faces -> scores -> tracks: yields each frame once the tracker knows its faces."""
        while True:
            with watch.stage("decode"):
                frame = next(frames, None)
            if frame is None:
                return
            if tracker.samples == 0:
                self._say_scaled(frame, name)
            tracker.add(*self._scorer.score(frame, watch, name=name, following=following))
            yield frame

    def _read(self, media: Picture | Video) -> "Generator[SampledFrame] | Ahead[SampledFrame]":
        """The frames of a file that are scored; those of a video are decoded beside the scoring."""
        frames = self._sampled(media)
        return frames if isinstance(media, Picture) else Ahead(frames, stop=media.close)

    def _sampled(self, media: Picture | Video) -> Generator[SampledFrame]:
        """The frames of a file that are scored."""
        try:
            yield from media.frames(self.options.every, self.options.max_frames)
        except (cv2.error, MemoryError) as error:
            raise unjudgeable(printable(media.path), error) from error

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
        return self._scorer.find(checked(frame, "frame"))

    def _say_scaled(self, frame: SampledFrame, name: str) -> None:
        height, width = frame.image.shape[:2]
        smallest = default_min_face(height, width)
        if self.options.min_face is None and smallest > default_min_face(1080, 1080):
            logger.warning(
                "%s: %dx%d is above 1080p, so faces below %d pixels are left out; another smallest face may be set",
                name,
                width,
                height,
                smallest,
            )

    def _result(
        self,
        path: str,
        kind: Literal["image", "video"],
        size: tuple[int, int],
        tracker: Tracker,
        watch: Stopwatch,
        *,
        duration_s: float | None,
        total: int | None,
    ) -> InputResult:
        least = min(LEAST_FRAMES, tracker.samples)
        tracks = tuple(track_of(track.number, track.frames, track.evidence, least=least) for track in tracker.tracks)
        decides = worst(tracks)
        score = None if decides is None else decides.score
        return InputResult(
            path=path,
            kind=kind,
            verdict=self.operating_point.verdict(score, thin=decides is not None and decides.thin),
            score=score,
            error=None,
            duration_s=duration_s,
            width=size[0],
            height=size[1],
            frames_total=total,
            frames_scored=tracker.samples,
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
