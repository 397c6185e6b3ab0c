"""Figures of releases: collected from YouTube, kept over time, compared, and taken away as tables.

Counts so far are rows of `analytics` at the hour in which they were read; figures of a day are rows
at the moment when that day begins in Los Angeles. Collected again they take the place of what was
there: nothing is counted twice.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from lofi.brief import InputError, LofiError, one_of
from lofi.studio._events import record
from lofi.studio._tables import Credential, Event, Metric, Preference, Release, Track, now
from lofi.studio._tracks import csv_cell, csv_text, find, told

if TYPE_CHECKING:
    from lofi.channel import Api, Collected, Known, Reading, Video
    from lofi.studio._settings import Settings
    from lofi.studio._studio import Studio

PLATFORM = "youtube"
ACTOR = "schedule"
FACTS = ("mood", "bpm", "key", "palette", "template", "length", "hour")
LENGTHS = (
    "under 2 min", "2 to 3 min", "3 to 5 min", "5 to 10 min", "10 to 30 min", "30 min and more"
)  # fmt: skip
MOST_AGE_DAYS = 90

_STATE = "analytics"  # the preference that says what was collected when
_OUT = ("published",)  # states of a release in which people can watch it
_BPM_STEP = 10
_LENGTHS_S = (120, 180, 300, 600, 1800)  # where each of LENGTHS but the first begins
_MOST_POINTS = 5_000
_DENSE = timedelta(days=30)  # counts older than that are kept once a day
_ROWS_AT_ONCE = 2_000
_CURVES = 60
_TREND_DAYS = 28


# Collecting --------------------------------------------------------------------------------------


def collect(
    studio: Studio,
    *,
    actor: str,
    moment: datetime | None = None,
    api: Api | None = None,
    closely: Iterable[int] = (),
) -> dict[str, Any]:
    """Ask YouTube for the figures that are due, and keep them; gives what came, by part.

    `closely` are releases whose counts are wanted every hour. What fails is told in `problems` and
    tried again next time; what came before stays. Raises LofiError without a connected account.
    """
    from lofi import channel

    moment = moment or now()
    with studio.database.read() as session:
        by_video, videos, known = _wanted(session, moment, frozenset(closely))
    if not videos:
        return {"readings": 0, "parts": {}, "problems": {}}
    if api is None:
        from lofi.studio import accounts, releases

        with studio.database.read() as session:
            releases.require_account(session)
        api = accounts.youtube(studio)
    kept: dict[str, int] = {}
    problems: dict[str, str] = {}
    for collected in channel.collect_figures(api, videos, known, moment):
        if studio.rounds is not None and studio.rounds.closing:
            break
        with studio.database.write() as session:
            _keep(session, collected, by_video, moment)
        kept[collected.part] = kept.get(collected.part, 0) + len(collected.readings)
        if collected.problem:
            problems[collected.part] = collected.problem
    total = sum(kept.values())
    with studio.database.write() as session:
        _thin(session, moment)
        if total:
            record(session, actor, "collected", "analytics", PLATFORM, readings=kept)
    if kept:
        studio.cache.forget("analytics")
    return {"readings": total, "parts": kept, "problems": problems}


def collect_round(studio: Studio) -> None:
    """What the studio does by itself, where an account is connected and anything is out.

    Raises LofiError for the first part that fails, once the others are done.
    """
    from lofi.studio import experiments

    with studio.database.read() as session:
        if session.get(Credential, PLATFORM) is None:
            return
        closely = experiments.watched(session)
    problems = collect(studio, actor=ACTOR, closely=closely)["problems"]
    if problems:
        raise LofiError(next(iter(problems.values())))


def due(session: Session, moment: datetime) -> list[dict[str, Any]]:
    """The requests that `collect` would send now: how many of each kind, and what they cost."""
    from lofi import channel

    _, videos, known = _wanted(session, moment, frozenset())
    counts: dict[tuple[str, str], int] = {}
    for step in channel.plan_figures(videos, known, moment):
        counts[step.part, step.method] = counts.get((step.part, step.method), 0) + 1
    found = []
    for (part, method), requests in counts.items():
        bucket, units = channel.COSTS[method]
        found.append(
            {
                "part": part,
                "told": channel.FIGURE_PARTS[part],
                "method": method,
                "requests": requests,
                "bucket": bucket,
                "units": units * requests,
            }
        )
    return found


def _wanted(
    session: Session, moment: datetime, closely: frozenset[int]
) -> tuple[dict[str, int], list[Video], Known]:
    """Releases by video, the videos with what is known of them, and what is of the channel."""
    from lofi import channel

    rows = _released(session, moment)
    newest = {
        (release_id, name): at
        for release_id, name, at in session.execute(
            sa.select(Metric.release_id, Metric.name, sa.func.max(Metric.at))
            .where(Metric.name.in_(("views", "daily_views", f"{channel.RETENTION}0.50")))
            .group_by(Metric.release_id, Metric.name)
        )
    }

    def day(release_id: int | None) -> date | None:
        at = newest.get((release_id, "daily_views"))
        return channel.day_of(at) if at else None

    videos = [
        channel.Video(
            id=row.remote_id,
            published_at=at,
            counted_at=newest.get((row.id, "views")),
            day=day(row.id),
            retention_at=newest.get((row.id, f"{channel.RETENTION}0.50")),
            closely=row.id in closely,
        )
        for row, at in rows
        if row.remote_id
    ]
    state = _state(session)
    known = channel.Known(
        counted_at=newest.get((None, "views")),
        day=day(None),
        reach_after=state.get("reach_after"),
        asked={p: datetime.fromisoformat(s["at"]) for p, s in state["parts"].items() if s["at"]},
    )
    return {row.remote_id: row.id for row, _ in rows if row.remote_id}, videos, known


def _released(session: Session, moment: datetime) -> list[tuple[Release, datetime]]:
    """The releases that people can watch, and since when: as planned, or as it was noticed."""
    noticed = dict[str, datetime]()
    for subject, at in session.execute(
        sa.select(Event.subject, sa.func.min(Event.at))
        .where(Event.kind == "release", Event.verb == "published")
        .group_by(Event.subject)
    ):
        noticed[subject] = at
    rows = session.scalars(
        sa.select(Release)
        .where(
            Release.platform == PLATFORM, Release.remote_id.is_not(None), Release.state.in_(_OUT)
        )
        .order_by(Release.id)
    )
    since = [(r, r.publish_at or noticed.get(str(r.id)) or r.created_at) for r in rows]
    return [(row, at) for row, at in since if at <= moment]


def _state(session: Session) -> dict[str, Any]:
    row = session.get(Preference, _STATE)
    return {"parts": {}, **(row.value if row else {})}


def _locked_state(session: Session) -> Preference:
    """The row that says what was collected. Who holds it collects alone until it commits."""
    row = session.get(Preference, _STATE, with_for_update=True)
    if row is None:
        dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
        made = dialect.insert(Preference).values(
            name=_STATE, value={"parts": {}}, updated_at=now(), updated_by=ACTOR
        )
        session.execute(made.on_conflict_do_nothing())
        row = session.get_one(Preference, _STATE, with_for_update=True)
    return row


def _keep(
    session: Session, collected: Collected, releases: dict[str, int], moment: datetime
) -> None:
    """Write what came of a part, and that it came. Two who collect at once wait for each other."""
    row = _locked_state(session)
    state = dict(row.value)
    if collected.readings:
        if collected.replaces:
            _forget_curves(
                session, {releases[r.video_id] for r in collected.readings if r.video_id}
            )
        _put(session, collected.readings, releases)
    before = state["parts"].get(collected.part, {"at": None, "problem": None})
    state["parts"] = {
        **state["parts"],
        collected.part: {
            "at": before["at"] if collected.problem else told(moment),
            "problem": collected.problem,
        },
    }
    if collected.reach_after:
        state["reach_after"] = collected.reach_after
    row.value, row.updated_at = state, now()


def _put(session: Session, readings: Sequence[Reading], releases: dict[str, int]) -> None:
    """Write readings in the place of those of the same figure and time."""
    rows = [
        {
            "release_id": None if r.video_id is None else releases[r.video_id],
            "name": r.name,
            "value": r.value,
            "at": r.at,
        }
        for r in readings
        if r.video_id is None or r.video_id in releases
    ]
    spans: dict[tuple[int | None, str], tuple[datetime, datetime]] = {}
    for row in rows:
        key, at = (row["release_id"], row["name"]), row["at"]
        first, last = spans.get(key, (at, at))
        spans[key] = (min(first, at), max(last, at))
    for (release_id, name), (first, last) in spans.items():
        of = Metric.release_id.is_(None) if release_id is None else Metric.release_id == release_id
        session.execute(
            sa.delete(Metric).where(of, Metric.name == name, Metric.at.between(first, last))
        )
    for at in range(0, len(rows), _ROWS_AT_ONCE):
        session.execute(sa.insert(Metric), rows[at : at + _ROWS_AT_ONCE])


def _forget_curves(session: Session, release_ids: set[int]) -> None:
    from lofi.channel import RETENTION

    session.execute(
        sa.delete(Metric).where(
            Metric.release_id.in_(release_ids), Metric.name.startswith(RETENTION, autoescape=True)
        )
    )


def _thin(session: Session, moment: datetime) -> None:
    """Of counts that are older than a month, keep the last of each day."""
    from lofi.channel import METRICS

    counts = [f.name for f in METRICS.values() if f.kind == "count"]
    before = (moment - _DENSE).replace(hour=0, minute=0, second=0, microsecond=0)
    # What was thinned before is not looked at again.
    since = _state(session).get("thinned_until")
    start = datetime.fromisoformat(since) if since else datetime(2000, 1, 1, tzinfo=UTC)
    if before - start < timedelta(days=1):
        return
    old = (Metric.name.in_(counts), Metric.at >= start, Metric.at < before)
    kept: dict[tuple[int | None, str, date], int] = {}
    drop = []
    query = sa.select(Metric.id, Metric.release_id, Metric.name, Metric.at).where(*old)
    for row_id, release_id, name, at in session.execute(query.order_by(Metric.at, Metric.id)):
        earlier = kept.get((release_id, name, at.date()))
        if earlier is not None:
            drop.append(earlier)
        kept[release_id, name, at.date()] = row_id
    for at in range(0, len(drop), 500):
        session.execute(sa.delete(Metric).where(Metric.id.in_(drop[at : at + 500])))
    row = _locked_state(session)
    row.value = {**row.value, "thinned_until": told(before)}


def state(session: Session) -> dict[str, Any]:
    """Whether there is anything to collect from, and how collecting goes.

    `parts` has every part with when it last came and what ails it; `releases` counts those that
    people can watch.
    """
    from lofi.channel import FIGURE_PARTS

    account = session.get(Credential, PLATFORM)
    kept = _state(session)["parts"]
    parts = [
        {
            "part": part,
            "told": words,
            "at": kept.get(part, {}).get("at"),
            "problem": kept.get(part, {}).get("problem"),
        }
        for part, words in FIGURE_PARTS.items()
    ]
    collected = [p["at"] for p in parts if p["at"]]
    return {
        "connected": account is not None,
        "account": account.account if account else None,
        "problem": account.problem if account else None,
        "releases": len(_released(session, now())),
        "collected_at": max(collected, default=None),
        "parts": parts,
    }


# Over time ---------------------------------------------------------------------------------------


def series(
    session: Session,
    *,
    names: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    track_id: str | None = None,
) -> dict[str, Any]:
    """The figures of some names (or all) from `since` on and before `until`.

    `series` has the sum over all releases at each moment, or their mean where a sum says nothing,
    and apart from it what holds for the channel; `by` groups the releases by what their tracks are
    like. `collected` is False where nothing was: figures that are absent are not zero. Where people
    stop watching is in `retention`.
    """
    from lofi.channel import RETENTION

    plain = ~Metric.name.startswith(RETENTION, autoescape=True)
    within: list[sa.ColumnElement[bool]] = [plain]
    if names:
        within.append(Metric.name.in_(names))
    if since is not None:
        within.append(Metric.at >= since)
    if until is not None:
        within.append(Metric.at < until)
    if track_id is not None:
        of_track = sa.select(Release.id).where(Release.track_id == track_id)
        within.append(Metric.release_id.in_(of_track))
    known = session.execute(
        sa.select(Metric.name, sa.func.min(Metric.at), sa.func.max(Metric.at), sa.func.count())
        .where(plain)
        .group_by(Metric.name)
        .order_by(Metric.name)
    ).all()
    found, cut = _series(session, within)
    return {
        "collected": bool(known),
        "names": [
            {"name": name, "first_at": told(first), "last_at": told(last), "points": points}
            for name, first, last, points in known
        ],
        "series": found,
        "truncated": cut,
        "by": _by_facts(session, within) if known else {fact: [] for fact in _SUMMED},
    }


def _is_mean(name: str) -> bool:
    from lofi.channel import METRICS

    return name in METRICS and METRICS[name].kind == "mean"


def _series(
    session: Session, within: list[sa.ColumnElement[bool]]
) -> tuple[list[dict[str, Any]], bool]:
    of_channel = Metric.release_id.is_(None)
    # Should there be too many, the newest are told.
    rows = session.execute(
        sa.select(
            Metric.name,
            of_channel.label("of_channel"),
            Metric.at,
            sa.func.sum(Metric.value),
            sa.func.count(),
        )
        .where(*within)
        .group_by(Metric.name, of_channel, Metric.at)
        .order_by(Metric.at.desc(), Metric.name)
        .limit(_MOST_POINTS + 1)
    ).all()
    found: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for name, channel, at, value, count in rows[:_MOST_POINTS]:
        value = value / count if _is_mean(name) else value
        point = {"at": told(at), "value": value, "figures": count}
        found.setdefault((name, bool(channel)), []).append(point)
    series = [
        {"name": name, "of": "channel" if channel else "releases", "points": points[::-1]}
        for (name, channel), points in sorted(found.items())
    ]
    return series, len(rows) > _MOST_POINTS


_SUMMED = ("mood", "bpm", "key", "palette")


@dataclass(slots=True)
class _Group:
    tracks: set[str] = field(default_factory=set)
    releases: int = 0
    points: int = 0
    total: float = 0.0
    last: float = 0.0


def _by_facts(
    session: Session, within: list[sa.ColumnElement[bool]]
) -> dict[str, list[dict[str, Any]]]:
    newest = sa.func.row_number().over(
        partition_by=(Metric.release_id, Metric.name), order_by=(Metric.at.desc(), Metric.id.desc())
    )
    figures = (
        sa.select(Metric.release_id, Metric.name, Metric.value, newest.label("place"))
        .where(Metric.release_id.is_not(None), *within)
        .subquery()
    )
    last = sa.func.max(sa.case((figures.c.place == 1, figures.c.value)))
    rows = session.execute(
        sa.select(
            figures.c.name,
            Track.id,
            Track.mood,
            Track.bpm,
            Track.key,
            Track.palette,
            sa.func.count(),
            sa.func.sum(figures.c.value),
            last,
        )
        .join(Release, Release.id == figures.c.release_id)
        .join(Track, Track.id == Release.track_id)
        .group_by(
            figures.c.name, figures.c.release_id, Track.id, Track.mood, Track.bpm, Track.key,
            Track.palette,
        )
    )  # fmt: skip
    groups: dict[str, dict[tuple[str, str], _Group]] = {fact: {} for fact in _SUMMED}
    for name, track_id, mood, bpm, key, palette, points, total, newest_value in rows:
        of_track = {"mood": mood, "bpm": _bpm_band(bpm), "key": key, "palette": palette}
        for fact, value in of_track.items():
            group = groups[fact].setdefault((name, value), _Group())
            group.tracks.add(track_id)
            group.releases += 1
            group.points += points
            group.total += total
            group.last += newest_value
    return {
        fact: [
            {
                "name": name,
                "value": value,
                "tracks": len(group.tracks),
                "releases": group.releases,
                "points": group.points,
                "sum": group.total,
                "mean_of_last": group.last / group.releases,
            }
            for (name, value), group in sorted(found.items())
        ]
        for fact, found in groups.items()
    }


def totals(session: Session, *, moment: datetime | None = None) -> dict[str, Any]:
    """The channel: its counts now, and its daily figures of the last four weeks.

    A day counts once YouTube has told it; `until` is the last one. Each figure has its value over
    those weeks, over the four before (None where there are not so many days), and its trend.
    """
    from lofi.channel import METRICS, day_of, trend

    counts: dict[str, dict[str, Any]] = {}
    for name in ("subscribers", "views", "videos"):
        row = session.execute(
            sa.select(Metric.value, Metric.at)
            .where(Metric.release_id.is_(None), Metric.name == name)
            .order_by(Metric.at.desc())
            .limit(1)
        ).first()
        if row:
            counts[name] = {"value": row.value, "at": told(row.at)}
    by_day: dict[str, dict[date, float]] = {}
    for name, at, value in session.execute(
        sa.select(Metric.name, Metric.at, Metric.value).where(
            Metric.release_id.is_(None),
            Metric.name.startswith("daily_", autoescape=True),
            Metric.at >= (moment or now()) - timedelta(days=2 * _TREND_DAYS + 30),
        )
    ):
        by_day.setdefault(name, {})[day_of(at)] = value
    figures = []
    for name, figure in METRICS.items():
        days = by_day.get(name)
        if not days:
            continue
        last = max(days)
        weight = by_day.get(figure.by or "", {}) if figure.kind == "mean" else None

        def over(
            start: int, days: dict[date, float] = days, last: date = last,
            weight: dict[date, float] | None = weight,
        ) -> float | None:  # fmt: skip
            span = [last - timedelta(days=start + i) for i in range(_TREND_DAYS)]
            if min(days) > span[-1]:
                return None
            if weight is None:
                return sum(days.get(d, 0.0) for d in span)
            of = sum(weight.get(d, 0.0) for d in span if d in days)
            return sum(days[d] * weight.get(d, 0.0) for d in span if d in days) / of if of else None

        length = min(_TREND_DAYS, (last - min(days)).days + 1)
        recent = [days.get(last - timedelta(days=length - 1 - i), 0.0) for i in range(length)]
        course = asdict(trend(recent)) if figure.kind == "sum" else None
        figures.append(
            {
                "name": name,
                "told": figure.told,
                "until": last.isoformat(),
                "value": over(0),
                "before": over(_TREND_DAYS),
                "trend": course,
            }
        )
    return {"days": _TREND_DAYS, "counts": counts, "figures": figures}


def daily(session: Session, names: Sequence[str], *, days: int) -> dict[str, dict[str, Any]]:
    """Figures of the channel by day: `from` which day, and the `values` up to the last one told.

    A day of which YouTube tells nothing had nothing, or for shares and rates no value (None).
    Figures that were never told are left out.
    """
    from lofi.channel import day_of

    found: dict[str, dict[date, float]] = {}
    for name, at, value in session.execute(
        sa.select(Metric.name, Metric.at, Metric.value).where(
            Metric.release_id.is_(None),
            Metric.name.in_(names),
            Metric.at >= now() - timedelta(days=days + 4),
        )
    ):
        found.setdefault(name, {})[day_of(at)] = value
    told: dict[str, dict[str, Any]] = {}
    for name, by_day in found.items():
        last = max(by_day)
        first = max(min(by_day), last - timedelta(days=days - 1))
        span = [first + timedelta(days=i) for i in range((last - first).days + 1)]
        absent = None if _is_mean(name) else 0.0
        told[name] = {"from": first.isoformat(), "values": [by_day.get(d, absent) for d in span]}
    return told


def released(session: Session) -> list[dict[str, Any]]:
    """The releases that people can watch, the newest first: `id`, `track_id`, `title`, `at`."""
    rows = _released(session, now())
    named = sa.select(Track.id, Track.title).where(Track.id.in_({r.track_id for r, _ in rows}))
    titles = {row.id: row.title for row in session.execute(named)}
    return [
        {"id": r.id, "track_id": r.track_id, "title": titles.get(r.track_id, r.track_id),
         "at": told(at)}
        for r, at in sorted(rows, key=lambda row: row[1], reverse=True)
    ]  # fmt: skip


# What goes with what -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure by which releases are compared: from which rows, and on which scale."""

    told: str
    count: str | None  # the figure so far
    daily: str  # that of a day
    scale: str
    usual: float  # how releases scatter on that scale, before any are known


