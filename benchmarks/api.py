"""How fast the API answers with 10,000 tracks stored, while two videos are rendered.

python benchmarks/api.py            # prints a table
python benchmarks/api.py --write    # and writes it into benchmarks/README.md
"""

from __future__ import annotations

import json
import random
import socket
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import sqlalchemy as sa
from httptools import HttpResponseParser
from package import machine, write_between_marks
from service import folder, order, serving, wait

TRACKS = 10_000
REQUESTS = 250  # of each kind


def columns(row: Any) -> dict[str, Any]:
    """The values of a row by their names."""
    return {c.key: getattr(row, c.key) for c in sa.inspect(type(row)).column_attrs}


def fill(example: str) -> list[str]:
    """Ten thousand tracks with the facts, stages, files and events of a real one; their ids."""
    from lofi.brief import MOODS, PALETTES
    from lofi.studio import load_settings, open_studio
    from lofi.studio._tables import Artifact, Event, Job, JobStage, Track

    chance = random.Random(1)
    with open_studio(load_settings()) as studio:
        with studio.database.read() as session:
            track = session.get_one(Track, example)
            real, work = columns(track), columns(session.get_one(Job, track.job_id))
            of_it = {"job_id": track.job_id}
            steps = [columns(s) for s in session.scalars(sa.select(JobStage).filter_by(**of_it))]
            files = [columns(a) for a in session.scalars(sa.select(Artifact).filter_by(**of_it))]
            of_both = Event.subject.in_((example, track.job_id))
            trail = [columns(e) for e in session.scalars(sa.select(Event).where(of_both))]
        rows, jobs, stages, artifacts, events = [], [], [], [], []
        for i in range(TRACKS):
            mood, palette = chance.choice(list(MOODS)), chance.choice(list(PALETTES))
            name, job_id = f"{mood}-{palette}-{i:08x}", f"{i:016x}"
            moment = real["created_at"] - timedelta(minutes=i)
            own = {"id": job_id, "track_id": name, "dedup_key": None, "created_at": moment}
            jobs.append(work | own)
            stages += [step | {"job_id": job_id} for step in steps]
            artifacts += [
                file | {"job_id": job_id, "sha256": f"{i:016x}{file['sha256'][:48]}"}
                for file in files
            ]
            subjects = {example: name, work["id"]: job_id}
            events += [
                event | {"id": None, "at": moment, "subject": subjects[event["subject"]]}
                for event in trail
            ]
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
            session.execute(sa.insert(JobStage), stages)
            session.execute(sa.insert(Artifact), artifacts)
            session.execute(sa.insert(Track), rows)
            session.execute(sa.insert(Event), events)
    return [r["id"] for r in rows]


Ask = tuple[str, str, dict[str, Any] | None]  # method, path, body


class Answer:
    """What the parser tells of one answer."""

    def __init__(self) -> None:
        self.body = b""
        self.whole = False

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.whole = True


def measured(address: str, ask: Callable[[], Ask]) -> list[float]:
    """Milliseconds of each of so many requests, with a breath between them.

    Asked on a connection that stays open, by a client that adds as little as can be to them:
    http.client adds a fifth of a millisecond more.
    """
    at = urlsplit(address)
    assert at.hostname
    spent = []
    with socket.create_connection((at.hostname, at.port or 80)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(REQUESTS):
            method, path, body = ask()
            text = json.dumps(body).encode() if body is not None else b""
            head = (
                f"{method} {path} HTTP/1.1\r\nHost: {at.netloc}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
            )
            answer = Answer()
            parser = HttpResponseParser(answer)
            begun = time.perf_counter()
            connection.sendall(head.encode() + text)
            while not answer.whole:
                parser.feed_data(connection.recv(2**16))
            spent.append(1000 * (time.perf_counter() - begun))
            assert parser.get_status_code() < 400, answer.body
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
            brief = {"mood": "chill", "duration": 30, "priority": 9}
            kinds: dict[str, Callable[[], Ask]] = {
                "a page of tracks": lambda: (
                    "GET", f"/api/tracks?offset={50 * chance.randrange(20)}", None
                ),
                "by mood, fastest first": lambda: (
                    "GET", "/api/tracks?mood=focus&sort=bpm&order=desc", None
                ),
                "search of two words": lambda: (
                    "GET", f"/api/tracks?q=dreamy+{chance.randrange(TRACKS)}", None
                ),
                "one track": lambda: ("GET", f"/api/tracks/{chance.choice(ids)}", None),
                "its title changed": lambda: (
                    "PATCH", f"/api/tracks/{chance.choice(ids)}", {"title": f"{chance.random()}"}
                ),
                "jobs": lambda: ("GET", "/api/jobs", None),
                "one job": lambda: ("GET", f"/api/jobs/{chance.choice(renders)}", None),
                "status": lambda: ("GET", "/api/status", None),
                "an order": lambda: ("POST", "/api/generate", brief),
            }  # fmt: skip
            figures: dict[str, list[float]] = {}
            for kind, ask in kinds.items():
                figures[kind] = measured(str(client.base_url), ask)
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
