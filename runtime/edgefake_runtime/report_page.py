"""One page about judged inputs: verdicts, scores over time, the faces that tell most, the model and its limits.

The page is one HTML file that needs no other: style, drawings and pictures are in it, and there is no script.
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path

from . import __version__
from .detector import Detector
from .errors import InputError, printable
from .report_model import limits, model_section
from .results import FaceTrack, InputResult
from .telling import FaceCrop, cut_crops, most_telling
from .timeline import TRACK_COLOURS, clock, gauge, timeline
from .verdict import worst

__all__ = ["HEAD", "report_page"]

HEAD = '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="generator" content="edgefake'
"""How every page begins, and so which file is one."""

MOST_ROWS = 40
"""Tracks of an input that have a row; of a crowd, those with the highest scores."""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser may do with the page: show it, and load nothing."""

PROOF = (
    "It says how much a small model, which learned from certain fakes, is reminded of them. It must not be the only "
    "ground for a decision about a person."
)

OnCrop = Callable[[], None]


def report_page(
    results: Sequence[InputResult],
    detector: Detector,
    *,
    heatmap: bool = False,
    when: datetime | None = None,
    on_crop: OnCrop | None = None,
) -> str:
    """The page as text in pure ASCII.

    Every input is read a second time, as far as the shown faces need it, and one after the other.

    Args:
        results: of `detector.detect` or `detect_many`.
        detector: the one that gave them.
        heatmap: show beside each face what spoke for fake and for real.
        when: the page's date; now when None.
        on_crop: called after each face that was cut, for progress.
    """
    moment = when or datetime.now().astimezone()
    sections = [
        _section(number, result, detector, heatmap=heatmap, on_crop=on_crop)
        for number, result in enumerate(results, start=1)
    ]
    title = f"{len(results)} inputs" if len(results) != 1 else _name(results[0])
    page = (
        f'{HEAD} {__version__}">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>edgefake: {title}</title>\n<style>\n{_style()}</style>\n</head>\n<body>\n"
        f'<h1>edgefake report</h1>\n<p class="soft">{moment:%Y-%m-%d %H:%M %Z}, edgefake {__version__}, model '
        f"{escape(detector.model.name)}</p>\n"
        f'<p class="proof"><b>A score is no proof.</b> {PROOF}</p>\n'
        f"{_contents(results)}{''.join(sections)}{model_section(detector)}{limits(detector, heatmap=heatmap)}"
        "</body>\n</html>\n"
    )
    return page.encode("ascii", "xmlcharrefreplace").decode("ascii")


def text(path: str) -> str:
    """A path for HTML: nothing in it is markup, and it is on one line."""
    return escape(printable(Path(path)))


def _name(result: InputResult) -> str:
    return text(Path(result.path).name or result.path)


def _style() -> str:
    return (files("edgefake_runtime") / "report_page.css").read_text(encoding="utf-8")


def _contents(results: Sequence[InputResult]) -> str:
    """A line for every input, where there are several."""
    if len(results) < 2:
        return ""
    rows = "".join(
        f'<tr><td class="{result.verdict}"><b>{result.verdict}</b></td><td class="number">{_share(result.score)}</td>'
        f'<td class="name"><a href="#input-{number}">{text(result.path)}</a></td></tr>\n'
        for number, result in enumerate(results, start=1)
    )
    return f'<table>\n<tr><th>verdict</th><th class="number">P(fake)</th><th>input</th></tr>\n{rows}</table>\n'


def _share(score: float | None) -> str:
    return "-" if score is None else f"{score:.3f}"


# An input


def _section(number: int, result: InputResult, detector: Detector, *, heatmap: bool, on_crop: OnCrop | None) -> str:
    parts = [f'<section id="input-{number}">\n<h2>{_name(result)}</h2>\n{_verdict(result, detector)}']
    if result.faces:
        listed = sorted(result.faces, key=lambda track: (not track.thin, track.score), reverse=True)
        parts.append(_scores(result, listed[:TRACK_COLOURS], detector))
        parts.append(_faces(result, listed[:TRACK_COLOURS], detector, heatmap=heatmap, on_crop=on_crop))
        parts.append(_tracks(result, listed, detector))
    return "".join(parts) + "</section>\n"


def _verdict(result: InputResult, detector: Detector) -> str:
    score = "" if result.score is None else f"<span>P(fake) <b>{result.score:.3f}</b></span>"
    bar = "" if result.score is None else gauge(result.score, detector.operating_point)
    return (
        f'<p class="verdict"><b class="{result.verdict}">{result.verdict}</b>{score}</p>\n{bar}'
        f'<p>{_reason(result, detector)}</p>\n<p class="soft">{text(result.path)}. {_facts(result)}</p>\n'
    )


def _reason(result: InputResult, detector: Detector) -> str:
    """The verdict in a sentence."""
    point = detector.operating_point
    decides = worst(result.faces)
    if result.error is not None:
        return escape(result.error)
    if decides is None:
        return "No face was found that is sure enough to be judged. That says nothing about the rest of the picture."
    which = f"track #{decides.track}" if len(result.faces) > 1 else "the face"
    if decides.thin:
        return f"Too few frames of {which} could be judged for a verdict."
    if result.verdict == "uncertain":
        return (
            f"The score of {which} lies in the band from {point.low:.3f} to {point.high:.3f}, in which this model "
            "cannot tell."
        )
    most = f", the highest of {len(result.faces)} tracks," if len(result.faces) > 1 else ""
    place = "at or above" if result.verdict == "fake" else "below"
    return f"The score of {which}{most} is {place} the threshold of {point.threshold:.3f}."


