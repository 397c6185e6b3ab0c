"""MIDI in and out: read a file of any origin, bound it, and seat its tracks as the parts we know.

What comes out of `read_midi` is canonical: 480 ticks per quarter, 4/4, one tempo, at most one
track per part of `lofi.brief.PARTS`, every note inside its part's range, markers kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import symusic

from lofi.brief import PARTS, InputError, Plan, part_of_program

TICKS_PER_BEAT = 480
TICKS_PER_BAR = 4 * TICKS_PER_BEAT

# Roland e-drum kits write hi-hat edge and tom rims outside General MIDI (10 % of Groove MIDI).
ROLAND_TO_GM = {22: 42, 26: 46, 58: 43}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a file may hold; checked before anything is expanded from it."""

    max_bytes: int = 2_000_000
    max_notes: int = 60_000
    max_bars: int = 1_200
    min_notes: int = 8
    min_bars: int = 2


class RejectedError(InputError):
    """A MIDI file that cannot be learned from; the message is the reason."""


def read_midi(path: Path, bounds: Bounds | None = None) -> tuple[symusic.Score, list[str]]:
    """The canonical score of a MIDI file, and what was repaired on the way.

    Raises RejectedError with a reason for a file that is no MIDI, empty, absurd, or not in 4/4.
    """
    bounds = bounds or Bounds()
    try:
        size = path.stat().st_size
        if size > bounds.max_bytes:
            raise RejectedError(f"{size:,} bytes: larger than {bounds.max_bytes:,}")
        data = path.read_bytes()
    except OSError as error:
        raise RejectedError(f"cannot be read: {error.strerror or error}") from error
    if not data.startswith(b"MThd"):
        raise RejectedError("not a MIDI file" if data else "empty file")
    if len(data) < 14 or data[12] & 0x80 or data[12:14] == b"\0\0":
        raise RejectedError("no usable time division in the header (SMPTE or zero)")
    try:
        raw = symusic.Score.from_midi(data)
    except Exception as error:  # the parser raises several kinds; all mean the same to a user
        raise RejectedError(f"damaged MIDI: {str(error).splitlines()[0][:120]}") from error
    return canonical(raw, bounds)


def canonical(raw: symusic.Score, bounds: Bounds) -> tuple[symusic.Score, list[str]]:
    """Bound a parsed score and seat its tracks as parts. Raises RejectedError."""
    repairs: list[str] = []
    notes = raw.note_num()
    if notes == 0:
        raise RejectedError("holds no notes")
    if notes < bounds.min_notes:
        raise RejectedError(f"holds only {notes} notes")
    if notes > bounds.max_notes:
        raise RejectedError(f"holds {notes:,} notes: more than {bounds.max_notes:,}")
    start, end = raw.start(), raw.end()
    bars = end / max(1, raw.ticks_per_quarter) / 4
    if start < 0 or not 0 < bars <= bounds.max_bars:
        raise RejectedError(f"spans {bars:,.0f} bars: more than {bounds.max_bars:,}")
    if bars < bounds.min_bars * 0.9:
        raise RejectedError(f"spans {bars:.1f} bars: fewer than {bounds.min_bars}")
    _check_meter(raw, repairs)

    score = symusic.Score(TICKS_PER_BEAT)
    score.tempos.append(symusic.Tempo(0, _main_tempo(raw, end, repairs)))
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    scale = TICKS_PER_BEAT / raw.ticks_per_quarter
    by_part: dict[str, list[dict[str, np.ndarray]]] = {}
    for track in raw.tracks:
        part = _seat(track)
        if part is None:
            if len(track.notes):
                repairs.append(f"left out {len(track.notes)} notes of program {track.program}")
        elif len(track.notes):
            by_part.setdefault(part, []).append(track.notes.numpy())
    for part in PARTS:
        if part in by_part:
            _add_part(score, part, by_part[part], scale, repairs)
    if not score.tracks:
        raise RejectedError("holds only sound effects")
    for marker in raw.markers:
        score.markers.append(symusic.TextMeta(round(marker.time * scale), marker.text[:40]))
    return score, repairs


def _check_meter(raw: symusic.Score, repairs: list[str]) -> None:
    meters = {(t.numerator, t.denominator) for t in raw.time_signatures}
    if not meters:
        repairs.append("no time signature: read as 4/4")
    elif meters <= {(1, 4)}:
        repairs.append("1/4 read as 4/4")
    elif not meters <= {(4, 4), (2, 2), (2, 4), (1, 4)}:
        shown = ", ".join(f"{n}/{d}" for n, d in sorted(meters))
        raise RejectedError(f"meter {shown}: only 4/4 is learned from")


