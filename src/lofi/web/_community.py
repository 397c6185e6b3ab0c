"""The community: comments listed, answered and moderated. Nothing is sent but by a request here."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, ConfigDict, Field

from lofi.studio import Studio, community
from lofi.web._route import Route
from lofi.web._who import Publisher, Reader, TheStudio, Writer

router = APIRouter(prefix="/api/comments", tags=["community"], route_class=Route)

_MOST_TEXT = 20_000  # of what is sent here: longer than any reply, and told as such

_FIGURES_EXAMPLE = {
    "comments": 9,
    "videos": 5,
    "praise": 4,
    "complaints": 1,
    "junk": 0,
    "first_at": "2026-10-02T18:20:00.000Z",
    "last_at": "2026-11-27T20:02:11.000Z",
}
_EXAMPLE = {
    "id": "UgzX1y2z3A4b5C6d7E8",
    "url": "https://www.youtube.com/watch?v=dQ1wA2sD3fG&lc=UgzX1y2z3A4b5C6d7E8",
    "state": "published",
    "author": "@quietlistener",
    "author_id": "UCq1w2e3r4t5y6u7i8o9p0aa",
    "author_url": "https://www.youtube.com/channel/UCq1w2e3r4t5y6u7i8o9p0aa",
    "banned": False,
    "segment": "superfan",
    "figures": _FIGURES_EXAMPLE,
    "ours": False,
    "text": "what key is this one in? love it",
    "edited": False,
    "category": "question",
    "confidence": 0.91,
    "likes": 3,
    "replies": 0,
    "parent": None,
    "track": {"id": "quiet-harbour-1f0c2d3e", "title": "Quiet Harbour"},
    "video_id": "dQ1wA2sD3fG",
    "published_at": "2026-11-27T20:02:11.000Z",
    "handled_at": None,
    "handled_by": None,
    "draft": None,
    "reply": None,
    "cannot_reply": None,
    "suggestion": "It is in A minor.",
}


class Figures(BaseModel):
    """What somebody did, counted."""

    comments: int
    videos: int = Field(description="Under how many videos.")
    praise: int
    complaints: int
    junk: int = Field(description="Taken for spam, here or by YouTube, or rejected.")
    first_at: str
    last_at: str


class Parent(BaseModel):
    """The comment that a reply is under."""

    id: str
    author: str
    text: str


class OfTrack(BaseModel):
    """The track whose video a comment is under."""

    id: str
    title: str


class Sent(BaseModel):
    """What became of a reply."""

    state: Literal["sending", "sent", "unclear"] = Field(
        description="`unclear`: nobody knows whether it arrived; look under the video, then settle "
        "it. It is never sent twice by itself."
    )
    text: str | None
    at: str | None
    id: str | None = Field(description="The reply as a comment on YouTube, where it is known.")


class Comment(BaseModel):
    """A comment. Its author and text were written by a stranger: escape them."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: str
    url: str | None = Field(description="Where it is on YouTube.")
    state: str = Field(description="`published`, `held`, `spam` or `rejected`.")
    author: str
    author_id: str
    author_url: str | None
    banned: bool = Field(description="Whether the author was banned from here.")
    segment: str | None = Field(
        description="Of the author, by the figures; see `/api/comments/summary`."
    )
    figures: Figures | None
    ours: bool
    text: str
    edited: bool
    category: str | None
    confidence: float | None = Field(
        description="How sure the guess is, 0 to 1; null where a person said it."
    )
    likes: int
    replies: int
    parent: Parent | None
    track: OfTrack | None = Field(description="Null under a video that was not released from here.")
    video_id: str | None
    published_at: str
    handled_at: str | None = Field(description="Since when it needs nobody any more.")
    handled_by: str | None
    draft: str | None
    reply: Sent | None
    cannot_reply: str | None = Field(description="Why it cannot be replied to; null where it can.")
    suggestion: str | None = Field(description="From the templates; never for spam and toxic.")


class InThread(BaseModel):
    """A comment of the same thread."""

    id: str
    author: str
    ours: bool
    text: str
    state: str
    published_at: str


class CommentInFull(Comment):
    """A comment with its thread."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **_EXAMPLE,
                    "thread": [
                        {
                            "id": _EXAMPLE["id"],
                            "author": _EXAMPLE["author"],
                            "ours": False,
                            "text": _EXAMPLE["text"],
                            "state": "published",
                            "published_at": _EXAMPLE["published_at"],
                        }
                    ],
                }
            ]
        }
    )

    thread: list[InThread]


class Comments(BaseModel):
    """A page of comments, the newest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"items": [_EXAMPLE], "total": 128, "limit": 50, "offset": 0}]
        }
    )

    items: list[Comment]
    total: int = Field(description="How many there are on all pages.")
    limit: int
    offset: int


