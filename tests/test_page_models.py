"""The pages about models, in a real browser."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from api import Api
from browser import OpenPage, no_violations, transferred
from playwright.sync_api import expect

HOSTILE = "<script>alert(1)</script>\u202e" + "W" * 120


@pytest.fixture
def house(api: Api, untrained: Path) -> Api:
    """A server with a model beside the shipped one, and a run that was stopped."""
    api.client.post("/setup", data={"later": "true"})
    models = api.studio.base.paths.model.parent
    shutil.copytree(untrained, models / "mine")
    card = json.loads((models / "mine" / "lofi.json").read_text())
    card["dataset"]["corpora"] = {HOSTILE: {"licence": HOSTILE, "attribution": HOSTILE}}
    (models / "mine" / "lofi.json").write_text(json.dumps(card))
    (models / "broken").mkdir()
    (models / "broken" / "lofi.json").write_text("[]")
    write_run(models / "run")
    return api


def write_run(folder: Path, steps: int = 400) -> None:
    (folder / "samples").mkdir(parents=True)
    (folder / "checkpoint-400").mkdir()
    (folder / "checkpoint-400" / "trainer_state.json").write_text('{"log_history": []}')
    (folder / "samples" / "step-00400.mid").write_bytes(b"MThd")
    (folder / "training.log").write_text(f"==== started\n{HOSTILE}\n")
    (folder / "training.json").write_text(json.dumps({"base": "shipped", "by": HOSTILE}))
    log(folder, steps)


def log(folder: Path, steps: int) -> None:
    lines = [
        {"step": s, "of": 900, "at": float(s), "loss": 5 - s / 200}
        for s in range(10, steps + 1, 10)
    ]
    last = {"step": steps, "of": 900, "at": float(steps), "eval_loss": 3.21}
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, [*lines, last])))


@pytest.mark.parametrize(
    "path",
    ["/models", "/models/training?run=run", "/models/compare?model=shipped&model=mine"],
)  # fmt: skip
def test_it_is_light_accessible_and_fits_a_phone(house: Api, open_page: OpenPage, path: str):
    page = open_page(house.url + path, theme="light", width=360)
    page.wait_for_load_state("networkidle")
    assert transferred(page) <= 100_000
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    no_violations(page)
    dark = open_page(house.url + path, theme="dark")
    dark.wait_for_load_state("networkidle")
    no_violations(dark)


def test_a_run_is_followed_without_a_reload(house: Api, open_page: OpenPage):
    page = open_page(f"{house.url}/models/training")
    shown = page.locator("#run")
    expect(shown).to_contain_text("400 of 900")
    expect(shown.locator("svg.chart path.line")).to_have_count(2)
    log(house.studio.base.paths.model.parent / "run", 500)
    # What the page does by itself every few seconds.
    page.evaluate("import(document.querySelector('script[type=module]').src)"
                  ".then(core => core.refresh(new Set(['training'])))")  # fmt: skip
    expect(shown).to_contain_text("500 of 900")
    expect(shown).to_contain_text("best 3.210 at step 500")


def test_what_cannot_be_started_says_why(house: Api, open_page: OpenPage):
    page = open_page(f"{house.url}/models/training")
    expect(page.get_by_text("There is no data set")).to_be_visible()
    expect(page.get_by_role("button", name="Start")).to_have_count(0)


def test_models_are_chosen_and_compared_by_keyboard(house: Api, open_page: OpenPage):
    page = open_page(f"{house.url}/models")
    page.wait_for_load_state("networkidle")
    page.get_by_role("checkbox").nth(0).press("Space")
    page.get_by_role("checkbox").nth(1).press("Space")
    page.get_by_role("button", name="Compare those ticked").press("Enter")
    expect(page.get_by_role("heading", name="All figures")).to_be_visible()
    expect(page.get_by_text("not measured").first).to_be_visible()
