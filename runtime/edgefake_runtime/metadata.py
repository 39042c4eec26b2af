"""What a model file says about itself: the schema that training writes and the runtime requires."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from .errors import ModelFileError, UsageError

__all__ = [
    "METADATA_KEY",
    "SCHEMA",
    "Calibration",
    "Crop",
    "ModelMetadata",
    "OperatingShare",
    "QualityFloor",
    "Roc",
    "Uncertain",
]

METADATA_KEY = "edgefake"
"""Key of the one metadata entry (JSON) in an ONNX or TFLite file."""

SCHEMA = 1
"""Version of this schema; a file of a later one is refused."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ModelFileError(message)


def _require_types(record: object, **kinds: type) -> None:
    """Numbers must be finite; an int is a float, a bool is neither."""
    for name, kind in kinds.items():
        value = getattr(record, name)
        fits = isinstance(value, (int, float) if kind is float else kind)
        number = kind in (int, float)
        if not fits or (number and (isinstance(value, bool) or not math.isfinite(value))):
            raise ModelFileError(f"{name}: expected {kind.__name__}, got {value!r:.60}")


@dataclass(frozen=True)
class Crop:
    """How a face is cut from a frame.

    `square` first widens the shorter side of the detector's box to the longer one, about the centre; then
    the box moves down by `shift` times its height and grows by `margin` times its side on every side (or
    shrinks, when negative). Parts outside the frame are cut off, and of what is left the middle `share` of either
    side is taken. The result is resized to the input size by area averaging when it shrinks, bilinearly when it grows.
    """

    margin: float
    shift: float
    square: bool
    origin: str
    share: float = 1.0

    def __post_init__(self) -> None:
        _require_types(self, margin=float, shift=float, square=bool, origin=str, share=float)
        _require(-0.4 < self.margin < 3.0, f"crop margin: expected -0.4 to 3 box sides, got {self.margin}")
        _require(0.1 <= self.share <= 1, f"crop share: expected 0.1 to 1, got {self.share}")
        _require(abs(self.shift) < 1, f"crop shift: expected -1 to 1 box heights, got {self.shift}")


@dataclass(frozen=True)
class Calibration:
    """P(fake) = sigmoid(scale * (logit_fake - logit_real) + shift) (Platt, 1999); `scale` is 1 / temperature."""

    scale: float
    shift: float
    origin: str

    def __post_init__(self) -> None:
        _require_types(self, scale=float, shift=float, origin=str)
        _require(self.scale > 0, f"calibration: expected a positive scale, got {self.scale}")


@dataclass(frozen=True)
class Uncertain:
    """The band of scores, around the threshold, in which the verdict is `uncertain`."""

    low: float
    high: float
    origin: str

    def __post_init__(self) -> None:
        _require_types(self, low=float, high=float, origin=str)
        _require(
            0 <= self.low <= self.high <= 1,
            f"uncertain band: expected 0 <= low <= high <= 1, got {self.low} to {self.high}",
        )


@dataclass(frozen=True)
class OperatingShare:
    """A point of a curve: the false positives that were allowed, the threshold for them, what it costs and finds."""

    allowed: float
    threshold: float
    false_positives: float
    true_positives: float


