"""What the tests of runtime/android share: the scripts that compile and run its Java code."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
JARS = Path(os.environ.get("JUNIT_JARS", "/usr/share/java"))


def missing(programs, jars, headers=()):
    """What this machine lacks of some programs, of JUnit's jars, and of the JDK's headers."""
    lacking = [name for name in programs if shutil.which(name) is None]
    lacking += [name for name in jars if not (JARS / name).exists()]
    javac = shutil.which("javac")
    return lacking + [
        name for name in headers if javac and not (Path(javac).resolve().parents[1] / "include" / name).exists()
    ]


def java_tests(script, folder, lacking, timeout_s):
    """What a script of Java tests prints, all of them passed, and how many there were.

    Skips where something is missing, and fails there if EDGEFAKE_JAVA says that the machine was made ready for them.
    """
    if lacking:
        reason = f"no {', '.join(lacking)}: apt install openjdk-17-jdk-headless junit5 gcc libc6-dev"
        assert "EDGEFAKE_JAVA" not in os.environ, reason
        pytest.skip(reason)
    done = subprocess.run(
        [ROOT / "scripts" / script, folder],
        cwd=ROOT,
        env={**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
    counts = {name: int(n) for n, name in re.findall(r"\[ +(\d+) tests (\w+)", done.stdout)}
    assert counts["found"] == counts["successful"]
    assert counts["skipped"] == counts["aborted"] == counts["failed"] == 0
    return done.stdout, counts["found"]
