"""Jobs and tracks, looked at and changed beside a running server."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lofi.brief import InputError, LofiError
from lofi.cli._common import Config, Json, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import RenderableType

    from lofi.studio import Studio

ACTOR = "cli"
_MOST_BARS = 10  # more would fill the terminal: then those that run, and one for all

jobs_app = typer.Typer(
    help="The jobs of the studio: what is made, and how far it is. Works beside a server.\n\n"
    "Example: lofi jobs watch",
    invoke_without_command=True,
)
track_app = typer.Typer(
    help="The finished tracks of the studio: listed, approved, written out as folders, deleted.\n\n"
    "Example: lofi track export amber-window-1f2e3d4c --out output",
    invoke_without_command=True,
)
JobId = Annotated[str, typer.Argument(help="The id of a job; `lofi jobs list` shows them.")]
TrackId = Annotated[str, typer.Argument(help="The id of a track; `lofi track list` shows them.")]
Limit = Annotated[int, typer.Option(min=1, max=200, help="How many, the newest first.")]


def opened(config: Path | None) -> Studio:
    """The studio of the settings, as a context manager; it works on nothing."""
    from lofi import studio
    from lofi.cli._logs import log_to_stderr

    log_to_stderr()
    return studio.open_studio(studio.load_settings(config))


def table(*columns: str, rows: Sequence[Sequence[object]]) -> None:
    """Rows for people: fitted to a terminal, uncut elsewhere."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        shown.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    show(shown)


def show(what: RenderableType) -> None:
    """Print with Rich, wide enough for everything where stdout is no terminal."""
    from rich.console import Console

    console = Console()
    (console if console.is_terminal else Console(width=200)).print(what)


def when(moment: str | None) -> str:
    """A moment of the API, in local time."""
    if moment is None:
        return ""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


# Progress --------------------------------------------------------------------------------------


@contextmanager
def showing() -> Iterator[Callable[[list[dict[str, Any]]], None]]:
    """A bar for each job on stderr; gives a function for the views of the jobs.

    Where stderr is no terminal, a line whenever a job begins something else.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _tell_in_lines()
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description:<28}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
    ) as progress:
        tasks: dict[str, Any] = {}

        def tell(views: list[dict[str, Any]]) -> None:
            many = len(views) > _MOST_BARS
            if many and "" not in tasks:
                tasks[""] = progress.add_task("all", total=len(views), note="")
            if many:
                done = sum(v["state"] == "done" for v in views)
                progress.update(
                    tasks[""],
                    completed=sum(v["progress"] for v in views),
                    note=f"{done} of {len(views)} done",
                )
            for view in views:
                if view["id"] not in tasks:
                    tasks[view["id"]] = progress.add_task(view["title"][:28], total=1.0, note="")
                progress.update(
                    tasks[view["id"]],
                    completed=view["progress"],
                    note=doing(view),
                    visible=not many or view["state"] == "running",
                )

        yield tell


def _tell_in_lines() -> Callable[[list[dict[str, Any]]], None]:
    told: dict[str, str] = {}

    def tell(views: list[dict[str, Any]]) -> None:
        for view in views:
            line = doing(view, with_time=False)
            if line != "running" and told.get(view["id"]) != line:  # not the pause between stages
                told[view["id"]] = line
                print(f"{view['title']}: {line}", file=sys.stderr, flush=True)  # noqa: T201

    return tell


def doing(view: dict[str, Any], *, with_time: bool = True) -> str:
    """What a job does now, in a few words."""
    if view["state"] == "running":
        stage = next((s["name"] for s in view["stages"] if s["state"] == "running"), "running")
        left = f", about {view['eta_s']:.0f} s left" if with_time and view["eta_s"] else ""
        return f"{stage}{left}"
    if view["error"] and view["state"] in ("failed", "waiting"):
        state = "failed" if view["state"] == "failed" else "will try again"
        return f"{state}: {view['error']['cause']}"
    return view["state"]


# Jobs ------------------------------------------------------------------------------------------


@jobs_app.callback()
def _jobs(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_jobs()


@jobs_app.command("list")
def list_jobs(
    state: Annotated[
        list[str] | None,
        typer.Option(help="Only queued, running, waiting, done, failed or cancelled ones."),
    ] = None,
    limit: Limit = 20,
    json_: Json = False,
    config: Config = None,
) -> None:
    """List the jobs, the newest first.

    Example: lofi jobs list --state failed
    """
    from lofi import studio

    for name in state or ():
        if name not in studio.jobs.STATES:
            raise InputError(f"no job is {name!r}; one is {', '.join(studio.jobs.STATES)}.")
    with opened(config) as house, house.database.read() as session:
        views, total = studio.jobs.listing(session, states=state or (), limit=limit)
    if json_:
        say(json.dumps({"jobs": views, "total": total}, indent=2))
        return
    if not views:
        say("there are no jobs yet. `lofi daily` or POST /api/generate orders some.")
        return
    rows = [
        (v["id"], v["title"], f"{v['progress']:.0%}", doing(v), when(v["created_at"]))
        for v in views
    ]
    table("job", "title", "done", "now", "ordered", rows=rows)
    if total > len(views):
        say(f"{total - len(views):,} older ones are not shown: --limit {min(200, total)}")


@jobs_app.command("show")
def show_job(job: JobId, json_: Json = False, config: Config = None) -> None:
    """Show a job: its stages, what was taken over from other jobs, and why it failed.

    Example: lofi jobs show 8f3a0b6c1d2e4f50
    """
    from lofi import studio

    with opened(config) as house, house.database.read() as session:
        view = studio.jobs.view(session, job)
    if json_:
        say(json.dumps(view, indent=2))
        return
    say(f"{view['title']}: {doing(view)}, {view['progress']:.0%}")
    rows = [
        (
            s["name"],
            s["state"],
            f"{s['progress']:.0%}",
            "" if s["seconds"] is None else f"{s['seconds']:.1f}",
            s["runs"],
            s["reused_from"],
        )
        for s in view["stages"]
    ]
    table("stage", "state", "done", "seconds", "begun", "taken over from", rows=rows)
    say(f"ordered {when(view['created_at'])} by {view['requested_by']}")
    if view["track_id"]:
        say(f"track: {view['track_id']}")
    if view["error"]:
        say(f"{view['error']['cause']} {view['error']['remedy']}".strip())


@jobs_app.command("watch")
def watch_jobs(
    job: Annotated[
        str | None, typer.Argument(help="The id of a job. All that are under way if left out.")
    ] = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Show a progress bar for each job until all have ended.

    Looking does not make: a server, or a worker, carries them out. Ctrl-C leaves them running.

    Example: lofi jobs watch
    """
    from lofi import studio

    views: list[dict[str, Any]] = []
    with opened(config) as house:
        ids = [job] if job else studio.under_way(house.database)
        try:
            with showing() as tell:
                for views in studio.watch(house.database, ids):
                    tell(views)
        except KeyboardInterrupt:
            say("the jobs go on without this; `lofi jobs watch` looks again.")
            return
    if json_:
        say(json.dumps({"jobs": views}, indent=2))
    elif not ids:
        say("no job is under way.")
    else:
        for view in views:
            say(f"{view['id']} {view['title']}: {doing(view)}")
    if failed := sum(v["state"] == "failed" for v in views):
        raise LofiError(f"{failed} of {len(views)} jobs failed. `lofi jobs show ID` says why.")


