"""A worker: carries out jobs, stage by stage, and sees to it that none is lost.

The tables say what is to be done and what is finished; the queues say when. A stage runs in a
child process; its files go to the storage under their hashes, and then one transaction says that
they are there. Killed anywhere, nothing is half done: what was not recorded is done again, what was
is not.

The keeper, a thread, beats every two seconds for this worker, ends workers that beat no more, and
hands out again what they held. It goes by their beats and by its own monotonic clock, so that a
clock which is set back ends nobody.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from lofi import __version__
from lofi.brief import InputError, LofiError
from lofi.studio import _jobs, _listings
from lofi.studio._child import Child
from lofi.studio._commission import Commission
from lofi.studio._database import Database, DatabaseError
from lofi.studio._events import record
from lofi.studio._files import read_json
from lofi.studio._queue import Queues, Step, lanes_of, ticket
from lofi.studio._settings import Work
from lofi.studio._stages import KINDS, Stage, given, stage_key
from lofi.studio._storage import Blob, Storage
from lofi.studio._tables import Artifact, Job, JobStage, Worker, now
from lofi.studio._tracks import put_package

_log = structlog.get_logger(__name__)

BEAT_S = 2.0  # and at least four times before others take it for dead
_LOOK_S = 0.4  # how often a running stage looks whether it was cancelled, and tells its progress
_TICKETS_AT_ONCE = 500


class _JobLostError(Exception):
    """The job is no longer ours: another worker has it, or it has ended."""


class _CancelledError(Exception):
    """Somebody asked to cancel the job."""


class _ClosingError(Exception):
    """The worker is being closed."""


@dataclass(slots=True)
class _Held:
    """A lane of a job in this worker's hands."""

    job_id: str
    kind: str
    lane: str
    epoch: int
    commission: Commission
    folder: Path
    child: Child | None = None


