"""The client of YouTube, against a YouTube on this machine that is as strict as the real one."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from youtube import BUCKETS, PIECE, FakeYouTube, Fault, Refused, check_params, methods

from lofi.brief import InputError
from lofi.channel import (
    COSTS,
    AmbiguousError,
    AuthError,
    Endpoints,
    QuotaError,
    RefusedError,
    SessionGoneError,
    TransientError,
    Upload,
    UploadLimitError,
    YouTube,
    add_to_playlist,
    check_listing,
    insert_call,
    next_reset,
    open_session,
    pacific_day,
    read_video,
    redacted,
    update_video,
)
from lofi.channel._upload import Read
from lofi.channel._youtube import REASONS, ROUTES, TRIES, build

LISTING = {
    "snippet": {"title": "Quiet Harbour", "description": "Lofi.", "tags": ["lofi"],
                "categoryId": "10"},
    "status": {"privacyStatus": "public", "publishAt": "2030-01-01T00:00:00Z"},
}  # fmt: skip


class Counting:
    """A ledger that counts, and refuses beyond a limit."""

    def __init__(self, **limits: int) -> None:
        self.used: Counter[str] = Counter()
        self.limits, self.exhausted = limits, set[str]()

    def reserve(self, bucket: str, units: int) -> None:
        if self.used[bucket] + units > self.limits.get(bucket, 10_000):
            raise QuotaError("not enough")
        self.used[bucket] += units

    def exhaust(self, bucket: str) -> None:
        self.exhausted.add(bucket)


@pytest.fixture
def ledger() -> Counting:
    return Counting()


@pytest.fixture
def api(fake_youtube: FakeYouTube, ledger: Counting):
    grant = fake_youtube.grant()
    made = YouTube(
        lambda fresh: (
            fake_youtube.new_access_token(grant) if fresh else next(reversed(grant.access))
        ),
        ledger,
        endpoints=Endpoints.at(fake_youtube.url),
        sleep=lambda _seconds: None,
    )
    yield made
    made.close()


def test_every_method_is_where_youtubes_own_documents_say_and_costs_what_is_known():
    assert set(ROUTES) == set(COSTS)
    for name, route in ROUTES.items():
        method = methods()[name]
        paths = [method.path]
        if method.media:
            paths = [method.media["protocols"]["simple"]["path"]]
        assert (route.verb, f"/{route.path}") == (method.verb, paths[0]), name
        assert COSTS[name] == BUCKETS.get(name, ("units", 1 if method.verb == "GET" else 50))


def test_what_an_upload_sends_is_what_the_documents_allow():
    at = datetime(2031, 5, 1, 18, tzinfo=UTC)
    params, body = insert_call(LISTING, privacy="public", publish_at=at)
    method = methods()["youtube.videos.insert"]
    check_params(method, {"part": params["part"], "notifySubscribers": ["false"]})
    assert body["status"] == {
        "privacyStatus": "private",
        "publishAt": "2031-05-01T18:00:00Z",
        "containsSyntheticMedia": True,
        "selfDeclaredMadeForKids": False,
    }
    assert params["notifySubscribers"] is False
    assert not check_listing({**body, "query": params})
    # Whatever the listing says, the privacy is what was asked for, and it is always said.
    for privacy in ("private", "unlisted", "public"):
        status = insert_call(LISTING, privacy=privacy)[1]["status"]
        assert status["privacyStatus"] == privacy
        assert "publishAt" not in status
    with pytest.raises(InputError, match="stays unlisted"):
        insert_call(LISTING, privacy="unlisted", publish_at=at)


@pytest.mark.parametrize("reason", [*REASONS, "somethingNew"])
def test_every_error_says_what_it_means_and_what_to_do(api, fake_youtube, ledger, reason):
    rule = REASONS.get(reason)
    status = 400
    if rule and rule.kind is TransientError:
        status = 503
    elif rule and rule.kind in (QuotaError, AuthError):
        status = 403
    fake_youtube.next("youtube.videos.list", *[Fault(status, reason)] * TRIES)
    with pytest.raises(rule.kind if rule else RefusedError) as caught:
        api.call("youtube.videos.list", params={"part": "id", "id": "x"})
    error = caught.value
    assert (error.reason, error.status) == (reason, status)
    told = str(error)
    assert told.count(". ") >= 1, "it says what is wrong, and then what to do"
    assert reason in told
    # What may pass was tried again; nothing else was.
    left = len(fake_youtube.faults["youtube.videos.list"])
    assert left == (0 if rule and rule.kind is TransientError else TRIES - 1)
    assert ("units" in ledger.exhausted) == (rule is not None and rule.kind is QuotaError)
    assert ledger.used["units"] == TRIES - left == sum(fake_youtube.used.values())


@pytest.mark.parametrize(
    ("fault", "tries"),
    [
        (Fault(500), 2),
        (Fault(429, "rateLimitExceeded"), 2),
        (Fault(401, "authError"), 1),
        (Fault(lost=True), 2),
        (Fault(cut=0), 2),
        (Fault(body=b"<html>a proxy</html>"), 0),
    ],
    ids=["5xx", "429", "401", "lost answer", "cut", "no JSON"],
)
def test_a_list_is_read_through_what_may_pass(api, fake_youtube, ledger, fault, tries):
    video = fake_youtube.add_video()
    fake_youtube.next("youtube.videos.list", fault)
    if not tries:
        with pytest.raises(TransientError):
            read_video(api, video, ["status"])
        return
    assert read_video(api, video, ["status"])["id"] == video
    assert ledger.used["units"] == tries


def test_nothing_is_done_twice_of_which_nobody_knows_whether_it_was_done(api, fake_youtube):
    video, playlist = fake_youtube.add_video(), fake_youtube.add_playlist()
    resource = {"kind": "youtube#video", "videoId": video}
    body = {"snippet": {"playlistId": playlist, "resourceId": resource}}
    fake_youtube.next("youtube.playlistItems.insert", Fault(lost=True), Fault(lost=True))
    with pytest.raises(AmbiguousError, match="Look at YouTube"):
        api.call("youtube.playlistItems.insert", params={"part": "snippet"}, body=body)
    fake_youtube.playlist_items.clear()
    # Where it can be looked up, it is.
    assert add_to_playlist(api, playlist, video) == add_to_playlist(api, playlist, video)
    assert len(fake_youtube.playlist_items) == 1


def test_nothing_is_sent_for_which_the_quota_does_not_suffice(api, fake_youtube, ledger):
    ledger.limits["units"] = 49
    with pytest.raises(QuotaError):
        api.call("youtube.thumbnails.set", params={"videoId": "x"})
    assert not fake_youtube.calls


@pytest.mark.parametrize(
    ("moment", "day", "hours"),
    [
        ("2026-11-28T07:59:59+00:00", "2026-11-27", 1 / 3600),
        ("2026-11-28T08:00:00+00:00", "2026-11-28", 24),
        ("2026-07-01T07:00:00+00:00", "2026-07-01", 24),
        ("2026-03-08T08:00:00+00:00", "2026-03-08", 23),  # the clocks go forward
        ("2026-11-01T07:00:00+00:00", "2026-11-01", 25),  # and back
    ],
)
def test_a_day_of_the_quota_is_one_of_los_angeles(moment, day, hours):
    at = datetime.fromisoformat(moment)
    assert pacific_day(at) == day
    assert next_reset(at) - at == timedelta(hours=hours)
    assert pacific_day(next_reset(at)) > day


# Uploads ---------------------------------------------------------------------------------------


def read_of(data: bytes) -> Read:
    return lambda start, stop: iter([data[start:stop]])


def upload(api: YouTube, data: bytes, uri: str | None = None) -> dict:
    params, body = insert_call(LISTING, privacy="private")
    fresh = uri is None
    uri = uri or open_session(api, params, body, size=len(data))
    sending = Upload(api, uri, len(data), read_of(data), lambda _held: None, chunk=2 * PIECE)
    return sending.run(fresh=fresh)


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [Fault(503)],
        [Fault(cut=PIECE + 1000), Fault(cut=10), Fault(lost=True)],
        [Fault(lost=True)] * 4,
        [Fault(401, "authError")],
        [Fault(slow_s=0.05), Fault(500), Fault(502), Fault(504)],
    ],
    ids=["smooth", "5xx", "cut at byte N", "lost answers", "401", "slow"],
)
def test_a_video_arrives_whole_and_once(api, fake_youtube, faults):
    data = random.Random(1).randbytes(5 * PIECE + 123)
    fake_youtube.next("upload.put", *faults)
    video = upload(api, data)
    assert list(fake_youtube.videos) == [video["id"]]
    assert fake_youtube.media[video["id"]] == (hashlib.sha256(data).hexdigest(), len(data))
    assert len(fake_youtube.seen("youtube.videos.insert")) == 1
    assert not fake_youtube.misplaced, "it goes on to the byte"


@pytest.mark.parametrize("status", [404, 410])
def test_a_forgotten_session_is_nobodys_guess(api, fake_youtube, status):
    params, body = insert_call(LISTING, privacy="private")
    uri = open_session(api, params, body, size=1000)
    next(iter(fake_youtube.sessions.values())).dead = status
    with pytest.raises(SessionGoneError) as caught:
        upload(api, b"x" * 1000, uri)
    assert "upload_id" not in str(caught.value)
    assert not fake_youtube.videos
    assert len(fake_youtube.sessions) == 1


def test_an_upload_limit_of_the_channel_is_no_quota(api, fake_youtube):
    fake_youtube.upload_limit = 0
    with pytest.raises(UploadLimitError, match="24 hours"):
        upload(api, b"x")


def test_a_change_leaves_everything_else_of_a_video(api, fake_youtube):
    video = fake_youtube.add_video(
        snippet={"tags": ["a", "b"], "description": "what it was", "defaultLanguage": "en"},
        status={"license": "creativeCommon", "embeddable": False},
    )
    assert update_video(api, video, snippet={"title": "Anew"})
    after = fake_youtube.videos[video]
    assert after["snippet"]["title"] == "Anew"
    assert after["snippet"]["tags"] == ["a", "b"]
    assert after["snippet"]["description"] == "what it was"
    assert after["status"]["privacyStatus"] == "private"
    assert not update_video(api, video, snippet={"title": "Anew"}), "nothing was to be written"
    assert update_video(api, video, status={"privacyStatus": "unlisted"})
    status = fake_youtube.videos[video]["status"]
    assert (status["privacyStatus"], status["license"]) == ("unlisted", "creativeCommon")
    assert status["embeddable"] is False
    assert status["containsSyntheticMedia"] is True
    with pytest.raises(InputError, match="must say its privacy"):
        update_video(api, video, status={"embeddable": True})


# Where keys may go -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["http://example.com", "https://127.0.0.1.example.com", "http://localhost:1", "http://10.0.0.1",
     "http://127.0.0.1@example.com"],
)  # fmt: skip
def test_only_this_machine_can_stand_in_for_google(url):
    with pytest.raises(InputError, match="no address of this machine"):
        Endpoints.at(url)


def test_a_session_elsewhere_gets_no_key(api):
    real = Endpoints()
    assert real.trusts("https://www.googleapis.com/upload/youtube/v3/videos?upload_id=x")
    for url in (
        "https://googleapis.com.example.com/", "http://www.googleapis.com/", "https://a@b.com/",
        "https://www.googleapis.com:444/", "",
    ):  # fmt: skip
        assert not real.trusts(url), url
    with pytest.raises(InputError, match="Google alone"):
        api.send(build("youtube.videos.list"))


def test_secrets_are_taken_out_of_what_is_told():
    told = redacted("Bearer ya29.abc-def upload_id=XYZ&b=1 ya29.zzz 1//" + "a" * 30)
    assert told == "Bearer … upload_id=…&b=1 … …"


def test_the_fake_itself_refuses_what_youtube_would(api):
    with pytest.raises(RefusedError, match="Unknown name"):
        api.call("youtube.videos.list", params={"part": "id", "id": "x", "nonsense": 1})
    with pytest.raises(Refused):
        check_params(methods()["youtube.comments.setModerationStatus"],
                     {"id": ["x"], "moderationStatus": ["hidden"]})  # fmt: skip
