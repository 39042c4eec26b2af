"""Make the samples in docs/samples: a real clip, a self-blended fake, a still and face crops.

    python scripts/make_samples.py --out docs/samples

Source: NASA's portrait of Eileen Collins (public domain), 512x512, as scikit-image bundles it. The fake is a
self-blended image (Shiohara & Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022): the face
of an altered copy of the picture, set back a little displaced under a soft deformed mask.
Needs scikit-image; encodes H.264 where an ffmpeg with libx264 is installed, else MPEG-4 part 2 by OpenCV.
"""

import argparse
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

SIDE, FPS, SECONDS, SEED = 480, 25, 4, 2022
TILE = 224


@dataclass(frozen=True)
class Ellipse:
    """The face in the source picture, in pixels: centre, half axes, and the side of a tight square box."""

    x: float = 225.0
    y: float = 130.0
    half_width: float = 39.0
    half_height: float = 45.0
    box: float = 112.0


FACE = Ellipse()


def portrait() -> Image:
    """The source, (512, 512, 3) RGB."""
    from skimage.data import astronaut

    picture: Image = astronaut()  # type: ignore[no-untyped-call]
    return picture


def around(
    centre: tuple[float, float], *, degrees: float, scale: float, to: tuple[float, float]
) -> NDArray[np.float64]:
    """The affine map (2, 3) that turns and scales about `centre`, and brings it to `to`."""
    view = np.asarray(cv2.getRotationMatrix2D(centre, degrees, scale), np.float64)
    view[:, 2] += np.subtract(to, centre)
    return view


def altered(image: Image) -> Image:
    """The source generator's copy: warmer, sharpened, 5 % larger, turned and displaced."""
    warm = image.astype(np.float32) + np.array([6.0, -5.0, -17.0], np.float32)
    soft = cv2.GaussianBlur(warm, (0, 0), 1.6)
    sharp = np.clip(warm + 0.8 * (warm - soft), 0, 255).astype(np.uint8)
    resize = around((FACE.x, FACE.y), degrees=1.5, scale=1.05, to=(FACE.x + 2.5, FACE.y - 2.0))
    moved = cv2.warpAffine(sharp, resize, sharp.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8)


def smooth_push(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Displacements in pixels, smooth over a dozen pixels, 3.5 in root mean square: (H, W)."""
    push = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), 12)
    return np.asarray(3.5 * push / push.std(), np.float32)


def face_mask(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """An ellipse over the face with a smoothly deformed, soft edge: (H, W, 1) in 0..1."""
    rows, columns = np.indices(shape, np.float32)
    x = (columns + smooth_push(shape, rng) - FACE.x) / FACE.half_width
    y = (rows + smooth_push(shape, rng) - FACE.y) / FACE.half_height
    inside = (x**2 + y**2 < 1).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(inside, (0, 0), 2.2), np.float32)[..., None]


def self_blended(image: Image, rng: np.random.Generator) -> Image:
    """The fake: the altered copy's face on the picture itself."""
    mask = face_mask(image.shape[:2], rng)
    blend = mask * altered(image) + (1 - mask) * image
    return np.asarray(np.rint(blend), np.uint8)


def camera(time: float) -> NDArray[np.float64]:
    """Source to frame at `time` in 0..1: a slow pan, zoom and roll with the face near the middle."""
    swing = np.sin(2 * np.pi * time)
    scale = SIDE / (300.0 - 36.0 * time)
    centre = (FACE.x + 10 * swing, FACE.y + 24 - 10 * time)
    return around(centre, degrees=3.0 * swing, scale=scale, to=(SIDE / 2, SIDE / 2))


def clip(image: Image) -> Iterator[Image]:
    """Frames of a camera moving over a picture, with sensor noise: the same for every picture."""
    rng = np.random.default_rng(SEED)
    count = FPS * SECONDS
    for index in range(count):
        view = camera(index / (count - 1))
        frame = cv2.warpAffine(image, view, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        noise = rng.normal(0, 1.5, (SIDE, SIDE, 1))
        yield np.clip(np.rint(frame + noise), 0, 255).astype(np.uint8)


def write_clip(path: Path, frames: Iterator[Image]) -> None:
    """Encode to a temporary name, then rename."""
    part = path.with_suffix(".part.mp4")
    if shutil.which("ffmpeg"):
        encode_h264(part, frames)
    else:
        writer = cv2.VideoWriter(str(part), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (SIDE, SIDE))
        for frame in frames:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        writer.release()
    part.replace(path)


def encode_h264(path: Path, frames: Iterator[Image]) -> None:
    """One thread and no time stamps: the same ffmpeg writes the same bytes."""
    source = f"-f rawvideo -pix_fmt rgb24 -s {SIDE}x{SIDE} -r {FPS} -i -"
    codec = "-c:v libx264 -preset veryslow -crf 21 -pix_fmt yuv420p -threads 1 -movflags +faststart"
    command = f"ffmpeg -v error -y {source} {codec} -fflags +bitexact -flags:v +bitexact".split()
    with subprocess.Popen([*command, os.fspath(path)], stdin=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        for frame in frames:
            encoder.stdin.write(frame.tobytes())
        encoder.stdin.close()
    if encoder.returncode:
        raise SystemExit(f"ffmpeg failed with status {encoder.returncode}")


def crop(image: Image, *, degrees: float = 0.0, shift: tuple[float, float] = (0.0, 0.0)) -> Image:
    """The tight square face box as a (224, 224, 3) tile; `shift` in source pixels."""
    centre = (FACE.x + shift[0], FACE.y + shift[1])
    view = around(centre, degrees=degrees, scale=TILE / FACE.box, to=(TILE / 2, TILE / 2))
    return np.asarray(cv2.warpAffine(image, view, (TILE, TILE), flags=cv2.INTER_CUBIC), np.uint8)


def recompressed(image: Image, quality: int) -> Image:
    """Through JPEG and back."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def face_strip(real: Image, fake: Image) -> Image:
    """Eight tiles side by side, (224, 1792, 3), in the order that the README names."""
    face = crop(real)
    tiles = [
        face,
        face[:, ::-1],
        np.clip(face.astype(np.int16) + 40, 0, 255).astype(np.uint8),
        np.asarray(cv2.GaussianBlur(face, (0, 0), 2.5), np.uint8),
        recompressed(face, 20),
        crop(fake),
        crop(real, degrees=8.0),
        crop(real, shift=(12.0, -8.0)),
    ]
    return np.ascontiguousarray(np.concatenate(tiles, axis=1))


def main() -> None:
    """Write the four files."""
    parser = argparse.ArgumentParser(description="Make the samples in docs/samples.")
    parser.add_argument("--out", type=Path, default=Path("docs/samples"))
    parser.add_argument("--faces", type=Path, default=Path("export/edgefake_export/faces.png"))
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    real = portrait()
    fake = self_blended(real, np.random.default_rng(SEED))
    pictures = {out / "astronaut.png": real, arguments.faces: face_strip(real, fake)}
    for path, picture in pictures.items():
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(path), bgr, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    write_clip(out / "real.mp4", clip(real))
    write_clip(out / "fake.mp4", clip(fake))


if __name__ == "__main__":
    main()
