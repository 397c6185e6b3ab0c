"""The community: the channel's comments are read, told apart, answered and moderated.

Reading is done by rounds and by whoever asks; it writes nothing on YouTube. All that does is a
person's click: it is noted before it is sent and again when it is done, with who did it. A reply is
sent at most once: one of which nobody knows whether it arrived is `unclear` until a person, or the
next reading, has seen.

A *walk* reads the held comments, those taken for spam, and the published ones from the newest on
until nothing is new; a *sweep*, once a day, goes to the end of them and so notices what was
published elsewhere, or deleted. A walk that was cut short goes on where it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from lofi.brief import InputError, LofiError, one_of, subseed
from lofi.channel import (
    BLANK,
    CATEGORIES,
    LISTINGS,
    MODERATIONS,
    MOST_AT_ONCE,
    NOT_IN_THE_API,
    SEGMENTS,
    UNANSWERED,
    AmbiguousError,
    Api,
    Page,
    QuotaError,
    RefusedError,
    RemoteComment,
    Thread,
    check_reply,
    check_templates,
    classify_all,
    facts_of,
    read_page,
    read_replies,
    read_threads,
    segment_of,
    send_reply,
    set_state,
    suggest,
)
from lofi.channel import TEMPLATES as SHIPPED_TEMPLATES
from lofi.studio import _accounts as accounts
from lofi.studio._errors import ConflictError, NotFoundError
from lofi.studio._events import record
from lofi.studio._tables import Comment, Credential, Event, Preference, Release, Track, now
from lofi.studio._tracks import search_words, told

if TYPE_CHECKING:
    from lofi.studio._studio import Studio

STATES = ("held", "published", "spam", "rejected")
MOST_LISTED = 200
SHORTEST_REPLY_WAIT = timedelta(minutes=3)  # after which one that is being sent is unclear

_PROGRESS = "comments"  # the preference that says how far reading has come
_TEMPLATES = "replies"  # the preference with templates that a person changed
_SWEEP_EVERY = timedelta(hours=24)
_LEASE = timedelta(minutes=5)
_CALLS = 60  # requests of one reading: a minute or so at worst
_LEFT_FOR_PEOPLE = 1_000  # units that rounds leave of the day's quota
_CLOCKS = timedelta(minutes=5)  # how far YouTube's clock and ours may be apart
_NOTHING: Mapping[str, Any] = {}


# Reading ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class Synced:
    """What a reading brought. `stopped` says why it is not `finished`; it goes on another time."""

    calls: int = 0
    new: int = 0
    changed: int = 0
    gone: int = 0
    finished: bool = False
    stopped: str | None = None


@dataclass(slots=True)
class _Walk:
    """How far a walk is: the listing it is in, and the page of it."""

    sweep: bool
    began_at: datetime
    listing: str = LISTINGS[0]
    token: str | None = None

    def to_value(self) -> dict[str, Any]:
        return {
            "sweep": self.sweep,
            "began_at": self.began_at.isoformat(),
            "listing": self.listing,
            "token": self.token,
        }

    @classmethod
    def from_value(cls, value: Any) -> _Walk | None:
        try:
            if value["listing"] not in LISTINGS:
                return None
            began_at = datetime.fromisoformat(value["began_at"])
            return cls(bool(value["sweep"]), began_at, value["listing"], value["token"])
        except (KeyError, TypeError, ValueError):
            return None


class _EnoughError(Exception):
    """The reading stops here for now; says why."""


def sync(studio: Studio, *, actor: str, most_calls: int = _CALLS, spare: int = 0) -> Synced:
    """Read what is new, with at most about `most_calls` requests (a unit of quota each).

    `spare`: units of the day's quota that are left alone. Raises LofiError where no account is
    connected or YouTube does not answer, ConflictError while another reading is under way. What
    was read until then is kept, and the next one goes on from there.
    """
    api = accounts.youtube(studio)
    with studio.database.read() as session:
        credential = session.get(Credential, accounts.PLATFORM)
        if credential is None:
            raise accounts.not_connected()
        channel_id = credential.account_id
        if spare:
            units = next(b for b in accounts.quota(session, studio.settings()) if b.bucket == "units")
            most_calls = min(most_calls, units.left - spare)
    if most_calls <= 0:
        return Synced(stopped=f"{spare:,} units of today's quota are left for what people do")
    with _lease(studio, actor):
        reading = _Reading(studio, api, channel_id, actor, most_calls)
        try:
            reading.run()
        except (_EnoughError, QuotaError) as error:
            reading.done.stopped = str(error)
        finally:
            reading.tell()
    return reading.done


def sync_round(studio: Studio) -> None:
    """Read what is new, if an account is connected: a round."""
    with studio.database.read() as session:
        if session.get(Credential, accounts.PLATFORM) is None:
            return
    with contextlib.suppress(ConflictError):  # somebody reads already
        sync(studio, actor="schedule", spare=_LEFT_FOR_PEOPLE)


class _Reading:
    """One reading of the comments."""

    def __init__(
        self, studio: Studio, api: Api, channel_id: str, actor: str, most_calls: int
    ) -> None:
        self.studio, self.channel_id, self.actor = studio, channel_id, actor
        self.done = Synced()
        self._api, self._most = api, most_calls

    def call(
        self, method: str, *, params: Mapping[str, Any] = _NOTHING, body: Any | None = None
    ) -> dict[str, Any]:
        """Ask YouTube, and count: this object is an Api."""
        self.done.calls += 1
        return self._api.call(method, params=params, body=body)

    def run(self) -> None:
        """Finish what was cut short, then read what is new since."""
        with self.studio.database.write() as session:
            _adopt(session)
            progress = _progress(session)
        walk = _Walk.from_value(progress.get("walk"))
        if walk is not None:
            self._walk(walk)
        with self.studio.database.read() as session:
            swept_at = _progress(session).get("swept_at")
        sweep = not swept_at or now() - datetime.fromisoformat(swept_at) > _SWEEP_EVERY
        self._walk(_Walk(sweep, now()))
        self.done.finished = True

    def tell(self) -> None:
        """Note what it brought, and when."""
        done = self.done
        with self.studio.database.write() as session:
            changes = {"new": done.new, "changed": done.changed, "gone": done.gone}
            _note(session, synced_at=now().isoformat(), stopped=done.stopped)
            if any(changes.values()):
                record(session, self.actor, "read", "comments", self.channel_id, **changes)

    # Walks --------------------------------------------------------------------------------------

    def _walk(self, walk: _Walk) -> None:
        while True:
            self._pause()
            moment = now()
            try:
                page = read_page(self, self.channel_id, walk.listing, walk.token)
            except RefusedError:
                if walk.token is None:
                    raise
                # The token is too old: from the top, and past what is known already.
                walk.sweep, walk.began_at, walk.listing, walk.token = True, now(), LISTINGS[0], None
                continue
            news = self._read_long(page, moment)
            over = page.next_token is None or (
                walk.listing == LISTINGS[-1] and not walk.sweep and not news
            )
            last = over and walk.listing == LISTINGS[-1]
            if over and not last:
                walk.listing, walk.token = LISTINGS[LISTINGS.index(walk.listing) + 1], None
            elif not over:
                walk.token = page.next_token
            with self.studio.database.write() as session:
                self._store(session, page.threads, moment, news)
                _note(session, walk=None if last else walk.to_value())
            if last:
                break
        self._look_for_missing(walk)
        if walk.sweep:
            with self.studio.database.write() as session:
                _note(session, swept_at=walk.began_at.isoformat())

    def _pause(self) -> None:
        """Stop between two pages, where there is a reason to."""
        if self.done.calls >= self._most:
            raise _EnoughError(f"{self.done.calls} requests were enough for once")
        if self.studio.rounds and self.studio.rounds.closing:
            raise _EnoughError("the studio is closing")
        with self.studio.database.write() as session:
            _note(session, lease=(now() + _LEASE).isoformat())

    def _read_long(self, page: Page, moment: datetime) -> set[str]:
        """The threads of a page that are new or changed; all replies of long ones are read.

        Such a thread is kept at once: cut short, the page is met again with less to read.
        """
        with self.studio.database.read() as session:
            known = _rows(session, _ids(page.threads))
        news = {thread.top.id for thread in page.threads if _is_news(thread, known)}
        for thread in page.threads:
            if thread.top.id in news and thread.total > len(thread.replies):
                self._pause()
                replies = tuple(read_replies(self, thread.top))
                whole = Thread(thread.top, replies, thread.total, thread.can_reply, thread.public)
                with self.studio.database.write() as session:
                    self._store(session, [whole], moment, news)
        return news

    def _store(
        self, session: Session, threads: Sequence[Thread], moment: datetime, news: set[str]
    ) -> None:
        """Keep what was told at a moment; `news` are the threads that were read anew."""
        rows = _rows(session, _ids(threads))
        releases = _releases(session, {t.top.video_id for t in threads if t.top.video_id})
        unread: list[Comment] = []
        for thread in threads:
            for remote in (thread.top, *thread.replies):
                row = rows.get(remote.id)
                if row is None:
                    row = rows[remote.id] = self._new(remote, releases, moment)
                    session.add(row)
                    unread.append(row)
                    self.done.new += 1
                elif row.seen_at <= moment:  # else something was done to it since
                    self.done.changed += _is_other(row, remote)
                    if row.text != remote.text:
                        unread.append(row)
                    _take_over(row, remote, moment)
                row.can_reply = thread.can_reply
            rows[thread.top.id].replies = thread.total
        theirs = [row for row in unread if not row.ours]
        for row, guess in zip(theirs, classify_all([r.text for r in theirs]), strict=True):
            row.category, row.confidence = guess.category, guess.confidence
        session.flush()
        for row in session.scalars(  # replies that everybody sees, and that were not told again
            sa.select(Comment).where(
                Comment.parent_id.in_([t.top.id for t in threads]),
                Comment.state == "published",
                Comment.seen_at < moment,
            )
        ):
            if row.parent_id in news:
                self._forget(session, row)
            else:
                row.seen_at = moment
        for thread in threads:
            for reply in thread.replies:
                if reply.author_id == self.channel_id:
                    _answered(session, reply, self.actor)

    def _new(
        self, remote: RemoteComment, releases: Mapping[str, int], moment: datetime
    ) -> Comment:
        return Comment(
            id=remote.id,
            release_id=releases.get(remote.video_id or ""),
            video_id=remote.video_id,
            parent_id=remote.parent_id,
            author=remote.author,
            author_id=remote.author_id,
            ours=remote.author_id == self.channel_id,
            text=remote.text,
            state=remote.state,
            likes=remote.likes,
            published_at=remote.published_at,
            updated_at=remote.updated_at,
            seen_at=moment,
        )

    # What is missing ----------------------------------------------------------------------------

    def _look_for_missing(self, walk: _Walk) -> None:
        """See what became of comments that should have been met and were not.

        After a sweep those are all that are not rejected; else those that were held or taken for
        spam, as their listings are read to the end each time.
        """
        states = ("held", "spam", "published") if walk.sweep else ("held", "spam")
        with self.studio.database.read() as session:
            missing = session.execute(
                sa.select(Comment.id, Comment.parent_id)
                .where(Comment.state.in_(states), Comment.seen_at < walk.began_at)
                .order_by(Comment.id)
            ).all()
        tops = [row[0] for row in missing if row[1] is None]
        for at in range(0, len(tops), MOST_AT_ONCE):
            self._pause()
            moment, some = now(), tops[at : at + MOST_AT_ONCE]
            there = {t.top.id: t for t in read_threads(self, some)}
            with self.studio.database.write() as session:
                for row in _rows(session, some).values():
                    if row.seen_at > moment:
                        continue
                    if row.id not in there:
                        self._forget(session, row)
                        continue
                    row.seen_at = moment
                    if there[row.id].public and row.state != "published":
                        row.state = "published"
                        self.done.changed += 1
        self._look_for_missing_replies([(row[0], row[1]) for row in missing if row[1]])

    def _look_for_missing_replies(self, missing: list[tuple[str, str]]) -> None:
        for parent_id in sorted({parent for _, parent in missing}):
            self._pause()
            moment = now()
            with self.studio.database.read() as session:
                parent = session.get(Comment, parent_id)
            if parent is None:  # its thread is gone, and so is this
                continue
            there = {r.id: r for r in read_replies(self, _remote(parent))}
            with self.studio.database.write() as session:
                ids = [id_ for id_, its in missing if its == parent_id]
                for row in _rows(session, ids).values():
                    if row.id in there:
                        self.done.changed += _is_other(row, there[row.id])
                        _take_over(row, there[row.id], moment)
                    elif row.seen_at <= moment:
                        self._forget(session, row)

    def _forget(self, session: Session, row: Comment) -> None:
        """Drop a comment that YouTube has no more, with the replies to it."""
        for gone in (*session.scalars(sa.select(Comment).where(Comment.parent_id == row.id)), row):
            record(session, self.actor, "vanished", "comment", gone.id, state=gone.state)
            session.delete(gone)
            self.done.gone += 1


def _rows(session: Session, ids: Sequence[str]) -> dict[str, Comment]:
    rows: dict[str, Comment] = {}
    for at in range(0, len(ids), 500):  # SQLite takes so many values, and more
        some = ids[at : at + 500]
        rows |= {r.id: r for r in session.scalars(sa.select(Comment).where(Comment.id.in_(some)))}
    return rows


def _ids(threads: Sequence[Thread]) -> list[str]:
    return list({c.id for thread in threads for c in (thread.top, *thread.replies)})


def _is_other(row: Comment, remote: RemoteComment) -> bool:
    """Whether a person would notice a difference."""
    return (row.text, row.state) != (remote.text, remote.state)


def _take_over(row: Comment, remote: RemoteComment, moment: datetime) -> None:
    row.text, row.author, row.state = remote.text, remote.author, remote.state
    row.likes, row.updated_at, row.seen_at = remote.likes, remote.updated_at, moment


def _is_news(thread: Thread, known: Mapping[str, Comment]) -> bool:
    row = known.get(thread.top.id)
    return (
        row is None
        or row.replies != thread.total
        or _is_other(row, thread.top)
        or any(r.id not in known or _is_other(known[r.id], r) for r in thread.replies)
    )


def _releases(session: Session, video_ids: set[str]) -> dict[str, int]:
    found = session.execute(
        sa.select(Release.remote_id, Release.id).where(
            Release.platform == accounts.PLATFORM, Release.remote_id.in_(video_ids)
        )
    )
    return {row[0]: row[1] for row in found}


def _adopt(session: Session) -> None:
    """Have comments under videos that were noted as released since belong to those releases."""
    release = (
        sa.select(Release.id)
        .where(Release.platform == accounts.PLATFORM, Release.remote_id == Comment.video_id)
        .scalar_subquery()
    )
    session.execute(
        sa.update(Comment)
        .where(
            Comment.release_id.is_(None),
            Comment.video_id.in_(
                sa.select(Release.remote_id).where(Release.platform == accounts.PLATFORM)
            ),
        )
        .values(release_id=release)
        .execution_options(synchronize_session=False)
    )


def _remote(row: Comment) -> RemoteComment:
    return RemoteComment(
        row.id, row.parent_id, row.video_id, row.author, row.author_id, row.text, row.state,
        row.likes, row.published_at, row.updated_at,
    )  # fmt: skip


def _answered(session: Session, ours: RemoteComment, actor: str) -> None:
    """What a reply of the channel's own answers, wherever it was written."""
    thread = sa.or_(Comment.id == ours.parent_id, Comment.parent_id == ours.parent_id)
    for row in session.scalars(
        sa.select(Comment).where(
            thread, Comment.ours.is_(False), Comment.reply_state.in_(("sending", "unclear"))
        )
    ):
        recent = row.reply_at is None or ours.published_at > row.reply_at - _CLOCKS
        if recent and _same(row.reply or "", ours.text):
            _mark_sent(session, row, ours.id, actor)
            record(session, actor, "found reply to", "comment", row.id, reply_id=ours.id)
    session.execute(
        sa.update(Comment)
        .where(
            thread,
            Comment.ours.is_(False),
            Comment.handled_at.is_(None),
            Comment.published_at <= ours.published_at,
        )
        .values(handled_at=ours.published_at, handled_by="youtube")
    )


