"""Video containers by their first bytes: which may reach FFmpeg, and what the others seem to be."""

import os
import re
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["MAX_MOOV", "PLAYABLE", "describe_foreign", "explain_unopened", "is_container", "iso_boxes"]

PLAYABLE = "MP4, MKV, WebM, AVI or MOV"
"""Containers to suggest."""

MAX_MOOV = 64 << 20
"""Most that is read of an MP4's index, in bytes."""

_ISO_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_ISO_PICTURES = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
_CONTAINERS = (
    b"GIF8",
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    b"OggS",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, WMV
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG-1, MPEG-2 video
    b"\x00\x00\x00\x01",  # H.264, H.265 as cameras write them
)
_SOUNDS = (b"ID3", b"fLaC", b"#!AMR", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9")


def is_container(head: bytes) -> bool:
    """Whether a file's first 512 bytes begin a video container that FFmpeg may be given."""
    if head[4:8] in _ISO_BOXES:
        return head[8:12] not in _ISO_PICTURES
    if head[:4] == b"RIFF":
        return head[8:12] == b"AVI "
    # MPEG transport streams repeat a sync byte every 188 bytes, or every 192 after a 4-byte time.
    is_transport = head[:1] == head[188:189] == head[376:377] == b"G" or head[4:5] == head[196:197] == b"G"
    return is_transport or head.startswith(_CONTAINERS)


def describe_foreign(head: bytes) -> tuple[str, str]:
    """What a file of no known container seems to be, by its first 512 bytes, and the cure."""
    if head[4:8] == b"ftyp" or b"jP  " in head[:8] or b"JXL " in head[:8] or head[:2] == b"\xff\x0a":
        return "an AVIF, HEIC, JPEG 2000 or JPEG XL picture", "convert it to PNG or JPEG"
    if head.startswith(_SOUNDS) or (head[:4] == b"RIFF" and head[8:12] == b"WAVE"):
        return "sound only", "name the file with the pictures"
    if b"\0" not in head and not re.search(rb"[^\s\x20-\xff]", head):
        return "text", "check that the file is what its name says"
    return "an unknown format", f"convert it to PNG, JPEG, {PLAYABLE}"


def explain_unopened(file: BinaryIO) -> tuple[str, str]:
    """Why FFmpeg finds no video in a file, and the cure."""
    boxes = dict(iso_boxes(file))
    again = "copy or record it again"
    if b"ftyp" in boxes and b"moov" not in boxes:
        return "one cut off before the end of its index (no whole moov box)", again
    if b"moov" in boxes:
        start, length = boxes[b"moov"]
        file.seek(start)
        handlers = re.findall(rb"hdlr.{8}(\w{4})", file.read(min(length, MAX_MOOV)), re.DOTALL)
        if b"vide" not in handlers:
            got = "sound only" if b"soun" in handlers else "one without frames"
            return got, "name the file with the pictures"
    return "one without a video stream that can be decoded", f"{again}, or convert it to {PLAYABLE}"


def iso_boxes(file: BinaryIO) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Name, start and length of an MP4's top-level boxes; none for other containers, nor a box cut off."""
    end, start = os.fstat(file.fileno()).st_size, 0
    for _ in range(4096):
        file.seek(start)
        head = file.read(16)
        if len(head) < 8 or (start == 0 and head[4:8] not in _ISO_BOXES):
            return
        length = int.from_bytes(head[:4])
        if length == 1:
            length = int.from_bytes(head[8:])
        length = length or end - start
        if length < 8 or start + length > end:
            return
        yield head[4:8], (start, length)
        start += length
