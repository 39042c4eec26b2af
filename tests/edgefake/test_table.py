"""Rows of the tables against scores computed apart; what their files hold."""

import csv

import cv2
import numpy as np
import pytest
import torch

from edgefake.checkpoint import Checkpoint, save_checkpoint
from edgefake.data import to_input
from edgefake.manifest import read_manifest
from edgefake.models import build
from edgefake.ptq import PTQConfig, quantize, weight_bytes
from edgefake.table import (
    FILES,
    FinetuneRow,
    PTQRow,
    finetune_row,
    margins,
    markdown,
    names_of,
    plot_finetune,
    plot_ptq,
    ptq_plan,
    ptq_row,
    read_crops,
    select,
    write_table,
)
from edgefake.torch_classifier import TorchClassifier
from edgefake_runtime import InputError, UsageError
from edgefake_runtime.shipped import default_model

METADATA = {
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "crop": {"margin": 0.0, "shift": 0.0, "square": True, "origin": "a test"},
}


def classifier(folder, name="linvit-nano", **metadata):
    torch.manual_seed(3)
    save_checkpoint(Checkpoint(build(name), name, METADATA | metadata), folder)
    return TorchClassifier(folder)


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


@pytest.mark.parametrize("config", [None, PTQConfig("absmax", 8), PTQConfig("zeropoint", 3, per="channel")])
def test_a_row_is_what_torch_gives(config, manifest, tmp_path):
    model = classifier(tmp_path / "c")
    crops = read_crops(select(manifest, split="val", limit=None), [model], manifest=manifest)
    row = ptq_row(model, config, crops, name="m")
    network = model.network if config is None else quantize(model.network, config)
    margin, accuracy, area = by_hand(network, manifest)
    assert margins(network, crops.images[model.path], model.metadata) == pytest.approx(margin, abs=1e-4)
    assert (row.accuracy, row.auc) == (accuracy, pytest.approx(area))
    assert row.bytes == weight_bytes(model.network, config)
    widths = (32, 32) if config is None else (config.weight_bits, 8)
    assert (row.model, row.weight_bits, row.activation_bits) == ("m", *widths)


def test_the_plan_quantizes_float_networks_alone(tmp_path):
    models = [classifier(tmp_path / name, f"{name}-nano") for name in ("linvit", "bitvit", "cnn")]
    configs = [PTQConfig("absmax", bits) for bits in (8, 4)]
    plan = ptq_plan(models, configs)
    linvit, bitvit, cnn = models
    assert plan[:3] == [(linvit, None), (bitvit, None), (cnn, None)]
    assert plan[3:] == [(model, config) for model in (linvit, cnn) for config in configs]
    assert ptq_plan([bitvit], configs) == [(bitvit, None)]


def test_a_bitvits_row_has_its_own_widths(manifest, tmp_path):
    model = classifier(tmp_path / "c", "bitvit-nano")
    crops = read_crops(select(manifest, split="val", limit=None), [model], manifest=manifest)
    row = ptq_row(model, None, crops, name="b")
    assert (row.method, row.weight_bits, row.activation_bits, row.bytes) == ("-", 2, 8, weight_bytes(model.network))


def test_finetune_rows_have_the_interval_of_the_groups(manifest, tmp_path):
    from edgefake.metrics import bootstrap_auc

    model = classifier(tmp_path / "c")
    samples = select(manifest, split="val", limit=None)
    crops = read_crops(samples, [model], manifest=manifest)
    row = finetune_row(model, crops, name="m", dataset="faces")
    margin, accuracy, area = by_hand(model.network, manifest)
    groups = [f"g{index // 3}" for index in range(12)]
    assert (row.n, row.accuracy, row.auc) == (12, accuracy, pytest.approx(area))
    low, high = bootstrap_auc(np.arange(12) % 2 == 1, margin, groups)
    assert (row.auc_low, row.auc_high) == (low, high)
    assert low <= row.auc <= high


def test_one_class_has_an_accuracy_and_no_auc(manifest, tmp_path):
    model = classifier(tmp_path / "c")
    reals = [sample for sample in select(manifest, split="val", limit=None) if not sample.fake]
    crops = read_crops(reals, [model], manifest=manifest)
    assert ptq_row(model, None, crops, name="m").auc is None
    row = finetune_row(model, crops, name="m", dataset="d")
    assert (row.auc, row.auc_low, row.auc_high) == (None, None, None)
    assert "| - | - | - |" in markdown([row], [])
    assert plot_finetune([row], title="t") is not None


def test_crops_are_read_once_and_shared_and_cut_to_each_model(manifest, tmp_path):
    narrow, same = classifier(tmp_path / "a"), classifier(tmp_path / "b")
    crop = METADATA["crop"] | {"margin": 0.5}
    wide = classifier(tmp_path / "c", crop=crop)
    samples = select(manifest, split="val", limit=None)
    done = []
    plain = read_crops(samples, [narrow, same, wide], manifest=manifest, on_done=done.append)
    assert sum(done) == 12
    assert plain.images[narrow.path] is plain.images[same.path] is plain.images[wide.path]
    (manifest.parent / "crop.json").write_text('{"margin": 0.5, "shift": 0.0, "square": true, "origin": "a test"}')
    cut = read_crops(samples, [narrow, same, wide], manifest=manifest)
    assert cut.images[narrow.path] is cut.images[same.path]
    assert np.array_equal(cut.images[wide.path], plain.images[wide.path])
    middle = cv2.resize(plain.images[wide.path][3][8:24, 8:24], (32, 32), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(cut.images[narrow.path][3], middle)


def test_a_limit_draws_the_same_crops_of_both_classes(manifest):
    chosen = select(manifest, split="val", limit=6)
    assert chosen == select(manifest, split="val", limit=6)
    assert len({sample.path for sample in chosen}) == 6
    assert {sample.label for sample in chosen} == {"real", "fake"}
    assert len(select(manifest, split="val", limit=99)) == 12
    with pytest.raises(InputError, match="splits here: val"):
        select(manifest, split="test", limit=None)


def test_too_many_crops_for_memory_are_refused(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr("edgefake.table.MAX_BYTES", 12 * 32 * 32 * 3 - 1)
    with pytest.raises(UsageError, match="--limit"):
        read_crops(select(manifest, split="val", limit=None), [classifier(tmp_path / "c")], manifest=manifest)


def test_equal_names_are_told_apart_by_their_folders(tmp_path):
    first, second = classifier(tmp_path / "a"), classifier(tmp_path / "b")
    assert names_of([first]) == {first.path: "linvit-nano"}
    assert names_of([first, second]) == {c.path: f"linvit-nano ({c.path})" for c in (first, second)}
    other = classifier(tmp_path / "c", "cnn-nano")
    assert names_of([first, other]) == {first.path: "linvit-nano", other.path: "cnn-nano"}


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
def test_the_shipped_checkpoint_has_its_cards_auc(data_folder):
    manifest = data_folder / "dfdc" / "manifest.csv"
    model = TorchClassifier(default_model().parent)
    crops = read_crops(select(manifest, split="val", limit=None), [model], manifest=manifest)
    row = ptq_row(model, None, crops, name="bitvit-tiny")
    assert row.auc == pytest.approx(0.7405, abs=5e-4)
    assert (row.weight_bits, row.activation_bits) == (2, 8)
