"""Results of detection that tests make up."""

from pathlib import Path

from edgefake_runtime.results import FaceFrame, FaceTrack, InputResult, Timing

BOX = (16.0, 10.0, 40.0, 38.0)


def face(time_s, score=0.3, *, box=BOX, judged=True):
    return FaceFrame(time_s, box, 0.99, score, 0.5, 0.1, judged)


def track(number, *faces, score=None, thin=False):
    mean = sum(f.score for f in faces) / len(faces)
    return FaceTrack(number, mean if score is None else score, thin, faces[0].time_s, faces[-1].time_s, faces)


def video(path, *tracks, verdict="real", scored=3, total=30, size=(64, 48), seconds=1.2, error=None):
    """A video of `size` pixels; its score is its highest track's."""
    return InputResult(
        path=str(path),
        kind="video",
        verdict="error" if error else verdict if tracks else "no-face",
        score=max((t.score for t in tracks), default=None),
        error=error,
        duration_s=seconds,
        width=size[0],
        height=size[1],
        frames_total=total,
        frames_scored=scored,
        faces=tracks,
        timing_s=Timing(0.0, 0.0, 0.0, 0.0),
    )


SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"
