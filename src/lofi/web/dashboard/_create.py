"""Create: a brief as a form, heard before it is made, and what became of what was ordered."""

from __future__ import annotations

import random
from functools import cache
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from markupsafe import Markup

from lofi.brief import (
    ALL_KEYS,
    AMBIENCES,
    BPM_RANGE,
    DENSITIES,
    DURATION_RANGE_S,
    DURATION_S,
    MOODS,
    PALETTES,
    PARTS,
    SECTIONS,
    SWINGS,
    TEMPLATES,
    subseed,
)
from lofi.studio import Studio, jobs, models, presets, tracks
from lofi.web._jobs import preview_url
from lofi.web._orders import soundfonts
from lofi.web.dashboard._pages import Visitor, page

router = APIRouter()

_ORDERED = 12  # jobs that are shown of those that were ordered last
_CANDIDATES = 4


@router.get("/create")
def create(request: Request, who: Visitor) -> Response:
    """The form, the candidates that were tried last, and the tracks that were ordered last."""
    studio: Studio = request.app.state.studio
    settings = studio.settings()
    with studio.database.read() as session:
        ordered, total = jobs.listing(session, kinds=("track",), limit=_ORDERED)
        tried, _ = jobs.listing(session, kinds=("preview",), limit=2 * _CANDIDATES)
        made = tracks.some(session, [j["track_id"] for j in ordered if j["state"] == "done"])
        kept = presets.listing(session)
    return page(
        request,
        who,
        "create.html",
        title="Create",
        bundles=_bundles(),
        keys=[str(key) for key in ALL_KEYS],
        palettes={name: _swatch(name) for name in PALETTES},
        any_palette=_stripes(),
        templates=TEMPLATES,
        ambiences=AMBIENCES,
        parts=list(PARTS),
        sections=list(SECTIONS),
        swings=list(SWINGS),
        densities=list(DENSITIES),
        bpm_range=BPM_RANGE,
        duration_range=DURATION_RANGE_S,
        duration_s=DURATION_S,
        sampling=settings.sampling,
        models=models.names(settings),
        soundfonts=soundfonts(studio),
        presets=kept,
        candidates=_newest(tried),
        open_jobs=[j for j in ordered if j["state"] != "done"],
        made=made,
        older=max(0, total - len(ordered)),
        preview_url=preview_url,
        writes=who.may("write"),
    )


def _newest(previews: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The previews that were ordered together last, by their seeds."""
    if not previews:
        return []
    first = previews[0]
    together = [
        p for p in previews if p["id"] == first["id"] or p["batch_id"] == (first["batch_id"] or 0)
    ]
    return sorted(together, key=lambda p: p["brief"]["seed"])[:_CANDIDATES]


@cache
def _bundles() -> list[dict[str, Any]]:
    """The moods by what they sound like, with the tempo that each bundle spans."""
    found = []
    ranked = sorted(MOODS.values(), key=lambda m: list(MOODS).index(m.bundle))
    for bundle, moods in groupby(ranked, key=lambda m: m.bundle):
        members = list(moods)
        low, high = min(m.bpm[0] for m in members), max(m.bpm[1] for m in members)
        found.append({"name": bundle, "bpm": (low, high), "moods": members})
    return found


# Swatches --------------------------------------------------------------------------------------


@cache
def _swatch(name: str) -> Markup:
    """A palette as a small picture: its sky, moon, two rows of houses and a lit window sill."""
    colours: dict[str, Any] = PALETTES[name]
    chance = random.Random(subseed(0, "swatch", name))
    top, middle, horizon = colours["sky"]
    far, near = colours["city"]
    stops = "".join(
        f'<stop offset="{at}" stop-color="{colour}"/>'
        for at, colour in ((0, top), (0.55, middle), (1, horizon))
    )
    x, y, r = chance.choice((14, 20, 42, 48)), chance.randint(12, 20), chance.choice((5, 6, 7))
    houses = "".join(
        _houses(chance, colour, lowest, highest)
        for colour, lowest, highest in ((far, 12, 24), (near, 6, 16))
    )
    lights = "".join(
        f'<rect x="{chance.randrange(2, 60, 3)}" y="{chance.randrange(46, 54, 3)}" width="1.6" '
        f'height="1.6" fill="{colours["warm"]}"/>'
        for _ in range(9)
    )
    return Markup(  # noqa: S704 (all of it from a table of ours)
        f'<svg viewBox="0 0 64 64" aria-hidden="true"><defs><linearGradient id="sky-{name}" x2="0" '
        f'y2="1">{stops}</linearGradient></defs><rect width="64" height="64" '
        f'fill="url(#sky-{name})"/><circle cx="{x}" cy="{y}" r="{r}" fill="{colours["moon"]}"/>'
        f'{houses}{lights}<rect y="56" width="64" height="8" fill="{colours["room"][1]}"/>'
        f'<rect y="56" width="64" height="1.5" fill="{colours["accent"]}"/></svg>'
    )


def _houses(chance: random.Random, colour: str, lowest: int, highest: int) -> str:
    """A row of houses across the picture, as one path."""
    x, path = 0, "M0 56"
    while x < 64:
        width, height = chance.randint(5, 11), chance.randint(lowest, highest)
        path += f"V{56 - height}H{min(64, x + width)}"
        x += width
    return f'<path d="{path}V56z" fill="{colour}"/>'


@cache
def _stripes() -> Markup:
    """All palettes at once, for the one that is left to chance."""
    share = 64 / len(PALETTES)
    bars = "".join(
        f'<rect x="{i * share:g}" width="{share:g}" height="64" fill="{colours["sky"][2]}"/>'
        f'<rect x="{i * share:g}" y="36" width="{share:g}" height="28" fill="{colours["sky"][1]}"/>'
        for i, colours in enumerate(PALETTES.values())
    )
    return Markup(f'<svg viewBox="0 0 64 64" aria-hidden="true">{bars}</svg>')  # noqa: S704
