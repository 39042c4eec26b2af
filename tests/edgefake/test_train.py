"""Training: it learns, writes what it says, and stops on bad data."""

import csv
import json
import math
import shutil

import cv2
import numpy as np
import pytest
import torch

from edgefake.artefact import model_metadata
from edgefake.checkpoint import load_checkpoint
from edgefake.data import CropDataset, augment, to_input
from edgefake.distill import Distiller
from edgefake.manifest import read_manifest
from edgefake.models import build
from edgefake.train import TrainConfig, Trainer, learning_rate, predict, train
from edgefake_runtime.crops import normalize
from edgefake_runtime.errors import InputError, UsageError


def write_crops(folder, count=96):
    """Reals are smooth gradients, fakes the same with a disk in the middle: separable, but not by the mean colour."""
    random = np.random.default_rng(0)
    rows = []
    for index in range(count):
        fake = index % 2
        y, x = np.mgrid[0:48, 0:48]
        image = 60 + 2 * (x * random.uniform(0.2, 1) + y * random.uniform(0.2, 1))[..., None] + random.uniform(0, 40, 3)
        image = image + (60 * fake * ((x - 24) ** 2 + (y - 24) ** 2 < 150))[..., None]
        name = f"{index}.png"
        cv2.imwrite(str(folder / name), np.clip(image, 0, 255).astype(np.uint8))
        rows.append((name, "fake" if fake else "real", "train" if index < count * 3 // 4 else "val"))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label", "split"), *rows])
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_crops(tmp_path_factory.mktemp("crops"))


def config(manifest, out, **changes):
    values = {"model": "bitvit-nano", "epochs": 15, "batch": 12, "lr": 3e-3, "workers": 0, "crop_margin": 0.1}
    return TrainConfig(data=manifest, out=out, **(values | changes))


def test_a_bitvit_learns_and_its_checkpoint_gives_the_reported_auc(manifest, tmp_path):
    reports = train(config(manifest, tmp_path / "run"))
    assert len(reports) == 15
    assert reports[-1].train_loss < 0.6 * reports[0].train_loss
    assert max(r.val_auc for r in reports) > 0.9
    best = load_checkpoint(tmp_path / "run" / "best")
    samples = read_manifest(manifest, split="val")
    logits = predict(best.network, CropDataset(samples, 32, augmented=False))
    order = np.argsort(logits[:, 1] - logits[:, 0])
    labels = np.array([s.fake for s in samples])[order]
    ranks = np.arange(1, len(labels) + 1)[labels]
    auc = (ranks.sum() - labels.sum() * (labels.sum() + 1) / 2) / (labels.sum() * (~labels).sum())
    assert auc == pytest.approx(max(r.val_auc for r in reports), abs=1e-9)
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert [float(row["val_auc"]) for row in rows] == [r.val_auc for r in reports]


def test_the_checkpoint_carries_its_preprocessing_and_no_path(manifest, tmp_path):
    train(config(manifest, tmp_path / "run", epochs=1))
    text = (tmp_path / "run" / "last" / "config.json").read_text()
    assert str(tmp_path) not in text
    assert json.loads(text)["metadata"]["recipe"]["model"] == "bitvit-nano"
    metadata = model_metadata(load_checkpoint(tmp_path / "run" / "last"), bits=2)
    assert (metadata.input_size, metadata.crop.margin, metadata.recipe) == (32, 0.1, "qat")


def test_equal_seeds_give_equal_weights(manifest, tmp_path):
    states = []
    for name in ("a", "b"):
        train(config(manifest, tmp_path / name, epochs=1))
        states.append(load_checkpoint(tmp_path / name / "last").network.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_distillation_learns_the_teachers_map(manifest, tmp_path):
    teacher = build("cnn-tiny", image_size=32)
    student = build("bitvit-nano", patch_size=16)
    distiller = Distiller(student, teacher)
    images = torch.randn(8, 3, 32, 32)
    optimizer = torch.optim.Adam([*student.parameters(), *distiller.project.parameters()], lr=3e-3)
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    losses = []
    for _ in range(40):
        features = student.features(images)
        loss = distiller(images, features, student.classify(features))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert all(torch.equal(before[k], v) for k, v in teacher.state_dict().items())
    with pytest.raises(UsageError, match="cells"):
        Distiller(build("bitvit-nano"), teacher)


def test_learning_rate_rises_and_falls():
    rates = [learning_rate(step, steps=100, warmup=0.1) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert rates[10] == 1
    assert rates[55] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.5 * (1 + math.cos(math.pi * 89 / 90)))


def test_training_and_runtime_normalize_alike():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    ours = to_input(torch.from_numpy(images)).numpy()
    theirs = normalize(images, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert np.abs(ours - theirs).max() < 1e-5


def test_augmentation_is_a_function_of_its_random_numbers():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    views = [augment(image, 24, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert views[0].shape == (24, 24, 3)
    assert np.array_equal(views[0], views[1])
    assert not np.array_equal(views[0], views[2])


def test_bad_data_and_settings_are_named(manifest, tmp_path):
    broken = write_crops(tmp_path)
    (tmp_path / "2.png").write_bytes(b"no picture")
    for workers in (0, 1):
        with pytest.raises(InputError, match=r"2\.png \(manifest line 4\)") as caught:
            train(config(broken, tmp_path / "run", epochs=1, workers=workers))
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(InputError, match="the loss became"):
        train(config(manifest, tmp_path / "nan", epochs=3, lr=1e30))
    with pytest.raises(UsageError, match="bitvit-s16"):
        train(config(manifest, tmp_path / "x", model="resnet"))
    with pytest.raises(UsageError, match="epochs"):
        config(manifest, tmp_path, epochs=0)
    with pytest.raises(UsageError, match="precision"):
        config(manifest, tmp_path, precision="int8")
    with pytest.raises(InputError, match="expected faces in the crops"):
        train(config(manifest, tmp_path / "y", crop_margin=None))


def test_going_on_from_another_architecture_is_refused(manifest, tmp_path):
    train(config(manifest, tmp_path / "a", epochs=1))
    train(config(manifest, tmp_path / "b", epochs=1, model="linvit-nano", init=tmp_path / "a" / "last"))
    with pytest.raises(UsageError, match="those of bitvit-nano"):
        train(config(manifest, tmp_path / "c", epochs=1, model="cnn-tiny", init=tmp_path / "a" / "last"))


def test_what_would_fail_after_hours_is_refused_at_once(manifest, tmp_path):
    rows = manifest.read_text().splitlines()
    one_class = manifest.parent / "one.csv"
    one_class.write_text("\n".join(row for row in rows if not row.endswith("real,val")))
    with pytest.raises(InputError, match="both classes in val, got 12 fake of 12"):
        train(config(one_class, tmp_path / "a"))
    shared = manifest.parent / "shared.csv"
    shared.write_text("\n".join([rows[0] + ",group"] + [row + ",same" for row in rows[1:]]))
    with pytest.raises(InputError, match="1 in both, such as same"):
        train(config(shared, tmp_path / "a"))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="folder that can be written"):
        train(config(manifest, tmp_path / "file"))
    with pytest.raises(UsageError, match="seed"):
        config(manifest, tmp_path, seed=-1)
    with pytest.raises(UsageError, match="crop margin"):
        config(manifest, tmp_path, crop_margin=50.0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_teacher_adds_to_the_loss_of_a_run(manifest, tmp_path, precision):
    """A student at the teacher's own size, so that the grids fit."""
    train(config(manifest, tmp_path / "teacher", epochs=1))
    alone = train(config(manifest, tmp_path / "alone", epochs=1, precision=precision))
    taught = train(
        config(manifest, tmp_path / "s", epochs=1, precision=precision, teacher=tmp_path / "teacher" / "last")
    )
    assert taught[0].train_loss > alone[0].train_loss + 0.1  # the map's share, 2 smooth L1 of unit deviation
    recipe = load_checkpoint(tmp_path / "s" / "last").metadata["recipe"]
    assert (recipe["teacher"], recipe["precision"]) == ("last", precision)


def test_weight_decay_shrinks_matrices_alone(manifest, tmp_path):
    trainer = Trainer(config(manifest, tmp_path, weight_decay=0.5), *[read_manifest(manifest)] * 2)
    decays = [
        (group["weight_decay"], {p.ndim > 1 for p in group["params"]}) for group in trainer.optimizer.param_groups
    ]
    assert decays == [(0.5, {True}), (0.0, {False})]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compiled_training_gives_the_same_losses(manifest, tmp_path):
    plain = train(config(manifest, tmp_path / "a", epochs=2))
    compiled = train(config(manifest, tmp_path / "b", epochs=2, compile=True))
    assert [r.train_loss for r in compiled] == pytest.approx([r.train_loss for r in plain], rel=0.02)
