"""The rule composer: what a musician would hear if it broke."""

from pathlib import Path

import numpy as np
import pytest

from lofi.brief import BUNDLES, MOODS, PARTS, Brief, Key
from lofi.music import compose, draw_plan, draw_progression, measure, notes_by_part
from lofi.music._midi import TICKS_PER_BAR
from lofi.music._theory import Chord


def brief_for(bundle: str, seed: int, **more) -> Brief:
    names = [m.name for m in MOODS.values() if m.bundle == bundle]
    return Brief(seed=seed, mood=names[seed % len(names)], **more).settled()


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


@pytest.mark.parametrize("bundle", list(BUNDLES))
def test_a_mood_measures_as_what_it_means(bundle: str):
    found = [measure(compose(brief_for(bundle, s), bars=32)[0]) for s in range(20)]
    asked = BUNDLES[bundle]
    for name, (low, high) in (
        ("bpm", asked.bpm),
        ("density", asked.density),
        ("velocity", asked.velocity),
        ("register", asked.register),
    ):
        assert low <= np.mean([getattr(m, name) for m in found]) <= high, name
    assert np.mean([m.bundle == bundle for m in found]) >= 0.7


def test_the_key_asked_for_is_the_key_measured():
    hits = []
    for i in range(48):
        key = Key(i % 12, "major" if i < 24 else "minor")
        score, _ = compose(Brief(seed=i, mood="chill", key=key).settled(), bars=24)
        told = measure(score).key
        assert told is not None
        hits.append(set(Key.parse(told).scale) == set(key.scale))
    assert np.mean(hits) >= 0.9


def test_every_note_is_inside_its_instrument_and_none_overlaps_itself():
    for bundle in BUNDLES:
        for seed in range(4):
            score, plan = compose(brief_for(bundle, seed), bars=24)
            for part, notes in notes_by_part(score).items():
                assert PARTS[part].low <= notes.pitch.min()
                assert notes.pitch.max() <= PARTS[part].high
                assert (notes.onset + notes.length).max() <= plan.bars * TICKS_PER_BAR
                for pitch in np.unique(notes.pitch):
                    same = notes.pitch == pitch
                    ends = (notes.onset + notes.length)[same]
                    assert (ends[:-1] <= notes.onset[same][1:]).all()


def test_the_melody_sits_on_the_chords_where_it_counts():
    good = []
    for seed in range(12):
        score, plan = compose(Brief(seed=seed, mood="happy").settled(), bars=24)
        lead = notes_by_part(score).get("lead")
        if lead is None:
            continue
        chords = [c for s in plan.sections for c in s.chords]
        half = TICKS_PER_BAR // 2
        for onset, pitch in zip(lead.onset, lead.pitch, strict=True):
            if min(onset % half, half - onset % half) < 12:
                chord = Chord.parse(chords[min(round(onset / half), len(chords) - 1)])
                good.append(pitch % 12 in chord.pitch_classes)
    assert len(good) > 50
    assert np.mean(good) >= 0.7


def test_moods_with_drums_have_a_backbeat():
    for bundle in ("chill", "upbeat"):
        score, plan = compose(brief_for(bundle, 2), bars=24)
        drums = notes_by_part(score)["drums"]
        back = drums.onset[np.isin(drums.pitch, (37, 38))]
        beats = np.round(back / 480).astype(int)
        played = {b for b in beats[np.abs(back - beats * 480) < 60] if b % 4 in (1, 3)}
        drummed = sum(s.bars for s in plan.sections if "drums" in s.parts)
        assert len(played) >= 1.5 * (drummed - 1)


def test_it_ends_on_the_tonic():
    for seed in range(8):
        brief = Brief(seed=seed).settled()
        score, plan = compose(brief, bars=20)
        assert brief.key
        assert Chord.parse(plan.sections[-1].chords[-1]).root == brief.key.tonic
        last = (plan.bars - 1) * TICKS_PER_BAR - 10
        sounding = {
            int(p) % 12
            for part, n in notes_by_part(score).items()
            if part != "drums"
            for p in n.within(last, plan.bars * TICKS_PER_BAR).pitch
        }
        assert brief.key.tonic in sounding


def test_the_same_brief_gives_the_same_notes_and_another_seed_others():
    brief = Brief(seed=4, mood="cozy").settled()
    first = compose(brief, bars=16)[0].dumps_midi()
    assert first == compose(brief, bars=16)[0].dumps_midi()
    other = Brief(seed=5, mood="cozy", bpm=brief.bpm, key=brief.key).settled()
    assert first != compose(other, bars=16)[0].dumps_midi()


def test_no_two_of_fifty_pieces_share_an_eight_bar_melody():
    seen: set[bytes] = set()
    for seed in range(50):
        score, plan = compose(Brief(seed=seed, mood="happy").settled(), bars=24)
        lead = notes_by_part(score).get("lead")
        if lead is None:
            continue
        mine = set()
        for section in plan.sections:
            start = section.start_bar * TICKS_PER_BAR
            bars = lead.within(start, start + 8 * TICKS_PER_BAR)
            if len(bars) >= 8:
                mine.add(np.diff(bars.pitch).tobytes())
        assert not mine & seen
        seen |= mine


def test_progressions_of_every_mood_and_mode_can_be_read_as_chords():
    for mood in MOODS:
        for mode in ("major", "minor"):
            for seed in range(6):
                symbols = draw_progression(Key(seed, mode), mood, 8, seed)
                assert len(symbols) == 16
                assert all(Chord.parse(s) for s in symbols)


def test_every_row_of_the_material_can_be_played():
    import yaml

    import lofi.music

    folder = Path(lofi.music.__file__).parent / "material"
    marks = {"comping": "Xxubpq>-.12345", "bass": "R5837Pwavcd>-.", "melody": "x-."}
    for name, allowed in marks.items():
        table = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
        for row in table["cells"] if name == "melody" else table:
            if "steps" not in row:
                continue
            steps = "".join(row["steps"].split())
            assert set(steps) <= set(allowed), row
            assert len(steps) in (8, 16, 32), row
    grooves = yaml.safe_load((folder / "grooves.yaml").read_text(encoding="utf-8"))
    for row in grooves["grooves"] + grooves["turns"] + grooves["fills"]:
        for line, steps in row.items():
            if line not in ("name", "moods"):
                assert len("".join(steps.split())) in (16, 32), row
                assert set("".join(steps.split())) <= set("Xxog?.-"), row
