"""What goes with more views: releases grouped by what they are like, compared at equal age.

Small groups are drawn towards the typical release, the more so the fewer and the more unlike their
members are (a normal hierarchical model: Gelman et al., Bayesian Data Analysis, 3rd ed., ch. 5.4;
that shrinkage also answers for looking at many groups at once: Gelman, Hill and Yajima 2012,
J. Res. Educ. Eff. 5). What varies within and between groups is not plugged in but integrated over.
Of how releases scatter something is believed beforehand (`usual`): two that happen to have the same
views do not make an interval of nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

FEWEST = 4  # releases of a group that anything is said about
FEWEST_IN_ALL = 8
CONFIDENCE = 0.9
USUAL_LOG = 0.7  # releases have half or twice the views of the typical one

_GRID = 40
_PIECES = 60  # of the bisection that finds a quantile


@dataclass(frozen=True, slots=True)
class Scale:
    """How a figure is compared: on which scale groups differ by adding something."""

    there: Callable[[float], float]
    back: Callable[[float], float]
    by_factor: bool  # whether that something is a factor of the figure


def _log(value: float) -> float:
    return math.log1p(max(value, 0.0))


def _unlog(value: float) -> float:
    return max(0.0, math.expm1(min(value, 50.0)))


SCALES = {
    "log": Scale(_log, _unlog, by_factor=True),
    "plain": Scale(lambda value: value, lambda value: value, by_factor=False),
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A group: the figure of its typical release with an interval, and how it stands out.

    `effect` is a factor (1 is none) or a difference (0 is none) from the typical release of all
    groups. `says`: `above`, `below` or `unclear` where there are at least FEWEST, else `few`.
    """

    value: str
    n: int
    estimate: float
    low: float
    high: float
    effect: float
    effect_low: float
    effect_high: float
    says: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Groups, the one with the most releases first, and what is typical of them all.

    `enough` is False where there are fewer than two groups or FEWEST_IN_ALL releases: then no group
    says more than `few`.
    """

    n: int
    typical: float | None
    enough: bool
    groups: tuple[Estimate, ...]


def compare_groups(
    groups: Mapping[str, Sequence[float]],
    *,
    scale: str = "log",
    usual: float = USUAL_LOG,
    level: float = CONFIDENCE,
) -> Comparison:
    """Compare the figures of groups of releases; intervals hold with the probability `level`.

    `usual` is how releases of a channel scatter about what is typical (a standard deviation, on the
    scale) as far as one knows beforehand: within a factor of 2.7 either way, with 95 %.
    """
    import numpy as np
    from scipy.special import ndtr

    kind = SCALES[scale]
    named = {name: [kind.there(v) for v in values] for name, values in groups.items() if values}
    total = sum(map(len, named.values()))
    if not total:
        return Comparison(0, None, enough=False, groups=())
    sizes = np.array([len(v) for v in named.values()], float)
    means = np.array([np.mean(v) for v in named.values()])
    within = sum(float(np.sum((np.asarray(v) - np.mean(v)) ** 2)) for v in named.values())
    inner, outer = (
        grid.ravel()
        for grid in np.meshgrid(
            usual * np.geomspace(0.1, 10.0, _GRID), usual * np.linspace(0.0, 3.0, _GRID)
        )
    )
    weight = _log_posterior(inner, outer, usual, sizes, means, within, total)
    weight = np.exp(weight - weight.max())
    keep = weight > 1e-6 * weight.max()
    inner, outer, weight = inner[keep], outer[keep], weight[keep] / weight[keep].sum()

    own = inner[:, None] ** 2 / sizes
    spread_of_mean = own + outer[:, None] ** 2
    grand_spread = 1.0 / (1.0 / spread_of_mean).sum(axis=1)
    grand = grand_spread * (means / spread_of_mean).sum(axis=1)
    drawn = own / spread_of_mean  # 1: all the way to what is typical
    middle = drawn * grand[:, None] + (1.0 - drawn) * means
    deviation = np.sqrt((1.0 - drawn) * own + drawn**2 * grand_spread[:, None])
    beyond = (1.0 - drawn) * (means - grand[:, None])
    beyond_deviation = np.sqrt((1.0 - drawn) * own + (1.0 - drawn) ** 2 * grand_spread[:, None])

    def quantile(centres: np.ndarray, deviations: np.ndarray, share: float) -> np.ndarray:
        reach = 10.0 * deviations.max() + 1e-9
        low, high = centres.min(axis=0) - reach, centres.max(axis=0) + reach
        wide = np.maximum(deviations, 1e-12)
        for _ in range(_PIECES):
            at = (low + high) / 2
            below = weight @ ndtr((at - centres) / wide) < share
            low, high = np.where(below, at, low), np.where(below, high, at)
        return (low + high) / 2

    tail = (1.0 - level) / 2
    values = [quantile(middle, deviation, s) for s in (0.5, tail, 1.0 - tail)]
    effects = [quantile(beyond, beyond_deviation, s) for s in (0.5, tail, 1.0 - tail)]
    enough = len(named) > 1 and total >= FEWEST_IN_ALL
    found = []
    for i, name in enumerate(named):
        estimate, low, high = (kind.back(float(v[i])) for v in values)
        effect, least, most = (_effect(float(e[i]), kind) for e in effects)
        none = 1.0 if kind.by_factor else 0.0
        says = "above" if least > none else "below" if most < none else "unclear"
        n = int(sizes[i])
        if not enough or n < FEWEST:
            says = "few"
        found.append(Estimate(name, n, estimate, low, high, effect, least, most, says))
    found.sort(key=lambda e: (-e.n, e.value))
    typical = kind.back(float(weight @ grand))
    return Comparison(total, typical, enough, tuple(found))


def _log_posterior(
    inner: Any, outer: Any, usual: float, sizes: Any, means: Any, within: float, total: int
) -> Any:
    """Of the spreads within (`inner`) and between groups, what is typical being integrated over."""
    import numpy as np

    spread_of_mean = inner[:, None] ** 2 / sizes + outer[:, None] ** 2
    grand_spread = 1.0 / (1.0 / spread_of_mean).sum(axis=1)
    grand = grand_spread * (means / spread_of_mean).sum(axis=1)
    between = ((means - grand[:, None]) ** 2 / spread_of_mean).sum(axis=1)
    likelihood = (
        -(total - len(sizes)) * np.log(inner)
        - within / (2 * inner**2)
        + 0.5 * np.log(grand_spread)
        - 0.5 * np.log(spread_of_mean).sum(axis=1)
        - 0.5 * between
    )
    prior = -0.5 * (np.log(inner / usual) / 0.5) ** 2 - 0.5 * (outer / (0.6 * usual)) ** 2
    return likelihood + prior


def _effect(value: float, kind: Scale) -> float:
    return math.exp(min(value, 50.0)) if kind.by_factor else value


# At equal age ------------------------------------------------------------------------------------


def amount_at_age(
    published_at: datetime,
    totals: Sequence[tuple[datetime, float]],
    days: Sequence[tuple[datetime, float]],
    known_until: datetime | None,
    age: timedelta,
) -> float | None:
    """How much of something had come `age` after publication; None where that is not known.

    From `totals`, the whole amount as read at moments, where one was read at most a day before
    that moment and one after it; else from `days`, (start of a day, amount of that day), of which
    there is everything before `known_until`. Between two moments it is taken to come evenly.
    """
    at = published_at + age
    read = sorted((t, v) for t, v in totals if t > published_at)
    before = [(t, v) for t, v in read if t <= at]
    after = [(t, v) for t, v in read if t >= at]
    if after and (before or after[0][0] - published_at <= timedelta(days=1)):
        start = before[-1] if before else (published_at, 0.0)
        if after[0][0] - start[0] <= timedelta(days=2):
            return _between(start, after[0], at)
    if known_until is None or known_until < at:
        return None
    amount = 0.0
    for start, value in days:
        begin, end = max(start, published_at), start + timedelta(days=1)
        if end > published_at and begin < at:
            share = (min(end, at) - begin) / (end - begin)
            amount += value * share
    return amount


def _between(start: tuple[datetime, float], end: tuple[datetime, float], at: datetime) -> float:
    if end[0] <= start[0]:
        return end[1]
    share = (at - start[0]) / (end[0] - start[0])
    return start[1] + share * (end[1] - start[1])


# Over time ---------------------------------------------------------------------------------------

FEWEST_DAYS = 14


@dataclass(frozen=True, slots=True)
class Trend:
    """How a daily figure changes: the factor from one week to the next, with an interval.

    `says`: `rising`, `falling`, `unclear`, or `few` days (then the factor is None).
    """

    days: int
    per_week: float | None
    low: float | None
    high: float | None
    says: str


def trend(values: Sequence[float], *, level: float = CONFIDENCE) -> Trend:
    """The trend of a daily figure, oldest first: the median of all slopes of its logarithm.

    Theil-Sen (Sen 1968, JASA 63): a day that went viral does not move it. Whole weeks are looked
    at, so that weekends tilt nothing.
    """
    from statistics import NormalDist, median

    n = len(values) // 7 * 7
    if n < FEWEST_DAYS:
        return Trend(len(values), None, None, None, "few")
    logs = [math.log1p(max(v, 0.0)) for v in values[-n:]]
    slopes = sorted((logs[j] - logs[i]) / (j - i) for j in range(n) for i in range(j))
    # How many of the slopes lie between the ends of the interval: Kendall's statistic is normal.
    spread = NormalDist().inv_cdf(0.5 + level / 2) * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    first = max(0, round((len(slopes) - spread) / 2))
    last = min(len(slopes) - 1, round((len(slopes) + spread) / 2))
    factor, least, most = (math.exp(7 * s) for s in (median(slopes), slopes[first], slopes[last]))
    says = "rising" if least > 1.0 else "falling" if most < 1.0 else "unclear"
    return Trend(n, factor, least, most, says)
