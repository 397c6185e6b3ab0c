"""Models: those at hand side by side, training runs as they go, and what there is to learn from."""

from __future__ import annotations

import itertools
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from lofi.brief import InputError
from lofi.studio import NotFoundError, Studio, models, trainings
from lofi.web._trainings import whole_data_set
from lofi.web.dashboard._pages import Visitor, page

router = APIRouter()

_MOST = 4  # models side by side: charts have as many colours
_NAME = Query(max_length=200)


@router.get("/models")
def at_hand(request: Request, who: Visitor) -> Response:
    """The models at hand, with their cards."""
    studio: Studio = request.app.state.studio
    settings = studio.settings()
    found = models.listing(settings)
    return page(
        request,
        who,
        "models.html",
        title="Models",
        models=found,
        names={m["sha256"]: m["name"] for m in found if m["usable"]},
        running=trainings.running(settings),
        most=_MOST,
        folder=str(settings.paths.model.parent),
    )


@router.get("/models/training")
def training(request: Request, who: Visitor, run: Annotated[str | None, _NAME] = None) -> Response:
    """All runs, and one of them with its curves, samples and checkpoints."""
    studio: Studio = request.app.state.studio
    settings = studio.settings()
    runs = trainings.listing(settings)
    shown = None
    if run or runs:
        shown = trainings.view(settings, run or runs[0]["name"])
    return page(
        request,
        who,
        "training.html",
        title="Training",
        runs=runs,
        run=shown,
        curves=_curves(shown) if shown else None,
        why_not=trainings.refusal(settings),
        bases=[m["name"] for m in models.listing(settings) if m["usable"]],
        recipe=settings.training,
        tuning=settings.finetuning,
        may_train=who.may("admin"),
    )


def _curves(run: dict[str, Any]) -> dict[str, Any] | None:
    """Losses of both splits over the steps at which either is known."""
    train = dict(run["train"])
    val = {e["step"]: e["loss"] for e in run["evaluations"]}
    steps = sorted({*train, *val})
    if not steps:
        return None
    return {
        "x": steps,
        "kind": "line",
        "zero": False,
        "unit": "",
        "series": [
            {"name": "training", "values": [train.get(s) for s in steps]},
            {"name": "validation", "values": [val.get(s) for s in steps], "joined": True},
        ],
    }


@router.get("/models/compare")
def compare(
    request: Request,
    who: Visitor,
    model: Annotated[list[str], Query(max_length=20)] = [],  # noqa: B006
) -> Response:
    """Two models or more, figure by figure."""
    studio: Studio = request.app.state.studio
    settings = studio.settings()
    known = [m["name"] for m in models.listing(settings)]
    chosen = list(dict.fromkeys(m for m in model if m in known))[:_MOST]
    wrong, found = "", None
    if len(chosen) > 1:
        try:
            found = models.compare(settings, chosen)
        except (InputError, NotFoundError) as error:
            wrong = str(error)
    return page(
        request,
        who,
        "compare.html",
        title="Compare models",
        known=known,
        chosen=chosen,
        found=found,
        groups=_grouped(found["figures"]) if found else {},
        charts=_charts(found, chosen) if found else [],
        wrong=wrong,
        most=_MOST,
    )


# As a chart has room for.
_SHORT = {
    "Mood, by the classifier": "Mood heard",
    "Mood, by its ranges": "Mood by range",
    "Longest copied run": "Not copied",
}


def _grouped(figures: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """By group, in the order in which they come."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for figure in figures:
        groups.setdefault(figure["group"], []).append(figure)
    return groups


def _charts(found: dict[str, Any], names: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """Shares as bars with their intervals, those figures of which all are a share of one."""
    rows = [f for f in found["figures"] if f["unit"] == "share" and f["better"]]
    if not any(any(f["values"]) for f in rows):
        return []
    series = []
    for i, name in enumerate(names):
        values = [f["values"][i] or {"value": None, "low": None, "high": None} for f in rows]
        series.append(
            {
                "name": name,
                "values": [_percent(v["value"]) for v in values],
                "low": [_percent(v["low"]) for v in values],
                "high": [_percent(v["high"]) for v in values],
            }
        )
    data = {
        "x": [_SHORT.get(f["title"], f["title"]) for f in rows],
        "kind": "bars",
        "unit": " %",
        "series": series,
    }
    return [("What was done as asked, in percent", data)]


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


@router.get("/models/data")
def data(request: Request, who: Visitor) -> Response:
    """What was read, what it is like, and what it is cut into."""
    studio: Studio = request.app.state.studio
    settings = studio.settings()
    wrong, found = "", {"read": None, "cut": None, "spread": None}
    try:
        found = whole_data_set(studio)
    except InputError as error:
        wrong = str(error)
    spread = found["spread"] or {}
    return page(
        request,
        who,
        "dataset.html",
        title="Data set",
        wrong=wrong,
        read=found["read"],
        cut=found["cut"],
        figures=[(f, _histogram(f)) for f in spread.get("figures", [])],
        shares=spread.get("shares", {}),
        raw=str(settings.paths.raw_midi),
    )


def _histogram(figure: dict[str, Any]) -> dict[str, Any]:
    """A figure of `lofi.studio.spread` as a chart."""
    edges = figure["edges"]
    middles = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
    return {
        "x": [f"{m:.3g}" for m in middles],
        "kind": "bars",
        "unit": "",
        "series": [{"name": "files", "values": figure["counts"]}],
    }
