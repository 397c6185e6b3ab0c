"""Jobs on real databases: nothing finished is done twice, nothing is lost when a process dies."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from lofi.brief import PALETTES, TEMPLATES, Brief, InputError, LofiError
from lofi.studio import _jobs
from lofi.studio._settings import Settings, load_settings
from lofi.studio._stages import STAGES
from lofi.studio._storage import collect_garbage
from lofi.studio._studio import Studio, open_studio
from lofi.studio._tables import Artifact, Event, Job, JobStage, Track, Worker

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


# One process ------------------------------------------------------------------------------------


def test_a_job_ends_as_a_track_with_all_its_files(studio: Studio, working, tmp_path: Path):
    [job_id] = order(studio, brief())
    working()
    [job] = wait_for(studio, [job_id])
    see_that_all_is_well(studio, [job_id])
    assert [s["name"] for s in job["stages"]] == STAGE_NAMES
    assert job["progress"] == 1.0
    folder = studio.export(job_id, tmp_path / "out")
    track = json.loads((folder / "track.json").read_text())
    assert folder.name == track["id"] == job["track_id"]
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} >= {
        *track["files"],
        "track.json",
    }
    assert not (folder / "internal").exists()


def test_a_track_in_other_colours_takes_over_what_does_not_change(studio: Studio, working):
    working()
    [first] = order(studio, brief(palette="dusk" if "dusk" in PALETTES else next(iter(PALETTES))))
    wait_for(studio, [first])
    [second] = order(studio, brief(palette=list(PALETTES)[-1]))
    [job] = wait_for(studio, [second])
    reused = {s["name"] for s in job["stages"] if s["reused_from"] == first}
    assert reused == {"compose", "check", "sound"}
    see_that_all_is_well(studio, [first, second])


def test_a_job_that_waits_is_cancelled_at_once(studio: Studio, working):
    [job_id] = order(studio, brief())
    with studio.database.write() as session:
        _jobs.cancel(session, job_id, actor="test")
    working()
    time.sleep(2)
    [job] = wait_for(studio, [job_id], "cancelled")
    assert {s["state"] for s in job["stages"]} == {"waiting"}


def test_a_job_that_runs_is_cancelled_within_two_seconds_and_leaves_no_process(
    studio: Studio, working
):
    process = working()
    [job_id] = order(studio, replace(brief(), duration_s=600.0))
    wait_for(studio, [job_id], "running")
    deadline = time.monotonic() + 20
    while not process.descendants():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    begun = time.monotonic()
    with studio.database.write() as session:
        _jobs.cancel(session, job_id, actor="test")
    wait_for(studio, [job_id], "cancelled")
    while process.descendants():
        assert time.monotonic() - begun < 5
        time.sleep(0.05)
    # Two seconds are promised; a machine that is busy with tests gets some more.
    assert time.monotonic() - begun < 5
    assert not list((studio.folder / "work").glob("*/*"))


def test_a_cancelled_job_goes_on_where_it_was_when_tried_again(studio: Studio, working):
    working()
    [job_id] = order(studio, replace(brief(), duration_s=120.0))
    deadline = time.monotonic() + 90
    while not any(e.detail.get("stage") == "check" for e in events(studio, "finished")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with studio.database.write() as session:
        _jobs.cancel(session, job_id, actor="test")
    wait_for(studio, [job_id], "cancelled")
    with studio.database.write() as session:
        _jobs.retry(session, job_id, actor="test")
    wait_for(studio, [job_id])
    see_that_all_is_well(studio, [job_id])


def test_bad_input_is_never_tried_again(studio: Studio, working, tmp_path: Path):
    font = tmp_path / "some.sf2"
    font.write_bytes(b"not a SoundFont")
    [job_id] = order(studio, brief(), soundfont=font)
    font.unlink()
    working()
    [job] = wait_for(studio, [job_id])
    assert job["state"] == "failed"
    assert "some.sf2" in job["error"]["cause"]
    assert job["error"]["remedy"]
    assert job["tries"] == 0


def test_what_may_pass_is_tried_again(studio: Studio, working):
    [job_id] = order(studio, brief())
    working(full_disk=2)
    wait_for(studio, [job_id])
    see_that_all_is_well(studio, [job_id])
    retries = events(studio, "will try again")
    assert len(retries) == 2
    assert "disk" in retries[0].detail["error"]


def test_a_disk_that_stays_full_fails_the_job_with_the_reason(studio: Studio, working):
    [job_id] = order(studio, brief())
    working(full_disk=1000)
    [job] = wait_for(studio, [job_id])
    assert job["state"] == "failed"
    assert job["error"] == {
        "cause": "the disk of the storage is full.",
        "remedy": "Free some space.",
    }
    with studio.database.read() as session:
        assert session.scalars(sa.select(Artifact)).all() == []


def test_a_poisoned_job_fails_alone(studio: Studio, working):
    first, *_, last = PALETTES
    ids = order(studio, brief(1, palette=first), brief(2, palette=last), brief(3, palette=first))
    working(poison=last)
    jobs = wait_for(studio, ids)
    assert [j["state"] for j in jobs] == ["done", "failed", "done"]
    assert "SIGSEGV" in jobs[1]["error"]["cause"] + jobs[1]["error"]["remedy"]
    see_that_all_is_well(studio, [ids[0], ids[2]])


def test_of_orders_with_one_key_the_first_stands(studio: Studio):
    studio.base = studio.base.model_copy(update={"daily": replace(studio.base.daily, count=2)})
    first = studio.order_daily(actor="test")
    assert studio.order_daily(actor="test") == first
    assert len(set(first)) == 2
    assert len(events(studio, "queued")) == 2


def test_the_urgent_goes_before_the_early(studio: Studio, working):
    slow = order(studio, brief(1), brief(2), brief(3), priority=8)
    [urgent] = order(studio, brief(4), priority=1)
    working()
    wait_for(studio, [*slow, urgent])
    took = [e.subject for e in events(studio, "took") if e.detail["lane"] == "compute"]
    assert took[0] == urgent


def test_a_clock_that_is_set_back_does_not_keep_a_job_waiting(studio: Studio, working):
    [job_id] = order(studio, brief())
    # As it would look if the clock had gone back by an hour since: due in an hour, not in a second.
    with studio.database.write() as session:
        job = _jobs.find(session, job_id)
        job.state, job.delay_s = "waiting", 1.0
        job.not_before = job.created_at + timedelta(hours=1)
    working()
    wait_for(studio, [job_id], limit_s=60)
    see_that_all_is_well(studio, [job_id])


def test_a_worker_of_a_later_version_goes_on_with_what_an_earlier_one_left(studio: Studio, working):
    ids = order(studio, brief(1), brief(2))
    process = working(version="0.1.0")
    deadline = time.monotonic() + 60
    while not events(studio, "finished"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    working(version="0.2.0")
    wait_for(studio, ids)
    see_that_all_is_well(studio, ids)


def test_a_second_process_on_a_data_folder_is_refused(studio: Studio, working):
    working()
    with pytest.raises(LofiError, match="in use by process"):
        studio.lock()


def test_a_closed_worker_gives_its_work_back(studio: Studio, working):
    process = working()
    [job_id] = order(studio, replace(brief(), duration_s=300.0))
    wait_for(studio, [job_id], "running")
    assert process.close() == 0
    [job] = wait_for(studio, [job_id], "queued")
    assert job["worker_id"] is None
    with studio.database.read() as session:
        assert session.scalars(sa.select(Worker.ended_at)).all() != [None]


def test_what_no_record_names_is_garbage(studio: Studio, working, tmp_path: Path):
    working()
    [job_id] = order(studio, brief())
    wait_for(studio, [job_id])
    stray = tmp_path / "stray"
    stray.write_bytes(b"left by a process that was killed before it could tell")
    blob = studio.storage.put(stray)
    found = collect_garbage(studio.storage, studio.named_blobs, dry_run=False, grace_s=0)
    assert found.count == 1
    assert not studio.storage.exists(blob.sha256)
    see_that_all_is_well(studio, [job_id])


def test_a_wrong_brief_orders_nothing(studio: Studio):
    with pytest.raises(InputError):
        studio.order(replace(brief(), bpm=500.0), count=3, actor="test")
    assert events(studio) == []


def test_a_frame_that_cannot_be_drawn_is_refused_before_any_work(studio: Studio, monkeypatch):
    monkeypatch.setenv("LOFI_VIDEO__HEIGHT", "181")
    with pytest.raises(InputError, match="320x181"):
        studio.order(brief(), actor="test")
    assert events(studio) == []


def test_settings_are_changed_checked_and_told(studio: Studio):
    before: Settings = studio.settings()
    with pytest.raises(InputError, match="best_of"):
        studio.change_settings({"generation": {"best_of": "many"}}, actor="test")
    with pytest.raises(InputError, match="cannot be set here"):
        studio.change_settings({"studio": {"database": "x"}}, actor="test")
    assert studio.settings() == before
    studio.change_settings({"sampling": {"temperature": 0.8}}, actor="test")
    assert studio.settings().sampling.temperature == 0.8
    [event] = events(studio, "set")
    assert event.detail == {"changes": {"sampling": {"temperature": 0.8}}}


# Death ------------------------------------------------------------------------------------------

POINTS = [
    (at, when)
    for at in ("claim", "begin", "run", "put", "finish", "advance", "ticket", "end")
    for when in ("before", "after")
]


def test_killed_at_each_point_jobs_end_whole_and_once(studio: Studio, working):
    """One process after the other dies there, each on what the one before has left."""
    ids: list[str] = []
    for at, when in POINTS:
        with studio.database.read() as session:
            left = session.scalar(
                sa.select(sa.func.count()).select_from(Job).where(Job.state.not_in(_jobs.ENDED))
            )
        if not left:  # something must be there to die of
            ids += order(studio, brief(len(ids), template=list(TEMPLATES)[len(ids) % 3]))
        process = working(die={"at": at, "when": when, "count": 1}).process
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:  # what was left did not come by there
            ids += order(studio, brief(len(ids)))
            process.wait(timeout=60)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, (at, when)
    working()
    wait_for(studio, ids)
    see_that_all_is_well(studio, ids)


def torture(studio: Studio, start: Callable[[], list[Process]], count: int, seed: int) -> None:
    """Kill what works at random moments until `count` jobs have ended."""
    chance = random.Random(seed)
    # Eight pieces in six looks each, and some twice: what they share is made once.
    looks = [(p, t) for t in TEMPLATES for p in list(PALETTES)[:2]]
    briefs = [
        brief(i % 8, palette=p, template=t) for i in range(count) for p, t in [looks[i // 8 % 6]]
    ]
    ids = order(studio, *briefs)
    processes = start()
    kills = 0
    deadline = time.monotonic() + 600
    while True:
        with studio.database.read() as session:
            open_jobs = session.scalar(
                sa.select(sa.func.count()).select_from(Job).where(Job.state.not_in(_jobs.ENDED))
            )
        if not open_jobs:
            break
        assert time.monotonic() < deadline, f"{open_jobs} jobs left after {kills} kills"
        if kills < 12:
            time.sleep(chance.uniform(1.0, 6.0))
            victim = chance.choice(processes)
            victim.kill()
            kills += 1
            processes.remove(victim)
            processes += start()[:1]
        else:
            time.sleep(0.2)
    assert kills >= 5
    see_that_all_is_well(studio, ids)


def test_fifty_jobs_survive_a_server_that_is_killed_at_random(studio: Studio, working):
    torture(studio, lambda: [working()], 50, seed=1)


def test_fifty_jobs_survive_workers_that_are_killed_at_random(on_postgresql: Studio, working):
    torture(on_postgresql, lambda: [working(), working()], 50, seed=2)


def test_a_database_that_is_restarted_costs_no_job(on_postgresql: Studio, working, postgres_server):
    ids = order(on_postgresql, brief(1), brief(2))
    process = working()
    deadline = time.monotonic() + 60
    while not events(on_postgresql, "finished"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    postgres_server.stop()
    time.sleep(2)
    postgres_server.start()
    wait_for(on_postgresql, ids)
    assert process.alive
    see_that_all_is_well(on_postgresql, ids)


def test_only_one_worker_takes_a_job(on_postgresql: Studio, working):
    for _ in range(2):
        working()
    ids = order(on_postgresql, *[brief(i) for i in range(4)])
    wait_for(on_postgresql, ids)
    see_that_all_is_well(on_postgresql, ids)
    took = Counter((e.subject, e.detail["lane"]) for e in events(on_postgresql, "took"))
    assert set(took.values()) == {1}
    assert len({e.actor for e in events(on_postgresql, "took")}) == 2
