"""The writer: each stretch is written once, well, and returns where it is heard again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import symusic

from lofi.brief import PARTS, Brief, Key, Plan, Section
from lofi.music import (
    Sampling,
    compose,
    decode,
    decode_bars,
    notes_by_part,
    open_model,
    vocabulary,
)
from lofi.music._engine import Model
from lofi.music._grammar import Stretch
from lofi.music._midi import TICKS_PER_BAR
from lofi.music._rate import rate
from lofi.music._recognise import Notes
from lofi.music._sample import Job, sample
from lofi.music._theory import Chord
from lofi.music._tokens import header
from lofi.music._writer import Order, Writer, clipped, kept_notes

LOOP = ("Am9", "Am9", "D7", "D7", "Gmaj9", "Gmaj9", "Cmaj7", "Cmaj7") * 2


def written(
    model: Model, *sections: tuple[str, int, tuple[str, ...]], best_of: int = 2, **more: Any
) -> tuple[list[dict[str, Notes]], list[dict[str, Any]]]:
    """The notes of sections over the same chords, and the choices that were made."""
    start, laid = 0, []
    for name, bars, parts in sections:
        laid.append(Section(name, start, bars, parts, LOOP[: 2 * bars]))
        start += bars
    plan = Plan(80.0, Key.parse("G major"), 0.5, tuple(laid), dict.fromkeys(PARTS, 2))
    writer = Writer(
        plan, "chill", model, Sampling(max_length=600),
        seed=3, best_of=best_of, threads=1, **more,
    )  # fmt: skip
    found = writer.write([Order(s, str(i)) for i, s in enumerate(plan.sections)])
    return [stretches[0][1] for stretches in found], writer.choices


def same(one: Notes, other: Notes) -> bool:
    return all(
        np.array_equal(getattr(one, f), getattr(other, f))
        for f in ("onset", "length", "pitch", "velocity")
    )


def test_a_return_that_is_fuller_but_shorter_returns(untrained: Path):
    (first, again), choices = written(
        open_model(untrained),
        ("A", 8, ("drums", "bass", "lead")),
        ("A'", 7, ("drums", "bass", "keys", "lead")),
    )
    stop = 7 * TICKS_PER_BAR
    for part in ("drums", "bass"):
        assert len(first[part])
        assert same(again[part], clipped(first[part].within(0, stop), stop))
    assert set(first) == {"drums", "bass", "lead"}
    assert set(again) == {"drums", "bass", "keys", "lead"}
    assert [c["written"] for c in choices] == [["drums", "bass", "keys", "lead"], ["lead"]]
    assert not same(again["lead"], clipped(first["lead"].within(0, stop), stop))


def test_who_misses_what_is_asked_is_taken_from_another_candidate(untrained: Path):
    """The total only rises by it, and each part is whole from one of the candidates."""
    sections = ("A", 4, tuple(PARTS)), ("outro", 2, ("keys",))
    (alone, _), _ = written(open_model(untrained), *sections, best_of=1)
    (mixed, _), (choice,) = written(open_model(untrained), *sections, best_of=6)
    assert choice["taken"]
    chords = [Chord.parse(c) for c in LOOP[:8]]
    levels = dict.fromkeys(PARTS, 2)
    best = max(r["total"] for r in choice["ratings"])
    assert rate(mixed, chords, Key.parse("G major"), levels, 4, "chill")["total"] > best
    assert choice["chosen"] not in choice["taken"].values()
    for part in PARTS:  # the first candidate is the one that is written alone
        from_first = choice["taken"].get(part, choice["chosen"]) == 0
        assert same(mixed[part], alone[part]) == from_first


def test_nobody_is_taken_who_copies_more(untrained: Path):
    seen: list[int] = []

    def copied(score: symusic.Score) -> int:
        seen.append(score.note_num())
        return 9 if len(seen) == 1 else 40

    _, (choice,) = written(open_model(untrained), ("A", 4, tuple(PARTS)), best_of=4, copied=copied)
    assert choice["ratings"][choice["chosen"]]["copied_notes"] == 9
    assert choice["taken"] == {}
    assert len(seen) > 1  # some were tried


def test_a_melody_over_parts_that_are_kept_is_as_busy_as_one_that_is_free():
    """What is kept stands for all that its players might have played: it leaves room as they do."""
    model = open_model(None)
    bars = 8
    stop = bars * TICKS_PER_BAR
    score, _ = compose(Brief(seed=2, mood="chill").settled(), bars=bars)
    heard = notes_by_part(score)
    bed = {p: clipped(n.within(0, stop), stop) for p, n in heard.items() if p != "lead"}
    parts = (*bed, "lead")
    controls = header(
        bundle="chill", key=Key(9, "minor"), bpm=78, swing=0.5, section="A", bars=bars,
        levels={"lead": 1},
    )  # fmt: skip
    counts = []
    for kept in ({}, bed):
        playing = tuple(p for p in parts if p not in kept)
        stretch = Stretch(bars, playing, kept=kept_notes(kept, bars))
        jobs = [Job([vocabulary().bos, *controls], stretch, seed) for seed in range(6)]
        ids = sample(model.engine(6), jobs, bpe=model.bpe, sampling=Sampling())
        heard = [notes_by_part(decode(decode_bars(i), 78)) for i in ids]
        counts.append(np.mean([len(h.get("lead", Notes.none())) for h in heard]) / bars)
    assert counts[1] < counts[0] + 1.5


def test_chords_that_lie_an_octave_astray_are_moved(untrained: Path, monkeypatch):
    bars, parts = 4, ("bass", "keys", "guitar")
    brief = Brief(seed=5, mood="chill", key=Key.parse("G major"), parts=parts).settled()
    heard = notes_by_part(compose(brief, bars=bars)[0])
    astray = {p: replace(n, pitch=n.pitch + 12) for p, n in heard.items()}
    there = {p: n for p, n in (heard | {"keys": astray["keys"]}).items() if p in parts}
    monkeypatch.setattr("lofi.music._writer.notes_by_part", lambda _: there)
    (found,), (choice,) = written(open_model(untrained), ("A", bars, parts), best_of=1)
    assert choice["moved"] == {"keys": -12}
    stop = bars * TICKS_PER_BAR
    for part in parts:
        assert same(found[part], clipped(heard[part].within(0, stop), stop))


def test_a_stretch_fuller_or_emptier_than_its_mood_is_worth_less():
    def fullness(notes_per_beat: int, mood: str) -> float:
        onset = np.arange(0, 2 * TICKS_PER_BAR, TICKS_PER_BAR // 4 // notes_per_beat)
        keys = Notes(
            onset, np.full_like(onset, 30), np.full_like(onset, 60), np.full_like(onset, 60)
        )
        chords = [Chord.parse(c) for c in LOOP[:4]]
        return rate({"keys": keys}, chords, Key.parse("G major"), {"keys": 2}, 2, mood)["fullness"]

    assert fullness(2, "sleep") == fullness(4, "melancholic") == fullness(8, "upbeat") == 1
    assert 0 < fullness(6, "melancholic") < 1
    assert fullness(8, "melancholic") == fullness(6, "sleep") == 0
    assert fullness(1, "upbeat") < fullness(1, "melancholic") < fullness(1, "sleep")


def test_the_bar_in_which_the_piece_ends_does_not_count(untrained: Path, monkeypatch):
    """The arranger writes it: a candidate is as busy as its other bars are."""
    rated = []

    def recorded(notes: dict[str, Notes], chords: list[Chord], *more: Any) -> dict[str, float]:
        rated.append((more[2], len(chords), max(n.onset.max() for n in notes.values() if len(n))))
        return rate(notes, chords, *more)

    monkeypatch.setattr("lofi.music._writer.rate", recorded)
    written(open_model(untrained), ("B", 4, ("drums", "keys")), ("outro", 3, ("bass", "keys")))
    assert {bars for bars, _, _ in rated} == {4, 2}
    assert all(chords == 2 * bars and last < bars * TICKS_PER_BAR for bars, chords, last in rated)
