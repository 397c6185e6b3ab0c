"""Recognisers: the key, the chords and the swing of a score, heard from its notes.

Key: Albrecht and Shanahan, "The Use of Large Corpora to Train a New Type of Key-Finding
Algorithm", Music Perception 31 (2013), Euclidean distance to their profiles.
Chords: every chord of `QUALITIES` on every root, scored against the pitch classes that sound in
each half bar.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import symusic

from lofi.brief import Key
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
