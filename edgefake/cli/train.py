"""`edgefake train`: a model from labelled face crops."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgefake_runtime.errors import UsageError

from .extras import require
from .output import is_terminal

if TYPE_CHECKING:
    from edgefake.train import EpochReport, TrainConfig

__all__ = ["train"]


def train(
    data: Annotated[Path, typer.Option(help="Manifest: CSV with the columns file,label,split.")],
    model: Annotated[str, typer.Option(help="Named configuration, such as bitvit-tiny.")],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoints best and last, and metrics.csv.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the train split.")] = 10,
    batch: Annotated[int, typer.Option(min=1, help="Images a step.")] = 64,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW, on matrices.")] = 1e-4,
    warmup: Annotated[float, typer.Option(help="Share of the steps in which the rate grows.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode and augment.")] = 1,
    precision: Annotated[str, typer.Option(help="float32, or bfloat16 for autocast.")] = "float32",
    compile: Annotated[bool, typer.Option("--compile", help="Run the network through torch.compile.")] = False,
    teacher: Annotated[Path | None, typer.Option(help="Checkpoint to distil from, of the same grid.")] = None,
    init: Annotated[Path | None, typer.Option(help="Checkpoint whose weights to start from.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the checkpoints of an earlier run.")] = False,
    crop_margin: Annotated[
        float | None, typer.Option(help="How the crops were cut, in box sides; measured from them otherwise.")
    ] = None,
) -> None:
    """Train a model on face crops: AdamW, cosine schedule with warm-up, validation AUC every epoch."""
    require("train", "torch", "safetensors")
    from edgefake.train import TrainConfig

    config = TrainConfig(
        model=model,
        data=data,
        out=out,
        epochs=epochs,
        batch=batch,
        lr=lr,
        weight_decay=weight_decay,
        warmup=warmup,
        seed=seed,
        workers=workers,
        precision=precision,
        compile=compile,
        teacher=teacher,
        init=init,
        crop_margin=crop_margin,
    )
    if not force and any((out / name / "config.json").exists() for name in ("best", "last")):
        raise UsageError(f"{out}: expected a folder without checkpoints, got an earlier run's; --force replaces them")
    _run(config)


def _run(config: "TrainConfig") -> None:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from edgefake.train import train

    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not is_terminal(sys.stderr)) as progress:
        task = progress.add_task("training", total=None)
        train(
            config,
            on_start=lambda images: progress.update(task, total=images),
            on_images=lambda images: progress.advance(task, images),
            on_epoch=_print_epoch,
        )
    typer.echo(f"checkpoints: {config.out / 'best'}, {config.out / 'last'}")


def _print_epoch(report: "EpochReport") -> None:
    typer.echo(
        f"epoch {report.epoch:3d}  loss {report.train_loss:.4f}  val AUC {report.val_auc:.4f}  "
        f"val accuracy {report.val_accuracy:.4f}  {report.images_per_s:.0f} images/s"
    )
