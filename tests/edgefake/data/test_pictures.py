"""What training sees: views, self-blended pairs, pictures that cannot be read."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgefake.data.manifest import Sample
from edgefake.data.pictures import Entries, Entry, PictureDataset, View, loader, read_crop, stream
from edgefake.data.views import centre_view
from edgefake_runtime.crops import resize
from edgefake_runtime.errors import InputError

ROOT = Path(__file__).parents[3]


def sample(path, label="real"):
    return Sample(path, label, "train", path.name, 2)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Eight real faces of 224 pixels."""
    folder = tmp_path_factory.mktemp("faces")
    strip = cv2.imread(str(ROOT / "export" / "edgefake_export" / "faces.png"))
    for index in range(8):
        cv2.imwrite(str(folder / f"{index}.png"), strip[:224, index * 224 : (index + 1) * 224])
    return [sample(folder / f"{index}.png") for index in range(8)]


def points(samples):
    """Five points where they are in a centred face."""
    return {s.path: np.array([[80, 95], [144, 95], [112, 130], [88, 165], [136, 165]], np.float32) for s in samples}


def test_entries_of_each_mode():
    samples = [sample(ROOT / "a.png"), sample(ROOT / "b.png", "fake"), sample(ROOT / "c.png")]
    known = {ROOT / "a.png": np.zeros((5, 2), np.float32)}
    assert list(Entries(samples)) == [Entry(0), Entry(1), Entry(2)]
    pair = [Entry(0, "target"), Entry(0, "fake")]
    assert list(Entries(samples, "self-blended", known)) == pair
    assert list(Entries(samples, "both", known)) == [Entry(0), Entry(1), Entry(2), *pair]


def test_a_pair_differs_inside_the_face_alone(faces, monkeypatch):
    """Real and blend before the random view: equal outside of the mask, different in the face."""
    monkeypatch.setattr(View, "random", lambda view, image, random: resize(image, view.size))
    data = PictureDataset(faces, View(224), fakes="self-blended", landmarks=points(faces))
    assert [data.label(index) for index in range(4)] == [0, 1, 0, 1]
    changed = []
    for epoch in range(3):
        for pair in range(8):
            real, fake = (data[(epoch, 2 * pair + half)].images.numpy().astype(int) for half in (0, 1))
            border = np.ones((224, 224), bool)
            border[10:-10, 10:-10] = False
            assert (real == fake)[border].mean() > 0.9
            changed.append(np.abs(real - fake)[60:190, 60:160].mean())
    assert np.median(changed) > 1
    first = data[(0, 1)].images
    assert torch.equal(first, data[(0, 1)].images)
    assert not torch.equal(first, data[(1, 1)].images)


def test_plain_views_are_what_the_runtime_cuts(faces):
    image = read_crop(faces[0])
    assert np.array_equal(View(112).plain(image), resize(image, 112))
    assert np.array_equal(View(112, "crop").plain(image), centre_view(image, 112, share=0.875))
    assert (View(112).share, View(112, "crop").share) == (1.0, 0.875)


@pytest.mark.parametrize("kind", ["face", "crop"])
def test_random_views_depend_on_epoch_and_index_alone(faces, kind):
    data = PictureDataset(faces, View(64, kind, randaugment=2), seed=5)
    again = PictureDataset(faces, View(64, kind, randaugment=2), seed=5)
    other = PictureDataset(faces, View(64, kind, randaugment=2), seed=6)
    assert torch.equal(data[(3, 2)].images, again[(3, 2)].images)
    assert not torch.equal(data[(3, 2)].images, data[(4, 2)].images)
    assert not torch.equal(data[(3, 2)].images, other[(3, 2)].images)


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_pictures_are_marked_or_named(faces, tmp_path, workers):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    samples = [faces[0], sample(tmp_path / "broken.jpg"), sample(tmp_path / "missing.jpg")]
    data = PictureDataset(samples, View(32))
    (batch,) = stream(loader(data, [[0, 1, 2]], workers=workers))
    assert batch.readable.tolist() == [True, False, False]
    assert batch.indices.tolist() == [0, 1, 2]
    strict = PictureDataset(samples, View(32), strict=True)
    with pytest.raises(InputError, match=r"broken\.jpg \(manifest line 2\): expected a picture"):
        list(stream(loader(strict, [[0, 1]], workers=workers)))
