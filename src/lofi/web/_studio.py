"""The studio itself: whether it is well, how it is set, who has a key, what was done."""

from __future__ import annotations

import math
import re
import shutil
import threading
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from lofi import __version__
from lofi.brief import InputError
from lofi.studio import WRITABLE, Settings, Studio, access, events, figures, jobs
from lofi.web._problems import ProblemError
from lofi.web._route import Route
from lofi.web._who import Admin, Reader, TheStudio

router = APIRouter(prefix="/api", tags=["studio"], route_class=Route)

# Health ----------------------------------------------------------------------------------------

_ASKED_EVERY_S = 2.0  # at most: the storage is written to, and anybody may ask

PartState = Literal["ok", "down"]


class Health:
    """Whether the parts of a studio are well, looked at every other second at most."""

    def __init__(self, studio: Studio) -> None:
        self.begun = time.monotonic()
        self._studio = studio
        self._lock = threading.Lock()
        self._looked_at = -math.inf
        self._found: dict[str, str | None] = {}

    def parts(self) -> dict[str, str | None]:
        """What is wrong with each part, or None."""
        with self._lock:
            if time.monotonic() - self._looked_at > _ASKED_EVERY_S:
                self._found = figures.parts(self._studio)
                self._looked_at = time.monotonic()
            return self._found


class Live(BaseModel):
    """The server answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """The parts without which the studio cannot serve are well."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"status": "ok", "parts": {"database": "ok", "storage": "ok", "queue": "ok"}}
            ]
        }
    )

    status: Literal["ok"] = "ok"
    parts: dict[str, PartState]


@router.get("/health/live", summary="Whether the server answers", tags=["health"])
async def live() -> Live:
    """Looks at nothing and needs no token: if this fails, start the server again."""
    return Live()


@router.get("/health/ready", summary="Whether the studio can serve", tags=["health"])
def ready(request: Request) -> Ready:
    """Database, storage and the queue's keeper. 503 if one of them does not answer.

    Needs no token, so it tells which part is down and no more; the log tells why.
    """
    health: Health = request.app.state.health
    down = [name for name, wrong in health.parts().items() if wrong]
    if down:
        raise ProblemError(
            "unavailable",
            f"{', '.join(down)}: no answer.",
            "`lofi doctor` tells why.",
            headers={"Retry-After": "5"},
        )
    return Ready(parts=dict.fromkeys(health.parts(), "ok"))


@router.get("/health", summary="Whether the server answers and can serve", tags=["health"])
def health(request: Request) -> Ready:
    """Both: `live` and `ready`."""
    return ready(request)


# Status ----------------------------------------------------------------------------------------


class WorkerView(BaseModel):
    """A process that takes jobs."""

    id: str
    host: str
    lanes: list[str] = Field(description="What it is asked to do: compute, render, network.")
    version: str
    alive: bool
    started_at: AwareDatetime
    seen_at: AwareDatetime


class Disk(BaseModel):
    """The disk of the data folder."""

    free_bytes: int
    total_bytes: int


class Status(BaseModel):
    """How the studio is doing."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "version": "0.1.0",
                    "uptime_s": 86400.0,
                    "database": "sqlite",
                    "workers": [
                        {
                            "id": "studio-412-0c1d2e",
                            "host": "studio",
                            "lanes": ["compute", "render", "network"],
                            "version": "0.1.0",
                            "alive": True,
                            "started_at": "2025-11-02T09:00:00.000Z",
                            "seen_at": "2025-11-02T09:30:00.000Z",
                        }
                    ],
                    "jobs": {"queued": 3, "running": 1, "done": 128},
                    "disk": {"free_bytes": 82_000_000_000, "total_bytes": 256_000_000_000},
                    "stored_bytes": 9_400_000_000,
                }
            ]
        }
    )

    version: str
    uptime_s: float
    database: Literal["sqlite", "postgresql"]
    workers: list[WorkerView]
    jobs: dict[str, int] = Field(description="How many there are in each state.")
    disk: Disk
    stored_bytes: int = Field(
        description="Of all files of jobs, each counted once; as of some seconds ago."
    )


@router.get("/status", summary="How the studio is doing")
def status(request: Request, who: Reader, studio: TheStudio) -> Status:
    """Version, workers, what waits and runs, and room on the disk."""
    health: Health = request.app.state.health
    disk = shutil.disk_usage(studio.folder)
    with studio.database.read() as session:
        workers = figures.workers(session, studio.base.work.dead_after_s)
        states = jobs.counts(session)
    return Status(
        version=__version__,
        uptime_s=round(time.monotonic() - health.begun, 1),
        database="sqlite" if studio.database.is_sqlite else "postgresql",
        workers=[WorkerView(**worker) for worker in workers],
        jobs=states,
        disk=Disk(free_bytes=disk.free, total_bytes=disk.total),
        stored_bytes=figures.stored_bytes(studio),
    )


# Settings --------------------------------------------------------------------------------------

_SECRET = re.compile(r"(?<=://)[^/@\s]*@")


class Config(BaseModel):
    """All settings, and which groups of them may be changed here."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"settings": {"video": {"width": 1920, "fps": 30}}, "writable": ["video", "daily"]}
            ]
        }
    )

    settings: dict[str, dict[str, JsonValue]]
    writable: list[str]


class Changes(BaseModel):
    """Settings by group: what is left out stays, null takes back what was set here."""

    model_config = ConfigDict(
        extra="allow",
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [{"video": {"fps": 24}}, {"daily": {"count": 2, "moods": ["chill"]}}]
        },
    )

    __pydantic_extra__: dict[str, dict[str, JsonValue]]  # pyright: ignore


