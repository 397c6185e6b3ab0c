"""The service's commands as a user meets them: separate processes on a data folder of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parent.parent
SMALL = {
    "LOFI_VIDEO__WIDTH": "320",
    "LOFI_VIDEO__HEIGHT": "180",
    "LOFI_VIDEO__FPS": "10",
    "LOFI_GENERATION__BEST_OF": "1",
    "LOFI_WORK__COMPUTE": "1",
    "LOFI_WORK__RENDER": "1",
    "LOFI_WORK__NICENESS": "0",
    "LOFI_DAILY__COUNT": "1",
    "LOFI_DAILY__DURATION_S": "10",
}
COMMANDS = {
    "serve": (),
    "worker": (),
    "daily": (),
    "orchestrate": (),
    "jobs": ("list", "show", "watch", "cancel", "retry"),
    "track": ("list", "show", "export", "approve", "delete", "restore", "listing"),
    "listing": ("templates", "check", "keywords"),
    "preflight": (),
    "db": ("upgrade", "downgrade", "current", "check", "backup"),
    "storage": ("check", "gc"),
    "token": ("create", "list", "revoke"),
    "community": ("list", "sync"),
    "schedule": (
        "list",
        "add",
        "remove",
        "plan",
        "move",
        "cancel",
        "answer",
        "fill",
        "hours",
    ),
    "analytics": ("show", "export", "collect"),
    "experiment": ("list", "start", "show", "stop", "apply"),
}


def begin(*arguments: str | Path, cwd: Path, **more: str) -> subprocess.Popen[str]:
    """A command, running; `orchestrator.py` and `api_server.py` are files of the repository."""
    first = str(arguments[0])
    program = [str(ROOT / first)] if first.endswith(".py") else ["-m", "lofi", first]
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments[1:])],
        cwd=cwd,
        env={**os.environ, **SMALL, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lofi(*arguments: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    process = begin(*arguments, cwd=cwd, **more)
    try:
        out, err = process.communicate(timeout=600)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def told(*arguments: str | Path, cwd: Path, **more: str) -> Any:
    """What a command says with --json."""
    done = lofi(*arguments, "--json", cwd=cwd, **more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def complains(done: subprocess.CompletedProcess[str], *words: str, status: int = 1) -> None:
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def eventually(look: Callable[[], Any], within_s: float = 300.0) -> Any:
    """What `look` gives once it gives something."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.3)
    return found


