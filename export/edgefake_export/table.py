"""Every legal file of a checkpoint, written, checked, scored and timed: the rows of `edgefake table export`."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgefake.artefact import model_metadata
from edgefake.checkpoint import Checkpoint
from edgefake.data.pictures import IMAGENET_MEAN, IMAGENET_STD
from edgefake.metrics import auc
from edgefake.models import build
from edgefake.observe import require_pictures
from edgefake_runtime.errors import CheckFailedError, ModelFileError
from edgefake_runtime.latency import Contestant, race
from edgefake_runtime.metadata import Crop, ModelMetadata
from edgefake_runtime.tflite_file import read_tflite

from .cells import METHODS, Recipe, legal_recipes, resolve
from .file import Export, export_compared, prepare_export
from .labelled import CALIBRATION, COMPARED, LabelledCrops
from .reference import Reference, run_torch
from .rounding import require_finite, round_encoder
from .samples import sample_crops
from .verify import Drop, ExportReport, run_file, verify

__all__ = [
    "METHODS_SHOWN",
    "ExportRow",
    "Faces",
    "Subject",
    "WrittenFile",
    "open_subject",
    "plan_table",
    "time_files",
    "untrained",
    "write_files",
]

METHODS_SHOWN = ("float", *METHODS)
"""Methods that a table has rows of; "float" of weights that were not quantized."""

SEED = 0
"""Of the weights of networks that nobody trained."""

FAILED = "failed"

Logits = NDArray[np.float32]


def _number(form: str) -> float | None:
    """A field of a row that is None where it was not measured, and how it is printed."""
    return field(default=None, metadata={"format": form})


@dataclass(frozen=True)
class ExportRow:
    """A row: a file, what it costs and what it loses. What was not measured is None.

    Attributes:
        model: name of the checkpoint.
        format, style, method, per, bits, other: of the recipe (see `Recipe`).
        older: "yes" for a file for older runtimes.
        check: "ok", or "failed" for a file that `edgefake export` would not keep.
        bytes: of the file.
        error: largest |logit difference| to torch with the same rounded weights, over the rms of torch's logits.
        tolerance: what `error` may be.
        verdicts: identical ones, of how many.
        rounding: rms of what rounding the weights did to the logits, over their rms.
        auc: of the file, in its runtime.
        auc_change: to the checkpoint's in torch.
        latency_ratio: time of one picture over that of the checkpoint's 32-bit ONNX file, run beside it.
        widened_ratio: the same with 2-bit weights widened to 8 bits when the file is loaded.
        seconds: that writing and checking it took; rounding the weights and asking torch count for the first file of
            several with the same weights.
        needs: the oldest runtime that reads it.
    """

    model: str
    format: str
    style: str
    method: str
    per: str
    bits: int
    other: int
    older: str
    check: str
    bytes: int | None = None
    error: float | None = _number(".1e")
    tolerance: float | None = _number(".1e")
    verdicts: str = "-"
    rounding: float | None = _number(".1%")
    auc: float | None = _number(".4f")
    auc_change: float | None = _number("+.4f")
    latency_ratio: float | None = _number(".2f")
    widened_ratio: float | None = _number(".2f")
    seconds: float | None = _number(".1f")
    needs: str = "-"

    @property
    def failed(self) -> bool:
        """Whether it is no file that may be handed on."""
        return self.check == FAILED


@dataclass(frozen=True)
class Faces:
    """Labelled crops as a model is shown them.

    Attributes:
        crops: (n, S, S, 3) RGB.
        fakes: (n,).
    """

    crops: NDArray[np.uint8]
    fakes: NDArray[np.bool_]

    def auc(self, logits: Logits) -> float | None:
        """Of logits (n, 2); None where they are not finite.

        Raises:
            InputError: only one of the two classes.
        """
        margins = logits[:, 1].astype(np.float64) - logits[:, 0]
        return auc(self.fakes, margins) if np.isfinite(margins).all() else None


@dataclass(frozen=True)
class Subject:
    """A checkpoint with what its files are measured on, read once for all of them.

    Attributes:
        name: what rows call it.
        checkpoint: of a detector.
        compared: (n, S, S, 3) RGB faces that file and torch are compared on.
        calibration: (n, 3, S, S) inputs for GPTQ and static activations; None where no recipe calibrates.
        faces: labelled ones to take the AUC of; None for none.
        auc: of the checkpoint in torch.
    """

    name: str
    checkpoint: Checkpoint
    compared: NDArray[np.uint8]
    calibration: Tensor | None = None
    faces: Faces | None = None
    auc: float | None = None

    def metadata(self, recipe: Recipe) -> ModelMetadata:
        """Of a file of this checkpoint."""
        return model_metadata(self.checkpoint, bits=recipe.bits, method=recipe.method)


@dataclass(frozen=True)
class WrittenFile:
    """A row with the file that it is of.

    Attributes:
        recipe: of the file.
        row: without times.
        path: of the file; None for one that does not run here.
        reason: why it failed; "" for a file that did not.
    """

    recipe: Recipe
    row: ExportRow
    path: Path | None
    reason: str = ""


def untrained(model: str) -> Checkpoint:
    """A detector that nobody trained: weights from a fixed seed, preprocessing as training sets it.

    Its files have their sizes, errors and times; its scores mean nothing.

    Raises:
        UsageError: no such model.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = build(model).eval()
    crop = Crop(margin=0.0, shift=0.0, square=True, origin="untrained: no faces were cut for it")
    known = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "crop": asdict(crop), "name": f"{model} (untrained)"}
    return Checkpoint(network, model, known)


