"""Names in a plain tree -> people, and plain numbers -> none."""

import re

import pytest

from edgefake.prepare.layouts import add_groups, read_layout
from edgefake.prepare.tree import list_tree

from .trees import touch


def read(root, *names):
    """Identities by source, and notes."""
    layout, reading = read_layout(list_tree(touch(root, *names)))
    assert layout == "folders"
    return {video.source: set(video.identities) for video in reading.videos}, reading.notes


@pytest.mark.parametrize(
    ("real", "fake", "people"),
    [
        ("000.mp4", "000_003.mp4", "youtube:000 youtube:003"),
        ("000_c23.mp4", "Deepfakes/000_003_c23.mp4", "youtube:000 youtube:003"),
        ("000_012.png", "000_003_012.png", "youtube:000 youtube:003"),
        ("000-7.png", "000_003-7.png", "youtube:000 youtube:003"),
        ("000/012.png", "000_003/012.png", "youtube:000 youtube:003"),
        ("256/000.png", "256/000_003.png", "youtube:000 youtube:003"),
        ("id0_0000.mp4", "id0_id16_0000.mp4", "celeb:id0 celeb:id16"),
        ("id0_0003_7.png", "id0_id16_0000_7.png", "celeb:id0 celeb:id16"),
        ("id0_0003/7.png", "id0_id16_0000/7.png", "celeb:id0 celeb:id16"),
        ("01__talking.mp4", "01_02__walking__YVGY8LOK.mp4", "actor:01 actor:02"),
    ],
)
def test_names_of_known_sets_are_people(tmp_path, real, fake, people):
    found, notes = read(tmp_path, f"real/{real}", f"fake/{fake}")
    first, second = people.split()
    assert found == {f"real/{real}": {first}, f"fake/{fake}": {first, second}}
    shown = " and ".join(person.partition(":")[2] for person in (first, second))
    assert notes == (
        "2 of 2 names are like those of FaceForensics++ and Celeb-DF and are read as people: "
        f"fake/{fake} shows {shown}",
    )


@pytest.mark.parametrize(
    ("reals", "fakes"),
    [
        ([f"{n:04d}" for n in range(1, 99)], [f"{n:04d}" for n in range(50, 150)]),
        ([f"{n:03d}" for n in range(1, 99)], [f"{n:03d}" for n in range(50, 150)]),
        (["0001", "0002"], ["0001_0002"]),
        (["000", "001"], ["1000_1001", "x_000_001", "000_001a", "00_01"]),
        (["id0", "id1_00", "id_0001"], ["id0_id1", "video_0001"]),
        (["0", "003"], ["000_003", "other"]),
    ],
)
def test_plain_numbers_stay_one_identity_each(tmp_path, reals, fakes):
    names = [f"{label}/{stem}.mp4" for label, stems in (("real", reals), ("fake", fakes)) for stem in stems]
    found, notes = read(tmp_path, *names)
    assert found == {name: {f"file:{name[5:-4]}"} for name in names}
    assert notes == ()


def test_pairs_among_other_fakes_count_where_reals_have_their_numbers(tmp_path):
    fakes = ("fake/000_003.mp4", "fake/005_006.mp4", "fake/003_fake.mp4", "fake/other.mp4")
    found, _ = read(tmp_path, "real/000.mp4", "real/003.mp4", "real/0003.mp4", *fakes)
    assert found == {
        "real/000.mp4": {"youtube:000"},
        "real/003.mp4": {"youtube:003"},
        "real/0003.mp4": {"file:0003"},
        "fake/000_003.mp4": {"youtube:000", "youtube:003"},
        "fake/005_006.mp4": {"youtube:005", "youtube:006"},
        "fake/003_fake.mp4": {"youtube:003"},
        "fake/other.mp4": {"file:other"},
    }


def test_pairs_count_where_all_fakes_are_pairs_though_no_real_has_their_numbers(tmp_path):
    found, _ = read(tmp_path, "real/a.mp4", "fake/000_003.mp4", "fake/003_000.mp4", "fake/id0_id1_0000.mp4")
    assert found["fake/000_003.mp4"] == found["fake/003_000.mp4"] == {"youtube:000", "youtube:003"}
    assert found["real/a.mp4"] == {"file:a"}


def test_numbers_of_videos_and_frames_are_no_pairs_and_noted(tmp_path):
    found, notes = read(tmp_path, "real/000_001.jpg", "real/000_002.jpg", "fake/000_001.jpg", "fake/001_002.jpg")
    assert found["real/000_001.jpg"] == found["fake/000_001.jpg"] == {"file:000_001"}
    assert found["real/000_002.jpg"] == {"file:000_002"}
    assert len(notes) == 1
    assert "not read as a pair" in notes[0]
    (regex,) = re.findall("--group-regex '(.*)'", notes[0])
    grouped = add_groups(read_layout(list_tree(tmp_path))[1], regex)
    assert {video.source: video.identities[-1] for video in grouped.videos} == {
        **dict.fromkeys(("real/000_001.jpg", "real/000_002.jpg", "fake/000_001.jpg"), "group:000"),
        "fake/001_002.jpg": "group:001",
    }


def test_frames_in_folders_without_known_names_keep_their_note(tmp_path):
    _, notes = read(tmp_path, "real/anna/1.jpg", "real/000/1.jpg", "fake/000_003/1.jpg", "fake/003_000/1.jpg")
    assert [note.split(" ", 1)[0] for note in notes] == ["3", "1"]
    assert notes[1].startswith("1 pictures lie in folders of their own")
