"""A YouTube on this machine, for tests: a real HTTP server that is as strict as the real one.

Every request is checked against the discovery documents that google-api-python-client brings along
(path, verb, parameters, enums, body, permission), and so is every answer. What those do not say is
from "YouTube Data API v3" and its "Resumable Uploads". Videos, thumbnails, playlists, upload
sessions and quota are kept in memory.

    fake = FakeYouTube()                                # or the fixture `fake_youtube`
    fake.grant()                                        # an access token
    fake.next("youtube.videos.list", Fault(status=503)) # what the next such request meets with
    fake.seen("youtube.videos.list")                    # what was asked

    connected(studio, fake)                             # the studio's account is this channel

Other modules add methods: `@answers("youtube.commentThreads.list")` before a function of the fake
and a `Call`, which returns the body of the answer or raises `Refused`.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import secrets
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit
from zoneinfo import ZoneInfo

import pytest

if TYPE_CHECKING:
    from lofi.studio import Studio

PIECE = 256 * 1024
FORCE_SSL = "https://www.googleapis.com/auth/youtube.force-ssl"
ANALYTICS = "https://www.googleapis.com/auth/yt-analytics.readonly"
CLIENT_ID = "1234567890-abc.apps.googleusercontent.com"
CLIENT_SECRET = "GOCSPX-this-is-the-client-secret"

# What a request costs and where it is counted, as FACTS has it; lists cost 1 unit, writes 50.
BUCKETS = {
    "youtube.videos.insert": ("uploads", 1),
    "youtube.search.list": ("searches", 1),
    "youtube.videos.batchGetStats": ("statistics", 1),
    "youtubeAnalytics.reports.query": ("reports", 1),
    **dict.fromkeys(
        (
            f"youtubereporting.{m}"
            for m in ("jobs.list", "jobs.create", "jobs.reports.list", "media.download")
        ),
        ("reports", 1),
    ),
}
PER_DAY = {"units": 10_000, "uploads": 100, "searches": 100, "statistics": 10_000}


# ------------------------------------------------------------------- the discovery documents


@dataclass(frozen=True)
class Method:
    """A method of the documents."""

    id: str
    verb: str
    path: str
    params: dict[str, dict[str, Any]]
    request: dict[str, Any] | None
    response: dict[str, Any] | None
    scopes: tuple[str, ...]
    media: dict[str, Any] | None
    schemas: dict[str, Any] = field(repr=False)


@functools.cache
def methods() -> dict[str, Method]:
    """All methods of youtube v3, youtubeAnalytics v2 and youtubereporting v1."""
    import googleapiclient

    folder = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
    found: dict[str, Method] = {}

    def walk(node: dict[str, Any], document: dict[str, Any]) -> None:
        for method in node.get("methods", {}).values():
            found[method["id"]] = Method(
                method["id"],
                method["httpMethod"],
                "/" + document["servicePath"] + method["path"],
                {**document["parameters"], **method.get("parameters", {})},
                method.get("request"),
                method.get("response"),
                tuple(method.get("scopes", ())),
                method.get("mediaUpload"),
                document["schemas"],
            )
        for inner in node.get("resources", {}).values():
            walk(inner, document)

    for name in ("youtube.v3.json", "youtubeAnalytics.v2.json", "youtubereporting.v1.json"):
        document = json.loads((folder / name).read_text(encoding="utf-8"))
        walk(document, document)
    return found


def _find(verb: str, path: str) -> tuple[Method | None, dict[str, list[str]]]:
    """The method at an address, and the parameters that stand in it."""
    if found := _paths().get((verb, path)):
        return found, {}
    for method in methods().values():
        if method.verb == verb and "{" in method.path:
            names = re.findall(r"\{\+?(\w+)\}", method.path)
            pattern = re.sub(r"\{\+\w+\}", "(.+)", re.sub(r"\{\w+\}", "([^/]+)", method.path))
            if at := re.fullmatch(pattern, path):
                return method, {n: [unquote(v)] for n, v in zip(names, at.groups(), strict=True)}
    return None, {}


@functools.cache
def _paths() -> dict[tuple[str, str], Method]:
    paths = {}
    for method in methods().values():
        paths[method.verb, method.path] = method
        if method.media:
            paths[method.verb, method.media["protocols"]["simple"]["path"]] = method
    return paths


class Refused(Exception):  # noqa: N818
    """An answer that is an error."""

    def __init__(self, status: int, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.status, self.reason, self.message = status, reason, message or reason


def _bad(message: str, reason: str = "badRequest") -> Refused:
    return Refused(400, reason, message)


def check_params(method: Method, query: dict[str, list[str]]) -> dict[str, Any]:
    """The parameters as typed values. Raises Refused for one that the document does not allow."""
    values: dict[str, Any] = {}
    for name, texts in query.items():
        spec = method.params.get(name)
        if spec is None:
            raise _bad(f'Invalid JSON payload received. Unknown name "{name}"')
        if name in ("access_token", "oauth_token"):
            raise _bad("a secret in an address ends up in logs")
        parts = [p for t in texts for p in t.split(",")] if spec.get("repeated") else texts
        if len(parts) > 1 and not spec.get("repeated"):
            raise _bad(f"Parameter {name} is given twice")
        typed = [_param(name, spec, part) for part in parts]
        values[name] = typed if spec.get("repeated") else typed[0]
    for name, spec in method.params.items():
        if spec.get("required") and not values.get(name):
            raise _bad(f"Required parameter: {name}", "missingRequiredParameter")
    return values


def _param(name: str, spec: dict[str, Any], text: str) -> Any:
    if "enum" in spec and text not in spec["enum"]:
        raise _bad(f"Invalid value at '{name}': \"{text}\"", "invalidParameter")
    if spec["type"] == "boolean":
        if text not in ("true", "false"):
            raise _bad(f"Invalid value at '{name}' (TYPE_BOOL), \"{text}\"", "invalidParameter")
        return text == "true"
    if spec["type"] == "integer":
        if not re.fullmatch(r"-?\d+", text):
            raise _bad(f"Invalid value at '{name}' (TYPE_INT32), \"{text}\"", "invalidParameter")
        low, high = spec.get("minimum", "-99999999"), spec.get("maximum", "99999999")
        if not int(low) <= int(text) <= int(high):
            raise _bad(f"Invalid value '{text}'. Values must be within the range: [{low}, {high}]")
        return int(text)
    return text


def check_value(schema: dict[str, Any], value: Any, schemas: dict[str, Any], at: str = "") -> None:
    """Raise Refused unless a JSON value is one of a schema."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"]]
    kind = schema.get("type", "any")
    fits = {
        "object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
        "number": (int, float), "any": object,
    }[kind]  # fmt: skip
    if not isinstance(value, fits) or (kind in ("integer", "number") and isinstance(value, bool)):
        raise _bad(f"Invalid value at '{at}' ({kind}), {value!r}")
    if kind == "object":
        for name, inner in value.items():
            spec = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if spec is None:
                raise _bad(f"Invalid JSON payload received. Unknown name \"{name}\" at '{at}'")
            check_value(spec, inner, schemas, f"{at}.{name}".strip("."))
    elif kind == "array":
        for index, inner in enumerate(value):
            check_value(schema["items"], inner, schemas, f"{at}[{index}]")
    elif kind == "string":
        if "enum" in schema and value not in schema["enum"]:
            raise _bad(f"Invalid value at '{at}': \"{value}\"")
        if schema.get("format") == "date-time" and not re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value
        ):
            raise _bad(f"Invalid value at '{at}' (date-time), \"{value}\"")


