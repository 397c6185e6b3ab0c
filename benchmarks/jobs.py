"""What jobs cost: order to start, a batch beside one after another, a day's run, an idle server.

    python benchmarks/jobs.py            # prints a table
    python benchmarks/jobs.py --write    # and writes it into benchmarks/README.md
    python benchmarks/jobs.py --quick    # without the day's run

On an idle machine: all figures but the ratio are times.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from datetime import datetime

import psutil
from package import machine, write_between_marks
from service import folder, order, serving, wait

SHORT = {"mood": "chill", "duration": 30}
BATCH = 10


def start_delays_ms(count: int = 20) -> list[float]:
    """From the moment a job is written until its first stage begins, of an idle server."""
    delays = []
    with folder() as where, serving(where) as (client, _):
        time.sleep(3)
        for seed in range(count):
            [job_id] = order(client, **SHORT, seed=seed)
            while not (job := client.get(f"/api/jobs/{job_id}").json())["started_at"]:
                time.sleep(0.005)
            began = datetime.fromisoformat(job["started_at"])
            delays.append(
                1000 * (began - datetime.fromisoformat(job["created_at"])).total_seconds()
            )
            client.post(f"/api/jobs/{job_id}/cancel")
            while client.get(f"/api/jobs/{job_id}").json()["state"] != "cancelled":
                time.sleep(0.05)
            time.sleep(0.3)
    return delays


def idle(seconds: float = 30.0) -> tuple[float, float]:
    """Percent of one core and megabytes of a server that has nothing to do."""
    with folder() as where, serving(where) as (_, pid):
        process = psutil.Process(pid)
        time.sleep(5)
        before = sum(process.cpu_times()[:2])
        time.sleep(seconds)
        spent = sum(process.cpu_times()[:2]) - before
        return 100 * spent / seconds, process.memory_info().rss / 1e6


def one_after_another_s() -> float:
    """Each ordered when the one before is done."""
    with folder() as where, serving(where) as (client, _):
        begun = time.monotonic()
        for seed in range(BATCH):
            wait(client, order(client, **SHORT, seed=seed))
        return time.monotonic() - begun


def together_s() -> float:
    """The same, all ordered at once."""
    with folder() as where, serving(where) as (client, _):
        begun = time.monotonic()
        ids = [i for seed in range(BATCH) for i in order(client, **SHORT, seed=seed)]
        wait(client, ids)
        return time.monotonic() - begun


def daily_s() -> float:
    """`lofi daily` with ten tracks of three minutes, packages written."""
    with folder() as where:
        given = {"LOFI_DAILY__COUNT": "10", "LOFI_DAILY__DURATION_S": "180"}
        begun = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "lofi", "daily"],
            cwd=where,
            env={**os.environ, **given},
            check=True,
            capture_output=True,
        )
        spent = time.monotonic() - begun
        assert len(list((where / "output").glob("*/*/track.json"))) == 10
        return spent


def main() -> None:
    quick = "--quick" in sys.argv
    cpu, memory = idle()
    delays = start_delays_ms()
    apart, together = one_after_another_s(), together_s()
    rows = [
        ("idle server, of one core", f"{cpu:.1f} %", "≤ 2 %"),
        ("the same, memory", f"{memory:.0f} MB", "≤ 250 MB"),
        (
            "order to start, median / longest of 20",
            f"{statistics.median(delays):.0f} / {max(delays):.0f} ms",
            "≤ 300 ms",
        ),
        (f"{BATCH} packages of 30 s, one after another", f"{apart:.0f} s", ""),
        ("the same, ordered together", f"{together:.0f} s ({apart / together:.2f} ×)", "≥ 1.6 ×"),
    ]
    if not quick:
        spent = daily_s()
        rows.append(("`lofi daily`, 10 packages of 3 min", f"{spent / 60:.1f} min", "≤ 15 min"))
    table = [f"Machine: {machine()}.", "", "| what | measured | goal |", "|---|---|---|"]
    table += [f"| {what} | {figure} | {goal} |" for what, figure, goal in rows]
    print("\n".join(table))
    if "--write" in sys.argv:
        write_between_marks("jobs", "\n".join([*table, ""]))


if __name__ == "__main__":
    main()
