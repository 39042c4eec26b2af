"""How a data set's face crops were cut, kept beside its manifest as `crop.json`."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefake.whole import write_whole
from edgefake_runtime.errors import InputError, ModelFileError
from edgefake_runtime.metadata import Crop

__all__ = ["CROP_RULE", "centre", "centre_share", "read_crop_rule", "write_crop_rule"]

CROP_RULE = "crop.json"


def write_crop_rule(folder: Path, crop: Crop) -> None:
    """Write `crop.json` into the folder of a manifest."""
    write_whole(folder / CROP_RULE, (json.dumps(asdict(crop), indent=2) + "\n").encode())


def read_crop_rule(manifest: Path) -> Crop | None:
    """The rule beside a manifest, or in a folder of pictures; None where there is none.

    Raises:
        InputError: the file is there and holds something else.
    """
    path = (manifest if manifest.is_dir() else manifest.parent) / CROP_RULE
    if not path.is_file():
        return None
    try:
        return Crop(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, ModelFileError) as error:
        raise InputError(f"{path}: expected how the crops were cut, got: {error}") from error


def centre_share(wanted: Crop, given: Crop | None) -> float:
    """The share of a given crop's side that holds what a model wants; 1 where the crop is no larger.

    A crop of margin m and share s shows s (1 + 2 m) boxes. Where nobody says how the crops were cut, they count as cut
    like those that the model was trained on.
    """
    if given is None:
        return wanted.share
    return min(1.0, wanted.share * (1 + 2 * wanted.margin) / (given.share * (1 + 2 * given.margin)))


def centre(image: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """The middle of a picture: (H, W, 3) -> (round(share H), round(share W), 3)."""
    height, width = image.shape[:2]
    rows, columns = max(1, round(height * share)), max(1, round(width * share))
    top, left = (height - rows) // 2, (width - columns) // 2
    return image[top : top + rows, left : left + columns]
