"""Track: heard, seen and read closely; named, worded, decided on; made again in part."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from lofi.brief import PALETTES, TEMPLATES
from lofi.studio import Studio, compare, details, jobs, listings, releases, remakes, tracks
from lofi.web.dashboard._pages import Visitor, page

router = APIRouter()


@router.get("/tracks/{track_id}")
def track(request: Request, track_id: str, who: Visitor) -> Response:
    """All of a track; its wave, notes and melodies come after, when the page is there."""
    studio: Studio = request.app.state.studio
    settings = studio.settings()
    with studio.database.read() as session:
        found = tracks.view(session, track_id, cache=studio.cache)
        listing = listings.view(session, tracks.find(session, track_id, deleted=True))
        release = tracks.release_states(session, [track_id]).get(track_id)
        if release is not None:
            release = releases.view(session, release["id"])
        under_way = [
            v["job_id"] for v in found["versions"] if v["state"] not in ("done", "cancelled")
        ]
        working = jobs.some(session, under_way)
    facts = found["facts"]
    files = {f["name"]: f for f in found["files"]}
    away = found["deleted_at"] is not None
    return page(
        request,
        who,
        "track.html",
        title=found["title"],
        t=found,
        facts=facts,
        files=files,
        stems=[n for n in files if n.startswith("stems/")],
        away=away,
        sections=_sections(facts),
        rows=compare(facts),
        listing=listing,
        release=release,
        working=working,
        made=[v for v in found["versions"] if v["state"] == "done"],
        provenance=details.document(studio, found["job_id"], "provenance.json") or {},
        looks={name: _swatch(colours) for name, colours in PALETTES.items()},
        templates=TEMPLATES,
        soundfonts=_soundfonts(studio),
        kit=remakes.KIT,
        can_reword=bool(settings.listing.rewrite_url and settings.listing.rewrite_model),
        may={scope: who.may(scope) for scope in ("write", "publish")},
    )


def _sections(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Where each section begins, by the plan: within some milliseconds of where it is heard."""
    plan = facts.get("plan")
    if not plan:
        return []
    bar_s = 240.0 / plan["bpm"]
    return [
        {"name": s["name"], "bars": s["bars"], "start_s": round(s["start_bar"] * bar_s, 3)}
        for s in plan["sections"]
    ]


def _swatch(colours: dict[str, Any]) -> list[str]:
    """The colours by which a palette is known."""
    return [*colours["sky"], colours["warm"], colours["accent"]]


def _soundfonts(studio: Studio) -> list[str]:
    folder = studio.base.paths.soundfonts
    there = folder.iterdir() if folder.is_dir() else ()
    return sorted(p.name for p in there if p.suffix.lower() in (".sf2", ".sf3") and p.is_file())