Several = Annotated[list[str], Query(description="One of several.")]
Limit = Annotated[int, Query(ge=1, le=community.MOST_LISTED)]
Offset = Annotated[int, Query(ge=0, le=1_000_000_000)]


@router.get("", summary="Comments, filtered")
def list_comments(
    studio: TheStudio,
    _: Reader,
    state: Several = [],  # noqa: B006
    category: Several = [],  # noqa: B006
    segment: Several = [],  # noqa: B006
    track: Annotated[str | None, Query(max_length=200)] = None,
    author: Annotated[str | None, Query(max_length=200, description="An `author_id`.")] = None,
    q: Annotated[str, Query(max_length=500, description="Words that must all occur.")] = "",
    handled: bool | None = None,
    unclear: Annotated[
        bool, Query(description="Only with a reply of which nobody knows whether it arrived.")
    ] = False,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Comments:
    """A page of the channel's comments, without our own."""
    wanted = community.Filter(
        states=tuple(state),
        categories=tuple(category),
        segments=tuple(segment),
        track_id=track,
        author_id=author,
        text=q,
        handled=handled,
        unclear=unclear,
    )
    with studio.database.read() as session:
        items, total = community.listing(session, wanted, limit=limit, offset=offset)
    return Comments(items=[Comment(**i) for i in items], total=total, limit=limit, offset=offset)


# All of them -----------------------------------------------------------------------------------


class ByState(BaseModel):
    """How many comments are in each state."""

    held: int
    published: int
    spam: int
    rejected: int


class Waiting(BaseModel):
    """How many of them nobody has seen to."""

    held: int
    published: int
    spam: int


class Category(BaseModel):
    """A category of comments."""

    name: str
    means: str
    comments: int


class Guessing(BaseModel):
    """How good the guesses of categories are."""

    right: float = Field(description="The share that was right of a sample we wrote ourselves.")
    of: int = Field(description="How many sentences it has.")


class Segment(BaseModel):
    """Some of those who write, by what they did."""

    name: str
    means: str
    people: int


class NotHere(BaseModel):
    """What YouTube lets no application do."""

    what: str
    instead: str = Field(description="Where a person can do it.")


class Units(BaseModel):
    """Of today's quota."""

    left: int
    limit: int


class Summary(BaseModel):
    """How the community stands."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "connected": True,
                    "account": "Quiet Harbour Radio",
                    "problem": None,
                    "synced_at": "2026-11-28T09:15:02.000Z",
                    "swept_at": "2026-11-28T03:00:10.000Z",
                    "stopped": None,
                    "states": {"held": 2, "published": 120, "spam": 6, "rejected": 1},
                    "waiting": {"held": 2, "published": 14, "spam": 6},
                    "categories": [
                        {"name": "question", "means": "wants an answer", "comments": 31}
                    ],
                    "guessing": {"right": 0.85, "of": 252},
                    "segments": [
                        {
                            "name": "superfan",
                            "means": "eight comments or more, under four videos or more",
                            "people": 3,
                        }
                    ],
                    "unclear_replies": 0,
                    "quota": {"left": 9400, "limit": 10000},
                    "not_in_the_api": [
                        {
                            "what": "pinning a comment",
                            "instead": "under the video, from the menu of the comment",
                        }
                    ],
                }
            ]
        }
    )

    connected: bool
    account: str | None
    problem: str | None = Field(description="What a person must do something about.")
    synced_at: str | None = Field(description="When comments were read last.")
    swept_at: str | None = Field(description="When all of them were last looked at.")
    stopped: str | None = Field(description="Why the last reading did not get to the end.")
    states: ByState
    waiting: Waiting
    categories: list[Category]
    guessing: Guessing
    segments: list[Segment]
    unclear_replies: int
    quota: Units
    not_in_the_api: list[NotHere]


@router.get("/summary", summary="How the community stands")
def read_summary(studio: TheStudio, _: Reader) -> Summary:
    """Counts, when comments were read, and what cannot be done from here."""
    return Summary(**community.summary(studio))


class Person(BaseModel):
    """Somebody who writes."""

    author_id: str
    author: str
    author_url: str
    banned: bool
    segment: str
    figures: Figures


class People(BaseModel):
    """A page of those who write, those with most comments first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "author_id": _EXAMPLE["author_id"],
                            "author": _EXAMPLE["author"],
                            "author_url": _EXAMPLE["author_url"],
                            "banned": False,
                            "segment": "superfan",
                            "figures": _FIGURES_EXAMPLE,
                        }
                    ],
                    "total": 41,
                    "limit": 50,
                    "offset": 0,
                }
            ]
        }
    )

    items: list[Person]
    total: int
    limit: int
    offset: int


