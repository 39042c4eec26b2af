r"""What MTCNN's TFLite networks take of memory in LiteRT: resized, one interpreter for each scale, crops by the batch.

    python scripts/mtcnn_memory.py

Each row is a process of its own on one thread; the figure is how far its resident memory grew from the loaded
package on, with the interpreters still open. The scales are those of a 1080p frame at a smallest face of 40 pixels.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from edgefake_runtime.mtcnn import FACTOR, MIN_FACE, pyramid
from edgefake_runtime.quiet import quiet
from edgefake_runtime.shipped import models_folder
from edgefake_runtime.tflite_engine import open_interpreter

HEIGHT, WIDTH = 1080, 1920
FRAMES = 100
RANDOM_SIZES = 2000
BATCHES = (16, 32, 64, 256)


def scales() -> list[tuple[int, int]]:
    """Height and width of P-Net's input at every scale."""
    factors = pyramid(HEIGHT, WIDTH, min_face=MIN_FACE, factor=FACTOR)
    return [(int(HEIGHT * factor + 1), int(WIDTH * factor + 1)) for factor in factors]


def resident() -> float:
    """Megabytes (1e6 bytes) of memory that this process holds; Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def opened(name: str) -> Any:
    """An interpreter of a shipped network."""
    return open_interpreter((models_folder() / "mtcnn" / f"{name}.tflite").read_bytes(), 1)


def run(interpreter: Any, shape: tuple[int, ...]) -> None:
    """One inference at a size."""
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, np.zeros(shape, np.float32))
    interpreter.invoke()


def run_sizes(sizes: Iterable[tuple[int, int]]) -> Any:
    """P-Net in one interpreter at one size after the other."""
    interpreter = opened("pnet")
    for height, width in sizes:
        run(interpreter, (1, height, width, 3))
    return interpreter


def random_sizes() -> list[tuple[int, int]]:
    """Sizes up to that of the largest scale, with a fixed seed."""
    drawn = np.random.default_rng(0).integers(12, 330, (RANDOM_SIZES, 2))
    return [(int(height), int(width)) for height, width in drawn]


def keep_scales() -> list[Any]:
    """P-Net in an interpreter for each scale, all kept."""
    interpreters = [opened("pnet") for _ in scales()]
    for interpreter, (height, width) in zip(interpreters, scales(), strict=True):
        run(interpreter, (1, height, width, 3))
    return interpreters


def run_batch(name: str, side: int, count: int) -> Any:
    """R-Net or O-Net on so many crops at once."""
    interpreter = opened(name)
    run(interpreter, (count, side, side, 3))
    return interpreter


CASES: dict[str, Callable[[], Any]] = {
    "P-Net, resized through the scales, 1 frame": lambda: run_sizes(scales()),
    f"P-Net, resized through the scales, {FRAMES} frames": lambda: run_sizes(scales() * FRAMES),
    f"P-Net, resized to {RANDOM_SIZES:,} random sizes": lambda: run_sizes(random_sizes()),
    f"P-Net, an interpreter for each of {len(scales())} scales": keep_scales,
    **{f"R-Net, {count} crops at once": lambda count=count: run_batch("rnet", 24, count) for count in BATCHES},
    **{f"O-Net, {count} crops at once": lambda count=count: run_batch("onet", 48, count) for count in BATCHES},
}


def grown(name: str) -> float:
    """Megabytes by which a case grows this process."""
    with quiet():
        opened("rnet")  # loads the package
        before = resident()
        kept = CASES[name]()  # what they hold is freed with them
        after = resident()
        del kept
    return after - before


def main() -> int:
    """Runs the command line; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="?", default="", help="cases with this in their name, such as O-Net")
    only = parser.parse_args().only
    print("| case | MB |\n|---|---:|")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name in [name for name in CASES if only in name]:
            print(f"| {name} | {pool.apply(grown, (name,)):.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
