"""How many requests somebody may make: a bucket of tokens for each, in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_MOST = 20_000  # how many are kept in mind


class Limiter:
    """Lets each of many pass `per_minute` times at once, and then as fast as the minute goes.

    This is the generic cell rate algorithm: one moment for each, when their bucket is full again.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._step_s = 60.0 / max(1, per_minute)
        self._clock = clock
        self._full: dict[str, float] = {}
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()

    def take(self, who: str) -> float:
        """Let somebody pass: 0, or the seconds until they may."""
        with self._lock:
            moment = self._clock()
            if len(self._full) >= _MOST:
                self._full = {n: full for n, full in self._full.items() if full > moment}
            full = max(moment, self._full.get(who, moment)) + self._step_s
            wait = full - moment - 60.0
            # Sums of steps are a little more or less than the minute.
            if wait > 1e-6:
                return wait
            self._full[who] = full
            return 0.0

    def know(self, secret_hash: str, name: str) -> None:
        """From now on a valid secret has a bucket of its own, wherever it comes from."""
        with self._lock:
            if len(self._names) >= _MOST:
                self._names.clear()
            self._names[secret_hash] = name

    def known(self, secret_hash: str) -> str | None:
        """Whose secret it is, if it was valid before."""
        return self._names.get(secret_hash)