# ------------------------------------------------------------------------- faults and records


@dataclass(frozen=True)
class Fault:
    """What a request meets with. `status` and `reason`: it is refused, and not done.

    `lost`: it is done, and the connection cut before the answer. `cut`: the connection is cut after
    so many bytes of the body. `slow_s`: so long before it is read. `body` goes out as it stands.
    """

    status: int = 0
    reason: str = "backendError"
    lost: bool = False
    cut: int | None = None
    slow_s: float = 0.0
    body: bytes | None = None


@dataclass
class Call:
    """A request that was understood."""

    method: str
    params: dict[str, Any]
    body: Any
    raw: bytes
    headers: Any
    verb: str = ""
    path: str = ""
    status: int = 0


@dataclass
class Grant:
    """What a person allowed: to whom, and until when."""

    refresh_token: str
    scopes: tuple[str, ...]
    revoked: bool = False
    access: dict[str, datetime] = field(default_factory=dict)


@dataclass
class UploadSession:
    """A resumable upload: what was asked for, and the bytes held so far."""

    params: dict[str, Any]
    body: dict[str, Any]
    total: int
    media_type: str
    held: bytearray = field(default_factory=bytearray)
    video_id: str | None = None
    dead: int | None = None  # the status with which it answers from then on


Handler = Callable[["FakeYouTube", Call], Any]
HANDLERS: dict[str, Handler] = {}


def answers(method: str) -> Callable[[Handler], Handler]:
    """Have a function answer a method, for every fake."""
    assert method in methods(), f"the documents have no {method}"

    def register(handler: Handler) -> Handler:
        HANDLERS[method] = handler
        return handler

    return register


def moment_text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ------------------------------------------------------------------------------------ the fake


