"""The dashboard's frame, in a real browser: what holds for every page."""

from __future__ import annotations

from pathlib import Path

import pytest
from api import Api
from browser import OpenPage, no_violations, transferred
from playwright.sync_api import Page, expect

from lofi.web.dashboard import NAVIGATION

SCREENSHOTS = Path(__file__).parents[1] / "build" / "screenshots" / "empty"
PATHS = [path for _, path, _, _ in NAVIGATION]
HOSTILE = [
    "<script>alert(1)</script>",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    "W" * 90,
]


@pytest.fixture
def house(api: Api) -> Api:
    """A server whose visitor has said that they want no password."""
    api.client.post("/setup", data={"later": "true"})
    return api


def waits(page: Page) -> None:
    page.wait_for_load_state("networkidle")


@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_light_accessible_and_fits_a_phone(
    house: Api, open_page: OpenPage, path: str
) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    name = path.strip("/") or "overview"
    for theme, width in (("dark", 1280), ("light", 360)):
        page = open_page(house.url + path, theme=theme, width=width)
        waits(page)
        assert transferred(page) <= 100_000
        page.screenshot(path=SCREENSHOTS / f"{name}-{theme}-{width}.png", full_page=True)
        across = page.evaluate("document.documentElement.scrollWidth")
        assert across <= width, f"{name} is {across} px wide on a screen of {width}"
        no_violations(page)


def test_everything_in_the_frame_is_reached_by_keyboard(house: Api, open_page: OpenPage) -> None:
    page = open_page(house.url)
    waits(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page).to_have_title("Settings · LoFi Empire")
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.keyboard.type("cre")
    page.keyboard.press("Enter")
    expect(page).to_have_title("Create · LoFi Empire")


def test_a_key_right_after_a_field_was_closed_is_not_lost(house: Api, open_page: OpenPage) -> None:
    page = open_page(house.url)
    page.wait_for_load_state("networkidle")
    page.keyboard.press("Control+k")
    expect(page.locator("#palette input")).to_be_focused()
    # Both before the next frame: until then a field that is no longer seen has the focus.
    page.evaluate("""() => ["Escape", "?"].forEach(key =>
        document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })))
    """)
    expect(page.locator("dialog#help[open]")).to_be_visible()


def test_the_queue_is_live_and_a_job_is_cancelled_in_it(house: Api, open_page: OpenPage) -> None:
    page = open_page(house.url)
    expect(page.get_by_text("Nothing is being made.")).to_be_visible()
    house.order()
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel.first).to_be_visible()
    cancel.first.click()
    expect(page.get_by_text("Nothing is being made.")).to_be_visible()
    assert house.client.get("/api/jobs").json()["jobs"][0]["state"] == "cancelled"


def test_what_goes_wrong_is_told_with_its_remedy(house: Api, open_page: OpenPage) -> None:
    job = house.order()
    page = open_page(house.url, expect=("409",))
    cancel = page.get_by_role("button", name="Cancel").first
    expect(cancel).to_be_visible()
    page.route("**/api/jobs/**", lambda route: route.continue_())
    page.evaluate("document.querySelector('[data-live]').removeAttribute('data-live')")
    house.client.post(f"/api/jobs/{job}/cancel")
    cancel.click()
    expect(page.get_by_role("alert").filter(has_text="nothing to cancel")).to_be_visible()


def test_the_theme_is_kept(house: Api, open_page: OpenPage) -> None:
    page = open_page(house.url, theme="dark")
    page.wait_for_load_state("networkidle")
    page.get_by_role("button", name="Theme").first.click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
