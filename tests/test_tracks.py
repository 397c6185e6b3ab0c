"""The catalogue of tracks, on both databases."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from shelf import put_track
from sqlalchemy.event import listen

from lofi.brief import InputError
from lofi.studio import ConflictError, NotFoundError, analytics, upcoming
from lofi.studio import tracks as catalogue
from lofi.studio._database import Database
from lofi.studio._settings import Daily
from lofi.studio._storage import Storage, collect_garbage
from lofi.studio._tables import (
    Approval,
    Artifact,
    Event,
    Job,
    JobStage,
    Metric,
    Release,
    Track,
    now,
)
from lofi.studio._tracks import Filter, StaleError

DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        made = Database(f"sqlite:///{tmp_path / 'studio.db'}")
    else:
        made = Database(request.getfixturevalue("postgres_url"))
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def shelf(database: Database) -> Database:
    """Four tracks, a day apart."""
    with database.write() as session:
        put_track(session, 1, created_at=DAY, title="amber Lamp", bpm=60.0, mood="sleep",
                  key="C major", duration_s=90.0, tags=["rain", "night"])  # fmt: skip
        put_track(session, 2, created_at=DAY + timedelta(days=1), title="Quiet 100% Harbour",
                  bpm=90.0, state="approved", note="For the Tuesday stream")  # fmt: skip
        put_track(session, 3, created_at=DAY + timedelta(days=2), title="Rain_Street", bpm=75.0,
                  verdict="review", palette="teal", tags=["rain"])  # fmt: skip
        put_track(session, 4, created_at=DAY + timedelta(days=3), title="Zebra", bpm=80.0,
                  deleted_at=now(), tags=["gone"])  # fmt: skip
    return database


def numbers(database: Database, wanted: Filter | None = None, **more) -> list[int]:
    with database.read() as session:
        found, total = catalogue.listing(session, wanted, **more)
    assert total >= len(found)
    return [track["seed"] for track in found]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), {1, 2, 3}),
        (Filter(deleted=True), {4}),
        (Filter(states=("approved",)), {2}),
        (Filter(moods=("sleepy",)), {1}),  # an alias
        (Filter(moods=("sleep", "chill")), {1, 2, 3}),
        (Filter(keys=("Am",)), {2, 3}),
        (Filter(palettes=("teal",)), {3}),
        (Filter(verdicts=("review",)), {3}),
        (Filter(bpm=(60, 75)), {1, 3}),
        (Filter(duration_s=(None, 90)), {1}),
        (Filter(tag=" RAIN "), {1, 3}),
        (Filter(tag="rai"), set()),
        (Filter(created=(DAY + timedelta(days=1), DAY + timedelta(days=2))), {2}),
        (Filter(text="RAIN"), {1, 3}),  # a tag of one, the title of another
        (Filter(text="stream tuesday harbour"), {2}),
        (Filter(text="harbour street"), {3}),  # every id has a harbour
        (Filter(text="100%"), {2}),
        (Filter(text="n_s"), {3}),
        (Filter(text="%"), {2}),
        (Filter(text="rain\x00street"), {3}),
        (Filter(text="major"), {1}),
        (Filter(text="\\"), set()),
        (Filter(moods=("chill",), bpm=(80, None), text="quiet"), {2}),
    ],
)
def test_a_filter_finds_what_fits_and_nothing_else(shelf, wanted, found):
    assert set(numbers(shelf, wanted)) == found


@pytest.mark.parametrize(
    ("sort", "rising"),
    [("created", [1, 2, 3]), ("title", [1, 2, 3]), ("bpm", [1, 3, 2]), ("duration", [1, 2, 3])],
)
def test_tracks_come_in_the_order_asked_for(shelf, sort, rising):
    assert numbers(shelf, sort=sort, descending=False) == rising
    assert numbers(shelf, sort=sort, descending=True) == rising[::-1]


def test_pages_hold_every_track_once_even_where_all_are_alike(database):
    with database.write() as session:
        for i in range(25):
            put_track(session, i)
    pages = [numbers(database, sort="mood", limit=10, offset=offset) for offset in (0, 10, 20, 30)]
    assert [len(page) for page in pages] == [10, 10, 5, 0]
    assert sorted(n for page in pages for n in page) == list(range(25))


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(states=("lost",)),
        Filter(moods=("angry",)),
        Filter(keys=("H flat",)),
        Filter(palettes=("beige",)),
        Filter(bpm=(90, 60)),
        Filter(tag=""),
    ],
)
def test_a_filter_that_is_none_is_refused(shelf, wanted):
    with shelf.read() as session, pytest.raises(InputError):
        catalogue.listing(session, wanted)


def test_no_filter_reads_the_rows_of_all_tracks(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'studio.db'}")
    database.migrate()
    statements: list[tuple[str, tuple]] = []
    listen(
        database.engine, "before_cursor_execute",
        lambda _c, _cursor, statement, values, *_: statements.append((statement, values)),
    )  # fmt: skip
    wanted = Filter(
        states=("review",), moods=("chill",), keys=("Am",), palettes=("dusk",),
        verdicts=("pass",), bpm=(60, 90), duration_s=(60, 90), created=(DAY, None), text="rain",
    )  # fmt: skip
    with database.read() as session:
        for sort in catalogue.SORTS:
            catalogue.listing(session, wanted, sort=sort)
    queries = [s for s in statements if "FROM tracks" in s[0] and "IN (NULL)" not in s[0]]
    with database.engine.connect() as connection:
        for statement, values in queries:
            if "facts" in statement or "tracks.title" in statement:
                continue  # the rows of the page itself
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
            assert any("COVERING INDEX ix_tracks_searched" in row[3] for row in plan), plan
    database.close()


def test_a_change_is_kept_searched_for_and_remembered(shelf):
    with shelf.write() as session:
        track = catalogue.patch(
            session,
            "quiet-harbour-00000001",
            actor="me",
            title="  Lantern   Room ",
            tags=["Late", "late", "x y"],
            note="one\ntwo",
        )
    assert (track.title, track.tags, track.note) == ("Lantern Room", ["late", "x y"], "one\ntwo")
    assert numbers(shelf, Filter(text="lantern two late")) == [1]
    assert numbers(shelf, Filter(text="amber")) == []
    with shelf.read() as session:
        event = session.scalars(sa.select(Event).order_by(Event.id.desc())).first()
        assert event
        assert (event.actor, event.verb, event.subject) == ("me", "changed", track.id)
        assert event.detail["changes"]["title"] == {"from": "amber Lamp", "to": "Lantern Room"}


def test_a_change_of_nothing_is_none(shelf):
    with shelf.write() as session:
        before = catalogue.find(session, "quiet-harbour-00000001").updated_at
        track = catalogue.patch(session, "quiet-harbour-00000001", actor="me", title="amber Lamp")
        assert track.updated_at == before
        assert session.scalar(sa.select(sa.func.count()).select_from(Event)) == 0


@pytest.mark.parametrize(
    "values",
    [
        {"title": ""},
        {"title": " \u2003 "},
        {"title": "x" * 101},
        {"title": "a\nb"},
        {"title": "a\x00b"},
        {"title": "\u202egnp"},
        {"title": "\ud800"},
        {"note": "a\x07"},
        {"note": "x" * 5001},
        {"tags": ["a,b"]},
        {"tags": ["x" * 61]},
        {"tags": [""]},
        {"tags": [str(i) for i in range(31)]},
    ],
)
def test_what_cannot_be_kept_is_refused(shelf, values):
    with shelf.write() as session, pytest.raises(InputError):
        catalogue.patch(session, "quiet-harbour-00000001", actor="me", **values)


def test_a_lost_update_is_refused(shelf):
    with shelf.write() as session:
        seen = catalogue.version_of(catalogue.find(session, "quiet-harbour-00000001").updated_at)
        catalogue.patch(session, "quiet-harbour-00000001", actor="a", title="First", version=seen)
    with shelf.write() as session, pytest.raises(StaleError):
        catalogue.patch(session, "quiet-harbour-00000001", actor="b", title="Second", version=seen)
    with shelf.read() as session:
        assert catalogue.find(session, "quiet-harbour-00000001").title == "First"


@pytest.mark.parametrize(
    "track_id", ["nothing", "../x", "", "a\x00b", "x" * 500, "quiet-harbour-00000004"]
)
def test_a_track_that_is_not_there_is_not_found(shelf, track_id):
    with shelf.read() as session, pytest.raises(NotFoundError):
        catalogue.find(session, track_id)


def test_tags_are_counted_of_tracks_that_are_there(shelf):
    with shelf.read() as session:
        assert catalogue.tags(session) == [
            {"tag": "rain", "tracks": 2},
            {"tag": "night", "tracks": 1},
        ]


def test_an_approval_is_of_these_bytes_alone(shelf):
    with shelf.write() as session:
        track_id = "quiet-harbour-00000001"
        made = catalogue.decide(session, track_id, "approved", actor="me", privacy="unlisted")
        track = catalogue.find(session, track_id)
        assert (track.state, made.package_sha256) == ("approved", track.package_sha256)
        assert catalogue.standing_approval(session, track) is made
        seen = track.package_sha256
        track.package_sha256 = "f" * 64
        session.flush()
        assert catalogue.standing_approval(session, track) is None
        assert [a["current"] for a in catalogue.view(session, track_id)["approvals"]] == [False]
    with shelf.write() as session, pytest.raises(StaleError):
        catalogue.decide(session, track_id, "approved", actor="me", package_sha256=seen)


def test_a_rejection_takes_an_approval_back(shelf):
    with shelf.write() as session:
        track_id = "quiet-harbour-00000001"
        catalogue.decide(session, track_id, "approved", actor="me")
        catalogue.decide(session, track_id, "rejected", actor="me", note="the bass is late")
        track = catalogue.find(session, track_id)
        assert track.state == "rejected"
        assert catalogue.standing_approval(session, track) is None


def test_a_track_that_resembles_a_work_needs_a_reason_to_go_out(shelf):
    with shelf.write() as session:
        track_id = put_track(session, 9, verdict="block")
    with shelf.write() as session, pytest.raises(InputError, match="note"):
        catalogue.decide(session, track_id, "approved", actor="me")
    with shelf.write() as session:
        catalogue.decide(session, track_id, "approved", actor="me", note="it is our own work")
        assert catalogue.find(session, track_id).state == "approved"


def test_a_deleted_track_is_given_back_for_thirty_days(database, tmp_path):
    storage = Storage(str(tmp_path / "blobs"))
    with database.write() as session:
        track_id = put_track(session, 1, storage=storage)
        catalogue.delete(session, track_id, actor="me")
    assert numbers(database) == []
    with database.write() as session:
        catalogue.restore(session, track_id, actor="me")
    assert numbers(database) == [1]
    with database.write() as session:
        catalogue.delete(session, track_id, actor="me")
        session.execute(sa.update(Track).values(deleted_at=now() - timedelta(days=31)))
    with database.write() as session, pytest.raises(ConflictError, match="30 days"):
        catalogue.restore(session, track_id, actor="me")


def test_purging_frees_the_files_of_old_deletions_alone(database, tmp_path):
    storage = Storage(str(tmp_path / "blobs"))
    old, recent = now() - timedelta(days=31), now() - timedelta(days=29)
    with database.write() as session:
        put_track(session, 1, storage=storage, files={"track.mid": b"old", "a.json": b"shared"})
        put_track(session, 2, storage=storage, files={"track.mid": b"new", "a.json": b"shared"})
        put_track(session, 3, storage=storage, files={"track.mid": b"there"})
        put_track(session, 4, storage=storage, files={"track.mid": b"released"})
        catalogue.decide(session, "quiet-harbour-00000001", "approved", actor="me")
        session.add(Release(track_id="quiet-harbour-00000004", platform="youtube", state="public"))
        for number, moment in ((1, old), (2, recent), (4, old)):
            track = catalogue.find(session, f"quiet-harbour-{number:08x}")
            track.deleted_at = moment
    with database.write() as session:
        gone = catalogue.purge(session, actor="keeper")
        assert gone == ["quiet-harbour-00000001", "quiet-harbour-00000004"]
    with database.write() as session:
        assert catalogue.purge(session, actor="keeper") == []
        named = set(session.scalars(sa.select(Artifact.sha256)))
        assert session.get(Track, "quiet-harbour-00000001") is None
        assert session.get(Track, "quiet-harbour-00000004") is not None, "it was released"
        assert session.scalars(sa.select(Approval)).all() == []
        # No later job may take over files that are gone.
        keys = {stage.job_id: stage.key for stage in session.scalars(sa.select(JobStage))}
        assert keys[f"{1:016x}"] is None
        assert keys[f"{3:016x}"] is not None
    freed = collect_garbage(storage, named, dry_run=False, grace_s=0.0)
    assert freed.count == 2, "the old one's and the released one's own; the shared one is in use"


def test_csv_has_every_track_and_no_formula(database):
    with database.write() as session:
        put_track(session, 1, title="=HYPERLINK(1)", note='say "hi",\nthen go', tags=["a", "b"])
        for i in range(2, 230):
            put_track(session, i)
    text = "".join(catalogue.csv_lines(database.read, sort="created", descending=False))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 229
    assert [r["id"] for r in rows] == [f"quiet-harbour-{i:08x}" for i in range(1, 230)]
    assert rows[0]["title"] == "'=HYPERLINK(1)"
    assert rows[0]["note"] == 'say "hi",\nthen go'
    assert rows[0]["tags"] == "a; b"
    assert rows[0]["lufs"] == "-14"


def test_nothing_collected_is_told_as_such(shelf):
    with shelf.read() as session:
        told = analytics.series(session)
    assert told["collected"] is False
    assert told["series"] == []
    assert told["by"] == {"mood": [], "bpm": [], "key": [], "palette": []}


def test_figures_are_grouped_by_what_the_tracks_are_like(shelf):
    with shelf.write() as session:
        for number in (1, 2, 3):
            session.add(
                Release(id=number, track_id=f"quiet-harbour-{number:08x}", platform="youtube",
                        state="public")
            )  # fmt: skip
        session.flush()
        for release, day, value in ((1, 0, 10), (1, 1, 30), (2, 1, 5), (3, 1, 7), (None, 1, 99)):
            session.add(
                Metric(release_id=release, name="views", value=value, at=DAY + timedelta(days=day))
            )
    with shelf.read() as session:
        told = analytics.series(session)
        later = analytics.series(
            session, since=DAY + timedelta(hours=1), track_id="quiet-harbour-00000001"
        )
        other = analytics.series(session, names=["likes"])
    assert told["collected"] is True
    assert told["names"][0]["points"] == 5
    series = {s["of"]: [(p["value"], p["figures"]) for p in s["points"]] for s in told["series"]}
    assert series == {"releases": [(10, 1), (42, 3)], "channel": [(99, 1)]}
    moods = {g["value"]: g for g in told["by"]["mood"]}
    assert moods["sleep"] | {"sum": 40, "mean_of_last": 30, "points": 2} == moods["sleep"]
    assert moods["chill"] | {"tracks": 2, "sum": 12, "mean_of_last": 6} == moods["chill"]
    assert [g["value"] for g in told["by"]["bpm"]] == ["60-69", "70-79", "90-99"]
    assert [s["points"][0]["value"] for s in later["series"]] == [30]
    assert (other["collected"], other["series"]) == (True, [])


def test_the_calendar_tells_what_is_to_come_in_local_time(shelf):
    with shelf.write() as session:
        job = session.get(Job, f"{1:016x}")
        assert job
        job.state, job.not_before = "queued", DAY + timedelta(hours=3)
        for number, days in ((2, 5), (3, -5)):
            session.add(
                Release(
                    track_id=f"quiet-harbour-{number:08x}",
                    platform="youtube",
                    state="approved",
                    publish_at=DAY + timedelta(days=days),
                )
            )
    daily = Daily(cron="30 2 * * *", time_zone="Europe/Berlin")
    with shelf.read() as session:
        told = upcoming(session, daily, moment=datetime(2026, 3, 1, tzinfo=UTC))
    assert told["daily"]["next"][0] == "2026-03-01T02:30:00+01:00"
    assert [j["not_before"] for j in told["jobs"]] == ["2026-03-01T15:00:00.000Z"]
    assert [r["track_id"] for r in told["releases"]] == ["quiet-harbour-00000002"]
    with shelf.read() as session:
        assert upcoming(session, Daily())["daily"]["next"] == []
        with pytest.raises(InputError, match="daily"):
            upcoming(session, Daily(cron="every noon"))
        with pytest.raises(InputError, match="daily"):
            upcoming(session, Daily(cron="0 6 * * *", time_zone="Moon/Far_Side"))
