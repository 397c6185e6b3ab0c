"""What is heard when in a finished track: notes, beats, chords and sections in seconds.

Read from the folder of a track alone, from `track.mid` and `track.json`; no audio is analysed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lofi.brief import InputError, Key, find_mood
from lofi.studio._files import read_json

if TYPE_CHECKING:
    from lofi.sound import Note

# Who carries the melody: the first of these that plays.
_MELODIC = ("lead", "guitar", "keys")
_SAME_ONSET_S = 0.03


@dataclass(frozen=True, slots=True)
class TimedNote:
    """One note. Times are in seconds.

    `onset_s` and `duration_s` are those of the master and the video, whose tape runs unevenly;
    `written_s` is the onset in the MIDI file and on the stems. The duration lasts until the note is
    let go: what rings after it, and how long a drum sounds, the instrument decides.
    """

    pitch: int
    velocity: int
    onset_s: float
    duration_s: float
    written_s: float


@dataclass(frozen=True, slots=True)
class TimedChord:
    """A chord from `start_s` to `end_s` of the master.

    `played` is heard from the written notes, None where they make no chord; `planned` is what the
    piece was laid out with. They are different where the players went their own way.
    """

    start_s: float
    end_s: float
    played: str | None
    planned: str | None

    @property
    def as_planned(self) -> bool:
        """Whether what is played is what was planned."""
        return self.played == self.planned


@dataclass(frozen=True, slots=True)
class TimedSection:
    """A section from `start_s` to `end_s` of the master, and the parts that play in it."""

    name: str
    start_s: float
    end_s: float
    start_bar: int
    bars: int
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """A track in seconds of its master.

    `melody` is the lead's notes; where no lead plays, the highest note of each onset of the guitar,
    or else of the keys, as `melody_part` tells. `beats_s` and `bars_s` are where each of them
    begins, in 4/4. The last chord and the last section last until the track is over.
    """

    duration_s: float
    beats_s: tuple[float, ...]
    bars_s: tuple[float, ...]
    sections: tuple[TimedSection, ...]
    chords: tuple[TimedChord, ...]
    melody_part: str | None
    melody: tuple[TimedNote, ...]
    notes: dict[str, tuple[TimedNote, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, seconds to the microsecond."""
        told = _rounded(asdict(self))
        for chord, plain in zip(self.chords, told["chords"], strict=True):
            plain["as_planned"] = chord.as_planned
        return told


def read_timeline(folder: Path) -> Timeline:
    """The timeline of a track that `make` wrote.

    Raises InputError for a folder that is no such track.
    """
    from lofi.music import hear_chords, labelled_chords, read_midi
    from lofi.sound import heard_at, played_notes

    track = read_json(folder / "track.json")
    try:
        plan, asked = track["plan"], track["brief"]
        bars, bpm, tail_s = int(plan["bars"]), float(plan["bpm"]), float(plan["tail_s"])
        bundle, seed = find_mood(asked["mood"]).bundle, int(asked["seed"])
        flats = Key.parse(plan["key"]).flats
        laid_out = [(s["name"], int(s["start_bar"]), int(s["bars"])) for s in plan["sections"]]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder / 'track.json'} does not tell how the track was made ({error!r}). "
            "Give the folder of a track of this version."
        ) from error
    score, _ = read_midi(folder / "track.mid")

    def heard(written_s: Any) -> np.ndarray:
        return heard_at(written_s, bars=bars, bpm=bpm, bundle=bundle, seed=seed, tail_s=tail_s)

    duration_s = bars * 240 / bpm + tail_s
    half_bars = np.append(heard(np.arange(2 * bars) * 120 / bpm), duration_s)
    written = played_notes(score, bars=bars, bpm=bpm, tail_s=tail_s)
    notes = {part: _timed(played, heard) for part, played in written.items()}
    melody_part = next((part for part in _MELODIC if part in notes), None)
    melody = notes[melody_part] if melody_part else ()
    played, planned = (
        [chord.symbol(flats=flats) if chord else None for chord in chords]
        for chords in (hear_chords(score), labelled_chords(score))
    )
    return Timeline(
        duration_s=duration_s,
        beats_s=tuple(heard(np.arange(4 * bars) * 60 / bpm).tolist()),
        bars_s=tuple(half_bars[:-1:2].tolist()),
        sections=tuple(
            _section(name, first, count, half_bars, bpm, written) for name, first, count in laid_out
        ),
        chords=_chords(played, planned, half_bars),
        melody_part=melody_part,
        melody=melody if melody_part == "lead" else _top_line(melody),
        notes=notes,
    )


def _timed(notes: list[Note], heard: Any) -> tuple[TimedNote, ...]:
    start = np.array([n.start_s for n in notes])
    onset, end = heard(start), heard(start + [n.duration_s for n in notes])
    return tuple(
        TimedNote(n.pitch, n.velocity, at, until - at, n.start_s)
        for n, at, until in zip(notes, onset.tolist(), end.tolist(), strict=True)
    )


def _top_line(notes: tuple[TimedNote, ...]) -> tuple[TimedNote, ...]:
    """Of the notes that begin together, only the highest."""
    line: list[TimedNote] = []
    for note in notes:
        if line and note.written_s - line[-1].written_s < _SAME_ONSET_S:
            if note.pitch > line[-1].pitch:
                line[-1] = note
        else:
            line.append(note)
    return tuple(line)


def _section(
    name: str,
    first: int,
    count: int,
    half_bars: np.ndarray,
    bpm: float,
    written: dict[str, list[Note]],
) -> TimedSection:
    start, stop = 2 * first, 2 * (first + count)
    begin_s, end_s = first * 240 / bpm, (first + count) * 240 / bpm
    playing = tuple(
        part for part, notes in written.items() if any(begin_s <= n.start_s < end_s for n in notes)
    )
    return TimedSection(
        name, float(half_bars[start]), float(half_bars[stop]), first, count, playing
    )


def _chords(
    played: list[str | None], planned: list[str | None], half_bars: np.ndarray
) -> tuple[TimedChord, ...]:
    """Chords from those of each half bar, those that go on joined."""
    spans: list[TimedChord] = []
    for half in range(len(half_bars) - 1):
        heard = played[half] if half < len(played) else None
        meant = planned[half] if half < len(planned) else None
        start, end = float(half_bars[half]), float(half_bars[half + 1])
        if spans and (spans[-1].played, spans[-1].planned) == (heard, meant):
            start = spans.pop().start_s
        spans.append(TimedChord(start, end, heard, meant))
    return tuple(spans)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return value
