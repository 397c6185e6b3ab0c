"""Jobs for tests: studios at work in other processes, small tracks, and what must always hold."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from lofi.brief import Brief
from lofi.studio import _jobs
from lofi.studio._settings import load_settings
from lofi.studio._stages import STAGES
from lofi.studio._studio import Studio, open_studio
from lofi.studio._tables import Artifact, Event, Job, JobStage, Track

PROCESS = Path(__file__).parent / "studio_process.py"
SMALL = {
    "LOFI_VIDEO__WIDTH": "320",
    "LOFI_VIDEO__HEIGHT": "180",
    "LOFI_VIDEO__FPS": "1",
    "LOFI_GENERATION__BEST_OF": "1",
    "LOFI_WORK__NICENESS": "0",
    "LOFI_WORK__COMPUTE": "1",
    "LOFI_WORK__RENDER": "1",
    "LOFI_WORK__DEAD_AFTER_S": "2",
    "LOFI_WORK__RETRY_DELAYS_S": "0.2,0.2",
}
STAGE_NAMES = list(STAGES)


class Process:
    """A studio at work elsewhere."""

    def __init__(self, **faults: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, PROCESS, json.dumps(faults)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout
        self.began = self.process.stdout.readline().strip() == "ready"

    def kill(self) -> None:
        with_children = [psutil.Process(self.process.pid), *self.descendants()]
        self.process.kill()
        self.process.communicate()
        _, alive = psutil.wait_procs(with_children, timeout=5)
        assert not alive, "a child outlived the process it worked for"

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def close(self) -> int:
        self.process.communicate(timeout=20)  # closes its stdin
        return self.process.returncode

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOFI_STUDIO__FOLDER", str(tmp_path / "studio"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def studio(environment: Path) -> Iterator[Studio]:
    with open_studio(load_settings()) as made:
        yield made


@pytest.fixture
def on_postgresql(environment: Path, monkeypatch: pytest.MonkeyPatch, request) -> Iterator[Studio]:
    from lofi.studio._database import Database

    url = request.getfixturevalue("postgres_url")
    monkeypatch.setenv("LOFI_STUDIO__DATABASE", url)
    database = Database(url)
    database.migrate()
    database.close()
    with open_studio(load_settings()) as made:
        yield made


@pytest.fixture
def working() -> Iterator[Callable[..., Process]]:
    """Start processes that work; those left over are killed."""
    started: list[Process] = []

    def start(**faults: Any) -> Process:
        started.append(Process(**faults))
        return started[-1]

    yield start
    for process in started:
        if process.alive:
            process.kill()


def brief(seed: int = 1, **asked: Any) -> Brief:
    return Brief(seed=seed, mood="focus", bpm=90.0, duration_s=10.0, **asked)


def order(studio: Studio, *briefs: Brief, **options: Any) -> list[str]:
    return [studio.order(b, actor="test", **options)[0] for b in briefs]


def wait_for(
    studio: Studio, ids: list[str], *states: str, limit_s: float = 120.0
) -> list[dict[str, Any]]:
    """The jobs, once all are in one of these states."""
    wanted = states or _jobs.ENDED
    deadline = time.monotonic() + limit_s
    while True:
        with studio.database.read() as session:
            views = [_jobs.view(session, i) for i in ids]
        if all(v["state"] in wanted for v in views):
            return views
        assert time.monotonic() < deadline, [(v["state"], v["error"], v["stages"]) for v in views]
        time.sleep(0.1)


def events(studio: Studio, verb: str | None = None) -> list[Event]:
    query = sa.select(Event).order_by(Event.id)
    with studio.database.read() as session:
        return list(session.scalars(query.where(Event.verb == verb) if verb else query))


def see_that_all_is_well(studio: Studio, ids: list[str]) -> None:
    """What must hold after whatever happened: all done, once, whole, and told."""
    with studio.database.read() as session:
        for job in session.scalars(sa.select(Job).where(Job.id.in_(ids))):
            assert job.state == "done", (job.state, job.error)
            assert job.track_id
            assert session.get_one(Track, job.track_id).package_sha256
        artifacts = list(session.scalars(sa.select(Artifact)))
        stages = list(session.scalars(sa.select(JobStage).where(JobStage.job_id.in_(ids))))
    assert {s.state for s in stages} == {"done"}
    for artifact in artifacts:  # whole: read back, with the hash it is known by
        import hashlib

        data = b"".join(studio.storage.read(artifact.sha256))
        assert hashlib.sha256(data).hexdigest() == artifact.sha256
        assert len(data) == artifact.size
    finished: Counter[tuple[str, str]] = Counter()
    for event in events(studio):
        place = (event.subject, event.detail.get("stage", ""))
        if event.verb in ("finished", "reused"):
            finished[place] += 1
        if event.verb == "began":
            assert not finished[place], f"{place} was begun again after it had finished"
    assert finished == {(s.job_id, s.name): 1 for s in stages}, "the audit trail has gaps"
    told = Counter((e.subject, e.verb) for e in events(studio) if e.kind == "job")
    for job_id in ids:
        assert told[job_id, "queued"] == 1
        assert told[job_id, "done"] == 1
