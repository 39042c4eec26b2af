"""Whether the faces that the runtime cuts look like the crops that the model learned from: a sheet and numbers.

    python scripts/compare_crops.py --data DATA --out FOLDER

DATA holds dfdc/, ytf68/ and tests/. Writes `sheet.png` and `pair.png` into FOLDER, which show faces of research sets
and stay out of the repository, and docs/bench/crops.csv and docs/bench/crop-scores.png, which show none; prints the
tables of docs/video.md. `--model` takes another exported file, `--crops` fewer crops of each source, `--bench` another
folder than docs/bench.
"""

import argparse
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from crop_sources import (
    BENCH,
    CLIP_FAKE,
    CLIP_REAL,
    MOVES,
    VAL_REAL,
    Image,
    Seen,
    collect,
    open_detector,
    print_table,
    some,
    write_csv,
)
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edgefake.data.augment import blur, compress
from edgefake.data.crop_rule import centre, centre_share, read_crop_rule
from edgefake.data.manifest import read_manifest
from edgefake.data.pictures import read_crop
from edgefake.subgroups import effective_side
from edgefake.whole import write_whole
from edgefake_runtime import Classifier, Detector
from edgefake_runtime.crops import crop_rectangle, resize
from edgefake_runtime.media import open_media
from edgefake_runtime.mtcnn import FaceDetector
from edgefake_runtime.quality import FaceQuality, is_good, sharpness

Floats = NDArray[np.float64]
Row = dict[str, str | int]

STORED = 224
"""Side of the stored crops, pixels."""

PAIR = "anndvqgoko"
"""The clip whose own crop stands in dfdc/train."""

PERCENTILES = (5, 25, 50, 75, 95)
GEOMETRY = 300
"""Crops of a source in which eyes are looked for again."""

TILE, COLUMNS, LETTERS = 144, 10, 13


def as_stored(whole: Image) -> Image:
    """Through the form that DFDC's crops are stored in: 224 pixels, JPEG of quality 75."""
    return compress(resize(whole, STORED), 75)


def _resized(image: Image, size: int, kind: int) -> Image:
    return np.asarray(cv2.resize(image, (size, size), interpolation=kind), np.uint8)


CUTS: dict[str, Callable[[Image, int], Image]] = {
    "as it is": resize,
    "JPEG 75 at the input's size": lambda whole, size: compress(resize(whole, size), 75),
    "224 pixels, JPEG 75": lambda whole, size: resize(as_stored(whole), size),
    "bilinear": lambda whole, size: _resized(whole, size, cv2.INTER_LINEAR),
    "blur of 0.5 pixels": lambda whole, size: blur(resize(whole, size), 0.5),
    "blur of 1 pixel": lambda whole, size: blur(resize(whole, size), 1.0),
}
"""How a rectangle of a frame may become the model's input: (H, W, 3), size -> (size, size, 3). The first is ours."""


