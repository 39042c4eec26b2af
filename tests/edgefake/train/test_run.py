"""Training: it learns, writes what it says, and stops on bad data."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgefake.artefact import model_metadata
from edgefake.checkpoint import load_checkpoint
from edgefake.data.crop_rule import write_crop_rule
from edgefake.data.manifest import read_manifest
from edgefake.data.pictures import PictureDataset, View, to_input
from edgefake.predict import predict
from edgefake.train.config import TrainConfig, read_config
from edgefake.train.engine import Engine, Events, make_accelerator
from edgefake.train.run import train
from edgefake.train.tasks import make_task
from edgefake_runtime import Crop
from edgefake_runtime.crops import normalize
from edgefake_runtime.errors import InputError, ModelFileError, UsageError

from ..crops import settings, write_classes, write_crops

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_crops(tmp_path_factory.mktemp("crops"))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A BitViT pretrained on three classes, with a distillation token and a teacher of the same classes."""
    folder = tmp_path_factory.mktemp("pretrained")
    data = write_classes(folder / "pictures")
    train(settings(data, folder / "teacher", "pretrain", epochs=1, batch=8, accumulate=1, model="linvit-nano"))
    teacher = folder / "teacher" / "last"
    train(settings(data, folder / "run", "pretrain", epochs=2, batch=8, accumulate=2, teacher=str(teacher)))
    return folder / "run" / "last"


def test_a_bitvit_learns_and_its_checkpoint_gives_the_reported_auc(manifest, tmp_path):
    reports = train(settings(manifest, tmp_path / "run", epochs=25))
    assert len(reports) == 25
    assert reports[-1].train_loss < 0.7 * reports[0].train_loss
    assert max(r.val_auc for r in reports) > 0.9
    best = load_checkpoint(tmp_path / "run" / "best")
    samples = read_manifest(manifest, split="val")
    logits = predict(best.network, PictureDataset(samples, View(32)))
    order = np.argsort(logits[:, 1] - logits[:, 0])
    labels = np.array([s.fake for s in samples])[order]
    ranks = np.arange(1, len(labels) + 1)[labels]
    auc = (ranks.sum() - labels.sum() * (labels.sum() + 1) / 2) / (labels.sum() * (~labels).sum())
    assert auc == pytest.approx(max(r.val_auc for r in reports), abs=1e-9)
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert [float(row["val_auc"]) for row in rows] == [r.val_auc for r in reports]


