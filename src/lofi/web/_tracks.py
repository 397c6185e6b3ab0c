"""Tracks: listed, read, named, approved, put away and given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Body, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from lofi.studio import Studio, tracks
from lofi.web._files import FILE_EXAMPLE, File, file_url
from lofi.web._problems import ProblemError
from lofi.web._route import Route, at_once
from lofi.web._who import Publisher, Reader, TheStudio, Writer

router = APIRouter(tags=["tracks"], route_class=Route)

_TAGS_S = 10.0


_EXAMPLE = {
    "id": "quiet-harbour-1f0c2d3e",
    "title": "Quiet Harbour",
    "state": "approved",
    "mood": "chill",
    "bpm": 76.0,
    "key": "A minor",
    "duration_s": 121.3,
    "seed": 7,
    "palette": "dusk",
    "template": "bars",
    "verdict": "pass",
    "lufs": -14.0,
    "tags": ["rain", "study"],
    "note": "",
    "job_id": "1f0c22d94c4d1f6e",
    "package_sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "version": "62a4f1c3b7d40",
    "created_at": "2026-11-02T09:31:02.118Z",
    "updated_at": "2026-11-02T10:04:40.502Z",
    "deleted_at": None,
}


class TrackSummary(BaseModel):
    """A track as a list shows it."""

    id: str = Field(examples=["quiet-harbour-1f0c2d3e"])
    title: str
    state: str = Field(description="`review`, `approved` or `rejected`.")
    mood: str
    bpm: float
    key: str
    duration_s: float
    seed: int
    palette: str
    template: str
    verdict: str = Field(description="Of originality: `pass`, `review`, `block`, `not checked`.")
    lufs: float
    tags: list[str]
    note: str
    job_id: str
    package_sha256: str = Field(description="Stands for all bytes of the package.")
    version: str = Field(description="Changes with every change; `ETag` and `If-Match` hold it.")
    created_at: str
    updated_at: str
    deleted_at: str | None


class Decision(BaseModel):
    """What a person decided about a package."""

    decision: str
    privacy: str
    note: str
    decided_by: str
    decided_at: str
    package_sha256: str = Field(description="The `content_sha256` that was decided on.")
    current: bool = Field(description="Whether that is still what the track is.")


class Version(BaseModel):
    """A job that made this track, or makes it again; and what it may be told by."""

    job_id: str
    state: str
    requested_by: str
    created_at: str
    finished_at: str | None
    current: bool
    palette: str | None
    template: str | None
    picture_seed: int | None = Field(description="Settles the room that the pictures show.")
    stems: bool | None
    soundfont: str | None = Field(description="None for the instruments of the house.")


class Track(TrackSummary):
    """A track with all that is known of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **_EXAMPLE,
                    "restorable_until": None,
                    "content_sha256": _EXAMPLE["package_sha256"],
                    "facts": {"id": "quiet-harbour-1f0c2d3e", "title": "Quiet Harbour"},
                    "files": [FILE_EXAMPLE],
                    "approvals": [
                        {
                            "decision": "approved",
                            "privacy": "unlisted",
                            "note": "",
                            "decided_by": "local",
                            "decided_at": "2026-11-02T10:04:40.502Z",
                            "package_sha256": _EXAMPLE["package_sha256"],
                            "current": True,
                        }
                    ],
                    "versions": [
                        {
                            "job_id": "1f0c22d94c4d1f6e",
                            "state": "done",
                            "requested_by": "token:website",
                            "created_at": "2026-11-02T09:30:00.000Z",
                            "finished_at": "2026-11-02T09:31:02.118Z",
                            "current": True,
                            "palette": "dusk",
                            "template": "bars",
                            "picture_seed": 7,
                            "stems": False,
                            "soundfont": None,
                        }
                    ],
                }
            ]
        }
    )

    restorable_until: str | None
    content_sha256: str = Field(
        description="What a decision is about: the package, and its listing where a person changed "
        "it."
    )
    facts: dict[str, Any] = Field(description="`track.json` of the package.")
    files: list[File]
    approvals: list[Decision]
    versions: list[Version]


class Tracks(BaseModel):
    """A page of tracks."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"items": [_EXAMPLE], "total": 128, "limit": 50, "offset": 0}]
        }
    )

    items: list[TrackSummary]
    total: int = Field(description="How many there are on all pages.")
    limit: int
    offset: int


class Tag(BaseModel):
    """A tag, and how many tracks have it."""

    tag: str
    tracks: int


class Tags(BaseModel):
    """All tags, the most used first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [{"tag": "rain", "tracks": 12}]}]}
    )

    items: list[Tag]


# Which, and in what order ----------------------------------------------------------------------

Names = Annotated[list[str], Query()]


