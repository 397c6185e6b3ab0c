"""Log-in at Google: consent in the browser, new access tokens, and the end of a connection.

The consent comes back to a port of this machine (RFC 8252), guarded by PKCE (RFC 7636) and a state
of its own; `google-auth-oauthlib` does that part. `consent` waits for it at a port of its own;
`ask` and `answered` are for who is called back otherwise. All requests to Google are made here, so
that their errors are told as those of YouTube are.
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lofi.brief import InputError, LofiError
from lofi.channel._youtube import (
    AuthError,
    Endpoints,
    TransientError,
    error_of,
    http_client,
    is_google,
    is_local,
)

# Uploads, comments, thumbnails and playlists of the account; and figures, to read only.
MANAGE = "https://www.googleapis.com/auth/youtube.force-ssl"
FIGURES = "https://www.googleapis.com/auth/yt-analytics.readonly"
SCOPES = (MANAGE, FIGURES)
PATIENCE_S = 600.0  # for the person at the browser
_PROMPT = "consent"  # else a second connection would bring no refresh token
_REVOKE = "https://oauth2.googleapis.com/revoke"
_AGAIN = "connect again, in the settings or with `lofi youtube connect`"
_WHERE = (
    "Make one in the Google Cloud console (Clients, Create client, type `Desktop app`), download "
    "its JSON file and give that."
)


@dataclass(frozen=True, slots=True)
class Client:
    """The OAuth client: what Google knows the user's own project by."""

    client_id: str
    client_secret: str = field(repr=False)
    auth_uri: str = "https://accounts.google.com/o/oauth2/auth"
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105

    def to_json(self) -> dict[str, str]:
        """As plain values; they hold a secret."""
        return {
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "auth_uri": self.auth_uri,
            "token_uri": self.token_uri,
        }


@dataclass(frozen=True, slots=True)
class Tokens:
    """What Google gave: an access token for an hour, and perhaps one to have new ones with.

    `refresh_until`: when the latter ends; None where Google does not say.
    """

    access_token: str = field(repr=False)
    access_until: datetime
    scopes: tuple[str, ...]
    refresh_token: str | None = field(default=None, repr=False)
    refresh_until: datetime | None = None


def read_client(text: str, endpoints: Endpoints) -> Client:
    """The client of a downloaded JSON file. Raises InputError for what is none, with the remedy.

    A file that names other servers than Google's is refused: the password would be typed there.
    """
    try:
        told = json.loads(text)
    except ValueError as error:
        raise InputError(f"this is no client file: it is not JSON. {_WHERE}") from error
    if isinstance(told, dict) and "web" in told:
        raise InputError(
            f"this client is of type `Web application`, which cannot be used. {_WHERE}"
        )
    inner = told.get("installed") if isinstance(told, dict) else None
    if not isinstance(inner, dict):
        raise InputError(f"this is no file of an OAuth client: it has no `installed`. {_WHERE}")
    values = {}
    for name in ("client_id", "client_secret", "auth_uri", "token_uri"):
        value = inner.get(name)
        if not isinstance(value, str) or not value or not value.isprintable():
            raise InputError(f"this client file has no {name}. {_WHERE}")
        values[name] = value
    client = Client(**values)
    for name in ("auth_uri", "token_uri"):
        url = values[name]
        if not (is_google(url) or (is_local(url) and is_local(endpoints.data))):
            raise InputError(
                f"{name} of this client file is {url[:80]!r}, which is not Google's. Download the "
                "file anew; do not use one that somebody sent you."
            )
    return client


@dataclass(frozen=True, slots=True)
class Asked:
    """A consent that is asked for: the page where it is given, and what its answer is held against.

    `redirect_uri` is where the browser comes back to: an address of this machine.
    """

    client: Client
    url: str
    redirect_uri: str
    state: str = field(repr=False)
    verifier: str = field(repr=False)


def ask(client: Client, redirect_uri: str) -> Asked:
    """Begin a consent. Asks nobody: a browser goes to `url`, and comes back with an answer."""
    from google_auth_oauthlib.flow import Flow

    flow = Flow.from_client_config({"installed": client.to_json()}, SCOPES)
    flow.redirect_uri = redirect_uri
    url, state = flow.authorization_url(prompt=_PROMPT)
    return Asked(client, url, redirect_uri, state, flow.code_verifier or "")


def answered(
    asked: Asked, query: str, endpoints: Endpoints, *, now: Callable[[], datetime]
) -> Tokens:
    """The tokens of a consent, by the query with which the browser came back.

    Raises LofiError where it was refused or answers something else, and AuthError where what was
    allowed does not suffice.
    """
    form = {
        "grant_type": "authorization_code",
        "code": _code(parse_qs(query), asked.state),
        "redirect_uri": asked.redirect_uri,
        "code_verifier": asked.verifier,
    }
    tokens = _tokens(asked.client, endpoints, form, now)
    if MANAGE not in tokens.scopes:
        raise AuthError(
            "the permission to manage the YouTube account was not given: tick every box that "
            f"Google shows. To do so, {_AGAIN}."
        )
    if tokens.refresh_token is None:
        raise AuthError(
            "Google gave no lasting key. Remove LoFi Empire's access at "
            f"https://myaccount.google.com/connections; then {_AGAIN}."
        )
    return tokens


