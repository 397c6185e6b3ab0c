"""The community: the channel's comments are listed, told apart, answered and moderated.

All that is written on YouTube is a person's click: it is noted before it is sent and again when it
is done, with who did it. A reply is sent at most once: one of which nobody knows whether it arrived
is `unclear` until a person, or the next reading, has seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.brief import InputError, LofiError, one_of, subseed
from lofi.channel import (
    BLANK,
    COMMENT_CATEGORIES,
    GUESSING,
    MODERATIONS,
    MOST_MODERATED,
    NOT_IN_THE_API,
    REPLY_FACTS,
    REPLY_TEMPLATES,
    SEGMENTS,
    UNANSWERED,
    AmbiguousError,
    TransientError,
    check_reply,
    check_reply_templates,
    read_replies,
    reply_facts,
    segment_of,
    send_reply,
    set_comment_state,
    suggest_reply,
)
from lofi.studio import _accounts as accounts
from lofi.studio._comments import (
    Synced,
    mark_sent,
    note_answers,
    progress_of,
    remote_of,
    rows_of,
    sync,
)
from lofi.studio._errors import ConflictError, NotFoundError
from lofi.studio._events import record
from lofi.studio._tables import Comment, Credential, Event, Preference, Release, Track, now
from lofi.studio._tracks import search_words, told

if TYPE_CHECKING:
    from lofi.studio._studio import Studio

__all__ = ["MOST_MODERATED", "Synced", "sync"]  # used by this module's name, too

STATES = ("held", "published", "spam", "rejected")
TEMPLATE_FACTS = REPLY_FACTS
MOST_LISTED = 200
SHORTEST_REPLY_WAIT = timedelta(minutes=3)  # after which one that is being sent is unclear

_TEMPLATES = "replies"  # the preference with templates that a person changed


# Finding ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filter:
    """Which comments are asked for; what is left out does not matter. Our own are never listed.

    `unclear`: only those with a reply of which nobody knows whether it arrived.
    """

    states: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    track_id: str | None = None
    author_id: str | None = None
    text: str = ""
    handled: bool | None = None
    unclear: bool = False

    def checked(self) -> Filter:
        """The same with names as they are stored. Raises InputError for one that is unknown."""
        return Filter(
            tuple(one_of(s, STATES, "state") for s in self.states),
            tuple(one_of(c, COMMENT_CATEGORIES, "category") for c in self.categories),
            tuple(one_of(s, [g.name for g in SEGMENTS], "segment") for s in self.segments),
            self.track_id,
            self.author_id,
            self.text,
            self.handled,
            self.unclear,
        )


def listing(
    session: Session, wanted: Filter | None = None, *, limit: int = 50, offset: int = 0
) -> tuple[list[dict[str, Any]], int]:
    """Comments as plain values, the newest first, and how many there are.

    Raises InputError for a filter that is unknown.
    """
    conditions = _conditions(wanted or Filter())
    total = session.scalar(sa.select(sa.func.count()).select_from(Comment).where(*conditions)) or 0
    rows = session.scalars(
        sa.select(Comment)
        .where(*conditions)
        .order_by(Comment.published_at.desc(), Comment.id)
        .limit(max(1, min(limit, MOST_LISTED)))
        .offset(max(0, offset))
    ).all()
    return _views(session, rows), total


def _conditions(wanted: Filter) -> list[sa.ColumnElement[bool]]:
    wanted = wanted.checked()
    conditions: list[sa.ColumnElement[bool]] = [Comment.ours.is_(False)]
    if wanted.states:
        conditions.append(Comment.state.in_(wanted.states))
    if wanted.categories:
        conditions.append(Comment.category.in_(wanted.categories))
    if wanted.segments:
        people = _people().subquery()
        conditions.append(
            Comment.author_id.in_(
                sa.select(people.c.author_id).where(_segment(people.c).in_(wanted.segments))
            )
        )
    if wanted.track_id is not None:
        conditions.append(
            Comment.release_id.in_(
                sa.select(Release.id).where(Release.track_id == _printable(wanted.track_id))
            )
        )
    if wanted.author_id is not None:
        conditions.append(Comment.author_id == _printable(wanted.author_id))
    if wanted.handled is not None:
        conditions.append(
            Comment.handled_at.is_not(None) if wanted.handled else Comment.handled_at.is_(None)
        )
    if wanted.unclear:
        conditions.append(_unclear())
    return conditions + [
        Comment.text.icontains(word, autoescape=True)
        | Comment.author.icontains(word, autoescape=True)
        for word in search_words(wanted.text)
    ]


def _printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable())


def _unclear() -> sa.ColumnElement[bool]:
    return (Comment.reply_state == "unclear") | (
        (Comment.reply_state == "sending") & (Comment.reply_at < now() - SHORTEST_REPLY_WAIT)
    )


def find(session: Session, comment_id: str, *, lock: bool = False) -> Comment:
    """The comment of that id. Raises NotFoundError."""
    row = None
    if comment_id.isascii() and comment_id.isprintable():
        row = session.get(Comment, comment_id, with_for_update=lock or None)
    if row is None:
        raise NotFoundError(
            f"there is no comment {comment_id[:80]!r}. `GET /api/comments` lists them."
        )
    return row


def view(session: Session, comment_id: str) -> dict[str, Any]:
    """A comment as plain values, with its thread. Raises NotFoundError."""
    row = find(session, comment_id)
    top = row.parent_id or row.id
    thread = session.scalars(
        sa.select(Comment)
        .where(sa.or_(Comment.id == top, Comment.parent_id == top))
        .order_by(Comment.published_at, Comment.id)
    ).all()
    [found] = _views(session, [row])
    return {
        **found,
        "thread": [
            {
                "id": c.id,
                "author": c.author,
                "ours": c.ours,
                "text": c.text,
                "state": c.state,
                "published_at": told(c.published_at),
            }
            for c in thread
        ],
    }


def _views(session: Session, rows: Sequence[Comment]) -> list[dict[str, Any]]:
    tracks = _tracks(session, {r.release_id for r in rows if r.release_id})
    people = _figures_of(session, {r.author_id for r in rows if r.author_id})
    parents = rows_of(session, sorted({r.parent_id for r in rows if r.parent_id}))
    banned = _banned(session, {r.author_id for r in rows if r.author_id})
    lines = templates(session)
    return [
        _view(
            row,
            tracks.get(row.release_id or 0),
            people.get(row.author_id),
            parents.get(row.parent_id or ""),
            row.author_id in banned,
            lines,
        )
        for row in rows
    ]


def _view(
    row: Comment,
    track: dict[str, Any] | None,
    figures: dict[str, Any] | None,
    parent: Comment | None,
    banned: bool,
    lines: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    return {
        "id": row.id,
        "url": _url(row),
        "state": row.state,
        "author": row.author,
        "author_id": row.author_id,
        "author_url": f"https://www.youtube.com/channel/{quote(row.author_id)}"
        if row.author_id
        else None,
        "banned": banned,
        "segment": segment_of(figures) if figures else None,
        "figures": figures,
        "ours": row.ours,
        "text": row.text,
        "edited": row.updated_at > row.published_at,
        "category": row.category,
        "confidence": row.confidence,
        "likes": row.likes,
        "replies": row.replies,
        "parent": {"id": parent.id, "author": parent.author, "text": parent.text[:280]}
        if parent
        else None,
        "track": {"id": track["id"], "title": track["title"]} if track else None,
        "video_id": row.video_id,
        "published_at": told(row.published_at),
        "handled_at": told(row.handled_at),
        "handled_by": row.handled_by,
        "draft": row.reply if row.reply_state != "sent" else None,
        "reply": {
            "state": _reply_state(row),
            "text": row.reply,
            "at": told(row.reply_at),
            "id": row.reply_id,
        }
        if row.reply_state
        else None,
        "cannot_reply": _why_not(row),
        "suggestion": _suggestion(row, track, lines, 0),
    }


def _url(row: Comment) -> str | None:
    if row.video_id is None:
        return None
    return f"https://www.youtube.com/watch?v={quote(row.video_id)}&lc={quote(row.id)}"


def _reply_state(row: Comment) -> str | None:
    waits = row.reply_at is not None and row.reply_at > now() - SHORTEST_REPLY_WAIT
    return "unclear" if row.reply_state == "sending" and not waits else row.reply_state


def _why_not(row: Comment) -> str | None:
    """Why it cannot be replied to; None where it can."""
    if row.ours:
        return "it is the channel's own"
    if row.reply_state == "sent":
        return "it was replied to"
    if row.reply_state:
        return "a reply may have been sent already: look under the video first"
    if row.state != "published":
        return (
            f"it is {row.state}: publish it first" if row.state != "rejected" else "it is rejected"
        )
    if not row.can_reply:
        return "YouTube takes no reply to it"
    return None


def _tracks(session: Session, release_ids: set[int]) -> dict[int, dict[str, Any]]:
    """What is known of the tracks of some releases."""
    columns = (Track.id, Track.title, Track.bpm, Track.key, Track.mood, Track.duration_s)
    rows = session.execute(
        sa.select(Release.id.label("release_id"), *columns)
        .join(Track, Track.id == Release.track_id)
        .where(Release.id.in_(release_ids))
    ).mappings()
    return {row["release_id"]: {k: v for k, v in row.items() if k != "release_id"} for row in rows}


# People ----------------------------------------------------------------------------------------


def _people() -> Any:
    """Who wrote how much, by their ids: the figures that segments are told by."""

    def counted(condition: sa.ColumnElement[bool], name: str) -> sa.ColumnElement[Any]:
        return sa.func.sum(sa.case((condition, 1), else_=0)).label(name)

    return (
        sa.select(
            Comment.author_id,
            sa.func.count().label("comments"),
            sa.func.count(sa.distinct(sa.func.coalesce(Comment.video_id, ""))).label("videos"),
            counted(Comment.category == "praise", "praise"),
            counted(Comment.category == "complaint", "complaints"),
            counted((Comment.category == "spam") | Comment.state.in_(("spam", "rejected")), "junk"),
            sa.func.min(Comment.published_at).label("first_at"),
            sa.func.max(Comment.published_at).label("last_at"),
        )
        .where(Comment.ours.is_(False), Comment.author_id != "")
        .group_by(Comment.author_id)
    )


def _segment(figures: Any) -> sa.ColumnElement[str]:
    """The same as `segment_of`, from the same table, for the database."""
    *named, last = SEGMENTS
    return sa.case(
        *(
            (
                sa.and_(
                    *(figures[name] >= least for name, least in s.at_least.items()),
                    *(
                        figures[name] >= share * figures.comments
                        for name, share in s.shares.items()
                    ),
                ),
                s.name,
            )
            for s in named
        ),
        else_=last.name,
    )


def _figures_of(session: Session, author_ids: set[str]) -> dict[str, dict[str, Any]]:
    rows = session.execute(_people().where(Comment.author_id.in_(author_ids))).mappings()
    return {row["author_id"]: _plain(row) for row in rows}


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    counts = {n: int(row[n]) for n in ("comments", "videos", "praise", "complaints", "junk")}
    return counts | {n: told(row[n]) for n in ("first_at", "last_at")}


def people(
    session: Session, segment: str | None = None, *, limit: int = 50, offset: int = 0
) -> tuple[list[dict[str, Any]], int]:
    """Who writes, those with most comments first, and how many there are. Raises InputError."""
    figures = _people().subquery()
    query = sa.select(*figures.c, _segment(figures.c).label("segment"))
    if segment is not None:
        segment = one_of(segment, [s.name for s in SEGMENTS], "segment")
        query = query.where(_segment(figures.c) == segment)
    total = session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    rows = (
        session.execute(
            query.order_by(figures.c.comments.desc(), figures.c.author_id)
            .limit(max(1, min(limit, MOST_LISTED)))
            .offset(max(0, offset))
        )
        .mappings()
        .all()
    )
    ids = {row["author_id"] for row in rows}
    told_names = session.execute(  # the newest last: what they are called now
        sa.select(Comment.author_id, Comment.author)
        .where(Comment.author_id.in_(ids))
        .order_by(Comment.published_at)
    )
    names = {row[0]: row[1] for row in told_names}
    banned = _banned(session, ids)
    return [
        {
            "author_id": row["author_id"],
            "author": names[row["author_id"]],
            "author_url": f"https://www.youtube.com/channel/{quote(row['author_id'])}",
            "banned": row["author_id"] in banned,
            "segment": row["segment"],
            "figures": _plain(row),
        }
        for row in rows
    ], total


def segments(session: Session) -> list[dict[str, Any]]:
    """The segments: their names, what they mean, and how many people are in each."""
    figures = _people().subquery()
    name = _segment(figures.c)
    rows = session.execute(sa.select(name, sa.func.count()).group_by(name))
    counts = {row[0]: row[1] for row in rows}
    return [{"name": s.name, "means": s.words, "people": counts.get(s.name, 0)} for s in SEGMENTS]


def _banned(session: Session, author_ids: set[str]) -> set[str]:
    return set(
        session.scalars(
            sa.select(Event.subject).where(
                Event.kind == "author", Event.verb == "banned", Event.subject.in_(author_ids)
            )
        )
    )


# How it stands ---------------------------------------------------------------------------------


def summary(studio: Studio) -> dict[str, Any]:
    """How the community stands: counts, the connection, and what cannot be done from here."""
    with studio.database.read() as session:
        credential = session.get(Credential, accounts.PLATFORM)
        progress = progress_of(session)
        counts = session.execute(
            sa.select(
                Comment.state,
                Comment.category,
                sa.func.count(),
                sa.func.sum(sa.case((Comment.handled_at.is_(None), 1), else_=0)),
            )
            .where(Comment.ours.is_(False))
            .group_by(Comment.state, Comment.category)
        ).all()
        unclear = session.scalar(sa.select(sa.func.count()).select_from(Comment).where(_unclear()))
        units = next(b for b in accounts.quota(session, studio.settings()) if b.bucket == "units")
        found = segments(session)
    return {
        "connected": credential is not None,
        "account": credential.account if credential else None,
        "problem": credential.problem if credential else None,
        "synced_at": _moment(progress.get("synced_at")),
        "swept_at": _moment(progress.get("swept_at")),
        "stopped": progress.get("stopped"),
        "states": {s: sum(row[2] for row in counts if row[0] == s) for s in STATES},
        "waiting": {
            s: sum(int(row[3] or 0) for row in counts if row[0] == s)
            for s in ("held", "published", "spam")
        },
        "categories": [
            {
                "name": name,
                "means": means,
                "comments": sum(row[2] for row in counts if row[1] == name),
            }
            for name, means in COMMENT_CATEGORIES.items()
        ],
        "guessing": dict(GUESSING),
        "segments": found,
        "unclear_replies": unclear or 0,
        "quota": {"left": units.left, "limit": units.limit},
        "not_in_the_api": [
            {"what": what, "instead": where} for what, where in NOT_IN_THE_API.items()
        ],
    }


def _moment(text: str | None) -> str | None:
    return told(datetime.fromisoformat(text)) if text else None


# What a person notes ---------------------------------------------------------------------------


def save_draft(session: Session, comment_id: str, text: str, *, actor: str) -> Comment:
    """Keep the draft of a reply; an empty one forgets it. Raises NotFoundError, InputError.

    Raises ConflictError once a reply was sent, or may have been.
    """
    row = find(session, comment_id, lock=True)
    if row.reply_state:
        raise ConflictError(f"comment {row.id} has no draft any more: {_why_not(row)}.")
    draft = check_reply(text) if text.strip() else None
    if draft != row.reply:
        row.reply = draft
        record(session, actor, "drafted", "comment", row.id, text=draft)
    return row


def change(
    session: Session,
    comment_id: str,
    *,
    category: str | None = None,
    handled: bool | None = None,
    actor: str,
) -> Comment:
    """Say what a comment is, or that it needs nobody any more. Raises NotFoundError, InputError."""
    row = find(session, comment_id, lock=True)
    if category is not None:
        category = one_of(category, COMMENT_CATEGORIES, "category")
        if (row.category, row.confidence) != (category, None):
            record(
                session, actor, "categorised", "comment", row.id,
                was=row.category, category=category, text=row.text[:500],
            )  # fmt: skip
            row.category, row.confidence = category, None
    if handled is not None and handled != (row.handled_at is not None):
        row.handled_at, row.handled_by = (now(), actor) if handled else (None, None)
        record(session, actor, "handled" if handled else "reopened", "comment", row.id)
    return row


def templates(session: Session) -> dict[str, list[str]]:
    """The templates of replies by category: those that a person changed, else the shipped ones."""
    row = session.get(Preference, _TEMPLATES)
    changed = row.value if row else {}
    return {c: list(changed.get(c, lines)) for c, lines in REPLY_TEMPLATES.items()}


def change_templates(
    session: Session, changes: Mapping[str, Sequence[str] | None], *, actor: str
) -> dict[str, list[str]]:
    """Change the templates of some categories; None gives back the shipped ones.

    Raises InputError for a template that cannot be used; nothing is changed then.
    """
    checked = check_reply_templates({c: lines for c, lines in changes.items() if lines is not None})
    shipped = {c for c, lines in changes.items() if lines is None}
    check_reply_templates(dict.fromkeys(shipped, ()))  # only those that there are
    row = session.get(Preference, _TEMPLATES, with_for_update=True)
    if row is None:
        row = Preference(name=_TEMPLATES, value={}, updated_by=actor)
        session.add(row)
    kept = {c: lines for c, lines in (row.value | checked).items() if c not in shipped}
    row.value, row.updated_by, row.updated_at = kept, actor, now()
    record(session, actor, "set", "templates", ",".join(sorted(changes)), changes=dict(changes))
    session.flush()
    return templates(session)


def suggestion(session: Session, comment_id: str, turn: int = 0) -> str | None:
    """A reply to suggest, another one for each `turn`. Raises NotFoundError."""
    row = find(session, comment_id)
    track = _tracks(session, {row.release_id}).get(row.release_id) if row.release_id else None
    return _suggestion(row, track, templates(session), turn)


def _suggestion(
    row: Comment, track: dict[str, Any] | None, lines: Mapping[str, Sequence[str]], turn: int
) -> str | None:
    if _why_not(row) or row.category is None or row.category in UNANSWERED:
        return None
    facts = reply_facts(track, row.author, is_reply=row.parent_id is not None)
    seed = subseed(0, "comment", row.id)
    return suggest_reply(row.text, row.category, facts, lines, seed=seed, turn=turn)


# What a person sends ---------------------------------------------------------------------------


def reply(studio: Studio, comment_id: str, text: str, *, actor: str) -> None:
    """Send a reply, once.

    Raises InputError for a text that cannot be sent, NotFoundError, ConflictError where it was sent
    already or may have been, and LofiError where YouTube did not take it (it may be sent again
    then) or where nobody knows (it may not, before a person has looked).
    """
    text = check_reply(text)
    if BLANK in text:
        raise InputError(f"the reply still has {BLANK} in it. Write there what you have to say.")
    api = accounts.youtube(studio)
    with studio.database.write() as session:
        row = find(session, comment_id, lock=True)
        if why := _why_not(row):
            raise ConflictError(f"comment {row.id} cannot be replied to: {why}.")
        row.reply, row.reply_state, row.reply_at = text, "sending", now()
        record(session, actor, "replying to", "comment", row.id, text=text)
        parent_id = row.parent_id or row.id
    try:
        sent = send_reply(api, parent_id, text)
    except LofiError as error:
        unclear = _is_unclear(error)
        with studio.database.write() as session:
            row = find(session, comment_id, lock=True)
            row.reply_state = "unclear" if unclear else None
            verb = "may have replied to" if unclear else "could not reply to"
            record(session, actor, verb, "comment", row.id, error=str(error))
        raise
    except BaseException:
        with studio.database.write() as session:
            find(session, comment_id, lock=True).reply_state = "unclear"
            record(session, actor, "may have replied to", "comment", comment_id)
        raise
    with studio.database.write() as session:
        row = find(session, comment_id, lock=True)
        mark_sent(session, row, sent.id if sent else None, actor)
        record(session, actor, "replied to", "comment", row.id, reply_id=row.reply_id)
        if sent and session.get(Comment, sent.id) is None:
            session.add(
                Comment(
                    id=sent.id, release_id=row.release_id, video_id=row.video_id,
                    parent_id=parent_id, author=sent.author, author_id=sent.author_id, ours=True,
                    text=sent.text, state=sent.state, published_at=sent.published_at,
                    updated_at=sent.updated_at,
                )
            )  # fmt: skip


def _is_unclear(error: LofiError) -> bool:
    """Whether a request that failed so may have been carried out all the same."""
    if isinstance(error, TransientError):  # such as an answer that cannot be read
        refused = error.status == 429 or error.reason.endswith("ateLimitExceeded")
        return error.sent and not refused
    return isinstance(error, AmbiguousError)


def look_for_reply(studio: Studio, comment_id: str, *, actor: str) -> bool:
    """Look under the video whether a reply of which nobody knows did arrive.

    True: it is there, and that is noted. False: it is not among the replies that YouTube lists.
    Raises NotFoundError, ConflictError if there is nothing unclear, LofiError.
    """
    api = accounts.youtube(studio)
    with studio.database.read() as session:
        row = find(session, comment_id)
        _require_unclear(row)
        parent = find(session, row.parent_id) if row.parent_id else row
        credential = session.get(Credential, accounts.PLATFORM)
        channel_id = credential.account_id if credential else ""
    found = [r for r in read_replies(api, remote_of(parent)) if r.author_id == channel_id]
    with studio.database.write() as session:
        for ours in found:
            note_answers(session, ours, actor)
        session.flush()
        row = find(session, comment_id)
        session.refresh(row)
        return row.reply_state == "sent"


def settle_reply(session: Session, comment_id: str, arrived: bool, *, actor: str) -> Comment:
    """Say what became of an unclear reply, having looked: it may be sent again if it is not there.

    Raises NotFoundError, ConflictError if there is nothing unclear.
    """
    row = find(session, comment_id, lock=True)
    _require_unclear(row)
    if arrived:
        mark_sent(session, row, None, actor)
    else:
        row.reply_state, row.reply_at = None, None
    record(session, actor, "settled reply to", "comment", row.id, arrived=arrived)
    return row


def _require_unclear(row: Comment) -> None:
    state = _reply_state(row)
    if state == "sending":
        raise ConflictError(f"the reply to comment {row.id} is on its way. Wait some minutes.")
    if state != "unclear":
        raise ConflictError(f"nothing is unclear about comment {row.id}. Reload the list.")


def moderate(
    studio: Studio,
    comment_ids: Sequence[str],
    state: str,
    *,
    ban_author: bool = False,
    confirm: bool = False,
    actor: str,
) -> None:
    """Have comments be `published`, `held` or `rejected` on YouTube: at most 50, all or none.

    Rejecting must be confirmed: a rejected comment cannot come back. Raises InputError,
    NotFoundError, ConflictError for one that is ours or rejected already, and LofiError where
    YouTube does not do it.
    """
    ids = list(dict.fromkeys(comment_ids))
    state = one_of(state, MODERATIONS, "state")
    if not 0 < len(ids) <= MOST_MODERATED:
        raise InputError(f"{len(ids)} comments: 1 to {MOST_MODERATED} can be moderated at once.")
    if ban_author and state != "rejected":
        raise InputError("an author can be banned only where the comment is rejected. Reject it.")
    if state == "rejected" and not confirm:
        raise InputError(
            "a rejected comment cannot come back"
            + (
                ", and who is banned can be let in again in YouTube Studio alone"
                if ban_author
                else ""
            )
            + ". Send `confirm` if that is what you want."
        )
    api = accounts.youtube(studio)
    asked = {"state": state, **({"ban_author": True} if ban_author else {})}
    with studio.database.write() as session:
        for comment_id in sorted(ids):  # so that two who take several do not wait for each other
            row = find(session, comment_id, lock=True)
            if row.ours:
                raise ConflictError(
                    f"comment {row.id} is the channel's own. Delete it on YouTube if it must go."
                )
            if row.state == "rejected":
                raise ConflictError(f"comment {row.id} is rejected: it cannot come back.")
            record(session, actor, "moderating", "comment", row.id, **asked)
    try:
        set_comment_state(api, ids, state, ban_author=ban_author)
    except LofiError as error:
        with studio.database.write() as session:
            for comment_id in ids:
                record(
                    session, actor, "could not moderate", "comment", comment_id, error=str(error)
                )
        raise
    with studio.database.write() as session:
        moment = now()
        for row in rows_of(session, ids).values():
            was, row.state, row.seen_at = row.state, state, moment
            if state == "rejected" and row.handled_at is None:
                row.handled_at, row.handled_by = moment, actor
            record(session, actor, state, "comment", row.id, was=was)
            if ban_author and row.author_id:
                record(session, actor, "banned", "author", row.author_id, comment=row.id)
