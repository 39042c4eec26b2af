"""The thesis' tables from checkpoints: quantization (table 4.2) and detection by model and data set (table 4.3).

Accuracy counts the largest of the raw logits: top-1, and for a detector 0.5 of their softmax, without calibration.
"""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgefake_runtime.metadata import Crop

from .candidates import Candidate
from .compare import Scores, compare
from .data.manifest import Sample
from .metrics import auc, bootstrap_auc
from .models import Network
from .ptq import PTQConfig, quantize, weight_bytes
from .whole import write_whole

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "FILES",
    "FinetuneRow",
    "PTQRow",
    "Rows",
    "finetune_rows",
    "markdown",
    "plot_finetune",
    "plot_ptq",
    "ptq_plan",
    "ptq_rows",
    "write_table",
]

FILES = ("table.md", "table.csv", "table.png")
"""What a table leaves in its folder."""

FLOAT_BITS, TERNARY_BITS, TERNARY_ACTIVATION_BITS = 32, 2, 8

Rows: TypeAlias = "Sequence[DataclassInstance]"
"""One or more of a kind; a field may say how its numbers are printed: `metadata={"format": ".1e"}`."""

Plan = Sequence[tuple[Candidate, PTQConfig | None]]


@dataclass(frozen=True)
class PTQRow:
    """A row of table 4.2.

    `method` is "-" for a network as it was trained; `auc` None for classes other than real and fake, and where one of
    these is missing.
    """

    model: str
    method: str
    weight_bits: int
    activation_bits: int
    accuracy: float
    auc: float | None
    bytes: int


@dataclass(frozen=True)
class FinetuneRow:
    """A row of table 4.3; `auc_low` and `auc_high` bound the AUC at 95 %, by the manifest's groups."""

    model: str
    dataset: str
    n: int
    accuracy: float
    auc: float | None
    auc_low: float | None
    auc_high: float | None


def _fakes(samples: Sequence[Sample]) -> NDArray[np.bool_]:
    return np.array([sample.fake for sample in samples], dtype=np.bool_)


def _auc(scores: Scores, samples: Sequence[Sample]) -> float | None:
    """Of a detector, where both classes are there."""
    labels = _fakes(samples)
    both = 0 < labels.sum() < labels.size
    return None if scores.margins is None or not both else auc(labels, scores.margins)


def _ternary(network: Network) -> bool:
    return bool(getattr(network.config, "ternary", False))


def ptq_plan(candidates: Sequence[Candidate], configs: Sequence[PTQConfig]) -> list[tuple[Candidate, PTQConfig | None]]:
    """The rows of table 4.2: every network as it is, then the float ones quantized in each way."""
    plan: list[tuple[Candidate, PTQConfig | None]] = [(candidate, None) for candidate in candidates]
    return plan + [(c, config) for c in candidates if not _ternary(c.network) for config in configs]


def ptq_rows(
    plan: Plan,
    samples: Sequence[Sample],
    *,
    rule: Crop | None = None,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[PTQRow]:
    """Score networks, quantized or as they are (thesis table 4.2); all of them stay in memory meanwhile.

    Args:
        plan: as of `ptq_plan`.
        samples: pictures of the networks' classes.
        rule: how face crops were cut, where that is known.
        on_done: told of pictures as a row is done with them.

    Raises:
        InputError: a picture that cannot be read.
        ModelFileError: a network that gives what is no number.
    """
    entrants = [(c, c.network if config is None else quantize(c.network, config)) for c, config in plan]
    found = compare(entrants, samples, rule=rule, on_done=on_done)
    return [_ptq_row(c, config, scores, samples) for (c, config), scores in zip(plan, found, strict=True)]


def _ptq_row(candidate: Candidate, config: PTQConfig | None, scores: Scores, samples: Sequence[Sample]) -> PTQRow:
    if config is not None:
        method, bits = config.method, (config.weight_bits, config.activation_bits)
    elif _ternary(candidate.network):
        method, bits = "-", (TERNARY_BITS, TERNARY_ACTIVATION_BITS)
    else:
        method, bits = "-", (FLOAT_BITS, FLOAT_BITS)
    area, size = _auc(scores, samples), weight_bytes(candidate.network, config)
    return PTQRow(candidate.name, method, *bits, scores.accuracy, area, size)


def finetune_rows(
    detectors: Sequence[Candidate],
    samples: Sequence[Sample],
    *,
    dataset: str,
    rule: Crop | None = None,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[FinetuneRow]:
    """Score detectors on one data set (thesis table 4.3), with the interval that the thesis leaves out.

    Args:
        detectors: of real and fake.
        samples: of the data set's manifest.
        dataset: what rows call it.
        rule: how its crops were cut, where that is known.
        on_done: told of pictures as a row is done with them.

    Raises:
        InputError: a picture that cannot be read.
        ModelFileError: a network that gives what is no number.
    """
    found = compare([(each, each.network) for each in detectors], samples, rule=rule, on_done=on_done)
    return [_finetune_row(each, scores, samples, dataset) for each, scores in zip(detectors, found, strict=True)]


def _finetune_row(detector: Candidate, scores: Scores, samples: Sequence[Sample], dataset: str) -> FinetuneRow:
    area = _auc(scores, samples)
    low = high = None
    if area is not None and scores.margins is not None:
        low, high = bootstrap_auc(_fakes(samples), scores.margins, [sample.group for sample in samples])
    return FinetuneRow(detector.name, dataset, len(samples), scores.accuracy, area, low, high)


def _cell(value: object, form: str = ".4f") -> str:
    if isinstance(value, float):
        return format(value, form)
    return f"{value:,}" if isinstance(value, int) else "-" if value is None else str(value).replace("|", "\\|")


def markdown(rows: Rows, notes: Sequence[str]) -> str:
    """Rows as a Markdown table, numbers to the right, then a paragraph for each note."""
    columns = fields(rows[0])
    kinds = [isinstance(getattr(rows[0], column.name), str) for column in columns]
    lines = [
        "| " + " | ".join(column.name.replace("_", " ") for column in columns) + " |",
        "|" + "|".join("---" if text else "---:" for text in kinds) + "|",
    ]
    forms = {column.name: column.metadata.get("format", ".4f") for column in columns}
    lines += ["| " + " | ".join(_cell(getattr(row, name), form) for name, form in forms.items()) + " |" for row in rows]
    return "\n".join([*lines, *(f"\n{note}" for note in notes)]) + "\n"


def _csv(rows: Rows) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [column.name for column in fields(rows[0])], lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in asdict(row).items()} for row in rows
    )
    return text.getvalue()


