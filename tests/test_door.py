"""The door of the dashboard: the first password, logging in, sessions, and who is kept out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
import sqlalchemy as sa
from api import Api, problem, serving
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from lofi.brief import LofiError
from lofi.studio import Settings, _access, access
from lofi.studio._tables import Event, Session, now
from lofi.web import _live
from lofi.web._limits import Limiter
from lofi.web.dashboard import NAVIGATION

PASSWORD = "four words of mine"
OTHER = "four other words"
PAGE = {"Accept": "text/html"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a password costs stands beside its hash: here it is little."""
    monkeypatch.setattr(_access, "_SCRYPT", {"n": 2**8, "r": 8, "p": 1})


def test_a_password_takes_long_to_guess(monkeypatch):
    monkeypatch.undo()
    cost = _access._SCRYPT
    assert cost["n"] * cost["r"] * cost["p"] >= 2**15 * 8 * 3  # as OWASP has it


@pytest.fixture
def locked(api: Api) -> Api:
    """A server with a password."""
    with api.studio.database.write() as session:
        access.set_password(session, PASSWORD, actor="test")
    return api


@pytest.fixture
def another(api: Api) -> Iterator[httpx.Client]:
    """Another browser."""
    with httpx.Client(base_url=api.url, timeout=30) as client:
        yield client


def log_in(client: httpx.Client, password: str = PASSWORD, **more: str) -> httpx.Response:
    return client.post("/login", data={"password": password, **more}, headers=PAGE)


def is_in(client: httpx.Client) -> bool:
    return client.get("/api/status").status_code == 200


def test_whoever_comes_first_sets_a_password_that_everybody_needs_from_then_on(api, another):
    assert api.get("/", headers=PAGE).headers["location"] == "/setup"
    short = api.post("/setup", data={"password": "short"}, headers=PAGE)
    assert short.status_code == 422
    assert "10 to 200" in short.text
    assert is_in(another)  # nobody needs anything yet

    made = api.post("/setup", data={"password": PASSWORD}, headers=PAGE)
    assert made.headers["location"] == "/"
    assert is_in(api.client)
    problem(another.get("/api/status"), 401, "unauthorized")  # on this machine, too
    problem(another.post("/setup", data={"password": OTHER}), 401, "unauthorized")
    sent = another.get("/models?q=rain", headers=PAGE)
    assert sent.headers["location"] == "/login?next=/models%3Fq%3Drain"
    assert log_in(another, next="/models?q=rain").headers["location"] == "/models?q=rain"
    assert is_in(another)


def test_who_wants_no_password_is_not_asked_again(api):
    assert api.post("/setup", data={"later": "true"}).headers["location"] == "/"
    assert api.get("/", headers=PAGE).status_code == 200


def test_guessing_is_slowed_down_whatever_way_it_takes(tmp_path, migrated, monkeypatch):
    # The clock of the limits stands still, so that a slow machine forgives nothing.
    monkeypatch.setattr(Limiter.__init__, "__defaults__", (lambda: 0.0,))
    with serving(tmp_path, migrated) as locked:
        with locked.studio.database.write() as session:
            access.set_password(session, PASSWORD, actor="test")
        for _ in range(3):
            assert log_in(locked.client, "no such words").status_code == 401
        assert log_in(locked.client).status_code == 303
        change = {"present": "no such words", "password": OTHER}
        for _ in range(2):
            told = problem(locked.put("/api/password", json=change), 422, "invalid-input")
            assert told["errors"][0]["pointer"] == "/present"
        problem(locked.put("/api/password", json=change), 429, "too-many-requests")
        refused = log_in(locked.client)  # the right one, but too late
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) == 10
        with locked.studio.database.read() as session:
            verbs = session.scalars(sa.select(Event.verb)).all()
    assert verbs.count("refused") == 5


