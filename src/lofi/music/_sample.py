"""Sampling: temperature, top-k and top-p on masked logits, a batch of sequences at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lofi.music._engine import Engine
from lofi.music._grammar import Grammar, Stretch
from lofi.music._tokens import chord_control, chord_ids, vocabulary


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. `max_length` bounds a stretch in tokens, controls included."""

    temperature: float = 0.75
    top_k: int = 40
    top_p: float = 0.92
    max_length: int = 2048


def draw(logits: np.ndarray, sampling: Sampling, rng: np.random.Generator) -> np.ndarray:
    """One token id per row of logits (B, V); -inf marks what may not be drawn. (B,) int64."""
    scaled = logits / max(sampling.temperature, 1e-3)
    k = min(sampling.top_k, scaled.shape[1])
    top = np.argpartition(scaled, -k, axis=1)[:, -k:]
    value = np.take_along_axis(scaled, top, 1)
    order = np.argsort(-value, axis=1, kind="stable")
    top = np.take_along_axis(top, order, 1)
    value = np.take_along_axis(value, order, 1)
    weight = np.exp(value - value[:, :1])
    weight /= weight.sum(1, keepdims=True)
    before = np.cumsum(weight, axis=1) - weight
    weight[before > sampling.top_p] = 0  # the first is always kept
    total = np.cumsum(weight, axis=1)
    pick = rng.random((len(logits), 1)) * total[:, -1:]
    column = (total <= pick).sum(1, keepdims=True)
    return np.take_along_axis(top, np.minimum(column, k - 1), 1)[:, 0]


def sample(
    engine: Engine,
    prompt: list[int],
    stretch: Stretch,
    *,
    count: int,
    sampling: Sampling,
    rng: np.random.Generator,
) -> list[list[int]]:
    """`count` sequences that continue `prompt` (BOS and controls) as `stretch` demands.

    Each returned list starts after the prompt and ends before EOS. The chords of the stretch are
    written, not sampled.
    """
    vocab = vocabulary()
    room = sampling.max_length - len(prompt)
    grammars = [Grammar(stretch, room) for _ in range(count)]
    written: list[list[int]] = [[] for _ in range(count)]
    forced: list[list[int]] = [[] for _ in range(count)]
    logits = engine.prefill(np.tile(np.array(prompt, np.int64), (count, 1)))
    while True:
        masked = logits + np.stack([g.mask() for g in grammars])
        tokens = draw(masked, sampling, rng)
        for i, grammar in enumerate(grammars):
            if forced[i]:
                tokens[i] = forced[i].pop(0)
            elif grammar.done:
                tokens[i] = vocab.pad
                continue
            token = int(tokens[i])
            grammar.advance(token)
            if token == vocab.bar and stretch.chords:
                first, second = stretch.chords[2 * grammar.bar - 2 : 2 * grammar.bar]
                forced[i] = chord_ids(chord_control(first), chord_control(second))
            if not grammar.done:
                written[i].append(token)
        if all(g.done for g in grammars):
            return written
        logits = engine.step(tokens)
