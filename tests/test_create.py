"""What Create orders: previews, MIDI files to go on from, presets, and their afterlife."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from api import Api, problem
from hostile import hostile_files
from jobs import brief, events, order, wait_for

from lofi.brief import Brief, Key, read_form
from lofi.music import Outline, compose, measure, midi_bytes, notes_by_part, read_midi, read_source
from lofi.studio import Settings, commission, jobs, prompts, run_stage
from lofi.studio._commission import Commission, Prompt
from lofi.studio._stages import ALL_STAGES, given, stage_key
from lofi.studio._storage import collect_garbage
from lofi.studio._studio import Studio
from lofi.studio._tables import Artifact, Job, JobStage, Preference, now


@pytest.fixture(scope="session")
def sketch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight bars in G major at 96 bpm: 20 seconds, and 3 to ring."""
    asked = Brief(
        seed=3, mood="upbeat", bpm=96, key=Key.parse("G major"), form=read_form("A:8"),
        parts=("drums", "bass", "keys"),
    )  # fmt: skip
    score, plan = compose(asked.settled())
    path = tmp_path_factory.mktemp("sketch") / "sketch.mid"
    path.write_bytes(midi_bytes(score, plan, "upbeat"))
    return path


# Previews --------------------------------------------------------------------------------------


def test_a_preview_is_heard_and_its_track_takes_the_score_over(
    studio: Studio, working: Callable[..., Any]
):
    working()
    rainy = replace(brief(), ambience="rain")
    with studio.database.write() as session:
        [heard] = jobs.submit(session, studio.preview_orders(rainy), actor="test")
    [view] = wait_for(studio, [heard])
    assert view["state"] == "done", view["error"]
    assert view["kind"] == "preview"
    assert [s["name"] for s in view["stages"]] == ["compose", "preview"]
    assert view["track_id"] is None

    with studio.database.write() as session:
        [full] = jobs.submit(session, [studio.full_order(heard)], actor="test")
    [track] = wait_for(studio, [full])
    assert track["state"] == "done", track["error"]
    taken = {s["name"]: s["reused_from"] for s in track["stages"] if s["reused_from"]}
    assert taken == {"compose": heard}
    began = [e.subject for e in events(studio, "began") if e.detail["stage"] == "compose"]
    assert began == [heard], "the score was composed twice"

    # A day later the preview is gone, and nothing that the track needs.
    with studio.database.write() as session:
        assert jobs.purge_previews(session, actor="test") == []
        gone = jobs.purge_previews(session, actor="test", before=now() + timedelta(seconds=1))
        assert gone == [heard]
    freed = collect_garbage(studio.storage, studio.named_blobs, dry_run=False, grace_s=0)
    assert freed.count == 1  # ten seconds of sound
    with studio.database.read() as session:
        assert session.get(Job, heard) is None
        kept = session.scalars(sa.select(Artifact.sha256)).all()
    assert all(studio.storage.exists(sha256) for sha256 in kept)


def test_candidates_have_neighbouring_seeds(api: Api):
    told = api.post("/api/preview", json={"mood": "chill", "seed": 7, "count": 2}).json()
    views = [api.get(job["url"]).json() for job in told["jobs"]]
    assert [v["brief"]["seed"] for v in views] == [7, 8]
    assert {v["batch_id"] for v in views} == {told["batch_id"]}
    assert views[0]["title"].endswith(", preview")
    assert views[0]["file_url"] is None
    made = api.post(f"/api/preview/{views[1]['id']}/make").json()
    full = api.get(f"/api/jobs/{made['id']}").json()
    assert (full["kind"], full["brief"]) == ("track", views[1]["brief"])
    problem(api.post(f"/api/preview/{made['id']}/make"), 422, "invalid-input")
    problem(api.post("/api/preview", json={"count": 5}), 422, "invalid-input")
    problem(api.post("/api/preview/0/make"), 404, "not-found")


