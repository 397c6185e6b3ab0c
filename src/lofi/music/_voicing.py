"""Voicings: how a chord lies under a player's hands, and the smoothest way to the next one.

What can be played stands in `material/voicings.yaml`. Each player has hands of its own, which
remember what they last held.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from lofi.music._band import Band
from lofi.music._material import material
from lofi.music._theory import Chord

INTERVALS: dict[str, int] = {
    "1": 0, "b9": 1, "9": 2, "b3": 3, "3": 4, "4": 5, "11": 5, "#11": 6, "b5": 6, "5": 7, "#5": 8,
    "b13": 8, "6": 9, "13": 9, "bb7": 9, "b7": 10, "7": 11,
}  # fmt: skip

Voices = tuple[int, ...]

# Below these pitches two voices need this much room, in semitones; closer they turn to mud.
_LOW_LIMITS = ((48, 7), (52, 4), (55, 3), (58, 2))
_NO_WAY = 1e9
_CROWD = 1.6  # what each voice more or less than the hands like costs
_BEYOND = 3.0  # what each semitone beyond where the hands like to lie costs
_MUD = 12.0
_FLOATING = 0.6  # a voicing without its root floats, and leaves more to the bass
_HOMELESS = 3.4  # the chord of the tonic is where the ear comes home: it likes its root
_ROOTLESS = 3.5  # what a voicing costs that has no root below where no bass plays it


@dataclass(frozen=True, slots=True)
class _Shape:
    """A row of the table: semitones above the root, rising, and the colours among them."""

    name: str
    offsets: Voices


@lru_cache(maxsize=256)
def shapes(quality: str, player: str) -> tuple[_Shape, ...]:
    """The rows with which a player can voice a quality."""
    return tuple(
        _Shape(row["name"], _stacked(row["voices"]))
        for row in material("voicings")
        if quality in row["chords"] and player in row["players"]
    )


def _stacked(voices: str) -> Voices:
    offsets: list[int] = []
    for text in voices.split():
        tone = INTERVALS[text]
        if offsets:
            above = offsets[-1] + 1
            tone = above + (tone - above) % 12
        offsets.append(tone)
    return tuple(offsets)


def muddy(voices: Voices) -> bool:
    """Whether two neighbouring voices lie too close for how low they are."""
    return any(
        below < limit and above - below < room
        for below, above in pairwise(voices)
        for limit, room in _LOW_LIMITS
    )


class Hands:
    """One player's hands: where they like to lie, and what they held last."""

    def __init__(
        self, band: Band, player: str, *, centre: float, low: int, high: int, size: int
    ) -> None:
        self._band = band
        self._player = player
        self._centre = centre
        self._low, self.high, self._size = low, high, size
        self._last: Voices = ()
        self._taste: dict[str, float] = {}
        self._mood = ""
        self._known: dict[tuple[str, Chord, Voices, bool, frozenset[int]], Voices] = {}
        self._reach: dict[Chord, list[tuple[str, Voices, float]]] = {}

    def settle(self, mood: str) -> None:
        """Take up the habits of a section: the same label, the same tastes."""
        if mood == self._mood:
            return
        self._mood = mood
        own = self._band.own("taste", self._player, mood)
        names = {row["name"] for row in material("voicings")}
        self._taste = {name: own.uniform(0, 2.2) for name in sorted(names)}

    def voicing(
        self, chord: Chord, *, alone: bool = False, avoid: frozenset[int] = frozenset()
    ) -> Voices:
        """The voices, rising, nearest to those before.

        Hands that are `alone`, without a bass, want the root below; `avoid` are pitches better
        left to others.
        """
        wanted = (self._mood, chord, self._last, alone, avoid)
        if wanted not in self._known:
            self._known[wanted] = self._smoothest(chord, alone, avoid)
        self._last = self._known[wanted]
        return self._last

    def _smoothest(self, chord: Chord, alone: bool, avoid: frozenset[int]) -> Voices:
        best: Voices = ()
        least = _NO_WAY
        for name, voices, strain in self._within_reach(chord):
            cost = strain + self._taste.get(name, 0.0) + 0.8 * len(avoid.intersection(voices))
            if alone and voices[0] % 12 != chord.root:
                cost += _ROOTLESS
            if cost < least and self._last:
                cost += _way(self._last, voices)
            if cost < least:
                best, least = voices, cost
        assert best, f"no voicing of {chord} for the {self._player}"
        return best

    def _within_reach(self, chord: Chord) -> list[tuple[str, Voices, float]]:
        """Every playable voicing with the cost of its place and its frictions."""
        if chord in self._reach:
            return self._reach[chord]
        scale = set(self._band.key.scale)
        inside = set(chord.pitch_classes) | {chord.fifth}
        found: list[tuple[str, Voices, float]] = []
        for shape in shapes(chord.quality, self._player):
            tones = {(chord.root + o) % 12 for o in shape.offsets}
            if not tones - inside <= scale:
                continue  # a colour that the key does not hold
            for root in range(chord.root + 24, 96, 12):
                voices = tuple(root + o for o in shape.offsets)
                beyond = max(0, self._low - voices[0]) + max(0, voices[-1] - self.high)
                if beyond > 6:
                    continue
                mean = sum(voices) / len(voices)
                strain = 0.55 * abs(mean - self._centre) + _CROWD * abs(len(voices) - self._size)
                strain += _BEYOND * beyond + _MUD * muddy(voices)
                if chord.root not in (v % 12 for v in voices):
                    strain += _HOMELESS if chord.root == self._band.key.tonic else _FLOATING
                found.append((shape.name, voices, strain + _friction(voices)))
        self._reach[chord] = found
        return found


def _friction(voices: Voices) -> float:
    """Semitones at the top and ninths a semitone short are harsh; elsewhere they are colour."""
    harsh = 2.5 * (voices[-1] - voices[-2] == 1)
    pairs = [(a, b) for i, a in enumerate(voices) for b in voices[i + 1 :]]
    harsh += 2.5 * sum(b - a == 13 for a, b in pairs)
    return harsh + 0.6 * sum(b - a == 1 for a, b in pairs)


def _way(before: Voices, after: Voices) -> float:
    """How far the voices move, in semitones on average; the highest is heard most."""
    if len(before) == len(after):
        moved = sum(abs(a - b) for a, b in zip(before, after, strict=True)) / len(after)
    else:
        moved = sum(min(abs(a - b) for b in before) for a in after) / len(after) + 0.3
    top = abs(after[-1] - before[-1])
    same_way = len({(b > a) - (b < a) for a, b in zip(before, after, strict=False)} - {0}) == 1
    parallel = 0.8 if same_way and moved > 1.9 else 0.0  # all hands sliding one way
    held = 0.25 * len(set(before) & set(after))
    return moved + 0.3 * top + (1.5 if top > 5 else 0.0) + parallel - held