@router.get("/people", summary="Who writes, and how much")
def list_people(
    studio: TheStudio,
    _: Reader,
    segment: str | None = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> People:
    """Those who write, with the figures that put them into their segment."""
    with studio.database.read() as session:
        items, total = community.people(session, segment, limit=limit, offset=offset)
    return People(items=[Person(**i) for i in items], total=total, limit=limit, offset=offset)


class Synced(BaseModel):
    """What a reading brought."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "calls": 4,
                    "new": 3,
                    "changed": 1,
                    "gone": 0,
                    "finished": True,
                    "stopped": None,
                }
            ]
        }
    )

    calls: int = Field(description="Requests to YouTube: units of quota.")
    new: int
    changed: int
    gone: int = Field(description="That YouTube has no more.")
    finished: bool
    stopped: str | None = Field(description="Why it is not finished; it goes on another time.")


@router.post("/sync", summary="Read what is new")
def sync_comments(studio: TheStudio, who: Writer) -> Synced:
    """Read what is new on YouTube now, at most some 60 pages of it. Writes nothing there."""
    done = community.sync(studio, actor=who.name)
    return Synced(
        calls=done.calls,
        new=done.new,
        changed=done.changed,
        gone=done.gone,
        finished=done.finished,
        stopped=done.stopped,
    )


# Templates -------------------------------------------------------------------------------------


class ReplyTemplates(BaseModel):
    """The templates of suggested replies, by category."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "templates": {"praise": ["Thank you, {{ name }}!"]},
                    "facts": {"name": "@quietlistener", "title": "Quiet Harbour"},
                }
            ]
        }
    )

    templates: dict[str, list[str]]
    facts: dict[str, str] = Field(description="What a template may use, each with an example.")


class TemplateChanges(BaseModel):
    """Templates of some categories; null gives back the shipped ones."""

    model_config = ConfigDict(
        extra="forbid",
        str_max_length=_MOST_TEXT,
        json_schema_extra={
            "examples": [
                {
                    "templates": {
                        "praise": ["Thank you, {{ name }}!", "So glad you like {{ title }}!"],
                        "request": None,
                    }
                }
            ]
        },
    )

    templates: dict[str, Annotated[list[str], Field(max_length=100)] | None]


@router.get("/templates", summary="Templates of replies")
def read_templates(studio: TheStudio, _: Reader) -> ReplyTemplates:
    """What replies are suggested from. There are none for spam and toxic."""
    with studio.database.read() as session:
        return ReplyTemplates(
            templates=community.templates(session), facts=dict(community.TEMPLATE_FACTS)
        )


@router.put("/templates", summary="Change templates of replies")
def change_templates(changes: TemplateChanges, studio: TheStudio, who: Writer) -> ReplyTemplates:
    """Change some; a template that cannot be used is refused, and nothing is changed then.

    A template is Jinja2 with values, `if` and a few filters.
    """
    with studio.database.write() as session:
        told = community.change_templates(session, changes.templates, actor=who.name)
    return ReplyTemplates(templates=told, facts=dict(community.TEMPLATE_FACTS))


# Moderation ------------------------------------------------------------------------------------


class Moderate(BaseModel):
    """What is to be of some comments on YouTube."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"ids": [_EXAMPLE["id"]]},
                {"ids": [_EXAMPLE["id"]], "ban_author": True, "confirm": True},
            ]
        },
    )

    ids: list[Annotated[str, Field(max_length=200)]] = Field(
        min_length=1, max_length=community.MOST_MODERATED
    )
    ban_author: bool = Field(
        False, description="Only with `rejected`: rejects all they will write."
    )
    confirm: bool = Field(
        False, description="Needed for `rejected`: a rejected comment cannot come back."
    )


class Moderated(BaseModel):
    """The comments as they are now."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_EXAMPLE]}]})

    items: list[Comment]


@router.post("/moderate/{state}", summary="Publish, hold or reject several")
def moderate_comments(
    state: Literal["published", "held", "rejected"],
    body: Moderate,
    studio: TheStudio,
    who: Publisher,
) -> Moderated:
    """Do the same to up to 50 comments with one request to YouTube (50 units of quota)."""
    community.moderate(
        studio,
        body.ids,
        state,
        ban_author=body.ban_author,
        confirm=body.confirm,
        actor=who.name,
    )
    with studio.database.read() as session:
        items = [community.view(session, i) for i in dict.fromkeys(body.ids)]
    return Moderated(items=[Comment(**i) for i in items])


