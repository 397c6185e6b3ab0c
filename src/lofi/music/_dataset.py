"""Tokenised scores -> training arrays: every segment of every file, cut 90/10 by content.

A split is two files, memory-mapped in training: `tokens.npy` (uint16, all segments end to end)
and `offsets.npy` (int64, where each begins, plus the end).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lofi.brief import BPM_RANGE, BUNDLES, PARTS, InputError, subseed
from lofi.music._bpe import Bpe
from lofi.music._tokens import BPM_STEP, vocabulary


def content_hash(segments: list[list[int]]) -> str:
    """A hash of the music alone: names, bytes and controls aside. Twins share it."""
    music = _music_table()
    digest = hashlib.sha256()
    for segment in segments:
        ids = np.array(segment, np.uint16)
        digest.update(ids[music[ids]].tobytes())
    return digest.hexdigest()


def goes_to_validation(group: str, share: float, seed: int) -> bool:
    """Whether a content group is held out; depends on the group alone, not on its neighbours."""
    return subseed(seed, "split", group) < share * 2**64


def write_split(folder: Path, segments: Iterable[Sequence[int]], tokens: int) -> int:
    """Write the arrays of one split, which has so many tokens; gives how many segments.

    The segments are taken one by one and never held together. Raises ValueError if they do not
    have as many tokens as said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    aside = {name: folder / f".{name}.part" for name in ("tokens.npy", "offsets.npy")}
    offsets = [0]
    try:
        if tokens:
            array = np.lib.format.open_memmap(
                aside["tokens.npy"], mode="w+", dtype=np.uint16, shape=(tokens,)
            )
            for segment in segments:
                array[offsets[-1] : offsets[-1] + len(segment)] = segment
                offsets.append(offsets[-1] + len(segment))
            array.flush()
        else:
            with aside["tokens.npy"].open("wb") as file:
                np.save(file, np.zeros(0, np.uint16))
        if offsets[-1] != tokens:
            raise ValueError(f"{offsets[-1]} tokens instead of {tokens}")
        with aside["offsets.npy"].open("wb") as file:
            np.save(file, np.array(offsets, np.int64))
        for name, path in aside.items():
            path.replace(folder / name)
    finally:
        for path in aside.values():
            path.unlink(missing_ok=True)
    return len(offsets) - 1


class Segments:
    """The segments of one split, memory-mapped: a sequence of uint16 arrays."""

    def __init__(self, folder: Path, max_length: int) -> None:
        try:
            self._tokens = np.load(folder / "tokens.npy", mmap_mode="r", allow_pickle=False)
            offsets = np.load(folder / "offsets.npy", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"no data set in {folder} ({error}). Make one with `lofi dataset`."
            ) from error
        spans = np.stack([offsets[:-1], offsets[1:]], axis=1)
        length = spans[:, 1] - spans[:, 0]
        # Twice as long is cut by the collator at the context; longer ones teach nothing whole.
        self._spans = spans[(length > 8) & (length <= 2 * max_length)]
        self.lengths = np.minimum(self._spans[:, 1] - self._spans[:, 0], max_length)

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, index: int) -> np.ndarray:
        start, stop = self._spans[index]
        return np.asarray(self._tokens[start:stop])


def music_tables(bpe: Bpe) -> tuple[np.ndarray, np.ndarray]:
    """For each token whether it is music (no control, no chord), and whether it holds a note."""
    vocab = vocabulary()
    given = [i for i in range(len(vocab)) if vocab.names[i].split("_")[0].isupper()]
    music, note = np.ones(len(vocab), bool), np.zeros(len(vocab), bool)
    music[given] = False
    music[vocab.eos] = True  # where a piece ends is told by nothing else
    note[[*vocab.kind("Pitch"), *vocab.kind("PitchDrum")]] = True
    pieces = [list(piece) for piece in bpe.pieces]
    return (
        np.array([bool(music[p].all()) for p in pieces]),
        np.array([bool(note[p].any()) for p in pieces]),
    )


def bits_per_note(nats: float, notes: float) -> float:
    """What a note costs: comparable between models of other merges, unlike nats per token.

    `nats` of the music alone (see `music_tables`): controls and chords are given to a model.
    """
    return nats / max(1.0, notes) / math.log(2)


def _music_table() -> np.ndarray:
    vocab = vocabulary()
    table = np.zeros(len(vocab), bool)
    for kind in ("Bar", "Position", "Program", "Pitch", "PitchDrum", "Velocity", "Duration"):
        table[vocab.kind(kind)] = True
    return table


@dataclass(frozen=True, slots=True)
class Dropout:
    """How often a control is left out in training, so that each may be left out in use."""

    control: float = 0.2  # each of MOOD, KEY, BPM, SWING, SECTION
    level: float = 0.1  # each part's density
    chords: float = 0.15  # all chords of a segment


_HEADER_TOKENS = 7  # BOS MOOD KEY BPM SWING SECTION BARS


@dataclass(frozen=True, slots=True)
class Variation:
    """How far a training segment may depart from what was read, and how often it does."""

    semitones: tuple[int, int] = (-5, 6)  # all twelve keys
    tempo: float = 0.5  # a step of BPM_STEP, within the mood's range
    velocity: float = 0.5  # a level louder or softer, for one part