MEASURES = {
    "views": Measure("views", "views", "daily_views", "log", 0.7),
    "watch_min": Measure("minutes watched", None, "daily_watch_min", "log", 0.7),
    "view_share": Measure("share watched", None, "daily_view_share", "plain", 0.1),
    "click_rate": Measure("click-through", None, "daily_click_rate", "plain", 0.02),
}


def report(
    session: Session,
    *,
    measure: str = "views",
    age_days: float = 7.0,
    zone: ZoneInfo | None = None,
    moment: datetime | None = None,
) -> dict[str, Any]:
    """Releases at equal age, compared by what their tracks are like and when they went out.

    Every release counts with its figure `age_days` after it went out; younger ones, and those whose
    figure then is not known, are left out and counted. Hours are those of `zone`. Raises InputError
    for an unknown measure or an age that cannot be.
    """
    from lofi.channel import compare_groups

    chosen = MEASURES[one_of(measure, MEASURES, "measure")]
    if not 1.0 <= age_days <= MOST_AGE_DAYS:
        raise InputError(f"an age of {age_days:g} days cannot be. Take 1 to {MOST_AGE_DAYS}.")
    moment, zone, age = moment or now(), zone or ZoneInfo("UTC"), timedelta(days=age_days)
    released = _released(session, moment)
    tracks = {
        row.id: row
        for row in session.execute(
            sa.select(
                Track.id, Track.mood, Track.bpm, Track.key, Track.palette, Track.template,
                Track.duration_s,
            ).where(Track.id.in_({release.track_id for release, _ in released}))
        )
    }  # fmt: skip
    until = _known_until(session)
    groups: dict[str, dict[str, list[float]]] = {fact: {} for fact in FACTS}
    values: list[float] = []
    young = unknown = 0
    for release, at in released:
        if at + age > moment:
            young += 1
            continue
        value = _figure_at(session, release.id, chosen, at, age, until)
        track = tracks.get(release.track_id)
        if value is None or track is None:
            unknown += 1
            continue
        values.append(value)
        for fact, of in _facts(track, at, zone).items():
            groups[fact].setdefault(of, []).append(value)
    how: dict[str, Any] = {"scale": chosen.scale, "usual": chosen.usual}
    compared = {fact: asdict(compare_groups(g, **how)) for fact, g in groups.items()}
    of_all = compare_groups({"all": values}, **how)
    return {
        "measure": measure,
        "told": chosen.told,
        "scale": chosen.scale,
        "age_days": age_days,
        "time_zone": str(zone),
        "releases": of_all.n,
        "too_young": young,
        "unknown": unknown,
        "typical": of_all.groups[0].estimate if of_all.groups else None,
        "by": {
            fact: {name: found[name] for name in ("enough", "typical", "groups")}
            for fact, found in compared.items()
        },
    }


