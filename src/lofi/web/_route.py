"""How a route is handled: at once or in a thread, and what is sent twice but once."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial, wraps
from inspect import iscoroutinefunction, signature
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from lofi.studio import answers
from lofi.web._who import identify

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