@jobs_app.command("cancel")
def cancel_job(job: JobId, json_: Json = False, config: Config = None) -> None:
    """Stop a job: at once where it waits, within seconds where it runs.

    Example: lofi jobs cancel 8f3a0b6c1d2e4f50
    """
    from lofi import studio

    with opened(config) as house:
        with house.database.write() as session:
            studio.jobs.cancel(session, job, actor=ACTOR)
        _told(house, job, json_)


@jobs_app.command("retry")
def retry_job(job: JobId, json_: Json = False, config: Config = None) -> None:
    """Try a job again that failed or was cancelled. What it has finished stays finished.

    Example: lofi jobs retry 8f3a0b6c1d2e4f50
    """
    from lofi import studio

    with opened(config) as house:
        with house.database.write() as session:
            studio.jobs.retry(session, job, actor=ACTOR)
        _told(house, job, json_)


def _told(house: Studio, job: str, json_: bool) -> None:
    from lofi import studio

    with house.database.read() as session:
        view = studio.jobs.view(session, job)
    asked = view["state"] == "running" and view["cancel_requested"]
    state = "will stop within seconds" if asked else doing(view)
    say(json.dumps(view, indent=2) if json_ else f"{view['id']} {view['title']}: {state}")


# Tracks ----------------------------------------------------------------------------------------


