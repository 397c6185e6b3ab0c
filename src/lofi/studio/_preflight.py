"""Looking at a track before it goes out: what the rules of the channel want to know is gathered."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi import channel
from lofi.brief import LofiError, one_of
from lofi.channel import Approved, Candidate, Encoding, Finding, Picture, Recent
from lofi.studio import _accounts, _listings, _tracks
from lofi.studio._tables import Artifact, Credential, Listing, Release, Track, now

if TYPE_CHECKING:
    from lofi.studio._storage import Storage
    from lofi.studio._studio import Studio

_VIDEO, _THUMBNAIL = "video.mp4", "thumbnail.jpg"
_KEPT_S = 86_400.0  # what a file of some hash is stays so
_MAX_THUMBNAIL_BYTES = 60_000_000
_PIECE = 1 << 20
# A release in one of these states is, or may be, seen by others.
_OUT = ("planned", "uploading", "uploaded", "published", "needs_attention", "missed")


@dataclass(frozen=True, slots=True)
class Preflight:
    """What came of all rules for a track, and the request that would be sent."""

    track_id: str
    listing_sha256: str
    findings: list[Finding]
    request: dict[str, Any]

    @property
    def passes(self) -> bool:
        """Whether nothing keeps the track from being sent."""
        return channel.passes(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "track_id": self.track_id,
            "listing_sha256": self.listing_sha256,
            "passes": self.passes,
            "blocked": sum(f.outcome == "block" for f in self.findings),
            "warnings": sum(f.outcome == "warn" for f in self.findings),
            "unknown": sum(f.outcome == "unknown" for f in self.findings),
            "findings": [f.to_dict() for f in self.findings],
            "request": self.request,
        }


def preflight(
    studio: Studio,
    track_id: str,
    *,
    privacy: str = "private",
    publish_at: datetime | None = None,
    moment: datetime | None = None,
) -> Preflight:
    """Hold a track against every rule, as it would go out now: nothing is sent.

    `publish_at`: when it is to become public, until when it is private. Raises NotFoundError, and
    InputError for a privacy that there is not or that no moment goes with.
    """
    privacy = one_of(privacy, channel.PRIVACIES, "privacy")
    moment = moment or now()
    settings = studio.settings()
    after = ["youtube.thumbnails.set"]
    after += ["youtube.playlistItems.insert"] if settings.youtube.playlist else []
    with studio.database.read() as session:
        track = _tracks.find(session, track_id)
        listing, sha256 = _listings.effective(session, track)
        approval = _tracks.standing_approval(session, track)
        files = {
            a.name: a.sha256
            for a in session.scalars(
                sa.select(Artifact).where(
                    Artifact.job_id == track.job_id, Artifact.name.in_((_VIDEO, _THUMBNAIL))
                )
            )
        }
        likeness = (track.facts or {}).get("likeness") or {}
        verdict = track.verdict
        recent = recent_releases(session, track_id, moment)
        that_day = releases_on(session, track_id, publish_at or moment, settings.schedule.time_zone)
        left: dict[str, int] = {}
        if session.get(Credential, _accounts.PLATFORM) is not None:
            left = {b.bucket: b.left for b in _accounts.quota(session, settings)}
    request = _listings.request(listing, privacy=privacy, publish_at=publish_at)
    candidate = Candidate(
        listing={**request["body"], "query": request["params"]},
        video=_encoding(studio, files.get(_VIDEO)),
        thumbnail=_picture(studio, files.get(_THUMBNAIL)),
        melody=likeness.get("melody"),
        verdict=verdict,
        approval=Approved(approval.privacy, approval.note) if approval else None,
        uploads_left=left.get("uploads"),
        units_left=left.get("units"),
        units_needed=sum(channel.COSTS[method][1] for method in after),
        recent=recent,
        that_day=that_day,
        most_a_day=settings.schedule.per_day,
        moment=moment,
    )
    return Preflight(track_id, sha256, channel.preflight(candidate), request)


# The channel -------------------------------------------------------------------------------------


def recent_releases(session: Session, but: str, moment: datetime) -> list[Recent]:
    """The own releases of the last 90 days, each track once, but for one."""
    since = moment - timedelta(days=channel.RECENT_DAYS)
    rows = session.execute(
        sa.select(Track.id, Track.title, Track.facts["likeness"], Listing.title)
        .join(Release, Release.track_id == Track.id)
        .outerjoin(Listing, Listing.track_id == Track.id)
        .where(
            Track.id != but,
            Release.state.in_(_OUT),
            sa.func.coalesce(Release.publish_at, Release.created_at) >= since,
        )
        .order_by(Release.id.desc())
    )
    found: dict[str, Recent] = {}
    for track_id, name, likeness, title in rows:
        told = likeness if isinstance(likeness, dict) else {}
        found.setdefault(
            track_id, Recent(track_id, title or name, told.get("melody"), told.get("thumbnail"))
        )
    return list(found.values())


def releases_on(session: Session, but: str, at: datetime, zone: str) -> int:
    """How many tracks go out, or went, on the day of a moment in a time zone, but for one."""
    day = at.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    following = (day + timedelta(days=1)).replace(hour=0)
    out_at = sa.func.coalesce(Release.publish_at, Release.created_at)
    return (
        session.scalar(
            sa.select(sa.func.count(sa.distinct(Release.track_id))).where(
                Release.track_id != but,
                Release.state.in_(_OUT),
                out_at >= day,
                out_at < following,
            )
        )
        or 0
    )


# The files ---------------------------------------------------------------------------------------


def _encoding(studio: Studio, sha256: str | None) -> Encoding | None:
    if sha256 is None:
        return None

    def read() -> dict[str, Any]:
        with io.BufferedReader(_BlobFile(studio.storage, sha256), _PIECE) as file:
            return asdict(channel.read_encoding(file))  # type: ignore[arg-type]

    return Encoding(**studio.cache.get_or_make("files", sha256, read, ttl_s=_KEPT_S))


def _picture(studio: Studio, sha256: str | None) -> Picture | None:
    if sha256 is None:
        return None

    def read() -> dict[str, Any]:
        data = b"".join(studio.storage.read(sha256, 0, _MAX_THUMBNAIL_BYTES))
        return asdict(channel.read_picture(data))

    return Picture(**studio.cache.get_or_make("files", sha256, read, ttl_s=_KEPT_S))


class _BlobFile(io.RawIOBase):
    """A blob of the storage to be read and sought in: of a long video only a little is fetched."""

    def __init__(self, storage: Storage, sha256: str) -> None:
        size = storage.size(sha256)
        if size is None:
            raise LofiError(
                f"the file {sha256} is not in the storage. Restore it from a backup, or make the "
                "track again."
            )
        self._storage, self._sha256, self._size, self._at = storage, sha256, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        stop = min(self._at + len(buffer), self._size)
        if stop <= self._at:
            return 0
        data = b"".join(self._storage.read(self._sha256, self._at, stop))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
