"""The JSON API and the dashboard, as one app around an open studio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.middleware import Middleware

from lofi import __version__
from lofi.studio import Settings, Studio
from lofi.web import (
    _analytics,
    _bulk,
    _community,
    _details,
    _docs,
    _files,
    _jobs,
    _keep,
    _library,
    _listings,
    _live,
    _metrics,
    _orders,
    _presets,
    _problems,
    _releases,
    _schedule,
    _studio,
    _tracks,
    _trainings,
    dashboard,
)
from lofi.web._limits import Limiter
from lofi.web._middleware import BodyLimit, Envelope, Gate, Throttle

if TYPE_CHECKING:
    import uvicorn

__all__ = ["create_app", "server_config"]

_ROUTERS = (  # a request is compared with one after the other: what is asked most stands first
    _jobs.router,
    _tracks.router,
    _studio.router,
    _orders.router,
    _presets.router,
    _bulk.router,
    _details.router,
    _files.router,
    _listings.router,
    _library.router,
    _trainings.router,
    _analytics.router,
    _releases.router,
    _community.router,
    _schedule.router,
    _keep.router,
    _metrics.router,
    _live.router,
    _docs.router,
    dashboard.router,
)


def create_app(studio: Studio) -> FastAPI:
    """The app of an open studio, which whoever opened it closes after the app has ended.

    It carries out no jobs: call `studio.work()` for that.
    """
    server = studio.base.server
    limiter = Limiter(server.requests_per_minute)
    metrics = _metrics.Metrics(studio)
    hub = _live.Hub(studio)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await hub.close()

    app = FastAPI(
        title="LoFi Empire",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=_docs.PROBLEM_RESPONSE,
        middleware=[
            Middleware(Envelope, metrics=metrics),
            Middleware(Gate, host=server.host),
            Middleware(Throttle, limiter=limiter),
            Middleware(BodyLimit, most_bytes=server.max_body_mb * 1_000_000),
        ],
    )
    app.state.studio = studio
    app.state.limiter = limiter
    app.state.consent = None
    app.state.attempts = dashboard.attempts()
    app.state.metrics = metrics
    app.state.hub = hub
    app.state.health = _studio.Health(studio)
    app.state.doctor = _keep.Doctor(studio)
    _problems.install(app)
    for router in _ROUTERS:
        app.include_router(router)
    _docs.describe(app)
    return app


def server_config(app: FastAPI, settings: Settings, **more: Any) -> uvicorn.Config:
    """How uvicorn serves the app: where, and with which bounds. `more` goes before them."""
    import uvicorn

    options: dict[str, Any] = {
        "host": settings.server.host.strip("[]"),
        "port": settings.server.port,
        "log_config": None,
        "access_log": False,  # the app writes its own
        "server_header": False,
        "ws_max_size": 64_000,  # listeners have little to say
        "ws_per_message_deflate": False,  # memory for each listener, for little text
        "ws_ping_interval": 20.0,
        "ws_ping_timeout": 20.0,
        "timeout_graceful_shutdown": 5,
    }
    return uvicorn.Config(app, **(options | more))
