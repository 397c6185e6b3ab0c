"""The schedule of releases: slots that come round, tracks planned into them, and what was missed.

A release that is `planned` goes out by itself when its moment comes (`_uploads`). One whose moment
passed while nothing ran is `missed`: nothing happens to it until a person says what (`resolve`), so
a studio that was down for a week wakes to questions and not to a burst.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.brief import InputError, one_of, subseed
from lofi.channel import (
    MINIMUM,
    WEEKDAYS,
    BestHours,
    Opening,
    Rules,
    Slot,
    at_local,
    conflicts,
    fill,
    free_openings,
    hour_of_week,
    openings,
    read_slot,
)
from lofi.studio._errors import ConflictError, NotFoundError
from lofi.studio._events import record
from lofi.studio._settings import Settings
from lofi.studio._tables import Approval, Release, Schedule, Track, now
from lofi.studio._tracks import PRIVACIES, find, standing_approval, told

if TYPE_CHECKING:
    from lofi.studio._studio import Studio

PLATFORM = "youtube"
CHOICES = ("next", "best")  # how a moment is chosen: the next free slot, or by the best hours
ANSWERS = ("next", "now", "drop")  # what may become of a release that was missed
AHEAD = timedelta(days=366)  # how far a free slot is looked for
BEST_WITHIN = timedelta(days=14)  # how far the best hour is: a better one is not waited for
MOST_SLOTS = 50
TRAY = 200

_KIND = "release"
_NAME_LENGTH = 60
# States in which a release's moment is one that others keep away from.
_COUNTS = ("planned", "uploading", "uploaded", "published", "needs_attention")
_MAY_MOVE = ("planned", "missed")
_MAY_CANCEL = (*_MAY_MOVE, "failed")
_SOON = timedelta(minutes=1)


def rules(settings: Settings) -> Rules:
    """How releases are spread. Raises InputError that names the setting which cannot be used."""
    given = settings.schedule
    try:
        return Rules(given.time_zone, given.spacing_h, given.per_day).checked()
    except InputError as error:
        raise InputError(f"the settings of `schedule` cannot be used: {error}") from error


# Slots -----------------------------------------------------------------------------------------


def listing(session: Session, *, moment: datetime | None = None) -> list[dict[str, Any]]:
    """All slots as plain values, with the next moment of each."""
    moment = moment or now()
    return [_view(row, moment) for row in rows(session)]


def rows(session: Session) -> list[Schedule]:
    """The rows of all slots, the oldest first."""
    query = sa.select(Schedule).where(Schedule.kind == _KIND).order_by(Schedule.id)
    return list(session.scalars(query))


def _view(row: Schedule, moment: datetime) -> dict[str, Any]:
    slot = Slot(row.cron, row.time_zone)
    coming = openings([slot], moment, moment + AHEAD) if row.enabled else iter(())
    first = next(coming, None)
    return {
        "id": row.id,
        "name": row.name,
        "when": slot.words,
        "cron": row.cron,
        "time_zone": row.time_zone,
        "enabled": row.enabled,
        "auto": bool(row.what.get("auto")),
        "next_at": told(first.at) if first else None,
    }


def enabled(session: Session) -> list[Slot]:
    """The slots that are in use."""
    return [Slot(row.cron, row.time_zone) for row in rows(session) if row.enabled]


def add(
    session: Session,
    settings: Settings,
    name: str,
    when: str,
    *,
    actor: str,
    time_zone: str | None = None,
    auto: bool = False,
) -> dict[str, Any]:
    """Add a slot, such as `mon,thu 18:30`; in the zone of the settings if none is given.

    `auto`: approved tracks are planned into it by themselves, the oldest approval first. Raises
    InputError for a name, time or zone that cannot be used, ConflictError for a name that is taken.
    """
    slot = read_slot(when, time_zone or settings.schedule.time_zone)
    there = rows(session)
    if len(there) >= MOST_SLOTS:
        raise ConflictError(f"there are {MOST_SLOTS} slots already. Remove one first.")
    row = Schedule(
        name=_free_name(session, name),
        kind=_KIND,
        cron=slot.cron,
        time_zone=slot.time_zone,
        what={"auto": auto},
    )
    session.add(row)
    session.flush()
    record(
        session, actor, "added", "slot", str(row.id),
        name=row.name, cron=row.cron, time_zone=row.time_zone, auto=auto,
    )  # fmt: skip
    return _view(row, now())


def change(
    session: Session,
    slot_id: int,
    *,
    actor: str,
    name: str | None = None,
    when: str | None = None,
    time_zone: str | None = None,
    is_enabled: bool | None = None,
    auto: bool | None = None,
) -> dict[str, Any]:
    """Change a slot; None leaves as it is. Releases that were planned into it stay where they are.

    Raises InputError, NotFoundError, ConflictError for a name that is taken.
    """
    row = _find_slot(session, slot_id)
    slot = read_slot(when or row.cron, time_zone or row.time_zone)
    wanted: dict[str, Any] = {"cron": slot.cron, "time_zone": slot.time_zone}
    if name is not None and name != row.name:
        wanted["name"] = _free_name(session, name)
    if is_enabled is not None:
        wanted["enabled"] = is_enabled
    if auto is not None:
        wanted["what"] = {**row.what, "auto": auto}
    changes = {n: {"from": getattr(row, n), "to": v} for n, v in wanted.items()}
    changes = {n: c for n, c in changes.items() if c["from"] != c["to"]}
    for field, each in changes.items():
        setattr(row, field, each["to"])
    if changes:
        record(session, actor, "changed", "slot", str(row.id), changes=changes)
    return _view(row, now())


def remove(session: Session, slot_id: int, *, actor: str) -> None:
    """Remove a slot. Releases that were planned into it stay. Raises NotFoundError."""
    row = _find_slot(session, slot_id)
    record(session, actor, "removed", "slot", str(row.id), name=row.name, cron=row.cron)
    session.delete(row)


def _find_slot(session: Session, slot_id: int) -> Schedule:
    row = session.get(Schedule, slot_id, with_for_update=True)
    if row is None or row.kind != _KIND:
        raise NotFoundError(f"there is no slot {slot_id}. `lofi schedule list` shows them.")
    return row


def _free_name(session: Session, text: str) -> str:
    name = " ".join(text.split())
    if not name or len(name) > _NAME_LENGTH or not name.isprintable():
        raise InputError(
            f"a slot needs a name of 1 to {_NAME_LENGTH} letters that can be printed, not "
            f"{text[:80]!r}."
        )
    if session.scalar(sa.select(Schedule.id).where(Schedule.name == name)):
        raise ConflictError(f"there is a slot {name!r} already. Choose another name.")
    return name


# Planning --------------------------------------------------------------------------------------


def plan(
    session: Session,
    settings: Settings,
    track_id: str,
    *,
    actor: str,
    at: datetime | None = None,
    choose: str = "next",
    privacy: str | None = None,
    anyway: bool = False,
    believed: BestHours | None = None,
    moment: datetime | None = None,
) -> Release:
    """Plan the release of an approved track: `at` a moment, or one that is chosen.

    `choose`: `next` takes the next free slot. `best` draws among the free slots of the next two
    weeks by what is `believed` of the hours (see `lofi.channel.learn_hours`); where there are no
    slots, among all their hours. `privacy` is at most what was approved, which it is if left out.

    Raises NotFoundError; ConflictError for a track that is not approved, has a release already, or
    does not fit `at` that moment (unless `anyway`); InputError for a moment that has passed, and
    where no slot is free.
    """
    moment = moment or now()
    _alone(session)
    track = find(session, track_id, lock=True)
    approval = _may_go_out(session, track)
    wanted = _privacy(privacy, approval)
    spread, slots, others = rules(settings), enabled(session), taken(session)
    playlist = settings.youtube.playlist
    choose = one_of(choose, CHOICES, "choice")
    if at is not None:
        at = _to_minute(at)
        _require_fit(at, others, spread, slots, moment, anyway=anyway)
        detail = {"chosen": "hand", "playlist": playlist}
        return _write(session, track, approval, wanted, at, detail, actor=actor)
    at, why = _choose(choose, track.id, slots, others, spread, believed, moment)
    detail = {"chosen": choose, "why": why, "playlist": playlist}
    return _write(session, track, approval, wanted, at, detail, actor=actor)


def _write(
    session: Session,
    track: Track,
    approval: Approval,
    privacy: str,
    at: datetime,
    detail: dict[str, Any],
    *,
    actor: str,
) -> Release:
    release = Release(
        track_id=track.id,
        approval_id=approval.id,
        platform=PLATFORM,
        state="planned",
        privacy=privacy,
        publish_at=at,
        detail=detail,
    )
    session.add(release)
    session.flush()
    record(
        session, actor, "planned", "release", str(release.id),
        track_id=track.id, publish_at=told(at), privacy=privacy, **detail,
    )  # fmt: skip
    return release


def _alone(session: Session) -> None:
    """Until the transaction ends, nobody else plans: two would take the same slot.

    SQLite has one writer anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        lock = subseed(0, "lofi", "schedule") >> 1
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))


