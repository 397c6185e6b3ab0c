"""The grammar of the token stream: which tokens may follow, so that every sample is music.

Reading it aloud: a bar opens with its chords; then positions rise; at a position the players come
in the order of PARTS, each at most once; a player's pitches rise; a pitched note is Pitch Velocity
Duration, a drum PitchDrum Velocity. After the last of the bars asked for comes EOS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from lofi.brief import PARTS, Key
from lofi.music._theory import Chord
from lofi.music._tokens import STEPS_PER_BAR, vocabulary

CLOSING_TOKENS = 8  # kept back so that a stretch can always be closed properly
# A player who was asked for and has been silent for a bar is called in, more each bar: logits.
CALL_IN = 1.2
CALL_IN_AT_MOST = 5.0
ONE_AT_A_TIME = ("bass", "lead")  # players who strike no two pitches together


@dataclass(frozen=True, slots=True)
class _Tables:
    kind: list[str]  # kind of each token id
    value: list[str]  # what follows the underscore
    position: np.ndarray  # ids by step
    velocity: np.ndarray
    duration: np.ndarray
    program: dict[str, int]  # part -> id
    pitch: dict[str, np.ndarray]  # part -> ids of its range, rising
    pitch_of: np.ndarray  # id -> MIDI pitch, -1 elsewhere
    part_of_program: dict[int, str]


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    vocab = vocabulary()
    split = [n.split("_", 1) for n in vocab.names]
    program = {n: vocab.ids[f"Program_{p.program}"] for n, p in PARTS.items()}
    pitch_of = np.full(len(vocab), -1, np.int64)
    for i, (kind, value) in enumerate(split):
        if kind in ("Pitch", "PitchDrum"):
            pitch_of[i] = int(value)
    pitch = {
        n: np.array(
            [
                vocab.ids[f"{'PitchDrum' if n == 'drums' else 'Pitch'}_{k}"]
                for k in range(p.low, p.high + 1)
            ]
        )
        for n, p in PARTS.items()
    }
    return _Tables(
        kind=[k for k, _ in split],
        value=[v for _, v in split],
        position=np.array([vocab.ids[f"Position_{i}"] for i in range(STEPS_PER_BAR)]),
        velocity=vocab.kind("Velocity"),
        duration=vocab.kind("Duration"),
        program=program,
        pitch=pitch,
        pitch_of=pitch_of,
        part_of_program={i: n for n, i in program.items()},
    )


@dataclass(slots=True)
class Stretch:
    """What one generated sequence must be.

    `chords` are two Chords per bar (None: unknown); `parts` those that may play; `key` with
    `key_pull` lowers the logits of pitches outside both scale and chord.
    """

    bars: int
    parts: tuple[str, ...]
    key: Key | None = None
    chords: Sequence[Chord | None] = field(default_factory=list)
    key_pull: float = 2.0


_RANK = {name: rank for rank, name in enumerate(PARTS)}


class Grammar:
    """Follows one sequence token by token and says what may come next."""

    def __init__(self, stretch: Stretch, max_tokens: int) -> None:
        self.stretch = stretch
        self.left = max_tokens  # tokens that may still be written
        self.bar = 0  # bars opened
        self.step = -1  # position within the bar
        self.part: str | None = None  # who plays; None until the bar's first Program token
        self.rank = -1  # rank of the last player at this position
        self.pitch = -1  # last pitch of this player at this position
        self.state = "start"
        self._tables = _tables()
        self._vocab = vocabulary()
        self._bias = [self._pitch_bias(half) for half in range(2 * stretch.bars)]
        self._allowed = [p for p in PARTS if p in stretch.parts]
        self._last_bar = dict.fromkeys(self._allowed, 0)  # the bar in which each last played

    def _pitch_bias(self, half: int) -> np.ndarray:
        bias = np.zeros(12, np.float32)
        if self.stretch.key is None:
            return bias
        inside = set(self.stretch.key.scale)
        chord = self.stretch.chords[half] if half < len(self.stretch.chords) else None
        if chord:
            inside |= set(chord.pitch_classes)
        bias[[pc for pc in range(12) if pc not in inside]] = -self.stretch.key_pull
        return bias

    @property
    def done(self) -> bool:
        """Whether EOS has been written."""
        return self.state == "end"

    def mask(self) -> np.ndarray:
        """(V,) float32: 0 or a bias where a token may follow, -inf elsewhere."""
        t = self._tables
        row = np.full(len(self._vocab), -np.inf, np.float32)
        if self.state == "end":
            row[self._vocab.pad] = 0
        elif self.state == "start":
            row[self._vocab.bar] = 0
        elif self.state == "program":
            self._open_pitches(row)
        elif self.state == "pitch":
            row[t.velocity] = 0
        elif self.state == "velocity":
            row[t.duration] = 0
        else:
            if self.state == "position":
                if self.part is not None:
                    self._open_pitches(row)
                self._open_programs(row, above=-1)
            else:  # "bar" or "note"
                if self.state == "note":
                    if self.part not in ONE_AT_A_TIME:
                        self._open_pitches(row)
                    self._open_programs(row, above=self.rank)
                row[t.position[self.step + 1 :]] = 0
                row[self._vocab.bar if self.bar < self.stretch.bars else self._vocab.eos] = 0
            if self.state != "position" and self._must_close():
                row[:] = -np.inf
                row[self._vocab.bar if self.bar < self.stretch.bars else self._vocab.eos] = 0
        return row

    def _must_close(self) -> bool:
        return self.left <= CLOSING_TOKENS + 3 * (self.stretch.bars - self.bar)

    def _open_pitches(self, row: np.ndarray) -> None:
        assert self.part is not None
        ids = self._tables.pitch[self.part]
        pitches = self._tables.pitch_of[ids]
        higher = pitches > self.pitch
        ids, pitches = ids[higher], pitches[higher]
        if self.part == "drums":
            row[ids] = 0
        else:
            half = 2 * (self.bar - 1) + (self.step >= STEPS_PER_BAR // 2)
            row[ids] = self._bias[half][pitches % 12]

    def _open_programs(self, row: np.ndarray, above: int) -> None:
        for part in self._allowed:
            if _RANK[part] > above and part != self.part:
                silent = self.bar - self._last_bar[part] - 1
                row[self._tables.program[part]] = min(CALL_IN * max(0, silent), CALL_IN_AT_MOST)

    def advance(self, token: int) -> None:
        """Take the token that was chosen; it must be one that `mask` allowed, or a chord."""
        kind = self._tables.kind[token]
        self.left -= 1
        if kind == "Bar":
            self.bar += 1
            self.step, self.part, self.rank, self.pitch = -1, None, -1, -1
            self.state = "bar"
        elif kind == "Position":
            self.step = int(self._tables.value[token])
            self.rank, self.pitch = -1, -1
            self.state = "position"
        elif kind == "Program":
            self.part = self._tables.part_of_program[token]
            self._last_bar[self.part] = self.bar
            self.pitch = -1
            self.state = "program"
        elif kind in ("Pitch", "PitchDrum"):
            assert self.part is not None
            self.rank = _RANK[self.part]
            self.pitch = int(self._tables.pitch_of[token])
            self.state = "pitch"
        elif kind == "Velocity":
            self.state = "note" if self.part == "drums" else "velocity"
        elif kind == "Duration":
            self.state = "note"
        elif kind == "EOS":
            self.state = "end"