class FakeYouTube:
    """One channel on a YouTube of its own."""

    channel_id = "UC" + "a1B2c3D4e5F6g7H8i9J0kL"
    uploads_id = "UU" + channel_id[2:]
    channel_title = "Quiet Harbour Radio"

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.videos: dict[str, dict[str, Any]] = {}
        self.media: dict[str, tuple[str, int]] = {}  # SHA-256 and size of each video
        self.thumbnails: dict[str, bytes] = {}
        self.playlists: dict[str, dict[str, Any]] = {}
        self.playlist_items: list[dict[str, Any]] = []
        self.sessions: dict[str, UploadSession] = {}
        self.used: Counter[tuple[str, str]] = Counter()  # by Pacific day and bucket
        self.per_day = dict(PER_DAY)
        self.grants: dict[str, Grant] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.refresh_expires_in_s: int | None = None  # what Google says of apps in Testing
        self.upload_limit: int | None = None  # videos after which the channel may upload no more
        self.processed_at_once = True
        self.shelf: dict[str, Any] = {}  # what other modules keep
        self.calls: list[Call] = []
        self.misplaced = 0  # pieces that did not begin where the last one ended
        self.mistakes: list[str] = []  # of this fake: answers that the documents do not allow
        self.faults: dict[str, list[Fault]] = {}
        self.chaos: Callable[[str], Fault | None] = lambda _method: None
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._numbers = 0
        self.port = 0
        self.rise()

    # Coming and going ---------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def rise(self) -> None:
        """Answer, on the same port as before."""
        handler = type("Handler", (_Handler,), {"fake": self})
        self._http = _Server(("127.0.0.1", self.port), handler)
        self.port = self._http.server_port
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def crash(self) -> None:
        """The front end dies: every connection breaks where it is. What was done stays done."""
        self._http.shutdown()
        self._http.server_close()
        self._http.cut_all()
        self._thread.join()

    stop = crash

    # What tests say and ask ---------------------------------------------------------------------

    def grant(self, *scopes: str) -> Grant:
        """What a person allows, as if they had been asked."""
        grant = Grant("1//" + secrets.token_urlsafe(40), scopes or (FORCE_SSL, ANALYTICS))
        self.grants[grant.refresh_token] = grant
        self.new_access_token(grant)
        return grant

    def new_access_token(self, grant: Grant) -> str:
        token = "ya29." + secrets.token_urlsafe(60)
        grant.access[token] = self.now() + timedelta(seconds=3599)
        return token

    def client_secrets(self, path: Path) -> Path:
        """The file that a person downloads from Google's console, for this server."""
        client = {
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "auth_uri": f"{self.url}/o/oauth2/auth",
            "token_uri": f"{self.url}/token",
            "redirect_uris": ["http://localhost"],
        }
        path.write_text(json.dumps({"installed": client}))
        return path

    def next(self, method: str, *faults: Fault) -> None:
        """What the next requests of a method meet with, in turn.

        Beside the documents' methods there are `upload.put`, `upload.probe` and `oauth.token`.
        """
        self.faults.setdefault(method, []).extend(faults)

    def seen(self, method: str) -> list[Call]:
        """The requests of a method that were understood."""
        return [c for c in self.calls if c.method == method]

    def secrets(self) -> set[str]:
        """All that must appear nowhere: tokens, the client's secret, upload sessions."""
        access = {t for g in self.grants.values() for t in g.access}
        return {*self.grants, *access, *self.sessions, *self.codes, CLIENT_SECRET}

    def new_id(self, prefix: str = "", length: int = 11) -> str:
        with self.lock:
            self._numbers += 1
            digest = hashlib.sha256(f"{prefix}{self._numbers}".encode()).digest()
        return prefix + base64.urlsafe_b64encode(digest).decode()[: length - len(prefix)]

    def add_video(self, **values: Any) -> str:
        """A video that somebody has uploaded otherwise; gives its id."""
        body = {
            "snippet": {"title": "Elsewhere", "categoryId": "10"} | values.pop("snippet", {}),
            "status": {"privacyStatus": "private"} | values.pop("status", {}),
        }
        return self._make_video(body, b"elsewhere")["id"]

    def add_playlist(self, title: str = "Lofi") -> str:
        """A playlist of the channel; gives its id."""
        playlist_id = self.new_id("PL", 34)
        self.playlists[playlist_id] = {
            "kind": "youtube#playlist",
            "id": playlist_id,
            "snippet": {"title": title, "channelId": self.channel_id},
        }
        return playlist_id

    # Quota and permission -----------------------------------------------------------------------

    def pacific_day(self) -> str:
        return self.now().astimezone(ZoneInfo("America/Los_Angeles")).date().isoformat()

    def spend(self, method: Method) -> None:
        bucket, cost = BUCKETS.get(method.id, ("units", 1 if method.verb == "GET" else 50))
        with self.lock:
            key = (self.pacific_day(), bucket)
            if self.used[key] + cost > self.per_day.get(bucket, 10_000):
                raise Refused(403, "quotaExceeded", "The request cannot be completed because you "
                              'have exceeded your <a href="/youtube/v3/getting-started#quota">'
                              "quota</a>.")  # fmt: skip
            self.used[key] += cost

    def authorise(self, header: str | None, scopes: tuple[str, ...]) -> None:
        kind, _, token = (header or "").partition(" ")
        for grant in self.grants.values():
            until = grant.access.get(token)
            if kind == "Bearer" and until and until > self.now() and not grant.revoked:
                if scopes and not set(scopes) & set(grant.scopes):
                    raise Refused(
                        403, "insufficientPermissions",
                        "Request had insufficient authentication scopes.",
                    )  # fmt: skip
                return
        raise Refused(
            401, "authError", "Request had invalid authentication credentials. Expected OAuth 2 "
            "access token, login cookie or other valid authentication credential.",
        )  # fmt: skip

    # Videos -------------------------------------------------------------------------------------

    def _check_video(self, body: dict[str, Any]) -> None:
        """The rules for a listing that the documents do not tell."""
        snippet, status = body.get("snippet", {}), body.get("status", {})
        title = snippet.get("title", "unknown")
        if not title.strip() or len(title) > 100 or set(title) & set("<>"):
            raise _bad("The request metadata specifies an invalid video title.", "invalidTitle")
        text = snippet.get("description", "")
        if len(text.encode()) > 5000 or set(text) & set("<>"):
            raise _bad("The request metadata specifies an invalid description.",
                       "invalidDescription")  # fmt: skip
        tags = snippet.get("tags", [])
        length = sum(len(t) + 2 * (" " in t) for t in tags) + max(0, len(tags) - 1)
        if length > 500 or any(set(t) & set("<>") for t in tags):
            raise _bad("The request metadata specifies invalid video keywords.", "invalidTags")
        if snippet.get("categoryId", "22") not in ("1", "2", "10", "17", "20", "22", "24", "27"):
            raise _bad("The category is not valid.", "invalidCategoryId")
        if "publishAt" in status:
            at = datetime.fromisoformat(status["publishAt"])
            if status.get("privacyStatus") != "private" or at <= self.now():
                raise _bad("The scheduled publishing time is invalid.", "invalidPublishAt")

    def _make_video(self, body: dict[str, Any], data: bytes | bytearray) -> dict[str, Any]:
        video_id = self.new_id()
        done = self.processed_at_once
        status = {
            "privacyStatus": "public",  # what it is when nobody says
            "license": "youtube",
            "embeddable": True,
            "publicStatsViewable": True,
            **body.get("status", {}),
            "uploadStatus": "processed" if done else "uploaded",
        }
        status["madeForKids"] = status.get("selfDeclaredMadeForKids", False)
        video = {
            "kind": "youtube#video",
            "etag": secrets.token_hex(8),
            "id": video_id,
            "snippet": {
                "title": "unknown",
                "description": "",
                "categoryId": "22",
                **body.get("snippet", {}),
                "publishedAt": moment_text(self.now()),
                "channelId": self.channel_id,
                "channelTitle": self.channel_title,
                "liveBroadcastContent": "none",
                "thumbnails": {},
            },
            "status": status,
            "statistics": {"viewCount": "0", "likeCount": "0", "commentCount": "0"},
            "processingDetails": {"processingStatus": "succeeded" if done else "processing"},
        }
        if "localizations" in body:
            video["localizations"] = body["localizations"]
        with self.lock:
            self.videos[video_id] = video
            self.media[video_id] = (hashlib.sha256(data).hexdigest(), len(data))
        return video

    def process(self, video_id: str, failure: str | None = None) -> None:
        """YouTube has finished with the video: processed, or failed for a reason."""
        status = self.videos[video_id]["status"]
        details = self.videos[video_id]["processingDetails"]
        status["uploadStatus"] = "failed" if failure else "processed"
        details["processingStatus"] = "failed" if failure else "succeeded"
        if failure:
            status["failureReason"] = failure

    def video(self, video_id: str) -> dict[str, Any] | None:
        """The video as it is now: what was to be published by now is."""
        video = self.videos.get(video_id)
        if video is not None:
            status = video["status"]
            due = status.get("publishAt")
            if due and datetime.fromisoformat(due) <= self.now():
                del status["publishAt"]
                status["privacyStatus"] = "public"
        return video

    def parts(self, resource: dict[str, Any], part: list[str]) -> dict[str, Any]:
        """The resource with only those parts."""
        return {k: v for k, v in resource.items() if k in ("kind", "etag", "id", *part)}

    def page(self, call: Call, items: list[Any], kind: str) -> dict[str, Any]:
        """A page of a list, with the tokens of its neighbours."""
        size, at = call.params.get("maxResults", 5), 0
        token = call.params.get("pageToken")
        if token:
            try:
                at = int(base64.urlsafe_b64decode(token.encode()))
            except ValueError:
                raise _bad("The page token is invalid.", "invalidPageToken") from None
        told: dict[str, Any] = {
            "kind": kind,
            "etag": "e",
            "items": items[at : at + size],
            "pageInfo": {"totalResults": len(items), "resultsPerPage": size},
        }
        if at + size < len(items):
            told["nextPageToken"] = base64.urlsafe_b64encode(str(at + size).encode()).decode()
        return told


