"""Rows of the table of exports against the files themselves; times of files that differ for sure."""

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from edgefake.models import build
from edgefake.table import markdown, write_table
from edgefake_export import file as export_module
from edgefake_export.cells import legal_recipes, resolve
from edgefake_export.file import Export, prepare_export
from edgefake_export.onnx_convert import write_onnx
from edgefake_export.table import ExportRow, open_subject, plan_table, time_files, untrained, write_files
from edgefake_export.table_plot import plot_export
from edgefake_runtime.crops import normalize
from edgefake_runtime.errors import InputError, UsageError


def faces(folder: Path, count: int = 20, *, label: str | None = None, train: int = 4) -> Path:
    """A manifest of pictures of the nano networks' size; every other one is fake."""
    folder.mkdir()
    random = np.random.default_rng(5)
    rows = ["file,label,split"]
    for index in range(count):
        cv2.imwrite(str(folder / f"{index}.png"), random.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        rows.append(
            f"{index}.png,{label or ('fake' if index % 2 else 'real')},{'val' if index < count - train else 'train'}"
        )
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder / "manifest.csv"


@pytest.mark.parametrize("model", ["bitvit-nano", "linvit-nano", "cnn-nano"])
def test_the_plan_is_every_legal_recipe_after_the_reference(model: str) -> None:
    network = build(model)
    plan = plan_table(network)
    ternary = model.startswith("bitvit")
    assert (plan[0].format, plan[0].bits, plan[0].style) == ("onnx", 32, "integer")
    assert len(plan) == len(set(plan)) == len(list(legal_recipes(ternary=ternary)))
    assert set(plan) == set(legal_recipes(ternary=ternary))


def test_the_plan_holds_the_reference_whatever_is_wanted() -> None:
    plan = plan_table(build("linvit-nano"), lambda recipe: recipe.format == "tflite" and recipe.bits == 4)
    assert plan[0] == resolve(build("linvit-nano"), format="onnx", bits=32)
    assert len(plan) > 2
    assert {(recipe.format, recipe.bits) for recipe in plan[1:]} == {("tflite", 4)}


def test_untrained_weights_are_the_same_each_time_and_leave_no_trace() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first = untrained("bitvit-nano").network.state_dict()
    assert torch.equal(torch.rand(1), expected)
    second = untrained("bitvit-nano")
    assert all(torch.equal(first[name], value) for name, value in second.network.state_dict().items())
    assert not second.network.training
    assert open_subject(second).name == "bitvit-nano (untrained)"


def by_hand(logits: np.ndarray, fakes: np.ndarray) -> float:
    """AUC by counting pairs."""
    margin = logits[:, 1].astype(np.float64) - logits[:, 0]
    pairs = [(a > b) + 0.5 * (a == b) for a in margin[fakes] for b in margin[~fakes]]
    return float(np.mean(pairs))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """LinViT at 32 and 2 bits on sixteen labelled crops: the subject, and its files in the order of the plan."""
    folder = tmp_path_factory.mktemp("table")
    checkpoint = untrained("linvit-nano")
    subject = open_subject(checkpoint, name="linvit", data=faces(folder / "faces"))

    def wanted(recipe):
        return (recipe.bits, recipe.method, recipe.per) == (2, "absmax", "channel") and recipe.style == "integer"

    plan = plan_table(checkpoint.network, wanted)
    (folder / "files").mkdir()
    found = {file.recipe: file for file in write_files(subject, plan, folder / "files")}
    return subject, [found[recipe] for recipe in plan]


@pytest.mark.parametrize(("model", "method"), [("cnn-nano", "absmax"), ("linvit-nano", "gptq")])
def test_files_that_share_weights_are_those_that_are_exported_alone(model, method, tmp_path) -> None:
    """Dynamic and static ones share an encoder that is rounded once, where no BatchNorm is merged for one of them."""
    checkpoint = untrained(model)
    subject = open_subject(checkpoint, calibration=faces(tmp_path / "faces", count=32, train=16))
    bits = {"absmax": 8, "gptq": 2}[method]
    recipes = [resolve(checkpoint.network, bits=bits, method=method, style=style) for style in ("integer", "qdq")]
    (tmp_path / "files").mkdir()
    together = {file.recipe: file for file in write_files(subject, recipes, tmp_path / "files")}
    for recipe in recipes:
        alone = prepare_export(checkpoint, recipe, metadata=subject.metadata(recipe), calibration=subject.calibration)
        out = tmp_path / f"{recipe.style}.onnx"
        out.write_bytes(
            write_onnx(
                alone.rounded, example=torch.zeros(2, 3, 32, 32), recipe=recipe, metadata=alone.metadata
            ).SerializeToString(deterministic=True)
        )
        assert together[recipe].path.read_bytes() == out.read_bytes()


def test_rows_are_what_the_files_are(written) -> None:
    _, files = written
    kinds = [(f.recipe.format, f.recipe.bits, f.recipe.older_runtimes) for f in files]
    assert kinds == [
        ("onnx", 32, False),
        ("onnx", 2, False),
        ("tflite", 2, False),
        ("onnx", 2, True),
        ("tflite", 2, True),
    ]
    for file in files:
        row, recipe = file.row, file.recipe
        assert (row.model, row.format, row.bits) == ("linvit", recipe.format, recipe.bits)
        assert row.older == ("yes" if recipe.older_runtimes else "no")
        assert row.bytes == file.path.stat().st_size
        assert row.error <= row.tolerance
        assert (row.check, row.verdicts, file.reason) == ("ok", "16/16", "")
        assert row.seconds > 0
    rows = [file.row for file in files]
    assert [row.needs for row in rows[1:3]] == ["onnxruntime 1.24", "ai-edge-litert 2.1.2"]
    assert rows[1].bytes < rows[3].bytes < rows[0].bytes
    assert rows[0].rounding == 0
    assert len({row.rounding for row in rows[1:]}) == 1  # the same weights in all four
    assert rows[1].rounding > 0.01


def test_aucs_are_those_of_the_file_and_of_torch(written) -> None:
    subject, files = written
    pixels, fakes = subject.faces.crops, subject.faces.fakes
    assert (pixels.shape, fakes.sum()) == ((16, 32, 32, 3), 8)
    metadata = subject.metadata(files[0].recipe)
    images = normalize(pixels, metadata.mean, metadata.std)
    with torch.no_grad():
        before = by_hand(subject.checkpoint.network(torch.from_numpy(images)).numpy(), fakes)
    assert subject.auc == pytest.approx(before)
    for file in (files[0], files[1]):
        logits = onnxruntime.InferenceSession(file.path.read_bytes()).run(None, {"image": images})[0]
        assert file.row.auc == pytest.approx(by_hand(logits, fakes))
        assert file.row.auc_change == pytest.approx(file.row.auc - before)


def test_times_are_of_every_file_and_of_widened_ones(written) -> None:
    _, files = written
    done: list[int] = []
    rows, seconds = time_files(files, rounds=2, on_done=done.append)
    assert seconds is not None
    assert seconds > 0
    assert [row.format for row in rows] == [file.recipe.format for file in files]
    assert rows[0].latency_ratio == 1
    assert all(row.latency_ratio > 0 for row in rows)
    assert [row.widened_ratio is not None for row in rows] == [False, False, True, False, False]
    assert sum(done) == 5  # four files and the widened one
    assert [replace(row, latency_ratio=None, widened_ratio=None) for row in rows] == [file.row for file in files]


def damage(export: Export, converter: None) -> bytes:
    """4-bit files have another bias, 8-bit ones an operator that nobody knows."""
    data = written_before(export, converter)
    model = onnx.load_from_string(data)
    if export.recipe.bits == 8:
        model.graph.node[0].op_type = "Unheard"
    if export.recipe.bits == 4:
        last = next(w for w in model.graph.initializer if w.name == "head.3.bias")
        last.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(last) + np.float32([0.1, 0]), last.name))
    return model.SerializeToString()


