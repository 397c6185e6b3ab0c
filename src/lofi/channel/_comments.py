"""Comments as YouTube tells them, as plain values; and what may be done to them there.

Reading costs a unit of quota for each page of 100 threads, moderating 50 units for up to 50
comments, a reply 50 units. What YouTube tells of a comment was written by strangers: ids that are
none are left out, and texts and names come without what could harm or deceive. Sources: the
discovery document `youtube.v3` and the reference of `commentThreads` and `comments`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lofi.brief import InputError
from lofi.channel._youtube import Api

# What YouTube calls a state, and what we do.
COMMENT_STATES: Mapping[str, str] = {
    "published": "published",
    "heldForReview": "held",
    "likelySpam": "spam",
    "rejected": "rejected",
}
# The listings in the order in which they are read: a comment that is published meanwhile is met
# twice so, and not missed. Rejected ones are listed by no method of the API.
COMMENT_LISTINGS = ("heldForReview", "likelySpam", "published")
# What a person may ask for; `spam` is for YouTube alone to say.
MODERATIONS: Mapping[str, str] = {
    "published": "published",
    "held": "heldForReview",
    "rejected": "rejected",
}
MOST_MODERATED = 50  # comments in one setModerationStatus
TEXT_CHARACTERS = 10_000  # of a comment
PAGE = 100
_MOST_REPLY_PAGES = 20
_NAME_CHARACTERS = 100
_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")

# What the API has no method for, whatever an application says: each with where it is done.
NOT_IN_THE_API: Mapping[str, str] = {
    "pinning a comment": "under the video, from the menu of the comment",
    "liking a comment, or giving it a heart": "in YouTube Studio, under Community",
    "community posts and polls": "on YouTube, from Create",
    "end screens and cards": "in YouTube Studio, in the editor of the video",
    "bringing back a rejected comment": "nowhere: it is gone for good",
    "unbanning somebody": "in YouTube Studio, under Settings, Community, Hidden users",
}


@dataclass(frozen=True, slots=True)
class RemoteComment:
    """A comment as YouTube tells it.

    `parent_id` is the comment that a thread begins with, None for that one itself. `video_id` is
    None for one on the channel's page.
    """

    id: str
    parent_id: str | None
    video_id: str | None
    author: str
    author_id: str
    text: str
    state: str
    likes: int
    published_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Thread:
    """A comment with the replies that came with it, which are a few of `total`."""

    top: RemoteComment
    replies: tuple[RemoteComment, ...]
    total: int
    can_reply: bool
    public: bool  # whether everybody sees it


@dataclass(frozen=True, slots=True)
class ThreadPage:
    """A page of threads, and the token of the page after it."""

    threads: list[Thread]
    next_token: str | None
    unreadable: int = field(default=0)  # threads that were no threads


# Reading ---------------------------------------------------------------------------------------


def read_thread_page(
    api: Api, channel_id: str, listing: str, token: str | None = None
) -> ThreadPage:
    """A page of a listing of all threads of a channel, the newest first. One unit."""
    params: dict[str, Any] = {
        "part": "snippet,replies",
        "allThreadsRelatedToChannelId": channel_id,
        "moderationStatus": listing,
        "order": "time",
        "textFormat": "plainText",
        "maxResults": PAGE,
    }
    if token is not None:
        params["pageToken"] = token
    return _page(api.call("youtube.commentThreads.list", params=params), COMMENT_STATES[listing])


def read_threads(api: Api, ids: Sequence[str]) -> list[Thread]:
    """The threads of some ids that are still there, at most 50. One unit.

    YouTube does not tell their state then, only whether everybody sees them (`public`).
    """
    params = {"part": "snippet,replies", "id": ",".join(ids), "textFormat": "plainText"}
    return _page(api.call("youtube.commentThreads.list", params=params), "published").threads


def read_replies(api: Api, parent: RemoteComment) -> list[RemoteComment]:
    """All replies to a comment (at most 2,000), a unit for each hundred."""
    replies: dict[str, RemoteComment] = {}
    token = None
    for _ in range(_MOST_REPLY_PAGES):
        params: dict[str, Any] = {
            "part": "snippet",
            "parentId": parent.id,
            "textFormat": "plainText",
            "maxResults": PAGE,
        }
        if token is not None:
            params["pageToken"] = token
        answer = api.call("youtube.comments.list", params=params)
        for item in _items(answer):
            if reply := _comment(item, parent.state, parent):
                replies[reply.id] = reply
        token = _token(answer)
        if token is None:
            break
    return list(replies.values())


def _page(answer: Mapping[str, Any], state: str) -> ThreadPage:
    items = _items(answer)
    threads = [thread for item in items if (thread := read_thread(item, state))]
    return ThreadPage(threads, _token(answer), len(items) - len(threads))


def read_thread(item: Any, state: str = "published") -> Thread | None:
    """A `commentThread` resource as plain values; None if it is none.

    `state` is that of the listing it was found in: of comments that do not tell their own.
    """
    snippet = _dict(_dict(item).get("snippet"))
    told = _dict(snippet.get("topLevelComment"))
    top = _comment(told, state, None, video=snippet.get("videoId"))
    if top is None:
        return None
    found = [
        reply
        for answer in _list(_dict(_dict(item).get("replies")).get("comments"))
        if (reply := _comment(answer, state, top))
    ]
    return Thread(
        top,
        tuple(found),
        max(_whole(snippet.get("totalReplyCount")), len(found)),
        snippet.get("canReply") is not False,
        snippet.get("isPublic") is True,
    )


def _comment(
    item: Any, state: str, parent: RemoteComment | None, *, video: Any = None
) -> RemoteComment | None:
    item = _dict(item)
    told = _dict(item.get("snippet"))
    id_, published_at = _id(item.get("id")), _moment(told.get("publishedAt"))
    if id_ is None or published_at is None:
        return None
    # The text as it was written where we may have it: the other may hold titles for links.
    text = told.get("textOriginal") or told.get("textDisplay")
    return RemoteComment(
        id=id_,
        parent_id=parent.id if parent else None,
        video_id=parent.video_id if parent else _id(told.get("videoId")) or _id(video),
        author=safe_name(told.get("authorDisplayName")),
        author_id=_id(_dict(told.get("authorChannelId")).get("value")) or "",
        text=safe_text(text),
        state=COMMENT_STATES.get(str(told.get("moderationStatus")), state),
        likes=_whole(told.get("likeCount")),
        published_at=published_at,
        updated_at=_moment(told.get("updatedAt")) or published_at,
    )


def _items(answer: Mapping[str, Any]) -> list[Any]:
    return _list(answer.get("items"))


def _token(answer: Mapping[str, Any]) -> str | None:
    token = answer.get("nextPageToken")
    return token if isinstance(token, str) and token else None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _id(value: Any) -> str | None:
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def _whole(value: Any) -> int:
    try:
        return min(max(0, int(value)), 2**31 - 1)
    except (TypeError, ValueError, OverflowError):
        return 0


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


# Words of strangers ----------------------------------------------------------------------------

# What turns text round so that it reads otherwise than it is.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_MARKS = 4  # accents on one letter; more are there to cover their neighbours


def safe_text(value: Any, most: int = TEXT_CHARACTERS) -> str:
    """What a stranger wrote, as it can be kept and shown: the words stay.

    Left out are control characters other than line breaks, halves of characters, what turns text
    round, accents beyond the fourth on one letter, and all beyond `most` characters.
    """
    text = value if isinstance(value, str) else ""
    text = text[: most * 2].replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    return "".join(_kept(text)).strip()[:most].rstrip()


def safe_name(value: Any) -> str:
    """A name in one line; empty where there is none."""
    return " ".join(safe_text(value, _NAME_CHARACTERS * 2).split())[:_NAME_CHARACTERS].rstrip()


def _kept(text: str) -> Iterator[str]:
    marks = 0
    for c in text:
        kind = unicodedata.category(c)
        if c != "\n" and (kind in ("Cc", "Cs", "Cn", "Zl", "Zp") or c in _TURNING):
            continue
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        if marks <= _MARKS:
            yield c


def check_reply(text: str) -> str:
    """A reply as it will be sent. Raises InputError for one that cannot be."""
    told = text.replace("\r\n", "\n").strip()
    if not told:
        raise InputError("the reply is empty. Write something.")
    if len(told) > TEXT_CHARACTERS:
        raise InputError(
            f"the reply has {len(told):,} characters; YouTube takes {TEXT_CHARACTERS:,}. Shorten "
            "it."
        )
    if safe_text(told) != told:
        raise InputError(
            "the reply holds control characters, or ones that turn text round. Leave them out."
        )
    return told


# Doing -----------------------------------------------------------------------------------------


def send_reply(api: Api, parent_id: str, text: str) -> RemoteComment | None:
    """Reply to the comment that a thread begins with; gives the reply if YouTube tells it.

    Not to be tried again unless it is certain that it did not arrive: YouTube takes it twice.
    """
    body = {"snippet": {"parentId": parent_id, "textOriginal": text}}
    answer = api.call("youtube.comments.insert", params={"part": "snippet"}, body=body)
    told = _dict(answer)
    reply = _comment(told, "published", None, video=None)
    if reply is None:
        return None
    values = {name: getattr(reply, name) for name in RemoteComment.__slots__}
    return RemoteComment(**{**values, "parent_id": parent_id, "text": reply.text or text})


def set_comment_state(
    api: Api, ids: Sequence[str], state: str, *, ban_author: bool = False
) -> None:
    """Have comments be `published`, `held` or `rejected`: at most 50. Twice is once.

    A rejected comment cannot come back. `ban_author` has all that its author will write be
    rejected; it goes only with `rejected`. Raises InputError.
    """
    if not 0 < len(ids) <= MOST_MODERATED:
        raise InputError(f"{len(ids)} comments: 1 to {MOST_MODERATED} can be moderated at once.")
    if ban_author and state != "rejected":
        raise InputError("an author can be banned only where the comment is rejected.")
    params: dict[str, Any] = {"id": ",".join(ids), "moderationStatus": MODERATIONS[state]}
    if ban_author:
        params["banAuthor"] = "true"
    api.call("youtube.comments.setModerationStatus", params=params)


# People ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Segment:
    """Some of those who write, by what they did: each figure at least so much.

    `shares` are of all comments of a person. Figures: `comments`, `videos` they are under, and how
    many of the comments are `praise`, `complaints` and `junk` (taken for spam here or by YouTube,
    or rejected).
    """

    name: str
    words: str
    at_least: Mapping[str, int] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)


FIGURES = ("comments", "videos", "praise", "complaints", "junk")
# Somebody is in the first that fits.
SEGMENTS = (
    Segment(
        "suspected spammer",
        "half of their comments or more were taken for spam, or rejected",
        {"junk": 1},
        {"junk": 0.5},
    ),
    Segment(
        "critic",
        "two complaints or more, and half of their comments or more are complaints",
        {"complaints": 2},
        {"complaints": 0.5},
    ),
    Segment(
        "superfan",
        "eight comments or more, under four videos or more",
        {"comments": 8, "videos": 4},
    ),
    Segment(
        "regular",
        "three comments or more, under two videos or more",
        {"comments": 3, "videos": 2},
    ),
    Segment("new", "all others: they wrote once or twice, or under one video only"),
)


def segment_of(figures: Mapping[str, int]) -> str:
    """The segment of somebody with these FIGURES."""
    count = max(1, figures["comments"])
    return next(
        s.name
        for s in SEGMENTS
        if all(figures[name] >= least for name, least in s.at_least.items())
        and all(figures[name] >= share * count for name, share in s.shares.items())
    )