def plan_table(network: nn.Module, wanted: Callable[[Recipe], bool] = lambda recipe: True) -> list[Recipe]:
    """The legal recipes of a network: first the 32-bit ONNX file, which times are over, then those that are wanted."""
    reference = resolve(network, format="onnx", bits=32)
    legal = legal_recipes(ternary=reference.ternary)
    return [reference, *(recipe for recipe in legal if recipe != reference and wanted(recipe))]


def open_subject(
    checkpoint: Checkpoint,
    *,
    name: str | None = None,
    data: Path | None = None,
    split: str = "val",
    limit: int | None = None,
    compare: int = COMPARED,
    calibration: Path | None = None,
    scored: bool = True,
) -> Subject:
    """Decode what the files of a checkpoint are measured on, and score the checkpoint itself.

    Args:
        checkpoint: of a detector.
        name: what rows call it; its own when None.
        data: manifest of labelled crops; None for the faces that ship, which have no labels.
        split: its rows.
        limit: how many of them.
        compare: on how many of those file and torch are compared.
        calibration: manifest whose split train is calibrated on; None where no recipe calibrates.
        scored: take AUCs where there are labels.

    Raises:
        InputError: unreadable, nothing in the split, or only one of the two classes.
        UsageError: too few pictures to calibrate on.
        ModelFileError: a checkpoint without preprocessing.
    """
    metadata = model_metadata(checkpoint, bits=32)
    name, inputs = name or metadata.name, None
    if calibration is not None:
        inputs = LabelledCrops.read(calibration, metadata, split="train", limit=CALIBRATION).inputs()
        require_pictures(inputs)
    if data is None:
        return Subject(name, checkpoint, sample_crops(metadata.input_size), inputs)
    labelled = LabelledCrops.read(data, metadata, split=split, limit=limit)
    subject = Subject(name, checkpoint, labelled.draw(compare).crops(), inputs)
    if not scored:
        return subject
    faces = Faces(labelled.crops(), labelled.fakes)
    return replace(subject, faces=faces, auc=faces.auc(run_torch(checkpoint.network, faces.crops, metadata)))


def write_files(subject: Subject, recipes: Sequence[Recipe], folder: Path) -> Iterator[WrittenFile]:
    """Write, check and score the files, one after the other; recipes with the same weights follow each other.

    A file that fails its check is measured like the others, and stays in the folder.

    Args:
        subject: whose files.
        recipes: of the files.
        folder: for the files.

    Yields:
        Each file when it is done, not in the order of the recipes.

    Raises:
        UsageError: calibration with too few pictures, or a network that cannot be translated.
        ModelFileError: damaged weights.
    """
    network, calibration = subject.checkpoint.network, subject.calibration
    require_finite(network)
    original = Reference(network, subject.compared, subject.metadata(recipes[0]))
    merges = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    for alike in _grouped(recipes, lambda recipe: (_rounds_encoder(recipe), merges and recipe.style)):
        start = time.monotonic()
        encoder = round_encoder(network, alike[0], calibration=calibration)
        for same in _grouped(alike, lambda recipe: recipe.activations):
            metadata = subject.metadata(same[0])
            export = prepare_export(
                subject.checkpoint, same[0], metadata=metadata, calibration=calibration, encoder=encoder
            )
            reference = Reference(export.rounded, subject.compared, metadata, original)
            for recipe in same:
                yield _write_file(subject, replace(export, recipe=recipe), reference, folder, start=start)
                start = time.monotonic()