@pytest.mark.parametrize(("proxy", "secure"), [({}, False), ({"X-Forwarded-Proto": "https"}, True)])
def test_the_cookie_is_read_by_no_script_and_sent_by_no_other_site(locked, proxy, secure):
    answer = locked.post("/login", data={"password": PASSWORD}, headers=proxy)
    told = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")}
    assert {"httponly", "samesite=lax", "path=/"} <= told
    assert ("secure" in told) is secure
    assert not any(part.startswith("domain") for part in told)


def test_a_session_ends_with_logging_out(locked):
    log_in(locked.client)
    kept = dict(locked.client.cookies)
    locked.post("/logout")
    assert not locked.client.cookies
    locked.client.cookies.update(kept)  # who had noted it has nothing
    assert not is_in(locked.client)


def test_a_session_ends_with_its_time(locked):
    log_in(locked.client)
    with locked.studio.database.write() as session:
        session.execute(sa.update(Session).values(expires_at=now() - timedelta(seconds=1)))
    assert not is_in(locked.client)
    assert locked.get("/", headers=PAGE).headers["location"] == "/login?next=/"


def test_logging_in_again_gives_a_new_session_and_ends_the_old_one(locked, another):
    log_in(locked.client)
    old = dict(locked.client.cookies)
    log_in(locked.client)
    another.cookies.update(old)
    assert dict(locked.client.cookies) != old
    assert not is_in(another)


def test_a_changed_password_leaves_only_the_browser_that_changed_it(locked, another):
    log_in(locked.client)
    log_in(another)
    before = dict(locked.client.cookies)
    change = {"present": PASSWORD, "password": OTHER}
    assert locked.put("/api/password", json=change).status_code == 204
    assert is_in(locked.client)
    assert dict(locked.client.cookies) != before
    assert not is_in(another)
    assert log_in(another, PASSWORD).status_code == 401
    assert log_in(another, OTHER).status_code == 303
    assert locked.client.request("DELETE", "/api/password", json={"present": OTHER}).is_success
    with httpx.Client(base_url=locked.url) as anybody:
        assert is_in(anybody)


def test_a_password_stays_where_other_machines_could_come_in_without(locked):
    log_in(locked.client)
    house = locked.studio
    house.base = house.base.model_copy(
        update={"server": replace(house.base.server, host="192.168.7.4")}
    )
    removal = {"present": PASSWORD}
    told = locked.client.request("DELETE", "/api/password", json=removal)
    assert "make a token first" in problem(told, 422, "invalid-input")["detail"]
    assert is_in(locked.client)


def test_browsers_are_listed_and_ended_from_any_of_them(locked, another):
    log_in(locked.client)
    hostile = "<script>alert(1)</script>"
    another.headers["User-Agent"] = hostile
    log_in(another)
    found = locked.get("/api/sessions").json()["sessions"]
    assert {s["agent"]: s["current"] for s in found}[hostile] is False
    assert sum(s["current"] for s in found) == 1
    page = locked.get("/settings", headers=PAGE).text
    assert hostile not in page
    assert "&lt;script&gt;alert(1)" in page
    assert locked.client.delete("/api/sessions").json() == {"ended": 1}
    assert not is_in(another)
    assert is_in(locked.client)


def test_no_other_site_has_anything_done(api):
    data = {"password": PASSWORD}
    evil = ("https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1.evil", "//")
    for headers in ({"Origin": origin} for origin in evil):
        for path in ("/setup", "/login", "/logout"):
            problem(api.post(path, data=data, headers=headers), 403, "foreign-origin")
        problem(api.put("/api/password", json=data, headers=headers), 403, "foreign-origin")
        problem(api.post("/api/generate", json={}, headers=headers), 403, "foreign-origin")
        problem(api.patch("/api/config", json={}, headers=headers), 403, "foreign-origin")
    assert api.patch("/api/config", json={}, headers={"Origin": api.url}).is_success