# --------------------------------------------------------------------- the methods of this file


@answers("youtube.channels.list")
def _channels(fake: FakeYouTube, call: Call) -> Any:
    if not call.params.get("mine") and call.params.get("id") != [fake.channel_id]:
        raise _bad("No filter selected.", "missingRequiredParameter")
    channel = {
        "kind": "youtube#channel",
        "etag": "e",
        "id": fake.channel_id,
        "snippet": {"title": fake.channel_title},
        "contentDetails": {"relatedPlaylists": {"uploads": fake.uploads_id, "likes": "LL"}},
        "statistics": {
            "viewCount": "0", "subscriberCount": "0", "videoCount": str(len(fake.videos))
        },
    }  # fmt: skip
    channel = fake.shelf.get("channel", channel)
    return fake.page(
        call, [fake.parts(channel, call.params["part"])], "youtube#channelListResponse"
    )


@answers("youtube.videos.list")
def _videos(fake: FakeYouTube, call: Call) -> Any:
    ids = call.params.get("id")
    if not ids or len(ids) > 50:
        raise _bad("No filter selected." if not ids else "Too many ids.")
    found = [v for v in map(fake.video, ids) if v]
    items = [fake.parts(v, call.params["part"]) for v in found]
    return {"kind": "youtube#videoListResponse", "etag": "e", "items": items,
            "pageInfo": {"totalResults": len(items), "resultsPerPage": len(items)}}  # fmt: skip


