"""What a network sees in training is what the runtime cuts, wherever the face is."""

import cv2
import numpy as np
import pytest

from edgefake.data.pictures import View
from edgefake.prepare.settings import CropSettings
from edgefake_runtime.crops import crop_rectangle, resize

FACES = {
    "in the middle": (500.0, 250.0, 640.0, 430.0),
    "at the top edge": (500.0, 2.0, 640.0, 180.0),
    "close-up": (200.0, 10.0, 800.0, 715.0),
    "half out at the left": (-60.0, 250.0, 80.0, 430.0),
}


@pytest.fixture(scope="module")
def frame():
    """Soft noise, in which a displacement of a few pixels shows."""
    noise = np.random.default_rng(0).normal(0, 1, (720, 1280, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 12)
    return np.clip(128 + soft / soft.std() * 45, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("box", FACES.values(), ids=FACES)
@pytest.mark.parametrize("kind", ["face", "crop"])
def test_prepared_crops_show_what_the_runtime_cuts(frame, box, kind):
    rule = CropSettings().crop()
    height, width = frame.shape[:2]

    def cut(crop):
        x0, y0, x1, y1 = crop_rectangle(box, crop, height=height, width=width)
        return np.ascontiguousarray(frame[y0:y1, x0:x1])

    view = View(224, kind)
    trained = view.plain(resize(cut(rule), 256)).astype(float)
    seen = resize(cut(type(rule)(rule.margin, rule.shift, rule.square, rule.origin, view.share)), 224).astype(float)
    assert np.abs(trained - seen).mean() < 2.0  # of resampling twice
    displaced = np.abs(trained - np.roll(seen, 4, axis=1)).mean()
    assert displaced > 2 * np.abs(trained - seen).mean()
