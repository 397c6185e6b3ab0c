"""Keeping the studio: its database, its storage, the tokens of its API and the password."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lofi.brief import InputError, LofiError
from lofi.cli._common import Config, Json, say
from lofi.cli._jobs import ACTOR, opened, table

if TYPE_CHECKING:
    from lofi.studio import Database

db_app = typer.Typer(
    help="The tables of the database. Those of SQLite are brought up to date by themselves.\n\n"
    "Example: lofi db upgrade",
    no_args_is_help=True,
)
storage_app = typer.Typer(
    help="The files of the studio, in a folder or a bucket.\n\nExample: lofi storage gc --dry-run",
    no_args_is_help=True,
)
token_app = typer.Typer(
    help="Tokens: what a program shows to the API. From the first one on, everybody needs one.\n\n"
    "Example: lofi token create ci --scopes read,write --days 90",
    no_args_is_help=True,
)


# The database ----------------------------------------------------------------------------------


@contextmanager
def _database(config: Path | None, *, change: bool = False) -> Iterator[Database]:
    """The database as it is. To `change` it, nobody may work in it."""
    from lofi import studio

    settings = studio.load_settings(config)
    database = studio.open_database(settings)
    lock = None
    try:
        if change and database.is_sqlite:
            lock = studio.lock_folder(settings.studio.folder.absolute())
        yield database
    finally:
        database.close()
        if lock:
            lock.close()


@db_app.command()
def upgrade(config: Config = None) -> None:
    """Bring the tables to the newest revision.

    Example: lofi db upgrade
    """
    with _database(config, change=True) as database:
        before = database.revision()
        database.migrate()
        say(f"{before or 'empty'} → {database.revision()}")


@db_app.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="An older revision, or `base`: no tables.")],
    config: Config = None,
) -> None:
    """Take the tables back to an older revision. What only newer ones hold is lost: back it up.

    Example: lofi db downgrade base
    """
    with _database(config, change=True) as database:
        known = database.revisions()
        if revision not in (*known, "base"):
            raise LofiError(
                f"there is no revision {revision!r}. There are base, {', '.join(known)}."
            )
        before = database.revision()
        database.migrate(revision)
        say(f"{before or 'empty'} → {database.revision() or 'empty'}")


@db_app.command()
def current(json_: Json = False, config: Config = None) -> None:
    """Say at which revision the tables are, and which is the newest.

    Example: lofi db current
    """
    with _database(config) as database:
        told = {"revision": database.revision(), "newest": database.revisions()[-1]}
    if json_:
        say(json.dumps(told))
    else:
        say(f"{told['revision'] or 'empty'} (the newest is {told['newest']})")


@db_app.command("check")
def check_database(json_: Json = False, config: Config = None) -> None:
    """Compare the tables of the database with those of the program; exit status 1 if they differ.

    Example: lofi db check
    """
    with _database(config) as database:
        database.require_current()
        drift = [str(difference) for difference in database.drift()]
    if json_:
        say(json.dumps({"differences": drift}, indent=2))
    elif not drift:
        say("the tables are as they should be.")
    else:
        say("\n".join(drift))
    if drift:
        raise LofiError(
            f"the tables differ in {len(drift)} places from what migrations make. Restore a "
            "backup, or undo what was changed by hand."
        )


@db_app.command()
def backup(
    out: Annotated[Path, typer.Argument(help="The file to write; it must not be there yet.")],
    json_: Json = False,
    config: Config = None,
) -> None:
    """Copy the database as of this moment into one file, beside a running server.

    It holds what the studio remembers, not the files of tracks (data/studio/storage) nor models.
    PostgreSQL has pg_dump. To go back: stop the studio, put the file in the place of studio.db,
    delete studio.db-wal, studio.db-shm and queues.db, and start it.

    Example: lofi db backup studio-2026-07-01.db
    """
    import shutil

    from lofi import studio

    if out.exists():
        raise InputError(f"{out} is there already. Choose another name.")
    aside = out.with_name(f".{out.name}.part")
    with opened(config) as house:
        file, size, _ = studio.keeping.backup(house, actor=ACTOR)
        with file:
            try:
                with aside.open("wb") as to:
                    shutil.copyfileobj(file, to, 2**20)
                aside.rename(out)
            finally:
                aside.unlink(missing_ok=True)
    told = {"path": str(out), "bytes": size}
    say(json.dumps(told) if json_ else f"{out}: {size / 1e6:,.1f} MB. Keep the storage with it.")


# The storage -----------------------------------------------------------------------------------


@storage_app.command("check")
def check_storage(config: Config = None) -> None:
    """Write, read and delete a small file there.

    Example: lofi storage check
    """
    with opened(config) as house:
        house.storage.check()
        say(f"{house.storage.url} can be written and read.")


@storage_app.command()
def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be deleted.")
    ] = False,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Delete files that no job or track names, and those of tracks deleted over 30 days ago.

    Previews go after a day, and MIDI files that were sent to go on from after a week. What was
    written in the last hour stays: its record may be on its way. Safe beside a server.

    Example: lofi storage gc --dry-run
    """
    from lofi import studio

    with opened(config) as house:
        collected = studio.keeping.collect(house, dry_run=dry_run, actor=ACTOR)
    found, purged = collected.garbage, list(collected.purged)
    if json_:
        told = {"files": found.count, "bytes": found.bytes, "kept": found.kept, "purged": purged}
        left = {"leftovers": found.leftovers, "leftover_bytes": found.leftover_bytes}
        say(json.dumps({"dry_run": dry_run, **told, **left}))
        return
    verb = "would be deleted" if dry_run else "deleted"
    count, size = found.count + found.leftovers, found.bytes + found.leftover_bytes
    say(f"{count:,} files of {size / 1e6:,.1f} MB {verb}; {found.kept:,} stay.")
    if purged:
        say(f"gone for good: {', '.join(purged)}")


