"""`edgefake calibrate`: scores that are probabilities, a threshold, a band and a floor of quality, for a checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from .extras import require
from .output import stages

__all__ = ["calibrate"]


def calibrate(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder; what is fitted is written into it.")],
    data: Annotated[Path, typer.Option(help="Manifest of labelled face crops: file,label,split,identity_group.")],
    split: Annotated[str, typer.Option(help="Rows of this split.")] = "val",
    half: Annotated[
        str,
        typer.Option(
            help="fit: half of the identity groups, so that the rest can tell how good it is; all: every row."
        ),
    ] = "fit",
    max_error: Annotated[
        float, typer.Option(min=0.01, max=0.5, help="Share of wrong verdicts outside the uncertain band.")
    ] = 0.2,
    drop: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="Loss of AUC from which small and soft faces are set aside.")
    ] = 0.05,
    through: Annotated[
        Path | None, typer.Option(help="File exported from it, whose answers are fitted instead of torch's.")
    ] = None,
) -> None:
    """Fit calibration, threshold, uncertain band, ROC curve and quality floor; exports made afterwards carry them."""
    require("train", "torch", "safetensors")
    from edgefake.fit import fit_checkpoint

    with stages() as progress:
        task = progress.add_task("calibrating", total=None)
        fitted = fit_checkpoint(
            checkpoint,
            data,
            split=split,
            half=half,
            max_error=max_error,
            drop=drop,
            through=through,
            on_step=lambda: progress.advance(task),
        )
    for line in fitted.lines():
        typer.echo(line)
