"""What is to come: the daily run, jobs that wait for their time, releases with a date."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.brief import InputError
from lofi.studio._settings import Daily
from lofi.studio._tables import Job, Release, Track, now
from lofi.studio._tracks import told

_RUNS = 5
_MOST = 200


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
    from croniter import CroniterError, croniter

    if not daily.cron:
        return []
    try:
        local = moment.astimezone(ZoneInfo(daily.time_zone))
        # As the queues read it: a sixth field, where there is one, comes first and is seconds.
        runs = croniter(daily.cron, local, second_at_beginning=True)
        return [runs.get_next(datetime).isoformat() for _ in range(_RUNS)]
    except (CroniterError, KeyError, ValueError, OSError) as error:
        raise InputError(
            f"the daily run has the cron expression {daily.cron!r} in {daily.time_zone!r}, which "
            f"cannot be read ({error}). Set daily.cron and daily.time_zone."
        ) from error