def _may_go_out(session: Session, track: Track) -> Approval:
    approval = standing_approval(session, track)
    if approval is None:
        raise ConflictError(
            f"track {track.id} is not approved as it is now. Listen to it and approve it first: "
            f"`lofi track approve {track.id}`."
        )
    there = session.scalars(
        sa.select(Release).where(
            Release.track_id == track.id,
            Release.platform == PLATFORM,
            Release.state.not_in(("cancelled",)),
        )
    ).first()
    if there is not None:
        raise ConflictError(
            f"track {track.id} has release {there.id} already, which is {there.state}. Move that "
            "one, or cancel it first."
        )
    return approval


def _privacy(privacy: str | None, approval: Approval) -> str:
    wanted = one_of(privacy or approval.privacy, PRIVACIES, "privacy")
    if PRIVACIES.index(wanted) > PRIVACIES.index(approval.privacy):
        raise ConflictError(
            f"it was approved as {approval.privacy} at most, not as {wanted}. Approve it anew for "
            "that."
        )
    return wanted


def taken(session: Session, *, but: int | None = None) -> list[datetime]:
    """The moments of all releases that count, sorted."""
    rows = session.scalars(
        sa.select(Release).where(
            Release.state.in_(_COUNTS),
            Release.id != (but or 0),
            sa.or_(Release.publish_at.is_not(None), Release.privacy == "public"),
        )
    )
    return sorted(map(went_out, rows))


