"""`edgefake evaluate`: how good a model is on labelled inputs, how much it stands, and where it fails."""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgefake_runtime.errors import UsageError

from .extras import require
from .options import Threads, Widen
from .output import STDOUT, require_places, show_warnings, stage, stages, write_bytes, write_text

if TYPE_CHECKING:
    from rich.progress import Progress

    from edgefake.corruptions import CorruptionRow
    from edgefake.data.manifest import Sample
    from edgefake.evaluate import Evaluation
    from edgefake.metrics import Interval
    from edgefake.subgroups import SubgroupRow
    from edgefake_runtime import Classifier

__all__ = ["evaluate"]


@dataclass(frozen=True)
class _Wanted:
    """What is asked for besides the figures."""

    kinds: tuple[str, ...]
    breakdown: bool
    plot: Path | None
    csv: Path | None


@dataclass(frozen=True)
class _Found:
    """What was measured."""

    result: "Evaluation"
    intervals: "dict[str, Interval | None] | None"
    corruptions: "tuple[CorruptionRow, ...]"
    breakdown: "tuple[SubgroupRow, ...]"


def evaluate(
    manifest: Annotated[Path, typer.Argument(help="CSV with the columns file,label (real or fake).")],
    model: Annotated[
        Path | None,
        typer.Option(
            help="Exported file (ONNX, TFLite), checkpoint folder, or a shipped model's name; the default otherwise."
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only the rows of this split.")] = None,
    half: Annotated[
        Literal["fit", "held"] | None,
        typer.Option(
            help="Only half of these rows by identity group: fit, which calibration is fitted on, or held, the other."
        ),
    ] = None,
    crops: Annotated[bool, typer.Option("--crops", help="The pictures are face crops already.")] = False,
    every: Annotated[int, typer.Option(min=1, help="Score each n-th frame of a video.")] = 30,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="P(fake) from which an input counts as fake.")
    ] = None,
    max_false_positives: Annotated[
        float | None,
        typer.Option(
            help="Share of the reals that may count as fake: the threshold for it, from the model's stored curve.",
            show_default=False,
        ),
    ] = None,
    corruptions: Annotated[
        bool, typer.Option("--corruptions", help="Score the crops also under JPEG, blur, noise, resizing and light.")
    ] = False,
    only: Annotated[
        str | None, typer.Option(help="Of these corruptions alone, with commas, such as jpeg,blur.", show_default=False)
    ] = None,
    breakdown: Annotated[
        bool,
        typer.Option("--breakdown", help="Figures by the crops' face size, sharpness, brightness and skin tone proxy."),
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw corruptions and breakdown to this PNG file.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write corruptions and breakdown to this CSV file.")] = None,
    threads: Threads = None,
    widen: Widen = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures as JSON to this file, or to - .")] = None,
) -> None:
    """Measure a model: AUC, accuracy, EER, log loss, calibration error and rates at the threshold.

    Intervals are 95 % by identity group, where the manifest names the groups. Inputs without a face or with an
    error are counted and left out of the rest; an error makes the exit code 3.
    """
    from edgefake.data.manifest import read_manifest
    from edgefake.evaluate import take_half
    from edgefake.evaluation_table import CSV_HEADER
    from edgefake_runtime.verdict import OperatingPoint

    wanted = _wanted(corruptions=corruptions, only=only, breakdown=breakdown, plot=plot, csv=csv, crops=crops)
    require_places(json=json, plot=plot, csv=csv, header=CSV_HEADER)
    show_warnings()
    samples = read_manifest(manifest, split=split, required=("file", "label"))
    if half is not None:
        samples = take_half(samples, half, manifest=manifest)
    classifier = _open(model, threads, widen)
    point = OperatingPoint.of(classifier.metadata, threshold, max_false_positives=max_false_positives)
    run = _Run(manifest, classifier, point.threshold, every, threads)
    with stages() as progress:
        found = _measure_crops(samples, run, wanted, progress) if crops else _measure_media(samples, run, progress)
    for problem in found.result.problems:
        typer.echo(f"edgefake: {problem}", err=True)
    _write(found, wanted, classifier, json, split=split, half=half)
    if json != STDOUT:
        _print(found, classifier, split, half, _share(manifest, classifier) if crops else None)
    if found.result.problems:
        raise typer.Exit(3)


def _wanted(
    *, corruptions: bool, only: str | None, breakdown: bool, plot: Path | None, csv: Path | None, crops: bool
) -> _Wanted:
    """Refuse options that say nothing, and a plot that cannot be drawn."""
    from edgefake.corruptions import CORRUPTIONS, chosen_kinds

    for option, given in (("--corruptions", corruptions), ("--breakdown", breakdown)):
        if given and not crops:
            raise UsageError(f"{option}: expected face crops, got whole pictures and videos; add --crops")
    if only is not None and not corruptions:
        raise UsageError("--only: expected --corruptions beside it, got none; add it")
    for option, target in (("--plot", plot), ("--csv", csv)):
        if target is not None and not (corruptions or breakdown):
            raise UsageError(f"{option}: expected --corruptions or --breakdown beside it, got neither; add one")
    if plot is not None:
        require("train", "matplotlib")
    kinds = () if not corruptions else tuple(CORRUPTIONS) if only is None else tuple(chosen_kinds(only))
    return _Wanted(kinds, breakdown, plot, csv)


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


@dataclass(frozen=True)
class _Run:
    """How inputs are scored."""

    manifest: Path
    classifier: "Classifier"
    threshold: float
    every: int
    threads: int | None


def _measure_media(samples: Sequence["Sample"], run: _Run, progress: "Progress") -> _Found:
    """Whole pictures and videos, as `edgefake detect` judges them."""
    from edgefake.evaluate import evaluate_media
    from edgefake_runtime import DetectOptions, Detector

    options = DetectOptions(every=run.every, threshold=run.threshold, threads=run.threads)
    on_done = stage(progress, "evaluating", len(samples))
    result = evaluate_media(Detector(run.classifier, options=options), samples, on_done=on_done)
    return _Found(result, result.intervals(), (), ())


def _measure_crops(samples: Sequence["Sample"], run: _Run, wanted: _Wanted, progress: "Progress") -> _Found:
    """Pictures that are face crops already."""
    import cv2

    from edgefake.corruptions import sweep
    from edgefake.data.crop_rule import read_crop_rule
    from edgefake.evaluate import evaluate_crops
    from edgefake.subgroups import break_down, describe_faces, face_sides

    if run.threads is not None:
        cv2.setNumThreads(run.threads)
    classifier, share = run.classifier, _share(run.manifest, run.classifier)
    on_done = stage(progress, "evaluating", len(samples))
    result = evaluate_crops(classifier, samples, share=share, threshold=run.threshold, on_done=on_done)
    corruptions: tuple[CorruptionRow, ...] = ()
    subgroups: tuple[SubgroupRow, ...] = ()
    if wanted.kinds:
        on_done = stage(progress, "corrupted", len(result.samples))
        corruptions = sweep(classifier, result, share=share, kinds=wanted.kinds, on_done=on_done)
    if wanted.breakdown:
        on_done = stage(progress, "describing", len(result.samples))
        rule, sides = read_crop_rule(run.manifest), face_sides(run.manifest)
        faces = describe_faces(result, classifier.metadata, rule=rule, sides=sides, on_done=on_done)
        subgroups = break_down(result, faces)
    return _Found(result, result.intervals(), corruptions, subgroups)


def _write(
    found: _Found,
    wanted: _Wanted,
    classifier: "Classifier",
    json: Path | None,
    *,
    split: str | None,
    half: str | None,
) -> None:
    """The files that were asked for."""
    name, groups = classifier.metadata.name, found.result.groups
    if json is not None:
        more = {
            "half": half,
            "groups": None if groups is None else len(set(groups)),
            "intervals": found.intervals,
            "corruptions": [asdict(row) for row in found.corruptions] if wanted.kinds else None,
            "breakdown": [asdict(row) for row in found.breakdown] if wanted.breakdown else None,
        }
        write_text(found.result.to_json(model=name, split=split, **more), json)
    if wanted.csv is not None:
        from edgefake.evaluation_table import to_csv

        write_bytes(to_csv(found.corruptions, found.breakdown).encode(), wanted.csv)
    if wanted.plot is not None:
        from edgefake.evaluation_plot import plot_evaluation

        about = ", ".join(word for word in (name, split or "all rows", half and f"half {half}") if word)
        picture = io.BytesIO()
        title = f"{about}: {found.result.metrics.n} crops, threshold {found.result.threshold:.3f}"
        plot_evaluation(found.corruptions, found.breakdown, title=title).savefig(picture, format="png", dpi=120)
        write_bytes(picture.getvalue(), wanted.plot)


def _print(found: _Found, classifier: "Classifier", split: str | None, half: str | None, share: float | None) -> None:
    """What was measured, then the figures with their intervals, then the tables."""
    from edgefake.evaluation_table import breakdown_lines, corruption_lines

    result, groups = found.result, found.result.groups
    about = {"model": classifier.metadata.name, "file": str(classifier.path), "split": split or "all"}
    if half is not None:
        about["half"] = half
    if groups is not None:
        about["groups"] = str(len(set(groups)))
    if share is not None and share < 1:
        about["centre"] = f"{share:.4f}"  # of each crop's side
    about["threshold"] = f"{result.threshold:.4f}"
    for name, text in about.items():
        typer.echo(f"{name:20s}{text:>10s}")
    _print_figures(result, found.intervals)
    for lines in (corruption_lines(found.corruptions), breakdown_lines(found.breakdown)):
        rows = list(lines)
        if len(rows) > 1:
            typer.echo("\n".join(["", *rows]))


def _print_figures(result: "Evaluation", intervals: "dict[str, Interval | None] | None") -> None:
    """A figure a line, and below where the intervals come from or why there are none."""
    from edgefake.evaluate import LEAST_GROUPS
    from edgefake.evaluation_table import interval_text

    spans = {name: f"{interval_text(interval):>14s}" for name, interval in (intervals or {}).items()}
    for name, value in asdict(result.metrics).items():
        shown = "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
        typer.echo(f"{name:20s}{shown:>10s}{spans.get(name, '')}")
    if intervals is not None:
        typer.echo("intervals: 95 %, by identity group")
    elif result.groups is None:
        typer.echo("no intervals: the manifest does not name the identity group of every row")
    else:
        typer.echo(f"no intervals: they take {LEAST_GROUPS} identity groups or more")
