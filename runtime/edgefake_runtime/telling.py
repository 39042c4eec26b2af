"""The frames of a track that tell most, and the faces in them, cut by reading the input once more."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .crops import crop_rectangle, cut_face, resize
from .detector import Detector
from .media import open_media
from .occlusion import occlusion_map, overlay
from .results import FaceFrame, FaceTrack, InputResult

__all__ = ["FaceCrop", "cut_crops", "most_telling"]

EACH = 3
"""Frames of a track that speak most for fake, and as many that speak most against."""

SIDE, QUALITY = 192, 85
"""Pixels of a crop to look at, and its quality as a JPEG."""


@dataclass(frozen=True)
class FaceCrop:
    """A face to look at.

    Attributes:
        face: the scored frame that it is from.
        picture: its crop, a JPEG.
        heat: what the model looked at, laid over the crop, a JPEG; None where nobody asked.
    """

    face: FaceFrame
    picture: bytes
    heat: bytes | None


def most_telling(track: FaceTrack, *, each: int = EACH) -> tuple[FaceFrame, ...]:
    """The `each` frames with the highest and with the lowest P(fake), falling; set-aside ones where no other is."""
    frames = [face for face in track.frames if face.judged] or list(track.frames)
    falling = sorted(frames, key=lambda face: face.score, reverse=True)
    if len(falling) > 2 * each:
        falling = falling[:each] + falling[-each:]
    return tuple(falling)


def cut_crops(
    result: InputResult,
    detector: Detector,
    chosen: Mapping[int, Sequence[FaceFrame]],
    *,
    heatmap: bool = False,
    on_crop: Callable[[], None] | None = None,
) -> dict[int, list[FaceCrop]]:
    """Read an input again as it was judged, as far as it is needed, and cut the chosen faces.

    Args:
        result: of `detector.detect`, without an error.
        detector: the one that gave it.
        chosen: number of a track -> frames of it.
        heatmap: make heat maps too.
        on_crop: called after each crop, for progress.

    Returns:
        Number of a track -> crops in the order of its chosen frames. A frame that is not there any more has none.

    Raises:
        InputError: the input cannot be read any more.
    """
    wanted: dict[float, list[FaceFrame]] = {}
    for faces in chosen.values():
        for face in faces:
            wanted.setdefault(face.time_s, []).append(face)
    cut: dict[FaceFrame, FaceCrop] = {}
    options = detector.options
    with open_media(Path(result.path), max_megapixels=options.max_megapixels) as media:
        for frame in media.frames(options.every, options.max_frames):
            for face in wanted.pop(frame.time_s, ()):
                cut[face] = _cut(frame.image, face, detector, heatmap=heatmap)
                if on_crop:
                    on_crop()
            if not wanted:
                break
    return {track: [cut[face] for face in faces if face in cut] for track, faces in chosen.items()}


def _cut(image: NDArray[np.uint8], face: FaceFrame, detector: Detector, *, heatmap: bool) -> FaceCrop:
    metadata = detector.classifier.metadata
    x0, y0, x1, y1 = crop_rectangle(face.box, metadata.crop, height=image.shape[0], width=image.shape[1])
    large = resize(np.ascontiguousarray(image[y0:y1, x0:x1]), SIDE)
    if not heatmap:
        return FaceCrop(face, _jpeg(large), None)
    heat = occlusion_map(detector.classifier, cut_face(image, face.box, metadata))
    return FaceCrop(face, _jpeg(large), _jpeg(overlay(large, heat)))


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done  # a JPEG of this size always can be made
    return bytes(data)
