"""What a preparation is asked to do: settings that refuse impossible values."""

import re
from dataclasses import asdict, dataclass
from typing import Any, Self

from edgefake_runtime.errors import ModelFileError, UsageError
from edgefake_runtime.metadata import Crop

__all__ = ["SPLITS", "CropSettings", "PrepareSettings", "Shares"]

SPLITS = ("train", "val", "test")
"""Names of the splits, in the order in which `--split` gives their shares."""

SPLIT_MODES = ("auto", "component", "identity")
FORMATS = ("jpg", "png")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


@dataclass(frozen=True)
class Shares:
    """Percent of the videos that each split shall hold; they add up to 100."""

    train: float
    val: float
    test: float

    def __post_init__(self) -> None:
        values = (self.train, self.val, self.test)
        fits = all(value >= 0 for value in values) and abs(sum(values) - 100) < 1e-6
        _require(fits, f"split: expected three percentages of 0 or more that add up to 100, got {self}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "80/10/10".

        Raises:
            UsageError: not three numbers that add up to 100.
        """
        parts = text.split("/")
        try:
            train, val, test = (float(part) for part in parts)
        except ValueError as error:
            raise UsageError(f"split: expected percentages as in 80/10/10, got {text!r}") from error
        return cls(train, val, test)

    def __str__(self) -> str:
        return f"{self.train:g}/{self.val:g}/{self.test:g}"

    def fractions(self) -> dict[str, float]:
        """Share of each split, 0 to 1."""
        return {"train": self.train / 100, "val": self.val / 100, "test": self.test / 100}


@dataclass(frozen=True)
class CropSettings:
    """Which frames are looked at and how the largest face is cut from each.

    Attributes:
        every: look at each n-th frame of a video, from the first (thesis section 3.1: 30).
        max_frames: look at no more frames of a video; None for all.
        size: side of the square crop, in pixels.
        margin: pixels of the crop that surround the face box, half on either side, as in facenet-pytorch.
        format: "jpg" or "png".
        quality: of a JPEG, 1 to 100.
    """

    every: int = 30
    max_frames: int | None = None
    size: int = 256
    margin: float = 40
    format: str = "jpg"
    quality: int = 95

    def __post_init__(self) -> None:
        most = self.max_frames
        _require(self.every >= 1, f"every: expected 1 or more, got {self.every}")
        _require(most is None or most >= 1, f"max frames: expected 1 or more, got {most}")
        _require(16 <= self.size <= 4096, f"size: expected 16 to 4096 pixels, got {self.size}")
        _require(self.format in FORMATS, f"format: expected {' or '.join(FORMATS)}, got {self.format!r}")
        _require(1 <= self.quality <= 100, f"quality: expected 1 to 100, got {self.quality}")
        _require(0 <= self.margin < self.size, f"margin: expected 0 to below {self.size} pixels, got {self.margin:g}")
        try:
            self.crop()
        except ModelFileError as error:
            raise UsageError(f"margin: expected less of a crop of {self.size} pixels, got {self.margin:g}") from error

    def crop(self) -> Crop:
        """The rule for the runtime, in box sides.

        facenet-pytorch 2.5.3 (`extract_face`) adds margin * side / (size - margin) pixels of the frame, half
        of them on either side, and keeps the box's own aspect.
        """
        margin = self.margin / 2 / (self.size - self.margin)
        origin = f"edgefake prepare: margin of {self.margin:g} pixels in a crop of {self.size}, as in facenet-pytorch"
        return Crop(margin=margin, shift=0.0, square=False, origin=origin)


@dataclass(frozen=True)
class PrepareSettings:
    """All that decides the result, besides the videos.

    Attributes:
        cut: frames and crops.
        layout: name of a layout, or "auto".
        compression: "raw", "c23" or "c40" of FaceForensics++, "all", or None where only one is there.
        methods: keep the fakes of these manipulations alone; empty for all.
        group_regex: what it finds in a video's path (its first group, if any) is one more identity.
        shares: of the splits.
        split_by: "component", "identity" or "auto"; see `edgefake.prepare.split`.
        official_test: keep the data set's own test videos as the test split.
        balance: as many real as fake crops in each split.
        max_videos: at most so many videos of each label over all splits; None for all.
        seed: of every random choice.
    """

    cut: CropSettings
    layout: str = "auto"
    compression: str | None = None
    methods: tuple[str, ...] = ()
    group_regex: str | None = None
    shares: Shares = Shares(80, 10, 10)
    split_by: str = "auto"
    official_test: bool = False
    balance: bool = True
    max_videos: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        known = ("raw", "c23", "c40", "all")
        _require(
            self.compression is None or self.compression in known,
            f"compression: expected {', '.join(known)}; got {self.compression!r}",
        )
        _require(self.split_by in SPLIT_MODES, f"split by: expected {', '.join(SPLIT_MODES)}; got {self.split_by!r}")
        _require(
            self.max_videos is None or self.max_videos >= 1, f"max videos: expected 1 or more, got {self.max_videos}"
        )
        _check_regex(self.group_regex)

    def to_json(self) -> dict[str, Any]:
        """Plain values, equal for equal settings."""
        values = asdict(self)
        values.pop("shares")
        return {**values, "methods": list(self.methods), "split": str(self.shares)}


def _check_regex(pattern: str | None) -> None:
    if pattern is None:
        return
    try:
        re.compile(pattern)
    except re.error as error:
        raise UsageError(f"group regex: expected a regular expression, got {pattern!r} ({error})") from error
