"""What chooses between candidates: each figure falls where a listener would say so."""

from __future__ import annotations

import numpy as np
import pytest

from lofi.brief import ALL_KEYS, BUNDLES, PARTS, Brief, Key
from lofi.music import compose, notes_by_part
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT
from lofi.music._rate import closeness, rate
from lofi.music._recognise import Notes, find_key, key_clarity
from lofi.music._theory import Chord
from lofi.music._tokens import DENSITY_EDGES, density_level

BARS = 4
CHORDS = [Chord.parse(c) for c in ("Cmaj7", "Cmaj7", "Fmaj7", "Fmaj7", "Dm7", "G7", "C", "C")]


def line(pitches: list[int], length: int = TICKS_PER_BEAT, velocity: int = 60) -> Notes:
    onset = np.arange(len(pitches)) * TICKS_PER_BEAT
    ones = np.ones(len(pitches), np.int64)
    return Notes(onset, ones * length, np.array(pitches), ones * velocity)


def band(lead: list[int] | None = None, above: int = 0) -> dict[str, Notes]:
    chords = [[60, 64, 67], [65, 69, 72], [62, 65, 69], [60, 64, 67]]
    rows = [
        (bar * TICKS_PER_BAR, TICKS_PER_BAR - 10, p + above, 60)
        for bar, chord in enumerate(chords)
        for p in chord
    ]
    keys = Notes(*np.array(rows, np.int64).T)
    melody = line(lead or [72, 74, 76, 74] * BARS)
    return {"keys": keys, "lead": melody, "bass": line([36, 36, 41, 41] * BARS)}


def rated(parts: dict[str, Notes], bundle: str = "chill", **more) -> dict[str, float]:
    levels = {"keys": 1, "lead": 2, "bass": 2}
    return rate(parts, CHORDS, more.get("key", Key.parse("C major")), levels, BARS, bundle)


def test_a_melody_of_steps_is_better_than_one_of_leaps():
    steps, leaps = rated(band([72, 74, 76, 77] * BARS)), rated(band([72, 79, 65, 76] * BARS))
    assert steps["line"] > leaps["line"] + 0.3
    assert steps["total"] > leaps["total"]


def test_parts_that_rub_against_each_other_lose():
    smooth, rubbing = rated(band([72, 76, 79, 76] * BARS)), rated(band([73, 77, 80, 77] * BARS))
    assert smooth["clash"] == 1
    assert rubbing["clash"] < 0.5


def test_every_mood_has_its_own_height():
    for bundle, found in BUNDLES.items():
        middle = sum(found.register) / 2
        heights = (-14, -7, 0, 7, 14)
        rates = [rated(band(above=h), bundle)["register"] for h in heights]
        means = [np.concatenate([band(above=h)[p].pitch for p in ("keys", "lead")]).mean()
                 for h in heights]  # fmt: skip
        nearest_first = np.argsort([abs(m - middle) for m in means])
        # However far off all of them are, one is nearer than the other.
        assert np.all(np.diff(np.array(rates)[nearest_first]) < 0)


def test_every_mood_has_its_own_lilt():
    sixteenth = TICKS_PER_BEAT // 4

    def lilt(every: int, first: int, bundle: str) -> float:
        onset = np.arange(first, 16 * BARS, every) * sixteenth
        keys = Notes(*(np.full_like(onset, v) if v else onset for v in (0, 100, 60, 60)))
        return rated({"keys": keys}, bundle)["lilt"]

    for bundle in BUNDLES:  # eighths: half of them off the beat; quarters: none; off beats: all
        on, both, off = (lilt(*steps, bundle) for steps in ((4, 0), (2, 0), (4, 2)))
        assert off == 0
        assert (on > both) == (bundle == "sleep")


def test_the_notes_of_another_key_are_heard():
    for seed in range(6):
        parts = notes_by_part(compose(Brief(seed=seed).settled(), bars=8)[0])
        key, clarity = find_key(parts)
        own = rated(parts, key=key)["key"]
        assert own == pytest.approx(min(1, 0.5 + clarity / 0.12))
        relative = Key((key.tonic + (9 if key.mode == "major" else 3)) % 12,
                       "minor" if key.mode == "major" else "major")  # fmt: skip
        assert rated(parts, key=relative)["key"] == own  # it has the same notes
        assert rated(parts, key=Key((key.tonic + 6) % 12, key.mode))["key"] == 0


def test_the_key_found_is_the_clearest_of_all():
    for seed in range(6):
        parts = notes_by_part(compose(Brief(seed=seed).settled(), bars=8)[0])
        key, clarity = find_key(parts)
        others = [k for k in ALL_KEYS if set(k.scale) != set(key.scale)]
        assert clarity == key_clarity(parts, key) > 0
        assert all(key_clarity(parts, k) <= -clarity for k in others)


@pytest.mark.parametrize("part", PARTS)
def test_density_is_full_within_its_level_and_falls_away_on_both_sides(part: str):
    low, high = DENSITY_EDGES[part]
    for level, middle in ((1, low / 2), (2, (low + high) / 2), (3, high * 1.5)):
        near = [closeness(part, n, 8, level) for n in range(1, 250)]
        within = [density_level(part, n, 8) == level for n in range(1, 250)]
        assert [n == 1 for n in near] == within
        first = within.index(True)
        assert near[:first] == sorted(near[:first])
        after = near[first + sum(within) :]
        assert after == sorted(after, reverse=True)
        assert closeness(part, round(middle * 8), 8, level) == 1
    assert closeness(part, 0, 8, 1) == 0
