"""Keep the C libraries' own lines off stderr: edgefake reports a bad file itself, in one line."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cv2

__all__ = ["FFMPEG_OFF", "LOG_OFF", "quiet"]

FFMPEG_LEVEL = "OPENCV_FFMPEG_LOGLEVEL"


class _Off:
    """What is off while any thread is inside.

    Args:
        turn_off: turns it off, and gives what turns it on again.
    """

    def __init__(self, turn_off: Callable[[], Callable[[], None]]) -> None:
        self._turn_off = turn_off
        self._lock = threading.Lock()
        self._inside = 0
        self._turn_on: Callable[[], None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._turn_on = self._turn_off()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._turn_on is not None:
                self._turn_on()


def _log() -> Any:
    """Where cv2 keeps its log level: cv2.utils.logging in 5.0, cv2 itself in 4.10."""
    return getattr(cv2.utils, "logging", cv2)


def _cv2_off() -> Callable[[], None]:
    level = _log().getLogLevel()
    _log().setLogLevel(0)
    return lambda: _log().setLogLevel(level)


def _ffmpeg_off() -> Callable[[], None]:
    """A level that the user has set stays."""
    if FFMPEG_LEVEL in os.environ:
        return lambda: None
    os.environ[FFMPEG_LEVEL] = "-8"

    def turn_on() -> None:
        os.environ.pop(FFMPEG_LEVEL, None)

    return turn_on


LOG_OFF = _Off(_cv2_off)
"""cv2's log."""

FFMPEG_OFF = _Off(_ffmpeg_off)
"""FFmpeg's log, for who opens a video: cv2 reads the level once, when it opens the process' first one. Not for who
decodes: while other threads are at work, the environment is best left alone."""

_STDERR = threading.Lock()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep cv2, FFmpeg, libpng and libjpeg from writing to stderr, about files that we report ourselves.

    libpng and libjpeg write to descriptor 2 whatever cv2's settings are, so it leads nowhere for the call.
    """
    with _STDERR, LOG_OFF, FFMPEG_OFF, _closed_stderr():
        yield


@contextmanager
def _closed_stderr() -> Iterator[None]:
    try:
        kept = os.dup(2)
    except OSError:  # the process has no stderr
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