written_before = export_module._written


def test_a_file_that_fails_has_a_row_and_the_others_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = untrained("bitvit-nano")
    legal = plan_table(checkpoint.network, lambda r: r.format == "onnx" and r.style == "integer" and r.bits in (8, 4))
    plan = [recipe for recipe in legal if not recipe.older_runtimes]
    monkeypatch.setattr(export_module, "_written", damage)
    found = {file.recipe: file for file in write_files(open_subject(checkpoint), plan, tmp_path)}
    files = [found[recipe] for recipe in plan]
    rows, _ = time_files(files, rounds=1)
    assert [(row.bits, row.check) for row in rows] == [(32, "ok"), (8, "failed"), (4, "failed")]
    broken, wrong = rows[1:]
    assert (broken.bytes, broken.error, broken.latency_ratio, files[1].path) == (None, None, None, None)
    assert "Unheard" in files[1].reason
    assert wrong.error > wrong.tolerance
    assert wrong.bytes == files[2].path.stat().st_size
    assert wrong.latency_ratio > 0
    assert files[2].reason.startswith("onnx integer qat tensor 4 bits: ")
    assert "expected logits within" in files[2].reason
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(file.path.name for file in (files[0], files[2]))


def test_labels_of_one_class_are_refused(tmp_path: Path) -> None:
    manifest = faces(tmp_path / "faces", label="real")
    with pytest.raises(InputError, match="expected both classes"):
        open_subject(untrained("linvit-nano"), data=manifest)
    assert open_subject(untrained("linvit-nano"), data=manifest, scored=False).auc is None


