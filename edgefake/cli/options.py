"""Options that several commands have."""

from typing import Annotated

import typer

__all__ = ["Threads", "Widen"]

Threads = Annotated[int | None, typer.Option(min=1, help="Threads; one per core otherwise.")]

Widen = Annotated[
    bool | None,
    typer.Option(
        "--widen/--no-widen",
        help="Run a TFLite file's 2-bit weights as 8-bit ones, or as they are; the faster otherwise. Same answers.",
        show_default=False,
    ),
]
