"""The listing: within YouTube's limits whatever the track, and honest."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lofi.brief import MOODS, PALETTES, Key, Plan, Section
from lofi.channel import (
    TrackFacts,
    chapters,
    check_listing,
    name_track,
    tags_length,
    write_listing,
)


def plan_of(sizes: list[int], bpm: float) -> Plan:
    names = ["intro", "A", "A'", "B", "break"]
    sections = []
    at = 0
    for i, size in enumerate(sizes):
        sections.append(Section(names[i % 5], at, size, ("keys",), ("C",) * (2 * size)))
        at += size
    return Plan(bpm, Key(0, "major"), 0.5, tuple(sections))


@st.composite
def facts(draw):
    bpm = draw(st.floats(50, 120))
    plan = plan_of(draw(st.lists(st.integers(1, 16), min_size=1, max_size=40)), bpm)
    return TrackFacts(
        track_id=draw(st.text(max_size=60)),
        mood=draw(st.sampled_from(list(MOODS))),
        bpm=bpm,
        key=draw(st.sampled_from(["C major", "F# minor"]) | st.text(max_size=80)),
        duration_s=plan.bars * plan.bar_s + 3,
        seed=draw(st.integers(0, 2**63 - 1)),
        palette=draw(st.sampled_from(list(PALETTES))),
        plan=plan,
    )


@settings(max_examples=200, deadline=None)
@given(facts())
def test_any_track_gets_a_listing_within_every_limit(track):
    listing = write_listing(track).to_dict()
    assert check_listing(listing) == []
    assert "generated" in listing["snippet"]["description"]
    assert listing == write_listing(track).to_dict()


def example() -> dict:
    plan = plan_of([4, 8, 8, 8, 4], 75)
    track = TrackFacts("a-1", "chill", 75, "A minor", 105.4, 3, "dusk", plan)
    return write_listing(track).to_dict()


@pytest.mark.parametrize(
    ("part", "field", "value", "word"),
    [
        ("snippet", "title", "x" * 101, "100 characters"),
        ("snippet", "title", " ", "empty"),
        ("snippet", "title", None, "empty"),
        ("snippet", "title", "a > b", "title holds"),
        ("snippet", "description", "é" * 2501, "5000 bytes"),
        ("snippet", "description", "a < b", "description holds"),
        ("snippet", "tags", ["lo fi"] * 63, "500 characters"),
        ("snippet", "categoryId", "", "categoryId"),
        ("status", "privacyStatus", None, "privacyStatus"),
        ("status", "containsSyntheticMedia", False, "containsSyntheticMedia"),
        ("status", "selfDeclaredMadeForKids", None, "selfDeclaredMadeForKids"),
        ("query", "notifySubscribers", None, "notifySubscribers"),
        ("snippet", "description", "0:00 a\n0:20 b", "fewer than 3"),
        ("snippet", "description", "0:05 a\n0:20 b\n0:40 c", "0:00"),
        ("snippet", "description", "0:00 a\n0:09 b\n0:40 c", "10 s"),
    ],
)
def test_each_broken_limit_is_named(part, field, value, word):
    listing = copy.deepcopy(example())
    listing[part][field] = value
    assert any(word in broken for broken in check_listing(listing))


def test_published_later_means_private_until_then():
    listing = example()
    listing["status"].update(publishAt="2027-01-01T00:00:00Z", privacyStatus="public")
    assert any("publishAt" in b for b in check_listing(listing))


def test_tags_count_as_youtube_counts_them():
    assert tags_length(["ab", "c d"]) == 2 + 1 + 3 + 2


def test_chapters_start_where_sections_do_and_short_ones_are_merged():
    marks = chapters(plan_of([2, 8, 1, 8, 8], 60), 27 * 4 + 3)
    assert [t for t, _ in marks] == [0, 40, 76]
    assert chapters(plan_of([4, 4], 60), 35) == []


def test_titles_and_names_vary_with_the_seed():
    plan = plan_of([4, 8, 8, 8, 4], 75)
    titles = set()
    for seed in range(200):
        track = TrackFacts(f"t-{seed}", "chill", 72 + seed % 12, "A minor", 105, seed, "dusk", plan)
        titles.add(write_listing(track).title)
    assert len(titles) > 180
    for mood in MOODS:
        for palette in PALETTES:
            name = name_track(mood, palette, 1)
            assert 2 <= len(name.split()) <= 4
            assert len(name) <= 24
