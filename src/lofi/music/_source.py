"""A score that is there already: heard as a plan, to be continued or varied."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import symusic

from lofi.brief import (
    PARTS,
    TAIL_S,
    Brief,
    InputError,
    Key,
    Plan,
    Section,
    fit_bars,
    form_bars,
    subseed,
)
from lofi.music._analysis import hear_chords, measure
from lofi.music._arrange import Draft
from lofi.music._band import unswung
from lofi.music._midi import (
    TICKS_PER_BAR,
    TICKS_PER_BEAT,
    RejectedError,
    labelled_chords,
    labelled_key,
    labelled_mood,
    read_midi,
)
from lofi.music._plan import draw_form, draw_levels, draw_loops, draw_progression, lay_out
from lofi.music._recognise import SIXTEENTH, Notes, find_sections, notes_by_part
from lofi.music._theory import Chord
from lofi.music._tokens import SECTION_NAMES, density_level
from lofi.music._writer import Order, clipped

KEPT = ("drums", "bass")  # what stays in a variation where nothing else is asked for
_BEFORE_BARS = 4  # how much of the music before it a new section hears
_LOOP_BARS = 8
_EARLY = SIXTEENTH // 2  # a note that comes this early belongs to the bar it anticipates


@dataclass(frozen=True, slots=True)
class Source:
    """A score as it was read and heard.

    `chords` holds the chord of each half bar (None: silence), `sections` the form, without chords;
    `levels` is how busy each part is, 1 to 3; `repairs` is what had to be done to read it. `key`
    and `mood` are None where nothing tells them.
    """

    name: str
    parts: dict[str, Notes]
    bars: int
    bpm: float
    key: Key | None
    mood: str | None
    swing: float
    chords: tuple[Chord | None, ...]
    sections: tuple[Section, ...]
    levels: dict[str, int]
    repairs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """What a brief wants to know of a source: enough to order by, without its notes."""

    name: str
    parts: tuple[str, ...]
    bars: int
    bpm: float
    key: Key | None
    mood: str | None
    swing: float


def outline(source: Source) -> Outline:
    """What a brief wants to know of it."""
    return Outline(
        source.name, tuple(source.parts), source.bars, source.bpm, source.key, source.mood,
        source.swing,
    )  # fmt: skip


def read_source(path: Path) -> Source:
    """Read and hear a MIDI file. Raises InputError, with the reason, if it is none in 4/4."""
    try:
        score, repairs = read_midi(path)
    except RejectedError as error:
        raise InputError(
            f"{path} cannot be gone on from: {error}. Give a MIDI file in 4/4 with a few bars of "
            "music."
        ) from error
    cut = next((r for r in repairs if "longest stretch in 4/4" in r), None)
    if cut:
        raise InputError(
            f"{path} is not in 4/4 throughout ({cut}). Cut it to its bars in 4/4 and try again."
        )
    return heard(score, path.name, repairs)


def heard(score: symusic.Score, name: str, repairs: Sequence[str] = ()) -> Source:
    """What a canonical score is: its labels where it has any, or else what is heard in it."""
    parts = notes_by_part(score)
    bars = max((int(n.onset[-1]) + _EARLY) // TICKS_PER_BAR + 1 for n in parts.values())
    chords = labelled_chords(score) or hear_chords(score)
    chords = (chords + [None] * (2 * bars))[: 2 * bars]
    told = measure(score, chords)
    key = labelled_key(score) or (Key.parse(told.key) if told.key else None)
    sections = _sections(score, parts, bars)
    full = [s for s in sections if s.name in ("A", "A'", "B")] or list(sections)
    levels = {}
    for part in parts:
        playing = [s for s in full if part in s.parts] or [s for s in sections if part in s.parts]
        notes = sum(len(_slice(parts[part], s.start_bar, s.bars)) for s in playing)
        levels[part] = max(1, density_level(part, notes, max(1, sum(s.bars for s in playing))))
    swing = 0.5 if told.swing is None else min(0.67, max(0.5, told.swing))
    return Source(
        name=name,
        parts=parts,
        bars=bars,
        bpm=round(float(score.tempos[0].qpm), 3),  # a file holds whole microseconds per beat
        key=key,
        mood=labelled_mood(score) or told.bundle,
        swing=swing,
        chords=tuple(chords),
        sections=sections,
        levels=levels,
        repairs=tuple(repairs),
    )


def _sections(score: symusic.Score, parts: dict[str, Notes], bars: int) -> tuple[Section, ...]:
    """Labelled sections, or those heard; a part plays where it has a note every other bar."""
    names = find_sections(parts, bars)
    starts = {0}
    labels = sorted((m.time, m.text) for m in score.markers if m.text in SECTION_NAMES)
    if labels:
        names = ["A"] * bars
        for time, text in labels:
            first = round(time / TICKS_PER_BAR)
            names[first:] = [text] * len(names[first:])
            starts.add(first)
    found = []
    place = 0
    # Two sections of one name that follow each other are two where they are labelled so.
    runs = [sum(b in starts for b in range(bar + 1)) for bar in range(bars)]
    for (name, _), run in groupby(range(bars), key=lambda b: (names[b], runs[b])):
        size = len(list(run))
        playing = tuple(
            p for p in PARTS if p in parts and 2 * len(_slice(parts[p], place, size)) >= size
        )
        found.append(Section(name, place, size, playing or tuple(parts), ()))
        place += size
    return tuple(found)


def _slice(notes: Notes, first_bar: int, bars: int) -> Notes:
    """The notes of these bars from tick 0, those that come a little early at tick 0."""
    start, stop = first_bar * TICKS_PER_BAR, (first_bar + bars) * TICKS_PER_BAR
    n = notes.within(start - _EARLY, stop - _EARLY)
    onset = np.maximum(0, n.onset - start)
    return clipped(Notes(onset, n.length, n.pitch, n.velocity), stop - start)


def _written(source: Source, part: str, first_bar: int, bars: int) -> Notes:
    """The part in these bars as it would be written: on twelfths of the beat, before its swing."""
    n = _slice(source.parts[part], first_bar, bars)
    step = TICKS_PER_BEAT // 12
    onset, end = (
        np.round(unswung(t, source.swing) / step).astype(np.int64) * step
        for t in (n.onset, n.onset + n.length)
    )
    inside = onset < bars * TICKS_PER_BAR
    found = Notes(onset, np.maximum(step, end - onset), n.pitch, n.velocity)
    return clipped(found.only(inside), bars * TICKS_PER_BAR)


def brief_for(source: Source | Outline, asked: Brief, *, vary: bool) -> Brief:
    """The settled brief of a continuation or a variation: what is left open is as in the source.

    Raises InputError for what cannot be asked of it, and if no two bars are left to go on in.
    """
    fixed = ["key"] if source.key and asked.key != source.key else []
    if vary:
        fixed += ["duration_s", "form", "chords"]
    for name in fixed:
        if getattr(asked, name) is not None:
            raise InputError(
                f"the {name.removesuffix('_s')} is that of {source.name}, which is "
                f"{'varied' if vary else 'continued'}: leave it out."
            )
    bpm = asked.bpm or source.bpm
    duration_s = asked.duration_s
    if duration_s is None and not vary:
        sizes = [size for _, size in asked.form] if asked.form else []
        more = sum(s or 0 for s in sizes) if sizes and all(sizes) else source.bars
        duration_s = (source.bars + more) * 240 / bpm + TAIL_S
    try:
        settled = replace(
            asked,
            mood=asked.mood or source.mood,
            bpm=bpm,
            key=source.key or asked.key,
            duration_s=duration_s,
            swing=source.swing if asked.swing is None else asked.swing,
            form=None,  # it is the form of what follows
        ).settled()
    except InputError as error:
        raise InputError(f"{source.name}: {error}") from error
    if vary:  # it is as long as the source, however short that is
        settled = replace(settled, duration_s=source.bars * 240 / bpm + TAIL_S)
    else:
        new = bars_to_write(source, settled)
        if asked.form:
            form_bars(asked.form, new)
    return replace(settled, form=asked.form)


def bars_to_write(source: Source | Outline, brief: Brief) -> int:
    """The bars that a continuation adds. Raises InputError if they are fewer than two."""
    assert brief.bpm
    assert brief.duration_s
    new = fit_bars(brief.duration_s, brief.bpm) - source.bars
    if new < 2:
        least = (source.bars + 2) * 240 / brief.bpm + TAIL_S
        raise InputError(
            f"{source.name} has {source.bars} bars, which fill {brief.duration_s:.0f} s already. "
            f"Give a duration of {least:.0f} s or more."
        )
    return new


def parts_to_write(source: Source | Outline, brief: Brief, keep: Sequence[str]) -> list[str]:
    """The parts that a variation writes anew, those to `keep` being as they are in the source.

    Raises InputError if the source lacks a part to keep, or if nothing is left to write.
    """
    kept = [p for p in PARTS if p in keep]
    if missing := [p for p in kept if p not in source.parts]:
        raise InputError(
            f"{source.name} has no {' and no '.join(missing)} to keep; it has "
            f"{', '.join(source.parts)}."
        )
    new = [p for p in brief.parts or source.parts if p not in kept]
    if not new:
        raise InputError(
            f"nothing is left to write: all of {', '.join(kept)} are kept. Keep fewer, or name "
            "other instruments to add."
        )
    return new


# Continuing ----------------------------------------------------------------------------------


def continuation(source: Source, brief: Brief) -> Draft:
    """The source as it is, then new sections until the brief's duration, then an ending.

    Raises InputError if no two bars are left for them.
    """
    assert brief.bpm
    assert brief.key
    assert brief.duration_s
    new = bars_to_write(source, brief)
    bars = source.bars + new
    chance = random.Random(subseed(brief.seed, "continuation"))
    symbols = _symbols(source, brief)
    last = next((s.name for s in reversed(source.sections) if s.name in ("A", "A'", "B")), None)
    form = draw_form(new, chance, opening=False, after=last)
    if brief.form:
        sizes = form_bars(brief.form, new)
        form = [(name, size) for (name, _), size in zip(brief.form, sizes, strict=True)]
    loops = draw_loops(brief) if brief.chords else _loops(source, brief, symbols)
    band = brief.parts or tuple(source.parts)
    sections = lay_out(form, brief, loops, band, chance, start=source.bars)
    plan = Plan(
        brief.bpm,
        brief.key,
        brief.swing or source.swing,
        (*_with_chords(source.sections, symbols), *sections),
        draw_levels(brief, source.levels),
        brief.duration_s - bars * 240 / brief.bpm,
    )
    orders = []
    for i, section in enumerate(sections):
        before = _before(source) if i == 0 else {}
        orders.append(Order(section, f"more {i}", _bed(source, section, symbols), before))
    return Draft(plan, tuple(orders), source.parts, source.bars)


def _symbols(source: Source, brief: Brief) -> tuple[str, ...]:
    """A symbol for every half bar: silences take the chord before, a piece without any new ones."""
    assert brief.key
    assert brief.mood
    known = next((c for c in source.chords if c), None)
    if known is None:
        return draw_progression(brief.key, brief.mood, source.bars, subseed(brief.seed, "A"))
    symbols = []
    for chord in source.chords:
        known = chord or known
        symbols.append(known.symbol(flats=brief.key.flats))
    return tuple(symbols)


def _with_chords(sections: Sequence[Section], symbols: Sequence[str]) -> tuple[Section, ...]:
    return tuple(
        replace(s, chords=tuple(symbols[2 * s.start_bar : 2 * (s.start_bar + s.bars)]))
        for s in sections
    )


def _section_of(source: Source, letter: str) -> Section | None:
    """The first section on the material of that letter."""
    return next((s for s in source.sections if s.name[0] == letter and len(s.name) <= 2), None)


def _loops(source: Source, brief: Brief, symbols: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The chords of A and B as the source has them; a B that it lacks is drawn."""
    loops = draw_loops(brief)
    longest = max(source.sections, key=lambda s: s.bars)
    for letter in "AB":
        section = _section_of(source, letter) or (longest if letter == "A" else None)
        if section:
            size = section.bars if section.bars < 4 else 4 if section.bars < 8 else _LOOP_BARS
            first = 2 * section.start_bar
            loops[letter] = tuple(symbols[first : first + 2 * size])
    return loops


