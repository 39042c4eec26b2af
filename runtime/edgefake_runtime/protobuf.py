"""Reading protobuf messages in place, such as ONNX files: fields, each with its number and its kind, in a row.

(https://protobuf.dev/programming-guides/encoding)
"""

from collections.abc import Iterator

__all__ = ["BYTES", "VARINT", "read_fields", "read_varint"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Kinds of fields."""


def read_fields(data: bytes, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, kind, value and end of each field of a message; the value of text and of messages is where they begin.

    Raises:
        ValueError: it is no such message, or a damaged one.
    """
    while start < stop:
        tag, start = read_varint(data, start, stop)
        kind, value = tag & 7, start
        if kind == VARINT:
            value, start = read_varint(data, start, stop)
        elif kind == BYTES:
            length, value = read_varint(data, start, stop)
            start = value + length
        elif kind in (FIXED64, FIXED32):
            start += 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if start > stop or tag < 8:
            raise ValueError("a field beyond its message")
        yield tag >> 3, kind, value, start


def read_varint(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """A number, seven bits a byte, the lowest first, and where the next begins."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= stop:
            break
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number that does not end")
