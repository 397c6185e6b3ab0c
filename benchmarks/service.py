"""A server to measure: `lofi serve` in a folder of its own, asked over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ENDED = ("done", "failed", "cancelled")


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder in which the studio works, through the environment."""
    with tempfile.TemporaryDirectory(prefix="lofi-benchmark-") as name:
        os.environ["LOFI_STUDIO__FOLDER"] = str(Path(name) / "studio")
        os.environ["LOFI_SERVER__REQUESTS_PER_MINUTE"] = "1000000"  # one client asks for many
        yield Path(name)


@contextmanager
def serving(where: Path, *options: str) -> Iterator[tuple[httpx.Client, int]]:
    """A client of a server that was just started, and the server's process id."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lofi", "serve", "--port", "0", *options],
        cwd=where,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        address = next(word for word in line.replace(",", " ").split() if word.startswith("http"))
        with httpx.Client(base_url=address, timeout=60) as client:
            while client.get("/api/health/ready").status_code != 200:
                time.sleep(0.1)
            yield client, process.pid
    finally:
        process.terminate()
        process.wait(30)


def order(client: httpx.Client, **brief: Any) -> list[str]:
    """The ids of the jobs of a brief."""
    answer = client.post("/api/generate", json=brief)
    answer.raise_for_status()
    return [job["id"] for job in answer.json()["jobs"]]


def wait(client: httpx.Client, ids: list[str]) -> list[dict[str, Any]]:
    """The jobs, once all have ended well."""
    jobs = []
    for job_id in ids:
        while (job := client.get(f"/api/jobs/{job_id}").json())["state"] not in ENDED:
            time.sleep(0.1)
        assert job["state"] == "done", job["error"]
        jobs.append(job)
    return jobs
