"""Figures of releases as they were collected: over time, and by what the tracks are like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.studio._tables import Metric, Release, Track
from lofi.studio._tracks import told

FACTS = ("mood", "bpm", "key", "palette")
_BPM_STEP = 10
_MOST_POINTS = 5_000


def analytics(
    session: Session,
    *,
    names: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    track_id: str | None = None,
) -> dict[str, Any]:
    """The figures of some names (or all) from `since` on and before `until`.

    `series` has the sum over all releases at each moment, and apart from it what holds for the
    channel; `by` groups the releases by what their tracks are like. `collected` is False where
    nothing was: figures that are absent are not zero.
    """
    within: list[sa.ColumnElement[bool]] = []
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
        .group_by(Metric.name)
        .order_by(Metric.name)
    ).all()
    series, cut = _series(session, within)
    return {
        "collected": bool(known),
        "names": [
            {"name": name, "first_at": told(first), "last_at": told(last), "points": points}
            for name, first, last, points in known
        ],
        "series": series,
        "truncated": cut,
        "by": _by_facts(session, within) if known else {fact: [] for fact in FACTS},
    }


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
        point = {"at": told(at), "value": value, "figures": count}
        found.setdefault((name, bool(channel)), []).append(point)
    series = [
        {"name": name, "of": "channel" if channel else "releases", "points": points[::-1]}
        for (name, channel), points in sorted(found.items())
    ]
    return series, len(rows) > _MOST_POINTS


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
    groups: dict[str, dict[tuple[str, str], _Group]] = {fact: {} for fact in FACTS}
    for name, track_id, mood, bpm, key, palette, points, total, newest_value in rows:
        low = int(bpm // _BPM_STEP) * _BPM_STEP
        of_track = {
            "mood": mood, "bpm": f"{low}-{low + _BPM_STEP - 1}", "key": key, "palette": palette
        }  # fmt: skip
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
