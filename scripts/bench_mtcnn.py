r"""Times the face detector beside facenet-pytorch's, or compares its answers with the golden values.

    EDGEFAKE_DATA=... python scripts/bench_mtcnn.py --threads 1 2 --out docs/bench/mtcnn.csv
    EDGEFAKE_DATA=... python scripts/bench_mtcnn.py --table

--table compares the ONNX and the TFLite networks, and what float16 weights would do to the latter.

Timing: the first frame of a 1080p clip; the two detectors take turns, so that whatever else the machine does
slows both, and the ratio is the median of the rounds' ratios. A turn times the second of two searches. Rounds that
other programs disturb do not count while there are enough without. facenet-pytorch runs with a stand-in for
torchvision's suppression (see golden_mtcnn.py), which is slower than torchvision's: the time spent inside the stand-in
is left out of facenet-pytorch's time, which favours facenet-pytorch, and told apart.

The limit is the arithmetic of the networks: what P-Net at every scale and R-Net and O-Net on the crops of this frame
multiply and add, at the speed of float32 matrix products on as many cores.
"""

import argparse
import datetime
import importlib.metadata
import itertools
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import golden_mtcnn as golden
import numpy as np
import torch
from bench_figures import Figure, write_rows
from bench_turns import in_turns, most_foreign, ratio
from onnx import TensorProto, helper

from edgefake_export import mtcnn
from edgefake_export.mtcnn_tflite import build_tflite
from edgefake_runtime.mtcnn import FaceDetector
from edgefake_runtime.scales import levels_of, pyramid
from edgefake_runtime.session import open_session

CLIP = "tests/videos/abqwwspghj.mp4"
GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "mtcnn.json"


TARGETS = {20: 1.0, 40: 0.25, 80: 0.25}
"""Largest share of facenet-pytorch's time."""


@dataclass(frozen=True)
class Row:
    """Medians over the rounds for one minimum face size and number of threads, in milliseconds.

    `ratio` is facenet-pytorch's time by edgefake's, without the stand-in's suppression, and `ratio_all` with it;
    `limit_ms` the time of the arithmetic alone; `foreign` the largest share of the machine that other programs took in
    a round that counts.
    """

    min_face: int
    edgefake_ms: float
    facenet_ms: float
    ratio: float
    facenet_all_ms: float
    ratio_all: float
    limit_ms: float
    rounds: int
    threads: int
    frame: str
    cpu: str
    versions: str
    foreign: float
    date: str


def cpu_name() -> str:
    """Model of the first CPU, as Linux tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def versions() -> str:
    """Versions of what the two detectors run on."""
    packages = ("onnxruntime", "numpy", "opencv-python-headless", "torch", "facenet-pytorch")
    return " ".join(f"{name}={importlib.metadata.version(name)}" for name in packages)


class Suppression:
    """The stand-in's suppression with a stopwatch: `seconds` spent inside since the last reset."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, *arguments: Any) -> torch.Tensor:
        """Suppresses as golden_mtcnn.batched_nms and adds up the time."""
        start = time.perf_counter()
        kept: torch.Tensor = golden.batched_nms(*arguments)
        self.seconds += time.perf_counter() - start
        return kept


def multiplied(network: mtcnn.Network, height: int, width: int) -> int:
    """Products that one picture takes in a network: of its convolutions, dense layers and heads."""
    total = 0
    for layer in network.layers:
        if len(layer.shape) == 4:
            height, width = height - layer.shape[2] + 1, width - layer.shape[3] + 1
            total += height * width * math.prod(layer.shape)
            if layer.pool:
                height, width = (math.ceil((side - layer.pool) / 2) + 1 for side in (height, width))
        else:
            total += math.prod(layer.shape)
    cells = 1 if network.side else height * width
    return total + cells * network.layers[-1].shape[0] * sum((2, 4, 10)[: len(network.heads)])


class Counting:
    """A session of ONNX Runtime that adds up what its network multiplies."""

    def __init__(self, session: Any, network: mtcnn.Network) -> None:
        self._session, self._network = session, network
        self.products = 0

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Any]) -> Any:
        """Runs the session."""
        count, _, height, width = inputs["image"].shape
        self.products += count * multiplied(self._network, height, width)
        return self._session.run(outputs, inputs)


