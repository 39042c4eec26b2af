"""The settings of a run: defaults of each recipe, a TOML file over them, single options over that."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self, get_args, get_type_hints

from edgefake.whole import write_whole
from edgefake_runtime.errors import InputError, UsageError

__all__ = ["CONFIG_FILE", "RECIPES", "TrainConfig", "option_types", "read_config", "write_config"]

CONFIG_FILE = "config.toml"
PRECISIONS = ("float32", "bfloat16", "float16")
VIEWS = ("face", "crop")
FAKES = ("labelled", "self-blended", "both")
DISTILL = ("hard", "soft", "dense")
LARGEST_IMAGE = 2048

RECIPES: dict[str, dict[str, Any]] = {
    # Labelled face crops, from fresh weights.
    "train": {},
    # The thesis, section 4.1.
    "pretrain": {
        "epochs": 50,
        "batch": 1024,
        "accumulate": 4,
        "warmup_epochs": 5.0,
        "t_max": 90.0,
        "precision": "bfloat16",
        "view": "crop",
        "randaugment": 2,
        "mixup": 0.2,
        "distill": "hard",
    },
    # The thesis, section 4.3; it says nothing of the schedule, which here falls to zero within the ten epochs.
    "finetune": {"epochs": 10, "batch": 256, "warmup_epochs": 1.0, "train_blocks": 6, "view": "crop"},
}
"""Command -> its defaults where they differ from those of `TrainConfig`."""


def _setting(default: Any, about: str) -> Any:
    return field(default=default, metadata={"about": about})


@dataclass(frozen=True)
class TrainConfig:
    """Every setting of a run; each field is an option of the command line and a key of the TOML file.

    The effective batch is `batch` images an optimizer step, over all processes; each process takes its share in
    `accumulate` parts. Epochs may be fractions in `warmup_epochs` and `t_max`.

    Raises:
        UsageError: an impossible value.
    """

    # ruff: noqa: RUF009  # _setting makes fields
    recipe: str = _setting("train", "train, pretrain or finetune")
    data: Path = _setting(
        Path(), "manifest (CSV: file,label,split); pretrain takes a folder train/ val/ of classes too"
    )
    out: Path = _setting(Path(), "folder for checkpoints, metrics and curves")
    model: str = _setting("", "named configuration, such as bitvit-tiny")
    init: Path | None = _setting(
        None, "checkpoint whose weights to start from (a smaller ViT's are grown), or imagenet for cnn-lite0"
    )
    image_size: int = _setting(0, "side of the input in pixels, such as 112 first and then --init; 0 for the model's")
    epochs: int = _setting(10, "passes over the train split")
    batch: int = _setting(64, "images an optimizer step, over all processes")
    accumulate: int = _setting(1, "parts in which a process computes its share of a batch")
    lr: float = _setting(1e-3, "peak learning rate")
    weight_decay: float = _setting(1e-4, "of AdamW, on matrices")
    warmup_epochs: float = _setting(0.5, "epochs in which the rate grows")
    t_max: float = _setting(0.0, "epochs of the cosine after the warm-up; 0 for all that are left")
    clip: float = _setting(1.0, "largest norm of the gradient; 0 for none")
    ema: float = _setting(0.0, "decay of an exponential moving average of the weights, such as 0.999; 0 for none")
    dropout: float | None = _setting(None, "in the head; the configuration's own otherwise")
    train_blocks: int = _setting(-1, "train the last N blocks and the head alone; -1 for everything")
    view: str = _setting("face", "face: whole crops, softened as cameras and codecs do; crop: random crop and flip")
    randaugment: int = _setting(0, "operations of RandAugment")
    magnitude: int = _setting(10, "of RandAugment, 0 to 30")
    mixup: float = _setting(0.0, "alpha of MixUp; 0 for none")
    cutmix: float = _setting(0.0, "alpha of CutMix; 0 for none")
    fakes: str = _setting("labelled", "labelled, self-blended (from reals alone) or both")
    blend_share: float = _setting(1.0, "share of the reals that are blended, the same ones in every epoch")
    crop_margin: float | None = _setting(None, "how the crops were cut, in box sides; measured from them otherwise")
    strict: bool = _setting(False, "stop at a picture that cannot be read, instead of leaving it out")
    teacher: str | None = _setting(None, "checkpoint to distil from, or timm:NAME, torchvision:NAME")
    distill: str = _setting("soft,dense", "what of the teacher: hard, soft, dense, or several with commas")
    alpha: float = _setting(0.5, "the teacher's share of the loss against the labels'")
    temperature: float = _setting(1.0, "of soft labels")
    precision: str = _setting("float32", "float32, bfloat16 or float16 (a GPU's)")
    compile: bool = _setting(False, "run the network through torch.compile")
    workers: int = _setting(1, "processes that decode and augment, for each process that trains")
    save_every: int = _setting(0, "steps between two saved states; every five minutes otherwise")
    seed: int = _setting(0, "of weights, order and augmentation")

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_numbers()

    def _check_choices(self) -> None:
        choices = {"recipe": tuple(RECIPES), "precision": PRECISIONS, "view": VIEWS, "fakes": FAKES}
        for name, known in choices.items():
            _expect(getattr(self, name) in known, name, " or ".join(known), getattr(self, name))
        forms = self.distill_forms
        sound = bool(forms) and forms <= set(DISTILL) and not {"hard", "soft"} <= forms
        _expect(sound, "distill", "hard or soft, with or without dense", self.distill)
        if self.recipe == "pretrain":
            _expect(self.fakes == "labelled", "fakes", "labelled for pretrain", self.fakes)
        _expect(self.randaugment > 0 or self.magnitude == 10, "magnitude", "--randaugment beside it", self.magnitude)
        alone = self.recipe != "finetune" and self.init is None
        _expect(self.train_blocks < 0 or not alone, "train_blocks", "--init beside it", self.train_blocks)
        if self.teacher is not None and self.distill_forms == {"dense"}:
            _expect(
                self.alpha == 0.5 and self.temperature == 1, "alpha, temperature", "hard or soft labels", "dense alone"
            )
        whole = self.blend_share == 1
        _expect(whole or self.fakes != "labelled", "blend_share", "--fakes self-blended or both", self.blend_share)
        if self.teacher is None:
            for name in ("distill", "alpha", "temperature"):
                usual = RECIPES[self.recipe].get(name, getattr(type(self), name))
                _expect(getattr(self, name) == usual, name, "a --teacher beside it", getattr(self, name))

    def _check_numbers(self) -> None:
        for name in ("epochs", "batch", "accumulate"):
            _expect(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("weight_decay", "warmup_epochs", "t_max", "clip", "randaugment", "mixup", "cutmix"):
            _expect(0 <= getattr(self, name) < float("inf"), name, "0 or more", getattr(self, name))
        for name in ("workers", "save_every", "seed", "image_size"):
            _expect(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        _expect(0 < self.lr < float("inf"), "lr", "more than 0", self.lr)
        _expect(0 < self.temperature < float("inf"), "temperature", "more than 0", self.temperature)
        _expect(self.image_size <= LARGEST_IMAGE, "image_size", f"at most {LARGEST_IMAGE}", self.image_size)
        _expect(self.batch >= self.accumulate, "batch", f"at least {self.accumulate} to accumulate", self.batch)
        _expect(
            self.warmup_epochs < self.epochs, "warmup_epochs", f"less than {self.epochs} epochs", self.warmup_epochs
        )
        _expect(self.train_blocks >= -1, "train_blocks", "-1 or more", self.train_blocks)
        _expect(0 <= self.ema < 1, "ema", "0 to less than 1", self.ema)
        _expect(0 <= self.alpha <= 1, "alpha", "0 to 1", self.alpha)
        _expect(0 < self.blend_share <= 1, "blend_share", "more than 0, to 1", self.blend_share)
        _expect(self.dropout is None or 0 <= self.dropout < 1, "dropout", "0 to less than 1", self.dropout)
        _expect(0 <= self.magnitude <= 30, "magnitude", "0 to 30", self.magnitude)
        margin = self.crop_margin
        _expect(margin is None or -0.4 < margin < 3, "crop_margin", "-0.4 to 3 box sides", margin)

    @property
    def distill_forms(self) -> frozenset[str]:
        """What is asked of the teacher, as a set."""
        return frozenset(form.strip() for form in self.distill.split(",") if form.strip())

    @property
    def cosine_epochs(self) -> float:
        """Epochs from the peak of the learning rate to zero."""
        return self.t_max or self.epochs - self.warmup_epochs

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values; folders by their last part, so that no machine's paths travel."""
        values = asdict(self)
        shown = {key: value.name if isinstance(value, Path) else value for key, value in values.items()}
        if self.teacher and ":" not in self.teacher:
            shown["teacher"] = Path(self.teacher).name
        return shown

    @classmethod
    def of(cls, recipe: str, *layers: Mapping[str, Any]) -> Self:
        """The defaults of a recipe with layers of settings over them, the last one on top.

        Raises:
            UsageError: an unknown name, a value of another type, or an impossible one.
        """
        values: dict[str, Any] = {"recipe": recipe} | RECIPES[recipe]
        for layer in layers:
            values |= {name: _converted(name, value) for name, value in layer.items()}
        return cls(**values)


