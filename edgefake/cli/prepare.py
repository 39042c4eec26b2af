"""`edgefake prepare`: videos of a data set to face crops and a manifest."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgefake_runtime.errors import UsageError

from .output import progress_bar, show_warnings

if TYPE_CHECKING:
    from edgefake.prepare import Report

__all__ = ["prepare"]

NAMED = 20
"""Videos that cannot be read and are named on standard error; report.json names all."""


def prepare(
    source: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    out: Annotated[Path, typer.Argument(help="Folder for crops and manifest.csv: new, or an interrupted run's.")],
    layout: Annotated[
        str,
        typer.Option(help="ffpp, celeb-df, deeperforensics, uadfv, df-timit, dfdc, dfdc-preview, folders, or auto."),
    ] = "auto",
    compression: Annotated[
        str | None, typer.Option(help="Of FaceForensics++: raw, c23, c40 or all; the one that is there otherwise.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="Keep this manipulation's fakes alone, such as Deepfakes; repeatable.")
    ] = None,
    group_regex: Annotated[
        str | None,
        typer.Option(help="Videos in whose paths this finds the same text (its first group) stay in one split."),
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Cut each n-th frame.")] = 30,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Look at no more frames of a video.")] = None,
    max_videos: Annotated[
        int | None, typer.Option(min=1, help="At most so many videos of each label, at random, over all splits.")
    ] = None,
    size: Annotated[int, typer.Option(help="Side of a crop, in pixels.")] = 256,
    margin: Annotated[
        float, typer.Option(help="Pixels of the crop around the face, half on either side, as in facenet-pytorch.")
    ] = 40,
    format: Annotated[str, typer.Option(help="jpg or png.")] = "jpg",
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of a JPEG.")] = 95,
    split: Annotated[str, typer.Option(help="Percent of the videos for train/val/test.")] = "80/10/10",
    split_by: Annotated[
        str,
        typer.Option(help="component: nothing is dropped; identity: videos of people of two splits are; or auto."),
    ] = "auto",
    official_test: Annotated[
        bool,
        typer.Option("--official-test", help="The data set's own test videos are the test split, unbalanced."),
    ] = False,
    balance: Annotated[bool, typer.Option(help="As many real as fake crops in each split.")] = True,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core otherwise.")] = None,
) -> None:
    """Cut the largest face of every n-th frame; write a manifest split by identity.

    Knows the layouts of FaceForensics++ with Deep Fake Detection (ffpp),
    Celeb-DF, DeeperForensics-1.0, UADFV, DF-TIMIT, DFDC and its preview, and
    any tree of folders named real and fake. A fake, its original and
    everybody in them stay in one split.

    Of a tree of real and fake folders, names like those of FaceForensics++
    (000, 000_003) and Celeb-DF (id0_0000, id0_id1_0000) are read as people:
    three-digit numbers where every fake is named as a pair, or the numbers of
    one pair are names of reals. Other files are each a person of their own,
    the same for real/x and fake/x or fake/x_fake. Its folders named train, val
    and test are dealt anew.

    Videos that are linked by people stay together. Where one such group
    exceeds the largest split, people are assigned to splits instead, and
    videos of people of two splits are dropped and counted (--split-by). With
    --official-test, other videos that share people with the test videos are
    dropped; Celeb-DF v2 lists nearly all of its people, so that little but
    the test split is left of it.

    An interrupted run goes on when the same command is given again. What was
    dropped, and why, is printed and stands in report.json.
    """
    if sys.platform == "win32":  # it locks its folder and keeps Ctrl-C from its processes by POSIX means
        raise UsageError("prepare: expected Linux or macOS, got Windows; use WSL")
    from edgefake.prepare import CropSettings, PrepareSettings, Shares
    from edgefake.prepare import prepare as run

    show_warnings()
    cut = CropSettings(every=every, max_frames=max_frames, size=size, margin=margin, format=format, quality=quality)
    settings = PrepareSettings(
        cut=cut,
        layout=layout,
        compression=compression,
        methods=tuple(sorted(set(method or ()))),
        group_regex=group_regex,
        shares=Shares.parse(split),
        split_by=split_by,
        official_test=official_test,
        balance=balance,
        max_videos=max_videos,
        seed=seed,
    )
    with _progress() as on_done:
        report = run(source, out, settings, workers=workers or _cores(), on_done=on_done)
    _show(report, out)


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    with progress_bar("cutting faces", "videos", transient=True) as progress:
        task = progress.add_task("cutting", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _show(report: "Report", out: Path) -> None:
    for note in report.notes:
        typer.echo(f"edgefake: note: {note}", err=True)
    for entry in report.dropped:
        if entry.reason == "cannot be read":
            for name in entry.names[:NAMED]:
                typer.echo(f"edgefake: {name}", err=True)
    typer.echo(f"{'split':10s}{'videos real':>13s}{'fake':>8s}{'crops real':>13s}{'fake':>8s}{'groups':>9s}")
    for name, counts in report.splits.items():
        videos, crops = counts.videos, counts.crops
        typer.echo(
            f"{name:10s}{videos['real']:13d}{videos['fake']:8d}{crops['real']:13d}{crops['fake']:8d}{counts.groups:9d}"
        )
    for entry in report.dropped:
        typer.echo(f"dropped {entry.count:8d} {entry.unit:8s}{entry.reason}")
    typer.echo(f"{out / 'manifest.csv'} (layout {report.layout}; details in {out / 'report.json'})")
