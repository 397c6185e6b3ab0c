"""A walk through the studio as its user: from the first password to a planned release."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from browser import OpenPage
from playwright.sync_api import Page, expect
from servers import free_port

PASSWORD = "four quiet words here"
BUSY = 90_000  # ms: two cores make music meanwhile
Server = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def start(environment: Path) -> Iterator[tuple[str, Server]]:
    """The address of a studio, and what starts its server anew."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    started: list[subprocess.Popen[bytes]] = []

    def serve() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "lofi", "serve", "--port", str(port)],
            cwd=environment,
            env=os.environ.copy(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        started.append(process)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if httpx.get(f"{url}/api/health/live").is_success:
                    return process
            time.sleep(0.1)
        raise AssertionError("the server did not start")

    yield url, serve
    for process in started:
        process.kill()
        process.wait()


def go(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name=name).click()
    expect(page).to_have_title(f"{name} · LoFi Empire")


def test_a_user_makes_plays_approves_and_plans_while_the_server_dies(
    start: tuple[str, Server], open_page: OpenPage
) -> None:
    url, serve = start
    server = serve()
    broken = ("ERR_CONNECTION_REFUSED", "WebSocket", "ERR_EMPTY_RESPONSE", "401")
    page = open_page(url, expect=broken)

    # The first password, and coming back with it.
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.get_by_role("button", name="Log out").first.click()
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    # Two tracks, ordered at once by keyboard; a third is cancelled.
    go(page, "Create")
    page.get_by_label("left open").uncheck()
    page.locator("input[name=duration]").fill("15")
    page.get_by_label("Tracks", exact=True).fill("2")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#results [data-job]")).to_have_count(2)
    page.get_by_label("Tracks", exact=True).fill("1")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#results [data-job]")).to_have_count(3)
    go(page, "Overview")
    queued = page.locator("#queue .job.queued").last
    queued.get_by_role("button", name="Cancel").click()
    expect(page.locator("#queue .job")).to_have_count(2, timeout=BUSY)

    # The server dies while they are made; what was typed stays, and so does the work.
    go(page, "Create")
    page.get_by_label("Seed", exact=True).fill("4711")
    server.kill()
    server.wait()
    expect(page.get_by_text("The studio does not answer.").first).to_be_visible(timeout=BUSY)
    serve()
    expect(page.locator(".offline")).to_be_hidden(timeout=BUSY)
    expect(page.get_by_label("Seed", exact=True)).to_have_value("4711")

    # Both are there, are played, and go on playing on another page.
    go(page, "Library")
    expect(page.locator(".tile")).to_have_count(2, timeout=BUSY)
    title = page.locator(".tile h3").first.text_content() or ""
    page.get_by_role("button", name=f"Play {title}").first.click()
    page.wait_for_timeout(300)
    go(page, "Calendar")
    expect(page.locator(".dock-title")).to_have_text(title)
    expect(page.locator(".dock-at")).not_to_have_text("0:00", timeout=BUSY)

    # One is approved and planned, and found in the calendar.
    go(page, "Library")
    page.get_by_role("link", name=title).first.click()
    expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
    page.get_by_label("How public it may become").select_option("public")
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_text("Approved up to public.")).to_be_visible()
    go(page, "Calendar")
    page.locator("[data-track-pick]", has_text=title).click()
    moment = datetime.now(UTC) + timedelta(days=1)
    page.locator("#plan-form [name=local]").fill(f"{moment:%Y-%m-%dT18:30}")
    page.locator("#plan-form").get_by_role("button", name="Plan").click()
    day = page.locator(f"[data-day='{moment:%Y-%m-%d}']")
    expect(day.locator("[data-release]")).to_have_text(re.compile(re.escape(title)))
    expect(page.locator(".dock-title")).to_have_text(title)
