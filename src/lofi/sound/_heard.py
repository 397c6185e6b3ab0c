"""When what was written is heard: the renderer's own timing, for who sets pictures or marks to it.

Stems hold every note where it was written. The master has been on tape, whose unsteady speed makes
each moment some milliseconds late, here more and there less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lofi.brief import TAIL_S
from lofi.sound._characters import chance, draw_character
from lofi.sound._effects import tape_delay
from lofi.sound._filters import SAMPLE_RATE
from lofi.sound._score import Note, let_ring, read_score

if TYPE_CHECKING:
    import symusic


def heard_at(
    written_s: ArrayLike, *, bars: int, bpm: float, bundle: str, seed: int, tail_s: float = TAIL_S
) -> NDArray[np.float64]:
    """The seconds of the master at which these seconds of the score are heard.

    The other arguments are those of `render`. Nothing is heard after the master's end.
    """
    n_samples = round((bars * 240.0 / bpm + tail_s) * SAMPLE_RATE)
    tape = draw_character(bundle, seed).tape
    heard, delay = tape_delay(n_samples, chance(seed, "wow"), **tape)
    # The tape's speed never comes near zero, so the moments it plays rise and can be looked up.
    times: Any = np.interp(np.asarray(written_s) * SAMPLE_RATE, heard - delay, heard)
    return np.minimum(times, n_samples) / SAMPLE_RATE


def played_notes(
    score: symusic.Score, *, bars: int, bpm: float, tail_s: float = TAIL_S
) -> dict[str, list[Note]]:
    """The notes of each part as `render` plays them, before the tape; the last ones held.

    Raises InputError like `render`.
    """
    parts = read_score(score, bars=bars, bpm=bpm)
    let_ring(parts, end_s=bars * 240.0 / bpm, beat_s=60.0 / bpm, ring_s=tail_s)
    return {part: part_notes.notes for part, part_notes in parts.items()}
