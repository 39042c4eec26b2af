"""Splits in which no identity stands twice.

**By component.** Videos that share an identity are linked; what hangs together is a component (union-find).
Components are assigned whole, the big ones first, each to the split where the chi-square distance of the labels'
counts from the wanted ones grows least; where that leaves a split without a label, a small component that has it
moves there. Nothing is dropped.

**By identity.** Where everybody was swapped with everybody, a component can span the whole set. Then identities
are assigned to splits in the same way, and a video whose identities fall into different splits is dropped. A
split with the share q of the identities keeps only q^2 of the fakes between all pairs, so that small splits would
lack fakes: the shares of the identities are also tried with each of `EXPONENTS` (0.5 gives the fakes their shares).
Of `TRIALS` assignments, in random order among equals, the one is taken that leaves most pairs of a real and a
fake, in shares nearest to the wanted ones (`_cost`).

"auto" goes by component, unless the greatest holds more than the greatest share of the videos plus `SLACK`; then
the components that do not fit are taken apart by identity, the others stay whole.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from edgefake_runtime.errors import InputError

from .settings import SPLITS
from .tree import SourceVideo

__all__ = ["SLACK", "TRIALS", "Division", "components", "divide"]

SLACK = 0.05
"""Share of the videos by which a component may exceed the greatest split's share before it is taken apart."""

TRIALS = 64
"""Assignments of identities that are tried."""

EXPONENTS = (1.0, 0.85, 0.7, 0.6, 0.5)
"""Powers of the shares by which identities are assigned, in turn."""

Weight = Mapping[str, float]
"""Videos by label."""


@dataclass(frozen=True, eq=False)
class _Unit:
    """Identities that stay together.

    Attributes:
        identities: of a component, or a single one of a component that was taken apart.
        weight: its videos by label; one that belongs to several units counts for each in equal parts.
        apart: whether its component was taken apart.
    """

    identities: frozenset[str]
    weight: Weight
    apart: bool


@dataclass(frozen=True)
class Division:
    """Where each video goes.

    Attributes:
        split: of each kept video, by source.
        group: key of its component among the kept videos: the first of the component's identities.
        crossing: videos whose identities fell into different splits.
        conflicting: videos that share an identity with the official test videos.
        notes: sentences for the user.
    """

    split: Mapping[str, str]
    group: Mapping[str, str]
    crossing: tuple[str, ...] = ()
    conflicting: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def components(links: Iterable[Sequence[str]]) -> dict[str, str]:
    """Connected components by union-find.

    Args:
        links: sets of keys that belong together, each with at least one key.

    Returns:
        For each key the least key of its component.
    """
    parent: dict[str, str] = {}

    def find(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for keys in links:
        for key in keys:
            first, other = sorted((find(keys[0]), find(key)))
            parent[other] = first
    return {key: find(key) for key in parent}


def divide(
    videos: Sequence[SourceVideo],
    shares: Mapping[str, float],
    *,
    split_by: str = "auto",
    official_test: bool = False,
    seed: int = 0,
) -> Division:
    """Assign videos to splits so that no identity stands in two.

    Args:
        videos: with their identities.
        shares: wanted share of the videos by split, 0 to 1.
        split_by: "component", "identity" or "auto".
        official_test: the videos so marked are the test split; others that share an identity with them are
            dropped, and the rest is divided among the other splits.
        seed: of ties and trials.

    Raises:
        InputError: by component, and one component holds everything though two splits want videos.
    """
    kept = list(videos)
    fixed: dict[str, str] = {}
    conflicting: tuple[str, ...] = ()
    if official_test:
        fixed, kept, conflicting = _set_official_aside(videos)
        shares = {name: share for name, share in shares.items() if name != "test"}
        whole = sum(shares.values())
        shares = {name: share / whole if whole else 0 for name, share in shares.items()}
    wanted = {name: share for name, share in shares.items() if share > 0}
    split, crossing, notes = _divide_rest(kept, wanted, split_by, random.Random(seed)) if wanted else ({}, (), ())
    split = {**fixed, **split}
    group = components(video.identities for video in videos if video.source in split)
    groups = {video.source: group[video.identities[0]] for video in videos if video.source in split}
    return Division(split, groups, crossing, conflicting, notes)


def _set_official_aside(
    videos: Sequence[SourceVideo],
) -> tuple[dict[str, str], list[SourceVideo], tuple[str, ...]]:
    test = {video.source: "test" for video in videos if video.official_test}
    people = {identity for video in videos if video.official_test for identity in video.identities}
    rest = [video for video in videos if not video.official_test]
    conflicting = tuple(video.source for video in rest if not people.isdisjoint(video.identities))
    return test, [video for video in rest if people.isdisjoint(video.identities)], conflicting


def _divide_rest(
    videos: Sequence[SourceVideo], shares: Mapping[str, float], split_by: str, order: random.Random
) -> tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]:
    """Split of each kept video, crossing videos, notes."""
    if not videos:
        return {}, (), ()
    roots = components(video.identities for video in videos)
    sizes = Counter(roots[video.identities[0]] for video in videos)
    greatest = max(sizes.values()) / len(videos)
    most = {"auto": max(shares.values()) + SLACK, "component": 1.0, "identity": 0.0}[split_by]
    apart = {root for root, size in sizes.items() if size / len(videos) > most}
    if split_by == "component" and len(sizes) == 1 and len(shares) > 1:
        raise InputError(
            f"expected videos that fall apart into several groups of people, got one of {len(videos)} videos, as when "
            "everybody was swapped with everybody; --split-by identity drops those that cross"
        )
    units = _units(videos, roots, apart)
    best = min(
        (_assign(units, shares, EXPONENTS[n % len(EXPONENTS)], order) for n in range(TRIALS if apart else 1)),
        key=lambda assigned: _cost(videos, assigned, shares),
    )
    split = {v.source: s for v in videos if (s := _split_of(v, best)) is not None}
    crossing = tuple(video.source for video in videos if video.source not in split)
    return split, crossing, _notes(videos, split, shares, greatest if split_by == "auto" and apart else None)


