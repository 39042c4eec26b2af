"""Checkpoints -> files that were run and compared before they took their place."""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgefake.artefact import model_metadata
from edgefake.checkpoint import Checkpoint
from edgefake_runtime.errors import InputError, UsageError, printable
from edgefake_runtime.metadata import ModelMetadata

from .cells import Choices, Recipe, resolve
from .reference import Reference
from .rounding import require_finite, round_network
from .samples import sample_crops
from .verify import Drop, ExportReport, check, verify

if TYPE_CHECKING:
    from .tflite import Converter

__all__ = ["Export", "export_checkpoint", "export_file", "prepare_export"]

Measure = Callable[[nn.Module, Path], Drop]
"""A network as it was, and its file -> the AUC of both."""


@dataclass(frozen=True)
class Export:
    """What is exported, ready to be written.

    Attributes:
        original: the checkpoint's network.
        rounded: the same with the weights that the file will hold.
        recipe: of the file.
        metadata: kept in the file.
    """

    original: nn.Module
    rounded: nn.Module
    recipe: Recipe
    metadata: ModelMetadata

    def reference(self, crops: NDArray[np.uint8]) -> Reference:
        """What the file is compared with, on crops (n, S, S, 3)."""
        return Reference(self.rounded, crops, self.metadata, Reference(self.original, crops, self.metadata))


@contextlib.contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A new file beside `out` that takes its place when all went well, and is deleted otherwise."""
    with _writing(out):
        place = out.resolve()  # a link stays, what it leads to is replaced
        part = place.with_name(f".edgefake-{secrets.token_hex(8)}{place.suffix}")
        if place.exists() and not place.is_file():
            raise FileExistsError(0, "a folder, device or pipe")
        part.touch(exist_ok=False)
    try:
        yield part
        with _writing(out):
            part.replace(place)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Say it in one line when the file cannot be written."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links; a name that none can have
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{printable(out)}: expected a place to write to, got: {reason}") from error


def require_place(out: Path) -> None:
    """Refuse a file that cannot be written, before the work.

    Raises:
        InputError: it cannot.
    """
    with _writing(out), contextlib.suppress(_Tried), _replacing(out):
        raise _Tried


class _Tried(Exception):
    """A file could have been written."""


def prepare_export(
    checkpoint: Checkpoint,
    recipe: Recipe,
    *,
    metadata: ModelMetadata,
    calibration: Tensor | None = None,
    encoder: nn.Module | None = None,
) -> Export:
    """Round a checkpoint's weights as the recipe says.

    Args:
        checkpoint: the network; left as it is.
        recipe: of the file (see `resolve`).
        metadata: of the file; its `bits` must be the recipe's.
        calibration: (n, 3, S, S) inputs, for GPTQ and static activations.
        encoder: the network with its encoder rounded already (see `round_encoder`).

    Raises:
        UsageError: metadata for other bits, or no calibration where it is needed.
        ModelFileError: a weight is NaN or infinite.
    """
    if metadata.bits != recipe.bits:
        raise UsageError(f"expected metadata for {recipe.bits} bits, got {metadata.bits}")
    network = checkpoint.network
    require_finite(network)
    rounded = round_network(network, recipe, calibration=calibration, encoder=encoder)
    return Export(network, rounded, recipe, metadata)


def _written(export: Export, converter: "Converter | None") -> bytes:
    """The bytes of the file; each format's packages are loaded for it alone."""
    size, recipe = export.metadata.input_size, export.recipe
    example = torch.zeros(2, 3, size, size)
    if recipe.format == "onnx":
        from .onnx_convert import write_onnx

        model = write_onnx(export.rounded, example=example, recipe=recipe, metadata=export.metadata)
        return bytes(model.SerializeToString(deterministic=True))
    from .tflite import write_recipe

    return write_recipe(export.rounded, recipe, example=example, metadata=export.metadata, converter=converter)


def export_file(
    export: Export,
    out: Path,
    *,
    crops: NDArray[np.uint8],
    measure: Measure | None = None,
    converter: "Converter | None" = None,
) -> ExportReport:
    """Write a file, run it, compare it with torch, and only then put it in its place.

    Args:
        export: what to write (see `prepare_export`).
        out: the file to write or replace.
        crops: (n, S, S, 3) RGB faces to compare on.
        measure: of the AUC before and after; None for none.
        converter: to TFLite; litert-torch when None.

    Raises:
        UsageError: crops of another size, or layers that cannot be translated.
        InputError: `out` cannot be written.
        CheckFailedError: the file does not compute what torch computes, or costs too much; no new file is left.
    """
    return export_compared(export, out, reference=export.reference(crops), measure=measure, converter=converter)


def export_compared(
    export: Export,
    out: Path,
    *,
    reference: Reference,
    measure: Measure | None = None,
    converter: "Converter | None" = None,
) -> ExportReport:
    """`export_file` for several files of the same weights, which share what torch says of the crops."""
    start = time.monotonic()
    with _replacing(out) as part:
        data = _written(export, converter)
        with _writing(out):
            part.write_bytes(data)
        report = verify(reference, part)
        drop = None if measure is None else measure(export.original, part)
        report = replace(report, path=out, drop=drop)
        check(report)
    return replace(report, seconds=time.monotonic() - start)


def export_checkpoint(
    checkpoint: Checkpoint,
    out: Path,
    *,
    calibration: Tensor | None = None,
    **choices: Unpack[Choices],
) -> ExportReport:
    """A checkpoint of a detector as a verified file, in one call: what `edgefake export` does.

    Args:
        checkpoint: with its preprocessing.
        out: the file to write or replace; its ending, .onnx or .tflite, is the format.
        calibration: (n, 3, S, S) inputs, for GPTQ and static activations.
        choices: as in `resolve`: `bits`, `method`, `other`, ...

    Raises:
        UsageError: an ending or choices that are no legal cell.
        ModelFileError: a weight is NaN or infinite, or the checkpoint is of no detector.
        InputError: `out` cannot be written.
        CheckFailedError: the file does not compute what torch computes; no new file is left.
    """
    recipe = resolve(checkpoint.network, format=out.suffix.removeprefix(".").lower(), **choices)
    metadata = model_metadata(checkpoint, bits=recipe.bits, method=recipe.method)
    export = prepare_export(checkpoint, recipe, metadata=metadata, calibration=calibration)
    return export_file(export, out, crops=sample_crops(metadata.input_size))
