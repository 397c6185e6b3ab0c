"""Analytics: how the channel does, what goes with more views, and experiments."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from lofi.brief import PALETTES
from lofi.studio import Studio, analytics, experiments
from lofi.web.dashboard._pages import Visitor, page

router = APIRouter()

Days = Literal["28", "90", "365"]
Measures = Literal["views", "watch_min", "view_share", "click_rate"]
_WEEK = 7
# Figure of a day, its name on the page, by what it is multiplied, its unit.
_CHARTS = (
    ("daily_views", "Views", 1.0, ""),
    ("daily_watch_min", "Watch time", 1 / 60, " h"),
    ("daily_click_rate", "Click-through", 100.0, " %"),
)
_FACTS = {
    "mood": "Mood",
    "bpm": "Tempo, bpm",
    "palette": "Palette",
    "hour": "Hour it went out",
    "key": "Key",
    "length": "Length",
    "template": "Template",
}
# How a measure is written: a factor, decimals, a unit.
_WRITTEN = {
    "views": (1.0, 0, ""),
    "watch_min": (1 / 60, 1, " h"),
    "view_share": (100.0, 0, " %"),
    "click_rate": (100.0, 1, " %"),
}


@router.get("/analytics")
def analytics_page(
    request: Request,
    who: Visitor,
    days: Days = "28",
    measure: Measures = "views",
    age: Annotated[int, Query(ge=1, le=analytics.MOST_AGE_DAYS)] = 7,
    curve: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """The page."""
    studio: Studio = request.app.state.studio
    zone = analytics.zone_of(studio.settings())

    def read() -> dict[str, Any]:
        with studio.database.read() as session:
            return {
                "totals": analytics.totals(session),
                "report": analytics.report(session, measure=measure, age_days=age, zone=zone),
                "retention": analytics.retention(session),
                "daily": analytics.daily(session, [c[0] for c in _CHARTS], days=int(days)),
            }

    key = f"page/{days}/{measure}/{age}/{zone}"
    told = studio.cache.get_or_make("analytics", key, read, ttl_s=60.0)
    with studio.database.read() as session:
        state = analytics.state(session)
        releases = analytics.released(session)
        tried = experiments.listing(session)
    for each in tried:
        for pair in each["pairs"]:
            # Wealth grows by factors: half the way is the root of what is needed.
            way = math.log(max(pair["evidence"], 1.0)) / math.log(each["needed"])
            pair["strength"] = round(min(1.0, way), 3)
    charts = [
        (name, unit, _chart(name, told["daily"].get(figure), factor, unit))
        for figure, name, factor, unit in _CHARTS
    ]
    return page(
        request,
        who,
        "analytics.html",
        title="Analytics",
        state=state,
        figures={f["name"]: f for f in told["totals"]["figures"]},
        counts=told["totals"]["counts"],
        charts=charts,
        curves=told["retention"]["releases"],
        retention=_retention(told["retention"], curve),
        curve=curve,
        report=told["report"],
        facts=[(name, _rows(told["report"], fact)) for fact, name in _FACTS.items()],
        typical=_written(told["report"]["typical"], measure),
        experiments=tried,
        releases=releases,
        palettes=sorted(PALETTES),
        works=studio.rounds is not None,
        may_publish=who.may("publish"),
        asked={"days": days, "measure": measure, "age": age},
    )


def _chart(
    name: str, found: dict[str, Any] | None, factor: float, unit: str
) -> dict[str, Any] | None:
    """A figure by day, and its mean over the last seven days, which weekends do not sway."""
    if found is None:
        return None
    values = [None if v is None else round(v * factor, 4) for v in found["values"]]
    first = date.fromisoformat(found["from"])
    means: list[float | None] = []
    for i in range(len(values)):
        week = [v for v in values[max(0, i - _WEEK + 1) : i + 1] if v is not None]
        means.append(round(sum(week) / len(week), 4) if len(week) == _WEEK else None)
    return {
        "x": [f"{first + timedelta(days=i):%-d %b}" for i in range(len(values))],
        "unit": unit,
        "series": [
            {"name": f"{name} by day", "values": values},
            {"name": "mean of 7 days", "values": means},
        ],
    }


def _retention(found: dict[str, Any], curve: int | None) -> dict[str, Any] | None:
    """The median of the curves with the middle half of them, and the one that is looked at."""
    middle, curves = found["middle"], {c["release_id"]: c for c in found["releases"]}
    chosen = curves.get(curve or -1)
    if chosen is None and not middle and curves:
        chosen = next(iter(curves.values()))
    known = middle or (chosen["points"] if chosen else [])
    if not known:
        return None
    at = sorted({x for x, *_ in known})
    # A hundred points are more than a phone has room for.
    at = at[:: max(1, len(at) // 50)]
    series = []
    if middle:
        rows = {row[0]: row for row in middle}
        column = {k: [_percent(rows[x][k]) for x in at] for k in (1, 2, 3)}
        series.append({"name": "median", "values": column[1], "low": column[2], "high": column[3]})
    if chosen:
        points = dict(map(tuple, chosen["points"]))
        values = [_percent(points.get(x)) for x in at]
        series.append({"name": chosen["title"], "values": values})
    return {"x": [f"{100 * x:.0f} %" for x in at], "unit": " %", "series": series}


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 1)


def _rows(report: dict[str, Any], fact: str) -> dict[str, Any]:
    """The groups of a fact as rows of a table, with where their intervals lie, 0 to 100."""
    found, measure = report["by"][fact], report["measure"]
    groups = sorted(found["groups"], key=lambda g: -g["estimate"])
    if fact in ("hour", "bpm"):  # these have an order of their own
        groups.sort(key=lambda g: (len(g["value"]), g["value"]))
    if fact == "length":
        groups.sort(key=lambda g: analytics.LENGTHS.index(g["value"]))
    typical = found["typical"]
    edges = [v for g in groups for v in (g["low"], g["high"], g["estimate"])]
    low, high = min(edges, default=0.0), max(edges, default=1.0)
    if report["scale"] == "log":
        low = min(low, typical or low)

    def place(value: float) -> float:
        if report["scale"] == "log":  # factors are as far apart as they are large
            value, least, most = (_log(v) for v in (value, low, high))
        else:
            least, most = low, high
        return round(4 + 92 * (value - least) / (most - least), 1) if most > least else 50.0

    return {
        "enough": found["enough"],
        "typical_at": None if typical is None else place(min(max(typical, low), high)),
        "rows": [
            {
                **g,
                "at": place(g["estimate"]),
                "low_at": place(g["low"]),
                "high_at": place(g["high"]),
                "told": _written(g["estimate"], measure),
                "interval": f"{_written(g['low'], measure)} to {_written(g['high'], measure)}",
            }
            for g in groups
        ],
    }


def _log(value: float) -> float:
    return math.log1p(max(value, 0.0))


def _written(value: float | None, measure: str) -> str:
    if value is None:
        return "–"
    factor, decimals, unit = _WRITTEN[measure]
    return f"{value * factor:,.{decimals}f}{unit}"