@track_app.callback()
def _tracks(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_tracks()


@track_app.command("list")
def list_tracks(
    text: Annotated[
        str, typer.Argument(help="Words to be found in title, mood, key or tags.")
    ] = "",
    mood: Annotated[list[str] | None, typer.Option(help="Only of this mood.")] = None,
    state: Annotated[
        list[str] | None, typer.Option(help="Only those in review, approved or rejected.")
    ] = None,
    deleted: Annotated[
        bool, typer.Option("--deleted", help="Those that were deleted and can be restored.")
    ] = False,
    limit: Limit = 20,
    json_: Json = False,
    config: Config = None,
) -> None:
    """List the finished tracks, the newest first.

    Example: lofi track list rain --mood chill --state review
    """
    from lofi import studio

    wanted = studio.tracks.Filter(
        text=text, moods=tuple(mood or ()), states=tuple(state or ()), deleted=deleted
    )
    with opened(config) as house, house.database.read() as session:
        found, total = studio.tracks.listing(session, wanted, limit=limit)
    if json_:
        say(json.dumps({"tracks": found, "total": total}, indent=2))
        return
    if not found:
        say("no such track." if wanted != studio.tracks.Filter() else "there are no tracks yet.")
        return
    rows = [
        (t["id"], t["title"], t["state"], t["mood"], f"{t['bpm']:.0f}", t["key"],
         f"{t['duration_s']:.0f}", t["verdict"], when(t["created_at"]))
        for t in found
    ]  # fmt: skip
    table(
        "track", "title", "state", "mood", "bpm", "key", "seconds", "originality", "made", rows=rows
    )
    if total > len(found):
        say(f"{total - len(found):,} older ones are not shown: --limit {min(200, total)}")


@track_app.command("show")
def show_track(track: TrackId, json_: Json = False, config: Config = None) -> None:
    """Show a track: what was measured, its files, and what was decided about it.

    Example: lofi track show amber-window-1f2e3d4c
    """
    from lofi import studio

    with opened(config) as house, house.database.read() as session:
        found = studio.tracks.view(session, track)
    if json_:
        say(json.dumps(found, indent=2))
        return
    say(
        f"{found['title']}: {found['state']}, {found['mood']}, {found['bpm']:.0f} bpm, "
        f"{found['key']}, {found['duration_s']:.1f} s, {found['lufs']:.1f} LUFS, "
        f"seed {found['seed']}\noriginality: {found['facts']['originality']['summary']}"
    )
    if found["restorable_until"]:
        say(f"deleted; it can be restored until {when(found['restorable_until'])}")
    rows = [(f["name"], f["size"], f["sha256"]) for f in found["files"]]
    table("file", "bytes", "sha256", rows=rows)
    for made in found["approvals"]:
        note = f": {made['note']}" if made["note"] else ""
        say(f"{made['decision']} {when(made['decided_at'])} by {made['decided_by']}{note}")


@track_app.command("export")
def export_track(
    track: TrackId,
    out: Annotated[
        Path | None, typer.Option(help="Folder for packages. `output` if left out.")
    ] = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Write a track's package as a folder: MIDI, master, video, thumbnail, listing and facts.

    Example: lofi track export amber-window-1f2e3d4c --out output
    """
    from lofi import studio

    with opened(config) as house:
        with house.database.read() as session:
            job = studio.tracks.find(session, track).job_id
        path = house.export(job, out or house.base.paths.output)
    say(json.dumps({"track": track, "path": str(path)}) if json_ else f"package: {path}")


@track_app.command("approve")
def approve_track(
    track: TrackId,
    privacy: Annotated[
        str, typer.Option(help="How public it may become: private, unlisted or public.")
    ] = "private",
    note: Annotated[str, typer.Option(help="Why, for whoever reads it later.")] = "",
    reject: Annotated[bool, typer.Option("--reject", help="Reject it instead.")] = False,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Approve a track: exactly these files. Made anew, they wait for a decision again.

    Example: lofi track approve amber-window-1f2e3d4c --privacy unlisted
    """
    from lofi import studio

    with opened(config) as house, house.database.write() as session:
        made = studio.tracks.decide(
            session,
            track,
            "rejected" if reject else "approved",
            actor=ACTOR,
            privacy=privacy,
            note=note,
        )
        decided = {"track": track, "decision": made.decision, "package_sha256": made.package_sha256}
    say(json.dumps(decided) if json_ else f"{track}: {decided['decision']}")


@track_app.command("delete")
def delete_track(track: TrackId, json_: Json = False, config: Config = None) -> None:
    """Delete a track. It can be restored for 30 days; then its files are freed.

    Example: lofi track delete amber-window-1f2e3d4c
    """
    from lofi import studio

    with opened(config) as house, house.database.write() as session:
        studio.tracks.delete(session, track, actor=ACTOR)
    told = f"{track} is deleted; for 30 days `lofi track restore {track}` gives it back."
    say(json.dumps({"track": track, "deleted": True}) if json_ else told)


@track_app.command("restore")
def restore_track(track: TrackId, json_: Json = False, config: Config = None) -> None:
    """Give back a track that was deleted less than 30 days ago.

    Example: lofi track restore amber-window-1f2e3d4c
    """
    from lofi import studio

    with opened(config) as house, house.database.write() as session:
        studio.tracks.restore(session, track, actor=ACTOR)
    say(json.dumps({"track": track, "deleted": False}) if json_ else f"{track} is there again.")
