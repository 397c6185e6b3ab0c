"""What a score is, measured from its notes, and whether it is good enough to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import symusic

from lofi.brief import BUNDLES
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT
from lofi.music._recognise import Notes, find_chords, find_key, find_swing, notes_by_part
from lofi.music._theory import QUALITIES, Chord


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of a whole score.

    `density` is notes per beat, `velocity` the mean of the pitched parts, `register` the mean
    pitch above the bass, `polyphony` the pitches that sound at once on average, `empty_beats` the
    share of beats in which nothing sounds, `clarity` how much nearer the key is than the next
    other scale, `sevenths` the share of recognised half-bar chords that are seventh or ninth
    chords, `swing` the place of the off-beat in the beat. A figure without notes to measure it
    from is None.
    """

    bpm: float
    duration_s: float
    bars: int
    notes: int
    key: str | None
    clarity: float | None
    density: float
    velocity: float | None
    register: float | None
    pitch_low: int | None
    pitch_high: int | None
    polyphony: float
    empty_beats: float
    sevenths: float | None
    swing: float | None
    bundle: str | None
    parts: dict[str, int]

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON, floats rounded to 4 places."""
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}


def hear_chords(score: symusic.Score) -> list[Chord | None]:
    """The chord of each half bar, in whole bars up to the last onset; see `find_chords`."""
    parts = notes_by_part(score)
    return find_chords(parts, 2 * _bars(parts))


def _bars(parts: dict[str, Notes]) -> int:
    return max(1, max(int(n.onset[-1]) // TICKS_PER_BAR + 1 for n in parts.values()))


def measure(score: symusic.Score, chords: Sequence[Chord | None] | None = None) -> Measured:
    """Measure a canonical score; `chords` are those of its half bars, if they are known."""
    parts = notes_by_part(score)
    last = max(int((n.onset + n.length).max()) for n in parts.values())
    bars = _bars(parts)
    notes = sum(len(n) for n in parts.values())
    pitched = {k: n for k, n in parts.items() if k != "drums"}
    upper = [n for k, n in pitched.items() if k != "bass"]
    bpm = float(score.tempos[0].qpm)
    key, clarity = find_key(parts) if pitched else (None, None)
    if chords is None:
        chords = find_chords(parts, 2 * bars)
    known = [c for c in chords if c]
    sounding = np.zeros(-(-max(last, 1) // TICKS_PER_BEAT) + 1)
    for n in parts.values():
        np.add.at(sounding, n.onset // TICKS_PER_BEAT, 1)
        np.add.at(sounding, np.maximum(n.onset, n.onset + n.length - 1) // TICKS_PER_BEAT, 1)
    ticks = sum(int(n.length.sum()) for n in pitched.values())
    velocity = _mean([n.velocity for n in pitched.values()])
    register = _mean([n.pitch for n in upper])
    density = notes / (4 * bars)
    bundle = None
    if key and velocity is not None and register is not None:
        bundle = nearest_bundle(bpm, density, velocity, register, key.mode)
    return Measured(
        bpm=bpm,
        duration_s=last / TICKS_PER_BEAT * 60 / bpm,
        bars=bars,
        notes=notes,
        key=str(key) if key else None,
        clarity=clarity,
        density=density,
        velocity=velocity,
        register=register,
        pitch_low=min((int(n.pitch.min()) for n in pitched.values()), default=None),
        pitch_high=max((int(n.pitch.max()) for n in pitched.values()), default=None),
        polyphony=ticks / max(1, bars * TICKS_PER_BAR),
        empty_beats=float((sounding[: 4 * bars] == 0).mean()),
        sevenths=sum(_is_seventh(c) for c in known) / len(known) if known else None,
        swing=find_swing(parts),
        bundle=bundle,
        parts={k: len(n) for k, n in parts.items()},
    )


def _is_seventh(chord: Chord) -> bool:
    """Whether a minor or major seventh, or the diminished one, is among its tones."""
    intervals = QUALITIES[chord.quality]
    return 10 in intervals or 11 in intervals or chord.quality == "dim7"


def _mean(columns: list[np.ndarray]) -> float | None:
    return float(np.concatenate(columns).mean()) if columns else None


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


# Reject below, best from, best to, reject above.
Range = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Quality:
    """What a score should measure to be learned from; see `judge`.

    Each range holds four rising numbers: below the first and above the last a score is rejected;
    between the middle two it is at its best. Drums and parts that are absent are not held against
    a score: what it has no figure for does not count.
    """

    bpm: Range = (40, 60, 100, 220)
    duration_s: Range = (2, 30, 420, 3600)
    density: Range = (0.05, 2, 12, 24)
    polyphony: Range = (0, 1.5, 8, 16)
    empty_beats: Range = (0, 0, 0.1, 0.6)
    pitch_span: Range = (0, 24, 60, 128)  # semitones from the lowest to the highest note
    clarity: Range = (0, 0.03, 1, 1)
    sevenths: Range = (0, 0.4, 1, 1)
    swing: Range = (0.4, 0.5, 0.67, 0.75)
    min_score: float = 0.3

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "min_score" and list(value) != sorted(value):
                raise ValueError(f"quality.{field.name} must hold four rising numbers")


@dataclass(frozen=True, slots=True)
class Judgement:
    """How good a score is to learn from: 0 to 1 in all and by criterion, or why it is not."""

    score: float
    parts: dict[str, float]
    reason: str | None


# How a figure is spoken of when it is out of range.
_SPOKEN = {
    "bpm": "{:.0f} bpm",
    "duration_s": "{:.0f} s long",
    "density": "{:.2g} notes per beat",
    "polyphony": "{:.1f} pitches at once on average",
    "empty_beats": "{:.0%} of the beats empty",
    "pitch_span": "a span of {:.0f} semitones",
    "clarity": "a key clarity of {:.2f}",
    "sevenths": "{:.0%} seventh chords",
    "swing": "off-beats at {:.2f} of the beat",
}


def judge(measured: Measured, quality: Quality) -> Judgement:
    """Hold a score's figures against the ranges of `quality`.

    Each criterion rises linearly from 0 at the edge of its range to 1 in the best part of it; the
    score is their mean. The first figure out of range, or a mean below `min_score`, is the reason
    to reject.
    """
    figures: dict[str, float | None] = {
        name: getattr(measured, name) for name in _SPOKEN if name != "pitch_span"
    }
    if measured.pitch_low is not None and measured.pitch_high is not None:
        figures["pitch_span"] = measured.pitch_high - measured.pitch_low
    parts: dict[str, float] = {}
    reason = None
    for name, spoken in _SPOKEN.items():
        value = figures.get(name)
        if value is None:
            continue
        low, best_low, best_high, high = getattr(quality, name)
        if not low <= value <= high:
            edge = f"less than {low:g}" if value < low else f"more than {high:g}"
            reason = reason or f"{spoken.format(value)}: {edge}"
        below = (value - low) / (best_low - low) if value < best_low else 1.0
        above = (high - value) / (high - best_high) if value > best_high else 1.0
        parts[name] = round(max(0.0, min(below, above)), 3)
    score = round(sum(parts.values()) / len(parts), 3)
    if score < quality.min_score:
        weak = ", ".join(sorted(parts, key=lambda n: parts[n])[:2])
        reason = (
            reason or f"a score of {score:.2f} (weakest: {weak}): less than {quality.min_score:g}"
        )
    return Judgement(score, parts, reason)
