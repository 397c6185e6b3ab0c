"""Figures of releases, what goes with what, and experiments."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Query, Response, UploadFile
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from lofi.brief import InputError
from lofi.studio import ConflictError, Studio, analytics, experiments, once
from lofi.web._jobs import replayed
from lofi.web._route import IdempotencyKey, Route
from lofi.web._who import Publisher, Reader, TheStudio, Writer

router = APIRouter(route_class=Route)

_KEPT_S = 60.0

# Over time -------------------------------------------------------------------------------------


class MetricName(BaseModel):
    """A figure that was collected."""

    name: str
    first_at: str
    last_at: str
    points: int


class Point(BaseModel):
    """The sum of a figure over all releases at one moment; of shares and rates the mean."""

    at: str
    value: float
    figures: int


class Series(BaseModel):
    """A figure over time."""

    name: str
    of: str = Field(description="`releases`, or `channel`.")
    points: list[Point]


class SummedGroup(BaseModel):
    """A figure of the releases whose tracks are alike, added up."""

    name: str
    value: str
    tracks: int
    releases: int
    points: int
    sum: float
    mean_of_last: float = Field(description="The newest figure of each release, on average.")


class Analytics(BaseModel):
    """What was collected. Where nothing was, there is nothing here: not zeros."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "collected": True,
                    "names": [
                        {
                            "name": "views",
                            "first_at": "2026-11-01T06:00:00.000Z",
                            "last_at": "2026-11-30T06:00:00.000Z",
                            "points": 30,
                        }
                    ],
                    "series": [
                        {
                            "name": "views",
                            "of": "releases",
                            "points": [
                                {"at": "2026-11-30T06:00:00.000Z", "value": 1204.0, "figures": 8}
                            ],
                        }
                    ],
                    "truncated": False,
                    "by": {
                        "mood": [
                            {
                                "name": "views",
                                "value": "sleep",
                                "tracks": 3,
                                "releases": 3,
                                "points": 90,
                                "sum": 20312.0,
                                "mean_of_last": 301.5,
                            }
                        ]
                    },
                }
            ]
        }
    )

    collected: bool
    names: list[MetricName]
    series: list[Series]
    truncated: bool
    by: dict[str, list[SummedGroup]] = Field(description="By `mood`, `bpm`, `key`, `palette`.")


@router.get("/api/analytics", tags=["analytics"], summary="Figures of releases")
def read_analytics(
    studio: TheStudio,
    _: Reader,
    name: Annotated[list[str], Query()] = [],  # noqa: B006
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    track: Annotated[str | None, Query(max_length=200)] = None,
) -> Analytics:
    """Figures over time, and by what the tracks are like."""
    _refuse_odd(*name, track or "")

    def read() -> dict[str, Any]:
        with studio.database.read() as session:
            return analytics.series(session, names=name, since=since, until=until, track_id=track)

    key = repr((sorted(name), since, until, track))
    return Analytics(**studio.cache.get_or_make("analytics", key, read, ttl_s=_KEPT_S))


def _refuse_odd(*texts: str) -> None:
    if any(not text.isprintable() for text in texts):
        raise InputError("a name holds characters that no name has.")


class Count(BaseModel):
    """A count of the channel as it was last read."""

    value: float
    at: str


class Course(BaseModel):
    """How a daily figure changes, as a factor from one week to the next."""

    days: int
    per_week: float | None = Field(description="None where there are too few days to say.")
    low: float | None
    high: float | None
    says: str = Field(description="`rising`, `falling`, `unclear`, or `few` days.")


class Total(BaseModel):
    """A daily figure of the channel over four weeks."""

    name: str
    told: str
    until: str = Field(description="The last day that YouTube has told.")
    value: float | None
    before: float | None = Field(description="The same over the four weeks before.")
    trend: Course | None


