"""How much memory this process has taken at most, and how much the machine has."""

import os
import sys
from pathlib import Path

__all__ = ["machine_memory", "peak_memory"]

STATUS, MEMINFO = Path("/proc/self/status"), Path("/proc/meminfo")


def peak_memory() -> int | None:
    """Bytes of memory that this process has had resident at most; None where the system does not tell.

    On Linux from /proc: what `getrusage` says there may be the parent's, as it outlives the change of program.
    """
    lines = _entries(STATUS)
    if "VmHWM" in lines:
        return lines["VmHWM"]
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def machine_memory() -> tuple[int | None, int | None]:
    """Bytes of memory in the machine, and those that are free for programs; None where the system does not tell."""
    lines = _entries(MEMINFO)
    if "MemTotal" in lines:
        return lines["MemTotal"], lines.get("MemAvailable")
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
    except (AttributeError, OSError, ValueError):
        return None, None


def _entries(path: Path) -> dict[str, int]:
    """Lines such as "VmHWM:   1234 kB", in bytes."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return {}
    found = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB" and words[0].isdecimal():
            found[key] = int(words[0]) * 1024
    return found