def went_out(release: Release) -> datetime:
    """When a release is, or was first, to be seen: without a moment, as soon as it could be."""
    said = release.detail.get("published_at")
    if isinstance(said, str):
        return datetime.fromisoformat(said)
    return release.publish_at or release.created_at


def read_moment(text: str, settings: Settings) -> datetime:
    """The moment of `2026-12-03 18:30`, in the zone of the settings unless it has an offset.

    Raises InputError.
    """
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InputError(
            f"{text[:60]!r} is no moment. Write it as 2026-12-03 18:30, or with an offset: "
            "2026-12-03T18:30:00+01:00."
        ) from error
    require_near(read)
    if read.tzinfo is None:
        return at_local(read, ZoneInfo(rules(settings).time_zone))
    return read


def require_near(moment: datetime) -> None:
    """Raise InputError for a year that no calendar here has."""
    if not 2000 <= moment.year <= 2200:
        raise InputError(f"the year {moment.year} is not in the calendar: give one from 2000 on.")


def _to_minute(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise InputError(f"{at} has no time zone. Write its offset, such as +01:00.")
    require_near(at)
    return at.replace(second=0, microsecond=0)


def _require_fit(
    at: datetime,
    others: Sequence[datetime],
    spread: Rules,
    slots: Sequence[Slot],
    moment: datetime,
    *,
    anyway: bool,
) -> None:
    if at <= moment:
        raise InputError(f"{_local(at, spread)} has passed. Give a moment that is to come.")
    if at > moment + 3 * AHEAD:
        raise InputError(f"{_local(at, spread)} is too far away. Give one within three years.")
    found = conflicts(at, others, spread, slots)
    # A moment outside all slots was given on purpose; the calendar marks it.
    hard = [c for c in found if c.kind != "outside"]
    if hard and not anyway:
        raise ConflictError(
            f"a release on {_local(at, spread)} does not fit: {hard[0].reason} "
            "Choose another moment, or say that it shall be there anyway."
        )


def _local(at: datetime, spread: Rules) -> str:
    return f"{at.astimezone(ZoneInfo(spread.time_zone)):%a %d %b %Y %H:%M} ({spread.time_zone})"


def _choose(
    choose: str,
    track_id: str,
    slots: Sequence[Slot],
    others: Sequence[datetime],
    spread: Rules,
    believed: BestHours | None,
    moment: datetime,
) -> tuple[datetime, str]:
    """The moment for a track, and why that one."""
    begin = moment + _SOON
    if choose == "best":
        if believed is None:
            raise ValueError("choosing by the best hours needs what is believed of them")
        offered = slots or [Slot("0 * * * *", spread.time_zone)]
        zone = ZoneInfo(spread.time_zone)
        free = [o.at for o in free_openings(offered, others, spread, begin, begin + BEST_WITHIN)]
        if free:
            # The same figures choose the same for a track; another track draws anew.
            seed = subseed(0, "best hour", track_id, believed.releases)
            at = believed.choose(free, zone, seed)
            return at, reason(believed, hour_of_week(at, zone))
    if not slots:
        raise InputError(
            "there is no slot to plan into. Add one (`lofi schedule add`), or give a moment."
        )
    first = next(free_openings(slots, others, spread, begin, begin + AHEAD), None)
    if first is None:
        raise ConflictError(
            "no slot is free within a year. Add a slot, or change schedule.spacing_h or "
            "schedule.per_day."
        )
    return first.at, "the next free slot"


def reason(believed: BestHours, hour: int) -> str:
    """What is believed of an hour of the week, and from how much: a sentence."""
    found = believed.hours[hour]
    name = f"{WEEKDAYS[hour // 24]} {hour % 24:02d}:00"
    if believed.is_prior:
        return (
            f"{name}: no data yet. Figures of {believed.releases} releases are there and "
            f"{MINIMUM} are needed: what is told is prior only."
        )
    return (
        f"{name}: {found.factor:.2f} × the views of an average hour (90 %: {found.low:.2f} to "
        f"{found.high:.2f}), from {found.releases} releases in this hour, {found.near} within two "
        f"hours of it on any day, {believed.releases} in all."
    )


def move(
    session: Session,
    settings: Settings,
    release_id: int,
    at: datetime,
    *,
    actor: str,
    anyway: bool = False,
    moment: datetime | None = None,
) -> Release:
    """Move a release to another moment; one that was missed is planned again by that.

    One that lies on YouTube already, private until its moment, is changed there. Raises
    NotFoundError; InputError for a moment that has passed; ConflictError for one that does not fit
    (unless `anyway`), and for a release that is on its way or out already.
    """
    moment = moment or now()
    _alone(session)
    release = find_release(session, release_id)
    if not may_move(release, moment):
        raise _refused(release)
    at = _to_minute(at)
    others = taken(session, but=release.id)
    _require_fit(at, others, rules(settings), enabled(session), moment, anyway=anyway)
    if release.state == "uploaded":
        return _move_there(session, settings, release, at, actor=actor)
    return _put(session, release, at, "moved", "hand", actor=actor)


def may_move(release: Release, moment: datetime) -> bool:
    """Whether a release waits for its moment, here or on YouTube."""
    waits_there = (
        release.state == "uploaded"
        and release.privacy == "public"
        and release.publish_at is not None
        and release.publish_at > moment + timedelta(minutes=5)  # later, YouTube may be faster
    )
    return release.state in _MAY_MOVE or waits_there


def _move_there(
    session: Session, settings: Settings, release: Release, at: datetime, *, actor: str
) -> Release:
    from lofi.studio import _releases  # which needs the studio, as this is needed by it

    changed = _releases.plan(
        session, settings, release.track_id, actor=actor, privacy=release.privacy, publish_at=at
    )
    if changed.id != release.id:
        raise ConflictError(
            f"track {release.track_id} was made anew since release {release.id} went to YouTube. "
            "Cancel that one in YouTube Studio first."
        )
    changed.detail = {**changed.detail, "chosen": "hand", "why": None}
    return changed


def _put(
    session: Session, release: Release, at: datetime, verb: str, chosen: str, *, actor: str
) -> Release:
    before = release.publish_at
    release.publish_at, release.state, release.error = at, "planned", None
    release.updated_at = now()
    release.detail = {**release.detail, "chosen": chosen, "why": None}
    record(
        session, actor, verb, "release", str(release.id),
        track_id=release.track_id, publish_at={"from": told(before), "to": told(at)},
    )  # fmt: skip
    return release


def _refused(release: Release) -> ConflictError:
    return ConflictError(
        f"release {release.id} is {release.state}: only one that waits for its moment can be "
        "changed here."
    )


def planned(release: Release) -> dict[str, Any]:
    """A release of the schedule as plain values."""
    return {
        "id": release.id,
        "track_id": release.track_id,
        "state": release.state,
        "privacy": release.privacy,
        "publish_at": told(release.publish_at),
        "chosen": release.detail.get("chosen"),
        "why": release.detail.get("why"),
    }


def find_release(session: Session, release_id: int) -> Release:
    """The release of that id, held until the transaction ends. Raises NotFoundError."""
    release = session.get(Release, release_id, with_for_update=True)
    if release is None:
        raise NotFoundError(f"there is no release {release_id}. `lofi schedule list` shows them.")
    return release


def cancel(session: Session, release_id: int, *, actor: str) -> Release:
    """Take a release that was not begun out of the schedule; its track can be planned again.

    Raises NotFoundError, ConflictError for one that is on its way or out already.
    """
    release = find_release(session, release_id)
    if release.state not in _MAY_CANCEL:
        raise _refused(release)
    release.state, release.updated_at = "cancelled", now()
    record(session, actor, "cancelled", "release", str(release.id), track_id=release.track_id)
    return release


def plan_all(
    session: Session,
    settings: Settings,
    *,
    actor: str,
    count: int | None = None,
    auto: bool = False,
    moment: datetime | None = None,
) -> list[Release]:
    """Plan approved tracks that have no release into the next free slots, the oldest first.

    `auto`: only into slots that take tracks by themselves, and within two weeks. Gives what was
    planned: nothing where there is no slot or no track.
    """
    moment = moment or now()
    _alone(session)
    waiting = tray(session, limit=min(count or TRAY, TRAY))
    free = _free(session, settings, len(waiting), moment, auto=auto)
    planned = []
    for told_track, opening in zip(waiting, free, strict=False):
        track = find(session, told_track["id"], lock=True)
        approval = _may_go_out(session, track)
        detail = {"chosen": "slot" if auto else "next", "playlist": settings.youtube.playlist}
        planned.append(
            _write(session, track, approval, approval.privacy, opening.at, detail, actor=actor)
        )
    return planned


def _free(
    session: Session, settings: Settings, count: int, moment: datetime, *, auto: bool
) -> list[Opening]:
    slots = [
        Slot(row.cron, row.time_zone)
        for row in rows(session)
        if row.enabled and (row.what.get("auto") or not auto)
    ]
    if not slots or not count:
        return []
    begin = moment + _SOON
    end = begin + (BEST_WITHIN if auto else AHEAD)
    return fill(count, slots, taken(session), rules(settings), begin, end)


def tray(session: Session, *, limit: int = TRAY) -> list[dict[str, Any]]:
    """Approved tracks that have no release, the one that waits longest first."""
    has_release = sa.exists().where(
        Release.track_id == Track.id, Release.state != "cancelled", Release.platform == PLATFORM
    )
    last = (
        sa.select(Approval.track_id, sa.func.max(Approval.id).label("id"))
        .group_by(Approval.track_id)
        .subquery()
    )
    found = session.execute(
        sa.select(
            Track.id, Track.title, Track.mood, Track.bpm, Track.key, Track.duration_s,
            Approval.privacy, Approval.decided_at,
        )
        .join(last, last.c.track_id == Track.id)
        .join(Approval, Approval.id == last.c.id)
        .where(
            Track.deleted_at.is_(None),
            Approval.decision == "approved",
            Track.state == "approved",  # else package or listing has changed since
            ~has_release,
        )
        .order_by(Approval.decided_at, Track.id)
        .limit(limit)
    ).mappings()  # fmt: skip
    return [{**row, "decided_at": told(row["decided_at"])} for row in found]


# Missed ----------------------------------------------------------------------------------------


def resolve(
    session: Session,
    settings: Settings,
    release_id: int,
    how: str,
    *,
    actor: str,
    moment: datetime | None = None,
) -> Release:
    """What becomes of a release that was missed.

    `next`: it waits for the next free slot. `now`: it goes out at once, if the rules leave room
    (others that went out lately count, so several cannot go out in a burst). `drop`: it is
    cancelled, and its track can be planned again. Raises NotFoundError, InputError for another
    answer, ConflictError for a release that was not missed or does not fit.
    """
    moment = moment or now()
    how = one_of(how, ANSWERS, "answer")
    _alone(session)
    release = find_release(session, release_id)
    if release.state != "missed":
        raise ConflictError(f"release {release_id} is {release.state}: it was not missed.")
    if how == "drop":
        return cancel(session, release_id, actor=actor)
    spread, slots = rules(settings), enabled(session)
    others = taken(session, but=release.id)
    if how == "now":
        at = moment.replace(second=0, microsecond=0) + _SOON
        _require_fit(at, others, spread, (), moment, anyway=False)
        return _put(session, release, at, "hurried", "now", actor=actor)
    at, _ = _choose("next", release.track_id, slots, others, spread, None, moment)
    return _put(session, release, at, "moved", "next", actor=actor)


def fill_round(studio: Studio) -> None:
    """What is done every minute: fill the slots that fill themselves."""
    settings, moment = studio.settings(), now()
    with studio.database.read() as session:
        waiting = len(tray(session, limit=1))
        if not _free(session, settings, waiting, moment, auto=True):
            return  # whoever wants to write need not wait for this
    with studio.database.write() as session:
        plan_all(session, settings, actor="schedule", auto=True)
