"""MTCNN's networks as TFLite files in LiteRT: what an app runs, in the place of ONNX Runtime's sessions."""

import threading
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import MissingExtraError, ModelFileError, first_line
from .quiet import quiet
from .session import check_threads
from .tflite_engine import open_interpreter

__all__ = ["BATCH", "TfliteFaceNetwork"]

BATCH = 32
"""Crops that go through R-Net or O-Net at once: LiteRT keeps the memory of the largest batch, 16 MB in O-Net."""

Floats = NDArray[np.float32]


class TfliteFaceNetwork:
    """One of the networks, with the interface of a session of ONNX Runtime. Thread-safe.

    Its input is resized to whatever comes, so that one file serves every scale of every frame.

    Args:
        data: the bytes of the file.
        threads: 1 to 1024; None for one per core.

    Raises:
        ModelFileError: LiteRT cannot load it.
        MissingExtraError: LiteRT is not installed.
        UsageError: `threads` out of range.
    """

    def __init__(self, data: bytes, threads: int | None = None) -> None:
        check_threads(threads)
        try:
            with quiet():
                self._interpreter = open_interpreter(data, threads)
                self._interpreter.allocate_tensors()
        except MissingExtraError:
            raise
        except Exception as error:  # LiteRT raises whatever its C++ raises.
            raise ModelFileError(f"ai-edge-litert cannot run it: {first_line(error)}") from error
        self._input: int = self._interpreter.get_input_details()[0]["index"]
        self._outputs: dict[str, int] = {end["name"]: end["index"] for end in self._interpreter.get_output_details()}
        if not self._outputs.keys() >= {"boxes", "probability"}:
            raise ModelFileError(f"it gives {', '.join(self._outputs)}, not boxes and probability")
        self._sizes: tuple[int, ...] = ()
        self._lock = threading.Lock()

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Floats]) -> list[Floats]:
        """Outputs by name for one batch.

        Args:
            outputs: their names.
            inputs: `image` (N, 3, H, W).

        Returns:
            (N, C) or (N, C, h, w) each.

        Raises:
            Exception: whatever LiteRT raises; they have no common base.
        """
        images = np.moveaxis(inputs["image"], 1, -1)  # (N, H, W, 3)
        with self._lock:
            return [_channels_first(found) for found in self._run(images, outputs)]

    def _run(self, images: Floats, outputs: Sequence[str]) -> list[Floats]:
        batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        found = [self._run_batch(batch, outputs) for batch in batches or [np.zeros((1, *images.shape[1:]), np.float32)]]
        return [np.concatenate(parts)[: len(images)] for parts in zip(*found, strict=True)]

    def _run_batch(self, images: Floats, outputs: Sequence[str]) -> list[Floats]:
        if images.shape != self._sizes:
            self._interpreter.resize_tensor_input(self._input, images.shape)
            self._interpreter.allocate_tensors()
            self._sizes = images.shape
        self._interpreter.set_tensor(self._input, np.ascontiguousarray(images))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(self._outputs[name]) for name in outputs]


def _channels_first(values: Floats) -> Floats:
    return np.moveaxis(values, -1, 1)
