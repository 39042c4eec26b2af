"""What `edgefake detect` shows and writes: lines or a table, the marked video, the page."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgefake_runtime.errors import InputError, UsageError, printable

from .output import STDOUT, is_terminal, progress_bar, require_writable, unwinding, write_text

if TYPE_CHECKING:
    from edgefake_runtime import Detector, InputResult

__all__ = ["Targets", "show"]

COLORS = {
    "fake": "red",
    "real": "green",
    "uncertain": "yellow",
    "no-face": "bright_black",
    "error": "magenta",
}


@dataclass(frozen=True)
class Targets:
    """What to write, checked before the work.

    Attributes:
        json: the report as JSON.
        annotate: the one input with its faces marked.
        page: the report as HTML.
        heatmap: show what the model looked at in the last two.
    """

    json: Path | None
    annotate: Path | None
    page: Path | None
    heatmap: bool

    def require(self, paths: Sequence[Path], *, max_megapixels: float) -> None:
        """Refuse, before the work, what could not be written or would replace another file.

        Raises:
            UsageError: options that contradict each other or the inputs, or a file that is no earlier report.
            InputError: a folder that takes no files.
        """
        if self.heatmap and self.annotate is None and self.page is None:
            raise UsageError("--heatmap: expected --annotate or --report beside it, got neither; name one")
        named = [target.absolute() for target in (self.json, self.annotate, self.page) if target is not None]
        if len(set(named)) < len(named):
            raise UsageError("--json, --annotate, --report: expected different files, got one twice; name another")
        require_writable(self.json)
        if self.page is not None:
            from edgefake_runtime.report_page import HEAD

            require_writable(self.page, begins=HEAD.encode(), kind="report of edgefake")
        if self.annotate is not None:
            _require_annotate(self.annotate, paths, max_megapixels)

    def write_page(self, results: Sequence["InputResult"], detector: "Detector", *, silent: bool) -> None:
        """Write the page, if it was asked for; the inputs are read a second time for the faces in it."""
        if self.page is None:
            return
        from edgefake_runtime.report_page import report_page

        with unwinding(), progress_bar("cutting faces", "faces", transient=True) as bar:
            bar.disable = bar.disable or silent
            task = bar.add_task("", total=None)
            page = report_page(results, detector, heatmap=self.heatmap, on_crop=lambda: bar.advance(task))
            write_text(page.removesuffix("\n"), self.page)

    def write_annotated(self, result: "InputResult", detector: "Detector", *, silent: bool) -> None:
        """Write the input with its faces marked, if it was asked for and could be judged."""
        if self.annotate is None or result.verdict == "error":
            return
        from edgefake_runtime.annotate import annotate

        with unwinding(), progress_bar("annotating", "frames", transient=True) as bar:
            bar.disable = bar.disable or silent
            task = bar.add_task("", total=result.frames_total)
            annotate(result, detector, self.annotate, heatmap=self.heatmap, on_frame=lambda _: bar.advance(task))


def _require_annotate(target: Path, paths: Sequence[Path], max_megapixels: float) -> None:
    if len(paths) != 1 or paths[0].is_dir():
        got = f"{len(paths)} inputs" if len(paths) != 1 else "a folder"
        raise UsageError(f"--annotate: expected one video or picture, got {got}; run it once for each")
    if target == STDOUT:
        raise UsageError("--annotate: expected the name of a file, got - ; name one")
    if target.exists() and paths[0].exists() and target.samefile(paths[0]):
        raise UsageError(f"{printable(target)}: expected another file than the input, got the input; name another")
    if target.exists() and not (target.is_file() and target.stat().st_size == 0):
        raise UsageError(f"{printable(target)}: expected a new file, got one that exists; remove it or name another")
    require_writable(target)

    from edgefake_runtime.annotate import require_ending
    from edgefake_runtime.media import open_media

    with suppress(InputError), open_media(paths[0], max_megapixels=max_megapixels) as media:
        require_ending(media, target)


def show(results: Sequence["InputResult"], detector: "Detector") -> None:
    """Print the verdicts: a table on a terminal, else a line each."""
    if is_terminal(sys.stdout):
        _show_table(results, detector)
        return
    for result in results:
        score = "-" if result.score is None else f"{result.score:.3f}"
        typer.echo(f"{result.verdict}\t{score}\t{printable(Path(result.path))}")


def _show_table(results: Sequence["InputResult"], detector: "Detector") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("verdict", "P(fake)", "faces", "frames", "seconds", "input")
    for result in results:
        score = "-" if result.score is None else f"{result.score:.3f}"
        numbers = (str(len(result.faces)), str(result.frames_scored), f"{result.timing_s.total:.2f}")
        verdict = Text(result.verdict, style=COLORS[result.verdict])
        table.add_row(verdict, score, *numbers, Text(printable(Path(result.path)), overflow="fold"))
    console = Console()
    console.print(table)
    point = detector.operating_point
    words = (
        f"{detector.model.name}, {detector.model.bits} bits; fake from {point.threshold:.3f}, "
        f"uncertain from {point.low:.3f} to {point.high:.3f}. A score is no proof."
    )
    console.print(Text(words, style="dim"))
