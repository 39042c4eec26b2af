"""`edgefake evaluate`: how good a model is on labelled inputs."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import STDOUT, is_terminal, require_writable, show_warnings, write_json

if TYPE_CHECKING:
    from edgefake.evaluate import Evaluation
    from edgefake.manifest import Sample

__all__ = ["evaluate"]


def evaluate(
    manifest: Annotated[Path, typer.Argument(help="CSV with the columns file,label (real or fake).")],
    model: Annotated[
        Path | None, typer.Option(help="ONNX file made by `edgefake export`; the shipped model otherwise.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only the rows of this split.")] = None,
    crops: Annotated[bool, typer.Option("--crops", help="The pictures are face crops already.")] = False,
    every: Annotated[int, typer.Option(min=1, help="Score each n-th frame of a video.")] = 30,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="P(fake) from which an input counts as fake.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; one per core otherwise.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures as JSON to this file, or to - .")] = None,
) -> None:
    """Measure a model: AUC, accuracy, EER, log loss and calibration error.

    Inputs without a face or with an error are counted and left out of the rest; an error makes the
    exit code 3.
    """
    from edgefake.manifest import read_manifest

    require_writable(json)
    show_warnings()
    samples = read_manifest(manifest, split=split, required=("file", "label"))
    result = _measure(samples, model, crops=crops, every=every, threshold=threshold, threads=threads)
    for problem in result.problems:
        typer.echo(f"edgefake: {problem}", err=True)
    if json is not None:
        write_json(result.to_json(), json)
    if json != STDOUT:
        for name, value in asdict(result.metrics).items():
            shown = "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
            typer.echo(f"{name:10s}{shown:>10s}")
    if result.problems:
        raise typer.Exit(3)


def _measure(
    samples: list["Sample"],
    model: Path | None,
    *,
    crops: bool,
    every: int,
    threshold: float | None,
    threads: int | None,
) -> "Evaluation":
    import cv2
    from rich.console import Console
    from rich.progress import Progress

    from edgefake.evaluate import evaluate_crops, evaluate_media
    from edgefake_runtime import Classifier, DetectOptions, Detector

    with Progress(console=Console(stderr=True), transient=True, disable=not is_terminal(sys.stderr)) as progress:
        task = progress.add_task("evaluating", total=len(samples))
        if threads is not None:
            cv2.setNumThreads(threads)

        def done(count: int) -> None:
            progress.update(task, completed=count)

        if crops:
            return evaluate_crops(Classifier(model, threads=threads), samples, threshold=threshold, on_done=done)
        options = DetectOptions(every=every, threshold=threshold, threads=threads)
        return evaluate_media(Detector(model, options=options), samples, on_done=done)
