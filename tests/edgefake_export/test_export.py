"""A checkpoint becomes a file that was run and compared, or no file."""

import copy
import os
import re
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from edgefake.checkpoint import Checkpoint
from edgefake.data.manifest import read_manifest
from edgefake.models import build
from edgefake_export import convert, export_onnx, sample_crops, to_onnx, verify
from edgefake_export.verify import ExportReport, check
from edgefake_runtime.crops import resize
from edgefake_runtime.errors import CheckFailedError, InputError, ModelFileError, UsageError
from edgefake_runtime.metadata import METADATA_KEY, Calibration, Crop, ModelMetadata, Uncertain
from edgefake_runtime.session import open_session


def checkpoint(name: str, seed: int = 0) -> Checkpoint:
    torch.manual_seed(seed)
    return Checkpoint(network=build(name).eval(), model=name)


def metadata(name: str, bits: int) -> ModelMetadata:
    return ModelMetadata(
        name=name,
        architecture=name,
        bits=bits,
        recipe="qat",
        input_size=build(name).config.image_size if "s16" not in name else 224,
        color="RGB",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        crop=Crop(margin=0.1, shift=0.0, square=True, origin="test"),
        labels=("real", "fake"),
        calibration=Calibration(scale=0.8, shift=0.1, origin="test"),
        threshold=0.5,
        uncertain=Uncertain(low=0.45, high=0.55, origin="test"),
        edgefake="0",
        training={"epochs": 0},
    )


