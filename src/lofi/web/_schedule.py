"""The schedule: what is to come, slots that come round, releases planned and moved, best hours."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Path, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from lofi.brief import InputError
from lofi.studio import Studio, calendar, once, slots, upcoming
from lofi.web._jobs import replayed
from lofi.web._route import IdempotencyKey, Route
from lofi.web._who import Publisher, Reader, TheStudio

router = APIRouter(tags=["schedule"], route_class=Route)

Id = Annotated[int, Path(ge=1, le=2**31 - 1, examples=[1])]
Text = Annotated[str, Field(max_length=200)]
Privacy = Literal["private", "unlisted", "public"]
Local = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d$",
        description="Instead of `at`: a time on the clocks of the channel's time zone.",
    ),
]


# What is to come -------------------------------------------------------------------------------


class DailyRun(BaseModel):
    """The daily run, and when it comes next."""

    cron: str | None
    time_zone: str
    count: int
    moods: list[str]
    duration_s: float
    next: list[str] = Field(description="Local times with their offset from UTC.")


class WaitingJob(BaseModel):
    """A job that waits for its time."""

    id: str
    title: str
    state: str
    not_before: str


class ComingRelease(BaseModel):
    """A release with a date."""

    id: int
    track_id: str
    title: str
    platform: str
    state: str
    privacy: str
    publish_at: str


class Schedule(BaseModel):
    """What is to come."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "daily": {
                        "cron": "0 6 * * *",
                        "time_zone": "Europe/Berlin",
                        "count": 3,
                        "moods": ["sleep"],
                        "duration_s": 180.0,
                        "next": ["2026-12-01T06:00:00+01:00"],
                    },
                    "jobs": [
                        {
                            "id": "1f0c22d94c4d1f6e",
                            "title": "Quiet Harbour",
                            "state": "queued",
                            "not_before": "2026-11-30T21:00:00.000Z",
                        }
                    ],
                    "releases": [],
                }
            ]
        }
    )

    daily: DailyRun
    jobs: list[WaitingJob]
    releases: list[ComingRelease]


@router.get("/api/schedule", summary="What is to come")
def read_schedule(studio: TheStudio, _: Reader) -> Schedule:
    """The daily run, jobs that wait for their time, and releases with a date."""
    with studio.database.read() as session:
        return Schedule(**upcoming(session, studio.settings().daily))


# A calendar ------------------------------------------------------------------------------------


class ConflictView(BaseModel):
    """Why a release does not fit where it is."""

    kind: str = Field(description="`near`, `full`, `outside` or `approval`.")
    reason: str


class CalendarRelease(BaseModel):
    """A release, with what conflicts."""

    id: int
    track_id: str
    title: str
    mood: str
    duration_s: float
    platform: str
    state: str
    privacy: str
    publish_at: str | None
    local: str | None = Field(description="The same on the clocks of the channel's time zone.")
    movable: bool
    chosen: str | None = Field(description="`hand`, `next`, `best`, `slot` or `now`.")
    why: str | None = Field(description="Why this moment was chosen.")
    conflicts: list[ConflictView]


class OpeningView(BaseModel):
    """One coming of a slot."""

    at: str
    local: str
    slot_id: int
    name: str
    free: bool = Field(description="Whether a release fits there.")


class TrayTrack(BaseModel):
    """An approved track without a release."""

    id: str
    title: str
    mood: str
    bpm: float
    key: str
    duration_s: float
    privacy: str = Field(description="As far as it was approved.")
    decided_at: str


class DailyMoment(BaseModel):
    """One coming of the daily run."""

    at: str
    local: str


class DelayedJob(WaitingJob):
    """A job that waits for its time, and when that is on the channel's clocks."""

    local: str


_RELEASE = {
    "id": 12,
    "track_id": "quiet-harbour-1f0c2d3e",
    "title": "Quiet Harbour",
    "mood": "chill",
    "duration_s": 121.3,
    "platform": "youtube",
    "state": "planned",
    "privacy": "public",
    "publish_at": "2026-12-03T17:30:00.000Z",
    "local": "2026-12-03T18:30",
    "movable": True,
    "chosen": "next",
    "why": "the next free slot",
    "conflicts": [],
}


