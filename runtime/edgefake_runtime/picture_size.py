"""A picture's width and height, read from its header: a hostile picture is refused before it is decoded.

Known formats: PNG, JPEG, WebP, BMP, GIF, TIFF. A header costs a few short reads, wherever the file leads.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

__all__ = ["PictureHeader", "is_whole_jpeg", "picture_format", "read_picture_header"]

_MAX_JPEG_SEGMENTS = 4096
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN, _JPEG_END = 0xDA, b"\xff\xd9"
_JPEG_BARE = frozenset(range(0xD0, 0xD9)) | {0x01}
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_SHORT, _TIFF_LONG = 3, 4


@dataclass(frozen=True)
class PictureHeader:
    """What a picture's header says.

    Attributes:
        format: "PNG", "JPEG", "WebP", "BMP", "GIF" or "TIFF".
        width, height: in pixels as stored, before any EXIF rotation; never negative.
    """

    format: str
    width: int
    height: int

    @property
    def megapixels(self) -> float:
        """Millions of pixels."""
        return self.width * self.height / 1e6


def picture_format(head: bytes) -> str | None:
    """Name the format of a picture by its first bytes; 12 bytes suffice.

    Returns:
        One of the names of `PictureHeader.format`, or None when the bytes begin none of them.
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    return None


def read_picture_header(file: BinaryIO) -> PictureHeader | None:
    """Read a picture's size without decoding it.

    Args:
        file: open for reading bytes and seekable; read from its start, left at any position.

    Returns:
        The size, or None when the header is cut off, damaged, or of no known format.
    """
    file.seek(0)
    name = picture_format(file.read(12))
    if name is None:
        return None
    try:
        width, height = _READERS[name](file)
    except (struct.error, ValueError):
        return None
    return PictureHeader(name, width, height)


def is_whole_jpeg(file: BinaryIO) -> bool:
    """Whether a JPEG's picture reaches its end marker; some versions of cv2 fill a cut off one with gray.

    The search begins at the first scan, behind a thumbnail and its own end marker. What follows the
    picture (a phone's clip, say) does not matter.
    """
    try:
        scan = [offset for _, offset in _jpeg_segments(file)][-1]
    except (struct.error, ValueError):
        return False
    file.seek(scan)
    return _JPEG_END in file.read()


def _unpack(layout: str, file: BinaryIO, offset: int) -> tuple[int, ...]:
    """Integers at an offset; struct.error when the file ends before them."""
    file.seek(offset)
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _read_png(file: BinaryIO) -> tuple[int, int]:
    """Read IHDR, which is the first chunk."""
    file.seek(12)
    if file.read(4) != b"IHDR":
        raise ValueError("no IHDR")
    width, height = _unpack(">II", file, 16)
    return width, height


def _read_jpeg(file: BinaryIO) -> tuple[int, int]:
    """Read the frame header (SOF): height, then width."""
    for code, offset in _jpeg_segments(file):
        if code in _JPEG_FRAMES:
            height, width = _unpack(">HH", file, offset + 5)
            return width, height
    raise ValueError("no frame header")


def _jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Marker codes and the offsets of their segments, up to the first scan; ValueError when there is none."""
    offset = 2
    for _ in range(_MAX_JPEG_SEGMENTS):
        mark, code = _unpack(">BB", file, offset)
        if mark != 0xFF:
            break
        if code == 0xFF:  # padding before a marker
            offset += 1
            continue
        yield code, offset
        if code == _JPEG_SCAN:
            return
        offset += 2 if code in _JPEG_BARE else 2 + _unpack(">H", file, offset + 2)[0]
    raise ValueError("no scan")


def _read_webp(file: BinaryIO) -> tuple[int, int]:
    """Read the first chunk: lossy (VP8), lossless (VP8L) or extended (VP8X)."""
    file.seek(12)
    chunk = file.read(4)
    if chunk == b"VP8 ":
        width, height = _unpack("<HH", file, 26)
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L":
        signature, bits = _unpack("<BI", file, 20)
        if signature != 0x2F:
            raise ValueError(signature)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8X":
        low_w, high_w, low_h, high_h = _unpack("<HBHB", file, 24)
        return (high_w << 16 | low_w) + 1, (high_h << 16 | low_h) + 1
    raise ValueError(chunk)


def _read_bmp(file: BinaryIO) -> tuple[int, int]:
    """Read the DIB header: 16-bit sizes in the 12-byte form, 32-bit ones in all later forms."""
    (size,) = _unpack("<I", file, 14)
    if size == 12:
        width, height = _unpack("<HH", file, 18)
    elif 16 <= size <= 124:
        width, height = _unpack("<ii", file, 18)
    else:
        raise ValueError(size)
    return abs(width), abs(height)  # a negative height stores the rows from the top


def _read_gif(file: BinaryIO) -> tuple[int, int]:
    width, height = _unpack("<HH", file, 6)
    return width, height


def _read_tiff(file: BinaryIO) -> tuple[int, int]:
    """Read the first directory; a size given twice counts as its largest."""
    file.seek(0)
    order = "<" if file.read(2) == b"II" else ">"
    (start,) = _unpack(f"{order}I", file, 4)
    (count,) = _unpack(f"{order}H", file, start)
    sizes = {_TIFF_WIDTH: 0, _TIFF_HEIGHT: 0}
    for entry in range(count):
        at = start + 2 + 12 * entry
        tag, kind, values = _unpack(f"{order}HHI", file, at)
        if tag in sizes and values == 1 and kind in (_TIFF_SHORT, _TIFF_LONG):
            (size,) = _unpack(order + ("H" if kind == _TIFF_SHORT else "I"), file, at + 8)
            sizes[tag] = max(sizes[tag], size)
    if 0 in sizes.values():
        raise ValueError("no size")
    return sizes[_TIFF_WIDTH], sizes[_TIFF_HEIGHT]


_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
)

_READERS: dict[str, Callable[[BinaryIO], tuple[int, int]]] = {
    "PNG": _read_png,
    "JPEG": _read_jpeg,
    "WebP": _read_webp,
    "BMP": _read_bmp,
    "GIF": _read_gif,
    "TIFF": _read_tiff,
}
