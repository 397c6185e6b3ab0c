"""The preflight: every rule holds of a good track, and each is broken by what it is about."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from test_listing import FACTS
from youtube import check_value, methods

from lofi.brief import InputError, LofiError
from lofi.channel import (
    RULES,
    Approved,
    Candidate,
    Encoding,
    Endpoint,
    Picture,
    Recent,
    check_listing,
    passes,
    preflight,
    read_encoding,
    read_picture,
    rewrite,
    shape_call,
    thumbnail_alikeness,
    write_listing,
)

LISTING = write_listing(FACTS).to_dict()
VIDEO = Encoding(
    "mp4", True, 0, "h264", "High", "yuv420p", 1920, 1080, 30.0, 2, 15, 105.4, "aac", "LC", 48_000,
    2, 384_000, 105.4,
)  # fmt: skip
LOOKS = "80" * 432
PICTURE = Picture(400_000, 1280, 720, "jpeg", LOOKS)
TUNE = "".join(f"{i:08x}" for i in range(64))
OTHER = Recent("copper-tape-1", "Copper Tape [cozy lofi, 74 bpm]", "ffffffff" * 64, "00" * 432)
GOOD = Candidate(
    listing=LISTING,
    video=VIDEO,
    thumbnail=PICTURE,
    melody=TUNE,
    verdict="pass",
    approval=Approved("private"),
    uploads_left=1,
    units_left=50,
    recent=[OTHER],
    that_day=1,
    most_a_day=2,
    moment=datetime(2026, 11, 28, tzinfo=UTC),
)


def said(part: str, /, **fields: Any) -> dict[str, Any]:
    return {**LISTING, part: {**LISTING[part], **fields}}


def video(**fields: Any) -> dict[str, Any]:
    return {"video": replace(VIDEO, **fields)}


BROKEN: dict[str, dict[str, Any]] = {
    "title": {"listing": said("snippet", title="")},
    "title-length": {"listing": said("snippet", title="x" * 101)},
    "title-brackets": {"listing": said("snippet", title="<b>")},
    "description-bytes": {"listing": said("snippet", description="é" * 2501)},
    "description-brackets": {"listing": said("snippet", description="a > b")},
    "tags-length": {"listing": said("snippet", tags=["x" * 501])},
    "tags-plain": {"listing": said("snippet", tags=["a,b"])},
    "text": {"listing": said("snippet", title="a\x07")},
    "category": {"listing": said("snippet", categoryId="99")},
    "localizations": {"listing": said("localizations", de={"title": "", "description": ""})},
    "parts": {"listing": said("query", part="snippet")},
    "privacy": {"listing": said("status", privacyStatus=None)},
    "publish-at": {"listing": said("status", publishAt="2026-11-27T00:00:00Z")},
    "synthetic": {"listing": said("status", containsSyntheticMedia=False)},
    "kids": {"listing": said("status", selfDeclaredMadeForKids=None)},
    "notify": {"listing": said("query", notifySubscribers=None)},
    "chapters": {"listing": said("snippet", description="0:00 a\n0:30 b\n59:00 c")},
    "hashtags": {"listing": said("snippet", description="#a " * 61)},
    "video": {"video": None},
    "container": video(faststart=False),
    "picture-coding": video(b_frames=3),
    "frame": video(width=1440),
    "sound-coding": video(sample_rate=44_100),
    "same-length": video(audio_s=100.0),
    "long": video(video_s=901.0, audio_s=901.0),
    "thumbnail": {"thumbnail": None},
    "thumbnail-bytes": {"thumbnail": replace(PICTURE, bytes=2_000_001)},
    "thumbnail-kind": {"thumbnail": replace(PICTURE, kind="other")},
    "originality": {"verdict": "block"},
    "originality-sure": {"verdict": "not checked"},
    "approval": {"approval": None},
    "how-public": {"listing": said("status", privacyStatus="unlisted")},
    "uploads-left": {"uploads_left": 0},
    "units-left": {"units_left": 49},
    "per-day": {"that_day": 2},
    "same-title": {"recent": [replace(OTHER, title=LISTING["snippet"]["title"].upper())]},
    "alike-title": {"recent": [replace(OTHER, title=LISTING["snippet"]["title"] + " again")]},
    "alike-sound": {"recent": [replace(OTHER, melody=TUNE[: 64 * 4] + "f" * 64 * 4)]},
    "alike-thumbnail": {"recent": [replace(OTHER, thumbnail="82" * 432)]},
}


def test_a_good_track_passes_every_rule():
    assert [f for f in preflight(GOOD) if f.outcome != "ok"] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_each_rule_is_broken_by_what_it_is_about(rule):
    findings = {f.id: f for f in preflight(replace(GOOD, **BROKEN[rule.id]))}
    assert findings[rule.id].outcome == rule.severity, findings[rule.id]
    assert findings[rule.id].detail
    assert passes(list(findings.values())) is (rule.severity == "warn")


def test_what_is_not_known_is_told_as_such_and_keeps_nothing_back():
    bare = replace(
        GOOD, uploads_left=None, units_left=None, recent=None, that_day=None, melody=None
    )
    findings = {f.id: f for f in preflight(bare)}
    unknown = {i for i, f in findings.items() if f.outcome == "unknown"}
    assert unknown == {
        "uploads-left", "units-left", "per-day", "same-title", "alike-title", "alike-sound",
        "alike-thumbnail",
    }  # fmt: skip
    assert all(findings[i].detail for i in unknown)
    assert passes(list(findings.values()))
    some = replace(GOOD, recent=[OTHER, Recent("old", "An old one")])
    detail = {f.id: f.detail for f in preflight(some)}["alike-sound"]
    assert "1 of 2" in detail


def test_a_note_of_the_approval_says_why_what_resembles_may_go_out():
    alike = replace(GOOD, verdict="block", recent=[replace(OTHER, melody=TUNE)])
    outcomes = {f.id: f.outcome for f in preflight(alike)}
    assert (outcomes["originality"], outcomes["alike-sound"]) == ("block", "block")
    noted = replace(alike, approval=Approved("private", "the long version of our own"))
    outcomes = {f.id: f.outcome for f in preflight(noted)}
    assert (outcomes["originality"], outcomes["alike-sound"]) == ("ok", "ok")


def test_public_later_needs_an_approval_for_public():
    later = said("status", publishAt="2026-12-01T18:00:00Z")
    findings = {f.id: f for f in preflight(replace(GOOD, listing=later))}
    assert "would be public" in findings["how-public"].detail
    public = replace(GOOD, listing=later, approval=Approved("public"))
    assert passes(preflight(public))


def test_the_request_is_one_that_youtube_describes():
    params, body = shape_call(LISTING, privacy="unlisted")
    method = methods()["youtube.videos.insert"]
    check_value({"$ref": "Video"}, body, method.schemas)
    assert body["status"]["privacyStatus"] == "unlisted"
    assert set(body) == set(params["part"])


# Files -----------------------------------------------------------------------------------------


def test_our_own_videos_are_encoded_as_youtube_advises(tmp_path: Path):
    import symusic

    from lofi.picture import render_video

    path = tmp_path / "video.mp4"
    noise = np.random.default_rng(1).normal(0, 0.1, (2, 44_100 * 2)).astype(np.float32)
    render_video(
        path, score=symusic.Score(480), audio=noise, rate=44_100,
        palette="dusk", template="minimal", title="Amber", subtitle="76 bpm", seed=1, width=640,
        height=360, fps=30, threads=1,
    )  # fmt: skip
    with path.open("rb") as file:
        found = read_encoding(file)
    assert (found.b_frames, found.longest_group, found.edit_lists) == (2, 15, 0)
    assert found.video_s == pytest.approx(2.0, abs=0.05)
    outcomes = {f.id: f for f in preflight(replace(GOOD, video=found))}
    for rule in ("container", "picture-coding", "sound-coding", "same-length"):
        assert outcomes[rule].outcome == "ok", outcomes[rule]
    assert "640×360" in outcomes["frame"].detail


def test_a_video_made_otherwise_is_told_what_is_against_the_advice():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"  # type: ignore[union-attr]
        sound = container.add_stream("aac", rate=44_100, layout="mono")
        for i in range(50):
            frame = av.VideoFrame(320, 240, "yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(video.encode(frame))  # type: ignore[union-attr]
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 44_100), np.float32), "fltp", "mono")
        silence.sample_rate, silence.pts = 44_100, 0
        container.mux(sound.encode(silence))  # type: ignore[union-attr]
        for stream in (video, sound):
            container.mux(stream.encode(None))  # type: ignore[union-attr]
    found = {f.id: f.detail for f in preflight(replace(GOOD, video=read_encoding(file)))}
    assert "index stands behind" in found["container"]
    assert "mpeg4" in found["picture-coding"]
    assert "44100" in found["sound-coding"]
    assert "1 channels" in found["sound-coding"]
    assert "lasts" in found["same-length"]


@pytest.mark.parametrize("data", [b"", b"no video at all" * 100, b"\0\0\0\x08moov" * 50])
def test_what_is_no_video_is_refused(data):
    with pytest.raises(InputError, match="Make the track again"):
        read_encoding(io.BytesIO(data))


def test_a_thumbnail_of_the_same_scene_looks_alike_under_any_title(tmp_path: Path):
    from lofi.picture import render_thumbnail

    def looks(palette: str, seed: int, title: str) -> str:
        path = tmp_path / "picture.jpg"
        render_thumbnail(path, palette=palette, title=title, subtitle="chill lofi", seed=seed)
        found = read_picture(path.read_bytes())
        assert (found.width, found.height, found.kind) == (1280, 720, "jpeg")
        return found.likeness

    one, again = looks("dusk", 3, "Amber Roads"), looks("dusk", 3, "Evening Porch")
    assert thumbnail_alikeness(one, again) >= 0.8
    assert thumbnail_alikeness(one, looks("teal", 4, "Amber Roads")) < 0.6
    with pytest.raises(InputError, match="picture"):
        read_picture(b"no picture")


# Worded by somebody else -----------------------------------------------------------------------

KEY = "sk-very-secret-5d1f"


class Model:
    """An OpenAI-compatible endpoint that says what a test wants it to."""

    def __init__(self) -> None:
        self.status, self.headers = 200, {}
        self.words: Any = {}
        self.raw: bytes | None = None
        self.asked: list[dict[str, Any]] = []
        self.pause_s = 0.0
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                model.asked.append({"path": self.path, "headers": dict(self.headers), **body})
                said = f"Sure!\n```json\n{json.dumps(model.words)}\n```"
                told = {"choices": [{"message": {"role": "assistant", "content": said}}]}
                data = json.dumps(told).encode() if model.raw is None else model.raw
                self.send_response(model.status)
                for name, value in model.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                try:
                    for i in range(0, len(data), 20_000):
                        self.wfile.write(data[i : i + 20_000])
                        time.sleep(model.pause_s)
                except OSError:
                    pass  # whoever asked has left

            def log_message(self, format: str, *_: Any) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def reword(self, **endpoint: Any) -> dict[str, Any]:
        settings = {"url": self.url, "model": "small", "key": KEY, "within_s": 5.0} | endpoint
        return rewrite(LISTING, NAME, Endpoint(**settings))


NAME = write_listing(FACTS).name


@pytest.fixture
def model() -> Iterator[Model]:
    made = Model()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_an_endpoint_rewords_title_and_opening_and_nothing_else(model):
    model.words = {"title": f"{NAME}, for the last train", "opening": "Slow and warm."}
    made = model.reword()
    before, after = LISTING["snippet"], made["snippet"]
    assert after["title"] == f"{NAME}, for the last train"
    assert after["description"].split("\n")[1:] == before["description"].split("\n")[1:]
    assert after["description"].startswith("Slow and warm.\n")
    assert {**made, "snippet": 0} == {**LISTING, "snippet": 0}
    assert check_listing(made) == []
    (asked,) = model.asked
    assert (asked["path"], asked["model"]) == ("/v1/chat/completions", "small")
    assert asked["headers"]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"title": NAME + " " + "x" * 100, "opening": "a"}, "100 characters"),
        ({"title": "Something else", "opening": "a"}, "does not name"),
        ({"title": f"{NAME} <3", "opening": "a"}, "< or >"),
        ({"title": NAME, "opening": "Visit www.example.com"}, "link"),
        ({"title": NAME, "opening": "#buy"}, "hashtag"),
        ({"title": NAME, "opening": " "}, "opening is empty"),
        ({"title": NAME, "opening": "x" * 601}, "600"),
        ({"title": NAME}, "no JSON"),
        ({"title": 3, "opening": []}, "no JSON"),
        ([], "no JSON"),
    ],
)
def test_what_an_endpoint_says_passes_the_rules_or_is_refused_with_the_reason(model, words, why):
    model.words = words
    with pytest.raises(LofiError, match="refused") as caught:
        model.reword()
    assert why in str(caught.value)


def test_an_endpoint_that_fails_is_told_without_the_key(model):
    model.raw = json.dumps({"error": f"Incorrect API key provided: {KEY}"}).encode()
    for status, why in ((401, "LOFI_REWRITE_KEY"), (404, "rewrite_model"), (429, "wait"),
                        (500, "Try again"), (302, "points elsewhere")):  # fmt: skip
        model.status = status
        model.headers = {"Location": f"{model.url}/chat/completions"} if status == 302 else {}
        with pytest.raises(LofiError, match=why) as caught:
            model.reword()
        assert KEY not in str(caught.value)
    assert len(model.asked) == 5, "no redirect is followed"
    model.status, model.raw = 200, b"{}" + b" " * 300_000
    with pytest.raises(LofiError, match="200,000 bytes"):
        model.reword()
    model.raw, model.pause_s = b" " * 100_000, 0.2
    with pytest.raises(LofiError, match="within"):
        model.reword(within_s=0.3)
    with pytest.raises(LofiError, match="cannot be reached"):
        model.reword(url="http://127.0.0.1:1/v1")
    assert KEY not in repr(Endpoint(model.url, "small", KEY))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/v1", "unencrypted"),
        ("https://me:pw@example.com/v1", "password"),
        ("file:///etc/passwd", "must be an address"),
        ("nonsense", "must be an address"),
        ("http://[::1", "cannot be read"),
    ],
)
def test_a_key_goes_to_no_address_that_would_not_keep_it(model, url, why):
    with pytest.raises(InputError, match=why):
        model.reword(url=url)