def _bed(source: Source, section: Section, symbols: Sequence[str]) -> dict[str, Notes]:
    """Drums and bass of the source for a section that returns over the same chords."""
    first = _section_of(source, section.name[0])
    if section.name not in ("A", "A'", "B") or first is None or first.bars < 4:
        return {}
    size = 4 if first.bars < 8 else _LOOP_BARS
    loop = symbols[2 * first.start_bar : 2 * (first.start_bar + size)]
    if any(c != loop[i % len(loop)] for i, c in enumerate(section.chords)):
        return {}
    kept = {}
    for part in KEPT:
        if part in section.parts and part in first.parts:
            notes = _written(source, part, first.start_bar, size)
            times = range(0, section.bars * TICKS_PER_BAR, size * TICKS_PER_BAR)
            rounds = [
                Notes(notes.onset + t, notes.length, notes.pitch, notes.velocity) for t in times
            ]
            stop = section.bars * TICKS_PER_BAR
            kept[part] = clipped(Notes.joined(rounds).within(0, stop), stop)
    return kept


def _before(source: Source) -> dict[str, Notes]:
    """The last bars of the source; they end at tick 0."""
    bars = min(_BEFORE_BARS, source.bars)
    found = {}
    for part in source.parts:
        n = _written(source, part, source.bars - bars, bars)
        if len(n):
            found[part] = Notes(n.onset - bars * TICKS_PER_BAR, n.length, n.pitch, n.velocity)
    return found


# Varying -------------------------------------------------------------------------------------


def variation(source: Source, brief: Brief, keep: Sequence[str]) -> Draft:
    """The source's form, chords and kept parts; all other parts are to be written anew.

    Raises InputError if the source lacks a part to keep, or if nothing is left to write.
    """
    assert brief.bpm
    assert brief.key
    kept = tuple(p for p in PARTS if p in keep)
    new = parts_to_write(source, brief, keep)
    added = [p for p in new if p not in source.parts]
    sections = []
    for section in _with_chords(source.sections, _symbols(source, brief)):
        playing = {p for p in section.parts if p in kept or p in new}
        playing |= set(added) if section.name in ("A", "A'", "B") else set()
        sections.append(replace(section, parts=tuple(p for p in PARTS if p in playing)))
    plan = Plan(
        brief.bpm,
        brief.key,
        brief.swing or source.swing,
        tuple(sections),
        draw_levels(brief, source.levels),
    )
    orders = tuple(
        Order(s, f"again {i}", {p: _written(source, p, s.start_bar, s.bars) for p in kept})
        for i, s in enumerate(sections)
        if set(s.parts) - set(kept)
    )
    return Draft(plan, orders, {p: source.parts[p] for p in kept}, kept=frozenset(kept))
