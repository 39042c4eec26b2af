"""What came out of a preparation, and what was dropped and why."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

__all__ = ["Dropped", "Report", "SplitCounts"]


@dataclass(frozen=True)
class SplitCounts:
    """What one split holds.

    Attributes:
        videos: with at least one crop, by label.
        crops: by label.
        groups: components of identities.
    """

    videos: Mapping[str, int]
    crops: Mapping[str, int]
    groups: int


@dataclass(frozen=True)
class Dropped:
    """What was left out for one reason.

    Attributes:
        reason: in a few words.
        unit: what is counted: "files", "videos", "frames" or "crops".
        count: how many.
        names: paths relative to SOURCE, for files and videos, some with what is wrong after ": ".
    """

    reason: str
    unit: str
    count: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """The result in numbers; the same for the same videos and settings.

    Attributes:
        layout: as it was recognized.
        splits: by name.
        dropped: by reason; reasons that dropped nothing are left out.
        notes: sentences for the user.
        settings: that decided the result.
    """

    layout: str
    splits: Mapping[str, SplitCounts]
    dropped: Sequence[Dropped]
    notes: Sequence[str]
    settings: Mapping[str, Any]

    def to_json(self) -> str:
        """JSON text, indented."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read back what `to_json` wrote."""
        raw = json.loads(text)
        return cls(
            layout=raw["layout"],
            splits={name: SplitCounts(**counts) for name, counts in raw["splits"].items()},
            dropped=[Dropped(**{**entry, "names": tuple(entry["names"])}) for entry in raw["dropped"]],
            notes=raw["notes"],
            settings=raw["settings"],
        )
