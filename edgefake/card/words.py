"""`card.toml`: what a card says that no measurement knows, written by whoever trained the model."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from edgefake_runtime.errors import InputError

__all__ = ["WORDS", "CardWords", "DataSet", "Step", "read_words"]

WORDS = "card.toml"
"""Name of the file in a model's folder."""

CURE = "docs/cards.md says what each key holds"

MAY_BE_EMPTY = ("data_notes", "recipe_notes", "known_failures")
"""Lists that may say nothing."""


@dataclass(frozen=True)
class DataSet:
    """Data that the weights learned from: its name, what of it was used, and the terms that bind it."""

    name: str
    use: str
    terms: str


@dataclass(frozen=True)
class Step:
    """A step of the recipe: what it makes, its command lines, how long it took, and on what machine."""

    what: str
    command: str
    hours: str
    machine: str


@dataclass(frozen=True)
class CardWords:
    """The keys of `card.toml`, in the order of the card.

    Texts are Markdown of one paragraph each; HTML is shown as text.

    Attributes:
        summary: what the model is.
        intended_use: what it is for.
        misuse: what nobody should do with it.
        data: tables `[[data]]` of name, use, terms.
        data_notes: what else must be known of the data; may be empty.
        recipe: tables `[[recipe]]` of what, command, hours, machine.
        recipe_notes: what the commands do not say; may be empty.
        known_failures: seen outside of what the card measures; may be empty.
        limits: what it does not know, and what was not measured.
    """

    summary: str
    intended_use: tuple[str, ...]
    misuse: tuple[str, ...]
    data: tuple[DataSet, ...]
    data_notes: tuple[str, ...]
    recipe: tuple[Step, ...]
    recipe_notes: tuple[str, ...]
    known_failures: tuple[str, ...]
    limits: tuple[str, ...]


_Table = TypeVar("_Table", DataSet, Step)


def read_words(path: Path) -> CardWords:
    """Read a `card.toml`.

    Raises:
        InputError: missing, no TOML, or a key that is missing, unknown, empty or of another kind.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected the words of the card, got no such file; {CURE}") from error
    except (OSError, ValueError) as error:  # no UTF-8 and no TOML are ValueErrors
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: expected a TOML file, got: {reason}; {CURE}") from error
    _require_keys(path, "", values, CardWords)
    return CardWords(
        summary=_text(path, "summary", values["summary"]),
        data=_tables(path, "data", values["data"], DataSet),
        recipe=_tables(path, "recipe", values["recipe"], Step),
        **{
            name: _texts(path, name, values[name])
            for name in ("intended_use", "misuse", "data_notes", "recipe_notes", "known_failures", "limits")
        },
    )


def _require_keys(path: Path, place: str, values: Mapping[str, Any], kind: type) -> None:
    known = [field.name for field in fields(kind)]
    where = f"{path}: {place}expected the keys {', '.join(known)}"
    if missing := [name for name in known if name not in values]:
        raise InputError(f"{where}; got none of {', '.join(missing)}; {CURE}")
    if strange := [name for name in values if name not in known]:
        raise InputError(f"{where}; got {', '.join(strange)} besides; {CURE}")


def _text(path: Path, key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{path}: {key}: expected a text, got {value!r:.60}; {CURE}")
    return value


def _texts(path: Path, key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or (not value and key not in MAY_BE_EMPTY):
        raise InputError(f"{path}: {key}: expected a list of texts, got {value!r:.60}; {CURE}")
    return tuple(_text(path, key, each) for each in value)


def _tables(path: Path, key: str, value: object, kind: type[_Table]) -> tuple[_Table, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        raise InputError(f"{path}: {key}: expected one or more tables [[{key}]], got {value!r:.60}; {CURE}")
    found = []
    for each in value:
        _require_keys(path, f"[[{key}]]: ", each, kind)
        found.append(kind(**{name: _text(path, f"[[{key}]] {name}", text) for name, text in each.items()}))
    return tuple(found)
