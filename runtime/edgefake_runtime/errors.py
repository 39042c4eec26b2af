"""Errors that edgefake raises on purpose.

EdgefakeError                 exit code 1
├── UsageError                2  wrong options or arguments
├── InputError                3  unreadable, empty, damaged or hostile input
│   └── ModelFileError        3  a model file or checkpoint that cannot be used
├── MissingExtraError         4  an optional dependency is not installed
└── CheckFailedError          5  a parity check or accuracy gate failed

The command line prints any of them as one line and exits with its code. Messages read
"expected X, got Y", then the cure.
"""

import os
from pathlib import Path

__all__ = [
    "CheckFailedError",
    "EdgefakeError",
    "InputError",
    "MissingExtraError",
    "ModelFileError",
    "UsageError",
    "first_line",
    "printable",
]


class EdgefakeError(Exception):
    """Base of every error that edgefake raises on purpose; `exit_code` is the command's exit status."""

    exit_code = 1


class UsageError(EdgefakeError):
    """Options or arguments that contradict each other or are out of range."""

    exit_code = 2


class InputError(EdgefakeError):
    """Input that cannot be read: missing, empty, damaged, or too large."""

    exit_code = 3


class ModelFileError(InputError):
    """A model file or checkpoint that is damaged, foreign, or made for another version."""


class MissingExtraError(EdgefakeError):
    """A command needs a package that the base install leaves out.

    Args:
        package: the module that could not be imported, such as "torch".
        extra: the extra of edgefake that brings it, such as "train".
    """

    exit_code = 4

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs {package}, which is not installed: pip install 'edgefake[{extra}]'")


class CheckFailedError(EdgefakeError):
    """A parity check or an accuracy gate did not hold."""

    exit_code = 5


def printable(path: Path | str) -> str:
    r"""Show a path on one line: bytes that are not UTF-8 and control characters become escapes (\xff, \n)."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def first_line(error: BaseException) -> str:
    """What somebody else's error says, short: its first line, or its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
