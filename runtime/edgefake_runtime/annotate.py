"""A judged video or picture written again, with boxes, track numbers and scores, and what the model looked at."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .crops import cut_face
from .detector import Detector
from .drawing import Mark, draw, face_mark, verdict_words
from .errors import InputError, UsageError, printable
from .media import Picture, Video, open_media
from .motion import Motion, Place, motions
from .occlusion import occlusion_map
from .quiet import LOG_OFF, quiet
from .results import FaceFrame, InputResult

__all__ = ["PICTURE_ENDINGS", "VIDEO_ENDINGS", "annotate", "require_ending"]

VIDEO_ENDINGS = {".mp4": "mp4v", ".webm": "VP80"}
"""Ending -> codec: what every opencv-python writes. H.264 is not among them; VP8 is slow, and plays in browsers."""

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg")

USUAL_FPS = 25.0
"""Of a video that does not say."""

MISSING_SHARE, MISSING_FRAMES = 0.02, 2
"""What may be missing of a written video: a WebM's number of frames is an estimate."""

Image = NDArray[np.uint8]


def require_ending(media: Picture | Video, target: Path) -> None:
    """Refuse a name that ends with nothing that can be written.

    Raises:
        UsageError: a video needs .mp4 or .webm, a picture .png or .jpg.
    """
    endings = tuple(VIDEO_ENDINGS) if isinstance(media, Video) else PICTURE_ENDINGS
    if target.suffix.lower() not in endings:
        what = "a video" if isinstance(media, Video) else "a picture"
        raise UsageError(f"{printable(target)}: expected a name for {what} that ends with {_or(endings)}; rename it")


