"""Settings: the channel, what is kept where, how tracks are made, who may come in, how all is."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from lofi.brief import LofiError
from lofi.studio import WRITABLE, Studio, access, accounts, keeping, models, pinned
from lofi.web._problems import ProblemError
from lofi.web.dashboard._pages import Visitor, page

router = APIRouter()

_LIBRARY_S = 300.0

# Label, hint, and the attributes of its field. What is not listed is shown by its own name.
Words = dict[str, tuple[str, str, dict[str, Any]]]
GROUPS: dict[str, tuple[str, str, Words]] = {
    "generation": (
        "Composing",
        "How hard it is tried to write a good score.",
        {
            "best_of": ("Candidates", "for each stretch; the best one is taken", {"min": 1, "max": 64}),
            "threads": ("Engines side by side", "of commands; jobs use one each", {"min": 1, "max": 64}),
            "attempts": (
                "Tries", "when a score is found to copy what the model learned", {"min": 1, "max": 20},
            ),
        },
    ),
    "sampling": (
        "Sampling",
        "How the next note is drawn.",
        {
            "temperature": ("Temperature", "below 1 plainer, above 1 wilder",
                            {"min": 0.05, "max": 2, "step": "any"}),
            "top_k": ("Likeliest tokens", "among how many is drawn", {"min": 1, "max": 1000}),
            "top_p": ("Share of likelihood", "among what share is drawn",
                      {"min": 0.01, "max": 1, "step": "any"}),
            "max_length": ("Longest stretch", "in tokens", {"min": 64, "max": 1_000_000}),
        },
    ),
    "video": (
        "Video",
        "The frame of videos; even, and 16:9.",
        {
            "width": ("Width", "pixels", {"min": 160, "max": 7680}),
            "height": ("Height", "pixels", {"min": 90, "max": 4320}),
            "fps": ("Frames a second", "", {"min": 1, "max": 120}),
            "threads": ("Encoders side by side", "of commands; jobs use one each", {"min": 1, "max": 64}),
        },
    ),
    "daily": (
        "Daily run",
        "Tracks that the studio orders by itself.",
        {
            "cron": ("When", "a cron expression, such as 0 6 * * *; empty: never", {}),
            "time_zone": ("Time zone", "such as Europe/Berlin", {}),
            "count": ("Tracks a day", "", {"min": 1, "max": 1000}),
            "moods": ("Moods", "one for each track in turn, parted by commas; empty: by chance", {}),
            "duration_s": ("Length", "seconds of each track", {"min": 10, "step": "any"}),
        },
    ),
    "youtube": (
        "YouTube",
        "What may be done in the account's name.",
        {
            "uploads": ("Upload", "nothing is uploaded while this is off", {}),
            "playlist": ("Playlist", "the id of one of the channel's own, for what is released", {}),
            "units_per_day": ("Units a day", "of the quota; more where Google has granted it",
                              {"min": 0, "max": 100_000_000}),
            "uploads_per_day": ("Uploads a day", "of the quota", {"min": 0, "max": 100_000}),
        },
    ),
    "schedule": (
        "Spreading releases",
        "How far releases keep apart.",
        {
            "time_zone": ("Time zone", "of the channel: whose days and hours count", {}),
            "spacing_h": ("Spacing", "hours at least between two releases", {"min": 0, "step": "any"}),
            "per_day": ("Releases a day", "at most", {"min": 0, "max": 1000}),
            "missed_after_min": ("Missed after", "minutes: from then on a person decides",
                                 {"min": 0, "step": "any"}),
        },
    ),
}  # fmt: skip
_MAKING = ("generation", "sampling", "video", "daily")  # the others are policies

_ADDRESS = re.compile(r"(?<=://)[^/@\s]*@")


@router.get("/settings")
def settings_page(request: Request, who: Visitor) -> Response:
    """All of it on one page, each part with an address of its own; for who may do everything."""
    if not who.may("admin"):
        raise ProblemError("forbidden", "the settings are for who may do everything.")
    studio: Studio = request.app.state.studio
    settings = studio.settings()
    with studio.database.read() as session:
        told = {
            "tokens": access.tokens(session),
            "sessions": access.sessions(session),
            "known": access.has_password(session),
            "quota": accounts.quota(session, settings),
        }
    forms = {group: _form(studio, group) for group in WRITABLE}
    return page(
        request,
        who,
        "settings.html",
        title="Settings",
        account=accounts.account(studio),
        uploads=settings.youtube.uploads,
        usage=keeping.usage(studio),
        library=_library(studio),
        making=[forms[g] for g in _MAKING if g in forms],
        policies=[form for group, form in forms.items() if group not in _MAKING],
        mine=(who.session_sha256 or "")[:8],
        scopes=access.SCOPES,
        near=access.is_loopback(studio.base.server.host),
        sqlite=studio.database.is_sqlite,
        database=_ADDRESS.sub("***@", studio.base.studio.database),
        folder=str(studio.folder),
        lengths=access.PASSWORD_LENGTHS,
        **told,
    )


def _library(studio: Studio) -> dict[str, Any]:
    """What tracks are compared with; `problem` where that cannot be read."""
    try:
        found = models.find(studio.settings(), None)
        key = f"library/{found.sha256}"
        told = studio.cache.get_or_make(
            "originality", key, lambda: models.reference(found), ttl_s=_LIBRARY_S
        )
    except LofiError as error:
        return {"problem": str(error)}
    return {"problem": None, **told}


def _form(studio: Studio, group: str) -> dict[str, Any]:
    """A group of settings as a form: each field with its value, and where that was set."""
    title, about, words = GROUPS.get(group, (group.capitalize(), "", {}))
    now, file = getattr(studio.settings(), group), getattr(studio.base, group)
    here, variables = studio.overrides().get(group, {}), pinned()
    rows = []
    for field in fields(now):
        value = getattr(now, field.name)
        label, hint, more = words.get(
            field.name, (field.name.replace("_", " ").capitalize(), "", {})
        )
        rows.append(
            {
                "name": field.name,
                "label": label,
                "hint": hint,
                "kind": _kind(value),
                "value": _shown(value),
                "elsewhere": _shown(getattr(file, field.name)),
                "here": field.name in here,
                "variable": variables.get(f"{group}.{field.name}"),
                "more": more,
            }
        )
    return {"group": group, "title": title, "about": about, "fields": rows}


def _kind(value: Any) -> str:
    """How a value is sent: `data-type` of its field."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "list" if isinstance(value, list | tuple) else "text"


def _shown(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else value
