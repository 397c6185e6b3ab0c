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

All of it is exact (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eq. 2.23
to 2.30). Choosing is Thompson sampling (Thompson 1933; Russo et al. 2018): draw effects from what
is believed, take the best hour of that draw. Hours of which little is known are tried now and then,
bad ones hardly, and nothing has to be set.

Hours count from Monday 0:00 in the channel's time zone.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HOURS = 168
SEEN_AFTER_H = 48.0
MINIMUM = 10  # releases below which what is told is the prior and nearly nothing else
INTERVAL = 0.9
MOST = 400  # the newest releases are learned from: the work grows with their cube

_SLACK_H = 6.0  # how far from 48 h a single figure may lie
_BETWEEN_H = 24.0  # and each of two between which it is read
_SHARES = (0.6, 0.25, 0.15)  # of the variance: hour of day, of workday or weekend, of the week
_SMOOTH_DAY = 0.7  # length scale on the circle of the day: 0.76 alike after 2 h, 0.13 after 6
_SMOOTH_WEEK = 0.19  # and on that of the week: 0.93 alike after 2 h, 0.50 after 6
_EFFECT_SDS = (0.05, 0.15, 0.3, 0.6)  # in log units: 0.3 is a factor of 1.35
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

    `weights`: how probable each pair of effect and noise size is. `means` (pairs, 168) and
    `covariances` (pairs, 168, 168): of the effects (log units) under each.
    """

    releases: int
    hours: tuple[Hour, ...]
    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]

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
        # Of a covariance that may be singular: effects are 0 on average, so one hour follows.
        values, vectors = np.linalg.eigh(self.covariances[pair])
        spread = np.sqrt(np.maximum(values, 0.0)) * rng.standard_normal(HOURS)
        return self.means[pair] + vectors @ spread

    def choose(self, candidates: Sequence[datetime], zone: ZoneInfo, seed: int) -> datetime:
        """Thompson sampling: the candidate that is best in one draw; the earliest of equals."""
        effects = self.draw(seed)
        return max(sorted(candidates), key=lambda c: effects[hour_of_week(c, zone)])


def learn_hours(seen: Iterable[Seen], zone: ZoneInfo) -> BestHours:
    """What the releases that were seen say of the hours of the week, in a time zone.

    Only the newest 400 are used. Without any, it is the prior: every hour as good as any other.
    """
    import numpy as np

    newest = sorted(seen, key=lambda s: s.at)[-MOST:]
    at_hours = np.array([hour_of_week(s.at, zone) for s in newest], dtype=int)
    kernel = _kernel()
    if not newest:
        pairs = [(0.0, np.zeros(HOURS), kernel * effect**2) for effect in _EFFECT_SDS]
    else:
        days = np.array([s.at.timestamp() for s in newest]) / 86_400
        logs = np.log1p([max(0.0, s.views) for s in newest])
        pairs = _posteriors(kernel, at_hours, days, logs - logs.mean())
    evidence = np.array([p[0] for p in pairs])
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    means = np.stack([p[1] for p in pairs])
    covariances = np.stack([p[2] for p in pairs])
    return BestHours(
        releases=len(newest),
        hours=_told(weights, means, covariances, at_hours),
        weights=weights,
        means=means,
        covariances=covariances,
    )


def _kernel() -> NDArray[np.float64]:
    """How alike the effects of two hours are before anything was seen: (168, 168), mean 1 and 0
    on average in each row, as effects are relative to the average hour.
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
    centred = centre @ kernel @ centre
    return centred / centred.diagonal().mean()


def _circle(at: NDArray[Any], turn: int, scale: float) -> NDArray[np.float64]:
    """The periodic kernel of MacKay (1998) on a circle of `turn` steps."""
    import numpy as np

    apart = np.sin(np.pi * (at[:, None] - at[None, :]) / turn)
    return np.exp(-2 * (apart / scale) ** 2)


def _posteriors(
    kernel: NDArray[Any], at_hours: NDArray[Any], days: NDArray[Any], logs: NDArray[Any]
) -> list[tuple[float, NDArray[Any], NDArray[Any]]]:
    """For each pair of sizes: log evidence, mean and covariance of the effects."""
    import numpy as np
    from scipy.linalg import cho_factor, cho_solve

    apart = np.abs(days[:, None] - days[None, :])
    level = _MEAN_SD**2 + _LEVEL_SD**2 * np.exp(-apart / _LEVEL_DAYS)
    across, among = kernel[:, at_hours], kernel[np.ix_(at_hours, at_hours)]
    found = []
    for effect in _EFFECT_SDS:
        for noise in _NOISE_SDS:
            total = effect**2 * among + level + noise**2 * np.eye(len(logs))
            factor = cho_factor(total, lower=True)
            solved = cho_solve(factor, logs)
            evidence = -0.5 * logs @ solved - np.log(factor[0].diagonal()).sum()
            gain = effect**2 * across
            mean = gain @ solved
            covariance = effect**2 * kernel - gain @ cho_solve(factor, gain.T)
            found.append((float(evidence), mean, covariance))
    return found


def _told(
    weights: NDArray[Any],
    means: NDArray[Any],
    covariances: NDArray[Any],
    at_hours: NDArray[Any],
) -> tuple[Hour, ...]:
    import numpy as np
    from scipy.special import ndtr

    variances = np.maximum(covariances.diagonal(axis1=1, axis2=2), 1e-12)
    above = weights @ ndtr(means / np.sqrt(variances))
    low = _quantile((1 - INTERVAL) / 2, weights, means, variances)
    high = _quantile((1 + INTERVAL) / 2, weights, means, variances)
    expected = weights @ means
    releases = np.bincount(at_hours, minlength=HOURS)
    of_day = np.bincount(at_hours % 24, minlength=24)
    near = sum(np.roll(of_day, shift) for shift in range(-2, 3))
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
    for _ in range(50):
        middle = (low + high) / 2
        below = weights @ ndtr((middle - means) / sds) < share
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2
