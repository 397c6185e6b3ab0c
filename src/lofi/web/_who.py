"""Who asks, and whether they may: what every route depends on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial, wraps
from inspect import iscoroutinefunction, signature
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from fastapi import Depends, Header, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse

from lofi.studio import Studio, access, answers
from lofi.web._problems import ProblemError

COOKIE = "lofi_session"
_COOKIE_S = 400 * 86400  # as long as browsers keep any: when a session ends the table says
# What proxies add. None of them adds all, and one that adds none cannot be told from a neighbour.
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
              "x-real-ip")  # fmt: skip

_bearer = HTTPBearer(
    auto_error=False,
    description="`Authorization: Bearer lofi_…`. As long as there is neither a token nor a "
    "password, requests from this machine need none.",
)


_KEY = r"[\x21-\x7e]{1,128}"
IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=rf"^{_KEY}$",
        description="A name of your own for this request, such as a UUID. Sent again with the same "
        "body within 24 hours, nothing is done and the first answer is told again, with "
        "`Idempotency-Replayed: true`.",
    ),
]

# Endpoints whose answers are for one who asked alone, and are kept nowhere.
_TOLD_ONCE = ("make_token", "ask_for_consent")


_AT_ONCE: set[Callable[..., Any]] = set()
F = TypeVar("F", bound=Callable[..., Any])


def at_once(endpoint: F) -> F:
    """Have an endpoint that only reads some rows answer without a thread.

    From a file and from memory they are read sooner than a thread is woken, the more so while
    tracks are made. A server may keep one waiting: where one is asked, a thread waits.
    """
    _AT_ONCE.add(endpoint)
    return endpoint


class Route(APIRoute):
    """A route whose endpoint goes to a thread, if it goes to one, and nothing else of a request.

    By itself FastAPI would also have the answer checked in one. A POST looks at its idempotency
    key here, unless its endpoint takes one, to keep it in its own transaction.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        takes_key = "idempotency_key" in signature(endpoint).parameters
        told = endpoint.__name__ in _TOLD_ONCE
        self._keyed = options.get("methods") == ["POST"] and not takes_key and not told
        if self._keyed:
            others = [d for d in options.get("dependencies") or () if d.dependency != _keyed]
            options["dependencies"] = [*others, Depends(_keyed)]
        super().__init__(path, _in_a_thread(endpoint), **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See APIRoute."""
        handler = super().get_route_handler()
        return partial(_once, handler) if self._keyed else handler


def _in_a_thread(endpoint: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    if iscoroutinefunction(endpoint):
        return endpoint
    quick = endpoint in _AT_ONCE

    @wraps(endpoint)
    async def call(**values: Any) -> Any:
        if quick and values["studio"].asks_no_server:
            return endpoint(**values)
        return await run_in_threadpool(endpoint, **values)

    return call


async def _keyed(idempotency_key: IdempotencyKey = None) -> None:
    """Has the documentation tell of the header, and a key that is none refused."""


async def _once(
    handler: Callable[[Request], Coroutine[Any, Any, Response]], request: Request
) -> Response:
    """Handle a request; one that was handled under the same key is told the same answer."""
    key = request.headers.get("idempotency-key")
    if key is None or not re.fullmatch(_KEY, key):
        return await handler(request)
    database = request.app.state.studio.database
    who = (await run_in_threadpool(identify, request)).name
    # Forms have another boundary each time they are sent.
    boundary = request.headers.get("content-type", "").partition("boundary=")[2].encode()
    body = await request.body()
    body = body.replace(boundary, b"") if boundary else body
    asked = f"{request.url.path}?{request.url.query} {hashlib.sha256(body).hexdigest()}"
    told = await run_in_threadpool(answers.begin, database, who, key, asked)
    if told is not None:
        status, answer = told
        again = {"Idempotency-Replayed": "true"}
        if answer is None:
            return Response(status_code=status, headers=again)
        return JSONResponse(answer, status, again)
    try:
        response = await handler(request)
    except BaseException:
        await run_in_threadpool(answers.forget, database, who, key)
        raise
    answer = json.loads(bytes(response.body)) if response.body else None
    await run_in_threadpool(answers.finish, database, who, key, response.status_code, answer)
    return response


async def the_studio(request: Request) -> Studio:
    """The studio that the app was made for."""
    return request.app.state.studio


TheStudio = Annotated[Studio, Depends(the_studio)]


def need(scope: str) -> Callable[..., Coroutine[Any, Any, access.Principal]]:
    """A dependency that gives who asks, or refuses them if they lack `scope`."""

    async def principal(
        request: Request,
        _shown_in_the_docs: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
    ) -> access.Principal:
        database = request.app.state.studio.database
        if database.is_sqlite:  # a row is read sooner than a thread is woken; writing may wait
            who = recognise(request)
            if who.due:
                await run_in_threadpool(access.note, database, who)
        else:
            who = await run_in_threadpool(identify, request)
        if not who.may(scope):
            raise ProblemError(
                "forbidden",
                f"this needs the scope {scope!r}, and {who.name} has {', '.join(who.scopes)}.",
                "Ask for a token with that scope.",
            )
        request.scope["lofi.who"] = who.name
        return who

    principal.scope = scope  # type: ignore[attr-defined]
    return principal


Reader = Annotated[access.Principal, Depends(need("read"))]
Writer = Annotated[access.Principal, Depends(need("write"))]
Publisher = Annotated[access.Principal, Depends(need("publish"))]
Admin = Annotated[access.Principal, Depends(need("admin"))]


def identify(connection: HTTPConnection) -> access.Principal:
    """Who asks; it is noted that they did. Raises ProblemError like `recognise`."""
    who = recognise(connection)
    access.note(connection.app.state.studio.database, who)
    return who


def recognise(connection: HTTPConnection) -> access.Principal:
    """Who asks. Raises ProblemError unless they have a token or session, or need none."""
    studio: Studio = connection.app.state.studio
    secret = bearer(connection.headers)
    if secret is not None:
        return with_secret(connection, secret)
    cookie = connection.cookies.get(COOKIE)
    if cookie and (who := access.of_session(studio.database, cookie)):
        return who
    if is_near(connection) and not access.is_locked(studio.database):
        return access.LOCAL
    raise ProblemError(
        "unauthorized",
        "this needs a token, or somebody who is logged in.",
        "Send `Authorization: Bearer lofi_…` (`lofi token create` makes one), or log in at /login.",
        headers={"WWW-Authenticate": 'Bearer realm="lofi"'},
    )


def with_secret(connection: HTTPConnection, secret: str) -> access.Principal:
    """Who has that secret. Raises ProblemError."""
    who = access.authenticate(connection.app.state.studio.database, secret)
    if who is None:
        raise ProblemError(
            "unauthorized",
            "the token is unknown, revoked or expired.",
            "Ask for a new one. `lofi token create` makes one.",
            headers={"WWW-Authenticate": 'Bearer realm="lofi", error="invalid_token"'},
        )
    connection.app.state.limiter.know(access.hash_of(secret), who.name)
    return who


def bearer(headers: Headers) -> str | None:
    """The secret of the Authorization header, if there is one of that kind."""
    kind, _, secret = headers.get("authorization", "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" and secret.strip() else None


def is_near(connection: HTTPConnection) -> bool:
    """Whether the request comes from this machine, and not through a proxy or a foreign name.

    A site that has its name point to 127.0.0.1 gives itself away by that name.
    """
    client = connection.client
    return (
        client is not None
        and access.is_loopback(client.host)
        and not any(name in connection.headers for name in _FORWARDED)
        and access.is_loopback(host_name(connection.headers.get("host", "")))
    )


def attempt(request: Request) -> float:
    """Count one trial of a password: 0, or the seconds until one may be tried."""
    each, together = request.app.state.attempts
    address = (request.client or ("unknown",))[0]
    return each.take(address) or together.take("all")


def give_cookie(request: Request, answer: Response, secret: str) -> None:
    """Set the session's cookie, which no script reads and no other site has sent."""
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    answer.set_cookie(
        COOKIE,
        secret,
        max_age=_COOKIE_S,
        path="/",
        httponly=True,
        samesite="lax",
        secure="https" in (request.url.scheme, forwarded),
    )


def host_name(host: str) -> str:
    """The name in a Host header, without the port; empty if it cannot be read."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
