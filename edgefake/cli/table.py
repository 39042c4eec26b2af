"""`edgefake table`: the thesis' tables, and that of all exports, from checkpoints."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgefake_runtime.errors import UsageError

from .extras import require
from .output import is_terminal
from .table_export import export
from .table_output import Force, Limit, Out, Split, dataset_name, print_table, require_place, write_files

if TYPE_CHECKING:
    from edgefake.candidates import Candidate
    from edgefake.data.manifest import Sample
    from edgefake.ptq import PTQConfig
    from edgefake.table import PTQRow

__all__ = ["table"]

table = typer.Typer(
    help="Tables from checkpoints: ptq and finetune are the thesis' (4.2, 4.3), export is of all files.",
    no_args_is_help=True,
)

Checkpoints = Annotated[list[Path], typer.Argument(metavar="CHECKPOINT...", help="Checkpoint folders.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads; one per core otherwise.")]
Data = Annotated[
    Path,
    typer.Option(
        help="Manifest: CSV with the columns file,label,split. For classes other than real and fake also a folder "
        "in ImageNet's layout, val/<class>/*.JPEG; train need not be there."
    ),
]

ACCURACY = "Accuracy at 0.5 of the softmax of the raw logits (the larger one counts), without calibration."
TOP_1 = "Accuracy is top-1; a network sees of each picture what it saw at validation in training."


@table.command()
def ptq(
    checkpoints: Checkpoints,
    data: Data,
    split: Split = "val",
    methods: Annotated[str, typer.Option(help="Among absmax, zeropoint; with commas.")] = "absmax,zeropoint",
    bits: Annotated[str, typer.Option(help="Widths of the weights, 2 to 8; with commas.")] = "8,6,4,3,2",
    thesis_range: Annotated[
        bool, typer.Option("--thesis-range", help="The thesis' levels, 2^b + 1 of them, instead of 2^b.")
    ] = False,
    per: Annotated[str, typer.Option(help="One scale a tensor or one an output channel.")] = "tensor",
    layers: Annotated[str, typer.Option(help="Which to quantize: all or encoder.")] = "all",
    out: Out = None,
    force: Force = False,
    threads: Threads = None,
    limit: Limit = None,
) -> None:
    """Post-training quantization beside networks as they were trained (thesis table 4.2).

    A BitViT is ternary already and has its own row alone. The checkpoints are detectors of real and fake, or
    classifiers of the same other classes, such as ImageNet's.
    """
    _prepare(out, force=force, threads=threads)
    from edgefake.candidates import open_candidates
    from edgefake.compare import select
    from edgefake.data.crop_rule import read_crop_rule
    from edgefake.ptq import PTQConfig
    from edgefake.table import plot_ptq, ptq_plan, ptq_rows

    configs = [
        PTQConfig(method.strip(), width, per=per, thesis_range=thesis_range, layers=layers)
        for method in methods.split(",")
        for width in _widths(bits)
    ]
    candidates = open_candidates(checkpoints)
    classes, detectors = candidates[0].labels, candidates[0].detector
    samples = select(data, split=split, limit=limit, classes=classes)
    rule = read_crop_rule(data) if detectors else None
    plan = ptq_plan(candidates, configs)
    with _progress("scoring", len(samples) * len(plan)) as done:
        rows = ptq_rows(plan, samples, rule=rule, on_done=done)
    counts = f"{_counts(samples, candidates)} ({dataset_name(data)}, split {split})"
    text = print_table(rows, [f"{counts}. {ACCURACY if detectors else TOP_1}", *_about(configs, rows)])
    if out is not None:
        title = f"Post-training quantization, {len(samples):,} {_what(candidates)} of {dataset_name(data)}"
        write_files(out, rows, text, plot_ptq(rows, title=title, chance=1 / len(classes)))


@table.command()
def finetune(
    checkpoints: Checkpoints,
    data: Annotated[list[str], typer.Option(help="Manifest of face crops, or NAME=MANIFEST; may be repeated.")],
    split: Split = "val",
    out: Out = None,
    force: Force = False,
    threads: Threads = None,
    limit: Limit = None,
) -> None:
    """Detection by model and data set, with the AUC's 95 % interval (thesis table 4.3)."""
    _prepare(out, force=force, threads=threads)
    from edgefake.candidates import open_detectors
    from edgefake.compare import select
    from edgefake.data.crop_rule import read_crop_rule
    from edgefake.data.manifest import LABELS
    from edgefake.table import finetune_rows, plot_finetune

    detectors = open_detectors(checkpoints)
    manifests = _manifests(data)
    chosen = {name: select(path, split=split, limit=limit, classes=LABELS) for name, path in manifests.items()}
    rows, notes = [], []
    with _progress("scoring", sum(map(len, chosen.values())) * len(detectors)) as done:
        for dataset, manifest in manifests.items():
            samples, rule = chosen[dataset], read_crop_rule(manifest)
            rows += finetune_rows(detectors, samples, dataset=dataset, rule=rule, on_done=done)
            groups = len({sample.group for sample in samples})
            notes.append(f"{dataset}: {_counts(samples, detectors)} of {groups:,} groups, split {split}.")
    names = [detector.name for detector in detectors]
    rows.sort(key=lambda row: names.index(row.model))
    drawn = "bootstrap over the groups of the manifest (files where it names none), 2,000 draws"
    notes.append(f"{ACCURACY} AUC with its 95 % interval: {drawn}.")
    text = print_table(rows, notes)
    if out is not None:
        write_files(out, rows, text, plot_finetune(rows, title="Deepfake detection by model and data set"))