class Calendar(BaseModel):
    """What lies between two moments."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "time_zone": "Europe/Berlin",
                    "begin": "2026-11-30T23:00:00.000Z",
                    "end": "2026-12-31T23:00:00.000Z",
                    "problem": None,
                    "releases": [_RELEASE],
                    "missed": [],
                    "openings": [
                        {
                            "at": "2026-12-07T17:30:00.000Z",
                            "local": "2026-12-07T18:30",
                            "slot_id": 1,
                            "name": "evenings",
                            "free": True,
                        }
                    ],
                    "tray": [
                        {
                            "id": "amber-roads-5d3c1b2a",
                            "title": "Amber Roads",
                            "mood": "chill",
                            "bpm": 76.0,
                            "key": "A minor",
                            "duration_s": 180.2,
                            "privacy": "public",
                            "decided_at": "2026-11-29T10:04:40.502Z",
                        }
                    ],
                    "daily": [{"at": "2026-12-01T05:00:00.000Z", "local": "2026-12-01T06:00"}],
                    "jobs": [],
                }
            ]
        }
    )

    time_zone: str
    begin: str
    end: str
    problem: str | None = Field(description="Why nothing would go out now, and what to do.")
    releases: list[CalendarRelease]
    missed: list[CalendarRelease] = Field(description="Whenever they were: a person decides.")
    openings: list[OpeningView]
    tray: list[TrayTrack]
    daily: list[DailyMoment]
    jobs: list[DelayedJob]


@router.get("/api/schedule/calendar", summary="The calendar between two moments")
def read_calendar(
    studio: TheStudio, _: Reader, begin: AwareDatetime, end: AwareDatetime
) -> Calendar:
    """Releases with their conflicts, slots, missed ones, the tray, the daily run, delayed jobs."""
    with studio.database.read() as session:
        return Calendar(**calendar.between(session, studio.settings(), begin, end))


# Slots -----------------------------------------------------------------------------------------

_SLOT = {
    "id": 1,
    "name": "evenings",
    "when": "Mon, Thu 18:30",
    "cron": "30 18 * * mon,thu",
    "time_zone": "Europe/Berlin",
    "enabled": True,
    "auto": False,
    "next_at": "2026-12-03T17:30:00.000Z",
}


class SlotView(BaseModel):
    """A time at which releases may go out, again and again."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SLOT]})

    id: int
    name: str
    when: str = Field(description="In words where it is weekly, else the cron expression.")
    cron: str
    time_zone: str
    enabled: bool
    auto: bool = Field(description="Whether approved tracks are planned into it by themselves.")
    next_at: str | None


class Slots(BaseModel):
    """All slots."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_SLOT]}]})

    items: list[SlotView]


class NewSlot(BaseModel):
    """A slot that is asked for."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"name": "evenings", "when": "mon,thu 18:30", "time_zone": "Europe/Berlin"},
                {"name": "first of the month", "when": "0 9 1 * *", "auto": True},
            ]
        },
    )

    name: Text
    when: Text = Field(
        description="Days and a time (`mon,thu 18:30`, `weekdays 07:00`, `daily 20:15`), or a "
        "cron expression of five fields. A time that does not exist, as clocks are set forward, "
        "moves forward; of one that occurs twice the first is meant."
    )
    time_zone: Text | None = Field(None, description="`schedule.time_zone` if left out.")
    auto: bool = False


