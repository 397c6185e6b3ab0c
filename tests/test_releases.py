"""Releases on their way to YouTube: what may go, what arrives, and that it arrives once."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from api import problem, serving
from shelf import padded_video, put_package
from youtube import FORCE_SSL, PIECE, FakeYouTube, Fault, connected

from lofi.brief import InputError, LofiError
from lofi.channel import AuthError, QuotaError, UploadLimitError
from lofi.studio import (
    ConflictError,
    Settings,
    Studio,
    accounts,
    listings,
    releases,
    rounds,
    tracks,
    uploads,
)
from lofi.studio._cache import Cache
from lofi.studio._checks import CHECKS, BrokenError, Scope
from lofi.studio._database import Database
from lofi.studio._storage import Storage
from lofi.studio._tables import Credential, Event, Quota, Release, Worker
from lofi.web.dashboard import NAVIGATION

PRIVACIES = ("private", "unlisted", "public")
ME = "worker-1"


class Clock:
    """The moment it is for studio and YouTube alike; tests move it."""

    ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, fake_youtube: FakeYouTube) -> Clock:
    made = Clock()
    for module in ("_accounts", "_releases", "_uploads", "_tables"):
        monkeypatch.setattr(f"lofi.studio.{module}.now", made)
    fake_youtube.now = made
    return made


@pytest.fixture
def house(
    tmp_path: Path, migrated: Path, clock: Clock, request: pytest.FixtureRequest
) -> Iterator[Studio]:
    """A studio that may upload, and its account's channel is the fake's."""
    folder = tmp_path / "studio"
    folder.mkdir()
    shutil.copy(migrated, folder / "studio.db")
    settings = Settings(
        studio={"folder": folder}, youtube={"uploads": True}  # type: ignore[arg-type]
    )  # fmt: skip
    url = f"sqlite:///{folder / 'studio.db'}"
    if getattr(request, "param", "") == "postgresql":
        url = request.getfixturevalue("postgres_url")
    database = Database(url)
    if not database.is_sqlite:
        database.migrate()
    with Studio(
        settings, folder, database, Storage(str(folder / "storage")), Cache(None)
    ) as studio:
        with database.write() as session:
            session.add(Worker(id=ME, host="here", pid=1, lanes=[], version="0"))
        yield studio


@pytest.fixture
def channel(house: Studio, fake_youtube: FakeYouTube) -> FakeYouTube:
    connected(house, fake_youtube)
    accounts.client_of(house).sleep = lambda _seconds: None
    return fake_youtube


def put(house: Studio, number: int = 1, *, approved: str | None = "public", **more: Any) -> str:
    with house.database.write() as session:
        track = put_package(session, house.storage, number, **more)
        if approved:
            tracks.decide(session, track, "approved", actor="somebody", privacy=approved)
    return track


def plan(house: Studio, track: str, **wanted: Any) -> int:
    with house.database.write() as session:
        release = releases.plan(session, house.settings(), track, actor="somebody", **wanted)
        session.flush()
        return release.id


def change(house: Studio, what: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    with house.database.write() as session:
        what(session, *arguments, actor="somebody", **named)


def carry(house: Studio, who: str = ME, **options: Any) -> None:
    uploads.carry_due(house, who, **options)


def view(house: Studio, release: int) -> dict[str, Any]:
    with house.database.read() as session:
        return releases.view(session, release)


def state(house: Studio, release: int) -> str:
    return view(house, release)["state"]


# The account -------------------------------------------------------------------------------------


def browse(url: str) -> None:
    """What a person does in the browser: they consent, and are led back to this machine."""
    threading.Thread(target=httpx.get, args=(url,), kwargs={"follow_redirects": True}).start()


def test_an_account_is_connected_in_the_browser_and_its_key_is_sealed(
    house, fake_youtube, tmp_path
):
    file = fake_youtube.client_secrets(tmp_path / "client.json")
    fake_youtube.refresh_expires_in_s = 7 * 86_400
    found = accounts.connect(house, file, show=browse, open_browser=False, actor="somebody")
    assert (found["account"], found["figures"]) == ("Quiet Harbour Radio", True)
    assert found["account_id"] == fake_youtube.channel_id
    (key,) = (house.folder / "secret.key",)
    assert key.stat().st_mode & 0o777 == 0o600
    house.database.engine.dispose()
    kept = b"".join(p.read_bytes() for p in house.folder.glob("studio.db*"))
    for secret in fake_youtube.secrets():
        assert secret.encode() not in kept
    # Once more, without the file: the client is known.
    accounts.connect(house, show=browse, open_browser=False, actor="somebody")
    assert accounts.disconnect(house, actor="somebody")["ended_at_google"]
    assert accounts.account(house)["connected"] is False
    with pytest.raises(AuthError, match="lofi youtube connect"):
        accounts.youtube(house)


def test_a_consent_that_does_not_suffice_changes_nothing(house, channel, tmp_path):
    file = channel.client_secrets(tmp_path / "client.json")
    before = accounts.account(house)
    channel.shelf["boxes ticked"] = [FORCE_SSL.replace("force-ssl", "readonly")]
    with pytest.raises(AuthError, match="tick every box"):
        accounts.connect(house, file, show=browse, open_browser=False, actor="somebody")
    channel.shelf["person refuses"] = True
    with pytest.raises(LofiError, match="refused in the browser"):
        accounts.connect(house, file, show=browse, open_browser=False, actor="somebody")
    assert accounts.account(house) == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("not json", "not JSON"),
        ('{"web": {}}', "Desktop app"),
        ('{"installed": {"client_id": "x"}}', "no client_secret"),
        (
            """{"installed": {"client_id": "x", "client_secret": "y",
            "auth_uri": "https://accounts.google.com.example.com/auth",
            "token_uri": "https://oauth2.googleapis.com/token"}}""",
            "not Google's",
        ),
    ],
)
def test_a_client_file_that_cannot_be_used_says_why(house, tmp_path, text, told):
    file = tmp_path / "client.json"
    file.write_text(text)
    with pytest.raises(InputError, match=told):
        accounts.connect(house, file, show=print, open_browser=False, actor="somebody")


def test_a_failed_refresh_blanks_nothing_and_a_person_is_told(house, channel, clock):
    clock.ahead = timedelta(hours=2)  # the access token has ended
    channel.next("oauth.token", Fault(503))
    with pytest.raises(LofiError, match="tried again"):
        accounts.access_token(house)
    assert accounts.account(house)["problem"] is None
    sealed = stored(house).sealed
    channel.next("oauth.token", Fault(400, "invalid_grant"))
    with pytest.raises(AuthError, match="in Testing"):
        accounts.access_token(house)
    assert "withdrawn, or has expired" in accounts.account(house)["problem"]
    assert stored(house).sealed == sealed
    accounts.access_token(house)  # it was a passing fault of Google's: the key was still there
    assert accounts.account(house)["problem"] is None


def stored(house: Studio) -> Credential:
    with house.database.read() as session:
        return session.get_one(Credential, "youtube")


def test_many_at_once_refresh_once(house, channel, clock):
    clock.ahead = timedelta(hours=2)
    got: list[str] = []
    threads = [
        threading.Thread(target=lambda: got.append(accounts.access_token(house))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 6
    assert len(set(got)) == 1


def test_the_end_of_a_key_is_announced(house, channel, clock):
    def warned(days: float) -> str | None:
        clock.ahead = timedelta(days=days)
        return accounts.account(house)["warning"]

    # Google did not say when it ends: an app in Testing would lose it after seven days.
    assert warned(4.9) is None
    assert "should your Google project be in Testing" in (warned(5.1) or "")
    assert warned(7.1) is None
    with house.database.write() as session:
        row = session.get_one(Credential, "youtube")
        row.expires_at = row.connected_at + timedelta(days=7)
    assert warned(4.9) is None
    assert "Publish your Google project" in (warned(5.1) or "")
    assert "ended" in (warned(7.1) or "")
    with pytest.raises(BrokenError) as found:
        CHECKS["YouTube credentials"](Scope(house.base, str(house.database.url)), print)
    assert "Publish" in found.value.remedy


def test_another_secret_key_opens_nothing_and_says_so(house, channel, monkeypatch):
    monkeypatch.setenv("LOFI_SECRET_KEY", "short")
    with pytest.raises(InputError, match="32 are the least"):
        accounts.access_token(house)
    monkeypatch.setenv("LOFI_SECRET_KEY", "x" * 40)
    with pytest.raises(AuthError, match="secret key is another one"):
        accounts.access_token(house)
    monkeypatch.delenv("LOFI_SECRET_KEY")
    (house.folder / "secret.key").chmod(0o644)
    with pytest.raises(LofiError, match="chmod 600"):
        accounts.access_token(house)


# What may go out ---------------------------------------------------------------------------------


def test_nothing_goes_out_that_was_not_switched_on_connected_and_approved(
    house, fake_youtube, monkeypatch
):
    track = put(house, approved=None)
    monkeypatch.setattr(house, "base", Settings(studio=house.base.studio))
    with pytest.raises(InputError, match="switched off"):
        plan(house, track)
    monkeypatch.setattr(
        house, "base", Settings(studio=house.base.studio, youtube={"uploads": True})  # type: ignore[arg-type]
    )  # fmt: skip
    with pytest.raises(AuthError, match="no YouTube account"):
        plan(house, track)
    connected(house, fake_youtube)
    with pytest.raises(ConflictError, match="not approved"):
        plan(house, track)
    change(house, tracks.decide, track, "approved", privacy="unlisted")
    with pytest.raises(ConflictError, match="unlisted at most, not public"):
        plan(house, track, privacy="public")
    assert not fake_youtube.seen("youtube.videos.insert")
    told = releases.rehearse(house, track, privacy="public")
    assert [r["method"] for r in told["requests"]] == ["POST", "PUT", "POST"]
    assert told["requests"][0]["headers"]["Authorization"] == "Bearer …"
    assert "unlisted at most" in told["refusals"][0]
    assert not fake_youtube.sessions, "a rehearsal sends nothing"


def test_an_approval_that_is_withdrawn_stops_what_was_planned(house, channel):
    first, second, third = (plan(house, put(house, n), privacy="public") for n in (1, 2, 3))
    change(house, tracks.decide, view(house, first)["track_id"], "rejected")
    change(house, tracks.decide, view(house, second)["track_id"], "approved", privacy="private")
    with house.database.write() as session:  # and one was made anew
        tracks.find(session, view(house, third)["track_id"]).package_sha256 = "0" * 64
    carry(house)
    assert [state(house, r) for r in (first, second, third)] == ["failed"] * 3
    assert "not approved" in view(house, first)["error"]["cause"]
    assert not channel.sessions


def test_what_the_preflight_keeps_back_does_not_go_out(house, channel):
    track = put(house)
    release = plan(house, track)
    with house.database.write() as session:  # it was checked again, against a larger library
        tracks.find(session, track).verdict = "block"
    assert "originality" in releases.rehearse(house, track)["refusals"][0]
    carry(house)
    assert state(house, release) == "failed"
    assert "lofi preflight" in view(house, release)["error"]["remedy"]
    assert not channel.sessions
    change(house, tracks.decide, track, "approved", note="it is our own earlier piece")
    change(house, releases.retry, house.settings(), release)
    carry(house)
    assert state(house, release) == "uploaded"


def test_a_changed_listing_is_sent_as_it_was_approved(house, channel):
    track = put(house)
    release = plan(house, track)
    change(house, listings.change, track, listings.Edit(title="Harbour at Night"))
    carry(house)
    assert state(house, release) == "failed"
    assert not channel.seen("youtube.videos.insert"), "nobody has approved these words"
    change(house, tracks.decide, track, "approved", privacy="public")
    plan(house, track)
    carry(house)
    (sent,) = channel.seen("youtube.videos.insert")
    assert sent.body["snippet"]["title"] == "Harbour at Night"


def test_a_damaged_video_is_not_what_was_approved(house, channel):
    release = plan(house, put(house, padding=b"frames"))
    blob = hashlib.sha256(padded_video(b"frames")).hexdigest()
    path = house.folder / "storage" / blob[:2] / blob
    path.chmod(0o644)
    path.write_bytes(padded_video(b"framez"))
    carry(house)
    assert "damaged" in view(house, release)["error"]["cause"]
    assert not channel.sessions


# What arrives ------------------------------------------------------------------------------------


def test_a_release_arrives_with_all_that_belongs_to_it(house, channel):
    playlist = channel.add_playlist()
    data = random.Random(1).randbytes(3 * PIECE + 5)
    track = put(house, padding=data, localizations={"de": {"title": "Ruhiger Hafen"}})
    channel.next("youtube.thumbnails.set", Fault(503))
    channel.next("youtube.playlistItems.insert", Fault(lost=True))
    release = plan(house, track, privacy="unlisted", playlist=playlist)
    carry(house, chunk=PIECE)
    (video,) = channel.videos.values()
    data = padded_video(data)
    assert channel.media[video["id"]] == (hashlib.sha256(data).hexdigest(), len(data))
    assert channel.thumbnails[video["id"]].startswith(b"\xff\xd8\xff")
    assert len(channel.playlist_items) == 1
    status = video["status"]
    assert status["privacyStatus"] == "unlisted"
    assert status["containsSyntheticMedia"] is True
    assert status["selfDeclaredMadeForKids"] is False
    (sent,) = channel.seen("youtube.videos.insert")
    assert sent.params["notifySubscribers"] is False
    uploads.look_after(house)
    told = view(house, release)
    assert (told["state"], told["video_id"], told["error"]) == ("published", video["id"], None)
    assert told["thumbnail_set"]
    assert told["in_playlist"]
    carry(house)
    assert len(channel.videos) == 1
    # What was sent is in the audit trail, and by which approval.
    with house.database.read() as session:
        began = session.scalars(sa.select(Event).where(Event.verb == "began")).one()
    assert began.detail["listing"]["status"]["privacyStatus"] == "unlisted"
    assert began.detail["approval_id"] == 1


def test_a_moment_is_left_to_youtube_where_it_is_public_and_is_waited_for_where_not(
    house, channel, clock
):
    at = clock() + timedelta(hours=3)
    public = plan(house, put(house, 1), privacy="public", publish_at=at)
    hidden = plan(house, put(house, 2), privacy="private", publish_at=at)
    later = plan(house, put(house, 3), privacy="public", publish_at=at + timedelta(days=3))
    carry(house)
    (video,) = channel.videos.values()
    assert video["status"]["privacyStatus"] == "private"
    assert video["status"]["publishAt"] == f"{at:%Y-%m-%dT%H:%M:%SZ}"
    uploads.look_after(house)
    assert [state(house, r) for r in (public, hidden, later)] == ["uploaded", "planned", "planned"]
    clock.ahead += timedelta(hours=3, minutes=1)
    carry(house)
    uploads.look_after(house)
    assert (state(house, public), state(house, hidden)) == ("published", "uploaded")
    assert view(house, public)["privacy_there"] == "public"
    # Nothing ran for a week: what was to go out meanwhile is asked about.
    clock.ahead += timedelta(days=7)
    carry(house)
    assert state(house, later) == "missed"
    assert len(channel.videos) == 2


def test_a_video_that_is_there_is_changed_there(house, channel, clock):
    track = put(house, approved="private")
    release = plan(house, track)
    carry(house)
    uploads.look_after(house)
    assert state(house, release) == "uploaded"
    with pytest.raises(ConflictError, match="private at most"):
        plan(house, track, privacy="public")
    change(house, tracks.decide, track, "approved", privacy="public")
    at = clock() + timedelta(days=2)
    assert plan(house, track, privacy="public", publish_at=at) == release
    uploads.look_after(house)
    (video,) = channel.videos.values()
    assert video["status"]["publishAt"] == f"{at:%Y-%m-%dT%H:%M:%SZ}"
    assert video["snippet"]["tags"] == ["lofi", "chill beats"]
    clock.ahead += timedelta(days=2, minutes=1)
    uploads.look_after(house)
    assert state(house, release) == "published"
    change(house, tracks.decide, track, "rejected")
    plan(house, track, privacy="private")  # to hide it nobody is asked
    uploads.look_after(house)
    assert video["status"]["privacyStatus"] == "private"
    assert len(channel.videos) == 1


def test_what_youtube_makes_of_a_video_is_told(house, channel, clock):
    channel.processed_at_once = False
    release = plan(house, put(house), privacy="public")
    carry(house)
    uploads.look_after(house)
    assert state(house, release) == "uploaded"
    channel.process(view(house, release)["video_id"], failure="codec")
    clock.ahead += timedelta(minutes=1)
    uploads.look_after(house)
    told = view(house, release)
    assert (told["state"], told["actions"]) == ("failed", ["cancel", "retry"])
    assert "does not know the codec" in told["error"]["cause"]


# What goes wrong ---------------------------------------------------------------------------------


def test_a_forgotten_session_waits_for_a_persons_word(house, channel):
    for number, fault in ((1, Fault(cut=PIECE)), (2, Fault(lost=True))):
        plan(house, put(house, number, padding=b"v" * (number * PIECE + 1), title=f"No {number}"))
        channel.next("upload.put", fault)
        channel.next("upload.probe", *[Fault(503)] * 5)
        carry(house)
        assert state(house, number) == "uploading"
        assert view(house, number)["actions"] == ["cancel", "retry"]
    for session in channel.sessions.values():
        session.dead = 410
    for number in (1, 2):
        change(house, releases.retry, house.settings(), number)
    carry(house)
    assert [state(house, r) for r in (1, 2)] == ["needs_attention"] * 2
    assert view(house, 1)["actions"] == ["cancel", "resolve"]
    assert len(channel.videos) == 1
    (video,) = channel.videos
    there = 2  # as its title says
    assert [v["same_title"] for v in uploads.lookalikes(house, there)] == [True]
    assert [v["same_title"] for v in uploads.lookalikes(house, 1)] == [False]
    with pytest.raises(InputError, match="no video"):
        uploads.resolve(house, there, "nonsense", actor="somebody")
    uploads.resolve(house, there, video, actor="somebody")
    uploads.resolve(house, 1, None, actor="somebody")
    carry(house)
    assert [state(house, r) for r in (1, 2)] == ["uploaded"] * 2
    assert len(channel.videos) == 2


def test_a_channels_own_limit_lets_all_uploads_rest_for_a_day(house, channel, clock):
    channel.upload_limit = 1
    done, rests, waits = (plan(house, put(house, n)) for n in (1, 2, 3))
    with pytest.raises(UploadLimitError):
        carry(house)
    assert [state(house, r) for r in (done, rests)] == ["uploaded", "planned"]
    assert "limit of the channel" in view(house, rests)["error"]["remedy"]
    asked = len(channel.calls)
    with pytest.raises(LofiError, match="uploads rest until"):
        carry(house)
    assert len(channel.calls) == asked
    channel.upload_limit = None
    clock.ahead += timedelta(hours=24, minutes=1)
    carry(house)
    assert [state(house, r) for r in (rests, waits)] == ["uploaded"] * 2


def test_no_request_goes_beyond_the_quota_and_uploads_go_on_the_next_day(
    house, channel, clock, monkeypatch
):
    settings = Settings(
        studio=house.base.studio,
        youtube={"uploads": True, "uploads_per_day": 2, "units_per_day": 120},  # type: ignore[arg-type]
    )
    monkeypatch.setattr(house, "base", settings)
    channel.per_day |= {"uploads": 2, "units": 120}
    ids = [plan(house, put(house, n)) for n in range(1, 5)]
    with pytest.raises(QuotaError):
        carry(house)
    # The fourth's turn never came: at the third nothing was left.
    assert [state(house, r) for r in ids] == ["uploaded", "uploaded", "planned", "planned"]
    assert "does not suffice" in view(house, ids[2])["error"]["cause"]
    assert len(channel.seen("youtube.videos.insert")) == 2
    ask = accounts.youtube(house).call
    with pytest.raises(QuotaError):
        all(ask("youtube.channels.list", params={"part": "id", "mine": True}) for _ in range(200))
    day = channel.pacific_day()
    with house.database.read() as session:
        ours = {q.bucket: q.used for q in session.scalars(sa.select(Quota))}
        left = {b.bucket: b.left for b in accounts.quota(session, settings)}
    assert ours == {bucket: used for (_, bucket), used in channel.used.items()}
    assert channel.used[day, "units"] == 120
    assert (left["units"], left["uploads"]) == (0, 0)
    clock.ahead += timedelta(days=1)
    carry(house)
    assert [state(house, r) for r in ids[2:]] == ["uploaded"] * 2


def test_a_problem_of_the_account_stops_all_and_ends_with_it(house, channel, clock):
    release = plan(house, put(house))
    for grant in channel.grants.values():
        grant.revoked = True
    with pytest.raises(AuthError):
        carry(house)
    assert "expired" in accounts.account(house)["problem"]
    asked = len(channel.calls)
    clock.ahead += timedelta(minutes=1)
    with pytest.raises(AuthError):
        carry(house)
    assert len(channel.calls) == asked, "it is not asked again and again"
    connected(house, channel)
    carry(house)
    assert state(house, release) == "uploaded"


def test_only_one_worker_has_a_release_and_a_dead_one_loses_it(house, channel):
    with house.database.write() as session:
        session.add(Worker(id="worker-2", host="there", pid=2, lanes=[], version="0"))
    release = plan(house, put(house, padding=b"v" * (3 * PIECE)))
    stopped: list[bool] = []

    def stops_after_two_pieces() -> bool:
        stopped.append(len(channel.sessions) == 1 and len(stopped) > 5)
        if stopped[-1]:
            # Meanwhile the other one looks, too: it is in the hands of one who lives.
            carry(house, "worker-2")
            assert not channel.videos
            with house.database.write() as session:
                session.get_one(Worker, ME).ended_at = datetime.now(UTC)
                session.get_one(Release, release).worker_id = ME
            carry(house, "worker-2", chunk=PIECE)
        return not stopped[-1]

    carry(house, go_on=stops_after_two_pieces, chunk=PIECE)
    assert state(house, release) == "uploaded"
    assert len(channel.videos) == len(channel.sessions) == 1


def test_cancelling_stops_the_bytes(house, channel):
    release = plan(house, put(house, padding=b"v" * (4 * PIECE)))

    def cancelled_in_the_middle(method: str) -> Fault | None:
        if method == "upload.put" and state(house, release) == "uploading":
            change(house, releases.cancel, release)
        return None

    channel.chaos = cancelled_in_the_middle
    carry(house, chunk=PIECE)
    assert state(house, release) == "cancelled"
    assert not channel.videos


@pytest.mark.parametrize("house", ["postgresql"], indirect=True)
def test_postgresql_counts_refreshes_and_remembers_alike(house, channel, clock):
    release = plan(house, put(house), privacy="unlisted")
    clock.ahead = timedelta(hours=2)  # the access token has ended
    carry(house)
    uploads.look_after(house)
    assert state(house, release) == "published"
    ledger = accounts.QuotaLedger(house.database, house.settings)
    ledger.exhaust("searches")
    ledger.exhaust("searches")
    before = {b.bucket: b.left for b in quota(house)}["units"]
    taken: list[int] = []

    def take() -> None:
        for _ in range(40):
            try:
                ledger.reserve("units", 97)
            except QuotaError:
                return
            taken.append(97)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == before // 97 * 97, "all that was left was given out, and no more"
    assert {b.bucket: b.left for b in quota(house)}["searches"] == 0


def quota(house: Studio) -> list[Any]:
    with house.database.read() as session:
        return accounts.quota(session, house.settings())


# Rounds ------------------------------------------------------------------------------------------


def test_one_worker_does_the_rounds_as_long_as_it_lives(house):
    with house.database.write() as session:
        session.add(Worker(id="worker-2", host="there", pid=2, lanes=[], version="0"))
    assert rounds.lead(house.database, ME)
    assert not rounds.lead(house.database, "worker-2")
    with house.database.write() as session:
        session.get_one(Worker, ME).ended_at = datetime.now(UTC)
    assert rounds.lead(house.database, "worker-2")
    assert not rounds.lead(house.database, ME)


def test_a_round_that_fails_ends_no_other(house, monkeypatch):
    done = threading.Event()

    class Worker1:
        id = ME

    def run(each: rounds.Round, _studio: Studio) -> None:
        if each.name == "breaks":
            raise RuntimeError("of a secret kind")
        if each.name == "waits":
            raise LofiError("it waits. For you.")
        done.set()

    monkeypatch.setattr(rounds.Round, "run", run)
    monkeypatch.setattr(house, "worker", Worker1())
    table = tuple(rounds.Round(n, 60.0, "") for n in ("breaks", "waits", "works"))
    thread = rounds.Rounds(house, table)
    assert done.wait(10)
    thread.close()
    monkeypatch.setattr(house, "worker", None)
    with house.database.read() as session:
        told = rounds.troubles(session)
    assert set(told) == {"breaks", "waits"}
    assert told["waits"]["error"] == "it waits. For you."
    assert "secret kind" not in told["breaks"]["error"]


# The doors -------------------------------------------------------------------------------------


def test_a_track_is_released_through_the_api_by_the_server_itself(
    tmp_path, migrated, fake_youtube, monkeypatch
):
    own = [r for r in rounds.ROUNDS if r.work.startswith("_uploads:")]
    monkeypatch.setattr(rounds, "ROUNDS", tuple(own))  # others ask what this YouTube does not know
    with serving(tmp_path, migrated, youtube={"uploads": True}, work={"niceness": 0}) as api:
        house = api.studio
        with house.database.write() as session:
            track = put_package(session, house.storage)
        where = f"/api/tracks/{track}/releases"
        problem(api.post(where, json={"privacy": "public"}), 409, "conflict")
        connected(house, fake_youtube)
        told = problem(api.post(where, json={"privacy": "public"}), 409, "conflict")
        assert "lofi track approve" in told["remedy"]
        api.post(f"/api/tracks/{track}/approve", json={"privacy": "public"})
        rehearsed = api.post(f"{where}/rehearsal", json={"privacy": "public"}).json()
        assert rehearsed["refusals"] == []
        assert not fake_youtube.sessions
        house.work()
        key = {"Idempotency-Key": "once"}
        made = api.post(where, json={"privacy": "public"}, headers=key)
        assert made.status_code == 201, made.text
        assert api.post(where, json={"privacy": "public"}, headers=key).json() == made.json()
        address = made.headers["Location"]
        deadline = time.monotonic() + 60
        while (release := api.get(address).json())["state"] != "published":
            assert time.monotonic() < deadline, release
            if house.rounds and release["state"] == "uploaded":
                house.rounds.wake("releases")
            time.sleep(0.05)
        assert release["url"].endswith(release["video_id"])
        assert [r["id"] for r in api.get("/api/releases?state=published").json()["items"]] == [1]
        problem(api.post(f"{address}/cancel"), 409, "conflict")
        problem(api.post(f"{address}/resolve", json={"video_id": "x" * 11}), 422, "invalid-input")
        problem(api.get("/api/releases/99"), 404, "not-found")
        state = api.get("/api/youtube").json()
        assert (state["account"], state["uploads"]) == ("Quiet Harbour Radio", True)
        left = {b["bucket"]: b["left"] for b in state["quota"]}
        assert left["uploads"] == 99
        assert state["releases"] == {"published": 1}
        # Who may only write may not publish.
        writer = api.token("writer", "write")
        problem(api.post(where, json={}, headers=writer), 403, "forbidden")
        admin = api.token("everything", "admin")
        paths = ["/api/youtube", "/api/releases", f"/api/tracks/{track}", "/api/config",
                 "/api/events", "/metrics", *(path for _, path, *_ in NAVIGATION)]  # fmt: skip
        everything = "".join(api.get(path, headers=admin).text for path in paths)
        assert release["video_id"] in everything
        assert len(fake_youtube.videos) == 1
        for secret in fake_youtube.secrets():
            assert secret not in everything


def test_a_track_is_released_by_commands(house, fake_youtube, monkeypatch, capsys, tmp_path):
    from lofi.cli import app

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOFI_STUDIO__FOLDER", str(house.folder))
    monkeypatch.setenv("LOFI_YOUTUBE__UPLOADS", "true")
    monkeypatch.setattr(
        "webbrowser.get", lambda *_: SimpleNamespace(open=lambda url, **_: browse(url))
    )
    track = put(house)

    def lofi(*words: str) -> str:
        app(words, standalone_mode=False)
        return capsys.readouterr().out

    secrets_file = str(fake_youtube.client_secrets(tmp_path / "client.json"))
    assert "connected to Quiet Harbour Radio" in lofi(
        "youtube", "connect", "--client-secrets", secrets_file
    )
    rehearsed = json.loads(lofi("release", track, "--privacy", "unlisted", "--dry-run"))
    assert rehearsed["requests"][0]["body"]["status"]["privacyStatus"] == "unlisted"
    assert not fake_youtube.sessions
    assert "planned" in lofi("release", track, "--privacy", "unlisted")
    assert json.loads(lofi("releases", "upload", "--json")) == {"uploaded": 1}
    (video,) = fake_youtube.videos
    assert video in lofi("releases")
    told = json.loads(lofi("youtube", "status", "--json"))
    assert {b["bucket"]: b["left"] for b in told["quota"]}["uploads"] == 99
    with pytest.raises(ConflictError, match="on YouTube already"):
        lofi("releases", "cancel", "1")
    assert "is disconnected" in lofi("youtube", "disconnect")


# By force ----------------------------------------------------------------------------------------


class Storm:
    """What happens to a hundred uploads: at random requests their process or YouTube dies."""

    def __init__(self, fake: FakeYouTube, seed: int) -> None:
        self.fake, self.chance, self.lock = fake, random.Random(seed), threading.Lock()
        self.victim: int | None = None
        self.until_death = 5
        self.deaths = self.crashes = 0

    def __call__(self, method: str) -> Fault | None:
        with self.lock:
            draw, delay_s = self.chance.random(), self.chance.choice((0.0, 0.0, 0.001, 0.004, 0.02))
            self.until_death -= 1
            if self.until_death <= 0 and self.victim:
                self.until_death = self.chance.randint(3, 25)
                self.deaths += 1
                threading.Timer(delay_s, self.kill, (self.victim,)).start()
                self.victim = None
            elif draw < 0.02:
                self.crashes += 1
                threading.Thread(target=self.crash).start()
        if draw < 0.06:
            return Fault(self.chance.choice((500, 502, 503)))
        if draw < 0.10:
            return Fault(lost=True)
        if draw < 0.15 and method == "upload.put":
            return Fault(cut=self.chance.randrange(2 * PIECE))
        if draw < 0.17:
            return Fault(slow_s=0.02)
        return None

    def kill(self, process: int) -> None:
        os.kill(process, signal.SIGKILL)

    def crash(self) -> None:
        with self.lock:
            self.fake.crash()
            self.fake.rise()


def test_a_hundred_uploads_under_fire_are_a_hundred_videos(house, channel, tmp_path, monkeypatch):
    chance = random.Random(7)
    monkeypatch.setenv("LOFI_YOUTUBE__UPLOADS", "true")
    monkeypatch.setenv("LOFI_YOUTUBE__UPLOADS_PER_DAY", "600")
    channel.per_day["uploads"] = 600
    monkeypatch.setattr(os, "fsync", lambda _file: None)  # nobody pulls the plug here
    playlist = channel.add_playlist()
    wanted: dict[str, tuple[str, str, str]] = {}
    with house.database.write() as session:
        for number in range(100):
            data = chance.randbytes(chance.randrange(PIECE // 4, 2 * PIECE))
            allowed = chance.choice(PRIVACIES)
            privacy = chance.choice(PRIVACIES[: PRIVACIES.index(allowed) + 1])
            title = f"Quiet Harbour {number}"
            track = put_package(session, house.storage, number, padding=data, title=title)
            tracks.decide(session, track, "approved", actor="somebody", privacy=allowed)
            releases.plan(
                session, house.settings(), track, actor="somebody", privacy=privacy,
                playlist=playlist if number % 20 == 0 else "",
            )  # fmt: skip
            data = padded_video(data)
            wanted[title] = (hashlib.sha256(data).hexdigest(), allowed, privacy)
    storm = Storm(channel, seed=7)
    channel.chaos = storm
    process = subprocess.Popen(
        [sys.executable, Path(__file__).parent / "youtube_process.py", house.folder],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    said, status, begun = "", 1, time.monotonic()
    while status:
        assert time.monotonic() - begun < 200, said
        process.stdin.write("\n")
        process.stdin.flush()
        child = int(process.stdout.readline())
        storm.victim = child
        line = process.stdout.readline()
        said += line
        status = int(line.split()[2])
        assert status in (0, -signal.SIGKILL), process.communicate()[1]
        storm.victim = None
    out, err = process.communicate()
    with storm.lock:
        channel.chaos = lambda _method: None
    print(f"{storm.deaths} deaths, {storm.crashes} crashes, {len(channel.sessions)} sessions")
    assert storm.deaths >= 20
    # A hundred videos, each whole, each as public as was asked for and no more.
    assert len(channel.videos) == 100
    titles = {video["snippet"]["title"] for video in channel.videos.values()}
    assert titles == set(wanted)
    for video in channel.videos.values():
        sha256, _, privacy = wanted[video["snippet"]["title"]]
        assert channel.media[video["id"]][0] == sha256
        assert video["status"]["privacyStatus"] == privacy
    assert not channel.seen("youtube.videos.update")
    for call in channel.seen("youtube.videos.insert"):
        allowed = wanted[call.body["snippet"]["title"]][1]
        sent = call.body["status"]["privacyStatus"]
        assert PRIVACIES.index(sent) <= PRIVACIES.index(allowed)
        assert call.body["status"]["containsSyntheticMedia"] is True
    # The quota as it was counted here was never less than what YouTube counted, nor ever exceeded.
    with house.database.read() as session:
        for row in session.scalars(sa.select(Quota)):
            assert channel.used[row.day, row.bucket] <= row.used
            assert row.used <= {"uploads": 600, "units": 10_000}[row.bucket]
        assert not session.scalar(
            sa.select(Release.id).where(Release.state.not_in(("uploaded", "published"))).limit(1)
        )
        trail = json.dumps([e.detail for e in session.scalars(sa.select(Event))])
    for secret in channel.secrets():
        assert secret not in trail
        assert secret not in said + out + err


# What is told to nobody --------------------------------------------------------------------------


def test_no_secret_is_ever_told(house, channel, caplog, capsys):
    """Everything that can go wrong goes wrong, with all logs on."""
    caplog.set_level(logging.DEBUG)
    for logger in ("httpx", "httpcore"):
        logging.getLogger(logger).setLevel(logging.NOTSET)
    ids = [plan(house, put(house, n, padding=b"v" * (PIECE + n))) for n in range(1, 5)]
    channel.next("youtube.videos.insert", Fault(401, "authError"), Fault(500), Fault(lost=True))
    channel.next("upload.put", Fault(401, "authError"), Fault(cut=100), Fault(400, "badRequest"))
    channel.next("upload.probe", Fault(410, "gone"))
    told = ""
    for _ in range(3):
        try:
            carry(house)
        except LofiError as error:
            told += str(error) + repr(error)
    told += json.dumps([view(house, r) for r in ids]) + repr(accounts.account(house))
    told += repr(accounts.client_of(house)) + repr(stored(house))
    with house.database.read() as session:
        told += json.dumps([e.detail for e in session.scalars(sa.select(Event))])
        told += repr(session.scalars(sa.select(Release)).all())
    out = capsys.readouterr()
    told += caplog.text + out.out + out.err
    assert len(channel.sessions) >= 4
    for secret in channel.secrets():
        assert secret not in told, secret[:6]
