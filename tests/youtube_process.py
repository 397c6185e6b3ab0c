"""Uploads in processes of their own, for tests to kill.

`python youtube_process.py FOLDER` loads what uploads need, then forks a process for each line of
its stdin, which uploads until nothing is left; it says their ids, and at the end `ended ID STATUS`.
Such a process begins in milliseconds, so a test can kill many.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from datetime import timedelta
from pathlib import Path

import cashews  # noqa: F401 (what is loaded when first used is loaded before the fork)
import cryptography.fernet  # noqa: F401
import httpcore  # noqa: F401
import sqlalchemy as sa
from shelf import padded_video, thumbnail
from sqlalchemy.event import listen

from lofi.channel import read_encoding, read_picture
from lofi.studio import _accounts, _listings, _releases, _tracks, _uploads
from lofi.studio._cache import Cache
from lofi.studio._database import Database
from lofi.studio._settings import load_settings
from lofi.studio._storage import Storage
from lofi.studio._studio import Studio
from lofi.studio._tables import Credential, Release, Worker, now

PIECE = 256 * 1024


def database_of(folder: Path) -> Database:
    """The database, with its most usual questions asked once: forked processes inherit that."""
    database = Database(f"sqlite:///{folder / 'studio.db'}")
    # Processes are killed here, not the machine: what they wrote need not be forced to the disk.
    listen(database.engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=OFF"))
    _accounts.QuotaLedger(database, load_settings).reserve("units", 0)
    with database.write() as session:
        session.get(Credential, "youtube")
        for release_id in _uploads._due(session)[:1]:
            release = _releases.find(session, release_id, lock=True)
            _releases.gate(session, _tracks.find(session, release.track_id), "private")
            _releases.view(session, release_id)
            _listings.effective(session, _tracks.find(session, release.track_id))
    read_encoding(io.BytesIO(padded_video()))
    read_picture(thumbnail())
    database.close()  # connections are no heirlooms
    return database


def studio_of(folder: Path, database: Database) -> Studio:
    """The studio in a folder, with nothing to wait for."""
    storage = Storage(str(folder / "storage"))
    studio = Studio(load_settings(), folder, database, storage, Cache(None))
    _accounts.client_of(studio).sleep = lambda seconds: None
    return studio


def upload_all(studio: Studio) -> None:
    """What a worker does that has just begun, until no release is left to upload."""
    _uploads.DELAYS = (timedelta(milliseconds=20),)
    me = f"test-{os.getpid()}"
    with studio.database.write() as session:
        session.execute(sa.update(Worker).where(Worker.ended_at.is_(None)).values(ended_at=now()))
        session.add(Worker(id=me, host="test", pid=os.getpid(), lanes=[], version="0"))
    left = 1
    while left:
        _uploads.carry_due(studio, me, chunk=PIECE)
        with studio.database.read() as session:
            unfinished = Release.state.in_(("planned", "uploading"))
            left = session.scalar(sa.select(sa.func.count(Release.id)).where(unfinished))


def main() -> None:
    """Fork for each line; children that ended are told."""
    folder = Path(sys.argv[1])
    database = database_of(folder)
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            try:
                upload_all(studio_of(folder, database))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print("ended", child, os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
