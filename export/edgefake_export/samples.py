"""Real faces to verify an export on when there is no data folder."""

from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefake_runtime.crops import resize
from edgefake_runtime.media import Picture, open_media

__all__ = ["sample_crops"]

TILE = 224


def sample_crops(size: int) -> NDArray[np.uint8]:
    """Sixteen views of one face: plain, bright, blurred, compressed, blended, turned, shifted, and their mirrors.

    Returns:
        (16, size, size, 3) RGB.
    """
    with open_media(Path(str(files("edgefake_export") / "faces.png"))) as media:
        assert isinstance(media, Picture)
        strip = media.frame()  # (224, 8 * 224, 3)
    tiles = [strip[:, x : x + TILE] for x in range(0, strip.shape[1], TILE)]
    return np.stack([resize(np.ascontiguousarray(view), size) for tile in tiles for view in (tile, tile[:, ::-1])])