class Totals(BaseModel):
    """The channel as a whole."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "days": 28,
                    "counts": {"subscribers": {"value": 812.0, "at": "2026-11-30T06:00:00.000Z"}},
                    "figures": [
                        {
                            "name": "daily_views",
                            "told": "views on the day",
                            "until": "2026-11-27",
                            "value": 5120.0,
                            "before": 4310.0,
                            "trend": {
                                "days": 28,
                                "per_week": 1.06,
                                "low": 0.99,
                                "high": 1.14,
                                "says": "unclear",
                            },
                        }
                    ],
                }
            ]
        }
    )

    days: int
    counts: dict[str, Count]
    figures: list[Total]


@router.get("/api/analytics/totals", tags=["analytics"], summary="The channel as a whole")
def read_totals(studio: TheStudio, _: Reader) -> Totals:
    """Counts of the channel now, and its daily figures of four weeks with their trends."""
    return Totals(**_kept(studio, "totals", analytics.totals))


def _kept(studio: Studio, key: str, make: Callable[[Any], Any]) -> Any:
    def read() -> Any:
        with studio.database.read() as session:
            return make(session)

    return studio.cache.get_or_make("analytics", key, read, ttl_s=_KEPT_S)


class Part(BaseModel):
    """A part of what is collected."""

    part: str
    told: str
    at: str | None = Field(description="When it last came.")
    problem: str | None = Field(description="Why it did not come last time, and what to do.")


class State(BaseModel):
    """Whether there is anything to collect from, and how collecting goes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "connected": True,
                    "account": "Quiet Harbour Radio",
                    "problem": None,
                    "releases": 12,
                    "collected_at": "2026-11-30T06:00:00.000Z",
                    "parts": [
                        {
                            "part": "counts",
                            "told": "views, likes and comments so far",
                            "at": "2026-11-30T06:00:00.000Z",
                            "problem": None,
                        }
                    ],
                }
            ]
        }
    )

    connected: bool
    account: str | None
    problem: str | None = Field(description="What ails the account.")
    releases: int = Field(description="How many people can watch.")
    collected_at: str | None
    parts: list[Part]


@router.get("/api/analytics/state", tags=["analytics"], summary="How collecting goes")
def read_state(studio: TheStudio, _: Reader) -> State:
    """What was collected when, and what ails it."""
    with studio.database.read() as session:
        return State(**analytics.state(session))


class Collecting(BaseModel):
    """What was asked of the studio."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"asked": True}]})

    asked: bool


@router.post(
    "/api/analytics/collect", status_code=202, tags=["analytics"], summary="Collect what is due"
)
def collect_now(studio: TheStudio, _: Writer) -> Collecting:
    """Have the figures that are due collected next, and not only when their time comes.

    What was read a moment ago is not due: counts are read every hour at most, days every six.
    """
    if studio.rounds is None:
        raise ConflictError(
            "this server carries out no work. Run `lofi analytics collect`, or start it with "
            "`lofi serve --workers`."
        )
    with studio.database.read() as session:
        if not analytics.state(session)["connected"]:
            raise ConflictError("no YouTube account is connected. Run `lofi youtube connect`.")
    studio.rounds.wake("figures")
    return Collecting(asked=True)


# What goes with what -----------------------------------------------------------------------------


class Group(BaseModel):
    """Releases that are alike: the figure of a typical one of them, and how it stands out."""

    value: str
    n: int
    estimate: float
    low: float = Field(description="The true one lies from `low` to `high` with 90 %.")
    high: float
    effect: float = Field(
        description="How it stands out from the typical release of all: a factor on the scale "
        "`log` (1 is not at all), a difference on the scale `plain` (0 is not at all)."
    )
    effect_low: float
    effect_high: float
    says: str = Field(
        description="`above`, `below`, `unclear`; `few` where there are too few to say."
    )


class Groups(BaseModel):
    """Releases by one of their facts."""

    enough: bool = Field(description="False where no group says anything: 8 releases are needed.")
    typical: float | None = Field(description="What `effect` is seen from: all groups alike.")
    groups: list[Group]


_GROUP = {
    "value": "sleep",
    "n": 6,
    "estimate": 310.2,
    "low": 204.0,
    "high": 480.9,
    "effect": 1.31,
    "effect_low": 0.94,
    "effect_high": 1.94,
    "says": "unclear",
}


class Report(BaseModel):
    """Releases at equal age, compared by what their tracks are like and when they went out."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "measure": "views",
                    "told": "views",
                    "scale": "log",
                    "age_days": 7.0,
                    "time_zone": "Europe/Berlin",
                    "releases": 14,
                    "too_young": 2,
                    "unknown": 1,
                    "typical": 236.5,
                    "by": {"mood": {"enough": True, "typical": 237.1, "groups": [_GROUP]}},
                }
            ]
        }
    )

    measure: str
    told: str
    scale: str
    age_days: float
    time_zone: str = Field(description="That of the hours.")
    releases: int = Field(description="How many are compared.")
    too_young: int = Field(description="How many have not reached that age.")
    unknown: int = Field(description="Of how many the figure at that age is not known.")
    typical: float | None
    by: dict[str, Groups] = Field(
        description="By `mood`, `bpm`, `key`, `palette`, `template`, `length` and `hour`."
    )


