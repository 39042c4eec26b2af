"""People in the file names of a plain tree: names like those of FaceForensics++ and Celeb-DF.

Celeb-DF's `id0_0000` and `id0_id1_0000`, and Deep Fake Detection's `01__talking` and `01_02__talking`, are read
wherever they stand. The numbers of FaceForensics++, `000` and `000_003`, are also how plain files are numbered:
they are people only where the fakes say so, that is where every fake without a name of the others is such a pair,
or both numbers of one fake, as spelled, number reals. Then all of them are. Where the reals too are named
`000_003`, and in no other way, those are frames or places in a row, and no pairs.

Something after a separator may follow each (`000_003_c23`, `id0_0000_frame7`). Pictures in folders may be frames:
of these the folders are read before the name of the file.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from edgefake_runtime.media import PICTURE_SUFFIXES

__all__ = ["PlainFile", "read_people"]

_MORE = r"(?:[\W_].*)?"
_CELEB = re.compile(rf"(id\d+)_(?:(id\d+)_)?\d{{4}}{_MORE}", re.ASCII)
_ACTORS = re.compile(r"(\d\d)_(?:(\d\d)_)?_\w.*", re.ASCII)
_PAIR = re.compile(rf"(\d{{3}})_(\d{{3}}){_MORE}", re.ASCII)
_BARE_PAIR = re.compile(r"\d{3}_\d{3}", re.ASCII)
_NUMBER = re.compile(rf"(\d{{3}}){_MORE}", re.ASCII)

Names = tuple[str, ...]
Numbered = dict[str, re.Match[str]]
"""Where a file's numbers were found, by source."""


@dataclass(frozen=True)
class PlainFile:
    """A file below a folder named real or fake.

    Attributes:
        source: path relative to SOURCE.
        label: "real" or "fake".
        below: path below the label's folder.
    """

    source: str
    label: str
    below: PurePosixPath

    @property
    def folders(self) -> Names:
        """Those that may be a video's, the innermost first; none where the file is a video itself."""
        return self.below.parts[-2::-1] if self.below.suffix.lower() in PICTURE_SUFFIXES else ()

    @property
    def names(self) -> Names:
        """All that may say who is seen, in the order in which they are asked."""
        return (*self.folders, self.below.stem)


def read_people(files: Iterable[PlainFile]) -> tuple[dict[str, Names], Names]:
    """Read identities from names.

    Returns:
        Keys of the people by source, of the files whose names say them, and sentences for the user.
    """
    every = list(files)
    people = {file.source: keys for file in every if (keys := _distinct(file))}
    numbers, notes = _numbers([file for file in every if file.source not in people])
    people |= {source: _keys("youtube", match) for source, match in numbers.items()}
    if people:
        example = max(people, key=lambda source: len(people[source]))
        shown = " and ".join(key.partition(":")[2] for key in people[example])
        read = f"{len(people)} of {len(every)} names are like those of FaceForensics++ and Celeb-DF and are read as "
        notes = (f"{read}people: {example} shows {shown}", *notes)
    return people, notes


def _keys(prefix: str, match: re.Match[str]) -> Names:
    return tuple(sorted({f"{prefix}:{person}" for person in match.groups() if person}))


def _first(pattern: re.Pattern[str], names: Names) -> re.Match[str] | None:
    return next((match for name in names if (match := pattern.fullmatch(name))), None)


def _distinct(file: PlainFile) -> Names:
    """By names that only Celeb-DF and Deep Fake Detection have."""
    for prefix, pattern in (("celeb", _CELEB), ("actor", _ACTORS)):
        if match := _first(pattern, file.names):
            return _keys(prefix, match)
    return ()


def _numbers(files: list[PlainFile]) -> tuple[Numbered, Names]:
    """Of FaceForensics++, where the fakes' names are pairs; and notes."""
    fakes = [file for file in files if file.label == "fake"]
    # Where no pair is a folder, numbers of folders are parts of the set or sizes of pictures.
    deep = any(_first(_PAIR, file.folders) for file in fakes)
    names = {file.source: file.names if deep else file.names[-1:] for file in files}
    pairs = {file.source: match for file in fakes if (match := _first(_PAIR, names[file.source]))}
    singles = {source: match for source, some in names.items() if (match := _first(_NUMBER, some))}
    reals = {file.source: singles[file.source] for file in files if file.label == "real" and file.source in singles}
    if not pairs:
        return {}, ()
    if reals and _any_bare(pairs) and all(_BARE_PAIR.fullmatch(match[0]) for match in reals.values()):
        return {}, (_alike(reals),)
    numbers = {match[1] for match in reals.values()}
    if len(pairs) < len(fakes) and not any(numbers.issuperset(match.groups()) for match in pairs.values()):
        return {}, ()
    return {**singles, **pairs}, ()


def _any_bare(found: Numbered) -> bool:
    return any(_BARE_PAIR.fullmatch(match[0]) for match in found.values())


def _alike(reals: Numbered) -> str:
    return (
        f"reals and fakes alike are named as {next(iter(reals.values()))[0]}, which is not read as a pair of people: "
        r"if the first number is a video's, --group-regex '(\d{3})_\d{3}[^/]*$' keeps it whole"
    )
