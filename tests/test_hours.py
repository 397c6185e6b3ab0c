"""Best hours: nothing is claimed without figures, and with them the good hours are found."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from lofi.channel import MINIMUM, BestHours, Seen, hour_of_week, learn_hours, views_after

ZONE = ZoneInfo("Europe/Berlin")
BEGIN = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
# An audience that comes in the evening, and at weekends also in the morning.
HOUR = np.arange(168)
TRUTH = 0.7 * np.exp(-(((HOUR % 24) - 19) ** 2) / 12)
TRUTH += 0.4 * (HOUR >= 120) * np.exp(-(((HOUR % 24) - 10) ** 2) / 8)
TRUTH -= TRUTH.mean()


def release(rng: np.random.Generator, at: datetime, *, level: float = 5.0) -> Seen:
    effect = TRUTH[hour_of_week(at, ZONE)]
    return Seen(at, float(np.exp(level + effect + rng.normal(0, 0.5))))


def anywhere(rng: np.random.Generator, count: int) -> list[Seen]:
    """Releases at hours drawn evenly, one a day."""
    days = range(count)
    return [release(rng, BEGIN + timedelta(days=d, hours=int(rng.integers(24)))) for d in days]


def width(found: BestHours) -> float:
    """Of the intervals, in log units, on average."""
    return float(np.mean([np.log(h.high / h.low) for h in found.hours]))


def test_without_figures_every_hour_is_as_good_as_any_other():
    found = learn_hours([], ZONE)
    assert found.is_prior
    assert found.releases == 0
    assert {round(h.factor, 9) for h in found.hours} == {1.0}
    assert all(h.low < 1 < h.high and h.above == pytest.approx(0.5) for h in found.hours)
    few = learn_hours(anywhere(np.random.default_rng(1), MINIMUM - 1), ZONE)
    assert few.is_prior
    assert not learn_hours(anywhere(np.random.default_rng(1), MINIMUM), ZONE).is_prior


def test_good_hours_are_found_and_uncertainty_shrinks():
    widths, held = [], []
    for seed in range(3):
        seen = anywhere(np.random.default_rng(seed), 240)
        found = [learn_hours(seen[:n], ZONE) for n in (0, 20, 80, 240)]
        widths.append([width(f) for f in found])
        last = found[-1]
        held += [h.low <= np.exp(TRUTH[h.hour]) <= h.high for h in last.hours]
        assert 17 <= last.best.hour % 24 <= 21
        assert last.best.above > 0.99
        assert last.best.releases <= last.best.near
    on_average = np.mean(widths, axis=0)
    assert (np.diff(on_average) < 0).all()
    assert on_average[-1] < on_average[0] / 2
    assert np.mean(held) >= 0.85  # of intervals of 90 %


def test_choosing_by_what_was_learned_regrets_less_than_chance():
    """Regret: how much an hour falls short of the best one, in log views."""
    regret = {"learned": [], "chance": []}
    for seed in range(2):
        rng = np.random.default_rng(seed)
        seen: list[Seen] = []
        for week in range(12):
            hours = [BEGIN + timedelta(days=7 * week, hours=h) for h in range(168)]
            believed = learn_hours(seen, ZONE)
            # Five a week: chosen before any of them was seen, as figures come two days later.
            for i in range(5):
                at = believed.choose(hours, ZONE, seed=1000 * seed + 10 * week + i)
                seen.append(release(rng, at))
                regret["learned"].append((week, TRUTH.max() - TRUTH[hour_of_week(at, ZONE)]))
                by_chance = TRUTH[int(rng.integers(168))]
                regret["chance"].append((week, TRUTH.max() - by_chance))
    late = {n: np.mean([r for week, r in told if week >= 6]) for n, told in regret.items()}
    early = np.mean([r for week, r in regret["learned"] if week < 3])
    assert late["learned"] < 0.5 * late["chance"]
    assert late["learned"] < 0.6 * early


def test_a_growing_channel_does_not_make_its_latest_hours_look_good():
    rng = np.random.default_rng(4)
    seen = []
    for day in range(120):
        hour = 3 if day < 60 else 15  # the hours do not matter; the channel grows tenfold
        at = BEGIN + timedelta(days=day, hours=hour)
        seen.append(Seen(at, float(np.exp(4 + day / 52 + rng.normal(0, 0.4)))))
    found = learn_hours(seen, ZONE)
    ratio = found.hours[16].factor / found.hours[4].factor
    assert ratio < 3  # the figures alone say 5 to 10
    assert found.hours[16].low < 1.3


def test_a_draw_is_that_of_its_seed():
    found = learn_hours(anywhere(np.random.default_rng(5), 30), ZONE)
    again = learn_hours(anywhere(np.random.default_rng(5), 30), ZONE)
    assert np.allclose(found.draw(7), again.draw(7))
    assert not np.allclose(found.draw(7), found.draw(8))
    assert abs(found.draw(7).mean()) < 1e-6  # relative to the average hour


def test_views_are_read_two_days_after_and_not_guessed():
    def after(*points: tuple[float, float]) -> float | None:
        return views_after(BEGIN, [(BEGIN + timedelta(hours=h), v) for h, v in points])

    assert after() is None
    assert after((47, 90)) == 90
    assert after((36, 60), (60, 100)) == 80
    assert after((0, 0), (40, 70)) is None  # too early, and nothing later
    assert after((20, 50), (100, 500)) is None
    assert after((48, 77), (72, 120)) == 77
    assert after((10, 5), (53, 88)) == 88
