"""Pictures and videos in, RGB frames out; what cannot be read is refused with one clear line.

A file is judged by its content, never by its suffix. Only containers known here reach FFmpeg, so that a
playlist renamed to .mp4 cannot make it open other files or addresses. A GIF is a video, also a still one.
"""

import math
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from .capture import grab, retrieve
from .containers import PLAYABLE, describe_foreign, explain_unopened, is_container
from .errors import InputError, UsageError, printable
from .mp4_index import listed_frames
from .picture_size import (
    PictureHeader,
    is_whole_jpeg,
    picture_format,
    read_picture_header,
)
from .quiet import quiet

__all__ = [
    "MEDIA_SUFFIXES",
    "PICTURE_SUFFIXES",
    "Picture",
    "Problem",
    "SampledFrame",
    "Video",
    "discover",
    "open_media",
    "printable",
    "require_size",
]

_PICTURE_NAMES = "png jpg jpeg jpe webp bmp tif tiff heic heif avif"
_VIDEO_NAMES = "mp4 m4v mov 3gp mkv webm avi mpg mpeg mts m2ts wmv asf flv ogv h264 gif"
PICTURE_SUFFIXES = frozenset(f".{name}" for name in _PICTURE_NAMES.split())
"""Suffixes (lower case) of pictures, also of kinds that are refused; a GIF counts as a video."""

MEDIA_SUFFIXES = PICTURE_SUFFIXES | {f".{name}" for name in _VIDEO_NAMES.split()}
"""Suffixes (lower case) that `discover` collects from folders. Not .ts, which is mostly TypeScript."""

MIN_SIDE = 16
"""Shortest side, in pixels, of a picture or frame worth looking at."""

_BYTES_PER_PIXEL, _HEADER_BYTES = 16, 64 << 20


@dataclass(frozen=True)
class Problem:
    """A path that gives no input.

    Attributes:
        path: as it was given or found.
        message: one line, "PATH: expected ..., got ...; cure".
    """

    path: Path
    message: str


@dataclass(frozen=True)
class SampledFrame:
    """One frame of a video.

    Attributes:
        index: count of the frames before it, skipped ones included.
        time_s: seconds from the start; never less than the sampled frame before.
        image: (H, W, 3) RGB uint8.
    """

    index: int
    time_s: float
    image: NDArray[np.uint8]


def _refusal(path: Path | str, got: str, cure: str, *, expected: str = "a picture or video") -> InputError:
    name = path if isinstance(path, str) else printable(path)
    return InputError(f"{name}: expected {expected}, got {got}; {cure}")


# Which files: from the command line's paths to a list


def discover(paths: Sequence[Path]) -> list[Path | Problem]:
    """Expand files and folders into a list of inputs, in the order given, each path once.

    A file is kept whatever its suffix; `open_media` judges it. A folder is searched to the bottom, sorted,
    for files with a suffix in `MEDIA_SUFFIXES`; hidden files and folders are left out, and links to folders
    inside it are not followed, so that a loop of links ends.

    Args:
        paths: files and folders.

    Returns:
        Files, and a `Problem` for each missing path, unreadable folder and folder without media.
    """
    found: dict[Path, Path | Problem] = {}
    for path in paths:
        for item in _expand(path):
            found.setdefault(item.path if isinstance(item, Problem) else item, item)
    return list(found.values())


def _expand(path: Path) -> Iterator[Path | Problem]:
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError) as error:
        yield Problem(path, str(_unreachable(path, error)))
        return
    if not is_folder:
        yield path
        return
    items = list(_search(path))
    yield from items
    if not items:
        yield Problem(path, str(_refusal(path, "a folder without any", "name a folder that holds some")))


def _search(folder: Path) -> Iterator[Path | Problem]:
    failures: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=failures.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if not name.startswith(".") and path.suffix.lower() in MEDIA_SUFFIXES:
                yield path
    for error in failures:
        path = Path(error.filename)
        yield Problem(path, str(_unreachable(path, error, expected="a folder that may be read")))


