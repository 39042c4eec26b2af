"""Small videos and pictures that tests write."""

from pathlib import Path

import cv2
import numpy as np


def numbered(index: int, width: int, height: int) -> np.ndarray:
    """A frame of eight stripes, white where the index has a bit: `number` reads it back from any codec."""
    bits = [255 * (index >> bit & 1) for bit in range(8)]
    stripes = np.repeat(np.array(bits, np.uint8), width // 8)
    return np.ascontiguousarray(np.broadcast_to(stripes[None, :, None], (height, width, 3)))


def number(image: np.ndarray) -> int:
    stripes = image.reshape(image.shape[0], 8, -1).mean((0, 2))
    return sum(int(level > 128) << bit for bit, level in enumerate(stripes))


def write_video(path: Path, count: int, *, size: tuple[int, int] = (64, 48), fps: float = 25.0) -> Path:
    """MPEG-4 part 2 with `count` numbered frames."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    for index in range(count):
        writer.write(numbered(index, *size))
    writer.release()
    return path


def write_noise_video(path: Path, count: int) -> Path:
    """A video whose frames are long, so that cutting the file cuts frames."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48))
    rng = np.random.default_rng(0)
    for _ in range(count):
        writer.write(rng.integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()
    return path


def write_picture(path: Path, image: np.ndarray) -> Path:
    ok, data = cv2.imencode(path.suffix, image)
    assert ok
    path.write_bytes(data.tobytes())
    return path