@pytest.mark.parametrize(
    ("name", "bits"), [("bitvit-nano", 2), ("bitvit-nano", 32), ("linvit-nano", 32), ("cnn-nano", 32)]
)
def test_report_says_what_is_in_the_file(name: str, bits: int, tmp_path: Path) -> None:
    out, about = tmp_path / "model.onnx", metadata(name, bits)
    report = export_onnx(checkpoint(name), out, bits=bits, metadata=about, crops=sample_crops(32))
    model = onnx.load(out)
    packed = [w for w in model.graph.initializer if w.data_type == onnx.TensorProto.INT2]
    assert (report.path, report.bytes, report.bits) == (out, out.stat().st_size, bits)
    assert report.ternary_weights == (2 * (32 * 96 + 32 * 32 + 2 * 32 * 64) if bits == 2 else 0)
    assert report.ternary_bytes == sum(len(w.raw_data) for w in packed) == report.ternary_weights // 4
    assert report.samples == len(sample_crops(32))
    assert report.relative == pytest.approx(report.max_error / report.rms)
    assert report.mean_error <= report.max_error
    assert report.relative <= report.tolerance
    assert report.same_verdicts
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_metadata_come_back(tmp_path: Path) -> None:
    about = metadata("bitvit-nano", 2)
    export_onnx(checkpoint("bitvit-nano"), tmp_path / "m.onnx", bits=2, metadata=about, crops=sample_crops(32))
    entries = {p.key: p.value for p in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert set(entries) == {METADATA_KEY}
    assert ModelMetadata.from_json(entries[METADATA_KEY]) == about


def test_input_and_output_have_a_free_batch(tmp_path: Path) -> None:
    about = metadata("linvit-nano", 32)
    export_onnx(checkpoint("linvit-nano"), tmp_path / "m.onnx", bits=32, metadata=about, crops=sample_crops(32))
    graph = onnx.load(tmp_path / "m.onnx").graph
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {"image": ["batch", 3, 32, 32], "logits": ["batch", 2]}


def _damage(model: onnx.ModelProto, about: ModelMetadata | None) -> onnx.ModelProto:
    """A finished model whose last layer has another first row than torch's."""
    model = finish(model, about)
    last = [w for w in model.graph.initializer if w.name.startswith("head.")][-1]
    values = onnx.numpy_helper.to_array(last).copy()
    values[0] += 0.1
    last.CopyFrom(onnx.numpy_helper.from_array(values, last.name))
    return model


finish = convert.finish


@pytest.mark.parametrize("before", [None, b"the old model"])
def test_a_wrong_file_is_not_kept(before: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "model.onnx"
    if before:
        out.write_bytes(before)
    monkeypatch.setattr(convert, "finish", _damage)
    with pytest.raises(CheckFailedError, match="expected logits within") as caught:
        export_onnx(checkpoint("bitvit-nano"), out, bits=2, metadata=metadata("bitvit-nano", 2), crops=sample_crops(32))
    assert caught.value.exit_code == 5
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([before] if before else [])


def _report(relative: float, same_verdicts: bool) -> ExportReport:
    return ExportReport(
        path=Path("m.onnx"),
        bytes=1,
        bits=2,
        ternary_weights=4,
        ternary_bytes=1,
        max_error=relative,
        mean_error=relative,
        rms=1.0,
        relative=relative,
        tolerance=1e-2,
        same_verdicts=same_verdicts,
        samples=1,
        seconds=0.0,
    )


@pytest.mark.parametrize(("relative", "same"), [(float("nan"), True), (0.0101, True), (0.0, False)])
def test_check_refuses(relative: float, same: bool) -> None:
    with pytest.raises(CheckFailedError):
        check(_report(relative, same))


def test_check_accepts() -> None:
    check(_report(0.0099, True))


def test_the_limit_follows_torch_s_own_distance_from_float64() -> None:
    crops, about = sample_crops(32), metadata("bitvit-nano", 2)
    ternary, ordinary = checkpoint("bitvit-nano").network, checkpoint("linvit-nano").network
    expected = verify.run_torch(ternary, crops, about)
    exact = verify.run_torch(copy.deepcopy(ternary).double(), crops, about)
    assert 0 < verify._relative(expected, exact) < 1e-2  # float64 does compute something else
    assert verify._tolerance(ternary, expected, crops, about, relative=0.009) == 1e-2
    assert verify._tolerance(ternary, expected, crops, about, relative=0.02) == 1e-2
    moved = expected + np.float32(0.1) * verify.rms_of(expected)  # as if torch were a tenth of the rms off
    limit = verify._tolerance(ternary, moved, crops, about, relative=0.02)
    assert limit == pytest.approx(2 * 0.1 * verify.rms_of(expected) / verify.rms_of(moved), rel=0.1)
    assert verify._tolerance(ordinary, expected, crops, about, relative=0.02) == 1e-3


def test_verdicts_are_the_runtime_s() -> None:
    about = replace(metadata("bitvit-nano", 2), calibration=Calibration(1.0, 0.02, ""))
    margins = np.float32([[0, -3], [0, -0.03], [0, 0.03], [0, 3]])
    assert verify.verdicts_of(margins, about) == ["real", "uncertain", "uncertain", "fake"]
    narrow = replace(about, uncertain=Uncertain(0.499, 0.501, ""))
    assert verify.verdicts_of(margins, narrow) == ["real", "real", "fake", "fake"]


def test_metadata_of_other_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="metadata for 2 bits, got 32"):
        export_onnx(
            checkpoint("bitvit-nano"),
            tmp_path / "m.onnx",
            bits=2,
            metadata=metadata("bitvit-nano", 32),
            crops=sample_crops(32),
        )


@pytest.mark.parametrize("crops", [np.zeros((0, 32, 32, 3), np.uint8), np.zeros((2, 16, 16, 3), np.uint8)])
def test_crops_of_another_size_are_refused(crops: NDArray[np.uint8], tmp_path: Path) -> None:
    about = metadata("bitvit-nano", 2)
    with pytest.raises(UsageError, match="expected crops to compare on"):
        export_onnx(checkpoint("bitvit-nano"), tmp_path / "m.onnx", bits=2, metadata=about, crops=crops)
    assert list(tmp_path.iterdir()) == []


def test_damaged_weights_leave_no_file(tmp_path: Path) -> None:
    damaged = checkpoint("bitvit-nano")
    with torch.no_grad():
        damaged.network.get_parameter("tokenize.linear.bias")[0] = float("nan")
    with pytest.raises(ModelFileError, match=r"tokenize\.linear\.bias"):
        export_onnx(damaged, tmp_path / "m.onnx", bits=2, metadata=metadata("bitvit-nano", 2), crops=sample_crops(32))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["missing/model.onnx", "."])
