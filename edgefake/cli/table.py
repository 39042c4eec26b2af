"""`edgefake table`: the thesis' tables from checkpoints."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgefake_runtime.errors import UsageError

from .extras import require
from .output import is_terminal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from edgefake.ptq import PTQConfig
    from edgefake.table import LabelledCrops, PTQRow, Rows
    from edgefake.torch_classifier import TorchClassifier

__all__ = ["table"]

table = typer.Typer(help="Tables of the thesis from checkpoints: ptq (4.2), finetune (4.3).", no_args_is_help=True)

Checkpoints = Annotated[list[Path], typer.Argument(metavar="CHECKPOINT...", help="Checkpoint folders.")]
Split = Annotated[str, typer.Option(help="Only the rows of this split.")]
Out = Annotated[Path | None, typer.Option(help="Folder for table.md, table.csv and table.png.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an earlier table in it.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads; one per core otherwise.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many crops, drawn with a fixed seed.")]

ACCURACY = "Accuracy at 0.5 of the softmax of the raw logits (the larger one counts), without calibration."


@table.command()
def ptq(
    checkpoints: Checkpoints,
    data: Annotated[Path, typer.Option(help="Manifest of face crops: CSV with the columns file,label,split.")],
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

    A BitViT is ternary already and has its own row alone.
    """
    _prepare(out, force=force, threads=threads)
    from edgefake.ptq import PTQConfig
    from edgefake.table import names_of, plot_ptq, ptq_plan, ptq_row, read_crops, select

    configs = [
        PTQConfig(method.strip(), width, per=per, thesis_range=thesis_range, layers=layers)
        for method in methods.split(",")
        for width in _widths(bits)
    ]
    classifiers = _open(checkpoints)
    samples = select(data, split=split, limit=limit)
    plan, names = ptq_plan(classifiers, configs), names_of(classifiers)
    with _progress("scoring", len(samples) * (1 + len(plan))) as done:
        crops = read_crops(samples, classifiers, manifest=data, on_done=done)
        rows = [ptq_row(c, config, crops, name=names[c.path], on_done=done) for c, config in plan]
    text = _print(rows, [f"{_counts(crops)} ({_dataset(data)}, split {split}). {ACCURACY}", *_about(configs, rows)])
    if out is not None:
        title = f"Post-training quantization, {len(samples):,} crops of {_dataset(data)}"
        _write(out, rows, text, plot_ptq(rows, title=title))


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
    from edgefake.table import finetune_row, names_of, plot_finetune, read_crops, select

    classifiers = _open(checkpoints)
    names = names_of(classifiers)
    manifests = _manifests(data)
    samples = {name: select(path, split=split, limit=limit) for name, path in manifests.items()}
    rows, notes = [], []
    with _progress("scoring", sum(map(len, samples.values())) * (1 + len(classifiers))) as done:
        for dataset, manifest in manifests.items():
            crops = read_crops(samples[dataset], classifiers, manifest=manifest, on_done=done)
            rows += [finetune_row(c, crops, name=names[c.path], dataset=dataset, on_done=done) for c in classifiers]
            notes.append(f"{dataset}: {_counts(crops)} of {len(set(crops.groups)):,} groups, split {split}.")
    rows.sort(key=lambda row: list(names.values()).index(row.model))
    notes.append(f"{ACCURACY} AUC with its 95 % interval: bootstrap over identity groups, 2,000 draws.")
    text = _print(rows, notes)
    if out is not None:
        _write(out, rows, text, plot_finetune(rows, title="Deepfake detection by model and data set"))


def _prepare(out: Path | None, *, force: bool, threads: int | None) -> None:
    """Refuse what cannot work before anything is read; set the threads."""
    require("train", "torch", "safetensors", *(["matplotlib"] if out is not None else []))
    import cv2
    import torch

    from edgefake.table import FILES

    if out is not None:
        old = [name for name in FILES if os.path.lexists(out / name)]
        if old and not force:
            raise UsageError(f"{out}: expected a folder without a table, got one with {old[0]}; --force replaces it")
        out.mkdir(parents=True, exist_ok=True)
    if threads is not None:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)


def _widths(text: str) -> list[int]:
    try:
        return [int(width) for width in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--bits: expected whole numbers from 2 to 8 with commas, got {text}") from error


def _open(checkpoints: Sequence[Path]) -> list["TorchClassifier"]:
    from edgefake.torch_classifier import TorchClassifier

    return [TorchClassifier(folder) for folder in dict.fromkeys(checkpoints)]


def _dataset(manifest: Path) -> str:
    """A data set goes by the name of its manifest's folder."""
    return manifest.resolve().parent.name


def _manifests(specs: Sequence[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for spec in specs:
        name, equals, path = spec.partition("=")
        named = bool(equals) and not Path(spec).exists()
        manifest = Path(path if named else spec)
        name = name if named else _dataset(manifest)
        if name in found:
            raise UsageError(f"--data: expected a name for each data set, got {name} twice; write NAME={manifest}")
        found[name] = manifest
    return found


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error where that is a terminal; yields what to tell of crops as they are done."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not is_terminal(sys.stderr)) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


def _counts(crops: "LabelledCrops") -> str:
    fakes = int(crops.labels.sum())
    return f"{crops.labels.size:,} crops, {crops.labels.size - fakes:,} real and {fakes:,} fake"


def _about(configs: "Sequence[PTQConfig]", rows: "Sequence[PTQRow]") -> list[str]:
    """How the networks were quantized, where any was."""
    if all(row.method == "-" for row in rows):
        return ["Nothing to quantize: a BitViT is ternary already."]
    config = configs[0]
    notes = [
        f"Quantized: the weights of {'all layers' if config.layers == 'all' else 'the encoder'}, one scale a "
        f"{config.per}; activations at {config.activation_bits} bits, one scale a token. Bytes: packed weights with "
        "their scales, everything else as float32."
    ]
    if config.thesis_range:
        notes.append(
            "The thesis' range [-Q, Q] has 2^b + 1 levels, which b bits cannot hold; bytes count b bits, as there."
        )
    return notes


def _print(rows: "Rows", notes: Sequence[str]) -> str:
    from edgefake.table import markdown

    command = shlex.join(["edgefake", *sys.argv[1:]])
    text = markdown(rows, [*notes, f"`{command}`"])
    typer.echo(text, nl=False)
    return text


def _write(out: Path, rows: "Rows", text: str, figure: "Figure") -> None:
    from edgefake.table import FILES, write_table

    write_table(out, rows, text, figure)
    typer.echo(f"edgefake: wrote {', '.join(str(out / name) for name in FILES)}", err=True)
