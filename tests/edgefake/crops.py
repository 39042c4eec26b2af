"""Small pictures to train on, made from formulas."""

import csv
from pathlib import Path

import cv2
import numpy as np

from edgefake.train.config import TrainConfig


def write_crops(folder: Path, count: int = 96) -> Path:
    """Reals are smooth gradients, fakes the same with a disk in the middle: separable, but not by the mean colour."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(count):
        fake = index % 2
        y, x = np.mgrid[0:48, 0:48]
        image = 60 + 2 * (x * random.uniform(0.2, 1) + y * random.uniform(0.2, 1))[..., None] + random.uniform(0, 40, 3)
        image = image + (60 * fake * ((x - 24) ** 2 + (y - 24) ** 2 < 150))[..., None]
        name = f"{index}.png"
        cv2.imwrite(str(folder / name), np.clip(image, 0, 255).astype(np.uint8))
        rows.append((name, "fake" if fake else "real", "train" if index < count * 3 // 4 else "val"))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label", "split"), *rows])
    return folder / "manifest.csv"


def write_classes(folder: Path, classes: int = 3, each: int = 8) -> Path:
    """ImageNet's layout: pictures of one colour a class, with noise."""
    random = np.random.default_rng(0)
    for split, count in (("train", each), ("val", 3)):
        for number in range(classes):
            place = folder / split / f"n{number:08d}"
            place.mkdir(parents=True)
            for index in range(count):
                colour = np.eye(3)[number % 3] * 150 + 40
                image = np.clip(colour + random.normal(0, 20, (50, 60, 3)), 0, 255).astype(np.uint8)
                cv2.imwrite(str(place / f"{index}.JPEG"), image)
    return folder


def settings(data: Path, out: Path, recipe: str = "train", **changes: object) -> TrainConfig:
    """A run of seconds."""
    values: dict[str, object] = {"epochs": 15, "batch": 12, "lr": 3e-3, "workers": 0, "warmup_epochs": 0.5}
    values |= {} if recipe == "pretrain" else {"crop_margin": 0.1}
    values |= {} if recipe == "finetune" else {"model": "bitvit-nano"}
    values |= {"data": data, "out": out} | changes
    return TrainConfig.of(recipe, {name: value for name, value in values.items() if value is not None})
