"""Which layer costs what: networks rounded one layer at a time, and the ranking as table, CSV and plot."""

import copy
import csv
import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgefake.metrics import auc
from edgefake.observe import BATCH, evaluating
from edgefake_runtime.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Blame", "blame", "blame_csv", "blame_table", "plot_blame"]

Logits = NDArray[np.float64]

SLOTS = 0.2
"""Inches of the plot for a layer."""


@dataclass(frozen=True)
class Blame:
    """What rounding one layer does.

    Attributes:
        layer: its name.
        snr_db: power of its output over that of the error, with the original network's inputs; infinite where the
            output stays as it is.
        logit_change: rms of the logits' change over the rms of the logits, when only this layer is rounded.
        auc_drop: AUC before less AUC after, when only this layer is rounded; None without labels.
    """

    layer: str
    snr_db: float
    logit_change: float
    auc_drop: float | None = None


@torch.no_grad()
def blame(
    original: nn.Module,
    rounded: nn.Module,
    images: Tensor,
    *,
    fakes: NDArray[np.bool_] | None = None,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[Blame]:
    """Put each rounded layer alone into the original network, and see what it does: one run a layer.

    Args:
        original: the network as it was trained; left as it is.
        rounded: the same with some layers rounded, at the same names.
        images: (n, 3, H, W), or whatever else the networks take.
        fakes: (n,), True for fake: gives the drop of AUC, of logits (real, fake).
        on_done: told of layers as they are done.

    Returns:
        Of each linear or convolution layer that is not the same in both; the largest change of the logits first.

    Raises:
        UsageError: no pictures, or not one label a picture.
        InputError: labels of one class alone.
    """
    if not len(images) or (fakes is not None and len(fakes) != len(images)):
        labels = "" if fakes is None else f" and {len(fakes)} labels"
        raise UsageError(f"expected pictures to blame layers on, with as many labels; got {len(images)}{labels}")
    network = _as_merged(original, rounded)
    rows = []
    with evaluating(network), evaluating(rounded):
        before = _logits(network, images)
        area = None if fakes is None else _area(before, fakes)
        for name, layer, other in _changed(network, rounded):
            error = _OutputError()
            with _in_place(layer, other, error):
                after = _logits(network, images)
            drop = None if area is None or fakes is None else area - _area(after, fakes)
            rows.append(Blame(name, error.snr_db, _change(before, after), drop))
            on_done(1)
    return sorted(rows, key=lambda row: (-row.logit_change, row.snr_db))


def _as_merged(original: nn.Module, rounded: nn.Module) -> nn.Module:
    """The original, with those BatchNorms merged into convolutions that are merged in the rounded network."""
    others = dict(rounded.named_modules())
    network = copy.deepcopy(original).eval()
    for prefix, parent in list(network.named_modules()):
        layers = list(parent.named_children()) if isinstance(parent, nn.Sequential) else []
        for (name, layer), (after, norm) in pairwise(layers):
            merged = isinstance(others.get(f"{prefix}.{after}".removeprefix(".")), nn.Identity)
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and merged:
                setattr(parent, name, fuse_conv_bn_eval(layer, norm))
                setattr(parent, after, nn.Identity())
    return network


def _changed(network: nn.Module, rounded: nn.Module) -> Iterator[tuple[str, nn.Module, nn.Module]]:
    others = dict(rounded.named_modules(remove_duplicate=False))
    for name, layer in network.named_modules():
        other = others.get(name)
        if isinstance(layer, (nn.Linear, nn.Conv2d)) and other is not None and not _same(layer, other):
            yield name, layer, other


def _same(layer: nn.Module, other: nn.Module) -> bool:
    if type(layer) is not type(other):
        return False
    values, others = layer.state_dict(), other.state_dict()
    return values.keys() == others.keys() and all(torch.equal(values[key], others[key]) for key in values)


class _OutputError:
    """Power of a layer's output and of its error, summed up over batches."""

    def __init__(self) -> None:
        self.signal = self.noise = 0.0

    def add(self, output: Tensor, rounded: Tensor) -> None:
        self.signal += output.double().square().sum().item()
        self.noise += (output.double() - rounded.double()).square().sum().item()

    @property
    def snr_db(self) -> float:
        if not self.noise:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf


@contextmanager
def _in_place(layer: nn.Module, other: nn.Module, error: _OutputError) -> Iterator[None]:
    """Let a rounded layer answer for a layer, wherever the network uses that one."""

    def answer(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        rounded: Tensor = other(*inputs)
        error.add(output, rounded)
        return rounded

    hook = layer.register_forward_hook(answer)
    try:
        yield
    finally:
        hook.remove()


def _logits(network: nn.Module, images: Tensor) -> Logits:
    weight = next(network.parameters())
    rows = [network(images[start : start + BATCH].to(weight)) for start in range(0, len(images), BATCH)]
    return np.asarray(torch.cat(rows).double().cpu().numpy())


def _area(logits: Logits, fakes: NDArray[np.bool_]) -> float:
    return auc(fakes, logits[:, 1] - logits[:, 0])


def _change(before: Logits, after: Logits) -> float:
    moved, size = float(np.square(after - before).mean()), float(np.square(before).mean())
    if not size:
        return math.inf if moved else 0.0
    return math.sqrt(moved / size)


def _told(ratio: float, form: str) -> str:
    if math.isfinite(ratio):
        return form.format(ratio)
    return "exact" if ratio > 0 else "no signal"


def blame_table(rows: list[Blame]) -> str:
    """The ranking as text for a terminal, aligned; without a line break at its end."""
    header = ("layer", "SNR of its output", "logits moved", "AUC drop")
    lines = [header] + [
        (
            row.layer,
            _told(row.snr_db, "{:.1f} dB"),
            f"{row.logit_change:.2%}",
            "" if row.auc_drop is None else f"{row.auc_drop:+.4f}",
        )
        for row in rows
    ]
    columns = 4 if any(row.auc_drop is not None for row in rows) else 3
    widths = [max(len(line[column]) for line in lines) for column in range(columns)]
    return "\n".join(
        "  ".join(text.rjust(width) if column else text.ljust(width) for column, (text, width) in enumerate(cells))
        for cells in (list(zip(line, widths, strict=False)) for line in lines)
    )


def blame_csv(rows: list[Blame]) -> str:
    """The ranking as CSV, a column for each of `Blame`'s fields; six digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in fields(Blame)])
    writer.writerows([f"{value:.6g}" if isinstance(value, float) else value for value in astuple(row)] for row in rows)
    return text.getvalue()


def plot_blame(rows: list[Blame], title: str) -> "Figure":
    """Horizontal bars, the worst layer on top: the change of the logits, and beside it the signal-to-noise ratio.

    Raises:
        MissingExtraError: without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "train") from error
    figure = Figure(figsize=(9, 1.3 + SLOTS * max(len(rows), 3)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    moved, noise = figure.subplots(1, 2, sharey=True)
    _bars(moved, [100 * row.logit_change for row in rows], "C3", "{:.2g}".format)
    moved.set_xlabel("logits moved when only it is rounded, % of their rms")
    moved.set_yticks(range(len(rows)), [row.layer for row in rows], fontsize=7)
    _bars(noise, [row.snr_db for row in rows], "C0", lambda ratio: _told(ratio, "{:.0f}"))
    noise.set_xlabel("signal-to-noise ratio of its output, dB")
    noise.set_ylim(len(rows) - 0.4, -0.6)
    return figure


def _bars(axes: "Axes", values: list[float], colour: str, tell: Callable[[float], str]) -> None:
    finite = [value if math.isfinite(value) else 0.0 for value in values]
    bars = axes.barh(range(len(values)), finite, color=colour, height=0.7)
    axes.bar_label(bars, [tell(value) for value in values], padding=2, fontsize=6)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.margins(x=0.1)
    axes.spines[["top", "right"]].set_visible(False)
