"""A listing worded anew by a language model behind an OpenAI-compatible endpoint.

Asked for is the title and the description's first paragraph, nothing else: chapters, who made it,
tags and flags stay ours. What comes back is taken only if it keeps the rules of every listing;
otherwise it is refused and the reason told. The protocol is `POST /chat/completions` of the OpenAI
API, which Ollama, llama.cpp, vLLM and LM Studio speak as well.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from lofi.brief import InputError, LofiError
from lofi.channel._listing import TITLE_MAX_CHARACTERS
from lofi.channel._preflight import check_listing

_MAX_ANSWER_BYTES = 200_000
_OPENING_MAX_CHARACTERS = 600
_LINK = re.compile(r"https?:|www\.|\b[\w-]+\.(?:com|net|org|io|ly|gg|me|tv)\b|@\w", re.IGNORECASE)
_NEAR = ("localhost", "127.0.0.1", "::1")

_TASK = (
    "You word listings of a music channel. Reword the title and the opening sentence of a lo-fi "
    "track. Say nothing that is not in what you are given: no other instruments, places, people or "
    "claims about how it was made. No links, no hashtags, no < or >. Keep the name {name!r} in the "
    f"title. The title has at most {TITLE_MAX_CHARACTERS} characters, the opening at most "
    f"{_OPENING_MAX_CHARACTERS}, in one paragraph. Write in the language they are in. Answer with "
    'JSON alone: {{"title": "…", "opening": "…"}}'
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a language model answers. `url` is its base, such as http://127.0.0.1:11434/v1."""

    url: str
    model: str
    key: str = field(default="", repr=False)
    within_s: float = 60.0


def rewrite(listing: Mapping[str, Any], name: str, endpoint: Endpoint) -> dict[str, Any]:
    """The listing (as `Listing.to_dict`) with another title and opening. `name` is the track's.

    Localizations stay as they are. Raises InputError for an address that cannot be used, LofiError
    if the endpoint does not answer in time or what it says cannot go out; the key is in no message.
    """
    url = _address(endpoint)
    snippet = listing["snippet"]
    opening, _, rest = snippet["description"].partition("\n")
    told = {"title": snippet["title"], "opening": opening}
    words = _read(
        _ask(url, endpoint, _TASK.format(name=name), json.dumps(told, ensure_ascii=False))
    )
    title, said = (" ".join(words[part].split()) for part in ("title", "opening"))
    made = {
        **listing,
        "snippet": {**snippet, "title": title, "description": f"{said}\n{rest}".strip()},
    }
    reasons = check_listing(made)
    if name.casefold() not in title.casefold():
        reasons.append(f"the title does not name {name!r}, as the thumbnail does")
    if len(said) > _OPENING_MAX_CHARACTERS:
        reasons.append(f"the opening is longer than {_OPENING_MAX_CHARACTERS} characters")
    if not said:
        reasons.append("the opening is empty")
    if "#" in title + said:
        reasons.append("it holds a hashtag")
    if _LINK.search(f"{title} {said}"):
        reasons.append("it holds a link or an address")
    if reasons:
        raise LofiError(
            f"the endpoint's wording was refused: {'; '.join(reasons)}. The listing stays as it "
            "is; ask again, or write it yourself."
        )
    return made


def _address(endpoint: Endpoint) -> str:
    """The address that is asked. Raises InputError for one that would not keep a key."""
    try:
        parts = urlsplit(endpoint.url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise InputError(f"listing.rewrite_url cannot be read as an address: {error}.") from error
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise InputError(
            "listing.rewrite_url must be an address such as https://api.example.com/v1."
        )
    if parts.username or parts.password:
        raise InputError("listing.rewrite_url holds a password. Put a key into LOFI_REWRITE_KEY.")
    if endpoint.key and parts.scheme == "http" and host not in _NEAR:
        raise InputError(
            f"the key would go to {host} unencrypted. Use https, or leave LOFI_REWRITE_KEY empty."
        )
    return endpoint.url.rstrip("/") + "/chat/completions"


def _ask(url: str, endpoint: Endpoint, task: str, given: str) -> bytes:
    """What the endpoint answers, whole, within its time and a bound on its size."""
    import httpx

    body = {
        "model": endpoint.model,
        "messages": [{"role": "system", "content": task}, {"role": "user", "content": given}],
        "temperature": 0.9,
        "max_tokens": 600,
        "stream": False,
    }
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    host = urlsplit(url).netloc
    deadline = time.monotonic() + endpoint.within_s
    try:
        with (
            # No proxies and no .netrc: what is sent goes where it was told to, and nowhere else.
            httpx.Client(
                timeout=endpoint.within_s, follow_redirects=False, trust_env=False
            ) as http,
            http.stream("POST", url, json=body, headers=headers) as answer,
        ):
            if answer.status_code != 200:
                raise LofiError(
                    f"the endpoint {host} answers with status {answer.status_code}. "
                    f"{_remedy(answer.status_code)}"
                )
            data = bytearray()
            for piece in answer.iter_bytes():
                data += piece
                if len(data) > _MAX_ANSWER_BYTES:
                    raise LofiError(
                        f"the endpoint {host} answers with more than {_MAX_ANSWER_BYTES:,} bytes. "
                        "Check listing.rewrite_url."
                    )
                if time.monotonic() > deadline:  # httpx bounds each wait, not all of them
                    raise httpx.ReadTimeout("too slow")
            return bytes(data)
    except httpx.TimeoutException as error:
        raise LofiError(
            f"the endpoint {host} did not answer within {endpoint.within_s:g} s. Try again, take a "
            "smaller model, or raise listing.rewrite_within_s."
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise LofiError(
            f"the endpoint {host} cannot be reached ({type(error).__name__}). Check that it runs "
            "and listing.rewrite_url."
        ) from error


def _remedy(status: int) -> str:
    if status in (401, 403):
        return "Check LOFI_REWRITE_KEY."
    if status == 404:
        return "Check listing.rewrite_url and listing.rewrite_model."
    if status == 429:
        return "It has had too many requests, or the account is used up: wait, or look there."
    if 300 <= status < 400:
        return "It points elsewhere; give listing.rewrite_url as it is."
    return "Try again later." if status >= 500 else "Check listing.rewrite_model."


def _read(answer: bytes) -> dict[str, str]:
    """Title and opening of an answer. Raises LofiError if they are not in it."""
    try:
        content = json.loads(answer)["choices"][0]["message"]["content"]
        # Models like to wrap what they were asked to give alone.
        words = json.loads(content[content.index("{") : content.rindex("}") + 1])
        found = {part: words[part] for part in ("title", "opening")}
        if not all(isinstance(text, str) for text in found.values()):
            raise TypeError("no texts")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise LofiError(
            "the endpoint's wording was refused: it is no JSON with title and opening. The listing "
            "stays as it is; ask again, or take another model."
        ) from error
    return found
