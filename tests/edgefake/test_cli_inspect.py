"""`edgefake inspect` as a user meets it: a report that fits the screen, JSON, one line an error."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from edgefake_runtime import Classifier
from edgefake_runtime.shipped import DEFAULT_MODEL, default_model, models_folder

from ..edgefake_export.small_tflite import Layer, linear_file
from ..edgefake_runtime.test_metadata import METADATA

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = models_folder() / "mtcnn" / "rnet.onnx"


def edgefake(*arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgefake", "inspect", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120)


def numbers(line: str) -> list[int]:
    """The counts in a row of the table of bytes, in its order; a dash is 0."""
    return [0 if cell == "-" else int(cell.replace(",", "")) for cell in re.findall(r"(?<= )[\d,]+(?= |$)|-", line)]


def section(text: str, title: str) -> list[str]:
    """The lines of a part of the report, without its title."""
    blocks = [block.splitlines() for block in text.split("\n\n")]
    return next(lines[1:] for lines in blocks if lines[0].startswith(title))


def test_the_shipped_model() -> None:
    done = edgefake(default_model())
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 100
    head = done.stdout.split("\n\n")[0]
    data = default_model().read_bytes()
    for text in (f"{len(data):,}", hashlib.sha256(data).hexdigest(), "opset 23", "onnxruntime 1.24 or newer"):
        assert text in head
    assert "image: float32 (batch, 3, 112, 112)" in head
    assert "runs here       yes: onnxruntime" in head
    metadata = "\n".join(section(done.stdout, "Metadata"))
    band = Classifier().metadata.uncertain
    for text in (
        DEFAULT_MODEL,
        "2 bits, recipe qat",
        "112 x 112 RGB",
        "real, fake",
        "Platt scaling",
        f"from {band.low:.4g} to {band.high:.4g}",
        "of fakes at 5% false",
        "identity groups",
    ):
        assert text in metadata
    nodes = onnx.load(default_model()).graph.node
    operators = section(done.stdout, f"Operators: {len(nodes)} in the file, ")
    assert any(re.search(r"QuantizeLinear +32 +32", line) for line in operators)  # the ternary layers


@pytest.mark.parametrize("file", [default_model(), FOREIGN])
def test_the_columns_of_the_table_add_up_to_the_file(file: Path) -> None:
    _, *rows = section(edgefake(file).stdout, "Bytes by part")
    *parts, whole = [numbers(re.sub(r"[\d.]+%$", "", line.strip())) for line in rows[:-1]]
    assert [sum(column) for column in zip(*parts, strict=True)] == whole
    assert whole[-1] == file.stat().st_size
    assert all(sum(row[:-1]) == row[-1] for row in parts[:-2])


def test_a_foreign_file_has_no_metadata() -> None:
    done = edgefake(FOREIGN)
    assert done.returncode == 0
    assert section(done.stdout, "Metadata")[0].strip().startswith("none")
    assert "IR version 8" in done.stdout


def test_a_tflite_file(tmp_path: Path) -> None:
    layers = [Layer("blocks.0.levels2", 16, 6, 2), Layer("blocks.1.levels2", 6, 16, 2), Layer("head.w", 16, 2, 32)]
    (tmp_path / "m.tflite").write_bytes(linear_file(*layers, metadata={"edgefake": METADATA.to_json()}))
    done = edgefake("m.tflite", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("m.tflite\n  format          TFLite: schema 3")
    assert "ai-edge-litert 2.1.2 or newer (INT2)" in done.stdout
    operators = section(done.stdout, "Operators: 3 in the file; 2 partitions of XNNPACK, 1 operator outside")
    assert [line.split() for line in operators] == [["file", "outside"], ["FULLY_CONNECTED", "3", "1"]]
    (tmp_path / "m.tflite").write_bytes(linear_file(layers[0]))
    assert "Operators: 1 in the file, all in 1 partition of XNNPACK" in edgefake("m.tflite", folder=tmp_path).stdout


def test_json_has_the_same_and_more(tmp_path: Path) -> None:
    done = edgefake(default_model(), "--json", "-")
    report = json.loads(done.stdout)
    assert report["metadata"]["name"] == DEFAULT_MODEL
    assert report["bytes"] == default_model().stat().st_size
    parts = {part["name"]: part for part in report["parts"]}
    assert parts["encoder"]["widths"]["2"]["weights"] == 4 * parts["encoder"]["widths"]["2"]["bytes"]
    everything = sum(part["bytes"] for part in report["parts"]) + report["metadata_bytes"] + report["graph_bytes"]
    assert everything == report["bytes"]
    fused = "com.microsoft.MatMulIntegerToFloat"
    assert report["plan"]["operators"][fused] == report["operators"]["MatMulInteger"] == 32
    assert report["needs"]["version"] == "1.24"
    assert (
        f"Operators: {sum(report['operators'].values())}"
        in edgefake(default_model(), "--json", tmp_path / "report.json").stdout
    )
    assert json.loads((tmp_path / "report.json").read_text()) == report


def bad_files(folder: Path) -> dict[str, str]:
    whole = default_model().read_bytes()
    (folder / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (folder / "cut.tflite").write_bytes(linear_file(Layer("0.w", 64, 64, 32))[:9000])
    (folder / "text.onnx").write_text("not a model\n")
    (folder / "empty.tflite").touch()
    (folder / "picture.png").write_bytes((ROOT / "docs" / "samples" / "astronaut.png").read_bytes())
    (folder / "metadata.onnx").write_bytes(whole.replace(b'"threshold": ', b'"thershold": '))
    return {
        "cut.onnx": "expected an ONNX or TFLite file",
        "cut.tflite": "damaged",
        "text.onnx": "expected an ONNX or TFLite file",
        "empty.tflite": "an empty one",
        "picture.png": "expected an ONNX or TFLite file",
        "metadata.onnx": "metadata are damaged",
        "missing.onnx": "no such file",
        ".": "a folder",
    }


def test_bad_input_is_a_line(tmp_path: Path) -> None:
    for name, message in bad_files(tmp_path).items():
        done = edgefake(name, folder=tmp_path)
        assert (done.returncode, done.stdout) == (3, ""), name
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"edgefake: {name}: "), line
        assert message in line


def test_no_torch_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(linear_file(Layer("0.w", 4, 4, 32)))
    for file in (default_model(), tmp_path / "m.tflite"):
        code = f"""
import sys
sys.argv = ["edgefake", "inspect", {str(file)!r}]
from edgefake.__main__ import main
try:
    main()
except SystemExit as stop:
    print("CODE", stop.code)
print("TORCH", "torch" in sys.modules)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
        assert done.stdout.splitlines()[-2:] == ["CODE 0", "TORCH False"]
