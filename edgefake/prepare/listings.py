"""Layouts that name their videos' labels in a JSON file: DFDC and its preview."""

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from edgefake_runtime.errors import InputError

from .tree import Reading, SourceVideo, Tree

__all__ = ["LISTING_LAYOUTS", "Dfdc", "DfdcPreview"]

Entries = dict[str, dict[str, Any]]


def _read_listing(tree: Tree, name: str) -> Entries | None:
    """The entries of a JSON file by video; None where it holds something else."""
    try:
        raw = json.loads((tree.root / name).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{tree.root / name}: expected JSON with a label for each video, got: {error}") from error
    if not isinstance(raw, dict):
        return None
    entries = {key: entry for key, entry in raw.items() if isinstance(entry, dict) and "label" in entry}
    return entries if len(entries) == len(raw) and entries else None


def _label(tree: Tree, name: str, key: str, entry: dict[str, Any]) -> str:
    label = str(entry["label"]).lower()
    if label not in ("real", "fake"):
        raise InputError(f"{tree.root / name}: expected the label REAL or FAKE for {key}, got {entry['label']!r:.40}")
    return label


@dataclass(frozen=True)
class Dfdc:
    """DFDC: `dfdc_train_part_0/metadata.json` beside the videos that it names, in one folder or many.

    The listing names originals, not people: a fake shares an identity with its original, but one actor's
    originals share none. `--group-regex 'dfdc_train_part_[0-9]+'` keeps each part whole.
    """

    name: str = "dfdc"
    shape: str = "dfdc_train_part_0/metadata.json with abc.mp4 and its label and original"
    listing: str = "metadata.json"

    def read(self, tree: Tree) -> Reading:
        """Videos that a listing in their own folder names.

        Raises:
            InputError: a listing is damaged.
        """
        videos: dict[str, SourceVideo] = {}
        media, missing = set(tree.media), 0
        for name in (name for name in tree.files if PurePosixPath(name).name == self.listing):
            for key, entry in (_read_listing(tree, name) or {}).items():
                source = (PurePosixPath(name).parent / key).as_posix()
                missing += source not in media
                if source in media:
                    videos[source] = self._video(source, _label(tree, name, key, entry), entry)
        unknown = tuple(name for name in tree.media if name not in videos)
        notes = (f"{missing} videos that {self.listing} names are not there",) if missing else ()
        return Reading(tuple(videos[source] for source in sorted(videos)), unknown, notes=notes + self.notes())

    def _video(self, source: str, label: str, entry: dict[str, Any]) -> SourceVideo:
        clip = PurePosixPath(source).name
        original = entry.get("original") if label == "fake" else None
        return SourceVideo(
            source=source,
            label=label,
            identities=(f"dfdc:{original or clip}",),
            official_test=entry.get("split") == "test",
        )

    def notes(self) -> tuple[str, ...]:
        """Sentences about the set itself."""
        return (
            "DFDC names originals, not people: one actor's videos may stand in two splits; "
            "--group-regex 'dfdc_train_part_[0-9]+' keeps each part whole",
        )

    def recognizes(self, reading: Reading) -> bool:
        """Whether the tree is of this layout."""
        return bool(reading.videos)


@dataclass(frozen=True)
class DfdcPreview(Dfdc):
    """DFDC preview: `dataset.json` names paths below its folder, with the actors and the authors' split."""

    name: str = "dfdc-preview"
    shape: str = "dataset.json with method_A/.../x.mp4 and its label, target_id and swapped_id"
    listing: str = "dataset.json"

    def _video(self, source: str, label: str, entry: dict[str, Any]) -> SourceVideo:
        people = {str(entry[key]) for key in ("target_id", "swapped_id") if entry.get(key) is not None}
        method = next((part for part in PurePosixPath(source).parts if part.startswith("method_")), "")
        return SourceVideo(
            source=source,
            label=label,
            identities=tuple(sorted(f"dfdc:{person}" for person in people or {PurePosixPath(source).name})),
            method=method,
            official_test=entry.get("set") == "test",
        )

    def notes(self) -> tuple[str, ...]:
        """None: the listing names the actors."""
        return ()


LISTING_LAYOUTS = (Dfdc(), DfdcPreview())
