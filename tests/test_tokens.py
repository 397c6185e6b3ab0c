"""Tokens: nothing of the music is lost but what the grid cannot hold; controls are measured."""

import numpy as np
import symusic
from hypothesis import given, settings
from hypothesis import strategies as st

from lofi.brief import BUNDLES, PARTS, Brief
from lofi.music import (
    compose,
    decode,
    decode_bars,
    encode,
    measure,
    notes_by_part,
    segments,
    vocabulary,
)
from lofi.music._dataset import Augment, Dropout, Variation
from lofi.music._midi import TICKS_PER_BAR, add_track
from lofi.music._tokens import describe

STEP = 40  # ticks per twelfth of a beat


@st.composite
def scores(draw):
    score = symusic.Score(480)
    score.tempos.append(symusic.Tempo(0, draw(st.integers(50, 120))))
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    for name in draw(st.sets(st.sampled_from(list(PARTS)), min_size=1)):
        part = PARTS[name]
        notes = draw(
            st.lists(
                st.tuples(
                    st.integers(0, 48 * 12 - 1),
                    st.integers(1, 48),
                    st.integers(part.low, part.high),
                    st.integers(8, 127),
                ),
                min_size=1,
                max_size=60,
                unique_by=lambda n: (n[0], n[2]),
            )
        )
        table = np.array(sorted(notes))
        add_track(score, name, table[:, 0] * STEP, table[:, 1] * STEP, table[:, 2], table[:, 3])
    score.tracks.sort(key=lambda t: list(PARTS).index("drums" if t.is_drum else t.name))
    return score


def onsets(score) -> set[tuple[str, int, int]]:
    return {
        (part, int(o), int(p))
        for part, n in notes_by_part(score).items()
        for o, p in zip(n.onset, n.pitch, strict=True)
    }


@settings(max_examples=40, deadline=None)
@given(scores())
def test_a_score_on_the_grid_survives_the_round_trip(score):
    assert onsets(decode(encode(score).bars, 80)) == onsets(score)


