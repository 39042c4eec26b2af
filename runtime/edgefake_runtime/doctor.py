"""What is installed and what works on this machine, for people who report a bug or wonder what is missing.

Nothing that may be broken is imported here: versions come from what pip knows, and what is tried runs in a process of
its own, so that a crash is a finding.
"""

import platform
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from . import __version__
from .cpu import Cpu, read_cpu
from .errors import EdgefakeError, MissingExtraError, ModelFileError, printable
from .memory import machine_memory
from .needs import installed_version, is_older
from .shipped import DEFAULT_MODEL, default_model
from .worker import Worker

__all__ = ["Check", "Extra", "Findings", "examine", "missing_of", "without_home"]

REQUIREMENT = re.compile(r"""([\w.-]+)\s*(?:\[[^]]*\])?\s*([^;]*)(?:;.*?extra\s*==\s*['"]([\w.-]+)['"])?""")
"""A line of a package's requirements: name, versions, extra."""

BOUND = re.compile(r"(>=|<=|==|>|<)\s*([\w.]+)")

DEVELOPMENT = "dev"
"""The extra that users do not need."""

OPENCV = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
"""Builds of OpenCV that share one folder, so that the last one to be installed wins."""

H264 = Path(__file__).with_name("h264.mp4")
"""Three frames of 32 x 32, by FFmpeg: -f lavfi -i testsrc=size=32x32:rate=5 -frames:v 3 -c:v libx264 -crf 45."""

FRAMES = 3

LIMIT_S = 120.0
"""Seconds that one check may take."""

CLOSE = 0.01
"""By how much the logits of the two runtimes may differ, in parts of the largest, or of 1 where that is more."""

MEGA = 1_000_000


@dataclass(frozen=True)
class Extra:
    """An extra of edgefake.

    Attributes:
        name: such as "litert".
        missing: packages that are not there, or of versions that do not fit.
        mend: the command that brings them; "" where nothing is missing.
    """

    name: str
    missing: tuple[str, ...]
    mend: str


@dataclass(frozen=True)
class Check:
    """Something that was tried.

    Attributes:
        name: of it.
        works: whether it does; None where it could not be tried.
        words: what was seen.
        needed: whether `edgefake detect` cannot do without it.
    """

    name: str
    works: bool | None
    words: str
    needed: bool = False


@dataclass(frozen=True)
class Findings:
    """All of it.

    Attributes:
        edgefake: its version.
        python: its version, implementation and folder.
        system: operating system and architecture.
        cpu: of the machine.
        memory_mb, free_mb: megabytes in the machine, and free for programs; None where the system does not tell.
        packages: of the base and of all extras -> version; None where it is not installed.
        base: what is missing of the base.
        extras: of edgefake; none where pip does not know it.
        checks: what was tried.
        model, file, sha256: the default model; "" where it cannot be read.
        notes: what looks wrong besides.
    """

    edgefake: str
    python: str
    system: str
    cpu: Cpu
    memory_mb: int | None
    free_mb: int | None
    packages: Mapping[str, str | None]
    base: Extra
    extras: tuple[Extra, ...]
    checks: tuple[Check, ...]
    model: str
    file: str
    sha256: str
    notes: tuple[str, ...]

    @property
    def well(self) -> bool:
        """Whether what `edgefake detect` needs is there and works."""
        return not self.base.missing and all(check.works for check in self.checks if check.needed)

    def as_json(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)


def without_home(text: str) -> str:
    """Show the home directory as ~."""
    with suppress(RuntimeError):
        home = str(Path.home())
        if len(home) > 1:
            return re.sub(rf"{re.escape(home)}(?=[/\\]|\b|$)", "~", text)
    return text


def examine() -> Findings:
    """Look at everything; takes some seconds."""
    memory, free = machine_memory()
    needs = list(_requirements())
    base, *extras = _extras(needs)
    file, sha256 = _model()
    names = dict.fromkeys((*(name for _, name, _ in needs), *(n for n in OPENCV if installed_version(n) is not None)))
    packages = {name: installed_version(name) for name in names}
    return Findings(
        edgefake=__version__,
        python=f"{platform.python_version()} ({platform.python_implementation()}) in {without_home(sys.prefix)}",
        system=_system(),
        cpu=read_cpu(),
        memory_mb=None if memory is None else memory // MEGA,
        free_mb=None if free is None else free // MEGA,
        packages=packages,
        base=base,
        extras=tuple(extras),
        checks=tuple(_checks()),
        model=DEFAULT_MODEL,
        file=file,
        sha256=sha256,
        notes=tuple(_notes(needs)),
    )


