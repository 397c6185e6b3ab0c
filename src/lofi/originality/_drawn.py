"""A resemblance note by note: what a report names in figures, for who wants to see and hear it.

The report of a track holds no notes of the works it was compared with; they are looked up in the
library again, and the two lines are aligned as the search has aligned them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import symusic
from numpy.typing import NDArray

from lofi.originality._index import MelodyTable
from lofi.originality._library import read_melodies
from lofi.originality._melody import UNITS_PER_BAR, UNITS_PER_BEAT, Melody, melodies
from lofi.originality._search import Alignment, Candidate, SearchTable

_LONGEST_BEATS = 4.0  # a melody has onsets alone: how long a note is drawn at most
_NEIGHBOURS = 8  # pairs on either side that say where a note of the work belongs


@dataclass(frozen=True, slots=True)
class DrawnNote:
    """A note: onset in beats from the first bar that is drawn, length in beats, MIDI pitch."""

    beat: float
    beats: float
    pitch: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """Two lines on one grid of `bars` bars in 4/4, of which the first is bar `first_bar`.

    `theirs` is transposed into the key of `yours` and brought to its tempo. `pairs` are indices
    into the two: which note goes with which, and whether their pitches agree.
    """

    first_bar: int
    bars: int
    yours: tuple[DrawnNote, ...]
    theirs: tuple[DrawnNote, ...]
    pairs: tuple[tuple[int, int, bool], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a note is [beat, beats, pitch]."""
        told = asdict(self)
        for line in ("yours", "theirs"):
            told[line] = [
                [round(n["beat"], 3), round(n["beats"], 3), n["pitch"]] for n in told[line]
            ]
        told["pairs"] = [list(pair) for pair in told["pairs"]]
        return told


def draw_match(score: symusic.Score, match: Mapping[str, Any], library: Path) -> Drawn | None:
    """The two lines of a match of a report on `score`, as `Report.to_dict` has it.

    None where the library at `library` does not have that work, or the lines do not meet: it is
    another library by now. Raises InputError for a file that is none.
    """
    line = next((m for m in melodies(score) if m.part == match["part"]), None)
    if line is None:
        return None
    table, numbers = read_melodies(library, match["work"], match["work_part"])
    searched = SearchTable(table)
    found = [
        alignment
        for number in numbers
        if (alignment := _aligned(searched, line, number, match)) is not None
    ]
    if not found:
        return None
    best = max(found, key=lambda a: a.matched_notes)
    return _drawn(line, table, best)


def _aligned(
    searched: SearchTable, line: Melody, number: int, match: Mapping[str, Any]
) -> Alignment | None:
    """The alignment of the report, found again within the bars and notes that it names."""
    table = searched.table
    first_bar, last_bar = match["query_bars"]
    bars = line.onsets // UNITS_PER_BAR + 1
    inside = np.flatnonzero((bars >= first_bar) & (bars <= last_bar))
    start, stop = int(table.starts[number]), int(table.starts[number + 1])
    first, last = (start + int(n) - 1 for n in match["reference_notes"])
    if not len(inside) or not start <= first <= last < stop:
        return None
    begin, end = int(inside[0]), int(inside[-1]) + 1
    tempo = _tempo(line.iois[begin:end], table.iois[first : last + 1])
    tried = [
        # Its first note may be any of the first bar; its last one, any of the last.
        Candidate(number, int(match["transposition"]), tempo, diagonal, begin, end)
        for diagonal in sorted(
            {first - begin, last - (end - 1), (first + last - begin - end + 1) // 2}
        )
    ]
    found = searched.align(line, tried)
    return max(found, key=lambda a: (a.matched_notes, a.bits), default=None)


def _tempo(yours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> float:
    """Inter-onset intervals there over those here, by their medians."""
    return float(np.median(theirs) / np.median(yours)) if len(theirs) and len(yours) else 1.0


def _drawn(line: Melody, table: MelodyTable, alignment: Alignment) -> Drawn:
    start = int(table.starts[alignment.melody])
    stop = int(table.starts[alignment.melody + 1])
    onsets = np.concatenate([[0], np.cumsum(table.iois[start : stop - 1], dtype=np.int64)])
    query_at, library_at = alignment.pairs[:, 0], alignment.pairs[:, 1] - start
    first_bar = int(line.onsets[query_at[0]]) // UNITS_PER_BAR
    last_bar = int(line.onsets[query_at[-1]]) // UNITS_PER_BAR
    origin, end = first_bar * UNITS_PER_BAR, (last_bar + 1) * UNITS_PER_BAR

    shown = np.flatnonzero((line.onsets >= origin) & (line.onsets < end))
    yours = _notes(line.onsets[shown] - origin, line.pitches[shown])

    played = np.arange(library_at[0], library_at[-1] + 1)
    here = line.onsets[query_at].astype(np.float64) - origin
    there = onsets[library_at].astype(np.float64)
    tempo = _stretch(there, here)
    # Where each pair says that the work's first beat lies; its neighbours have a say, so that an
    # uneven rhythm is seen as such and a bar left out is not.
    offsets = here - there * tempo
    smooth = np.array(
        [
            np.median(offsets[max(0, i - _NEIGHBOURS) : i + _NEIGHBOURS + 1])
            for i in range(len(offsets))
        ]
    )
    nearest = np.clip(np.searchsorted(library_at, played, side="right") - 1, 0, len(smooth) - 1)
    placed = onsets[played] * tempo + smooth[nearest]
    pitches = table.pitches[start + played].astype(np.int64) - alignment.transposition
    theirs = _notes(placed, pitches)

    of_yours = {int(n): i for i, n in enumerate(shown)}
    pairs = tuple(
        (of_yours[q], r - int(played[0]), yours[of_yours[q]].pitch == int(pitches[r - played[0]]))
        for q, r in zip(query_at.tolist(), library_at.tolist(), strict=True)
        if q in of_yours
    )
    return Drawn(first_bar + 1, last_bar - first_bar + 1, yours, theirs, pairs)


def _stretch(there: NDArray[np.float64], here: NDArray[np.float64]) -> float:
    """By how much the work's time is stretched: the median over neighbouring pairs."""
    gaps = np.diff(there)
    ratios = np.diff(here)[gaps > 0] / gaps[gaps > 0]
    return float(np.median(ratios)) if len(ratios) else 1.0


def _notes(onsets: NDArray[Any], pitches: NDArray[Any]) -> tuple[DrawnNote, ...]:
    beats = np.asarray(onsets, np.float64) / UNITS_PER_BEAT
    lengths = np.clip(np.diff(beats, append=beats[-1:] + 1.0), 0.125, _LONGEST_BEATS)
    return tuple(
        DrawnNote(float(b), float(n), int(p))
        for b, n, p in zip(beats, lengths, pitches, strict=True)
    )
