"""What is said of a track: read, changed, drawn again, worded anew, and held against every rule."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from lofi.studio import listings, preflight, tracks
from lofi.web._route import Route
from lofi.web._tracks import STALE, IfMatch, refusing_stale, version_of
from lofi.web._who import Reader, TheStudio, Writer

router = APIRouter(tags=["listings"], route_class=Route)

_HASH = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
_CHAPTERS = [
    {"start_s": 0.0, "clock": "0:00", "name": "Intro"},
    {"start_s": 13.0, "clock": "0:13", "name": "First theme"},
    {"start_s": 63.0, "clock": "1:03", "name": "Outro"},
]
_SAYS = {
    "title": "Quiet Harbour · chill lofi to relax to",
    "description": "Chill lofi to relax to: 76 bpm in A minor, 2 min of it.\n\n"
    "0:00 Intro\n0:13 First theme\n1:03 Outro\n\n#lofi #chillbeats",
    "tags": ["lofi", "lofi beats", "76 bpm"],
    "category": "10",
    "language": "en",
    "localizations": {
        "de": {"title": "Quiet Harbour · Lofi zum Entspannen", "description": "76 bpm, a-Moll."}
    },
}
_VIEW = {
    **_SAYS,
    "chapters": _CHAPTERS,
    "counts": {
        "title_characters": 38,
        "title_characters_max": 100,
        "description_bytes": 117,
        "description_bytes_max": 5000,
        "tags_characters": 26,
        "tags_characters_max": 500,
        "chapters": 3,
        "chapters_min": 3,
        "chapter_min_s": 10.0,
    },
    "problems": [],
    "preview": {
        "title": "Quiet Harbour · chill lofi to relax to",
        "hashtags": ["#lofi", "#chillbeats"],
        "opening": "Chill lofi to relax to: 76 bpm in A minor, 2 min of it.",
        "chapters": _CHAPTERS,
    },
}
_REQUEST = {
    "method": "youtube.videos.insert",
    "params": {"part": ["snippet", "status"], "notifySubscribers": False},
    "body": {"snippet": {"title": "Quiet Harbour"}, "status": {"privacyStatus": "private"}},
}


class Localization(BaseModel):
    """Title and description in another language."""

    model_config = ConfigDict(extra="forbid", str_max_length=20_000)

    title: str
    description: str = ""


class Chapter(BaseModel):
    """Where a chapter begins, and what it is called."""

    start_s: float
    clock: str = Field(description="As it stands in the description.")
    name: str


class NewChapter(BaseModel):
    """A chapter that is asked for."""

    model_config = ConfigDict(extra="forbid", str_max_length=200, allow_inf_nan=False)

    start_s: float = Field(ge=0, le=86_400, description="To the second.")
    name: str = Field(min_length=1)


class Counts(BaseModel):
    """How long a listing is, counted as YouTube counts, and how long it may be."""

    title_characters: int
    title_characters_max: int
    description_bytes: int = Field(description="In UTF-8.")
    description_bytes_max: int
    tags_characters: int = Field(
        description="With a comma between tags, and two more for a tag with a space."
    )
    tags_characters_max: int
    chapters: int
    chapters_min: int
    chapter_min_s: float


class Preview(BaseModel):
    """What one sees of it on YouTube."""

    title: str
    hashtags: list[str] = Field(description="The first three, which stand by the title.")
    opening: str = Field(description="The description's first paragraph, before it is unfolded.")
    chapters: list[Chapter] = Field(description="None, where YouTube would show none.")


class Request(BaseModel):
    """A call of YouTube's API, as it would be sent."""

    method: str
    params: dict[str, JsonValue]
    body: dict[str, JsonValue]


class Says(BaseModel):
    """What a listing says, how much room it leaves, and what is wrong with it."""

    title: str
    description: str
    tags: list[str]
    category: str
    language: str
    localizations: dict[str, Localization]
    chapters: list[Chapter]
    counts: Counts
    problems: list[str] = Field(description="Every limit it breaks: empty if it may go out.")
    preview: Preview


class ListingView(Says):
    """The listing of a track."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "track_id": "quiet-harbour-1f0c2d3e",
                    **_VIEW,
                    "sha256": _HASH,
                    "edited": False,
                    "edited_by": None,
                    "edited_at": None,
                    "request": _REQUEST,
                }
            ]
        }
    )

    track_id: str
    sha256: str = Field(description="Changes with every change; `ETag` and `If-Match` hold it.")
    edited: bool = Field(description="Whether a person changed what was drawn.")
    edited_by: str | None
    edited_at: str | None
    request: Request = Field(description="The upload it would make, private.")


class Draft(Says):
    """A listing that is not kept: `PUT` it to keep it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_VIEW, "take": 3}]})

    take: int | None = Field(None, description="Which draw it is; give it back for the next one.")


