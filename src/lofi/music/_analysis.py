"""What a score is, measured from its notes, and whether it is good enough to learn from."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import symusic

from lofi.brief import BUNDLES
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT
from lofi.music._recognise import find_key, find_swing, notes_by_part


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
