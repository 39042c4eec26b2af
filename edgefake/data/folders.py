"""Pictures of any number of classes: folders in ImageNet's layout, or a manifest."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgefake_runtime.errors import InputError

from .manifest import Sample, read_manifest

__all__ = ["PICTURES", "ClassData", "read_classes", "read_split"]

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
"""Ends of the names that count as pictures, in any case."""

SPLITS = ("train", "val")

COLUMNS = ("file", "label", "split")

NAMED = 3
"""How many names an error message lists."""


@dataclass(frozen=True)
class ClassData:
    """What to train a classifier on.

    Attributes:
        classes: names, sorted; their order is that of the logits.
        train: pictures to learn from.
        val: pictures to be scored on; maybe not of every class.
    """

    classes: tuple[str, ...]
    train: list[Sample]
    val: list[Sample]


def read_classes(path: Path) -> ClassData:
    """List the pictures of a folder with `train/<class>/` and `val/<class>/`, or of a manifest.

    Folders may be nested below the class; what is no picture by its name, or starts with a dot, is passed over.
    Nothing is decoded. The order is that of the names, so that equal folders give equal lists.

    Args:
        path: the folder that holds train and val, or a CSV with the columns file, label, split.

    Raises:
        InputError: another layout, a class without pictures, a class of val that train lacks, fewer than two
            classes, or unreadable.
    """
    with _readable(path, SPLITS):
        if path.is_dir():
            train, val = (_list_split(path, split, SPLITS) for split in SPLITS)
        else:
            rows = read_manifest(path, labels=None, required=COLUMNS)
            train, val = ([sample for sample in rows if sample.split == split] for split in SPLITS)
    return _checked(path, train, val)


def read_split(path: Path, split: str) -> list[Sample]:
    """List the pictures of one split alone, as `read_classes` does; the other one need not be there.

    Args:
        path: the folder that holds `<split>/<class>/`, or a CSV with the columns file, label, split.
        split: such as val.

    Raises:
        InputError: another layout, a class without pictures, nothing in the split, or unreadable.
    """
    with _readable(path, (split,)):
        if not path.is_dir():
            return read_manifest(path, split=split, labels=None, required=COLUMNS)
        samples = _list_split(path, split, (split,))
    if not samples:
        raise InputError(f"{path}: expected pictures in {split}, got none")
    return samples


@contextmanager
def _readable(path: Path, wanted: Sequence[str]) -> Iterator[None]:
    try:
        if not path.exists():
            raise InputError(f"{path}: expected a folder with {_layout(wanted)}, or a manifest (CSV); got nothing")
        yield
    except OSError as error:
        raise InputError(f"{error.filename or path}: expected a folder to read, got: {error.strerror}") from error


def _layout(wanted: Sequence[str]) -> str:
    return " and ".join(f"{split}/<class>/*.jpg" for split in wanted)


def _checked(path: Path, train: list[Sample], val: list[Sample]) -> ClassData:
    for split, samples in zip(SPLITS, (train, val), strict=True):
        if not samples:
            raise InputError(f"{path}: expected pictures in {split}, got none")
    classes = sorted({sample.label for sample in train})
    if len(classes) < 2:
        raise InputError(f"{path}: expected two classes or more in train, got only {classes[0]}")
    strange = sorted({sample.label for sample in val}.difference(classes))
    if strange:
        raise InputError(
            f"{path}: expected no class in val that train lacks, got {len(strange)}: {_some(strange)}; "
            "add pictures of it to train, or remove it from val"
        )
    return ClassData(tuple(classes), train, val)


def _list_split(root: Path, split: str, wanted: Sequence[str]) -> list[Sample]:
    """The pictures of a split, where these are wanted."""
    folder = root / split
    if not folder.is_dir():
        raise InputError(_wrong_layout(root, split, wanted))
    entries = _entries(folder)
    loose = [entry.name for entry in entries if _is_picture(entry)]
    if loose:
        raise InputError(
            f"{folder}: expected one folder for each class, got {len(loose)} pictures outside of any, "
            f"such as {loose[0]}; move each to {split}/<class>/"
        )
    samples: list[Sample] = []
    empty = []
    for entry in entries:
        if entry.is_dir():
            found = [_sample(root, name, split, entry.name) for name in _pictures(entry, f"{split}/{entry.name}")]
            samples += found
            empty += [] if found else [entry.name]
    if empty:
        ends = " ".join(PICTURES)
        raise InputError(
            f"{folder}: expected pictures ({ends}) in every class, got none in {len(empty)}: {_some(empty)}; "
            "fill or remove them"
        )
    return samples


def _sample(root: Path, name: str, split: str, label: str) -> Sample:
    return Sample(path=root / name, label=label, split=split, group=name, line=0)


def _wrong_layout(root: Path, split: str, wanted: Sequence[str]) -> str:
    folders = [entry.name for entry in _entries(root) if entry.is_dir()]
    got = f"{root}: expected {_layout(wanted)}, got no folder {split}"
    if not folders:
        return f"{got} and no other"
    if set(folders) & set(SPLITS):
        return f"{got}, only {_some(folders)}; add it, with a folder for each class"
    if len(wanted) == 1:
        return f"{got} but {_some(folders)}; name the folder that holds {split}, not {split} itself"
    return (
        f"{got} but {_some(folders)}; if those are the classes, move most pictures of each to "
        f"{root / 'train'}/<class>/ and the others to {root / 'val'}/<class>/"
    )


def _entries(folder: str | Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    """What stands in a folder, sorted by name, without names that start with a dot."""
    with os.scandir(folder) as found:
        return sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _is_picture(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(PICTURES) and entry.is_file()


def _pictures(folder: os.DirEntry[str], name: str) -> Iterator[str]:
    """Names of the pictures below a folder, relative to where `name` is."""
    for entry in _entries(folder):
        if _is_picture(entry):
            yield f"{name}/{entry.name}"
        elif entry.is_dir():
            yield from _pictures(entry, f"{name}/{entry.name}")


def _some(names: list[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
