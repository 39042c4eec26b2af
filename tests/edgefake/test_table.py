"""Rows of the tables against scores computed apart; what their files hold."""

import csv

import cv2
import numpy as np
import pytest
import torch

from edgefake.candidates import open_candidates
from edgefake.checkpoint import load_checkpoint
from edgefake.compare import select
from edgefake.data.manifest import LABELS, read_manifest
from edgefake.data.pictures import to_input
from edgefake.ptq import PTQConfig, quantize, weight_bytes
from edgefake.table import (
    FILES,
    FinetuneRow,
    PTQRow,
    finetune_rows,
    markdown,
    plot_finetune,
    plot_ptq,
    ptq_plan,
    ptq_rows,
    write_table,
)
from edgefake.train.run import train
from edgefake_runtime.shipped import models_folder

from .checkpoints import CLASSES, detector, pretrained
from .crops import settings, write_classes


def vals(manifest):
    return select(manifest, split="val", limit=None, classes=LABELS)


@pytest.fixture
def manifest(tmp_path):
    """A dozen pictures of the nano networks' size, so that nothing is resized; six are fake, in four groups."""
    folder = tmp_path / "faces"
    folder.mkdir()
    random = np.random.default_rng(5)
    rows = ["file,label,split,identity_group"]
    for index in range(12):
        picture = cv2.resize(random.integers(0, 256, (4, 4, 3), dtype=np.uint8), (32, 32))
        cv2.imwrite(str(folder / f"{index}.png"), picture)
        rows.append(f"{index}.png,{'fake' if index % 2 else 'real'},val,g{index // 3}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder / "manifest.csv"


def by_hand(network, manifest):
    """Margins, accuracy by argmax, and AUC by counting pairs."""
    samples = read_manifest(manifest, split="val")
    images = np.stack([cv2.imread(str(sample.path))[..., ::-1] for sample in samples])
    with torch.no_grad():
        logits = network(to_input(torch.from_numpy(images.copy())))
    fake = np.array([sample.label == "fake" for sample in samples])
    margin = (logits[:, 1] - logits[:, 0]).double().numpy()
    accuracy = float((logits.argmax(dim=1).numpy() == fake).mean())
    pairs = [(a > b) + 0.5 * (a == b) for a in margin[fake] for b in margin[~fake]]
    return margin, accuracy, float(np.mean(pairs))


def test_rows_are_what_torch_gives(manifest, tmp_path):
    (model,) = open_candidates([detector(tmp_path / "c")])
    configs = [PTQConfig("absmax", 8), PTQConfig("zeropoint", 3, per="channel")]
    rows = ptq_rows(ptq_plan([model], configs), vals(manifest))
    assert len(rows) == 3
    for row, config in zip(rows, [None, *configs], strict=True):
        _, accuracy, area = by_hand(model.network if config is None else quantize(model.network, config), manifest)
        assert (row.accuracy, row.auc) == (accuracy, pytest.approx(area))
        assert row.bytes == weight_bytes(model.network, config)
        widths = (32, 32) if config is None else (config.weight_bits, 8)
        assert (row.model, row.weight_bits, row.activation_bits) == ("linvit-nano", *widths)


def test_rows_of_other_classes_have_an_accuracy_alone(tmp_path):
    data = write_classes(tmp_path / "data")
    models = open_candidates([pretrained(tmp_path / kind, f"{kind}-nano") for kind in ("linvit", "bitvit", "cnn")])
    samples = select(data, split="val", limit=None, classes=CLASSES)
    rows = ptq_rows(ptq_plan(models, [PTQConfig("absmax", 8)]), samples)
    assert [(row.model, row.method, row.weight_bits, row.auc) for row in rows] == [
        ("linvit-nano", "-", 32, None),
        ("bitvit-nano", "-", 2, None),
        ("cnn-nano", "-", 32, None),
        ("linvit-nano", "absmax", 8, None),
        ("cnn-nano", "absmax", 8, None),
    ]
    axes = plot_ptq(rows, title="t", chance=1 / 3).axes[0]
    assert axes.get_ylabel() == "accuracy"
    heights = [float(value) for line in axes.get_lines() for value in line.get_ydata()]
    assert sorted(heights) == pytest.approx(sorted([1 / 3, 1 / 3, *(row.accuracy for row in rows)]))


def test_a_pretrained_network_has_the_accuracy_that_its_training_reported(tmp_path):
    data = write_classes(tmp_path / "data")
    train(settings(data, tmp_path / "run", "pretrain", model="linvit-nano", epochs=3, batch=6))
    for name in ("best", "last"):
        models = open_candidates([tmp_path / "run" / name])
        (row,) = ptq_rows([(models[0], None)], select(data, split="val", limit=None, classes=models[0].labels))
        report = load_checkpoint(tmp_path / "run" / name).metadata["epochs"][-1]
        assert row.accuracy == pytest.approx(report["val_accuracy"])


def test_the_plan_quantizes_float_networks_alone(tmp_path):
    models = open_candidates([detector(tmp_path / name, f"{name}-nano") for name in ("linvit", "bitvit", "cnn")])
    configs = [PTQConfig("absmax", bits) for bits in (8, 4)]
    plan = ptq_plan(models, configs)
    linvit, bitvit, cnn = models
    assert plan[:3] == [(linvit, None), (bitvit, None), (cnn, None)]
    assert plan[3:] == [(model, config) for model in (linvit, cnn) for config in configs]
    assert ptq_plan([bitvit], configs) == [(bitvit, None)]


def test_a_bitvits_row_has_its_own_widths(manifest, tmp_path):
    (model,) = open_candidates([detector(tmp_path / "c", "bitvit-nano")])
    (row,) = ptq_rows([(model, None)], vals(manifest))
    assert (row.method, row.weight_bits, row.activation_bits, row.bytes) == ("-", 2, 8, weight_bytes(model.network))


def test_finetune_rows_have_the_interval_of_the_groups(manifest, tmp_path):
    from edgefake.metrics import bootstrap_auc

    models = open_candidates([detector(tmp_path / "c")])
    (row,) = finetune_rows(models, vals(manifest), dataset="faces")
    margin, accuracy, area = by_hand(models[0].network, manifest)
    groups = [f"g{index // 3}" for index in range(12)]
    assert (row.model, row.dataset, row.n) == ("linvit-nano", "faces", 12)
    assert (row.accuracy, row.auc) == (accuracy, pytest.approx(area))
    low, high = bootstrap_auc(np.arange(12) % 2 == 1, margin, groups)
    assert (row.auc_low, row.auc_high) == (low, high)
    assert low <= row.auc <= high


def test_one_class_has_an_accuracy_and_no_auc(manifest, tmp_path):
    models = open_candidates([detector(tmp_path / "c")])
    reals = [sample for sample in vals(manifest) if not sample.fake]
    assert ptq_rows([(models[0], None)], reals)[0].auc is None
    (row,) = finetune_rows(models, reals, dataset="d")
    assert (row.auc, row.auc_low, row.auc_high) == (None, None, None)
    assert "| - | - | - |" in markdown([row], [])
    assert plot_finetune([row], title="t") is not None


ROWS = [
    PTQRow("linvit", "-", 32, 32, 0.71, 0.8123456, 88_150_000),
    PTQRow("a|b", "-", 2, 8, 0.68, None, 6_080_000),
    *[
        PTQRow("linvit", m, b, 8, 0.5 + b / 50, 0.5 + b / 30, b * 10**6)
        for m in ("absmax", "zeropoint")
        for b in (8, 2)
    ],
]


def test_markdown_has_a_line_a_row_and_ends_with_the_notes():
    lines = markdown(ROWS, ["A note.", "`command`"]).splitlines()
    assert lines[0] == "| model | method | weight bits | activation bits | accuracy | auc | bytes |"
    assert lines[1] == "|---|---|---:|---:|---:|---:|---:|"
    assert lines[2] == "| linvit | - | 32 | 32 | 0.7100 | 0.8123 | 88,150,000 |"
    assert lines[3] == "| a\\|b | - | 2 | 8 | 0.6800 | - | 6,080,000 |"
    assert lines[-3:] == ["A note.", "", "`command`"]


def test_a_table_is_written_whole(tmp_path):
    figure = plot_ptq(ROWS, title="t")
    assert figure.axes[0].get_ylabel() == "AUC"
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels[1:] == [
        "linvit, as trained (32/32 bits)",
        "a|b, as trained",
        "linvit, absmax",
        "linvit, zeropoint",
    ]
    write_table(tmp_path / "new" / "t", ROWS, "text\n", figure)
    folder = tmp_path / "new" / "t"
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)
    assert (folder / "table.md").read_text() == "text\n"
    with (folder / "table.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["bytes"] for row in read] == [str(row.bytes) for row in ROWS]
    assert (read[0]["auc"], read[1]["auc"]) == ("0.812346", "")
    picture = cv2.imread(str(folder / "table.png"))
    assert picture.shape[0] > 500
    assert picture.std() > 5


def test_the_finetune_plot_names_every_row():
    rows = [FinetuneRow(m, d, 9, 0.5, 0.6, 0.5, 0.7) for m in ("linvit", "bitvit") for d in ("ff", "celeb")]
    axes = plot_finetune(rows, title="t").axes[0]
    shown = [tick.get_text() for tick in axes.get_yticklabels()]
    assert shown == ["bitvit, celeb", "bitvit, ff", "linvit, celeb", "linvit, ff"]
    assert axes.get_xlabel().startswith("AUC")


@pytest.mark.data
def test_the_thesis_form_has_the_auc_of_the_log(data_folder):
    manifest = data_folder / "dfdc" / "manifest.csv"
    (model,) = open_candidates([models_folder() / "bitvit-tiny"])
    (row,) = ptq_rows([(model, None)], vals(manifest))
    assert row.auc == pytest.approx(0.7405, abs=5e-4)
    assert (row.weight_bits, row.activation_bits) == (2, 8)