def _or(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def annotate(
    result: InputResult,
    detector: Detector,
    target: Path,
    *,
    heatmap: bool = False,
    on_frame: Callable[[Picture | Video], None] | None = None,
) -> None:
    """Write a judged input with its faces marked, whole or not at all; a file that is there is replaced.

    The input is read a second time, streamed, so that memory does not grow with its length. Every frame is written, at
    the input's mean frame rate, without the sound. Frames with an odd side lose a row or column to the codecs.

    Args:
        result: of `detector.detect`, without an error.
        detector: the one that gave it.
        target: a video (.mp4 is MPEG-4 part 2, .webm is VP8) or picture (.png, .jpg), other than the input.
        heatmap: lay over every scored face what spoke for fake (red) and for real (blue).
        on_frame: called after each written frame, for progress.

    Raises:
        InputError: the input cannot be read any more, or the target cannot be written.
        UsageError: a name that ends with nothing that can be written, or the input's own.
    """
    source = Path(result.path)
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{printable(target)}: expected another file than the input, got the input; name another")
    with open_media(source, max_megapixels=detector.options.max_megapixels) as media:
        require_ending(media, target)
        with _whole(target) as temporary:
            if isinstance(media, Picture):
                annotator = _Annotator(result, detector, step_s=0.0, heatmap=heatmap)
                _write_picture(annotator.mark(media.frame(), 0.0), temporary, target)
                if on_frame:
                    on_frame(media)
                return
            step_s = detector.options.every / (media.fps or USUAL_FPS)
            annotator = _Annotator(result, detector, step_s=step_s, heatmap=heatmap)
            _write_video(annotator, media, temporary, target, on_frame)


class _Annotator:
    """Marks frame after frame of an input, in order of time; the scored ones lie `step_s` seconds apart."""

    def __init__(self, result: InputResult, detector: Detector, *, step_s: float, heatmap: bool) -> None:
        self._result = result
        self._detector = detector
        self._heatmap = heatmap
        self._motions = sorted(motions(result, step_s=step_s), key=lambda motion: motion.track.score, reverse=True)
        self._heats: dict[int, tuple[FaceFrame, NDArray[np.float64]]] = {}

    def mark(self, frame: Image, time_s: float) -> Image:
        """The frame at this time with everything drawn: (H, W, 3) RGB."""
        marks = []
        for motion in self._motions:
            place = motion.at(time_s)
            if place is not None:
                marks.append(self._mark(frame, motion, place))
        return draw(frame, marks, self._words(), crop=self._detector.classifier.metadata.crop)

    def _mark(self, frame: Image, motion: Motion, place: Place) -> Mark:
        track, face = motion.track, place.face
        verdict = self._detector.operating_point.verdict(track.score, thin=track.thin)
        heat = self._heat(frame, track.track, place) if face.judged else None
        alone = self._result.kind == "image"
        return face_mark(track.track, verdict, track.score, face, box=place.box, alone=alone, heat=heat)

    def _heat(self, frame: Image, track: int, place: Place) -> NDArray[np.float64] | None:
        """The map of the scored frame that holds, made when its picture comes."""
        if not self._heatmap or not place.scored:
            return None
        known = self._heats.get(track)
        if known is None or known[0] is not place.face:
            classifier = self._detector.classifier
            crop = cut_face(frame, place.face.box, classifier.metadata)
            known = self._heats[track] = place.face, occlusion_map(classifier, crop)
        return known[1]

    def _words(self) -> list[str]:
        colours = ["Red speaks for fake, blue for real."] if self._heatmap else []
        return [*verdict_words(self._result.verdict, self._result.score), *colours]


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A temporary name beside the target, renamed to it at the end; after an error or interruption it is gone."""
    place = target.resolve()
    try:
        str(place.parent).encode("utf-8")
        handle, name = tempfile.mkstemp(dir=place.parent, prefix=".edgefake-", suffix=place.suffix.lower())
    except UnicodeEncodeError as error:
        raise _unwritable(target, "a folder whose name is not UTF-8; rename it") from error
    except OSError as error:
        raise _unwritable(target, f"an error ({error.strerror}); check the path and the disk") from error
    temporary = Path(name)
    try:
        os.fchmod(handle, 0o666 & ~_umask())
        os.close(handle)
        yield temporary
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _unwritable(target: Path, got: str) -> InputError:
    return InputError(f"{printable(target)}: expected a file that can be written, got {got}")


def _write_picture(image: Image, temporary: Path, target: Path) -> None:
    done, data = cv2.imencode(temporary.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise _unwritable(target, f"a picture of {image.shape[1]}x{image.shape[0]} that does not fit this format")
    temporary.write_bytes(data.tobytes())


def _write_video(
    annotator: _Annotator,
    video: Video,
    temporary: Path,
    target: Path,
    on_frame: Callable[[Picture | Video], None] | None,
) -> None:
    written = 0
    with _writer(temporary, target, video.fps or USUAL_FPS, (video.width, video.height)) as writer:
        for frame in video.frames(1):
            image = annotator.mark(_fit(frame.image, video), frame.time_s)
            writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            written += 1
            if on_frame:
                on_frame(video)
    _require_frames(temporary, target, written)


def _fit(image: Image, video: Video) -> Image:
    """A frame whose size changed on the way, in the size of the first one: the writer would leave it out."""
    if image.shape[:2] == (video.height, video.width):
        return image
    return np.asarray(cv2.resize(image, (video.width, video.height), interpolation=cv2.INTER_AREA), np.uint8)


@contextmanager
def _writer(temporary: Path, target: Path, fps: float, size: tuple[int, int]) -> Iterator[cv2.VideoWriter]:
    codec = VIDEO_ENDINGS[temporary.suffix]
    with quiet():
        writer = cv2.VideoWriter(str(temporary), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, size)
    try:
        if not writer.isOpened():
            raise _unwritable(target, f"an OpenCV without the codec {codec}; use another ending")
        with LOG_OFF:
            yield writer
    finally:
        writer.release()


def _require_frames(temporary: Path, target: Path, written: int) -> None:
    """Read back how many frames the file has, because cv2 does not say when the disk is full."""
    try:
        with open_media(temporary, max_megapixels=float("inf")) as media:
            found = media.frames_total if isinstance(media, Video) else None
    except InputError as error:
        raise _unwritable(target, "one that cannot be read back; check that the disk has room") from error
    if (found or 0) < written - max(MISSING_FRAMES, MISSING_SHARE * written):
        raise _unwritable(target, f"{found} of {written} frames; check that the disk has room")
