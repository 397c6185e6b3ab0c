"""The catalogue of finished tracks: found, read, named, approved, deleted and given back.

A deleted track keeps its row and files for 30 days; then `purge` drops the records of its files,
and the garbage collector of the storage frees them.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, defer

from lofi.brief import PALETTES, InputError, Key, find_mood, one_of
from lofi.studio._cache import Cache
from lofi.studio._errors import ConflictError, NotFoundError
from lofi.studio._events import record
from lofi.studio._tables import Approval, Artifact, Job, JobStage, Listing, Release, Track, now

STATES = ("review", "approved", "rejected")
VERDICTS = ("pass", "review", "block", "not checked")
PRIVACIES = ("private", "unlisted", "public")
KEEP = timedelta(days=30)
MOST_AT_ONCE = 200

_TITLE_LENGTH = 100
_NOTE_LENGTH = 5_000
_TAGS = 30
_TAG_LENGTH = 60
_WORDS = 12  # of a search
_FACTS_S = 600.0
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,199}")
_FILE = re.compile(r"[\w.-]+(/[\w.-]+)*")
_INTERNAL = "internal"


class StaleError(ConflictError):
    """What was looked at before deciding has changed meanwhile."""


# Finding ---------------------------------------------------------------------------------------

Range = tuple[float | None, float | None]
_EVER: tuple[None, None] = (None, None)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which tracks are asked for; what is left out does not matter.

    `text`: words that must all occur in title, mood, key, id, tags or note. Of several `moods` (and
    so on) one must fit. Ranges include both ends; `created` leaves out its second. `deleted`: only
    those that wait to be purged, instead of those that are there.
    """

    text: str = ""
    states: tuple[str, ...] = ()
    moods: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    palettes: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    bpm: Range = _EVER
    duration_s: Range = _EVER
    tag: str | None = None
    created: tuple[datetime | None, datetime | None] = _EVER
    deleted: bool = False

    def checked(self) -> Filter:
        """The same with names as they are stored. Raises InputError for one that is unknown."""
        for low, high in (self.bpm, self.duration_s):
            if low is not None and high is not None and low > high:
                raise InputError(f"nothing is from {low:g} to {high:g}. Turn the two round.")
        return Filter(
            text=self.text,
            states=tuple(one_of(s, STATES, "state") for s in self.states),
            moods=tuple(find_mood(m).name for m in self.moods),
            keys=tuple(str(Key.parse(k)) for k in self.keys),
            palettes=tuple(one_of(p, PALETTES, "palette") for p in self.palettes),
            verdicts=tuple(one_of(v, VERDICTS, "verdict") for v in self.verdicts),
            bpm=self.bpm,
            duration_s=self.duration_s,
            tag=None if self.tag is None else read_tag(self.tag),
            created=self.created,
            deleted=self.deleted,
        )


# `search` begins with the title in lower case, so it sorts titles as a person would.
SORTS: dict[str, str] = {
    "created": "created_at",
    "title": "search",
    "bpm": "bpm",
    "duration": "duration_s",
    "key": "key",
    "mood": "mood",
}
# All but the facts, which are a hundred times as large.
_NAMES = (
    "id", "title", "state", "mood", "bpm", "key", "duration_s", "seed", "palette", "template",
    "verdict", "lufs", "tags", "note", "job_id", "package_sha256", "created_at", "updated_at",
    "deleted_at",
)  # fmt: skip

# Rows of the table, not tracks: they are read in half the time. That what is asked is put into
# words once takes another third off.
_COLUMNS = Track.__table__.c
_LISTED = tuple(_COLUMNS[name] for name in _NAMES)
_ROWS = sa.select(*_LISTED).where(_COLUMNS.id.in_(sa.bindparam("ids", expanding=True)))
_ALL = sa.select(sa.func.count()).select_from(Track.__table__)
# SQLite counts all rows by the page, and few are deleted.
_THERE = sa.select(
    _ALL.scalar_subquery() - _ALL.where(_COLUMNS.deleted_at.is_not(None)).scalar_subquery()
)


def listing(
    session: Session,
    wanted: Filter | None = None,
    *,
    sort: str = "created",
    descending: bool = True,
    limit: int = 50,
    offset: int = 0,
) -> tuple[list[dict[str, Any]], int]:
    """Tracks as plain values, `limit` (at most 200) from `offset` on, and how many there are.

    Raises InputError for a filter or sort that is unknown.
    """
    page, _, number = _asked(wanted or Filter(), sort, descending, _dialect(session))
    limit, offset = max(1, min(limit, MOST_AT_ONCE)), max(0, offset)
    rows = session.execute(page, {"limit": limit, "offset": offset}).all()
    found = [_listed(zip(_NAMES, row, strict=True)) for row in rows]
    if len(found) < limit and (found or not offset):  # the last page: nothing to count any more
        return found, offset + len(found)
    return found, session.scalars(number).one()


