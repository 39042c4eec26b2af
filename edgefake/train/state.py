"""The state of a run between two steps: one file, whole or not there, never pickle."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from edgefake.whole import write_whole
from edgefake_runtime.errors import InputError

__all__ = ["STATE_FILE", "TrainingState", "load_state", "save_state"]

STATE_FILE = "state.safetensors"


@dataclass(frozen=True)
class TrainingState:
    """What a step depends on, beside the settings.

    Order, augmentation and every random number are functions of the seed and the step (see `Order` and the engine), so
    the step itself is the state of sampler and generators.

    Attributes:
        modules: name -> module, such as the objective and the averaged network.
        optimizer: AdamW.
        progress: step, reports and the like; JSON values.
    """

    modules: Mapping[str, nn.Module]
    optimizer: torch.optim.Optimizer
    progress: Mapping[str, Any]


def save_state(state: TrainingState, path: Path) -> None:
    """Write under a temporary name, then rename: a kill or a full disk leaves the state before.

    Raises:
        InputError: the disk is full, or the folder cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in state.modules.items():
        tensors |= {f"{name}/{key}": value for key, value in module.state_dict().items()}
    for number, values in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{key}": value for key, value in values.items()}
    packed = save({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, _metadata(state))
    try:
        write_whole(path, packed)
    except OSError as error:
        raise InputError(f"{path}: could not be written ({error.strerror}); the state before it is kept") from error


def _metadata(state: TrainingState) -> dict[str, str]:
    return {"progress": json.dumps(dict(state.progress))}


def load_state(state: TrainingState, path: Path) -> dict[str, Any]:
    """Put a saved state into modules and optimizer; returns its progress.

    Raises:
        InputError: unreadable, or of another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            progress = json.loads(file.metadata()["progress"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # not a dict
        for name, module in state.modules.items():
            module.load_state_dict(_under(f"{name}/", tensors))
        _load_optimizer(state.optimizer, _under("optimizer/", tensors))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: expected the state of this run, got: {reason}") from error
    return dict(progress)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    found: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split("/", 1)
        found.setdefault(int(number), {})[name] = _laid_out_as(parameters[int(number)], value)
    optimizer.load_state_dict({"state": found, "param_groups": optimizer.state_dict()["param_groups"]})


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """The same numbers in the parameter's memory format: the fused AdamW walks both as they lie."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
