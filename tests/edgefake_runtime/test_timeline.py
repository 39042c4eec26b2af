"""The drawing of scores over time: where its points are."""

import re
from itertools import pairwise

import pytest

from edgefake_runtime.timeline import MOST_POINTS, clock, gauge, timeline
from edgefake_runtime.verdict import OperatingPoint

from .judged import face, track

POINT = OperatingPoint(0.7, 0.55, 0.8)


def path(html, group, kind):
    """Points (x, y) of a path of one track; empty where it has none."""
    inside = re.search(rf'<g class="t{group}">(.*?)</g>', html)[1]
    found = re.search(rf'class="{kind}" d="([^"]*)"', inside)
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", found[1])] if found else []


def test_points_are_at_their_time_and_score():
    html = timeline([track(3, face(0.0, 0.25), face(2.0, 0.9), face(4.0, 0.5))], POINT, duration_s=5.0)
    assert path(html, 0, "points") == path(html, 0, "line") == [(0, 750), (400, 100), (800, 500)]
    assert "<title>track #3</title>" in html


def test_frames_that_were_set_aside_are_hollow_and_off_the_line():
    html = timeline([track(0, face(0.0, 0.2), face(1.0, 0.9, judged=False), face(2.0, 0.4))], POINT, duration_s=2.0)
    assert path(html, 0, "line") == [(0, 800), (1000, 600)]
    assert path(html, 0, "holes") == [(500, 100)]
    alone = timeline([track(0, face(0.0, 0.2, judged=False))], POINT, duration_s=2.0)
    assert path(alone, 0, "line") == []


def test_the_band_and_the_threshold_are_drawn_where_they_are():
    html = timeline([track(0, face(0.0))], POINT, duration_s=1.0)
    band = re.search(r'<rect class="band" x="0" width="1000" y="([\d.]+)" height="([\d.]+)"', html)
    assert [float(value) for value in band.groups()] == pytest.approx([200, 250])
    assert re.search(r'class="threshold" d="M0 ([\d.]+)H1000"', html)[1] == "300.0"
    zones = {name: float(top) for top, name in re.findall(r'class="zone" style="top:([\d.]+)%">(\w+)', html)}
    assert zones == {"real": 72.5, "uncertain": 32.5, "fake": 10.0}
    without = timeline([track(0, face(0.0))], OperatingPoint(0.5, 0.48, 0.52), duration_s=1.0)
    assert "uncertain" not in without


def test_times_beyond_a_wrong_duration_are_inside_all_the_same():
    html = timeline([track(0, face(0.0), face(8.0))], POINT, duration_s=4.0)
    assert [x for x, _ in path(html, 0, "points")] == [0, 1000]
    assert timeline([track(0, face(0.0))], POINT, duration_s=0.0)


@pytest.mark.parametrize("seconds", [0.3, 4.0, 59.0, 60.0, 3600.0, 400_000.0])
def test_marks_of_time_are_few_and_even(seconds):
    html = timeline([track(0, face(0.0))], POINT, duration_s=seconds)
    lefts = [float(left) for left in re.findall(r'<span style="left:([\d.]+)%"', html)]
    assert 2 <= len(lefts) <= 6
    assert lefts[0] == 0
    assert max(lefts) <= 100
    steps = [later - earlier for earlier, later in pairwise(lefts)]
    assert steps == pytest.approx([steps[0]] * len(steps), abs=0.02)


def test_a_long_track_is_thinned_and_keeps_its_extremes():
    faces = [face(float(n), 0.5 + 0.1 * (n % 2)) for n in range(5000)]
    faces[1234], faces[4321] = face(1234.0, 0.99), face(4321.0, 0.01)
    points = path(timeline([track(0, *faces)], POINT, duration_s=5000.0), 0, "points")
    assert len(points) <= MOST_POINTS
    assert (246.8, 10.0) in points
    assert (864.2, 990.0) in points
    assert points == sorted(points)


def test_clocks_and_gauges():
    shown = [clock(seconds) for seconds in (0, 1.24, 59.96, 61, 3599.96, 3725.5)]
    assert shown == ["0:00.0", "0:01.2", "1:00.0", "1:01.0", "1:00:00.0", "1:02:05.5"]
    assert 'class="score" style="left:12.30%"' in gauge(0.123, POINT)
    assert 'class="band" style="left:55.00%;width:25.00%"' in gauge(0.123, POINT)
