"""The page of a track: heard by part, worded within limits, decided on, put away and given back."""

from __future__ import annotations

import re
from typing import Any

import pytest
from api import Api
from browser import OpenPage, no_violations, transferred
from playwright.sync_api import Page, Route, expect
from shelf import put_music

TITLE = "<b>Harbour</b> \u0645\u0631\u062d\u0628\u0627 " + "W" * 60


@pytest.fixture
def house(api: Api) -> Api:
    api.client.post("/setup", data={"later": "true"})
    return api


def put(api: Api, **values: Any) -> str:
    with api.studio.database.write() as session:
        return put_music(session, api.studio.storage, **values)


def opened(api: Api, open_page: OpenPage, track: str, **options: Any) -> Page:
    page = open_page(f"{api.url}/tracks/{track}", **options)
    expect(page.locator("[data-roll]")).to_be_visible(timeout=20_000)
    return page


def test_the_page_is_light_accessible_and_fits_a_phone_whatever_the_name(
    house: Api, open_page: OpenPage
):
    track = put(house, title=TITLE, tags=["<i>x</i>"], note="a\nb")
    for theme, width in (("dark", 1280), ("light", 360)):
        page = opened(house, open_page, track, theme=theme, width=width)
        assert transferred(page) <= 100_000
        expect(page.locator("h1")).to_have_text(TITLE)
        for summary in page.locator("main summary").all()[:2]:
            summary.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        no_violations(page)


def test_one_seeks_by_keyboard_and_hears_the_parts_alone(house: Api, open_page: OpenPage):
    page = opened(house, open_page, put(house))
    wave = page.get_by_role("slider", name="Where it plays")
    wave.focus()
    page.keyboard.press(".")
    expect(wave).to_have_attribute("aria-valuetext", re.compile(r"0:0\d, bar 2, \w+"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Pause Quiet Harbour")).to_be_visible()
    expect(wave).not_to_have_attribute("aria-valuenow", "3")  # it goes on from there

    page.get_by_role("button", name="Solo keys").click()
    expect(page.get_by_role("button", name="Stems")).to_have_attribute("aria-pressed", "true")
    page.wait_for_function("document.querySelector('.dock audio').paused")
    before = wave.get_attribute("aria-valuenow") or ""
    expect(wave).not_to_have_attribute("aria-valuenow", before)
    page.get_by_role("button", name="Pause Quiet Harbour").click()
    expect(page.get_by_role("button", name="Play Quiet Harbour").first).to_be_visible()


def test_words_are_counted_as_youtube_counts_and_kept_within_its_limits(
    house: Api, open_page: OpenPage
):
    page = opened(house, open_page, put(house))
    save, problems = page.locator("[data-save]"), page.locator("[data-problems]")
    description = page.locator("[data-words] [name=description]")
    description.fill("\u00e9" * 2_501)
    expect(page.locator("[data-gauge=description] small")).to_have_text("5,002 of 5,000 bytes")
    expect(problems).to_contain_text("5000 bytes")
    expect(save).to_be_disabled()
    description.fill("0:00 One\n0:10 Two\n0:20 Three")
    page.locator("[data-words] [name=title]").fill("Rain on the Quay")
    expect(page.locator("[data-chapters] li")).to_have_count(3)
    expect(page.locator(".youtube h3").first).to_have_text("Rain on the Quay")
    page.reload()  # what was typed and not kept is there again
    expect(page.locator("[data-words] [name=title]")).to_have_value("Rain on the Quay")
    expect(save).to_be_enabled()
    save.click()
    expect(page.locator("[data-edited]")).to_be_visible()
    told = house.get(f"/api/tracks/{page.url.rsplit('/', 1)[1]}/listing").json()
    assert (told["title"], told["edited"]) == ("Rain on the Quay", True)


def test_a_decision_made_before_the_script_of_the_page_has_come_is_not_lost(
    house: Api, open_page: OpenPage
):
    track = put(house, title="Amber")
    page = open_page(f"{house.url}/library")
    held: list[Route] = []
    page.route("**/track.js", lambda route: held.append(route))
    with page.expect_request("**/track.js"):
        page.get_by_role("link", name="Amber").first.click()
    page.get_by_role("button", name="Approve").click()
    assert house.get(f"/api/tracks/{track}").json()["state"] == "review"
    held[0].continue_()
    expect(page.get_by_text("Approved up to private.")).to_be_visible()


def test_a_person_decides_with_a_reason_where_one_is_needed(house: Api, open_page: OpenPage):
    track = put(house, verdict="block", stems=False)
    page = opened(house, open_page, track, expect=("422",))
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("#wrong-decision")).to_contain_text("Say in the note why")
    note = page.locator("[data-decide] [name=note]")
    expect(note).to_be_focused()
    note.fill("the publisher agreed")
    page.locator("[data-decide] [name=privacy]").select_option("unlisted")
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("#head .chip").first).to_have_text("approved")
    expect(page.locator(".trail")).to_contain_text("the publisher agreed")

    page.get_by_role("button", name="Delete").click()
    expect(page).to_have_url(f"{house.url}/library")
    page.get_by_role("button", name="Undo").click()
    expect(page).to_have_url(f"{house.url}/tracks/{track}")
    expect(page.locator("h1")).to_have_text("Quiet Harbour")
