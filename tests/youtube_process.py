"""Uploads in processes of their own, for tests to kill.

`python youtube_process.py FOLDER` loads what uploads need, then forks a process for each line of
its stdin, which uploads until nothing is left; it says their ids, and at the end `ended ID STATUS`.
Such a process begins in milliseconds, so a test can kill many.
"""

from __future__ import annotations

import os
import sys
import traceback
from datetime import timedelta
from pathlib import Path

import httpx  # noqa: F401 (loaded before the fork)
import sqlalchemy as sa

from lofi.studio import _accounts, _uploads
from lofi.studio._cache import Cache
from lofi.studio._database import Database
from lofi.studio._settings import load_settings
from lofi.studio._storage import Storage
from lofi.studio._studio import Studio
from lofi.studio._tables import Release, Worker, now

PIECE = 256 * 1024


def upload_all(folder: Path) -> None:
    """What a worker does that has just begun, until no release is left to upload."""
    _uploads.DELAYS = (timedelta(milliseconds=20),)
    settings = load_settings()
    database = Database(f"sqlite:///{folder / 'studio.db'}")
    storage = Storage(str(folder / "storage"))
    with Studio(settings, folder, database, storage, Cache(None)) as studio:
        _accounts.client_of(studio).sleep = lambda seconds: None
        me = f"test-{os.getpid()}"
        with database.write() as session:
            session.execute(
                sa.update(Worker).where(Worker.ended_at.is_(None)).values(ended_at=now())
            )
            session.add(Worker(id=me, host="test", pid=os.getpid(), lanes=[], version="0"))
        left = 1
        while left:
            _uploads.carry_due(studio, me, chunk=PIECE)
            with database.read() as session:
                left = session.scalar(
                    sa.select(sa.func.count())
                    .select_from(Release)
                    .where(Release.state.in_(("planned", "uploading")))
                )


def main() -> None:
    """Fork for each line; children that ended are told."""
    folder = Path(sys.argv[1])
    print("ready", flush=True)
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            try:
                upload_all(folder)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print("ended", child, os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
