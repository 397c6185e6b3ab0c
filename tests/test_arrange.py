"""The arrangement of written stretches: layers, returns, fills and the end."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from lofi.brief import BUNDLES, PARTS, Brief, Plan, read_form
from lofi.music import draw_plan, measure, notes_by_part
from lofi.music._arrange import TOUCH, Draft, arrange, touched, unrounded
from lofi.music._band import grid_swing
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT
from lofi.music._recognise import Notes
from lofi.music._theory import Chord
from lofi.music._tokens import VELOCITY_STEP
from lofi.music._writer import Order

BED = ("drums", "bass", "keys", "guitar", "pad")


def machine(plan: Plan, bars: int, section: int) -> dict[str, Notes]:
    """Bars that are all alike but for the melody: whatever changes is the arranger's doing."""
    step = TICKS_PER_BEAT // 12
    off = round(12 * grid_swing(plan.swing))
    rows: dict[str, list[tuple[int, int, int, int]]] = {p: [] for p in PARTS}
    for bar in range(bars):
        start = bar * TICKS_PER_BAR
        for beat in range(4):
            at = start + beat * TICKS_PER_BEAT
            rows["drums"] += [(at, 60, 42, 60), (at + off * step, 60, 42, 50)]
            rows["drums"].append((at, 60, 38 if beat % 2 else 36, 80))
            rows["lead"].append((at, 300, 72 + (section * 5 + bar + beat) % 7, 70))
            rows["guitar"].append((at + off * step, 200, 64, 60))
        rows["bass"] += [(start, 900, 40, 70), (start + 960, 900, 40, 70)]
        rows["keys"] += [(start, 1800, p, 64) for p in (55, 59, 62, 66)]
        rows["pad"] += [(start, 1900, p, 50) for p in (64, 71)]
    return {p: Notes(*np.array(sorted(r), np.int64).T) for p, r in rows.items()}


def arranged(seed: int, **more):
    brief = Brief(seed=seed, **{"duration_s": 120, "mood": "chill", **more}).settled()
    plan = draw_plan(brief)
    orders = tuple(Order(s, str(i)) for i, s in enumerate(plan.sections))
    written = [
        [(0, {p: n for p, n in machine(plan, s.bars, i).items() if p in s.parts})]
        for i, s in enumerate(plan.sections)
    ]
    score, told = arrange(Draft(plan, orders), written, brief)
    return notes_by_part(score), plan, told, score


def grid(notes: Notes, bar: int, bars: int = 1) -> set[tuple[int, int]]:
    """(twelfth of a beat, pitch) of a stretch; players stray by less than half a twelfth."""
    inside = notes.within(bar * TICKS_PER_BAR - 20, (bar + bars) * TICKS_PER_BAR - 20)
    twelfths = np.round((inside.onset - bar * TICKS_PER_BAR) / 40).astype(int)
    return set(zip(twelfths.tolist(), inside.pitch.tolist(), strict=True))


def test_drums_fill_wherever_one_section_leads_into_another():
    closed = 0
    for seed in range(12):
        for mood in BUNDLES:
            parts, plan, _, _ = arranged(seed, mood=mood, parts=tuple(PARTS), swing=0.5)
            for section, following in pairwise(plan.sections):
                same = (section.name, section.parts) == (following.name, following.parts)
                if same or not {"drums"} <= {*section.parts} & {*following.parts}:
                    continue
                last = section.start_bar + section.bars - 1
                assert grid(parts["drums"], last) != grid(parts["drums"], last - 1)
                closed += 1
    assert closed > 150


