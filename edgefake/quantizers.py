"""The thesis' two quantizers of weights and activations (section 3.5): absmax and zeropoint."""

from torch import Tensor

from edgefake_runtime.errors import UsageError

__all__ = ["EPSILON", "MAX_BITS", "MIN_BITS", "absmax", "dequantize", "require_bits", "zeropoint"]

MIN_BITS, MAX_BITS = 2, 8

EPSILON = 1e-5
"""Least magnitude or range that a scale is made from, as in BitLinear: constant inputs must not divide by zero."""


def require_bits(bits: int, name: str) -> None:
    """Refuse a width that is no whole number of 2 to 8 bits.

    Raises:
        UsageError: it is none; the message calls it `name`.
    """
    if not isinstance(bits, int) or isinstance(bits, bool) or not MIN_BITS <= bits <= MAX_BITS:
        raise UsageError(f"{name}: expected a width of {MIN_BITS} to {MAX_BITS} bits, got {bits}")


def _levels(bits: int, thesis_range: bool) -> tuple[int, int]:
    """Least and largest level, with Q = 2^(bits - 1): [-Q, Q - 1], or the thesis' [-Q, Q]."""
    require_bits(bits, "bits")
    half = 2 ** (bits - 1)
    return -half, half if thesis_range else half - 1


def absmax(
    x: Tensor, bits: int, *, over: tuple[int, ...] | None = None, thesis_range: bool = False
) -> tuple[Tensor, Tensor]:
    """Symmetric quantization by the largest magnitude (thesis eq. 3.35-3.36, in the range that b bits hold).

    Forward, with Q = 2^(b-1):

        gamma = (Q - 1) / max(max|x|, eps),  x~ = RoundClip(gamma x, -Q, Q - 1)

    and with `thesis_range`, as the thesis writes it:

        gamma = Q / max(max|x|, eps),        x~ = RoundClip(gamma x, -Q, Q)

    The first never reaches -Q: it has 2^b - 1 levels, three at 2 bits.

    There is no backward: rounding has no gradient, and nothing trains after it.

    Args:
        x: any shape, floating.
        bits: b, 2 to 8.
        over: dimensions that share a scale; None for all of them.
        thesis_range: use [-Q, Q], which has 2^b + 1 levels.

    Returns:
        Whole numbers of the shape and type of x, and gamma, of x's shape with 1 along `over`.

    Raises:
        UsageError: `bits` out of range.
    """
    low, high = _levels(bits, thesis_range)
    shared = tuple(range(x.ndim)) if over is None else over
    gamma = high / x.abs().amax(dim=shared, keepdim=True).clamp(min=EPSILON)
    return (x * gamma).round().clamp(low, high), gamma


def zeropoint(
    x: Tensor, bits: int, *, over: tuple[int, ...] | None = None, thesis_range: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Quantization of the range from the least to the largest value (thesis eq. 3.37-3.39, in b bits).

    Forward, with Q = 2^(b-1):

        gamma = (2Q - 1) / max(max(x) - min(x), eps),  z = round(-min(x) gamma - Q)
        x~ = RoundClip(gamma x + z, -Q, Q - 1)

    and with `thesis_range`, as the thesis writes it: 2Q in the place of 2Q - 1, clipped to [-Q, Q]. No backward.

    Args:
        x: any shape, floating.
        bits: b, 2 to 8.
        over: dimensions that share a scale; None for all of them.
        thesis_range: use [-Q, Q], which has 2^b + 1 levels.

    Returns:
        Whole numbers of the shape and type of x; gamma and z, of x's shape with 1 along `over`.

    Raises:
        UsageError: `bits` out of range.
    """
    low, high = _levels(bits, thesis_range)
    shared = tuple(range(x.ndim)) if over is None else over
    least, largest = x.amin(dim=shared, keepdim=True), x.amax(dim=shared, keepdim=True)
    gamma = (high - low) / (largest - least).clamp(min=EPSILON)
    zero = (low - least * gamma).round()
    return (x * gamma + zero).round().clamp(low, high), gamma, zero


def dequantize(levels: Tensor, gamma: Tensor, zero: Tensor | float = 0.0) -> Tensor:
    """Levels back to values: (x~ - z) / gamma, with z = 0 for absmax."""
    return (levels - zero) / gamma
