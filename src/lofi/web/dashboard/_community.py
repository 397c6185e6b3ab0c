"""Community: what was written under the videos, to be answered and moderated by a person."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from lofi.studio import Studio, community, tracks
from lofi.web.dashboard._pages import Visitor, page

router = APIRouter()

_PER_PAGE = 25
_TABS = (*community.STATES, "people", "templates")

Word = Annotated[str, Query(max_length=200)]


@router.get("/community")
def community_page(
    request: Request,
    who: Visitor,
    tab: Word = "",
    category: Word = "",
    segment: Word = "",
    track: Word = "",
    author: Word = "",
    q: Annotated[str, Query(max_length=500)] = "",
    waiting: bool = False,
    unclear: bool = False,
    at: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
) -> Response:
    """Comments of one state, or who writes, or the templates of replies."""
    studio: Studio = request.app.state.studio
    told = community.summary(studio)
    if tab not in _TABS:
        tab = "held" if told["waiting"]["held"] else "published"
    # What an address names and does not exist is as if it were not asked for.
    category = category if category in [c["name"] for c in told["categories"]] else ""
    segment = segment if segment in [s["name"] for s in told["segments"]] else ""
    chosen: dict[str, Any] = {
        "tab": tab, "category": category, "segment": segment, "track": track, "author": author,
        "q": q, "waiting": "true" if waiting else "", "unclear": "true" if unclear else "",
    }  # fmt: skip
    shown: dict[str, Any] = {"comments": [], "people": [], "templates": {}, "total": 0}
    with studio.database.read() as session:
        if tab == "templates":
            shown["templates"] = community.templates(session)
        elif tab == "people":
            shown["people"], shown["total"] = community.people(
                session, segment or None, limit=_PER_PAGE, offset=at
            )
        else:
            wanted = community.Filter(
                states=() if unclear else (tab,),
                categories=(category,) if category else (),
                segments=(segment,) if segment else (),
                track_id=track or None,
                author_id=author or None,
                text=q,
                handled=False if waiting else None,
                unclear=unclear,
            )
            shown["comments"], shown["total"] = community.listing(
                session, wanted, limit=_PER_PAGE, offset=at
            )
        under = _track_title(session, track)
    return page(
        request,
        who,
        "community.html",
        title="Community",
        summary=told,
        chosen=chosen,
        kept={k: v for k, v in chosen.items() if v},
        filtered=any(chosen[k] for k in ("category", "segment", "track", "author", "q", "waiting")),
        at=at,
        per_page=_PER_PAGE,
        under=under,
        facts=community.TEMPLATE_FACTS,
        may_write=who.may("write"),
        may_send=who.may("publish") and told["connected"],
        **shown,
    )


def _track_title(session: Any, track_id: str) -> str | None:
    """What the track of a filter is called; its id where there is none."""
    if not track_id:
        return None
    try:
        return tracks.find(session, track_id, deleted=True).title
    except tracks.NotFoundError:
        return track_id
