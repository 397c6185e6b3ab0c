"""What a search derives from a library, kept in the user's cache: the next process only maps it.

Grams and surprisals are some fifty times as large as the melodies and take seconds to derive, so
they are neither shipped nor derived by each process that composes. Nothing is lost with them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_AT_MOST = 4  # libraries; the one not read for longest goes first
_DAY_S = 86_400  # what a process that was killed has left half-written
_DERIVED_BY = ("_index.py", "_surprisal.py")


class Kept:
    """The place of what is derived from these arrays, by their bytes and the code that derives."""

    def __init__(self, *melodies: NDArray) -> None:
        digest = hashlib.sha256()
        for array in melodies:
            digest.update(array.tobytes())
        for name in _DERIVED_BY:
            digest.update(Path(__file__).with_name(name).read_bytes())
        self._folder = _cache() / digest.hexdigest()[:32]

    def read(self, wanted: Mapping[str, type]) -> dict[str, NDArray] | None:
        """Arrays by name, of the wanted types and one dimension, mapped; None if not kept."""
        try:
            arrays = {
                name: np.load(self._folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                for name in wanted
            }
        except (OSError, ValueError):
            return None
        with suppress(OSError):  # it may be another's, to read alone
            os.utime(self._folder)
        if any(a.ndim != 1 or a.dtype != wanted[name] for name, a in arrays.items()):
            return None
        return {name: array.view(np.ndarray) for name, array in arrays.items()}

    def write(self, arrays: Mapping[str, NDArray]) -> None:
        """Keep arrays for others. Where that cannot be (a full disk, no home), nobody misses it."""
        aside = None
        with suppress(OSError):
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(prefix=".", dir=self._folder.parent))
            for name, array in arrays.items():
                with (aside / f"{name}.npy").open("wb") as file:
                    np.save(file, array)
                    file.flush()
                    os.fsync(file.fileno())  # before the name: what is found after a crash is whole
            shutil.rmtree(self._folder, ignore_errors=True)  # if there, it could not be read
            aside.replace(self._folder)
            aside = None
            _tidy(self._folder.parent)
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def _tidy(cache: Path) -> None:
    by_age = sorted(cache.iterdir(), key=lambda f: f.stat().st_mtime)
    kept = [f for f in by_age if not f.name.startswith(".")]
    left = [
        f for f in by_age if f.name.startswith(".") and time.time() - f.stat().st_mtime > _DAY_S
    ]
    for old in (*kept[:-_AT_MOST], *left):
        shutil.rmtree(old, ignore_errors=True)


def _cache() -> Path:
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # nobody's home: nothing can be kept there
        home = os.devnull
    return Path(home) / "lofi-empire" / "melodies"