def _same(one: str, other: str) -> bool:
    """Whether two texts are the same but for their spaces, which YouTube changes."""
    return one.split() == other.split()


# How far reading has come ----------------------------------------------------------------------


def _progress(session: Session) -> dict[str, Any]:
    row = session.get(Preference, _PROGRESS)
    return dict(row.value) if row else {}


def _note(session: Session, **values: Any) -> None:
    row = session.get(Preference, _PROGRESS, with_for_update=True)
    if row is None:
        row = Preference(name=_PROGRESS, value={}, updated_by="comments")
        session.add(row)
    row.value, row.updated_at = {**row.value, **values}, now()


@contextlib.contextmanager
def _lease(studio: Studio, actor: str) -> Iterator[None]:
    """One reading at a time, whichever process does it. Raises ConflictError.

    It is given up by itself some minutes after whoever has it was killed.
    """
    try:
        with studio.database.write() as session:
            row = session.get(Preference, _PROGRESS, with_for_update=True)
            until = row.value.get("lease") if row else None
            if until and datetime.fromisoformat(until) > now():
                raise ConflictError("the comments are being read already. Wait until that is done.")
            _note(session, lease=(now() + _LEASE).isoformat(), reader=actor)
    except IntegrityError as error:
        raise ConflictError(
            "the comments are being read already. Wait until that is done."
        ) from error
    try:
        yield
    finally:
        with studio.database.write() as session:
            _note(session, lease=None)


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
            tuple(one_of(c, CATEGORIES, "category") for c in self.categories),
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
    for word in search_words(wanted.text):
        conditions.append(
            Comment.text.icontains(word, autoescape=True)
            | Comment.author.icontains(word, autoescape=True)
        )
    return conditions


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
    parents = _rows(session, sorted({r.parent_id for r in rows if r.parent_id}))
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
        return f"it is {row.state}: publish it first" if row.state != "rejected" else "it is rejected"
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


