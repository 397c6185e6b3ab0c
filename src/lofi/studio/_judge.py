"""A MIDI file from outside, judged: what it is like, and what it resembles.

The file is read by a child process, bounded in time and memory, under a name of ours.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lofi.brief import InputError, LofiError
from lofi.studio._studio import Studio

_LIMIT_S = 180.0  # most of it is loading the library on a slow core
_PATIENCE_S = 60.0  # how long one waits while another file is judged
_KEEP_S = 24 * 3600.0
_STALE_S = 3600.0

# One at a time: each has the whole library in memory.
_one = threading.Lock()


class BusyError(LofiError):
    """Another file is being judged."""


def judge_upload(studio: Studio, data: bytes) -> dict[str, Any]:
    """What a MIDI file of somebody else's measures, and what it resembles in the library.

    Gives `sha256`, `repairs`, `measured`, `judgement` and `originality` as plain values; the same
    file again within a day is answered from memory. Raises InputError with the reason for a file
    that cannot be read, BusyError if others come first for too long.
    """
    from lofi.music import open_model

    settings = studio.settings()
    check_size(data, settings.bounds.max_bytes)
    arguments = {
        "bounds": asdict(settings.bounds),
        "quality": asdict(settings.quality),
        "limits": asdict(settings.reading),
    }
    told = [hashlib.sha256(data).hexdigest(), open_model(None).sha256, arguments]
    key = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    return studio.cache.get_or_make(
        "originality", key, lambda: read_upload(studio, data, "measure", arguments), ttl_s=_KEEP_S
    )


def check_size(data: bytes, most_bytes: int) -> None:
    """Refuse at once what is no MIDI file or too large: reading it takes seconds."""
    if not data.startswith((b"MThd", b"RIFF")):
        raise InputError("the file cannot be read: " + ("not a MIDI file." if data else "empty."))
    if len(data) > most_bytes:
        raise InputError(
            f"the file has {len(data):,} bytes, more than {most_bytes:,}. Send one piece of music."
        )


def read_upload(
    studio: Studio, data: bytes, work: str, arguments: dict[str, Any]
) -> dict[str, Any]:
    """What a work of `_work` makes of somebody else's MIDI file. Raises InputError, BusyError."""
    from lofi.studio._child import Child

    if not _one.acquire(timeout=_PATIENCE_S):
        raise BusyError("other files are being judged. Try again in a minute.")
    try:
        with scratch(studio.folder / "scratch") as folder:
            path = folder / "upload.mid"
            path.write_bytes(data)
            try:
                # Somebody waits for the answer: it goes before the jobs.
                with Child(folder / "child.log", niceness=0) as child:
                    return child.run(
                        work,
                        {"path": str(path), **arguments},
                        limit_s=_LIMIT_S,
                        tick=lambda _stage, _fraction: None,
                    )
            except InputError as error:
                # The name is ours and says nothing to who sent the file.
                reason = str(error).removeprefix(f"{path.name}: ")
                raise InputError(f"the file cannot be read: {reason}") from error
    finally:
        _one.release()


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder of its own that is gone afterwards; so are those a killed process left here."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.iterdir():
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_S:
                shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as path:
        yield Path(path)