@answers("youtube.videos.update")
def _update(fake: FakeYouTube, call: Call) -> Any:
    video = fake.video(call.body.get("id", ""))
    if video is None:
        raise Refused(404, "videoNotFound", "The video cannot be found.")
    fake._check_video(call.body)
    for part in call.params["part"]:
        given = call.body.get(part, {})
        if part == "snippet":
            if not given.get("title") or not given.get("categoryId"):
                raise _bad("The metadata is invalid.", "invalidVideoMetadata")
            kept = (
                "publishedAt",
                "channelId",
                "channelTitle",
                "liveBroadcastContent",
                "thumbnails",
            )
            video["snippet"] = {"description": "", **given} | {k: video["snippet"][k] for k in kept}
        elif part == "status":  # what is left out is deleted: privacy then is the default
            video["status"] = {
                "privacyStatus": "public",
                "license": "youtube",
                "embeddable": True,
                "publicStatsViewable": True,
                **given,
                "uploadStatus": video["status"]["uploadStatus"],
                "madeForKids": given.get("selfDeclaredMadeForKids", False),
            }
        elif part == "localizations":
            video["localizations"] = given
        else:
            raise _bad(f"{part} cannot be updated.", "unexpectedPart")
    return fake.parts(video, call.params["part"])


@answers("youtube.thumbnails.set")
def _thumbnail(fake: FakeYouTube, call: Call) -> Any:
    if call.params["videoId"] not in fake.videos:
        raise Refused(404, "videoNotFound", "The video cannot be found.")
    if not call.raw:
        raise _bad("No image.", "mediaBodyRequired")
    kind = call.headers.get("Content-Type")
    begins = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG"}
    if kind not in begins or not call.raw.startswith(begins[kind]) or len(call.raw) > 2_000_000:
        raise _bad("The provided image content is invalid.", "invalidImage")
    fake.thumbnails[call.params["videoId"]] = call.raw
    picture = {"url": "https://i.ytimg.com/x.jpg", "width": 1280, "height": 720}
    return {"kind": "youtube#thumbnailSetResponse", "etag": "e", "items": [{"maxres": picture}]}


@answers("youtube.playlists.list")
def _playlists(fake: FakeYouTube, call: Call) -> Any:
    wanted = call.params.get("id")
    if wanted is None and not call.params.get("mine"):
        raise _bad("No filter selected.", "missingRequiredParameter")
    found = [p for p in fake.playlists.values() if wanted is None or p["id"] in wanted]
    items = [fake.parts(p, call.params["part"]) for p in found]
    return fake.page(call, items, "youtube#playlistListResponse")


