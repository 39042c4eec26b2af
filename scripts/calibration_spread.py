"""How far calibration on half of the people of a split carries over to the others, over many ways to halve them.

    python scripts/calibration_spread.py bitvit-tiny-hybrid bitvit-s16-hybrid --data dfdc/manifest.csv

For each model (an exported file, or a shipped model's name): Platt scaling on one half of the identity groups, the
expected calibration error on the other; 5 %, 50 % and 95 % of the draws, and of the shifts that were fitted.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefake.calibrate import fit_operation
from edgefake.data.crop_rule import centre_share, read_crop_rule
from edgefake.data.manifest import read_manifest
from edgefake.evaluate import evaluate_crops
from edgefake.metrics import expected_calibration_error
from edgefake_runtime import Classifier

SHARES = (0.05, 0.5, 0.95)


def spread(
    labels: NDArray[np.bool_], margins: NDArray[np.float64], groups: NDArray[np.str_], *, draws: int, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Errors on the half that was not fitted, and the fitted shifts, (draws,) each."""
    names, random = np.unique(groups), np.random.default_rng(seed)
    errors, shifts = [], []
    for _ in range(draws):
        fitted = np.isin(groups, random.permutation(names)[: len(names) // 2])
        found = fit_operation(labels[fitted], margins[fitted], origin="", max_error=0.5).calibration
        scores = 1 / (1 + np.exp(-(found.scale * margins[~fitted] + found.shift)))
        errors.append(expected_calibration_error(labels[~fitted], scores))
        shifts.append(found.shift)
    return np.array(errors), np.array(shifts)


def main() -> None:
    """Read the arguments, print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="manifest of face crops with identity groups")
    parser.add_argument("--split", default="val")
    parser.add_argument("--draws", type=int, default=200)
    arguments = parser.parse_args()
    samples = read_manifest(arguments.data, split=arguments.split)
    for name in arguments.models:
        classifier = Classifier(name)
        share = centre_share(classifier.metadata.crop, read_crop_rule(arguments.data))
        result = evaluate_crops(classifier, samples, share=share)
        calibration = classifier.metadata.calibration
        margins = (np.log(result.scores / (1 - result.scores)) - calibration.shift) / calibration.scale
        groups = np.array([sample.group for sample in result.samples])
        errors, shifts = spread(result.labels, margins, groups, draws=arguments.draws)
        told = [f"{value:.3f}" for value in np.quantile(errors, SHARES)]
        moved = [f"{value:.2f}" for value in np.quantile(shifts, SHARES)]
        print(f"{classifier.metadata.name}: ECE {', '.join(told)}; shift {', '.join(moved)}")


if __name__ == "__main__":
    main()
