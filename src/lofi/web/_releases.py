"""Releases on their way to YouTube, and the account they go to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from lofi.studio import Studio, access, accounts, once, releases, uploads
from lofi.web import _consent
from lofi.web._jobs import Failure, replayed
from lofi.web._route import IdempotencyKey, Route
from lofi.web._who import Admin, Publisher, Reader, TheStudio

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

router = APIRouter(prefix="/api", tags=["releases"], route_class=Route)

ReleaseId = Annotated[int, Path(ge=1, le=2**31 - 1, examples=[12])]
Privacy = Literal["private", "unlisted", "public"]
State = Literal[
    "planned", "uploading", "uploaded", "published", "missed", "failed", "needs_attention",
    "cancelled",
]  # fmt: skip

_EXAMPLE = {
    "id": 12,
    "track_id": "quiet-harbour-1f0c2d3e",
    "title": "Quiet Harbour",
    "platform": "youtube",
    "state": "uploading",
    "privacy": "public",
    "privacy_there": None,
    "publish_at": "2030-12-01T17:00:00.000Z",
    "video_id": None,
    "url": None,
    "progress": 0.42,
    "size": 94_371_840,
    "error": None,
    "not_before": None,
    "thumbnail_set": False,
    "playlist": "PLrAXtmErZgOeiKm4sgNOknGvNjby9efdf",
    "in_playlist": False,
    "actions": ["cancel"],
    "created_at": "2030-12-01T09:30:00.000Z",
    "updated_at": "2030-12-01T09:31:10.204Z",
}


class ReleaseView(BaseModel):
    """A track on its way to YouTube, or there."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: int
    track_id: str
    title: str
    platform: str
    state: State = Field(
        description="`uploaded` is there and not yet as public as asked; `missed` and "
        "`needs_attention` wait for a person."
    )
    privacy: Privacy = Field(description="What was asked for, and approved.")
    privacy_there: str | None = Field(description="What YouTube says, once it is there.")
    publish_at: AwareDatetime | None
    video_id: str | None
    url: str | None
    progress: float = Field(description="0 to 1, of its bytes.")
    size: int | None = Field(description="Bytes of the video, once the upload has begun.")
    error: Failure | None
    not_before: AwareDatetime | None = Field(description="When it is tried again by itself.")
    thumbnail_set: bool
    playlist: str | None
    in_playlist: bool
    actions: list[Literal["cancel", "retry", "resolve"]] = Field(
        description="What can be done about it now."
    )
    created_at: AwareDatetime
    updated_at: AwareDatetime


class Releases(BaseModel):
    """A page of releases, the newest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"items": [_EXAMPLE], "total": 1, "limit": 50, "offset": 0}]
        }
    )

    items: list[ReleaseView]
    total: int = Field(description="How many there are on all pages.")
    limit: int
    offset: int


class NewRelease(BaseModel):
    """How a track is to be released."""

    model_config = ConfigDict(
        extra="forbid",
        str_max_length=200,
        json_schema_extra={
            "examples": [{"privacy": "public", "publish_at": "2030-12-01T18:00:00+01:00"}]
        },
    )

    privacy: Privacy = Field(default="private", description="No more than what was approved.")
    publish_at: AwareDatetime | None = Field(
        default=None, description="When it is to be seen. As soon as it is there if left out."
    )
    playlist: str | None = Field(
        default=None,
        description='The id of a playlist; that of the settings if left out, "" for none.',
    )


@router.post(
    "/tracks/{track_id}/releases",
    status_code=201,
    summary="Release a track",
    response_description="The release, which goes out by itself.",
)
def plan_release(
    track_id: str,
    who: Publisher,
    studio: TheStudio,
    response: Response,
    wanted: Annotated[NewRelease, Body(default_factory=NewRelease)],
    idempotency_key: IdempotencyKey = None,
) -> ReleaseView:
    """Plan the release of a track that is approved as it is, or change what was planned.

    A track that is on YouTube already is not uploaded again: its privacy is changed there. 409 for
    one that is not approved for that privacy, and while uploads are off or no account is connected.
    """

    def write(session: Session) -> dict[str, Any]:
        release = releases.plan(
            session,
            studio.settings(),
            track_id,
            actor=who.name,
            privacy=wanted.privacy,
            publish_at=wanted.publish_at,
            playlist=wanted.playlist,
        )
        return releases.view(session, release.id)

    request = f"release {track_id} {wanted.model_dump_json()}"
    told, again = once(
        studio.database, who.name, idempotency_key, request, lambda: write, status=201
    )
    if again:
        replayed(response)
    _wake(studio)
    response.headers["Location"] = f"/api/releases/{told['id']}"
    return ReleaseView(**told)


def _wake(studio: Studio) -> None:
    """Have what was changed be seen to at once, where this process works."""
    if studio.rounds:
        studio.rounds.wake("uploads")
        studio.rounds.wake("releases")


class Rehearsal(BaseModel):
    """What a release would send; nothing was sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "track_id": "quiet-harbour-1f0c2d3e",
                    "requests": [
                        {
                            "method": "POST",
                            "url": "https://youtube.googleapis.com/upload/youtube/v3/videos?part="
                            "snippet%2Cstatus&notifySubscribers=false&uploadType=resumable",
                            "headers": {"Authorization": "Bearer …"},
                            "body": {"status": {"privacyStatus": "private"}},
                        }
                    ],
                    "begins_at": None,
                    "refusals": [],
                }
            ]
        }
    )

    track_id: str
    requests: list[dict[str, Any]] = Field(description="In their order, without any secret.")
    begins_at: AwareDatetime | None = Field(description="Not before that moment, if there is one.")
    refusals: list[str] = Field(description="Why it would be refused now.")


