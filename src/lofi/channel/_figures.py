"""Figures of videos and of the channel: what to ask YouTube for, and what its answers say.

Sources, as of November 2026: discovery documents of youtube v3 (`videos.batchGetStats`), of
youtubeAnalytics v2 and youtubereporting v1; their pages "Channel Reports", "Metrics" and "Data
Model". What follows from them:

- Counts so far come from `videos.batchGetStats`, 50 videos for one unit of a bucket of its own.
- Figures by day come from `reports.query`. A day is one of Los Angeles and is complete after two
  to three days; figures of the last days are corrected later, so they are asked for again.
- Where people stop watching is asked for one video at a time, of all its days together.
- How often thumbnails were shown and clicked is in no report that can be queried: the metrics are
  named, and every query for them is refused. It is in the daily bulk report
  `channel_reach_basic_a1` (since January 2026), which YouTube makes once it has been ordered, two
  days late.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from lofi.brief import LofiError
from lofi.channel._quota import PACIFIC

if TYPE_CHECKING:
    from lofi.channel._youtube import Api

VIDEOS_AT_ONCE = 50
REACH_REPORT = "channel_reach_basic_a1"
RETENTION = "retention/"  # and how far into the video: retention/0.35

_ASK_EVERY = timedelta(hours=6)  # for what YouTube makes anew once a day, at no certain hour
_LATE_DAYS = 3  # figures of so many days are asked for again: YouTube corrects them
_MOST_DAYS = 400  # asked for at once
_READ_EVERY_NEW = timedelta(hours=1)  # counts of a video younger than _NEW
_READ_EVERY = timedelta(hours=20)
_NEW = timedelta(days=8)
_RETENTION_AGES = tuple(timedelta(days=d) for d in (3, 7, 14, 28, *range(56, 3000, 28)))
_RETENTIONS_AT_ONCE = 20
_REPORTS_AT_ONCE = 70  # YouTube keeps them for 60 days


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that is kept: its name here, YouTube's word for it, and what it is.

    kind: `count` (so far, at a moment), `sum` (of a day; days add up), `mean` (of a day; weighed by
    the figure `by`). `factor` turns YouTube's unit into ours.
    """

    name: str
    source: str
    kind: str
    told: str
    by: str | None = None
    factor: float = 1.0


_COUNTS = (
    Figure("views", "viewCount", "count", "views so far"),
    Figure("likes", "likeCount", "count", "likes so far"),
    Figure("comments", "commentCount", "count", "comments so far"),
)
_CHANNEL_COUNTS = (
    Figure("subscribers", "subscriberCount", "count", "subscribers"),
    Figure("views", "viewCount", "count", "views of all videos so far"),
    Figure("videos", "videoCount", "count", "public videos"),
)
_DAYS = (
    Figure("daily_views", "views", "sum", "views on the day"),
    Figure("daily_engaged_views", "engagedViews", "sum", "views that went on after the start"),
    Figure("daily_watch_min", "estimatedMinutesWatched", "sum", "minutes watched on the day"),
    Figure(
        "daily_view_s", "averageViewDuration", "mean", "seconds watched by view", "daily_views"
    ),
    Figure(
        "daily_view_share", "averageViewPercentage", "mean", "share watched by view",
        "daily_views", 0.01,
    ),
    Figure("daily_likes", "likes", "sum", "likes on the day"),
    Figure("daily_comments", "comments", "sum", "comments on the day"),
    Figure("daily_shares", "shares", "sum", "shares on the day"),
    Figure("daily_subscribers_gained", "subscribersGained", "sum", "subscribers won on the day"),
    Figure("daily_subscribers_lost", "subscribersLost", "sum", "subscribers lost on the day"),
)  # fmt: skip
_REACH = (
    Figure("daily_impressions", "video_thumbnail_impressions", "sum", "times a thumbnail showed"),
    Figure(
        "daily_click_rate", "video_thumbnail_impressions_ctr", "mean",
        "clicks per time that a thumbnail showed", "daily_impressions",
    ),
)  # fmt: skip
METRICS: dict[str, Figure] = {f.name: f for f in (*_CHANNEL_COUNTS, *_COUNTS, *_DAYS, *_REACH)}

# The parts of a collection in the order in which they are asked for, the cheapest by video first.
FIGURE_PARTS = {
    "counts": "views, likes and comments so far",
    "channel": "subscribers, views and videos of the channel",
    "channel days": "figures of the channel by day",
    "days": "figures of the videos by day",
    "reach": "how often thumbnails showed and were clicked",
    "retention": "how far people watch",
}


