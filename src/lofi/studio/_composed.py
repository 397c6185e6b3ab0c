"""A corpus of our own for those who have no MIDI: pieces of the rule composer."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lofi.brief import BUNDLES, MOODS, Brief, Key, subseed
from lofi.studio._catalogue import Card, write_card
from lofi.studio._files import write_bytes
from lofi.studio._workers import submit, worker_pool

if TYPE_CHECKING:
    import symusic

ATTEMPTS = 20  # pieces drawn in place of one whose melody was written before
SAMPLE = 2000  # pieces by which the diversity of a corpus is measured


def compose_corpus(
    out: Path, *, count: int, seed: int, progress: Callable[[int, int], None] | None = None
) -> int:
    """Write `count` pieces of the rule composer to `out`/*.mid; gives how many were new.

    Moods and keys rotate, tempo and length are drawn. No two pieces share eight bars of melody,
    transposition aside: one that would is drawn again. A piece that is there is not written again.
    """
    from lofi.music import melody_windows, read_midi

    out.mkdir(parents=True, exist_ok=True)
    card = Card(
        source=f"LoFi Empire rule composer, seed {seed}, {count} pieces",
        licence="Apache-2.0",
        attribution="LoFi Empire",
        tier="ship",
    )
    write_card(out, card)
    paths = [out / f"piece-{seed}-{i:05d}.mid" for i in range(count)]
    missing = [i for i, path in enumerate(paths) if not path.exists()]
    heard: set[bytes] = set()
    with worker_pool(min(os.cpu_count() or 1, max(1, len(missing) // 20))) as pool:
        jobs = {i: submit(pool, _compose_one, seed, i, 0) for i in missing}
        # In the order of their numbers, whoever finishes first: the same seed, the same corpus.
        for i, path in enumerate(paths):
            if i in jobs:
                data, windows = jobs.pop(i).result()
                for attempt in range(1, ATTEMPTS):
                    if heard.isdisjoint(windows):
                        break
                    data, windows = _compose_one(seed, i, attempt)
                write_bytes(path, data)
            else:
                windows = melody_windows(read_midi(path)[0])
            heard |= windows
            if progress:
                progress(i + 1, count)
    return len(missing)


def _compose_one(seed: int, index: int, attempt: int) -> tuple[bytes, set[bytes]]:
    from lofi.music import compose, melody_windows, midi_bytes

    # Every mood meets every tonic: 12 moods and 12 tonics, the one counted slower.
    labels = (index, attempt) if attempt else (index,)
    piece = subseed(seed, "corpus", *labels) >> 1
    mood = MOODS[list(MOODS)[index % len(MOODS)]]
    chance = random.Random(piece)
    mode = "major" if chance.random() < BUNDLES[mood.bundle].major_share else "minor"
    key = Key((index // len(MOODS)) % 12, mode)
    brief = Brief(seed=piece, mood=mood.name, key=key).settled()
    score, plan = compose(brief, bars=chance.randrange(24, 49, 4))
    return midi_bytes(score, plan, mood.name), melody_windows(score)


def corpus_diversity(folder: Path) -> dict[str, float]:
    """How different the pieces of a folder are, by `lofi.music.diversity`; of 2,000 at most."""
    from lofi.music import diversity, read_midi

    paths = sorted(folder.glob("*.mid"))
    step = max(1, -(-len(paths) // SAMPLE))

    def scores() -> Iterator[symusic.Score]:
        for path in paths[::step]:
            yield read_midi(path)[0]

    return diversity(scores())
