"""One video -> crops of the largest face of every n-th frame, with its box and landmarks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefake_runtime.crops import crop_rectangle, resize
from edgefake_runtime.errors import InputError, printable
from edgefake_runtime.media import Picture, Video, open_media
from edgefake_runtime.mtcnn import Face, FaceDetector, default_min_face
from edgefake_runtime.scorer import MIN_DETECTION

from .settings import CropSettings

__all__ = ["FaceCrop", "VideoCrops", "crop_name", "cut_video"]

Image = NDArray[np.uint8]
Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True)
class FaceCrop:
    """One crop.

    Attributes:
        frame: count of the frames before it; 0 for a picture.
        box: x0, y0, x1, y1 of the detector's face, pixels of the frame, to 0.01; it may reach beyond the frame.
        landmarks: x0, y0, ... x4, y4 of MTCNN's five points in pixels of the crop, to 0.01.
    """

    frame: int
    box: tuple[float, ...]
    landmarks: tuple[float, ...]


@dataclass(frozen=True)
class VideoCrops:
    """What became of one video.

    Attributes:
        source: path relative to SOURCE.
        frames: frames that were looked at.
        crops: of those with a face.
        error: why the video could not be read, or None.
        note: that it was cut off, or None.
    """

    source: str
    frames: int
    crops: tuple[FaceCrop, ...]
    error: str | None = None
    note: str | None = None

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Self:
        """Read back what `dataclasses.asdict` made."""
        crops = (FaceCrop(crop["frame"], tuple(crop["box"]), tuple(crop["landmarks"])) for crop in raw["crops"])
        return cls(**{**raw, "crops": tuple(crops)})


def crop_name(crop: FaceCrop, settings: CropSettings) -> str:
    """File name of a crop in its video's folder."""
    return f"{crop.frame:06d}.{settings.format}"


def cut_video(
    root: Path,
    source: str,
    folder: Path,
    settings: CropSettings,
    detector: FaceDetector,
    *,
    on_frame: Callable[[], None] = lambda: None,
) -> VideoCrops:
    """Cut the largest face of every n-th frame and write the crops.

    A video that cannot be read leaves no crops and says why.

    Args:
        root: SOURCE.
        source: of the video, picture or folder of frames, relative to it.
        folder: for the crops; made when the first is written.
        settings: frames and crops.
        detector: of faces.
        on_frame: called before each frame.

    Raises:
        OSError: a crop cannot be written.
    """
    path = root / source
    written: list[Path] = []
    crops: list[FaceCrop] = []
    notes: list[str] = []
    looked = 0
    try:
        for index, image in _frames(path, settings, notes):
            on_frame()
            looked += 1
            face = _largest(image, detector)
            if face is not None:
                crop, pixels = _cut(image, index, face, settings)
                written.append(folder / crop_name(crop, settings))
                _write(pixels, written[-1], settings)
                crops.append(crop)
    except (InputError, cv2.error, MemoryError) as error:
        for file in written:
            file.unlink(missing_ok=True)
        return VideoCrops(source, 0, (), error=_reason(error, path))
    return VideoCrops(source, looked, tuple(crops), note=notes[0] if notes else None)


def _reason(error: Exception, path: Path) -> str:
    """One line without the place of SOURCE."""
    text = (str(error).strip().splitlines() or ["out of memory"])[-1]
    return text.removeprefix(f"{printable(path)}: ").replace(f"{printable(path)}/", "")


def _frames(path: Path, settings: CropSettings, notes: list[str]) -> Iterator[tuple[int, Image]]:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        for index in range(0, len(files), settings.every)[: settings.max_frames]:
            yield index, _picture(files[index])
        return
    with open_media(path) as media:
        for frame in media.frames(settings.every, settings.max_frames):
            yield frame.index, frame.image
        if isinstance(media, Video) and media.note:
            notes.append(media.note.removeprefix(f"{printable(path)}: "))


def _picture(path: Path) -> Image:
    with open_media(path) as media:
        if isinstance(media, Picture):
            return media.frame()
    raise InputError(f"{printable(path)}: expected a picture in a folder of frames, got a video; move it out")


def _largest(image: Image, detector: FaceDetector) -> Face | None:
    """The largest face that detection would score."""
    height, width = image.shape[:2]
    faces = detector.detect(image, min_face=default_min_face(height, width))
    return next((face for face in faces if face.score >= MIN_DETECTION), None)


def _cut(image: Image, index: int, face: Face, settings: CropSettings) -> tuple[FaceCrop, Image]:
    x0, y0, x1, y1 = (round(value, 2) for value in face.box)
    height, width = image.shape[:2]
    rectangle = crop_rectangle((x0, y0, x1, y1), settings.crop(), height=height, width=width)
    left, top, right, bottom = rectangle
    pixels = resize(np.ascontiguousarray(image[top:bottom, left:right]), settings.size)
    return FaceCrop(index, (x0, y0, x1, y1), _landmarks(face, rectangle, settings.size)), pixels


def _landmarks(face: Face, rectangle: Rectangle, size: int) -> tuple[float, ...]:
    """Points of the frame -> points of the crop; the centre of the first pixel is 0, as cv2.resize has it."""
    left, top, right, bottom = rectangle
    points: list[float] = []
    for x, y in face.landmarks:
        points.append(round((x + 0.5 - left) * size / (right - left) - 0.5, 2))
        points.append(round((y + 0.5 - top) * size / (bottom - top) - 0.5, 2))
    return tuple(points)


def _write(image: Image, path: Path, settings: CropSettings) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, settings.quality] if settings.format == "jpg" else []
    _, data = cv2.imencode(f".{settings.format}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())
