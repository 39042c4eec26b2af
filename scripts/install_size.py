"""What an installed environment weighs, package by package, and who asked for each.

    python scripts/install_size.py x86-64=.venv aarch64=pi/.venv [--csv docs/bench/install_size.csv]

Takes environments (or bare folders of packages, as `pip install --target` makes them), reads what each package
installed, compiled files included, and prints a table of 10^6 bytes. An environment of another machine need not run
here. pip and setuptools, which venv brings, are left out.
"""

import argparse
import csv
import re
import sys
from collections.abc import Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

BROUGHT = ("pip", "setuptools")
"""What `python3 -m venv` puts there."""

EXTRA = re.compile(r";.*extra *==")

PLATFORM = re.compile(r";.*platform_system *== *.Windows|python_version *< *.3\.9")


def packages_folder(environment: Path) -> Path:
    """Where an environment has its packages."""
    found = sorted(environment.glob("lib/python3*/site-packages"))
    return found[0] if found else environment


def name_of(text: str) -> str:
    """A package's name as PyPI writes it, from itself or from a requirement."""
    found = re.match(r"[A-Za-z0-9._-]+", text)
    return re.sub(r"[-_.]+", "-", found[0] if found else text).lower()


def bytes_of(package: Distribution) -> int:
    """Bytes of a package's files that are there, compiled ones included."""
    paths = {Path(str(package.locate_file(file))).resolve() for file in package.files or ()}
    caches = {cache for path in paths if path.suffix == ".py" for cache in _compiled(path)}
    return sum(path.stat().st_size for path in paths | caches if path.is_file())


def _compiled(path: Path) -> list[Path]:
    return list((path.parent / "__pycache__").glob(f"{path.stem}.cpython-*.pyc"))


def requirements(package: Distribution) -> set[str]:
    """Names of what a package needs on Linux, without extras."""
    return {name_of(line) for line in package.requires or () if not EXTRA.search(line) and not PLATFORM.search(line)}


def measure(environment: Path) -> dict[str, tuple[str, int, set[str]]]:
    """Name -> version, bytes, needs."""
    found = distributions(path=[str(packages_folder(environment))])
    named = {name_of(each.metadata["Name"]): each for each in found}
    return {
        name: (each.version, bytes_of(each), requirements(each)) for name, each in named.items() if name not in BROUGHT
    }


def base_of(needs: dict[str, set[str]]) -> set[str]:
    """Packages that edgefake needs without an extra, itself included; all, where it is not there."""
    if "edgefake" not in needs:
        return set(needs)
    found: set[str] = set()
    waiting = ["edgefake"]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += needs.get(name, ())
    return found


def rows_of(environments: dict[str, Path]) -> list[list[str]]:
    """The table: package, version, who needs it, 10^6 bytes in each environment; the base first, largest first."""
    measured = {label: measure(folder) for label, folder in environments.items()}
    known = {name: facts for each in measured.values() for name, facts in each.items()}
    sizes = {name: [each[name][1] / 1e6 if name in each else 0.0 for each in measured.values()] for name in known}
    base = base_of({name: needs for name, (_, _, needs) in known.items()})
    ordered = sorted(known, key=lambda name: (name not in base, -sizes[name][-1]))
    wanted = {name: ", ".join(sorted(other for other in known if name in known[other][2])) for name in known}
    versions = {name: dict.fromkeys(each[name][0] for each in measured.values() if name in each) for name in known}
    rows = [[name, " / ".join(versions[name]), wanted[name], *_cells(sizes[name])] for name in ordered]
    totals = {"base": base & known.keys(), "with extras": known.keys()}
    last = [
        [label, "", "", *_cells([sum(column) for column in zip(*(sizes[name] for name in names), strict=True)])]
        for label, names in totals.items()
        if label == "base" or base != known.keys()
    ]
    return [["package", "version", "needed by", *measured], *rows, *last]


def _cells(sizes: Sequence[float]) -> list[str]:
    return [f"{size:.1f}" for size in sizes]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The table in Markdown."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|{'---|' * len(rows[0])}", *lines[1:]])


def main() -> None:
    """Read the arguments, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environments", nargs="+", metavar="LABEL=FOLDER")
    parser.add_argument("--csv", type=Path, help="write the table there too")
    arguments = parser.parse_args()
    pairs = [text.partition("=") for text in arguments.environments]
    bad = [label for label, _, folder in pairs if not folder or not packages_folder(Path(folder)).is_dir()]
    if bad:
        sys.exit(f"install_size.py: expected LABEL=FOLDER with a folder that is there, got {', '.join(bad)}")
    rows = rows_of({label: Path(folder) for label, _, folder in pairs})
    print(markdown(rows))
    if arguments.csv:
        with arguments.csv.open("w", newline="", encoding="utf-8") as target:
            csv.writer(target, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main()
