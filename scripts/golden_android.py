r"""Writes what the Python runtime answers: golden values that the Java code in runtime/android/core is held to.

    python scripts/golden_android.py                      # the committed ones, from docs/samples and fixed numbers
    python scripts/golden_android.py --clips FOLDER       # frames, boxes and scores of the samples, megabytes
    python scripts/golden_android.py --clips FOLDER clip.mp4 photo.jpg

The committed values need no model but MTCNN, so that another classifier changes none of them: what the networks were
asked (as CRC-32 of the float32 bytes) and answered for one picture, so that the cascade's arithmetic can be followed
without running them, and then every step from boxes to a verdict. The clips are for running everything: raw RGB frames
as they were decoded here, and what `Detector` said of them.
"""

import argparse
import base64
import hashlib
import importlib.metadata
import json
import random
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from golden_metadata import METADATA, Record, points, refusals
from numpy.typing import NDArray

from edgefake_runtime.aggregate import trimmed_mean
from edgefake_runtime.crops import crop_rectangle, cut_face, normalize, resize
from edgefake_runtime.detector import Detector
from edgefake_runtime.media import open_media
from edgefake_runtime.metadata import Crop, ModelMetadata
from edgefake_runtime.mtcnn import Face, FaceDetector, default_min_face, non_maximum_suppression, pyramid
from edgefake_runtime.options import DetectOptions
from edgefake_runtime.quality import sharpness, turn
from edgefake_runtime.results import FaceFrame
from edgefake_runtime.shipped import default_model, models_folder
from edgefake_runtime.tflite_file import read_tflite
from edgefake_runtime.tracks import Tracker
from edgefake_runtime.verdict import track_of

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "docs" / "samples"
OUT = ROOT / "runtime" / "android" / "core" / "src" / "test" / "resources" / "golden.json"

PICTURE = "astronaut.png"
MIN_FACE = 80
"""Of the cascade's values: few enough candidates for a small file."""

Image = NDArray[np.uint8]


def packed(values: NDArray[Any]) -> str:
    """Bytes of an array, little endian, deflated, as base64."""
    data = np.ascontiguousarray(values)
    return base64.b64encode(zlib.compress(data.astype(data.dtype.newbyteorder("<")).tobytes(), 9)).decode()


def read(path: Path) -> Image:
    """A picture, (H, W, 3) RGB."""
    with open_media(path) as media:
        return next(iter(media.frames(1, 1))).image


# The cascade


