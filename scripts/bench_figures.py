"""A result of a benchmark, beside what it should be and what it could be."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench_turns import FOREIGN


@dataclass(frozen=True)
class Figure:
    """One result.

    Attributes:
        name: what was measured.
        value: median over the turns, in `unit`.
        target: what it should be at most (`frames/s`: at least).
        limit: what it could be at best; None where that is not known.
        unit: "ratio", "frames/s", "s" or "MB".
        foreign: the largest share of the machine that other programs took in a round that counts; None without clocks.
    """

    name: str
    value: float
    target: float
    limit: float | None
    unit: str
    foreign: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether the target is reached."""
        return self.value >= self.target if self.unit == "frames/s" else self.value <= self.target

    def __str__(self) -> str:
        sign = ">=" if self.unit == "frames/s" else "<="
        limit = "-" if self.limit is None else f"{self.limit:.3g}"
        busy = "" if self.foreign is None or self.foreign <= FOREIGN else f"; beside other work ({self.foreign:.0%})"
        met = "met" if self.is_met else "missed"
        figure = f"{self.value:.3g} {self.unit} ({met})"
        return f"{self.name}: target {sign} {self.target:.3g}, figure {figure}, limit {limit}{busy}"


def write_rows(file: Path, rows: Sequence[Any]) -> None:
    """Dataclasses of one kind as a table, a column for each field."""
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(asdict(rows[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
