"""What `edgefake evaluate` measured, as lines of text and as CSV."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from .corruptions import CorruptionRow
from .metrics import Interval
from .subgroups import PROPERTIES, SubgroupRow

__all__ = ["CSV_HEADER", "breakdown_lines", "corruption_lines", "interval_text", "to_csv"]

RATES = ("accuracy", "false_positive_rate", "true_positive_rate")

COLUMNS = (
    *(
        "table",
        "kind",
        "level",
        "low",
        "high",
        "n",
        "n_real",
        "n_fake",
        "groups",
        "auc",
        "auc_low",
        "auc_high",
        "auc_drop",
    ),
    *(*RATES, "ece", "mean_score"),
)

CSV_HEADER = ",".join(COLUMNS)
"""First line of the CSV."""


def _cell(value: float | None, form: str = ".4f") -> str:
    return "-" if value is None else format(value, form)


def interval_text(interval: Interval | None) -> str:
    """Such as "0.77 to 0.85"."""
    return "-" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def corruption_lines(rows: Sequence[CorruptionRow]) -> Iterator[str]:
    """A table with a line for each row: AUC and what it lost against clean crops, accuracy, rates, calibration."""
    yield _line("corruption", "level", "auc", "drop", "accuracy", "fpr", "tpr", "ece", widths=(12, 7))
    for row in rows:
        drop = None if row.auc_drop is None else round(row.auc_drop, 4) + 0.0  # no -0.0000
        areas = _cell(row.auc), _cell(drop, "+.4f")
        rates = (_cell(value) for value in (row.accuracy, row.false_positive_rate, row.true_positive_rate, row.ece))
        yield _line(row.kind, _cell(row.level, "g"), *areas, *rates, widths=(12, 7))


def breakdown_lines(rows: Sequence[SubgroupRow]) -> Iterator[str]:
    """A table for each property, with a line for each bin."""
    widths = (24, 6, 6, 6, 10, 14)
    heads = ("n", "real", "fake", "auc", "interval", "accuracy", "fpr", "tpr", "score")
    for name in dict.fromkeys(row.property for row in rows):
        yield _line(PROPERTIES[name], *heads, widths=widths)
        for row in (row for row in rows if row.property == name):
            interval = None if row.auc_low is None or row.auc_high is None else (row.auc_low, row.auc_high)
            counts = (str(count) for count in (row.n, row.n_real, row.n_fake))
            rates = (row.accuracy, row.false_positive_rate, row.true_positive_rate, row.mean_score)
            area = _cell(row.auc), interval_text(interval)
            yield _line(f"  {row.bin}", *counts, *area, *map(_cell, rates), widths=widths)


def _line(first: str, *cells: str, widths: Sequence[int]) -> str:
    """Words in columns of these widths, 10 where none is given: the first to the left, the others to the right."""
    wide = [*widths[1:], *[10] * len(cells)]
    return f"{first:{widths[0]}s}" + "".join(f"{cell:>{width}s}" for cell, width in zip(cells, wide, strict=False))


def to_csv(corruptions: Sequence[CorruptionRow], subgroups: Sequence[SubgroupRow]) -> str:
    """Both tables in one.

    `table` is corruption or subgroup, `kind` the corruption or the property, `level` the level or the bin.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rounded({"table": "corruption", **asdict(row)}) for row in corruptions)
    for row in subgroups:
        place = {"table": "subgroup", "kind": row.property, "level": row.bin}
        writer.writerow(_rounded({**asdict(row), **place}))
    return text.getvalue()


def _rounded(row: Mapping[str, object]) -> dict[str, object]:
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in row.items()}
