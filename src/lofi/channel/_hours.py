"""The best hours of the week for a release, learned from the channel's own figures.

What is seen of a release is its views 48 h after it went out. The model, per release i:

    log(views_i + 1) = level(t_i) + effect(h_i) + noise_i

`level` is how much the channel is watched at the time, a random walk that keeps to a mean
(Ornstein-Uhlenbeck over 60 days), so a growing channel does not make its latest hours look good.
`effect` is what the hour of the week does, 0 on average over the 168 hours: a Gaussian process on
the circle that is even in all hours before anything was seen. It is the sum of three parts with
shares in `_SHARES`: one of the hour of the day alone (all weekdays teach each other), one that
workdays and the weekend have each for themselves, and one that is smooth over the whole week.
`noise` is normal: views are log-normal about what is expected. How large effects and noise are is
not known either: both are integrated over a grid, weighed by how probable they make the figures.

All of it is exact but for the directions of the effect that hold 0.1 % of its variance, and the
level, which is a straight line between knots (regression on features: Rasmussen and Williams,
Gaussian Processes for Machine Learning, 2006, section 2.1). Choosing is Thompson sampling (Thompson
1933; Russo et al. 2018): draw effects from what is believed, take the best hour of that draw. Hours
of which little is known are tried now and then, bad ones hardly, and nothing has to be set.

Hours count from Monday 0:00 in the channel's time zone.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HOURS = 168
SEEN_AFTER_H = 48.0
MINIMUM = 10  # releases below which what is told is the prior and nearly nothing else
INTERVAL = 0.9
MOST = 1_000  # the newest releases are learned from

_SLACK_H = 6.0  # how far from 48 h a single figure may lie
_BETWEEN_H = 24.0  # and each of two between which it is read
_SHARES = (0.6, 0.25, 0.15)  # of the variance: hour of day, of workday or weekend, of the week
_SMOOTH_DAY = 0.7  # length scale on the circle of the day: 0.76 alike after 2 h, 0.13 after 6
_SMOOTH_WEEK = 0.19  # and on that of the week: 0.93 alike after 2 h, 0.50 after 6
_EFFECT_SDS = (0.1, 0.2, 0.35, 0.6)  # in log units: 0.35 is a factor of 1.42
_NOISE_SDS = (0.3, 0.5, 0.8, 1.2, 1.8)
_LEVEL_SD, _LEVEL_DAYS = 0.5, 60.0
_MEAN_SD = 2.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A release that was seen: when it went out, and its views 48 h later."""

    at: datetime
    views: float


@dataclass(frozen=True, slots=True)
class Hour:
    """What is believed of one hour of the week, as a factor on the views of an average hour.

    `factor` is that of the expected effect; the true one is from `low` to `high` with a probability
    of 90 %. `above` is the probability that the hour is better than the average one. `releases`
    were seen in this hour, `near` within two hours of it on any weekday.
    """

    hour: int
    factor: float
    low: float
    high: float
    above: float
    releases: int
    near: int


def hour_of_week(moment: datetime, zone: ZoneInfo) -> int:
    """0 to 167, from Monday 0:00 local time."""
    local = moment.astimezone(zone)
    return local.weekday() * 24 + local.hour


def views_after(
    published_at: datetime, points: Sequence[tuple[datetime, float]], after_h: float = SEEN_AFTER_H
) -> float | None:
    """Views that a release had `after_h` after it went out; None where that cannot be said.

    `points` are its views in all at some moments, in order. Between two of them, each at most 24 h
    away, the straight line is read; else one that is at most 6 h away stands for it.
    """
    wanted = published_at + timedelta(hours=after_h)
    place = bisect_left(points, wanted, key=lambda p: p[0])
    near = [
        (abs(at - wanted) / timedelta(hours=1), at, value)
        for at, value in points[max(0, place - 1) : place + 1]
        if at > published_at
    ]
    if len(near) == 2 and all(away <= _BETWEEN_H for away, _, _ in near):
        (left, _, before), (right, _, after) = near
        share = left / (left + right) if left + right else 0.0
        return max(0.0, before + (after - before) * share)
    close = [(away, value) for away, _, value in near if away <= _SLACK_H]
    return max(0.0, min(close)[1]) if close else None


