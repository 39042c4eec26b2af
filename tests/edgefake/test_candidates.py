"""Checkpoints for a table: their classes, what they see of a picture, which may stand together."""

import numpy as np
import pytest
import torch

from edgefake.candidates import open_candidates, open_detectors
from edgefake.checkpoint import Checkpoint, save_checkpoint
from edgefake.data.pictures import View, to_input
from edgefake.data.views import centre_view
from edgefake.models import build
from edgefake_runtime.errors import ModelFileError, UsageError
from edgefake_runtime.metadata import Crop

from .checkpoints import CLASSES, CROP, detector, pretrained


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)


def test_a_pretrained_network_sees_the_middle_as_at_validation(tmp_path, picture):
    (candidate,) = open_candidates([pretrained(tmp_path / "a")])
    assert (candidate.labels, candidate.detector, candidate.name) == (CLASSES, False, "linvit-nano")
    look = candidate.look_at(Crop(0.5, 0.0, True, "of no meaning here"))
    assert look == candidate.look_at(None)
    seen = look.see(picture)
    assert np.array_equal(seen, centre_view(picture, 32, share=224 / 256))
    assert np.array_equal(seen, View(32, "crop").plain(picture))
    framed = picture.copy()
    framed[:2] = 255
    assert np.array_equal(look.see(framed), seen)
    expected = to_input(torch.from_numpy(np.stack([seen, seen[::-1]])))
    assert torch.allclose(look.to_input([seen, seen[::-1]]), expected, atol=1e-6)


def test_the_view_is_the_recipes(tmp_path, picture):
    (candidate,) = open_candidates([pretrained(tmp_path / "a", recipe={"view": "face"})])
    assert np.array_equal(candidate.look.see(picture), View(32, "face").plain(picture))


def test_a_detector_sees_its_share_of_wider_crops(tmp_path, picture):
    (candidate,) = open_candidates([detector(tmp_path / "a")])
    assert candidate.detector
    square = picture[:, :50]
    assert np.array_equal(candidate.look_at(None).see(square), View(32, "face").plain(square))
    middle = np.ascontiguousarray(square[12:37, 12:37])
    wider = candidate.look_at(Crop(0.5, 0.0, True, "a test"))
    assert np.array_equal(wider.see(square), View(32, "face").plain(middle))


def test_equal_names_are_told_apart_by_their_folders(tmp_path):
    first, second = pretrained(tmp_path / "a"), pretrained(tmp_path / "b")
    other = pretrained(tmp_path / "c", model="cnn-nano")
    assert [c.name for c in open_candidates([first, first])] == ["linvit-nano"]
    names = [f"linvit-nano ({first})", f"linvit-nano ({second})", "cnn-nano"]
    assert [c.name for c in open_candidates([first, second, other])] == names


def test_other_classes_do_not_stand_in_one_table(tmp_path):
    here = pretrained(tmp_path / "a")
    assert len(open_candidates([here, pretrained(tmp_path / "b", labels=CLASSES[::-1])])) == 2
    with pytest.raises(UsageError, match=r"a of n00000000 and n00000001 and n00000002 and .*/d of real and fake; make"):
        open_candidates([here, detector(tmp_path / "d")])
    with pytest.raises(UsageError, match="same classes"):
        open_candidates([here, pretrained(tmp_path / "c", labels=("cat", "cow", "dog"))])
    with pytest.raises(ModelFileError, match="fine-tune it first"):
        open_detectors([here])


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"labels": ["a", "b"]}, "3 classes, got 2 names; train it again"),
        ({"labels": ["a", "b", "b"]}, "3 classes, got 2 names"),
        ({"labels": "abc"}, "3 classes, got 0 names"),
        ({"labels": [1, 2, 3]}, "3 classes, got 0 names"),
        ({"mean": None}, "with its mean, got None"),
        ({"mean": [0.5, 0.5]}, "mean: expected three numbers"),
        ({"std": ["a", 1, 1]}, "with its std"),
        ({"std": [1, 0, 1]}, "std: expected positive"),
        ({"recipe": {"view": "all"}}, "view: expected face or crop, got all"),
    ],
)
def test_checkpoints_that_lack_what_a_table_needs_are_refused(tmp_path, metadata, message):
    with pytest.raises(ModelFileError, match=message) as caught:
        open_candidates([pretrained(tmp_path / "a", **metadata)])
    assert str(caught.value).startswith(f"{tmp_path / 'a'}: ")


def test_a_network_of_three_classes_without_names_is_refused(tmp_path):
    save_checkpoint(Checkpoint(build("cnn-nano", classes=3), "cnn-nano", {"crop": CROP}), tmp_path / "a")
    with pytest.raises(ModelFileError, match="3 classes, got none"):
        open_candidates([tmp_path / "a"])
