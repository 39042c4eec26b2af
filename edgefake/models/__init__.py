"""The networks, one file per architecture, and their named configurations."""

from dataclasses import replace
from typing import Any

from edgefake_runtime.errors import UsageError

from .bitlinear import BitLinear
from .cnn import CNN, CNNConfig
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
    return {
        f"linvit-{size}": ViTConfig(**sizes, ternary=False),
        f"bitvit-{size}": ViTConfig(**sizes, ternary=True),
    }


CONFIGURATIONS: dict[str, ViTConfig | CNNConfig] = {
    # The thesis, table 4.1: ViT-S/16.
    **_both("s16", image_size=224, patch_size=16, dim=384, depth=12, heads=6, ffn_dim=1536),
    # ViT-Ti/16 (DeiT): a quarter of the arithmetic.
    **_both("ti16", image_size=224, patch_size=16, dim=192, depth=12, heads=3, ffn_dim=768),
    # For a Raspberry Pi, and for training on a CPU: 49 tokens.
    **_both("tiny", image_size=112, patch_size=16, dim=192, depth=8, heads=3, ffn_dim=768),
    # For tests: seconds, not hours; one hidden layer in the head.
    **_both("nano", image_size=32, patch_size=8, dim=32, depth=2, heads=2, ffn_dim=64, head=(16,)),
    "cnn-tiny": CNNConfig(image_size=112, widths=(32, 64, 128, 192)),
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
