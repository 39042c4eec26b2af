"""A small convolutional network: baseline beside the ViTs, and their teacher.

Residual stages (He et al. 2016) that end in a map of one sixteenth of the image's side, so that its
cells are the tokens of a ViT with patches of 16 pixels. A convolution learns from a few thousand
faces what a transformer from scratch does not.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["CNN", "CNNConfig"]


@dataclass(frozen=True)
class CNNConfig:
    """Size of a CNN.

    Attributes:
        image_size: side of the square input, pixels; a multiple of 16.
        widths: channels of the four stages; each but the first halves the map.
        blocks: residual blocks a stage.
        classes: number of logits.
        dropout: before the head.
    """

    image_size: int
    widths: tuple[int, int, int, int]
    blocks: int = 1
    classes: int = 2
    dropout: float = 0.2

    @property
    def grid(self) -> int:
        """Cells along one side of the last map."""
        return self.image_size // 16


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: (B, C, H, W) -> (B, C', H/stride, W/stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """relu(conv(relu(conv(x))) + shortcut(x)), each convolution normalized."""
        inner = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(inner + self.shortcut(x))


class CNN(nn.Module):
    """Stem of stride 2, four residual stages, mean over the map, one linear layer.

    Shapes: image (B, 3, image_size, image_size), normalized -> logits (B, classes).
    """

    def __init__(self, config: CNNConfig) -> None:
        super().__init__()
        self.config = config
        first = config.widths[0]
        self.stem = nn.Sequential(nn.Conv2d(3, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        blocks: list[nn.Module] = []
        inputs = first
        for stage, width in enumerate(config.widths):
            for index in range(config.blocks):
                blocks.append(ResidualBlock(inputs, width, 2 if stage and index == 0 else 1))
                inputs = width
        self.stages = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(inputs, config.classes)
        # Twice as fast to train on a CPU as the default layout.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, image: Tensor) -> Tensor:
        """The last map, cell by cell, row by row: (B, 3, H, W) -> (B, N, C)."""
        image = image.contiguous(memory_format=torch.channels_last)
        cells: Tensor = self.stages(self.stem(image)).flatten(2).transpose(1, 2)
        return cells

    def classify(self, features: Tensor) -> Tensor:
        """Logits from the map: (B, N, C) -> (B, classes)."""
        logits: Tensor = self.head(self.dropout(features.float().mean(dim=1)))
        return logits

    def forward(self, image: Tensor) -> Tensor:
        """Logits of a batch of images."""
        return self.classify(self.features(image))
