"""Who asks, and whether they may: what every route depends on."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from lofi.studio import Studio, access
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
