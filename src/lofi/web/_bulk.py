"""Many tracks at once: tagged, put away, given back, approved, rejected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lofi.brief import InputError
from lofi.studio import Studio, jobs, once, tracks
from lofi.web._jobs import replayed
from lofi.web._route import IdempotencyKey, Route
from lofi.web._who import Publisher, TheStudio, Writer

router = APIRouter(prefix="/api/tracks", tags=["tracks"], route_class=Route)

Ids = Annotated[
    list[Annotated[str, Field(max_length=200)]],
    Field(min_length=1, max_length=tracks.MOST_AT_ONCE),
]


class ChangeMany(BaseModel):
    """What is to become of some tracks."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"ids": ["quiet-harbour-1f0c2d3e"], "add_tags": ["rain"], "remove_tags": ["draft"]},
                {"ids": ["quiet-harbour-1f0c2d3e"], "deleted": True},
            ]
        },
    )

    ids: Ids
    add_tags: list[str] = Field([], max_length=30)
    remove_tags: list[str] = Field([], max_length=30)
    deleted: bool | None = Field(None, description="true: put them away. false: give them back.")

    @model_validator(mode="after")
    def _something(self) -> ChangeMany:
        if not self.add_tags and not self.remove_tags and self.deleted is None:
            raise ValueError("say what is to change: `add_tags`, `remove_tags` or `deleted`")
        return self


class DecideMany(BaseModel):
    """A decision about some packages."""

    model_config = ConfigDict(
        extra="forbid",
        str_max_length=20_000,
        json_schema_extra={
            "examples": [
                {
                    "ids": ["quiet-harbour-1f0c2d3e"],
                    "decision": "approved",
                    "privacy": "unlisted",
                    "packages": {
                        "quiet-harbour-1f0c2d3e": "2c26b46b68ffc68ff99b453c1d304134"
                        "13422d706483bfa0f98a5e886266e7ae"
                    },
                }
            ]
        },
    )

    ids: Ids
    decision: Literal["approved", "rejected"]
    privacy: Literal["private", "unlisted", "public"] = "private"
    note: str = ""
    packages: dict[str, str] = Field(
        {},
        max_length=tracks.MOST_AT_ONCE,
        description="The packages you looked at, by track: one that was made anew since is left "
        "as it is.",
    )


class NotDone(BaseModel):
    """A track that stayed as it was, and why."""

    id: str
    cause: str
    remedy: str


class Many(BaseModel):
    """What became of them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "done": ["quiet-harbour-1f0c2d3e"],
                    "failed": [
                        {
                            "id": "nothing",
                            "cause": "there is no track 'nothing'.",
                            "remedy": "`GET /api/tracks` lists them.",
                        }
                    ],
                }
            ]
        }
    )

    done: list[str]
    failed: list[NotDone]


@router.post("/bulk/change", summary="Tag, put away or give back many tracks")
def change_many(
    order: ChangeMany,
    who: Writer,
    studio: TheStudio,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Many:
    """Each by itself: one that cannot be changed does not hold up the others."""
    added, removed = tracks.read_tags(order.add_tags), tracks.read_tags(order.remove_tags)

    def change(session: Any, track_id: str) -> None:
        if order.deleted is False:
            tracks.restore(session, track_id, actor=who.name)
        if added or removed:
            track = tracks.find(session, track_id, lock=True)
            kept = [t for t in track.tags if t not in removed]
            tracks.patch(session, track_id, actor=who.name, tags=[*kept, *added])
        if order.deleted:
            tracks.delete(session, track_id, actor=who.name)

    told = _each(studio, order, who.name, response, idempotency_key, change)
    studio.cache.forget("tracks", "tags")
    return told


@router.post("/bulk/decide", summary="Approve or reject many packages")
def decide_many(
    order: DecideMany,
    who: Publisher,
    studio: TheStudio,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Many:
    """Each by itself; one that its originality check blocks wants a note that says why."""

    def decide(session: Any, track_id: str) -> None:
        tracks.decide(
            session,
            track_id,
            order.decision,
            actor=who.name,
            privacy=order.privacy,
            note=order.note,
            package_sha256=order.packages.get(track_id),
        )

    return _each(studio, order, who.name, response, idempotency_key, decide)


def _each(
    studio: Studio,
    order: ChangeMany | DecideMany,
    who: str,
    response: Response,
    key: str | None,
    do: Callable[[Any, str], None],
) -> Many:
    """Do it with each track, in one transaction with a point of return before each."""

    def write(session: Any) -> dict[str, Any]:
        done, failed = [], []
        for track_id in dict.fromkeys(order.ids):
            try:
                with session.begin_nested():
                    do(session, track_id)
                    session.flush()
            except InputError as error:
                failed.append({"id": track_id, **(jobs.explained(str(error)) or {})})
            else:
                done.append(track_id)
        return {"done": done, "failed": failed}

    request = f"{type(order).__name__} {order.model_dump_json()}"
    told, again = once(studio.database, who, key, request, lambda: write)
    if again:
        replayed(response)
    return Many(**told)
