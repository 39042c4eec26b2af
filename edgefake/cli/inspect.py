"""`edgefake inspect`: what is in a model file, for those who deploy it."""

import json as jsonlib
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgefake_runtime.errors import printable

from .output import STDOUT, require_writable, write_text

if TYPE_CHECKING:
    from edgefake_export.contents import Contents, Plan, Port
    from edgefake_runtime.metadata import ModelMetadata

__all__ = ["inspect"]

WIDTH = 96
"""Columns of the report."""

LABEL = 14
"""Columns of the labels at its left."""

MOST_PARTS = 16
"""Rows of the table of bytes; a file with more parts gets the smallest in one row."""

OWN = "com.microsoft."
"""Domain of operators that ONNX Runtime alone has."""


def inspect(
    file: Annotated[Path, typer.Argument(help="Model file: ONNX or TFLite, edgefake's or not.", show_default=False)],
    json: Annotated[Path | None, typer.Option(help="Write a JSON report to this file, or to - .")] = None,
) -> None:
    """Show what is in a model file: metadata, bytes by part and by width, operators, and the runtime that it needs.

    Bytes are counted in the file itself. Operators are shown as the file has them and as the runtime that is
    installed here runs them.
    """
    require_writable(json)
    from edgefake_export.contents import read_contents, read_plan

    contents = read_contents(file)
    plan = read_plan(file)
    if json is not None:
        write_text(jsonlib.dumps(_report(contents, plan), indent=2), json)
    if json != STDOUT:
        _show(contents, plan)


def _report(contents: "Contents", plan: "Plan") -> dict[str, Any]:
    values = asdict(contents) | {"path": str(contents.path), "graph_bytes": contents.graph_bytes}
    if contents.metadata is not None:
        values["metadata"] = jsonlib.loads(contents.metadata.to_json())
    for values_of, part in zip(values["parts"], contents.parts, strict=True):
        values_of["bytes"] = part.bytes
    values["widths"] = {bits: asdict(stored) for bits, stored in contents.widths.items()}
    return values | {"plan": asdict(plan)}


def _show(contents: "Contents", plan: "Plan") -> None:
    typer.secho(printable(contents.path), bold=True)
    _rows(_file_rows(contents, plan))
    _title("Metadata")
    if contents.metadata is None:
        typer.echo("  none: edgefake exported no classifier to this file, so edgefake detect refuses it")
    else:
        _rows(_metadata_rows(contents.metadata))
    _title("Bytes by part and width of the weights")
    _table(_byte_rows(contents))
    _title(_operators_title(contents, plan))
    _table(_side_by_side(_operator_rows(contents, plan)))
    if any(name.startswith(OWN) for name in plan.operators):
        typer.echo("  * ONNX Runtime's own")


def _title(text: str) -> None:
    typer.echo()
    typer.secho(text, bold=True)


def _rows(rows: Iterable[tuple[str, str]]) -> None:
    for label, text in rows:
        indent = " " * (LABEL + 4)
        lines = textwrap.wrap(_plain(text), WIDTH, initial_indent=indent, subsequent_indent=indent) or [""]
        typer.echo(f"  {label:<{LABEL}}  {lines[0].strip()}")
        for line in lines[1:]:
            typer.echo(line)


def _plain(text: str) -> str:
    """Without control characters, which a foreign file may hold."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _table(rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their longest cell: names, whose header is empty, to the left, numbers to the right."""
    columns = []
    for column in zip(*rows, strict=True):
        width = max(map(len, column))
        columns.append([cell.rjust(width) if column[0] else cell.ljust(width) for cell in column])
    for row in zip(*columns, strict=True):
        typer.echo(f"  {'  '.join(row)}".rstrip())


def _file_rows(contents: "Contents", plan: "Plan") -> list[tuple[str, str]]:
    versions = ", ".join(f"{kind} {number}" for kind, number in contents.versions.items())
    by = f"; {contents.producer}" if contents.producer else ""
    return [
        ("format", f"{contents.format}: {versions}{by}"),
        ("bytes", f"{contents.bytes:,}"),
        ("SHA-256", contents.sha256),
        *(("input", _port(port)) for port in contents.inputs),
        *(("output", _port(port)) for port in contents.outputs),
        ("needs", _needs(contents)),
        ("runs here", f"no: {plan.runtime}: {plan.error}" if plan.error else f"yes: {plan.runtime}"),
        *([("elsewhere", f"{contents.external:,} weights lie in other files")] if contents.external else []),
    ]


def _port(port: "Port") -> str:
    return f"{port.name}: {port.type} ({', '.join(map(str, port.shape))})"


def _needs(contents: "Contents") -> str:
    need = contents.needs
    why = f" ({', '.join(need.reasons)})" if need.reasons else ""
    if need.version is None:
        return f"a newer {need.runtime} than this edgefake knows{why}"
    return f"{need.runtime} {need.version} or newer{why}"


