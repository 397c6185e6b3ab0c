"""YouTube's quota: which bucket a method draws from, what it costs, and when a day begins there.

Source: YouTube Data API v3, "Quota and compliance audits", as of November 2026. Days are those of
Los Angeles, daylight saving included: one of them has 23 hours and one 25.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

PLATFORM = "youtube"
PACIFIC = ZoneInfo("America/Los_Angeles")


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is counted together, and how many units of it a day has."""

    name: str
    units_per_day: int
    told: str  # what it is for, in words


BUCKETS: dict[str, Bucket] = {
    b.name: b
    for b in (
        Bucket("units", 10_000, "everything but uploads, searches and batched statistics"),
        Bucket("uploads", 100, "uploads of videos"),
        Bucket("searches", 100, "searches"),
        Bucket("statistics", 10_000, "batched statistics"),
        # A bound of our own: what Google allows a project is told in its console alone.
        Bucket("reports", 10_000, "reports of YouTube Analytics"),
    )
}

# Of each method the bucket and the cost of one request, whatever comes of it.
COSTS: dict[str, tuple[str, int]] = {
    "youtube.channels.list": ("units", 1),
    "youtube.commentThreads.insert": ("units", 50),
    "youtube.commentThreads.list": ("units", 1),
    "youtube.comments.delete": ("units", 50),
    "youtube.comments.insert": ("units", 50),
    "youtube.comments.list": ("units", 1),
    "youtube.comments.setModerationStatus": ("units", 50),
    "youtube.comments.update": ("units", 50),
    "youtube.playlistItems.insert": ("units", 50),
    "youtube.playlistItems.list": ("units", 1),
    "youtube.playlists.list": ("units", 1),
    "youtube.search.list": ("searches", 1),
    "youtube.thumbnails.set": ("units", 50),
    "youtube.videos.batchGetStats": ("statistics", 1),
    "youtube.videos.insert": ("uploads", 1),
    "youtube.videos.list": ("units", 1),
    "youtube.videos.update": ("units", 50),
    "youtubeAnalytics.reports.query": ("reports", 1),
    "youtubereporting.jobs.create": ("reports", 1),
    "youtubereporting.jobs.list": ("reports", 1),
    "youtubereporting.jobs.reports.list": ("reports", 1),
    "youtubereporting.media.download": ("reports", 1),
}


class Ledger(Protocol):
    """Keeps count of what was used, for all who use it at once."""

    def reserve(self, bucket: str, units: int) -> None:
        """Count units before a request is sent. Raises QuotaError where they are not left."""
        ...

    def exhaust(self, bucket: str) -> None:
        """Note that YouTube says nothing is left: another program used it too."""
        ...


def pacific_day(moment: datetime) -> str:
    """The day of the quota that a moment belongs to, such as `2026-11-28`."""
    return moment.astimezone(PACIFIC).date().isoformat()


def next_reset(moment: datetime) -> datetime:
    """When the next day of the quota begins: midnight in Los Angeles, in UTC."""
    tomorrow = moment.astimezone(PACIFIC).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), PACIFIC).astimezone(UTC)


def limits(units_per_day: int | None = None, uploads_per_day: int | None = None) -> dict[str, int]:
    """Units a day by bucket, where a project was granted other ones than usual."""
    granted = {"units": units_per_day, "uploads": uploads_per_day}
    return {
        name: b.units_per_day if granted.get(name) is None else max(0, granted[name] or 0)
        for name, b in BUCKETS.items()
    }


@dataclass(frozen=True, slots=True)
class BucketState:
    """A bucket today."""

    bucket: str
    told: str
    used: int
    limit: int
    resets_at: datetime

    @property
    def left(self) -> int:
        """Units that may still be used."""
        return max(0, self.limit - self.used)


def states(
    used: Mapping[str, int], allowed: Mapping[str, int], moment: datetime
) -> list[BucketState]:
    """Every bucket at a moment, of what was used of it that day."""
    reset = next_reset(moment)
    return [
        BucketState(name, b.told, used.get(name, 0), allowed.get(name, b.units_per_day), reset)
        for name, b in BUCKETS.items()
    ]
