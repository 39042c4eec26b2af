r"""Every speed that edgefake promises, beside what else there is: target, figure and limit of each.

    EDGEFAKE_DATA=... scripts/bench                      # all parts; writes docs/bench/speed.csv
    EDGEFAKE_DATA=... scripts/bench faces start          # some; writes nothing
    EDGEFAKE_DATA=... scripts/bench --short              # 1 minute; fails where a ratio is twice the recorded one,
                                                         # if that was recorded on such a CPU
    EDGEFAKE_DATA=... scripts/bench --short --record     # records them, in docs/bench/speed-short.csv

Parts: classifier (bench_classifier.py), faces (bench_mtcnn.py), clip, dense, start, memory (bench_pipeline.py).
Whatever is compared takes turns, and a figure is the median of the turns' ratios. Run it on a machine that does nothing
else: turns that other programs disturb are left out while there are enough without, and a line says so otherwise.
"""

import argparse
import csv
import datetime
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import bench_mtcnn
import bench_pipeline
from bench_classifier import bench_classifier
from bench_figures import Figure

from edgefake_runtime.cpu import read_cpu

ROOT = Path(__file__).resolve().parents[1]
KEPT, SHORT = (ROOT / "docs" / "bench" / name for name in ("speed.csv", "speed-short.csv"))
CLIP = Path("tests/videos/abqwwspghj.mp4")
PARTS = ("classifier", "faces", "clip", "dense", "start", "memory")
PACKAGES = ("onnxruntime", "ai-edge-litert", "numpy", "opencv-python-headless", "torch", "facenet-pytorch")

GROSS = 2.0
"""A short ratio above so many times the recorded one is a loss that no noise explains."""

MOST_FOREIGN = 0.2
"""Ratios beside other programs that take more than this share of the machine are not recorded."""

ROUNDS = {"classifier": 25, "faces": 9, "clip": 7, "dense": 5, "start": 9}


def full(parts: Sequence[str], clip: Path, ffmpeg: str) -> Iterator[Figure]:
    """The figures of some parts."""
    if "classifier" in parts:
        yield from bench_classifier(rounds=ROUNDS["classifier"])
    if "faces" in parts:
        yield from bench_mtcnn.figures(clip, rounds=ROUNDS["faces"])
    for part in ("clip", "dense", "start", "memory"):
        if part in parts:
            yield from bench_pipeline.figures([part], clip, rounds=ROUNDS.get(part, 1), ffmpeg=ffmpeg)


def short(clip: Path) -> Iterator[Figure]:
    """The same ratios of smaller things, in fewer turns; those that are no ratio by their limits."""
    yield from bench_classifier("tiny", rounds=10, rivals=False)
    yield from bench_mtcnn.figures(clip, rounds=3, sizes=(40,), threads=(1,))
    yield from bench_pipeline.bench_clip(clip, rounds=3, beside_usual=False)
    for figure in bench_pipeline.bench_start(rounds=4):
        assert figure.limit is not None
        name = f"{figure.name} by its libraries alone"
        yield Figure(name, figure.value / figure.limit, figure.target / figure.limit, 1.0, "ratio", figure.foreign)


def write(file: Path, figures: Iterable[Figure]) -> None:
    """A table with what they were measured on."""
    versions = " ".join(f"{name}={importlib.metadata.version(name)}" for name in PACKAGES)
    where = (str(read_cpu()), versions, datetime.date.today().isoformat())
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("name", "value", "unit", "target", "met", "limit", "foreign", "cpu", "versions", "date"))
        for each in figures:
            limit, foreign = (None if number is None else f"{number:.4g}" for number in (each.limit, each.foreign))
            met = "yes" if each.is_met else "no"
            writer.writerow(
                (each.name, f"{each.value:.4g}", each.unit, f"{each.target:.4g}", met, limit, foreign, *where)
            )


def told(figures: Iterable[Figure]) -> list[Figure]:
    """All of them, each printed when it is there."""
    found = []
    for figure in figures:
        print(figure, flush=True)
        found.append(figure)
    return found


def lost(figures: Iterable[Figure], recorded: Path) -> Iterator[str]:
    """Compare with recorded ratios, printing each; a line for each that is gross, or was never recorded."""
    with recorded.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    before, here = {row["name"]: float(row["value"]) for row in rows}, str(read_cpu())
    if alike := all(row["cpu"] == here for row in rows):
        print(f"{here}, as recorded")
    else:
        print(f"{here}: another CPU than the recorded {rows[0]['cpu']}, so that no ratio fails")
    for each in figures:
        expected = before.get(each.name)
        print(f"{each.name}: {each.value:.3g}, recorded {expected or float('nan'):.3g}", flush=True)
        if expected is None:
            cure = "record it: scripts/bench --short --record"
            yield f"{each.name}: expected a recorded ratio in {recorded.name}, got none; {cure}"
        elif alike and each.value > GROSS * expected:
            yield f"{each.name}: expected at most {GROSS:g} times the recorded {expected:.3g}, got {each.value:.3g}"


def main() -> int:
    """Runs the command line; returns its exit status: 1 where a target, or with --short a recorded ratio, is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all otherwise")
    parser.add_argument("--short", action="store_true", help="a minute of it, beside the recorded ratios")
    parser.add_argument("--record", action="store_true", help="with --short: write them down instead")
    parser.add_argument("--clip", type=Path, help=f"1080p with a face; {CLIP} in EDGEFAKE_DATA otherwise")
    parser.add_argument("--ffmpeg", default=shutil.which("ffmpeg") or "ffmpeg", help="program with libx264")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"expected {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    if options.clip is None and "EDGEFAKE_DATA" not in os.environ:
        parser.error("expected EDGEFAKE_DATA=FOLDER with the research data, or --clip; got neither")
    if not options.short:
        bench_pipeline.require_ffmpeg(parser, options.parts or PARTS, options.ffmpeg)
    clip = options.clip or Path(os.environ["EDGEFAKE_DATA"]) / CLIP
    if options.short and options.record:
        figures = told(short(clip))
        busiest = max(figure.foreign or 0.0 for figure in figures)
        if busiest > MOST_FOREIGN:
            print(
                f"expected a machine that does nothing else, got one {busiest:.0%} busy; not recorded", file=sys.stderr
            )
            return 1
        write(SHORT, figures)
        return 0
    if options.short:
        losses = list(lost(short(clip), SHORT))
        print(*losses, sep="\n", end="\n" if losses else "", file=sys.stderr)
        return 1 if losses else 0
    figures = told(full(options.parts or PARTS, clip, options.ffmpeg))
    if not options.parts:
        write(KEPT, figures)
    return 0 if all(figure.is_met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
