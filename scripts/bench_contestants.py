"""Ways from a video to scored faces, each in a process of its own that runs once when it is told.

`decoding` is the floor: OpenCV grabs each frame and looks at none. `detecting` is edgefake. `usual` is OpenCV,
facenet-pytorch's MTCNN (smallest face 40, as edgefake's) and LinViT-S/16 in float32 torch (random weights: its time
does not depend on them), one batch of faces a frame, as many threads as torch takes; frames that are not scored are
grabbed only. `as-found` is the same as its parts come: facenet-pytorch's own smallest face of 20, and each frame read.
facenet-pytorch runs with a stand-in for torchvision's suppression (see golden_mtcnn.py), whose time is left out.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

import cv2

EVERY, MIN_FACE, FACENET_MIN_FACE, NETWORK = 30, 40, 20, "linvit-s16"


def decoding(clip: Path, every: int, frames: int | None) -> Callable[[], float]:
    """Grabs each frame up to the last that is scored, or all."""
    last = None if frames is None else every * (frames - 1) + 1

    def run() -> float:
        capture, count = cv2.VideoCapture(str(clip), cv2.CAP_FFMPEG), 0
        while count != last and capture.grab():
            count += 1
        capture.release()
        return 0.0

    return run


def detecting(clip: Path, every: int, frames: int | None) -> Callable[[], float]:
    """`edgefake detect` with a detector that is open."""
    from edgefake_runtime import DetectOptions, Detector

    detector = Detector(options=DetectOptions(every=every, max_frames=frames))

    def run() -> float:
        result = detector.detect(clip)
        assert result.faces, f"{clip}: expected a clip with a face, got none"
        return 0.0

    return run


def usual(
    clip: Path, every: int, frames: int | None, *, min_face: int = MIN_FACE, reads: bool = False
) -> Callable[[], float]:
    """The usual pipeline; its run gives the seconds inside the stand-in for torchvision.

    Args:
        clip: a video with a face.
        every: score each n-th frame.
        frames: score so many; None for all.
        min_face: side of the smallest face, pixels.
        reads: turn each frame into pixels, also those that are not scored.
    """
    import golden_mtcnn as golden
    import numpy as np
    import torch

    from edgefake.models import build

    finder, network = golden.facenet(min_face), build(NETWORK).eval()
    inside = [0.0]

    def suppression(*arguments: Any) -> Any:
        begun = time.perf_counter()
        kept = golden.batched_nms(*arguments)
        inside[0] += time.perf_counter() - begun
        return kept

    sys.modules["facenet_pytorch.models.utils.detect_face"].__dict__["batched_nms"] = suppression

    def judge(image: golden.Picture) -> int:
        boxes, _ = finder.detect(image)
        if boxes is None:
            return 0
        height, width = image.shape[:2]
        crops = []
        for x0, y0, x1, y1 in np.clip(boxes, 0, (width, height, width, height)).astype(int):
            crops.append(cv2.resize(image[y0:y1, x0:x1], (224, 224), interpolation=cv2.INTER_AREA))
        pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)  # (B, 3, H, W)
        return len(network(pixels).softmax(1))

    @torch.inference_mode()
    def run() -> float:
        inside[0] = 0.0
        capture, count, faces = cv2.VideoCapture(str(clip), cv2.CAP_FFMPEG), 0, 0
        while capture.grab() and (frames is None or count < every * frames):
            if count % every and reads:
                capture.retrieve()
            if count % every == 0:
                faces += judge(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
            count += 1
        capture.release()
        assert faces, f"{clip}: expected a clip with a face, got none"
        return inside[0]

    return run


CONTESTANTS = {
    "decoding": decoding,
    "detecting": detecting,
    "usual": usual,
    "as-found": partial(usual, min_face=FACENET_MIN_FACE, reads=True),
}


def serve(name: str, clip: Path, every: int, frames: int | None) -> None:
    """Runs once for each line of standard input, and answers with seconds."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print
    run = CONTESTANTS[name](clip, every, frames)
    for _ in sys.stdin:
        cpu, begun = time.process_time(), time.perf_counter()
        left_out = run()
        answer = [time.perf_counter() - begun - left_out, time.process_time() - cpu]
        print(json.dumps(answer), file=answers, flush=True)


class Contestant:
    """A process that runs one of `CONTESTANTS` when it is told; a context manager."""

    def __init__(self, name: str, clip: Path, *, every: int = EVERY, frames: int | None = None) -> None:
        line = [sys.executable, __file__, name, str(clip), "--every", str(every)]
        line += [] if frames is None else ["--frames", str(frames)]
        self._process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self) -> tuple[float, float]:
        """Wall and CPU seconds of one run."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print("once", file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"a contestant ended with status {self._process.wait()}; what it said is above")
        wall, cpu = json.loads(answer)
        return wall, cpu

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Serves one contestant."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--every", type=int, default=EVERY)
    parser.add_argument("--frames", type=int)
    options = parser.parse_args()
    serve(options.name, options.clip, options.every, options.frames)


if __name__ == "__main__":
    main()
