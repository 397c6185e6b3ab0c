"""How the studio is, in figures: what health checks and monitoring ask for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.brief import LofiError
from lofi.studio._jobs import told
from lofi.studio._tables import Artifact, JobStage, Worker, now

if TYPE_CHECKING:
    from lofi.studio._studio import Studio


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


def stored_bytes(session: Session) -> int:
    """The bytes of all files that a record names, each counted once."""
    files = sa.select(Artifact.sha256, Artifact.size).distinct().subquery()
    return int(session.scalar(sa.select(sa.func.sum(files.c.size))) or 0)
