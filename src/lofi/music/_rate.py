"""How good a stretch of music is, by measurement: what chooses between the model's candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lofi.brief import BUNDLES, Key
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT
from lofi.music._recognise import HALF_BAR, Notes, key_clarity
from lofi.music._statistics import clash_share, ghost_share, off_beat_share
from lofi.music._theory import Chord
from lofi.music._tokens import DENSITY_EDGES, density_level

# What each figure weighs in the total.
_WEIGHTS = {
    "consonance": 0.1,
    "strong": 0.08,
    "clash": 0.08,
    "key": 0.08,
    "density": 0.3,
    "presence": 0.08,
    "register": 0.18,
    "fullness": 0.1,
    "continuity": 0.04,
    "variety": 0.02,
    "line": 0.1,
    "backbeat": 0.04,
    "touch": 0.15,
    "lilt": 0.1,
}
CHORDAL = ("keys", "guitar", "pad")  # the parts that play chords
_CLEAR = 0.06  # so much nearer than every other, and a key is beyond doubt
_RUBS = 0.3  # share of the time in which parts rub against each other that is worth nothing


def rate(
    parts: dict[str, Notes],
    chords: Sequence[Chord],
    key: Key,
    levels: dict[str, int],
    bars: int,
    bundle: str,
    height: float | None = None,
) -> dict[str, float]:
    """How good a stretch is, by measurement; `total` ranks candidates, each figure is 0 to 1.

    consonance: share of the sounding time of pitched notes on chord tones (half for other tones
    of the scale). strong: the same for notes on beats one and three. clash: how seldom parts
    sound a semitone apart. key: how clearly the notes are those of the key. density: how near each
    part is to the density asked, nothing for one that is silent. presence: beats in which something
    sounds, times half bars with a drum where there are drums. register: how near the pitch above
    the bass is to the mood's. fullness: whether all parts together play about as much as the mood
    does. continuity: how near the chords lie to `height`, the mean pitch of the stretch before (1
    if there was none). variety: bars of the melody that are not all alike. line: how far the melody
    goes by steps. backbeat: second and fourth beats with a snare, where drums are asked for that
    are not sparse. touch: how near the share of the drummer's soft strokes is to the mood's. lilt:
    how near the share of the others' onsets off the beat is to the mood's.
    """
    pitched = {name: n for name, n in parts.items() if name != "drums" and len(n)}
    lead = parts.get("lead")
    here = height_of(parts)
    consonance, strong = _consonance(list(pitched.values()), chords, key)
    matched = [
        closeness(part, len(parts[part]) if part in parts else 0, bars, level)
        for part, level in levels.items()
    ]
    clarity = key_clarity(pitched, key) if pitched else 0.0
    rubs = np.nan_to_num(clash_share(list(pitched.values())))
    figures = {
        "consonance": consonance,
        "strong": strong,
        "clash": max(0.0, 1 - float(rubs) / _RUBS),
        "key": min(1.0, max(0.0, 0.5 + clarity / (2 * _CLEAR))),
        "density": float(np.mean(matched)) if matched else 1.0,
        "presence": _presence(parts, bars),
        "register": _register(pitched, bundle),
        "fullness": _fullness(parts, bars, bundle),
        "continuity": (
            1.0 if height is None or here is None else max(0.0, 1 - abs(here - height) / 8)
        ),
        "variety": _variety(lead, bars) if lead is not None and len(lead) else 0.5,
        "line": _singable(lead) if lead is not None else 1.0,
        "backbeat": _backbeat(parts["drums"], bars) if levels.get("drums", 0) > 1 else 1.0,
        "touch": _touch(parts.get("drums"), bundle),
        "lilt": _lilt(list(pitched.values()), bundle),
    }
    figures["total"] = sum(weight * figures[name] for name, weight in _WEIGHTS.items())
    return figures


def closeness(part: str, notes: int, bars: int, level: int) -> float:
    """How near a part is to the density level asked: 1 within it, 0 if it is silent."""
    if not notes or not level:
        return float(notes == level)
    played = density_level(part, notes, bars)
    if played == level:
        return 1.0
    low, high = DENSITY_EDGES[part]
    beyond = (low if level == 1 else high) if played > level else (high if level == 3 else low)
    ratio = notes / bars / beyond
    return 0.7 * min(ratio, 1 / ratio)


def height_of(parts: dict[str, Notes]) -> float | None:
    """The mean pitch of the parts that play chords; None if none does."""
    pitches = [parts[p].pitch for p in CHORDAL if p in parts and len(parts[p])]
    return float(np.concatenate(pitches).mean()) if pitches else None


def _consonance(parts: Sequence[Notes], chords: Sequence[Chord], key: Key) -> tuple[float, float]:
    """How far the notes are of the chord and the scale: by sounding time, and on beats 1 and 3."""
    if not parts:
        return 0.0, 0.5
    worth = np.zeros((len(chords), 12))
    worth[:, list(key.scale)] = 0.5
    for half, chord in enumerate(chords):
        worth[half, list(chord.pitch_classes)] = 1.0
    onset, length, pitch = (
        np.concatenate([getattr(n, f) for n in parts]) for f in ("onset", "length", "pitch")
    )
    value = worth[np.minimum(onset // HALF_BAR, len(chords) - 1), pitch % 12]
    first = value[onset % HALF_BAR == 0]
    return float(np.average(value, weights=length)), float(first.mean()) if len(first) else 0.5


def _presence(parts: dict[str, Notes], bars: int) -> float:
    change = np.zeros(4 * bars + 1, int)
    for notes in parts.values():
        first = notes.onset // TICKS_PER_BEAT
        after = (notes.onset + notes.length - 1) // TICKS_PER_BEAT + 1
        np.add.at(change, np.minimum(first, 4 * bars), 1)
        np.add.at(change, np.minimum(after, 4 * bars), -1)
    presence = float((change.cumsum()[:-1] > 0).mean())
    if "drums" in parts:  # a groove that stops for half a bar is heard as a mistake
        presence *= len(np.unique(parts["drums"].onset // HALF_BAR)) / (2 * bars)
    return presence


def _register(pitched: dict[str, Notes], bundle: str) -> float:
    """1 in the middle of the mood's range, a third at its edges."""
    upper = [n.pitch for name, n in pitched.items() if name != "bass"]
    if not upper:
        return 1.0
    low, high = BUNDLES[bundle].register
    astray = abs(float(np.concatenate(upper).mean()) - (low + high) / 2)
    return float(np.exp(-2 * astray / (high - low)))


