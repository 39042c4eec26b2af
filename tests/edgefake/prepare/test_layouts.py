"""Real names of each data set -> labels and identities."""

import json
from pathlib import Path

import pytest

from edgefake.prepare.layouts import LAYOUTS, add_groups, read_layout
from edgefake.prepare.tree import list_tree
from edgefake_runtime.errors import InputError, UsageError

from .trees import dfdc, swapped, touch, youtube


def read(root, name="auto"):
    """Layout found, and (label, identities) by source."""
    layout, reading = read_layout(list_tree(root), name)
    return layout, {video.source: (video.label, video.identities) for video in reading.videos}, reading


def test_faceforensics_numbers_are_target_and_source(tmp_path):
    methods = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
    touch(tmp_path, youtube("000"), youtube("003"), *(swapped("000_003", method) for method in methods))
    touch(tmp_path, "manipulated_sequences/Deepfakes/masks/videos/000_003.mp4", "notes.mp4", "README.txt")
    layout, videos, reading = read(tmp_path)
    assert layout == "ffpp"
    assert videos[youtube("000")] == ("real", ("youtube:000",))
    for method in methods:
        assert videos[swapped("000_003", method)] == ("fake", ("youtube:000", "youtube:003"))
    assert {video.method for video in reading.videos} == {"", *methods}
    assert {video.compression for video in reading.videos} == {"c23"}
    assert reading.unknown == ("notes.mp4",)
    assert list(reading.left_out.values()) == [("manipulated_sequences/Deepfakes/masks/videos/000_003.mp4",)]


def test_deep_fake_detection_numbers_actors_anew(tmp_path):
    real = "original_sequences/actors/c23/videos/01__talking_against_wall.mp4"
    name = "01_02__outside_talking_still_laughing__YVGY8LOK"
    touch(tmp_path, real, swapped(name, "DeepFakeDetection"), youtube("001"))
    layout, videos, _ = read(tmp_path)
    assert layout == "ffpp"
    assert videos == {
        real: ("real", ("actor:01",)),
        swapped(name, "DeepFakeDetection"): ("fake", ("actor:01", "actor:02")),
        youtube("001"): ("real", ("youtube:001",)),
    }


CELEB = ("Celeb-real/id0_0000.mp4", "YouTube-real/00000.mp4", "Celeb-synthesis/id0_id1_0000.mp4")


def test_celeb_df_and_its_test_list(tmp_path):
    touch(tmp_path, *CELEB, "Celeb-real/id1_0003.mp4")
    listed = "1 YouTube-real/00000.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n\n1 Celeb-real/id9_0001.mp4\n"
    (tmp_path / "List_of_testing_videos.txt").write_text(listed)
    layout, videos, reading = read(tmp_path)
    assert layout == "celeb-df"
    assert videos == {
        CELEB[0]: ("real", ("celeb:id0",)),
        "Celeb-real/id1_0003.mp4": ("real", ("celeb:id1",)),
        CELEB[1]: ("real", ("youtube:00000",)),
        CELEB[2]: ("fake", ("celeb:id0", "celeb:id1")),
    }
    assert {video.source for video in reading.videos if video.official_test} == {CELEB[1], CELEB[2]}
    assert reading.notes == ("1 of 3 videos of List_of_testing_videos.txt are not there",)


@pytest.mark.parametrize(
    ("line", "message"),
    [("0 Celeb-real/id0_0000.mp4", "says fake"), ("Celeb-real/id0_0000.mp4", "txt:1: expected '1 Celeb-real")],
)
def test_celeb_df_refuses_a_list_that_contradicts(tmp_path, line, message):
    touch(tmp_path, *CELEB)
    (tmp_path / "List_of_testing_videos.txt").write_text(f"{line}\n")
    with pytest.raises(InputError, match=message):
        read(tmp_path)


DEEPER_FAKE = "manipulated_videos/end_to_end/000_M101.mp4"
STUDIO = "source_videos/M004/light_up/surprise/camera_down/M004_light_up_surprise_camera_down.mp4"
BLEND_SHAPE = "source_videos/W101/BlendShape/camera_front/W101_BlendShape_camera_front.mp4"


def test_deeperforensics_without_the_originals_takes_the_studio_recordings(tmp_path):
    touch(tmp_path, DEEPER_FAKE, STUDIO, BLEND_SHAPE, "manipulated_videos/end_to_end_level_5/000_M101.mp4")
    layout, videos, reading = read(tmp_path)
    assert layout == "deeperforensics"
    assert videos == {
        DEEPER_FAKE: ("fake", ("actor:M101", "youtube:000")),
        "manipulated_videos/end_to_end_level_5/000_M101.mp4": ("fake", ("actor:M101", "youtube:000")),
        STUDIO: ("real", ("actor:M004",)),
        BLEND_SHAPE: ("real", ("actor:W101",)),
    }
    assert "studio recordings" in reading.notes[0]