def _expect(holds: bool, name: str, wanted: str, got: object) -> None:
    if not holds:
        raise UsageError(f"{name.replace('_', '-')}: expected {wanted}, got {got}")


def option_types() -> dict[str, type]:
    """Name of each setting -> its type, without "or none"."""
    hints = get_type_hints(TrainConfig)
    return {item.name: (get_args(hints[item.name]) or (hints[item.name],))[0] for item in fields(TrainConfig)}


def _converted(name: str, value: Any) -> Any:
    kinds = option_types()
    if name not in kinds:
        raise UsageError(f"expected a setting among {', '.join(kinds)}; got {name}")
    kind = kinds[name]
    if kind is Path and isinstance(value, (str, Path)):
        return Path(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UsageError(f"{name}: expected {kind.__name__}, got {value!r}")
    return value


def read_config(path: Path) -> dict[str, Any]:
    """The settings of a TOML file: its top-level keys.

    Raises:
        InputError: unreadable, or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: expected a TOML file of settings, got: {reason}") from error


def write_config(config: TrainConfig, path: Path) -> None:
    """Write every setting that has a value as TOML; `read_config` gives them back."""
    import tomli_w

    values = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(config).items()}
    write_whole(path, tomli_w.dumps({key: value for key, value in values.items() if value is not None}).encode())
