"""YouTube's API over HTTP: requests, what they are refused for, and what is tried again.

Two tables say it all: ROUTES, where a method is, and REASONS, what to make of an error. Sources:
the discovery documents of youtube v3 and youtubeAnalytics v2, and the "Errors" pages of the YouTube
Data API v3, as of November 2026.

What may pass is tried again, but never a request that may have been carried out already and would
be carried out twice (`Route.twice_is_once`): nobody wants the same comment two times.
"""

from __future__ import annotations

import json
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

from lofi.brief import InputError, LofiError
from lofi.channel._quota import COSTS, Ledger

if TYPE_CHECKING:
    import httpx

TRIES = 4  # of one request
PAUSES_S = (1.0, 4.0, 16.0)  # between them, each up to half as long again
_CONNECT_S, _ANSWER_S = 10.0, 60.0
_TOLD = 200  # characters of YouTube's own words in a message


# Errors ----------------------------------------------------------------------------------------


class YouTubeError(LofiError):
    """YouTube did not do it. `reason` is YouTube's own word, `status` that of HTTP (0: no answer).

    The classes below say what can be done; this one is never raised itself.
    """

    def __init__(self, message: str, *, reason: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.reason, self.status = reason, status


class TransientError(YouTubeError):
    """It may pass: the same again later. `sent` says whether the request may have been read."""

    def __init__(
        self, message: str, *, reason: str = "", status: int = 0, sent: bool = True
    ) -> None:
        super().__init__(message, reason=reason, status=status)
        self.sent = sent


class QuotaError(YouTubeError):
    """The day's quota is used up; it begins anew at midnight in Los Angeles."""


class UploadLimitError(YouTubeError):
    """The channel has uploaded too much lately. That is no quota: it passes after a day."""


class AuthError(YouTubeError):
    """A person must connect the account anew, or put something right in it."""


class RefusedError(YouTubeError, InputError):
    """What was asked cannot be done, and never will be as it was asked."""


class AmbiguousError(YouTubeError):
    """Nobody knows whether it was done: a person must look."""


@dataclass(frozen=True, slots=True)
class Reason:
    """What an error means (a class above), in words, and what to do about it."""

    kind: type[YouTubeError]
    told: str
    remedy: str


_LATER = "Nothing need be done: it is tried again by itself."
_CONNECT = "Run `lofi youtube connect` again."
_TOMORROW = "It goes on after midnight in Los Angeles. `lofi youtube status` shows what is left."
_REPORT = "This should not happen: report it with the words above."
_LOOK = "Look at https://studio.youtube.com with that account."

# By YouTube's word for it.
REASONS: dict[str, Reason] = {
    # What may pass.
    "backendError": Reason(TransientError, "YouTube had an error of its own", _LATER),
    "internalError": Reason(TransientError, "YouTube had an error of its own", _LATER),
    "serviceUnavailable": Reason(TransientError, "YouTube is busy", _LATER),
    "rateLimitExceeded": Reason(TransientError, "YouTube was asked too often", _LATER),
    "userRateLimitExceeded": Reason(TransientError, "YouTube was asked too often", _LATER),
    "processingFailure": Reason(TransientError, "YouTube could not process it now", _LATER),
    # Quota, and what looks like it.
    "quotaExceeded": Reason(QuotaError, "YouTube says that today's quota is used up", _TOMORROW),
    "dailyLimitExceeded": Reason(
        QuotaError, "YouTube says that today's quota is used up", _TOMORROW
    ),
    "uploadLimitExceeded": Reason(
        UploadLimitError,
        "the channel has uploaded too many videos lately, says YouTube",
        "This is a limit of the channel, not the quota: uploads go on by themselves in 24 hours. "
        "A channel that is verified by phone may upload more.",
    ),
    "uploadRateLimitExceeded": Reason(
        UploadLimitError,
        "the channel has set too many thumbnails lately, says YouTube",
        "It is tried again by itself in 24 hours.",
    ),
    # The account, and the project at Google.
    "authError": Reason(AuthError, "YouTube does not know the account's key any more", _CONNECT),
    "invalid_grant": Reason(
        AuthError,
        "Google has ended the connection to the account: it was withdrawn, or has expired",
        f"{_CONNECT} Should it end every seven days, the consent screen of your Google project is "
        "in Testing: publish it first (Google Cloud console, Audience), then connect.",
    ),
    "invalid_client": Reason(
        AuthError,
        "Google does not know the OAuth client any more",
        "Download its file anew from the Google Cloud console (Clients) and run `lofi youtube "
        "connect --client-secrets FILE`.",
    ),
    "youtubeSignupRequired": Reason(
        AuthError, "the Google account has no YouTube channel", "Make one at youtube.com."
    ),
    "insufficientPermissions": Reason(
        AuthError,
        "the account was connected without the permission that this needs",
        f"{_CONNECT} Tick every box that Google shows.",
    ),
    "accessNotConfigured": Reason(
        AuthError,
        "the API is switched off in your Google project",
        "Enable `YouTube Data API v3`, `YouTube Analytics API` and `YouTube Reporting API` in the "
        "Google Cloud console (APIs & Services, Library).",
    ),
    "accountTerminated": Reason(AuthError, "YouTube has closed the account", _LOOK),
    "channelClosed": Reason(AuthError, "the channel is closed", _LOOK),
    "channelSuspended": Reason(AuthError, "YouTube has suspended the channel", _LOOK),
    "ineligibleAccount": Reason(AuthError, "the account may not do this", _LOOK),
    # What was asked.
    "invalidTitle": Reason(
        RefusedError, "YouTube refuses the title", "1 to 100 characters, without < and >."
    ),
    "invalidDescription": Reason(
        RefusedError, "YouTube refuses the description", "At most 5,000 bytes, without < and >."
    ),
    "invalidTags": Reason(
        RefusedError,
        "YouTube refuses the tags",
        "At most 500 characters with their commas; a tag with a space counts two more.",
    ),
    "invalidCategoryId": Reason(
        RefusedError, "YouTube does not know the category", "That of music is 10."
    ),
    "invalidPublishAt": Reason(
        RefusedError,
        "YouTube refuses the moment of publication",
        "It must lie ahead, and the video be private until then.",
    ),
    "invalidVideoMetadata": Reason(
        RefusedError, "YouTube refuses the listing", "`lofi preflight` shows what is wrong with it."
    ),
    "invalidFilename": Reason(RefusedError, "YouTube refuses the file's name", _REPORT),
    "mediaBodyRequired": Reason(RefusedError, "YouTube got no video", _REPORT),
    "forbiddenPrivacySetting": Reason(
        RefusedError, "YouTube refuses this privacy for the video", "Choose another one."
    ),
    "forbiddenLicenseSetting": Reason(RefusedError, "YouTube refuses the video's licence", _REPORT),
    "invalidImage": Reason(
        RefusedError, "YouTube cannot read the thumbnail", "JPEG or PNG of at most 2 MB."
    ),
    "videoNotFound": Reason(
        RefusedError,
        "there is no such video",
        "It was deleted on YouTube, or is another account's.",
    ),
    "playlistNotFound": Reason(
        RefusedError, "there is no such playlist", "Correct youtube.playlist in the settings."
    ),
    "playlistForbidden": Reason(
        RefusedError, "the playlist is not the account's", "Correct youtube.playlist."
    ),
    "playlistContainsMaximumNumberOfVideos": Reason(
        RefusedError, "the playlist is full", "Choose another one: youtube.playlist."
    ),
    "channelNotFound": Reason(RefusedError, "there is no such channel", _CONNECT),
    "commentNotFound": Reason(
        RefusedError, "there is no such comment", "It was deleted: the next sync drops it."
    ),
    "commentThreadNotFound": Reason(
        RefusedError, "there is no such comment", "It was deleted: the next sync drops it."
    ),
    "commentsDisabled": Reason(
        RefusedError, "comments are switched off for the video", "Allow them in YouTube Studio."
    ),
    "commentTextRequired": Reason(RefusedError, "the comment is empty", "Write something."),
    "commentTextTooLong": Reason(
        RefusedError, "the comment is too long for YouTube", "Shorten it."
    ),
    "invalidCommentMetadata": Reason(
        RefusedError, "YouTube refuses the comment", "Shorten it, or leave out what is special."
    ),
    "operationNotSupported": Reason(
        RefusedError, "YouTube cannot do that with this comment", "Only replies to threads work."
    ),
    "banWithoutReject": Reason(
        RefusedError, "only who is rejected can be banned", "Reject the comment with it."
    ),
    "forbidden": Reason(
        RefusedError,
        "the account may not do that",
        "It may be another account's, or need a channel verified by phone (custom thumbnails do): "
        "youtube.com/verify.",
    ),
}

# By status, where the word is none of those above.
_STATUSES: dict[int, Reason] = {
    400: Reason(RefusedError, "YouTube cannot use the request", _REPORT),
    401: REASONS["authError"],
    403: REASONS["forbidden"],
    404: Reason(
        RefusedError, "YouTube has no such thing", "It was deleted, or is another account's."
    ),
    409: REASONS["backendError"],
    429: REASONS["rateLimitExceeded"],
}
_OTHER = Reason(RefusedError, "YouTube gave an answer that is none", _REPORT)


def error_of(status: int, content: bytes | str, *, doing: str = "") -> YouTubeError:
    """The error that an answer tells: of the class that says what can be done about it."""
    reason, words = _told(content)
    if status >= 500:
        rule = REASONS.get(reason, REASONS["backendError"])
    else:
        rule = REASONS.get(reason) or _STATUSES.get(status, _OTHER)
    note = f" (HTTP {status}" + (f", {reason}" if reason else "") + f"{doing and ', '}{doing})"
    # A known reason says more than YouTube's words for it; of others they are all there is.
    quote = f" YouTube's words: {words}." if words and reason not in REASONS else ""
    return rule.kind(f"{rule.told}{note}.{quote} {rule.remedy}", reason=reason, status=status)


def _told(content: bytes | str) -> tuple[str, str]:
    """Reason and message of an error: as the APIs tell them, or as OAuth does."""
    try:
        told = json.loads(content)
        error = told["error"]
        if isinstance(error, str):  # RFC 6749, 5.2
            return _word(error), _plain(told.get("error_description", ""))
        first = (error.get("errors") or [{}])[0]
        return _word(first.get("reason", "")), _plain(error.get("message", ""))
    except (ValueError, KeyError, TypeError, AttributeError, LookupError):
        return "", ""


def _word(text: object) -> str:
    return text if isinstance(text, str) and re.fullmatch(r"\w{1,60}", text) else ""


def _plain(text: object) -> str:
    """YouTube's words as one line without markup, and without what looks like a key."""
    flat = " ".join(re.sub(r"<[^>]*>|[^\x20-\x7e]", " ", str(text)).split())
    return redacted(flat)[:_TOLD].rstrip(". ")


_SECRET = re.compile(
    r"(Bearer\s+|(?:upload_id|access_token|refresh_token|client_secret|code)=)[^\s&\"']+"
    r"|\bya29\.[\w.-]+|\b1//[\w-]{20,}|\bGOCSPX-[\w-]+"
)


def redacted(text: str) -> str:
    """A text in which tokens, upload sessions and client secrets are replaced by `…`."""
    return _SECRET.sub(lambda m: f"{m[1] or ''}…", text)


# Requests --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Route:
    """Where a method is. `twice_is_once`: carried out twice it does no more than once."""

    verb: str
    path: str
    twice_is_once: bool = True


ROUTES: dict[str, Route] = {
    "youtube.channels.list": Route("GET", "youtube/v3/channels"),
    "youtube.commentThreads.insert": Route("POST", "youtube/v3/commentThreads", False),
    "youtube.commentThreads.list": Route("GET", "youtube/v3/commentThreads"),
    "youtube.comments.delete": Route("DELETE", "youtube/v3/comments"),
    "youtube.comments.insert": Route("POST", "youtube/v3/comments", False),
    "youtube.comments.list": Route("GET", "youtube/v3/comments"),
    "youtube.comments.setModerationStatus": Route(
        "POST", "youtube/v3/comments/setModerationStatus"
    ),
    "youtube.comments.update": Route("PUT", "youtube/v3/comments"),
    "youtube.playlistItems.insert": Route("POST", "youtube/v3/playlistItems", False),
    "youtube.playlistItems.list": Route("GET", "youtube/v3/playlistItems"),
    "youtube.playlists.list": Route("GET", "youtube/v3/playlists"),
    "youtube.search.list": Route("GET", "youtube/v3/search"),
    "youtube.thumbnails.set": Route("POST", "upload/youtube/v3/thumbnails/set"),
    "youtube.videos.batchGetStats": Route("GET", "youtube/v3/videos:batchGetStats"),
    # It opens a session; a video is made only of the bytes that are sent to one.
    "youtube.videos.insert": Route("POST", "upload/youtube/v3/videos"),
    "youtube.videos.list": Route("GET", "youtube/v3/videos"),
    "youtube.videos.update": Route("PUT", "youtube/v3/videos"),
    "youtubeAnalytics.reports.query": Route("GET", "v2/reports"),
    "youtubereporting.jobs.create": Route("POST", "v1/jobs", False),
    "youtubereporting.jobs.list": Route("GET", "v1/jobs"),
    "youtubereporting.jobs.reports.list": Route("GET", "v1/jobs/{jobId}/reports"),
    "youtubereporting.media.download": Route("GET", "v1/media/{+resourceName}"),
}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the APIs answer: Google, or for tests this machine."""

    data: str = "https://youtube.googleapis.com"
    analytics: str = "https://youtubeanalytics.googleapis.com"
    reporting: str = "https://youtubereporting.googleapis.com"

    @classmethod
    def at(cls, url: str) -> Endpoints:
        """All at one address of this machine. Raises InputError for any other: keys go there."""
        if not is_local(url):
            raise InputError(
                f"{url[:80]!r} is no address of this machine such as http://127.0.0.1:8080. The "
                "account's key is sent to Google, or for tests to this machine, and nowhere else."
            )
        return cls(*3 * (url.rstrip("/"),))

    def of(self, method: str) -> str:
        """Where the API of a method answers."""
        bases = {"youtubeAnalytics": self.analytics, "youtubereporting": self.reporting}
        return bases.get(method.partition(".")[0], self.data)

    def trusts(self, url: str) -> bool:
        """Whether a key may be sent to an address that YouTube gave: an upload session."""
        if is_local(self.data):
            return urlsplit(url).netloc == urlsplit(self.data).netloc
        return is_google(url)


def is_local(url: str) -> bool:
    """Whether an address is on this machine, by number: names can be made to point elsewhere."""
    parts = _split(url)
    return parts is not None and parts[0] == "http" and parts[1] in ("127.0.0.1", "::1")


def is_google(url: str) -> bool:
    """Whether an address is one of Google's APIs or of its log-in, and encrypted."""
    parts = _split(url)
    if parts is None or parts[0] != "https":
        return False
    return parts[1] == "accounts.google.com" or parts[1].endswith(".googleapis.com")


def _split(url: str) -> tuple[str, str] | None:
    """Scheme and host; None for what is no address, or names a user or an odd port."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or "@" in parts.netloc or (parts.scheme == "https" and port):
        return None
    return parts.scheme, parts.hostname


@dataclass(frozen=True, slots=True)
class Media:
    """Bytes that go with a request."""

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is sent, but for the account's key, which is added last of all."""

    verb: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | Iterable[bytes] | None = field(default=None, repr=False)

    def shown(self) -> dict[str, Any]:
        """The same for people to read."""
        body: Any = None
        if isinstance(self.content, bytes):
            is_json = self.headers.get("Content-Type", "").startswith("application/json")
            body = json.loads(self.content) if is_json else f"{len(self.content):,} bytes"
        headers = {"Authorization": "Bearer …", **self.headers}
        return {"method": self.verb, "url": redacted(self.url), "headers": headers, "body": body}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no error."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> dict[str, Any]:
        """Its body. Raises TransientError for one that is none: something between us cut in."""
        if not self.content.strip():
            return {}
        try:
            told = json.loads(self.content)
        except ValueError as error:
            raise TransientError(
                f"YouTube's answer cannot be read (HTTP {self.status}). {_LATER}",
                status=self.status,
            ) from error
        return told if isinstance(told, dict) else {"items": told}


def build(
    method: str,
    *,
    params: Mapping[str, Any] | None = None,
    body: Any | None = None,
    media: Media | None = None,
    endpoints: Endpoints = Endpoints(),
) -> Request:
    """The request of a method of the discovery documents, such as `youtube.videos.list`.

    Several values of a parameter are given as a list. Raises InputError for an unknown method.
    """
    route = ROUTES.get(method)
    if route is None:
        raise InputError(f"there is no method {method!r}. There are {', '.join(ROUTES)}.")
    given = {name: _value(v) for name, v in (params or {}).items() if v is not None}
    path = re.sub(r"\{(\w+)\}", lambda m: quote(given.pop(m[1]), safe=""), route.path)
    query = urlencode(given)
    url = f"{endpoints.of(method)}/{path}" + (f"?{query}" if query else "")
    if media is not None:
        return Request(route.verb, url, {"Content-Type": media.media_type}, media.data)
    if body is not None:
        content = json.dumps(body, ensure_ascii=False).encode()
        return Request(
            route.verb, url, {"Content-Type": "application/json; charset=UTF-8"}, content
        )
    return Request(route.verb, url)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(map(_value, value))
    return str(value)


class Api(Protocol):
    """YouTube of a connected account, as the rest of the house uses it."""

    def call(
        self,
        method: str,
        *,
        params: Mapping[str, Any] = {},
        body: Any | None = None,
        media: Media | None = None,
    ) -> dict[str, Any]:
        """What a method answers; {} where it answers nothing.

        `method` is the name in Google's discovery documents. Quota is reserved before anything is
        sent: QuotaError where it does not suffice. Other errors: see YouTubeError.
        """
        ...

    def download(self, method: str, url: str) -> bytes:
        """The file at an address that YouTube gave, with the cost of a method."""
        ...


class YouTube:
    """An `Api` over HTTP. Threads may share it; close it when it is no longer needed.

    `authorise(fresh)` gives the account's access token, a new one if `fresh`: it raises AuthError.
    """

    def __init__(
        self,
        authorise: Callable[[bool], str],
        ledger: Ledger,
        *,
        endpoints: Endpoints | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.endpoints = endpoints or Endpoints()
        self._authorise = authorise
        self._ledger = ledger
        self.sleep = sleep
        self._client: httpx.Client | None = None
        self._opening = threading.Lock()

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def call(
        self,
        method: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any | None = None,
        media: Media | None = None,
    ) -> dict[str, Any]:
        """See Api."""
        request = build(method, params=params, body=body, media=media, endpoints=self.endpoints)
        return self.ask(method, request).json()

    def download(self, method: str, url: str) -> bytes:
        """See Api. Raises InputError for an address that the key may not be sent to."""
        return self.ask(method, Request(ROUTES[method].verb, url)).content

    def ask(self, method: str, request: Request) -> Answer:
        """Send the request of a method, with its cost and its tries."""
        twice_is_once = ROUTES[method].twice_is_once
        pauses = iter(PAUSES_S)
        while True:
            self._ledger.reserve(*COSTS[method])
            try:
                return self.send(request)
            except QuotaError:
                self._ledger.exhaust(COSTS[method][0])
                raise
            except TransientError as error:
                refused = error.status == 429 or error.reason.endswith("ateLimitExceeded")
                if error.sent and not refused and not twice_is_once:
                    raise AmbiguousError(
                        f"nobody knows whether YouTube did it: {_lowered(str(error))} Look at "
                        "YouTube before you try it again.",
                        reason=error.reason,
                        status=error.status,
                    ) from error
                pause_s = next(pauses, None)
                if pause_s is None:
                    raise
                self.sleep(pause_s * random.uniform(1.0, 1.5))

    def renew(self) -> None:
        """Have a fresh key, where YouTube did not know the last one. Raises AuthError."""
        self._authorise(True)

    def send(self, request: Request) -> Answer:
        """Send a request once; with a fresh key again, should YouTube not know the first.

        Answers below 400 come back, 308 among them; others are raised as errors of YouTube. Raises
        TransientError where no answer came.
        """
        answer = self._exchange(request, fresh=False)
        replayable = request.content is None or isinstance(request.content, bytes)
        if answer.status == 401 and replayable:
            answer = self._exchange(request, fresh=True)
        if answer.status >= 400:
            doing = f"{request.verb} {urlsplit(request.url).path.rpartition('/')[2]}"
            raise error_of(answer.status, answer.content, doing=doing)
        return answer

    def _exchange(self, request: Request, *, fresh: bool) -> Answer:
        import httpx

        if not self.endpoints.trusts(request.url):
            raise InputError("the account's key is sent to Google alone, and this is elsewhere.")
        with self._opening:
            if self._client is None:
                self._client = http_client(self.endpoints)
        headers = {**request.headers, "Authorization": f"Bearer {self._authorise(fresh)}"}
        try:
            got = self._client.request(
                request.verb, request.url, headers=headers, content=request.content
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise TransientError(
                f"YouTube cannot be reached ({type(error).__name__}). Check the network of this "
                "machine; it is tried again by itself.",
                sent=False,
            ) from error
        except httpx.TransportError as error:
            raise TransientError(
                f"the connection to YouTube broke ({type(error).__name__}). {_LATER}"
            ) from error
        return Answer(got.status_code, got.headers, got.content)


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def http_client(endpoints: Endpoints) -> httpx.Client:
    """A client for those endpoints: no redirects, bounded waits, no proxy to this machine."""
    import httpx

    # They would log addresses, and that of an upload session is a key to it.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)

    local = is_local(endpoints.data)
    return httpx.Client(
        timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
        follow_redirects=False,
        trust_env=not local,
        verify=not local,  # this machine answers without TLS
        headers={"User-Agent": "lofi-empire"},
    )


def pages(
    api: Api, method: str, params: Mapping[str, Any], *, most: int = 1000
) -> Iterator[dict[str, Any]]:
    """The items of all pages of a list, at most so many; each page costs as one request."""
    token, given = None, 0
    while given < most:
        page = api.call(method, params={**params, "pageToken": token})
        for item in page.get("items", []):
            yield item
            given += 1
            if given >= most:
                return
        token = page.get("nextPageToken")
        if not token:
            return
