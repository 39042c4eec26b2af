"""Frames of a camera as they come: a thread reads, and whoever asks gets the newest one."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera_source import CameraSource
from .capture import grab, open_live, retrieve
from .errors import InputError, UsageError, first_line
from .media import SampledFrame, Video, open_media, require_size

__all__ = ["Camera"]

logger = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""For how long a camera that gives no frame is asked again, apart from what cv2 itself waits: 10 s for a device of
Linux, 30 s for an address."""

LONGEST_PAUSE_S = 1.0
"""Most that is waited for a file's next frame, whatever its container says."""

WAKE_S = 1.0
"""How often who waits for a frame looks whether it is over: a `stop` from a signal handler is not heard by the thread
that it interrupts just before that waits."""

CLOSING_S = 1.0
"""For how long a reader that is told to stop is waited for."""

Image = NDArray[np.uint8]
Grabbed = tuple[int, float, Callable[[], Image | None]]
"""Number and time of a frame, and what decodes it."""


class Camera:
    """A camera, or what stands in for one, read by a thread of its own that keeps the newest frame alone.

    Whoever is slower than the camera gets frames that are new, not a queue of old ones; what was passed over is
    counted. A context manager; `stop` may be called from any thread and from a signal handler.

    Args:
        source: number of a device or its path; a named pipe, "-" for standard input, or an address (rtsp://, http://),
            in any form that FFmpeg tells by its content; or a video, which is played at its own speed, once.
        max_megapixels: larger frames are refused.
        show: decode every frame for `newest`, also those that `frames` passes over.

    Attributes:
        name: of the source, for messages; without what an address says before an @.
        dropped: frames that should have been given, and were passed over because the one before was still in use.

    Raises:
        InputError: the source is missing, may not be read, or is none. What only reading it tells comes from `frames`.
        UsageError: `max_megapixels` is not positive.
    """

    def __init__(self, source: str | int, *, max_megapixels: float = 100.0, show: bool = False) -> None:
        if not max_megapixels > 0:
            raise UsageError(f"max_megapixels: expected more than 0, got {max_megapixels}")
        self._source = CameraSource.of(str(source))
        self.name = self._source.name
        self.dropped = 0
        self._max_megapixels = max_megapixels
        self._show = show
        self._change = threading.Condition()
        self._stopped = threading.Event()
        self._ended = False
        self._error: Exception | None = None
        self._newest: SampledFrame | None = None
        self._due = 0
        self._reader = threading.Thread(target=self._read, name=f"edgefake {self.name}", daemon=True)

    def frames(self, every: int = 1, max_frames: int | None = None) -> Iterator[SampledFrame]:
        """The newest frame, again and again; ends when the camera is stopped, or a file at its end.

        Args:
            every: give a frame at most this often, counted in frames of the camera. Who asks later gets the newest.
            max_frames: stop after so many.

        Raises:
            UsageError: `every` or `max_frames` is less than 1.
            InputError: the camera cannot be opened, or gave frames and then no more; what came before was given.
        """
        if every < 1 or (max_frames is not None and max_frames < 1):
            raise UsageError(f"every, max_frames: expected 1 or more, got {every}, {max_frames}")
        if self._reader.ident is None:
            self._reader.start()
        return self._frames(every, max_frames)

    def _frames(self, every: int, max_frames: int | None) -> Iterator[SampledFrame]:
        given = 0
        while given != max_frames:
            frame = self._take(every)
            if frame is None:
                break
            given += 1
            yield frame
        self.stop()

    def _take(self, every: int) -> SampledFrame | None:
        """The newest frame, when it is due; None at the end.

        Raises:
            InputError: the end is none that was asked for.
        """
        with self._change:
            while not self._change.wait_for(self._has_news, WAKE_S):
                pass
            frame = self._newest
            if self._stopped.is_set():
                return None
            if frame is None or not self._is_due():
                if self._error is not None:
                    raise self._error
                return None
            self.dropped += frame.index - self._due
            self._due = frame.index + every
            return frame

    def _has_news(self) -> bool:
        return self._stopped.is_set() or self._ended or self._is_due()

    def _is_due(self) -> bool:
        return self._newest is not None and self._newest.index >= self._due

    def newest(self, *, after: int = -1, timeout_s: float | None = None) -> SampledFrame | None:
        """The newest frame, to look at, once there is one with a number above `after`; None at the end or too late."""
        with self._change:
            self._change.wait_for(lambda: self._stopped.is_set() or self._ended or self._is_after(after), timeout_s)
            return self._newest if self._is_after(after) else None

    def _is_after(self, index: int) -> bool:
        return self._newest is not None and self._newest.index > index

    def stop(self) -> None:
        """End `frames`, soon; what was asked for ends without an error."""
        self._stopped.set()
        with self._change:
            self._change.notify_all()

    def close(self) -> bool:
        """Stop, and free the camera; False where its reader hangs in a read that nothing can break off."""
        self.stop()
        if self._reader.ident is not None:
            self._reader.join(CLOSING_S)
        return not self._reader.is_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The reader's thread

    def _read(self) -> None:
        error: Exception | None = None
        try:
            for index, time_s, decode in self._grabbed():
                if self._stopped.is_set():
                    break
                if self._show or index >= self._due:
                    self._keep(index, time_s, decode())
        except (cv2.error, MemoryError, OSError) as unknown:
            error = self._failed(f"an error ({first_line(unknown)})", "check the camera")
        except Exception as other:  # whoever waits for frames raises it: here nobody would
            error = other
        with self._change:
            self._error, self._ended = error, True
            self._change.notify_all()

    def _keep(self, index: int, time_s: float, image: Image | None) -> None:
        if image is None:
            return
        if self._newest is None or self._newest.image.shape != image.shape:
            require_size(self.name, image.shape[1], image.shape[0], self._max_megapixels)
        with self._change:
            self._newest = SampledFrame(index, time_s, image)
            self._change.notify_all()

    def _grabbed(self) -> Iterator[Grabbed]:
        return self._live() if self._source.file is None else self._played()

    def _live(self) -> Iterator[Grabbed]:
        """Every frame of a camera with the time of its coming; it has no end but an error."""
        with self._source.opened() as target:
            capture = open_live(target, self._source.backend, brief=self._source.is_pipe)
            try:
                if not capture.isOpened():
                    raise self._failed("one that does not open", self._source.cure)
                logger.info("%s: opened", self.name)
                yield from self._count(capture)
            finally:
                capture.release()

    def _count(self, capture: cv2.VideoCapture) -> Iterator[Grabbed]:
        index, begun = 0, 0.0
        while grab(capture, patience_s=PATIENCE_S):
            now = time.monotonic()
            begun = begun or now
            yield index, now - begun, lambda: retrieve(capture)
            index += 1
        if index == 0:
            raise self._failed("one that gives no frame", self._source.cure)
        raise self._failed(f"no more after {index} frames", "see whether it is still there")

    def _played(self) -> Iterator[Grabbed]:
        """Every frame of a video when its time has come."""
        assert self._source.file is not None
        with open_media(self._source.file, max_megapixels=self._max_megapixels) as media:
            if not isinstance(media, Video):
                raise self._failed("a picture", "leave --camera away to judge it")
            logger.info("%s: %s frames at %s a second", self.name, media.frames_total, media.fps)
            before, now = 0.0, time.monotonic()
            for frame in media.frames(1):
                now += min(frame.time_s - before, LONGEST_PAUSE_S)
                before = frame.time_s
                self._stopped.wait(max(0.0, now - time.monotonic()))
                yield frame.index, frame.time_s, _decoded(frame.image)
            if media.note:
                logger.warning("%s", media.note)

    def _failed(self, got: str, cure: str) -> InputError:
        return InputError(f"{self.name}: expected a camera, got {got}; {cure}")


def _decoded(image: Image) -> Callable[[], Image]:
    return lambda: image
