"""As many reals as fakes: first videos are sampled, then surplus crops are trimmed."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from .tree import SourceVideo

__all__ = ["rank", "sample_videos", "trim"]


def rank(seed: int, name: str) -> bytes:
    """A random number that depends on seed and name alone, so that no choice hangs on the order of work."""
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def sample_videos(
    videos: Iterable[SourceVideo],
    split: Mapping[str, str],
    shares: Mapping[str, float],
    *,
    balance: bool,
    max_videos: int | None,
    seed: int,
    whole: Collection[str] = (),
) -> tuple[list[SourceVideo], list[str], list[str]]:
    """Choose videos of each split and label at random.

    Args:
        videos: to choose from; those without a split are passed over.
        split: by source.
        shares: of the splits, 0 to 1; `max_videos` is shared out so.
        balance: as many reals as fakes in each split.
        max_videos: of each label, over all splits.
        seed: of the choice.
        whole: splits that are kept as they are.

    Returns:
        The chosen videos; sources dropped by `max_videos`; sources dropped by `balance`.
    """
    cells: dict[str, dict[str, list[SourceVideo]]] = defaultdict(lambda: {"real": [], "fake": []})
    for video in videos:
        if video.source in split:
            cells[split[video.source]][video.label].append(video)
    chosen, over, surplus = [], list[str](), list[str]()
    for name, labels in cells.items():
        quota = None if max_videos is None else max(1, round(max_videos * shares.get(name, 0)))
        for members in labels.values():
            members.sort(key=lambda video: rank(seed, video.source))
        if name not in whole:
            over += _cut(labels, quota)
            surplus += _cut(labels, min(map(len, labels.values())) if balance else None)
        chosen += [video for members in labels.values() for video in members]
    return sorted(chosen, key=lambda video: video.source), sorted(over), sorted(surplus)


def _cut(labels: Mapping[str, list[SourceVideo]], most: int | None) -> list[str]:
    dropped = []
    for members in labels.values():
        if most is not None:
            dropped += [video.source for video in members[most:]]
            del members[most:]
    return dropped


def trim(crops: Mapping[str, Sequence[str]], *, seed: int) -> set[str]:
    """Names of crops to drop, so that each label keeps as many as the rarest has.

    Args:
        crops: names by label, of one split.
        seed: of the choice.
    """
    most = min(len(names) for names in crops.values())
    return {name for names in crops.values() for name in sorted(names, key=lambda name: rank(seed, name))[most:]}
