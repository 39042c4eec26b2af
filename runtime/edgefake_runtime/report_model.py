"""The part of a report page that tells about the model: what it is, what it costs to believe it, its limits."""

import json
from html import escape
from pathlib import Path

from .detector import Detector
from .errors import printable
from .metadata import ModelMetadata, Roc
from .scorer import MIN_DETECTION

__all__ = ["limits", "model_section"]

FALSE_POSITIVES = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Shares of real faces called fake for which a page shows what is found."""


def model_section(detector: Detector) -> str:
    """The model by name, file and hash, how it is calibrated, and its operating points: HTML."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>\n" for name, value in _facts(detector))
    roc = detector.classifier.metadata.roc
    points = "" if roc is None else _points(roc)
    return f"<section>\n<h2>Model</h2>\n<dl>\n{rows}</dl>\n{points}</section>\n"


def _facts(detector: Detector) -> list[tuple[str, str]]:
    model, metadata, point = detector.model, detector.classifier.metadata, detector.operating_point
    own = "" if point.threshold == metadata.threshold else f" (the model's own: {metadata.threshold:.3f})"
    return [
        ("name", escape(model.name)),
        ("file", escape(printable(Path(model.file)))),
        ("SHA-256", f"<code>{escape(model.sha256)}</code>"),
        ("weights", f"{model.bits} bits, {escape(metadata.recipe)}; {escape(metadata.architecture)}"),
        ("input", f"{metadata.input_size}x{metadata.input_size} pixels"),
        ("trained on", _trained_on(metadata)),
        ("calibration", escape(metadata.calibration.origin)),
        ("threshold", f"{point.threshold:.3f}{own}"),
        ("uncertain", f"{point.low:.3f} to {point.high:.3f}; {escape(metadata.uncertain.origin)}"),
        ("set aside", _floor(metadata)),
    ]


def _trained_on(metadata: ModelMetadata) -> str:
    data = metadata.training.get("data")
    if data is None:
        return "the file does not say"
    return escape(data if isinstance(data, str) else json.dumps(data))


def _floor(metadata: ModelMetadata) -> str:
    floor = metadata.quality
    if floor is None:
        return "nothing: small, soft and turned faces are judged like any other"
    return f"faces {floor.words}; {escape(floor.origin)}"


def _points(roc: Roc) -> str:
    """Thresholds and what they cost and find, as far as the stored curve knows."""
    rows = []
    for point in roc.points(FALSE_POSITIVES):
        shares = (f"{point.threshold:.3f}", _percent(point.false_positives), _percent(point.true_positives))
        cells = "".join(f'<td class="number">{cell}</td>' for cell in shares)
        rows.append(f"<tr>{cells}</tr>\n")
    if not rows:
        return ""
    head = "".join(
        f'<th class="number">{name}</th>' for name in ("fake from", "of the real called fake", "of the fake found")
    )
    return (
        f"<h3>What other thresholds cost and find</h3>\n<table>\n<tr>{head}</tr>\n{''.join(rows)}</table>\n"
        f'<p class="soft">Measured: {escape(roc.origin)}; {roc.reals} real crops.</p>\n'
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def limits(detector: Detector, *, heatmap: bool) -> str:
    """What a reader must know before believing a score: HTML."""
    items = "".join(f"<li>{item}</li>\n" for item in _limits(detector, heatmap=heatmap))
    return f'<section>\n<h2>Limits</h2>\n<ul class="limits">\n{items}</ul>\n</section>\n'


def _limits(detector: Detector, *, heatmap: bool) -> list[str]:
    metadata, options = detector.classifier.metadata, detector.options
    often = "every frame" if options.every == 1 else f"one frame in {options.every}"
    most = "" if options.max_frames is None else f", and of those the first {options.max_frames}"
    size = "40 pixels, and in proportion above 1080p" if options.min_face is None else f"{options.min_face} pixels"
    items = [
        "A score is no proof, in either direction: fakes are called real, and real faces fake.",
        f"The model knows what it was trained on: {_trained_on(metadata)}. Of other ways to make fakes, other people, "
        "cameras and codecs it may know nothing.",
        "P(fake) is a share of fakes only among faces like those of its calibration: "
        f"{escape(metadata.calibration.origin)}.",
        f"Of a video, {often} is looked at{most}. Only faces are judged, one by one: not the sound, not the rest of "
        "the picture, not how a face moves.",
        f"Faces below {size} are not looked for, nor those of which the face detector is less than "
        f"{100 * MIN_DETECTION:.0f} % sure.",
        "Whoever has the model can make a fake that it calls real.",
    ]
    if heatmap:
        items.append(
            "The colours on a face tell what moves this model's score when it is blurred, not where a face was changed."
        )
    return items
