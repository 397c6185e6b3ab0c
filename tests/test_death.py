"""Death: whatever is killed, whenever, nothing finished is done twice and nothing is lost."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from jobs import Process, brief, events, order, see_that_all_is_well, wait_for

from lofi.brief import PALETTES, TEMPLATES
from lofi.studio import _jobs
from lofi.studio._studio import Studio
from lofi.studio._tables import Job

POINTS = [
    (at, when)
    for at in ("claim", "begin", "run", "put", "finish", "advance", "ticket", "end")
    for when in ("before", "after")
]


@pytest.mark.parametrize("points", [POINTS[1::2], pytest.param(POINTS, marks=pytest.mark.slow)])
def test_killed_at_each_point_jobs_end_whole_and_once(
    studio: Studio, working, points: list[tuple[str, str]]
):
    """One process after the other dies there, each on what the one before has left."""
    ids: list[str] = []
    for at, when in points:
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


def torture(
    studio: Studio, start: Callable[[], Process], workers: int, jobs: int, seed: int
) -> None:
    """Kill what works at random moments until so many jobs have ended."""
    chance = random.Random(seed)
    # Two pieces in three looks, asked for again and again: what they share is made once.
    looks = [(p, t) for t in TEMPLATES for p in list(PALETTES)[:1]]
    briefs = [
        brief(i % 2, palette=p, template=t) for i in range(jobs) for p, t in [looks[i // 2 % 3]]
    ]
    ids = order(studio, *briefs)
    processes = [start() for _ in range(workers)]
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
        if kills < (8 if jobs >= 50 else 4):
            time.sleep(chance.uniform(0.5, 4.0))
            victim = chance.choice(processes)
            victim.kill()
            kills += 1
            processes.remove(victim)
            processes.append(start())
        else:
            time.sleep(0.2)
    assert kills >= 4
    see_that_all_is_well(studio, ids)


# Twelve each time; fifty by `make torture`.
JOBS = pytest.mark.parametrize("jobs", [12, pytest.param(50, marks=pytest.mark.slow)])


@JOBS
def test_jobs_survive_a_server_that_is_killed_at_random(studio: Studio, working, jobs: int):
    torture(studio, working, 1, jobs, seed=1)


@JOBS
def test_jobs_survive_workers_that_are_killed_at_random(on_postgresql: Studio, working, jobs: int):
    torture(on_postgresql, working, 2, jobs, seed=2)


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
    ids = order(on_postgresql, *[brief(i) for i in range(3)])
    wait_for(on_postgresql, ids)
    see_that_all_is_well(on_postgresql, ids)
    took = Counter((e.subject, e.detail["lane"]) for e in events(on_postgresql, "took"))
    assert set(took.values()) == {1}
    assert len({e.actor for e in events(on_postgresql, "took")}) == 2
