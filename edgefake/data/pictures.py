"""Pictures for training: what a network sees of each, self-blended fakes on the fly, batches."""

import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edgefake_runtime.crops import resize
from edgefake_runtime.errors import InputError
from edgefake_runtime.media import Picture, open_media

from .augment import augment
from .manifest import LABELS, PackedSamples, Sample
from .selfblend import self_blend
from .views import RandAugment, centre_view, random_view

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Batch",
    "Entries",
    "Entry",
    "PictureDataset",
    "View",
    "loader",
    "read_crop",
    "stream",
    "to_input",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Image = NDArray[np.uint8]
Points = NDArray[np.float32]
Key = int | tuple[int, int]
"""A picture as it is (its index), or a random view of it (epoch and index)."""


class Batch(NamedTuple):
    """Pictures of a step.

    Attributes:
        images: (B, size, size, 3), RGB bytes.
        labels: (B,), class numbers.
        indices: (B,), which entries of the data set.
        readable: (B,), False where the picture could not be read; its image is black.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    readable: Tensor


def read_crop(sample: Sample) -> Image:
    """Decode one picture to (H, W, 3) RGB, with the runtime's own decoder: training sees what detection will.

    Raises:
        InputError: missing, damaged or cut short, too large, no picture; names the manifest's line.
    """
    try:
        with open_media(sample.path) as media:
            if isinstance(media, Picture):
                return media.frame()
    except InputError as error:
        reason = str(error).removeprefix(f"{sample.path}: ")
        raise InputError(f"{sample.path}{_line(sample)}: {reason}") from error
    raise InputError(f"{sample.path}{_line(sample)}: expected a picture, got a video")


def _line(sample: Sample) -> str:
    return f" (manifest line {sample.line})" if sample.line else ""


def to_input(images: Tensor) -> Tensor:
    """(B, size, size, 3) RGB bytes -> (B, 3, size, size) float32, normalized with ImageNet's mean and deviation."""
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    scaled = (images.float() / 255 - mean.to(images.device)) / std.to(images.device)
    return scaled.permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True)
class View:
    """What the network sees of a picture.

    "face": the whole crop; in training a random window, softened as cameras and codecs do.
    "crop": the shorter side at size / share; in training a random crop and flip, else the centre (thesis section 4.1).

    Attributes:
        size: side of the network's input, pixels.
        kind: "face" or "crop".
        randaugment: operations of RandAugment, "crop" and "face" alike.
        magnitude: of RandAugment.
    """

    SHARE = 224 / 256

    size: int
    kind: str = "face"
    randaugment: int = 0
    magnitude: int = 10

    @property
    def share(self) -> float:
        """Share of the picture's side that the network sees at validation."""
        return 1.0 if self.kind == "face" else self.SHARE

    def plain(self, image: Image) -> Image:
        """(H, W, 3) -> (size, size, 3), always the same."""
        return resize(image, self.size) if self.kind == "face" else centre_view(image, self.size, share=self.SHARE)

    def random(self, image: Image, random: np.random.Generator) -> Image:
        """(H, W, 3) -> (size, size, 3), another each time."""
        if self.kind == "face":
            seen = augment(image, self.size, random)
        else:
            seen = random_view(image, self.size, random, share=self.SHARE)
        return RandAugment(self.randaugment, self.magnitude)(seen, random) if self.randaugment else seen


class Entry(NamedTuple):
    """One picture of an epoch.

    Attributes:
        sample: of the manifest.
        blend: "" for the picture as it is; of a picture blended with itself, "target" for what it was pasted on (a
            real) and "fake" for the result.
    """

    sample: int
    blend: str = ""


class Entries(Sequence[Entry]):
    """What an epoch goes through, as two arrays: a worker process gets a million of them in no time.

    "labelled": the manifest. "self-blended": each real with known landmarks, once as a blend and once as what the
    blend was pasted on. "both": the manifest and those pairs.
    """

    BLENDS = ("", "target", "fake")

    def __init__(
        self, samples: Sequence[Sample], fakes: str = "labelled", landmarks: Mapping[Path, Points] | None = None
    ) -> None:
        listed = np.arange(len(samples) if fakes != "self-blended" else 0)
        reals = [
            index
            for index in range(len(samples) if fakes != "labelled" else 0)
            if not samples[index].fake and samples[index].path in (landmarks or {})
        ]
        self._samples = np.concatenate([listed, np.repeat(reals, 2).astype(np.int64)])
        self._blends = np.concatenate([np.zeros(len(listed), np.int8), np.tile(np.array([1, 2], np.int8), len(reals))])

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: Any) -> Any:
        return Entry(int(self._samples[index]), self.BLENDS[self._blends[index]])