class SlotChanges(BaseModel):
    """What may be changed of a slot; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"when": "tue 19:00"}, {"enabled": False}]}
    )

    name: Text | None = None
    when: Text | None = None
    time_zone: Text | None = None
    enabled: bool | None = None
    auto: bool | None = None


@router.get("/api/schedule/slots", summary="Slots")
def list_slots(studio: TheStudio, _: Reader) -> Slots:
    """All slots, and when each comes next."""
    with studio.database.read() as session:
        return Slots(items=[SlotView(**s) for s in slots.listing(session)])


@router.post("/api/schedule/slots", status_code=201, summary="Add a slot")
def add_slot(
    new: NewSlot,
    studio: TheStudio,
    who: Publisher,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> SlotView:
    """Add a time at which releases may go out, again and again."""

    def write(session: Any) -> dict[str, Any]:
        return slots.add(
            session,
            studio.settings(),
            new.name,
            new.when,
            time_zone=new.time_zone,
            auto=new.auto,
            actor=who.name,
        )

    request = f"add slot {new.model_dump_json()}"
    made, again = once(
        studio.database, who.name, idempotency_key, request, lambda: write, status=201
    )
    if again:
        replayed(response)
    return SlotView(**made)


@router.patch("/api/schedule/slots/{slot_id}", summary="Change a slot")
def change_slot(slot_id: Id, changes: SlotChanges, studio: TheStudio, who: Publisher) -> SlotView:
    """Change a slot. Releases that were planned into it stay where they are."""
    with studio.database.write() as session:
        changed = slots.change(
            session,
            slot_id,
            name=changes.name,
            when=changes.when,
            time_zone=changes.time_zone,
            is_enabled=changes.enabled,
            auto=changes.auto,
            actor=who.name,
        )
    return SlotView(**changed)


@router.delete("/api/schedule/slots/{slot_id}", status_code=204, summary="Remove a slot")
def remove_slot(slot_id: Id, studio: TheStudio, who: Publisher) -> None:
    """Remove a slot. Releases that were planned into it stay where they are."""
    with studio.database.write() as session:
        slots.remove(session, slot_id, actor=who.name)


# Releases --------------------------------------------------------------------------------------


class Planned(BaseModel):
    """A release in the schedule."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 12,
                    "track_id": "quiet-harbour-1f0c2d3e",
                    "state": "planned",
                    "privacy": "public",
                    "publish_at": "2026-12-03T17:30:00.000Z",
                    "chosen": "next",
                    "why": "the next free slot",
                }
            ]
        }
    )

    id: int
    track_id: str
    state: str
    privacy: str
    publish_at: str | None
    chosen: str | None = Field(description="`hand`, `next`, `best`, `slot` or `now`.")
    why: str | None


class PlanOrder(BaseModel):
    """When a track is to be released: at a moment, or at one that is chosen."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {},
                {"choose": "best", "privacy": "unlisted"},
                {"local": "2026-12-03T18:30", "anyway": True},
            ]
        },
    )

    at: AwareDatetime | None = None
    local: Local | None = None
    choose: Literal["next", "best"] = Field(
        default="next",
        description="Without `at`: the next free slot, or one of the next two weeks by the best "
        "hours (Thompson sampling).",
    )
    privacy: Privacy | None = Field(default=None, description="As approved, if left out.")
    anyway: bool = Field(
        default=False, description="Plan it although spacing or the daily cap speak up."
    )


class MoveOrder(BaseModel):
    """Where a release is to be moved."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"at": "2026-12-04T18:30:00+01:00"}, {"local": "2026-12-04T18:30"}]
        },
    )

    at: AwareDatetime | None = None
    local: Local | None = None
    anyway: bool = Field(
        default=False, description="Move it although spacing or the daily cap speak up."
    )


class MissedAnswer(BaseModel):
    """What becomes of a release that was missed."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"how": "next"}]})

    how: Literal["next", "now", "drop"] = Field(
        description="`next`: into the next free slot. `now`: at once, if spacing and cap leave "
        "room. `drop`: cancel it; the track can be planned again."
    )


class FillOrder(BaseModel):
    """How many tracks are to be planned."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{}, {"count": 5}]})

    count: int | None = Field(default=None, ge=1, le=200, description="All that fit, if left out.")


