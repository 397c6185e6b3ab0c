"""The settings, in a real browser. That they are accessible and light is tried with the frame."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
import structlog
from api import Api, problem
from browser import OpenPage, no_violations
from playwright.sync_api import Page, expect
from youtube import CLIENT_SECRET, FakeYouTube

from lofi.cli._logs import log_to_stderr
from lofi.studio import _checks as checks
from lofi.studio import _doctor as examination
from lofi.studio import accounts
from lofi.web import _middleware

PASSWORD = "four words of mine"


@pytest.fixture
def house(api: Api) -> Api:
    api.client.post("/setup", data={"later": "true"})
    return api


def waits(page: Page) -> None:
    """Until the page's scripts are there."""
    page.wait_for_load_state("networkidle")


def test_no_form_tells_an_address_what_was_typed(house: Api):
    house.client.put("/api/password", json={"password": PASSWORD})
    for path in ("/settings", "/models/training"):
        page = house.client.get(path, headers={"Accept": "text/html"}).text
        # Sent before its scripts are there, a form of no method would put it all into the URL.
        for form in re.findall(r"<form [^>]*data-do[^>]*>", page):
            assert 'method="post"' in form, form


def test_a_token_is_shown_once_and_revoked(house: Api, open_page: OpenPage):
    house.client.put("/api/password", json={"password": PASSWORD})
    page = open_page(f"{house.url}/login?next=/settings%23tokens")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/settings*")
    waits(page)
    page.get_by_label("Name", exact=True).fill("website")
    page.get_by_role("button", name="Make a token").press("Enter")
    secret = page.locator("#secret-text")
    expect(secret).to_contain_text("lofi_")
    text = secret.text_content() or ""
    headers = {"Authorization": f"Bearer {text}"}
    assert house.client.get("/api/status", headers=headers).status_code == 200
    page.reload()
    waits(page)
    expect(page.locator("#secret")).to_be_hidden()
    assert text not in page.content()
    page.get_by_role("button", name="Revoke website").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.locator("#token-list")).to_contain_text("revoked")
    assert house.client.get("/api/status", headers=headers).status_code == 401


