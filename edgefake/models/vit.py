"""LinViT and BitViT: one vision transformer encoder with two linear layers (thesis sections 3.2 and 3.3).

    image (B, 3, H, W)
      -> shifted patch tokenization, or a stem of convolutions (B, N, D)  + fixed 2-D sin-cos positions
      -> L blocks of attention and feed-forward, RMSNorm before every linear layer
      -> RMSNorm -> mean over tokens (B, D) -> head -> logits (B, classes)

For distillation by hard labels one learnable token joins the patches; it has a head of its own, is no part of the mean
and is dropped before fine-tuning (section 3.4; Touvron et al. 2021).

LinViT uses nn.Linear in the encoder, BitViT BitLinear; nothing else differs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefake_runtime.errors import UsageError

from .bitlinear import BitLinear
from .cnn import EFFICIENTNET_LITE0, Trunk
from .head import DEEPFAKE_HEAD, prediction_head
from .precision import at_least_float32

__all__ = ["DEEPFAKE_HEAD", "RMSNorm", "ViT", "ViTConfig", "sincos_positions"]

NORM_EPSILON = 1e-6

STEM_STRIDE = 16

STEMS = {"lite0": (EFFICIENTNET_LITE0, 4)}
"""Name -> the network whose first stages are the stem, and how many: a cell is `STEM_STRIDE` pixels wide."""


@dataclass(frozen=True)
class ViTConfig:
    """Size of a ViT.

    Attributes:
        image_size: side of the square input, pixels; a multiple of `patch_size`.
        patch_size: side of a patch, pixels.
        dim: D, width of a token; a multiple of 4 (positions) and of `heads`.
        depth: L, number of blocks.
        heads: of the attention.
        ffn_dim: hidden width of the feed-forward network.
        ternary: BitLinear (BitViT) or nn.Linear (LinViT) in the encoder.
        head: hidden widths of the head; empty for one linear layer.
        classes: number of logits.
        dropout: in the head, between its hidden layers.
        distillation: whether there is a distillation token with its head.
        ternary_patches: BitLinear in the patch embedding too, which is otherwise the largest part of a small file.
        stem: convolutions instead of shifted patches: "lite0" for the first four stages of EfficientNet-Lite0, whose
            cells of 16 pixels are the tokens (a hybrid, Dosovitskiy et al. 2021); empty for the thesis' patches.
    """

    image_size: int
    patch_size: int
    dim: int
    depth: int
    heads: int
    ffn_dim: int
    ternary: bool
    head: tuple[int, ...] = DEEPFAKE_HEAD
    classes: int = 2
    dropout: float = 0.2
    distillation: bool = False
    ternary_patches: bool = False
    stem: str = ""

    def __post_init__(self) -> None:
        if self.patch_size % 2 or self.image_size % self.patch_size:
            raise UsageError(
                f"expected an even patch size that divides the image size, got {self.patch_size}, {self.image_size}"
            )
        if self.stem not in ("", *STEMS):
            raise UsageError(f"expected a stem among {', '.join(STEMS)}, or none; got {self.stem}")
        if self.stem and self.patch_size != STEM_STRIDE:
            raise UsageError(f"expected patches of {STEM_STRIDE} pixels, the cells of the stem; got {self.patch_size}")
        if self.stem and self.ternary_patches:
            raise UsageError("expected ternary patches or a stem of convolutions, got both")
        if self.dim % self.heads or self.dim % 4:
            raise UsageError(f"expected a width divisible by 4 and by {self.heads} heads, got {self.dim}")

    @property
    def grid(self) -> int:
        """Tokens along one side of the image."""
        return self.image_size // self.patch_size


def sincos_positions(grid: int, dim: int) -> tuple[Tensor, Tensor]:
    """Fixed 2-D positions: sin x, cos x, sin y, cos y interleaved, omega_i = 10000^(-4i/D) (thesis eq. 3.6).

    No number depends on both coordinates, so the table of N tokens is the sum of two small terms, each zero where the
    other is not.

    Returns:
        columns (1, grid, dim), the terms of x, and rows (grid, 1, dim), those of y.
    """
    omega = 10000.0 ** (-4.0 * torch.arange(dim // 4, dtype=torch.float64) / dim)  # (D/4,)
    angles = torch.arange(grid)[:, None] * omega  # (grid, D/4)
    sin, cos, zero = angles.sin(), angles.cos(), torch.zeros_like(angles)
    columns = torch.stack([sin, cos, zero, zero], dim=-1).flatten(1).float()  # (grid, D/4, 4) -> (grid, D)
    rows = torch.stack([zero, zero, sin, cos], dim=-1).flatten(1).float()
    return columns[None], rows[:, None]


class RMSNorm(nn.Module):
    """x / RMS(x) * gain over the last dimension (thesis eq. 3.18-3.19; Zhang & Sennrich 2019)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (..., D), in float32 under autocast."""
        x = at_least_float32(x)
        return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + NORM_EPSILON) * self.weight


def shifted_patches(image: Tensor, size: int) -> Tensor:
    """Patches of the image and its four half-patch diagonal shifts, which fill with zeros (thesis eq. 3.5).

    Args:
        image: (B, 3, H, W), sides multiples of `size`.
        size: P, side of a patch, pixels, even.

    Returns:
        (B, N, 15 * P * P): of the image, then up left, up right, down left, down right of it.
    """
    half = size // 2
    height, width = image.shape[-2:]
    padded = F.pad(image, (half, half, half, half))
    corners = [(0, 0), (0, size), (size, 0), (size, size)]
    views = [image] + [padded[..., y : y + height, x : x + width] for y, x in corners]
    stacked = torch.cat(views, dim=1)  # (B, 15, H, W)
    patches = F.pixel_unshuffle(stacked, size)  # (B, 15 * P * P, H/P, W/P)
    return patches.flatten(2).transpose(1, 2)


class ShiftedPatchTokenization(nn.Module):
    """Shifted patches, normalized and projected. Shapes: (B, 3, H, W) -> (B, N, D)."""

    def __init__(self, patch_size: int, dim: int, *, ternary: bool = False) -> None:
        super().__init__()
        self.patch_size = patch_size
        features = 5 * 3 * patch_size**2
        self.norm = RMSNorm(features)
        self.linear = BitLinear(features, dim, bias=True) if ternary else nn.Linear(features, dim)

    def forward(self, image: Tensor) -> Tensor:
        """Cut, normalize and project."""
        tokens: Tensor = self.linear(self.norm(shifted_patches(image, self.patch_size)))  # (B, N, D)
        return tokens


class ConvolutionalTokenization(nn.Module):
    """Cells of a convolutional map, normalized and projected. Shapes: (B, 3, H, W) -> (B, N, D)."""

    def __init__(self, stem: str, dim: int) -> None:
        super().__init__()
        self.trunk = Trunk(*STEMS[stem])
        self.norm = RMSNorm(self.trunk.width)
        self.linear = nn.Linear(self.trunk.width, dim)

    def forward(self, image: Tensor) -> Tensor:
        """Convolve, normalize and project."""
        cells = self.trunk(image).flatten(2).transpose(1, 2)  # (B, C, H/S, W/S) -> (B, N, C)
        tokens: Tensor = self.linear(self.norm(cells))  # (B, N, D)
        return tokens


def attend(qkv: Tensor, heads: int) -> Tensor:
    """Scaled dot-product attention (thesis eq. 3.13-3.15): queries, keys, values (B, N, 3 * D) -> (B, N, D)."""
    batch, tokens, width = qkv.shape
    dim = width // 3
    q, k, v = qkv.view(batch, tokens, 3, heads, dim // heads).permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, N, D/heads)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, dim)


class Attention(nn.Module):
    """Multi-head self-attention, RMSNorm before both projections (thesis eq. 3.13-3.15)."""

    def __init__(self, dim: int, heads: int, linear: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.heads = heads
        self.norm_qkv = RMSNorm(dim)
        self.qkv = linear(dim, 3 * dim)
        self.norm_out = RMSNorm(dim)
        self.out = linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Attend among tokens: (B, N, D) -> (B, N, D)."""
        mixed = attend(self.qkv(self.norm_qkv(x)), self.heads)
        result: Tensor = self.out(self.norm_out(mixed))
        return result


