"""Jobs: listed, looked at, cancelled, tried again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from lofi.studio import PREVIEW, Studio, access, jobs, once
from lofi.web._route import IdempotencyKey, Route, at_once
from lofi.web._who import Reader, TheStudio, Writer

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

router = APIRouter(prefix="/api", tags=["jobs"], route_class=Route)

JOB_URL = "/api/jobs/{}"

JobId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["1f0c22d94c4d1f6e"])]
State = Literal["queued", "running", "waiting", "done", "failed", "cancelled"]

_EXAMPLE = {
    "id": "1f0c22d94c4d1f6e",
    "kind": "track",
    "title": "Paper Lanterns",
    "state": "running",
    "batch_id": None,
    "track_id": None,
    "priority": 1,
    "progress": 0.41,
    "eta_s": 38.5,
    "stages": [
        {
            "name": "compose",
            "state": "done",
            "progress": 1.0,
            "runs": 1,
            "reused_from": None,
            "seconds": 4.182,
        }
    ],
    "error": None,
    "file_url": None,
    "prompt": None,
    "asked": {"seed": 7, "mood": "dreamy"},
    "brief": {"seed": 7, "mood": "dreamy", "bpm": 70.0, "key": "Eb major", "duration_s": 120.0},
    "tries": 0,
    "cancel_requested": False,
    "not_before": None,
    "requested_by": "token:website",
    "worker_id": "studio-412-0c1d2e",
    "created_at": "2025-11-02T09:30:00.000Z",
    "started_at": "2025-11-02T09:30:00.412Z",
    "finished_at": None,
}


class StageView(BaseModel):
    """A stage of a job."""

    name: str
    state: Literal["waiting", "running", "done", "failed"]
    progress: float = Field(description="0 to 1.")
    runs: int = Field(description="How often it was begun.")
    reused_from: str | None = Field(description="The job whose files were taken over.")
    seconds: float | None = Field(description="How long it took, once it is done.")


class Failure(BaseModel):
    """Why a job failed, or has to be tried again."""

    cause: str
    remedy: str


class MadeFrom(BaseModel):
    """A MIDI file that a track is made from."""

    name: str
    sha256: str
    how: Literal["continue", "vary"]
    keep: list[str] | None = Field(description="The parts that stay in a variation.")


class JobView(BaseModel):
    """An order and how far it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: str
    kind: Literal["track", "preview"]
    title: str
    state: State = Field(description="`waiting` is for the next try, after `error`.")
    batch_id: str | None
    track_id: str | None = Field(
        description="The track, once it is made; at once where one is made again."
    )
    priority: int = Field(description="1 goes first.")
    progress: float = Field(description="0 to 1, by the work of each stage.")
    eta_s: float | None = Field(description="Seconds of work left, without the wait for a turn.")
    stages: list[StageView]
    error: Failure | None
    file_url: str | None = Field(description="The sound of a preview that is done.")
    prompt: MadeFrom | None
    asked: dict[str, Any] = Field(description="The brief as it was given.")
    brief: dict[str, Any] = Field(description="The brief with all that was drawn.")
    tries: int = Field(description="How often it failed for what may pass.")
    cancel_requested: bool
    not_before: AwareDatetime | None
    requested_by: str
    worker_id: str | None
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None


class JobPage(BaseModel):
    """Some jobs, the newest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"jobs": [_EXAMPLE], "total": 1, "page": 1, "per_page": 50}]
        }
    )

    jobs: list[JobView]
    total: int = Field(description="How many there are on all pages.")
    page: int
    per_page: int


@router.get("/jobs", summary="List jobs")
@at_once
def list_jobs(
    who: Reader,
    studio: TheStudio,
    state: Annotated[list[State] | None, Query(description="One or several states.")] = None,
    kind: Annotated[
        Literal["track", "preview"] | None, Query(description="Only of that kind.")
    ] = None,
    batch: Annotated[
        str | None, Query(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Only of that batch.")
    ] = None,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    per_page: Annotated[int, Query(ge=1, le=200)] = 50,
) -> JobPage:
    """Jobs, the newest first, in pages."""
    with studio.database.read() as session:
        found, total = jobs.listing(
            session,
            states=state or (),
            kinds=(kind,) if kind else (),
            batch_id=batch,
            limit=per_page,
            offset=(page - 1) * per_page,
        )
    return JobPage(
        jobs=[JobView(**shown(v)) for v in found], total=total, page=page, per_page=per_page
    )


def shown(view: dict[str, Any]) -> dict[str, Any]:
    """A job as it is told: with the address of what there is to hear."""
    heard = view["kind"] == "preview" and view["state"] == "done"
    return {**view, "file_url": preview_url(view["id"]) if heard else None}


def preview_url(job_id: str) -> str:
    """Where the sound of a preview is, once it is done."""
    return f"{JOB_URL.format(job_id)}/files/{PREVIEW}"


@router.get("/jobs/{job_id}", summary="Look at a job")
@at_once
def job(job_id: JobId, who: Reader, studio: TheStudio) -> JobView:
    """Its stages, progress, time left, and what went wrong with the remedy."""
    with studio.database.read() as session:
        return JobView(**shown(jobs.view(session, job_id)))


@router.post("/jobs/{job_id}/cancel", summary="Cancel a job")
def cancel_job(
    job_id: JobId,
    who: Writer,
    studio: TheStudio,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> JobView:
    """Stop a job: at once where it waits, within two seconds where it runs.

    One that has ended stays as it is: 409.
    """
    return _change(jobs.cancel, "cancel", job_id, who, studio, response, idempotency_key)[0]


@router.post("/jobs/{job_id}/retry", summary="Try a job again")
def retry_job(
    job_id: JobId,
    who: Writer,
    studio: TheStudio,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> JobView:
    """Try a job again that failed or was cancelled; the stages that are done are not done again.

    One in another state stays as it is: 409.
    """
    view, again = _change(jobs.retry, "retry", job_id, who, studio, response, idempotency_key)
    if not again:
        studio.start([job_id])
    return view


def _change(
    change: Callable[..., Any],
    name: str,
    job_id: str,
    who: access.Principal,
    studio: Studio,
    response: Response,
    key: str | None,
) -> tuple[JobView, bool]:
    def write(session: Session) -> dict[str, Any]:
        change(session, job_id, actor=who.name)
        session.flush()
        return jobs.view(session, job_id)

    told, again = once(studio.database, who.name, key, f"{name} {job_id}", lambda: write)
    if again:
        replayed(response)
    return JobView(**shown(told)), again


def replayed(response: Response) -> None:
    """Say that an answer was given before."""
    response.headers["Idempotency-Replayed"] = "true"
