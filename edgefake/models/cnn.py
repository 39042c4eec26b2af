"""EfficientNets: convolutional baselines beside the ViTs, and their teachers (Tan & Le 2021, arXiv 2104.00298).

    image (B, 3, H, W)
      -> stem, a 3x3 convolution of stride 2
      -> Fused-MBConv stages, then MBConv stages, with squeeze-and-excitation or (EfficientNet-Lite) without
      -> 1x1 convolution -> mean over the map (B, C) -> head -> logits (B, classes)

Early stages fuse the expansion and the depthwise convolution into one 3x3 convolution: at few channels and a large
map that is the faster one, on CPUs by far. A convolution learns from a few thousand faces what a transformer from
scratch does not; the cells of the last map are the tokens that a ViT with equal stride learns to copy.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefake_runtime.errors import UsageError

from .head import prediction_head
from .precision import at_least_float32

__all__ = ["CNN", "EFFICIENTNET_LITE0", "CNNConfig", "Trunk"]

NORM_EPSILON = 1e-3
"""Of every BatchNorm, as the paper's own code has it."""

STEM_STRIDE = 2


@dataclass(frozen=True)
class CNNConfig:
    """Size of a CNN; `widths`, `depths`, `expansions` and `strides` have one entry a stage (paper, table 4).

    Attributes:
        image_size: side of the square input, pixels; a multiple of the network's stride.
        stem: channels of the first convolution.
        widths: channels of a stage's output.
        depths: blocks of a stage.
        expansions: hidden channels of a block over its input channels.
        strides: of a stage's first block.
        fused: number of stages that are Fused-MBConv; those after them are MBConv.
        last: channels of the 1x1 convolution after the stages, which are the features.
        kernels: side of a stage's depthwise convolutions; empty for 3 everywhere. Fused-MBConv has 3.
        lite: ReLU6 instead of SiLU, no squeeze-and-excitation, and no expansion by 1: EfficientNet-Lite (Liu 2020),
            made for integer arithmetic on phones.
        head: hidden widths of the head; empty for one linear layer.
        classes: number of logits.
        dropout: before the head, and in it between its hidden layers.
    """

    image_size: int
    stem: int
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    expansions: tuple[int, ...]
    strides: tuple[int, ...]
    fused: int
    last: int
    head: tuple[int, ...] = ()
    classes: int = 2
    dropout: float = 0.2
    kernels: tuple[int, ...] = ()
    lite: bool = False

    def __post_init__(self) -> None:
        stages = (self.widths, self.depths, self.expansions, self.strides, self.depthwise)
        if len({len(stage) for stage in stages}) != 1:
            raise UsageError(f"expected widths, depths, expansions, strides and kernels of one length, got {stages}")
        if any(kernel % 2 == 0 for kernel in self.depthwise) or set(self.depthwise[: self.fused]) - {3}:
            raise UsageError(f"expected odd kernels, of 3 where a stage is fused; got {self.depthwise}")
        smallest = min(self.image_size, self.stem, self.last, *self.widths, *self.depths, *self.expansions)
        if smallest < 1 or not set(self.strides) <= {1, 2} or not 0 <= self.fused <= len(self.widths):
            raise UsageError(f"expected sizes of 1 or more, strides of 1 or 2, and a stage for each fused; got {self}")
        if self.image_size % self.stride:
            raise UsageError(f"expected an image size that {self.stride} divides, got {self.image_size}")

    @property
    def depthwise(self) -> tuple[int, ...]:
        """Side of every stage's depthwise convolutions."""
        return self.kernels or (3,) * len(self.widths)

    @property
    def stride(self) -> int:
        """Pixels from one cell of the last map to the next."""
        return STEM_STRIDE * math.prod(self.strides)

    @property
    def grid(self) -> int:
        """Cells along one side of the last map."""
        return self.image_size // self.stride


EFFICIENTNET_LITE0 = CNNConfig(
    image_size=224,
    stem=32,
    widths=(16, 24, 40, 80, 112, 192, 320),
    depths=(1, 2, 2, 3, 3, 4, 1),
    expansions=(1, 6, 6, 6, 6, 6, 6),
    strides=(1, 2, 2, 2, 1, 1, 1),
    kernels=(3, 3, 5, 3, 5, 5, 3),
    fused=0,
    last=1280,
    lite=True,
)
"""EfficientNet-Lite0 (Liu 2020) without its last stride: 14x14 cells, the tokens of ViT-S/16."""


class _StridedDepthwise(nn.Conv2d):
    """A depthwise convolution with a stride; in float32 under a CPU's autocast, as bfloat16 takes 17 times as long."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H / stride, W / stride)."""
        if input.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float())