def test_no_other_site_shows_what_lies_here(api):
    from_afar = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    problem(api.get("/api/status", headers=from_afar), 403, "foreign-origin")
    problem(api.post("/api/generate", json={}, headers=from_afar), 403, "foreign-origin")
    followed = {**PAGE, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert api.get("/setup", headers=followed).status_code == 200
    assert api.get("/api/status").headers["cross-origin-resource-policy"] == "same-origin"


def test_what_came_through_a_proxy_is_not_this_machine(api):
    for header in ("X-Forwarded-For", "X-Real-IP", "Via", "Forwarded", "X-Forwarded-Host"):
        problem(api.get("/api/status", headers={header: "127.0.0.1"}), 401, "unauthorized")


ELSEWHERE = (
    "//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)",
    "/\t/evil.example", "\\\\evil.example", "evil.example", "/%0d%0aSet-Cookie:a=b", "",
    "/" + "a" * 5000, "/\x00", "/..//evil.example", "/./\\evil.example", "@evil.example",
)  # fmt: skip


def test_logging_in_leads_to_no_other_site(api):
    for wanted in ELSEWHERE:
        answer = api.get("/login", params={"next": wanted})  # who needs no password is sent on
        to = urljoin(api.url, answer.headers["location"].replace("\\", "/"))
        assert urlsplit(to).netloc == urlsplit(api.url).netloc, wanted
        assert "set-cookie" not in answer.headers


def test_every_page_runs_nothing_but_our_own_files(api):
    api.post("/setup", data={"later": "true"})
    api.get("/", headers=PAGE)
    paths = [path for _, path, _, _ in NAVIGATION]
    more = ["/models/training", "/models/compare", "/models/data", "/setup", "/no-such-page"]
    for path in (*paths, *more, "/api/docs", "/api/status"):
        answer = api.get(path, headers=PAGE, follow_redirects=True)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy, path
        assert "frame-ancestors 'none'" in policy, path
        assert answer.headers["x-content-type-options"] == "nosniff"
        if "text/html" in answer.headers["content-type"]:
            assert "<script>" not in answer.text, path
            assert " style=" not in answer.text, path


def test_a_live_connection_ends_with_its_session(locked, another, monkeypatch):
    monkeypatch.setattr(_live, "_CHECK_S", 0.0)
    log_in(locked.client)
    log_in(another)
    name, value = next(iter(another.cookies.items()))
    headers = {"Cookie": f"{name}={value}", "Origin": locked.url}
    with connect(locked.live_url, additional_headers=headers) as socket:
        assert json.loads(socket.recv(10)) == {"type": "ready"}
        locked.client.delete("/api/sessions")
        code = None
        while code is None:
            try:
                socket.recv(10)
            except ConnectionClosed as closed:
                code = closed.rcvd and closed.rcvd.code
        assert code == 1008


def test_a_password_is_a_lock_to_answer_other_machines_with(locked):
    settings = Settings()
    beyond = settings.model_copy(update={"server": replace(settings.server, host="0.0.0.0")})
    with locked.studio.database.read() as session:
        access.require_safe_binding(beyond, session)
    with locked.studio.database.write() as session:
        access.remove_password(session, actor="test")
    with (
        locked.studio.database.read() as session,
        pytest.raises(LofiError, match="lofi password"),
    ):
        access.require_safe_binding(beyond, session)


def test_the_command_sets_a_password_beside_a_running_server(api):
    def run(*more: str, given: str = "") -> subprocess.CompletedProcess[str]:
        house = api.studio.folder
        return subprocess.run(
            [sys.executable, "-m", "lofi", "password", *more],
            input=given,
            capture_output=True,
            text=True,
            env={**os.environ, "LOFI_STUDIO__FOLDER": str(house)},
            check=False,
        )

    assert run(given=f"{PASSWORD}\r\n").returncode == 0
    assert not is_in(api.client)
    assert log_in(api.client).status_code == 303
    assert run("--remove").returncode == 0
    assert is_in(api.client)
