"""Videos -> face crops and a manifest: plan, cut, trim, write."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgefake.data.crop_rule import write_crop_rule
from edgefake.data.manifest import LABELS
from edgefake.whole import write_whole
from edgefake_runtime import __version__
from edgefake_runtime.errors import InputError, UsageError
from edgefake_runtime.mtcnn import FaceDetector

from .balance import trim
from .extract import FaceCrop, VideoCrops, crop_name
from .plan import Plan, PlannedVideo, make_plan
from .progress import REPORT, Progress
from .report import Dropped, Report, SplitCounts
from .settings import SPLITS, CropSettings, PrepareSettings
from .workers import Job, cut_videos

__all__ = ["prepare"]

MANIFEST, LANDMARKS = "manifest.csv", "landmarks5.csv"


@dataclass(frozen=True)
class _Row:
    """A crop with its video."""

    file: str
    video: PlannedVideo
    crop: FaceCrop


def prepare(
    source: Path,
    out: Path,
    settings: PrepareSettings,
    *,
    workers: int = 1,
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Cut the faces of a data set and write crops, `manifest.csv`, `landmarks5.csv`, `crop.json` and `report.json`.

    A run that was ended, however, goes on where it stood when it is called again with the same arguments,
    and its result is the same to the byte. A finished one is only reported again.

    Args:
        source: folder of the data set.
        out: folder for the result; new, empty, or an earlier run's with the same settings.
        settings: what to do.
        workers: processes.
        on_done: called with the videos done and their number.

    Raises:
        InputError: nothing that is understood in `source`, no face anywhere, or `out` cannot be written.
        UsageError: settings that do not fit, or `out` holds something else.
    """
    _require_apart(source, out)
    plan = make_plan(source, settings)
    decisive = {"edgefake": __version__, "layout read": plan.layout, "videos": plan.digest(), **settings.to_json()}
    with Progress(out, decisive) as progress:
        if progress.finished and (out / MANIFEST).is_file():
            return Report.from_json((out / REPORT).read_text(encoding="utf-8"))
        try:
            _cut(source, plan, progress, settings.cut, workers=workers, on_done=on_done)
            return _finish(source, plan, progress, settings)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            cure = "mend that and give the same command again"
            raise InputError(f"{out}: expected a folder that can be written, got: {reason}; {cure}") from error


def _finish(source: Path, plan: Plan, progress: Progress, settings: PrepareSettings) -> Report:
    """Trim, write the manifest, delete what was trimmed, and report, in this order: each step can be repeated."""
    rows, surplus = _select(plan, progress.done, settings)
    if not rows:
        raise InputError(_nothing(source, progress.done.values()))
    _write(progress.out, rows, settings.cut)
    for row in surplus:
        (progress.out / row.file).unlink(missing_ok=True)
    report = _report(plan, progress.done, rows, surplus, settings)
    progress.finish(report.to_json())
    return report


def _require_apart(source: Path, out: Path) -> None:
    inner, outer = out.resolve(), source.resolve()
    if inner == outer or outer in inner.parents:
        raise UsageError(f"{out}: expected a folder outside of SOURCE, got one inside of it; name another")
    if inner.exists() and not inner.is_dir():
        raise UsageError(f"{out}: expected a folder, got a file; name another")


def _cut(
    source: Path,
    plan: Plan,
    progress: Progress,
    settings: CropSettings,
    *,
    workers: int,
    on_done: Callable[[int, int], None],
) -> None:
    """Cut what is not recorded yet, or lacks a file."""
    FaceDetector(threads=1)  # a damaged network is said here, in one line
    for video in plan.videos:
        record = progress.done.get(video.source)
        if record and not all((progress.out / video.folder / crop_name(c, settings)).is_file() for c in record.crops):
            del progress.done[video.source]
    jobs = [Job(v.source, progress.out / v.folder) for v in plan.videos if v.source not in progress.done]
    on_done(len(plan.videos) - len(jobs), len(plan.videos))
    for result in cut_videos(jobs, source, settings, workers=workers):
        progress.record(result)
        on_done(len(progress.done), len(plan.videos))


