"""`edgefake card`: measure a model's folder and write its card."""

import io
import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .extras import require
from .options import Threads
from .output import require_writable, show_warnings, stage, stages, unwinding, write_bytes

if TYPE_CHECKING:
    from edgefake.card.folder import ModelFolder
    from edgefake.card.measure import Clip, Measured
    from edgefake.card.text import Latency, Origin

__all__ = ["card"]

CARD, PICTURE, TABLE = "README.md", "evaluation.png", "evaluation.csv"

PACKAGES = ("torch", "onnxruntime", "ai-edge-litert")
"""Whose versions the figures depend on."""

ROUNDS = 50
"""Timed runs of each file, unless told otherwise."""

DPI = 100
"""Of the picture: it ships with the model."""


@unwinding()
def card(
    folder: Annotated[
        Path,
        typer.Argument(help="Folder of a compact checkpoint, its exported files and card.toml.", show_default=False),
    ],
    data: Annotated[Path, typer.Option(help="Manifest of labelled face crops: file,label,split,identity_group.")],
    split: Annotated[
        str, typer.Option(help="Rows of this split; the half that calibration did not see counts.")
    ] = "val",
    clips: Annotated[
        Path | None, typer.Option(help="CSV of labelled clips, file,label: verdicts on them.", show_default=False)
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Timed runs of each file.")] = ROUNDS,
    threads: Threads = None,
) -> None:
    """Measure the files of a model and write README.md, evaluation.png and evaluation.csv into their folder.

    Figures come from the half of the identity groups that `edgefake calibrate` left alone; the words from card.toml.
    """
    _require(folder)
    import cv2

    from edgefake.card.folder import TORCH, ModelFolder, open_files
    from edgefake.card.measure import judge_clips, measure_held
    from edgefake.card.text import card_text
    from edgefake.card.words import WORDS, read_words
    from edgefake.evaluation_table import to_csv

    show_warnings()
    model = ModelFolder.find(folder)
    words = read_words(folder / WORDS)
    for name in (CARD, PICTURE, TABLE):
        require_writable(folder / name, begins=b"")
    if threads is not None:
        cv2.setNumThreads(threads)
    files = open_files(model, threads=threads)
    with stages() as progress:
        begin = partial(stage, progress)
        exported = {kind: each for kind, each in files.items() if kind != TORCH}
        judged = () if clips is None else judge_clips(exported, clips, threads=threads, stage=begin)
        measured = measure_held(files, data, split=split, stage=begin)
        latency = _race(model, rounds)
    write_bytes(to_csv(measured.corruptions, measured.subgroups).encode(), folder / TABLE)
    write_bytes(_picture(measured), folder / PICTURE)
    text = card_text(
        words,
        measured,
        judged,
        latency,
        _origin(folder, data, split, clips, rounds, threads),
        files=model.files,
        pictures=(PICTURE, TABLE),
    )
    write_bytes(text.encode(), folder / CARD)
    _print(folder, measured, judged)


def _require(folder: Path) -> None:
    """Say which extra is missing before anything is read."""
    require("export", "torch", "safetensors", "onnx", "onnxscript", "onnx_ir", "onnxslim")
    require("train", "matplotlib")
    if any(folder.glob("*.tflite")):
        require("litert", "ai_edge_litert")


def _race(model: "ModelFolder", rounds: int) -> "Latency":
    """Time the exported files beside the same network with 32-bit weights, made for this alone."""
    import tempfile

    from edgefake.card.text import Latency
    from edgefake.checkpoint import load_checkpoint
    from edgefake_export import export_checkpoint
    from edgefake_runtime.latency import Contestant, race
    from edgefake_runtime.tflite_file import read_tflite

    entries: dict[str, Contestant] = {}
    for kind, path in model.exported.items():
        entries[kind] = Contestant(path)
        if kind == "TFLite" and read_tflite(path.read_bytes()).packed:
            entries["TFLite, widened"] = Contestant(path, widen=True)
    with tempfile.TemporaryDirectory(prefix="edgefake-") as place:
        reference = Path(place) / "float.onnx"
        export_checkpoint(load_checkpoint(model.folder), reference, bits=32)
        found = race(Contestant(reference), list(entries.values()), rounds=rounds)
    return Latency(found.seconds, dict(zip(entries, found.ratios, strict=True)), rounds)


def _picture(measured: "Measured") -> bytes:
    from edgefake.evaluation_plot import plot_evaluation

    result = measured.first
    title = (
        f"{measured.metadata.name}, ONNX, held half of {measured.data}: {result.metrics.n} crops, "
        f"threshold {result.threshold:.3f}"
    )
    drawing = io.BytesIO()
    plot_evaluation(measured.corruptions, measured.subgroups, title=title).savefig(drawing, format="png", dpi=DPI)
    return drawing.getvalue()


def _origin(folder: Path, data: Path, split: str, clips: Path | None, rounds: int, threads: int | None) -> "Origin":
    import datetime

    from edgefake.card.text import Origin
    from edgefake_runtime import __version__
    from edgefake_runtime.cpu import processor
    from edgefake_runtime.needs import installed_version

    words = ["edgefake", "card", _short(folder), "--data", _short(data), "--split", split]
    words += [] if clips is None else ["--clips", _short(clips)]
    words += [] if rounds == ROUNDS else ["--rounds", str(rounds)]
    words += [] if threads is None else ["--threads", str(threads)]
    return Origin(
        command=shlex.join(words),
        date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        version=__version__,
        cpu=processor(),
        packages=", ".join(f"{name} {found}" for name in PACKAGES if (found := installed_version(name))),
    )


def _short(path: Path) -> str:
    """The last two names: where the rest lies is nobody's business but this machine's."""
    return Path(*path.resolve().parts[-2:]).as_posix()


def _print(folder: Path, measured: "Measured", clips: "tuple[Clip, ...]") -> None:
    typer.echo(f"{folder / CARD}, {PICTURE}, {TABLE}")
    for name, scored in measured.scored.items():
        figures = scored.evaluation.metrics
        typer.echo(f"{name:20s} AUC {figures.auc:.4f}, accuracy {figures.accuracy:.4f}, ECE {figures.ece:.4f}")
    if clips:
        wrong: Mapping[str, int] = {kind: sum(clip.is_wrong(kind) for clip in clips) for kind in clips[0].results}
        typer.echo(
            "clips judged wrongly: " + ", ".join(f"{kind} {count} of {len(clips)}" for kind, count in wrong.items())
        )
