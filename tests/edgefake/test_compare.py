"""Networks on the same pictures: top-1 and margins against code apart, each picture decoded once, batch by batch."""

import weakref

import cv2
import numpy as np
import pytest
import torch

from edgefake import compare as module
from edgefake.candidates import Look, open_candidates
from edgefake.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgefake.compare import compare, select
from edgefake.data.manifest import Sample
from edgefake.ptq import PTQConfig, quantize
from edgefake_runtime.errors import InputError, ModelFileError
from edgefake_runtime.metadata import Crop

from .checkpoints import CLASSES, CROP, detector, pretrained
from .crops import write_classes, write_crops


def guesses(network, paths):
    """Class numbers by torch alone: the shorter of 50 pixels at 37 = 32 / (224 / 256), the middle 32 of it."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    found = []
    for path in paths:
        small = cv2.resize(cv2.imread(str(path))[..., ::-1].copy(), (44, 37), interpolation=cv2.INTER_AREA)
        pixels = (torch.from_numpy(small[2:34, 6:38].copy()) / 255 - mean) / std
        with torch.no_grad():
            found.append(int(network(pixels.permute(2, 0, 1)[None])[0].argmax()))
    return np.array(found)


@pytest.fixture
def pictures(tmp_path):
    return write_classes(tmp_path / "data")


def everything(pictures):
    return [Sample(path, path.parent.name, path.parts[-3], "", 0) for path in sorted(pictures.glob("*/*/*.JPEG"))]


@pytest.mark.parametrize("config", [None, PTQConfig("absmax", 4), PTQConfig("zeropoint", 3)])
def test_top_1_is_what_torch_gives(config, pictures, tmp_path):
    samples = everything(pictures)
    candidates = open_candidates([pretrained(tmp_path / name, f"{name}-nano") for name in ("linvit", "cnn")])
    entrants = [(c, c.network if config is None else quantize(c.network, config)) for c in candidates]
    numbers = np.array([CLASSES.index(sample.label) for sample in samples])
    for (_, network), scores in zip(entrants, compare(entrants, samples), strict=True):
        expected = guesses(network, [sample.path for sample in samples]) == numbers
        assert 0 < expected.sum() < len(samples)
        assert np.array_equal(scores.right, expected)
        assert scores.accuracy == expected.sum() / len(samples)
        assert scores.margins is None


def test_classes_go_by_their_names(pictures, tmp_path):
    """A checkpoint with its logits and labels in another order scores the same."""
    samples = everything(pictures)
    loaded = load_checkpoint(pretrained(tmp_path / "a"))
    before = open_candidates([tmp_path / "a"])
    order = [2, 0, 1]
    for name, values in loaded.network.named_parameters():
        if name.startswith("head") and values.shape[0] == 3:
            values.data = values.data[order]
    labels = [CLASSES[index] for index in order]
    save_checkpoint(Checkpoint(loaded.network, loaded.model, {**loaded.metadata, "labels": labels}), tmp_path / "b")
    (first,), (second,) = (
        compare([(each, each.network)], samples) for each in (*before, *open_candidates([tmp_path / "b"]))
    )
    assert 0 < first.right.sum() < len(samples)
    assert np.array_equal(first.right, second.right)


def test_each_picture_is_decoded_once_and_a_batch_of_them_is_held(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 4)
    samples = everything(pictures)[:10]
    folders = [pretrained(tmp_path / "a"), pretrained(tmp_path / "b", recipe={"view": "face"})]
    candidates = open_candidates(folders)
    entrants = [(c, n) for c in candidates for n in (c.network, quantize(c.network, PTQConfig("absmax", 8)))]
    read, held, most, done = [], weakref.WeakValueDictionary(), [0], []
    decode, see = module.read_crop, Look.see

    def counted(sample):
        read.append(sample)
        image = decode(sample).copy()
        held[len(read), "picture"] = image
        return image

    def kept(look, image):
        seen = see(look, image).copy()
        held[len(read), look.view.kind] = seen
        most[0] = max(most[0], len(held))
        return seen

    monkeypatch.setattr(module, "read_crop", counted)
    monkeypatch.setattr(Look, "see", kept)
    steps = []
    for index, (_, network) in enumerate(entrants):
        network.register_forward_pre_hook(
            lambda _, given, index=index: steps.append((len(read), index, *given[0].shape))
        )
    compare(entrants, samples, on_done=done.append)
    assert read == samples
    assert steps == [(r, i, n, 3, 32, 32) for r, n in ((4, 4), (8, 4), (10, 2)) for i in range(4)]
    assert done == [4, 4, 4, 4, 4, 4, 4, 4, 2, 2, 2, 2]
    assert most[0] <= 2 * 4 + 2, "expected a batch for each of two views, and the pictures being read"


def test_detectors_have_margins_and_see_the_centre_of_wider_crops(tmp_path):
    samples = select(write_crops(tmp_path / "crops", 24), split="val", limit=None, classes=("real", "fake"))
    narrow, wide = open_candidates([detector(tmp_path / "a"), detector(tmp_path / "b", crop=CROP | {"margin": 0.5})])
    rule = Crop(**(CROP | {"margin": 0.5}))
    shown = {"a": [], "b": []}
    for sample in samples:
        picture = cv2.imread(str(sample.path))[..., ::-1].astype(np.uint8)
        shown["a"].append(cv2.resize(np.ascontiguousarray(picture[12:36, 12:36]), (32, 32)))
        shown["b"].append(cv2.resize(np.ascontiguousarray(picture), (32, 32), interpolation=cv2.INTER_AREA))
    found = compare([(narrow, narrow.network), (wide, wide.network)], samples, rule=rule)
    for candidate, name, scores in zip((narrow, wide), "ab", found, strict=True):
        with torch.no_grad():
            logits = candidate.network(candidate.look.to_input(shown[name])).double().numpy()
        assert scores.margins == pytest.approx(logits[:, 1] - logits[:, 0], abs=1e-5)
        fakes = [sample.fake for sample in samples]
        assert scores.right.tolist() == ((logits[:, 1] > logits[:, 0]) == fakes).tolist()
    assert not np.allclose(found[0].margins, found[1].margins, atol=1e-3)


def test_logits_that_are_no_numbers_are_refused(pictures, tmp_path):
    (candidate,) = open_candidates([pretrained(tmp_path / "a")])
    with torch.no_grad():
        next(candidate.network.head.parameters()).fill_(float("nan"))
    with pytest.raises(ModelFileError, match="linvit-nano: expected finite logits"):
        compare([(candidate, candidate.network)], everything(pictures)[:1])


def test_a_picture_that_cannot_be_read_is_named(pictures, tmp_path):
    (candidate,) = open_candidates([pretrained(tmp_path / "a")])
    broken = pictures / "val" / CLASSES[1] / "1.JPEG"
    broken.write_bytes(b"\xff\xd8")
    with pytest.raises(InputError, match=r"1\.JPEG: expected a picture"):
        compare([(candidate, candidate.network)], select(pictures, split="val", limit=None, classes=CLASSES))


def test_select_takes_imagenets_layout_without_train(pictures):
    (pictures / "train").rename(pictures / "gone")
    samples = select(pictures, split="val", limit=None, classes=CLASSES)
    assert [s.path.relative_to(pictures).as_posix() for s in samples] == [
        f"val/{name}/{index}.JPEG" for name in CLASSES for index in range(3)
    ]
    assert [s.label for s in samples] == [name for name in CLASSES for _ in range(3)]


def test_select_takes_a_manifest_of_any_labels(tmp_path):
    (tmp_path / "m.csv").write_text("file,label,split\n1.jpg,Dog,val\n2.jpg,cat,train\n3.jpg,cat,val\n")
    samples = select(tmp_path / "m.csv", split="val", limit=None, classes=("Dog", "cat", "cow"))
    assert [(s.path.name, s.label) for s in samples] == [("1.jpg", "Dog"), ("3.jpg", "cat")]


def test_classes_that_the_networks_do_not_know_are_refused(pictures):
    message = r"among the 2 of the checkpoints, got 1 others such as n00000001; take"
    with pytest.raises(InputError, match=message):
        select(pictures, split="val", limit=1, classes=(CLASSES[0], CLASSES[2]))


def test_a_limit_draws_the_same_pictures_of_several_classes(tmp_path):
    manifest = write_crops(tmp_path, 48)
    chosen = select(manifest, split="val", limit=6, classes=("real", "fake"))
    assert chosen == select(manifest, split="val", limit=6, classes=("real", "fake"))
    assert len({sample.path for sample in chosen}) == 6
    assert {sample.label for sample in chosen} == {"real", "fake"}
    assert len(select(manifest, split="val", limit=99, classes=("real", "fake"))) == 12
    with pytest.raises(InputError, match="splits here: train, val"):
        select(manifest, split="test", limit=None, classes=("real", "fake"))
