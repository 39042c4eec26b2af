"""Make a shipped model from a trained checkpoint: calibrate, compact, export, measure, write its card.

    python scripts/ship_model.py runs/bitvit-tiny/last --data DATA/dfdc/manifest.csv \
        --command "edgefake train ..." --failures "..." --time "1.2 hours on 2 cores of an AMD EPYC"

Calibration is fitted on half of the validation split, by identity group; a calibration that keeps the order
of scores cannot change an AUC. The validation split does not choose the weights: the last epoch ships.
"""

import argparse
import tempfile
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edgefake import metrics
from edgefake.calibrate import fit_calibration, halves_by_group
from edgefake.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgefake.data.manifest import Sample, read_manifest
from edgefake.data.pictures import PictureDataset, View
from edgefake.evaluate import Evaluation, evaluate_crops
from edgefake.predict import predict
from edgefake_export import export_checkpoint
from edgefake_runtime import Classifier
from edgefake_runtime.classifier import sha256_of

BAND = (0.4, 0.6)

CARD = """# {name}

A ternary vision transformer (BitViT: BitLinear weights of -1, 0, +1 in the encoder) that tells real faces from
deepfakes. It is modest: it shows that the whole way from training to a verdict works. **A score is no proof.**

| file | bytes | SHA-256 |
|---|---|---|
{files}

## How good it is

On the validation split of the DFDC crops ({n} crops of {groups} identity groups, none of them in training), from the
2-bit ONNX file through the runtime:

| | |
|---|---|
| AUC | **{auc:.4f}**, 95 % interval {low:.4f} to {high:.4f} (bootstrap over identity groups, 2,000 draws) |
| accuracy, other half | {accuracy:.4f} at the threshold {threshold} ({m} crops that calibration did not see) |
| expected calibration error, other half | {ece:.4f} |
| false positives, other half | {fpr:.4f} of the real crops score {threshold} or more |

The AUC comes from `edgefake evaluate dfdc/manifest.csv --split val --crops`. The weights are those of the last
epoch; the validation split did not choose it (it was watched while the recipe was found, see docs/LOG.md). Calibration
(Platt) was fitted on half of the split's identity groups, the figures of the "other half" come from the rest.

## Data and terms

Trained on 16,000 face crops (8,000 real, 8,000 fake, one a video) of the **DeepFake Detection Challenge** data set
(Dolhansky et al. 2020), which is given for research use. Labels are noisy: some fakes change the sound alone, or one
face of two. No picture of it is part of this distribution. The weights have a licence of their own: `LICENSE-WEIGHTS`
one folder up.

Crops: {crop}

## Recipe

```
{command}
```

{time}. Written by `python scripts/ship_model.py`, {date}.

## Limits

- Trained on one data set of actors facing a camera, fakes of 2019: other people, cameras, codecs and manipulations
  (lip sync, full synthesis, diffusion) are unknown to it.
- Small, blurred, turned or half-hidden faces are judged like any other.
- Scores between {band_low} and {band_high} give the verdict `uncertain`: there calibration gives less than 60 % to
  either class.
- Seen failing: {failures}
- Not measured: accuracy by skin tone, age or gender; strength against attacks.
- Do not use it as the only ground for a decision about a person.
"""


def calibrated(checkpoint: Checkpoint, samples: list[Sample], first: np.ndarray) -> Checkpoint:
    """The checkpoint with its calibration, fitted on the samples of the first half, threshold and band."""
    chosen = [sample for sample, use in zip(samples, first, strict=True) if use]
    size = checkpoint.network.config.image_size
    logits = predict(checkpoint.network, PictureDataset(chosen, View(size), strict=True)).astype(np.float64)
    labels = np.array([sample.fake for sample in chosen])
    origin = f"Platt scaling on {len(chosen)} crops of {len({s.group for s in chosen})} identity groups of dfdc/val"
    calibration = fit_calibration(labels, logits[:, 1] - logits[:, 0], origin=origin)
    low, high = BAND
    band = {"low": low, "high": high, "origin": "less than 60 % for either class, by the calibration"}
    data = "DFDC face crops, 8,000 real and 8,000 fake; research use"
    fitted = {"calibration": asdict(calibration), "threshold": 0.5, "uncertain": band, "data": data}
    metadata = checkpoint.metadata | fitted
    return replace(checkpoint, metadata=metadata)


def rounded(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint as its compact form gives it back."""
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(checkpoint, Path(folder) / "compact", compact=True)
        return load_checkpoint(Path(folder) / "compact")


def card(folder: Path, name: str, result: Evaluation, first: np.ndarray, arguments: argparse.Namespace) -> str:
    """The model card, from the evaluation of the shipped file."""
    labels = np.array([sample.fake for sample in result.samples])
    groups = [sample.group for sample in result.samples]
    low, high = metrics.bootstrap_auc(labels, result.scores, groups)
    described = Classifier(folder / f"{name}-2bit.onnx").metadata
    held = metrics.measure(labels[~first], result.scores[~first], threshold=described.threshold)
    reals = result.scores[~first & ~labels]
    files = [folder / f"{name}-2bit.onnx", folder / "model.safetensors", folder / "config.json"]
    return CARD.format(
        name=name,
        files="\n".join(f"| {f.name} | {f.stat().st_size:,} | `{sha256_of(f)}` |" for f in files),
        n=result.metrics.n,
        groups=len(set(groups)),
        auc=result.metrics.auc,
        low=low,
        high=high,
        accuracy=held.accuracy,
        ece=held.ece,
        m=held.n,
        fpr=float((reals >= described.threshold).mean()),
        threshold=described.threshold,
        crop=f"margin {described.crop.margin}, shift {described.crop.shift} ({described.crop.origin}).",
        command=arguments.command,
        time=arguments.time,
        failures=arguments.failures,
        date=datetime.now(tz=UTC).date(),
        band_low=described.uncertain.low,
        band_high=described.uncertain.high,
    )


def main() -> None:
    """Read the arguments, write models/NAME."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="manifest with a val split")
    parser.add_argument("--command", required=True, help="what trained it, for the card")
    parser.add_argument("--failures", required=True, help="where it was seen to fail, for the card")
    parser.add_argument("--time", required=True, help="hours and hardware, for the card")
    arguments = parser.parse_args()
    checkpoint = load_checkpoint(arguments.checkpoint)
    name = checkpoint.model
    samples = read_manifest(arguments.data, split="val")
    first = halves_by_group([sample.group for sample in samples])
    shipped = calibrated(rounded(checkpoint), samples, first)
    folder = Path(__file__).resolve().parents[1] / "models" / name
    save_checkpoint(shipped, folder, compact=True)
    shipped = load_checkpoint(folder)
    target = folder / f"{name}-2bit.onnx"
    print(export_checkpoint(shipped, target, bits=2))
    classifier = Classifier(target)
    result = evaluate_crops(classifier, samples)
    print(result.to_json(model=classifier.metadata.name, split="val"))
    (folder / "README.md").write_text(card(folder, name, result, first, arguments), encoding="utf-8")


if __name__ == "__main__":
    main()
