"""Header sizes against cv2's encoders, hand-made headers, and hostile bytes."""

import io
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefake_runtime.picture_size import PictureHeader, is_whole_jpeg, picture_format, read_picture_header

ENCODINGS: dict[str, tuple[str, str, list[int]]] = {
    "png": ("PNG", ".png", []),
    "jpeg": ("JPEG", ".jpg", []),
    "jpeg-progressive": ("JPEG", ".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    "webp-lossy": ("WebP", ".webp", [cv2.IMWRITE_WEBP_QUALITY, 80]),
    "webp-lossless": ("WebP", ".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),
    "bmp": ("BMP", ".bmp", []),
    "gif": ("GIF", ".gif", []),
    "tiff": ("TIFF", ".tiff", []),
}
SIDES = st.integers(1, 300)


def encode(encoding: str, width: int, height: int, channels: int = 3) -> bytes:
    """A noisy picture as cv2 writes it."""
    _, suffix, options = ENCODINGS[encoding]
    if not cv2.haveImageWriter(f"x{suffix}"):
        pytest.skip(f"this cv2 writes no {suffix}")
    image = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    ok, data = cv2.imencode(suffix, image, options)
    assert ok
    return data.tobytes()


def header_of(data: bytes) -> PictureHeader | None:
    return read_picture_header(io.BytesIO(data))


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=25, deadline=None)
@given(width=SIDES, height=SIDES)
def test_size_is_what_cv2_encoded(encoding: str, width: int, height: int) -> None:
    data = encode(encoding, width, height)
    assert header_of(data) == PictureHeader(ENCODINGS[encoding][0], width, height)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_prefix_gives_the_size_or_none(encoding: str) -> None:
    data = encode(encoding, 37, 23)
    whole = header_of(data)
    found = [header_of(data[:length]) for length in range(min(len(data), 700))]
    assert set(found) <= {None, whole}
    assert found[8] is None


@given(start=st.sampled_from(["png", "jpeg", "webp-lossy", "bmp", "tiff"]), noise=st.binary(max_size=300))
def test_noise_after_the_magic_never_raises(start: str, noise: bytes) -> None:
    header = header_of(encode(start, 8, 8)[:12] + noise)
    assert header is None or (header.width >= 0 and header.height >= 0)


@given(noise=st.binary(max_size=64))
def test_noise_has_a_header_only_with_a_magic(noise: bytes) -> None:
    assert (header_of(noise) is None) or picture_format(noise) is not None


def test_webp_with_alpha_and_metadata_has_its_canvas_size() -> None:
    canvas = struct.pack("<I", 4000 - 1)[:3] + struct.pack("<I", 70_000 - 1)[:3]
    chunk = b"VP8X" + struct.pack("<I", 10) + b"\x10\0\0\0" + canvas
    data = b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
    assert header_of(data) == PictureHeader("WebP", 4000, 70_000)


def test_bmp_core_header_and_rows_from_the_top() -> None:
    core = b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 640, 480, 1, 24)
    top_down = b"BM" + bytes(12) + struct.pack("<Iii", 40, 640, -480)
    assert header_of(core) == header_of(top_down) == PictureHeader("BMP", 640, 480)


def test_tiff_of_either_byte_order_and_the_larger_of_two_sizes() -> None:
    def tiff(order: str, magic: bytes) -> bytes:
        entries = [(256, 3, 1, 50), (256, 4, 1, 90_000), (257, 4, 1, 60)]
        body = b"".join(
            struct.pack(f"{order}HHI", *entry[:3])
            + struct.pack(order + ("H" if entry[1] == 3 else "I"), entry[3]).ljust(4, b"\0")
            for entry in entries
        )
        return magic + struct.pack(f"{order}IH", 8, len(entries)) + body

    assert header_of(tiff("<", b"II*\0")) == PictureHeader("TIFF", 90_000, 60)
    assert header_of(tiff(">", b"MM\0*")) == PictureHeader("TIFF", 90_000, 60)


def test_jpeg_thumbnail_and_padding_are_stepped_over() -> None:
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + 13) + b"\xff\xc0" + struct.pack(">HBHHH", 9, 8, 5, 5, 0)
    frame = b"\xff\xff\xff\xc2" + struct.pack(">HBHH", 17, 8, 480, 640)
    assert header_of(b"\xff\xd8" + thumbnail + frame) == PictureHeader("JPEG", 640, 480)


def test_jpeg_of_endless_segments_ends() -> None:
    assert header_of(b"\xff\xd8" + b"\xff\xe0\0\x02" * 10_000) is None


@pytest.mark.parametrize("encoding", ["jpeg", "jpeg-progressive"])
def test_a_jpeg_is_whole_up_to_its_end_marker(encoding: str) -> None:
    data = encode(encoding, 40, 30)
    thumbnail = b"\xff\xe1" + struct.pack(">H", 4) + b"\xff\xd9"
    data = data[:2] + thumbnail + data[2:]
    assert is_whole_jpeg(io.BytesIO(data))
    assert is_whole_jpeg(io.BytesIO(data + b"\xff\xdaappended by a phone"))
    assert not any(is_whole_jpeg(io.BytesIO(data[:length])) for length in range(len(data) - 1))


def test_megapixels() -> None:
    assert PictureHeader("PNG", 20_000, 20_000).megapixels == pytest.approx(400)
