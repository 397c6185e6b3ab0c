"""Keeping the studio: what it takes, what is garbage, a backup, settings, the doctor."""

from __future__ import annotations

import os
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from api import Api, problem, serving

from lofi.studio import Database
from lofi.studio import _checks as checks
from lofi.studio import _doctor as examination
from lofi.studio import _rounds as rounds
from lofi.studio._tables import Event


def kinds_of(api: Api, kind: str) -> list[str]:
    with api.studio.database.read() as session:
        return list(session.scalars(sa.select(Event.verb).where(Event.kind == kind)))


def test_a_backup_is_one_whole_file_of_this_moment(api: Api, tmp_path: Path):
    headers = api.token("keeper", "admin")
    reader = api.token("reader", "publish")
    problem(api.get("/api/backup", headers=reader), 403, "forbidden")
    api.post("/api/generate", json={}, headers=headers)  # stands in the write-ahead log
    answer = api.get("/api/backup", headers=headers)
    assert answer.headers["content-length"] == str(len(answer.content))
    assert "lofi-studio-" in answer.headers["content-disposition"]
    copy = tmp_path / "copy.db"
    copy.write_bytes(answer.content)
    secret = headers["Authorization"].removeprefix("Bearer ")
    assert secret.encode() not in answer.content
    restored = Database(f"sqlite:///{copy}")
    restored.require_current()
    restored.close()
    with sqlite3.connect(copy) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
    connection.close()
    assert not list((api.studio.folder / "scratch").iterdir())
    assert kinds_of(api, "backup") == ["took"]


def test_postgresql_has_a_tool_of_its_own_for_backups(tmp_path: Path, postgres_url: str):
    made = Database(postgres_url)
    made.migrate()
    made.close()
    with serving(tmp_path, studio={"folder": tmp_path, "database": postgres_url}) as running:
        told = problem(running.get("/api/backup"), 409, "conflict")
        assert "pg_dump" in told["detail"] + told["remedy"]
        page = running.get("/settings", headers={"Accept": "text/html"})
        assert "pg_dump" in page.text
        assert running.get("/api/storage").json()["database"] > 100_000


def test_garbage_is_looked_for_before_it_is_deleted(api: Api):
    blob = api.studio.storage.put_bytes(b"nobody names me" * 1000)
    path = Path(api.studio.storage.url) / blob.sha256[:2] / blob.sha256
    problem(api.post("/api/storage/gc", json={"dry_run": 1.5}), 422, "invalid-input")
    young = api.post("/api/storage/gc", json={}).json()
    assert (young["dry_run"], young["files"], young["kept"]) == (True, 0, 1)
    before = path.stat().st_mtime - timedelta(hours=2).total_seconds()
    os.utime(path, (before, before))
    assert api.post("/api/storage/gc", json={}).json()["files"] == 1
    assert path.exists()
    done = api.post("/api/storage/gc", json={"dry_run": False}).json()
    assert (done["files"], done["bytes"]) == (1, blob.size)
    assert not path.exists()
    assert kinds_of(api, "storage") == ["collected"]


def test_garbage_is_collected_by_itself_but_for_what_is_younger_than_a_day(api: Api):
    storage = api.studio.storage
    old, young = (storage.put_bytes(name * 1000) for name in (b"yesterday's", b"this morning's"))
    for blob, hours in ((old, 25), (young, 23)):
        path = Path(storage.url) / blob.sha256[:2] / blob.sha256
        moment = path.stat().st_mtime - timedelta(hours=hours).total_seconds()
        os.utime(path, (moment, moment))
    [each] = [r for r in rounds.ROUNDS if r.name == "garbage"]
    each.run(api.studio)
    assert (storage.exists(old.sha256), storage.exists(young.sha256)) == (False, True)
    assert kinds_of(api, "storage") == ["collected"]


def test_a_setting_is_kept_within_what_can_be_done_and_taken_back(api: Api):
    def now() -> float:
        return api.get("/api/config").json()["settings"]["generation"]["best_of"]

    for group, name, value in (
        ("generation", "best_of", 0),
        ("sampling", "temperature", -1),
        ("video", "width", 333),
        ("daily", "duration_s", 1e9),
        ("youtube", "uploads_per_day", -1),
    ):
        problem(api.patch("/api/config", json={group: {name: value}}), 422, "invalid-input")
    assert api.patch("/api/config", json={"generation": {"best_of": 7}}).is_success
    assert now() == 7
    assert api.patch("/api/config", json={"generation": {"best_of": None}}).is_success
    assert now() == 4
    assert api.studio.overrides() == {"generation": {}}
    unknown = api.patch("/api/config", json={"generation": {"nothing": None}})
    problem(unknown, 422, "invalid-input")


def test_what_the_environment_hides_is_kept_within_bounds_too(api: Api, monkeypatch):
    monkeypatch.setenv("LOFI_VIDEO__FPS", "5")  # another day it does not
    problem(api.patch("/api/config", json={"video": {"fps": 0}}), 422, "invalid-input")
    problem(api.patch("/api/config", json={"video": {"width": 333}}), 422, "invalid-input")
    assert api.studio.overrides() == {}


def test_the_doctor_answers_in_time_and_for_who_may_do_everything(api: Api, monkeypatch):
    monkeypatch.setattr(examination, "CHECKS", {"Python": checks._python})
    found = api.get("/api/doctor").json()
    assert [f["name"] for f in found["findings"]] == ["Python", "storage"]
    assert found["ok"]
    late = examination.examine(api.studio.base, within_s=0.0)
    assert {f.detail for f in late} == {"not looked at: the time was over"}
    headers = api.token("reader", "publish")
    problem(api.get("/api/doctor", headers=headers), 403, "forbidden")


@pytest.mark.parametrize("path", ["/settings", "/api/sessions", "/api/tokens"])
def test_settings_are_for_who_may_do_everything(api: Api, path: str):
    headers = api.token("reader", "publish")
    answer = api.get(path, headers={**headers, "Accept": "text/html"})
    assert answer.status_code == 403
