"""`edgefake detect`: verdicts on videos and pictures."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgefake_runtime.errors import UsageError, printable

from .camera import require_alone, watch
from .detect_output import Targets, show
from .options import Threads, Widen
from .output import STDOUT, is_terminal, show_warnings, write_text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from edgefake_runtime import Detector, InputResult
    from edgefake_runtime.media import Picture, Video

__all__ = ["detect"]

NAME_WIDTH = 40
"""Columns of an input's name beside its progress bar; a longer one keeps its end."""


def detect(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Videos, pictures, or folders of them.", show_default=False)
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Exported file (ONNX, TFLite), or a shipped model's name; the default model otherwise."),
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Score each n-th frame of a video.")] = 30,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Score at most so many frames of a video.")] = None,
    min_face: Annotated[
        int | None, typer.Option(min=12, help="Smallest face, pixels; 40, and in proportion above 1080p.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="P(fake) from which a face counts as fake.")
    ] = None,
    max_false_positives: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Share of real faces that may count as fake; sets the threshold by the model's ROC."
        ),
    ] = None,
    threads: Threads = None,
    widen: Widen = None,
    max_megapixels: Annotated[
        float, typer.Option(min=0.001, help="Refuse larger pictures and frames before decoding them.")
    ] = 100.0,
    json: Annotated[Path | None, typer.Option(help="Write a JSON report to this file, or to - .")] = None,
    annotate: Annotated[
        Path | None,
        typer.Option(help="Write the video (.mp4, .webm) or picture (.png, .jpg) with faces, tracks and scores in it."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page (HTML) for people to this file, or to - .")] = None,
    heatmap: Annotated[
        bool, typer.Option("--heatmap", help="Show in them what the model looked at: 50 runs for each face.")
    ] = False,
    camera: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER|FILE|PIPE|ADDRESS",
            help="Instead of files, judge the newest frames of a camera in a window until Ctrl-C; - is standard input.",
        ),
    ] = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="With --camera: a line of JSON for each scored frame, and no window.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no table.")] = False,
) -> None:
    """Tell whether the faces in videos and pictures, or before a camera, are fake.

    Exit code 3 when an input could not be read (the others are judged all the same), or when a camera goes.
    """
    import cv2

    from edgefake_runtime import DetectOptions, Detector, Report, __version__

    show_warnings()
    options = DetectOptions(every, max_frames, min_face, threshold, threads, max_megapixels, widen, max_false_positives)
    if camera is not None:
        require_alone(files=bool(paths), json=json, annotate=annotate, report=report, heatmap=heatmap, quiet=quiet)
        watch(camera, model, options, headless=headless)
        return
    if headless:
        raise UsageError("--headless: expected --camera beside it, got none; leave it away")
    if not paths:
        raise UsageError("expected videos, pictures or folders of them, or --camera, got neither; name one")
    if "" in paths:
        raise UsageError("expected the name of a file or folder, got an empty one")
    inputs = [Path(path) for path in paths]
    targets = Targets(json, annotate, report, heatmap)
    targets.require(inputs, max_megapixels=max_megapixels)
    detector = Detector(model, options=options)
    if threads is not None:
        cv2.setNumThreads(threads)
    silent = quiet or not is_terminal(sys.stderr)
    results = _run(detector, inputs, silent=silent)
    if json is not None:
        write_text(Report(__version__, detector.model, tuple(results)).to_json(), json)
    if not quiet and STDOUT not in (json, report):
        show(results, detector)
    targets.write_annotated(results[0], detector, silent=silent)
    targets.write_page(results, detector, silent=silent)
    if any(result.verdict == "error" for result in results):
        raise typer.Exit(3)


def _run(detector: "Detector", paths: list[Path], *, silent: bool) -> list["InputResult"]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    results = []
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=silent) as progress:
        bars = _Bars(progress, every=detector.options.every, max_frames=detector.options.max_frames)
        for result in detector.detect_many(paths, on_frame=bars.advance):
            results.append(result)
            if result.error:
                typer.echo(f"edgefake: {result.error}", err=True)
    return results


class _Bars:
    """One progress bar per input, of which the newest shows."""

    def __init__(self, progress: "Progress", *, every: int, max_frames: int | None) -> None:
        self.progress = progress
        self.every = every
        self.max_frames = max_frames
        self.shown: tuple[Path, TaskID] | None = None

    def advance(self, media: "Picture | Video") -> None:
        """Count one scored frame."""
        if self.shown is None or self.shown[0] != media.path:
            self._begin(media)
        assert self.shown is not None
        task = self.shown[1]
        self.progress.advance(task)
        speed = next(t.speed for t in self.progress.tasks if t.id == task)
        self.progress.update(task, rate=f"{speed:.1f} frames/s" if speed else "")

    def _begin(self, media: "Picture | Video") -> None:
        from edgefake_runtime.media import Picture

        if self.shown is not None:
            self.progress.remove_task(self.shown[1])
        frames = 1 if isinstance(media, Picture) else media.frames_total
        total = -(-frames // self.every) if frames else None
        if total and self.max_frames:
            total = min(total, self.max_frames)
        name = printable(media.path)
        short = name if len(name) <= NAME_WIDTH else f"…{name[1 - NAME_WIDTH :]}"
        self.shown = media.path, self.progress.add_task(short, total=total, rate="")
