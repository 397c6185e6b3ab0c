"""Figures of releases: collected once, compared honestly, and taken away whole."""

from __future__ import annotations

import csv
import io
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from api import Api, problem
from shelf import put_track
from youtube import FakeYouTube, Fault, connected
from youtube_figures import figures, watch

from lofi.brief import InputError
from lofi.channel import amount_at_age, compare_groups, trend
from lofi.studio import analytics
from lofi.studio._tables import Event, Metric, Release

NOW = datetime(2026, 11, 20, 15, 20, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


# Comparing ----------------------------------------------------------------------------------------


def test_an_interval_from_few_releases_is_wide_and_says_so():
    few = compare_groups({"chill": [100, 90, 120, 300, 80, 95], "sleep": [900]})
    sleep = next(g for g in few.groups if g.value == "sleep")
    assert (few.enough, sleep.says) == (False, "few")
    assert sleep.estimate < 500  # drawn towards the others
    assert sleep.high / sleep.low > 3


def test_two_releases_that_happen_to_be_alike_prove_nothing():
    [group] = compare_groups({"sleep": [1070, 1072]}).groups
    assert group.high / group.low > 2


def test_a_group_that_has_three_times_the_views_stands_out():
    chance = random.Random(4)
    groups = {
        name: [100 * factor * chance.lognormvariate(0, 0.5) for _ in range(12)]
        for name, factor in (("chill", 1), ("focus", 1), ("dreamy", 1), ("sleep", 3))
    }
    found = {g.value: g for g in compare_groups(groups).groups}
    assert found["sleep"].says == "above"
    assert 200 < found["sleep"].estimate < 400
    assert found["sleep"].effect_low > 1.2


def test_where_nothing_differs_little_is_claimed():
    claims = 0
    for seed in range(40):
        chance = random.Random(seed)
        groups = {str(i): [chance.lognormvariate(5, 0.8) for _ in range(6)] for i in range(6)}
        claims += sum(g.says in ("above", "below") for g in compare_groups(groups).groups)
    assert claims <= 0.02 * 40 * 6  # 10 % would be a claim each, were they not drawn together


def test_views_are_read_at_equal_age():
    out = datetime(2026, 11, 1, 18, tzinfo=UTC)
    hours = [(out + i * HOUR * 12, 10.0 * i) for i in range(1, 20)]
    assert amount_at_age(out, hours, [], None, 7 * DAY) == 140
    assert amount_at_age(out, hours[:10], [], None, 7 * DAY) is None  # nobody looked then
    days = [(datetime(2026, 11, d, 7, tzinfo=UTC), 24.0) for d in range(1, 12)]
    known = datetime(2026, 11, 12, 7, tzinfo=UTC)
    told = amount_at_age(out, [], days, known, 7 * DAY)
    assert told == pytest.approx(24 * 7 + 24 * 11 / 24)  # 13 h of the first day count whole
    assert amount_at_age(out, [], days, known - 6 * DAY, 7 * DAY) is None


def test_a_trend_needs_two_weeks_and_is_not_moved_by_one_day():
    assert trend([5.0] * 13).says == "few"
    flat = [100.0 + (i % 7) for i in range(28)]
    assert trend([*flat[:-1], 5000.0]).says == "unclear"
    assert trend([100 * 1.03**i for i in range(28)]).per_week == pytest.approx(1.03**7, rel=0.02)


# Collecting ---------------------------------------------------------------------------------------


@pytest.fixture
def channel(api: Api, fake_youtube: FakeYouTube) -> tuple[Api, FakeYouTube]:
    """Two releases of a connected account: one three weeks old, one of yesterday."""
    fake_youtube.now = lambda: NOW
    connected(api.studio, fake_youtube)
    with api.studio.database.write() as session:
        for number, age, mood in ((1, 21 * DAY, "sleep"), (2, DAY, "chill")):
            put_track(session, number, mood=mood)
            session.add(
                Release(
                    id=number,
                    track_id=f"quiet-harbour-{number:08x}",
                    platform="youtube",
                    state="published",
                    publish_at=NOW - age,
                    remote_id=watch(fake_youtube, NOW - age, per_hour=number * 6),
                )
            )
    return api, fake_youtube


def values(api: Api, name: str, release_id: int | None) -> dict[datetime, float]:
    with api.studio.database.read() as session:
        rows = session.scalars(
            sa.select(Metric).where(
                Metric.name == name, Metric.release_id.is_not_distinct_from(release_id)
            )
        ).all()
    found = {row.at: row.value for row in rows}
    assert len(found) == len(rows), "a figure is there twice"
    return found


def collect(api: Api, moment: datetime) -> dict[str, str]:
    return analytics.collect(api.studio, actor="test", moment=moment)["problems"]


def test_figures_are_collected_once_however_often_they_are_asked_for(channel):
    api, fake = channel
    assert collect(api, NOW) == {}
    hour = NOW.replace(minute=0)
    assert values(api, "views", 1) == {hour: 21 * 24 * 6}
    assert len(values(api, "daily_views", 1)) == 19  # two days are missing: YouTube is late
    assert max(values(api, "daily_views", None)) == datetime(2026, 11, 17, 8, tzinfo=UTC)
    assert values(api, "daily_view_share", 1).popitem()[1] == pytest.approx(0.625)
    assert len(fake.seen("youtubereporting.jobs.create")) == 1
    asked = len(fake.calls)
    assert collect(api, NOW) == {}
    assert len(fake.calls) == asked  # nothing was due
    fake.now = lambda: NOW + 4 * DAY
    assert collect(api, NOW + 4 * DAY) == {}
    assert len(values(api, "daily_views", 1)) == 23
    shown, rate = values(api, "daily_impressions", 1), values(api, "daily_click_rate", 1)
    assert shown[datetime(2026, 11, 17, 8, tzinfo=UTC)] == 2 * 10 * 24 * 6
    assert list(rate.values()) == pytest.approx([0.05] * len(rate))
    assert len(fake.seen("youtubereporting.jobs.create")) == 1
    with api.studio.database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).where(Event.verb == "collected")) == 2


