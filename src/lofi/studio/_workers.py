"""Worker processes that stop when they are told to, quietly and with their files tidied."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

TIDYING_S = 5.0  # how long a worker may take to leave


@contextmanager
def worker_pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of `count` processes; give it work with `submit`.

    Leaving it by an exception ends what the workers are doing. They are spawned, not forked: they
    share no locks or threads with this process.
    """
    pool = ProcessPoolExecutor(
        count, mp_context=multiprocessing.get_context("spawn"), initializer=_obey_the_parent
    )
    try:
        yield pool
    except BaseException:
        children = multiprocessing.active_children()
        for child in children:
            child.terminate()
        for child in children:
            child.join(TIDYING_S)
            child.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def submit(pool: ProcessPoolExecutor, work: Callable[..., T], *arguments: object) -> Future[T]:
    """Have a worker call `work(*arguments)`."""
    return pool.submit(_do, work, arguments)


def _do(work: Callable[..., T], arguments: tuple[object, ...]) -> T:
    try:
        return work(*arguments)
    except SystemExit:
        # Told to leave, and what it held is tidied by now: go, and take no more work.
        os._exit(1)


def _obey_the_parent() -> None:
    def leave(_signal: int, _frame: object) -> None:
        # Not the default, which would leave half-written folders behind.
        sys.exit(1)

    # Ctrl-C reaches the whole group: the parent decides, and tells its workers by SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, leave)