class Recorder:
    """Stands before a session of ONNX Runtime, and notes what it is asked and what it answers."""

    def __init__(self, name: str, session: Any, calls: list[Record]) -> None:
        self._name, self._session, self._calls = name, session, calls

    def run(self, outputs: Sequence[str], inputs: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Runs the session."""
        answers: list[NDArray[np.float32]] = self._session.run(outputs, inputs)
        image = np.ascontiguousarray(inputs["image"])
        found = {
            name: {"shape": list(answer.shape), "data": packed(answer)}
            for name, answer in zip(outputs, answers, strict=True)
        }
        crc = zlib.crc32(image.astype("<f4").tobytes())
        self._calls.append({"network": self._name, "shape": list(image.shape), "crc32": crc, "outputs": found})
        return answers


def face_record(face: Face) -> Record:
    """A face in JSON values."""
    return {"box": list(face.box), "score": face.score, "landmarks": [list(point) for point in face.landmarks]}


def cascade(picture: Image) -> Record:
    """Every call of a network while one picture is searched, and the faces."""
    detector = FaceDetector(min_face=MIN_FACE, threads=1)
    calls: list[Record] = []
    for name in ("pnet", "rnet", "onet"):
        setattr(detector, f"_{name}", Recorder(name, getattr(detector, f"_{name}"), calls))
    faces = detector.detect(picture)
    return {
        "picture": PICTURE,
        "min_face": MIN_FACE,
        "calls": calls,
        "faces": [face_record(face) for face in faces],
    }


def pyramids() -> list[Record]:
    """Scales, and the smallest face, of frames of many sizes."""
    sizes = [(39, 500), (40, 40), (480, 640), (1080, 1920), (1920, 1080), (1440, 2560), (2160, 3840), (3001, 4003)]
    return [
        {
            "height": height,
            "width": width,
            "min_face": (smallest := default_min_face(height, width)),
            "scales": pyramid(height, width, min_face=smallest, factor=0.709),
        }
        for height, width in sizes
    ]


def suppressions(rng: np.random.Generator) -> list[Record]:
    """Boxes on top of each other, some alike, some with equal scores, and which are kept."""
    records = []
    for threshold, minimum in ((0.5, False), (0.7, False), (0.7, True)):
        corners = rng.integers(0, 40, (60, 2)).astype(np.float32)
        boxes = np.concatenate([corners, corners + rng.integers(1, 40, (60, 2))], 1).astype(np.float32)
        boxes += rng.choice(np.float32([0, 0.25, 1 / 3]), boxes.shape)
        scores = rng.choice(np.linspace(0.6, 1, 25, dtype=np.float32), 60)
        kept = non_maximum_suppression(boxes, scores, threshold, minimum=minimum).tolist()
        numbers = {"boxes": boxes.ravel().tolist(), "scores": scores.tolist(), "kept": kept}
        records.append({"threshold": threshold, "minimum": minimum, **numbers})
    return records


# From faces to scores


def rectangles(rng: np.random.Generator) -> list[Record]:
    """Boxes, also far outside of the frame, and the pixels that they stand for."""
    records = []
    for _ in range(40):
        x0, y0 = rng.uniform(-60, 110, 2)
        box = (x0, y0, x0 + rng.uniform(1, 120), y0 + rng.uniform(1, 120))
        rule = {
            "margin": float(rng.uniform(-0.3, 1)),
            "shift": float(rng.uniform(-0.2, 0.2)),
            "square": bool(rng.integers(2)),
            "share": float(rng.choice([1.0, 0.75, 0.1])),
        }
        height, width = (int(side) for side in rng.integers(40, 120, 2))
        pixels = crop_rectangle(box, Crop(origin="", **rule), height=height, width=width)
        records.append({"box": list(box), **rule, "height": height, "width": width, "pixels": list(pixels)})
    return records


RESIZED = [
    # x0, y0, x1, y1 of the picture -> size: both sides shrink, by whole numbers and not; grow; one shrinks, one grows.
    *((180, 60, 308, 188, 32), (200, 70, 264, 134, 32), (190, 50, 291, 171, 48), (150, 40, 347, 181, 40)),
    *((210, 90, 231, 113, 48), (210, 90, 211, 91, 16), (200, 80, 226, 200, 48), (180, 100, 300, 118, 40)),
    *((0, 0, 512, 512, 32), (505, 500, 512, 512, 24), (180, 60, 290, 175, 112)),
]


def resizes(picture: Image) -> list[Record]:
    """Parts of the picture at another size, and how sharp they are."""
    records = []
    for x0, y0, x1, y1, size in RESIZED:
        part = np.ascontiguousarray(picture[y0:y1, x0:x1])
        records.append(
            {"pixels": [x0, y0, x1, y1], "size": size, "data": packed(resize(part, size)), "sharpness": sharpness(part)}
        )
    return records


def normalization(picture: Image) -> Record:
    """A crop as the network gets it."""
    metadata = ModelMetadata.from_json(json.dumps(METADATA))
    box = (190.5, 60.25, 270.75, 175.0)
    values = normalize(cut_face(picture, box, metadata)[None], metadata.mean, metadata.std)
    return {"box": list(box), "shape": list(values.shape), "crc32": zlib.crc32(values.astype("<f4").tobytes())}


def turns(rng: np.random.Generator) -> list[Record]:
    """Landmarks and how far the head is turned."""
    records = []
    for _ in range(10):
        points = rng.uniform(0, 100, (5, 2)).round(2)
        landmarks = tuple((float(x), float(y)) for x, y in points)
        records.append({"landmarks": points.ravel().tolist(), "turn": turn(Face((0, 0, 1, 1), 1.0, landmarks))})  # type: ignore[arg-type]
    return records


def colors(rng: np.random.Generator) -> Record:
    """A frame of Y, Cb and Cr (BT.601, limited range) and its RGB, as OpenCV converts it."""
    height, width = 12, 16
    planes = rng.integers(0, 256, (height * 3 // 2, width), dtype=np.uint8)
    rgb = cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420)
    return {"height": height, "width": width, "planes": packed(planes), "rgb": packed(rgb)}


# From scores to verdicts


def face_frame(time_s: float, box: Sequence[float], *, score: float = 0.5, judged: bool = True) -> FaceFrame:
    """A face in a frame, of which the box counts."""
    return FaceFrame(time_s, tuple(box), 1.0, score, 0.3, 0.1, judged)  # type: ignore[arg-type]


def links(rng: np.random.Generator) -> list[Record]:
    """Boxes of frame after frame, and the frames and faces of each track."""
    records = []
    for _ in range(6):
        places = rng.uniform(0, 300, (4, 2))
        frames: list[list[list[float]]] = []
        for _ in range(12):
            places += rng.normal(0, 25, places.shape)
            seen = np.flatnonzero(rng.random(4) < 0.6)
            sides = rng.uniform(35, 75, (4, 2))
            frames.append([[*places[i], *(places[i] + sides[i])] for i in rng.permutation(seen)])
        tracker = Tracker()
        for number, boxes in enumerate(frames):
            faces = [face_frame(number, box, score=float(place)) for place, box in enumerate(boxes)]
            tracker.add(faces, [0.0] * len(faces))
        tracks = [[[int(face.time_s), int(face.score)] for face in track.frames] for track in tracker.tracks]
        records.append({"frames": frames, "tracks": tracks})
    return records


def aggregates(rng: np.random.Generator) -> list[Record]:
    """Log-odds of a track's frames, its score, and whether it is thin."""
    records = []
    for count in (1, 2, 3, 4, 5, 9, 10, 15, 40):
        evidence = rng.normal(0, 4, count).tolist()
        judged = (rng.random(count) < 0.6).tolist()
        frames = [face_frame(i, (0, 0, 1, 1), judged=good) for i, good in enumerate(judged)]
        track = track_of(0, frames, evidence, least=2)
        about = {"trimmed": trimmed_mean(evidence), "score": track.score, "thin": track.thin}
        records.append({"evidence": evidence, "judged": judged, "least": 2, **about})
    return records


def facts() -> Record:
    """What produced the values; no date, so that a second run writes the same file."""
    packages = ("numpy", "onnxruntime", "opencv-python-headless")
    return {
        "command": "python scripts/golden_android.py",
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def golden() -> Record:
    """All the committed values."""
    picture = read(SAMPLES / PICTURE)
    rng = np.random.default_rng(0)
    return {
        "facts": facts(),
        "metadata": METADATA,
        "pyramids": pyramids(),
        "suppressions": suppressions(rng),
        "rectangles": rectangles(rng),
        "turns": turns(rng),
        "colors": colors(rng),
        "links": links(rng),
        "aggregates": aggregates(rng),
        "points": points(),
        "refusals": refusals(),
        "normalization": normalization(picture),
        "resizes": resizes(picture),
        "cascade": cascade(picture),
    }


def text_of(record: Record) -> str:
    """JSON with a line for each part, so that a change shows where it is."""
    parts = (f"{json.dumps(name)}: {json.dumps(part, separators=(',', ':'))}" for name, part in record.items())
    lines = ",\n".join(parts)
    return f"{{\n{lines}\n}}\n"


# Clips, for running everything


def clip(detector: Detector, path: Path, folder: Path) -> Record:
    """One input: its frames in a file of their own, and what the detector says of it."""
    result = detector.detect(path)
    faces = [face for track in result.faces for face in track.frames]
    crops, times = [], []
    with open_media(path) as media, (folder / f"{path.name}.rgb").open("wb") as file:
        for frame in media.frames(detector.options.every):
            file.write(frame.image.tobytes())
            for face in (face for face in faces if face.time_s == frame.time_s):
                crop = cut_face(frame.image, face.box, detector.classifier.metadata)
                crops.append({"frame": len(times), "box": list(face.box), "data": packed(crop)})
            times.append(frame.time_s)
        size = {"width": media.width, "height": media.height}
    tracks = [
        {
            "score": track.score,
            "thin": track.thin,
            "frames": [
                {
                    "time_s": face.time_s,
                    "box": list(face.box),
                    "detection": face.detection,
                    "score": face.score,
                    "sharpness": face.sharpness,
                    "turn": face.turn,
                    "judged": face.judged,
                }
                for face in track.frames
            ],
        }
        for track in result.faces
    ]
    verdict = {"verdict": result.verdict, "score": result.score, "tracks": tracks}
    return {"name": path.name, **size, "times_s": times, "crops": crops, **verdict}


def noise(seed: int, folder: Path) -> list[Record]:
    """Noise of many sizes, and what cv2 makes of it: one file of bytes, and where they lie in it."""
    rng, sizes = np.random.default_rng(seed), random.Random(seed)
    records = []
    with (folder / "noise.bin").open("wb") as file:
        for _ in range(150):
            height, width, size = sizes.randint(1, 190), sizes.randint(1, 190), sizes.choice([16, 48, 61, 112])
            image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            records.append({"height": height, "width": width, "size": size, "at": file.tell()})
            file.write(image.tobytes() + resize(image, size).tobytes())
    return records


def write_bundle(folder: Path) -> Path:
    """An app's bundle of the shipped files as they are, described as `edgefake export --bundle android` does.

    Returns:
        Its classifier.
    """
    from edgefake_export.bundle_description import describe
    from edgefake_export.bundle_folder import DESCRIPTION

    folder.mkdir(exist_ok=True)
    sources = {f"{name}.tflite": models_folder() / "mtcnn" / f"{name}.tflite" for name in ("pnet", "rnet", "onet")}
    sources["classifier.tflite"] = default_model().with_suffix(".tflite")
    sources["MODEL-CARD.md"] = default_model().parent / "README.md"
    listed = []
    for name, source in sources.items():
        data = source.read_bytes()
        (folder / name).write_bytes(data)
        listed.append({"file": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "holds": ""})
    classifier = folder / "classifier.tflite"
    found = read_tflite(classifier.read_bytes())
    (folder / DESCRIPTION).write_bytes(describe(found, file=classifier.name, litert=None, files=listed))
    return classifier


def litert_detector(classifier: Path) -> Detector:
    """A detector whose networks all run in LiteRT, as an app's do."""
    detector = Detector(classifier, options=DetectOptions(threads=1, widen=False))
    detector._scorer._faces = FaceDetector(threads=1, format="tflite")
    return detector


def write_clips(inputs: Sequence[Path], folder: Path, *, all_parts: bool = True) -> None:
    """Frames and answers of these inputs by the default model, one thread; with noise of many sizes, and a bundle."""
    folder.mkdir(parents=True, exist_ok=True)
    detector = Detector(options=DetectOptions(threads=1))
    record = {
        "model": str(detector.classifier.path),
        "clips": [clip(detector, path, folder) for path in inputs],
        "noise": noise(0, folder) if all_parts else [],
    }
    if all_parts:
        litert = litert_detector(write_bundle(folder / "bundle"))
        record["litert"] = [clip(litert, path, folder) for path in inputs]
    (folder / "clips.json").write_text(text_of(record))


def inputs_of(names: Sequence[Path]) -> Iterator[Path]:
    """The inputs, or the samples."""
    yield from names or (SAMPLES / name for name in ("real.mp4", "fake.mp4", PICTURE))


def main() -> int:
    """Runs the command line; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", nargs="*", type=Path, help="clips and pictures for --clips; the samples otherwise")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file to write")
    parser.add_argument("--clips", type=Path, metavar="FOLDER", help="write frames and answers there instead")
    options = parser.parse_args()
    if options.clips:
        write_clips(list(inputs_of(options.inputs)), options.clips)
        return 0
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text_of(golden()))
    print(f"{options.out.name}: {options.out.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
