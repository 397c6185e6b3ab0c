"""What every request passes, from the outside in: an envelope, a gate, and limits."""

from __future__ import annotations

import math
import re
import secrets
import time
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lofi.studio import access
from lofi.web._limits import Limiter
from lofi.web._metrics import Metrics
from lofi.web._problems import problem
from lofi.web._who import bearer, host_name

_log = structlog.get_logger("lofi.web")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    # Else any site could show what lies here where nobody needs a password: img, audio, script.
    "Cross-Origin-Resource-Policy": "same-origin",
}
_QUIET = ("/api/health", "/metrics", "/api/metrics")  # asked every few seconds by machines


class Envelope:
    """Gives each request an id, headers that keep browsers careful, a line in the log and a figure.

    An error that nobody expected becomes a problem here; only the log tells more of it.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope).get("x-request-id", "")
        request_id = sent if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(8)
        begun = time.monotonic()
        status = 0
        noted = False

        def note() -> None:
            nonlocal noted
            if not noted:
                noted = True
                self._note(scope, status, time.monotonic() - begun)

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-ID"] = request_id
            elif message["type"] == "websocket.accept":
                status = 101
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                note()  # before it goes: whoever has the answer finds it in the log and the figures
            await send(message)

        with structlog.contextvars.bound_contextvars(request=request_id):
            try:
                await self._app(scope, receive, send_on)
            except Exception:
                _log.exception("a request failed that should not have")
                if status:
                    raise  # too late for an answer: the connection is cut
                answer = problem(
                    scope,
                    "unexpected",
                    "something failed that should not have.",
                    f"Look for {request_id} in the log, and report it.",
                    id=request_id,
                )
                await answer(scope, receive, send_on)
            finally:
                note()  # a live connection, or an answer that was cut off

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "unmatched"
        method = scope.get("method", "WEBSOCKET")
        if scope["type"] == "http":
            self._metrics.note(method, route, status, seconds)
        log = _log.debug if route.startswith(_QUIET) and status < 400 else _log.info
        log(
            "request",
            method=method,
            path=scope.get("raw_path", b"").decode("latin-1")[:200],
            status=status,
            ms=round(1000 * seconds, 1),
            who=scope.get("lofi.who"),
            address=(scope.get("client") or ("",))[0],
        )


class Gate:
    """Keeps out what a browser is made to send by a foreign site.

    On a loopback address only its own names are answered, so that a site cannot have its name point
    here. What changes something, and a live connection, must come from our own pages, where it
    comes from a page at all; who sends a bearer token is no browser made to do so.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._host = host.strip("[]").lower()
        self._only_near = access.is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        name = host_name(headers.get("host", ""))
        if self._only_near and not access.is_loopback(name) and name != self._host:
            answer = problem(
                scope,
                "wrong-host",
                "the studio answers under the names of this machine only.",
                "Ask http://127.0.0.1, or set server.host to the name that you use.",
            )
            await answer(scope, receive, send)
            return
        safe = scope["type"] == "http" and scope["method"] in ("GET", "HEAD", "OPTIONS")
        foreign = _is_embedded(scope, headers) if safe else not _is_ours(headers)
        if foreign and bearer(headers) is None:
            answer = problem(
                scope,
                "foreign-origin",
                "a page of another site asked for this.",
                "Use the studio's own pages, or send a token.",
            )
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_embedded(scope: Scope, headers: Headers) -> bool:
    """Whether a page of another site has the API asked, as for an image. Browsers say so over TLS
    and on this machine; a link that a person follows is no such thing.
    """
    return (
        scope["path"].startswith(("/api/", "/metrics"))
        and headers.get("sec-fetch-site") == "cross-site"
        and headers.get("sec-fetch-mode") != "navigate"
    )


def _is_ours(headers: Headers) -> bool:
    """Whether the request comes from a page of this server, or from no page."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    try:
        page, host = urlsplit(origin), urlsplit(f"//{headers.get('host', '')}")
        default = {"http": 80, "https": 443}[page.scheme]
        # Behind a proxy that speaks TLS the scheme is not ours to see, the names and ports are.
        return (page.hostname, page.port or default) == (host.hostname, host.port or default)
    except (KeyError, ValueError):
        return False


class Throttle:
    """Lets each token, or each address without one, make so many requests a minute."""

    def __init__(self, app: ASGIApp, limiter: Limiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"].startswith("/api/health"):
            await self._app(scope, receive, send)
            return
        secret = bearer(Headers(scope=scope))
        name = self._limiter.known(access.hash_of(secret)) if secret else None
        wait_s = self._limiter.take(name or (scope.get("client") or ("unknown",))[0])
        if not wait_s:
            await self._app(scope, receive, send)
            return
        seconds = math.ceil(wait_s)
        answer = problem(
            scope,
            "too-many-requests",
            "more requests came than server.requests_per_minute allows.",
            f"Wait {seconds} s, or raise that setting.",
            headers={"Retry-After": str(seconds)},
        )
        await answer(scope, receive, send)


class BodyLimit:
    """Refuses a body that is too large, before it is read or as soon as it has grown so far."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._app = app
        self._most = most_bytes
        self._told = f"the body is larger than {most_bytes / 1e6:g} MB (server.max_body_mb)."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isascii() or not declared.isdigit() or int(declared[:20]) > self._most:
            answer = problem(scope, "too-large", self._told, headers={"Connection": "close"})
            await answer(scope, receive, send)
            return
        got = 0

        async def receive_counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self._most:
                # The frameworks pass on an error of this kind, and no other, while they read.
                raise HTTPException(413, self._told)
            return message

        await self._app(scope, receive_counted, send)
