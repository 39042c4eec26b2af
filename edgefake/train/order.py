"""In which order a run sees its pictures: a function of seed, epoch and step alone, so that it can go on anywhere."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Order", "in_order"]


@dataclass(frozen=True)
class Order:
    """The parts of every step, for one process of several.

    Each epoch is one permutation of the pictures, cut into batches (a last one that is not full is left out); a batch
    is dealt out like cards to processes and parts, so that any number of processes sees the same batches.

    Attributes:
        pictures: in an epoch.
        batch: pictures a step, over all processes and parts.
        parts: in which a process computes its share.
        epochs: of the run.
        seed: of the permutations.
        processes: that train together.
        process: this one's number, from 0.
        begin: steps that are done already.
    """

    pictures: int
    batch: int
    parts: int
    epochs: int
    seed: int
    processes: int = 1
    process: int = 0
    begin: int = 0

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch; one of fewer pictures where there is no full batch."""
        return max(1, self.pictures // self.batch)

    @property
    def steps(self) -> int:
        """Steps of the run."""
        return self.epochs * self.steps_per_epoch

    def permutation(self, epoch: int) -> NDArray[np.int64]:
        """All pictures, shuffled for an epoch (from 0)."""
        return np.random.default_rng((self.seed, epoch)).permutation(self.pictures)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """The parts of this process, from `begin` to the end of the run."""
        hands = self.parts * self.processes
        epoch, shuffled = -1, np.empty(0, np.int64)
        for step in range(self.begin, self.steps):
            now, within = divmod(step, self.steps_per_epoch)
            if now != epoch:
                epoch, shuffled = now, self.permutation(now)
            chosen = shuffled[within * self.batch : (within + 1) * self.batch]
            for part in range(self.parts):
                yield [(epoch, int(index)) for index in chosen[part * self.processes + self.process :: hands]]


def in_order(pictures: int, batch: int, *, processes: int = 1, process: int = 0) -> list[list[int]]:
    """Every picture once, in its order: batches of keys for validation, the share of one process of several."""
    mine = range(process, pictures, processes)
    return [list(mine[start : start + batch]) for start in range(0, len(mine), batch)]
