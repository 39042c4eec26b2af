"""`edgefake doctor`: what is installed, what is missing, and what works on this machine."""

import json as jsonlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgefake_runtime.errors import CheckFailedError

from .output import STDOUT, require_writable, write_text

if TYPE_CHECKING:
    from edgefake_runtime.doctor import Findings

__all__ = ["doctor"]

ANSWERS = {True: "yes", False: "NO", None: "not tried"}

COLOURS = {True: "green", False: "red", None: "yellow"}


def doctor(
    json: Annotated[Path | None, typer.Option(help="Write a JSON report to this file, or to - .")] = None,
) -> None:
    """Tell what is installed, what is missing, and what works here: to be pasted into a bug report.

    Each runtime runs the shipped 2-bit model in a process of its own, so that a crash is told. Exit code 5 when
    something that `edgefake detect` needs is missing or does not work.
    """
    from edgefake_runtime.doctor import examine

    require_writable(json)
    findings = examine()
    if json is not None:
        write_text(jsonlib.dumps(findings.as_json(), indent=2), json)
    if json != STDOUT:
        _show(findings)
    if not findings.well:
        raise typer.Exit(CheckFailedError.exit_code)


def _show(findings: "Findings") -> None:
    """Plain text; colours on a terminal alone."""
    _rows(_about(findings))
    typer.echo("\nextras")
    for extra in findings.extras:
        state = f"missing: {', '.join(extra.missing)}: {extra.mend}" if extra.missing else "installed"
        typer.echo(f"  {extra.name:<9} {state}")
    typer.echo("\nworks here")
    width = max(len(check.name) for check in findings.checks)
    for check in findings.checks:
        word = typer.style(f"{ANSWERS[check.works]:<9}", fg=COLOURS[check.works])
        typer.echo(f"  {check.name:<{width}}  {word}  {check.words}")
    for note in findings.notes:
        typer.echo(f"\nnote: {note}")


def _about(findings: "Findings") -> Iterable[tuple[str, str]]:
    memory = "not known" if findings.memory_mb is None else f"{findings.memory_mb:,} MB"
    memory += "" if findings.free_mb is None else f", {findings.free_mb:,} MB free"
    known = findings.packages.items()
    yield "edgefake", findings.edgefake
    yield "Python", findings.python
    yield "system", findings.system
    yield "CPU", str(findings.cpu)
    yield "memory", memory
    yield "packages", ", ".join(f"{name} {version}" for name, version in known if version is not None)
    if findings.base.missing:
        yield "missing", f"{', '.join(findings.base.missing)}: {findings.base.mend}"
    yield "model", f"{findings.model}, SHA-256 {findings.sha256 or 'unknown'}"
    yield "file", findings.file


def _rows(rows: Iterable[tuple[str, str]]) -> None:
    for label, text in rows:
        typer.echo(f"{label:<9} {text}")
