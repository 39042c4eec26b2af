"""Settings: defaults, a file over them, options over that; impossible ones are refused."""

import math
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefake.train.config import TrainConfig, read_config, write_config
from edgefake_runtime.errors import InputError, UsageError


def test_the_defaults_are_those_of_the_thesis():
    """Sections 4.1 and 4.3."""
    pretrain, finetune = TrainConfig.of("pretrain"), TrainConfig.of("finetune")
    assert (pretrain.lr, pretrain.weight_decay, pretrain.batch, pretrain.epochs) == (1e-3, 1e-4, 1024, 50)
    assert (pretrain.randaugment, pretrain.magnitude, pretrain.mixup, pretrain.cutmix) == (2, 10, 0.2, 0.0)
    assert (pretrain.distill, pretrain.alpha, pretrain.view, pretrain.precision) == ("hard", 0.5, "crop", "bfloat16")
    assert (finetune.epochs, finetune.batch, finetune.train_blocks, finetune.view) == (10, 256, 6, "crop")
    assert (finetune.randaugment, finetune.mixup, finetune.cutmix, finetune.teacher) == (0, 0.0, 0.0, None)


def test_options_stand_over_the_file_and_the_file_over_the_recipe(tmp_path):
    (tmp_path / "run.toml").write_text('model = "bitvit-tiny"\nlr = 0.002\nepochs = 20\nt_max = 30\n')
    config = TrainConfig.of("pretrain", read_config(tmp_path / "run.toml"), {"epochs": 7})
    assert (config.model, config.lr, config.epochs, config.t_max, config.batch) == ("bitvit-tiny", 0.002, 7, 30.0, 1024)


@given(
    st.sampled_from(["train", "pretrain", "finetune"]),
    st.fixed_dictionaries(
        {},
        optional={
            "lr": st.floats(1e-8, 10),
            "seed": st.integers(0, 2**31),
            "compile": st.booleans(),
            "teacher": st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1),
            "crop_margin": st.floats(-0.3, 2.9),
        },
    ),
)
def test_a_written_file_gives_the_same_settings(tmp_path_factory, recipe, values):
    path = tmp_path_factory.mktemp("config") / "config.toml"
    if "teacher" in values:
        values["distill"] = "hard,dense"
    config = TrainConfig.of(recipe, {"data": "a/b.csv", "out": "runs/x"}, values)
    write_config(config, path)
    assert TrainConfig.of(recipe, read_config(path)) == config


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("epochs", 0),
        ("batch", 0),
        ("accumulate", 0),
        ("lr", 0.0),
        ("lr", math.nan),
        ("lr", math.inf),
        ("weight_decay", -1.0),
        ("warmup_epochs", 10.0),
        ("t_max", -1.0),
        ("ema", 1.0),
        ("alpha", 1.5),
        ("temperature", 0.0),
        ("dropout", 1.0),
        ("magnitude", 31),
        ("mixup", -0.1),
        ("cutmix", math.nan),
        ("train_blocks", -2),
        ("workers", -1),
        ("seed", -1),
        ("image_size", -1),
        ("image_size", 4096),
        ("crop_margin", 50.0),
        ("precision", "int8"),
        ("view", "whole"),
        ("fakes", "none"),
        ("temperature", math.inf),
        ("distill", "hard,soft"),
        ("distill", ""),
        ("distill", "feature"),
        ("accumulate", 65),
    ],
)
def test_impossible_settings_are_named(setting, value):
    with pytest.raises(UsageError, match=f"^({setting.replace('_', '-')}|batch): expected "):
        TrainConfig.of("train", {setting: value})


@pytest.mark.parametrize(("setting", "value"), [("epochs", "ten"), ("epochs", 1.5), ("seed", True), ("model", 3)])
def test_values_of_another_type_are_named(setting, value):
    with pytest.raises(UsageError, match=f"^{setting}: expected (int|str), got"):
        TrainConfig.of("train", {setting: value})


def test_unknown_settings_and_broken_files_are_named(tmp_path):
    with pytest.raises(UsageError, match=r"expected a setting among recipe, data, .*; got learning_rate"):
        TrainConfig.of("train", {"learning_rate": 1})
    with pytest.raises(InputError, match="expected a TOML file"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("epochs = \n")
    with pytest.raises(InputError, match="expected a TOML file of settings, got: Invalid value"):
        read_config(tmp_path / "broken.toml")


def test_every_setting_says_what_it_is():
    assert all(item.metadata["about"] for item in fields(TrainConfig))
