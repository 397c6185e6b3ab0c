"""Library: all tracks, searched, filtered and sorted here; every choice is in the address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.datastructures import QueryParams

from lofi.brief import ALL_KEYS, MOODS, PALETTES, InputError
from lofi.studio import Studio, tracks
from lofi.web.dashboard._pages import Visitor, page

router = APIRouter()

VIEWS = ("grid", "table")
PER_PAGE = (48, 96, 200)
# What `sort` says in the address, and to a person; a minus turns it round.
SORTS = {
    "-created": "Newest",
    "created": "Oldest",
    "title": "Title A to Z",
    "-title": "Title Z to A",
    "bpm": "Slowest",
    "-bpm": "Fastest",
    "duration": "Shortest",
    "-duration": "Longest",
    "key": "Key",
    "mood": "Mood",
}
# Filters of which one of several must fit: the name in the address, in words, and what there is.
CHOICES: dict[str, tuple[str, tuple[str, ...]]] = {
    "mood": ("Mood", tuple(MOODS)),
    "key": ("Key", tuple(map(str, ALL_KEYS))),
    "palette": ("Palette", tuple(PALETTES)),
    "verdict": ("Originality", tracks.VERDICTS),
}
RANGES = {"bpm": ("bpm", "bpm"), "duration": ("Length", "s")}
DELETED = "deleted"  # among the states: those that were put away
_TAGS = 200  # that are offered
_TAGS_S = 10.0


@router.get("/library")
def library(request: Request, who: Visitor) -> Response:
    """A page of tracks. An address that asks for what cannot be is answered with the reason."""
    studio: Studio = request.app.state.studio
    asked = _without_blanks(request.query_params)
    view = _one(asked, "view", VIEWS)
    sort = _one(asked, "sort", tuple(SORTS))
    per = int(_one(asked, "per", tuple(map(str, PER_PAGE))))
    wrong, items, total, number = "", [], 0, 1
    with studio.database.read() as session:
        try:
            wanted = _filter(asked)
            number = _page_number(asked)
            items, total = _page(session, wanted, sort, per, number)
            if not items and total:  # there are fewer by now: the last page
                number = -(-total // per)
                items, total = _page(session, wanted, sort, per, number)
        except InputError as error:
            wrong = str(error)
        counts = tracks.counts(session)
        releases = tracks.release_states(session, [t["id"] for t in items])
    tags = studio.cache.get_or_make("tracks", "tags", lambda: _tags(studio), ttl_s=_TAGS_S)
    return page(
        request,
        who,
        "library.html",
        title="Library",
        asked=asked,
        view=view,
        sort=sort,
        per=per,
        sorts=SORTS,
        choices=CHOICES,
        ranges=RANGES,
        tags=[t["tag"] for t in tags[:_TAGS]],
        states=(*tracks.STATES, DELETED),
        state=asked.get("state", [""])[0],
        counts=counts,
        known=sum(counts[s] for s in tracks.STATES),
        items=items,
        total=total,
        number=number,
        pages=_shown_pages(number, -(-total // per)),
        releases=releases,
        wrong=wrong,
        filters=_active(asked),
        csv="/api/tracks.csv?" + urlencode(_for_the_api(asked, sort), doseq=True),
        link=lambda **changes: _link(asked, changes),
        may={scope: who.may(scope) for scope in ("write", "publish")},
    )


# What is asked for -----------------------------------------------------------------------------


def _without_blanks(query: QueryParams) -> dict[str, list[str]]:
    """A query string without what was left empty: a form sends all of its fields."""
    found: dict[str, list[str]] = {}
    for name, value in query.multi_items():
        if value.strip():
            found.setdefault(name, []).append(value.strip())
    return found


def _one(asked: Mapping[str, list[str]], name: str, known: tuple[str, ...]) -> str:
    """One of some known words; the first where none is given, or another."""
    value = asked.get(name, [known[0]])[0]
    return value if value in known else known[0]


def _filter(asked: Mapping[str, list[str]]) -> tracks.Filter:
    """Raises InputError for what is no number, and for names that are unknown."""
    states = asked.get("state", [])
    many = {n: tuple(asked.get(n, ())) for n in CHOICES}
    return tracks.Filter(
        text=asked.get("q", [""])[0][:500],
        states=tuple(s for s in states if s != DELETED),
        moods=many["mood"],
        keys=many["key"],
        palettes=many["palette"],
        verdicts=many["verdict"],
        tag=asked.get("tag", [None])[0],
        bpm=_range(asked, "bpm"),
        duration_s=_range(asked, "duration"),
        deleted=DELETED in states,
    ).checked()


def _range(asked: Mapping[str, list[str]], name: str) -> tuple[float | None, float | None]:
    return _number(asked, f"{name}_min"), _number(asked, f"{name}_max")


def _number(asked: Mapping[str, list[str]], name: str) -> float | None:
    if name not in asked:
        return None
    text = asked[name][0]
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e9:
        raise InputError(
            f"{name.replace('_', ' ')} {text[:40]!r} is no number. Write one, or none."
        )
    return value


def _page_number(asked: Mapping[str, list[str]]) -> int:
    text = asked.get("page", ["1"])[0]
    return min(10**6, int(text)) if text.isascii() and text.isdigit() and int(text) else 1


def _page(
    session: Any, wanted: tracks.Filter, sort: str, per: int, number: int
) -> tuple[list[dict[str, Any]], int]:
    return tracks.listing(
        session,
        wanted,
        sort=sort.removeprefix("-"),
        descending=sort.startswith("-"),
        limit=per,
        offset=(number - 1) * per,
    )


def _tags(studio: Studio) -> list[dict[str, Any]]:
    with studio.database.read() as session:
        return tracks.tags(session)


# Addresses -------------------------------------------------------------------------------------


def _link(asked: Mapping[str, list[str]], changes: Mapping[str, Any]) -> str:
    """The same page with something otherwise; None leaves a name out. It begins at page 1."""
    kept = {n: v for n, v in asked.items() if n not in changes and n != "page"}
    query = kept | {n: v for n, v in changes.items() if v is not None}
    return "/library?" + urlencode(query, doseq=True) if query else "/library"


def _for_the_api(asked: Mapping[str, list[str]], sort: str) -> dict[str, Any]:
    """The same filters in the words of the API."""
    ours = ("q", "tag", *CHOICES, *(f"{n}_{end}" for n in RANGES for end in ("min", "max")))
    states = asked.get("state", [])
    told: dict[str, Any] = {n: asked[n] for n in ours if n in asked}
    if kept := [s for s in states if s != DELETED]:
        told["state"] = kept
    if DELETED in states:
        told["deleted"] = "true"
    return told | {"sort": sort.removeprefix("-"), "order": "desc" if sort[0] == "-" else "asc"}


def _active(asked: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    """The filters that are on, in words, each with the address without it."""
    found = [
        (f"{words.lower()} {value}", _link(asked, {name: [v for v in asked[name] if v != value]}))
        for name, (words, _) in CHOICES.items()
        for value in asked.get(name, ())
    ]
    for name, (words, unit) in RANGES.items():
        for end, said in (("min", "from"), ("max", "up to")):
            if f"{name}_{end}" in asked:
                value = asked[f"{name}_{end}"][0]
                text = f"{words.lower()} {said} {value} {unit}".replace("bpm from", "from").replace(
                    "bpm up", "up"
                )
                found.append((text, _link(asked, {f"{name}_{end}": None})))
    for name, said in (("tag", "tag"), ("q", "words")):
        if name in asked:
            found.append((f"{said} {asked[name][0][:80]}", _link(asked, {name: None})))
    return found


def _shown_pages(number: int, last: int) -> list[int]:
    """The first, the last and those around this one; 0 stands for a gap."""
    wanted = sorted({1, last, *range(number - 2, number + 3)} & set(range(1, last + 1)))
    shown: list[int] = []
    for n in wanted:
        if shown and n > shown[-1] + 1:
            shown.append(0)
        shown.append(n)
    return shown
