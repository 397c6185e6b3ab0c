"""A real browser for tests: Chromium, whose console must stay empty, and axe for accessibility."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

# As root, and where there is neither a graphics card nor a way out.
_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--autoplay-policy=no-user-gesture-required", "--mute-audio",
]  # fmt: skip
_ON_MACOS = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
OpenPage = Callable[..., "Page"]
_REACH = (Path(__file__).parent / "reach.js").read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, started once for each file: its event loop keeps jobs from running beside it."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=15_000)  # a busy machine is not the page's fault
    program = shutil.which("chromium") or shutil.which("google-chrome") or _ON_MACOS
    if not Path(program).exists():
        raise RuntimeError("Chromium is not installed: run scripts/system_packages.sh.")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens a page by its address; afterwards no console may have told of an error.

    `expected`: pieces of errors that a test provokes, such as the status of a refused request.
    """
    contexts: list[BrowserContext] = []
    told: list[str] = []
    expected: list[str] = []

    def open_(
        url: str,
        *,
        theme: Any = "dark",
        width: int = 1280,
        height: int = 900,
        expect: tuple[str, ...] = (),
        beside: Page | None = None,
    ) -> Page:
        expected.extend(expect)
        if beside is not None:
            context = beside.context
        else:
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=theme
            )
            context.set_default_timeout(15_000)
            contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: told.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: told.append(str(e)))
        page.goto(url)
        return page

    yield open_
    for context in contexts:
        context.close()
    wrong = [t for t in told if not any(e in t for e in expected)]
    assert not wrong, wrong


def no_violations(page: Page) -> None:
    """Nothing that axe holds against a page, by WCAG 2.2 A and AA."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": WCAG}})
    assert not found.response["violations"], found.generate_report()


def transferred(page: Page) -> int:
    """Bytes that the page's own files took on their way, media apart."""
    return page.evaluate(
        """() => [...performance.getEntriesByType('navigation'),
                  ...performance.getEntriesByType('resource')]
            .filter(e => !/\\.(jpg|png|flac|mp4|mid)/.test(e.name) || e.name.includes('/static/'))
            .reduce((sum, e) => sum + e.transferSize, 0)"""
    )


def small_targets(page: Page) -> list[str]:
    """What can be clicked and is smaller than 24 px, by WCAG 2.5.8."""
    page.evaluate(_REACH)
    return page.evaluate("reach.small()")


def walk(page: Page) -> list[str]:
    """Go through a page by Tab alone; gives what is wrong for those who have no mouse.

    All that can be clicked must come by, with a ring around it that can be seen.
    """
    page.evaluate(_REACH)
    page.evaluate("reach.begin()")
    wrong = []
    for _ in range(800):
        page.keyboard.press("Tab")
        told = page.evaluate("reach.step()")
        if not told:
            break
        if told != "ok":
            wrong.append(told)
    return wrong + page.evaluate("reach.rest()")
