"""Images a second of one training step, without decoding: each model in float32, bfloat16, plain and compiled.

    python scripts/bench_train.py

Batch 64 of noise at the model's size; medians over steps after a warm-up, the variants of a model interleaved;
writes docs/bench/train.csv.
"""

import csv
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from edgefake.models import build

OUT = Path(__file__).resolve().parents[1] / "docs" / "bench" / "train.csv"
BATCH, STEPS = 64, 7


def stepper(name: str, *, low: bool, compiled: bool) -> Callable[[], None]:
    """One optimizer step of a fresh network."""
    network = build(name)
    features = torch.compile(network.features) if compiled else network.features
    optimizer = torch.optim.AdamW(network.parameters())
    side = network.config.image_size
    images, labels = torch.randn(BATCH, 3, side, side), torch.randint(0, 2, (BATCH,))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = F.cross_entropy(network.classify(features(images)).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    """Measure the three small models."""
    rows = []
    for name in ("cnn-tiny", "linvit-tiny", "bitvit-tiny"):
        variants = [(low, compiled) for compiled in (False, True) for low in (False, True)]
        if name.startswith("cnn"):
            variants = variants[:2]
        steps = [stepper(name, low=low, compiled=compiled) for low, compiled in variants]
        seconds: list[list[float]] = [[] for _ in steps]
        for round_ in range(STEPS + 2):
            for step, times in zip(steps, seconds, strict=True):
                begun = time.perf_counter()
                step()
                if round_ > 1:
                    times.append(time.perf_counter() - begun)
        for (low, compiled), times in zip(variants, seconds, strict=True):
            rows.append(
                {
                    "model": name,
                    "precision": "bfloat16" if low else "float32",
                    "compiled": compiled,
                    "images_per_s": round(BATCH / float(np.median(times)), 1),
                    "load": round(os.getloadavg()[0], 1),
                    "cpu": f"{platform.machine()}, {os.cpu_count()} cores",
                    "torch": torch.__version__,
                    "date": datetime.now(tz=UTC).date(),
                }
            )
            print(rows[-1])
    with OUT.open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
