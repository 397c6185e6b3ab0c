"""What is to come, and what is known of when: the calendar, and the best hours of the week."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.brief import InputError, LofiError
from lofi.channel import (
    MINIMUM,
    BestHours,
    Conflict,
    Seen,
    Slot,
    at_local,
    conflicts,
    learn_hours,
    openings,
    views_after,
)
from lofi.studio import _slots
from lofi.studio._settings import Daily, Settings
from lofi.studio._tables import Job, Metric, Release, Track, now
from lofi.studio._tracks import standing_approval, told

if TYPE_CHECKING:
    from lofi.studio._studio import Studio

_RUNS = 5
_MOST = 200
_LONGEST = timedelta(days=62)  # of a calendar
_LEARNED_FROM = 1_000  # the newest releases; see `learn_hours`
_VIEWS_WITHIN = timedelta(hours=80)  # of a release: later figures say nothing of its first 48 h
_AT_ONCE = 100
_HOURS_S = 300.0


def upcoming(session: Session, daily: Daily, *, moment: datetime | None = None) -> dict[str, Any]:
    """What is to come after `moment` (now), as plain values, the nearest first.

    Raises InputError if the cron expression or time zone of the daily run cannot be read.
    """
    moment = moment or now()
    jobs = session.scalars(
        sa.select(Job)
        .where(Job.state.in_(("queued", "waiting")), Job.not_before > moment)
        .order_by(Job.not_before, Job.id)
        .limit(_MOST)
    )
    releases = session.execute(
        sa.select(Release, Track.title)
        .join(Track, Track.id == Release.track_id)
        .where(Release.publish_at > moment)
        .order_by(Release.publish_at, Release.id)
        .limit(_MOST)
    )
    return {
        "daily": {
            "cron": daily.cron or None,
            "time_zone": daily.time_zone,
            "count": daily.count,
            "moods": list(daily.moods),
            "duration_s": daily.duration_s,
            "next": next_runs(daily, moment),
        },
        "jobs": [
            {"id": j.id, "title": j.title, "state": j.state, "not_before": told(j.not_before)}
            for j in jobs
        ],
        "releases": [
            {
                "id": r.id,
                "track_id": r.track_id,
                "title": title,
                "platform": r.platform,
                "state": r.state,
                "privacy": r.privacy,
                "publish_at": told(r.publish_at),
            }
            for r, title in releases
        ],
    }


def next_runs(daily: Daily, moment: datetime) -> list[str]:
    """When the daily run comes next, as local times with their offset from UTC."""
    return [run.isoformat() for run in islice(_runs(daily, moment), _RUNS)]


def _runs(daily: Daily, moment: datetime) -> Iterator[datetime]:
    """The daily runs after a moment. Raises InputError, at the first of them."""
    from croniter import CroniterError, croniter

    if not daily.cron:
        return
    try:
        local = moment.astimezone(ZoneInfo(daily.time_zone))
        # As the queues read it: a sixth field, where there is one, comes first and is seconds.
        runs = croniter(daily.cron, local, second_at_beginning=True)
        while True:
            yield runs.get_next(datetime)
    except (CroniterError, KeyError, ValueError, OSError) as error:
        raise InputError(
            f"the daily run has the cron expression {daily.cron!r} in {daily.time_zone!r}, which "
            f"cannot be read ({error}). Set daily.cron and daily.time_zone."
        ) from error


# A calendar ------------------------------------------------------------------------------------


def between(
    session: Session,
    settings: Settings,
    begin: datetime,
    end: datetime,
    *,
    moment: datetime | None = None,
) -> dict[str, Any]:
    """All that a calendar shows from `begin` on and before `end`, as plain values.

    `problem` says why nothing would go out now. `releases` with what conflicts and why; `openings`
    of slots and whether each is free; `missed` ones, whenever they were; the `tray` of approved
    tracks without a release; the `daily` run and delayed `jobs`. Raises InputError for a span of no
    or more than 62 days.
    """
    moment = moment or now()
    _slots.require_near(begin)
    _slots.require_near(end)
    if not timedelta(0) < end - begin <= _LONGEST:
        raise InputError(f"a calendar has 1 to {_LONGEST.days} days. Ask for such a span.")
    spread = _slots.rules(settings)
    zone = ZoneInfo(spread.time_zone)
    rows = [row for row in _slots.rows(session) if row.enabled]
    slots = [Slot(row.cron, row.time_zone) for row in rows]
    taken = _slots.taken(session)
    shown = session.execute(
        sa.select(Release, Track)
        .join(Track, Track.id == Release.track_id)
        .where(
            sa.or_(
                sa.and_(Release.publish_at >= begin, Release.publish_at < end),
                Release.state == "missed",
            ),
            Release.state != "cancelled",
        )
        .order_by(Release.publish_at, Release.id)
        .limit(_MOST * 2)
    ).all()

    def found(release: Release, track: Track) -> list[Conflict]:
        if release.state not in ("planned", "uploading", "uploaded") or not release.publish_at:
            return []
        others = list(taken)
        others.remove(_slots.went_out(release))
        against = conflicts(release.publish_at, others, spread, slots)
        approval = standing_approval(session, track)
        if release.state == "planned" and (not approval or approval.id != release.approval_id):
            against.append(
                Conflict("approval", "the track was changed or decided on anew: approve it again.")
            )
        return against

    def view(release: Release, track: Track) -> dict[str, Any]:
        return {
            "id": release.id,
            "track_id": track.id,
            "title": track.title,
            "mood": track.mood,
            "duration_s": track.duration_s,
            "platform": release.platform,
            "state": release.state,
            "privacy": release.privacy,
            "publish_at": told(release.publish_at),
            "local": _local(release.publish_at, zone),
            "movable": _slots.may_move(release, moment),
            "chosen": release.detail.get("chosen"),
            "why": release.detail.get("why"),
            "conflicts": [{"kind": c.kind, "reason": c.reason} for c in found(release, track)],
        }

    views = [view(release, track) for release, track in shown]
    comes = openings(slots, max(begin, moment), end)
    jobs = session.scalars(
        sa.select(Job)
        .where(
            Job.state.in_(("queued", "waiting")), Job.not_before >= max(begin, moment),
            Job.not_before < end,
        )
        .order_by(Job.not_before, Job.id)
        .limit(_MOST)
    )  # fmt: skip
    runs = takewhile(lambda run: run < end, _runs(settings.daily, max(begin, moment)))
    return {
        "time_zone": spread.time_zone,
        "begin": told(begin),
        "end": told(end),
        "problem": _problem(session, settings),
        "releases": [v for v in views if v["state"] != "missed"],
        "missed": [v for v in views if v["state"] == "missed"],
        "openings": [
            {
                "at": told(o.at),
                "local": _local(o.at, zone),
                "slot_id": rows[o.slot].id,
                "name": rows[o.slot].name,
                "free": not conflicts(o.at, taken, spread),
            }
            for o in comes
        ],
        "tray": _slots.tray(session),
        "daily": [
            {"at": told(run.astimezone(UTC)), "local": _local(run, zone)}
            for run in islice(runs, _MOST)
        ],
        "jobs": [
            {
                "id": j.id,
                "title": j.title,
                "state": j.state,
                "not_before": told(j.not_before),
                "local": _local(j.not_before, zone),
            }
            for j in jobs
        ],
    }


def _problem(session: Session, settings: Settings) -> str | None:
    """Why nothing would go out now, and what to do; None where nothing is in the way."""
    from lofi.studio import _releases  # which needs the studio, as this is needed by it

    try:
        _releases.require_ready(session, settings)
        _releases.require_no_pause(session)
    except LofiError as error:
        return str(error)
    return None


def _local(moment: datetime | None, zone: ZoneInfo) -> str | None:
    return moment.astimezone(zone).strftime("%Y-%m-%dT%H:%M") if moment else None


def days_from(settings: Settings, first: date, count: int) -> tuple[datetime, datetime]:
    """When `count` days of the channel's calendar begin and end."""
    zone = ZoneInfo(_slots.rules(settings).time_zone)
    begin, end = (
        at_local(datetime.combine(day, time()), zone)
        for day in (first, first + timedelta(days=count))
    )
    return begin, end


