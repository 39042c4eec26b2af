"""The committed samples decode, have the sizes that their README gives, and differ where they should."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefake_runtime.media import Picture, Video, open_media

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "docs" / "samples"
FACES = ROOT / "export" / "edgefake_export" / "faces.png"


def picture(name: str | Path) -> np.ndarray:
    with open_media(SAMPLES / name) as media:
        assert isinstance(media, Picture)
        return media.frame()


def sampled(name: str, every: int) -> np.ndarray:
    with open_media(SAMPLES / name) as media:
        assert isinstance(media, Video)
        return np.stack([frame.image for frame in media.frames(every)]).astype(np.float64)


def tile(number: int) -> np.ndarray:
    """A face crop by its number in the README, from 1."""
    return picture(FACES)[:, 224 * (number - 1) : 224 * number].astype(np.float64)


@pytest.mark.parametrize("name", ["real.mp4", "fake.mp4"])
def test_clips_have_100_frames_of_480_by_480(name: str) -> None:
    with open_media(SAMPLES / name) as video:
        assert isinstance(video, Video)
        assert (video.width, video.height, video.fps, video.duration_s) == (480, 480, 25.0, 4.0)
        times = [frame.time_s for frame in video.frames(1)]
        assert (video.frames_total, video.frames_read, video.truncated) == (100, 100, False)
    np.testing.assert_allclose(times, np.arange(100) / 25, atol=1e-3)


def test_the_fake_differs_in_the_face_and_not_around_it() -> None:
    difference = np.abs(sampled("real.mp4", 11) - sampled("fake.mp4", 11)).mean((0, 3))  # (H, W)
    face, around = difference[130:280, 180:300], [difference[:, :90], difference[:, 390:], difference[330:]]
    assert face.mean() > 15
    assert max(region.mean() for region in around) < 3  # codec noise


def test_the_camera_moves() -> None:
    first, last = sampled("real.mp4", 99)
    assert np.abs(first - last).mean() > 10


def test_pictures_have_their_sizes() -> None:
    assert picture("astronaut.png").shape == (512, 512, 3)
    assert picture(FACES).shape == (224, 1792, 3)


def test_the_still_is_scikit_images_own() -> None:
    data = pytest.importorskip("skimage.data")
    np.testing.assert_array_equal(picture("astronaut.png"), data.astronaut())


def test_face_crops_are_what_the_readme_says() -> None:
    original = tile(1)
    np.testing.assert_array_equal(tile(2), original[:, ::-1])
    np.testing.assert_array_equal(tile(3), np.minimum(original + 40, 255))
    assert np.abs(tile(4) - cv2.GaussianBlur(original, (0, 0), 2.5)).mean() < 1
    for number in (5, 6, 7, 8):
        assert 2 < np.abs(tile(number) - original).mean() < 60


@pytest.mark.parametrize(
    ("name", "limit"), [("astronaut.png", 600), (FACES, 900), ("real.mp4", 400), ("fake.mp4", 400)]
)
def test_samples_stay_small(name: str | Path, limit: int) -> None:
    assert (SAMPLES / name).stat().st_size <= limit * 1000