def _facts(result: InputResult) -> str:
    if result.error is not None:
        return "Not judged."
    size = f"{result.width}x{result.height} pixels"
    if result.kind == "image":
        return f"Picture, {size}."
    length = f", {clock(result.duration_s)}" if result.duration_s is not None else ""
    total = f" of {result.frames_total}" if result.frames_total is not None else ""
    return f"Video, {size}{length}; {result.frames_scored}{total} frames were searched for faces."


def _colour(number: int) -> str:
    return f"t{number}" if number < TRACK_COLOURS else ""


def _scores(result: InputResult, tracks: Sequence[FaceTrack], detector: Detector) -> str:
    """Scores over time of a video."""
    if result.kind == "image":
        return ""
    drawing = timeline(tracks, detector.operating_point, duration_s=result.duration_s or 0.0)
    keys = [
        f'<li><span class="dot {_colour(n)}"></span>track #{track.track}, all in all {track.score:.3f}</li>'
        for n, track in enumerate(tracks)
    ]
    if any(not face.judged for track in tracks for face in track.frames):
        keys.append('<li><span class="dot hollow"></span>set aside: too small, soft or turned to count</li>')
    more = len(result.faces) - len(tracks)
    if more > 0:
        keys.append(f"<li>{more} tracks with lower scores or less evidence are not drawn</li>")
    return (
        f'<h3>P(fake) over time</h3>\n{drawing}\n<ul class="key">{"".join(keys)}</ul>\n'
        '<p class="soft">A point is a face in one frame. Shaded: the band in which the model cannot tell; '
        f"dashed: the threshold, {detector.operating_point.threshold:.3f}.</p>\n"
    )


def _faces(
    result: InputResult,
    tracks: Sequence[FaceTrack],
    detector: Detector,
    *,
    heatmap: bool,
    on_crop: OnCrop | None,
) -> str:
    chosen = {track.track: most_telling(track) for track in tracks}
    try:
        crops = cut_crops(result, detector, chosen, heatmap=heatmap, on_crop=on_crop)
    except InputError as error:
        return f"<h3>Faces</h3>\n<p>They could not be cut: {escape(str(error))}</p>\n"
    about = "Red speaks for fake, blue for real: covering it moves the score." if heatmap else ""
    order = "" if result.kind == "image" else "Of each track, the frames that speak most for fake come first, "
    order += "those that speak most for real last. " if order else ""
    strips = "".join(_strip(n, track, crops[track.track], result) for n, track in enumerate(tracks))
    note = f'<p class="soft">{order}{about}</p>\n' if order or about else ""
    return f"<h3>Faces that tell most</h3>\n{note}{strips}"


def _strip(number: int, track: FaceTrack, crops: Sequence[FaceCrop], result: InputResult) -> str:
    pairs = " pairs" if any(crop.heat for crop in crops) else ""
    figures = "".join(_figure(crop, track, result) for crop in crops)
    return (
        f'<p><span class="dot {_colour(number)}"></span>track #{track.track}</p>\n'
        f'<div class="crops{pairs}">\n{figures}</div>\n'
    )


def _figure(crop: FaceCrop, track: FaceTrack, result: InputResult) -> str:
    when = "" if result.kind == "image" else f" at {clock(crop.face.time_s)}"
    aside = "" if crop.face.judged else ", set aside"
    pictures = _picture(crop.picture, f"face of track {track.track}{when}")
    if crop.heat is not None:
        pictures += _picture(crop.heat, f"what the model looked at{when}")
    return (
        f'<figure><div class="pictures">{pictures}</div>'
        f"<figcaption><b>{crop.face.score:.3f}</b>{when}{aside}</figcaption></figure>\n"
    )


def _picture(jpeg: bytes, words: str) -> str:
    return f'<img alt="{words}" width="192" height="192" src="data:image/jpeg;base64,{b64encode(jpeg).decode()}">'


def _tracks(result: InputResult, listed: Sequence[FaceTrack], detector: Detector) -> str:
    decides = worst(result.faces)
    rows = "".join(_row(n, track, detector, decides=track is decides) for n, track in enumerate(listed[:MOST_ROWS]))
    more = len(listed) - MOST_ROWS
    rest = f'<p class="soft">{more} more tracks with lower scores or less evidence.</p>\n' if more > 0 else ""
    head = '<th>track</th><th>verdict</th><th class="number">P(fake)</th><th>time</th><th>evidence</th>'
    return f"<h3>Tracks</h3>\n<table>\n<tr>{head}</tr>\n{rows}</table>\n{rest}"


def _row(number: int, track: FaceTrack, detector: Detector, *, decides: bool) -> str:
    verdict = detector.operating_point.verdict(track.score, thin=track.thin)
    dot = f'<span class="dot {_colour(number)}"></span>' if _colour(number) else ""
    judged = sum(face.judged for face in track.frames)
    evidence = f"{judged} of {len(track.frames)} frames judged"
    evidence += ": thin" if track.thin else ""
    evidence += "; decides" if decides else ""
    span = clock(track.start_s) + (f" to {clock(track.end_s)}" if track.end_s > track.start_s else "")
    return (
        f'<tr><td>{dot}#{track.track}</td><td class="{verdict}">{verdict}</td>'
        f'<td class="number">{track.score:.3f}</td><td>{span}</td><td>{evidence}</td></tr>\n'
    )