async def asked_for(
    q: Annotated[str, Query(max_length=500, description="Words that must all occur.")] = "",
    state: Annotated[list[str], Query(description="One of several.")] = [],  # noqa: B006
    mood: Names = [],  # noqa: B006
    key: Names = [],  # noqa: B006
    palette: Names = [],  # noqa: B006
    verdict: Names = [],  # noqa: B006
    tag: str | None = None,
    bpm_min: float | None = None,
    bpm_max: float | None = None,
    duration_min: Annotated[float | None, Query(description="In seconds.")] = None,
    duration_max: float | None = None,
    created_from: AwareDatetime | None = None,
    created_before: AwareDatetime | None = None,
    deleted: Annotated[bool, Query(description="Only those that were deleted.")] = False,
) -> tracks.Filter:
    """The filter of a query string."""
    return tracks.Filter(
        text=q,
        states=tuple(state),
        moods=tuple(mood),
        keys=tuple(key),
        palettes=tuple(palette),
        verdicts=tuple(verdict),
        tag=tag,
        bpm=(bpm_min, bpm_max),
        duration_s=(duration_min, duration_max),
        created=(created_from, created_before),
        deleted=deleted,
    )


AskedFor = Annotated[tracks.Filter, Depends(asked_for)]
Sort = Literal["created", "title", "bpm", "duration", "key", "mood"]
Order = Literal["asc", "desc"]