def test_a_part_that_fails_keeps_back_no_other_and_is_told(channel):
    api, fake = channel
    refused = Fault(status=403, reason="insufficientPermissions")
    fake.next("youtubeAnalytics.reports.query", *[refused] * 3)
    problems = collect(api, NOW)
    assert set(problems) == {"channel days", "days", "retention"}
    assert "lofi youtube connect" in problems["days"]
    assert values(api, "views", 2)
    state = api.get("/api/analytics/state").json()
    told = {p["part"]: p["problem"] for p in state["parts"]}
    assert told["counts"] is None
    assert "permission" in told["days"]
    assert collect(api, NOW) == {}  # what failed is due at once


def test_reports_of_several_videos_fall_back_to_one_at_a_time(channel):
    api, fake = channel
    figures(fake).several_at_once = False
    assert collect(api, NOW) == {}
    assert values(api, "daily_views", 1)


def test_an_answer_of_another_form_is_not_kept(channel):
    api, fake = channel
    table = b'{"columnHeaders": [{"name": "day"}, {"name": "views"}], "rows": [["2026-11-01", 1]]}'
    fake.next("youtubeAnalytics.reports.query", Fault(body=table))
    assert "another form" in collect(api, NOW)["channel days"]
    assert values(api, "daily_views", None) == {}


def test_old_counts_are_thinned_to_one_a_day(channel):
    api, _ = channel
    old = NOW - 60 * DAY
    with api.studio.database.write() as session:
        session.add_all(
            Metric(release_id=1, name="views", value=i, at=old + i * HOUR) for i in range(48)
        )
    collect(api, NOW)
    kept = {
        at.date(): value for at, value in values(api, "views", 1).items() if at < NOW - 30 * DAY
    }
    assert kept == {date(2026, 9, 21): 8.0, date(2026, 9, 22): 32.0, date(2026, 9, 23): 47.0}