def _people() -> sa.Select[Any]:
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
            counted(
                (Comment.category == "spam") | Comment.state.in_(("spam", "rejected")), "junk"
            ),
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
                    *(figures[name] >= share * figures.comments for name, share in s.shares.items()),
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
    names = dict(
        session.execute(  # what they are called now
            sa.select(Comment.author_id, Comment.author)
            .where(Comment.author_id.in_(ids))
            .order_by(Comment.published_at)
        ).tuples()
    )
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
    counts = dict(session.execute(sa.select(name, sa.func.count()).group_by(name)).tuples())
    return [
        {"name": s.name, "means": s.words, "people": counts.get(s.name, 0)} for s in SEGMENTS
    ]


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
        progress = _progress(session)
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
        unclear = session.scalar(
            sa.select(sa.func.count()).select_from(Comment).where(_unclear())
        )
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
            for name, means in CATEGORIES.items()
        ],
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
        category = one_of(category, CATEGORIES, "category")
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
    return {c: list(changed.get(c, lines)) for c, lines in SHIPPED_TEMPLATES.items()}


def change_templates(
    session: Session, changes: Mapping[str, Sequence[str] | None], *, actor: str
) -> dict[str, list[str]]:
    """Change the templates of some categories; None gives back the shipped ones.

    Raises InputError for a template that cannot be used; nothing is changed then.
    """
    checked = check_templates({c: lines for c, lines in changes.items() if lines is not None})
    shipped = {c for c, lines in changes.items() if lines is None}
    check_templates(dict.fromkeys(shipped, ()))  # only those that there are
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
    facts = facts_of(track, row.author, is_reply=row.parent_id is not None)
    seed = subseed(0, "comment", row.id)
    return suggest(row.text, row.category, facts, lines, seed=seed, turn=turn)


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
        unclear = isinstance(error, AmbiguousError)
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
        _mark_sent(session, row, sent.id if sent else None, actor)
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