@answers("youtube.playlistItems.list")
def _playlist_items(fake: FakeYouTube, call: Call) -> Any:
    playlist = call.params.get("playlistId", "")
    if playlist == fake.uploads_id:
        items = [_item(fake, playlist, v) for v in reversed(fake.videos.values())]
    elif playlist in fake.playlists:
        items = [i for i in fake.playlist_items if i["snippet"]["playlistId"] == playlist]
    else:
        raise Refused(404, "playlistNotFound", "The playlist cannot be found.")
    wanted = call.params.get("videoId")
    items = [i for i in items if wanted in (None, i["snippet"]["resourceId"]["videoId"])]
    items = [fake.parts(i, call.params["part"]) for i in items]
    return fake.page(call, items, "youtube#playlistItemListResponse")


def _item(fake: FakeYouTube, playlist: str, video: dict[str, Any]) -> dict[str, Any]:
    """Two videos may be in a playlist twice: each time under an id of its own."""
    return {
        "kind": "youtube#playlistItem",
        "etag": "e",
        "id": fake.new_id("UEx", 40),
        "snippet": {
            "playlistId": playlist,
            "channelId": fake.channel_id,
            "title": video["snippet"]["title"],
            "publishedAt": video["snippet"]["publishedAt"],
            "resourceId": {"kind": "youtube#video", "videoId": video["id"]},
        },
        "contentDetails": {
            "videoId": video["id"], "videoPublishedAt": video["snippet"]["publishedAt"]
        },
        "status": {"privacyStatus": video["status"]["privacyStatus"]},
    }  # fmt: skip


@answers("youtube.playlistItems.insert")
def _add_to_playlist(fake: FakeYouTube, call: Call) -> Any:
    snippet = call.body.get("snippet", {})
    if snippet.get("playlistId") not in fake.playlists:
        raise Refused(404, "playlistNotFound", "The playlist cannot be found.")
    resource = snippet.get("resourceId", {})
    video = fake.videos.get(resource.get("videoId", ""))
    if video is None or resource.get("kind") != "youtube#video":
        raise Refused(404, "videoNotFound", "The video cannot be found.")
    item = _item(fake, snippet["playlistId"], video)
    fake.playlist_items.append(item)
    return fake.parts(item, call.params["part"])


@answers("youtube.videos.insert")
def _open_session(fake: FakeYouTube, call: Call) -> Any:
    """A session; the video is made when its last byte has come."""
    if call.params.get("uploadType") != "resumable":
        raise _bad("only resumable uploads are understood here")
    if fake.upload_limit is not None and len(fake.videos) >= fake.upload_limit:
        raise _bad("The user has exceeded the number of videos they may upload.",
                   "uploadLimitExceeded")  # fmt: skip
    media_type = call.headers.get("X-Upload-Content-Type", "")
    length = call.headers.get("X-Upload-Content-Length", "")
    if not media_type.startswith("video/") and media_type != "application/octet-stream":
        raise _bad(f"Media type '{media_type}' is not supported.")
    if not length.isdigit() or not int(length):
        raise _bad("The length of the video is missing.", "mediaBodyRequired")
    fake._check_video(call.body)
    name = "ABg5-" + secrets.token_urlsafe(48)
    fake.sessions[name] = UploadSession(call.params, call.body, int(length), media_type)
    address = urlencode({"uploadType": "resumable", "upload_id": name})
    return {"Location": f"{fake.url}/upload/youtube/v3/videos?{address}"}


# -------------------------------------------------------------------------------------- HTTP


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, *arguments: Any) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(*arguments)

    def get_request(self) -> tuple[socket.socket, Any]:
        request, address = super().get_request()
        self.open.add(request)
        return request, address

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def cut_all(self) -> None:
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], (ConnectionError, ValueError)):
            super().handle_error(request, client_address)


