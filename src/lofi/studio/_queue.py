"""The queues, on DBOS: who may start now, in what order, how many at once.

No other module knows DBOS, and this one knows no table: which work there is and what became of it
stands in the studio's own tables. Here names of work (tickets) are handed to a function.

Traps of DBOS that are handled here: every process is an executor of its own (two that shared an
id would run a step twice); the version is pinned (by default it is a hash of the source, and an
upgrade would strand what waits); JSON, not pickle; its SQLite file is put into WAL mode; cancelling
does not stop work that runs, so a lane watches for that itself and kills its child; nobody recovers
a dead executor's work, so `_worker` hands it out again under another ticket.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lofi.studio._settings import Work

if TYPE_CHECKING:
    from dbos import DBOS

_VERSION = "1"  # of what tickets mean; raised only when older ones can no longer be understood
# Looking for work is what an idle server spends its processor on: five transactions a time. So it
# looks seldom, and what this process puts while it has room does not wait for it to look.
_POLL_S = 1.0
_NETWORK_POLL_S = 5.0
_ALONE = 1.6  # seldomer still where no other process puts tickets, and one waits here already
_KEPT_S = 10.0  # how long a place is kept for a ticket that does not come after all


@dataclass(frozen=True, slots=True)
class Lane:
    """A resource that work waits for. `per_worker` and `in_all` bound how many run at once.

    `rate` (count, seconds) bounds how many start in a span of time.
    """

    name: str
    per_worker: int
    in_all: int | None = None
    rate: tuple[int, float] | None = None
    poll_s: float = _POLL_S


def lanes_of(work: Work) -> tuple[Lane, ...]:
    """The queues with their limits."""
    cores = os.cpu_count() or 1
    return (
        Lane("compute", work.compute or max(1, cores // 2)),
        Lane("render", work.render or cores),
        Lane(
            "network",
            work.network,
            in_all=work.network,
            rate=(work.network_per_minute, 60),
            poll_s=_NETWORK_POLL_S,
        ),
    )


Step = Callable[[str, Callable[[], None]], None]
CarryOut = Callable[[str, str, int, Step], None]


class _Room:
    """The places of a lane in this process: for tickets that were started here or came by queue."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken = 0
        self._kept: dict[str, float] = {}
        self._changed = threading.Condition()
        self._closed = False

    def keep(self, name: str) -> bool:
        """Keep a place for a ticket, if there is one."""
        with self._changed:
            if name in self._kept or self._is_full() or self._closed:
                return False
            self._kept[name] = time.monotonic()
            return True

    def _is_full(self) -> bool:
        """Whether all places are taken or kept. One that nobody came for is kept no longer."""
        moment = time.monotonic()
        self._kept = {n: t for n, t in self._kept.items() if moment - t < _KEPT_S}
        return self._taken + len(self._kept) >= self._places

    @contextmanager
    def place(self, name: str) -> Iterator[None]:
        """Wait for a place, and hold it."""
        with self._changed:
            kept = self._kept.pop(name, None) is not None
            while not kept and self._is_full():
                if self._closed:
                    raise RuntimeError("closed while waiting for a place")  # it is handed out anew
                self._changed.wait(1.0)
            self._taken += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Queues:
    """Runs `work(job_id, lane, epoch, step)` in threads of this process as tickets come up.

    There is one such object in a process, as there is one DBOS.
    """

    def __init__(
        self,
        database: sa.URL,
        worker_id: str,
        lanes: Iterable[Lane],
        work: CarryOut,
    ) -> None:
        """Connect and begin to take tickets of `lanes`. `work` wraps what it does in steps."""
        import dbos
        from dbos import DBOS, DBOSPortableJSONSerializer

        logging.getLogger("dbos").setLevel(logging.WARNING)
        if database.get_backend_name() == "sqlite":
            assert database.database
            with sqlite3.connect(database.database) as file:
                file.execute("PRAGMA journal_mode=WAL")
            file.close()
        self._dbos: DBOS = DBOS(
            config={
                "name": "lofi",
                "system_database_url": database.render_as_string(hide_password=False),
                "application_version": _VERSION,
                "executor_id": worker_id,
                "serializer": DBOSPortableJSONSerializer(),
                "log_level": "WARNING",
                "enable_otlp": False,
                "scheduler_polling_interval_sec": 5.0,
                "notification_listener_polling_interval_sec": 2.0,  # we send none
            }
        )
        lanes = list(lanes)
        self._rooms = {lane.name: _Room(lane.per_worker) for lane in lanes}
        self._direct = {lane.name for lane in lanes if lane.in_all is None and lane.rate is None}

        @DBOS.workflow(name="lane")
        def lane(job_id: str, name: str, epoch: int) -> None:
            with self._rooms[name].place(ticket(job_id, name, epoch)):
                work(job_id, name, epoch, step)

        def step(name: str, do: Callable[[], None]) -> None:
            DBOS.run_step({"name": name}, do)

        self._lane = lane
        self._on_time: Callable[[datetime], None] = lambda _: None

        @DBOS.workflow(name="daily")
        def daily(scheduled: datetime, context: object) -> None:
            self._on_time(scheduled)

        self._daily = daily
        DBOS.listen_queues([lane.name for lane in lanes])
        DBOS.launch()
        # Where no other worker could take it, the next ticket waits here rather than to be found.
        alone = database.get_backend_name() == "sqlite"
        ahead = 1 if alone else 0
        for kind in lanes:
            DBOS.register_queue(
                kind.name,
                worker_concurrency=kind.per_worker + (ahead if kind.name in self._direct else 0),
                global_concurrency=kind.in_all,
                limiter={"limit": kind.rate[0], "period": kind.rate[1]} if kind.rate else None,
                polling_interval_sec=kind.poll_s * (_ALONE if alone else 1.0),
                on_conflict="always_update",
            )
        self._options = dbos.SetEnqueueOptions
        self._workflow_id = dbos.SetWorkflowID

    def put(
        self, job_id: str, lane: str, epoch: int, *, priority: int, delay_s: float = 0.0
    ) -> None:
        """Have a lane of a job done: once, however often this is called. 1 goes first.

        At once, where this process has room.
        """
        name = ticket(job_id, lane, epoch)
        if lane in self._direct and not delay_s and self._rooms[lane].keep(name):
            with self._workflow_id(name):
                self._dbos.start_workflow(self._lane, job_id, lane, epoch)
            return
        options = self._options(priority=priority, delay_seconds=delay_s or None)
        with self._workflow_id(name), options:
            self._dbos.enqueue_workflow(lane, self._lane, job_id, lane, epoch)

    def take_back(self, job_id: str, lane: str, epoch: int) -> None:
        """Have a ticket not start any more; what runs goes on."""
        self._dbos.cancel_workflow(ticket(job_id, lane, epoch))

    def states(self, tickets: list[str]) -> dict[str, tuple[str, str | None]]:
        """For each ticket that is known: `waiting`, `held` or `over`, and by whom it is held."""
        if not tickets:
            return {}
        found = self._dbos.list_workflows(workflow_ids=tickets, load_input=False, load_output=False)
        names = {"ENQUEUED": "waiting", "DELAYED": "waiting", "PENDING": "held"}
        return {f.workflow_id: (names.get(f.status, "over"), f.executor_id) for f in found}

    def schedule(self, cron: str | None, time_zone: str, call: Callable[[datetime], None]) -> None:
        """Call `call` in one of all workers when a cron expression says so; None: never."""
        self._on_time = call
        if cron is None:
            self._dbos.delete_schedule("daily")
            return
        self._dbos.apply_schedules(
            [
                {
                    "schedule_name": "daily",
                    "workflow_fn": self._daily,
                    "schedule": cron,
                    "cron_timezone": time_zone,
                    "context": None,
                }
            ]
        )

    def close(self) -> None:
        """Take no more tickets. Work that runs must have been told to stop before."""
        for room in self._rooms.values():
            room.close()
        self._dbos.destroy(destroy_registry=True)


def ticket(job_id: str, lane: str, epoch: int) -> str:
    """The name under which a lane of a job is handed out."""
    return f"{job_id}.{lane}.{epoch}"