Measures = Literal["views", "watch_min", "view_share", "click_rate"]


@router.get("/api/analytics/report", tags=["analytics"], summary="What goes with more views")
def read_report(
    studio: TheStudio,
    _: Reader,
    measure: Measures = "views",
    age_days: Annotated[
        float, Query(ge=1, le=analytics.MOST_AGE_DAYS, description="Days after it went out.")
    ] = 7.0,
) -> Report:
    """Releases at equal age by mood, tempo, key, palette, template, length and hour.

    It tells what went together, not what caused it. Small groups are drawn towards the typical
    release, and their intervals are wide.
    """
    zone = analytics.zone_of(studio.settings())
    key = f"report/{measure}/{age_days:g}/{zone}"
    return Report(
        **_kept(
            studio,
            key,
            lambda session: analytics.report(
                session, measure=measure, age_days=age_days, zone=zone
            ),
        )
    )


class Curve(BaseModel):
    """How far people watch a release."""

    release_id: int
    track_id: str
    title: str
    at: str
    points: list[tuple[float, float]] = Field(
        description="How far into the video (0 to 1), and viewers there by view."
    )


class Retention(BaseModel):
    """How far people watch."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "releases": [
                        {
                            "release_id": 3,
                            "track_id": "quiet-harbour-1f0c2d3e",
                            "title": "Quiet Harbour",
                            "at": "2026-11-30T08:00:00.000Z",
                            "points": [[0.01, 1.02], [0.5, 0.61], [1.0, 0.34]],
                        }
                    ],
                    "middle": [[0.5, 0.58, 0.49, 0.66]],
                }
            ]
        }
    )

    releases: list[Curve]
    middle: list[tuple[float, float, float, float]] = Field(
        description="Of three or more releases: how far, the median, and the quartiles."
    )


@router.get("/api/analytics/retention", tags=["analytics"], summary="How far people watch")
def read_retention(
    studio: TheStudio,
    _: Reader,
    track: Annotated[str | None, Query(max_length=200)] = None,
) -> Retention:
    """The newest curve of each release, or of the releases of one track."""
    _refuse_odd(track or "")
    return Retention(
        **_kept(
            studio,
            f"retention/{track}",
            lambda session: analytics.retention(session, track_id=track),
        )
    )


# Tables to take away -----------------------------------------------------------------------------

_CSV: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "All of them.",
        "content": {"text/csv": {"example": ",".join(analytics.COLUMNS)}},
    }
}
_PARQUET = "application/vnd.apache.parquet"


@router.get(
    "/api/analytics/export.csv",
    tags=["analytics"],
    summary="All figures as CSV",
    response_class=Response,
    responses=_CSV,
)
def export_csv(
    studio: TheStudio,
    _: Reader,
    name: Annotated[list[str], Query()] = [],  # noqa: B006
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
) -> Response:
    """One figure a line, with what the track is like."""
    _refuse_odd(*name)
    lines = analytics.csv_lines(studio.database.read, names=name, since=since, until=until)
    return StreamingResponse(
        (line.encode() for line in lines),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="analytics.csv"'},
    )


@router.get(
    "/api/analytics/export.parquet",
    tags=["analytics"],
    summary="All figures as Parquet",
    response_class=Response,
    responses={
        200: {"description": "All of them.", "content": {_PARQUET: {"example": "PAR1…"}}},
    },
)
def export_parquet(
    studio: TheStudio,
    _: Reader,
    name: Annotated[list[str], Query()] = [],  # noqa: B006
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
) -> Response:
    """The same with types. It needs pyarrow, which `pip install 'lofi-empire[parquet]'` brings."""
    _refuse_odd(*name)
    analytics.require_parquet()
    handle, path = tempfile.mkstemp(suffix=".parquet")
    os.close(handle)
    gone = BackgroundTask(Path(path).unlink, missing_ok=True)
    try:
        analytics.write_parquet(
            Path(path), studio.database.read, names=name, since=since, until=until
        )
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise
    return FileResponse(path, media_type=_PARQUET, filename="analytics.parquet", background=gone)


# Experiments -------------------------------------------------------------------------------------


class Arm(BaseModel):
    """What is shown in some turns."""

    name: str
    title: str | None
    sha256: str | None = Field(description="Of the image.")
    amount: float = Field(description="Views or clicks in its turns so far.")
    rate: float | None = Field(description="By hour, or by time that the thumbnail showed.")
    turns: int


class Against(BaseModel):
    """One arm against another."""

    arm: int
    other: int
    ratio: float = Field(description="How much better the arm does.")
    low: float | None = Field(description="It lies from `low` to `high`, at any moment one looks.")
    high: float | None
    evidence: float = Field(description="1 at first; `needed` decides.")


class StopRule(BaseModel):
    """When an experiment ends."""

    alpha: float
    min_blocks: int
    min_amount: float
    max_days: float
    turn_hours: int


_RULE = {
    "alpha": 0.05,
    "min_blocks": 4,
    "min_amount": 100.0,
    "max_days": 56.0,
    "turn_hours": 24,
}
_EXPERIMENT: dict[str, Any] = {
    "id": 2,
    "release_id": 3,
    "track_id": "quiet-harbour-1f0c2d3e",
    "title": "Quiet Harbour",
    "kind": "title",
    "state": "running",
    "measure": "views_per_hour",
    "rule": _RULE,
    "arms": [
        {
            "name": "as it is",
            "title": None,
            "sha256": None,
            "amount": 412.0,
            "rate": 4.29,
            "turns": 4,
        },
        {
            "name": "Quiet Harbour · lofi to read to",
            "title": "Quiet Harbour · lofi to read to",
            "sha256": None,
            "amount": 498.0,
            "rate": 5.19,
            "turns": 4,
        },
    ],
    "shown": 1,
    "next_at": "2026-12-01T08:00:00.000Z",
    "blocks": 4,
    "void": 0,
    "needed": 40.0,
    "pairs": [{"arm": 1, "other": 0, "ratio": 1.21, "low": 0.83, "high": 1.77, "evidence": 3.1}],
    "why": "the evidence does not suffice yet",
    "winner": None,
    "applies": "no",
    "problem": None,
    "started_by": "local",
    "started_at": "2026-11-22T19:04:00.000Z",
    "ended_at": None,
}


class Experiment(BaseModel):
    """Thumbnails or titles of a release that take turns, and the evidence so far."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXPERIMENT]})

    id: int
    release_id: int
    track_id: str
    title: str
    kind: str = Field(description="`thumbnail` or `title`.")
    state: str = Field(description="`running`, `decided`, `undecided`, `stopped`.")
    measure: str = Field(description="`views_per_hour` or `click_rate`.")
    rule: StopRule
    arms: list[Arm]
    shown: int | None = Field(description="Which arm YouTube shows now.")
    next_at: str | None = Field(description="When the next turn begins.")
    blocks: int = Field(description="Blocks in which every arm had its turn.")
    void: int = Field(description="Blocks that count for nothing: a turn began too late.")
    needed: float | None
    pairs: list[Against]
    why: str
    winner: str | None
    applies: str = Field(description="Whether the winner is shown: `no`, `asked`, `shown`.")
    problem: str | None
    started_by: str
    started_at: str
    ended_at: str | None


