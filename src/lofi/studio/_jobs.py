"""Jobs as rows: ordered, cancelled, tried again, looked at. `_worker` carries them out.

A job is one track: its commission, and a row for each stage. Whoever writes a row here need not run
the work: a worker finds it.
"""

from __future__ import annotations

import re
import secrets
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.brief import Key
from lofi.studio import _listings
from lofi.studio._commission import Commission
from lofi.studio._errors import ConflictError, NotFoundError
from lofi.studio._events import record
from lofi.studio._stages import ALL_STAGES, KINDS, PREVIEW_S
from lofi.studio._tables import Artifact, Job, JobStage, now

ENDED = ("done", "failed", "cancelled")
STATES = ("queued", "running", "waiting", *ENDED)
PRIORITIES = {"now": 1, "batch": 5, "daily": 8}
KEEP_PREVIEWS = timedelta(days=1)
_HISTORY = 200  # finished stages from which the time left is guessed


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of the studio: a commission, and how it is queued.

    `kind` is what is made of it, one of KINDS. Of orders with the same `dedup_key` the first one
    stands, for ever.
    """

    commission: Commission
    kind: str = "track"
    priority: int = PRIORITIES["now"]
    not_before: datetime | None = None
    dedup_key: str | None = None


def submit(
    session: Session, orders: Sequence[Order], *, actor: str, batch_id: str | None = None
) -> list[str]:
    """Write the jobs of some orders; gives their ids, in order. Many have one batch.

    Each track is given a name and words that no other of the last 90 days has; what is made again
    keeps its own.
    """
    if batch_id is None and len(orders) > 1:
        batch_id = new_id()
    words = _listings.Drawing(session)
    ids = []
    for order in orders:
        if order.dedup_key is not None:
            there = session.scalar(sa.select(Job.id).where(Job.dedup_key == order.dedup_key))
            if there:
                ids.append(there)
                continue
        stages, commission = KINDS[order.kind], order.commission
        title = f"{commission.title}, {order.kind}"
        if order.kind == "track":  # a preview takes nobody's name
            if commission.remake is None:
                commission = words.draw(commission)
            title = commission.title
        job = Job(
            id=new_id(),
            kind=order.kind,
            batch_id=batch_id,
            title=title,
            commission=commission.to_json(),
            lane=next(iter(stages.values())).lane,
            priority=order.priority,
            not_before=order.not_before,
            delay_s=_delay_s(order.not_before),
            dedup_key=order.dedup_key,
            requested_by=actor,
            track_id=commission.remake.track_id if commission.remake else None,
        )
        session.add(job)
        session.flush()
        for place, stage in enumerate(stages.values()):
            session.add(JobStage(job_id=job.id, name=stage.name, place=place))
        record(session, actor, "queued", "job", job.id, title=job.title, batch_id=batch_id)
        ids.append(job.id)
    session.flush()
    return ids


def _delay_s(moment: datetime | None) -> float:
    return max(0.0, (moment - now()).total_seconds()) if moment else 0.0


def new_id() -> str:
    """A name that nobody guesses and that sorts by nothing: 16 hex characters."""
    return secrets.token_hex(8)


def find(session: Session, job_id: str, *, lock: bool = False) -> Job:
    """The job of that id. Raises NotFoundError."""
    job = session.get(Job, job_id, with_for_update=lock or None)
    if job is None:
        raise NotFoundError(f"there is no job {job_id!r}. `lofi jobs` lists them.")
    return job


def states_of_keys(session: Session, prefix: str) -> dict[str, str]:
    """The state of each job whose `dedup_key` begins so, by that key."""
    rows = session.execute(
        sa.select(Job.dedup_key, Job.state).where(Job.dedup_key.startswith(prefix, autoescape=True))
    )
    return {key: state for key, state in rows if key}


def cancel(session: Session, job_id: str, *, actor: str) -> Job:
    """Stop a job: at once where it waits, within two seconds where it runs.

    Raises ConflictError for one that has ended.
    """
    job = find(session, job_id, lock=True)
    if job.state in ENDED:
        raise ConflictError(f"job {job_id} is {job.state} already: there is nothing to cancel.")
    record(session, actor, "asked to cancel", "job", job.id)
    job.cancel_requested = True
    if job.state != "running":
        end(session, job, "cancelled", actor=actor)
    return job


def retry(session: Session, job_id: str, *, actor: str) -> Job:
    """Try a job again that failed or was cancelled; what it has finished stays finished.

    Raises ConflictError for one in another state.
    """
    job = find(session, job_id, lock=True)
    if job.state not in ("failed", "cancelled"):
        raise ConflictError(
            f"job {job_id} is {job.state}: only one that failed can be tried again."
        )
    stages = session.scalars(
        sa.select(JobStage).where(JobStage.job_id == job_id).order_by(JobStage.place)
    ).all()
    left = [s for s in stages if s.state != "done"]
    for stage in left:
        stage.state, stage.progress = "waiting", 0.0
    job.lane = ALL_STAGES[(left[0] if left else stages[-1]).name].lane
    job.tries, job.cancel_requested, job.error, job.finished_at = 0, False, None, None
    job.not_before, job.delay_s = None, 0.0
    hand_out(session, job, "tried again", actor=actor)
    return job


def hand_out(
    session: Session, job: Job, verb: str, *, actor: str, delay_s: float = 0.0, **detail: Any
) -> None:
    """Put a job back among those that wait, under a new epoch: earlier holders lose it."""
    job.epoch += 1
    job.state = "waiting" if delay_s else "queued"
    job.worker_id = None
    job.delay_s = delay_s
    job.not_before = now() + timedelta(seconds=delay_s) if delay_s else None
    _stop_stages(session, job.id, "waiting")
    record(session, actor, verb, "job", job.id, epoch=job.epoch, **detail)


def end(session: Session, job: Job, state: str, *, actor: str, error: str | None = None) -> None:
    """Close a job as `done`, `failed` or `cancelled`."""
    job.state, job.error, job.finished_at, job.worker_id = state, error, now(), None
    _stop_stages(session, job.id, "failed" if state == "failed" else "waiting")
    record(session, actor, state, "job", job.id, **({"error": error} if error else {}))


def _stop_stages(session: Session, job_id: str, state: str) -> None:
    session.execute(
        sa.update(JobStage)
        .where(JobStage.job_id == job_id, JobStage.state == "running")
        .values(state=state, progress=0.0)
    )


# Looking ---------------------------------------------------------------------------------------


def listing(
    session: Session,
    *,
    states: Sequence[str] = (),
    kinds: Sequence[str] = (),
    batch_id: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> tuple[list[dict[str, Any]], int]:
    """Jobs as plain values, the newest first, and how many there are in all."""
    query = sa.select(Job)
    if kinds:
        query = query.where(Job.kind.in_(kinds))
    if states:
        query = query.where(Job.state.in_(states))
    if batch_id:
        query = query.where(Job.batch_id == batch_id)
    counted = query.with_only_columns(sa.func.count()).select_from(Job)
    total = session.scalars(counted).one()
    jobs = session.scalars(
        query.order_by(Job.created_at.desc(), Job.id).limit(limit).offset(offset)
    ).all()
    return views(session, jobs), total


def view(session: Session, job_id: str) -> dict[str, Any]:
    """A job as plain values: stages, progress, time left, error with cause and remedy."""
    return views(session, [find(session, job_id)])[0]


def some(session: Session, job_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Those of some jobs that there are, as plain values."""
    return views(session, session.scalars(sa.select(Job).where(Job.id.in_(job_ids))).all())


