"""Tokenised scores -> training arrays: every segment of every file, cut 90/10 by content.

A split is two files, memory-mapped in training: `tokens.npy` (uint16, all segments end to end)
and `offsets.npy` (int64, where each begins, plus the end).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lofi.brief import PARTS, InputError, subseed
from lofi.music._tokens import vocabulary


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


class Augment:
    """Transposes a segment within its instruments' ranges and drops controls at random."""

    def __init__(self, dropout: Dropout) -> None:
        vocab = vocabulary()
        self.dropout = dropout
        size = len(vocab)
        self._control = np.zeros(size, bool)
        for kind in ("MOOD", "KEY", "BPM", "SWING", "SECTION"):
            self._control[vocab.kind(kind)] = True
        self._level = np.zeros(size, bool)
        for part in PARTS:
            self._level[vocab.kind(part.upper())] = True
        self._chord = np.zeros(size, bool)
        self._chord[vocab.kind("CHORD")] = True
        self._pitch = np.full(size, -1, np.int64)
        ids = vocab.kind("Pitch")
        self._pitch[ids] = [int(vocab.names[i].split("_")[1]) for i in ids]
        self._low = np.full(size, -1, np.int64)
        self._high = np.full(size, -1, np.int64)
        for part in PARTS.values():
            token = vocab.ids[f"Program_{part.program}"]
            self._low[token], self._high[token] = part.low, part.high
        # shifted[s][id]: the token a semitone shift of s turns it into.
        self._shifted = {s: self._shift_table(s) for s in range(-5, 7)}

    @staticmethod
    def _shift_table(semitones: int) -> np.ndarray:
        vocab = vocabulary()
        table = np.arange(len(vocab), dtype=np.int64)
        for i, name in enumerate(vocab.names):
            kind, value = name.split("_", 1)
            if kind == "Pitch":
                table[i] = vocab.ids.get(f"Pitch_{int(value) + semitones}", i)
            elif (kind == "KEY" or kind == "CHORD") and value != "none":
                root, rest = value.split("-", 1)
                table[i] = vocab.ids[f"{kind}_{(int(root) + semitones) % 12}-{rest}"]
        return table

    def room(self, ids: np.ndarray) -> tuple[int, int]:
        """How far (down, up) a segment may move before a part leaves its range."""
        low, high = self._low[ids], self._high[ids]
        # Each pitch belongs to the last Program token before it.
        at = np.maximum.accumulate(np.where(low >= 0, np.arange(len(ids)), 0))
        pitch = self._pitch[ids]
        sounding = pitch >= 0
        if not sounding.any():
            return 0, 0
        down = int((pitch - low[at])[sounding].min())
        up = int((high[at] - pitch)[sounding].min())
        return max(0, min(5, down)), max(0, min(6, up))

    def __call__(self, segment: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A fresh variant of a segment, int64."""
        ids = segment.astype(np.int64)
        down, up = self.room(ids)
        ids = self._shifted[int(rng.integers(-down, up + 1))][ids]
        chance = rng.random(len(ids))
        gone = self._control[ids] & (chance < self.dropout.control)
        gone |= self._level[ids] & (chance < self.dropout.level)
        if rng.random() < self.dropout.chords:
            gone |= self._chord[ids]
        return ids[~gone]
