"""BitViT-S/16 with the deepfake head, exported at 32 and 2 bits: bytes and CPU time side by side.

    python scripts/bench_export.py [--rounds 15] [--out docs/bench/export.csv]

Random weights (time and size do not depend on them). The sessions run in turns on one thread, each round at
batch 1 and at batch 4; times are medians of `time.process_time`, and ratios are against BitViT at 32 bits,
run beside them. LinViT-S/16 is there for what the activation quantizers cost.
"""

import argparse
import csv
import datetime
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from edgefake.models import build
from edgefake_export import to_onnx
from edgefake_export.verify import count_ternary

SIDE = 224
BATCHES = (1, 4)
FILES = (("bitvit-s16", 32), ("bitvit-s16", 2), ("linvit-s16", 32))
DEFAULT = Path(__file__).parents[1] / "docs" / "bench" / "export.csv"


@dataclass(frozen=True)
class Exported:
    """One file in ONNX Runtime.

    Attributes:
        model: configuration.
        bits: of the encoder's weights.
        bytes: of the file.
        ternary_weights: in its INT2 initializers.
        ternary_bytes: of those.
        operators: left after ONNX Runtime's optimization.
        session: with one thread.
    """

    model: str
    bits: int
    bytes: int
    ternary_weights: int
    ternary_bytes: int
    operators: Counter[str]
    session: onnxruntime.InferenceSession


def export(name: str, bits: int) -> Exported:
    """Exports fresh weights and loads the file."""
    torch.manual_seed(0)
    model = to_onnx(build(name), example=torch.zeros(1, 3, SIDE, SIDE), bits=bits)
    data = model.SerializeToString(deterministic=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        operators = Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
    return Exported(name, bits, len(data), *count_ternary(model), operators, session)


def measure(files: Sequence[Exported], rounds: int) -> dict[tuple[str, int, int], float]:
    """Median CPU milliseconds of one run by model, bits and batch; files take turns within each round."""
    x = np.random.default_rng(0).standard_normal((max(BATCHES), 3, SIDE, SIDE)).astype(np.float32)
    times: dict[tuple[str, int, int], list[float]] = {}
    for turn in range(rounds + 2):  # the first two warm up
        for batch in BATCHES:
            for file in files:
                start = time.process_time()
                file.session.run(None, {"image": x[:batch]})
                if turn >= 2:
                    key = (file.model, file.bits, batch)
                    times.setdefault(key, []).append(1000 * (time.process_time() - start))
    return {key: float(np.median(values)) for key, values in times.items()}


def processor() -> str:
    """The CPU's name as Linux gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def write(path: Path, files: Sequence[Exported], times: dict[tuple[str, int, int], float]) -> None:
    """Writes one row a file and batch, with what it was measured on."""
    about = {
        "cpu": processor(),
        "threads": 1,
        "onnxruntime": onnxruntime.__version__,
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }
    rows = [
        {
            "model": file.model,
            "bits": file.bits,
            "bytes": file.bytes,
            "ternary_weights": file.ternary_weights,
            "ternary_bytes": file.ternary_bytes,
            "batch": batch,
            "cpu_ms": f"{times[file.model, file.bits, batch]:.1f}",
            "ratio": f"{times[file.model, file.bits, batch] / times['bitvit-s16', 32, batch]:.3f}",
            **about,
        }
        for file in files
        for batch in BATCHES
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print("{model} {bits:2d} bits, batch {batch}: {cpu_ms} ms, {ratio}".format(**row))


def main() -> None:
    """Exports, measures, prints and writes."""
    parser = argparse.ArgumentParser(description="BitViT-S/16 at 32 and 2 bits: bytes and CPU time.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=DEFAULT)
    options = parser.parse_args()
    files = [export(name, bits) for name, bits in FILES]
    for file in files:
        each = 8 * file.ternary_bytes / file.ternary_weights if file.ternary_weights else 0
        print(f"{file.model} {file.bits:2d} bits: {file.bytes} bytes", end="; ")
        print(f"{file.ternary_weights} ternary weights, {each:g} bits each")
        print("  " + " ".join(f"{name}:{count}" for name, count in file.operators.most_common()))
    write(options.out, files, measure(files, options.rounds))


if __name__ == "__main__":
    main()
