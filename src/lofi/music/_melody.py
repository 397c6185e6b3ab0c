"""Melody: motives repeated, moved, varied and left silent, and a second voice that answers.

What is to be sung is written first as wishes: rhythm, contour, height, where a phrase lands. The
pitches are then those of the cheapest path through all wishes of a section (Viterbi), so that lines
move by step, lean on the chords where it counts and still keep the shape of their motive.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from lofi.brief import PARTS, Key
from lofi.music._band import LATE_MS, Band, Note, Scene
from lofi.music._material import STEPS, material, near, strokes, tablature
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT
from lofi.music._theory import Chord

# How lively a melody is beside the music it stands in: study and sleep want little of it.
_SONG = {"focus": 0.65, "sleep": 0.65, "melancholic": 1.0, "dreamy": 1.3}
_SILENT = (".", ",")  # bars without a motive
_SEMITONES_PER_STEP = 12 / 7
_RELIEF = 2.2  # how much of the height of an arc is heard
_REACH = 9  # a section stays within a tenth: this far above and below its middle
_NEVER = 60.0
_SIGHS = 3  # how much more often a sad melody falls
_LEAP = 5  # semitones from which an interval is an event

# What an interval costs, by its size in semitones: steps are free, wide leaps are events.
_LEAP_COST = np.array([0.5, 0.05, 0, 0, 0, 0.3, 2.2, 0.5, 1.2, 1.4, 4.5, 7.5, 1.5] + [14.0] * 12)
_CONTOUR_WEIGHT = 0.8  # per semitone that an interval differs from the one its motive wants


@dataclass(frozen=True, slots=True)
class Wish:
    """A note before it has a pitch.

    `move` is the interval its motive wants from the note before, in steps of the scale (None:
    free); `height` the pitch to be near, and `pull` how much; `lands` 1 where a phrase ends, 2
    where the section does; `ceiling` the pitch that only the climax may pass; a `guide` wants a
    third or a seventh.
    """

    bar: int
    step: int
    length: int
    move: int | None
    height: float
    pull: float
    lands: int = 0
    ceiling: float = 127.0
    guide: bool = False

    @property
    def at(self) -> int:
        """Steps from the start of the piece."""
        return self.bar * STEPS + self.step


@dataclass(frozen=True, slots=True)
class _Tone:
    step: int
    length: int
    move: int  # from the tone before, in steps of the scale; the first one's is not used


_Motive = tuple[_Tone, ...]


class Book:
    """The melodic material of a piece: motives, phrases and heights of A and of B."""

    def __init__(self, band: Band) -> None:
        self._band = band
        self._motives: dict[str, dict[str, _Motive]] = {}
        self._phrases: dict[str, list[str]] = {}
        self._tokens: dict[tuple[str, int], list[str]] = {}
        self._heights: dict[str, list[int]] = {}
        self.flavour = band.own("flavour").choices(
            ("scale", "pentatonic", "blue"), (0.42, 0.4, 0.18)
        )[0]
        for letter in "AB":
            self._write(letter)

    def _write(self, letter: str) -> None:
        band = self._band
        own = band.own("melody", letter)
        table = material("melody")
        lively = band.lively * _SONG.get(band.bundle, 0.95)
        if letter == "B":  # B breathes otherwise than A
            lively += own.choice((-0.18, 0.18))
        lively = min(0.95, max(0.0, lively + own.uniform(-0.08, 0.08)))
        phrase = near(table["phrases"], lively, own)["bars"].split()
        if len(phrase) == 4:
            last = max(i for i, told in enumerate(phrase) if told not in _SILENT)
            phrase = phrase + [t + "'" if i == last else t for i, t in enumerate(phrase)]
        self._phrases[letter] = phrase
        self._heights[letter] = [int(h) for h in own.choice(table["arcs"])["heights"].split()]
        sigh = band.bundle == "melancholic"
        a = _motive(own, lively, sigh=sigh)
        b = _motive(own, lively, sigh=sigh, rhythm=a if own.random() < 0.3 else None)
        c = _motive(own, lively - 0.25, sigh=sigh)
        self._motives[letter] = {"a": a, "b": b, "c": c}

    def colours(self, chord: Chord) -> set[int]:
        """Tones of the key that may sound long over a chord: a semitone above none of its own."""
        return colours(self._band.key, chord)

    def tokens(self, scene: Scene) -> list[str]:
        """What each bar of the section is made of, in the signs of melody.yaml."""
        label = (scene.name, scene.times)
        if label not in self._tokens:
            own = self._band.own("phrase", *label)
            phrase = self._phrases[scene.letter]
            count = len(scene.bars)
            tokens = list(phrase[:count])
            while len(tokens) < count:
                tokens += _varied(phrase, own, 0.5)[: count - len(tokens)]
            if scene.name == "A'":
                tokens = _varied(tokens, own, 0.55)
            elif scene.name == "break":
                tokens = [t if i % 4 == 0 else "." for i, t in enumerate(tokens)]
            elif scene.name == "outro":
                tokens = [
                    f"{t[0]}f" if i % 2 == 0 and t not in _SILENT else "."
                    for i, t in enumerate(tokens)
                ]
            elif scene.times:
                tokens = _varied(tokens, own, 0.3)
            self._tokens[label] = tokens
        return self._tokens[label]

    def rests(self, scene: Scene, at: int) -> bool:
        """Whether the lead leaves that bar of the section silent."""
        return "lead" not in scene.section.parts or self.tokens(scene)[at] in _SILENT

    def wishes(self, scene: Scene, centre: float) -> list[Wish]:
        """The notes of the section before they have pitches."""
        band = self._band
        tokens = self.tokens(scene)
        top = max(self._heights[scene.letter])
        ceiling = centre + _RELIEF * top * _SEMITONES_PER_STEP - 1
        found: list[Wish] = []
        own = band.own("signs", scene.name, scene.times)
        for at, (bar, told) in enumerate(zip(scene.bars, tokens, strict=True)):
            if told == "." or band.is_last(bar):
                continue
            onward = tokens[at + 1] if at + 1 < len(tokens) else None
            if told == ",":
                if onward and onward not in _SILENT:
                    height = self._height(scene, at + 1, onward, centre)
                    found += self._pickup(bar, height, ceiling, own)
                continue
            height = self._height(scene, at, told, centre)
            motive = _signed(self._motives[scene.letter][told[0]], told, own)
            lands = 2 if onward is None or at % 8 == 7 else int(at % 4 == 3 or onward in _SILENT)
            if lands:
                motive = _landing(motive, STEPS + 8 * (onward in _SILENT))
            climax = self._heights[scene.letter][at % 8] == top
            for i, tone in enumerate(motive):
                found.append(
                    Wish(
                        bar,
                        tone.step,
                        tone.length,
                        tone.move if i else None,
                        height,
                        pull=0.12 if i else 0.85,
                        lands=lands if i == len(motive) - 1 else 0,
                        ceiling=127.0 if climax else ceiling,
                    )
                )
        if scene.name == "outro" and band.is_last(scene.bars[-1]):
            found.append(Wish(scene.bars[-1], 0, STEPS, None, centre - 2, pull=0.15, lands=2))
        return _apart(found)

    def _height(self, scene: Scene, at: int, told: str, centre: float) -> float:
        """The pitch near which bar `at` of the section begins."""
        shift = int(m[0]) if (m := re.search(r"[+-]\d", told)) else 0
        height = _RELIEF * self._heights[scene.letter][at % 8] + shift
        return centre + height * _SEMITONES_PER_STEP

    def _pickup(self, bar: int, goal: float, ceiling: float, own: random.Random) -> list[Wish]:
        """A few notes in the last half of a silent bar, by step towards the next one."""
        lines = [tablature(c["steps"]) for c in material("melody")["cells"]]
        marks = strokes(own.choice([line for line in lines if line.startswith("....")] or lines))
        way = own.choice((1, 1, -1))
        return [
            Wish(
                bar,
                STEPS // 2 + mark.step,
                mark.length,
                way if i else None,
                goal - way * (len(marks) - i) * _SEMITONES_PER_STEP,
                pull=0.4,
                ceiling=ceiling,
            )
            for i, mark in enumerate(marks)
        ]


def _motive(
    own: random.Random, lively: float, *, sigh: bool = False, rhythm: _Motive | None = None
) -> _Motive:
    """One bar: the rhythm of two cells (or that of another motive) on a drawn contour."""
    table = material("melody")
    contours = [[int(s) for s in row["steps"].split()] for row in table["contours"]]
    steps = own.choices(contours, [_SIGHS if sigh and sum(c) < 0 else 1 for c in contours])[0]
    if rhythm is None:
        while True:
            line = "".join(
                tablature(near(table["cells"], lively + own.uniform(-0.15, 0.15), own)["steps"])
                for _ in range(2)
            )
            marks = strokes(line)
            if len(marks) > 1 or lively < 0.15:
                break
        spans = [(m.step, m.length) for m in marks]
    else:
        spans = [(t.step, t.length) for t in rhythm]
    return tuple(
        _Tone(step, length, steps[(i - 1) % len(steps)] if i else 0)
        for i, (step, length) in enumerate(spans)
    )


def _varied(tokens: list[str], own: random.Random, odds: float) -> list[str]:
    """The same phrase told again: some bars carry new signs, at least two of them."""
    sung = [i for i, t in enumerate(tokens) if t not in _SILENT]
    chosen = {i for i in sung if own.random() < odds}
    chosen |= set(own.sample(sung, min(2, len(sung))))
    out = list(tokens)
    for i in sorted(chosen):
        out[i] += own.choice(("*", "*'", "i'", ">", ">'", "~*"))
    return out


def _signed(motive: _Motive, told: str, own: random.Random) -> _Motive:
    """The motive with what its signs ask for."""
    tones = list(motive)
    if "f" in told[1:]:
        tones = [t for t in tones if t.step < 8] or tones[:1]
    if "~" in told and len(tones) > 2:
        dropped = own.randrange(1, len(tones))
        gone = tones.pop(dropped)
        before = tones[dropped - 1]
        tones[dropped - 1] = replace(before, length=gone.step + gone.length - before.step)
    if "i" in told[1:]:
        half = (len(tones) + 1) // 2
        tones = [replace(t, move=-t.move) if i >= half else t for i, t in enumerate(tones)]
    for _ in range(told.count("'")):
        for i in range(max(1, len(tones) - 2), len(tones)):
            tones[i] = replace(tones[i], move=own.choice((-2, -1, -1, 1, 1, 2)))
    for _ in range(told.count("*")):
        wide = [i for i, t in enumerate(tones) if t.length >= 3]
        if wide:
            i = own.choice(wide)
            tone = tones[i]
            side = own.choice((1, 1, -1))
            # A neighbour of one sixteenth leads back into the tone itself.
            first = replace(tone, length=1) if tone.length == 3 else replace(tone, length=2)
            left = tone.length - first.length - 1
            tones[i : i + 1] = [
                first,
                _Tone(tone.step + first.length, 1, side),
                _Tone(tone.step + first.length + 1, left, -side),
            ]
    if ">" in told:
        late = [replace(t, step=t.step + 2) for t in tones if t.step + 2 < STEPS]
        tones = [replace(t, length=min(t.length, STEPS - t.step)) for t in late]
    return tuple(tones)


def _landing(motive: _Motive, room: int) -> _Motive:
    """The motive with a last note that has time: at least a beat and a half."""
    tones = list(motive)
    while len(tones) > 1 and tones[-1].step > 10:
        tones.pop()
    last = tones[-1]
    wanted = max(last.length, min(10, room - last.step))
    tones[-1] = replace(last, length=wanted)
    return tuple(tones)


def _apart(wishes: list[Wish]) -> list[Wish]:
    """No note sounds into the next one."""
    cut = []
    onward: list[Wish | None] = [*wishes[1:], None]
    for wish, following in zip(wishes, onward[: len(wishes)], strict=True):
        room = following.at - wish.at if following else wish.length
        if room > 0:
            cut.append(replace(wish, length=min(wish.length, room)))
    return cut


# Pitches -------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def colours(key: Key, chord: Chord) -> set[int]:
    inside = set(chord.pitch_classes)
    return {
        t for t in key.scale if t not in inside and (t - 1) % 12 not in inside
        and not ((t + 1) % 12 in inside and (t + 1) % 12 in (chord.root, chord.third))
    }  # fmt: skip


@lru_cache(maxsize=512)
def chord_scale(key: Key, chord: Chord) -> frozenset[int]:
    """The scale over a chord: the key's, with the chord's own tones in place of their neighbours.

    A raised tone (the third of a secondary dominant, the raised fourth) replaces the tone below it,
    a lowered one the tone above.
    """
    inside = set(chord.pitch_classes)
    scale = set(key.scale)
    for tone in inside - scale:
        above_tonic = (tone - key.tonic) % 12
        third = (tone - chord.root) % 12 == 4 and chord.third == tone
        raised = third or above_tonic == 6
        replaced = (tone - 1) % 12 if raised else (tone + 1) % 12
        if replaced not in inside:
            scale.discard(replaced)
    return frozenset(scale | inside)


def _among(pitch_classes: Iterable[int]) -> np.ndarray:
    """(12,) bool: which pitch classes are meant."""
    table = np.zeros(12, bool)
    table[list(pitch_classes)] = True
    return table


def sung(
    band: Band, wishes: list[Wish], low: int, high: int, flavour: str, taste: random.Random
) -> list[int]:
    """The pitch of each wish: the cheapest path from the first to the last."""
    if not wishes:
        return []
    pitches = np.arange(low, high + 1)
    liking = np.array([taste.uniform(0, 0.35) for _ in pitches])
    apart = pitches[None, :] - pitches[:, None]  # from row to column
    leap = _LEAP_COST[np.minimum(np.abs(apart), len(_LEAP_COST) - 1)]
    wide = np.abs(apart) > 2
    free: np.ndarray | None = None
    total = np.zeros(len(pitches))
    back: list[np.ndarray] = []
    before: Wish | None = None
    for wish in wishes:
        local, passing = _local(band, wish, pitches, flavour)
        if before is None:
            total = local + liking
        else:
            assert free is not None
            gap = wish.at - before.at - before.length
            cost = leap * (0.45 if gap >= 8 else 1.0)
            if wish.move is not None:
                cost = cost + _CONTOUR_WEIGHT * np.abs(apart - wish.move * _SEMITONES_PER_STEP)
            # What is foreign to its chord is reached and left by step.
            cost = cost + wide * (3.5 * free[:, None] + 2.5 * passing[None, :])
            reached = total[:, None] + cost
            back.append(reached.argmin(0))
            total = reached.min(0) + local + liking
        free, before = passing, wish
    path = [int(total.argmin())]
    for chosen in reversed(back):
        path.append(int(chosen[path[-1]]))
    return [int(pitches[i]) for i in reversed(path)]


def _local(
    band: Band, wish: Wish, pitches: np.ndarray, flavour: str
) -> tuple[np.ndarray, np.ndarray]:
    """What each pitch costs for a wish, and which pitches are foreign to its chord."""
    key = band.key
    step = wish.step % STEPS
    chord = band.chord(wish.bar, min(wish.step, STEPS - 1))
    classes = pitches % 12
    inside = _among({*chord.pitch_classes, chord.fifth})[classes]
    colour = _among(colours(key, chord))[classes]
    scale = _among(chord_scale(key, chord))[classes]
    weighty = step % 8 == 0 or wish.length >= 6 or wish.lands
    foreign = ~inside
    cost = np.where(inside, 0.0, np.where(scale, 0.15, _NEVER))
    if flavour == "blue" and not weighty and wish.length <= 2:
        blue = (key.tonic + (3 if key.mode == "major" else 6)) % 12
        cost = np.where((classes == blue) & ~inside, 1.4, cost)
    elif flavour == "pentatonic":
        bare = (5, 11) if key.mode == "major" else (2, 8)
        cost = cost + 1.1 * (_among(bare)[(classes - key.tonic) % 12] & ~inside)
    if weighty:
        cost = cost + np.where(inside, 0.0, np.where(colour, 1.3, 9.0))
    elif step % 4 == 0 or wish.length >= 4:
        cost = cost + np.where(inside, 0.0, np.where(colour, 0.3, 2.0))
    if weighty:  # long notes tell the key
        cost = cost - 0.7 * (classes == key.tonic) - 0.35 * (classes == key.scale[4])
    if wish.lands:
        stable = (chord.root, chord.third, chord.fifth)
        cost = cost + 1.5 * wish.lands * ~_among(stable)[classes]
        cost = cost - 1.0 * (wish.lands == 2) * (classes == key.tonic) * inside
    if wish.guide:
        cost = cost + 1.8 * ~_among((chord.third, chord.seventh))[classes]
    until = wish.step + wish.length - 1
    later = band.chord(wish.bar, until)
    if later != chord and until % 8 >= 2:  # it sounds well into the next chord
        cost = cost + 4.0 * ~_among({*later.pitch_classes, *colours(key, later)})[classes]
    held = np.array(sorted(band.sounding.get(2 * wish.bar + wish.step // 8, ())), np.int64)
    if weighty or wish.length >= 4:
        rubs = pitches[:, None] - held[None, :]
        cost = cost + 4.0 * ((rubs == -1) | ((rubs > 0) & (rubs % 12 == 1))).sum(1)
    if len(held) and not wish.guide:  # the lead stays above the chords
        cost = cost + 0.25 * np.maximum(0, held.max() + 1 - pitches)
    cost = cost + wish.pull * np.abs(pitches - wish.height)
    cost = cost + 1.4 * np.maximum(0, pitches - wish.ceiling)
    return cost, foreign


# Players -------------------------------------------------------------------------------------


class Lead:
    """Sings the melody."""

    def __init__(self, band: Band, book: Book) -> None:
        self._band = band
        self._book = book
        own = band.own("lead feel")
        self._late_ms = own.uniform(*LATE_MS["lead"])
        self._centre = band.centre + 9.5
        self._lift = own.choice((5, 4.5, -4.5, -5))  # B lies elsewhere

    def play(self, scene: Scene) -> list[Note]:
        """The melody of the section."""
        band = self._band
        centre = self._centre + (self._lift if scene.letter == "B" else 0)
        low = max(PARTS["lead"].low, round(centre) - _REACH)
        high = min(PARTS["lead"].high, round(centre) + _REACH)
        wishes = self._book.wishes(scene, centre)
        taste = band.own("taste of tones", scene.letter)
        pitches = self._returning(wishes, sung(band, wishes, low, high, self._book.flavour, taste))
        rows: list[Note] = []
        for i, (wish, pitch) in enumerate(zip(wishes, pitches, strict=True)):
            accent = 1.16 if wish.step % 8 == 0 else 1.1 if wish.step % 4 == 0 else 1.05
            accent += 0.006 * (pitch - centre)
            if wish.lands:
                accent -= 0.04
            elif wish.length == 1:
                accent -= 0.1
            if i and wishes[i - 1].at + wishes[i - 1].length >= wish.at and wish.step % 4:
                accent -= 0.03
            onset = band.onset(wish.bar, wish.step, self._late_ms)
            length = band.length(wish.bar, wish.step, wish.length, 0.93)
            loud = band.loudness(wish.bar, wish.step, accent)
            rows.append((onset, max(TICKS_PER_BEAT // 8, length), pitch, loud))
        return rows

    def _returning(self, wishes: list[Wish], pitches: list[int]) -> list[int]:
        """The pitches, with bars that come again after four, over the same chords, sung the same.

        Not where what comes before or after would then be a leap, and not the climax.
        """
        band = self._band
        bars: dict[int, list[int]] = {}
        for i, wish in enumerate(wishes):
            bars.setdefault(wish.bar, []).append(i)
        out = list(pitches)
        for bar, mine in bars.items():
            first = bars.get(bar - 4, [])
            if len(first) != len(mine) or any(
                (wishes[i].step, wishes[i].move, wishes[i].lands)
                != (wishes[j].step, wishes[j].move, wishes[j].lands)
                or band.chord(bar, min(wishes[i].step, STEPS - 1))
                != band.chord(bar - 4, min(wishes[i].step, STEPS - 1))
                for i, j in zip(mine, first, strict=True)
            ):
                continue
            told = [out[j] for j in first]
            before = out[mine[0] - 1] if mine[0] else told[0]
            after = out[mine[-1] + 1] if mine[-1] + 1 < len(out) else told[-1]
            leap = max(abs(told[0] - before), abs(told[-1] - after))
            if leap <= _LEAP and max(told) < max(pitches):
                out[mine[0] : mine[-1] + 1] = told
        return out


class Counter:
    """The guitar's second voice: guide tones, held under the lead, moving where it rests."""

    def __init__(self, band: Band, book: Book) -> None:
        self._band = band
        self._book = book
        self._late_ms = band.own("counter feel").uniform(*LATE_MS["guitar"])
        self._centre = band.centre + 0.5

    def play(self, scene: Scene, lead: list[Note]) -> list[Note]:
        """The answer to what the lead plays in the section."""
        band = self._band
        own = band.own("counter", scene.name, scene.times)
        wishes = self._wishes(scene, lead, own)
        centre = round(self._centre)
        taste = band.own("taste of tones", "counter", scene.letter)
        low, high = max(PARTS["guitar"].low, centre - 9), min(PARTS["guitar"].high, centre + 8)
        pitches = sung(band, wishes, low, high, "scale", taste)
        rows: list[Note] = []
        for wish, pitch in zip(wishes, pitches, strict=True):
            onset = band.onset(wish.bar, wish.step, self._late_ms)
            length = band.length(wish.bar, wish.step, wish.length, 0.95)
            loud = band.loudness(wish.bar, wish.step, 0.9 if wish.length > 4 else 0.84)
            rows.append((onset, max(TICKS_PER_BEAT // 8, length), pitch, loud))
        return rows

    def _wishes(self, scene: Scene, lead: list[Note], own: random.Random) -> list[Wish]:
        band = self._band
        cells = material("melody")["cells"]
        cell = tablature(near(cells, 0.25 + 0.35 * band.lively, own)["steps"])
        other = tablature(near(cells, 0.25 + 0.35 * band.lively, own)["steps"])
        found: list[Wish] = []
        for bar in scene.bars:
            if bar < band.enters("guitar", scene):
                continue
            if band.is_last(bar):
                found.append(Wish(bar, 0, STEPS, None, self._centre, 0.05, lands=2))
                break
            for half in (0, 8):
                fresh = half == 0 or band.changes(bar)
                if self._is_free(lead, bar, half):
                    # Contrary to where the lead has just gone.
                    way = -_direction(lead, band.ticks(bar, half))
                    marks = strokes(cell if (bar + half // 8) % 2 == 0 else other)
                    for i, mark in enumerate(marks):
                        move = None if i == 0 else way if i % 3 else -way
                        found.append(
                            Wish(
                                bar,
                                half + mark.step,
                                mark.length,
                                move,
                                self._centre + 2 * way,
                                0.08,
                                guide=mark.step % 4 == 0,
                            )
                        )
                elif fresh:
                    length = 8 if band.changes(bar) else STEPS
                    found.append(Wish(bar, half, length, None, self._centre, 0.05, guide=True))
        return _apart(found)

    def _is_free(self, lead: list[Note], bar: int, half: int) -> bool:
        """Whether the lead sounds in less than a third of the half bar."""
        begin = bar * TICKS_PER_BAR + half * TICKS_PER_BAR // STEPS
        stop = begin + TICKS_PER_BAR // 2
        heard = sum(max(0, min(o + n, stop) - max(o, begin)) for o, n, _, _ in lead)
        return heard < (stop - begin) / 3


def _direction(lead: list[Note], before: int) -> int:
    """1 where the last two notes of the lead before that tick rise, else -1."""
    last = [p for o, _, p, _ in lead if o < before][-2:]
    return 1 if len(last) == 2 and last[1] > last[0] else -1
