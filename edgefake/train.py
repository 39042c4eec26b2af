"""Training on labelled face crops: AdamW, cosine schedule with warm-up, validation every epoch."""

import csv
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edgefake_runtime import Crop, InputError, UsageError

from . import metrics
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .crop_margin import measure_crop
from .data import IMAGENET_MEAN, IMAGENET_STD, CropDataset, batches, to_input
from .distill import Distiller
from .manifest import Sample, read_manifest
from .models import Network, build

__all__ = ["EpochReport", "TrainConfig", "learning_rate", "predict", "train"]

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class TrainConfig:
    """A recipe. The defaults follow the thesis, section 4.1, where it speaks of them.

    Attributes:
        model: named configuration.
        data: manifest with the columns file, label, split; splits `train` and `val`.
        out: folder for the checkpoints `best` and `last` and for `metrics.csv`.
        epochs: passes over the train split.
        batch: images a step.
        lr: peak learning rate.
        weight_decay: of AdamW, on matrices; gains and biases have none.
        warmup: share of all steps in which the rate grows linearly.
        seed: of weights, order and augmentation.
        workers: processes that decode and augment.
        precision: "float32", or "bfloat16" for autocast.
        compile: run the network through torch.compile.
        teacher: checkpoint folder to distil from.
        init: checkpoint folder whose weights to start from.
        crop_margin: how the crops were cut, in box sides; None to measure it from them.
    """

    model: str
    data: Path
    out: Path
    epochs: int = 10
    batch: int = 64
    lr: float = 1e-3
    weight_decay: float = 1e-4
    warmup: float = 0.05
    seed: int = 0
    workers: int = 1
    precision: str = "float32"
    compile: bool = False
    teacher: Path | None = None
    init: Path | None = None
    crop_margin: float | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if not (self.lr > 0 and self.weight_decay >= 0 and 0 <= self.warmup < 1 and self.workers >= 0):
            got = f"{self.lr}, {self.weight_decay}, {self.warmup}, {self.workers}"
            raise UsageError(f"expected lr > 0, weight decay >= 0, warm-up in [0, 1), workers >= 0; got {got}")
        if self.seed < 0:
            raise UsageError(f"seed: expected 0 or more, got {self.seed}")
        if self.crop_margin is not None and not -0.4 < self.crop_margin < 3:
            raise UsageError(f"crop margin: expected -0.4 to 3 box sides, got {self.crop_margin}")
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision: expected {' or '.join(PRECISIONS)}, got {self.precision}")

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON values; folders by their last part, so that no machine's paths travel."""
        values = asdict(self)
        return {key: value.name if isinstance(value, Path) else value for key, value in values.items()}


@dataclass(frozen=True)
class EpochReport:
    """What one epoch gave; losses in nats, seconds of wall clock."""

    epoch: int
    train_loss: float
    val_auc: float
    val_accuracy: float
    lr: float
    images_per_s: float
    seconds: float


