"""How well a model follows the brief: tracks over all moods and keys, measured from their notes.

    python benchmarks/model.py [MODEL]      # the shipped model if left out

Beside it stands the rule composer, whose corpus the model learned from, on the same briefs.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from lofi.brief import ALL_KEYS, MOODS, Brief, Key, find_mood
from lofi.music import (
    Sampling,
    compose,
    generate,
    measure,
    notes_by_part,
    open_model,
)
from lofi.music._theory import Chord
from lofi.music._writer import rate

BARS = 16


def figures(score, plan, brief: Brief) -> dict[str, float]:
    told = measure(score)
    assert brief.key
    assert brief.mood
    parts = notes_by_part(score)
    asked = {p for s in plan.sections for p in s.parts}
    chords = [Chord.parse(c) for s in plan.sections for c in s.chords]
    quality = rate(parts, chords, plan.key, {}, plan.bars)
    return {
        "bars exact": float(told.bars == plan.bars == BARS),
        "bpm exact": float(abs(told.bpm - (brief.bpm or 0)) < 0.01),
        "key: same diatonic set": float(
            told.key is not None and set(Key.parse(told.key).scale) == set(brief.key.scale)
        ),
        "mood bundle recognised": float(told.bundle == find_mood(brief.mood).bundle),
        "instruments as planned": float(set(parts) == asked),
        "consonance (1: all chord tones)": quality["consonance"],
        "presence (no gaps: 1)": quality["presence"],
        "notes per beat": told.density,
    }


def main() -> None:
    model = open_model(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    rows: dict[str, list[dict[str, float]]] = {"model": [], "rule composer": []}
    spent = 0.0
    for i, key in enumerate(ALL_KEYS * 2):
        mood = list(MOODS)[i % len(MOODS)]
        brief = Brief(seed=1000 + i, mood=mood, key=key).settled()
        start = time.process_time()
        made = generate(brief, model, bars=BARS, sampling=Sampling(), threads=1)
        spent += time.process_time() - start
        rows["model"].append(figures(made.score, made.plan, brief))
        score, plan = compose(brief, bars=BARS)
        rows["rule composer"].append(figures(score, plan, brief))
    count = len(rows["model"])
    print(f"{count} tracks of {BARS} bars; {spent / count:.1f} CPU-seconds each, best of 4\n")
    print("| measured from the notes | model | rule composer |\n|---|---|---|")
    for name in rows["model"][0]:
        cells = [np.array([r[name] for r in found]) for found in rows.values()]
        print(f"| {name} | " + " | ".join(f"{c.mean():.2f}" for c in cells) + " |")


if __name__ == "__main__":
    main()
