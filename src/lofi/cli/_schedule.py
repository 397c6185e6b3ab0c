"""The schedule: slots, releases planned and moved, and the best hours as a table of shades."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from lofi.cli._common import Config, Json, say, warn
from lofi.cli._jobs import ACTOR, TrackId, opened, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

schedule_app = typer.Typer(
    help="When releases go out: slots that come round, tracks planned into them, best hours.\n\n"
    "Example: lofi schedule list",
    invoke_without_command=True,
)
ReleaseId = Annotated[
    int, typer.Argument(min=1, help="The number of a release; `lofi schedule list` shows them.")
]
Anyway = Annotated[
    bool, typer.Option("--anyway", help="Although spacing or the daily cap speak against it.")
]
_SHADES = (" ", "░", "▒", "▓", "█")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@schedule_app.callback()
def _schedule(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_schedule()


@schedule_app.command("list")
def list_schedule(
    days: Annotated[int, typer.Option(min=1, max=62, help="How far ahead.")] = 30,
    json_: Json = False,
    config: Config = None,
) -> None:
    """List the slots, the releases to come with what conflicts, and those that were missed.

    Example: lofi schedule list --days 14
    """
    from lofi import studio

    with opened(config) as house, house.database.read() as session:
        begin = datetime.now(UTC)
        found = studio.calendar.between(
            session, house.settings(), begin, begin + timedelta(days=days)
        )
        there = studio.slots.listing(session)
    if json_:
        say(json.dumps({**found, "slots": there}, indent=2))
        return
    zone = ZoneInfo(found["time_zone"])
    if there:
        rows = [
            (s["id"], s["name"], s["when"], s["time_zone"], _flags(s), _local(s["next_at"], zone))
            for s in there
        ]
        table("slot", "name", "when", "time zone", "", f"next ({zone})", rows=rows)
    else:
        say("there are no slots yet: lofi schedule add evenings 'mon,thu 18:30'")
    if found["releases"]:
        rows = [
            (r["id"], _local(r["publish_at"], zone), r["title"], r["state"], r["privacy"],
             " ".join(c["reason"] for c in r["conflicts"]))
            for r in found["releases"]
        ]  # fmt: skip
        table("release", f"goes out ({zone})", "title", "state", "privacy", "conflict", rows=rows)
    else:
        say(f"no release within {days} days.")
    if found["missed"]:
        say("missed while nothing ran; say what becomes of them (lofi schedule answer):")
        rows = [(r["id"], _local(r["publish_at"], zone), r["title"]) for r in found["missed"]]
        table("release", "was to go out", "title", rows=rows)
    if found["problem"] and (found["releases"] or found["missed"]):
        warn(f"nothing goes out now: {found['problem']}")
    if found["tray"]:
        say(f"approved and not planned: {len(found['tray'])} (lofi schedule fill)")


def _flags(slot: dict[str, Any]) -> str:
    return ", ".join(
        word for word, on in (("off", not slot["enabled"]), ("auto", slot["auto"])) if on
    )


def _local(moment: str | None, zone: ZoneInfo) -> str:
    if moment is None:
        return ""
    return datetime.fromisoformat(moment).astimezone(zone).strftime("%a %Y-%m-%d %H:%M")


# Slots -----------------------------------------------------------------------------------------


@schedule_app.command("add")
def add_slot(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    when: Annotated[
        str,
        typer.Argument(
            help="`mon,thu 18:30`, `weekdays 07:00`, `daily 20:15`, or a cron expression."
        ),
    ],
    time_zone: Annotated[
        str | None, typer.Option(help="Such as Europe/Berlin. That of the settings if left out.")
    ] = None,
    auto: Annotated[
        bool, typer.Option("--auto", help="Plan approved tracks into it by itself.")
    ] = False,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Add a time at which releases may go out, again and again.

    Example: lofi schedule add evenings "mon,thu 18:30" --time-zone Europe/Berlin
    """
    from lofi import studio

    with opened(config) as house, house.database.write() as session:
        made = studio.slots.add(
            session, house.settings(), name, when, time_zone=time_zone, auto=auto, actor=ACTOR
        )
    zone = ZoneInfo(made["time_zone"])
    told = f"slot {made['id']}: {made['when']} ({zone}), next {_local(made['next_at'], zone)}"
    say(json.dumps(made, indent=2) if json_ else told)


@schedule_app.command("remove")
def remove_slot(
    slot: Annotated[int, typer.Argument(min=1, help="Its number in `lofi schedule list`.")],
    json_: Json = False,
    config: Config = None,
) -> None:
    """Remove a slot. Releases that were planned into it stay where they are.

    Example: lofi schedule remove 2
    """
    from lofi import studio

    with opened(config) as house, house.database.write() as session:
        studio.slots.remove(session, slot, actor=ACTOR)
    say(json.dumps({"id": slot, "removed": True}) if json_ else f"slot {slot} is removed.")


# Releases --------------------------------------------------------------------------------------


