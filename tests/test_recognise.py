"""The recognisers: what a musician would hear in the same notes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lofi.brief import ALL_KEYS, PARTS, Brief
from lofi.music import compose, notes_by_part
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT
from lofi.music._recognise import (
    HALF_BAR,
    Notes,
    find_bar_line,
    find_chords,
    find_key,
    find_sections,
    find_swing,
)
from lofi.music._theory import QUALITIES, Chord
from lofi.music._tokens import SECTION_NAMES, swing_control

# Chords that share their tones with another on another root, or nearly so.
AMBIGUOUS = ("7alt", "aug", "dim7")


def played(rows: list[tuple[int, int, int]]) -> Notes:
    """Notes of (onset, length, pitch), in ticks."""
    table = np.array(sorted(rows), np.int64).reshape(-1, 3)
    return Notes(table[:, 0], table[:, 1], table[:, 2], np.full(len(table), 80))


def moved(parts: dict[str, Notes], by: int) -> dict[str, Notes]:
    return {k: Notes(n.onset + by, n.length, n.pitch, n.velocity) for k, n in parts.items()}


def block(chord: Chord, bass: int | None = None) -> dict[str, Notes]:
    """A half bar of the chord in close position, and the pitch class `bass` below it."""
    pitches = [60 + (pc - 60) % 12 for pc in chord.pitch_classes]
    found = {"keys": played([(0, HALF_BAR, p) for p in pitches])}
    if bass is not None:
        found["bass"] = played([(0, HALF_BAR, 36 + bass)])
    return found


def recognised(parts: dict[str, Notes]) -> Chord:
    (found,) = find_chords(parts, 1)
    assert found is not None
    return found


# Chords


@pytest.mark.parametrize("quality", [q for q in QUALITIES if q not in AMBIGUOUS])
def test_chords_are_recognised_on_every_root(quality: str):
    for root in range(12):
        chord = Chord(root, quality)
        found = recognised(block(chord, bass=root))
        assert found.root == root
        # A ninth chord whose ninth is there is told from its seventh chord.
        assert set(found.pitch_classes) == set(chord.pitch_classes)


@pytest.mark.parametrize("quality", ["maj", "min"])
def test_inversions_keep_their_root_whoever_plays_the_bass(quality: str):
    for root in range(12):
        chord = Chord(root, quality)
        for low in chord.pitch_classes:
            assert recognised(block(chord, bass=low)) == chord
            above = [48 + low + (pc - low) % 12 for pc in chord.pitch_classes]
            assert recognised({"keys": played([(0, HALF_BAR, p) for p in above])}) == chord


@pytest.mark.parametrize("quality", ["min7", "m7b5", "min6", "maj6", "maj9", "min9", "9"])
def test_rich_chords_keep_their_tones_over_any_of_them(quality: str):
    for root in range(12):
        chord = Chord(root, quality)
        for low in chord.pitch_classes:
            found = recognised(block(chord, bass=low))
            assert set(found.pitch_classes) == set(chord.pitch_classes)


@pytest.mark.parametrize(("seventh", "ninth"), [("maj7", "maj9"), ("min7", "min9"), ("7", "9")])
def test_a_ninth_makes_a_ninth_chord_and_its_absence_a_seventh(seventh: str, ninth: str):
    for root in range(12):
        assert recognised(block(Chord(root, seventh), bass=root)).quality == seventh
        assert recognised(block(Chord(root, ninth), bass=root)).quality == ninth


def test_a_bass_that_doubles_and_walks_does_not_change_the_chord():
    for root in range(12):
        parts = block(Chord(root, "min7"))
        low = 36 + root
        walk = [(0, 360, low), (360, 240, low + 12), (600, 200, low + 7), (840, 120, low + 10)]
        assert recognised({**parts, "bass": played(walk)}) == Chord(root, "min7")


@pytest.mark.parametrize("quality", ["maj", "min", "min7", "maj7"])
def test_broken_chords_are_chords(quality: str):
    for root in range(12):
        rising = sorted(48 + root + i for i in QUALITIES[quality])
        steps = [(k * 120, 110, rising[k % len(rising)]) for k in range(8)]
        assert recognised({"guitar": played(steps)}) == Chord(root, quality)


def test_a_passing_note_does_not_interrupt_a_chord_but_a_change_is_heard():
    chords = [Chord(9, "min"), Chord(9, "min"), Chord(5, "maj"), Chord(5, "maj")]
    rows = [
        (i * HALF_BAR, HALF_BAR, 60 + pc) for i, c in enumerate(chords) for pc in c.pitch_classes
    ]
    lead = played([(HALF_BAR + 240, 240, 74), (HALF_BAR + 480, 240, 71)])
    assert find_chords({"keys": played(rows), "lead": lead}, 4) == chords


def test_silence_and_lone_notes_are_no_chords():
    assert find_chords({"keys": played([(0, 960, 60), (0, 960, 72)])}, 2) == [None, None]
    assert find_chords({"drums": played([(0, 60, 36)])}, 2) == [None, None]
    # But a lone bass note goes on with the chord before it.
    parts = {
        "keys": block(Chord(2, "min7"))["keys"],
        "bass": played([(0, 960, 38), (960, 960, 38)]),
    }
    assert find_chords(parts, 3) == [Chord(2, "min7"), Chord(2, "min7"), None]


# Keys


def test_composed_pieces_are_heard_in_the_key_they_were_asked_in():
    hits = []
    for i, key in enumerate(ALL_KEYS):
        score, _ = compose(Brief(seed=300 + i, mood="cozy", key=key).settled(), bars=16)
        found, clarity = find_key(notes_by_part(score))
        assert clarity >= 0
        hits.append(set(found.scale) == set(key.scale))
    assert np.mean(hits) >= 0.9


def test_a_transposed_piece_is_heard_in_the_transposed_key():
    score, plan = compose(Brief(seed=3, mood="chill").settled(), bars=16)
    parts = notes_by_part(score)
    first, _ = find_key(parts)
    assert set(first.scale) == set(plan.key.scale)
    for up in range(1, 12):
        higher = {
            k: n if k == "drums" else Notes(n.onset, n.length, n.pitch + up, n.velocity)
            for k, n in parts.items()
        }
        found, _ = find_key(higher)
        assert (found.tonic, found.mode) == ((first.tonic + up) % 12, first.mode)


# Swing


def beats_with_off_beats(place: float, bars: int = 8) -> list[int]:
    """Onsets of every beat and of the off-beat at that place of it, in ticks."""
    starts = np.arange(4 * bars) * TICKS_PER_BEAT
    return [*starts.tolist(), *np.round(starts + place * TICKS_PER_BEAT).astype(int).tolist()]


@pytest.mark.parametrize(
    ("place", "control"), [(0.5, "SWING_0"), (0.58, "SWING_1"), (0.667, "SWING_2")]
)
def test_straight_light_and_heavy_swing_are_told_apart(place: float, control: str):
    hats = played([(o, 60, 42) for o in beats_with_off_beats(place)])
    swing = find_swing({"drums": hats})
    assert swing is not None
    assert abs(swing - place) < 0.01
    assert swing_control(swing) == control


def test_sixteenths_of_straight_music_are_no_swing():
    rng = np.random.default_rng(4)
    grid = np.arange(16 * 8) * 120 + 480
    human = played([(int(t + rng.normal(0, 9)), 60, 42) for t in grid])
    swing = find_swing({"drums": human})
    assert swing is not None
    assert abs(swing - 0.5) < 0.015
    # Dotted figures have sixteenths before the beat and no off-beats at all.
    dotted = [
        (b * 480 + at + int(rng.normal(0, 9)), 60, 42) for b in range(1, 33) for at in (0, 360)
    ]
    assert find_swing({"drums": played(dotted)}) is None


def test_a_player_who_rushes_everything_does_not_swing_less():
    for early in (-20, 20):
        onsets = [(o + early + 480, 60, 42) for o in beats_with_off_beats(0.62)]
        swing = find_swing({"drums": played(onsets)})
        assert swing is not None
        assert abs(swing - 0.62) < 0.01


def test_few_off_beats_say_nothing():
    on_beats = [(b * 480, 60, 42) for b in range(64)]
    few = [(b * 480 + 320, 60, 42) for b in range(5)]
    assert find_swing({"drums": played(on_beats + few)}) is None
    assert find_swing({}) is None


# Bar lines


def test_the_bar_line_of_a_shifted_score_is_found():
    exact = []
    for seed in range(12):
        score, _ = compose(Brief(seed=seed, mood="chill").settled(), bars=16)
        parts = notes_by_part(score)
        for shift in (0, 480, 960, 1440, 700 + 97 * seed):
            off = (find_bar_line(moved(parts, shift)) - shift) % TICKS_PER_BAR
            exact.append(min(off, TICKS_PER_BAR - off) <= 30)
    assert np.mean(exact) >= 0.85


def test_a_bar_line_lies_within_the_first_bar():
    for shift in range(-100, 1900, 130):
        beat = [(bar * TICKS_PER_BAR + 1920 + shift, 1900, 45) for bar in range(8)]
        found = find_bar_line({"bass": played(beat)})
        assert -60 <= found < TICKS_PER_BAR
        assert (found - shift) % TICKS_PER_BAR in (0, 1, TICKS_PER_BAR - 1)


# Sections


def loop(chords: list[Chord], start_bar: int, bars: int, beat: tuple[int, ...]) -> list:
    """Rows of chords struck at these sixteenths of each bar."""
    return [
        (bar * TICKS_PER_BAR + 120 * step, 200, 60 + pc)
        for bar in range(start_bar, start_bar + bars)
        for step in beat
        for pc in chords[bar % len(chords)].pitch_classes
    ]


def kit(start_bar: int, bars: int) -> list:
    hits = [(s * 120, 60, 42) for s in range(0, 16, 2)] + [(0, 60, 36), (480, 60, 38)]
    return [
        (bar * TICKS_PER_BAR + at, n, p)
        for bar in range(start_bar, start_bar + bars)
        for at, n, p in hits
    ]


VERSE = [Chord(9, "min7"), Chord(2, "min7"), Chord(7, "7"), Chord(0, "maj7")]
CHORUS = [Chord(5, "maj7"), Chord(6, "m7b5"), Chord(8, "maj"), Chord(1, "maj7")]


def made_form() -> tuple[dict[str, Notes], list[str]]:
    """Intro 4, A 8, B 8, break 8, A 8, A' 8 (with a lead), outro 4."""
    form = [("intro", 4), ("A", 8), ("B", 8), ("break", 8), ("A", 8), ("A'", 8), ("outro", 4)]
    keys, bass, drums, lead, names = [], [], [], [], []
    at = 0
    for name, bars in form:
        chords = CHORUS if name == "B" else VERSE
        keys += loop(chords, at, bars, (0, 4, 8, 12) if name == "B" else (0, 6))
        if name not in ("intro", "outro", "break"):
            drums += kit(at, bars)
        if name not in ("intro", "break"):
            bass += [
                (b * TICKS_PER_BAR, 900, 36 + chords[b % 4].root) for b in range(at, at + bars)
            ]
        if name == "A'":
            lead += [
                (b * TICKS_PER_BAR + 480 * q, 400, 76 + q)
                for b in range(at, at + 8)
                for q in (1, 3)
            ]
        names += [name] * bars
        at += bars
    rows = {"keys": keys, "bass": bass, "drums": drums, "lead": lead}
    return {part: played(r) for part, r in rows.items()}, names


