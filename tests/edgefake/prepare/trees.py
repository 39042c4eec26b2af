"""Miniature data sets with the real names."""

import functools
import json
import tempfile
from pathlib import Path

import cv2

SAMPLES = Path(__file__).resolve().parents[3] / "docs" / "samples"
REAL, FAKE, PORTRAIT = SAMPLES / "real.mp4", SAMPLES / "fake.mp4", SAMPLES / "astronaut.png"


def touch(root: Path, *names: str) -> Path:
    """Empty files: names are all that a layout reads."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@functools.cache
def short(sample: Path) -> bytes:
    """The first 12 frames of a sample at 320x320, in which faces are found fast."""
    reader = cv2.VideoCapture(str(sample))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "short.mp4"
        writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (320, 320))
        for _ in range(12):
            writer.write(cv2.resize(reader.read()[1], (320, 320), interpolation=cv2.INTER_AREA))
        writer.release()
        return file.read_bytes()


def clips(root: Path, *names: str) -> Path:
    """Clips of one face; those with a name of a fake's folder are of the altered one."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        fake = "manipulated" in name or "synthesis" in name or "fake" in name.lower()
        (root / name).write_bytes(short(FAKE if fake else REAL))
    return root


def youtube(number: str, compression: str = "c23") -> str:
    return f"original_sequences/youtube/{compression}/videos/{number}.mp4"


def swapped(numbers: str, method: str = "Deepfakes", compression: str = "c23") -> str:
    return f"manipulated_sequences/{method}/{compression}/videos/{numbers}.mp4"


def dfdc(root: Path, part: str, entries: dict[str, dict[str, str]]) -> Path:
    folder = root / part
    touch(folder, *entries)
    (folder / "metadata.json").write_text(json.dumps(entries))
    return root
