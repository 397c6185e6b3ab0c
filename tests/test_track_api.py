"""Tracks, their files and what surrounds them, asked for over HTTP."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from api import Api, problem, serving
from hostile import hostile_files
from shelf import FILES, put_track

from lofi.brief import MOODS, PALETTES, TEMPLATES
from lofi.studio._tables import Job, Metric, Release, now

ID = "quiet-harbour-00000001"
MASTER = FILES["master.flac"]


@pytest.fixture
def track(api: Api) -> str:
    """A track with files."""
    with api.studio.database.write() as session:
        return put_track(session, 1, storage=api.studio.storage, tags=["rain"])


def many(api: Api, count: int) -> None:
    with api.studio.database.write() as session:
        for i in range(count):
            put_track(session, i, bpm=60.0 + i, mood="sleep" if i % 2 else "chill")


# Lists -----------------------------------------------------------------------------------------


def test_pages_lead_from_one_to_the_next_by_their_links(api: Api):
    many(api, 25)
    seen: list[int] = []
    url: str | None = "/api/tracks?mood=chill&mood=sleep&sort=bpm&order=asc&limit=10"
    while url:
        answer = api.get(url)
        assert answer.headers["x-total-count"] == "25"
        seen += [t["seed"] for t in answer.json()["items"]]
        url = answer.links.get("next", {}).get("url")
    assert seen == list(range(25))
    last = api.get("/api/tracks?limit=10&offset=20")
    assert "next" not in last.links
    assert "offset=10" in last.links["prev"]["url"]


def test_a_list_can_be_filtered_and_searched(api: Api):
    many(api, 10)
    found = api.get("/api/tracks", params={"mood": "sleep", "bpm_min": 63, "bpm_max": 67}).json()
    assert [t["seed"] for t in found["items"]] == [7, 5, 3]
    assert api.get("/api/tracks", params={"q": "00000004 harbour"}).json()["total"] == 1
    later = (now() + timedelta(hours=1)).isoformat()
    assert api.get("/api/tracks", params={"created_from": later}).json()["total"] == 0


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "offset=-1", "sort=luck", "mood=angry", "created_from=2026-01-01",
     "bpm_min=x", "bpm_min=90&bpm_max=60", "state=%00", "tag=%00"],
)  # fmt: skip
def test_a_list_that_cannot_be_is_refused(api: Api, query):
    problem(api.get(f"/api/tracks?{query}"), 422, "invalid-input")


def test_a_search_for_anything_is_answered(api: Api, track):
    for text in ("%", "_", "\\", "\x00", "'; DROP TABLE tracks", "\u202e", "é" * 400, '"'):
        assert api.get("/api/tracks", params={"q": text}).status_code == 200
    assert api.get("/api/tracks").json()["total"] == 1


def test_the_table_for_spreadsheets_has_all_of_a_list(api: Api):
    many(api, 10)
    answer = api.get("/api/tracks.csv?mood=sleep&sort=bpm&order=asc")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="tracks.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [r["bpm"] for r in rows] == ["61", "63", "65", "67", "69"]
    problem(api.get("/api/tracks.csv?mood=angry"), 422, "invalid-input")


# One track -------------------------------------------------------------------------------------


def test_a_track_tells_all_that_is_known_of_it(api: Api, track):
    told = api.get(f"/api/tracks/{track}").json()
    assert told["facts"] == {"id": ID, "title": "Quiet Harbour"}
    assert [f["name"] for f in told["files"]] == [
        "master.flac", "stems/bass.flac", "track.json", "track.mid"
    ]  # fmt: skip
    assert told["versions"][0]["current"] is True
    problem(api.get("/api/tracks/nothing"), 404, "not-found")
    problem(api.get("/api/tracks/%00"), 404, "not-found")


def test_facts_are_those_of_the_package_even_when_it_is_made_anew(api: Api, track):
    api.get(f"/api/tracks/{track}")
    with api.studio.database.write() as session:
        from lofi.studio import tracks

        row = tracks.find(session, track)
        row.facts, row.package_sha256 = {"id": ID, "title": "Anew"}, "e" * 64
    assert api.get(f"/api/tracks/{track}").json()["facts"]["title"] == "Anew"


def test_of_two_who_change_a_track_the_second_is_told(api: Api, track):
    etag = api.get(f"/api/tracks/{track}").headers["etag"]
    first = api.patch(
        f"/api/tracks/{track}",
        json={"title": "First", "tags": ["Night"]},
        headers={"If-Match": etag},
    )
    assert (first.status_code, first.json()["title"], first.json()["tags"]) == (
        200, "First", ["night"]
    )  # fmt: skip
    assert first.headers["etag"] != etag
    second = api.patch(f"/api/tracks/{track}", json={"title": "Second"}, headers={"If-Match": etag})
    problem(second, 412, "stale")
    problem(api.delete(f"/api/tracks/{track}", headers={"If-Match": etag}), 412, "stale")
    assert api.get(f"/api/tracks/{track}").json()["title"] == "First"
    again = {"If-Match": first.headers["etag"]}
    assert api.patch(f"/api/tracks/{track}", json={"note": "x"}, headers=again).status_code == 200


@pytest.mark.parametrize(
    "body",
    [{"title": ""}, {"title": "x" * 101}, {"title": "a\u0000b"}, {"title": "\ud800"}, {"bpm": 3},
     {"tags": ["a,b"]}, {"tags": "rain"}, [], {"note": "x" * 20_001}],
)  # fmt: skip
def test_a_change_that_cannot_be_is_refused(api: Api, track, body):
    answer = api.patch(
        f"/api/tracks/{track}",
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    problem(answer, 422, "invalid-input")
    assert api.get(f"/api/tracks/{track}").json()["title"] == "Quiet Harbour"


def test_tags_are_counted_anew_after_a_change(api: Api, track):
    assert api.get("/api/tags").json() == {"items": [{"tag": "rain", "tracks": 1}]}
    api.patch(f"/api/tracks/{track}", json={"tags": ["night", "rain"]})
    assert [t["tag"] for t in api.get("/api/tags").json()["items"]] == ["night", "rain"]
    api.delete(f"/api/tracks/{track}")
    assert api.get("/api/tags").json() == {"items": []}


def test_a_deleted_track_is_away_until_it_is_restored(api: Api, track):
    assert api.delete(f"/api/tracks/{track}").status_code == 204
    assert api.get("/api/tracks").json()["total"] == 0
    assert [t["id"] for t in api.get("/api/tracks?deleted=true").json()["items"]] == [track]
    assert api.get(f"/api/tracks/{track}").json()["restorable_until"]
    problem(api.get(f"/api/tracks/{track}/files/track.mid"), 404, "not-found")
    problem(api.delete(f"/api/tracks/{track}"), 404, "not-found")
    assert api.post(f"/api/tracks/{track}/restore").json()["deleted_at"] is None
    assert api.get("/api/tracks").json()["total"] == 1


def test_an_approval_is_bound_to_the_package_that_was_looked_at(api: Api, track):
    sha256 = api.get(f"/api/tracks/{track}").json()["package_sha256"]
    made = api.post(
        f"/api/tracks/{track}/approve", json={"privacy": "unlisted", "package_sha256": sha256}
    ).json()
    assert made["state"] == "approved"
    assert made["approvals"][0] | {"privacy": "unlisted", "current": True} == made["approvals"][0]
    stale = api.post(f"/api/tracks/{track}/approve", json={"package_sha256": "0" * 64})
    problem(stale, 412, "stale")
    assert api.post(f"/api/tracks/{track}/reject", json={"note": "too long"}).json()["state"] == (
        "rejected"
    )
    answer = api.post(f"/api/tracks/{track}/approve", json={"privacy": "everyone"})
    problem(answer, 422, "invalid-input")


def test_only_who_may_publish_approves(api: Api, track):
    reader, writer = api.token("r", "read"), api.token("w", "write")
    publisher = api.token("p", "publish")
    for path, method, allowed in (
        (f"/api/tracks/{track}", "GET", reader),
        (f"/api/tracks/{track}/files/track.mid", "GET", reader),
        (f"/api/tracks/{track}/approve", "POST", publisher),
    ):
        problem(api.request(method, path), 401, "unauthorized")
        assert api.request(method, path, headers=allowed).status_code == 200
    problem(api.post(f"/api/tracks/{track}/approve", headers=writer), 403, "forbidden")
    problem(api.patch(f"/api/tracks/{track}", json={}, headers=reader), 403, "forbidden")
    problem(api.delete(f"/api/tracks/{track}", headers=reader), 403, "forbidden")


# Files -----------------------------------------------------------------------------------------


def test_every_file_of_a_track_can_be_had(api: Api, track):
    listed = api.get(f"/api/tracks/{track}/files").json()
    for file in listed["items"]:
        answer = api.get(file["url"])
        assert answer.content == FILES[file["name"]]
        assert answer.headers["etag"] == f'"{file["sha256"]}"'
        assert answer.headers["content-type"] == file["media_type"]
        assert answer.headers["content-length"] == str(file["size"])
        assert answer.headers["x-content-type-options"] == "nosniff"
    by_job = api.get(f"/api/jobs/{1:016x}/files/stems/bass.flac")
    assert by_job.content == b"low"


@pytest.mark.parametrize(
    "name",
    ["internal/plan.json", "nothing", "../track.mid", "%2e%2e/%2e%2e/studio.db", "%00", "stems/",
     "stems", "/etc/passwd", "track.mid/", "stems//bass.flac"],
)  # fmt: skip
def test_no_other_file_can_be_had(api: Api, track, name):
    problem(api.get(f"/api/tracks/{track}/files/{name}"), 404, "not-found")
    problem(api.get(f"/api/jobs/{1:016x}/files/{name}"), 404, "not-found")


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-", 0, 5120), ("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200),
     ("bytes=-100", 5020, 5120), ("bytes=-99999", 0, 5120), ("bytes=5119-", 5119, 5120),
     ("bytes=5000-99999999", 5000, 5120), ("BYTES = 1-2", 1, 3)],
)  # fmt: skip
def test_a_range_is_sent_alone(api: Api, track, asked, start, stop):
    answer = api.get(f"/api/tracks/{track}/files/master.flac", headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/5120"
    assert answer.headers["content-length"] == str(stop - start)
    assert answer.content == MASTER[start:stop]


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,4-5", "bytes=5-2", "bytes=-", "bytes=x-y", "lines=1-2"]
)
def test_what_is_no_single_range_is_answered_with_the_whole(api: Api, track, asked):
    answer = api.get(f"/api/tracks/{track}/files/master.flac", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, MASTER)


@pytest.mark.parametrize("asked", ["bytes=5120-", "bytes=9999-10000", "bytes=-0"])
def test_a_range_beyond_the_file_is_refused(api: Api, track, asked):
    answer = api.get(f"/api/tracks/{track}/files/master.flac", headers={"Range": asked})
    problem(answer, 416, "no-such-range")
    assert answer.headers["content-range"] == "bytes */5120"


def test_what_a_client_has_is_not_sent_again(api: Api, track):
    url = f"/api/tracks/{track}/files/master.flac"
    etag = api.get(url).headers["etag"]
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        answer = api.get(url, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    assert api.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
    half = {"Range": "bytes=10-19"}
    assert api.get(url, headers=half | {"If-Range": etag}).status_code == 206
    assert api.get(url, headers=half | {"If-Range": '"other"'}).content == MASTER
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    assert api.get(url, headers=half | {"If-Range": date}).content == MASTER


def test_a_look_at_the_head_sends_no_body(api: Api, track):
    answer = api.head(f"/api/tracks/{track}/files/master.flac")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "5120"
    assert answer.headers["accept-ranges"] == "bytes"
    assert api.head(f"/api/tracks/{track}/package.zip").status_code == 200


def test_a_file_is_shown_or_saved_as_asked(api: Api, track):
    url = f"/api/tracks/{track}/files/stems/bass.flac"
    assert api.get(url).headers["content-disposition"].startswith("inline; ")
    saved = api.get(f"{url}?download=1").headers["content-disposition"]
    assert saved == (f"attachment; filename=\"{ID} bass.flac\"; filename*=UTF-8''{ID}%20bass.flac")


def test_a_name_in_a_header_breaks_out_of_nothing():
    from lofi.web._files import disposition

    told = disposition('a"; x=\r\nSet-Cookie: 1/../ü\u202e.flac', saved=True)
    assert re.fullmatch(
        r"attachment; filename=\"[A-Za-z0-9 ._-]+\"; filename\*=UTF-8''[\w%.-]+", told
    )
    assert "%C3%BC" in told
    assert disposition("...", saved=False) == "inline; filename=\"file\"; filename*=UTF-8''file"


def test_a_lost_file_is_told_before_half_of_it_is_sent(api: Api, track):
    listed = api.get(f"/api/tracks/{track}/files").json()["items"]
    api.studio.storage.delete(next(f["sha256"] for f in listed if f["name"] == "track.mid"))
    problem(api.get(f"/api/tracks/{track}/files/track.mid"), 500, "failed")


def test_the_archive_holds_every_file_of_the_package(api: Api, track):
    answer = api.get(f"/api/tracks/{track}/package.zip")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        held = {n.removeprefix(f"{ID}/"): archive.read(n) for n in archive.namelist()}
    assert held == {n: d for n, d in FILES.items() if not n.startswith("internal/")}
    again = {"If-None-Match": answer.headers["etag"]}
    assert api.get(f"/api/tracks/{track}/package.zip", headers=again).status_code == 304


def test_a_large_archive_is_written_as_it_is_sent(tmp_path, migrated):
    """Its pieces come one by one, and a file beyond 4 GiB is marked as such."""
    from lofi.web._files import zipped

    piece = bytes(2**20)

    class Blobs:
        def read(self, _sha256: str):
            for _ in range(8):
                yield piece

    class Studio:
        storage = Blobs()

    sizes = [len(p) for p in zipped(Studio(), [("a", "", 8 * 2**20)], (2026, 1, 1, 0, 0, 0))]  # type: ignore[arg-type]
    assert max(sizes) <= 2**20
    started = next(zipped(Studio(), [("a", "", 5 * 2**30)], (2026, 1, 1, 0, 0, 0)))  # type: ignore[arg-type]
    assert started[4:6] == (45).to_bytes(2, "little"), "version 4.5 is needed to read ZIP64"


def test_a_storage_that_sends_files_itself_is_pointed_to(
    tmp_path, migrated, s3_server, monkeypatch
):
    for name, value in s3_server.options.items():
        monkeypatch.setenv(f"AWS_{name.upper()}", value)
    with serving(tmp_path, migrated, studio={"storage": f"s3://{s3_server.bucket}/x"}) as api:
        with api.studio.database.write() as session:
            put_track(session, 1, storage=api.studio.storage)
        url = f"/api/tracks/{ID}/files/master.flac"
        assert api.get(url).content == MASTER
        assert api.get(url, headers={"Range": "bytes=5-9"}).content == MASTER[5:10]
        answer = api.get(f"{url}?download=1")
        assert answer.status_code == 307
        direct = httpx.get(answer.headers["location"])
        assert direct.content == MASTER
        assert "attachment" in direct.headers["content-disposition"]


# Tables and library ----------------------------------------------------------------------------


def test_forms_can_be_drawn_from_the_tables(api: Api):
    moods = api.get("/api/moods").json()["items"]
    assert [m["name"] for m in moods] == list(MOODS)
    assert moods[0]["register"] == [60, 67]
    palettes = {p["name"]: p["colours"] for p in api.get("/api/palettes").json()["items"]}
    assert set(palettes) == set(PALETTES)
    assert all(
        re.fullmatch("#[0-9a-f]{6}", c) for p in palettes.values() for v in p.values() for c in v
    )
    assert {
        t["name"]: t["description"] for t in api.get("/api/templates").json()["items"]
    } == TEMPLATES


def test_models_tell_what_they_are_and_why_one_cannot_be_used(api: Api, tmp_path: Path):
    broken = tmp_path / "models" / "broken"
    broken.mkdir(parents=True)
    (broken / "lofi.json").write_text("{}")
    models = api.get("/api/models").json()["items"]
    assert [(m["name"], m["usable"]) for m in models] == [("shipped", True), ("broken", False)]
    assert models[0]["val_bits_per_note"] > 0
    assert models[0]["corpora"][0]["licence"]
    assert "broken" in models[1]["problem"]


def test_the_library_tells_what_tracks_are_compared_with(api: Api):
    library = api.get("/api/library").json()
    assert library["works"] == sum(c["works"] for c in library["corpora"]) > 0
    corpus = next(c for c in library["corpora"] if c["works"])
    works = api.get(f"/api/library/{corpus['name']}?limit=3").json()
    assert works["total"] == corpus["works"]
    assert all(w.startswith(corpus["name"]) for w in works["items"])
    problem(api.get("/api/library/none"), 404, "not-found")
    problem(api.get("/api/library?model=../x"), 404, "not-found")


def check(api: Api, data: bytes, name: str = "a.mid", **more) -> httpx.Response:
    return api.post("/api/check", files={"file": (name, data, "audio/midi")}, timeout=300, **more)


def test_a_midi_file_is_measured_and_compared(api: Api, a_midi_file: bytes):
    told = check(api, a_midi_file, "<b>song\x1b.mid").json()
    assert told["name"] == "<b>song\\u001b.mid"
    assert told["measured"]["bpm"] == pytest.approx(80, abs=1)
    assert told["measured"]["bars"] >= 8
    assert set(told["measured"]["parts"]) >= {"drums", "keys"}
    report = told["originality"]
    assert report["works"] > 1000
    assert report["verdict"] in ("pass", "review", "block")
    assert (report["best"] is None) == (report["matches"] == [])
    before = api.studio.cache.counts()["originality"]
    assert check(api, a_midi_file).json()["originality"] == report
    after = api.studio.cache.counts()["originality"]
    assert after[0] == before[0] + 1, "the same file is not judged twice"
    assert list(api.studio.folder.glob("scratch/*")) == []


@pytest.fixture(scope="session")
def a_midi_file() -> bytes:
    from lofi.brief import Brief, Key
    from lofi.music import compose, midi_bytes

    brief = Brief(seed=3, mood="chill", bpm=80, key=Key.parse("C major"), duration_s=30)
    return midi_bytes(*compose(brief.settled()), "chill")


@pytest.mark.parametrize("name", ["page.mid", "bomb.mid"])
def test_a_hostile_file_is_refused_with_the_reason(api: Api, name):
    told = problem(check(api, hostile_files()[name], name), 422, "invalid-input")
    assert told["detail"].startswith(name)
    assert "upload.mid" not in json.dumps(told)
    assert list(api.studio.folder.glob("scratch/*")) == []


def test_a_file_that_is_too_large_is_not_even_looked_at(api: Api):
    told = problem(check(api, b"MThd" + bytes(2_000_001)), 422, "invalid-input")
    assert "2,000,000" in told["detail"]
    problem(api.post("/api/check"), 422, "invalid-input")


# Schedule and analytics ------------------------------------------------------------------------


def test_the_schedule_tells_what_is_to_come(tmp_path, migrated):
    daily = {"cron": "0 6 * * *", "time_zone": "Europe/Berlin", "moods": ["sleep"]}
    with serving(tmp_path, migrated, daily=daily) as api:
        soon = now() + timedelta(hours=2)
        with api.studio.database.write() as session:
            put_track(session, 1)
            job = session.get(Job, f"{1:016x}")
            assert job
            job.state, job.not_before = "queued", soon
            session.add(Release(track_id=ID, platform="youtube", state="approved", publish_at=soon))
        told = api.get("/api/schedule").json()
        assert len(told["daily"]["next"]) == 5
        assert all(re.search(r"T06:00:00\+0[12]:00$", run) for run in told["daily"]["next"])
        assert [j["id"] for j in told["jobs"]] == [f"{1:016x}"]
        assert [r["track_id"] for r in told["releases"]] == [ID]


def test_analytics_claim_nothing_that_was_not_collected(api: Api, track):
    told = api.get("/api/analytics").json()
    assert told["collected"] is False
    assert told["series"] == []
    with api.studio.database.write() as session:
        session.add(Release(id=1, track_id=track, platform="youtube", state="public"))
        session.flush()
        session.add(Metric(release_id=1, name="views", value=12.0, at=now()))
    api.studio.cache.forget("analytics")
    told = api.get("/api/analytics?name=views").json()
    assert told["series"][0]["points"][0]["value"] == 12
    assert told["by"]["palette"][0]["value"] == "dusk"
    problem(api.get("/api/analytics?since=yesterday"), 422, "invalid-input")
    problem(api.get("/api/analytics?track=%00"), 422, "invalid-input")
