"""Jobs seen through to their end, and their packages written out: what the commands do.

Whoever finds nobody at work in the data folder works there himself until his jobs have ended; where
a server works, he waits for it, and takes over should it leave.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.brief import Brief, LofiError
from lofi.studio import _jobs
from lofi.studio._database import Database, DatabaseError
from lofi.studio._studio import Studio
from lofi.studio._tables import Job, Worker, now
from lofi.studio._worker import BEAT_S

_LOOK_S = 0.4
_LIVES_S = 3 * BEAT_S  # a worker that has not beaten for so long is not waited for

Tell = Callable[[list[dict[str, Any]]], None]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a job: `path` is its package, or `error` why there is none."""

    job: str
    track: str | None
    title: str
    state: str
    path: Path | None
    error: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "job": self.job,
            "track": self.track,
            "title": self.title,
            "state": self.state,
            "path": str(self.path) if self.path else None,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Ordered:
    """The jobs of an order. `resumed`: an earlier run had ordered them and was stopped."""

    jobs: list[str]
    resumed: bool


def deliver(studio: Studio, job_ids: Sequence[str], into: Path, tell: Tell) -> list[Delivery]:
    """See jobs through, then write the packages of those that are done as folders of `into`.

    `tell` gets the views of the jobs, twice a second.
    """
    delivered = []
    for view in see_through(studio, job_ids, tell):
        path = studio.export(view["id"], into) if view["state"] == "done" else None
        told = view["error"]
        delivered.append(
            Delivery(
                job=view["id"],
                track=view["track_id"],
                title=view["title"],
                state=view["state"],
                path=path,
                error=f"{told['cause']} {told['remedy']}".strip() if told else None,
            )
        )
    return delivered


def see_through(studio: Studio, job_ids: Sequence[str], tell: Tell) -> list[dict[str, Any]]:
    """Return when the jobs have ended: carried out here, if nobody else works. Gives their views.

    Stopped by an exception, what is unfinished is given back and goes on with the next who works.
    """
    others = Others(studio)
    views: list[dict[str, Any]] = []
    try:
        for views in watch(studio.database, job_ids):
            tell(views)
            ended = all(v["state"] in _jobs.ENDED for v in views)
            if not ended and studio.worker is None and not others.work():
                studio.work()
    finally:
        studio.stop_work()
    return views


def watch(database: Database, job_ids: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    """The views of some jobs, twice a second, until all have ended. Raises InputError."""
    views = _look(database, job_ids)
    yield views
    while any(v["state"] not in _jobs.ENDED for v in views):
        time.sleep(_LOOK_S)
        with suppress(DatabaseError):  # it may pass, and the jobs outlive it
            views = _look(database, job_ids)
        yield views


def _look(database: Database, job_ids: Sequence[str]) -> list[dict[str, Any]]:
    with database.read() as session:
        return _jobs.views(session, [_jobs.find(session, job_id) for job_id in job_ids])


def under_way(database: Database) -> list[str]:
    """The jobs that have not ended and need not wait for a moment, the oldest first."""
    with database.read() as session:
        return list(
            session.scalars(
                sa.select(Job.id)
                .where(
                    Job.state.not_in(_jobs.ENDED),
                    sa.or_(
                        Job.not_before.is_(None), Job.not_before <= now(), Job.state == "waiting"
                    ),
                )
                .order_by(Job.created_at, Job.id)
            )
        )


def order_or_resume(
    studio: Studio, brief: Brief, *, count: int, seeded: bool, actor: str
) -> Ordered:
    """Order tracks; or, if this actor was stopped in the middle of the same order, that one.

    `seeded` says that the seed was asked for; else an order with any seed is the same.
    """
    stopped = not Others(studio).surely_work()
    with studio.database.write() as session:
        ids = studio.order(brief, count=count, actor=actor, session=session)
        wanted = _asked(session, ids, seeded)
        for earlier in _unfinished_orders(session, actor, ids) if stopped else ():
            if _asked(session, earlier, seeded) == wanted:
                session.rollback()
                return Ordered(earlier, resumed=True)
    studio.start(ids)
    return Ordered(ids, resumed=False)


def _unfinished_orders(session: Session, actor: str, new: Sequence[str]) -> Iterator[list[str]]:
    """The jobs of each order of an actor that has not ended, but for the new ones."""
    rows = session.execute(
        sa.select(Job.id, Job.batch_id)
        .where(Job.requested_by == actor, Job.state.not_in(_jobs.ENDED), Job.id.not_in(new))
        .order_by(Job.created_at)
    )
    for batch_id, job_id in dict.fromkeys((b, None if b else j) for j, b in rows):
        same = Job.batch_id == batch_id if batch_id else Job.id == job_id
        yield list(session.scalars(sa.select(Job.id).where(same).order_by(Job.created_at, Job.id)))


def _asked(session: Session, job_ids: Sequence[str], seeded: bool) -> list[str]:
    """What decides the tracks of an order, whichever job has which."""
    told = []
    for commission in session.scalars(sa.select(Job.commission).where(Job.id.in_(job_ids))):
        asked = {n: v for n, v in commission["asked"].items() if seeded or n != "seed"}
        # `brief` is what the seed made of what was asked.
        # `take` is what the orders before it made of it.
        rest = {n: v for n, v in commission.items() if n not in ("asked", "brief", "take")}
        told.append(json.dumps([asked, rest], sort_keys=True))
    return sorted(told)


class Others:
    """Whether somebody else works in the studio; if nobody does, we may."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._beats: dict[str, int] = {}
        self._moved = False
        self._moved_at = 0.0
        self._tried_at = 0.0

    def surely_work(self) -> bool:
        """Whether somebody works, looked at for as long as it takes to know."""
        while self.work():
            if self._studio.database.is_sqlite or self._moved:
                return True
            time.sleep(BEAT_S / 2)
        return False

    def work(self) -> bool:
        """Whether somebody seems to work. On SQLite, if nobody does, the data folder is ours."""
        moment = time.monotonic()
        if self._studio.database.is_sqlite:
            if self._tried_at and moment - self._tried_at < BEAT_S:
                return True
            self._tried_at = moment
            try:
                self._studio.lock()
            except LofiError:
                return True
            return False
        with self._studio.database.read() as session:
            rows = session.execute(
                sa.select(Worker.id, Worker.beat).where(Worker.ended_at.is_(None))
            )
            beats = dict(rows.all())
        if beats and beats != self._beats:
            self._moved = bool(self._beats)
            self._beats, self._moved_at = beats, moment
        return bool(beats) and moment - self._moved_at < _LIVES_S