# What the API tells -------------------------------------------------------------------------------


def test_the_report_tells_what_it_leaves_out(channel):
    api, _ = channel
    collect(api, NOW)
    with api.studio.database.read() as session:
        told = analytics.report(session, moment=NOW)
        totals = {f["name"]: f for f in analytics.totals(session, moment=NOW)["figures"]}
    assert (told["releases"], told["too_young"], told["unknown"]) == (1, 1, 0)
    [group] = told["by"]["mood"]["groups"]
    assert (group["value"], group["n"], group["says"]) == ("sleep", 1, "few")
    assert told["typical"] == pytest.approx(7 * 24 * 6, rel=0.01)
    assert told["by"]["length"]["groups"][0]["value"] == "2 to 3 min"
    assert told["by"]["hour"]["groups"][0]["value"] == "15:00"
    problem(api.get("/api/analytics/report?measure=fame"), 422, "invalid-input")
    assert api.get("/api/analytics/report?measure=click_rate").json()["scale"] == "plain"
    assert "subscribers" in api.get("/api/analytics/totals").json()["counts"]
    assert totals["daily_views"]["trend"]["says"] == "unclear"
    assert totals["daily_views"]["before"] is None
    curve = api.get("/api/analytics/retention").json()["releases"][0]
    assert (curve["release_id"], len(curve["points"])) == (1, 100)


def test_figures_are_taken_away_as_tables(channel, tmp_path: Path, monkeypatch):
    from pyarrow import parquet

    api, _ = channel
    with api.studio.database.write() as session:
        put_track(session, 3, title="=HYPERLINK(1)")
        session.add(Release(id=3, track_id="quiet-harbour-00000003", platform="youtube",
                            state="published"))  # fmt: skip
        session.flush()
        session.add(Metric(release_id=3, name="views", value=1.5, at=NOW))
    collect(api, NOW)
    rows = list(csv.DictReader(io.StringIO(api.get("/api/analytics/export.csv?name=views").text)))
    assert {r["title"] for r in rows} == {"Quiet Harbour", "'=HYPERLINK(1)", ""}
    answer = api.get("/api/analytics/export.parquet")
    table = parquet.read_table(io.BytesIO(answer.content))
    assert table.num_rows == len(list(csv.reader(io.StringIO(
        api.get("/api/analytics/export.csv").text)))) - 1  # fmt: skip
    assert str(table.schema.field("at").type) == "timestamp[ms, tz=UTC]"
    whole = tmp_path / "figures.parquet"
    whole.write_bytes(b"before")

    def broken():
        raise InputError("the database is away.")

    with pytest.raises(InputError):
        analytics.write_parquet(whole, broken)
    assert whole.read_bytes() == b"before"
    assert list(tmp_path.glob(".figures*")) == []
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    told = problem(api.get("/api/analytics/export.parquet"), 422, "invalid-input")
    assert "lofi-empire[parquet]" in told["remedy"]


def test_the_commands_say_the_same(channel, tmp_path: Path, monkeypatch):
    from typer.testing import CliRunner

    from lofi.cli import app

    api, _ = channel
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOFI_STUDIO__FOLDER", str(api.studio.folder))

    def lofi(*words: str) -> str:
        done = CliRunner().invoke(app, ["analytics", *words])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.output

    assert "statistics" in lofi("collect", "--dry-run")
    assert "nothing was collected yet" in lofi("show")
    collect(api, NOW)
    assert "too few to say" in lofi("show")
    lofi("export", "figures.csv", "--name", "views")
    assert (tmp_path / "figures.csv").read_text().count("views") == 3
    done = CliRunner().invoke(app, ["analytics", "export", "figures.xls"])
    assert ".parquet" in str(done.exception)
