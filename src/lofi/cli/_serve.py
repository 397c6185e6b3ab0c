"""The studio as a service: the server, workers, and runs that make tracks and leave."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lofi.brief import Brief, InputError, Key, LofiError, read_duration
from lofi.cli._analytics import analytics_app, experiment_app
from lofi.cli._common import Config, Json, say, warn
from lofi.cli._community import community_app
from lofi.cli._exits import export_app
from lofi.cli._jobs import jobs_app, opened, showing, track_app
from lofi.cli._keep import db_app, password, storage_app, token_app
from lofi.cli._listing import listing_app, preflight_app
from lofi.cli._schedule import schedule_app

if TYPE_CHECKING:
    import socket

    from lofi.studio import Delivery, Studio

serve_app = typer.Typer()
for _name, _app in (
    ("jobs", jobs_app),
    ("track", track_app),
    ("listing", listing_app),
    ("schedule", schedule_app),
    ("db", db_app),
    ("storage", storage_app),
    ("token", token_app),
    ("analytics", analytics_app),
    ("experiment", experiment_app),
    ("community", community_app),
    ("export", export_app),
):
    serve_app.add_typer(_app, name=_name)
serve_app.add_typer(preflight_app)
serve_app.command()(password)

_GRACE_S = 3  # in which answers under way are finished when the server is to stop

LogJson = Annotated[
    bool | None,
    typer.Option(
        "--log-json/--log-text",
        help="Log JSON, or lines for people. Lines on a terminal, JSON elsewhere, if left out.",
    ),
]
Out = Annotated[Path | None, typer.Option(help="Folder for packages. `output` if left out.")]


# The server ------------------------------------------------------------------------------------


@serve_app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to answer on. 127.0.0.1, this machine alone.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port. 8000 if left out; 0: any free one.")
    ] = None,
    workers: Annotated[
        bool | None,
        typer.Option(
            "--workers/--no-workers",
            help="Whether jobs are carried out here too, or by `lofi worker` alone.",
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    log_json: LogJson = None,
    config: Config = None,
) -> None:
    """Run the studio as a service: the API, and the worker that carries out its jobs.

    Stopped by Ctrl-C or SIGTERM it gives unfinished work back within seconds; started again, it
    goes on with it. Other machines are answered only once there is a token.

    Example: lofi serve --port 8000

    Then: curl -X POST localhost:8000/api/generate -H 'Content-Type: application/json' -d '{}'
    """
    from lofi import studio

    settings = studio.load_settings(config)
    given = {"host": host, "port": port, "works": workers}
    server = replace(settings.server, **{n: v for n, v in given.items() if v is not None})
    _log(log_json)
    with _until_stopped("the server has stopped"):
        house = studio.open_studio(settings.model_copy(update={"server": server}))
        with house:
            with house.database.read() as session:
                studio.access.require_safe_binding(house.base, session)
            with _bound(server.host, server.port) as listening:
                # A folder on SQLite has one process at work; the lock is that process's.
                if server.works and house.database.is_sqlite:
                    house.lock()
                _answer(house, listening, works=server.works, show=open_)


def _answer(house: Studio, listening: socket.socket, *, works: bool, show: bool) -> None:
    """Answer until a signal comes."""
    import asyncio

    import uvicorn

    from lofi.web import create_app, server_config

    if works:
        house.work()
    app = create_app(house)
    server = uvicorn.Server(server_config(app, house.base, timeout_graceful_shutdown=_GRACE_S))
    name, port = listening.getsockname()[:2]
    address = f"http://{f'[{name}]' if ':' in name else name}:{port}"
    say(f"LoFi Empire is at {address}, its API at {address}/api/docs (Ctrl-C stops it)")
    if not works:
        say("It carries out no jobs itself.")
    sys.stdout.flush()
    if show:
        import webbrowser

        webbrowser.open(address)
    try:
        server.run(sockets=[listening])
    except asyncio.CancelledError as stop:  # a signal came before the server's handlers stood
        raise KeyboardInterrupt from stop


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens there. Raises LofiError with the remedy."""
    import errno
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host.strip("[]"), port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            told = f"port {port} of {host} is in use. Stop what uses it, or choose another: --port."
        elif error.errno == errno.EACCES:
            told = f"port {port} is reserved for administrators. Choose one above 1023: --port."
        else:
            told = f"{host} is no address of this machine ({error.strerror}). Give another: --host."
        raise LofiError(told) from error
    # Connections inherit it. asyncio sets it on sockets that name their protocol, and these do
    # not: head and body of an answer would wait 40 ms for each other (Nagle, delayed ACK).
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listening:
        yield listening


