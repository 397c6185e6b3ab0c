"""Which scores are the same music under other names, keys, tempos or small changes.

Each score gets a MinHash (Broder, "On the resemblance and containment of documents", 1997) of its
melodic 6-grams: intervals and inter-onset times, which neither key nor tempo alters. Scores without
a melody are told by their drums, or by whatever they play. Candidates are found by bands of the
signature (locality-sensitive hashing) and joined where the signatures agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import symusic
from numpy.typing import NDArray

from lofi.originality._melody import UNITS_PER_BAR, UNITS_PER_BEAT, melodies

SIGNATURE = 64  # values of a fingerprint
_ROWS = 2  # per band: a pair that shares 40 % of its grams meets in one of 32 bands at 99 %
_GRAM = 6
_SAME = 0.33  # agreement of signatures from which two scores are twins
_ODD = 0x9E3779B97F4A7C15

_rng = np.random.default_rng(20260401)
_FACTORS = _rng.integers(1, 2**63, SIGNATURE, dtype=np.uint64) | np.uint64(1)
_OFFSETS = _rng.integers(0, 2**63, SIGNATURE, dtype=np.uint64)


def fingerprint(score: symusic.Score) -> NDArray[np.uint32] | None:
    """The MinHash of a score, uint32 `(SIGNATURE,)`; None for one with too few notes to tell."""
    grams = [g for m in melodies(score) for g in [_line_grams(m.pitches, m.onsets)] if len(g)]
    if not grams:
        grams = [g for g in map(_track_grams, score.tracks) if len(g)]
    if not grams:
        return None
    shingles = np.unique(np.concatenate(grams))
    with np.errstate(over="ignore"):
        mixed = (shingles[:, None] * _FACTORS + _OFFSETS) >> np.uint64(32)
    return mixed.min(0).astype(np.uint32)


def _line_grams(pitches: NDArray[np.integer], onsets: NDArray[np.integer]) -> NDArray[np.uint64]:
    """Hashes of every run of six steps of a line."""
    steps = np.clip(np.diff(pitches.astype(np.int64)), -36, 36) + 64
    times = np.clip(np.diff(onsets.astype(np.int64)), 0, UNITS_PER_BAR)
    return _hashed(steps * 64 + times, _GRAM)


def _track_grams(track: symusic.Track) -> NDArray[np.uint64]:
    """Hashes of two-bar patterns of a drum track, or of the line of any other."""
    if len(track.notes) < _GRAM:
        return np.zeros(0, np.uint64)
    notes = track.notes.numpy()
    order = np.lexsort((notes["pitch"], notes["time"]))
    # A canonical score has 480 ticks to the beat.
    onset = np.round(notes["time"][order] * UNITS_PER_BEAT / 480).astype(np.int64)
    pitch = notes["pitch"][order].astype(np.int64)
    if not track.is_drum:
        return _line_grams(pitch, onset)
    return _hashed(np.clip(np.diff(onset), 0, UNITS_PER_BAR) * 128 + pitch[1:], 2 * _GRAM)


def _hashed(codes: NDArray[np.int64], length: int) -> NDArray[np.uint64]:
    if len(codes) < length:
        return np.zeros(0, np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(codes.astype(np.uint64), length)
    value = np.zeros(len(windows), np.uint64)
    with np.errstate(over="ignore"):
        for column in windows.T:
            value = (value ^ column) * np.uint64(_ODD)
            value ^= value >> np.uint64(29)
    return value


def group_twins(fingerprints: Sequence[NDArray[np.uint32] | None]) -> list[int]:
    """For each score, the lowest index among those it is a twin of, itself included.

    Being a twin is passed on: of three versions, each like the next, all stand in one group.
    """
    leader = list(range(len(fingerprints)))

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    for band in range(0, SIGNATURE, _ROWS):
        buckets: dict[bytes, list[int]] = defaultdict(list)
        for i, signature in enumerate(fingerprints):
            if signature is not None:
                buckets[signature[band : band + _ROWS].tobytes()].append(i)
        for first, *others in buckets.values():
            for other in others:
                a, b = find(first), find(other)
                if a != b and np.mean(fingerprints[first] == fingerprints[other]) >= _SAME:
                    leader[max(a, b)] = min(a, b)
    return [find(i) for i in range(len(fingerprints))]