@lru_cache(maxsize=256)
def _asked(
    wanted: Filter, sort: str, descending: bool, dialect: str
) -> tuple[sa.Select[Any], sa.Select[Any], sa.Select[Any]]:
    """What asks for the rows of a page, for the ids of all, and for their number.

    The ids are found in an index that holds all one filters and sorts by; only then are rows read,
    which lie far apart.
    """
    conditions = _conditions(wanted, dialect)
    column = _COLUMNS[SORTS[one_of(sort, SORTS, "sort")]]
    # The id settles ties, so that no track is on two pages or on none.
    order = [c.desc() if descending else c.asc() for c in (column, _COLUMNS.id)]
    ids = sa.select(_COLUMNS.id).where(*conditions).order_by(*order)
    shown = ids.limit(sa.bindparam("limit")).offset(sa.bindparam("offset"))
    page = sa.select(*_LISTED).where(_COLUMNS.id.in_(shown)).order_by(*order)
    there = len(conditions) == 1 and not wanted.deleted
    return page, ids, _THERE if there else _ALL.where(*conditions)


def _dialect(session: Session) -> str:
    return session.get_bind().dialect.name


def some(session: Session, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Those of some tracks that are there, as `listing` gives them, in that order."""
    return [t for t in _rows(session, ids) if t["deleted_at"] is None]


def _rows(session: Session, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The tracks of some ids, in that order."""
    rows = session.execute(_ROWS, {"ids": ids})
    found = {row[0]: _listed(zip(_NAMES, row, strict=True)) for row in rows}
    return [found[i] for i in ids if i in found]


def _conditions(wanted: Filter, dialect: str) -> list[sa.ColumnElement[bool]]:
    wanted, track = wanted.checked(), _COLUMNS
    conditions: list[sa.ColumnElement[bool]] = [
        track.deleted_at.is_not(None) if wanted.deleted else track.deleted_at.is_(None)
    ]
    for column, names in (
        (track.state, wanted.states),
        (track.mood, wanted.moods),
        (track.key, wanted.keys),
        (track.palette, wanted.palettes),
        (track.verdict, wanted.verdicts),
    ):
        if names:
            conditions.append(column.in_(names))
    for column, (low, high) in ((track.bpm, wanted.bpm), (track.duration_s, wanted.duration_s)):
        if low is not None:
            conditions.append(column >= low)
        if high is not None:
            conditions.append(column <= high)
    begin, end = wanted.created
    if begin is not None:
        conditions.append(track.created_at >= begin)
    if end is not None:
        conditions.append(track.created_at < end)
    if wanted.tag is not None:
        one, name = _each_tag(dialect)
        conditions.append(
            sa.exists(sa.select(sa.literal(1)).select_from(one).where(name == wanted.tag))
        )
    words = search_words(wanted.text)
    return conditions + [track.search.contains(word, autoescape=True) for word in words]


def search_words(text: str) -> list[str]:
    """The words that a search looks for, as they stand in the column `search`."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return list(dict.fromkeys(_plain(plain).lower().split()))[:_WORDS]


def _each_tag(dialect: str) -> tuple[Any, sa.ColumnElement[str]]:
    """The tags of a track as rows, and the column that has them."""
    if dialect == "sqlite":
        rows = sa.func.json_each(_COLUMNS.tags).table_valued("value", name="each_tag")
    else:
        rows = sa.func.json_array_elements_text(_COLUMNS.tags).table_valued(
            "value", name="each_tag"
        )
    return rows, rows.c.value


def tags(session: Session) -> list[dict[str, Any]]:
    """All tags with how many tracks have them, the most used first."""
    rows, name = _each_tag(_dialect(session))
    count = sa.func.count()
    found = session.execute(
        sa.select(name, count)
        .select_from(Track.__table__)
        .join(rows, sa.true())
        .where(_COLUMNS.deleted_at.is_(None))
        .group_by(name)
        .order_by(count.desc(), name)
    )
    return [{"tag": tag, "tracks": tracks} for tag, tracks in found]


def _listed(columns: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    track = dict(columns)
    track["version"] = version_of(track["updated_at"])
    for name in ("created_at", "updated_at", "deleted_at"):
        track[name] = told(track[name])
    return track


def told(moment: datetime | None) -> str | None:
    """A moment as text: ISO 8601, UTC."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None


def version_of(updated_at: datetime) -> str:
    """What changes with every change of a track: for whoever changes it only if nobody else has."""
    return f"{int(updated_at.timestamp() * 1_000_000):x}"


CSV_COLUMNS = (
    "id", "title", "state", "mood", "bpm", "key", "duration_s", "lufs", "verdict", "palette",
    "template", "seed", "tags", "note", "created_at", "package_sha256",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(
    read: Callable[[], AbstractContextManager[Session]],
    wanted: Filter | None = None,
    *,
    sort: str = "created",
    descending: bool = True,
) -> Iterator[str]:
    """The tracks as CSV, in pieces, however many there are. `read` opens a session.

    What a spreadsheet would take for a formula gets an apostrophe before it.
    """
    with read() as session:
        _, query, _ = _asked(wanted or Filter(), sort, descending, _dialect(session))
        ids = list(session.scalars(query))

    def lines() -> Iterator[str]:
        yield csv_text([CSV_COLUMNS])
        # A slow reader must not hold a transaction open.
        for at in range(0, len(ids), MOST_AT_ONCE):
            page = ids[at : at + MOST_AT_ONCE]
            with read() as session:
                tracks = _rows(session, page)
            yield csv_text([csv_cell(track[c]) for c in CSV_COLUMNS] for track in tracks)

    return lines()


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def csv_cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    text = "; ".join(value) if isinstance(value, list) else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text


# Reading ---------------------------------------------------------------------------------------


_ID_ASKED = sa.bindparam("id", type_=sa.String())
_TRACK = sa.select(Track).options(defer(Track.facts)).where(Track.id == _ID_ASKED)
_LOCKED = _TRACK.with_for_update().execution_options(populate_existing=True)
_APPROVALS = sa.select(Approval).where(Approval.track_id == _ID_ASKED).order_by(Approval.id.desc())
_JOBS = sa.select(Job).where(Job.track_id == _ID_ASKED).order_by(Job.created_at.desc(), Job.id)
_FILES = (
    sa.select(Artifact)
    .where(Artifact.job_id == _ID_ASKED, Artifact.kind != _INTERNAL)
    .order_by(Artifact.name)
)
_EDITED = sa.select(Listing.edited_sha256).where(Listing.track_id == _ID_ASKED)


def find(session: Session, track_id: str, *, lock: bool = False, deleted: bool = False) -> Track:
    """The track of that id, its facts not yet loaded. Raises NotFoundError.

    One that was deleted is found only if `deleted` ones may be.
    """
    track = None
    if _ID.fullmatch(track_id):
        asked = _LOCKED if lock else _TRACK
        track = session.scalar(asked, {"id": track_id})
    if track is None:
        raise NotFoundError(f"there is no track {track_id[:80]!r}. `GET /api/tracks` lists them.")
    if track.deleted_at is not None and not deleted:
        raise NotFoundError(f"track {track_id} was deleted. Restore it first.")
    return track


def view(session: Session, track_id: str, *, cache: Cache | None = None) -> dict[str, Any]:
    """A track as plain values: facts, files, decisions, and the jobs that made it.

    Raises NotFoundError; a deleted track is shown, with the moment until which it can be restored.
    """
    track = find(session, track_id, deleted=True)
    approvals = session.scalars(_APPROVALS, {"id": track.id})
    jobs = session.scalars(_JOBS, {"id": track.id})
    content = content_sha256(session, track)
    return {
        **_listed((name, getattr(track, name)) for name in _NAMES),
        "content_sha256": content,
        "restorable_until": told(track.deleted_at + KEEP) if track.deleted_at else None,
        "facts": _facts(track, cache),
        "files": [described(a) for a in files(session, track.job_id)],
        "approvals": [
            {
                "decision": a.decision,
                "privacy": a.privacy,
                "note": a.note,
                "decided_by": a.decided_by,
                "decided_at": told(a.decided_at),
                "package_sha256": a.package_sha256,
                "current": a.package_sha256 == content,
            }
            for a in approvals
        ],
        "versions": [_version(job, current=job.id == track.job_id) for job in jobs],
    }


def _facts(track: Track, cache: Cache | None) -> dict[str, Any]:
    """What stands in its `track.json`: kept by the hash of that file, so never out of date."""
    if cache is None:
        return track.facts
    key = f"facts/{track.package_sha256}"
    return cache.get_or_make("tracks", key, lambda: track.facts, ttl_s=_FACTS_S)


def _version(job: Job, *, current: bool) -> dict[str, Any]:
    brief, remake = job.commission.get("brief", {}), job.commission.get("remake") or {}
    return {
        "job_id": job.id,
        "state": job.state,
        "requested_by": job.requested_by,
        "created_at": told(job.created_at),
        "finished_at": told(job.finished_at),
        "current": current,
        "palette": brief.get("palette"),
        "template": brief.get("template"),
        "picture_seed": remake.get("picture_seed", brief.get("seed")),
        "stems": job.commission.get("keep_stems"),
        "soundfont": Path(job.commission.get("soundfont") or "").name or None,
    }


def described(artifact: Artifact) -> dict[str, Any]:
    """A file as plain values."""
    return {
        "name": artifact.name,
        "kind": artifact.kind,
        "media_type": artifact.media_type,
        "size": artifact.size,
        "sha256": artifact.sha256,
        "stage": artifact.stage,
    }


def files(session: Session, job_id: str) -> list[Artifact]:
    """The files of a job for people, by name; not what only later stages read."""
    return list(session.scalars(_FILES, {"id": job_id}))


def file(session: Session, job_id: str, name: str) -> Artifact:
    """A file of a job for people. Raises NotFoundError."""
    found = None
    if _FILE.fullmatch(name) and _ID.fullmatch(job_id):
        found = session.get(Artifact, (job_id, name))
    if found is None or found.kind == _INTERNAL:
        raise NotFoundError(
            f"there is no file {name[:80]!r} here. List the files to see their names."
        )
    return found


# Changing --------------------------------------------------------------------------------------


def patch(
    session: Session,
    track_id: str,
    *,
    actor: str,
    title: str | None = None,
    tags: Sequence[str] | None = None,
    note: str | None = None,
    version: str | None = None,
) -> Track:
    """Change what a person may change; None leaves as it is.

    Raises InputError for a value that cannot be, NotFoundError, and StaleError if the track is no
    longer of `version`.
    """
    track = find(session, track_id, lock=True)
    _require_version(track, version)
    wanted: dict[str, Any] = {}
    if title is not None:
        wanted["title"] = read_title(title)
    if tags is not None:
        wanted["tags"] = read_tags(tags)
    if note is not None:
        wanted["note"] = read_note(note)
    changes = {n: {"from": getattr(track, n), "to": v} for n, v in wanted.items()}
    changes = {n: c for n, c in changes.items() if c["from"] != c["to"]}
    if changes:
        for name, change in changes.items():
            setattr(track, name, change["to"])
        track.search = search_text(track)
        _touch(track)
        record(session, actor, "changed", "track", track.id, changes=changes)
    return track


def _require_version(track: Track, version: str | None) -> None:
    if version is not None and version != version_of(track.updated_at):
        raise StaleError(f"track {track.id} was changed meanwhile. Read it again and decide anew.")


def search_text(track: Track) -> str:
    """What a search looks in: the title first."""
    told = (track.title, track.mood, track.key, track.id, *track.tags, track.note)
    return " ".join(" ".join(told).lower().split())


def _touch(track: Track) -> None:
    # Two changes are two versions, even where the clock stands still or was set back.
    track.updated_at = max(now(), track.updated_at + timedelta(microseconds=1))


def read_title(text: str) -> str:
    """A title as it is kept. Raises InputError for none, a long one, or one that is no text."""
    title = _plain(" ".join(refuse_control(text, "title").split()))
    if not title:
        raise InputError("the title is empty. Write at least one letter.")
    if len(title) > _TITLE_LENGTH:
        raise InputError(
            f"the title has {len(title)} characters; YouTube takes {_TITLE_LENGTH}. Shorten it."
        )
    return title


def read_note(text: str) -> str:
    """A note as it is kept: lines and tabs stay."""
    lines = text.replace("\r\n", "\n")
    refuse_control(lines.replace("\n", " ").replace("\t", " "), "note")
    if len(lines) > _NOTE_LENGTH:
        raise InputError(f"the note has {len(lines):,} characters; {_NOTE_LENGTH:,} are kept.")
    return _plain(lines).strip()


def read_tags(names: Sequence[str]) -> list[str]:
    """Tags as they are kept, in order, each once."""
    found = list(dict.fromkeys(map(read_tag, names)))
    if len(found) > _TAGS:
        raise InputError(f"{len(found)} tags are too many: a track has at most {_TAGS}.")
    return found


def read_tag(text: str) -> str:
    """A tag as it is kept: lower case. Raises InputError."""
    tag = _plain(" ".join(refuse_control(text, "tag").lower().split()))
    if not tag or len(tag) > _TAG_LENGTH or set(tag) & set(",;"):
        raise InputError(
            f"{text[:_TAG_LENGTH]!r} is no tag. A tag has 1 to {_TAG_LENGTH} characters, none of "
            "them a comma or semicolon."
        )
    return tag


def _plain(text: str) -> str:
    """One spelling for letters that can be written in two ways."""
    return unicodedata.normalize("NFC", text)


_TURNING = {*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}  # text the other way round


def refuse_control(text: str, what: str) -> str:
    """The text, if a person can have typed it. Raises InputError for control characters."""
    for c in text:
        if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in _TURNING:
            raise InputError(
                f"the {what} holds the control character U+{ord(c):04X}. Leave it out."
            )
    return text


def decide(
    session: Session,
    track_id: str,
    decision: str,
    *,
    actor: str,
    privacy: str = "private",
    note: str = "",
    package_sha256: str | None = None,
    listing_sha256: str | None = None,
) -> Approval:
    """Approve or reject a track: exactly the bytes of its package, up to this privacy.

    A listing that a person changed is part of what is decided on. `package_sha256` and
    `listing_sha256` are what the person looked at, if they say so. Raises InputError for an unknown
    decision or privacy, or if a track whose originality check blocks it is approved without a note
    that says why; NotFoundError; StaleError if package or listing is another one by now.
    """
    decision = one_of(decision, ("approved", "rejected"), "decision")
    privacy = one_of(privacy, PRIVACIES, "privacy")
    note = read_note(note)
    track = find(session, track_id, lock=True)
    if package_sha256 is not None and package_sha256 != track.package_sha256:
        raise StaleError(
            f"the files of track {track_id} were made anew since you looked at them. Look again "
            "and decide anew."
        )
    if listing_sha256 is not None:
        from lofi.studio import _listings

        _listings.require_same(track, _listings.effective(session, track)[1], listing_sha256)
    if decision == "approved" and track.verdict == "block" and not note:
        raise InputError(
            f"track {track_id} resembles a work of the library too much (see its originality.json)."
            " Say in the note why it may go out all the same."
        )
    content = content_sha256(session, track)
    approval = Approval(
        track_id=track.id,
        package_sha256=content,
        decision=decision,
        privacy=privacy,
        note=note,
        decided_by=actor,
    )
    session.add(approval)
    track.state = decision
    _touch(track)
    record(
        session, actor, decision, "track", track.id,
        package_sha256=content, privacy=privacy, note=note,
    )  # fmt: skip
    session.flush()
    return approval


def content_sha256(session: Session, track: Track) -> str:
    """What a decision is about: the package, and its listing where a person changed it."""
    edited = session.scalar(_EDITED, {"id": track.id})
    if edited is None:
        return track.package_sha256
    return hashlib.sha256(f"{track.package_sha256} {edited}".encode()).hexdigest()


def standing_approval(session: Session, track: Track) -> Approval | None:
    """The approval that holds for a track's bytes as they are now, if the last decision is one.

    A package made anew, or a listing changed since, has none.
    """
    last = _last_decision(session, track)
    return last if last and last.decision == "approved" and track.deleted_at is None else None


def _last_decision(session: Session, track: Track) -> Approval | None:
    """The last decision about a track's bytes as they are now."""
    return session.scalar(
        sa.select(Approval)
        .where(
            Approval.track_id == track.id,
            Approval.package_sha256 == content_sha256(session, track),
        )
        .order_by(Approval.id.desc())
        .limit(1)
    )


def settle(session: Session, track: Track) -> None:
    """Give a track whose bytes have changed the state that was decided for them, or `review`."""
    last = _last_decision(session, track)
    track.state = last.decision if last else "review"
    _touch(track)


# Its package ------------------------------------------------------------------------------------


def put_package(
    session: Session, facts: dict[str, Any], *, job_id: str, package_sha256: str
) -> Track:
    """Have a track be the package that a job made; a new one is put on the shelf.

    `facts` are its `track.json`, `package_sha256` the hash of that file. What a person has decided
    about exactly these bytes holds again; else they wait to be looked at. A track that is there
    keeps its title, which may be a person's.
    """
    track = session.get(Track, facts["id"])
    if track is None:
        track = Track(id=facts["id"], title=facts["title"], tags=[], note="", state="review")
        session.add(track)
    brief, measured = facts["brief"], facts["measured"]
    track.mood, track.seed = brief["mood"], brief["seed"]
    track.palette, track.template = brief["palette"], brief["template"]
    track.bpm, track.key = measured["bpm"], measured["key"] or facts["plan"]["key"]
    track.duration_s, track.lufs = measured["duration_s"], measured["lufs"]
    track.verdict, track.facts = facts["originality"]["verdict"], facts
    track.search = search_text(track)
    track.job_id, track.package_sha256 = job_id, package_sha256
    track.updated_at = track.updated_at or now()
    session.flush()
    settle(session, track)
    return track


def release_states(session: Session, track_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The newest release of each of some tracks, where there is one that was not cancelled."""
    rows = session.scalars(
        sa.select(Release)
        .where(Release.track_id.in_(track_ids), Release.state != "cancelled")
        .order_by(Release.id)
    )
    return {
        r.track_id: {
            "id": r.id,
            "platform": r.platform,
            "state": r.state,
            "privacy": r.privacy,
            "publish_at": told(r.publish_at),
            "remote_id": r.remote_id,
            "error": r.error,
        }
        for r in rows
    }


def counts(session: Session) -> dict[str, int]:
    """How many tracks there are in each state; `deleted` are in none of them."""
    rows = session.execute(
        sa.select(Track.state, sa.func.count())
        .where(Track.deleted_at.is_(None))
        .group_by(Track.state)
    )
    away = sa.select(sa.func.count()).select_from(Track).where(Track.deleted_at.is_not(None))
    found = dict.fromkeys(STATES, 0) | {row[0]: row[1] for row in rows}
    return found | {"deleted": session.scalar(away) or 0}


# Deleting --------------------------------------------------------------------------------------


def delete(session: Session, track_id: str, *, actor: str, version: str | None = None) -> Track:
    """Put a track away: `restore` gives it back within 30 days.

    Raises NotFoundError, and StaleError if it is no longer of `version`.
    """
    track = find(session, track_id, lock=True)
    _require_version(track, version)
    track.deleted_at = now()
    _touch(track)
    record(session, actor, "deleted", "track", track.id)
    return track


def restore(session: Session, track_id: str, *, actor: str) -> Track:
    """Give back a track that was deleted. Raises NotFoundError, ConflictError if it is too late."""
    track = find(session, track_id, lock=True, deleted=True)
    if track.deleted_at is None:
        return track
    if now() - track.deleted_at > KEEP or not files(session, track.job_id):
        raise ConflictError(
            f"track {track_id} was deleted more than {KEEP.days} days ago: its files are gone. "
            "Order it again with the same brief and seed."
        )
    track.deleted_at = None
    _touch(track)
    record(session, actor, "restored", "track", track.id)
    return track


def purge(session: Session, *, actor: str, before: datetime | None = None) -> list[str]:
    """Forget the files of tracks that were deleted more than 30 days ago; gives their ids.

    Their records go, and those of their files, which the garbage collector then frees unless
    another job has the same. A track that was released keeps its row: it is history.
    """
    released = sa.exists().where(Release.track_id == Track.id)
    has_files = sa.exists().where(Artifact.job_id == Track.job_id)
    tracks = session.scalars(
        sa.select(Track)
        .options(defer(Track.facts))
        .where(Track.deleted_at < (before or now() - KEEP), sa.or_(has_files, ~released))
        .order_by(Track.id)
        .with_for_update()
    ).all()
    for track in tracks:
        jobs = list(session.scalars(sa.select(Job.id).where(Job.track_id == track.id)))
        jobs = list({*jobs, track.job_id})
        # No later job may count on the files of these stages.
        session.execute(sa.update(JobStage).where(JobStage.job_id.in_(jobs)).values(key=None))
        session.execute(sa.delete(Artifact).where(Artifact.job_id.in_(jobs)))
        record(session, actor, "purged", "track", track.id, jobs=sorted(jobs))
        if not session.scalar(sa.select(Release.id).where(Release.track_id == track.id).limit(1)):
            session.execute(sa.update(Job).where(Job.id.in_(jobs)).values(track_id=None))
            session.execute(sa.delete(Approval).where(Approval.track_id == track.id))
            session.execute(sa.delete(Listing).where(Listing.track_id == track.id))
            session.delete(track)
    session.flush()
    return [track.id for track in tracks]
