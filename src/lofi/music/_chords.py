"""The players of chords: keys that comp, the guitar's chords, and a pad of moving voices."""

from __future__ import annotations

from math import exp

from lofi.brief import PARTS
from lofi.music._band import LATE_MS, Band, Note, Scene
from lofi.music._material import (
    STEPS,
    Row,
    bar_of,
    first_beat,
    material,
    strokes,
    suited,
    tablature,
    with_changes,
)
from lofi.music._melody import Book, colours
from lofi.music._midi import TICKS_PER_BEAT
from lofi.music._voicing import Hands, Voices

# Voices that a mark strikes: how many, and how loudly.
_SHARE = {"X": 1.05, "x": 0.92, "u": 0.86, "b": 0.95, "p": 0.95, "q": 0.9}
_FULL_HAND = 4
_HAND = 3  # beside other chords: a third, a seventh and a colour say the rest
_SUNG = (0.7, 0.15, 0.15)  # a chord struck again: its top voice stays, rises, falls
_FINGERS = 5  # voices that a broken chord reaches; those above the hand are an octave higher
_ROCKS = 0.8  # how often the second half of a bar is fingered like the first
_WALK = {1: 5, 2: 3, 3: 1}  # how often fingers move on by so many voices

# What keys may add to the piece, in notes a bar, so that the mood's density comes out.
_KEYS_NOTES = {
    "chill": 10.0, "melancholic": 9.0, "upbeat": 13.0, "dreamy": 10.0, "focus": 13.0, "sleep": 6.0,
}  # fmt: skip

# What the guitar does, with its odds; it sings against the lead where there is one.
ROLES: dict[str, dict[str, float]] = {
    "chill": {"counter": 0.4, "broken": 0.25, "stops": 0.2, "offbeat": 0.15},
    "melancholic": {"counter": 0.45, "broken": 0.35, "stops": 0.2},
    "upbeat": {"counter": 0.25, "broken": 0.2, "stops": 0.25, "offbeat": 0.3},
    "dreamy": {"counter": 0.4, "broken": 0.5, "stops": 0.1},
    "focus": {"counter": 0.35, "broken": 0.35, "stops": 0.2, "offbeat": 0.1},
    "sleep": {"counter": 0.35, "broken": 0.55, "stops": 0.1},
}


def notes_per_bar(row: Row) -> float:
    """About how many notes a pattern strikes in a bar with three voices."""
    line = "".join(row["steps"].split())
    struck = {"X": 3, "x": 3, ">": 3, "u": 2, "p": 2, "q": 2, ".": 0, "-": 0}
    return sum(struck.get(mark, 1) for mark in line) * STEPS / len(line)


