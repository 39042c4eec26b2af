"""Networks and checkpoints -> ONNX files."""

import contextlib
import io
import logging
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgefake.checkpoint import Checkpoint
from edgefake.models import BitLinear
from edgefake_runtime.errors import InputError, ModelFileError, UsageError
from edgefake_runtime.metadata import ModelMetadata

from .lower import TRANSLATIONS, lower
from .pack import finish
from .verify import ExportReport, check, verify

__all__ = ["BITS", "export_onnx", "to_onnx"]

BITS = (32, 2)
"""Widths of the encoder's weights that can be written."""

OPSET = 23
"""With RMSNormalization, Attention and Gelu: half the operators of opset 18. The newest that torch writes."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's exporter from printing, logging and warning about itself."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(io.StringIO()):
                yield
    finally:
        logging.disable(disabled)


def _require_bits(module: nn.Module, bits: int) -> None:
    if bits not in BITS:
        raise UsageError(f"expected {' or '.join(map(str, BITS))} bits, got {bits}")
    if bits == 2 and not any(isinstance(layer, BitLinear) for layer in module.modules()):
        raise UsageError(
            "expected a network with BitLinear layers for 2 bits, got one without: its weights "
            "are not ternary; export it at 32 bits, or train a bitvit"
        )


def _require_finite(module: nn.Module) -> None:
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelFileError(f"{name}: expected finite weights, got NaN or infinity; train it again")


def _trace(module: nn.Module, example: Tensor) -> onnx.ModelProto:
    """Torch's own export of a lowered module, with a free batch axis."""
    batch = example.detach().float().cpu()
    if len(batch) == 1:  # the exporter takes an axis of length 1 for a fixed one
        batch = torch.cat([batch, batch])
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module,
                (batch,),
                dynamo=True,
                input_names=["image"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=OPSET,
                custom_translation_table=TRANSLATIONS,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise UsageError(f"expected a network that torch.onnx.export can translate, got: {reason}") from error
    assert program is not None  # dynamo=True returns a program
    return program.model_proto


def to_onnx(module: nn.Module, *, example: Tensor, bits: int, metadata: ModelMetadata | None = None) -> onnx.ModelProto:
    """Write a network of BitLinear and ordinary layers as ONNX; the same network gives the same bytes.

    Args:
        module: any network with one input and one output, left as it is.
        example: an input (B, ...), float; B becomes free, other sizes stay.
        bits: 2 writes each BitLinear as exact integer arithmetic with 2-bit weights; 32 writes float32
            weights (of BitLinear: beta * W~, behind its activation quantizer).
        metadata: what the runtime needs to know, kept in the file.

    Returns:
        A model with input `image` and output `logits`.

    Raises:
        UsageError: other bits, 2 bits without BitLinear, or layers that the exporter cannot translate.
        ModelFileError: a weight is NaN or infinite.
    """
    _require_bits(module, bits)
    _require_finite(module)
    return finish(_trace(lower(module, bits=bits), example), metadata)


@contextlib.contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A new file beside `out` that takes its place when all went well, and is deleted otherwise."""
    out = out.resolve()  # a link stays, what it leads to is replaced
    part = out.with_name(f".edgefake-{os.getpid()}.part")
    try:
        if out.exists() and not out.is_file():
            raise FileExistsError(0, "a folder, device or pipe")
        part.touch()
        yield part
        part.replace(out)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{out}: expected a place to write to, got: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def export_onnx(
    checkpoint: Checkpoint, out: Path, *, bits: int, metadata: ModelMetadata, crops: NDArray[np.uint8]
) -> ExportReport:
    """Export a checkpoint, run the file, compare it with torch, and only then put it in its place.

    Args:
        checkpoint: the network and its name.
        out: the file to write or replace.
        bits: of the encoder's weights: 32 or 2.
        metadata: kept in the file; its `bits` must agree.
        crops: (n, S, S, 3) RGB faces to compare on.

    Raises:
        UsageError: bits that the network or the metadata do not have, or crops of another size.
        InputError: `out` cannot be written.
        ModelFileError: a weight is NaN or infinite.
        CheckFailedError: the file does not compute what torch computes; no new file is left.
    """
    if metadata.bits != bits:
        raise UsageError(f"expected metadata for {bits} bits, got {metadata.bits}")
    start = time.monotonic()
    network, size = checkpoint.network, metadata.input_size
    with _replacing(out) as part:
        model = to_onnx(network, example=torch.zeros(2, 3, size, size), bits=bits, metadata=metadata)
        part.write_bytes(model.SerializeToString(deterministic=True))
        report = replace(verify(network, part, metadata=metadata, crops=crops), path=out)
        check(report)
    return replace(report, seconds=time.monotonic() - start)
