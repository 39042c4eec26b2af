"""What can be exported: one table of legal cells, and the reason why each other one is refused."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypedDict

from torch import nn

from edgefake.models import CNN, BitLinear
from edgefake_runtime.errors import UsageError

__all__ = [
    "BITS",
    "CELLS",
    "FORMATS",
    "METHODS",
    "OTHER",
    "Cell",
    "Choices",
    "Recipe",
    "kind_of",
    "legal_recipes",
    "resolve",
]

FORMATS = ("onnx", "tflite")
BITS = (32, 16, 8, 6, 4, 3, 2)
METHODS = ("qat", "absmax", "zeropoint", "gptq")
OTHER = (32, 16, 8, 4)
ACTIVATIONS = ("dynamic", "static")
PER = ("tensor", "channel")
STYLES = ("integer", "qdq")

QUANTIZED = (8, 6, 4, 3, 2)

LEAST_OTHER = 8
"""Outside the patch embedding no weight goes below 8 bits: heads and stems are small, and close to the answer."""


@dataclass(frozen=True)
class Cell:
    """A row of the table: every combination of what it lists is legal.

    Attributes:
        ternary: of networks with BitLinear, or of networks without.
        format: of the file.
        style: of an ONNX graph: "integer" or "qdq"; TFLite files are "integer".
        activations: "dynamic", one scale a token while running, or "static", one from calibration.
        method: how the weights came to their width; "float" for weights that were not quantized.
        bits: widths of the encoder's weights.
        per: "tensor" or "channel" scales.
    """

    ternary: bool
    format: str
    style: str
    activations: str
    method: str
    bits: tuple[int, ...]
    per: tuple[str, ...]


CELLS = (
    Cell(True, "onnx", "integer", "dynamic", "qat", (32, 16, 8, 4, 2), ("tensor",)),
    Cell(True, "onnx", "qdq", "static", "qat", (8, 4, 2), ("tensor",)),
    Cell(True, "tflite", "integer", "dynamic", "qat", (32, 16, 8, 4, 2), ("tensor",)),
    Cell(False, "onnx", "integer", "dynamic", "float", (32, 16), ("tensor",)),
    Cell(False, "onnx", "integer", "dynamic", "absmax", QUANTIZED, PER),
    Cell(False, "onnx", "integer", "dynamic", "zeropoint", QUANTIZED, PER),
    Cell(False, "onnx", "integer", "dynamic", "gptq", (4, 3, 2), PER),
    Cell(False, "onnx", "qdq", "static", "absmax", QUANTIZED, PER),
    Cell(False, "onnx", "qdq", "static", "gptq", (4, 3, 2), PER),
    Cell(False, "tflite", "integer", "dynamic", "float", (32, 16), ("tensor",)),
    Cell(False, "tflite", "integer", "dynamic", "absmax", QUANTIZED, PER),
    Cell(False, "tflite", "integer", "dynamic", "zeropoint", QUANTIZED, PER),
    Cell(False, "tflite", "integer", "dynamic", "gptq", (4, 3, 2), PER),
)
"""Everything that `edgefake export` writes."""


@dataclass(frozen=True)
class Recipe:
    """One cell, with every choice made.

    Attributes:
        ternary, format, style, activations, method, bits, per: as in `Cell`, one of each.
        other: width of the patch embedding's weights: 32, 16, 8 or 4. Everything else that is not ternary (heads,
            stems) has the same, but 8 at least.
        older_runtimes: written for older runtimes: older operators and weights below 8 bits packed into bytes (ONNX),
            or 2-bit weights at 4 bits (TFLite).
    """

    ternary: bool
    format: str
    style: str
    activations: str
    method: str
    bits: int
    per: str
    other: int
    older_runtimes: bool = False

    @property
    def calibrated(self) -> bool:
        """Whether it needs pictures to calibrate on."""
        return self.method == "gptq" or self.activations == "static"

    @property
    def least_other(self) -> int:
        """Width of what is neither ternary nor the patch embedding."""
        return max(self.other, LEAST_OTHER)

    @property
    def least_container(self) -> int:
        """The smallest width that a weight is stored at."""
        return 4 if self.older_runtimes and self.format == "tflite" else 2


class Choices(TypedDict, total=False):
    """What may be said of an export; `resolve` fills in the rest."""

    bits: int | None
    method: str | None
    activations: str | None
    per: str | None
    style: str | None
    other: int | None
    older_runtimes: bool


def kind_of(module: nn.Module) -> str:
    """Say "bitvit" for any network with BitLinear, else "cnn" or "linvit": whose cells are the same."""
    if any(isinstance(layer, BitLinear) for layer in module.modules()):
        return "bitvit"
    return "cnn" if isinstance(module, CNN) else "linvit"


def _default_other(bits: int) -> int:
    return 4 if bits <= 3 else min(max(bits, 8), 32)


def legal_recipes(*, ternary: bool) -> Iterator[Recipe]:
    """Every legal combination, with the default width of what is not ternary; older runtimes' files last."""
    older = []
    for cell in CELLS:
        if cell.ternary != ternary:
            continue
        for bits in cell.bits:
            for per in cell.per:
                recipe = Recipe(
                    ternary, cell.format, cell.style, cell.activations, cell.method, bits, per, _default_other(bits)
                )
                yield recipe
                if _has_older(recipe):
                    older.append(replace(recipe, older_runtimes=True))
    yield from older


