"""From a score to the notes each part plays, in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from lofi.brief import PARTS, InputError, part_of_program

if TYPE_CHECKING:
    import symusic

KICK_PITCHES = frozenset({35, 36})


class Note(NamedTuple):
    """One note: MIDI pitch, onset and length in seconds, velocity 1-127."""

    pitch: int
    start_s: float
    duration_s: float
    velocity: int


@dataclass(slots=True)
class PartNotes:
    """What one part plays, in order of onset, and its General MIDI program (-1 for drums)."""

    program: int
    notes: list[Note] = field(default_factory=list)


def _part_of(track: Any) -> str:
    name = track.name.strip().lower()
    if name in PARTS:
        return name
    if track.is_drum:
        return "drums"
    if part := part_of_program(track.program):
        return part
    raise InputError(
        f"track {track.name!r} (program {track.program}) is no instrument this band has. "
        f"Name the track after one of: {', '.join(PARTS)}."
    )


def excerpt(score: symusic.Score, *, first_bar: int, bars: int) -> symusic.Score:
    """Some bars of a score in 4/4 as a score of its own; what sounds as they begin is cut there."""
    import symusic

    ticks = score.to("tick")
    bar = 4 * ticks.ticks_per_quarter
    start, stop = first_bar * bar, (first_bar + bars) * bar
    early = ticks.ticks_per_quarter // 8  # a drum this early was meant for the first beat
    part = symusic.Score(ticks.ticks_per_quarter)
    for track in ticks.tracks:
        kept = symusic.Track(name=track.name, program=track.program, is_drum=track.is_drum)
        for note in track.notes:
            begin, end = max(note.time, start), min(note.time + note.duration, stop)
            if (
                note.time < stop
                and end > begin
                and (note.time >= start - early or not track.is_drum)
            ):
                kept.notes.append(
                    symusic.Note(begin - start, end - begin, note.pitch, note.velocity)
                )
        part.tracks.append(kept)
    return part


def read_score(score: symusic.Score, *, bars: int, bpm: float) -> dict[str, PartNotes]:
    """The notes of every part that plays, parts in the order of `lofi.brief.PARTS`.

    Times come from the ticks and `bpm`; the score's own tempo is not asked. Onsets before zero move
    to zero, notes that start after the last bar are left out. Tracks of the same part are merged.
    Raises InputError for a track that fits no part and for a score without notes.
    """
    ticks = score.to("tick")
    second_per_tick = 60.0 / bpm / ticks.ticks_per_quarter
    end_s = bars * 240.0 / bpm
    found: dict[str, PartNotes] = {}
    for track in ticks.tracks:
        if len(track.notes) == 0:
            continue
        part = _part_of(track)
        program = -1 if part == "drums" else track.program
        notes = found.setdefault(part, PartNotes(program)).notes
        for note in track.notes:
            start_s = max(0.0, note.time * second_per_tick)
            if start_s < end_s and note.velocity > 0:
                duration_s = max(0, note.duration) * second_per_tick
                notes.append(Note(note.pitch, start_s, duration_s, min(note.velocity, 127)))
    played = {part: found[part] for part in PARTS if part in found and found[part].notes}
    if not played:
        raise InputError(
            f"the score has no notes within its {bars} bars, so there is nothing to render. "
            "Give a score with at least one note."
        )
    for part_notes in played.values():
        part_notes.notes.sort(key=lambda n: (n.start_s, n.pitch, n.duration_s, n.velocity))
    return played


def let_ring(parts: dict[str, PartNotes], *, end_s: float, beat_s: float, ring_s: float) -> None:
    """Hold, in place, the pitched notes that last into the final half beat for `ring_s` more.

    Without it the last chord would be cut where the last bar ends, in the midst of its decay.
    """
    for part, part_notes in parts.items():
        if part == "drums":
            continue
        for i, note in enumerate(part_notes.notes):
            if note.start_s + note.duration_s > end_s - beat_s / 2:
                held = note._replace(duration_s=end_s + ring_s - note.start_s)
                part_notes.notes[i] = held


def kick_hits(parts: dict[str, PartNotes]) -> list[tuple[float, float]]:
    """(onset in seconds, strength 0-1) of every kick drum."""
    if "drums" not in parts:
        return []
    return [
        (note.start_s, min(1.0, note.velocity / 110.0))
        for note in parts["drums"].notes
        if note.pitch in KICK_PITCHES
    ]
