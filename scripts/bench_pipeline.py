r"""Times the way from a file to a verdict: beside decoding alone, beside the usual pipeline; start-up; memory.

    EDGEFAKE_DATA=... python scripts/bench_pipeline.py clip dense start memory

clip    a 10 s clip of 1080p at every 30th frame. The floor is decoding: OpenCV grabs each frame and looks at none. The
        usual pipeline is that of bench_contestants.py.
dense   each frame of the same clip at 720p.
start   the command line, imports, one picture; the limit is what Python and the libraries take alone.
memory  the most that `edgefake detect` has resident, on the clip and on ten minutes of it.

Whatever is compared runs in a process of its own, in turns, so that other work slows all of it. Turns in which other
programs took more than a twentieth of the machine do not count while there are enough without. 720p and the ten
minutes are made of the clip by ffmpeg with libx264 (`--ffmpeg`), in a temporary folder.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench_contestants import Contestant
from bench_figures import Figure
from bench_turns import in_turns, most_foreign, ratio

ROOT = Path(__file__).resolve().parents[1]
CLIP = "tests/videos/abqwwspghj.mp4"
PICTURE = ROOT / "docs" / "samples" / "astronaut.png"
DENSE_FRAMES = 90
LONG_S = 600.0


def bench_clip(clip: Path, *, rounds: int, beside_usual: bool = True) -> Iterator[Figure]:
    """A clip at every 30th frame, beside decoding all of it and the usual pipeline.

    The limit is all that the cores worked, spread over them evenly; below 1 where few faces are found, since nothing is
    decoded after the last frame to score.
    """
    names = ("decoding", "detecting", *(("usual", "as-found") if beside_usual else ()))
    with ExitStack() as stack:
        found = in_turns([stack.enter_context(Contestant(name, clip)) for name in names], rounds)
    foreign = most_foreign(found)
    work = statistics.median(turns[1].cpu / (os.cpu_count() or 1) / turns[0].wall for turns in found)
    yield Figure("clip by decoding alone", ratio(found, 1, 0), 1.3, work, "ratio", foreign)
    if beside_usual:
        for place, name in ((2, "the usual pipeline"), (3, "the usual pipeline as its parts come")):
            yield Figure(f"clip by {name}", ratio(found, 1, place), 1 / 6, ratio(found, 0, place), "ratio", foreign)


def bench_dense(clip: Path, *, rounds: int) -> Iterator[Figure]:
    """Each frame of a 720p clip."""
    with ExitStack() as stack:
        names = ("decoding", "detecting")
        runs = [Contestant(name, clip, every=1, frames=DENSE_FRAMES) for name in names]
        found = in_turns([stack.enter_context(run) for run in runs], rounds)
    decoding_s, detecting_s = (statistics.median(turns[place].wall for turns in found) for place in (0, 1))
    limit = DENSE_FRAMES / decoding_s
    yield Figure("each frame of 720p", DENSE_FRAMES / detecting_s, 8.0, limit, "frames/s", most_foreign(found))


def launched(*line: str | Path) -> Callable[[], tuple[float, float]]:
    """A process from start to end."""

    def run() -> tuple[float, float]:
        before, begun = os.times(), time.perf_counter()
        subprocess.run([str(word) for word in line], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wall, after = time.perf_counter() - begun, os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return wall, cpu

    return run


def bench_start(*, rounds: int) -> Iterator[Figure]:
    """The command line, imports and a picture, each from a fresh process."""
    python = (sys.executable, "-c")
    command = (sys.executable, "-m", "edgefake")
    runs = {
        "edgefake --help": (launched(*command, "--help"), 0.35),
        "import edgefake_runtime": (launched(*python, "import edgefake_runtime"), 0.4),
        "from edgefake_runtime import Detector": (launched(*python, "from edgefake_runtime import Detector"), 0.4),
        "edgefake detect on a picture": (launched(*command, "detect", PICTURE), 1.5),
    }
    alone = [
        launched(*python, "import typer.rich_utils, rich.markdown"),
        launched(*python, "pass"),
        launched(*python, "import numpy, cv2, onnxruntime"),
    ]
    found = in_turns([*(run for run, _ in runs.values()), *alone], rounds)
    for place, (name, (_, target)) in enumerate(runs.items()):
        value, limit = (statistics.median(turns[at].wall for turns in found) for at in (place, 4 + min(place, 2)))
        yield Figure(name, value, target, limit, "s", most_foreign(found))


PEAK = """
import sys
from edgefake.__main__ import main
from edgefake_runtime.memory import peak_memory
sys.argv = ["edgefake", "detect", "--quiet", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
print(peak_memory())
"""


def peak_mb(*arguments: str | Path) -> float:
    """Megabytes (1e6 bytes) that `edgefake detect` has had resident at most."""
    line = [sys.executable, "-c", PEAK, *(str(word) for word in arguments)]
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout) / 1e6


def bench_memory(clip: Path, long: Path) -> Iterator[Figure]:
    """The most memory on a clip, and on ten minutes of it beside the clip."""
    nothing, short, whole = peak_mb(PICTURE), peak_mb(clip), peak_mb(long)
    yield Figure("memory on the clip", short, 300.0, nothing, "MB")
    yield Figure("memory on ten minutes by that on the clip", whole / short, 1.05, 1.0, "ratio")


# Clips


def smaller(clip: Path, folder: Path, ffmpeg: str) -> Path:
    """The clip at 720p, as x264 writes it by default."""
    target = folder / "720p.mp4"
    line: list[str | Path] = [ffmpeg, "-v", "error", "-i", clip, "-an", "-vf", "scale=1280:720", "-c:v", "libx264"]
    subprocess.run([*line, "-frames:v", str(DENSE_FRAMES + 30), target], check=True)
    return target


def repeated(clip: Path, folder: Path, ffmpeg: str) -> Path:
    """The clip's packets again and again, for ten minutes."""
    from edgefake_runtime.media import Video, open_media

    with open_media(clip) as media:
        assert isinstance(media, Video), f"{clip}: expected a video, got a picture"
        seconds = media.duration_s
    assert seconds, f"{clip}: expected a clip that tells its length, got none"
    target = folder / "long.mp4"
    line: list[str | Path] = [ffmpeg, "-v", "error", "-stream_loop", str(int(LONG_S / seconds)), "-i", clip, "-an"]
    subprocess.run([*line, "-c", "copy", "-t", str(LONG_S), target], check=True)
    return target


def figures(parts: Sequence[str], clip: Path, *, rounds: int, ffmpeg: str) -> Iterator[Figure]:
    """All figures of some parts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "clip" in parts:
            yield from bench_clip(clip, rounds=rounds)
        if "dense" in parts:
            yield from bench_dense(smaller(clip, folder, ffmpeg), rounds=rounds)
        if "start" in parts:
            yield from bench_start(rounds=rounds)
        if "memory" in parts:
            yield from bench_memory(clip, repeated(clip, folder, ffmpeg))


def require_ffmpeg(parser: argparse.ArgumentParser, parts: Sequence[str], ffmpeg: str) -> None:
    """Ends the program where clips must be made and nothing makes them."""
    if {"dense", "memory"} & set(parts) and shutil.which(ffmpeg) is None:
        parser.error(f"expected ffmpeg for dense and memory, got no program {ffmpeg}; name another with --ffmpeg")


def main() -> int:
    """Runs the command line; returns its exit status: 1 where a target is missed."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = ("clip", "dense", "start", "memory")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(every)}; all otherwise")
    parser.add_argument("--clip", type=Path, help=f"1080p with a face; {CLIP} in EDGEFAKE_DATA otherwise")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each")
    parser.add_argument("--ffmpeg", default=shutil.which("ffmpeg") or "ffmpeg", help="program with libx264")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(every):
        parser.error(f"expected {', '.join(every)}, got {', '.join(sorted(unknown))}")
    require_ffmpeg(parser, options.parts or every, options.ffmpeg)
    if options.clip is None and "EDGEFAKE_DATA" not in os.environ:
        parser.error("expected EDGEFAKE_DATA=FOLDER with the research data, or --clip; got neither")
    clip = options.clip or Path(os.environ["EDGEFAKE_DATA"]) / CLIP
    missed = 0
    for figure in figures(options.parts or every, clip, rounds=options.rounds, ffmpeg=options.ffmpeg):
        print(figure, flush=True)
        missed += not figure.is_met
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