def test_a_place_that_takes_no_file(place: str, tmp_path: Path) -> None:
    out = tmp_path / place
    with pytest.raises(InputError, match=re.escape(f"{out}: expected a place to write to")) as caught:
        export_onnx(checkpoint("bitvit-nano"), out, bits=2, metadata=metadata("bitvit-nano", 2), crops=sample_crops(32))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root, to give its rights up")
def test_folder_without_rights_is_an_input_error(tmp_path: Path) -> None:
    out, network, crops = tmp_path / "model.onnx", checkpoint("bitvit-nano"), sample_crops(32)
    about = metadata("bitvit-nano", 2)
    os.seteuid(65534)
    try:
        with pytest.raises(InputError) as caught:
            export_onnx(network, out, bits=2, metadata=about, crops=crops)
    finally:
        os.seteuid(0)
    assert str(caught.value) == f"{out}: expected a place to write to, got: Permission denied"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.data
@pytest.mark.skipif("EDGEFAKE_DATA" not in os.environ, reason="EDGEFAKE_DATA names no data folder")
def test_agrees_on_64_faces_of_dfdc(tmp_path: Path) -> None:
    rows = read_manifest(Path(os.environ["EDGEFAKE_DATA"]) / "dfdc" / "manifest.csv", split="val")
    chosen = rows[:: len(rows) // 64][:64]
    images = [cv2.cvtColor(cv2.imread(str(row.path)), cv2.COLOR_BGR2RGB) for row in chosen]
    crops = np.stack([resize(image, 112) for image in images])
    about = metadata("bitvit-tiny", 2)
    report = export_onnx(checkpoint("bitvit-tiny"), tmp_path / "m.onnx", bits=2, metadata=about, crops=crops)
    assert report.samples == 64
    assert report.bytes < 4.3e6
    assert report.max_error <= 1e-2 * report.rms


@pytest.mark.slow
def test_vit_small_in_12_megabytes(tmp_path: Path) -> None:
    about = metadata("bitvit-s16", 2)
    report = export_onnx(checkpoint("bitvit-s16"), tmp_path / "m.onnx", bits=2, metadata=about, crops=sample_crops(224))
    assert report.bytes <= 12.5e6
    assert report.ternary_weights == 12 * (384 * 1152 + 384 * 384 + 2 * 384 * 1536)
    assert report.ternary_bytes * 4 == report.ternary_weights
    assert report.relative <= report.tolerance < 0.05
    wide = to_onnx(checkpoint("bitvit-s16").network, example=torch.zeros(2, 3, 224, 224), bits=32)
    (tmp_path / "w.onnx").write_bytes(wide.SerializeToString())
    assert cpu_time_ratio(tmp_path / "m.onnx", tmp_path / "w.onnx") < 0.9  # 0.5 in docs/bench/export.csv


def cpu_time_ratio(ours: Path, theirs: Path) -> float:
    """Median CPU time of one crop, the first file's over the second's, interleaved, one thread."""
    sessions = [open_session(path.read_bytes(), 1) for path in (ours, theirs)]
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    seconds: list[list[float]] = [[], []]
    for _ in range(12):
        for session, times in zip(sessions, seconds, strict=True):
            start = time.process_time()
            session.run(None, {"image": image})
            times.append(time.process_time() - start)
    return float(np.median(seconds[0]) / np.median(seconds[1]))
