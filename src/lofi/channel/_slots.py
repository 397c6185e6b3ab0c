"""When releases go out: slots that come round, and whether a moment fits among others.

A slot is a cron expression of local times in a time zone. A local time becomes a moment as RFC 5545
(3.3.5) says: one that does not exist, as clocks are set forward, is read with the offset from
before the gap, so it moves forward by the gap's length; of one that occurs twice, as clocks are set
back, the first is meant. Each occurs once.

Moments are UTC; nothing here knows what time it is.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from lofi.brief import InputError

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MOST_A_DAY = 24  # times at which one slot may come round

_LONGEST_TEXT = 200
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
# A whole day did not exist where an island moved across the date line: no gap is longer.
_LONGEST_GAP = timedelta(days=1)


# Reading ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a cron expression: its values, and the names of those from `low` on."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    turn: int = 0  # after so many values it begins anew: a range may go on over the end


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 7, _DAYS, turn=7),  # 0 and 7 are Sunday
)
_ITEM = re.compile(
    r"(?:\*|(?P<low>[a-z]{3,9}|\d{1,2})(?:-(?P<high>[a-z]{3,9}|\d{1,2}))?)(?:/(?P<step>\d{1,2}))?"
)
_WEEKLY = re.compile(r"(?P<days>[a-z][a-z,\s-]*?)[,\s]+(?:at )?(?P<hour>\d{1,2}):(?P<minute>\d\d)")
_EACH = {"daily": "*", "weekdays": "mon-fri", "weekends": "sat,sun"}
_HOW = (
    "Write days and a time, such as `mon,thu 18:30`, `weekdays 07:00` or `daily 20:15`, or a cron "
    "expression of five fields: minute, hour, day of the month, month, weekday."
)


@dataclass(frozen=True, slots=True)
class _Cron:
    """A cron expression, read. As cron has it, a day need only fit one of both day fields, unless
    one of them begins with `*`; then it must fit both.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # Sunday is 0
    both: bool

    def fits(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return in_month and in_week if self.both else in_month or in_week


@dataclass(frozen=True, slots=True)
class Slot:
    """A time at which a release may go out, again and again: local times in a time zone."""

    cron: str
    time_zone: str = "UTC"

    @property
    def words(self) -> str:
        """In words where it is weekly (`Mon, Thu 18:30`), else the cron expression."""
        read = _read_cron(self.cron)
        weekly = self.cron.split()[2:4] == ["*", "*"]
        if not weekly or len(read.minutes) * len(read.hours) > 1:
            return self.cron
        days = [d for i, d in enumerate(WEEKDAYS) if (i + 1) % 7 in read.weekdays]
        told = {7: "daily", 5: "weekdays", 2: "weekends"}.get(len(days), "")
        if not told or (len(days) < 7 and set(days) not in (set(WEEKDAYS[:5]), set(WEEKDAYS[5:]))):
            told = ", ".join(days)
        return f"{told} {read.hours[0]:02d}:{read.minutes[0]:02d}"


def read_slot(text: str, time_zone: str = "UTC") -> Slot:
    """The slot of `mon,thu 18:30`, `weekdays 7:00`, `daily 20:15`, or a cron expression.

    Raises InputError for a text or zone that cannot be read, and for a slot that never comes or
    comes more than 24 times a day.
    """
    read_zone(time_zone)
    plain = " ".join(text.lower().split())
    if len(plain) > _LONGEST_TEXT:
        raise InputError(f"{plain[:40]!r}… is too long for a slot. {_HOW}")
    if weekly := _WEEKLY.fullmatch(plain):
        days = weekly["days"].strip(" ,")
        days = re.sub(r"\s*(,|-|\band\b)\s*", lambda m: m[1].replace("and", ","), days)
        named = _EACH.get(days.removeprefix("on ").strip(), days.replace(" ", ","))
        plain = f"{int(weekly['minute'])} {int(weekly['hour'])} * * {named}"
    _read_cron(plain)
    return Slot(plain, time_zone)


@lru_cache(maxsize=256)
def _read_cron(text: str) -> _Cron:
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise InputError(f"{text[:60]!r} is no slot. {_HOW}")
    values = [_read_field(f, p, text) for f, p in zip(_FIELDS, parts, strict=True)]
    minutes, hours, days, months, weekdays = values
    cron = _Cron(
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=days,
        months=months,
        weekdays=weekdays,
        both=parts[2].startswith("*") or parts[4].startswith("*"),
    )
    if len(minutes) * len(hours) > MOST_A_DAY:
        raise InputError(
            f"{text[:60]!r} comes round {len(minutes) * len(hours)} times a day; a slot does at "
            f"most {MOST_A_DAY} times. Name fewer minutes or hours."
        )
    if cron.both and not any(min(days) <= _MONTH_DAYS[m - 1] for m in months):
        raise InputError(f"{text[:60]!r} never comes: no such month has that day. Name another.")
    return cron


def _read_field(field: _Field, text: str, whole: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        item = _ITEM.fullmatch(part)
        if item is None:
            raise InputError(f"{part[:40]!r} is no {field.name} in {whole[:60]!r}. {_HOW}")
        low, high = field.low, field.high
        if item["low"] is not None:
            low = _value(field, item["low"], whole)
            step_to_end = item["step"] is not None and item["high"] is None
            high = field.high if step_to_end else low
            if item["high"] is not None:
                high = _value(field, item["high"], whole)
        if low > high and field.turn:
            high += field.turn
        step = int(item["step"] or 1)
        if low > high or step == 0:
            raise InputError(f"{part!r} is an empty range in {whole[:60]!r}. {_HOW}")
        found |= {v % field.turn if field.turn else v for v in range(low, high + 1, step)}
    return frozenset(found)


def _value(field: _Field, text: str, whole: str) -> int:
    if text.isdigit():
        value = int(text)
    else:
        places = [i for i, name in enumerate(field.names) if name.startswith(text)]
        value = field.low + places[0] if places else -1
    if not field.low <= value <= field.high:
        raise InputError(f"{text!r} is no {field.name} in {whole[:60]!r}. {_HOW}")
    return value


def read_zone(name: str) -> ZoneInfo:
    """The time zone of a name of the IANA database. Raises InputError."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise InputError(
            f"there is no time zone {name[:60]!r}. Write it as the IANA database does, such as "
            "Europe/Berlin, America/New_York or UTC."
        ) from error


# Coming round ----------------------------------------------------------------------------------


def at_local(local: datetime, zone: ZoneInfo) -> datetime:
    """The moment of a local time: later where it does not exist, the first where it is twice."""
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Opening:
    """One coming of a slot, and the place of that slot among those asked for."""

    at: datetime
    slot: int


def openings(slots: Sequence[Slot], begin: datetime, end: datetime) -> Iterator[Opening]:
    """When slots come from `begin` on and before `end`, in order; each moment once.

    Where two slots meet in a moment (one may have moved there, out of a gap), the first one of
    `slots` has it.
    """
    # A day at a time, so that whoever wants the next one does not wait for a year of them.
    day = begin
    while day < end:
        until = min(day + timedelta(days=1), end)
        found: dict[datetime, int] = {}
        for place, slot in enumerate(slots):
            for at in _within(slot, day, until):
                found.setdefault(at, place)
        for at in sorted(found):
            yield Opening(at, found[at])
        day = until


def _within(slot: Slot, begin: datetime, end: datetime) -> Iterator[datetime]:
    cron, zone = _read_cron(slot.cron), read_zone(slot.time_zone)
    # What lay in a gap before `begin` may have moved beyond it.
    day = (begin - _LONGEST_GAP).astimezone(zone).date()
    last = end.astimezone(zone).date()
    while day <= last:
        if cron.fits(day):
            for hour in cron.hours:
                for minute in cron.minutes:
                    at = at_local(datetime.combine(day, time(hour, minute)), zone)
                    if begin <= at < end:
                        yield at
        day += timedelta(days=1)


def is_opening(slots: Sequence[Slot], moment: datetime) -> bool:
    """Whether a slot comes round in the minute of a moment."""
    minute = moment.replace(second=0, microsecond=0)
    return any(True for _ in openings(slots, minute, minute + timedelta(minutes=1)))


# Fitting ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rules:
    """How releases are spread: hours between two of them, and how many on a local day."""

    time_zone: str = "UTC"
    spacing_h: float = 12.0
    per_day: int = 1

    def checked(self) -> Rules:
        """The same. Raises InputError for what cannot be."""
        read_zone(self.time_zone)
        if not 0 <= self.spacing_h <= 24 * 31:
            raise InputError(f"{self.spacing_h:g} h between two releases: give 0 to 744.")
        if not 1 <= self.per_day <= 100:
            raise InputError(f"{self.per_day} releases a day: give 1 to 100.")
        return self


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why a moment does not fit. kind: `near`, `full` or `outside`; `reason` is a sentence."""

    kind: str
    reason: str


def conflicts(
    moment: datetime, others: Sequence[datetime], rules: Rules, slots: Sequence[Slot] = ()
) -> list[Conflict]:
    """Why a release at `moment` does not fit among `others`, which are sorted: all reasons.

    Too near: less than `spacing_h` of real time from the one before or after it. Full: with it,
    the local day holds more than `per_day`. Outside: there are slots, and none comes then.
    """
    found = []
    zone = read_zone(rules.time_zone)
    spacing = timedelta(hours=rules.spacing_h)
    place = bisect_left(others, moment)
    before = others[place - 1] if place else None
    after = others[place] if place < len(others) else None
    for other, what in ((before, "after"), (after, "before")):
        if other is not None and abs(other - moment) < spacing:
            found.append(Conflict("near", _near(moment, other, what, rules, zone)))
    day = moment.astimezone(zone).date()
    count = 1 + len(on_day(others, day, zone))
    if count > rules.per_day:
        most = "one is" if rules.per_day == 1 else f"{rules.per_day} are"
        found.append(
            Conflict("full", f"{count} releases on {day:%d %b}; {most} allowed on one day.")
        )
    if slots and not is_opening(slots, moment):
        found.append(Conflict("outside", "no slot comes round at this time."))
    return found


def _near(moment: datetime, other: datetime, what: str, rules: Rules, zone: ZoneInfo) -> str:
    if other == moment:
        return f"another release goes out at the same time; {rules.spacing_h:g} h must lie between."
    apart_h = abs(other - moment).total_seconds() / 3600
    apart = f"{apart_h:.1f} h" if apart_h >= 1 else f"{apart_h * 60:.0f} min"
    told = f"{other.astimezone(zone):%a %d %b %H:%M}"
    return f"{apart} {what} the release of {told}; {rules.spacing_h:g} h must lie between."


def on_day(moments: Sequence[datetime], day: date, zone: ZoneInfo) -> Sequence[datetime]:
    """Those of some sorted moments that lie on a local day, however many hours it has."""
    begin = at_local(datetime.combine(day, time()), zone)
    end = at_local(datetime.combine(day + timedelta(days=1), time()), zone)
    return moments[bisect_left(moments, begin) : bisect_left(moments, end)]


def free_openings(
    slots: Sequence[Slot],
    taken: Sequence[datetime],
    rules: Rules,
    begin: datetime,
    end: datetime,
) -> Iterator[Opening]:
    """The openings from `begin` on and before `end` that fit among `taken` moments, in order.

    Each as if it were the only one to be filled: two of them may lie too near each other.
    """
    others = sorted(taken)
    for opening in openings(slots, begin, end):
        if not conflicts(opening.at, others, rules):
            yield opening


def fill(
    count: int,
    slots: Sequence[Slot],
    taken: Sequence[datetime],
    rules: Rules,
    begin: datetime,
    end: datetime,
) -> list[Opening]:
    """The first `count` openings that fit among `taken` and each other; fewer if there are not."""
    others, found = sorted(taken), []
    for opening in openings(slots, begin, end):
        if len(found) == count:
            break
        if not conflicts(opening.at, others, rules):
            found.append(opening)
            others.insert(bisect_right(others, opening.at), opening.at)
    return found
