"""`edgefake profile`: what model files cost on this machine, side by side."""

from pathlib import Path
from typing import Annotated

import typer

from edgefake_runtime.errors import UsageError

from .options import Threads, Widen
from .output import require_places, show_warnings

__all__ = ["profile"]


def profile(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|MODEL]...",
            help="ONNX or TFLite files made by `edgefake export`, or names of shipped models; the default otherwise.",
            show_default=False,
        ),
    ] = None,
    all_of: Annotated[
        str | None,
        typer.Option(
            "--all",
            metavar="CHECKPOINT",
            help="Export every width of a checkpoint (a folder, or a shipped model's name), and profile all of them.",
            show_default=False,
        ),
    ] = None,
    bits: Annotated[
        str | None, typer.Option(help="With --all: of these widths alone, with commas.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="With --all: keep the files in this folder.", show_default=False),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs of each file.")] = 50,
    threads: Threads = None,
    widen: Widen = None,
    video: Annotated[
        Path | None,
        typer.Option(help="Judge this clip with each model: where the time goes, and the real-time factor."),
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Score each n-th frame of it.")] = 30,
    per_op: Annotated[bool, typer.Option("--per-op", help="The ten slowest operators of each file.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write a JSON report to this file, or to - .")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table to this CSV file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw size against latency to this PNG file.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no table.")] = False,
) -> None:
    """Size, weights, load time, latency, memory and speed of model files on this machine, with ratios to the first.

    Every file has a process of its own, and they run in turns. Files need no torch; --all does.
    """
    from edgefake.profile_table import CSV_HEADER
    from edgefake_runtime.profile import ProfileOptions

    from .extras import require
    from .profile_output import measure, report

    show_warnings()
    require_places(json=json, plot=plot, csv=csv, header=CSV_HEADER)
    if plot is not None:
        require("train", "matplotlib")
    options = ProfileOptions(runs, threads, widen, video, every, per_op)
    if all_of is None:
        for option, given in (("--bits", bits), ("--output", output)):
            if given is not None:
                raise UsageError(f"{option}: expected --all beside it, got none; name a checkpoint with it")
        from .profile_files import named_files

        found, rounding = measure(named_files(files or []), options, quiet=quiet), None
    else:
        if files:
            raise UsageError(f"--all: expected no files beside it, got {files[0]}; leave one of both away")
        from .profile_files import exported_files

        with exported_files(all_of, bits=bits, folder=output, quiet=quiet) as (places, rounding):
            found = measure(places, options, quiet=quiet)
    report(found, runs=runs, rounding=rounding, json=json, csv=csv, plot=plot, quiet=quiet)
