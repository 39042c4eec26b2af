"""Runs one TFLite file in LiteRT for another process: the Java tests' way to the networks that an app runs.

    python scripts/serve_litert.py FILE

LiteRT's Java packages need Android, and the functions of its C API change from one release to the next; its Python
package has neither fault. Standard input and output carry big-endian int32 and float32. A question is: the number of
axes, the sizes, the values; the number of names, and for each its length and its UTF-8. An answer is 0 and, for each
name, axes, sizes and values; or 1, a length, and one line that says what failed. The input takes the size of what
comes. Ends with its input.
"""

import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Network:
    """A file, open, with the names of its signature."""

    def __init__(self, file: Path) -> None:
        self._interpreter = Interpreter(str(file), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input: dict[str, Any] = self._interpreter.get_input_details()[0]
        self._runner = self._interpreter.get_signature_runner()

    def run(self, image: Floats, names: list[str]) -> list[Floats]:
        """Outputs by name; a file that takes one picture at a time runs them one after the other."""
        fixed = (self._input["shape_signature"] >= 0).all()
        parts = image if fixed and len(image) > 1 else [image]
        found = [self._run(part[None] if fixed and len(image) > 1 else part) for part in parts]
        return [np.concatenate([outputs[name] for outputs in found]) for name in names]

    def _run(self, image: Floats) -> dict[str, Floats]:
        answers: dict[str, Floats] = self._runner(image=image)
        return answers


def read_exactly(stream: BinaryIO, count: int) -> bytes:
    """So many bytes; ends the process where the input ends."""
    data = stream.read(count)
    if len(data) < count:
        sys.exit(0)
    return data


def numbers(stream: BinaryIO, count: int) -> tuple[int, ...]:
    """So many int32."""
    return struct.unpack(f">{count}i", read_exactly(stream, 4 * count))


def question(stream: BinaryIO) -> tuple[Floats, list[str]]:
    """The input of a run, and which outputs are wanted."""
    (axes,) = numbers(stream, 1)
    shape = numbers(stream, axes)
    values = np.frombuffer(read_exactly(stream, 4 * int(np.prod(shape))), ">f4").astype(np.float32).reshape(shape)
    (count,) = numbers(stream, 1)
    return values, [read_exactly(stream, numbers(stream, 1)[0]).decode() for _ in range(count)]


def packed(values: Floats) -> bytes:
    """Axes, sizes, values."""
    return struct.pack(f">{1 + values.ndim}i", values.ndim, *values.shape) + values.astype(">f4").tobytes()


def answer(network: Network, image: Floats, names: list[str]) -> bytes:
    """What goes back."""
    try:
        return struct.pack(">i", 0) + b"".join(packed(values) for values in network.run(image, names))
    except Exception as error:  # LiteRT raises whatever its C++ raises; the other side has to hear of all of it.
        line = (str(error).strip() or type(error).__name__).splitlines()[0].encode()
        return struct.pack(">2i", 1, len(line)) + line


def main() -> int:
    """Serves until the input ends."""
    network = Network(Path(sys.argv[1]))
    while True:
        image, names = question(sys.stdin.buffer)
        sys.stdout.buffer.write(answer(network, image, names))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