def _main_tempo(raw: symusic.Score, end: int, repairs: list[str]) -> float:
    """The bpm that holds for most of the score; 120, as MIDI defines, where none is set."""
    changes = sorted((max(0, t.time), t.qpm) for t in raw.tempos)
    if not changes:
        repairs.append("no tempo: read as 120 bpm")
        return 120.0
    if changes[0][0] > 0:
        changes.insert(0, (0, 120.0))
    until = [time for time, _ in changes[1:]] + [end]
    held: dict[float, int] = {}
    for (time, qpm), stop in zip(changes, until, strict=True):
        held[qpm] = held.get(qpm, 0) + max(0, stop - time)
    bpm = max(held, key=lambda q: held[q])
    if not np.isfinite(bpm) or not 20 <= bpm <= 400:
        raise RejectedError(f"tempo of {bpm:.3g} bpm is absurd")
    if len(held) > 1:
        repairs.append(f"{len(changes)} tempo changes read as {bpm:.0f} bpm")
    return float(bpm)


def _seat(track: symusic.Track) -> str | None:
    name = track.name.strip().lower()
    if track.is_drum:
        return "drums"
    if name in PARTS and name != "drums" and track.program == PARTS[name].program:
        return name
    return part_of_program(track.program)


def _add_part(
    score: symusic.Score,
    name: str,
    found: list[dict[str, np.ndarray]],
    scale: float,
    repairs: list[str],
) -> None:
    part = PARTS[name]
    onset = np.concatenate([f["time"] for f in found]).astype(np.int64)
    length = np.concatenate([f["duration"] for f in found]).astype(np.int64)
    pitch = np.concatenate([f["pitch"] for f in found]).astype(np.int64)
    velocity = np.concatenate([f["velocity"] for f in found]).astype(np.int64)
    onset = np.round(onset * scale).astype(np.int64)
    length = np.clip(np.round(length * scale), 1, 8 * TICKS_PER_BEAT).astype(np.int64)
    if name == "drums":
        for roland, gm in ROLAND_TO_GM.items():
            if (count := int((pitch == roland).sum())) > 0:
                pitch[pitch == roland] = gm
                repairs.append(f"{count} drum hits {roland} moved to {gm}")
        inside = (pitch >= part.low) & (pitch <= part.high)
    else:
        below = np.maximum(0, -(-(part.low - pitch) // 12))
        above = np.maximum(0, -(-(pitch - part.high) // 12))
        moved = int(((below > 0) | (above > 0)).sum())
        if moved:
            repairs.append(f"{moved} {name} notes moved by octaves into range")
        pitch = pitch + 12 * below - 12 * above
        inside = (pitch >= part.low) & (pitch <= part.high)
    keep = inside & (velocity > 0)
    order = np.lexsort((-length, pitch, onset))
    order = order[keep[order]]
    if len(order) == 0:
        return
    # One note per pitch and onset, and none that runs into the next strike of its own pitch.
    fresh = np.ones(len(order), bool)
    fresh[1:] = (np.diff(onset[order]) != 0) | (np.diff(pitch[order]) != 0)
    order = order[fresh]
    by_pitch = np.lexsort((onset[order], pitch[order]))
    o, p = onset[order][by_pitch], pitch[order][by_pitch]
    room = np.full(len(o), 8 * TICKS_PER_BEAT)
    same = p[1:] == p[:-1]
    room[:-1][same] = (o[1:] - o[:-1])[same]
    clipped = np.empty(len(o), np.int64)
    clipped[by_pitch] = np.minimum(length[order][by_pitch], room)
    add_track(score, name, onset[order], clipped, pitch[order], velocity[order])


def add_track(
    score: symusic.Score,
    name: str,
    onset: np.ndarray,
    length: np.ndarray,
    pitch: np.ndarray,
    velocity: np.ndarray,
) -> None:
    """Append the part `name` with these notes (ticks; arrays of equal length)."""
    drums = name == "drums"
    track = symusic.Track(name, 0 if drums else PARTS[name].program, drums)
    track.notes = symusic.Note.from_numpy(
        onset.astype(np.int32),
        length.astype(np.int32),
        pitch.astype(np.int8),
        velocity.astype(np.int8),
        ttype="tick",
    )
    score.tracks.append(track)


def midi_bytes(score: symusic.Score, plan: Plan) -> bytes:
    """A standard MIDI file of the score, with key signature and a marker per section."""
    out = score.copy()
    out.key_signatures.clear()
    # Sharps are positive: the circle of fifths from C, or from A for minor.
    fifths = (plan.key.tonic * 7 + (3 if plan.key.mode == "minor" else 0) * 7) % 12
    if fifths > 6 or (fifths == 6 and plan.key.flats):
        fifths -= 12
    out.key_signatures.append(symusic.KeySignature(0, fifths, 1 if plan.key.mode == "minor" else 0))
    out.markers.clear()
    for section in plan.sections:
        out.markers.append(symusic.TextMeta(section.start_bar * TICKS_PER_BAR, section.name))
    return out.dumps_midi()
