"""The training loop, on Hugging Face Accelerate: one GPU, several processes, a CPU; a killed run goes on."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from edgefake import metrics
from edgefake.checkpoint import Checkpoint, save_checkpoint
from edgefake.data.manifest import LABELS
from edgefake.data.mix import Mix, one_hot
from edgefake.data.pictures import Batch, PictureDataset, loader, stream, to_input
from edgefake.models import Network
from edgefake.predict import logits_of
from edgefake_runtime.errors import InputError, UsageError

from .config import TrainConfig
from .curves import CURVES_FILE, METRICS_FILE, EpochReport, plot_curves, write_metrics
from .objective import Lesson, Objective
from .order import Order, in_order
from .schedule import learning_rate
from .state import STATE_FILE, TrainingState, load_state, save_state
from .teachers import Teacher

__all__ = ["Engine", "Events", "Task", "make_accelerator"]

MIXED_PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
SAVE_SECONDS = 300.0
VALIDATION_BATCH = 128


@dataclass(frozen=True)
class Task:
    """What is to be learned: the networks and the data.

    Attributes:
        network: what learns.
        model: its named configuration.
        train: pictures to learn from.
        validation: pictures to report on, in the same classes.
        metadata: what the checkpoints say beside recipe and scores; JSON values.
        teacher: to distil from.
        frozen: modules that do not learn and stay in evaluation mode.
    """

    network: Network
    model: str
    train: PictureDataset
    validation: PictureDataset
    metadata: Mapping[str, Any]
    teacher: Teacher | None = None
    frozen: tuple[nn.Module, ...] = ()


@dataclass(frozen=True)
class Events:
    """Who is told of what happens, in the main process alone.

    Attributes:
        start: the number of pictures of the whole run, and of those done before.
        pictures: pictures as they are done.
        epoch: each epoch's report.
        note: what the user should know, a line each.
    """

    start: Callable[[int, int], None] = lambda total, done: None
    pictures: Callable[[int], None] = lambda count: None
    epoch: Callable[[EpochReport], None] = lambda report: None
    note: Callable[[str], None] = lambda line: None


@dataclass
class _Epoch:
    """What adds up within an epoch."""

    loss: float = 0.0
    steps: int = 0
    pictures: int = 0
    seconds: float = 0.0
    unreadable: list[str] = field(default_factory=list)


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Precision, accumulation and device of a run; joins the other processes, if there are any.

    Raises:
        UsageError: float16 without a GPU.
    """
    # Accelerate keeps its settings in singletons; a second run in one process may have others.
    AcceleratorState._reset_state()
    GradientState._reset_state()
    if config.precision == "float16" and not torch.cuda.is_available():
        raise UsageError("precision: float16 needs a GPU; take bfloat16 or float32")
    return Accelerator(
        mixed_precision=MIXED_PRECISION[config.precision],
        gradient_accumulation_steps=config.accumulate,
        cpu=not torch.cuda.is_available(),
        step_scheduler_with_optimizer=False,
    )


def _optimizer(objective: Objective, config: TrainConfig) -> torch.optim.AdamW:
    parameters = [p for p in objective.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.999), fused=True)


