"""The bundle of an app: what is in it, that its description is true and as documented, that it is whole or not there.

The classifier is the shipped file; exporting one into a bundle is tested with the command line.
"""

import contextlib
import hashlib
import inspect
import json
import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefake_export.bundle import CLASSIFIER, write_bundle
from edgefake_export.bundle_folder import DESCRIPTION, require_folder
from edgefake_export.verify import ExportReport
from edgefake_runtime import ModelMetadata, aggregate, verdict
from edgefake_runtime.classifier import Classifier
from edgefake_runtime.errors import CheckFailedError, InputError, UsageError
from edgefake_runtime.mtcnn import FaceDetector
from edgefake_runtime.shipped import DEFAULT_MODEL, models_folder

from .tflite_answers import interpreter

ROOT = Path(__file__).parents[2]
DOCUMENTED = (ROOT / "docs" / "android-bundle.md").read_text()
SHIPPED = models_folder() / DEFAULT_MODEL
NETWORKS = ("pnet", "rnet", "onet")


def report(path):
    size = path.stat().st_size
    return ExportReport(path, "TFLite", size, 2, {}, "ai-edge-litert 2.1.2", 0, 0, 1, 0, 1, 1, 16, 16, 0, 16, 0, 0)


def copy_classifier(path):
    shutil.copy(SHIPPED / f"{DEFAULT_MODEL}-2bit.tflite", path)
    return report(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle") / "edgefake", copy_classifier, checkpoint=SHIPPED)


@pytest.fixture(scope="module")
def description(made):
    return json.loads((made.folder / DESCRIPTION).read_text("utf-8"))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_file_is_listed_with_its_size_and_hash(made, description):
    listed = {entry["file"]: entry for entry in description["files"]}
    assert list(listed) == sorted(listed)
    assert names(made.folder) == sorted([DESCRIPTION, *listed])
    for name, entry in listed.items():
        data = (made.folder / name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["bytes"], entry["sha256"])
    assert [file.file for file in made.files] == [DESCRIPTION, *listed]
    assert made.bytes == sum(path.stat().st_size for path in made.folder.iterdir())
    assert made.report.path == made.folder / CLASSIFIER


def documented(heading):
    """Field -> its type and whether it may be missing, from the first table after a heading."""
    table = re.split(r"\n\n(?=[^|])", DOCUMENTED.split(f"\n{heading}\n")[1].split("\n| field |")[1])[0]
    rows = [row.split(" | ") for row in table.splitlines() if row.startswith("| `")]
    return {
        name: (kind.partition(",")[0].partition(":")[0], "*optional*" in kind)
        for field, kind, *_ in rows
        for name in re.findall(r"`\.?([\w.]+)`", field)
    }


KINDS = {"string": str, "integer": int, "number": (int, float), "numbers": (int, float), "boolean": bool}
KINDS |= {"object": dict, "array": list, "3 numbers": list, "2 strings": list}


def assert_documented(value, fields):
    assert set(value) <= set(fields)
    for name, (kind, optional) in fields.items():
        assert optional or name in value, name
        if name in value:
            assert isinstance(value[name], KINDS[kind]), name
            assert kind == "boolean" or not isinstance(value[name], bool), name


@pytest.mark.parametrize(
    ("heading", "reach"),
    [
        ("## edgefake.json", lambda root: [root]),
        ("### `classifier`", lambda root: [root["classifier"]]),
        ("### `faces`", lambda root: [root["faces"]]),
        ("A network:", lambda root: [root["faces"][name] for name in NETWORKS]),
        ("### `video`", lambda root: [root["video"]]),
        ("### `files`", lambda root: root["files"]),
    ],
)
def test_the_description_is_as_documented(description, heading, reach):
    fields = documented(heading)
    assert fields
    for value in reach(description):
        if heading == "A network:" and value["file"] != "pnet.tflite":
            assert "overlap_in_scale" not in value
            value = value | {"overlap_in_scale": 0.5}
        assert_documented(value, fields)


def test_the_models_fields_are_documented(description):
    section = DOCUMENTED.split("### `model`")[1].split("### `classifier`")[0]
    flat = [*description["model"], *(key for part in ("roc", "quality") for key in description["model"][part])]
    parts = [f"{part}.{key}" for part in ("crop", "calibration", "uncertain") for key in description["model"][part]]
    short = [f".{name.partition('.')[2]}" for name in parts]
    for name in set(flat) - {"crop", "calibration", "uncertain"}:
        assert f"`{name}`" in section, name
    for name, shorter in zip(parts, short, strict=True):
        assert f"`{name}`" in section or f"`{shorter}`" in section, name


def test_the_model_is_what_the_classifiers_file_says(made, description):
    own = Classifier(made.folder / description["classifier"]["file"], threads=1).metadata
    assert ModelMetadata.from_json(json.dumps(description["model"])) == own
    assert description["model"] == json.loads(own.to_json())
    assert (made.folder / "labels.txt").read_text() == "real\nfake\n"
    size = own.input_size
    assert description["classifier"]["input"] == {"name": "image", "shape": [1, 3, size, size]}
    assert description["classifier"]["output"] == {"name": "logits", "shape": [1, 2]}
    assert description["classifier"]["litert"] == "2.1.2"


def test_the_networks_are_what_the_description_says(made, description):
    for name in NETWORKS:
        about = description["faces"][name]
        opened = interpreter((made.folder / about["file"]).read_bytes())
        ends = [
            [{"name": end["name"], "shape": end["shape_signature"].tolist()} for end in details]
            for details in (opened.get_input_details(), opened.get_output_details())
        ]
        assert ends == [[about["input"]], about["outputs"]]


def test_the_numbers_are_those_that_the_runtime_uses(description):
    faces, video = description["faces"], description["video"]
    defaults = {name: value.default for name, value in inspect.signature(FaceDetector).parameters.items()}
    assert (faces["min_face"], faces["factor"]) == (defaults["min_face"], defaults["factor"]) == (40, 0.709)
    assert tuple(faces[name]["threshold"] for name in NETWORKS) == defaults["thresholds"] == (0.6, 0.7, 0.7)
    assert [faces[name]["overlap"] for name in NETWORKS] == [0.7, 0.7, 0.7]
    assert verdict.AGGREGATE is aggregate.trimmed_mean  # what `trim` is for
    assert inspect.signature(aggregate.trimmed_mean).parameters["trim"].default == video["trim"]


def test_the_face_detector_runs_from_the_bundle(made):
    picture = np.ascontiguousarray(cv2.imread(str(ROOT / "docs" / "samples" / "astronaut.png"))[..., ::-1])
    (found,) = FaceDetector(folder=made.folder, format="tflite", threads=1).detect(picture, min_face=80)
    (expected,) = FaceDetector(threads=1).detect(picture, min_face=80)
    np.testing.assert_allclose(found.box, expected.box, atol=0.01)


def test_a_shipped_models_licences_go_along(made):
    models = models_folder()
    for name, source in [
        ("LICENSE-WEIGHTS", models / "LICENSE-WEIGHTS"),
        ("LICENSE-MTCNN", models / "mtcnn" / "LICENSE"),
        ("LICENSE-APACHE-2.0", ROOT / "LICENSE"),
        ("MODEL-CARD.md", SHIPPED / "README.md"),
    ]:
        assert (made.folder / name).read_bytes() == source.read_bytes(), name
    assert b"Copyright (c) 2019 Timothy Esler" in (made.folder / "LICENSE-MTCNN").read_bytes()
    notice = (made.folder / "NOTICE").read_text()
    assert {name for name in names(made.folder) if name not in notice} == set()


def test_a_checkpoint_of_ones_own_has_its_own_licence_or_none(tmp_path):
    checkpoint = tmp_path / "mine"
    checkpoint.mkdir()
    bare = write_bundle(tmp_path / "bare", copy_classifier, checkpoint=checkpoint).folder
    assert {"LICENSE-WEIGHTS", "LICENSE-APACHE-2.0", "MODEL-CARD.md"} & set(names(bare)) == set()
    assert "for whoever trained them to say" in (bare / "NOTICE").read_text()
    (checkpoint / "LICENSE.txt").write_text("mine")
    (checkpoint / "README.md").write_text("my card")
    full = write_bundle(tmp_path / "full", copy_classifier, checkpoint=checkpoint).folder
    assert (full / "LICENSE-WEIGHTS").read_text() == "mine"
    assert (full / "MODEL-CARD.md").read_text() == "my card"
    assert {name for name in names(full) if name not in (full / "NOTICE").read_text()} == set()


def test_all_of_it_fits_nine_megabytes(made):
    s16 = 5_453_152  # bytes of bitvit-s16 at 2 bits, docs/export.md
    assert made.bytes <= 9e6
    assert made.bytes - made.report.bytes + s16 <= 9e6


@pytest.mark.parametrize("error", [CheckFailedError("missed"), OSError(28, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("earlier", ["nothing", "empty", "bundle"])
def test_an_export_that_fails_leaves_what_was_there(made, tmp_path, error, earlier):
    out = tmp_path / "assets"
    if earlier == "empty":
        out.mkdir()
    if earlier == "bundle":
        shutil.copytree(made.folder, out)

    def fail(path):
        copy_classifier(path)
        raise error

    with pytest.raises(type(error)):
        write_bundle(out, fail, checkpoint=SHIPPED)
    assert names(tmp_path) == ([] if earlier == "nothing" else ["assets"])
    if earlier != "nothing":
        assert contents(out) == ({} if earlier == "empty" else contents(made.folder))


@pytest.mark.parametrize("error", [OSError(18, "Invalid cross-device link"), KeyboardInterrupt()])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("failing", [0, 1])
def test_a_failure_while_it_takes_its_place_leaves_one_whole_bundle(made, tmp_path, monkeypatch, error, after, failing):
    out, calls, rename = tmp_path / "assets", [], Path.rename
    shutil.copytree(made.folder, out)
    (out / "NOTICE").write_text("the old one")

    def broken(self, target):
        calls.append(self)
        if len(calls) - 1 != failing:
            return rename(self, target)
        if after:
            rename(self, target)
        raise error

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(InputError if isinstance(error, OSError) else KeyboardInterrupt):
        write_bundle(out, copy_classifier, checkpoint=SHIPPED)
    assert names(tmp_path) == ["assets"]
    replaced = (failing, after) == (1, True)
    assert ((out / "NOTICE").read_text() == "the old one") is not replaced
    assert set(contents(out)) == set(contents(made.folder))


def test_an_earlier_bundle_is_replaced_whole(made, tmp_path):
    out, link = tmp_path / "assets", tmp_path / "link"
    shutil.copytree(made.folder, out)
    description = json.loads((out / DESCRIPTION).read_text())
    description["files"].append({"file": "old.tflite"})
    (out / DESCRIPTION).write_text(json.dumps(description))
    (out / "old.tflite").write_bytes(b"of an earlier version")
    link.symlink_to(out)
    require_folder(link, force=True)
    write_bundle(link, copy_classifier, checkpoint=SHIPPED)
    assert contents(out) == contents(made.folder)
    assert names(tmp_path) == ["assets", "link"]
    assert link.is_symlink()


def test_what_may_not_be_replaced_is_refused(made, tmp_path):
    (tmp_path / "file").write_text("precious")
    for name in ("foreign", "strange", "bundle", "damaged", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "foreign" / "photo.jpg").write_text("precious")
    for name in ("strange", "bundle"):
        shutil.copytree(made.folder, tmp_path / name, dirs_exist_ok=True)
    (tmp_path / "strange" / "photo.jpg").write_text("precious")
    (tmp_path / "damaged" / DESCRIPTION).write_text("{" * 100_000)
    (tmp_path / "other" / DESCRIPTION).write_text('{"bundle": "theirs", "files": []}')
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for name, force, kind, message in [
        ("file", True, UsageError, "expected a folder for the bundle, got a file"),
        ("foreign", True, UsageError, "got one with photo.jpg; name another"),
        ("damaged", True, UsageError, "got one with edgefake.json; name another"),
        ("other", True, UsageError, "got one with edgefake.json; name another"),
        ("strange", True, UsageError, "got photo.jpg as well, which would be lost; move it"),
        ("bundle", False, UsageError, "got an earlier bundle; --force replaces it"),
        ("no/such", False, InputError, "expected a folder that can be written, got: No such file or directory"),
        ("file/in", False, InputError, "expected a folder that can be written, got: Not a directory"),
        ("n" * 300, False, InputError, "File name too long"),
        ("nul\0", False, InputError, "expected a folder that can be written"),
    ]:
        with pytest.raises(kind, match=re.escape(message)):
            require_folder(tmp_path / name, force=force)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    require_folder(tmp_path / "bundle", force=True)
    require_folder(tmp_path / "new", force=False)
    assert not (tmp_path / "new").exists()


def test_the_folder_that_one_stands_in_is_not_replaced(tmp_path):
    (tmp_path / "in").mkdir()
    with contextlib.chdir(tmp_path / "in"), pytest.raises(UsageError, match="another folder than the one in use"):
        require_folder(Path(), force=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_that_takes_no_files_is_refused(tmp_path):
    tmp_path.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(InputError, match="expected a folder that can be written, got: Permission denied"):
            require_folder(tmp_path / "bundle", force=False)
    finally:
        os.seteuid(0)
    assert names(tmp_path) == []
