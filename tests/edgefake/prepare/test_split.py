"""No identity in two splits, whoever was swapped with whom; shares as near as groups allow."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefake.prepare.split import SLACK, components, divide
from edgefake.prepare.tree import SourceVideo
from edgefake_runtime.errors import InputError

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def video(source, label, *identities, official=False):
    return SourceVideo(source, label, tuple(sorted(identities)), official_test=official)


def faceforensics(pairs, methods=2):
    """Mutually paired videos, as in FaceForensics++: 000_001 and 001_000."""
    reals = [video(f"real {n}", "real", f"p{n}") for n in range(2 * pairs)]
    fakes = [
        video(f"fake {method} {n}", "fake", f"p{n}", f"p{n ^ 1}") for method in range(methods) for n in range(2 * pairs)
    ]
    return reals + fakes


def everybody(people, clips=3):
    """Everybody swapped with everybody, as among the actors of Deep Fake Detection."""
    reals = [video(f"real {n} {k}", "real", f"p{n}") for n in range(people) for k in range(clips)]
    fakes = [video(f"fake {a} {b}", "fake", f"p{a}", f"p{b}") for a in range(people) for b in range(people) if a != b]
    return reals + fakes


def splits_of_identities(videos, division):
    found = defaultdict(set)
    for item in videos:
        if item.source in division.split:
            for identity in item.identities:
                found[identity].add(division.split[item.source])
    return found


LABELS = st.sampled_from(["real", "fake"])
GRAPHS = st.lists(
    st.tuples(LABELS, st.sets(st.integers(0, 12), min_size=1, max_size=3), st.booleans()), min_size=1, max_size=40
)
PERCENT = st.sampled_from([(80, 10, 10), (50, 50, 0), (100, 0, 0), (0, 0, 100), (34, 33, 33)])


@settings(max_examples=100, deadline=None)
@given(GRAPHS, PERCENT, st.sampled_from(["auto", "identity"]), st.booleans(), st.integers(0, 3))
def test_no_identity_stands_in_two_splits(graph, percent, split_by, official, seed):
    videos = [
        video(f"v{n}", label, *(f"p{k}" for k in people), official=test)
        for n, (label, people, test) in enumerate(graph)
    ]
    shares = dict(zip(SHARES, (part / 100 for part in percent), strict=True))
    division = divide(videos, shares, split_by=split_by, official_test=official, seed=seed)
    assert all(len(found) == 1 for found in splits_of_identities(videos, division).values())
    gone = {*division.crossing, *division.conflicting}
    unplaced = {v.source for v in videos} - set(division.split) - gone
    assert not unplaced or (official and not any(shares[name] for name in ("train", "val")))
    assert not gone & set(division.split)
    for group in set(division.group.values()):
        assert len({division.split[source] for source, own in division.group.items() if own == group}) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.integers(0, 20), min_size=1, max_size=4), max_size=25))
def test_components_are_those_of_a_flood_fill(links):
    links = [sorted(map(str, link)) for link in links]
    roots = components(links)
    for start in roots:
        seen, front = {start}, [start]
        while front:
            key = front.pop()
            new = {other for link in links if key in link for other in link} - seen
            seen |= new
            front += new
        assert {key for key in roots if roots[key] == roots[start]} == seen
        assert roots[start] == min(seen)


def test_mutual_pairs_keep_their_shares_and_lose_nothing():
    videos = faceforensics(500, methods=5)
    division = divide(videos, SHARES)
    counts = Counter((division.split[item.source], item.label) for item in videos)
    assert counts["train", "real"], counts["train", "fake"] == (800, 4000)
    assert (counts["val", "real"], counts["test", "real"]) == (100, 100)
    assert division.crossing == division.notes == ()
    assert len(set(division.group.values())) == 500


def test_big_and_small_groups_share_labels_alike():
    """An original with 0, 3 or 8 fakes, as in DFDC: each split has its share of either label."""
    videos = [video(f"r{n}", "real", f"p{n}") for n in range(300)]
    videos += [video(f"f{n} {k}", "fake", f"p{n}") for n in range(300) for k in range((0, 3, 8)[n % 3])]
    division = divide(videos, SHARES)
    for label in ("real", "fake"):
        of_label = [division.split[item.source] for item in videos if item.label == label]
        for name, share in SHARES.items():
            assert of_label.count(name) / len(of_label) == pytest.approx(share, abs=0.02)


def test_a_component_that_spans_all_is_taken_apart_by_identity():
    videos = everybody(28)
    division = divide(videos, SHARES)
    kept = Counter((division.split[item.source], item.label) for item in videos if item.source in division.split)
    assert sum(kept.values()) + len(division.crossing) == len(videos)
    assert all(item.source in division.split for item in videos if item.label == "real")
    pairs = {name: min(kept[name, "real"], kept[name, "fake"]) for name in SHARES}
    assert sum(pairs.values()) >= 0.85 * 84
    for name, share in SHARES.items():
        assert pairs[name] / sum(pairs.values()) == pytest.approx(share, abs=0.07)
    assert f"{len(division.crossing)} videos that show people of two splits were dropped" in division.notes[0]


def test_a_component_that_fits_into_train_stays_whole():
    videos = [*everybody(6, clips=5), *(video(f"single {n}", "real", f"s{n}") for n in range(12))]
    share = 60 / len(videos)
    assert 0.8 < share <= 0.8 + SLACK
    division = divide(videos, SHARES)
    assert division.crossing == ()
    assert {division.split[item.source] for item in videos[:60]} == {"train"}


def test_by_component_one_for_all_is_refused():
    with pytest.raises(InputError, match="--split-by identity"):
        divide(everybody(5), SHARES, split_by="component")


def test_small_sets_still_fill_every_split_with_both_labels():
    videos = faceforensics(3, methods=1)
    division = divide(videos, SHARES)
    counts = Counter((division.split[item.source], item.label) for item in videos)
    assert all(counts[name, label] == 2 for name in SHARES for label in ("real", "fake"))
    assert any("train holds 33%" in note for note in division.notes)


def test_the_seed_decides_and_repeats():
    videos = faceforensics(40)
    assert divide(videos, SHARES, seed=1).split == divide(videos[::-1], SHARES, seed=1).split
    assert divide(videos, SHARES, seed=1).split != divide(videos, SHARES, seed=2).split


def test_official_test_videos_stay_and_their_people_leave_the_rest():
    videos = [
        *faceforensics(10),
        video("official real", "real", "p0", official=True),
        video("official fake", "fake", "p0", "p99", official=True),
        video("of the other one", "real", "p99"),
    ]
    division = divide(videos, SHARES, official_test=True)
    test = {source for source, name in division.split.items() if name == "test"}
    assert test == {"official real", "official fake"}
    linked = {item.source for item in videos if {"p0", "p99"} & set(item.identities)} - test
    assert set(division.conflicting) == linked
    assert len(linked) == 6
    assert len(division.split) == len(videos) - len(linked)
