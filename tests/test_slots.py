"""Slots: they come when the clock on the wall says so, once, in every zone; and what fits."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lofi.brief import InputError
from lofi.channel import Rules, Slot, conflicts, fill, is_opening, openings, read_slot

# Each of its own kind: no change; a gap of an hour, of half an hour, of two, at midnight; a year
# that loses a day at the date line; a zone whose winter is the shifted half; odd offsets.
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Antarctica/Troll",
    "America/Sao_Paulo", "Pacific/Apia", "Europe/Dublin", "Africa/Casablanca", "Asia/Kathmandu",
    "Africa/Cairo", "Pacific/Chatham",
)  # fmt: skip
MOMENTS = st.datetimes(datetime(2010, 1, 1), datetime(2035, 1, 1)).map(
    lambda d: d.replace(microsecond=0, tzinfo=UTC)
)


def changes(zone: ZoneInfo) -> list[datetime]:
    """The hours in which clocks of a zone change, from 2010 to 2030."""
    at, found = datetime(2010, 1, 1, tzinfo=UTC), []
    while at.year < 2030:
        then = at + timedelta(days=1)
        if at.astimezone(zone).utcoffset() != then.astimezone(zone).utcoffset():
            found.append(at)
        at = then
    return found


NEAR_CHANGES = {name: changes(ZoneInfo(name)) for name in ZONES}


@st.composite
def spans(draw):
    """A zone, and ten days in it: as often as not around a change of clocks."""
    name = draw(st.sampled_from(ZONES))
    near = NEAR_CHANGES[name]
    begin = draw(st.sampled_from(near) if near and draw(st.booleans()) else MOMENTS)
    begin -= timedelta(minutes=draw(st.integers(0, 5 * 1440)))
    return name, begin, begin + timedelta(days=10)


def as_the_wall_clock_has_it(local: datetime, zone: ZoneInfo) -> datetime:
    """The moment of a local time, found by trying every offset there is about that time."""
    about = local.replace(tzinfo=UTC)
    hours = [about + timedelta(hours=h) for h in range(-50, 51)]
    offsets = [h.astimezone(zone).utcoffset() for h in hours]
    fits = {
        at
        for offset in offsets
        if offset is not None
        and (at := about - offset).astimezone(zone).replace(tzinfo=None) == local
    }
    if fits:
        return min(fits)
    # In a gap: the offset that held before it.
    for before, after in pairwise(hours):
        a, b = before.astimezone(zone), after.astimezone(zone)
        if a.replace(tzinfo=None) <= local <= b.replace(tzinfo=None):
            offset = a.utcoffset()
            assert offset is not None
            return about - offset
    raise AssertionError(local)


@settings(max_examples=150, deadline=None)
@given(spans(), st.integers(0, 23), st.integers(0, 59))
def test_a_daily_slot_comes_once_for_every_day_of_the_calendar(span, hour, minute):
    name, begin, end = span
    zone = ZoneInfo(name)
    wanted = set()
    day = begin.astimezone(zone).date() - timedelta(days=2)
    for _ in range(15):
        local = datetime(day.year, day.month, day.day, hour, minute)
        at = as_the_wall_clock_has_it(local, zone)
        if begin <= at < end:
            wanted.add(at)
        day += timedelta(days=1)
    found = [o.at for o in openings([read_slot(f"daily {hour}:{minute:02d}", name)], begin, end)]
    assert found == sorted(wanted)


def test_a_time_that_is_skipped_moves_forward_and_one_that_is_repeated_is_the_first():
    slot = read_slot("daily 02:30", "Europe/Berlin")

    def on(month: int, day: int) -> list[str]:
        begin = datetime(2026, month, day, tzinfo=UTC)
        found = openings([slot], begin, begin + timedelta(hours=12))
        return [o.at.astimezone(ZoneInfo("Europe/Berlin")).isoformat() for o in found]

    assert on(3, 29) == ["2026-03-29T03:30:00+02:00"]
    assert on(10, 25) == ["2026-10-25T02:30:00+02:00"]
    # A slot of half past three meets it there: they are one opening.
    both = [slot, read_slot("daily 03:30", "Europe/Berlin")]
    begin = datetime(2026, 3, 29, tzinfo=UTC)
    assert len(list(openings(both, begin, begin + timedelta(hours=12)))) == 1


@settings(max_examples=40, deadline=None)
@given(spans(), st.integers(0, 14400))
def test_a_span_read_in_two_pieces_is_the_same(span, minutes):
    name, begin, end = span
    slots = [read_slot("mon,thu 18:30", name), read_slot("15 */6 * * *", "Asia/Kathmandu")]
    middle = begin + timedelta(minutes=minutes)
    pieces = [*openings(slots, begin, middle), *openings(slots, middle, end)]
    assert pieces == list(openings(slots, begin, end))


@pytest.mark.parametrize(
    ("text", "cron", "words"),
    [
        ("mon,thu 18:30", "30 18 * * mon,thu", "Mon, Thu 18:30"),
        ("Sunday at 9:05", "5 9 * * sunday", "Sun 09:05"),
        ("mon and fri 7:00", "0 7 * * mon,fri", "Mon, Fri 07:00"),
        ("fri-mon 20:00", "0 20 * * fri-mon", "Mon, Fri, Sat, Sun 20:00"),
        ("weekdays 07:00", "0 7 * * mon-fri", "weekdays 07:00"),
        ("weekends 10:15", "15 10 * * sat,sun", "weekends 10:15"),
        ("DAILY 20:15", "15 20 * * *", "daily 20:15"),
        ("0 18 * * 0-7", "0 18 * * 0-7", "daily 18:00"),
        ("0 9,21 1-7 * mon", "0 9,21 1-7 * mon", "0 9,21 1-7 * mon"),
        ("0 0 29 feb *", "0 0 29 feb *", "0 0 29 feb *"),
    ],
)
def test_a_slot_is_read_from_words_or_cron(text, cron, words):
    slot = read_slot(text)
    assert (slot.cron, slot.words) == (cron, words)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no slot"),
        ("mon 25:00", "no hour"),
        ("mun 18:00", "no weekday"),
        ("* * * * *", "times a day"),
        ("0 0 30 2 *", "never"),
        ("0 0 * * 5-3-1", "no weekday"),
        ("0 12-9 * * *", "empty range"),
        ("0 */0 * * *", "empty range"),
        ("@daily", "no slot"),
        ("mon " + ", " * 5000 + "18:00", "too long"),
    ],
)
def test_a_slot_that_cannot_be_is_refused_with_the_reason(text, why):
    with pytest.raises(InputError, match=why):
        read_slot(text)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "Europe", "a\x00b"])
def test_a_zone_that_there_is_not_is_refused(name):
    with pytest.raises(InputError, match="no time zone"):
        read_slot("daily 9:00", name)


def test_cron_days_are_as_cron_has_them():
    """Restricted in both fields, a day need only fit one of them."""
    begin = datetime(2026, 6, 1, tzinfo=UTC)

    def days(cron: str) -> list[int]:
        return [o.at.day for o in openings([Slot(cron)], begin, datetime(2026, 7, 1, tzinfo=UTC))]

    assert days("0 12 13 * fri") == [5, 12, 13, 19, 26]
    assert days("0 12 */2 * fri") == [5, 19]
    assert days("0 12 13 * *") == [13]


# Fitting ---------------------------------------------------------------------------------------

RULES = st.builds(
    Rules, st.sampled_from(ZONES), st.floats(0, 72).map(lambda h: round(h, 2)), st.integers(1, 4)
)


@settings(max_examples=60, deadline=None)
@given(spans(), RULES, st.lists(st.integers(0, 14400), max_size=8), st.integers(0, 12))
def test_what_is_filled_keeps_every_rule_and_takes_the_first_that_fit(span, rules, offsets, count):
    name, begin, end = span
    slots = [read_slot("daily 18:30", name), read_slot("0 */5 * * *", "Pacific/Chatham")]
    taken = sorted({begin + timedelta(minutes=m) for m in offsets})
    found = [o.at for o in fill(count, slots, taken, rules, begin, end)]
    assert len(found) <= count
    for at in found:
        others = sorted([*taken, *(o for o in found if o != at)])
        # Those taken before may break rules among themselves; what is new breaks none.
        assert conflicts(at, others, rules, slots) == []
    left_out = {o.at for o in openings(slots, begin, end)} - set(found)
    if len(found) < count:
        assert all(conflicts(at, sorted([*taken, *found]), rules) for at in left_out)


def test_conflicts_tell_their_reasons():
    rules = Rules("Europe/Berlin", spacing_h=6, per_day=2)
    slots = [read_slot("mon 18:30", "Europe/Berlin")]
    monday = datetime(2026, 6, 1, 16, 30, tzinfo=UTC)
    assert is_opening(slots, monday)
    assert conflicts(monday, [], rules, slots) == []
    others = [monday - timedelta(hours=16), monday - timedelta(hours=1.5)]
    told = conflicts(monday, others, rules, slots)
    assert [c.kind for c in told] == ["near", "full"]
    assert told[0].reason == "1.5 h after the release of Mon 01 Jun 17:00; 6 h must lie between."
    assert told[1].reason == "3 releases on 01 Jun; 2 are allowed on one day."
    assert [c.kind for c in conflicts(monday + timedelta(hours=8), [], rules, slots)] == ["outside"]
    assert [c.kind for c in conflicts(monday, [monday], rules)] == ["near"]


def test_rules_that_cannot_be_are_refused():
    for wrong in (Rules("Moon"), Rules("UTC", -1), Rules("UTC", 1, 0), Rules("UTC", float("nan"))):
        with pytest.raises(InputError):
            wrong.checked()
