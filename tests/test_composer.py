"""The rule composer: what a musician would hear if it broke."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from importlib import resources
from itertools import pairwise

import numpy as np
import pytest
import symusic

from lofi.brief import ALL_KEYS, BUNDLES, MOODS, PARTS, Brief, Key, Plan
from lofi.music import _bass as bass_module
from lofi.music import _chords as chords_module
from lofi.music import _drums as drums_module
from lofi.music import _melody as melody_module
from lofi.music import _plan as plan_module
from lofi.music import _voicing as voicing_module
from lofi.music import (
    compose,
    draw_plan,
    draw_progression,
    measure,
    melody_windows,
    notes_by_part,
)
from lofi.music._band import Band
from lofi.music._bass import Bassist
from lofi.music._compose import _Players
from lofi.music._material import material, strokes, tablature
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT
from lofi.music._recognise import Notes
from lofi.music._theory import QUALITIES, Chord
from lofi.music._voicing import Hands, muddy, shapes

HALF_BAR = TICKS_PER_BAR // 2
EARLY = 20  # ticks by which a humanised note may come before its bar


def brief_for(bundle: str, seed: int, **more) -> Brief:
    names = [m.name for m in MOODS.values() if m.bundle == bundle]
    return Brief(seed=seed, mood=names[seed % len(names)], **more).settled()


@lru_cache(maxsize=1)
def pieces() -> list[tuple[str, symusic.Score, Plan]]:
    """Twenty pieces of 32 bars of every bundle: (bundle, score, plan)."""
    return [(b, *compose(brief_for(b, s), bars=32)) for b in BUNDLES for s in range(20)]


def parts_of(name: str) -> list[tuple[Notes, dict[str, Notes], Plan]]:
    """That part, all parts and the plan of every piece in which it plays."""
    found = [(notes_by_part(score), plan) for _, score, plan in pieces()]
    return [(parts[name], parts, plan) for parts, plan in found if name in parts]


def bars_of(notes: Notes, first: int, count: int) -> list[list[tuple[int, int]]]:
    """(twelfth of a beat, pitch) of the notes of each bar."""
    bars = []
    for bar in range(first, first + count):
        start = bar * TICKS_PER_BAR
        inside = notes.within(start - EARLY, start + TICKS_PER_BAR - EARLY)
        twelfths = np.round((inside.onset - start) / 40).astype(int)
        bars.append(list(zip(twelfths.tolist(), inside.pitch.tolist(), strict=True)))
    return bars


def chord_at(plan: Plan, tick: int) -> Chord:
    chords = [c for s in plan.sections for c in s.chords]
    return Chord.parse(chords[min((tick + EARLY) // HALF_BAR, len(chords) - 1)])


MODULES = (bass_module, chords_module, drums_module, melody_module, plan_module, voicing_module)


def only(monkeypatch: pytest.MonkeyPatch, name: str, table: object) -> None:
    """Play with `table` in place of the material of that name."""
    for module in MODULES:
        if hasattr(module, "material"):
            monkeypatch.setattr(
                module, "material", lambda asked: table if asked == name else material(asked)
            )
    voicing_module.shapes.cache_clear()


def everywhere(row: dict) -> dict:
    return {**row, "moods": list(BUNDLES), "lively": 0.5}


# Form and mood


@pytest.mark.parametrize("bars", [4, 5, 7, 8, 11, 12, 17, 23, 32, 45, 120, 300])
def test_sections_tile_exactly_the_bars_asked_for(bars: int):
    for bundle in BUNDLES:
        plan = draw_plan(brief_for(bundle, bars), bars=bars)
        at = 0
        for section in plan.sections:
            assert section.start_bar == at
            assert len(section.chords) == 2 * section.bars
            assert section.parts
            at += section.bars
        assert at == plan.bars == bars


@pytest.mark.parametrize("bars", [1, 2, 3, 9, 13])
def test_a_piece_of_any_length_can_be_played(bars: int):
    for bundle in BUNDLES:
        score, plan = compose(brief_for(bundle, bars), bars=bars)
        assert plan.bars == bars
        assert score.end() <= bars * TICKS_PER_BAR


@pytest.mark.parametrize("bundle", list(BUNDLES))
def test_a_mood_measures_as_what_it_means(bundle: str):
    found = [measure(score) for b, score, _ in pieces() if b == bundle]
    asked = BUNDLES[bundle]
    for name, (low, high) in (
        ("bpm", asked.bpm),
        ("density", asked.density),
        ("velocity", asked.velocity),
        ("register", asked.register),
    ):
        assert low <= np.mean([getattr(m, name) for m in found]) <= high, name
    assert np.mean([m.bundle == bundle for m in found]) >= 0.85


def test_the_key_asked_for_is_the_key_measured():
    hits = []
    for i in range(48):
        key = Key(i % 12, "major" if i < 24 else "minor")
        score, _ = compose(Brief(seed=i, mood="chill", key=key).settled(), bars=24)
        told = measure(score).key
        assert told is not None
        hits.append(set(Key.parse(told).scale) == set(key.scale))
    assert np.mean(hits) >= 0.9


def test_layers_of_an_intro_come_one_by_one():
    late = 0
    for bass, parts, plan in parts_of("bass"):
        intro = plan.sections[0]
        if intro.name == "intro" and "bass" in intro.parts:
            late += bass.onset[0] > parts["keys"].onset[0] + TICKS_PER_BAR
    assert late >= 10


def test_it_ends_on_the_tonic():
    for _, score, plan in pieces():
        assert Chord.parse(plan.sections[-1].chords[-1]).root == plan.key.tonic
        last = (plan.bars - 1) * TICKS_PER_BAR - EARLY
        parts = notes_by_part(score)
        final = [
            n.within(last, plan.bars * TICKS_PER_BAR) for p, n in parts.items() if p != "drums"
        ]
        assert plan.key.tonic in {int(p) % 12 for n in final for p in n.pitch}
        # Nothing but the held chord: no ritardando, no afterthought.
        assert all((n.onset - last < 3 * EARLY).all() for n in final)


def test_the_same_brief_gives_the_same_notes_and_another_seed_others():
    brief = Brief(seed=4, mood="cozy").settled()
    first = compose(brief, bars=16)[0].dumps_midi()
    assert first == compose(brief, bars=16)[0].dumps_midi()
    other = Brief(seed=5, mood="cozy", bpm=brief.bpm, key=brief.key).settled()
    assert first != compose(other, bars=16)[0].dumps_midi()


# Notes and time


def test_every_note_is_inside_its_instrument_and_none_overlaps_itself():
    for _, score, plan in pieces():
        for part, notes in notes_by_part(score).items():
            assert PARTS[part].low <= notes.pitch.min()
            assert notes.pitch.max() <= PARTS[part].high
            assert (notes.onset + notes.length).max() <= plan.bars * TICKS_PER_BAR
            for pitch in np.unique(notes.pitch):
                same = notes.pitch == pitch
                ends = (notes.onset + notes.length)[same]
                assert (ends[:-1] <= notes.onset[same][1:]).all()


def test_every_onset_is_read_back_on_the_step_it_was_written_on():
    """Sixteenths swing on twelfths of a beat, and humanising never reaches the next twelfth."""
    swings = set()
    for _, score, plan in pieces():
        off = round(12 * plan.swing)
        swings.add(off)
        places = [p * 40 for p in (0, (off + 1) // 2, off, off + (13 - off) // 2, 12)]
        for notes in notes_by_part(score).values():
            within = notes.onset % TICKS_PER_BEAT
            astray = np.abs(within[:, None] - places).min(1)
            assert astray.max() < 20
    assert swings == {6, 7, 8}


def test_players_stray_but_little():
    ms = []
    for bass, _, plan in parts_of("bass"):
        off = round(12 * plan.swing)
        places = [p * 40 for p in (0, (off + 1) // 2, off, off + (13 - off) // 2, 12)]
        astray = np.abs((bass.onset % TICKS_PER_BEAT)[:, None] - places).min(1)
        ms += (astray * 60_000 / plan.bpm / TICKS_PER_BEAT).tolist()
    assert max(ms) < 11
    assert np.std(ms) > 1


def test_velocities_breathe():
    for bundle, score, _ in pieces():
        keys = notes_by_part(score)["keys"]
        assert 1.5 < keys.velocity.std() < 14, bundle


# Harmony


def test_progressions_of_every_mood_and_mode_can_be_read_as_chords():
    for mood in MOODS:
        for mode in ("major", "minor"):
            for seed in range(6):
                symbols = draw_progression(Key(seed, mode), mood, 8, seed)
                assert len(symbols) == 16
                assert all(Chord.parse(s) for s in symbols)


def test_the_mood_is_part_of_the_draw():
    key = Key(0, "major")
    pairs = [(draw_progression(key, m, 8, s) for m in ("chill", "upbeat")) for s in range(30)]
    assert sum(a == b for a, b in pairs) < 6


@pytest.mark.parametrize(
    ("numeral", "key", "symbol"),
    [
        ("bIIImaj7", Key(0, "major"), "Ebmaj7"),
        ("bVImaj9", Key(2, "major"), "Bbmaj9"),
        ("bVII9", Key(7, "major"), "F9"),
        ("bII9", Key(9, "minor"), "Bb9"),
        ("#ivø", Key(0, "major"), "F#m7b5"),
        ("viio7", Key(2, "minor"), "C#dim7"),
        ("bVII9", Key(8, "minor"), "F#9"),
        ("bIIImaj9", Key(3, "major"), "Gbmaj9"),
        ("ii9", Key(5, "major"), "Gm9"),
        ("III7", Key(0, "major"), "E7"),
    ],
)
def test_borrowed_chords_are_spelled_as_musicians_spell_them(numeral: str, key: Key, symbol: str):
    assert plan_module._spelled(plan_module._numeral(numeral, key.tonic), key) == symbol


def test_marked_chords_are_reharmonised_and_others_never():
    key = Key(0, "major")
    seen = Counter()
    for seed in range(200):
        symbols = draw_progression(key, "chill", 8, seed)
        seen["tritone"] += any(s in ("Db9", "Eb9", "Bb9", "Ab9") for s in symbols)
        seen["sus"] += any(s == "G7sus4" for s in symbols)
    assert seen["tritone"] >= 10
    assert seen["sus"] >= 10
    plain = plan_module._read("Imaj9 | vi9 | ii9 | V9", 0, plan_module.random.Random(1))
    for seed in range(20):
        chance = plan_module.random.Random(seed)
        assert plan_module._reharmonised(plain, key, chance, odds=1.0) == plain


def test_b_has_other_chords_than_a():
    different = []
    for _, _, plan in pieces():
        loops = {s.name: s.chords for s in plan.sections}
        if "A" in loops and "B" in loops:
            different.append(
                np.mean([a != b for a, b in zip(loops["A"], loops["B"], strict=False)])
            )
    assert len(different) > 40
    assert np.mean(different) > 0.7


def test_every_quality_can_be_voiced_smoothly_by_every_player_in_every_key():
    for key in ALL_KEYS[::5]:
        brief = Brief(seed=key.tonic, mood="chill", key=key).settled()
        band = Band(brief, draw_plan(brief, bars=4))
        for player, low in (("keys", 48), ("guitar", 50), ("pad", 55)):
            hands = Hands(band, player, centre=61, low=low, high=74, size=4)
            hands.settle("A")
            before: tuple[int, ...] = ()
            for quality in QUALITIES:
                for root in range(0, 12, 5):
                    chord = Chord(root, quality)
                    voices = hands.voicing(chord)
                    assert list(voices) == sorted(set(voices))
                    assert voices[-1] - voices[0] <= 24
                    assert low - 6 <= voices[0]
                    assert not muddy(voices), (chord, voices)
                    foreign = {v % 12 for v in voices} - {*chord.pitch_classes, chord.fifth}
                    assert foreign <= set(key.scale), (chord, voices)
                    if before:
                        moves = [min(abs(v - b) for b in before) for v in voices]
                        assert np.mean(moves) <= 7
                    before = voices


def test_chords_lead_smoothly_and_keep_common_tones():
    moved, top, muddied, total = [], [], 0, 0
    for brief in (brief_for(b, s) for b in BUNDLES for s in range(6)):
        band = Band(brief, draw_plan(brief, bars=16))
        hands = Hands(band, "keys", centre=60, low=48, high=72, size=4)
        hands.settle("A")
        held = [hands.voicing(c) for c in band.chords]
        for a, b in pairwise(held):
            total += 1
            muddied += muddy(b)
            if a != b:
                moved.append(np.mean([min(abs(x - y) for y in a) for x in b]))
                top.append(abs(a[-1] - b[-1]))
    assert muddied == 0
    assert np.mean(moved) < 2.2
    assert np.percentile(top, 95) <= 7


def test_nothing_is_muddy_below_c3():
    close = beats = 0
    for _, score, plan in pieces():
        pitched = [n for p, n in notes_by_part(score).items() if p != "drums"]
        onset, length, pitch = (
            np.concatenate([getattr(n, f) for n in pitched]) for f in ("onset", "length", "pitch")
        )
        for tick in range(60, plan.bars * TICKS_PER_BAR, TICKS_PER_BEAT):
            sounding = np.sort(pitch[(onset <= tick) & (onset + length > tick)])
            gap = np.diff(sounding)
            beats += 1
            close += bool(((sounding[:-1] < 48) & (gap > 0) & (gap < 4)).any())
    assert close / beats < 0.005


def test_players_keep_hands_of_their_own():
    shared = []
    for pad, parts, _ in parts_of("pad"):
        keys = parts["keys"]
        for onset, length, pitch in zip(pad.onset, pad.length, pad.pitch, strict=True):
            held = keys.pitch[(keys.onset < onset + length) & (keys.onset + keys.length > onset)]
            shared.append(pitch in held)
    assert np.mean(shared) < 0.5


def test_a_chord_that_comes_in_mid_bar_is_struck_and_held():
    shares = []
    for _, score, plan in pieces():
        keys = notes_by_part(score)["keys"]
        chords = [Chord.parse(c) for s in plan.sections for c in s.chords]
        playing = [s for s in plan.sections for _ in range(2 * s.bars)]
        for half in range(1, len(chords), 2):
            if chords[half] != chords[half - 1] and "keys" in playing[half].parts:
                start, stop = half * HALF_BAR, (half + 1) * HALF_BAR
                sounds = np.minimum(keys.onset + keys.length, stop) - np.maximum(keys.onset, start)
                shares.append(max(0, sounds.max()) / HALF_BAR)
    assert len(shares) > 100
    assert np.mean(shares) > 0.6
    assert np.mean(np.array(shares) < 0.2) < 0.02


def test_an_early_chord_is_held_over_the_bar_line(monkeypatch: pytest.MonkeyPatch):
    row = next(r for r in material("comping") if r["name"] == "pushed once")
    only(monkeypatch, "comping", [everywhere(row), {**everywhere(row), "use": "broken"}])
    score, plan = compose(brief_for("focus", 1), bars=24)
    keys = notes_by_part(score)["keys"]
    chords = [Chord.parse(c) for s in plan.sections for c in s.chords]
    early = 0
    for bar in range(6, 18, 2):
        start = bar * TICKS_PER_BAR
        pushed = keys.within(start - 300, start - 2 * EARLY)
        early += len(pushed) >= 3
        tones = {*chords[2 * bar].pitch_classes, chords[2 * bar].fifth, *plan.key.scale}
        assert {int(p) % 12 for p in pushed.pitch} <= tones
        if len(pushed):
            assert (pushed.onset + pushed.length).max() > start + 0.6 * HALF_BAR
    assert early >= 4


# Players


def test_the_bass_aims_at_the_chord_that_really_comes():
    crossed = 0
    for seed in range(30):
        brief = Brief(seed=seed, mood="chill").settled()
        plan = draw_plan(brief, bars=32)
        band = Band(brief, plan)
        for scene in band.scenes[:-1]:
            bar = scene.bars[-1]
            first = Chord.parse(scene.section.chords[0]).root
            root = band.chord(bar + 1).root
            crossed += root != first
            for mark, allowed in (
                (">", {0}),
                ("c", {1, 11}),
                ("a", {1, 2, 10, 11}),
                ("v", {7}),
            ):
                tone = Bassist(band)._tone(bar, 14, mark)
                assert (tone - root) % 12 in allowed, mark
    assert crossed > 15


def test_a_double_chromatic_approach_goes_on_into_the_root():
    brief = Brief(seed=1, mood="upbeat").settled()
    band = Band(brief, draw_plan(brief, bars=32))
    for bar in range(4, 28):
        bassist = Bassist(band)
        first, second = bassist._tone(bar, 12, "d"), bassist._tone(bar, 14, "c")
        root = bassist._tone(bar + 1, 0, "R")
        assert second - first == root - second
        assert abs(root - second) == 1


def test_some_bass_lines_lock_with_the_kick(monkeypatch: pytest.MonkeyPatch):
    row = next(r for r in material("bass") if "kick" in r)
    only(monkeypatch, "bass", [{**row, "moods": list(BUNDLES)}])
    score, plan = compose(brief_for("chill", 3), bars=24)
    parts = notes_by_part(score)
    drums, bass = parts["drums"], parts["bass"]
    kicks = set(np.round(drums.onset[drums.pitch == 36] / 40).tolist())
    full = [s for s in plan.sections if s.name in ("A", "A'", "B")]
    start, stop = full[0].start_bar, full[-1].start_bar + full[-1].bars
    played = bass.within(start * TICKS_PER_BAR - EARLY, stop * TICKS_PER_BAR - EARLY)
    locked = [o in kicks or o % 48 in (0, 24) for o in np.round(played.onset / 40).tolist()]
    assert np.mean(locked) > 0.9


def test_moods_with_drums_have_a_backbeat():
    shares = []
    for bundle, score, plan in pieces():
        if bundle not in ("chill", "upbeat"):
            continue
        drums = notes_by_part(score)["drums"]
        back = drums.onset[np.isin(drums.pitch, (37, 38, 39))]
        beats = np.round(back / TICKS_PER_BEAT).astype(int)
        played = {b for b in beats[np.abs(back - beats * TICKS_PER_BEAT) < 60] if b % 4}
        full = sum(
            s.bars for s in plan.sections if "drums" in s.parts and s.name in ("A", "A'", "B")
        )
        shares.append(len(played) / full)
    assert np.mean(shares) > 1.5
    assert min(shares) > 0.5


def test_drums_turn_ghost_and_fill():
    ghosts, different, repeats = 0, [], []
    for drums, _, plan in parts_of("drums"):
        ghosts += bool((drums.velocity < 0.6 * drums.velocity.max()).any())
        for section in plan.sections:
            if section.name in ("A", "A'", "B") and section.bars == 8 and "drums" in section.parts:
                bars = [tuple(b) for b in bars_of(drums, section.start_bar, 8)]
                assert len(set(bars)) >= 2
                different.append(len(set(bars)))
                repeats.append(Counter(bars).most_common(1)[0][1])
    assert ghosts > 0.8 * len(parts_of("drums"))
    assert np.mean(different) > 3  # no machine
    assert np.mean(repeats) > 2  # and no random holes: a groove comes back


def test_the_backbeat_is_late_and_the_same_in_the_whole_piece():
    late = []
    for drums, _, plan in parts_of("drums"):
        back = drums.onset[np.isin(drums.pitch, (37, 38)) & (drums.velocity > 30)]
        astray = (back + 240) % 480 - 240
        on_beat = astray[np.abs(astray) < 18]
        late.append(on_beat.mean() * 60_000 / plan.bpm / TICKS_PER_BEAT)
    assert np.mean(late) > 3


def test_the_band_may_hold_its_breath_before_b():
    held = fills = 0
    for drums, _, plan in parts_of("drums"):
        for section, following in pairwise(plan.sections):
            if following.name != "B" or "drums" not in section.parts or section.bars < 4:
                continue
            middle = (following.start_bar - 1) * TICKS_PER_BAR + HALF_BAR
            late = drums.within(middle + EARLY, middle + HALF_BAR - EARLY)
            held += not np.isin(late.pitch, (42, 46, 51, 70)).any() and len(late) <= 4
            fills += 1
    assert fills > 40
    assert 0.2 < held / fills < 0.9


def test_the_guitar_answers_where_the_lead_rests():
    notes, guide = 0, []
    for seed in range(200):
        brief = brief_for(("chill", "melancholic", "dreamy")[seed % 3], seed)
        plan = draw_plan(brief, bars=24)
        band = Band(brief, plan)
        players = _Players(band)
        for scene in band.scenes:
            parts = scene.section.parts
            counter = "guitar" in parts and players._guitar_role(scene) == "counter"
            played = players.play(scene) if counter else {}
            for onset, length, pitch, _ in played.get("guitar", []):
                chord = chord_at(plan, onset)
                if (onset + EARLY) % HALF_BAR < 2 * EARLY and length > TICKS_PER_BEAT:
                    guide.append(pitch % 12 in (chord.third, chord.seventh))
                notes += 1
        if notes > 400:
            break
    assert notes > 400
    assert np.mean(guide) > 0.75


# Melody


def test_most_pieces_have_a_melody():
    sung = Counter(b for b, score, _ in pieces() if "lead" in notes_by_part(score))
    assert sum(sung.values()) >= 0.8 * len(pieces())
    for bundle in ("chill", "melancholic", "upbeat", "dreamy"):
        assert sung[bundle] >= 16, bundle


def test_melodies_move_by_step_and_leaps_are_answered():
    steps: Counter[int] = Counter()
    answered = []
    for lead, _, _ in parts_of("lead"):
        near = np.diff(lead.onset) <= TICKS_PER_BAR
        moves = np.diff(lead.pitch)
        steps.update(np.abs(moves[near]).tolist())
        for a, b, close in zip(moves, moves[1:], near[1:], strict=False):
            if abs(a) > 4 and close:
                answered.append(a * b <= 0 and abs(b) <= 4)
    total = sum(steps.values())
    assert 0.55 <= sum(n for s, n in steps.items() if s <= 2) / total <= 0.75
    assert sum(n for s, n in steps.items() if s > 7) / total < 0.04
    assert np.mean(answered) > 0.6


def test_a_section_of_melody_stays_within_a_tenth_or_so():
    spans = []
    for lead, _, plan in parts_of("lead"):
        for section in plan.sections:
            start = section.start_bar * TICKS_PER_BAR - EARLY
            sung = lead.within(start, start + section.bars * TICKS_PER_BAR)
            if len(sung) >= 12:
                spans.append(int(sung.pitch.max() - sung.pitch.min()))
    assert 9 <= np.median(spans) <= 16
    assert max(spans) <= 19


def test_a_section_of_melody_has_one_climax():
    peaks = []
    for lead, _, plan in parts_of("lead"):
        for section in plan.sections:
            if section.name in ("A", "A'", "B") and section.bars == 8:
                bars = bars_of(lead, section.start_bar, 8)
                sung = [p for b in bars for _, p in b]
                if len(sung) >= 12:
                    peaks.append(sum(any(p == max(sung) for _, p in b) for b in bars))
    assert len(peaks) > 100
    assert np.mean(np.array(peaks) == 1) > 0.6
    assert np.mean(np.array(peaks) <= 2) > 0.85


def test_b_lies_elsewhere_than_a():
    apart = []
    for lead, _, plan in parts_of("lead"):
        mean = {}
        for section in plan.sections:
            start = section.start_bar * TICKS_PER_BAR - EARLY
            sung = lead.within(start, start + section.bars * TICKS_PER_BAR)
            if len(sung) >= 6:
                mean.setdefault(section.name, float(sung.pitch.mean()))
        if {"A", "B"} <= set(mean):
            apart.append(abs(mean["A"] - mean["B"]))
    assert len(apart) > 40
    assert np.mean(apart) > 2


def test_a_pickup_leads_into_the_next_bar(monkeypatch: pytest.MonkeyPatch):
    phrase = {"name": "picked up", "bars": ", a , b", "lively": 0.5}
    only(monkeypatch, "melody", {**material("melody"), "phrases": [phrase]})
    score, plan = compose(brief_for("upbeat", 2), bars=24)
    lead = notes_by_part(score)["lead"]
    section = next(s for s in plan.sections if s.name == "A")
    bars = bars_of(lead, section.start_bar, 8)
    for at in (0, 2, 4, 6):
        assert bars[at]
        # What the bar before may have left ringing aside, it is silent until the pickup.
        assert min(t for t, _ in bars[at]) >= 24
        assert abs(bars[at][-1][1] - bars[at + 1][0][1]) <= 5


def test_the_melody_sits_on_the_chords_where_it_counts():
    strong, long = [], []
    for lead, _, plan in parts_of("lead"):
        for onset, length, pitch in zip(lead.onset, lead.length, lead.pitch, strict=True):
            inside = pitch % 12 in chord_at(plan, int(onset)).pitch_classes
            if min(onset % HALF_BAR, HALF_BAR - onset % HALF_BAR) < 18:
                strong.append(inside)
            if length >= 1.5 * TICKS_PER_BEAT:
                long.append(inside)
    assert len(strong) > 500
    assert np.mean(strong) >= 0.85
    assert np.mean(long) >= 0.9


def test_long_tones_of_the_melody_do_not_rub_against_the_chords():
    rubs = []
    for lead, parts, _ in parts_of("lead"):
        others = [parts[p] for p in ("keys", "guitar", "pad") if p in parts]
        for onset, length, pitch in zip(lead.onset, lead.length, lead.pitch, strict=True):
            if length < TICKS_PER_BEAT or min(onset % HALF_BAR, HALF_BAR - onset % HALF_BAR) >= 18:
                continue
            above = np.concatenate(
                [
                    pitch - n.pitch[(n.onset < onset + 30) & (n.onset + n.length > onset + 60)]
                    for n in others
                ]
            )
            rubs.append(bool(((above == -1) | ((above > 0) & (above % 12 == 1))).any()))
    assert len(rubs) > 300
    assert np.mean(rubs) < 0.03


def test_motives_return_within_a_section():
    returned = []
    for lead, _, plan in parts_of("lead"):
        for section in plan.sections:
            if section.name in ("A", "B") and section.bars == 8:
                bars = bars_of(lead, section.start_bar, 8)
                rhythms = [tuple(t for t, _ in b) for b in bars if len(b) > 1]
                if len(rhythms) >= 3:
                    returned.append(len(set(rhythms)) < len(rhythms))
    assert len(returned) > 60
    assert np.mean(returned) > 0.6


def test_the_return_of_a_is_a_told_again():
    """A' keeps A's chords and motives, with another melody, other comping, often another layer."""
    same, related, comped, layered = [], [], [], 0
    for lead, parts, plan in parts_of("lead"):
        first = next((s for s in plan.sections if s.name == "A" and s.bars == 8), None)
        again = next((s for s in plan.sections if s.name == "A'" and s.bars == 8), None)
        if first is None or again is None:
            continue
        layered += set(first.parts) < set(again.parts)
        told, retold = (bars_of(lead, s.start_bar, 8) for s in (first, again))
        pairs = [(a, b) for a, b in zip(told, retold, strict=True) if a or b]
        same.append(np.mean([a == b for a, b in pairs]))
        rhythms = {tuple(t for t, _ in a) for a in told if a}
        related.append(any(tuple(t for t, _ in b) in rhythms for b in retold if b))
        keys = [bars_of(parts["keys"], s.start_bar, 8) for s in (first, again)]
        comped.append(keys[0] != keys[1])
    assert len(same) > 40
    assert np.mean(np.array(same) == 1) < 0.03
    assert np.mean(same) < 0.5
    assert np.mean(related) > 0.8
    assert np.mean(comped) > 0.95
    assert layered > 20


def test_phrases_land_on_a_tone_that_has_time():
    lengths, inside = [], []
    for lead, _, plan in parts_of("lead"):
        for section in plan.sections:
            start = section.start_bar * TICKS_PER_BAR - EARLY
            sung = lead.within(start, start + section.bars * TICKS_PER_BAR)
            if section.name in ("A", "A'", "B") and len(sung) > 3:
                lengths.append(int(sung.length[-1]))
                chord = chord_at(plan, int(sung.onset[-1]))
                inside.append(sung.pitch[-1] % 12 in (chord.root, chord.third, chord.fifth))
    assert np.mean(np.array(lengths) >= TICKS_PER_BEAT) > 0.85
    assert np.mean(inside) > 0.75


def test_no_two_of_sixty_pieces_share_eight_bars_of_melody():
    seen: set[bytes] = set()
    for _, score, _ in pieces()[::2]:
        mine = melody_windows(score)
        assert not mine & seen
        seen |= mine
    assert len(seen) > 400


def test_a_melody_is_known_again_in_another_key_touch_and_swing_but_not_after_a_change():
    score = compose(Brief(seed=2, mood="happy").settled(), bars=24)[0]
    windows = melody_windows(score)
    assert len(windows) > 8
    moved = score.copy()
    for track in moved.tracks:
        if track.name == "lead":
            for note in track.notes:
                note.pitch -= 3
                note.velocity = 60
                note.time += 5
                note.duration = 100
    assert melody_windows(moved) == windows
    lead = next(t for t in moved.tracks if t.name == "lead")
    middle = lead.notes[len(lead.notes) // 2]
    middle.pitch += 2
    assert melody_windows(moved) != windows


def test_windows_with_fewer_than_eight_notes_have_no_fingerprint():
    score = symusic.Score(TICKS_PER_BEAT)
    assert melody_windows(score) == set()
    track = symusic.Track("lead", PARTS["lead"].program, False)
    for i in range(7):
        track.notes.append(symusic.Note(i * 480, 240, 70 + i, 60))
    score.tracks.append(track)
    assert melody_windows(score) == set()
    score.tracks[0].notes.append(symusic.Note(7 * 480, 240, 70, 60))
    assert len(melody_windows(score)) == 1


# The tables


def test_there_is_enough_of_everything():
    grooves = material("grooves")
    assert len(material("progressions")["loops"]) >= 90
    assert len(grooves["grooves"]) >= 36
    assert len(grooves["fills"]) >= 14
    assert len(material("voicings")) >= 60
    for bundle in BUNDLES:
        assert sum(bundle in r["moods"] for r in grooves["grooves"]) >= 5
        for mode in ("major", "minor"):
            loops = [r for r in material("progressions")["loops"] if r["mode"] == mode]
            assert sum(bundle in r["moods"] for r in loops) >= 7, (bundle, mode)
        for use in ("comp", "broken", "stops", "offbeat"):
            rows = [r for r in material("comping") if r["use"] == use]
            assert any(bundle in r["moods"] for r in rows) or use not in chords_module.ROLES[bundle]


def test_rows_have_names_of_their_own_and_moods_that_exist():
    tables = {
        "bass": material("bass"),
        "comping": material("comping"),
        "voicings": material("voicings"),
        **material("progressions"),
        **material("grooves"),
        **{k: v for k, v in material("melody").items() if k != "cells"},
    }
    for label, rows in tables.items():
        names = [(r["name"], r.get("mode")) for r in rows]
        assert len(set(names)) == len(names), label
        for row in rows:
            assert set(row.get("moods", BUNDLES)) <= set(BUNDLES), row
            assert row.get("moods", ["any"]), row


def test_every_mark_of_a_table_stands_in_its_legend():
    used: dict[str, set[str]] = {}
    used["comping"] = {c for r in material("comping") for c in tablature(r["steps"])}
    used["bass"] = {c for r in material("bass") for c in tablature(r.get("steps", r.get("kick")))}
    grooves = material("grooves")
    used["grooves"] = {
        c
        for part in ("grooves", "turns", "fills")
        for row in grooves[part]
        for line, steps in row.items()
        if line not in ("name", "moods")
        for c in tablature(steps)
    }
    used["melody"] = {c for r in material("melody")["cells"] for c in tablature(r["steps"])}
    used["melody"] |= {c for r in material("melody")["phrases"] for c in r["bars"]}
    for name, marks in used.items():
        text = resources.files("lofi.music").joinpath("material", f"{name}.yaml").read_text("utf-8")
        legend = "\n".join(re.findall(r"^#.*", text, re.M))
        for mark in marks - set("12345 -"):
            assert re.search(rf"(?<!\w){re.escape(mark)}", legend), (name, mark)


def test_the_lines_of_every_row_are_whole_bars():
    for row in (*material("comping"), *material("bass")):
        if "steps" in row:
            assert len(tablature(row["steps"])) in (16, 32, 64), row
    for rows in material("grooves").values():
        for row in rows:
            lines = set(row) - {"name", "moods"}
            assert lines <= set(drums_module.PITCHES), row
            assert {len(tablature(row[line])) for line in lines} <= {16, 32}, row
    for row in material("grooves")["grooves"]:
        assert "kick" in row, row
    for row in material("melody")["cells"]:
        assert len(tablature(row["steps"])) == 8
        assert strokes(tablature(row["steps"]))
    for row in material("melody")["phrases"]:
        assert len(row["bars"].split()) in (4, 8), row
        assert all(re.fullmatch(r"[.,]|[abc](['i~*f>]|[+-]\d)*", t) for t in row["bars"].split()), (
            row
        )
    for row in material("melody")["arcs"]:
        heights = [int(h) for h in row["heights"].split()]
        assert len(heights) == 8
        assert heights.count(max(heights)) == 1, row  # one climax


def test_every_loop_and_ending_can_be_read_by_name():
    for kind in ("loops", "endings"):
        for row in material("progressions")[kind]:
            for bar in row["chords"].split("|"):
                assert 1 <= len(bar.split()) <= 2, row["name"]
            for key in (Key(0, row["mode"]), Key(6, row["mode"])):
                halves = plan_module._read(row["chords"], key.tonic, plan_module.random.Random(0))
                assert all(w.chord.quality in QUALITIES for w in halves), row["name"]
                assert all(Chord.parse(plan_module._spelled(w, key)) for w in halves)
                if kind == "loops":
                    assert len(halves) in (4, 8, 16), row["name"]


def test_every_voicing_can_be_reached_by_name():
    for row in material("voicings"):
        for quality in row["chords"]:
            assert quality in QUALITIES, row["name"]
            for player in row["players"]:
                assert row["name"] in {s.name for s in shapes(quality, player)}
    for quality in QUALITIES:
        for player in ("keys", "guitar", "pad"):
            assert len(shapes(quality, player)) >= 2, (quality, player)


@pytest.mark.parametrize("name", ["bass", "comping"])
def test_every_rhythm_can_be_played_by_name(name: str, monkeypatch: pytest.MonkeyPatch):
    part = {"bass": "bass", "comping": "keys"}[name]
    for row in material(name):
        alone = everywhere(row) | ({"use": "comp"} if name == "comping" else {})
        only(monkeypatch, name, [alone, {**alone, "use": "broken"}])
        score, _ = compose(brief_for("chill", 1), bars=6)
        assert len(notes_by_part(score)[part]) >= 4, row["name"]


@pytest.mark.parametrize("kind", ["grooves", "turns", "fills"])
def test_every_line_of_the_drums_can_be_played_by_name(kind: str, monkeypatch: pytest.MonkeyPatch):
    for row in material("grooves")[kind]:
        only(monkeypatch, "grooves", {**material("grooves"), kind: [everywhere(row)]})
        drums = notes_by_part(compose(brief_for("chill", 1), bars=6)[0])["drums"]
        pitches = {drums_module.PITCHES[k] for k in row if k in drums_module.PITCHES}
        if kind == "grooves":
            written = {k for k in row if k in drums_module.PITCHES and set(row[k]) & set("Xxog")}
            assert {drums_module.PITCHES[k] for k in written} <= set(drums.pitch.tolist()), row
        assert len(drums) > 8, row["name"]
        assert pitches, row["name"]


@pytest.mark.parametrize("kind", ["cells", "contours", "phrases", "arcs"])
def test_every_row_of_the_melody_can_be_sung(kind: str, monkeypatch: pytest.MonkeyPatch):
    for row in material("melody")[kind]:
        only(monkeypatch, "melody", {**material("melody"), kind: [everywhere(row)]})
        score, plan = compose(brief_for("upbeat", 2), bars=8)
        assert any("lead" in s.parts for s in plan.sections)
        assert len(notes_by_part(score)["lead"]) >= 2, row
