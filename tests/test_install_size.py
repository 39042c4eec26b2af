"""scripts/install_size.py: bytes by package, compiled files included, the base apart from what extras bring."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "install_size.py"


def install(folder, name, version, size, requires=()):
    """A package of one module of `size` bytes with a compiled form of 1000, as pip leaves it."""
    module = name.replace("-", "_").lower()
    (folder / "__pycache__").mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_bytes(b"#" * size)
    (folder / "__pycache__" / f"{module}.cpython-311.pyc").write_bytes(b"\0" * 1000)
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir()
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}\n")
    (info / "RECORD").write_text(f"{module}.py,,\n{module}-{version}.dist-info/METADATA,,\n")
    return size + 1000 + (info / "METADATA").stat().st_size


def environment(folder, version, size):
    """A base of edgefake and two packages, an extra of one, and pip."""
    place = folder / "lib" / "python3.11" / "site-packages"
    own = ("Big_One>=1", "extra.one>=2; extra == 'more'", "winonly; platform_system == 'Windows'")
    sizes = {
        "edgefake": install(place, "edgefake", "0.1", 10_000, own),
        "big-one": install(place, "big-one", version, size, ("small",)),
        "small": install(place, "small", "3", 60_000),
        "extra-one": install(place, "extra-one", "2", 400_000),
    }
    install(place, "pip", "23", 900_000)
    return sizes


def run(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=60)


def test_each_package_and_both_sums(tmp_path):
    sizes = [environment(tmp_path / "a", "1", 700_000), environment(tmp_path / "b", "2", 300_000)]
    done = run(f"x={tmp_path / 'a'}", f"y={tmp_path / 'b'}", "--csv", tmp_path / "table.csv")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "table.csv").open(newline="") as file:
        heading, *rows = list(csv.reader(file))
    assert heading == ["package", "version", "needed by", "x", "y"]
    assert [row[0] for row in rows] == ["big-one", "small", "edgefake", "extra-one", "base", "with extras"]
    for name, version, _, *cells in rows[:4]:
        assert cells == [f"{each[name] / 1e6:.1f}" for each in sizes]
        assert name != "big-one" or version == "1 / 2"
    base, everything = ([float(cell) for cell in row[3:]] for row in rows[4:])
    for place, each in enumerate(sizes):
        assert everything[place] == pytest.approx(sum(each.values()) / 1e6, abs=0.05)
        assert base[place] == pytest.approx((sum(each.values()) - each["extra-one"]) / 1e6, abs=0.05)
    assert [row[2] for row in rows[:4]] == ["edgefake", "big-one", "", ""]
    assert done.stdout.splitlines()[2] == "| big-one | 1 / 2 | edgefake | 0.7 | 0.3 |"


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    done = run(f"x={tmp_path / 'none'}")
    assert done.returncode == 1
    assert done.stderr.strip() == "install_size.py: expected LABEL=FOLDER with a folder that is there, got x"