def _known_until(session: Session) -> datetime | None:
    """Up to when YouTube has told figures of days."""
    newest = session.scalar(sa.select(sa.func.max(Metric.at)).where(Metric.name == "daily_views"))
    return newest + timedelta(days=1) if newest else None


def _figure_at(
    session: Session,
    release_id: int,
    measure: Measure,
    at: datetime,
    age: timedelta,
    until: datetime | None,
) -> float | None:
    from lofi.channel import METRICS, amount_at_age

    figure = METRICS[measure.daily]
    names = [n for n in (measure.count, measure.daily, figure.by) if n]
    rows: dict[str, list[tuple[datetime, float]]] = {name: [] for name in names}
    for name, when, value in session.execute(
        sa.select(Metric.name, Metric.at, Metric.value).where(
            Metric.release_id == release_id,
            Metric.name.in_(names),
            Metric.at.between(at - timedelta(days=1), at + age + timedelta(days=3)),
        )
    ):
        rows[name].append((when, value))
    if figure.kind == "mean":
        # Of whole days: a share of a mean says nothing.
        weights = dict(rows[figure.by or ""])
        days = [(v, weights.get(t, 0.0)) for t, v in rows[measure.daily] if t < at + age]
        of = sum(weight for _, weight in days)
        return sum(v * weight for v, weight in days) / of if of > 0 else None
    totals = rows[measure.count] if measure.count else []
    return amount_at_age(at, totals, rows[measure.daily], until, age)


