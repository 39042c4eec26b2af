"""What detection returns; the JSON of `edgefake detect` has the same fields in the same order."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

__all__ = [
    "FaceFrame",
    "FaceTrack",
    "FrameResult",
    "InputResult",
    "LiveTrack",
    "ModelInfo",
    "Report",
    "Timing",
    "Verdict",
]

Verdict = Literal["fake", "real", "uncertain", "no-face", "error"]


@dataclass(frozen=True)
class FaceFrame:
    """One face in one frame.

    Attributes:
        time_s: of the frame, seconds from the start.
        box: x0, y0, x1, y1 of the face, pixels of the frame.
        detection: the face detector's probability that it is a face.
        score: P(fake).
        sharpness: of the crop, as `edgefake_runtime.quality` measures it.
        turn: of the head: 0 from the front, 0.5 and more towards profile.
        judged: False where the face is below the model's floor of quality and does not count.
    """

    time_s: float
    box: tuple[float, float, float, float]
    detection: float
    score: float
    sharpness: float
    turn: float
    judged: bool


@dataclass(frozen=True)
class FaceTrack:
    """One face over time.

    Attributes:
        track: number of the track, from 0 in order of appearance.
        score: P(fake) of the track, from the log-odds of its judged frames; of all, where none is judged.
        thin: too few judged frames for a verdict; beside other tracks it does not count.
        start_s, end_s: times of its first and last scored frame.
        frames: its scored frames in order of time.
    """

    track: int
    score: float
    thin: bool
    start_s: float
    end_s: float
    frames: tuple[FaceFrame, ...]


@dataclass(frozen=True)
class LiveTrack:
    """One face of a stream up to now.

    Attributes:
        track: number of the track, from 0 in order of appearance.
        verdict: on this track.
        score: P(fake) of the track, as `FaceTrack` has it, from its latest frames.
        thin: too few judged frames for a verdict; beside other tracks it does not count.
        start_s, end_s: times of its first and last scored frame up to now.
        frames_scored: in how many frames it was found.
        face: where it is in this frame; None where it was not found, and its track waits for it.
    """

    track: int
    verdict: Verdict
    score: float
    thin: bool
    start_s: float
    end_s: float
    frames_scored: int
    face: FaceFrame | None


@dataclass(frozen=True)
class FrameResult:
    """What is known after a frame of a stream.

    Attributes:
        frame: number of the frame, from 0; those that were skipped count too.
        time_s: of the frame, seconds from the start.
        width, height: of the frame, pixels.
        verdict: of the worst track that goes on: "fake", "real", "uncertain" or "no-face".
        score: P(fake) of that track, as `InputResult` has it; None without a face.
        tracks: those that go on, in order of appearance. A track that has ended is not told of any more.
    """

    frame: int
    time_s: float
    width: int
    height: int
    verdict: Verdict
    score: float | None
    tracks: tuple[LiveTrack, ...]


@dataclass(frozen=True)
class Timing:
    """Wall-clock seconds: waiting for frames, finding faces, classifying, and all in all.

    Opening the file counts as waiting. Where frames are decoded beside the scoring, decoding takes longer than that.
    """

    decode: float
    faces: float
    classify: float
    total: float


@dataclass(frozen=True)
class InputResult:
    """The verdict on one picture or video.

    Attributes:
        path: as given; bytes that are not UTF-8 appear as surrogate escapes. Of frames, the name they were given.
        kind: "video" or "image"; of an input with an error, by its suffix.
        verdict: "fake", "real", "uncertain", "no-face" or "error".
        score: P(fake) of the worst track with evidence enough, or of the worst where none has; None without a face or
            with an error.
        error: one line, or None.
        duration_s: of a video, None where unknown and for pictures.
        width, height: pixels; None with an error.
        frames_total: of the input; 1 for a picture, None where unknown.
        frames_scored: frames that were searched for faces.
        faces: tracks.
        timing_s: where the time went.
    """

    path: str
    kind: Literal["video", "image"]
    verdict: Verdict
    score: float | None
    error: str | None
    duration_s: float | None
    width: int | None
    height: int | None
    frames_total: int | None
    frames_scored: int
    faces: tuple[FaceTrack, ...]
    timing_s: Timing


@dataclass(frozen=True)
class ModelInfo:
    """The model that gave the scores; `threshold` is the P(fake) in force, `sha256` of the whole file."""

    name: str
    file: str
    sha256: str
    bits: int
    threshold: float


@dataclass(frozen=True)
class Report:
    """All results of one call; `edgefake` is the version."""

    edgefake: str
    model: ModelInfo
    inputs: tuple[InputResult, ...]

    def to_json(self) -> str:
        """Pure ASCII JSON, indented by two; lone surrogates stand as escapes."""
        return json.dumps(asdict(self), indent=2, allow_nan=False)