def _unreachable(path: Path, error: Exception, *, expected: str = "a picture or video") -> InputError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return _refusal(path, "no such file", "check the name", expected=expected)
    if isinstance(error, PermissionError):
        return _refusal(path, "one without read permission", "run chmod +r on it", expected=expected)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return _refusal(path, f"an error ({reason.lower()})", "check the path and the disk", expected=expected)


# One file: judged by its first bytes


def open_media(path: Path, *, max_megapixels: float = 100.0) -> "Picture | Video":
    """Open a picture or video.

    A picture is decoded at once; of a video the first frame is, so that what opens can be read.

    Args:
        path: a regular file. Its name need not be UTF-8.
        max_megapixels: largest picture or frame, in millions of pixels; read from the header first.

    Returns:
        A `Picture` or a `Video`; both are context managers. A GIF is a `Video`.

    Raises:
        InputError: the file is missing, not regular, empty, unreadable, of no known format, damaged, without
            a decodable frame, smaller than 16 pixels on a side, or larger than `max_megapixels`.
        UsageError: `max_megapixels` is not positive.
    """
    if not max_megapixels > 0:
        raise UsageError(f"max_megapixels: expected more than 0, got {max_megapixels}")
    _require_content(path)
    try:
        with path.open("rb") as file:
            return _open(path, file, max_megapixels)
    except OSError as error:
        raise _unreachable(path, error) from error


def _require_content(path: Path) -> None:
    """Refuse what opening alone could hang on (a pipe, a device), folders and empty files."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise _unreachable(path, error) from error
    if stat.S_ISDIR(status.st_mode):
        raise _refusal(path, "a folder", "name the files in it")
    if not stat.S_ISREG(status.st_mode):
        raise _refusal(path, "a device or pipe", "save it to a file first")
    if status.st_size == 0:
        raise _refusal(path, "an empty file", "copy or download it again")


def _open(path: Path, file: BinaryIO, max_megapixels: float) -> "Picture | Video":
    head = file.read(512)
    name = picture_format(head)
    if name is not None:
        header = read_picture_header(file)
        if header is None:
            raise _refusal(path, f"a damaged {name} header", "copy or download it again")
        require_size(path, header.width, header.height, max_megapixels)
        if name != "GIF":
            return _decode_picture(path, file, header)
    elif not is_container(head):
        raise _refusal(path, *describe_foreign(head))
    return Video(path, file, max_megapixels=max_megapixels)


def require_size(path: Path | str, width: int, height: int, max_megapixels: float) -> None:
    """Refuse frames that are too small or too large.

    Raises:
        InputError: less than 16 pixels on a side, or more than `max_megapixels`; names the path, or what has no path.
    """
    got = f"{width}x{height}"
    if min(width, height) < MIN_SIDE:
        raise _refusal(path, got, "use a larger one", expected=f"at least {MIN_SIDE} pixels on a side")
    if width * height > max_megapixels * 1e6:
        expected = f"at most {max_megapixels:g} megapixels"
        raise _refusal(path, f"{got} ({width * height / 1e6:.0f} megapixels)", "make it smaller", expected=expected)


# Pictures


@dataclass(frozen=True)
class Picture:
    """A decoded picture; `with` works as for a `Video` and frees nothing.

    Attributes:
        path: the file.
        width, height: in pixels, after EXIF rotation.
    """

    kind: ClassVar[Literal["image"]] = "image"
    path: Path
    width: int
    height: int
    _image: NDArray[np.uint8] = field(repr=False, compare=False)

    def frame(self) -> NDArray[np.uint8]:
        """The picture as (H, W, 3) RGB uint8, turned upright as EXIF says.

        Gray is repeated, 16 bits are cut to the upper 8, and transparency is dropped.
        """
        return self._image

    def frames(self, every: int = 30, max_frames: int | None = None) -> Iterator[SampledFrame]:
        """The picture as the one frame of a video, whatever `every` and `max_frames` say."""
        yield SampledFrame(0, 0.0, self._image)

    def close(self) -> None:
        """Do nothing: no file is held open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _decode_picture(path: Path, file: BinaryIO, header: PictureHeader) -> Picture:
    most = header.width * header.height * _BYTES_PER_PIXEL + _HEADER_BYTES
    if os.fstat(file.fileno()).st_size > most:
        got = f"a {header.format} far longer than its {header.width}x{header.height} pixels"
        raise _refusal(path, got, "save it again as PNG or JPEG")
    image = _decode(file) if header.format != "JPEG" or is_whole_jpeg(file) else None
    if image is None:
        raise _refusal(path, f"a damaged or cut off {header.format}", "copy or download it again")
    rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    return Picture(path, rgb.shape[1], rgb.shape[0], rgb)