# Learning --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BestHours:
    """What is believed of the hours of the week, after some releases.

    `weights` (pairs,): how probable each pair of effect and noise size is. `means` (pairs, 168) and
    `roots` (pairs, 168, features): of the effects (log units) under each; a root times its
    transpose is their covariance.
    """

    releases: int
    hours: tuple[Hour, ...]
    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    roots: NDArray[np.float64]

    @property
    def is_prior(self) -> bool:
        """Whether too little was seen for the hours to mean anything."""
        return self.releases < MINIMUM

    @property
    def best(self) -> Hour:
        """The hour with the highest expected effect; the earliest of several."""
        return max(self.hours, key=lambda h: (h.factor, -h.hour))

    def draw(self, seed: int) -> NDArray[np.float64]:
        """Effects of the 168 hours (log units) drawn from what is believed."""
        import numpy as np

        rng = np.random.default_rng(seed)
        pair = int(rng.choice(len(self.weights), p=self.weights))
        root = self.roots[pair]
        return self.means[pair] + root @ rng.standard_normal(root.shape[1])

    def choose(self, candidates: Sequence[datetime], zone: ZoneInfo, seed: int) -> datetime:
        """Thompson sampling: the candidate that is best in one draw; the earliest of equals."""
        effects = self.draw(seed)
        return max(sorted(candidates), key=lambda c: effects[hour_of_week(c, zone)])


def learn_hours(seen: Iterable[Seen], zone: ZoneInfo) -> BestHours:
    """What the releases that were seen say of the hours of the week, in a time zone.

    Only the newest 1,000 are used. Without any, it is the prior: every hour as good as any other.
    """
    import numpy as np

    newest = sorted(seen, key=lambda s: s.at)[-MOST:]
    at_hours = np.array([hour_of_week(s.at, zone) for s in newest], dtype=int)
    days = np.array([s.at.timestamp() for s in newest]) / 86_400
    logs = np.log1p([max(0.0, s.views) for s in newest])
    evidence, means, roots = _posteriors(at_hours, days, logs - logs.mean() if newest else logs)
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    return BestHours(
        releases=len(newest),
        hours=_told(weights, means, (roots**2).sum(axis=2), at_hours),
        weights=weights,
        means=means,
        roots=roots,
    )


@lru_cache(maxsize=1)
def _effects() -> NDArray[np.float64]:
    """Effects of the 168 hours as features (168, some 40) with weights of variance 1.

    Their product with their transpose says how alike two hours are before anything was seen: 1 for
    an hour with itself, on average; each column is 0 on average, as effects are relative to the
    average hour. The directions that hold 99.9 % of the variance are kept.
    """
    import numpy as np

    hour = np.arange(HOURS)
    day = _circle(hour, 24, _SMOOTH_DAY)
    weekend = hour >= 5 * 24
    of_day, of_kind, of_week = _SHARES
    kernel = (
        of_day * day
        + of_kind * day * (weekend[:, None] == weekend[None, :])
        + of_week * _circle(hour, HOURS, _SMOOTH_WEEK)
    )
    centre = np.eye(HOURS) - 1 / HOURS
    kernel = centre @ kernel @ centre
    values, vectors = np.linalg.eigh(kernel / kernel.diagonal().mean())
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    kept = int(np.searchsorted(np.cumsum(values), 0.999 * values.sum())) + 1
    return vectors[:, :kept] * np.sqrt(values[:kept])


def _circle(at: NDArray[Any], turn: int, scale: float) -> NDArray[np.float64]:
    """The periodic kernel of MacKay (1998) on a circle of `turn` steps."""
    import numpy as np

    apart = np.sin(np.pi * (at[:, None] - at[None, :]) / turn)
    return np.exp(-2 * (apart / scale) ** 2)