class _CutError(ConnectionError):
    """The connection ends here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    fake: FakeYouTube

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        try:
            self._route(parts.path, query)
        except _CutError:
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        except Refused as refused:
            self._refuse(refused)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

    def _route(self, path: str, query: dict[str, list[str]]) -> None:
        if path in ("/o/oauth2/auth", "/token", "/revoke"):
            _oauth(self, path, query)
            return
        if self.command == "PUT" and "upload_id" in query:
            self._put(query)
            return
        method, in_path = _find(self.command, path)
        if method is None:
            self._read(None)
            raise Refused(404, "notFound", f"there is nothing at {self.command} {path}")
        fault = self._fault(method.id)
        raw = self._read(fault)
        if fault and fault.status:
            self.fake.authorise(self.headers.get("Authorization"), method.scopes)
            if fault.status != 401:
                with suppress(Refused):
                    self.fake.spend(method)
            raise Refused(fault.status, fault.reason)
        told = self._call(method, path, query | in_path, raw)
        if fault and fault.lost:
            raise _CutError
        if fault and fault.body is not None:
            self._answer(200, fault.body)
        elif "file" in told:
            self._answer(200, told["file"])
        elif "Location" in told:
            self._answer(200, b"", Location=told["Location"], X_GUploader_UploadID="x")
        else:
            self._answer(200 if told else 204, json.dumps(told).encode() if told else b"")

    def _call(self, method: Method, path: str, query: dict[str, list[str]], raw: bytes) -> Any:
        fake = self.fake
        body: Any = None
        fake.authorise(self.headers.get("Authorization"), method.scopes)
        fake.spend(method)
        params = check_params(method, query)
        if method.request is not None:
            try:
                body = json.loads(raw)
            except ValueError:
                raise _bad("Parse error", "parseError") from None
            if not self.headers.get("Content-Type", "").startswith("application/json"):
                raise _bad("the body must be JSON")
            check_value(method.request, body, method.schemas)
        elif raw and not method.media:
            raise _bad("Request payload is not allowed here")
        if path.startswith("/upload/") != bool(method.media):
            raise Refused(404, "notFound", "uploads have paths of their own")
        call = Call(method.id, params, body, raw, dict(self.headers), self.command, path)
        with fake.lock:
            fake.calls.append(call)
            handler = HANDLERS.get(method.id)
            if handler is None:
                raise Refused(501, "notImplemented", f"this fake has no {method.id} yet")
            try:
                told = handler(fake, call)
            except Refused as refused:
                call.status = refused.status
                raise
            call.status = 200
        if told and not told.keys() & {"Location", "file"}:
            try:
                check_value(method.response or {}, told, method.schemas)
            except Refused as wrong:
                fake.mistakes.append(f"{method.id} answered {wrong.message}")
        return told or {}

    def _fault(self, method: str) -> Fault | None:
        waiting = self.fake.faults.get(method)
        fault = waiting.pop(0) if waiting else self.fake.chaos(method)
        if fault and fault.slow_s:
            time.sleep(fault.slow_s)
        return fault

    def _read(self, fault: Fault | None) -> bytes:
        """The body; raises _CutError where the connection breaks before its end."""
        length = int(self.headers.get("Content-Length", 0))
        if fault and fault.cut is not None:
            self.rfile.read(min(fault.cut, length))
            raise _CutError
        raw = self.rfile.read(length)
        if len(raw) < length:
            raise _CutError
        return raw

    # Uploads ------------------------------------------------------------------------------------

    def _put(self, query: dict[str, list[str]]) -> None:
        fake = self.fake
        length = int(self.headers.get("Content-Length", 0))
        told = self.headers.get("Content-Range", "")
        probing = told.startswith("bytes */")
        name = query["upload_id"][0]
        fault = self._fault("upload.probe" if probing else "upload.put")
        data = bytearray()
        most = length if not fault or fault.cut is None else min(fault.cut, length)
        while len(data) < most:
            try:
                piece = self.rfile.read1(min(65536, most - len(data)))  # type: ignore[attr-defined]
            except OSError:
                break
            if not piece:
                break
            data += piece
        whole = len(data) == length
        if fault and fault.status:
            raise Refused(fault.status, fault.reason)
        fake.authorise(self.headers.get("Authorization"), methods()["youtube.videos.insert"].scopes)
        with fake.lock:
            session = fake.sessions.get(name)
            if session is None or session.dead:
                raise Refused(session.dead if session and session.dead else 404, "notFound",
                              "The upload session is not there any more.")  # fmt: skip
            if session.video_id is None and not probing:
                self._take(session, told, data, whole=whole, length=length)
            video = fake.videos[session.video_id] if session.video_id else None
            held = len(session.held)
        if not whole or (fault and (fault.lost or fault.cut is not None)):
            raise _CutError
        if video is not None:
            shown = fake.parts(video, session.params["part"])
            self._answer(200, json.dumps(shown).encode())
        elif held:
            self._answer(308, Range=f"bytes=0-{held - 1}")
        else:
            self._answer(308)

    def _take(
        self, session: UploadSession, told: str, data: bytearray, *, whole: bool, length: int
    ) -> None:
        """Keep the bytes of a piece; of a broken one those that fill pieces of 256 KiB."""
        span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", told)
        if span is None:
            raise _bad(f"Content-Range {told!r} cannot be read")
        first, last, total = map(int, span.groups())
        if total != session.total or last - first + 1 != length or last >= total:
            raise _bad("Content-Range and Content-Length do not fit the upload")
        if length % PIECE and last != total - 1:
            raise _bad("a piece must be a multiple of 256 KiB unless it is the last")
        if first != len(session.held):
            self.fake.misplaced += 1
            raise Refused(503, "backendError", "another piece came in between")
        session.held += data if whole else data[: len(data) // PIECE * PIECE]
        if len(session.held) == session.total:
            video = self.fake._make_video(session.body, session.held)
            session.video_id = video["id"]
            session.held = bytearray()

    # Answers ------------------------------------------------------------------------------------

    def _refuse(self, refused: Refused) -> None:
        error = {
            "error": {
                "code": refused.status,
                "message": refused.message,
                "errors": [
                    {"message": refused.message, "domain": "youtube", "reason": refused.reason}
                ],
            }
        }
        self._answer(refused.status, json.dumps(error).encode())

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if body:
            self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


# ------------------------------------------------------------------------------------- OAuth


def _oauth(handler: _Handler, path: str, query: dict[str, list[str]]) -> None:
    """Log-in, tokens and their end, as RFC 6749, 7009 and 7636 and Google have them."""
    fake = handler.fake
    if path == "/o/oauth2/auth":
        asked = {name: values[0] for name, values in query.items()}
        back = asked.get("redirect_uri", "")
        wrong = [
            name
            for name, right in (
                ("client_id", asked.get("client_id") == CLIENT_ID),
                ("response_type", asked.get("response_type") == "code"),
                ("redirect_uri", urlsplit(back).hostname in ("127.0.0.1", "localhost")),
                ("code_challenge", asked.get("code_challenge_method") == "S256"),
                ("state", len(asked.get("state", "")) >= 16),
            )
            if not right
        ]
        if wrong:
            raise _bad(f"invalid {wrong[0]}")
        if fake.shelf.get("person refuses"):
            told = {"error": "access_denied", "state": asked["state"]}
        else:
            code = "4/" + secrets.token_urlsafe(40)
            fake.codes[code] = asked
            told = {"code": code, "state": asked["state"], "scope": asked["scope"]}
        handler._answer(302, Location=f"{back}?{urlencode(told)}")
        return
    fault = handler._fault("oauth.token")
    form = dict(parse_qsl(handler._read(fault).decode()))
    if path == "/revoke":
        grant = fake.grants.get(form.get("token", ""))
        if grant is None:
            raise _OAuthError(400, "invalid_token")
        grant.revoked = True
        handler._answer(200)
        return
    try:
        if fault and fault.status:
            raise _OAuthError(fault.status, fault.reason)
        told = _tokens(fake, form)
    except _OAuthError as error:
        handler._answer(error.status, json.dumps({"error": error.reason}).encode())
        return
    if fault and fault.lost:
        raise _CutError
    handler._answer(200, json.dumps(told).encode())


class _OAuthError(Refused):
    """An error in the words of RFC 6749."""


def _tokens(fake: FakeYouTube, form: dict[str, str]) -> dict[str, Any]:
    if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
        raise _OAuthError(401, "invalid_client")
    if form.get("grant_type") == "refresh_token":
        grant = fake.grants.get(form.get("refresh_token", ""))
        if grant is None or grant.revoked:
            raise _OAuthError(400, "invalid_grant")
        told: dict[str, Any] = {}
    else:
        asked = fake.codes.get(form.get("code", ""))
        if (
            asked is None
            or asked.pop("used", "")
            or form.get("redirect_uri") != asked["redirect_uri"]
        ):
            raise _OAuthError(400, "invalid_grant")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != asked["code_challenge"]:
            raise _OAuthError(400, "invalid_grant")
        asked["used"] = "yes"
        scopes = fake.shelf.get("boxes ticked") or asked["scope"].split()
        grant = fake.grant(*scopes)
        told = {"refresh_token": grant.refresh_token}
        if fake.refresh_expires_in_s is not None:
            told["refresh_token_expires_in"] = fake.refresh_expires_in_s
    return told | {
        "access_token": fake.new_access_token(grant),
        "expires_in": 3599,
        "scope": " ".join(grant.scopes),
        "token_type": "Bearer",
    }


def connected(studio: Studio, fake: FakeYouTube, *scopes: str) -> Grant:
    """Have the studio's account be this channel, as if a person had consented."""
    from lofi.channel import Client, Tokens
    from lofi.studio import accounts

    grant = fake.grant(*scopes)
    token, until = next(iter(grant.access.items()))
    client = Client(CLIENT_ID, CLIENT_SECRET, f"{fake.url}/o/oauth2/auth", f"{fake.url}/token")
    tokens = Tokens(token, until, grant.scopes, grant.refresh_token)
    accounts.adopt(studio, client, tokens, actor="test")
    return grant


@pytest.fixture
def fake_youtube(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeYouTube]:
    """A YouTube on this machine, in Google's place for every studio of this process."""
    fake = FakeYouTube()
    monkeypatch.setenv("LOFI_YOUTUBE_ENDPOINT", fake.url)
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # it answers without TLS
    yield fake
    fake.stop()
    assert not fake.mistakes, fake.mistakes
