"""Keep the C libraries' own lines off stderr: edgefake reports a bad file itself, in one line."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2

__all__ = ["LOG_OFF", "quiet"]

FFMPEG_LEVEL = "OPENCV_FFMPEG_LOGLEVEL"


class _LogOff:
    """cv2's log and FFmpeg's, off while any thread is inside.

    cv2 reads FFmpeg's level once, when it opens the process' first video; a level set by the user stays.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._level = 0
        self._own = False

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._level = _log().getLogLevel()
                _log().setLogLevel(0)
                self._own = FFMPEG_LEVEL not in os.environ
                if self._own:
                    os.environ[FFMPEG_LEVEL] = "-8"
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                _log().setLogLevel(self._level)
                if self._own:
                    os.environ.pop(FFMPEG_LEVEL, None)


def _log() -> Any:
    """Where cv2 keeps its log level: cv2.utils.logging in 5.0, cv2 itself in 4.10."""
    return getattr(cv2.utils, "logging", cv2)


LOG_OFF = _LogOff()
_STDERR = threading.Lock()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep cv2, FFmpeg, libpng and libjpeg from writing to stderr, about files that we report ourselves.

    libpng and libjpeg write to descriptor 2 whatever cv2's settings are, so it leads nowhere for the call.
    """
    with _STDERR, LOG_OFF, _closed_stderr():
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
