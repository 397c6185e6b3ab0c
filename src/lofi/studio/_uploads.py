"""Releases carried out: uploaded at most once, finished with thumbnail and playlist, watched.

What makes it at most once:

1. A release is claimed by one worker, which must live (see `_worker`) to keep it.
2. The URI of the upload session is stored, where none is stored yet, before the first byte is sent.
   Bytes are sent to the stored session only, and one session makes one video. So a worker that was
   taken for dead and comes back can do no harm, and killed anywhere the next one goes on to the
   byte: it asks the session how much is there.
3. A session that YouTube has forgotten may or may not have made a video. Nobody guesses: the
   release waits for a person (`needs_attention`).

Before the session is stored the approval is looked up once more, in the same transaction.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.brief import InputError, LofiError
from lofi.channel import (
    CHUNK,
    AmbiguousError,
    AuthError,
    QuotaError,
    StoppedError,
    TransientError,
    Upload,
    UploadLimitError,
    YouTube,
    add_to_playlist,
    find_lookalikes,
    insert_call,
    next_reset,
    open_session,
    read_states,
    read_video,
    set_thumbnail,
    update_video,
    wider,
)
from lofi.studio import _accounts, _releases, _tracks
from lofi.studio._deliver import Others
from lofi.studio._errors import ConflictError
from lofi.studio._events import record
from lofi.studio._releases import PLATFORM, gate, read_package, told
from lofi.studio._studio import Studio
from lofi.studio._tables import Credential, Release, Worker, now

AHEAD = timedelta(hours=6)  # before its moment a public release is uploaded, private until then
TOO_NEAR = timedelta(minutes=5)  # to be left to YouTube's own clock
SLICE_S = 30.0  # of uploading at a stretch: other rounds want their turn, too
LIMITED = timedelta(hours=24)  # how long a channel rests that has uploaded too much
DELAYS = tuple(timedelta(seconds=s) for s in (30, 120, 600, 1800))  # after what may pass
TRIES = 8  # of what may pass or not, such as a storage that does not answer
_TOLD_EVERY_S = 1.0

# When a video is looked at again that is not yet what it should be.
_LOOKS = tuple(timedelta(seconds=s) for s in (30, 60, 120, 300, 600, 1800))

_FAILED = {
    "conversion": "it could not be converted",
    "invalidFile": "the file is no video it knows",
    "emptyFile": "the file is empty",
    "tooSmall": "the file is too small",
    "codec": "it does not know the codec",
    "uploadAborted": "the upload was not finished",
    "copyright": "of a copyright",
    "inappropriate": "it is against its guidelines",
    "duplicate": "the channel has the same video already",
    "termsOfUse": "it is against its terms of use",
    "uploaderAccountSuspended": "the account is suspended",
    "length": "it is too long: verify the channel by phone",
    "claim": "of a claim by an owner of rights",
    "uploaderAccountClosed": "the account is closed",
    "trademark": "of a trademark",
    "legal": "of a legal reason that it does not tell",
}


class _LostError(Exception):
    """The release is no longer ours: another worker has it, or it was cancelled."""


# The rounds ------------------------------------------------------------------------------------


def upload_due(studio: Studio) -> None:
    """Upload what is due; see `carry_due`."""
    rounds, worker = studio.rounds, studio.worker
    if worker is not None:
        carry_due(studio, worker.id, go_on=lambda: not (rounds and rounds.closing))


def carry_due(
    studio: Studio,
    worker_id: str,
    *,
    go_on: Callable[[], bool] = lambda: True,
    slice_s: float = SLICE_S,
    chunk: int = CHUNK,
) -> int:
    """Upload releases whose turn has come, for so long at most; gives how many are there now.

    Raises LofiError where releases are due and nothing can be uploaded at all.
    """
    with studio.database.read() as session:
        late = session.scalar(sa.select(Release.id).where(_late()).limit(1))
        due = _due(session)
    if late is not None:
        with studio.database.write() as session:
            _mark_missed(session)
    if not due:
        return 0
    with studio.database.read() as session:
        _releases.require_ready(session, studio.settings())
        _releases.require_account(session)
        _releases.require_no_pause(session)
    ends, done = time.monotonic() + slice_s, 0
    api = _accounts.client_of(studio)
    for release_id in due:
        if not go_on() or time.monotonic() > ends:
            break
        job = _Job(studio, api, release_id, worker_id, go_on, ends, chunk)
        done += job.carry_out()
    return done


def upload_now(studio: Studio, tell: Callable[[list[dict[str, Any]]], None]) -> int:
    """Upload what is due in this process, as nobody else works; gives how many are there now.

    `tell` gets the views of what is left, now and then. Raises ConflictError where somebody else
    works, and LofiError where nothing can be uploaded.
    """
    if Others(studio).surely_work():
        raise ConflictError(
            "a server or worker is at work, and uploads by itself what is due. `lofi releases` "
            "shows how far it is."
        )
    worker, done = studio.work(["network"], rounds=False), 0
    try:
        while True:
            with studio.database.read() as session:
                due = [_releases.view(session, release_id) for release_id in _due(session)]
            tell(due)
            if not due:
                break
            done += carry_due(studio, worker.id)
        look_after(studio)
    finally:
        studio.stop_work()
    return done


def look_after(studio: Studio) -> None:
    """See to the videos that are there: what is missing of them, and whether they are published.

    Raises LofiError where YouTube cannot be asked.
    """
    moment = now()
    with studio.database.read() as session:
        rows = session.scalars(
            sa.select(Release)
            .where(
                Release.platform == PLATFORM,
                Release.state == "uploaded",
                Release.detail["settled"].as_boolean().is_not(True),
            )
            .order_by(Release.id)
        ).all()
        rows = [r for r in rows if _is_to_be_seen_to(r, moment)]
        if not rows:
            return
        _releases.require_account(session)
    api = _accounts.client_of(studio)
    for row in rows:
        finish(studio, api, row.id)
    looked_at = [r for r in rows if r.remote_id and _is_to_be_looked_at(r, moment)]
    states = read_states(api, [str(r.remote_id) for r in looked_at]) if looked_at else {}
    for row in looked_at:
        with studio.database.write() as session:
            release = _releases.find(session, row.id, lock=True)
            if release.state == "uploaded" and release.remote_id == row.remote_id:
                _judge(session, release, states.get(str(row.remote_id)))


# Which -----------------------------------------------------------------------------------------


def _late() -> sa.ColumnElement[bool]:
    return sa.and_(
        Release.platform == PLATFORM,
        Release.state == "planned",
        Release.publish_at < now() - _releases.MISSED_AFTER,
    )


def _mark_missed(session: Session) -> None:
    """Moments that passed while nothing ran: a person decides, so that none go out in a burst."""
    for release in session.scalars(sa.select(Release).where(_late()).with_for_update()):
        release.state, release.updated_at = "missed", now()
        release.error = (
            f"its moment, {release.publish_at:%Y-%m-%d %H:%M} UTC, passed while it could not go "
            f"out. Plan it anew, or have it go at once: `lofi releases retry {release.id}`."
        )
        record(
            session, "youtube", "missed", "release", str(release.id),
            track_id=release.track_id, publish_at=_releases.told(release.publish_at),
        )  # fmt: skip


def _due(session: Session) -> list[int]:
    """Releases to be uploaded now: what was begun first, then by their moments."""
    moment = now()
    rows = session.scalars(
        sa.select(Release)
        .where(
            Release.platform == PLATFORM,
            Release.state.in_(("planned", "uploading")),
            sa.or_(
                Release.publish_at.is_(None),
                Release.publish_at.between(moment - _releases.MISSED_AFTER, moment + AHEAD),
                Release.state == "uploading",
            ),
        )
        .order_by(Release.state.desc(), Release.publish_at, Release.id)
        .limit(_releases.MOST_AT_ONCE)
    ).all()
    return [row.id for row in rows if _is_due(row, moment)]


def _is_due(release: Release, moment: datetime) -> bool:
    """A public release goes up ahead of its moment, and YouTube publishes it; others at it."""
    if _waits(release.detail, moment):
        return False
    at = release.publish_at
    if release.state == "uploading" or at is None or at <= moment:
        return True
    return release.privacy == "public" and TOO_NEAR <= at - moment <= AHEAD


def _waits(told: Mapping[str, Any], moment: datetime) -> bool:
    until = told.get("not_before")
    return until is not None and datetime.fromisoformat(until) > moment


# One of them -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Job:
    """A release in the hands of a worker."""

    studio: Studio
    api: YouTube
    release_id: int
    worker_id: str
    go_on: Callable[[], bool]
    ends: float  # on the monotonic clock: then the next round has its turn
    chunk: int
    told_at: float = 0.0

    @property
    def actor(self) -> str:
        return f"worker:{self.worker_id}"

    def carry_out(self) -> bool:
        """Upload it as far as it goes; whether it is there.

        Raises QuotaError, UploadLimitError and AuthError: no other could be uploaded, either.
        """
        if not self._claim():
            return False
        try:
            self._upload()
        except _LostError:
            return False
        except StoppedError:
            self._put_back(None)
            return False
        except QuotaError as error:
            self._put_back(error, next_reset(now()))
            raise
        except UploadLimitError as error:
            until = now() + LIMITED
            with self.studio.database.write() as session:
                _releases.pause_uploads(session, until, str(error))
            self._put_back(error, until)
            raise
        except AuthError as error:
            self._put_back(error, now() + DELAYS[0])
            _accounts.note_problem(self.studio, str(error))
            raise
        except TransientError as error:
            self._put_back(error, self._next_try())
        except AmbiguousError as error:
            self._settle("needs_attention", error)
        except InputError as error:
            self._settle("failed", error)
        except LofiError as error:
            if self._tries() >= TRIES:
                self._settle("failed", error)
            else:
                self._put_back(error, self._next_try())
        else:
            finish(self.studio, self.api, self.release_id)
            return True
        return False

    def _claim(self) -> bool:
        """Take it, unless it is in the hands of one who lives."""
        living = sa.select(Worker.id).where(Worker.ended_at.is_(None))
        free = sa.or_(
            Release.state == "planned",
            sa.and_(
                Release.state == "uploading",
                sa.or_(
                    Release.worker_id.is_(None),
                    Release.worker_id == self.worker_id,
                    Release.worker_id.not_in(living),
                ),
            ),
        )
        with self.studio.database.write() as session:
            taken = session.execute(
                sa.update(Release)
                .where(Release.id == self.release_id, free)
                .values(state="uploading", worker_id=self.worker_id, updated_at=now())
            )
            if taken.rowcount != 1:  # type: ignore[attr-defined]
                return False
            release = _releases.find(session, self.release_id)
            record(
                session, self.actor, "took", "release", str(release.id),
                track_id=release.track_id, resumed=release.session_uri is not None,
            )  # fmt: skip
        return True

    def _mine(self, session: Session) -> Release:
        """The release, locked, if it is still ours."""
        release = _releases.find(session, self.release_id, lock=True)
        if release.state != "uploading" or release.worker_id != self.worker_id:
            raise _LostError
        return release

    def _upload(self) -> None:
        with self.studio.database.read() as session:
            release = self._mine(session)
            uri, detail = release.session_uri, release.detail
        fresh = uri is None
        if uri is None:
            uri, detail = self._open(release)
        else:
            self._require_the_same(release)
        sha256, size = detail["video_sha256"], detail["size"]
        sending = Upload(
            self.api,
            uri,
            size,
            lambda start, stop: self.studio.storage.read(sha256, start, stop),
            self._note_held,
            go_on=self.go_on,
            chunk=self.chunk,
        )
        self._note_done(uri, sending.run(fresh=fresh))

    def _open(self, release: Release) -> tuple[str, dict[str, Any]]:
        """Open an upload session and store it; gives its URI and what is remembered of it."""
        moment = now()
        at = release.publish_at
        if at is not None and at <= moment:
            at = None
        if at is not None and (release.privacy != "public" or at - moment < TOO_NEAR):
            raise TransientError("its moment has not come yet.")  # it came nearer meanwhile
        with self.studio.database.read() as session:
            self._gate(session, release.privacy)
        package = read_package(self.studio, release.track_id)
        self._require_whole(package.video.sha256)
        self._require_fit(release, at)
        params, body = insert_call(package.listing, privacy=release.privacy, publish_at=at)
        uri = open_session(self.api, params, body, size=package.video.size)
        with self.studio.database.write() as session:
            release = self._mine(session)
            approval = self._gate(session, release.privacy, package.content_sha256)
            row = session.get(Credential, PLATFORM)
            detail = {
                **{k: v for k, v in release.detail.items() if k not in ("not_before", "tries")},
                "package_sha256": package.package_sha256,
                "content_sha256": package.content_sha256,
                "video_sha256": package.video.sha256,
                "size": package.video.size,
                "held": 0,
                "thumbnail_sha256": package.thumbnail.sha256 if package.thumbnail else None,
                "title": body["snippet"].get("title", ""),
                "sent_privacy": body["status"]["privacyStatus"],
                "account_id": row.account_id if row else None,
                "opened_at": now().isoformat(),
            }
            stored = session.execute(
                sa.update(Release)
                .where(Release.id == release.id, Release.session_uri.is_(None))
                .values(session_uri=uri, detail=detail, approval_id=approval, error=None)
            )
            if stored.rowcount != 1:  # type: ignore[attr-defined]
                raise _LostError
            record(
                session, self.actor, "began", "release", str(release.id),
                track_id=release.track_id, approval_id=approval, listing=body, size=detail["size"],
            )  # fmt: skip
        return uri, detail

    def _gate(self, session: Session, privacy: str, content_sha256: str | None = None) -> int:
        """The approval of the track as it is now, and of exactly these bytes. Raises InputError."""
        release = _releases.find(session, self.release_id)
        track = _tracks.find(session, release.track_id)
        approval = gate(session, track, privacy)
        if content_sha256 not in (None, approval.package_sha256):
            raise InputError(f"track {track.id} was changed meanwhile. Approve it as it is now.")
        return approval.id

    def _require_the_same(self, release: Release) -> None:
        """That what was begun may be finished. Raises AmbiguousError: bytes may be there."""
        with self.studio.database.read() as session:
            row = session.get(Credential, PLATFORM)
            try:
                self._gate(session, release.privacy, release.detail["content_sha256"])
                if row is not None and row.account_id != release.detail["account_id"]:
                    raise InputError("another YouTube account was connected meanwhile.")
            except InputError as error:
                raise AmbiguousError(
                    f"{error} The upload had begun, and may even be complete: look at YouTube "
                    f"Studio, then say which: `lofi releases resolve {release.id}`."
                ) from error

    def _require_fit(self, release: Release, at: datetime | None) -> None:
        """That no rule of the preflight keeps it back. Raises InputError that names them."""
        found = _releases.refusals(
            self.studio, release.track_id, privacy=release.privacy, publish_at=at
        )
        if found:
            raise InputError(
                f"{' '.join(found)} `lofi preflight {release.track_id}` tells more; put it right, "
                f"approve the track anew, then `lofi releases retry {release.id}`."
            )

    def _require_whole(self, sha256: str) -> None:
        """That the stored bytes are those that were approved. Raises LofiError."""
        digest = hashlib.sha256()
        for piece in self.studio.storage.read(sha256):
            digest.update(piece)
        if digest.hexdigest() != sha256:
            raise InputError("the video is damaged in the storage. Restore it from a backup.")

    def _note_held(self, held: int) -> None:
        """Note how much YouTube holds, once a second. Raises what ends the upload for now."""
        moment = time.monotonic()
        if moment - self.told_at >= _TOLD_EVERY_S:
            self.told_at = moment
            with self.studio.database.write() as session:
                release = self._mine(session)
                kept = {k: v for k, v in release.detail.items() if k not in ("not_before", "tries")}
                release.detail, release.error = {**kept, "held": held}, None
        else:
            with self.studio.database.read() as session:
                self._mine(session)
        if moment > self.ends:
            raise StoppedError

    def _note_done(self, uri: str, video: dict[str, Any]) -> None:
        """The session has made a video: whoever is told of it writes it down."""
        there = video.get("status", {}).get("privacyStatus")
        with self.studio.database.write() as session:
            release = _releases.find(session, self.release_id, lock=True)
            if release.session_uri != uri:  # somebody has said meanwhile that it is not there
                if release.remote_id != video["id"]:
                    release.error = (
                        f"video {video['id']} came of an upload that was given up for lost. Look "
                        "at YouTube Studio, and delete one of two."
                    )
                    record(
                        session, self.actor, "found", "release", str(release.id),
                        track_id=release.track_id, video_id=video["id"],
                    )  # fmt: skip
                return
            was = release.state
            release.state, release.remote_id = "uploaded", video["id"]
            release.session_uri = release.worker_id = release.error = None
            if was == "cancelled":
                release.error = (
                    "it was cancelled when all of it was on its way: it is on YouTube. Delete it "
                    "in YouTube Studio if it is not wanted."
                )
            detail = {k: v for k, v in release.detail.items() if k not in ("not_before", "tries")}
            steps = {"privacy": {"wanted": True}} if wider(there, detail["sent_privacy"]) else {}
            release.detail = {
                **detail, "held": detail["size"], "privacy_there": there, "steps": steps,
            }  # fmt: skip
            release.updated_at = now()
            record(
                session, self.actor, "uploaded", "release", str(release.id),
                track_id=release.track_id, video_id=video["id"], privacy_there=there,
            )  # fmt: skip

    def _put_back(self, error: LofiError | None, until: datetime | None = None) -> None:
        """Let go of it: it goes on another time, from where it is."""
        with self.studio.database.write() as session:
            try:
                release = self._mine(session)
            except _LostError:
                return
            release.worker_id = None
            if release.session_uri is None:
                release.state = "planned"
            if error is not None and until is not None:
                tries = release.detail.get("tries", 0) + 1
                release.detail = {
                    **release.detail, "not_before": until.isoformat(), "tries": tries,
                }  # fmt: skip
                release.error = str(error)
                record(
                    session, self.actor, "will try again", "release", str(release.id),
                    track_id=release.track_id, error=str(error), not_before=until.isoformat(),
                )  # fmt: skip
            release.updated_at = now()

    def _settle(self, state: str, error: LofiError) -> None:
        with self.studio.database.write() as session:
            try:
                release = self._mine(session)
            except _LostError:
                return
            release.state, release.error, release.worker_id = state, str(error), None
            if state == "failed":
                release.session_uri = None  # no byte is sent there any more
            release.updated_at = now()
            record(
                session, self.actor, state.replace("_", " "), "release", str(release.id),
                track_id=release.track_id, error=str(error),
            )  # fmt: skip

    def _tries(self) -> int:
        with self.studio.database.read() as session:
            return _releases.find(session, self.release_id).detail.get("tries", 0)

    def _next_try(self) -> datetime:
        return now() + DELAYS[min(self._tries(), len(DELAYS) - 1)]


# What is done to a video that is there -----------------------------------------------------------


def _is_to_be_seen_to(release: Release, moment: datetime) -> bool:
    return _is_to_be_looked_at(release, moment) or any(
        _is_pending(release, name, moment) for name in _STEPS
    )


def _is_to_be_looked_at(release: Release, moment: datetime) -> bool:
    at = release.detail.get("look_at")
    return at is None or datetime.fromisoformat(at) <= moment


def _is_pending(release: Release, name: str, moment: datetime) -> bool:
    step = release.detail.get("steps", {}).get(name, {})
    if "done" in step or "given_up" in step or _waits(step, moment):
        return False
    return _STEPS[name].wanted(release)


@dataclass(frozen=True, slots=True)
class _Step:
    """Something that is done to a video once. `do` may be done again without harm."""

    wanted: Callable[[Release], bool]
    do: Callable[[Studio, YouTube, Release], Any]


def _thumbnail(studio: Studio, api: YouTube, release: Release) -> str:
    sha256 = release.detail["thumbnail_sha256"]
    set_thumbnail(api, str(release.remote_id), b"".join(studio.storage.read(sha256)))
    return str(sha256)


def _playlist(_studio: Studio, api: YouTube, release: Release) -> str:
    return add_to_playlist(api, release.detail["playlist"], str(release.remote_id))


def _privacy(studio: Studio, api: YouTube, release: Release) -> dict[str, Any]:
    """Have the video be as public as was asked for, and not more than was approved."""
    moment, at = now(), release.publish_at
    if at is not None and at <= moment:
        at = None
    if at is not None and at - moment < TOO_NEAR:
        raise _NotYetError(at)
    if release.privacy != "private":
        with studio.database.read() as session:
            gate(session, _tracks.find(session, release.track_id), release.privacy)
    status: dict[str, Any] = {"privacyStatus": release.privacy, "publishAt": None}
    if at is not None:
        status = {"privacyStatus": "private", "publishAt": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
    update_video(api, str(release.remote_id), status=status)
    return status


class _NotYetError(Exception):
    """It is too near to be left to YouTube's clock: it is done at its moment."""

    def __init__(self, at: datetime) -> None:
        super().__init__()
        self.at = at


