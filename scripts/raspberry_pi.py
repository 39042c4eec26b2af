"""edgefake on a Raspberry Pi, emulated: install the wheel in an aarch64 Debian, judge the samples, compare with here.

    sudo python3 scripts/raspberry_pi.py FOLDER [--suite bookworm trixie] [--log docs/bench/raspberry-pi.txt]

Debian bookworm and trixie are what Raspberry Pi OS is built on. In each, FOLDER/SUITE (kept for the next run),

- the wheel of this checkout is installed as a user would, with its base dependencies alone and from wheels alone;
- `edgefake detect` judges docs/samples with the shipped ONNX model, as on a Cortex-A76 (Raspberry Pi 5) and on a
  Cortex-A72 (Raspberry Pi 4), whose int8 kernels differ: the A72 has no dot-product instructions;
- with the extra `litert` it does so with the shipped TFLite model, its 2-bit weights as they are and widened to 8 bits;
- each report is compared with one made here, by the same versions of all packages (`compare_reports.py`): of the
  pictures and of the clips' frames as the board decoded them (`cut_frames.py`), where no score may differ by more than
  0.001, and of the clips themselves, where each machine decodes for itself: FFmpeg turns their YUV into RGB by other
  instructions on each kind of CPU and rounds otherwise, up to 2 of 255, so that scores may differ by 0.03;
- every library must load with pages of 16 KB, which the kernel of Raspberry Pi 5 has.

Writes what was typed and seen, and exits with 5 when a verdict differs or a score by more than that. qemu-user
emulates instructions, one by one, neither a Raspberry Pi's kernel nor its speed: no time is measured. Needs Linux on
x86-64, Debian's mmdebstrap and qemu-user-static, root, and the network; from nothing it takes half an hour and more.
"""

import argparse
import hashlib
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compare_reports import COLUMNS, FAILED, compare, table
from emulated_root import EmulatedRoot, RootError, require_tools, run

CHECKOUT = Path(__file__).resolve().parents[1]
CLIPS = ("docs/samples/real.mp4", "docs/samples/fake.mp4")
FRAMES = "frames"
INPUTS = (*CLIPS, "docs/samples/astronaut.png", FRAMES)
CPUS = ("cortex-a76", "cortex-a72")
REPORT = "report.json"
TOLERANCE = 1e-3
DECODED = 0.03
"""Largest difference of scores where each machine decodes for itself."""

OLDEST = CPUS[-1]
"""Installs; whatever runs there runs on the others."""

PAGE = 16384
"""Bytes of a page in the kernel of Raspberry Pi 5."""

PIP = ".venv/bin/pip install --only-binary=:all: --progress-bar off"
SHIPPED = "from edgefake_runtime.shipped import default_model; print(default_model().with_suffix('.tflite'))"
FEATURES = "from edgefake_runtime.cpu import read_cpu; print(*read_cpu().features)"


@dataclass(frozen=True)
class Way:
    """One way to run a model.

    Attributes:
        name: in the table.
        options: of `edgefake detect`.
    """

    name: str
    options: str = ""

    def line(self, threads: int) -> str:
        """What a user types; 0 threads leave their number to edgefake."""
        count = f"--threads {threads}" if threads else ""
        return " ".join(f".venv/bin/edgefake detect {' '.join(INPUTS)} {self.options} {count} --json {REPORT}".split())


TFLITE = f"""--model $(.venv/bin/python -c "{SHIPPED}")"""
WAYS = {
    "": (Way("ONNX"),),
    "[litert]": (Way("TFLite, 2 bits", f"{TFLITE} --no-widen"), Way("TFLite, as 8 bits", f"{TFLITE} --widen")),
}
"""Extra of the package -> what it makes possible."""


@dataclass
class Log:
    """What was typed and seen; printed at once and kept."""

    lines: list[str] = field(default_factory=list)

    def add(self, text: str = "") -> None:
        """Note some lines, without those that name a server."""
        for line in text.rstrip().splitlines() or [""]:
            if "://" not in line and not line.startswith(("Looking in", "[notice]")):
                self.lines.append(line.rstrip())
                print(self.lines[-1], flush=True)