@settings(max_examples=40, deadline=None)
@given(scores(), st.randoms(use_true_random=False))
def test_a_played_score_survives_within_the_grid(score, random):
    """Every note comes back, its onset within half a step and its velocity within a level."""
    played = symusic.Score(480)
    played.tempos.append(symusic.Tempo(0, 80))
    played.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    for name, n in notes_by_part(score).items():
        shift = np.array([random.randint(0 if o == 0 else -19, 19) for o in n.onset])
        add_track(played, name, n.onset + shift, n.length, n.pitch, n.velocity)
    told = notes_by_part(decode(encode(played).bars, 80))
    for name, n in notes_by_part(played).items():
        back = told[name]
        assert len(back) == len(n)
        # In the order of the grid: off it, neighbours may have changed places.
        a = np.lexsort((n.pitch, np.round(n.onset / STEP)))
        b = np.lexsort((back.pitch, back.onset))
        assert (back.pitch[b] == n.pitch[a]).all()
        assert (np.abs(back.onset[b] - n.onset[a]) <= STEP // 2).all()
        assert (np.abs(back.velocity[b] - n.velocity[a]) <= 8).all()


@settings(max_examples=20, deadline=None)
@given(scores())
def test_training_segments_hold_the_same_music(score):
    cut = segments(encode(score), measure(score))
    told = [b for s in cut for b in decode_bars(s)]
    assert sum(len(n) for n in notes_by_part(decode(told, 80)).values()) == len(onsets(score))
    for segment in cut:
        names = [vocabulary().names[i] for i in segment]
        assert names[0] == "BOS_None"
        assert names[-1] == "EOS_None"
        bars = sum(n == "Bar_None" for n in names)
        assert f"BARS_{bars}" in names


def example_segment() -> list[int]:
    score = symusic.Score(480)
    score.tempos.append(symusic.Tempo(0, 80))
    bars = np.arange(8)
    chord = np.array([57, 60, 64, 67])
    add_track(score, "bass", bars * TICKS_PER_BAR, np.full(8, 1800), np.full(8, 45), np.full(8, 80))
    add_track(
        score,
        "keys",
        np.repeat(bars * TICKS_PER_BAR, 4),
        np.full(32, 1800),
        np.tile(chord, 8),
        np.full(32, 70),
    )
    (segment,) = segments(encode(score), measure(score))
    return segment


def test_controls_say_what_the_music_is():
    text = describe(example_segment())
    assert "KEY_9-minor" in text
    assert "BPM_78" in text or "BPM_82" in text
    assert "CHORD_9-min7" in text
    assert "BASS_1" in text
    assert "DRUMS_0" in text


def test_transposition_moves_key_chords_and_notes_together():
    segment = np.array(example_segment())
    augment = Augment(Dropout(control=0, level=0, chords=0))
    seen = set()
    for seed in range(100):
        text = describe(augment(segment, np.random.default_rng(seed)).tolist())
        key = int(text.split("KEY_")[1].split("-")[0])
        chord = int(text.split("CHORD_")[1].split("-")[0])
        bass = int(text.split("Pitch_")[1].split(" ")[0])
        assert key == chord == bass % 12
        assert PARTS["bass"].low <= bass <= PARTS["bass"].high
        seen.add(key)
    assert seen == set(range(12)), "all keys, the bass an octave the other way where it must"


def test_a_variant_moves_each_part_as_a_whole_inside_its_range():
    score, _ = compose(Brief(seed=3, mood="happy").settled(), bars=24)
    augment = Augment(Dropout(control=0, level=0, chords=0))
    programs = {f"Program_{p.program}": p for p in PARTS.values()}
    for segment in segments(encode(score), measure(score)):
        for seed in range(12):
            variant = augment(np.array(segment), np.random.default_rng(seed))
            part, moved = PARTS["drums"], {}
            for before, after in zip(
                describe(segment).split(), describe(variant.tolist()).split(), strict=True
            ):
                part = programs.get(after, part)
                kind, value = after.split("_", 1)
                if kind == "Pitch":
                    assert part.low <= int(value) <= part.high
                    moved.setdefault(part.name, set()).add(int(value) - int(before.split("_")[1]))
                elif kind in (
                    "PitchDrum",
                    "Position",
                    "Duration",
                    "Bar",
                    "Program",
                    "BARS",
                    "MOOD",
                ):
                    assert after == before
            assert all(len(m) == 1 for m in moved.values())
            assert len({m % 12 for (m,) in moved.values()}) == 1


def test_tempo_varies_within_the_mood_and_velocity_for_one_part_at_a_time():
    score, _ = compose(Brief(seed=3, mood="happy").settled(), bars=24)
    measured = measure(score)
    assert measured.bundle
    low, high = BUNDLES[measured.bundle].bpm
    segment = np.array(segments(encode(score), measured)[1])
    augment = Augment(Dropout(control=0, level=0, chords=0), Variation((0, 0), 1.0, 1.0))
    tempi, changed = set(), set()
    for seed in range(40):
        variant = augment(segment, np.random.default_rng(seed))
        tempi.add(int(describe(variant.tolist()).split("BPM_")[1].split()[0]))
        louder = [
            a - b
            for a, b in zip(variant, segment, strict=True)
            if vocabulary().names[b].startswith("Velocity")
        ]
        assert set(louder) in ({0}, {0, 1}, {0, -1})
        changed.add(tuple(louder))
    assert len(tempi) > 1
    assert all(low <= t <= high for t in tempi)
    assert len(changed) > 3


def test_controls_are_dropped_about_as_often_as_said():
    segment = np.array(example_segment())
    augment = Augment(Dropout(control=0.2, level=0.1, chords=0.15))
    rng = np.random.default_rng(0)
    variants = [describe(augment(segment, rng).tolist()) for _ in range(400)]
    assert 0.14 < np.mean(["KEY_" not in v for v in variants]) < 0.26
    assert 0.10 < np.mean(["CHORD_" not in v for v in variants]) < 0.20
    assert all("BARS_8" in v for v in variants)
