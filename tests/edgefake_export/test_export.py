"""A checkpoint becomes a file that was run and compared, or no file."""

import copy
import json
import math
import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from edgefake.checkpoint import Checkpoint
from edgefake.data.manifest import read_manifest
from edgefake.models import build
from edgefake.quantized import Activations
from edgefake_export import (
    Export,
    ExportReport,
    export_checkpoint,
    export_file,
    prepare_export,
    resolve,
    sample_crops,
    sensitivity,
    verify,
)
from edgefake_export import file as export_module
from edgefake_export.reference import Reference, rms_of
from edgefake_export.verify import Drop, check
from edgefake_runtime.crops import resize
from edgefake_runtime.errors import CheckFailedError, InputError, ModelFileError, UsageError
from edgefake_runtime.metadata import METADATA_KEY, Calibration, Crop, ModelMetadata, Uncertain


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


def export(name: str, out: Path, *, bits: int, crops: NDArray[np.uint8] | None = None, **choices: Any) -> ExportReport:
    """A checkpoint of random weights as a file."""
    loaded = checkpoint(name)
    recipe = resolve(loaded.network, format=out.suffix[1:], bits=bits, **choices)
    prepared = prepare_export(loaded, recipe, metadata=metadata(name, bits))
    shown = sample_crops(prepared.metadata.input_size) if crops is None else crops
    return export_file(prepared, out, crops=shown)


