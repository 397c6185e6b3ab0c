"""The channel: its YouTube account, and releases on their way there."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lofi.brief import InputError
from lofi.cli._common import Config, Json, say, warn
from lofi.cli._jobs import ACTOR, Limit, TrackId, opened, table, when

if TYPE_CHECKING:
    from collections.abc import Callable

channel_app = typer.Typer()
youtube_app = typer.Typer(
    help="The YouTube account: connected, looked at, disconnected. docs/channel.md says how to get "
    "an OAuth client, which is free.\n\nExample: lofi youtube connect --client-secrets client.json",
    no_args_is_help=True,
)
releases_app = typer.Typer(
    help="Releases: where they are, and what to do about those that are stuck.\n\n"
    "Example: lofi releases",
    invoke_without_command=True,
)
channel_app.add_typer(youtube_app, name="youtube")
channel_app.add_typer(releases_app, name="releases")

ReleaseId = Annotated[int, typer.Argument(min=1, help="Its id; `lofi releases` shows it.")]


# The account -------------------------------------------------------------------------------------


@youtube_app.command()
def connect(
    client_secrets: Annotated[
        Path | None,
        typer.Option(
            help="The JSON file of your OAuth client (type Desktop app). Not needed again later."
        ),
    ] = None,
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Show Google's page in the browser.")
    ] = True,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where the consent comes back to; 0: any.")
    ] = 0,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Connect a YouTube account: consent in the browser, and the key is kept encrypted.

    Nothing is uploaded by that: youtube.uploads must be true, and each track approved.

    Example: lofi youtube connect --client-secrets client.json

    From another machine: ssh -L 8085:127.0.0.1:8085 HOST, then add --no-open --port 8085
    """
    from lofi import studio

    def show(url: str) -> None:
        print(f"Consent here, on this machine:\n{url}", file=sys.stderr, flush=True)  # noqa: T201

    with opened(config) as house:
        found = studio.accounts.connect(
            house, client_secrets, show=show, open_browser=open_, port=port, actor=ACTOR
        )
        uploads = house.settings().youtube.uploads
    if json_:
        say(json.dumps(found, indent=2, default=_plain))
        return
    say(f"connected to {found['account']} (https://www.youtube.com/channel/{found['account_id']})")
    if not found["figures"]:
        warn("figures of YouTube Analytics may not be read: connect again and tick every box.")
    if found["warning"]:
        warn(found["warning"])
    if not uploads:
        say("Uploads are off. Set youtube.uploads to true when releases may go out.")


@youtube_app.command()
def status(json_: Json = False, config: Config = None) -> None:
    """Say what is connected, until when, and what is left of today's quota. Asks nobody.

    Example: lofi youtube status
    """
    from lofi import studio

    with opened(config) as house:
        found = studio.accounts.status(house)
        with house.database.read() as session:
            paused = studio.releases.pause(session)
    if json_:
        told = {**found, "paused_until": paused[0] if paused else None}
        say(json.dumps(told, indent=2, default=_plain))
        return
    if found["connected"]:
        say(f"{found['account']}, connected {when(found['connected_at'].isoformat())}")
    else:
        say("no account is connected: lofi youtube connect --client-secrets FILE")
    say(f"uploads are {'on' if found['uploads'] else 'off (youtube.uploads)'}")
    rows = [
        (b["bucket"], f"{b['used']:,}", f"{b['left']:,}", f"{b['limit']:,}", b["told"])
        for b in found["quota"]
    ]
    table("quota today", "used", "left", "of", "for", rows=rows)
    say(f"it begins anew {when(found['quota'][0]['resets_at'].isoformat())}")
    if paused:
        warn(f"uploads rest until {when(paused[0].isoformat())}: {paused[1]}")
    for told in (found["warning"], found["problem"], *found["troubles"].values()):
        if told:
            warn(told)


@youtube_app.command()
def disconnect(json_: Json = False, config: Config = None) -> None:
    """Forget the account's key, and have Google end it. Videos stay; so does what is known of them.

    Example: lofi youtube disconnect
    """
    from lofi import studio

    with opened(config) as house:
        found = studio.accounts.disconnect(house, actor=ACTOR)
    if json_:
        say(json.dumps(found))
        return
    say(f"{found['account']} is disconnected.")
    if not found["ended_at_google"]:
        warn("Google did not confirm it: see https://myaccount.google.com/connections.")


def _plain(value: Any) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()


# Releases ----------------------------------------------------------------------------------------


