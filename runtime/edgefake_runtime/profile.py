"""What a model file costs on this machine: size, weights, time to load, latency, memory, and a video's way through it.

Every file runs in a process of its own, opened before the first is timed. They run in turns, one run each a round, so
that what slows the machine down slows all of them.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .cpu import Cpu, cores, read_cpu
from .errors import EdgefakeError, InputError, MissingExtraError, ModelFileError, UsageError, printable
from .media import Picture, open_media
from .model_file import is_tflite, read_model_file
from .operators import Operator, OperatorTimes
from .parameters import count_parameters
from .session import check_threads
from .tflite_file import read_tflite
from .worker import Worker

__all__ = ["RUNS", "VIDEO_ROUNDS", "ModelProfile", "Profile", "ProfileOptions", "VideoTimes", "profile_files"]

logger = logging.getLogger(__name__)

RUNS = 50
"""Timed runs of each file."""

WARM_UP = 3
"""Runs of each file before the first that counts."""

VIDEO_ROUNDS = 3
"""How often each model judges the video; the median counts."""

OPERATOR_RUNS = 20
"""Runs that operators are timed over, at most."""

MEGA = 1e6

OnStep = Callable[[str, int, int], None]
"""Told of what is done: "opening", "timing", "video" or "operators", how much of it, of how much."""


@dataclass(frozen=True)
class ProfileOptions:
    """How to measure.

    Attributes:
        runs: timed runs of each file.
        threads: of the runtimes; None for one per core.
        widen: run 2-bit weights of TFLite files as 8-bit ones, or as they are; None for whichever is faster here.
        video: judge it with each model, and say where the time went.
        every: score each n-th frame of it.
        operators: time the operators.
    """

    runs: int = RUNS
    threads: int | None = None
    widen: bool | None = None
    video: Path | None = None
    every: int = 30
    operators: bool = False

    def __post_init__(self) -> None:
        if self.runs < 1 or self.every < 1:
            raise UsageError(f"runs, every: expected 1 or more, got {self.runs}, {self.every}")
        check_threads(self.threads)


@dataclass(frozen=True)
class VideoTimes:
    """A video's way through a model, medians of `VIDEO_ROUNDS` rounds.

    Attributes:
        decode_s, faces_s, classify_s: seconds for frames, for finding faces, and for cutting and scoring them.
        total_s: all in all.
        duration_s: of the video; None where its file does not say.
        real_time_factor: seconds of video judged in a second; None without a duration.
        frames_scored: frames that were searched for faces.
        faces: faces found in them.
        peak_rss_mb: megabytes of memory that all this took at most; None where the system does not tell.
    """

    decode_s: float
    faces_s: float
    classify_s: float
    total_s: float
    duration_s: float | None
    real_time_factor: float | None
    frames_scored: int
    faces: int
    peak_rss_mb: float | None


@dataclass(frozen=True)
class ModelProfile:
    """A row.

    Attributes:
        name: of the file; its path where two files share a name.
        format: "ONNX" or "TFLite".
        bits: width of the encoder's weights.
        size_mb: megabytes (10^6 bytes) of the file.
        parameters: its weights (see `count_parameters`).
        load_ms: milliseconds to read, check and prepare it, in a fresh process whose libraries are loaded.
        p50_ms, p95_ms: of the runs, one picture at a time.
        images_per_s: runs over their summed time.
        peak_rss_mb: megabytes of memory that its process had at most, Python and libraries included.
        ratio: p50 over that of the first file.
        base_rss_mb: megabytes that its process had before the model was loaded.
        file: its path.
        model: its name inside the file.
        widened: whether its 2-bit weights ran as 8-bit ones.
        video: the video's way through it; None for none.
        operators: times of its operators; None for none.
        operators_error: why its runtime does not tell them; None where it does.
    """

    name: str
    format: str
    bits: int
    size_mb: float
    parameters: int
    load_ms: float
    p50_ms: float
    p95_ms: float
    images_per_s: float
    peak_rss_mb: float | None
    ratio: float
    base_rss_mb: float | None
    file: str
    model: str
    widened: bool
    video: VideoTimes | None = None
    operators: OperatorTimes | None = None
    operators_error: str | None = None


@dataclass(frozen=True)
class Profile:
    """The table.

    Attributes:
        cpu: that it was measured on.
        threads: of the runtimes.
        models: a row for each file, in the order given.
    """

    cpu: Cpu
    threads: int
    models: tuple[ModelProfile, ...]

    def as_json(self) -> dict[str, Any]:
        """What JSON says of it: {"cpu", "threads", "models": [...]}, a row with the names of its fields."""
        return {"cpu": str(self.cpu), "threads": self.threads, "models": [asdict(model) for model in self.models]}


@dataclass
class _Subject:
    """A file with its process, and what was found so far."""

    path: Path
    data_size: int
    parameters: int
    worker: Worker
    facts: dict[str, Any]
    seconds: list[float]
    memory: int | None = None
    video: VideoTimes | None = None
    operators: OperatorTimes | None = None
    operators_error: str | None = None


def profile_files(
    files: Sequence[Path], options: ProfileOptions | None = None, *, on_step: OnStep = lambda what, done, total: None
) -> Profile:
    """Measure model files side by side.

    Args:
        files: made by `edgefake export`, each with its own process as long as this runs.
        options: how to measure.
        on_step: told of the progress.

    Raises:
        UsageError: no files, one twice, or an option that fits none of them.
        ModelFileError: one is missing, damaged, foreign, or does not run here.
        MissingExtraError: one is a TFLite file, and LiteRT is not installed.
        InputError: the video cannot be read, or is a picture.
    """
    options = options or ProfileOptions()
    threads = _threads(options.threads)
    sizes = [_size(path) for path in _distinct(files)]
    if options.video is not None:
        _require_video(options.video)
    widens = _widens(files, options.widen)
    with ExitStack() as stack:
        subjects: list[_Subject] = []
        for path, size, widen in zip(files, sizes, widens, strict=True):
            on_step("opening", len(subjects), len(files))
            with _of(path):
                worker = stack.enter_context(Worker())
                facts = worker.ask("open", path=path, threads=threads, widen=widen)
                parameters = count_parameters(read_model_file(path))
            subjects.append(_Subject(path, size, parameters, worker, facts, []))
        _time(subjects, options.runs, on_step)
        if options.video is not None:
            _judge(subjects, options.video, options.every, on_step)
        if options.operators:
            _time_operators(subjects, min(options.runs, OPERATOR_RUNS), on_step)
    return Profile(read_cpu(), threads, _rows(subjects))


def _threads(wanted: int | None) -> int:
    here = cores()
    if wanted is not None and wanted > here:
        logger.warning(
            "--threads: %d threads on %d %s wait for each other; their times say little",
            wanted,
            here,
            "core" if here == 1 else "cores",
        )
    return wanted or here


def _distinct(files: Sequence[Path]) -> Sequence[Path]:
    if not files:
        raise UsageError("expected model files, got none; name one")
    seen: set[Path] = set()
    for path in files:
        place = path.absolute()
        if place in seen:
            raise UsageError(f"{printable(path)}: expected each file once, got it twice; leave one away")
        seen.add(place)
    return files


@contextmanager
def _of(path: Path) -> Iterator[None]:
    """Say which file it is, where an error does not."""
    name = printable(path)
    try:
        yield
    except ModelFileError as error:
        if str(error).startswith(name):
            raise
        raise ModelFileError(f"{name}: {error}") from error


def _size(path: Path) -> int:
    """Bytes of a file that is one."""
    if path.is_dir():
        raise ModelFileError(
            f"{printable(path)}: expected a model file, got a folder; name the files in it, or --all for a checkpoint"
        )
    return len(read_model_file(path))


def _require_video(path: Path) -> None:
    with open_media(path) as media:
        if isinstance(media, Picture):
            raise InputError(f"{printable(path)}: expected a video, got a picture; name a clip")


def _widens(files: Sequence[Path], widen: bool | None) -> list[bool | None]:
    """The option where a file has what it is for."""
    if widen is None:
        return [None] * len(files)
    fits = [_is_packed(path) for path in files]
    if not any(fits):
        raise UsageError("--widen, --no-widen: expected a TFLite file with 2-bit weights, got none; leave it away")
    return [widen if fit else None for fit in fits]


def _is_packed(path: Path) -> bool:
    data = read_model_file(path)
    with _of(path):
        return is_tflite(data) and bool(read_tflite(data).packed)


def _time(subjects: Sequence[_Subject], runs: int, on_step: OnStep) -> None:
    """Runs in turns, then the memory that they took."""
    for subject in subjects:
        with _of(subject.path):
            subject.worker.ask("run", times=WARM_UP)
    for done in range(runs):
        on_step("timing", done, runs)
        for subject in subjects:
            with _of(subject.path):
                subject.seconds.append(subject.worker.ask("run", times=1))
    for subject in subjects:
        subject.memory = subject.worker.ask("memory")


def _judge(subjects: Sequence[_Subject], video: Path, every: int, on_step: OnStep) -> None:
    found: list[list[dict[str, Any]]] = [[] for _ in subjects]
    total = VIDEO_ROUNDS * len(subjects)
    for done in range(total):
        on_step("video", done, total)
        place = done % len(subjects)
        with _of(subjects[place].path):
            found[place].append(subjects[place].worker.ask("video", path=video, every=every))
    for subject, rounds in zip(subjects, found, strict=True):
        subject.video = _video_times(rounds, subject.worker.ask("memory"))
    if not any(subject.video and subject.video.faces for subject in subjects):
        logger.warning(
            "%s: no face in the frames that were scored: no model ran, and the times are of decoding and search alone",
            printable(video),
        )


def _video_times(rounds: Sequence[dict[str, Any]], memory: int | None) -> VideoTimes:
    names = ("decode_s", "faces_s", "classify_s", "total_s")
    times = {name: median(each[name] for each in rounds) for name in names}
    first, duration = rounds[0], rounds[0]["duration_s"]
    return VideoTimes(
        **times,
        duration_s=duration,
        real_time_factor=duration / times["total_s"] if duration and times["total_s"] else None,
        frames_scored=first["frames_scored"],
        faces=first["faces"],
        peak_rss_mb=_mega(memory),
    )


def _time_operators(subjects: Sequence[_Subject], runs: int, on_step: OnStep) -> None:
    for done, subject in enumerate(subjects):
        on_step("operators", done, len(subjects))
        try:
            found = subject.worker.ask("operators", runs=runs)
        except MissingExtraError:
            raise
        except EdgefakeError as error:  # its times are taken by now; the runtime does not tell more
            subject.operators_error = str(error)
            continue
        slowest = tuple(Operator(*each) for each in found["slowest"])
        subject.operators = OperatorTimes(found["count"], found["total_ms"], slowest, found["kinds"])


def _rows(subjects: Sequence[_Subject]) -> tuple[ModelProfile, ...]:
    names = [subject.path.name for subject in subjects]
    rows = [_row(each, printable(each.path) if names.count(each.path.name) > 1 else None) for each in subjects]
    first = rows[0].p50_ms
    return tuple(replace(row, ratio=row.p50_ms / first) for row in rows)


def _row(subject: _Subject, name: str | None) -> ModelProfile:
    facts, times = subject.facts, np.array(subject.seconds)
    p50, p95 = np.percentile(times, (50, 95)).tolist()
    return ModelProfile(
        name=name or printable(Path(subject.path.name)),
        format=facts["format"],
        bits=facts["bits"],
        size_mb=subject.data_size / MEGA,
        parameters=subject.parameters,
        load_ms=1000 * facts["load_s"],
        p50_ms=1000 * p50,
        p95_ms=1000 * p95,
        images_per_s=float(1 / times.mean()),
        peak_rss_mb=_mega(subject.memory),
        ratio=1.0,
        base_rss_mb=_mega(facts["memory_before"]),
        file=printable(_shown(subject.path)),
        model=facts["model"],
        widened=facts["widened"],
        video=subject.video,
        operators=subject.operators,
        operators_error=subject.operators_error,
    )


def _shown(path: Path) -> Path:
    """From here, where it lies below; else as it was named."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _mega(count: int | None) -> float | None:
    return None if count is None else count / MEGA