def test_a_return_is_no_copy_but_keeps_most_of_its_bed():
    shared = []
    for seed in range(20):
        parts, plan, told, _ = arranged(
            seed, form=read_form("A:8 A':8 B:8 A':8 outro:4"), duration_s=None, parts=tuple(PARTS)
        )
        first, again = plan.sections[0], plan.sections[1]
        both = [p for p in BED if p in first.parts and p in again.parts]
        a = {(p, *n) for p in both for n in grid(parts[p], first.start_bar, 7)}
        b = {(p, *n) for p in both for n in grid(parts[p], again.start_bar, 7)}
        assert a != b
        shared.append(len(a & b) / len(a | b))
        assert {t["bar"] for t in told} & set(range(again.start_bar + 1, again.start_bar + 9))
    assert np.mean(shared) > 0.65
    assert min(shared) > 0.4


def test_even_a_band_of_one_varies_what_returns():
    for part in ("keys", "bass", "lead", "drums"):
        parts, plan, _, _ = arranged(
            3, form=read_form("A:8 A':8 outro:2"), duration_s=None, parts=(part,)
        )
        assert grid(parts[part], 0, 8) != grid(parts[part], 8, 8)
        assert plan.bars == 18


def test_layers_enter_and_leave():
    moves = 0
    for seed in range(20):
        parts, plan, _, _ = arranged(seed)
        playing = [{p for p, n in parts.items() if grid(n, b)} for b in range(plan.bars - 1)]
        entered = sum(len(b - a) > 0 for a, b in pairwise(playing))
        left = sum(len(a - b) > 0 for a, b in pairwise(playing))
        assert entered
        assert left
        assert all(playing)  # nowhere is the whole band silent
        moves += entered + left
    assert moves > 100


@pytest.mark.parametrize("duration_s", [10, 33.3, 61, 64])
def test_the_last_chord_rings_to_the_very_end_and_nothing_follows_it(duration_s: float):
    for seed, mood in enumerate(BUNDLES):
        parts, plan, _, score = arranged(seed, mood=mood, duration_s=duration_s)
        last = (plan.bars - 1) * TICKS_PER_BAR
        second = 60 / plan.bpm / TICKS_PER_BEAT
        assert score.end() * second == pytest.approx(duration_s, abs=0.05)
        chord = Chord.parse(plan.sections[-1].chords[-1])
        for part, notes in parts.items():
            final = notes.within(last, 1 << 40)
            assert (final.onset - last < 100).all()  # struck together, perhaps rolled
            before = notes.within(0, last)
            assert (before.onset + before.length <= last + 40).all()
            if part != "drums":
                assert {int(p) % 12 for p in final.pitch} <= {*chord.pitch_classes, chord.fifth}
        struck = [n.within(last, 1 << 40) for p, n in parts.items() if p != "drums"]
        assert chord.root in {int(p) % 12 for n in struck for p in n.pitch}


@pytest.mark.parametrize("band", [("drums",), ("lead", "drums"), ("bass",), ("pad", "lead")])
def test_a_small_band_ends_with_those_who_play(band: tuple[str, ...]):
    parts, plan, _, _ = arranged(5, parts=band)
    assert set(parts) == set(band)
    last = (plan.bars - 1) * TICKS_PER_BAR
    assert any(len(n.within(last, 1 << 40)) for n in parts.values())


@pytest.mark.parametrize("swing", [0.5, 0.55, 0.62, 0.67])
def test_written_on_the_grid_it_is_played_with_the_swing_asked_for(swing: float):
    _, plan, _, score = arranged(2, swing=swing, duration_s=60)
    assert plan.swing == swing
    assert measure(score).swing == pytest.approx(swing, abs=0.01)


def test_sections_swell_and_the_outro_fades_a_little():
    outro, full = [], []
    for seed in range(8):
        parts, plan, _, _ = arranged(seed, form=read_form("A:8 B:8 outro:8"), duration_s=None)
        bar = TICKS_PER_BAR
        full.append(parts["bass"].within(8 * bar, 16 * bar).velocity.mean())
        tail = parts["keys" if "keys" in plan.sections[-1].parts else "bass"]
        outro.append(tail.within(20 * bar, 23 * bar).velocity.mean() / tail.velocity.max())
    assert np.mean(full) > 70
    assert np.mean(outro) < 0.95


