"""Deepfake detection in videos and pictures, without torch.

Names are loaded when they are first used, so that `import edgefake_runtime` costs nothing.

Example:
    >>> from edgefake_runtime import Detector
    >>> Detector().detect("clip.mp4").verdict
    'real'
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Some builds of ONNX Runtime write a device id and a database of events into the user's home when they are imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from .camera import Camera
    from .classifier import Classifier
    from .detector import Detector
    from .errors import (
        CheckFailedError,
        EdgefakeError,
        InputError,
        MissingExtraError,
        ModelFileError,
        UsageError,
    )
    from .media import SampledFrame
    from .metadata import Calibration, Crop, ModelMetadata, QualityFloor, Roc, Uncertain
    from .mtcnn import Face, FaceDetector
    from .options import DetectOptions
    from .results import FaceFrame, FaceTrack, FrameResult, InputResult, LiveTrack, ModelInfo, Report, Timing

__all__ = [
    "Calibration",
    "Camera",
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
    "FrameResult",
    "InputError",
    "InputResult",
    "LiveTrack",
    "MissingExtraError",
    "ModelFileError",
    "ModelInfo",
    "ModelMetadata",
    "QualityFloor",
    "Report",
    "Roc",
    "SampledFrame",
    "Timing",
    "Uncertain",
    "UsageError",
    "__version__",
]

_MODULES = ("errors", "metadata", "results", "options", "media", "mtcnn", "classifier", "detector", "camera")
"""Where the public names live; the cheap modules are looked through first."""

if not TYPE_CHECKING:  # or a name that does not exist would pass as one of any type

    def __getattr__(name: str) -> Any:
        if name in __all__:
            for module in _MODULES:
                found = import_module(f".{module}", __name__)
                if name in found.__all__:
                    return getattr(found, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
