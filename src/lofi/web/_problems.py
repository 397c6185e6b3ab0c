"""Every error as RFC 9457 problem details: what is wrong, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from lofi.brief import InputError, LofiError
from lofi.studio import (
    ConflictError,
    DatabaseError,
    KeyReusedError,
    NotFoundError,
    YouTubeError,
    jobs,
)

MEDIA_TYPE = "application/problem+json"
_RETRY_S = 5


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its status and its title."""

    status: int
    title: str


KINDS: dict[str, Kind] = {
    "bad-request": Kind(400, "The request cannot be read"),
    "unauthorized": Kind(401, "A token or a password is needed"),
    "forbidden": Kind(403, "This is not allowed"),
    "foreign-origin": Kind(403, "The request comes from another site"),
    "not-found": Kind(404, "There is no such thing"),
    "method-not-allowed": Kind(405, "This cannot be done with that method"),
    "conflict": Kind(409, "The thing is in another state"),
    "stale": Kind(412, "The thing was changed meanwhile"),
    "too-large": Kind(413, "The request is too large"),
    "no-such-range": Kind(416, "The file has no such bytes"),
    "wrong-host": Kind(421, "The request is for another host"),
    "invalid-input": Kind(422, "The request cannot be used"),
    "key-reused": Kind(422, "The idempotency key belongs to another request"),
    "too-many-requests": Kind(429, "Too many requests"),
    "failed": Kind(500, "The studio could not do it"),
    "unexpected": Kind(500, "Something failed that should not have"),
    "youtube": Kind(502, "YouTube did not do it"),
    "unavailable": Kind(503, "A part of the studio does not answer"),
}
_BY_STATUS = {400: "bad-request", 404: "not-found", 405: "method-not-allowed", 413: "too-large"}


class FieldProblem(BaseModel):
    """What is wrong with one value of a request."""

    where: str = Field(description="`body`, `query`, `path` or `header`.")
    pointer: str = Field(description="A JSON pointer to the value, such as `/tracks/0/bpm`.")
    detail: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "/problems/not-found",
                    "title": "There is no such thing",
                    "status": 404,
                    "detail": "there is no job '8f3a'.",
                    "instance": "/api/jobs/8f3a",
                    "remedy": "`lofi jobs` lists them.",
                }
            ]
        }
    )

    type: str = Field(description="Stays the same for this kind of problem.")
    title: str
    status: int
    detail: str = Field(description="What is wrong here, and why.")
    instance: str = Field(description="The path that was asked for.")
    remedy: str = Field(description="What to do about it; may be empty.")
    errors: list[FieldProblem] | None = Field(None, description="The values that are wrong.")
    id: str | None = Field(None, description="Where to look in the log.")


class ProblemError(Exception):
    """A request that is refused at the door."""

    def __init__(
        self,
        kind: str,
        detail: str,
        remedy: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[FieldProblem] = (),
    ) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.remedy = kind, detail, remedy
        self.headers, self.errors = headers, errors

    def answer(self, scope: Scope) -> Response:
        """The response that tells it."""
        errors = [e.model_dump() for e in self.errors]
        return problem(
            scope, self.kind, self.detail, self.remedy, headers=self.headers, errors=errors
        )


def problem(
    scope: Scope,
    kind: str,
    detail: str,
    remedy: str = "",
    *,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """A response of one of KINDS. `more` that is empty is left out."""
    if _wants_page(scope):
        from lofi.web.dashboard import refusal

        return refusal(Request(scope), KINDS[kind], detail, remedy)
    told = {
        "type": f"/problems/{kind}",
        "title": KINDS[kind].title,
        "status": KINDS[kind].status,
        "detail": detail,
        "instance": quote(scope["path"], safe="/~"),
        "remedy": remedy,
        **{name: value for name, value in more.items() if value},
    }
    # In ASCII, as what was sent may hold halves of characters that no encoding takes.
    return Response(
        json.dumps(told),
        KINDS[kind].status,
        headers={**(headers or {})},
        media_type=MEDIA_TYPE,
    )


def _wants_page(scope: Scope) -> bool:
    """Whether a browser asks for one of our pages, and not a program for the API."""
    if scope["type"] != "http" or scope["path"].startswith(("/api/", "/metrics", "/static/")):
        return False
    return "text/html" in Headers(scope=scope).get("accept", "")


def install(app: FastAPI) -> None:
    """Have the app answer with problems."""
    app.add_exception_handler(ProblemError, _refused)
    app.add_exception_handler(LofiError, _lofi)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return error.answer(request.scope)


def _lofi(request: Request, error: Exception) -> Response:
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (NotFoundError, "not-found"),
        (ConflictError, "conflict"),
        (KeyReusedError, "key-reused"),
        (InputError, "invalid-input"),
        (DatabaseError, "unavailable"),
        (YouTubeError, "youtube"),
        (LofiError, "failed"),
    )
    kind = next(name for cls, name in kinds if isinstance(error, cls))
    told = jobs.explained(str(error)) or {}
    headers = {"Retry-After": str(_RETRY_S)} if kind == "unavailable" else None
    return problem(request.scope, kind, told["cause"], told["remedy"], headers=headers)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [_field(e) for e in error.errors()]
    first = errors[0]
    place = " ".join(filter(None, (first["where"], first["pointer"])))
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return problem(
        request.scope,
        "invalid-input",
        f"{place}: {first['detail'].removesuffix('.')}{more}.",
        "See /api/docs for what may be sent.",
        errors=errors,
    )


def _field(error: Mapping[str, Any]) -> dict[str, str]:
    """A validation error without the value, which may be long, secret or unprintable."""
    where, *names = error["loc"]
    if error["type"] == "json_invalid":
        return {"where": "body", "pointer": "", "detail": f"It is not JSON: {_reason(error)}"}
    pointer = "".join(f"/{str(n).replace('~', '~0').replace('/', '~1')[:100]}" for n in names)
    return {"where": str(where), "pointer": pointer, "detail": str(error["msg"])[:500]}


def _reason(error: Mapping[str, Any]) -> str:
    return f"{error['ctx']['error']} at character {error['loc'][-1]}"


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = _BY_STATUS.get(error.status_code)
    if kind is None:
        kind = "bad-request" if error.status_code < 500 else "failed"
    details = {
        "not-found": ("there is nothing here.", "See /api/docs for what there is."),
        "method-not-allowed": (
            f"{request.method} is not for this path.",
            f"Use {(error.headers or {}).get('Allow', 'another method')}.",
        ),
    }
    told = error.detail if isinstance(error.detail, str) else HTTPStatus(error.status_code).phrase
    detail, remedy = details.get(kind, (told, ""))
    return problem(request.scope, kind, detail, remedy, headers=error.headers)