def write_table(folder: Path, rows: Rows, text: str, figure: "Figure") -> None:
    """Write `FILES`: the Markdown, the rows as CSV, the plot; each under a temporary name first."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    for name, data in zip(FILES, (text.encode(), _csv(rows).encode(), picture.getvalue()), strict=True):
        write_whole(folder / name, data)


def _axes(title: str, height: float) -> tuple["Figure", "Axes"]:
    """A figure that no window shows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.grid(alpha=0.3)
    return figure, axes


STYLES: dict[str, dict[str, Any]] = {
    "absmax": {"marker": "o", "linestyle": "-"},
    "zeropoint": {"marker": "^", "linestyle": "--"},
    "float": {"marker": "s", "linestyle": "", "markersize": 9},
    "ternary": {"marker": "*", "linestyle": "", "markersize": 15},
}


def _name_widths(axes: "Axes", rows: Sequence[PTQRow], column: str) -> None:
    """The bits of a weight over the higher of the methods' points."""
    highest: dict[tuple[str, int], tuple[float, int]] = {}
    for row in rows:
        value = getattr(row, column)
        if row.method != "-" and value is not None:
            key = (row.model, row.weight_bits)
            highest[key] = max(highest.get(key, (0.0, 0)), (value, row.bytes))
    for (_, bits), (value, size) in highest.items():
        axes.annotate(str(bits), (size, value), (0, 8), textcoords="offset points", ha="center", fontsize=9)


def plot_ptq(rows: Sequence[PTQRow], *, title: str, chance: float = 0.5) -> "Figure":
    """AUC over bytes (logarithmic), accuracy where no row has an AUC.

    A line a model and method, a mark for each network as it was trained.

    Args:
        rows: of the table.
        title: over the plot.
        chance: what guessing would reach.
    """
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    column = "auc" if any(row.auc is not None for row in rows) else "accuracy"
    figure, axes = _axes(title, 5)
    colours = {model: f"C{index}" for index, model in enumerate(dict.fromkeys(row.model for row in rows))}
    axes.axhline(chance, color="grey", linestyle=":", linewidth=1, label="chance")
    for model, method in dict.fromkeys((row.model, row.method) for row in rows):
        mine = [row for row in rows if (row.model, row.method) == (model, method)]
        points = [row for row in mine if getattr(row, column) is not None]
        sizes, values = [row.bytes for row in points], [getattr(row, column) for row in points]
        if method == "-":
            ternary = bool(points) and points[0].weight_bits == TERNARY_BITS
            shape = STYLES["ternary" if ternary else "float"]
            label = f"{model}, as trained" + "".join(f" ({r.weight_bits}/{r.activation_bits} bits)" for r in points)
        else:
            shape, label = STYLES[method], f"{model}, {method}"
        axes.plot(sizes, values, color=colours[model], label=label, **shape)
    _name_widths(axes, rows, column)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.xaxis.set_major_formatter(EngFormatter(unit="B"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("weights, bytes as packed (numbers over points: bits a weight)")
    axes.set_ylabel("AUC" if column == "auc" else "accuracy")
    axes.legend(fontsize=8)
    return figure


def plot_finetune(rows: Sequence[FinetuneRow], *, title: str) -> "Figure":
    """AUC of each model on each data set, with its 95 % interval."""
    figure, axes = _axes(title, 2 + 0.45 * len(rows))
    datasets = list(dict.fromkeys(row.dataset for row in rows))
    shown = [(place, row) for place, row in enumerate(reversed(rows)) if row.auc is not None]
    for index, dataset in enumerate(datasets):
        points = [(place, row) for place, row in shown if row.dataset == dataset]
        areas = [row.auc or 0.0 for _, row in points]
        below = [(row.auc or 0.0) - (row.auc_low or 0.0) for _, row in points]
        above = [(row.auc_high or 0.0) - (row.auc or 0.0) for _, row in points]
        places = [place for place, _ in points]
        axes.errorbar(areas, places, xerr=[below, above], fmt="o", color=f"C{index}", capsize=4, label=dataset)
    axes.axvline(0.5, color="grey", linestyle=":", linewidth=1, label="chance")
    axes.set_yticks(range(len(rows)), [f"{row.model}, {row.dataset}" for row in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("AUC, with 95 % interval (bootstrap over groups)")
    axes.legend(fontsize=8)
    return figure