def test_deeperforensics_leaves_the_recordings_out_where_the_originals_are(tmp_path):
    touch(tmp_path, DEEPER_FAKE, STUDIO, youtube("000"))
    layout, videos, reading = read(tmp_path)
    assert layout == "deeperforensics"
    assert set(videos) == {DEEPER_FAKE, youtube("000")}
    assert videos[youtube("000")] == ("real", ("youtube:000",))
    assert list(reading.left_out.values()) == [(STUDIO,)]


def test_uadfv_pairs_by_number(tmp_path):
    touch(tmp_path, "real/0000.mp4", "real/0001.mp4", "fake/0000_fake.mp4")
    layout, videos, _ = read(tmp_path)
    assert layout == "uadfv"
    assert videos["real/0000.mp4"] == ("real", ("uadfv:0000",))
    assert videos["fake/0000_fake.mp4"] == ("fake", ("uadfv:0000",))
    assert videos["real/0001.mp4"] == ("real", ("uadfv:0001",))


def test_names_like_those_of_uadfv_among_others_are_folders(tmp_path):
    touch(tmp_path, "real/0000.mp4", "fake/0000_fake.mp4", "fake/another.mp4")
    layout, videos, _ = read(tmp_path)
    assert layout == "folders"
    assert videos["real/0000.mp4"] == ("real", ("file:0000",))
    assert videos["fake/0000_fake.mp4"] == ("fake", ("file:0000",))
    assert videos["fake/another.mp4"] == ("fake", ("file:another",))


def test_deepfake_timit_with_vidtimit_beside(tmp_path):
    fakes = [f"DeepfakeTIMIT/{quality}_quality/fadg0/sa1-video-fram1.avi" for quality in ("higher", "lower")]
    frames = [f"VidTIMIT/fadg0/video/sa1/{number:03d}" for number in range(1, 4)]
    touch(tmp_path, *fakes, *frames, "VidTIMIT/fram1/fram1.wav", "DeepfakeTIMIT/higher_quality/fadg0/sa1.wav")
    layout, videos, reading = read(tmp_path)
    assert layout == "df-timit"
    assert videos == {
        **dict.fromkeys(fakes, ("fake", ("timit:fadg0", "timit:fram1"))),
        "VidTIMIT/fadg0/video/sa1": ("real", ("timit:fadg0",)),
    }
    assert {video.method for video in reading.videos} == {"", "higher_quality", "lower_quality"}
    assert reading.unknown == ()


def test_dfdc_links_a_fake_with_its_original(tmp_path):
    entries = {
        "aaaaaaaaaa.mp4": {"label": "FAKE", "split": "train", "original": "xyzxyzxyzx.mp4"},
        "xyzxyzxyzx.mp4": {"label": "REAL", "split": "train"},
    }
    dfdc(tmp_path, "dfdc_train_part_0", entries)
    dfdc(tmp_path, "dfdc_train_part_1/inner", {"bbbbbbbbbb.mp4": {"label": "REAL", "split": "train"}})
    layout, videos, _ = read(tmp_path)
    assert layout == "dfdc"
    assert videos == {
        "dfdc_train_part_0/aaaaaaaaaa.mp4": ("fake", ("dfdc:xyzxyzxyzx.mp4",)),
        "dfdc_train_part_0/xyzxyzxyzx.mp4": ("real", ("dfdc:xyzxyzxyzx.mp4",)),
        "dfdc_train_part_1/inner/bbbbbbbbbb.mp4": ("real", ("dfdc:bbbbbbbbbb.mp4",)),
    }
    assert read(tmp_path / "dfdc_train_part_0")[0] == "dfdc"


def test_dfdc_reports_what_its_listing_and_its_folder_do_not_share(tmp_path):
    dfdc(tmp_path, ".", {"aaaaaaaaaa.mp4": {"label": "REAL", "split": "train"}})
    touch(tmp_path, "stray.mp4")
    (tmp_path / "metadata.json").write_text(
        json.dumps({"aaaaaaaaaa.mp4": {"label": "REAL"}, "gone.mp4": {"label": "FAKE", "original": "aaaaaaaaaa.mp4"}})
    )
    _, videos, reading = read(tmp_path)
    assert set(videos) == {"aaaaaaaaaa.mp4"}
    assert reading.unknown == ("stray.mp4",)
    assert "1 videos that metadata.json names are not there" in reading.notes


@pytest.mark.parametrize("text", ["{", '{"a.mp4": {"label": "maybe"}}'])
def test_dfdc_refuses_a_damaged_listing(tmp_path, text):
    touch(tmp_path, "a.mp4")
    (tmp_path / "metadata.json").write_text(text)
    with pytest.raises(InputError, match=r"metadata\.json: expected"):
        read(tmp_path)