def _metadata_rows(known: "ModelMetadata") -> list[tuple[str, str]]:
    """Every field; those that have no words of their own here as the file has them."""
    crop, calibration, band = known.crop, known.calibration, known.uncertain
    sign = "-" if calibration.shift < 0 else "+"
    share = f", the middle {crop.share:g} of it" if crop.share != 1 else ""
    rows = [
        ("name", known.name),
        ("architecture", known.architecture),
        ("weights", f"{known.bits} bits, recipe {known.recipe}"),
        ("input", f"{known.input_size} x {known.input_size} {known.color}"),
        ("normalization", f"mean {_numbers(known.mean)}; std {_numbers(known.std)}"),
        (
            "crop",
            f"margin {crop.margin:g}, shift {crop.shift:g}{', squared' if crop.square else ''}{share}: {crop.origin}",
        ),
        ("labels", ", ".join(known.labels)),
        (
            "calibration",
            f"P(fake) = sigmoid({calibration.scale:.4g} x (fake - real) {sign} {abs(calibration.shift):.4g}): "
            f"{calibration.origin}",
        ),
        ("threshold", f"fake from {known.threshold:.4g}"),
        ("uncertain", f"from {band.low:.4g} to {band.high:.4g}: {band.origin}"),
        ("roc", _curve_words(known)),
        ("quality", _floor_words(known)),
        ("training", ", ".join(known.training) or "not recorded"),
        ("edgefake", known.edgefake),
    ]
    told = {"bits", "recipe", "input_size", "color", "mean", "std", "schema", *(label for label, _ in rows)}
    return rows + [(field.name, str(getattr(known, field.name))) for field in fields(known) if field.name not in told]


def _curve_words(known: "ModelMetadata") -> str:
    """Three operating points of the curve."""
    if known.roc is None:
        return "not stored: no --max-false-positives"
    curve = known.roc
    points = curve.points((0.01, 0.05, 0.2))
    found = "; ".join(f"{point.true_positives:.0%} of fakes at {point.allowed:.0%} false" for point in points)
    return f"{found}: {curve.reals} reals, {curve.origin}"


def _floor_words(known: "ModelMetadata") -> str:
    floor = known.quality
    if floor is None:
        return "no floor: every face counts"
    return f"set aside are faces {floor.words}: {floor.origin}"


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def _byte_rows(contents: "Contents") -> list[list[str]]:
    """Parts down, widths across, bytes in the cells; what is left of the file is metadata and graph."""
    widths = list(contents.widths)
    rows = [["", *(f"{bits} bits" for bits in widths), "all", "share"]]
    shown, rest = contents.parts[:MOST_PARTS], contents.parts[MOST_PARTS:]
    for part in shown:
        cells = [part.widths[bits].bytes if bits in part.widths else 0 for bits in widths]
        rows.append(_bytes_row(part.name, cells, part.bytes, contents.bytes))
    if rest:
        cells = [sum(part.widths[bits].bytes for part in rest if bits in part.widths) for bits in widths]
        rows.append(_bytes_row(f"{len(rest)} others", cells, sum(cells), contents.bytes))
    none = [0] * len(widths)
    rows.append(_bytes_row("metadata", none, contents.metadata_bytes, contents.bytes))
    rows.append(_bytes_row("graph", none, contents.graph_bytes, contents.bytes))
    sums = [stored.bytes for stored in contents.widths.values()]
    rows.append(_bytes_row("the file", sums, contents.bytes, contents.bytes))
    weights = [stored.weights for stored in contents.widths.values()]
    return [*rows, ["values", *(f"{count:,}" for count in weights), f"{sum(weights):,}", ""]]


def _bytes_row(name: str, cells: Sequence[int], total: int, whole: int) -> list[str]:
    numbers = [f"{cell:,}" if cell else "-" for cell in (*cells, total)]
    return [_plain(name)[:34], *numbers, f"{total / whole:.1%}"]


def _operators_title(contents: "Contents", plan: "Plan") -> str:
    count = sum(contents.operators.values())
    if plan.error:
        return f"Operators: {count} in the file"
    left = sum(plan.operators.values())
    if plan.partitions is None:
        return f"Operators: {count} in the file, {left} as {plan.runtime} runs them"
    if not left:
        return f"Operators: {count} in the file, all in {_partitions(plan.partitions)}"
    outside = "1 operator outside" if left == 1 else f"{left} operators outside"
    return f"Operators: {count} in the file; {_partitions(plan.partitions)}, {outside}"


def _partitions(number: int) -> str:
    return "1 partition of XNNPACK" if number == 1 else f"{number} partitions of XNNPACK"


def _operator_rows(contents: "Contents", plan: "Plan") -> list[list[str]]:
    """Name, count in the file, and count as it runs; the last only where it says something."""
    names = [*contents.operators, *(name for name in plan.operators if name not in contents.operators)]
    if not plan.operators:
        return [["", "file"], *([_short(name), str(contents.operators[name])] for name in names)]
    second = "runs" if plan.partitions is None else "outside"
    counts = ([str(found.get(name, "-")) for found in (contents.operators, plan.operators)] for name in names)
    return [["", "file", second], *([_short(name), *pair] for name, pair in zip(names, counts, strict=True))]


def _short(name: str) -> str:
    own = name.startswith(OWN)
    return f"{_plain(name.removeprefix(OWN))}{'*' if own else ''}"


def _side_by_side(rows: list[list[str]]) -> list[list[str]]:
    """The rows in as many columns of rows as fit, each under the header."""
    header, *body = rows
    wide = sum(max(map(len, column)) + 2 for column in zip(*rows, strict=True))
    across = max(1, min((WIDTH - 2) // (wide + 2), -(-len(body) // 4)))
    down = -(-len(body) // across)
    padded = body + [[""] * len(header)] * (down * across - len(body))
    return [header * across] + [[cell for row in padded[i::down] for cell in row] for i in range(down)]
