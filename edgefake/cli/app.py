"""The application: its commands, and errors as one line with an exit code."""

import atexit
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from edgefake import __version__
from edgefake_runtime.errors import EdgefakeError, InputError

from .calibrate import calibrate
from .card import card
from .detect import detect
from .doctor import doctor
from .evaluate import evaluate
from .export import export
from .inspect import inspect
from .output import was_unwound
from .prepare import prepare
from .profile import profile
from .selfblend import selfblend
from .table import table
from .train import finetune, pretrain, train

__all__ = ["app", "main"]

INTERRUPTED = 128 + signal.SIGINT
"""Exit code after Ctrl-C, as shells have it."""


def _give_up_output() -> None:
    """What standard output still holds goes nowhere: Python would fail on it once more when it ends."""
    with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


@contextmanager
def _interruptions() -> Iterator[Callable[[], bool]]:
    """Yields what says whether Ctrl-C has come."""
    come: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        come.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield lambda: bool(come)
    finally:
        signal.signal(signal.SIGINT, before)


class _Commands(TyperGroup):
    """Turns what commands raise on purpose into one line on standard error and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        with _interruptions() as interrupted:
            try:
                return self._invoke(ctx)
            except typer.Exit:
                raise
            except Exception as error:
                if not interrupted():  # an import that Ctrl-C breaks off raises anything
                    raise
                raise self._interrupted() from error

    def _invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EdgefakeError as error:
            raise self._stop(str(error), error.exit_code) from error
        except OSError as error:  # a full disk, a closed or full standard output
            if error.errno == errno.EPIPE:
                raise
            if error.errno == errno.ENOSPC:
                _give_up_output()
            place = f"{error.filename}: " if error.filename else ""
            raise self._stop(f"{place}{error.strerror or error}", InputError.exit_code) from error
        except KeyboardInterrupt as error:
            raise self._interrupted() from error

    @staticmethod
    def _interrupted() -> typer.Exit:
        typer.echo("interrupted", err=True)
        return typer.Exit(INTERRUPTED)

    @staticmethod
    def _stop(message: str, code: int) -> typer.Exit:
        typer.echo(f"edgefake: {' '.join(message.splitlines())}", err=True)
        return typer.Exit(code)


app = typer.Typer(
    cls=_Commands,
    name="edgefake",
    help="Deepfake detection on edge devices: train ternary vision transformers, export them, run them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    *(calibrate, card, detect, doctor, evaluate, export, finetune, inspect),
    *(prepare, pretrain, profile, selfblend, train),
):
    app.command()(command)
app.add_typer(table, name="table")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgefake {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line and exit: 0 done, 2 usage, 3 input, 4 missing extra, 5 failed check, 130 Ctrl-C."""
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _end_interrupted()
        raise


def _end_interrupted() -> None:
    """Let the exit code stand: Python's own end after an interruption, caught or not, may give another one.

    CPython notes a KeyboardInterrupt that has left the code of an `exec`, such as one that makes a dataclass, and lets
    `python -m` die of SIGINT for it; threads of native code that are still at work may abort the process while modules
    are taken apart. So what is to be done at an end is done (worker processes, temporary folders, logs), and no more.
    Packages that convert networks crash even in that when their import was broken off; there nothing is left to do.
    """
    try:
        if not was_unwound():
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed, or its reader gone
                stream.flush()
    finally:
        os._exit(INTERRUPTED)
