"""Training runs: started, found again, stopped, resumed; and what is told of models."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from api import Api, problem, serving

from lofi.brief import Brief
from lofi.music import Bounds, Quality, compose, midi_bytes, read_course
from lofi.studio import ConflictError, Limits, build_dataset, compose_corpus, tokenize, trainings
from lofi.studio._tables import Event
from lofi.studio._trainings import claimed

TINY = {"n_layer": 1, "n_embd": 64, "n_head": 2, "n_positions": 256, "vocab_size": 620}
BRIEF = {
    "batch_size": 1, "decay_steps": 10, "warmup_steps": 2, "save_every": 1000, "eval_every": 1000,
    "eval_segments": 1, "samples": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small data set, and what was read for it."""
    root = tmp_path_factory.mktemp("data")
    compose_corpus(root / "raw" / "composed", count=4, seed=1)
    files = (root / "tokenized", root / "metadata.json")
    tokenize(root / "raw", *files, bounds=Bounds(max_bars=2000), quality=Quality(), limits=Limits())
    build_dataset(*files, root / "datasets", val_share=0.2, seed=1)
    return root


@pytest.fixture
def school(tmp_path: Path, migrated: Path, data: Path) -> Iterator[Api]:
    """A server that can train."""
    paths = {"datasets": data / "datasets", "metadata": data / "metadata.json"}
    with serving(
        tmp_path, migrated, paths=paths, architecture=TINY, training=BRIEF, work={"niceness": 0}
    ) as running:
        yield running
        for run in trainings.listing(running.studio.settings()):
            if run["pid"]:
                os.kill(run["pid"], signal.SIGKILL)


def models_of(api: Api) -> Path:
    folder = api.studio.base.paths.model.parent
    folder.mkdir(exist_ok=True)
    return folder


def until(api: Api, name: str, *states: str, step: int = 0) -> dict:
    deadline = time.monotonic() + 240
    while True:
        run = api.get(f"/api/trainings/{name}").json()
        if run["state"] in states and run["step"] >= step:
            return run
        assert run["state"] in ("running", "stopping"), run
        assert time.monotonic() < deadline, run
        time.sleep(0.1)


# Runs ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_outlives_its_server_and_stops_without_losing_a_step(
    school: Api, tmp_path: Path, migrated: Path
):
    made = school.post("/api/trainings", json={"name": "mine", "base": None, "steps": 100_000})
    assert made.status_code == 201, made.text
    pid = made.json()["pid"]
    assert os.getpgid(pid) == pid != os.getpgrp()
    assert os.getpriority(os.PRIO_PROCESS, pid) >= 5
    second = school.post("/api/trainings", json={"name": "other", "base": None})
    assert "'mine' is running" in problem(second, 409, "conflict")["detail"]
    assert not (models_of(school) / "other").exists()
    until(school, "mine", "running", step=10)

    again = tmp_path / "again"
    again.mkdir()
    with serving(again, migrated, paths={"model": tmp_path / "models" / "x"}) as other:
        assert other.get("/api/trainings").json()["items"][0]["pid"] == pid
        assert other.post("/api/trainings/mine/stop").json()["state"] in ("stopping", "stopped")
    stopped = until(school, "mine", "stopped", "failed")
    assert stopped["state"] == "stopped", stopped["log"]
    assert stopped["resumable_from"] == stopped["step"] or stopped["step"] % 10 == 0
    assert stopped["resumable_from"] >= 10

    longer = stopped["resumable_from"] + 5
    assert school.post("/api/trainings/mine/resume", json={"steps": longer}).status_code == 200
    done = until(school, "mine", "finished", "failed")
    assert done["state"] == "finished", done["log"]
    assert done["checkpoints"][0]["step"] == longer
    assert done["checkpoints"][0]["best"]
    assert [m["usable"] for m in school.get("/api/models").json()["items"]] == [True, True]
    with school.studio.database.read() as session:
        verbs = session.scalars(sa.select(Event.verb).where(Event.kind == "training")).all()
    assert verbs[0] == "started"
    assert "resumed" in verbs


def test_a_run_has_a_plain_name_of_its_own(school: Api):
    for name in ("", "../up", "a/b", ".hidden", "shipped", "x" * 65, "a b", "é", "a\n"):
        problem(school.post("/api/trainings", json={"name": name}), 422, "invalid-input")
    assert not list(models_of(school).iterdir())


def test_what_a_run_needs_is_told_before_it_begins(school: Api, monkeypatch):
    (models_of(school) / "taken").mkdir()
    problem(school.post("/api/trainings", json={"name": "taken"}), 409, "conflict")
    lost = school.post("/api/trainings", json={"name": "a", "base": "nobody"})
    assert "nobody" in problem(lost, 422, "invalid-input")["detail"]
    for bad in ({"steps": 0}, {"learning_rate": -1}, {"batch_size": 0}, {"seed": 1}):
        problem(school.post("/api/trainings", json={"name": "a", **bad}), 422, "invalid-input")
    monkeypatch.setattr("lofi.music._train._PACKAGES", ("torch", "no_such_package"))
    told = school.get("/api/trainings").json()
    assert not told["possible"]
    assert "pip install 'lofi-empire[train]'" in told["why_not"]
    refused = problem(school.post("/api/trainings", json={"name": "a"}), 422, "invalid-input")
    assert "no_such_package missing" in refused["detail"]