class Reading(NamedTuple):
    """A figure at a moment: of a video, or of the channel where `video_id` is None."""

    name: str
    value: float
    at: datetime
    video_id: str | None


@dataclass(frozen=True, slots=True)
class Video:
    """A video, and what is known of it: what is asked for follows from that.

    `counted_at` is when its counts were last read, `day` the newest day with figures,
    `retention_at` when its retention was last read. `closely`: counts are read every hour.
    """

    id: str
    published_at: datetime
    counted_at: datetime | None = None
    day: date | None = None
    retention_at: datetime | None = None
    closely: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the channel itself, and when a part was last asked for and answered.

    `reach_after` is when the newest report on reach was made, in YouTube's words.
    """

    counted_at: datetime | None = None
    day: date | None = None
    reach_after: str | None = None
    asked: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One request: which part of the collection it is of, and which videos it is for."""

    part: str
    method: str
    params: dict[str, Any] = field(default_factory=dict)
    videos: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Collected:
    """What came of a part: its readings, or the `problem` that ended it.

    `replaces` says that all earlier readings of these names and videos give way. `reach_after` is
    the mark from which the next reports count.
    """

    part: str
    readings: tuple[Reading, ...] = ()
    replaces: bool = False
    problem: str | None = None
    reach_after: str | None = None


# What to ask for ---------------------------------------------------------------------------------


def plan_figures(videos: Sequence[Video], known: Known, moment: datetime) -> list[Step]:
    """The requests that are due at a moment, in order; those for reach depend on their answers."""
    steps = [
        Step(
            "counts",
            "youtube.videos.batchGetStats",
            {"part": ["statistics"], "id": list(ids)},
            ids,
        )
        for ids in _batches([v.id for v in videos if _counts_due(v, moment)])
    ]
    if known.counted_at is None or moment - known.counted_at >= _READ_EVERY:
        steps.append(
            Step("channel", "youtube.channels.list", {"part": ["statistics"], "mine": True})
        )
    last = newest_day(moment)
    if videos and _part_due("channel days", known, moment):
        first = (known.day or _first_day(videos, moment)) - timedelta(days=_LATE_DAYS)
        steps.append(_days_step("channel days", (), min(first, last), last))
    if _part_due("days", known, moment):
        due = sorted(
            ((start, v.id) for v in videos if (start := _days_from(v, last)) is not None),
            reverse=True,
        )
        # Videos that lack few days go together, and those that lack many.
        steps += [
            _days_step("days", tuple(i for _, i in batch), batch[-1][0], last)
            for batch in _batches(due)
        ]
    wanted = sorted((v for v in videos if _retention_due(v, moment)), key=lambda v: v.published_at)
    steps += [_retention_step(v, last) for v in wanted[::-1][:_RETENTIONS_AT_ONCE]]
    return steps


def _part_due(part: str, known: Known, moment: datetime) -> bool:
    asked = known.asked.get(part)
    return asked is None or moment - asked >= _ASK_EVERY


def pacific_day_start(day: date) -> datetime:
    """When a day of YouTube's begins, in UTC."""
    return datetime.combine(day, time(), PACIFIC).astimezone(UTC)


def day_of(moment: datetime) -> date:
    """The day of YouTube's that a moment is on."""
    return moment.astimezone(PACIFIC).date()


def newest_day(moment: datetime) -> date:
    """The newest day that is over at a moment."""
    return day_of(moment) - timedelta(days=1)


def _counts_due(video: Video, moment: datetime) -> bool:
    if video.counted_at is None:
        return True
    new = video.closely or moment - video.published_at < _NEW
    return moment - video.counted_at >= (_READ_EVERY_NEW if new else _READ_EVERY)


def _first_day(videos: Sequence[Video], moment: datetime) -> date:
    first = min((day_of(v.published_at) for v in videos), default=newest_day(moment))
    return max(first, newest_day(moment) - timedelta(days=_MOST_DAYS))


def _days_from(video: Video, last: date) -> date | None:
    """From which day on the figures of a video are wanted; None before its first day is over."""
    published = day_of(video.published_at)
    if published > last:
        return None
    first = published if video.day is None else video.day - timedelta(days=_LATE_DAYS)
    return max(first, published, last - timedelta(days=_MOST_DAYS))


