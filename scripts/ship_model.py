"""Make a shipped model from a trained checkpoint: compact, export, calibrate, export again, measure, write its card.

    python scripts/ship_model.py runs/bitvit-tiny/last --data dfdc/manifest.csv --clips videos/labels.csv

models/NAME/card.toml, the words of the card, must be there before (docs/cards.md). The files take their place when all
of them are made and compared with torch; the card is written last. Calibration, band, curve and quality floor are
fitted on half of the validation split, by identity group, to the answers of the 2-bit ONNX file, and the card's figures
come from the other half.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from edgefake.card.words import WORDS, CardWords, read_words
from edgefake.checkpoint import CONFIG, WEIGHTS, load_checkpoint, save_checkpoint
from edgefake.cli.card import card
from edgefake.fit import fit_checkpoint
from edgefake.whole import write_whole
from edgefake_export import export_checkpoint

FORMATS = ("onnx", "tflite")


def make_files(checkpoint: Path, data: Path, words: CardWords, place: Path) -> list[Path]:
    """The compact checkpoint in a new folder, fitted, and its exported files."""
    trained, name = load_checkpoint(checkpoint), place.name
    about = "; ".join(f"{each.name}: {each.use}; {each.terms}" for each in words.data)
    save_checkpoint(replace(trained, metadata={**trained.metadata, "name": name, "data": about}), place, compact=True)
    files = [place / f"{name}-2bit.{ending}" for ending in FORMATS]
    export_checkpoint(load_checkpoint(place), files[0], bits=2)
    for line in fit_checkpoint(place, data, through=files[0]).lines():
        print(line)
    for file in files:
        file.unlink(missing_ok=True)
        report = export_checkpoint(load_checkpoint(place), file, bits=2)
        print(f"{file.name}: {report.bytes:,} bytes, {report.agreeing} of {report.samples} verdicts are torch's")
    return [place / WEIGHTS, place / CONFIG, *files]


def main() -> None:
    """Read the arguments, write models/NAME."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="manifest of face crops with a val split")
    parser.add_argument("--clips", type=Path, help="labels.csv of clips for the card")
    parser.add_argument("--name", help="of the model; the checkpoint's otherwise")
    parser.add_argument("--models", type=Path, default=Path(__file__).resolve().parents[1] / "models")
    parser.add_argument("--threads", type=int, help="for the card's figures; one per core otherwise")
    arguments = parser.parse_args()
    name = arguments.name or load_checkpoint(arguments.checkpoint).model
    folder = arguments.models / name
    words = read_words(folder / WORDS)
    with tempfile.TemporaryDirectory() as place:
        for file in make_files(arguments.checkpoint, arguments.data, words, Path(place) / name):
            write_whole(folder / file.name, file.read_bytes())
    card(folder, data=arguments.data, clips=arguments.clips, threads=arguments.threads)


if __name__ == "__main__":
    main()
