"""One interface to the runtimes: the bytes of a model file in, logits out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .errors import ModelFileError, UsageError
from .metadata import METADATA_KEY
from .model_file import is_tflite
from .needs import onnx_facts
from .session import open_session

__all__ = ["Engine", "OnnxEngine", "Port", "open_engine"]


@dataclass(frozen=True)
class Port:
    """An input or output: its name, and its shape with None for a free axis."""

    name: str
    shape: tuple[int | None, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape with 1 for a free axis."""
        return tuple(1 if size is None else size for size in self.shape)


class Engine(ABC):
    """A model file, open in its runtime. Thread-safe.

    Attributes:
        format: of the file, such as "ONNX".
        batch: inputs that the file takes at once; None for any number.
        metadata: edgefake's entry (JSON); None without.
        inputs, outputs: of the network.
        widened: whether weights run wider than they are in the file; known after `start`.
    """

    format: ClassVar[str]
    batch: ClassVar[int | None] = None
    metadata: str | None
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    widened: bool = False

    @abstractmethod
    def start(self) -> None:
        """Load what the first `run` would load, now.

        Raises:
            ModelFileError: the runtime cannot run the file.
            MissingExtraError: the runtime is not installed.
            UsageError: an option that does not fit the file.
        """

    @abstractmethod
    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs for a batch of inputs: (B, 3, S, S) -> (B, 2).

        Raises:
            Exception: whatever the runtime raises; they have no common base.
        """


class OnnxEngine(Engine):
    """An ONNX file in ONNX Runtime.

    Args:
        data: the bytes of the file.
        threads: 1 to 1024; None for one per core.

    Raises:
        ModelFileError: ONNX Runtime cannot load it.
        UsageError: `threads` out of range.
    """

    format = "ONNX"

    def __init__(self, data: bytes, threads: int | None = None) -> None:
        try:
            self._session = open_session(data, threads)
        except ModelFileError as error:
            raise ModelFileError(f"expected a model that can run here, but {error}") from error
        self.metadata = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        self.inputs = tuple(_port(end) for end in self._session.get_inputs())
        self.outputs = tuple(_port(end) for end in self._session.get_outputs())

    def start(self) -> None:
        """Nothing is left to load."""

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs for a batch of inputs, all at once."""
        found = self._session.run([self.outputs[0].name], {self.inputs[0].name: batch})
        return np.asarray(found[0], np.float32)


def _port(end: Any) -> Port:
    """ONNX Runtime gives a name to a free axis, or None."""
    shape = (size if isinstance(size, int) else None for size in end.shape)
    return Port(end.name, tuple(shape))


def open_engine(data: bytes, threads: int | None = None, *, widen: bool | None = None) -> Engine:
    """Open a model file of either format, told by its content.

    Args:
        data: the bytes of the file.
        threads: 1 to 1024; None for one per core.
        widen: run 2-bit weights of a TFLite file as 8-bit ones; None for whichever is faster here.

    Raises:
        ModelFileError: damaged, of neither format, or not runnable here.
        UsageError: `threads` out of range, or nothing to widen.
    """
    if is_tflite(data):
        from .tflite_engine import TfliteEngine  # so that who runs ONNX alone loads nothing of it

        return TfliteEngine(data, threads, widen=widen)
    if onnx_facts(data) is None:
        raise ModelFileError(
            "expected an ONNX or TFLite file, got neither, or a damaged one; export or download it again"
        )
    if widen:
        raise UsageError("widen: expected a TFLite file with 2-bit weights, got an ONNX file; leave it away")
    return OnnxEngine(data, threads)
