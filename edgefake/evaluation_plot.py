"""The plot of `edgefake evaluate`: a panel for each kind of corruption, and one for each property of the faces."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .corruptions import CLEAN, CORRUPTIONS, CorruptionRow
from .subgroups import PROPERTIES, SubgroupRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["plot_evaluation"]

FALLING = ("jpeg", "rescale")
"""Kinds whose levels spoil more the smaller they are: drawn from large to small, so that the right is worst."""


def plot_evaluation(corruptions: Sequence[CorruptionRow], subgroups: Sequence[SubgroupRow], *, title: str) -> "Figure":
    """AUC and false-positive rate over each corruption's levels, and over the bins of each property.

    Args:
        corruptions: of `sweep`; none for no such panels.
        subgroups: of `break_down`; none for no such panels.
        title: over the plot.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = [draw for draw, rows in ((_sweep, corruptions), (_breakdown, subgroups)) if rows]
    most = max(len({row.kind for row in corruptions} - {CLEAN}), len({row.property for row in subgroups}))
    figure = Figure(figsize=(max(6.0, 3.2 * most), 0.5 + 4.2 * len(parts)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    places = figure.subfigures(len(parts), 1, squeeze=False)[:, 0]
    for draw, place in zip(parts, places, strict=True):
        if draw is _sweep:
            _sweep(place, corruptions)
        else:
            _breakdown(place, subgroups)
    return figure


def _sweep(place: "SubFigure", rows: Sequence[CorruptionRow]) -> None:
    clean = next(row for row in rows if row.kind == CLEAN)
    kinds = list(dict.fromkeys(row.kind for row in rows if row.kind != CLEAN))
    panels = place.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for kind, axes in zip(kinds, panels, strict=True):
        _curves(axes, kind, clean, [row for row in rows if row.kind == kind])
    _legend(place, panels[0])


def _curves(axes: "Axes", kind: str, clean: CorruptionRow, rows: Sequence[CorruptionRow]) -> None:
    corruption = CORRUPTIONS[kind]
    points = [(row.level, row) for row in rows if row.level is not None]
    if corruption.clean is not None:
        points.append((corruption.clean, clean))
    points.sort(key=lambda point: point[0])
    for name, colour, label in (("auc", "C0", "AUC"), ("false_positive_rate", "C3", "false-positive rate")):
        found = [(level, getattr(row, name)) for level, row in points if getattr(row, name) is not None]
        axes.plot(*zip(*found, strict=True) if found else ([], []), marker=".", color=colour, label=label)
        if getattr(clean, name) is not None:
            axes.axhline(getattr(clean, name), color=colour, linestyle=":", linewidth=1, label=f"{label}, clean")
    axes.set(title=corruption.name, xlabel=corruption.unit)
    if kind in FALLING:
        axes.invert_xaxis()
    _finish(axes)


def _breakdown(place: "SubFigure", rows: Sequence[SubgroupRow]) -> None:
    names = list(dict.fromkeys(row.property for row in rows))
    panels = place.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for name, axes in zip(names, panels, strict=True):
        _bars(axes, [row for row in rows if row.property == name])
        axes.set_title(PROPERTIES[name])
    _legend(place, panels[0])


def _bars(axes: "Axes", rows: Sequence[SubgroupRow]) -> None:
    """A dot a bin; the line through an AUC is its interval."""
    series = (
        ("auc", "C0", "o", "AUC, 95 % interval"),
        ("false_positive_rate", "C3", "v", "false-positive rate"),
        ("true_positive_rate", "C2", "^", "true-positive rate"),
    )
    for shift, (name, colour, mark, label) in zip((-0.15, 0.0, 0.15), series, strict=True):
        found = [
            (place + shift, getattr(row, name)) for place, row in enumerate(rows) if getattr(row, name) is not None
        ]
        axes.plot(*zip(*found, strict=True) if found else ([], []), mark, color=colour, label=label)
    for place, row in enumerate(rows):
        if row.auc_low is not None and row.auc_high is not None:
            axes.vlines(place - 0.15, row.auc_low, row.auc_high, color="C0", linewidth=1)
    names = [f"{row.bin} (n {row.n})" for row in rows]
    axes.set_xticks(range(len(rows)), names, fontsize=8, rotation=25, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.5, len(rows) - 0.5)
    _finish(axes)


def _legend(place: "SubFigure", axes: "Axes") -> None:
    """What all panels share, said once below them."""
    handles, labels = axes.get_legend_handles_labels()
    place.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9, frameon=False)


def _finish(axes: "Axes") -> None:
    axes.set_ylim(-0.03, 1.03)  # a mark at 0 or 1 is whole
    axes.grid(alpha=0.3)
