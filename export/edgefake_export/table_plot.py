"""The plot of `edgefake table export`: what a byte buys in time and in AUC."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .table import ExportRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_export"]

COLOURS = {("onnx", "integer"): "C0", ("onnx", "qdq"): "C2", ("tflite", "integer"): "C1"}

NAMES = {("onnx", "integer"): "ONNX", ("onnx", "qdq"): "ONNX, QDQ", ("tflite", "integer"): "TFLite"}

PLACES: dict[tuple[str, str], dict[str, Any]] = {
    ("onnx", "integer"): {"xytext": (-7, 0), "ha": "right", "va": "center"},
    ("onnx", "qdq"): {"xytext": (0, 7), "ha": "center", "va": "bottom"},
    ("tflite", "integer"): {"xytext": (7, 0), "ha": "left", "va": "center"},
}
"""Of the bits beside a dot, in points: files of one width are about as large and as good in every format."""

OLDER: dict[str, dict[str, Any]] = {
    "latency_ratio": {"xytext": (0, 7), "ha": "center", "va": "bottom"},
    "auc": {"xytext": (0, -7), "ha": "center", "va": "top"},
}
"""The same of files for older runtimes, by column: they are slower and as good."""

MARKS = {"float": "s", "qat": "*", "absmax": "o", "zeropoint": "^", "gptq": "D"}

SIZES = {"qat": 130.0}
"""Of marks that look smaller than the others; in points squared."""

SIZE = 45.0

LEAST_SPAN = 0.02
"""Of the AUC's axis: smaller differences shall look small."""


def plot_export(rows: Sequence[ExportRow], *, title: str, torch_auc: Mapping[str, float] | None = None) -> "Figure":
    """Latency over bytes (logarithmic), and AUC over bytes where any row has one; a line of panels a model.

    A dot a file, a colour a format, a mark a method; hollow where 2-bit weights run widened, crossed out where the
    file failed its check. Numbers beside dots are bits.

    Args:
        rows: of the table.
        title: over the plot.
        torch_auc: model -> AUC of its checkpoint, a dotted line.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(row.model for row in rows))
    scored = any(row.auc is not None for row in rows)
    figure = Figure(figsize=(13 if scored else 8, 1 + 4.5 * len(models)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    panels = figure.subplots(len(models), 2 if scored else 1, squeeze=False)
    for model, line in zip(models, panels, strict=True):
        mine = [row for row in rows if row.model == model and row.bytes is not None]
        _panel(line[0], mine, "latency_ratio", name=model)
        line[0].axhline(1, color="grey", linestyle=":", linewidth=1)
        line[0].set_ylabel("time of a picture, 32-bit ONNX = 1")
        line[0].set_ylim(bottom=0)
        if scored:
            _panel(line[1], mine, "auc", name=model)
            line[1].set_ylabel("AUC (dotted: the checkpoint in torch)")
            if torch_auc and model in torch_auc:
                line[1].axhline(torch_auc[model], color="grey", linestyle=":", linewidth=1)
            _widen_axis(line[1])
    _legend(figure, rows)
    return figure


def _panel(axes: "Axes", rows: Sequence[ExportRow], column: str, *, name: str) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    for row in rows:
        _dots(axes, row, column)
    _name_widths(axes, rows, column)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.xaxis.set_major_formatter(EngFormatter(unit="B"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("file, bytes (numbers beside dots: bits of the encoder's weights)")
    axes.set_title(name)
    axes.margins(x=0.08, y=0.12)
    axes.grid(alpha=0.3)


def _widen_axis(axes: "Axes") -> None:
    low, high = axes.get_ylim()
    rest = max(0.0, LEAST_SPAN - (high - low)) / 2
    axes.set_ylim(low - rest, high + rest)


def _dots(axes: "Axes", row: ExportRow, column: str) -> None:
    size, value = row.bytes or 0, getattr(row, column)
    look = _look(row.format, row.style, row.method)
    if value is not None:
        axes.scatter(size, value, alpha=0.8, **look)
        if row.failed:
            axes.scatter(size, value, color="red", marker="x", s=2 * SIZE, zorder=3)
    if column == "latency_ratio" and row.widened_ratio is not None:
        axes.scatter(size, row.widened_ratio, **look | {"facecolors": "none"})


def _look(format: str, style: str, method: str) -> dict[str, Any]:
    colour = COLOURS[format, style]
    return {"edgecolors": colour, "facecolors": colour, "marker": MARKS[method], "s": SIZES.get(method, SIZE)}


def _name_widths(axes: "Axes", rows: Sequence[ExportRow], column: str) -> None:
    """The bits beside the highest dot of each format and width; files for older runtimes have their own."""
    dots: dict[tuple[str, str, int, str], list[tuple[float, int]]] = {}
    for row in rows:
        value = getattr(row, column)
        if value is not None and row.bytes is not None:
            dots.setdefault((row.format, row.style, row.bits, row.older), []).append((value, row.bytes))
    for (format, style, bits, older), found in dots.items():
        value, size = max(found)
        label, place = (f"{bits} older", OLDER[column]) if older == "yes" else (str(bits), PLACES[format, style])
        colour = COLOURS[format, style]
        axes.annotate(label, (size, value), textcoords="offset points", fontsize=9, color=colour, **place)


def _legend(figure: "Figure", rows: Sequence[ExportRow]) -> None:
    """Colours and marks, each said once, below the panels."""
    from matplotlib.lines import Line2D

    def mark(label: str, **look: Any) -> Line2D:
        return Line2D([], [], linestyle="", label=label, **look)

    colours = dict.fromkeys((row.format, row.style) for row in rows)
    entries = [mark(NAMES[key], marker="o", color=COLOURS[key]) for key in colours]
    entries += [mark(name, marker=MARKS[name], color="grey") for name in dict.fromkeys(row.method for row in rows)]
    if any(row.widened_ratio is not None for row in rows):
        entries.append(mark("2 bits widened to 8", marker="o", color="grey", markerfacecolor="none"))
    if any(row.failed for row in rows):
        entries.append(mark("failed its check", marker="x", color="red"))
    figure.legend(handles=entries, loc="outside lower center", ncols=min(len(entries), 5), fontsize=9)
