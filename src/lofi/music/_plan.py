"""The plan of a piece: its form, its harmony, and who of the band plays when."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lofi.brief import (
    DENSITIES,
    PARTS,
    TAIL_S,
    Brief,
    Key,
    Plan,
    Section,
    find_mood,
    form_bars,
    subseed,
)
from lofi.music._material import material, suited
from lofi.music._recognise import HALF_BAR, Notes, key_clarity
from lofi.music._theory import Chord

_NUMERAL = re.compile(r"([b#]?)(VII|VI|IV|V|III|II|I|vii|vi|iv|v|iii|ii|i)([^~^]*)([~^]?)$")
_DEGREES = {"i": 0, "ii": 2, "iii": 4, "iv": 5, "v": 7, "vi": 9, "vii": 11}
_LARGE = {"": "maj", "6": "maj6", "sus": "7sus4", "alt": "7alt", "o7": "dim7"}
_SMALL = {"": "min", "6": "min6", "7": "min7", "9": "min9", "ø": "m7b5", "o7": "dim7"}
_COLOURS = {"maj9": "maj7", "maj7": "maj9", "min9": "min7", "min7": "min9", "9": "7", "7": "9"}
_DARK = ("min", "min7", "min9", "min6", "m7b5")

# Swing by bundle: off-beats at 6, 7 or 8 twelfths of the beat (50, 58 or 67 %), with their odds.
_SWING_ODDS: dict[str, tuple[float, float, float]] = {
    "chill": (0.1, 0.65, 0.25),
    "melancholic": (0.2, 0.7, 0.1),
    "upbeat": (0.15, 0.6, 0.25),
    "dreamy": (0.45, 0.5, 0.05),
    "focus": (0.5, 0.5, 0.0),
    "sleep": (0.7, 0.3, 0.0),
}
# How often a part is in the band at all; bass and keys always are.
_BAND_ODDS: dict[str, dict[str, float]] = {
    "chill": {"drums": 1.0, "lead": 0.95, "guitar": 0.45, "pad": 0.25},
    "melancholic": {"drums": 0.92, "lead": 0.95, "guitar": 0.4, "pad": 0.35},
    "upbeat": {"drums": 1.0, "lead": 0.97, "guitar": 0.5, "pad": 0.2},
    "dreamy": {"drums": 0.8, "lead": 0.92, "guitar": 0.3, "pad": 0.75},
    "focus": {"drums": 1.0, "lead": 0.66, "guitar": 0.35, "pad": 0.25},
    "sleep": {"drums": 0.3, "lead": 0.7, "guitar": 0.25, "pad": 0.65},
}

# How often each part is sparse, normal or busy in the full sections of the composed corpus, by mood
# bundle, in twentieths. With the most common level alone moods that differ by how often would be
# one.
_LEVEL_ODDS: dict[str, dict[str, tuple[int, int, int]]] = {
    "chill": {
        "drums": (0, 3, 17), "bass": (3, 16, 1), "keys": (0, 12, 8),
        "guitar": (9, 8, 3), "lead": (3, 13, 4), "pad": (19, 1, 0),
    },
    "melancholic": {
        "drums": (0, 9, 11), "bass": (14, 6, 0), "keys": (0, 17, 3),
        "guitar": (9, 8, 3), "lead": (9, 10, 1), "pad": (20, 0, 0),
    },
    "upbeat": {
        "drums": (0, 0, 20), "bass": (0, 17, 3), "keys": (0, 4, 16),
        "guitar": (4, 7, 9), "lead": (0, 3, 17), "pad": (19, 1, 0),
    },
    "dreamy": {
        "drums": (2, 12, 6), "bass": (17, 3, 0), "keys": (0, 16, 4),
        "guitar": (11, 6, 3), "lead": (5, 14, 1), "pad": (20, 0, 0),
    },
    "focus": {
        "drums": (0, 0, 20), "bass": (12, 8, 0), "keys": (0, 5, 15),
        "guitar": (5, 11, 4), "lead": (8, 12, 0), "pad": (20, 0, 0),
    },
    "sleep": {
        "drums": (6, 7, 7), "bass": (20, 0, 0), "keys": (13, 7, 0),
        "guitar": (7, 12, 1), "lead": (19, 1, 0), "pad": (19, 1, 0),
    },
}  # fmt: skip

_ANSWERED = 0.2  # how often the first four bars of chords are not simply played again

_DRAWS, _CLEAR = 8, 0.1  # chords that may be heard in another key are drawn again

# Harmony -------------------------------------------------------------------------------------


class _Written(NamedTuple):
    """A chord as a table has it: what it is, its accidental, its mark of re-harmonisation."""

    chord: Chord
    accidental: str
    mark: str


def _numeral(text: str, tonic: int) -> _Written:
    match = _NUMERAL.match(text)
    assert match, text
    accidental, degree, suffix, mark = match.groups()
    root = tonic + _DEGREES[degree.lower()] + {"b": -1, "#": 1, "": 0}[accidental]
    table = _SMALL if degree.islower() else _LARGE
    return _Written(Chord(root % 12, table.get(suffix, suffix)), accidental, mark)


def _spelled(written: _Written, key: Key) -> str:
    """The symbol: degrees of the key as its signature has them, borrowed ones by their accidental.

    A degree without accidental outside the key (VII in minor) is a raised one.
    """
    flats = key.flats if written.chord.root in key.scale else written.accidental == "b"
    return written.chord.symbol(flats=flats)


def draw_progression(key: Key, mood: str, bars: int, seed: int) -> tuple[str, ...]:
    """Chord symbols for `bars` bars, two a bar: a loop of the mood and mode, coloured anew."""
    asked = find_mood(mood)
    chance = random.Random(subseed(seed, "progression", asked.name))
    rows = [r for r in material("progressions")["loops"] if r["mode"] == key.mode]
    suits = suited(rows, asked.bundle)
    halves: list[_Written] = []
    for _ in range(_DRAWS):
        halves = []
        loop = _read(chance.choice(suits)["chords"], key.tonic, chance)
        while len(halves) < 2 * bars:
            if len(halves) == 8 and chance.random() < _ANSWERED:  # four bars answered by others
                loop = _read(chance.choice(suits)["chords"], key.tonic, chance)
            # The first time round the loop is told plainly, later it may be led elsewhere.
            halves += _reharmonised(loop, key, chance, odds=0.5 if halves else 0.2)
        halves = halves[: 2 * bars]
        if _clarity([w.chord for w in halves], key) > _CLEAR:
            break
    return tuple(_spelled(w, key) for w in halves)


def _clarity(chords: Sequence[Chord], key: Key) -> float:
    """How much nearer half bars of these chords are to the key than to any other."""
    tones = [(i, p) for i, c in enumerate(chords) for p in c.pitch_classes]
    voices = np.array(tones, np.int64)
    roots = np.array([(i, c.root) for i, c in enumerate(chords)], np.int64)
    parts = {}
    for name, rows, lowest in (("bass", roots, 36), ("keys", voices, 60)):
        held = np.full(len(rows), HALF_BAR)
        parts[name] = Notes(rows[:, 0] * HALF_BAR, held, rows[:, 1] + lowest, held)
    return key_clarity(parts, key)


def _read(chords: str, tonic: int, chance: random.Random) -> list[_Written]:
    """Two written chords a bar; sevenths and ninths change places now and then."""
    coloured: dict[str, _Written] = {}
    halves = []
    for bar in chords.split("|"):
        numerals = bar.split()
        for text in (numerals[0], numerals[-1]):
            if text not in coloured:
                written = _numeral(text, tonic)
                root, quality = written.chord.root, written.chord.quality
                if quality in _COLOURS and chance.random() < 0.25:
                    written = written._replace(chord=Chord(root, _COLOURS[quality]))
                coloured[text] = written
            halves.append(coloured[text])
    return halves


def _reharmonised(
    loop: list[_Written], key: Key, chance: random.Random, odds: float
) -> list[_Written]:
    """The loop with some of its marked chords exchanged for others of the same direction."""
    out = list(loop)
    for bar in range(len(loop) // 2):
        first, second = 2 * bar, 2 * bar + 1
        after = (second + 1) % len(loop)
        if loop[second].mark == "~" and chance.random() < odds:
            _redirect(out, first, second, loop[after].chord, key, chance)
        elif (
            loop[after].mark == "^"
            and loop[first] == loop[second]
            and out[second].chord.root != (loop[after].chord.root + 7) % 12
            and chance.random() < odds
        ):
            quality = "7alt" if loop[after].chord.quality in _DARK else "9"
            out[second] = _Written(Chord((loop[after].chord.root + 7) % 12, quality), "", "")
    return out


def _redirect(
    out: list[_Written], first: int, second: int, goal: Chord, key: Key, chance: random.Random
) -> None:
    """A dominant waits on its sus4, becomes its tritone substitute, or is led in by its ii."""
    written = out[second]
    root = written.chord.root
    whole = out[first] == written
    choices = ["tritone"] if goal.root == (root + 5) % 12 else []
    if whole:
        choices += ["sus", "two"]
    choice = chance.choice(choices or ["sus"])
    if choice == "tritone":
        out[second] = _Written(Chord((root + 6) % 12, "9"), "b", "")
    elif choice == "sus":
        out[first if whole else second] = written._replace(chord=Chord(root, "7sus4"))
    else:
        dark = goal.quality in _DARK and goal.root == (root + 5) % 12
        two = Chord((root + 7) % 12, "m7b5" if dark else "min9")
        out[first] = _Written(two, "" if two.root in key.scale else written.accidental or "b", "")


def _ending(key: Key, bundle: str, chance: random.Random) -> list[str]:
    """The two chords before the last bar, then its chord twice: the tonic."""
    rows = [r for r in material("progressions")["endings"] if r["mode"] == key.mode]
    numerals = chance.choice(suited(rows, bundle) or rows)["chords"].split()
    before = [_spelled(_numeral(n, key.tonic), key) for n in (numerals[0], numerals[-1])]
    quality = "maj9" if key.mode == "major" else "min9"
    return before + [Chord(key.tonic, quality).symbol(flats=key.flats)] * 2


# Form ----------------------------------------------------------------------------------------

_FORMS: dict[int, tuple[tuple[str, ...], ...]] = {
    1: (("A",),),
    2: (("A", "A'"), ("A", "B")),
    3: (("A", "A'", "B"), ("A", "B", "A'")),
    4: (("A", "A'", "B", "A'"), ("A", "B", "A'", "B")),
    5: (("A", "A'", "B", "break", "A'"), ("A", "B", "A'", "break", "B")),
    6: (("A", "A'", "B", "break", "A'", "B"), ("A", "A'", "B", "A'", "break", "A'")),
}


def _sizes(bars: int, *, opening: bool = True) -> tuple[int, list[int], int]:
    """Bars of the intro, of each section between, and of the outro."""
    if bars < 8:
        return 0, [bars], 0
    intro = 0 if not opening else 4 if bars >= 20 else 2 if bars >= 12 else 0
    outro = 4 if bars >= 24 else 2
    rest = bars - intro - outro
    sizes = [8] * (rest // 8)
    spare = rest % 8
    if spare >= 4 or not sizes:
        sizes.append(spare)
    elif spare:
        # A short rest would sound like a mistake: lengthen the ends by it.
        more = min(spare, 8 - intro) if opening else 0
        intro += more
        outro += spare - more
    return intro, sizes, outro


def draw_form(
    bars: int, chance: random.Random, *, opening: bool = True, after: str | None = None
) -> list[tuple[str, int]]:
    """Sections of `bars` bars in all, each with its own; `after` is the one they follow."""
    intro, sizes, outro = _sizes(bars, opening=opening)
    names: list[str] = []
    while len(names) < len(sizes):
        wanted = min(6, len(sizes) - len(names))
        forms = _FORMS[wanted]
        if after and wanted > 1:  # A has been heard: more of it alone is no form
            forms = tuple(f for f in forms if "B" in f)
        names += chance.choice(forms)
    if after in ("A", "A'"):  # what has just been heard is followed by something else
        swap = {"A": "B", "A'": "B", "B": "A'"}
        names = [swap.get(name, name) for name in names]
    elif after:
        names = ["A'" if name == "A" else name for name in names]
    form = [("intro", intro)] * bool(intro) + list(zip(names, sizes, strict=True))
    return form + [("outro", outro)] * bool(outro)


def draw_plan(brief: Brief, *, bars: int | None = None) -> Plan:
    """A seeded form for a settled brief: who plays when, over which chords.

    It has exactly `bars` bars, or else as many as fit the brief's duration; what is left of that is
    the ring of the last chord. Raises InputError for a form that cannot be laid out in them.
    """
    assert brief.mood
    assert brief.bpm
    assert brief.key
    assert brief.duration_s
    tail_s = TAIL_S
    if bars is None:
        bars = brief.bars
        tail_s = brief.duration_s - bars * 240 / brief.bpm
    bundle = find_mood(brief.mood).bundle
    chance = random.Random(subseed(brief.seed, "plan", bundle))
    swing = chance.choices((6 / 12, 7 / 12, 8 / 12), _SWING_ODDS[bundle])[0]
    band = ["bass", "keys"]
    band += [p for p, odds in _BAND_ODDS[bundle].items() if chance.random() < odds]
    form = draw_form(bars, chance)
    if brief.form:
        sizes = form_bars(brief.form, bars)
        form = [(name, size) for (name, _), size in zip(brief.form, sizes, strict=True)]
    sections = lay_out(form, brief, draw_loops(brief), brief.parts or band, chance)
    return Plan(
        brief.bpm,
        brief.key,
        swing if brief.swing is None else brief.swing,
        sections,
        draw_levels(brief),
        tail_s,
    )


def draw_levels(brief: Brief, heard: Mapping[str, int] | None = None) -> dict[str, int]:
    """How busy each part is to be: 1 sparse, 2 normal, 3 busy.

    As the mood has it, or as it is `heard` already; one level more or less where the brief asks.
    """
    assert brief.mood
    chance = random.Random(subseed(brief.seed, "levels"))
    odds = _LEVEL_ODDS[find_mood(brief.mood).bundle]
    usual = {part: chance.choices((1, 2, 3), odds[part])[0] for part in PARTS}
    more = DENSITIES[brief.density or "normal"]
    return {p: min(3, max(1, level + more)) for p, level in (usual | dict(heard or {})).items()}


def draw_loops(brief: Brief) -> dict[str, tuple[str, ...]]:
    """The chords of A and of B, two a bar: those asked for, or loops of eight bars."""
    assert brief.mood
    assert brief.key
    if brief.chords:
        return {"A": brief.chords, "B": brief.chords}
    first = draw_progression(brief.key, brief.mood, 8, subseed(brief.seed, "A"))
    return {"A": first, "B": _contrast(first, brief)}


def lay_out(
    form: Sequence[tuple[str, int]],
    brief: Brief,
    loops: Mapping[str, tuple[str, ...]],
    band: Sequence[str],
    chance: random.Random,
    *,
    start: int = 0,
) -> tuple[Section, ...]:
    """The sections of a form from bar `start` to the end of the piece.

    Loops come round from the start of each section; the last bars are an ending. Whoever the brief
    asks for plays somewhere.
    """
    assert brief.mood
    assert brief.key
    bundle = find_mood(brief.mood).bundle
    end = start + sum(size for _, size in form)
    sections: list[Section] = []
    for name, size in form:
        loop = loops["B" if name == "B" else "A"]
        chords = [loop[i % len(loop)] for i in range(2 * size)]
        if start + size == end:
            ending = _ending(brief.key, bundle, chance)
            if brief.chords:  # they stay as they are asked for, and come home in the last bar
                ending = [_home(brief.chords, brief.key)] * 2
            ending = ending[-2 * size :]
            chords[-len(ending) :] = ending
        parts = _players(name, list(band), chance)
        sections.append(Section(name, start, size, parts, tuple(chords)))
        start += size
    return _all_heard(sections, brief.parts or ())


def _home(chords: Sequence[str], key: Key) -> str:
    """The chord among these on which a piece can end: on the tonic, or else the first."""
    at_home = (c for c in chords if Chord.parse(c).root == key.tonic)
    return next(at_home, chords[0])


def _all_heard(sections: Sequence[Section], band: Sequence[str]) -> tuple[Section, ...]:
    """The same sections, with whoever of `band` plays in none added to the full ones."""
    heard = {part for section in sections for part in section.parts}
    absent = [part for part in band if part not in heard]
    full = [s for s in sections if s.name in ("A", "A'", "B")] or sections
    return tuple(
        replace(s, parts=tuple(p for p in PARTS if p in (*s.parts, *absent))) if s in full else s
        for s in sections
    )


def _contrast(loop: tuple[str, ...], brief: Brief) -> tuple[str, ...]:
    """A loop for B that begins elsewhere than A's and shares the fewest of its chords' places."""
    assert brief.mood
    assert brief.key
    drawn = [
        draw_progression(brief.key, brief.mood, 8, subseed(brief.seed, "B", i)) for i in range(4)
    ]
    return min(drawn, key=lambda d: sum(a == b for a, b in zip(d, loop, strict=False)))


def _players(name: str, band: list[str], chance: random.Random) -> tuple[str, ...]:
    """Layers enter and leave: who of the band plays in a section of that name."""
    gone: set[str] = set()
    if name == "intro":
        gone = {"drums", "lead"} if chance.random() < 0.6 else {"bass", "lead"}
        gone |= {"guitar"} if chance.random() < 0.5 else set()
    elif name == "A":
        gone = {chance.choice(["guitar", "pad", "none"])}  # kept for the return
    elif name == "break":
        gone = {"drums"} if chance.random() < 0.6 or "pad" not in band else {"keys", "guitar"}
        gone |= {"lead"} if chance.random() < 0.5 else {"bass"}
    elif name == "outro":
        gone = {"lead", "guitar"} if chance.random() < 0.6 else {"drums"}
    return tuple(p for p in PARTS if p in band and p not in gone) or tuple(band)
