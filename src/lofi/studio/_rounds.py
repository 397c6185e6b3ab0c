"""Rounds: what the studio does again and again by itself, such as uploading what is due.

They are run one after another by one thread of a process that works. Of many such processes one
does them: whoever stands in the preference `rounds`, as long as it beats (see `_worker`). A round
may be cut short at any moment and begun again elsewhere, so it must be one that does no harm twice.

A round is a line of ROUNDS. What goes wrong in one is logged and kept, for `troubles` to tell, and
ends neither the others nor itself.
"""

from __future__ import annotations

import importlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from lofi.brief import LofiError
from lofi.studio._database import Database, DatabaseError
from lofi.studio._tables import Preference, Worker, now

if TYPE_CHECKING:
    from lofi.studio._studio import Studio

_log = structlog.get_logger(__name__)

LEASE = "rounds"  # the preference that says which worker does them
_TROUBLE = "round/"  # + name: the preference that says what goes wrong in one


@dataclass(frozen=True, slots=True)
class Round:
    """What is done every so many seconds; `work` is `module:function` of this package.

    The function is called with the open studio. It is imported when first called.
    """

    name: str
    every_s: float
    work: str

    def run(self, studio: Studio) -> None:
        """Do it once."""
        module, _, function = self.work.partition(":")
        getattr(importlib.import_module(f"lofi.studio.{module}"), function)(studio)


ROUNDS: tuple[Round, ...] = (
    Round("uploads", 5.0, "_uploads:upload_due"),
    Round("releases", 30.0, "_uploads:look_after"),
    Round("comments", 900.0, "_comments:sync_round"),
    Round("slots", 60.0, "_slots:fill_round"),
    Round("figures", 900.0, "_analytics:collect_round"),
    Round("experiments", 300.0, "_experiments:tick"),
    Round("garbage", 86_400.0, "_keeping:collect_round"),
)


class Rounds:
    """The thread that does the rounds of a studio that works."""

    def __init__(self, studio: Studio, rounds: tuple[Round, ...] | None = None) -> None:
        assert studio.worker
        self._studio, self._worker_id = studio, studio.worker.id
        self._rounds = ROUNDS if rounds is None else rounds
        self._due = {r.name: 0.0 for r in self._rounds}
        self._closing, self._woken = threading.Event(), threading.Event()
        self._troubles: dict[str, str] | None = None
        self._thread = threading.Thread(target=self._run, name="rounds", daemon=True)
        self._thread.start()

    def close(self, within_s: float = 5.0) -> None:
        """Stop: a round that is under way ends at its next step."""
        self._closing.set()
        self._woken.set()
        self._thread.join(within_s)

    @property
    def closing(self) -> bool:
        """Whether a round that takes long should end now; what is left goes on another time."""
        return self._closing.is_set()

    def rest(self, seconds: float) -> None:
        """Wait within a round, but not while it should end."""
        self._closing.wait(seconds)

    def wake(self, name: str) -> None:
        """Have a round come next, whatever its time."""
        if name in self._due:
            self._due[name] = 0.0
            self._woken.set()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._woken.clear()
            due = [r for r in self._rounds if self._due[r.name] <= time.monotonic()]
            if due and self._leads():
                for each in due:
                    if self._closing.is_set():
                        return
                    self._due[each.name] = time.monotonic() + each.every_s
                    self._once(each)
            else:
                for each in due:
                    self._due[each.name] = time.monotonic() + min(each.every_s, 5.0)
            next_at = min(self._due.values(), default=time.monotonic() + 60.0)
            self._woken.wait(max(0.0, next_at - time.monotonic()))

    def _leads(self) -> bool:
        try:
            return lead(self._studio.database, self._worker_id)
        except DatabaseError as error:
            _log.warning("the database does not answer", error=str(error))
            return False

    def _once(self, each: Round) -> None:
        try:
            each.run(self._studio)
        except DatabaseError as error:
            _log.warning("a round waits for the database", round=each.name, error=str(error))
        except LofiError as error:
            self._note(each.name, str(error))
        except Exception as error:
            if self._closing.is_set():  # what it uses is being closed
                return
            _log.exception("a round failed that should not have", round=each.name)
            self._note(
                each.name,
                f"something failed that should not have: {type(error).__name__}. The log says "
                "where; report it.",
            )
        else:
            self._note(each.name, None)

    def _note(self, name: str, error: str | None) -> None:
        """Keep what is wrong, or that nothing is any more; said again only when it changes."""
        try:
            if self._troubles is None:
                with self._studio.database.read() as session:
                    self._troubles = {n: t["error"] for n, t in troubles(session).items()}
            if self._troubles.get(name) == error:
                return
            if error is not None:
                _log.warning("a round could not be done", round=name, error=error)
            with self._studio.database.write() as session:
                row = session.get(Preference, _TROUBLE + name)
                if error is None:
                    if row is not None:
                        session.delete(row)
                    self._troubles.pop(name, None)
                    return
                value = {"error": error, "at": now().isoformat()}
                if row is None:
                    session.add(Preference(name=_TROUBLE + name, value=value, updated_by="rounds"))
                else:
                    row.value, row.updated_at = value, now()
            self._troubles[name] = error
        except DatabaseError as failed:
            _log.warning("the database does not answer", error=str(failed))


def lead(database: Database, worker_id: str) -> bool:
    """Whether this worker does the rounds: it does already, or nobody who lives does.

    Who leads is told by the beats of workers, which are counted by monotonic clocks: a clock that
    is set back makes nobody lead twice.
    """
    with database.read() as session:
        row = session.get(Preference, LEASE)
        if row is not None and row.value.get("worker") == worker_id:
            return True
        if row is not None and _lives(session, row.value.get("worker")):
            return False
    try:
        with database.write() as session:
            row = session.get(Preference, LEASE, with_for_update=True)
            if row is None:
                session.add(
                    Preference(name=LEASE, value={"worker": worker_id}, updated_by=worker_id)
                )
                return True
            if row.value.get("worker") != worker_id and _lives(session, row.value.get("worker")):
                return False
            row.value, row.updated_by, row.updated_at = {"worker": worker_id}, worker_id, now()
            return True
    except IntegrityError:  # another one was first
        return False


def _lives(session: Session, worker_id: Any) -> bool:
    return bool(
        session.scalar(
            sa.select(Worker.id).where(Worker.id == worker_id, Worker.ended_at.is_(None))
        )
    )


def troubles(session: Session) -> dict[str, dict[str, str]]:
    """What goes wrong in rounds, by their names: `error` and `at`."""
    rows = session.scalars(sa.select(Preference).where(Preference.name.startswith(_TROUBLE)))
    return {row.name.removeprefix(_TROUBLE): row.value for row in rows}
