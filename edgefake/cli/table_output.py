"""What the tables share: their options, the text on standard output, and the files in a folder."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgefake_runtime.errors import InputError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from edgefake.table import Rows

__all__ = ["Force", "Limit", "Out", "Split", "dataset_name", "print_table", "require_place", "write_files"]

Split = Annotated[str, typer.Option(help="Only the rows of this split.")]
Out = Annotated[Path | None, typer.Option(help="Folder for table.md, table.csv and table.png.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an earlier table in it.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many pictures, drawn with a fixed seed.")]


def require_place(out: Path | None, *, force: bool) -> None:
    """Refuse a folder before the work: one with a table, and one that cannot be written.

    Raises:
        UsageError: it holds a table, and `force` is off.
        InputError: it takes no files.
    """
    from edgefake.table import FILES

    if out is None:
        return
    old = [name for name in FILES if os.path.lexists(out / name)]
    if old and not force:
        raise UsageError(f"{out}: expected a folder without a table, got one with {old[0]}; --force replaces it")
    nearest = next(place for place in (out.absolute(), *out.absolute().parents) if os.path.lexists(place))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{out}: expected a folder that can be written; check the path")


def dataset_name(data: Path) -> str:
    """A data set goes by the name of its folder, or of its manifest's."""
    place = data.resolve()
    return place.name if place.is_dir() else place.parent.name


def print_table(rows: "Rows", notes: Sequence[str], *, title: str = "") -> str:
    """Print rows as Markdown, then a paragraph for each note and one with the command line; returns the text."""
    from edgefake.table import markdown

    command = shlex.join(["edgefake", *sys.argv[1:]])
    text = (f"{title}\n\n" if title else "") + markdown(rows, [*notes, f"`{command}`"])
    typer.echo(text, nl=False)
    return text


def write_files(out: Path, rows: "Rows", text: str, figure: "Figure") -> None:
    """Write the table's files, and say so on standard error."""
    from edgefake.table import FILES, write_table

    write_table(out, rows, text, figure)
    typer.echo(f"edgefake: wrote {', '.join(str(out / name) for name in FILES)}", err=True)
