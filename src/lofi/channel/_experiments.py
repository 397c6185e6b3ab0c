"""Thumbnails or titles of one video, shown by turns: who is shown when, and when it is enough.

YouTube shows a video under one title and one thumbnail at a time, so the arms of an experiment
take turns of whole days. Each block has every arm once, in an order that is drawn: one that gives
an arm hours of the week in which it was shown less is drawn twice as readily as another (a biased
coin, Efron 1971, Biometrika 58), so the hours of the week are shared out evenly and the order
still is chance.

The evidence comes from that chance alone. Were two arms alike, the views would have come as they
came whichever of the two was shown first; only the coin says which arm gets the credit of the
better turn. A wager on it therefore wins nothing in the long run, whatever views do otherwise:
fall, come in waves, go viral. The wealth of such a wager is a martingale, and by Ville's
inequality it reaches 1/α with a probability of at most α, at whatever moment one looks and stops
(Shafer 2021, JRSS A 184; Zampieri 2025, arXiv:2512.04366). How much is put on a block depends on
how far apart its turns were, not on which arm was ahead.
"""

from __future__ import annotations

import math
import random
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations, permutations

from lofi.brief import InputError, subseed

EXPERIMENT_KINDS = ("thumbnail", "title")
EXPERIMENT_MEASURES = {
    "views_per_hour": "views per hour that the arm was shown",
    "click_rate": "clicks per time that the thumbnail was shown",
}
MOST_ARMS = 4
ALPHA = 0.05

_HOURS_OF_WEEK = 168
# How much is put on a block, by how strong a difference it is meant for: the mean over all of them
# wins where one of them does.
_STAKES = (0.25, 0.5, 1.0, 2.0, 4.0)
_LARGEST = 3.0  # a day that goes viral says no more than one that is so far from the usual
_WIDEST = math.log(4.0)  # ratios of two arms are looked for between 1/4 and 4
_STEPS = 60


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """When an experiment ends.

    Not before `min_blocks` blocks and `min_amount` views (or clicks) of every arm; then as soon as
    one arm is better than each other one with an error of at most `alpha` for the whole experiment,
    however often one looks. At the latest after `max_days`, without a winner.
    """

    alpha: float = ALPHA
    min_blocks: int = 4
    min_amount: float = 100.0
    max_days: float = 56.0
    turn_hours: int = 24

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha <= 0.2:
            raise InputError(f"an error of {self.alpha:g} cannot be. Allow 0.01 to 0.2.")
        if self.turn_hours not in (6, 12, 24, 48):
            raise InputError(f"turns of {self.turn_hours} h cannot be. Take 6, 12, 24 or 48.")
        if not 2 <= self.min_blocks <= 100:
            raise InputError(f"{self.min_blocks} blocks cannot be the least. Take 2 to 100.")
        if not 1.0 <= self.max_days <= 366.0:
            raise InputError(f"{self.max_days:g} days cannot be the most. Take 1 to 366.")
        if not 0.0 <= self.min_amount <= 1e9:
            raise InputError(f"{self.min_amount:g} views cannot be the least. Take 0 or more.")


