"""A corpus of our own for those who have no MIDI: pieces of the rule composer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from lofi.brief import BUNDLES, MOODS, Brief, Key, subseed
from lofi.studio._catalogue import Card, write_card
from lofi.studio._files import write_bytes
from lofi.studio._workers import submit, worker_pool


def compose_corpus(
    out: Path, *, count: int, seed: int, progress: Callable[[int, int], None] | None = None
) -> int:
    """Write `count` pieces of the rule composer to `out`/*.mid; gives how many were new.

    Moods and keys rotate, tempo and length are drawn. A piece that is there is not written again.
    """
    out.mkdir(parents=True, exist_ok=True)
    card = Card(
        source=f"LoFi Empire rule composer, seed {seed}, {count} pieces",
        licence="Apache-2.0",
        attribution="LoFi Empire",
        tier="ship",
    )
    write_card(out, card)
    wanted = [
        (i, path) for i in range(count) if not (path := out / f"piece-{seed}-{i:05d}.mid").exists()
    ]
    done = count - len(wanted)
    workers = min(os.cpu_count() or 1, max(1, len(wanted) // 20))
    with worker_pool(workers) as pool:
        jobs = [submit(pool, _compose_one, str(path), seed, i) for i, path in wanted]
        for job in jobs:
            job.result()
            done += 1
            if progress:
                progress(done, count)
    return len(wanted)


def _compose_one(path: str, seed: int, index: int) -> None:
    import random

    from lofi.music import compose, midi_bytes

    # Every mood meets every tonic: 12 moods and 12 tonics, the one counted slower.
    piece = subseed(seed, "corpus", index) >> 1
    mood = MOODS[list(MOODS)[index % len(MOODS)]]
    chance = random.Random(piece)
    mode = "major" if chance.random() < BUNDLES[mood.bundle].major_share else "minor"
    key = Key((index // len(MOODS)) % 12, mode)
    brief = Brief(seed=piece, mood=mood.name, key=key).settled()
    score, plan = compose(brief, bars=chance.randrange(24, 49, 4))
    write_bytes(Path(path), midi_bytes(score, plan, mood.name))