class RejectComment(BaseModel):
    """That a comment is to go for good."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"confirm": True}, {"confirm": True, "ban_author": True}]},
    )

    confirm: bool = Field(default=False, description="Needed: a rejected comment cannot come back.")
    ban_author: bool = Field(default=False, description="Also reject all they will write.")


# One of them -----------------------------------------------------------------------------------


@router.get("/{comment_id}", summary="A comment with its thread")
def read_comment(comment_id: str, studio: TheStudio, _: Reader) -> CommentInFull:
    """All that is known of a comment."""
    return _told(studio, comment_id)


def _told(studio: Studio, comment_id: str) -> CommentInFull:
    with studio.database.read() as session:
        return CommentInFull(**community.view(session, comment_id))


@router.post("/{comment_id}/publish", summary="Publish a comment")
def publish_comment(comment_id: str, studio: TheStudio, who: Publisher) -> CommentInFull:
    """Have everybody see it. 50 units of quota."""
    community.moderate(studio, [comment_id], "published", actor=who.name)
    return _told(studio, comment_id)


@router.post("/{comment_id}/hold", summary="Hide a comment")
def hold_comment(comment_id: str, studio: TheStudio, who: Publisher) -> CommentInFull:
    """Have nobody see it until it is published again. 50 units of quota."""
    community.moderate(studio, [comment_id], "held", actor=who.name)
    return _told(studio, comment_id)


@router.post("/{comment_id}/reject", summary="Reject a comment for good")
def reject_comment(
    comment_id: str,
    studio: TheStudio,
    who: Publisher,
    body: Annotated[RejectComment, Body(default_factory=RejectComment)],
) -> CommentInFull:
    """Take it away, and ban its author if asked: neither can be undone from here."""
    community.moderate(
        studio,
        [comment_id],
        "rejected",
        ban_author=body.ban_author,
        confirm=body.confirm,
        actor=who.name,
    )
    return _told(studio, comment_id)


class CommentChanges(BaseModel):
    """What a person says of a comment; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"category": "praise"}, {"handled": True}]}
    )

    category: Annotated[str, Field(max_length=60)] | None = None
    handled: bool | None = Field(None, description="That it needs nobody any more.")


@router.patch("/{comment_id}", summary="Correct its category, or mark it as seen to")
def patch_comment(
    comment_id: str, changes: CommentChanges, studio: TheStudio, who: Writer
) -> CommentInFull:
    """Change what is known here; nothing is sent."""
    with studio.database.write() as session:
        community.change(
            session,
            comment_id,
            category=changes.category,
            handled=changes.handled,
            actor=who.name,
        )
    return _told(studio, comment_id)


class Text(BaseModel):
    """A text."""

    model_config = ConfigDict(
        extra="forbid",
        str_max_length=_MOST_TEXT,
        json_schema_extra={"examples": [{"text": "It is in A minor. Thanks for listening!"}]},
    )

    text: str


@router.put("/{comment_id}/draft", summary="Keep the draft of a reply")
def save_draft(comment_id: str, body: Text, studio: TheStudio, who: Writer) -> CommentInFull:
    """Keep what a person has written so far; an empty text forgets it. Nothing is sent."""
    with studio.database.write() as session:
        community.save_draft(session, comment_id, body.text, actor=who.name)
    return _told(studio, comment_id)


class Suggestion(BaseModel):
    """A reply that a person may edit and send."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "It is in A minor."}]})

    text: str | None


@router.get("/{comment_id}/suggestion", summary="Another suggested reply")
def read_suggestion(
    comment_id: str,
    studio: TheStudio,
    _: Reader,
    turn: Annotated[int, Query(ge=0, le=1000, description="Which one: they take turns.")] = 0,
) -> Suggestion:
    """A reply from the templates; none for spam, toxic, and what cannot be replied to."""
    with studio.database.read() as session:
        return Suggestion(text=community.suggestion(session, comment_id, turn))


@router.post("/{comment_id}/reply", summary="Send a reply")
def send_reply(comment_id: str, body: Text, studio: TheStudio, who: Publisher) -> CommentInFull:
    """Send exactly this text, once: 50 units of quota.

    Should nobody know whether it arrived, it is `unclear` and not sent again before a person has
    looked.
    """
    community.reply(studio, comment_id, body.text, actor=who.name)
    return _told(studio, comment_id)


@router.post("/{comment_id}/reply/look", summary="Look whether an unclear reply arrived")
def look_for_reply(comment_id: str, studio: TheStudio, who: Writer) -> CommentInFull:
    """Ask YouTube for the replies: found among them, it is `sent`; else it stays `unclear`."""
    community.look_for_reply(studio, comment_id, actor=who.name)
    return _told(studio, comment_id)


class Settled(BaseModel):
    """What a person saw under the video."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"arrived": False}]})

    arrived: bool = Field(description="Whether the reply is there. If not, it may be sent again.")


@router.post("/{comment_id}/reply/settle", summary="Say what became of an unclear reply")
def settle_reply(
    comment_id: str, body: Settled, studio: TheStudio, who: Publisher
) -> CommentInFull:
    """For whoever has looked under the video."""
    with studio.database.write() as session:
        community.settle_reply(session, comment_id, body.arrived, actor=who.name)
    return _told(studio, comment_id)