def _prepare(out: Path | None, *, force: bool, threads: int | None) -> None:
    """Refuse what cannot work before anything is read; set the threads."""
    require("train", "torch", "safetensors", *(["matplotlib"] if out is not None else []))
    import cv2
    import torch

    require_place(out, force=force)
    if threads is not None:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)


def _widths(text: str) -> list[int]:
    try:
        return [int(width) for width in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--bits: expected whole numbers from 2 to 8 with commas, got {text}") from error


def _manifests(specs: Sequence[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for spec in specs:
        name, equals, path = spec.partition("=")
        named = bool(equals) and not Path(spec).exists()
        manifest = Path(path if named else spec)
        name = name if named else dataset_name(manifest)
        if name in found:
            raise UsageError(f"--data: expected a name for each data set, got {name} twice; write NAME={manifest}")
        found[name] = manifest
    return found


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error where that is a terminal; yields what to tell of pictures as they are done."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not is_terminal(sys.stderr)) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


def _what(candidates: "Sequence[Candidate]") -> str:
    return "crops" if candidates[0].detector else "pictures"


def _counts(samples: "Sequence[Sample]", candidates: "Sequence[Candidate]") -> str:
    count = f"{len(samples):,} {_what(candidates)}"
    if candidates[0].detector:
        fakes = sum(sample.fake for sample in samples)
        return f"{count}, {len(samples) - fakes:,} real and {fakes:,} fake"
    shown, known = len({sample.label for sample in samples}), len(candidates[0].labels)
    return f"{count} of {known:,} classes" if shown == known else f"{count} of {shown:,} of the {known:,} classes"


def _about(configs: "Sequence[PTQConfig]", rows: "Sequence[PTQRow]") -> list[str]:
    """How the networks were quantized, where any was."""
    if all(row.method == "-" for row in rows):
        return ["Nothing to quantize: a BitViT is ternary already."]
    config = configs[0]
    notes = [
        f"Quantized: the weights of {'all layers' if config.layers == 'all' else 'the encoder'}, one scale a "
        f"{config.per}; activations at {config.activation_bits} bits, one scale a token (a picture, for "
        "convolutions). Bytes: packed weights with their scales and zero-points, everything else as float32."
    ]
    if config.thesis_range:
        notes.append(
            "The thesis' range [-Q, Q] has 2^b + 1 levels, which b bits cannot hold; bytes count b bits, as there."
        )
    return notes


table.command()(export)