_STEPS: dict[str, _Step] = {
    # First of all, should YouTube show it to more people than it may.
    "privacy": _Step(lambda r: "wanted" in r.detail.get("steps", {}).get("privacy", {}), _privacy),
    "thumbnail": _Step(lambda r: bool(r.detail.get("thumbnail_sha256")), _thumbnail),
    "playlist": _Step(lambda r: bool(r.detail.get("playlist")), _playlist),
}


def finish(studio: Studio, api: YouTube, release_id: int) -> None:
    """Do the steps that a video lacks. What goes wrong is told in the release, and ends none else.

    Raises AuthError: with that nothing can be done at all.
    """
    for name, step in _STEPS.items():
        with studio.database.read() as session:
            release = _releases.find(session, release_id)
        if release.state != "uploaded" or not _is_pending(release, name, now()):
            continue
        try:
            made = step.do(studio, api, release)
        except AuthError as error:
            _accounts.note_problem(studio, str(error))
            raise
        except _NotYetError as early:
            _note_step(studio, release_id, name, {"wanted": True, "not_before": told(early.at)})
        except QuotaError as error:
            _note_step(studio, release_id, name, _again(release, name, error, next_reset(now())))
        except UploadLimitError as error:
            _note_step(studio, release_id, name, _again(release, name, error, now() + LIMITED))
        except InputError as error:
            _note_step(studio, release_id, name, {"error": str(error), "given_up": True})
        except LofiError as error:
            tries = release.detail.get("steps", {}).get(name, {}).get("tries", 0)
            until = now() + DELAYS[min(tries, len(DELAYS) - 1)]
            noted = _again(release, name, error, until)
            if tries >= TRIES and not isinstance(error, TransientError):
                noted["given_up"] = True
            _note_step(studio, release_id, name, noted)
        else:
            _note_step(studio, release_id, name, {"done": now().isoformat(), "made": made})