def _mark_sent(session: Session, row: Comment, reply_id: str | None, actor: str) -> None:
    row.reply_state, row.reply_id, row.reply_at = "sent", reply_id, now()
    if row.handled_at is None:
        row.handled_at, row.handled_by = now(), actor
    session.flush()


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
    found = [r for r in read_replies(api, _remote(parent)) if r.author_id == channel_id]
    with studio.database.write() as session:
        for ours in found:
            _answered(session, ours, actor)
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
        _mark_sent(session, row, None, actor)
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
    if not 0 < len(ids) <= MOST_AT_ONCE:
        raise InputError(f"{len(ids)} comments: 1 to {MOST_AT_ONCE} can be moderated at once.")
    if ban_author and state != "rejected":
        raise InputError("an author can be banned only where the comment is rejected. Reject it.")
    if state == "rejected" and not confirm:
        raise InputError(
            "a rejected comment cannot come back"
            + (", and who is banned can be let in again in YouTube Studio alone" if ban_author else "")
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
        set_state(api, ids, state, ban_author=ban_author)
    except LofiError as error:
        with studio.database.write() as session:
            for comment_id in ids:
                record(session, actor, "could not moderate", "comment", comment_id, error=str(error))
        raise
    with studio.database.write() as session:
        moment = now()
        for row in _rows(session, ids).values():
            was, row.state, row.seen_at = row.state, state, moment
            if state == "rejected" and row.handled_at is None:
                row.handled_at, row.handled_by = moment, actor
            record(session, actor, state, "comment", row.id, was=was)
            if ban_author and row.author_id:
                record(session, actor, "banned", "author", row.author_id, comment=row.id)