def _select(plan: Plan, done: Mapping[str, VideoCrops], settings: PrepareSettings) -> tuple[list[_Row], list[_Row]]:
    """Rows of the manifest in order, and those trimmed for balance."""
    rows = [
        _Row(f"{video.folder}/{crop_name(crop, settings.cut)}", video, crop)
        for video in plan.videos
        for crop in done[video.source].crops
    ]
    dropped: set[str] = set()
    for name in SPLITS:
        if settings.balance and not (settings.official_test and name == "test"):
            files: dict[str, list[str]] = {label: [] for label in LABELS}
            for row in rows:
                if row.video.split == name:
                    files[row.video.label].append(row.file)
            dropped |= trim(files, seed=settings.seed)
    return [row for row in rows if row.file not in dropped], [row for row in rows if row.file in dropped]


def _nothing(source: Path, done: Iterable[VideoCrops]) -> str:
    records = list(done)
    errors = [f"{record.source}: {record.error}" for record in records if record.error]
    frames = sum(record.frames for record in records)
    faces = sum(len(record.crops) for record in records)
    first = f" (the first: {errors[0]})" if errors else ""
    return (
        f"{source}: expected videos with faces, got {faces} faces in {frames} frames of {len(records)} videos, "
        f"{len(errors)} of them unreadable{first}, and no split with both labels; check them, or give --no-balance"
    )


def _write(out: Path, rows: Sequence[_Row], settings: CropSettings) -> None:
    write_crop_rule(out, settings.crop())
    points = [f"{axis}{index}" for index in range(5) for axis in "xy"]
    write_whole(out / LANDMARKS, _csv(["file", *points], ([row.file, *row.crop.landmarks] for row in rows)))
    columns = ["file", "label", "split", "group", "source", "frame", "box"]
    write_whole(out / MANIFEST, _csv(columns, (_manifest_row(row) for row in rows)))


def _manifest_row(row: _Row) -> list[object]:
    video, box = row.video, " ".join(map(str, row.crop.box))
    return [row.file, video.label, video.split, video.group, video.source, row.crop.frame, box]


def _csv(header: Sequence[str], rows: Iterable[list[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _report(
    plan: Plan,
    done: Mapping[str, VideoCrops],
    rows: Sequence[_Row],
    surplus: Sequence[_Row],
    settings: PrepareSettings,
) -> Report:
    records = [done[video.source] for video in plan.videos]
    unreadable = tuple(f"{record.source}: {record.error}" for record in records if record.error)
    faceless = tuple(record.source for record in records if not record.error and not record.crops)
    frames = sum(record.frames - len(record.crops) for record in records)
    dropped = [
        *plan.dropped,
        Dropped("cannot be read", "videos", len(unreadable), unreadable),
        Dropped("no face in any frame", "videos", len(faceless), faceless),
        Dropped("no face", "frames", frames),
        Dropped("surplus of its label in its split", "crops", len(surplus)),
    ]
    notes = [*plan.notes, *(f"{record.source}: {record.note}" for record in records if record.note)]
    splits = {name: _counts([row for row in rows if row.video.split == name]) for name in SPLITS}
    kept = [entry for entry in dropped if entry.count]
    return Report(plan.layout, splits, kept, notes, {"edgefake": __version__, **settings.to_json()})


def _counts(rows: Sequence[_Row]) -> SplitCounts:
    videos: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        videos[row.video.label].add(row.video.source)
    crops = Counter(row.video.label for row in rows)
    groups = len({row.video.group for row in rows})
    return SplitCounts(
        {label: len(videos[label]) for label in LABELS}, {label: crops[label] for label in LABELS}, groups
    )