@pytest.mark.parametrize(
    ("name", "bits"), [("bitvit-nano", 2), ("bitvit-nano", 32), ("linvit-nano", 32), ("cnn-nano", 32)]
)
def test_report_says_what_is_in_the_file(name: str, bits: int, tmp_path: Path) -> None:
    out = tmp_path / "model.onnx"
    report = export(name, out, bits=bits)
    packed = [w for w in onnx.load(out).graph.initializer if w.name.endswith(".levels2")]
    assert (report.path, report.bytes, report.bits, report.format) == (out, out.stat().st_size, bits, "ONNX")
    weights = 2 * (32 * 96 + 32 * 32 + 2 * 32 * 64)
    if bits == 2:
        assert report.parts["encoder"][2] == (weights, weights // 4) == (weights, sum(len(w.raw_data) for w in packed))
        assert report.parts["patch embedding"][4] == (960 * 32, 960 * 16)
        assert report.parts["head"][8] == (32 * 16 + 16 * 2,) * 2
        assert report.rounding > 1e-3
    else:
        assert packed == []
        assert report.rounding == 0
    assert report.samples == len(sample_crops(32)) == report.agreeing
    assert report.relative == pytest.approx(report.max_error / report.rms)
    assert report.mean_error <= report.max_error
    assert report.relative <= report.tolerance
    assert report.disagreeing == 0
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    assert json.loads(json.dumps(report.as_json()))["bytes"] == report.bytes


def test_metadata_come_back(tmp_path: Path) -> None:
    export("bitvit-nano", tmp_path / "m.onnx", bits=2)
    entries = {p.key: p.value for p in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert set(entries) == {METADATA_KEY}
    assert ModelMetadata.from_json(entries[METADATA_KEY]) == metadata("bitvit-nano", 2)


def test_input_and_output_have_a_free_batch(tmp_path: Path) -> None:
    export("linvit-nano", tmp_path / "m.onnx", bits=32)
    graph = onnx.load(tmp_path / "m.onnx").graph
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {"image": ["batch", 3, 32, 32], "logits": ["batch", 2]}


written = export_module._written


def _damaged(prepared: Export, converter: None) -> bytes:
    """A finished model whose last layer has another first row than torch's."""
    model = onnx.load_from_string(written(prepared, converter))
    last = next(w for w in model.graph.initializer if w.name == "head.3.bias")
    values = onnx.numpy_helper.to_array(last).copy()
    values[0] += 0.1
    last.CopyFrom(onnx.numpy_helper.from_array(values, last.name))
    return model.SerializeToString()


@pytest.mark.parametrize("before", [None, b"the old model"])
def test_a_wrong_file_is_not_kept(before: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "model.onnx"
    if before:
        out.write_bytes(before)
    monkeypatch.setattr(export_module, "_written", _damaged)
    with pytest.raises(CheckFailedError, match="expected logits within") as caught:
        export("bitvit-nano", out, bits=2)
    assert caught.value.exit_code == 5
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([before] if before else [])


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_export_leaves_nothing(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        assert len(list(tmp_path.iterdir())) == 1  # the file is there, unfinished
        raise error

    monkeypatch.setattr(export_module, "verify", stop)
    with pytest.raises(error):
        export("bitvit-nano", tmp_path / "model.onnx", bits=2)
    assert list(tmp_path.iterdir()) == []


def test_two_exports_into_one_folder_do_not_share_a_file(tmp_path: Path) -> None:
    with export_module._replacing(tmp_path / "a.onnx") as one, export_module._replacing(tmp_path / "b.onnx") as other:
        one.write_bytes(b"a")
        other.write_bytes(b"b")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.onnx": b"a", "b.onnx": b"b"}


def test_places_that_no_file_can_have_are_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "loop.onnx").symlink_to("loop.onnx")
    for name in ("loop.onnx", "missing/m.onnx", "a\0b.onnx", "."):
        with pytest.raises(InputError, match="expected a place to write to, got"):
            export_module.require_place(tmp_path / name)
    export_module.require_place(tmp_path / "m.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["loop.onnx"]


def test_a_network_whose_logits_are_not_finite_is_named(tmp_path: Path) -> None:
    loaded = checkpoint("linvit-nano")
    with torch.no_grad():
        for weight in loaded.network.parameters():
            weight.mul_(1e30)
    prepared = prepare_export(loaded, resolve(loaded.network, bits=32), metadata=metadata("linvit-nano", 32))
    with pytest.raises(ModelFileError, match="expected finite logits from the checkpoint"):
        export_file(prepared, tmp_path / "m.onnx", crops=sample_crops(32))
    assert list(tmp_path.iterdir()) == []


def _report(**changes: Any) -> ExportReport:
    sound: dict[str, Any] = {
        "path": Path("m.onnx"),
        "format": "ONNX",
        "bytes": 1,
        "bits": 2,
        "parts": {},
        "needs": "",
        "max_error": 0.009,
        "mean_error": 0.009,
        "rms": 1.0,
        "relative": 0.009,
        "tolerance": 1e-2,
        "mean_tolerance": 1e-2,
        "agreeing": 1,
        "certain": 1,
        "disagreeing": 0,
        "samples": 1,
        "rounding": 0.0,
        "seconds": 0.0,
    }
    return ExportReport(**(sound | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"relative": float("nan")},
        {"relative": 0.0101},
        {"relative": 0.03, "tolerance": 0.04, "mean_error": 0.0101},
        {"disagreeing": 1},
        {"drop": Drop(before=0.9, after=0.88, samples=10, limit=0.01)},
        {"drop": Drop(before=0.9, after=float("nan"), samples=10, limit=0.01)},
    ],
)
def test_check_refuses(changes: dict[str, Any]) -> None:
    with pytest.raises(CheckFailedError, match="no file is kept"):
        check(_report(**changes))


@pytest.mark.parametrize("limit", [None, 0.03])
def test_check_accepts(limit: float | None) -> None:
    check(_report(drop=Drop(before=0.9, after=0.88, samples=10, limit=limit)))


def test_the_limits_follow_torch_s_own_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    crops, about = sample_crops(32), metadata("bitvit-nano", 2)
    network = checkpoint("bitvit-nano").network
    ternary, again = Reference(network, crops, about), Reference(network, crops, about)
    own = ternary.own_distances / rms_of(ternary.expected)
    assert own.shape == (8, len(crops), 2)
    assert 0 < own.max() < 1e-2 / 2  # float32 rounding does flip a level
    assert np.array_equal(ternary.own_distances, again.own_distances)
    assert np.array_equal(ternary.expected, again.expected)  # nothing is left behind
    assert verify._limits(ternary, relative=0.009, mean=0.9e-3) == (1e-2, 1e-3)
    mean = max(1e-3, 1.5 * own.mean(axis=(1, 2)).max())
    assert verify._limits(ternary, relative=0.02, mean=2e-3) == pytest.approx((1e-2, mean))
    monkeypatch.setattr(sensitivity, "ULP", 2.0**-10)  # as if torch were less sure
    unsure = Reference(network, crops, about)
    own = unsure.own_distances / rms_of(unsure.expected)
    limits = verify._limits(unsure, relative=0.02, mean=2e-3)
    assert limits == pytest.approx((2 * own.max(), 1.5 * own.mean(axis=(1, 2)).max()))
    assert limits[0] > 2e-2
    assert verify._limits(unsure, relative=0.009, mean=2e-3)[0] == 1e-2
    ordinary = Reference(checkpoint("linvit-nano").network, crops, about)
    assert verify._limits(ordinary, relative=0.02, mean=2e-3) == (1e-3, 1e-3)


def test_a_file_without_a_rounding_is_refused_by_its_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its largest error is below 1e-2."""
    loaded = checkpoint("bitvit-nano")
    export = prepare_export(loaded, resolve(loaded.network), metadata=metadata("bitvit-nano", 2))
    wrong = copy.deepcopy(export.rounded)
    wrong.tokenize.linear.activations = Activations("none")
    written = export_module._written
    monkeypatch.setattr(export_module, "_written", lambda export, way: written(replace(export, rounded=wrong), way))
    with pytest.raises(CheckFailedError, match="of torch's rms on average"):
        export_file(export, tmp_path / "m.onnx", crops=sample_crops(32))
    assert list(tmp_path.iterdir()) == []


def test_verdicts_are_the_runtime_s() -> None:
    about = replace(metadata("bitvit-nano", 2), calibration=Calibration(1.0, 0.02, ""))
    margins = np.float32([[0, -3], [0, -0.03], [0, 0.03], [0, 3]])
    assert verify.verdicts_of(margins, about) == ["real", "uncertain", "uncertain", "fake"]
    narrow = replace(about, uncertain=Uncertain(0.499, 0.501, ""))
    assert verify.verdicts_of(margins, narrow) == ["real", "real", "fake", "fake"]


def test_a_verdict_counts_where_no_error_within_the_limit_changes_it() -> None:
    about = replace(metadata("bitvit-nano", 2), calibration=Calibration(1.0, 0.0, ""))
    edge = math.log(0.55 / 0.45)  # margin at which uncertain ends
    margins = np.float32([[0, edge + 0.03], [0, edge + 0.01], [0, edge - 0.01], [0, edge - 0.03]])
    assert verify._certain(margins, 0.01, about).tolist() == [True, False, False, True]


def test_metadata_of_other_bits_are_refused() -> None:
    loaded = checkpoint("bitvit-nano")
    with pytest.raises(UsageError, match="metadata for 2 bits, got 32"):
        prepare_export(loaded, resolve(loaded.network, bits=2), metadata=metadata("bitvit-nano", 32))


@pytest.mark.parametrize("crops", [np.zeros((0, 32, 32, 3), np.uint8), np.zeros((2, 16, 16, 3), np.uint8)])
def test_crops_of_another_size_are_refused(crops: NDArray[np.uint8], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected crops to compare on"):
        export("bitvit-nano", tmp_path / "m.onnx", bits=2, crops=crops)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_damaged_weights_are_refused(value: float) -> None:
    damaged = checkpoint("bitvit-nano")
    with torch.no_grad():
        damaged.network.get_parameter("tokenize.linear.bias")[0] = value
    with pytest.raises(ModelFileError, match=r"tokenize\.linear\.bias"):
        prepare_export(damaged, resolve(damaged.network), metadata=metadata("bitvit-nano", 2))


def test_an_ending_in_capitals_is_the_format_too(tmp_path: Path) -> None:
    loaded = checkpoint("linvit-nano")
    crop = {"margin": 0.1, "shift": 0.0, "square": True, "origin": "test"}
    about = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "crop": crop, "labels": ("real", "fake")}
    report = export_checkpoint(replace(loaded, metadata=about), tmp_path / "M.ONNX")
    assert (report.format, report.bytes) == ("ONNX", (tmp_path / "M.ONNX").stat().st_size)


@pytest.mark.parametrize("place", ["missing/model.onnx", ".onnx"])
def test_a_place_that_takes_no_file(place: str, tmp_path: Path) -> None:
    out = tmp_path / place if place != ".onnx" else tmp_path / "folder.onnx"
    if place == ".onnx":
        out.mkdir()
    with pytest.raises(InputError, match=re.escape(f"{out}: expected a place to write to")) as caught:
        export("bitvit-nano", out, bits=2)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root, to give its rights up")
def test_folder_without_rights_is_an_input_error(tmp_path: Path) -> None:
    out, loaded = tmp_path / "model.onnx", checkpoint("bitvit-nano")
    prepared = prepare_export(loaded, resolve(loaded.network), metadata=metadata("bitvit-nano", 2))
    crops = sample_crops(32)
    os.seteuid(65534)
    try:
        with pytest.raises(InputError) as caught:
            export_file(prepared, out, crops=crops)
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
    report = export("bitvit-tiny", tmp_path / "m.onnx", bits=2, crops=crops)
    assert report.samples == 64
    assert report.bytes < 1.5e6
    assert report.max_error <= 1e-2 * report.rms


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["onnx", "tflite"])
def test_vit_small_in_6_6_megabytes(ending: str, tmp_path: Path) -> None:
    start = time.monotonic()
    report = export("bitvit-s16", tmp_path / f"m.{ending}", bits=2)
    assert time.monotonic() - start < 180
    assert report.bytes <= 6.6e6
    weights, size = report.parts["encoder"][2]
    assert size * 4 == weights >= 12 * (384 * 1152 + 384 * 384 + 2 * 384 * 1536)
    assert report.parts["patch embedding"][4][1] >= 3840 * 384 / 2
    assert report.relative <= report.tolerance < 0.05


@pytest.mark.slow
def test_a_ternary_patch_embedding_takes_six_megabytes(tmp_path: Path) -> None:
    assert export("bitvit-s16-patches", tmp_path / "m.onnx", bits=2).bytes <= 6.1e6
