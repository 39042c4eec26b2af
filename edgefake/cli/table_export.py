"""`edgefake table export`: every file that a checkpoint can become, measured side by side."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgefake_runtime.errors import CheckFailedError, UsageError

from .export import _folder
from .extras import require
from .output import progress_bar, unwinding
from .table_output import Force, Limit, Out, Split, dataset_name, print_table, require_place, write_files

if TYPE_CHECKING:
    from edgefake.checkpoint import Checkpoint
    from edgefake_export import Recipe
    from edgefake_export.table import ExportRow, Subject, WrittenFile

__all__ = ["export"]

VERSIONS = ("torch", "onnx", "onnxruntime", "litert-torch", "ai-edge-litert")
"""Packages that a table depends on."""


@dataclass(frozen=True)
class _Entrant:
    """A checkpoint, what rows call it, and the recipes of its files."""

    name: str
    checkpoint: "Checkpoint"
    trained: bool
    recipes: "list[Recipe]"
    left_out: int


@dataclass(frozen=True)
class _Inputs:
    """Where crops come from, and how the files are timed."""

    data: Path | None
    split: str
    limit: int | None
    compare: int | None
    calibration: Path | None
    rounds: int
    threads: int


@dataclass
class _Findings:
    """What the models gave, as far as the table has come."""

    rows: "list[ExportRow]" = field(default_factory=list)
    aucs: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    crops: str = ""


@unwinding()
def export(
    checkpoints: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CHECKPOINT",
            help="Checkpoint folders, or names of shipped models; the default model otherwise.",
        ),
    ] = None,
    untrained: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL", help="A configuration with weights that nobody trained, without AUC; may be repeated."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Manifest of labelled face crops: compare on them, and take the AUC.")
    ] = None,
    split: Split = "val",
    limit: Limit = None,
    compare: Annotated[
        int | None,
        typer.Option(
            min=1, help="Compare each file with torch on so many of the crops; 64 otherwise.", show_default=False
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Manifest whose split train calibrates gptq and static activations; --data otherwise."),
    ] = None,
    formats: Annotated[str, typer.Option(help="Among onnx, tflite; with commas.")] = "onnx,tflite",
    bits: Annotated[str, typer.Option(help="Widths of the encoder's weights; with commas.")] = "32,16,8,6,4,3,2",
    methods: Annotated[
        str, typer.Option(help="How weights come to their width; float: 32 and 16 bits of a network without BitLinear.")
    ] = "float,qat,absmax,zeropoint,gptq",
    out: Out = None,
    force: Force = False,
    threads: Annotated[int, typer.Option(min=1, help="Of the runs that are timed.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Timed runs of each file.")] = 20,
) -> None:
    """Every file that a checkpoint can become: bytes, error, AUC, and time beside its 32-bit ONNX file.

    All legal combinations are exported into a temporary folder, checked as `edgefake export` does, and timed in turns;
    no file is kept. The 32-bit ONNX file is always among them. One that fails its check has a row that says so, and
    the exit code is 5 then.
    """
    from edgefake_runtime.session import check_threads

    _require(formats, plot=out is not None)
    require_place(out, force=force)
    check_threads(threads)
    if compare is not None and data is None:
        raise UsageError(
            "--compare: expected --data beside it, got none: without it all 16 faces that ship are compared"
        )
    inputs = _Inputs(data, split, limit, compare, calibration or data, rounds, threads)
    calibrated = inputs.calibration is not None
    entrants = _entrants(checkpoints or [], untrained or [], _wanted(formats, bits, methods), calibrated=calibrated)
    found = _Findings()
    for entrant in entrants:
        _measure(entrant, inputs, found)
    title = _title(entrants)
    text = print_table(found.rows, _notes(entrants, inputs, found), title=f"**{title}.**" if title else "")
    if out is not None:
        from edgefake_export.table_plot import plot_export

        heading = "; ".join(part for part in ("Files of a checkpoint", title) if part)
        write_files(out, found.rows, text, plot_export(found.rows, title=heading, torch_auc=found.aucs))
    if found.reasons:
        raise CheckFailedError(
            f"expected {len(found.rows)} files that pass their checks, got {len(found.reasons)} that do not: "
            "the notes under the table say why"
        )


def _require(formats: str, *, plot: bool) -> None:
    """Say which extra is missing before anything is read."""
    require("export", "torch", "safetensors", "onnx", "onnxscript", "onnx_ir", "onnxslim")
    if "tflite" in formats:
        require("tflite", "litert_torch", "ai_edge_litert")
    if plot:
        require("train", "matplotlib")


def _wanted(formats: str, bits: str, methods: str) -> "Callable[[Recipe], bool]":
    """The filter that three options make."""
    from edgefake_export.cells import BITS, FORMATS
    from edgefake_export.table import METHODS_SHOWN

    kinds = _chosen("--formats", formats, FORMATS)
    widths = _chosen("--bits", bits, [str(width) for width in BITS])
    ways = _chosen("--methods", methods, METHODS_SHOWN)
    return lambda recipe: recipe.format in kinds and str(recipe.bits) in widths and recipe.method in ways


def _chosen(option: str, text: str, known: Sequence[str]) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    strange = [word for word in words if word not in known]
    if strange:
        expected = f"{', '.join(known[:-1])} or {known[-1]}"
        raise UsageError(f"{option}: expected {expected}, with commas; got {strange[0] or 'nothing'}")
    return words


def _entrants(
    checkpoints: Sequence[str], untrained: Sequence[str], wanted: "Callable[[Recipe], bool]", *, calibrated: bool
) -> list[_Entrant]:
    """Everything that is to be exported, read and refused before the first hour is spent."""
    from edgefake.artefact import model_metadata
    from edgefake.checkpoint import load_checkpoint
    from edgefake_export.table import plan_table
    from edgefake_export.table import untrained as make

    named: list[str | None] = [*dict.fromkeys(checkpoints)] or ([] if untrained else [None])
    read = [(str(each), load_checkpoint(_folder(each)), True) for each in named]
    read += [(each, make(each), False) for each in dict.fromkeys(untrained)]
    names = [model_metadata(checkpoint, bits=32).name for _, checkpoint, _ in read]
    count = Counter(names)
    found = []
    for (place, checkpoint, trained), name in zip(read, names, strict=True):
        every = plan_table(checkpoint.network, wanted)
        recipes = [recipe for recipe in every if calibrated or not recipe.calibrated]
        unique = name if count[name] == 1 else f"{name} ({place})"
        found.append(_Entrant(unique, checkpoint, trained, recipes, len(every) - len(recipes)))
    if all(len(each.recipes) == 1 and not wanted(each.recipes[0]) for each in found):
        cure = "name a manifest with --calibration" if any(each.left_out for each in found) else "widen the filters"
        raise UsageError(f"--formats, --bits, --methods: expected files that can be written, got none; {cure}")
    return found


def _measure(entrant: _Entrant, inputs: _Inputs, found: _Findings) -> None:
    """Export, score and time the files of one checkpoint; none is left when this ends, however it does."""
    from edgefake_export.table import time_files

    subject = _subject(entrant, inputs)
    with tempfile.TemporaryDirectory(prefix="edgefake-") as folder:
        files = _written(subject, entrant.recipes, Path(folder))
        with _progress(f"{entrant.name}: timing", len(files) - 1) as (done, _):
            rows, seconds = time_files(files, rounds=inputs.rounds, threads=inputs.threads, on_done=done)
    found.rows += rows
    found.reasons += [f"{entrant.name}, {file.reason}" for file in files if file.reason]
    if subject.auc is not None:
        found.aucs[entrant.name] = subject.auc
    if seconds is not None:
        found.seconds[entrant.name] = seconds
    if subject.faces is not None:
        fakes = int(subject.faces.fakes.sum())
        count = len(subject.faces.fakes)
        found.crops = f"{count:,} crops, {count - fakes:,} real and {fakes:,} fake"


def _subject(entrant: _Entrant, inputs: _Inputs) -> "Subject":
    from edgefake_export.labelled import COMPARED
    from edgefake_export.table import open_subject

    return open_subject(
        entrant.checkpoint,
        name=entrant.name,
        data=inputs.data,
        split=inputs.split,
        limit=inputs.limit,
        compare=inputs.compare or COMPARED,
        calibration=inputs.calibration if any(recipe.calibrated for recipe in entrant.recipes) else None,
        scored=entrant.trained,
    )


def _written(subject: "Subject", recipes: "Sequence[Recipe]", folder: Path) -> "list[WrittenFile]":
    """The files in the order of their recipes; a line on standard error when one is done."""
    from edgefake_export.table import write_files as write

    files = {}
    with _progress(f"{subject.name}: exporting", len(recipes)) as (done, show):
        for file in write(subject, recipes, folder):
            files[file.recipe] = file
            show(_line(file))
            done(1)
    return [files[recipe] for recipe in recipes]


@contextmanager
def _progress(doing: str, total: int) -> Iterator[tuple[Callable[[int], None], Callable[[str], None]]]:
    """A bar on a terminal; yields what moves it on, and what prints a line of standard error above it."""
    with progress_bar(doing, "files", transient=True) as bar:
        task = bar.add_task(doing, total=total)
        yield (
            lambda count: bar.advance(task, count),
            lambda line: bar.console.print(line, markup=False, highlight=False, soft_wrap=True),
        )


def _line(file: "WrittenFile") -> str:
    row = file.row
    what = f"{row.model}: {row.format} {row.style} {row.method} {row.per}, {row.bits} bits"
    what += ", for older runtimes" if file.recipe.older_runtimes else ""
    if row.bytes is None:
        return f"{what}: {row.check}"
    area = "" if row.auc is None else f", AUC {row.auc:.4f}"
    return f"{what}: {row.check}, {row.bytes:,} bytes, error {row.error:.1e}{area}, {row.seconds:.1f} s"


def _title(entrants: Sequence[_Entrant]) -> str:
    names = [each.checkpoint.model for each in entrants if not each.trained]
    return f"{' and '.join(names)}: untrained weights, sizes, errors and latency alone" if names else ""


def _notes(entrants: Sequence[_Entrant], inputs: _Inputs, found: _Findings) -> list[str]:
    notes = [
        f"{_about_crops(inputs, found)} Error: largest difference of a logit between the file and torch with the same "
        "rounded weights, over the rms of torch's logits. Rounding: rms of what rounding the weights did to the "
        "logits, over their rms. Style integer has dynamic activations, qdq static ones.",
        _about_times(inputs, found),
    ]
    left_out = sum(each.left_out for each in entrants)
    if left_out:
        notes.append(f"Left out, as they calibrate (gptq, qdq): {left_out}; name pictures with --calibration.")
    elif any(recipe.calibrated for each in entrants for recipe in each.recipes) and inputs.calibration is not None:
        notes.append(f"gptq and qdq are calibrated on {dataset_name(inputs.calibration)}, split train.")
    notes += [f"Failed: {reason}." for reason in found.reasons]
    return [*notes, _about_machine()]


def _about_crops(inputs: _Inputs, found: _Findings) -> str:
    if inputs.data is None:
        return "Compared on the 16 faces that ship; no AUC, which --data takes."
    place = f"{dataset_name(inputs.data)}, split {inputs.split}"
    if not found.aucs:
        return f"Compared on crops of {place}."
    areas = ", ".join(f"{name} {area:.4f}" for name, area in found.aucs.items())
    return f"{found.crops} ({place}); AUC of the checkpoint in torch: {areas}."


def _about_times(inputs: _Inputs, found: _Findings) -> str:
    clock = "CPU time on one thread" if inputs.threads == 1 else f"time on {inputs.threads} threads"
    units = ", ".join(f"{name} {1000 * seconds:.2f} ms" for name, seconds in found.seconds.items())
    return (
        f"Latency: {clock} of one picture, median of {inputs.rounds} runs in turns, over that of the model's 32-bit "
        f"ONNX file beside it ({units}). Widened: 2-bit weights run as 8-bit ones."
    )


def _about_machine() -> str:
    import datetime

    from edgefake_runtime import __version__
    from edgefake_runtime.cpu import processor
    from edgefake_runtime.needs import installed_version

    versions = ", ".join(f"{name} {found}" for name in VERSIONS if (found := installed_version(name)))
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    return f"{processor()}; edgefake {__version__}, {versions}; {today}."
