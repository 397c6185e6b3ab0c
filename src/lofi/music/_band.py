"""What every player of the rule composer knows: the piece, its time, its loudness."""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import pi, sin

import numpy as np

from lofi.brief import BUNDLES, SWINGS, Brief, Plan, Section, find_mood, subseed
from lofi.music._material import STEPS, Row
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT
from lofi.music._theory import Chord
from lofi.music._tokens import SWING_EDGES

Note = tuple[int, int, int, int]  # onset and length in ticks, pitch, velocity

# Timing may stray this far from the grid: less than half of the twelfth of a beat that the tokens
# hold, so that no note is read back on another step.
_MOST_ASTRAY_TICKS = 17
_SWAY_MS = 3.0  # how far the band strays together from one moment to the next
_MOST_SPREAD_MS = 10.0
# How far each player is behind the band, at least and at most: low voices lead, high ones follow.
LATE_MS: dict[str, tuple[float, float]] = {
    "drums": (-1, 3),
    "bass": (-2, 0),
    "pad": (0, 0.5),
    "keys": (0.5, 2),
    "guitar": (2, 3.5),
    "lead": (3.5, 6),
}

# How loud a section is at its first and its last bar.
SWELL: dict[str, tuple[float, float]] = {
    "intro": (0.84, 0.98),
    "A": (0.98, 1.0),
    "A'": (1.0, 1.02),
    "B": (1.02, 1.05),
    "break": (0.9, 0.94),
    "outro": (0.98, 0.82),
}


# How much more is played where the brief asks for it.
_BUSIER = {"sparse": 0.7, "normal": 1.0, "busy": 1.4}


