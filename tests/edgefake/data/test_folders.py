"""Classes in folders or a manifest: what is listed, what is refused."""

import os

import pytest

from edgefake.data.folders import read_classes, read_split
from edgefake_runtime.errors import InputError


def fill(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.fixture
def root(tmp_path):
    return fill(
        tmp_path / "data",
        "train/b/2.JPEG",
        "train/b/10.jpg",
        "train/a/deep/er/x.PNG",
        "train/a/y.webp",
        "train/a/z.bmp",
        "train/c/u.jpeg",
        "val/a/1.jpg",
        "val/c/1.jpg",
    )


def names(samples, root):
    return [sample.path.relative_to(root).as_posix() for sample in samples]


def test_classes_are_sorted_and_every_picture_is_listed(root):
    data = read_classes(root)
    assert data.classes == ("a", "b", "c")
    assert names(data.train, root) == [
        "train/a/deep/er/x.PNG",
        "train/a/y.webp",
        "train/a/z.bmp",
        "train/b/10.jpg",
        "train/b/2.JPEG",
        "train/c/u.jpeg",
    ]
    assert [sample.label for sample in data.train] == ["a", "a", "a", "b", "b", "c"]
    first = data.val[0]
    assert (first.label, first.split, first.group, first.line) == ("a", "val", "val/a/1.jpg", 0)
    assert names(data.val, root) == ["val/a/1.jpg", "val/c/1.jpg"]


def test_other_files_hidden_ones_and_other_splits_are_passed_over(root):
    before = read_classes(root)
    fill(root, "train/a/notes.txt", "train/a/._y.webp", "train/.cache/k.jpg", "train/README", "test/q/1.jpg", "x.jpg")
    assert read_classes(root) == before


def test_symbolic_links_to_classes_are_followed(root, tmp_path):
    fill(tmp_path / "elsewhere", "1.jpg")
    (root / "train" / "d").symlink_to(tmp_path / "elsewhere")
    assert read_classes(root).classes == ("a", "b", "c", "d")


def test_a_manifest_of_any_labels(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("file,label,split\nx/1.jpg,dog,train\nx/2.jpg,Cat,train\ny/1.jpg,dog,val\nz.jpg,cow,test\n")
    data = read_classes(path)
    assert data.classes == ("Cat", "dog")
    assert names(data.train, tmp_path) == ["x/1.jpg", "x/2.jpg"]
    assert [(sample.label, sample.line) for sample in data.val] == [("dog", 4)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.jpg,x\n", "expected the columns file, label, split"),
        ("file,label,split\na.jpg,x,train\nb.jpg,x,val\n", "two classes or more in train, got only x"),
        ("file,label,split\na.jpg,x,train\nb.jpg,y,train\n", "expected pictures in val, got none"),
        ("file,label,split\na.jpg,x,train\nb.jpg,y,train\nc.jpg,z,val\n", "got 1: z; add"),
    ],
)
def test_manifests_of_no_use_are_refused(tmp_path, text, message):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_classes(tmp_path / "m.csv")


def test_classes_that_train_lacks_are_named_and_counted(root):
    fill(root, *(f"val/{name}/1.jpg" for name in ("q", "r", "s", "t", "u")))
    with pytest.raises(InputError, match=r"no class in val that train lacks, got 5: q, r, s and 2 more; add"):
        read_classes(root)


def test_class_folders_without_train_get_told_the_layout(tmp_path):
    fill(tmp_path, "cat/1.jpg", "dog/1.jpg")
    with pytest.raises(InputError) as caught:
        read_classes(tmp_path)
    message = str(caught.value)
    assert "expected train/<class>/*.jpg and val/<class>/*.jpg, got no folder train but cat, dog" in message
    assert f"{tmp_path / 'train'}/<class>/" in message


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train/a/1.jpg", "train/b/1.jpg"], "got no folder val, only train; add it"),
        (["1.jpg"], "got no folder train and no other"),
        (["train/a/1.jpg", "train/b/1.jpg", "val/1.jpg", "val/2.jpg"], r"2 pictures outside of any, such as 1\.jpg"),
        (["train/a/1.jpg", "train/b/1.txt", "val/a/1.jpg"], "in every class, got none in 1: b; fill"),
        (["train/a/1.jpg", "val/a/1.jpg"], "two classes or more in train, got only a"),
        (["train/.keep", "val/a/1.jpg"], "expected pictures in train, got none"),
    ],
)
def test_other_layouts_are_refused_in_one_line(tmp_path, files, message):
    fill(tmp_path, *files)
    with pytest.raises(InputError, match=message) as caught:
        read_classes(tmp_path)
    assert "\n" not in str(caught.value)


def test_nothing_there_and_no_csv_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"got nothing$"):
        read_classes(tmp_path / "none")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(InputError, match="expected a CSV file"):
        read_classes(tmp_path / "photo.jpg")


def test_folders_that_cannot_be_read_are_named(root, monkeypatch):
    scandir = os.scandir

    def guarded(folder):
        if os.fspath(folder).endswith("er"):
            raise PermissionError(13, "Permission denied", os.fspath(folder))
        return scandir(folder)

    # File modes do not stop root, as which tests may run.
    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(InputError, match=r"deep/er: expected a folder to read, got: Permission denied"):
        read_classes(root)


def test_a_split_alone_is_what_both_would_give(root):
    assert read_split(root, "val") == read_classes(root).val
    assert read_split(root, "train") == read_classes(root).train
    (root / "train").rename(root.parent / "gone")
    assert names(read_split(root, "val"), root) == ["val/a/1.jpg", "val/c/1.jpg"]
    fill(root, "test/q/1.jpg")
    assert [(sample.label, sample.split) for sample in read_split(root, "test")] == [("q", "test")]


def test_a_split_of_a_manifest(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("file,label,split\nx/1.jpg,dog,train\ny/1.jpg,Cat,val\n")
    assert [(sample.label, sample.line) for sample in read_split(path, "val")] == [("Cat", 3)]
    with pytest.raises(InputError, match="rows of the split 'test', got none"):
        read_split(path, "test")
    path.write_text("file,label\n1.jpg,dog\n")
    with pytest.raises(InputError, match="expected the columns file, label, split"):
        read_split(path, "val")


def test_a_split_that_is_not_there_is_refused_in_one_line(root, tmp_path):
    with pytest.raises(InputError, match=r"expected val/<class>/\*\.jpg, got no folder val but a, c; name the folder"):
        read_split(root / "val", "val")
    with pytest.raises(InputError, match=r"expected test/<class>/\*\.jpg, got no folder test, only train, val; add it"):
        read_split(root, "test")
    fill(root, "test/readme.txt")
    with pytest.raises(InputError, match="expected pictures in test, got none"):
        read_split(root, "test")
    with pytest.raises(InputError, match=r"expected a folder with val/<class>/\*\.jpg, or a manifest"):
        read_split(tmp_path / "none", "val")