def test_without_a_data_set_it_is_said_how_to_make_one(api: Api):
    assert "lofi dataset" in api.get("/api/trainings").json()["why_not"]
    assert api.get("/api/dataset").json() == {"read": None, "cut": None, "spread": None}


def test_only_one_trains_in_a_folder(tmp_path: Path):
    with (
        claimed(tmp_path),
        pytest.raises(ConflictError, match=f"process {os.getpid()}"),
        claimed(tmp_path),
    ):
        pass
    with claimed(tmp_path):  # it is free again
        pass


SAID = "==== started 2026-01-01\n{}"


ENDS = (  # whether it was begun here, what it said, whether there is a card; and what is told
    (True, "train 1%\nlofi: stopped; nothing half-written was left.\n", False, "stopped", None),
    (True, "note: few\nlofi: the disk is full. Free some.\n", False, "failed", "disk is full"),
    (True, "train 1%\n", False, "failed", "killed from outside"),
    (True, "lofi: an old error\n==== started again\ntrain 1%\n", False, "failed", "killed"),
    (False, "lofi: said of another run\n", False, "stopped", None),
    (True, "train 100%\n", True, "finished", None),
)


def test_how_a_run_ended_is_told(school: Api):
    for number, (logged, said, card, state, words) in enumerate(ENDS):
        folder = models_of(school) / f"run-{number}"
        folder.mkdir()
        (folder / "training.log").write_text(SAID.format(said))
        lock = {"pid": 1, "host": "gone", "at": time.time(), "logged": logged}
        (folder / ".training.lock").write_text(json.dumps(lock))
        if card:
            (folder / "lofi.json").write_text("{}")
        run = school.get(f"/api/trainings/run-{number}").json()
        assert (run["state"], run["pid"]) == (state, None)
        assert words is None or words in run["problem"]
        problem(school.post(f"/api/trainings/run-{number}/stop"), 409, "conflict")


# The course of a run ---------------------------------------------------------------------------


def log_of(folder: Path, *lines: object) -> None:
    texts = [json.dumps(line) if isinstance(line, dict) else str(line) for line in lines]
    (folder / "log.jsonl").write_text("\n".join(texts))


def test_what_a_killed_run_did_after_its_checkpoint_is_forgotten(tmp_path: Path):
    state = {
        "max_steps": 90,
        "log_history": [
            {"step": 10, "loss": 5.0},
            {"step": 20, "loss": 4.0},
            {"step": 20, "eval_loss": 4.2, "eval_bits_per_note": 9.0},
        ],
    }
    (tmp_path / "checkpoint-20").mkdir()
    (tmp_path / "checkpoint-20" / "trainer_state.json").write_text(json.dumps(state))
    log_of(
        tmp_path,
        {"step": 10, "of": 90, "at": 1.0, "loss": 5.0},
        {"step": 20, "of": 90, "at": 2.0, "loss": 4.0},
        {"step": 20, "of": 90, "at": 2.1, "eval_loss": 4.2, "eval_bits_per_note": 9.0},
        {"step": 30, "of": 90, "at": 3.0, "loss": 99.0},  # killed; goes on from 20
        {"step": 30, "of": 120, "at": 10.0, "loss": 3.5},
        {"step": 40, "of": 120, "at": 12.0, "loss": 3.0},
    )
    found = read_course(tmp_path)
    assert dict(found.train) == {10: 5.0, 20: 4.0, 30: 3.5, 40: 3.0}
    assert (found.step, found.steps) == (40, 120)
    assert found.best == found.evaluations[0]
    assert [c.step for c in found.checkpoints] == [20]


def test_a_log_that_is_cut_off_or_none_is_read_as_far_as_it_goes(tmp_path: Path):
    nan = '{"step": 20, "of": 90, "at": 2.0, "loss": NaN}'
    log_of(tmp_path, {"step": 10, "of": 90, "at": 1.0, "loss": 5.0}, "[1]", "\x00\xff", nan, '{"st')
    found = read_course(tmp_path)
    assert found.train == ((10, 5.0),)
    assert found.step == 10
    assert read_course(tmp_path / "nothing").step == 0


# Samples ---------------------------------------------------------------------------------------