class Experiments(BaseModel):
    """All experiments."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_EXPERIMENT]}]})

    items: list[Experiment]


class StartExperiment(BaseModel):
    """What takes turns with what the release has now, and when it ends."""

    model_config = ConfigDict(
        extra="forbid",
        str_max_length=1_000,
        json_schema_extra={
            "examples": [
                {"kind": "title", "titles": ["Quiet Harbour · lofi to read to"]},
                {"kind": "thumbnail", "palettes": ["teal"], "measure": "click_rate"},
            ]
        },
    )

    kind: Literal["thumbnail", "title"]
    titles: list[str] = Field([], max_length=3)
    images: list[str] = Field(
        [], max_length=3, description="What `POST /api/experiments/images` gave as `sha256`."
    )
    palettes: list[str] = Field(
        [], max_length=3, description="The track's thumbnail, drawn in other colours."
    )
    measure: Literal["views_per_hour", "click_rate"] = "views_per_hour"
    apply_winner: bool = Field(
        default=False, description="Whether the winner stays; else the release gets back its own."
    )
    turn_hours: Literal[6, 12, 24, 48] = 24
    min_blocks: int = Field(4, ge=2, le=100)
    min_amount: float = Field(100.0, ge=0, le=1e9)
    max_days: float = Field(56.0, ge=1, le=366)
    alpha: float = Field(0.05, gt=0, le=0.2, description="The error allowed in all.")


@router.get("/api/experiments", tags=["experiments"], summary="Experiments")
def list_experiments(studio: TheStudio, _: Reader) -> Experiments:
    """All of them with their evidence, those that run first."""
    with studio.database.read() as session:
        return Experiments(items=[Experiment(**e) for e in experiments.listing(session)])


@router.get("/api/experiments/{experiment_id}", tags=["experiments"], summary="An experiment")
def read_experiment(experiment_id: int, studio: TheStudio, _: Reader) -> Experiment:
    """What takes turns, and the evidence so far."""
    with studio.database.read() as session:
        row = experiments.find(session, experiment_id)
        return Experiment(**experiments.view(session, row))


@router.post(
    "/api/releases/{release_id}/experiments",
    status_code=201,
    tags=["experiments"],
    summary="Start an experiment",
)
def start_experiment(
    release_id: int,
    body: StartExperiment,
    studio: TheStudio,
    who: Publisher,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Experiment:
    """Have titles or thumbnails of a release take turns, with what it has now as the first.

    Who starts it says that these words and images may be shown; the audit trail keeps it.
    """
    told, again = once(
        studio.database,
        who.name,
        idempotency_key,
        f"experiment {release_id} {body.model_dump_json()}",
        lambda: experiments.prepare(studio, release_id, actor=who.name, **body.model_dump()),
        status=201,
    )
    if again:
        replayed(response)
    response.headers["Location"] = f"/api/experiments/{told['id']}"
    return Experiment(**told)


@router.post(
    "/api/experiments/{experiment_id}/stop", tags=["experiments"], summary="Stop an experiment"
)
def stop_experiment(experiment_id: int, studio: TheStudio, who: Publisher) -> Experiment:
    """End it before its time; the release gets back what it had within minutes."""
    with studio.database.write() as session:
        told = experiments.stop(session, experiment_id, actor=who.name)
    _wake(studio)
    return Experiment(**told)


@router.post(
    "/api/experiments/{experiment_id}/apply", tags=["experiments"], summary="Show the winner"
)
def apply_experiment(experiment_id: int, studio: TheStudio, who: Publisher) -> Experiment:
    """Have the winner shown from now on."""
    with studio.database.write() as session:
        told = experiments.apply(session, experiment_id, actor=who.name)
    _wake(studio)
    return Experiment(**told)


def _wake(studio: Studio) -> None:
    if studio.rounds is not None:
        studio.rounds.wake("experiments")


class Image(BaseModel):
    """An image that was kept for an experiment."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sha256": "fe09b0d781e6f5a9aba2913a14a479e72aef41dc9312875f86e15ecb85ffca1e",
                    "media_type": "image/jpeg",
                    "width": 1280,
                    "height": 720,
                }
            ]
        }
    )

    sha256: str
    media_type: str
    width: int
    height: int


@router.post(
    "/api/experiments/images",
    status_code=201,
    tags=["experiments"],
    summary="Send an image for an experiment",
    openapi_extra={
        "requestBody": {"content": {"multipart/form-data": {"example": {"file": "night.jpg"}}}}
    },
)
def put_image(
    studio: TheStudio,
    _: Publisher,
    file: Annotated[UploadFile, File(description="A JPEG or PNG of 16:9, at most 2 MB.")],
) -> Image:
    """Keep a thumbnail; without an experiment that names it, it is dropped after an hour."""
    data = file.file.read(experiments.MOST_IMAGE_BYTES + 1)
    return Image(**experiments.put_image(studio, data))
