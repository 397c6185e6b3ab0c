"""How many bits each note of a melody table tells: its interval and its rhythm, given what came.

To share a rare turn with another work says more than to share a scale. The measure is
-log2 p(interval | the two intervals before) and -log2 p(rhythm class | the class before), estimated
from the library itself. Each order is smoothed with the order below it (Dirichlet smoothing); the
lowest leans on a fixed prior, so that a library of one work still knows that steps are common.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lofi.originality._index import MelodyTable

_WIDEST = 13  # wider leaps than this many semitones are one class
_INTERVAL_CLASSES = 2 * _WIDEST + 1
_RATIO_BOUNDS = (0.3, 0.71, 1.42, 3.0)  # of successive inter-onset intervals
_RATIO_CLASSES = len(_RATIO_BOUNDS) + 1
_INTERVAL_PRIOR = np.exp(-np.abs(np.arange(-_WIDEST, _WIDEST + 1)) / 3.0)
_RATIO_PRIOR = np.array([0.05, 0.2, 0.5, 0.2, 0.05])
_PRIOR_WEIGHT = 12.0  # the prior of each order counts as much as this many observed notes


def note_bits(table: MelodyTable) -> NDArray[np.float32]:
    """Bits of the interval that leads to each note; 0 for the first note of a melody."""
    place = _place_in_melody(table)
    interval = np.clip(np.diff(table.pitches.astype(np.int64), prepend=0), -_WIDEST, _WIDEST)
    classes = np.where(place >= 1, interval + _WIDEST, _INTERVAL_CLASSES)
    bits = _surprisal(classes, place - 1, _INTERVAL_CLASSES, _INTERVAL_PRIOR, order=2)
    return np.where(place >= 1, bits, 0.0).astype(np.float32)


def rhythm_bits(table: MelodyTable) -> NDArray[np.float32]:
    """Bits of the inter-onset interval that follows each note; 0 where nothing came before."""
    place = _place_in_melody(table)
    iois = table.iois.astype(np.float64)
    ratio = iois[1:] / iois[:-1]
    classes = np.full(len(iois), _RATIO_CLASSES)
    classes[1:] = np.searchsorted(_RATIO_BOUNDS, ratio, side="right")
    bits = _surprisal(classes, place - 1, _RATIO_CLASSES, _RATIO_PRIOR, order=1)
    return np.where(place >= 1, bits, 0.0).astype(np.float32)


def _place_in_melody(table: MelodyTable) -> NDArray[np.int64]:
    return np.arange(len(table.pitches)) - np.repeat(table.starts[:-1], table.lengths)


def _surprisal(
    classes: NDArray[np.int64],
    history: NDArray[np.int64],
    class_count: int,
    prior: NDArray[np.float64],
    order: int,
) -> NDArray[np.float64]:
    """-log2 p of each class given up to `order` classes before it, as far as `history` reaches.

    Positions with a negative `history` have no class of their own; their value means nothing.
    """
    symbols = class_count + 1  # one more for "before the melody began"
    counted = history >= 0
    probability = np.broadcast_to((prior / prior.sum())[None], (1, class_count))
    context = np.zeros(len(classes), np.int64)
    for depth in range(order + 1):
        if depth:
            before = np.full(len(classes), class_count)
            before[depth:] = np.where(history[depth:] >= depth, classes[:-depth], class_count)
            # The farther class becomes the more significant digit of the context's number.
            context = before * symbols ** (depth - 1) + context
        contexts = symbols**depth
        cells = context[counted] * class_count + classes[counted]
        counts = np.bincount(cells, minlength=contexts * class_count)
        counts = counts.reshape(contexts, class_count)
        # Dropping the most significant digit of a context gives the context one order lower.
        lower = np.tile(probability, (contexts // len(probability), 1))
        probability = (counts + _PRIOR_WEIGHT * lower) / (
            counts.sum(axis=1, keepdims=True) + _PRIOR_WEIGHT
        )
    return -np.log2(probability[context, np.minimum(classes, class_count - 1)])
