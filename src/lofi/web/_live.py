"""`/api/live`: what happens, as it happens, over a WebSocket.

One task looks at the tables for all listeners, and only while there are any. Whoever does not keep
up is let go: they come again and read what they missed from `/api/events`.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import suppress
from typing import Any

import structlog
from fastapi import APIRouter, WebSocket
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocketDisconnect, WebSocketState

from lofi.brief import LofiError
from lofi.studio import DatabaseError, Seen, Studio, Watch, access, jobs
from lofi.web._jobs import shown
from lofi.web._problems import ProblemError
from lofi.web._who import bearer, identify, with_secret

router = APIRouter(prefix="/api")

_log = structlog.get_logger("lofi.web")

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

LOOK_S = 0.3
_CHECK_S = 3.0  # how often it is asked whether a listener's token is still valid
_GREETING_S = 10.0
_SEND_S = 10.0
_BACKLOG = 500  # messages that may wait for a slow listener
_LISTENERS = 200
_JOBS = 200  # that one listener may ask for

_BYE = 1000
_REFUSED = 1008
_LATER = 1013


class _Listener:
    """A connection, what it wants to hear and what it was not sent yet."""

    def __init__(self, who: access.Principal, jobs: frozenset[str] | None) -> None:
        self.who = who
        self.jobs = jobs
        self.waiting: asyncio.Queue[str | None] = asyncio.Queue(_BACKLOG + 1)
        self.close_code = _BYE
        self.reason = ""

    def tell(self, message: str) -> None:
        """Have a message sent; too many that wait end the connection."""
        if self.waiting.qsize() >= _BACKLOG:
            self.end(_LATER, "too slow; come again and read /api/events")
        else:
            self.waiting.put_nowait(message)

    def end(self, code: int, reason: str) -> None:
        """Close the connection; what waits is not sent."""
        while not self.waiting.empty():
            self.waiting.get_nowait()
        self.close_code, self.reason = code, reason
        self.waiting.put_nowait(None)

    def wants_event(self, event: dict[str, Any]) -> bool:
        """Whether it asked to hear of this."""
        return self.jobs is None or (event["kind"] == "job" and event["subject"] in self.jobs)


class Hub:
    """All listeners, and the task that looks for them."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._watch = Watch(studio.database)
        self._listeners: set[_Listener] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether nobody else can listen now."""
        return len(self._listeners) >= _LISTENERS

    def join(self, listener: _Listener) -> None:
        """Begin to tell somebody."""
        self._listeners.add(listener)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())

    def leave(self, listener: _Listener) -> None:
        """Tell them no more."""
        self._listeners.discard(listener)

    async def close(self) -> None:
        """Say goodbye to all."""
        for listener in list(self._listeners):
            listener.end(1012, "the server stops")
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _look(self) -> None:
        checked_at = time.monotonic()
        begun = silent = False
        while self._listeners:
            try:
                if not begun:
                    await run_in_threadpool(self._watch.begin)
                    begun = True
                wanted = [listener.jobs for listener in self._listeners]
                only = None if None in wanted else {i for ids in wanted for i in ids or ()}
                self._tell(await run_in_threadpool(self._watch.look, only))
                if time.monotonic() - checked_at > _CHECK_S:
                    checked_at = time.monotonic()
                    await self._check()
                silent = False
            except DatabaseError as error:
                if not silent:
                    _log.warning("the database does not answer", error=str(error))
                silent = True
            await asyncio.sleep(LOOK_S)

    def _tell(self, seen: Seen) -> None:
        for event in seen.events:
            message = json.dumps({"type": "event", **event})
            for listener in list(self._listeners):
                if listener.wants_event(event):
                    listener.tell(message)
        for job in seen.jobs:
            message = job_message(job)
            for listener in list(self._listeners):
                if listener.jobs is None or job["id"] in listener.jobs:
                    listener.tell(message)

    async def _check(self) -> None:
        """Let go whose token was revoked or has expired."""

        def invalid(listeners: list[_Listener]) -> list[_Listener]:
            with self._studio.database.read() as session:
                return [x for x in listeners if not access.is_valid(session, x.who)]

        for listener in await run_in_threadpool(invalid, list(self._listeners)):
            listener.end(_REFUSED, "the token is no longer valid")


def job_message(job: dict[str, Any]) -> str:
    """A job as it is told."""
    return json.dumps({"type": "job", "job": shown(job)})


@router.websocket("/live")
async def live(socket: WebSocket) -> None:
    """Tells `{"type": "job", "job": …}` and `{"type": "event", …}`; `?jobs=ID,ID` bounds both.

    A token comes in the `Authorization` header, or as the first message:
    `{"type": "auth", "token": "lofi_…"}`. Then comes `{"type": "ready"}`, and the jobs asked for.
    `{"type": "ping"}` is answered with `{"type": "pong"}`.
    """
    hub: Hub = socket.app.state.hub
    try:
        wanted = _wanted(socket.query_params.get("jobs", ""))
        if hub.is_full:
            raise ProblemError("unavailable", "too many listen already.", "Try again later.")
        who = await _enter(socket)
    except ProblemError as error:
        await _refuse(socket, error)
        return
    except WebSocketDisconnect:
        return
    listener = _Listener(who, wanted)
    hub.join(listener)
    try:
        await _greet(socket, listener)
        await _attend(socket, listener)
    finally:
        hub.leave(listener)


def _wanted(asked: str) -> frozenset[str] | None:
    """The jobs that somebody wants to follow; None for all of them."""
    ids = frozenset(filter(None, asked.split(",")))
    if len(ids) > _JOBS:
        raise ProblemError("invalid-input", f"at most {_JOBS} jobs can be followed at once.")
    if not all(_ID.fullmatch(i) for i in ids):
        raise ProblemError("invalid-input", "`jobs` must be ids of jobs, parted by commas.")
    return ids or None


async def _enter(socket: WebSocket) -> access.Principal:
    """Who it is, by header, by nearness or by their first message."""
    try:
        who = await run_in_threadpool(identify, socket)
        _require_read(who)
        await socket.accept()
    except ProblemError as error:
        if bearer(socket.headers) is not None or error.kind != "unauthorized":
            raise
        await socket.accept()
        who = await run_in_threadpool(with_secret, socket, await _first_message(socket))
        _require_read(who)
    return who


def _require_read(who: access.Principal) -> None:
    if not who.may("read"):
        raise ProblemError("forbidden", "this needs the scope 'read'.")


async def _first_message(socket: WebSocket) -> str:
    try:
        async with asyncio.timeout(_GREETING_S):
            told = json.loads(await socket.receive_text())
        if told["type"] == "auth" and isinstance(told["token"], str):
            return told["token"]
    except (TimeoutError, ValueError, KeyError, TypeError, RecursionError):
        pass
    raise ProblemError("unauthorized", "the first message must be an auth message with a token.")


async def _refuse(socket: WebSocket, error: ProblemError) -> None:
    if socket.application_state == WebSocketState.CONNECTED:
        code = _LATER if error.kind == "unavailable" else _REFUSED
        await socket.close(code, error.detail[:120])
    else:
        await socket.send_denial_response(error.answer(socket.scope))


async def _greet(socket: WebSocket, listener: _Listener) -> None:
    listener.tell(json.dumps({"type": "ready"}))
    if listener.jobs is None:
        return
    studio: Studio = socket.app.state.studio

    def there(ids: frozenset[str]) -> list[dict[str, Any]]:
        with studio.database.read() as session:
            return jobs.some(session, sorted(ids))

    try:
        for job in await run_in_threadpool(there, listener.jobs):
            listener.tell(job_message(job))
    except LofiError as error:
        listener.end(_LATER, str(error)[:120])


async def _attend(socket: WebSocket, listener: _Listener) -> None:
    """Send and receive until either side has had enough."""
    sending = asyncio.create_task(_send(socket, listener))
    receiving = asyncio.create_task(_receive(socket, listener))
    _, left = await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.gather(sending, receiving, return_exceptions=True)


async def _send(socket: WebSocket, listener: _Listener) -> None:
    with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
        while (message := await listener.waiting.get()) is not None:
            async with asyncio.timeout(_SEND_S):
                await socket.send_text(message)
        async with asyncio.timeout(_SEND_S):
            await socket.close(listener.close_code, listener.reason)


async def _receive(socket: WebSocket, listener: _Listener) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        while True:
            text = await socket.receive_text()
            try:
                told = json.loads(text)
                is_ping = isinstance(told, dict) and told.get("type") == "ping"
            except (ValueError, RecursionError):
                is_ping = False
            if not is_ping:
                listener.end(_REFUSED, 'only {"type": "ping"} is understood')
                await asyncio.Event().wait()  # the sender closes, and ends us
            listener.tell(json.dumps({"type": "pong"}))
