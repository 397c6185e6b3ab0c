"""From a brief to a score: a plan, stretches written by the model, and their arrangement.

The plan says sections, players and chords; it is drawn anew (`_plan`) or taken from a score that is
there (`_source`). Each distinct stretch of chords is written once by the model, the fullest section
first, as best of k (`_writer`); the arranger makes a piece of them (`_arrange`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import symusic

from lofi.brief import Brief, Plan, find_mood
from lofi.music._arrange import Draft, arrange
from lofi.music._engine import Model
from lofi.music._plan import draw_plan
from lofi.music._sample import Sampling
from lofi.music._source import Source, continuation, variation
from lofi.music._writer import Copied, Order, Writer


@dataclass(frozen=True, slots=True)
class Composition:
    """A score with its plan, how each stretch was chosen, and what the arranger did to them."""

    score: symusic.Score
    plan: Plan
    choices: list[dict[str, object]]
    arrangement: list[dict[str, object]]


def generate(
    brief: Brief,
    model: Model,
    *,
    bars: int | None = None,
    source: Source | None = None,
    keep: tuple[str, ...] | None = None,
    sampling: Sampling,
    best_of: int = 4,
    threads: int = 1,
    copied: Copied | None = None,
    controls: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Composition:
    """Write a piece for a settled brief: of exactly `bars` bars, or as many as fit its duration.

    With a `source` the piece goes on from it; where parts to `keep` are named, those of the source
    stay as they are and all others are written anew. `copied` tells how many notes in a row a score
    has in common with the training corpus: what has fewer is preferred. Without `controls` the
    model plays by itself, told only who may play. Raises InputError for a brief that cannot be
    laid out.
    """
    if source is None:
        plan = draw_plan(brief, bars=bars)
        draft = Draft(plan, tuple(Order(s, str(i)) for i, s in enumerate(plan.sections)))
    elif keep is None:
        draft = continuation(source, brief)
    else:
        draft = variation(source, brief, keep)
    assert brief.mood
    writer = Writer(
        draft.plan,
        find_mood(brief.mood).bundle,
        model,
        sampling,
        seed=brief.seed,
        best_of=best_of,
        threads=threads,
        copied=copied,
        controls=controls,
    )
    score, arrangement = arrange(draft, writer.write(draft.orders, progress), brief)
    return Composition(score, draft.plan, writer.choices, arrangement)
