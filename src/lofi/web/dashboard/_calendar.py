"""The calendar: a month or a week of releases, slots and best hours, and what can be planned."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from lofi.brief import InputError
from lofi.studio import Studio, slots
from lofi.studio import calendar as calendars
from lofi.web.dashboard._pages import Visitor, page

router = APIRouter()

_YEARS = (2000, 2200)
_SHADES = 5
_PLAIN = 1.02  # a factor up to this one is not called better than the average hour
_BEST = 5  # hours that are told with their reasons


@router.get("/calendar")
def calendar(
    request: Request,
    who: Visitor,
    month: Annotated[str | None, Query(max_length=10)] = None,
    week: Annotated[str | None, Query(max_length=10)] = None,
) -> Response:
    """A month (`?month=2026-12`), or a week (`?week=2026-W49`); this month if neither is given."""
    studio: Studio = request.app.state.studio
    settings = studio.settings()
    at = calendars.today(settings)
    if week is not None:
        first = _read_week(week)
        count, shown = 7, first
    else:
        shown = at.date().replace(day=1) if month is None else _read_month(month)
        first = shown - timedelta(days=shown.weekday())
        last = _next_month(shown) - timedelta(days=1)
        count = 7 * ((last - first).days // 7 + 1)
    begin, end = calendars.days_from(settings, first, count)
    with studio.database.read() as session:
        found = calendars.between(session, settings, begin, end)
        all_slots = slots.listing(session)
    hours = calendars.best_hours(studio)
    shades = _shades(hours)
    items = _by_cell(found, by_hour=week is not None)
    days = [first + timedelta(days=d) for d in range(count)]
    told = {
        "kind": "week" if week is not None else "month",
        "days": days,
        "weeks": [days[d : d + 7] for d in range(0, count, 7)],
        "shown": shown,
        "today": at.date(),
        "hour_now": at.hour,
        "items": items,
        "shades": shades,
        "sure": {h["hour"] for h in hours["hours"] if h["low"] > 1.0 and not hours["prior_only"]},
        "hours": hours,
        "best": _best(hours),
        "best_of_day": _best_of_days(hours),
        "skipped": calendars.skipped_hours(settings, first, count) if week is not None else set(),
        "links": _links(shown, at.date(), week=week is not None),
        "found": found,
        "clashes": _CLASHES,
        "slots": all_slots,
        "spread": settings.schedule,
        "may": who.may("publish"),
        "may_set": who.may("admin"),
    }
    return page(request, who, "calendar.html", title="Calendar", **told)


# Which part ------------------------------------------------------------------------------------


def _read_month(text: str) -> date:
    match = re.fullmatch(r"(\d{4})-(\d\d)", text, re.ASCII)
    if match and _YEARS[0] < int(match[1]) < _YEARS[1] and 1 <= int(match[2]) <= 12:
        return date(int(match[1]), int(match[2]), 1)
    raise InputError(f"{text[:20]!r} is no month. Write it as 2026-12.")


def _read_week(text: str) -> date:
    match = re.fullmatch(r"(\d{4})-W(\d\d)", text, re.ASCII)
    if match and _YEARS[0] < int(match[1]) < _YEARS[1]:
        try:
            return date.fromisocalendar(int(match[1]), int(match[2]), 1)
        except ValueError:
            pass
    raise InputError(f"{text[:20]!r} is no week. Write it as 2026-W49.")


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _links(shown: date, now: date, *, week: bool) -> dict[str, str]:
    """Addresses of what is before, after, now, and of the other view."""
    if week:
        before, after = shown - timedelta(days=7), shown + timedelta(days=7)
        middle = shown + timedelta(days=3)
        other = f"/calendar?month={middle:%Y-%m}"
        pages = {"before": _week(before), "after": _week(after), "now": _week(now)}
        return {**pages, "month": other, "week": _week(shown)}
    before, after = (shown - timedelta(days=1)).replace(day=1), _next_month(shown)
    in_it = now if (now.year, now.month) == (shown.year, shown.month) else shown
    return {
        "before": f"/calendar?month={before:%Y-%m}",
        "after": f"/calendar?month={after:%Y-%m}",
        "now": "/calendar",
        "month": f"/calendar?month={shown:%Y-%m}",
        "week": _week(in_it),
    }


def _week(day: date) -> str:
    year, week, _ = day.isocalendar()
    return f"/calendar?week={year}-W{week:02d}"


# What stands in it -----------------------------------------------------------------------------


# What is wrong with a release in a word or two; the whole reason stands beside it.
_CLASHES = {
    "near": "too near",
    "full": "day is full",
    "outside": "outside slots",
    "approval": "not approved",
}
_KINDS = {"releases": "release", "openings": "opening", "daily": "run", "jobs": "job"}


def _by_cell(found: dict[str, Any], *, by_hour: bool) -> dict[Any, list[dict[str, Any]]]:
    """What happens, by day (`2026-12-03`) or by day and hour (`("2026-12-03", 18)`), in order.

    A slot in which a release stands is shown as that release alone.
    """
    cells: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    taken = {release["publish_at"] for release in found["releases"]}
    for kind, what in _KINDS.items():
        for item in found[kind]:
            if what == "opening" and item["at"] in taken:
                continue
            day, hour = item["local"][:10], int(item["local"][11:13])
            told = {"what": what, "told": _told(what, item), **item}
            cells[(day, hour) if by_hour else day].append(told)
    return {cell: sorted(items, key=lambda i: i["local"]) for cell, items in cells.items()}


def _told(what: str, item: dict[str, Any]) -> str:
    """What a cell that holds the item says of it to whoever cannot see it."""
    at = item["local"][11:]
    if what == "opening":
        return f"{at} {'free slot' if item['free'] else 'slot without room'} {item['name']}"
    return {
        "release": lambda: f"{at} {item['title']}",
        "run": lambda: f"{at} daily run",
        "job": lambda: f"{at} {item['title']} to be made",
    }[what]()


def _shades(hours: dict[str, Any]) -> list[int]:
    """0 (not better than the average hour) to 5 (the best), for each hour of the week."""
    factors = [h["factor"] for h in hours["hours"]]
    most = max(factors)
    if hours["prior_only"] or most <= _PLAIN:
        return [0] * len(factors)
    return [0 if f <= _PLAIN else max(1, round(_SHADES * (f - 1) / (most - 1))) for f in factors]


def _best(hours: dict[str, Any]) -> list[dict[str, Any]]:
    if hours["prior_only"]:
        return []
    return sorted(hours["hours"], key=lambda h: -h["factor"])[:_BEST]


def _best_of_days(hours: dict[str, Any]) -> list[dict[str, Any]]:
    """The best hour of each weekday."""
    days = [hours["hours"][24 * d : 24 * d + 24] for d in range(7)]
    return [max(day, key=lambda h: h["factor"]) for day in days]