@channel_app.command()
def release(
    track: TrackId,
    at: Annotated[
        str | None,
        typer.Option(
            help="When it is to be seen, such as 2026-12-01T18:00 (on this machine's clock) or "
            "2026-12-01T17:00Z. At once if left out."
        ),
    ] = None,
    privacy: Annotated[
        str, typer.Option(help="private, unlisted or public; no more than was approved.")
    ] = "private",
    playlist: Annotated[
        str | None, typer.Option(help="Id of a playlist. youtube.playlist if left out.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the requests, and send nothing.")
    ] = False,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Release an approved track on YouTube; `lofi serve` uploads it, or `lofi releases upload`.

    A public one with --at goes up privately some hours before, and YouTube publishes it; another
    one goes up at its moment. A track that is there already is not uploaded again: its privacy is
    changed.

    Example: lofi release amber-window-1f2e3d4c --privacy public --at 2026-12-01T18:00
    """
    from lofi import studio

    moment = _moment(at)
    with opened(config) as house:
        if dry_run:
            told = studio.releases.rehearse(
                house, track, privacy=privacy, publish_at=moment, playlist=playlist
            )
        else:
            with house.database.write() as session:
                made = studio.releases.plan(
                    session, house.settings(), track,
                    actor=ACTOR, privacy=privacy, publish_at=moment, playlist=playlist,
                )  # fmt: skip
                told = studio.releases.view(session, made.id)
    if json_ or dry_run:
        say(json.dumps(told, indent=2, ensure_ascii=False))
        return
    say(f"release {told['id']} of {told['title']}: {_doing(told)}")


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        # Without a zone: on the clock of this machine.
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"cannot read the moment {text[:60]!r}. Write it like 2026-12-01T18:00, or with a "
            "zone: 2026-12-01T18:00+01:00."
        ) from error


@releases_app.callback()
def _releases(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_releases()


@releases_app.command("list")
def list_releases(
    state: Annotated[
        list[str] | None,
        typer.Option(
            help="Only planned, uploading, uploaded, published, missed, failed, "
            "needs_attention or cancelled ones."
        ),
    ] = None,
    limit: Limit = 20,
    json_: Json = False,
    config: Config = None,
) -> None:
    """List the releases, the newest first.

    Example: lofi releases list --state needs_attention
    """
    from lofi import studio

    with opened(config) as house, house.database.read() as session:
        found, total = studio.releases.listing(session, states=state or (), limit=limit)
    if json_:
        say(json.dumps({"releases": found, "total": total}, indent=2))
        return
    if not found:
        say("no such release." if state else "there are no releases yet: lofi release TRACK")
        return
    rows = [
        (r["id"], r["title"], r["privacy"], when(r["publish_at"]), _doing(r), r["url"])
        for r in found
    ]
    table("release", "title", "privacy", "moment", "now", "where", rows=rows)
    for each in found:
        if each["error"]:
            told = f"{each['error']['cause']} {each['error']['remedy']}".strip()
            say(f"{each['id']}: {told}")
    if total > len(found):
        say(f"{total - len(found):,} older ones are not shown: --limit {min(200, total)}")


def _doing(view: dict[str, Any]) -> str:
    """What becomes of a release now, in a few words."""
    if view["state"] == "uploading":
        return f"uploading, {view['progress']:.0%}"
    if view["state"] == "planned" and view["not_before"]:
        return f"planned, again {when(view['not_before'])}"
    if view["state"] == "uploaded" and view["privacy_there"]:
        return f"there, {view['privacy_there']}"
    return view["state"].replace("_", " ")


@releases_app.command("cancel")
def cancel_release(release_id: ReleaseId, json_: Json = False, config: Config = None) -> None:
    """Take a release back before it is on YouTube.

    Example: lofi releases cancel 12
    """
    from lofi import studio

    _change(config, json_, release_id, lambda house, session: studio.releases.cancel(
        session, release_id, actor=ACTOR))  # fmt: skip


@releases_app.command("retry")
def retry_release(release_id: ReleaseId, json_: Json = False, config: Config = None) -> None:
    """Try again at once: what failed, was missed or waits, or went wrong beside the video.

    Example: lofi releases retry 12
    """
    from lofi import studio

    _change(config, json_, release_id, lambda house, session: studio.releases.retry(
        session, house.settings(), release_id, actor=ACTOR))  # fmt: skip


def _change(
    config: Path | None, json_: bool, release_id: int, change: Callable[[Any, Any], Any]
) -> None:
    from lofi import studio

    with opened(config) as house, house.database.write() as session:
        change(house, session)
        session.flush()
        told = studio.releases.view(session, release_id)
    _say(told, json_)


def _say(told: dict[str, Any], json_: bool) -> None:
    if json_:
        say(json.dumps(told, indent=2))
    else:
        say(f"release {told['id']} of {told['title']}: {_doing(told)}")


@releases_app.command("resolve")
def resolve_release(
    release_id: ReleaseId,
    video: Annotated[
        str | None, typer.Option(help="It is on YouTube: the id of its video.")
    ] = None,
    absent: Annotated[
        bool, typer.Option("--absent", help="It is not there: upload it again.")
    ] = False,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Say whether a release is on YouTube of which nobody knows; or look at what may be it.

    Example: lofi releases resolve 12 --video dQw4w9WgXcQ
    """
    from lofi import studio

    if video is not None and absent:
        raise InputError("it is either there or not: give --video or --absent.")
    with opened(config) as house:
        if video is None and not absent:
            found = studio.uploads.lookalikes(house, release_id)
            _show_lookalikes(release_id, found, json_)
            return
        told = studio.uploads.resolve(house, release_id, video, actor=ACTOR)
    _say(told, json_)


def _show_lookalikes(release_id: int, found: list[dict[str, Any]], json_: bool) -> None:
    if json_:
        say(json.dumps({"lookalikes": found}, indent=2))
        return
    if found:
        rows = [(v["video_id"], v["title"], when(v["published_at"])) for v in found]
        table("video", "title", "uploaded", rows=rows)
        say("Look whether one of them is it.")
    else:
        say("none of the channel's videos looks like it. Look at https://studio.youtube.com, too.")
    say(f"It is there: lofi releases resolve {release_id} --video ID")
    say(f"It is not:   lofi releases resolve {release_id} --absent")


@releases_app.command("upload")
def upload_releases(json_: Json = False, config: Config = None) -> None:
    """Upload what is due now, and leave: for who runs no server. Stopped, it goes on to the byte.

    Example, by cron: */15 * * * * cd /srv/lofi && .venv/bin/lofi releases upload
    """
    from lofi import studio

    told: dict[int, str] = {}

    def tell(views: list[dict[str, Any]]) -> None:
        for view in views:
            line = _doing(view)
            if told.get(view["id"]) != line:
                told[view["id"]] = line
                print(f"{view['title']}: {line}", file=sys.stderr, flush=True)  # noqa: T201

    with opened(config) as house:
        done = studio.uploads.upload_now(house, tell)
    say(json.dumps({"uploaded": done}) if json_ else f"{done} uploaded.")
