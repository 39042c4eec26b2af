"""`edgefake evaluate`: how good a model is on labelled inputs."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgefake_runtime.errors import UsageError

from .extras import require
from .output import STDOUT, is_terminal, require_writable, show_warnings, write_json

if TYPE_CHECKING:
    from edgefake.data.manifest import Sample
    from edgefake.evaluate import Evaluation
    from edgefake_runtime import Classifier

__all__ = ["evaluate"]


def evaluate(
    manifest: Annotated[Path, typer.Argument(help="CSV with the columns file,label (real or fake).")],
    model: Annotated[
        Path | None,
        typer.Option(
            help="ONNX or TFLite file made by `edgefake export`, or a checkpoint folder; the shipped model otherwise."
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only the rows of this split.")] = None,
    crops: Annotated[bool, typer.Option("--crops", help="The pictures are face crops already.")] = False,
    every: Annotated[int, typer.Option(min=1, help="Score each n-th frame of a video.")] = 30,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="P(fake) from which an input counts as fake.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; one per core otherwise.")] = None,
    widen: Annotated[
        bool | None,
        typer.Option(
            "--widen/--no-widen",
            help="Run a TFLite file's 2-bit weights as 8-bit ones, or as they are; the faster otherwise. Same answers.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures as JSON to this file, or to - .")] = None,
) -> None:
    """Measure a model: AUC, accuracy, EER, log loss and calibration error.

    Inputs without a face or with an error are counted and left out of the rest; an error makes the
    exit code 3.
    """
    from edgefake.data.manifest import read_manifest

    require_writable(json)
    show_warnings()
    samples = read_manifest(manifest, split=split, required=("file", "label"))
    classifier = _open(model, threads, widen)
    share = _share(manifest, classifier) if crops else None
    result = _measure(samples, classifier, share=share, every=every, threshold=threshold, threads=threads)
    for problem in result.problems:
        typer.echo(f"edgefake: {problem}", err=True)
    if json is not None:
        write_json(result.to_json(model=classifier.metadata.name, split=split), json)
    if json != STDOUT:
        _print(result, classifier, split, share)
    if result.problems:
        raise typer.Exit(3)


def _open(model: Path | None, threads: int | None, widen: bool | None) -> "Classifier":
    """The model, by torch where it is a folder."""
    from edgefake_runtime import Classifier

    if model is None or not model.is_dir():
        return Classifier(model, threads=threads, widen=widen)
    if widen:
        raise UsageError("widen: expected a TFLite file with 2-bit weights, got a folder; leave it away")
    require("train", "torch", "safetensors")
    from edgefake.torch_classifier import TorchClassifier

    return TorchClassifier(model, threads=threads)


def _share(manifest: Path, classifier: "Classifier") -> float:
    """How much of each crop the model was trained to see."""
    from edgefake.data.crop_rule import centre_share, read_crop_rule

    return centre_share(classifier.metadata.crop, read_crop_rule(manifest))


def _print(result: "Evaluation", classifier: "Classifier", split: str | None, share: float | None) -> None:
    """What was measured, then the figures."""
    about = {"model": classifier.metadata.name, "file": str(classifier.path), "split": split or "all"}
    if share is not None and share < 1:
        about["centre"] = f"{share:.4f}"  # of each crop's side
    for name, text in about.items():
        typer.echo(f"{name:10s}{text:>10s}")
    for name, value in asdict(result.metrics).items():
        shown = "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
        typer.echo(f"{name:10s}{shown:>10s}")


def _measure(
    samples: list["Sample"],
    classifier: "Classifier",
    *,
    share: float | None,
    every: int,
    threshold: float | None,
    threads: int | None,
) -> "Evaluation":
    """Crops at this share of their side, or whole pictures and videos where it is None."""
    import cv2
    from rich.console import Console
    from rich.progress import Progress

    from edgefake.evaluate import evaluate_crops, evaluate_media
    from edgefake_runtime import DetectOptions, Detector

    with Progress(console=Console(stderr=True), transient=True, disable=not is_terminal(sys.stderr)) as progress:
        task = progress.add_task("evaluating", total=len(samples))
        if threads is not None:
            cv2.setNumThreads(threads)

        def done(count: int) -> None:
            progress.update(task, completed=count)

        if share is not None:
            return evaluate_crops(classifier, samples, share=share, threshold=threshold, on_done=done)
        options = DetectOptions(every=every, threshold=threshold, threads=threads)
        return evaluate_media(Detector(classifier, options=options), samples, on_done=done)