def test_dfdc_preview_names_its_actors(tmp_path):
    real, fake = "original_videos/1003254/1003254_A_001.mp4", "method_A/1255229/1255229_1003254/x_A_001.mp4"
    touch(tmp_path, real, fake)
    entries = {
        real: {"label": "real", "set": "train", "target_id": "1003254", "swapped_id": None, "augmentations": []},
        fake: {"label": "fake", "set": "test", "target_id": "1003254", "swapped_id": "1255229", "augmentations": []},
    }
    (tmp_path / "dataset.json").write_text(json.dumps(entries))
    layout, videos, reading = read(tmp_path)
    assert layout == "dfdc-preview"
    assert videos == {real: ("real", ("dfdc:1003254",)), fake: ("fake", ("dfdc:1003254", "dfdc:1255229"))}
    assert [video.source for video in reading.videos if video.official_test] == [fake]


def test_folders_pair_by_path_and_take_the_innermost_label(tmp_path):
    touch(tmp_path, "a/real/x/1.mp4", "a/FAKE/x/1.avi", "a/fake/2.jpg", "real/b/fake/3.mp4", "other/4.mp4")
    layout, videos, reading = read(tmp_path)
    assert layout == "folders"
    assert videos == {
        "a/real/x/1.mp4": ("real", ("file:a/x/1",)),
        "a/FAKE/x/1.avi": ("fake", ("file:a/x/1",)),
        "a/fake/2.jpg": ("fake", ("file:a/2",)),
        "real/b/fake/3.mp4": ("fake", ("file:real/b/3",)),
    }
    assert reading.unknown == ("other/4.mp4",)


def test_a_group_regex_adds_an_identity(tmp_path):
    touch(tmp_path, "real/anna/1.jpg", "real/anna/2.jpg", "fake/3.jpg")
    _, reading = read_layout(list_tree(tmp_path))
    assert "--group-regex" in reading.notes[0]
    groups = {v.source: v.identities for v in add_groups(reading, r"real/([^/]+)/").videos}
    assert groups["real/anna/1.jpg"] == ("file:anna/1", "group:anna")
    assert groups["real/anna/2.jpg"] == ("file:anna/2", "group:anna")
    assert groups["fake/3.jpg"] == ("file:3",)
    with pytest.raises(UsageError, match="group regex"):
        add_groups(reading, "nowhere")


def test_a_data_set_may_lie_in_a_folder_of_source(tmp_path):
    touch(tmp_path, f"FF/{youtube('000')}", f"FF/{swapped('000_003')}")
    assert read(tmp_path)[0] == "ffpp"


def test_two_data_sets_side_by_side_are_refused_and_a_name_chooses(tmp_path):
    touch(tmp_path, youtube("000"), *CELEB)
    with pytest.raises(UsageError, match=r"ffpp \(1 videos\), celeb-df \(3 videos\)"):
        read(tmp_path)
    layout, videos, reading = read(tmp_path, "celeb-df")
    assert (layout, set(videos)) == ("celeb-df", set(CELEB))
    assert reading.unknown == (youtube("000"),)


def test_a_layout_that_does_not_fit_or_does_not_exist_is_refused(tmp_path):
    touch(tmp_path, *CELEB)
    with pytest.raises(InputError, match=r"ffpp: original_sequences.*Celeb-real/id0_0000\.mp4"):
        read(tmp_path, "ffpp")
    with pytest.raises(UsageError, match="expected auto, ffpp"):
        read(tmp_path, "ff++")


def test_an_unknown_tree_names_the_layouts_and_what_was_seen(tmp_path):
    touch(tmp_path, "clips/1.mp4", "clips/2.mp4", "clips/labels.csv")
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    message = str(caught.value)
    assert all(f"{name}: " in message for name in LAYOUTS)
    assert "2 x .mp4, 1 x .csv" in message
    assert "clips/1.mp4" in message


def test_linked_folders_are_followed_once_and_loops_end(tmp_path):
    touch(tmp_path / "elsewhere", "id0_0000.mp4")
    root = touch(tmp_path / "set", "Celeb-synthesis/id0_id1_0000.mp4", ".hidden/id5_0000.mp4")
    (root / "Celeb-real").symlink_to(tmp_path / "elsewhere")
    (root / "Celeb-real" / "loop").symlink_to(root)
    assert [Path(name).name for name in list_tree(root).files] == ["id0_0000.mp4", "id0_id1_0000.mp4"]


def test_a_name_that_is_not_utf8_is_reported(tmp_path):
    touch(tmp_path, "real/1.mp4")
    (Path(str(tmp_path)) / "real" / b"\xff.mp4".decode("utf-8", "surrogateescape")).touch()
    tree = list_tree(tmp_path)
    assert tree.files == ("real/1.mp4",)
    assert tree.unreadable == (("real/\\xff.mp4", "its name is not UTF-8; rename it"),)
