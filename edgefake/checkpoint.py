"""Checkpoints: folders of `model.safetensors` and `config.json`. Never pickle.

A full checkpoint holds float32 weights, the latent ones of BitLinear included; training goes on from it.
A compact one holds what inference needs: ternary weights at 2 bits, the rest as float16.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from edgefake_runtime import __version__
from edgefake_runtime.errors import InputError, ModelFileError, UsageError, first_line

from .models import BitLinear, Network, build
from .models.bitlinear import ternarize
from .whole import write_whole

__all__ = ["CONFIG", "WEIGHTS", "Checkpoint", "load_checkpoint", "pack_ternary", "save_checkpoint", "unpack_ternary"]

WEIGHTS, CONFIG = "model.safetensors", "config.json"
PACKED, SCALE = ".ternary", ".scale"


@dataclass(frozen=True)
class Checkpoint:
    """A network with what belongs to it.

    Attributes:
        network: the weights in their module.
        model: named configuration, such as "bitvit-tiny"; the network's own sizes count where they differ.
        metadata: preprocessing, calibration, recipe; JSON values.
        compact: read from a compact checkpoint.
    """

    network: Network
    model: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    compact: bool = False


def pack_ternary(ternary: Tensor) -> Tensor:
    """Whole numbers -1, 0, 1 of any shape -> bytes of four values each, two's complement, element 0 lowest."""
    codes = ternary.flatten().to(torch.int16) & 3
    codes = torch.nn.functional.pad(codes, (0, -codes.numel() % 4)).view(-1, 4)
    weights = torch.tensor([1, 4, 16, 64], dtype=torch.int16)
    return (codes * weights).sum(dim=1).to(torch.uint8)


def unpack_ternary(packed: Tensor, shape: tuple[int, int]) -> Tensor:
    """The inverse of `pack_ternary`, as float32.

    Raises:
        ModelFileError: too few bytes, or a code that is no ternary value.
    """
    codes = (packed.to(torch.int16)[:, None] >> torch.tensor([0, 2, 4, 6], dtype=torch.int16)) & 3
    count = shape[0] * shape[1]
    if codes.numel() < count or codes.numel() - count > 3:
        raise ModelFileError(f"expected {count} ternary weights, got {codes.numel()}")
    values = codes.flatten()[:count]
    if bool((values == 2).any()):
        raise ModelFileError("expected ternary weights, got the code 2")
    return torch.where(values == 3, -1, values).to(torch.float32).view(shape)


def _halved(name: str, value: Tensor) -> Tensor:
    if not value.is_floating_point():
        return value
    half = value.half()
    if bool((half.isinf() & value.isfinite()).any()):
        raise ModelFileError(f"{name}: expected weights below 65,504 (float16), got {float(value.abs().max()):g}")
    return half


def _compact_tensors(network: Network) -> dict[str, Tensor]:
    tensors = {name: _halved(name, value) for name, value in network.state_dict().items()}
    for name, module in network.named_modules():
        if isinstance(module, BitLinear):
            ternary, scale = ternarize(module.weight.detach())
            del tensors[f"{name}.weight"]
            tensors[f"{name}.weight{PACKED}"] = pack_ternary(ternary)
            tensors[f"{name}.weight{SCALE}"] = scale.reshape(1)
    return tensors


def _latent(ternary: Tensor, scale: Tensor) -> Tensor:
    """Weights whose `ternarize` gives back these values and this scale: nonzeros of scale / density."""
    density = ternary.abs().mean()
    return ternary * (scale / density) if density > 0 else ternary


def _expand(tensors: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
    state = {}
    for name, module in network.named_modules():
        if isinstance(module, BitLinear):
            key = f"{name}.weight"
            ternary = unpack_ternary(tensors[key + PACKED], (module.out_features, module.in_features))
            state[key] = _latent(ternary, tensors[key + SCALE])
    rest = {k: v for k, v in tensors.items() if not k.endswith((PACKED, SCALE))}
    return state | {k: v.float() if v.is_floating_point() else v for k, v in rest.items()}


def save_checkpoint(checkpoint: Checkpoint, folder: Path, *, compact: bool = False) -> None:
    """Write a checkpoint folder, or replace the one that is there; other files in it stay.

    Each file is written under a temporary name and then renamed, the weights first.

    Raises:
        UsageError: the place is taken by something that is no checkpoint.
        InputError: it cannot be written.
    """
    if folder.exists() and not (folder / CONFIG).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: expected a new folder or a checkpoint to replace, got something else")
    network = checkpoint.network
    tensors = _compact_tensors(network) if compact else dict(network.state_dict())
    config = {
        "edgefake": __version__,
        "format": "compact" if compact else "full",
        "model": checkpoint.model,
        "architecture": asdict(network.config),
        "metadata": dict(checkpoint.metadata),
    }
    weights = save({name: value.contiguous() for name, value in tensors.items()})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / WEIGHTS, weights)
        write_whole(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
    except OSError as error:
        raise InputError(f"{folder}: expected a folder that can be written, got: {error.strerror}") from error


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelFileError(f"{folder}: expected a checkpoint folder with {CONFIG} and {WEIGHTS}, got none") from error
    except NotADirectoryError as error:
        raise ModelFileError(f"{folder}: expected a checkpoint folder, got a file") from error
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{folder / CONFIG}: expected JSON, got: {error}") from error
    known = isinstance(config, dict) and {"format", "model", "architecture"} <= config.keys()
    if not known or not isinstance(config.get("metadata", {}), dict):
        raise ModelFileError(f"{folder / CONFIG}: expected an edgefake checkpoint, got something else")
    return dict(config)


def _build(config: Mapping[str, Any], folder: Path) -> Network:
    sizes = config["architecture"]
    try:
        return build(config["model"], **{key: _tuples(value) for key, value in sizes.items()})
    except (UsageError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, MemoryError) as error:
        raise ModelFileError(f"{folder / CONFIG}: expected a known architecture, got: {first_line(error)}") from error


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a full or compact checkpoint; the network is in evaluation mode.

    Raises:
        ModelFileError: missing, damaged, or weights that do not fit the architecture that it names.
    """
    config = _read_config(folder)
    network = _build(config, folder)
    try:
        tensors = load((folder / WEIGHTS).read_bytes())
        compact = config["format"] == "compact"
        network.load_state_dict(_expand(tensors, network) if compact else tensors)
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        lines = [line.strip() for line in str(error).splitlines()] or [type(error).__name__]
        reason = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]  # torch names the tensor in the second
        raise ModelFileError(f"{folder / WEIGHTS}: expected the weights of {config['model']}, got: {reason}") from error
    return Checkpoint(
        network=network.eval(),
        model=config["model"],
        metadata=config.get("metadata", {}),
        compact=compact,
    )


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
