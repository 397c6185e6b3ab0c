"""The schedule of releases: planned once, spread by the rules, and asked about when missed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from api import Api, problem
from shelf import put_track

from lofi.brief import InputError
from lofi.channel import is_opening, learn_hours
from lofi.studio import ConflictError, Settings, calendar, slots, tracks
from lofi.studio._database import Database
from lofi.studio._tables import Credential, Event, Metric, Release, Track, now
from lofi.studio._uploads import _mark_missed

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2123, 3, 1, 12, tzinfo=UTC)
SETTINGS = Settings(schedule={"time_zone": "Europe/Berlin", "spacing_h": 6, "per_day": 2})  # type: ignore[arg-type]


ON_BOTH = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def database(request, tmp_path: Path) -> Iterator[Database]:
    if getattr(request, "param", "sqlite") == "sqlite":
        made = Database(f"sqlite:///{tmp_path / 'studio.db'}")
    else:
        made = Database(request.getfixturevalue("postgres_url"))
    made.migrate()
    yield made
    made.close()


def approved(session, number: int = 1, privacy: str = "public") -> str:
    track = put_track(session, number, title=f"Track {number}")
    tracks.decide(session, track, "approved", actor="test", privacy=privacy)
    return track


def plan(session, track: str, *, moment: datetime = MONDAY, **more) -> Release:
    return slots.plan(session, SETTINGS, track, actor="test", moment=moment, **more)


def add(session, when: str = "mon,thu 18:30", **more):
    return slots.add(session, SETTINGS, when, when, actor="test", **more)


def verbs(session, kind: str) -> list[str]:
    query = sa.select(Event.verb).where(Event.kind == kind).order_by(Event.id)
    return list(session.scalars(query))


@ON_BOTH
def test_a_track_goes_into_the_next_free_slot_once_and_is_told(database):
    with database.write() as session:
        add(session)
        first, second = (approved(session, n) for n in (1, 2))
        planned = [plan(session, first), plan(session, second)]
        assert [r.publish_at for r in planned] == [
            datetime(2123, 3, 1, 17, 30, tzinfo=UTC), datetime(2123, 3, 4, 17, 30, tzinfo=UTC),
        ]  # fmt: skip
        assert {(r.state, r.privacy, r.platform) for r in planned} == {
            ("planned", "public", "youtube")
        }
        with pytest.raises(ConflictError, match="has release 1 already"):
            plan(session, first)
        assert verbs(session, "release") == ["planned", "planned"]
        assert verbs(session, "slot") == ["added"]


def test_only_what_a_person_approved_is_planned_and_no_more_public_than_that(database):
    with database.write() as session:
        add(session)
        with pytest.raises(ConflictError, match="not approved"):
            plan(session, put_track(session, 1))
        track = approved(session, 2, privacy="unlisted")
        with pytest.raises(ConflictError, match="unlisted at most"):
            plan(session, track, privacy="public")
        assert plan(session, track).privacy == "unlisted"
        remade = approved(session, 3)
        session.get_one(Track, remade).package_sha256 = "f" * 64
        with pytest.raises(ConflictError, match="not approved as it is now"):
            plan(session, remade)


def test_a_moment_by_hand_keeps_the_rules_unless_it_shall_be_there_anyway(database):
    with database.write() as session:
        near, there = (approved(session, n) for n in (1, 2))
        at = MONDAY + timedelta(days=1)
        kept = plan(session, there, at=at)
        with pytest.raises(ConflictError, match=r"2\.0 h after the release of Tue 02 Mar 13:00"):
            plan(session, near, at=at + timedelta(hours=2))
        with pytest.raises(InputError, match="has passed"):
            plan(session, near, at=MONDAY - timedelta(minutes=1))
        plan(session, near, at=at + timedelta(hours=2), anyway=True)
        session.flush()
        found = calendar.between(session, SETTINGS, MONDAY, at + timedelta(days=1), moment=MONDAY)
        assert [[c["kind"] for c in r["conflicts"]] for r in found["releases"]] == [
            ["near"], ["near"],
        ]  # fmt: skip
        with pytest.raises(ConflictError, match="does not fit"):
            slots.move(session, SETTINGS, kept.id, at + timedelta(hours=1), actor="test",
                       moment=MONDAY)  # fmt: skip
        slots.move(session, SETTINGS, kept.id, at + timedelta(days=3), actor="test", moment=MONDAY)
        slots.cancel(session, kept.id, actor="test")
        assert [t["id"] for t in slots.tray(session)] == [there]
        assert verbs(session, "release") == ["planned", "planned", "moved", "cancelled"]
        kept.state = "uploading"
        with pytest.raises(ConflictError, match="uploading"):
            slots.move(session, SETTINGS, kept.id, at, actor="test", moment=MONDAY)


def test_after_a_week_of_downtime_there_are_questions_and_no_burst(database):
    before = now() - timedelta(days=10)
    with database.write() as session:
        add(session, "daily 18:00")
        for number in range(1, 6):
            track = approved(session, number)
            slots.plan(session, SETTINGS, track, actor="test", moment=before)
        _mark_missed(session)
        found = calendar.between(session, SETTINGS, now(), now() + timedelta(days=7))
        assert len(found["missed"]) == 5
        assert found["releases"] == []

        def answer(release: int, how: str) -> Release:
            return slots.resolve(session, SETTINGS, release, how, actor="test")

        first = answer(1, "now").publish_at
        assert first
        assert first - now() <= timedelta(minutes=1)
        with pytest.raises(ConflictError, match="does not fit"):
            answer(2, "now")  # 6 h must lie between
        then = answer(2, "next").publish_at
        assert then
        assert then - first >= timedelta(hours=6)
        assert is_opening(slots.enabled(session), then)
        assert answer(3, "drop").state == "cancelled"
        with pytest.raises(ConflictError, match="was not missed"):
            answer(3, "next")
        with pytest.raises(InputError, match="answer"):
            answer(4, "all")
        states = list(session.scalars(sa.select(Release.state).order_by(Release.id)))
        assert states == ["planned", "planned", "cancelled", "missed", "missed"]


def test_one_that_lies_on_youtube_until_its_moment_is_moved_there(database):
    with database.write() as session:
        session.add(
            Credential(platform="youtube", account_id="a", account="A", scopes=[], sealed="")
        )
        settings = SETTINGS.model_copy(update={"youtube": replace(SETTINGS.youtube, uploads=True)})
        release = plan(session, approved(session), at=MONDAY, moment=MONDAY - timedelta(hours=1))
        release.state, release.remote_id = "uploaded", "video-1"
        before, later = MONDAY - timedelta(hours=1), MONDAY + timedelta(days=2)
        moved = slots.move(session, settings, release.id, later, actor="test", moment=before)
        assert moved.id == release.id
        assert moved.publish_at == later
        assert moved.detail["steps"]["privacy"] == {"wanted": True}  # to be changed there
        release.publish_at, release.state = MONDAY, "published"
        with pytest.raises(ConflictError, match="published"):
            slots.move(session, settings, release.id, later, actor="test", moment=before)


def test_slots_fill_themselves_only_where_they_are_told_to(database):
    with database.write() as session:
        add(session, "mon 10:00")
        for number in (1, 2, 3):
            approved(session, number)
        assert slots.plan_all(session, SETTINGS, actor="t", auto=True, moment=MONDAY) == []
        add(session, "wed 10:00", auto=True)
        made = slots.plan_all(session, SETTINGS, actor="t", auto=True, moment=MONDAY)
        assert [r.publish_at for r in made] == [  # of two weeks
            datetime(2123, 3, 3, 9, tzinfo=UTC), datetime(2123, 3, 10, 9, tzinfo=UTC),
        ]  # fmt: skip
        rest = slots.plan_all(session, SETTINGS, actor="t", moment=MONDAY)
        assert [r.publish_at for r in rest] == [datetime(2123, 3, 8, 9, tzinfo=UTC)]
        assert slots.tray(session) == []


@ON_BOTH
def test_best_hours_are_learned_from_own_figures_and_chosen_by(database):
    """Releases at 20:00 are watched five times as much."""
    begin = datetime(2026, 6, 1, 12, tzinfo=UTC)
    with database.write() as session:
        for number in range(1, 61):
            track = put_track(session, number)
            good = number % 2 == 0
            at = begin + timedelta(days=number, hours=6 if good else -6)
            views = 1000 if good else 200
            release = Release(
                track_id=track, platform="youtube", state="published", privacy="public",
                publish_at=at,
            )  # fmt: skip
            session.add(release)
            session.flush()
            for hours, value in ((24, 0.6 * views), (47, views), (71, 3 * views)):
                moment = at + timedelta(hours=hours)
                session.add(Metric(release_id=release.id, name="views", value=value, at=moment))
        session.flush()
        seen = calendar.seen_releases(session)
        assert sorted({round(s.views) for s in seen}) == [217, 1083]  # at 48 h, between two figures
        believed = learn_hours(seen, BERLIN)
        assert not believed.is_prior
        assert 18 <= believed.best.hour % 24 <= 22
        hours = set()
        for number in range(100, 104):
            release = plan(session, approved(session, number), choose="best", believed=believed)
            at = release.publish_at
            assert at
            hours.add(at.astimezone(BERLIN).hour)
            assert "× the views of an average hour" in release.detail["why"]
        assert len([h for h in hours if h >= 16]) >= len(hours) - 1


# Through the API ---------------------------------------------------------------------------------


@pytest.fixture
def shelf(api: Api) -> Api:
    with api.studio.database.write() as session:
        for number in (1, 2):
            approved(session, number)
    return api


ID = "quiet-harbour-00000001"


def test_slots_are_added_changed_and_removed(api: Api):
    made = api.post("/api/schedule/slots", json={"name": "evenings", "when": "mon,thu 18:30"})
    assert made.status_code == 201, made.text
    slot = made.json()
    assert (slot["when"], slot["enabled"], slot["auto"]) == ("Mon, Thu 18:30", True, False)
    again = api.post("/api/schedule/slots", json={"name": "evenings", "when": "daily 9:00"})
    problem(again, 409, "conflict")
    told = problem(
        api.post("/api/schedule/slots", json={"name": "x", "when": "some day"}),
        422,
        "invalid-input",
    )
    assert "mon,thu 18:30" in told["remedy"]
    path = f"/api/schedule/slots/{slot['id']}"
    changed = api.patch(path, json={"enabled": False, "time_zone": "Asia/Tokyo"}).json()
    assert (changed["enabled"], changed["time_zone"], changed["next_at"]) == (
        False,
        "Asia/Tokyo",
        None,
    )
    assert api.delete(path).status_code == 204
    problem(api.delete(path), 404, "not-found")
    assert api.get("/api/schedule/slots").json()["items"] == []


def test_a_release_is_planned_moved_and_cancelled(shelf: Api):
    api = shelf
    path = f"/api/schedule/tracks/{ID}"
    told = problem(api.post(path), 422, "invalid-input")
    assert "lofi schedule add" in told["remedy"]
    key = {"Idempotency-Key": "one"}
    body = {"local": f"{now() + timedelta(days=3):%Y-%m-%d}T18:30"}
    made = api.post(path, json=body, headers=key)
    assert made.status_code == 201, made.text
    again = api.post(path, json=body, headers=key)
    assert again.json() == made.json()
    problem(api.post(path, json=body), 409, "conflict")
    release = f"/api/schedule/releases/{made.json()['id']}"
    moved = api.patch(release, json={"at": "2099-01-01T00:00:00Z"})
    problem(moved, 422, "invalid-input")  # not within three years
    problem(api.patch(release, json={}), 422, "invalid-input")
    problem(api.patch(release, json={"local": "0001-01-01T00:00"}), 422, "invalid-input")
    later = f"{now() + timedelta(days=5):%Y-%m-%d}T09:00"
    assert api.patch(release, json={"local": later}).json()["publish_at"].startswith(later)
    span = {"begin": now().isoformat(), "end": (now() + timedelta(days=30)).isoformat()}
    found = api.get("/api/schedule/calendar", params=span).json()
    assert [r["local"] for r in found["releases"]] == [later]
    assert [t["id"] for t in found["tray"]] == ["quiet-harbour-00000002"]
    assert api.delete(release).json()["state"] == "cancelled"
    problem(api.delete(release), 409, "conflict")
    reader = api.token("reader", "read")
    problem(api.post(path, json=body, headers=reader), 403, "forbidden")


def test_best_hours_without_figures_claim_nothing(shelf: Api):
    told = shelf.get("/api/schedule/hours").json()
    assert told["prior_only"] is True
    assert told["best"] is None
    assert "prior only" in told["note"]
    assert len(told["hours"]) == 168
    made = shelf.post(f"/api/schedule/tracks/{ID}", json={"choose": "best"}).json()
    assert "no data yet" in made["why"]
    at = datetime.fromisoformat(made["publish_at"])
    assert now() < at < now() + timedelta(days=15)
