"""The comments of the channel: listed and read anew. Nothing is sent from the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from lofi.cli._common import Config, Json, say
from lofi.cli._jobs import ACTOR, Limit, opened, table, when

community_app = typer.Typer(
    help="The comments of the channel: what they are, and who writes them. To answer and moderate, "
    "open the dashboard: nothing is sent without a click.\n\n"
    "Example: lofi community sync && lofi community list --category question",
    no_args_is_help=True,
)


@community_app.command("list")
def list_comments(
    state: Annotated[
        list[str] | None, typer.Option(help="Only held, published, spam or rejected ones.")
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(
            help="Only question, praise, request, complaint, spam, toxic or other: as guessed, or "
            "as a person said."
        ),
    ] = None,
    segment: Annotated[
        list[str] | None,
        typer.Option(
            help="Only of new ones, of a regular, superfan, critic or 'suspected spammer'."
        ),
    ] = None,
    track: Annotated[str | None, typer.Option(help="Only under this track.")] = None,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Only those that nobody has seen to.")
    ] = False,
    limit: Limit = 20,
    json_: Json = False,
    config: Config = None,
) -> None:
    """List comments, the newest first.

    Example: lofi community list --state held
    """
    from lofi import studio

    wanted = studio.community.Filter(
        states=tuple(state or ()),
        categories=tuple(category or ()),
        segments=tuple(segment or ()),
        track_id=track,
        handled=False if waiting else None,
    )
    with opened(config) as house, house.database.read() as session:
        items, total = studio.community.listing(session, wanted, limit=limit)
    if json_:
        say(json.dumps({"comments": items, "total": total}, indent=2))
        return
    if not items:
        say("there are no such comments. `lofi community sync` reads what is new.")
        return
    rows = [
        (
            when(c["published_at"]),
            c["state"],
            c["category"],
            c["author"],
            c["segment"],
            _short(c["text"]),
            c["track"]["title"] if c["track"] else c["video_id"],
        )
        for c in items
    ]
    table("written", "state", "seems", "by", "who is", "text", "under", rows=rows)
    if total > len(items):
        say(f"{total - len(items):,} older ones are not shown: --limit {min(200, total)}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:79]}…"


@community_app.command("sync")
def sync_comments(json_: Json = False, config: Config = None) -> None:
    """Read what is new on YouTube. It writes nothing there.

    A server does so by itself every quarter of an hour.

    Example: lofi community sync
    """
    from lofi import studio

    with opened(config) as house:
        done = studio.community.sync(house, actor=ACTOR)
    if json_:
        say(json.dumps(asdict(done), indent=2))
        return
    say(
        f"{done.new:,} new, {done.changed:,} changed, {done.gone:,} gone; "
        f"{done.calls:,} units of quota."
    )
    if not done.finished:
        say(f"not all was read: {done.stopped}. Run it again; it goes on where it was.")
