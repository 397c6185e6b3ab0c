"""Keeping the studio: the password and its sessions, the storage, a backup, the doctor."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO, Literal

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from lofi.studio import Finding, Studio, access, examine, keeping
from lofi.web._files import disposition
from lofi.web._problems import FieldProblem, ProblemError
from lofi.web._route import Route
from lofi.web._who import COOKIE, Admin, Reader, TheStudio, attempt, give_cookie

router = APIRouter(prefix="/api", tags=["studio"], route_class=Route)


# The password ----------------------------------------------------------------------------------


class NewPassword(BaseModel):
    """A password in the place of the present one."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"present": "four words of before", "password": "four words from now on"}]
        },
    )

    present: str = Field("", max_length=1000, description="Empty where there is none yet.")
    password: str = Field(max_length=1000, description="10 to 200 characters.")


class PresentPassword(BaseModel):
    """The password as it is."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"present": "four words of before"}]}
    )

    present: str = Field(max_length=1000)


@router.put("/password", status_code=204, summary="Change the password")
def change_password(
    new: NewPassword, request: Request, response: Response, who: Admin, studio: TheStudio
) -> None:
    """Set the first password, or another one given the present one.

    Every browser that was logged in has to log in again, except the one that asks.
    """
    _count_attempt(request)
    agent = request.headers.get("user-agent", "") if who.token_id is None else None
    with _pointed():
        secret = access.change_password(
            studio.database, new.present, new.password, actor=who.name, agent=agent
        )
    if secret:
        give_cookie(request, response, secret)


@router.delete("/password", status_code=204, summary="Have no password")
def remove_password(
    known: PresentPassword, request: Request, response: Response, who: Admin, studio: TheStudio
) -> None:
    """Remove the password, given the present one, and end all sessions.

    Refused where the studio answers beyond this machine and there is no token.
    """
    _count_attempt(request)
    near = access.is_loopback(studio.base.server.host)
    with _pointed():
        access.change_password(studio.database, known.present, None, actor=who.name, stay_open=near)
    response.delete_cookie(COOKIE, path="/")


def _count_attempt(request: Request) -> None:
    """As with logging in, only so many may be tried."""
    if wait_s := attempt(request):
        raise ProblemError(
            "too-many-requests",
            "too many passwords were tried.",
            f"Wait {math.ceil(wait_s)} s.",
            headers={"Retry-After": str(math.ceil(wait_s))},
        )


class _pointed:  # noqa: N801 (used like a function)
    """Tells a wrong password at its field."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        if isinstance(error, access.WrongPasswordError):
            field = FieldProblem(where="body", pointer="/present", detail=str(error))
            raise ProblemError("invalid-input", str(error), errors=[field]) from error


# Sessions --------------------------------------------------------------------------------------


class SessionView(BaseModel):
    """A browser that is logged in."""

    id: str
    agent: str = Field(description="As the browser calls itself.")
    created_at: AwareDatetime
    used_at: AwareDatetime = Field(description="To the minute.")
    expires_at: AwareDatetime = Field(description="Unless it is used before.")
    current: bool = Field(description="Whether it is the one that asks.")


class Sessions(BaseModel):
    """The browsers that are logged in, the last used first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sessions": [
                        {
                            "id": "9f86d081",
                            "agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
                            "created_at": "2026-11-02T09:30:00Z",
                            "used_at": "2026-11-28T07:12:00Z",
                            "expires_at": "2026-12-28T07:12:00Z",
                            "current": True,
                        }
                    ]
                }
            ]
        }
    )

    sessions: list[SessionView]


class Ended(BaseModel):
    """How many were ended."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ended": 2}]})

    ended: int


@router.get("/sessions", summary="List sessions")
def list_sessions(who: Admin, studio: TheStudio) -> Sessions:
    """The browsers that are logged in."""
    with studio.database.read() as session:
        found = access.sessions(session)
    mine = (who.session_sha256 or "")[:8]
    return Sessions(sessions=[SessionView(**one, current=one["id"] == mine) for one in found])


@router.delete("/sessions", summary="End all other sessions")
def end_sessions(who: Admin, studio: TheStudio) -> Ended:
    """Log out every browser but the one that asks; a token logs out all of them."""
    with studio.database.write() as session:
        return Ended(ended=access.end_others(session, who.session_sha256, actor=who.name))


@router.delete("/sessions/{session_id}", status_code=204, summary="End a session")
def end_session(
    session_id: Annotated[str, Path(pattern=r"^[0-9a-f]{8}$", examples=["9f86d081"])],
    who: Admin,
    studio: TheStudio,
) -> None:
    """Log out a browser, at once; its live connections are closed within seconds."""
    with studio.database.write() as session:
        access.log_out(session, session_id, actor=who.name)


# The storage -----------------------------------------------------------------------------------


class KindUsage(BaseModel):
    """Files of a kind."""

    kind: str
    files: int
    bytes: int


class FilesUsage(BaseModel):
    """How many files, and their bytes."""

    files: int
    bytes: int