@router.get("/api/tracks", summary="Tracks, filtered and sorted")
@at_once
def list_tracks(
    request: Request,
    response: Response,
    studio: TheStudio,
    _: Reader,
    wanted: AskedFor,
    sort: Sort = "created",
    order: Order = "desc",
    limit: Annotated[int, Query(ge=1, le=tracks.MOST_AT_ONCE)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
) -> Tracks:
    """A page of tracks; `Link` names the pages before and after it."""
    with studio.database.read() as session:
        items, total = tracks.listing(
            session, wanted, sort=sort, descending=order == "desc", limit=limit, offset=offset
        )
    pages = {}
    if offset + limit < total:
        pages["next"] = offset + limit
    if offset > 0:
        pages["prev"] = max(0, offset - limit)
    if pages:
        response.headers["Link"] = ", ".join(
            f'<{_page(request, at, limit)}>; rel="{name}"' for name, at in pages.items()
        )
    response.headers["X-Total-Count"] = str(total)
    return Tracks(items=[TrackSummary(**i) for i in items], total=total, limit=limit, offset=offset)


def _page(request: Request, offset: int, limit: int) -> str:
    kept = [(k, v) for k, v in request.query_params.multi_items() if k not in ("offset", "limit")]
    return f"{request.url.path}?{urlencode([*kept, ('limit', limit), ('offset', offset)])}"


@router.get(
    "/api/tracks.csv",
    summary="The same as a table for spreadsheets",
    response_class=Response,
    responses={
        200: {
            "description": "All of them.",
            "content": {"text/csv": {"example": ",".join(tracks.CSV_COLUMNS)}},
        }
    },
)
def export_tracks(
    studio: TheStudio,
    _: Reader,
    wanted: AskedFor,
    sort: Sort = "created",
    order: Order = "desc",
) -> Response:
    """All tracks that a list with these filters has, on one page."""
    lines = tracks.csv_lines(studio.database.read, wanted, sort=sort, descending=order == "desc")
    return StreamingResponse(
        (line.encode() for line in lines),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="tracks.csv"'},
    )


@router.get("/api/tags", summary="Tags, with how many tracks have them")
def list_tags(studio: TheStudio, _: Reader) -> Tags:
    """All tags of tracks that are not deleted."""

    def read() -> list[dict[str, Any]]:
        with studio.database.read() as session:
            return tracks.tags(session)

    found = studio.cache.get_or_make("tracks", "tags", read, ttl_s=_TAGS_S)
    return Tags(items=[Tag(**t) for t in found])


# One of them -----------------------------------------------------------------------------------


@router.get("/api/tracks/{track_id}", summary="A track")
@at_once
def read_track(track_id: str, response: Response, studio: TheStudio, _: Reader) -> Track:
    """All that is known of a track; of a deleted one, too."""
    return told_track(studio, track_id, response)


def told_track(studio: Studio, track_id: str, response: Response) -> Track:
    """A track as it is now; the header `ETag` has its version."""
    with studio.database.read() as session:
        found = tracks.view(session, track_id, cache=studio.cache)
    response.headers["ETag"] = f'"{found["version"]}"'
    files = [{**f, "url": file_url(track_id, f["name"])} for f in found["files"]]
    return Track(**{**found, "files": files})


IfMatch = Annotated[
    str | None,
    Header(
        description="The `ETag` of the track as you know it: should somebody have changed it "
        "since, nothing is done and the answer is 412."
    ),
]


def version_of(if_match: str | None) -> str | None:
    """The version that an If-Match header asks for; None for any."""
    if if_match is None or if_match.strip() == "*":
        return None
    return if_match.strip().removeprefix("W/").strip('"')


class TrackChanges(BaseModel):
    """What a person may change; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid",
        str_max_length=20_000,
        json_schema_extra={"examples": [{"title": "Harbour at Night", "tags": ["rain", "night"]}]},
    )

    title: str | None = None
    tags: list[str] | None = Field(None, max_length=100)
    note: str | None = None


STALE: dict[int | str, dict[str, Any]] = {412: {"description": "It was changed meanwhile."}}


@router.patch("/api/tracks/{track_id}", summary="Change title, tags or note", responses=STALE)
def patch_track(
    track_id: str,
    changes: TrackChanges,
    response: Response,
    studio: TheStudio,
    who: Writer,
    if_match: IfMatch = None,
) -> Track:
    """Change a track; gives it as it is then."""
    with refusing_stale(), studio.database.write() as session:
        tracks.patch(
            session,
            track_id,
            actor=who.name,
            title=changes.title,
            tags=changes.tags,
            note=changes.note,
            version=version_of(if_match),
        )
    studio.cache.forget("tracks", "tags")
    return told_track(studio, track_id, response)


@contextmanager
def refusing_stale() -> Iterator[None]:
    """What was changed meanwhile is a failed precondition."""
    try:
        yield
    except tracks.StaleError as error:
        cause, _, remedy = str(error).partition(". ")
        raise ProblemError("stale", f"{cause}.", remedy) from error


@router.delete(
    "/api/tracks/{track_id}", status_code=204, summary="Put a track away", responses=STALE
)
def delete_track(track_id: str, studio: TheStudio, who: Writer, if_match: IfMatch = None) -> None:
    """Delete a track. It can be restored for 30 days; then its files are freed."""
    with refusing_stale(), studio.database.write() as session:
        tracks.delete(session, track_id, actor=who.name, version=version_of(if_match))
    studio.cache.forget("tracks", "tags")


@router.post("/api/tracks/{track_id}/restore", summary="Give back a deleted track")
def restore_track(track_id: str, response: Response, studio: TheStudio, who: Writer) -> Track:
    """Undo a deletion within 30 days."""
    with studio.database.write() as session:
        tracks.restore(session, track_id, actor=who.name)
    studio.cache.forget("tracks", "tags")
    return told_track(studio, track_id, response)


class Approve(BaseModel):
    """How far a package may go."""

    model_config = ConfigDict(
        extra="forbid",
        str_max_length=20_000,
        json_schema_extra={
            "examples": [{"privacy": "unlisted", "package_sha256": _EXAMPLE["package_sha256"]}]
        },
    )

    privacy: Literal["private", "unlisted", "public"] = Field(
        default="private", description="The most public way in which it may be released."
    )
    note: str = ""
    package_sha256: str | None = Field(
        default=None,
        description="The package you looked at: if it was made anew since, the answer is 412.",
    )
    listing_sha256: str | None = Field(
        default=None,
        description="The listing you looked at: if it was changed since, the answer is 412.",
    )


class Reject(BaseModel):
    """Why a package may not go out."""

    model_config = ConfigDict(
        extra="forbid",
        str_max_length=20_000,
        json_schema_extra={"examples": [{"note": "the bass is late in the second half"}]},
    )

    note: str = ""
    package_sha256: str | None = None


@router.post("/api/tracks/{track_id}/approve", summary="Approve a package", responses=STALE)
def approve_track(
    track_id: str,
    response: Response,
    studio: TheStudio,
    who: Publisher,
    body: Annotated[Approve, Body(default_factory=Approve)],
) -> Track:
    """Approve exactly these bytes: made anew, or its listing changed, the track asks again."""
    with refusing_stale(), studio.database.write() as session:
        tracks.decide(
            session,
            track_id,
            "approved",
            actor=who.name,
            privacy=body.privacy,
            note=body.note,
            package_sha256=body.package_sha256,
            listing_sha256=body.listing_sha256,
        )
    return told_track(studio, track_id, response)


@router.post("/api/tracks/{track_id}/reject", summary="Reject a package", responses=STALE)
def reject_track(
    track_id: str,
    response: Response,
    studio: TheStudio,
    who: Publisher,
    body: Annotated[Reject, Body(default_factory=Reject)],
) -> Track:
    """Reject exactly these bytes."""
    with refusing_stale(), studio.database.write() as session:
        tracks.decide(
            session,
            track_id,
            "rejected",
            actor=who.name,
            note=body.note,
            package_sha256=body.package_sha256,
        )
    return told_track(studio, track_id, response)