def _requirements() -> Iterator[tuple[str, str, str]]:
    """Extra ("" for the base), package and versions; nothing where pip does not know edgefake."""
    try:
        lines = requires("edgefake") or []
    except PackageNotFoundError:
        lines = []
    for line in lines:
        match = REQUIREMENT.match(line)
        if match and match[3] != DEVELOPMENT:
            yield match[3] or "", match[1], match[2].strip()


def _extras(needs: list[tuple[str, str, str]]) -> Iterator[Extra]:
    """The base first, then each extra."""
    for extra in dict.fromkeys(["", *(extra for extra, _, _ in needs)]):
        wanted = [(name, versions) for of, name, versions in needs if of == extra]
        missing = tuple(words for name, versions in wanted if (words := missing_of(name, versions)))
        mend = f"pip install 'edgefake[{extra}]'" if extra else "pip install --force-reinstall edgefake"
        yield Extra(extra, missing, mend if missing else "")


def missing_of(name: str, versions: str) -> str:
    """What a requirement lacks, such as "onnx" or "onnx 1.19, wanted >=1.20"; "" where it is met.

    Args:
        name: of the package.
        versions: that fit, such as "<2.14,>=2.8".
    """
    installed = installed_version(name)
    if installed is None:
        return name
    fits = all(_fits(installed, sign, bound) for sign, bound in BOUND.findall(versions))
    return "" if fits else f"{name} {installed}, wanted {versions}"


def _fits(installed: str, sign: str, bound: str) -> bool:
    older, public = is_older(installed, bound), installed.partition("+")[0]
    return {
        ">=": not older,
        "<": older,
        "==": public == bound,
        ">": not older and public != bound,
        "<=": older or public == bound,
    }[sign]


def _notes(needs: list[tuple[str, str, str]]) -> Iterator[str]:
    if not needs:
        yield "pip does not know edgefake here: what its extras need is not known"
    builds = [name for name in OPENCV if installed_version(name) is not None]
    if len(builds) > 1:
        yield f"{len(builds)} builds of OpenCV share one folder: {', '.join(builds)}; pip uninstall all but one"


def _system() -> str:
    words = [platform.system(), platform.release(), platform.machine()]
    with suppress(OSError):
        words.insert(0, f"{platform.freedesktop_os_release().get('PRETTY_NAME', '')},")
    library = " ".join(part for part in platform.libc_ver() if part)
    return " ".join(word for word in words if word) + (f", {library}" if library else "")


def _model() -> tuple[str, str]:
    """File and SHA-256 of the default model."""
    import hashlib

    try:
        path = default_model()
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ModelFileError) as error:
        return without_home(str(error)), ""
    return without_home(printable(path)), found


def _checks() -> Iterator[Check]:
    """Every runtime with the shipped 2-bit files, then whether both say the same, then OpenCV."""
    onnx, answer = _run_model("ONNX Runtime, 2-bit weights", ".onnx", widen=None, needed=True)
    yield onnx
    narrow, second = _run_model("LiteRT, 2-bit weights", ".tflite", widen=False)
    yield narrow
    wide, third = _run_model("LiteRT, 2-bit weights run as 8-bit ones", ".tflite", widen=True)
    yield wide
    yield from _agreement(answer, second, third)
    yield _decoding()


def _run_model(name: str, suffix: str, *, widen: bool | None, needed: bool = False) -> tuple[Check, list[float] | None]:
    """Open and run the default model in a process of its own; its logits for noise."""
    try:
        path = default_model().with_suffix(suffix)
        with Worker(limit_s=LIMIT_S) as worker:
            facts = worker.ask("open", path=path, threads=1, widen=widen)
            answer: list[float] = worker.ask("answer")
    except MissingExtraError as error:
        return Check(name, None, str(error), needed), None
    except EdgefakeError as error:
        return Check(name, False, without_home(str(error)), needed), None
    good = all(abs(value) < float("inf") for value in answer)
    words = f"{facts['bits']} bits, logits {', '.join(f'{value:.4f}' for value in answer)} for the same noise"
    return Check(name, good, words, needed), answer


def _agreement(first: list[float] | None, *others: list[float] | None) -> Iterator[Check]:
    answers = [answer for answer in others if answer is not None]
    if first is None or not answers:
        return
    apart = max(abs(a - b) for answer in answers for a, b in zip(first, answer, strict=True))
    most = CLOSE * max(1.0, *map(abs, first))
    words = f"logits differ by {apart:.1e} (limit {most:.1e})"
    yield Check("both runtimes agree", apart <= most, words)


def _decoding() -> Check:
    name = "OpenCV decodes H.264"
    try:
        with Worker(limit_s=LIMIT_S) as worker:
            frames = worker.ask("decode", path=H264)
    except EdgefakeError as error:
        return Check(name, False, without_home(str(error)), needed=True)
    return Check(name, frames == FRAMES, f"{frames} of {FRAMES} frames", needed=True)
