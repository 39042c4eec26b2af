"""Random views of face crops: what light, lens, sensor, resizing and codec do to a face, on numpy and OpenCV.

Reals and fakes pass through the same `augment`, which never sees a label. In DFDC the fakes are smaller files
(softer) than the reals, so a network that may read softness or JPEG blocks reads the class off the wrong
thing; each operation here takes one such cue away. The order is a picture's way from scene to network: light,
lens, sensor, resizing, codec, then the face box and the network's input size. The codec comes before the
crop, so that JPEG's 8 x 8 grid has a random phase in the crop, as it has in the crops of a video.
"""

from dataclasses import dataclass, fields
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefake_runtime.crops import resize
from edgefake_runtime.errors import UsageError

__all__ = [
    "PLAIN",
    "STANDARD",
    "FaceAugmentation",
    "add_noise",
    "augment",
    "blur",
    "compress",
    "crop_flip",
    "relight",
    "rescale",
    "smear",
]

Image = NDArray[np.uint8]
Range = tuple[float, float]

SHRINK = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)
GROW = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)

CHROMA = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)

YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
"""RGB to luma and two colour axes (NTSC), in which saturation is a length and hue an angle."""

RGB = np.linalg.inv(YIQ)

LEVELS = np.arange(256) / 255

PROBABILITIES = ("flip", "blur", "motion", "rescale", "noise", "jpeg", "tint", "gamma")


@dataclass(frozen=True)
class FaceAugmentation:
    """How often each operation acts, and how strongly; pairs are the ends of a uniform choice.

    Attributes:
        window: side of the crop, as a share of the picture's.
        flip: probability of a mirrored crop.
        gain: contrast about the middle grey.
        shift: most that the brightness moves, levels.
        channel_shift: most that each channel moves besides, levels.
        tint: probability of another saturation and hue.
        saturation: factor of the colour's distance from grey.
        hue: most that the hue turns, degrees.
        gamma: probability of a gamma curve.
        gamma_exponent: of that curve; below 1 brightens.
        blur: probability of a Gaussian blur.
        blur_sigma: its deviation, pixels.
        motion: probability of a motion blur.
        motion_length: its length, pixels.
        noise: probability of Gaussian noise, independent per pixel and channel.
        noise_sigma: its deviation, levels.
        rescale: probability of shrinking and growing back, each with a random interpolation.
        rescale_factor: side of the small picture, as a share.
        jpeg: probability of a JPEG encoding, with or without subsampled chroma.
        jpeg_quality: of that encoding, 1 to 100.

    Raises:
        UsageError: a probability outside 0 to 1 or a range that is empty or impossible.
    """

    window: Range = (0.8, 1.0)
    flip: float = 0.5
    gain: Range = (0.75, 1.25)
    shift: float = 25.0
    channel_shift: float = 8.0
    tint: float = 0.3
    saturation: Range = (0.7, 1.3)
    hue: float = 8.0
    gamma: float = 0.3
    gamma_exponent: Range = (0.75, 1.35)
    blur: float = 0.2
    blur_sigma: Range = (0.3, 1.5)
    motion: float = 0.05
    motion_length: Range = (3.0, 9.0)
    noise: float = 0.2
    noise_sigma: Range = (1.0, 8.0)
    rescale: float = 0.3
    rescale_factor: Range = (0.35, 0.9)
    jpeg: float = 0.4
    jpeg_quality: Range = (40.0, 95.0)

    def __post_init__(self) -> None:
        for name in PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name}: expected a probability from 0 to 1, got {getattr(self, name)}")
        for name, least, most in _LIMITS:
            value = getattr(self, name)
            low, high = value if isinstance(value, tuple) else (0.0, value)
            if not least <= low <= high <= most:
                raise UsageError(f"{name}: expected a range within {least:g} to {most:g}, got {value}")

    @classmethod
    def only(cls, **settings: float | Range) -> Self:
        """The named settings, and everything else switched off: `only()` shows the whole picture, unchanged."""
        off: dict[str, float | Range] = dict.fromkeys((*PROBABILITIES, "shift", "channel_shift"), 0.0)
        known = {field.name for field in fields(cls)}
        if unknown := settings.keys() - known:
            raise UsageError(f"expected settings of {cls.__name__}, got {', '.join(sorted(unknown))}")
        return cls(**{**off, "window": (1.0, 1.0), "gain": (1.0, 1.0), **settings})  # type: ignore[arg-type]


_LIMITS = (
    ("window", 0.01, 1.0),
    ("gain", 0.0, 10.0),
    ("shift", 0.0, 255.0),
    ("channel_shift", 0.0, 255.0),
    ("saturation", 0.0, 10.0),
    ("hue", 0.0, 180.0),
    ("gamma_exponent", 0.01, 100.0),
    ("blur_sigma", 0.01, 100.0),
    ("motion_length", 1.0, 100.0),
    ("noise_sigma", 0.0, 255.0),
    ("rescale_factor", 0.01, 1.0),
    ("jpeg_quality", 1.0, 100.0),
)

STANDARD = FaceAugmentation()
"""What training uses."""

PLAIN = FaceAugmentation.only()
"""No operation: `augment` resizes, and that is all."""


def crop_flip(image: Image, share: float, mirrored: bool, random: np.random.Generator) -> Image:
    """A window of `share` of each side at a random place, mirrored or not: (H, W, 3) -> (H', W', 3)."""
    height, width = image.shape[:2]
    rows, columns = max(1, round(height * share)), max(1, round(width * share))
    top, left = random.integers(0, height - rows + 1), random.integers(0, width - columns + 1)
    window = image[top : top + rows, left : left + columns]
    return np.ascontiguousarray(window[:, ::-1] if mirrored else window)


