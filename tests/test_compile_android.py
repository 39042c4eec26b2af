"""runtime/android's library and sample: scripts/compile_android compiles them, and runs what needs no Android."""

import re
import xml.etree.ElementTree as ET

import pytest

from edgefake import __version__

from .java import ROOT, java_tests, missing

ANDROID = ROOT / "runtime" / "android"


@pytest.mark.timeout(600)
def test_it_compiles_and_gives_what_python_gives(tmp_path):
    """Against the signatures of Android and LiteRT; and jobs, frames, videos and real inference on the JVM."""
    lacking = missing(("bash", "javac", "java"), ("junit-jupiter-api.jar", "junit4.jar"))
    said, count = java_tests("compile_android", tmp_path, lacking, timeout_s=550)
    assert count > 90
    assert "compiled: library, sample, and the tests for a device" in said
    assert re.search(r"^astronaut\.png through the library: P\(fake\) 0\.\d+, in Python 0\.\d+;", said, re.M)


def imports(folder):
    """First two parts of the names of all that a folder's sources import."""
    sources = sorted(folder.rglob("*.java"))
    assert sources
    names = {name for path in sources for name in re.findall(r"^import (?:static )?([\w.]+)", path.read_text(), re.M)}
    return {".".join(name.split(".")[:2]) for name in names}


def test_jobs_touch_no_android():
    """So that they run, and are tested, on any JVM."""
    used = imports(ANDROID / "library" / "src" / "main" / "java" / "dev" / "edgefake" / "jobs")
    assert {name.split(".")[0] for name in used} == {"java", "dev"}


def test_everything_that_is_used_has_a_signature_to_compile_against():
    """And no signature is there for nothing."""
    sources = [*(ANDROID / "library" / "src").rglob("*.java"), *(ANDROID / "sample" / "src").rglob("*.java")]
    text = "\n".join(path.read_text() for path in sources)
    stubs = {path.relative_to(ANDROID / "stubs") for path in (ANDROID / "stubs").rglob("*.java")}
    texts = {path: (ANDROID / "stubs" / path).read_text() for path in stubs}
    for path in stubs:
        others = "\n".join(stub for name, stub in texts.items() if name != path)
        assert re.search(rf"\b{path.stem}\b", text + others), f"{path} is not used"


@pytest.mark.parametrize("module", ["library", "sample"])
def test_no_permission_is_asked_for(module):
    """Nothing leaves the device: an app without INTERNET cannot send."""
    manifest = ET.parse(ANDROID / module / "src" / "main" / "AndroidManifest.xml").getroot()
    assert manifest.tag == "manifest"
    assert manifest.findall(".//uses-permission") == []


def test_versions_are_pinned_and_agree():
    """In Gradle's files, and between them and what documentation says."""
    build = {name: (ANDROID / name / "build.gradle").read_text() for name in ("core", "library", "sample")}
    root = (ANDROID / "build.gradle").read_text()
    coordinates = re.findall(r"'([\w.-]+:[\w.-]+:[^']*)'", "".join(build.values()))
    assert len(coordinates) >= 7
    for coordinate in coordinates:
        assert re.fullmatch(r"\d+(\.\d+)+", coordinate.split(":")[2]), coordinate
    assert set(re.findall(r"version '([^']+)' apply false", root)) == {"8.13.2"}
    wrapper = (ANDROID / "gradle" / "wrapper" / "gradle-wrapper.properties").read_text()
    assert re.search(r"^distributionUrl=.*/gradle-8\.13-bin\.zip$", wrapper, re.M)
    assert re.search(r"^distributionSha256Sum=[0-9a-f]{64}$", wrapper, re.M)
    assert f"version = '{__version__}'" in root
    assert f"versionName = '{__version__}'" in build["sample"]
    litert = re.search(r"com\.google\.ai\.edge\.litert:litert:([\d.]+)'", build["library"])
    assert litert is not None
    assert f"`com.google.ai.edge.litert:litert:{litert[1]}`" in (ROOT / "docs" / "android.md").read_text()
    for name in ("settings.gradle", "gradle.properties"):
        assert (ANDROID / name).is_file()


def test_the_five_lines_of_the_guide_are_in_the_code():
    """Every method that docs/android.md calls on the library is one that it has."""
    guide = (ROOT / "docs" / "android.md").read_text()
    library = "\n".join(path.read_text() for path in (ANDROID / "library" / "src" / "main").rglob("*.java"))
    blocks = "\n".join(re.findall(r"```java\n(.*?)```", guide, re.S))
    calls = set(re.findall(r"\b(?:edgefake|Edgefake|run|job|Turn|CameraXImages)\.(\w+)\(", blocks))
    assert {"open", "video", "picture", "camera", "offer", "finish", "cancel", "close"} <= calls
    for call in calls:
        assert re.search(rf"public [\w. ]*\b{call}\(", library), call
