"""The calendar in a real browser: releases are put in their place by mouse and by keyboard."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from api import Api
from browser import OpenPage, no_violations
from playwright.sync_api import Page, expect
from shelf import put_track

from lofi.studio import tracks
from lofi.studio._tables import Metric, Release, now

SCREENSHOTS = Path(__file__).parents[1] / "build" / "screenshots"
# Well within a month that is to come, so that no edge of a page is near.
MONTH = (now().replace(day=1) + timedelta(days=70)).replace(day=1)


def on(day: int, hour: int = 12) -> datetime:
    return MONTH.replace(day=day, hour=hour, minute=0, second=0, microsecond=0)


@pytest.fixture
def house(api: Api) -> Api:
    """Tracks approved and planned, one missed, figures of sixty releases, and a slot."""
    api.client.post("/setup", data={"later": "true"})
    api.client.post("/api/schedule/slots", json={"name": "evenings", "when": "mon,thu 18:30"})
    with api.studio.database.write() as session:
        for number, title, state, at in (
            (1, "Amber Roads", "planned", on(10)),
            (2, "Paper Lanterns", "missed", now() - timedelta(days=2)),
            (3, "<b>Quiet</b> Harbour", "", None),
        ):
            track = put_track(session, number, title=title)
            approval = tracks.decide(session, track, "approved", actor="t", privacy="public")
            if at:
                session.add(
                    Release(
                        track_id=track, platform="youtube", state=state, privacy="public",
                        publish_at=at, approval_id=approval.id,
                    )
                )  # fmt: skip
        for number in range(10, 70):
            track = put_track(session, number)
            at = datetime(2026, 1, 1, 19 if number % 2 else 7, tzinfo=UTC) + timedelta(days=number)
            release = Release(
                track_id=track, platform="youtube", state="published", privacy="public",
                publish_at=at,
            )  # fmt: skip
            session.add(release)
            session.flush()
            value = 900.0 if number % 2 else 300.0
            moment = at + timedelta(hours=48)
            session.add(Metric(release_id=release.id, name="views", value=value, at=moment))
    return api


def month(house: Api, open_page: OpenPage, **more) -> Page:
    page = open_page(f"{house.url}/calendar?month={MONTH:%Y-%m}", **more)
    page.wait_for_load_state("networkidle")
    return page


def planned(house: Api) -> dict[str, str]:
    span = {"begin": now().isoformat(), "end": (on(28) + timedelta(days=3)).isoformat()}
    span["begin"] = (on(1) - timedelta(days=3)).isoformat()
    found = house.client.get("/api/schedule/calendar", params=span).json()
    return {r["title"]: r["local"] for r in found["releases"]}


def cell(page: Page, day: int):
    return page.locator(f"[data-day='{MONTH:%Y-%m}-{day:02d}']:not([data-hour])")


def test_a_release_is_carried_by_the_keyboard_and_everything_is_told(
    house: Api, open_page: OpenPage
) -> None:
    page = month(house, open_page)
    told = page.locator("#told")
    page.locator("[data-release]", has_text="Amber Roads").focus()
    page.keyboard.press("Enter")
    expect(told).to_contain_text("Amber Roads is picked up")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(cell(page, 18)).to_be_focused()
    expect(told).to_contain_text("18 " + MONTH.strftime("%B"))
    page.keyboard.press("Escape")
    expect(told).to_contain_text("stays where it was")
    assert planned(house)["Amber Roads"].endswith("10T12:00")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(cell(page, 11).locator("[data-release]")).to_be_visible()
    assert planned(house)["Amber Roads"].endswith("11T12:00") or "18:30" in str(planned(house))
    page.get_by_role("button", name="Undo").click()
    expect(cell(page, 10).locator("[data-release]")).to_be_visible()


def test_tracks_are_dragged_missed_ones_answered_and_conflicts_asked_about(
    house: Api, open_page: OpenPage
) -> None:
    page = month(house, open_page, expect=("409",))
    harbour = page.locator("[data-track-pick]")
    expect(harbour).to_contain_text("<b>Quiet</b> Harbour")
    harbour.drag_to(cell(page, 10))
    dialog = page.locator("#plan-dialog")
    if dialog.is_visible():  # no slot on that day: the time is asked for
        dialog.get_by_role("button", name="Plan").click()
    question = page.locator("#confirm")
    expect(question).to_contain_text("does not fit")
    question.get_by_role("button", name="Yes").click()
    expect(cell(page, 10).locator(".rel")).to_have_count(2)
    expect(cell(page, 10).get_by_text("day is full")).to_have_count(2)
    assert len(planned(house)) == 2
    page.get_by_role("button", name="Paper Lanterns: into the next free slot").click()
    expect(page.get_by_text("Missed while nothing ran")).to_be_hidden()


def test_the_calendar_is_a_list_on_a_phone_and_a_week_by_the_hour(
    house: Api, open_page: OpenPage
) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for theme in ("dark", "light"):
        page = month(house, open_page, theme=theme)
        expect(page.get_by_role("grid")).to_be_visible()
        if theme == "light":
            no_violations(page)
        page.screenshot(path=SCREENSHOTS / f"calendar-month-{theme}-1280.png", full_page=True)
        page.get_by_role("link", name="Week", exact=True).click()
        expect(page.locator(".cal.week")).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert page.locator("td.h5").count() >= 1
        assert "× the views of an average hour" in (
            page.locator("td.h5").first.get_attribute("title") or ""
        )
        no_violations(page)
        page.screenshot(path=SCREENSHOTS / f"calendar-week-{theme}-1280.png", full_page=True)
        page.goto(f"{house.url}/calendar?month={MONTH:%Y-%m}")
        page.wait_for_load_state("networkidle")
        page.set_viewport_size({"width": 360, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        expect(cell(page, 10)).to_be_visible()
        expect(cell(page, 9)).to_be_hidden()
        page.screenshot(path=SCREENSHOTS / f"calendar-month-{theme}-360.png", full_page=True)


def test_a_month_that_there_is_not_is_told(house: Api) -> None:
    for query in ("month=2026-13", "month=soon", "week=2026-W60", "week=0001-W01"):
        answer = house.client.get(f"/calendar?{query}", headers={"Accept": "text/html"})
        assert answer.status_code == 422
        assert "Write it as" in answer.text
