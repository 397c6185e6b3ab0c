"""Figures on the YouTube of `youtube.py`: counts, reports by day, retention, and bulk reports.

Every video gets so many views an hour (`Audience.per_hour`, times what its title or thumbnail is
worth), so what the studio collects can be worked out. Which queries are refused is from "Channel
Reports" of the YouTube Analytics API; the discovery documents do not say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from youtube import Call, FakeYouTube, Refused, answers, moment_text

PACIFIC = ZoneInfo("America/Los_Angeles")
LATE = timedelta(days=2)  # how late figures of days are
REACH = "channel_reach_basic_a1"
_METRICS = {
    "views": ("INTEGER", lambda views: views),
    "engagedViews": ("INTEGER", lambda views: views * 8 // 10),
    "estimatedMinutesWatched": ("INTEGER", lambda views: views * 2),
    "averageViewDuration": ("INTEGER", lambda _views: 120),
    "averageViewPercentage": ("FLOAT", lambda _views: 62.5),
    "likes": ("INTEGER", lambda views: views // 20),
    "comments": ("INTEGER", lambda views: views // 50),
    "shares": ("INTEGER", lambda _views: 0),
    "subscribersGained": ("INTEGER", lambda views: views // 100),
    "subscribersLost": ("INTEGER", lambda _views: 0),
}


@dataclass
class Audience:
    """How a video is watched. `worth` says what its state is worth, as a factor."""

    published_at: datetime
    per_hour: float = 4.0
    worth: Callable[[dict[str, Any]], float] = lambda _video: 1.0
    watched: float = 0.0  # up to `seen_at`
    seen_at: datetime | None = None


@dataclass
class Figures:
    """What this module keeps on the fake's shelf."""

    audiences: dict[str, Audience] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    several_at_once: bool = True  # whether reports of several videos are answered


def figures(fake: FakeYouTube) -> Figures:
    return fake.shelf.setdefault("figures", Figures())


def watch(fake: FakeYouTube, published_at: datetime, **audience: Any) -> str:
    """A public video with an audience; gives its id."""
    video_id = fake.add_video(status={"privacyStatus": "public"})
    fake.videos[video_id]["snippet"]["publishedAt"] = moment_text(published_at)
    figures(fake).audiences[video_id] = Audience(published_at, **audience)
    return video_id


def _views(fake: FakeYouTube, video_id: str) -> int:
    """Views so far. Whatever the video is worth now, it was worth since it was last looked at."""
    audience = figures(fake).audiences[video_id]
    since, now = audience.seen_at or audience.published_at, fake.now()
    hours = max(0.0, (now - since) / timedelta(hours=1))
    audience.watched += hours * audience.per_hour * audience.worth(fake.videos[video_id])
    audience.seen_at = max(now, since)
    return int(audience.watched)


def _on(audience: Audience, day: date) -> int:
    """Views on a day, as if the video had always been worth the same."""
    begin = max(_begins(day), audience.published_at)
    hours = max(0.0, (_begins(day + timedelta(days=1)) - begin) / timedelta(hours=1))
    return int(hours * audience.per_hour)


def _begins(day: date) -> datetime:
    return datetime.combine(day, time(), PACIFIC).astimezone(UTC)


