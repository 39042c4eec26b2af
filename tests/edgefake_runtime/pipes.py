"""Named pipes into which tests write what a camera would."""

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from .clips import numbered

COMMENT = 20_000
"""Bytes of a comment in each picture: FFmpeg wants some 200 kB before it believes in bare MJPEG."""


def jpeg(image: np.ndarray) -> bytes:
    ok, data = cv2.imencode(".jpg", image)
    assert ok
    start, rest = data[:2].tobytes(), data[2:].tobytes()
    return start + b"\xff\xfe" + (COMMENT + 2).to_bytes(2, "big") + bytes(COMMENT) + rest


def numbered_jpegs(count: int) -> list[bytes]:
    return [jpeg(numbered(index, 64, 48)) for index in range(count)]


LONGEST_S = 200.0
"""For how long a reader is waited for: a program that opens a model first, on a machine that does much else."""


class Feeder:
    """Writes pictures into a new named pipe as bare MJPEG, then holds it open until it is closed.

    Args:
        path: of the pipe.
        pictures: JPEGs; may be endless.
        pause_s: after each of them.
    """

    def __init__(self, path: Path, pictures: Iterable[bytes], *, pause_s: float = 0.01) -> None:
        os.mkfifo(path)
        self.path = path
        self.written = 0
        self._pictures = pictures
        self._pause_s = pause_s
        self._go_away = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def _write(self) -> None:
        try:
            with self.path.open("wb", buffering=0) as pipe:
                for picture in self._pictures:
                    if self._go_away.is_set():
                        break
                    pipe.write(picture)
                    self.written += 1
                    time.sleep(self._pause_s)
                self._done.set()
                self._go_away.wait()
        except BrokenPipeError:
            self._done.set()

    def wait(self) -> None:
        """Until everything is written."""
        assert self._done.wait(LONGEST_S)

    def close_when_written(self) -> None:
        """End the pipe after the last picture."""
        threading.Thread(target=lambda: (self.wait(), self.close()), daemon=True).start()

    def close(self) -> None:
        """End the pipe, as a camera that goes."""
        self._go_away.set()
        self._thread.join(LONGEST_S)
        assert not self._thread.is_alive()
