"""What happens in the studio, as its tables show it: events as they come, jobs as they go."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.studio import _jobs
from lofi.studio._database import Database
from lofi.studio._tables import Event, Job

# Ids are given before a transaction ends, so on PostgreSQL a smaller one may appear later than a
# greater one: no later than this.
_SETTLED_S = 20.0
_BEFORE = 100  # how many ids before the newest may still appear when watching begins
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Seen:
    """What is new since the last look: events, and jobs that are otherwise than they were."""

    events: list[dict[str, Any]]
    jobs: list[dict[str, Any]]


class Watch:
    """Looks at the tables again and again. For one thread at a time."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._floor: int | None = None  # all events up to here have been told
        self._seen: dict[int, float] = {}
        self._told: dict[str, dict[str, Any]] = {}

    def begin(self) -> int:
        """Forget what was; only what happens from now on is told. Gives the newest event's id."""
        with self._database.read() as session:
            newest = session.scalar(sa.select(sa.func.max(Event.id))) or 0
            self._floor = max(0, newest - _BEFORE)
            moment = self._clock()
            self._seen = dict.fromkeys(self._ids(session), moment)
        self._told = {}
        return newest

    def look(self, only: Collection[str] | None = None) -> Seen:
        """What is new; of jobs, only those whose ids are in `only`, where it is given."""
        if self._floor is None:
            self.begin()
        with self._database.read() as session:
            ids = [i for i in self._ids(session) if i not in self._seen][:_AT_ONCE]
            rows = session.scalars(
                sa.select(Event).where(Event.id.in_(ids)).order_by(Event.id)
            ).all()
            touched = {e.subject for e in rows if e.kind == "job"}
            touched |= set(session.scalars(sa.select(Job.id).where(Job.state == "running")))
            if only is not None:
                touched &= set(only)
            jobs = session.scalars(sa.select(Job).where(Job.id.in_(touched))).all()
            views = _jobs.views(session, jobs)
        self._settle(ids)
        changed = [view for view in views if self._told.get(view["id"]) != view]
        for view in changed:
            if view["state"] in _jobs.ENDED:
                self._told.pop(view["id"], None)
            else:
                self._told[view["id"]] = view
        return Seen([event_view(e) for e in rows], changed)

    def _ids(self, session: Session) -> list[int]:
        return list(
            session.scalars(sa.select(Event.id).where(Event.id > self._floor).order_by(Event.id))
        )

    def _settle(self, ids: list[int]) -> None:
        moment = self._clock()
        self._seen |= dict.fromkeys(ids, moment)
        old = [i for i, since in self._seen.items() if moment - since > _SETTLED_S]
        if old:
            self._floor = max(old)
            self._seen = {i: since for i, since in self._seen.items() if i > self._floor}


def event_view(event: Event) -> dict[str, Any]:
    """An event as plain values."""
    return {
        "id": event.id,
        "at": _jobs.told(event.at),
        "actor": event.actor,
        "verb": event.verb,
        "kind": event.kind,
        "subject": event.subject,
        "detail": event.detail,
    }


def events(
    session: Session,
    *,
    after: int | None = None,
    actor: str | None = None,
    verb: str | None = None,
    kind: str | None = None,
    subject: str | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Events in the order of their ids: the first ones after `after`, or the newest ones."""
    query = sa.select(Event)
    for column, wanted in (
        (Event.actor, actor),
        (Event.verb, verb),
        (Event.kind, kind),
        (Event.subject, subject),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if after is not None:
        rows = session.scalars(query.where(Event.id > after).order_by(Event.id).limit(limit)).all()
    else:
        rows = session.scalars(query.order_by(Event.id.desc()).limit(limit)).all()[::-1]
    return [event_view(row) for row in rows]