def _convolution(
    inputs: int,
    outputs: int,
    *,
    kernel: int,
    stride: int = 1,
    depthwise: bool = False,
    activation: type[nn.Module] | None = nn.SiLU,
) -> nn.Sequential:
    """Convolution, BatchNorm and activation; a projection goes without the last (Sandler et al. 2018)."""
    groups = inputs if depthwise else 1
    kind = _StridedDepthwise if depthwise and stride > 1 else nn.Conv2d
    convolution = kind(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    layers = [convolution, nn.BatchNorm2d(outputs, eps=NORM_EPSILON)]
    return nn.Sequential(*layers, activation()) if activation else nn.Sequential(*layers)


class SqueezeExcitation(nn.Module):
    """x * sigmoid(W2 silu(W1 mean(x))): every channel weighed by what the whole map holds (Hu et al. 2018)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        mean = x.mean(dim=(2, 3), keepdim=True)  # (B, C, 1, 1)
        weight: Tensor = self.expand(F.silu(self.reduce(mean))).sigmoid()
        return x * weight


class _Block(nn.Sequential):
    """Layers in order, beside a shortcut where input and output have one shape."""

    def __init__(self, *layers: nn.Module, shortcut: bool) -> None:
        super().__init__(*layers)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        inner: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return x + inner if self.shortcut else inner


class FusedMBConv(_Block):
    """3x3 convolution that expands, 1x1 projection; one 3x3 convolution where nothing expands (paper, figure 2)."""

    def __init__(self, inputs: int, outputs: int, *, expansion: int, stride: int) -> None:
        hidden = inputs * expansion
        if expansion == 1:
            layers = [_convolution(inputs, outputs, kernel=3, stride=stride)]
        else:
            layers = [
                _convolution(inputs, hidden, kernel=3, stride=stride),
                _convolution(hidden, outputs, kernel=1, activation=None),
            ]
        super().__init__(*layers, shortcut=stride == 1 and inputs == outputs)


class MBConv(_Block):
    """1x1 expansion, depthwise convolution, squeeze-and-excitation, 1x1 projection (paper, figure 2).

    The squeeze is a quarter of the block's input channels, not of the expanded ones; the lite form has none.
    """

    def __init__(
        self, inputs: int, outputs: int, *, expansion: int, stride: int, kernel: int = 3, lite: bool = False
    ) -> None:
        hidden, activation = inputs * expansion, _activation(lite)
        layers: list[nn.Module] = []
        if expansion > 1 or not lite:
            layers.append(_convolution(inputs, hidden, kernel=1, activation=activation))
        layers.append(_convolution(hidden, hidden, kernel=kernel, stride=stride, depthwise=True, activation=activation))
        if not lite:
            layers.append(SqueezeExcitation(hidden, max(1, inputs // 4)))
        layers.append(_convolution(hidden, outputs, kernel=1, activation=None))
        super().__init__(*layers, shortcut=stride == 1 and inputs == outputs)


def _activation(lite: bool) -> type[nn.Module]:
    return nn.ReLU6 if lite else nn.SiLU


def _stage(config: CNNConfig, stage: int) -> Callable[..., nn.Module]:
    """The block of a stage, all but its widths and stride."""
    expansion = config.expansions[stage]
    if stage < config.fused:
        return partial(FusedMBConv, expansion=expansion)
    return partial(MBConv, expansion=expansion, kernel=config.depthwise[stage], lite=config.lite)


def _stages(config: CNNConfig, count: int) -> list[nn.Module]:
    """The blocks of the first stages, in order."""
    blocks: list[nn.Module] = []
    inputs = config.stem
    for stage, (width, depth) in enumerate(zip(config.widths[:count], config.depths[:count], strict=True)):
        block = _stage(config, stage)
        blocks.append(block(inputs, width, stride=config.strides[stage]))
        blocks += [block(width, width, stride=1) for _ in range(depth - 1)]
        inputs = width
    return blocks


def _blocks(config: CNNConfig) -> nn.Sequential:
    """All blocks in order; the 1x1 convolution counts as the last of them."""
    last = _convolution(config.widths[-1], config.last, kernel=1, activation=_activation(config.lite))
    return nn.Sequential(*_stages(config, len(config.widths)), last)


def _initialize(network: nn.Module) -> None:
    """He et al. (2015), normal, by fan-out, as EfficientNet's code has it: a channel's own fan where depthwise."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan = module.out_channels * math.prod(module.kernel_size) // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan))
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Trunk(nn.Module):
    """The stem and the first stages of an EfficientNet: what a hybrid ViT has instead of patches of pixels.

    Its tensors have the names that they have in the whole network. Shapes: (B, 3, H, W) -> (B, C, H/S, W/S).

    Args:
        config: of the network.
        stages: how many; their widths, strides and the stem's decide C and S.
    """

    def __init__(self, config: CNNConfig, stages: int) -> None:
        super().__init__()
        self.width = config.widths[stages - 1]
        self.stride = STEM_STRIDE * math.prod(config.strides[:stages])
        self.stem = _convolution(3, config.stem, kernel=3, stride=STEM_STRIDE, activation=_activation(config.lite))
        self.blocks = nn.Sequential(*_stages(config, stages))
        _initialize(self)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, image: Tensor) -> Tensor:
        """The map of the last stage."""
        cells: Tensor = self.blocks(self.stem(image.contiguous(memory_format=torch.channels_last)))
        return cells


class CNN(nn.Module):
    """An EfficientNet of the configuration's form and size.

    Shapes: image (B, 3, image_size, image_size), normalized -> logits (B, classes).
    """

    def __init__(self, config: CNNConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = _convolution(3, config.stem, kernel=3, stride=STEM_STRIDE, activation=_activation(config.lite))
        self.blocks = _blocks(config)
        self.dropout = nn.Dropout(config.dropout)
        self.head = prediction_head(config.last, config.head, classes=config.classes, dropout=config.dropout)
        _initialize(self)
        # Twice as fast to train on a CPU as the default layout.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, image: Tensor) -> Tensor:
        """The last map, cell by cell, row by row: (B, 3, H, W) -> (B, N, C)."""
        image = image.contiguous(memory_format=torch.channels_last)
        cells: Tensor = self.blocks(self.stem(image)).flatten(2).transpose(1, 2)
        return cells

    def classify(self, features: Tensor) -> Tensor:
        """Logits from the map: (B, N, C) -> (B, classes)."""
        logits: Tensor = self.head(self.dropout(at_least_float32(features).mean(dim=1)))
        return logits

    def forward(self, image: Tensor) -> Tensor:
        """Logits of a batch of images."""
        return self.classify(self.features(image))
