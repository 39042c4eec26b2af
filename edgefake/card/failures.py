"""Where the measurements saw a model fail, in sentences."""

from collections.abc import Iterator, Sequence

from ..corruptions import CLEAN, CORRUPTIONS, CorruptionRow
from ..evaluate import LEAST_GROUPS
from ..subgroups import PROPERTIES, SubgroupRow
from .markdown import code
from .measure import Clip, Measured

__all__ = ["LEAST_CROPS", "seen_failing", "worst_by_kind"]

LEAST_CROPS = 20
"""Reals and fakes, of each, that a bin needs to be named; and `LEAST_GROUPS` people."""

SHOWN = 3
"""Bins and corruptions that are named, at most."""


def seen_failing(measured: Measured, clips: Sequence[Clip]) -> list[str]:
    """A sentence or two about the clips judged wrongly, the worst bins, and the worst corruptions."""
    return [*_clips(clips), *_bins(measured.subgroups), *_corruptions(measured.corruptions)]


def _clips(clips: Sequence[Clip]) -> Iterator[str]:
    for clip in clips:
        wrong = [kind for kind in clip.results if clip.is_wrong(kind)]
        if wrong:
            result = clip.results[wrong[0]]
            truth = "fake" if clip.fake else "real"
            score = "-" if result.score is None else f"{result.score:.2f}"
            said = f"P(fake) {score} ({' and '.join(wrong)})"
            yield f"{code(clip.name)} is {truth} and was called {result.verdict}, {said}"


def _bins(rows: Sequence[SubgroupRow]) -> Iterator[str]:
    sound = [row for row in rows if min(row.n_real, row.n_fake) >= LEAST_CROPS and (row.groups or 0) >= LEAST_GROUPS]
    ranked = sorted((row.auc, number) for number, row in enumerate(sound) if row.auc is not None)[:SHOWN]
    if not ranked:
        yield f"No group of faces held enough crops ({LEAST_CROPS} of each class, {LEAST_GROUPS} people) to be named"
        return
    named = "; ".join(_area(sound[number]) for _, number in ranked)
    yield f"The groups of faces with the lowest AUC: {named}"
    alarms = sorted(
        ((row.false_positive_rate, number) for number, row in enumerate(sound) if row.false_positive_rate is not None),
        reverse=True,
    )[:SHOWN]
    named = "; ".join(f"{_bin(sound[number])} {rate:.3f} of {sound[number].n_real} reals" for rate, number in alarms)
    yield f"Those with the most false positives: {named}"
    yield (
        f"These are the worst of {len(sound)} overlapping groups with enough crops ({LEAST_CROPS} of each class, "
        f"{LEAST_GROUPS} people): among so many comparisons some look bad by chance, so no single group is a finding"
    )


def _bin(row: SubgroupRow) -> str:
    return f"{PROPERTIES[row.property]} {row.bin}:"


def _area(row: SubgroupRow) -> str:
    span = "" if row.auc_low is None else f" ({row.auc_low:.2f} to {row.auc_high:.2f})"
    return f"{_bin(row)} {row.auc:.3f}{span}, {row.n} crops"


def worst_by_kind(rows: Sequence[CorruptionRow]) -> list[CorruptionRow]:
    """The level of each kind of corruption that costs most AUC, in the order of the kinds."""
    kinds = dict.fromkeys(row.kind for row in rows if row.kind != CLEAN)
    return [max((row for row in rows if row.kind == kind), key=lambda row: row.auc_drop or 0.0) for kind in kinds]


def _corruptions(rows: Sequence[CorruptionRow]) -> Iterator[str]:
    clean = next(row for row in rows if row.kind == CLEAN)
    drops = sorted(worst_by_kind(rows), key=lambda row: row.auc_drop or 0.0, reverse=True)
    named = "; ".join(f"{_level(row)} {row.auc:.3f}" for row in drops[:SHOWN] if (row.auc_drop or 0) > 0)
    yield f"AUC falls most, from {clean.auc:.3f}, under {named}" if named else "No corruption lowers the AUC"
    before = clean.false_positive_rate or 0.0
    kinds = dict.fromkeys(row.kind for row in rows if row.kind != CLEAN)
    highest = [
        max((row for row in rows if row.kind == kind), key=lambda row: row.false_positive_rate or 0.0) for kind in kinds
    ]
    rises = sorted(highest, key=lambda row: row.false_positive_rate or 0.0, reverse=True)[:SHOWN]
    named = "; ".join(
        f"{_level(row)} {row.false_positive_rate:.3f}" for row in rises if (row.false_positive_rate or 0) > before
    )
    yield (
        f"False positives rise most, from {before:.3f}, under {named}"
        if named
        else "No corruption adds false positives"
    )


def _level(row: CorruptionRow) -> str:
    corruption = CORRUPTIONS[row.kind]
    return f"{corruption.name} {row.level:g} ({corruption.unit}):"
