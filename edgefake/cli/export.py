"""`edgefake export`: a checkpoint as a file that runs without torch, verified."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgefake_runtime.errors import UsageError
from edgefake_runtime.shipped import DEFAULT_MODEL, models_folder

from .extras import require

if TYPE_CHECKING:
    from edgefake_export import ExportReport

__all__ = ["export"]


def export(
    checkpoint: Annotated[
        Path | None, typer.Argument(help="Checkpoint folder, full or compact; the shipped model otherwise.")
    ] = None,
    format: Annotated[str, typer.Option(help="Format of the file: onnx.")] = "onnx",
    bits: Annotated[int, typer.Option(help="Width of the encoder's weights: 32 or 2.")] = 2,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; NAME-BITSbit.onnx here otherwise.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Export a checkpoint, run the file on real face crops and compare it with torch.

    A file that misses its tolerance is not written; the exit code is 5 then.
    """
    if format != "onnx":
        raise UsageError(f"--format: expected onnx, got {format}")
    if bits not in (32, 2):
        raise UsageError(f"--bits: expected 32 or 2, got {bits}")
    folder = models_folder() / DEFAULT_MODEL if checkpoint is None else checkpoint
    require("export", "torch", "safetensors", "onnx", "onnxscript", "onnx_ir")
    from edgefake.artefact import model_metadata
    from edgefake.checkpoint import load_checkpoint
    from edgefake_export import export_onnx, sample_crops

    loaded = load_checkpoint(folder)
    metadata = model_metadata(loaded, bits=bits)
    target = output or Path(f"{Path(metadata.name).name}-{bits}bit.onnx")
    if os.path.lexists(target) and not force:
        raise UsageError(f"{target}: expected a new file, got an existing one; --force replaces it")
    crops = sample_crops(metadata.input_size)
    report = export_onnx(loaded, target, bits=bits, metadata=metadata, crops=crops)
    _print_report(report)


def _print_report(report: "ExportReport") -> None:
    ternary = (
        f", {report.ternary_weights} ternary weights in {report.ternary_bytes} bytes" if report.ternary_weights else ""
    )
    typer.echo(f"{report.path}: {report.bytes} bytes, {report.bits} bits{ternary}")
    typer.echo(
        f"parity with torch on {report.samples} faces: largest error {report.max_error:.2e}, "
        f"mean {report.mean_error:.2e}, {report.relative:.1e} of the logits' rms (limit {report.tolerance:.0e}); "
        f"verdicts {'identical' if report.same_verdicts else 'differ'}; {report.seconds:.1f} s"
    )
