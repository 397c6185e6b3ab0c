"""A studio that works in a process of its own, for tests to kill.

`python studio_process.py '{"die": {"at": "Storage.put", "when": "after", "count": 3}}'` opens the
studio of the environment's settings, works until its stdin closes, and says `ready` when it does.
`die` kills it with SIGKILL before or after the so-manieth call of a function; the other faults make
what a broken machine makes. They are put in from here: the product has no such door.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import lofi
from lofi.brief import LofiError
from lofi.cli._logs import log_to_stderr
from lofi.studio import _jobs, _worker
from lofi.studio._child import Child
from lofi.studio._queue import Queues
from lofi.studio._settings import load_settings
from lofi.studio._storage import Storage
from lofi.studio._studio import open_studio

_PLACES: dict[str, tuple[Any, str]] = {
    "claim": (_worker.WorkerProcess, "_claim"),
    "begin": (_worker.WorkerProcess, "_begin"),
    "run": (Child, "run"),
    "put": (Storage, "put"),
    "finish": (_worker.WorkerProcess, "_finish"),
    "advance": (_worker.WorkerProcess, "_advance"),
    "ticket": (Queues, "put"),
    "end": (_jobs, "end"),
}


def around(owner: Any, name: str, wrapper: Callable[[Callable[..., Any]], Any]) -> None:
    """Replace a function by what `wrapper` makes of it."""
    setattr(owner, name, wrapper(getattr(owner, name)))


def die(at: str, when: str, count: int) -> None:
    """Have the process die before or after the `count`-th call."""
    left, lock = [count], threading.Lock()

    def wrapper(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            with lock:
                left[0] -= 1
                now = left[0] == 0
            if now and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*arguments, **named)
            if now:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    owner, name = _PLACES[at]
    around(owner, name, wrapper)


def poison(title: str) -> None:
    """Have the child of every job of that title crash natively."""

    def wrapper(real: Callable[..., Any]) -> Callable[..., Any]:
        def run(self: Child, work: str, arguments: dict[str, Any], **named: Any) -> Any:
            if arguments["commission"]["brief"]["palette"] == title:
                os.kill(self.pid, signal.SIGSEGV)
            return real(self, work, arguments, **named)

        return run

    around(Child, "run", wrapper)


def full_disk(count: int) -> None:
    """Have the first `count` files find no room."""
    left = [count]

    def wrapper(real: Callable[..., Any]) -> Callable[..., Any]:
        def put(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] >= 0:
                raise LofiError("the disk of the storage is full. Free some space.")
            return real(*arguments, **named)

        return put

    around(Storage, "put", wrapper)


def linger(seconds: float) -> None:
    """Have it take so long between a job being its own and its knowing so."""

    def wrapper(real: Callable[..., Any]) -> Callable[..., Any]:
        def rmtree(*arguments: Any, **named: Any) -> Any:
            time.sleep(seconds)
            return real(*arguments, **named)

        return rmtree

    around(_worker.shutil, "rmtree", wrapper)


def look_often() -> None:
    """Look for tickets more often than a server should: jobs that take a moment wait for that."""
    around(
        _worker,
        "lanes_of",
        lambda real: lambda work: tuple(replace(lane, poll_s=0.25) for lane in real(work)),
    )


def main() -> None:
    """Work until stdin closes."""
    log_to_stderr()  # nobody reads more than the first line of what it prints
    look_often()
    faults = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    if "version" in faults:
        lofi.__version__ = _worker.__version__ = faults["version"]
    if "die" in faults:
        die(**faults["die"])
    if "poison" in faults:
        poison(faults["poison"])
    if "full_disk" in faults:
        full_disk(faults["full_disk"])
    if "linger" in faults:
        linger(faults["linger"])
    with open_studio(load_settings()) as studio:
        if studio.database.is_sqlite:
            studio.lock()
        studio.work(faults.get("lanes"))
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