def _decode(file: BinaryIO) -> NDArray[Any] | None:
    """(H, W, 3) BGR, or None when cv2 cannot."""
    file.seek(0)
    try:
        with quiet():
            return cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None


# Videos


class Video:
    """A video, streamed: memory does not grow with its length. A context manager; `close` frees the decoder.

    `frames` may be read by another thread than the one that opened it, by one at a time.

    Attributes:
        path: the file.
        width, height: of the first frame in pixels, after the container's rotation.
        fps: frames per second, or None when the container gives none that is possible.
        frames_total: the container's claim, often an estimate, or None.
        frames_read: frames decoded by the latest `frames`, skipped ones included.
        exhausted: the latest `frames` reached the last frame that can be decoded.
        truncated: the latest `frames` reached the end early: over 5 frames and 2 % of the claim are missing.
    """

    kind: ClassVar[Literal["video"]] = "video"

    def __init__(self, path: Path, file: BinaryIO, *, max_megapixels: float = 100.0) -> None:
        """Open the decoder and read the first frame; call `open_media`, which checks the file first."""
        self.path = path
        self.frames_read = 0
        self.truncated = False
        self.exhausted = False
        self._closed = False
        self._using = threading.RLock()  # the decoder: one that is freed while it works takes the process along
        self._capture: cv2.VideoCapture | None = _open_capture(path, file)
        try:
            self._read_properties(self._capture, file, max_megapixels)
        except BaseException:
            self.close()
            raise

    def _read_properties(self, capture: cv2.VideoCapture, file: BinaryIO, max_megapixels: float) -> None:
        if not capture.isOpened():
            raise _refusal(self.path, *explain_unopened(file), expected="a video")
        width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if width > 0 and height > 0:  # FFmpeg knows none where no frame is sound
            require_size(self.path, int(width), int(height), max_megapixels)
        image = retrieve(capture) if grab(capture) else None
        if image is None:
            cure = f"copy it again or convert it to {PLAYABLE}"
            raise _refusal(self.path, "one without a frame that can be decoded", cure, expected="a video")
        self.height, self.width = image.shape[:2]
        require_size(self.path, self.width, self.height, max_megapixels)
        fps, total = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.fps = fps if 0 < fps <= 1000 else None
        self.frames_total = int(total) if 0 < total < 1e9 else None
        listed = listed_frames(file)
        self._listed = listed if listed == self.frames_total else None

    @property
    def duration_s(self) -> float | None:
        """Seconds by the container's claims, or None."""
        if self.fps is None or self.frames_total is None:
            return None
        return self.frames_total / self.fps

    @property
    def note(self) -> str | None:
        """One line about a video that ended early, or None."""
        if not self.truncated:
            return None
        read = f"{self.frames_read} of {self.frames_total} frames could be read"
        return f"{printable(self.path)}: cut off or damaged: {read}"

    def frames(self, every: int = 30, max_frames: int | None = None) -> Iterator[SampledFrame]:
        """Decode from the first frame on and yield frames 0, every, 2 * every, ...

        A video cut off or damaged in the middle yields what can be decoded; `truncated` and `note` then
        say so. Where a whole MP4's index lists its frames, those after the last one to yield are not decoded.

        Args:
            every: distance of the sampled frames, 1 for all of them.
            max_frames: stop after so many sampled frames; None for the whole video.

        Raises:
            UsageError: `every` or `max_frames` is less than 1.
            InputError: the file has gone or changed since it was opened.
            ValueError: the video was closed.
        """
        if every < 1 or (max_frames is not None and max_frames < 1):
            raise UsageError(f"every, max_frames: expected 1 or more, got {every}, {max_frames}")
        if self._closed:
            raise ValueError(f"{printable(self.path)} was closed")
        return self._sample(every, max_frames)

    def _sample(self, every: int, max_frames: int | None) -> Iterator[SampledFrame]:
        with self._using:
            if self._closed:
                return
            capture = self._start()
        time_s, sampled, more, last = 0.0, 0, True, self._last_sampled(every)
        while more:
            index, self.frames_read = self.frames_read, self.frames_read + 1
            frame = self._retrieve(capture, index, after=time_s) if index % every == 0 else None
            if frame is not None:
                time_s = frame.time_s
                yield frame
                sampled += 1
                if sampled == max_frames:
                    return
            if index == last:
                self.exhausted = index + 1 == self.frames_total
                return
            more = self._grab(capture)
        if not self._closed:
            self.exhausted = True
            missing = (self.frames_total or 0) - self.frames_read
            self.truncated = missing > max(5, 0.02 * (self.frames_total or 0))

    def _last_sampled(self, every: int) -> int | None:
        """Number of the last frame to sample, where the file surely has no other."""
        return None if self._listed is None else (self._listed - 1) // every * every

    def _grab(self, capture: cv2.VideoCapture) -> bool:
        with self._using:
            return not self._closed and grab(capture)

    def _retrieve(self, capture: cv2.VideoCapture, index: int, *, after: float) -> SampledFrame | None:
        """The frame that was grabbed, at `after` seconds or later; None where it has no pixels, or after `close`."""
        with self._using:
            image = None if self._closed else retrieve(capture)
            if image is None:
                return None
            return SampledFrame(index, max(after, _time_s(capture, index, self.fps, after=after)), image)

    def _start(self) -> cv2.VideoCapture:
        """A decoder that has grabbed its first frame: the one from opening first, then fresh ones."""
        capture = self._capture if self.frames_read == 0 else None
        if capture is None:
            self._release()
            try:
                with self.path.open("rb") as file:
                    capture = self._capture = _open_capture(self.path, file)
            except OSError as error:
                raise _unreachable(self.path, error) from error
            if not grab(capture):
                raise _refusal(self.path, "one changed since", "run it again", expected="the video opened before")
        self.frames_read, self.truncated, self.exhausted = 0, False, False
        return capture

    def _release(self) -> None:
        if self._capture is not None:
            self._capture.release()
        self._capture = None

    def close(self) -> None:
        """Free the decoder; a running `frames` ends, also one of another thread."""
        self._closed = True
        with self._using:
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open_capture(path: Path, file: BinaryIO) -> cv2.VideoCapture:
    """A decoder on an open file.

    cv2 crashes on a name that is not UTF-8, and FFmpeg reads meaning into some names ("%d", "x:"): so the
    name is the descriptor's, where the system has such names, else the absolute path.
    """
    descriptor = Path(f"/proc/self/fd/{file.fileno()}")
    name = str(descriptor if descriptor.exists() else path.absolute())
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _refusal(path, "a name that is not UTF-8", "rename it") from error
    with quiet():
        return cv2.VideoCapture(name, cv2.CAP_FFMPEG)


def _time_s(capture: cv2.VideoCapture, index: int, fps: float | None, *, after: float) -> float:
    """The container's time where it moves on, else index / fps."""
    time_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
    if index == 0 or (math.isfinite(time_s) and after < time_s):
        return max(0.0, time_s) if math.isfinite(time_s) else 0.0
    return index / fps if fps else after