def _grouped(recipes: Sequence[Recipe], alike: Callable[[Recipe], object]) -> list[list[Recipe]]:
    groups: dict[object, list[Recipe]] = {}
    for recipe in recipes:
        groups.setdefault(alike(recipe), []).append(recipe)
    return list(groups.values())


def _rounds_encoder(recipe: Recipe) -> object:
    """What `round_encoder` looks at: with the activations, all that `round_network` and the metadata do."""
    return recipe.method, recipe.bits, recipe.per, recipe.other


def _write_file(subject: Subject, export: Export, reference: Reference, folder: Path, *, start: float) -> WrittenFile:
    recipe = export.recipe
    path, reason = folder / _file_name(recipe), ""
    try:
        report = export_compared(export, path, reference=reference, measure=lambda _, part: _keep(part, path))
    except (CheckFailedError, ModelFileError) as error:
        reason = f"{recipe.format} {_describe(recipe)}: {error}"
        if not path.exists():  # it did not get as far as being compared
            return WrittenFile(recipe, _row(subject, recipe, FAILED), None, reason)
        report = verify(reference, path)
    seconds = time.monotonic() - start
    row = _measured(_row(subject, recipe, FAILED if reason else "ok"), report)
    row = _scored(row, subject, path, export.metadata)
    return WrittenFile(recipe, replace(row, seconds=seconds), path, reason)


def _keep(part: Path, path: Path) -> Drop:
    """Put a file in its place before it is judged, so that one that fails can be measured; no AUC is taken here."""
    shutil.copyfile(part, path)
    return Drop(before=0.0, after=0.0, samples=0)


def _row(subject: Subject, recipe: Recipe, check: str) -> ExportRow:
    older = "yes" if recipe.older_runtimes else "no"
    return ExportRow(
        subject.name,
        recipe.format,
        recipe.style,
        recipe.method,
        recipe.per,
        recipe.bits,
        recipe.other,
        older,
        check,
    )


def _measured(row: ExportRow, report: ExportReport) -> ExportRow:
    return replace(
        row,
        bytes=report.bytes,
        error=report.relative,
        tolerance=report.tolerance,
        verdicts=f"{report.agreeing}/{report.samples}",
        rounding=report.rounding,
        needs=report.needs,
    )


def _scored(row: ExportRow, subject: Subject, path: Path, metadata: ModelMetadata) -> ExportRow:
    faces, before = subject.faces, subject.auc
    if faces is None:
        return row
    after = faces.auc(run_file(path, faces.crops, metadata))
    change = None if after is None or before is None else after - before
    return replace(row, auc=after, auc_change=change)


def _describe(recipe: Recipe) -> str:
    """Such as "integer gptq channel 4 bits"."""
    words = [recipe.style, recipe.method, recipe.per, "older"][: 4 if recipe.older_runtimes else 3]
    return f"{' '.join(words)} {recipe.bits} bits"


def _file_name(recipe: Recipe) -> str:
    return f"{_describe(recipe).replace(' ', '-')}.{recipe.format}"


def time_files(
    files: Sequence[WrittenFile],
    *,
    rounds: int,
    threads: int = 1,
    on_done: Callable[[int], None] = lambda count: None,
) -> tuple[list[ExportRow], float | None]:
    """Time a checkpoint's files beside its 32-bit ONNX file.

    Args:
        files: the first is the 32-bit ONNX file.
        rounds: how often each runs.
        threads: of each.
        on_done: told of files when their runs are over.

    Returns:
        Their rows with times, and the seconds of the 32-bit ONNX file; None where that does not run.

    Raises:
        ModelFileError: a file that ran before and does not now.
    """
    reference, runners = files[0].path, [each for each in files[1:] if each.path is not None]
    if reference is None:
        return [each.row for each in files], None
    entries: list[tuple[WrittenFile, bool]] = [(each, False) for each in runners]
    entries += [(each, True) for each in runners if _widens(each)]
    contestants = [Contestant(file.path, wide) for file, wide in entries if file.path is not None]
    found = race(Contestant(reference), contestants, rounds=rounds, threads=threads, on_done=on_done)
    ratios = {(file.recipe, wide): ratio for (file, wide), ratio in zip(entries, found.ratios, strict=True)}
    ratios[files[0].recipe, False] = 1.0
    rows = [
        replace(
            each.row,
            latency_ratio=ratios.get((each.recipe, False)),
            widened_ratio=ratios.get((each.recipe, True)),
        )
        for each in files
    ]
    return rows, found.seconds


def _widens(file: WrittenFile) -> bool:
    """Whether it is a TFLite file with 2-bit weights."""
    if file.path is None or file.recipe.format != "tflite":
        return False
    return bool(read_tflite(file.path.read_bytes()).packed)
