"""Every page with something on it: for every eye, on every screen, by keyboard, of any name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import OpenPage, no_violations, small_targets, transferred, walk
from full_house import HOSTILE, House, full_house
from playwright.sync_api import Page, expect
from youtube import FakeYouTube

SCREENSHOTS = Path(__file__).parents[1] / "build" / "screenshots"
NAMES = [
    "overview", "create", "library", "library-table", "track", "calendar", "calendar-week",
    "community-held", "community-published", "community-people", "community-templates",
    "analytics", "models", "training", "compare", "dataset", "settings",
]  # fmt: skip


@pytest.fixture(scope="module")
def youtube_there() -> Iterator[FakeYouTube]:
    fake = FakeYouTube()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOFI_YOUTUBE_ENDPOINT", fake.url)
        yield fake
    fake.stop()


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory,
    migrated: Path,
    untrained: Path,
    youtube_there: FakeYouTube,
) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("full")
    with full_house(folder, migrated, untrained, youtube_there) as found:
        yield found


@pytest.fixture(scope="module")
def odd_house(
    tmp_path_factory: pytest.TempPathFactory,
    migrated: Path,
    untrained: Path,
    youtube_there: FakeYouTube,
) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("odd")
    with full_house(folder, migrated, untrained, youtube_there, names=HOSTILE) as found:
        yield found


def opened(house: House, open_page: OpenPage, name: str, **options: object) -> Page:
    page = open_page(house.api.url + house.pages[name], **options)
    page.wait_for_load_state("networkidle")
    if name == "track":
        expect(page.locator("[data-roll]")).to_be_visible()
    return page


def fits(page: Page, width: int) -> None:
    across = page.evaluate("document.documentElement.scrollWidth")
    assert across <= width, f"{page.url} is {across} px wide on a screen of {width}"


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_light_for_every_eye_on_every_screen_and_by_keyboard(
    house: House, open_page: OpenPage, name: str
) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    assert list(house.pages) == NAMES
    for theme, widths in (("dark", (1280, 768)), ("light", (360,))):
        page = opened(house, open_page, name, theme=theme)
        if theme == "dark":
            assert transferred(page) <= 100_000
            assert walk(page) == []
            page.evaluate("document.activeElement.blur()")
        telling = "[...document.forms].filter(f => f.method === 'get' && !f.role && !f.action)"
        assert page.evaluate(f"{telling}.map(f => f.outerHTML.slice(0, 99))") == []
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            fits(page, width)
            # As tall as it is: what is drawn when it comes into sight is drawn, what sticks sticks.
            high = page.evaluate("document.documentElement.scrollHeight")
            page.set_viewport_size({"width": width, "height": high})
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(400)
            page.screenshot(path=SCREENSHOTS / f"{name}-{theme}-{width}.png")
            no_violations(page)
            page.set_viewport_size({"width": width, "height": 900})
        assert small_targets(page) == []
        page.close()


@pytest.mark.slow  # the pages of test_dashboard show such names each time
@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_shown_as_it_is_and_breaks_nothing(
    odd_house: House, open_page: OpenPage, name: str
) -> None:
    page = opened(odd_house, open_page, name, expect=("404",))
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 900})
        fits(page, width)
    assert page.title().endswith("· LoFi Empire")
    assert page.locator("main script, main img[onerror]").count() == 0


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_what_opens_over_a_page_is_for_every_eye_and_closes_by_escape(
    house: House, open_page: OpenPage, theme: str
) -> None:
    page = opened(house, open_page, "library", theme=theme)
    page.keyboard.press("Control+k")
    page.keyboard.type("quiet")
    expect(page.locator("#found li", has_text="Quiet Harbour").first).to_be_visible()
    closes(page, "palette")
    page.keyboard.press("?")
    closes(page, "help")
    page.locator("[data-pick]").first.check(force=True)
    page.locator("#bulk").get_by_role("button", name="Approve").click()
    closes(page, "deciding")

    page = opened(house, open_page, "calendar", theme=theme)
    page.locator("[data-release]", has_text="Amber Roads").click()
    closes(page, "release-dialog")

    page = opened(house, open_page, "settings", theme=theme, width=360)
    page.get_by_role("button", name="Disconnect", exact=True).click()
    closes(page, "confirm")
    page.get_by_role("button", name="More", exact=True).click()
    closes(page, "more")


def closes(page: Page, name: str) -> None:
    """Look at a dialog that is open, then close it."""
    dialog = page.locator(f"dialog#{name}[open]")
    expect(dialog).to_be_visible()
    theme, width = page.evaluate("[document.documentElement.dataset.theme, innerWidth]")
    page.screenshot(path=SCREENSHOTS / f"dialog-{name}-{theme}-{width}.png")
    no_violations(page)
    assert small_targets(page) == []
    fits(page, width)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