def _fullness(parts: dict[str, Notes], bars: int, bundle: str) -> float:
    """1 in the lower half of the mood's range of notes per beat, 0 that range away from it."""
    low, high = BUNDLES[bundle].density
    notes = sum(len(n) for n in parts.values()) / (4 * bars)
    beyond = max(notes - (low + high) / 2, low - notes, 0.0)
    return max(0.0, 1 - beyond / (high - low))


# Of a melodic interval by semitones: steps above all, then thirds, notes repeated, fourths, leaps.
_WORTH = np.array([0.3, 1, 1, 0.6, 0.6, 0.4, 0.2, 0.3, 0])


def _singable(lead: Notes) -> float:
    """Mean worth of the melody's intervals; 0.5 where there are too few to tell."""
    intervals = np.minimum(np.abs(np.diff(lead.pitch)), len(_WORTH) - 1)
    return float(_WORTH[intervals].mean()) if len(intervals) > 2 else 0.5


def _touch(drums: Notes | None, bundle: str) -> float:
    """1 at the mood's share of ghost strokes, 0 half of them off; 0.5 where nothing tells."""
    share = ghost_share(drums) if drums is not None else float("nan")
    return 0.5 if np.isnan(share) else max(0.0, 1 - 2 * abs(share - BUNDLES[bundle].ghosts))


def _lilt(parts: Sequence[Notes], bundle: str) -> float:
    """1 at the mood's share of onsets off the beat, 0 a quarter of all off; 0.5 for no onsets."""
    share = off_beat_share(Notes.joined(parts))
    return 0.5 if np.isnan(share) else max(0.0, 1 - 4 * abs(share - BUNDLES[bundle].off_beat))


def _backbeat(drums: Notes, bars: int) -> float:
    """Share of second and fourth beats on which a snare, rim or clap is struck."""
    struck = drums.onset[np.isin(drums.pitch, (37, 38, 39, 40))]
    place = struck / TICKS_PER_BEAT
    beats = np.unique(np.round(place[np.abs(place - np.round(place)) < 0.1])).astype(int)
    return min(1.0, int((beats % 2 == 1).sum()) / (2 * bars))


def _variety(lead: Notes, bars: int) -> float:
    shapes = set()
    for b in range(bars):
        bar = lead.within(b * TICKS_PER_BAR, (b + 1) * TICKS_PER_BAR)
        if len(bar):
            shapes.add(((bar.onset % TICKS_PER_BAR).tobytes(), bar.pitch.tobytes()))
    return min(1.0, len(shapes) / max(1, bars / 2))
