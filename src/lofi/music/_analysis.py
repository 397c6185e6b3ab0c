"""What a score is, measured from its notes: key, chords, swing, density, mood.

Key: Albrecht and Shanahan, "The Use of Large Corpora to Train a New Type of Key-Finding
Algorithm", Music Perception 31 (2013), Euclidean distance to their profiles.
Chords: every chord of `QUALITIES` on every root, scored against the pitch classes that sound in
each half bar.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import symusic

from lofi.brief import BUNDLES, Key
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT
from lofi.music._theory import QUALITIES, Chord

HALF_BAR = TICKS_PER_BAR // 2

# How much a part's notes say about the harmony; drums nothing.
_HARMONIC_WEIGHT = {"bass": 1.0, "keys": 1.0, "guitar": 0.9, "pad": 1.0, "lead": 0.35}

_MAJOR_PROFILE = (
    0.238,
    0.006,
    0.111,
    0.006,
    0.137,
    0.094,
    0.016,
    0.214,
    0.009,
    0.080,
    0.008,
    0.081,
)
_MINOR_PROFILE = (
    0.220,
    0.006,
    0.104,
    0.123,
    0.019,
    0.103,
    0.012,
    0.214,
    0.062,
    0.022,
    0.061,
    0.052,
)


@dataclass(frozen=True, slots=True)
class Notes:
    """The notes of one part, by onset: four int64 arrays of equal length, times in ticks."""

    onset: np.ndarray
    length: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray

    def within(self, start: int, stop: int) -> Notes:
        """The notes that begin in [start, stop) ticks."""
        a, b = np.searchsorted(self.onset, [start, stop])
        return Notes(self.onset[a:b], self.length[a:b], self.pitch[a:b], self.velocity[a:b])

    def __len__(self) -> int:
        return len(self.onset)


def notes_by_part(score: symusic.Score) -> dict[str, Notes]:
    """The notes of each track of a canonical score, by part name."""
    found = {}
    for track in score.tracks:
        raw = track.notes.numpy()
        order = np.lexsort((raw["pitch"], raw["time"]))
        columns = (
            raw[k][order].astype(np.int64) for k in ("time", "duration", "pitch", "velocity")
        )
        found["drums" if track.is_drum else track.name] = Notes(*columns)
    return found


def pitch_class_weights(parts: dict[str, Notes], half_bars: int) -> tuple[np.ndarray, np.ndarray]:
    """Ticks that each pitch class sounds in each half bar, (half_bars, 12), all and bass alone."""
    total = np.zeros((half_bars, 12))
    bass = np.zeros((half_bars, 12))
    lowest = np.full(half_bars, 128)
    for name, notes in parts.items():
        weight = _HARMONIC_WEIGHT.get(name, 0.0)
        if not weight:
            continue
        # A note of up to eight beats touches at most five half bars; add its share to each.
        first = notes.onset // HALF_BAR
        for k in range(5):
            cell = first + k
            begin = np.maximum(notes.onset, cell * HALF_BAR)
            stop = np.minimum(notes.onset + notes.length, (cell + 1) * HALF_BAR)
            ok = (stop > begin) & (cell < half_bars)
            np.add.at(total, (cell[ok], notes.pitch[ok] % 12), weight * (stop - begin)[ok])
            if name != "lead":
                np.minimum.at(lowest, cell[ok], notes.pitch[ok])
            if name == "bass":
                np.add.at(bass, (cell[ok], notes.pitch[ok] % 12), (stop - begin)[ok])
    silent = (bass.sum(1) == 0) & (lowest < 128)  # no bass part: the lowest note stands in for it
    bass[np.flatnonzero(silent), lowest[silent] % 12] = 1.0
    return total, bass


@lru_cache(maxsize=1)
def _chord_templates() -> tuple[list[Chord], np.ndarray, np.ndarray]:
    chords, tones, needed = [], [], []
    for quality, intervals in QUALITIES.items():
        for root in range(12):
            tone = np.full(12, -0.9)
            need = np.zeros(12)
            for rank, interval in enumerate(intervals):
                tone[(root + interval) % 12] = (1.0, 1.0, 0.95, 0.75, 0.6)[rank]
                need[(root + interval) % 12] = (0.30, 0.35, 0.35, 0.30, 0.0)[rank]
            tone[(root + 7) % 12] = max(tone[(root + 7) % 12], 0.3)  # a fifth is never wrong
            if 7 in intervals:
                need[(root + 7) % 12] = 0.05
            chords.append(Chord(root, quality))
            tones.append(tone)
            needed.append(need)
    return chords, np.array(tones), np.array(needed)


def find_chords(parts: dict[str, Notes], half_bars: int) -> list[Chord | None]:
    """The chord of each half bar; None where fewer than two pitch classes sound."""
    total, bass = pitch_class_weights(parts, half_bars)
    share = total / np.maximum(total.sum(1, keepdims=True), 1)
    below = bass / np.maximum(bass.sum(1, keepdims=True), 1)
    chords, tones, needed = _chord_templates()
    absent = np.clip(1 - share / 0.06, 0, 1)
    fit = share @ tones.T - absent @ needed.T
    fit += 0.35 * below[:, [c.root for c in chords]]
    best = fit.argmax(1)
    enough = (share > 0.04).sum(1) >= 2
    return [chords[b] if ok else None for b, ok in zip(best, enough, strict=True)]


def find_key(parts: dict[str, Notes]) -> tuple[Key, float]:
    """The key of all notes, and its clarity: how much nearer it is than the next other scale."""
    weights = np.zeros(12)
    for name, notes in parts.items():
        if name != "drums":
            np.add.at(weights, notes.pitch % 12, np.minimum(notes.length, TICKS_PER_BAR))
    weights = weights / max(1.0, weights.sum())
    half_bars = max((int(n.onset[-1]) // HALF_BAR + 1 for n in parts.values() if len(n)), default=1)
    _, bass = pitch_class_weights(parts, half_bars)
    roots = bass / np.maximum(bass.sum(1, keepdims=True), 1)
    keys, cost = [], []
    for mode, profile in (("major", _MAJOR_PROFILE), ("minor", _MINOR_PROFILE)):
        for tonic in range(12):
            distance = float(np.linalg.norm(weights - np.roll(profile, tonic)))
            # Relative keys share their notes: the tonic shows in the bass, most at both ends.
            ends = (roots[: min(2, len(roots))].mean(0) + roots[-2:].mean(0))[tonic] / 2
            keys.append(Key(tonic, mode))
            cost.append(distance - 0.06 * ends - 0.06 * roots.mean(0)[tonic])
    order = np.argsort(cost, kind="stable")
    best = keys[order[0]]
    rival = next(i for i in order if set(keys[i].scale) != set(best.scale))
    return best, float(cost[rival] - cost[order[0]])


def find_swing(parts: dict[str, Notes]) -> float | None:
    """Where the off-beat eighths fall within the beat: 0.5 straight, 0.667 triplet; None if few."""
    onsets = np.concatenate([n.onset for n in parts.values()]) if parts else np.zeros(0, int)
    phase = (onsets % TICKS_PER_BEAT) / TICKS_PER_BEAT
    off = phase[(phase > 0.44) & (phase < 0.72)]
    return float(off.mean()) if len(off) >= 8 else None


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of a whole score. Densities are notes per beat; `clarity` is that of the key."""

    bpm: float
    bars: int
    notes: int
    key: str | None
    clarity: float
    density: float
    velocity: float
    register: float
    polyphony: float
    empty_beats: float
    swing: float | None
    bundle: str | None
    parts: dict[str, int]

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON, floats rounded to 4 places."""
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}


def measure(score: symusic.Score) -> Measured:
    """Measure a canonical score."""
    parts = notes_by_part(score)
    last = max(int((n.onset + n.length).max()) for n in parts.values())
    bars = max(1, max(int(n.onset[-1]) // TICKS_PER_BAR + 1 for n in parts.values()))
    notes = sum(len(n) for n in parts.values())
    pitched = {k: n for k, n in parts.items() if k != "drums"}
    upper = [n for k, n in pitched.items() if k != "bass"]
    bpm = float(score.tempos[0].qpm)
    key, clarity = find_key(parts) if pitched else (None, 0.0)
    sounding = np.zeros(-(-max(last, 1) // TICKS_PER_BEAT) + 1)
    for n in parts.values():
        np.add.at(sounding, n.onset // TICKS_PER_BEAT, 1)
        np.add.at(sounding, np.maximum(n.onset, n.onset + n.length - 1) // TICKS_PER_BEAT, 1)
    ticks = sum(int(n.length.sum()) for n in pitched.values())
    velocity = _mean([n.velocity for n in pitched.values()])
    register = _mean([n.pitch for n in upper])
    density = notes / (4 * bars)
    return Measured(
        bpm=bpm,
        bars=bars,
        notes=notes,
        key=str(key) if key else None,
        clarity=clarity,
        density=density,
        velocity=velocity,
        register=register,
        polyphony=ticks / max(1, bars * TICKS_PER_BAR),
        empty_beats=float((sounding[: 4 * bars] == 0).mean()),
        swing=find_swing(parts),
        bundle=nearest_bundle(bpm, density, velocity, register, key.mode) if key else None,
        parts={k: len(n) for k, n in parts.items()},
    )


def _mean(columns: list[np.ndarray]) -> float:
    joined = np.concatenate(columns) if columns else np.zeros(0)
    return float(joined.mean()) if len(joined) else 0.0


def nearest_bundle(
    bpm: float, density: float, velocity: float, register: float, mode: str
) -> str | None:
    """The mood bundle whose ranges these figures fit best; None if they fit none.

    The distance counts half widths outside the middle of each range; a figure at a range's edge
    costs 1, one that is a whole range away costs 9.
    """
    best, best_cost = None, 16.0
    for name, bundle in BUNDLES.items():
        cost = 0.0
        for value, (low, high) in (
            (bpm, bundle.bpm),
            (density, bundle.density),
            (velocity, bundle.velocity),
            (register, bundle.register),
        ):
            cost += (2 * (value - (low + high) / 2) / (high - low)) ** 2
        share = bundle.major_share if mode == "major" else 1 - bundle.major_share
        cost -= 1.5 * np.log(max(share, 0.05))
        if cost < best_cost:
            best, best_cost = name, cost
    return best


@dataclass(frozen=True, slots=True)
class Quality:
    """What a score must measure to be learned from."""

    min_bpm: float = 40.0
    max_bpm: float = 220.0
    max_density: float = 24.0  # notes per beat
    max_polyphony: float = 16.0  # pitches sounding at once, on average
    max_empty_beats: float = 0.6  # share of beats in which nothing sounds


def judge(measured: Measured, quality: Quality) -> str | None:
    """Why a score is not good enough to learn from; None if it is."""
    m, q = measured, quality
    if not q.min_bpm <= m.bpm <= q.max_bpm:
        return f"{m.bpm:.0f} bpm is outside {q.min_bpm:g}-{q.max_bpm:g}"
    if m.density > q.max_density:
        return f"{m.density:.1f} notes per beat: more than {q.max_density:g}"
    if m.polyphony > q.max_polyphony:
        return f"{m.polyphony:.1f} pitches at once on average: more than {q.max_polyphony:g}"
    if m.empty_beats > q.max_empty_beats:
        return f"{m.empty_beats:.0%} of the beats are empty: more than {q.max_empty_beats:.0%}"
    return None
