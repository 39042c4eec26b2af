"""Markdown that stays what it was meant to be, whatever stands in a word: tables, code, running text."""

import re
from collections.abc import Collection, Sequence

__all__ = ["code", "fenced", "prose", "table"]

OPENS_A_BLOCK = re.compile(r"`{3}|~{3}|[#>|=]|[-+*]\s|\d+[.)]\s|<")
"""What would begin a block of another kind, were it the first thing on a line."""


def prose(text: str) -> str:
    """Running text on one line. Emphasis, code and links stay; HTML becomes text, and no other block begins."""
    line = " ".join(text.split())
    guarded = "\\" + line if OPENS_A_BLOCK.match(line) else line
    return guarded.replace("<", "&lt;")


def code(text: str) -> str:
    """Text as code on one line, whatever backticks it holds."""
    line = " ".join(text.split())
    fence = "`" * (_longest_run(line) + 1)
    pad = " " if "`" in line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def fenced(text: str) -> str:
    """Lines of code as a block of their own."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}\n{text.strip()}\n{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, words: Collection[int] = (0,)) -> str:
    """A table; the columns in `words` stand to the left, the others, of numbers, to the right.

    Cells are Markdown on one line; pipes in them are escaped.
    """
    rule = "|" + "|".join("---" if place in words else "---:" for place in range(len(head))) + "|"
    lines = [_row(head), rule, *map(_row, rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
