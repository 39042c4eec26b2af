"""What commands share when they print: a report to a file or to standard output, warnings on standard error."""

import logging
import os
import signal
import stat
import sys
import tempfile
import threading
from _thread import interrupt_main
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

import typer

from edgefake_runtime.errors import InputError, UsageError

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = [
    "STDOUT",
    "is_terminal",
    "print_rows",
    "progress_bar",
    "require_places",
    "require_writable",
    "show_warnings",
    "stage",
    "stages",
    "unwinding",
    "was_unwound",
    "write_bytes",
    "write_text",
]

STDOUT = Path("-")
"""The file name that stands for standard output."""

_stopped = threading.Event()

AGAIN_S = 2.0
"""After how long an interruption comes again."""


def was_unwound() -> bool:
    """Whether an interruption has ended something that ran inside `unwinding`."""
    return _stopped.is_set()


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is open and a terminal; Python has None for one that was closed before it began."""
    return stream is not None and stream.isatty()


def progress_bar(doing: str, unit: str, *, transient: bool = False) -> "Progress":
    """A bar with count and times on standard error, where that is a terminal; use it as a context."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(doing),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    shown = is_terminal(sys.stderr)
    return Progress(*columns, console=Console(stderr=True), transient=transient, disable=not shown)


def print_rows(rows: Iterable[Sequence[str]], *, left: int = 1) -> None:
    """Print a table, its header first: with lines on a terminal, else in columns that align.

    Args:
        rows: of as many cells each.
        left: so many columns are names, the others numbers.
    """
    header, *body = rows
    if not is_terminal(sys.stdout):
        widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
        for row in (header, *body):
            cells = [
                cell.ljust(width) if n < left else cell.rjust(width)
                for n, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            typer.echo("  ".join(cells).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for n, name in enumerate(header):
        table.add_column(name, justify="left" if n < left else "right", overflow="fold")
    for row in body:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def stages() -> "Progress":
    """Bars for several pieces of work on standard error, where that is a terminal; use it as a context."""
    from rich.console import Console
    from rich.progress import Progress

    return Progress(console=Console(stderr=True), transient=True, disable=not is_terminal(sys.stderr))


def stage(progress: "Progress", name: str, total: int) -> Callable[[int], None]:
    """A bar of its own; call it with what is done."""
    task = progress.add_task(name, total=total)
    return lambda count: progress.update(task, completed=count)


def require_writable(target: Path | None, *, begins: bytes = b"{", kind: str = "JSON report") -> None:
    """Refuse a target before the work: what could not be written, and what is no earlier result to replace.

    Args:
        target: a file, "-" or nothing.
        begins: how a file begins that may be replaced.
        kind: what such a file is.

    Raises:
        InputError: its folder does not exist or takes no files.
        UsageError: it is an existing file that begins otherwise, such as an input.
    """
    if target is None or target == STDOUT:
        return
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        mode = 0
    except (OSError, ValueError) as error:
        raise _unwritable(target, error) from error
    if stat.S_ISDIR(mode) or (not mode and not os.access(target.parent, os.W_OK | os.X_OK)):
        raise InputError(f"{target}: expected a file in a folder that can be written; check the path")
    if stat.S_ISREG(mode) and not _is_empty_or_begins(target, begins):
        raise UsageError(f"{target}: expected a new file or a {kind} to replace, got another file; name one")


def _is_empty_or_begins(path: Path, begins: bytes) -> bool:
    """White space before it does not count."""
    try:
        with path.open("rb") as file:
            head = file.read(64 + len(begins)).lstrip()
            return not head or head.startswith(begins)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(target: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(f"{target}: expected a file that can be written, got: {reason}")


def require_places(*, json: Path | None, plot: Path | None, csv: Path | None, header: str) -> None:
    """Refuse the places of a report, a picture and a table before the work: what cannot be written, or one twice.

    Args:
        json: may be "-".
        plot: a PNG file.
        csv: a CSV file.
        header: its first line.

    Raises:
        UsageError: "-" for a picture or a table, one place twice, or one with a file that is none of these.
        InputError: a folder that takes no files.
    """
    for option, target in (("--plot", plot), ("--csv", csv)):
        if target == STDOUT:
            raise UsageError(f"{option}: expected a file, got -; name one")
    places = [target.absolute() for target in (json, plot, csv) if target is not None]
    if len(set(places)) < len(places):
        raise UsageError("--json, --plot and --csv: expected different files, got one twice; name another")
    require_writable(json)
    require_writable(plot, begins=b"\x89PNG", kind="PNG picture")
    require_writable(csv, begins=header.encode(), kind="CSV of this command")


def write_text(text: str, target: Path) -> None:
    """Write a text: to standard output for "-", else whole or not at all (a temporary name, then rename).

    A link is followed; a device or pipe is written to, not replaced.

    Raises:
        InputError: the file cannot be written.
    """
    if target == STDOUT:
        typer.echo(text)
        return
    try:
        place = target.resolve()
        if place.exists() and not place.is_file():
            place.write_text(text + "\n", encoding="utf-8")
        else:
            _replace(place, text + "\n")
    except (OSError, RuntimeError) as error:
        raise _unwritable(target, error) from error


def write_bytes(data: bytes, target: Path) -> None:
    """Write a file whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    from edgefake.whole import write_whole

    try:
        write_whole(target, data)
    except OSError as error:
        raise _unwritable(target, error) from error


def _replace(place: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=".edgefake-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def show_warnings() -> None:
    """Print the runtime's warnings, a line each, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("edgefake: %(message)s"))
    logger = logging.getLogger("edgefake_runtime")
    logger.handlers = [handler]
    logger.propagate = False


@contextmanager
def unwinding() -> Iterator[None]:
    """Ctrl-C and a termination (`kill`, `timeout`) end what runs inside, and unfinished files go.

    Both come again until this is over: some of what is imported here catches the first one half way, and forgets it.
    """
    earlier = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    answer, timers = earlier[signal.SIGINT], list[threading.Timer]()

    def stop(number: int, frame: FrameType | None) -> None:
        _stopped.set()
        timer = threading.Timer(AGAIN_S, interrupt_main, (number,))
        timer.daemon = True
        timers.append(timer)
        timer.start()
        if callable(answer):
            answer(number, frame)
        raise KeyboardInterrupt

    for number in earlier:
        if number != signal.SIGINT or callable(answer):  # who ignores Ctrl-C goes on doing so
            signal.signal(number, stop)
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in earlier.items():
            signal.signal(number, handler)