@dataclass(frozen=True)
class Roc:
    """Measured operating points: what calling a crop fake from a P(fake) on costs and finds.

    Attributes:
        thresholds: of P(fake), falling.
        false_positives: share of the real crops at or above each threshold, rising.
        true_positives: share of the fake crops at or above it.
        reals: number of real crops behind the shares.
        origin: what was measured.
    """

    thresholds: tuple[float, ...]
    false_positives: tuple[float, ...]
    true_positives: tuple[float, ...]
    reals: int
    origin: str

    def __post_init__(self) -> None:
        _require_types(self, reals=int, origin=str)
        columns = (self.thresholds, self.false_positives, self.true_positives)
        for column in columns:
            fits = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in column)
            _require(fits and all(0 <= value <= 1 for value in column), "ROC: expected shares from 0 to 1")
        _require(len({len(column) for column in columns}) == 1, "ROC: expected columns of one length")
        _require(len(self.thresholds) > 0, "ROC: expected operating points, got none")
        _require(self.reals > 0, f"ROC: expected real crops behind it, got {self.reals}")
        steps = zip(self.thresholds[1:], self.thresholds, strict=False)
        _require(all(later < before for later, before in steps), "ROC: expected falling thresholds")
        steps = zip(self.false_positives[1:], self.false_positives, strict=False)
        _require(all(later >= before for later, before in steps), "ROC: expected rising false positives")

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """From JSON values, whose lists become tuples."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
        return cls(**values)

    def threshold(self, false_positives: float) -> float:
        """The lowest threshold at which at most this share of the real crops counts as fake.

        Raises:
            UsageError: a share that so few real crops cannot tell from none, or out of range.
        """
        if not 1 / self.reals <= false_positives <= 1:
            least = min(math.ceil(1e4 / self.reals) / 1e4, 1.0)  # rounded up, so that what is said is taken
            raise UsageError(
                f"max-false-positives: expected {least:.4f} to 1, which is what the {self.reals} real crops "
                f"behind the model's curve can tell; got {false_positives}"
            )
        fits = [t for t, share in zip(self.thresholds, self.false_positives, strict=True) if share <= false_positives]
        if not fits:
            least = math.ceil(1e4 * self.false_positives[0]) / 1e4
            raise UsageError(f"max-false-positives: expected {least:.4f} or more, got {false_positives}")
        return fits[-1]

    def points(self, shares: Sequence[float]) -> list[OperatingShare]:
        """The thresholds for these shares of false positives, as far as the curve knows them, each once."""
        found: dict[float, OperatingShare] = {}
        for allowed in shares:
            with suppress(UsageError):
                threshold = self.threshold(allowed)
                place = self.thresholds.index(threshold)
                shares = self.false_positives[place], self.true_positives[place]
                found.setdefault(threshold, OperatingShare(allowed, threshold, *shares))
        return list(found.values())


@dataclass(frozen=True)
class QualityFloor:
    """Faces below it are set aside: there the model was measured to know too little.

    Attributes:
        side: least geometric mean of the box's sides, pixels.
        sharpness: least, as `edgefake_runtime.quality` measures it.
        turn: largest.
        origin: what was measured.
    """

    side: float
    sharpness: float
    turn: float
    origin: str

    def __post_init__(self) -> None:
        _require_types(self, side=float, sharpness=float, turn=float, origin=str)

    @property
    def words(self) -> str:
        """Which faces, for people: "below 40 pixels, of a sharpness ..."."""
        return (
            f"below {self.side:.0f} pixels, of a sharpness below {self.sharpness:.3f}, or turned by more than "
            f"{self.turn:.2f} (half-way to profile is 0.5)"
        )


@dataclass(frozen=True)
class ModelMetadata:
    """Everything that the runtime needs to turn a frame into a score.

    Attributes:
        name: of the model, such as "bitvit-tiny".
        architecture: named configuration that the weights fit, such as "bitvit-tiny".
        bits: width of the encoder's weights: 32, 16, 8, 6, 4, 3 or 2.
        recipe: how the weights came to their width: "float32", "qat", "absmax", "zeropoint" or "gptq".
        input_size: side of the square input, in pixels.
        color: channel order of the input, always "RGB".
        mean, std: per channel, of values in 0..1.
        crop: how a face is cut from a frame.
        labels: classes in the order of the logits.
        calibration: logits to P(fake).
        threshold: P(fake) from which a face counts as fake.
        uncertain: the band around it.
        roc: other operating points; None in files of before they were stored.
        quality: the floor below which a face is set aside; None for none.
        edgefake: version that wrote the file.
        training: what it was trained on and how (free form, for people).
    """

    name: str
    architecture: str
    bits: int
    recipe: str
    input_size: int
    color: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop: Crop
    labels: tuple[str, str]
    calibration: Calibration
    threshold: float
    uncertain: Uncertain
    edgefake: str
    training: Mapping[str, Any] = field(default_factory=dict)
    roc: Roc | None = None
    quality: QualityFloor | None = None
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        _require(self.schema == SCHEMA, f"metadata schema: expected {SCHEMA}, got {self.schema}; update edgefake")
        _require_types(self, name=str, architecture=str, bits=int, recipe=str, input_size=int, threshold=float)
        _require_types(self, edgefake=str, training=dict)
        for value in (*self.mean, *self.std):
            _require(isinstance(value, (int, float)) and math.isfinite(value), f"mean, std: got {value!r:.60}")
        _require(self.labels == ("real", "fake"), f"labels: expected real, fake; got {', '.join(self.labels)}")
        _require(self.color == "RGB", f"color: expected RGB, got {self.color}")
        _require(8 <= self.input_size <= 4096, f"input size: expected 8 to 4096 pixels, got {self.input_size}")
        _require(len(self.mean) == 3 and len(self.std) == 3, "mean and std: expected three values each")
        _require(all(s > 0 for s in self.std), f"std: expected positive values, got {self.std}")
        band = self.uncertain
        _require(
            band.low <= self.threshold <= band.high,
            f"threshold: expected one in the uncertain band {band.low} to {band.high}, got {self.threshold}",
        )

    def to_json(self) -> str:
        """The JSON text kept in a model file: sorted keys, so that equal metadata are equal bytes."""
        values = asdict(self)
        if self.crop.share == 1:
            del values["crop"]["share"]  # unknown to runtimes of version 0.1.0's first models, which have none
        for name in ("roc", "quality"):
            if values[name] is None:
                del values[name]
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read metadata back.

        Raises:
            ModelFileError: not JSON, a field is missing or of the wrong type, or a value is impossible.
        """
        try:
            raw = json.loads(text)
            known = {f.name for f in fields(cls)}
            values = {key: value for key, value in raw.items() if key in known}
            values["crop"] = Crop(**raw["crop"])
            values["calibration"] = Calibration(**raw["calibration"])
            values["uncertain"] = Uncertain(**raw["uncertain"])
            if values.get("roc") is not None:
                values["roc"] = Roc.of(raw["roc"])
            if values.get("quality") is not None:
                values["quality"] = QualityFloor(**raw["quality"])
            for key in ("mean", "std", "labels"):
                values[key] = tuple(raw[key])
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
            raise ModelFileError(f"the model's metadata are damaged ({error}); export it again") from error