def _units(videos: Sequence[SourceVideo], roots: Mapping[str, str], apart: set[str]) -> list[_Unit]:
    """Whole components, and single identities of those taken apart."""
    key_of = {identity: identity if root in apart else root for identity, root in roots.items()}
    members: dict[str, set[str]] = defaultdict(set)
    weight: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for identity, key in key_of.items():
        members[key].add(identity)
    for video in videos:
        keys = {key_of[identity] for identity in video.identities}
        for key in keys:
            weight[key][video.label] += 1 / len(keys)
    return [_Unit(frozenset(members[key]), weight[key], roots[key] in apart) for key in sorted(members)]


def _assign(units: list[_Unit], shares: Mapping[str, float], exponent: float, order: random.Random) -> dict[str, str]:
    """A split for each identity: first the units of components taken apart, then whole ones, the big ones first."""
    ranked = order.sample(units, len(units))
    ranked.sort(key=lambda unit: (not unit.apart, -sum(unit.weight.values())))
    powers = {name: share**exponent for name, share in shares.items()}
    skewed = {name: power / sum(powers.values()) for name, power in powers.items()}
    filled: dict[tuple[str, str], float] = defaultdict(float)
    chosen: dict[_Unit, str] = {}
    for some, wanted in ((True, skewed), (False, shares)):
        chosen |= _fill([unit for unit in ranked if unit.apart == some], ranked, wanted, filled)
    _fill_missing(chosen, ranked, shares)
    return {identity: name for unit, name in chosen.items() for identity in unit.identities}


def _fill(
    units: Sequence[_Unit], every: Sequence[_Unit], shares: Mapping[str, float], filled: dict[tuple[str, str], float]
) -> dict[_Unit, str]:
    """Each unit goes where the sum over labels of (filled - share)^2 / share grows least; adds to `filled`."""
    totals: dict[str, float] = defaultdict(float)
    for unit in units if units and units[0].apart else every:
        for label, count in unit.weight.items():
            totals[label] += count
    chosen: dict[_Unit, str] = {}
    for unit in units:
        growth = dict.fromkeys(shares, 0.0)
        for (name, share), (label, count) in product(shares.items(), unit.weight.items()):
            part = count / totals[label]
            growth[name] += part * (2 * (filled[name, label] / totals[label] - share) + part) / share
        chosen[unit] = min(growth, key=growth.__getitem__)
        for label, count in unit.weight.items():
            filled[chosen[unit], label] += count
    return chosen


def _fill_missing(chosen: dict[_Unit, str], ranked: Sequence[_Unit], shares: Mapping[str, float]) -> None:
    """Give a split that lacks a label a unit that has it, from the split with most of those.

    Of these the one with most labels is taken, then the smallest; a split with one alone gives none away.
    """
    for name, label in product(shares, sorted({label for unit in ranked for label in unit.weight})):
        having = [unit for unit in reversed(ranked) if unit.weight.get(label)]
        counts = Counter(chosen[unit] for unit in having)
        donor = max(shares, key=lambda other: counts[other])
        if not counts[name] and counts[donor] > 1:
            chosen[max((u for u in having if chosen[u] == donor), key=lambda u: len(u.weight))] = name


def _split_of(video: SourceVideo, assigned: Mapping[str, str]) -> str | None:
    splits = {assigned[identity] for identity in video.identities}
    return splits.pop() if len(splits) == 1 else None


def _cost(videos: Sequence[SourceVideo], assigned: Mapping[str, str], shares: Mapping[str, float]) -> float:
    """Distance of the splits' shares of pairs (a real and a fake) from the wanted ones, and the share of pairs lost."""
    totals = Counter(video.label for video in videos)
    kept = Counter((_split_of(video, assigned), video.label) for video in videos)
    pairs = {name: min(kept[name, label] for label in totals) for name in shares}
    count = sum(pairs.values())
    if not count:
        return float("inf")
    off = sum(abs(pairs[name] / count - share) for name, share in shares.items())
    return off + 1 - count / min(totals.values())


def _notes(
    videos: Sequence[SourceVideo], split: Mapping[str, str], shares: Mapping[str, float], greatest: float | None
) -> tuple[str, ...]:
    notes = []
    if greatest is not None:
        dropped = len(videos) - len(split)
        notes.append(
            f"{greatest:.0%} of the videos hang together by the people in them, more than a split may hold: people "
            f"were divided among the splits, and {dropped} videos that show people of two splits were dropped"
        )
    counts = Counter(split.values())
    for name in SPLITS:
        share = counts[name] / max(1, len(split))
        if name in shares and abs(share - shares[name]) > 2 * SLACK:
            notes.append(f"{name} holds {share:.0%} of the videos, not {shares[name]:.0%}: groups of people stay whole")
    return tuple(notes)
