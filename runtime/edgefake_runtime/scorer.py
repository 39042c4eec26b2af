"""One frame: its faces, found, cut and scored."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from .classifier import Classifier, probability
from .crops import cut_face
from .errors import InputError
from .following import Following
from .media import SampledFrame
from .mtcnn import Face, FaceDetector, default_min_face
from .quality import FaceQuality, is_good
from .results import FaceFrame
from .stopwatch import Stopwatch

__all__ = ["MIN_DETECTION", "MOST_TURN", "FrameScorer", "unjudgeable"]

MIN_DETECTION = 0.9
"""Least probability of a face that is scored: below it, MTCNN's finds are half-hidden faces and patterns."""

MOST_TURN = 9.0
"""A report's largest turn of a head, since JSON knows no infinity."""


def _scored(faces: Sequence[Face]) -> list[Face]:
    """Those that are sure enough."""
    return [face for face in faces if face.score >= MIN_DETECTION]


def unjudgeable(name: str, error: Exception) -> InputError:
    """What to raise where cv2 or the memory gives up on an input of this name."""
    reason = str(error).strip().splitlines()[-1:] or ["out of memory"]
    return InputError(f"{name}: expected one that can be judged, got: {reason[0]}")


class FrameScorer:
    """Finds the faces of frames and scores them. Thread-safe: nothing is kept between calls but in a `Following`.

    Args:
        classifier: gives the scores, and says how faces are cut.
        min_face: side of the smallest face, pixels; None for `default_min_face` of each frame.
        threads: of the face detector; None for one per core.
    """

    def __init__(self, classifier: Classifier, *, min_face: int | None, threads: int | None) -> None:
        self._classifier = classifier
        self._min_face = min_face
        self._faces = FaceDetector(threads=threads)

    def find(self, image: NDArray[np.uint8]) -> list[Face]:
        """Faces of a frame (H, W, 3) RGB that are sure enough to be scored, the largest first."""
        return _scored(self._faces.detect(image, min_face=self._smallest(image)))

    def _smallest(self, image: NDArray[np.uint8]) -> int:
        return self._min_face or default_min_face(*image.shape[:2])

    def score(
        self, frame: SampledFrame, watch: Stopwatch, *, name: str, following: Following | None = None
    ) -> tuple[list[FaceFrame], list[float]]:
        """The faces of a frame and their calibrated log-odds of fake, the largest face first.

        Args:
            frame: to look at.
            watch: takes the times.
            name: of the input, for messages.
            following: of the video that this is the next frame of; None to search the frame whole.

        Raises:
            InputError: cv2 or the memory gives up on a frame of the input of this name.
            ModelFileError: the model fails, or gives what is no number.
        """
        try:
            return self._score(frame, watch, following)
        except (cv2.error, MemoryError) as error:
            raise unjudgeable(name, error) from error

    def _find_next(self, frame: SampledFrame, following: Following) -> list[Face]:
        smallest = self._smallest(frame.image)
        return _scored(following.find(self._faces, frame, min_face=smallest, sure=MIN_DETECTION))

    def _score(
        self, frame: SampledFrame, watch: Stopwatch, following: Following | None
    ) -> tuple[list[FaceFrame], list[float]]:
        with watch.stage("faces"):
            faces = self.find(frame.image) if following is None else self._find_next(frame, following)
        if not faces:
            return [], []
        with watch.stage("classify"):
            crops = np.stack([cut_face(frame.image, face.box, self._classifier.metadata) for face in faces])
            evidence = self._classifier.evidence(crops).tolist()
            found = zip(faces, crops, evidence, strict=True)
            return [self._face_frame(frame.time_s, face, crop, odds) for face, crop, odds in found], evidence

    def _face_frame(self, time_s: float, face: Face, crop: NDArray[np.uint8], log_odds: float) -> FaceFrame:
        quality = FaceQuality.of(crop, face)
        judged = is_good(quality, self._classifier.metadata.quality)
        turn = min(quality.turn, MOST_TURN)
        return FaceFrame(time_s, face.box, face.score, probability(log_odds), quality.sharpness, turn, judged)
