"""`edgefake detect --camera`: a window with verdicts, or a line of JSON for each scored frame."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgefake_runtime.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgefake_runtime import Camera, DetectOptions, Detector, FrameResult
    from edgefake_runtime.window import Window

__all__ = ["require_alone", "watch"]

TITLE = "edgefake"

LOOK_S = 0.05
"""How long the window waits for the next frame before it looks after its keys."""


def require_alone(*, files: bool, **others: object) -> None:
    """Refuse files and options that make no sense beside --camera.

    Raises:
        UsageError: names the first one that is set.
    """
    if files:
        raise UsageError("--camera: expected no files beside it, got some; judge them in another run")
    for option, value in others.items():
        if value:
            raise UsageError(f"--camera: expected no --{option} beside it, got one; leave it away")


def watch(source: str, model: Path | None, options: "DetectOptions", *, headless: bool) -> None:
    """Judge a camera's newest frames until it is stopped: Ctrl-C, a termination, q in the window, a reader that goes.

    Raises:
        InputError: the camera is not there, or has gone.
    """
    import cv2

    from edgefake_runtime import Camera, Detector
    from edgefake_runtime.window import Window, why_no_window

    obstacle = None if headless else why_no_window()
    with Camera(source, max_megapixels=options.max_megapixels, show=not headless and obstacle is None) as camera:
        if obstacle is not None:
            typer.echo(f"edgefake: no window, but JSON lines, as with --headless: {obstacle}", err=True)
        detector = Detector(model, options=options)
        if options.threads is not None:
            cv2.setNumThreads(options.threads)
        with _stopped_by_signals(camera):
            results = detector.stream(camera.frames(options.every, options.max_frames), name=camera.name)
            if headless or obstacle is not None:
                _print(results, camera)
            else:
                with Window(TITLE) as window:
                    _show(results, camera, detector, window)
            if not camera.close():
                _leave()


@contextmanager
def _stopped_by_signals(camera: "Camera") -> Iterator[None]:
    """Ctrl-C and a termination end the camera after the frame at hand; a second one ends the command at once."""
    before = {int(number): signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, _: object) -> None:
        camera.stop()
        signal.signal(number, before[number])

    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # who ignores Ctrl-C goes on doing so
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print(results: "Iterator[FrameResult]", camera: "Camera") -> None:
    try:
        for result in results:
            typer.echo(_line(result, camera.dropped))
    except BrokenPipeError:  # who reads has enough
        with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _line(result: "FrameResult", dropped: int) -> str:
    fields = asdict(result)
    first = {"frame": fields.pop("frame"), "time_s": fields.pop("time_s"), "dropped": dropped}
    return json.dumps(first | fields, allow_nan=False)


def _show(results: "Iterator[FrameResult]", camera: "Camera", detector: "Detector", window: "Window") -> None:
    """Show every frame with the latest verdicts, which another thread finds, until the camera or the window ends."""
    from concurrent.futures import ThreadPoolExecutor

    latest: list[FrameResult] = []

    def judge() -> None:
        try:
            for result in results:
                latest[:] = [result]
        finally:
            camera.stop()

    with ThreadPoolExecutor(1) as pool:
        judging = pool.submit(judge)
        try:
            index = -1
            while not judging.done():
                frame = camera.newest(after=index, timeout_s=LOOK_S)
                if frame is not None:
                    index = frame.index
                    window.show(_drawn(frame.image, latest[0] if latest else None, detector))
                if window.is_closed():
                    break
        finally:
            camera.stop()  # or the pool would wait for ever
        judging.result()


def _drawn(image: "NDArray[np.uint8]", result: "FrameResult | None", detector: "Detector") -> "NDArray[np.uint8]":
    from edgefake_runtime.drawing import draw, face_mark, verdict_words

    if result is None:
        return image
    seen = ((track, track.face) for track in result.tracks if track.face is not None)
    marks = [face_mark(track.track, track.verdict, track.score, face) for track, face in seen]
    words = verdict_words(result.verdict, result.score)
    return draw(image, marks, words, crop=detector.classifier.metadata.crop)


def _leave() -> None:
    """End at once: the camera's reader hangs in a read, and would be torn down in the middle of it."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(0)
