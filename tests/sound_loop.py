"""A small lo-fi loop, written out by hand in code: four chords, swung drums, bass, melody."""

from __future__ import annotations

from typing import Any

import symusic

TICKS = 480
_SWING = 0.62  # place of the off-beat within the beat
_CHORDS = ((62, 65, 69, 72), (55, 59, 65, 69), (60, 64, 67, 71), (57, 60, 64, 67))  # ii V I vi
_ROOTS = (38, 43, 36, 45)
_MELODY = ((0.0, 77, 1.0), (1.5, 76, 0.5), (2.0, 72, 1.5), (3.5, 74, 0.5))
_PROGRAMS = {"drums": 0, "bass": 32, "keys": 4, "guitar": 24, "lead": 11, "pad": 89}


def _tick(bar: int, beat: float) -> int:
    whole = int(beat)
    swung = _SWING * TICKS if beat - whole == 0.5 else (beat - whole) * TICKS
    return round((4 * bar + whole) * TICKS + swung)


def _drums(bar: int) -> list[tuple[float, float, int, int]]:
    hits = [(0.0, 36, 96), (1.5, 36, 70), (2.5, 36, 88), (1.0, 38, 92), (3.0, 38, 96)]
    hits += [(beat / 2, 42, 66 if beat % 2 == 0 else 44) for beat in range(8)]
    hits += [(3.5, 38, 26)] if bar % 2 else [(3.5, 46, 50)]
    return [(beat, 0.2, pitch, velocity) for beat, pitch, velocity in hits]


def _part(name: str, bar: int, velocity: int) -> list[tuple[float, float, int, int]]:
    chord, root = _CHORDS[bar % 4], _ROOTS[bar % 4]
    if name == "drums":
        return _drums(bar)
    if name == "bass":
        return [(0.0, 1.3, root, velocity + 8), (2.5, 1.2, root + 7, velocity)]
    if name == "keys":
        low = [(0.0, 1.9, pitch, velocity) for pitch in chord]
        return low + [(2.5, 1.3, pitch, velocity - 8) for pitch in chord]
    if name == "guitar":
        return [(i * 1.0 + 0.5, 0.9, chord[i], velocity - 6) for i in range(4)]
    if name == "lead":
        return [(beat, length, pitch, velocity) for beat, pitch, length in _MELODY] * (bar % 2)
    return [(0.0, 4.0, pitch, velocity - 14) for pitch in chord[1:]]


def loop(
    bars: int,
    *,
    bpm: float = 80.0,
    parts: tuple[str, ...] = ("drums", "bass", "keys", "lead", "pad"),
    velocity: int = 72,
) -> Any:
    """A score of `bars` bars with these parts."""
    score: Any = symusic.Score(TICKS)
    score.tempos.append(symusic.Tempo(0, bpm))
    for name in parts:
        track: Any = symusic.Track(name, _PROGRAMS[name], name == "drums")
        for bar in range(bars):
            for beat, beats, pitch, strength in _part(name, bar, velocity):
                onset = _tick(bar, beat)
                track.notes.append(symusic.Note(onset, round(beats * TICKS), pitch, strength))
        score.tracks.append(track)
    return score