# A MIDI file to go on from ---------------------------------------------------------------------


def sent(api: Api, path: Path) -> dict[str, Any]:
    answer = api.post("/api/prompts", files={"file": (path.name, path.read_bytes())})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_midi_file_is_heard_once_and_ordered_from(api: Api, sketch: Path):
    heard = sent(api, sketch)
    assert (heard["name"], heard["bars"], heard["bpm"]) == ("sketch.mid", 8, 96.0)
    assert (heard["key"], heard["parts"]) == ("G major", ["drums", "bass", "keys"])
    assert sent(api, sketch) == heard
    assert api.get(f"/api/prompts/{heard['sha256']}").json() == heard
    [kept] = events(api.studio, "kept")
    assert kept.subject == heard["sha256"]

    def asked(**more: Any) -> Any:
        prompt = {"sha256": heard["sha256"], "how": "vary"} | more.pop("prompt", {})
        return api.post("/api/generate", json={"prompt": prompt, **more})

    job = api.get(f"/api/jobs/{asked(seed=4).json()['id']}").json()
    assert job["brief"]["duration_s"] == 23.0
    assert job["prompt"] == {
        "name": "sketch.mid", "sha256": heard["sha256"], "how": "vary", "keep": ["drums", "bass"],
    }  # fmt: skip
    longer = api.get(f"/api/jobs/{asked(prompt={'how': 'continue'}).json()['id']}").json()
    assert (longer["brief"]["key"], longer["brief"]["duration_s"]) == ("G major", 43.0)
    for wrong, words in (
        ({"key": "C major"}, "the key is that of sketch.mid"),
        ({"duration": 60}, "the duration is that of sketch.mid"),
        ({"prompt": {"keep": ["lead"]}}, "no lead to keep"),
        ({"prompt": {"keep": "drums bass keys"}}, "nothing is left to write"),
        ({"prompt": {"how": "continue", "keep": "drums"}}, "stays as it is"),
        ({"prompt": {"how": "continue"}, "duration": 20}, "Give a duration of 28 s or more"),
    ):
        told = problem(asked(**wrong), 422, "invalid-input")
        assert words in f"{told['detail']} {told['remedy']}", wrong


def test_what_cannot_be_gone_on_from_is_refused_with_the_reason(api: Api):
    named = hostile_files()
    for name in ("empty.mid", "page.mid", "division zero.mid"):
        told = problem(
            api.post("/api/prompts", files={"file": ("<b>\u202e.mid", named[name])}),
            422, "invalid-input",
        )  # fmt: skip
        assert told["detail"].startswith("<b>\\u202e.mid: the file cannot be read: "), name
    unknown = {"prompt": {"sha256": "0" * 64, "how": "vary"}}
    told = problem(api.post("/api/generate", json=unknown), 404, "not-found")
    assert "Send it again" in told["remedy"]


def test_a_file_is_kept_as_long_as_a_job_names_it(api: Api, sketch: Path):
    studio, sha256 = api.studio, sent(api, sketch)["sha256"]

    def collected(*, forgotten: bool) -> bool:
        if forgotten:
            with studio.database.write() as session:
                prompts.purge(session, actor="test", before=now() + timedelta(seconds=1))
        collect_garbage(studio.storage, studio.named_blobs, dry_run=False, grace_s=0)
        return not studio.storage.exists(sha256)

    assert not collected(forgotten=False)
    job = api.post("/api/generate", json={"prompt": {"sha256": sha256, "how": "continue"}}).json()
    assert not collected(forgotten=True)
    with studio.database.write() as session:
        assert session.scalars(sa.select(Preference.name)).all() == []
        session.execute(sa.delete(JobStage).where(JobStage.job_id == job["id"]))
        session.execute(sa.delete(Job).where(Job.id == job["id"]))
    assert collected(forgotten=True)


