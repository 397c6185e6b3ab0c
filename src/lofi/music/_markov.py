"""A Markov chain of order two over the same tokens: what is reached without a neural network.

The next token is drawn given two of the past: the one before, and what the same player did last.
After a Program token that is the player's last pitch; within a note, who plays; elsewhere the
token before the last. So melodies have intervals and players have habits, which a plain chain of
order two over this stream, five tokens a note, would not give them.

Counts are smoothed by interpolation with the lower orders: Witten and Bell, "The zero-frequency
problem", IEEE Transactions on Information Theory 37 (1991). All music is learnt and written as if
in C major or A minor.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from lofi.brief import ALL_KEYS
from lofi.music._bpe import Bpe
from lofi.music._tokens import vocabulary

_MOST_ROWS = 20_000  # distributions kept at hand, 2 kB each


class _Memory:
    """What the chain remembers of one sequence: the two tokens that the next one depends on."""

    def __init__(self) -> None:
        self._kind = _kinds()
        self._before = self._last = vocabulary().pad
        self._program = vocabulary().pad
        self._pitch: dict[int, int] = {}

    @property
    def context(self) -> tuple[int, int]:
        kind = self._kind[self._last]
        if kind == "Program":
            return self._pitch.get(self._last, vocabulary().pad), self._last
        if kind in ("Pitch", "PitchDrum", "Velocity", "Duration"):
            return self._program, self._last
        return self._before, self._last

    def push(self, token: int) -> None:
        kind = self._kind[token]
        if kind == "Program":
            self._program = token
        elif kind in ("Pitch", "PitchDrum"):
            self._pitch[self._program] = token
        self._before, self._last = self._last, token


@lru_cache(maxsize=1)
def _kinds() -> list[str]:
    return [name.split("_", 1)[0] for name in vocabulary().names]


@lru_cache(maxsize=1)
def _shift_of_key() -> dict[int, int]:
    """KEY token -> semitones from C major or A minor to it, -5 to 6."""
    ids = vocabulary().ids
    shifts = {}
    for key in ALL_KEYS:
        major = (key.tonic + (3 if key.mode == "minor" else 0)) % 12
        shifts[ids[f"KEY_{key.tonic}-{key.mode}"]] = major - 12 if major > 6 else major
    return shifts


@lru_cache(maxsize=32)
def _moved(semitones: int) -> np.ndarray:
    """For each token the one so many semitones higher; what would leave the table stays."""
    vocab = vocabulary()
    table = np.arange(len(vocab))
    for i in vocab.kind("Pitch").tolist():
        moved = f"Pitch_{int(vocab.names[i].split('_')[1]) + semitones}"
        if moved in vocab.ids:
            table[i] = vocab.ids[moved]
    return table


class Markov:
    """The chain; stands in for a Model: it has a `context`, and gives an `engine`."""

    context = 2048

    def __init__(self, keys: np.ndarray, counts: np.ndarray) -> None:
        """`keys` int64, rising: (context, token) as one number; `counts` how often each came."""
        self._keys, self._counts = keys, counts.astype(np.float64)
        size = len(vocabulary())
        pairs, place = np.unique(keys % size**2, return_inverse=True)
        self._pairs, self._pair_counts = pairs, np.bincount(place, self._counts)
        single = np.bincount(keys % size, self._counts, size)
        self._alone = (single + 1) / (single.sum() + size)
        self._rows: dict[tuple[int, int], np.ndarray] = {}

    @cached_property
    def bpe(self) -> Bpe:
        """Its tokens: those of the vocabulary, none of them merged."""
        return Bpe()

    @classmethod
    def learn(cls, segments: Iterable[np.ndarray]) -> Markov:
        """Count the segments (1-d arrays of ids, controls included)."""
        size = len(vocabulary())
        found: dict[int, int] = {}
        for segment in segments:
            memory = _Memory()
            for token in _in_c(np.asarray(segment, np.int64)).tolist():
                first, second = memory.context
                key = (first * size + second) * size + token
                found[key] = found.get(key, 0) + 1
                memory.push(token)
        keys = np.fromiter(found.keys(), np.int64, len(found))
        counts = np.fromiter(found.values(), np.int64, len(found))
        order = np.argsort(keys)
        return cls(keys[order], counts[order])

    def save(self, path: Path) -> None:
        """Write one .npz, whole or not at all."""
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(file, keys=self._keys, counts=self._counts)
            Path(aside).replace(path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path) -> Markov:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(stored["keys"], stored["counts"])

    def log_probabilities(self, context: tuple[int, int]) -> np.ndarray:
        """Natural logarithms (V,) float32 of what follows a context, all music being in C."""
        row = self._rows.get(context)
        if row is None:
            size = len(vocabulary())
            lower = _interpolated(self._pairs, self._pair_counts, context[1], self._alone)
            code = context[0] * size + context[1]
            row = np.log(_interpolated(self._keys, self._counts, code, lower)).astype(np.float32)
            if len(self._rows) >= _MOST_ROWS:
                self._rows.clear()
            self._rows[context] = row
        return row

    @property
    def rows(self) -> int:
        """See Model."""
        return 4

    def engine(self, batch: int) -> MarkovEngine:
        """Gives log-probabilities where a model's engine gives logits."""
        return MarkovEngine(self, batch)

    def logits(self, ids: np.ndarray) -> np.ndarray:
        """The log-probabilities (T, V) of what follows each of ids (T,)."""
        memory, shift = _Memory(), _shift(ids)
        rows = []
        for token in _in_c(ids).tolist():
            memory.push(token)
            rows.append(self.log_probabilities(memory.context)[_moved(-shift)])
        return np.stack(rows)


def _interpolated(keys: np.ndarray, counts: np.ndarray, code: int, lower: np.ndarray) -> np.ndarray:
    size = len(lower)
    a, b = np.searchsorted(keys, [code * size, (code + 1) * size])
    if a == b:
        return lower
    kinds = b - a
    found = lower * kinds
    found[keys[a:b] % size] += counts[a:b]
    return found / (counts[a:b].sum() + kinds)


def _shift(ids: np.ndarray) -> int:
    shifts = _shift_of_key()
    return next((shifts[i] for i in ids[:8].tolist() if i in shifts), 0)


def _in_c(ids: np.ndarray) -> np.ndarray:
    return _moved(-_shift(ids))[ids]


class MarkovEngine:
    """See `lofi.music._engine.Engine`."""

    def __init__(self, chain: Markov, batch: int) -> None:
        self.batch = batch
        self._chain = chain
        self._memories = [_Memory() for _ in range(batch)]
        self._shifts = [0] * batch

    def step(self, ids: np.ndarray, places: np.ndarray) -> np.ndarray:
        """See Engine."""
        rows = []
        for i, (token, place) in enumerate(zip(ids.tolist(), places.tolist(), strict=True)):
            if place == 0:
                self._memories[i], self._shifts[i] = _Memory(), 0
            self._shifts[i] = _shift_of_key().get(token, self._shifts[i])
            self._memories[i].push(int(_moved(-self._shifts[i])[token]))
            row = self._chain.log_probabilities(self._memories[i].context)
            rows.append(row[_moved(-self._shifts[i])])
        return np.stack(rows)
