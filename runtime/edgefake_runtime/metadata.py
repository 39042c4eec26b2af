"""What a model file says about itself: the schema that training writes and the runtime requires."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from .errors import ModelFileError

__all__ = ["METADATA_KEY", "SCHEMA", "Calibration", "Crop", "ModelMetadata", "Uncertain"]

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
            for key in ("mean", "std", "labels"):
                values[key] = tuple(raw[key])
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
            raise ModelFileError(f"the model's metadata are damaged ({error}); export it again") from error
