"""The manifest of a recipe: a set's train split, the half of val that may be watched, other sets' train splits.

    python scripts/join_manifests.py DATA/dfdc/manifest.csv --out half.csv
    python scripts/join_manifests.py DATA/dfdc/manifest.csv runs/reals/manifest.csv --out mix.csv

Of the first manifest's val split the half `fit` is kept (`edgefake evaluate --half`), so that training never meets the
people of the other half, which cards report on. Of the others only the rows of train are taken. Paths are absolute.
"""

import argparse
import csv
import io
from collections.abc import Sequence
from pathlib import Path

from edgefake.data.manifest import Sample, read_manifest
from edgefake.evaluate import take_half
from edgefake.whole import write_whole


def chosen(manifest: Path, *, watched: bool) -> list[Sample]:
    """The rows of a manifest's train split, and where asked for the watched half of val."""
    train = read_manifest(manifest, split="train")
    return train + (take_half(read_manifest(manifest, split="val"), "fit", manifest=manifest) if watched else [])


def to_csv(samples: Sequence[Sample]) -> str:
    """The manifest as text; a row without an identity group stays so."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("file", "label", "split", "identity_group"))
    writer.writerows((each.path, each.label, each.split, each.group if each.grouped else "") for each in samples)
    return text.getvalue()


def main() -> None:
    """Read the arguments, write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", type=Path, nargs="+", help="the one with the val split first")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.out.resolve() in [manifest.resolve() for manifest in arguments.manifests]:
        parser.error(f"--out: expected another file than the manifests, got {arguments.out}; name one")
    samples = [
        sample
        for place, manifest in enumerate(arguments.manifests)
        for sample in chosen(manifest.resolve(), watched=place == 0)
    ]
    write_whole(arguments.out, to_csv(samples).encode("utf-8", "surrogateescape"))
    print(f"{len(samples)} rows in {arguments.out}")


if __name__ == "__main__":
    main()
