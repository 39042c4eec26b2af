"""What the name of a camera stands for: a device, a pipe, an address, or a video in its place."""

import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2

from .errors import InputError, printable

__all__ = ["CameraSource"]

STANDARD_INPUT = Path("/dev/stdin")

PIPE_CURE = "write it a stream that tells its format, such as MPEG-TS or MJPEG"


@dataclass(frozen=True)
class CameraSource:
    """A camera that was not opened yet.

    Attributes:
        name: for messages.
        target: for cv2: number of a device, path or address.
        file: a video that stands in for a camera; None for what is live.
        is_pipe: whether it must be held open while cv2 opens it.
        backend: of cv2.
        cure: what to do where it does not open.
    """

    name: str
    target: int | str
    file: Path | None = None
    is_pipe: bool = False
    backend: int = cv2.CAP_ANY
    cure: str = ""

    @classmethod
    def of(cls, text: str) -> "CameraSource":
        """Tell what a name stands for.

        Args:
            text: digits for a device; "-" for standard input; an address with ://; else a path.

        Raises:
            InputError: there is no such device or file, it may not be read, or it is none to read frames from.
        """
        if text.isascii() and text.isdigit():
            return _device(int(text))
        if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", text):
            name = re.sub(r"(?<=://)[^/]*@", "", text)
            cure = "check the address, and that the camera is on"
            return cls(printable(name), text, backend=cv2.CAP_FFMPEG, cure=cure)
        if text == "-":
            return _path(STANDARD_INPUT, "standard input")
        return _path(Path(text), printable(Path(text)))

    @contextmanager
    def opened(self) -> Iterator[int | str]:
        """What to give to cv2. A pipe is held open meanwhile: it waits for its writer here, not inside cv2."""
        if not self.is_pipe:
            yield self.target
            return
        with Path(str(self.target)).open("rb", buffering=0) as pipe:
            yield f"pipe:{pipe.fileno()}"


def _device(number: int) -> CameraSource:
    name, cure = f"camera {number}", "plug it in, or end what else uses it"
    path = Path(f"/dev/video{number}")
    if sys.platform == "linux":
        if not path.exists():
            others = " ".join(sorted(str(other) for other in path.parent.glob("video*"))) or "none"
            raise InputError(f"{name}: expected a camera, got no {path}; plug it in, or name another ({others} here)")
        if not os.access(path, os.R_OK | os.W_OK):
            raise InputError(f"{name}: expected a camera, got one without permission; join the group video")
    return CameraSource(name, number, cure=cure)


def _path(path: Path, name: str) -> CameraSource:
    try:
        mode = path.stat().st_mode
        readable = os.access(path, os.R_OK)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{name}: expected a camera, got an error ({reason.lower()}); check the name") from error
    if not readable:
        raise InputError(f"{name}: expected a camera, got one without permission; run chmod +r on it")
    if stat.S_ISREG(mode):
        return CameraSource(name, str(path), file=path)
    if stat.S_ISFIFO(mode):
        return CameraSource(name, str(path), is_pipe=True, backend=cv2.CAP_FFMPEG, cure=PIPE_CURE)
    if stat.S_ISCHR(mode) and path != STANDARD_INPUT:
        return CameraSource(name, str(path), cure="plug it in, or end what else uses it")
    got = "a folder" if stat.S_ISDIR(mode) else "neither a pipe nor a file"
    raise InputError(f"{name}: expected a camera, a pipe, an address or a video, got {got}; name one")