def _retention_due(video: Video, moment: datetime) -> bool:
    age = moment - video.published_at
    seen = video.retention_at - video.published_at if video.retention_at else timedelta(0)
    return any(seen < due <= age for due in _RETENTION_AGES)


def _days_step(part: str, videos: tuple[str, ...], first: date, last: date) -> Step:
    params: dict[str, Any] = {
        "ids": "channel==MINE",
        "startDate": first.isoformat(),
        "endDate": last.isoformat(),
        "metrics": ",".join(f.source for f in _DAYS),
        "dimensions": "day",
    }
    if videos:
        # A filter of several values may be named as a dimension too.
        params |= {"dimensions": "video,day", "filters": f"video=={','.join(videos)}"}
    return Step(part, "youtubeAnalytics.reports.query", params, videos)


def _retention_step(video: Video, last: date) -> Step:
    params = {
        "ids": "channel==MINE",
        "startDate": day_of(video.published_at).isoformat(),
        "endDate": max(last, day_of(video.published_at)).isoformat(),
        "metrics": "audienceWatchRatio",
        "dimensions": "elapsedVideoTimeRatio",
        "filters": f"video=={video.id}",
    }
    return Step("retention", "youtubeAnalytics.reports.query", params, (video.id,))


def _batches(things: Sequence[Any]) -> list[tuple[Any, ...]]:
    return [tuple(things[i : i + VIDEOS_AT_ONCE]) for i in range(0, len(things), VIDEOS_AT_ONCE)]


# What the answers say ----------------------------------------------------------------------------


def read_figures(step: Step, answer: Mapping[str, Any], moment: datetime) -> list[Reading]:
    """The readings of the answer to a step. Raises LofiError for an answer that has another form.

    Figures that YouTube leaves out (likes that are hidden, days without a view) are left out.
    """
    try:
        if step.part == "counts":
            hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
            return [
                Reading(f.name, float(item["statistics"][f.source]), hour, item["id"])
                for item in answer.get("items", [])
                if item["id"] in step.videos
                for f in _COUNTS
                if f.source in item.get("statistics", {})
            ]
        if step.part == "channel":
            hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
            items = answer.get("items", [])
            told = items[0]["statistics"] if items else {}
            hidden = {"subscriberCount"} if told.get("hiddenSubscriberCount") else set[str]()
            return [
                Reading(f.name, float(told[f.source]), hour, None)
                for f in _CHANNEL_COUNTS
                if f.source in told and f.source not in hidden
            ]
        rows = list(_rows(answer))
        if step.part == "retention":
            return _retention(rows, step.videos[0], moment)
        return [reading for row in rows for reading in _of_day(row, step)]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise LofiError(
            f"YouTube's answer for {FIGURE_PARTS[step.part]} has another form than is documented "
            f"({type(error).__name__}: {error}). Nothing of it is kept; report it."
        ) from error


