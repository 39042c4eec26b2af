"""Float ONNX graphs -> float TFLite files by onnx2tf, in a Python of its own.

onnx2tf wants one version of each of its packages, TensorFlow's and older ones than ours among them.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx
from torch import Tensor, nn

from edgefake_runtime.errors import EdgefakeError, InputError, MissingExtraError, UsageError
from edgefake_runtime.model_file import is_tflite

from .onnx_convert import trace

__all__ = [
    "LEAST_OPSET",
    "MOST_OPSET",
    "PYTHON_VARIABLE",
    "REQUIREMENT",
    "MissingOnnx2tfError",
    "convert_module",
    "convert_onnx2tf",
]

PYTHON_VARIABLE = "EDGEFAKE_ONNX2TF_PYTHON"
"""The environment variable that names a Python with onnx2tf and TensorFlow."""

REQUIREMENT = "onnx2tf==1.29.24" if sys.version_info < (3, 12) else "onnx2tf[tensorflow]==2.6.9"
"""What to install for this version of Python: 1.x has packages for 3.11 and no newer one, 2.x wants 3.12."""

LEAST_OPSET, MOST_OPSET = 18, 23
"""Of the graphs that were tried."""

TIMEOUT_S = 3600.0
"""bitvit-s16, 12 layers, takes four minutes on two cores, and eleven on busy ones."""

PROBE_TIMEOUT_S = 120.0

PROBE = """
import importlib.metadata, importlib.util, shutil
missing = [name for name in ("onnx2tf", "tensorflow") if importlib.util.find_spec(name) is None]
if shutil.which("onnxsim") is None:
    missing.append("onnxsim")
print(" and ".join(missing) if missing else "version " + importlib.metadata.version("onnx2tf"))
"""
"""Run where onnx2tf should be. Without the command `onnxsim` it would go on with a graph that it cannot convert."""

MODEL = "model.onnx"
CONVERTED = Path("converted", "model_float32.tflite")

LONGEST_REASON = 300


class MissingOnnx2tfError(MissingExtraError):
    """No Python has onnx2tf and TensorFlow.

    Args:
        got: which one was tried and what is wrong with it.
    """

    def __init__(self, got: str) -> None:
        home = "~/edgefake-onnx2tf"
        made = f"python{sys.version_info.major}.{sys.version_info.minor} -m venv {home}"
        EdgefakeError.__init__(
            self,
            f"expected a Python with onnx2tf and tensorflow, got {got}; make one: {made} && "
            f"{home}/bin/pip install '{REQUIREMENT}' && export {PYTHON_VARIABLE}={home}/bin/python",
        )


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for a conversion's files, deleted whatever happens."""
    try:
        with tempfile.TemporaryDirectory(prefix="edgefake-onnx2tf-") as name:
            yield Path(name)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{tempfile.gettempdir()}: expected a place to convert in, got: {reason}") from error


