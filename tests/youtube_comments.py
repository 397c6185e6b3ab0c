"""Comments on the YouTube of tests: threads, replies, moderation, bans.

What the discovery document does not say is from the reference of `commentThreads` and `comments`:
a listing has threads of that state, or with a reply of it; rejected ones are in none; by id no
state is told; a thread brings along five replies; a banned author's comments are rejected.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from youtube import Call, FakeYouTube, Refused, answers, moment_text

INLINE = 5
OWN = "@quietharbour"


def _shelf(fake: FakeYouTube) -> dict[str, dict[str, Any]]:
    return fake.shelf.setdefault("comments", {})


def put_comment(
    fake: FakeYouTube,
    text: str,
    *,
    video: str | None = None,
    parent: str | None = None,
    author: str = "@listener",
    author_id: str | None = None,
    state: str = "published",
    at: datetime | None = None,
    likes: int = 0,
) -> str:
    """A comment that somebody wrote; gives its id. Later ones are newer."""
    with fake.lock:
        held = _shelf(fake)
        number = len(held) + fake.shelf.get("comments gone", 0)
        top = fake.new_id("Ugz", 26)
        id_ = f"{parent}.{top[3:12]}" if parent else top
        author_id = author_id or fake_author(author)
        if author_id in fake.shelf.setdefault("banned", set()):
            state = "rejected"
        moment = at or fake.now() - timedelta(days=30) + timedelta(seconds=number)
        held[id_] = {
            "id": id_,
            "parent": parent,
            "video": held[parent]["video"] if parent else video,
            "author": author,
            "author_id": author_id,
            "text": text,
            "state": state,
            "likes": likes,
            "at": moment,
            "updated": moment,
        }
    return id_


def fake_author(name: str) -> str:
    """The channel of somebody of that name."""
    letters = "".join(c if c.isascii() and c.isalnum() else "x" for c in name)
    return "UC" + (letters + "0" * 22)[:22]


def edit_comment(fake: FakeYouTube, id_: str, **values: Any) -> None:
    """Something happened to it elsewhere: `text`, `state`, `likes`."""
    _shelf(fake)[id_].update(values)
    if "text" in values:
        _shelf(fake)[id_]["updated"] = fake.now()


def drop_comment(fake: FakeYouTube, id_: str) -> None:
    """Its author deleted it, and with it all replies."""
    held = _shelf(fake)
    gone = [i for i, c in held.items() if i == id_ or c["parent"] == id_]
    fake.shelf["comments gone"] = fake.shelf.get("comments gone", 0) + len(gone)
    for i in gone:
        del held[i]


def comments_of(fake: FakeYouTube) -> dict[str, dict[str, Any]]:
    """All there are, by id."""
    return _shelf(fake)


def _told(fake: FakeYouTube, comment: dict[str, Any], *, with_state: bool) -> dict[str, Any]:
    snippet: dict[str, Any] = {
        "authorDisplayName": comment["author"],
        "authorProfileImageUrl": "https://yt3.ggpht.com/x",
        "authorChannelUrl": f"http://www.youtube.com/channel/{comment['author_id']}",
        "authorChannelId": {"value": comment["author_id"]},
        "channelId": fake.channel_id,
        "textDisplay": comment["text"],
        "canRate": True,
        "viewerRating": "none",
        "likeCount": comment["likes"],
        "publishedAt": moment_text(comment["at"]),
        "updatedAt": moment_text(comment["updated"]),
    }
    if comment["video"]:
        snippet["videoId"] = comment["video"]
    if comment["parent"]:
        snippet["parentId"] = comment["parent"]
    if comment["author_id"] == fake.channel_id:
        snippet["textOriginal"] = comment["text"]
    if with_state:
        snippet["moderationStatus"] = comment["state"]
    return {"kind": "youtube#comment", "etag": "e", "id": comment["id"], "snippet": snippet}


def _replies(fake: FakeYouTube, parent: str, states: Iterable[str]) -> list[dict[str, Any]]:
    found = [c for c in _shelf(fake).values() if c["parent"] == parent and c["state"] in states]
    return sorted(found, key=lambda c: c["at"], reverse=True)


def _thread(
    fake: FakeYouTube, top: dict[str, Any], part: list[str], states: tuple[str, ...], *,
    with_state: bool,
) -> dict[str, Any]:  # fmt: skip
    replies = _replies(fake, top["id"], states)
    public = top["state"] == "published"
    thread: dict[str, Any] = {
        "kind": "youtube#commentThread",
        "etag": "e",
        "id": top["id"],
        "snippet": {
            "channelId": fake.channel_id,
            "topLevelComment": _told(fake, top, with_state=with_state),
            "canReply": public,
            "totalReplyCount": len(_replies(fake, top["id"], ("published",))),
            "isPublic": public,
        },
    }
    if top["video"]:
        thread["snippet"]["videoId"] = top["video"]
    if replies:
        told = [_told(fake, r, with_state=with_state) for r in replies[:INLINE]]
        thread["replies"] = {"comments": told}
    return fake.parts(thread, part)


@answers("youtube.commentThreads.list")
def _list_threads(fake: FakeYouTube, call: Call) -> Any:
    held = _shelf(fake)
    tops = sorted(
        (c for c in held.values() if not c["parent"]), key=lambda c: c["at"], reverse=True
    )
    part, ids = call.params["part"], call.params.get("id")
    kind = "youtube#commentThreadListResponse"
    filters = ("id", "videoId", "channelId", "allThreadsRelatedToChannelId")
    if sum(name in call.params for name in filters) != 1:
        raise Refused(400, "missingRequiredParameter", "No filter selected, or several.")
    if ids is not None:
        if len(ids) > 50 or any(n in call.params for n in ("moderationStatus", "maxResults")):
            raise Refused(400, "invalidParameter", "Incompatible parameters specified.")
        there = [held[i] for i in ids if i in held and not held[i]["parent"]]
        shown = [c for c in there if c["state"] != "rejected"]
        items = [_thread(fake, c, part, ("published",), with_state=False) for c in shown]
        return fake.page(_sized(call, 50), items, kind)
    if call.params.get("allThreadsRelatedToChannelId") != fake.channel_id:
        raise Refused(404, "channelNotFound", "The channel cannot be found.")
    state = call.params.get("moderationStatus", "published")
    if state == "rejected":
        raise Refused(400, "invalidParameter", "Rejected comments cannot be listed.")
    if state == "published":
        found, states = [c for c in tops if c["state"] == state], ("published",)
    else:
        states = ("published", state)
        found = [c for c in tops if c["state"] == state or _replies(fake, c["id"], (state,))]
    items = [_thread(fake, c, part, states, with_state=True) for c in found]
    return fake.page(_sized(call, 20), items, kind)


def _sized(call: Call, usual: int) -> Call:
    call.params.setdefault("maxResults", usual)
    return call


@answers("youtube.comments.list")
def _list_comments(fake: FakeYouTube, call: Call) -> Any:
    parent = call.params.get("parentId")
    if parent is None:
        raise Refused(400, "missingRequiredParameter", "No filter selected.")
    if parent not in _shelf(fake):
        raise Refused(404, "commentNotFound", "The comment cannot be found.")
    replies = _replies(fake, parent, ("published",))
    items = [_told(fake, r, with_state=True) for r in replies]
    return fake.page(_sized(call, 20), items, "youtube#commentListResponse")


@answers("youtube.comments.insert")
def _reply(fake: FakeYouTube, call: Call) -> Any:
    snippet = call.body.get("snippet", {})
    text, parent = snippet.get("textOriginal", ""), _shelf(fake).get(snippet.get("parentId", ""))
    if not text.strip():
        raise Refused(400, "commentTextRequired", "The comment has no text.")
    if len(text) > 10_000:
        raise Refused(400, "commentTextTooLong", "The comment is too long.")
    if parent is None:
        raise Refused(404, "parentCommentNotFound", "The parent comment cannot be found.")
    if parent["parent"]:
        raise Refused(400, "operationNotSupported", "Replies to replies are not supported.")
    if parent["state"] != "published":
        raise Refused(400, "parentCommentIsPrivate", "The parent comment is private.")
    id_ = put_comment(
        fake, text, parent=parent["id"], author=OWN, author_id=fake.channel_id, at=fake.now()
    )
    return fake.parts(_told(fake, _shelf(fake)[id_], with_state=False), call.params["part"])


@answers("youtube.comments.setModerationStatus")
def _moderate(fake: FakeYouTube, call: Call) -> Any:
    ids, status = call.params["id"], call.params["moderationStatus"]
    ban = call.params.get("banAuthor", False)
    if len(ids) > 50:
        raise Refused(400, "invalidParameter", "Too many ids.")
    if status == "likelySpam":
        raise Refused(400, "operationNotSupported", "The status cannot be set.")
    if ban and status != "rejected":
        raise Refused(400, "banWithoutReject", "The banAuthor parameter needs rejected.")
    held = _shelf(fake)
    if any(i not in held or held[i]["state"] == "rejected" for i in ids):
        raise Refused(404, "commentNotFound", "A comment cannot be found.")
    for i in ids:
        held[i]["state"] = status
        if ban:
            fake.shelf.setdefault("banned", set()).add(held[i]["author_id"])
    return {}