def _rows(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of a report by the names of their columns, whose order YouTube does not promise."""
    names = [column["name"] for column in answer["columnHeaders"]]
    for row in answer.get("rows") or ():
        yield dict(zip(names, row, strict=True))


def _of_day(row: Mapping[str, Any], step: Step) -> Iterator[Reading]:
    at = pacific_day_start(date.fromisoformat(row["day"]))
    video = row["video"] if "video" in row else (step.videos[0] if step.videos else None)
    if video is not None and video not in step.videos:
        return
    for figure in _DAYS:
        value = row[figure.source]
        if value is not None:
            yield Reading(figure.name, _finite(value) * figure.factor, at, video)


def _retention(rows: Iterable[Mapping[str, Any]], video: str, moment: datetime) -> list[Reading]:
    at = pacific_day_start(day_of(moment))
    return [
        Reading(
            f"{RETENTION}{_finite(row['elapsedVideoTimeRatio']):.2f}",
            _finite(row["audienceWatchRatio"]),
            at,
            video,
        )
        for row in rows
    ]


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no figure")
    return number


def reach_readings(text: str, videos: Iterable[str]) -> list[Reading]:
    """The readings of a bulk report on reach, for these videos and the channel as a whole.

    It has a row for each day, video and whatever else it tells apart, which is added up here.
    Raises LofiError for a file without the columns that the documentation names.
    """
    wanted = set(videos)
    sums: dict[tuple[str | None, date], list[float]] = {}
    table = csv.DictReader(io.StringIO(text))
    columns = table.fieldnames or []
    needed = ("date", "video_id", *(f.source for f in _REACH))
    if lacking := [name for name in needed if name not in columns]:
        raise LofiError(
            f"YouTube's report {REACH_REPORT} lacks {', '.join(lacking)}. Nothing of it is kept; "
            "report it."
        )
    try:
        for row in table:
            day = datetime.strptime(row["date"], "%Y%m%d").date()
            shown = _finite(row[_REACH[0].source] or 0)
            clicked = shown * _finite(row[_REACH[1].source] or 0)
            for video in {row["video_id"], None} & (wanted | {None}):
                found = sums.setdefault((video, day), [0.0, 0.0])
                found[0] += shown
                found[1] += clicked
    except (ValueError, TypeError) as error:
        raise LofiError(
            f"YouTube's report {REACH_REPORT} cannot be read ({error}). Nothing of it is kept; "
            "report it."
        ) from error
    found = []
    for (video, day), (shown, clicked) in sums.items():
        at = pacific_day_start(day)
        found.append(Reading(_REACH[0].name, shown, at, video))
        if shown > 0:
            found.append(Reading(_REACH[1].name, clicked / shown, at, video))
    return found


# Asking ------------------------------------------------------------------------------------------


def collect_figures(
    api: Api, videos: Sequence[Video], known: Known, moment: datetime, *, reach: bool = True
) -> Iterator[Collected]:
    """Ask for what is due, request by request. A part that fails does not keep back the others.

    With `reach` the bulk report is ordered once, if it was not, and those that came since are read.
    """
    failed: set[str] = set()
    steps = plan_figures(videos, known, moment)
    for part in FIGURE_PARTS:
        if part == "reach":
            if reach and videos and _part_due(part, known, moment):
                yield from _reach(api, [v.id for v in videos], known)
            continue
        for step in (s for s in steps if s.part == part):
            if part in failed:
                break
            try:
                yield from _asked(api, step, moment)
            except LofiError as error:
                failed.add(part)
                yield Collected(part, problem=str(error))


def _asked(api: Api, step: Step, moment: datetime) -> Iterator[Collected]:
    from lofi.channel._youtube import RefusedError

    try:
        answer = api.call(step.method, params=step.params)
    except RefusedError as error:
        if step.part != "days" or len(step.videos) < 2 or error.status != 400:
            raise
        # Where several videos at once are refused, one at a time is a report like any other.
        for video in step.videos:
            params = {**step.params, "dimensions": "day", "filters": f"video=={video}"}
            alone = Step(step.part, step.method, params, (video,))
            found = read_figures(alone, api.call(alone.method, params=params), moment)
            yield Collected(step.part, tuple(found))
        return
    found = read_figures(step, answer, moment)
    yield Collected(step.part, tuple(found), replaces=step.part == "retention" and bool(found))


def _reach(api: Api, videos: Sequence[str], known: Known) -> Iterator[Collected]:
    try:
        jobs = _pages(api, "youtubereporting.jobs.list", "jobs")
        job = next((j["id"] for j in jobs if j.get("reportTypeId") == REACH_REPORT), None)
        if job is None:
            body = {"reportTypeId": REACH_REPORT, "name": "LoFi Empire: reach"}
            api.call("youtubereporting.jobs.create", body=body)
            yield Collected("reach")  # YouTube makes the first ones within two days
            return
        reports = _pages(
            api,
            "youtubereporting.jobs.reports.list",
            "reports",
            jobId=job,
            createdAfter=known.reach_after,
        )
        # A report that corrects an earlier day is made later: it goes over that.
        made = sorted((r["createTime"], r["downloadUrl"]) for r in reports)
        for created, url in made[:_REPORTS_AT_ONCE]:
            text = api.download("youtubereporting.media.download", url).decode("utf-8-sig")
            yield Collected("reach", tuple(reach_readings(text, videos)), reach_after=created)
        if not made:
            yield Collected("reach")
    except (KeyError, TypeError, UnicodeDecodeError) as error:
        told = f"{type(error).__name__}: {error}"
        yield Collected(
            "reach",
            problem="YouTube's list of reports has another form than its documentation says "
            f"({told}). Report it.",
        )
    except LofiError as error:
        yield Collected("reach", problem=str(error))


def _pages(api: Api, method: str, items: str, **params: Any) -> Iterator[dict[str, Any]]:
    token = None
    for _ in range(20):
        page = api.call(method, params={**params, "pageToken": token})
        yield from page.get(items) or ()
        token = page.get("nextPageToken")
        if not token:
            return