def consent(
    client: Client,
    endpoints: Endpoints,
    *,
    show: Callable[[str], None],
    open_browser: bool,
    now: Callable[[], datetime],
    port: int = 0,
    patience_s: float = PATIENCE_S,
) -> Tokens:
    """Have a person consent in their browser; `show` gets the address of the page.

    `port` of this machine is where the consent comes back to; any free one if 0.

    Raises LofiError where they do not, and AuthError where what they allow does not suffice.
    """
    from google_auth_oauthlib.flow import InstalledAppFlow, WSGITimeoutError

    logging.getLogger("google_auth_oauthlib").setLevel(logging.WARNING)  # else it logs the code
    got: list[Tokens] = []

    class Flow(InstalledAppFlow):
        state = ""

        def authorization_url(self, **more: Any) -> tuple[str, str]:
            url, self.state = super().authorization_url(**more)
            show(url)
            return url, self.state

        def fetch_token(self, **more: Any) -> Mapping[str, Any]:
            asked = Asked(client, "", self.redirect_uri, self.state, self.code_verifier or "")
            query = urlsplit(more["authorization_response"]).query
            got.append(answered(asked, query, endpoints, now=now))
            raise _DoneError  # what would follow makes objects that nobody needs here

    flow = Flow.from_client_config({"installed": client.to_json()}, SCOPES)
    try:
        flow.run_local_server(
            host="127.0.0.1",
            port=port,
            authorization_prompt_message="",
            success_message="LoFi Empire is connected, or says in its window why it is not. You "
            "can close this one.",
            open_browser=open_browser,
            timeout_seconds=patience_s,
            prompt=_PROMPT,
        )
    except _DoneError:
        pass
    except WSGITimeoutError as error:
        raise LofiError(
            f"nobody consented within {patience_s / 60:.0f} minutes. Run it again and open the "
            "address in a browser of this machine, to which the consent comes back. From another "
            "one, forward a port first (ssh -L 8085:127.0.0.1:8085) and add --port 8085."
        ) from error
    return got[0]


class _DoneError(Exception):
    """The consent has been turned into tokens."""


def _code(answer: Mapping[str, list[str]], state: str) -> str:
    """The code of a consent. Raises LofiError unless it answers what we asked."""
    if not hmac.compare_digest(answer.get("state", [""])[0], state):
        raise LofiError(f"the consent was not for this request. To have one, {_AGAIN}.")
    if "error" in answer:
        told = answer["error"][0]
        raise LofiError(
            f"the consent was refused in the browser. To give it, {_AGAIN}."
            if told == "access_denied"
            else f"Google refused ({told[:60]!r}). Check the OAuth client, then {_AGAIN}."
        )
    return answer.get("code", [""])[0]


def refresh(
    client: Client, refresh_token: str, endpoints: Endpoints, *, now: Callable[[], datetime]
) -> Tokens:
    """A new access token. Raises AuthError if the connection has ended, else TransientError."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return _tokens(client, endpoints, form, now)


def revoke(refresh_token: str, client: Client, endpoints: Endpoints) -> bool:
    """End the connection at Google; whether Google says that it ended it now."""
    local = is_local(endpoints.data)
    url = client.token_uri.replace("/token", "/revoke") if local else _REVOKE
    return _post(url, {"token": refresh_token}, endpoints)[0] == 200


def _tokens(
    client: Client, endpoints: Endpoints, form: dict[str, str], now: Callable[[], datetime]
) -> Tokens:
    asked_at = now()
    secret = {"client_id": client.client_id, "client_secret": client.client_secret}
    status, content = _post(client.token_uri, form | secret, endpoints)
    if status != 200:
        raise error_of(status, content, doing="log-in")
    try:
        told = json.loads(content)
        ends_in_s = told.get("refresh_token_expires_in")
        return Tokens(
            told["access_token"],
            asked_at + timedelta(seconds=float(told.get("expires_in", 3600))),
            tuple(told.get("scope", "").split()),
            told.get("refresh_token"),
            asked_at + timedelta(seconds=float(ends_in_s)) if ends_in_s else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TransientError(
            "Google's answer to the log-in cannot be read. Try it again later."
        ) from error


def _post(url: str, form: Mapping[str, str], endpoints: Endpoints) -> tuple[int, bytes]:
    import httpx

    try:
        with http_client(endpoints) as client:
            answer = client.post(url, data=dict(form))
    except httpx.TransportError as error:
        raise TransientError(
            f"Google cannot be reached ({type(error).__name__}). Check the network of this machine."
        ) from error
    return answer.status_code, answer.content