# Tokens ----------------------------------------------------------------------------------------


@token_app.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scopes: Annotated[
        str,
        typer.Option(
            "--scopes",
            "--scope",
            help="What it may do: read, write, publish, admin. Each may also do what those "
            "before it may.",
        ),
    ] = "read",
    days: Annotated[
        int | None, typer.Option(min=1, help="How long it holds. For ever if left out.")
    ] = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Make a token. It is shown once: only its hash is kept.

    From the first token on nobody is answered without one, not even on this machine.

    Example: lofi token create ci --scopes read,write --days 90
    """
    from datetime import UTC, timedelta

    from lofi import studio

    until = datetime.now(UTC) + timedelta(days=days) if days else None
    named = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    with opened(config) as house, house.database.write() as session:
        secret = studio.access.create_token(session, name, named, until, actor=ACTOR)
        made = studio.access.describe_token(session, secret)
    if json_:
        say(json.dumps({**_plain(made), "token": secret}, indent=2))
        return
    say(f"{secret}\nIt is not shown again. Use it: curl -H 'Authorization: Bearer {secret}' …")


def password(
    remove: Annotated[
        bool, typer.Option("--remove", help="Have none: whoever sits at this machine is let in.")
    ] = False,
    config: Config = None,
) -> None:
    """Set the password of the dashboard, also when the old one is forgotten.

    It is asked for twice, or read from a pipe. Whoever is logged in has to log in again.

    Example: lofi password
    """
    import getpass
    import sys

    from lofi import studio

    with opened(config) as house:
        if remove:
            with house.database.write() as session:
                studio.access.remove_password(session, actor=ACTOR)
            say("There is no password any more.")
            return
        if sys.stdin.isatty():
            given = getpass.getpass("New password: ")
            if getpass.getpass("Once more: ") != given:
                raise InputError("the two are not the same. Nothing was changed; try again.")
        else:
            given = sys.stdin.readline().rstrip("\r\n")
        with house.database.write() as session:
            studio.access.set_password(session, given, actor=ACTOR)
    say("The password is set: log in with it at /login.")


@token_app.command("list")
def list_tokens(json_: Json = False, config: Config = None) -> None:
    """List the tokens, without their secrets.

    Example: lofi token list
    """
    from lofi import studio

    with opened(config) as house, house.database.read() as session:
        found = [_plain(token) for token in studio.access.tokens(session)]
    if json_:
        say(json.dumps({"tokens": found}, indent=2))
    elif not found:
        say("there are no tokens: only this machine is answered, without one.")
    else:
        rows = [
            (t["id"], t["name"], ",".join(t["scopes"]), t["expires_at"], t["used_at"],
             t["revoked_at"])
            for t in found
        ]  # fmt: skip
        table("id", "name", "scopes", "until", "last used", "revoked", rows=rows)


@token_app.command("revoke")
def revoke_token(
    token: Annotated[int, typer.Argument(help="Its id; `lofi token list` shows it.")],
    json_: Json = False,
    config: Config = None,
) -> None:
    """Have a token open nothing any more.

    Example: lofi token revoke 3
    """
    from lofi import studio

    with opened(config) as house, house.database.write() as session:
        studio.access.revoke_token(session, token, actor=ACTOR)
    say(json.dumps({"id": token, "revoked": True}) if json_ else f"token {token} is revoked.")


def _plain(token: dict[str, Any]) -> dict[str, Any]:
    """A token with its moments as text."""
    return {
        name: value.isoformat(timespec="seconds") if isinstance(value, datetime) else value
        for name, value in token.items()
    }