def _facts(track: Any, at: datetime, zone: ZoneInfo) -> dict[str, str]:
    return {
        "mood": track.mood,
        "bpm": _bpm_band(track.bpm),
        "key": track.key,
        "palette": track.palette,
        "template": track.template,
        "length": _length_band(track.duration_s),
        "hour": f"{at.astimezone(zone).hour:02d}:00",
    }


def _bpm_band(bpm: float) -> str:
    low = int(bpm // _BPM_STEP) * _BPM_STEP
    return f"{low}-{low + _BPM_STEP - 1}"


def _length_band(duration_s: float) -> str:
    return LENGTHS[sum(duration_s >= bound for bound in _LENGTHS_S)]


def zone_of(settings: Settings) -> ZoneInfo:
    """The time zone in which the channel's hours are told."""
    return ZoneInfo(getattr(settings, "schedule", settings.daily).time_zone)


def retention(session: Session, *, track_id: str | None = None) -> dict[str, Any]:
    """How far people watch: the newest curve of each release (of one track, if one is named).

    A point is (how far into the video, 0 to 1; viewers at that moment by view of the video, which
    is above 1 where people go back). `middle` is the median of the curves, where there are three or
    more, with the quarter that lies below and above. Raises NotFoundError for an unknown track.
    """
    from lofi.channel import RETENTION

    of = [Metric.name.startswith(RETENTION, autoescape=True)]
    if track_id is not None:
        find(session, track_id, deleted=True)
        of.append(Release.track_id == track_id)
    newest = session.execute(
        sa.select(Metric.release_id, sa.func.max(Metric.at), Track.id, Track.title)
        .join(Release, Release.id == Metric.release_id)
        .join(Track, Track.id == Release.track_id)
        .where(*of)
        .group_by(Metric.release_id, Track.id, Track.title)
        .order_by(Metric.release_id.desc())
        .limit(_CURVES)
    ).all()
    curves: dict[int | None, list[tuple[float, float]]] = {row[0]: [] for row in newest}
    for release_id, name, value in session.execute(
        sa.select(Metric.release_id, Metric.name, Metric.value).where(
            Metric.release_id.in_(list(curves)), Metric.name.startswith(RETENTION, autoescape=True)
        )
    ):
        curves[release_id].append((float(name.removeprefix(RETENTION)), value))
    for curve in curves.values():
        curve.sort()
    return {
        "releases": [
            {
                "release_id": i,
                "track_id": track,
                "title": title,
                "at": told(at),
                "points": curves[i],
            }
            for i, at, track, title in newest
        ],
        "middle": _middle_curve(list(curves.values())),
    }


def _middle_curve(
    curves: list[list[tuple[float, float]]],
) -> list[tuple[float, float, float, float]]:
    """(how far, median, lower and upper quartile) where at least three curves have a point."""
    from statistics import quantiles

    at: dict[float, list[float]] = {}
    for curve in curves:
        for x, y in curve:
            at.setdefault(x, []).append(y)
    found = []
    for x, values in sorted(at.items()):
        if len(values) >= 3:
            low, middle, high = quantiles(values, n=4, method="inclusive")
            found.append((x, middle, low, high))
    return found


# Tables to take away -----------------------------------------------------------------------------

COLUMNS = (
    "at", "name", "value", "release_id", "video_id", "track_id", "title", "mood", "bpm", "key",
    "palette", "template", "duration_s",
)  # fmt: skip
Read = Callable[[], AbstractContextManager[Session]]


def rows(
    read: Read, *, names: Sequence[str] = (), since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[list[tuple[Any, ...]]]:  # fmt: skip
    """All figures with what their tracks are like, in pieces, in the order in which they came.

    Those of the channel have no release. A slow reader holds no transaction open.
    """
    after = 0
    while True:
        within: list[sa.ColumnElement[bool]] = [Metric.id > after]
        if names:
            within.append(Metric.name.in_(names))
        if since is not None:
            within.append(Metric.at >= since)
        if until is not None:
            within.append(Metric.at < until)
        with read() as session:
            page = session.execute(
                sa.select(
                    Metric.id, Metric.at, Metric.name, Metric.value, Metric.release_id,
                    Release.remote_id, Track.id, Track.title, Track.mood, Track.bpm, Track.key,
                    Track.palette, Track.template, Track.duration_s,
                )
                .outerjoin(Release, Release.id == Metric.release_id)
                .outerjoin(Track, Track.id == Release.track_id)
                .where(*within)
                .order_by(Metric.id)
                .limit(_ROWS_AT_ONCE)
            ).all()  # fmt: skip
        if not page:
            return
        after = page[-1][0]
        yield [tuple(row[1:]) for row in page]


def csv_lines(read: Read, **which: Any) -> Iterator[str]:
    """The same as CSV, in pieces; what a spreadsheet would take for a formula is made harmless."""
    yield csv_text([COLUMNS])
    for page in rows(read, **which):
        yield csv_text([_csv_cell(value) for value in row] for row in page)


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return told(value) or ""
    return repr(value) if isinstance(value, float) else csv_cell(value)


def write_csv(path: Path, read: Read, **which: Any) -> None:
    """The same as a CSV file, whole or not at all."""
    with _written_aside(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        file.writelines(csv_lines(read, **which))


def write_parquet(path: Path, read: Read, **which: Any) -> None:
    """The same as a Parquet file, whole or not at all.

    Raises InputError where pyarrow, which writes it, is not installed.
    """
    require_parquet()
    import pyarrow as pa
    from pyarrow import parquet

    text, number = pa.string(), pa.float64()
    kinds: dict[str, Any] = {"at": pa.timestamp("ms", tz="UTC"), "release_id": pa.int64()}
    numbers = ("value", "bpm", "duration_s")
    schema = pa.schema([(c, kinds.get(c, number if c in numbers else text)) for c in COLUMNS])
    with (
        _written_aside(path) as aside,
        parquet.ParquetWriter(aside, schema, compression="zstd") as writer,
    ):
        for page in rows(read, **which):
            columns = [list(column) for column in zip(*page, strict=True)]
            arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def require_parquet() -> None:
    """Raise InputError with the remedy unless Parquet can be written here."""
    import importlib.util

    if importlib.util.find_spec("pyarrow") is None:
        raise InputError(
            "Parquet needs pyarrow, which is not installed. Run `pip install "
            "'lofi-empire[parquet]'`, or take CSV."
        )


@contextmanager
def _written_aside(path: Path) -> Iterator[Path]:
    """A file beside the one that is wanted, which takes its name once it is whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise LofiError(f"{path} cannot be written: {error.strerror or error}.") from error
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        aside.chmod(0o644)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
