"""How `edgefake profile` measures, with its progress, and what it shows and writes."""

import io
import json as jsonlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .output import STDOUT, is_terminal, print_rows, stage, stages, write_bytes, write_text

if TYPE_CHECKING:
    from rich.progress import Progress

    from edgefake_runtime.advice import Advice
    from edgefake_runtime.profile import ModelProfile, Profile, ProfileOptions

__all__ = ["measure", "report"]

STEPS = {"opening": "opening", "timing": "timing, rounds", "video": "judging the video", "operators": "operators"}
"""What is done -> what its bar says."""

DPI = 120


class _Bars:
    """A bar for each kind of step, made when it begins."""

    def __init__(self, progress: "Progress") -> None:
        self.progress = progress
        self.bars: dict[str, Any] = {}

    def on_step(self, what: str, done: int, total: int) -> None:
        if what not in self.bars:
            self.bars[what] = stage(self.progress, STEPS[what], total)
        self.bars[what](done + 1)


def measure(files: Sequence[Path], options: "ProfileOptions", *, quiet: bool) -> "Profile":
    """Profile files, with bars on a terminal.

    Raises:
        EdgefakeError: as `profile_files` does.
    """
    from edgefake_runtime.profile import profile_files

    with stages() as progress:
        progress.disable = quiet or not is_terminal(sys.stderr)
        return profile_files(files, options, on_step=_Bars(progress).on_step)


def report(
    profile: "Profile",
    *,
    runs: int,
    rounding: Mapping[str, float] | None,
    json: Path | None,
    csv: Path | None,
    plot: Path | None,
    quiet: bool,
) -> None:
    """Write the files that were asked for, and print the tables.

    Args:
        profile: what was measured.
        runs: of each file.
        rounding: what rounding did to the files of a checkpoint; None where files were named.
        json: a file for the report, "-" or nothing.
        csv: a file for the table.
        plot: a file for the picture.
        quiet: print nothing.
    """
    from edgefake_runtime.advice import advise

    advice = advise(profile.models, profile.cpu, rounding=rounding)
    if json is not None:
        write_text(jsonlib.dumps(_as_json(profile, advice, rounding), indent=2, allow_nan=False), json)
    if csv is not None:
        from edgefake.profile_table import to_csv

        write_text(to_csv(profile), csv)
    if plot is not None:
        write_bytes(_picture(profile), plot)
    if not quiet and json != STDOUT:
        _show(profile, advice, runs=runs)


def _as_json(profile: "Profile", advice: "Advice", rounding: Mapping[str, float] | None) -> dict[str, Any]:
    values = profile.as_json()
    for row in values["models"] if rounding is not None else ():
        row["rounding"] = rounding.get(row["name"]) if rounding else None
        row["recommended"] = advice.recommended is not None and row["name"] == advice.recommended.name
    return values


def _picture(profile: "Profile") -> bytes:
    from edgefake.profile_plot import plot_profile

    names = list(dict.fromkeys(model.model for model in profile.models))
    title = f"{names[0]}: size and latency" if len(names) == 1 else "Size and latency of model files"
    drawing = io.BytesIO()
    plot_profile(profile, title=title).savefig(drawing, format="png", dpi=DPI)
    return drawing.getvalue()


def _show(profile: "Profile", advice: "Advice", *, runs: int) -> None:
    from edgefake.profile_table import model_rows, notes, video_rows

    print_rows(model_rows(profile))
    for line in notes(profile, runs=runs):
        typer.echo(line)
    if any(model.video is not None for model in profile.models):
        typer.echo()
        print_rows(video_rows(profile))
    for model in profile.models:
        _show_operators(model)
    if advice.lines:
        typer.echo()
        for line in advice.lines:
            typer.echo(line)


def _show_operators(model: "ModelProfile") -> None:
    from edgefake.profile_table import operator_rows, operator_title

    if model.operators_error is not None:
        typer.echo(f"\n{model.name}: {model.operators_error}")
    if model.operators is not None:
        typer.echo(f"\n{model.name}: {operator_title(model.operators)}")
        print_rows(operator_rows(model.operators), left=2)