@contextmanager
def _until_stopped(told: str) -> Iterator[None]:
    """A signal to stop is a good end."""
    try:
        yield
    except KeyboardInterrupt:
        warn(f"{told}; unfinished jobs go on when it is started again.")


def _log(as_json: bool | None) -> None:
    import logging

    from lofi.cli._logs import log_to_stderr

    as_json = not sys.stderr.isatty() if as_json is None else as_json
    log_to_stderr(as_json=as_json, level=logging.INFO)


@serve_app.command()
def worker(
    lanes: Annotated[
        str | None,
        typer.Option(help="What to take, among compute,render,network. All if left out."),
    ] = None,
    log_json: LogJson = None,
    config: Config = None,
) -> None:
    """Carry out jobs, beside other workers and on any machine: needs PostgreSQL.

    All have the same database and storage in their settings; the server may then run with
    --no-workers. Killed at any moment, its jobs go on in other workers.

    Example: LOFI_STUDIO__DATABASE=postgresql://lofi@db/lofi lofi worker --lanes compute
    """
    import threading

    from lofi import studio

    known = [lane.name for lane in studio.lanes_of(studio.load_settings(config).work)]
    chosen = None if lanes is None else [lane.strip() for lane in lanes.split(",")]
    for lane in chosen or ():
        if lane not in known:
            raise InputError(f"there is no lane {lane!r}. The lanes are {', '.join(known)}.")
    with _until_stopped("the worker has stopped"), opened(config) as house:
        if house.database.is_sqlite:
            raise InputError(
                "a studio on SQLite has one process at work, that of `lofi serve`. For workers "
                "of their own set studio.database to a PostgreSQL, then run `lofi db upgrade`."
            )
        _log(log_json)
        working = house.work(chosen)
        say(f"worker {working.id} takes {lanes or 'all lanes'} (Ctrl-C stops it)")
        sys.stdout.flush()
        threading.Event().wait()


# Runs that make tracks and leave ---------------------------------------------------------------


