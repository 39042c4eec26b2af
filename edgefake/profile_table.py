"""What `edgefake profile` measured, as rows of text and as CSV."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from edgefake_runtime.operators import OperatorTimes
from edgefake_runtime.profile import ModelProfile, Profile

__all__ = ["CSV_HEADER", "model_rows", "notes", "operator_rows", "operator_title", "to_csv", "video_rows"]

COLUMNS = (
    *("name", "format", "bits", "size_mb", "parameters", "load_ms", "p50_ms", "p95_ms", "images_per_s"),
    *("peak_rss_mb", "ratio", "base_rss_mb", "model", "widened", "threads", "cpu"),
)

VIDEO_COLUMNS = (
    *("decode_s", "faces_s", "classify_s", "total_s", "duration_s", "real_time_factor", "frames_scored", "faces"),
    "peak_rss_mb",
)

CSV_HEADER = ",".join((*COLUMNS, *(f"video_{name}" for name in VIDEO_COLUMNS)))
"""First line of the CSV."""

MOST_KINDS = 6
"""Kinds of operators that are summed up."""

Row = list[str]


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def model_rows(profile: Profile) -> Iterator[Row]:
    """Header and a row for each file."""
    yield [
        *(
            "name",
            "format",
            "bits",
            "MB",
            "parameters",
            "load ms",
            "p50 ms",
            "p95 ms",
            "images/s",
            "peak MB",
            "over base",
        ),
        "ratio",
    ]
    for model in profile.models:
        yield [
            model.name,
            model.format,
            f"{model.bits}{'*' if model.widened else ''}",
            f"{model.size_mb:.2f}",
            f"{model.parameters:,}",
            f"{model.load_ms:.0f}",
            f"{model.p50_ms:.2f}",
            f"{model.p95_ms:.2f}",
            f"{model.images_per_s:.1f}",
            _cell(model.peak_rss_mb, ".0f"),
            _cell(_over_base(model), ".0f"),
            f"{model.ratio:.2f}",
        ]


def _over_base(model: ModelProfile) -> float | None:
    """Megabytes that came with the model."""
    if model.peak_rss_mb is None or model.base_rss_mb is None:
        return None
    return model.peak_rss_mb - model.base_rss_mb


def notes(profile: Profile, *, runs: int) -> Iterator[str]:
    """What the numbers are of."""
    threads = "1 thread" if profile.threads == 1 else f"{profile.threads} threads"
    yield f"{profile.cpu}."
    yield (
        f"One picture at a time, {threads}, {runs} runs of each file in turns; ratio is of p50, to the first file. "
        "Memory is of a process for each file; over base is what came with the model."
    )
    if any(model.widened for model in profile.models):
        yield "* 2-bit weights run as 8-bit ones in memory, with the same answers: faster on this CPU."


def video_rows(profile: Profile) -> Iterator[Row]:
    """Header and a row for each file; the header alone without a video."""
    yield ["name", "decode s", "faces s", "classify s", "total s", "x real time", "frames", "faces", "peak MB"]
    for model in profile.models:
        if model.video is not None:
            video = model.video
            times = (video.decode_s, video.faces_s, video.classify_s, video.total_s)
            counts = str(video.frames_scored), str(video.faces)
            factor = _cell(video.real_time_factor, ".2f")
            yield [model.name, *(f"{each:.3f}" for each in times), factor, *counts, _cell(video.peak_rss_mb, ".0f")]


def operator_title(times: OperatorTimes) -> str:
    """How many operators, and where most of the time goes."""
    kinds = list(times.kinds.items())
    shown = ", ".join(f"{kind} {share:.0%}" for kind, share in kinds[:MOST_KINDS])
    rest = sum(share for _, share in kinds[MOST_KINDS:])
    shown += f", {len(kinds) - MOST_KINDS} other kinds {rest:.0%}" if len(kinds) > MOST_KINDS else ""
    return f"{times.count} operators, {times.total_ms:.2f} ms in all: {shown}"


def operator_rows(times: OperatorTimes) -> Iterator[Row]:
    """Header and a row for each of the slowest operators."""
    yield ["operator", "kind", "ms", "share"]
    for each in times.slowest:
        yield [each.name, each.kind, f"{each.ms:.3f}", f"{each.share:.1%}"]


def to_csv(profile: Profile) -> str:
    """A line for each file, without a line break at the end."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    text.write(f"{CSV_HEADER}\n")
    for model in profile.models:
        values = asdict(model) | {"threads": profile.threads, "cpu": str(profile.cpu)}
        video = values["video"] or {}
        writer.writerow([*_plain(values[name] for name in COLUMNS), *_plain(video.get(name) for name in VIDEO_COLUMNS)])
    return text.getvalue().removesuffix("\n")


def _plain(values: Iterator[object]) -> Sequence[object]:
    """Numbers of six digits, nothing for what was not measured."""
    return [f"{value:.6g}" if isinstance(value, float) else "" if value is None else value for value in values]
