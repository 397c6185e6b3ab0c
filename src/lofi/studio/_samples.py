"""A sample of a training run as sound: played once by a child process, then kept for a while."""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import suppress
from pathlib import Path

from lofi import __version__
from lofi.brief import InputError
from lofi.studio._judge import BusyError, scratch
from lofi.studio._studio import Studio

_LIMIT_S = 120.0
_PATIENCE_S = 60.0
_MOST_BYTES = 200_000
_KEPT = 60  # files, the last heard: some 3 MB each

_one = threading.Lock()  # at a time


def hear(studio: Studio, path: Path) -> Path:
    """The FLAC file of a short MIDI file, played with the built-in instruments.

    It is kept by its content in `heard/` of the data folder. Raises InputError for a file that
    cannot be played, BusyError if others come first for too long.
    """
    from lofi.studio._child import Child

    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise InputError(f"{path.name} has more than {_MOST_BYTES:,} bytes: it is no short piece.")
    digest = hashlib.sha256(f"{__version__}\n".encode() + data).hexdigest()
    kept = studio.folder / "heard"
    made = kept / f"{digest}.flac"
    if made.is_file():
        os.utime(made)
        return made
    if not _one.acquire(timeout=_PATIENCE_S):
        raise BusyError("other samples are being played. Try again in a minute.")
    try:
        if not made.is_file():
            with scratch(studio.folder / "scratch") as folder:
                copy, out = folder / path.name, folder / "heard.flac"
                copy.write_bytes(data)
                # Somebody waits for it: it goes before the jobs.
                with Child(folder / "child.log", niceness=0) as child:
                    child.run(
                        "play",
                        {"path": str(copy), "out": str(out)},
                        limit_s=_LIMIT_S,
                        tick=lambda _stage, _fraction: None,
                    )
                kept.mkdir(exist_ok=True)
                out.replace(made)
            _forget(kept)
        return made
    finally:
        _one.release()


def _forget(kept: Path) -> None:
    """Delete what was not heard for the longest time."""
    files = sorted(kept.glob("*.flac"), key=lambda f: f.stat().st_mtime, reverse=True)
    for file in files[_KEPT:]:
        with suppress(OSError):
            file.unlink()
