"""Teachers for distillation: checkpoints of ours, or trained networks of timm and torchvision by name.

The thesis' teacher is torchvision's EfficientNetV2-S (section 4.1): `torchvision:efficientnet_v2_s`. Neither package
imports beside a torch of another build, so edgefake does not depend on them. The adapters follow the interfaces of
timm 1.0 and torchvision 0.24; they were tested with stand-ins of that form, not yet run against the packages.
"""

import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefake.checkpoint import load_checkpoint
from edgefake.data.pictures import IMAGENET_MEAN, IMAGENET_STD
from edgefake.models import Network
from edgefake_runtime.errors import InputError, ModelFileError, UsageError

__all__ = ["Teacher", "load_teacher"]

TIMM, TORCHVISION = "timm:", "torchvision:"


class Teacher(nn.Module, ABC):
    """A trained network that answers for a student's pictures; always in evaluation mode, never with gradients.

    Args:
        network: the trained one; its parameters are frozen.
        classes: number of its logits.
        image_size: side of its input, pixels.
        mean: per channel, that it wants subtracted from pixels in 0 to 1.
        std: per channel, that it wants them divided by.

    Attributes:
        classes: number of logits.
        image_size: side of the input that the network sees, pixels.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        classes: int,
        image_size: int,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.classes = classes
        self.image_size = image_size
        ours, theirs = (torch.tensor([IMAGENET_MEAN, IMAGENET_STD]), torch.tensor([tuple(mean), tuple(std)]))
        # (pixel - m') / s' from (pixel - m) / s.
        self.register_buffer("scale", (ours[1] / theirs[1]).view(3, 1, 1), persistent=False)
        self.register_buffer("shift", ((ours[0] - theirs[0]) / theirs[1]).view(3, 1, 1), persistent=False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Answer for a batch.

        Args:
            images: (B, 3, H, W), normalized with ImageNet's mean and deviation, of the student's size.

        Returns:
            Logits (B, classes) and the cells of the last map (B, C, h, w), float32; None where there is no map.
        """
        if images.shape[-2:] != (self.image_size, self.image_size):
            side = (self.image_size, self.image_size)
            images = F.interpolate(images, size=side, mode="bilinear", antialias=True)
        logits, cells = self.answer(images * self.scale + self.shift)
        return logits.float(), cells if cells is None else cells.float()

    @abstractmethod
    def answer(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits and cells of pictures (B, 3, image_size, image_size), normalized as the network wants them."""


class _CheckpointTeacher(Teacher):
    """One of our networks."""

    network: Network
    order: Tensor

    def __init__(self, network: Network, *, order: Sequence[int], **settings: Any) -> None:
        super().__init__(network, classes=network.config.classes, image_size=network.config.image_size, **settings)
        self.register_buffer("order", torch.tensor(order), persistent=False)

    def answer(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.features(images)  # (B, N, C)
        return self.network.classify(features)[:, self.order], _grid(features)


class _TimmTeacher(Teacher):
    """A classifier of timm."""

    def answer(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        network: Any = self.network
        features = network.forward_features(images)
        return network.forward_head(features), _timm_cells(network, features)


class _TorchvisionTeacher(Teacher):
    """A classifier of torchvision; its cells are what its module `features` gives, where it has one."""

    def __init__(self, network: nn.Module, **settings: Any) -> None:
        super().__init__(network, **settings)
        self._seen: Tensor | None = None
        features = getattr(network, "features", None)
        if isinstance(features, nn.Module):
            features.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple[Tensor, ...], features: Tensor) -> None:
        # Swin's map has its channels last, and a layer `permute` that mends it.
        self._seen = features.permute(0, 3, 1, 2) if hasattr(self.network, "permute") else features

    def answer(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        logits = self.network(images)
        cells, self._seen = self._seen, None
        return logits, cells


def _grid(tokens: Tensor) -> Tensor:
    """(B, N, C), row by row -> (B, C, h, w) of a square."""
    side = math.isqrt(tokens.shape[1])
    return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)


def _timm_cells(network: Any, features: Tensor) -> Tensor | None:
    """A map as it is, channels first; tokens without class and register tokens, where they fill a square."""
    if features.ndim == 4:
        return features.permute(0, 3, 1, 2) if getattr(network, "output_fmt", "NCHW") == "NHWC" else features
    if features.ndim != 3:
        return None
    tokens = features[:, getattr(network, "num_prefix_tokens", 0) :]
    return _grid(tokens) if math.isqrt(tokens.shape[1]) ** 2 == tokens.shape[1] else None


def load_teacher(name: str, *, classes: Sequence[str]) -> Teacher:
    """A teacher by name; it stays on the CPU until moved.

    Args:
        name: a checkpoint folder of ours, `timm:NAME` or `torchvision:NAME`. The packages download their own weights.
        classes: of the data, in the order of the labels. A checkpoint of ours must know the same names; its answers are
            brought into this order. Of the packages' networks the number is checked alone: give ImageNet's classes in
            the order of their WordNet numbers, which is that of its folders.

    Raises:
        UsageError: no such teacher, other classes, or a package that is missing or does not import.
        ModelFileError: a damaged checkpoint.
        InputError: weights that could not be downloaded.
    """
    if name.startswith(TIMM):
        teacher = _load_timm(name)
    elif name.startswith(TORCHVISION):
        teacher = _load_torchvision(name)
    else:
        teacher = _load_ours(name, tuple(classes))
    if teacher.classes != len(classes):
        raise UsageError(
            f"{name}: expected a teacher of the data's {len(classes)} classes, got one of {teacher.classes}; "
            "train one on this data, or distil on the data that it knows"
        )
    return teacher


def _load_ours(name: str, classes: tuple[str, ...]) -> Teacher:
    folder = Path(name)
    if not folder.exists():
        raise UsageError(f"{name}: expected a checkpoint folder, timm:NAME or torchvision:NAME; got none of them")
    checkpoint = load_checkpoint(folder)
    labels = checkpoint.metadata.get("labels")
    order: list[int] = list(range(checkpoint.network.config.classes))
    if isinstance(labels, list) and len(labels) == len(classes) == len(order):
        if set(labels) != set(classes):
            other = min(set(classes) - set(labels))
            raise UsageError(f"{name}: expected a teacher that knows the data's classes, got one without {other}")
        order = [labels.index(each) for each in classes]
    known = {key: checkpoint.metadata[key] for key in ("mean", "std") if key in checkpoint.metadata}
    try:
        return _CheckpointTeacher(checkpoint.network, order=order, **known)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{name}: expected mean and std of three numbers, got {known}") from error


def _import(package: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    # Beside a torch of another build the import fails in the middle, with whatever error comes up there.
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        also = "timm and " if package.startswith("timm") else ""
        raise UsageError(
            f"{name}: expected {package} to import beside torch {torch.__version__}, got: {_line(error)}; "
            f"install {also}a torchvision that matches this torch"
        ) from error


def _load_timm(name: str) -> Teacher:
    timm, data = _import("timm", name), _import("timm.data", name)
    try:
        network = timm.create_model(name.removeprefix(TIMM), pretrained=True)
        settings = data.resolve_model_data_config(network)
        return _TimmTeacher(
            network,
            classes=network.num_classes,
            image_size=settings["input_size"][-1],
            mean=settings["mean"],
            std=settings["std"],
        )
    except OSError as error:
        raise InputError(f"{name}: expected to download its weights, got: {_line(error)}") from error
    except (RuntimeError, ValueError, KeyError, AttributeError) as error:
        raise UsageError(f"{name}: expected a trained classifier of timm, got: {_line(error)}") from error


def _load_torchvision(name: str) -> Teacher:
    models, model = _import("torchvision.models", name), name.removeprefix(TORCHVISION)
    try:
        weights = models.get_model_weights(model).DEFAULT
        view = weights.transforms()
        return _TorchvisionTeacher(
            models.get_model(model, weights=weights),
            classes=len(weights.meta["categories"]),
            image_size=view.crop_size[0],
            mean=view.mean,
            std=view.std,
        )
    except OSError as error:
        raise InputError(f"{name}: expected to download its weights, got: {_line(error)}") from error
    except (RuntimeError, ValueError, KeyError, AttributeError) as error:
        raise UsageError(f"{name}: expected a trained classifier of torchvision, got: {_line(error)}") from error


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
