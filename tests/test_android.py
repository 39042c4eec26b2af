"""runtime/android: scripts/test_android builds the Java code and runs its tests, with real inference, on the JVM."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
JUNIT = Path(os.environ.get("JUNIT_JARS", "/usr/share/java")) / "junit-jupiter-api.jar"


def missing():
    """What this machine lacks for it."""
    programs = [name for name in ("bash", "javac", "java", "gcc") if shutil.which(name) is None]
    headers = (
        shutil.which("javac") and not (Path(shutil.which("javac")).resolve().parents[1] / "include" / "jni.h").exists()
    )
    return [*programs, *(["jni.h"] if headers else []), *([] if JUNIT.exists() else ["JUnit 5"])]


@pytest.mark.timeout(1200)
def test_java_gives_what_python_gives(tmp_path):
    """Boxes and scores within 1e-3 of Python's; and every other test of the Java code."""
    lacking = missing()
    if lacking:
        pytest.skip(f"no {', '.join(lacking)}: apt install openjdk-17-jdk-headless junit5 gcc libc6-dev")
    done = subprocess.run(
        [ROOT / "scripts" / "test_android", tmp_path],
        cwd=ROOT,
        env={**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1100,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
    counts = {name: int(n) for n, name in re.findall(r"\[ +(\d+) tests (\w+)", done.stdout)}
    assert counts["found"] == counts["successful"] > 100
    assert counts["skipped"] == counts["aborted"] == counts["failed"] == 0
    assert "largest difference from OpenCV" in done.stdout
    for clip in ("real.mp4", "fake.mp4", "astronaut.png"):  # in ONNX Runtime, and in LiteRT
        assert len(re.findall(rf"^{re.escape(clip)} .* (?:real|fake|uncertain)$", done.stdout, re.MULTILINE)) == 2, clip


def test_the_core_touches_no_android():
    """It must compile and run on any JVM."""
    sources = sorted((ROOT / "runtime" / "android" / "core" / "src" / "main").rglob("*.java"))
    assert sources
    imports = {line for path in sources for line in re.findall(r"^import (?:static )?([\w.]+)", path.read_text(), re.M)}
    assert {name.split(".")[0] for name in imports} == {"java"}
