r"""Runs the JNI bridge's code and the four networks as aarch64 programs under qemu-user, and compares with this CPU.

    python scripts/android_arm64.py FOLDER                     # a C program, one run of each network
    python scripts/android_arm64.py FOLDER --java CLIP ...     # an aarch64 JVM too: the whole of the Java pipeline

FOLDER keeps what is fetched: ONNX Runtime's aarch64 wheel, of the installed version, and for --java Debian's aarch64
packages of OpenJDK's runtime, unpacked and not installed. Needs Debian's packages gcc-aarch64-linux-gnu,
libc6-dev-arm64-cross, libstdc++6-arm64-cross and qemu-user; for --java what scripts/test_android needs, and the classes
that it leaves in build/android/classes.

The networks get what they get in the sample's picture: P-Net its smallest scale, R-Net and O-Net the crops of the face,
the classifier the face itself. --java judges CLIPs of docs/samples, by default its picture.
"""

import argparse
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime
from golden_android import ROOT, SAMPLES, read, write_clips
from numpy.typing import NDArray

from edgefake_runtime import Classifier, FaceDetector
from edgefake_runtime.classifier import probability
from edgefake_runtime.crops import cut_face, normalize
from edgefake_runtime.mtcnn import pyramid
from edgefake_runtime.resample import AreaTable
from edgefake_runtime.shipped import models_folder

CPU = "cortex-a76"
"""A Raspberry Pi 5's, and that of phones from 2018 on: dot products of 8 bits, no int8 matrix instructions."""

SYSROOT = Path("/usr/aarch64-linux-gnu")
"""Where Debian's cross packages keep the C library of aarch64."""

EMULATED = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs none /sys && exec "$@"', "-"]
"""Runs a command without /sys: in that of an x86 machine the aarch64 library's constructor finds caches and crashes."""

SOURCES = ROOT / "runtime" / "android" / "jvm" / "src" / "main" / "c"
JAVA_CLASSES = ROOT / "build" / "android" / "classes"
JUNIT_JARS = Path("/usr/share/java")
JARS = ("junit-jupiter", "junit-platform", "opentest4j", "apiguardian", "picocli", "univocity")
LIMIT = 1e-3
"""Of P(fake), and of what the face networks say."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Question:
    """One run of a network: its file, what it gets, and which outputs are wanted."""

    model: Path
    image: Floats
    outputs: tuple[str, ...]


def questions() -> tuple[list[Question], Classifier]:
    """What the four networks are asked about the sample's picture, and the classifier."""
    picture, classifier = read(SAMPLES / "astronaut.png"), Classifier(threads=1)
    (face,) = FaceDetector(threads=1).detect(picture)
    table = AreaTable(picture)
    scale = pyramid(*picture.shape[:2], min_face=40, factor=0.709)[-1]
    size = [int(side * scale + 1) for side in picture.shape[:2]]
    whole = np.array([face.box], np.intp)
    inputs = [table.resize(*size)[None], table.crops(whole, 24), table.crops(whole, 48)]
    nets = [(image - np.float32(127.5)) * np.float32(0.0078125) for image in inputs]
    crop = cut_face(picture, face.box, classifier.metadata)[None]
    folder = models_folder() / "mtcnn"
    asked = [
        Question(folder / "pnet.onnx", nets[0], ("boxes", "probability")),
        Question(folder / "rnet.onnx", nets[1], ("boxes", "probability")),
        Question(folder / "onet.onnx", nets[2], ("boxes", "probability", "landmarks")),
        Question(classifier.path, normalize(crop, classifier.metadata.mean, classifier.metadata.std), ("logits",)),
    ]
    return asked, classifier


def run(command: Sequence[str | Path], **options: object) -> str:
    """Runs a command; what it prints.

    Raises:
        SystemExit: it failed; with what it said.
    """
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        said = (done.stdout[-2000:] + done.stderr[-4000:]).strip()
        raise SystemExit(f"{Path(str(command[0])).name}: exit {done.returncode}\n{said}")
    return str(done.stdout)