def test_calibration_comes_from_the_split_train(tmp_path: Path) -> None:
    manifest = faces(tmp_path / "faces", count=32, train=16)
    subject = open_subject(untrained("linvit-nano"), calibration=manifest)
    picture = cv2.imread(str(tmp_path / "faces" / "16.png"))[None, ..., ::-1]
    metadata = subject.metadata(resolve(subject.checkpoint.network, bits=32))
    assert subject.calibration.shape == (16, 3, 32, 32)
    expected = normalize(np.ascontiguousarray(picture), metadata.mean, metadata.std)
    np.testing.assert_array_equal(subject.calibration[0].numpy(), expected[0])
    with pytest.raises(UsageError, match="expected 16 or more pictures to calibrate on, got 4"):
        open_subject(untrained("linvit-nano"), calibration=faces(tmp_path / "few"))


ROWS = [
    ExportRow("m", "onnx", "integer", "qat", "tensor", 32, 32, "no", "ok", 10**7, 2.34e-7, 1e-2, "16/16", 0.0),
    ExportRow("m", "onnx", "qdq", "qat", "tensor", 2, 4, "no", "ok", 10**6, 2e-3, 1e-2, "16/16", 0.0347),
    ExportRow("m", "tflite", "integer", "qat", "tensor", 2, 4, "no", "failed", 2 * 10**6, 0.2, 1e-2, "15/16", 0.0347),
    ExportRow("m", "tflite", "integer", "qat", "tensor", 4, 8, "no", "failed"),
    ExportRow("n", "onnx", "integer", "absmax", "channel", 4, 8, "no", "ok", 3 * 10**6, 1e-4, 1e-2, "16/16", 0.01),
]
TIMED = [
    replace(ROWS[0], latency_ratio=1.0, auc=0.75, auc_change=0.0),
    replace(ROWS[1], latency_ratio=0.5, auc=0.74, auc_change=-0.01),
    replace(ROWS[2], latency_ratio=0.4, widened_ratio=0.3),
    *ROWS[3:],
]


def test_small_and_large_numbers_are_legible(tmp_path: Path) -> None:
    lines = markdown(TIMED, []).splitlines()
    assert lines[2].startswith(
        "| m | onnx | integer | qat | tensor | 32 | 32 | no | ok | 10,000,000 | 2.3e-07 | 1.0e-02 |"
    )
    assert "| 16/16 | 3.5% | 0.7400 | -0.0100 | 0.50 | - |" in lines[3]
    assert "| failed | - | - | - | - | - | - | - | - | - | - | - |" in lines[5]
    write_table(tmp_path, TIMED, "", plot_export(TIMED, title="t"))
    with (tmp_path / "table.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["error"] == "2.34e-07"


def test_the_plot_has_a_dot_a_file_and_a_line_a_model() -> None:
    figure = plot_export(TIMED, title="t", torch_auc={"m": 0.76})
    panels = figure.axes
    assert [axes.get_title() for axes in panels] == ["m", "m", "n", "n"]
    assert [axes.get_ylabel().split(" ")[0] for axes in panels[:2]] == ["time", "AUC"]
    dots = [tuple(each.get_offsets()[0]) for each in panels[0].collections]
    assert dots == [(1e7, 1.0), (1e6, 0.5), (2e6, 0.4), (2e6, 0.4), (2e6, 0.3)]  # the failed one is crossed out
    assert [tuple(each.get_offsets()[0]) for each in panels[1].collections] == [(1e7, 0.75), (1e6, 0.74)]
    assert [text.get_text() for text in panels[0].texts] == ["32", "2", "2"]
    assert [line.get_ydata()[0] for line in panels[1].lines] == [0.76]
    close = [replace(TIMED[0], auc=area) for area in (0.7500, 0.7502)]
    low, high = plot_export(close, title="t").axes[1].get_ylim()
    assert high - low == pytest.approx(0.02)  # an axis that exaggerates nothing
    assert (high + low) / 2 == pytest.approx(0.7501)
    older = replace(TIMED[1], older="yes")
    assert [text.get_text() for text in plot_export([older], title="t").axes[0].texts] == ["2 older"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["ONNX", "ONNX, QDQ", "TFLite", "qat", "absmax", "2 bits widened to 8", "failed its check"]
    assert len(plot_export(ROWS, title="t").axes) == 2  # no AUC: a panel a model
