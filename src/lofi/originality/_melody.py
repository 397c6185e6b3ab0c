"""The melodies of a score: the highest line of every part that can carry a tune.

The skyline follows Uitdenbogerd and Zobel, "Melodic matching techniques for large music databases"
(1999): of the notes that begin together only the highest is heard as melody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import symusic
from numpy.typing import NDArray

UNITS_PER_BEAT = 12  # fine enough for triplets and sixteenths, coarse enough to forgive swing
UNITS_PER_BAR = 4 * UNITS_PER_BEAT
MIN_NOTES = 8
MAX_IOI = 255  # a rest of more than five bars is as good as any longer one, and fits a byte

# General MIDI programs (0-127) that accompany: basses, the contrabass, synthesiser pads.
_ACCOMPANYING_PROGRAMS = frozenset({*range(32, 40), 43, *range(88, 96)})
_ACCOMPANYING_NAME = re.compile(r"\b(bass|pad)s?\b", re.IGNORECASE)
_PART_NAME_LENGTH = 40
# A held note can hide at most this many notes below it; bounds the work on hostile scores.
_HIDING_REACH = 16


@dataclass(frozen=True, slots=True, eq=False)
class Melody:
    """One part's line. `pitches`: int16 MIDI numbers; `onsets`: int32, rising, in 1/12 beat."""

    part: str
    pitches: NDArray[np.int16]
    onsets: NDArray[np.int32]

    @property
    def iois(self) -> NDArray[np.uint8]:
        """Inter-onset intervals in 1/12 beat, 1 to 255; the last note, which has none, gets 12."""
        gaps = np.diff(self.onsets, append=self.onsets[-1:] + UNITS_PER_BEAT)
        return np.clip(gaps, 1, MAX_IOI).astype(np.uint8)


def melodies(score: symusic.Score) -> list[Melody]:
    """The skyline of each pitched part of `score`, without basses, pads and lines under 8 notes."""
    found = []
    ticks_per_beat = max(1, score.ticks_per_quarter)
    for number, track in enumerate(score.tracks, start=1):
        name = "".join(c for c in track.name if c.isprintable()).strip()[:_PART_NAME_LENGTH]
        accompanies = track.program in _ACCOMPANYING_PROGRAMS or _ACCOMPANYING_NAME.search(name)
        if track.is_drum or accompanies or len(track.notes) < MIN_NOTES:
            continue
        notes = track.notes.numpy()
        pitches, onsets = _skyline(
            notes["pitch"].astype(np.int16),
            _in_units(notes["time"], ticks_per_beat),
            _in_units(notes["time"].astype(np.int64) + notes["duration"], ticks_per_beat),
        )
        if len(pitches) >= MIN_NOTES:
            found.append(Melody(name or f"track {number}", pitches, onsets))
    return found


def _in_units(ticks: NDArray[np.integer], ticks_per_beat: int) -> NDArray[np.int32]:
    """Ticks rounded to the nearest 1/12 beat."""
    units = (ticks.astype(np.int64) * UNITS_PER_BEAT * 2 + ticks_per_beat) // (2 * ticks_per_beat)
    return np.clip(units, 0, np.iinfo(np.int32).max - UNITS_PER_BEAT).astype(np.int32)


def _skyline(
    pitches: NDArray[np.int16], onsets: NDArray[np.int32], ends: NDArray[np.int32]
) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """The highest note of each onset, unless a higher one begins before it and ends after it.

    The exception removes broken chords under a held note. A note that merely overlaps the next
    one, as in legato playing, hides nothing.
    """
    order = np.lexsort((-pitches, onsets))
    pitches, onsets, ends = pitches[order], onsets[order], ends[order]
    first = np.diff(onsets, prepend=onsets[:1] - 1) > 0
    pitches, onsets, ends = pitches[first], onsets[first], ends[first]
    hidden = np.zeros(len(pitches), dtype=bool)
    for lag in range(1, min(_HIDING_REACH, len(pitches) - 1) + 1):
        hidden[lag:] |= (pitches[:-lag] > pitches[lag:]) & (ends[:-lag] > ends[lag:])
    return pitches[~hidden], onsets[~hidden]
