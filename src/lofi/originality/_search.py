"""Find where a melody resembles a library: votes of shared grams, then alignment note by note.

1. Every gram of the query is looked up, the rarest first. Each occurrence votes, with its weight
   in bits, for a melody, a transposition and a diagonal (position there minus position here).
2. The diagonals with most votes are aligned with the query, all at once: Smith and Waterman (1981)
   within a band. A shared note earns the bits of surprisal of its interval and rhythm (see
   `_surprisal`); a changed, inserted or dropped note costs.
3. Along each alignment a motif is counted once, however often a loop repeats it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lofi.originality._index import GRAM_NOTES, GramIndex, MelodyTable, grams
from lofi.originality._kept import Kept
from lofi.originality._melody import Melody
from lofi.originality._surprisal import note_bits, rhythm_bits

# Voting
_MAX_OCCURRENCES = 5_000  # a gram found more often than this is commonplace
_VOTE_BUDGET = 100_000
_DIAGONALS_PER_BIN = 8
_CANDIDATES = 64
# Alignment
_BAND = 12  # notes that may be inserted or dropped before an alignment is lost
_MARGIN = 24  # notes to align on either side of the votes
_LONGEST_STRETCH = 1_000  # notes of the query in one alignment
_EXPLAINED = 12  # alignments that are traced note by note
# What agreement earns and difference costs, in bits.
_CHANCE = 0.8  # off the surprisal of each shared note
_OCTAVE_SHARE = 0.6  # of the surprisal, when the pitch is an octave off
_NEAR_MISS = 2.5  # up to two semitones away
_WRONG_NOTE = 3.5
_GAP = 2.6
_UNEVEN = 0.8  # rhythm off by up to a factor of two
_OFF_RHYTHM = 1.6
_MOTIF_INTERVALS = 3

_DERIVED = {
    "codes": np.uint32,
    "offsets": np.uint32,
    "notes": np.uint32,
    "note_bits": np.float32,
    "rhythm_bits": np.float32,
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place worth aligning.

    `melody` of the library; `transposition` in semitones from query to library; `tempo`: library
    inter-onset intervals over the query's; `diagonal`: library note minus query note;
    `begin`, `end`: the stretch of query notes.
    """

    melody: int
    transposition: int
    tempo: float
    diagonal: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """A resemblance, note by note. `pairs`: int64 (n, 2) of query note and library-table note."""

    melody: int
    transposition: int
    bits: float
    pairs: NDArray[np.int64]
    matched_notes: int
    exact_run_notes: int