def test_the_score_of_a_variation_keeps_what_was_asked_and_its_key_knows_the_file(
    sketch: Path, untrained: Path, tmp_path: Path
):
    source = read_source(sketch)
    heard = Outline(
        "sketch.mid", tuple(source.parts), source.bars, source.bpm, source.key, source.mood,
        source.swing,
    )  # fmt: skip
    small = Settings.model_validate({"generation": {"best_of": 1, "attempts": 1}})

    def wanted(sha256: str, keep: tuple[str, ...] | None) -> Commission:
        made_from = Prompt(sha256, heard, keep)
        return commission(Brief(seed=9), small, model_path=untrained, prompt=made_from)

    one = wanted("a" * 64, ("drums", "bass"))
    assert Commission.from_json(one.to_json()) == one
    others = (wanted("b" * 64, ("drums", "bass")), wanted("a" * 64, ("bass",)))
    compose_stage = ALL_STAGES["compose"]
    keys = {stage_key(compose_stage, c, given(c)) for c in (one, *others)}
    assert len(keys) == 3
    assert len({c.track_id for c in (one, *others)}) == 3

    (tmp_path / "internal").mkdir()
    (tmp_path / "internal" / "prompt.mid").write_bytes(sketch.read_bytes())
    run_stage("compose", one, tmp_path, lambda _stage, _fraction: None)
    score, _ = read_midi(tmp_path / "track.mid")
    written, old = notes_by_part(score), notes_by_part(read_midi(sketch)[0])
    for part in ("drums", "bass"):
        assert written[part].onset.tolist() == old[part].onset.tolist()
    assert measure(score).bars == 8


# Presets ---------------------------------------------------------------------------------------


def test_a_preset_is_saved_replaced_listed_and_deleted(api: Api):
    rainy = {"mood": "cozy", "bpm": 74, "ambience": "rain", "instruments": ["keys", "bass"]}
    name = 'Sunday "rain" <b>'
    saved = api.put(f"/api/presets/{name}", json={"mood": "sad"}).json()
    assert saved["name"] == name
    api.put(f"/api/presets/{name}", json=rainy)
    [listed] = api.get("/api/presets").json()["items"]
    assert listed["order"] == rainy
    assert api.post("/api/generate", json=listed["order"]).status_code == 202
    assert [e.verb for e in events(api.studio) if e.kind == "preset"] == ["saved", "saved"]
    assert api.delete(f"/api/presets/{name}").status_code == 204
    assert api.get("/api/presets").json() == {"items": []}
    problem(api.delete(f"/api/presets/{name}"), 404, "not-found")


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("mine", {"mood": "grim"}),
        ("mine", {"colour": "red"}),
        ("mine", {"form": "A:32", "bpm": 60, "duration": 20}),
        ("mine", {"prompt": {"sha256": "0" * 64, "how": "vary"}}),
        ("a/b", {}),
        ("x" * 61, {}),
        ("\u202eturned", {}),
        (" ", {}),
    ],
)
def test_a_preset_that_cannot_be_ordered_is_not_saved(api: Api, name: str, asked: dict[str, Any]):
    problem(api.put(f"/api/presets/{name}", json=asked), 422, "invalid-input")
    assert api.get("/api/presets").json() == {"items": []}


def test_sampling_and_ambience_are_part_of_an_order(api: Api):
    asked = {"ambience": "night", "temperature": 0.7, "top_k": 12, "top_p": 0.8, "seed": 1}
    job = api.post("/api/generate", json=asked).json()["id"]
    with api.studio.database.read() as session:
        stored = jobs.find(session, job).commission
    assert (
        stored["sampling"] | {"temperature": 0.7, "top_k": 12, "top_p": 0.8} == stored["sampling"]
    )
    assert stored["brief"]["ambience"] == "night"
    names = [a["name"] for a in api.get("/api/ambiences").json()["items"]]
    assert "night" in names
    [plain] = order(api.studio, Brief(seed=1))
    with api.studio.database.read() as session:
        assert jobs.find(session, plain).commission["brief"]["ambience"] is None