def test_the_same_seed_arranges_the_same_way():
    first, again, other = (arranged(s)[3].dumps_midi() for s in (4, 4, 5))
    assert first == again != other


def test_velocities_lie_as_they_did_before_the_tokens_rounded_them():
    rng = np.random.default_rng(1)
    for spread in (TOUCH, 8, 14):
        for mean in (56, 60, 63, 68):
            played = rng.normal(mean, spread, 400)
            rounded = np.round((played + 1) / VELOCITY_STEP) * VELOCITY_STEP - 1
            heard = touched(rounded, rng)
            assert np.abs(heard - rounded).max() <= VELOCITY_STEP / 2
            assert heard.std() == pytest.approx(spread, rel=0.25)
            assert heard.mean() == pytest.approx(played.mean(), abs=max(1.5, spread / 6))


def test_two_neighbouring_velocities_are_a_player_of_the_usual_touch():
    rng = np.random.default_rng(1)
    for share in (0.1, 0.5, 0.9):
        heard = touched(np.where(rng.random(400) < share, 63, 47).astype(float), rng)
        assert heard.std() == pytest.approx(TOUCH, rel=0.25)
        # A token that was drawn once by mistake makes nobody play more unevenly.
        slip = touched(np.array([47.0] * 200 + [63] * 200 + [111]), rng)
        assert slip[:-1].std() == pytest.approx(TOUCH, rel=0.25)


def test_drums_spread_as_they_did_before_the_tokens_rounded_them():
    rng = np.random.default_rng(1)
    ways = rng.choice([35, 70, 100], 4000)  # ghost, stroke, accent
    played = ways + rng.normal(0, 6, len(ways))
    rounded = np.round((played + 1) / VELOCITY_STEP) * VELOCITY_STEP - 1
    heard = unrounded(rounded) + rng.normal(0, TOUCH, len(ways))
    assert abs(heard.std() - played.std()) < 0.3
    assert abs(heard.mean() - rounded.mean()) < 0.3
    assert np.array_equal(unrounded(np.full(9, 79)), np.full(9, 79))


def test_a_piece_is_as_loud_as_its_mood_and_its_sections_swell_alike():
    for seed in range(4):
        for mood, bundle in BUNDLES.items():
            parts, plan, _, _ = arranged(seed, mood=mood, parts=tuple(PARTS))
            pitched = np.concatenate([n.velocity for p, n in parts.items() if p != "drums"])
            usual = sum(bundle.velocity) / 2
            # Machines play at 62 or so; a token may be half a step from what is meant.
            assert abs(pitched.mean() - usual) < max(3.6, abs(usual - 62) - VELOCITY_STEP / 2 + 3)
            keys = parts["keys"].within(0, (plan.bars - 1) * TICKS_PER_BAR)
            section = np.repeat(range(len(plan.sections)), [s.bars for s in plan.sections])
            named = np.array([s.name for s in plan.sections])[section[keys.onset // TICKS_PER_BAR]]
            full, ends = (np.isin(named, names) for names in (("A", "A'", "B"), ("intro", "outro")))
            assert keys.velocity[full].mean() > keys.velocity[ends].mean()


def test_no_part_of_a_return_waits_for_so_long_that_it_is_less_busy_than_before():
    """The guitar plays four notes a bar: half a section of them would be sparse."""
    waited = 0
    for seed in range(40):
        _, _, told, _ = arranged(
            seed, form=read_form("A:8 A':8 B:8 A':8 outro:4"), duration_s=None, parts=tuple(PARTS)
        )
        moves = [str(t["what"]) for t in told]
        assert not any(m.startswith("guitar enters") for m in moves)
        waited += sum("enters" in m for m in moves)
    assert waited > 20  # the pad, which is sparse and stays so
