"""How fast the API answers with 10,000 tracks stored, while two videos are rendered.

python benchmarks/api.py            # prints a table
python benchmarks/api.py --write    # and writes it into benchmarks/README.md
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import sqlalchemy as sa
from package import machine, write_between_marks
from service import folder, order, serving, wait

TRACKS = 10_000
REQUESTS = 250  # of each kind


def fill(example: str) -> list[str]:
    """Ten thousand tracks with the facts of a real one; gives their ids."""
    from lofi.brief import MOODS, PALETTES
    from lofi.studio import load_settings, open_studio
    from lofi.studio._tables import Job, Track

    chance = random.Random(1)
    with open_studio(load_settings()) as studio:
        with studio.database.read() as session:
            track = session.get_one(Track, example)
            real = {c.key: getattr(track, c.key) for c in sa.inspect(Track).mapper.column_attrs}
            job = session.get_one(Job, track.job_id)
            work = {c.key: getattr(job, c.key) for c in sa.inspect(Job).mapper.column_attrs}
        rows, jobs = [], []
        for i in range(TRACKS):
            mood, palette = chance.choice(list(MOODS)), chance.choice(list(PALETTES))
            name, job_id = f"{mood}-{palette}-{i:08x}", f"{i:016x}"
            moment = real["created_at"] - timedelta(minutes=i)
            own = {"id": job_id, "track_id": name, "dedup_key": None, "created_at": moment}
            jobs.append(work | own)
            rows.append(
                real
                | {
                    "id": name,
                    "title": f"{mood} {palette} {i}",
                    "mood": mood,
                    "palette": palette,
                    "bpm": float(chance.randint(60, 100)),
                    "search": f"{mood} {palette} {i} {name}",
                    "job_id": job_id,
                    "created_at": moment,
                }
            )
        with studio.database.write() as session:
            session.execute(sa.insert(Job), jobs)
            session.execute(sa.insert(Track), rows)
    return [r["id"] for r in rows]


def measured(client: httpx.Client, ask: Callable[[], httpx.Response]) -> list[float]:
    """Milliseconds of each of so many requests, with a breath between them."""
    spent = []
    for _ in range(REQUESTS):
        begun = time.perf_counter()
        answer = ask()
        spent.append(1000 * (time.perf_counter() - begun))
        assert answer.status_code < 400, answer.text
        time.sleep(0.005)
    return spent


def main() -> None:
    chance = random.Random(2)
    with folder() as where:
        with serving(where) as (client, _):
            [example] = wait(client, order(client, mood="chill", duration=180, seed=1))
        ids = fill(example["track_id"])
        with serving(where) as (client, _):
            renders = [
                job
                for seed in (1, 2)
                for job in order(client, mood="chill", duration=600, seed=seed)
            ]
            while not all(drawing(client, job) for job in renders):
                time.sleep(0.5)
            kinds: dict[str, Callable[[], httpx.Response]] = {
                "a page of tracks": lambda: client.get(
                    "/api/tracks", params={"offset": 50 * chance.randrange(20)}
                ),
                "by mood, fastest first": lambda: client.get(
                    "/api/tracks", params={"mood": "focus", "sort": "bpm", "order": "desc"}
                ),
                "search of two words": lambda: client.get(
                    "/api/tracks", params={"q": f"dreamy {chance.randrange(TRACKS)}"}
                ),
                "one track": lambda: client.get(f"/api/tracks/{chance.choice(ids)}"),
                "its title changed": lambda: client.patch(
                    f"/api/tracks/{chance.choice(ids)}", json={"note": str(chance.random())}
                ),
                "jobs": lambda: client.get("/api/jobs"),
                "one job": lambda: client.get(f"/api/jobs/{chance.choice(renders)}"),
                "status": lambda: client.get("/api/status"),
                "an order": lambda: client.post(
                    "/api/generate",
                    json={"mood": "chill", "duration": 30, "priority": 9},
                ),
            }
            figures: dict[str, list[float]] = {}
            for kind, ask in kinds.items():
                figures[kind] = measured(client, ask)
            still = sum(drawing(client, job) for job in renders)
            for job in renders:
                client.post(f"/api/jobs/{job}/cancel")
    together = [f for kind in figures.values() for f in kind]
    about = (
        f"Machine: {machine()}. {TRACKS:,} tracks, {still} videos being rendered to the end; "
        f"{REQUESTS} requests of each kind."
    )
    table = [about, "", "| request | median | 95 % within |", "|---|---|---|"]
    rows: dict[str, Any] = {**figures, "**all** (goal: < 5 and < 50 ms)": together}
    for kind, spent in rows.items():
        middle, late = statistics.median(spent), statistics.quantiles(spent, n=20)[-1]
        table.append(f"| {kind} | {middle:.1f} ms | {late:.1f} ms |")
    print("\n".join(table))
    if "--write" in sys.argv:
        write_between_marks("api", "\n".join([*table, ""]))


def drawing(client: httpx.Client, job_id: str) -> bool:
    """Whether its video is being drawn."""
    stages = client.get(f"/api/jobs/{job_id}").json()["stages"]
    return any(s["name"] == "picture" and s["state"] == "running" for s in stages)


if __name__ == "__main__":
    main()
