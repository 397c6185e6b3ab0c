"""The dashboard: the studio in a browser.

Pages are drawn here with Jinja2; everything that changes something goes through the JSON API, from
the page's own scripts. There is no build step and no inline script or style: the policy of a page
(`_pages.CSP`) allows nothing but our own files.

To add a page: a module with a `router` whose route calls `page(request, who, "name.html", …)`, a
template that extends `base.html` (block `main`), and one line in PAGES. What templates may use:

- `macros.html`: `head`, `icon`, `chip`, `tile`, `job`, `empty`, `figure`, `moment`, `clock`.
- `<button data-do="POST /api/…" data-body='{…}' data-confirm="…" data-done="refresh|/path|text">`
  asks the API; what goes wrong is told with its remedy.
- `<form data-do="POST /api/…" data-keep="name">` sends its fields as JSON (`data-type="number"`,
  `"list"`, `"bool"` or `"json"` on a field; empty ones are left out, or null with `data-null`; with
  `data-changed` so are those that are as the page was drawn).
  With `data-keep` what was typed outlives a lost connection and a closed tab. Ctrl+Enter sends it.
  With `data-match` it holds only for that version of what it changes (`If-Match`).
- `<section id="…" data-live="job track …">` is drawn anew when events of these kinds arrive.
- `<figure data-chart='{…}'>` is drawn at its real width by `charts.js` (macro `figure`).
- `{% set module = 'calendar' %}` loads `static/calendar.js`, with all that it imports, and calls
  its `open(main)`, which may give a function that is called when the page is left.
- `core.js` exports `api`, `say`, `refresh`, `go`, `clock`, `onLive`, `player` to page modules, and
  `values` and `point` (what is wrong, at its field) to those that send a form themselves.
"""

from __future__ import annotations

from fastapi import APIRouter

from lofi.web.dashboard import (
    _analytics,
    _calendar,
    _community,
    _create,
    _door,
    _library,
    _models,
    _overview,
    _pages,
    _settings,
    _track,
)
from lofi.web.dashboard._door import attempts
from lofi.web.dashboard._pages import NAVIGATION, refusal

router = APIRouter(include_in_schema=False)

PAGES = (
    _pages,
    _door,
    _overview,
    _create,
    _library,
    _track,
    _calendar,
    _community,
    _analytics,
    _models,
    _settings,
)
for _page in PAGES:
    router.include_router(_page.router)

__all__ = ["NAVIGATION", "attempts", "refusal", "router"]