@dataclass(frozen=True, eq=False)
class SearchTable:
    """A melody table with what is derived from it once: grams, surprisals."""

    table: MelodyTable

    @cached_property
    def index(self) -> GramIndex:
        """The grams of the table."""
        return GramIndex.of(self.table)

    @cached_property
    def note_bits(self) -> NDArray[np.float32]:
        """Surprisal of the interval into each note."""
        return note_bits(self.table)

    @cached_property
    def rhythm_bits(self) -> NDArray[np.float32]:
        """Surprisal of the inter-onset interval after each note."""
        return rhythm_bits(self.table)

    def prepare(self, kept: Kept | None = None) -> None:
        """Derive everything now, so that the first search is as quick as the next.

        What is `kept` is not derived again, and what is derived is kept.
        """
        arrays = kept and kept.read(_DERIVED)
        if arrays and len(arrays["note_bits"]) == len(self.table.pitches):
            index = GramIndex(arrays["codes"], arrays["offsets"], arrays["notes"])
            # A cached property is an attribute once it was asked for.
            vars(self).update(
                index=index, note_bits=arrays["note_bits"], rhythm_bits=arrays["rhythm_bits"]
            )
            return
        index = self.index
        derived = {
            "codes": index.codes, "offsets": index.offsets, "notes": index.notes,
            "note_bits": self.note_bits, "rhythm_bits": self.rhythm_bits,
        }  # fmt: skip
        if kept:
            kept.write(derived)

    def search(self, melody: Melody) -> list[Alignment]:
        """The strongest resemblances of `melody` to the table, most bits first."""
        candidates = self._vote(melody)
        if not candidates:
            return []
        found = self.align(melody, candidates)
        return sorted(found, key=lambda a: (-a.bits, a.melody, a.transposition))

    def _vote(self, melody: Melody) -> list[Candidate]:
        """The places where the query's grams agree, most bits first."""
        codes, firsts = grams(MelodyTable.of([melody]))
        codes, once = np.unique(codes, return_index=True)
        firsts = firsts[once]
        begins, counts = self.index.rows(codes)
        rarest_first = np.argsort(counts, kind="stable")
        rarest_first = rarest_first[
            (counts[rarest_first] > 0)
            & (counts[rarest_first] <= _MAX_OCCURRENCES)
            & (np.cumsum(counts[rarest_first]) <= _VOTE_BUDGET)
        ]
        begins, counts, firsts = begins[rarest_first], counts[rarest_first], firsts[rarest_first]
        if not len(counts):
            return []

        place_in_row = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        library_note = self.index.notes[np.repeat(begins, counts) + place_in_row].astype(np.int64)
        query_note = np.repeat(firsts, counts)
        weight = np.repeat(np.log2(len(self.index.notes) / counts), counts)
        melody_number = self.table.melody_of(library_note)
        transposition = (
            self.table.pitches[library_note].astype(np.int64) - melody.pitches[query_note]
        )
        diagonal_bin = (library_note - query_note + (1 << 24)) // _DIAGONALS_PER_BIN
        ballot = (((melody_number << 8) | (transposition + 128)) << 32) | diagonal_bin

        order = np.argsort(ballot, kind="stable")
        ballots, bin_begins = np.unique(ballot[order], return_index=True)
        bin_ends = np.append(bin_begins[1:], len(order))
        bits = np.add.reduceat(weight[order], bin_begins)
        # A drifting passage falls into two neighbouring bins: count each bin with the next one.
        next_is_neighbour = np.append(ballots[1:] == ballots[:-1] + 1, False)
        with_next = bits + np.where(next_is_neighbour, np.append(bits[1:], 0.0), 0.0)

        candidates: list[Candidate] = []
        taken: set[int] = set()
        for row in np.argsort(-with_next, kind="stable"):
            if row in taken or row - 1 in taken or (next_is_neighbour[row] and row + 1 in taken):
                continue
            taken.update((row, row + 1) if next_is_neighbour[row] else (row,))
            end = bin_ends[row + 1] if next_is_neighbour[row] else bin_ends[row]
            votes = order[bin_begins[row] : end]
            candidates.append(
                self._candidate(
                    melody,
                    int(melody_number[votes[0]]),
                    int(transposition[votes[0]]),
                    library_note[votes],
                    query_note[votes],
                    weight[votes],
                )
            )
            if len(candidates) == _CANDIDATES:
                break
        return candidates

    def _candidate(
        self,
        melody: Melody,
        number: int,
        transposition: int,
        library_note: NDArray[np.int64],
        query_note: NDArray[np.int64],
        weight: NDArray[np.float64],
    ) -> Candidate:
        """What the votes of one melody and transposition agree on."""
        diagonal = round(float(np.average(library_note - query_note, weights=weight)))
        iois = melody.iois
        ahead = np.arange(GRAM_NOTES - 1)
        library_at = (library_note[:, None] + ahead).ravel()
        query_at = (query_note[:, None] + ahead).ravel()
        inside = (library_at + 1 < self.table.starts[number + 1]) & (query_at + 1 < len(iois))
        ratios = self.table.iois[library_at[inside]] / iois[query_at[inside]]
        tempo = float(np.median(ratios)) if len(ratios) else 1.0
        begin = max(0, int(query_note.min()) - _MARGIN)
        end = min(len(iois), int(query_note.max()) + GRAM_NOTES + _MARGIN)
        if end - begin > _LONGEST_STRETCH:
            centre = round(float(np.average(query_note, weights=weight)))
            begin = min(max(begin, centre - _LONGEST_STRETCH // 2), end - _LONGEST_STRETCH)
            end = begin + _LONGEST_STRETCH
        return Candidate(number, transposition, tempo, diagonal, begin, end)

    def align(self, melody: Melody, candidates: list[Candidate]) -> list[Alignment]:
        """Align all candidates in one pass over the query; trace the best of them."""
        scores, inside = self._note_scores(melody, candidates)
        totals = _fill(scores, inside)
        best = totals.reshape(len(candidates), -1)
        strongest = np.argsort(-best.max(axis=1), kind="stable")[:_EXPLAINED]
        alignments = []
        for number in strongest:
            if best[number].max() <= 0:
                continue
            path = _trace(totals[number], scores[number])
            alignments.append(self._explain(melody, candidates[number], path, scores[number]))
        return alignments

    def _note_scores(
        self, melody: Melody, candidates: list[Candidate]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """What pairing each query note with each library note of its band would earn, in bits.

        Returns scores float32 and `inside` bool, both (candidates, query notes, band). Cell
        (c, t, k) pairs query note begin + t with library note begin + t + diagonal - _BAND + k.
        """
        width = 2 * _BAND + 1
        begin = np.array([c.begin for c in candidates])[:, None]
        end = np.array([c.end for c in candidates])[:, None]
        diagonal = np.array([c.diagonal for c in candidates])[:, None]
        number = np.array([c.melody for c in candidates])[:, None]
        transposition = np.array([c.transposition for c in candidates])[:, None]
        tempo = np.array([c.tempo for c in candidates])[:, None]
        length = int((end - begin).max())
        library_at = begin + diagonal - _BAND + np.arange(length + width - 1)
        in_melody = (library_at >= self.table.starts[number]) & (
            library_at < self.table.starts[number + 1]
        )
        has_next = in_melody & (library_at + 1 < self.table.starts[number + 1])
        library_at = np.clip(library_at, 0, len(self.table.pitches) - 1)
        query_at = begin + np.arange(length)
        in_query = query_at < end
        query_has_next = query_at + 1 < len(melody.pitches)
        query_at = np.minimum(query_at, len(melody.pitches) - 1)

        def banded(values: NDArray[np.generic]) -> NDArray:
            return sliding_window_view(values, width, axis=1)

        inside = banded(in_melody) & in_query[:, :, None]
        wanted = melody.pitches[query_at] + transposition
        distance = (
            banded(self.table.pitches[library_at].astype(np.int16))
            - wanted.astype(np.int16)[:, :, None]
        )
        surprise = banded(self.note_bits[library_at])
        octave_off = (distance == 12) | (distance == -12)
        pitch_score = np.where(
            distance == 0,
            surprise - np.float32(_CHANCE),
            np.where(
                octave_off,
                np.float32(_OCTAVE_SHARE) * surprise - np.float32(_CHANCE),
                np.where(np.abs(distance) <= 2, np.float32(-_NEAR_MISS), np.float32(-_WRONG_NOTE)),
            ),
        )
        expected = (melody.iois[query_at] * tempo).astype(np.float32)
        ratio = banded(self.table.iois[library_at].astype(np.float32)) / expected[:, :, None]
        # Rhythm alone is no melody: it earns only where the pitch agrees.
        earned = np.where((distance == 0) | octave_off, banded(self.rhythm_bits[library_at]), 0)
        rhythm_score = np.where(
            (ratio > 0.8) & (ratio < 1.25),
            earned,
            np.where(
                (ratio > 0.45) & (ratio < 2.2), np.float32(-_UNEVEN), np.float32(-_OFF_RHYTHM)
            ),
        )
        comparable = banded(has_next) & query_has_next[:, :, None]
        scores = pitch_score + np.where(comparable, rhythm_score, 0)
        return scores.astype(np.float32), inside

    def _explain(
        self,
        melody: Melody,
        candidate: Candidate,
        path: list[tuple[int, int]],
        scores: NDArray[np.float32],
    ) -> Alignment:
        """Turn a path of (query offset, band column) into counted bits and figures."""
        offsets = np.array(path, dtype=np.int64)
        query_at = offsets[:, 0] + candidate.begin
        library_at = query_at + candidate.diagonal - _BAND + offsets[:, 1]
        earned = scores[offsets[:, 0], offsets[:, 1]].astype(np.float64)
        gaps = np.diff(query_at, prepend=query_at[:1] - 1) - 1
        gaps += np.diff(library_at, prepend=library_at[:1] - 1) - 1

        # A motif is the three library intervals into a note and the rhythm at the note.
        pitches = self.table.pitches.astype(np.int16)
        motifs: set[tuple[int, ...]] = set()
        running = counted = 0.0
        first_note = int(self.table.starts[candidate.melody])
        for note, bits, gap in zip(
            library_at.tolist(), earned.tolist(), gaps.tolist(), strict=True
        ):
            start = max(first_note, note - _MOTIF_INTERVALS)
            motif = (*np.diff(pitches[start : note + 1]).tolist(), int(self.table.iois[note]))
            if bits > 0 and motif in motifs:
                bits = 0.0
            motifs.add(motif)
            running = max(0.0, running - _GAP * gap + bits)
            counted = max(counted, running)

        same = pitches[library_at] == melody.pitches[query_at] + candidate.transposition
        in_step = (np.diff(query_at) == 1) & (np.diff(library_at) == 1)
        same_rhythm = _rhythm_agrees(
            melody.iois[query_at[:-1]] * candidate.tempo, self.table.iois[library_at[:-1]]
        )
        goes_on = in_step & same[1:] & same[:-1] & same_rhythm
        return Alignment(
            melody=candidate.melody,
            transposition=candidate.transposition,
            bits=counted,
            pairs=np.stack([query_at, library_at], axis=1),
            matched_notes=int(same.sum()),
            exact_run_notes=_longest_run(goes_on) + 1 if same.any() else 0,
        )


def _rhythm_agrees(expected: NDArray[np.floating], actual: NDArray[np.uint8]) -> NDArray[np.bool_]:
    ratio = actual / expected
    return (ratio > 0.6) & (ratio < 1.67)


def _longest_run(flags: NDArray[np.bool_]) -> int:
    """The largest number of true values in a row."""
    longest = run = 0
    for flag in flags.tolist():
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest


def _fill(scores: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The best total that ends at each cell, float32 of the same shape; 0 where none does."""
    candidates, length, width = scores.shape
    gap = np.float32(_GAP)
    totals = np.zeros_like(scores)
    above = np.zeros((candidates, width + 1), np.float32)  # one column of zeros on the right
    ramp = gap * np.arange(width, dtype=np.float32)
    for t in range(length):
        row = np.maximum(above[:, :width] + scores[:, t], above[:, 1:] - gap)
        row = np.where(inside[:, t], np.maximum(row, 0), 0)
        # Skipping library notes: each total may be carried rightwards at one gap per column.
        row = np.maximum.accumulate(row + ramp, axis=1) - ramp
        row = np.where(inside[:, t], np.maximum(row, 0), 0)
        totals[:, t] = row
        above[:, :width] = row
    return totals


def _trace(totals: NDArray[np.float32], scores: NDArray[np.float32]) -> list[tuple[int, int]]:
    """The (query offset, band column) pairs along the best path, in order."""
    width = totals.shape[1]
    t, k = np.unravel_index(int(totals.argmax()), totals.shape)
    t, k = int(t), int(k)
    path = []
    tolerance = 1e-3
    while t >= 0 and k >= 0 and k < width and totals[t, k] > tolerance:
        total = float(totals[t, k])
        before = float(totals[t - 1, k]) if t else 0.0
        if abs(before + float(scores[t, k]) - total) < tolerance:
            path.append((t, k))
            t -= 1
        elif t and k + 1 < width and abs(float(totals[t - 1, k + 1]) - _GAP - total) < tolerance:
            t, k = t - 1, k + 1
        else:
            k -= 1
    return path[::-1]
