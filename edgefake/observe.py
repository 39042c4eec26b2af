"""What goes into layers while a network runs over calibration pictures; nothing of it is kept."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import torch
from torch import Tensor, nn

from edgefake_runtime.errors import UsageError

__all__ = ["BATCH", "LEAST_PICTURES", "evaluating", "in_order_of_execution", "observe", "require_pictures"]

LEAST_PICTURES = 16
"""Fewer say nothing about the pictures to come."""

BATCH = 16
"""Pictures that stand in memory with what the network makes of them."""

Watcher = Callable[[Tensor], None]


class _AllSeen(Exception):
    """No watched layer is left in this pass."""


def require_pictures(images: Tensor) -> None:
    """Refuse to calibrate on too little.

    Raises:
        UsageError: fewer than `LEAST_PICTURES`.
    """
    if len(images) < LEAST_PICTURES:
        raise UsageError(
            f"expected {LEAST_PICTURES} or more pictures to calibrate on, got {len(images)}; "
            "name a manifest with --calibration"
        )


@contextmanager
def _watched(network: nn.Module, watchers: Mapping[str, Watcher]) -> Iterator[None]:
    """Show each named layer's input to its watcher."""

    def hook(watcher: Watcher) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda layer, inputs: watcher(inputs[0])

    hooks = [network.get_submodule(name).register_forward_pre_hook(hook(see)) for name, see in watchers.items()]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while."""
    training = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode


class _Counter:
    """Calls watchers, and ends a pass once all calls of the first one have come."""

    def __init__(self, names: Iterable[str]) -> None:
        self.calls = dict.fromkeys(names, 0)
        self.seen = self.last = 0

    def counted(self, name: str, watcher: Watcher) -> Watcher:
        """The watcher, its calls counted."""

        def see(x: Tensor) -> None:
            watcher(x)
            self.calls[name] += 1
            self.seen += 1
            if self.seen == self.last:
                raise _AllSeen

        return see


@torch.no_grad()
def observe(network: nn.Module, watchers: Mapping[str, Watcher], images: Tensor) -> None:
    """Run a network over pictures, batch by batch, and show what goes into some of its layers.

    The first batch goes through the whole network, later ones as far as the last layer that is watched.

    Args:
        network: runs in evaluation mode, and stays as it is.
        watchers: told of the layer's first argument, as often as it runs.
        images: (n, 3, H, W), or whatever else the network takes.

    Raises:
        UsageError: a watched layer never ran.
    """
    weight = next(network.parameters())
    counter = _Counter(watchers)
    counted = {name: counter.counted(name, watcher) for name, watcher in watchers.items()}
    with evaluating(network), _watched(network, counted):
        for start in range(0, len(images), BATCH):
            counter.seen = 0
            with suppress(_AllSeen):
                network(images[start : start + BATCH].to(weight))
            counter.last = counter.last or counter.seen
    _require_runs(counter.calls)


def _require_runs(calls: Mapping[str, int]) -> None:
    idle = [name for name, count in calls.items() if not count]
    if idle:
        raise UsageError(f"expected layers that the network runs, got {idle[0]}, which it never does; leave it out")


def in_order_of_execution(network: nn.Module, names: Sequence[str], image: Tensor) -> list[str]:
    """The names of layers as the network first comes to them.

    Args:
        network: runs in evaluation mode.
        names: of its layers.
        image: (B, 3, H, W), one picture does.

    Raises:
        UsageError: a layer never ran.
    """
    order: dict[str, None] = {}

    def noting(name: str) -> Watcher:
        return lambda x: order.setdefault(name)

    observe(network, {name: noting(name) for name in names}, image)
    return list(order)
