"""Manifests: what is read, what is refused."""

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefake.data.manifest import PackedSamples, Sample, read_manifest
from edgefake_runtime.errors import InputError


def test_paths_are_relative_to_the_manifest(tmp_path):
    (tmp_path / "m.csv").write_text("file,label,split,identity_group\na/b.jpg,FAKE,train,x\nc.jpg,real,val,\n")
    first, second = read_manifest(tmp_path / "m.csv")
    assert first.path == tmp_path / "a/b.jpg"
    assert (first.fake, first.group, first.line, first.grouped) == (True, "x", 2, True)
    assert (second.fake, second.group, second.grouped) == (False, "c.jpg", False)
    assert read_manifest(tmp_path / "m.csv", split="val") == [second]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty file"),
        ("file,label\n", "got none"),
        ("name,label\na,real\n", "expected the columns file, label"),
        ("file,label\na.jpg,real\nb.jpg,maybe\n", r"m\.csv:3: expected the label real or fake"),
        ("file,label\na.jpg\n", r"m\.csv:2"),
        ("file,label\n,real\n", "file name"),
        ("\0\0\0", "expected"),
    ],
)
def test_damaged_manifests_are_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_manifest(tmp_path / "m.csv")
    assert "\n" not in str(caught.value)


def test_missing_folder_and_bytes_are_refused(tmp_path):
    (tmp_path / "m.csv").write_bytes(b"file,label\n\xff\xfe.jpg,real\n")
    for path in (tmp_path / "none.csv", tmp_path, tmp_path / "m.csv"):
        with pytest.raises(InputError, match="expected a CSV file"):
            read_manifest(path)


def test_unknown_split_names_the_known_ones(tmp_path):
    (tmp_path / "m.csv").write_text("file,label,split\na.jpg,real,train\n")
    with pytest.raises(InputError, match="splits here: train"):
        read_manifest(tmp_path / "m.csv", split="test")


@given(st.lists(st.tuples(*[st.text(st.characters(codec="utf-8", exclude_characters="\x00/"), min_size=1)] * 4)))
def test_packed_samples_are_the_samples(rows):
    samples = [Sample(Path(row[0]), *row[1:], line, line % 2 == 0) for line, row in enumerate(rows)]
    packed = pickle.loads(pickle.dumps(PackedSamples(samples)))
    assert list(packed) == samples
    assert len(packed) == len(samples)
