"""Images a second of one training step, without decoding, and what ternary weights cost.

    python scripts/bench_train.py [--sizes tiny s16] [--rounds 7]

A step is forward, backward and AdamW on noise: batch 64 at the tiny sizes, 16 at s16. For each variant (float32 or
bfloat16, plain or compiled) the models of a size take turns, so that a ratio compares what ran side by side; medians
after two rounds of warm-up. `bitvit-*-straight` is BitViT in the straight form, x + (quantize(x) - x).detach(), with
AdamW not fused: what edgefake.models.bitlinear and the engine replace. Writes docs/bench/train.csv.
"""

import argparse
import csv
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgefake.models import BitLinear, Network, build
from edgefake.models.bitlinear import quantize_activations, ternarize

OUT = Path(__file__).resolve().parents[1] / "docs" / "bench" / "train.csv"
STRAIGHT = "-straight"
BATCHES = {"tiny": 64, "s16": 16}


class StraightBitLinear(BitLinear):
    """The layer as the formulas read: each quantizer kept in the graph beside its input."""

    def forward(self, input: Tensor) -> Tensor:
        """The same numbers as BitLinear."""
        levels, gamma = quantize_activations(input)
        x = input + (levels / gamma - input).detach()
        ternary, beta = ternarize(self.weight)
        weight = self.weight + (ternary * beta - self.weight).detach()
        return F.linear(x, weight, self.bias)


def network_of(name: str) -> Network:
    """A fresh network; `-straight` gives BitViT its straight layers."""
    network = build(name.removesuffix(STRAIGHT))
    if name.endswith(STRAIGHT):
        for module in network.modules():
            if isinstance(module, BitLinear):
                module.__class__ = StraightBitLinear
    return network


def stepper(name: str, *, batch: int, low: bool, compiled: bool) -> Callable[[], None]:
    """One optimizer step of a fresh network."""
    network = network_of(name)
    features = torch.compile(network.features) if compiled else network.features
    optimizer = torch.optim.AdamW(network.parameters(), fused=not name.endswith(STRAIGHT))
    side = network.config.image_size
    images, labels = torch.randn(batch, 3, side, side), torch.randint(0, 2, (batch,))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = F.cross_entropy(network.classify(features(images)).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def measure(names: list[str], *, batch: int, low: bool, compiled: bool, rounds: int) -> dict[str, float]:
    """Median seconds of a step of each model, taking turns."""
    steps = [stepper(name, batch=batch, low=low, compiled=compiled) for name in names]
    seconds: list[list[float]] = [[] for _ in steps]
    for number in range(rounds + 2):
        for step, times in zip(steps, seconds, strict=True):
            begun = time.perf_counter()
            step()
            if number > 1:
                times.append(time.perf_counter() - begun)
    return {name: float(np.median(times)) for name, times in zip(names, seconds, strict=True)}


def main() -> None:
    """Measure the models of each size in each variant."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["tiny", "s16"], choices=list(BATCHES))
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    for size in arguments.sizes:
        names = [f"linvit-{size}", f"bitvit-{size}", f"bitvit-{size}{STRAIGHT}"]
        names += ["cnn-tiny"] if size == "tiny" else []
        for compiled in (False, True):
            for low in (False, True):
                found = measure(names, batch=BATCHES[size], low=low, compiled=compiled, rounds=arguments.rounds)
                for name, seconds in found.items():
                    rows.append(
                        {
                            "model": name,
                            "precision": "bfloat16" if low else "float32",
                            "compiled": compiled,
                            "batch": BATCHES[size],
                            "images_per_s": round(BATCHES[size] / seconds, 1),
                            "step_over_linvit": round(seconds / found[names[0]], 3),
                            "load": round(os.getloadavg()[0], 1),
                            "cpu": f"{platform.machine()}, {os.cpu_count()} cores",
                            "torch": torch.__version__,
                            "date": datetime.now(tz=UTC).date(),
                        }
                    )
                    print(rows[-1], flush=True)
                keep(rows)


def keep(rows: list[dict[str, object]]) -> None:
    """Write what is measured so far."""
    with OUT.open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
