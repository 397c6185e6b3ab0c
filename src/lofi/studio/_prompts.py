"""MIDI files that tracks are made from: kept under their hash, heard once, forgotten when unused.

A file is kept for a week after it was last sent, and as long as a job names it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.brief import InputError, one_of
from lofi.music import KEPT, Bounds, Outline
from lofi.studio._commission import Prompt, from_plain
from lofi.studio._errors import NotFoundError
from lofi.studio._events import record
from lofi.studio._tables import Job, Preference, now

if TYPE_CHECKING:
    from lofi.studio._studio import Studio

KEEP = timedelta(days=7)
WAYS = ("continue", "vary")

_ROW = "prompt/"  # and the hash: what was heard in the file


def keep(studio: Studio, data: bytes, name: str, *, actor: str) -> dict[str, Any]:
    """Keep a MIDI file for tracks to be made from; gives what `find` gives.

    It is read by a child process, once. `name` is printable. Raises InputError with the reason for
    a file that cannot be gone on from, BusyError if others come first for too long.
    """
    from lofi.studio._judge import check_size, read_upload

    check_size(data, Bounds().max_bytes)
    blob = studio.storage.put_bytes(data)
    with studio.database.write() as session:
        row = session.get(Preference, _ROW + blob.sha256)
        if row is not None:
            row.updated_at = now()
            return _told(row)
    limits = studio.settings().reading
    told = {"name": name, "limits": {"cpu_s": limits.cpu_s, "memory_mb": limits.memory_mb}}
    heard = read_upload(studio, data, "hear", told)
    with studio.database.write() as session:
        row = session.merge(
            Preference(name=_ROW + blob.sha256, value=heard, updated_at=now(), updated_by=actor)
        )
        record(session, actor, "kept", "prompt", blob.sha256, name=name)
        return _told(row)


def find(session: Session, sha256: str) -> dict[str, Any]:
    """What was heard in a file that is kept, as plain values. Raises NotFoundError."""
    return _told(_row(session, sha256))


def prompt(session: Session, sha256: str, how: str, keep: tuple[str, ...] | None) -> Prompt:
    """What is to be made from a file that is kept: `how` is one of WAYS.

    `keep` are the parts that stay in a variation: drums and bass, where there are any, if it is
    None. Raises NotFoundError; InputError for parts to keep of what is gone on from.
    """
    way = one_of(how, WAYS, "way")
    heard = from_plain(Outline, _row(session, sha256).value["outline"], "prompt")
    if way == "continue":
        if keep is not None:
            raise InputError("what is gone on from stays as it is: leave out the parts to keep.")
        return Prompt(sha256, heard)
    usual = tuple(p for p in KEPT if p in heard.parts)
    return Prompt(sha256, heard, usual if keep is None else keep)


def named(session: Session) -> set[str]:
    """The hashes of files that are kept, or named by a job."""
    rows = session.scalars(sa.select(Preference.name).where(Preference.name.startswith(_ROW)))
    kept = {name.removeprefix(_ROW) for name in rows}
    of_job = Job.commission["prompt"]["sha256"].as_string()
    return kept | set(session.scalars(sa.select(of_job).where(of_job.is_not(None)).distinct()))


def purge(session: Session, *, actor: str, before: datetime | None = None) -> list[str]:
    """Forget files that were last sent more than a week ago; gives their hashes.

    Those that a job names stay in the storage, and the jobs know all they need of them.
    """
    rows = session.scalars(
        sa.select(Preference)
        .where(Preference.name.startswith(_ROW), Preference.updated_at < (before or now() - KEEP))
        .with_for_update()
    ).all()
    for row in rows:
        record(session, actor, "purged", "prompt", row.name.removeprefix(_ROW))
        session.delete(row)
    return [row.name.removeprefix(_ROW) for row in rows]


def _row(session: Session, sha256: str) -> Preference:
    row = session.get(Preference, _ROW + sha256)
    if row is None:
        raise NotFoundError(
            f"there is no MIDI file {sha256[:12]}… to go on from, or it is kept no longer. Send it "
            "again to POST /api/prompts."
        )
    return row


def _told(row: Preference) -> dict[str, Any]:
    from lofi.brief import Key

    heard = row.value["outline"]
    return {
        "sha256": row.name.removeprefix(_ROW),
        **heard,
        "key": str(Key(**heard["key"])) if heard["key"] else None,
        "repairs": row.value["repairs"],
    }
