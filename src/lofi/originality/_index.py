"""From a table of melodies to an inverted index of six-note grams, in numpy alone.

A gram is six notes: their five intervals, clipped to an octave, and whether each inter-onset
interval is shorter than, about equal to or longer than the one before. It does not change when the
music is transposed or played at another tempo. Besides the six notes in a row, the five choices of
six notes out of seven that keep the first are taken too, so one inserted or dropped note does not
silence a passage. 25**5 * 3**4 grams fit a uint32 exactly: no hashing, no collisions.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lofi.originality._melody import Melody

GRAM_NOTES = 6
_OCTAVE = 12
_INTERVALS = 2 * _OCTAVE + 1
_UNISONS = sum(_OCTAVE * _INTERVALS**place for place in range(GRAM_NOTES - 1))


@dataclass(frozen=True, slots=True, eq=False)
class MelodyTable:
    """Melodies laid end to end.

    `pitches`: int8 (notes,); `iois`: uint8 (notes,) in 1/12 beat;
    `starts`: int64 (melodies + 1,), where each melody begins, and the end of the last.
    """

    pitches: NDArray[np.int8]
    iois: NDArray[np.uint8]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, lines: list[Melody]) -> MelodyTable:
        """Lay `lines` end to end."""
        lengths = [len(line.pitches) for line in lines]
        return cls(
            np.concatenate([np.zeros(0, np.int8), *(x.pitches.astype(np.int8) for x in lines)]),
            np.concatenate([np.zeros(0, np.uint8), *(x.iois for x in lines)]),
            np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        )

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Notes per melody."""
        return np.diff(self.starts)

    def melody_of(self, notes: NDArray[np.integer]) -> NDArray[np.int64]:
        """Which melody each of `notes` (positions in the table) belongs to."""
        return np.searchsorted(self.starts, notes, side="right") - 1


def grams(table: MelodyTable) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Every gram of every melody, and the position of its first note. Drones are left out."""
    note_count = len(table.pitches)
    pitches = table.pitches.astype(np.int16)
    onsets = np.cumsum(table.iois, dtype=np.int64) - table.iois
    melody_ends = np.repeat(table.starts[1:], table.lengths)
    all_codes, all_firsts = [], []
    for skipped in range(GRAM_NOTES):
        if skipped == 0:
            offsets = list(range(GRAM_NOTES))
        else:
            offsets = [k for k in range(GRAM_NOTES + 1) if k != skipped]
        usable = note_count - offsets[-1]
        if usable <= 0:
            continue
        steps = list(pairwise(offsets))
        codes = np.zeros(usable, np.uint32)
        for a, b in steps:
            interval = np.clip(pitches[b:][:usable] - pitches[a:][:usable], -_OCTAVE, _OCTAVE)
            codes = codes * np.uint32(_INTERVALS) + (interval + _OCTAVE).astype(np.uint32)
        moves = codes != _UNISONS
        gaps = [onsets[b:][:usable] - onsets[a:][:usable] for a, b in steps]
        for before, after in pairwise(gaps):
            # 0 below three fifths, 2 above five thirds of the gap before, 1 between.
            ratio = (5 * after >= 3 * before).astype(np.uint32) + (3 * after > 5 * before)
            codes = codes * np.uint32(3) + ratio.astype(np.uint32)
        firsts = np.arange(usable)
        whole = moves & (firsts + offsets[-1] < melody_ends[:usable])
        all_codes.append(codes[whole])
        all_firsts.append(firsts[whole])
    if not all_codes:
        return np.zeros(0, np.uint32), np.zeros(0, np.int64)
    return np.concatenate(all_codes), np.concatenate(all_firsts)


@dataclass(frozen=True, slots=True, eq=False)
class GramIndex:
    """Where each gram occurs, as compressed sparse rows.

    `codes`: uint32, sorted, each gram once; `offsets`: uint32 (grams + 1,) into `notes`;
    `notes`: uint32 positions in the melody table, a melody at most once per gram.
    """

    codes: NDArray[np.uint32]
    offsets: NDArray[np.uint32]
    notes: NDArray[np.uint32]

    @classmethod
    def of(cls, table: MelodyTable) -> GramIndex:
        """Index `table` with one sort of (gram, position) pairs packed into 64 bits."""
        codes, firsts = grams(table)
        pairs = (codes.astype(np.uint64) << np.uint64(32)) | firsts.astype(np.uint64)
        pairs.sort()
        codes = (pairs >> np.uint64(32)).astype(np.uint32)
        notes = pairs.astype(np.uint32)
        new_code = _differs_from_previous(codes)
        # A refrain would otherwise vote once per repeat.
        melody_of_note = np.repeat(np.arange(len(table.lengths)), table.lengths)
        kept = new_code | _differs_from_previous(melody_of_note[notes])
        codes, notes = codes[kept], notes[kept]
        rows = np.flatnonzero(_differs_from_previous(codes))
        return cls(codes[rows], np.append(rows, len(codes)).astype(np.uint32), notes)

    def rows(self, codes: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each of `codes`: where its occurrences begin in `notes`, and how many there are."""
        if not len(self.codes):
            nothing = np.zeros(len(codes), np.int64)
            return nothing, nothing
        row = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        begin = self.offsets[row].astype(np.int64)
        return begin, np.where(self.codes[row] == codes, self.offsets[row + 1] - begin, 0)


def _differs_from_previous(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    differs = np.ones(len(values), dtype=bool)
    differs[1:] = values[1:] != values[:-1]
    return differs
