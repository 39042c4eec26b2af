r"""Writes what facenet-pytorch's own MTCNN finds in pictures and clips: golden values for the face detector.

    EDGEFAKE_DATA=... python scripts/golden_mtcnn.py --out tests/golden/mtcnn.json \
        skimage:astronaut tests/images tests/videos

Names are relative to EDGEFAKE_DATA: a picture, a clip, or a folder of either; `skimage:astronaut` is
scikit-image's sample. Needs facenet-pytorch 2.5.3 (`pip install --no-deps`), scikit-image and, for its
imports, Pillow and requests.

facenet-pytorch imports torchvision for two operators, and PyPI's torchvision does not load beside a CPU-only
torch. So a stand-in of ours takes its place before the import: suppression as torchvision documents it
(boxes by falling score, stable; one drops out when its IoU with a kept one is above the threshold).
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

MIN_FACES = (20, 40, 80)
FRAMES = (0, 60)


def nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """torchvision.ops.nms: kept indices, best score first; IoU in float32, without counting pixels."""
    order = scores.sort(descending=True, stable=True).indices
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    keep = []
    while len(order):
        best, order = order[0], order[1:]
        keep.append(int(best))
        corner = torch.maximum(boxes[best, :2], boxes[order, :2])
        inter = (torch.minimum(boxes[best, 2:], boxes[order, 2:]) - corner).clamp(min=0).prod(1)
        order = order[~(inter / (areas[best] + areas[order] - inter) > threshold)]
    return torch.tensor(keep, dtype=torch.int64)


def batched_nms(boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, threshold: float) -> torch.Tensor:
    """torchvision.ops.boxes.batched_nms for a single picture, whose boxes are one group."""
    if groups.numel() and int(groups.max()) != 0:
        raise ValueError("expected one picture at a time, got several")
    return nms(boxes, scores, threshold)


def stand_in_for_torchvision() -> None:
    """Registers modules with the two operators under torchvision's names."""
    names = ("torchvision", "torchvision.ops", "torchvision.ops.boxes", "torchvision.transforms")
    modules = {name: types.ModuleType(name) for name in (*names, "torchvision.transforms.functional")}
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    modules["torchvision.ops.boxes"].__dict__.update(nms=nms, batched_nms=batched_nms)
    sys.modules.update(modules)


def facenet(min_face: int) -> Any:
    """facenet-pytorch's detector on the CPU."""
    if "torchvision" not in sys.modules:
        stand_in_for_torchvision()
    from facenet_pytorch import MTCNN

    return MTCNN(min_face_size=min_face, keep_all=True, device=torch.device("cpu"))


def read_picture(path: Path) -> Picture:
    """Decodes a picture to (H, W, 3) RGB."""
    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(f"expected a picture, got {path.name}")
    return np.ascontiguousarray(image[..., ::-1])


def read_frames(path: Path, indices: Sequence[int]) -> Iterator[tuple[int, Picture]]:
    """Decodes frames of a clip to RGB; an index past the end gives the last frame."""
    capture = cv2.VideoCapture(str(path))
    index, frame = -1, None
    while True:
        good, image = capture.read()
        if not good:
            break
        index, frame = index + 1, image
        if index in indices:
            yield index, np.ascontiguousarray(image[..., ::-1])
    if frame is not None and index < max(indices):
        yield index, np.ascontiguousarray(frame[..., ::-1])


def pictures(names: Sequence[str], data: Path) -> Iterator[tuple[dict[str, Any], Picture]]:
    """Yields every picture with its name, frame number (clips) and the file's SHA-256."""
    for name in names:
        if name == "skimage:astronaut":
            from skimage import data as samples

            picture = np.ascontiguousarray(samples.astronaut())
            yield {"name": name, "sha256": hashlib.sha256(picture.tobytes()).hexdigest()[:16]}, picture
            continue
        path = data / name
        found = sorted(file for file in path.iterdir() if file.suffix in (".jpg", ".mp4")) if path.is_dir() else [path]
        for file in found:
            about = {
                "name": file.relative_to(data).as_posix(),
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest()[:16],
            }
            if file.suffix == ".mp4":
                yield from (({**about, "frame": index}, frame) for index, frame in read_frames(file, FRAMES))
            else:
                yield about, read_picture(file)


def faces(detector: Any, picture: Picture) -> list[dict[str, Any]]:
    """facenet-pytorch's answer in its own order (largest box first), rounded to 3 decimals."""
    boxes, scores, landmarks = detector.detect(picture, landmarks=True)
    if boxes is None:
        return []
    return [
        {
            "box": [round(float(edge), 3) for edge in box],
            "score": round(float(score), 6),
            "landmarks": [[round(float(edge), 3) for edge in point] for point in points],
        }
        for box, score, points in zip(boxes, scores, landmarks, strict=True)
    ]


def facts() -> dict[str, Any]:
    """What produced the values: command and versions; no date, so that a second run writes the same file."""
    packages = ("facenet-pytorch", "torch", "numpy", "opencv-python-headless", "scikit-image")
    return {
        "command": "python scripts/golden_mtcnn.py " + " ".join(sys.argv[1:]),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "decoding": "cv2.imread and cv2.VideoCapture, BGR reversed to RGB",
        "torchvision": "stand-in of the script",
    }


def main() -> int:
    """Runs the command line; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", help="pictures, clips and folders below EDGEFAKE_DATA")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    data = Path(os.environ["EDGEFAKE_DATA"])
    detectors = {min_face: facenet(min_face) for min_face in MIN_FACES}
    entries = []
    for about, picture in pictures(options.names, data):
        found = {str(min_face): faces(detector, picture) for min_face, detector in detectors.items()}
        print(about["name"], about.get("frame", ""), *(len(values) for values in found.values()))
        entries.append({**about, "shape": list(picture.shape), "faces": found})
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    text = f'{{"facts": {json.dumps(facts(), indent=1)},\n"pictures": [\n{lines}\n]}}\n'
    options.out.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
