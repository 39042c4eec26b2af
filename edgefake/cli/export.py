"""`edgefake export`: a checkpoint as a file that runs without torch, verified."""

import io
import json as json_text
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgefake.whole import write_whole
from edgefake_runtime.errors import CheckFailedError, UsageError, printable
from edgefake_runtime.shipped import DEFAULT_MODEL, models_folder, shipped_folder

from .extras import require
from .output import STDOUT, progress_bar, require_writable, unwinding, write_text

if TYPE_CHECKING:
    from edgefake.checkpoint import Checkpoint
    from edgefake_export import Export, ExportReport, Recipe
    from edgefake_export.bundle import Bundle
    from edgefake_export.labelled import LabelledCrops
    from edgefake_export.tflite import Converter

__all__ = ["export"]

CONVERTERS = ("litert-torch", "onnx2tf")

PLATFORMS = ("android",)
"""What --bundle takes."""


@unwinding()
def export(
    checkpoint: Annotated[
        str | None,
        typer.Argument(
            help="Checkpoint folder, full or compact, or a shipped model's name; the default model otherwise."
        ),
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="Format of the file: onnx or tflite; by the ending of -o, else onnx.")
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(help="Width of the encoder's weights: 32, 16, 8, 6, 4, 3 or 2; 2 for a bitvit, else 32."),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="How weights get there: qat (a bitvit's own), absmax, zeropoint or gptq.")
    ] = None,
    activations: Annotated[
        str | None, typer.Option(help="8-bit scales: dynamic (one a token, while running) or static (calibrated).")
    ] = None,
    per: Annotated[str | None, typer.Option(help="One scale a tensor or one an output channel.")] = None,
    style: Annotated[
        str | None, typer.Option(help="ONNX graph: integer (fast on CPUs) or qdq (for compilers and NPUs).")
    ] = None,
    other: Annotated[
        int | None,
        typer.Option(
            help="Width of what is not ternary, the patch embedding: 32, 16, 8 or 4; the head has 8 at least."
        ),
    ] = None,
    older_runtimes: Annotated[
        bool,
        typer.Option(
            "--older-runtimes",
            help="For ONNX Runtime since 1.6 (older, slower operators) or LiteRT since 1.0 (2 bits kept in 4).",
        ),
    ] = False,
    converter: Annotated[str, typer.Option(help="To TFLite: litert-torch or onnx2tf.")] = CONVERTERS[0],
    data: Annotated[
        Path | None,
        typer.Option(help="Manifest of labelled face crops: compare on them, and print the AUC before and after."),
    ] = None,
    split: Annotated[str, typer.Option(help="Rows of --data to take, where it has splits.")] = "val",
    limit: Annotated[
        int | None, typer.Option(min=2, help="At most so many rows of --data, drawn with a fixed seed.")
    ] = None,
    max_drop: Annotated[
        float | None, typer.Option(min=0, max=1, help="Keep no file that costs more AUC than this; needs --data.")
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Manifest whose split train calibrates gptq and static activations; --data otherwise."),
    ] = None,
    blame: Annotated[
        bool, typer.Option("--blame", help="Rank layers by the error each adds: a table, and FILE.blame.{csv,png}.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write the report as JSON to this file, or to - .")] = None,
    bundle: Annotated[
        str | None,
        typer.Option(help="Fill a folder for an app, face detector and licences included: android. -o is the folder."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; NAME-BITSbit.FORMAT here otherwise.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file, or an earlier bundle.")] = False,
) -> None:
    """Export a checkpoint, run the file on real face crops and compare it with torch.

    A file that misses its tolerance, or --max-drop, is not written; the exit code is 5 then. What may be combined
    with what is in docs/export.md.
    """
    kind = _format(format, output) if bundle is None else _bundle_format(bundle, format, blame=blame)
    _require_data(data, {"--max-drop": max_drop, "--limit": limit, "--split": None if split == "val" else split})
    if converter not in CONVERTERS or (converter != CONVERTERS[0] and kind != "tflite"):
        raise UsageError(f"--converter: expected {' or '.join(CONVERTERS)}, to tflite; got {converter}, to {kind}")
    require_writable(json)
    _require(kind, converter, blame=blame)
    from edgefake.checkpoint import load_checkpoint
    from edgefake_export import resolve

    folder = _folder(checkpoint)
    loaded = load_checkpoint(folder)
    recipe = resolve(
        loaded.network,
        format=kind,
        bits=bits,
        method=method,
        activations=activations,
        per=per,
        style=style,
        other=other,
        older_runtimes=older_runtimes,
    )
    if calibration is not None and not recipe.calibrated:
        raise UsageError("--calibration: expected gptq or static activations, which alone calibrate; leave it out")
    name = _file_name(loaded, recipe)
    target = output or Path(name if bundle is None else f"{name.removesuffix('.tflite')}-{bundle}")
    _require_own_json(json, [target, *(_blamed(target) if blame else ()), folder / "config.json"])
    if bundle is None:
        _require_places([target, *(_blamed(target) if blame else ())], force=force)
    else:
        _require_folder(target, force=force)
    labelled = _labelled(data, loaded, recipe, split=split, limit=limit)
    export = _prepare(loaded, recipe, calibration or data)
    write = partial(_write, export, labelled=labelled, max_drop=max_drop, converter=converter)
    try:
        made: ExportReport | Bundle = write(target) if bundle is None else _write_bundle(target, write, folder)
    except CheckFailedError:
        if blame:
            _blame(export, None, labelled)
        raise
    if json is not None:
        write_text(json_text.dumps(made.as_json(), indent=2, allow_nan=False), json)
    if json != STDOUT:
        _print_made(made)
    if blame:
        _blame(export, target, labelled, quiet=json == STDOUT)


def _require_own_json(json: Path | None, others: Sequence[Path]) -> None:
    """Refuse a report that would take the place of a file of the export or the checkpoint, or lie in the bundle."""
    if json is None or json == STDOUT:
        return
    place = json.resolve()
    if any(place == other.resolve() or other.resolve() in place.parents for other in others):
        raise UsageError(f"--json: expected a file of its own, got {json}, which is the model's or the checkpoint's")


def _require_places(places: Sequence[Path], *, force: bool) -> None:
    """Refuse files that exist or cannot be written, before the work."""
    from edgefake_export.file import require_place

    for place in places:
        if os.path.lexists(place) and (not force or place.is_dir()):
            got = "a folder" if place.is_dir() else "an existing one; --force replaces it"
            raise UsageError(f"{printable(place)}: expected a new file, got {got}")
    for place in places:
        require_place(place)


def _require_folder(target: Path, *, force: bool) -> None:
    from edgefake_export.bundle_folder import require_folder

    require_folder(target, force=force)


def _write_bundle(target: Path, write: "Callable[[Path], ExportReport]", checkpoint: Path) -> "Bundle":
    from edgefake_export.bundle import write_bundle

    return write_bundle(target, write, checkpoint=checkpoint)


def _require_data(data: Path | None, given: Mapping[str, object]) -> None:
    """Refuse options that say something of labelled crops where there are none."""
    for option, value in given.items():
        if data is None and value is not None:
            raise UsageError(f"{option}: expected labelled crops beside it, got none; name a manifest with --data")


def _format(format: str | None, output: Path | None) -> str:
    ending = output.suffix.removeprefix(".").lower() if output is not None else ""
    known = ending if ending in ("onnx", "tflite") else None
    if output is not None and known is None:
        raise UsageError(f"--output: expected a name that ends with .onnx or .tflite, got {printable(output)}")
    if format is not None and known is not None and format != known:
        raise UsageError(
            f"--output: expected a name that ends with .{format}, got {output}; leave --format out or rename"
        )
    return format or known or "onnx"


def _bundle_format(platform: str, format: str | None, *, blame: bool) -> str:
    """TFLite, the one format of a bundle's networks."""
    if platform not in PLATFORMS:
        raise UsageError(f"--bundle: expected {' or '.join(PLATFORMS)}, got {printable(platform)}")
    if format not in (None, "tflite"):
        raise UsageError(
            f"--bundle {platform}: expected --format tflite, got {printable(format)}; an app runs classifier and face "
            "detector in one runtime, LiteRT, which reads TFLite alone"
        )
    if blame:
        raise UsageError("--blame: expected a single file to write beside, got a bundle; leave one of them out")
    return "tflite"


def _require(kind: str, converter: str, *, blame: bool) -> None:
    """Say which extra is missing before anything is read."""
    if kind == "tflite" and converter == CONVERTERS[0]:
        require("tflite", "torch", "safetensors", "litert_torch", "ai_edge_litert")
    else:
        require("export", "torch", "safetensors", "onnx", "onnxscript", "onnx_ir", "onnxslim")
    if kind == "tflite":
        require("tflite", "ai_edge_litert")
    if blame:
        require("train", "matplotlib")


def _folder(checkpoint: str | None) -> Path:
    """Of the checkpoint: where it says, or among those that ship."""
    if checkpoint is None:
        return models_folder() / DEFAULT_MODEL
    return shipped_folder(checkpoint) or Path(checkpoint)


def _file_name(checkpoint: "Checkpoint", recipe: "Recipe") -> str:
    """Such as linvit-tiny-gptq-4bit.onnx: what tells it from the other files of the checkpoint, and its ending."""
    from edgefake_export import resolve

    called = str(checkpoint.metadata.get("name") or checkpoint.model)
    name = re.sub(r"[^\w.+-]+", "-", called).strip("-.") or checkpoint.model
    how = "" if recipe.method in ("qat", "float") else f"-{recipe.method}"
    usual = resolve(checkpoint.network, format=recipe.format, bits=recipe.bits, method=_named(recipe))
    per = "" if recipe.per == usual.per else f"-{recipe.per}"
    other = "" if recipe.other == usual.other else f"-other{recipe.other}"
    style = "-qdq" if recipe.style == "qdq" else ""
    older = "-older" if recipe.older_runtimes else ""
    return f"{name}{how}{per}-{recipe.bits}bit{other}{style}{older}.{recipe.format}"


def _named(recipe: "Recipe") -> str | None:
    return None if recipe.method == "float" else recipe.method


def _blamed(target: Path) -> tuple[Path, Path]:
    """The files of --blame."""
    return target.with_name(f"{target.name}.blame.csv"), target.with_name(f"{target.name}.blame.png")


def _labelled(
    data: Path | None, checkpoint: "Checkpoint", recipe: "Recipe", *, split: str, limit: int | None
) -> "LabelledCrops | None":
    if data is None:
        return None
    from edgefake.artefact import model_metadata
    from edgefake_export.labelled import LabelledCrops

    metadata = model_metadata(checkpoint, bits=recipe.bits)
    return LabelledCrops.read(data, metadata, split=split, limit=limit)


def _prepare(checkpoint: "Checkpoint", recipe: "Recipe", calibration: Path | None) -> "Export":
    from edgefake.artefact import model_metadata
    from edgefake_export import prepare_export
    from edgefake_export.labelled import CALIBRATION, LabelledCrops

    metadata = model_metadata(checkpoint, bits=recipe.bits, method=recipe.method)
    inputs = None
    if recipe.calibrated and calibration is not None:
        inputs = LabelledCrops.read(calibration, metadata, split="train", limit=CALIBRATION).inputs()
    return prepare_export(checkpoint, recipe, metadata=metadata, calibration=inputs)


def _converter(name: str) -> "Converter | None":
    """None for the usual one."""
    if name == CONVERTERS[0]:
        return None
    from edgefake_export.onnx2tf import convert_module

    return convert_module


def _write(
    export: "Export", target: Path, *, labelled: "LabelledCrops | None", max_drop: float | None, converter: str
) -> "ExportReport":
    from edgefake_export import export_file, sample_crops
    from edgefake_export.labelled import COMPARED

    way = _converter(converter)
    if labelled is None:
        return export_file(export, target, crops=sample_crops(export.metadata.input_size), converter=way)
    with progress_bar("measuring", "crops", transient=True) as bar:
        task = bar.add_task("measuring", total=len(labelled.samples))
        return export_file(
            export,
            target,
            crops=labelled.draw(COMPARED).crops(),
            measure=lambda network, path: labelled.measure(
                network, path, limit=max_drop, on_done=lambda count: bar.advance(task, count)
            ),
            converter=way,
        )


def _widths(report: "ExportReport") -> str:
    """Such as "encoder 2 (884,736 bytes), patch embedding 4 (368,640 bytes)".

    Each part's main width, and others that take a hundredth of the file or more; not the shapes of a graph (64 bits).
    """
    widths = {part: {bits: size for bits, (_, size) in of.items() if bits <= 32} for part, of in report.parts.items()}
    found = [(size, part, bits) for part, of in widths.items() for bits, size in of.items()]
    main = {part: max(of.values()) for part, of in widths.items() if of}
    shown = sorted((e for e in found if e[0] == main[e[1]] or 100 * e[0] >= report.bytes), reverse=True)
    return ", ".join(f"{part} {bits} ({size:,} bytes)" for size, part, bits in shown)


def _print_made(made: "ExportReport | Bundle") -> None:
    from edgefake_export.bundle import Bundle

    if not isinstance(made, Bundle):
        _print_report(made)
        return
    _print_report(made.report)
    rows = [*((file.file, file.bytes, file.holds) for file in made.files), ("total", made.bytes, "")]
    wide = max(len(name) for name, _, _ in rows)
    typer.echo(f"\n{printable(made.folder)}: {len(made.files)} files, bytes:")
    for name, size, holds in rows:
        typer.echo(f"{name:{wide}} {size:>11,}  {holds}".rstrip())


def _print_report(report: "ExportReport") -> None:
    typer.echo(f"{printable(report.path)}: {report.bytes:,} bytes, {report.format}, for {report.needs} or newer")
    typer.echo(f"bits: {_widths(report)}")
    edge = report.samples - report.certain
    agreeing = f"{report.agreeing} of {report.samples} verdicts identical"
    if report.agreeing < report.samples:
        agreeing += f" ({edge} lie at the edge of one)"
    typer.echo(
        f"against torch on {report.samples} faces: largest error {report.max_error:.2e}, mean {report.mean_error:.2e}, "
        f"{report.relative:.1e} of the logits' rms (limit {report.tolerance:.1e}); {agreeing}"
    )
    typer.echo(f"rounding moved the logits by {report.rounding:.1%} of their rms; {report.seconds:.1f} s")
    if report.drop is not None:
        drop = report.drop
        typer.echo(
            f"AUC on {drop.samples:,} crops: {drop.before:.4f} before, {drop.after:.4f} after ({-drop.drop:+.4f})"
        )


def _blame(export: "Export", target: Path | None, labelled: "LabelledCrops | None", *, quiet: bool = False) -> None:
    """Print the ranking, and write it beside the file, where one was kept."""
    import torch

    from edgefake_export import sample_crops
    from edgefake_export.blame import blame, blame_csv, blame_table, plot_blame
    from edgefake_export.labelled import BLAMED
    from edgefake_runtime.crops import normalize

    if labelled is None:
        metadata = export.metadata
        crops = sample_crops(metadata.input_size)
        images, fakes = torch.from_numpy(normalize(crops, metadata.mean, metadata.std)), None
    else:
        drawn = labelled.draw(BLAMED)
        images, fakes = drawn.inputs(), drawn.fakes
    rows = blame(export.original, export.rounded, images, fakes=fakes)
    if not rows:
        typer.echo("edgefake: nothing to blame: no layer is rounded", err=True)
        return
    if not quiet:
        typer.echo(blame_table(rows))
    if target is None:
        return
    table, picture = _blamed(target)
    drawing = io.BytesIO()
    plot_blame(rows, title=f"{target.name}: error that each layer adds").savefig(drawing, dpi=120, format="png")
    write_whole(table, blame_csv(rows).encode())
    write_whole(picture, drawing.getvalue())
    typer.echo(f"edgefake: wrote {table}, {picture}", err=True)