class FeedForward(nn.Module):
    """GELU(x E1) E2, RMSNorm before both layers (thesis eq. 3.11-3.12)."""

    def __init__(self, dim: int, hidden: int, linear: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.norm_fc1 = RMSNorm(dim)
        self.fc1 = linear(dim, hidden)
        self.norm_fc2 = RMSNorm(hidden)
        self.fc2 = linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        hidden = F.gelu(self.fc1(self.norm_fc1(x)))  # (B, N, hidden)
        result: Tensor = self.fc2(self.norm_fc2(hidden))
        return result


class Block(nn.Module):
    """One encoder layer with its two residual connections (thesis eq. 3.9-3.10)."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        linear = _bit_linear if config.ternary else _float_linear
        self.attention = Attention(config.dim, config.heads, linear)
        self.feed_forward = FeedForward(config.dim, config.ffn_dim, linear)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        x = x + self.attention(x)
        result: Tensor = x + self.feed_forward(x)
        return result


def _float_linear(inputs: int, outputs: int) -> nn.Module:
    return nn.Linear(inputs, outputs, bias=False)


def _bit_linear(inputs: int, outputs: int) -> nn.Module:
    return BitLinear(inputs, outputs)


class ViT(nn.Module):
    """LinViT or BitViT, as the configuration says.

    Shapes: image (B, 3, image_size, image_size), normalized -> logits (B, classes).
    """

    columns: Tensor
    rows: Tensor
    distillation_token: nn.Parameter | None
    distillation_head: nn.Linear | None

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenize: ShiftedPatchTokenization | ConvolutionalTokenization
        if config.stem:
            self.tokenize = ConvolutionalTokenization(config.stem, config.dim)
        else:
            self.tokenize = ShiftedPatchTokenization(config.patch_size, config.dim, ternary=config.ternary_patches)
        columns, rows = sincos_positions(config.grid, config.dim)
        self.register_buffer("columns", columns.flatten(), persistent=False)
        self.register_buffer("rows", rows, persistent=False)
        # PyTorch's own start: with ViT's usual normal of deviation 0.02 it learned several times slower at this scale.
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = RMSNorm(config.dim)
        self.head = prediction_head(config.dim, config.head, classes=config.classes, dropout=config.dropout)
        self.distillation_token = self.distillation_head = None
        if config.distillation:
            self.distillation_token = nn.Parameter(0.02 * torch.randn(config.dim))
            self.distillation_head = nn.Linear(config.dim, config.classes)

    def _place(self, tokens: Tensor) -> Tensor:
        """Add the positions: (B, N, D) -> (B, N, D).

        The shapes between the two sums keep converters from merging them into a table of all tokens again.
        """
        grid, dim = self.config.grid, self.config.dim
        cells = tokens.reshape(-1, grid, grid, dim) + self.rows  # (B, grid, grid, D)
        lines = cells.reshape(-1, grid, grid * dim) + self.columns  # (B, grid, grid * D)
        return lines.reshape(-1, grid * grid, dim)

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """The encoder after the last norm.

        Returns:
            Tokens of the patches (B, N, D), and the distillation token (B, D) where the network has one.
        """
        x = self._place(self.tokenize(image))  # eq. 3.8
        if self.distillation_token is not None:
            x = torch.cat([x, self.distillation_token.to(x.dtype).expand(len(x), 1, -1)], dim=1)  # (B, N + 1, D)
        for block in self.blocks:
            x = block(x)
        tokens: Tensor = self.norm(x)
        if self.distillation_token is None:
            return tokens, None
        return tokens[:, :-1], tokens[:, -1]

    def features(self, image: Tensor) -> Tensor:
        """The tokens of the patches: (B, 3, H, W) -> (B, N, D)."""
        return self.encode(image)[0]

    def classify(self, features: Tensor) -> Tensor:
        """Logits from tokens: (B, N, D) -> (B, classes)."""
        logits: Tensor = self.head(features.mean(dim=1))  # eq. 3.7
        return logits

    def forward(self, image: Tensor) -> Tensor:
        """Logits of a batch of images."""
        return self.classify(self.features(image))
