"""Which versions of onnxruntime, LiteRT and tflite-runtime run which files, and get the same answers.

    python scripts/oldest_runtimes.py FOLDER [--onnxruntime 1.24.1 ...] [--litert 2.1.2 ...] [--tflite-runtime 2.14.0]
        [--python python3.11] [--append] [--out docs/bench/oldest_runtimes.csv]

Each version is installed from the package index into an environment of its own, which is deleted afterwards; each file
of FOLDER runs there in a process of its own, on the runtime alone (`run_plain.py`), on the sixteen sample faces. Its
logits are compared with those that this environment's runtime gives, so run it where that is the newest. A file is

- right: every verdict is the same and no logit differs by more than a tenth of their rms (versions add up floats in
  another order, and a level that flips for it moves the logits by hundredths: docs/bench/parity.csv),
- wrong: it runs, and does not compute that,
- refused: the runtime raises an error,
- crashed: the process ends without one.

Versions from before Python 3.11 still run on phones and boards. An older interpreter reaches them:

    python scripts/oldest_runtimes.py FOLDER --append --python python3.8 --onnxruntime 1.5.2 1.6.0 1.7.0 1.8.1 1.9.0 ...
"""

import argparse
import csv
import platform
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefake_export import sample_crops
from edgefake_export.reference import rms_of
from edgefake_runtime import Classifier
from edgefake_runtime.crops import normalize

RUNNER = Path(__file__).resolve().with_name("run_plain.py")
DEFAULT = Path(__file__).resolve().parents[1] / "docs" / "bench" / "oldest_runtimes.csv"

ENDINGS = {"onnxruntime": ".onnx", "ai-edge-litert": ".tflite", "tflite-runtime": ".tflite"}
"""Runtime -> the files that it reads."""

NUMPY_2 = {"onnxruntime": (1, 19), "ai-edge-litert": (1, 1), "tflite-runtime": (3, 0)}
"""First version of a runtime that was built for numpy 2."""

LIGHT = ("packaging", "protobuf", "flatbuffers", "backports.strenum", "tqdm", "typing-extensions")
"""What a runtime imports besides numpy; the rest of its dependencies serves other parts of it."""

VERSIONS = {
    "onnxruntime": [
        "1.15.0",
        "1.16.0",
        "1.16.3",
        "1.17.3",
        "1.18.0",
        "1.18.1",
        "1.19.2",
        "1.20.1",
        "1.21.0",
        "1.21.1",
        "1.22.1",
        "1.23.0",
        "1.23.2",
        "1.24.1",
        "1.24.4",
        "1.25.1",
        "1.26.0",
        "1.27.0",
        "1.28.0",
        "1.29.0",
        "1.30.0",
        "1.31.1",
    ],
    "ai-edge-litert": [
        "1.0.0",
        "1.0.1",
        "1.1.2",
        "1.2.0",
        "1.3.0",
        "1.4.0",
        "2.0.3",
        "2.1.0",
        "2.1.1",
        "2.1.2",
        "2.1.6",
        "2.2.0",
        "2.3.0",
    ],
    "tflite-runtime": ["2.14.0"],
}

LIMIT = 0.1
"""Largest difference of a logit, over the rms of the expected ones, in a file that is right."""

SECONDS = 300
"""Longest that a file may run."""

SOURCE = re.compile(r"onnxruntime\.capi\.onnxruntime_pybind11_state\.|/\S+:\d+ (?:void )?onnxruntime::.*?\) (?=[A-Z])")
"""Where in its sources ONNX Runtime raises an error."""

Row = dict[str, str]


@dataclass(frozen=True)
class Expected:
    """A file and what it should compute.

    Attributes:
        path: of the file.
        inputs: of the `.npy` file with (16, 3, S, S) float32.
        logits: (16, 2).
    """

    path: Path
    inputs: Path
    logits: NDArray[np.float32]


def expect(files: Sequence[Path], folder: Path) -> Iterator[Expected]:
    """Run the files here."""
    for path in files:
        classifier = Classifier(path)
        metadata = classifier.metadata
        crops = sample_crops(metadata.input_size)
        inputs = folder / f"{path.name}.npy"
        np.save(inputs, normalize(crops, metadata.mean, metadata.std))
        yield Expected(path, inputs, classifier.logits(crops))