def sixteenths(swing: float) -> list[int]:
    """Where the sixteenths of a beat fall, in ticks: on twelfths, which the tokens can hold."""
    off = round(12 * grid_swing(swing))
    return [p * TICKS_PER_BEAT // 12 for p in (0, (off + 1) // 2, off, (13 + off) // 2)]


def grid_swing(swing: float) -> float:
    """The place in the beat, in whole twelfths, where off-beats of that swing are written."""
    return list(SWINGS.values())[int(np.searchsorted(SWING_EDGES, swing))]


def swung(ticks: np.ndarray, swing: float) -> np.ndarray:
    """Times that were written on the grid, moved so that the off-beats fall where `swing` says."""
    return _bent(ticks, grid_swing(swing), swing)


def unswung(ticks: np.ndarray, swing: float) -> np.ndarray:
    """Times that were played with that swing, moved so that the off-beats fall on the grid."""
    return _bent(ticks, swing, grid_swing(swing))


def _bent(ticks: np.ndarray, before: float, after: float) -> np.ndarray:
    """Times whose off-beats fall at `before` in the beat, moved so that they fall at `after`."""
    if abs(before - after) < 1e-3:
        return ticks
    beat, within = np.divmod(ticks, TICKS_PER_BEAT)
    moved = np.interp(within / TICKS_PER_BEAT, (0.0, before, 1.0), (0.0, after, 1.0))
    return beat * TICKS_PER_BEAT + np.round(moved * TICKS_PER_BEAT).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Scene:
    """A section as the players meet it: `times` says how often its name has been heard before."""

    section: Section
    times: int
    following: str | None

    @property
    def name(self) -> str:
        """The name of the section."""
        return self.section.name

    @property
    def letter(self) -> str:
        """B, or A for everything that lives on A's material."""
        return "B" if self.name == "B" else "A"

    @property
    def thin(self) -> bool:
        """Whether the section is one that the band does not fill."""
        return self.name in ("intro", "break", "outro")

    @property
    def bars(self) -> range:
        """Its bars, counted from the start of the piece."""
        return range(self.section.start_bar, self.section.start_bar + self.section.bars)


class Band:
    """The piece that is played, and what the players have agreed on."""

    def __init__(self, brief: Brief, plan: Plan) -> None:
        assert brief.mood
        self.bundle = find_mood(brief.mood).bundle
        self.plan = plan
        self.key = plan.key
        self.seed = brief.seed
        self.chords = [Chord.parse(c) for s in plan.sections for c in s.chords]
        self.chance = random.Random(subseed(brief.seed, "play"))
        figures = BUNDLES[self.bundle]
        self.velocity = sum(figures.velocity) / 2 + self.chance.uniform(-3, 3)
        self.centre = sum(figures.register) / 2 + self.chance.uniform(-1.2, 1.2)
        self.busier = _BUSIER[brief.density or "normal"]
        self.density = sum(figures.density) / 2 * self.busier
        self.lively = min(1.0, max(0.0, (self.density - 2.0) / 8.0))
        self.scenes = self._scenes()
        self._scene_of_bar = [s for s in self.scenes for _ in s.bars]
        self._taken: dict[tuple[str, ...], Row] = {}
        self._sway: dict[tuple[int, int], float] = {}
        self._places = sixteenths(plan.swing)
        self._ticks_per_ms = plan.bpm * TICKS_PER_BEAT / 60_000
        # Pitches that the chord players hold in each half bar, for whoever sings above them.
        self.sounding: dict[int, set[int]] = {}

    def _scenes(self) -> list[Scene]:
        scenes = []
        heard: dict[str, int] = {}
        sections = self.plan.sections
        for i, section in enumerate(sections):
            following = sections[i + 1].name if i + 1 < len(sections) else None
            scenes.append(Scene(section, heard.get(section.name, 0), following))
            heard[section.name] = heard.get(section.name, 0) + 1
        return scenes

    def own(self, *labels: object) -> random.Random:
        """Chance for one use: the same labels give the same draws in this piece."""
        return random.Random(subseed(self.seed, *labels))

    def take(self, labels: tuple[str, ...], rows: list[Row], weights: list[float]) -> Row:
        """One row for this use, the same whenever it is asked for again."""
        if labels not in self._taken:
            self._taken[labels] = self.own("take", *labels).choices(rows, weights)[0]
        return self._taken[labels]

    # Harmony

    def chord(self, bar: int, step: int = 0) -> Chord:
        """The chord at that step."""
        return self.chords[min(2 * bar + step // 8, len(self.chords) - 1)]

    def changes(self, bar: int) -> bool:
        """Whether the harmony changes in mid-bar."""
        return self.chord(bar) != self.chord(bar, 8)

    def next_chord(self, bar: int, step: int) -> Chord:
        """The chord of the next half bar: what really follows, whatever the section."""
        return self.chords[min(2 * bar + step // 8 + 1, len(self.chords) - 1)]

    def scene(self, bar: int) -> Scene:
        """The section of that bar."""
        return self._scene_of_bar[min(bar, self.plan.bars - 1)]

    def is_last(self, bar: int) -> bool:
        """Whether this is the bar in which the piece ends."""
        return bar == self.plan.bars - 1

    def plays(self, part: str, bar: int) -> bool:
        """Whether the part is in the section of that bar, and has entered."""
        if bar >= self.plan.bars:
            return False
        scene = self.scene(bar)
        return part in scene.section.parts and bar >= self.enters(part, scene)

    def enters(self, part: str, scene: Scene) -> int:
        """The bar in which a part enters: the layers of an intro of four bars come one by one."""
        bars = scene.bars
        if scene.name != "intro" or len(bars) < 4 or part == "keys":
            return bars.start
        late = part in ("bass", "drums", "guitar") and self.own("enters", part).random() < 0.6
        return bars.start + (len(bars) // 2 if late else 0)

    # Time

    def ticks(self, bar: int, step: float) -> int:
        """Ticks from the start of the piece to a step of a bar, swung."""
        beat, place = divmod(int(step), 4)
        return bar * TICKS_PER_BAR + beat * TICKS_PER_BEAT + self._places[place]

    def onset(self, bar: int, step: int, late_ms: float = 0.0) -> int:
        """When a player really plays: near the grid, `late_ms` behind it on average.

        A band sways together: who comes first and who leans back stays the same in a piece.
        """
        if (bar, step) not in self._sway:
            self._sway[bar, step] = self.chance.gauss(0, _SWAY_MS)
        spread = max(-_MOST_SPREAD_MS, min(_MOST_SPREAD_MS, self._sway[bar, step] + late_ms))
        astray = round(spread * self._ticks_per_ms)
        least = -_MOST_ASTRAY_TICKS if step else 0  # what begins a bar belongs to it
        astray = max(least, min(_MOST_ASTRAY_TICKS, astray))
        return max(0, self.ticks(bar, step) + astray)

    def rolled(self, bar: int, step: int, late_ms: float, roll_ms: float, count: int) -> list[int]:
        """When each of `count` voices of one hand is struck, from below, within `roll_ms`."""
        first = self.onset(bar, step, late_ms - roll_ms / 2)
        last = self.ticks(bar, step) + _MOST_ASTRAY_TICKS
        along = [i / max(1, count - 1) * roll_ms * self._ticks_per_ms for i in range(count)]
        return [max(first, min(last, first + round(ticks))) for ticks in along]

    def length(self, bar: int, step: int, steps: float, share: float = 0.95) -> int:
        """Ticks of a note of that many steps; `share` is how much of them it sounds."""
        return round((self.ticks(bar, step + steps) - self.ticks(bar, step)) * share)

    # Loudness

    def loudness(self, bar: int, step: int, factor: float = 1.0) -> int:
        """Velocity: the mood's, swelling over the section and breathing over four bars."""
        scene = self.scene(bar)
        first, last = SWELL[scene.name]
        along = (bar - scene.bars.start + step / STEPS) / len(scene.bars)
        phrase = ((bar - scene.bars.start) % 4 + step / STEPS) / 4
        factor *= first + (last - first) * along
        factor *= 0.98 + 0.05 * sin(pi * phrase)
        return round(self.velocity * factor + self.chance.gauss(0, 3.0))