def relight(
    image: Image, *, gain: float, shift: NDArray[np.float64], saturation: float = 1.0, hue: float = 0.0
) -> Image:
    """Contrast, brightness and colour as one affine map of each pixel.

    RGB' = 127.5 + gain * (M RGB - 127.5) + shift, where M turns the colour axes of YIQ by `hue` and
    stretches them by `saturation`; luma and greys stay as M finds them.

    Args:
        image: (H, W, 3) RGB bytes.
        gain: contrast about the middle grey.
        shift: (3,) levels.
        saturation: 0 for grey, 1 for as is.
        hue: degrees.
    """
    angle = np.deg2rad(hue)
    turn = np.eye(3)
    turn[1:, 1:] = saturation * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    colour = np.eye(3) if saturation == 1 and hue == 0 else RGB @ turn @ YIQ
    offset = 127.5 * (1 - gain) + shift
    return _bytes(cv2.transform(image, np.column_stack([gain * colour, offset]).astype(np.float32)))


def blur(image: Image, sigma: float) -> Image:
    """Gaussian blur of deviation `sigma` pixels."""
    return _bytes(cv2.GaussianBlur(image, (0, 0), sigma))


def smear(image: Image, length: float, degrees: float) -> Image:
    """Motion blur: the mean along a line of `length` pixels through each pixel."""
    half = int(np.ceil(length / 2))
    angle = np.deg2rad(degrees)
    steps = np.linspace(-length / 2, length / 2, 4 * half + 1)
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    rows, columns = (np.rint(half + steps * turn).astype(int) for turn in (np.sin(angle), np.cos(angle)))
    np.add.at(kernel, (rows, columns), np.float32(1 / len(steps)))
    return _bytes(cv2.filter2D(image, -1, kernel))


def add_noise(image: Image, sigma: float, random: np.random.Generator) -> Image:
    """Gaussian noise of deviation `sigma` levels, independent per pixel and channel, rounded and clipped."""
    noise = random.standard_normal(image.shape, dtype=np.float32)
    noise *= np.float32(sigma)
    noise += image
    return _bytes(np.clip(np.rint(noise, out=noise), 0, 255, out=noise))


def rescale(image: Image, factor: float, shrink: int, grow: int) -> Image:
    """Shrink the sides to `factor` and grow back to the same size, with two of OpenCV's interpolations."""
    height, width = image.shape[:2]
    side = (max(1, round(width * factor)), max(1, round(height * factor)))
    return _bytes(cv2.resize(cv2.resize(image, side, interpolation=shrink), (width, height), interpolation=grow))


def compress(image: Image, quality: int, chroma: int = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420) -> Image:
    """Through JPEG and back.

    Args:
        image: (H, W, 3) RGB bytes.
        quality: 1 to 100.
        chroma: OpenCV's code of the chroma sampling.
    """
    # The codec must know red from blue: luma is what it keeps best.
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, chroma]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), settings)
    return _bytes(cv2.cvtColor(_bytes(cv2.imdecode(encoded, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB))


def _light(image: Image, strength: FaceAugmentation, random: np.random.Generator) -> Image:
    gain = random.uniform(*strength.gain)
    shift = random.uniform(-1, 1) * strength.shift + random.uniform(-1, 1, 3) * strength.channel_shift
    saturation, hue = 1.0, 0.0
    if random.random() < strength.tint:
        saturation, hue = random.uniform(*strength.saturation), random.uniform(-1, 1) * strength.hue
    if gain != 1 or shift.any() or saturation != 1 or hue != 0:
        image = relight(image, gain=gain, shift=shift, saturation=saturation, hue=hue)
    if random.random() < strength.gamma:
        curve = np.rint(255 * LEVELS ** random.uniform(*strength.gamma_exponent)).astype(np.uint8)
        image = curve[image]
    return image


def _degrade(image: Image, strength: FaceAugmentation, random: np.random.Generator) -> Image:
    if random.random() < strength.blur:
        image = blur(image, random.uniform(*strength.blur_sigma))
    if random.random() < strength.motion:
        image = smear(image, random.uniform(*strength.motion_length), random.uniform(0, 180))
    if random.random() < strength.noise:
        image = add_noise(image, random.uniform(*strength.noise_sigma), random)
    if random.random() < strength.rescale:
        shrink, grow = SHRINK[random.integers(len(SHRINK))], GROW[random.integers(len(GROW))]
        image = rescale(image, random.uniform(*strength.rescale_factor), shrink, grow)
    if random.random() < strength.jpeg:
        quality = round(random.uniform(*strength.jpeg_quality))
        image = compress(image, quality, CHROMA[random.integers(len(CHROMA))])
    return image


def augment(image: Image, size: int, random: np.random.Generator, *, strength: FaceAugmentation = STANDARD) -> Image:
    """A random view of a face crop, the same for reals and fakes: equal generators give equal views.

    Args:
        image: (H, W, 3) RGB bytes, at least one pixel.
        size: side of the network's input, pixels.
        random: decides all; nothing else does.
        strength: of the operations.

    Returns:
        (size, size, 3) RGB bytes.

    Raises:
        UsageError: `image` has another shape or type.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0 or image.dtype != np.uint8:
        raise UsageError(f"expected an RGB picture (H, W, 3) uint8, got {image.shape} {image.dtype}")
    image = _degrade(_light(image, strength, random), strength, random)
    window = crop_flip(image, random.uniform(*strength.window), random.random() < strength.flip, random)
    return resize(window, size)


def _bytes(image: object) -> Image:
    return np.asarray(image, dtype=np.uint8)
