"""How the studio is, in figures: what health checks and monitoring ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.brief import LofiError
from lofi.studio._jobs import told
from lofi.studio._tables import (
    Artifact,
    Comment,
    Credential,
    Job,
    JobStage,
    Release,
    Track,
    Worker,
    now,
)

if TYPE_CHECKING:
    from lofi.studio._studio import Studio

_STORED_S = 15.0


def parts(studio: Studio) -> dict[str, str | None]:
    """The parts without which the studio cannot serve; what is wrong with each, or None.

    The storage is written to, so do not ask more than once a second. A worker counts only where
    this process has one: else others do the work, and orders can be taken meanwhile.
    """
    found: dict[str, str | None] = {"database": None, "storage": None, "queue": None}
    try:
        with studio.database.read() as session:
            session.execute(sa.text("SELECT 1"))
            if studio.worker is not None:
                row = session.get(Worker, studio.worker.id)
                if row is None or not _is_alive(row, studio.base.work.dead_after_s):
                    found["queue"] = "the worker of this server has stopped. Start it again."
    except LofiError as error:
        found["database"] = str(error)
        found["queue"] = "it cannot be asked without the database."
    try:
        studio.storage.check()
    except LofiError as error:
        found["storage"] = str(error)
    return found


def _is_alive(worker: Worker, dead_after_s: float) -> bool:
    silent = now() - worker.seen_at
    return worker.ended_at is None and silent < timedelta(seconds=dead_after_s)


def workers(session: Session, dead_after_s: float) -> list[dict[str, Any]]:
    """The workers that have not ended, as plain values."""
    rows = session.scalars(
        sa.select(Worker).where(Worker.ended_at.is_(None)).order_by(Worker.started_at)
    )
    return [
        {
            "id": row.id,
            "host": row.host,
            "lanes": row.lanes,
            "version": row.version,
            "alive": _is_alive(row, dead_after_s),
            "started_at": told(row.started_at),
            "seen_at": told(row.seen_at),
        }
        for row in rows
    ]


def days(session: Session, count: int = 28) -> dict[str, list[float]]:
    """Tracks made, and minutes of music, on each of the last days (UTC), the oldest first."""
    first = now().date() - timedelta(days=count - 1)
    since = datetime.combine(first, datetime.min.time(), UTC)
    rows = session.execute(
        sa.select(Track.created_at, Track.duration_s).where(
            Track.deleted_at.is_(None), Track.created_at >= since
        )
    )
    tracks, minutes = [0.0] * count, [0.0] * count
    for created_at, duration_s in rows:
        day = min(count - 1, (created_at.date() - first).days)
        tracks[day] += 1
        minutes[day] += duration_s / 60
    return {"tracks": tracks, "minutes": minutes}


def waiting_for_people(session: Session) -> dict[str, int]:
    """How many things wait for a person, by what they are; what nobody waits for is left out."""
    here = Track.deleted_at.is_(None)
    asked = {
        "review": sa.select(sa.func.count()).where(here, Track.state == "review"),
        "resembling": sa.select(sa.func.count()).where(
            here, Track.state == "review", Track.verdict.in_(("review", "block"))
        ),
        "failed jobs": sa.select(sa.func.count()).where(
            Job.state == "failed", Job.finished_at > now() - timedelta(days=7)
        ),
        "releases": sa.select(sa.func.count()).where(
            Release.state.in_(("failed", "needs_attention", "missed"))
        ),
        "comments": sa.select(sa.func.count()).where(
            Comment.state.in_(("held", "spam")), Comment.handled_at.is_(None)
        ),
        "accounts": sa.select(sa.func.count()).where(Credential.problem.is_not(None)),
    }
    found = {name: session.scalar(query) or 0 for name, query in asked.items()}
    return {name: count for name, count in found.items() if count}


def stage_seconds(session: Session) -> dict[str, tuple[int, float]]:
    """By stage: how many were made (not taken over from another job), and their seconds in all."""
    begun, ended = JobStage.started_at, JobStage.finished_at
    if session.get_bind().dialect.name == "sqlite":
        seconds = (sa.func.julianday(ended) - sa.func.julianday(begun)) * 86400.0
    else:
        seconds = sa.extract("epoch", ended - begun)
    rows = session.execute(
        sa.select(JobStage.name, sa.func.count(), sa.func.sum(seconds))
        .where(JobStage.state == "done", JobStage.reused_from.is_(None), begun.is_not(None))
        .group_by(JobStage.name)
    )
    return {name: (count, max(0.0, float(total or 0.0))) for name, count, total in rows}


def stored_bytes(studio: Studio) -> int:
    """The bytes of all files that a record names, each counted once; as of some seconds ago.

    Those of ten thousand tracks take a tenth of a second to add up.
    """

    def added_up() -> int:
        files = sa.select(Artifact.sha256, Artifact.size).distinct().subquery()
        with studio.database.read() as session:
            return int(session.scalar(sa.select(sa.func.sum(files.c.size))) or 0)

    return studio.cache.get_or_make("files", "stored", added_up, ttl_s=_STORED_S)