def test_an_obvious_form_is_heard_bar_by_bar():
    parts, names = made_form()
    assert find_sections(parts, len(names)) == names
    assert find_sections(parts, len(names)) == find_sections(parts, len(names))


def test_composed_forms_are_mostly_heard():
    right = []
    for seed, mood in enumerate(("chill", "sad", "happy", "dreamy", "focus", "sleepy") * 2):
        score, plan = compose(Brief(seed=seed, mood=mood).settled(), bars=40)
        true = [s.name for s in plan.sections for _ in range(s.bars)]
        found = find_sections(notes_by_part(score), plan.bars)
        right += [a == b for a, b in zip(found, true, strict=True)]
    assert np.mean(right) >= 0.8


def test_what_is_short_or_uniform_has_no_form():
    same = {"keys": played(loop(VERSE, 0, 64, (0, 6))), "drums": played(kit(0, 64))}
    assert find_sections(same, 64) == ["A"] * 64
    assert find_sections(same, 6) == ["A"] * 6
    assert find_sections({}, 12) == ["A"] * 12
    assert find_sections({}, 0) == []


# Anything at all


@st.composite
def anything(draw) -> dict[str, Notes]:
    """Any notes in any parts, some of them empty."""
    times = st.integers(0, 40 * TICKS_PER_BAR)
    parts = {}
    for name in draw(st.sets(st.sampled_from(list(PARTS)))):
        pitches = st.integers(PARTS[name].low, PARTS[name].high)
        parts[name] = played(draw(st.lists(st.tuples(times, st.integers(1, 3840), pitches))))
    return parts


@settings(max_examples=80, deadline=None)
@given(anything(), st.integers(0, 45))
def test_whatever_is_played_is_answered_within_the_rules(parts: dict[str, Notes], bars: int):
    found = find_chords(parts, 2 * bars)
    assert len(found) == 2 * bars
    sections = find_sections(parts, bars)
    assert len(sections) == bars
    assert set(sections) <= set(SECTION_NAMES)
    assert -60 <= find_bar_line(parts) < TICKS_PER_BAR
    swing = find_swing(parts)
    assert swing is None or 0.3 < swing < 0.8
    key, clarity = find_key(parts)
    assert key in ALL_KEYS
    assert np.isfinite(clarity)
    if not set(parts) - {"drums"}:
        assert found == [None] * (2 * bars)