def _config(settings: Settings) -> Config:
    told: dict[str, dict[str, Any]] = settings.model_dump(mode="json")
    for name, value in told["studio"].items():
        told["studio"][name] = _SECRET.sub("***@", value).partition("?")[0]
    return Config(settings=told, writable=list(WRITABLE))


@router.get("/config", summary="All settings")
def config(who: Reader, studio: TheStudio) -> Config:
    """The settings as they are now. Passwords in addresses are not shown."""
    return _config(studio.settings())


@router.patch("/config", summary="Change settings")
def change_config(changes: Changes, who: Admin, studio: TheStudio) -> Config:
    """Set some settings for work that is ordered from now on; all of them, or none.

    Only the groups in `writable`. The environment goes before what is set here; null takes back
    what was set here, so that the file holds again.
    """
    asked = changes.model_dump()
    if not _is_plain(asked):
        raise InputError("a number of the settings is infinite or none. Give finite numbers.")
    return _config(studio.change_settings(asked, actor=who.name))


def _is_plain(value: Any) -> bool:
    """Whether JSON has a way to write it: Python reads NaN, and would write it."""
    if isinstance(value, dict):
        return all(_is_plain(v) for v in value.values())
    if isinstance(value, list):
        return all(_is_plain(v) for v in value)
    return not isinstance(value, float) or math.isfinite(value)


# Tokens ----------------------------------------------------------------------------------------

Scope = Literal["read", "write", "publish", "admin"]

_TOKEN = {
    "id": 1,
    "name": "website",
    "scopes": ["write"],
    "created_at": "2025-11-02T09:30:00Z",
    "expires_at": None,
    "used_at": None,
    "revoked_at": None,
}


class TokenView(BaseModel):
    """A key to the studio, without its secret."""

    id: int
    name: str
    scopes: list[Scope]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    used_at: AwareDatetime | None = Field(description="To the minute.")
    revoked_at: AwareDatetime | None


class Tokens(BaseModel):
    """All keys, the newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tokens": [_TOKEN]}]})

    tokens: list[TokenView]


class NewToken(BaseModel):
    """A key that is asked for."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"name": "website", "scopes": ["write"]},
                {"name": "grafana", "scopes": ["read"], "expires_at": "2099-01-01T00:00:00Z"},
            ]
        },
    )

    name: str = Field(description="Letters, digits, spaces, dots, hyphens and underscores.")
    scopes: list[Scope] = Field(
        min_length=1, max_length=4, description="Each may also do what those before it may."
    )
    expires_at: AwareDatetime | None = Field(None, description="Never, if left out.")


class MadeToken(TokenView):
    """A key with its secret."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{**_TOKEN, "token": "lofi_7Qm1vGq5cYt0cP8mZy2rXo4LhW9bN6dEaFsUkTjRiVw"}]
        }
    )

    token: str = Field(description="Shown here and never again.")


@router.get("/tokens", summary="List tokens")
def list_tokens(who: Admin, studio: TheStudio) -> Tokens:
    """All tokens, those that were revoked as well. Their secrets are not kept."""
    with studio.database.read() as session:
        return Tokens(tokens=[TokenView(**view) for view in access.tokens(session)])


@router.post("/tokens", status_code=201, summary="Make a token")
def make_token(new: NewToken, who: Admin, studio: TheStudio) -> MadeToken:
    """Make a token. Its secret is shown once, so an Idempotency-Key is not looked at here.

    From the first token on, requests from this machine need one too: give the first one `admin`.
    """
    with studio.database.write() as session:
        secret = access.create_token(session, new.name, new.scopes, new.expires_at, actor=who.name)
        view = access.describe_token(session, secret)
    return MadeToken(**view, token=secret)


@router.delete("/tokens/{token_id}", status_code=204, summary="Revoke a token")
def revoke_token(
    token_id: Annotated[int, Path(ge=1, le=2**31 - 1, examples=[1])], who: Admin, studio: TheStudio
) -> None:
    """Have a token open nothing any more, at once. Live connections that it opened are closed."""
    with studio.database.write() as session:
        access.revoke_token(session, token_id, actor=who.name)


# Audit trail -----------------------------------------------------------------------------------


class EventView(BaseModel):
    """Who did what to which thing."""

    id: int
    at: AwareDatetime
    actor: str
    verb: str
    kind: str
    subject: str
    detail: dict[str, Any]


class Events(BaseModel):
    """Some events, in the order of their ids."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {
                            "id": 17,
                            "at": "2025-11-02T09:30:00.000Z",
                            "actor": "token:website",
                            "verb": "queued",
                            "kind": "job",
                            "subject": "1f0c22d94c4d1f6e",
                            "detail": {"title": "Paper Lanterns", "batch_id": None},
                        }
                    ],
                    "last": 17,
                }
            ]
        }
    )

    events: list[EventView]
    last: int | None = Field(description="Give it as `after` to go on from here.")


Filter = Annotated[str | None, Query(max_length=100, pattern=r"^[^\x00]*$")]


@router.get("/events", summary="What was done")
def list_events(
    who: Reader,
    studio: TheStudio,
    after: Annotated[
        int | None, Query(ge=0, le=2**62, description="Only later ones; else the newest ones.")
    ] = None,
    actor: Filter = None,
    verb: Filter = None,
    kind: Filter = None,
    subject: Filter = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Events:
    """The audit trail: who did what to which thing. Nothing in it is ever changed."""
    with studio.database.read() as session:
        found = events(
            session,
            after=after,
            actor=actor,
            verb=verb,
            kind=kind,
            subject=subject,
            limit=limit,
        )
    return Events(
        events=[EventView(**event) for event in found],
        last=found[-1]["id"] if found else after,
    )
