"""Which videos are chosen, and where their crops will lie."""

import pytest

from edgefake.prepare.balance import sample_videos, trim
from edgefake.prepare.plan import make_plan
from edgefake.prepare.settings import CropSettings, PrepareSettings, Shares
from edgefake.prepare.tree import SourceVideo
from edgefake_runtime.errors import UsageError

from .trees import swapped, touch, youtube

ALL_TRAIN = Shares(100, 0, 0)


def plan(root, **settings):
    return make_plan(root, PrepareSettings(CropSettings(), **settings))


def test_names_that_differ_by_their_suffix_keep_apart(tmp_path):
    names = ("real/a.mp4", "real/a.avi", "real/a.mp4.mp4", "real/b.mp4", "fake/c.mp4")
    touch(tmp_path, *names)
    folders = {v.source: v.folder for v in plan(tmp_path, shares=ALL_TRAIN, balance=False).videos}
    assert folders["real/b.mp4"] == "crops/train/real/real/b"
    assert folders["real/a.avi"] == "crops/train/real/real/a.avi"
    assert len(set(folders.values())) == len(names)


def test_the_thesis_takes_1000_reals_and_as_many_fakes_at_random(tmp_path):
    methods = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
    for n in range(100):
        touch(tmp_path, youtube(f"{n:03d}"), *(swapped(f"{n:03d}_{n ^ 1:03d}", method) for method in methods))
    videos = plan(tmp_path).videos
    for split, count in (("train", 80), ("val", 10), ("test", 10)):
        for label in ("real", "fake"):
            assert sum(v.split == split and v.label == label for v in videos) == count
    fakes = [v.source.split("/")[1] for v in videos if v.label == "fake"]
    assert all(10 < fakes.count(method) < 40 for method in methods)
    assert plan(tmp_path).digest() == plan(tmp_path).digest() != plan(tmp_path, seed=1).digest()


def test_methods_and_compressions_are_filtered(tmp_path):
    touch(tmp_path, youtube("000"), swapped("000_001"), swapped("000_001", "FaceSwap"), swapped("000_001", "Face2Face"))
    touch(tmp_path, youtube("000", "raw"), swapped("000_001", "Deepfakes", "raw"))
    found = plan(tmp_path, compression="c23", methods=("FaceSwap",), shares=ALL_TRAIN)
    assert {video.source for video in found.videos} == {youtube("000"), swapped("000_001", "FaceSwap")}
    assert {entry.reason: entry.count for entry in found.dropped} == {"other compression": 2, "other method": 2}
    assert len(plan(tmp_path, compression="all", shares=ALL_TRAIN, balance=False).videos) == 6
    with pytest.raises(UsageError, match="expected Deepfakes, Face2Face, FaceSwap; got Deepfake"):
        plan(tmp_path, compression="c23", methods=("Deepfake",))


def test_what_no_split_takes_is_reported(tmp_path):
    touch(tmp_path, "Celeb-real/id0_0000.mp4", "Celeb-synthesis/id0_id1_0000.mp4", "YouTube-real/00000.mp4")
    (tmp_path / "List_of_testing_videos.txt").write_text(
        "1 Celeb-real/id0_0000.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n"
    )
    found = plan(tmp_path, official_test=True, shares=Shares(0, 0, 100))
    assert {video.split for video in found.videos} == {"test"}
    assert [(entry.reason, entry.names) for entry in found.dropped] == [
        ("no split has a share left for it", ("YouTube-real/00000.mp4",))
    ]


@pytest.mark.parametrize(
    ("real", "fake"),
    [
        ("real/{:03d}.mp4", "fake/{:03d}_{:03d}.mp4"),
        ("train/real/{:03d}/0001.png", "test/fake/{:03d}_{:03d}/0001.png"),
        ("real/id{}_0000.mp4", "fake/id{}_id{}_0000.mp4"),
    ],
)
def test_nobody_stands_in_two_splits_of_a_plain_tree(tmp_path, real, fake):
    """40 people in a ring, each swapped with the next: all hang together."""
    touch(tmp_path, *(real.format(n) for n in range(40)), *(fake.format(n, (n + 1) % 40) for n in range(40)))
    found = plan(tmp_path)
    splits = {video.source: video.split for video in found.videos}
    seen = [{splits[name] for name in _shown(n, real, fake) if name in splits} for n in range(40)]
    assert max(map(len, seen)) == 1
    assert set(splits.values()) == {"train", "val", "test"}
    assert "are read as people" in found.notes[0]


def _shown(n, real, fake):
    """Files of a person of the ring."""
    return real.format(n), fake.format(n, (n + 1) % 40), fake.format((n - 1) % 40, n)


def test_folders_of_an_earlier_division_are_dealt_anew_with_a_note(tmp_path):
    names = [f"{split}/{label}/{n}.jpg" for split in ("train", "Test") for label in ("real", "fake") for n in range(9)]
    (note,) = plan(touch(tmp_path, *names)).notes
    assert note.startswith("folders named Test, train are dealt anew")
    alone = plan(tmp_path / "Test", shares=Shares(0, 0, 100))
    assert ({video.split for video in alone.videos}, alone.notes) == ({"test"}, ())


def test_a_sample_does_not_depend_on_other_videos():
    """More videos of one label, or another order, leave the choice among the others as it was."""
    reals = [SourceVideo(f"r{n}", "real", ("p",)) for n in range(20)]
    fakes = [SourceVideo(f"f{n}", "fake", ("p",)) for n in range(8)]

    def chosen(videos):
        split = {video.source: "train" for video in videos}
        kept, _, _ = sample_videos(videos, split, {"train": 1.0}, balance=True, max_videos=None, seed=3)
        return {video.source for video in kept}

    few = chosen(reals + fakes)
    assert len(few) == 16
    assert chosen((reals + fakes)[::-1]) == few
    more = chosen([*reals, *fakes, SourceVideo("f8", "fake", ("p",))])
    assert few < more
    assert len(more) == 18


def test_trimming_levels_the_labels():
    crops = {"real": [f"r{n}" for n in range(9)], "fake": ["f0", "f1"]}
    dropped = trim(crops, seed=0)
    assert len(dropped) == 7
    assert all(name.startswith("r") for name in dropped)
    assert trim(crops, seed=0) == dropped != trim(crops, seed=5)
