"""How soon a page of the dashboard can be used, cold, and what it weighs.

python benchmarks/dashboard.py            # prints a table
python benchmarks/dashboard.py --write    # and writes it into benchmarks/README.md

Each page is opened in a new profile of Chromium that has nothing in its cache, on a studio with
1,000 tracks. Ready: the document is parsed, its first paint has come, and its scripts have run,
those of the page itself with them.
"""

from __future__ import annotations

import shutil
import statistics
import sys

import api as crowd
from package import machine, write_between_marks
from playwright.sync_api import sync_playwright
from service import folder, order, serving, wait

ROUNDS = 5
_READY = """async () => {
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    const entries = [...performance.getEntriesByType('navigation'),
                     ...performance.getEntriesByType('resource')];
    const own = entries.filter(e => !/\\/files\\/|\\/cover|\\/pieces/.test(e.name));
    const paint = performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0;
    const opened = performance.getEntriesByName('opened')[0].startTime;
    return [Math.max(paint, opened, entries[0].domContentLoadedEventEnd),
            own.reduce((sum, e) => sum + e.transferSize, 0)];
}"""


def main() -> None:
    from lofi.web.dashboard import NAVIGATION

    crowd.TRACKS = 1_000
    rows = []
    with folder() as where:
        with serving(where) as (client, _):
            [made] = wait(client, order(client, mood="chill", duration=60, seed=1, stems=True))
        crowd.fill(made["track_id"])
        with serving(where) as (client, _), sync_playwright() as playwright:
            client.post("/setup", data={"later": "true"})
            address = str(client.base_url).rstrip("/")
            program = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(
                executable_path=program,
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
            pages = [(name, path) for name, path, _, _ in NAVIGATION]
            for name, path in [*pages, ("A track", f"/tracks/{made['track_id']}")]:
                ready_ms, weights = [], []
                for _ in range(ROUNDS):
                    context = browser.new_context(viewport={"width": 1280, "height": 900})
                    page = context.new_page()
                    page.goto(address + path, wait_until="networkidle")
                    ready, weight = page.evaluate(_READY)
                    ready_ms.append(ready)
                    weights.append(weight)
                    context.close()
                rows.append((name, statistics.median(ready_ms), max(ready_ms), max(weights) / 1000))
            browser.close()
    table = [
        f"Machine: {machine()}. 1,000 tracks; {ROUNDS} times each, nothing cached.",
        "",
        "| page | ready, median | slowest | transferred |",
        "|---|---|---|---|",
        *(f"| {n} | {m:.0f} ms | {s:.0f} ms | {kb:.0f} kB |" for n, m, s, kb in rows),
        "| goal | ≤ 1,000 ms | | ≤ 100 kB |",
    ]
    print("\n".join(table))
    if "--write" in sys.argv:
        write_between_marks("dashboard", "\n".join([*table, ""]))


if __name__ == "__main__":
    main()
