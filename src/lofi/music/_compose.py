"""The rule composer: lo-fi pieces from tables of musical material.

It writes the corpus that the shipped model learns from, and the plan of every generated piece.
What can be played stands in `material/*.yaml`; this module knows how it is put together. Rhythms
are sixteen steps a bar; swing places the off-beats.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from typing import Any

import numpy as np
import symusic
import yaml

from lofi.brief import BUNDLES, PARTS, Brief, Key, Plan, Section, find_mood, subseed
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT, add_track
from lofi.music._theory import Chord

STEPS = 16
_NUMERAL = re.compile(r"([b#]?)(VII|VI|IV|V|III|II|I|vii|vi|iv|v|iii|ii|i)(.*)$")
_DEGREES = {"i": 0, "ii": 2, "iii": 4, "iv": 5, "v": 7, "vi": 9, "vii": 11}
_LARGE = {"": "maj", "6": "maj6", "sus": "7sus4", "alt": "7alt", "o7": "dim7"}
_SMALL = {"": "min", "6": "min6", "7": "min7", "9": "min9", "ø": "m7b5", "o7": "dim7"}
_DRUM_PITCH = {"kick": 36, "snare": 38, "rim": 37, "hat": 42, "open": 46, "shaker": 70, "ride": 51}
_STROKES = {"X": 1.15, "x": 1.0, "o": 0.78, "g": 0.45, "?": 0.6}

# Swing by bundle: off-beats at 6, 7 or 8 twelfths of the beat, with their odds.
_SWING_ODDS: dict[str, tuple[float, float, float]] = {
    "chill": (0.1, 0.55, 0.35),
    "melancholic": (0.25, 0.55, 0.2),
    "upbeat": (0.15, 0.5, 0.35),
    "dreamy": (0.4, 0.5, 0.1),
    "focus": (0.3, 0.55, 0.15),
    "sleep": (0.6, 0.4, 0.0),
}
# How often a part is in the band at all.
_BAND_ODDS: dict[str, dict[str, float]] = {
    "chill": {"drums": 1.0, "lead": 0.85, "guitar": 0.4, "pad": 0.4},
    "melancholic": {"drums": 0.9, "lead": 0.8, "guitar": 0.4, "pad": 0.5},
    "upbeat": {"drums": 1.0, "lead": 0.9, "guitar": 0.5, "pad": 0.3},
    "dreamy": {"drums": 0.75, "lead": 0.8, "guitar": 0.35, "pad": 0.9},
    "focus": {"drums": 1.0, "lead": 0.5, "guitar": 0.35, "pad": 0.4},
    "sleep": {"drums": 0.3, "lead": 0.5, "guitar": 0.2, "pad": 0.8},
}


@lru_cache(maxsize=8)
def _material(name: str) -> Any:
    text = resources.files("lofi.music").joinpath("material", f"{name}.yaml").read_text("utf-8")
    return yaml.safe_load(text)


def _suited(rows: list[dict[str, Any]], bundle: str) -> list[dict[str, Any]]:
    return [r for r in rows if bundle in r["moods"]]


def _numeral(text: str, tonic: int) -> Chord:
    match = _NUMERAL.match(text)
    assert match, text
    accidental, degree, suffix = match.groups()
    root = tonic + _DEGREES[degree.lower()] + {"b": -1, "#": 1, "": 0}[accidental]
    table = _SMALL if degree.islower() else _LARGE
    return Chord(root % 12, table.get(suffix, suffix))


def draw_progression(key: Key, mood: str, bars: int, seed: int) -> tuple[str, ...]:
    """Chord symbols for `bars` bars, two a bar: a loop of the mood and mode, coloured anew."""
    chance = random.Random(subseed(seed, "progression"))
    bundle = find_mood(mood).bundle
    rows = [r for r in _material("progressions") if r["mode"] == key.mode]
    row = chance.choice(_suited(rows, bundle) or rows)
    halves: list[Chord] = []
    for bar in row["chords"].split("|"):
        found = [_numeral(n, key.tonic) for n in bar.split()]
        halves += [found[0], found[-1]]
    coloured = [_coloured(c, chance) for c in halves[:1]]
    for before, chord in pairwise(halves):
        coloured.append(coloured[-1] if chord == before else _coloured(chord, chance))
    loop = [c.symbol(flats=key.flats) for c in coloured]
    return tuple(loop[i % len(loop)] for i in range(2 * bars))


def _coloured(chord: Chord, chance: random.Random) -> Chord:
    """Sevenths and ninths change places now and then."""
    swaps = {"maj9": "maj7", "maj7": "maj9", "min9": "min7", "min7": "min9", "9": "7", "7": "9"}
    if chord.quality in swaps and chance.random() < 0.25:
        return Chord(chord.root, swaps[chord.quality])
    return chord


_FORMS: dict[int, tuple[tuple[str, ...], ...]] = {
    1: (("A",),),
    2: (("A", "A'"), ("A", "B")),
    3: (("A", "A'", "B"), ("A", "B", "A'")),
    4: (("A", "A'", "B", "A'"), ("A", "B", "A'", "B")),
    5: (("A", "A'", "B", "break", "A'"), ("A", "B", "A'", "break", "B")),
    6: (("A", "A'", "B", "break", "A'", "B"), ("A", "A'", "B", "A'", "break", "A'")),
}


def _sizes(bars: int) -> tuple[int, list[int], int]:
    """Bars of the intro, of each section between, and of the outro."""
    if bars < 8:
        return 0, [bars], 0
    intro = 4 if bars >= 20 else 2 if bars >= 12 else 0
    outro = 4 if bars >= 24 else 2
    rest = bars - intro - outro
    sizes = [8] * (rest // 8)
    spare = rest % 8
    if spare >= 4 or not sizes:
        sizes.append(spare)
    elif spare:
        # A short rest would sound like a mistake: lengthen the ends by it.
        more = min(spare, 8 - intro)
        intro += more
        outro += spare - more
    return intro, sizes, outro


def draw_plan(brief: Brief, *, bars: int) -> Plan:
    """A seeded form of exactly `bars` bars: who plays when, over which chords."""
    assert brief.mood
    assert brief.bpm
    assert brief.key
    key = brief.key
    chance = random.Random(subseed(brief.seed, "plan"))
    bundle = find_mood(brief.mood).bundle
    swing = chance.choices((6 / 12, 7 / 12, 8 / 12), _SWING_ODDS[bundle])[0]
    band = ["bass", "keys"]
    band += [p for p, odds in _BAND_ODDS[bundle].items() if chance.random() < odds]
    intro, sizes, outro = _sizes(bars)
    names: list[str] = []
    while len(names) < len(sizes):
        wanted = min(6, len(sizes) - len(names))
        names += chance.choice(_FORMS[wanted])
    loops = {
        "A": draw_progression(key, brief.mood, 8, subseed(brief.seed, "A")),
        "B": draw_progression(key, brief.mood, 8, subseed(brief.seed, "B")),
    }
    form = [("intro", intro)] * bool(intro) + list(zip(names, sizes, strict=True))
    form += [("outro", outro)] * bool(outro)
    sections = []
    start = 0
    for name, size in form:
        loop = loops["B" if name == "B" else "A"]
        chords = [loop[i % len(loop)] for i in range(2 * size)]
        if start + size == bars:
            quality = "maj9" if key.mode == "major" else "min9"
            chords[-2:] = [Chord(key.tonic, quality).symbol(flats=key.flats)] * 2
        parts = _players(name, band, chance)
        sections.append(Section(name, start, size, parts, tuple(chords)))
        start += size
    return Plan(brief.bpm, key, swing, tuple(sections))


def _players(name: str, band: list[str], chance: random.Random) -> tuple[str, ...]:
    """Layers enter and leave: who of the band plays in a section of that name."""
    gone: set[str] = set()
    if name == "intro":
        gone = {"drums", "lead"} if chance.random() < 0.7 else {"bass", "lead"}
        gone |= {"guitar"} if chance.random() < 0.5 else set()
    elif name == "A":
        gone = {chance.choice(["guitar", "pad", "none"])}
    elif name == "break":
        gone = {"drums"} if chance.random() < 0.6 else {"keys", "guitar", "pad"}
        gone |= {"lead"} if chance.random() < 0.5 else set()
    elif name == "outro":
        gone = {"lead", "guitar"} if chance.random() < 0.7 else {"drums", "lead"}
    playing = tuple(p for p in PARTS if p in band and p not in gone)
    return playing if {"keys", "bass", "pad"} & set(playing) else ("bass", "keys")


# Playing -------------------------------------------------------------------------------------

_Row = tuple[int, int, int, int]  # onset, length, pitch, velocity


@dataclass(frozen=True, slots=True)
class _Clock:
    """Where steps fall in time."""

    swing: float

    def ticks(self, step: float) -> int:
        """Ticks of a step counted from the start of the piece; steps are sixteenths."""
        whole = int(step // 4)
        place = (0.0, self.swing / 2, self.swing, (1 + self.swing) / 2)[int(step) % 4]
        return round((whole + place) * TICKS_PER_BEAT)


def compose(brief: Brief, *, bars: int) -> tuple[symusic.Score, Plan]:
    """Write a piece of exactly `bars` bars for a settled brief."""
    plan = draw_plan(brief, bars=bars)
    assert brief.mood
    player = _Player(brief, plan)
    rows: dict[str, list[_Row]] = {}
    for section in plan.sections:
        for part in section.parts:
            rows.setdefault(part, []).extend(getattr(player, part)(section))
    score = symusic.Score(TICKS_PER_BEAT)
    score.tempos.append(symusic.Tempo(0, plan.bpm))
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    for name in PARTS:
        if rows.get(name):
            table = _tidy(rows[name], bars, PARTS[name].low, PARTS[name].high)
            add_track(score, name, table[:, 0], table[:, 1], table[:, 2], table[:, 3])
    return score, plan


def _tidy(rows: list[_Row], bars: int, low: int, high: int) -> np.ndarray:
    """Sorted notes, inside range and piece, none running into the next of its own pitch."""
    table = np.array(sorted(set(rows)), np.int64)
    while (below := table[:, 2] < low).any():
        table[below, 2] += 12
    while (above := table[:, 2] > high).any():
        table[above, 2] -= 12
    table[:, 0] = np.clip(table[:, 0], 0, bars * TICKS_PER_BAR - 1)
    table = table[np.lexsort((table[:, 2], table[:, 0]))]
    keep: list[np.ndarray] = []
    last: dict[int, np.ndarray] = {}
    for row in table:
        before = last.get(int(row[2]))
        if before is not None:
            if row[0] - before[0] < 20:
                continue
            before[1] = min(before[1], row[0] - before[0])
        last[int(row[2])] = row
        keep.append(row)
    out = np.array(keep)
    out[:, 1] = np.maximum(10, np.minimum(out[:, 1], bars * TICKS_PER_BAR - out[:, 0]))
    out[:, 3] = np.clip(out[:, 3], 12, 122)
    return out


class _Player:
    """Plays each part of a section; what it settles on for a section name it keeps."""

    def __init__(self, brief: Brief, plan: Plan) -> None:
        assert brief.mood
        self.bundle = find_mood(brief.mood).bundle
        self.plan = plan
        self.clock = _Clock(plan.swing)
        self.seed = brief.seed
        self.chance = random.Random(subseed(brief.seed, "play"))
        figures = BUNDLES[self.bundle]
        self.velocity = sum(figures.velocity) / 2 + self.chance.uniform(-3, 3)
        self.centre = sum(figures.register) / 2 + self.chance.uniform(-1.5, 1.5)
        low, high = figures.density
        self.lively = min(1.0, max(0.0, ((low + high) / 2 - 2.0) / 8.0))
        self.taken: dict[tuple[str, str], Any] = {}
        self.voices: list[int] = []
        self.bass_pitch = 40
        self.broken_keys = self.chance.random() < 0.15

    def _take(self, what: str, section: Section, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """One row for this kind of section, the same whenever it returns."""
        letter = "B" if section.name == "B" else "A"
        if (what, letter) not in self.taken:
            own = random.Random(subseed(self.seed, what, letter))
            self.taken[what, letter] = own.choice(rows)
        return self.taken[what, letter]

    def _chord(self, section: Section, bar: int, step: int) -> Chord:
        half = 2 * bar + (step >= STEPS // 2)
        return Chord.parse(section.chords[min(half, len(section.chords) - 1)])

    def _loud(self, factor: float = 1.0) -> int:
        return round(self.velocity * factor + self.chance.gauss(0, 3.5))

    def _at(self, section: Section, bar: int, step: float, jitter: float = 3.0) -> int:
        grid = self.clock.ticks((section.start_bar + bar) * STEPS + step)
        return grid + max(-8, min(8, round(self.chance.gauss(0, jitter))))

    def _is_end(self, section: Section, bar: int) -> bool:
        return section.start_bar + bar == self.plan.bars - 1

    # Drums

    def drums(self, section: Section) -> list[_Row]:
        """The groove of the section, varied, with a fill at its end."""
        chance = self.chance
        material = _material("grooves")
        groove = self._take("groove", section, _suited(material["grooves"], self.bundle))
        lines = {k: "".join(v.split()) for k, v in groove.items() if k in _DRUM_PITCH}
        span = max(len(v) for v in lines.values()) // STEPS
        late = chance.uniform(6, 16) * self.plan.bpm * TICKS_PER_BEAT / 60_000
        base = min(100.0, self.velocity + 12)
        rows: list[_Row] = []
        for bar in range(section.bars):
            if self._is_end(section, bar):
                rows.append((self._at(section, bar, 0), 60, 36, round(base)))
                break
            offset = (bar % span) * STEPS
            hits = {k: list((v * span)[offset : offset + STEPS]) for k, v in lines.items()}
            if bar == section.bars - 1 and section.bars >= 4 and chance.random() < 0.75:
                self._fill(hits, chance.choice(_suited(material["fills"], self.bundle)))
            for name, steps in hits.items():
                for step, mark in enumerate(steps):
                    if mark == "." or (mark == "?" and chance.random() < 0.5):
                        continue
                    if name in ("hat", "shaker", "ride") and chance.random() < 0.05:
                        continue
                    onset = self._at(section, bar, step, 2.0)
                    if name in ("snare", "rim") and step in (4, 12):
                        onset += round(late)
                    loud = base * _STROKES[mark] * (0.82 if name in ("hat", "shaker") else 1)
                    rows.append((onset, 60, _DRUM_PITCH[name], round(loud + chance.gauss(0, 4))))
        return rows

    @staticmethod
    def _fill(hits: dict[str, list[str]], fill: dict[str, Any]) -> None:
        written = {k: "".join(v.split()) for k, v in fill.items() if k in _DRUM_PITCH}
        begins = [i for v in written.values() for i, c in enumerate(v) if c != "."]
        first = min(begins, default=STEPS)
        for name in (*hits, *written):
            before = hits.get(name, ["."] * STEPS)[:first]
            hits[name] = before + list(written.get(name, "." * STEPS)[first:])

    # Bass

    def bass(self, section: Section) -> list[_Row]:
        """Roots and fifths with approaches, low and near the last note."""
        pattern = self._take("bass", section, _suited(_material("bass"), self.bundle))
        steps = "".join(pattern["steps"].split())
        rows: list[_Row] = []
        for bar in range(section.bars):
            if self._is_end(section, bar):
                root = self._near_bass(self._chord(section, bar, 0).root)
                rows.append((self._at(section, bar, 0), TICKS_PER_BAR, root, self._loud(1.0)))
                break
            offset = (bar * STEPS) % len(steps)
            line = list(steps[offset : offset + STEPS])
            if self._chord(section, bar, 0) != self._chord(section, bar, 8) and line[8] in "-.":
                line[8] = "R"
            for step, mark in enumerate(line):
                if mark in "-.":
                    continue
                length = 1
                while step + length < STEPS and line[step + length] == "-":
                    length += 1
                pitch = self._bass_note(section, bar, step, mark)
                begin = self._at(section, bar, step)
                stop = self.clock.ticks((section.start_bar + bar) * STEPS + step + length)
                soft = 0.86 if mark in "a5837" else 1.0
                rows.append((begin, round((stop - begin) * 0.94), pitch, self._loud(1.05 * soft)))
        return rows

    def _near_bass(self, pitch_class: int) -> int:
        choices = [p for p in range(30, 53) if p % 12 == pitch_class]
        return min(choices, key=lambda p: abs(p - self.bass_pitch) + 0.4 * abs(p - 39))

    def _bass_note(self, section: Section, bar: int, step: int, mark: str) -> int:
        chord = self._chord(section, bar, step)
        following = (
            self._chord(section, bar + 1, 0)
            if bar + 1 < section.bars
            else self._chord(section, 0, 0)
        )
        if mark == "R":
            self.bass_pitch = self._near_bass(chord.root)
            return self.bass_pitch
        if mark == ">":
            self.bass_pitch = self._near_bass(following.root)
            return self.bass_pitch
        if mark == "8":
            return self.bass_pitch + 12 if self.bass_pitch < 45 else self.bass_pitch - 12
        if mark == "a":
            target = self._near_bass(following.root)
            scale = set(self.plan.key.scale)
            steps = [d for d in (-1, 1, -2, 2) if (target + d) % 12 in scale] or [-1]
            return target + self.chance.choice(steps[:2])
        tones = chord.pitch_classes
        wanted = {"3": tones[1], "7": tones[2], "5": _fifth(chord)}[mark]
        return self._near_bass(wanted)

    # Chords

    def _voicing(self, chord: Chord, size: int) -> list[int]:
        """The tones that matter, each near where a voice was: little movement, no doubled root."""
        tones = list(chord.pitch_classes)
        wanted = [*tones[1:], tones[0]] if len(tones) > 3 else tones
        if chord.quality in ("maj9", "min9", "9") and size < 4:
            wanted = [tones[1], tones[2], tones[3]]
        wanted = wanted[:size]
        middle = self.centre - 1
        best: list[int] = []
        cost = 1e9
        for shift in range(-8, 5):
            low = round(middle) + shift - 4
            pitches = sorted(low + (pc - low) % 12 for pc in wanted)
            if len(pitches) == 4 and self.chance.random() < 0.1:
                pitches = sorted([pitches[0], pitches[1], pitches[2] - 12, pitches[3]])  # drop 2
            moved = abs(sum(pitches) / len(pitches) - middle) * 0.6
            if self.voices:
                moved += sum(min(abs(p - v) for v in self.voices) for p in pitches) / len(pitches)
            clash = sum(b - a == 1 for a, b in pairwise(pitches))
            moved += 0.8 * clash + (2.0 if pitches[0] < 48 else 0)
            if moved < cost:
                best, cost = pitches, moved
        self.voices = best
        return best

    def keys(self, section: Section) -> list[_Row]:
        """Comping, or broken chords in some pieces."""
        use = "broken" if self.broken_keys else "comp"
        return self._comp("keys", use, section, size=4, loud=1.0)

    def guitar(self, section: Section) -> list[_Row]:
        """Broken chords."""
        return self._comp("guitar", "broken", section, size=4, loud=0.86)

    def _comp(self, part: str, use: str, section: Section, size: int, loud: float) -> list[_Row]:
        suited = _suited([r for r in _material("comping") if r["use"] == use], self.bundle)
        pattern = self._take(f"{part} comp", section, suited)
        steps = "".join(pattern["steps"].split())
        ring = pattern.get("ring", False)
        rows: list[_Row] = []
        ahead = False
        for bar in range(section.bars):
            first, second = self._chord(section, bar, 0), self._chord(section, bar, 8)
            if self._is_end(section, bar):
                rows += self._struck(section, bar, 0, 16, self._voicing(first, size), loud, 14)
                break
            offset = (bar * STEPS) % len(steps)
            line = list(steps[offset : offset + STEPS])
            if first != second and line[8] in "-.":
                line[8] = "x"
            if ahead and line[0] in "Xx":
                line[0] = "-"
            ahead = False
            for step, mark in enumerate(line):
                if mark in "-.":
                    continue
                length = 1
                while step + length < STEPS and line[step + length] == "-":
                    length += 1
                chord = first if step < 8 else second
                if mark == ">":
                    chord = self._chord(section, min(bar + 1, section.bars - 1), 0)
                    length += 6
                    ahead = True
                voices = self._voicing(chord, size)
                if ring:
                    length = (8 if first != second and step < 8 else 16) - step
                if mark.isdigit():
                    index = int(mark) - 1
                    top = voices[index % len(voices)] + 12 * (index // len(voices))
                    rows += self._struck(section, bar, step, length, [top], loud * 0.95, 0)
                elif mark == "u":
                    rows += self._struck(section, bar, step, length, voices[-2:], loud * 0.85, 6)
                elif mark == "b":
                    rows += self._struck(section, bar, step, length, voices[:1], loud, 0)
                else:
                    factor = loud * (1.06 if mark == "X" else 0.9)
                    rows += self._struck(section, bar, step, length, voices, factor, 8)
        return rows

    def _struck(
        self,
        section: Section,
        bar: int,
        step: int,
        length: int,
        pitches: list[int],
        loud: float,
        roll: int,
    ) -> list[_Row]:
        begin = self._at(section, bar, step)
        stop = self.clock.ticks((section.start_bar + bar) * STEPS + step + length)
        rolled = self.chance.random() < 0.5
        return [
            (
                begin + (round(i * roll / len(pitches)) if rolled else 0),
                max(60, round((stop - begin) * 0.96)),
                p,
                self._loud(loud) - (2 if 0 < i < len(pitches) - 1 else 0),
            )
            for i, p in enumerate(pitches)
        ]

    def pad(self, section: Section) -> list[_Row]:
        """Held chords, struck again only where the harmony moves."""
        rows: list[_Row] = []
        half = 0
        while half < 2 * section.bars:
            stop = half + 1
            while (
                stop < 2 * section.bars
                and section.chords[stop] == section.chords[half]
                and stop - half < 4
            ):
                stop += 1
            chord = Chord.parse(section.chords[half])
            begin = section.start_bar * TICKS_PER_BAR + half * TICKS_PER_BAR // 2
            length = (stop - half) * TICKS_PER_BAR // 2
            rows += [(begin, length, p, self._loud(0.8)) for p in self._voicing(chord, 3)]
            half = stop
        return rows

    # Melody

    def lead(self, section: Section) -> list[_Row]:
        """Motives of one bar, repeated, varied, sequenced and left silent over four-bar phrases."""
        own = random.Random(subseed(self.seed, "motives", "B" if section.name == "B" else "A"))
        melody = _material("melody")
        lively = self.lively * (0.6 if self.bundle == "focus" else 1.0)
        phrase = _nearest(melody["phrases"], lively, own)["bars"].split()
        motives = {letter: self._motive(own, melody["cells"], lively) for letter in "abc"}
        if section.name == "A'":
            # The return answers with new endings.
            motives["c"] = self._motive(self.chance, melody["cells"], lively)
        rows: list[_Row] = []
        height = self.centre + 9
        for bar in range(section.bars):
            if self._is_end(section, bar):
                break
            told = phrase[bar % len(phrase)]
            if told == ".":
                continue
            motive = list(motives[told[0]])
            if "~" in told:
                motive = [n for i, n in enumerate(motive) if i == 0 or own.random() < 0.6]
            if "'" in told or (bar >= 4 and self.chance.random() < 0.3):
                motive = [
                    (s, length, d + (self.chance.choice((-1, 1, 2)) if i >= len(motive) - 2 else 0))
                    for i, (s, length, d) in enumerate(motive)
                ]
            shift = int(found[0]) if (found := re.findall(r"[+-]\d", told)) else 0
            for step, length, degree in motive:
                pitch = self._melody_note(section, bar, step, height, degree + shift)
                begin = self._at(section, bar, step)
                stop = self.clock.ticks((section.start_bar + bar) * STEPS + step + length)
                accent = 1.12 if step % 8 == 0 else 1.02
                rows.append(
                    (begin, max(60, round((stop - begin) * 0.93)), pitch, self._loud(accent))
                )
        return rows

    def _motive(
        self, own: random.Random, cells: list[dict[str, Any]], lively: float
    ) -> list[tuple[int, int, int]]:
        """One bar as (step, length, scale steps from the centre): mostly stepwise, one leap."""
        line = "".join(
            "".join(_nearest(cells, lively + own.uniform(-0.15, 0.15), own)["steps"].split())
            for _ in range(2)
        )
        degree = own.choice((-3, -2, -1, 0, 1, 2))
        notes = []
        for step, mark in enumerate(line):
            if mark != "x":
                continue
            length = 1
            while step + length < STEPS and line[step + length] == "-":
                length += 1
            notes.append((step, length, degree))
            move = own.choices((-3, -2, -1, 0, 1, 2, 3, 4), (1, 4, 9, 2, 8, 4, 1, 0.6))[0]
            degree += move
            if abs(degree) > 5:
                degree -= 2 * move if move else 0
        return notes

    def _melody_note(
        self, section: Section, bar: int, step: int, height: float, degree: int
    ) -> int:
        """The scale tone `degree` steps from the height; a chord tone on strong beats."""
        chord = self._chord(section, bar, step)
        inside = set(chord.pitch_classes)
        outside = {(pc + d) % 12 for pc in inside for d in (1, -1)} - inside
        scale = [pc for pc in self.plan.key.scale if pc in inside or pc not in outside]
        scale = sorted({*scale, *inside})
        ladder = [p for p in range(48, 100) if p % 12 in scale]
        centre = min(range(len(ladder)), key=lambda i: abs(ladder[i] - height))
        pitch = ladder[max(0, min(len(ladder) - 1, centre + degree))]
        if step % 8 == 0 or (step % 4 == 0 and self.chance.random() < 0.6):
            pitch = min(
                (p for p in range(pitch - 4, pitch + 5) if p % 12 in inside),
                key=lambda p: (abs(p - pitch), p),
            )
        return pitch


def _nearest(rows: list[dict[str, Any]], lively: float, own: random.Random) -> dict[str, Any]:
    """One row drawn among those whose liveliness is near."""
    weights = [np.exp(-(((r["lively"] - lively) / 0.22) ** 2)) + 1e-6 for r in rows]
    return own.choices(rows, weights)[0]


def _fifth(chord: Chord) -> int:
    tones = {(t - chord.root) % 12 for t in chord.pitch_classes}
    return (chord.root + (6 if 6 in tones and 7 not in tones else 7)) % 12