@serve_app.command()
def daily(
    day: Annotated[
        str | None, typer.Option("--date", help="Such as 2026-07-01. Today if left out.")
    ] = None,
    out: Out = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Make the tracks of the day, once, and write their packages into output/DATE.

    How many and of what stands in config.yaml under `daily`. A server that works in the data folder
    makes them; where there is none, this command does. Stopped and run again it goes on; run again
    the same day, it finds them done, and makes another track in the place of one that failed. The
    exit status is 1 if one failed.

    Example, every morning by cron: 0 6 * * * cd /srv/lofi && .venv/bin/lofi daily
    """
    with opened(config) as house:
        named, delivered = _daily(house, day, out)
    _report(delivered, json_, {"date": named})


def _daily(house: Studio, day: str | None, out: Path | None) -> tuple[str, list[Delivery]]:
    from zoneinfo import ZoneInfo

    from lofi import studio

    zone = ZoneInfo(house.settings().daily.time_zone)
    try:
        chosen = date.fromisoformat(day) if day else datetime.now(zone).date()
    except ValueError as error:
        raise InputError(f"cannot read the date {day!r}. Write it like 2026-07-01.") from error
    noon = datetime.combine(chosen, time(12), zone)
    jobs = house.order_daily(noon, actor="daily")
    named = chosen.isoformat()
    with showing() as tell:
        into = (out or house.base.paths.output) / named
        return named, studio.deliver(house, jobs, into, tell)


class Mode(StrEnum):
    """What the specification's orchestrator is asked for."""

    single = "single"
    batch = "batch"
    daily = "daily"


@serve_app.command()
def orchestrate(
    mode: Annotated[
        Mode, typer.Option(help="One track, --count tracks, or those of the day.")
    ] = Mode.single,
    mood: Annotated[str | None, typer.Option(help="Mood. By the seed if left out.")] = None,
    duration: Annotated[
        str | None, typer.Option(help="Seconds, or minutes:seconds. 2:00 if left out.")
    ] = None,
    bpm: Annotated[float | None, typer.Option(help="Tempo. By mood if left out.")] = None,
    key: Annotated[str | None, typer.Option(help="Such as 'A minor'.")] = None,
    count: Annotated[
        int | None, typer.Option(min=1, max=1000, help="With batch: how many. 4 if left out.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Whole number; by chance if left out.")] = None,
    out: Out = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Make tracks as durable jobs, in this process: `python orchestrator.py --mode batch`.

    Killed in the middle and run again with the same words, it goes on where it was: stages that are
    finished are not done again. Other jobs that an earlier run left are carried on with it. Where a
    server works in the data folder, the server makes them.

    Example: lofi orchestrate --mode batch --count 2 --mood chill --duration 1:00
    """
    if mode is Mode.daily:
        given = {"--mood": mood, "--duration": duration, "--bpm": bpm, "--key": key,
                 "--count": count, "--seed": seed}  # fmt: skip
        if wrong := [name for name, value in given.items() if value is not None]:
            raise InputError(
                f"{wrong[0]} is not for --mode daily: config.yaml says it, in `daily`."
            )
    elif mode is Mode.single and count not in (None, 1):
        raise InputError(f"--mode single makes one track, not {count}: use --mode batch.")
    brief = _brief(mood, duration, bpm, key, seed)
    brief.settled()  # a wrong brief is told before any work begins
    with opened(config) as house:
        if mode is Mode.daily:
            named, delivered = _daily(house, None, out)
            _report(delivered, json_, {"mode": mode.value, "date": named})
            return
        told, delivered = _orchestrate(
            house,
            brief,
            count=(count or 4) if mode is Mode.batch else 1,
            seeded=seed is not None,
            out=out or house.base.paths.output,
        )
    _report(delivered, json_, {"mode": mode.value, **told})


def _orchestrate(
    house: Studio, brief: Brief, *, count: int, seeded: bool, out: Path
) -> tuple[dict[str, Any], list[Delivery]]:
    from lofi import studio

    order = studio.order_or_resume(house, brief, count=count, seeded=seeded, actor="orchestrator")
    left = [job for job in studio.under_way(house.database) if job not in order.jobs]
    if order.resumed:
        warn("an earlier run of this order was stopped; it goes on where it was.")
    if left:
        warn(f"unfinished jobs of other orders are carried on too: {len(left)}.")
    with showing() as tell:
        delivered = studio.deliver(house, [*left, *order.jobs], out, tell)
    return {"resumed": order.resumed, "carried_on": len(left)}, delivered


def _brief(
    mood: str | None, duration: str | None, bpm: float | None, key: str | None, seed: int | None
) -> Brief:
    import secrets

    return Brief(
        seed=secrets.randbelow(2**31) if seed is None else seed,
        mood=mood,
        bpm=bpm,
        key=Key.parse(key) if key else None,
        duration_s=None if duration is None else read_duration(duration),
    )


def _report(delivered: list[Delivery], json_: bool, more: dict[str, Any]) -> None:
    """Say what became of the jobs. Raises LofiError if one failed."""
    if json_:
        say(json.dumps({**more, "tracks": [d.to_dict() for d in delivered]}, indent=2))
    else:
        for one in delivered:
            if one.path:
                say(f"{one.title}: {one.path}")
            else:
                reason = f"{one.error} " if one.error else ""
                say(f"{one.title}: {one.state}. {reason}Again: lofi jobs retry {one.job}")
    if failed := sum(d.path is None for d in delivered):
        raise LofiError(f"{failed} of {len(delivered)} tracks were not made; see above.")
