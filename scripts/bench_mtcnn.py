r"""Times the face detector beside facenet-pytorch's, or compares its answers with the golden values.

    EDGEFAKE_DATA=... python scripts/bench_mtcnn.py --out docs/bench/mtcnn.csv
    EDGEFAKE_DATA=... python scripts/bench_mtcnn.py --table

--table compares the ONNX and the TFLite networks, and what float16 weights would do to the latter.

Timing: the first frame of a 1080p clip; the two detectors take turns, so that whatever else the machine does
slows both, and the ratio is the median of the rounds' ratios. facenet-pytorch runs with a stand-in for
torchvision's suppression (see golden_mtcnn.py), which is slower than torchvision's: the time spent inside the
stand-in is left out of facenet-pytorch's time, which favours facenet-pytorch. One thread each unless told:
when other work shares the cores, torch's threads wait for each other and the ratio says nothing about the
detectors.
"""

import argparse
import csv
import datetime
import importlib.metadata
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import golden_mtcnn as golden
import numpy as np
import torch

from edgefake_export import mtcnn
from edgefake_export.mtcnn_tflite import build_tflite
from edgefake_runtime.mtcnn import FaceDetector

CLIP = "tests/videos/abqwwspghj.mp4"
GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "mtcnn.json"


@dataclass(frozen=True)
class Row:
    """Medians over the rounds for one minimum face size and number of threads, in milliseconds.

    `ratio` is facenet-pytorch's time by edgefake's; `load` is the machine's load average (one minute) at the
    end, which counts what else ran on its cores.
    """

    min_face: int
    edgefake_ms: float
    facenet_ms: float
    ratio: float
    rounds: int
    threads: int
    frame: str
    cpu: str
    versions: str
    load: float
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


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def bench(picture: golden.Picture, min_face: int, *, rounds: int, threads: int) -> Row:
    """Times both detectors in turns on one picture."""
    torch.set_num_threads(threads)
    theirs, ours = golden.facenet(min_face), FaceDetector(min_face=min_face, threads=threads)
    suppression = Suppression()
    sys.modules["facenet_pytorch.models.utils.detect_face"].__dict__["batched_nms"] = suppression
    times = []
    for _ in range(rounds + 1):
        mine = seconds(lambda: ours.detect(picture))
        suppression.seconds = 0.0
        other = seconds(lambda: theirs.detect(picture, landmarks=True)) - suppression.seconds
        times.append((1000 * mine, 1000 * other))
    mine_ms, other_ms = zip(*times[1:], strict=True)  # the first round warms up
    ratio = statistics.median(other / mine for mine, other in times[1:])
    return Row(
        min_face,
        round(statistics.median(mine_ms), 1),
        round(statistics.median(other_ms), 1),
        round(ratio, 2),
        rounds,
        threads,
        f"{CLIP} {picture.shape[1]}x{picture.shape[0]}",
        f"{cpu_name()}, {os.cpu_count()} cores",
        versions(),
        round(os.getloadavg()[0], 1),
        datetime.date.today().isoformat(),
    )


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
        print(f"{threads} threads, min {size}: {row.edgefake_ms} ms, {row.facenet_ms} ms, {row.ratio} times")
        rows.append(row)
    if options.out:
        with options.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(asdict(rows[0])), lineterminator="\n")
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
