"""The tables: what the studio remembers. The same on SQLite and PostgreSQL.

Moments are UTC. JSON columns hold plain values. Events are appended and never changed: triggers
made by the migrations refuse it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


class Moment(sa.types.TypeDecorator[datetime]):
    """A moment in UTC. SQLite forgets the zone, so it is given back on reading."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; a moment without a zone is a mistake of ours."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """In UTC, with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Table(DeclarativeBase):
    """What all tables share: JSON for dicts and lists, UTC for moments, and named constraints."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy reads it from the class)
        dict[str, Any]: sa.JSON,
        list[str]: sa.JSON,
        datetime: Moment,
    }


_LISTED = ("deleted_at", "created_at", "id", "state", "mood", "key", "palette", "verdict", "bpm",
           "duration_s")  # fmt: skip
_LISTED_OF_MOOD = ("deleted_at", "mood", *(c for c in _LISTED if c not in ("deleted_at", "mood")))


class Track(Table):
    """A finished track. `package_sha256` stands for all bytes of its package.

    state: `review` (waits for a person), `approved`, `rejected`. One that was deleted keeps its row
    and its files for 30 days.
    """

    __tablename__ = "tracks"
    # All one filters and sorts by: a page of 10,000 is found without reading their rows. On SQLite
    # also what one searches in, which may be longer than PostgreSQL takes into an index. By mood
    # they are looked for most.
    __table_args__ = (
        sa.Index("ix_tracks_listed", *_LISTED, info={"only": "postgresql"}),
        sa.Index("ix_tracks_searched", *_LISTED, "search", info={"only": "sqlite"}),
        sa.Index("ix_tracks_of_mood", *_LISTED_OF_MOOD),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    state: Mapped[str] = mapped_column(default="review")
    mood: Mapped[str]
    bpm: Mapped[float]
    key: Mapped[str]
    duration_s: Mapped[float]
    seed: Mapped[int] = mapped_column(sa.BigInteger)
    palette: Mapped[str]
    template: Mapped[str]
    verdict: Mapped[str]
    lufs: Mapped[float]
    tags: Mapped[list[str]] = mapped_column(default=list)
    note: Mapped[str] = mapped_column(default="")
    search: Mapped[str]  # what a search looks in: lower case
    job_id: Mapped[str] = mapped_column(sa.ForeignKey("jobs.id"), index=True)
    package_sha256: Mapped[str] = mapped_column(sa.String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)
    deleted_at: Mapped[datetime | None]
    # track.json: last, as SQLite reads through all that stands before what it looks for.
    facts: Mapped[dict[str, Any]]


class Job(Table):
    """One order: a track to be made from a commission.

    state: `queued`, `running`, `waiting` (for its next try), `done`, `failed`, `cancelled`. `epoch`
    counts how often it was handed out: what a worker that was taken for dead still wants to write
    under an older epoch is refused.
    """

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(default="track")
    batch_id: Mapped[str | None] = mapped_column(sa.String(32), index=True)
    title: Mapped[str]
    commission: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(default="queued", index=True)
    lane: Mapped[str]
    epoch: Mapped[int] = mapped_column(default=1)
    tries: Mapped[int] = mapped_column(default=0)  # that failed for what may pass
    priority: Mapped[int] = mapped_column(default=5)  # 1 goes first
    not_before: Mapped[datetime | None]
    delay_s: Mapped[float] = mapped_column(default=0.0)  # how far away `not_before` was when set
    worker_id: Mapped[str | None] = mapped_column(sa.String(64), index=True)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    dedup_key: Mapped[str | None] = mapped_column(unique=True)
    error: Mapped[str | None]
    requested_by: Mapped[str]
    track_id: Mapped[str | None] = mapped_column(index=True)
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class JobStage(Table):
    """A stage of a job. state: `waiting`, `running`, `done`, `failed`.

    `key` stands for all that decides the stage's bytes: a stage of another job with the same key
    has made the same files, which are taken over (`reused_from`) and not made again.
    """

    __tablename__ = "job_stages"
    __table_args__ = (sa.Index("ix_job_stages_finished", "state", "finished_at"),)

    job_id: Mapped[str] = mapped_column(sa.ForeignKey("jobs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    place: Mapped[int]
    state: Mapped[str] = mapped_column(default="waiting")
    key: Mapped[str | None] = mapped_column(sa.String(64), index=True)
    progress: Mapped[float] = mapped_column(default=0.0)
    runs: Mapped[int] = mapped_column(default=0)  # how often it was begun
    reused_from: Mapped[str | None] = mapped_column(sa.String(32))
    worker_id: Mapped[str | None] = mapped_column(sa.String(64))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Artifact(Table):
    """A file that a stage made, by its content's hash. kind: `audio`, `video`, `image`, …"""

    __tablename__ = "artifacts"
    __table_args__ = (
        sa.ForeignKeyConstraint(["job_id", "stage"], ["job_stages.job_id", "job_stages.name"]),
    )

    job_id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    stage: Mapped[str]
    kind: Mapped[str]
    media_type: Mapped[str]
    sha256: Mapped[str] = mapped_column(sa.String(64), index=True)
    size: Mapped[int] = mapped_column(sa.BigInteger)


class Approval(Table):
    """What a person decided about exactly these bytes. decision: `approved` or `rejected`."""

    __tablename__ = "approvals"

    id: Mapped[int] = mapped_column(primary_key=True)
    track_id: Mapped[str] = mapped_column(sa.ForeignKey("tracks.id"), index=True)
    package_sha256: Mapped[str] = mapped_column(sa.String(64))
    decision: Mapped[str]
    privacy: Mapped[str] = mapped_column(default="private")
    note: Mapped[str] = mapped_column(default="")
    decided_by: Mapped[str]
    decided_at: Mapped[datetime] = mapped_column(default=now)


class Release(Table):
    """A track on its way to a platform, or there. `session_uri` is that of a resumable upload.

    state: `planned` (waits for its turn), `uploading`, `uploaded` (there, and not yet public),
    `published`, `missed` (its moment passed while nothing ran: a person decides), `failed`,
    `needs_attention` (nobody can say whether it is there: a person looks), `cancelled`.
    """

    __tablename__ = "releases"

    id: Mapped[int] = mapped_column(primary_key=True)
    track_id: Mapped[str] = mapped_column(sa.ForeignKey("tracks.id"), index=True)
    approval_id: Mapped[int | None] = mapped_column(sa.ForeignKey("approvals.id"))
    platform: Mapped[str]
    state: Mapped[str] = mapped_column(index=True)
    privacy: Mapped[str] = mapped_column(default="private")
    publish_at: Mapped[datetime | None] = mapped_column(index=True)
    session_uri: Mapped[str | None]
    remote_id: Mapped[str | None] = mapped_column(unique=True)
    worker_id: Mapped[str | None] = mapped_column(sa.String(64))  # who uploads it now
    error: Mapped[str | None]  # what went wrong, and what to do
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)


class Listing(Table):
    """What is said of a track: as it was drawn, and as a person changed it.

    Written when a track is ordered, so that the orders after it draw other words: `name`, `title`
    and `opening` are what they are compared with. `drawn` is the package's listing.json, once there
    is one, and `edited` what a person made of it, with its hash. `commission_sha256` finds the take
    of an earlier order of the same.
    """

    __tablename__ = "listings"

    track_id: Mapped[str] = mapped_column(primary_key=True)  # the track may not be there yet
    commission_sha256: Mapped[str] = mapped_column(sa.String(64), index=True)
    take: Mapped[int]
    name: Mapped[str]
    title: Mapped[str]
    opening: Mapped[str]
    drawn: Mapped[dict[str, Any] | None]
    edited: Mapped[dict[str, Any] | None]
    edited_sha256: Mapped[str | None] = mapped_column(sa.String(64))
    edited_by: Mapped[str | None]
    edited_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)


class Schedule(Table):
    """Work or releases that come round: a cron expression in a time zone."""

    __tablename__ = "schedules"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    cron: Mapped[str]
    time_zone: Mapped[str] = mapped_column(default="UTC")
    what: Mapped[dict[str, Any]] = mapped_column(default=dict)
    enabled: Mapped[bool] = mapped_column(default=True)
    last_at: Mapped[datetime | None]


class Comment(Table):
    """A comment on the channel, as the platform told it, and what was made of it here.

    Without `release_id` it is under a video (`video_id`) that was not released from here, or, with
    neither, on the channel's page. state: `published`, `held`, `spam`, `rejected`. `category` and
    `confidence` are guessed from the text; without a confidence a person said it. `reply` is a
    draft that a person edits; reply_state: `sending` (it may have arrived), `sent`, `unclear` (a
    person must look). `handled_at` says that it needs nobody any more; `seen_at`, when the platform
    last told of it.
    """

    __tablename__ = "comments"
    __table_args__ = (
        sa.Index("ix_comments_listed", "state", "published_at", "id"),
        sa.Index("ix_comments_author", "author_id", "published_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    release_id: Mapped[int | None] = mapped_column(sa.ForeignKey("releases.id"), index=True)
    video_id: Mapped[str | None] = mapped_column(index=True)
    parent_id: Mapped[str | None] = mapped_column(index=True)
    author: Mapped[str]
    author_id: Mapped[str]
    ours: Mapped[bool] = mapped_column(default=False)  # the channel's own
    text: Mapped[str]
    state: Mapped[str]
    category: Mapped[str | None]
    confidence: Mapped[float | None]
    likes: Mapped[int] = mapped_column(default=0)
    replies: Mapped[int] = mapped_column(default=0)  # in its thread, if it begins one
    can_reply: Mapped[bool] = mapped_column(default=True)
    reply: Mapped[str | None]
    reply_state: Mapped[str | None] = mapped_column(index=True)
    reply_id: Mapped[str | None]  # the comment that was sent
    reply_at: Mapped[datetime | None]
    handled_at: Mapped[datetime | None]
    handled_by: Mapped[str | None]
    published_at: Mapped[datetime]
    updated_at: Mapped[datetime] = mapped_column(default=now)
    seen_at: Mapped[datetime] = mapped_column(default=now)


class Metric(Table):
    """One figure of a release (or of the channel, without one) at one moment: a time series."""

    __tablename__ = "analytics"
    __table_args__ = (sa.Index("ix_analytics_series", "release_id", "name", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    release_id: Mapped[int | None] = mapped_column(sa.ForeignKey("releases.id"))
    name: Mapped[str]
    value: Mapped[float]
    at: Mapped[datetime]


class Credential(Table):
    """The key to an account on a platform, encrypted, and whose account it is.

    `problem` is what a person must do something about; the key is kept all the same.
    """

    __tablename__ = "credentials"

    platform: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]
    account: Mapped[str]  # its name
    scopes: Mapped[list[str]]
    sealed: Mapped[str]
    problem: Mapped[str | None]
    connected_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(default=now)


class Quota(Table):
    """What was used of a bucket of a platform's quota on a day of the platform's calendar."""

    __tablename__ = "quota"

    platform: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[str] = mapped_column(sa.String(10), primary_key=True)  # 2026-11-28
    used: Mapped[int] = mapped_column(default=0)


class Experiment(Table):
    """Two or more thumbnails or titles of a release, shown by turns.

    state: `running`, `decided`, `undecided` (ended without a winner), `stopped`. `arms` and `turns`
    are plain values: what is shown, and from when to when it was.
    """

    __tablename__ = "experiments"

    id: Mapped[int] = mapped_column(primary_key=True)
    release_id: Mapped[int] = mapped_column(sa.ForeignKey("releases.id"), index=True)
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(default="running", index=True)
    arms: Mapped[dict[str, Any]]
    turns: Mapped[dict[str, Any]] = mapped_column(default=dict)
    winner: Mapped[str | None]
    started_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(default=now)


class Preference(Table):
    """A value a person set in the studio, by name."""

    __tablename__ = "preferences"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[dict[str, Any]]
    updated_at: Mapped[datetime] = mapped_column(default=now)
    updated_by: Mapped[str]


class Event(Table):
    """Who did what to which thing: appended only."""

    __tablename__ = "events"
    __table_args__ = (sa.Index("ix_events_subject", "kind", "subject"),)

    id: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True
    )
    at: Mapped[datetime] = mapped_column(default=now)
    actor: Mapped[str]
    verb: Mapped[str]
    kind: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Token(Table):
    """A key to the API: only its hash is kept. It may do what its scopes name."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(sa.String(64), unique=True)
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Session(Table):
    """A browser that is logged in: only the hash of its cookie is kept."""

    __tablename__ = "sessions"

    sha256: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    agent: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime] = mapped_column(default=now)


class Worker(Table):
    """A process that takes jobs. Its `beat` goes up while it lives; `ended_at` says it does not."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    lanes: Mapped[list[str]]
    version: Mapped[str]
    beat: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    started_at: Mapped[datetime] = mapped_column(default=now)
    seen_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None] = mapped_column(index=True)


class Answer(Table):
    """What was answered to a request with an idempotency key: asked again, it is told again."""

    __tablename__ = "answers"

    principal: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_sha256: Mapped[str] = mapped_column(sa.String(64))
    status: Mapped[int]
    body: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)
