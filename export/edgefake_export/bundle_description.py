"""edgefake.json, a bundle's description of itself: docs/android-bundle.md has its fields."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from edgefake_runtime import __version__, aggregate, detector, mtcnn, options, scorer, tflite_faces, tracks
from edgefake_runtime.tflite_file import TfliteFile

from .bundle_folder import KIND
from .mtcnn import NETWORKS, Network

__all__ = ["SCHEMA", "describe"]

SCHEMA = 1
"""Version of the description."""


def describe(classifier: TfliteFile, *, file: str, litert: str | None, files: Sequence[Mapping[str, object]]) -> bytes:
    """The description as JSON; its numbers are those that the runtime itself uses.

    Args:
        classifier: its file, with edgefake's metadata.
        file: the name of that file.
        litert: oldest LiteRT that reads it; None where that is not known.
        files: every other file of the bundle.
    """
    description = {
        "bundle": KIND,
        "schema": SCHEMA,
        "edgefake": __version__,
        "model": json.loads(classifier.metadata or "{}"),
        "classifier": {
            "file": file,
            "input": {"name": classifier.input.name, "shape": classifier.input.shape},
            "output": {"name": classifier.output.name, "shape": classifier.output.shape},
            "layout": "NCHW",
        }
        | ({"litert": litert} if litert else {}),
        "faces": _describe_faces(),
        "video": {
            "every": options.DEFAULT_EVERY,
            "least_frames": detector.LEAST_FRAMES,
            "trim": aggregate.TRIM,
            "max_distance": tracks.MAX_DISTANCE,
            "max_growth": tracks.MAX_GROWTH,
            "max_gap": tracks.MAX_GAP,
        },
        "files": files,
    }
    return (json.dumps(description, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def _describe_faces() -> dict[str, Any]:
    networks = {
        network.name: _describe_network(network) | {"threshold": threshold, "overlap": overlap}
        for network, threshold, overlap in zip(NETWORKS, mtcnn.THRESHOLDS, mtcnn.OVERLAPS, strict=True)
    }
    networks["pnet"]["overlap_in_scale"] = mtcnn.SCALE_OVERLAP
    return {
        "min_face": mtcnn.MIN_FACE,
        "full_size": mtcnn.FULL_SIZE,
        "least_score": scorer.MIN_DETECTION,
        "factor": mtcnn.FACTOR,
        "cell": mtcnn.CELL,
        "stride": mtcnn.STRIDE,
        "resampling": "adaptive-area",
        "mean": mtcnn.MEAN,
        "scale": mtcnn.SCALE,
        "layout": "NHWC",
        "batch": tflite_faces.BATCH,
        **networks,
    }


def _describe_network(network: Network) -> dict[str, Any]:
    """With -1 for sizes that are set by resizing the input."""
    places, side = ([-1], network.side) if network.side else ([-1, -1, -1], -1)
    sizes = {"boxes": 4} | ({"landmarks": 10} if len(network.heads) == 3 else {}) | {"probability": 1}
    return {
        "file": f"{network.name}.tflite",
        "input": {"name": "image", "shape": [-1, side, side, 3]},
        "outputs": [{"name": name, "shape": [*places, size]} for name, size in sizes.items()],
    }
