"""Deepfake detection in videos and pictures, without torch.

Example:
    >>> from edgefake_runtime import Detector
    >>> Detector().detect("clip.mp4").verdict
    'real'
"""

__version__ = "0.1.0"

from .classifier import Classifier
from .detector import DetectOptions, Detector
from .errors import (
    CheckFailedError,
    EdgefakeError,
    InputError,
    MissingExtraError,
    ModelFileError,
    UsageError,
)
from .metadata import Calibration, Crop, ModelMetadata, Uncertain
from .mtcnn import Face, FaceDetector
from .results import FaceFrame, FaceTrack, InputResult, ModelInfo, Report, Timing

__all__ = [
    "Calibration",
    "CheckFailedError",
    "Classifier",
    "Crop",
    "DetectOptions",
    "Detector",
    "EdgefakeError",
    "Face",
    "FaceDetector",
    "FaceFrame",
    "FaceTrack",
    "InputError",
    "InputResult",
    "MissingExtraError",
    "ModelFileError",
    "ModelInfo",
    "ModelMetadata",
    "Report",
    "Timing",
    "Uncertain",
    "UsageError",
    "__version__",
]