@schedule_app.command("plan")
def plan_track(
    track: TrackId,
    at: Annotated[
        str | None,
        typer.Option(
            help="A moment, such as '2026-12-03 18:30' in the zone of the settings. The next free "
            "slot if left out."
        ),
    ] = None,
    best: Annotated[
        bool, typer.Option("--best", help="Choose by the best hours of the next two weeks.")
    ] = False,
    privacy: Annotated[
        str | None, typer.Option(help="private, unlisted or public: at most what was approved.")
    ] = None,
    anyway: Anyway = False,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Plan the release of an approved track.

    Example: lofi schedule plan amber-window-1f2e3d4c --best
    """
    from lofi import studio
    from lofi.brief import InputError

    if at and best:
        raise InputError("--at gives the moment and --best has it chosen: give one of them.")
    with opened(config) as house:
        settings = house.settings()
        moment = studio.slots.read_moment(at, settings) if at else None
        believed = studio.calendar.believed_hours(house) if best else None
        with house.database.write() as session:
            release = studio.slots.plan(
                session,
                settings,
                track,
                at=moment,
                choose="best" if best else "next",
                privacy=privacy,
                anyway=anyway,
                believed=believed,
                actor=ACTOR,
            )
            planned = studio.slots.planned(release)
    _tell(planned, settings.schedule.time_zone, json_)


def _tell(release: dict[str, Any], time_zone: str, json_: bool) -> None:
    if json_:
        say(json.dumps(release, indent=2))
        return
    at = _local(release["publish_at"], ZoneInfo(time_zone))
    say(
        f"release {release['id']} of {release['track_id']}: {release['state']}, {at} ({time_zone}),"
        f" {release['privacy']}"
    )
    if release["why"]:
        say(release["why"])


@schedule_app.command("move")
def move_release(
    release: ReleaseId,
    at: Annotated[str, typer.Argument(help="A moment, such as '2026-12-03 18:30'.")],
    anyway: Anyway = False,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Move a release that was not begun to another moment.

    Example: lofi schedule move 12 "2026-12-03 18:30"
    """
    from lofi import studio

    with opened(config) as house:
        settings = house.settings()
        moment = studio.slots.read_moment(at, settings)
        with house.database.write() as session:
            moved = studio.slots.planned(
                studio.slots.move(session, settings, release, moment, anyway=anyway, actor=ACTOR)
            )
    _tell(moved, settings.schedule.time_zone, json_)


@schedule_app.command("cancel")
def cancel_release(release: ReleaseId, json_: Json = False, config: Config = None) -> None:
    """Take a release that was not begun out of the schedule.

    Example: lofi schedule cancel 12
    """
    from lofi import studio

    with opened(config) as house, house.database.write() as session:
        cancelled = studio.slots.planned(studio.slots.cancel(session, release, actor=ACTOR))
    told = f"release {release} is cancelled; {cancelled['track_id']} can be planned again."
    say(json.dumps(cancelled, indent=2) if json_ else told)


@schedule_app.command("answer")
def answer_missed(
    release: ReleaseId,
    how: Annotated[
        str,
        typer.Argument(help="next: into the next free slot; now: at once; drop: cancel it."),
    ],
    json_: Json = False,
    config: Config = None,
) -> None:
    """Say what becomes of a release whose moment passed while nothing ran.

    Example: lofi schedule answer 12 next
    """
    from lofi import studio

    with opened(config) as house:
        settings = house.settings()
        with house.database.write() as session:
            answered = studio.slots.planned(
                studio.slots.resolve(session, settings, release, how, actor=ACTOR)
            )
    _tell(answered, settings.schedule.time_zone, json_)


@schedule_app.command("fill")
def fill_slots(
    count: Annotated[
        int | None, typer.Option(min=1, max=200, help="How many. All that fit if left out.")
    ] = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Plan approved tracks into the next free slots, the oldest approval first.

    Example: lofi schedule fill --count 5
    """
    from lofi import studio

    with opened(config) as house:
        settings = house.settings()
        with house.database.write() as session:
            made = [
                studio.slots.planned(release)
                for release in studio.slots.plan_all(session, settings, count=count, actor=ACTOR)
            ]
    if json_:
        say(json.dumps({"releases": made}, indent=2))
        return
    zone = ZoneInfo(settings.schedule.time_zone)
    if made:
        rows = [(r["id"], r["track_id"], _local(r["publish_at"], zone)) for r in made]
        table("release", "track", f"goes out ({zone})", rows=rows)
    else:
        say("nothing to plan: there is no approved track without a release, or no free slot.")


# Best hours ------------------------------------------------------------------------------------


@schedule_app.command("hours")
def hours(json_: Json = False, config: Config = None) -> None:
    """Show how good each hour of the week is, learned from the channel's own figures.

    Example: lofi schedule hours
    """
    from lofi import studio

    with opened(config) as house:
        found = studio.calendar.best_hours(house)
    if json_:
        say(json.dumps(found, indent=2))
        return
    show(_heat(found))
    say(found["note"])
    if not found["prior_only"]:
        for hour in sorted(found["hours"], key=lambda h: -h["factor"])[:3]:
            say(hour["reason"])


def _heat(found: dict[str, Any]) -> RenderableType:
    """A row for each day and two characters for each hour, the darker the better.

    By shade and not by colour alone, so that it reads everywhere.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    factors = [h["factor"] for h in found["hours"]]
    low, high = min(factors), max(factors)
    flat = high - low < 0.01
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column(found["time_zone"])
    shown.add_column("".join(f"{h:02d}    " for h in range(0, 24, 3)).rstrip(), no_wrap=True)
    for day, name in enumerate(_DAYS):
        line = Text()
        for factor in factors[24 * day : 24 * day + 24]:
            place = 0.0 if flat else (factor - low) / (high - low)
            shade = _SHADES[min(len(_SHADES) - 1, int(place * len(_SHADES)))]
            style = "green" if factor >= 1 else "dim"
            line.append(("·" if flat else shade) * 2, style)
        shown.add_row(name, line)
    if not flat:
        shown.caption = f"{_SHADES[1]} {low:.2f} × to {_SHADES[-1]} {high:.2f} × the average hour"
    return shown
