"""Connecting YouTube in the browser: it goes to Google's page of consent and comes back to ours.

Google lets an OAuth client of type Desktop app come back to any port and path of the machine that
the browser is on (RFC 8252), and to nothing else. What is held against the answer (the state, the
PKCE verifier, the client's secret) stays in memory here, for one consent at a time; a cookie ties
it to the browser that asked, so that no other can be made to bring an answer of somebody else.
"""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request, Response

from lofi.studio import Studio, access, accounts
from lofi.web._problems import ProblemError
from lofi.web._who import host_name

PATH = "/settings/youtube/return"
_COOKIE = "lofi_consent"
_NOT_HERE = (
    "Google leads back to a browser of this machine only. Open the settings at http://127.0.0.1 "
    "and the studio's port; from elsewhere forward it first: ssh -L 8000:127.0.0.1:8000 HOST."
)


@dataclass(frozen=True, slots=True)
class Pending:
    """A consent that was asked for, by one browser."""

    asked: accounts.Asked
    browser: str = field(repr=False)
    until: float


def is_possible(request: Request) -> bool:
    """Whether the browser can come back: it asks an address of its own machine, without TLS."""
    forwarded = request.headers.get("x-forwarded-proto", "")
    return "https" not in (request.url.scheme, forwarded) and access.is_loopback(
        host_name(request.headers.get("host", ""))
    )


def begin(request: Request, response: Response, client_text: str | None) -> str:
    """The page of a new consent, in the place of any other; its cookie goes with `response`.

    Raises ProblemError where the browser could not come back, InputError for what is no client.
    """
    if not is_possible(request):
        raise ProblemError("conflict", "a consent could not come back here.", _NOT_HERE)
    studio: Studio = request.app.state.studio
    back = f"http://{request.headers['host']}{PATH}"
    asked = accounts.ask_consent(studio, client_text, back)
    browser = secrets.token_urlsafe(32)
    request.app.state.consent = Pending(asked, browser, time.monotonic() + accounts.PATIENCE_S)
    response.set_cookie(
        _COOKIE, browser, max_age=int(accounts.PATIENCE_S), path=PATH, httponly=True, samesite="lax"
    )
    return asked.url


def end(request: Request, actor: str) -> dict[str, Any]:
    """Connect the account, now that the browser has come back; gives it as `accounts.account` does.

    Raises ProblemError where this browser asked for none, LofiError as `accounts.take_consent`.
    """
    pending: Pending | None = request.app.state.consent
    shown = request.cookies.get(_COOKIE, "")
    if (
        pending is None
        or time.monotonic() > pending.until
        or not hmac.compare_digest(shown.encode(), pending.browser.encode())
    ):
        raise ProblemError(
            "conflict",
            "this browser has not asked to connect an account, or did so too long ago.",
            "Begin again in the settings.",
        )
    request.app.state.consent = None  # a code is good for one trial
    studio: Studio = request.app.state.studio
    return accounts.take_consent(studio, pending.asked, request.url.query, actor=actor)