class Augment:
    """Fresh variants of a training segment: other keys, tempi and balance, fewer controls."""

    def __init__(self, dropout: Dropout, variation: Variation | None = None) -> None:
        vocab = vocabulary()
        self.dropout = dropout
        self.variation = variation or Variation()
        self._control = self._table("MOOD", "KEY", "BPM", "SWING", "SECTION")
        self._level = self._table(*(part.upper() for part in PARTS))
        self._chord = self._table("CHORD")
        self._velocity = self._table("Velocity")
        self._parts = list(PARTS.values())
        self._rank = np.full(len(vocab), -1, np.int64)  # Program token -> index of its part
        for rank, part in enumerate(self._parts):
            self._rank[vocab.ids[f"Program_{part.program}"]] = rank
        self._pitch = np.full(len(vocab), -1, np.int64)
        pitches = vocab.kind("Pitch")
        self._pitch[pitches] = [int(vocab.names[i].split("_")[1]) for i in pitches]
        low, high = self.variation.semitones
        self._keys = {s: self._moved(("KEY", "CHORD"), s) for s in range(low, high + 1)}
        self._pitches = {s: self._moved(("Pitch",), s) for s in range(low - 12, high + 13)}
        # The mood of a MOOD token, and the bpm of a BPM token.
        self._bundle = {vocab.ids[f"MOOD_{name}"]: b for name, b in BUNDLES.items()}
        self._bpm = {int(i): int(vocab.names[i].split("_")[1]) for i in vocab.kind("BPM")}

    @staticmethod
    def _table(*kinds: str) -> np.ndarray:
        """For each token id whether it is of these kinds."""
        vocab = vocabulary()
        table = np.zeros(len(vocab), bool)
        for kind in kinds:
            table[vocab.kind(kind)] = True
        return table

    @staticmethod
    def _moved(kinds: tuple[str, ...], semitones: int) -> np.ndarray:
        """For each token id the id that a transposition turns it into."""
        vocab = vocabulary()
        table = np.arange(len(vocab), dtype=np.int64)
        for i, name in enumerate(vocab.names):
            kind, value = name.split("_", 1)
            if kind not in kinds or value == "none":
                continue
            if kind == "Pitch":
                table[i] = vocab.ids.get(f"Pitch_{int(value) + semitones}", i)
            else:
                root, rest = value.split("-", 1)
                table[i] = vocab.ids[f"{kind}_{(int(root) + semitones) % 12}-{rest}"]
        return table

    def _players(self, ids: np.ndarray) -> np.ndarray:
        """For each token the index of the part that plays it; -1 for none."""
        rank = self._rank[ids]
        last = np.maximum.accumulate(np.where(rank >= 0, np.arange(len(ids)), -1))
        return np.where(last >= 0, rank[last], -1)

    def transpositions(self, ids: np.ndarray) -> dict[int, dict[int, int]]:
        """The shifts in semitones that fit, each with the shift of every part by its index.

        A part that would leave its range goes an octave the other way; a shift for which one fits
        neither way is left out.
        """
        player, pitch = self._players(ids), self._pitch[ids]
        spans = {
            int(p): (int(pitch[held].min()), int(pitch[held].max()))
            for p in np.unique(player[pitch >= 0])
            if (held := (player == p) & (pitch >= 0)).any()
        }
        found = {}
        for shift in self._keys:
            moves = {}
            for p, (lowest, highest) in spans.items():
                part = self._parts[p]
                ways = sorted((shift, shift - 12, shift + 12), key=lambda w: (w != shift, abs(w)))
                fits = [w for w in ways if part.low <= lowest + w and highest + w <= part.high]
                if not fits:
                    break
                moves[p] = fits[0]
            else:
                found[shift] = moves
        return found

    def __call__(self, segment: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A fresh variant of a segment, int64."""
        ids = segment.astype(np.int64)
        player = self._players(ids)
        ids = self._transposed(ids, player, rng)
        ids = self._rebalanced(ids, player, rng)
        ids = self._retimed(ids, rng)
        chance = rng.random(len(ids))
        gone = self._control[ids] & (chance < self.dropout.control)
        gone |= self._level[ids] & (chance < self.dropout.level)
        if rng.random() < self.dropout.chords:
            gone |= self._chord[ids]
        return ids[~gone]

    def _transposed(
        self, ids: np.ndarray, player: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        ways = self.transpositions(ids)
        if not ways:  # a part is out of its range as it stands
            return ids
        shift = list(ways)[int(rng.integers(len(ways)))]
        ids = self._keys[shift][ids]
        for part, move in ways[shift].items():
            ids = np.where(player == part, self._pitches[move][ids], ids)
        return ids

    def _rebalanced(
        self, ids: np.ndarray, player: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """One part a level of velocity louder or softer.

        Not one that carries the loudness of the whole, by which the mood is told.
        """
        if rng.random() >= self.variation.velocity:
            return ids
        struck = self._velocity[ids]
        notes = np.bincount(player[struck & (player >= 0)], minlength=len(self._parts))
        pitched = notes[1:].sum()  # drums stand first and do not count for the mood
        free = [p for p, n in enumerate(notes) if n and (p == 0 or 2 * n <= pitched)]
        if not free:
            return ids
        part = free[int(rng.integers(len(free)))]
        levels = vocabulary().kind("Velocity")
        step = 1 if rng.random() < 0.5 else -1
        return np.where(struck & (player == part), np.clip(ids + step, levels[0], levels[-1]), ids)

    def _retimed(self, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The tempo a step higher or lower, as long as the mood stays what it is."""
        if rng.random() >= self.variation.tempo:
            return ids
        step = BPM_STEP if rng.random() < 0.5 else -BPM_STEP
        header = ids[:_HEADER_TOKENS].tolist()
        bundle = next((self._bundle[i] for i in header if i in self._bundle), None)
        for at, token in enumerate(header):
            if token in self._bpm:
                bpm = self._bpm[token] + step
                low, high = bundle.bpm if bundle else BPM_RANGE
                moved = vocabulary().ids.get(f"BPM_{bpm}")
                if moved is not None and low <= bpm <= high:
                    ids = ids.copy()
                    ids[at] = moved
        return ids
