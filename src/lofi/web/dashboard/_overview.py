"""Overview: what waits for a person, what is being made, what is new and what comes next."""

from __future__ import annotations

import shutil
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from lofi.studio import Studio, access, accounts, analytics, figures, jobs, tracks, upcoming
from lofi.web.dashboard._pages import Visitor, page

router = APIRouter()

_SHOWN = 8
_LITTLE_ROOM = 2_000_000_000  # bytes: some twenty packages


@router.get("/")
def overview(request: Request, who: Visitor) -> Response:
    """The first page; whoever is new is asked for a password before."""
    studio: Studio = request.app.state.studio
    disk = shutil.disk_usage(studio.folder)
    with studio.database.read() as session:
        if who == access.LOCAL and access.should_welcome(session):
            return RedirectResponse("/setup", 303)
        running, _ = jobs.listing(session, states=("running", "waiting"), limit=_SHOWN)
        queued, in_queue = jobs.listing(session, states=("queued",), limit=_SHOWN)
        latest, made = tracks.listing(session, tracks.Filter(), limit=6)
        told = {
            "jobs": (running + sorted(queued, key=_turn))[:_SHOWN],
            "in_queue": in_queue,
            "latest": latest,
            "made": made,
            "days": figures.days(session),
            "waiting": figures.waiting_for_people(session),
            "coming": upcoming(session, studio.settings().daily),
            "connected": accounts.is_connected(session),
            "views": _channel(session, "views"),
            "watched": _channel(session, "daily_watch_min"),
            "workers": figures.workers(session, studio.base.work.dead_after_s),
            "stored": figures.stored_bytes(studio),
        }
    return page(
        request,
        who,
        "overview.html",
        title="Overview",
        disk=disk,
        short=disk.free < _LITTLE_ROOM,
        works=studio.worker is not None,
        **told,
    )


def _turn(job: dict[str, Any]) -> tuple[int, str]:
    return job["priority"], job["created_at"]


def _channel(session: Any, name: str) -> list[float]:
    """The last 28 values of the channel, the oldest first; none where none was ever collected."""
    found = analytics.series(session, names=(name,))["series"]
    return [p["value"] for s in found if s["of"] == "channel" for p in s["points"]][-28:]
