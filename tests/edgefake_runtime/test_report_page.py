"""The page about judged inputs: sound HTML that needs nothing else, says what it must, and takes no name for markup."""

import base64
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from edgefake_runtime import DetectOptions, Detector, Roc, __version__
from edgefake_runtime.report_page import HEAD, MOST_ROWS, report_page

from .judged import SAMPLES, face, track, video

VOID = {"meta", "img", "br", "link", "input", "hr"}
WHEN = datetime(2030, 2, 1, 13, 45, tzinfo=UTC)


class Page(HTMLParser):
    """Elements and text of a page; wrongly nested elements fail the test."""

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.text = [], [], ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def attributes(self, tag, name):
        return [attrs[name] for found, attrs in self.elements if found == tag and name in attrs]


@pytest.fixture(scope="module")
def detector():
    return Detector()


@pytest.fixture(scope="module")
def results(detector):
    return list(detector.detect_many([SAMPLES / "real.mp4", SAMPLES / "astronaut.png"]))


@pytest.fixture(scope="module")
def html(detector, results):
    return report_page(results, detector, heatmap=True, when=WHEN)


def words(html):
    return " ".join(Page(html).text.split())


def test_a_page_is_sound_and_says_verdict_score_model_date_and_limits(html, detector, results):
    text = words(html)
    assert html.startswith(HEAD)
    assert html.isascii()
    for result in results:
        assert f"{result.verdict}P(fake) {result.score:.3f}" in text
    for part in (
        detector.model.sha256,
        detector.model.name,
        "2 bits",
        "112x112 pixels",
        "DeepFake Detection Challenge",
    ):
        assert part in text
    for part in ("A score is no proof", "2030-02-01 13:45 UTC", f"edgefake {__version__}", "one frame in 30"):
        assert part in text
    assert "Platt scaling" in text
    point = detector.operating_point
    assert f"{point.low:.3f} to {point.high:.3f}" in text


def test_a_page_needs_no_other_file_and_no_script(html):
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.elements}
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.attributes("img", "src"))
    assert all(link.startswith("#input-") for link in page.attributes("a", "href"))
    assert not re.search(r"https?:|@import|url\(", html)
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]


def test_a_page_fits_a_phone_and_the_dark(html):
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in Page(html).elements
    assert "prefers-color-scheme: dark" in html


def test_faces_are_shown_with_what_the_model_looked_at_beside_them(html, detector, results):
    plain = report_page(results, detector, when=WHEN)
    shown = len(results[0].faces[0].frames) + 1  # four of the video, one of the picture
    assert len(Page(plain).attributes("img", "src")) == shown
    sources = Page(html).attributes("img", "src")
    assert len(sources) == 2 * shown
    images = [cv2.imdecode(np.frombuffer(base64.b64decode(s.split(",")[1]), np.uint8), 1) for s in sources]
    assert all(image.shape == (192, 192, 3) for image in images)
    assert all(Page(html).attributes("img", "alt"))


def gone(detector, name):
    """The page about a video and an error of this name."""
    return Page(
        report_page([video(name, track(0, face(0.0))), video(name, error=f"{name}: expected a video")], detector)
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ('<b>"x".mp4', '<b>"x".mp4'),
        ("'><script>alert(1)</script>", "'><script>alert(1)</script>"),
        ("a&lt;\n.mp4", "a&lt;\\n.mp4"),
        ("\udcff.mp4", "\\xff.mp4"),
    ],
)
def test_a_name_is_never_markup(detector, name, shown):
    page, innocent = gone(detector, name), gone(detector, "innocent.mp4")
    assert page.elements == innocent.elements
    assert page.text.count(shown) >= 3


def test_a_hostile_file_that_exists_is_shown_by_its_name(detector, tmp_path):
    hostile = tmp_path / '<b>"x".png'
    shutil.copy(SAMPLES / "astronaut.png", hostile)
    page = Page(report_page([detector.detect(hostile)], detector))
    assert page.text.count('<b>"x".png') == 3  # title, heading, path
    assert len(page.attributes("img", "src")) == 1


def test_several_inputs_have_sections_that_a_list_leads_to(html):
    page = Page(html)
    assert page.attributes("a", "href") == ["#input-1", "#input-2"]
    assert [i for i in page.attributes("section", "id") if i] == ["input-1", "input-2"]


def test_thin_evidence_set_aside_frames_and_what_decides_are_named(detector):
    thin = track(0, face(0.0, 0.9), thin=True)
    sound = track(1, face(0.0, 0.2), face(1.0, 0.3), face(2.0, 0.8, judged=False), score=0.25)
    text = words(report_page([video("gone.mp4", thin, sound)], detector))
    assert "1 of 1 frames judged: thin" in text
    assert "2 of 3 frames judged; decides" in text
    assert "set aside: too small, soft or turned" in text
    alone = words(report_page([video("gone.mp4", thin, verdict="uncertain")], detector))
    assert "Too few frames of the face could be judged for a verdict" in alone


def test_no_face_and_errors_are_said_without_a_score(detector):
    text = words(report_page([video("a.mp4"), video("b.mp4", error="b.mp4: expected a video, got none")], detector))
    assert "no-face No face was found" in text
    assert "error b.mp4: expected a video, got none" in text
    assert "P(fake) over time" not in text


def test_operating_points_come_from_the_models_curve(monkeypatch):
    detector = Detector(options=DetectOptions(threshold=0.8))
    roc = Roc((0.9, 0.7, 0.4), (0.008, 0.04, 0.19), (0.2, 0.5, 0.9), 500, "made up <here>")
    monkeypatch.setattr(detector.classifier, "metadata", replace(detector.classifier.metadata, roc=roc))
    html = report_page([], detector)
    rows = re.findall(
        r'<tr><td class="number">([\d.]+)</td><td class="number">([\d.]+) %</td><td class="number">([\d.]+) %', html
    )
    assert rows == [("0.900", "0.8", "20.0"), ("0.700", "4.0", "50.0"), ("0.400", "19.0", "90.0")]
    assert "made up &lt;here&gt;; 500 real crops" in html
    assert "0.800 (the model's own: 0.500)" in words(html)


def test_a_crowd_has_as_many_rows_as_fit_a_page(detector):
    crowd = [track(n, face(0.0, n / 100)) for n in range(MOST_ROWS + 7)]
    html = report_page([video("gone.mp4", *crowd)], detector)
    assert html.count("frames judged") == MOST_ROWS
    assert "7 more tracks" in html
    assert f"{MOST_ROWS + 7 - 8} tracks with lower scores" in html
