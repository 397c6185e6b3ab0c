"""From a brief to a score: a plan, stretches written by the model, and their arrangement.

The plan says sections, players and chords. Each distinct stretch of chords is written once by the
model, the fullest section first, as best of k; sections that return reuse its bars with fewer
players or a new melody. The last bar is a held chord, so that the piece ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import symusic

from lofi.brief import Brief, Plan, find_mood, subseed
from lofi.music._engine import Model
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT
from lofi.music._plan import draw_plan
from lofi.music._recognise import Notes, notes_by_part
from lofi.music._sample import Sampling
from lofi.music._theory import Chord
from lofi.music._writer import Copied, Order, Writer, clipped, score_of


@dataclass(frozen=True, slots=True)
class Composition:
    """A score with its plan, and how each stretch was chosen."""

    score: symusic.Score
    plan: Plan
    choices: list[dict[str, object]]


def generate(
    brief: Brief,
    model: Model,
    *,
    bars: int,
    sampling: Sampling,
    best_of: int = 4,
    threads: int = 1,
    copied: Copied | None = None,
    controls: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Composition:
    """Write a piece of exactly `bars` bars for a settled brief.

    `copied` tells how many notes in a row a score has in common with the training corpus: what has
    fewer is preferred. Without `controls` the model plays by itself, told only who may play.
    """
    plan = draw_plan(brief, bars=bars)
    assert brief.mood
    writer = Writer(
        plan,
        find_mood(brief.mood).bundle,
        model,
        sampling,
        seed=brief.seed,
        best_of=best_of,
        threads=threads,
        copied=copied,
        controls=controls,
    )
    orders = [Order(section, str(i)) for i, section in enumerate(plan.sections)]
    score = _arrange(plan, writer.write(orders, progress))
    score = _with_ending(score, plan)
    return Composition(_humanised(score, plan, brief.seed), plan, writer.choices)


def _arrange(plan: Plan, pieces: list[list[tuple[int, dict[str, Notes]]]]) -> symusic.Score:
    """Lay the stretches end to end."""
    columns: dict[str, list[Notes]] = {}
    for index, section in enumerate(plan.sections):
        for offset, parts in pieces[index]:
            start = (section.start_bar + offset) * TICKS_PER_BAR
            for name, n in parts.items():
                moved = Notes(n.onset + start, n.length, n.pitch, n.velocity)
                columns.setdefault(name, []).append(moved)
    return score_of({name: _joined(found) for name, found in columns.items()}, plan.bpm)


def _joined(found: list[Notes]) -> Notes:
    return Notes(
        *(
            np.concatenate([getattr(n, f) for n in found])
            for f in ("onset", "length", "pitch", "velocity")
        )
    )


def _with_ending(score: symusic.Score, plan: Plan) -> symusic.Score:
    """Replace the last bar by its chord, held: an ending that ends."""
    last = (plan.bars - 1) * TICKS_PER_BAR
    outro = plan.sections[-1]
    chord = Chord.parse(outro.chords[-2])
    parts = notes_by_part(score)
    for name, notes in parts.items():
        parts[name] = clipped(notes.within(0, last), last)
    # The voicing nearest to what the keys played last, root left to the bass.
    keys = parts.get("keys")
    centre = float(keys.pitch[-12:].mean()) if keys is not None and len(keys) else 62.0
    centre = min(max(centre, 56.0), 68.0)
    pitches = sorted(
        min((p for p in range(45, 82) if p % 12 == pc), key=lambda p: abs(p - centre))
        for pc in chord.pitch_classes[1:]
    )
    holder = "keys" if "keys" in outro.parts or "pad" not in outro.parts else "pad"
    loudness = keys.velocity[-12:].mean() if keys is not None and len(keys) else 60
    velocity = int(min(max(loudness, 40), 84))
    _append(
        parts, holder, [(last, TICKS_PER_BAR, p, velocity - 4 * i) for i, p in enumerate(pitches)]
    )
    root = next(p for p in range(36, 48) if p % 12 == chord.root)
    if "bass" in parts:
        _append(parts, "bass", [(last, TICKS_PER_BAR, root, velocity)])
    else:
        _append(parts, holder, [(last, TICKS_PER_BAR, root + 12, velocity)])
    if "drums" in outro.parts:
        _append(parts, "drums", [(last, TICKS_PER_BEAT // 4, 36, velocity)])
    return score_of(parts, plan.bpm)


def _append(parts: dict[str, Notes], name: str, rows: list[tuple[int, int, int, int]]) -> None:
    new = Notes(*np.array(rows, np.int64).T)
    parts[name] = _joined([parts[name], new]) if name in parts else new


def _humanised(score: symusic.Score, plan: Plan, seed: int) -> symusic.Score:
    """Small seeded deviations that a grid of twelve steps a beat cannot hold.

    Pitched parts within about 10 ms, the snare 4-14 ms late as lo-fi drummers lay it back,
    velocities within 5. Then no note runs into the next strike of its own pitch.
    """
    rng = np.random.default_rng(subseed(seed, "humanise"))
    ms = plan.bpm * TICKS_PER_BEAT / 60_000  # ticks per millisecond
    late = float(rng.uniform(4, 14)) * ms
    parts = {}
    for name, n in notes_by_part(score).items():
        spread = (2.0 if name == "drums" else 4.0) * ms
        shift = np.clip(rng.normal(0, spread, len(n)), -2.5 * spread, 2.5 * spread)
        if name == "drums":
            shift = shift + np.where(np.isin(n.pitch, (37, 38, 39, 40)), late, 0)
        onset = np.maximum(0, n.onset + np.round(shift).astype(np.int64))
        onset = np.where(n.onset % TICKS_PER_BAR == 0, np.maximum(onset, n.onset), onset)
        velocity = np.clip(n.velocity + rng.integers(-5, 6, len(n)), 8, 124)
        parts[name] = _separated(Notes(onset, n.length, n.pitch, velocity))
    return score_of(parts, plan.bpm)


def _separated(notes: Notes) -> Notes:
    order = np.lexsort((notes.onset, notes.pitch))
    onset, pitch = notes.onset[order], notes.pitch[order]
    length = np.maximum(1, notes.length[order])
    same = np.flatnonzero(pitch[1:] == pitch[:-1])
    length[same] = np.minimum(length[same], np.maximum(1, onset[same + 1] - onset[same]))
    back = np.lexsort((pitch, onset))
    return Notes(onset[back], length[back], pitch[back], notes.velocity[order][back])
