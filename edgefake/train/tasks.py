"""From settings to a task: the data, the network and the teacher of `train`, `pretrain` and `finetune`."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgefake.checkpoint import Checkpoint, load_checkpoint
from edgefake.data.crop_margin import measure_crop
from edgefake.data.crop_rule import read_crop_rule
from edgefake.data.folders import ClassData, read_classes
from edgefake.data.landmarks import load_landmarks
from edgefake.data.manifest import LABELS, Sample, read_manifest
from edgefake.data.pictures import IMAGENET_MEAN, IMAGENET_STD, PictureDataset, View
from edgefake.models import Network, build
from edgefake.models.head import DEEPFAKE_HEAD
from edgefake_runtime import Crop, InputError, UsageError

from .config import TrainConfig
from .engine import Task
from .teachers import load_teacher

__all__ = ["make_task"]

DROPPED = ("head.", "distillation_")
"""What of a pretrained network fine-tuning leaves behind."""

BEFORE_BLOCKS = ("tokenize", "stem")
"""What of a network comes before its blocks."""


def make_task(config: TrainConfig) -> Task:
    """Read the data and build the network of a recipe; its fresh weights come from the seed.

    Raises:
        InputError: unreadable data, one class, people in both splits.
        UsageError: settings that do not fit each other or a checkpoint.
        ModelFileError: a checkpoint that cannot be read.
    """
    data = _read(config)
    torch.manual_seed(config.seed)
    network, model = _network(config, len(data.classes))
    teacher = load_teacher(config.teacher, classes=len(data.classes)) if config.teacher else None
    view = View(network.config.image_size, config.view, config.randaugment, config.magnitude)
    train, validation = _datasets(config, data, view)
    metadata: dict[str, Any] = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "labels": data.classes}
    if data.classes == LABELS:
        metadata["crop"] = asdict(_crop(config, data.train, view.share))
    frozen = _freeze(network, config.train_blocks) if config.train_blocks is not None else ()
    return Task(network, model, train, validation, metadata, teacher=teacher, frozen=frozen)


def _read(config: TrainConfig) -> ClassData:
    if config.recipe == "pretrain":
        data = read_classes(config.data)
        return replace(data, classes=LABELS) if set(data.classes) == set(LABELS) else data
    required = ("file", "label", "split")
    train = read_manifest(config.data, split="train", required=required)
    validation = read_manifest(config.data, split="val", required=required)
    _check(train, validation, config)
    return ClassData(LABELS, train, validation)


def _check(train: Sequence[Sample], validation: Sequence[Sample], config: TrainConfig) -> None:
    """What would only fail, or mislead, after hours: one class, people in both splits."""
    for name, part in (("train", train), ("val", validation)):
        fakes = sum(sample.fake for sample in part)
        alone = name == "train" and config.fakes == "self-blended" and not fakes
        if not 0 < fakes < len(part) and not alone:
            raise InputError(f"{config.data}: expected both classes in {name}, got {fakes} fake of {len(part)}")
    shared = {sample.group for sample in train} & {sample.group for sample in validation}
    if shared:
        raise InputError(
            f"{config.data}: expected groups that stand in one split, got {len(shared)} in both, such as {min(shared)}"
        )


def _datasets(config: TrainConfig, data: ClassData, view: View) -> tuple[PictureDataset, PictureDataset]:
    landmarks: dict[Path, NDArray[np.float32]] = {}
    if config.fakes != "labelled":
        reals = [sample for sample in data.train if not sample.fake]
        landmarks = load_landmarks(reals, config.data, cache=config.out / "landmarks.cache.csv").points
    if config.fakes != "labelled" and not landmarks:
        raise InputError(f"{config.data}: expected faces to blend among the reals, found none")
    train = PictureDataset(
        data.train, view, data.classes, config.seed, fakes=config.fakes, landmarks=landmarks, strict=config.strict
    )
    return train, PictureDataset(data.val, view, data.classes, strict=config.strict)


def _crop(config: TrainConfig, samples: Sequence[Sample], share: float) -> Crop:
    """How the runtime must cut a face to show what the network saw at validation: of margin m a share s of the crop.

    The crop shows 1 + 2 m boxes, its middle s (1 + 2 m).
    """
    if config.crop_margin is not None:
        given = Crop(config.crop_margin, shift=0.0, square=True, origin="given by --crop-margin")
    else:
        given = read_crop_rule(config.data) or measure_crop(samples)
    if share == 1:
        return given
    middle = f"{given.origin}; the middle {share:.3f} of it"
    return replace(given, margin=round((share * (1 + 2 * given.margin) - 1) / 2, 4), origin=middle)


def _network(config: TrainConfig, classes: int) -> tuple[Network, str]:
    changes: dict[str, Any] = {"classes": classes}
    if config.dropout is not None:
        changes["dropout"] = config.dropout
    if config.teacher and "hard" in config.distill_forms:
        changes["distillation"] = True
    if config.recipe == "finetune":
        return _from_pretrained(config, changes)
    if config.recipe == "pretrain":
        changes["head"] = ()
    if not config.model:
        raise UsageError("model: expected the name of a configuration, such as bitvit-tiny; got none")
    network = _built(config.model, changes)
    if config.init:
        _start_from(network, _full(config.init))
    return network, config.model


def _built(model: str, changes: dict[str, Any]) -> Network:
    try:
        return build(model, **changes)
    except TypeError as error:  # a field that this architecture does not have
        raise UsageError(f"{model}: expected a ViT for hard distillation; take --distill soft,dense") from error


def _full(folder: Path) -> Checkpoint:
    checkpoint = load_checkpoint(folder)
    if checkpoint.compact:
        raise UsageError(f"{folder}: expected a full checkpoint to go on from, got a compact one")
    return checkpoint


def _start_from(network: Network, checkpoint: Checkpoint) -> None:
    try:
        network.load_state_dict(checkpoint.network.state_dict())
    except RuntimeError as error:
        raise UsageError(f"init: expected weights of the same shape, got those of {checkpoint.model}") from error


def _from_pretrained(config: TrainConfig, changes: dict[str, Any]) -> tuple[Network, str]:
    """The pretrained encoder with a fresh deepfake head, without the distillation token (thesis section 4.3)."""
    if config.init is None:
        raise UsageError("init: expected the checkpoint of a pretrained network, got none")
    checkpoint = _full(config.init)
    if config.model and config.model != checkpoint.model:
        raise UsageError(f"{config.init}: expected a checkpoint of {config.model}, got one of {checkpoint.model}")
    sizes = asdict(checkpoint.network.config) | {"head": DEEPFAKE_HEAD, "dropout": 0.2}
    sizes.pop("distillation", None)
    network = _built(checkpoint.model, sizes | changes)
    state = {k: v for k, v in checkpoint.network.state_dict().items() if not k.startswith(DROPPED)}
    network.load_state_dict(network.state_dict() | state)
    return network, checkpoint.model


def _freeze(network: Network, blocks: int) -> tuple[nn.Module, ...]:
    """Let only the last blocks, what follows them and the head learn (thesis section 4.3, N = 6).

    Returns:
        The modules that no longer learn.
    """
    count = len(network.blocks)
    if blocks > count:
        raise UsageError(f"train-blocks: expected at most the {count} blocks of the network, got {blocks}")
    frozen = [module for name, module in network.named_children() if name in BEFORE_BLOCKS]
    frozen += [module for index, module in enumerate(network.blocks) if index < count - blocks]
    for module in frozen:
        module.requires_grad_(False)
    return tuple(frozen)
