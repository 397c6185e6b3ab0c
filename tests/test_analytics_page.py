"""The Analytics page in a real browser: what it draws, what it says of too little, and its form."""

from __future__ import annotations

from datetime import timedelta

import pytest
from api import Api
from browser import OpenPage, no_violations
from playwright.sync_api import expect
from shelf import put_track
from youtube import FakeYouTube, connected

from lofi.channel import day_of, pacific_day_start
from lofi.studio._tables import Metric, Preference, Release, now


@pytest.fixture
def watched(api: Api, fake_youtube: FakeYouTube) -> Api:
    """A channel of nine releases that were watched for three weeks, as it was collected."""
    connected(api.studio, fake_youtube)
    api.studio.change_settings({"youtube": {"uploads": True}}, actor="test")
    today = now()
    with api.studio.database.write() as session:
        for number in range(1, 10):
            out = today - timedelta(days=24 + number)
            track = put_track(
                session, number, mood="sleep" if number > 4 else "chill", title=f"Night {number}"
            )
            session.add(
                Release(id=number, track_id=track, platform="youtube", state="published",
                        publish_at=out, remote_id=f"video-{number}")
            )  # fmt: skip
            session.flush()
            views = 900 + number if number > 4 else 90 + number
            session.add_all(
                Metric(release_id=number, name="views", value=views * share, at=out + age)
                for age, share in ((timedelta(days=6.9), 1.0), (timedelta(days=7.1), 1.01))
            )
            session.add_all(
                Metric(release_id=number, name=f"retention/{i / 100:.2f}", value=1 - i / 200,
                       at=today)
                for i in range(1, 101)
            )  # fmt: skip
        session.add_all(
            Metric(name=name, value=value + back, at=pacific_day_start(day))
            for back in range(3, 31)
            for day in (day_of(today) - timedelta(days=back),)
            for name, value in (("daily_views", 50), ("daily_watch_min", 80))
        )
        parts = {"counts": {"at": today.isoformat(), "problem": None}}
        session.add(Preference(name="analytics", value={"parts": parts}, updated_by="test"))
    return api


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_figures_are_drawn_with_their_uncertainty(watched: Api, open_page: OpenPage, theme):
    page = open_page(f"{watched.url}/analytics", theme=theme, width=360)
    expect(page.locator(".plot svg.chart")).to_have_count(3)  # nobody told of clicks
    mood = page.locator("article", has=page.get_by_role("heading", name="Mood"))
    expect(mood.get_by_role("row", name="sleep")).to_contain_text("above the typical")
    expect(mood.get_by_role("row", name="chill")).to_contain_text("below the typical")
    expect(mood.locator("svg.interval .reach")).to_have_count(2)
    assert page.locator(".fig .data tbody tr").count() >= 28  # the same for who cannot see it
    expect(page.locator(".kpis")).to_contain_text("falling")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    no_violations(page)


def test_what_is_absent_is_said(api: Api, open_page: OpenPage):
    page = open_page(f"{api.url}/analytics")
    expect(page.get_by_role("heading", name="No YouTube account is connected")).to_be_visible()
    expect(page.locator(".kpis")).to_have_count(0)
    expect(page.get_by_text("There is none yet.")).to_be_visible()
    no_violations(page)


def test_an_experiment_is_started_and_stopped_from_the_page(watched: Api, open_page: OpenPage):
    page = open_page(f"{watched.url}/analytics")
    form = page.locator("[data-experiment]")
    form.get_by_label("Release").select_option(label="Night 3")
    form.get_by_label("Another title").fill("Night 3 · lofi to read to")
    form.get_by_role("button", name="Start").click()
    page.get_by_role("region", name="Arms of experiment 1").wait_for()
    [told] = watched.get("/api/experiments").json()["items"]
    assert (told["release_id"], told["state"]) == (3, "running")
    page.get_by_role("button", name="Stop experiment 1").click()
    page.get_by_role("button", name="Yes").click()
    page.locator(".experiment .chip.stopped").wait_for()
