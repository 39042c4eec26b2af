"""The networks, one file per architecture, and their named configurations."""

from dataclasses import replace
from typing import Any

from edgefake_runtime.errors import UsageError

from .bitlinear import BitLinear
from .cnn import CNN, EFFICIENTNET_LITE0, CNNConfig
from .vit import ViT, ViTConfig

__all__ = [
    "CNN",
    "CONFIGURATIONS",
    "BitLinear",
    "CNNConfig",
    "Network",
    "ViT",
    "ViTConfig",
    "build",
    "configuration",
]

Network = ViT | CNN
"""What trains, distils and exports: `features(image)`, `classify(features)`, `forward(image)`."""


def _both(size: str, **sizes: Any) -> dict[str, ViTConfig | CNNConfig]:
    named: dict[str, ViTConfig | CNNConfig] = {
        f"linvit-{size}": ViTConfig(**sizes, ternary=False),
        f"bitvit-{size}": ViTConfig(**sizes, ternary=True),
    }
    if "stem" not in sizes:
        # The smallest files: 0.4 MB less than a 4-bit patch embedding at s16.
        named[f"bitvit-{size}-patches"] = ViTConfig(**sizes, ternary=True, ternary_patches=True)
    return named


CONFIGURATIONS: dict[str, ViTConfig | CNNConfig] = {
    # The thesis, table 4.1: ViT-S/16.
    **_both("s16", image_size=224, patch_size=16, dim=384, depth=12, heads=6, ffn_dim=1536),
    # ViT-Ti/16 (DeiT): a quarter of the arithmetic.
    **_both("ti16", image_size=224, patch_size=16, dim=192, depth=12, heads=3, ffn_dim=768),
    # For a Raspberry Pi, and for training on a CPU: 49 tokens.
    **_both("tiny", image_size=112, patch_size=16, dim=192, depth=8, heads=3, ffn_dim=768),
    # The same encoder on the first stages of EfficientNet-Lite0: convolutions learn faces from fewer pictures.
    **_both("tiny-hybrid", image_size=112, patch_size=16, dim=192, depth=8, heads=3, ffn_dim=768, stem="lite0"),
    # The thesis' encoder on the same stages and tokens.
    **_both("s16-hybrid", image_size=112, patch_size=16, dim=384, depth=12, heads=6, ffn_dim=1536, stem="lite0"),
    # For tests: seconds, not hours; one hidden layer in the head.
    **_both("nano", image_size=32, patch_size=8, dim=32, depth=2, heads=2, ffn_dim=64, head=(16,)),
    # EfficientNetV2-S (Tan & Le 2021, table 4): 21.5 M parameters with 1000 classes.
    "cnn-small": CNNConfig(
        image_size=224,
        stem=24,
        widths=(24, 48, 64, 128, 160, 256),
        depths=(2, 4, 4, 6, 9, 15),
        expansions=(1, 4, 4, 4, 6, 6),
        strides=(1, 2, 2, 2, 1, 2),
        fused=3,
        last=1280,
    ),
    # Trains on a CPU; 7x7 cells, the tokens of the tiny ViTs, whose teacher it is.
    "cnn-tiny": CNNConfig(
        image_size=112,
        stem=24,
        widths=(24, 48, 64, 128, 128),
        depths=(2, 3, 3, 1, 2),
        expansions=(1, 2, 3, 4, 4),
        strides=(1, 2, 2, 2, 1),
        fused=4,
        last=256,
    ),
    # 3.4 M parameters; `--init imagenet` gives it ImageNet's weights.
    "cnn-lite0": EFFICIENTNET_LITE0,
    # For tests: one block of each kind.
    "cnn-nano": CNNConfig(
        image_size=32,
        stem=8,
        widths=(8, 16, 24),
        depths=(1, 1, 2),
        expansions=(1, 2, 2),
        strides=(1, 2, 2),
        fused=2,
        last=32,
    ),
}
"""Name -> size; ViTs have the deepfake head where nothing else is said."""


def configuration(name: str, **changes: Any) -> ViTConfig | CNNConfig:
    """The named size, with some fields changed.

    Raises:
        UsageError: no such name; the message lists the known ones.
    """
    if name not in CONFIGURATIONS:
        raise UsageError(f"expected a model among {', '.join(CONFIGURATIONS)}; got {name}")
    return replace(CONFIGURATIONS[name], **changes)


def build(name: str, **changes: Any) -> Network:
    """A network of the named size with fresh weights.

    Raises:
        UsageError: no such name, or impossible sizes.
    """
    config = configuration(name, **changes)
    return ViT(config) if isinstance(config, ViTConfig) else CNN(config)
