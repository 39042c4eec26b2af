"""The application: commands, and errors as one line with an exit code."""

import os
import sys
from typing import Annotated

import typer

from edgefake import __version__

from .detect import detect
from .evaluate import evaluate
from .export import export
from .train import train

__all__ = ["app", "main"]

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""

app = typer.Typer(
    name="edgefake",
    help="Deepfake detection on edge devices: train ternary vision transformers, export them, run them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (detect, evaluate, export, train):
    app.command()(command)


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
        app(standalone_mode=True)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone; what is left in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        typer.echo(f"edgefake: {error}", err=True)
        sys.exit(code)
