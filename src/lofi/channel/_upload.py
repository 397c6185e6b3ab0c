"""A video on its way to YouTube, and what is done to it there.

The resumable protocol is ours: no library can go on with a session that another process opened. A
video comes into being with the last byte of one session, so whoever sends bytes to the one stored
session only, uploads at most once, whatever dies in between.
Source: YouTube Data API v3, "Resumable Uploads".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lofi.brief import InputError
from lofi.channel._preflight import PRIVACIES, check_listing
from lofi.channel._youtube import (
    AmbiguousError,
    Answer,
    Api,
    AuthError,
    Endpoints,
    Media,
    Request,
    TransientError,
    YouTube,
    YouTubeError,
    build,
    pages,
)

PIECE = 256 * 1024  # chunks are multiples of it
CHUNK = 32 * PIECE
THUMBNAIL_BYTES = 2_000_000
TRIES = 6  # in a row that bring nothing on
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # between them

# What may be changed of a video: a part that is sent replaces all of these, so all are sent.
MUTABLE = {
    "snippet": (
        "title", "description", "tags", "categoryId", "defaultLanguage", "defaultAudioLanguage",
    ),
    "status": (
        "privacyStatus", "publishAt", "license", "embeddable", "publicStatsViewable",
        "selfDeclaredMadeForKids", "containsSyntheticMedia",
    ),
}  # fmt: skip

Read = Callable[[int, int], Iterator[bytes]]  # the bytes from one place up to another


class SessionGoneError(AmbiguousError):
    """YouTube does not know the upload session any more."""


class StoppedError(Exception):
    """The caller asked to stop: what YouTube holds stays there."""


# The request -----------------------------------------------------------------------------------


def wider(privacy: str, allowed: str) -> bool:
    """Whether a privacy shows a video to more people than what is allowed."""
    return PRIVACIES.index(privacy) > PRIVACIES.index(allowed)


def insert_call(
    listing: Mapping[str, Any], *, privacy: str, publish_at: datetime | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and body of `videos.insert` for a listing, as `shape_call` makes them.

    Raises InputError as that does, and for a listing that breaks a limit.
    """
    params, body = shape_call(listing, privacy=privacy, publish_at=publish_at)
    broken = check_listing({**body, "query": params})
    if broken:
        raise InputError(f"the listing cannot be sent: {broken[0]}. Edit it and approve it again.")
    return params, body