@dataclass
class PictureDataset(Dataset[Batch]):
    """Pictures with their class numbers.

    Attributes:
        samples: rows of a manifest, or pictures of a folder.
        view: what the network sees of them.
        classes: names in the order of the logits.
        seed: with epoch and index it decides each random view.
        fakes: "labelled", "self-blended" or "both"; see `Entries`.
        landmarks: of the pictures to blend, (K, 2) pixels each.
        strict: raise where a picture cannot be read, instead of marking it.
    """

    samples: Sequence[Sample]
    view: View
    classes: tuple[str, ...] = LABELS
    seed: int = 0
    fakes: str = "labelled"
    landmarks: Mapping[Path, Points] = field(default_factory=dict)
    strict: bool = False

    def __post_init__(self) -> None:
        self.samples = PackedSamples(self.samples)
        self.entries = Entries(self.samples, self.fakes, self.landmarks)
        self._numbers = {name: number for number, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.entries)

    def label(self, index: int) -> int:
        """Class number of an entry."""
        entry = self.entries[index]
        return self._numbers["fake" if entry.blend == "fake" else self.samples[entry.sample].label]

    def digest(self) -> str:
        """SHA-256 of what an epoch goes through: names, labels and blends, whatever folder they are in."""
        found = sha256("\0".join(self.classes).encode())
        for index, entry in enumerate(self.entries):
            found.update(f"{self.path(index).name}\0{self.label(index)}\0{entry.blend}\n".encode("utf-8", "replace"))
        return found.hexdigest()

    def path(self, index: int) -> Path:
        """The file of an entry."""
        sample: Sample = self.samples[self.entries[index].sample]
        return sample.path

    def __getitem__(self, key: Key) -> Batch:
        index = key if isinstance(key, int) else key[1]
        readable = True
        try:
            image = self._see(key)
        except InputError:
            if self.strict:
                raise
            image, readable = np.zeros((self.view.size, self.view.size, 3), np.uint8), False
        pixels = torch.from_numpy(np.ascontiguousarray(image))
        return Batch(pixels, torch.tensor(self.label(index)), torch.tensor(index), torch.tensor(readable))

    def _see(self, key: Key) -> Image:
        epoch, index = (0, key) if isinstance(key, int) else key
        entry = self.entries[index]
        sample: Sample = self.samples[entry.sample]
        image = read_crop(sample)
        # The same random numbers for both of a pair: they differ by the pasted face alone.
        source = (self.seed, epoch, entry.sample, 1) if entry.blend else (self.seed, epoch, index)
        random = np.random.default_rng(source)
        if entry.blend:
            image = self._blended(image, sample, entry.blend, random)
        return self.view.plain(image) if isinstance(key, int) else self.view.random(image, random)

    def _blended(self, image: Image, sample: Sample, blend: str, random: np.random.Generator) -> Image:
        try:
            made = self_blend(image, self.landmarks[sample.path], random)
        except InputError as error:
            raise InputError(f"{sample.path}{_line(sample)}: {error}") from error
        return made.image if blend == "fake" else made.target


def _begin_worker(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends them
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def loader(dataset: PictureDataset, keys: Iterable[Sequence[Key]], *, workers: int) -> DataLoader[Any]:
    """Batches of the given keys; the workers stay for another round when `keys` can be gone through again."""
    return DataLoader(
        dataset,
        batch_sampler=keys,  # type: ignore[arg-type]  # any iterable of lists serves
        num_workers=workers,
        worker_init_fn=_begin_worker,
        persistent_workers=workers > 0,
        # A forked worker hangs where OpenCV or torch already have threads.
        multiprocessing_context="spawn" if workers else None,
    )


def stream(batches: DataLoader[Any]) -> Iterator[Batch]:
    """The batches of a loader; what a worker raises comes as it was raised.

    Raises:
        InputError: an unreadable picture, where the data set is strict.
    """
    try:
        for batch in batches:
            yield Batch(*batch)
    except InputError as error:
        # What a worker process raised comes with its whole traceback as its text.
        raise InputError(str(error).strip().splitlines()[-1].removeprefix(f"{_qualified(InputError)}: ")) from error


def _qualified(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