def eyes_in(whole: Image, detector: FaceDetector) -> tuple[float, float, float] | None:
    """Eyes in a crop: x and y of their middle and their distance, in sides of the crop; None without a sure face.

    The crop is framed by its replicated border, so that stored crops and ours are measured alike.
    """
    pad = STORED // 2
    framed = cv2.copyMakeBorder(resize(whole, STORED), pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    found = [face for face in detector.detect(np.asarray(framed, np.uint8), min_face=STORED // 3) if face.score >= 0.95]
    if not found:
        return None
    left, right = (np.array(point) for point in found[0].landmarks[:2])
    x, y = ((left + right) / 2 - pad) / STORED
    return float(x), float(y), float(np.hypot(*(right - left)) / STORED)


def measures(crops: Sequence[Seen], classifier: Classifier, faces: FaceDetector) -> dict[str, Floats]:
    """What can be measured of the crops of one source; values by measure."""
    grey = [cv2.cvtColor(seen.crop, cv2.COLOR_RGB2GRAY) for seen in crops]
    eyes = np.array([found for seen in some(crops, GEOMETRY) if (found := eyes_in(seen.whole, faces))])
    return {
        "P(fake)": classifier.score(np.stack([seen.crop for seen in crops])),
        "sharpness": np.array([sharpness(seen.crop) for seen in crops]),
        "brightness": np.array([picture.mean() for picture in grey]),
        "contrast": np.array([picture.std() for picture in grey]),
        "effective side": np.array([effective_side(seen.whole) for seen in crops], np.float64),
        **dict(zip(("eyes across", "eyes down", "eyes apart"), eyes.T if len(eyes) else (), strict=False)),
    }


def distance(a: Floats, b: Floats) -> float:
    """Largest gap of two distribution functions (Kolmogorov and Smirnov): 0 for equal ones, 1 for disjoint ones."""
    both = np.concatenate([a, b])
    gaps = [np.searchsorted(np.sort(x), both, side="right") / len(x) for x in (a, b)]
    return float(np.abs(gaps[0] - gaps[1]).max())


def row(source: str, how: str, measure: str, values: Floats, like: Floats) -> Row:
    """One line of the CSV: percentiles, and the distance from the real crops of dfdc/val."""
    points = np.percentile(values, PERCENTILES)
    figures = {f"p{share}": f"{value:.4g}" for share, value in zip(PERCENTILES, points, strict=True)}
    return {
        "source": source,
        "cut": how,
        "measure": measure,
        "n": len(values),
        **figures,
        "distance": f"{distance(values, like):.3f}",
    }


def inputs(by_source: dict[str, list[Seen]], size: int) -> Iterator[tuple[str, str, Image]]:
    """Source, name of the cut and the inputs (B, size, size, 3), under every cut and every move of the crop rule."""
    for how, make in CUTS.items():
        for source, crops in by_source.items():
            yield source, how, np.stack([make(seen.whole, size) for seen in crops])
    for number, move in enumerate(MOVES):
        for source, crops in by_source.items():
            if move and crops[0].moved:
                yield source, f"shift {move:+g}", np.stack([seen.moved[number] for seen in crops])


def compare_cuts(by_source: dict[str, list[Seen]], classifier: Classifier) -> list[Row]:
    """Scores and sharpness of every source under every cut; distances are from dfdc/val real as it is."""
    rows: list[Row] = []
    like: dict[str, Floats] = {}
    for source, how, made in inputs(by_source, classifier.metadata.input_size):
        found = {"P(fake)": classifier.score(made), "sharpness": np.array([sharpness(crop) for crop in made])}
        like = like or found
        for measure, values in found.items():
            share = f"{(values >= classifier.metadata.threshold).mean():.3f}" if measure == "P(fake)" else ""
            rows.append({**row(source, how, measure, values, like[measure]), "from_threshold": share})
    return rows


def score_plot(found: dict[str, dict[str, Floats]], threshold: float, name: str) -> bytes:
    """Distribution functions of P(fake) and of sharpness by source, as PNG."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, measure in zip(figure.subplots(1, 2, sharey=True), ("P(fake)", "sharpness"), strict=True):
        for number, (source, values) in enumerate(found.items()):
            ordered = np.sort(values[measure])
            heights = np.arange(1, len(ordered) + 1) / len(ordered)
            line, label = "--" if source.endswith("fake") else "-", f"{source} ({len(ordered)})"
            axes.step(ordered, heights, line, where="post", color=f"C{number}", label=label)
        axes.set_xlabel(measure)
        axes.grid(alpha=0.3)
        if measure == "P(fake)":
            axes.axvline(threshold, color="0.4", lw=1, ls=":")
            axes.set_ylabel("share of the crops up to it")
            axes.legend(fontsize=8)
    figure.suptitle(f"{name}: stored crops and the runtime's", fontsize=10)
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=90)
    return target.getvalue()


def tile(picture: Image, *lines: str, side: int = TILE) -> Image:
    """A picture of this side with lines of text under it."""
    edges = 2, 2 + LETTERS * len(lines), 2, 2
    shown = cv2.copyMakeBorder(
        _resized(picture, side, cv2.INTER_CUBIC), *edges, cv2.BORDER_CONSTANT, value=(255, 255, 255)
    )
    for number, line in enumerate(lines):
        place = (4, side + 2 + LETTERS * (number + 1) - 3)
        cv2.putText(shown, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.35, (20, 20, 20), 1, cv2.LINE_AA)
    return np.asarray(shown, np.uint8)


def sheet(by_source: dict[str, list[Seen]], classifier: Classifier) -> Image:
    """A row of random crops of each source, all at the model's input size; clips take turns."""
    lines = []
    for source, crops in by_source.items():
        chosen = _in_turns(crops)[:COLUMNS]
        tiles = [
            tile(seen.crop, source, seen.name[:20], f"sharp {sharpness(seen.crop):.2f}  P(fake) {score:.2f}")
            for seen, score in zip(chosen, classifier.score(np.stack([s.crop for s in chosen])), strict=True)
        ]
        blank = np.full_like(tiles[0], 255)
        lines.append(np.hstack([*tiles, *[blank] * (COLUMNS - len(tiles))]))
    return np.vstack(lines)


def _in_turns(crops: Sequence[Seen]) -> list[Seen]:
    """Shuffled, and reordered so that each name comes once before any comes twice."""
    turns: dict[str, int] = {}
    ranked = []
    for seen in some(crops, None):
        turns[seen.name] = turns.get(seen.name, -1) + 1
        ranked.append((turns[seen.name], len(ranked), seen))
    return [seen for _, _, seen in sorted(ranked, key=lambda item: item[:2])]


def register(stored: Image, ours: Image, scale: float = 1.0) -> tuple[float, float, float]:
    """Best correlation of the grey levels of the stored crop's middle with ours over all shifts.

    Args:
        stored: (224, 224, 3).
        ours: (224, 224, 3), of the same face.
        scale: of the stored crop's face in ours.

    Returns:
        Correlation, and the shift of the face in ours, right and down, in sides of the crop.
    """
    a, b = (np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32) for picture in (stored, ours))
    edge = STORED // 10
    side = round((STORED - 2 * edge) * scale)
    middle = cv2.resize(a[edge : STORED - edge, edge : STORED - edge], (side, side), interpolation=cv2.INTER_AREA)
    _, best, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(b, middle, cv2.TM_CCOEFF_NORMED))
    centre_at = (STORED - side) / 2
    return best, (x - centre_at) / STORED, (y - centre_at) / STORED


@dataclass(frozen=True)
class Pair:
    """The stored crop of a clip beside what the runtime cuts of its frame that fits best.

    Attributes:
        stored: (224, 224, 3).
        ours: the rectangle that the runtime cuts.
        moved: the same, moved to where the stored crop was cut.
        frame: of the clip, from 0.
        found: what `register` says of ours.
        scale: at which the two correlate best.
        scaled: what `register` says there.
    """

    stored: Image
    ours: Image
    moved: Image
    frame: int
    found: tuple[float, float, float]
    scale: float
    scaled: tuple[float, float, float]


def find_pair(data: Path, detector: Detector, *, every: int) -> Pair:
    """Look through the clip's frames, all faces of each."""
    stored = _stored_pair(data, detector.classifier)
    best: tuple[float, float, float] = (-1.0, 0.0, 0.0)
    rule = detector.classifier.metadata.crop
    with open_media(data / "tests" / "videos" / f"{PAIR}.mp4") as video:
        for frame in video.frames(every):  # type: ignore[union-attr]
            height, width = frame.image.shape[:2]
            for face in detector.find_faces(frame.image):
                place = crop_rectangle(face.box, rule, height=height, width=width)
                found = register(stored, resize(_part(frame.image, place), STORED))
                if found[0] > best[0]:
                    best, kept, index, picture = found, place, frame.index, frame.image
    ours = _part(picture, kept)
    scaled = {scale: register(stored, resize(ours, STORED), scale) for scale in np.linspace(0.84, 1.2, 37).tolist()}
    scale = max(scaled, key=lambda s: scaled[s][0])
    return Pair(stored, ours, _part(picture, kept, best[1:]), index, best, scale, scaled[scale])


def _stored_pair(data: Path, classifier: Classifier) -> Image:
    manifest = data / "dfdc" / "manifest.csv"
    (sample,) = (sample for sample in read_manifest(manifest, split="train") if sample.path.stem == PAIR)
    share = centre_share(classifier.metadata.crop, read_crop_rule(manifest))
    return resize(np.ascontiguousarray(centre(read_crop(sample), share)), STORED)


def _part(frame: Image, place: tuple[int, int, int, int], moved: tuple[float, ...] = (0.0, 0.0)) -> Image:
    """A rectangle of a frame, moved right and down by shares of its sides."""
    left, top, right, bottom = place
    x, y = round(moved[0] * (right - left)), round(moved[1] * (bottom - top))
    return np.ascontiguousarray(frame[max(top + y, 0) : bottom + y, max(left + x, 0) : right + x])


def pair_sheet(pair: Pair, classifier: Classifier) -> Image:
    """The stored crop, ours, and ours moved to the same place; above in 224 pixels, below as the model sees them."""
    size = classifier.metadata.input_size
    named = {f"dfdc/train {PAIR}": pair.stored, f"runtime, frame {pair.frame}": pair.ours, "runtime, moved": pair.moved}
    lines = []
    for side in (STORED, size):
        tiles = []
        for name, whole in named.items():
            picture = resize(whole, side)
            told = f"sharp {sharpness(picture):.3f}  P(fake) {classifier.score(resize(whole, size)[None])[0]:.3f}"
            fit = f"correlation {register(pair.stored, resize(whole, STORED))[0]:.4f} at the best shift"
            tiles.append(tile(picture, f"{name}, {side} pixels", told, fit, side=320))
        lines.append(np.hstack(tiles))
    return np.vstack(lines)


def write_picture(path: Path, picture: Image) -> None:
    """As PNG."""
    write_whole(path, cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes())


def _percentiles(found: Row) -> list[str | int]:
    return [found[f"p{share}"] for share in PERCENTILES]


def print_tables(rows: Sequence[Row], cuts: Sequence[Row]) -> None:
    """The tables of docs/video.md: two measures in full, the middles of the others, and the cuts."""
    head = [f"{share} %" for share in PERCENTILES]
    for measure in ("P(fake)", "sharpness"):
        own = [found for found in rows if found["measure"] == measure]
        body = [[found["source"], found["n"], *_percentiles(found), found["distance"]] for found in own]
        print_table([[measure, "crops", *head, "distance"], *body])
    sources = list(dict.fromkeys(found["source"] for found in rows))
    rest = [name for name in dict.fromkeys(found["measure"] for found in rows) if name not in ("P(fake)", "sharpness")]
    cells = {(found["source"], found["measure"]): f"{found['p50']} ({found['p5']} to {found['p95']})" for found in rows}
    print_table([["", *rest], *[[source, *[cells.get((source, name), "") for name in rest]] for source in sources]])
    scores = {
        (found["source"], found["cut"]): f"{float(found['p50']):.2f}, {float(found['from_threshold']):.1%}"
        for found in cuts
        if found["measure"] == "P(fake)"
    }
    hows = dict.fromkeys(found["cut"] for found in cuts)
    print_table([["", *sources], *[[how, *[scores.get((source, how), "") for source in sources]] for how in hows]])


def print_clips(by_source: dict[str, list[Seen]], classifier: Classifier) -> None:
    """Clip by clip, since frames of one clip resemble each other; `judged` is the share above the floor of quality."""
    body = []
    for source in (CLIP_REAL, CLIP_FAKE):
        crops = by_source.get(source, [])
        for name in dict.fromkeys(seen.name for seen in crops):
            own = [seen for seen in crops if seen.name == name]
            qualities = [FaceQuality.of(seen.crop, seen.face) for seen in own if seen.face]
            good = np.mean([is_good(quality, classifier.metadata.quality) for quality in qualities])
            scores = classifier.score(np.stack([seen.crop for seen in own]))
            share = (scores >= classifier.metadata.threshold).mean()
            side = f"{np.median([quality.side for quality in qualities]):.0f}"
            sharp = np.median([quality.sharpness for quality in qualities])
            figures = (f"{value:.2f}" for value in (sharp, np.median(scores), share, good))
            body.append([name, source.split()[1], len(own), side, *figures])
    print_table([["clip", "label", "faces", "side", "sharpness", "P(fake)", "from the threshold", "judged"], *body])


def print_pair(pair: Pair, classifier: Classifier) -> None:
    """How well the two crops of one clip agree."""
    size = classifier.metadata.input_size
    pictures = [pair.stored, pair.ours, pair.moved]
    plain = np.corrcoef(pair.stored.ravel(), resize(pair.ours, STORED).ravel())[0, 1]
    moved = register(pair.stored, resize(pair.moved, STORED))[0]
    print(f"\n{PAIR}, frame {pair.frame}: correlation {plain:.4f} as cut, {pair.found[0]:.4f} with the face shifted")
    print(f"by {pair.found[1]:+.1%} right and {pair.found[2]:+.1%} down; best at size {pair.scale:.2f} times")
    print(f"({pair.scaled[0]:.4f}); cut at the same place {moved:.4f}")
    rows = []
    for name, picture in zip(("stored", "runtime", "runtime, moved to the same place"), pictures, strict=True):
        score = classifier.score(resize(picture, size)[None])[0]
        rows.append([name, f"{sharpness(resize(picture, size)):.3f}", f"{score:.3f}"])
    print_table([[f"{PAIR}, frame {pair.frame}", "sharpness", "P(fake)"], *rows])


def main() -> None:
    """Read the arguments, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="exported file; the shipped one otherwise")
    parser.add_argument("--out", type=Path, required=True, help="folder for the sheets, which show faces")
    parser.add_argument("--bench", type=Path, default=BENCH, help="folder for CSV and plot")
    parser.add_argument("--crops", type=int, help="most crops of a source; all otherwise")
    parser.add_argument("--pair-every", type=int, default=1, help="each so many-th frame of the clip with a crop")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    for folder in (arguments.out, arguments.bench):
        folder.mkdir(parents=True, exist_ok=True)
    detector = open_detector(arguments.model, threads=arguments.threads)
    by_source = collect(arguments.data, detector, most=arguments.crops)
    compare(by_source, detector.classifier, arguments.out, arguments.bench, threads=arguments.threads)
    pair = find_pair(arguments.data, detector, every=arguments.pair_every)
    write_picture(arguments.out / "pair.png", pair_sheet(pair, detector.classifier))
    print_pair(pair, detector.classifier)


def compare(by_source: dict[str, list[Seen]], classifier: Classifier, out: Path, bench: Path, *, threads: int) -> None:
    """Everything but the pair."""
    metadata, digest = classifier.metadata, classifier.sha256[:12]
    write_picture(out / "sheet.png", sheet(by_source, classifier))
    faces = FaceDetector(threads=threads)
    found = {source: measures(crops, classifier, faces) for source, crops in by_source.items()}
    rows = [
        row(source, "as it is", measure, values, found[VAL_REAL][measure])
        for source, by_measure in found.items()
        for measure, values in by_measure.items()
    ]
    cuts = compare_cuts(by_source, classifier)
    rest = [line for line in rows if line["measure"] not in ("P(fake)", "sharpness")]
    today = datetime.now(tz=UTC).date().isoformat()
    write_csv(bench / "crops.csv", [*cuts, *rest], model=metadata.name, sha256=digest, date=today)
    write_whole(bench / "crop-scores.png", score_plot(found, metadata.threshold, metadata.name))
    print(f"{metadata.name}, {digest}, {metadata.input_size} pixels, threshold {metadata.threshold}")
    print_tables(rows, cuts)
    print_clips(by_source, classifier)


if __name__ == "__main__":
    main()
