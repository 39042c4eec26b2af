"""How many frames an MP4 or MOV has, as its index lists them one by one (ISO/IEC 14496-12)."""

import os
from collections.abc import Iterator
from typing import BinaryIO

from .containers import MAX_MOOV, iso_boxes

__all__ = ["listed_frames"]


def listed_frames(file: BinaryIO) -> int | None:
    """The frames that the index of an MP4 lists; FFmpeg reads no others.

    Returns:
        None where that is not sure: another container, a file that is cut off, has its frames in fragments, or has not
        exactly one index of one video.
    """
    boxes = list(iso_boxes(file))
    names = [name for name, _ in boxes]
    if names.count(b"moov") != 1 or b"moof" in names or not _reaches_the_end(file, boxes[-1][1]):
        return None
    start, length = dict(boxes)[b"moov"]
    file.seek(start)
    moov = file.read(min(length, MAX_MOOV))[8:]
    if any(name == b"mvex" for name, _ in _inside(moov)):
        return None
    counts = [_samples(track) for name, track in _inside(moov) if name == b"trak" and _handler(track) == b"vide"]
    return counts[0] if len(counts) == 1 else None


def _reaches_the_end(file: BinaryIO, last: tuple[int, int]) -> bool:
    """Whether the last box ends with the file, and by its own word: one without a length hides a cut."""
    start, length = last
    file.seek(start)
    return start + length == os.fstat(file.fileno()).st_size and file.read(4) != bytes(4)


def _inside(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of the boxes in a box, up to one that does not fit."""
    start = 0
    while start + 8 <= len(content):
        length = int.from_bytes(content[start : start + 4])
        if length < 8 or start + length > len(content):
            return
        yield content[start + 4 : start + 8], content[start + 8 : start + length]
        start += length


def _find(content: bytes, *path: bytes) -> bytes | None:
    """What is in the only box of a path; None where there is none, or several."""
    for wanted in path:
        found = [inner for name, inner in _inside(content) if name == wanted]
        if len(found) != 1:
            return None
        content = found[0]
    return content


def _handler(track: bytes) -> bytes | None:
    handler = _find(track, b"mdia", b"hdlr")
    return None if handler is None else handler[8:12]


def _samples(track: bytes) -> int | None:
    sizes = _find(track, b"mdia", b"minf", b"stbl", b"stsz")
    return None if sizes is None or len(sizes) < 12 else int.from_bytes(sizes[8:12])
