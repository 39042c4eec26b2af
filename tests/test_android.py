"""runtime/android: scripts/test_android builds the Java code and runs its tests, with real inference, on the JVM."""

import re

import pytest

from .java import ROOT, java_tests, missing


@pytest.mark.timeout(1200)
def test_java_gives_what_python_gives(tmp_path):
    """Boxes and scores within 1e-3 of Python's; and every other test of the Java code."""
    lacking = missing(("bash", "javac", "java", "gcc"), ("junit-jupiter-api.jar",), headers=("jni.h",))
    said, count = java_tests("test_android", tmp_path, lacking, timeout_s=1100)
    assert count > 100
    assert "largest difference from OpenCV" in said
    for clip in ("real.mp4", "fake.mp4", "astronaut.png"):  # in ONNX Runtime, and in LiteRT
        assert len(re.findall(rf"^{re.escape(clip)} .* (?:real|fake|uncertain)$", said, re.MULTILINE)) == 2, clip


def test_the_core_touches_no_android():
    """It must compile and run on any JVM."""
    sources = sorted((ROOT / "runtime" / "android" / "core" / "src" / "main").rglob("*.java"))
    assert sources
    imports = {line for path in sources for line in re.findall(r"^import (?:static )?([\w.]+)", path.read_text(), re.M)}
    assert {name.split(".")[0] for name in imports} == {"java"}