def _has_older(recipe: Recipe) -> bool:
    if recipe.format == "onnx":
        return recipe.style == "integer"
    return recipe.bits == 2 and recipe.method != "zeropoint"


def _known(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise UsageError(f"--{name}: expected {', '.join(map(str, known[:-1]))} or {known[-1]}, got {value}")


def resolve(
    module: nn.Module,
    *,
    format: str = "onnx",
    bits: int | None = None,
    method: str | None = None,
    activations: str | None = None,
    per: str | None = None,
    style: str | None = None,
    other: int | None = None,
    older_runtimes: bool = False,
) -> Recipe:
    """Fill in what was not said, and refuse what cannot be.

    Args:
        module: what is exported.
        format: "onnx" or "tflite".
        bits: width of the encoder's weights; 2 for a network with BitLinear and 32 for another when None.
        method: "qat" for ternary networks; "absmax", "zeropoint" or "gptq" for others, absmax when None.
        activations: "dynamic", or "static" with `style` "qdq".
        per: one scale a "tensor", or one an output "channel" (GPTQ's default).
        style: of an ONNX graph, "integer" or "qdq".
        other: width of what is not ternary: the patch embedding; heads have 8 at least.
        older_runtimes: a form that older runtimes read.

    Raises:
        UsageError: an unknown value, or a combination that is not in `CELLS`; the message says why.
    """
    ternary = kind_of(module) == "bitvit"
    width = bits if bits is not None else (2 if ternary else 32)
    named = {"format": (format, FORMATS), "bits": (width, BITS), "method": (method, METHODS), "per": (per, PER)}
    named |= {"activations": (activations, ACTIVATIONS), "style": (style, STYLES), "other": (other, OTHER)}
    for name, (value, known) in named.items():
        if value is not None:
            _known(name, value, known)
    if style is None:
        style = "qdq" if activations == "static" else "integer"
    recipe = Recipe(
        ternary=ternary,
        format=format,
        style=style,
        activations=activations or ("static" if style == "qdq" else "dynamic"),
        method=_method(method, width, ternary=ternary),
        bits=width,
        per=per or ("channel" if method == "gptq" else "tensor"),
        other=other if other is not None else _default_other(width),
        older_runtimes=older_runtimes,
    )
    reason = _why_not(recipe)
    if reason:
        raise UsageError(reason)
    return recipe


def _method(method: str | None, bits: int, *, ternary: bool) -> str:
    if method is not None:
        return method
    if ternary:
        return "qat"
    return "absmax" if bits < 16 else "float"


def _legal(recipe: Recipe) -> bool:
    return any(
        (cell.ternary, cell.format, cell.style, cell.activations, cell.method)
        == (recipe.ternary, recipe.format, recipe.style, recipe.activations, recipe.method)
        and recipe.bits in cell.bits
        and recipe.per in cell.per
        for cell in CELLS
    )


def _why_not(recipe: Recipe) -> str | None:
    """The reason why a recipe is refused; None for a legal one."""
    if recipe.older_runtimes and not _has_older(recipe):
        return _why_not_older(recipe)
    if _legal(recipe):
        return _why_not_other(recipe)
    return _why_not_method(recipe) or _why_not_style(recipe)


def _why_not_older(recipe: Recipe) -> str:
    if recipe.style == "qdq" and recipe.format == "onnx":
        return "--older-runtimes: expected the integer style, got qdq: QuantizeLinear came with newer runtimes"
    if recipe.bits != 2:
        return (
            f"--older-runtimes: expected --bits 2 for tflite, got {recipe.bits}: every LiteRT reads it as it is, "
            "so leave it out"
        )
    return (
        f"--older-runtimes: expected weights without zero-points at 2 bits for tflite, got {recipe.method}: take "
        "--method absmax or gptq, or --bits 4"
    )


def _why_not_other(recipe: Recipe) -> str | None:
    if recipe.bits >= 16 and recipe.other < 16:
        return (
            f"--other: expected 32 or 16 beside {recipe.bits}-bit weights, got {recipe.other}: what is not ternary "
            "would be the coarser part; take fewer --bits"
        )
    return None


def _why_not_method(recipe: Recipe) -> str | None:
    return _why_not_ternary(recipe) if recipe.ternary else _why_not_float(recipe)


def _why_not_ternary(recipe: Recipe) -> str | None:
    method, bits = recipe.method, recipe.bits
    if method != "qat":
        return (
            f"--method: expected qat, got {method}: BitLinear weights are ternary already; quantize a LinViT or a CNN"
        )
    if bits in (6, 3):
        return (
            f"--bits: expected 32, 16, 8, 4 or 2, got {bits}: ternary values need 2 bits and no runtime stores {bits}"
        )
    if recipe.per == "channel":
        return "--per: expected tensor, got channel: a BitLinear has one scale"
    return None


def _why_not_float(recipe: Recipe) -> str | None:
    method, bits = recipe.method, recipe.bits
    if method == "qat":
        return "--method: expected absmax, zeropoint or gptq, got qat: the network has no BitLinear; train a bitvit"
    if bits >= 16 and method != "float":
        return (
            f"--method: expected none at {bits} bits, got {method}: nothing is quantized there; take --bits 8 or fewer"
        )
    if method == "gptq" and bits > 4:
        return f"--method: expected absmax or zeropoint at {bits} bits, got gptq: rounding to nearest is as good there"
    return None


def _why_not_style(recipe: Recipe) -> str:
    if recipe.format == "tflite" and recipe.style == "qdq":
        return (
            "--style, --activations: expected dynamic activations for tflite, got static ones: LiteRT's static int8 "
            "falls into 53 XNNPACK partitions and misses parity; write --format onnx --style qdq"
        )
    if recipe.style == "qdq" and recipe.activations == "dynamic":
        return "--activations: expected static with --style qdq, got dynamic: QuantizeLinear has no scale a token"
    if recipe.style == "integer" and recipe.activations == "static":
        return "--style: expected qdq with static activations, got integer, whose scales are taken while running"
    if recipe.method == "zeropoint":
        return "--method: expected absmax or gptq with --style qdq, got zeropoint: compilers want symmetric weights"
    if recipe.per == "channel":
        return f"--per: expected tensor at {recipe.bits} bits, got channel: nothing has a scale there"
    return f"--bits: expected 8, 4 or 2 with --style qdq, got {recipe.bits}: at {recipe.bits} nothing is quantized"