def _levels(days: NDArray[Any]) -> NDArray[np.float64]:
    """The channel's level on some days as features with weights of variance 1.

    A mean, and a random walk at knots (30 days apart, or as far as 60 knots reach) with straight
    lines between them.
    """
    import numpy as np

    mean = np.full((len(days), 1), _MEAN_SD)
    if not len(days):
        return mean
    span = days.max() - days.min()
    knots = np.linspace(days.min(), days.max(), 2 + min(58, int(span / _LEVEL_DAYS * 2)))
    hats = np.stack([np.interp(days, knots, row) for row in np.eye(len(knots))], axis=1)
    apart = np.abs(knots[:, None] - knots[None, :]) / _LEVEL_DAYS
    walk = _LEVEL_SD**2 * np.exp(-apart) + 1e-9 * np.eye(len(knots))
    return np.hstack([mean, hats @ np.linalg.cholesky(walk)])


def _posteriors(
    at_hours: NDArray[Any], days: NDArray[Any], logs: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """For each pair of sizes: log evidence, mean of the effects, root of their covariance.

    The work does not grow with the releases: they are in two sums of products.
    """
    import numpy as np
    from scipy.linalg import solve_triangular

    effects, levels = _effects(), _levels(days)
    count = effects.shape[1]
    features = np.hstack([effects[at_hours], levels])
    products, towards, squares = features.T @ features, features.T @ logs, logs @ logs
    evidence, means, roots = [], [], []
    for size in _EFFECT_SDS:
        scale = np.ones(features.shape[1])
        scale[:count] = size
        for noise in _NOISE_SDS:
            precision = np.eye(len(scale)) + products * np.outer(scale, scale) / noise**2
            pull = towards * scale / noise**2
            lower = np.linalg.cholesky(precision)
            half = solve_triangular(lower, pull, lower=True)
            root = solve_triangular(lower, np.eye(len(scale)), lower=True).T[:count]
            evidence.append(
                0.5 * (half @ half - squares / noise**2)
                - np.log(lower.diagonal()).sum()
                - len(logs) * np.log(noise)
            )
            means.append(size * effects @ (root @ half))
            roots.append(size * effects @ root)
    return np.array(evidence), np.stack(means), np.stack(roots)


def _told(
    weights: NDArray[Any],
    means: NDArray[Any],
    variances: NDArray[Any],
    at_hours: NDArray[Any],
) -> tuple[Hour, ...]:
    import numpy as np
    from scipy.special import ndtr

    variances = np.maximum(variances, 1e-12)
    above = weights @ ndtr(means / np.sqrt(variances))
    low = _quantile((1 - INTERVAL) / 2, weights, means, variances)
    high = _quantile((1 + INTERVAL) / 2, weights, means, variances)
    expected = weights @ means
    releases = np.bincount(at_hours, minlength=HOURS)
    of_day = np.bincount(at_hours % 24, minlength=24)
    near = np.sum([np.roll(of_day, shift) for shift in range(-2, 3)], axis=0)
    return tuple(
        Hour(
            hour=h,
            factor=math.exp(expected[h]),
            low=math.exp(low[h]),
            high=math.exp(high[h]),
            above=float(above[h]),
            releases=int(releases[h]),
            near=int(near[h % 24]),
        )
        for h in range(HOURS)
    )


def _quantile(
    share: float, weights: NDArray[Any], means: NDArray[Any], variances: NDArray[Any]
) -> NDArray[np.float64]:
    """A quantile of a mixture of normal distributions, for each hour, by bisection."""
    import numpy as np
    from scipy.special import ndtr

    sds = np.sqrt(variances)
    low, high = (means - 8 * sds).min(axis=0), (means + 8 * sds).max(axis=0)
    for _ in range(30):
        middle = (low + high) / 2
        below = weights @ ndtr((middle - means) / sds) < share
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2
