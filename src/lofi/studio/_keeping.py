"""Keeping the studio: what it takes on the disk, what of that is garbage, a copy to put away."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.brief import LofiError
from lofi.studio import _jobs, _prompts, _tracks
from lofi.studio._errors import ConflictError
from lofi.studio._events import record
from lofi.studio._storage import GRACE_S, Garbage, collect_garbage
from lofi.studio._studio import Studio
from lofi.studio._tables import Artifact, Job, Track, now

_UNSEEN_GRACE_S = 86_400.0
_PAGES = 512  # copied at a time: writers come between


# What it takes ---------------------------------------------------------------------------------


def usage(studio: Studio) -> dict[str, Any]:
    """What the studio takes, in bytes: files by kind (each content once), the database, the rest.

    `deleted` are the files of tracks that can still be restored. `free` and `total` are those of
    the disk of the data folder.
    """
    with studio.database.read() as session:
        kinds = _by_kind(session)
        deleted = _of_deleted(session)
    disk = shutil.disk_usage(studio.folder)
    return {
        "storage": studio.storage.url,
        "kinds": kinds,
        "deleted": deleted,
        "database": _database_bytes(studio),
        "samples": _folder_bytes(studio.folder / "heard"),
        "logs": _folder_bytes(studio.folder / "logs"),
        "models": _folder_bytes(studio.base.paths.model.parent),
        "free": disk.free,
        "total": disk.total,
    }


def _by_kind(session: Session) -> list[dict[str, Any]]:
    files = sa.select(Artifact.sha256, sa.func.min(Artifact.kind).label("kind"), Artifact.size)
    each = files.group_by(Artifact.sha256, Artifact.size).subquery()
    rows = session.execute(
        sa.select(each.c.kind, sa.func.count(), sa.func.sum(each.c.size))
        .group_by(each.c.kind)
        .order_by(sa.func.sum(each.c.size).desc())
    )
    return [{"kind": kind, "files": count, "bytes": int(size)} for kind, count, size in rows]


def _of_deleted(session: Session) -> dict[str, int]:
    mine = (
        sa.select(Job.id).join(Track, Track.job_id == Job.id).where(Track.deleted_at.is_not(None))
    )
    files = (
        sa.select(Artifact.sha256, Artifact.size).where(Artifact.job_id.in_(mine)).distinct()
    ).subquery()
    count, size = session.execute(sa.select(sa.func.count(), sa.func.sum(files.c.size))).one()
    return {"files": count, "bytes": int(size or 0)}


def _database_bytes(studio: Studio) -> int:
    if studio.database.is_sqlite:
        path = studio.database.url.database or ""
        return sum(_size(Path(path + suffix)) for suffix in ("", "-wal", "-shm"))
    with studio.database.read() as session:
        return int(session.scalar(sa.text("SELECT pg_database_size(current_database())")) or 0)


def _folder_bytes(folder: Path) -> int:
    total = 0
    for around, _, names in os.walk(folder):
        total += sum(_size(Path(around, name)) for name in names)
    return total


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.lstat().st_size
    return 0


# What is garbage -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Collected:
    """What was deleted, or would be; `purged` are tracks that were deleted over 30 days ago."""

    garbage: Garbage
    purged: tuple[str, ...]


def collect_round(studio: Studio) -> None:
    """The same as `collect`, for nobody who looks on: what is younger than a day stays.

    A worker that finished its files while the database was away for hours records them when it is
    back, which is when this may come round too.
    """
    collect(studio, dry_run=False, actor="rounds", grace_s=_UNSEEN_GRACE_S)


def collect(studio: Studio, *, dry_run: bool, actor: str, grace_s: float = GRACE_S) -> Collected:
    """Delete the files that nothing names, of tracks deleted over 30 days ago, and old previews.

    What was written in the last `grace_s` stays: its record may be on its way. Raises LofiError for
    a storage that does not answer.
    """
    purged: list[str] = []
    if not dry_run:
        with studio.database.write() as session:
            purged = _tracks.purge(session, actor=actor)
            _jobs.purge_previews(session, actor=actor)
            _prompts.purge(session, actor=actor)
    found = collect_garbage(studio.storage, studio.named_blobs, dry_run=dry_run, grace_s=grace_s)
    if not dry_run and (found.count or found.leftovers):
        with studio.database.write() as session:
            record(
                session, actor, "collected", "storage", "garbage",
                files=found.count + found.leftovers, bytes=found.bytes + found.leftover_bytes,
            )  # fmt: skip
    return Collected(found, tuple(purged))


# A copy to put away ----------------------------------------------------------------------------


def backup(
    studio: Studio, *, actor: str, progress: Callable[[float], None] | None = None
) -> tuple[BinaryIO, int, str]:
    """A copy of the SQLite database as of this moment: an open file, its size, and a name for it.

    It is one file that needs nothing beside it, taken while others go on writing; closed, it is
    gone. It holds all that the studio remembers, with the hashes of secrets and the sealed keys to
    accounts; not the files of tracks, which lie in the storage, nor models. Raises ConflictError
    for PostgreSQL, which has a tool for it, and LofiError where there is no room.
    """
    if not studio.database.is_sqlite:
        shown = studio.database.url.render_as_string(hide_password=True)
        raise ConflictError(
            f"the database is {shown.replace('+psycopg', '')}. PostgreSQL has a tool for this: "
            "pg_dump --format=custom --file=studio.dump, and the address of the database."
        )
    folder = studio.folder / "scratch"
    folder.mkdir(exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, suffix=".db")
    os.close(handle)
    copy = Path(name)
    try:
        _copy(studio.database.url.database or "", copy, progress)
        with studio.database.write() as session:
            record(session, actor, "took", "backup", "database", bytes=copy.stat().st_size)
        file = copy.open("rb")
        return file, copy.stat().st_size, f"lofi-studio-{now():%Y-%m-%d-%H%M}.db"
    except (sqlite3.Error, OSError) as error:
        raise LofiError(
            f"the database could not be copied: {error}. See that the disk of {studio.folder} has "
            "room for a second one."
        ) from error
    finally:
        copy.unlink(missing_ok=True)


def _copy(source: str, to: Path, progress: Callable[[float], None] | None) -> None:
    def told(_status: int, left: int, total: int) -> None:
        if progress:
            progress(1.0 - left / max(1, total))

    # `immutable` would not see what stands in the write-ahead log.
    with (
        closing(sqlite3.connect(f"{Path(source).absolute().as_uri()}?mode=ro", uri=True)) as old,
        closing(sqlite3.connect(to)) as new,
    ):
        old.backup(new, pages=_PAGES, progress=told)
        new.execute("PRAGMA journal_mode=DELETE")  # one file, with no log beside it
        if (found := new.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(f"the copy is damaged: {found}")
