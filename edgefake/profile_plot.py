"""The plot of `edgefake profile`: what a file's size costs or saves in time."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefake_runtime.profile import ModelProfile, Profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_profile"]

COLOURS = {"ONNX": "C0", "TFLite": "C1"}

PLACES: dict[str, dict[str, Any]] = {
    "ONNX": {"xytext": (-7, 0), "ha": "right", "va": "center"},
    "TFLite": {"xytext": (7, 0), "ha": "left", "va": "center"},
}
"""Of the name beside a dot, in points: files of one width are about as large in both formats."""

SIZE = 45.0
"""Of a dot, in points squared."""

ROOM = 2.2
"""For names left and right of the dots, in parts of the smallest and largest size."""


def plot_profile(profile: Profile, *, title: str) -> "Figure":
    """Median latency over size (logarithmic), a labelled dot for each file, a thin line up to p95.

    A colour a format; hollow where 2-bit weights ran widened.

    Args:
        profile: what was measured.
        title: over the plot.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for model in profile.models:
        _dot(axes, model)
    _axes(axes, profile)
    figure.suptitle(title)
    _legend(figure, profile)
    return figure


def _dot(axes: "Axes", model: ModelProfile) -> None:
    colour = COLOURS[model.format]
    face = "none" if model.widened else colour
    axes.vlines(model.size_mb, model.p50_ms, model.p95_ms, colors=colour, linewidth=1, alpha=0.6)
    axes.scatter(model.size_mb, model.p50_ms, s=SIZE, edgecolors=colour, facecolors=face, zorder=3)
    label, point = Path(model.name).stem, (model.size_mb, model.p50_ms)
    axes.annotate(label, point, textcoords="offset points", fontsize=8, color=colour, **PLACES[model.format])


def _axes(axes: "Axes", profile: Profile) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    sizes = [model.size_mb for model in profile.models]
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / ROOM, max(sizes) * ROOM)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("file, MB")
    axes.set_ylabel("one picture, ms (dot: median; line: up to p95)")
    axes.set_ylim(0, 1.15 * max(model.p95_ms for model in profile.models))
    threads = "1 thread" if profile.threads == 1 else f"{profile.threads} threads"
    axes.set_title(f"{profile.cpu}; {threads}", fontsize=9)
    axes.grid(alpha=0.3)


def _legend(figure: "Figure", profile: Profile) -> None:
    from matplotlib.lines import Line2D

    formats = dict.fromkeys(model.format for model in profile.models)
    entries = [Line2D([], [], linestyle="", marker="o", color=COLOURS[kind], label=kind) for kind in formats]
    if any(model.widened for model in profile.models):
        label = "2 bits run as 8 bits"
        entries.append(Line2D([], [], linestyle="", marker="o", color="grey", markerfacecolor="none", label=label))
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries), fontsize=9)
