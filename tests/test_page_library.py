"""The library as a person uses it: found, chosen, changed many at once."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa
from api import Api
from browser import OpenPage, no_violations
from playwright.sync_api import Page, Route, expect
from shelf import put_track
from sqlalchemy import event

from lofi.studio._tables import Track

HOSTILE = ("<script>alert(1)</script>", "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc", "W" * 90)


@pytest.fixture
def house(api: Api) -> Api:
    api.client.post("/setup", data={"later": "true"})
    return api


def put(api: Api, *tracks: dict) -> None:
    with api.studio.database.write() as session:
        for i, values in enumerate(tracks):
            put_track(session, i + 1, storage=api.studio.storage, **values)


def html(api: Api, path: str) -> str:
    answer = api.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return answer.text


def asked(api: Api, path: str) -> int:
    """How many statements the database is asked for a page that was shown before."""
    html(api, path)
    engine = api.studio.database.engine
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    html(api, path)
    event.remove(engine, "before_cursor_execute", note)
    assert statements
    return len(statements)


def results(page: Page) -> list[str]:
    # Not the text as drawn: what lies below the first screen is drawn when it comes near.
    return page.locator("#results h3, #results th[scope=row]").all_text_contents()


def test_every_choice_is_in_the_address_and_needs_no_script(house: Api):
    put(
        house,
        {"title": "Amber", "mood": "sleep", "bpm": 60.0, "tags": ["rain"]},
        {"title": "Birch", "mood": "chill", "bpm": 80.0, "state": "approved"},
        {"title": "Cedar", "mood": "chill", "bpm": 90.0, "verdict": "block"},
    )
    # As a form sends itself: with the fields that were left empty.
    found = html(house, "/library?q=&mood=chill&bpm_min=&bpm_max=85&tag=&sort=title&view=table")
    assert "Birch" in found
    assert "Cedar" not in found
    assert "Amber" not in found
    assert 'value="chill" checked' in found
    assert "mood=chill&amp;" in found  # what leads on keeps the filter
    assert "1</b> track" in html(house, "/library?tag=rain")
    assert "0</b> tracks" in html(house, "/library?state=deleted")
    assert "is no number" in html(house, "/library?bpm_min=fast")
    assert "unknown mood" in html(house, "/library?mood=angry&page=-3&per=7&view=x&sort=y")


def test_one_finds_while_typing_and_stays_in_the_field(house: Api, open_page: OpenPage):
    put(house, *({"title": t} for t in ("Zebra Lights", "Zebu", "Amber Room")))
    page = open_page(house.url + "/library", expect=("404",))
    page.locator("#q").click()
    page.keyboard.type("zebx")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Delete")
    expect(page).to_have_url(re.compile(r"/library\?q=zeb$"))
    expect(page.locator("#results h3")).to_have_count(2)
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("r")
    expect(page.locator("#results h3")).to_have_text(["Zebra Lights"])
    expect(page).to_have_url(re.compile(r"/library\?q=zebr$"))
    page.reload()
    assert results(page) == ["Zebra Lights"]
    page.get_by_role("link", name="Without words zebr").click()
    expect(page.locator("#results h3")).to_have_count(3)


def test_many_are_chosen_and_changed_at_once_and_what_was_deleted_comes_back(
    house: Api, open_page: OpenPage
):
    put(
        house,
        *({"title": f"Number {i}", "verdict": "block" if i == 2 else "pass"} for i in range(5)),
    )
    page = open_page(house.url + "/library?sort=title", expect=("404",))
    page.get_by_label("Select Number 0").check()
    # From the keyboard: the space bar with shift chooses all up to here.
    page.get_by_label("Select Number 3").focus()
    page.keyboard.press("Shift+Space")
    expect(page.locator("#bulk [data-count]")).to_have_text("4")
    page.get_by_role("button", name="Tag").click()
    page.get_by_label("Add, separated by commas").fill("Rain, night")
    page.locator("#tagging").get_by_role("button", name="Tag").click()
    expect(page.locator(".toast", has_text="4 tracks tagged.")).to_be_visible()
    assert {t["tag"]: t["tracks"] for t in house.get("/api/tags").json()["items"]} == {
        "rain": 4, "night": 4
    }  # fmt: skip

    page.get_by_label("Select all on this page").check()
    page.get_by_role("button", name="Approve").click()
    page.get_by_label("How public it may become").select_option("unlisted")
    page.locator("#deciding").get_by_role("button", name="Approve").click()
    expect(page.locator(".toast", has_text="4 tracks approved.")).to_be_visible()
    blocked = page.locator(".toast.bad")
    expect(blocked).to_contain_text("1 track left as it was")
    expect(blocked).to_contain_text("Say in the note why")
    expect(page.locator("#bulk [data-count]")).to_have_text("1")  # what failed stays chosen

    page.keyboard.press("Escape")
    expect(page.locator("#bulk")).to_be_hidden()
    page.get_by_label("Select Number 0").check()
    page.get_by_role("button", name="Delete").click()
    gone = page.locator(".toast", has_text="1 track deleted.")
    expect(page.locator("#results h3")).to_have_count(4)
    gone.get_by_role("button", name="Undo").click()
    expect(page.locator("#results h3")).to_have_count(5)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_refreshes_that_overlap_the_one_asked_for_last_is_shown(
    house: Api, open_page: OpenPage, order: tuple[int, int]
):
    put(house, {"title": "Amber"})
    answers = [html(house, "/library")]
    page = open_page(f"{house.url}/library", expect=("404",))
    page.wait_for_load_state("networkidle")
    with house.studio.database.write() as session:
        put_track(session, 2, storage=house.studio.storage, title="Birch")
    answers.append(html(house, "/library"))
    held: list[Route] = []
    page.route(f"{house.url}/library", lambda route: held.append(route))
    core = 'import(document.querySelector("script[type=module]").src)'
    page.evaluate(f"{core}.then(core => {{ both = [core.refresh(), core.refresh()]; }})")
    while len(held) < 2:
        page.wait_for_timeout(20)
    for which in order:
        held[which].fulfill(body=answers[which], content_type="text/html")
        page.evaluate(f"both[{which}]")
    assert set(results(page)) == {"Amber", "Birch"}


def test_what_was_ticked_before_the_script_of_the_page_has_come_stays_so(
    house: Api, open_page: OpenPage
):
    put(house, *({"title": f"Number {i}"} for i in range(3)))
    page = open_page(f"{house.url}/calendar", expect=("404",))
    held: list[Route] = []
    page.route("**/library.js", lambda route: held.append(route))
    with page.expect_request("**/library.js"):
        page.get_by_role("link", name="Library").first.click()
    box = page.get_by_label("Select Number 1")
    box.check(force=True)
    held[0].continue_()
    expect(page.locator("#bulk [data-count]")).to_have_text("1")
    expect(box).to_be_checked()


def test_a_thousand_tracks_of_any_name_are_listed_at_once(house: Api, open_page: OpenPage):
    put(house, *({"title": title, "tags": ["odd"]} for title in HOSTILE))
    with house.studio.database.write() as session:
        like = session.scalars(sa.select(Track)).first()
        assert like
        columns = {c.key: getattr(like, c.key) for c in Track.__table__.columns}
        others = [
            columns
            | {"id": f"n-{i:08x}", "title": f"Number {i}", "search": f"number {i}", "tags": []}
            for i in range(1000)
        ]
        session.execute(sa.insert(Track), others)
    for path in ("/library?sort=title", "/library?page=20", "/library?q=number+99&view=table"):
        assert asked(house, path) < 10  # statements, however many tracks there are
    for theme, width, view in (("dark", 1280, "grid"), ("light", 360, "table")):
        path = f"{house.url}/library?tag=odd&view={view}"
        page = open_page(path, theme=theme, width=width, expect=("404",))
        assert set(results(page)) == set(HOSTILE)
        page.locator("#more-filters summary").click()
        page.locator("[data-pick]").first.check(force=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        no_violations(page)
