"""Shipped models by their names."""

import shutil
from pathlib import Path

import pytest

from edgefake_runtime import Classifier
from edgefake_runtime.errors import ModelFileError
from edgefake_runtime.shipped import default_model, model_file, models_folder, shipped_folder

NAMES = sorted(path.parent.name for path in models_folder().glob("*/config.json"))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_opens_the_model_that_ships(name):
    assert Classifier(name, threads=1).metadata.name == name


def test_without_a_name_it_is_the_default_and_a_path_stays_one():
    assert model_file(None) == default_model()
    assert model_file(f"models/{NAMES[0]}") == Path(f"models/{NAMES[0]}")
    assert shipped_folder("mtcnn") is None
    assert shipped_folder(".") is None
    assert shipped_folder("") is None
    assert shipped_folder("x\0y") is None


def test_a_name_that_is_too_long_is_a_model_that_cannot_be_read():
    with pytest.raises(ModelFileError, match="expected a model file, got File name too long"):
        Classifier("x" * 5000)


def test_a_file_of_that_name_here_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(default_model(), tmp_path / "bitvit-tiny")
    assert Classifier("bitvit-tiny", threads=1).metadata.name == "bitvit-tiny-hybrid"
    with pytest.raises(ModelFileError, match="bitvit-huge: expected a model file, got no such file"):
        Classifier("bitvit-huge")