def test_the_first_password_locks_out_all_but_this_browser(house: Api, open_page: OpenPage):
    page = open_page(f"{house.url}/settings")
    waits(page)
    again = page.get_by_label("Once more")
    page.get_by_label("New password").fill(PASSWORD)
    again.fill("another")
    page.get_by_role("button", name="Set the password").click()
    assert again.evaluate("field => field.validationMessage") == "The two are not the same."
    again.fill(PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    expect(page.locator("#session-list")).to_contain_text("this one")
    assert house.client.get("/api/status").status_code == 401


def test_only_what_was_changed_is_set_here_and_can_be_taken_back(
    house: Api, open_page: OpenPage, monkeypatch
):
    page = open_page(f"{house.url}/settings#making", expect=("422",))
    waits(page)
    field = page.get_by_label("Candidates")
    field.fill("6")
    field.press("Control+Enter")
    expect(page.locator("#generation")).to_contain_text("Set here; else 4")
    assert house.studio.overrides() == {"generation": {"best_of": 6}}
    frames = page.get_by_label("Frames a second")
    page.get_by_label("Width").fill("330")
    frames.press("Control+Enter")
    expect(page.get_by_role("alert").filter(has_text="not 16:9")).to_be_visible()
    page.get_by_label("Candidates").fill("")
    page.get_by_label("Candidates").press("Control+Enter")
    expect(page.locator("#generation")).not_to_contain_text("Set here")
    assert house.studio.settings().generation.best_of == 4
    monkeypatch.setenv("LOFI_DAILY__COUNT", "3")
    page.reload()
    expect(page.get_by_label("Tracks a day")).to_be_disabled()
    expect(page.locator("#daily")).to_contain_text("Set by LOFI_DAILY__COUNT")


def test_the_doctor_and_the_garbage_are_asked_from_the_page(
    house: Api, open_page: OpenPage, monkeypatch
):
    monkeypatch.setattr(examination, "CHECKS", {"Python": checks._python})
    page = open_page(f"{house.url}/settings#doctor")
    waits(page)
    page.get_by_role("button", name="Look", exact=True).click()
    expect(page.locator("#findings li")).to_have_count(2)
    expect(page.locator("#examining")).to_contain_text("2 ok, 0 absent, 0 broken")
    page.get_by_role("button", name="Look for garbage").click()
    expect(page.locator("#gc-told")).to_contain_text("Nothing")


# YouTube ---------------------------------------------------------------------------------------


def test_youtube_is_connected_and_disconnected_in_the_browser(
    house: Api, open_page: OpenPage, fake_youtube: FakeYouTube, tmp_path: Path, capsys, monkeypatch
):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # given back after
    log_to_stderr(as_json=True, level=logging.INFO)
    # The one there was may have been told in another test to say less, and remembers it.
    monkeypatch.setattr(_middleware, "_log", structlog.get_logger("lofi.web"))
    house.client.put("/api/password", json={"password": PASSWORD})
    page = open_page(f"{house.url}/login?next=/settings%23channel")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/settings*")
    waits(page)
    told: list[str] = []
    page.on("response", lambda r: told.append(r.url + str(r.headers)))
    page.get_by_label("The client's JSON file").set_input_files(
        fake_youtube.client_secrets(tmp_path / "client.json")
    )
    page.get_by_role("button", name="Connect at Google").press("Enter")
    channel = page.locator("#channel")
    expect(channel).to_contain_text(FakeYouTube.channel_title)
    expect(channel.locator(".chip")).to_have_text("connected")
    assert page.url == f"{house.url}/settings#channel"  # the code has left the address
    no_violations(page)
    (code,) = fake_youtube.codes
    seen = page.content() + "".join(t for t in told if f"{house.url}/settings/youtube" not in t)
    known = fake_youtube.secrets() - {code}
    assert CLIENT_SECRET in known
    assert not [s for s in known if s in seen]
    log = capsys.readouterr().err
    assert "/settings/youtube/return" in log
    assert not [s for s in {*known, code} if s in log]

    with page.expect_response(lambda r: "/settings/youtube/return" in r.url):
        page.get_by_role("button", name="Connect again").click()  # the client is known by now
    expect(channel.locator(".chip")).to_have_text("connected")
    assert len(fake_youtube.codes) == 2
    page.wait_for_load_state("networkidle")
    page.get_by_role("button", name="Disconnect", exact=True).click()
    page.get_by_role("button", name="Yes").click()
    expect(channel.locator(".chip")).to_have_text("not connected")
    assert any(grant.revoked for grant in fake_youtube.grants.values())
    assert accounts.account(house.studio)["connected"] is False


def test_only_the_browser_that_asked_brings_a_consent_back(
    house: Api, open_page: OpenPage, fake_youtube: FakeYouTube, tmp_path: Path
):
    file = fake_youtube.client_secrets(tmp_path / "client.json").read_text()
    page = open_page(house.url, expect=("409", "500"))
    asked = house.client.post("/api/youtube/consent", json={"client": file})
    assert asked.cookies["lofi_consent"]
    assert "HttpOnly; Max-Age=600; Path=/settings/youtube/return" in asked.headers["set-cookie"]
    page.goto(asked.json()["url"])  # of somebody else: it comes back to this browser
    expect(page.locator("main")).to_contain_text("this browser has not asked")
    assert accounts.account(house.studio)["connected"] is False

    # The right browser, with the answer to another question.
    answer = house.client.get("/settings/youtube/return?state=another&code=x")
    assert "was not for this request" in answer.json()["detail"]
    # What was tried once is not asked about again.
    state = re.search(r"state=(\w+)", asked.json()["url"])
    assert state
    problem(house.client.get(f"/settings/youtube/return?state={state[1]}&code=x"), 409, "conflict")
    assert accounts.account(house.studio)["connected"] is False


def test_where_google_cannot_lead_back_to_the_page_says_what_to_do(house: Api):
    admin = house.token() | {"X-Forwarded-Proto": "https"}
    page = house.client.get("/settings", headers=admin | {"Accept": "text/html"}).text
    assert "ssh -L" in page
    assert 'id="connect"' not in page
    problem(
        house.client.post("/api/youtube/consent", json={"client": "{}"}, headers=admin),
        409, "conflict",
    )  # fmt: skip
    wrong = house.client.post(
        "/api/youtube/consent", json={"client": "{}"}, headers=house.token("b")
    )
    assert "no `installed`" in problem(wrong, 422, "invalid-input")["detail"]
