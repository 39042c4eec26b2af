"""Compare two reports of `edgefake detect --json`: the same files judged by two machines, or by two files of a model.

    edgefake detect docs/samples/real.mp4 docs/samples/fake.mp4 --json there.json     # on the one and on the other
    python scripts/compare_reports.py here.json there.json [--tolerance 0.001]

Inputs are taken in order and must have the same names. An input agrees when its verdict, faces and scored frames are
the same and no score, of the input, of a face or of a face in a frame, differs by more than the tolerance. An input
that could not be read or shows no face proves nothing and agrees with nothing. Prints a table; exits with 5 on a miss.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FAILED = 5
"""Exit code of a failed check, as edgefake has it."""

JUDGED = ("real", "fake", "uncertain")

COLUMNS = ("input", "verdicts", "scores", "faces", "frames", "largest difference", "boxes, px", "")


class ReportError(ValueError):
    """Two reports that cannot be compared."""


@dataclass(frozen=True)
class Agreement:
    """How one input was judged here and there.

    Attributes:
        name: of the file.
        verdicts, scores, faces, frames: here and there; frames are those with a face, summed over the faces.
        difference: largest between two scores of the input, of a face or of a face in a frame; NaN where they do not
            pair up.
        boxes: largest distance between two edges of a face, in pixels.
        tolerance: largest difference of scores that agree.
    """

    name: str
    verdicts: tuple[str, str]
    scores: tuple[float | None, float | None]
    faces: tuple[int, int]
    frames: tuple[int, int]
    difference: float
    boxes: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether both judged, and alike."""
        same = self.verdicts[0] == self.verdicts[1] and self.verdicts[0] in JUDGED
        return same and self.difference <= self.tolerance  # False for NaN

    def cells(self) -> tuple[str, ...]:
        """One row of the table."""
        return (
            self.name,
            _pair(self.verdicts),
            _pair("-" if score is None else f"{score:.4f}" for score in self.scores),
            _pair(map(str, self.faces)),
            _pair(map(str, self.frames)),
            f"{self.difference:.1e}",
            f"{self.boxes:.2f}",
            "agrees" if self.agrees else "DIFFERS",
        )


def _pair(values: Any) -> str:
    """Both values, or the one that they share."""
    here, there = values
    return here if here == there else f"{here} / {there}"


def compare(here: dict[str, Any], there: dict[str, Any], tolerance: float) -> list[Agreement]:
    """Compare two reports, input by input.

    Raises:
        ReportError: they are not of the same files.
    """
    names = [[Path(each["path"]).name for each in report["inputs"]] for report in (here, there)]
    if names[0] != names[1] or not names[0]:
        raise ReportError(f"expected the same inputs in both reports, got {names[0]} and {names[1]}; judge them again")
    return [_compare(*pair, tolerance) for pair in zip(here["inputs"], there["inputs"], strict=True)]


def _compare(here: dict[str, Any], there: dict[str, Any], tolerance: float) -> Agreement:
    both = (here, there)
    shapes = [[len(face["frames"]) for face in each["faces"]] for each in both]
    paired = shapes[0] == shapes[1] and _times(here) == _times(there)
    scores = [list(_scores(each)) for each in both]
    boxes = [[edge for frame in _frames(each) for edge in frame["box"]] for each in both]
    return Agreement(
        name=Path(here["path"]).name,
        verdicts=(here["verdict"], there["verdict"]),
        scores=(here["score"], there["score"]),
        faces=(len(shapes[0]), len(shapes[1])),
        frames=(sum(shapes[0]), sum(shapes[1])),
        difference=_largest(*scores) if paired else float("nan"),
        boxes=_largest(*boxes) if paired else float("nan"),
        tolerance=tolerance,
    )


def _frames(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for face in report["faces"]:
        yield from face["frames"]


def _times(report: dict[str, Any]) -> list[float]:
    return [round(frame["time_s"], 3) for frame in _frames(report)]


def _scores(report: dict[str, Any]) -> Iterator[float | None]:
    yield report["score"]
    yield from (face["score"] for face in report["faces"])
    yield from (frame["score"] for frame in _frames(report))


def _largest(here: Sequence[float | None], there: Sequence[float | None]) -> float:
    """Largest difference; NaN where only one is there, or a score is none."""
    distances = [
        float("nan") if (a is None) != (b is None) else abs((a or 0) - (b or 0))
        for a, b in zip(here, there, strict=True)
    ]
    return max(distances, default=0.0, key=lambda value: (value != value, value))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of text with aligned columns; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def main() -> None:
    """Read the arguments, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("here", type=Path, help="JSON report to compare with")
    parser.add_argument("there", type=Path, help="JSON report to judge")
    parser.add_argument("--tolerance", type=float, default=1e-3, help="largest difference of two scores")
    arguments = parser.parse_args()
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in (arguments.here, arguments.there)]
    try:
        found = compare(*reports, tolerance=arguments.tolerance)
    except ReportError as error:
        sys.exit(f"compare_reports.py: {error}")
    print("\n".join(table([COLUMNS, *(each.cells() for each in found)])))
    if not all(each.agrees for each in found):
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
