"""Reading the channel's comments: incrementally, within quota, and resumably.

A *walk* reads the held comments, those taken for spam, and the published ones from the newest on to
the first page that ends with one that is known and unchanged. A *sweep*, once a day, goes to the
end of them and so notices what was published elsewhere, or deleted. A walk that was cut short goes
on where it was. Reading writes nothing on YouTube.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from lofi.channel import (
    COMMENT_LISTINGS,
    MOST_MODERATED,
    Api,
    QuotaError,
    RefusedError,
    RemoteComment,
    Thread,
    ThreadPage,
    classify_all,
    read_replies,
    read_thread_page,
    read_threads,
)
from lofi.studio import _accounts as accounts
from lofi.studio._errors import ConflictError
from lofi.studio._events import record
from lofi.studio._tables import Comment, Credential, Preference, Release, now

if TYPE_CHECKING:
    from lofi.studio._studio import Studio

_PROGRESS = "comments"  # the preference that says how far reading has come
_SWEEP_EVERY = timedelta(hours=24)
_LEASE = timedelta(minutes=5)
_CALLS = 60  # requests of one reading: a minute or so at worst
_LEFT_FOR_PEOPLE = 1_000  # units that rounds leave of the day's quota
_CLOCKS = timedelta(minutes=5)  # how far YouTube's clock and ours may be apart
_NOTHING: Mapping[str, Any] = {}


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
    listing: str = COMMENT_LISTINGS[0]
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
            if value["listing"] not in COMMENT_LISTINGS:
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
            units = next(
                b for b in accounts.quota(session, studio.settings()) if b.bucket == "units"
            )
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
        self,
        method: str,
        *,
        params: Mapping[str, Any] = _NOTHING,
        body: Any | None = None,
        media: Any = None,
    ) -> dict[str, Any]:
        """Ask YouTube, and count: this object is an Api."""
        self.done.calls += 1
        return self._api.call(method, params=params, body=body, media=media)

    def download(self, method: str, url: str) -> bytes:
        """See `lofi.channel.Api`."""
        self.done.calls += 1
        return self._api.download(method, url)

    def run(self) -> None:
        """Finish what was cut short, then read what is new since."""
        with self.studio.database.write() as session:
            _adopt(session)
            progress = progress_of(session)
        walk = _Walk.from_value(progress.get("walk"))
        if walk is not None:
            self._walk(walk)
        with self.studio.database.read() as session:
            swept_at = progress_of(session).get("swept_at")
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
        begun_anew = False
        while True:
            self._pause()
            moment = now()
            try:
                page = read_thread_page(self, self.channel_id, walk.listing, walk.token)
            except RefusedError:
                if walk.token is None or begun_anew:
                    raise
                begun_anew = True
                # The token is too old: from the top, and past what is known already.
                walk.sweep, walk.began_at, walk.listing, walk.token = (
                    True,
                    now(),
                    COMMENT_LISTINGS[0],
                    None,
                )
                continue
            news = self._read_long(page, moment)
            # The newest come first: with the last of a page all that come after it are known, too.
            known = not page.threads or page.threads[-1].top.id not in news
            over = page.next_token is None or (
                walk.listing == COMMENT_LISTINGS[-1] and not walk.sweep and known
            )
            last = over and walk.listing == COMMENT_LISTINGS[-1]
            if over and not last:
                walk.listing, walk.token = (
                    COMMENT_LISTINGS[COMMENT_LISTINGS.index(walk.listing) + 1],
                    None,
                )
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

    def _read_long(self, page: ThreadPage, moment: datetime) -> set[str]:
        """The threads of a page that are new or changed; all replies of long ones are read.

        Such a thread is kept at once: cut short, the page is met again with less to read.
        """
        with self.studio.database.read() as session:
            known = rows_of(session, _ids(page.threads))
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
        rows = rows_of(session, _ids(threads))
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
                    note_answers(session, reply, self.actor)

    def _new(self, remote: RemoteComment, releases: Mapping[str, int], moment: datetime) -> Comment:
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
        for at in range(0, len(tops), MOST_MODERATED):
            self._pause()
            moment, some = now(), tops[at : at + MOST_MODERATED]
            there = {t.top.id: t for t in read_threads(self, some)}
            with self.studio.database.write() as session:
                for row in rows_of(session, some).values():
                    if row.seen_at > moment:
                        continue
                    if row.id not in there:
                        self._forget(session, row)
                        continue
                    row.seen_at = moment
                    if there[row.id].public and row.state != "published":
                        row.state = "published"
                        self.done.changed += 1
        self._look_for_missing_replies([(id_, its) for id_, its in missing if its is not None])

    def _look_for_missing_replies(self, missing: list[tuple[str, str]]) -> None:
        for parent_id in sorted({parent for _, parent in missing}):
            self._pause()
            moment = now()
            with self.studio.database.read() as session:
                parent = session.get(Comment, parent_id)
            if parent is None:  # its thread is gone, and so is this
                continue
            there = {r.id: r for r in read_replies(self, remote_of(parent))}
            with self.studio.database.write() as session:
                ids = [id_ for id_, its in missing if its == parent_id]
                for row in rows_of(session, ids).values():
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


def rows_of(session: Session, ids: Sequence[str]) -> dict[str, Comment]:
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
    return {video_id: id_ for video_id, id_ in found if video_id is not None}


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


def remote_of(row: Comment) -> RemoteComment:
    return RemoteComment(
        row.id, row.parent_id, row.video_id, row.author, row.author_id, row.text, row.state,
        row.likes, row.published_at, row.updated_at,
    )  # fmt: skip


def note_answers(session: Session, ours: RemoteComment, actor: str) -> None:
    """What a reply of the channel's own answers, wherever it was written."""
    thread = sa.or_(Comment.id == ours.parent_id, Comment.parent_id == ours.parent_id)
    for row in session.scalars(
        sa.select(Comment).where(
            thread, Comment.ours.is_(False), Comment.reply_state.in_(("sending", "unclear"))
        )
    ):
        recent = row.reply_at is None or ours.published_at > row.reply_at - _CLOCKS
        if recent and _same(row.reply or "", ours.text):
            mark_sent(session, row, ours.id, actor)
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


def mark_sent(session: Session, row: Comment, reply_id: str | None, actor: str) -> None:
    row.reply_state, row.reply_id, row.reply_at = "sent", reply_id, now()
    if row.handled_at is None:
        row.handled_at, row.handled_by = now(), actor
    session.flush()


def _same(one: str, other: str) -> bool:
    """Whether two texts are the same but for their spaces, which YouTube changes."""
    return one.split() == other.split()


# How far reading has come ----------------------------------------------------------------------


def progress_of(session: Session) -> dict[str, Any]:
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