@answers("youtube.videos.batchGetStats")
def _batch(fake: FakeYouTube, call: Call) -> Any:
    ids = call.params.get("id", [])
    if not 0 < len(ids) <= 50 or "statistics" not in call.params.get("part", []):
        raise Refused(400, "invalidArgument")
    items = []
    for video_id in ids:
        if video_id in figures(fake).audiences and video_id in fake.videos:
            views = _views(fake, video_id)
            counts = {"viewCount": views, "likeCount": views // 20, "commentCount": views // 50}
            told = {name: str(count) for name, count in counts.items()}
            items.append({"kind": "youtube#videoStats", "id": video_id, "statistics": told})
    return {"kind": "youtube#batchGetStatsResponse", "items": items}


def _unsupported() -> Refused:
    return Refused(400, "badRequest", "The query is not supported.")


@answers("youtubeAnalytics.reports.query")
def _report(fake: FakeYouTube, call: Call) -> Any:
    asked = call.params
    first, last = (date.fromisoformat(asked[n]) for n in ("startDate", "endDate"))
    if asked["ids"] != "channel==MINE" or first > last:
        raise Refused(400, "invalidParameter")
    dimensions, metrics = asked.get("dimensions", ""), asked["metrics"].split(",")
    filters = dict(f.split("==") for f in asked.get("filters", "").split(";") if f)
    videos = filters.get("video", "").split(",") if filters else []
    audiences = figures(fake).audiences
    known = [v for v in videos if v in audiences]
    if dimensions == "elapsedVideoTimeRatio":
        if len(videos) != 1 or metrics != ["audienceWatchRatio"]:
            raise _unsupported()
        columns = [("elapsedVideoTimeRatio", "DIMENSION", "FLOAT"),
                   ("audienceWatchRatio", "METRIC", "FLOAT")]  # fmt: skip
        curve = [[i / 100, round(1.1 - 0.7 * i / 100, 4)] for i in range(1, 101)]
        return _table(columns, curve if known else [])
    if dimensions not in ("day", "video,day") or set(metrics) - set(_METRICS):
        raise _unsupported()
    if dimensions == "video,day" and (not videos or not figures(fake).several_at_once):
        raise _unsupported()
    if len(videos) > 500:
        raise Refused(400, "badRequest", "too many videos")
    told = dimensions.split(",")
    columns = [(n, "DIMENSION", "STRING") for n in told]
    columns += [(m, "METRIC", _METRICS[m][0]) for m in metrics]
    rows = []
    day = first
    while day <= last and _begins(day) + timedelta(days=1) + LATE <= fake.now():
        if "video" in told:
            by = {v: _on(audiences[v], day) for v in known}
        else:
            by = {"": sum(_on(audiences[v], day) for v in (known if videos else audiences))}
        for video, views in by.items():
            if views:  # days without a view are not told
                head = [video, day.isoformat()] if "video" in told else [day.isoformat()]
                rows.append([*head, *(_METRICS[m][1](views) for m in metrics)])
        day += timedelta(days=1)
    return _table(columns, rows)


def _table(columns: list[tuple[str, str, str]], rows: list[list[Any]]) -> dict[str, Any]:
    heads = [{"name": n, "columnType": c, "dataType": d} for n, c, d in columns]
    told: dict[str, Any] = {"kind": "youtubeAnalytics#resultTable", "columnHeaders": heads}
    return told | ({"rows": rows} if rows else {})


@answers("youtubereporting.jobs.list")
def _jobs(fake: FakeYouTube, _call: Call) -> Any:
    jobs = figures(fake).jobs
    return {"jobs": jobs} if jobs else {}


@answers("youtubereporting.jobs.create")
def _order(fake: FakeYouTube, call: Call) -> Any:
    jobs = figures(fake).jobs
    if any(j["reportTypeId"] == call.body.get("reportTypeId") for j in jobs):
        raise Refused(409, "alreadyExists")
    made = {"id": f"job-{len(jobs)}", "createTime": moment_text(fake.now()), **call.body}
    jobs.append(made)
    return made


def _reports(fake: FakeYouTube, job: dict[str, Any]) -> dict[str, tuple[date, datetime]]:
    """Day and time of making of each report that is there: 30 days back, each two days late."""
    ordered = datetime.fromisoformat(job["createTime"])
    found = {}
    for back in range(-90, 31):
        day = ordered.astimezone(PACIFIC).date() - timedelta(days=back)
        made = max(_begins(day) + timedelta(days=1), ordered) + LATE + timedelta(minutes=-back + 60)
        if made <= fake.now():
            found[f"{job['id']}-{day:%Y%m%d}"] = (day, made)
    return found


@answers("youtubereporting.jobs.reports.list")
def _list_reports(fake: FakeYouTube, call: Call) -> Any:
    job = next((j for j in figures(fake).jobs if j["id"] == call.params["jobId"]), None)
    if job is None:
        raise Refused(404, "notFound")
    after = call.params.get("createdAfter")
    reports = [
        {
            "id": name,
            "jobId": job["id"],
            "createTime": moment_text(made),
            "startTime": moment_text(_begins(day)),
            "endTime": moment_text(_begins(day + timedelta(days=1))),
            "downloadUrl": f"{fake.url}/v1/media/{fake.channel_id}/{name}?alt=media",
        }
        for name, (day, made) in _reports(fake, job).items()
        if after is None or made > datetime.fromisoformat(after)
    ]
    return {"reports": reports} if reports else {}


@answers("youtubereporting.media.download")
def _download(fake: FakeYouTube, call: Call) -> Any:
    name = call.params["resourceName"].rpartition("/")[2]
    job = next(j for j in figures(fake).jobs if name.startswith(j["id"]))
    day, _ = _reports(fake, job)[name]
    columns = ("date", "channel_id", "video_id", "country_code", "video_thumbnail_impressions")
    lines = [",".join((*columns, "video_thumbnail_impressions_ctr"))]
    for video_id, audience in figures(fake).audiences.items():
        views = _on(audience, day)
        # In two countries: what a report tells apart has to be added up.
        for country, shown, rate in (("DE", views * 10, 0.04), ("US", views * 10, 0.06)):
            if views:
                lines.append(f"{day:%Y%m%d},{fake.channel_id},{video_id},{country},{shown},{rate}")
    return {"file": ("\n".join(lines) + "\n").encode()}