def fetch_onnxruntime(folder: Path) -> Path:
    """The aarch64 library of the installed version of ONNX Runtime."""
    found = sorted(folder.glob("libonnxruntime.so*"))
    if found:
        return found[0]
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in (28, 27, 17)]
    wanted = ["--only-binary=:all:", "--no-deps", "--dest", str(folder), f"onnxruntime=={version('onnxruntime')}"]
    run([sys.executable, "-m", "pip", "download", "--quiet", *platforms, *wanted])
    (wheel,) = folder.glob("onnxruntime-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if Path(name).name.startswith("libonnxruntime.so"))
        (folder / Path(name).name).write_bytes(archive.read(name))
    return folder / Path(name).name


def compile_for_arm(folder: Path) -> Path:
    """The bridge with a main of its own, as an aarch64 program."""
    program = folder / "bridge_main"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    sources = [SOURCES / "bridge.c", SOURCES / "bridge_main.c"]
    run(["aarch64-linux-gnu-gcc", *flags, "-o", program, *sources, "-ldl", "-lpthread"])
    return program


def answers(text: str) -> dict[str, Floats]:
    """What the program printed: name -> values."""
    found = {}
    for line in text.splitlines()[1:]:
        name, shape, *values = line.split()
        found[name] = np.array(values, np.float32).reshape([int(size) for size in shape.split(",")])
    return found


def here(question: Question) -> dict[str, Floats]:
    """The same from ONNX Runtime on this CPU."""
    session = onnxruntime.InferenceSession(question.model, providers=["CPUExecutionProvider"])
    found = session.run(list(question.outputs), {"image": question.image})
    return dict(zip(question.outputs, found, strict=True))


def emulated(program: Path, library: Path, question: Question, folder: Path) -> tuple[str, dict[str, Floats]]:
    """ONNX Runtime's version, and its answers under emulation."""
    values = folder / "input.f32"
    values.write_bytes(question.image.astype("<f4").tobytes())
    shape = ",".join(str(size) for size in question.image.shape)
    emulator = [*EMULATED, "qemu-aarch64", "-cpu", CPU, "-L", SYSROOT]
    text = run([*emulator, program, library, question.model, values, shape, *question.outputs])
    return text.split()[1], answers(text)


def compare(folder: Path) -> float:
    """Prints a line for each network; the largest difference."""
    library, program = fetch_onnxruntime(folder), compile_for_arm(folder)
    asked, classifier = questions()
    kind = run(["file", "--brief", program]).split(",")[1].strip() if shutil.which("file") else "aarch64"
    print(f"{program.name}: {kind}, qemu-aarch64 -cpu {CPU}")
    worst = 0.0
    for question in asked:
        ours, (release, theirs) = here(question), emulated(program, library, question, folder)
        gap = max(float(np.abs(ours[name] - theirs[name]).max()) for name in question.outputs)
        print(f"{question.model.name:32} input {list(question.image.shape)!s:18} largest difference {gap:.1e}")
        worst = max(worst, gap) if question.outputs != ("logits",) else worst
    scores = [score(classifier, found["logits"]) for found in (ours, theirs)]
    print(f"P(fake) of astronaut.png: {scores[0]:.6f} on this CPU, {scores[1]:.6f} as aarch64")
    worst = max(worst, abs(scores[0] - scores[1]))
    print(f"ONNX Runtime {release}; face networks and P(fake) within {worst:.1e} of this CPU's (limit {LIMIT:.0e})")
    return worst


def score(classifier: Classifier, logits: Floats) -> float:
    """P(fake) of one crop's logits (1, 2)."""
    calibration = classifier.metadata.calibration
    return probability(calibration.scale * float(logits[0, 1] - logits[0, 0]) + calibration.shift)


# The whole pipeline, in an aarch64 JVM


def fetch_java(folder: Path) -> Path:
    """Debian's aarch64 JRE and the libraries that it needs, unpacked: the folder that is their root."""
    tree, state, cache = folder / "tree", folder / "state", folder / "cache"
    if not tree.exists():
        for place in (state / "lists" / "partial", cache / "archives" / "partial"):
            place.mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        settings = {
            "APT::Architecture": "arm64",
            "APT::Architectures::": "arm64",
            "Dir::State": state,
            "Dir::State::status": state / "status",
            "Dir::Cache": cache,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
        run(["apt-get", *options, "update"])
        packages = ["default-jre-headless", "libstdc++6", "zlib1g"]
        wanted = ["--yes", "--no-install-recommends", "--download-only", *packages]
        run(["apt-get", *options, "install", *wanted])
        new = folder / "tree.new"
        for package in sorted((cache / "archives").glob("*.deb")):
            run(["dpkg-deb", "-x", package, new])
        _lead_inside(new)
        new.rename(tree)
    return tree


def _lead_inside(tree: Path) -> None:
    """Makes links that begin at the root lead inside of the tree: the kernel follows them, which is not emulated."""
    for link in [path for path in tree.rglob("*") if path.is_symlink()]:
        target = link.readlink()
        if target.is_absolute():
            link.unlink()
            link.symlink_to(os.path.relpath(tree / target.relative_to("/"), link.parent))


def run_java(folder: Path, clips: Sequence[Path]) -> None:
    """Judges clips in an aarch64 JVM, and prints what the test prints."""
    folder = folder.resolve()
    tree = fetch_java(folder)
    write_clips(clips, folder / "clips", all_parts=False)
    test = "dev.edgefake.jvm.RealInferenceTest#clipsAsThePythonRuntimeJudgesThem"
    launcher = ["org.junit.platform.console.ConsoleLauncher", "--select-method", test]
    look = ["--disable-banner", "--disable-ansi-colors", "--details=summary"]
    text = run([*_java(tree), *_options(folder, _compile_bridge(folder)), *launcher, *look])
    print(f"java: an aarch64 JVM, qemu-aarch64 -cpu {CPU}")
    print(text.partition("Test run finished")[0].strip())


def _compile_bridge(folder: Path) -> Path:
    """The bridge for aarch64, with the headers of this machine's JDK."""
    bridge = folder / "libedgefake_bridge.so"
    include = Path(shutil.which("javac") or "").resolve().parents[1] / "include"
    flags = ["-std=c11", "-O2", "-fPIC", "-shared", f"-I{include}", f"-I{include / 'linux'}"]
    sources = [SOURCES / "bridge.c", SOURCES / "bridge_jni.c"]
    run(["aarch64-linux-gnu-gcc", *flags, "-o", bridge, *sources, "-ldl", "-lpthread"])
    return bridge


def _java(tree: Path) -> list[str | Path]:
    """The emulator and the Java in a tree."""
    homes = (tree / "usr" / "lib" / "jvm").glob("java-*-openjdk-arm64")
    (home,) = (home for home in homes if not home.is_symlink())
    libraries = [home / "lib", tree / "usr" / "lib" / "aarch64-linux-gnu", tree / "lib" / "aarch64-linux-gnu"]
    search = f"LD_LIBRARY_PATH={':'.join(map(str, libraries))}"
    return [*EMULATED, "qemu-aarch64", "-cpu", CPU, "-L", tree, "-E", search, home / "bin" / "java"]


def _options(folder: Path, bridge: Path) -> list[str]:
    """Of the JVM: small and soon started, where everything is; properties of the tests; their classes."""
    properties = {
        "edgefake.root": ROOT,
        "edgefake.clips": folder / "clips",
        "edgefake.bridge": bridge,
        "edgefake.onnxruntime": fetch_onnxruntime(folder),
    }
    jars = [jar for jar in sorted(JUNIT_JARS.glob("*.jar")) if jar.name.startswith(JARS)]
    resources = ROOT / "runtime" / "android" / "core" / "src" / "test" / "resources"
    classes = [JAVA_CLASSES / "main", JAVA_CLASSES / "test", resources, *jars]
    named = [f"-D{name}={value}" for name, value in properties.items()]
    return ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *named, "-cp", ":".join(map(str, classes))]


def main() -> int:
    """Runs the command line; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="keeps what is fetched and built")
    parser.add_argument("--java", nargs="*", metavar="CLIP", help="judge these of docs/samples in an aarch64 JVM")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.java is not None:
        run_java(options.folder, [SAMPLES / name for name in options.java or ["astronaut.png"]])
        return 0
    return 0 if compare(options.folder) <= LIMIT else 5


if __name__ == "__main__":
    sys.exit(main())
