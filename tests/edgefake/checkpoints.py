"""Checkpoints of nano networks as training writes them, with weights from a seed."""

from pathlib import Path

import torch

from edgefake.checkpoint import Checkpoint, save_checkpoint
from edgefake.data.pictures import IMAGENET_MEAN, IMAGENET_STD
from edgefake.models import build

CLASSES = ("n00000000", "n00000001", "n00000002")
"""Those of `crops.write_classes`."""

CROP = {"margin": 0.0, "shift": 0.0, "square": True, "origin": "a test"}


def pretrained(folder: Path, model: str = "linvit-nano", *, seed: int = 3, **metadata: object) -> Path:
    """A checkpoint of `edgefake pretrain`: three classes, one linear layer for a head, no crop."""
    torch.manual_seed(seed)
    network = build(model, head=(), classes=3)
    known = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "labels": CLASSES, "recipe": {"view": "crop"}}
    save_checkpoint(Checkpoint(network, model, known | metadata), folder)
    return folder


def detector(folder: Path, model: str = "linvit-nano", *, seed: int = 3, **metadata: object) -> Path:
    """A checkpoint of `edgefake train`: real and fake, with how faces are cut."""
    torch.manual_seed(seed)
    known = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "crop": CROP}
    save_checkpoint(Checkpoint(build(model), model, known | metadata), folder)
    return folder
