"""The thesis' tables from checkpoints: quantization (table 4.2) and detection by model and data set (table 4.3).

Crops are decoded once and kept as bytes; every row of a table is scored on the same ones. Accuracy is taken at 0.5 of
the softmax of the raw logits, that is at the larger one, without calibration.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgefake_runtime.crops import normalize, resize
from edgefake_runtime.errors import ModelFileError, UsageError
from edgefake_runtime.metadata import ModelMetadata

from .crop_rule import centre, centre_share, read_crop_rule
from .data import read_crop
from .manifest import Sample, read_manifest
from .metrics import auc, bootstrap_auc
from .models import Network
from .ptq import PTQConfig, quantize, weight_bytes
from .torch_classifier import TorchClassifier

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "FILES",
    "FinetuneRow",
    "LabelledCrops",
    "PTQRow",
    "Rows",
    "finetune_row",
    "margins",
    "markdown",
    "names_of",
    "plot_finetune",
    "plot_ptq",
    "ptq_plan",
    "ptq_row",
    "read_crops",
    "select",
    "write_table",
]

FILES = ("table.md", "table.csv", "table.png")
"""What a table leaves in its folder."""

BATCH = 64
FLOAT_BITS, TERNARY_BITS, TERNARY_ACTIVATION_BITS = 32, 2, 8

MAX_BYTES = 4 * 2**30
"""Of decoded crops in memory; more are refused."""

Crops = NDArray[np.uint8]
Rows = Sequence["PTQRow"] | Sequence["FinetuneRow"]


@dataclass(frozen=True)
class PTQRow:
    """A row of table 4.2; `method` is "-" for a network as it was trained, `auc` None where one class is missing."""

    model: str
    method: str
    weight_bits: int
    activation_bits: int
    accuracy: float
    auc: float | None
    bytes: int


@dataclass(frozen=True)
class FinetuneRow:
    """A row of table 4.3; `auc_low` and `auc_high` bound the AUC at 95 %, by identity groups."""

    model: str
    dataset: str
    n: int
    accuracy: float
    auc: float | None
    auc_low: float | None
    auc_high: float | None


@dataclass(frozen=True)
class LabelledCrops:
    """Decoded crops of one manifest.

    Attributes:
        labels: (n,), True for fake.
        groups: n identity groups.
        images: (n, size, size, 3) RGB, by classifier; those that see the same share one array.
    """

    labels: NDArray[np.bool_]
    groups: tuple[str, ...]
    images: Mapping[Path, Crops]


def select(manifest: Path, *, split: str | None, limit: int | None) -> list[Sample]:
    """Rows of a manifest; with a limit as many, drawn with a fixed seed: an even step may hit one class alone.

    Raises:
        InputError: unreadable, or nothing in the split.
    """
    samples = read_manifest(manifest, split=split)
    if limit is None or limit >= len(samples):
        return samples
    chosen = np.random.default_rng(0).permutation(len(samples))[:limit]
    return [samples[index] for index in sorted(chosen)]


def read_crops(
    samples: Sequence[Sample],
    classifiers: Sequence[TorchClassifier],
    *,
    manifest: Path,
    on_done: Callable[[int], None] = lambda count: None,
) -> LabelledCrops:
    """Decode each crop once, and resize it for every classifier.

    Where `crop.json` lies beside the manifest, a classifier of a narrower crop sees the centre that it was trained on.

    Args:
        samples: of the manifest.
        classifiers: who will look.
        manifest: the file.
        on_done: told of one more crop each time.

    Raises:
        InputError: a crop that cannot be read.
        UsageError: more crops than fit in memory.
    """
    rule = read_crop_rule(manifest)
    views = {
        c.path: (c.metadata.input_size, 1.0 if rule is None else centre_share(c.metadata.crop, rule))
        for c in classifiers
    }
    total = sum(3 * size * size for size, _ in set(views.values())) * len(samples)
    if total > MAX_BYTES:
        raise UsageError(
            f"{manifest}: expected crops of up to {MAX_BYTES >> 30} GiB, got {total / 2**30:.1f}; --limit takes fewer"
        )
    images = {view: np.empty((len(samples), view[0], view[0], 3), np.uint8) for view in set(views.values())}
    for index, sample in enumerate(samples):
        picture = read_crop(sample)
        for (size, share), array in images.items():
            array[index] = resize(np.ascontiguousarray(centre(picture, share)), size)
        on_done(1)
    return LabelledCrops(
        labels=np.array([sample.fake for sample in samples], dtype=np.bool_),
        groups=tuple(sample.group for sample in samples),
        images={path: images[view] for path, view in views.items()},
    )


def margins(
    network: Network, crops: Crops, metadata: ModelMetadata, *, on_done: Callable[[int], None] = lambda count: None
) -> NDArray[np.float64]:
    """Logit of fake minus logit of real: (n, size, size, 3) -> (n,).

    Raises:
        ModelFileError: the network gives what is no number.
    """
    found = [np.zeros(0)]
    for start in range(0, len(crops), BATCH):
        batch = normalize(crops[start : start + BATCH], metadata.mean, metadata.std)
        with torch.inference_mode():
            logits = network(torch.from_numpy(batch)).double().numpy()
        found.append(logits[:, 1] - logits[:, 0])
        on_done(len(batch))
    result: NDArray[np.float64] = np.concatenate(found)
    if not np.isfinite(result).all():
        raise ModelFileError(f"{metadata.name}: expected finite logits, got NaN or infinity; train it again")
    return result


def _scores(values: NDArray[np.float64], labels: NDArray[np.bool_]) -> tuple[float, float | None]:
    """Accuracy of the larger logit (of real, where they are equal), and AUC where both classes are there."""
    both = 0 < labels.sum() < labels.size
    return float(((values > 0) == labels).mean()), auc(labels, values) if both else None


def names_of(classifiers: Sequence[TorchClassifier]) -> dict[Path, str]:
    """What rows call each classifier: its name, with its folder where two have the same."""
    names = [c.metadata.name for c in classifiers]
    return {
        c.path: name if names.count(name) == 1 else f"{name} ({c.path})"
        for c, name in zip(classifiers, names, strict=True)
    }


def _ternary(network: Network) -> bool:
    return bool(getattr(network.config, "ternary", False))


def ptq_plan(
    classifiers: Sequence[TorchClassifier], configs: Sequence[PTQConfig]
) -> list[tuple[TorchClassifier, PTQConfig | None]]:
    """The rows of table 4.2: every network as it is, then the float ones quantized in each way."""
    plan: list[tuple[TorchClassifier, PTQConfig | None]] = [(classifier, None) for classifier in classifiers]
    return plan + [(c, config) for c in classifiers if not _ternary(c.network) for config in configs]


def ptq_row(
    classifier: TorchClassifier,
    config: PTQConfig | None,
    crops: LabelledCrops,
    *,
    name: str,
    on_done: Callable[[int], None] = lambda count: None,
) -> PTQRow:
    """Score one network, quantized or as it is (thesis table 4.2)."""
    network = classifier.network if config is None else quantize(classifier.network, config)
    values = margins(network, crops.images[classifier.path], classifier.metadata, on_done=on_done)
    accuracy, area = _scores(values, crops.labels)
    if config is not None:
        method, bits = config.method, (config.weight_bits, config.activation_bits)
    elif _ternary(classifier.network):
        method, bits = "-", (TERNARY_BITS, TERNARY_ACTIVATION_BITS)
    else:
        method, bits = "-", (FLOAT_BITS, FLOAT_BITS)
    return PTQRow(name, method, *bits, accuracy, area, weight_bytes(classifier.network, config))


def finetune_row(
    classifier: TorchClassifier,
    crops: LabelledCrops,
    *,
    name: str,
    dataset: str,
    on_done: Callable[[int], None] = lambda count: None,
) -> FinetuneRow:
    """Score one network on one data set (thesis table 4.3), with the interval that the thesis leaves out."""
    values = margins(classifier.network, crops.images[classifier.path], classifier.metadata, on_done=on_done)
    accuracy, area = _scores(values, crops.labels)
    low, high = (None, None) if area is None else bootstrap_auc(crops.labels, values, crops.groups)
    return FinetuneRow(name, dataset, len(values), accuracy, area, low, high)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else "-" if value is None else str(value).replace("|", "\\|")


def markdown(rows: Rows, notes: Sequence[str]) -> str:
    """Rows as a Markdown table, numbers to the right, then a paragraph for each note."""
    columns = fields(rows[0])
    kinds = [isinstance(getattr(rows[0], column.name), str) for column in columns]
    lines = [
        "| " + " | ".join(column.name.replace("_", " ") for column in columns) + " |",
        "|" + "|".join("---" if text else "---:" for text in kinds) + "|",
    ]
    lines += ["| " + " | ".join(_cell(getattr(row, column.name)) for column in columns) + " |" for row in rows]
    return "\n".join([*lines, *(f"\n{note}" for note in notes)]) + "\n"


def _csv(rows: Rows) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [column.name for column in fields(rows[0])], lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(row).items()} for row in rows)
    return text.getvalue()


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_table(folder: Path, rows: Rows, text: str, figure: "Figure") -> None:
    """Write `FILES`: the Markdown, the rows as CSV, the plot; each under a temporary name first."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    for name, data in zip(FILES, (text.encode(), _csv(rows).encode(), picture.getvalue()), strict=True):
        _replace(folder / name, data)


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