def test_a_sample_is_heard_once_it_was_played(school: Api):
    folder = models_of(school) / "run" / "samples"
    folder.mkdir(parents=True)
    (folder.parent / "training.json").write_text("{}")
    score, plan = compose(Brief(seed=1, mood="chill").settled(), bars=4)
    (folder / "step-00040.mid").write_bytes(midi_bytes(score, plan, "chill"))
    (folder / "step-00050.mid").write_bytes(b"MThd" + b"x" * 300)
    first = school.get("/api/trainings/run/samples/40.flac")
    assert first.status_code == 200, first.text
    assert first.content.startswith(b"fLaC")
    [kept] = (school.studio.folder / "heard").iterdir()
    file = kept.stat().st_ino  # what is played anew is renamed into its place
    again = school.get("/api/trainings/run/samples/40.flac", headers={"Range": "bytes=0-3"})
    assert (again.status_code, again.content) == (206, b"fLaC")
    assert [p.stat().st_ino for p in kept.parent.iterdir()] == [file]
    problem(school.get("/api/trainings/run/samples/50.flac"), 422, "invalid-input")
    assert not list((school.studio.folder / "scratch").iterdir())
    for lost in ("41.flac", "40.png", "..%2f40.mid"):
        assert school.get(f"/api/trainings/run/samples/{lost}").status_code in (404, 422)


# What is told of models ------------------------------------------------------------------------


def estimate(value: float) -> dict:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "count": 9}


def report_of(title: str, share: float) -> dict:
    adherence = {
        "title": title, "unit": "share", "at_least": 0.9, "at_most": None,
        "systems": {"model": estimate(share)},
    }  # fmt: skip
    return {
        "model": {"name": title, "sha256": "0" * 64},
        "asked": {"tracks": 9, "seed": 1},
        "systems": {},
        "adherence": {"bars": adherence},
        "targets": [{"title": title, "passed": True}, {"title": title, "passed": None}],
    }


def evaluated(folder: Path, report: object, model: Path) -> None:
    shutil.copytree(model, folder)
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "report.json").write_text(json.dumps(report))


def test_models_are_compared_by_their_evaluations(school: Api, untrained: Path):
    title = "<script>alert(1)</script>"
    evaluated(models_of(school) / "one", report_of(title, 0.5), untrained)
    found = {m["name"]: m for m in school.get("/api/models").json()["items"]}
    assert found["one"]["evaluation"] == {
        "problem": None, "tracks": 9, "reached": 1, "judged": 1, "of_sha256": "0" * 64,
    }  # fmt: skip
    assert found["shipped"]["evaluation"] is None
    told = school.get("/api/models/compare?model=shipped&model=one").json()
    asked = next(f for f in told["figures"] if f["title"] == title)
    assert asked["values"] == [None, {"value": 0.5, "low": 0.4, "high": 0.6}]
    page = school.get("/models/compare?model=shipped&model=one", headers={"Accept": "text/html"})
    assert "<script>alert" not in page.text
    assert "40.0 % to 60.0 %" in page.text
    problem(school.get("/api/models/compare?model=one"), 422, "invalid-input")
    problem(school.get("/api/models/compare?model=one&model=two"), 404, "not-found")
    problem(school.get("/api/models/shipped/evaluation"), 404, "not-found")


def test_a_report_of_somebody_elses_breaks_nothing(school: Api, untrained: Path):
    for number, report in enumerate(([], {}, {"targets": [1]}, report_of("x", 1.0))):
        evaluated(models_of(school) / f"odd-{number}", report, untrained)
        told = school.get(f"/api/models/odd-{number}/evaluation.html")
        problem(told, 422, "invalid-input")
    assert school.get("/api/models").status_code == 200
    assert school.get("/models", headers={"Accept": "text/html"}).status_code == 200


def test_the_page_of_an_evaluation_may_run_nothing(school: Api, untrained: Path, monkeypatch):
    hostile = "<style>*{}</style><script>alert(1)</script>"
    monkeypatch.setattr("lofi.picture._evaluation.evaluation_page", lambda _report: hostile)
    evaluated(models_of(school) / "odd", report_of("x", 1.0), untrained)
    policy = school.get("/api/models/odd/evaluation.html").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert policy.endswith("sandbox")


def test_the_data_set_is_told_with_how_it_spreads(school: Api):
    told = school.get("/api/dataset").json()
    assert told["read"]["kept"] == told["spread"]["kept"] == 4
    assert sum(told["cut"]["files"].values()) == 4
    tempo = next(f for f in told["spread"]["figures"] if f["name"] == "bpm")
    assert sum(tempo["counts"]) == 4
    assert len(tempo["edges"]) == len(tempo["counts"]) + 1
    assert tempo["percentiles"]["5"] <= tempo["percentiles"]["50"] <= tempo["percentiles"]["95"]


def test_a_run_that_is_not_there_is_not_found(api: Api):
    problem(api.get("/api/trainings/nobody"), 404, "not-found")
    problem(api.post("/api/trainings/..%2F..%2Fetc/stop"), 404, "not-found")
    assert trainings.listing(api.studio.settings()) == []
