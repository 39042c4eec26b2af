"""How far the shipped 2-bit file is from torch on real crops, beside how far torch is from itself.

    EDGEFAKE_DATA=DATA python scripts/bench_parity.py

Prints, per pair, the largest logit difference of a crop over the rms of torch's logits: the largest crop, the 99th
percentile, the mean, the share within 1e-2, and the verdicts that differ; writes docs/bench/parity.csv.
"""

import copy
import csv
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edgefake.checkpoint import load_checkpoint
from edgefake.data.manifest import read_manifest
from edgefake.data.pictures import read_crop
from edgefake_export import resolve, round_network
from edgefake_export.reference import rms_of, run_torch
from edgefake_export.verify import run_file, verdicts_of
from edgefake_runtime import Classifier
from edgefake_runtime.crops import resize
from edgefake_runtime.shipped import default_model

OUT = Path(__file__).resolve().parents[1] / "docs" / "bench" / "parity.csv"


def main() -> None:
    """Measure over the whole val split of the DFDC crops."""
    samples = read_manifest(Path(os.environ["EDGEFAKE_DATA"]) / "dfdc" / "manifest.csv", split="val")
    metadata, checkpoint = Classifier().metadata, load_checkpoint(default_model().parent)
    network = round_network(checkpoint.network, resolve(checkpoint.network, bits=metadata.bits))
    crops = np.stack([resize(read_crop(sample), metadata.input_size) for sample in samples])
    torch32 = run_torch(network, crops, metadata)
    torch64 = run_torch(copy.deepcopy(network).double(), crops, metadata)
    file = run_file(default_model(), crops, metadata)
    rows = []
    pairs = {"file to torch float32": (file, torch32), "torch float32 to float64": (torch32, torch64)}
    for name, (ours, theirs) in (pairs | {"file to torch float64": (file, torch64)}).items():
        error = np.abs(ours.astype(np.float64) - theirs).max(1) / rms_of(torch32)
        verdicts = list(zip(verdicts_of(ours, metadata), verdicts_of(theirs, metadata), strict=True))
        rows.append(
            {
                "pair": name,
                "crops": len(crops),
                "largest": f"{error.max():.2e}",
                "p99": f"{np.percentile(error, 99):.2e}",
                "mean": f"{error.mean():.2e}",
                "within_1e-2": f"{(error <= 1e-2).mean():.4f}",
                "verdicts_differ": sum(a != b for a, b in verdicts),
                "real_to_fake": sum({a, b} == {"real", "fake"} for a, b in verdicts),
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