_STAGES = (
    sa.select(
        JobStage.job_id, JobStage.name, JobStage.state, JobStage.progress, JobStage.runs,
        JobStage.reused_from, JobStage.started_at, JobStage.finished_at,
    )
    .where(JobStage.job_id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(JobStage.place)
)  # fmt: skip


def views(session: Session, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Jobs as plain values."""
    stages: dict[str, list[Any]] = {job.id: [] for job in jobs}
    for row in session.execute(_STAGES, {"ids": list(stages)}):
        stages[row.job_id].append(row)
    paces = _stage_paces(session) if any(j.state not in ENDED for j in jobs) else {}
    return [_view(job, stages[job.id], paces) for job in jobs]


def _view(job: Job, stages: list[Any], paces: dict[str, float]) -> dict[str, Any]:
    known = bool(stages) and all(s.name in paces for s in stages)
    costs = [paces[s.name] * _music_s(s.name, job.commission) if known else 1.0 for s in stages]
    whole = sum(costs)
    done = sum(
        cost * (1.0 if s.state == "done" else s.progress)
        for s, cost in zip(stages, costs, strict=True)
    )
    eta_s = round(whole - done, 1) if known and job.state not in ENDED else None
    return {
        "id": job.id,
        "kind": job.kind,
        "title": job.title,
        "state": job.state,
        "batch_id": job.batch_id,
        "track_id": job.track_id,
        "priority": job.priority,
        "progress": 1.0 if job.state == "done" else round(done / (whole or 1.0), 4),
        # The work that is left, once it runs: what waits before it in the queue is not counted.
        "eta_s": eta_s,
        "stages": [_stage(*s[1:]) for s in stages],
        "error": explained(job.error),
        "prompt": _told_prompt(job.commission.get("prompt")),
        "asked": _plain_brief(job.commission["asked"]),
        "brief": _plain_brief(job.commission["brief"]),
        "tries": job.tries,
        "cancel_requested": job.cancel_requested,
        "not_before": told(job.not_before),
        "requested_by": job.requested_by,
        "worker_id": job.worker_id,
        "created_at": told(job.created_at),
        "started_at": told(job.started_at),
        "finished_at": told(job.finished_at),
    }


def _plain_brief(brief: dict[str, Any]) -> dict[str, Any]:
    """A brief in the words of whoever asked; what it leaves open is left out."""
    told = {name: value for name, value in brief.items() if value is not None}
    return told | ({"key": str(Key(**told["key"]))} if "key" in told else {})


def _told_prompt(prompt: dict[str, Any] | None) -> dict[str, Any] | None:
    """The MIDI file that a job goes on from or varies."""
    if prompt is None:
        return None
    keep = prompt["keep"]
    how = "continue" if keep is None else "vary"
    return {"name": prompt["outline"]["name"], "sha256": prompt["sha256"], "how": how, "keep": keep}


def _music_s(stage: str, commission: dict[str, Any]) -> float:
    """The seconds of music that a stage has to do with."""
    return PREVIEW_S if stage == "preview" else float(commission["brief"]["duration_s"])


def _stage(
    name: str,
    state: str,
    progress: float,
    runs: int,
    reused_from: str | None,
    begun: datetime | None,
    ended: datetime | None,
) -> dict[str, Any]:
    seconds = None
    if state == "done" and begun and ended:
        seconds = round((ended - begun).total_seconds(), 3)
    return {
        "name": name,
        "state": state,
        "progress": round(progress, 4),
        "runs": runs,
        "reused_from": reused_from,
        "seconds": seconds,
    }


def told(moment: datetime | None) -> str | None:
    """A moment as it is written in JSON: UTC, in milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None


def explained(error: str | None) -> dict[str, str] | None:
    """An error as its cause (the first sentence) and its remedy (the rest)."""
    if error is None:
        return None
    cause, _, remedy = re.sub(r"(?<=[.!?]) (?=[A-Z`])", "\n", error, count=1).partition("\n")
    return {"cause": cause, "remedy": remedy}


_DONE = JobStage.state == "done"
_paces: WeakKeyDictionary[sa.Engine, tuple[datetime | None, dict[str, float]]] = WeakKeyDictionary()


def _stage_paces(session: Session) -> dict[str, float]:
    """Seconds of work per second of music, by stage: medians of what was finished lately.

    Worked out again once another stage is done: every look at a job that runs asks for them.
    """
    engine = session.get_bind().engine
    latest = session.scalar(sa.select(sa.func.max(JobStage.finished_at)).where(_DONE))
    known = _paces.get(engine)
    if known is None or known[0] != latest:
        known = _paces[engine] = (latest, _measured_paces(session))
    return known[1]


def _measured_paces(session: Session) -> dict[str, float]:
    rows = session.execute(
        sa.select(JobStage.name, JobStage.started_at, JobStage.finished_at, Job.commission)
        .join(Job, Job.id == JobStage.job_id)
        .where(_DONE, JobStage.reused_from.is_(None), JobStage.runs > 0)
        .order_by(JobStage.finished_at.desc())
        .limit(_HISTORY)
    )
    paces: dict[str, list[float]] = {}
    for name, begun, ended, commission in rows:
        if begun and ended:
            spent = max(0.0, (ended - begun).total_seconds())
            paces.setdefault(name, []).append(spent / _music_s(name, commission))
    return {name: statistics.median(values) for name, values in paces.items()}


def purge_previews(session: Session, *, actor: str, before: datetime | None = None) -> list[str]:
    """Forget previews that ended more than a day ago; gives their ids.

    The garbage collector then frees their files, but for a score that a track has taken over.
    """
    ids = list(
        session.scalars(
            sa.select(Job.id)
            .where(
                Job.kind == "preview",
                Job.state.in_(ENDED),
                Job.finished_at < (before or now() - KEEP_PREVIEWS),
            )
            .order_by(Job.id)
            .with_for_update()
        )
    )
    for job_id in ids:
        record(session, actor, "purged", "job", job_id)
    for table, column in ((Artifact, Artifact.job_id), (JobStage, JobStage.job_id), (Job, Job.id)):
        session.execute(sa.delete(table).where(column.in_(ids)))
    return ids


def artifacts(session: Session, job_id: str) -> list[Artifact]:
    """The files of a job, by name."""
    return list(
        session.scalars(
            sa.select(Artifact).where(Artifact.job_id == job_id).order_by(Artifact.name)
        )
    )


_NUMBER = sa.func.count()
_COUNTS = (
    sa.select(sa.literal("done"), _NUMBER)
    .select_from(Job)
    .union_all(
        sa.select(Job.state, _NUMBER)
        .where(Job.state.in_([state for state in STATES if state != "done"]))
        .group_by(Job.state)
    )
)


def counts(session: Session) -> dict[str, int]:
    """How many jobs there are in each state that any is in.

    Nearly all are done. They are what the others leave of all, which SQLite counts by the page.
    """
    found = dict(session.execute(_COUNTS).all())
    found["done"] = 2 * found["done"] - sum(found.values())
    return {state: count for state, count in found.items() if count}