class ListingChanges(BaseModel):
    """What a person changes; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid",
        str_max_length=20_000,
        json_schema_extra={
            "examples": [
                _SAYS,
                {
                    "title": "Quiet Harbour · lofi for the last train",
                    "chapters": [
                        {"start_s": 0, "name": "Platform"},
                        {"start_s": 20, "name": "Departure"},
                        {"start_s": 70, "name": "Window seat"},
                    ],
                },
            ]
        },
    )

    title: str | None = None
    description: str | None = None
    tags: list[str] | None = Field(None, max_length=200)
    category: str | None = Field(None, description="YouTube's number of it: 10 is music.")
    language: str | None = Field(None, pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    localizations: dict[str, Localization] | None = Field(
        None, max_length=100, description="All of them, by language."
    )
    chapters: list[NewChapter] | None = Field(
        None, max_length=200, description="They take the place of those in the description."
    )

    def edit(self) -> listings.Edit:
        """The same for the studio."""
        return listings.Edit(
            title=self.title,
            description=self.description,
            tags=self.tags,
            category=self.category,
            language=self.language,
            localizations=None
            if self.localizations is None
            else {code: (s.title, s.description) for code, s in self.localizations.items()},
            chapters=None
            if self.chapters is None
            else [(chapter.start_s, chapter.name) for chapter in self.chapters],
        )


@router.get("/api/tracks/{track_id}/listing", summary="What is said of a track")
def read_listing(track_id: str, response: Response, studio: TheStudio, _: Reader) -> ListingView:
    """The listing as it would be sent: what a person made of it, or else what was drawn."""
    with studio.database.read() as session:
        found = listings.view(session, tracks.find(session, track_id))
    response.headers["ETag"] = f'"{found["sha256"]}"'
    return ListingView(**found)


@router.put("/api/tracks/{track_id}/listing", summary="Change a listing", responses=STALE)
def change_listing(
    track_id: str,
    changes: ListingChanges,
    response: Response,
    studio: TheStudio,
    who: Writer,
    if_match: IfMatch = None,
) -> ListingView:
    """Keep what a person made of it, if it keeps every limit; the track asks for approval again."""
    with refusing_stale(), studio.database.write() as session:
        listings.change(
            session, track_id, changes.edit(), actor=who.name, sha256=version_of(if_match)
        )
    return read_listing(track_id, response, studio, who)


@router.delete("/api/tracks/{track_id}/listing", summary="Undo all changes", responses=STALE)
def reset_listing(
    track_id: str, response: Response, studio: TheStudio, who: Writer, if_match: IfMatch = None
) -> ListingView:
    """Give the track the listing of its package again."""
    with refusing_stale(), studio.database.write() as session:
        listings.reset(session, track_id, actor=who.name, sha256=version_of(if_match))
    return read_listing(track_id, response, studio, who)


@router.post("/api/tracks/{track_id}/listing/check", summary="Look at changes without keeping them")
def check_changes(track_id: str, changes: ListingChanges, studio: TheStudio, _: Reader) -> Draft:
    """What the listing would say with these changes, and which limits it would break."""
    with studio.database.read() as session:
        before, _sha256 = listings.effective(session, tracks.find(session, track_id))
    return Draft(**listings.described(listings.edited(before, changes.edit())), take=None)


class Draw(BaseModel):
    """Which draw is wanted."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"after": 0}]})

    after: int = Field(default=0, ge=0, le=100_000, description="The `take` of the draw before.")


@router.post("/api/tracks/{track_id}/listing/draw", summary="Draw other words")
def draw_listing(
    track_id: str,
    studio: TheStudio,
    _: Reader,
    body: Annotated[Draw, Body(default_factory=Draw)],
) -> Draft:
    """Other words from the same templates, unlike the listings of the last 90 days; not kept."""
    with studio.database.read() as session:
        track = tracks.find(session, track_id)
        made = listings.drawn_again(session, track, studio.settings().listing, after=body.after)
    return Draft(**listings.described(made["listing"]), take=made["take"])


@router.post("/api/tracks/{track_id}/listing/rewrite", summary="Have it worded anew")
def rewrite_listing(track_id: str, studio: TheStudio, _: Writer) -> Draft:
    """Other words from the endpoint in the settings, held against the same rules; not kept."""
    return Draft(**listings.described(listings.rewritten(studio, track_id)), take=None)


# Preflight -------------------------------------------------------------------------------------


class FindingView(BaseModel):
    """What came of a rule."""

    id: str
    says: str = Field(description="What must hold.")
    source: str = Field(description="Where the rule comes from.")
    severity: Literal["block", "warn"]
    outcome: Literal["ok", "warn", "block", "unknown"]
    detail: str = Field(description="What is wrong, or why it is not known.")


class PreflightView(BaseModel):
    """What came of all rules, and the request that would be sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "track_id": "quiet-harbour-1f0c2d3e",
                    "listing_sha256": _HASH,
                    "passes": False,
                    "blocked": 1,
                    "warnings": 0,
                    "unknown": 0,
                    "findings": [
                        {
                            "id": "approval",
                            "says": "a person has approved exactly these bytes",
                            "source": "our own rule",
                            "severity": "block",
                            "outcome": "block",
                            "detail": "nobody has approved exactly these bytes",
                        }
                    ],
                    "request": _REQUEST,
                }
            ]
        }
    )

    track_id: str
    listing_sha256: str
    passes: bool = Field(description="Whether nothing keeps the track from being sent.")
    blocked: int
    warnings: int
    unknown: int
    findings: list[FindingView]
    request: Request


@router.get("/api/tracks/{track_id}/preflight", summary="Hold a track against every rule")
def read_preflight(
    track_id: str,
    studio: TheStudio,
    _: Reader,
    privacy: Annotated[
        Literal["private", "unlisted", "public"], Query(description="How public it would be.")
    ] = "private",
    publish_at: Annotated[
        AwareDatetime | None,
        Query(description="When it would become public; private until then."),
    ] = None,
) -> PreflightView:
    """All that would keep a track from going out now, and what would be sent. Nothing is."""
    made: dict[str, Any] = preflight(
        studio, track_id, privacy=privacy, publish_at=publish_at
    ).to_dict()
    return PreflightView(**made)
