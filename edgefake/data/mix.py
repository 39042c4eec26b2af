"""MixUp and CutMix: pictures and targets of a batch, blended with one another (thesis section 3.1)."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgefake_runtime.errors import UsageError

__all__ = ["Mix", "cutmix", "draw_beta", "mixup", "one_hot"]


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """(B,) int64 -> (B, classes) float32."""
    return F.one_hot(labels, classes).float()


def draw_beta(alpha: float, generator: torch.Generator) -> float:
    """One number of Beta(alpha, alpha).

    torch's own sampler takes no generator; this one's numbers seed numpy's.
    """
    seed = torch.randint(2**63 - 1, (1,), generator=generator)
    return float(np.random.default_rng(int(seed)).beta(alpha, alpha))


def mixup(images: Tensor, targets: Tensor, share: float, order: Tensor) -> tuple[Tensor, Tensor]:
    """x~ = share x_i + (1 - share) x_j, and so the targets (thesis eq. 3.1; Zhang et al. 2018).

    Args:
        images: (B, 3, H, W), float.
        targets: (B, K), float.
        share: lambda, of the picture itself.
        order: (B,) int64, the partner j of each i.
    """
    return torch.lerp(images, images[order], 1 - share), torch.lerp(targets, targets[order], 1 - share)


def _window(side: int, middle: int, length: int) -> tuple[int, int]:
    return max(0, middle - length // 2), min(side, middle + length // 2)


def cutmix(
    images: Tensor, targets: Tensor, share: float, order: Tensor, *, middle: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """A window of sqrt(1 - share) of each side comes from the partner (Yun et al. 2019, appendix A).

    The targets are mixed by the area that was pasted, which is smaller where the window leaves the picture.

    Args:
        images: (B, 3, H, W), float.
        targets: (B, K), float.
        share: lambda, of the picture itself.
        order: (B,) int64, the partner of each.
        middle: row and column of the window's centre.
    """
    height, width = images.shape[-2:]
    edge = math.sqrt(1 - share)
    top, bottom = _window(height, middle[0], int(height * edge))
    left, right = _window(width, middle[1], int(width * edge))
    images = images.clone()
    # The right side is copied by the indexing, before anything is written.
    images[..., top:bottom, left:right] = images[order, :, top:bottom, left:right]
    pasted = (bottom - top) * (right - left) / (height * width)
    return images, torch.lerp(targets, targets[order], pasted)


@dataclass(frozen=True)
class Mix:
    """MixUp, CutMix, either with probability 1/2, or nothing; one lambda a batch.

    Attributes:
        mixup: alpha of MixUp's Beta(alpha, alpha); 0 switches it off. The thesis found 0.2 best.
        cutmix: alpha of CutMix's.

    Raises:
        UsageError: a negative or infinite alpha.
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        for name in ("mixup", "cutmix"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise UsageError(f"{name}: expected an alpha of 0 or more, got {value}")

    def __call__(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Mix a batch; the arguments stay as they are.

        Args:
            images: (B, 3, H, W), float, on any device.
            targets: (B, K), float, one-hot or soft.
            generator: of the CPU; decides all.

        Returns:
            Images and targets of the same shapes.
        """
        if not self.mixup and not self.cutmix:
            return images, targets
        cuts = bool(self.cutmix) and (not self.mixup or bool(torch.randint(2, (1,), generator=generator)))
        share = draw_beta(self.cutmix if cuts else self.mixup, generator)
        order = torch.randperm(len(images), generator=generator).to(images.device)
        if not cuts:
            return mixup(images, targets, share, order)
        row, column = (int(torch.randint(side, (1,), generator=generator)) for side in images.shape[-2:])
        return cutmix(images, targets, share, order, middle=(row, column))
