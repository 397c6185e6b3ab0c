"""The page Create, as somebody uses it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from api import Api, serving
from browser import OpenPage
from playwright.sync_api import Route, expect
from test_create import sketch  # noqa: F401 (a fixture)

from lofi.studio import prompts
from lofi.studio._tables import now


def test_a_track_is_ordered_by_keyboard_and_shown_with_its_seed(api: Api, open_page: OpenPage):
    page = open_page(f"{api.url}/create")
    page.get_by_label("Seed", exact=True).fill("41")
    page.locator("[name=mood]:checked").press("ArrowRight")  # chill
    expect(page.locator("#dial-bpm output")).to_have_text("72–84, by mood")
    expect(page.get_by_label("BPM", exact=True)).to_be_disabled()
    page.get_by_label("by mood").first.uncheck()
    page.get_by_label("BPM", exact=True).fill("80")
    page.keyboard.press("Control+Enter")
    results = page.locator("#results")
    expect(results.get_by_text("chill · 80 bpm")).to_be_visible()
    expect(results.get_by_role("button", name="Use seed 41")).to_be_visible()
    [job] = api.get("/api/jobs").json()["jobs"]
    assert job["asked"] == {"seed": 41, "mood": "chill", "bpm": 80.0}
    page.reload()  # what was typed is kept
    expect(page.get_by_label("Seed", exact=True)).to_have_value("41")
    expect(page.locator("#dial-bpm output")).to_have_text("80")


def test_a_preset_fills_the_form_and_what_is_wrong_is_told_at_its_field(
    api: Api, open_page: OpenPage
):
    page = open_page(f"{api.url}/create", expect=("422",))
    page.locator("[name=chords]").fill("Am9 D7")
    page.locator("label", has_text="rain").click()
    page.get_by_role("button", name="Save …").click()
    page.get_by_role("textbox", name="Name").fill("Sunday <b>")
    page.keyboard.press("Enter")
    chosen = page.get_by_label("Fill the form from a preset")
    expect(chosen).to_have_value("Sunday <b>")
    page.reload()
    page.locator("[name=chords]").fill("Xm7")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#wrong-chords")).to_be_visible()
    chosen.select_option("Sunday <b>")
    expect(page.locator("[name=chords]")).to_have_value("Am9 D7")
    expect(page.locator("[name=ambience]:checked")).to_have_value("rain")
    page.get_by_role("button", name="Delete it").click()
    page.get_by_role("button", name="Yes").click()
    expect(chosen.locator("option")).to_have_text(["none yet"])


def test_a_midi_file_decides_what_it_decides(
    api: Api,
    open_page: OpenPage,
    sketch: Path,  # noqa: F811
):
    page = open_page(f"{api.url}/create")
    page.get_by_label("A MIDI file to go on from").set_input_files(sketch)
    expect(page.get_by_text("8 bars · 96 bpm · G major")).to_be_visible()
    page.get_by_text("vary it").click()
    for name in ("key", "duration", "form", "chords"):
        expect(page.locator(f"[name={name}]")).to_be_disabled()
    page.reload()
    expect(page.locator("[name=prompt-how]:checked")).to_have_value("vary")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#results").get_by_text("varied from sketch.mid")).to_be_visible()
    page.get_by_role("button", name="Take it away").click()
    expect(page.locator("[name=key]")).to_be_enabled()


def test_what_is_ordered_while_its_file_is_on_its_way_waits_for_it(
    api: Api,
    open_page: OpenPage,
    sketch: Path,  # noqa: F811
):
    page = open_page(f"{api.url}/create", expect=("404",))
    page.get_by_label("A MIDI file to go on from").set_input_files(sketch)
    expect(page.get_by_text("8 bars · 96 bpm · G major")).to_be_visible()
    held: list[Route] = []
    page.route("**/api/prompts/*", lambda route: held.append(route))
    generate = page.get_by_role("button", name="Generate")
    with page.expect_request("**/api/prompts/*"):
        page.reload()
    generate.click()
    assert api.get("/api/jobs").json()["jobs"] == []
    held[0].continue_()
    expect(page.locator("#results").get_by_text("after sketch.mid")).to_be_visible()

    with page.expect_request("**/api/prompts/*"):
        page.reload()
    generate.click()
    with api.studio.database.write() as session:
        prompts.purge(session, actor="test", before=now() + timedelta(hours=1))
    held[1].continue_()
    expect(page.get_by_role("alert")).to_contain_text("has forgotten sketch.mid")
    expect(page.locator(".create > form[aria-busy]")).to_have_count(0)
    assert len(api.get("/api/jobs").json()["jobs"]) == 1


@pytest.mark.slow
def test_two_candidates_are_heard_and_one_is_made(
    environment: Path, migrated: Path, working: Callable[..., Any], open_page: OpenPage
):
    with serving(environment, migrated) as api:
        working()
        page = open_page(f"{api.url}/create?mood=focus&bpm=90&duration=10&seed=1")
        page.get_by_role("button", name="Try two").click()
        play = [page.get_by_role("button", name=f"Play {letter}") for letter in "AB"]
        for button in play:
            expect(button).to_be_visible(timeout=90_000)
        play[0].click()
        expect(page.get_by_role("button", name="Pause A")).to_be_visible()
        play[1].click()
        expect(page.get_by_role("button", name="Pause B")).to_be_visible()
        expect(play[0]).to_be_visible()  # it stopped
        page.get_by_role("button", name="Make B, seed 2").click()
        expect(page.locator("#results").get_by_role("button", name="Use seed 2")).to_be_visible()
        [job] = api.get("/api/jobs?kind=track").json()["jobs"]
        assert job["brief"]["seed"] == 2
