"""Face crops for training: decoding, augmentation, batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edgefake_runtime.crops import resize
from edgefake_runtime.errors import InputError

from .manifest import Sample

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "CropDataset", "augment", "batches", "read_crop", "to_input"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Image = NDArray[np.uint8]


def read_crop(sample: Sample) -> Image:
    """Decode one picture to (H, W, 3) RGB.

    Raises:
        InputError: missing or not a picture; names the manifest's line.
    """
    image = cv2.imread(str(sample.path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{sample.path} (manifest line {sample.line}): expected a picture, could not read it")
    return _bytes(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def _bytes(image: object) -> Image:
    return np.asarray(image, dtype=np.uint8)


def _reframe(image: Image, random: np.random.Generator) -> Image:
    """Cut a random window of 80 to 100 % of the side, flipped half of the time."""
    height, width = image.shape[:2]
    scale = random.uniform(0.8, 1.0)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = random.integers(0, height - rows + 1), random.integers(0, width - columns + 1)
    window = image[top : top + rows, left : left + columns]
    return np.ascontiguousarray(window[:, ::-1] if random.random() < 0.5 else window)


def _degrade(image: Image, random: np.random.Generator) -> Image:
    """Soften as cameras, resizing and codecs do: blur, down and up, JPEG; each alike for real and fake."""
    height, width = image.shape[:2]
    if random.random() < 0.2:
        image = _bytes(cv2.GaussianBlur(image, (0, 0), random.uniform(0.3, 1.5)))
    if random.random() < 0.3:
        factor = random.uniform(0.35, 0.9)
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        image = _bytes(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))
    if random.random() < 0.4:
        quality = int(random.integers(40, 95))
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = _bytes(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return image


def _relight(image: Image, random: np.random.Generator) -> Image:
    """Scale contrast by 0.75 to 1.25 and shift each channel's brightness by up to 25 and 8 levels."""
    gain = random.uniform(0.75, 1.25)
    shift = random.uniform(-25, 25) + random.uniform(-8, 8, 3) + 127.5 * (1 - gain)
    return _bytes(np.clip(image * np.float32(gain) + shift.astype(np.float32), 0, 255))


def augment(image: Image, size: int, random: np.random.Generator) -> Image:
    """A random view of a face crop: (H, W, 3) -> (size, size, 3), RGB bytes."""
    return _relight(resize(_degrade(_reframe(image, random), random), size), random)


def to_input(images: Tensor) -> Tensor:
    """(B, size, size, 3) RGB bytes -> (B, 3, size, size) float32, normalized with ImageNet's mean and deviation."""
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    scaled = (images.float() / 255 - mean.to(images.device)) / std.to(images.device)
    return scaled.permute(0, 3, 1, 2).contiguous()


@dataclass
class CropDataset(Dataset[tuple[Tensor, int]]):
    """Crops of a manifest: item -> ((size, size, 3) bytes, 1 for fake).

    Attributes:
        samples: rows of the manifest.
        size: side of the network's input, pixels.
        augmented: random views (training) or the plain resized crop (validation).
        seed: with `epoch` and the item's index it decides each random view.
    """

    samples: list[Sample]
    size: int
    augmented: bool
    seed: int = 0
    epoch: int = 0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        sample = self.samples[index]
        image = read_crop(sample)
        if self.augmented:
            image = augment(image, self.size, np.random.default_rng((self.seed, self.epoch, index)))
        else:
            image = resize(image, self.size)
        return torch.from_numpy(np.ascontiguousarray(image)), int(sample.fake)


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(1)


def batches(dataset: CropDataset, *, batch: int, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of one epoch: shuffled by seed and epoch when augmented, in order and complete otherwise."""
    generator = torch.Generator().manual_seed(dataset.seed * 100_003 + dataset.epoch)
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_size=batch,
        shuffle=dataset.augmented,
        drop_last=dataset.augmented and len(dataset) > batch,
        num_workers=workers,
        worker_init_fn=_one_thread,
        # A forked worker hangs where OpenCV or torch already have threads.
        multiprocessing_context="spawn" if workers else None,
        generator=generator,
    )
    try:
        yield from loader
    except InputError as error:
        # What a worker process raised comes with its whole traceback as its text.
        raise InputError(str(error).strip().splitlines()[-1].removeprefix(f"{_qualified(InputError)}: ")) from error


def _qualified(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