def write_whole(target: Path, text: str) -> None:
    """Write a file at once or not at all."""
    new = target.with_name(f"{target.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(target)


def page_misses(folder: Path) -> list[str]:
    """Libraries that cannot be loaded where a page has 16 KB."""
    return [path.name for path in sorted(folder.rglob("*.so*")) if (size := alignment(path)) and size < PAGE]


def alignment(path: Path) -> int | None:
    """Smallest alignment of what a 64-bit ELF file has loaded; None for another file."""
    data = path.read_bytes()
    if data[:5] != b"\x7fELF\x02":
        return None
    (start,) = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    places = [start + size * index for index in range(count)]
    return min(struct.unpack_from("<Q", data, at + 0x30)[0] for at in places if data[at : at + 4] == b"\1\0\0\0")


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout."""
    shutil.rmtree(folder, ignore_errors=True)
    built = run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(CHECKOUT)])
    if built.code:
        raise RootError(f"expected pip to build a wheel, got exit {built.code}:\n{built.output}")
    return next(folder.glob("*.whl"))


@dataclass(frozen=True)
class Step:
    """What was typed on the board, and what came of it.

    Attributes:
        cpu, line: as which CPU, and what.
        output: standard output and standard error.
        peak_mb: largest resident memory, 10^6 bytes.
        report: of `edgefake detect`; None after other commands.
    """

    cpu: str
    line: str
    output: str
    peak_mb: float
    report: dict[str, Any] | None


def take_report(folder: Path) -> dict[str, Any] | None:
    """Take the report from a folder where `edgefake detect` ran."""
    path = folder / REPORT
    if not path.exists():
        return None
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    return report


class Board:
    """An emulated Raspberry Pi with edgefake; what is typed there goes to the log.

    Emulation is slow: steps done are kept in a file, and not repeated when the script was stopped and runs again with
    the same wheel.
    """

    def __init__(self, root: EmulatedRoot, wheel: Path, log: Log) -> None:
        self.root, self.wheel, self.log = root, wheel, log
        self._file = root.folder.with_name(f"{root.folder.name}-steps.json")
        self._digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        kept = json.loads(self._file.read_text(encoding="utf-8")) if self._file.exists() else {}
        self._kept = [Step(**step) for step in kept["steps"]] if kept.get("wheel") == self._digest else []
        self._done: list[Step] = []
        if not self._kept:
            self._clear()

    def _clear(self) -> None:
        """A home with nothing but the samples and the wheel."""
        shutil.rmtree(self.root.home, ignore_errors=True)
        self.root.home.mkdir()
        shutil.copytree(CHECKOUT / "docs" / "samples", self.root.home / "docs" / "samples")
        shutil.copy(self.wheel, self.root.home)
        shutil.copy(CHECKOUT / "scripts" / "cut_frames.py", self.root.home)

    def type(self, line: str, cpu: str = OLDEST) -> Step:
        """Run a line that must succeed, or take it from the run before."""
        index = len(self._done)
        step = self._kept[index] if index < len(self._kept) else None
        if step is None or (step.cpu, step.line) != (cpu, line):
            self._kept = self._done  # what comes after another step does not count
            ran = self.root.check(line, cpu=cpu)
            step = Step(cpu, line, ran.output, ran.peak_mb, take_report(self.root.home))
        self._done = [*self._done, step]
        if index >= len(self._kept):
            kept = {"wheel": self._digest, "steps": [asdict(each) for each in self._done]}
            write_whole(self._file, json.dumps(kept))
        self.log.add(f"$ {line}    # {cpu}")
        self.log.add(step.output)
        return step


class Here:
    """An environment of this machine with the packages of the board."""

    def __init__(self, folder: Path, wheel: Path, packages: str) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder / ".venv")], check=True)
        constraints = folder / "constraints.txt"
        constraints.write_text("\n".join(line for line in packages.split() if "==" in line))
        pip = [str(folder / ".venv/bin/pip"), "install", "-q", "-c", str(constraints), f"{wheel}[litert]"]
        subprocess.run(pip, check=True)
        (folder / "docs").symlink_to(CHECKOUT / "docs")
        self.folder = folder

    def judge(self, line: str) -> Step:
        """Run `edgefake detect`."""
        ran = run(["sh", "-c", line], cwd=self.folder)
        if ran.code:
            raise RootError(f"expected `{line}` to run here, got exit {ran.code}:\n{ran.output}")
        return Step("here", line, ran.output, ran.peak_mb, take_report(self.folder))


def try_suite(suite: str, folder: Path, wheel: Path, log: Log, *, threads: int) -> bool:
    """Install, judge and compare in one Debian; returns whether all agrees."""
    log.add(f"\n== Debian {suite}, aarch64 ==")
    root = EmulatedRoot(folder / suite, suite)
    root.make()
    board = Board(root, wheel, log)
    board.type("python3 --version")
    board.type("python3 -m venv .venv")
    judged: dict[tuple[Way, str], Step] = {}
    for extra, ways in WAYS.items():
        board.type(f"{PIP} './{wheel.name}{extra}'")
        if not extra:
            board.type(f".venv/bin/python cut_frames.py {' '.join(CLIPS)} {FRAMES}")
        judged |= {(way, cpu): board.type(way.line(threads), cpu) for way in ways for cpu in CPUS}
    for cpu in CPUS:
        board.type(f'.venv/bin/python -c "{FEATURES}"', cpu)
    here = Here(folder / f"{suite}-here", wheel, board.type(".venv/bin/pip freeze").output)
    (here.folder / FRAMES).symlink_to(root.home / FRAMES)
    expected = {way: here.judge(way.line(threads)) for ways in WAYS.values() for way in ways}
    misses = page_misses(root.home / ".venv")
    log.add(f"\nlibraries that pages of {PAGE} bytes do not suit: {', '.join(misses) or 'none'}\n")
    return show(judged, expected, log) and not misses


def show(judged: dict[tuple[Way, str], Step], expected: dict[Way, Step], log: Log) -> bool:
    """Compare, note the table; returns whether all agrees."""
    rows: list[Sequence[str]] = [("CPU", "model", *COLUMNS[:-1], "MB", COLUMNS[-1])]
    good = True
    for (way, cpu), there in judged.items():
        here = expected[way]
        memory = f"{here.peak_mb:.0f} / {there.peak_mb:.0f}"
        if here.report is None or there.report is None:
            raise RootError(f"expected a report of {way.name}, got none; remove the folder and run it again")
        for found in compare(here.report, there.report, TOLERANCE):
            each = replace(found, tolerance=DECODED) if found.name.endswith(".mp4") else found
            cells = each.cells()
            rows.append((cpu, way.name, *cells[:-1], memory, cells[-1]))
            good &= each.agrees
    log.add("Two values: x86-64 / there. MB: peak memory of the process in 10^6 bytes, there with qemu's own.\n")
    log.add("\n".join(table(rows)))
    return good


def describe_here(wheel: Path) -> str:
    """What ran all this."""
    qemu = run(["qemu-aarch64-static", "--version"]).output.splitlines()[0]
    size = wheel.stat().st_size / 1e6
    today = datetime.now(tz=UTC).date()
    return f"{today}; {qemu}\n{wheel.name}, {size:.1f} MB"


def main() -> None:
    """Read the arguments, try each Debian, write the log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the Debians and environments; kept")
    parser.add_argument("--suite", nargs="+", default=["bookworm"], help="of Debian: bookworm, trixie")
    parser.add_argument("--threads", type=int, default=0, help="of edgefake detect; one per core otherwise")
    parser.add_argument("--log", type=Path, default=CHECKOUT / "docs" / "bench" / "raspberry-pi.txt")
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    log = Log()
    try:
        require_tools()
        wheel = build_wheel(folder / "wheel")
        log.add(describe_here(wheel))
        good = [try_suite(suite, folder, wheel, log, threads=arguments.threads) for suite in arguments.suite]
    except RootError as error:
        sys.exit(f"raspberry_pi.py: {error}")
    write_whole(arguments.log, "\n".join(log.lines) + "\n")
    if not all(good):
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