def learning_rate(step: int, *, steps: int, warmup: float) -> float:
    """Share of the peak rate at a step: linear warm-up, then half a cosine down to zero (Loshchilov & Hutter 2017)."""
    rising = max(1, round(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _optimizer(modules: Iterable[nn.Module], config: TrainConfig) -> torch.optim.AdamW:
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    matrices = [p for p in parameters if p.ndim > 1]
    vectors = [p for p in parameters if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.999))


def predict(network: Network, dataset: CropDataset, *, batch: int = 128, workers: int = 0) -> NDArray[np.float32]:
    """Logits of every crop, in the data set's order: (n, classes), float32."""
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        found = [
            network(to_input(images.to(device))).float().cpu()
            for images, _ in batches(dataset, batch=batch, workers=workers)
        ]
    return torch.cat(found).numpy()


def _validate(network: Network, dataset: CropDataset, workers: int) -> tuple[float, float]:
    logits = predict(network, dataset, workers=workers).astype(np.float64)
    labels = np.array([sample.fake for sample in dataset.samples])
    margin = logits[:, 1] - logits[:, 0]
    return metrics.auc(labels, margin), float(((margin >= 0) == labels).mean())


class Trainer:
    """One run: the network, its optimizer and its data."""

    def __init__(self, config: TrainConfig, samples: list[Sample], validation: list[Sample]) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = build(config.model)
        if config.init:
            _start_from(network, config.init)
        distiller = Distiller(network, load_checkpoint(config.teacher).network) if config.teacher else None
        self.network = network.to(self.device)
        self.distiller = distiller.to(self.device) if distiller else None
        size = network.config.image_size
        self.samples = CropDataset(samples, size, augmented=True, seed=config.seed)
        self.validation = CropDataset(validation, size, augmented=False)
        self.steps = config.epochs * max(1, len(samples) // config.batch)
        self.optimizer = _optimizer([self.network, *filter(None, [self.distiller])], config)
        self.crop = self._crop(samples)
        self.features: Callable[[Tensor], Tensor] = self.network.features
        if config.compile:
            self.features = torch.compile(self.network.features)

    def _crop(self, samples: list[Sample]) -> Crop:
        if self.config.crop_margin is None:
            return measure_crop(samples)
        return Crop(self.config.crop_margin, shift=0.0, square=True, origin="given by --crop-margin")

    def step(self, images: Tensor, labels: Tensor, *, rate: float) -> float:
        """One optimizer step on (B, size, size, 3) bytes and (B,) labels; returns the loss.

        Raises:
            InputError: the loss is not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * rate
        inputs = to_input(images.to(self.device))
        low = self.config.precision != "float32"
        with torch.autocast(self.device.type, PRECISIONS[self.config.precision], enabled=low):
            features = self.features(inputs)
            logits = self.network.classify(features)
            loss = F.cross_entropy(logits.float(), labels.to(self.device))
            if self.distiller:
                loss = loss + self.distiller(inputs, features, logits)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InputError(f"the loss became {value}: lower --lr; the checkpoints before this epoch are kept")
        self.optimizer.step()
        return value

    def epoch(self, index: int, advance: Callable[[int], None]) -> EpochReport:
        """Train on every crop once, then validate. `advance` is told of images done."""
        self.network.train()
        self.samples.epoch = index
        per_epoch = self.steps // self.config.epochs
        losses, seen, begun = [], 0, time.monotonic()
        loader = batches(self.samples, batch=self.config.batch, workers=self.config.workers)
        for number, (images, labels) in enumerate(loader):
            rate = learning_rate(index * per_epoch + number, steps=self.steps, warmup=self.config.warmup)
            losses.append(self.step(images, labels, rate=rate))
            seen += len(labels)
            advance(len(labels))
        trained = time.monotonic() - begun
        auc, accuracy = _validate(self.network, self.validation, self.config.workers)
        seconds = time.monotonic() - begun
        return EpochReport(
            index + 1, float(np.mean(losses)), auc, accuracy, self.config.lr * rate, seen / trained, seconds
        )

    def checkpoint(self, reports: list[EpochReport]) -> Checkpoint:
        """The network as it stands, with its recipe and its last scores."""
        metadata = {
            "mean": IMAGENET_MEAN,
            "std": IMAGENET_STD,
            "crop": asdict(self.crop),
            "recipe": self.config.to_json(),
            "epochs": [asdict(report) for report in reports],
        }
        return Checkpoint(self.network, self.config.model, metadata=metadata)


def _start_from(network: Network, folder: Path) -> None:
    checkpoint = load_checkpoint(folder)
    if checkpoint.compact:
        raise UsageError(f"{folder}: expected a full checkpoint to go on from, got a compact one")
    try:
        network.load_state_dict(checkpoint.network.state_dict())
    except RuntimeError as error:
        raise UsageError(f"{folder}: expected weights of the same shape, got those of {checkpoint.model}") from error


def _write_metrics(path: Path, reports: list[EpochReport]) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=[field.name for field in fields(EpochReport)])
        writer.writeheader()
        writer.writerows(asdict(report) for report in reports)
    temporary.replace(path)


def _check(samples: list[Sample], validation: list[Sample], config: TrainConfig) -> None:
    """What would only fail after hours: one class, people in both splits, a folder that cannot be written."""
    for name, part in (("train", samples), ("val", validation)):
        fakes = sum(sample.fake for sample in part)
        if not 0 < fakes < len(part):
            raise InputError(f"{config.data}: expected both classes in {name}, got {fakes} fake of {len(part)}")
    shared = {sample.group for sample in samples} & {sample.group for sample in validation}
    if shared:
        raise InputError(
            f"{config.data}: expected groups that stand in one split, got {len(shared)} in both, such as {min(shared)}"
        )
    try:
        config.out.mkdir(parents=True, exist_ok=True)
        _write_metrics(config.out / "metrics.csv", [])
    except OSError as error:
        raise InputError(f"{config.out}: expected a folder that can be written, got: {error.strerror}") from error


def train(
    config: TrainConfig,
    *,
    on_start: Callable[[int], None] = lambda images: None,
    on_images: Callable[[int], None] = lambda images: None,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
) -> list[EpochReport]:
    """Train a named model on a manifest of face crops; write `best`, `last` and `metrics.csv`.

    `best` has the highest validation AUC so far, `last` is the newest epoch.

    Args:
        config: the recipe.
        on_start: told the number of images of the whole run.
        on_images: told of images as they are done.
        on_epoch: given each epoch's report.

    Raises:
        InputError: unreadable data, or a loss that is not finite.
        UsageError: impossible settings.
    """
    required = ("file", "label", "split")
    samples = read_manifest(config.data, split="train", required=required)
    validation = read_manifest(config.data, split="val", required=required)
    _check(samples, validation, config)
    trainer = Trainer(config, samples, validation)
    on_start(trainer.steps * config.batch if len(samples) > config.batch else config.epochs * len(samples))
    reports: list[EpochReport] = []
    for index in range(config.epochs):
        reports.append(trainer.epoch(index, on_images))
        checkpoint = trainer.checkpoint(reports)
        save_checkpoint(checkpoint, config.out / "last")
        if reports[-1].val_auc >= max(report.val_auc for report in reports):
            save_checkpoint(checkpoint, config.out / "best")
        _write_metrics(config.out / "metrics.csv", reports)
        on_epoch(reports[-1])
    return reports