def _environment(python: Path, folder: Path) -> dict[str, str]:
    """Variables of the converter: its own packages and commands first, its files in a folder, no GPU."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    path = os.pathsep.join([str(python.parent), kept.get("PATH", os.defpath)])
    return kept | {
        "PATH": path,
        "TMPDIR": str(folder),
        "KERAS_HOME": str(folder),
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _run(python: Path, *arguments: str, folder: Path, timeout_s: float) -> tuple[int, str]:
    """Run Python in the folder; its exit status and all that it wrote.

    Raises:
        subprocess.TimeoutExpired: it took too long; it is ended, as after any other interruption.
        OSError: it cannot be run.
    """
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, *arguments],
            cwd=folder,
            env=_environment(python, folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(timeout_s)
        except BaseException:
            _kill(process)
            raise
    return status, log.read_text(encoding="utf-8", errors="replace")


def _reason(status: int, output: str) -> str:
    """Why a command failed, in a line: the last error in what it wrote, or else the last line."""
    if status < 0:
        return f"an end by signal {-status}"
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    found = (errors or [line for line in lines if line] or [f"exit status {status}"])[-1]
    return found[:LONGEST_REASON]


def _probe(python: Path) -> str:
    """What a Python answers to `PROBE`.

    Raises:
        MissingOnnx2tfError: it does not run, or does not answer.
    """
    with _scratch() as folder:
        try:
            status, output = _run(python, "-c", PROBE, folder=folder, timeout_s=PROBE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise MissingOnnx2tfError(f"{python}, which does not answer") from None
        except OSError as error:
            raise MissingOnnx2tfError(f"{python}, which does not run: {error.strerror}") from error
    if status != 0:
        raise MissingOnnx2tfError(f"{python}, which does not run: {_reason(status, output)}")
    return ([*output.strip().splitlines()] or ["an answer"])[-1]


def _find(python: Path | None) -> tuple[Path, str]:
    """The Python to convert with and the version of its onnx2tf, such as "1.29.24".

    A link stays one, for it tells which environment is meant.

    Raises:
        MissingOnnx2tfError: there is none, or it lacks onnx2tf or TensorFlow.
    """
    name = str(python) if python is not None else os.environ.get(PYTHON_VARIABLE) or sys.executable
    found = shutil.which(Path(name).expanduser() if name.startswith("~") else name)
    if found is None:
        raise MissingOnnx2tfError(f"{name}, which is no program")
    absolute = Path(found).absolute()
    answer = _probe(absolute)
    if not answer.startswith("version "):
        raise MissingOnnx2tfError(f"{absolute}, which lacks {answer}")
    return absolute, answer.removeprefix("version ")


def _require_convertible(model: onnx.ModelProto) -> None:
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"expected a sound ONNX graph, got: {reason}") from error
    opsets = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not all(LEAST_OPSET <= opset <= MOST_OPSET for opset in opsets):
        raise UsageError(
            f"expected an ONNX graph of opset {LEAST_OPSET} to {MOST_OPSET}, got {max(opsets)}; "
            f"export it with torch.onnx.export(..., dynamo=True, opset_version={MOST_OPSET})"
        )


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    weights = {initializer.name for initializer in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _with_one_image(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose batch, the first axis of inputs and outputs, is 1."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in _inputs(fixed):
        sizes = [axis.dim_value for axis in value.type.tensor_type.shape.dim]  # 0 for a free one
        if not sizes or sizes[0] > 1 or 0 in sizes[1:]:
            raise UsageError(f"{value.name}: expected a batch that is free or 1, other sizes fixed, got {sizes}")
    for value in (*fixed.graph.input, *fixed.graph.output):
        for axis in value.type.tensor_type.shape.dim[:1]:
            axis.dim_value = axis.dim_value or 1
    del fixed.graph.value_info[:]  # they speak of the free batch
    return fixed


def _arguments(model: onnx.ModelProto, version: str) -> list[str]:
    """Of onnx2tf, run beside the model's file."""
    names = [value.name for value in _inputs(model)]
    arguments = ["-i", MODEL, "-o", str(CONVERTED.parent), "--non_verbose", "--verbosity", "error"]
    arguments += ["--keep_shape_absolutely_input_names", *names]  # channels stay before rows and columns
    arguments += ["--replace_to_pseudo_operators", "erf"]  # GELU before opset 20: TFLite has no Erf
    if int(version.split(".")[0]) >= 2:  # its own writer leaves BATCH_MATMUL in the place of FULLY_CONNECTED
        arguments += ["--tflite_backend", "tf_converter"]
    return arguments


def _convert(model: onnx.ModelProto, python: Path, version: str, *, folder: Path, timeout_s: float) -> bytes:
    (folder / MODEL).write_bytes(model.SerializeToString(deterministic=True))
    arguments = _arguments(model, version)
    try:
        status, output = _run(python, "-m", "onnx2tf", *arguments, folder=folder, timeout_s=timeout_s)
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"expected onnx2tf {version} to convert the graph within {timeout_s:.0f} s, got no file; "
            "use the default converter"
        ) from None
    converted = folder / CONVERTED
    if status != 0 or not converted.is_file():
        reason = _reason(status, output)
        raise UsageError(
            f"expected a graph that onnx2tf {version} can convert, got: {reason}; use the default converter"
        )
    return converted.read_bytes()


def convert_onnx2tf(model: onnx.ModelProto, *, python: Path | None = None, timeout_s: float = TIMEOUT_S) -> bytes:
    """Convert a float graph with onnx2tf; no file is left but what is returned.

    Linear layers become FULLY_CONNECTED, their weights (out, in) bit for bit those of the graph. One that multiplies
    (in, out) is transposed. Inputs keep their order of axes.

    Args:
        model: a float32 graph of opset 18 to 23, with a batch that is free or 1; left as it is.
        python: one that has onnx2tf and tensorflow; when None the one that EDGEFAKE_ONNX2TF_PYTHON names, else the
            running one.
        timeout_s: seconds after which a conversion is given up.

    Returns:
        A float TFLite file for a batch of 1, with a signature `serving_default` of the graph's names.

    Raises:
        MissingOnnx2tfError: that Python lacks them; the message says how to make one.
        UsageError: an unsound graph, one that onnx2tf cannot convert, or no end in time.
        InputError: no temporary folder can be written.
    """
    _require_convertible(model)
    fixed = _with_one_image(model)
    found, version = _find(python)
    with _scratch() as folder:
        data = _convert(fixed, found, version, folder=folder, timeout_s=timeout_s)
    if not is_tflite(data):
        raise UsageError("expected a TFLite file of onnx2tf, got other bytes; use the default converter")
    return data


def convert_module(module: nn.Module, example: Tensor, *, python: Path | None = None) -> bytes:
    """Convert a float network with onnx2tf, by way of ONNX.

    Args:
        module: on the CPU, in evaluation mode, float32, with one input and one output.
        example: an input, (1, ...); its shape becomes the file's.
        python: as in `convert_onnx2tf`.

    Returns:
        A float TFLite file.

    Raises:
        MissingOnnx2tfError: no Python has onnx2tf; it is found out before the network is traced.
        UsageError: an operator that torch.onnx.export or onnx2tf cannot translate.
    """
    _find(python)
    return convert_onnx2tf(trace(module, example, MOST_OPSET), python=python)
