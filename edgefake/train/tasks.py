"""From settings to a task: the data, the network and the teacher of `train`, `pretrain` and `finetune`."""

import math
from collections.abc import Callable, Sequence
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
from edgefake.data.manifest import LABELS, Sample, check_splits, read_manifest
from edgefake.data.pictures import IMAGENET_MEAN, IMAGENET_STD, PictureDataset, View
from edgefake.grow import grow, take_trunk
from edgefake.imagenet import load_imagenet
from edgefake.models import CNN, Network, ViT, ViTConfig, build, configuration
from edgefake.models.head import DEEPFAKE_HEAD
from edgefake_runtime import Crop, InputError, UsageError

from .config import TrainConfig
from .engine import Task
from .teachers import load_teacher

__all__ = ["make_task"]

DROPPED = ("head.", "distillation_")
"""What of a pretrained network fine-tuning leaves behind."""

IMAGENET = Path("imagenet")
"""What `--init` calls the weights of a package instead of a folder."""

BEFORE_BLOCKS = ("tokenize", "stem")
"""What of a network comes before its blocks."""


def make_task(config: TrainConfig, *, note: Callable[[str], None] = lambda line: None) -> Task:
    """Read the data and build the network of a recipe; its fresh weights come from the seed.

    `note` is told, a line each, what the user should know.

    Raises:
        InputError: unreadable data, one class, people in both splits.
        UsageError: settings that do not fit each other or a checkpoint.
        ModelFileError: a checkpoint that cannot be read.
    """
    data = _read(config)
    torch.manual_seed(config.seed)
    network, model = _network(config, len(data.classes))
    teacher = load_teacher(config.teacher, classes=data.classes) if config.teacher else None
    view = View(network.config.image_size, config.view, config.randaugment, config.magnitude)
    train, validation = _datasets(config, data, view, note)
    metadata: dict[str, Any] = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "labels": data.classes}
    if data.classes == LABELS:
        metadata["crop"] = asdict(_crop(config, data.train, view.share))
    frozen = _freeze(network, config.train_blocks) if config.train_blocks >= 0 else ()
    return Task(network, model, train, validation, metadata, teacher=teacher, frozen=frozen)


def _read(config: TrainConfig) -> ClassData:
    if config.recipe == "pretrain":
        if config.data.is_file():
            check_splits(config.data, read_manifest(config.data, labels=None, required=("file", "label", "split")))
        data = read_classes(config.data)
        return replace(data, classes=LABELS) if set(data.classes) == set(LABELS) else data
    samples = read_manifest(config.data, required=("file", "label", "split"))
    check_splits(config.data, samples)
    train, validation = (_of_split(config.data, samples, name) for name in ("train", "val"))
    for name, part in (("train", train), ("val", validation)):
        fakes = sum(sample.fake for sample in part)
        if fakes == len(part) or (not fakes and config.fakes != "self-blended"):
            raise InputError(f"{config.data}: expected both classes in {name}, got {fakes} fake of {len(part)}")
    return ClassData(LABELS, train, validation)


def _of_split(manifest: Path, samples: Sequence[Sample], name: str) -> list[Sample]:
    found = [sample for sample in samples if sample.split == name]
    if not found:
        splits = ", ".join(sorted({sample.split for sample in samples}))
        raise InputError(f"{manifest}: expected rows of the split {name!r}, got none (splits here: {splits})")
    return found


def _datasets(
    config: TrainConfig, data: ClassData, view: View, note: Callable[[str], None]
) -> tuple[PictureDataset, PictureDataset]:
    """Pictures to learn from and to report on.

    Without a fake in the validation split, a detector learned from reals alone is validated on blends of its reals.
    """
    train_points = _landmarks(config, data.train, note) if config.fakes != "labelled" else {}
    train = PictureDataset(
        data.train, view, data.classes, config.seed, fakes=config.fakes, landmarks=train_points, strict=config.strict
    )
    if config.fakes != "self-blended" or any(sample.fake for sample in data.val):
        return train, PictureDataset(data.val, view, data.classes, strict=config.strict)
    note("the validation split has no fakes: its reals are blended")
    points = _landmarks(config, data.val, note)
    validation = PictureDataset(
        data.val, view, data.classes, config.seed, fakes="self-blended", landmarks=points, strict=config.strict
    )
    return train, validation