def shape_call(
    listing: Mapping[str, Any], *, privacy: str, publish_at: datetime | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and body of `videos.insert` for a listing (as `Listing.to_dict`), unchecked.

    Whatever the listing says: privacy is sent (left out, it would be public) and is what is asked
    for here, private until `publish_at`; made by a program is disclosed; whether it is made for
    children is said; nobody is notified. Raises InputError for a moment of publication of a video
    that is not to be public.
    """
    if publish_at is not None and privacy != "public":
        raise InputError(
            f"a video that stays {privacy} has no moment of publication: YouTube makes a video "
            "public at it. Leave the moment out, or make it public."
        )
    status = dict(listing.get("status", {}))
    status.pop("publishAt", None)
    status["privacyStatus"] = privacy if publish_at is None else "private"
    status["containsSyntheticMedia"] = True
    status.setdefault("selfDeclaredMadeForKids", False)
    if publish_at is not None:
        status["publishAt"] = _rfc3339(publish_at)
    body: dict[str, Any] = {"snippet": dict(listing.get("snippet", {})), "status": status}
    if listing.get("localizations"):
        body["localizations"] = dict(listing["localizations"])
    return {"part": list(body), "notifySubscribers": False, "uploadType": "resumable"}, body


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def insert_request(
    params: Mapping[str, Any],
    body: Mapping[str, Any],
    *,
    size: int,
    media_type: str,
    endpoints: Endpoints,
) -> Request:
    """The request that opens an upload session."""
    request = build("youtube.videos.insert", params=params, body=body, endpoints=endpoints)
    about = {"X-Upload-Content-Length": str(size), "X-Upload-Content-Type": media_type}
    return Request(request.verb, request.url, {**request.headers, **about}, request.content)


# The upload ------------------------------------------------------------------------------------


def open_session(
    api: YouTube,
    params: Mapping[str, Any],
    body: Mapping[str, Any],
    *,
    size: int,
    media_type: str = "video/mp4",
) -> str:
    """Open an upload session; gives its URI, which is a key to it: store it, show it nobody.

    Costs an upload of the quota. As long as no byte is sent there is no video.
    """
    request = insert_request(
        params, body, size=size, media_type=media_type, endpoints=api.endpoints
    )
    answer = api.ask("youtube.videos.insert", request)
    uri = answer.headers.get("Location", "")
    if not api.endpoints.trusts(uri):
        raise TransientError("YouTube opened no upload session. It is tried again by itself.")
    return uri


@dataclass(slots=True)
class Upload:
    """Bytes on their way to a session. `told` is called with how many YouTube holds."""

    api: YouTube
    uri: str
    size: int
    read: Read
    told: Callable[[int], None]
    go_on: Callable[[], bool] = lambda: True
    chunk: int = CHUNK

    def run(self, *, fresh: bool) -> dict[str, Any]:
        """Send what is missing; gives the video. `fresh`: no byte was sent to the session yet.

        Raises StoppedError between two chunks or within one, as soon as `go_on` says no;
        TransientError after several tries that brought nothing on: call it again later.
        SessionGoneError where nobody can say whether the video is there; other errors of YouTube
        say that it is not, and that this session will not bring it.
        """
        held = most = 0 if fresh else None
        failed, renewed = 0, False
        while True:
            if not self.go_on():
                raise StoppedError
            error: YouTubeError | None = None
            try:
                answer = self._probe() if held is None else self._put(held)
                if answer.status != 308:
                    return answer.json()
                probed, held = held is None, _held(answer)
                if most is None or held > most:
                    failed, most = 0, held
                    self.told(held)
                elif not probed:
                    error = TransientError("YouTube keeps none of the bytes it is sent.")
                if held >= self.size:
                    held, error = None, TransientError("YouTube has all bytes, and no video yet.")
            except TransientError as broke:
                held, error = None, broke
            except AuthError as refused:
                if refused.status != 401 or renewed:
                    raise
                self.api.renew()
                held, renewed = None, True
            if error is not None:
                failed += 1
                if failed >= TRIES:
                    raise error
                self.api.sleep(PAUSES_S[min(failed, len(PAUSES_S)) - 1])

    def _probe(self) -> Answer:
        """How much YouTube holds, or the video if it has it all."""
        return self._send(f"bytes */{self.size}", 0, b"")

    def _put(self, held: int) -> Answer:
        stop = min(self.size, held + self.chunk)
        span = f"bytes {held}-{stop - 1}/{self.size}"
        return self._send(span, stop - held, self._bytes(held, stop))

    def _bytes(self, start: int, stop: int) -> Iterator[bytes]:
        for piece in self.read(start, stop):
            for at in range(0, len(piece), PIECE):
                if not self.go_on():
                    raise StoppedError
                yield piece[at : at + PIECE]

    def _send(self, span: str, length: int, content: bytes | Iterator[bytes]) -> Answer:
        headers = {"Content-Range": span, "Content-Length": str(length)}
        try:
            return self.api.send(Request("PUT", self.uri, headers, content))
        except YouTubeError as error:
            if error.status in (404, 410):
                raise SessionGoneError(
                    "the upload was interrupted for so long that YouTube has forgotten it, and "
                    "nobody can say whether the video is there. Look at YouTube Studio, then say "
                    "which: `lofi releases` shows how.",
                    reason=error.reason,
                    status=error.status,
                ) from error
            raise


def _held(answer: Answer) -> int:
    """How many bytes a 308 says that YouTube holds."""
    span = re.fullmatch(r"bytes=0-(\d+)", answer.headers.get("Range", ""))
    return int(span[1]) + 1 if span else 0


# What is done to a video -------------------------------------------------------------------------


def set_thumbnail(api: Api, video_id: str, data: bytes, media_type: str = "image/jpeg") -> None:
    """Give a video its thumbnail; twice is once. Costs 50 units. Raises InputError if too large."""
    if len(data) > THUMBNAIL_BYTES:
        raise InputError(
            f"the thumbnail has {len(data):,} bytes; YouTube takes {THUMBNAIL_BYTES:,}."
        )
    api.call("youtube.thumbnails.set", params={"videoId": video_id}, media=Media(data, media_type))


def add_to_playlist(api: Api, playlist_id: str, video_id: str) -> str:
    """See to it that a video is in a playlist, once; gives the id of its place there.

    Costs 1 unit, and 50 more where it is not there yet.
    """
    there = _in_playlist(api, playlist_id, video_id)
    if there is not None:
        return there
    snippet = {
        "playlistId": playlist_id,
        "resourceId": {"kind": "youtube#video", "videoId": video_id},
    }
    try:
        made = api.call(
            "youtube.playlistItems.insert", params={"part": "snippet"}, body={"snippet": snippet}
        )
    except AmbiguousError:
        there = _in_playlist(api, playlist_id, video_id)
        if there is None:
            raise
        return there
    return str(made["id"])


def _in_playlist(api: Api, playlist_id: str, video_id: str) -> str | None:
    found = api.call(
        "youtube.playlistItems.list",
        params={"part": "snippet", "playlistId": playlist_id, "videoId": video_id},
    )
    return next((str(item["id"]) for item in found.get("items", [])), None)


def update_video(
    api: Api,
    video_id: str,
    *,
    snippet: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    localizations: Mapping[str, Any] | None = None,
) -> bool:
    """Change some values of a video and leave all others; a value of None is taken away.

    YouTube deletes whatever a part that is sent leaves out, so the video is read, merged and sent
    back. Costs 1 unit, and 50 more if anything changes, which is what it gives. `status` must say
    the privacy: what stands at YouTube may be more than anybody here allowed. Raises RefusedError
    for a video that is not there, InputError for a value that cannot be changed.
    """
    given = {p: v for p, v in (("snippet", snippet), ("status", status)) if v}
    if status is not None and "privacyStatus" not in status:
        raise InputError("a change of a video's status must say its privacy.")
    for part, values in given.items():
        for name in values:
            if name not in MUTABLE[part]:
                raise InputError(f"{part}.{name} of a video cannot be changed.")
    parts = [*given, *(["localizations"] if localizations is not None else [])]
    if not parts:
        return False
    there = read_video(api, video_id, parts)
    before: dict[str, Any] = {}
    body: dict[str, Any] = {}
    for part in parts:
        kept = there.get(part, {})
        change = localizations if part == "localizations" else given[part]
        before[part] = {n: v for n, v in kept.items() if n in MUTABLE.get(part, kept)}
        body[part] = {n: v for n, v in {**before[part], **(change or {})}.items() if v is not None}
    if "status" in body:
        body["status"]["containsSyntheticMedia"] = True
        body["status"].setdefault("selfDeclaredMadeForKids", False)
        if body["status"]["privacyStatus"] != "private":
            body["status"].pop("publishAt", None)
    if body == before:
        return False
    body["id"] = video_id
    api.call("youtube.videos.update", params={"part": parts}, body=body)
    return True


def read_video(api: Api, video_id: str, parts: list[str]) -> dict[str, Any]:
    """A video as YouTube has it. Raises InputError where it has none."""
    found = api.call("youtube.videos.list", params={"part": parts, "id": video_id})
    if not found.get("items"):
        raise InputError(
            f"there is no video {video_id} on YouTube that the account may see. It was deleted, or "
            "is another account's."
        )
    return found["items"][0]


def read_states(api: Api, video_ids: list[str]) -> dict[str, dict[str, Any]]:
    """Status and processing of videos, by their ids; those that are gone are left out.

    Costs 1 unit for each 50.
    """
    found: dict[str, dict[str, Any]] = {}
    for at in range(0, len(video_ids), 50):
        params = {"part": ["status", "processingDetails"], "id": video_ids[at : at + 50]}
        for item in api.call("youtube.videos.list", params=params).get("items", []):
            found[item["id"]] = item
    return found


@dataclass(frozen=True, slots=True)
class Lookalike:
    """A video of the channel that may be the one that was uploaded."""

    video_id: str
    title: str
    published_at: datetime
    same_title: bool


def find_lookalikes(api: Api, title: str, since: datetime, *, most: int = 100) -> list[Lookalike]:
    """The channel's uploads that have that title or are not older; the likeliest first.

    Costs 1 unit, and 1 for each 50 videos: a search would cost one of a day's hundred.
    """
    mine = api.call("youtube.channels.list", params={"part": "contentDetails", "mine": True})
    if not mine.get("items"):
        return []
    uploads = mine["items"][0]["contentDetails"]["relatedPlaylists"]["uploads"]
    params = {"part": ["snippet", "contentDetails"], "playlistId": uploads, "maxResults": 50}
    found = []
    for item in pages(api, "youtube.playlistItems.list", params, most=most):
        seen = Lookalike(
            item["contentDetails"]["videoId"],
            item["snippet"]["title"],
            datetime.fromisoformat(item["snippet"]["publishedAt"]),
            item["snippet"]["title"] == title,
        )
        if seen.same_title or seen.published_at >= since - timedelta(minutes=5):
            found.append(seen)
    return sorted(found, key=lambda v: (not v.same_title, abs(v.published_at - since)))


# The same, told before it is done ----------------------------------------------------------------


def rehearsal(
    listing: Mapping[str, Any],
    *,
    privacy: str,
    publish_at: datetime | None,
    size: int,
    thumbnail_size: int | None,
    playlist_id: str | None,
    endpoints: Endpoints,
) -> list[dict[str, Any]]:
    """The requests of an upload and what follows it, as they would be sent, without any secret.

    Made by the functions that send them. Raises InputError as `insert_call` does.
    """
    params, body = insert_call(listing, privacy=privacy, publish_at=publish_at)
    opening = insert_request(
        params, body, size=size, media_type="video/mp4", endpoints=endpoints
    ).shown()
    last = min(CHUNK, size)
    sending = {
        "method": "PUT",
        "url": "the session that YouTube opens",
        "headers": {
            "Authorization": "Bearer …",
            "Content-Range": f"bytes 0-{last - 1}/{size}",
            "Content-Length": str(last),
        },
        "body": f"{last:,} bytes" + (f", then the other {size - last:,}" if last < size else ""),
    }
    told = [opening, sending]
    if thumbnail_size is not None:
        request = build(
            "youtube.thumbnails.set",
            params={"videoId": "VIDEO"},
            media=Media(b"", "image/jpeg"),
            endpoints=endpoints,
        )
        told.append({**request.shown(), "body": f"{thumbnail_size:,} bytes"})
    if playlist_id:
        resource = {"kind": "youtube#video", "videoId": "VIDEO"}
        request = build(
            "youtube.playlistItems.insert",
            params={"part": "snippet"},
            body={"snippet": {"playlistId": playlist_id, "resourceId": resource}},
            endpoints=endpoints,
        )
        told.append(request.shown())
    return json.loads(json.dumps(told))
