"""The grammar of the token stream: which tokens may follow, so that every sample is music.

Reading it aloud: a bar opens with its chords; then positions rise; at a position the players come
in the order of PARTS, each at most once; a player's pitches rise; a pitched note is Pitch Velocity
Duration, a drum PitchDrum Velocity. After the last of the bars asked for comes EOS. A merged token
is several of these at once.

Parts that are there already are kept: their notes are written where they stand, and the model
chooses only what comes between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from lofi.brief import PARTS, Key
from lofi.music._bpe import SLOTS, Bpe
from lofi.music._theory import Chord
from lofi.music._tokens import STEPS_PER_BAR, vocabulary

CLOSING_TOKENS = 8  # kept back so that a stretch can always be closed properly
# A player who was asked for and has been silent for a bar is called in, more each bar: logits.
CALL_IN = 1.2
CALL_IN_AT_MOST = 5.0
ONE_AT_A_TIME = ("bass", "lead")  # players who strike no two pitches together
# What the melody's next pitch gains by its distance in semitones from the one before: steps are
# drawn more, a pitch repeated and leaps less, so that about as many melody notes are played.
MELODY_PULL = np.array([-0.7, 0.4, 0.4, -0.1, -0.1, -0.5, -0.8, -0.6, -1.1], np.float32)

POSITION, PROGRAM, PITCH, VELOCITY, DURATION = range(5)
_NAMES = list(PARTS)
_DRUMS = _NAMES.index("drums")
_LEAD = _NAMES.index("lead")
_NEVER = np.float32(-np.inf)


@dataclass(frozen=True, slots=True)
class Kept:
    """A note that is there already: its step in the bar, its part by rank, and its base ids.

    The ids are Pitch Velocity Duration, for drums PitchDrum Velocity.
    """

    step: int
    rank: int
    ids: tuple[int, ...]


@dataclass(slots=True)
class Stretch:
    """What one generated sequence must be.

    `chords` are two Chords per bar (None: unknown); `parts` those that may play; `key` with
    `key_pull` lowers the logits of pitches outside both scale and chord. `kept` holds for each bar
    the notes that are there already, in the order of step, part and pitch.
    """

    bars: int
    parts: tuple[str, ...]
    key: Key | None = None
    chords: Sequence[Chord | None] = field(default_factory=list)
    key_pull: float = 2.0
    kept: Sequence[Sequence[Kept]] = field(default_factory=list)


def kept_in(bar: Sequence[int]) -> list[Kept]:
    """The notes of a bar of base ids, as they are to be kept."""
    vocab = vocabulary()
    ranks = {vocab.ids[f"Program_{p.program}"]: r for r, p in enumerate(PARTS.values())}
    notes: list[Kept] = []
    step, rank, ids = 0, -1, []
    for token in [*bar[1:], vocab.bar]:
        kind, value = vocab.names[token].split("_", 1)
        if ids and kind not in ("Velocity", "Duration"):
            notes.append(Kept(step, rank, tuple(ids)))
            ids = []
        if kind == "Position":
            step = int(value)
        elif kind == "Program":
            rank = ranks[token]
        elif kind in SLOTS:
            ids.append(token)
    return notes


class Table:
    """What the grammar must know of each token of a vocabulary with merges: arrays (V,)."""

    def __init__(self, bpe: Bpe) -> None:
        vocab = vocabulary()
        self.bpe = bpe
        ranks = {vocab.ids[f"Program_{p.program}"]: r for r, p in enumerate(PARTS.values())}
        size = len(bpe)
        self.first, self.last = np.full(size, -1), np.full(size, -1)
        self.step, self.rank, self.pitch = (np.full(size, -1) for _ in range(3))
        self.drum = np.zeros(size, bool)
        for token, piece in enumerate(bpe.pieces):
            for base in piece:
                kind, value = vocab.names[base].split("_", 1)
                slot = SLOTS.get(kind, -1)
                if slot == POSITION:
                    self.step[token] = int(value)
                elif slot == PROGRAM:
                    self.rank[token] = ranks[base]
                elif slot == PITCH:
                    self.pitch[token] = int(value)
                    self.drum[token] = kind == "PitchDrum"
                if self.first[token] < 0:
                    self.first[token] = slot
                self.last[token] = slot
        columns = (self.last, self.step, self.rank, self.pitch)
        # The same for one token at a time: plain numbers are read five times as fast.
        self.facts = list(zip(*(c.tolist() for c in columns), strict=True))
        # Whether a part may play the pitch that a token has; one without a pitch fits all.
        self.fits = np.ones((len(PARTS), size), bool)
        for r, part in enumerate(PARTS.values()):
            inside = (self.pitch >= part.low) & (self.pitch <= part.high)
            self.fits[r] = (self.pitch < 0) | (inside & (self.drum == (r == _DRUMS)))
        # Tokens that have a note played at the same step by the same part share a group.
        self.groups = (self.step + 1) * (len(PARTS) + 1) + self.rank + 1
        alone = self.first < 0
        self.groups[alone] = (STEPS_PER_BAR + 1) * (len(PARTS) + 1) + np.arange(alone.sum())
        own = np.maximum(self.rank, 0)
        self.sound = (self.rank < 0) | self.fits[own, np.arange(size)]
        self.programs: dict[str, int] = {n: i for i, n in zip(ranks, PARTS, strict=True)}
        self._rows: dict[tuple[object, ...], np.ndarray] = {}
        self._biases: dict[tuple[object, ...], np.ndarray] = {}
        self._words: dict[tuple[Kept, bool, bool], list[int]] = {}
        self._most: dict[Kept, int] = {}

    def _row(self, key: tuple[object, ...], allowed: np.ndarray) -> np.ndarray:
        row = np.where(allowed, np.float32(0), _NEVER)
        row.setflags(write=False)
        self._rows[key] = row
        return row

    def only(self, *tokens: int) -> np.ndarray:
        """These tokens alone."""
        found = self._rows.get(("only", *tokens))
        if found is None:
            found = self._row(
                ("only", *tokens), np.isin(np.arange(len(self.bpe)), np.array(tokens, np.int64))
            )
        return found

    def positions(self, free: tuple[int, ...], part: int, step: int, until: Order) -> np.ndarray:
        """Tokens that begin with a position after `step`, for `part` or a part that is `free`."""
        key = ("positions", free, part, step, until)
        found = self._rows.get(key)
        if found is not None:
            return found
        allowed = (self.first == POSITION) & (self.step > step) & self.sound
        # A part that goes on is not named again.
        named = np.isin(self.rank, free) & (self.rank != part)
        bare = (self.rank < 0) & (self.pitch < 0)
        goes_on = np.zeros(len(self.bpe), bool)
        if part in free:
            goes_on = (self.rank < 0) & (self.pitch >= 0) & self.fits[part]
        allowed &= named | bare | goes_on
        rank = np.where(named, self.rank, np.where(goes_on, part, -1))
        allowed &= (self.step < until[0]) | ((self.step == until[0]) & (rank < until[1]))
        return self._row(key, allowed)

    def players(self, free: tuple[int, ...], part: int, above: int, below: int) -> np.ndarray:
        """Tokens that begin by naming another part that is `free`, of a rank between."""
        key = ("players", free, part, above, below)
        found = self._rows.get(key)
        if found is not None:
            return found
        allowed = (self.first == PROGRAM) & np.isin(self.rank, free) & self.sound
        allowed &= (self.rank > above) & (self.rank < below) & (self.rank != part)
        return self._row(key, allowed)

    def pitches(self, part: int, above: int) -> np.ndarray:
        """Tokens that begin with a pitch of `part` above a pitch."""
        key = ("pitches", part, above)
        found = self._rows.get(key)
        if found is not None:
            return found
        return self._row(key, (self.first == PITCH) & (self.pitch > above) & self.fits[part])

    def values(self, slot: int, *, alone: bool = False) -> np.ndarray:
        """Tokens that begin with a velocity or a duration; `alone` are those with nothing more."""
        key = ("values", slot, alone)
        found = self._rows.get(key)
        if found is not None:
            return found
        return self._row(key, (self.first == slot) & ((self.last == slot) | (not alone)))

    def written(self, kept: Kept, position: bool, program: bool) -> list[int]:
        """The tokens of a note, with its position and program where they are to be said."""
        key = (kept, position, program)
        found = self._words.get(key)
        if found is None:
            ids = [vocabulary().ids[f"Position_{kept.step}"]] if position else []
            ids += [self.programs[_NAMES[kept.rank]]] if program else []
            found = self.bpe.encode(np.array([*ids, *kept.ids], np.int64)).tolist()
            self._words[key] = found
        return found

    def most(self, kept: Kept) -> int:
        """How many tokens a note takes at most."""
        found = self._most.get(kept)
        if found is None:
            ways = [(a, b) for a in (False, True) for b in (False, True)]
            found = self._most[kept] = max(len(self.written(kept, a, b)) for a, b in ways)
        return found

    def bias(self, halves: tuple[frozenset[int] | None, ...], now: int, pull: float) -> np.ndarray:
        """What pitches outside the pitch classes of each half of a bar lose, in logits.

        A token with a position of its own is in the half of that, others in half `now`.
        """
        key = (halves, now, pull)
        found = self._biases.get(key)
        if found is None:
            losses = []
            for inside in halves:
                outside = np.zeros(len(self.bpe), bool)
                if inside is not None:
                    outside = (self.pitch >= 0) & ~self.drum & ~np.isin(self.pitch % 12, [*inside])
                losses.append(np.where(outside, np.float32(-pull), np.float32(0)))
            half = np.where(self.step < 0, now, self.step >= STEPS_PER_BAR // 2)
            found = np.where(half == 0, losses[0], losses[1])
            self._biases[key] = found
        return found

    def melody(self, last: int, goes_on: bool) -> np.ndarray:
        """What tokens gain by the step that the lead takes from its last pitch, in logits.

        Where the lead `goes_on` those without a player are its own too.
        """
        key = ("melody", last, goes_on)
        found = self._biases.get(key)
        if found is None:
            own = (self.rank == _LEAD) | ((self.rank < 0) & ~self.drum & goes_on)
            apart = np.minimum(np.abs(self.pitch - last), len(MELODY_PULL) - 1)
            found = np.where(own & (self.pitch >= 0), MELODY_PULL[apart], np.float32(0))
            self._biases[key] = found
        return found


Order = tuple[int, int]  # a step in the bar and a rank: what is before what
_END: Order = (STEPS_PER_BAR, 0)


@lru_cache(maxsize=4)
def table_of(bpe: Bpe) -> Table:
    """The table of a vocabulary."""
    return Table(bpe)


class Grammar:
    """Follows one sequence token by token and says what may come next."""

    def __init__(self, stretch: Stretch, bpe: Bpe, max_tokens: int) -> None:
        self.stretch = stretch
        self.left = max_tokens  # tokens that may still be written
        self.bar = 0  # bars opened
        self.step = -1  # position within the bar
        self.part = -1  # rank of who plays; -1 until the bar's first Program
        self.rank = -1  # rank of the last player at this position
        self.pitch = -1  # last pitch of this player at this position
        self.state = "start"
        self._table = table_of(bpe)
        self._vocab = vocabulary()
        self._free = tuple(r for r, p in enumerate(PARTS) if p in stretch.parts)
        self._halves = [self._inside(half) for half in range(2 * stretch.bars)]
        self._last_bar = dict.fromkeys(self._free, 0)  # the bar in which each last played
        self._sung = -1  # last pitch of the melody
        self._calls: np.ndarray | None = None
        self._due: list[Kept] = []  # what is kept in this bar and not yet written
        # Tokens that what is kept will take, in this bar and after it.
        self._owed = sum(self._table.most(k) for bar in stretch.kept for k in bar)

    def _inside(self, half: int) -> frozenset[int] | None:
        """The pitch classes that belong in a half bar; None if nothing is known."""
        if self.stretch.key is None:
            return None
        chord = self.stretch.chords[half] if half < len(self.stretch.chords) else None
        return frozenset(self.stretch.key.scale) | frozenset(chord.pitch_classes if chord else ())

    @property
    def done(self) -> bool:
        """Whether EOS has been written."""
        return self.state == "end"

    def mask(self) -> np.ndarray:
        """(V,) float32: 0 or a bias where a token may follow, -inf elsewhere."""
        t, state = self._table, self.state
        if state == "start":
            return t.only(self._vocab.bar)
        if state == "end":
            return t.only(self._vocab.pad)
        if state == "program":
            return t.pitches(self.part, -1) + self._bias()
        if state == "pitch":
            return t.values(VELOCITY, alone=self.part == _DRUMS)
        if state == "velocity":
            return t.values(DURATION)
        close = self._vocab.bar if self.bar < self.stretch.bars else self._vocab.eos
        until = (self._due[0].step, self._due[0].rank) if self._due else _END
        here = self.step == until[0]
        below = until[1] if here else len(PARTS)
        if (state != "position" or (self._due and here)) and self._must_close():
            return t.only(self._due_ids()[0] if self._due else close)
        rows = []
        if self.part in self._free and (not here or self.part < below):
            if state == "position":
                rows.append(t.pitches(self.part, -1))
            elif state == "note" and _NAMES[self.part] not in ONE_AT_A_TIME:
                rows.append(t.pitches(self.part, self.pitch))
        if state != "bar":
            above = -1 if state == "position" else self.rank
            rows.append(t.players(self._free, self.part, above, below))
        if state != "position":
            rows.append(t.positions(self._free, self.part, self.step, until))
        if self._due:
            # After a position that stands alone, what is due comes only if it stands there too.
            if state != "position" or here:
                rows.append(t.only(self._due_ids()[0]))
        elif state != "position":
            rows.append(t.only(close))
        row = rows[0]
        for other in rows[1:]:
            row = np.maximum(row, other)
        return row + self._bias() + self._call_in()

    def _must_close(self) -> bool:
        return self.left <= CLOSING_TOKENS + 3 * (self.stretch.bars - self.bar) + self._owed

    def _bias(self) -> np.ndarray:
        halves = tuple(self._halves[2 * self.bar - 2 : 2 * self.bar])
        t = self._table
        bias = t.bias(halves, int(self.step >= STEPS_PER_BAR // 2), self.stretch.key_pull)
        if self._sung < 0 or self.stretch.key is None:
            return bias
        return bias + t.melody(self._sung, self.part == _LEAD)

    def _call_in(self) -> np.ndarray:
        if self._calls is None:
            calls = np.zeros(len(PARTS) + 1, np.float32)  # the last is for tokens without a part
            for rank in self._free:
                silent = max(0, self.bar - self._last_bar[rank] - 1)
                calls[rank] = min(CALL_IN * silent, CALL_IN_AT_MOST)
            self._calls = calls[self._table.rank]
        return self._calls

    def _due_ids(self) -> list[int]:
        """The tokens of the kept note that comes next, as they are to be written here."""
        kept = self._due[0]
        return self._table.written(kept, kept.step != self.step, kept.rank != self.part)

    @property
    def rest(self) -> int | None:
        """What comes if no free player plays: the next kept note or the bar's end, if either may.

        None where nothing is kept.
        """
        if not self.stretch.kept or self.state not in ("bar", "note", "position"):
            return None
        if self._due and (self.state != "position" or self._due[0].step == self.step):
            return self._due_ids()[0]
        if self._due or self.state == "position":
            return None
        return self._vocab.bar if self.bar < self.stretch.bars else self._vocab.eos

    def forced(self, token: int) -> list[int]:
        """What must follow a token that was just chosen: the rest of a kept note. Takes none."""
        if not self._due or self.state not in ("bar", "note", "position"):
            return []
        ids = self._due_ids()
        t = self._table
        bare = t.first[token] == POSITION and t.last[token] == POSITION
        if token != ids[0] or (bare and len(ids) > 1):
            return []
        return ids[1:]

    def advance(self, token: int) -> None:
        """Take the token that was chosen; it must be one that `mask` allowed, or a chord."""
        t = self._table
        self.left -= 1
        if token == self._vocab.bar:
            self.bar += 1
            self.step, self.part, self.rank, self.pitch = -1, -1, -1, -1
            self.state = "bar"
            self._calls = None
            kept = self.stretch.kept
            self._due = list(kept[self.bar - 1]) if self.bar <= len(kept) else []
            return
        if token == self._vocab.eos:
            self.state = "end"
            return
        last, step, rank, pitch = t.facts[token]
        if step >= 0:
            self.step, self.rank, self.pitch = step, -1, -1
        if rank >= 0:
            self.part, self.pitch = rank, -1
        if pitch >= 0:
            self.rank, self.pitch = self.part, pitch
            if self.part == _LEAD:
                self._sung = self.pitch
            if self._last_bar.get(self.part, self.bar) != self.bar:
                self._last_bar[self.part] = self.bar
                self._calls = None
        if last == POSITION:
            self.state = "position"
        elif last == PROGRAM:
            self.state = "program"
        elif last == PITCH:
            self.state = "pitch"
        elif last == VELOCITY and self.part != _DRUMS:
            self.state = "velocity"
        elif last in (VELOCITY, DURATION):
            self.state = "note"
            if self._due and self.part == self._due[0].rank and self.step == self._due[0].step:
                self._owed -= self._table.most(self._due.pop(0))