def today(settings: Settings, moment: datetime | None = None) -> datetime:
    """Now, as clocks in the channel's time zone show it."""
    return (moment or now()).astimezone(ZoneInfo(_slots.rules(settings).time_zone))


def skipped_hours(settings: Settings, first: date, count: int) -> set[tuple[str, int]]:
    """Hours, such as ("2026-03-29", 2), that clocks skip in `count` days from `first` on."""
    zone = ZoneInfo(_slots.rules(settings).time_zone)
    found = set()
    for day in (first + timedelta(days=d) for d in range(count)):
        for hour in range(24):
            local = datetime.combine(day, time(hour))
            last = local + timedelta(minutes=59)
            if all(
                at_local(t, zone).astimezone(zone).replace(tzinfo=None) != t for t in (local, last)
            ):
                found.add((day.isoformat(), hour))
    return found


# Best hours ------------------------------------------------------------------------------------


def believed_hours(studio: Studio) -> BestHours:
    """What the channel's own figures say of the hours of the week, in its time zone.

    Learned from `views` of public releases, 48 h after each went out.
    """
    zone = ZoneInfo(_slots.rules(studio.settings()).time_zone)
    with studio.database.read() as session:
        seen = seen_releases(session)
    return learn_hours(seen, zone)


def seen_releases(session: Session) -> list[Seen]:
    """The newest public releases whose views at 48 h are known, from what was collected."""
    releases = session.scalars(
        sa.select(Release)
        .where(
            Release.state == "published",
            Release.privacy == "public",  # others are watched by who was sent there
        )
        .order_by(Release.id.desc())
        .limit(_LEARNED_FROM)
    ).all()
    found: list[Seen] = []
    for first in range(0, len(releases), _AT_ONCE):
        page = {r.id: _slots.went_out(r) for r in releases[first : first + _AT_ONCE]}
        rows = session.execute(
            sa.select(Metric.release_id, Metric.at, Metric.value)
            .where(
                Metric.name == "views",
                sa.or_(
                    *(
                        sa.and_(
                            Metric.release_id == release_id,
                            Metric.at.between(at, at + _VIEWS_WITHIN),
                        )
                        for release_id, at in page.items()
                    )
                ),
            )
            .order_by(Metric.at)
        )
        points: dict[int, list[tuple[datetime, float]]] = {}
        for release_id, at, value in rows:
            if release_id is not None:
                points.setdefault(release_id, []).append((at, value))
        for release_id, at in page.items():
            views = views_after(at, points.get(release_id, []))
            if views is not None:
                found.append(Seen(at, views))
    return found