def test_a_run_leaves_its_settings_curves_and_events(manifest, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    seen = []
    events = Events(start=lambda total, done: seen.append((total, done)), pictures=seen.append, epoch=seen.append)
    reports = train(settings(manifest, tmp_path, epochs=2), events=events)
    assert seen[0] == (2 * 72, 0)
    assert seen.count(12) == 12
    assert seen[-1] == reports[-1]
    assert TrainConfig.of("train", read_config(tmp_path / "config.toml")) == settings(manifest, tmp_path, epochs=2)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    board = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [s.step for s in board.Scalars("train/loss")] == list(range(1, 13))
    assert [s.value for s in board.Scalars("validation/auc")] == pytest.approx([r.val_auc for r in reports])


def test_the_checkpoint_carries_its_preprocessing_and_no_path(manifest, tmp_path):
    train(settings(manifest, tmp_path / "run", epochs=1))
    text = (tmp_path / "run" / "last" / "config.json").read_text()
    assert str(tmp_path) not in text
    assert json.loads(text)["metadata"]["recipe"]["model"] == "bitvit-nano"
    metadata = model_metadata(load_checkpoint(tmp_path / "run" / "last"), bits=2)
    assert (metadata.input_size, metadata.crop.margin, metadata.recipe) == (32, 0.1, "qat")


def test_equal_seeds_give_equal_weights(manifest, tmp_path):
    states = []
    for name, workers in (("a", 0), ("b", 1)):
        train(settings(manifest, tmp_path / name, epochs=1, workers=workers))
        states.append(load_checkpoint(tmp_path / name / "last").network.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_training_and_runtime_normalize_alike():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    ours = to_input(torch.from_numpy(images)).numpy()
    theirs = normalize(images, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert np.abs(ours - theirs).max() < 1e-5


def test_a_folder_of_faces_has_its_own_crop_rule(tmp_path):
    """Not that of the folder above it."""
    data = write_classes(tmp_path / "data", classes=2)
    for split in ("train", "val"):
        for old, new in (("n00000000", "fake"), ("n00000001", "real")):
            (data / split / old).rename(data / split / new)
    write_crop_rule(tmp_path, Crop(0.77, 0.0, True, "of something else"))
    write_crop_rule(data, Crop(0.1, 0.0, True, "of this data"))
    run = settings(data, tmp_path / "run", "pretrain", epochs=1, batch=8, accumulate=1)
    task = make_task(run)
    assert task.metadata["labels"] == ("real", "fake")
    assert (task.metadata["crop"]["margin"], task.metadata["crop"]["share"]) == (0.1, 0.875)


def test_pretraining_learns_classes_and_is_no_detector_yet(pretrained):
    checkpoint = load_checkpoint(pretrained)
    config = checkpoint.network.config
    assert (config.classes, config.head, config.distillation) == (3, (), True)
    assert checkpoint.metadata["labels"] == ["n00000000", "n00000001", "n00000002"]
    assert checkpoint.metadata["epochs"][-1]["val_auc"] is None
    with pytest.raises(ModelFileError, match="got 3 classes; fine-tune it first"):
        model_metadata(checkpoint, bits=2)


def test_colours_are_learned_from_folders(tmp_path):
    data = write_classes(tmp_path / "pictures")
    reports = train(
        settings(data, tmp_path / "run", "pretrain", epochs=8, batch=12, accumulate=1, randaugment=0, mixup=0.0)
    )
    assert reports[-1].val_accuracy == 1


def test_finetuning_trains_the_last_blocks_and_the_head_alone(manifest, pretrained, tmp_path):
    train(settings(manifest, tmp_path, "finetune", init=pretrained, train_blocks=1, epochs=2))
    before = load_checkpoint(pretrained).network.state_dict()
    tuned = load_checkpoint(tmp_path / "last")
    after = tuned.network.state_dict()
    assert (tuned.network.config.head, tuned.network.config.dropout) == ((192, 96, 48, 24), 0.2)
    assert not any(key.startswith("distillation") for key in after)
    for key in after:
        if key.startswith(("tokenize.", "blocks.0.")):
            assert torch.equal(before[key], after[key]), key
        elif key.startswith("blocks.1.") and after[key].ndim == 2:
            assert not torch.equal(before[key], after[key]), key
    crop = model_metadata(tuned, bits=2).crop
    assert (crop.margin, crop.share) == (0.1, 0.875)  # the network saw the middle 7/8 of each crop


def test_finetuning_needs_a_pretrained_network(manifest, pretrained, tmp_path):
    with pytest.raises(UsageError, match="expected the checkpoint of a pretrained network, got none"):
        train(settings(manifest, tmp_path, "finetune", train_blocks=1))
    with pytest.raises(UsageError, match="at most the 2 blocks of the network, got 6"):
        train(settings(manifest, tmp_path, "finetune", init=pretrained))
    with pytest.raises(UsageError, match="expected a checkpoint of linvit-nano, got one of bitvit-nano"):
        train(settings(manifest, tmp_path, "finetune", init=pretrained, model="linvit-nano"))


def test_a_small_input_first_then_the_models_own(manifest, tmp_path):
    """Weights know no size: positions are a formula, and the file says which size the weights saw last."""
    train(settings(manifest, tmp_path / "small", epochs=1, model="linvit-nano", image_size=16))
    small = load_checkpoint(tmp_path / "small" / "last")
    assert model_metadata(small, bits=32).input_size == small.network.config.image_size == 16
    assert small.network.features(torch.zeros(1, 3, 16, 16)).shape[1] == 4
    init = tmp_path / "small" / "last"
    task = make_task(settings(manifest, tmp_path / "large", model="bitvit-nano", init=init))
    assert task.network.config.image_size == 32
    assert all(torch.equal(value, task.network.state_dict()[key]) for key, value in small.network.state_dict().items())
    with pytest.raises(UsageError, match="divides the image size, got 8, 20"):
        make_task(settings(manifest, tmp_path / "odd", image_size=20))


def test_a_frozen_cnn_keeps_its_batch_statistics(manifest, tmp_path):
    train(settings(manifest, tmp_path / "a", model="cnn-nano", epochs=1))
    before = load_checkpoint(tmp_path / "a" / "last").network.state_dict()
    train(settings(manifest, tmp_path / "b", "finetune", init=tmp_path / "a" / "last", train_blocks=1, epochs=1))
    after = load_checkpoint(tmp_path / "b" / "last").network.state_dict()
    moved = {key for key in before if key in after and before[key].shape == after[key].shape}
    moved = {key for key in moved if not torch.equal(before[key], after[key])}
    assert any("running_mean" in key for key in moved)
    assert not any(key.startswith(("stem.", "blocks.0.")) for key in moved)


def test_the_average_of_the_weights_is_what_is_kept(manifest, tmp_path):
    """Of two steps: the average starts as the weights after the first, then is d of itself and 1 - d of the second."""
    weights = []
    for name, epochs, ema in (("a", 1, 0.0), ("b", 2, 0.0), ("c", 2, 0.75)):
        train(settings(manifest, tmp_path / name, epochs=epochs, batch=72, t_max=9.0, ema=ema))
        weights.append(load_checkpoint(tmp_path / name / "last").network.state_dict())
    first, second, average = weights
    for key in first:
        assert torch.allclose(average[key], 0.75 * first[key] + 0.25 * second[key], atol=1e-6), key
    assert not all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(("workers", "strict"), [(0, True), (1, True), (1, False)])
def test_a_corrupt_picture_is_counted_or_named(tmp_path, workers, strict):
    broken = write_crops(tmp_path)
    (tmp_path / "2.png").write_bytes(b"no picture")
    run = settings(broken, tmp_path / "run", epochs=1, workers=workers, strict=strict)
    if not strict:
        assert train(run)[0].unreadable == 1
        return
    with pytest.raises(InputError, match=r"2\.png \(manifest line 4\)") as caught:
        train(run)
    assert len(str(caught.value).splitlines()) == 1


def test_pictures_weigh_the_same_whatever_part_they_are_in(tmp_path):
    """13 pictures in 1, 4 or 5 parts of unlike sizes, one of them unreadable: the same weights to rounding."""
    broken = write_crops(tmp_path)
    (tmp_path / "2.png").write_bytes(b"no picture")
    states = []
    for parts in (1, 4, 5):
        out = tmp_path / f"{parts}"
        report = train(
            settings(broken, out, epochs=1, batch=13, accumulate=parts, dropout=0.0, lr=1e-4, model="linvit-nano")
        )[0]
        states.append(load_checkpoint(out / "last").network.state_dict() | {"loss": report.train_loss})
    for other in states[1:]:
        assert other.pop("loss") == pytest.approx(states[0]["loss"], rel=1e-4)
        for key, value in other.items():
            assert torch.allclose(value, states[0][key], atol=1e-4), key


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_gradient_that_is_not_finite_stops_before_it_is_learned(manifest, tmp_path, monkeypatch, clip):
    """Also at the last step of an epoch, and without clipping."""
    step = torch.Tensor.backward
    poisoned = {"steps": 11}

    def backward(loss, *arguments, **options):
        step(loss, *arguments, **options)
        if poisoned["steps"] == 0:
            poisoned["network"].blocks[0].attention.qkv.weight.grad[0, 0] = float("nan")
        poisoned["steps"] -= 1

    learn = Engine._one_step

    def remember(engine, parts):
        poisoned["network"] = engine.task.network
        learn(engine, parts)

    monkeypatch.setattr(torch.Tensor, "backward", backward)
    monkeypatch.setattr(Engine, "_one_step", remember)
    with pytest.raises(InputError, match=r"step 12 \(epoch 2\): expected a finite gradient, got nan"):
        train(settings(manifest, tmp_path, epochs=3, clip=clip, model="linvit-nano"))
    assert len(load_checkpoint(tmp_path / "last").metadata["epochs"]) == 1
    monkeypatch.undo()
    assert len(train(settings(manifest, tmp_path, epochs=3, clip=clip, model="linvit-nano"), resume=True)) == 3


def test_nothing_readable_is_an_error(tmp_path):
    broken = write_crops(tmp_path)
    for path in tmp_path.glob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(InputError, match="step 1: expected a readable picture, got none"):
        train(settings(broken, tmp_path / "run", epochs=1))


def test_a_loss_that_is_not_finite_names_its_step_and_keeps_what_was(manifest, tmp_path, monkeypatch):
    """A weight that becomes NaN in the second epoch: what the first one left stays."""
    learn = Engine._one_step

    def poisoned(engine, parts):
        if engine.step == 9:
            with torch.no_grad():
                engine.raw.network.blocks[0].feed_forward.fc1.weight[0, 0] = float("nan")
        learn(engine, parts)

    monkeypatch.setattr(Engine, "_one_step", poisoned)
    with pytest.raises(InputError, match=r"step 10 \(epoch 2\): expected a finite (loss|gradient), got nan"):
        train(settings(manifest, tmp_path, epochs=3))
    kept = load_checkpoint(tmp_path / "last")
    assert len(kept.metadata["epochs"]) == 1
    assert all(torch.isfinite(v).all() for v in kept.network.state_dict().values())


def test_bad_data_and_settings_are_named(manifest, tmp_path):
    with pytest.raises(UsageError, match="bitvit-s16"):
        train(settings(manifest, tmp_path / "x", model="resnet"))
    with pytest.raises(UsageError, match="expected the name of a configuration"):
        train(settings(manifest, tmp_path / "x", model=""))
    with pytest.raises(InputError, match="expected faces in the crops"):
        train(settings(manifest, tmp_path / "y", crop_margin=None))
    with pytest.raises(UsageError, match="expected at least 100 pictures to share out, got 72"):
        train(settings(manifest, tmp_path / "z", batch=200, accumulate=100))
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="float16 needs a GPU"):
            train(settings(manifest, tmp_path / "f", precision="float16"))


def test_what_would_fail_after_hours_is_refused_at_once(manifest, tmp_path):
    rows = manifest.read_text().splitlines()
    one_class = manifest.parent / "one.csv"
    one_class.write_text("\n".join(row for row in rows if not row.endswith("real,val")))
    with pytest.raises(InputError, match="both classes in val, got 12 fake of 12"):
        train(settings(one_class, tmp_path / "a"))
    shared = manifest.parent / "shared.csv"
    shared.write_text("\n".join([rows[0] + ",group"] + [row + ",same" for row in rows[1:]]))
    with pytest.raises(InputError, match="got 1 in more, such as same in train and val"):
        train(settings(shared, tmp_path / "a"))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="folder that can be written"):
        train(settings(manifest, tmp_path / "file"))


def test_people_in_any_two_splits_are_refused(tmp_path):
    rows = write_crops(tmp_path).read_text().splitlines()
    again = [row.replace(",train", ",test") for row in rows[1:] if row.endswith(",train")]
    (tmp_path / "leak.csv").write_text("\n".join([*rows, *again]))
    for recipe in ("train", "pretrain"):
        with pytest.raises(InputError, match=r"got 72 in more, such as 0\.png in test and train"):
            train(settings(tmp_path / "leak.csv", tmp_path / recipe, recipe))


def test_force_leaves_nothing_of_the_run_before(manifest, tmp_path):
    train(settings(manifest, tmp_path, epochs=1))
    with pytest.raises(UsageError, match="share out"):
        train(settings(manifest, tmp_path, epochs=1, batch=200, accumulate=100), force=True)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["config.toml"]


def test_options_without_effect_are_refused(manifest, tmp_path):
    with pytest.raises(UsageError, match=r"alpha: expected a --teacher beside it, got 0\.9"):
        settings(manifest, tmp_path, alpha=0.9)
    with pytest.raises(UsageError, match="distill: expected a --teacher beside it, got hard"):
        settings(manifest, tmp_path, distill="hard")
    with pytest.raises(UsageError, match="train-blocks: expected --init beside it, got 0"):
        settings(manifest, tmp_path, train_blocks=0)
    with pytest.raises(UsageError, match="magnitude: expected --randaugment beside it, got 25"):
        settings(manifest, tmp_path, magnitude=25)
    with pytest.raises(UsageError, match="expected hard or soft labels, got dense alone"):
        settings(manifest, tmp_path, teacher="x", distill="dense", temperature=4.0)
    classes = write_classes(tmp_path / "pictures")
    with pytest.raises(UsageError, match=r"dropout: expected none in the linear head of bitvit-nano, got 0\.5"):
        train(settings(classes, tmp_path / "run", "pretrain", dropout=0.5))


def test_an_earlier_run_is_not_mixed_with(manifest, tmp_path):
    train(settings(manifest, tmp_path, epochs=1))
    with pytest.raises(UsageError, match="--resume goes on, --force replaces"):
        train(settings(manifest, tmp_path, epochs=1))
    assert len(train(settings(manifest, tmp_path, epochs=1), force=True)) == 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("form", ["hard", "soft"])
def test_a_teacher_has_its_share_of_the_loss(manifest, tmp_path, precision, form):
    """The first step's loss, (1 - alpha) labels + alpha teacher, is linear in alpha."""
    train(settings(manifest, tmp_path / "teacher", epochs=1))
    teacher = {"teacher": str(tmp_path / "teacher" / "last"), "distill": form, "precision": precision}
    losses = []
    for alpha in (0.0, 0.5, 1.0):
        run = settings(manifest, tmp_path / f"{alpha}", epochs=1, batch=72, alpha=alpha, **teacher)
        losses.append(train(run)[0].train_loss)
    assert losses[1] == pytest.approx((losses[0] + losses[2]) / 2, rel=2e-3)
    assert abs(losses[0] - losses[2]) > 0.01
    recipe = load_checkpoint(tmp_path / "0.5" / "last").metadata["recipe"]
    assert (recipe["teacher"], recipe["precision"], recipe["distill"]) == ("last", precision, form)


def test_dense_features_are_learned_in_a_run(manifest, tmp_path):
    """The map of a CNN; what is left of the loss beside the labels' falls."""
    train(settings(manifest, tmp_path / "teacher", model="cnn-nano", epochs=1))
    teacher = str(tmp_path / "teacher" / "last")
    reports = train(settings(manifest, tmp_path / "s", epochs=6, teacher=teacher, distill="dense"))
    alone = train(settings(manifest, tmp_path / "alone", epochs=6))
    shares = [taught.train_loss - plain.train_loss for taught, plain in zip(reports, alone, strict=True)]
    assert 0.2 < shares[0] < 0.6  # smooth L1 of unit deviation
    assert shares[-1] < 0.9 * shares[0]


def test_reals_alone_make_a_detector(tmp_path):
    """No fake anywhere: training and validation blend the reals."""
    strip = cv2.imread(str(ROOT / "export" / "edgefake_export" / "faces.png"))
    rows = ["file,label,split"]
    for index in range(16):
        tile = strip[:224, index % 8 * 224 : (index % 8 + 1) * 224]
        cv2.imwrite(str(tmp_path / f"{index}.png"), cv2.flip(tile, 1) if index > 7 else tile)
        rows.append(f"{index}.png,real,{'val' if index % 4 == 3 else 'train'}")
    (tmp_path / "m.csv").write_text("\n".join(rows))
    notes = []
    run = settings(tmp_path / "m.csv", tmp_path / "run", epochs=2, batch=12, fakes="self-blended")
    reports = train(run, events=Events(note=notes.append))
    assert "the validation split has no fakes: its reals are blended" in notes
    assert all(report.val_auc is not None for report in reports)
    validation = make_task(run).validation
    assert [validation.label(index) for index in range(len(validation))] == [0, 1] * (len(validation) // 2)
    some = make_task(replace(run, fakes="self-blended", blend_share=0.5)).train
    whole = make_task(run).train
    assert len(whole) == 2 * 12
    assert len(some) == 2 * 6
    assert {some.path(index) for index in range(len(some))} < {whole.path(index) for index in range(len(whole))}
    with pytest.raises(UsageError, match="blend-share: expected --fakes self-blended or both"):
        replace(run, fakes="labelled", blend_share=0.5)


@pytest.mark.parametrize("mix", [{"mixup": 1.0}, {"cutmix": 1.0}])
def test_a_run_mixes_pictures_and_labels(manifest, tmp_path, monkeypatch, mix):
    """What the loss is computed on: shares of two classes, and pictures that no view of a crop is."""
    seen = []
    inputs = Engine._inputs

    def spy(engine, batch, generator):
        images, targets = inputs(engine, batch, generator)
        seen.append((to_input(batch.images), images, targets))
        return images, targets

    monkeypatch.setattr(Engine, "_inputs", spy)
    train(settings(manifest, tmp_path, epochs=1, **mix))
    assert all(torch.allclose(targets.sum(dim=1), torch.ones(12)) for _, _, targets in seen)
    assert any(((targets > 0.01) & (targets < 0.99)).any() for _, _, targets in seen)
    assert any(not torch.equal(plain, mixed) for plain, mixed, _ in seen)


def test_the_loss_has_the_settings_of_the_run(manifest, tmp_path):
    train(settings(manifest, tmp_path / "teacher", epochs=1))
    teacher = str(tmp_path / "teacher" / "last")
    run = settings(manifest, tmp_path / "s", teacher=teacher, distill="soft", alpha=0.3, temperature=4.0)
    loss = Engine(make_task(run), run, make_accelerator(run)).raw
    assert (loss.forms, loss.alpha, loss.temperature) == ({"soft"}, 0.3, 4.0)


def test_hard_distillation_of_a_cnn_is_refused(manifest, tmp_path):
    train(settings(manifest, tmp_path / "teacher", epochs=1))
    run = settings(
        manifest, tmp_path / "s", model="cnn-nano", teacher=str(tmp_path / "teacher" / "last"), distill="hard"
    )
    with pytest.raises(UsageError, match="cnn-nano: expected a ViT for hard distillation"):
        train(run)


def test_weight_decay_shrinks_matrices_alone(manifest, tmp_path):
    run = settings(manifest, tmp_path, weight_decay=0.5)
    groups = Engine(make_task(run), run, make_accelerator(run)).optimizer_raw.param_groups
    assert [(group["weight_decay"], {p.ndim > 1 for p in group["params"]}) for group in groups] == [
        (0.5, {True}),
        (0.0, {False}),
    ]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compiled_training_gives_the_same_losses(manifest, tmp_path):
    plain = train(settings(manifest, tmp_path / "a", epochs=2))
    compiled = train(settings(manifest, tmp_path / "b", epochs=2, compile=True))
    assert [r.train_loss for r in compiled] == pytest.approx([r.train_loss for r in plain], rel=0.02)