class WorkerProcess:
    """Takes jobs of `lanes` until it is closed. One in a process."""

    def __init__(
        self,
        database: Database,
        storage: Storage,
        queue_url: sa.URL,
        work_folder: Path,
        work: Work,
        *,
        lanes: Sequence[str] | None = None,
        alone: bool = False,
    ) -> None:
        """`alone`: no other worker lives, as this process holds the lock of the data folder."""
        self.id = f"{socket.gethostname()[:24]}-{os.getpid()}-{_jobs.new_id()[:6]}"
        self._database = database
        self._storage = storage
        self._work = work
        self._folder = work_folder / self.id
        self._logs = work_folder.parent / "logs"  # what children said; of jobs that were not done
        self._closing = threading.Event()
        self._held: dict[tuple[str, str], _Held] = {}
        self._carrying = 0  # tickets: a job is ours before it is held
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[int, float]] = {}
        self._put: set[str] = set()
        self._looked_at = 0.0
        chosen = [lane for lane in lanes_of(work) if lanes is None or lane.name in lanes]
        if alone:
            shutil.rmtree(work_folder, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        with database.write() as session:
            if alone:
                session.execute(
                    sa.update(Worker).where(Worker.ended_at.is_(None)).values(ended_at=now())
                )
            session.add(
                Worker(
                    id=self.id,
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    lanes=[lane.name for lane in chosen],
                    version=__version__,
                )
            )
        self._queues = Queues(queue_url, self.id, chosen, self._carry_out)
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._keeper.start()

    def close(self) -> None:
        """Stop all work, give back what is unfinished, and leave."""
        with self._lock:
            self._closing.set()
        deadline = time.monotonic() + 8.0
        while self._carrying and time.monotonic() < deadline:
            time.sleep(0.05)
        self._keeper.join(timeout=5.0)
        with suppress(DatabaseError), self._database.write() as session:
            session.execute(sa.update(Worker).where(Worker.id == self.id).values(ended_at=now()))
        self._queues.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def put(self, job_ids: Sequence[str]) -> None:
        """Have jobs start as soon as may be; the keeper would find them within a second."""
        with suppress(DatabaseError):
            with self._database.read() as session:
                jobs = session.scalars(sa.select(Job).where(Job.id.in_(job_ids))).all()
            for job in jobs:
                self._put_ticket(job)

    def schedule(self, cron: str | None, time_zone: str, call: Callable[[datetime], None]) -> None:
        """Call `call` when a cron expression says so, in one of all workers."""
        self._queues.schedule(cron, time_zone, call)

    # A lane of a job ----------------------------------------------------------------------------

    def _carry_out(self, job_id: str, lane: str, epoch: int, step: Step) -> None:
        """One ticket: the stages of a lane, then the next lane."""
        with self._lock:
            if self._closing.is_set():
                return  # whoever is left finds the job without a ticket, and hands it out again
            self._carrying += 1
        try:
            self._carry(job_id, lane, epoch, step)
        finally:
            with self._lock:
                self._carrying -= 1

    def _carry(self, job_id: str, lane: str, epoch: int, step: Step) -> None:
        held: _Held | None = None
        with suppress(_ClosingError):
            held = self._patiently(lambda: self._claim(job_id, lane, epoch))
        if held is None:
            return
        try:
            try:
                for stage in (s for s in KINDS[held.kind].values() if s.lane == lane):
                    step(stage.name, lambda stage=stage: self._do_stage(held, stage))
                following = self._patiently(lambda: self._advance(held))
            finally:
                if held.child:
                    held.child.close()
                shutil.rmtree(held.folder, ignore_errors=True)
            if following:
                self._put_ticket(following)
        except _JobLostError:
            pass
        except _CancelledError:
            self._settle(held, lambda s, job: _jobs.end(s, job, "cancelled", actor=self.actor))
        except _ClosingError:
            self._settle(
                held, lambda s, job: _jobs.hand_out(s, job, "given back", actor=self.actor)
            )
        except LofiError as error:
            self._settle(held, lambda s, job, e=error: self._fail(s, job, e))
        except Exception as error:
            _log.exception("a stage failed that should not have", job=job_id, lane=lane)
            told = LofiError(f"something failed that should not have: {error!r}. Report it.")
            self._settle(held, lambda s, job: self._fail(s, job, told))
        finally:
            with self._lock:
                self._held.pop((job_id, lane), None)

    @property
    def actor(self) -> str:
        """How the audit trail names this worker."""
        return f"worker:{self.id}"

    def _claim(self, job_id: str, lane: str, epoch: int) -> _Held | None:
        with self._database.write() as session:
            claimed = session.execute(
                sa.update(Job)
                .where(
                    Job.id == job_id,
                    Job.epoch == epoch,
                    Job.lane == lane,
                    Job.state.in_(("queued", "waiting")),
                )
                .values(
                    state="running",
                    worker_id=self.id,
                    not_before=None,
                    started_at=sa.func.coalesce(Job.started_at, now()),
                )
            )
            if claimed.rowcount != 1:  # type: ignore[attr-defined]
                return None
            job = _jobs.find(session, job_id)
            record(session, self.actor, "took", "job", job_id, lane=lane, epoch=epoch)
            folder = self._folder / f"{job_id}.{lane}.{epoch}"
            try:
                wanted = Commission.from_json(job.commission)
            except InputError as error:  # of a version that meant something else by it
                _jobs.end(session, job, "failed", actor=self.actor, error=str(error))
                return None
            held = _Held(job_id, job.kind, lane, epoch, wanted, folder)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with self._lock:
            self._held[job_id, lane] = held
        return held

    def _do_stage(self, held: _Held, stage: Stage) -> None:
        if self._closing.is_set():
            raise _ClosingError
        inputs = self._patiently(lambda: self._begin(held, stage))
        if inputs is None:
            return
        for name, sha256 in inputs.items():
            if not (held.folder / name).is_file():
                self._storage.fetch(sha256, held.folder / name)
        if held.child is None:
            held.child = Child(self._logs / f"{held.job_id}.log", niceness=self._work.niceness)
        look = self._looker(held, stage)
        written = held.child.run(
            "stage",
            {
                "name": stage.name,
                "commission": held.commission.to_json(),
                "folder": str(held.folder),
            },
            limit_s=stage.limit_s(held.commission),
            tick=look,
        )
        blobs = {}
        for file in (w["name"] for w in written):
            blobs[file] = self._storage.put(held.folder / file)
            look(stage.name, 1.0)
        self._patiently(lambda: self._finish(held, stage, blobs))

    def _begin(self, held: _Held, stage: Stage) -> dict[str, str] | None:
        """Note that a stage begins; its inputs, or None if there is nothing to do."""
        donors: list[Artifact] = []
        with self._database.read() as session:
            inputs = self._inputs(session, held, stage)
            key = stage_key(stage, held.commission, inputs)
            donor = session.scalar(
                sa.select(JobStage)
                .where(JobStage.key == key, JobStage.state == "done")
                .where(JobStage.job_id != held.job_id)
                .limit(1)
            )
            if donor:
                donors = [
                    a for a in _jobs.artifacts(session, donor.job_id) if a.stage == stage.name
                ]
        # The files of another job that did the same; should one be lost, the work is done again.
        if donors and not all(self._storage.exists(a.sha256) for a in donors):
            donors = []
        with self._database.write() as session:
            self._fence(session, held)
            row = session.get(JobStage, (held.job_id, stage.name))
            assert row
            if row.state == "done":
                return None
            row.key, row.worker_id, row.started_at = key, self.id, now()
            if donors:
                # Locked, so that their files cannot be collected as garbage meanwhile.
                there = session.scalars(
                    sa.select(Artifact)
                    .where(Artifact.job_id == donors[0].job_id, Artifact.stage == stage.name)
                    .with_for_update(read=True)
                ).all()
                if {a.name for a in there} == {a.name for a in donors}:
                    row.state, row.progress, row.finished_at = "done", 1.0, now()
                    row.reused_from = donors[0].job_id
                    blobs = {a.name: Blob(a.sha256, a.size) for a in there}
                    self._write_artifacts(session, held, stage, blobs)
                    record(
                        session, self.actor, "reused", "job", held.job_id,
                        stage=stage.name, source=donors[0].job_id,
                    )  # fmt: skip
                    if stage.name == "package":
                        self._write_track(session, held, blobs)
                    return None
            row.state, row.progress, row.finished_at = "running", 0.0, None
            row.runs += 1
            record(
                session, self.actor, "began", "job", held.job_id,
                stage=stage.name, run=row.runs, epoch=held.epoch,
            )  # fmt: skip
        return inputs

    def _inputs(self, session: Session, held: _Held, stage: Stage) -> dict[str, str]:
        rows = session.execute(
            sa.select(Artifact.name, Artifact.sha256)
            .where(Artifact.job_id == held.job_id, Artifact.stage.in_(stage.needs))
            .order_by(Artifact.name)
        )
        there = {row.name: row.sha256 for row in rows} | given(held.commission)
        return {
            n: h for n, h in there.items() if any(fnmatchcase(n, wanted) for wanted in stage.reads)
        }

    def _finish(self, held: _Held, stage: Stage, blobs: dict[str, Blob]) -> None:
        with self._database.write() as session:
            self._fence(session, held)
            row = session.get(JobStage, (held.job_id, stage.name))
            assert row
            row.state, row.progress, row.finished_at = "done", 1.0, now()
            self._write_artifacts(session, held, stage, blobs)
            record(
                session, self.actor, "finished", "job", held.job_id,
                stage=stage.name, run=row.runs, files={n: b.sha256 for n, b in blobs.items()},
            )  # fmt: skip
            if stage.name == "package":
                self._write_track(session, held, blobs)

    def _write_artifacts(
        self, session: Session, held: _Held, stage: Stage, blobs: dict[str, Blob]
    ) -> None:
        session.execute(
            sa.delete(Artifact).where(Artifact.job_id == held.job_id, Artifact.stage == stage.name)
        )
        for name, blob in blobs.items():
            kind, media_type = kind_of(name)
            session.add(
                Artifact(
                    job_id=held.job_id,
                    name=name,
                    stage=stage.name,
                    kind=kind,
                    media_type=media_type,
                    sha256=blob.sha256,
                    size=blob.size,
                )
            )

    def _write_track(self, session: Session, held: _Held, blobs: dict[str, Blob]) -> None:
        """The track of a package; the same track made anew replaces what was there."""
        described = held.folder / "track.json"
        if not described.is_file():
            self._storage.fetch(blobs["track.json"].sha256, described)
        track = put_package(
            session,
            read_json(described),
            job_id=held.job_id,
            package_sha256=blobs["track.json"].sha256,
        )
        if held.commission.remake is None:  # else, put away meanwhile, it stays away
            track.deleted_at = None
        _jobs.find(session, held.job_id).track_id = track.id
        _listings.keep_drawn(session, track, held.commission, self._listing_of(session, held))
        record(session, self.actor, "made", "track", track.id, job=held.job_id)

    def _listing_of(self, session: Session, held: _Held) -> dict[str, Any]:
        """The listing.json of a package."""
        path = held.folder / "listing.json"
        if not path.is_file():  # made by another worker, or taken over from another job
            artifact = session.get_one(Artifact, (held.job_id, "listing.json"))
            self._storage.fetch(artifact.sha256, path)
        return read_json(path)

    def _advance(self, held: _Held) -> Job | None:
        """The lane is done: the job goes to the next one, which is given, or has ended."""
        lanes = list(dict.fromkeys(s.lane for s in KINDS[held.kind].values()))
        following = lanes[lanes.index(held.lane) + 1 :]
        with self._database.write() as session:
            job = self._fence(session, held)
            if not following:
                _jobs.end(session, job, "done", actor=self.actor)
                (self._logs / f"{job.id}.log").unlink(missing_ok=True)
                return None
            job.lane, job.state, job.worker_id = following[0], "queued", None
            return job

    def _fail(self, session: Session, job: Job, error: LofiError) -> None:
        """What may pass is tried again later; bad input never is."""
        delays = self._work.retry_delays_s
        if isinstance(error, InputError) or job.tries >= len(delays):
            _jobs.end(session, job, "failed", actor=self.actor, error=str(error))
            return
        job.error = str(error)
        delay_s = delays[job.tries]
        job.tries += 1
        _jobs.hand_out(
            session, job, "will try again", actor=self.actor, delay_s=delay_s, error=str(error)
        )

    def _settle(self, held: _Held, close: Callable[[Session, Job], Any]) -> None:
        """Write how a lane ended, unless the job is no longer ours."""

        def write() -> Job | None:
            with self._database.write() as session:
                job = session.get(Job, held.job_id, with_for_update=True)
                if job is None or job.epoch != held.epoch or job.state != "running":
                    return None
                if job.cancel_requested:
                    _jobs.end(session, job, "cancelled", actor=self.actor)
                else:
                    close(session, job)
                return job

        with suppress(_ClosingError):
            job = self._patiently(write)
            if job and job.state in ("queued", "waiting") and not self._closing.is_set():
                self._put_ticket(job)

    def _fence(self, session: Session, held: _Held) -> Job:
        """The job, locked, if it is still ours and still wanted."""
        job = session.get(Job, held.job_id, with_for_update=True)
        if job is None or job.epoch != held.epoch or job.state != "running":
            raise _JobLostError
        if job.cancel_requested:
            raise _CancelledError
        return job

    def _looker(self, held: _Held, stage: Stage) -> Callable[[str, float], None]:
        """A function to be called often: it tells how far a stage is, and raises to stop it."""
        told = -1.0
        looked_at = 0.0

        def look(_name: str, fraction: float) -> None:
            nonlocal told, looked_at
            if self._closing.is_set():
                raise _ClosingError
            if time.monotonic() - looked_at < _LOOK_S:
                return
            looked_at = time.monotonic()
            with suppress(DatabaseError):  # the work goes on without it
                if fraction != told:
                    with self._database.write() as session:
                        self._fence(session, held)
                        session.execute(
                            sa.update(JobStage)
                            .where(JobStage.job_id == held.job_id, JobStage.name == stage.name)
                            .values(progress=fraction)
                        )
                    told = fraction
                else:
                    with self._database.read() as session:
                        self._fence(session, held)

        return look

    def _patiently(self, write: Callable[[], Any]) -> Any:
        """Do a transaction again until the database answers, or this worker is closed."""
        pause_s = 0.1
        while True:
            try:
                return write()
            except DatabaseError as error:
                _log.warning("the database does not answer", error=str(error))
                if self._closing.wait(pause_s):
                    raise _ClosingError from None
                pause_s = min(2.0, 2 * pause_s)

    # Keeping ------------------------------------------------------------------------------------

    def _keep(self) -> None:
        beat_s = min(BEAT_S, self._work.dead_after_s / 4)
        while not self._closing.wait(beat_s):
            try:
                self._beat()
                self._hand_out_orphans()
                self._hand_out_tickets()
            except DatabaseError as error:
                _log.warning("the database does not answer", error=str(error))
            except Exception:  # the keeper must not die of one bad row
                _log.exception("keeping failed")

    def _beat(self) -> None:
        with self._database.write() as session:
            session.execute(
                sa.update(Worker)
                .where(Worker.id == self.id)
                .values(beat=Worker.beat + 1, seen_at=now(), ended_at=None)
            )
            others = session.execute(
                sa.select(Worker.id, Worker.beat).where(
                    Worker.ended_at.is_(None), Worker.id != self.id
                )
            ).all()
            moment = time.monotonic()
            self._seen = {
                name: seen if (seen := self._seen.get(name)) and seen[0] == beat else (beat, moment)
                for name, beat in others
            }
            for name, (beat, since) in self._seen.items():
                if moment - since > self._work.dead_after_s:
                    ended = session.execute(
                        sa.update(Worker)
                        .where(Worker.id == name, Worker.beat == beat, Worker.ended_at.is_(None))
                        .values(ended_at=now())
                    )
                    if ended.rowcount == 1:  # type: ignore[attr-defined]
                        record(session, self.actor, "missed", "worker", name)

    def _hand_out_orphans(self) -> None:
        """Jobs that run in no living worker's hands, and those we hold no more."""
        living = sa.select(Worker.id).where(Worker.ended_at.is_(None))
        with self._database.read() as session:
            running = session.execute(
                sa.select(Job.id, Job.epoch, Job.worker_id).where(
                    Job.state == "running",
                    sa.or_(Job.worker_id.not_in(living), Job.worker_id == self.id),
                )
            ).all()
        with self._lock:
            ours = {(h.job_id, h.epoch) for h in self._held.values()}
        for job_id, epoch, worker_id in running:
            if worker_id == self.id and (job_id, epoch) in ours:
                continue
            with self._database.write() as session:
                job = session.get(Job, job_id, with_for_update=True)
                if job is None or job.epoch != epoch or job.state != "running":
                    continue
                if worker_id == self.id and self._is_held(job_id, epoch):
                    continue  # claimed between our looking there and here
                old = (job.id, job.lane, job.epoch)
                if job.cancel_requested:
                    _jobs.end(session, job, "cancelled", actor=self.actor)
                else:
                    _jobs.hand_out(
                        session, job, "handed out again", actor=self.actor, lost_by=worker_id
                    )
            # A dead holder would go on counting among those that run at once.
            self._queues.take_back(*old)

    def _is_held(self, job_id: str, epoch: int) -> bool:
        with self._lock:
            return any(h.job_id == job_id and h.epoch == epoch for h in self._held.values())

    def _hand_out_tickets(self) -> None:
        """Jobs that wait must have a ticket that somebody will take.

        Tickets are looked up once when a job is first seen and then every ten seconds.
        """
        thoroughly = time.monotonic() - self._looked_at > 10.0
        with self._database.read() as session:
            jobs = session.scalars(
                sa.select(Job)
                .where(Job.state.in_(("queued", "waiting")))
                .order_by(Job.priority, Job.created_at)
                .limit(_TICKETS_AT_ONCE)
            ).all()
            ended = set(session.scalars(sa.select(Worker.id).where(Worker.ended_at.is_not(None))))
        names = {ticket(j.id, j.lane, j.epoch): j for j in jobs}
        self._put &= set(names)
        wanted = [n for n in names if thoroughly or n not in self._put]
        if thoroughly:
            self._looked_at = time.monotonic()
        states = self._queues.states(wanted)
        for name in wanted:
            job = names[name]
            state, holder = states.get(name, ("absent", None))
            late = (job.not_before - now()).total_seconds() if job.not_before else 0.0
            if late > job.delay_s + 5.0:  # the clock was set back: it would wait for hours
                self._again(job, "the clock was set back")
            elif state == "absent":
                self._put_ticket(job)
            elif state == "over" or (state == "held" and holder in ended):
                self._again(job, "its ticket was lost")
                self._queues.take_back(job.id, job.lane, job.epoch)
            else:
                self._put.add(name)

    def _again(self, seen: Job, why: str) -> None:
        with self._database.write() as session:
            job = session.get(Job, seen.id, with_for_update=True)
            same = job and (job.lane, job.epoch) == (seen.lane, seen.epoch)
            if job and same and job.state in ("queued", "waiting"):
                _jobs.hand_out(session, job, "handed out again", actor=self.actor, why=why)

    def _put_ticket(self, job: Job) -> None:
        delay_s = (job.not_before - now()).total_seconds() if job.not_before else 0.0
        try:
            self._queues.put(
                job.id, job.lane, job.epoch, priority=job.priority, delay_s=max(0.0, delay_s)
            )
        except Exception as error:  # its database may be away; the keeper will try again
            _log.warning("a ticket could not be written", job=job.id, error=str(error))
            return
        self._put.add(ticket(job.id, job.lane, job.epoch))


_KINDS = {
    ".mid": ("score", "audio/midi"),
    ".flac": ("audio", "audio/flac"),
    ".wav": ("audio", "audio/wav"),
    ".mp4": ("video", "video/mp4"),
    ".jpg": ("image", "image/jpeg"),
    ".png": ("image", "image/png"),
    ".json": ("data", "application/json"),
}


def kind_of(name: str) -> tuple[str, str]:
    """The kind and media type of an artifact by its name; what later stages read is `internal`."""
    kind, media_type = _KINDS.get(Path(name).suffix, ("other", "application/octet-stream"))
    return ("internal" if name.startswith("internal/") else kind), media_type
