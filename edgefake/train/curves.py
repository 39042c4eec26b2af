"""What a run did, epoch by epoch: a CSV, TensorBoard's events and a picture of the curves."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from edgefake.whole import write_whole

__all__ = ["CURVES_FILE", "METRICS_FILE", "EpochReport", "plot_curves", "write_metrics"]

METRICS_FILE = "metrics.csv"
CURVES_FILE = "curves.png"


@dataclass(frozen=True)
class EpochReport:
    """What one epoch gave.

    Attributes:
        epoch: from 1.
        train_loss: mean over the epoch, nats; with a teacher its share included.
        val_loss: cross-entropy of the validation split, nats.
        val_accuracy: share of pictures whose largest logit is that of their class (top-1).
        val_auc: of P(fake); None where the classes are not real and fake.
        lr: at the end of the epoch.
        images_per_s: while training.
        seconds: of wall clock, validation included.
        unreadable: pictures of the train split that could not be read.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    val_auc: float | None
    lr: float
    images_per_s: float
    seconds: float
    unreadable: int

    @property
    def score(self) -> float:
        """What `best` is chosen by: AUC where there is one, else accuracy."""
        return self.val_accuracy if self.val_auc is None else self.val_auc


def write_metrics(reports: Sequence[EpochReport], path: Path) -> None:
    """Write the reports as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [item.name for item in fields(EpochReport)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(report) for report in reports)
    write_whole(path, text.getvalue().encode())


def plot_curves(reports: Sequence[EpochReport], path: Path, *, title: str) -> None:
    """Draw loss, and AUC or accuracy, over the epochs as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    losses, scores = figure.subplots(1, 2)
    epochs = [report.epoch for report in reports]
    losses.plot(epochs, [report.train_loss for report in reports], marker=".", label="train")
    losses.plot(epochs, [report.val_loss for report in reports], marker=".", label="validation (cross-entropy)")
    losses.set(xlabel="epoch", ylabel="loss, nats", title=title)
    losses.legend()
    if reports and reports[-1].val_auc is not None:
        scores.plot(epochs, [report.val_auc for report in reports], marker=".", color="C2", label="AUC")
    scores.plot(epochs, [report.val_accuracy for report in reports], marker=".", color="C3", label="accuracy")
    scores.set(xlabel="epoch", ylabel="validation")
    scores.legend()
    for axes in (losses, scores):
        _finish(axes)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    write_whole(path, picture.getvalue())


def _finish(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.grid(alpha=0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
