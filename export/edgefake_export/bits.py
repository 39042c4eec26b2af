"""Whole numbers at 2, 4 or 8 bits, as both formats store them: element 0 in the lowest bits, two's complement."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["pack_levels", "unpack_levels"]

CONTAINERS = (2, 4, 8)


def pack_levels(levels: NDArray[np.int8], bits: int) -> bytes:
    """Pack row by row, without padding between rows; the last byte is filled up with zeros.

    Args:
        levels: any shape, within -2^(bits-1) to 2^(bits-1) - 1.
        bits: 2, 4 or 8.

    Raises:
        ValueError: other bits, or a level that they cannot hold.
    """
    if bits not in CONTAINERS:
        raise ValueError(f"expected 2, 4 or 8 bits, got {bits}")
    half, per = 1 << (bits - 1), 8 // bits
    if levels.size and not (-half <= int(levels.min()) and int(levels.max()) < half):
        raise ValueError(f"expected levels of {bits} bits, got {levels.min()} to {levels.max()}")
    codes = levels.astype(np.int8).ravel().view(np.uint8) & ((1 << bits) - 1)
    codes = np.concatenate([codes, np.zeros(-len(codes) % per, np.uint8)]).reshape(-1, per)
    shifts = np.arange(per, dtype=np.uint8) * bits
    return bytes(np.bitwise_or.reduce(codes << shifts, axis=1).astype(np.uint8).tobytes())


def unpack_levels(raw: bytes, bits: int, shape: tuple[int, ...]) -> NDArray[np.int8]:
    """The inverse of `pack_levels`.

    Raises:
        ValueError: other bits, or another number of bytes than the shape takes.
    """
    if bits not in CONTAINERS:
        raise ValueError(f"expected 2, 4 or 8 bits, got {bits}")
    count, per, half = int(np.prod(shape, dtype=np.int64)), 8 // bits, 1 << (bits - 1)
    if len(raw) != -(-count // per):
        raise ValueError(f"expected {-(-count // per)} bytes, got {len(raw)}")
    packed = np.frombuffer(raw, np.uint8)[:, None]
    codes = (packed >> (np.arange(per, dtype=np.uint8) * bits)) & ((1 << bits) - 1)
    values = codes.ravel()[:count].astype(np.int16)
    return np.where(values >= half, values - 2 * half, values).astype(np.int8).reshape(shape)