def _landmarks(
    config: TrainConfig, samples: Sequence[Sample], note: Callable[[str], None]
) -> dict[Path, NDArray[np.float32]]:
    reals = [sample for sample in samples if not sample.fake]
    drawn = np.random.default_rng(config.seed).permutation(len(reals))[: math.ceil(config.blend_share * len(reals))]
    reals = [reals[index] for index in sorted(drawn)]
    note(f"looking for the faces of {len(reals)} reals; what is found is kept in {config.out}")
    found = load_landmarks(reals, config.data, cache=config.out / "landmarks.cache.csv")
    if config.strict and found.unreadable:
        raise InputError(f"{config.data}: expected pictures that can be read, got {found.unreadable} that cannot")
    if not found.points:
        raise InputError(f"{config.data}: expected faces to blend among {len(reals)} reals, found none")
    lost = found.faceless + found.unreadable
    if lost:
        note(f"{lost} of them are not blended: {found.faceless} without a face, {found.unreadable} unreadable")
    return found.points


def _crop(config: TrainConfig, samples: Sequence[Sample], share: float) -> Crop:
    """How the runtime must cut a face to show what the network saw at validation."""
    if config.crop_margin is not None:
        given = Crop(config.crop_margin, shift=0.0, square=True, origin="given by --crop-margin")
    else:
        given = read_crop_rule(config.data) or measure_crop(samples)
    return replace(given, share=share * given.share)


def _network(config: TrainConfig, classes: int) -> tuple[Network, str]:
    changes: dict[str, Any] = {"classes": classes}
    if config.dropout is not None:
        changes["dropout"] = config.dropout
    if config.image_size:
        changes["image_size"] = config.image_size
    if config.teacher and "hard" in config.distill_forms:
        changes["distillation"] = True
    if config.recipe == "finetune":
        return _from_pretrained(config, changes)
    if not config.model:
        raise UsageError("model: expected the name of a configuration, such as bitvit-tiny; got none")
    if config.recipe == "pretrain":
        changes["head"] = ()
        if config.dropout is not None and isinstance(configuration(config.model), ViTConfig):
            raise UsageError(f"dropout: expected none in the linear head of {config.model}, got {config.dropout}")
    network = _built(config.model, changes)
    if config.init == IMAGENET:
        load_imagenet(network, config.model)
    elif config.init:
        _start_from(network, config.init)
    return network, config.model


def _built(model: str, changes: dict[str, Any]) -> Network:
    try:
        return build(model, **changes)
    except TypeError as error:
        if not changes.get("distillation"):
            raise
        raise UsageError(f"{model}: expected a ViT for hard distillation; take --distill soft,dense") from error


def _full(folder: Path, checkpoint: Checkpoint) -> Checkpoint:
    if checkpoint.compact:
        raise UsageError(f"{folder}: expected a full checkpoint to go on from, got a compact one")
    return checkpoint


def _start_from(network: Network, folder: Path) -> None:
    """The checkpoint's weights, or those of a smaller ViT grown to the network's size.

    A hybrid takes its convolutions from a CNN; a LinViT the weights that a compact BitViT multiplies with; a BitViT
    goes on from latent weights alone.
    """
    checkpoint = load_checkpoint(folder)
    known = checkpoint.network
    as_floats = checkpoint.compact and isinstance(network, ViT) and not network.config.ternary
    if _shapes(known) == _shapes(network) and not as_floats:
        network.load_state_dict(_full(folder, checkpoint).network.state_dict())
    elif isinstance(network, ViT) and network.config.stem and isinstance(known, CNN):
        take_trunk(known, network)
    elif isinstance(network, ViT) and isinstance(known, ViT):
        grow(known, network)
    else:
        raise UsageError(f"init: expected weights of the same shape, got those of {checkpoint.model}")


def _shapes(network: Network) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def _from_pretrained(config: TrainConfig, changes: dict[str, Any]) -> tuple[Network, str]:
    """The pretrained encoder with a fresh deepfake head, without the distillation token (thesis section 4.3)."""
    if config.init is None:
        raise UsageError("init: expected the checkpoint of a pretrained network, got none")
    checkpoint = _full(config.init, load_checkpoint(config.init))
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