@router.post("/tracks/{track_id}/releases/rehearsal", summary="What a release would send")
def rehearse_release(
    track_id: str,
    who: Reader,
    studio: TheStudio,
    wanted: Annotated[NewRelease, Body(default_factory=NewRelease)],
) -> Rehearsal:
    """The exact requests of a release, made by what would send them; nothing is sent."""
    return Rehearsal(
        **releases.rehearse(
            studio,
            track_id,
            privacy=wanted.privacy,
            publish_at=wanted.publish_at,
            playlist=wanted.playlist,
        )
    )


@router.get("/releases", summary="Releases")
def list_releases(
    who: Reader,
    studio: TheStudio,
    state: Annotated[list[State] | None, Query(description="One or several states.")] = None,
    track: Annotated[str | None, Query(max_length=200, description="Only of that track.")] = None,
    limit: Annotated[int, Query(ge=1, le=releases.MOST_AT_ONCE)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
) -> Releases:
    """A page of releases, the newest first."""
    with studio.database.read() as session:
        found, total = releases.listing(
            session, states=state or (), track_id=track, limit=limit, offset=offset
        )
    return Releases(
        items=[ReleaseView(**view) for view in found], total=total, limit=limit, offset=offset
    )


@router.get("/releases/{release_id}", summary="A release")
def read_release(release_id: ReleaseId, who: Reader, studio: TheStudio) -> ReleaseView:
    """How far it is, what went wrong, and what can be done about it."""
    with studio.database.read() as session:
        return ReleaseView(**releases.view(session, release_id))


@router.post("/releases/{release_id}/cancel", summary="Cancel a release")
def cancel_release(
    release_id: ReleaseId,
    who: Publisher,
    studio: TheStudio,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> ReleaseView:
    """Take it back before it is on YouTube; one that is there already stays: 409."""

    def write(session: Session) -> None:
        releases.cancel(session, release_id, actor=who.name)

    return _change("cancel", write, release_id, who, studio, response, idempotency_key)


@router.post("/releases/{release_id}/retry", summary="Try a release again")
def retry_release(
    release_id: ReleaseId,
    who: Publisher,
    studio: TheStudio,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> ReleaseView:
    """At once: what failed or was missed, waits, or went wrong beside the video."""

    def write(session: Session) -> None:
        releases.retry(session, studio.settings(), release_id, actor=who.name)

    return _change("retry", write, release_id, who, studio, response, idempotency_key)


def _change(
    name: str,
    write: Callable[[Session], None],
    release_id: int,
    who: access.Principal,
    studio: Studio,
    response: Response,
    key: str | None,
) -> ReleaseView:
    def do(session: Session) -> dict[str, Any]:
        write(session)
        session.flush()
        return releases.view(session, release_id)

    told, again = once(studio.database, who.name, key, f"release {name} {release_id}", lambda: do)
    if again:
        replayed(response)
    _wake(studio)
    return ReleaseView(**told)


class Lookalike(BaseModel):
    """A video of the channel that may be the one."""

    video_id: str
    title: str
    published_at: AwareDatetime
    same_title: bool


class Lookalikes(BaseModel):
    """Videos that no release is known to have made; the likeliest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "video_id": "dQw4w9WgXcQ",
                            "title": "Quiet Harbour",
                            "published_at": "2030-12-01T09:35:00.000Z",
                            "same_title": True,
                        }
                    ]
                }
            ]
        }
    )

    items: list[Lookalike]


@router.get("/releases/{release_id}/lookalikes", summary="Videos that may be the one of a release")
def release_lookalikes(release_id: ReleaseId, who: Publisher, studio: TheStudio) -> Lookalikes:
    """Look through the channel's own uploads, for a release of which nobody knows.

    It asks YouTube, which costs 2 or 3 units of the quota.
    """
    return Lookalikes(items=[Lookalike(**v) for v in uploads.lookalikes(studio, release_id)])


class Resolution(BaseModel):
    """A person's word on a release of which nobody knew."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"video_id": "dQw4w9WgXcQ"}, {"video_id": None}]},
    )

    video_id: str | None = Field(
        pattern=r"^[A-Za-z0-9_-]{6,20}$",
        description="The video that it is; null if it is not there, and is to be uploaded again.",
    )


@router.post("/releases/{release_id}/resolve", summary="Say whether a release is on YouTube")
def resolve_release(
    release_id: ReleaseId, said: Resolution, who: Publisher, studio: TheStudio
) -> ReleaseView:
    """For one that `needs_attention`; that the video is the channel's own is looked up."""
    told = uploads.resolve(studio, release_id, said.video_id, actor=who.name)
    _wake(studio)
    return ReleaseView(**told)


# The account -------------------------------------------------------------------------------------


class Bucket(BaseModel):
    """What is counted together of the quota."""

    bucket: str
    told: str = Field(description="What it is for.")
    used: int
    limit: int
    left: int
    resets_at: AwareDatetime


class YouTubeState(BaseModel):
    """The account, what is left of its quota, and what goes wrong."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "connected": True,
                    "account": "Quiet Harbour Radio",
                    "account_id": "UCa1B2c3D4e5F6g7H8i9J0kL",
                    "scopes": ["https://www.googleapis.com/auth/youtube.force-ssl"],
                    "figures": False,
                    "connected_at": "2030-11-20T09:30:00.000Z",
                    "expires_at": None,
                    "warning": None,
                    "problem": None,
                    "uploads": True,
                    "paused_until": None,
                    "quota": [
                        {
                            "bucket": "uploads",
                            "told": "uploads of videos",
                            "used": 3,
                            "limit": 100,
                            "left": 97,
                            "resets_at": "2030-11-29T08:00:00.000Z",
                        }
                    ],
                    "releases": {"planned": 2, "published": 41},
                    "troubles": {},
                }
            ]
        }
    )

    connected: bool
    account: str | None = Field(description="The channel's title.")
    account_id: str | None
    scopes: list[str]
    figures: bool = Field(description="Whether figures of YouTube Analytics may be read.")
    connected_at: AwareDatetime | None
    expires_at: AwareDatetime | None = Field(description="Null where Google does not say.")
    warning: str | None = Field(description="That the connection will end, and what to do.")
    problem: str | None = Field(description="What a person must do something about.")
    uploads: bool = Field(description="Whether uploads are switched on.")
    paused_until: AwareDatetime | None = Field(
        description="Until when the channel may upload no more, as YouTube said."
    )
    quota: list[Bucket]
    releases: dict[str, int] = Field(description="How many there are in each state.")
    troubles: dict[str, str] = Field(description="What goes wrong in rounds, by their names.")


@router.get("/youtube", summary="The YouTube account and its quota")
def read_youtube(who: Reader, studio: TheStudio) -> YouTubeState:
    """What is connected and what is left today. Asks nothing of YouTube."""
    with studio.database.read() as session:
        counts, paused = releases.counts(session), releases.pause(session)
    return YouTubeState(
        **accounts.status(studio),
        paused_until=paused[0] if paused else None,
        releases=counts,
    )


class NewConsent(BaseModel):
    """The OAuth client with which an account is to be connected."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "client": '{"installed": {"client_id": "1234-ab.apps.googleusercontent.com", '
                    '"client_secret": "GOCSPX-of-your-own", '
                    '"auth_uri": "https://accounts.google.com/o/oauth2/auth", '
                    '"token_uri": "https://oauth2.googleapis.com/token"}}'
                }
            ]
        },
    )

    client: str | None = Field(
        None,
        max_length=100_000,
        description="What its JSON file holds (type Desktop app); left out, the one that is known.",
    )


