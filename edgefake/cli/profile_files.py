"""Which files `edgefake profile` measures: those named, those that ship, or those that it exports itself."""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgefake_runtime.errors import CheckFailedError, InputError, MissingExtraError, UsageError, printable
from edgefake_runtime.shipped import DEFAULT_MODEL, shipped_folder

from .output import is_terminal, stage, stages, unwinding

if TYPE_CHECKING:
    from edgefake.checkpoint import Checkpoint
    from edgefake_export import Recipe

__all__ = ["exported_files", "named_files"]

EXPORTERS = {
    "onnx": ("export", ("torch", "safetensors", "onnx", "onnxscript", "onnx_ir", "onnxslim")),
    "tflite": ("tflite", ("torch", "safetensors", "litert_torch", "ai_edge_litert")),
}
"""Format -> the extra that exports to it, and its packages."""

SUFFIXES = (".onnx", ".tflite")


def named_files(names: Sequence[str]) -> list[Path]:
    """Files, and those of shipped models by name; of the default model where none is named.

    A shipped model's TFLite file is left out, with a word, where LiteRT is not installed.

    Raises:
        UsageError: an empty name.
    """
    found: list[Path] = []
    for name in names or [DEFAULT_MODEL]:
        if not name:
            raise UsageError("expected the name of a file or model, got an empty one")
        shipped = shipped_folder(name)
        found += [Path(name)] if shipped is None else _shipped(shipped)
    return found


def _shipped(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    if find_spec("ai_edge_litert") is None:
        for path in (path for path in files if path.suffix == ".tflite"):
            typer.echo(f"edgefake: left out {path.name}: pip install 'edgefake[litert]' runs it", err=True)
        files = [path for path in files if path.suffix != ".tflite"]
    return files


@contextmanager
def exported_files(
    checkpoint: str, *, bits: str | None, folder: Path | None, quiet: bool
) -> Iterator[tuple[list[Path], Mapping[str, float]]]:
    """Every width of a checkpoint, exported into a folder, or into one that is gone afterwards.

    Yields:
        The files, 32 bits first, and how far rounding moved the logits of each: name -> parts of their rms.

    Raises:
        MissingExtraError: no format can be exported to.
        UsageError: a width that is none, or a file that is there already.
        InputError: the folder takes no files.
        CheckFailedError: no file passed its check.
    """
    formats = _formats()
    with ExitStack() as stack:
        with unwinding():
            place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgefake-")))
            found = _export(checkpoint, _widths(bits), formats, place, quiet=quiet)
        if not found:
            raise CheckFailedError("expected files that pass their checks, got none; the lines above say why")
        yield list(found), {path.name: moved for path, moved in found.items()}


def _formats() -> list[str]:
    """Those whose extra is installed; a word on the others."""
    missing = {
        kind: next((package for package in packages if find_spec(package) is None), None)
        for kind, (_, packages) in EXPORTERS.items()
    }
    formats = [kind for kind, package in missing.items() if package is None]
    if not formats:
        package = missing["onnx"]
        assert package is not None
        raise MissingExtraError(package, EXPORTERS["onnx"][0])
    for kind, package in missing.items():
        if package is not None:
            extra = EXPORTERS[kind][0]
            typer.echo(f"edgefake: left out {kind}: it needs {package}: pip install 'edgefake[{extra}]'", err=True)
    return formats


def _widths(bits: str | None) -> list[int] | None:
    from edgefake_export.cells import BITS

    from .table_export import _chosen

    if bits is None:
        return None
    return [int(word) for word in _chosen("--bits", bits, [str(width) for width in BITS])]


def _recipes(checkpoint: "Checkpoint", widths: Sequence[int] | None, formats: Sequence[str]) -> "list[Recipe]":
    """The usual recipe of every legal width, the widest first, formats in turn."""
    from edgefake_export import resolve
    from edgefake_export.cells import BITS

    found = []
    for format in formats:
        for width in BITS:
            if widths is None or width in widths:
                try:
                    found.append(resolve(checkpoint.network, format=format, bits=width))
                except UsageError:  # ternary weights have no 6 and 3 bits
                    if widths is not None:
                        raise
    return found


def _export(
    checkpoint: str, widths: Sequence[int] | None, formats: Sequence[str], folder: Path, *, quiet: bool
) -> dict[Path, float]:
    """Files that passed their checks, with what rounding did."""
    from edgefake.checkpoint import load_checkpoint
    from edgefake_export import export_checkpoint

    from .export import _file_name, _folder

    loaded = load_checkpoint(_folder(checkpoint))
    recipes = _recipes(loaded, widths, formats)
    places = [folder / _file_name(loaded, recipe) for recipe in recipes]
    for place in places:
        if place.exists():
            raise UsageError(f"{printable(place)}: expected a folder without it, got it there; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{printable(folder)}: expected a folder to write to, got: {error.strerror}") from error
    found: dict[Path, float] = {}
    with stages() as progress:
        progress.disable = quiet or not is_terminal(sys.stderr)
        on_done = stage(progress, "exporting", len(recipes))
        for done, (recipe, place) in enumerate(zip(recipes, places, strict=True), 1):
            try:
                found[place] = export_checkpoint(loaded, place, bits=recipe.bits).rounding
            except CheckFailedError as error:
                typer.echo(f"edgefake: left out {place.name}: {error}", err=True)
            on_done(done)
    return found
