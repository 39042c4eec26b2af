"""The CPU that this runs on: its name, the cores that may be used, and the instructions that make models fast.

Read from what the system says: /proc/cpuinfo on Linux, sysctl on macOS, else as far as Python knows it.
"""

import ctypes
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cpu", "cores", "parse_cpuinfo", "parse_sysctl", "processor", "read_cpu"]

CPUINFO = Path("/proc/cpuinfo")

X86 = {
    "sse4_1": "SSE4.1",
    "avx2": "AVX2",
    "avx512f": "AVX512",
    "avx512_vnni": "AVX512-VNNI",
    "avx_vnni": "AVX-VNNI",
    "avx512_bf16": "AVX512-BF16",
    "amx_int8": "AMX-INT8",
}
"""Flags of Linux -> what they are called elsewhere; integer products run on the VNNI ones and AMX."""

ARM = {
    "neon": "NEON",
    "asimd": "NEON",
    "asimdhp": "fp16",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "SVE",
    "sve2": "SVE2",
    "sme": "SME",
}
"""The same of Arm; integer products run on dotprod and i8mm."""

ARM_BITS = {"asimd": (16, 1), "asimdhp": (16, 10), "asimddp": (16, 20), "sve": (16, 22)} | {
    "sve2": (26, 1),
    "i8mm": (26, 13),
    "bf16": (26, 14),
    "sme": (26, 23),
}
"""Flag -> the entry of the auxiliary vector (AT_HWCAP, AT_HWCAP2) and its bit (Linux, arch/arm64, asm/hwcap.h)."""

APPLE = {
    "hw.optional.AdvSIMD": "asimd",
    "hw.optional.neon": "asimd",
    "hw.optional.arm.FEAT_FP16": "asimdhp",
    "hw.optional.arm.FEAT_DotProd": "asimddp",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_SME": "sme",
    "hw.optional.sse4_1": "sse4_1",
    "hw.optional.avx2_0": "avx2",
    "hw.optional.avx512f": "avx512f",
    "hw.optional.avx512vnni": "avx512_vnni",
}
"""sysctl's keys -> Linux's flags."""

PARTS = {
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD0D: "Cortex-A77",
    0xD40: "Neoverse-V1",
    0xD41: "Cortex-A78",
    0xD44: "Cortex-X1",
    0xD46: "Cortex-A510",
    0xD47: "Cortex-A710",
    0xD48: "Cortex-X2",
    0xD49: "Neoverse-N2",
    0xD4D: "Cortex-A715",
    0xD4E: "Cortex-X3",
    0xD4F: "Neoverse-V2",
    0xD80: "Cortex-A520",
    0xD81: "Cortex-A720",
    0xD82: "Cortex-X4",
}
"""Numbers of Arm's own cores (implementer 0x41)."""

ARM_LIMITED = 0x41

ARM_MACHINES = ("aarch64", "arm64", "armv7l", "armv6l", "arm")

SYSCTL_S = 10.0
"""Seconds that sysctl may take."""


@dataclass(frozen=True)
class Cpu:
    """What is known of the CPU.

    Attributes:
        name: of its model, with the board's where that says more; "unknown" where nothing tells.
        machine: its architecture, such as "x86_64" or "aarch64".
        cores: those that this process may use, hardware threads counted each.
        features: instructions that matter to models, such as "AVX512-VNNI" or "dotprod".
    """

    name: str
    machine: str
    cores: int
    features: tuple[str, ...]

    def __str__(self) -> str:
        """On one line: "AMD EPYC, 2 cores, x86_64: AVX2, AVX512, AVX512-VNNI"."""
        count = "1 core" if self.cores == 1 else f"{self.cores} cores"
        return f"{self.name}, {count}, {self.machine}: {', '.join(self.features) or 'no features known'}"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The CPU's name alone."""
    return read_cpu().name


def read_cpu() -> Cpu:
    """What this machine says of its CPU."""
    machine = platform.machine()
    if sys.platform == "darwin":
        name, features = parse_sysctl(_sysctl())
    else:
        name, features = parse_cpuinfo(_cpuinfo(), machine)
    if not features and sys.platform == "linux" and machine == "aarch64":
        features = _named(ARM, _auxiliary())  # under qemu-user, /proc/cpuinfo may be the host's
    return Cpu(name or platform.processor() or "unknown", machine or "unknown", cores(), features)


def _cpuinfo() -> str:
    try:
        return CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _sysctl() -> str:
    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", "machdep.cpu.brand_string", "hw.optional"],
            capture_output=True,
            text=True,
            timeout=SYSCTL_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def parse_cpuinfo(text: str, machine: str) -> tuple[str, tuple[str, ...]]:
    """Name and features from Linux's /proc/cpuinfo.

    Args:
        text: of the file; may be empty.
        machine: the architecture, as `platform.machine` says it. Flags of another one do not count: an emulator may
            show the host's.

    Returns:
        The name, "" where there is none, and the features.
    """
    entries = [(key.strip(), value.strip()) for key, colon, value in _split(text.splitlines()) if colon]
    arm = machine in ARM_MACHINES
    flags = {word for key, value in entries if key == ("Features" if arm else "flags") for word in value.split()}
    names = list(dict.fromkeys(value for key, value in entries if key == "model name" and value))
    if arm:
        names = list(dict.fromkeys(_core_names(entries))) or (names if flags else [])
    board = next((value for key, value in entries if key == "Model" and value), "") if arm else ""
    name = " and ".join(names)
    name = f"{name} ({board})" if name and board else name or board
    return name, _named(ARM if arm else X86, flags)


def _split(lines: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    return (line.partition(":") for line in lines)


def _core_names(entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The cores of an Arm CPU, one after the other; of big and little ones both."""
    implementer = 0
    for key, value in entries:
        if key == "CPU implementer":
            implementer = _number(value)
        elif key == "CPU part":
            part = _number(value)
            known = PARTS.get(part) if implementer == ARM_LIMITED else None
            yield known or f"Arm implementer {implementer:#x} part {part:#x}"


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return 0


def _named(names: Mapping[str, str], flags: Iterable[str]) -> tuple[str, ...]:
    """In the order of the table; SSE4.1 says something only where there is nothing newer."""
    given = set(flags)
    found = list(dict.fromkeys(name for flag, name in names.items() if flag in given))
    return tuple(name for name in found if name != "SSE4.1" or len(found) == 1)


def _auxiliary() -> Iterator[str]:
    """Flags from the auxiliary vector, which emulators fill in for the CPU that they emulate."""
    try:
        getauxval = ctypes.CDLL(None).getauxval
    except (OSError, AttributeError):
        return
    getauxval.restype, getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    for flag, (entry, bit) in ARM_BITS.items():
        if getauxval(entry) >> bit & 1:
            yield flag


def parse_sysctl(text: str) -> tuple[str, tuple[str, ...]]:
    """Name and features from lines of macOS' sysctl, "key: value"."""
    entries = {key.strip(): value.strip() for key, colon, value in _split(text.splitlines()) if colon}
    flags = {flag for key, flag in APPLE.items() if entries.get(key) == "1"}
    return entries.get("machdep.cpu.brand_string", ""), _named(X86 | ARM, flags)