def products(picture: golden.Picture, min_face: int) -> int:
    """What the networks multiply while this picture is searched, without what bands see twice."""
    detector = FaceDetector(min_face=min_face, threads=1)
    pnet, *others = mtcnn.NETWORKS
    height, width = picture.shape[:2]
    levels = levels_of(height, width, pyramid(height, width, min_face=min_face, factor=detector.factor))
    counting = [Counting(getattr(detector, f"_{network.name}"), network) for network in others]
    for network, counted in zip(others, counting, strict=True):
        setattr(detector, f"_{network.name}", counted)
    detector.detect(picture)
    return sum(multiplied(pnet, level.height, level.width) for level in levels) + sum(c.products for c in counting)


def products_a_second() -> float:
    """Of one core: float32 matrix products in ONNX Runtime, faster here than torch and numpy; the best of many."""
    side = [256, 256]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, side) for name in "aby"]
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["y"])], "product", ends[:2], ends[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", mtcnn.OPSET)], ir_version=mtcnn.IR_VERSION)
    session, inputs, times = (
        open_session(model.SerializeToString(), 1),
        dict.fromkeys("ab", np.ones(side, np.float32)),
        [],
    )
    for _ in range(200):
        start = time.perf_counter()
        session.run(["y"], inputs)
        times.append(time.perf_counter() - start)
    return float(math.prod(side) * side[0] / min(times))


class Contest:
    """Both detectors on one picture.

    Args:
        picture: (H, W, 3) RGB.
        min_face: of both, pixels.
        threads: of both.
    """

    def __init__(self, picture: golden.Picture, min_face: int, threads: int) -> None:
        torch.set_num_threads(threads)
        self._picture = picture
        self._ours, self._theirs = FaceDetector(min_face=min_face, threads=threads), golden.facenet(min_face)
        self._suppression = Suppression()
        sys.modules["facenet_pytorch.models.utils.detect_face"].__dict__["batched_nms"] = self._suppression
        self.inside: list[float] = []

    def ours(self) -> tuple[float, float]:
        """Seconds of edgefake's detector, as `second`."""
        return second(lambda: self._ours.detect(self._picture))

    def theirs(self) -> tuple[float, float]:
        """The same of facenet-pytorch's, the wall's without suppression, which `inside` is told."""

        def detect() -> None:
            self._suppression.seconds = 0.0
            self._theirs.detect(self._picture, landmarks=True)

        wall, cpu = second(detect)
        self.inside.append(self._suppression.seconds)
        return wall - self._suppression.seconds, cpu


def second(run: Callable[[], object]) -> tuple[float, float]:
    """Wall seconds of the second of two runs, and CPU seconds of both.

    In the first one the threads of the turn before end their wait for work.
    """
    cpu = time.process_time()
    run()
    wall = time.perf_counter()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def bench(picture: golden.Picture, min_face: int, *, rounds: int, threads: int) -> Row:
    """Times both detectors in turns on one picture."""
    contest = Contest(picture, min_face, threads)
    turns = in_turns([contest.ours, contest.theirs], rounds)
    mine, other = (1000 * statistics.median(pair[i].wall for pair in turns) for i in (0, 1))
    suppression = 1000 * statistics.median(contest.inside[1:])  # the first round warms up
    times = ratio(turns, 1, 0)
    return Row(
        min_face,
        round(mine, 1),
        round(other, 1),
        round(times, 2),
        round(other + suppression, 1),
        round(times * (other + suppression) / other, 2),
        round(1000 * products(picture, min_face) / products_a_second() / threads, 1),
        len(turns),
        threads,
        f"{CLIP} {picture.shape[1]}x{picture.shape[0]}",
        f"{cpu_name()}, {os.cpu_count()} cores",
        versions(),
        round(most_foreign(turns), 2),
        datetime.date.today().isoformat(),
    )


def figures(
    clip: Path, *, rounds: int, sizes: Sequence[int] = golden.MIN_FACES, threads: Sequence[int] = (1, 2)
) -> Iterator[Figure]:
    """The detector's share of facenet-pytorch's time on the clip's first frame, for each number of threads and size."""
    _, picture = next(golden.read_frames(clip, (0,)))
    for count, size in itertools.product(threads, sizes):
        row = bench(picture, size, rounds=rounds, threads=count)
        words = f"{count} thread" if count == 1 else f"{count} threads"
        name, limit = f"faces from {size} pixels by facenet-pytorch, {words}", row.limit_ms / row.facenet_ms
        yield Figure(name, 1 / row.ratio, TARGETS.get(size, 1.0), limit, "ratio", row.foreign)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1."""
    inter = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(inter / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inter))


@dataclass(frozen=True)
class Compared:
    """Faces of one picture beside the golden ones, each golden one with the found one that overlaps it most.

    Attributes:
        name: of the picture, and the minimum face size.
        found, golden: how many.
        ious: of the pairs.
        landmarks: largest distance in each pair, pixels.
        scores: difference in each pair.
    """

    name: str
    found: int
    golden: int
    ious: list[float]
    landmarks: list[float]
    scores: list[float]


def compare(detector: FaceDetector, data: Path) -> Iterator[Compared]:
    """Each picture and size of the golden values."""
    entries = json.loads(GOLDEN.read_text())["pictures"]
    names = list(dict.fromkeys(entry["name"] for entry in entries))
    for (about, picture), entry in zip(golden.pictures(names, data), entries, strict=True):
        for min_face, expected in entry["faces"].items():
            found = detector.detect(picture, min_face=int(min_face))
            pairs = [
                (max(found, key=lambda face, box=other["box"]: overlap(np.array(face.box), np.array(box))), other)
                for other in (expected if found else ())
            ]
            yield Compared(
                f"{about['name']}:{about.get('frame', 0)} at {min_face}",
                len(found),
                len(expected),
                [overlap(np.array(face.box), np.array(other["box"])) for face, other in pairs],
                [
                    float(np.hypot(*(np.array(face.landmarks) - np.array(other["landmarks"])).T).max())
                    for face, other in pairs
                ],
                [abs(face.score - other["score"]) for face, other in pairs],
            )


def halved(folder: Path) -> FaceDetector:
    """The TFLite networks with weights that were rounded to float16."""
    for network in mtcnn.NETWORKS:
        weights = mtcnn.read_weights(mtcnn.find_weights() / f"{network.name}.pt", network)
        rounded = {name: value.astype(np.float16).astype(np.float32) for name, value in weights.items()}
        (folder / f"{network.name}.tflite").write_bytes(build_tflite(network, rounded))
    return FaceDetector(folder=folder, format="tflite", threads=1)


def table(data: Path) -> int:
    """Prints the comparison with the golden values; 5 if what ships finds other faces."""
    print("| networks | comparisons | faces | counts that differ | smallest IoU | IoU below 0.95 |", end="")
    print(" largest landmark error | largest error of the score |\n|---|---:|---:|---:|---:|---:|---:|---:|")
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        detectors = {
            "ONNX": FaceDetector(threads=1),
            "TFLite": FaceDetector(format="tflite", threads=1),
            "TFLite, weights rounded to float16": halved(Path(folder)),
        }
        for name, detector in detectors.items():
            rows = list(compare(detector, data))
            ious = [iou for row in rows for iou in row.ious]
            other = [row for row in rows if row.found != row.golden]
            print(
                f"| {name} | {len(rows)} | {sum(row.golden for row in rows)} | {len(other)} | {min(ious):.5f} | "
                f"{sum(iou < 0.95 for iou in ious)} | {max(max(row.landmarks, default=0) for row in rows):.4f} px | "
                f"{max(max(row.scores, default=0) for row in rows):.1e} |",
                flush=True,
            )
            wrong += [] if "rounded" in name else other
    for row in wrong:
        print(f"{row.name}: found {row.found}, facenet-pytorch {row.golden}")
    return 5 if wrong else 0


def main() -> int:
    """Runs the command line; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="compare with the golden values, do not time")
    parser.add_argument("--out", type=Path, help="CSV file to write")
    parser.add_argument("--rounds", type=int, default=9, help="timed turns of each detector")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="of both detectors")
    options = parser.parse_args()
    data = Path(os.environ["EDGEFAKE_DATA"])
    if options.table:
        return table(data)
    _, picture = next(golden.read_frames(data / CLIP, (0,)))
    rows = []
    for threads, size in itertools.product(options.threads, golden.MIN_FACES):
        row = bench(picture, size, rounds=options.rounds, threads=threads)
        print(
            f"{threads} threads, min {size}: {row.edgefake_ms} ms, {row.facenet_ms} ms, {row.ratio} times "
            f"({row.ratio_all} with the stand-in's suppression), limit {row.limit_ms} ms; others {row.foreign:.0%}",
            flush=True,
        )
        rows.append(row)
    if options.out:
        write_rows(options.out, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