class Comper:
    """Plays rhythms of `comping.yaml` on voicings of its own: the keys, or the guitar."""

    def __init__(self, band: Band, part: str, hands: Hands, *, loud: float, notes: float) -> None:
        self._band = band
        self._part = part
        self._hands = hands
        self._loud = loud
        self._notes = notes
        self._late_ms = band.own("comp feel", part).uniform(*LATE_MS[part])
        self._held_into = -1  # the bar whose first beat an early chord already holds
        self._rhythms: dict[tuple[str, str], tuple[Row, Row]] = {}

    def play(self, scene: Scene, use: str) -> list[Note]:
        """The section; every fourth bar may close with another rhythm."""
        band = self._band
        self._hands.settle(scene.name if scene.name in ("A'", "B") else "A")
        rows: list[Note] = []
        for bar in scene.bars:
            if bar < band.enters(self._part, scene):
                continue
            if band.is_last(bar):
                rows += self._struck(bar, 0, STEPS, self._voices(bar, 0), self._loud, roll_ms=22)
                break
            rows += self._bar(scene, bar, use)
        return rows

    def _patterns(self, scene: Scene, use: str) -> tuple[Row, Row]:
        """The rhythm of the section, and the one that closes its phrases."""
        if (use, scene.name) not in self._rhythms:
            main, close = self._drawn(scene, use)
            self._rhythms[use, scene.name] = self._fingered(main, use), self._fingered(close, use)
        return self._rhythms[use, scene.name]

    def _fingered(self, row: Row, use: str) -> Row:
        """The row with a voice for each `*`: fingers walk to a neighbour, now and then past it.

        Most hands rock: what they did in the first half of a bar they do again in the second.
        """
        own = self._band.own("fingers", self._part, use, row["name"])
        rocks = own.random() < _ROCKS
        at = own.choice((1, 1, 2, 3))
        line = list(tablature(row["steps"]))
        for step, mark in enumerate(line):
            if mark != "*":
                continue
            before = line[step - 8]
            if rocks and step % STEPS >= 8 and before.isdigit():
                at = int(before)
            line[step] = str(at)
            ways = [w for w in (-2, -1, 1, 2, 3) if 1 <= at + w <= _FINGERS]
            at += own.choices(ways, [_WALK[abs(w)] for w in ways])[0]
        return {**row, "steps": "".join(line)}

    def _drawn(self, scene: Scene, use: str) -> tuple[Row, Row]:
        band = self._band
        rows = suited([r for r in material("comping") if r["use"] == use], band.bundle)
        rows = rows or [r for r in material("comping") if r["use"] == use]
        wanted = self._notes * (0.7 if scene.thin else 1.1 if scene.name == "A'" else 1.0)
        wanted = min(wanted, max(notes_per_bar(r) for r in rows))
        weights = [exp(-(((notes_per_bar(r) - wanted) / 3.0) ** 2)) + 1e-4 for r in rows]
        name = "thin" if scene.thin else scene.name
        main = band.take((self._part, use, name), rows, weights)
        if scene.name == "A'":  # the return comps in another way
            first = band.take((self._part, use, "A"), rows, weights)
            others = [w * (r is not first) for r, w in zip(rows, weights, strict=True)]
            if any(others):
                main = band.take((self._part, use, "A'", "anew"), rows, others)
        if scene.thin or use == "offbeat":
            return main, main
        return main, band.take((self._part, use, name, "close"), rows, weights)

    def _bar(self, scene: Scene, bar: int, use: str) -> list[Note]:
        band = self._band
        line, ring = self._line(scene, bar, use)
        changes = band.changes(bar)
        rows: list[Note] = []
        marks = strokes(line)
        for i, (step, length, mark) in enumerate(marks):
            if step == 0 and bar == self._held_into:
                continue
            early = mark == ">"
            if early and not (band.plays(self._part, bar + 1) and not band.is_last(bar + 1)):
                mark, early = "u", False
            if early:
                self._held_into = bar + 1
                length += first_beat(self._line(band.scene(bar + 1), bar + 1, use)[0])
                voices = self._voices(bar + 1, 0)
            else:
                voices = self._voices(bar, step)
                if i and not mark.isdigit():
                    voices = self._sung(voices, scene, bar, step)
            if ring:
                half = 8 if step < 8 else STEPS
                room = (half if changes else STEPS) - step
                length = min(max(4, half - step), room)
            rows += self._marked(bar, step, length, mark, voices)
        return rows

    def _line(self, scene: Scene, bar: int, use: str) -> tuple[str, bool]:
        """The sixteen steps of a bar, and whether its notes ring."""
        at = bar - scene.bars.start
        main, close = self._patterns(scene, use)
        pattern = close if at % 4 == 3 else main
        fresh = {"broken": "1", "stops": "p"}.get(use, "x")
        changes = self._band.changes(bar)
        line = with_changes(bar_of(pattern["steps"], at), changes=changes, mark=fresh)
        return line, pattern.get("ring", False)

    def _voices(self, bar: int, step: int) -> Voices:
        band = self._band
        half = 2 * bar + step // 8
        rooted = band.plays("bass", bar)
        voices = self._hands.voicing(band.chord(bar, step), alone=not rooted)
        band.sounding.setdefault(half, set()).update(voices)
        if not step // 8 and not band.changes(bar):
            band.sounding.setdefault(half + 1, set()).update(voices)
        return voices

    def _sung(self, voices: Voices, scene: Scene, bar: int, step: int) -> Voices:
        """A chord struck again: its top voice may sing on, the same way every four bars."""
        band = self._band
        at = (bar - scene.bars.start) % 4
        own = band.own("top", self._part, scene.name, at, step)
        way = own.choices((0, 1, -1), _SUNG)[0]
        chord = band.chord(bar, step)
        tones = {*chord.pitch_classes, chord.fifth, *colours(band.key, chord)}
        top, least = voices[-1], voices[-2] + 2
        near = [p for p in range(least, top + 6) if p % 12 in tones and (p - top) * way > 0]
        if not near:
            return voices
        moved = (*voices[:-1], min(near, key=lambda p: abs(p - top)))
        band.sounding.setdefault(2 * bar + step // 8, set()).add(moved[-1])
        return moved

    def _marked(self, bar: int, step: int, length: int, mark: str, voices: Voices) -> list[Note]:
        if mark.isdigit():
            octave, index = divmod(int(mark) - 1, len(voices))
            pitch = voices[index] + 12 * octave
            if pitch > self._hands.high:
                pitch -= 12
            soft = 0.98 if step % 8 == 0 else 0.9
            return self._struck(bar, step, length, (pitch,), self._loud * soft)
        chosen = {"u": voices[-2:], "p": voices[-2:], "b": voices[:1], "q": voices[:2]}
        factor = self._loud * _SHARE.get(mark, 0.96)
        return self._struck(bar, step, length, chosen.get(mark, voices), factor, roll_ms=10)

    def _struck(
        self, bar: int, step: int, length: int, voices: Voices, loud: float, roll_ms: float = 0.0
    ) -> list[Note]:
        """Voices struck together, now and then gently rolled from below."""
        band = self._band
        late = self._late_ms
        rolled = roll_ms if len(voices) > 2 and band.chance.random() < 0.4 else 0.0
        # A stab of a sixteenth rings a little into the rest after it.
        sounding = band.length(bar, step, length, 1.4 if length == 1 else 0.9)
        rows = []
        onsets = band.rolled(bar, step, late, rolled, len(voices))
        for i, (onset, pitch) in enumerate(zip(onsets, voices, strict=True)):
            # The top voice sings, the inner ones stay back.
            voiced = loud * (1.06 if i == len(voices) - 1 else 0.93 if i else 0.98)
            rows.append((onset, sounding, pitch, band.loudness(bar, step, voiced)))
        return rows


class Pad:
    """Held voices that move one by one: common tones are tied, some wait as suspensions."""

    def __init__(self, band: Band, hands: Hands, book: Book) -> None:
        self._band = band
        self._hands = hands
        self._book = book

    def play(self, scene: Scene) -> list[Note]:
        """The chords of the section as lines, a note for each time a voice moves."""
        band = self._band
        self._hands.settle(scene.letter)
        own = band.own("pad", scene.name, scene.times)
        spans = self._spans(scene)
        lines: list[list[tuple[int, int]]] = []  # per voice: (step from the section's start, pitch)
        last: Voices = ()
        for step, length in spans:
            bar = scene.bars.start + step // STEPS
            half = 2 * bar + (step % STEPS) // 8
            avoid = frozenset(band.sounding.get(half, ()))
            voices = self._hands.voicing(band.chord(bar, step % STEPS), avoid=avoid)
            for h in range(half, half + length // 8):
                band.sounding.setdefault(h, set()).update(voices)
            while len(lines) < len(voices):
                lines.append([])
            for i, pitch in enumerate(voices):
                before = last[i] if i < len(last) else pitch
                # A voice that falls by step may hang on for a beat.
                waits = 0 < before - pitch <= 2 and not band.is_last(bar) and own.random() < 0.3
                lines[i].append((step + (4 if waits else 0), pitch))
            for i in range(len(voices), len(lines)):
                lines[i].append((step, -1))
            moves = 0.75 if self._book.rests(scene, step // STEPS) else 0.35
            if length >= 16 and not band.is_last(bar) and own.random() < moves:
                self._move(lines, voices, scene, step, length, own.choice((8, 8, 12)))
            last = voices
        return self._tied(lines, scene)

    def _move(
        self,
        lines: list[list[tuple[int, int]]],
        voices: Voices,
        scene: Scene,
        step: int,
        length: int,
        after: int,
    ) -> None:
        """Let the upper voice (where the lead rests) or an inner one step aside and come back."""
        band = self._band
        bar = scene.bars.start + step // STEPS
        chord = band.chord(bar, step % STEPS)
        index = len(voices) - 1 if self._book.rests(scene, step // STEPS) else 1 % len(voices)
        above = voices[index + 1] if index + 1 < len(voices) else PARTS["pad"].high
        below = voices[index - 1] if index else PARTS["pad"].low
        inside = set(chord.pitch_classes)
        choices = [
            p
            for p in range(below + 2, above - 1)
            if 0 < abs(p - voices[index]) <= 4
            and (p % 12 in inside or p % 12 in self._book.colours(chord))
        ]
        if choices:
            nearest = min(choices, key=lambda p: (abs(p - voices[index]), -p))
            lines[index].append((step + after, nearest))
            if length >= after + 12 and nearest % 12 not in inside:
                lines[index].append((step + after + 4, voices[index]))

    def _spans(self, scene: Scene) -> list[tuple[int, int]]:
        """(first step, steps) of each stretch of one chord, two bars at most."""
        band = self._band
        spans: list[tuple[int, int]] = []
        for at, bar in enumerate(scene.bars):
            for half in (0, 8):
                step = at * STEPS + half
                same = spans and band.chord(bar, half) == band.chord(
                    scene.bars.start + spans[-1][0] // STEPS, spans[-1][0] % STEPS
                )
                last_bar = band.is_last(bar) and half == 0
                if same and spans[-1][1] < 32 and not last_bar:
                    spans[-1] = (spans[-1][0], spans[-1][1] + 8)
                else:
                    spans.append((step, 8))
        return spans

    def _tied(self, lines: list[list[tuple[int, int]]], scene: Scene) -> list[Note]:
        """Notes of the lines: equal neighbours are one note, two bars at most."""
        band = self._band
        rows: list[Note] = []
        stop = len(scene.bars) * STEPS
        for voice, line in enumerate(lines):
            tied: list[tuple[int, int]] = []
            for step, pitch in line:
                if not tied or tied[-1][1] != pitch or step - tied[-1][0] >= 2 * STEPS:
                    tied.append((step, pitch))
            for (step, pitch), until in zip(tied, [s for s, _ in tied[1:]] + [stop], strict=True):
                if pitch < 0 or until <= step:
                    continue
                bar = scene.bars.start + step // STEPS
                onset = band.onset(bar, step % STEPS)
                length = band.ticks(scene.bars.start + until // STEPS, until % STEPS) - onset
                loud = band.loudness(bar, step % STEPS, 0.82 if voice == len(lines) - 1 else 0.76)
                rows.append((onset, max(TICKS_PER_BEAT // 2, length - 6), pitch, loud))
        return rows


def keys_player(band: Band) -> Comper:
    """The electric piano: a full hand in the middle, or three voices where others hold chords."""
    playing = {part for section in band.plan.sections for part in section.parts}
    size = _HAND if "pad" in playing else _FULL_HAND
    hands = Hands(
        band, "keys", centre=band.centre - 4.5, low=48, high=round(band.centre) + 8, size=size
    )
    return Comper(band, "keys", hands, loud=1.0, notes=_KEYS_NOTES[band.bundle] * band.busier)


def guitar_player(band: Band) -> Comper:
    """The guitar's chords: wide, a little above the keys and below the lead."""
    hands = Hands(
        band,
        "guitar",
        centre=band.centre - 0.5,
        low=50,
        high=round(band.centre) + 7,
        size=_HAND,
    )
    return Comper(band, "guitar", hands, loud=0.9, notes=5.0)


def pad_player(band: Band, book: Book) -> Pad:
    """The pad: two voices in another place than the keys."""
    hands = Hands(
        band, "pad", centre=band.centre + 2.5, low=55, high=round(band.centre) + 9, size=2
    )
    return Pad(band, hands, book)
