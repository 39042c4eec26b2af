"""Manifests: CSV files that name pictures or videos with their labels."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgefake_runtime.errors import InputError

__all__ = ["LABELS", "PackedSamples", "Sample", "check_splits", "read_manifest"]

LABELS = ("real", "fake")
"""Classes in the order of the logits."""


@dataclass(frozen=True)
class Sample:
    """One row of a manifest.

    Attributes:
        path: of the picture or video.
        label: its class, such as "real" or "fake".
        split: such as "train" or "val"; empty where the manifest has no such column.
        group: identity group, which never stands in two splits; the file's name where there is none.
        line: of the manifest, from 1.
        grouped: whether the manifest names the group.
    """

    path: Path
    label: str
    split: str
    group: str
    line: int
    grouped: bool = False

    @property
    def fake(self) -> bool:
        """Whether the label is "fake"."""
        return self.label == "fake"


class PackedSamples(Sequence[Sample]):
    """Samples as text and numbers: of a million, a worker process gets one string instead of a million objects."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        rows = ("\0".join((str(s.path), s.label, s.split, s.group, "1" * s.grouped)) for s in samples)
        text = [row.encode("utf-8", "surrogateescape") for row in rows]
        self._text = b"".join(text)
        self._ends = np.cumsum([0, *map(len, text)])
        self._lines = np.array([s.line for s in samples], np.int64)

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        row = self._text[self._ends[index] : self._ends[index + 1]].decode("utf-8", "surrogateescape")
        path, label, split, group, grouped = row.split("\0")
        return Sample(Path(path), label, split, group, int(self._lines[index]), bool(grouped))


def _sample(row: dict[str, str | None], folder: Path, line: int, source: Path, labels: Sequence[str] | None) -> Sample:
    label = (row["label"] or "").strip()
    if labels is not None:
        label = label.lower()
        if label not in labels:
            raise InputError(f"{source}:{line}: expected the label {' or '.join(labels)}, got {label!r}")
    if not label:
        raise InputError(f"{source}:{line}: expected a label, got nothing")
    name = row["file"] or ""
    if not name:
        raise InputError(f"{source}:{line}: expected a file name, got nothing")
    group = row.get("identity_group") or row.get("group")
    return Sample(
        path=folder / name,
        label=label,
        split=row.get("split") or "",
        group=group or name,
        line=line,
        grouped=bool(group),
    )


def check_splits(manifest: Path, samples: Sequence[Sample]) -> None:
    """Make sure that no group, such as a person, stands in two splits.

    Raises:
        InputError: one does; the score would tell how well it is remembered.
    """
    splits: dict[str, set[str]] = {}
    for sample in samples:
        splits.setdefault(sample.group, set()).add(sample.split)
    shared = sorted(group for group, found in splits.items() if len(found) > 1)
    if shared:
        names = " and ".join(sorted(splits[shared[0]]))
        raise InputError(
            f"{manifest}: expected groups that stand in one split, got {len(shared)} in more, "
            f"such as {shared[0]} in {names}"
        )


def read_manifest(
    path: Path,
    *,
    split: str | None = None,
    required: Sequence[str] = ("file", "label"),
    labels: Sequence[str] | None = LABELS,
) -> list[Sample]:
    """Read a CSV with a header row; `file` is relative to the CSV's folder.

    Args:
        path: of the CSV, UTF-8.
        split: keep the rows of this split alone.
        required: columns that must be there.
        labels: the classes that may stand there, in lower case; None for any.

    Raises:
        InputError: unreadable, a missing column, an unknown label (with its line), or no rows left.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in required if name not in (reader.fieldnames or [])]
            if missing:
                got = ", ".join(reader.fieldnames or []) or "an empty file"
                raise InputError(f"{path}: expected the columns {', '.join(required)}; got {got}")
            samples = [_sample(row, path.parent, reader.line_num, path, labels) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: expected a CSV file, got: {reason}") from error
    kept = [sample for sample in samples if split is None or sample.split == split]
    if not kept:
        splits = sorted({sample.split for sample in samples})
        wanted = f"rows of the split {split!r}" if split is not None else "rows"
        raise InputError(f"{path}: expected {wanted}, got none (splits here: {', '.join(splits) or 'none'})")
    return kept