class StorageView(BaseModel):
    """What the studio takes, in bytes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "storage": "/srv/lofi/data/studio/storage",
                    "kinds": [{"kind": "video", "files": 128, "bytes": 7_400_000_000}],
                    "deleted": {"files": 7, "bytes": 61_000_000},
                    "database": 4_200_000,
                    "samples": 9_000_000,
                    "logs": 120_000,
                    "models": 48_000_000,
                    "free": 82_000_000_000,
                    "total": 256_000_000_000,
                }
            ]
        }
    )

    storage: str = Field(description="Where the files of tracks lie.")
    kinds: list[KindUsage] = Field(description="Each content is counted once.")
    deleted: FilesUsage = Field(description="Of those: of tracks that can still be restored.")
    database: int
    samples: int = Field(description="Sounded samples of training runs; they may be deleted.")
    logs: int
    models: int
    free: int
    total: int


class Collection(BaseModel):
    """Whether garbage is only looked for."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"dry_run": True}]})

    dry_run: bool = True


class Collected(BaseModel):
    """What was deleted, or would be."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dry_run": True, "files": 12, "bytes": 48_000_000, "leftovers": 0,
                    "leftover_bytes": 0, "kept": 3120, "purged": [],
                }
            ]
        }
    )  # fmt: skip

    dry_run: bool
    files: int
    bytes: int
    leftovers: int = Field(description="Half-written files that a killed process left.")
    leftover_bytes: int
    kept: int
    purged: list[str] = Field(description="Tracks that were deleted more than 30 days ago.")


@router.get("/storage", summary="What the studio takes")
def read_storage(who: Reader, studio: TheStudio) -> StorageView:
    """Files by kind, the database, models, and room on the disk."""
    return StorageView(**keeping.usage(studio))


@router.post("/storage/gc", summary="Delete what nothing names")
def collect_garbage(asked: Collection, who: Admin, studio: TheStudio) -> Collected:
    """Files that no job or track names, and those of tracks deleted more than 30 days ago.

    What was written in the last hour stays: its record may be on its way.
    """
    done = keeping.collect(studio, dry_run=asked.dry_run, actor=who.name)
    found = done.garbage
    return Collected(
        dry_run=asked.dry_run,
        files=found.count,
        bytes=found.bytes,
        leftovers=found.leftovers,
        leftover_bytes=found.leftover_bytes,
        kept=found.kept,
        purged=list(done.purged),
    )


# A backup --------------------------------------------------------------------------------------

_PIECE = 2**20


@router.get(
    "/backup",
    summary="A copy of the database",
    responses={
        200: {
            "description": "A SQLite database.",
            "content": {"application/vnd.sqlite3": {"example": "(its bytes)"}},
        }
    },
    response_class=Response,
)
def backup(who: Admin, studio: TheStudio) -> Response:
    """All that the studio remembers, as of this moment, in one SQLite file.

    Secrets are in it as hashes, keys to accounts sealed with a key that is not in it
    (`secret.key`). It does not hold the files of tracks, which lie in the storage, nor models. A
    studio on PostgreSQL answers with a conflict: pg_dump is the tool for it.
    """
    file, size, name = keeping.backup(studio, actor=who.name)
    headers = {"Content-Length": str(size), "Content-Disposition": disposition(name, saved=True)}
    return StreamingResponse(_pieces(file), headers=headers, media_type="application/vnd.sqlite3")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece


# The doctor ------------------------------------------------------------------------------------

_CHECK_S = 30.0
_WITHIN_S = 120.0
_FRESH_S = 10.0


class FindingView(BaseModel):
    """What was found of one thing."""

    name: str
    state: Literal["ok", "absent", "broken"]
    detail: str
    remedy: str


class Diagnosis(BaseModel):
    """What works on the machine of the server, what is absent, and what is broken."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ok": True,
                    "took_s": 9.2,
                    "findings": [
                        {"name": "Python", "state": "ok", "detail": "3.12.3", "remedy": ""},
                        {
                            "name": "Redis",
                            "state": "absent",
                            "detail": "none is set: each process keeps what it caches in memory",
                            "remedy": "",
                        },
                    ],
                }
            ]
        }
    )

    ok: bool = Field(description="Whether nothing is broken.")
    took_s: float
    findings: list[FindingView]


class Doctor:
    """Looks at one time for all who ask at that time."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._lock = threading.Lock()
        self._found: Diagnosis | None = None
        self._found_at = 0.0

    def examine(self) -> Diagnosis:
        """What is found now; who asked while it was looked for is told the same."""
        with self._lock:
            if self._found is None or time.monotonic() - self._found_at > _FRESH_S:
                begun = time.monotonic()
                found = examine(
                    self._studio.base,
                    storage=self._storage,
                    limit_s=_CHECK_S,
                    within_s=_WITHIN_S,
                )
                self._found_at = time.monotonic()
                self._found = _told(found, self._found_at - begun)
            return self._found

    def _storage(self) -> str:
        self._studio.storage.check()
        return self._studio.storage.url


def _told(found: list[Finding], took_s: float) -> Diagnosis:
    views = [FindingView(**f.to_dict()) for f in found]  # type: ignore[arg-type]
    ok = all(f.state != "broken" for f in found)
    return Diagnosis(ok=ok, took_s=round(took_s, 1), findings=views)


@router.get("/doctor", summary="What works, and what is broken")
def doctor(request: Request, who: Admin) -> Diagnosis:
    """Looks at everything the studio can use, as `lofi doctor` does; within two minutes.

    Each thing is ok, absent (with what is used in its place) or broken (with the remedy). Nothing
    is changed or sent.
    """
    examined: Doctor = request.app.state.doctor
    return examined.examine()
