"""Releases as rows: planned, changed, cancelled, tried again, looked at; `_uploads` does the rest.

Nothing goes out without a standing approval of exactly its bytes that allows its privacy (`gate`).
The states, and who takes a release from one to the next:

    planned ──────▶ uploading ──────▶ uploaded ──────▶ published
     ▲ │ ▲            │   │              │ ▲
     │ │ └── later ◀──┘   ├─▶ failed ◀───┘ └── privacy is changed by a person
     │ └──▶ missed        └─▶ needs_attention
     └── a person says: at once, another moment, "it is not there"
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.brief import InputError, LofiError, one_of
from lofi.channel import AuthError, rehearsal, wider
from lofi.studio import _accounts, _jobs, _listings, _preflight, _tracks
from lofi.studio._errors import ConflictError, NotFoundError
from lofi.studio._events import record
from lofi.studio._settings import Settings
from lofi.studio._storage import Blob, Storage
from lofi.studio._studio import Studio
from lofi.studio._tables import Approval, Credential, Preference, Release, Track, now

PLATFORM = _accounts.PLATFORM
STATES = (
    "planned", "uploading", "uploaded", "published", "missed", "failed", "needs_attention",
    "cancelled",
)  # fmt: skip
MOST_AT_ONCE = 200
PAUSE = "youtube/pause"  # the preference that says until when the channel may upload no more
MISSED_AFTER = timedelta(hours=1)  # a moment that passed so long ago is asked about

# Rules of the preflight that are kept here by other means: the gate, the ledger, the schedule.
_SEEN_TO_HERE = ("approval", "how-public", "uploads-left", "units-left", "per-day")
_TRIED_AGAIN_AFTER = timedelta(minutes=10)  # a problem may have been put right at Google
_VIDEO, _THUMBNAIL, _LISTING, _FACTS = "video.mp4", "thumbnail.jpg", "listing.json", "track.json"
_LISTING_BYTES = 200_000
_WATCH = "https://www.youtube.com/watch?v={}"


# What is released ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Package:
    """The files of a track that go to YouTube, and what is said of it: what was approved.

    `content_sha256` is what an approval names: the package, and the listing that a person changed.
    """

    package_sha256: str
    content_sha256: str
    video: Blob
    thumbnail: Blob | None
    listing: dict[str, Any]


def read_package(studio: Studio, track_id: str) -> Package:
    """What of a track would go out now.

    `track.json` stands for all files of a package, and is what an approval names: the others are
    taken by the hashes that it tells. Raises NotFoundError, and LofiError for files that are gone
    or are not those.
    """
    with studio.database.read() as session:
        track = _tracks.find(session, track_id)
        approved, job_id = track.package_sha256, track.job_id
        content = _tracks.content_sha256(session, track)
        edited = _listings.effective(session, track)[0] if content != approved else None
        files = {a.name: Blob(a.sha256, a.size) for a in _jobs.artifacts(session, job_id)}
    if files.get(_FACTS, Blob("", 0)).sha256 != approved:
        raise LofiError(
            f"the files of track {track_id} are not those of its package. Make it anew."
        )
    hashes = json.loads(_whole(studio.storage, approved))["files"]
    found: dict[str, Blob] = {}
    for name in (_VIDEO, _THUMBNAIL, _LISTING):
        if name in hashes:
            if name not in files or files[name].sha256 != hashes[name]:
                raise LofiError(f"{name} of track {track_id} is not the one of its package.")
            found[name] = files[name]
    if _VIDEO not in found or _LISTING not in found:
        raise InputError(f"track {track_id} has no video to release. Order it again.")
    listing = edited or json.loads(_whole(studio.storage, found[_LISTING].sha256))
    return Package(approved, content, found[_VIDEO], found.get(_THUMBNAIL), listing)


def _whole(storage: Storage, sha256: str) -> bytes:
    """A small file, read whole and compared with its hash."""
    data = b"".join(storage.read(sha256, 0, _LISTING_BYTES * 10))
    if hashlib.sha256(data).hexdigest() != sha256:
        raise LofiError(f"blob {sha256} is damaged. Restore it from a backup.")
    return data


def gate(session: Session, track: Track, privacy: str) -> Approval:
    """The approval by which a track may go out as it is now. Raises ConflictError without one."""
    approval = _tracks.standing_approval(session, track)
    if approval is None:
        raise ConflictError(
            f"track {track.id} is not approved as it is now. Look at it and approve it: `lofi "
            f"track approve {track.id} --privacy {privacy}`."
        )
    if wider(privacy, approval.privacy):
        raise ConflictError(
            f"track {track.id} was approved to be {approval.privacy} at most, not {privacy}. "
            f"Approve it for that: `lofi track approve {track.id} --privacy {privacy}`."
        )
    return approval


def require_ready(session: Session, settings: Settings) -> None:
    """Raise LofiError unless uploads are switched on and an account is connected."""
    if not settings.youtube.uploads:
        raise ConflictError(
            "uploads are switched off, as they are at first. Set youtube.uploads to true in "
            "config.yaml (or LOFI_YOUTUBE__UPLOADS=true) when releases may go to YouTube."
        )
    if session.get(Credential, PLATFORM) is None:
        raise _accounts.not_connected()


def require_account(session: Session) -> None:
    """Raise AuthError while the account has a problem that was found a short time ago."""
    row = session.get(Credential, PLATFORM)
    if row is None:
        raise _accounts.not_connected()
    if row.problem and now() - row.updated_at < _TRIED_AGAIN_AFTER:
        raise AuthError(row.problem)


def refusals(
    studio: Studio, track_id: str, *, privacy: str, publish_at: datetime | None
) -> list[str]:
    """What the preflight finds in a track that keeps it from going out."""
    held = _preflight.preflight(studio, track_id, privacy=privacy, publish_at=publish_at)
    return [
        f"{f.detail} ({f.id} of the preflight)."
        for f in held.findings
        if f.outcome == "block" and f.id not in _SEEN_TO_HERE
    ]


# Planning --------------------------------------------------------------------------------------


def plan(
    session: Session,
    settings: Settings,
    track_id: str,
    *,
    actor: str,
    privacy: str = "private",
    publish_at: datetime | None = None,
    playlist: str | None = None,
) -> Release:
    """Plan the release of a track, or change what was planned of it; gives the release.

    `publish_at` is when it is to be seen; without it, as soon as may be. A track that is on YouTube
    already is not uploaded again: its privacy is changed there. `playlist` is that of the settings
    if left out, and none if empty.

    Raises NotFoundError; ConflictError for a track that is not approved for that privacy, or whose
    release is under way; InputError for a moment that has passed, and while uploads are off.
    """
    privacy = one_of(privacy, _tracks.PRIVACIES, "privacy")
    if publish_at is not None and publish_at <= now():
        raise InputError(
            f"{publish_at:%Y-%m-%d %H:%M} UTC has passed. Give a moment to come, or none for at "
            "once."
        )
    playlist = settings.youtube.playlist if playlist is None else playlist
    _check_playlist(playlist)
    require_ready(session, settings)
    track = _tracks.find(session, track_id, lock=True)
    there = _standing(session, track)
    if there is not None and there.state in ("uploaded", "published"):
        return _change_there(session, there, track, privacy, publish_at, actor=actor)
    approval = gate(session, track, privacy)
    if there is None:
        there = Release(track_id=track.id, platform=PLATFORM, state="planned", detail={})
        session.add(there)
        verb = "planned"
    elif there.state == "uploading":
        raise ConflictError(
            f"release {there.id} of track {track.id} is being uploaded: wait for it."
        )
    elif there.state == "needs_attention":
        raise ConflictError(
            f"nobody knows whether release {there.id} of track {track.id} is on YouTube already. "
            f"Look there, then say so: `lofi releases resolve {there.id}`."
        )
    else:
        verb = "changed" if there.state == "planned" else "planned again"
    there.state, there.error, there.worker_id = "planned", None, None
    there.privacy, there.publish_at, there.approval_id = privacy, publish_at, approval.id
    kept = {k: v for k, v in there.detail.items() if k in ("chosen", "why")}
    there.detail = {**kept, "playlist": playlist}
    there.updated_at = now()
    session.flush()
    record(
        session, actor, verb, "release", str(there.id), track_id=track.id, privacy=privacy,
        publish_at=told(publish_at), approval_id=approval.id,
        package_sha256=track.package_sha256,
    )  # fmt: skip
    return there


def _standing(session: Session, track: Track) -> Release | None:
    """The release of a track as it is now; one of other bytes is another video."""
    rows = session.scalars(
        sa.select(Release)
        .where(Release.track_id == track.id, Release.platform == PLATFORM)
        .where(Release.state != "cancelled")
        .order_by(Release.id.desc())
        .with_for_update()
    )
    for row in rows:
        package = row.detail.get("package_sha256")
        over = row.state in ("uploaded", "published")
        if not over or package in (None, track.package_sha256):
            return row
    return None


def _change_there(
    session: Session,
    release: Release,
    track: Track,
    privacy: str,
    publish_at: datetime | None,
    *,
    actor: str,
) -> Release:
    if publish_at is not None and privacy != "public":
        raise InputError(
            "the video is on YouTube already: it can be made public at a moment, and nothing else. "
            "Leave the moment out, or add --privacy public."
        )
    if privacy != "private":  # to hide it, nobody is asked
        release.approval_id = gate(session, track, privacy).id
    before = {"privacy": release.privacy, "publish_at": told(release.publish_at)}
    after = {"privacy": privacy, "publish_at": told(publish_at)}
    release.state, release.privacy, release.publish_at = "uploaded", privacy, publish_at
    detail = {k: v for k, v in release.detail.items() if k not in ("settled", "look_at")}
    steps = {k: v for k, v in detail.get("steps", {}).items() if k != "privacy"}
    release.detail = {**detail, "steps": {**steps, "privacy": {"wanted": True}}}
    release.error, release.updated_at = None, now()
    record(
        session, actor, "changed", "release", str(release.id), track_id=track.id,
        changes={"from": before, "to": after}, approval_id=release.approval_id,
    )  # fmt: skip
    return release


def _check_playlist(playlist: str) -> None:
    if playlist and not (
        playlist.isascii() and playlist.replace("-", "").replace("_", "").isalnum()
    ):
        raise InputError(
            f"{playlist[:60]!r} is no id of a playlist. It is what stands after `list=` in its "
            "address, such as PLrAXtmErZgOeiKm4sgNOknGvNjby9efdf."
        )


def rehearse(
    studio: Studio,
    track_id: str,
    *,
    privacy: str = "private",
    publish_at: datetime | None = None,
    playlist: str | None = None,
) -> dict[str, Any]:
    """What a release of a track would send, without sending it, and why it would be refused now.

    Raises NotFoundError, and InputError for what cannot be sent at all.
    """
    settings = studio.settings()
    privacy = one_of(privacy, _tracks.PRIVACIES, "privacy")
    playlist = settings.youtube.playlist if playlist is None else playlist
    _check_playlist(playlist)
    package = read_package(studio, track_id)
    scheduled = publish_at if privacy == "public" else None
    why = refusals(studio, track_id, privacy=privacy, publish_at=scheduled)
    with studio.database.read() as session:
        track = _tracks.find(session, track_id)
        checks = (
            lambda: gate(session, track, privacy),
            lambda: require_ready(session, settings),
            lambda: require_no_pause(session),
        )
        for check in checks:
            try:
                check()
            except LofiError as error:
                why.append(str(error))
        why += [
            f"today's quota of YouTube for {b.bucket} is used up until {b.resets_at:%H:%M} UTC."
            for b in _accounts.quota(session, settings)
            if b.bucket == "uploads" and not b.left
        ]
    return {
        "track_id": track_id,
        "requests": rehearsal(
            package.listing,
            privacy=privacy,
            publish_at=scheduled,
            size=package.video.size,
            thumbnail_size=package.thumbnail.size if package.thumbnail else None,
            playlist_id=playlist or None,
            endpoints=_accounts.endpoints(),
        ),
        "begins_at": told(publish_at) if publish_at and not scheduled else None,
        "refusals": why,
    }


# Changing --------------------------------------------------------------------------------------


def find(session: Session, release_id: int, *, lock: bool = False) -> Release:
    """The release of that id. Raises NotFoundError."""
    release = session.get(Release, release_id, with_for_update=lock or None)
    if release is None:
        raise NotFoundError(f"there is no release {release_id}. `lofi releases` lists them.")
    return release


def cancel(session: Session, release_id: int, *, actor: str) -> Release:
    """Take a release back before it is on YouTube; twice is once.

    One that is being uploaded stops at the next piece, and makes no video unless all bytes were
    under way already: then it says so. Raises ConflictError for one that is there.
    """
    release = find(session, release_id, lock=True)
    if release.state == "cancelled":
        return release
    if release.state in ("uploaded", "published"):
        raise ConflictError(
            f"release {release_id} is on YouTube already. Hide it (`lofi release "
            f"{release.track_id} --privacy private`), or delete it in YouTube Studio."
        )
    before, release.state, release.updated_at = release.state, "cancelled", now()
    if before != "uploading":
        release.worker_id = release.session_uri = None
    record(
        session, actor, "cancelled", "release", str(release.id),
        track_id=release.track_id, was=before,
    )  # fmt: skip
    return release


def retry(session: Session, settings: Settings, release_id: int, *, actor: str) -> Release:
    """Try again at once: what failed or was missed; and what waits or went wrong beside the video.

    A public one that was missed becomes public as soon as it is there. Raises ConflictError for
    one that needs nothing, or a person's word first.
    """
    require_ready(session, settings)
    release = find(session, release_id, lock=True)
    state = release.state
    if state in ("failed", "missed"):
        track = _tracks.find(session, release.track_id)
        release.approval_id = gate(session, track, release.privacy).id
        if release.publish_at is not None and release.publish_at <= now():
            release.publish_at = None
        release.state = "planned"
        kept = {k: v for k, v in release.detail.items() if k in ("chosen", "why", "playlist")}
        release.detail = kept
        release.session_uri = release.worker_id = release.remote_id = None
    elif state in ("planned", "uploading") and "not_before" in release.detail:
        release.detail = {k: v for k, v in release.detail.items() if k != "not_before"}
    elif state in ("uploaded", "published") and release.error:
        steps = release.detail.get("steps", {})
        again = {n: s for n, s in steps.items() if "done" in s}
        again["privacy"] = {"wanted": True}
        kept = {k: v for k, v in release.detail.items() if k not in ("settled", "look_at")}
        release.detail, release.state = {**kept, "steps": again}, "uploaded"
    elif state == "needs_attention":
        raise ConflictError(
            f"nobody knows whether release {release_id} is on YouTube already. Look there, then "
            f"say so: `lofi releases resolve {release_id}`."
        )
    else:
        raise ConflictError(f"release {release_id} is {state}: there is nothing to try again.")
    release.error, release.updated_at = None, now()
    record(session, actor, "tried again", "release", str(release.id), was=state)
    return release


def resolve(
    session: Session,
    release_id: int,
    *,
    actor: str,
    video_id: str | None = None,
    privacy_there: str | None = None,
) -> Release:
    """A person's word on a release of which nobody knew: it is there, or (None) it is not.

    Where it is not, it is uploaded again from the start. That the video is the account's is for
    `_uploads.resolve` to find out. Raises ConflictError for a release of which all is known, and
    for a video that is another release's.
    """
    release = find(session, release_id, lock=True)
    if release.state != "needs_attention":
        raise ConflictError(f"release {release_id} is {release.state}: nothing is unknown of it.")
    release.session_uri = release.worker_id = release.error = None
    release.updated_at = now()
    if video_id is None:
        kept = {k: v for k, v in release.detail.items() if k in ("chosen", "why", "playlist")}
        release.state, release.detail = "planned", kept
    else:
        other = session.scalar(sa.select(Release.id).where(Release.remote_id == video_id))
        if other is not None:
            raise ConflictError(f"video {video_id} is that of release {other}. Give another one.")
        release.state, release.remote_id = "uploaded", video_id
        release.detail = {**release.detail, "privacy_there": privacy_there}
    record(
        session, actor, "resolved", "release", str(release.id),
        track_id=release.track_id, video_id=video_id,
    )  # fmt: skip
    return release


# The channel's own limit -----------------------------------------------------------------------


def pause_uploads(session: Session, until: datetime, why: str) -> None:
    """Upload nothing before a moment: YouTube has said that the channel may not."""
    row = session.get(Preference, PAUSE, with_for_update=True)
    value = {"until": until.isoformat(), "why": why}
    if row is None:
        session.add(Preference(name=PAUSE, value=value, updated_by="youtube"))
    else:
        row.value, row.updated_at = value, now()
    record(session, "youtube", "paused", "account", PLATFORM, until=told(until), why=why)


def pause(session: Session) -> tuple[datetime, str] | None:
    """Until when nothing is uploaded, and why; None where nothing says so."""
    row = session.get(Preference, PAUSE)
    if row is None:
        return None
    until = datetime.fromisoformat(row.value["until"])
    return (until, row.value["why"]) if until > now() else None


def require_no_pause(session: Session) -> None:
    """Raise LofiError while the channel may upload no more."""
    paused = pause(session)
    if paused:
        raise LofiError(f"uploads rest until {paused[0]:%Y-%m-%d %H:%M} UTC: {paused[1]}")


# Looking ---------------------------------------------------------------------------------------


def told(moment: datetime | None) -> str | None:
    """A moment as it is written in JSON."""
    return _jobs.told(moment)


def listing(
    session: Session,
    *,
    states: Sequence[str] = (),
    track_id: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> tuple[list[dict[str, Any]], int]:
    """Releases as plain values, the newest first, and how many there are. Raises InputError."""
    conditions = []
    if states:
        conditions.append(Release.state.in_([one_of(s, STATES, "state") for s in states]))
    if track_id:
        conditions.append(Release.track_id == track_id)
    total = session.scalar(sa.select(sa.func.count()).select_from(Release).where(*conditions)) or 0
    rows = session.execute(
        sa.select(Release, Track.title)
        .join(Track, Track.id == Release.track_id)
        .where(*conditions)
        .order_by(Release.id.desc())
        .limit(max(1, min(limit, MOST_AT_ONCE)))
        .offset(max(0, offset))
    ).all()
    return [_view(row[0], row[1]) for row in rows], total


def view(session: Session, release_id: int) -> dict[str, Any]:
    """A release as plain values. Raises NotFoundError."""
    release = find(session, release_id)
    return _view(
        release, session.scalar(sa.select(Track.title).where(Track.id == release.track_id))
    )


def _view(release: Release, title: str | None) -> dict[str, Any]:
    """Without the session's URI, which is a key to it."""
    detail: Mapping[str, Any] = release.detail
    size, held = detail.get("size"), detail.get("held", 0)
    there = release.remote_id is not None
    steps = detail.get("steps", {})
    return {
        "id": release.id,
        "track_id": release.track_id,
        "title": title or "",
        "platform": release.platform,
        "state": release.state,
        "privacy": release.privacy,
        "privacy_there": detail.get("privacy_there"),
        "publish_at": told(release.publish_at),
        "video_id": release.remote_id,
        "url": _WATCH.format(release.remote_id) if there else None,
        "progress": 1.0 if there else round(held / size, 4) if size else 0.0,
        "size": size,
        "error": _jobs.explained(release.error),
        "not_before": detail.get("not_before"),
        "thumbnail_set": "done" in steps.get("thumbnail", {}),
        "playlist": detail.get("playlist") or None,
        "in_playlist": "done" in steps.get("playlist", {}),
        "actions": actions(release),
        "created_at": told(release.created_at),
        "updated_at": told(release.updated_at),
    }


def actions(release: Release) -> list[str]:
    """What a person can do about a release now: `cancel`, `retry`, `resolve`."""
    may = []
    if release.state not in ("uploaded", "published", "cancelled"):
        may.append("cancel")
    waits = release.state in ("planned", "uploading") and "not_before" in release.detail
    wrong = release.state in ("uploaded", "published") and release.error is not None
    if release.state in ("failed", "missed") or waits or wrong:
        may.append("retry")
    if release.state == "needs_attention":
        may.append("resolve")
    return may


def counts(session: Session) -> dict[str, int]:
    """How many releases there are in each state."""
    rows = session.execute(sa.select(Release.state, sa.func.count()).group_by(Release.state))
    return {row[0]: row[1] for row in rows}