@dataclass(frozen=True, slots=True)
class Draw:
    """The order of the arms in a block, and how readily each order was drawn.

    `weights` has one whole number for each of the `itertools.permutations(range(arms))`.
    """

    order: tuple[int, ...]
    weights: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A block that is over: what came of each of its turns, in the order of the turns.

    `amounts` are views or clicks, `out_of` hours or impressions.
    """

    draw: Draw
    amounts: tuple[float, ...]
    out_of: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """One arm against another.

    `ratio` is how much better (or below 1, worse) `arm` does than `other`, with an interval that
    holds at any moment with the confidence 1 - alpha for all pairs together; None is beyond a
    factor of 4. `evidence` is the wealth of the wager that `arm` is better, which is 1 at first.
    """

    arm: int
    other: int
    ratio: float
    low: float | None
    high: float | None
    evidence: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """Where an experiment stands. state: `running`, `decided`, `undecided`; `why` in words.

    `needed` is how much `evidence` a pair needs. `amounts` and `rates` are by arm.
    """

    state: str
    why: str
    winner: int | None
    blocks: int
    needed: float
    amounts: tuple[float, ...]
    rates: tuple[float | None, ...]
    pairs: tuple[Pair, ...]


# Who is shown when -------------------------------------------------------------------------------


def draw_block(
    arms: int,
    seed: int,
    block: int,
    begin: datetime,
    turn_hours: int,
    shown: Sequence[tuple[int, datetime, datetime]],
) -> Draw:
    """The order of a block that begins at `begin`; the same for the same arguments.

    `shown` is (arm, from, until) of all turns before. Raises InputError for too few or many arms.
    """
    if not 2 <= arms <= MOST_ARMS:
        raise InputError(f"{arms} arms cannot take turns: there must be 2 to {MOST_ARMS}.")
    turn = timedelta(hours=turn_hours)
    places = [_of_week(begin + i * turn, begin + (i + 1) * turn) for i in range(arms)]
    # How long each arm was shown already in the hours of the week that a place has.
    before = [[0.0] * arms for _ in range(arms)]
    for arm, start, until in shown:
        span = _of_week(start, until)
        for i, place in enumerate(places):
            before[arm][i] += _shared(span, place)
    crowded = [
        sum(before[arm][i] for i, arm in enumerate(order)) for order in permutations(range(arms))
    ]
    least = min(crowded)
    weights = tuple(2 if c <= least + 1e-9 else 1 for c in crowded)
    if len(set(weights)) == 1:
        weights = (1,) * len(weights)
    chance = random.Random(subseed(seed, "experiment", block))
    order = chance.choices(list(permutations(range(arms))), weights)[0]
    return Draw(order, weights)


def _of_week(start: datetime, until: datetime) -> tuple[float, float]:
    """From which hour of the week a time lasts, and how long."""
    hour = start.weekday() * 24 + start.hour + start.minute / 60
    return hour, (until - start) / timedelta(hours=1)


def _shared(a: tuple[float, float], b: tuple[float, float]) -> float:
    """How many hours of the week two times have in common, each less than a week long."""
    return sum(
        max(0.0, min(a[0] + a[1], b[0] + b[1] + week) - max(a[0], b[0] + week))
        for week in (-_HOURS_OF_WEEK, 0, _HOURS_OF_WEEK)
    )


# When it is enough -------------------------------------------------------------------------------


def judge(
    blocks: Sequence[Block],
    arms: int,
    rule: StoppingRule,
    *,
    elapsed_days: float,
    what: str = "views",
) -> Judgement:
    """Where the experiment stands after these blocks, the oldest first."""
    needed = arms * (arms - 1) / rule.alpha
    totals, rates = _by_arm(blocks, arms)
    pairs = tuple(
        pair for a, b in combinations(range(arms), 2) for pair in _pairs(blocks, a, b, needed)
    )

    def told(state: str, why: str, winner: int | None = None) -> Judgement:
        return Judgement(state, why, winner, len(blocks), needed, totals, rates, pairs)

    if len(blocks) >= rule.min_blocks and min(totals) >= rule.min_amount:
        for arm in range(arms):
            if all(p.evidence >= needed for p in pairs if p.arm == arm):
                return told("decided", "it is better than each other one", arm)
    if elapsed_days >= rule.max_days:
        return told(
            "undecided", f"after {rule.max_days:g} days no arm has proved better than the others"
        )
    if len(blocks) < rule.min_blocks:
        return told("running", f"{len(blocks)} of at least {rule.min_blocks} blocks are over")
    if min(totals) < rule.min_amount:
        return told("running", f"an arm has fewer than {rule.min_amount:g} {what}")
    return told("running", "the evidence does not suffice yet")


def evidence(blocks: Sequence[Block], arm: int, other: int, ratio: float = 1.0) -> list[float]:
    """The wealth after each block of the wager that `arm` does better than `ratio` times `other`.

    It is a martingale that begins at 1 if `arm` does exactly `ratio` times as well.
    """
    return _wealth(_differences(blocks, arm, other), math.log(ratio))


def _by_arm(
    blocks: Sequence[Block], arms: int
) -> tuple[tuple[float, ...], tuple[float | None, ...]]:
    amounts, out_of = [0.0] * arms, [0.0] * arms
    for block in blocks:
        for arm, amount, of in zip(block.draw.order, block.amounts, block.out_of, strict=True):
            amounts[arm] += amount
            out_of[arm] += of
    rates = tuple(a / o if o > 0 else None for a, o in zip(amounts, out_of, strict=True))
    return tuple(amounts), rates


def _pairs(blocks: Sequence[Block], a: int, b: int, needed: float) -> tuple[Pair, Pair]:
    """Two arms, seen from either."""
    apart = _differences(blocks, a, b)
    if not apart:
        return Pair(a, b, 1.0, None, None, 1.0), Pair(b, a, 1.0, None, None, 1.0)
    mirrored = [(-d, chance) for d, chance in apart]
    # The ratios that neither wager speaks against: every one of them at once, at any moment.
    left = [
        step
        for step in (_WIDEST * i / _STEPS for i in range(-_STEPS, _STEPS + 1))
        if _wealth(apart, step)[-1] < needed and _wealth(mirrored, -step)[-1] < needed
    ]
    middle = _middle(sorted(d for d, _ in apart))
    least, most = (left[0], left[-1]) if left else (middle, middle)
    low = None if least <= -_WIDEST else math.exp(least)
    high = None if most >= _WIDEST else math.exp(most)
    return (
        Pair(a, b, math.exp(middle), low, high, _wealth(apart, 0.0)[-1]),
        Pair(
            b, a, math.exp(-middle), high and 1 / high, low and 1 / low, _wealth(mirrored, 0.0)[-1]
        ),
    )


def _differences(blocks: Sequence[Block], arm: int, other: int) -> list[tuple[float, float]]:
    """By block: the logarithm of how much better `arm` did, and how likely this order of the two
    was among the two that differ in nothing else.
    """
    found = []
    for block in blocks:
        order = block.draw.order
        orders = list(permutations(range(len(order))))
        swapped = tuple({arm: other, other: arm}.get(a, a) for a in order)
        here, there = (block.draw.weights[orders.index(o)] for o in (order, swapped))
        mine, its = order.index(arm), order.index(other)
        # Half a view more, so that a turn without any has a logarithm.
        ahead = math.log((block.amounts[mine] + 0.5) / max(block.out_of[mine], 1e-9)) - math.log(
            (block.amounts[its] + 0.5) / max(block.out_of[its], 1e-9)
        )
        found.append((ahead, here / (here + there)))
    return found


def _wealth(apart: Sequence[tuple[float, float]], null: float) -> list[float]:
    """After each block, the mean wealth over all stakes."""
    wealth = [1.0] * len(_STAKES)
    sizes: list[float] = []
    course = []
    for difference, chance in apart:
        ahead = difference - null
        insort(sizes, abs(ahead))
        usual = _middle(sizes)
        size = min(abs(ahead) / usual, _LARGEST) if usual > 0 else 0.0
        # With an uneven coin the likelier side pays less, so that the wager stays fair.
        up = chance if ahead > 0 else 1.0 - chance
        pays, costs = (1.0 - up) / max(up, 1.0 - up), up / max(up, 1.0 - up)
        for i, stake in enumerate(_STAKES):
            at_risk = math.tanh(stake * size)
            wealth[i] *= 1.0 + at_risk * pays if ahead > 0 else 1.0 - at_risk * costs
        course.append(sum(wealth) / len(wealth))
    return course


def _middle(ordered: Sequence[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