def best_hours(studio: Studio) -> dict[str, Any]:
    """The hours of the week as plain values: how good each is, how sure that is, and why.

    `prior_only` says that there are too few figures for that to mean anything.
    """
    zone = studio.settings().schedule.time_zone
    return studio.cache.get_or_make(
        "analytics", f"best hours {zone}", lambda: _best_hours(studio), ttl_s=_HOURS_S
    )


def _best_hours(studio: Studio) -> dict[str, Any]:
    found = believed_hours(studio)
    clear = [h for h in found.hours if h.low > 1.0]
    if found.is_prior:
        note = (
            f"No data yet: {found.releases} releases have figures and {MINIMUM} are needed. These "
            "are prior only, every hour about as good as any other."
        )
    elif not clear:
        note = f"From {found.releases} releases: no hour is clearly better than the average yet."
    else:
        note = (
            f"From {found.releases} releases: {len(clear)} hours are better than the average with "
            "a probability of 95 % or more."
        )
    return {
        "time_zone": studio.settings().schedule.time_zone,
        "releases": found.releases,
        "minimum": MINIMUM,
        "prior_only": found.is_prior,
        "note": note,
        "best": None if found.is_prior else found.best.hour,
        "hours": [
            {
                "hour": h.hour,
                "factor": round(h.factor, 4),
                "low": round(h.low, 4),
                "high": round(h.high, 4),
                "above": round(h.above, 4),
                "releases": h.releases,
                "near": h.near,
                "reason": _slots.reason(found, h.hour),
            }
            for h in found.hours
        ],
    }
