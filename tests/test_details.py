"""Tracks looked at closely, made again in part, and changed many at once, over HTTP."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile
from api import Api, problem
from shelf import put_music, put_track

from lofi import channel
from lofi.brief import Brief
from lofi.studio import STAGES, Commission, commission, stage_key
from lofi.studio._commission import Remake
from lofi.studio._tables import Artifact, Job, Track

AGAIN = {"palette": "teal"}


@pytest.fixture
def track(api: Api) -> str:
    with api.studio.database.write() as session:
        return put_music(session, api.studio.storage)


@pytest.fixture
def ordered(api: Api) -> str:
    """A track whose job has the commission that a job has."""
    made = commission(Brief(seed=1, mood="chill", palette="dusk"), api.studio.settings())
    with api.studio.database.write() as session:
        track = put_track(session, 1, storage=api.studio.storage, title="Called Otherwise")
        session.get_one(Job, f"{1:016x}").commission = made.to_json()
    return track


def test_the_wave_is_that_of_the_master(api: Api, track):
    answer = api.get(f"/api/tracks/{track}/peaks")
    told = answer.json()
    assert told["duration_s"] == pytest.approx(24, abs=0.01)
    assert len(told["peak"]) == len(told["rms"]) == pytest.approx(2000, abs=5)
    # A sine that swells from a half: its peak is the square root of two above its power.
    assert told["peak"][0] == pytest.approx(0.5 * 255, abs=8)
    assert told["rms"][1000] == pytest.approx(told["peak"][1000] / np.sqrt(2), abs=3)
    again = api.get(f"/api/tracks/{track}/peaks", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_what_is_heard_when_has_every_note_and_the_stems(api: Api, track):
    told = api.get(f"/api/tracks/{track}/timeline", headers={"Accept-Encoding": "identity"}).json()
    assert told["bpm"] == 80.0
    assert len(told["bars_s"]) == sum(s["bars"] for s in told["sections"])
    assert set(told["stems"]) == set(told["notes"])
    for notes in told["notes"].values():
        onsets = [n[2] for n in notes]
        assert onsets == sorted(onsets)
        assert onsets[-1] < told["duration_s"]


def test_pieces_put_together_are_the_whole(api: Api, track):
    whole, rate = read(api.get(f"/api/tracks/{track}/files/stems/bass.flac").content)
    pieces = [
        read(
            api.get(f"/api/tracks/{track}/pieces/stems/bass.flac?start_s={s}&length_s=10").content
        )[0]
        for s in (0, 10, 20)
    ]
    assert rate == 44_100
    assert np.array_equal(np.concatenate(pieces), whole)
    past = api.get(f"/api/tracks/{track}/pieces/master.flac?start_s=24.5")
    assert "nothing begins" in problem(past, 422, "invalid-input")["detail"]
    problem(api.get(f"/api/tracks/{track}/pieces/track.mid"), 422, "invalid-input")
    problem(api.get(f"/api/tracks/{track}/pieces/master.flac?start_s=nan"), 422, "invalid-input")


def read(data: bytes) -> tuple[Any, int]:
    return soundfile.read(io.BytesIO(data), dtype="int16")


def test_a_cover_is_small_and_kept_by_its_address(api: Api, track):
    answer = api.get(f"/api/tracks/{track}/cover.jpg?v=1")
    assert answer.content.startswith(b"\xff\xd8")
    assert len(answer.content) < 20_000
    assert "immutable" in answer.headers["cache-control"]
    problem(api.get(f"/api/tracks/{track}/cover-as.jpg?palette=plaid"), 422, "invalid-input")


def test_a_track_without_files_says_what_is_missing(api: Api):
    with api.studio.database.write() as session:
        bare = put_track(session, 1)
    for what in ("peaks", "timeline", "resemblances"):
        told = problem(api.get(f"/api/tracks/{bare}/{what}"), 422, "invalid-input")
        assert "this track has no" in told["detail"]
    problem(api.get(f"/api/tracks/{bare}/cover.jpg"), 404, "not-found")


# Made again ------------------------------------------------------------------------------------


def stages_that_differ(one: Commission, other: Commission) -> set[str]:
    def keys(c: Commission) -> dict[str, str]:
        return {
            name: stage_key(stage, c, dict.fromkeys(stage.reads, "0" * 64))
            for name, stage in STAGES.items()
        }

    return {name for name, key in keys(one).items() if keys(other)[name] != key}


def test_a_remake_is_the_same_track_and_makes_only_what_is_otherwise(api: Api, ordered):
    answer = api.post(f"/api/tracks/{ordered}/rerender", json=AGAIN)
    assert answer.status_code == 202, answer.text
    with api.studio.database.read() as session:
        made = Commission.from_json(session.get_one(Job, f"{1:016x}").commission)
        again = Commission.from_json(session.get_one(Job, answer.json()["id"]).commission)
    assert again.track_id == ordered
    assert again.title == "Called Otherwise"  # what its pictures show
    assert stages_that_differ(made, again) == {"picture", "thumbnail", "listing", "package"}
    assert again.picture_seed == made.brief.seed
    versions = api.get(f"/api/tracks/{ordered}").json()["versions"]
    assert [(v["palette"], v["state"], v["current"]) for v in versions] == [
        ("teal", "queued", False), ("dusk", "done", True)
    ]  # fmt: skip
    twin = api.post(f"/api/tracks/{ordered}/rerender", json=AGAIN)
    problem(twin, 409, "conflict")


def test_what_a_remake_may_change_is_no_more_than_asked_for(api: Api, ordered):
    with api.studio.database.write() as session:
        row = session.get_one(Job, f"{1:016x}")
        made = Commission.from_json(row.commission)
        called = Remake(ordered, "Called Otherwise", made.brief.seed)
        row.commission = replace(made, remake=called).to_json()
    path = f"/api/tracks/{ordered}/rerender"
    told = problem(api.post(path, json={"palette": "dusk"}), 422, "invalid-input")
    assert "nothing would be otherwise" in told["detail"]
    for wrong in (
        {"palette": "plaid"},
        {"soundfont": "../x.sf2"},
        {"picture_seed": -1},
        {"bpm": 9},
    ):
        problem(api.post(path, json=wrong), 422, "invalid-input")
    problem(api.post("/api/tracks/nothing/rerender", json=AGAIN), 404, "not-found")
    job = api.post(path, json={"stems": True, "soundfont": "kit", "picture_seed": 12}).json()["id"]
    with api.studio.database.read() as session:
        again = Commission.from_json(session.get_one(Job, job).commission)
    assert (again.keep_stems, again.picture_seed, again.brief) == (True, 12, made.brief)


def test_of_several_versions_any_can_be_used_and_keeps_what_was_decided(api: Api):
    studio = api.studio
    made = commission(Brief(seed=1, mood="chill"), studio.settings()).to_json()
    said = channel.write_listing(
        channel.TrackFacts("x", "chill", 80.0, "A minor", 24.0, 1, "dusk", None)
    )
    with studio.database.write() as session:
        track = put_music(session, studio.storage, 1)
        row = session.get_one(Track, track)
        later = {**row.facts, "brief": {**row.facts["brief"], "palette": "teal"}}
        put_track(
            session, 2, storage=studio.storage, files={"track.json": json.dumps(later).encode()}
        )
        first, second = f"{1:016x}", f"{2:016x}"
        session.get_one(Job, second).track_id = track
        row.package_sha256 = session.get_one(Artifact, (first, "track.json")).sha256
        session.get_one(Job, first).commission = made
    url = f"/api/tracks/{track}"
    problem(api.post(f"{url}/versions/{second}/use"), 409, "conflict")  # it is not whole
    with studio.database.write() as session:
        session.get_one(Job, second).commission = made
        blob = studio.storage.put_bytes(json.dumps(said.to_dict()).encode())
        for job in (first, second):
            session.add(
                Artifact(
                    job_id=job, name="listing.json", stage="package", kind="data",
                    media_type="application/json", sha256=blob.sha256, size=blob.size,
                )
            )  # fmt: skip
    assert api.post(f"{url}/approve", json={"privacy": "unlisted"}).json()["state"] == "approved"
    used = api.post(f"{url}/versions/{second}/use").json()
    assert (used["job_id"], used["palette"], used["state"]) == (second, "teal", "review")
    back = api.post(f"{url}/versions/{first}/use").json()
    assert (back["job_id"], back["state"]) == (first, "approved")
    problem(api.post(f"{url}/versions/nothing/use"), 404, "not-found")


# Many at once ----------------------------------------------------------------------------------


def test_many_are_changed_each_by_itself(api: Api):
    with api.studio.database.write() as session:
        one = put_track(session, 1, storage=api.studio.storage, tags=["draft", "rain"])
        other = put_track(session, 2, verdict="block")
    change = {"ids": [one, "nothing", other], "add_tags": ["Night"], "remove_tags": ["draft"]}
    told = api.post("/api/tracks/bulk/change", json=change).json()
    assert told["done"] == [one, other]
    assert told["failed"][0]["cause"] == "there is no track 'nothing'."
    assert api.get(f"/api/tracks/{one}").json()["tags"] == ["rain", "night"]
    decided = api.post(
        "/api/tracks/bulk/decide",
        json={"ids": [one, other], "decision": "approved", "packages": {one: "0" * 64}},
    ).json()
    assert decided["done"] == []
    causes = {failed["id"]: failed["cause"] for failed in decided["failed"]}
    assert "made anew" in causes[one]
    assert "resembles" in causes[other]
    api.post("/api/tracks/bulk/change", json={"ids": [one], "deleted": True})
    assert api.get("/api/tracks").json()["total"] == 1
    api.post("/api/tracks/bulk/change", json={"ids": [one], "deleted": False})
    assert api.get("/api/tracks").json()["total"] == 2
    problem(api.post("/api/tracks/bulk/change", json={"ids": [one]}), 422, "invalid-input")
    problem(
        api.post("/api/tracks/bulk/decide", json={"ids": [one], "decision": "approved"},
                 headers=api.token("w", "write")),
        403, "forbidden",
    )  # fmt: skip