def _name_widths(axes: "Axes", rows: Sequence[PTQRow]) -> None:
    """The bits of a weight over the higher of the methods' points."""
    highest: dict[tuple[str, int], tuple[float, int]] = {}
    for row in rows:
        if row.method != "-" and row.auc is not None:
            key = (row.model, row.weight_bits)
            highest[key] = max(highest.get(key, (0.0, 0)), (row.auc, row.bytes))
    for (_, bits), (area, size) in highest.items():
        axes.annotate(str(bits), (size, area), (0, 8), textcoords="offset points", ha="center", fontsize=9)


def plot_ptq(rows: Sequence[PTQRow], *, title: str) -> "Figure":
    """AUC over bytes (logarithmic): a line a model and method, a mark for each network as it was trained."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    figure, axes = _axes(title, 5)
    colours = {model: f"C{index}" for index, model in enumerate(dict.fromkeys(row.model for row in rows))}
    axes.axhline(0.5, color="grey", linestyle=":", linewidth=1, label="chance")
    for model, method in dict.fromkeys((row.model, row.method) for row in rows):
        points = [row for row in rows if (row.model, row.method) == (model, method) and row.auc is not None]
        sizes, areas = [row.bytes for row in points], [row.auc or 0.0 for row in points]
        if method == "-":
            ternary = bool(points) and points[0].weight_bits == TERNARY_BITS
            shape = STYLES["ternary" if ternary else "float"]
            label = f"{model}, as trained" + "".join(f" ({r.weight_bits}/{r.activation_bits} bits)" for r in points)
        else:
            shape, label = STYLES[method], f"{model}, {method}"
        axes.plot(sizes, areas, color=colours[model], label=label, **shape)
    _name_widths(axes, rows)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.xaxis.set_major_formatter(EngFormatter(unit="B"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("weights, bytes as packed (numbers over points: bits a weight)")
    axes.set_ylabel("AUC")
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
    axes.set_xlabel("AUC, with 95 % interval (bootstrap over identity groups)")
    axes.legend(fontsize=8)
    return figure
