"""Sampling: temperature, top-k and top-p on masked logits, many sequences at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lofi.music._bpe import Bpe
from lofi.music._engine import Engine
from lofi.music._grammar import Grammar, Stretch, table_of
from lofi.music._tokens import chord_control, chord_ids, vocabulary

# A token less likely than the best by more than e to this power (one in nine million) is not drawn.
UNHEARD_OF = 16.0
WHEN_TOP_P = 0.98  # of when and by whom the next note is played


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. `max_length` bounds a stretch in tokens, controls included."""

    temperature: float = 0.95
    top_k: int = 40
    top_p: float = 0.96
    max_length: int = 1024


@dataclass(frozen=True, slots=True)
class Job:
    """A sequence to write: what stands before it (base ids, BOS first), what it must be, a seed."""

    prompt: Sequence[int]
    stretch: Stretch
    seed: int


def draw(logits: np.ndarray, groups: np.ndarray, sampling: Sampling, uniform: np.ndarray) -> int:
    """A token by its logits (V,); -inf marks what may not be drawn.

    `groups` (V,) int64 says when and by whom a token would have a note played: that is drawn as
    the model has it. Among the tokens of the group drawn, temperature, top-k and top-p choose what
    is played. Otherwise they would favour what a single token says, such as the end of the bar,
    over what many tokens share, and the music would thin out. `uniform` (2,) in [0, 1) decide.
    """
    # Few tokens come near the best one: sorting those alone is four times as fast as partitioning
    # a row that is mostly -inf.
    best = logits[logits.argmax()]
    near = (logits >= best - UNHEARD_OF).nonzero()[0]
    if len(near) == 1:
        return int(near[0])
    value = logits[near] - best
    who = groups[near]
    share = np.bincount(who, np.exp(value))
    present = share.nonzero()[0]
    if len(present) > 1:
        group = present[_pick(share[present].tolist(), WHEN_TOP_P, uniform[0])]
        near, value = near[who == group], value[who == group]
    order = (-value).argsort(kind="stable")[: sampling.top_k]
    temperature = max(sampling.temperature, 1e-3)
    weight = np.exp((value[order] - value[order[0]]) / temperature)
    return int(near[order[_pick(weight.tolist(), sampling.top_p, uniform[1])]])


def _pick(weight: list[float], top_p: float, uniform: float) -> int:
    """An index drawn by weight among the heaviest that make up a share of `top_p`.

    Plain lists: for a few dozen numbers they take half the time of arrays.
    """
    most = top_p * sum(weight)
    order = sorted(range(len(weight)), key=weight.__getitem__, reverse=True)
    running: list[float] = []
    total = 0.0
    for i in order:
        if total > most:
            break
        total += weight[i]
        running.append(total)
    return order[bisect_right(running, uniform * total, hi=len(running) - 1)]


class _Row:
    """One sequence at work."""

    def __init__(self, index: int, job: Job, bpe: Bpe, room: int) -> None:
        prompt = bpe.encode(np.array(job.prompt, np.int64)).tolist()
        self.index = index
        self.token: int = prompt[0]
        self.place = 0
        self.grammar = Grammar(job.stretch, bpe, room - len(prompt))
        self.random = np.random.default_rng(job.seed)
        self.written: list[int] = []
        self._chords = job.stretch.chords
        self._given = prompt[1:]
        self._forced: list[int] = []

    def next(self) -> bool:
        """Go on to the token that must follow, if there is one; else one is to be chosen."""
        self.place += 1
        if self._given:
            self.token = self._given.pop(0)
            return True
        if self._forced:
            self._take(self._forced.pop(0))
            return True
        return False

    def choose(self, token: int) -> None:
        """Go on with a token that the grammar allowed."""
        self._forced = self.grammar.forced(token)
        self._take(token)
        if token == vocabulary().bar and self._chords:
            first, second = self._chords[2 * self.grammar.bar - 2 : 2 * self.grammar.bar]
            self._forced = chord_ids(chord_control(first), chord_control(second))

    def _take(self, token: int) -> None:
        self.token = token
        self.grammar.advance(token)
        if not self.grammar.done:
            self.written.append(token)


def sample(
    engine: Engine,
    jobs: Sequence[Job],
    *,
    bpe: Bpe,
    sampling: Sampling,
    progress: Callable[[float], None] | None = None,
) -> list[list[int]]:
    """For each job the base ids that continue its prompt, as its stretch demands, before EOS.

    The engine's rows work side by side; one that is done takes the next job. The chords of a
    stretch are written, not sampled.
    """
    waiting = list(enumerate(jobs))[::-1]
    results: list[list[int]] = [[] for _ in jobs]
    rows: list[_Row | None] = [None] * engine.batch
    ids, places = np.zeros(engine.batch, np.int64), np.zeros(engine.batch, np.int64)
    groups = table_of(bpe).groups
    done = 0
    while True:
        for i, row in enumerate(rows):
            if row is None and waiting:
                row = rows[i] = _Row(*waiting.pop(), bpe, sampling.max_length)
            # A row without work repeats its first place, which costs the least.
            ids[i], places[i] = (row.token, row.place) if row else (0, 0)
        if not any(rows):
            return results
        logits = engine.step(ids, places)
        for i, row in enumerate(rows):
            if row is None or row.next():
                continue
            mask, rest = row.grammar.mask(), row.grammar.rest
            weighed = logits[i] + mask
            if rest is not None:
                # What players whose part is kept might have played goes to what is kept: were it
                # left out of account, the others would press in.
                others = np.isneginf(mask)
                others[rest] = True
                gone = logits[i, others]
                weighed[rest] = gone.max() + np.log(np.exp(gone - gone.max()).sum()) + mask[rest]
            row.choose(draw(weighed, groups, sampling, row.random.random(2)))
            if row.grammar.done:
                results[row.index] = bpe.decode(row.written)
                rows[i] = None
                done += 1
                if progress:
                    progress(done / len(jobs))