class Filled(BaseModel):
    """What was planned."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": []}]})

    items: list[Planned]


def _moment(studio: Studio, body: PlanOrder | MoveOrder) -> datetime | None:
    if body.local is None:
        return body.at
    if body.at is not None:
        raise InputError("`at` and `local` are two ways to give a moment. Give one of them.")
    return slots.read_moment(body.local, studio.settings())


@router.post(
    "/api/schedule/tracks/{track_id}", status_code=201, summary="Plan the release of a track"
)
def plan_track(
    track_id: str,
    studio: TheStudio,
    who: Publisher,
    response: Response,
    body: Annotated[PlanOrder, Body(default_factory=PlanOrder)],
    idempotency_key: IdempotencyKey = None,
) -> Planned:
    """Plan an approved track. 409 if it is not approved, or does not fit at that moment."""

    def prepare() -> Callable[[Any], dict[str, Any]]:
        # Before the transaction: it takes a while, and others want to write.
        at = _moment(studio, body)
        believed = calendar.believed_hours(studio) if at is None and body.choose == "best" else None

        def write(session: Any) -> dict[str, Any]:
            release = slots.plan(
                session,
                studio.settings(),
                track_id,
                at=at,
                choose=body.choose,
                privacy=body.privacy,
                anyway=body.anyway,
                believed=believed,
                actor=who.name,
            )
            return slots.planned(release)

        return write

    request = f"plan {track_id} {body.model_dump_json()}"
    planned, again = once(studio.database, who.name, idempotency_key, request, prepare, status=201)
    if again:
        replayed(response)
    return Planned(**planned)


@router.post("/api/schedule/fill", summary="Plan approved tracks into free slots")
def fill_slots(
    studio: TheStudio,
    who: Publisher,
    response: Response,
    body: Annotated[FillOrder, Body(default_factory=FillOrder)],
    idempotency_key: IdempotencyKey = None,
) -> Filled:
    """Plan approved tracks without a release, the oldest approval first, each in the next slot."""

    def write(session: Any) -> dict[str, Any]:
        made = slots.plan_all(session, studio.settings(), count=body.count, actor=who.name)
        return {"items": [slots.planned(release) for release in made]}

    request = f"fill {body.model_dump_json()}"
    filled, again = once(studio.database, who.name, idempotency_key, request, lambda: write)
    if again:
        replayed(response)
    return Filled(**filled)


@router.patch("/api/schedule/releases/{release_id}", summary="Move a release")
def move_release(release_id: Id, body: MoveOrder, studio: TheStudio, who: Publisher) -> Planned:
    """Move a release that was not begun. 409 if it does not fit there."""
    at = _moment(studio, body)
    if at is None:
        raise InputError("it is not said where to. Give `at`, or `local`.")
    with studio.database.write() as session:
        moved = slots.move(
            session,
            studio.settings(),
            release_id,
            at,
            anyway=body.anyway,
            actor=who.name,
        )
        return Planned(**slots.planned(moved))


@router.delete("/api/schedule/releases/{release_id}", summary="Take a release out of the schedule")
def cancel_release(release_id: Id, studio: TheStudio, who: Publisher) -> Planned:
    """Cancel a release that was not begun; its track can be planned again."""
    with studio.database.write() as session:
        return Planned(**slots.planned(slots.cancel(session, release_id, actor=who.name)))


@router.post("/api/schedule/releases/{release_id}/answer", summary="Say what a missed one becomes")
def answer_missed(
    release_id: Id,
    body: MissedAnswer,
    studio: TheStudio,
    who: Publisher,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Planned:
    """Say what becomes of a release whose moment passed while nothing ran."""

    def write(session: Any) -> dict[str, Any]:
        return slots.planned(
            slots.resolve(session, studio.settings(), release_id, body.how, actor=who.name)
        )

    request = f"answer {release_id} {body.how}"
    answered, again = once(studio.database, who.name, idempotency_key, request, lambda: write)
    if again:
        replayed(response)
    return Planned(**answered)


# Best hours ------------------------------------------------------------------------------------


class HourView(BaseModel):
    """What is believed of one hour of the week."""

    hour: int = Field(description="0 to 167, from Monday 0:00.")
    factor: float = Field(description="Expected views, as a factor on those of an average hour.")
    low: float = Field(description="The true factor is from `low` to `high` with 90 %.")
    high: float
    above: float = Field(description="The probability that it is better than the average hour.")
    releases: int = Field(description="Seen in this hour.")
    near: int = Field(description="Seen within two hours of it, on any weekday.")
    reason: str


class BestHoursView(BaseModel):
    """The hours of the week: how good each is for a release, and how sure that is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "time_zone": "Europe/Berlin",
                    "releases": 64,
                    "minimum": 10,
                    "prior_only": False,
                    "note": "From 64 releases: 9 hours are better than the average with a "
                    "probability of 95 % or more.",
                    "best": 18,
                    "hours": [
                        {
                            "hour": 18,
                            "factor": 1.42,
                            "low": 1.08,
                            "high": 1.9,
                            "above": 0.98,
                            "releases": 3,
                            "near": 17,
                            "reason": "Mon 18:00: 1.42 × the views of an average hour (90 %: "
                            "1.08 to 1.90), from 3 releases in this hour, 17 within two hours of "
                            "it on any day, 64 in all.",
                        }
                    ],
                }
            ]
        }
    )

    time_zone: str
    releases: int = Field(description="Whose views after 48 h are known.")
    minimum: int = Field(description="So many are needed before the hours mean anything.")
    prior_only: bool = Field(description="Fewer are known: nothing is claimed.")
    note: str
    best: int | None
    hours: list[HourView]


@router.get("/api/schedule/hours", summary="The best hours of the week")
def read_hours(studio: TheStudio, _: Reader) -> BestHoursView:
    """How good each hour is, learned from the channel's own figures, with intervals and reasons."""
    return BestHoursView(**calendar.best_hours(studio))