def install(python: str, runtime: str, version: str, folder: Path) -> Path:
    """Make an environment with a runtime; returns its interpreter."""
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    numbers = tuple(int(part) for part in version.split(".")[:2])
    numpy = "numpy" if numbers >= NUMPY_2[runtime] else "numpy<2"
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, numpy, *LIGHT], check=True)
    subprocess.run([*pip, "--no-deps", f"{runtime}=={version}"], check=True)
    return folder / "bin" / "python"


def judge(python: Path, file: Expected, out: Path) -> Row:
    """Run a file in an environment, and compare."""
    command = [str(python), str(RUNNER), file.path.name, str(file.inputs), str(out)]
    place = file.path.parent  # so that messages hold the name alone
    out.unlink(missing_ok=True)
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return {"result": "crashed", "says": f"not done in {SECONDS} s"}
    if done.returncode == 0:
        return compare(np.load(out), file.logits)
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    refused = done.returncode == 1 and any(line.startswith("Traceback") for line in lines)
    said = next((SOURCE.sub("", line) for line in reversed(lines) if ":" in line), f"exit {done.returncode}")
    return {"result": "refused" if refused else "crashed", "says": said[:300]}


def compare(logits: NDArray[np.float32], expected: NDArray[np.float32]) -> Row:
    """Right or wrong, and by how much of the expected logits' rms."""
    error = float(np.abs(logits.astype(np.float64) - expected).max()) / rms_of(expected)
    agreeing = int((logits.argmax(1) == expected.argmax(1)).sum())
    right = agreeing == len(expected) and error <= LIMIT  # False for NaN
    return {
        "result": "right" if right else "wrong",
        "error": f"{error:.1e}",
        "agreeing": f"{agreeing} of {len(expected)}",
    }


def try_version(runtime: str, version: str, files: Sequence[Expected], *, python: str) -> Iterator[Row]:
    """A row for each file that the runtime is for."""
    with tempfile.TemporaryDirectory() as folder:
        interpreter = install(python, runtime, version, Path(folder) / "environment")
        asked = [interpreter, "-c", "import platform, numpy; print(platform.python_version(), numpy.__version__)"]
        versions = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
        for file in files:
            if file.path.suffix == ENDINGS[runtime]:
                yield {
                    "runtime": runtime,
                    "version": version,
                    "file": file.path.name,
                    **judge(interpreter, file, Path(folder) / "logits.npy"),
                    "python": versions[0],
                    "numpy": versions[1],
                    "machine": platform.machine(),
                    "date": f"{datetime.now(tz=UTC).date()}",
                }


COLUMNS = ["runtime", "version", "file", "result", "error", "agreeing", "says", "python", "numpy", "machine", "date"]


def write(rows: Iterable[Row], out: Path, *, append: bool) -> None:
    """Print the table's rows and write each when it is there, anew or after those of another run."""
    with out.open("a" if append else "w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, COLUMNS, restval="", lineterminator="\n")
        if not append:
            writer.writeheader()
        for row in rows:
            print(*(row[key] for key in COLUMNS[:7] if row.get(key)), sep="  ", flush=True)
            writer.writerow(row)
            target.flush()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="of .onnx and .tflite files, made by edgefake export")
    for runtime, option in (("onnxruntime", "onnxruntime"), ("ai-edge-litert", "litert"), ("tflite-runtime",) * 2):
        parser.add_argument(f"--{option}", dest=runtime, nargs="*", default=None, help="versions; none to leave it out")
    parser.add_argument("--python", default="python3.11", help="interpreter of the environments")
    parser.add_argument("--append", action="store_true", help="keep the rows that --out has")
    parser.add_argument("--out", type=Path, default=DEFAULT)
    return parser.parse_args()


def main() -> None:
    """Try every version on every file."""
    args = arguments()
    asked = {runtime: getattr(args, runtime) for runtime in VERSIONS}
    everything = all(versions is None for versions in asked.values())
    files = sorted(path for path in args.folder.iterdir() if path.suffix in ENDINGS.values())
    with tempfile.TemporaryDirectory() as folder:
        expected = list(expect(files, Path(folder)))
        rows = (
            row
            for runtime, known in VERSIONS.items()
            for version in (known if everything else asked[runtime]) or ()
            for row in try_version(runtime, version, expected, python=args.python)
        )
        write(rows, args.out, append=args.append)


if __name__ == "__main__":
    main()
