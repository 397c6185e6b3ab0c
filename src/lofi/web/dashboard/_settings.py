"""Settings: the channel, what is kept where, how tracks are made, who may come in, how all is."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from lofi.brief import LofiError
from lofi.studio import RANGES, WRITABLE, Studio, access, accounts, keeping, models, pinned
from lofi.web import _consent
from lofi.web._problems import ProblemError
from lofi.web.dashboard._pages import Visitor, page

router = APIRouter()

_LIBRARY_S = 300.0

# Of each group its title and what it is about; of each setting its label and a hint. What is not
# listed is shown by its own name.
GROUPS: dict[str, tuple[str, str, dict[str, tuple[str, str]]]] = {
    "generation": (
        "Composing",
        "How hard it is tried to write a good score.",
        {
            "best_of": ("Candidates", "For each stretch; the best one is taken"),
            "threads": ("Engines side by side", "Of commands; jobs use one each"),
            "attempts": ("Tries", "When a score is found to resemble what the model learned"),
        },
    ),
    "sampling": (
        "Sampling",
        "How the next note is drawn.",
        {
            "temperature": ("Temperature", "Below 1 plainer, above 1 wilder"),
            "top_k": ("Likeliest tokens", "Among how many it is drawn"),
            "top_p": ("Share of likelihood", "Among what share it is drawn"),
            "max_length": ("Longest stretch", "In tokens"),
        },
    ),
    "video": (
        "Video",
        "The frame of videos; even, and 16:9.",
        {
            "width": ("Width", "Pixels"),
            "height": ("Height", "Pixels"),
            "fps": ("Frames a second", ""),
            "threads": ("Encoders side by side", "Of commands; jobs use one each"),
        },
    ),
    "daily": (
        "Daily run",
        "Tracks that the studio orders by itself.",
        {
            "cron": ("When", "A cron expression, such as 0 6 * * *; empty: never"),
            "time_zone": ("Time zone", "Such as Europe/Berlin"),
            "count": ("Tracks a day", ""),
            "moods": ("Moods", "One for each track in turn, with commas; empty: by chance"),
            "duration_s": ("Length", "Seconds of each track"),
        },
    ),
    "youtube": (
        "YouTube",
        "What may be done in the account's name.",
        {
            "uploads": ("Upload what was approved", "Nothing is uploaded while this is off"),
            "playlist": ("Playlist", "The id of one of the channel's own, for what is released"),
            "units_per_day": ("Units a day", "Of the quota; more where Google has granted it"),
            "uploads_per_day": ("Uploads a day", "At most"),
        },
    ),
    "schedule": (
        "Spreading releases",
        "How far releases keep apart.",
        {
            "time_zone": ("Time zone", "Of the channel: whose days and hours count"),
            "spacing_h": ("Spacing", "Hours at least between two releases"),
            "per_day": ("Releases a day", "At most"),
        },
    ),
}
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
        comes_back=_consent.is_possible(request),
        port=request.url.port or 80,
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


@router.get(_consent.PATH)
def connected(request: Request, who: Visitor) -> Response:
    """Where a browser comes back to from Google's page of consent."""
    if not who.may("admin"):
        raise ProblemError("forbidden", "the settings are for who may do everything.")
    _consent.end(request, who.name)
    return RedirectResponse("/settings#channel", 303)


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
        plain = field.name.replace("_", " ").capitalize()
        label, hint = words.get(field.name, (plain, ""))
        low, high = RANGES.get(group, {}).get(field.name, (None, None))
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
                "low": low,
                "high": high,
                "step": "any" if isinstance(value, float) else "1",
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