def _again(release: Release, name: str, error: LofiError, until: datetime) -> dict[str, Any]:
    before = release.detail.get("steps", {}).get(name, {})
    return {
        **before,
        "error": str(error),
        "not_before": until.isoformat(),
        "tries": before.get("tries", 0) + 1,
    }


def _note_step(studio: Studio, release_id: int, name: str, told: dict[str, Any]) -> None:
    with studio.database.write() as session:
        release = _releases.find(session, release_id, lock=True)
        before = release.detail.get("steps", {})
        if release.state != "uploaded" or before.get(name, {}) == told:
            return
        steps = {**before, name: told}
        detail = {**release.detail, "steps": steps}
        if name == "privacy" and "done" in told:
            detail["privacy_there"] = told["made"]["privacyStatus"]
            detail.pop("look_at", None)
        release.detail, release.updated_at = detail, now()
        wrong = [step["error"] for step in steps.values() if "error" in step]
        release.error = " ".join(wrong) or None
        verb = "finished" if "done" in told else "could not finish"
        record(
            session, "youtube", verb, "release", str(release.id), track_id=release.track_id,
            step=name, error=told.get("error"),
        )  # fmt: skip


def _judge(session: Session, release: Release, found: dict[str, Any] | None) -> None:
    """What the state of a video at YouTube means for its release."""
    status = (found or {}).get("status", {})
    upload, there = status.get("uploadStatus", "deleted"), status.get("privacyStatus")
    moment, at = now(), release.publish_at
    detail = {**release.detail, "privacy_there": there}
    if upload in ("failed", "rejected", "deleted"):
        reason = status.get("failureReason") or status.get("rejectionReason") or ""
        why = _FAILED.get(reason, reason or "without saying why")
        _end(session, release, detail, "failed",
             "the video is no longer on YouTube. Upload it again with `lofi releases retry "
             f"{release.id}`, or cancel the release." if upload == "deleted" else
             f"YouTube has {upload} the video: {why}. Look at YouTube Studio, then try it again "
             f"(`lofi releases retry {release.id}`) or cancel the release.")  # fmt: skip
        return
    steps = release.detail.get("steps", {})
    open_steps = [n for n in _STEPS if _is_pending(release, n, moment + timedelta(days=366))]
    wished = release.privacy
    if upload == "processed" and not open_steps:
        if wished != "private" and there in ("unlisted", "public") and not wider(wished, there):
            _end(session, release, detail, "published", _wrong(steps))
            return
        if wished == "private" and there == "private":
            release.detail = {**detail, "settled": True}  # it stays as it is
            return
        if wished == "private":  # somebody has shown it to people, at YouTube itself
            _end(session, release, detail, "published", _wrong(steps))
            return
        late = at is None or moment - at > timedelta(minutes=10)
        if late and "privacy" not in open_steps:
            release.error = (
                f"YouTube keeps the video {there}, though it was to be {wished}. Look at YouTube "
                "Studio for the reason, then try it again."
            )
    looks = detail.get("looks", 0)
    look_at = moment + _LOOKS[min(looks, len(_LOOKS) - 1)]
    if upload == "processed" and at is not None and at > look_at:
        look_at = at + _LOOKS[0]
    release.detail = {**detail, "looks": looks + 1, "look_at": look_at.isoformat()}


