"""The card as Markdown, from what was measured and what `card.toml` says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgefake_runtime.classifier import sha256_of
from edgefake_runtime.metadata import ModelMetadata

from ..corruptions import CORRUPTIONS
from ..metrics import Interval
from ..subgroups import PROPERTIES
from .failures import seen_failing, worst_by_kind
from .folder import TORCH
from .markdown import code, fenced, prose, table
from .measure import Clip, Measured, OperatingRow, Scored
from .words import WORDS, CardWords

__all__ = ["Latency", "Origin", "card_text"]

FIGURES = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "eer": "equal error rate",
    "ece": "expected calibration error",
    "false_positive_rate": "reals called fake (false positives)",
    "true_positive_rate": "fakes called fake (true positives)",
}
"""Figures with an interval, by their name in `Metrics`."""


@dataclass(frozen=True)
class Latency:
    """Times of one picture on one thread.

    Attributes:
        reference: seconds of the same network as ONNX with 32-bit weights.
        ratios: by file, of its time to the reference's, which ran in the same rounds.
        rounds: runs of each.
    """

    reference: float
    ratios: Mapping[str, float]
    rounds: int


@dataclass(frozen=True)
class Origin:
    """How the card came about: command line, day, version of edgefake, CPU, packages with versions."""

    command: str
    date: str
    version: str
    cpu: str
    packages: str


def card_text(
    words: CardWords,
    measured: Measured,
    clips: Sequence[Clip],
    latency: Latency,
    origin: Origin,
    *,
    files: Sequence[Path],
    pictures: tuple[str, str],
) -> str:
    """The whole card.

    Args:
        words: of `card.toml`.
        measured: on the held half.
        clips: none for no such section.
        latency: of the exported files.
        origin: of the figures.
        files: that are listed with bytes and hash.
        pictures: names of the picture and the CSV beside the card.
    """
    name = measured.metadata.name
    sections = {
        "Files": _files(files, latency, origin),
        "Intended use": _list(words.intended_use),
        "Misuse": _list(["A score is no proof, in either direction.", *words.misuse]),
        "How good it is": _figures(measured),
        "Other thresholds": _points(measured.points),
        "When it does not tell": _silence(measured),
        "Corruptions": _corruptions(measured, *pictures),
        "Where it fails": _breakdown(measured, pictures[1]),
        "Clips": _clips(clips),
        "Seen failing": _list([*(f"{line}." for line in seen_failing(measured, clips)), *words.known_failures]),
        "Data and terms": _data(words),
        "Recipe": _recipe(words),
        "Limits": _list(words.limits),
        "How this was measured": _origin(origin),
    }
    parts = [f"# {prose(name)}", f"{prose(words.summary)}\n\n**A score is no proof.**"]
    parts += [f"## {title}\n\n{text}" for title, text in sections.items() if text]
    return "\n\n".join(parts) + "\n"


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {prose(item)}" for item in items)


def _files(files: Sequence[Path], latency: Latency, origin: Origin) -> str:
    rows = [(code(file.name), f"{file.stat().st_size:,}", code(sha256_of(file))) for file in files]
    times = [(kind, f"{ratio:.2f}") for kind, ratio in latency.ratios.items()]
    return "\n\n".join(
        (
            table(("file", "bytes", "SHA-256"), rows, words=(0, 2)),
            table(("one picture, one thread", "time over 32-bit ONNX"), times),
            f"CPU time of the classifier alone, median of {latency.rounds} runs in turns, over that of the same "
            f"network as ONNX with 32-bit weights beside it: {1000 * latency.reference:.2f} ms on {prose(origin.cpu)}. "
            "Widened: 2-bit weights run as 8-bit ones, the same answers; the runtime takes whichever is faster.",
        )
    )


def _cell(value: float | None, form: str = ".4f") -> str:
    return "-" if value is None else format(value, form)


def _with_interval(value: float | None, interval: Interval | None, form: str = ".4f") -> str:
    span = "" if interval is None else f" ({interval[0]:{form}} to {interval[1]:{form}})"
    return _cell(value, form) + span


def _figures(measured: Measured) -> str:
    result = measured.first
    groups = len(set(result.groups or ()))
    rows = [(title, *(_figure(scored, name) for scored in measured.scored.values())) for name, title in FIGURES.items()]
    spans = (
        "In brackets: 95 % intervals from 2,000 draws of whole identity groups."
        if next(iter(measured.scored.values())).intervals
        else f"No intervals: {groups} identity groups are too few."
    )
    return "\n\n".join(
        (
            f"On {result.metrics.n:,} face crops ({result.metrics.n_real:,} real, {result.metrics.n_fake:,} fake) of "
            f"{groups} identity groups: the half of {prose(measured.data)} that calibration, threshold and band "
            f"were not fitted on. Threshold {result.threshold:.3f}. {spans}",
            table(("held half", *measured.scored), rows),
            _difference(measured.scored),
            f"Calibration: {prose(measured.metadata.calibration.origin)}.",
        )
    )


def _figure(scored: Scored, name: str) -> str:
    interval = None if scored.intervals is None else scored.intervals[name]
    return _with_interval(getattr(scored.evaluation.metrics, name), interval)


def _difference(scored: Mapping[str, Scored]) -> str:
    """What a file costs against the checkpoint that it was made from."""
    torch = scored[TORCH].evaluation
    said = []
    for kind, each in scored.items():
        if kind != TORCH:
            scores = each.evaluation.scores
            largest = float(abs(scores - torch.scores).max())
            turned = int(((scores >= each.evaluation.threshold) != (torch.scores >= torch.threshold)).sum())
            said.append(
                f"{kind} {largest:.4f}, and {turned} of {len(scores):,} crops on the other side of the threshold"
            )
    return f"Largest difference of P(fake) to the {TORCH}: {'; '.join(said)}."


def _points(points: Sequence[OperatingRow]) -> str:
    if not points:
        return ""
    rows = []
    for row in points:
        spans = row.intervals or (None, None)
        found = (_with_interval(value, span, ".3f") for value, span in zip(row.found, spans, strict=True))
        rows.append((f"{row.allowed:g}", f"{row.threshold:.4f}", *(f"{rate:.3f}" for rate in row.promised), *found))
    head = (
        *("reals called fake, at most", "P(fake) from", "fitted half: reals", "fitted half: fakes"),
        *("held half: reals called fake", "held half: fakes called fake"),
    )
    none = "\n\nNone in these crops, and so none in any draw of them, does not mean never." if _has_none(points) else ""
    return (
        "From the curve in the file (`--max-false-positives`), and what these thresholds give on people that it was "
        f"not measured on, by the ONNX file:\n\n{table(head, rows)}{none}"
    )


def _has_none(points: Sequence[OperatingRow]) -> bool:
    return any(0.0 in row.found and row.intervals is not None for row in points)


def _silence(measured: Measured) -> str:
    metadata, band = measured.metadata, measured.band
    edges = metadata.uncertain
    wrong = f"{band.wrong} of these were wrong ({band.wrong / band.given:.1%})" if band.given else "so none was wrong"
    return "\n\n".join(
        (
            f"From P(fake) {edges.low:g} up to {edges.high:g} the verdict is `uncertain`: {prose(edges.origin)}.",
            f"On the held half {band.given:,} of {band.n:,} crops got a verdict ({band.given / band.n:.1%}), and "
            f"{wrong}: {band.reals_called_fake} reals called fake, {band.fakes_called_real} fakes called real.",
            _floor(metadata),
        )
    )


def _floor(metadata: ModelMetadata) -> str:
    floor = metadata.quality
    if floor is None:
        return "No face is set aside: small, soft and turned ones are judged like any other."
    return (
        f"A face {floor.words} is set aside and does not count: {prose(floor.origin)}. The figures of this card count "
        "all crops."
    )


def _corruptions(measured: Measured, picture: str, csv: str) -> str:
    rows = [
        (
            f"{CORRUPTIONS[row.kind].name}, {CORRUPTIONS[row.kind].unit}",
            f"{row.level:g}",
            *(_cell(value) for value in (row.auc, row.auc_drop, row.false_positive_rate, row.true_positive_rate)),
        )
        for row in worst_by_kind(measured.corruptions)
    ]
    head = ("corruption", "worst level", "AUC", "drop", "reals called fake", "fakes called fake")
    return (
        f"![Corruption curves and breakdown by size, sharpness, brightness and skin tone proxy]({picture})\n\n"
        "The level of each corruption that costs the ONNX file most AUC; all levels are in the picture and in "
        f"[{csv}]({csv}).\n\n{table(head, rows)}"
    )


def _breakdown(measured: Measured, csv: str) -> str:
    rows = []
    for row in measured.subgroups:
        span = None if row.auc_low is None or row.auc_high is None else (row.auc_low, row.auc_high)
        counts = (str(row.n_real), str(row.n_fake), _cell(row.groups, "d"))
        rates = (_cell(value, ".3f") for value in (row.accuracy, row.false_positive_rate, row.true_positive_rate))
        rows.append((PROPERTIES[row.property], row.bin, *counts, _with_interval(row.auc, span, ".3f"), *rates))
    head = ("property", "group", "real", "fake", "people", "AUC", "accuracy", "reals called fake", "fakes called fake")
    return (
        f"{table(head, rows, words=(0, 1))}\n\n"
        "People are identity groups; an interval takes 5 of them. The skin tone proxy is the individual typology angle "
        "of the picture: light and camera move it as much as the skin does. It is no ground truth, and neither a gap "
        "nor its absence measures fairness. Small groups, and those of few people, say little."
    )


def _clips(clips: Sequence[Clip]) -> str:
    if not clips:
        return ""
    kinds = list(clips[0].results)
    rows = []
    for clip in clips:
        said = [cell for kind in kinds for cell in _said(clip, kind)]
        seen = clip.results[kinds[0]]
        rows.append(
            (code(clip.name), "fake" if clip.fake else "real", *said, str(len(seen.faces)), str(seen.frames_scored))
        )
    columns = [column for kind in kinds for column in (f"{kind}: verdict", "P(fake)")]
    head = ("clip", "label", *columns, "faces", "frames")
    return f"{table(head, rows, words=(0, 1))}\n\n{_list(list(_counts(clips, kinds)))}"


def _said(clip: Clip, kind: str) -> tuple[str, str]:
    result = clip.results[kind]
    return f"**{result.verdict}**" if clip.is_wrong(kind) else result.verdict, _cell(result.score, ".3f")


def _counts(clips: Sequence[Clip], kinds: Sequence[str]) -> Iterator[str]:
    reals, fakes = ([clip for clip in clips if clip.fake is fake] for fake in (False, True))
    for kind in kinds:
        found = [[clip.results[kind].verdict for clip in group] for group in (reals, fakes)]
        both = [*found[0], *found[1]]
        none = f", {both.count('no-face')} without a face" if "no-face" in both else ""
        yield (
            f"{kind}: {found[0].count('fake')} of {len(reals)} real clips called fake, {found[1].count('fake')} of "
            f"{len(fakes)} fake ones called fake; {both.count('uncertain')} uncertain{none}."
        )


def _data(words: CardWords) -> str:
    rows = [(prose(each.name), prose(each.use), prose(each.terms)) for each in words.data]
    parts = [
        table(("data", "use", "terms"), rows, words=(0, 1, 2)),
        _list(words.data_notes),
        "No picture or video of them is part of this distribution.",
    ]
    return "\n\n".join(part for part in parts if part)


def _recipe(words: CardWords) -> str:
    steps = [
        f"{prose(step.what)} {prose(step.hours)}, {prose(step.machine)}.\n\n{fenced(step.command)}"
        for step in words.recipe
    ]
    return "\n\n".join([*steps, *([_list(words.recipe_notes)] if words.recipe_notes else [])])


def _origin(origin: Origin) -> str:
    return (
        f"{fenced(origin.command)}\n\n{origin.date}, edgefake {prose(origin.version)}, {prose(origin.packages)}, "
        f"{prose(origin.cpu)}. All figures were measured by this command from the files above; uses, data, recipe and "
        f"limits are words of `{WORDS}`. docs/evaluate.md defines each figure."
    )