@contextmanager
def serving(cwd: Path, *arguments: str, **more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server, and its address."""
    process = begin("serve", "--port", "0", *arguments, cwd=cwd, **more)
    assert process.stdout
    try:
        line = process.stdout.readline()
        assert "http://" in line, process.stderr and process.stderr.read()
        yield process, line.split(" is at ")[1].split(",")[0]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ask(address: str, path: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(
        address + path,
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def stages(view: dict[str, Any]) -> dict[str, tuple[str, int]]:
    return {s["name"]: (s["state"], s["runs"]) for s in view["stages"]}


# Without a track ---------------------------------------------------------------------------------


def test_each_command_teaches_with_an_example():
    from typer.testing import CliRunner

    from lofi.cli import app

    for group, names in COMMANDS.items():
        for name in names or ("",):
            words = [group, *([name] if name else []), "--help"]
            done = CliRunner().invoke(app, words)
            assert done.exit_code == 0
            assert "Example" in done.output, words


def test_the_studio_is_imported_without_what_serves_it():
    code = (
        "import sys, lofi.studio; lofi.studio.make; lofi.studio.load_settings(); "
        "heavy = {'sqlalchemy', 'dbos', 'fastapi', 'alembic', 'obstore', 'cashews', 'uvicorn'}; "
        "print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "loaded: []" in done.stdout


def test_every_public_name_of_the_studio_is_there():
    from lofi import studio

    for name in studio.__all__:
        assert getattr(studio, name) is not None


def test_wrong_words_are_told_with_the_remedy(tmp_path: Path):
    complains(lofi("worker", cwd=tmp_path), "SQLite", "PostgreSQL", "lofi db upgrade", status=2)
    complains(lofi("worker", "--lanes", "cook", cwd=tmp_path), "'cook'", "render", status=2)
    complains(lofi("jobs", "show", "none", cwd=tmp_path), "'none'", "lofi jobs", status=2)
    complains(lofi("jobs", "list", "--state", "lost", cwd=tmp_path), "'lost'", "queued", status=2)
    complains(lofi("track", "show", "none", cwd=tmp_path), "'none'", status=2)
    complains(lofi("daily", "--date", "soon", cwd=tmp_path), "'soon'", "2026-07-01", status=2)
    complains(lofi("db", "downgrade", "9999", cwd=tmp_path), "'9999'", "0001")
    complains(lofi("token", "create", "a", "--scopes", "all", cwd=tmp_path), "'all'", status=2)
    many = lofi("orchestrator.py", "--mode", "single", "--count", "3", cwd=tmp_path)
    complains(many, "--mode batch", status=2)
    mood = lofi("orchestrator.py", "--mode", "daily", "--mood", "chill", cwd=tmp_path)
    complains(mood, "--mood", "config.yaml", status=2)
    unknown = lofi("orchestrator.py", "--mood", "chil", cwd=tmp_path)
    complains(unknown, "Did you mean 'chill'?", status=2)


def test_the_database_goes_up_and_down(tmp_path: Path):
    assert told("db", "current", cwd=tmp_path)["revision"] is None
    complains(lofi("db", "check", cwd=tmp_path), "lofi db upgrade")
    assert lofi("db", "upgrade", cwd=tmp_path).returncode == 0
    at = told("db", "current", cwd=tmp_path)
    assert at["revision"] == at["newest"]
    assert told("db", "check", cwd=tmp_path) == {"differences": []}
    assert lofi("db", "downgrade", "base", cwd=tmp_path).returncode == 0
    assert told("db", "current", cwd=tmp_path)["revision"] is None


def test_a_token_is_shown_once_and_can_be_revoked(tmp_path: Path):
    made = told("token", "create", "ci", "--scopes", "read,write", "--days", "9", cwd=tmp_path)
    assert made["scopes"] == ["read", "write"]
    [listed] = told("token", "list", cwd=tmp_path)["tokens"]
    assert listed["name"] == "ci"
    assert made["token"] not in json.dumps(listed)
    told("token", "revoke", str(made["id"]), cwd=tmp_path)
    [listed] = told("token", "list", cwd=tmp_path)["tokens"]
    assert listed["revoked_at"]


# The server --------------------------------------------------------------------------------------


def test_a_folder_has_one_server_which_leaves_when_it_is_told_to(tmp_path: Path):
    with serving(tmp_path) as (server, address):
        assert ask(address, "/api/jobs")["total"] == 0
        complains(lofi("serve", "--port", "0", cwd=tmp_path), "in use", str(server.pid))
        complains(lofi("db", "downgrade", "base", cwd=tmp_path), "in use")
        loaded = {m.path for m in psutil.Process(server.pid).memory_maps()}
        heavy = ("onnxruntime", "skia", "torch")
        assert not [p for p in loaded if any(name in p for name in heavy)]
        server.send_signal(signal.SIGTERM)
        _, err = server.communicate(timeout=60)
        assert server.returncode == 0, err
        assert {"event", "level", "timestamp"} <= set(json.loads(err.splitlines()[0]))
    with serving(tmp_path, "--log-text") as (server, _):
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=60)
        assert server.returncode == 0, err
        assert not err.startswith("{")


def test_a_signal_in_the_middle_of_the_start_is_a_good_end(tmp_path: Path):
    code = (
        "import functools, signal\n"
        "real = signal.signal\n"
        "def at_once(number, handler):\n"
        "    was = real(number, handler)\n"
        "    if isinstance(handler, functools.partial):  # the event loop's, before it runs\n"
        "        signal.raise_signal(number)\n"
        "    return was\n"
        "signal.signal = at_once\n"
        "from lofi.cli import main\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "--port", "0"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "the server has stopped" in done.stderr


def test_a_port_in_use_is_told(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        complains(lofi("serve", "--port", port, cwd=tmp_path), port, "--port")


def test_other_machines_are_answered_only_where_there_is_a_token(tmp_path: Path):
    complains(lofi("serve", "--host", "0.0.0.0", cwd=tmp_path), "0.0.0.0", "lofi token create")


def test_a_server_without_workers_leaves_the_work_to_others(tmp_path: Path):
    with serving(tmp_path, "--no-workers") as (_, address):
        job = ask(address, "/api/generate", {"duration": 10, "seed": 3})["id"]
        assert ask(address, f"/api/jobs/{job}")["state"] == "queued"
        told("jobs", "cancel", job, cwd=tmp_path)
        assert ask(address, f"/api/jobs/{job}")["state"] == "cancelled"
        complains(lofi("jobs", "cancel", job, cwd=tmp_path), "nothing to cancel", status=2)
        told("jobs", "retry", job, cwd=tmp_path)
        assert told("jobs", "show", job, cwd=tmp_path)["state"] == "queued"
        [listed] = told("jobs", "list", "--state", "queued", cwd=tmp_path)["jobs"]
        assert listed["id"] == job
        watching = begin("jobs", "watch", job, cwd=tmp_path)
        assert watching.stderr
        assert "queued" in watching.stderr.readline()
        time.sleep(2)  # it watches, and imports nothing more
        watching.send_signal(signal.SIGINT)
        out, _ = watching.communicate(timeout=60)
        assert watching.returncode == 0
        assert "go on" in out
        assert told("jobs", "show", job, cwd=tmp_path)["state"] == "queued"


def test_a_worker_on_postgresql_works_beside_a_server(tmp_path: Path, postgres_url: str):
    with_database = {"LOFI_STUDIO__DATABASE": postgres_url}
    complains(lofi("worker", cwd=tmp_path, **with_database), "lofi db upgrade")
    assert lofi("db", "upgrade", cwd=tmp_path, **with_database).returncode == 0
    with serving(tmp_path, "--no-workers", **with_database) as (_, address):
        worker = begin("worker", "--lanes", "compute", cwd=tmp_path, **with_database)
        assert worker.stdout
        assert "takes compute" in worker.stdout.readline()
        job = ask(address, "/api/generate", {"duration": 10, "seed": 3})["id"]
        eventually(lambda: ask(address, f"/api/jobs/{job}")["state"] == "running")
        worker.send_signal(signal.SIGTERM)
        _, err = worker.communicate(timeout=60)
        assert worker.returncode == 0, err
        assert ask(address, f"/api/jobs/{job}")["state"] == "queued"


# With tracks -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_orchestrator_goes_on_where_it_was(tmp_path: Path):
    words = ("orchestrator.py", "--mode", "batch", "--count", "2", "--duration", "10")
    first = begin(*words, cwd=tmp_path)
    assert first.stderr
    for line in first.stderr:
        if line.strip().endswith("sound"):  # so composing and checking are done
            break
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    before = {j["id"]: stages(j) for j in told("jobs", "list", cwd=tmp_path)["jobs"]}
    finished = {
        (job, name) for job, of in before.items() for name, (s, _) in of.items() if s == "done"
    }
    assert {name for _, name in finished} >= {"compose", "check"}

    again = lofi(*words, "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "goes on where it was" in again.stderr
    result = json.loads(again.stdout)
    assert (result["mode"], result["resumed"], result["carried_on"]) == ("batch", True, 0)
    assert {t["job"] for t in result["tracks"]} == set(before)
    for track in result["tracks"]:
        folder = tmp_path / track["path"]
        assert {"track.mid", "master.flac", "video.mp4", "track.json"} <= {
            p.name for p in folder.iterdir()
        }
    after = {j["id"]: stages(j) for j in told("jobs", "list", cwd=tmp_path)["jobs"]}
    for job, name in finished:
        assert after[job][name] == before[job][name], "a finished stage was done again"
    assert all(state == "done" for of in after.values() for state, _ in of.values())
    assert told("track", "list", cwd=tmp_path)["total"] == 2


def test_the_tracks_of_a_day_are_made_once(tmp_path: Path):
    words = ("daily", "--date", "2026-07-01", "--out", "shelf")
    made = told(*words, cwd=tmp_path)
    [track] = made["tracks"]
    assert made["date"] == "2026-07-01"
    assert track["state"] == "done"
    assert (tmp_path / "shelf" / "2026-07-01" / track["track"] / "video.mp4").is_file()
    assert told(*words, cwd=tmp_path) == made
    assert told("jobs", "list", cwd=tmp_path)["total"] == 1

    name = track["track"]
    told("track", "approve", name, "--privacy", "unlisted", cwd=tmp_path)
    assert told("track", "show", name, cwd=tmp_path)["state"] == "approved"
    [listed] = told("track", "list", "--state", "approved", cwd=tmp_path)["tracks"]
    assert listed["id"] == name
    exported = told("track", "export", name, "--out", "elsewhere", cwd=tmp_path)
    assert (tmp_path / exported["path"] / "master.flac").is_file()
    told("track", "delete", name, cwd=tmp_path)
    assert told("track", "list", cwd=tmp_path)["total"] == 0
    complains(lofi("track", "export", name, cwd=tmp_path), "deleted", status=2)
    told("track", "restore", name, cwd=tmp_path)
    assert told("track", "list", cwd=tmp_path)["total"] == 1
    assert lofi("storage", "check", cwd=tmp_path).returncode == 0
    assert told("storage", "gc", "--dry-run", cwd=tmp_path)["files"] == 0


@pytest.mark.slow
def test_a_day_is_left_to_the_server_that_works_there(tmp_path: Path):
    with serving(tmp_path) as (server, address):
        daily = begin("daily", "--date", "2026-07-02", "--json", cwd=tmp_path)
        [job] = eventually(lambda: ask(address, "/api/jobs")["jobs"])
        running = eventually(
            lambda: (v := ask(address, f"/api/jobs/{job['id']}"))["state"] == "running" and v
        )
        assert running["worker_id"].split("-")[-2] == str(server.pid)
        # Told to stop, the server gives the job back, and whoever waits for it takes over.
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)
        assert server.returncode == 0
    out, err = daily.communicate(timeout=600)
    assert daily.returncode == 0, err
    [track] = json.loads(out)["tracks"]
    assert track["job"] == job["id"]
    assert (tmp_path / track["path"] / "video.mp4").is_file()


def test_a_track_that_is_not_made_is_told_with_what_to_do(tmp_path: Path):
    odd = lofi("orchestrator.py", cwd=tmp_path, LOFI_VIDEO__WIDTH="321")
    complains(odd, "321x180", "1920x1080", status=2)
    made = begin("orchestrator.py", "--duration", "10", "--seed", "4", cwd=tmp_path)
    assert made.stderr
    assert "queued" in made.stderr.readline()
    [job] = told("jobs", "list", cwd=tmp_path)["jobs"]
    told("jobs", "cancel", job["id"], cwd=tmp_path)
    out, err = made.communicate(timeout=120)
    assert made.returncode == 1
    assert "1 of 1 tracks were not made" in err
    assert f"cancelled. Again: lofi jobs retry {job['id']}" in out
    assert not list((tmp_path / "output").glob("*"))
