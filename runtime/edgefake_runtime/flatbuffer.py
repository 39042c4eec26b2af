"""Reading flatbuffers in place, every offset checked: what a hostile file says is never followed out of it.

A table begins with the distance back to its list of fields (the vtable): 16-bit places, from the table's start, of the
fields that it has. Numbers lie in the table itself; text, vectors and other tables lie further on, at an offset.
(https://flatbuffers.dev/internals, "Tables" and "Vectors")
"""

import struct
from dataclasses import dataclass, field
from typing import Self

__all__ = ["MOST_NUMBERS", "DamagedError", "Table"]

MOST_TABLES = 1 << 16
"""In one vector; more are no model's, and would take long to walk through."""

MOST_NUMBERS = 1 << 12
"""In one vector: of axes, or of an operator's inputs."""

READINGS = 64
"""How often what a file says may be read: few places are named twice, unless a small file is to look large."""

HEADER = 4
"""Bytes at the start of a vtable that say how long it and its table are, and those of a vector's length."""


class DamagedError(ValueError):
    """An offset leads out of the file, or what it leads to cannot be."""


NUMBERS = {kind: struct.Struct(f"<{kind}") for kind in "bHiI"}
"""Types of numbers, named as the module struct names them; little-endian."""


def _number(data: bytes, kind: str, at: int) -> int:
    form = NUMBERS[kind]
    if not 0 <= at <= len(data) - form.size:
        raise DamagedError(f"an offset leads to byte {at} of {len(data)}")
    return int(form.unpack_from(data, at)[0])


@dataclass
class Budget:
    """Bytes of lists and text that may still be read from a file."""

    left: int

    def spend(self, count: int) -> None:
        """Take some of them.

        Raises:
            DamagedError: not as many are left.
        """
        self.left -= count
        if self.left < 0:
            raise DamagedError("lists that share their places")


@dataclass(frozen=True)
class Table:
    """A table of a flatbuffer, read where it lies.

    Attributes:
        data: the whole file.
        at: where in it the table begins.
        budget: of the file.
    """

    data: bytes
    at: int
    budget: Budget = field(repr=False, compare=False)

    @classmethod
    def root(cls, data: bytes) -> Self:
        """The table that a file begins with."""
        return cls(data, _number(data, "I", 0), Budget(READINGS * len(data)))

    def table(self, field: int) -> "Table | None":
        """The table in a field; None without one."""
        place = self.target(field)
        return None if place is None else Table(self.data, place, self.budget)

    def place(self, field: int) -> int | None:
        """Where the field with this number lies in the file; None where the table leaves it out.

        Raises:
            DamagedError: outside the file; as all that follows does.
        """
        vtable = self.at - _number(self.data, "i", self.at)
        entry = HEADER + 2 * field
        if _number(self.data, "H", vtable) < entry + 2:
            return None
        offset = _number(self.data, "H", vtable + entry)
        return self.at + offset if offset else None

    def number(self, field: int, kind: str = "i", default: int = 0) -> int:
        """A number, of one of the types in `NUMBERS`."""
        place = self.place(field)
        return default if place is None else _number(self.data, kind, place)

    def target(self, field: int) -> int | None:
        """Where the offset in a field leads."""
        place = self.place(field)
        return None if place is None else place + _number(self.data, "I", place)

    def span(self, field: int, width: int = 1) -> tuple[int, int]:
        """Where a vector of elements of so many bytes lies: its first byte and its length; (0, 0) without one."""
        start = self.target(field)
        if start is None:
            return 0, 0
        length = _number(self.data, "I", start)
        if start + HEADER + length * width > len(self.data):
            raise DamagedError(f"a vector of {length} elements at byte {start} of {len(self.data)}")
        return start + HEADER, length

    def numbers(self, field: int) -> tuple[int, ...]:
        """A vector of 32-bit whole numbers; empty without one."""
        start, length = self.span(field, 4)
        if length > MOST_NUMBERS:
            raise DamagedError(f"a list of {length} numbers")
        self.budget.spend(4 * length)
        return struct.unpack_from(f"<{length}i", self.data, start)

    def text(self, field: int) -> str:
        """A string; empty without one."""
        start, length = self.span(field)
        self.budget.spend(length)
        try:
            return self.data[start : start + length].decode()
        except UnicodeDecodeError as error:
            raise DamagedError(f"text at byte {start} is not UTF-8") from error

    def tables(self, field: int) -> list["Table"]:
        """A vector of tables; empty without one."""
        start, length = self.span(field, 4)
        if length > MOST_TABLES:
            raise DamagedError(f"a list of {length} tables")
        self.budget.spend(4 * length)
        places = range(start, start + 4 * length, 4)
        return [Table(self.data, place + _number(self.data, "I", place), self.budget) for place in places]
