"""Listings in the studio: drawn for orders, changed, approved, looked at before they go out."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from api import Api, problem
from shelf import put_track
from typer.testing import CliRunner

from lofi.brief import Brief
from lofi.studio import listings, tracks
from lofi.studio._tables import Credential, Event, Job, Listing, Release, now

ID = "quiet-harbour-00000001"
MELODY = "0" * 512


@pytest.fixture
def track(api: Api) -> str:
    with api.studio.database.write() as session:
        return put_track(session, 1, storage=api.studio.storage)


def listing_of(api: Api, track: str = ID) -> dict:
    return api.get(f"/api/tracks/{track}/listing").json()


# Drawn -----------------------------------------------------------------------------------------


def names(api: Api, ids: list[str]) -> list[str]:
    with api.studio.database.read() as session:
        return [session.get_one(Job, i).title for i in ids]


def test_no_two_orders_get_the_same_name_or_words(api: Api):
    house = api.studio
    # One seed, mood and palette: by chance alone all of them would be called the same.
    briefs = [Brief(seed=5, mood="chill", palette="dusk", duration_s=10 + i) for i in range(12)]
    ids = [i for brief in briefs for i in house.order(brief, actor="me")]
    ids += house.order(Brief(seed=5, mood="chill", palette="dusk"), count=4, actor="me")
    assert len(set(names(api, ids))) == 16
    with house.database.read() as session:
        said = listings.recent_words(session)
        assert len(said) == len({w.title for w in said}) == 16
        takes = set(session.scalars(sa.select(Listing.take)))
    assert len(takes) > 1


def test_what_is_ordered_again_is_the_same_track(api: Api):
    house = api.studio
    briefs = [Brief(seed=5, mood="chill", palette="dusk", duration_s=10 + i) for i in range(4)]
    first = [i for brief in briefs for i in house.order(brief, actor="me")]
    again = [i for brief in reversed(briefs) for i in house.order(brief, actor="me")]
    assert names(api, first) == names(api, again[::-1])
    with house.database.read() as session:
        commissions = [session.get_one(Job, i).commission for i in first + again[::-1]]
    assert commissions[:4] == commissions[4:]


def test_broken_templates_refuse_an_order_and_nothing_else(api: Api, tmp_path, monkeypatch):
    own = tmp_path / "own.yaml"
    own.write_text("names:\n  - '{{ light }} {{ night }}'\n")
    monkeypatch.setenv("LOFI_LISTING__TEMPLATES", str(own))
    answer = api.post("/api/generate", json={"seed": 1})
    told = problem(answer, 422, "invalid-input")
    assert "own.yaml, line 2" in told["detail"]
    own.write_text("names: ['{{ thing }} of mine']\n")
    made = api.post("/api/generate", json={"seed": 1}).json()
    assert names(api, [made["id"]])[0].endswith(" of mine")


# Changed ---------------------------------------------------------------------------------------


def test_a_listing_is_read_with_the_room_that_is_left(api: Api, track):
    answer = api.get(f"/api/tracks/{track}/listing")
    told = answer.json()
    assert answer.headers["etag"] == f'"{told["sha256"]}"'
    assert told["counts"]["description_bytes"] == len(told["description"].encode())
    assert (told["problems"], told["edited"]) == ([], False)
    assert told["preview"]["hashtags"][0] == "#lofi"
    assert told["request"]["body"]["status"]["privacyStatus"] == "private"
    problem(api.get("/api/tracks/nothing/listing"), 404, "not-found")


def test_what_a_person_says_is_kept_and_undone(api: Api, track):
    before = listing_of(api)
    changes = {
        "title": "  Harbour   at Night ",
        "tags": ["rain", "night boat"],
        "category": "22",
        "localizations": {"de": {"title": "Hafen bei Nacht", "description": "Ruhig."}},
        "chapters": [{"start_s": s, "name": n} for s, n in ((0, "In"), (30, "On"), (60, "Out"))],
    }
    told = api.put(f"/api/tracks/{track}/listing", json=changes).json()
    assert (told["title"], told["category"]) == ("Harbour at Night", "22")
    assert "0:00 In\n0:30 On\n1:00 Out" in told["description"]
    assert told["localizations"] == changes["localizations"]
    assert (told["edited"], told["edited_by"]) == (True, "local")
    assert listing_of(api) == told
    body = told["request"]["body"]
    assert body["localizations"]["de"]["title"] == "Hafen bei Nacht"
    assert body["status"]["containsSyntheticMedia"] is True
    assert api.delete(f"/api/tracks/{track}/listing").json() == before
    with api.studio.database.read() as session:
        events = session.scalars(sa.select(Event).where(Event.kind == "listing")).all()
    assert [e.verb for e in events] == ["edited", "reset"]
    assert "snippet.title" in events[0].detail["fields"]


def test_a_listing_that_breaks_a_limit_is_refused_with_every_reason(api: Api, track):
    before = listing_of(api)
    bad = {"title": "x" * 101, "tags": ["a,b"], "description": "0:00 a\n0:05 b"}
    told = problem(api.put(f"/api/tracks/{track}/listing", json=bad), 422, "invalid-input")
    for why in ("100 characters", "comma", "10 s"):
        assert why in told["detail"]
    assert listing_of(api) == before
    draft = api.post(f"/api/tracks/{track}/listing/check", json=bad).json()
    assert len(draft["problems"]) == 3
    assert draft["counts"]["title_characters"] == 101
    for body in ({"title": 3}, {"colour": "red"}, {"language": "not one"},
                 {"chapters": [{"start_s": -1, "name": "a"}]}):  # fmt: skip
        problem(api.put(f"/api/tracks/{track}/listing", json=body), 422, "invalid-input")


def test_of_two_who_change_a_listing_the_second_is_told(api: Api, track):
    etag = api.get(f"/api/tracks/{track}/listing").headers["etag"]
    seen = {"If-Match": etag}
    url = f"/api/tracks/{track}/listing"
    assert api.put(url, json={"title": "First"}, headers=seen).status_code == 200
    problem(api.put(url, json={"title": "Second"}, headers=seen), 412, "stale")
    problem(api.delete(url, headers=seen), 412, "stale")
    assert listing_of(api)["title"] == "First"


def test_a_changed_listing_asks_for_approval_again(api: Api, track):
    url = f"/api/tracks/{track}"
    sha256 = listing_of(api)["sha256"]
    api.post(f"{url}/approve", json={"listing_sha256": sha256})

    def stands() -> bool:
        with api.studio.database.read() as session:
            found = tracks.find(session, track)
            return tracks.standing_approval(session, found) is not None

    assert stands()
    api.put(f"{url}/listing", json={"title": "Another one"})
    told = api.get(url).json()
    assert (told["state"], told["approvals"][0]["current"], stands()) == ("review", False, False)
    problem(api.post(f"{url}/approve", json={"listing_sha256": sha256}), 412, "stale")
    api.delete(f"{url}/listing")  # exactly what was approved
    assert (api.get(url).json()["state"], stands()) == ("approved", True)
    api.put(f"{url}/listing", json={"title": "Another one"})
    api.post(f"{url}/approve", json={"listing_sha256": listing_of(api)["sha256"]})
    told = api.get(url).json()
    assert (told["state"], told["approvals"][0]["current"], stands()) == ("approved", True, True)
    assert told["approvals"][0]["package_sha256"] == told["content_sha256"]


def test_other_words_are_drawn_and_not_kept(api: Api, track):
    before = listing_of(api)
    one = api.post(f"/api/tracks/{track}/listing/draw").json()
    two = api.post(f"/api/tracks/{track}/listing/draw", json={"after": one["take"]}).json()
    assert len({before["title"], one["title"], two["title"]}) == 3
    assert all("Quiet Harbour" in made["title"] for made in (one, two))
    assert (one["problems"], two["take"] > one["take"]) == ([], True)
    assert listing_of(api) == before
    told = api.post(f"/api/tracks/{track}/listing/rewrite")
    assert "listing.rewrite_url" in problem(told, 422, "invalid-input")["remedy"]


def test_only_who_may_write_changes_a_listing(api: Api, track):
    reader = api.token("r", "read")
    url = f"/api/tracks/{track}"
    for path in ("/listing", "/preflight"):
        problem(api.get(url + path), 401, "unauthorized")
        assert api.get(url + path, headers=reader).status_code == 200
    problem(api.put(f"{url}/listing", json={}, headers=reader), 403, "forbidden")
    problem(api.delete(f"{url}/listing", headers=reader), 403, "forbidden")


# Looked at before it goes out ------------------------------------------------------------------


def test_the_preflight_knows_the_channel(api: Api):
    likeness = {"melody": MELODY, "thumbnail": "00" * 432}
    with api.studio.database.write() as session:
        for number in (1, 2):
            put_track(session, number, facts={"title": "Quiet Harbour", "likeness": likeness})
        session.add(Release(track_id="quiet-harbour-00000002", platform="youtube",
                            state="published", publish_at=now()))  # fmt: skip
        session.add(Release(track_id=ID, platform="youtube", state="cancelled"))
        session.add(
            Credential(platform="youtube", account_id="UC1", account="Lofi", scopes=[], sealed="x")
        )
    api.put("/api/tracks/quiet-harbour-00000002/listing", json={"title": "Same title"})
    api.put(f"/api/tracks/{ID}/listing", json={"title": "Same Title"})
    told = api.get(f"/api/tracks/{ID}/preflight", params={"privacy": "unlisted"}).json()
    found = {f["id"]: f for f in told["findings"]}
    for rule, outcome in {
        "title": "ok", "video": "block", "thumbnail": "warn", "approval": "block",
        "how-public": "block", "uploads-left": "ok", "units-left": "ok", "per-day": "warn",
        "same-title": "block", "alike-title": "warn", "alike-sound": "block",
        "alike-thumbnail": "unknown", "originality": "ok",
    }.items():  # fmt: skip
        assert found[rule]["outcome"] == outcome, found[rule]
    assert "quiet-harbour-00000002" in found["alike-sound"]["detail"]
    assert told["passes"] is False
    assert told["blocked"] == sum(f["outcome"] == "block" for f in told["findings"])
    assert told["request"]["body"]["status"]["privacyStatus"] == "unlisted"
    later = {"privacy": "public", "publish_at": "2099-01-01T00:00:00Z"}
    told = api.get(f"/api/tracks/{ID}/preflight", params=later).json()
    status = told["request"]["body"]["status"]
    assert (status["privacyStatus"], status["publishAt"]) == ("private", "2099-01-01T00:00:00Z")
    problem(api.get(f"/api/tracks/{ID}/preflight?privacy=secret"), 422, "invalid-input")
    problem(
        api.get(f"/api/tracks/{ID}/preflight", params=later | {"privacy": "private"}),
        422, "invalid-input",
    )  # fmt: skip


def test_a_track_that_was_made_has_the_listing_of_its_package_and_passes(
    working_api: Api, monkeypatch
):
    from lofi.cli import app

    house = working_api
    job = house.until(house.order(), "done", "failed")
    assert job["state"] == "done", job
    track = job["track_id"]
    told = listing_of(house, track)
    package = house.get(f"/api/tracks/{track}/files/listing.json").json()
    assert told["request"]["body"] == {n: v for n, v in package.items() if n != "query"}
    assert told["title"] == package["snippet"]["title"]
    facts = house.get(f"/api/tracks/{track}").json()["facts"]
    assert (len(facts["likeness"]["melody"]), len(facts["likeness"]["thumbnail"])) == (512, 864)

    house.post(f"/api/tracks/{track}/approve", json={"privacy": "unlisted"})
    monkeypatch.setenv("LOFI_STUDIO__FOLDER", str(house.studio.folder))
    shown = CliRunner().invoke(app, ["preflight", track, "--privacy", "unlisted", "--json"])
    assert shown.exit_code == 0, shown.output
    findings = {f["id"]: f for f in json.loads(shown.output)["findings"]}
    assert findings["container"]["outcome"] == "ok"
    assert findings["sound-coding"]["outcome"] == "ok", findings["sound-coding"]
    assert "320×180" in findings["frame"]["detail"]
    assert findings["thumbnail-kind"]["outcome"] == "ok"
    page = CliRunner().invoke(app, ["preflight", track]).output
    assert "✓" in page
    assert '"privacyStatus": "private"' in page

    words = ["track", "listing", track, "--set", f"title={told['title']}!", "--set", "tags=a, b"]
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert (told["edited"], told["tags"]) == (True, ["a", "b"])
    refused = CliRunner().invoke(app, ["preflight", track])
    assert refused.exit_code == 1
    assert "approved exactly these bytes" in refused.output