class Engine:
    """One run of a task: its steps, its saved states, its reports.

    Every random number of a step comes from the seed, the step, the part and the process, and order and augmentation
    likewise: a run that was killed and goes on from its last state ends with the weights of one that was not.
    """

    def __init__(
        self, task: Task, config: TrainConfig, accelerator: Accelerator, *, events: Events | None = None
    ) -> None:
        self.task, self.config, self.accelerator = task, config, accelerator
        self.events = events if events and self.accelerator.is_main_process else Events()
        device = self.accelerator.device
        self.teacher = task.teacher.to(device) if task.teacher else None
        if device.type == "cuda" and self.accelerator.num_processes > 1:
            # In place; a CPU has no such layer.
            nn.SyncBatchNorm.convert_sync_batchnorm(task.network)  # type: ignore[no-untyped-call]
        self.raw = _objective(task, config, self.teacher, device)
        self.optimizer_raw = _optimizer(self.raw, config)
        self.ema = self._average(config.ema)
        if config.compile:
            self.raw.compile_encoder()
        self.objective, self.optimizer = self.accelerator.prepare(self.raw, self.optimizer_raw)
        self.mix = Mix(mixup=config.mixup, cutmix=config.cutmix)
        self.reports: list[EpochReport] = []
        self.epoch = _Epoch()
        self.step = 0
        self.order = self._order()
        self._board: Any = None

    def _average(self, decay: float) -> AveragedModel | None:
        if not decay:
            return None
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        return AveragedModel(self.task.network, multi_avg_fn=average, use_buffers=True)

    def _order(self) -> Order:
        pictures, hands = len(self.task.train), self.config.accumulate * self.accelerator.num_processes
        if min(self.config.batch, pictures) < hands:
            raise UsageError(
                f"batch: expected at least {hands} pictures to share out, got {min(self.config.batch, pictures)}"
            )
        return Order(
            pictures,
            self.config.batch,
            self.config.accumulate,
            self.config.epochs,
            self.config.seed,
            processes=self.accelerator.num_processes,
            process=self.accelerator.process_index,
            begin=self.step,
        )

    @property
    def network(self) -> Network:
        """What is validated and kept: the network, or its moving average."""
        return self.ema.module if self.ema else self.task.network  # type: ignore[return-value]

    def resume(self) -> bool:
        """Go on from the last saved state; False where there is none yet.

        Raises:
            InputError: the state cannot be read, or is that of another run.
        """
        path = self.config.out / STATE_FILE
        if not path.is_file():
            return False
        progress = load_state(self._state(), path)
        if progress["data"] != self._data:
            raise InputError(f"{path}: expected the pictures and processes of that run, got others; start a new run")
        self.step = progress["step"]
        self.reports = [EpochReport(**report) for report in progress["reports"]]
        self.epoch = _Epoch(**progress["epoch"])
        if not self.accelerator.is_main_process:
            self.epoch.unreadable = []  # counted once
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(progress["scaler"])
        self.order = self._order()
        return True

    def _state(self) -> TrainingState:
        modules: dict[str, nn.Module] = {"objective": self.raw}
        if self.ema:
            modules["ema"] = self.ema
        progress = {
            "step": self.step,
            "reports": [asdict(report) for report in self.reports],
            "epoch": asdict(self.epoch),
            "data": self._data,
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else None,
        }
        return TrainingState(modules, self.optimizer_raw, progress)

    @cached_property
    def _data(self) -> list[Any]:
        """What a run must find again to go on."""
        return [self.task.train.digest(), self.accelerator.num_processes]

    def _save(self) -> None:
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.raw.parameters()):
            raise self._not_finite("weight", math.nan)
        if self.accelerator.is_main_process:
            save_state(self._state(), self.config.out / STATE_FILE)

    def run(self) -> list[EpochReport]:
        """Train to the last epoch.

        Raises:
            InputError: a loss or gradient that is not finite, no readable picture, a full disk.
        """
        size = self.order.batch if len(self.task.train) >= self.order.batch else len(self.task.train)
        self.events.start(self.order.steps * size, self.step * size)
        parts = stream(loader(self.task.train, self.order, workers=self.config.workers))
        keys = in_order(
            len(self.task.validation),
            VALIDATION_BATCH,
            processes=self.accelerator.num_processes,
            process=self.accelerator.process_index,
        )
        validation = loader(self.task.validation, keys, workers=self.config.workers)
        saved = time.monotonic()
        while self.step < self.order.steps:
            self._train_mode()
            self._one_step(parts)
            ends = self.step % self.order.steps_per_epoch == 0
            if ends:
                self._end_epoch(stream(validation))
                self._publish()
            if ends or self._due(saved):
                self._save()
                saved = time.monotonic()
        self.accelerator.wait_for_everyone()
        return self.reports

    def _due(self, saved: float) -> bool:
        if self.config.save_every:
            return self.step % self.config.save_every == 0
        return time.monotonic() - saved > SAVE_SECONDS

    def _train_mode(self) -> None:
        self.objective.train()
        for module in self.task.frozen:
            module.eval()

    def _one_step(self, parts: Iterator[Batch]) -> None:
        """One optimizer step over all its parts; `self.step` grows by one."""
        begun = time.monotonic()
        rate = self._set_rate()
        sums = torch.zeros(2, device=self.accelerator.device)  # of losses, of pictures
        for part in range(self.config.accumulate):
            batch = next(parts)
            count = int(batch.readable.sum())
            sums += torch.stack([self._part(batch, part) * count, sums.new_tensor(count)])
            self.epoch.unreadable += [str(self.task.train.path(i)) for i in batch.indices[~batch.readable].tolist()]
        loss, pictures = self.accelerator.reduce(sums, "sum").tolist()
        if not pictures:
            first = self.task.train.path(int(batch.indices[0]))
            raise InputError(f"step {self.step + 1}: expected a readable picture, got none, such as {first}")
        if not math.isfinite(loss):
            raise self._not_finite("loss", loss)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema:
            self.ema.update_parameters(self.task.network)
        self._count(loss / pictures, int(pictures), time.monotonic() - begun)
        self._log({"train/loss": loss / pictures, "train/lr": rate})
        self.events.pictures(min(self.config.batch, len(self.task.train)))

    def _count(self, loss: float, pictures: int, seconds: float) -> None:
        self.step += 1
        self.epoch.loss += loss
        self.epoch.steps += 1
        self.epoch.pictures += pictures
        self.epoch.seconds += seconds

    def _set_rate(self) -> float:
        """The rate in the middle of this step, so that neither the first nor the last one is zero."""
        epoch = (self.step + 0.5) / self.order.steps_per_epoch
        share = learning_rate(epoch, warmup=self.config.warmup_epochs, t_max=self.config.cosine_epochs)
        for group in self.optimizer_raw.param_groups:
            group["lr"] = self.config.lr * share
        return self.config.lr * share

    def _part(self, batch: Batch, part: int) -> Tensor:
        """Forward and backward of one part; gradients are clipped after the last one. Returns its mean loss.

        Each picture of a step weighs the same, whatever part and process it is in; those that cannot be read weigh 0.
        """
        source = (self.config.seed, self.step, part, self.accelerator.process_index)
        seed = int(np.random.SeedSequence(source).generate_state(1, np.uint64)[0] >> 1)
        torch.manual_seed(seed)
        images, targets = self._inputs(batch, torch.Generator().manual_seed(seed))
        hands = self.config.accumulate * self.accelerator.num_processes
        weight = int(batch.readable.sum()) * hands / min(self.config.batch, len(self.task.train))
        with self.accelerator.accumulate(self.objective):
            loss: Tensor = self.objective(images, targets, self._lesson(images))
            self.accelerator.backward(loss * weight)
            if self.accelerator.sync_gradients:
                norm = self.accelerator.clip_grad_norm_(self.raw.parameters(), self.config.clip or math.inf)
                if norm is not None and self.accelerator.scaler is None and not torch.isfinite(norm):
                    raise self._not_finite("gradient", float(norm))
        return loss.detach()

    def _inputs(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The readable pictures; all of them, black, where none is, so that every process takes part in the step."""
        kept = batch.readable if batch.readable.any() else torch.ones_like(batch.readable)
        device = self.accelerator.device
        images = to_input(batch.images[kept].to(device))
        targets = one_hot(batch.labels[kept], len(self.task.train.classes)).to(device)
        return self.mix(images, targets, generator)

    def _lesson(self, images: Tensor) -> Lesson | None:
        if self.teacher is None:
            return None
        with torch.no_grad(), self.accelerator.autocast():
            logits, cells = self.teacher(images)
        return Lesson(logits, cells)

    def _not_finite(self, what: str, value: float) -> InputError:
        step = self.step + (what in ("loss", "gradient"))
        epoch = max(0, step - 1) // self.order.steps_per_epoch + 1
        return InputError(
            f"step {step} (epoch {epoch}): expected a finite {what}, got {value}; lower --lr. "
            f"The checkpoints and the state before it are kept in {self.config.out}"
        )

    def _end_epoch(self, validation: Iterator[Batch]) -> None:
        begun = time.monotonic()
        loss, accuracy, auc = self._validate(validation)
        if not math.isfinite(loss):
            raise self._not_finite("validation loss", loss)
        unreadable = len({path for some in gather_object([self.epoch.unreadable]) for path in some})
        group = self.optimizer_raw.param_groups[0]
        self.reports.append(
            EpochReport(
                epoch=len(self.reports) + 1,
                train_loss=self.epoch.loss / self.epoch.steps,
                val_loss=loss,
                val_accuracy=accuracy,
                val_auc=auc,
                lr=group["lr"],
                images_per_s=self.epoch.pictures / self.epoch.seconds,
                seconds=self.epoch.seconds + time.monotonic() - begun,
                unreadable=unreadable,
            )
        )
        self.epoch = _Epoch()

    def _validate(self, batches: Iterator[Batch]) -> tuple[float, float, float | None]:
        """Cross-entropy, top-1 accuracy, and the AUC where the classes are real and fake."""
        if self.accelerator.num_processes > 1:
            for buffer in self.network.buffers():  # BatchNorm's statistics: all judge by the first one's
                torch.distributed.broadcast(buffer, 0)
        found = gather_object([logits_of(self.network, batches)])
        logits = np.concatenate([part for part, _ in found]).astype(np.float64)
        indices = np.concatenate([some for _, some in found]).tolist()
        labels = np.array([self.task.validation.label(index) for index in indices])
        if not len(labels):
            raise InputError("expected readable pictures in the validation split, got none")
        if self.accelerator.is_main_process:
            missing = set(range(len(self.task.validation))) - set(indices)
            self.epoch.unreadable += [str(self.task.validation.path(index)) for index in missing]
        loss = float(F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)))
        accuracy = float((logits.argmax(axis=1) == labels).mean())
        if self.task.validation.classes != LABELS or len(set(labels.tolist())) < 2:
            return loss, accuracy, None
        return loss, accuracy, metrics.auc(labels == 1, logits[:, 1] - logits[:, 0])

    def _publish(self) -> None:
        """Checkpoints, CSV, events and picture of what is known after an epoch."""
        if not self.accelerator.is_main_process:
            return
        report, out = self.reports[-1], self.config.out
        known = {"recipe": self.config.to_json(), "epochs": [asdict(each) for each in self.reports]}
        checkpoint = Checkpoint(self.network, self.task.model, metadata={**self.task.metadata, **known})
        save_checkpoint(checkpoint, out / "last")
        if report.score >= max(each.score for each in self.reports):
            save_checkpoint(checkpoint, out / "best")
        write_metrics(self.reports, out / METRICS_FILE)
        plot_curves(self.reports, out / CURVES_FILE, title=self.task.model)
        shown = {f"validation/{key}": getattr(report, f"val_{key}") for key in ("loss", "accuracy", "auc")}
        self._log({key: value for key, value in shown.items() if value is not None})
        self.events.epoch(report)

    def _log(self, values: Mapping[str, float]) -> None:
        if not self.accelerator.is_main_process:
            return
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.config.out / "events"), purge_step=self.step)
        for name, value in values.items():
            self._board.add_scalar(name, value, self.step)

    def close(self) -> None:
        """Close the event file and leave the group of processes."""
        if self._board is not None:
            with suppress(OSError):  # a full disk, of which the run itself has told
                self._board.close()
        self.accelerator.end_training()


def _objective(task: Task, config: TrainConfig, teacher: Teacher | None, device: torch.device) -> Objective:
    channels = None
    if teacher is not None:
        size = task.network.config.image_size
        with torch.no_grad():
            cells = teacher(torch.zeros(1, 3, size, size, device=device))[1]
        channels = None if cells is None else cells.shape[1]
    forms = config.distill_forms if teacher is not None else frozenset[str]()
    objective = Objective(
        task.network, forms=forms, cell_channels=channels, alpha=config.alpha, temperature=config.temperature
    )
    return objective.to(device)