class ConsentPage(BaseModel):
    """Where a person consents."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://accounts.google.com/o/oauth2/auth?response_type=code&client_id="
                    "1234-ab.apps.googleusercontent.com&redirect_uri=http%3A%2F%2F127.0.0.1%3A8000"
                    "%2Fsettings%2Fyoutube%2Freturn&state=Zk3&code_challenge=q2&prompt=consent"
                }
            ]
        }
    )

    url: str = Field(description="At Google; open it in the browser that asked.")


class Disconnected(BaseModel):
    """The account that was connected."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "account": "Quiet Harbour Radio",
                    "account_id": "UCa1B2c3D4e5F6g7H8i9J0kL",
                    "ended_at_google": True,
                }
            ]
        }
    )

    account: str
    account_id: str
    ended_at_google: bool = Field(description="False: see myaccount.google.com/connections.")


@router.post("/youtube/consent", summary="Begin to connect a YouTube account")
def ask_for_consent(
    new: NewConsent, request: Request, response: Response, who: Admin, studio: TheStudio
) -> ConsentPage:
    """Give the page at Google where a person consents, for the browser that asks: nothing is
    connected before it has come back from there, within ten minutes. That is why it works only
    where the studio is asked under an address of this machine.
    """
    return ConsentPage(url=_consent.begin(request, response, new.client))


@router.delete("/youtube", summary="Disconnect the YouTube account")
def disconnect(who: Admin, studio: TheStudio) -> Disconnected:
    """Forget the account's key, and have Google end it. Videos stay."""
    return Disconnected(**accounts.disconnect(studio, actor=who.name))