def _wrong(steps: dict[str, Any]) -> str | None:
    return " ".join(step["error"] for step in steps.values() if "error" in step) or None


def _end(
    session: Session, release: Release, detail: dict[str, Any], state: str, error: str | None
) -> None:
    release.state, release.error, release.updated_at = state, error, now()
    release.detail = {**detail, "settled": True}
    record(
        session, "youtube", state, "release", str(release.id), track_id=release.track_id,
        video_id=release.remote_id, error=error,
    )  # fmt: skip


# A person looks ----------------------------------------------------------------------------------


def lookalikes(studio: Studio, release_id: int) -> list[dict[str, Any]]:
    """Videos of the channel that may be the one of a release of which nobody knows.

    Costs 2 or 3 units. Raises NotFoundError, and errors of YouTube.
    """
    with studio.database.read() as session:
        release = _releases.find(session, release_id)
        known = set(
            session.scalars(sa.select(Release.remote_id).where(Release.remote_id.is_not(None)))
        )
    title = release.detail.get("title", "")
    since = datetime.fromisoformat(release.detail.get("opened_at", release.created_at.isoformat()))
    found = find_lookalikes(_accounts.youtube(studio), title, since)
    return [
        {
            "video_id": each.video_id,
            "title": each.title,
            "published_at": told(each.published_at),
            "same_title": each.same_title,
        }
        for each in found
        if each.video_id not in known
    ]


def resolve(studio: Studio, release_id: int, video_id: str | None, *, actor: str) -> dict[str, Any]:
    """A person's word: the video is there, or (None) it is not and is uploaded again.

    That the video is there and the account's own is looked up first. Raises NotFoundError,
    ConflictError, InputError for a video that is not, and errors of YouTube.
    """
    there = None
    if video_id is not None:
        with studio.database.read() as session:
            _releases.find(session, release_id)
            row = session.get(Credential, PLATFORM)
        video = read_video(_accounts.youtube(studio), video_id, ["snippet", "status"])
        if row is None or video["snippet"]["channelId"] != row.account_id:
            raise InputError(f"video {video_id[:20]!r} is another channel's. Look once more.")
        there = video["status"]["privacyStatus"]
    with studio.database.write() as session:
        _releases.resolve(session, release_id, actor=actor, video_id=video_id, privacy_there=there)
        session.flush()
        return _releases.view(session, release_id)
