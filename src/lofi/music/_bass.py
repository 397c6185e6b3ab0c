"""The bass player: roots and lines that lead to the chord that comes next."""

from __future__ import annotations

from typing import NamedTuple

from lofi.music._band import LATE_MS, Band, Note, Scene
from lofi.music._drums import kick_steps
from lofi.music._material import (
    STEPS,
    Row,
    Stroke,
    bar_of,
    first_beat,
    material,
    strokes,
    suited,
    with_changes,
)
from lofi.music._midi import TICKS_PER_BAR
from lofi.music._theory import Chord

_LOW, _HIGH, _HOME = 29, 46, 37
_SOFT = "5837wacdv"
_APPROACHES = "acdvw>"


class _Event(NamedTuple):
    bar: int
    stroke: Stroke


class Bassist:
    """Plays one line after the other, each near the last note."""

    def __init__(self, band: Band) -> None:
        self._band = band
        self._pitch = _HOME
        self._told: dict[tuple[object, ...], int] = {}
        self._held_into = -1  # the bar whose first beat an anticipation already holds
        self._late_ms = band.own("bass feel").uniform(*LATE_MS["bass"])

    def play(self, scene: Scene) -> list[Note]:
        """The line of the section; every fourth bar may answer with another."""
        band = self._band
        rows: list[Note] = []
        for event, steps in self._sustained(scene):
            bar, stroke = event
            pitch = self._tone(bar, stroke.step, stroke.mark)
            onset = band.onset(bar, stroke.step, self._late_ms)
            length = band.length(bar, stroke.step, steps, 0.94)
            factor = 1.04 * (0.88 if stroke.mark in _SOFT else 1.0)
            rows.append((onset, length, pitch, band.loudness(bar, stroke.step, factor)))
        if band.is_last(scene.bars[-1]):
            bar = scene.bars[-1]
            root = self._near(band.chord(bar).root)
            rows.append((band.onset(bar, 0), TICKS_PER_BAR, root, band.loudness(bar, 0, 1.0)))
        return rows

    def _sustained(self, scene: Scene) -> list[tuple[_Event, int]]:
        """The strokes of the section and for how many steps each sounds.

        An anticipation holds over the bar line and takes the place of the next first beat.
        """
        band = self._band
        events = [
            _Event(bar, s)
            for bar in scene.bars
            if bar >= band.enters("bass", scene) and not band.is_last(bar)
            for s in strokes(self._line(scene, bar))
        ]
        kept: list[tuple[_Event, int]] = []
        for event in events:
            bar, stroke = event
            if stroke.step == 0 and bar == self._held_into:
                continue
            length = stroke.length
            onward = band.plays("bass", bar + 1) and not band.is_last(bar + 1)
            if stroke.mark == ">" and onward:
                self._held_into = bar + 1
                length += first_beat(self._line(band.scene(bar + 1), bar + 1))
            kept.append((event, length))
        return kept

    def _line(self, scene: Scene, bar: int) -> str:
        """Sixteen steps of the pattern, with the new root where the harmony changes in mid-bar."""
        band = self._band
        at = bar - scene.bars.start
        row = self._pattern(scene, at)
        if "kick" in row:
            line = self._on_the_kick(scene, bar, row["kick"].split())
        else:
            line = bar_of(row["steps"], at)
        return with_changes(line, changes=band.changes(bar), mark="R")

    def _pattern(self, scene: Scene, at: int) -> Row:
        band = self._band
        rows = suited(material("bass"), band.bundle)
        anew = scene.name == "A'" and band.own("bass anew").random() < 0.5
        main = band.take(("bass", "A'" if anew else scene.letter), rows, [1.0] * len(rows))
        if scene.thin:
            return min((main, rows[0]), key=_strokes_per_bar)
        if at % 4 == 3:
            leading = [r for r in rows if any(m in r.get("steps", "") for m in _APPROACHES)] or rows
            weights = [
                1.0 / (1 + abs(_strokes_per_bar(r) - _strokes_per_bar(main))) for r in leading
            ]
            return band.take(("bass answer", scene.name, str(scene.times)), leading, weights)
        return main

    def _on_the_kick(self, scene: Scene, bar: int, tones: list[str]) -> str:
        """A line whose notes fall on the kick drum; each is held to the next, two beats at most."""
        line = ["."] * STEPS
        hits = kick_steps(self._band, scene, bar)
        hits = hits if 0 in hits else [0, *hits]
        for i, step in enumerate(hits):
            stop = min(hits[i + 1] if i + 1 < len(hits) else STEPS, step + 8)
            mark = tones[i % len(tones)]
            # An approach leads into something: in mid-bar the root is the better note.
            mark = "R" if mark in _APPROACHES and i + 1 < len(hits) else mark
            line[step:stop] = [mark] + ["-"] * (stop - step - 1)
        return "".join(line)

    # Tones

    def _near(self, pitch_class: int) -> int:
        choices = [p for p in range(_LOW, _HIGH) if p % 12 == pitch_class]
        return min(choices, key=lambda p: abs(p - self._pitch) + 0.4 * abs(p - _HOME))

    def _tone(self, bar: int, step: int, mark: str) -> int:
        """The pitch of a mark of the legend of bass.yaml; four bars later it is the same."""
        band = self._band
        scene = band.scene(bar)
        following = band.next_chord(bar, step if band.changes(bar) else 8)
        place = (scene.letter, (bar - scene.bars.start) % 4, step, mark)
        told = (*place, band.chord(bar, step), following)
        if told not in self._told:
            self._told[told] = self._marked(bar, step, mark)
        self._pitch = self._told[told]
        return self._pitch

    def _marked(self, bar: int, step: int, mark: str) -> int:
        band = self._band
        chord = band.chord(bar, step)
        if mark in _APPROACHES:
            return self._towards(bar, step, mark)
        if mark == "P":
            return self._near(self._pedal(chord))
        if mark == "8":
            return self._pitch + 12 if self._pitch < 41 else self._pitch - 12
        wanted = {"R": chord.root, "3": chord.third, "7": chord.seventh, "5": chord.fifth}
        return self._near(wanted[mark])

    def _towards(self, bar: int, step: int, mark: str) -> int:
        """A note on the way to the root that comes next."""
        band = self._band
        following = band.next_chord(bar, step if band.changes(bar) else 8)
        goal = self._near(following.root)
        if mark == ">":
            return goal
        if mark == "v":
            return self._near((following.root + 7) % 12)
        if mark == "w":
            return self._walk(band.chord(bar, step), goal)
        if mark in "cd":  # from the side on which the line already is
            side = -1 if self._pitch < goal else 1
            return goal + side * (2 if mark == "d" else 1)
        scale = set(band.key.scale) | set(following.pitch_classes)
        steps = [d for d in (-1, -2, 1, 2) if (goal + d) % 12 in scale and goal + d >= _LOW - 1]
        return goal + min(steps or [-1], key=lambda d: (abs(goal + d - self._pitch), abs(d)))

    def _walk(self, chord: Chord, goal: int) -> int:
        """A tone of the chord's scale about half way to the goal, never the one just played."""
        inside = set(chord.pitch_classes)
        scale = inside | {
            t for t in self._band.key.scale if not {(t + 1) % 12, (t - 1) % 12} & inside
        }
        ideal = (self._pitch + goal) / 2
        ideal += 3 if abs(goal - self._pitch) < 2 else 0
        choices = [
            p for p in range(_LOW, _HIGH) if p % 12 in scale and p not in (self._pitch, goal)
        ]
        return min(choices, key=lambda p: abs(p - ideal) - 0.6 * (p % 12 in inside))

    def _pedal(self, chord: Chord) -> int:
        """The tonic under all chords, or the fifth; a root where either would grate."""
        key = self._band.key
        for tone in (key.tonic, (key.tonic + 7) % 12):
            grates = {(tone + 1) % 12, (tone - 1) % 12} & set(chord.pitch_classes[:3])
            if tone in chord.pitch_classes or not grates:
                return tone
        return chord.root


def _strokes_per_bar(row: Row) -> float:
    if "kick" in row:
        return 3.0
    line = "".join(row["steps"].split())
    return sum(c not in "-." for c in line) * STEPS / len(line)
