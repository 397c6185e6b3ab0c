"""The API over HTTP, against a real server: what it promises, and how it takes hostile input."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import sqlalchemy as sa
import structlog
from api import SHORT, Api, problem, serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from sqlalchemy import event
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from lofi.brief import Brief, LofiError
from lofi.music import compose
from lofi.studio import Database, Watch, access, jobs, keeping
from lofi.studio._events import record
from lofi.studio._tables import Answer, Event, Job, Token, now
from lofi.web._docs import examples_of
from lofi.web._limits import Limiter
from lofi.web._metrics import Metrics
from lofi.web._middleware import Envelope
from lofi.web._orders import Generate


def rows(api: Api, column: Any) -> list[Any]:
    with api.studio.database.read() as session:
        return list(session.scalars(sa.select(column)))


def count(api: Api) -> int:
    return len(rows(api, Job.id))


# Ordering --------------------------------------------------------------------------------------


def test_a_brief_becomes_a_job_that_can_be_looked_at(api):
    answer = api.post("/api/generate", json={"mood": "Lofi", "bpm": 80, "seed": 7})
    assert answer.status_code == 202
    told = answer.json()
    assert answer.headers["location"] == told["jobs"][0]["url"] == f"/api/jobs/{told['id']}"
    assert told["batch_id"] is None
    job = api.get(answer.headers["location"]).json()
    assert job["state"] == "queued"
    assert job["asked"] == {"seed": 7, "mood": "Lofi", "bpm": 80}
    assert job["brief"]["mood"] == "chill"
    assert job["requested_by"] == "local"
    assert [stage["state"] for stage in job["stages"]] == ["waiting"] * len(job["stages"])


def test_every_word_of_a_brief_is_understood(api):
    asked = {
        "mood": "focus",
        "bpm": 80,
        "duration": "1:00",
        "form": "intro A B outro",
        "chords": "Dm9 G13 | Cmaj9",
        "instruments": ["keys", "drums"],
        "swing": "light",
        "density": "sparse",
        "palette": "teal",
        "template": "wave",
        "stems": True,
        "priority": 3,
        "not_before": "2099-01-01T00:00:00+01:00",
    }
    answer = api.post("/api/generate", json=asked)
    assert answer.status_code == 202, answer.text
    job = api.get(answer.headers["location"]).json()
    brief = job["brief"]
    assert (brief["duration_s"], brief["key"]) == (60.0, "C major")
    assert brief["parts"] == ["drums", "keys"]
    assert brief["swing"] == pytest.approx(7 / 12)
    assert [name for name, _ in brief["form"]] == ["intro", "A", "B", "outro"]
    assert (job["priority"], job["not_before"][:19]) == (3, "2098-12-31T23:00:00")
    assert rows(api, Job.commission)[0]["keep_stems"] is True


@pytest.mark.parametrize(
    ("duration", "seconds"), [(90, 90), (90.5, 90.5), ("90", 90), ("2:30", 150), ("1.5m", 90)]
)
def test_a_duration_is_seconds_or_minutes(api, duration, seconds):
    job = api.get(f"/api/jobs/{api.order(duration=duration)}").json()
    assert job["brief"]["duration_s"] == seconds


def test_several_tracks_are_one_batch_with_seeds_of_their_own(api):
    answer = api.post("/api/generate", json={"mood": "sleep", "count": 3})
    told = answer.json()
    assert len(told["jobs"]) == 3
    assert "id" not in told or told["id"] is None
    page = api.get(answer.headers["location"]).json()
    assert {job["id"] for job in page["jobs"]} == {job["id"] for job in told["jobs"]}
    assert len({job["brief"]["seed"] for job in page["jobs"]}) == 3
    assert {job["batch_id"] for job in page["jobs"]} == {told["batch_id"]}


def test_several_briefs_are_ordered_together(api):
    tracks = [{"mood": "sleep"}, {"mood": "happy", "count": 2}]
    told = api.post("/api/generate", json={"tracks": tracks}).json()
    moods = [api.get(job["url"]).json()["brief"]["mood"] for job in told["jobs"]]
    assert moods == ["sleep", "happy", "happy"]


def test_one_wrong_brief_among_several_orders_none(api):
    tracks = [{"mood": "sleep"}, {"form": "A:32", "bpm": 120, "duration": 600}]
    problem(api.post("/api/generate", json={"tracks": tracks}), 422, "invalid-input")
    assert count(api) == 0


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"mood": "chil"}, "/mood"),
        ({"mood": 7}, "/mood"),
        ({"mood": "x" * 10_000}, "/mood"),
        ({"mood": "chill\x00"}, "/mood"),
        ({"bpm": 500}, "/bpm"),
        ({"bpm": "fast"}, "/bpm"),
        ({"key": "H minor"}, "/key"),
        ({"duration": "soon"}, "/duration"),
        ({"duration": [1]}, "/duration"),
        ({"seed": -1}, "/seed"),
        ({"seed": 2**63}, "/seed"),
        ({"seed": 1.5}, "/seed"),
        ({"form": "intro chorus"}, "/form"),
        ({"chords": "Xyz"}, "/chords"),
        ({"instruments": ["kazoo"]}, "/instruments"),
        ({"instruments": []}, "/instruments"),
        ({"swing": "wild"}, "/swing"),
        ({"density": "full"}, "/density"),
        ({"palette": "pink"}, "/palette"),
        ({"template": "cube"}, "/template"),
        ({"count": 0}, "/count"),
        ({"count": 101}, "/count"),
        ({"priority": 0}, "/priority"),
        ({"not_before": "2030-01-01T00:00:00"}, "/not_before"),
        ({"not_before": "tomorrow"}, "/not_before"),
        ({"stems": "perhaps"}, "/stems"),
        ({"mod": "chill"}, "/mod"),
        ({"tracks": []}, "/tracks"),
        ({"tracks": [{"bpm": 1}]}, "/tracks/0/bpm"),
        ({"tracks": [{}], "mood": "chill"}, ""),
        ({"tracks": [{"count": 60}, {"count": 60}]}, ""),
        ({"tracks": [{"tracks": [{}]}]}, "/tracks/0/tracks"),
        ([], ""),
        ("chill", ""),
        (None, ""),
    ],
)
def test_what_is_wrong_is_named(api, asked, pointer):
    told = problem(api.post("/api/generate", json=asked), 422, "invalid-input")
    pointers = [e["pointer"] for e in told["errors"]]
    assert any(p == pointer or p.startswith(f"{pointer}/") for p in pointers), pointers
    assert len(json.dumps(told)) < 4000
    assert count(api) == 0


def test_a_wrong_brief_as_a_whole_is_told_with_its_remedy(api):
    answer = api.post("/api/generate", json={"form": "A:32", "bpm": 60, "duration": 20})
    told = problem(answer, 422, "invalid-input")
    assert "32 bars" in told["detail"]
    assert "Change the form" in told["remedy"]


@pytest.mark.parametrize("field", ["model", "soundfont"])
@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "..",
        ".",
        "/etc/passwd",
        "a/b",
        "a\\b",
        ".hidden",
        "",
        "x\x00",
        "%2e%2e",
        "a\n",
        "absent",
        "x" * 5000,
    ],
)
def test_a_name_leads_to_no_other_folder(api, field, name, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "models").mkdir()
    told = problem(api.post("/api/generate", json={field: name}), 422, "invalid-input")
    assert str(tmp_path) not in json.dumps(told)
    assert count(api) == 0


def test_models_and_soundfonts_are_asked_for_by_name(api, untrained, tmp_path):
    import shutil

    shutil.copytree(untrained, tmp_path / "models" / "mine")
    (tmp_path / "soundfonts").mkdir()
    (tmp_path / "soundfonts" / "rhodes.sf2").write_bytes(b"RIFF")
    api.order(model="mine", soundfont="rhodes.sf2")
    (commission,) = rows(api, Job.commission)
    assert commission["model"] == str(tmp_path / "models" / "mine")
    assert commission["soundfont"] == str(tmp_path / "soundfonts" / "rhodes.sf2")
    told = problem(api.post("/api/generate", json={"model": "his"}), 422, "invalid-input")
    assert "mine" in told["remedy"]


def test_an_order_stands_in_the_audit_trail_under_the_name_of_the_token(api):
    headers = api.token("site", "write")
    api.post("/api/generate", json=SHORT, headers=headers)
    told = api.get("/api/events", params={"kind": "job"}, headers=headers).json()["events"]
    assert [(e["actor"], e["verb"]) for e in told] == [("token:site", "queued")]


# Jobs ------------------------------------------------------------------------------------------


def test_jobs_are_listed_in_pages_the_newest_first(api):
    ids = [api.order(seed=i) for i in range(5)]
    pages = [api.get("/api/jobs", params={"page": p, "per_page": 2}).json() for p in (1, 2, 3, 4)]
    assert [job["id"] for page in pages for job in page["jobs"]] == ids[::-1]
    assert {page["total"] for page in pages} == {5}


def test_jobs_are_filtered_by_state(api):
    first, second = api.order(), api.order()
    api.post(f"/api/jobs/{first}/cancel")
    states = {"state": ["cancelled", "failed"]}
    assert [j["id"] for j in api.get("/api/jobs", params=states).json()["jobs"]] == [first]
    queued = api.get("/api/jobs", params={"state": "queued"}).json()["jobs"]
    assert [j["id"] for j in queued] == [second]


@pytest.mark.parametrize(
    "query", ["state=lost", "page=0", "page=x", "per_page=10000", "page=9" + "9" * 40, "batch=%00"]
)
def test_a_listing_asked_for_wrongly_is_refused(api, query):
    told = problem(api.get(f"/api/jobs?{query}"), 422, "invalid-input")
    assert told["errors"][0]["where"] == "query"


@pytest.mark.parametrize("path", ["", "/cancel", "/retry"])
def test_a_job_that_is_not_there_is_not_found(api, path):
    ask = api.post if path else api.get
    problem(ask(f"/api/jobs/0123456789abcdef{path}"), 404, "not-found")


def test_a_waiting_job_is_cancelled_at_once_and_only_once(api):
    job_id = api.order()
    job = api.post(f"/api/jobs/{job_id}/cancel").json()
    assert job["state"] == "cancelled"
    assert job["finished_at"]
    told = problem(api.post(f"/api/jobs/{job_id}/cancel"), 409, "conflict")
    assert "cancelled already" in told["detail"]


def test_a_cancelled_job_is_tried_again_and_one_that_waits_is_not(api):
    job_id = api.order()
    problem(api.post(f"/api/jobs/{job_id}/retry"), 409, "conflict")
    api.post(f"/api/jobs/{job_id}/cancel")
    assert api.post(f"/api/jobs/{job_id}/retry").json()["state"] == "queued"


# Once ------------------------------------------------------------------------------------------

KEY = {"Idempotency-Key": "0f8fad5b-d9cb-469f-a165-70867728950e"}


def test_the_same_order_sent_again_is_told_again(api):
    first = api.post("/api/generate", json=SHORT, headers=KEY)
    again = api.post("/api/generate", json=dict(reversed(SHORT.items())), headers=KEY)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert count(api) == 1


def test_another_order_under_the_same_key_is_refused(api):
    api.post("/api/generate", json=SHORT, headers=KEY)
    answer = api.post("/api/generate", json=SHORT | {"seed": 8}, headers=KEY)
    problem(answer, 422, "key-reused")
    job_id = rows(api, Job.id)[0]
    problem(api.post(f"/api/jobs/{job_id}/cancel", headers=KEY), 422, "key-reused")
    assert rows(api, Job.state) == ["queued"]


def test_an_order_that_was_refused_may_be_put_right_under_the_same_key(api):
    wrong = {"form": "A:32", "bpm": 60, "duration": 20}
    problem(api.post("/api/generate", json=wrong, headers=KEY), 422, "invalid-input")
    assert api.post("/api/generate", json=SHORT, headers=KEY).status_code == 202


def test_cancelling_again_under_the_same_key_is_no_conflict(api):
    job_id = api.order()
    first = api.post(f"/api/jobs/{job_id}/cancel", headers=KEY)
    again = api.post(f"/api/jobs/{job_id}/cancel", headers=KEY)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()


def test_a_key_belongs_to_whoever_sent_it(api):
    one, two = api.token("one"), api.token("two")
    for headers in (one, two, one):
        api.post("/api/generate", json=SHORT, headers=headers | KEY)
    assert count(api) == 2


def test_a_key_is_forgotten_after_a_day(api):
    api.post("/api/generate", json=SHORT, headers=KEY)
    with api.studio.database.write() as session:
        session.execute(sa.update(Answer).values(created_at=now() - timedelta(hours=25)))
    answer = api.post("/api/generate", json=SHORT | {"seed": 8}, headers=KEY)
    assert answer.status_code == 202
    assert count(api) == 2
    assert len(rows(api, Answer.key)) == 1


def test_every_post_takes_a_key_but_those_whose_answer_is_a_secret(api):
    paths = api.get("/api/openapi.json").json()["paths"]
    without = [
        path
        for path, operations in paths.items()
        if "post" in operations
        and "idempotency-key" not in {p["name"] for p in operations["post"].get("parameters", ())}
    ]
    assert sorted(without) == ["/api/tokens", "/api/youtube/consent"]


def test_what_is_no_single_transaction_is_done_once_as_well(api, monkeypatch):
    collect, runs = keeping.collect, []
    counted = lambda *args, **named: runs.append(named) or collect(*args, **named)  # noqa: E731
    monkeypatch.setattr(keeping, "collect", counted)
    first = api.post("/api/storage/gc", json={"dry_run": False}, headers=KEY)
    again = api.post("/api/storage/gc", json={"dry_run": False}, headers=KEY)
    assert (first.status_code, again.status_code, again.json()) == (200, 200, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert len(runs) == 1
    other = api.post("/api/storage/gc", json={"dry_run": True}, headers=KEY)
    problem(other, 422, "key-reused")


def test_a_form_sent_again_is_the_same_whatever_parts_its_fields(api):
    score, _ = compose(Brief(seed=7).settled(), bars=8)
    file = {"file": ("sketch.mid", score.dumps_midi())}
    first = api.post("/api/prompts", files=file, headers=KEY)
    again = api.post("/api/prompts", files=file, headers=KEY)
    assert first.request.headers["content-type"] != again.request.headers["content-type"]
    assert (first.status_code, again.status_code, again.json()) == (200, 200, first.json())
    assert again.headers["idempotency-replayed"] == "true"


def test_what_was_begun_and_never_ended_is_not_done_again_under_its_key(api, monkeypatch):
    monkeypatch.setattr("lofi.studio._answers.finish", lambda *_: None)  # as if the power failed
    api.post("/api/storage/gc", json={"dry_run": False}, headers=KEY)
    again = api.post("/api/storage/gc", json={"dry_run": False}, headers=KEY)
    problem(again, 409, "conflict")


def test_what_was_refused_may_be_put_right_under_its_key(api):
    wrong = api.post("/api/storage/gc", json={"dry_run": "perhaps"}, headers=KEY)
    problem(wrong, 422, "invalid-input")
    right = api.post("/api/storage/gc", json={"dry_run": True}, headers=KEY)
    assert right.status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 129, "a b", "clé".encode()])
def test_a_key_that_is_none_is_refused(api, key):
    answer = api.post("/api/generate", json=SHORT, headers={"Idempotency-Key": key})
    assert problem(answer, 422, "invalid-input")["errors"][0]["where"] == "header"


@pytest.fixture(params=["sqlite", "postgresql"])
def groups(request) -> dict[str, Any]:
    if request.param == "sqlite":
        return {}
    url = request.getfixturevalue("postgres_url")
    made = Database(url)
    made.migrate()
    made.close()
    return {"studio": {"database": url}}


def test_rows_of_a_file_are_read_at_once_and_a_server_is_asked_in_a_thread(groups, tmp_path):
    asked = set()
    with serving(tmp_path, None, **groups) as api:
        job_id = api.order()

        @event.listens_for(api.studio.database.engine, "before_cursor_execute")
        def note(*_: object) -> None:
            asked.add(threading.current_thread().name)

        for path in ("tracks", "jobs", f"jobs/{job_id}"):
            assert api.get(f"/api/{path}").status_code == 200
        assert {"worker" in name for name in asked} == {bool(groups)}, asked


def test_of_twins_exactly_one_is_done(groups, tmp_path):
    with serving(tmp_path, None, **groups) as api, ThreadPoolExecutor(8) as pool:
        barrier = threading.Barrier(8)

        def send(_: int) -> httpx.Response:
            barrier.wait()
            return httpx.post(f"{api.url}/api/generate", json=SHORT, headers=KEY, timeout=60)

        answers = list(pool.map(send, range(8)))
        assert {a.status_code for a in answers} == {202}
        assert len({a.json()["id"] for a in answers}) == 1
        assert sum("idempotency-replayed" not in a.headers for a in answers) == 1
        assert count(api) == 1


# Problems --------------------------------------------------------------------------------------


def test_what_is_not_there_and_what_cannot_be_done_are_problems(api):
    told = problem(api.get("/api/nothing/../here%20%0a"), 404, "not-found")
    assert told["instance"].isprintable()
    answer = api.put("/api/jobs", json={})
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"seed": ' + b"9" * 5000 + b"}"]
)
def test_a_body_that_is_no_json_is_a_problem(api, body):
    answer = api.post("/api/generate", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    problem(answer, answer.status_code, answer.json()["type"].rpartition("/")[2])


def test_a_form_is_no_order(api):
    problem(api.post("/api/generate", data={"mood": "chill"}), 422, "invalid-input")
    assert count(api) == 0


def test_a_body_beyond_the_limit_is_refused_whether_it_says_so_or_not(tmp_path, migrated):
    with serving(tmp_path, migrated, server={"max_body_mb": 1}) as api:
        large = b'{"mood": "' + b"x" * 1_100_000 + b'"}'
        json_ = {"Content-Type": "application/json"}
        told = problem(api.post("/api/generate", content=large, headers=json_), 413, "too-large")
        assert "1 MB" in told["detail"]

        def pieces():
            for i in range(0, len(large), 50_000):
                yield large[i : i + 50_000]

        problem(api.post("/api/generate", content=pieces(), headers=json_), 413, "too-large")
        fits = b" " * 900_000 + json.dumps(SHORT).encode()
        assert api.post("/api/generate", content=fits, headers=json_).status_code == 202


def test_too_many_requests_are_told_when_to_come_again(tmp_path, migrated):
    with serving(tmp_path, migrated, server={"requests_per_minute": 5}) as api:
        headers = api.token("other")
        answers = [api.get("/api/docs") for _ in range(6)]
        assert [a.status_code for a in answers] == [200] * 5 + [429]
        problem(answers[-1], 429, "too-many-requests")
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 12
        assert api.get("/api/health/live").status_code == 200
        # What a token asks is counted for the token as soon as it is known to be one.
        problem(api.get("/api/jobs", headers=headers), 429, "too-many-requests")


def test_a_token_has_a_limit_of_its_own(tmp_path, migrated):
    with serving(tmp_path, migrated, server={"requests_per_minute": 5}) as api:
        headers = api.token("other")
        assert api.get("/api/jobs", headers=headers).status_code == 200
        answers = [api.get("/api/docs") for _ in range(5)]
        assert answers[-1].status_code == 429
        assert api.get("/api/jobs", headers=headers).status_code == 200


def test_the_limit_fills_up_again_as_the_minute_goes():
    moment = 100.0
    limiter = Limiter(60, clock=lambda: moment)
    assert all(limiter.take("a") == 0 for _ in range(60))
    assert limiter.take("a") == pytest.approx(1)
    assert limiter.take("b") == 0
    moment += 1.0
    assert limiter.take("a") == 0
    assert limiter.take("a") == pytest.approx(1)
    moment += 3600
    assert all(limiter.take("a") == 0 for _ in range(60))
    assert limiter.take("a") > 0


def test_what_nobody_expected_is_told_by_an_id_that_stands_in_the_log(api, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("/srv/secret/path")

    monkeypatch.setattr(type(api.studio), "settings", broken)
    with structlog.testing.capture_logs(
        processors=[structlog.contextvars.merge_contextvars]
    ) as logged:
        answer = api.get("/api/config")
    told = problem(answer, 500, "unexpected")
    assert "secret" not in answer.text
    assert told["id"] == answer.headers["x-request-id"]
    assert told["id"] in told["remedy"]
    assert any(e["request"] == told["id"] and e["log_level"] == "error" for e in logged)


def test_what_the_studio_cannot_do_is_told_with_its_remedy(api, monkeypatch):
    def broken(*_: object) -> None:
        raise LofiError("the disk is full. Free some space.")

    monkeypatch.setattr(type(api.studio), "settings", broken)
    told = problem(api.get("/api/config"), 500, "failed")
    assert (told["detail"], told["remedy"]) == ("the disk is full.", "Free some space.")


def test_a_database_that_does_not_answer_may_be_asked_again(api):
    with api.studio.database.write() as session:
        session.execute(sa.text("ALTER TABLE tokens RENAME TO away"))
    answer = api.get("/api/jobs")
    problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0


def test_each_kind_of_problem_has_a_page(api):
    kind = problem(api.get("/api/jobs/x1"), 404, "not-found")["type"]
    assert "404" in api.get(kind).text
    problem(api.get("/problems/none"), 404, "not-found")


# At the door -----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example"])
def test_a_foreign_name_that_points_here_is_not_answered(api, host):
    problem(api.get("/api/jobs", headers={"Host": host}), 421, "wrong-host")
    problem(api.post("/api/generate", json={}, headers={"Host": host}), 421, "wrong-host")
    assert count(api) == 0


@pytest.mark.parametrize("host", ["localhost:1234", "[::1]:8000", "127.0.0.1", "LocalHost"])
def test_the_names_of_this_machine_are_answered(api, host):
    assert api.get("/api/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://127.0.0.1:1",
        "http://localhost",
        "file://",
        "http://127.0.0.1:99999999",
        "x",
    ],
)
def test_a_page_of_another_site_changes_nothing(api, origin):
    headers = {"Origin": origin}
    problem(api.post("/api/generate", json=SHORT, headers=headers), 403, "foreign-origin")
    problem(api.patch("/api/config", json={}, headers=headers), 403, "foreign-origin")
    problem(api.delete("/api/tokens/1", headers=headers), 403, "foreign-origin")
    assert count(api) == 0
    assert api.get("/api/jobs", headers=headers).status_code == 200


def test_our_own_pages_and_bearers_may(api):
    assert api.post("/api/generate", json=SHORT, headers={"Origin": api.url}).status_code == 202
    headers = api.token() | {"Origin": "https://evil.example"}
    assert api.post("/api/generate", json=SHORT, headers=headers).status_code == 202


@pytest.mark.parametrize("path", ["/api/jobs", "/api/nothing", "/api/health/live"])
def test_browsers_are_kept_careful(api, path):
    headers = api.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_a_request_keeps_the_id_it_came_with_if_it_is_one(api):
    assert api.get("/api/jobs", headers={"X-Request-ID": "a-1"}).headers["x-request-id"] == "a-1"
    strange = api.get("/api/jobs", headers={"X-Request-ID": "a b;<script>"})
    assert re.fullmatch("[0-9a-f]{16}", strange.headers["x-request-id"])


def test_the_log_names_who_asked_and_holds_no_secret(api):
    headers = api.token("site", "read")
    with structlog.testing.capture_logs() as logged:
        api.get("/api/jobs?batch=hushhush", headers=headers)
    (line,) = [e for e in logged if e["event"] == "request"]
    assert (line["who"], line["path"], line["status"]) == ("token:site", "/api/jobs", 200)
    assert "hushhush" not in str(logged)
    assert headers["Authorization"].removeprefix("Bearer ") not in str(logged)


def test_a_request_is_in_the_log_and_the_figures_once_before_its_answer_has_gone(api):
    order: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("yes")(scope, receive, send)

    class Told(Metrics):
        def note(self, method: str, route: str, status: int, seconds: float) -> None:
            order.append(f"noted {status}")

    async def send(message: Message) -> None:
        order.append(message["type"])

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "headers": [], "path": "/"}
    asyncio.run(Envelope(app, Told(api.studio))(scope, receive, send))
    assert order == ["http.response.start", "noted 200", "http.response.body"]


# Tokens ----------------------------------------------------------------------------------------


def test_the_first_token_locks_the_door(api):
    assert api.get("/api/jobs").status_code == 200
    made = api.post("/api/tokens", json={"name": "me", "scopes": ["admin"]})
    assert made.status_code == 201
    answer = api.get("/api/jobs")
    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    headers = {"Authorization": f"Bearer {made.json()['token']}"}
    assert api.get("/api/jobs", headers=headers).status_code == 200


def test_a_secret_is_shown_once(api):
    made = api.post("/api/tokens", json={"name": "me", "scopes": ["admin"]}).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    told = api.get("/api/tokens", headers=headers)
    assert told.json()["tokens"][0]["name"] == "me"
    assert made["token"] not in told.text
    assert made["token"] not in api.get("/api/events", headers=headers).text


@pytest.mark.parametrize(
    "sent",
    [
        "Bearer lofi_wrong",
        "Bearer",
        "Basic bWU6bWU=",
        "lofi_x",
        "Bearer " + "x" * 5000,
        "Bearer \xff",
    ],
)
def test_what_is_no_token_opens_nothing(api, sent):
    api.token()
    raw = {"Authorization": sent.encode("latin-1")}
    problem(api.get("/api/jobs", headers=raw), 401, "unauthorized")


def test_a_token_does_no_more_than_its_scopes(api):
    read, write = api.token("reader", "read"), api.token("writer", "write")
    admin = api.token("boss", "admin")
    assert api.get("/api/jobs", headers=read).status_code == 200
    told = problem(api.post("/api/generate", json=SHORT, headers=read), 403, "forbidden")
    assert "'write'" in told["detail"]
    assert api.post("/api/generate", json=SHORT, headers=write).status_code == 202
    problem(api.patch("/api/config", json={}, headers=write), 403, "forbidden")
    problem(api.get("/api/tokens", headers=write), 403, "forbidden")
    assert api.get("/api/tokens", headers=admin).status_code == 200


def test_a_revoked_token_opens_nothing_at_once(api):
    headers, admin = api.token("gone", "read"), api.token("boss")
    assert api.get("/api/jobs", headers=headers).status_code == 200
    token_id = {t["name"]: t["id"] for t in api.get("/api/tokens", headers=admin).json()["tokens"]}
    answer = api.delete(f"/api/tokens/{token_id['gone']}", headers=admin)
    assert (answer.status_code, answer.content) == (204, b"")
    problem(api.get("/api/jobs", headers=headers), 401, "unauthorized")
    problem(api.delete("/api/tokens/999", headers=admin), 404, "not-found")


def test_a_name_is_taken_while_its_token_lives(api):
    admin = api.token("me")
    new = {"name": "me", "scopes": ["read"]}
    problem(api.post("/api/tokens", json=new, headers=admin), 409, "conflict")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
def test_what_a_proxy_passes_on_is_not_from_this_machine(api, header):
    problem(api.get("/api/jobs", headers={header: "127.0.0.1"}), 401, "unauthorized")


def test_every_route_but_health_and_its_own_description_wants_a_token(api):
    spec = api.get("/api/openapi.json").json()
    api.token()
    open_to_all = {"/api/health", "/api/health/live", "/api/health/ready"}
    for path, methods in spec["paths"].items():
        for method in methods:
            answer = api.client.request(method, re.sub(r"\{[^}]*\}", "1", path), json={})
            assert (answer.status_code == 401) is (path not in open_to_all), (method, path)


# The studio ------------------------------------------------------------------------------------


def test_health_tells_which_part_is_down(api):
    assert api.get("/api/health").json()["parts"] == {
        "database": "ok", "storage": "ok", "queue": "ok",
    }  # fmt: skip
    folder = Path(api.studio.storage.url)
    folder.rename(folder.with_name("away"))
    deadline = time.monotonic() + 30
    while (answer := api.get("/api/health/ready")).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    told = problem(answer, 503, "unavailable")
    assert "storage" in told["detail"]
    assert str(folder) not in answer.text
    assert api.get("/api/health").status_code == 503
    assert api.get("/api/health/live").json() == {"status": "ok"}


def test_status_tells_what_waits(api):
    api.order()
    told = api.get("/api/status").json()
    assert told["jobs"] == {"queued": 1}
    assert told["database"] == "sqlite"
    assert 0 < told["disk"]["free_bytes"] <= told["disk"]["total_bytes"]


def test_settings_are_changed_for_what_comes_after(api):
    answer = api.patch("/api/config", json={"video": {"fps": 12}})
    assert answer.json()["settings"]["video"]["fps"] == 12
    assert api.get("/api/config").json()["settings"]["video"]["fps"] == 12
    api.order()
    assert rows(api, Job.commission)[0]["video"]["fps"] == 12


@pytest.mark.parametrize(
    "changes",
    [
        {"video": {"fsp": 12}},
        {"video": {"fps": "many"}},
        {"video": {"fps": 12}, "server": {"port": 1}},
        {"video": 7},
        {"paths": {"model": "/etc"}},
        {"daily": {"moods": ["angry"]}},
        {"daily": {"cron": "at noon"}},
        {"daily": {"time_zone": "Mars/Olympus"}},
        [],
    ],
)
def test_settings_that_cannot_be_set_change_nothing(api, changes):
    before = api.get("/api/config").json()
    problem(api.patch("/api/config", json=changes), 422, "invalid-input")
    assert api.get("/api/config").json() == before


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_a_setting_is_a_finite_number(api, value):
    body = b'{"sampling": {"temperature": ' + value + b"}}"
    answer = api.patch("/api/config", content=body, headers={"Content-Type": "application/json"})
    problem(answer, 422, "invalid-input")
    assert api.get("/api/config").status_code == 200


def test_passwords_in_settings_are_not_shown(tmp_path, migrated):
    studio = {"cache": "redis://:hunter2@127.0.0.1:1/0"}
    with serving(tmp_path, migrated, studio=studio) as api:
        answer = api.get("/api/config")
        assert answer.json()["settings"]["studio"]["cache"] == "redis://***@127.0.0.1:1/0"
        assert "hunter2" not in answer.text


@pytest.mark.parametrize("path", ["/metrics", "/api/metrics"])
def test_prometheus_reads_figures(api, path):
    from prometheus_client.parser import text_string_to_metric_families

    job_id = api.order()
    api.get(f"/api/jobs/{job_id}")
    api.get("/api/config")
    api.get("/nothing/" + "x" * 100)
    answer = api.get(path)
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        (s.name, *sorted(s.labels.values())): s.value
        for family in text_string_to_metric_families(answer.text)
        for s in family.samples
    }
    assert samples["lofi_jobs", "queued"] == 1
    assert samples["lofi_jobs", "failed"] == 0
    seconds = "lofi_http_request_seconds_count"
    assert samples[seconds, "/api/jobs/{job_id}", "200", "GET"] == 1
    assert samples[seconds, "404", "GET", "unmatched"] == 1
    assert samples["lofi_workers_alive",] == 0
    assert samples["lofi_storage_bytes",] == 0
    assert samples["lofi_cache_misses_total", "preferences"] >= 1
    assert job_id not in answer.text


def test_the_audit_trail_is_read_in_order_from_any_point(api):
    ids = [api.order(seed=i) for i in range(3)]
    api.post(f"/api/jobs/{ids[0]}/cancel")
    everything = api.get("/api/events").json()
    assert [e["verb"] for e in everything["events"]] == ["queued"] * 3 + [
        "asked to cancel", "cancelled",
    ]  # fmt: skip
    first = api.get("/api/events", params={"after": 0, "limit": 2}).json()
    rest = api.get("/api/events", params={"after": first["last"]}).json()
    assert first["events"] + rest["events"] == everything["events"]
    newest = api.get("/api/events", params={"limit": 1}).json()["events"]
    assert newest == everything["events"][-1:]
    of_one = api.get("/api/events", params={"subject": ids[1], "kind": "job"}).json()["events"]
    assert [e["subject"] for e in of_one] == [ids[1]]
    nothing = api.get("/api/events", params={"after": everything["last"]}).json()
    assert nothing == {"events": [], "last": everything["last"]}


# Live ------------------------------------------------------------------------------------------


@contextmanager
def listening(api: Api, query: str = "", **options: Any):
    with connect(api.live_url + query, **options) as socket:
        yield socket


def hear(socket: Any, **wanted: Any) -> dict[str, Any]:
    """The next message that has these values."""
    while True:
        told = json.loads(socket.recv(timeout=20))
        if all(told.get(name) == value for name, value in wanted.items()):
            return told


def code_of(closed: ConnectionClosed) -> int | None:
    """The code with which the server closed."""
    return closed.rcvd.code if closed.rcvd else None


def test_a_listener_hears_of_jobs_and_events(api):
    with listening(api) as socket:
        hear(socket, type="ready")
        job_id = api.order()
        event = hear(socket, type="event", verb="queued")
        assert (event["subject"], event["actor"]) == (job_id, "local")
        told = hear(socket, type="job")["job"]
        assert told == api.get(f"/api/jobs/{job_id}").json() | {
            name: told[name] for name in ("created_at",)
        }
        api.post(f"/api/jobs/{job_id}/cancel")
        assert hear(socket, type="job")["job"]["state"] == "cancelled"


def test_progress_is_heard_without_an_event(api):
    job_id = api.order()
    with listening(api, f"?jobs={job_id}") as socket:
        assert hear(socket, type="job")["job"]["state"] == "queued"
        for progress in (0.25, 0.5):
            with api.studio.database.write() as session:
                job = jobs.find(session, job_id)
                job.state = "running"
                session.execute(
                    sa.text("UPDATE job_stages SET progress = :p WHERE place = 0"), {"p": progress}
                )
            stages = hear(socket, type="job")["job"]["stages"]
            assert stages[0]["progress"] == progress


def test_a_listener_hears_only_of_the_jobs_asked_for(api):
    first, second = api.order(), api.order()
    with listening(api, f"?jobs={first},none") as socket:
        hear(socket, type="ready")
        assert hear(socket)["job"]["id"] == first
        api.post(f"/api/jobs/{second}/cancel")
        api.patch("/api/config", json={"video": {"fps": 12}})
        api.post(f"/api/jobs/{first}/cancel")
        heard = [hear(socket), hear(socket), hear(socket)]
        assert {m.get("subject") or m["job"]["id"] for m in heard} == {first}


def test_a_ping_is_answered_and_anything_else_ends_it(api):
    with listening(api) as socket:
        hear(socket, type="ready")
        socket.send('{"type": "ping"}')
        hear(socket, type="pong")
        socket.send("[" * 1000)
        with pytest.raises(ConnectionClosed):
            hear(socket, type="never")


@pytest.mark.parametrize("message", [b"\xff\x00", '{"type": 7}', "[]", "7", "x" * 70_000])
def test_strange_messages_end_the_connection_and_not_the_server(api, message):
    with listening(api) as socket:
        hear(socket, type="ready")
        socket.send(message)
        with pytest.raises(ConnectionClosed):
            hear(socket, type="never")
    assert api.get("/api/health/live").status_code == 200


def test_a_token_comes_in_the_header_or_as_the_first_message(api):
    headers = api.token("ears", "read")
    with listening(api, additional_headers=headers) as socket:
        hear(socket, type="ready")
    with listening(api) as socket:
        secret = headers["Authorization"].removeprefix("Bearer ")
        socket.send(json.dumps({"type": "auth", "token": secret}))
        hear(socket, type="ready")


def test_a_token_in_the_address_is_not_looked_at(api):
    secret = api.token("ears", "read")["Authorization"].removeprefix("Bearer ")
    with listening(api, f"?token={secret}&access_token={secret}") as socket:
        socket.send('{"type": "ping"}')
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=20)
    assert code_of(closed.value) == 1008


@pytest.mark.parametrize(
    "first",
    ['{"type": "auth", "token": "lofi_x"}', '{"type": "auth", "token": 7}', "{", "[" * 9999],
)
def test_a_wrong_first_message_hears_nothing(api, first):
    api.token()
    with listening(api) as socket:
        socket.send(first)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=20)
    assert code_of(closed.value) == 1008


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Authorization": "Bearer lofi_wrong"}, 401),
    ],
)
def test_a_handshake_that_is_not_ours_is_refused(api, headers, status):
    with pytest.raises(InvalidStatus) as refused, listening(api, additional_headers=headers):
        pass
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body)["status"] == status


def test_a_foreign_name_does_not_listen(api):
    _, host, port = api.url.replace("//", "").split(":")
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://evil.example:{port}/api/live", address=(host, int(port)), proxy=None)
    assert refused.value.response.status_code == 421


@pytest.mark.parametrize("ids", ["%00", "a/b", "é", ",".join(map(str, range(201)))])
def test_jobs_that_cannot_be_followed_are_refused(api, ids):
    with pytest.raises(InvalidStatus) as refused, listening(api, f"?jobs={quote(ids, safe='%,')}"):
        pass
    assert json.loads(refused.value.response.body)["type"] == "/problems/invalid-input"


def test_our_own_page_may_listen(api):
    with listening(api, origin=api.url) as socket:
        hear(socket, type="ready")


def test_a_listener_whose_token_is_revoked_hears_no_more(api):
    headers = api.token("ears", "read")
    with listening(api, additional_headers=headers) as socket:
        hear(socket, type="ready")
        with api.studio.database.write() as session:
            access.revoke_token(session, rows(api, Token.id)[0], actor="me")
        with pytest.raises(ConnectionClosed) as closed:
            hear(socket, type="never")
    assert code_of(closed.value) == 1008


def test_nobody_looks_when_nobody_listens(api, monkeypatch):
    looks = []
    real = Watch.look
    monkeypatch.setattr(Watch, "look", lambda self, only: looks.append(1) or real(self, only))
    with listening(api) as socket:
        hear(socket, type="ready")
        api.order()
        hear(socket, type="job")
    assert looks
    deadline, seen = time.monotonic() + 20, 0
    while len(looks) > seen:  # it notices at its next look
        assert time.monotonic() < deadline
        seen = len(looks)
        time.sleep(1.0)
    with listening(api) as socket:
        hear(socket, type="ready")
        api.order()
        hear(socket, type="job")
    assert len(looks) > seen


def test_who_does_not_keep_up_is_let_go_and_others_are_not(api):
    with listening(api, max_queue=1) as slow, listening(api) as quick:
        hear(slow, type="ready")
        hear(quick, type="ready")
        for _ in range(4):
            with api.studio.database.write() as session:
                for i in range(500):
                    record(session, "me", "flooded", "thing", str(i), text="x" * 20_000)
            for _ in range(500):
                hear(quick, verb="flooded")
        heard = []
        with pytest.raises(ConnectionClosed) as closed:
            heard.extend(slow)
        assert code_of(closed.value) == 1013
        assert len(heard) < 2000


def test_an_event_that_appears_late_under_a_smaller_id_is_told(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'studio.db'}")
    database.migrate()
    moment = 0.0
    watch = Watch(database, clock=lambda: moment)

    def write(event_id: int) -> None:
        with database.write() as session:
            session.add(Event(id=event_id, actor="a", verb="v", kind="k", subject="s", detail={}))

    def told() -> list[int]:
        return [e["id"] for e in watch.look().events]

    write(1000)
    assert watch.begin() == 1000
    write(1002)
    assert told() == [1002]
    write(1001)
    write(999)
    assert told() == [999, 1001]
    assert told() == []
    moment = 60.0
    assert told() == []
    write(1003)
    assert told() == [1003]
    database.close()


# The description -------------------------------------------------------------------------------


def operations(spec: dict[str, Any]):
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def models(base: type = BaseModel) -> dict[str, type[BaseModel]]:
    found = {}
    for cls in base.__subclasses__():
        if cls.__module__.startswith("lofi.web"):
            found[cls.__name__] = cls
        found |= models(cls)
    return found


def test_every_route_is_described_with_examples(api):
    spec = api.get("/api/openapi.json").json()
    assert len(list(operations(spec))) >= 16
    for path, method, operation in operations(spec):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation.get("description"), where
        assert "application/problem+json" in operation["responses"]["default"]["content"], where
        for status, answer in operation["responses"].items():
            if status.startswith("2") and status != "204":
                for media in answer["content"].values():
                    assert examples_of(spec, media), where
        if body := operation.get("requestBody"):
            for media in body["content"].values():
                assert examples_of(spec, media), where


def test_every_example_is_what_it_says(api):
    spec = api.get("/api/openapi.json").json()
    known, checked = models(), 0
    for name, schema in spec["components"]["schemas"].items():
        for example in schema.get("examples", []):
            known[name].model_validate_json(json.dumps(example))
            checked += 1
    assert checked >= 12


def test_every_request_example_is_accepted(api):
    spec = api.get("/api/openapi.json").json()
    admin = api.token("examples")
    sent = 0
    for path, method, operation in operations(spec):
        if not operation.get("requestBody") or "{" in path:
            continue
        if path in ("/api/trainings", "/api/password"):  # one would train, one locks the others out
            continue
        for kind, media in operation["requestBody"]["content"].items():
            for example in examples_of(spec, media) if kind == "application/json" else ():
                answer = api.client.request(method, path, json=example, headers=admin)
                assert answer.is_success, (path, example, answer.text)
                sent += 1
    assert sent >= 9


def test_the_page_for_people_lists_every_route_and_runs_nothing(api):
    import base64
    import hashlib

    answer = api.get("/api/docs")
    assert "<script" not in answer.text
    assert "://" not in re.sub(r"<pre>.*?</pre>", "", answer.text, flags=re.DOTALL)
    for path, method, operation in operations(api.get("/api/openapi.json").json()):
        assert path in answer.text
        assert f"<b>{method.upper()}</b>" in answer.text
        assert operation["summary"] in answer.text
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{allowed}'" in answer.headers["content-security-policy"]


# Anything at all -------------------------------------------------------------------------------

WILD = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(list(Generate.model_fields))


@pytest.fixture(scope="module")
def sturdy(tmp_path_factory: pytest.TempPathFactory, migrated: Path):
    with serving(
        tmp_path_factory.mktemp("sturdy"), migrated, server={"requests_per_minute": 10**6}
    ) as running:
        yield running


def is_an_answer(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        problem(answer, answer.status_code, answer.json()["type"].rpartition("/")[2])


@WILD
@given(body=st.dictionaries(FIELDS, JSON, max_size=3))
def test_any_order_is_taken_or_refused(sturdy, body):
    content = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    is_an_answer(sturdy.post("/api/generate", content=content, headers=headers))


@WILD
@given(changes=st.dictionaries(st.sampled_from(["video", "paths", "", "x"]), JSON, max_size=2))
def test_any_change_of_settings_is_taken_or_refused(sturdy, changes):
    headers = {"Content-Type": "application/json"}
    content = json.dumps(changes).encode()
    is_an_answer(sturdy.patch("/api/config", content=content, headers=headers))
    assert sturdy.get("/api/config").status_code == 200


@WILD
@given(path=st.text(max_size=30), query=st.text(max_size=30))
def test_any_address_is_answered(sturdy, path, query):
    escaped = quote(path.encode("utf-8", "surrogatepass"))
    asked = quote(query.encode("utf-8", "surrogatepass"), safe="=&")
    for base in ("/", "/api/", "/api/jobs/", "/api/events?subject=", "/api/jobs?batch="):
        is_an_answer(sturdy.get(f"{base}{escaped}{'&' if '?' in base else '?'}{asked}"))


# The whole way ---------------------------------------------------------------------------------


def test_a_track_is_made_and_its_making_is_heard(working_api):
    api = working_api
    job_id = api.order()
    with listening(api, f"?jobs={job_id}") as socket:
        progress: list[float] = []
        job = {"state": "queued"}
        while job["state"] not in ("done", "failed"):
            told = json.loads(socket.recv(timeout=300))
            if told["type"] == "job":
                job = told["job"]
                progress.append(job["progress"])
        assert job["state"] == "done", job
        assert progress == sorted(progress)
    assert api.get("/api/health").status_code == 200
    (worker,) = api.get("/api/status").json()["workers"]
    assert worker["alive"]
    figures = api.get("/metrics").text
    assert 'lofi_jobs{state="done"} 1.0' in figures
    assert 'lofi_stage_seconds_count{stage="compose"} 1.0' in figures
    assert "lofi_workers_alive 1.0" in figures
